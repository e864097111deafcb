/*
 * A fake SIP stack around the B2BUA: notes what is to be sent, commits when
 * told, keeps the records, and has a clock of its own.
 */
#ifndef TEST_CALL_FAKE_H
#define TEST_CALL_FAKE_H

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "hasync/store.h"
#include "sbcd/base/log.h"
#include "sbcd/call/b2bua.h"
#include "sbcd/call/fsm.h"
#include "sbcd/record/record.h"

#define UNUSED __attribute__((unused))

enum { SENT_MAX = 16384 };

/* One thing that left. "> INVITE 1 z" / "< 200 a" / "ACK z" / "CANCEL z" */
struct sent {
	char what[64];
	struct txn *t;
	uint64_t token; /* 0 = gone out */
	uint16_t status;
};

static struct {
	struct b2bua *b;
	struct config *config;
	struct ha_store *store;
	uint64_t now, generation;
	bool hold;
	struct sent sent[SENT_MAX];
	size_t sent_len;
	size_t seen; /* by expect_sent() */
	uint64_t tokens[SENT_MAX];
	size_t tokens_len;
	unsigned handles, retransmits;
	int fail_request, fail_restore, fail_put, fail_reoffer;
	char exchanges[64]; /* by fake_exchanged() */
	uint64_t last_sync_token;
	uint64_t building; /* the call that is built right now */
	uint64_t built; /* the last one */
	bool releasing;
} fake;

static const char fake_conf[] =
	"cluster { name = \"t\" peers = {\"a\", \"b\"} }\n"
	"network-interface \"core\" { nic = \"core\"\n"
	" address = {\"10.10.0.10/24\"} gateway = {\"10.10.0.1\"} }\n"
	"network-interface \"cloud\" { nic = \"cloud\"\n"
	" address = {\"10.20.0.10/24\"} gateway = {\"10.20.0.1\"} }\n"
	"realm \"core\" { network-interface = core\n"
	" steering-pool = \"20000-20099\" }\n"
	"realm \"cloud\" { network-interface = cloud\n"
	" steering-pool = \"20000-20099\" }\n"
	"sip-interface \"core\" { realm = core port udp { } }\n"
	"sip-interface \"cloud\" { realm = cloud port udp { } }\n"
	"session-agent \"pbx\" { realm = core host = \"10.10.0.50\" }\n"
	"session-agent \"um\" { realm = cloud host = \"10.20.0.50\" }\n"
	"local-policy { from-realm = core to = \"2*\" next-hop = um }\n"
	"sip-config { ring-timeout = 60 max-call-duration = 3600 }\n";

static UNUSED void note(struct txn *t, uint16_t status, uint64_t token,
			const char *fmt, ...)
	__attribute__((format(printf, 4, 5)));
static UNUSED void note(struct txn *t, uint16_t status, uint64_t token,
			const char *fmt, ...)
{
	struct sent *s = &fake.sent[fake.sent_len];
	va_list ap;

	assert_true(fake.sent_len < SENT_MAX);
	fake.sent_len++;
	va_start(ap, fmt);
	vsnprintf(s->what, sizeof(s->what), fmt, ap);
	va_end(ap);
	s->t = t;
	s->status = status;
	s->token = token;
}

static UNUSED char side_letter(const struct leg *l)
{
	return l->role == LEG_CALLER ? 'a' : 'z';
}

static UNUSED void fake_go(struct sent *s)
{
	s->token = 0;
	if (s->t && s->status)
		b2bua_sent(fake.b, s->t, s->status);
}

static UNUSED void fake_committed(void *ctx, uint64_t token)
{
	for (size_t i = 0; i < fake.sent_len; i++)
		if (fake.sent[i].token == token && token)
			fake_go(&fake.sent[i]);
}

static UNUSED void fake_adopt(void *ctx, struct txn *t, const char *tag)
{
	assert_non_null(t->handle);
	if (t->recorded && !t->request.data)
		assert_int_equal(blob_set(&t->request, "raw request", 11), 0);
}

