/* The end of a call: BYE, CANCEL, rejection, on every leg. */
#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "sbcd/base/log.h"
#include "sbcd/call/b2bua_int.h"

enum { END_GRACE_MS = 4000 };

void leg_ack(struct leg *l, const struct rec_dialog *d, uint64_t token)
{
	struct b2bua *b = l->call->owner;
	struct call_send s = {.method = METHOD_ACK, .cseq = d->invite_cseq};

	if (d->ack_has_sdp) {
		s.sdp = d->local_sdp.data;
		s.sdp_size = d->local_sdp.size;
	}
	b->ops->ack(b->ctx, l->call, d, &s, token);
}

static void leg_ended(struct leg *l)
{
	struct rec_dialog d;

	if (leg_load(l, &d) || d.state == DIALOG_ENDED)
		return;
	d.state = DIALOG_ENDED;
	if (leg_store(l, &d))
		log_rated(LOG_ERR, "event=dialog-store result=failed");
}

/* RFC 3261 section 15: no BYE before the ACK of our 2xx. */
static bool waits_for_ack(const struct leg *l)
{
	const struct txn *t = txn_find(l, TXN_SERVER, METHOD_INVITE);

	return t && t->state == TXN_ANSWERED;
}

void leg_bye(struct leg *l, const char *why, uint64_t token)
{
	struct b2bua *b = l->call->owner;
	struct call_send s = {.method = METHOD_BYE, .why = why};
	struct rec_dialog d;
	struct txn *t;

	if (leg_load(l, &d) || d.state != DIALOG_CONFIRMED ||
	    txn_find(l, TXN_CLIENT, METHOD_BYE) || waits_for_ack(l))
		return;
	if (txn_create(l, TXN_CLIENT, METHOD_BYE, &t)) {
		leg_ended(l);
		return;
	}
	s.cseq = t->cseq = leg_next_cseq(l, &d);
	t->transport = d.transport;
	/* It may have waited for long: the end does not come before its. */
	if (l->call->end_deadline_ms)
		l->call->end_deadline_ms =
			b2bua_now(b) + B2BUA_T1X64_MS + END_GRACE_MS;
	if (leg_store(l, &d))
		log_rated(LOG_ERR, "event=dialog-store result=failed");
	txn_wait(t);
	if (b->ops->request(b->ctx, t, &d, &s, token)) {
		txn_free(t);
		leg_ended(l);
	}
}

static void cancel_client(struct txn *t, const char *why, uint64_t token)
{
	struct b2bua *b = t->call->owner;

	if (t->cancelled)
		return;
	t->cancelled = true;
	t->state = TXN_CANCELLED;
	t->until_ms = b2bua_now(b) + B2BUA_T1X64_MS;
	store_txn_dirty(t);
	/* RFC 3261 section 9.1: only after a provisional response. */
	if (t->provisional)
		b->ops->cancel(b->ctx, t, why, token);
}

/* What is under way beside the call's own INVITE ends too. */
static void stop_others(struct call *c, const char *why, uint64_t token)
{
	struct txn *next;

	for (struct txn *t = c->txns; t; t = next) {
		next = t->next;
		if (t->done || t->method == METHOD_BYE)
			continue;
		if (t->side == TXN_CLIENT) {
			if (t->method == METHOD_INVITE)
				cancel_client(t, why, token);
			continue;
		}
		if (t->state != TXN_ANSWERED)
			txn_reject(t, 487, NULL, token);
	}
}

static uint16_t reject_status(enum call_event ev, const struct end_info *info)
{
	switch (ev) {
	case CALL_EV_CANCEL:
	case CALL_EV_BYE_CALLER:
		return 487;
	case CALL_EV_BYE_CALLEE:
		return 480;
	case CALL_EV_RING_TIMEOUT:
		return 408;
	default:
		return info->cause >= 300 && info->cause < 700 ? info->cause
							       : 503;
	}
}

static void reject_caller(struct call *c, enum call_event ev,
			  const struct end_info *info, uint64_t token)
{
	const struct call_message *m = ev == CALL_EV_REJECT ? info->m : NULL;
	struct call_send s = {.method = METHOD_INVITE,
			      .status = reject_status(ev, info),
			      .reason = m ? m->reason : NULL,
			      .source_msg = m ? m->source_msg : NULL};
	struct rec_dialog d;

	for (unsigned i = 0; i < c->legs_len; i++) {
		struct leg *l = c->legs[i];
		struct txn *t = txn_find(l, TXN_SERVER, METHOD_INVITE);

		if (l->role != LEG_CALLER || !t || leg_load(l, &d))
			continue;
		s.cseq = t->cseq;
		/* Over before it began: no BYE for this one. */
		leg_ended(l);
		txn_answer(t, &d, &s, token);
	}
	counters_add(c->owner->counters, COUNTER_sip_calls_failed, 1);
}

