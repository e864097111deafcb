/* Messages we send: our own identifiers around what may pass from the other
 * side. */
#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <strings.h>

#include "sbcd/base/log.h"
#include "sbcd/sip/hdr_policy.h"
#include "sbcd/sip/sip_int.h"
#include "sbcd/sip/tls_links.h"

const char sip_allow[] =
	"INVITE, ACK, CANCEL, BYE, PRACK, UPDATE, INFO, OPTIONS";
const char sip_supported[] = "100rel";
const char sip_accept[] = "application/sdp";

enum { HEADER_VALUE_MAX = 4096, BODY_TEXT_MAX = 8192, MAX_FORWARDS = 70 };

int message_local_host(const struct sip_agent *a, uint8_t family, char *out,
		       size_t size)
{
	const struct addr *at = agent_address(a, family);
	char ip[ADDR_TEXT_SIZE];

	if (!at)
		return -EADDRNOTAVAIL;
	addr_format_ip(at, ip, sizeof(ip));
	snprintf(out, size, at->family == ADDR_V6 ? "[%s]" : "%s", ip);
	return 0;
}

/* ---- where to ---------------------------------------------------------------
 */

static uint16_t default_port(uint8_t transport)
{
	return transport == TRANSPORT_TLS ? 5061 : 5060;
}

static bool numeric_hop(const url_t *url, uint8_t transport,
			struct next_hop *out)
{
	const char *host = url->url_host;
	char param[16];
	unsigned long port = 0;

	if (!host || (url->url_type != url_sip && url->url_type != url_sips))
		return false;
	if (url_param(url->url_params, "transport", param, sizeof(param)) > 0) {
		transport = transport_of(param);
		if (!transport)
			return false;
	}
	if (url->url_port && *url->url_port)
		port = strtoul(url->url_port, NULL, 10);
	if (port > 65535)
		return false;
	if (!port)
		port = default_port(transport);
	/* A name is never resolved here: its agent's address is configured. */
	if (addr_parse_ip(&out->addr, host, (uint16_t)port))
		return false;
	out->transport = transport;
	return true;
}

/* A name stands for the session agent it is of; a port and a transport that
 * come with it are meant (RFC 3263 section 4.2), but for one without TLS in
 * place of it. */
static void named_hop(const url_t *url, struct next_hop *out)
{
	unsigned long port = url->url_port && *url->url_port
				     ? strtoul(url->url_port, NULL, 10)
				     : 0;
	uint8_t transport = out->transport;
	char param[16];

	if (!port || port > 65535)
		return;
	if (url_param(url->url_params, "transport", param, sizeof(param)) > 0)
		transport = transport_of(param);
	if (!transport ||
	    (out->transport == TRANSPORT_TLS) != (transport == TRANSPORT_TLS))
		return;
	out->addr.port = (uint16_t)port;
	out->transport = transport;
}

/* The URI that leads there, in `home`; NULL: there is none. */
static const url_t *next_uri(su_home_t *home, const struct rec_dialog *d)
{
	sip_route_t *route =
		d->route[0] ? sip_route_make(home, d->route) : NULL;

	if (route)
		return route->r_url;
	return d->remote_target[0] ? url_make(home, d->remote_target) : NULL;
}

static bool usable_hop(const struct sip_agent *a, const url_t *url,
		       uint8_t transport, struct next_hop *out)
{
	if (!numeric_hop(url, transport, out))
		return false;
	/* Of an address that is no session agent's we know neither whom its
	 * certificate has to name nor what to show it. */
	if (out->transport == TRANSPORT_TLS && !tls_link_whom(a, &out->addr))
		return false;
	return agent_address(a, out->addr.family) &&
	       !addr_is_unspecified(&out->addr);
}

int message_next_hop(const struct sip_agent *a, const struct rec_dialog *d,
		     struct next_hop *out)
{
	su_home_t home[1] = {SU_HOME_INIT(home)};
	const struct config_agent *peer = agent_peer(a, &d->peer);
	const url_t *url = next_uri(home, d);
	struct addr ip;

