#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>
#include <cmocka.h>
#include "sbcd/keeper/health.h"

static struct health_facts well(void)
{
	return (struct health_facts){
		.corosync_up = true,
		.peer_present = true,
		.peer_in_sync = true,
		.ha_paths = 2,
		.ha_paths_alive = 2,
		.interfaces = 2,
		.service_paths_alive = 2,
		.sip_up = true,
		.media_up = true,
		.beat_realtime = true,
		.guard_up = true,
	};
}

static void a_well_node_has_all_points(void **state)
{
	struct health_facts f = well();
	struct health h;

	health_assess(&h, &f);
	assert_int_equal(h.score, 100);
	assert_int_equal(h.len, 0);
}

/* Each fact alone costs something under a name of its own. */
static void every_fact_counts(void **state)
{
	struct health_facts bad[25];
	const char *names[25];
	size_t n = 0;
	struct health h;

#define BAD(member, value, name)                                               \
	do {                                                                   \
		bad[n] = well();                                               \
		bad[n].member = (value);                                       \
		names[n++] = (name);                                           \
	} while (0)
	BAD(corosync_up, false, "corosync");
	BAD(peer_present, false, "peer");
	BAD(peer_in_sync, false, "sync");
	BAD(ha_paths_alive, 1, "ha-path");
	BAD(gateways_lost, 1, "gateway");
	BAD(conflicts, 1, "address-conflict");
	BAD(service_paths_alive, 1, "service-path");
	BAD(carriers_lost, 1, "link");
	BAD(unverified, 1, "interface");
	BAD(sip_up, false, "sip-worker");
	BAD(media_up, false, "media-worker");
	BAD(sip_storm, true, "sip-crashes");
	BAD(media_storm, true, "media-crashes");
	BAD(disk_stalled_ms, 2000, "disk");
	BAD(disk_failed, true, "disk");
	BAD(config_mismatch, true, "config");
	BAD(queue_percent, 80, "queue");
	BAD(commit_timeouts, true, "commit");
	BAD(guard_up, false, "guard");
	BAD(agents_down, 2, "agent");
	BAD(agent_groups_down, 1, "agent-group");
	BAD(witness_lost, true, "witness");
	BAD(clock_skewed, true, "clock");
	BAD(draining, true, "drain");
	BAD(maintenance, true, "maintenance");
	for (size_t i = 0; i < n; i++) {
		health_assess(&h, &bad[i]);
		assert_int_equal(h.len, 1);
		assert_string_equal(h.deductions[0].name, names[i]);
		assert_int_equal(h.score, 100 - h.deductions[0].points);
		assert_true(h.score < 100);
	}
}

/* To be seen, and nothing else. */
static void tls_is_an_alarm_without_points(void **state)
{
	struct health_facts f = well();
	struct health h;

	f.old_tls_ports = 2;
	health_assess(&h, &f);
	assert_int_equal(h.len, 1);
	assert_string_equal(h.deductions[0].name, "tls-version");
	assert_int_equal(h.score, 100);
	f.old_tls_ports = 0;
	f.certificate_ends = true;
	f.certificate_days = 12;
	health_assess(&h, &f);
	assert_int_equal(h.len, 1);
	assert_non_null(strstr(h.deductions[0].why, "in 12 days"));
	f.certificate_days = -1;
	health_assess(&h, &f);
	assert_string_equal(h.deductions[0].name, "certificate");
	assert_non_null(strstr(h.deductions[0].why, "has expired"));
	assert_int_equal(h.score, 100);
	f = well();
	f.prints_differ = "edge";
	f.prints_here = 0x0123456789abcdef;
	f.prints_there = 2;
	health_assess(&h, &f);
	assert_int_equal(h.len, 1);
	assert_non_null(strstr(h.deductions[0].why, "tls-profile edge "));
	assert_non_null(strstr(h.deductions[0].why, "0123456789abcdef here"));
	assert_non_null(strstr(h.deductions[0].why, "0000000000000002 there"));
	assert_int_equal(h.score, 100);
}

/* What the peer may not reach either moves nothing by itself. */
static void agents_alone_move_nothing(void **state)
{
	struct health_facts f = well();
	struct health h;

	f.agents_down = 1000;
	f.agent_groups_down = 1000;
	health_assess(&h, &f);
	assert_int_equal(h.score, 80);
	f.maintenance = true;
	health_assess(&h, &f);
	assert_int_equal(h.score, 0);
}

/* Against the defaults of health-threshold and health-margin: a network with
 * one gateway, which only the peer reaches, and one that nobody reaches. */
static void one_lost_gateway_is_enough(void **state)
{
	enum { THRESHOLD = 75, MARGIN = 15 };
	struct health_facts f = well();
	struct health own, peer;

	f.gateways = 2;
	f.service_paths_alive = 1;
	health_assess(&peer, &f);
	f.gateways_lost = 1;
	health_assess(&own, &f);
	assert_true(own.score < THRESHOLD);
	assert_true(peer.score >= own.score + MARGIN);
	health_assess(&peer, &f);
	assert_true(peer.score < own.score + MARGIN);
}

static void never_below_zero(void **state)
{
	struct health_facts f = {.ha_paths = 2, .interfaces = 9};
	struct health h;

	f.carriers_lost = 9;
	f.unverified = 9;
	health_assess(&h, &f);
	assert_int_equal(h.score, 0);
}

static void news_are_named(void **state)
{
	struct health_facts f = well();
	struct health before, now;

	f.peer_present = false;
	health_assess(&before, &f);
	assert_null(health_news(&before, &before));
	f.sip_up = false;
	health_assess(&now, &f);
	assert_string_equal(health_news(&before, &now)->name, "sip-worker");
	assert_null(health_news(&now, &before));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(a_well_node_has_all_points),
		cmocka_unit_test(every_fact_counts),
		cmocka_unit_test(tls_is_an_alarm_without_points),
		cmocka_unit_test(agents_alone_move_nothing),
		cmocka_unit_test(one_lost_gateway_is_enough),
		cmocka_unit_test(never_below_zero),
		cmocka_unit_test(news_are_named),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
