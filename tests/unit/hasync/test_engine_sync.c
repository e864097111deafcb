/* Joining, resync, epochs, and the loss of a member at every step. */
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

/* ---- joining ----------------------------------------------------- */

static void join_during_heavy_puts(void **state)
{
	struct bus *b = *state;
	struct node *a, *s;
	uint64_t id = 0;
	bool was = false;

	a = bus_boot(b, 1);
	bus_activate(a);
	for (; id < 20000; id++)
		bus_put(a, id * 7919 % 20000, 100, (unsigned)id, 0);
	s = bus_boot(b, 2);
	for (int ms = 0; ms < 3000 && !(a->in_sync && s->in_sync); ms++) {
		for (int i = 0; i < 20; i++) {
			uint64_t k = bus_random(b) % 25000;

			if (bus_random(b) % 4)
				bus_put(a, k, bus_random(b) % 300, (unsigned)ms,
					0);
			else
				bus_delete(a, k, 0);
		}
		bus_run(b, 1);
		was |= s->e->joiner.state == JOINER_RECEIVING;
	}
	assert_true(was);
	assert_true(a->in_sync && s->in_sync);
	bus_run(b, 30);
	bus_assert_equal(a, s);
	assert_int_equal(a->e->stats.snapshots_sent, 1);
	assert_int_equal(s->drops, 0);
}

static void an_equal_store_needs_no_chunks(void **state)
{
	struct bus *b = *state;
	struct node *a = &b->node[1], *s = &b->node[2];
	unsigned applied;
	size_t from;

	bus_pair(b);
	for (uint64_t i = 0; i < 3000; i++)
		bus_put(a, i, 100, 1, 0);
	bus_delete(a, 5, 0);
	bus_run(b, 50);
	bus_assert_equal(a, s);
	applied = s->applied;
	bus_split(b, true);
	bus_run(b, 50);
	assert_true(s->in_sync); /* what the lost one had */
	assert_false(a->in_sync);
	from = b->len;
	bus_split(b, false);
	bus_run(b, 300);
	assert_true(a->in_sync && s->in_sync);
	assert_int_equal(s->applied, applied);
	for (; from < b->len; from++)
		assert_true(!b->items[from].from ||
			    b->items[from].data[6] != HA_FRAME_SYNC_CHUNK);
	/* And the stream goes on from there. */
	bus_put(a, 5, 10, 9, 1);
	bus_run(b, 5);
	bus_assert_equal(a, s);
}

static void puts_during_a_split_are_made_good(void **state)
{
	struct bus *b = *state;
	struct node *a = &b->node[1], *s = &b->node[2];

	bus_pair(b);
	for (uint64_t i = 0; i < 1000; i++)
		bus_put(a, i, 100, 1, 0);
	bus_run(b, 50);
	bus_split(b, true);
	bus_run(b, 5);
	for (uint64_t i = 0; i < 500; i++)
		bus_delete(a, i, 0);
	bus_put(a, 5000, 10, 1, 0);
	bus_run(b, 5);
	bus_split(b, false);
	bus_run(b, 300);
	assert_true(a->in_sync && s->in_sync);
	bus_assert_equal(a, s);
	assert_int_equal(s->applied_deleted, 500);
}

static bool wrong_digest(struct bus *b, uint8_t from, uint8_t *frame,
			 size_t size)
{
	if (frame[6] == HA_FRAME_SYNC_END && b->node[2].boot < 3) {
		frame[HA_HEAD_BYTES + 8] ^= 1;
		/* Twice, then the truth. */
		if (b->node[2].e->joiner.mismatches == 1)
			b->tamper = NULL;
	}
	return true;
}

