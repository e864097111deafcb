/* Requests within a dialog, and their responses, from one leg to the other. */
#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "sbcd/base/log.h"
#include "sbcd/call/b2bua_int.h"

uint32_t leg_next_cseq(struct leg *l, struct rec_dialog *d)
{
	if (l->restored) {
		/* The node before us may have used numbers it could not tell
		 * us; the peer refuses a number it has seen. */
		d->local_cseq += B2BUA_CSEQ_JUMP;
		l->restored = false;
	}
	d->relayed_cseq = 0;
	return ++d->local_cseq;
}

void dialog_learn(struct rec_dialog *d, const struct call_message *m,
		  bool route)
{
	if (m->to_tag && *m->to_tag && m->status &&
	    d->state != DIALOG_CONFIRMED)
		snprintf(d->remote_tag, sizeof(d->remote_tag), "%s", m->to_tag);
	if (m->contact && *m->contact &&
	    strlen(m->contact) < sizeof(d->remote_target))
		strcpy(d->remote_target, m->contact);
	if (route && d->state != DIALOG_CONFIRMED && m->route &&
	    strlen(m->route) < sizeof(d->route))
		strcpy(d->route, m->route);
	if (m->source.family != ADDR_NONE)
		d->peer = m->source;
}

void txn_answer(struct txn *t, const struct rec_dialog *d,
		const struct call_send *s, uint64_t token)
{
	struct call *c = t->call;
	struct b2bua *b = c->owner;
	bool ok2xx = s->status >= 200 && s->status < 300;

	t->last_status = s->status;
	if (s->status >= 200)
		reliable_over(t);
	if (ok2xx && t->method == METHOD_INVITE) {
		t->state = TXN_ANSWERED;
		t->until_ms = b2bua_now(b) + B2BUA_T1X64_MS;
		store_txn_dirty(t);
	} else if (s->status >= 200) {
		t->done = true;
	}
	if (b->ops->response(b->ctx, t, d, s, token)) {
		log_rated(
			LOG_WARNING,
			"event=response-send call=%016llx status=%u result=failed",
			(unsigned long long)c->id, s->status);
		if (t->done)
			b2bua_sent(b, t, s->status);
	}
	timers_rearm(c);
}

void txn_reject(struct txn *t, uint16_t status, const char *reason,
		uint64_t token)
{
	struct call_send s = {.method = (enum call_method)t->method,
			      .cseq = t->cseq,
			      .status = status,
			      .reason = reason};
	struct rec_dialog d;

	if (leg_load(t->leg, &d))
		memset(&d, 0, sizeof(d));
	txn_answer(t, &d, &s, token);
}

void b2bua_sent(struct b2bua *b, struct txn *t, uint16_t status)
{
	struct call *c = t->call;

	if (t->state == TXN_ANSWERED && !t->done) {
		t->retransmit_ms = B2BUA_T1_MS;
		t->next_ms = b2bua_now(b) + B2BUA_T1_MS;
		timers_rearm(c);
		return;
	}
	if (t->unpracked && status < 200) {
		reliable_sent(t);
		timers_rearm(c);
	}
	if (!t->done || status < 200)
		return;
	txn_free(t);
	timers_rearm(c);
	call_settle(c);
}

void b2bua_drained(struct b2bua *b, struct call *c)
{
	call_settle(c);
}

/* ---- requests ---------------------------------------------------------------
 */

static bool invite_pending(const struct leg *l, uint8_t side)
{
	return txn_find(l, side, METHOD_INVITE) != NULL;
}

static uint16_t retry_soon(struct call_answer *answer)
{
	answer->retry_after_s = 3;
	return 500;
}

/* RFC 3261 section 14.2, RFC 3311 section 5.2. 0 = no glare. */
static uint16_t check_glare(const struct leg *l, const struct leg *other,
			    const struct call_message *m,
			    struct call_answer *answer)
{
	bool offer = m->method == METHOD_INVITE ||
		     (m->method == METHOD_UPDATE && m->sdp_size);
	struct txn *own;

