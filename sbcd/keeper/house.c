/*
 * Housekeeping every 100 ms: what is not urgent and not an event.
 */
#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <systemd/sd-daemon.h>
#include "sbcd/base/clock.h"
#include "sbcd/base/log.h"
#include "sbcd/config/tls.h"
#include "sbcd/keeper/keeper_int.h"
#include "sbcd/record/record.h"

enum {
	DAY_S = 24 * 3600,
	CERTIFICATE_WARN_S = 30 * DAY_S,
	VERIFY_TURNS = 20, /* of 100 ms */
	PING_TURNS = 10,
	PATH_ALIVE_MS = 1000,
	COMMIT_ALARM_MS = 10000,
	CPG_QUEUE_FRAMES = 4096, /* as in keeper.c */
};

/* ---- the configuration as a record -------------------------------------- */
static const struct ha_key config_key = {.kind = REC_CONFIG};

void house_put_config(struct keeper *k)
{
	struct rec_config *c = calloc(1, sizeof(*c));
	struct ha_item item;
	struct buf out;
	int err;

	if (!c)
		return;
	buf_init(&out, HA_VALUE_MAX_BYTES);
	if (ha_store_get(ha_engine_store(k->engine), &config_key, &item) &&
	    !item.deleted &&
	    record_decode(REC_CONFIG, item.value, item.size, c))
		memset(c, 0, sizeof(*c));
	c->generation++;
	c->text.size = (uint32_t)strlen(k->config_text);
	memcpy(c->text.data, k->config_text, c->text.size);
	err = record_encode(REC_CONFIG, c, &out);
	if (!err)
		err = ha_engine_put(k->engine, &config_key, out.data, out.size,
				    0, 0);
	if (err)
		log_warn("event=config-not-replicated error=\"%s\"",
			 strerror(-err));
	buf_finish(&out);
	free(c);
}

void house_config_applied(struct keeper *k)
{
	if (k->roles.peer.config_digest &&
	    k->roles.peer.config_digest != k->config->digest)
		log_rated(LOG_WARNING,
			  "event=config-mismatch own=%016" PRIx64
			  " peer=%016" PRIx64,
			  k->config->digest, k->roles.peer.config_digest);
}

/* ---- health ------------------------------------------------------------- */
static unsigned paths_alive(const struct beat_view *view, size_t first,
			    size_t len, uint64_t now_ms)
{
	unsigned n = 0;

	for (size_t i = first; i < first + len; i++)
		n += view->last_heard_ms[i] &&
		     now_ms - view->last_heard_ms[i] < PATH_ALIVE_MS;
	return n;
}

static unsigned queue_percent(struct keeper *k)
{
	size_t frames = ha_cpg_queued(k->cpg) * 100 / CPG_QUEUE_FRAMES;
	size_t worst = frames;

	for (int w = 0; w < HUB_WORKERS; w++) {
		size_t p =
			workers_queued_bytes(k->workers, (enum hub_worker)w) *
			100 / LINK_QUEUE_MAX_BYTES;

		if (p > worst)
			worst = p;
	}
	return (unsigned)worst;
}

static void note_commits(struct keeper *k, uint64_t now_ms)
{
	struct ha_engine_stats stats;

	ha_engine_get_stats(k->engine, &stats);
	if (stats.commit_timeouts != k->commit_timeouts_seen)
		k->commit_timeout_ms = now_ms;
	k->commit_timeouts_seen = stats.commit_timeouts;
}

static void assess_certificates(const struct keeper *k, struct health_facts *f)
{
	int64_t left_s =
		k->certificates_end_s - (int64_t)(clock_wall_ms() / 1000);

	if (!k->certificates_end_s || left_s > CERTIFICATE_WARN_S)
		return;
	f->certificate_ends = true;
	f->certificate_days = left_s < 0 ? -1 : (int)(left_s / DAY_S);
}

