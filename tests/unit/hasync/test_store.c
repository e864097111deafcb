#include "hasync/store.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include "cm.h"

enum { KEYS = 300 };

/* The same, told simply. */
struct naive {
	bool known, deleted, marked;
	struct ha_version version;
	size_t size;
	uint8_t fill;
	uint64_t since_ms;
};

struct world {
	struct ha_store *s;
	struct naive n[KEYS];
	bool marking;
	uint64_t rnd, now_ms;
};

static uint64_t rnd(struct world *w)
{
	w->rnd ^= w->rnd << 13;
	w->rnd ^= w->rnd >> 7;
	w->rnd ^= w->rnd << 17;
	return w->rnd;
}

static struct ha_key key_of(unsigned i)
{
	/* Not in order of i; sub and kind matter. */
	return (struct ha_key){
		.id = (i / 4) * 0x9e3779b97f4a7c15u >> 40,
		.sub = i % 2,
		.kind = (uint8_t)(1 + i / 2 % 2),
	};
}

static struct ha_version version_of(struct world *w)
{
	return (struct ha_version){
		.epoch = 1 + rnd(w) % 3,
		.generation = rnd(w) % 50,
		.writer = (uint8_t)(1 + rnd(w) % 2),
	};
}

static void put(struct world *w, unsigned i, bool deleted)
{
	struct naive *n = &w->n[i];
	struct ha_version v = version_of(w);
	struct ha_key key = key_of(i);
	uint8_t value[300];
	size_t size = rnd(w) % 3 ? rnd(w) % sizeof(value) : 100;
	int cmp = n->known ? ha_version_compare(&v, &n->version) : 1;
	int want = cmp > 0 || (cmp < 0 && w->marking && n->marked);
	int rc;

	memset(value, (int)i ^ 0x55, sizeof(value));
	rc = deleted ? ha_store_delete(w->s, &key, &v, w->now_ms)
		     : ha_store_put(w->s, &key, &v, value, size);
	assert_int_equal(rc, want);
	if (cmp == 0)
		n->marked = false;
	if (!want)
		return;
	*n = (struct naive){
		.known = true,
		.deleted = deleted,
		.version = v,
		.size = deleted ? 0 : size,
		.fill = (uint8_t)(i ^ 0x55),
		.since_ms = w->now_ms,
	};
}

static bool count_drop(void *ctx, const struct ha_item *item)
{
	assert_false(item->deleted);
	++*(size_t *)ctx;
	return true;
}

static void sweep(struct world *w)
{
	size_t want = 0, seen = 0;

	for (unsigned i = 0; i < KEYS; i++) {
		struct naive *n = &w->n[i];

		if (!n->known || !w->marking || !n->marked)
			continue;
		want += !n->deleted;
		n->known = false;
	}
	w->marking = false;
	assert_int_equal(ha_store_sweep(w->s, count_drop, &seen), want);
	assert_int_equal(seen, want);
}

static void reap(struct world *w)
{
	size_t want = 0;

	for (unsigned i = 0; i < KEYS; i++) {
		struct naive *n = &w->n[i];

		if (n->known && n->deleted && w->now_ms - n->since_ms >= 100) {
			n->known = false;
			want++;
		}
	}
	assert_int_equal(ha_store_reap(w->s, w->now_ms, 100), want);
}

static void mark(struct world *w)
{
	for (unsigned i = 0; i < KEYS; i++)
		w->n[i].marked = true;
	w->marking = true;
	ha_store_mark_all(w->s);
}

struct visit {
	struct ha_key last;
	size_t seen, live;
};

static int key_order(const struct ha_key *a, const struct ha_key *b)
{
	if (a->id != b->id)
		return a->id < b->id ? -1 : 1;
	if (a->sub != b->sub)
		return a->sub < b->sub ? -1 : 1;
	return (a->kind > b->kind) - (a->kind < b->kind);
}

static bool visit(void *ctx, const struct ha_item *item)
{
	struct visit *v = ctx;

	if (v->seen)
		assert_true(key_order(&v->last, &item->key) < 0);
	v->last = item->key;
	v->seen++;
	v->live += !item->deleted;
	return true;
}

