#include "sbcd/sip/worker.h"

#include <errno.h>
#include <malloc.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "sbcd/base/clock.h"
#include "sbcd/base/log.h"
#include "sbcd/base/mask.h"
#include "sbcd/base/worker.h"
#include "sbcd/record/record.h"
#include "sbcd/sip/sip_int.h"
#include "sbcd/sip/tls_links.h"
#include "sbcd/sip/tls_state.h"
#include "sbcd/sip/tport_tls.h"

enum { QUIESCE_MAX_MS = 100 };

/* ---- the keeper's word
 * -------------------------------------------------------------
 */

static void stop(struct sip_worker *w, int code)
{
	w->gone = true;
	w->exit_code = code;
	/* The other node goes on with these calls. The stack would answer 500
	 * to every request that it leaves behind. */
	guard_mute();
}

static int find_secret(const char *node_text, struct token_key *out)
{
	static const char mark[] = "# worker-secret ";
	const char *at = node_text ? strstr(node_text, mark) : NULL;

	return at ? token_key_parse(out, at + sizeof(mark) - 1) : -ENOENT;
}

static int parse(struct sip_worker *w, const char *text, const char *node_text)
{
	struct config_errors errors = {.len = 0};
	int err;

	err = config_parse(&w->config, text, "sbcd.conf", &errors);
	if (!err)
		err = config_node_parse(&w->node, node_text, "node.conf",
					&errors);
	if (err)
		log_err("event=config result=invalid text=\"%.400s\"",
			errors.text);
	return err;
}

static int on_config(void *ctx, const char *text, const char *node_text)
{
	struct sip_worker *w = ctx;
	struct b2bua_params p = {.ops = &sip_call_ops, .ctx = w};
	int err;

	if (w->b2bua)
		return -EALREADY;
	err = find_secret(node_text, &p.key);
	if (!err)
		err = parse(w, text, node_text);
	if (err)
		goto out;
	p.config = w->config;
	p.node = w->node.id;
	p.shards = worker_port_classes(w->config->media.threads);
	p.counters = w->counters;
	guard_init(w->counters, p.key.bytes);
	guard_ports(w->node.id);
	err = b2bua_create(&w->b2bua, &p);
	if (!err)
		err = tls_links_create(w);
	if (!err)
		err = tls_state_create(w);
	if (!err)
		err = agents_create(w);
	if (!err)
		err = pings_create(w);
	if (!err)
		err = reconnect_create(w);
	if (!err)
		conns_init(w);
out:
	explicit_bzero(&p.key, sizeof(p.key));
	if (err)
		log_err("event=sip-start result=failed error=\"%s\"",
			strerror(-err));
	else
		log_info("event=sip-ready interfaces=%zu", w->agents_len);
	return err;
}

static int quarantine(const struct ha_key *key, const void *value, size_t size)
{
	struct rec_quarantine r;

	if (key->sub >= REC_QUARANTINE_MAX ||
	    (value && record_decode(REC_QUARANTINE, value, size, &r)))
		return -EBADMSG;
	guard_quarantine(key->sub, value ? &r : NULL);
	return 0;
}

static void on_record(void *ctx, const struct ha_key *key,
		      const struct ha_version *version, const void *value,
		      size_t size)
{
	struct sip_worker *w = ctx;
	int err;

	if (!w->b2bua)
		return;
	counters_set_busy(w->counters, BUSY_RECORD, key, sizeof(*key));
	if (key->kind == REC_QUARANTINE)
		err = quarantine(key, value, size);
	else if (key->kind == REC_CONN)
		err = conns_record(w, key, value, size);
	else if (key->kind == REC_TICKET || key->kind == REC_OCSP)
		err = tls_state_record(w, key, value, size);
	else
		err = b2bua_record(w->b2bua, key, value, size);
	counters_set_busy(w->counters, BUSY_NOTHING, NULL, 0);
	if (err) {
		counters_add(w->counters, COUNTER_sip_record_rejected, 1);
		log_rated(LOG_WARNING,
			  "event=record-rejected kind=%u call=%016llx error=%d",
			  key->kind, (unsigned long long)key->id, -err);
	}
}