static UNUSED int fake_request(void *ctx, struct txn *t,
			       const struct rec_dialog *d,
			       const struct call_send *s, uint64_t token)
{
	if (fake.fail_request)
		return fake.fail_request;
	fake.handles++;
	t->handle = &fake;
	if (t->recorded)
		assert_int_equal(blob_set(&t->request, "raw request", 11), 0);
	note(t, 0, token, "> %s %u %c", call_method_name(s->method), s->cseq,
	     side_letter(t->leg));
	return 0;
}

static UNUSED int fake_redirect(void *ctx, struct txn *t, const struct txn *old,
				const struct rec_dialog *d, uint64_t token)
{
	if (strstr(d->remote_target, "stranger"))
		return -EACCES;
	fake.handles++;
	t->handle = &fake;
	assert_int_equal(blob_set(&t->request, "raw request", 11), 0);
	note(t, 0, token, "> again INVITE %u %c %s", t->cseq,
	     side_letter(t->leg), d->remote_target);
	return 0;
}

static UNUSED int fake_response(void *ctx, struct txn *t,
				const struct rec_dialog *d,
				const struct call_send *s, uint64_t token)
{
	if (t->method == METHOD_INVITE && s->status / 100 == 2)
		assert_int_equal(blob_set(&t->response, "raw 200", 7), 0);
	note(t, s->status, token, "< %u %c", s->status, side_letter(t->leg));
	if (!token)
		fake_go(&fake.sent[fake.sent_len - 1]);
	return 0;
}

static UNUSED void fake_ack(void *ctx, struct call *c,
			    const struct rec_dialog *d,
			    const struct call_send *s, uint64_t token)
{
	note(NULL, 0, token, "ACK %u %s%s", s->cseq, d->sip_interface,
	     s->sdp_size ? " sdp" : "");
}

static UNUSED void fake_cancel(void *ctx, struct txn *t, const char *why,
			       uint64_t token)
{
	note(NULL, 0, token, "CANCEL %c", side_letter(t->leg));
}

static UNUSED void fake_retransmit(void *ctx, struct txn *t)
{
	fake.retransmits++;
	note(NULL, 0, 0, "again %c", side_letter(t->leg));
}

static UNUSED void fake_repeat(void *ctx, struct txn *t)
{
	note(NULL, 0, 0, "ask again %c", side_letter(t->leg));
}

static UNUSED int fake_restore(void *ctx, struct txn *t,
			       const struct rec_dialog *d)
{
	if (fake.fail_restore)
		return fake.fail_restore;
	if (t->handle)
		return 0;
	fake.handles++;
	t->handle = &fake;
	note(NULL, 0, 0, "restore %s %c %c",
	     call_method_name((enum call_method)t->method),
	     t->side == TXN_SERVER ? 's' : 'c', side_letter(t->leg));
	return 0;
}

static UNUSED void fake_release(void *ctx, struct txn *t)
{
	for (size_t i = 0; i < fake.sent_len; i++)
		if (fake.sent[i].t == t)
			fake.sent[i].t = NULL;
	if (t->handle)
		fake.handles--;
	t->handle = NULL;
}

static UNUSED void fake_forget(void *ctx, struct call *c)
{
}

static UNUSED bool fake_drained(void *ctx, const struct call *c)
{
	for (size_t i = 0; i < fake.sent_len; i++)
		if (fake.sent[i].token)
			return false;
	return true;
}

static UNUSED int fake_local_host(void *ctx, const char *sif,
				  const struct addr *peer, char *out,
				  size_t size)
{
	snprintf(out, size, "%s",
		 !strcmp(sif, "core") ? "10.10.0.10" : "10.20.0.10");
	return 0;
}

/* The description passes as it is; one stream with a pair of ports. */
static UNUSED ssize_t fake_sdp(void *ctx, const struct call_body *body,
			       struct call_refusal *why)
{
	struct leg *from = body->from;
	struct rec_dialog *to_d = body->to_d;
	const void *in = body->in;
	size_t in_size = body->in_size;
	struct rec_media m;
	const struct config_realm *realms = b2bua_config(fake.b)->realms;

