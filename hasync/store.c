/*
 * An AVL tree in order of key: paged walks over a store that changes need the
 * order, and depth stays below 1.44 log2 n whatever keys a peer chooses. A
 * record is one allocation, header and value; a tombstone has its place in
 * the list of tombstones, oldest first, where a value would be.
 */
#include "hasync/store.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

enum { DEPTH_MAX = 64, KINDS = 256 };

struct rec {
	struct rec *child[2];
	uint64_t id;
	uint64_t epoch;
	uint64_t generation;
	uint32_t size;
	uint32_t round; /* of marking in which it was last renewed */
	uint16_t sub;
	uint8_t kind;
	uint8_t writer;
	uint8_t height;
	bool deleted;
	_Alignas(8) unsigned char value[];
};

/* What follows the header of a tombstone. */
struct tomb {
	struct rec *newer, *older;
	uint64_t since_ms;
};

struct ha_store {
	struct rec *root;
	struct rec *tomb_oldest, *tomb_newest;
	size_t live, tombstones, bytes;
	size_t kinds[KINDS];
	uint64_t digest;
	/* Marking. A record is marked when its round is not the store's. */
	bool marking;
	uint32_t round;
	uint64_t digest_renewed;
	size_t live_renewed;
};

/* The links walked from the root; link[depth - 1] points to the record. */
struct path {
	struct rec **link[DEPTH_MAX];
	int depth;
};

static struct tomb *tomb_of(struct rec *r)
{
	return (struct tomb *)(void *)r->value;
}

static size_t rec_bytes(bool deleted, size_t size)
{
	return sizeof(struct rec) + (deleted ? sizeof(struct tomb) : size);
}

static int rec_compare(const struct ha_key *k, const struct rec *r)
{
	if (k->id != r->id)
		return k->id < r->id ? -1 : 1;
	if (k->sub != r->sub)
		return k->sub < r->sub ? -1 : 1;
	return (k->kind > r->kind) - (k->kind < r->kind);
}

static void rec_item(const struct rec *r, struct ha_item *out)
{
	*out = (struct ha_item){
		.key = {.id = r->id, .sub = r->sub, .kind = r->kind},
		.version = {.epoch = r->epoch,
			    .generation = r->generation,
			    .writer = r->writer},
		.value = r->deleted ? NULL : r->value,
		.size = r->deleted ? 0 : r->size,
		.deleted = r->deleted,
	};
}

static uint64_t mix(uint64_t x)
{
	x ^= x >> 30;
	x *= 0xbf58476d1ce4e5b9u;
	x ^= x >> 27;
	x *= 0x94d049bb133111ebu;
	return x ^ x >> 31;
}

/* Summed over records, so that the order does not matter. */
static uint64_t rec_digest(const struct rec *r)
{
	uint64_t h = mix(r->id + 0x9e3779b97f4a7c15u);

	h = mix(h +
		((uint64_t)r->sub << 16 | (uint64_t)r->kind << 8 | r->writer));
	h = mix(h + r->epoch);
	return mix(h + r->generation);
}

/* ---- the tree ----------------------------------------------------------- */

static int height(const struct rec *r)
{
	return r ? r->height : 0;
}

static void update_height(struct rec *r)
{
	int a = height(r->child[0]);
	int b = height(r->child[1]);

	r->height = (uint8_t)((a > b ? a : b) + 1);
}

/* The child on side `up` comes up to *link. */
static void rotate(struct rec **link, int up)
{
	struct rec *top = *link;
	struct rec *child = top->child[up];

	top->child[up] = child->child[!up];
	child->child[!up] = top;
	*link = child;
	update_height(top);
	update_height(child);
}

static void rebalance(struct path *p)
{
	while (p->depth > 0) {
		struct rec **link = p->link[--p->depth];
		struct rec *r = *link;
		int tilt;
		int up;

		if (!r)
			continue;
		tilt = height(r->child[1]) - height(r->child[0]);
		if (tilt >= -1 && tilt <= 1) {
			update_height(r);
			continue;
		}
		up = tilt > 0;
		if (height(r->child[up]->child[!up]) >
		    height(r->child[up]->child[up]))
			rotate(&r->child[up], !up);
		rotate(link, up);
	}
}

/* The record or NULL; *p ends with the link where it is or belongs. */
static struct rec *descend(struct ha_store *s, const struct ha_key *key,
			   struct path *p)
{
	struct rec **link = &s->root;

	p->depth = 0;
	p->link[p->depth++] = link;
	while (*link) {
		int cmp = rec_compare(key, *link);

		if (!cmp)
			return *link;
		link = &(*link)->child[cmp > 0];
		p->link[p->depth++] = link;
	}
	return NULL;
}

static struct rec *find(const struct ha_store *s, const struct ha_key *key)
{
	struct rec *r = s->root;

	while (r) {
		int cmp = rec_compare(key, r);

		if (!cmp)
			return r;
		r = r->child[cmp > 0];
	}
	return NULL;
}