static void on_activate(void *ctx, uint64_t epoch, uint64_t since_ns)
{
	struct sip_worker *w = ctx;

	if (!w->b2bua)
		return;
	w->epoch = epoch;
	b2bua_activate(w->b2bua, epoch);
	guard_listen(true);
	w->slow_ms = 0;
	reconnect_start(w, clock_mono_ms());
	pings_start(w);
	if (worker_link_activated(w->link, epoch))
		stop(w, 1);
	log_notice("event=sip-active epoch=%llu", (unsigned long long)epoch);
}

static void on_committed(void *ctx, uint64_t token, bool timed_out)
{
	struct sip_worker *w = ctx;

	if (timed_out)
		counters_add(w->counters, COUNTER_sip_commit_timeouts, 1);
	outbox_committed(w, token);
}

static void on_quiesce(void *ctx)
{
	struct sip_worker *w = ctx;

	guard_listen(false);
	w->quiesce_wanted = true;
	w->quiesce_until_ms = clock_mono_ms() + QUIESCE_MAX_MS;
}

static void on_query(void *ctx, uint64_t token, const char *json)
{
	struct sip_worker *w = ctx;

	if (w->b2bua)
		query_answer(w, token, json);
	else if (worker_link_reply(w->link, token, "{\"error\":\"starting\"}"))
		stop(w, 1);
}

static void on_bury(void *ctx, uint64_t id)
{
	struct sip_worker *w = ctx;

	if (w->b2bua)
		b2bua_bury(w->b2bua, id);
}

static void on_drain(void *ctx, bool on)
{
	struct sip_worker *w = ctx;

	w->draining = on;
}

static void on_gone(void *ctx)
{
	stop(ctx, 0);
}

static const struct worker_link_ops link_ops = {
	.config = on_config,
	.record = on_record,
	.activate = on_activate,
	.committed = on_committed,
	.quiesce = on_quiesce,
	.query = on_query,
	.bury = on_bury,
	.drain = on_drain,
	.gone = on_gone,
};

/* ---- the loop
 * -------------------------------------------------------------------------
 */

static int on_link(struct sip_worker *ctx, su_wait_t *wait,
		   struct sip_worker *w)
{
	worker_link_dispatch(w->link, SIP_LINK_BUDGET);
	return 0;
}

static int register_link(struct sip_worker *w)
{
	su_wait_t wait[1] = {SU_WAIT_INIT};

	if (su_wait_create(wait, worker_link_fd(w->link),
			   SU_WAIT_IN | SU_WAIT_HUP) < 0)
		return -ENOMEM;
	w->link_index = su_root_register(w->root, wait, on_link, w, 1);
	return w->link_index < 0 ? -ENOMEM : 0;
}

static void watch_link(struct sip_worker *w)
{
	bool out;

	worker_link_flush(w->link);
	out = worker_link_wants_write(w->link);
	if (out == w->link_wants_out)
		return;
	w->link_wants_out = out;
	su_root_eventmask(w->root, w->link_index, worker_link_fd(w->link),
			  SU_WAIT_IN | SU_WAIT_HUP | (out ? SU_WAIT_OUT : 0));
}

static void quiesce(struct sip_worker *w)
{
	if (!w->quiesce_wanted || w->quiesced)
		return;
	if (w->held_len && clock_mono_ms() < w->quiesce_until_ms)
		return;
	w->quiesced = true;
	if (worker_link_quiesced(w->link))
		stop(w, 1);
}

static int64_t sooner(int64_t a, int64_t b)
{
	return a < 0 ? b : b < 0 || a < b ? a : b;
}

/* Finished transactions are kept for 32 s, then their pages are free but
 * still ours. */
static void trim(struct sip_worker *w, uint64_t now_ms)
{
	if (call_count(w->b2bua) != w->trim_calls) {
		w->trim_calls = call_count(w->b2bua);
		w->trim_until_ms = now_ms + SIP_TRIM_AFTER_MS;
	}
	if (now_ms < w->trim_ms || now_ms > w->trim_until_ms)
		return;
	w->trim_ms = now_ms + SIP_TRIM_MS;
	malloc_trim(0);
}

