/* Records that come from the keeper: following the active, taking over. */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "sbcd/base/log.h"
#include "sbcd/base/pool.h"
#include "sbcd/call/b2bua_int.h"
#include "sbcd/record/record.h"

/* ---- following
 * ---------------------------------------------------------------
 */

static bool call_empty(const struct call *c)
{
	return !c->value.data && !c->legs_len && !c->streams_len && !c->txns;
}

static int take(struct blob *at, const void *value, size_t size)
{
	int err = blob_set(at, value, size);

	at->dirty = false;
	return err;
}

static int take_call(struct call *c, const void *value, size_t size)
{
	struct rec_call r;

	if (record_decode(REC_CALL, value, size, &r) || !r.state ||
	    r.state > CALL_ENDING)
		return -EBADMSG;
	if (take(&c->value, value, size))
		return -ENOMEM;
	c->state = r.state;
	c->next_txn = r.next_txn;
	c->max_deadline_ms = r.max_duration_deadline_ms;
	return 0;
}

static int take_dialog(struct call *c, uint16_t sub, const void *value,
		       size_t size)
{
	struct leg *l = leg_find_sub(c, sub);
	struct rec_dialog d;
	int err;

	if (record_decode(REC_DIALOG, value, size, &d) || !d.state ||
	    d.state > DIALOG_ENDED || !d.local_tag[0])
		return -EBADMSG;
	if (!l) {
		err = leg_create(c, sub, sub ? LEG_CALLEE : LEG_CALLER, &l);
		if (err)
			return err;
	}
	err = leg_hash(l, &d);
	if (!err)
		err = take(&l->value, value, size);
	l->restored = true;
	l->offer_due = d.offer_due;
	return err;
}

static struct txn *txn_find_sub(const struct call *c, uint16_t sub)
{
	for (struct txn *t = c->txns; t; t = t->next)
		if (t->sub == sub && t->recorded)
			return t;
	return NULL;
}

static int take_txn(struct call *c, uint16_t sub, const void *value,
		    size_t size)
{
	struct txn *t = txn_find_sub(c, sub);

	if (!t) {
		t = pool_alloc(sizeof(*t));
		if (!t)
			return -ENOMEM;
		t->call = c;
		t->sub = sub;
		t->recorded = t->stored = true;
		t->next = c->txns;
		c->txns = t;
		c->owner->txns_len++;
	}
	return take(&t->value, value, size);
}

static int take_media(struct call *c, uint16_t sub, const void *value,
		      size_t size)
{
	struct rec_media m;
	int err;

	if (sub >= CALL_STREAMS_MAX ||
	    record_decode(REC_MEDIA, value, size, &m))
		return -EBADMSG;
	c->streams_bad &= (uint8_t) ~(1u << sub);
	c->streams_open &= (uint8_t) ~(1u << sub);
	if (!c->owner->ops->stream_valid(&m)) {
		c->streams_bad |= (uint8_t)(1u << sub);
		/* Nothing of it is looked at any more. */
		m.keys_len = 0;
	}
	for (unsigned i = 0; i < m.flows_len && i < REC_FLOWS_MAX; i++)
		if (m.flows[i].sdes_state == SDES_OFFERED ||
		    m.flows[i].sdes_state == SDES_RECEIVED)
			c->streams_open |= (uint8_t)(1u << sub);
	err = stream_store(c, sub, &m);
	/* The bytes as they came: a newer node may have said more in them. */
	if (!err)
		err = take(&c->streams[sub], value, size);
	return err;
}

static void drop_leg(struct call *c, uint16_t sub)
{
	for (unsigned i = 0; i < c->legs_len; i++)
		if (c->legs[i]->sub == sub) {
			leg_free(c->legs[i]);
			c->legs[i] = c->legs[--c->legs_len];
			return;
		}
}

static void drop(struct call *c, const struct ha_key *key)
{
	struct txn *t;

	switch (key->kind) {
	case REC_CALL:
		blob_clear(&c->value);
		c->state = 0;
		break;
	case REC_DIALOG:
		drop_leg(c, key->sub);
		break;
	case REC_TXN:
		t = txn_find_sub(c, key->sub);
		if (t)
			txn_free(t);
		break;
	case REC_MEDIA:
		stream_remove(c, key->sub);
		if (key->sub < CALL_STREAMS_MAX) {
			c->streams_bad &= (uint8_t) ~(1u << key->sub);
			c->streams_open &= (uint8_t) ~(1u << key->sub);
		}
		break;
	default:
		break;
	}
}

