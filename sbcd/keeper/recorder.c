/*
 * The flight recorder at work: notes what happens while this node takes over,
 * asks the workers what it was like for calls and media, replicates the report
 * and keeps all of them on disk.
 *
 * Everything is measured from the last word of the node that was active: its
 * last beat or frame in the group, or in a planned switchover its GO.
 */
#include <errno.h>
#include <inttypes.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include "sbcd/base/clock.h"
#include "sbcd/base/log.h"
#include "sbcd/keeper/gwprobe.h"
#include "sbcd/keeper/keeper_int.h"
#include "sbcd/record/record.h"

enum {
	/* A talker's pause is shorter; a flow that is quiet longer is counted
	 * as silent. */
	MEASURE_MS = 3000,
	ANSWER_MS = 1000,
	US_PER_MS = 1000,
};

static uint64_t now_us(void)
{
	return clock_mono_ns() / 1000;
}

/* Since the last word; never 0, which means "did not happen". */
static uint64_t since(const struct recorder *rec, uint64_t us)
{
	return us > rec->heard_us ? us - rec->heard_us : 1;
}

/* ---- the reports -------------------------------------------------------- */
static void path_of(const struct keeper *k, char *buf, size_t size)
{
	snprintf(buf, size, "%s/failovers", k->node.state_dir);
}

static void take_report(struct keeper *k, const struct rec_failover *r)
{
	struct ha_key key = {.kind = REC_FAILOVER};
	uint64_t dropped;

	if (flight_add(k->flight, r, &dropped))
		k->recorder.dirty = true;
	key.id = dropped;
	if (dropped && role_serves(k) &&
	    ha_engine_delete(k->engine, &key, 0, 0))
		log_debug("event=failover-report-not-deleted");
}

static void put_report(struct keeper *k, const struct rec_failover *r)
{
	struct ha_key key = {.id = r->epoch, .kind = REC_FAILOVER};
	struct buf out;
	int err;

	buf_init(&out, HA_VALUE_MAX_BYTES);
	err = record_encode(REC_FAILOVER, r, &out);
	if (!err)
		err = ha_engine_put(k->engine, &key, out.data, out.size, 0, 0);
	if (err)
		log_warn("event=failover-report-not-put error=\"%s\"",
			 strerror(-err));
	buf_finish(&out);
}

void recorder_applied(struct keeper *k, const struct ha_item *item)
{
	struct rec_failover *r = &k->recorder.scratch;

	if (item->deleted)
		return;
	if (record_decode(REC_FAILOVER, item->value, item->size, r) ||
	    r->epoch != item->key.id || !r->epoch) {
		log_rated(LOG_WARNING, "event=failover-report-refused");
		return;
	}
	take_report(k, r);
}

/* What only this node knows becomes the pair's. */
static void share_reports(struct keeper *k)
{
	const struct ha_store *store = ha_engine_store(k->engine);

	for (size_t i = 0; i < flight_len(k->flight); i++) {
		const struct rec_failover *r = flight_get(k->flight, i);
		struct ha_key key = {.id = r->epoch, .kind = REC_FAILOVER};
		struct ha_item item;

		if (!ha_store_get(store, &key, &item) || item.deleted)
			put_report(k, r);
	}
}

/* ---- what happens ------------------------------------------------------- */
static uint64_t last_word_us(const struct ha_evidence *ev)
{
	uint64_t ms = ev->last_beat_ms > ev->last_word_ms ? ev->last_beat_ms
							  : ev->last_word_ms;

	return ms * US_PER_MS;
}

void recorder_watch(struct keeper *k)
{
	struct recorder *rec = &k->recorder;
	uint64_t heard_us = last_word_us(&k->roles.ev), at_us;

	if (role_serves(k) || !heard_us)
		return;
	at_us = now_us();
	if (at_us < heard_us + GWPROBE_SILENT_BEATS * US_PER_MS *
				       (uint64_t)k->config->cluster.beat_ms)
		rec->suspected_us = 0;
	else if (!rec->suspected_us)
		rec->suspected_us = at_us;
}

static bool peer_was_active(const struct ha_evidence *ev)
{
	return ev->peer_go || ev->peer_role == HA_ROLE_ACTIVE ||
	       ev->peer_role == HA_ROLE_BECOMING_ACTIVE ||
	       ev->peer_role == HA_ROLE_RELINQUISHING;
}

