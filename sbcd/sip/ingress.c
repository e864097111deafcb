/* Requests from the network: checks that need no call, then to whom they
 * belong. */
#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <strings.h>

#include "sbcd/base/log.h"
#include "sbcd/sip/sdp_relay.h"
#include "sbcd/sip/sip_int.h"
#include "sbcd/sip/tls_links.h"
#include "sbcd/sip/tport_tls.h"

/* By then somebody else may serve. */
enum { DRAIN_RETRY_S = 10 };

void ingress_refuse(nta_incoming_t *irq, const sip_t *sip, int status,
		    const struct call_answer *answer)
{
	char retry[16] = "", warning[160] = "";
	bool body = status == 415 || status == 200;

	if (answer && answer->retry_after_s)
		snprintf(retry, sizeof(retry), "%u", answer->retry_after_s);
	if (answer && answer->warning)
		snprintf(warning, sizeof(warning), "%u sbc \"%s\"",
			 answer->warning,
			 answer->text[0] ? answer->text
					 : sdp_warning_text(answer->warning));
	nta_incoming_treply(
		irq, status, NULL,
		TAG_IF(status == 405 || status == 501 || status == 200,
		       SIPTAG_ALLOW_STR(sip_allow)),
		TAG_IF(body, SIPTAG_ACCEPT_STR(sip_accept)),
		TAG_IF(status == 200, SIPTAG_SUPPORTED_STR(sip_supported)),
		TAG_IF(*retry, SIPTAG_RETRY_AFTER_STR(retry)),
		TAG_IF(*warning, SIPTAG_WARNING_STR(warning)), TAG_END());
	nta_incoming_destroy(irq);
}

/* RFC 3261 section 8.2.2.3. */
static void refuse_extension(nta_incoming_t *irq, const char *what)
{
	nta_incoming_treply(irq, SIP_420_BAD_EXTENSION,
			    SIPTAG_UNSUPPORTED_STR(what), TAG_END());
	nta_incoming_destroy(irq);
}

/* ---- checks
 * ----------------------------------------------------------------------
 */

static void unsupported_in(const msg_param_t *items, char *out, size_t size)
{
	size_t n = strlen(out);

	for (; items && *items && n + strlen(*items) + 3 < size; items++) {
		if (!strcasecmp(*items, "100rel"))
			continue;
		n += (size_t)snprintf(out + n, size - n, "%s%s", n ? ", " : "",
				      *items);
	}
}

/* The far end sees them through us, but nobody vouches for the rest. */
static bool check_extensions(nta_incoming_t *irq, const sip_t *sip)
{
	char what[256] = "";

	if (sip->sip_require)
		unsupported_in(sip->sip_require->k_items, what, sizeof(what));
	if (sip->sip_proxy_require)
		unsupported_in(sip->sip_proxy_require->k_items, what,
			       sizeof(what));
	if (!*what)
		return true;
	refuse_extension(irq, what);
	return false;
}

static bool is_looped(const struct sip_agent *a, const sip_t *sip)
{
	for (const sip_via_t *v = sip->sip_via; v; v = v->v_next)
		if (agent_is_own(a, v->v_host) && v->v_branch &&
		    strlen(v->v_branch) == 7 + TOKEN_TEXT_SIZE - 1)
			return true;
	return false;
}

static int check_body(const struct call_message *m, const sip_t *sip)
{
	const sip_content_type_t *ct = sip->sip_content_type;
	const msg_param_t *ce;

	if (m->method != METHOD_INVITE && m->method != METHOD_UPDATE &&
	    m->method != METHOD_PRACK)
		return 0;
	if (!sip->sip_payload || !sip->sip_payload->pl_len)
		return 0;
	if (!ct || !ct->c_type || strcasecmp(ct->c_type, sip_accept))
		return 415;
	if (!sip->sip_content_encoding)
		return 0;
	for (ce = sip->sip_content_encoding->k_items; ce && *ce; ce++)
		if (strcasecmp(*ce, "identity"))
			return 415;
	return 0;
}