static struct leg *leg_of(struct call *c, uint8_t role)
{
	for (unsigned i = 0; i < c->legs_len; i++)
		if (c->legs[i]->role == role)
			return c->legs[i];
	return NULL;
}

static void ack_callee(struct call *c, uint64_t token)
{
	struct leg *l = leg_of(c, LEG_CALLEE);
	struct rec_dialog d;

	if (l && !leg_load(l, &d) && d.state == DIALOG_CONFIRMED)
		leg_ack(l, &d, token);
}

static void store_state(struct call *c, struct call_step step,
			enum call_event ev, const struct end_info *info)
{
	uint64_t now = b2bua_now(c->owner);
	struct rec_call r;

	if (call_load(c, &r))
		return;
	r.state = step.next;
	r.next_txn = c->next_txn;
	if (step.next == CALL_ENDING && !r.ending_ms) {
		r.ending_ms = now;
		/* What the caller was or will be answered. */
		r.end_cause =
			r.answered_ms ? info->cause : reject_status(ev, info);
		r.ended_by_leg = info->by_leg;
		snprintf(r.end_text, sizeof(r.end_text), "%s",
			 info->text ? info->text : "");
	}
	if (call_store(c, &r))
		log_rated(LOG_ERR, "event=call-store result=failed");
	c->state = step.next;
}

static void begin_end(struct call *c, const struct end_info *info)
{
	uint64_t now = b2bua_now(c->owner);

	c->ring_deadline_ms = 0;
	c->max_deadline_ms = 0;
	c->end_deadline_ms = now + B2BUA_T1X64_MS + END_GRACE_MS;
	log_info("event=call-ending call=%016llx cause=%u by=%s text=\"%s\"",
		 (unsigned long long)c->id, info->cause,
		 info->by_leg == 1 ? "caller"
		 : info->by_leg	   ? "callee"
				   : "sbc",
		 info->text ? info->text : "");
}

bool call_event(struct call *c, enum call_event ev, const struct end_info *info)
{
	struct call_step step = call_fsm_step(c->state, ev);
	const char *why = info->by_leg ? NULL : info->text;
	bool ending = step.next == CALL_ENDING;
	bool begins = ending && c->state != CALL_ENDING;
	uint64_t token = info->token ? info->token
			 : ending    ? store_token(c->owner)
				     : 0;
	struct leg *caller = leg_of(c, LEG_CALLER);
	struct leg *callee = leg_of(c, LEG_CALLEE);

	if (step.next == c->state && !step.actions)
		return false;
	if (step.actions & CALL_ACT_ACK_CALLEE)
		ack_callee(c, token);
	store_state(c, step, ev, info);
	if (begins) {
		begin_end(c, info);
		if (step.actions & CALL_ACT_REJECT_CALLER)
			reject_caller(c, ev, info, token);
		stop_others(c, why, token);
	}
	if ((step.actions & CALL_ACT_BYE_CALLER) && caller)
		leg_bye(caller, why, token);
	if ((step.actions & CALL_ACT_BYE_CALLEE) && callee)
		leg_bye(callee, why, token);
	timers_rearm(c);
	if (token)
		store_commit(c, token);
	else
		store_flush(c);
	call_settle(c);
	return true;
}

void b2bua_end(struct b2bua *b, struct call *c, uint16_t cause,
	       const char *text)
{
	struct end_info info = {.cause = cause, .text = text};

	call_event(c, CALL_EV_STOP, &info);
}

/* ---- BYE
 * ---------------------------------------------------------------------
 */