	if (url && usable_hop(a, url, d->transport, out))
		goto out;
	out->addr = peer ? peer->address : d->peer;
	out->transport = peer ? peer->transport : d->transport;
	if (peer && url && url->url_host &&
	    addr_parse_ip(&ip, url->url_host, 0))
		named_hop(url, out);
out:
	su_home_deinit(home);
	if (out->addr.family == ADDR_NONE)
		return -EHOSTUNREACH;
	if (!out->addr.port)
		out->addr.port = default_port(out->transport);
	return agent_address(a, out->addr.family) ? 0 : -EADDRNOTAVAIL;
}

nta_outgoing_t *message_send(struct sip_agent *a, msg_t *msg,
			     const struct next_hop *hop, nta_response_f *cb,
			     struct txn *t, const char *branch)
{
	char text[ADDR_TEXT_SIZE], uri[SIP_URI_SIZE];

	addr_format(&hop->addr, text, sizeof(text));
	snprintf(uri, sizeof(uri), "sip:%s;transport=%s", text,
		 transport_name(hop->transport));
	/* The ACK of a 2xx has no transaction: asked for one, the stack looks
	 * for the INVITE and aborts when another process sent that. */
	return nta_outgoing_mcreate(a->nta, cb, t, (url_string_t *)uri, msg,
				    TPTAG_IDENT(agent_ident(hop->addr.family)),
				    TAG_IF(branch, NTATAG_BRANCH_KEY(branch)),
				    TAG_IF(!cb, NTATAG_STATELESS(1)),
				    TAG_END());
}

/* ---- what passes
 * ---------------------------------------------------------------
 */

/* Headers of a body, of one hop, or made anew: not copied from anywhere. */
static bool skip_class(const msg_hclass_t *hc)
{
	return hc == sip_request_class || hc == sip_status_class ||
	       hc == sip_separator_class || hc == sip_payload_class ||
	       hc == sip_content_type_class || hc == sip_content_length_class ||
	       hc == sip_content_encoding_class ||
	       hc == sip_content_disposition_class ||
	       hc == sip_content_language_class ||
	       hc == sip_mime_version_class || hc == sip_timestamp_class ||
	       hc == sip_error_class || !hc->hc_name;
}

static void pass_one(msg_t *msg, sip_t *sip, const char *name,
		     const char *value, const struct hdr_hosts *hosts)
{
	su_home_t *home = msg_home(msg);
	char out[HEADER_VALUE_MAX];
	ssize_t n = hdr_policy_apply(name, value, hosts, out, sizeof(out));
	char *line;

	if (n < 0)
		return;
	line = su_sprintf(home, "%s: %s\r\n", name, out);
	if (line && msg_header_parse_str(msg, (msg_pub_t *)sip, line) < 0)
		log_rated(LOG_NOTICE, "event=header-not-passed name=%s", name);
}

static void pass_headers(struct sip_agent *from, struct sip_agent *to,
			 const struct rec_dialog *d, msg_t *msg, sip_t *sip,
			 const sip_t *source)
{
	su_home_t home[1] = {SU_HOME_INIT(home)};
	const msg_header_t *h;
	struct hide_set hide;
	char own[ADDR_TEXT_SIZE];
	struct hdr_hosts hosts = {.hide = &hide, .own = own};

	media_hide(from, &hide);
	if (message_local_host(to, d->peer.family, own, sizeof(own)))
		return;
	h = (const msg_header_t *)(source->sip_request
					   ? (void *)source->sip_request
					   : (void *)source->sip_status);
	for (; h; h = h->sh_succ) {
		const char *name = h->sh_class->hc_name;
		char *value;

		if (h->sh_class == sip_unknown_class) {
			if (h->sh_unknown->un_name && h->sh_unknown->un_value)
				pass_one(msg, sip, h->sh_unknown->un_name,
					 h->sh_unknown->un_value, &hosts);
			continue;
		}
		if (skip_class(h->sh_class))
			continue;
		value = sip_header_as_string(home, (const sip_header_t *)h);
		if (value && *value)
			pass_one(msg, sip, name, value, &hosts);
	}
	su_home_deinit(home);
}