	if (in_size >= 3 && !memcmp(in, "bad", 3)) {
		why->warning = 305;
		snprintf(why->text, sizeof(why->text), "bad");
		return -EPROTO;
	}
	if (stream_load(from->call, 0, &m)) {
		memset(&m, 0, sizeof(m));
		m.flows_len = 2;
		for (int i = 0; i < 2; i++) {
			int port = ports_get(b2bua_ports(fake.b, &realms[i]), 0,
					     fake.now);

			if (port < 0)
				return port;
			m.flows[i].leg = (uint16_t)i;
			m.flows[i].local.family = ADDR_V4;
			m.flows[i].local.port = (uint16_t)port;
			snprintf(m.flows[i].network_interface,
				 sizeof(m.flows[i].network_interface), "%s",
				 realms[i].nif->name);
		}
		assert_int_equal(stream_store(from->call, 0, &m), 0);
	}
	memcpy(body->out, in, in_size);
	memcpy(to_d->local_sdp.data, in, in_size);
	to_d->local_sdp.size = (uint32_t)in_size;
	/* As a peer that took both of a pair. */
	if (in_size >= 4 && !memcmp(in, "both", 4))
		body->from_d->offer_due = true;
	return (ssize_t)in_size;
}

static UNUSED ssize_t fake_reoffer(void *ctx, struct leg *l,
				   struct rec_dialog *d, char *out, size_t size)
{
	if (fake.fail_reoffer)
		return fake.fail_reoffer;
	return snprintf(out, size, "ours");
}

static UNUSED int fake_reanswer(void *ctx, struct leg *l, struct rec_dialog *d,
				const void *in, size_t size,
				struct call_refusal *why)
{
	if (size < 3 || memcmp(in, "bad", 3))
		return 0;
	snprintf(why->text, sizeof(why->text), "bad");
	return -EPROTO;
}

/* "D" done, "R" refused, "L" later; "488" a refusal that is told. */
static UNUSED void fake_exchanged(void *ctx, struct call *c,
				  enum call_exchange how)
{
	size_t at = strlen(fake.exchanges);

	if (at + 2 < sizeof(fake.exchanges))
		fake.exchanges[at] = " DRL"[how];
}

static UNUSED void fake_offer_refused(void *ctx, const struct leg *l,
				      uint16_t status)
{
	size_t at = strlen(fake.exchanges);

	snprintf(fake.exchanges + at, sizeof(fake.exchanges) - at, "%u%c",
		 status, side_letter(l));
}

static UNUSED int fake_counted(void *ctx, struct call *c, unsigned sub,
			       const struct rec_mstate *m)
{
	struct rec_dialog d;

	if (m->flows_len == 2)
		return -ENOKEY;
	if (m->flows_len == 1 && !leg_load(c->legs[1], &d)) {
		d.offer_due = true;
		assert_int_equal(leg_store(c->legs[1], &d), 0);
	}
	return 0;
}

static UNUSED bool fake_stream_valid(const struct rec_media *m)
{
	return !m->keys_len || m->keys[0].suite;
}

static UNUSED int fake_put(void *ctx, const struct ha_key *key,
			   const void *value, size_t size, bool sync,
			   uint64_t token)
{
	struct ha_version v = {1, ++fake.generation, 1};

	if (fake.fail_put)
		return fake.fail_put;
	assert_true(ha_store_put(fake.store, key, &v, value, size) >= 0);
	if (!sync)
		return 0;
	assert_true(token != 0);
	if (fake.hold)
		fake.tokens[fake.tokens_len++] = token;
	else
		fake_committed(NULL, token);
	return 0;
}

static UNUSED int fake_del(void *ctx, const struct ha_key *key)
{
	struct ha_version v = {1, ++fake.generation, 1};

	assert_true(ha_store_delete(fake.store, key, &v, 1) >= 0);
	return 0;
}

