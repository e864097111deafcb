/* The writer, its queue and time-outs, and what strangers send. */
#include "bus.h"

static int setup(void **state)
{
	struct bus *b = malloc(sizeof(*b));

	bus_open(b);
	*state = b;
	return 0;
}

static int teardown(void **state)
{
	bus_close(*state);
	free(*state);
	return 0;
}

/* ---- writing ----------------------------------------------------- */

static void alone_commits_at_once(void **state)
{
	struct bus *b = *state;
	struct node *n = bus_boot(b, 1);

	assert_int_equal(bus_put(n, 1, 10, 1, 1), -EPERM);
	bus_activate(n);
	assert_int_equal(bus_put(n, 1, 10, 1, 1), 0);
	assert_int_equal(n->tokens[1], TOKEN_DONE);
	assert_int_equal(bus_delete(n, 1, 2), 0);
	assert_int_equal(n->tokens[2], TOKEN_DONE);
	assert_int_equal(bus_put(n, 1, HA_VALUE_MAX_BYTES + 1, 1, 0),
			 -EMSGSIZE);
	bus_run(b, 10);
	/* Nobody hears it: no frame. */
	assert_int_equal(n->e->stats.frames_sent, 0);
}

static void only_the_active_writes(void **state)
{
	static const bool may[HA_ROLE_COUNT] = {
		[HA_ROLE_BECOMING_ACTIVE] = true,
		[HA_ROLE_ACTIVE] = true,
	};
	struct bus *b = *state;
	struct node *n = bus_boot(b, 1);

	n->manual = true;
	for (int role = 0; role < HA_ROLE_COUNT; role++) {
		bus_set_role(n, HA_ROLE_INIT);
		/* From INIT; RELINQUISHING without having been active. */
		bus_set_role(n, role == HA_ROLE_ACTIVE ? HA_ROLE_BECOMING_ACTIVE
						       : (enum ha_role)role);
		if (role == HA_ROLE_ACTIVE)
			bus_set_role(n, HA_ROLE_ACTIVE);
		assert_int_equal(bus_put(n, 1, 1, 1, 0),
				 may[role] ? 0 : -EPERM);
	}
}

static void epoch_of_another_is_refused(void **state)
{
	struct bus *b = *state;
	struct node *n;

	bus_pair(b);
	n = &b->node[2];
	bus_crash(b, 1);
	bus_run(b, 5);
	/* The dead active's own epoch must not be written under. */
	ha_engine_set_role(n->e, HA_ROLE_BECOMING_ACTIVE, n->e->floor);
	assert_int_equal(bus_put(n, 1, 1, 1, 0), -EPERM);
	ha_engine_set_role(n->e, HA_ROLE_BECOMING_ACTIVE,
			   ha_engine_epoch(n->e) + 1);
	assert_int_equal(bus_put(n, 1, 1, 1, 0), 0);
}

static void sync_put_waits_for_the_peer(void **state)
{
	struct bus *b = *state;
	struct node *a = &b->node[1], *s = &b->node[2];

	bus_pair(b);
	assert_int_equal(bus_put(a, 7, 100, 7, 1), 0);
	assert_int_equal(a->tokens[1], TOKEN_OPEN);
	assert_int_equal(ha_engine_deadline_ms(a->e), b->now);
	/* At the end of this turn, not after batch_ms. */
	bus_flush(a);
	assert_false(ha_engine_flushed(a->e));
	while (bus_deliver_one(a))
		;
	/* Its own delivery proves nothing. */
	assert_int_equal(a->tokens[1], TOKEN_OPEN);
	while (bus_deliver_one(s))
		;
	assert_true(bus_has(s, 7));
	bus_flush(s);
	while (bus_deliver_one(a))
		;
	assert_int_equal(a->tokens[1], TOKEN_DONE);
	assert_true(ha_engine_flushed(a->e));
	bus_assert_equal(a, s);
}