	if (!offer)
		return 0;
	own = txn_find(l, TXN_SERVER, (enum call_method)m->method);
	if (own && own->state != TXN_ANSWERED)
		return retry_soon(answer);
	if (own)
		return 491;
	if (txn_find(l, TXN_CLIENT, METHOD_UPDATE) ||
	    txn_find(other, TXN_CLIENT, METHOD_UPDATE))
		return 491;
	if (m->method == METHOD_INVITE)
		return l->call->state != CALL_ESTABLISHED ||
				       invite_pending(l, TXN_CLIENT) ||
				       invite_pending(other, TXN_CLIENT) ||
				       invite_pending(other, TXN_SERVER)
			       ? 491
			       : 0;
	/* An UPDATE in the early dialog follows a finished exchange. */
	if (l->call->state == CALL_ESTABLISHED &&
	    (invite_pending(l, TXN_CLIENT) || invite_pending(l, TXN_SERVER)))
		return 491;
	return 0;
}

static uint16_t check_request(const struct leg *l, const struct rec_dialog *d,
			      const struct leg *other,
			      const struct rec_dialog *od,
			      const struct call_message *m,
			      struct call_answer *answer)
{
	if (l->call->state == CALL_ENDING || d->state == DIALOG_ENDED ||
	    od->state == DIALOG_ENDED)
		return 481;
	if (m->cseq < d->remote_cseq)
		return 500; /* RFC 3261 section 12.2.2 */
	if (!od->remote_tag[0])
		return 480;
	if (m->method == METHOD_PRACK && l->role != LEG_CALLER &&
	    !invite_pending(l, TXN_CLIENT) && !invite_pending(l, TXN_SERVER))
		return 481;
	return check_glare(l, other, m, answer);
}

struct exchange {
	struct b2bua *b;
	struct leg *l, *other;
	struct rec_dialog d, od;
	bool again; /* the node before us has forwarded it already */
	char sdp[REC_SDP_SIZE];
	ssize_t sdp_size;
};

static ssize_t relay_sdp(struct exchange *x, bool offer,
			 enum call_method method, const struct call_message *m,
			 struct call_refusal *why)
{
	struct call_body body = {
		.from = x->l,
		.from_d = &x->d,
		.to = x->other,
		.to_d = &x->od,
		.offer = offer,
		.reinvite = method == METHOD_INVITE,
		.in = m->sdp,
		.in_size = m->sdp_size,
		.out = x->sdp,
		.size = sizeof(x->sdp),
	};

	return x->b->ops->sdp(x->b->ctx, &body, why);
}

/* Is a body in this request the answer to something the other side offered?
 * Only in a PRACK, for an INVITE that came without an offer. */
static bool body_is_offer(const struct exchange *x,
			  const struct call_message *m)
{
	const struct txn *invite;

	if (m->method != METHOD_PRACK)
		return true;
	invite = txn_find(x->l, TXN_SERVER, METHOD_INVITE);
	return !invite || !invite->delayed;
}

/*
 * A request that is not recorded is sent again by its sender when its answer
 * was lost with a node. With the same number it has the same branch: to the
 * far side it is a retransmission too, and so not done twice. An INVITE would
 * be met with silence when its ACK had been heard.
 */
static bool was_relayed(const struct exchange *x, const struct call_message *m)
{
	return m->method != METHOD_INVITE && m->cseq == x->d.remote_cseq &&
	       m->cseq == x->od.relayed_cseq;
}

/* An offer of the INVITE under way has its answer (RFC 3261 section 13.2.1:
 * later ones are none), or there has been another exchange since. */
static void note_agreed(struct call *c)
{
	for (struct txn *t = c->txns; t; t = t->next) {
		if (t->method != METHOD_INVITE || t->done ||
		    t->state != TXN_PROCEEDING)
			continue;
		t->agreed = true;
		t->delayed = false;
		store_txn_dirty(t);
	}
}

