/* What call/ needs to know of a message, taken out of the stack's form. */
#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <strings.h>

#include "sbcd/sip/sip_int.h"

/* Leaves room for a host in REC_URI_SIZE. */
enum { FACTS_USER_SIZE = 160 };

void facts_init(struct facts *f)
{
	memset(f, 0, sizeof(*f));
	su_home_init(f->home);
}

void facts_finish(struct facts *f)
{
	su_home_deinit(f->home);
}

void facts_source(struct addr *out, msg_t *msg)
{
	su_sockaddr_t *su = msg_addr(msg);

	if (!su || addr_from_sockaddr(out, &su->su_sa))
		memset(out, 0, sizeof(*out));
}

static bool fits(const char *text, size_t size)
{
	return !text || strlen(text) < size;
}

/* "<uri>" without tag and other parameters. */
static const char *name_addr(struct facts *f, const sip_addr_t *a)
{
	const char *uri = url_as_string(f->home, a->a_url);
	char *text = uri ? su_sprintf(f->home, "<%s>", uri) : NULL;

	return text ? text : "";
}

static const char *route_set(struct facts *f, const sip_record_route_t *rr,
			     bool reverse)
{
	const char *set = "";

	for (; rr; rr = rr->r_next) {
		sip_record_route_t one = *rr;
		const char *text;

		one.r_next = NULL;
		text = sip_header_as_string(f->home, (sip_header_t *)&one);
		if (!text)
			return "";
		if (!*set)
			set = text;
		else if (reverse)
			set = su_sprintf(f->home, "%s, %s", text, set);
		else
			set = su_sprintf(f->home, "%s, %s", set, text);
		if (!set)
			return "";
	}
	return set;
}

static bool is_sdp(const sip_t *sip)
{
	return sip->sip_payload && sip->sip_payload->pl_len &&
	       sip->sip_content_type && sip->sip_content_type->c_type &&
	       !strcasecmp(sip->sip_content_type->c_type, "application/sdp");
}

static bool lists(const msg_param_t *items, const char *what)
{
	for (; items && *items; items++)
		if (!strcasecmp(*items, what))
			return true;
	return false;
}

static void read_parties(struct facts *f, const sip_t *sip)
{
	struct call_message *m = &f->m;
	const sip_from_t *from = sip->sip_from;

	m->from = name_addr(f, from);
	m->to = name_addr(f, sip->sip_to);
	m->from_display = from->a_display ? from->a_display : "";
	m->from_user = from->a_url->url_user ? from->a_url->url_user : "";
	m->from_host = from->a_url->url_host ? from->a_url->url_host : "";
	m->from_tag = from->a_tag ? from->a_tag : "";
	m->to_tag = sip->sip_to->a_tag ? sip->sip_to->a_tag : "";
}

static void read_extras(struct facts *f, const sip_t *sip)
{
	struct call_message *m = &f->m;

	if (sip->sip_contact && sip->sip_contact->m_url->url_host)
		m->contact = url_as_string(f->home, sip->sip_contact->m_url);
	m->route = route_set(f, sip->sip_record_route, sip->sip_status != NULL);
	if (is_sdp(sip)) {
		m->sdp = sip->sip_payload->pl_data;
		m->sdp_size = sip->sip_payload->pl_len;
	}
	m->wants_prack = sip->sip_request && sip->sip_require &&
			 lists(sip->sip_require->k_items, "100rel");
	m->has_rseq = sip->sip_rseq && sip->sip_require &&
		      lists(sip->sip_require->k_items, "100rel");
	if (sip->sip_reason)
		m->why = sip_header_as_string(f->home,
					      (sip_header_t *)sip->sip_reason);
	if (sip->sip_rack)
		m->rack_rseq = sip->sip_rack->ra_response;
}

int facts_read(struct facts *f, const struct sip_agent *a, const sip_t *sip,
	       const struct addr *source)
{
	struct call_message *m = &f->m;
	const char *via = sip->sip_via ? sip_via_transport(sip->sip_via) : NULL;

	if (!sip->sip_from || !sip->sip_to || !sip->sip_call_id ||
	    !sip->sip_cseq)
		return -EINVAL;
	m->sip_interface = a->sif->name;
	m->source = *source;
	m->source_msg = sip;
	m->transport = via ? transport_of(via) : 0;
	m->branch = sip->sip_via ? sip->sip_via->v_branch : NULL;
	m->call_id = sip->sip_call_id->i_id;
	m->cseq = sip->sip_cseq->cs_seq;
	m->method_name = sip->sip_cseq->cs_method_name;
	m->method = call_method_of(m->method_name);
	if (sip->sip_status) {
		m->status = (uint16_t)sip->sip_status->st_status;
		m->reason = sip->sip_status->st_phrase;
	}
	if (sip->sip_request)
		m->request_user = sip->sip_request->rq_url->url_user;
	read_parties(f, sip);
	read_extras(f, sip);
	if (!fits(m->call_id, REC_CALLID_SIZE) ||
	    !fits(m->from_tag, REC_TOKEN_SIZE) ||
	    !fits(m->to_tag, REC_TOKEN_SIZE) || !fits(m->from, REC_URI_SIZE) ||
	    !fits(m->to, REC_URI_SIZE) || !fits(m->contact, REC_URI_SIZE) ||
	    !fits(m->route, REC_ROUTE_SIZE) ||
	    !fits(m->branch, REC_TOKEN_SIZE) ||
	    !fits(m->request_user, FACTS_USER_SIZE) ||
	    !fits(m->from_user, FACTS_USER_SIZE) ||
	    !fits(m->from_host, FACTS_USER_SIZE) || m->sdp_size > REC_SDP_SIZE)
		return -EINVAL;
	return 0;
}