/* A steady stream of puts that somebody waits for shares frames. */
static void urgent_batches_keep_a_distance(void **state)
{
	struct bus *b = *state;
	struct node *a = &b->node[1];
	uint64_t before;

	b->gap_ms = 5;
	bus_pair(b);
	bus_run(b, 30);
	before = a->e->stats.frames_sent;
	/* The first one does not wait ... */
	assert_int_equal(bus_put(a, 1, 100, 1, 1), 0);
	assert_int_equal(ha_engine_deadline_ms(a->e), b->now);
	bus_flush(a);
	assert_int_equal(a->e->stats.frames_sent, before + 1);
	/* ... the next ones do, together, and not longer than the gap; a lazy
	 * one rides along. */
	b->now += 1;
	assert_int_equal(bus_put(a, 2, 100, 2, 2), 0);
	bus_flush(a);
	b->now += 2;
	assert_int_equal(bus_put(a, 3, 100, 3, 3), 0);
	assert_int_equal(bus_put(a, 4, 100, 3, 0), 0);
	bus_flush(a);
	assert_int_equal(a->e->stats.frames_sent, before + 1);
	assert_int_equal(ha_engine_deadline_ms(a->e), b->now + 2);
	b->now += 2;
	bus_flush(a);
	assert_int_equal(a->e->stats.frames_sent, before + 2);
	bus_run(b, 20);
	for (int token = 1; token <= 3; token++)
		assert_int_equal(a->tokens[token], TOKEN_DONE);
	/* Quiet for a gap: at once again. */
	before = a->e->stats.frames_sent;
	assert_int_equal(bus_put(a, 5, 100, 5, 4), 0);
	bus_flush(a);
	assert_int_equal(a->e->stats.frames_sent, before + 1);
	bus_run(b, 20);
	bus_assert_equal(a, &b->node[2]);
}

static void lazy_puts_are_batched(void **state)
{
	struct bus *b = *state;
	struct node *a = &b->node[1];
	uint64_t before;

	bus_pair(b);
	bus_run(b, 30);
	before = a->e->stats.frames_sent;
	for (int i = 0; i < 20; i++)
		assert_int_equal(bus_put(a, (uint64_t)i, 50, 1, 0), 0);
	bus_flush(a);
	assert_int_equal(a->e->stats.frames_sent, before);
	assert_true(ha_engine_deadline_ms(a->e) <= b->now + 2);
	b->now += 2;
	bus_flush(a);
	assert_int_equal(a->e->stats.frames_sent, before + 1);
	bus_run(b, 30);
	assert_true(ha_engine_flushed(a->e));
	bus_assert_equal(a, &b->node[2]);
}

static void large_records_travel_in_fragments(void **state)
{
	static const size_t sizes[] = {
		0,    1,     4096 - 33, 4096 - 32, 4096,
		4097, 60000, 65536,	131072,	   HA_VALUE_MAX_BYTES,
	};
	struct bus *b = *state;
	struct node *a = &b->node[1];

	bus_pair(b);
	for (unsigned i = 0; i < sizeof(sizes) / sizeof(sizes[0]); i++) {
		bus_put(a, 1000, 10, 1, 0);
		assert_int_equal(bus_put(a, i, sizes[i], i, i + 1), 0);
		bus_run(b, 5);
		assert_int_equal(a->tokens[i + 1], TOKEN_DONE);
	}
	bus_run(b, 20);
	bus_assert_equal(a, &b->node[2]);
	/* And in a snapshot. */
	bus_crash(b, 2);
	bus_boot(b, 2);
	bus_run(b, 300);
	assert_true(b->node[2].in_sync);
	bus_assert_equal(a, &b->node[2]);
}

static void fragments_with_a_hole_are_refused(void **state)
{
	struct bus *b = *state;
	struct node *a = &b->node[1], *s = &b->node[2];
	const uint8_t bytes[50] = {0};
	struct ha_frame f = {
		.head = {.type = HA_FRAME_FRAGMENT},
		.fragment = {.key = {.id = 9, .kind = 1},
			     .version = {.generation = 1000, .writer = 1},
			     .total = 100,
			     .data = bytes,
			     .size = 10},
	};

	bus_pair(b);
	f.head.epoch = f.fragment.version.epoch = s->e->floor;
	f.head.seq = s->e->joiner.last + 1;
	bus_craft(b, 1, &f);
	f.head.seq++;
	f.fragment.offset = 50;
	f.fragment.size = 50;
	bus_craft(b, 1, &f);
	for (int i = 0; i < 2; i++)
		bus_deliver_one(s);
	assert_int_equal(s->drops, 1);
	assert_string_equal(s->last_drop, "broken record stream");
	assert_false(s->in_sync);
	assert_false(bus_has(s, 9));
	bus_run(b, 500);
	assert_true(a->in_sync && s->in_sync);
	bus_assert_equal(a, s);
}

/* ---- commit time-outs, lag --------------------------------------- */