static int media_state(struct b2bua *b, const struct ha_key *key,
		       const void *value, size_t size)
{
	struct call *c = call_find(b, key->id);
	struct rec_mstate m;

	if (!value || !b->active || !c)
		return 0;
	if (record_decode(REC_MSTATE, value, size, &m))
		return -EBADMSG;
	if (c->state != CALL_ESTABLISHED && c->state != CALL_ANSWERED)
		return 0;
	if (m.guard) {
		b2bua_end(b, c, 480, "Media timeout");
	} else if (b->ops->counted(b->ctx, c, key->sub, &m)) {
		b2bua_end(b, c, 480, "SRTP key used up");
	} else {
		reoffer_arm(c);
		timers_rearm(c);
		store_flush(c);
	}
	return 0;
}

static int take_record(struct call *c, const struct ha_key *key,
		       const void *value, size_t size)
{
	switch (key->kind) {
	case REC_CALL:
		return take_call(c, value, size);
	case REC_DIALOG:
		return take_dialog(c, key->sub, value, size);
	case REC_TXN:
		return take_txn(c, key->sub, value, size);
	default:
		return take_media(c, key->sub, value, size);
	}
}

int b2bua_record(struct b2bua *b, const struct ha_key *key, const void *value,
		 size_t size)
{
	struct call *c;
	int err = 0;

	if (key->kind == REC_MSTATE)
		return media_state(b, key, value, size);
	if (key->kind < REC_CALL || key->kind > REC_MEDIA)
		return 0;
	/* The active writes these kinds itself: nobody knows better. */
	if (b->active)
		return 0;
	c = call_find(b, key->id);
	if (!value) {
		if (c)
			drop(c, key);
	} else {
		if (!c)
			err = call_create(b, key->id, &c);
		if (!err)
			err = take_record(c, key, value, size);
	}
	if (c && call_empty(c))
		call_free(c);
	return err;
}

/* ---- taking over
 * ---------------------------------------------------------------
 */

static bool txn_decode(struct call *c, struct txn *t)
{
	struct rec_txn *r = &c->owner->txn_scratch;

	if (record_decode(REC_TXN, t->value.data, t->value.size, r))
		return false;
	t->leg = leg_find_sub(c, r->leg);
	t->method = (uint8_t)call_method_of(r->method);
	if (!t->leg || t->method == METHOD_OTHER || !r->request.size ||
	    (r->side != TXN_SERVER && r->side != TXN_CLIENT))
		return false;
	if (blob_set(&t->request, r->request.data, r->request.size))
		return false;
	if (r->response.size &&
	    blob_set(&t->response, r->response.data, r->response.size))
		return false;
	t->side = r->side;
	t->state = r->state;
	t->transport = r->transport;
	t->cseq = r->cseq;
	t->peer = r->peer;
	t->last_status = r->last_status;
	t->pair_sub = r->pair;
	t->pair_valid = r->pair_valid;
	t->cancelled = r->state == TXN_CANCELLED;
	t->delayed = r->delayed_offer;
	t->agreed = r->agreed;
	t->wants_prack = r->wants_prack;
	t->rseq = r->rseq;
	t->unpracked = r->unpracked && t->side == TXN_SERVER &&
		       t->state == TXN_PROCEEDING;
	t->provisional = t->side == TXN_CLIENT && r->last_status;
	t->until_ms = r->retransmit_until_ms;
	memcpy(t->branch, r->branch, sizeof(t->branch));
	blob_clear(&t->value);
	return true;
}

static int resume(struct txn *t, const struct rec_dialog *d)
{
	struct b2bua *b = t->call->owner;

	if (!t->cancelled || !t->provisional)
		return b->ops->restore(b->ctx, t, d);
	/* It may have ended over there, and the INVITE would ring anew: first
	 * see whether it is still known. */
	b->ops->cancel(b->ctx, t, NULL, 0);
	return 0;
}

