/* The life of a CDR on both nodes, with a fake engine and a fake disk. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "sbcd/keeper/cdr.h"
#include "sbcd/record/record.h"

enum { CALL = 0xca11, FAILOVERS = 3 };
#define EPOCH ((uint64_t)7 << 8 | 1)

static struct ha_store *store;
static struct cdr *cdr;
static uint64_t generation, last_token, now_ms;
static int put_error, write_error;
static bool commits; /* at once, as when alone */
static struct cdr_batch *batch;
static unsigned put_count, batches;
static struct rec_cdr last;

static struct ha_version next_version(void)
{
	return (struct ha_version){EPOCH, ++generation, 1};
}

static int fake_put(void *ctx, const struct ha_key *key, const void *value,
		    size_t size, uint64_t token)
{
	struct ha_version v = next_version();

	if (put_error)
		return put_error;
	put_count++;
	assert_int_equal(ha_store_put(store, key, &v, value, size), 1);
	assert_int_equal(record_decode(REC_CDR, value, size, &last), 0);
	if (token)
		last_token = token;
	if (token && commits)
		cdr_committed(cdr, token);
	return 0;
}

static int fake_del(void *ctx, const struct ha_key *key)
{
	struct ha_version v = next_version();

	assert_int_equal(ha_store_delete(store, key, &v, now_ms), 1);
	return 0;
}

static int fake_write(void *ctx, struct cdr_batch *b)
{
	if (write_error)
		return write_error;
	assert_null(batch);
	batch = b;
	batches++;
	return 0;
}

static unsigned failovers;

static unsigned fake_failovers(void *ctx, uint64_t epoch)
{
	return failovers;
}

static const struct cdr_ops ops = {
	.put = fake_put,
	.del = fake_del,
	.write = fake_write,
	.failovers = fake_failovers,
};

static int setup(void **state)
{
	const struct cdr_params p = {
		.node_name = "sbc-a",
		.enabled = true,
		.ops = &ops,
	};
	struct cdr_params q = p;

	generation = last_token = 0;
	now_ms = 1000;
	put_error = write_error = 0;
	commits = false;
	put_count = batches = 0;
	failovers = FAILOVERS;
	if (ha_store_create(&store))
		return -1;
	q.store = store;
	if (cdr_create(&cdr, &q))
		return -1;
	cdr_activate(cdr, EPOCH);
	cdr_turn(cdr, now_ms, now_ms);
	return 0;
}

static int teardown(void **state)
{
	if (batch)
		cdr_written(cdr, batch, 0);
	batch = NULL;
	cdr_destroy(cdr);
	ha_store_destroy(store);
	return 0;
}

static void turn(uint64_t ms)
{
	now_ms += ms;
	cdr_turn(cdr, now_ms, now_ms);
}

static void written(int err)
{
	struct cdr_batch *b = batch;

	assert_non_null(b);
	batch = NULL;
	cdr_written(cdr, b, err);
}

static void put(uint64_t id, uint8_t kind, const void *rec)
{
	struct ha_key key = {.id = id, .kind = kind};
	struct ha_version v = next_version();
	struct buf b;

	buf_init(&b, HA_VALUE_MAX_BYTES);
	assert_int_equal(record_encode(kind, rec, &b), 0);
	if (kind == REC_CALL)
		cdr_call_put(cdr, &key, b.data, b.size);
	assert_int_equal(ha_store_put(store, &key, &v, b.data, b.size), 1);
	buf_finish(&b);
}

static void del(uint64_t id, uint8_t kind)
{
	struct ha_key key = {.id = id, .kind = kind};
	struct ha_version v = next_version();

	if (kind == REC_CALL)
		cdr_call_deleted(cdr, &key);
	else if (kind == REC_DIALOG)
		cdr_dialog_deleted(cdr, &key);
	else if (kind == REC_MSTATE)
		cdr_mstate_deleted(cdr, &key);
	assert_int_equal(ha_store_delete(store, &key, &v, now_ms), 1);
}

static bool stored(uint64_t id)
{
	struct ha_key key = {.id = id, .kind = REC_CDR};
	struct ha_item item;

	return ha_store_get(store, &key, &item) && !item.deleted &&
	       !record_decode(REC_CDR, item.value, item.size, &last);
}

