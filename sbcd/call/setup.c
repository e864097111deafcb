/* A call from its INVITE to its ACK. */
#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "sbcd/base/log.h"
#include "sbcd/call/b2bua_int.h"

enum { REDIRECTS_MAX = 5 };

static void copy(char *out, size_t size, const char *in)
{
	snprintf(out, size, "%s", in ? in : "");
}

struct setup {
	struct b2bua *b;
	const struct call_message *m;
	const struct config_agent *from, *to;
	const struct config_sip_interface *sif; /* the callee's */
	struct token_seed seed;
	struct call *call;
	struct leg *a, *z;
	struct rec_dialog ad, zd;
	char sdp[REC_SDP_SIZE];
	ssize_t sdp_size;
};

static void make_seed(struct setup *s)
{
	const struct call_message *m = s->m;
	char cseq[16];
	const char *parts[] = {m->sip_interface, m->call_id, m->from_tag, cseq,
			       m->branch};

	snprintf(cseq, sizeof(cseq), "%u", m->cseq);
	token_seed(&s->b->key, &s->seed, parts, 5);
}

static void caller_dialog(struct setup *s)
{
	const struct call_message *m = s->m;
	struct rec_dialog *d = &s->ad;

	memset(d, 0, sizeof(*d));
	d->state = DIALOG_TRYING;
	d->transport = m->transport;
	copy(d->sip_interface, sizeof(d->sip_interface), m->sip_interface);
	copy(d->call_id, sizeof(d->call_id), m->call_id);
	copy(d->local_uri, sizeof(d->local_uri), m->to);
	copy(d->remote_uri, sizeof(d->remote_uri), m->from);
	token_text(&s->b->key, &s->seed, "to-tag", d->local_tag);
	copy(d->remote_tag, sizeof(d->remote_tag), m->from_tag);
	d->remote_cseq = m->cseq;
	copy(d->remote_target, sizeof(d->remote_target), m->contact);
	copy(d->route, sizeof(d->route), m->route);
	d->peer = m->source;
	d->sdp_session = token_number(&s->b->key, &s->seed, "sdp-a") >> 1;
}

/* "sip:user@host:port;transport=tcp" of a session agent. */
static void agent_uri(const struct config_agent *a, const char *user, char *out,
		      size_t size)
{
	char port[8] = "";
	const char *transport = a->transport == TRANSPORT_TCP ? ";transport=tcp"
				: a->transport == TRANSPORT_TLS
					? ";transport=tls"
					: "";
	bool v6 = strchr(a->host, ':') && a->host[0] != '[';

	if (a->address.port && a->address.port != 5060)
		snprintf(port, sizeof(port), ":%u", a->address.port);
	snprintf(out, size, "sip:%s%s%s%s%s%s%s", user, *user ? "@" : "",
		 v6 ? "[" : "", a->host, v6 ? "]" : "", port, transport);
}

static void display_uri(char *out, size_t size, const char *display,
			const char *user, const char *host)
{
	/* A name that does not fit must not cut the address off. */
	if (strlen(display) > 128)
		display = "";
	snprintf(out, size, "%s%s<sip:%s%s%s>", display, *display ? " " : "",
		 user, *user ? "@" : "", host);
}

static bool is_anonymous(const char *host)
{
	size_t len = strlen(host);

	return len >= 8 && !strcmp(host + len - 8, ".invalid");
}