static int forward(struct exchange *x, const struct call_message *m,
		   void *handle)
{
	struct b2bua *b = x->b;
	struct call_send send = {.method = m->method,
				 .method_name = m->method_name,
				 .source_msg = m->source_msg,
				 .sdp = x->sdp_size ? x->sdp : NULL,
				 .sdp_size = (size_t)x->sdp_size,
				 .rack_rseq = m->rack_rseq,
				 .rack_cseq = x->od.invite_cseq};
	struct txn *server = NULL, *client = NULL;
	uint64_t token = store_token(b);
	int err;

	err = txn_create(x->l, TXN_SERVER, m->method, &server);
	if (!err)
		err = txn_create(x->other, TXN_CLIENT, m->method, &client);
	if (err)
		goto err_free;
	if (x->again) {
		send.cseq = x->od.local_cseq;
	} else {
		send.cseq = leg_next_cseq(x->other, &x->od);
		x->od.relayed_cseq = m->cseq;
	}
	if (m->method == METHOD_INVITE) {
		x->od.invite_cseq = send.cseq;
		x->od.ack_has_sdp = false;
	}
	server->pair = client;
	client->pair = server;
	server->delayed = client->delayed = !m->sdp_size;
	server->cseq = m->cseq;
	server->transport = m->transport;
	server->peer = m->source;
	snprintf(server->branch, sizeof(server->branch), "%s",
		 m->branch ? m->branch : "");
	client->cseq = send.cseq;
	client->transport = x->od.transport;
	err = b->ops->request(b->ctx, client, &x->od, &send, token);
	if (err)
		goto err_free;
	txn_wait(client);
	server->handle = handle;
	b->ops->adopt(b->ctx, server, x->d.local_tag);
	store_txn_dirty(server);
	store_txn_dirty(client);
	if (m->method == METHOD_PRACK && m->sdp_size && !body_is_offer(x, m))
		note_agreed(x->l->call);
	if (leg_store(x->l, &x->d) || leg_store(x->other, &x->od))
		log_rated(LOG_ERR, "event=dialog-store result=failed");
	store_commit(x->l->call, token);
	return 0;
err_free:
	if (client)
		txn_free(client);
	if (server)
		txn_free(server);
	return err;
}

static uint32_t acked_cseq(const struct leg *l)
{
	struct rec_call r;

	if (call_load(l->call, &r))
		return 0;
	for (unsigned i = 0; i < r.legs_len; i++)
		if (r.legs[i].leg == l->sub)
			return r.legs[i].acked_cseq;
	return 0;
}

/* A transaction of the node before us; of ours the stack knows. */
static bool is_under_way(const struct leg *l, const struct call_message *m)
{
	if (!m->branch || !*m->branch)
		return false;
	for (const struct txn *t = l->call->txns; t; t = t->next)
		if (t->leg == l && t->side == TXN_SERVER &&
		    t->method == m->method && t->cseq == m->cseq &&
		    !strcmp(t->branch, m->branch))
			return true;
	return false;
}

bool b2bua_is_copy(const struct leg *l, const struct call_message *m)
{
	return is_under_way(l, m) ||
	       (m->method == METHOD_INVITE && m->cseq <= acked_cseq(l));
}

struct leg *b2bua_find_caller(struct b2bua *b, const struct call_message *m)
{
	struct call *c = setup_find(b, m);

	return c && !c->restore_pending ? leg_find_sub(c, 0) : NULL;
}

static int relay_request(struct b2bua *b, struct leg *l,
			 const struct call_message *m, void *handle,
			 struct call_answer *answer)
{
	struct exchange x = {.b = b, .l = l, .other = leg_peer(l)};
	struct call_refusal why = {0};
	uint16_t status;

	if (!x.other || leg_load(l, &x.d) || leg_load(x.other, &x.od))
		return 481;
	status = check_request(l, &x.d, x.other, &x.od, m, answer);
	if (status)
		return status;
	x.again = was_relayed(&x, m);
	x.d.remote_cseq = m->cseq;
	if (m->method == METHOD_INVITE || m->method == METHOD_UPDATE)
		dialog_learn(&x.d, m, false);
	if (m->sdp_size) {
		x.sdp_size = relay_sdp(&x, body_is_offer(&x, m),
				       (enum call_method)m->method, m, &why);
		if (x.sdp_size < 0) {
			answer->warning = why.warning;
			snprintf(answer->text, sizeof(answer->text), "%s",
				 why.text);
			return x.sdp_size == -EAGAIN ? 503 : 488;
		}
	}
	if (!forward(&x, m, handle))
		return 0;
	if (m->sdp_size)
		b->ops->exchanged(b->ctx, l->call, EXCHANGE_REFUSED);
	return 500;
}