static void call(uint64_t id, uint8_t state)
{
	static struct rec_call c;

	memset(&c, 0, sizeof(c));
	c.state = state;
	c.created_ms = 100;
	c.answered_ms = 200;
	c.ending_ms = state == CALL_ENDING ? 900 : 0;
	c.ended_by_leg = 1;
	c.epoch = 5;
	c.legs_len = 1;
	c.legs[0].role = LEG_CALLER;
	strcpy(c.from_uri, "<sip:a@b>");
	put(id, REC_CALL, &c);
}

static void media(uint64_t id, uint64_t packets)
{
	static struct rec_media m;
	static struct rec_mstate s;

	memset(&m, 0, sizeof(m));
	memset(&s, 0, sizeof(s));
	m.media = 'a';
	m.flows_len = s.flows_len = 1;
	m.flows[0].local.family = ADDR_V4;
	s.flows[0].rx_packets = packets;
	s.flows[0].gap_ms = 280;
	put(id, REC_MEDIA, &m);
	put(id, REC_MSTATE, &s);
}

static struct cdr_stats stats(void)
{
	struct cdr_stats s;

	cdr_get_stats(cdr, &s);
	return s;
}

/* ---- the active --------------------------------------------------------- */
static void test_a_call_from_end_to_end(void **state)
{
	static struct rec_dialog d = {.call_id = "abc"};

	put(CALL, REC_DIALOG, &d);
	media(CALL, 10);
	call(CALL, CALL_ESTABLISHED);
	assert_false(stored(CALL));
	/* With the record that says so, not after it. */
	call(CALL, CALL_ENDING);
	assert_true(stored(CALL));
	assert_int_equal(last.state, CDR_OPEN);
	assert_string_equal(last.legs[0].call_id, "abc");
	assert_int_equal(last.end_ms, 900);
	/* What comes after its end it was not up through. */
	failovers++;
	media(CALL, 4711);
	del(CALL, REC_CALL);
	assert_int_equal(last_token, 0);
	del(CALL, REC_MSTATE);
	assert_int_equal(last.state, CDR_COMPLETE);
	assert_int_equal(last.media[0].rx_packets, 4711);
	assert_true(last.media[0].final);
	assert_int_equal(last.failovers, FAILOVERS);
	assert_true(last.seq == ((EPOCH >> 8) << 32 | 1));
	/* Not before the peer has it. */
	turn(100);
	assert_null(batch);
	cdr_committed(cdr, last_token);
	turn(100);
	assert_int_equal(batch->len, 1);
	assert_int_equal(batch->items[0].id, CALL);
	written(0);
	assert_true(stored(CALL));
	/* Until both have written it. */
	cdr_peer_written(cdr, last.seq - 1);
	assert_true(stored(CALL));
	cdr_peer_written(cdr, last.seq);
	assert_false(stored(CALL));
	assert_int_equal(stats().kept, 0);
	turn(100000);
	assert_int_equal(batches, 1);
}

static void test_media_that_says_nothing(void **state)
{
	commits = true;
	media(CALL, 10);
	call(CALL, CALL_ENDING);
	del(CALL, REC_CALL);
	turn(CDR_MEDIA_WAIT_MS - 100);
	assert_null(batch);
	turn(100);
	assert_non_null(batch);
	assert_int_equal(last.media[0].rx_packets, 10);
	assert_false(last.media[0].final);
}

/* Its caller's next retransmission makes the call anew, with the same id. */
static void test_given_up_and_made_anew(void **state)
{
	commits = true;
	call(CALL, CALL_RINGING);
	del(CALL, REC_CALL);
	assert_true(stored(CALL));
	turn(CDR_HOLD_MS - 1000);
	assert_null(batch);
	call(CALL, CALL_TRYING);
	assert_false(stored(CALL));
	turn(CDR_HOLD_MS);
	assert_null(batch);
	call(CALL, CALL_ENDING);
	del(CALL, REC_CALL);
	turn(100);
	assert_int_equal(batch->len, 1);
	written(0);
	/* And nobody came back. */
	call(CALL + 1, CALL_TRYING);
	del(CALL + 1, REC_CALL);
	turn(CDR_HOLD_MS + 100);
	turn(100);
	assert_int_equal(batch->items[0].id, CALL + 1);
}