static void write_evidence(struct keeper *k, struct rec_failover *r)
{
	static const char *const how[] = {
		[HA_LEFT_NOT] = "member",
		[HA_LEFT_NEVER] = "never-seen",
		[HA_LEFT_PROCDOWN] = "keeper-gone",
		[HA_LEFT_NODEDOWN] = "node-gone",
		[HA_LEFT_CLEAN] = "clean-stop",
	};
	const struct ha_evidence *ev = &k->roles.ev;
	uint64_t now_ms = clock_mono_ms();

	snprintf(r->evidence, sizeof(r->evidence),
		 "peer=%s go=%s released=%s beat-ago-ms=%" PRIu64
		 " word-ago-ms=%" PRIu64 " gateway=%s witness=%s in-sync=%s",
		 how[ev->peer_left], ev->peer_go ? "yes" : "no",
		 ev->peer_released ? "yes" : "no",
		 ev->last_beat_ms ? now_ms - ev->last_beat_ms : 0,
		 ev->last_word_ms ? now_ms - ev->last_word_ms : 0,
		 ev->gateway_reachable ? "yes" : "no",
		 !ev->witness_configured ? "none"
		 : ev->quorate		 ? "quorate"
					 : "not-quorate",
		 ev->synced_once ? "yes" : "no");
}

static void add_lost(struct rec_failover *r, uint64_t call, const char *why)
{
	struct rec_lost *l = &r->lost[r->lost_len];

	if (r->lost_len == REC_LOST_MAX)
		return;
	r->lost_len++;
	l->call = call;
	snprintf(l->reason, sizeof(l->reason), "%.*s",
		 (int)sizeof(l->reason) - 1, why);
}

/* Those the SIP worker is never given: it cannot tell. */
static void add_doomed(struct keeper *k, struct rec_failover *r)
{
	uint64_t ids[REC_LOST_MAX];
	size_t n = hub_doomed(k->hub, ids, REC_LOST_MAX);

	r->calls_lost = (uint32_t)n;
	for (size_t i = 0; i < n && i < REC_LOST_MAX; i++)
		add_lost(r, ids[i], "workers died of its records");
}

void recorder_go(struct keeper *k)
{
	k->recorder.go_us = now_us();
}

void recorder_claim(struct keeper *k, const char *reason)
{
	struct recorder *rec = &k->recorder;
	struct rec_failover *r = &rec->now;
	const struct ha_evidence *ev = &k->roles.ev;
	uint64_t at_us = now_us();

	rec->recording = peer_was_active(ev);
	rec->since_ns = 0;
	loop_timer_disarm(rec->timer);
	if (!rec->recording)
		return;
	memset(r, 0, sizeof(*r));
	r->planned = ev->peer_go;
	rec->heard_us =
		r->planned && rec->go_us ? rec->go_us : last_word_us(ev);
	if (!rec->heard_us || rec->heard_us > at_us)
		rec->heard_us = at_us;
	rec->since_ns = rec->heard_us * 1000;
	r->heard_ms = clock_wall_ms() - (at_us - rec->heard_us) / US_PER_MS;
	snprintf(r->node, sizeof(r->node), "%s", k->node.name);
	snprintf(r->cause, sizeof(r->cause), "%s", reason);
	write_evidence(k, r);
	if (rec->suspected_us && !r->planned)
		r->suspected_us = since(rec, rec->suspected_us);
	r->decided_us = since(rec, at_us);
	r->calls_carried = keeper_calls(k);
	add_doomed(k, r);
}

void recorder_taken(struct keeper *k)
{
	struct recorder *rec = &k->recorder;

	if (!rec->recording)
		return;
	rec->now.epoch = k->roles.epoch;
	rec->now.taken_us = since(rec, now_us());
}

void recorder_worker_active(struct keeper *k, enum hub_worker w)
{
	struct recorder *rec = &k->recorder;
	uint64_t *at = w == HUB_MEDIA ? &rec->now.media_us : &rec->now.sip_us;

	if (w == HUB_MEDIA)
		rec->since_ns = 0; /* one that starts later measures nothing */
	if (rec->recording && !*at)
		*at = since(rec, now_us());
}

void recorder_active(struct keeper *k)
{
	struct recorder *rec = &k->recorder;

	share_reports(k);
	if (!rec->recording)
		return;
	take_report(k, &rec->now);
	put_report(k, &rec->now);
	rec->asked = false;
	loop_timer_arm(rec->timer, MEASURE_MS);
}

void recorder_stop(struct keeper *k)
{
	/* The report stays as it is: the next active has its own. */
	k->recorder.recording = false;
	k->recorder.suspected_us = 0;
	loop_timer_disarm(k->recorder.timer);
}

/* ---- what the workers say ----------------------------------------------- */
static void finish(struct keeper *k)
{
	struct recorder *rec = &k->recorder;
	const struct rec_failover *r = &rec->now;

	rec->recording = false;
	rec->now.complete = true;
	loop_timer_disarm(rec->timer);
	take_report(k, r);
	put_report(k, r);
	log_notice("event=failover-report epoch=%016" PRIx64
		   " kind=%s cause=\"%s\" decided-us=%" PRIu64
		   " taken-us=%" PRIu64 " calls=%u lost=%u flows=%u "
		   "gap-p50-us=%" PRIu64 " gap-max-us=%" PRIu64,
		   r->epoch, r->planned ? "planned" : "failover", r->cause,
		   r->decided_us, r->taken_us, r->calls_carried, r->calls_lost,
		   r->flows, r->gap_p50_us, r->gap_max_us);
}