/* Takes the record at the end of *p out of the tree. */
static void unlink_rec(struct path *p)
{
	int at = p->depth - 1;
	struct rec *r = *p->link[at];
	struct rec *next;

	if (!r->child[0] || !r->child[1]) {
		*p->link[at] = r->child[0] ? r->child[0] : r->child[1];
		rebalance(p);
		return;
	}
	/* The next in order has no left child; it takes r's place. */
	p->link[p->depth++] = &r->child[1];
	while ((*p->link[p->depth - 1])->child[0]) {
		struct rec *r2 = *p->link[p->depth - 1];

		p->link[p->depth++] = &r2->child[0];
	}
	next = *p->link[p->depth - 1];
	*p->link[p->depth - 1] = next->child[1];
	next->child[0] = r->child[0];
	next->child[1] = r->child[1];
	next->height = r->height;
	*p->link[at] = next;
	/* The path went through r, which is gone. */
	p->link[at + 1] = &next->child[1];
	rebalance(p);
}

/* ---- counting ----------------------------------------------------------- */

static bool is_marked(const struct ha_store *s, const struct rec *r)
{
	return s->marking && r->round != s->round;
}

static void tomb_link(struct ha_store *s, struct rec *r, uint64_t now_ms)
{
	struct tomb *t = tomb_of(r);

	*t = (struct tomb){.older = s->tomb_newest, .since_ms = now_ms};
	if (s->tomb_newest)
		tomb_of(s->tomb_newest)->newer = r;
	else
		s->tomb_oldest = r;
	s->tomb_newest = r;
}

static void tomb_unlink(struct ha_store *s, struct rec *r)
{
	struct tomb *t = tomb_of(r);

	if (t->older)
		tomb_of(t->older)->newer = t->newer;
	else
		s->tomb_oldest = t->newer;
	if (t->newer)
		tomb_of(t->newer)->older = t->older;
	else
		s->tomb_newest = t->older;
}

static void account(struct ha_store *s, const struct rec *r)
{
	uint64_t d;

	s->bytes += rec_bytes(r->deleted, r->size);
	if (r->deleted) {
		s->tombstones++;
		return;
	}
	d = rec_digest(r);
	s->live++;
	s->kinds[r->kind]++;
	s->digest += d;
	if (s->marking && !is_marked(s, r)) {
		s->live_renewed++;
		s->digest_renewed += d;
	}
}

static void unaccount(struct ha_store *s, const struct rec *r)
{
	uint64_t d;

	s->bytes -= rec_bytes(r->deleted, r->size);
	if (r->deleted) {
		s->tombstones--;
		return;
	}
	d = rec_digest(r);
	s->live--;
	s->kinds[r->kind]--;
	s->digest -= d;
	if (s->marking && !is_marked(s, r)) {
		s->live_renewed--;
		s->digest_renewed -= d;
	}
}

static void renew(struct ha_store *s, struct rec *r)
{
	if (!is_marked(s, r))
		return;
	r->round = s->round;
	if (!r->deleted) {
		s->live_renewed++;
		s->digest_renewed += rec_digest(r);
	}
}

/* Out of everything; the caller frees it. */
static struct rec *take_out(struct ha_store *s, const struct ha_key *key)
{
	struct path path;
	struct rec *r = descend(s, key, &path);

	unaccount(s, r);
	if (r->deleted)
		tomb_unlink(s, r);
	unlink_rec(&path);
	return r;
}

/* ---- life --------------------------------------------------------------- */

int ha_store_create(struct ha_store **out)
{
	struct ha_store *s = calloc(1, sizeof(*s));

	if (!s)
		return -ENOMEM;
	*out = s;
	return 0;
}

void ha_store_destroy(struct ha_store *s)
{
	struct rec *r;

	if (!s)
		return;
	/* Turn left children up until the list is straight. */
	r = s->root;
	while (r) {
		struct rec *left = r->child[0];

		if (left) {
			r->child[0] = left->child[1];
			left->child[1] = r;
			r = left;
		} else {
			struct rec *next = r->child[1];

			free(r);
			r = next;
		}
	}
	free(s);
}

/* ---- writing ------------------------------------------------------------ */

/* Changes an existing record's size; its links move with it. */
static struct rec *resize(struct ha_store *s, struct path *p, size_t bytes)
{
	struct rec **link = p->link[p->depth - 1];
	struct rec *r = *link;

	if (rec_bytes(r->deleted, r->size) == bytes)
		return r;
	r = realloc(r, bytes);
	if (r)
		*link = r;
	return r;
}

