/*
 * Text forms of addresses.
 */
#include "netns.h"

static void ip_round_trip(void **state)
{
	static const char *const same[] = {"10.10.0.10/24", "0.0.0.0/0",
					   "fd00:10::10/64", "::/0",
					   "255.255.255.255/32"};
	char buf[NETIF_IP_STRLEN];

	for (size_t i = 0; i < sizeof(same) / sizeof(same[0]); i++) {
		struct netif_ip ip = ip_of(same[i]);

		assert_string_equal(netif_ip_format(&ip, buf, sizeof(buf)),
				    same[i]);
	}
	assert_int_equal(ip_of("10.0.0.1").prefix, 32);
	assert_int_equal(ip_of("fe80::1").prefix, 128);
}

static void ip_refused(void **state)
{
	static const char *const bad[] = {
		"",
		"10.0.0",
		"10.0.0.1/33",
		"10.0.0.1/",
		"10.0.0.1/+1",
		"10.0.0.1/2x",
		"fd00::1/129",
		"fe80::1%eth0",
		"example.net",
		"::1/0128",
		"1.2.3.4/24/24",
		"/24",
		"10.0.0.1 ",
		"0x0a.0.0.1",
		"fd00:10::10::/64",
		"ffff:ffff:ffff:ffff:ffff:ffff:ffff:ffff:ffff:ffff:ffff"};
	struct netif_ip ip = {.family = 77};

	for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
		if (netif_ip_parse(&ip, bad[i]) != -EINVAL)
			fail_msg("accepted \"%s\"", bad[i]);
	}
	assert_int_equal(ip.family, 77);
}

static void ip_compare(void **state)
{
	struct netif_ip a = ip_of("10.0.0.1/24"), b = ip_of("10.0.0.1/25"),
			c = ip_of("10.0.0.2/24"), d = ip_of("a00:1::/24");

	assert_true(netif_ip_same_host(&a, &b));
	assert_false(netif_ip_equal(&a, &b));
	assert_false(netif_ip_same_host(&a, &c));
	assert_false(netif_ip_same_host(&a, &d));
}

static void ip_sockaddr(void **state)
{
	struct netif_ip a = ip_of("10.0.0.1"), b = ip_of("fd00::1"), none = {0};
	struct sockaddr_storage ss;
	const struct sockaddr_in *in = (void *)&ss;
	const struct sockaddr_in6 *in6 = (void *)&ss;

	assert_int_equal(netif_ip_to_sockaddr(&a, 5060, &ss), sizeof(*in));
	assert_int_equal(ntohs(in->sin_port), 5060);
	assert_int_equal(ntohl(in->sin_addr.s_addr), 0x0a000001);
	assert_int_equal(netif_ip_to_sockaddr(&b, 5061, &ss), sizeof(*in6));
	assert_int_equal(ntohs(in6->sin6_port), 5061);
	assert_int_equal(in6->sin6_addr.s6_addr[15], 1);
	assert_int_equal(netif_ip_to_sockaddr(&none, 1, &ss), 0);
}

static void mac_text(void **state)
{
	static const char *const bad[] = {"",
					  "02:5b:c0:00:01",
					  "02:5b:c0:00:01:0",
					  "02:5b:c0:00:01:01:",
					  "02:5b:c0:00:01:0g",
					  "025bc0000101",
					  "02 5b c0 00 01 01"};
	const uint8_t want[6] = {0x02, 0x5b, 0xc0, 0, 1, 1};
	uint8_t mac[6] = {0}, multicast[6] = {1}, zero[6] = {0};
	char buf[NETIF_MAC_STRLEN];

	assert_int_equal(netif_mac_parse(mac, "02:5B:c0-00-01:01"), 0);
	assert_memory_equal(mac, want, 6);
	assert_string_equal(netif_mac_format(mac, buf, sizeof(buf)),
			    "02:5b:c0:00:01:01");
	for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++)
		assert_int_equal(netif_mac_parse(mac, bad[i]), -EINVAL);
	assert_memory_equal(mac, want, 6);
	assert_true(netif_mac_is_usable(want));
	assert_false(netif_mac_is_usable(multicast));
	assert_false(netif_mac_is_usable(zero));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(ip_round_trip), cmocka_unit_test(ip_refused),
		cmocka_unit_test(ip_compare),	 cmocka_unit_test(ip_sockaddr),
		cmocka_unit_test(mac_text),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