static int callee_dialog(struct setup *s)
{
	struct b2bua *b = s->b;
	const struct call_message *m = s->m;
	struct rec_dialog *d = &s->zd;
	const char *user = m->request_user ? m->request_user : "";
	char host[80], uri[REC_URI_SIZE];
	int err;

	err = b->ops->local_host(b->ctx, s->sif->name, &s->to->address, host,
				 sizeof(host));
	if (err)
		return err;
	memset(d, 0, sizeof(*d));
	d->state = DIALOG_TRYING;
	d->transport = s->to->transport;
	copy(d->sip_interface, sizeof(d->sip_interface), s->sif->name);
	token_text(&b->key, &s->seed, "call-id", d->call_id);
	display_uri(d->local_uri, sizeof(d->local_uri),
		    m->from_display ? m->from_display : "",
		    m->from_user ? m->from_user : "",
		    m->from_host && is_anonymous(m->from_host) ? m->from_host
							       : host);
	agent_uri(s->to, user, d->remote_target, sizeof(d->remote_target));
	snprintf(uri, sizeof(uri), "<sip:%s%s%s>", user, *user ? "@" : "",
		 strchr(s->to->host, ':') ? "" : s->to->host);
	if (strchr(s->to->host, ':'))
		snprintf(uri, sizeof(uri), "<sip:%s%s[%s]>", user,
			 *user ? "@" : "", s->to->host);
	copy(d->remote_uri, sizeof(d->remote_uri), uri);
	token_text(&b->key, &s->seed, "from-tag", d->local_tag);
	d->local_cseq = d->invite_cseq = 1;
	d->peer = s->to->address;
	d->sdp_session = token_number(&b->key, &s->seed, "sdp-z") >> 1;
	return 0;
}

/* 0 or the status to refuse with. */
static int find_route(struct setup *s, struct call_answer *answer)
{
	const struct config *c = s->b->config;
	const struct call_message *m = s->m;
	const struct config_policy *p;

	p = config_route(c, s->from->realm, m->from_user ? m->from_user : "",
			 m->request_user ? m->request_user : "");
	if (!p)
		return 404;
	s->to = p->next_hop;
	s->sif = config_sip_interface_of_realm(c, s->to->realm);
	if (!s->sif)
		return 404;
	if (c->sip.max_calls && call_count(s->b) >= c->sip.max_calls) {
		answer->retry_after_s = 5;
		return 503;
	}
	return 0;
}

static int store_call(struct setup *s)
{
	struct rec_call r;
	uint64_t now = b2bua_now(s->b);
	const struct config_sip_options *o = &s->b->config->sip;

	memset(&r, 0, sizeof(r));
	r.state = CALL_TRYING;
	r.created_ms = now;
	r.epoch = s->b->epoch;
	r.next_txn = s->call->next_txn;
	copy(r.from_uri, sizeof(r.from_uri), s->m->from);
	copy(r.to_uri, sizeof(r.to_uri), s->m->to);
	r.legs_len = 2;
	r.legs[0].leg = 0;
	r.legs[0].role = LEG_CALLER;
	copy(r.legs[0].sip_interface, sizeof(r.legs[0].sip_interface),
	     s->m->sip_interface);
	copy(r.legs[0].agent, sizeof(r.legs[0].agent), s->from->name);
	r.legs[1].leg = 1;
	r.legs[1].role = LEG_CALLEE;
	copy(r.legs[1].sip_interface, sizeof(r.legs[1].sip_interface),
	     s->sif->name);
	copy(r.legs[1].agent, sizeof(r.legs[1].agent), s->to->name);
	if (o->ring_timeout_ms)
		s->call->ring_deadline_ms = now + o->ring_timeout_ms;
	return call_store(s->call, &r);
}

static int create_call(struct setup *s)
{
	struct call *c;
	int err;

	err = call_create(s->b, token_number(&s->b->key, &s->seed, "call"), &c);
	if (err)
		return err;
	s->call = c;
	err = leg_create(c, 0, LEG_CALLER, &s->a);
	if (!err)
		err = leg_create(c, 1, LEG_CALLEE, &s->z);
	if (!err)
		err = leg_store(s->a, &s->ad);
	if (!err)
		err = leg_store(s->z, &s->zd);
	/* Whose the legs are says how their media is secured. */
	return err ? err : store_call(s);
}

