/*
 * Two engines on a simulated group: one total order of frames and membership
 * changes, each node at its own place in it. A small role machine stands in
 * for the keeper.
 */
#ifndef TESTS_UNIT_HASYNC_BUS_H
#define TESTS_UNIT_HASYNC_BUS_H

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <errno.h>
#include <cmocka.h>
#include "hasync/engine_int.h"

enum {
	BUS_MAX = 1 << 18,
	TOKENS_MAX = 1 << 16,
	STATUS_MS = 100,
	COMMIT_MS = 20,
};

enum token_state { TOKEN_NONE, TOKEN_OPEN, TOKEN_DONE, TOKEN_LATE };

struct bus;

struct node {
	struct bus *bus;
	uint8_t id;
	struct ha_engine *e; /* NULL: dead */
	size_t pos; /* next item of the order */
	bool full; /* send() says -EAGAIN */
	bool broken; /* send() says -ENOTCONN */
	bool manual; /* the test moves the roles itself */
	uint64_t boot;
	enum token_state tokens[TOKENS_MAX];
	uint64_t token_id[TOKENS_MAX], token_generation[TOKENS_MAX];
	struct ha_status peer;
	bool peer_known;
	unsigned applied, applied_deleted, drops, commands;
	enum ha_command last_command;
	const char *last_drop, *last_sync_reason;
	bool in_sync;
	unsigned sync_changes;
};

struct bus_item {
	uint8_t from; /* 0: a membership */
	uint8_t members; /* bit per node */
	uint8_t to; /* who gets it */
	size_t size;
	uint8_t *data;
};

struct bus {
	struct node node[3]; /* 1 and 2 are used */
	struct bus_item *items;
	size_t len;
	uint64_t now, next_epoch, rnd;
	uint8_t up; /* bit per living node */
	bool split;
	/* False: the frame is lost or changed on purpose. */
	bool (*tamper)(struct bus *b, uint8_t from, uint8_t *frame,
		       size_t size);
	uint32_t gap_ms; /* of nodes that boot from now on */
	uint8_t lose_type; /* the next frame of this type is lost */
};

static inline uint64_t bus_random(struct bus *b)
{
	b->rnd ^= b->rnd << 13;
	b->rnd ^= b->rnd >> 7;
	b->rnd ^= b->rnd << 17;
	return b->rnd;
}

static inline struct node *bus_peer(struct node *n)
{
	return &n->bus->node[3 - n->id];
}

static inline void bus_add(struct bus *b, uint8_t from, uint8_t to,
			   const void *data, size_t size)
{
	struct bus_item *it = &b->items[b->len++];

	assert_true(b->len < BUS_MAX);
	*it = (struct bus_item){
		.from = from, .members = b->up, .to = to, .size = size};
	it->data = malloc(size + 1);
	memcpy(it->data, data ? data : "", size);
}

static inline int bus_send(void *ctx, const void *frame, size_t size)
{
	struct node *n = ctx;
	struct bus *b = n->bus;
	uint8_t *copy;

	if (n->full)
		return -EAGAIN;
	if (n->broken)
		return -ENOTCONN;
	assert_true(size <= HA_FRAME_MAX_BYTES);
	copy = malloc(size);
	memcpy(copy, frame, size);
	if (b->lose_type && copy[6] == b->lose_type)
		b->lose_type = 0;
	else if (!b->tamper || b->tamper(b, n->id, copy, size))
		bus_add(b, n->id, b->split ? 1 << n->id : b->up, copy, size);
	free(copy);
	return 0;
}

/* A put reported safe must be at the peer, if that is in sync. */
static inline void bus_committed(void *ctx, uint64_t token, bool late)
{
	struct node *n = ctx;

	assert_true(token < TOKENS_MAX);
	assert_int_equal(n->tokens[token], TOKEN_OPEN);
	n->tokens[token] = late ? TOKEN_LATE : TOKEN_DONE;
	if (!late && n->e->donor.state == DONOR_SYNCED && bus_peer(n)->e) {
		struct ha_key key = {.id = n->token_id[token], .kind = 1};
		struct ha_item item;

		assert_true(ha_store_get(bus_peer(n)->e->store, &key, &item));
		assert_true(item.version.generation >=
			    n->token_generation[token]);
	}
}

