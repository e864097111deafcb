/* Inputs that killed a worker: alone, and through a real SIP worker. */
#include "harness_call.h"

#include "sbcd/sip/quarantine.h"

static struct quarantine q;
static const char message[] =
	"OPTIONS sip:a@10.10.0.10 SIP/2.0\r\n"
	"Via: SIP/2.0/TCP 10.10.0.50:5060;branch=z9hG4bKpoison\r\n"
	"From: <sip:a@10.10.0.50>;tag=1\r\n"
	"To: <sip:b@10.10.0.10>\r\n"
	"Call-ID: poison\r\n"
	"CSeq: 1 OPTIONS\r\n"
	"content-length : 4\r\n"
	"\r\n"
	"body";
enum { MESSAGE_SIZE = sizeof(message) - 1, NOW = 1000 };

static void set(unsigned slot, uint32_t size, uint64_t until_ms)
{
	struct rec_quarantine r = {.size = size, .until_ms = until_ms};
	struct quarantine none = {.key = q.key};
	struct input in = {0};

	assert_true(quarantine_passes(&none, &in, message, size, NOW));
	r.hash = quarantine_hash(&q, &in);
	quarantine_set(&q, slot, &r, NOW);
}

static bool passes_in_pieces(size_t piece, uint64_t now_ms)
{
	struct input in = {0};

	for (size_t at = 0; at < MESSAGE_SIZE; at += piece) {
		size_t n =
			MESSAGE_SIZE - at < piece ? MESSAGE_SIZE - at : piece;

		if (!quarantine_passes(&q, &in, message + at, n, now_ms))
			return false;
	}
	return true;
}

static int fresh(void **state)
{
	memset(&q, 0, sizeof(q));
	memset(q.key.bytes, 7, sizeof(q.key.bytes));
	return 0;
}

static void pieces_do_not_matter(void **state)
{
	for (uint32_t size = QUARANTINE_PREFIX_MIN; size <= MESSAGE_SIZE;
	     size += 13) {
		fresh(state);
		set(5, size, 2000);
		for (size_t piece = 1; piece <= MESSAGE_SIZE; piece += 7)
			assert_false(passes_in_pieces(piece, NOW));
	}
}

static void another_byte_passes(void **state)
{
	struct input in = {0};
	char other[MESSAGE_SIZE];

	set(0, MESSAGE_SIZE, 2000);
	memcpy(other, message, MESSAGE_SIZE);
	other[70] ^= 1;
	assert_true(quarantine_passes(&q, &in, other, MESSAGE_SIZE, NOW));
	/* Not all of it has come yet. */
	memset(&in, 0, sizeof(in));
	assert_true(quarantine_passes(&q, &in, message, MESSAGE_SIZE - 1, NOW));
}

/* "OPTIONS" may have been all a dying worker had read. */
static void a_few_bytes_condemn_nobody(void **state)
{
	struct input in = {0};

	set(0, 7, 2000);
	assert_true(passes_in_pieces(MESSAGE_SIZE, NOW));
	assert_true(passes_in_pieces(10, NOW));
	assert_false(quarantine_passes(&q, &in, message, 7, NOW));
}

static void it_ends(void **state)
{
	set(63, MESSAGE_SIZE, 2000);
	assert_false(passes_in_pieces(50, 1999));
	assert_true(passes_in_pieces(50, 2000));
	assert_false(passes_in_pieces(50, NOW));
	quarantine_set(&q, 63, NULL, NOW);
	assert_true(passes_in_pieces(50, NOW));
	/* However far ahead the other clock is. */
	set(1, MESSAGE_SIZE, UINT64_MAX);
	assert_true(passes_in_pieces(50, NOW + QUARANTINE_MAX_MS));
	/* A slot nobody has. */
	set(REC_QUARANTINE_MAX, MESSAGE_SIZE, 2000);
}

static void messages_end_where_they_say(void **state)
{
	char two[2 * MESSAGE_SIZE + 2];

	memcpy(two, "\r\n", 2);
	memcpy(two + 2, message, MESSAGE_SIZE);
	memcpy(two + 2 + MESSAGE_SIZE, message, MESSAGE_SIZE);
	for (size_t cut = 1; cut < sizeof(two); cut++) {
		struct input in = {0};
		size_t n, all = 0;
		bool ends;

		do {
			size_t have = all < cut ? cut : sizeof(two);

			n = input_measure(&in, two + all, have - all, &ends);
			assert_true(n > 0 && n <= have - all);
			all += n;
		} while (!ends);
		assert_int_equal(all, MESSAGE_SIZE + 2);
	}
}

