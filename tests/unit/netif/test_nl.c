/*
 * The netlink adapter: every answer of a full request, the kernel's own
 * errno, nothing sent of what could not be built, malformed messages.
 */
#include "netns.h"

#include <linux/fib_rules.h>
#include <linux/neighbour.h>

#include "netif/nl.h"

static int svc_index(void)
{
	return (int)if_nametoindex("svc");
}

static void neigh_put(struct netif_nlreq *req, int type, uint8_t last)
{
	static const uint8_t mac[6] = {2, 0, 0, 0, 0, 1};
	const uint8_t ip[4] = {10, 10, 0, last};
	const struct ndmsg ndm = {
		.ndm_family = AF_INET,
		.ndm_ifindex = svc_index(),
		.ndm_state = NUD_PERMANENT,
	};

	netif_nlreq_begin(req, type,
			  type == RTM_NEWNEIGH ? NLM_F_CREATE | NLM_F_EXCL : 0,
			  &ndm, sizeof(ndm));
	netif_nlreq_put(req, NDA_DST, ip, sizeof(ip));
	if (type == RTM_NEWNEIGH)
		netif_nlreq_put(req, NDA_LLADDR, mac, sizeof(mac));
}

/* Removing a route that is not there. */
static void no_route_put(struct netif_nlreq *req)
{
	const struct rtmsg rt = {
		.rtm_family = AF_INET,
		.rtm_dst_len = 32,
		.rtm_table = 200,
	};
	const uint8_t ip[4] = {192, 0, 2, 1};

	netif_nlreq_begin(req, RTM_DELROUTE, 0, &rt, sizeof(rt));
	netif_nlreq_put(req, RTA_DST, ip, sizeof(ip));
}

/* Removing a rule that is not there. */
static void no_rule_put(struct netif_nlreq *req)
{
	const struct fib_rule_hdr rule = {.family = AF_INET};

	netif_nlreq_begin(req, RTM_DELRULE, 0, &rule, sizeof(rule));
	netif_nlreq_put_u32(req, FRA_PRIORITY, 31000);
}

static int permanent_neighs(void)
{
	return lines_of("ip neigh show dev svc nud permanent");
}

static void all_answers_of_a_full_request(void **state)
{
	struct netif_nlreq req;
	struct netif_nl nl;

	assert_int_equal(netif_nl_open(&nl, false), 0);
	netif_nlreq_init(&req);
	for (unsigned i = 0; i < NETIF_NLREQ_MSGS_MAX; i++) {
		assert_false(netif_nlreq_is_full(&req));
		neigh_put(&req, RTM_NEWNEIGH, (uint8_t)(i + 1));
	}
	assert_true(netif_nlreq_is_full(&req));
	assert_int_equal(netif_nl_run(&nl, &req), 0);
	assert_int_equal(permanent_neighs(), NETIF_NLREQ_MSGS_MAX);
	/* Empty again. Only the last one is new. */
	req.fine[1] = -EEXIST;
	for (unsigned i = 1; i <= NETIF_NLREQ_MSGS_MAX; i++)
		neigh_put(&req, RTM_NEWNEIGH, (uint8_t)(i + 1));
	assert_int_equal(netif_nl_run(&nl, &req), 0);
	assert_int_equal(permanent_neighs(), NETIF_NLREQ_MSGS_MAX + 1);
	netif_nl_close(&nl);
}

static void errno_is_the_kernels(void **state)
{
	struct netif_nlreq req;
	struct netif_nl nl;

	assert_int_equal(netif_nl_open(&nl, false), 0);
	netif_nlreq_init(&req);
	no_route_put(&req);
	assert_int_equal(netif_nl_run(&nl, &req), -ESRCH);
	no_rule_put(&req);
	assert_int_equal(netif_nl_run(&nl, &req), -ENOENT);
	/* The first error, whatever follows, and what follows is done. */
	neigh_put(&req, RTM_NEWNEIGH, 1);
	no_route_put(&req);
	no_rule_put(&req);
	neigh_put(&req, RTM_NEWNEIGH, 2);
	assert_int_equal(netif_nl_run(&nl, &req), -ESRCH);
	assert_int_equal(permanent_neighs(), 2);
	/* What is fine is passed over. */
	req.fine[0] = -ESRCH;
	no_route_put(&req);
	no_rule_put(&req);
	assert_int_equal(netif_nl_run(&nl, &req), -ENOENT);
	netif_nl_close(&nl);
}