/* The two transactions, the far INVITE, and everything on record. */
static int send_invite(struct setup *s, void *handle)
{
	struct b2bua *b = s->b;
	struct txn *server, *client;
	struct call_send send = {.method = METHOD_INVITE,
				 .cseq = s->zd.local_cseq,
				 .sdp = s->sdp_size ? s->sdp : NULL,
				 .sdp_size = (size_t)s->sdp_size,
				 .source_msg = s->m->source_msg};
	uint64_t token = store_token(b);
	int err;

	err = txn_create(s->a, TXN_SERVER, METHOD_INVITE, &server);
	if (err)
		return err;
	err = txn_create(s->z, TXN_CLIENT, METHOD_INVITE, &client);
	if (err)
		return err;
	server->pair = client;
	client->pair = server;
	server->delayed = client->delayed = !s->sdp_size;
	server->cseq = s->m->cseq;
	server->transport = s->m->transport;
	server->peer = s->m->source;
	server->wants_prack = s->m->wants_prack;
	client->cseq = send.cseq;
	client->transport = s->to->transport;
	client->peer = s->to->address;
	snprintf(server->branch, sizeof(server->branch), "%s",
		 s->m->branch ? s->m->branch : "");
	err = b->ops->request(b->ctx, client, &s->zd, &send, token);
	if (err)
		return err;
	txn_wait(client);
	/* From here on the call owns the stack's transaction. */
	server->handle = handle;
	b->ops->adopt(b->ctx, server, s->ad.local_tag);
	store_txn_dirty(server);
	store_txn_dirty(client);
	err = leg_store(s->a, &s->ad);
	if (!err)
		err = leg_store(s->z, &s->zd);
	if (!err)
		err = store_call(s);
	if (err)
		log_err("event=call-store call=%016llx result=failed error=%d",
			(unsigned long long)s->call->id, -err);
	store_commit(s->call, token);
	return 0;
}

struct call *setup_find(struct b2bua *b, const struct call_message *m)
{
	struct setup s = {.b = b, .m = m};

	make_seed(&s);
	return call_find(b, token_number(&b->key, &s.seed, "call"));
}

/* An INVITE that makes no call is on record for its CDR, and gone again. */
static int refuse(struct setup *s, int status, const char *text)
{
	struct b2bua *b = s->b;
	struct rec_call r;

	make_seed(s);
	caller_dialog(s);
	memset(&r, 0, sizeof(r));
	r.state = CALL_ENDING;
	r.created_ms = r.ending_ms = b2bua_now(b);
	r.epoch = b->epoch;
	r.end_cause = (uint16_t)status;
	copy(r.end_text, sizeof(r.end_text), text);
	copy(r.from_uri, sizeof(r.from_uri), s->m->from);
	copy(r.to_uri, sizeof(r.to_uri), s->m->to);
	r.legs_len = 1;
	r.legs[0].role = LEG_CALLER;
	copy(r.legs[0].sip_interface, sizeof(r.legs[0].sip_interface),
	     s->m->sip_interface);
	copy(r.legs[0].agent, sizeof(r.legs[0].agent), s->from->name);
	store_attempt(b, token_number(&b->key, &s->seed, "call"), &r, &s->ad);
	return status;
}

int b2bua_invite(struct b2bua *b, const struct call_message *m,
		 const struct config_agent *agent, void *handle,
		 struct call_answer *answer)
{
	struct setup s = {.b = b, .m = m, .from = agent};
	struct call_refusal why = {0};
	int status, err;

	status = find_route(&s, answer);
	if (status)
		return refuse(&s, status, "");
	make_seed(&s);
	s.call = call_find(b, token_number(&b->key, &s.seed, "call"));
	if (s.call)
		return restore_invite(s.call, handle) ? 482 : 0;
	caller_dialog(&s);
	err = callee_dialog(&s);
	if (!err)
		err = create_call(&s);
	if (!err && m->sdp_size) {
		struct call_body body = {
			.from = s.a,
			.from_d = &s.ad,
			.to = s.z,
			.to_d = &s.zd,
			.offer = true,
			.in = m->sdp,
			.in_size = m->sdp_size,
			.out = s.sdp,
			.size = sizeof(s.sdp),
		};

		s.sdp_size = b->ops->sdp(b->ctx, &body, &why);
		if (s.sdp_size < 0) {
			call_free(s.call);
			answer->warning = why.warning;
			copy(answer->text, sizeof(answer->text), why.text);
			return refuse(&s, s.sdp_size == -EAGAIN ? 503 : 488,
				      why.text);
		}
	}
	if (!err)
		err = send_invite(&s, handle);
	if (err) {
		if (s.call)
			call_free(s.call);
		log_rated(LOG_WARNING,
			  "event=call-setup result=failed error=%d", -err);
		return err == -EEXIST ? 482 : refuse(&s, 500, "");
	}
	counters_add(b->counters, COUNTER_sip_calls_attempted, 1);
	timers_rearm(s.call);
	log_info("event=call-new call=%016llx from=%s to=%s",
		 (unsigned long long)s.call->id, s.from->name, s.to->name);
	return 0;
}