static inline void bus_set_role(struct node *n, enum ha_role role)
{
	uint64_t epoch = n->e->heard;

	if (role == HA_ROLE_BECOMING_ACTIVE) {
		if (n->bus->next_epoch <= epoch)
			n->bus->next_epoch = epoch + 1;
		epoch = n->bus->next_epoch++;
	} else if (role == HA_ROLE_ACTIVE) {
		epoch = n->e->own_epoch;
	}
	ha_engine_set_role(n->e, role, epoch);
}

static inline void bus_status(void *ctx, const struct ha_status *s)
{
	struct node *n = ctx;

	n->peer_known = s;
	if (s)
		n->peer = *s;
	if (n->manual || !s)
		return;
	if (n->e->role == HA_ROLE_INIT && s->role == HA_ROLE_ACTIVE)
		bus_set_role(n, HA_ROLE_SYNCING);
}

static inline void bus_sync(void *ctx, bool in_sync, const char *why)
{
	struct node *n = ctx;

	assert_non_null(why);
	assert_int_not_equal(n->in_sync, in_sync);
	n->in_sync = in_sync;
	n->last_sync_reason = why;
	n->sync_changes++;
	if (n->manual)
		return;
	if (in_sync && n->e->role == HA_ROLE_SYNCING)
		bus_set_role(n, HA_ROLE_STANDBY);
	else if (!in_sync && n->e->role == HA_ROLE_STANDBY)
		bus_set_role(n, HA_ROLE_SYNCING);
}

static inline void bus_applied(void *ctx, const struct ha_item *item)
{
	struct node *n = ctx;

	if (item->deleted) {
		assert_null(item->value);
		n->applied_deleted++;
	} else {
		n->applied++;
	}
}

static inline void bus_command(void *ctx, uint8_t from, enum ha_command cmd,
			       uint64_t arg)
{
	struct node *n = ctx;

	n->commands++;
	n->last_command = cmd;
}

static inline void bus_dropped(void *ctx, uint8_t from, const char *why)
{
	struct node *n = ctx;

	n->drops++;
	n->last_drop = why;
}

static const struct ha_engine_ops bus_ops = {
	.send = bus_send,
	.applied = bus_applied,
	.committed = bus_committed,
	.peer_status = bus_status,
	.sync_changed = bus_sync,
	.command = bus_command,
	.dropped = bus_dropped,
};

static inline void bus_membership(struct bus *b)
{
	/* Both get it, also those who are alone then. */
	bus_add(b, 0, b->up, NULL, 0);
}

static inline struct node *bus_boot(struct bus *b, uint8_t id)
{
	struct node *n = &b->node[id];
	uint64_t boot = n->boot + 1;
	struct ha_engine_params p = {
		.node = id,
		.boot_id = boot * 1000 + id,
		.commit_timeout_ms = COMMIT_MS,
		.batch_ms = 2,
		.gap_ms = b->gap_ms,
		.batch_bytes = 4096,
		.status_interval_ms = STATUS_MS,
		.snapshot_bytes_per_s = 20 << 20,
		.missed_acks_max = 3,
		.queue_max_bytes = 1 << 20,
		.ops = &bus_ops,
		.ctx = n,
	};

	assert_null(n->e);
	memset(n, 0, sizeof(*n));
	n->bus = b;
	n->id = id;
	n->boot = boot;
	assert_int_equal(ha_engine_create(&n->e, &p), 0);
	n->pos = b->len;
	b->up |= 1 << id;
	bus_membership(b);
	return n;
}

static inline void bus_crash(struct bus *b, uint8_t id)
{
	ha_engine_destroy(b->node[id].e);
	b->node[id].e = NULL;
	b->up &= ~(1 << id);
	bus_membership(b);
}

/* Every link cut, then healed; both live on. */
static inline void bus_split(struct bus *b, bool split)
{
	b->split = split;
	bus_membership(b);
	b->items[b->len - 1].members = split ? 0 : b->up;
}

static inline bool bus_deliver_one(struct node *n)
{
	struct bus *b = n->bus;

	while (n->e && n->pos < b->len) {
		struct bus_item *it = &b->items[n->pos++];

		if (!(it->to & 1 << n->id))
			continue;
		if (it->from)
			ha_engine_receive(n->e, it->from, it->data, it->size);
		else
			ha_engine_membership(n->e, true,
					     it->members & 1 << (3 - n->id));
		return true;
	}
	return false;
}

