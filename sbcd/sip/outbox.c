/*
 * Messages of a call that wait for a commit, in the order they were given.
 * Only here does anything leave for a peer within a call, but refusals.
 */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "sbcd/base/clock.h"
#include "sbcd/base/log.h"
#include "sbcd/sip/sip_int.h"

struct barrier {
	UT_hash_handle hh;
	uint64_t token;
	uint64_t call_id;
	uint64_t until_ms; /* monotonic */
};

struct held {
	struct held *next;
	struct txn *t; /* NULL: stateless, or the transaction is gone */
	struct sip_agent *a;
	msg_t *msg;
	uint64_t token; /* 0 = may go */
	enum held_kind kind;
	struct next_hop hop;
};

struct outbox {
	struct held *head;
	struct held **tail;
	bool draining;
};

static void held_free(struct sip_worker *w, struct held *h)
{
	msg_destroy(h->msg);
	free(h);
	w->held_len--;
}

static void fail(struct sip_worker *w, struct held *h)
{
	h->next = w->failed;
	w->failed = h;
}

/* ---- sending
 * ---------------------------------------------------------------------
 */

/*
 * A caller that has heard 100 does not ask again: it hears it when the INVITE
 * is on the other node too and on its way, and not before.
 */
static void send_trying(const struct txn *t)
{
	const struct txn *from = t->pair;

	if (t->method == METHOD_INVITE && from && from->handle &&
	    nta_incoming_status(from->handle) < 100)
		nta_incoming_treply(from->handle, SIP_100_TRYING, TAG_END());
}

/* True when the entry is kept as a failure. */
static bool send_request(struct sip_worker *w, struct held *h)
{
	struct txn *t = h->t;

	if (!t)
		return false;
	t->handle =
		message_send(h->a, h->msg, &h->hop, txn_response, t, t->branch);
	if (t->handle) {
		h->msg = NULL;
		send_trying(t);
		return false;
	}
	fail(w, h);
	return true;
}

static void send_response(struct sip_worker *w, struct held *h)
{
	struct txn *t = h->t;
	uint16_t status;

	if (!t || !t->handle)
		return;
	status = (uint16_t)sip_object(h->msg)->sip_status->st_status;
	nta_incoming_mreply(t->handle, h->msg);
	h->msg = NULL;
	b2bua_sent(w->b2bua, t, status);
}

static void send_ack(struct held *h)
{
	nta_outgoing_t *ack =
		message_send(h->a, h->msg, &h->hop, NULL, NULL, NULL);

	if (ack)
		h->msg = NULL;
	if (ack && ack != (nta_outgoing_t *)-1)
		nta_outgoing_destroy(ack);
}

static void send_cancel(struct held *h)
{
	struct txn *t = h->t;

	if (!t || t->cancel)
		return;
	/* Same branch as the INVITE, its own transaction. */
	t->cancel = message_send(h->a, h->msg, &h->hop, txn_cancelled, t,
				 t->branch);
	if (t->cancel)
		h->msg = NULL;
}

static void perform(struct sip_worker *w, struct held *h)
{
	switch (h->kind) {
	case HELD_REQUEST:
		if (send_request(w, h))
			return;
		break;
	case HELD_RESPONSE:
		send_response(w, h);
		break;
	case HELD_ACK:
		send_ack(h);
		break;
	case HELD_CANCEL:
		send_cancel(h);
		break;
	}
	held_free(w, h);
}

static void drain(struct sip_worker *w, struct call *c)
{
	struct outbox *o = c->outbox;

	if (!o || o->draining)
		return;
	o->draining = true;
	while (o->head && !o->head->token) {
		struct held *h = o->head;

		o->head = h->next;
		if (!o->head)
			o->tail = &o->head;
		perform(w, h);
	}
	o->draining = false;
	if (o->head)
		return;
	c->outbox = NULL;
	free(o);
	b2bua_drained(w->b2bua, c);
}

/* ---- queueing
 * --------------------------------------------------------------------
 */

