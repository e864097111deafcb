/* INVITEs of our own within a call: a leg needs new keys, or is to hear which
 * of two m-lines is off (rec_dialog.offer_due). */
#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "sbcd/base/log.h"
#include "sbcd/call/b2bua_int.h"

/* RFC 3261 section 14.1: owner of the Call-ID or not, some time in between. */
enum { RETRY_MS = 2100, RETRY_SPAN_MS = 1900 };

void reoffer_arm(struct call *c)
{
	bool due = false;

	for (unsigned i = 0; i < c->legs_len; i++)
		due |= c->legs[i]->offer_due;
	if (due && c->state == CALL_ESTABLISHED && !c->reoffer_ms)
		c->reoffer_ms = b2bua_now(c->owner);
}

static void again_later(struct call *c)
{
	c->reoffer_ms = b2bua_now(c->owner) + RETRY_MS + c->id % RETRY_SPAN_MS;
}

static bool is_busy(const struct call *c)
{
	for (const struct txn *t = c->txns; t; t = t->next)
		if (!t->done &&
		    (t->method == METHOD_INVITE || t->method == METHOD_UPDATE))
			return true;
	return false;
}

static int send_offer(struct leg *l, struct rec_dialog *d, const char *sdp,
		      size_t size)
{
	struct b2bua *b = l->call->owner;
	struct call_send s = {
		.method = METHOD_INVITE, .sdp = sdp, .sdp_size = size};
	uint64_t token = store_token(b);
	struct txn *t;
	int err;

	err = txn_create(l, TXN_CLIENT, METHOD_INVITE, &t);
	if (err)
		return err;
	s.cseq = t->cseq = d->invite_cseq = leg_next_cseq(l, d);
	d->ack_has_sdp = false;
	t->transport = d->transport;
	err = b->ops->request(b->ctx, t, d, &s, token);
	if (err) {
		txn_free(t);
		return err;
	}
	txn_wait(t);
	store_txn_dirty(t);
	if (leg_store(l, d))
		log_rated(LOG_ERR, "event=dialog-store result=failed");
	store_commit(l->call, token);
	return 0;
}

static void reoffer(struct leg *l)
{
	struct call *c = l->call;
	struct b2bua *b = c->owner;
	char sdp[REC_SDP_SIZE];
	struct rec_dialog d;
	ssize_t n;

	if (leg_load(l, &d))
		return;
	d.offer_due = false;
	n = b->ops->reoffer(b->ctx, l, &d, sdp, sizeof(sdp));
	if (n > 0 && !send_offer(l, &d, sdp, (size_t)n)) {
		log_info("event=offer-own call=%016llx leg=%u",
			 (unsigned long long)c->id, l->sub);
		return;
	}
	if (n)
		log_rated(LOG_WARNING,
			  "event=offer-own call=%016llx leg=%u result=failed",
			  (unsigned long long)c->id, l->sub);
	if (n > 0)
		b->ops->exchanged(b->ctx, c, EXCHANGE_REFUSED);
	/* Not for ever: it would fail again. */
	if (!leg_load(l, &d)) {
		d.offer_due = false;
		if (leg_store(l, &d))
			log_rated(LOG_ERR, "event=dialog-store result=failed");
	}
	store_flush(c);
}

void reoffer_due(struct call *c)
{
	bool sent = false;

	c->reoffer_ms = 0;
	if (c->state != CALL_ESTABLISHED)
		return;
	for (unsigned i = 0; i < c->legs_len; i++) {
		if (!c->legs[i]->offer_due)
			continue;
		if (sent || is_busy(c)) {
			again_later(c);
			return;
		}
		reoffer(c->legs[i]);
		sent = true;
	}
}

static void refused(struct txn *t, const struct call_message *m)
{
	struct call *c = t->call;
	struct b2bua *b = c->owner;
	struct rec_dialog d;

	if (m->status != 491)
		b->ops->offer_refused(b->ctx, t->leg, m->status);
	b->ops->exchanged(b->ctx, c, EXCHANGE_REFUSED);
	if (m->status != 491 || leg_load(t->leg, &d))
		return;
	d.offer_due = true;
	if (leg_store(t->leg, &d))
		log_rated(LOG_ERR, "event=dialog-store result=failed");
	again_later(c);
}

static int accepted(struct txn *t, const struct call_message *m,
		    struct rec_dialog *d, struct call_refusal *why)
{
	struct b2bua *b = t->call->owner;
	uint64_t token = store_token(b);
	int err;

	dialog_learn(d, m, false);
	err = b->ops->reanswer(b->ctx, t->leg, d, m->sdp, m->sdp_size, why);
	if (leg_store(t->leg, d))
		log_rated(LOG_ERR, "event=dialog-store result=failed");
	b->ops->exchanged(b->ctx, t->call,
			  err ? EXCHANGE_REFUSED : EXCHANGE_DONE);
	leg_ack(t->leg, d, token);
	store_commit(t->call, token);
	return err;
}

void reoffer_response(struct txn *t, const struct call_message *m)
{
	struct call *c = t->call;
	struct call_refusal why = {0};
	bool gone = m->status == 481 || (m->status == 408 && !m->source_msg);
	struct rec_dialog d;
	int err = 0;

	if (m->status < 200) {
		t->provisional = true;
		return;
	}
	if (m->status >= 300)
		refused(t, m);
	else if (!leg_load(t->leg, &d))
		err = accepted(t, m, &d, &why);
	txn_free(t);
	store_flush(c);
	timers_rearm(c);
	if (gone)
		b2bua_end(c->owner, c, 481, "Dialog lost");
	else if (err)
		b2bua_end(c->owner, c, 488, why.text);
	else
		reoffer_arm(c);
	timers_rearm(c);
	call_settle(c);
}
