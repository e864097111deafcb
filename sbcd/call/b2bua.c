#include "sbcd/call/b2bua.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "hasync/key.h"
#include "sbcd/base/log.h"
#include "sbcd/call/b2bua_int.h"

static int create_ports(struct b2bua *b, const struct b2bua_params *p)
{
	for (size_t i = 0; i < b->config->realms_len; i++) {
		const struct config_realm *r = &b->config->realms[i];
		int err = ports_create(&b->ports[i], r->port_first,
				       r->port_last, p->node, p->shards);

		if (err)
			return err;
	}
	return 0;
}

int b2bua_create(struct b2bua **out, const struct b2bua_params *p)
{
	struct b2bua *b = calloc(1, sizeof(*b));
	int err;

	if (!b)
		return -ENOMEM;
	b->config = p->config;
	b->key = p->key;
	b->node = p->node;
	b->ops = p->ops;
	b->ctx = p->ctx;
	b->counters = p->counters;
	buf_init(&b->encode, HA_VALUE_MAX_BYTES);
	/* Tokens of this process differ from those of the one before it. */
	b->token = p->ops->now_ms(p->ctx) << 20;
	err = create_ports(b, p);
	if (err) {
		b2bua_destroy(b);
		return err;
	}
	*out = b;
	return 0;
}

void b2bua_destroy(struct b2bua *b)
{
	if (!b)
		return;
	while (b->calls)
		call_free(b->calls);
	for (size_t i = 0; i < CONFIG_REALMS_MAX; i++)
		ports_destroy(b->ports[i]);
	free(b->heap);
	buf_finish(&b->encode);
	explicit_bzero(&b->key, sizeof(b->key));
	free(b);
}

bool b2bua_active(const struct b2bua *b)
{
	return b->active;
}

void *b2bua_ctx(const struct b2bua *b)
{
	return b->ctx;
}

const struct config *b2bua_config(const struct b2bua *b)
{
	return b->config;
}

const struct token_key *b2bua_key(const struct b2bua *b)
{
	return &b->key;
}

uint64_t b2bua_now(const struct b2bua *b)
{
	return b->ops->now_ms(b->ctx);
}

struct ports *b2bua_ports(const struct b2bua *b,
			  const struct config_realm *realm)
{
	return b->ports[realm - b->config->realms];
}

void b2bua_stats(const struct b2bua *b, struct b2bua_stats *out)
{
	*out = (struct b2bua_stats){
		.calls = HASH_COUNT(b->calls),
		.legs = HASH_COUNT(b->legs),
		.txns = b->txns_len,
	};
	for (size_t i = 0; i < b->config->realms_len; i++)
		out->ports += ports_used(b->ports[i]);
	for (struct call *c = b->restore_head; c; c = c->restore_next)
		out->restoring++;
}

/* ---- time
 * --------------------------------------------------------------------
 */

static void ack_missing(struct txn *t)
{
	struct call *c = t->call;
	struct leg *l = t->leg;
	struct end_info info = {.cause = 408, .text = "ACK timeout"};
	uint64_t token;

	txn_free(t);
	if (call_event(c, CALL_EV_ACK_TIMEOUT, &info))
		return;
	/* It was ending anyway; the BYE waited for that ACK. */
	token = store_token(c->owner);
	leg_bye(l, NULL, token);
	store_commit(c, token);
	call_settle(c);
}

/* True when the transaction is gone. */
static bool txn_timer(struct txn *t, uint64_t now)
{
	struct call *c = t->call;
	struct b2bua *b = c->owner;

	if (t->until_ms && t->until_ms <= now) {
		if (t->side == TXN_SERVER && t->state == TXN_ANSWERED) {
			ack_missing(t);
			return true;
		}
		if (t->side == TXN_CLIENT && t->cancelled) {
			txn_free(t);
			call_settle(c);
			return true;
		}
		/* Whoever demands PRACK and sends none may ring on. */
		reliable_over(t);
		t->until_ms = 0;
	}
	if (t->next_ms && t->next_ms <= now) {
		t->retransmit_ms *= 2;
		if (t->retransmit_ms > B2BUA_T2_MS)
			t->retransmit_ms = B2BUA_T2_MS;
		t->next_ms = now + t->retransmit_ms;
		b->ops->retransmit(b->ctx, t);
	}
	return false;
}

static void call_timer(struct call *c, uint64_t now)
{
	struct b2bua *b = c->owner;

	if (c->ring_deadline_ms && c->ring_deadline_ms <= now) {
		struct end_info info = {.cause = 408, .text = "No answer"};

		c->ring_deadline_ms = 0;
		call_event(c, CALL_EV_RING_TIMEOUT, &info);
	}
	if (c->max_deadline_ms && c->max_deadline_ms <= now) {
		c->max_deadline_ms = 0;
		b2bua_end(b, c, 480, "Maximum call duration");
	}
	if (c->keys_deadline_ms && c->keys_deadline_ms <= now) {
		c->keys_deadline_ms = 0;
		b->ops->exchanged(b->ctx, c, EXCHANGE_LATER);
		store_flush(c);
	}
	if (c->reoffer_ms && c->reoffer_ms <= now)
		reoffer_due(c);
	if (c->end_deadline_ms && c->end_deadline_ms <= now) {
		log_notice("event=call-forced-out call=%016llx",
			   (unsigned long long)c->id);
		c->end_deadline_ms = 0;
		while (c->txns)
			txn_free(c->txns);
		call_settle(c);
	}
	/* A timer may free other transactions than its own: start over. */
	for (struct txn *t = c->txns; t;)
		t = txn_timer(t, now) ? c->txns : t->next;
	timers_rearm(c);
}

int64_t b2bua_turn(struct b2bua *b)
{
	uint64_t now = b2bua_now(b), next;
	struct call *c;

	if (!b->active)
		return -1;
	restore_run(b);
	while ((c = timers_due(b, now)))
		call_timer(c, now);
	calls_reap(b);
	if (b->restore_head)
		return B2BUA_RESTORE_TICK_MS;
	if (!b->heap_len)
		return -1;
	next = b->heap[1]->deadline_ms;
	now = b2bua_now(b);
	return next > now ? (int64_t)(next - now) : 0;
}