int b2bua_request(struct b2bua *b, struct leg *l, const struct call_message *m,
		  void *handle, struct call_answer *answer)
{
	if (m->method == METHOD_BYE) {
		end_request(l, m, handle);
		return 0;
	}
	if (m->method == METHOD_PRACK) {
		uint16_t status = reliable_prack(l, m);

		if (status)
			return status;
	}
	return relay_request(b, l, m, handle, answer);
}

void b2bua_ack(struct b2bua *b, struct leg *l, const struct call_message *m)
{
	for (struct txn *t = l->call->txns; t; t = t->next)
		if (t->leg == l && t->side == TXN_SERVER &&
		    t->method == METHOD_INVITE && t->state == TXN_ANSWERED &&
		    t->cseq == m->cseq) {
			setup_ack(l, t, m);
			return;
		}
}

void b2bua_cancel(struct b2bua *b, struct txn *t)
{
	struct call *c = t->call;
	struct txn *client = t->pair;

	if (t->side != TXN_SERVER || t->method != METHOD_INVITE || t->done)
		return;
	if (c->state < CALL_ANSWERED) {
		struct end_info info = {.cause = 487,
					.text = "Cancelled",
					.by_leg = (uint8_t)(t->leg->sub + 1)};

		call_event(c, CALL_EV_CANCEL, &info);
		return;
	}
	/* A re-INVITE: what the far side makes of it goes back, also a 200
	 * that crosses, so that both see the same session. */
	if (!client || client->cancelled)
		return;
	client->cancelled = true;
	if (client->provisional)
		b->ops->cancel(b->ctx, client, NULL, 0);
}

/* ---- responses
 * ---------------------------------------------------------------
 */

static bool carries_answer(const struct txn *t, const struct call_message *m)
{
	if (!m->sdp_size || t->agreed)
		return false;
	return t->method == METHOD_INVITE || t->method == METHOD_UPDATE ||
	       t->method == METHOD_PRACK;
}

/* The session's answer or offer in a response; false: it was unusable. */
static bool relay_body(struct txn *t, const struct call_message *m,
		       struct exchange *x, struct call_refusal *why)
{
	bool offer = t->method == METHOD_INVITE && t->delayed;

	if (!carries_answer(t, m) || (m->status < 200 && offer && !m->has_rseq))
		return true;
	x->sdp_size = relay_sdp(x, offer, (enum call_method)t->method, m, why);
	if (x->sdp_size >= 0)
		return true;
	x->sdp_size = 0;
	return false;
}

/* A 2xx whose body we cannot use: its INVITE gets an ACK all the same. */
static void unusable(struct txn *t, struct exchange *x, const char *text)
{
	struct txn *server = t->pair;
	struct call *c = t->call;

	if (t->method == METHOD_INVITE)
		leg_ack(x->l, &x->d, 0);
	txn_free(t);
	if (server)
		txn_reject(server, 488, NULL, 0);
	b2bua_end(c->owner, c, 488, text);
}

/* An offer was in the request, and so not in the ACK or nowhere. */
static bool offered(const struct txn *t)
{
	const struct txn *invite;

	if (t->method == METHOD_INVITE)
		return true;
	if (t->delayed ||
	    (t->method != METHOD_UPDATE && t->method != METHOD_PRACK))
		return false;
	/* That of a PRACK may be the answer to what a 1xx offered. */
	invite = txn_find(leg_peer(t->leg), TXN_SERVER, METHOD_INVITE);
	return t->method == METHOD_UPDATE || !invite || !invite->delayed;
}

static void exchange_over(struct txn *t, uint16_t status)
{
	struct b2bua *b = t->call->owner;

	if (!offered(t))
		return;
	if (status >= 300) {
		if (!t->delayed)
			b->ops->offer_refused(b->ctx, t->leg, status);
		b->ops->exchanged(b->ctx, t->call, EXCHANGE_REFUSED);
	} else if (t->method != METHOD_INVITE) {
		/* Nobody sends an ACK. */
		b->ops->exchanged(b->ctx, t->call, EXCHANGE_DONE);
		note_agreed(t->call);
	}
}