/* The call is deleted last, and its legs are to be in the record. */
static void test_given_up_has_its_legs(void **state)
{
	static struct rec_dialog d = {.call_id = "abc"};

	commits = true;
	put(CALL, REC_DIALOG, &d);
	call(CALL, CALL_TRYING);
	del(CALL, REC_DIALOG);
	del(CALL, REC_CALL);
	assert_true(stored(CALL));
	assert_string_equal(last.legs[0].call_id, "abc");
	assert_string_equal(last.reason, "Given up");
	turn(CDR_HOLD_MS + 100);
	turn(100);
	assert_int_equal(batch->len, 1);
	assert_int_equal(stats().completed, 1);
}

/* Its account is lost, its end is not. */
static void test_ended_without_a_record(void **state)
{
	commits = true;
	put_error = -EAGAIN;
	call(CALL, CALL_ENDING);
	put_error = 0;
	turn(5000);
	del(CALL, REC_CALL);
	assert_int_equal(last.state, CDR_COMPLETE);
	assert_int_equal(last.end_ms, 900);
	assert_string_equal(last.reason, "");
}

static void test_full_disk(void **state)
{
	commits = true;
	for (unsigned i = 0; i < 10; i++) {
		call(CALL + i, CALL_ENDING);
		del(CALL + i, REC_CALL);
	}
	turn(100);
	written(-ENOSPC);
	assert_int_equal(stats().last_error, -ENOSPC);
	assert_int_equal(stats().waiting, 10);
	turn(100);
	assert_null(batch);
	call(CALL + 10, CALL_ENDING);
	del(CALL + 10, REC_CALL);
	turn(CDR_RETRY_MS);
	assert_int_equal(batch->len, 11);
	for (unsigned i = 0; i < 11; i++)
		assert_int_equal(batch->items[i].id, CALL + i);
	written(0);
	assert_int_equal(stats().last_error, 0);
	assert_int_equal(stats().written, 11);
	assert_int_equal(stats().lost, 0);
}

static void test_bounded(void **state)
{
	commits = true;
	write_error = -EIO;
	for (unsigned i = 0; i < CDR_WAITING_MAX + 5; i++) {
		call(CALL + i, CALL_ENDING);
		del(CALL + i, REC_CALL);
	}
	turn(100);
	assert_int_equal(stats().lost, 5);
	assert_int_equal(stats().waiting, CDR_WAITING_MAX);
	/* The oldest, on both nodes. */
	assert_false(stored(CALL + 4));
	assert_true(stored(CALL + 5));
}

/* ---- the standby -------------------------------------------------------- */
static void apply(uint64_t id, uint8_t cdr_state, uint64_t seq)
{
	static struct rec_cdr r;
	struct ha_key key = {.id = id, .kind = REC_CDR};
	struct ha_version v = next_version();
	struct ha_item item;
	struct buf b;

	memset(&r, 0, sizeof(r));
	r.state = cdr_state;
	r.seq = seq;
	buf_init(&b, HA_VALUE_MAX_BYTES);
	assert_int_equal(record_encode(REC_CDR, &r, &b), 0);
	assert_int_equal(ha_store_put(store, &key, &v, b.data, b.size), 1);
	assert_true(ha_store_get(store, &key, &item));
	cdr_applied(cdr, &item);
	buf_finish(&b);
}

static void unapply(uint64_t id)
{
	struct ha_item gone = {.key = {.id = id, .kind = REC_CDR},
			       .deleted = true};

	fake_del(NULL, &gone.key);
	cdr_applied(cdr, &gone);
}