static void a_wrong_digest_starts_again(void **state)
{
	struct bus *b = *state;
	struct node *a, *s;

	a = bus_boot(b, 1);
	bus_activate(a);
	for (uint64_t i = 0; i < 200; i++)
		bus_put(a, i, 100, 1, 0);
	b->tamper = wrong_digest;
	s = bus_boot(b, 2);
	bus_run(b, 100);
	assert_false(s->in_sync);
	assert_int_equal(s->e->joiner.mismatches, 1);
	assert_string_equal(s->last_drop, "snapshot digest mismatch");
	/* What came is kept. */
	assert_int_equal(ha_store_count(s->e->store), 200);
	bus_run(b, 3000);
	assert_null(b->tamper);
	assert_true(a->in_sync && s->in_sync);
	assert_int_equal(s->drops, 2);
	bus_assert_equal(a, s);
}

/* The old store stays until SYNC_END proves the new one. */
static void a_mismatch_sweeps_nothing(void **state)
{
	struct bus *b = *state;
	struct node *a = &b->node[1], *s = &b->node[2];

	bus_pair(b);
	for (uint64_t i = 0; i < 100; i++)
		bus_put(a, i, 10, 1, 0);
	bus_run(b, 20);
	bus_split(b, true);
	bus_run(b, 2);
	bus_delete(a, 50, 0);
	/* Longer than a tombstone lives: only the sweep can tell. */
	b->now += TOMBSTONE_MS + 1;
	bus_run(b, 2);
	assert_int_equal(ha_store_tombstones(a->e->store), 0);
	b->tamper = wrong_digest;
	bus_split(b, false);
	for (int ms = 0; ms < 1000 && !s->e->joiner.mismatches; ms++)
		bus_run(b, 1);
	assert_int_equal(s->e->joiner.mismatches, 1);
	assert_true(bus_has(s, 50));
	bus_run(b, 3000);
	assert_true(a->in_sync && s->in_sync);
	assert_false(bus_has(s, 50));
	bus_assert_equal(a, s);
}

static void a_lost_chunk_starts_again(void **state)
{
	struct bus *b = *state;
	struct node *a = &b->node[1], *s = &b->node[2];

	bus_pair(b);
	for (uint64_t i = 0; i < 100; i++)
		bus_put(a, i, 10, 1, 0);
	bus_run(b, 20);
	bus_split(b, true);
	bus_run(b, 2);
	bus_delete(a, 50, 0);
	bus_run(b, 2);
	b->lose_type = HA_FRAME_SYNC_CHUNK;
	bus_split(b, false);
	/* The chunk is missing: a gap, then the second try. */
	bus_run(b, 60);
	assert_true(bus_has(s, 51));
	bus_run(b, 1000);
	assert_true(a->in_sync && s->in_sync);
	bus_assert_equal(a, s);
}

static void a_missing_frame_is_noticed(void **state)
{
	static const uint8_t types[] = {
		HA_FRAME_BATCH,
		HA_FRAME_FRAGMENT,
		HA_FRAME_ACK,
		HA_FRAME_STATUS,
	};
	struct bus *b = *state;
	struct node *a = &b->node[1], *s = &b->node[2];

	bus_pair(b);
	for (unsigned i = 0; i < sizeof(types); i++) {
		b->lose_type = types[i];
		bus_put(a, 1, 10000, i, 0);
		bus_put(a, 2, 10, i, 0);
		bus_run(b, 110);
		assert_int_equal(b->lose_type, 0);
		bus_put(a, 3, 10, i, 0);
		bus_run(b, 500);
		assert_true(a->in_sync && s->in_sync);
		bus_assert_equal(a, s);
	}
	assert_true(s->e->stats.resyncs >= 2);
}

static void a_frame_the_group_refuses_breaks_the_stream(void **state)
{
	struct bus *b = *state;
	struct node *a = &b->node[1], *s = &b->node[2];

	bus_pair(b);
	a->broken = true;
	bus_put(a, 1, 10, 1, 1);
	bus_flush(a);
	assert_int_equal(a->tokens[1], TOKEN_DONE);
	a->broken = false;
	bus_run(b, 500);
	assert_true(a->in_sync && s->in_sync);
	bus_assert_equal(a, s);
}

/* ---- epochs ------------------------------------------------------ */

