/* The deadlines of calls as a heap; each call stands in it at most once. */
#include <errno.h>
#include <stdlib.h>

#include "sbcd/call/b2bua_int.h"

static void place(struct b2bua *b, uint32_t i, struct call *c)
{
	b->heap[i] = c;
	c->heap_index = i;
}

static void sift_up(struct b2bua *b, uint32_t i)
{
	struct call *c = b->heap[i];

	for (; i > 1 && b->heap[i / 2]->deadline_ms > c->deadline_ms; i /= 2)
		place(b, i, b->heap[i / 2]);
	place(b, i, c);
}

static void sift_down(struct b2bua *b, uint32_t i)
{
	struct call *c = b->heap[i];
	uint32_t child;

	for (; (child = 2 * i) <= b->heap_len; i = child) {
		if (child < b->heap_len && b->heap[child + 1]->deadline_ms <
						   b->heap[child]->deadline_ms)
			child++;
		if (b->heap[child]->deadline_ms >= c->deadline_ms)
			break;
		place(b, i, b->heap[child]);
	}
	place(b, i, c);
}

void timers_remove(struct call *c)
{
	struct b2bua *b = c->owner;
	uint32_t i = c->heap_index;
	struct call *last;

	if (!i)
		return;
	c->heap_index = 0;
	last = b->heap[b->heap_len--];
	if (last == c)
		return;
	place(b, i, last);
	sift_up(b, i);
	sift_down(b, last->heap_index);
}

static bool grow(struct b2bua *b)
{
	uint32_t capacity = b->heap_capacity ? 2 * b->heap_capacity : 64;
	struct call **heap;

	if (b->heap_len + 1 < b->heap_capacity)
		return true;
	heap = realloc(b->heap, capacity * sizeof(*heap));
	if (!heap)
		return false;
	b->heap = heap;
	b->heap_capacity = capacity;
	return true;
}

static void earlier(uint64_t *when, uint64_t deadline)
{
	if (deadline && (!*when || deadline < *when))
		*when = deadline;
}

void timers_rearm(struct call *c)
{
	struct b2bua *b = c->owner;
	uint64_t when = 0;

	if (b->active) {
		earlier(&when, c->ring_deadline_ms);
		earlier(&when, c->max_deadline_ms);
		earlier(&when, c->end_deadline_ms);
		earlier(&when, c->keys_deadline_ms);
		earlier(&when, c->reoffer_ms);
		for (struct txn *t = c->txns; t; t = t->next) {
			earlier(&when, t->next_ms);
			earlier(&when, t->until_ms);
		}
	}
	if (c->heap_index && when == c->deadline_ms)
		return;
	timers_remove(c);
	c->deadline_ms = when;
	if (!when || !grow(b))
		return;
	place(b, ++b->heap_len, c);
	sift_up(b, b->heap_len);
}

struct call *timers_due(struct b2bua *b, uint64_t now_ms)
{
	if (!b->heap_len || b->heap[1]->deadline_ms > now_ms)
		return NULL;
	return b->heap[1];
}