static bool lists(const msg_param_t *items, const char *what)
{
	for (; items && *items; items++)
		if (!strcasecmp(*items, what))
			return true;
	return false;
}

/* 100rel works end to end: PRACK and RSeq cross us. */
static void pass_reliability(msg_t *msg, sip_t *sip, const sip_t *source)
{
	if (source->sip_require &&
	    lists(source->sip_require->k_items, "100rel"))
		sip_add_make(msg, sip, sip_require_class, "100rel");
	if (source->sip_rseq)
		sip_add_dup(msg, sip, (sip_header_t *)source->sip_rseq);
}

/* Lines for people or of `name: value`: a host in them may be another one. */
static bool is_text(const sip_content_type_t *type)
{
	return !strncasecmp(type->c_type, "text/", 5) ||
	       !strcasecmp(type->c_type, "application/simple-message-summary");
}

/*
 * INFO, NOTIFY and MESSAGE carry what the two ends agreed on; of text that
 * names hosts of its side, with ours in their place, of anything else nothing.
 */
static void pass_body(struct sip_agent *from, struct sip_agent *to,
		      const struct rec_dialog *d, msg_t *msg, sip_t *sip,
		      const sip_t *source)
{
	const sip_payload_t *pl = source->sip_payload;
	const sip_content_type_t *type = source->sip_content_type;
	struct hide_set hide;
	char own[ADDR_TEXT_SIZE], out[BODY_TEXT_MAX];
	struct hdr_hosts hosts = {.hide = &hide, .own = own};
	ssize_t n = 0;

	if (!pl || !pl->pl_len || !type || !type->c_type)
		return;
	media_hide(from, &hide);
	if (hide_find(&hide, true, pl->pl_data, pl->pl_len, NULL)) {
		if (is_text(type) &&
		    !message_local_host(to, d->peer.family, own, sizeof(own)))
			n = hdr_policy_rewrite_text(pl->pl_data, pl->pl_len,
						    &hosts, out, sizeof(out));
		if (n <= 0) {
			log_rated(
				LOG_NOTICE,
				"event=body-not-passed type=\"%s\" from=%s reason=names-hosts",
				type->c_type, from->sif->name);
			return;
		}
		pl = sip_payload_create(msg_home(msg), out, (isize_t)n);
	}
	sip_add_dup(msg, sip, (const sip_header_t *)type);
	if (source->sip_content_disposition)
		sip_add_dup(msg, sip,
			    (sip_header_t *)source->sip_content_disposition);
	sip_add_dup(msg, sip, (const sip_header_t *)pl);
}

static int add_sdp(msg_t *msg, sip_t *sip, const struct call_send *s)
{
	sip_payload_t *pl;

	if (!s->sdp || !s->sdp_size)
		return 0;
	pl = sip_payload_create(msg_home(msg), s->sdp, (isize_t)s->sdp_size);
	if (!pl || sip_add_make(msg, sip, sip_content_type_class,
				"application/sdp") < 0)
		return -ENOMEM;
	return msg_header_insert(msg, (msg_pub_t *)sip, (msg_header_t *)pl) < 0
		       ? -ENOMEM
		       : 0;
}