/* The old active wakes: what it had queued arrives after the merge. */
static void frames_of_an_older_epoch_change_nothing(void **state)
{
	struct bus *b = *state;
	struct node *a = &b->node[1], *s = &b->node[2];
	uint64_t digest;

	bus_pair(b);
	for (uint64_t i = 0; i < 100; i++)
		bus_put(a, i, 10, 1, 0);
	bus_run(b, 20);
	bus_split(b, true);
	bus_run(b, 2);
	bus_activate(s);
	bus_delete(s, 3, 0);
	bus_put(s, 4, 20, 2, 0);
	bus_run(b, 5);
	/* In the split the old active went on: newer generations. */
	for (int i = 0; i < 50; i++) {
		bus_put(a, 3, 30, 3, 0);
		bus_put(a, 4, 30, 3, 0);
		bus_put(a, 500, 30, 3, 0);
	}
	bus_run(b, 5);
	digest = ha_store_digest(s->e->store);
	bus_split(b, false);
	bus_run(b, 1);
	/* It still believes it is active, and may say so. */
	bus_run(b, 150);
	assert_int_equal(bus_put(a, 3, 30, 4, 0), -EPERM);
	assert_true(ha_store_digest(s->e->store) == digest);
	/* It yields and joins. */
	bus_set_role(a, HA_ROLE_RELINQUISHING);
	bus_run(b, 5);
	bus_set_role(a, HA_ROLE_SYNCING);
	bus_run(b, 500);
	assert_true(a->in_sync && s->in_sync);
	assert_int_equal(a->e->role, HA_ROLE_STANDBY);
	assert_true(ha_store_digest(s->e->store) == digest);
	assert_false(bus_has(a, 3));
	assert_false(bus_has(a, 500));
	bus_assert_equal(a, s);
}

static void craft_batch(struct bus *b, uint8_t from, uint64_t epoch,
			uint64_t seq, uint64_t id)
{
	uint8_t entry[64];
	struct ha_writer w = {.data = entry, .capacity = sizeof(entry)};
	struct ha_item item = {
		.key = {.id = id, .kind = 1},
		.version = {epoch, 1000000, from},
		.value = "x",
		.size = 1,
	};
	struct ha_frame f = {
		.head = {.type = HA_FRAME_BATCH, .epoch = epoch, .seq = seq},
		.batch = {.count = 1, .entries = entry},
	};

	ha_entry_write(&w, &item);
	f.batch.size = w.size;
	bus_craft(b, from, &f);
}

static void late_frames_in_the_middle_of_a_stream(void **state)
{
	struct bus *b = *state;
	struct node *a = &b->node[1], *s = &b->node[2];
	uint64_t seq, epoch;

	bus_pair(b);
	seq = s->e->joiner.last;
	epoch = s->e->floor;
	craft_batch(b, 1, epoch - 1, seq + 1, 77);
	bus_run(b, 1);
	assert_string_equal(s->last_drop, "older epoch");
	craft_batch(b, 1, epoch, seq, 77);
	bus_run(b, 1);
	assert_string_equal(s->last_drop, "repeated frame");
	assert_false(bus_has(s, 77));
	/* A record in the middle of another's fragments. */
	struct ha_frame f = {
		.head = {.type = HA_FRAME_FRAGMENT,
			 .epoch = epoch,
			 .seq = seq + 1},
		.fragment = {.key = {.id = 78},
			     .version = {epoch, 5, 1},
			     .total = 10,
			     .size = 2,
			     .data = (const uint8_t *)"xx"},
	};
	bus_craft(b, 1, &f);
	craft_batch(b, 1, epoch, seq + 2, 79);
	bus_run(b, 1);
	assert_string_equal(s->last_drop, "broken record stream");
	assert_false(bus_has(s, 78));
	bus_run(b, 300);
	bus_assert_equal(a, s);
	/* From nobody. */
	s->e->peer_present = false;
	craft_batch(b, 1, epoch, s->e->joiner.last + 1, 79);
	while (bus_deliver_one(s))
		;
	assert_string_equal(s->last_drop, "not a member");
	s->e->peer_present = true;
	/* Towards the active: never. */
	craft_batch(b, 2, epoch + 5, seq + 1, 77);
	bus_run(b, 1);
	assert_false(bus_has(a, 77));
	assert_int_equal(bus_put(a, 1, 1, 1, 0), -EPERM);
}

