/*
 * Who becomes active has no connection to anybody: those of the node before
 * are dead. It opens one to every session agent that has TCP or TLS, pinged
 * or not, before there is something to send. An agent that does not take it
 * is asked again, each time after twice as long, and then left alone until
 * there is something to send.
 */
#include <stdio.h>
#include <stdlib.h>

#include "sbcd/base/log.h"
#include "sbcd/sip/sip_int.h"
#include "sbcd/sip/tls_conn.h"
#include "sbcd/sip/tls_links.h"
#include "sbcd/sip/tport_tls.h"

enum {
	WAIT_FIRST_MS = 100, /* then twice as long each time */
	TRIES_MAX = 10, /* 51 s in all */
	AT_ONCE = 16, /* in a turn: a handshake costs us a millisecond */
};

struct reconnect {
	uint64_t next_ms; /* monotonic; 0 = done */
	uint32_t wait_ms;
	unsigned tries;
};

int reconnect_create(struct sip_worker *w)
{
	w->reconnects =
		calloc(w->config->agents_len ? w->config->agents_len : 1,
		       sizeof(*w->reconnects));
	return w->reconnects ? 0 : -1;
}

void reconnect_start(struct sip_worker *w, uint64_t now_ms)
{
	for (size_t i = 0; i < w->config->agents_len; i++)
		if (w->config->agents[i].transport != TRANSPORT_UDP)
			w->reconnects[i] = (struct reconnect){
				.next_ms = now_ms,
				.wait_ms = WAIT_FIRST_MS,
			};
}

/* The stack's: a connection, or the port of ours it would connect from. */
static tport_t *look_up(struct sip_worker *w, const struct config_agent *peer)
{
	char host[ADDR_TEXT_SIZE], port[8];
	const struct config_sip_interface *sif =
		config_sip_interface_of_realm(w->config, peer->realm);
	struct sip_agent *a = sif ? agent_find(w, sif->name) : NULL;

	tp_name_t name = {
		.tpn_proto = transport_name(peer->transport),
		.tpn_canon = host,
		.tpn_host = host,
		.tpn_port = port,
		.tpn_ident = agent_ident(peer->address.family),
	};

	addr_format_ip(&peer->address, host, sizeof(host));
	snprintf(port, sizeof(port), "%u", peer->address.port);
	return a ? tport_by_name(nta_agent_tports(a->nta), &name) : NULL;
}

static bool is_open(const struct config_agent *peer, const tport_t *tp)
{
	const struct tls_link *link = tport_tls_link(tp);

	if (peer->transport == TRANSPORT_TLS)
		return link &&
		       tls_conn_state(tls_link_conn(link)) == TLS_CONN_OPEN;
	return tport_is_connected(tp);
}

/* True: no more is to be done. */
static bool settled(struct sip_worker *w, const struct config_agent *peer,
		    struct reconnect *r)
{
	tport_t *tp = look_up(w, peer);
	bool there = tp && tport_is_secondary(tp) && !tport_is_closed(tp);

	if (there && is_open(peer, tp)) {
		log_info(
			"event=session-agent-connected agent=%s transport=%s tries=%u",
			peer->name, transport_name(peer->transport), r->tries);
		return true;
	}
	if (there)
		return false;
	if (!tp || r->tries == TRIES_MAX) {
		log_notice(
			"event=session-agent-unconnected agent=%s transport=%s tries=%u",
			peer->name, transport_name(peer->transport), r->tries);
		return true;
	}
	r->tries++;
	if (tport_open(tp, &peer->address))
		log_rated(LOG_DEBUG, "event=session-agent-connect agent=%s",
			  peer->name);
	return false;
}

void reconnect_turn(struct sip_worker *w, uint64_t now_ms)
{
	unsigned n = 0;

	for (size_t i = 0; i < w->config->agents_len && n < AT_ONCE; i++) {
		struct reconnect *r = &w->reconnects[i];

		if (!r->next_ms || r->next_ms > now_ms)
			continue;
		n++;
		r->next_ms = settled(w, &w->config->agents[i], r)
				     ? 0
				     : now_ms + r->wait_ms;
		r->wait_ms *= 2;
	}
}

void reconnect_destroy(struct sip_worker *w)
{
	free(w->reconnects);
	w->reconnects = NULL;
}
