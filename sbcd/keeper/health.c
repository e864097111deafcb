#include "sbcd/keeper/health.h"

#include <inttypes.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

enum { DISK_SLOW_MS = 500, QUEUE_FULL_PERCENT = 50 };

static void deduct(struct health *h, const char *name, unsigned points,
		   const char *fmt, ...) __attribute__((format(printf, 4, 5)));
static void deduct(struct health *h, const char *name, unsigned points,
		   const char *fmt, ...)
{
	struct health_deduction *d = &h->deductions[h->len];
	va_list ap;

	if (h->len == HEALTH_DEDUCTIONS_MAX)
		return;
	h->len++;
	d->name = name;
	d->points = points;
	va_start(ap, fmt);
	vsnprintf(d->why, sizeof(d->why), fmt, ap);
	va_end(ap);
	h->score = h->score > points ? h->score - points : 0;
}

static void assess_workers(struct health *h, const struct health_facts *f)
{
	if (!f->sip_up)
		deduct(h, "sip-worker", 30, "the SIP worker is not ready");
	if (!f->media_up)
		deduct(h, "media-worker", 30, "the media worker is not ready");
	if (f->sip_storm)
		deduct(h, "sip-crashes", 20, "three crashes in a minute");
	if (f->media_storm)
		deduct(h, "media-crashes", 20, "three crashes in a minute");
}

static void assess_network(struct health *h, const struct health_facts *f)
{
	if (f->carriers_lost)
		deduct(h, "link", 40 * f->carriers_lost,
		       "%u of %u service interfaces without carrier",
		       f->carriers_lost, f->interfaces);
	if (f->unverified)
		deduct(h, "interface", 20 * f->unverified,
		       "%u of %u interfaces are not as they should be",
		       f->unverified, f->interfaces);
	/* A carrier says nothing about what is behind the switch: one gateway
	 * that only the peer still reaches has to be enough to move. */
	if (f->gateways_lost)
		deduct(h, "gateway", 30 * f->gateways_lost,
		       "%u of %u gateways do not answer", f->gateways_lost,
		       f->gateways);
	/* The peer would be no better off: said, and no reason to move. */
	if (f->conflicts)
		deduct(h, "address-conflict", 5 * f->conflicts,
		       "%u of %u interfaces: a stranger answers for our "
		       "address",
		       f->conflicts, f->interfaces);
	if (f->peer_present && f->ha_paths_alive < f->ha_paths)
		deduct(h, "ha-path", 5 * (f->ha_paths - f->ha_paths_alive),
		       "%u of %u HA links carry no beats of the peer",
		       f->ha_paths - f->ha_paths_alive, f->ha_paths);
	if (f->peer_present && f->service_paths_alive < f->interfaces)
		deduct(h, "service-path",
		       2 * (f->interfaces - f->service_paths_alive),
		       "%u of %u service networks carry no beats of the peer",
		       f->interfaces - f->service_paths_alive, f->interfaces);
}

static void assess_pair(struct health *h, const struct health_facts *f)
{
	if (!f->corosync_up)
		deduct(h, "corosync", 30, "corosync does not answer");
	if (!f->peer_present)
		deduct(h, "peer", 10, "the peer is absent");
	else if (!f->peer_in_sync)
		deduct(h, "sync", 10, "the two nodes are not in sync");
	if (f->config_mismatch)
		deduct(h, "config", 5,
		       "config mismatch: the peer runs another configuration");
}

static unsigned at_most(unsigned n, unsigned max)
{
	return n < max ? n : max;
}

/* Whether the peer would reach them nobody knows: these two together leave a
 * node above any sensible threshold. */
static void assess_agents(struct health *h, const struct health_facts *f)
{
	if (f->agents_down)
		deduct(h, "agent", at_most(2 * f->agents_down, 10),
		       "%u session agents do not answer", f->agents_down);
	if (f->agent_groups_down)
		deduct(h, "agent-group", at_most(5 * f->agent_groups_down, 10),
		       "no session agent answers in %u realms",
		       f->agent_groups_down);
}

/* To be known as long as it is so; no reason to move a call, which the peer
 * would meet in the same way. */
static void assess_tls(struct health *h, const struct health_facts *f)
{
	if (f->old_tls_ports)
		deduct(h, "tls-version", 0,
		       "%u ports take what is below TLS 1.2", f->old_tls_ports);
	if (f->prints_differ)
		deduct(h, "tls-profile", 0,
		       "tls-profile %s is another on the peer: %016" PRIx64
		       " here, %016" PRIx64 " there, see show tls",
		       f->prints_differ, f->prints_here, f->prints_there);
	if (f->certificate_ends && f->certificate_days < 0)
		deduct(h, "certificate", 0,
		       "a certificate of ours has expired, see show tls");
	else if (f->certificate_ends)
		deduct(h, "certificate", 0,
		       "a certificate of ours expires in %d days, see show tls",
		       f->certificate_days);
}

/* What people want: below every threshold; maintenance is no health at all. */
static void assess_service(struct health *h, const struct health_facts *f)
{
	if (f->draining)
		deduct(h, "drain", 60,
		       "new calls are refused (undrain ends "
		       "it)");
	if (f->maintenance)
		deduct(h, "maintenance", 100,
		       "it does not take over (maintenance off ends it)");
}

void health_assess(struct health *out, const struct health_facts *f)
{
	memset(out, 0, sizeof(*out));
	out->score = 100;
	assess_network(out, f);
	assess_workers(out, f);
	assess_pair(out, f);
	assess_agents(out, f);
	assess_tls(out, f);
	assess_service(out, f);
	if (f->disk_failed)
		deduct(out, "disk", 10, "the state directory is not writable");
	else if (f->disk_stalled_ms >= DISK_SLOW_MS)
		deduct(out, "disk", 10, "a write takes more than %d ms",
		       DISK_SLOW_MS);
	if (f->cdr_error)
		deduct(out, "cdr", 5,
		       "call detail records are not written, %zu wait: %s",
		       f->cdr_waiting, strerror(f->cdr_error));
	if (f->queue_percent >= QUEUE_FULL_PERCENT)
		deduct(out, "queue", 10, "a queue is %u %% full",
		       f->queue_percent);
	if (f->commit_timeouts)
		deduct(out, "commit", 5, "synchronous puts hit their deadline");
	if (f->witness_lost)
		deduct(out, "witness", 10, "the witness casts no vote");
	if (f->clock_skewed)
		deduct(out, "clock", 2,
		       "the peer's clock is %+" PRId64 " ms off",
		       f->clock_skew_ms);
	if (!f->guard_up)
		deduct(out, "guard", 10, "the guard process is not running");
	if (!f->beat_realtime)
		deduct(out, "beat", 2, "heartbeats without real-time priority");
}

json_t *health_to_json(const struct health *h)
{
	json_t *list = json_array();

	for (size_t i = 0; i < h->len; i++) {
		const struct health_deduction *d = &h->deductions[i];

		json_array_append_new(list,
				      json_pack("{s:s,s:i,s:s}", "name",
						d->name, "points",
						(int)d->points, "why", d->why));
	}
	return json_pack("{s:i,s:o}", "score", (int)h->score, "deductions",
			 list);
}

const struct health_deduction *health_news(const struct health *before,
					   const struct health *now)
{
	for (size_t i = 0; i < now->len; i++) {
		size_t k = 0;

		while (k < before->len && strcmp(before->deductions[k].name,
						 now->deductions[i].name))
			k++;
		if (k == before->len)
			return &now->deductions[i];
	}
	return NULL;
}