/* 0 or the status to refuse with: what holds for every request. */
static int check_request(const struct sip_agent *a,
			 const struct call_message *m, const sip_t *sip)
{
	const url_t *uri = sip->sip_request->rq_url;
	unsigned long min = a->w->config->sip.max_forwards_min;

	if (uri->url_type != url_sip &&
	    !(uri->url_type == url_sips && m->transport == TRANSPORT_TLS))
		return 416;
	if (sip->sip_max_forwards && m->method != METHOD_OPTIONS &&
	    (!sip->sip_max_forwards->mf_count ||
	     sip->sip_max_forwards->mf_count < min))
		return 483;
	if (is_looped(a, sip))
		return 482;
	return check_body(m, sip);
}

static bool known_method(const char *name)
{
	static const char *const others[] = {"REGISTER", "SUBSCRIBE",
					     "NOTIFY",	 "REFER",
					     "MESSAGE",	 "PUBLISH"};

	if (call_method_of(name) != METHOD_OTHER)
		return true;
	for (size_t i = 0; i < sizeof(others) / sizeof(others[0]); i++)
		if (!strcmp(name, others[i]))
			return true;
	return false;
}

/* ---- within a dialog
 * ----------------------------------------------------------------
 */

static struct leg *find_leg(struct sip_agent *a, const struct call_message *m,
			    struct rec_dialog *d)
{
	struct leg *l = leg_lookup(a->w->b2bua, m->sip_interface, m->call_id,
				   m->to_tag, d);

	if (!l)
		return NULL;
	/* Another branch of a fork has another tag as long as it rings. */
	if (d->remote_tag[0] && strcmp(d->remote_tag, m->from_tag) &&
	    (d->state != DIALOG_EARLY || l->role != LEG_CALLEE))
		return NULL;
	b2bua_restore_call(a->w->b2bua, l->call);
	return l;
}

static void dispatch_dialog(struct sip_agent *a, const struct call_message *m,
			    nta_incoming_t *irq, const sip_t *sip)
{
	struct call_answer answer = {0};
	struct rec_dialog d;
	struct leg *l = find_leg(a, m, &d);
	int status;

	if (!l) {
		counters_add(a->w->counters, COUNTER_sip_rx_unknown_dialog, 1);
		ingress_refuse(irq, sip, 481, NULL);
		return;
	}
	if (m->method == METHOD_OPTIONS) {
		ingress_refuse(irq, sip, 200, NULL);
		return;
	}
	status = b2bua_request(a->w->b2bua, l, m, irq, &answer);
	if (status)
		ingress_refuse(irq, sip, status, &answer);
}

static void handle_ack(struct sip_agent *a, const struct call_message *m)
{
	struct rec_dialog d;
	struct leg *l = find_leg(a, m, &d);

	if (l)
		b2bua_ack(a->w->b2bua, l, m);
}

/* A CANCEL whose INVITE the stack does not know: it may wait to be restored. */
static void handle_cancel(struct sip_agent *a, const struct call_message *m,
			  nta_incoming_t *irq, const sip_t *sip)
{
	struct txn *t = b2bua_find_invite(a->w->b2bua, m);

	if (!t || t->state == TXN_ANSWERED) {
		ingress_refuse(irq, sip, 481, NULL);
		return;
	}
	nta_incoming_treply(irq, SIP_200_OK, TAG_END());
	nta_incoming_destroy(irq);
	b2bua_cancel(a->w->b2bua, t);
}

/* ---- new
 * ------------------------------------------------------------------------------
 */