static void forward_response(struct txn *t, const struct call_message *m)
{
	struct call *c = t->call;
	struct txn *server = t->pair;
	struct exchange x = {
		.b = c->owner, .l = t->leg, .other = leg_peer(t->leg)};
	struct call_send send = {.method = (enum call_method)t->method,
				 .cseq = server->cseq,
				 .status = m->status,
				 .reason = m->reason,
				 .source_msg = m->source_msg};
	struct call_refusal why = {0};
	bool final = m->status >= 200, usable;
	uint64_t token;

	if (!x.other || leg_load(x.l, &x.d) || leg_load(x.other, &x.od))
		return;
	if (m->status < 300 &&
	    (t->method == METHOD_INVITE || t->method == METHOD_UPDATE))
		dialog_learn(&x.d, m, false);
	usable = relay_body(t, m, &x, &why);
	if (leg_store(x.l, &x.d) || leg_store(x.other, &x.od))
		log_rated(LOG_ERR, "event=dialog-store result=failed");
	if (final && !usable) {
		unusable(t, &x, why.text);
		return;
	}
	send.sdp = x.sdp_size ? x.sdp : NULL;
	send.sdp_size = (size_t)x.sdp_size;
	token = store_token(c->owner);
	if (final)
		exchange_over(t, m->status);
	if (final) {
		server->pair = NULL;
		t->pair = NULL;
	}
	txn_answer(server, &x.od, &send, token);
	if (t->recorded && (final || x.sdp_size))
		store_commit(c, token);
	else {
		store_flush(c);
		c->owner->ops->committed(c->owner->ctx, token);
	}
}

void relay_response(struct txn *t, const struct call_message *m)
{
	struct call *c = t->call;
	bool first = !t->provisional, paired = t->pair != NULL;
	uint16_t status = m->status;
	bool gone = t->method == METHOD_INVITE &&
		    (status == 481 || (status == 408 && !m->source_msg));

	if (status < 200) {
		t->provisional = true;
		if (first && t->cancelled)
			c->owner->ops->cancel(c->owner->ctx, t, NULL, 0);
	}
	if (status > 100 && t->pair &&
	    (status >= 200 || t->method == METHOD_INVITE)) {
		forward_response(t, m);
		/* An unusable answer has ended it already. */
		for (struct txn *i = c->txns; i != t; i = i->next)
			if (!i)
				return;
	}
	if (status < 200)
		return;
	/* Nobody is told of it, so nothing has changed. */
	if (!paired && offered(t)) {
		c->owner->ops->exchanged(c->owner->ctx, c, EXCHANGE_REFUSED);
		store_flush(c);
	}
	txn_free(t);
	timers_rearm(c);
	/* RFC 3261 section 12.2.1.2: the dialog is gone over there. */
	if (gone)
		b2bua_end(c->owner, c, 481, "Dialog lost");
	else
		call_settle(c);
}

void b2bua_response(struct b2bua *b, struct txn *t,
		    const struct call_message *m)
{
	struct call *c = t->call;
	struct rec_dialog d;

	if (t->side != TXN_CLIENT)
		return;
	txn_heard(t);
	if (m->status < 200)
		t->last_status = m->status;
	if (t->method == METHOD_BYE) {
		end_response(t, m);
		return;
	}
	if (t->method == METHOD_INVITE &&
	    (c->state < CALL_ESTABLISHED ||
	     (c->state == CALL_ENDING && !leg_load(t->leg, &d) &&
	      d.state < DIALOG_CONFIRMED))) {
		setup_response(t, m);
		return;
	}
	if (c->state == CALL_ENDING && m->status >= 200) {
		/* A 2xx still wants its ACK. */
		if (t->method == METHOD_INVITE && m->status < 300 &&
		    !leg_load(t->leg, &d))
			leg_ack(t->leg, &d, 0);
		txn_free(t);
		call_settle(c);
		return;
	}
	if (t->method == METHOD_INVITE && !t->pair &&
	    c->state == CALL_ESTABLISHED)
		reoffer_response(t, m);
	else
		relay_response(t, m);
}
