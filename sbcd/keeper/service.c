/*
 * What people, and the node's health, want of this node: in service, draining
 * or in maintenance; and when the active one hands over by itself.
 */
#include <limits.h>
#include <stdio.h>
#include <string.h>
#include "sbcd/base/clock.h"
#include "sbcd/base/log.h"
#include "sbcd/keeper/files.h"
#include "sbcd/keeper/keeper_int.h"

enum {
	/* So soon after a GO a claim is its answer. */
	GO_FRESH_MS = 5000,
};

static const char *const names[] = {
	[SERVICE_ON] = "in-service",
	[SERVICE_DRAIN] = "drain",
	[SERVICE_MAINTENANCE] = "maintenance",
};

static const char *const reasons[] = {
	[BALANCE_STAY] = "",
	[BALANCE_DRAIN] = "this node drains",
	[BALANCE_HEALTH] = "the peer is healthier",
	[BALANCE_FAIL_BACK] = "fail-back to the preferred node",
};

const char *service_name(enum service_state s)
{
	return names[s];
}

int service_load(struct keeper *k)
{
	char text[32];

	files_read_service(k, text, sizeof(text));
	text[strcspn(text, "\r\n")] = '\0';
	for (int s = SERVICE_DRAIN; s <= SERVICE_MAINTENANCE; s++) {
		if (strcmp(text, names[s]) != 0)
			continue;
		k->service.state = (enum service_state)s;
		log_notice("event=service state=%s: as before", text);
	}
	return 0;
}

static void on_written(void *ctx, int err, uint64_t took_us)
{
	if (err)
		log_err("event=service-not-written error=\"%s\"",
			strerror(-err));
}

static void set(struct keeper *k, enum service_state s, const char *why)
{
	char path[PATH_MAX], text[32];
	int err;

	if (k->service.state == s)
		return;
	log_notice("event=service from=%s to=%s reason=\"%s\"",
		   names[k->service.state], names[s], why);
	timeline_add(&k->timeline, names[s], why);
	k->service.state = s;
	files_service_path(k, path, sizeof(path));
	snprintf(text, sizeof(text), "%s\n", names[s]);
	err = disk_write_file(k->disk, path, text, strlen(text), on_written, k);
	if (err)
		on_written(k, err, 0);
	service_tell(k);
}

const char *service_set(struct keeper *k, enum service_state s)
{
	if (s == SERVICE_MAINTENANCE && k->roles.role != HA_ROLE_STANDBY &&
	    k->roles.role != HA_ROLE_SYNCING && k->roles.role != HA_ROLE_INIT &&
	    k->roles.role != HA_ROLE_FAULT)
		return "this node is active (drain it first)";
	set(k, s, "asked by the operator");
	return NULL;
}

void service_tell(struct keeper *k)
{
	struct link_message m = {
		.type = LINK_DRAIN,
		.token = k->service.state != SERVICE_ON,
	};
	int err = workers_send(k->workers, HUB_SIP, &m);

	/* One that is not there is told when it starts. */
	if (err && workers_running(k->workers, HUB_SIP))
		log_warn("event=drain-unsent error=\"%s\"", strerror(-err));
}

bool service_may_claim(struct keeper *k)
{
	if (k->service.state != SERVICE_MAINTENANCE)
		return true;
	if (!k->roles.ev.peer_go) {
		log_rated(LOG_ERR, "event=no-claim: in maintenance (sbcctl "
				   "maintenance off)");
		return false;
	}
	/* Nobody hands over to a node in maintenance but by force. */
	set(k, SERVICE_ON, "forced to take over");
	return true;
}

bool service_peer_out(const struct keeper *k)
{
	const struct roles *r = &k->roles;

	return r->ev.peer_known && r->ev.peer_left == HA_LEFT_NOT &&
	       !r->peer.health && k->health.score;
}

void service_turn(struct keeper *k)
{
	const struct config_cluster *c = &k->config->cluster;
	const struct roles *r = &k->roles;
	uint64_t now_ms = clock_mono_ms();
	const struct balance_rules rules = {
		.threshold = c->health_threshold,
		.margin = c->health_margin,
		.hold_down_ms = c->hold_down_ms,
		.fail_back = c->preferred[0] &&
			     strcmp(c->preferred, k->node.name) != 0,
	};
	const struct balance_facts facts = {
		.now_ms = now_ms,
		.active = r->role == HA_ROLE_ACTIVE,
		.draining = k->service.state != SERVICE_ON,
		.peer_ready = r->ev.peer_known && r->in_sync &&
			      r->ev.peer_left == HA_LEFT_NOT &&
			      r->peer.role == HA_ROLE_STANDBY && r->peer.health,
		.unlike = k->prints.differ > 0,
		.moved = k->service.go_ms &&
			 now_ms - k->service.go_ms < GO_FRESH_MS,
		.own = k->health.score,
		.peer = r->peer.health,
	};
	enum balance_why why =
		balance_step(&k->service.balance, &rules, &facts);
	const char *refused;

	if (why == BALANCE_STAY)
		return;
	log_notice("event=balance reason=\"%s\" own-health=%u "
		   "peer-health=%u",
		   reasons[why], facts.own, facts.peer);
	refused = handover_begin(k, reasons[why], false);
	if (refused)
		log_warn("event=switchover-refused why=\"%s\"", refused);
}