static void go_of_an_older_epoch_is_dropped(void **state)
{
	struct bus *b = *state;
	struct node *s = &b->node[2];
	struct ha_frame f = {
		.head = {.type = HA_FRAME_COMMAND},
		.command = {.command = HA_CMD_GO},
	};

	bus_pair(b);
	bus_craft(b, 1, &f);
	f.head.epoch = s->e->floor - 1;
	bus_craft(b, 1, &f);
	f.head.epoch = 0;
	f.command.command = 99;
	bus_craft(b, 1, &f);
	bus_run(b, 1);
	assert_int_equal(s->commands, 0);
	assert_int_equal(s->drops, 3);
	f.command.command = HA_CMD_RELEASED;
	bus_craft(b, 1, &f);
	bus_run(b, 1);
	assert_int_equal(s->commands, 1);
	f.command.command = HA_CMD_GO;
	f.head.epoch = s->e->floor;
	bus_craft(b, 1, &f);
	bus_run(b, 1);
	assert_int_equal(s->commands, 2);
}

/* Only the word that it is in sync, given after SYNC_END, makes it so. */
static void acks_of_the_snapshot_prove_nothing(void **state)
{
	struct bus *b = *state;
	struct node *a = bus_boot(b, 1), *s;
	struct ha_frame f = {.head = {.type = HA_FRAME_ACK}};

	bus_activate(a);
	bus_put(a, 1, 100, 1, 0);
	s = bus_boot(b, 2);
	b->lose_type = HA_FRAME_ACK;
	bus_run(b, 50);
	assert_true(s->in_sync);
	assert_int_equal(a->e->donor.state, DONOR_PROVING);
	f.ack.nonce = a->e->donor.nonce;
	f.ack.seq = a->e->donor.end_seq - 1;
	f.ack.flags = HA_ACK_IN_SYNC;
	bus_craft(b, 2, &f);
	f.ack.seq = a->e->donor.end_seq;
	f.ack.flags = 0;
	bus_craft(b, 2, &f);
	bus_run(b, 1);
	assert_int_equal(a->e->donor.state, DONOR_PROVING);
	assert_false(a->in_sync);
	bus_put(a, 2, 100, 1, 0);
	bus_run(b, 20);
	assert_true(a->in_sync && s->in_sync);
	bus_assert_equal(a, s);
}

/* A claim that came to nothing leaves a higher epoch behind; its node must
 * still be able to join the active with the lower one. */
static void an_aborted_claim_can_join(void **state)
{
	struct bus *b = *state;
	struct node *a = &b->node[1], *s = &b->node[2];

	bus_pair(b);
	bus_put(a, 1, 10, 1, 0);
	bus_run(b, 10);
	bus_split(b, true);
	bus_run(b, 2);
	bus_set_role(s, HA_ROLE_BECOMING_ACTIVE);
	bus_put(s, 1, 20, 2, 0);
	bus_put(s, 2, 20, 2, 0);
	bus_set_role(s, HA_ROLE_RELINQUISHING);
	bus_set_role(s, HA_ROLE_SYNCING);
	bus_split(b, false);
	bus_run(b, 500);
	assert_true(a->in_sync && s->in_sync);
	bus_assert_equal(a, s);
	assert_false(bus_has(s, 2));
	/* The active is not disturbed, but knows for its next claim. */
	assert_int_equal(bus_put(a, 3, 10, 1, 0), 0);
	assert_true(ha_engine_epoch(a->e) > a->e->own_epoch);
	bus_run(b, 20);
	bus_assert_equal(a, s);
}