static void commit_times_out_and_lag_is_made_good(void **state)
{
	struct bus *b = *state;
	struct node *a = &b->node[1], *s = &b->node[2];
	unsigned snapshots;

	bus_pair(b);
	snapshots = (unsigned)a->e->stats.snapshots_sent;
	assert_int_equal(bus_put(a, 1, 10, 1, 1), 0);
	/* The standby stands still; the active's loop goes on. */
	for (int ms = 0; ms < COMMIT_MS; ms++) {
		assert_int_equal(a->tokens[1], TOKEN_OPEN);
		bus_flush(a);
		b->now++;
	}
	bus_flush(a);
	assert_int_equal(a->tokens[1], TOKEN_LATE);
	assert_true(a->in_sync);
	bus_put(a, 2, 10, 1, 2);
	for (int ms = 0; ms < 3 * COMMIT_MS; ms++, b->now++)
		bus_flush(a);
	assert_false(a->in_sync);
	assert_string_equal(a->last_sync_reason, "acks missed");
	/* Nobody waits any more. */
	bus_put(a, 3, 10, 1, 3);
	assert_int_equal(a->tokens[3], TOKEN_DONE);
	/* It comes back: no snapshot needed, nothing is missing. */
	bus_run(b, 20);
	assert_true(a->in_sync);
	assert_true(s->in_sync);
	assert_int_equal(a->e->stats.snapshots_sent, snapshots);
	bus_assert_equal(a, s);
	bus_put(a, 4, 10, 1, 4);
	assert_int_equal(a->tokens[4], TOKEN_OPEN);
	bus_run(b, 2);
	assert_int_equal(a->tokens[4], TOKEN_DONE);
	assert_int_equal(a->e->stats.commit_timeouts, 2);
}

static void unacked_lazy_puts_lag_too(void **state)
{
	struct bus *b = *state;
	struct node *a = &b->node[1];

	bus_pair(b);
	bus_put(a, 1, 10, 1, 0);
	for (int ms = 0; ms < 4 * COMMIT_MS; ms++, b->now++)
		bus_flush(a);
	assert_false(a->in_sync);
}

static void a_lost_peer_frees_the_waiting(void **state)
{
	struct bus *b = *state;
	struct node *a = &b->node[1];

	bus_pair(b);
	bus_put(a, 1, 10, 1, 1);
	bus_flush(a);
	bus_crash(b, 2);
	while (bus_deliver_one(a))
		;
	assert_int_equal(a->tokens[1], TOKEN_DONE);
	assert_false(a->in_sync);
	assert_false(a->peer_known);
	bus_put(a, 2, 10, 1, 2);
	assert_int_equal(a->tokens[2], TOKEN_DONE);
}

/* ---- memory ------------------------------------------------------ */

static void a_full_group_costs_bounded_memory(void **state)
{
	struct bus *b = *state;
	struct node *a = &b->node[1], *s = &b->node[2];

	bus_pair(b);
	a->full = true;
	for (uint64_t i = 0; i < 5000; i++) {
		bus_put(a, i, 1000, 1, 0);
		bus_flush(a);
		assert_true(a->e->queue_bytes <= 1 << 20);
	}
	assert_false(a->in_sync);
	assert_string_equal(a->last_sync_reason, "the peer is too slow");
	/* Only control frames are left, one of a kind. */
	assert_true(a->e->queue_bytes < 4096);
	for (int i = 0; i < 200; i++) {
		b->now += 50;
		bus_flush(a);
		assert_true(a->e->queue_bytes < 4096);
	}
	a->full = false;
	bus_run(b, 1500);
	assert_true(a->in_sync);
	assert_true(s->in_sync);
	bus_assert_equal(a, s);
}

static void a_stuck_peer_costs_bounded_memory(void **state)
{
	struct bus *b = *state;
	struct node *a = &b->node[1], *s = &b->node[2];
	size_t len;

	bus_pair(b);
	for (uint64_t i = 0; i < 20000; i++) {
		bus_put(a, i % 5000, 1000, (unsigned)i, 0);
		bus_flush(a);
		b->now++;
	}
	/* 16 MB went out, then nothing more but a word now and then. */
	len = b->len;
	assert_int_equal(a->e->donor.state, DONOR_NONE);
	for (uint64_t i = 0; i < 1000; i++) {
		bus_put(a, i, 1000, 1, 0);
		bus_flush(a);
		b->now++;
	}
	assert_true(b->len - len < 50);
	bus_run(b, 2000);
	assert_true(a->in_sync && s->in_sync);
	bus_assert_equal(a, s);
}