static UNUSED uint64_t fake_now(void *ctx)
{
	return fake.now;
}

static void fake_building(void *ctx, const struct call *c)
{
	fake.building = c ? c->id : 0;
	if (c)
		fake.built = c->id;
}

static const struct call_ops fake_ops = {
	.adopt = fake_adopt,
	.request = fake_request,
	.redirect = fake_redirect,
	.response = fake_response,
	.ack = fake_ack,
	.cancel = fake_cancel,
	.retransmit = fake_retransmit,
	.repeat = fake_repeat,
	.restore = fake_restore,
	.release = fake_release,
	.forget = fake_forget,
	.drained = fake_drained,
	.local_host = fake_local_host,
	.sdp = fake_sdp,
	.reoffer = fake_reoffer,
	.reanswer = fake_reanswer,
	.exchanged = fake_exchanged,
	.counted = fake_counted,
	.offer_refused = fake_offer_refused,
	.stream_valid = fake_stream_valid,
	.put = fake_put,
	.del = fake_del,
	.committed = fake_committed,
	.now_ms = fake_now,
	.building = fake_building,
};

static UNUSED void fake_release_tokens(void)
{
	fake.hold = false;
	for (size_t i = 0; i < fake.tokens_len; i++)
		fake_committed(NULL, fake.tokens[i]);
	fake.tokens_len = 0;
}

static UNUSED void fake_create(void)
{
	struct b2bua_params p = {.config = fake.config,
				 .node = 1,
				 .shards = 1,
				 .ops = &fake_ops,
				 .ctx = &fake};

	memset(p.key.bytes, 7, sizeof(p.key.bytes));
	assert_int_equal(b2bua_create(&fake.b, &p), 0);
	fake.sent_len = fake.seen = 0;
	fake.tokens_len = 0;
}

static UNUSED bool fake_replay_one(void *ctx, const struct ha_item *item)
{
	if (!item->deleted)
		assert_int_equal(b2bua_record(fake.b, &item->key, item->value,
					      item->size),
				 0);
	return true;
}

/* Another node, or the next process: it only has the records. */
static UNUSED void fake_take_over(void)
{
	b2bua_destroy(fake.b);
	assert_int_equal(fake.handles, 0);
	fake_create();
	ha_store_foreach(fake.store, fake_replay_one, NULL);
	b2bua_activate(fake.b, 1);
	fake.now += B2BUA_RESTORE_TICK_MS;
	b2bua_turn(fake.b);
}

static UNUSED int fake_up(void **state)
{
	struct config_errors errors = {.len = 0};

	memset(&fake, 0, sizeof(fake));
	fake.now = 1000000;
	log_init("a", "test", LOG_CRIT);
	if (config_parse(&fake.config, fake_conf, "t", &errors)) {
		fprintf(stderr, "%s", errors.text);
		return -1;
	}
	if (ha_store_create(&fake.store))
		return -1;
	fake_create();
	b2bua_activate(fake.b, 1);
	return 0;
}

static UNUSED int fake_down(void **state)
{
	b2bua_destroy(fake.b);
	if (fake.handles)
		return -1;
	ha_store_destroy(fake.store);
	config_destroy(fake.config);
	return 0;
}

/* ---- what comes in ---------------------------------------------------------
 */

static UNUSED struct call_message message(enum call_method method, char side,
					  uint32_t cseq, const char *sdp)
{
	struct call_message m = {
		.method = method,
		.method_name = call_method_name(method),
		.sip_interface = side == 'a' ? "core" : "cloud",
		.transport = TRANSPORT_UDP,
		.cseq = cseq,
		.call_id = "call-1",
		.from_tag = "fa",
		.to_tag = "",
		.branch = "z9hG4bKx",
		.from = "<sip:alice@10.10.0.50>",
		.to = "<sip:200@10.10.0.10>",
		.from_user = "alice",
		.from_host = "10.10.0.50",
		.from_display = "",
		.request_user = "200",
		.contact = "sip:alice@10.10.0.50:5060",
		.route = "",
		.sdp = sdp,
		.sdp_size = sdp ? strlen(sdp) : 0,
		.source_msg = "x",
	};

	assert_int_equal(
		addr_parse_ip(&m.source,
			      side == 'a' ? "10.10.0.50" : "10.20.0.50", 5060),
		0);
	return m;
}