/* Equal live records, but a tombstone of the aborted claim is in the way. */
static void a_tombstone_of_an_aborted_claim_hides_nothing(void **state)
{
	struct bus *b = *state;
	struct node *a = &b->node[1], *s = &b->node[2];

	bus_pair(b);
	bus_put(a, 1, 10, 1, 0);
	bus_run(b, 10);
	bus_split(b, true);
	bus_run(b, 2);
	bus_set_role(s, HA_ROLE_BECOMING_ACTIVE);
	bus_put(s, 2, 20, 2, 0);
	bus_delete(s, 2, 0);
	bus_set_role(s, HA_ROLE_RELINQUISHING);
	bus_set_role(s, HA_ROLE_SYNCING);
	bus_split(b, false);
	bus_run(b, 500);
	assert_true(a->in_sync && s->in_sync);
	bus_put(a, 2, 10, 1, 0);
	bus_run(b, 20);
	assert_true(bus_has(s, 2));
	bus_assert_equal(a, s);
}

/* Up to the middle of a snapshot. */
static void half_a_snapshot(struct bus *b)
{
	struct node *a = bus_boot(b, 1);

	bus_activate(a);
	a->e->p.snapshot_bytes_per_s = 1 << 20;
	for (uint64_t i = 0; i < 5000; i++)
		bus_put(a, i, 100, 1, 0);
	bus_boot(b, 2);
	bus_run(b, 150);
	assert_int_equal(a->e->donor.state, DONOR_SNAPSHOT);
	assert_int_equal(b->node[2].e->joiner.state, JOINER_RECEIVING);
	a->e->p.snapshot_bytes_per_s = 100 << 20;
}

/* Well before the joiner would lose its patience. */
static void a_snapshot_given_up_is_asked_for_again(void **state)
{
	struct bus *b = *state;
	struct node *a = &b->node[1], *s = &b->node[2];

	half_a_snapshot(b);
	a->full = true;
	for (uint64_t i = 0; i < 1500; i++) {
		bus_put(a, i, 1000, 1, 0);
		bus_flush(a);
	}
	assert_int_equal(a->e->donor.state, DONOR_NONE);
	a->full = false;
	bus_run(b, 1000);
	assert_true(a->in_sync && s->in_sync);
	bus_assert_equal(a, s);
}

static void a_donor_that_stops_amid_a_snapshot(void **state)
{
	struct bus *b = *state;
	struct node *a = &b->node[1], *s = &b->node[2];

	half_a_snapshot(b);
	bus_set_role(a, HA_ROLE_RELINQUISHING);
	bus_set_role(a, HA_ROLE_SYNCING);
	bus_run(b, 5);
	assert_int_equal(s->e->joiner.state, JOINER_WANT);
	bus_activate(a);
	bus_run(b, 1000);
	assert_true(a->in_sync && s->in_sync);
	bus_assert_equal(a, s);
}

static void a_donor_that_stands_still_amid_a_snapshot(void **state)
{
	struct bus *b = *state;
	struct node *s = &b->node[2];

	half_a_snapshot(b);
	for (int ms = 0; ms < RECEIVE_TIMEOUT_MS - 100; ms++, b->now++)
		bus_flush(s);
	assert_int_equal(s->e->joiner.state, JOINER_RECEIVING);
	for (int ms = 0; ms < 200; ms++, b->now++)
		bus_flush(s);
	assert_int_equal(s->e->joiner.state, JOINER_ASKED);
	bus_run(b, 1000);
	bus_assert_equal(&b->node[1], s);
	assert_true(s->in_sync);
}

/* Leave and join coalesced into nothing: its boot id tells. */
static void a_peer_that_restarted_unseen(void **state)
{
	struct bus *b = *state;
	struct node *a = &b->node[1], *s = &b->node[2];

	bus_pair(b);
	bus_put(a, 1, 10, 1, 0);
	bus_run(b, 10);
	s->e->own.boot_id++;
	ha_store_reap(s->e->store, UINT64_MAX, 0);
	s->e->status_due = true;
	s->e->in_sync = s->e->in_sync_told = s->in_sync = false;
	bus_flush(s);
	while (bus_deliver_one(a))
		;
	assert_int_equal(a->e->donor.state, DONOR_NONE);
	assert_false(a->in_sync);
}