static void commands_are_bounded_and_in_order(void **state)
{
	struct bus *b = *state;
	struct node *a = &b->node[1], *s = &b->node[2];
	int rc = 0;
	int n;

	bus_pair(b);
	bus_put(a, 5, 10, 1, 0);
	assert_int_equal(ha_engine_command(a->e, HA_CMD_GO, 1), 0);
	/* After GO this node says nothing more. */
	bus_set_role(a, HA_ROLE_RELINQUISHING);
	assert_int_equal(bus_put(a, 6, 10, 1, 0), -EPERM);
	bus_flush(a);
	while (!s->commands)
		assert_true(bus_deliver_one(s));
	assert_int_equal(s->last_command, HA_CMD_GO);
	assert_true(bus_has(s, 5));
	a->full = true;
	for (n = 0; n < 1000 && !rc; n++)
		rc = ha_engine_command(a->e, HA_CMD_RELEASED, 1);
	assert_int_equal(rc, -EAGAIN);
	assert_true(n < 100);
	bus_crash(b, 2);
	while (bus_deliver_one(a))
		;
	assert_int_equal(ha_engine_command(a->e, HA_CMD_RELEASED, 1),
			 -ENOTCONN);
}

/* ---- hostile ----------------------------------------------------- */

static void hostile_bytes_are_counted(void **state)
{
	struct bus *b = *state;
	struct node *a = &b->node[1], *s = &b->node[2];
	uint8_t noise[256];

	bus_pair(b);
	for (int i = 0; i < 20000; i++) {
		size_t size = bus_random(b) % sizeof(noise);

		for (size_t k = 0; k < size; k++)
			noise[k] = (uint8_t)bus_random(b);
		if (size > HA_HEAD_BYTES && i % 2) {
			/* A good header in front of it. */
			struct ha_writer w = {.data = noise, .capacity = size};
			struct ha_head h = {
				.version = 1,
				.max_version = 1,
				.type = (uint8_t)(1 + bus_random(b) % 10),
				.node = 1,
				.epoch = s->e->floor,
				.seq = s->e->joiner.last + 1,
			};

			ha_head_write(&w, &h);
			w.size = size;
			ha_head_finish(&w);
		}
		ha_engine_receive(s->e, 1, noise, size);
		ha_engine_receive(a->e, 2, noise, size);
		if (i % 100 == 0)
			bus_run(b, 1);
	}
	assert_true(s->drops > 5000);
	assert_true(a->drops > 5000);
	/* Still alive, and whatever got through is made good. */
	bus_set_role(s, HA_ROLE_INIT);
	bus_run(b, 5);
	bus_crash(b, 2);
	bus_boot(b, 2);
	bus_run(b, 10);
	a->e->floor = a->e->own_epoch;
	bus_run(b, 2000);
	bus_assert_equal(a, s);
}

static void versions_are_negotiated(void **state)
{
	struct bus *b = *state;
	struct node *a = &b->node[1], *s = &b->node[2];
	struct ha_engine_stats stats;
	uint8_t head[HA_HEAD_BYTES];
	struct ha_writer w = {.data = head, .capacity = sizeof(head)};
	struct ha_head h = {
		.version = 2,
		.max_version = 2,
		.type = HA_FRAME_STATUS,
		.node = 1,
	};

	bus_pair(b);
	ha_head_write(&w, &h);
	ha_engine_receive(s->e, 1, head, sizeof(head));
	assert_string_equal(s->last_drop, "unknown wire version");
	/* A newer node that speaks our version to us. */
	head[4] = 1;
	ha_engine_receive(s->e, 1, head, sizeof(head));
	assert_int_equal(s->e->peer_max_version, 2);
	bus_put(a, 1, 1, 1, 0);
	bus_run(b, 10);
	assert_int_equal(b->items[b->len - 1].data[4], 1);
	bus_assert_equal(a, s);
	/* Somebody else's name. */
	head[7] = 2;
	ha_engine_receive(s->e, 1, head, sizeof(head));
	assert_string_equal(s->last_drop, "frame names another node");
	/* Who comes back may be another release: nothing is known of it. */
	head[7] = 1;
	ha_engine_receive(s->e, 1, head, sizeof(head));
	ha_engine_get_stats(s->e, &stats);
	assert_int_equal(stats.own_wire_version, HA_WIRE_VERSION);
	assert_int_equal(stats.peer_wire_version, 2);
	assert_int_equal(stats.wire_version, HA_WIRE_VERSION);
	ha_engine_membership(s->e, true, false);
	ha_engine_get_stats(s->e, &stats);
	assert_int_equal(stats.peer_wire_version, 0);
	assert_int_equal(stats.wire_version, HA_WIRE_VERSION_FIRST);
}