static void check(struct world *w)
{
	struct visit v = {0};
	struct ha_item item;
	struct ha_key key;
	size_t live = 0, tombs = 0, kind1 = 0, renewed = 0, walked = 0;

	for (unsigned i = 0; i < KEYS; i++) {
		const struct naive *n = &w->n[i];

		key = key_of(i);
		assert_int_equal(ha_store_get(w->s, &key, &item), n->known);
		if (!n->known)
			continue;
		assert_true(ha_key_equal(&item.key, &key));
		assert_int_equal(item.deleted, n->deleted);
		assert_int_equal(item.size, n->size);
		assert_int_equal(ha_version_compare(&item.version, &n->version),
				 0);
		for (size_t k = 0; k < item.size; k++)
			assert_int_equal(((const uint8_t *)item.value)[k],
					 n->fill);
		live += !n->deleted;
		tombs += n->deleted;
		kind1 += !n->deleted && key.kind == 1;
		renewed += !n->deleted && (!w->marking || !n->marked);
	}
	assert_int_equal(ha_store_count(w->s), live);
	assert_int_equal(ha_store_tombstones(w->s), tombs);
	assert_int_equal(ha_store_count_kind(w->s, 1), kind1);
	assert_int_equal(ha_store_count_kind(w->s, 9), 0);
	assert_int_equal(ha_store_count_renewed(w->s), renewed);
	ha_store_foreach(w->s, visit, &v);
	assert_int_equal(v.seen, live + tombs);
	assert_int_equal(v.live, live);
	for (bool more = ha_store_next(w->s, NULL, &item); more; walked++) {
		key = item.key;
		more = ha_store_next(w->s, &key, &item);
	}
	assert_int_equal(walked, live + tombs);
}

/* Built afresh in another order: equal sets have equal digests. */
static void check_digest(struct world *w)
{
	struct ha_store *t;

	assert_int_equal(ha_store_create(&t), 0);
	for (unsigned i = KEYS; i-- > 0;) {
		struct ha_key key = key_of(i);
		uint8_t value[300];

		if (!w->n[i].known || w->n[i].deleted)
			continue;
		memset(value, w->n[i].fill, sizeof(value));
		assert_int_equal(ha_store_put(t, &key, &w->n[i].version, value,
					      w->n[i].size),
				 1);
	}
	assert_true(ha_store_digest(t) == ha_store_digest(w->s));
	if (!w->marking)
		assert_true(ha_store_digest_renewed(w->s) ==
			    ha_store_digest(w->s));
	if (!ha_store_tombstones(w->s))
		assert_int_equal(ha_store_bytes(t), ha_store_bytes(w->s));
	ha_store_destroy(t);
}

static void behaves_like_a_table(void **state)
{
	for (uint64_t seed = 1; seed < 20; seed++) {
		struct world w = {.rnd = seed * 0x2545f4914f6cdd1du};

		assert_int_equal(ha_store_create(&w.s), 0);
		for (int step = 0; step < 4000; step++) {
			unsigned r = (unsigned)(rnd(&w) % 1000);
			unsigned i = (unsigned)(rnd(&w) % KEYS);
			struct ha_key key = key_of(i);

			w.now_ms += rnd(&w) % 2;
			if (r < 600) {
				put(&w, i, false);
			} else if (r < 900) {
				put(&w, i, true);
			} else if (r < 980) {
				ha_store_touch(w.s, &key);
				w.n[i].marked = false;
			} else if (r < 984) {
				mark(&w);
			} else if (r < 987) {
				sweep(&w);
			} else if (r < 989) {
				ha_store_unmark_all(w.s);
				w.marking = false;
			} else {
				reap(&w);
			}
			if (step % 50 == 0)
				check(&w);
		}
		check(&w);
		check_digest(&w);
		ha_store_destroy(w.s);
	}
}

/* After the sweep the digest is what the renewed ones promised. */
static void renewed_digest_foretells_the_sweep(void **state)
{
	struct world w = {.rnd = 12345};
	uint64_t digest;
	size_t count;

	assert_int_equal(ha_store_create(&w.s), 0);
	for (unsigned i = 0; i < KEYS; i++)
		put(&w, i, i % 7 == 0);
	mark(&w);
	for (unsigned i = 0; i < KEYS; i += 2)
		put(&w, i, i % 11 == 0);
	for (unsigned i = 1; i < KEYS; i += 6) {
		struct ha_key key = key_of(i);

		ha_store_touch(w.s, &key);
		w.n[i].marked = false;
	}
	digest = ha_store_digest_renewed(w.s);
	count = ha_store_count_renewed(w.s);
	assert_true(digest != ha_store_digest(w.s));
	sweep(&w);
	assert_true(ha_store_digest(w.s) == digest);
	assert_int_equal(ha_store_count(w.s), count);
	check(&w);
	ha_store_destroy(w.s);
}