static UNUSED struct call *only_call(void)
{
	struct call *c = b2bua_next_call(fake.b, NULL);

	assert_non_null(c);
	assert_null(b2bua_next_call(fake.b, c));
	return c;
}

static UNUSED struct leg *leg_at(char side)
{
	struct leg *l = leg_find_sub(only_call(), side == 'a' ? 0 : 1);

	assert_non_null(l);
	return l;
}

static UNUSED int place(const char *sdp)
{
	struct call_message m = message(METHOD_INVITE, 'a', 1, sdp);
	struct call_answer answer = {0};
	struct addr a;
	const struct config_agent *agent =
		config_agent_find(fake.config, "pbx");

	(void)a;
	return b2bua_invite(fake.b, &m, agent, &fake, &answer)
		       ?: (fake.handles++, 0);
}

/* A response to our request on that side. */
static UNUSED void respond(enum call_method method, char side, uint16_t status,
			   const char *sdp)
{
	struct call_message m = message(method, side, 0, sdp);
	struct txn *t = txn_find(leg_at(side), TXN_CLIENT, method);

	assert_non_null(t);
	m.cseq = t->cseq;
	m.status = status;
	m.reason = "Reason";
	m.to_tag = status > 100 ? "tz" : "";
	m.contact = "sip:z@10.20.0.50:5060";
	b2bua_response(fake.b, t, &m);
}

static UNUSED int ask(enum call_method method, char side, uint32_t cseq,
		      const char *sdp)
{
	struct call_message m = message(method, side, cseq, sdp);
	struct call_answer answer = {0};
	int status = b2bua_request(fake.b, leg_at(side), &m, &fake, &answer);

	if (!status)
		fake.handles++;
	return status;
}

static UNUSED void acknowledge(char side, uint32_t cseq, const char *sdp)
{
	struct call_message m = message(METHOD_ACK, side, cseq, sdp);

	b2bua_ack(fake.b, leg_at(side), &m);
}

static UNUSED void turn(uint64_t ms)
{
	fake.now += ms;
	b2bua_turn(fake.b);
}

static UNUSED void expect_sent(const char *what)
{
	for (; fake.seen < fake.sent_len; fake.seen++)
		if (!strcmp(fake.sent[fake.seen].what, what)) {
			fake.seen++;
			return;
		}
	for (size_t i = 0; i < fake.sent_len; i++)
		print_message("  %s\n", fake.sent[i].what);
	fail_msg("not sent: %s", what);
}

static UNUSED void expect_silence(void)
{
	if (fake.seen < fake.sent_len)
		fail_msg("sent: %s", fake.sent[fake.seen].what);
}

static UNUSED void expect_gone(void)
{
	struct b2bua_stats s;

	turn(0);
	b2bua_stats(fake.b, &s);
	assert_int_equal(s.calls, 0);
	assert_int_equal(s.legs, 0);
	assert_int_equal(s.txns, 0);
	assert_int_equal(s.ports, 0);
	assert_int_equal(ha_store_count(fake.store), 0);
	assert_int_equal(fake.handles, 0);
}

static UNUSED void established(void)
{
	assert_int_equal(place("offer"), 0);
	expect_sent("> INVITE 1 z");
	respond(METHOD_INVITE, 'z', 180, NULL);
	expect_sent("< 180 a");
	respond(METHOD_INVITE, 'z', 200, "answer");
	expect_sent("< 200 a");
	acknowledge('a', 1, NULL);
	expect_sent("ACK 1 cloud");
	assert_int_equal(only_call()->state, CALL_ESTABLISHED);
}

#endif