/* Its first word says so, before it asks for anything. */
static void a_status_of_another_boot_ends_the_relation(void **state)
{
	struct bus *b = *state;
	struct node *a = &b->node[1];
	struct ha_frame f = {
		.head = {.type = HA_FRAME_STATUS},
		.status = {.node = 2, .boot_id = 4711, .role = HA_ROLE_INIT},
	};

	bus_pair(b);
	bus_put(a, 1, 10, 1, 1);
	bus_craft(b, 2, &f);
	bus_deliver_one(a);
	assert_int_equal(a->e->donor.state, DONOR_NONE);
	assert_false(a->in_sync);
	/* Nobody waits for the one that is gone. */
	assert_int_equal(a->tokens[1], TOKEN_DONE);
}

static void tombstones_outlive_the_peers_absence_and_go(void **state)
{
	struct bus *b = *state;
	struct node *a = &b->node[1], *s = &b->node[2];

	bus_pair(b);
	for (uint64_t i = 0; i < 10; i++)
		bus_put(a, i, 10, 1, 0);
	bus_run(b, 20);
	for (uint64_t i = 0; i < 10; i++)
		bus_delete(a, i, 0);
	bus_run(b, 20);
	assert_int_equal(ha_store_tombstones(a->e->store), 10);
	assert_int_equal(ha_store_tombstones(s->e->store), 10);
	/* While the peer lags they stay. */
	for (int ms = 0; ms < 200; ms++) {
		bus_put(a, 100, 10, (unsigned)ms, 0);
		bus_flush(a);
		b->now++;
	}
	assert_int_equal(a->e->donor.state, DONOR_LAGGING);
	b->now += 70000;
	bus_flush(a);
	assert_int_equal(ha_store_tombstones(a->e->store), 10);
	bus_run(b, 6000);
	assert_true(a->in_sync);
	assert_int_equal(ha_store_tombstones(a->e->store), 0);
	assert_int_equal(ha_store_tombstones(s->e->store), 0);
}

static void a_handover_keeps_the_last_words(void **state)
{
	struct bus *b = *state;
	struct node *a = &b->node[1], *s = &b->node[2];

	bus_pair(b);
	bus_put(a, 1, 10, 1, 0);
	bus_set_role(a, HA_ROLE_RELINQUISHING);
	/* Quiescing: the workers' last states. */
	assert_int_equal(bus_put(a, 2, 10, 1, 5), 0);
	assert_int_equal(a->tokens[5], TOKEN_OPEN);
	bus_run(b, 5);
	assert_int_equal(a->tokens[5], TOKEN_DONE);
	assert_true(ha_engine_flushed(a->e));
	assert_int_equal(ha_engine_command(a->e, HA_CMD_GO, 0), 0);
	bus_run(b, 2);
	assert_int_equal(s->last_command, HA_CMD_GO);
	bus_assert_equal(a, s);
	bus_activate(s);
	/* Versions go on above everything seen. */
	assert_true(s->e->generation >= a->e->generation);
	bus_put(s, 3, 10, 1, 0);
	bus_run(b, 10);
	bus_set_role(a, HA_ROLE_SYNCING);
	bus_run(b, 300);
	assert_true(a->in_sync && s->in_sync);
	bus_assert_equal(a, s);
	assert_int_equal(a->e->role, HA_ROLE_STANDBY);
}

/* The active hands over, the claim fails, it becomes active again: the
 * standby's relation to its former life is worth nothing. */
