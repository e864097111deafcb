/*
 * Random interleavings of two engines: puts, crashes, splits, hand-overs,
 * full queues. What must hold: a put reported safe is at the peer (checked in
 * bus_committed()), every put with a token is reported once, and when the
 * dust settles both stores hold exactly what the active was told.
 *
 * HASYNC_SEEDS and HASYNC_SEED widen or narrow the search.
 */
#include "bus.h"

enum { KEYS = 200, STEPS = 6000 };

struct model {
	bool there;
	size_t size;
	unsigned fill;
};

struct world {
	struct bus b;
	struct model model[KEYS];
	struct node *active;
	uint64_t token;
	unsigned written, refused, synced;
	unsigned takeovers, crashes, splits, handovers;
};

static void model_from_store(struct world *w)
{
	for (uint64_t id = 0; id < KEYS; id++) {
		struct ha_key key = {.id = id, .kind = 1};
		struct ha_item item;
		struct model *m = &w->model[id];

		m->there = ha_store_get(w->active->e->store, &key, &item) &&
			   !item.deleted;
		if (!m->there)
			continue;
		m->size = item.size;
		m->fill = item.size ? *(const uint8_t *)item.value : 0;
	}
}

static void check_model(struct world *w, struct node *n)
{
	for (uint64_t id = 0; id < KEYS; id++) {
		struct ha_key key = {.id = id, .kind = 1};
		const struct model *m = &w->model[id];
		struct ha_item item;
		bool there =
			ha_store_get(n->e->store, &key, &item) && !item.deleted;

		assert_int_equal(there, m->there);
		if (!there)
			continue;
		assert_int_equal(item.size, m->size);
		for (size_t i = 0; i < item.size; i++)
			assert_int_equal(((const uint8_t *)item.value)[i],
					 m->fill);
	}
}

static size_t random_size(struct bus *b)
{
	switch (bus_random(b) % 20) {
	case 0:
		return bus_random(b) % 40000;
	case 1:
		return 4096 - 33 + bus_random(b) % 3;
	case 2:
		return 0;
	default:
		return bus_random(b) % 400;
	}
}

static void write_something(struct world *w)
{
	struct bus *b = &w->b;
	uint64_t id = bus_random(b) % KEYS;
	uint64_t token = bus_random(b) % 3 ? 0 : ++w->token;
	unsigned fill = (unsigned)(bus_random(b) % 256);
	size_t size = random_size(b);

	if (bus_random(b) % 4) {
		if (bus_put(w->active, id, size, fill, token))
			goto refused;
		w->model[id] = (struct model){true, size, size ? fill : 0};
	} else {
		if (bus_delete(w->active, id, token))
			goto refused;
		w->model[id].there = false;
	}
	w->written++;
	return;
refused:
	w->refused++;
	if (token)
		w->active->tokens[token] = TOKEN_NONE;
}

static void take_over(struct world *w, struct node *n)
{
	/* It knows what its keeper knows: the peer has left. */
	while (bus_deliver_one(n))
		;
	bus_activate(n);
	w->active = n;
	w->takeovers++;
	model_from_store(w);
}

static void crash(struct world *w)
{
	struct bus *b = &w->b;
	struct node *victim = &b->node[1 + bus_random(b) % 2];
	struct node *other = bus_peer(victim);

	if (!victim->e || !other->e || b->split)
		return;
	w->crashes++;
	if (victim == w->active) {
		bus_crash(b, victim->id);
		take_over(w, other);
	} else {
		bus_crash(b, victim->id);
	}
	while (bus_deliver_one(w->active))
		;
}

/* The standby claims during some splits and wins; the other must join. */
static void split_or_heal(struct world *w)
{
	struct bus *b = &w->b;
	struct node *old = w->active;

	if (!b->node[1].e || !b->node[2].e)
		return;
	w->splits++;
	bus_split(b, !b->split);
	if (b->split) {
		for (int id = 1; id <= 2; id++)
			while (bus_deliver_one(&b->node[id]))
				;
		if (bus_random(b) % 2)
			take_over(w, bus_peer(old));
		return;
	}
	bus_turn(b);
	old = bus_peer(w->active);
	if (old->e->role == HA_ROLE_ACTIVE) {
		bus_set_role(old, HA_ROLE_RELINQUISHING);
		bus_set_role(old, HA_ROLE_SYNCING);
	}
}

