/* Addresses, buffers, readers, clocks, counters. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <netinet/in.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/wait.h>
#include <unistd.h>

#include "sbcd/base/addr.h"
#include "sbcd/base/buf.h"
#include "sbcd/base/clock.h"
#include "sbcd/base/counters.h"
#include "sbcd/base/worker.h"
#include "sbcd/base/worst.h"

/* ---- addr ------------------------------------------------------------------
 */

static void addresses_are_parsed_and_printed(void **state)
{
	static const struct {
		const char *in, *ip, *full;
		uint8_t family;
	} good[] = {
		{"10.0.0.1", "10.0.0.1", "10.0.0.1:5060", ADDR_V4},
		{"0.0.0.0", "0.0.0.0", "0.0.0.0:5060", ADDR_V4},
		{"fd00::1", "fd00::1", "[fd00::1]:5060", ADDR_V6},
		{"[fd00::1]", "fd00::1", "[fd00::1]:5060", ADDR_V6},
		{"::", "::", "[::]:5060", ADDR_V6},
		{"::ffff:10.0.0.1", "10.0.0.1", "10.0.0.1:5060", ADDR_V4},
		{"[::ffff:10.0.0.1]", "10.0.0.1", "10.0.0.1:5060", ADDR_V4},
	};
	static const char *const bad[] = {
		"",
		"x",
		"10.0.0",
		"10.0.0.256",
		"10.0.0.1:5060",
		"[10.0.0.1]",
		"[fd00::1",
		"fd00::1]",
		"[]",
		"[",
		"fd00:::1",
		" 10.0.0.1",
		"10.0.0.1 ",
		"fe80::1%eth0",
		"1",
		"0000:0000:0000:0000:0000:0000:0000:0000:0000:0000:0000",
		NULL};
	char text[ADDR_TEXT_SIZE];
	struct addr a;

	for (size_t i = 0; i < sizeof(good) / sizeof(good[0]); i++) {
		memset(&a, 0x5a, sizeof(a));
		assert_int_equal(addr_parse_ip(&a, good[i].in, 5060), 0);
		assert_int_equal(a.family, good[i].family);
		assert_int_equal(a.port, 5060);
		assert_string_equal(addr_format_ip(&a, text, sizeof(text)),
				    good[i].ip);
		assert_string_equal(addr_format(&a, text, sizeof(text)),
				    good[i].full);
		if (a.family == ADDR_V4)
			for (int k = 4; k < 16; k++)
				assert_int_equal(a.ip[k], 0);
	}
	for (const char *const *b = bad; *b; b++) {
		struct addr before = a;

		assert_int_equal(addr_parse_ip(&a, *b, 1), -EINVAL);
		assert_memory_equal(&a, &before, sizeof(a));
	}
	a = (struct addr){0};
	assert_string_equal(addr_format(&a, text, sizeof(text)), "none");
	assert_string_equal(addr_format_ip(&a, text, sizeof(text)), "none");
}

static void socket_addresses_come_back(void **state)
{
	static const char *const ips[] = {"10.1.2.3", "fd00::5", NULL};
	struct sockaddr_storage ss;
	struct addr a, b;

	for (const char *const *ip = ips; *ip; ip++) {
		socklen_t len;

		assert_int_equal(addr_parse_ip(&a, *ip, 40000), 0);
		len = addr_to_sockaddr(&a, &ss);
		assert_int_equal(len, a.family == ADDR_V4
					      ? sizeof(struct sockaddr_in)
					      : sizeof(struct sockaddr_in6));
		assert_int_equal(addr_from_sockaddr(&b, (void *)&ss), 0);
		assert_true(addr_equal(&a, &b));
	}
	a = (struct addr){0};
	assert_int_equal(addr_to_sockaddr(&a, &ss), 0);
	ss.ss_family = AF_UNIX;
	assert_int_equal(addr_from_sockaddr(&b, (void *)&ss), -EAFNOSUPPORT);
	/* What a dual-stack socket reports. */
	struct sockaddr_in6 mapped = {.sin6_family = AF_INET6,
				      .sin6_port = htons(9)};

	assert_int_equal(
		inet_pton(AF_INET6, "::ffff:10.1.2.3", &mapped.sin6_addr), 1);
	assert_int_equal(addr_from_sockaddr(&b, (void *)&mapped), 0);
	assert_int_equal(addr_parse_ip(&a, "10.1.2.3", 9), 0);
	assert_true(addr_equal(&a, &b));
}

