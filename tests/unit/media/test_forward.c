/* Datagrams that carry packets to the new active node. */
#include "media_test.h"

#include "sbcd/media/forward.h"

static const uint8_t key[FORWARD_KEY_BYTES] = "0123456789abcdef0123456789abcde";
static struct media_nif nif = {.name = "core"};
static struct forward_tx *tx;
static struct forward_rx *rx;
static uint8_t payload[MEDIA_PAYLOAD_MAX_BYTES];
static struct media_packet packet;

static int setup(void **state)
{
	nif.name_hash = media_nif_hash(nif.name);
	assert_int_equal(forward_tx_create(&tx, key, 77, 3), 0);
	assert_int_equal(forward_rx_create(&rx, &key, 1), 0);
	forward_tx_set_epoch(tx, 5);
	forward_rx_set_epochs(rx, 5, 9);
	for (size_t i = 0; i < sizeof(payload); i++)
		payload[i] = (uint8_t)i;
	memset(&packet, 0, sizeof(packet));
	packet.nif = &nif;
	packet.data = payload;
	packet.size = 172;
	packet.source = addr_of("10.10.0.50", 7000);
	packet.local = addr_of("10.10.0.10", 20000);
	return 0;
}

static int teardown(void **state)
{
	forward_tx_destroy(tx);
	forward_rx_destroy(rx);
	return 0;
}

static size_t seal(uint8_t *out)
{
	ssize_t n = forward_seal(tx, &packet, out);

	assert_true(n > 0);
	return (size_t)n;
}

static void test_round_trip(void **state)
{
	uint8_t d[FORWARD_MAX_BYTES];
	struct forward_datagram got;
	size_t n = seal(d);

	assert_int_equal(n, 76 + 172 + 16);
	assert_int_equal(forward_open(rx, d, n, &got), 0);
	assert_true(got.nif_hash == nif.name_hash);
	assert_true(addr_equal(&got.source, &packet.source));
	assert_true(addr_equal(&got.local, &packet.local));
	assert_int_equal(got.size, 172);
	assert_memory_equal(got.payload, payload, 172);

	packet.source = addr_of("fd00::50", 7001);
	packet.local = addr_of("fd00::10", 20001);
	packet.size = MEDIA_PAYLOAD_MAX_BYTES;
	n = seal(d);
	assert_int_equal(forward_open(rx, d, n, &got), 0);
	assert_true(addr_equal(&got.source, &packet.source));
	assert_true(addr_equal(&got.local, &packet.local));
	assert_int_equal(got.size, MEDIA_PAYLOAD_MAX_BYTES);
	packet.size = 0;
	n = seal(d);
	assert_int_equal(forward_open(rx, d, n, &got), 0);
	assert_int_equal(got.size, 0);
}

static void test_every_bit_counts(void **state)
{
	uint8_t d[FORWARD_MAX_BYTES];
	struct forward_datagram got;
	size_t n = seal(d);

	for (size_t i = 0; i < n; i++) {
		d[i] ^= 1;
		assert_int_not_equal(forward_open(rx, d, n, &got), 0);
		d[i] ^= 1;
	}
	for (size_t i = 0; i < n; i++)
		assert_int_not_equal(forward_open(rx, d, i, &got), 0);
	assert_int_equal(forward_open(rx, d, n, &got), 0);
}

/* While the cluster key is changed: the old one and the new one. */
static void test_either_key(void **state)
{
	uint8_t keys[2][FORWARD_KEY_BYTES] = {"x"};
	uint8_t d[FORWARD_MAX_BYTES];
	struct forward_datagram got;
	struct forward_rx *both;
	size_t n = seal(d);

	memcpy(keys[1], key, sizeof(key));
	assert_int_equal(forward_rx_create(&both, keys, 2), 0);
	forward_rx_set_epochs(both, 0, 100);
	assert_int_equal(forward_open(both, d, n, &got), 0);
	d[n - 1] ^= 1;
	assert_int_equal(forward_open(both, d, n, &got), -EACCES);
	forward_rx_destroy(both);
}

static void test_other_key(void **state)
{
	uint8_t other[1][FORWARD_KEY_BYTES] = {"x"};
	uint8_t d[FORWARD_MAX_BYTES];
	struct forward_datagram got;
	struct forward_rx *stranger;
	size_t n = seal(d);

	assert_int_equal(forward_rx_create(&stranger, other, 1), 0);
	forward_rx_set_epochs(stranger, 0, 100);
	assert_int_equal(forward_open(stranger, d, n, &got), -EACCES);
	forward_rx_destroy(stranger);
}

