/* OPTIONS to session agents: who answers is up. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "sbcd/base/clock.h"
#include "sbcd/base/log.h"
#include "sbcd/sip/sip_int.h"

struct ping {
	struct sip_worker *w;
	const struct config_agent *peer;
	struct sip_agent *a;
	nta_outgoing_t *orq;
	uint64_t next_ms; /* monotonic */
	bool known, up;
};

int pings_create(struct sip_worker *w)
{
	w->pings = calloc(w->config->agents_len ? w->config->agents_len : 1,
			  sizeof(*w->pings));
	return w->pings ? 0 : -1;
}

/* One after the other, so that they do not all go at once. */
void pings_start(struct sip_worker *w)
{
	uint64_t now = clock_mono_ms();

	for (size_t i = 0; i < w->config->agents_len; i++) {
		const struct config_agent *peer = &w->config->agents[i];
		struct ping *p = &w->pings[i];
		const struct config_sip_interface *sif =
			config_sip_interface_of_realm(w->config, peer->realm);

		if (!peer->ping_interval_s || !sif || p->next_ms)
			continue;
		p->w = w;
		p->peer = peer;
		p->a = agent_find(w, sif->name);
		p->next_ms =
			now + 100 + 20 * i % (1000 * peer->ping_interval_s);
	}
}

static void result(struct ping *p, bool up, int status)
{
	if (p->known && p->up == up)
		return;
	p->known = true;
	p->up = up;
	log_notice("event=session-agent agent=%s state=%s status=%d",
		   p->peer->name, up ? "up" : "down", status);
}

/* Any answer shows that somebody is there, but 408 and 503 are the stack's
 * words, or as good as that. */
static int on_response(struct txn *magic, nta_outgoing_t *orq, sip_t const *sip)
{
	struct ping *p = (struct ping *)magic;
	int status = nta_outgoing_status(orq);

	if (status < 200)
		return 0;
	result(p, status != 408 && status != 503, status);
	p->orq = NULL;
	nta_outgoing_destroy(orq);
	return 0;
}

static void make_dialog(const struct ping *p, struct rec_dialog *d,
			const char *own)
{
	const char *host = p->peer->host;
	bool bare6 = strchr(host, ':') && host[0] != '[';
	const struct token_key *key = b2bua_key(p->w->b2bua);
	uint64_t seed[2] = {clock_wall_ms(), (uint64_t)(uintptr_t)p};

	memset(d, 0, sizeof(*d));
	d->transport = p->peer->transport;
	d->peer = p->peer->address;
	snprintf(d->local_uri, sizeof(d->local_uri), "<sip:%s>", own);
	snprintf(d->remote_uri, sizeof(d->remote_uri),
		 bare6 ? "<sip:[%s]>" : "<sip:%s>", host);
	snprintf(d->remote_target, sizeof(d->remote_target),
		 bare6 ? "sip:[%s]:%u%s%s" : "sip:%s:%u%s%s", host,
		 p->peer->address.port ? p->peer->address.port : 5060,
		 d->transport == TRANSPORT_UDP ? "" : ";transport=",
		 d->transport == TRANSPORT_UDP ? ""
					       : transport_name(d->transport));
	snprintf(d->call_id, sizeof(d->call_id), "%016llx",
		 (unsigned long long)token_hash(key, seed, sizeof(seed)));
	seed[0]++;
	snprintf(d->local_tag, sizeof(d->local_tag), "%016llx",
		 (unsigned long long)token_hash(key, seed, sizeof(seed)));
}

static void send_ping(struct ping *p)
{
	struct call_send s = {.method = METHOD_OPTIONS, .cseq = 1};
	struct rec_dialog d;
	struct next_hop hop = {.addr = p->peer->address,
			       .transport = p->peer->transport};
	char own[ADDR_TEXT_SIZE], branch[40];
	msg_t *msg;

	if (message_local_host(p->a, hop.addr.family, own, sizeof(own)))
		return;
	if (!hop.addr.port)
		hop.addr.port = 5060;
	make_dialog(p, &d, own);
	snprintf(branch, sizeof(branch), "z9hG4bK%.16s%.16s", d.call_id,
		 d.local_tag);
	msg = message_request(p->a, &d, &s, &hop, NULL);
	if (!msg)
		return;
	p->orq = message_send(p->a, msg, &hop, on_response, (struct txn *)p,
			      branch);
	if (!p->orq)
		msg_destroy(msg);
}

void pings_turn(struct sip_worker *w, uint64_t now_ms)
{
	for (size_t i = 0; i < w->config->agents_len; i++) {
		struct ping *p = &w->pings[i];

		if (!p->next_ms || p->next_ms > now_ms)
			continue;
		/* One at a time: the last may still be unanswered. */
		if (!p->orq)
			send_ping(p);
		p->next_ms = now_ms + 1000 * p->peer->ping_interval_s;
	}
}

/* A group is the agents of a realm: it is down when nobody in it answers. */
json_t *pings_summary(const struct sip_worker *w)
{
	const struct config *c = w->config;
	int known = 0, down = 0, groups_down = 0;

	for (size_t r = 0; r < c->realms_len; r++) {
		int up = 0, silent = 0;

		for (size_t i = 0; i < c->agents_len; i++) {
			const struct ping *p = &w->pings[i];

			if (!p->known || c->agents[i].realm != &c->realms[r])
				continue;
			up += p->up;
			silent += !p->up;
		}
		known += up + silent;
		down += silent;
		groups_down += silent && !up;
	}
	return json_pack("{s:i,s:i,s:i}", "agents", known, "down", down,
			 "groups-down", groups_down);
}

json_t *pings_json(const struct sip_worker *w)
{
	json_t *list = json_array();

	for (size_t i = 0; i < w->config->agents_len; i++) {
		const struct ping *p = &w->pings[i];

		json_array_append_new(list, json_pack("{s:s,s:s}", "agent",
						      w->config->agents[i].name,
						      "state",
						      !p->known ? "unknown"
						      : p->up	? "up"
								: "down"));
	}
	return list;
}

void pings_destroy(struct sip_worker *w)
{
	for (size_t i = 0; w->pings && i < w->config->agents_len; i++)
		if (w->pings[i].orq)
			nta_outgoing_destroy(w->pings[i].orq);
	free(w->pings);
	w->pings = NULL;
}