void end_request(struct leg *l, const struct call_message *m, void *handle)
{
	struct call *c = l->call;
	struct b2bua *b = c->owner;
	struct end_info info = {
		.by_leg = (uint8_t)(l->sub + 1), .text = m->why, .m = m};
	struct call_send ok = {
		.method = METHOD_BYE, .cseq = m->cseq, .status = 200};
	struct rec_dialog d;
	struct txn *t;
	uint64_t token;

	if (txn_create(l, TXN_SERVER, METHOD_BYE, &t))
		return; /* sent again by the peer */
	t->cseq = m->cseq;
	t->handle = handle;
	if (leg_load(l, &d))
		memset(&d, 0, sizeof(d));
	b->ops->adopt(b->ctx, t, d.local_tag);
	leg_ended(l);
	/* What waited for the ACK of our 2xx waits no longer. */
	for (struct txn *i = c->txns, *next; i; i = next) {
		next = i->next;
		if (i->leg == l && i->side == TXN_SERVER &&
		    i->state == TXN_ANSWERED)
			txn_free(i);
	}
	info.token = token = store_token(b);
	txn_answer(t, &d, &ok, token);
	/* The answer leaves when the end of the call is on record. */
	if (!call_event(c,
			l->role == LEG_CALLER ? CALL_EV_BYE_CALLER
					      : CALL_EV_BYE_CALLEE,
			&info))
		store_commit(c, token);
}

void end_response(struct txn *t, const struct call_message *m)
{
	struct call *c = t->call;
	struct leg *l = t->leg;

	if (m->status < 200)
		return;
	leg_ended(l);
	txn_free(t);
	store_flush(c);
	timers_rearm(c);
	call_settle(c);
}

/* ---- after a take-over
 * --------------------------------------------------------
 */

void end_resume(struct call *c)
{
	uint64_t token = store_token(c->owner);

	c->end_deadline_ms =
		b2bua_now(c->owner) + B2BUA_T1X64_MS + END_GRACE_MS;
	for (unsigned i = 0; i < c->legs_len; i++)
		leg_bye(c->legs[i], NULL, token);
	timers_rearm(c);
	store_commit(c, token);
	call_settle(c);
}

/* ---- a 2xx without a transaction
 * ------------------------------------------------
 */

/* Another branch of a fork was answered too: it gets an ACK and a BYE. */
static void end_fork(struct leg *l, const struct rec_dialog *d,
		     const struct call_message *m)
{
	struct b2bua *b = l->call->owner;
	struct rec_dialog own = *d, fork = *d;
	struct call_send s = {.method = METHOD_BYE};
	struct txn *t;

	fork.state = DIALOG_TRYING;
	fork.route[0] = '\0';
	dialog_learn(&fork, m, true);
	fork.invite_cseq = m->cseq;
	fork.ack_has_sdp = false;
	leg_ack(l, &fork, 0);
	if (txn_create(l, TXN_CLIENT, METHOD_OTHER, &t))
		return;
	s.cseq = t->cseq = leg_next_cseq(l, &own);
	t->transport = d->transport;
	/* It has answered our offer, so it knows its keys. */
	own.offer_due |= m->sdp_size > 0;
	if (leg_store(l, &own))
		log_rated(LOG_ERR, "event=dialog-store result=failed");
	if (b->ops->request(b->ctx, t, &fork, &s, 0))
		txn_free(t);
	reoffer_arm(l->call);
	timers_rearm(l->call);
	store_flush(l->call);
	log_info("event=fork-ended call=%016llx",
		 (unsigned long long)l->call->id);
}

void b2bua_stray_2xx(struct b2bua *b, struct leg *l,
		     const struct call_message *m)
{
	struct call *c = l->call;
	struct rec_dialog d;
	struct txn *t;

	if (leg_load(l, &d) || m->cseq != d.invite_cseq)
		return;
	if (d.state < DIALOG_CONFIRMED) {
		/* Its transaction died with the node before us, or was given
		 * up: take the dialog to be able to end it. */
		if (c->state != CALL_ENDING)
			return;
		t = txn_find(l, TXN_CLIENT, METHOD_INVITE);
		if (t)
			txn_free(t);
		dialog_learn(&d, m, true);
		d.state = DIALOG_CONFIRMED;
		if (!leg_store(l, &d))
			call_event(c, CALL_EV_ANSWER, &(struct end_info){0});
		return;
	}
	if (m->to_tag && strcmp(d.remote_tag, m->to_tag)) {
		end_fork(l, &d, m);
		return;
	}
	/* Not before the other side's ACK: it may carry the answer. */
	for (t = c->txns; t; t = t->next)
		if (t->side == TXN_SERVER && t->leg != l &&
		    t->method == METHOD_INVITE && t->state == TXN_ANSWERED)
			return;
	leg_ack(l, &d, 0);
}