static void put_unknown(struct node *n, uint64_t id, const char *value)
{
	struct ha_key key = {.id = id, .kind = 200};

	assert_int_equal(ha_engine_put(n->e, &key, value, strlen(value), 0, 0),
			 0);
}

static void assert_unknown(struct node *n, uint64_t id, const char *value)
{
	struct ha_key key = {.id = id, .kind = 200};
	struct ha_item item;

	assert_true(ha_store_get(n->e->store, &key, &item) && !item.deleted);
	assert_int_equal(item.size, strlen(value));
	assert_memory_equal(item.value, value, item.size);
}

/* A newer release's kind of record, and values with more in them than this
 * release reads, go through a node that knows neither: over a take-over and
 * back, by stream and by snapshot. */
static void what_is_not_known_is_kept_and_passed_on(void **state)
{
	struct bus *b = *state;
	struct node *a = &b->node[1], *s = &b->node[2];

	bus_pair(b);
	put_unknown(a, 1, "by stream");
	bus_run(b, 10);
	bus_crash(b, 1);
	bus_run(b, 5);
	bus_activate(s);
	assert_unknown(s, 1, "by stream");
	bus_boot(b, 1);
	bus_run(b, 300);
	assert_true(a->in_sync && s->in_sync);
	assert_unknown(a, 1, "by stream");
	bus_assert_equal(a, s);
	assert_int_equal(a->drops + s->drops, 0);
}

static void deadlines_are_met_by_sleeping(void **state)
{
	struct bus *b = *state;
	struct node *a = &b->node[1], *s = &b->node[2];
	unsigned turns = 0;
	uint64_t end;

	bus_pair(b);
	for (uint64_t i = 0; i < 2000; i++)
		bus_put(a, i, 500, 1, 0);
	bus_delete(a, 1, 0);
	bus_crash(b, 2);
	bus_boot(b, 2);
	/* Sleeps as long as the engines allow: nothing may hang or spin. */
	end = b->now + 2000;
	while (b->now < end) {
		uint64_t next = end;

		bus_turn(b);
		turns++;
		for (int id = 1; id <= 2; id++) {
			uint64_t at = ha_engine_deadline_ms(b->node[id].e);

			if (b->node[id].pos < b->len)
				at = b->now;
			if (at < next)
				next = at;
		}
		if (next > b->now)
			b->now = next;
	}
	assert_true(a->in_sync && s->in_sync);
	bus_assert_equal(a, s);
	assert_true(turns < 400);
}

static void status_travels(void **state)
{
	struct bus *b = *state;
	struct node *a = &b->node[1], *s = &b->node[2];
	struct ha_status st = {
		.health = 77,
		.calls = 1234,
		.epoch = 5,
		.active_epoch = 4,
		.config_digest = 0x1122334455667788,
		.name = "sbc-a",
		.version = "1.2.3",
	};

	bus_pair(b);
	ha_engine_set_status(a->e, &st);
	assert_int_equal(ha_engine_deadline_ms(a->e), b->now);
	bus_run(b, 1);
	assert_int_equal(s->peer.health, 77);
	assert_int_equal(s->peer.calls, 1234);
	assert_int_equal(s->peer.role, HA_ROLE_ACTIVE);
	assert_int_equal(s->peer.node, 1);
	assert_true(s->peer.in_sync);
	assert_string_equal(s->peer.name, "sbc-a");
	assert_string_equal(s->peer.version, "1.2.3");
	assert_true(s->peer.config_digest == st.config_digest);
	assert_true(s->peer.boot_id == 1001);
}

#define T(fn) cmocka_unit_test_setup_teardown(fn, setup, teardown)

int main(void)
{
	const struct CMUnitTest tests[] = {
		T(alone_commits_at_once),
		T(only_the_active_writes),
		T(epoch_of_another_is_refused),
		T(sync_put_waits_for_the_peer),
		T(urgent_batches_keep_a_distance),
		T(lazy_puts_are_batched),
		T(large_records_travel_in_fragments),
		T(fragments_with_a_hole_are_refused),
		T(commit_times_out_and_lag_is_made_good),
		T(unacked_lazy_puts_lag_too),
		T(a_lost_peer_frees_the_waiting),
		T(a_full_group_costs_bounded_memory),
		T(a_stuck_peer_costs_bounded_memory),
		T(commands_are_bounded_and_in_order),
		T(hostile_bytes_are_counted),
		T(versions_are_negotiated),
		T(what_is_not_known_is_kept_and_passed_on),
		T(deadlines_are_met_by_sleeping),
		T(status_travels),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