static int add_contact(struct sip_agent *a, msg_t *msg, sip_t *sip,
		       const struct rec_dialog *d, uint8_t family,
		       uint8_t transport)
{
	su_home_t *home = msg_home(msg);
	sip_from_t *local = sip_from_make(home, d->local_uri);
	const char *user = local ? local->a_url->url_user : NULL;
	char host[ADDR_TEXT_SIZE];
	char *text;

	if (message_local_host(a, family, host, sizeof(host)))
		return -EADDRNOTAVAIL;
	text = su_sprintf(
		home, "<sip:%s%s%s:%u%s%s>", user ? user : "", user ? "@" : "",
		host, agent_port(a, transport),
		transport == TRANSPORT_UDP ? "" : ";transport=",
		transport == TRANSPORT_UDP ? "" : transport_name(transport));
	if (!text || sip_add_make(msg, sip, sip_contact_class, text) < 0)
		return -ENOMEM;
	return 0;
}

static bool has_contact(enum call_method m)
{
	return m == METHOD_INVITE || m == METHOD_UPDATE;
}

/* `SIP;cause=408;text="..."` (RFC 3326). */
static void add_reason(msg_t *msg, sip_t *sip, const char *why)
{
	char text[REC_TOKEN_SIZE];
	char *value;
	size_t n = 0;

	if (!why || sip->sip_reason)
		return;
	for (; *why && n < sizeof(text) - 1; why++)
		if (*why != '"' && *why != '\\' && *why >= ' ')
			text[n++] = *why;
	text[n] = '\0';
	value = su_sprintf(msg_home(msg), "Q.850;cause=41;text=\"%s\"", text);
	if (value)
		sip_add_make(msg, sip, sip_reason_class, value);
}

/* ---- requests
 * --------------------------------------------------------------------
 */

/* RFC 3261 section 12.2.1.1, strict routers included. */
static int add_target(msg_t *msg, sip_t *sip, const struct rec_dialog *d,
		      const struct call_send *s)
{
	su_home_t *home = msg_home(msg);
	sip_route_t *route = NULL;
	const url_t *uri = url_make(home, d->remote_target);
	const char *name = s->method == METHOD_OTHER
				   ? s->method_name
				   : call_method_name(s->method);

	if (!uri)
		return -EINVAL;
	if (d->route[0]) {
		route = sip_route_make(home, d->route);
		if (!route)
			return -EINVAL;
	}
	if (route && !url_has_param(route->r_url, "lr")) {
		sip_route_t *last = sip_route_create(home, uri, NULL), **at;

		if (!last)
			return -ENOMEM;
		uri = route->r_url;
		for (at = &route; *at; at = &(*at)->r_next)
			;
		*at = last;
		route = route->r_next;
	}
	sip->sip_request = NULL;
	if (sip_add_dup(msg, sip,
			(sip_header_t *)sip_request_create(
				home, sip_method_code(name), name,
				(url_string_t *)uri, NULL)) < 0)
		return -ENOMEM;
	for (; route; route = route->r_next) {
		sip_route_t one = *route;

		one.r_next = NULL;
		if (sip_add_dup(msg, sip, (sip_header_t *)&one) < 0)
			return -ENOMEM;
	}
	return 0;
}

static int add_identity(msg_t *msg, sip_t *sip, const struct rec_dialog *d,
			const struct call_send *s)
{
	su_home_t *home = msg_home(msg);
	const char *name = s->method == METHOD_OTHER
				   ? s->method_name
				   : call_method_name(s->method);
	sip_from_t *from = sip_from_make(home, d->local_uri);
	sip_to_t *to = sip_to_make(home, d->remote_uri);
	char cseq[64];

	if (!from || !to)
		return -EINVAL;
	if (sip_from_tag(home, from, d->local_tag) < 0)
		return -ENOMEM;
	if (d->remote_tag[0] && sip_to_tag(home, to, d->remote_tag) < 0)
		return -ENOMEM;
	snprintf(cseq, sizeof(cseq), "%u %s", s->cseq, name);
	if (sip_add_dup(msg, sip, (sip_header_t *)from) < 0 ||
	    sip_add_dup(msg, sip, (sip_header_t *)to) < 0 ||
	    sip_add_make(msg, sip, sip_call_id_class, d->call_id) < 0 ||
	    sip_add_make(msg, sip, sip_cseq_class, cseq) < 0)
		return -ENOMEM;
	return 0;
}

