/* SIP interfaces: sockets, one stack agent each, with every guard set. */
#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <strings.h>

#include "sbcd/base/log.h"
#include "sbcd/config/tls.h"
#include "sbcd/sip/sip_int.h"

const char *transport_name(uint8_t transport)
{
	return transport == TRANSPORT_TCP   ? "tcp"
	       : transport == TRANSPORT_TLS ? "tls"
					    : "udp";
}

uint8_t transport_of(const char *name)
{
	if (!strcasecmp(name, "udp"))
		return TRANSPORT_UDP;
	if (!strcasecmp(name, "tcp"))
		return TRANSPORT_TCP;
	if (!strcasecmp(name, "tls"))
		return TRANSPORT_TLS;
	return 0;
}

/* The stack takes the first transport of a protocol for "[fd00::1]": IPv4.
 * So sockets are named by their family, and messages say which they mean. */
const char *agent_ident(uint8_t family)
{
	return family == ADDR_V6 ? "ipv6" : "ipv4";
}

static int bind_port(struct sip_agent *a, const struct addr *at,
		     const struct config_sip_port *p)
{
	struct addr addr = *at;
	char text[ADDR_TEXT_SIZE], url[SIP_URI_SIZE];
	int err;

	guard_cap(a->sif->tcp_connections_max, a->sif->per_source_max);
	addr.port = p->port;
	addr_format(&addr, text, sizeof(text));
	/* For a port the stack knows TLS by the scheme. */
	snprintf(url, sizeof(url), "%s:%s;transport=%s",
		 p->transport == TRANSPORT_TLS ? "sips" : "sip", text,
		 transport_name(p->transport));
	err = nta_agent_add_tport(
		a->nta, (url_string_t *)url, TPTAG_SERVER(1),
		TPTAG_IDENT(agent_ident(at->family)),
		TPTAG_IDLE(a->sif->tcp_idle_ms),
		TPTAG_TIMEOUT(SIP_PARTIAL_TIMEOUT_MS),
		TPTAG_QUEUESIZE(SIP_QUEUE_LEN),
		TPTAG_UDP_RMEM(SIP_UDP_RMEM_BYTES),
		TPTAG_UDP_WMEM(SIP_UDP_RMEM_BYTES),
		TPTAG_TOS(a->sif->realm->dscp_sip << 2),
		TAG_IF(p->tls, TPTAG_CERTIFICATE(p->tls ? p->tls->name : "")),
		TAG_END());
	guard_cap(0, 0);
	if (err < 0) {
		err = su_errno() ? su_errno() : EIO;
		log_err("event=sip-bind address=%s transport=%s result=failed error=\"%s\"",
			text, transport_name(p->transport), strerror(err));
		return -err;
	}
	return 0;
}

static int agent_create(struct sip_worker *w, struct sip_agent *a,
			const struct config_sip_interface *sif)
{
	const struct config_nif *nif = sif->realm->nif;
	int err;

	a->w = w;
	a->sif = sif;
	a->nta = nta_agent_create(
		w->root, (url_string_t *)-1, ingress_message, a, NTATAG_UA(0),
		NTATAG_MERGE_482(0), NTATAG_EXTRA_100(0), NTATAG_PASS_100(1),
		NTATAG_CANCEL_487(0), NTATAG_SERVER_RPORT(1),
		NTATAG_USE_NAPTR(0), NTATAG_USE_SRV(0), NTATAG_TIMEOUT_408(1),
		NTATAG_UDP_MTU(SIP_UDP_MTU),
		NTATAG_MAXSIZE(SIP_MESSAGE_MAX_BYTES),
		NTATAG_TIMER_C(SIP_TIMER_C_MS), TAG_END());
	if (!a->nta)
		return -ENOMEM;
	for (size_t p = 0; p < sif->ports_len; p++)
		for (size_t i = 0; i < nif->addrs_len; i++) {
			err = bind_port(a, &nif->addrs[i], &sif->ports[p]);
			if (err)
				return err;
		}
	a->stray = nta_outgoing_default(a->nta, (nta_response_f *)ingress_stray,
					(struct txn *)a);
	return a->stray ? 0 : -ENOMEM;
}

int agents_create(struct sip_worker *w)
{
	for (size_t i = 0; i < w->config->sip_interfaces_len; i++) {
		int err;

		w->agents_len = i + 1;
		err = agent_create(w, &w->agents[i],
				   &w->config->sip_interfaces[i]);
		if (err)
			return err;
	}
	guard_no_errors();
	return 0;
}

void agents_destroy(struct sip_worker *w)
{
	for (size_t i = 0; i < w->agents_len; i++)
		if (w->agents[i].nta)
			nta_agent_destroy(w->agents[i].nta);
	w->agents_len = 0;
}

struct sip_agent *agent_find(struct sip_worker *w, const char *sip_interface)
{
	for (size_t i = 0; i < w->agents_len; i++)
		if (!strcmp(w->agents[i].sif->name, sip_interface))
			return &w->agents[i];
	return NULL;
}

const struct addr *agent_address(const struct sip_agent *a, uint8_t family)
{
	const struct config_nif *nif = a->sif->realm->nif;
	const struct addr *at = config_nif_address(nif, family);

	return at ? at : nif->addrs_len && !family ? &nif->addrs[0] : NULL;
}

uint16_t agent_port(const struct sip_agent *a, uint8_t transport)
{
	for (size_t i = 0; i < a->sif->ports_len; i++)
		if (a->sif->ports[i].transport == transport)
			return a->sif->ports[i].port;
	return transport == TRANSPORT_TLS ? 5061 : 5060;
}

bool agent_is_own(const struct sip_agent *a, const char *host)
{
	struct addr at;

	if (!host || addr_parse_ip(&at, host, 0))
		return false;
	for (size_t i = 0; i < a->sif->realm->nif->addrs_len; i++)
		if (addr_equal_ip(&at, &a->sif->realm->nif->addrs[i]))
			return true;
	return false;
}

const struct config_agent *agent_peer(const struct sip_agent *a,
				      const struct addr *source)
{
	return config_agent_by_address(a->w->config, a->sif->realm, source);
}

/* What the stack dropped without telling anybody. */
void agents_count(struct sip_worker *w)
{
	for (size_t i = 0; i < w->agents_len; i++) {
		struct sip_agent *a = &w->agents[i];
		usize_t bad = a->bad_messages;

		if (!a->nta ||
		    nta_agent_get_stats(a->nta, NTATAG_S_BAD_MESSAGE_REF(bad),
					TAG_END()) < 0)
			continue;
		counters_add(w->counters, COUNTER_sip_rx_malformed,
			     bad - a->bad_messages);
		a->bad_messages = bad;
	}
}