static void assess(struct keeper *k, uint64_t now_ms)
{
	const struct roles *r = &k->roles;
	const struct health_deduction *news;
	struct beat_view view;
	struct health health;
	struct health_facts f = {
		.corosync_up = k->corosync_up,
		.peer_present = r->ev.peer_left == HA_LEFT_NOT,
		.peer_in_sync = r->in_sync,
		.ha_paths = (unsigned)k->node.ha_len,
		.interfaces = (unsigned)netglue_len(k->net),
		.carriers_lost = netglue_carriers_lost(k->net),
		.unverified = netglue_unverified(k->net),
		.gateways = netglue_gateways(k->net),
		.gateways_lost = netglue_gateways_lost(k->net, now_ms),
		.conflicts = netglue_conflicts(k->net, now_ms),
		.sip_up = supervise_worker_ready(k, HUB_SIP),
		.media_up = supervise_worker_ready(k, HUB_MEDIA),
		.sip_storm = workers_storm(k->workers, HUB_SIP, now_ms),
		.media_storm = workers_storm(k->workers, HUB_MEDIA, now_ms),
		.disk_stalled_ms = disk_stalled_ms(k->disk, now_ms),
		.disk_failed = k->disk_failed,
		.queue_percent = queue_percent(k),
		.guard_up = k->guard_armed,
		.witness_lost = r->ev.witness_known_dead,
		.clock_skewed = r->ev.peer_left == HA_LEFT_NOT &&
				pairclock_skewed(&k->clock),
		.clock_skew_ms = k->clock.skew_ms,
		.draining = k->service.state == SERVICE_DRAIN,
		.agents_down = role_serves(k) ? k->agents_down : 0,
		.agent_groups_down = role_serves(k) ? k->agent_groups_down : 0,
		.maintenance = k->service.state == SERVICE_MAINTENANCE,
		.prints_differ = k->prints.profile,
		.prints_here = k->prints.here,
		.prints_there = k->prints.there,
		.old_tls_ports = config_old_tls_ports(k->config),
		.commit_timeouts =
			k->commit_timeout_ms &&
			now_ms - k->commit_timeout_ms < COMMIT_ALARM_MS,
	};

	assess_certificates(k, &f);
	cdr_glue_assess(k, &f, now_ms);
	beat_get_view(k->beat, &view);
	f.ha_paths_alive = paths_alive(&view, 0, k->node.ha_len, now_ms);
	f.service_paths_alive =
		paths_alive(&view, k->node.ha_len, f.interfaces, now_ms);
	f.beat_realtime = view.realtime;
	f.config_mismatch = f.peer_present && r->ev.peer_known &&
			    r->peer.config_digest &&
			    r->peer.config_digest != k->config->digest;
	health_assess(&health, &f);
	news = health_news(&k->health, &health);
	if (news)
		log_warn("event=health score=%u deduction=%s points=%u "
			 "why=\"%s\"",
			 health.score, news->name, news->points, news->why);
	else if (health.len < k->health.len)
		log_notice("event=health score=%u", health.score);
	k->health = health;
}

/* ---- the turn ----------------------------------------------------------- */
static void verify(struct keeper *k)
{
	unsigned wrong = netglue_verify(k->net);

	if (k->roles.role == HA_ROLE_FAULT && !wrong)
		role_event(k, HA_EV_REPAIRED, "interfaces are as they should");
}

static void notify(struct keeper *k)
{
	static enum ha_role told = HA_ROLE_COUNT;

	if (k->watchdog_ms && k->house_turns * 100 % k->watchdog_ms < 100)
		sd_notify(0, "WATCHDOG=1");
	if (told == k->roles.role)
		return;
	told = k->roles.role;
	sd_notifyf(0, "STATUS=%s, health %u, epoch %016" PRIx64,
		   ha_role_name(told), k->health.score, k->roles.epoch);
}

void house_turn(struct keeper *k)
{
	uint64_t now_ms = clock_mono_ms();

	k->house_turns++;
	clock_turn(k);
	note_commits(k, now_ms);
	prints_turn(k);
	assess(k, now_ms);
	fence_check(k);
	keeper_publish(k);
	service_turn(k);
	keeper_write_epoch(k);
	cdr_glue_turn(k, now_ms);
	recorder_turn(k);
	supervise_pulse(k);
	if (k->house_turns % VERIFY_TURNS == 0)
		verify(k);
	if (k->house_turns % PING_TURNS == 0) {
		supervise_ping(k);
		poison_turn(k);
	}
	notify(k);
}