static void addresses_are_compared(void **state)
{
	struct addr a, b;

	assert_int_equal(addr_parse_ip(&a, "10.0.0.1", 1), 0);
	assert_int_equal(addr_parse_ip(&b, "10.0.0.1", 2), 0);
	assert_false(addr_equal(&a, &b));
	assert_true(addr_equal_ip(&a, &b));
	assert_int_equal(addr_parse_ip(&b, "10.0.0.2", 1), 0);
	assert_false(addr_equal_ip(&a, &b));
	assert_int_equal(addr_parse_ip(&b, "a00:1::", 1), 0);
	assert_false(addr_equal_ip(&a, &b)); /* same first bytes */
	assert_false(addr_is_unspecified(&a));
	assert_int_equal(addr_parse_ip(&b, "::", 1), 0);
	assert_true(addr_is_unspecified(&b));
	assert_int_equal(addr_parse_ip(&b, "0.0.0.0", 1), 0);
	assert_true(addr_is_unspecified(&b));
	b = (struct addr){0};
	assert_false(addr_is_unspecified(&b));
}

static void ports_belong_to_nodes_and_shards(void **state)
{
	/* A pair is never split between nodes or shards. */
	for (unsigned port = 20000; port < 20400; port += 2) {
		assert_int_equal(worker_port_node(port, 20000),
				 worker_port_node(port + 1, 20000));
		assert_int_equal(worker_port_shard(port, 20000, 3),
				 worker_port_shard(port + 1, 20000, 3));
		assert_int_equal(worker_port_node(port, 20000),
				 (port - 20000) / 2 % 2 + 1);
	}
	assert_int_equal(worker_port_shard(20000, 20000, 0), 0);
}

/* ---- buf -------------------------------------------------------------------
 */

static void numbers_come_back(void **state)
{
	static const uint64_t numbers[] = {
		0,     1,	   127,	       128,	   255,	      16383,
		16384, UINT32_MAX, 1ull << 62, 1ull << 63, UINT64_MAX};
	struct reader r;
	struct buf b;

	buf_init(&b, 4096);
	buf_put_u8(&b, 0x12);
	buf_put_u16(&b, 0x1234);
	buf_put_u32(&b, 0x12345678);
	buf_put_u64(&b, 0x123456789abcdef0);
	buf_put(&b, "xyz", 3);
	buf_put(&b, NULL, 0);
	for (size_t i = 0; i < 11; i++)
		buf_put_varint(&b, numbers[i]);
	assert_false(b.failed);
	assert_int_equal(b.data[1], 0x12); /* big endian */
	reader_init(&r, b.data, b.size);
	assert_int_equal(reader_u8(&r), 0x12);
	assert_int_equal(reader_u16(&r), 0x1234);
	assert_int_equal(reader_u32(&r), 0x12345678);
	assert_true(reader_u64(&r) == 0x123456789abcdef0);
	assert_memory_equal(reader_bytes(&r, 3), "xyz", 3);
	for (size_t i = 0; i < 11; i++)
		assert_true(reader_varint(&r) == numbers[i]);
	assert_int_equal(reader_left(&r), 0);
	assert_false(r.failed);
	/* One more is one too many, and stays so. */
	assert_int_equal(reader_u8(&r), 0);
	assert_true(r.failed);
	assert_null(reader_bytes(&r, 0));
	assert_int_equal(reader_left(&r), 0);
	buf_finish(&b);
}