void b2bua_cancelled(struct b2bua *b, struct txn *t, uint16_t status)
{
	struct rec_dialog d;

	/* Of an INVITE that is gone there may still come a 2xx. */
	if (t->handle || status < 200 || status >= 300)
		return;
	t->provisional = false;
	/* To the callee it is a retransmission: it repeats its answer. */
	if (leg_load(t->leg, &d) || b->ops->restore(b->ctx, t, &d)) {
		struct call *c = t->call;

		txn_free(t);
		call_settle(c);
	}
}

void b2bua_repeat(struct b2bua *b, const struct addr *peer)
{
	for (struct call *c = b->calls; c; c = c->hh.next)
		for (struct txn *t = c->txns; t; t = t->next)
			if (t->side == TXN_CLIENT && t->restored &&
			    addr_equal(&t->peer, peer))
				b->ops->repeat(b->ctx, t);
}

/* What cannot be gone on with is given up; the peer sends it again. */
static void txn_resume(struct txn *t)
{
	struct call *c = t->call;
	struct b2bua *b = c->owner;
	uint64_t now = b2bua_now(b);
	struct rec_dialog d;

	if (leg_load(t->leg, &d) || resume(t, &d)) {
		log_rated(
			LOG_WARNING,
			"event=txn-restore call=%016llx method=%s result=failed",
			(unsigned long long)c->id,
			call_method_name((enum call_method)t->method));
		txn_free(t);
		return;
	}
	t->restored = true;
	if (t->side == TXN_CLIENT)
		txn_wait(t);
	if (t->cancelled)
		t->until_ms = now + B2BUA_T1X64_MS;
	if (t->unpracked) {
		reliable_sent(t);
		b->ops->retransmit(b->ctx, t);
	}
	if (t->side == TXN_SERVER && t->state == TXN_ANSWERED) {
		if (!t->until_ms)
			t->until_ms = now + B2BUA_T1X64_MS;
		t->retransmit_ms = B2BUA_T1_MS;
		t->next_ms = now + B2BUA_T1_MS;
		b->ops->retransmit(b->ctx, t);
	}
}

static void resume_side(struct call *c, uint8_t side)
{
	struct txn *next;

	for (struct txn *t = c->txns; t; t = next) {
		next = t->next;
		if (t->side == side)
			txn_resume(t);
	}
}

static uint16_t end_status(const struct call *c)
{
	struct rec_call r;

	if (call_load(c, &r) || r.end_cause < 300 || r.end_cause > 699)
		return 487;
	return r.end_cause;
}

static void note_lost(const struct call *c, const char *reason)
{
	struct b2bua_takeover *t = &c->owner->takeover;

	if (t->lost_count < B2BUA_LOST_MAX)
		t->lost[t->lost_count] =
			(struct b2bua_lost){.call = c->id, .reason = reason};
	t->lost_count++;
}

void b2bua_takeover(const struct b2bua *b, struct b2bua_takeover *out)
{
	*out = b->takeover;
}

/* A server transaction that lost its other half would wait for ever, and so
 * would one whose answer was on its way when the call ended. */
static void check_halves(struct call *c)
{
	struct txn *next;
	bool lost = false;

	for (struct txn *t = c->txns; t; t = next) {
		bool ending = c->state == CALL_ENDING;

		next = t->next;
		if (t->side != TXN_SERVER || t->state == TXN_ANSWERED ||
		    (t->pair && !ending) || t->done)
			continue;
		if (t->method != METHOD_INVITE)
			txn_reject(t, 500, NULL, 0);
		else if (ending)
			txn_reject(t, end_status(c), NULL, 0);
		else if (c->state < CALL_ANSWERED)
			lost = true;
		else
			txn_reject(t, 500, NULL, 0);
	}
	if (!lost)
		return;
	note_lost(c, "one side of its INVITE was not replicated");
	b2bua_end(c->owner, c, 500, "Lost in take-over");
}