static int add_hops(msg_t *msg, sip_t *sip, const sip_t *source)
{
	unsigned long hops = MAX_FORWARDS;
	char text[16];

	if (source && source->sip_max_forwards)
		hops = source->sip_max_forwards->mf_count;
	if (hops > MAX_FORWARDS)
		hops = MAX_FORWARDS;
	if (source && source->sip_request && hops)
		hops--;
	snprintf(text, sizeof(text), "%lu", hops);
	return sip_add_make(msg, sip, sip_max_forwards_class, text) < 0
		       ? -ENOMEM
		       : 0;
}

static void add_offers(struct sip_agent *a, msg_t *msg, sip_t *sip,
		       const struct call_send *s, const sip_t *source)
{
	if (has_contact(s->method) || s->method == METHOD_OPTIONS)
		sip_add_make(msg, sip, sip_allow_class, sip_allow);
	if (!source || !has_contact(s->method))
		return;
	if (source->sip_supported &&
	    lists(source->sip_supported->k_items, "100rel"))
		sip_add_make(msg, sip, sip_supported_class, sip_supported);
	pass_reliability(msg, sip, source);
}

msg_t *message_request(struct sip_agent *a, const struct rec_dialog *d,
		       const struct call_send *s, const struct next_hop *hop,
		       struct sip_agent *from)
{
	const sip_t *source = s->source_msg;
	msg_t *msg = nta_msg_create(a->nta, 0);
	sip_t *sip = msg ? sip_object(msg) : NULL;
	char rack[64];

	if (!sip)
		return NULL;
	if (add_target(msg, sip, d, s) || add_identity(msg, sip, d, s) ||
	    add_hops(msg, sip, s->method == METHOD_ACK ? NULL : source))
		goto err;
	if ((has_contact(s->method) || s->method == METHOD_OPTIONS) &&
	    add_contact(a, msg, sip, d, hop->addr.family, hop->transport))
		goto err;
	add_offers(a, msg, sip, s, source);
	if (s->method == METHOD_PRACK) {
		snprintf(rack, sizeof(rack), "%u %u INVITE", s->rack_rseq,
			 s->rack_cseq);
		if (sip_add_make(msg, sip, sip_rack_class, rack) < 0)
			goto err;
	}
	if (source && from && s->method != METHOD_ACK) {
		pass_headers(from, a, d, msg, sip, source);
		if (!s->sdp_size && !has_contact(s->method))
			pass_body(from, a, d, msg, sip, source);
	}
	add_reason(msg, sip, s->why);
	if (add_sdp(msg, sip, s) || sip_complete_message(msg) < 0)
		goto err;
	return msg;
err:
	msg_destroy(msg);
	return NULL;
}

msg_t *message_cancel(struct sip_agent *a, const struct txn *t, const char *why)
{
	msg_t *invite = message_parse(t->request.data, t->request.size);
	sip_t *old = invite ? sip_object(invite) : NULL;
	msg_t *msg = old ? nta_msg_create(a->nta, 0) : NULL;
	sip_t *sip = msg ? sip_object(msg) : NULL;
	su_home_t *home = msg ? msg_home(msg) : NULL;

	if (!sip)
		goto err;
	if (sip_add_dup(msg, sip,
			(sip_header_t *)sip_request_create(
				home, SIP_METHOD_CANCEL,
				(url_string_t *)old->sip_request->rq_url,
				NULL)) < 0 ||
	    sip_add_dup(msg, sip, (sip_header_t *)old->sip_from) < 0 ||
	    sip_add_dup(msg, sip, (sip_header_t *)old->sip_to) < 0 ||
	    sip_add_dup(msg, sip, (sip_header_t *)old->sip_call_id) < 0 ||
	    sip_add_dup(
		    msg, sip,
		    (sip_header_t *)sip_cseq_create(home, old->sip_cseq->cs_seq,
						    SIP_METHOD_CANCEL)) < 0 ||
	    sip_add_make(msg, sip, sip_max_forwards_class, "70") < 0)
		goto err;
	for (sip_route_t *r = old->sip_route; r; r = r->r_next) {
		sip_route_t one = *r;

		one.r_next = NULL;
		if (sip_add_dup(msg, sip, (sip_header_t *)&one) < 0)
			goto err;
	}
	add_reason(msg, sip, why);
	if (sip_complete_message(msg) < 0)
		goto err;
	msg_destroy(invite);
	return msg;
err:
	msg_destroy(msg);
	msg_destroy(invite);
	return NULL;
}