static void readers_stay_within(void **state)
{
	static const uint8_t endless[12] = {0x80, 0x80, 0x80, 0x80, 0x80, 0x80,
					    0x80, 0x80, 0x80, 0x80, 0x80, 0x01};
	static const uint8_t too_big[10] = {0xff, 0xff, 0xff, 0xff, 0xff,
					    0xff, 0xff, 0xff, 0xff, 0x02};
	struct reader r;

	reader_init(&r, endless, sizeof(endless));
	assert_int_equal(reader_varint(&r), 0);
	assert_true(r.failed);
	reader_init(&r, too_big, sizeof(too_big));
	assert_int_equal(reader_varint(&r), 0);
	assert_true(r.failed);
	reader_init(&r, endless, 3);
	assert_int_equal(reader_varint(&r), 0);
	assert_true(r.failed);
	reader_init(&r, endless, 3);
	assert_int_equal(reader_u32(&r), 0);
	assert_true(r.failed);
	reader_init(&r, endless, 3);
	assert_null(reader_bytes(&r, SIZE_MAX));
	assert_true(r.failed);
	reader_init(&r, NULL, 0);
	assert_int_equal(reader_left(&r), 0);
	assert_non_null(reader_bytes(&r, 0));
}

static void buffers_keep_their_limit(void **state)
{
	struct buf b;

	buf_init(&b, 100);
	for (int i = 0; i < 100; i++)
		buf_put_u8(&b, (uint8_t)i);
	assert_false(b.failed);
	assert_int_equal(b.size, 100);
	buf_put_u8(&b, 1);
	assert_true(b.failed);
	assert_int_equal(b.size, 100);
	buf_reset(&b);
	assert_false(b.failed);
	buf_put(&b, "0123456789", 10);
	/* Nothing of what does not fit, and nothing after it. */
	buf_put(&b, b.data, SIZE_MAX - 2);
	assert_true(b.failed);
	buf_put_u8(&b, 1);
	assert_int_equal(b.size, 10);
	buf_finish(&b);
	buf_finish(&b);
}

/* ---- clock, counters -------------------------------------------------------
 */

static void clocks_agree(void **state)
{
	uint64_t ns = clock_mono_ns(), ms = clock_mono_ms();

	assert_in_range(ms - ns / 1000000, 0, 1000);
	assert_true(clock_mono_ns() >= ns);
	assert_true(clock_wall_ms() > 1700000000000);
}

static void counters_are_shared(void **state)
{
	struct counters *keeper, *worker;
	char what[COUNTERS_BUSY_SIZE];
	size_t size = 99;
	int fd, status;
	pid_t pid;

	assert_int_equal(counters_create(&keeper, &fd), 0);
	assert_int_equal(counters_get(keeper, COUNTER_sip_rejected), 0);
	assert_int_equal(counters_get_busy(keeper, what, &size), BUSY_NOTHING);
	assert_int_equal(size, 0);
	pid = fork();
	if (!pid) {
		if (counters_map(&worker, fd))
			_exit(1);
		counters_add(worker, COUNTER_sip_rejected, 5);
		counters_add(worker, COUNTER_sip_rejected, 2);
		counters_set_busy(worker, BUSY_INPUT, "old", 3);
		counters_set_busy(worker, BUSY_RECORD, "culprit", 7);
		raise(SIGKILL); /* dies in the middle of its work */
	}
	assert_int_equal(waitpid(pid, &status, 0), pid);
	assert_true(WIFSIGNALED(status));
	assert_int_equal(counters_get(keeper, COUNTER_sip_rejected), 7);
	assert_int_equal(counters_get_busy(keeper, what, &size), BUSY_RECORD);
	assert_int_equal(size, 7);
	assert_memory_equal(what, "culprit", 7);
	/* Its successor goes on. */
	assert_int_equal(counters_map(&worker, fd), 0);
	counters_add(worker, COUNTER_sip_rejected, 1);
	counters_set_busy(worker, BUSY_NOTHING, NULL, 0);
	assert_int_equal(counters_get(keeper, COUNTER_sip_rejected), 8);
	assert_int_equal(counters_get_busy(keeper, what, &size), BUSY_NOTHING);
	counters_destroy(worker);
	counters_destroy(keeper);
	close(fd);
}

