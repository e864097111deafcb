/*
 * A stranger claims addresses of ours, in each way there is; and frames about
 * them that claim nothing.
 */
#include "netns.h"

#include "netif/conflict.h"
#include "netif/frame.h"

static const uint8_t OWN[6] = {0x02, 0x5b, 0xc0, 0, 1, 1};
static const uint8_t STRANGER[6] = {0x52, 0x54, 0, 0, 0, 9};
static const uint8_t NOBODY[16];

struct heard {
	unsigned claims[3];
	uint8_t mac[6];
};

static struct netif_ip addrs[3];
static struct netif_conflict *ears;
static struct heard heard;

static int setup(void **state)
{
	if (net_setup(state))
		return -1;
	addrs[0] = ip_of("10.10.0.10");
	addrs[1] = ip_of("10.10.0.11");
	addrs[2] = ip_of("fd00:10::10");
	memset(&heard, 0, sizeof(heard));
	return netif_conflict_create(&ears, "svc", addrs, 3);
}

static int teardown(void **state)
{
	netif_conflict_destroy(ears);
	return net_teardown(state);
}

static void on_claim(void *ctx, size_t i, const uint8_t mac[6])
{
	struct heard *h = ctx;

	h->claims[i]++;
	memcpy(h->mac, mac, 6);
}

/* Frames arrive in order: one that claims address 1 ends the wait. */
static void hear_all(void)
{
	uint64_t end = now_us() + DEADLINE_MS * 1000;
	unsigned before = heard.claims[1];
	uint8_t f[NETIF_FRAME_MAX_BYTES];

	say_far(f, netif_frame_arp(f, STRANGER, NETIF_ARP_REPLY, addrs[1].bytes,
				   addrs[1].bytes));
	while (heard.claims[1] == before) {
		netif_conflict_hear(ears, OWN, 16, on_claim, &heard);
		if (now_us() > end)
			fail_msg("the last frame is not heard");
	}
	heard.claims[1] = before;
}

static void expect(unsigned v4, unsigned v6)
{
	/* Of each family its own socket: what came before is there by now. */
	hear_all();
	netif_conflict_hear(ears, OWN, 16, on_claim, &heard);
	assert_int_equal(heard.claims[0], v4);
	assert_int_equal(heard.claims[1], 0);
	assert_int_equal(heard.claims[2], v6);
}

static void every_claim(void **state)
{
	static const uint8_t all[16] = {0xff, 2, [15] = 1};
	uint8_t f[NETIF_FRAME_MAX_BYTES];

	say_far(f, netif_frame_arp(f, STRANGER, NETIF_ARP_REPLY, addrs[0].bytes,
				   addrs[0].bytes));
	expect(1, 0);
	say_far(f, netif_frame_arp(f, STRANGER, NETIF_ARP_REQUEST,
				   addrs[0].bytes, ip_of("10.10.0.1").bytes));
	expect(2, 0);
	say_far(f, netif_frame_nd(f, STRANGER, NETIF_ND_ADVERT, addrs[2].bytes,
				  all, addrs[2].bytes));
	expect(2, 1);
	/* Looks whether it is free, to take it. */
	say_far(f, netif_frame_solicit(f, STRANGER, NOBODY, addrs[2].bytes));
	expect(2, 2);
	assert_memory_equal(heard.mac, STRANGER, 6);
}

static void no_claim(void **state)
{
	static const uint8_t all[16] = {0xff, 2, [15] = 1};
	const struct netif_ip other = ip_of("10.10.0.77");
	const struct netif_ip other6 = ip_of("fd00:10::77");
	uint8_t f[NETIF_FRAME_MAX_BYTES];
	size_t size;

	/* The pair itself. */
	say_far(f, netif_frame_arp(f, OWN, NETIF_ARP_REPLY, addrs[0].bytes,
				   addrs[0].bytes));
	say_far(f, netif_frame_nd(f, OWN, NETIF_ND_ADVERT, addrs[2].bytes, all,
				  addrs[2].bytes));
	/* Somebody who asks for us, or looks whether the address is free. */
	say_far(f, netif_frame_arp(f, STRANGER, NETIF_ARP_REQUEST, other.bytes,
				   addrs[0].bytes));
	say_far(f, netif_frame_arp(f, STRANGER, NETIF_ARP_REQUEST, NOBODY,
				   other.bytes));
	say_far(f,
		netif_frame_solicit(f, STRANGER, other6.bytes, addrs[2].bytes));
	/* Another address, half a frame, one that came over a router. */
	say_far(f, netif_frame_arp(f, STRANGER, NETIF_ARP_REPLY, other.bytes,
				   other.bytes));
	size = netif_frame_arp(f, STRANGER, NETIF_ARP_REPLY, addrs[0].bytes,
			       addrs[0].bytes);
	say_far(f, 14 + 20);
	assert_true(size > 14 + 20);
	size = netif_frame_nd(f, STRANGER, NETIF_ND_ADVERT, addrs[2].bytes, all,
			      addrs[2].bytes);
	f[14 + 7] = 64;
	say_far(f, size);
	expect(0, 0);
}

static void bad_lists(void **state)
{
	struct netif_ip none = {0};
	struct netif_conflict *c;

	assert_int_equal(netif_conflict_create(&c, "svc", addrs, 0), -EINVAL);
	assert_int_equal(netif_conflict_create(&c, "svc", addrs, 17), -EINVAL);
	assert_int_equal(netif_conflict_create(&c, "svc", &none, 1), -EINVAL);
	assert_int_equal(netif_conflict_create(&c, "nil", addrs, 3), -ENODEV);
}

#define T(f) cmocka_unit_test_setup_teardown(f, setup, teardown)

int main(void)
{
	const struct CMUnitTest tests[] = {
		T(every_claim),
		T(no_claim),
		T(bad_lists),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