static void test_each_once(void **state)
{
	static uint8_t d[3][FORWARD_MAX_BYTES];
	struct forward_datagram got;
	size_t n[3];

	for (unsigned i = 0; i < 3; i++)
		n[i] = seal(d[i]);
	/* Second link, other order. */
	assert_int_equal(forward_open(rx, d[2], n[2], &got), 0);
	assert_int_equal(forward_open(rx, d[0], n[0], &got), 0);
	assert_int_equal(forward_open(rx, d[2], n[2], &got), -EALREADY);
	assert_int_equal(forward_open(rx, d[1], n[1], &got), 0);
	assert_int_equal(forward_open(rx, d[0], n[0], &got), -EALREADY);
	assert_int_equal(forward_open(rx, d[1], n[1], &got), -EALREADY);
}

static void test_window(void **state)
{
	uint8_t first[FORWARD_MAX_BYTES], d[FORWARD_MAX_BYTES];
	struct forward_datagram got;
	size_t n = seal(first), m;

	/* The first is still new after many others ... */
	for (unsigned i = 0; i < FORWARD_WINDOW - 1; i++) {
		m = seal(d);
		assert_int_equal(forward_open(rx, d, m, &got), 0);
	}
	assert_int_equal(forward_open(rx, first, n, &got), 0);
	assert_int_equal(forward_open(rx, first, n, &got), -EALREADY);
	/* ... and too old after one more, although its bit was recycled. */
	m = seal(d);
	assert_int_equal(forward_open(rx, d, m, &got), 0);
	assert_int_equal(forward_open(rx, first, n, &got), -EALREADY);
	/* A gap as long as the window forgets everything in it. */
	for (unsigned i = 0; i < 3 * FORWARD_WINDOW; i++)
		m = seal(d);
	assert_int_equal(forward_open(rx, d, m, &got), 0);
	assert_int_equal(forward_open(rx, d, m, &got), -EALREADY);
}

static void test_threads_and_boots(void **state)
{
	uint8_t a[FORWARD_MAX_BYTES], b[FORWARD_MAX_BYTES];
	struct forward_datagram got;
	struct forward_tx *other;
	size_t n = seal(a), m;

	/* Another thread counts for itself. */
	assert_int_equal(forward_tx_create(&other, key, 77, 4), 0);
	forward_tx_set_epoch(other, 5);
	m = (size_t)forward_seal(other, &packet, b);
	assert_int_equal(forward_open(rx, a, n, &got), 0);
	assert_int_equal(forward_open(rx, b, m, &got), 0);
	assert_int_equal(forward_open(rx, a, n, &got), -EALREADY);
	forward_tx_destroy(other);
	/* A new boot begins anew. */
	assert_int_equal(forward_tx_create(&other, key, 78, 3), 0);
	forward_tx_set_epoch(other, 5);
	m = (size_t)forward_seal(other, &packet, b);
	assert_int_equal(forward_open(rx, b, m, &got), 0);
	forward_tx_destroy(other);
	assert_int_equal(forward_tx_create(&other, key, 1, FORWARD_THREADS_MAX),
			 -EINVAL);
}

static void test_epochs(void **state)
{
	uint8_t d[FORWARD_MAX_BYTES];
	struct forward_datagram got;
	static const struct {
		uint64_t epoch;
		int err;
	} cases[] = {{4, -ESTALE}, {5, 0}, {9, 0}, {10, -ESTALE}};

	for (unsigned i = 0; i < 4; i++) {
		size_t n;

		forward_tx_set_epoch(tx, cases[i].epoch);
		n = seal(d);
		assert_int_equal(forward_open(rx, d, n, &got), cases[i].err);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(test_round_trip, setup,
						teardown),
		cmocka_unit_test_setup_teardown(test_every_bit_counts, setup,
						teardown),
		cmocka_unit_test_setup_teardown(test_either_key, setup,
						teardown),
		cmocka_unit_test_setup_teardown(test_other_key, setup,
						teardown),
		cmocka_unit_test_setup_teardown(test_each_once, setup,
						teardown),
		cmocka_unit_test_setup_teardown(test_window, setup, teardown),
		cmocka_unit_test_setup_teardown(test_threads_and_boots, setup,
						teardown),
		cmocka_unit_test_setup_teardown(test_epochs, setup, teardown),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