static inline void bus_flush(struct node *n)
{
	if (n->e)
		ha_engine_flush(n->e, n->bus->now);
}

/* As a main loop would: everything delivered, then a flush. */
static inline void bus_turn(struct bus *b)
{
	for (int id = 1; id <= 2; id++) {
		while (bus_deliver_one(&b->node[id]))
			;
		bus_flush(&b->node[id]);
	}
}

static inline void bus_run(struct bus *b, unsigned ms)
{
	bus_turn(b);
	while (ms--) {
		b->now++;
		bus_turn(b);
	}
}

static inline void bus_open(struct bus *b)
{
	memset(b, 0, sizeof(*b));
	b->items = calloc(BUS_MAX, sizeof(*b->items));
	b->now = 1000;
	b->next_epoch = 1;
	b->rnd = 88172645463325252u;
	for (uint8_t id = 1; id <= 2; id++) {
		b->node[id].bus = b;
		b->node[id].id = id;
	}
}

static inline void bus_close(struct bus *b)
{
	for (int id = 1; id <= 2; id++)
		ha_engine_destroy(b->node[id].e);
	for (size_t i = 0; i < b->len; i++)
		free(b->items[i].data);
	free(b->items);
}

static inline void bus_activate(struct node *n)
{
	bus_set_role(n, HA_ROLE_BECOMING_ACTIVE);
	bus_set_role(n, HA_ROLE_ACTIVE);
}

/* Node 1 active, node 2 in sync. */
static inline void bus_pair(struct bus *b)
{
	bus_boot(b, 1);
	bus_activate(&b->node[1]);
	bus_boot(b, 2);
	bus_run(b, 300);
	assert_true(b->node[1].in_sync);
	assert_true(b->node[2].in_sync);
	assert_int_equal(b->node[2].e->role, HA_ROLE_STANDBY);
}

static inline void bus_token(struct node *n, uint64_t id, uint64_t token)
{
	if (!token)
		return;
	n->tokens[token] = TOKEN_OPEN;
	n->token_id[token] = id;
	n->token_generation[token] = n->e->generation + 1;
}

static inline int bus_put(struct node *n, uint64_t id, size_t size,
			  unsigned fill, uint64_t token)
{
	struct ha_key key = {.id = id, .kind = 1};
	uint8_t *value = malloc(size + 1);
	int rc;

	memset(value, (int)fill, size);
	bus_token(n, id, token);
	rc = ha_engine_put(n->e, &key, value, size, token ? HA_PUT_SYNC : 0,
			   token);
	free(value);
	return rc;
}

static inline int bus_delete(struct node *n, uint64_t id, uint64_t token)
{
	struct ha_key key = {.id = id, .kind = 1};

	bus_token(n, id, token);
	return ha_engine_delete(n->e, &key, token ? HA_PUT_SYNC : 0, token);
}

static inline bool bus_has(struct node *n, uint64_t id)
{
	struct ha_key key = {.id = id, .kind = 1};
	struct ha_item item;

	return ha_store_get(n->e->store, &key, &item) && !item.deleted;
}

/* A frame as `from` might have sent it. */
static inline void bus_craft(struct bus *b, uint8_t from, struct ha_frame *f)
{
	uint8_t buf[HA_FRAME_MAX_BYTES];
	size_t size;

	f->head.version = f->head.max_version = 1;
	f->head.node = from;
	assert_int_equal(ha_frame_encode(f, buf, sizeof(buf), &size), 0);
	bus_add(b, from, b->up, buf, size);
}

/* Same live records, byte for byte. */
static inline void bus_assert_equal(struct node *a, struct node *b)
{
	struct ha_item x, y;
	const struct ha_key *after = NULL;
	struct ha_key key;

	assert_int_equal(ha_store_count(a->e->store),
			 ha_store_count(b->e->store));
	assert_true(ha_store_digest(a->e->store) ==
		    ha_store_digest(b->e->store));
	while (ha_store_next(a->e->store, after, &x)) {
		key = x.key;
		after = &key;
		if (x.deleted)
			continue;
		assert_true(ha_store_get(b->e->store, &key, &y));
		assert_false(y.deleted);
		assert_int_equal(ha_version_compare(&x.version, &y.version), 0);
		assert_int_equal(x.size, y.size);
		assert_memory_equal(x.value, y.value, x.size);
	}
}

#endif