static void a_donor_that_changed_its_mind(void **state)
{
	struct bus *b = *state;
	struct node *a = &b->node[1], *s = &b->node[2];

	bus_pair(b);
	bus_set_role(a, HA_ROLE_RELINQUISHING);
	bus_run(b, 5);
	bus_set_role(a, HA_ROLE_SYNCING);
	bus_run(b, 5);
	bus_activate(a);
	bus_put(a, 9, 10, 1, 0);
	bus_run(b, 1000);
	assert_true(a->in_sync && s->in_sync);
	bus_assert_equal(a, s);
}

/* ---- loss of a member at every step ------------------------------ */

static void scenario_until(struct bus *b, unsigned steps)
{
	struct node *a, *s;
	uint64_t id = 0;

	bus_open(b);
	a = bus_boot(b, 1);
	bus_activate(a);
	for (; id < 300; id++)
		bus_put(a, id, 200, 1, 0);
	s = bus_boot(b, 2);
	for (unsigned i = 0; i < steps; i++) {
		switch (i % 5) {
		case 0:
			bus_put(a, id % 400, 150, i, i + 1);
			id++;
			break;
		case 1:
			bus_flush(a);
			break;
		case 2:
			bus_deliver_one(s);
			bus_deliver_one(s);
			break;
		case 3:
			bus_flush(s);
			break;
		case 4:
			bus_deliver_one(a);
			b->now++;
			break;
		}
	}
}

static void losing_either_member_at_every_step(void **state)
{
	for (unsigned steps = 0; steps < 400; steps += 3) {
		struct bus *b = malloc(sizeof(*b));
		struct node *a = &b->node[1], *s = &b->node[2];
		size_t had;

		/* The donor. */
		scenario_until(b, steps);
		bus_crash(b, 1);
		while (bus_deliver_one(s))
			;
		had = ha_store_count(s->e->store);
		bus_run(b, 20);
		assert_int_equal(ha_store_count(s->e->store), had);
		bus_activate(s);
		assert_int_equal(bus_put(s, 9999, 1, 1, 1), 0);
		assert_int_equal(s->tokens[1], TOKEN_DONE);
		bus_boot(b, 1);
		bus_run(b, 600);
		assert_true(a->in_sync && s->in_sync);
		bus_assert_equal(a, s);
		assert_int_equal(ha_store_count(s->e->store), had + 1);
		bus_close(b);

		/* The joiner. */
		scenario_until(b, steps);
		bus_crash(b, 2);
		bus_run(b, 20);
		for (unsigned t = 0; t <= steps; t++)
			assert_int_not_equal(a->tokens[t], TOKEN_OPEN);
		bus_boot(b, 2);
		bus_run(b, 600);
		assert_true(a->in_sync && s->in_sync);
		bus_assert_equal(a, s);
		bus_close(b);
		free(b);
	}
}

#define T(fn) cmocka_unit_test_setup_teardown(fn, setup, teardown)

int main(void)
{
	const struct CMUnitTest tests[] = {
		T(join_during_heavy_puts),
		T(an_equal_store_needs_no_chunks),
		T(puts_during_a_split_are_made_good),
		T(a_wrong_digest_starts_again),
		T(a_mismatch_sweeps_nothing),
		T(a_lost_chunk_starts_again),
		T(a_missing_frame_is_noticed),
		T(a_frame_the_group_refuses_breaks_the_stream),
		T(frames_of_an_older_epoch_change_nothing),
		T(late_frames_in_the_middle_of_a_stream),
		T(go_of_an_older_epoch_is_dropped),
		T(acks_of_the_snapshot_prove_nothing),
		T(an_aborted_claim_can_join),
		T(a_tombstone_of_an_aborted_claim_hides_nothing),
		T(a_snapshot_given_up_is_asked_for_again),
		T(a_donor_that_stops_amid_a_snapshot),
		T(a_donor_that_stands_still_amid_a_snapshot),
		T(a_peer_that_restarted_unseen),
		T(a_status_of_another_boot_ends_the_relation),
		T(tombstones_outlive_the_peers_absence_and_go),
		T(a_handover_keeps_the_last_words),
		T(a_donor_that_changed_its_mind),
		cmocka_unit_test(losing_either_member_at_every_step),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