static void dispatch_new(struct sip_agent *a, const struct config_agent *agent,
			 const struct call_message *m, nta_incoming_t *irq,
			 const sip_t *sip)
{
	struct call_answer answer = {0};
	int status = outside_request(a, m, irq);

	if (!status)
		return;
	if (status > 0) {
		ingress_refuse(irq, sip, status, NULL);
		return;
	}
	switch (m->method) {
	case METHOD_OPTIONS:
		ingress_refuse(irq, sip, 200, NULL);
		return;
	case METHOD_INVITE:
		break;
	case METHOD_OTHER:
		ingress_refuse(irq, sip, 405, NULL);
		return;
	default:
		counters_add(a->w->counters, COUNTER_sip_rx_unknown_dialog, 1);
		ingress_refuse(irq, sip, 481, NULL);
		return;
	}
	if (!m->contact || !*m->contact) {
		ingress_refuse(irq, sip, 400, NULL);
		return;
	}
	if (a->w->quiesce_wanted) {
		answer.retry_after_s = 1;
		status = 503;
	} else if (a->w->draining) {
		answer.retry_after_s = DRAIN_RETRY_S;
		status = 503;
	} else {
		status = b2bua_invite(a->w->b2bua, m, agent, irq, &answer);
	}
	if (status) {
		counters_add(a->w->counters, COUNTER_sip_rejected, 1);
		log_rated(
			LOG_NOTICE,
			"event=call-refused interface=%s agent=%s status=%d warning=%u text=\"%s\"",
			a->sif->name, agent->name, status, answer.warning,
			answer.text);
		ingress_refuse(irq, sip, status, &answer);
	}
}

/* The stack's transaction for a request; it answers or ends it itself. */
static nta_incoming_t *transaction(struct sip_agent *a, msg_t *msg, sip_t *sip)
{
	return nta_incoming_create(a->nta, NULL, msg_ref_create(msg), sip,
				   TAG_END());
}

/* A dialog's peer may have another address than its session agent. */
static bool dialog_peer(struct sip_agent *a, const struct call_message *m)
{
	struct rec_dialog d;

	return m->to_tag && *m->to_tag && find_leg(a, m, &d) &&
	       addr_equal_ip(&d.peer, &m->source);
}

static void dispatch(struct sip_agent *a, const struct config_agent *agent,
		     const struct call_message *m, nta_incoming_t *irq,
		     const sip_t *sip)
{
	int status;

	if (m->method == METHOD_CANCEL) {
		handle_cancel(a, m, irq, sip);
		return;
	}
	if (!known_method(m->method_name)) {
		ingress_refuse(irq, sip, 501, NULL);
		return;
	}
	status = check_request(a, m, sip);
	if (status) {
		counters_add(a->w->counters, COUNTER_sip_rejected, 1);
		ingress_refuse(irq, sip, status, NULL);
		return;
	}
	if (!check_extensions(irq, sip))
		return;
	if (!m->to_tag || !*m->to_tag)
		dispatch_new(a, agent, m, irq, sip);
	else if (m->method == METHOD_OTHER)
		ingress_refuse(irq, sip, 405, NULL);
	else
		dispatch_dialog(a, m, irq, sip);
}

static bool is_copy(struct sip_agent *a, const struct call_message *m)
{
	struct rec_dialog d;
	struct leg *l = NULL;

	if (m->to_tag && *m->to_tag)
		l = find_leg(a, m, &d);
	else if (m->method == METHOD_INVITE)
		l = b2bua_find_caller(a->w->b2bua, m);
	if (!l || !b2bua_is_copy(l, m))
		return false;
	counters_add(a->w->counters, COUNTER_sip_rx_copies, 1);
	return true;
}

/* Over TLS it is who the certificate names, wherever it comes from: from
 * here on it comes from where its requests go. */
static const struct config_agent *
whose(struct sip_agent *a, struct call_message *m, const msg_t *msg)
{
	const struct tls_link *link = tport_tls_link(
		tport_delivered_by(nta_agent_tports(a->nta), msg));
	const struct config_agent *named = link ? tls_link_agent(link) : NULL;

	if (!named)
		return agent_peer(a, &m->source);
	m->source = named->address;
	return named;
}