/* ---- what the callee says ---------------------------------------------------
 */

struct both {
	struct leg *a, *z; /* caller, callee */
	struct rec_dialog ad, zd;
	char sdp[REC_SDP_SIZE];
	ssize_t sdp_size;
};

static int load_both(struct txn *t, struct both *x)
{
	x->z = t->leg;
	x->a = leg_peer(t->leg);
	x->sdp_size = 0;
	if (!x->a || leg_load(x->a, &x->ad) || leg_load(x->z, &x->zd))
		return -ENOENT;
	return 0;
}

static void store_both(struct both *x)
{
	if (leg_store(x->a, &x->ad) || leg_store(x->z, &x->zd))
		log_rated(LOG_ERR, "event=dialog-store result=failed");
}

static void store_progress(struct call *c, uint8_t state)
{
	struct rec_call r;
	uint64_t now = b2bua_now(c->owner);

	if (call_load(c, &r))
		return;
	r.state = state;
	r.next_txn = c->next_txn;
	if (state == CALL_RINGING && !r.ringing_ms)
		r.ringing_ms = now;
	if (state == CALL_ANSWERED && !r.answered_ms) {
		uint32_t max = c->owner->config->sip.max_call_ms;

		r.answered_ms = now;
		r.max_duration_deadline_ms = max ? now + max : 0;
	}
	if (call_store(c, &r))
		log_rated(LOG_ERR, "event=call-store result=failed");
}

/* What the callee says of the session, on its way to the caller. */
static ssize_t callee_sdp(struct both *x, bool offer,
			  const struct call_message *m,
			  struct call_refusal *why)
{
	struct b2bua *b = x->z->call->owner;
	struct call_body body = {
		.from = x->z,
		.from_d = &x->zd,
		.to = x->a,
		.to_d = &x->ad,
		.offer = offer,
		.in = m->sdp,
		.in_size = m->sdp_size,
		.out = x->sdp,
		.size = sizeof(x->sdp),
	};

	return b->ops->sdp(b->ctx, &body, why);
}

static void provisional(struct txn *t, const struct call_message *m)
{
	struct call *c = t->call;
	struct b2bua *b = c->owner;
	struct call_step step = call_fsm_step(c->state, CALL_EV_PROVISIONAL);
	struct call_send send = {.method = METHOD_INVITE,
				 .cseq = t->pair ? t->pair->cseq : 0,
				 .status = m->status,
				 .reason = m->reason,
				 .source_msg = m->source_msg};
	struct call_refusal why = {0};
	struct both x;
	uint64_t token;

	if (!(step.actions & CALL_ACT_FORWARD) || !t->pair || load_both(t, &x))
		return;
	dialog_learn(&x.zd, m, true);
	if (m->to_tag && *m->to_tag)
		x.zd.state = x.ad.state = DIALOG_EARLY;
	/* Without a reliable response an offer cannot be answered. */
	if (m->sdp_size && !t->agreed && (!t->delayed || m->has_rseq)) {
		x.sdp_size = callee_sdp(&x, t->delayed, m, &why);
		if (x.sdp_size < 0) {
			log_rated(
				LOG_NOTICE,
				"event=early-sdp-refused call=%016llx why=\"%s\"",
				(unsigned long long)c->id, why.text);
			x.sdp_size = 0;
		}
	}
	send.sdp = x.sdp_size ? x.sdp : NULL;
	send.sdp_size = (size_t)x.sdp_size;
	store_both(&x);
	store_progress(c, step.next);
	token = store_token(b);
	if (reliable_number(t->pair, m, &send))
		txn_answer(t->pair, &x.ad, &send, token);
	store_commit(c, token);
}