static void newest_version_wins(void **state)
{
	static const struct ha_version order[] = {
		{1, 1, 1}, {1, 1, 2}, {1, 2, 1}, {1, 99, 1},
		{2, 1, 1}, {2, 1, 2}, {3, 0, 1},
	};
	enum { N = sizeof(order) / sizeof(order[0]) };
	struct ha_key key = {.id = 1};
	struct ha_item item;

	for (unsigned i = 0; i < N; i++) {
		for (unsigned k = 0; k < N; k++) {
			struct ha_store *s;
			int cmp = ha_version_compare(&order[i], &order[k]);

			assert_int_equal((cmp > 0) - (cmp < 0),
					 (i > k) - (i < k));
			assert_int_equal(ha_store_create(&s), 0);
			assert_int_equal(
				ha_store_put(s, &key, &order[i], "a", 1), 1);
			/* A deletion obeys the same rule, both ways. */
			assert_int_equal(ha_store_delete(s, &key, &order[k], 0),
					 k > i);
			assert_true(ha_store_get(s, &key, &item));
			assert_int_equal(item.deleted, k > i);
			if (item.deleted)
				assert_int_equal(ha_store_put(s, &key,
							      &order[i], "a",
							      1),
						 0);
			ha_store_destroy(s);
		}
	}
}

static void limits(void **state)
{
	static char large[HA_VALUE_MAX_BYTES + 1];
	struct ha_key key = {.id = 1};
	struct ha_version v = {1, 1, 1};
	struct ha_store *s;
	struct ha_item item;

	ha_store_destroy(NULL);
	assert_int_equal(ha_store_create(&s), 0);
	assert_int_equal(ha_store_put(s, &key, &v, large, sizeof(large)),
			 -EMSGSIZE);
	assert_false(ha_store_get(s, &key, &item));
	assert_false(ha_store_next(s, NULL, &item));
	assert_int_equal(ha_store_put(s, &key, &v, large, sizeof(large) - 1),
			 1);
	assert_true(ha_store_bytes(s) >= sizeof(large) - 1);
	v.generation = 2;
	assert_int_equal(ha_store_put(s, &key, &v, NULL, 0), 1);
	assert_true(ha_store_bytes(s) < 200);
	assert_int_equal(ha_store_sweep(s, NULL, NULL), 0);
	assert_int_equal(ha_store_count(s), 1);
	ha_store_destroy(s);
}

/* In order, backwards, at random: depth is logarithmic, so is time. */
static void a_hundred_thousand_records(void **state)
{
	enum { N = 100000 };
	struct ha_store *s;
	struct ha_item item;
	struct timespec a, b;
	size_t walked = 0;

	clock_gettime(CLOCK_MONOTONIC, &a);
	for (int way = 0; way < 3; way++) {
		assert_int_equal(ha_store_create(&s), 0);
		for (uint64_t i = 0; i < N; i++) {
			uint64_t id = way == 0	 ? i
				      : way == 1 ? N - i
						 : i * 7919 % N;
			struct ha_key key = {.id = id};
			struct ha_version v = {1, i, 1};

			assert_int_equal(ha_store_put(s, &key, &v, &v, 8), 1);
		}
		assert_int_equal(ha_store_count(s), N);
		ha_store_mark_all(s);
		for (uint64_t id = 0; id < N; id += 3) {
			struct ha_key key = {.id = id};

			ha_store_touch(s, &key);
		}
		ha_store_sweep(s, NULL, NULL);
		assert_true(ha_store_count(s) < N / 3 + 2);
		for (bool more = ha_store_next(s, NULL, &item); more;) {
			struct ha_key key = item.key;

			assert_int_equal(key.id % 3, 0);
			walked++;
			more = ha_store_next(s, &key, &item);
		}
		ha_store_destroy(s);
	}
	assert_true(walked > N - 4);
	clock_gettime(CLOCK_MONOTONIC, &b);
	/* Half a second here; a list instead of a tree takes minutes. */
	assert_true(b.tv_sec - a.tv_sec < 30);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(behaves_like_a_table),
		cmocka_unit_test(renewed_digest_foretells_the_sweep),
		cmocka_unit_test(newest_version_wins),
		cmocka_unit_test(limits),
		cmocka_unit_test(a_hundred_thousand_records),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