static uint64_t number(const json_t *o, const char *name)
{
	json_int_t v = json_integer_value(json_object_get(o, name));

	return v > 0 ? (uint64_t)v : 0;
}

static uint32_t number32(const json_t *o, const char *name)
{
	uint64_t v = number(o, name);

	return v < UINT32_MAX ? (uint32_t)v : UINT32_MAX;
}

static void take_gaps(struct rec_failover *r, const json_t *o)
{
	r->flows = number32(o, "flows");
	r->flows_silent = number32(o, "silent");
	r->packet_us = number(o, "first-us");
	r->gap_p50_us = number(o, "p50-us");
	r->gap_p99_us = number(o, "p99-us");
	r->gap_max_us = number(o, "max-us");
}

static void take_calls(struct recorder *rec, const json_t *o)
{
	struct rec_failover *r = &rec->now;
	uint64_t message_us = number(o, "first-message-us");
	uint64_t tls_us = number(o, "first-tls-us");
	json_t *lost = json_object_get(o, "lost"), *one;
	size_t i;

	r->calls_lost += number32(o, "lost-count");
	if (message_us)
		r->message_us = since(rec, message_us);
	if (tls_us)
		r->tls_us = since(rec, tls_us);
	json_array_foreach(lost, i, one)
	{
		const char *id = json_string_value(json_object_get(one, "id"));
		const char *why =
			json_string_value(json_object_get(one, "reason"));

		add_lost(r, id ? strtoull(id, NULL, 16) : 0, why ? why : "");
	}
}

void recorder_on_reply(struct keeper *k, enum hub_worker w, const void *text,
		       size_t size)
{
	struct recorder *rec = &k->recorder;
	json_t *o;

	if (!rec->recording || !rec->asked || !rec->waiting[w])
		return;
	o = json_loadb(text, size, 0, NULL);
	rec->waiting[w] = false;
	if (w == HUB_MEDIA)
		take_gaps(&rec->now, o);
	else
		take_calls(rec, o);
	json_decref(o);
	if (!rec->waiting[HUB_SIP] && !rec->waiting[HUB_MEDIA])
		finish(k);
}

static void ask(struct keeper *k, enum hub_worker w, const char *question)
{
	struct link_message m = {
		.type = LINK_QUERY,
		.token = RECORDER_TOKEN,
		.value = question,
		.size = strlen(question),
	};

	k->recorder.waiting[w] = !workers_send(k->workers, w, &m);
}

static void on_timer(void *ctx)
{
	struct keeper *k = ctx;
	struct recorder *rec = &k->recorder;

	if (!rec->recording || !role_serves(k))
		return;
	if (rec->asked) {
		/* A worker that does not answer leaves its part out. */
		finish(k);
		return;
	}
	rec->asked = true;
	ask(k, HUB_MEDIA, "{\"cmd\":\"gaps\"}");
	ask(k, HUB_SIP, "{\"cmd\":\"takeover\"}");
	loop_timer_arm(rec->timer, ANSWER_MS);
}

/* ---- the file ----------------------------------------------------------- */
static void on_written(void *ctx, int err, uint64_t took_us)
{
	struct keeper *k = ctx;

	k->recorder.busy = false;
	if (!err)
		return;
	k->recorder.dirty = true;
	log_rated(LOG_ERR, "event=failover-reports-not-written error=\"%s\"",
		  strerror(-err));
}

void recorder_turn(struct keeper *k)
{
	struct recorder *rec = &k->recorder;
	char path[PATH_MAX];
	struct buf out;

	if (!rec->dirty || rec->busy)
		return;
	buf_init(&out, 2 * FLIGHT_FILE_MAX_BYTES);
	path_of(k, path, sizeof(path));
	if (!flight_encode(k->flight, &out) &&
	    !disk_write_file(k->disk, path, out.data, out.size, on_written,
			     k)) {
		rec->busy = true;
		rec->dirty = false;
	}
	buf_finish(&out);
}

static void read_reports(struct keeper *k)
{
	char path[PATH_MAX];
	size_t size;
	void *data;
	FILE *in;

	path_of(k, path, sizeof(path));
	in = fopen(path, "re");
	if (!in)
		return;
	data = malloc(FLIGHT_FILE_MAX_BYTES);
	size = data ? fread(data, 1, FLIGHT_FILE_MAX_BYTES, in) : 0;
	if (flight_decode(k->flight, data, size))
		log_warn("file=%s event=damaged: older reports are lost", path);
	free(data);
	fclose(in);
}

int recorder_create(struct keeper *k)
{
	int err = flight_create(&k->flight);

	if (err)
		return err;
	read_reports(k);
	return loop_timer_create(k->loop, &k->recorder.timer, on_timer, k);
}

void recorder_destroy(struct keeper *k)
{
	loop_timer_destroy(k->recorder.timer);
	flight_destroy(k->flight);
}