static void nothing_sent_of_a_broken_request(void **state)
{
	const uint8_t big[300] = {0};
	struct netif_nlreq req;
	struct netif_nl nl;

	assert_int_equal(netif_nl_open(&nl, false), 0);
	netif_nlreq_init(&req);
	assert_int_equal(netif_nl_run(&nl, &req), 0);
	neigh_put(&req, RTM_NEWNEIGH, 1);
	netif_nlreq_put(&req, NDA_LLADDR, big, sizeof(big));
	neigh_put(&req, RTM_NEWNEIGH, 2);
	assert_int_equal(netif_nl_run(&nl, &req), -EMSGSIZE);
	for (unsigned i = 0; i <= NETIF_NLREQ_MSGS_MAX; i++)
		neigh_put(&req, RTM_NEWNEIGH, (uint8_t)(i + 1));
	assert_int_equal(netif_nl_run(&nl, &req), -EMSGSIZE);
	assert_int_equal(permanent_neighs(), 0);
	/* And it can be used again. */
	neigh_put(&req, RTM_NEWNEIGH, 1);
	assert_int_equal(netif_nl_run(&nl, &req), 0);
	netif_nl_close(&nl);
}

static void dump_start(void *arg)
{
}

static void dump_each(void *arg, struct nlmsghdr *nlh)
{
	++*(unsigned *)arg;
}

static void dump_error_is_seen(void **state)
{
	struct ifaddrmsg ifa = {.ifa_family = AF_INET,
				.ifa_index = (unsigned)svc_index()};
	unsigned seen = 0;
	const struct netif_nl_dump dump = {dump_start, dump_each, &seen};
	struct netif_nlreq req;
	struct netif_nl nl;

	sh("ip addr add 10.10.0.10/24 dev svc");
	assert_int_equal(netif_nl_open(&nl, false), 0);
	netif_nlreq_init(&req);
	netif_nlreq_begin(&req, RTM_GETADDR, NLM_F_DUMP, &ifa, sizeof(ifa));
	assert_int_equal(netif_nl_dump(&nl, &req, &dump), 0);
	assert_int_equal(seen, 1);
	ifa.ifa_index = 9999;
	netif_nlreq_begin(&req, RTM_GETADDR, NLM_F_DUMP, &ifa, sizeof(ifa));
	assert_int_equal(netif_nl_dump(&nl, &req, &dump), -ENODEV);
	netif_nl_close(&nl);
}

static void malformed_links(void **state)
{
	const struct ifinfomsg ifi = {.ifi_index = 7};
	const uint8_t mac[20] = {1, 2, 3, 4, 5, 6, 7};
	char buf[256];
	struct nlmsghdr *nlh = (void *)buf;
	struct netif_link l = {.ifindex = -1};
	struct netif_nlreq req;
	uint32_t full;

	memset(buf, 0, sizeof(buf));
	netif_nlreq_init(&req);
	netif_nlreq_begin(&req, RTM_NEWLINK, 0, &ifi, sizeof(ifi));
	/* As of a link that is no Ethernet. */
	netif_nlreq_put(&req, IFLA_ADDRESS, mac, sizeof(mac));
	netif_nlreq_put(&req, IFLA_IFNAME, "fifteen-letters", 16);
	assert_int_equal(req.err, 0);
	full = nlmsg_hdr(req.msgs[0])->nlmsg_len;
	memcpy(buf, nlmsg_hdr(req.msgs[0]), full);
	assert_true(netif_nl_link_parse(nlh, &l));
	assert_int_equal(l.ifindex, 7);
	assert_int_equal(l.mac[0], 0);
	assert_string_equal(l.name, "fifteen-letters");
	/* Cut anywhere: refused, or what is whole. */
	for (uint32_t len = 0; len < full; len++) {
		nlh->nlmsg_len = len;
		l.ifindex = -1;
		if (netif_nl_link_parse(nlh, &l))
			assert_int_equal(l.name[0], 0);
		else
			assert_int_equal(l.ifindex, -1);
		if (len < NLMSG_HDRLEN + sizeof(ifi))
			assert_int_equal(l.ifindex, -1);
	}
	/* A name without its end. */
	nlh->nlmsg_len = full;
	buf[full - 1] = 'x';
	l.ifindex = -1;
	assert_false(netif_nl_link_parse(nlh, &l));
	assert_int_equal(l.ifindex, -1);
	req.err = -EMSGSIZE;
	assert_int_equal(netif_nl_run(NULL, &req), -EMSGSIZE);
}

#define NET_TEST(f) cmocka_unit_test_setup_teardown(f, net_setup, net_teardown)

int main(void)
{
	const struct CMUnitTest tests[] = {
		NET_TEST(all_answers_of_a_full_request),
		NET_TEST(errno_is_the_kernels),
		NET_TEST(nothing_sent_of_a_broken_request),
		NET_TEST(dump_error_is_seen),
		cmocka_unit_test(malformed_links),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
