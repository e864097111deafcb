/*
 * health - 100 minus named deductions: what is wrong with this node, in
 * points that nodes compare and people read. Pure.
 *
 * Layer: keeper. Main thread.
 */
#ifndef SBCD_KEEPER_HEALTH_H
#define SBCD_KEEPER_HEALTH_H

#include <jansson.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum { HEALTH_DEDUCTIONS_MAX = 29, HEALTH_WHY_SIZE = 192 };

/* What is known. */
struct health_facts {
	bool corosync_up, peer_present, peer_in_sync;
	unsigned ha_paths, ha_paths_alive;
	unsigned service_paths_alive; /* of `interfaces` */
	unsigned interfaces, carriers_lost, unverified;
	unsigned gateways, gateways_lost;
	unsigned conflicts; /* interfaces with a stranger on our address */
	bool sip_up, media_up; /* running and replayed */
	bool sip_storm, media_storm;
	uint64_t disk_stalled_ms;
	bool disk_failed;
	int cdr_error; /* of the CDR files, 0 = none */
	size_t cdr_waiting;
	bool config_mismatch;
	unsigned queue_percent; /* fullest of our queues */
	bool beat_realtime;
	bool commit_timeouts; /* in the last seconds */
	bool guard_up;
	bool witness_lost; /* there should be one, and it casts no vote */
	bool clock_skewed; /* the nodes' system clocks differ ... */
	int64_t clock_skew_ms; /* ... the peer's minus ours */
	bool draining, maintenance;
	unsigned agents_down, agent_groups_down; /* of those pinged */
	unsigned old_tls_ports; /* that take what is below TLS 1.2 */
	const char *prints_differ; /* tls-profile that is another on the peer */
	uint64_t prints_here, prints_there;
	/* The first of our certificates runs out in less than a month. */
	bool certificate_ends;
	int certificate_days; /* below 0: it has */
};

struct health_deduction {
	const char *name;
	unsigned points;
	char why[HEALTH_WHY_SIZE];
};

struct health {
	unsigned score;
	size_t len;
	struct health_deduction deductions[HEALTH_DEDUCTIONS_MAX];
};

void health_assess(struct health *out, const struct health_facts *f);
/* {"score", "deductions": [{"name", "points", "why"}]} */
json_t *health_to_json(const struct health *h);
/* Name of the first deduction in `now` that was not in `before`, NULL. */
const struct health_deduction *health_news(const struct health *before,
					   const struct health *now);

#endif