static void hand_over(struct world *w)
{
	struct bus *b = &w->b;
	struct node *old = w->active, *new = bus_peer(old);
	unsigned commands;

	if (b->split || !new->e || !old->in_sync || old->full || new->full)
		return;
	commands = new->commands;
	bus_set_role(old, HA_ROLE_RELINQUISHING);
	write_something(w);
	for (int i = 0; i < 50 && !ha_engine_flushed(old->e); i++)
		bus_run(b, 1);
	if (!ha_engine_flushed(old->e) ||
	    ha_engine_command(old->e, HA_CMD_GO, 0)) {
		bus_set_role(old, HA_ROLE_SYNCING);
		bus_activate(old);
		return;
	}
	bus_run(b, 3);
	assert_int_equal(new->commands, commands + 1);
	check_model(w, new);
	bus_activate(new);
	w->active = new;
	w->handovers++;
	bus_set_role(old, HA_ROLE_SYNCING);
}

/* Rare, so that the nodes are in sync in between. */
static void fault(struct world *w, struct node *n)
{
	switch (bus_random(&w->b) % 8) {
	case 0:
		n->full = n->e;
		break;
	case 1:
		w->b.now += 500;
		break;
	case 2:
	case 3:
		crash(w);
		break;
	case 4:
	case 5:
		split_or_heal(w);
		break;
	default:
		hand_over(w);
	}
}

static void recover(struct world *w)
{
	struct bus *b = &w->b;

	b->node[1].full = b->node[2].full = false;
	for (uint8_t id = 1; id <= 2; id++)
		if (!b->node[id].e && !b->split)
			bus_boot(b, id);
	if (b->split && bus_random(b) % 4 == 0)
		split_or_heal(w);
}

static void step(struct world *w)
{
	struct bus *b = &w->b;
	struct node *n = &b->node[1 + bus_random(b) % 2];
	unsigned r = (unsigned)(bus_random(b) % 1000);

	if (r < 250) {
		write_something(w);
	} else if (r < 600) {
		for (uint64_t k = bus_random(b) % 6; k; k--)
			bus_deliver_one(n);
	} else if (r < 850) {
		bus_flush(n);
	} else if (r < 985) {
		b->now += bus_random(b) % 6;
	} else if (r < 988) {
		fault(w, n);
	} else {
		recover(w);
	}
}

static void settle(struct world *w)
{
	struct bus *b = &w->b;

	if (b->split)
		split_or_heal(w);
	for (uint8_t id = 1; id <= 2; id++) {
		if (!b->node[id].e)
			bus_boot(b, id);
		b->node[id].full = false;
	}
	for (int i = 0; i < 8000; i++) {
		bus_run(b, 1);
		if (b->node[1].in_sync && b->node[2].in_sync &&
		    ha_engine_flushed(w->active->e))
			break;
	}
	assert_true(b->node[1].in_sync);
	assert_true(b->node[2].in_sync);
	bus_assert_equal(&b->node[1], &b->node[2]);
	check_model(w, &b->node[1]);
	assert_int_equal(bus_put(w->active, 1, 1, 1, 0), 0);
	for (int id = 1; id <= 2; id++)
		for (uint64_t t = 0; t <= w->token; t++)
			assert_int_not_equal(b->node[id].tokens[t], TOKEN_OPEN);
}

static void one_seed(uint64_t seed)
{
	struct world *w = calloc(1, sizeof(*w));

	bus_open(&w->b);
	w->b.gap_ms = seed % 3 * 4;
	w->b.rnd += seed * 0x9e3779b97f4a7c15u;
	w->active = bus_boot(&w->b, 1);
	bus_activate(w->active);
	if (seed % 2)
		bus_boot(&w->b, 2);
	for (int i = 0; i < STEPS; i++) {
		step(w);
		w->synced += w->b.node[1].in_sync && w->b.node[2].in_sync;
	}
	settle(w);
	if (getenv("HASYNC_SEED"))
		print_message(
			"seed %llu: written %u, refused %u, in sync %u of %d steps; crashes %u, splits %u, take-overs %u, hand-overs %u\n",
			(unsigned long long)seed, w->written, w->refused,
			w->synced, STEPS, w->crashes, w->splits, w->takeovers,
			w->handovers);
	bus_close(&w->b);
	free(w);
}

static uint64_t number(const char *name, uint64_t fallback)
{
	const char *text = getenv(name);

	return text ? strtoull(text, NULL, 10) : fallback;
}

static void random_interleavings(void **state)
{
	uint64_t first = number("HASYNC_SEED", 1);
	uint64_t last = first + number("HASYNC_SEEDS", 100);

	for (uint64_t seed = first; seed < last; seed++)
		one_seed(seed);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(random_interleavings),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