static int write_rec(struct ha_store *s, const struct ha_key *key,
		     const struct ha_version *version, const void *value,
		     size_t size, bool deleted, uint64_t now_ms)
{
	size_t bytes = rec_bytes(deleted, size);
	struct path path;
	struct rec *r = descend(s, key, &path);
	struct rec *same;

	if (r) {
		struct ha_version old = {r->epoch, r->generation, r->writer};
		int cmp = ha_version_compare(version, &old);
		uint64_t since_ms;

		if (!cmp) {
			renew(s, r);
			return 0;
		}
		if (cmp < 0 && !is_marked(s, r))
			return 0;
		/* Out of the books while it is rewritten. */
		unaccount(s, r);
		since_ms = r->deleted ? tomb_of(r)->since_ms : 0;
		if (r->deleted)
			tomb_unlink(s, r);
		same = r;
		r = resize(s, &path, bytes);
		if (!r) {
			if (same->deleted)
				tomb_link(s, same, since_ms);
			account(s, same);
			return -ENOMEM;
		}
	} else {
		r = calloc(1, bytes);
		if (!r)
			return -ENOMEM;
		r->id = key->id;
		r->sub = key->sub;
		r->kind = key->kind;
		*path.link[path.depth - 1] = r;
		rebalance(&path);
	}
	r->epoch = version->epoch;
	r->generation = version->generation;
	r->writer = version->writer;
	r->round = s->round;
	r->deleted = deleted;
	r->size = (uint32_t)size;
	if (deleted)
		tomb_link(s, r, now_ms);
	else if (size)
		memcpy(r->value, value, size);
	account(s, r);
	return 1;
}

int ha_store_put(struct ha_store *s, const struct ha_key *key,
		 const struct ha_version *version, const void *value,
		 size_t size)
{
	if (size > HA_VALUE_MAX_BYTES)
		return -EMSGSIZE;
	return write_rec(s, key, version, value, size, false, 0);
}

int ha_store_delete(struct ha_store *s, const struct ha_key *key,
		    const struct ha_version *version, uint64_t now_ms)
{
	return write_rec(s, key, version, NULL, 0, true, now_ms);
}

/* ---- reading ------------------------------------------------------------ */

bool ha_store_get(const struct ha_store *s, const struct ha_key *key,
		  struct ha_item *out)
{
	const struct rec *r = find(s, key);

	if (!r)
		return false;
	rec_item(r, out);
	return true;
}

static const struct rec *next_rec(const struct ha_store *s,
				  const struct ha_key *after)
{
	const struct rec *r = s->root;
	const struct rec *best = NULL;

	while (r) {
		if (!after || rec_compare(after, r) < 0) {
			best = r;
			r = r->child[0];
		} else {
			r = r->child[1];
		}
	}
	return best;
}

bool ha_store_next(const struct ha_store *s, const struct ha_key *after,
		   struct ha_item *out)
{
	const struct rec *r = next_rec(s, after);

	if (!r)
		return false;
	rec_item(r, out);
	return true;
}

void ha_store_foreach(const struct ha_store *s, ha_store_visit_fn *fn,
		      void *ctx)
{
	const struct rec *stack[DEPTH_MAX];
	const struct rec *r = s->root;
	int depth = 0;

	while (r || depth) {
		struct ha_item item;

		while (r) {
			stack[depth++] = r;
			r = r->child[0];
		}
		r = stack[--depth];
		rec_item(r, &item);
		if (!fn(ctx, &item))
			return;
		r = r->child[1];
	}
}

size_t ha_store_count(const struct ha_store *s)
{
	return s->live;
}

size_t ha_store_count_kind(const struct ha_store *s, uint8_t kind)
{
	return s->kinds[kind];
}

size_t ha_store_tombstones(const struct ha_store *s)
{
	return s->tombstones;
}

size_t ha_store_bytes(const struct ha_store *s)
{
	return s->bytes;
}

uint64_t ha_store_digest(const struct ha_store *s)
{
	return s->digest;
}

/* ---- renewal, tombstones ------------------------------------------------ */

void ha_store_mark_all(struct ha_store *s)
{
	s->marking = true;
	s->round++;
	s->digest_renewed = 0;
	s->live_renewed = 0;
}

void ha_store_unmark_all(struct ha_store *s)
{
	s->marking = false;
}

uint64_t ha_store_digest_renewed(const struct ha_store *s)
{
	return s->marking ? s->digest_renewed : s->digest;
}

size_t ha_store_count_renewed(const struct ha_store *s)
{
	return s->marking ? s->live_renewed : s->live;
}

void ha_store_touch(struct ha_store *s, const struct ha_key *key)
{
	struct rec *r = find(s, key);

	if (r)
		renew(s, r);
}

size_t ha_store_sweep(struct ha_store *s, ha_store_visit_fn *fn, void *ctx)
{
	const struct rec *r = next_rec(s, NULL);
	size_t swept = 0;

	while (r) {
		struct ha_key key = {r->id, r->sub, r->kind};

		if (is_marked(s, r)) {
			struct rec *gone = take_out(s, &key);
			struct ha_item item;

			/* fn finds it absent already. */
			rec_item(gone, &item);
			if (!item.deleted) {
				swept++;
				if (fn)
					fn(ctx, &item);
			}
			free(gone);
		}
		r = next_rec(s, &key);
	}
	s->marking = false;
	return swept;
}

size_t ha_store_reap(struct ha_store *s, uint64_t now_ms, uint64_t age_ms)
{
	size_t reaped = 0;

	while (s->tomb_oldest) {
		struct rec *r = s->tomb_oldest;
		struct ha_key key = {r->id, r->sub, r->kind};
		uint64_t since_ms = tomb_of(r)->since_ms;

		if (now_ms < since_ms || now_ms - since_ms < age_ms)
			break;
		free(take_out(s, &key));
		reaped++;
	}
	return reaped;
}