/* Its own record may be the one that kills. */
static int stand_in(struct call *c)
{
	struct rec_call r = {.state = CALL_ESTABLISHED,
			     .created_ms = b2bua_now(c->owner),
			     .next_txn = c->next_txn,
			     .legs_len = c->legs_len};
	struct rec_dialog d;

	for (unsigned i = 0; i < c->legs_len; i++) {
		r.legs[i].leg = c->legs[i]->sub;
		r.legs[i].role = c->legs[i]->role;
		if (leg_load(c->legs[i], &d))
			continue;
		memcpy(r.legs[i].sip_interface, d.sip_interface,
		       sizeof(r.legs[i].sip_interface));
		if (d.state < DIALOG_CONFIRMED)
			r.state = CALL_RINGING;
	}
	return call_store(c, &r);
}

static void end_buried(struct call *c)
{
	note_lost(c, "a worker died of its records");
	if (!c->value.data && stand_in(c))
		return;
	log_warn("event=call-buried call=%016llx", (unsigned long long)c->id);
	b2bua_end(c->owner, c, 500, "Call could not be restored");
}

void b2bua_bury(struct b2bua *b, uint64_t id)
{
	for (struct call *c = b->calls; c && !id; c = c->hh.next)
		c->buried = true;
	if (id) {
		struct call *c = call_find(b, id);

		if (c)
			c->buried = true;
		if (c && b->active && !c->restore_pending)
			end_buried(c);
	}
}

/* An exchange nobody goes on with has not been. */
static void close_exchange(struct call *c)
{
	struct b2bua *b = c->owner;

	if (!c->streams_open)
		return;
	c->streams_open = 0;
	for (const struct txn *t = c->txns; t; t = t->next)
		if (t->method == METHOD_INVITE || t->method == METHOD_UPDATE ||
		    t->method == METHOD_PRACK)
			return;
	b->ops->exchanged(b->ctx, c, EXCHANGE_REFUSED);
	store_flush(c);
}

static void end_keyless(struct call *c)
{
	log_warn("event=call-keys-bad call=%016llx", (unsigned long long)c->id);
	counters_add(c->owner->counters, COUNTER_sip_keys_bad, 1);
	b2bua_end(c->owner, c, 500, "Keys of its media were not usable");
}

static void restore_call(struct call *c)
{
	struct txn *next;

	c->owner->ops->building(c->owner->ctx, c);
	c->restore_pending = false;
	for (struct txn *t = c->txns; t; t = next) {
		next = t->next;
		if (t->value.data && !txn_decode(c, t))
			txn_free(t);
	}
	for (struct txn *t = c->txns; t; t = t->next)
		if (t->pair_valid && !t->pair) {
			struct txn *p = txn_find_sub(c, t->pair_sub);

			if (p && p != t && p->side != t->side) {
				t->pair = p;
				p->pair = t;
			}
		}
	/* The caller's side first: there is somebody to report to. */
	resume_side(c, TXN_SERVER);
	resume_side(c, TXN_CLIENT);
	check_halves(c);
	if (c->state == CALL_ANSWERED) {
		bool waiting = false;

		for (struct txn *t = c->txns; t; t = t->next)
			waiting |= t->state == TXN_ANSWERED;
		/* The ACK came, what followed was not told. */
		if (!waiting) {
			c->owner->ops->exchanged(c->owner->ctx, c,
						 EXCHANGE_DONE);
			call_event(c, CALL_EV_ACK, &(struct end_info){0});
		}
	}
	close_exchange(c);
	reoffer_arm(c);
	if (c->buried)
		end_buried(c);
	else if (c->streams_bad && c->state != CALL_ENDING)
		end_keyless(c);
	else if (c->state == CALL_ENDING)
		end_resume(c);
	timers_rearm(c);
	c->owner->ops->building(c->owner->ctx, NULL);
}

void restore_unqueue(struct call *c)
{
	struct b2bua *b = c->owner;
	struct call *prev = NULL, *i;

	if (!c->restore_pending)
		return;
	for (i = b->restore_head; i && i != c; i = i->restore_next)
		prev = i;
	if (!i)
		return;
	if (prev)
		prev->restore_next = c->restore_next;
	else
		b->restore_head = c->restore_next;
	if (b->restore_tail == c)
		b->restore_tail = prev;
}

void b2bua_restore_call(struct b2bua *b, struct call *c)
{
	if (!c->restore_pending)
		return;
	restore_unqueue(c);
	restore_call(c);
}