/* What is done once a turn; ms until there is more to do. */
static int64_t turn(struct sip_worker *w)
{
	uint64_t now_ms = clock_mono_ms();
	int64_t wait;

	outbox_failures(w);
	wait = sooner(outbox_turn(w, now_ms), b2bua_turn(w->b2bua));
	if (now_ms < w->slow_ms)
		return wait;
	/* Pings and sums may come late. */
	w->slow_ms = now_ms + SIP_SLOW_MS;
	trim(w, now_ms);
	agents_count(w);
	conns_turn(w, now_ms);
	if (!w->quiesce_wanted && b2bua_active(w->b2bua)) {
		tls_state_turn(w);
		reconnect_turn(w, now_ms);
		pings_turn(w, now_ms);
	}
	return wait;
}

/* Waits for input; then takes what there is, so that one look at the timers
 * and one write to the keeper serve several messages. */
static void step(struct sip_worker *w, int64_t wait_ms)
{
	for (unsigned i = 0; i < SIP_STEPS_MAX && !w->gone; i++)
		/* 0: something was done. */
		if (su_root_step(w->root, i ? 0 : (su_duration_t)wait_ms))
			return;
}

static void run(struct sip_worker *w)
{
	bool handshakes = false;

	while (!w->gone) {
		int64_t wait = w->b2bua && w->reconnects ? turn(w) : -1;

		quiesce(w);
		guard_idle();
		watch_link(w);
		wait = sooner(wait, SIP_SLOW_MS);
		if (w->quiesce_wanted && !w->quiesced && wait > 5)
			wait = 5;
		step(w, handshakes ? 0 : wait);
		handshakes = tport_tls_turn();
	}
}

/* The order matters: calls hold transactions, those hold agents. */
static void finish(struct sip_worker *w)
{
	if (w->pings)
		pings_destroy(w);
	reconnect_destroy(w);
	conns_destroy(w);
	outside_destroy(w);
	b2bua_destroy(w->b2bua);
	outbox_destroy(w);
	agents_destroy(w);
	tls_state_destroy(w);
	tls_links_destroy(w);
	if (w->root)
		su_root_destroy(w->root);
	worker_link_destroy(w->link);
	config_destroy(w->config);
	su_deinit();
	free(w);
}

/* ---- the clock
 * ------------------------------------------------------------------------
 */

/* The stack's timers go by the system's wall clock, and a jump of that ends
 * every call that is being set up. Its library lets us have the last word. */
extern void (*_su_time)(su_time_t *tv);
static struct sip_worker *clock_owner;

static void tell_time(su_time_t *tv)
{
	const unsigned long ntp_epoch = 2208988800ul;
	uint64_t ns;

	if (!tv)
		return;
	ns = steady_now_ns(&clock_owner->steady, clock_wall_ns(),
			   clock_mono_ns());
	tv->tv_sec = (unsigned long)(ns / 1000000000) + ntp_epoch;
	tv->tv_usec = (unsigned long)(ns % 1000000000 / 1000);
}

__attribute__((format(printf, 2, 0))) static void
stack_log(void *stream, char const *fmt, va_list ap)
{
	char text[512];
	size_t len;

	vsnprintf(text, sizeof(text), fmt, ap);
	/* TPORT_LOG in the environment makes it show whole messages. */
	text[mask_keys(text, strlen(text))] = '\0';
	len = strcspn(text, "\r\n");
	text[len] = '\0';
	if (len)
		log_rated(LOG_DEBUG, "event=stack text=\"%s\"", text);
}

int sip_worker_main(void)
{
	struct sip_worker *w = calloc(1, sizeof(*w));
	int err = -ENOMEM;

	if (!w)
		return 1;
	signal(SIGPIPE, SIG_IGN);
	if (counters_map(&w->counters, LINK_COUNTERS_FD))
		log_warn("event=counters result=unmapped");
	clock_pair_follow(counters_clock(w->counters));
	clock_owner = w;
	_su_time = tell_time;
	su_init();
	su_log_redirect(NULL, stack_log, NULL);
	err = tport_tls_register();
	if (err)
		goto out;
	err = -ENOMEM;
	w->root = su_root_create(w);
	if (!w->root)
		goto out;
	/* One thread: the stack must not start others for its agents. */
	su_root_threading(w->root, 0);
	err = worker_link_create(&w->link, LINK_WORKER_FD, "sip", &link_ops, w);
	if (!err)
		err = register_link(w);
	if (err)
		goto out;
	run(w);
	err = w->exit_code;
out:
	if (err)
		log_err("event=sip-exit code=%d", err);
	finish(w);
	return err ? 1 : 0;
}
