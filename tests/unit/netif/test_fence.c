/*
 * The fence token, said from the far side: on the service network as a frame,
 * on a link as a datagram. That something does not come is shown by what was
 * sent after it and does come.
 */
#include "netns.h"

#include "netif/ether.h"
#include "netif/gate.h"

enum { PORT = 5420, AT = 40, BEAT_BYTES = 80, TYPE = NETIF_GATE_EXEMPT_BEAT };

static const uint8_t VMAC[6] = {0x02, 0x5b, 0xc0, 0x00, 0x01, 0x01};
static const uint8_t OWN[6] = {0x52, 0x54, 0x00, 0x00, 0x00, 0x07};
static const uint8_t TOKEN[16] = {0, 1, 2, 3,  4,  5,  6,  7,
				  8, 9, 0, 11, 12, 13, 14, 255};
static const uint8_t NEXT[16] = {9, 9};

struct fixture {
	struct netif_gate *gate;
	int tx, cap;
};

static struct fixture fixture_new(void)
{
	struct netif_gate_nic nic = {.nic = "svc"};
	struct fixture f = {.tx = packet_open(true)};

	memcpy(nic.vmac, VMAC, 6);
	assert_int_equal(netif_gate_create(&f.gate, &nic, 1), 0);
	assert_int_equal(
		netif_gate_exempt(f.gate, NETIF_GATE_EXEMPT_BEAT, true), 0);
	assert_int_equal(netif_gate_watch(f.gate, AT), 0);
	assert_int_equal(netif_gate_arm(f.gate, TOKEN), 0);
	assert_int_equal(netif_gate_open(f.gate, 0), 0);
	/* A link that comes later is looked at from then on. */
	assert_int_equal(netif_gate_watch_link(f.gate, "mgmt", PORT), 0);
	f.cap = capture_open("peer");
	return f;
}

static void fixture_end(struct fixture *f)
{
	netif_gate_destroy(f->gate);
	close(f->tx);
	close(f->cap);
}

static bool vmac_passes(struct fixture *f, uint8_t mark)
{
	uint8_t buf[2048];
	size_t n;

	(void)frame_send(f->tx, "svc", VMAC, TEST_ETHERTYPE, mark);
	while ((n = capture_next(f->cap, buf, sizeof(buf), 20))) {
		if (is_mark(buf, n, &mark))
			return true;
	}
	return false;
}

/* A beat from the far side, with a token in its place. */
static void say_frame(const uint8_t token[16], uint16_t type, unsigned at)
{
	uint8_t beat[BEAT_BYTES] = {0}, group[6];
	struct sockaddr_storage to;
	socklen_t len;
	int fd;

	memcpy(beat + at, token, 16);
	netif_ether_group(1, group);
	ns_far();
	fd = netif_ether_open("peer", type, group, &to, &len);
	assert_true(fd >= 0);
	assert_int_equal(
		sendto(fd, beat, sizeof(beat), 0, (struct sockaddr *)&to, len),
		sizeof(beat));
	close(fd);
	ns_near();
}

static void say_datagram(const char *ip, uint16_t port, const uint8_t token[16])
{
	struct netif_ip to_ip = ip_of(ip);
	uint8_t beat[BEAT_BYTES] = {0};
	struct sockaddr_storage to;
	socklen_t len = netif_ip_to_sockaddr(&to_ip, port, &to);
	int fd;

	memcpy(beat + AT, token, 16);
	ns_far();
	fd = socket(to_ip.family, SOCK_DGRAM, 0);
	assert_true(fd >= 0);
	assert_int_equal(
		sendto(fd, beat, sizeof(beat), 0, (struct sockaddr *)&to, len),
		sizeof(beat));
	close(fd);
	ns_near();
}

static void wait_fenced(struct netif_gate *g)
{
	uint64_t end = now_us() + DEADLINE_MS * 1000;

	while (netif_gate_is_fenced(g) != 1) {
		if (now_us() > end)
			fail_msg("the token is not recognised");
	}
}

/* Says one that counts: then all that came in before have been looked at. */
static void all_looked_at(struct fixture *f, const uint8_t token[16])
{
	struct netif_gate_stats st;
	uint64_t end = now_us() + DEADLINE_MS * 1000, before;

	assert_int_equal(netif_gate_stats_get(f->gate, &st), 0);
	before = st.tokens;
	say_frame(token, TYPE, AT);
	while (st.tokens == before) {
		assert_int_equal(netif_gate_stats_get(f->gate, &st), 0);
		assert_true(now_us() < end);
	}
	/* Exactly the last one was it. */
	assert_int_equal(st.tokens, before + 1);
}