void restore_run(struct b2bua *b)
{
	uint64_t now;

	if (!b->restore_head)
		return;
	now = b2bua_now(b);
	if (now < b->restore_next_ms)
		return;
	b->restore_next_ms = now + B2BUA_RESTORE_TICK_MS;
	for (int i = 0; i < B2BUA_RESTORE_BATCH && b->restore_head &&
			b->waiting_len < B2BUA_WAITING_MAX;
	     i++) {
		struct call *c = b->restore_head;

		b->restore_head = c->restore_next;
		if (!b->restore_head)
			b->restore_tail = NULL;
		restore_call(c);
	}
}

static void queue(struct call *c)
{
	struct b2bua *b = c->owner;

	c->restore_pending = true;
	c->restore_next = NULL;
	if (b->restore_tail)
		b->restore_tail->restore_next = c;
	else
		b->restore_head = c;
	b->restore_tail = c;
}

/* An INVITE that was not forwarded yet, or an end half done: what the caller
 * sends again makes it anew. */
static bool call_complete(const struct call *c)
{
	if (!c->value.data || c->legs_len < 2)
		return false;
	for (unsigned i = 0; i < c->legs_len; i++)
		if (!c->legs[i]->value.data)
			return false;
	return true;
}

static void activate_call(struct call *c, size_t *dropped)
{
	struct b2bua *b = c->owner;
	struct rec_call r;

	if (c->buried && c->legs_len) {
		queue(c);
		return;
	}
	if (!call_complete(c) || call_load(c, &r)) {
		if (c->state != CALL_ENDING)
			note_lost(c, "its INVITE was not replicated yet");
		store_delete(c);
		call_free(c);
		(*dropped)++;
		return;
	}
	for (struct txn *t = c->txns; t; t = t->next)
		if (t->sub >= c->next_txn)
			c->next_txn = (uint16_t)(t->sub + 1);
	if (c->state < CALL_ANSWERED && b->config->sip.ring_timeout_ms)
		c->ring_deadline_ms =
			r.created_ms + b->config->sip.ring_timeout_ms;
	if (c->streams_bad)
		note_lost(c, "keys of its media were not usable");
	reoffer_arm(c);
	if (c->txns || c->state != CALL_ESTABLISHED || c->streams_bad ||
	    c->streams_open)
		queue(c);
	else
		timers_rearm(c);
}

void b2bua_activate(struct b2bua *b, uint64_t epoch)
{
	struct call *c, *next;
	size_t dropped = 0;

	b->epoch = epoch;
	if (b->active)
		return;
	b->active = true;
	memset(&b->takeover, 0, sizeof(b->takeover));
	b->takeover.carried = call_count(b);
	for (c = b->calls; c; c = next) {
		next = c->hh.next;
		b->ops->building(b->ctx, c);
		activate_call(c, &dropped);
	}
	b->ops->building(b->ctx, NULL);
	log_notice("event=calls-activated calls=%zu incomplete=%zu",
		   call_count(b), dropped);
}

/* ---- what comes in for a call before its turn
 * -----------------------------------
 */

static struct txn *server_invite(struct call *c)
{
	struct leg *caller = leg_find_sub(c, 0);

	return caller ? txn_find(caller, TXN_SERVER, METHOD_INVITE) : NULL;
}

int restore_invite(struct call *c, void *handle)
{
	struct b2bua *b = c->owner;

	if (!c->restore_pending)
		return -EEXIST;
	/* The stack's new transaction takes the place of the lost one. */
	for (struct txn *t = c->txns; t; t = t->next)
		if (t->value.data && txn_decode(c, t) &&
		    t->side == TXN_SERVER && t->method == METHOD_INVITE &&
		    t->leg->role == LEG_CALLER && !t->handle) {
			struct rec_dialog d;

			if (leg_load(t->leg, &d))
				return -EEXIST;
			t->handle = handle;
			b->ops->adopt(b->ctx, t, d.local_tag);
			b2bua_restore_call(b, c);
			return 0;
		}
	b2bua_restore_call(b, c);
	return -EEXIST;
}

struct txn *b2bua_find_invite(struct b2bua *b, const struct call_message *m)
{
	struct call *c = setup_find(b, m);

	if (!c)
		return NULL;
	b2bua_restore_call(b, c);
	return server_invite(c);
}