static void take(struct sip_agent *a, struct call_message *m, msg_t *msg,
		 sip_t *sip)
{
	const struct config_agent *agent = whose(a, m, msg);
	bool known = agent || dialog_peer(a, m);
	nta_incoming_t *irq;

	if (!known) {
		counters_add(a->w->counters, COUNTER_sip_rx_unknown_source, 1);
		log_rated(LOG_NOTICE, "event=sip-unknown-source interface=%s",
			  a->sif->name);
	}
	if (m->method == METHOD_ACK) {
		if (known)
			handle_ack(a, m);
		return;
	}
	if (known && is_copy(a, m))
		return;
	irq = transaction(a, msg, sip);
	if (!irq)
		return;
	if (known)
		dispatch(a, agent, m, irq, sip);
	else
		ingress_refuse(irq, sip, 403, NULL);
}

int ingress_message(struct sip_agent *a, nta_agent_t *nta, msg_t *msg,
		    sip_t *sip)
{
	nta_incoming_t *irq;
	struct addr source;
	struct facts f;
	int refuse = 0;

	if (!sip->sip_request)
		goto out;
	counters_add(a->w->counters, COUNTER_sip_rx_requests, 1);
	facts_source(&source, msg);
	facts_init(&f);
	if (!b2bua_active(a->w->b2bua))
		refuse = 503;
	else if (facts_read(&f, a, sip, &source))
		refuse = 400;
	else
		take(a, &f.m, msg, sip);
	if (refuse == 400)
		counters_add(a->w->counters, COUNTER_sip_rx_malformed, 1);
	if (refuse && sip->sip_request->rq_method != sip_method_ack) {
		irq = transaction(a, msg, sip);
		if (irq)
			ingress_refuse(irq, sip, refuse, NULL);
	}
	facts_finish(&f);
out:
	msg_destroy(msg);
	return 0;
}

/*
 * The call is over and its records are gone, but the ACK died with the node
 * that had to send it: without one the peer repeats this for half a minute.
 */
static void ack_refused(struct sip_agent *a, const sip_t *sip,
			const struct call_message *m)
{
	struct next_hop hop = {.addr = m->source, .transport = m->transport};
	msg_t *msg;

	if (!txn_was_our_invite(a->w, m))
		return;
	msg = message_ack_refused(a, sip);
	if (msg && !message_send(a, msg, &hop, NULL, NULL, m->branch))
		msg_destroy(msg);
}

static void stray_2xx(struct sip_agent *a, const struct call_message *m)
{
	struct rec_dialog d;
	struct leg *l = leg_lookup(a->w->b2bua, a->sif->name, m->call_id,
				   m->from_tag, &d);

	if (!l)
		return;
	b2bua_restore_call(a->w->b2bua, l->call);
	b2bua_stray_2xx(a->w->b2bua, l, m);
}

int ingress_stray(struct sip_agent *a, nta_outgoing_t *orq, sip_t const *sip)
{
	struct addr source;
	struct facts f;
	msg_t *msg;

	if (!sip || !sip->sip_status || !sip->sip_cseq)
		return 0;
	counters_add(a->w->counters, COUNTER_sip_rx_responses, 1);
	if (!b2bua_active(a->w->b2bua) ||
	    sip->sip_cseq->cs_method != sip_method_invite ||
	    sip->sip_status->st_status < 200)
		return 0;
	msg = nta_outgoing_getresponse(orq);
	if (msg)
		facts_source(&source, msg);
	else
		memset(&source, 0, sizeof(source));
	facts_init(&f);
	if (!facts_read(&f, a, sip, &source)) {
		bool known =
			agent_peer(a, &source) || source.family == ADDR_NONE;

		if (known && f.m.status < 300)
			stray_2xx(a, &f.m);
		else if (f.m.status >= 300 && source.family != ADDR_NONE)
			ack_refused(a, sip, &f.m);
	}
	facts_finish(&f);
	msg_destroy(msg);
	return 0;
}