static void test_standby_writes_and_says_so(void **state)
{
	cdr_activate(cdr, 0);
	apply(1, CDR_OPEN, 0);
	turn(100);
	assert_null(batch);
	apply(1, CDR_COMPLETE, 10);
	apply(2, CDR_COMPLETE, 11);
	assert_int_equal(cdr_own_written(cdr), 0);
	turn(100);
	assert_int_equal(batch->len, 2);
	apply(3, CDR_COMPLETE, 12);
	assert_int_equal(cdr_own_written(cdr), 0);
	written(0);
	assert_int_equal(cdr_own_written(cdr), 11);
	turn(100);
	written(0);
	assert_int_equal(cdr_own_written(cdr), 12);
	for (uint64_t id = 1; id < 4; id++)
		unapply(id);
	assert_int_equal(cdr_own_written(cdr), 0);
	assert_int_equal(stats().kept, 0);
}

/* What the active thinks we have, or a sweep took, is written all the same. */
static void test_deleted_before_it_is_written(void **state)
{
	cdr_activate(cdr, 0);
	apply(1, CDR_COMPLETE, 10);
	unapply(1);
	turn(100);
	assert_int_equal(batch->len, 1);
	written(0);
	assert_int_equal(stats().written, 1);
	assert_int_equal(stats().kept, 0);
}

static void test_take_over_goes_on(void **state)
{
	commits = true;
	cdr_activate(cdr, 0);
	/* One whose call is still there, one whose call is not. */
	apply(CALL, CDR_OPEN, 0);
	apply(CALL + 1, CDR_OPEN, 0);
	call(CALL, CALL_ENDING);
	turn(CDR_MEDIA_WAIT_MS);
	assert_null(batch);
	cdr_activate(cdr, EPOCH + 256);
	turn(100);
	assert_non_null(batch);
	assert_int_equal(batch->len, 1);
	assert_int_equal(batch->items[0].id, CALL + 1);
	written(0);
	del(CALL, REC_CALL);
	turn(100);
	assert_int_equal(batch->items[0].id, CALL);
	assert_true(stored(CALL));
	assert_true(last.seq >> 32 == (EPOCH >> 8) + 1);
}

/* This node completed and wrote a record of which its peer, which took over,
 * heard only the beginning: to the peer the call is still ending. */
static void test_completed_unheard(void **state)
{
	call(CALL, CALL_ENDING);
	del(CALL, REC_CALL);
	assert_int_equal(last.state, CDR_COMPLETE);
	cdr_activate(cdr, 0);
	turn(100);
	written(0);
	apply(CALL, CDR_OPEN, 0);
	assert_int_equal(cdr_own_written(cdr), 0);
	call(CALL, CALL_ENDING);
	/* And this one takes over before it has ended there. */
	commits = true;
	cdr_activate(cdr, EPOCH + 512);
	cdr_peer_written(cdr, UINT64_MAX);
	turn(100);
	assert_true(stored(CALL));
	assert_int_equal(last.state, CDR_OPEN);
	del(CALL, REC_CALL);
	assert_true(stored(CALL));
	assert_int_equal(last.state, CDR_COMPLETE);
	assert_int_equal(last.end_ms, 0);
	turn(100);
	/* The file knows the id. */
	assert_int_equal(batch->len, 1);
}

static void test_hostile_records(void **state)
{
	struct ha_item item = {.key = {.id = 1, .kind = REC_CDR},
			       .value = "\xff\xff\xff\xff",
			       .size = 4};
	struct ha_key key = {.id = 2, .kind = REC_CALL};

	cdr_applied(cdr, &item);
	cdr_call_put(cdr, &key, item.value, item.size);
	cdr_call_deleted(cdr, &key);
	cdr_mstate_deleted(cdr, &key);
	cdr_committed(cdr, CDR_TOKEN | 99);
	turn(100);
	assert_int_equal(put_count, 0);
	assert_int_equal(stats().open, 0);
}

#define T(f) cmocka_unit_test_setup_teardown(f, setup, teardown)

int main(void)
{
	const struct CMUnitTest tests[] = {
		T(test_a_call_from_end_to_end),
		T(test_media_that_says_nothing),
		T(test_given_up_and_made_anew),
		T(test_given_up_has_its_legs),
		T(test_ended_without_a_record),
		T(test_full_disk),
		T(test_bounded),
		T(test_standby_writes_and_says_so),
		T(test_deleted_before_it_is_written),
		T(test_take_over_goes_on),
		T(test_completed_unheard),
		T(test_hostile_records),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