static void a_token_shuts_at_once(void **state)
{
	struct fixture f = fixture_new();
	const uint16_t beat = TYPE;
	uint8_t frame[2048];

	assert_true(vmac_passes(&f, 1));
	say_frame(TOKEN, TYPE, AT);
	wait_fenced(f.gate);
	assert_false(vmac_passes(&f, 2));
	assert_int_equal(netif_gate_is_open(f.gate), 0);
	/* Nobody opens it again: not the lease, not open. */
	assert_int_equal(netif_gate_renew(f.gate, 1000), 0);
	assert_false(vmac_passes(&f, 3));
	assert_int_equal(netif_gate_close(f.gate), 0);
	assert_int_equal(netif_gate_open(f.gate, 0), 0);
	assert_false(vmac_passes(&f, 4));
	/* It can still say what it is, once it has its own MAC again. */
	frame_send(f.tx, "svc", VMAC, TYPE, 5);
	frame_send(f.tx, "svc", OWN, TYPE, 6);
	assert_true(capture_wait(f.cap, is_ethertype, &beat, frame));
	assert_int_equal(frame[14], 6);
	fixture_end(&f);
}

static void a_link_carries_it_too(void **state)
{
	static const char *const to[] = {"192.168.9.1", "fd00:9::1"};

	for (int i = 0; i < 2; i++) {
		struct fixture f = fixture_new();

		assert_true(vmac_passes(&f, 1));
		say_datagram(to[i], PORT, TOKEN);
		wait_fenced(f.gate);
		assert_false(vmac_passes(&f, 2));
		fixture_end(&f);
	}
}

static void only_the_very_token_does(void **state)
{
	struct fixture f = fixture_new();
	uint8_t wrong[16];

	for (int i = 0; i < 16; i++) {
		memcpy(wrong, TOKEN, 16);
		wrong[i] ^= (uint8_t)(1 << (i & 7));
		say_frame(wrong, TYPE, AT);
		say_datagram("192.168.9.1", PORT, wrong);
	}
	memset(wrong, 0, sizeof(wrong));
	say_frame(wrong, TYPE, AT);
	say_frame(TOKEN, TYPE, AT + 1);
	say_frame(TOKEN, TYPE - 1, AT);
	say_datagram("192.168.9.1", PORT + 1, TOKEN);
	assert_int_equal(netif_gate_is_fenced(f.gate), 0);
	assert_true(vmac_passes(&f, 1));
	all_looked_at(&f, TOKEN);
	fixture_end(&f);
}

static void an_old_token_is_nothing(void **state)
{
	struct fixture f = fixture_new();

	say_frame(TOKEN, TYPE, AT);
	wait_fenced(f.gate);
	/* The role is over; a new one begins, with a new token. */
	assert_int_equal(netif_gate_close(f.gate), 0);
	assert_int_equal(netif_gate_arm(f.gate, NEXT), 0);
	assert_int_equal(netif_gate_is_fenced(f.gate), 0);
	assert_false(vmac_passes(&f, 1));
	assert_int_equal(netif_gate_open(f.gate, 0), 0);
	assert_true(vmac_passes(&f, 2));
	say_frame(TOKEN, TYPE, AT);
	say_datagram("192.168.9.1", PORT, TOKEN);
	assert_int_equal(netif_gate_is_fenced(f.gate), 0);
	all_looked_at(&f, NEXT);
	wait_fenced(f.gate);
	assert_false(vmac_passes(&f, 3));
	fixture_end(&f);
}

static void what_cannot_be_armed(void **state)
{
	static const uint8_t none[16];
	struct netif_gate_nic nic = {.nic = "svc"};
	struct netif_gate *g;

	assert_int_equal(netif_gate_create(&g, &nic, 1), 0);
	assert_int_equal(netif_gate_arm(g, TOKEN), -EINVAL);
	assert_int_equal(netif_gate_watch(g, AT), 0);
	assert_int_equal(netif_gate_watch_link(g, "nolink", PORT), -ENODEV);
	assert_int_equal(netif_gate_watch_link(g, "ev\"il", PORT), -EINVAL);
	assert_int_equal(netif_gate_arm(g, none), -EINVAL);
	assert_int_equal(netif_gate_arm(g, TOKEN), 0);
	netif_gate_destroy(g);
}

/* Another process finds it fenced, and a new start does not. */
static void it_outlives_the_handle(void **state)
{
	struct fixture f = fixture_new();
	struct netif_gate_nic nic = {.nic = "svc"};

	netif_gate_detach(f.gate);
	f.gate = NULL;
	say_frame(TOKEN, TYPE, AT);
	assert_int_equal(netif_gate_attach(&f.gate), 0);
	wait_fenced(f.gate);
	assert_false(vmac_passes(&f, 1));
	netif_gate_detach(f.gate);
	assert_int_equal(netif_gate_create(&f.gate, &nic, 1), 0);
	assert_int_equal(netif_gate_is_fenced(f.gate), 0);
	fixture_end(&f);
}

#define NET_TEST(f) cmocka_unit_test_setup_teardown(f, net_setup, net_teardown)

int main(void)
{
	const struct CMUnitTest tests[] = {
		NET_TEST(a_token_shuts_at_once),
		NET_TEST(a_link_carries_it_too),
		NET_TEST(only_the_very_token_does),
		NET_TEST(an_old_token_is_nothing),
		NET_TEST(what_cannot_be_armed),
		NET_TEST(it_outlives_the_handle),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