msg_t *message_redirected(struct sip_agent *a, const struct txn *old,
			  const struct rec_dialog *d, uint32_t cseq,
			  const struct next_hop *hop)
{
	msg_t *msg = message_parse(old->request.data, old->request.size);
	sip_t *sip = msg ? sip_object(msg) : NULL;
	su_home_t *home = msg ? msg_home(msg) : NULL;
	url_t *target = home ? url_make(home, d->remote_target) : NULL;

	if (!target || !sip->sip_request)
		goto err;
	/* Headers a Contact may carry are not for us. */
	target->url_headers = NULL;
	msg_header_remove_all(msg, (msg_pub_t *)sip,
			      (msg_header_t *)sip->sip_request);
	msg_header_remove_all(msg, (msg_pub_t *)sip,
			      (msg_header_t *)sip->sip_cseq);
	if (sip->sip_contact)
		msg_header_remove_all(msg, (msg_pub_t *)sip,
				      (msg_header_t *)sip->sip_contact);
	if (sip_add_dup(msg, sip,
			(sip_header_t *)sip_request_create(
				home, SIP_METHOD_INVITE, (url_string_t *)target,
				NULL)) < 0 ||
	    sip_add_dup(msg, sip,
			(sip_header_t *)sip_cseq_create(
				home, cseq, SIP_METHOD_INVITE)) < 0 ||
	    add_contact(a, msg, sip, d, hop->addr.family, hop->transport) ||
	    sip_complete_message(msg) < 0)
		goto err;
	return msg;
err:
	msg_destroy(msg);
	return NULL;
}

msg_t *message_ack_refused(struct sip_agent *a, const sip_t *response)
{
	msg_t *msg = nta_msg_create(a->nta, 0);
	sip_t *sip = msg ? sip_object(msg) : NULL;
	su_home_t *home = msg ? msg_home(msg) : NULL;

	/* What was asked for is not known any more; the branch tells. */
	if (sip &&
	    sip_add_dup(msg, sip,
			(sip_header_t *)sip_request_create(
				home, SIP_METHOD_ACK,
				(url_string_t *)response->sip_to->a_url,
				NULL)) >= 0 &&
	    sip_add_dup(msg, sip, (sip_header_t *)response->sip_from) >= 0 &&
	    sip_add_dup(msg, sip, (sip_header_t *)response->sip_to) >= 0 &&
	    sip_add_dup(msg, sip, (sip_header_t *)response->sip_call_id) >= 0 &&
	    sip_add_dup(msg, sip,
			(sip_header_t *)sip_cseq_create(
				home, response->sip_cseq->cs_seq,
				SIP_METHOD_ACK)) >= 0 &&
	    sip_add_make(msg, sip, sip_max_forwards_class, "70") >= 0 &&
	    sip_complete_message(msg) >= 0)
		return msg;
	msg_destroy(msg);
	return NULL;
}

/* ---- responses
 * -------------------------------------------------------------------
 */