/* Its answer cannot be used: nobody gets a call. */
static void refuse_answer(struct txn *t, struct both *x,
			  const struct call_refusal *why)
{
	struct call *c = t->call;
	uint64_t token = store_token(c->owner);
	struct end_info info = {.cause = 488, .text = why->text};

	store_both(x);
	leg_ack(x->z, &x->zd, token);
	leg_bye(x->z, why->text, token);
	txn_free(t);
	store_commit(c, token);
	call_event(c, CALL_EV_REJECT, &info);
}

static void answered(struct txn *t, const struct call_message *m)
{
	struct call *c = t->call;
	struct b2bua *b = c->owner;
	struct call_step step = call_fsm_step(c->state, CALL_EV_ANSWER);
	struct txn *server = t->pair;
	struct call_send send = {.method = METHOD_INVITE,
				 .status = m->status,
				 .reason = m->reason,
				 .source_msg = m->source_msg};
	struct call_refusal why = {0};
	struct both x;
	uint64_t token;

	if (load_both(t, &x))
		return;
	dialog_learn(&x.zd, m, true);
	x.zd.state = DIALOG_CONFIRMED;
	x.zd.invite_cseq = t->cseq;
	if (!(step.actions & CALL_ACT_FORWARD) || !server) {
		store_both(&x);
		txn_free(t);
		call_event(c, CALL_EV_ANSWER, &(struct end_info){0});
		return;
	}
	if (m->sdp_size && !t->agreed)
		x.sdp_size = callee_sdp(&x, t->delayed, m, &why);
	if (x.sdp_size < 0) {
		refuse_answer(t, &x, &why);
		return;
	}
	send.cseq = server->cseq;
	send.sdp = x.sdp_size ? x.sdp : NULL;
	send.sdp_size = (size_t)x.sdp_size;
	x.ad.state = DIALOG_CONFIRMED;
	store_both(&x);
	store_progress(c, step.next);
	c->ring_deadline_ms = 0;
	token = store_token(b);
	txn_answer(server, &x.ad, &send, token);
	store_commit(c, token);
	txn_free(t);
	timers_rearm(c);
	counters_add(b->counters, COUNTER_sip_calls_answered, 1);
	log_info("event=call-answered call=%016llx", (unsigned long long)c->id);
}

/*
 * RFC 3261 section 8.1.3.4: the same INVITE with the next number, to where the
 * peer says. The numbers of a call that is not answered yet count how often.
 */
static int redirect(struct txn *t, const struct call_message *m)
{
	struct call *c = t->call;
	struct b2bua *b = c->owner;
	uint64_t token = store_token(b);
	struct rec_dialog d;
	struct txn *again;
	int err;

	if (!t->pair || t->cancelled || t->cseq > REDIRECTS_MAX ||
	    leg_load(t->leg, &d))
		return -EINVAL;
	err = txn_create(t->leg, TXN_CLIENT, METHOD_INVITE, &again);
	if (err)
		return err;
	copy(d.remote_target, sizeof(d.remote_target), m->contact);
	d.remote_tag[0] = d.route[0] = '\0';
	d.state = DIALOG_TRYING;
	again->cseq = d.invite_cseq = leg_next_cseq(t->leg, &d);
	again->delayed = t->delayed;
	again->transport = t->transport;
	err = b->ops->redirect(b->ctx, again, t, &d, token);
	if (err) {
		txn_free(again);
		return err;
	}
	again->pair = t->pair;
	again->pair->pair = again;
	t->pair = NULL;
	txn_wait(again);
	store_txn_dirty(again);
	store_txn_dirty(again->pair);
	txn_free(t);
	if (leg_store(again->leg, &d))
		log_rated(LOG_ERR, "event=dialog-store result=failed");
	store_commit(c, token);
	log_info("event=call-redirected call=%016llx to=\"%s\"",
		 (unsigned long long)c->id, m->contact);
	return 0;
}

