/*
 * Do both nodes have the same certificates? Administrators copy them, so no
 * record brings them over: each node says the fingerprint of every tls-profile
 * that its SIP worker has loaded, and both compare.
 */
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include "sbcd/base/log.h"
#include "sbcd/config/tls.h"
#include "sbcd/keeper/keeper_int.h"

_Static_assert((int)HA_PRINTS_MAX == (int)CONFIG_TLS_PROFILES_MAX,
	       "a fingerprint for each tls-profile");

/* Of another configuration they stand in another order. */
static bool comparable(const struct keeper *k)
{
	const struct roles *r = &k->roles;

	return r->ev.peer_left == HA_LEFT_NOT && r->ev.peer_known &&
	       r->peer.config_digest == k->config->digest;
}

void prints_turn(struct keeper *k)
{
	const struct config_tls *tls = k->config->tls;
	struct prints *p = &k->prints;
	const char *was = p->profile;
	size_t len = tls && comparable(k) ? tls->profiles_len : 0;

	p->profile = NULL;
	p->differ = 0;
	for (size_t i = 0; i < len; i++) {
		uint64_t peer = k->roles.peer.prints[i];

		if (!p->own[i] || !peer || p->own[i] == peer || p->differ++)
			continue;
		p->profile = tls->profiles[i].name;
		p->here = p->own[i];
		p->there = peer;
	}
	if (p->profile && !was)
		log_warn("event=sync in-sync=no reason=\"other certificates\" "
			 "tls-profile=%s own=%016" PRIx64 " peer=%016" PRIx64,
			 p->profile, p->here, p->there);
	else if (was && !p->profile)
		log_notice("event=sync in-sync=%s reason=\"%s\"",
			   k->roles.in_sync ? "yes" : "no",
			   comparable(k) ? "the same certificates"
					 : "the peer is not here to compare");
}

void prints_on_pong(struct keeper *k, const json_t *said)
{
	const json_t *list = json_object_get(said, "prints");

	for (size_t i = 0; i < HA_PRINTS_MAX; i++) {
		const char *hex = json_string_value(json_array_get(list, i));

		k->prints.own[i] = hex ? strtoull(hex, NULL, 16) : 0;
	}
	prints_turn(k);
}

bool prints_in_sync(const struct keeper *k)
{
	return k->roles.in_sync && !k->prints.differ;
}

void prints_reason(const struct keeper *k, char *buf, size_t size)
{
	const struct prints *p = &k->prints;

	if (k->roles.in_sync && p->differ)
		snprintf(buf, size,
			 "tls-profile %s: the peer has loaded another "
			 "certificate, trust list or CRL (show tls)",
			 p->profile);
	else
		snprintf(buf, size, "%s", k->roles.sync_reason);
}

char *prints_question(const struct keeper *k)
{
	json_t *list = json_array(), *question;
	char hex[17], *text;

	for (size_t i = 0; comparable(k) && i < HA_PRINTS_MAX; i++) {
		snprintf(hex, sizeof(hex), "%016" PRIx64,
			 k->roles.peer.prints[i]);
		json_array_append_new(
			list, json_string(k->roles.peer.prints[i] ? hex : ""));
	}
	question = json_pack("{s:s,s:o}", "cmd", "tls", "peer-prints", list);
	text = json_dumps(question, JSON_COMPACT);
	json_decref(question);
	return text;
}
