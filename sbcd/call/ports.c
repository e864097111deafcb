#include "sbcd/call/ports.h"

#include <errno.h>
#include <stdbool.h>
#include <stdlib.h>

#include "sbcd/base/worker.h"

enum { NONE = -1 };

struct pair {
	int32_t prev, next; /* in the free list of its shard */
	uint32_t users;
	bool listed;
	uint64_t freed_ms; /* 0 = never used */
};

/* Oldest first. */
struct free_list {
	int32_t head, tail;
	uint32_t len;
};

struct ports {
	uint16_t first;
	unsigned pool_first; /* as configured: decides node and shard */
	unsigned node;
	unsigned shards;
	size_t pairs_len;
	size_t used;
	struct free_list lists[PORTS_SHARDS_MAX];
	struct pair pairs[];
};

static uint16_t pair_port(const struct ports *p, size_t i)
{
	return (uint16_t)(p->first + 2 * i);
}

static bool pair_mine(const struct ports *p, size_t i)
{
	return worker_port_node(pair_port(p, i), p->pool_first) == p->node;
}

static struct free_list *pair_list(struct ports *p, size_t i)
{
	return &p->lists[worker_port_shard(pair_port(p, i), p->pool_first,
					   p->shards)];
}

static void list_append(struct ports *p, size_t i)
{
	struct free_list *l = pair_list(p, i);
	struct pair *e = &p->pairs[i];

	if (e->listed || !pair_mine(p, i))
		return;
	e->listed = true;
	e->next = NONE;
	e->prev = l->tail;
	if (l->tail != NONE)
		p->pairs[l->tail].next = (int32_t)i;
	else
		l->head = (int32_t)i;
	l->tail = (int32_t)i;
	l->len++;
}

static void list_remove(struct ports *p, size_t i)
{
	struct free_list *l = pair_list(p, i);
	struct pair *e = &p->pairs[i];

	if (!e->listed)
		return;
	if (e->prev != NONE)
		p->pairs[e->prev].next = e->next;
	else
		l->head = e->next;
	if (e->next != NONE)
		p->pairs[e->next].prev = e->prev;
	else
		l->tail = e->prev;
	e->listed = false;
	l->len--;
}

int ports_create(struct ports **out, uint16_t first, uint16_t last,
		 unsigned node, unsigned shards)
{
	unsigned even = first + (first & 1u);
	struct ports *p;
	size_t len;

	if (last < 1 || even + 1u > last)
		return -EINVAL;
	len = (last - even + 1u) / 2;
	p = calloc(1, sizeof(*p) + len * sizeof(p->pairs[0]));
	if (!p)
		return -ENOMEM;
	p->first = (uint16_t)even;
	p->pool_first = first;
	p->node = node;
	p->shards = shards ? shards : 1;
	if (p->shards > PORTS_SHARDS_MAX)
		p->shards = PORTS_SHARDS_MAX;
	p->pairs_len = len;
	for (unsigned s = 0; s < p->shards; s++)
		p->lists[s].head = p->lists[s].tail = NONE;
	for (size_t i = 0; i < len; i++)
		list_append(p, i);
	*out = p;
	return 0;
}

void ports_destroy(struct ports *p)
{
	free(p);
}

static int pair_index(const struct ports *p, uint16_t port)
{
	size_t i;

	if (port < p->first || (port & 1))
		return NONE;
	i = (size_t)(port - p->first) / 2;
	return i < p->pairs_len ? (int)i : NONE;
}

int ports_shard(const struct ports *p, uint16_t port)
{
	return (int)worker_port_shard(port, p->pool_first, p->shards);
}

static bool has_rested(const struct ports *p, unsigned s, uint64_t now_ms)
{
	int32_t i = p->lists[s].head;

	return i != NONE && (!p->pairs[i].freed_ms ||
			     now_ms >= p->pairs[i].freed_ms + PORTS_REST_MS);
}

static uint32_t free_in_both(const struct ports *p, const struct ports *other,
			     unsigned s, uint64_t now_ms)
{
	uint32_t n = p->lists[s].len;

	if (s >= other->shards || !has_rested(p, s, now_ms) ||
	    !has_rested(other, s, now_ms))
		return 0;
	if (other == p)
		return n / 2;
	return other->lists[s].len < n ? other->lists[s].len : n;
}

int ports_best_shard(const struct ports *p, const struct ports *other,
		     uint64_t now_ms)
{
	unsigned best = 0;
	uint32_t most = 0;

	for (unsigned s = 0; s < p->shards; s++) {
		uint32_t n = free_in_both(p, other, s, now_ms);

		if (n > most) {
			most = n;
			best = s;
		}
	}
	return (int)best;
}

int ports_get(struct ports *p, int shard, uint64_t now_ms)
{
	unsigned s = (unsigned)shard;
	int32_t i;

	if (s >= p->shards || !has_rested(p, s, now_ms))
		return -EAGAIN;
	i = p->lists[s].head;
	list_remove(p, (size_t)i);
	return pair_port(p, (size_t)i);
}

void ports_take(struct ports *p, uint16_t port)
{
	int i = pair_index(p, port);

	if (i == NONE)
		return;
	list_remove(p, (size_t)i);
	if (!p->pairs[i].users++)
		p->used++;
}

void ports_put(struct ports *p, uint16_t port, uint64_t now_ms)
{
	int i = pair_index(p, port);

	if (i == NONE)
		return;
	if (p->pairs[i].users) {
		if (--p->pairs[i].users)
			return;
		p->used--;
	}
	p->pairs[i].freed_ms = now_ms ? now_ms : 1;
	list_append(p, (size_t)i);
}

size_t ports_used(const struct ports *p)
{
	return p->used;
}
