/* Headers and checksums of what leaves through a raw socket. */
#include "media_test.h"

#include "sbcd/media/packet.h"

/* RFC 1071 word by word, the slow way. */
static uint16_t reference_sum(const uint8_t *p, size_t size, uint32_t sum)
{
	for (size_t i = 0; i < size; i++)
		sum += i % 2 ? p[i] : (uint32_t)p[i] << 8;
	while (sum >> 16)
		sum = (sum & 0xffff) + (sum >> 16);
	return (uint16_t)sum;
}

/* Sum over pseudo header, UDP header and payload: 0xffff when right. */
static uint16_t verify_udp(const uint8_t *packet, size_t headers,
			   const uint8_t *payload, size_t size)
{
	bool v6 = packet[0] >> 4 == 6;
	const uint8_t *udp = packet + headers - 8;
	uint8_t all[2048];
	size_t n = 0;
	size_t udp_size = 8 + size;

	memcpy(all, packet + (v6 ? 8 : 12), v6 ? 32 : 8);
	n += v6 ? 32 : 8;
	all[n++] = 0;
	all[n++] = 17;
	all[n++] = (uint8_t)(udp_size >> 8);
	all[n++] = (uint8_t)udp_size;
	memcpy(all + n, udp, 8);
	memcpy(all + n + 8, payload, size);
	return reference_sum(all, n + 8 + size, 0);
}

static void check(const char *from_ip, const char *to_ip, size_t size)
{
	struct addr from = addr_of(from_ip, 1), to = addr_of(to_ip, 40001);
	uint8_t out[PACKET_HEADER_MAX_BYTES], payload[1500];
	bool v6 = from.family == ADDR_V6;
	struct packet_headers h = {.from = &from,
				   .from_port = 20002,
				   .to = &to,
				   .tos = 0xb8,
				   .payload = payload,
				   .payload_size = size};
	size_t n;

	for (size_t i = 0; i < size; i++)
		payload[i] = (uint8_t)rand();
	n = packet_build_headers(out, &h);
	assert_int_equal(n, v6 ? 48 : 28);
	assert_int_equal(verify_udp(out, n, payload, size), 0xffff);
	assert_int_equal(out[n - 8] << 8 | out[n - 7], 20002);
	assert_int_equal(out[n - 6] << 8 | out[n - 5], 40001);
	assert_int_equal(out[n - 4] << 8 | out[n - 3], 8 + size);
	if (v6) {
		assert_int_equal(out[0] << 8 | out[1], 0x6b80);
		assert_int_equal(out[4] << 8 | out[5], 8 + size);
		assert_int_equal(out[6], 17);
		assert_int_equal(out[7], 64);
		return;
	}
	assert_int_equal(reference_sum(out, 20, 0), 0xffff);
	assert_int_equal(out[1], 0xb8);
	assert_int_equal(out[2] << 8 | out[3], 28 + size);
	assert_int_equal(out[8], 64);
	assert_int_equal(out[9], 17);
	assert_memory_equal(out + 12, from.ip, 4);
	assert_memory_equal(out + 16, to.ip, 4);
}

static void test_every_size(void **state)
{
	for (size_t size = 0; size <= 300; size++) {
		check("10.10.0.10", "10.10.0.50", size);
		check("fd00:10::10", "fd00:10::50", size);
	}
	check("10.10.0.10", "255.255.255.255", 1472);
	check("fd00:10::10", "ffff:ffff:ffff:ffff:ffff:ffff:ffff:ffff", 1452);
}

/* A sum of zero is sent as 0xffff: zero would say there is none. */
static void test_zero_checksum(void **state)
{
	struct addr from = addr_of("fd00::1", 0), to = addr_of("fd00::2", 9);
	uint8_t out[PACKET_HEADER_MAX_BYTES], payload[2] = {0, 0};
	struct packet_headers h = {.from = &from,
				   .from_port = 20000,
				   .to = &to,
				   .payload = payload,
				   .payload_size = 2};

	assert_int_equal(packet_build_headers(out, &h), 48);
	/* Make the payload what is missing to 0xffff: the checksum itself. */
	memcpy(payload, out + 46, 2);
	assert_int_equal(packet_build_headers(out, &h), 48);
	assert_int_equal(out[46] << 8 | out[47], 0xffff);
}

static void test_refused(void **state)
{
	struct addr v4 = addr_of("10.0.0.1", 1), v6 = addr_of("fd00::1", 1);
	struct addr none = {0};
	uint8_t out[PACKET_HEADER_MAX_BYTES], payload[1] = {0};
	struct packet_headers h = {
		.from = &v4, .to = &v6, .payload = payload, .payload_size = 1};

	assert_int_equal(packet_build_headers(out, &h), 0);
	h.from = &none;
	h.to = &none;
	assert_int_equal(packet_build_headers(out, &h), 0);
	h.from = &v4;
	h.to = &v4;
	h.payload_size = 65536;
	assert_int_equal(packet_build_headers(out, &h), 0);
}

static void test_sum_at_any_offset(void **state)
{
	uint8_t data[256];

	for (unsigned i = 0; i < sizeof(data); i++)
		data[i] = (uint8_t)(255 - i % 7);
	for (size_t off = 0; off < 9; off++) {
		for (size_t size = 0; size < 100; size++) {
			uint16_t sum = packet_sum_finish(
				packet_sum(0, data + off, size));
			uint16_t want = reference_sum(data + off, size, 0);

			sum = (uint16_t)(sum << 8 | sum >> 8);
			assert_int_equal((uint16_t)~sum, want);
		}
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_every_size),
		cmocka_unit_test(test_zero_checksum),
		cmocka_unit_test(test_refused),
		cmocka_unit_test(test_sum_at_any_offset),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