void setup_response(struct txn *t, const struct call_message *m)
{
	struct call *c = t->call;
	struct end_info info = {.cause = m->status,
				.text = m->reason,
				.by_leg = (uint8_t)(t->leg->sub + 1),
				.m = m};
	bool first = !t->provisional;

	if (m->status < 200) {
		t->provisional = true;
		if (first && t->cancelled)
			c->owner->ops->cancel(c->owner->ctx, t, NULL, 0);
		if (m->status > 100)
			provisional(t, m);
		return;
	}
	if (m->status < 300) {
		answered(t, m);
		return;
	}
	if (m->status == 302 && m->contact && *m->contact &&
	    c->state != CALL_ENDING && !redirect(t, m))
		return;
	if (!t->delayed && c->state != CALL_ENDING)
		c->owner->ops->offer_refused(c->owner->ctx, t->leg, m->status);
	txn_free(t);
	if (c->state == CALL_ENDING)
		call_settle(c);
	else
		call_event(c, CALL_EV_REJECT, &info);
}

/* ---- the ACK ----------------------------------------------------------------
 */

static bool ack_answer(struct leg *l, struct txn *server,
		       const struct call_message *m, struct call_refusal *why)
{
	struct b2bua *b = l->call->owner;
	struct both x = {.a = l, .z = leg_peer(l)};
	struct call_body body = {
		.from = x.a,
		.from_d = &x.ad,
		.to = x.z,
		.to_d = &x.zd,
		.reinvite = l->call->state == CALL_ESTABLISHED,
		.in = m->sdp,
		.in_size = m->sdp_size,
		.out = x.sdp,
		.size = sizeof(x.sdp),
	};

	if (!x.z || leg_load(x.a, &x.ad) || leg_load(x.z, &x.zd))
		return false;
	x.zd.ack_has_sdp = false;
	if (server->delayed) {
		x.sdp_size = -EINVAL;
		if (m->sdp_size)
			x.sdp_size = b->ops->sdp(b->ctx, &body, why);
		x.zd.ack_has_sdp = x.sdp_size > 0;
	}
	store_both(&x);
	return !server->delayed || x.zd.ack_has_sdp;
}

/* Whoever says ACK has the answer: copies of its INVITE mean nothing more. */
static void note_acked(struct leg *l, uint32_t cseq)
{
	struct call *c = l->call;
	struct rec_call r;

	if (call_load(c, &r))
		return;
	for (unsigned i = 0; i < r.legs_len; i++)
		if (r.legs[i].leg == l->sub)
			r.legs[i].acked_cseq = cseq;
	r.next_txn = c->next_txn;
	if (call_store(c, &r))
		log_rated(LOG_ERR, "event=call-store result=failed");
}

void setup_ack(struct leg *l, struct txn *server, const struct call_message *m)
{
	struct call *c = l->call;
	struct leg *other = leg_peer(l);
	struct b2bua *b = c->owner;
	struct call_refusal why = {.text = "No usable answer in the ACK"};
	struct end_info info = {0};
	struct rec_dialog d;
	bool usable;

	if (c->state == CALL_ENDING) {
		/* What waited for this ACK (RFC 3261 section 15). */
		uint64_t token = store_token(c->owner);

		txn_free(server);
		leg_bye(l, NULL, token);
		store_commit(c, token);
		call_settle(c);
		return;
	}
	usable = ack_answer(l, server, m, &why) || !server->delayed;
	note_acked(l, m->cseq);
	b->ops->exchanged(b->ctx, c, usable ? EXCHANGE_DONE : EXCHANGE_REFUSED);
	/* An answer of ours, and its keys, leave when they are on record. */
	if (server->delayed && usable)
		info.token = store_token(b);
	if (c->state == CALL_ANSWERED) {
		call_event(c, CALL_EV_ACK, &info);
	} else {
		if (other && !leg_load(other, &d))
			leg_ack(other, &d, info.token);
		if (info.token)
			store_commit(c, info.token);
		else
			store_flush(c);
	}
	/* Only now: without its record nobody asks for the ACK again. */
	txn_free(server);
	reoffer_arm(c);
	timers_rearm(c);
	if (!usable)
		b2bua_end(b, c, 488, why.text);
}