static int barrier_add(struct sip_worker *w, uint64_t token, uint64_t call_id)
{
	struct barrier *b = NULL;

	HASH_FIND(hh, w->barriers, &token, sizeof(token), b);
	if (b)
		return 0;
	b = calloc(1, sizeof(*b));
	if (!b)
		return -ENOMEM;
	b->token = token;
	b->call_id = call_id;
	b->until_ms = clock_mono_ms() + SIP_COMMIT_MAX_MS;
	HASH_ADD(hh, w->barriers, token, sizeof(b->token), b);
	if (!b->hh.tbl) {
		free(b);
		return -ENOMEM;
	}
	return 0;
}

int outbox_add(struct sip_worker *w, struct call *c, struct txn *t,
	       enum held_kind kind, struct sip_agent *a, msg_t *msg,
	       const struct next_hop *hop, uint64_t token)
{
	struct outbox *o = c->outbox;
	struct held *h = calloc(1, sizeof(*h));

	if (!o && h) {
		o = calloc(1, sizeof(*o));
		if (o)
			o->tail = &o->head;
	}
	if (!h || !o) {
		free(h);
		msg_destroy(msg);
		return -ENOMEM;
	}
	c->outbox = o;
	/* Out of memory: rather early than never. */
	if (token && barrier_add(w, token, c->id))
		token = 0;
	h->t = t;
	h->kind = kind;
	h->a = a;
	h->msg = msg;
	h->token = token;
	if (hop)
		h->hop = *hop;
	*o->tail = h;
	o->tail = &h->next;
	w->held_len++;
	drain(w, c);
	return 0;
}

void outbox_committed(struct sip_worker *w, uint64_t token)
{
	struct barrier *b = NULL;
	struct call *c;
	struct outbox *o;

	HASH_FIND(hh, w->barriers, &token, sizeof(token), b);
	if (!b)
		return;
	c = call_find(w->b2bua, b->call_id);
	HASH_DEL(w->barriers, b);
	free(b);
	o = c ? c->outbox : NULL;
	if (!o)
		return;
	for (struct held *h = o->head; h; h = h->next)
		if (h->token == token)
			h->token = 0;
	drain(w, c);
}

/* The keeper answers in time, whatever happens. Should it not, a call must
 * not hang for that. The hash keeps the order of insertion. */
int64_t outbox_turn(struct sip_worker *w, uint64_t now_ms)
{
	while (w->barriers) {
		if (w->barriers->until_ms > now_ms)
			return (int64_t)(w->barriers->until_ms - now_ms);
		counters_add(w->counters, COUNTER_sip_commit_timeouts, 1);
		log_rated(LOG_ERR, "event=commit-unanswered call=%016llx",
			  (unsigned long long)w->barriers->call_id);
		outbox_committed(w, w->barriers->token);
	}
	return -1;
}

void outbox_forget(struct sip_worker *w, struct txn *t)
{
	struct outbox *o = t->call->outbox;
	struct held **at = &w->failed, *h;

	if (o)
		for (h = o->head; h; h = h->next)
			if (h->t == t)
				h->t = NULL;
	while ((h = *at)) {
		if (h->t != t) {
			at = &h->next;
			continue;
		}
		*at = h->next;
		held_free(w, h);
	}
}

void outbox_drop(struct sip_worker *w, struct call *c)
{
	struct outbox *o = c->outbox;
	struct held *h;

	if (!o)
		return;
	while ((h = o->head)) {
		o->head = h->next;
		held_free(w, h);
	}
	c->outbox = NULL;
	free(o);
}

bool outbox_empty(const struct call *c)
{
	return !c->outbox;
}

void outbox_failures(struct sip_worker *w)
{
	struct held *h;

	while ((h = w->failed)) {
		struct call_message m = {.status = 503, .method = METHOD_OTHER};
		struct txn *t = h->t;

		w->failed = h->next;
		h->t = NULL;
		held_free(w, h);
		if (t)
			b2bua_response(w->b2bua, t, &m);
	}
}

void outbox_destroy(struct sip_worker *w)
{
	struct barrier *b, *next;

	HASH_ITER (hh, w->barriers, b, next) {
		HASH_DEL(w->barriers, b);
		free(b);
	}
}