static void add_details(msg_t *msg, sip_t *sip, const struct call_send *s)
{
	su_home_t *home = msg_home(msg);
	char *text;

	if (s->retry_after_s && !sip->sip_retry_after) {
		text = su_sprintf(home, "%u", s->retry_after_s);
		if (text)
			sip_add_make(msg, sip, sip_retry_after_class, text);
	}
	if (s->warning) {
		text = su_sprintf(home, "%u sbc \"%s\"", s->warning,
				  s->warning_text ? s->warning_text : "");
		if (text)
			sip_add_make(msg, sip, sip_warning_class, text);
	}
}

/* A phrase is free text: it may tell what it must not. */
static const char *pass_phrase(su_home_t *home, const struct sip_agent *from,
			       const char *phrase)
{
	struct hide_set hide;

	if (!phrase || !from)
		return NULL;
	media_hide(from, &hide);
	if (strlen(phrase) > 128 ||
	    hide_find(&hide, true, phrase, strlen(phrase), NULL))
		return NULL;
	/* The stack only notes where it stands, and this message may wait. */
	return su_strdup(home, phrase);
}

static int add_rseq(msg_t *msg, sip_t *sip, uint32_t rseq)
{
	char text[16];

	snprintf(text, sizeof(text), "%u", rseq);
	if (sip_add_make(msg, sip, sip_require_class, "100rel") < 0 ||
	    sip_add_make(msg, sip, sip_rseq_class, text) < 0)
		return -ENOMEM;
	return 0;
}

msg_t *message_response(struct sip_agent *a, nta_incoming_t *irq,
			const struct rec_dialog *d, const struct call_send *s,
			struct sip_agent *from)
{
	const sip_t *source = s->source_msg;
	msg_t *msg = nta_msg_create(a->nta, 0);
	sip_t *sip = msg ? sip_object(msg) : NULL;
	const char *phrase = NULL;

	if (!sip)
		return NULL;
	if (source)
		phrase = pass_phrase(msg_home(msg), from, s->reason);
	if (has_contact(s->method) && s->status < 300 &&
	    add_contact(a, msg, sip, d, d->peer.family, d->transport))
		goto err;
	if (has_contact(s->method) && s->status >= 200 && s->status < 300) {
		sip_add_make(msg, sip, sip_allow_class, sip_allow);
		sip_add_make(msg, sip, sip_supported_class, sip_supported);
	}
	if (source && from) {
		if (s->status > 100 && s->status < 200)
			pass_reliability(msg, sip, source);
		pass_headers(from, a, d, msg, sip, source);
		if (!s->sdp_size && !has_contact(s->method))
			pass_body(from, a, d, msg, sip, source);
	}
	if (s->rseq && add_rseq(msg, sip, s->rseq))
		goto err;
	add_details(msg, sip, s);
	if (add_sdp(msg, sip, s) ||
	    nta_incoming_complete_response(irq, msg, s->status, phrase,
					   TAG_END()) < 0)
		goto err;
	return msg;
err:
	msg_destroy(msg);
	return NULL;
}

/* ---- text
 * ------------------------------------------------------------------------
 */

int message_to_blob(msg_t *msg, struct blob *out)
{
	su_home_t home[1] = {SU_HOME_INIT(home)};
	size_t size = 0;
	char *text = msg_as_string(home, msg, NULL, 0, &size);
	int err = -ENOMEM;

	if (text)
		err = size > REC_RAW_SIZE ? -E2BIG : blob_set(out, text, size);
	su_home_deinit(home);
	return err;
}

msg_t *message_parse(const void *data, size_t size)
{
	msg_t *msg = msg_make(sip_default_mclass(), 0, data, (ssize_t)size);
	sip_t *sip = msg ? sip_object(msg) : NULL;

	if (sip && (sip->sip_request || sip->sip_status) && sip->sip_cseq &&
	    sip->sip_from && sip->sip_to && sip->sip_call_id && !sip->sip_error)
		return msg;
	msg_destroy(msg);
	return NULL;
}
