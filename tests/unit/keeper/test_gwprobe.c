/*
 * When gateways are asked, and what an answer is worth.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <cmocka.h>
#include "netif/probe.h"
#include "sbcd/base/clock.h"
#include "sbcd/keeper/gwprobe.h"

/* ---- the fakes ---------------------------------------------------------- */
static unsigned asked, asked_from;
static uint64_t heard_ms[2];
static uint64_t unread_at_ms; /* answers not read yet count as of then */

int netif_probe_create(struct netif_probe **out, const char *nic,
		       const struct netif_ip *gateways, size_t gateways_len)
{
	assert_int_equal(gateways_len, 2);
	*out = (struct netif_probe *)&asked;
	return 0;
}

void netif_probe_destroy(struct netif_probe *p)
{
}

size_t netif_probe_fds(const struct netif_probe *p,
		       int fds[NETIF_PROBE_FDS_MAX])
{
	return 0;
}

unsigned netif_probe_ask(struct netif_probe *p,
			 const uint8_t mac[NETIF_MAC_LEN],
			 const struct netif_ip *own, size_t own_len)
{
	asked++;
	asked_from = (unsigned)own_len;
	return 2;
}

void netif_probe_hear(struct netif_probe *p, uint64_t at_ms, unsigned budget)
{
	unread_at_ms = at_ms;
}

size_t netif_probe_len(const struct netif_probe *p)
{
	return 2;
}

uint64_t netif_probe_heard_ms(const struct netif_probe *p, size_t i)
{
	return heard_ms[i];
}

/* ---- tests -------------------------------------------------------------- */
enum { BEAT_MS = 10, LIMIT_MS = 20, NOW = 1000000 };

static void silence_makes_it_urgent_for_a_while(void **state)
{
	assert_false(gwprobe_urgent(NOW, 0, BEAT_MS));
	assert_false(gwprobe_urgent(NOW, NOW, BEAT_MS));
	assert_false(gwprobe_urgent(NOW, NOW - LIMIT_MS, BEAT_MS));
	assert_true(gwprobe_urgent(NOW, NOW - LIMIT_MS - 1, BEAT_MS));
	assert_true(gwprobe_urgent(NOW, NOW - 2999, BEAT_MS));
	/* A peer that is away for good. */
	assert_false(gwprobe_urgent(NOW, NOW - 3000, BEAT_MS));
}

static void old_answers_count_only_beside_a_peer(void **state)
{
	uint64_t floor = NOW - GWPROBE_LOST_MS;

	assert_true(gwprobe_since_ms(NOW, 0, BEAT_MS) == floor);
	assert_true(gwprobe_since_ms(NOW, NOW - 10, BEAT_MS) == floor);
	/* It fell silent: only questions asked because of that count. */
	assert_true(gwprobe_since_ms(NOW, NOW - 21, BEAT_MS) == NOW - 1);
	assert_true(gwprobe_since_ms(NOW, NOW - 3000, BEAT_MS) == NOW - 2980);
	assert_true(gwprobe_since_ms(NOW, NOW - 9000, BEAT_MS) == floor);
	assert_true(gwprobe_since_ms(100, 0, BEAT_MS) == 0);
}

static void asks_when_it_is_due(void **state)
{
	static const uint8_t mac[NETIF_MAC_LEN] = {2};
	struct config_nif *conf = calloc(1, sizeof(*conf));
	struct gwprobe *p;

	assert_non_null(conf);
	assert_int_equal(gwprobe_create(&p, NULL, conf, "svc"), 0);
	assert_null(p);
	assert_int_equal(gwprobe_len(p), 0);
	gwprobe_turn(p, NOW, true, mac, true);
	conf->gateways_len = conf->addrs_len = 2;
	for (int i = 0; i < 2; i++) {
		conf->gateways[i].family = ADDR_V4;
		conf->addrs[i].family = ADDR_V4;
	}
	assert_int_equal(gwprobe_create(&p, NULL, conf, "svc"), 0);
	gwprobe_turn(p, NOW, false, mac, false);
	assert_int_equal(asked, 1);
	assert_int_equal(asked_from, 0);
	gwprobe_turn(p, NOW + 999, false, mac, true);
	assert_int_equal(asked, 1);
	gwprobe_turn(p, NOW + 1000, false, mac, true);
	assert_int_equal(asked, 2);
	assert_int_equal(asked_from, 2);
	gwprobe_turn(p, NOW + 1019, true, mac, true);
	assert_int_equal(asked, 2);
	gwprobe_turn(p, NOW + 1020, true, mac, true);
	assert_int_equal(asked, 3);
	/* An answer that lay unread is one to the question before. */
	assert_true(unread_at_ms == NOW + 1000);
	/* One answered once. */
	heard_ms[1] = 500;
	assert_int_equal(gwprobe_answered(p, 499), 1);
	assert_int_equal(gwprobe_answered(p, 500), 0);
	assert_int_equal(gwprobe_answered(p, 0), 1);
	gwprobe_destroy(p);
	gwprobe_destroy(NULL);
	free(conf);
}

static void a_gateway_is_lost_after_its_time(void **state)
{
	struct config_nif *conf = calloc(1, sizeof(*conf));
	struct gwprobe *p;
	uint64_t start_ms;

	assert_non_null(conf);
	conf->gateways_len = 2;
	conf->gateways[0].family = conf->gateways[1].family = ADDR_V4;
	assert_int_equal(gwprobe_create(&p, NULL, conf, "svc"), 0);
	/* No earlier than this: the real clock has been read by then. */
	start_ms = clock_mono_ms();
	heard_ms[0] = heard_ms[1] = 0;
	assert_int_equal(gwprobe_lost(p, start_ms), 0);
	start_ms += GWPROBE_LOST_MS;
	assert_int_equal(gwprobe_lost(p, start_ms), 2);
	heard_ms[0] = start_ms - 10;
	assert_int_equal(gwprobe_lost(p, start_ms), 1);
	assert_int_equal(gwprobe_lost(p, start_ms + GWPROBE_LOST_MS), 2);
	gwprobe_destroy(p);
	free(conf);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(silence_makes_it_urgent_for_a_while),
		cmocka_unit_test(old_answers_count_only_beside_a_peer),
		cmocka_unit_test(asks_when_it_is_due),
		cmocka_unit_test(a_gateway_is_lost_after_its_time),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