/* What the dead worker was reading becomes a record, as a keeper does it. */
static void quarantine_from_page(void)
{
	struct ha_key key = {.sub = 3, .kind = REC_QUARANTINE};
	struct ha_version v = {keeper.epoch, ++keeper.generation, 1};
	struct rec_quarantine r = {.until_ms = clock_wall_ms() + 60000};
	struct busy_input what;
	size_t size = sizeof(what);
	uint8_t page[COUNTERS_BUSY_SIZE];
	struct buf value;

	assert_int_equal(counters_get_busy(keeper.counters, page, &size),
			 BUSY_INPUT);
	assert_int_equal(size, sizeof(what));
	memcpy(&what, page, sizeof(what));
	assert_true(what.size > QUARANTINE_PREFIX_MIN);
	assert_true(what.source.family == ADDR_V4);
	r.hash = what.hash;
	r.size = what.size;
	buf_init(&value, 4096);
	assert_int_equal(record_encode(REC_QUARANTINE, &r, &value), 0);
	assert_true(ha_store_put(keeper.store, &key, &v, value.data,
				 value.size) >= 0);
	buf_finish(&value);
	keeper_start(true);
	keeper_wait_active();
}

/* What killed a worker is not read again by the next one. */
static void quarantined_input(void **state)
{
	char *text;

	dlg_new(&a, &pbx, "2000");
	text = keep(make_request(&a, "OPTIONS", 5,
				 "X-SBC-Test: crash-parse\r\n", NULL));
	ua_send(&pbx, text);
	keeper_expect_crash();
	quarantine_from_page();
	ua_send(&pbx, text);
	request(&a, "OPTIONS", NULL, NULL);
	expect_status(&pbx, 200, "OPTIONS");
	expect_nothing(&pbx, "a quarantined input");
	assert_int_equal(
		counters_get(keeper.counters, COUNTER_sip_rx_quarantined), 1);
}

/* Text of a message cut in two, as two segments of one connection. */
static void send_pieces(struct ua *u, const char *text, size_t cut)
{
	char part[TEXT_SIZE];

	snprintf(part, sizeof(part), "%.*s", (int)cut, text);
	ua_send(u, part);
	run_ms(30);
	ua_send(u, text + cut);
}

static void expect_closed(struct ua *u)
{
	uint64_t deadline = clock_mono_ms() + WAIT_MS;

	while (u->conns_len && clock_mono_ms() < deadline)
		if (ua_receive(u, 50))
			fail_msg("an answer: %.60s", u->msg);
	assert_int_equal(u->conns_len, 0);
}

/* By TCP its connection closes; what others say is heard. */
static void quarantined_stream(void **state)
{
	struct ua tcp, other;
	char *text;

	ua_open(&tcp, "10.10.0.50", "10.10.0.10", true);
	ua_open(&other, "10.10.0.99", "10.10.0.10", true);
	dlg_new(&a, &tcp, "2000");
	text = keep(make_request(&a, "OPTIONS", 5,
				 "X-SBC-Test: crash-parse\r\n", NULL));
	/* A whole message before it is not to blame. */
	send_pieces(&tcp, make_request(&a, "OPTIONS", 4, NULL, NULL), 100);
	expect_status(&tcp, 200, "OPTIONS");
	ua_send(&tcp, text);
	keeper_expect_crash();
	quarantine_from_page();
	expect_closed(&tcp);
	dlg_new(&b, &other, "2000");
	request(&b, "OPTIONS", NULL, NULL);
	expect_status(&other, 403, "OPTIONS");
	send_pieces(&tcp, text, 60);
	expect_closed(&tcp);
	request(&b, "OPTIONS", NULL, NULL);
	expect_status(&other, 403, "OPTIONS");
	assert_int_equal(other.conns_len, 1);
	request(&a, "OPTIONS", NULL, NULL);
	expect_status(&tcp, 200, "OPTIONS");
	assert_int_equal(
		counters_get(keeper.counters, COUNTER_sip_rx_quarantined), 1);
	ua_close(&tcp);
	ua_close(&other);
}

#define PURE(name) cmocka_unit_test_setup(name, fresh)
#define CASE(name) cmocka_unit_test_setup_teardown(name, up, down)

int main(void)
{
	const struct CMUnitTest tests[] = {
		PURE(pieces_do_not_matter),	   PURE(another_byte_passes),
		PURE(a_few_bytes_condemn_nobody),  PURE(it_ends),
		PURE(messages_end_where_they_say), CASE(quarantined_input),
		CASE(quarantined_stream),
	};

	return cmocka_run_group_tests(tests, stage_network, NULL);
}