/* The page is written by a process that may have been taken over. */
static void hostile_worker_is_contained(void **state)
{
	char what[COUNTERS_BUSY_SIZE + 16];
	struct counters *c;
	uint8_t *page;
	size_t size, page_size;
	int fd;

	assert_int_equal(counters_create(&c, &fd), 0);
	assert_int_equal(ftruncate(fd, 0), -1);
	assert_int_equal(ftruncate(fd, 1 << 20), -1);
	page_size = (size_t)lseek(fd, 0, SEEK_END);
	page = mmap(NULL, page_size, PROT_WRITE, MAP_SHARED, fd, 0);
	assert_ptr_not_equal(page, MAP_FAILED);
	memset(page, 0xff, page_size);
	memset(what, 0x5a, sizeof(what));
	assert_int_equal(counters_get_busy(c, what, &size), BUSY_NOTHING);
	counters_set_busy(c, BUSY_INPUT, what, sizeof(what));
	memset(page + COUNTER_COUNT * 8 + 4, 0xff, 4); /* the size */
	assert_int_equal(counters_get_busy(c, what, &size), BUSY_INPUT);
	assert_int_equal(size, COUNTERS_BUSY_SIZE);
	assert_int_equal(what[COUNTERS_BUSY_SIZE], 0x5a);
	munmap(page, page_size);
	counters_destroy(c);
	close(fd);
	fd = memfd_create("short", MFD_CLOEXEC);
	assert_int_equal(counters_map(&c, fd), -EINVAL);
	close(fd);
	assert_int_equal(counters_map(&c, -1), -EBADF);
}

static void counters_have_names(void **state)
{
	assert_string_equal(counters_name(COUNTER_sip_rx_requests),
			    "sip_rx_requests");
	assert_string_equal(counters_name(COUNTER_media_rx_packets),
			    "media_rx_packets");
	for (int i = 0; i < COUNTER_COUNT; i++) {
		assert_true(strlen(counters_name((enum counter_id)i)) > 4);
		assert_true(strlen(counters_help((enum counter_id)i)) > 4);
	}
	assert_string_equal(counters_name(COUNTER_COUNT), "unknown");
	/* Legal without a page. */
	counters_add(NULL, COUNTER_sip_rejected, 1);
	counters_set_busy(NULL, BUSY_INPUT, "x", 1);
	assert_int_equal(counters_get(NULL, COUNTER_sip_rejected), 0);
	counters_destroy(NULL);
}

/* ---- worst -----------------------------------------------------------------
 */

static void the_worst_of_an_hour_is_kept(void **state)
{
	enum { MINUTE = 60000, HOUR = 60 * MINUTE };
	struct worst w = {0};
	uint64_t start = 7 * (uint64_t)HOUR + 30;

	assert_int_equal(worst_get(&w, start), 0);
	worst_note(&w, start, 40);
	worst_note(&w, start + 5, 90);
	worst_note(&w, start + 10, 20);
	assert_int_equal(worst_get(&w, start + 10), 90);
	worst_note(&w, start + 2 * MINUTE, 50);
	assert_int_equal(worst_get(&w, start + 59 * MINUTE), 90);
	/* The minute of the 90 is over; then that of the 50. */
	assert_int_equal(worst_get(&w, start + HOUR), 50);
	assert_int_equal(worst_get(&w, start + 62 * MINUTE), 0);
	/* A place is used again. */
	worst_note(&w, start + HOUR, 7);
	assert_int_equal(worst_get(&w, start + HOUR), 50);
	assert_int_equal(worst_get(&w, start + 3 * HOUR), 0);
	worst_note(&w, start, UINT64_MAX);
	assert_int_equal(worst_get(&w, start), UINT32_MAX);
	memset(&w, 0, sizeof(w));
	worst_note(&w, 0, 3);
	assert_int_equal(worst_get(&w, 0), 3);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(addresses_are_parsed_and_printed),
		cmocka_unit_test(socket_addresses_come_back),
		cmocka_unit_test(addresses_are_compared),
		cmocka_unit_test(ports_belong_to_nodes_and_shards),
		cmocka_unit_test(numbers_come_back),
		cmocka_unit_test(readers_stay_within),
		cmocka_unit_test(buffers_keep_their_limit),
		cmocka_unit_test(clocks_agree),
		cmocka_unit_test(counters_are_shared),
		cmocka_unit_test(hostile_worker_is_contained),
		cmocka_unit_test(counters_have_names),
		cmocka_unit_test(the_worst_of_an_hour_is_kept),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
