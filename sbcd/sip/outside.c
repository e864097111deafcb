/*
 * Requests outside calls that a local-policy passes on: an unsolicited NOTIFY
 * of a voice mail system, a MESSAGE, OPTIONS for a user.
 *
 * Nothing of them is on record. What a request becomes on the other side
 * follows from it: when the peer repeats it to the next node, that sends the
 * same again, and whoever has answered answers once more.
 */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <utlist.h>

#include "sbcd/base/log.h"
#include "sbcd/sip/sip_int.h"

enum { OUTSIDE_MAX = 1000 }; /* at a time */

struct outside {
	struct outside *prev, *next;
	struct sip_worker *w;
	struct sip_agent *from, *to;
	nta_incoming_t *irq;
	nta_outgoing_t *orq;
	struct rec_dialog in, out; /* as far as a message needs them */
	enum call_method method;
	char method_name[16];
};

static void end(struct outside *o)
{
	DL_DELETE(o->w->outside, o);
	o->w->outside_len--;
	if (o->orq)
		nta_outgoing_destroy(o->orq);
	if (o->irq)
		nta_incoming_destroy(o->irq);
	free(o);
}

static void answer(struct outside *o, uint16_t status, const sip_t *sip)
{
	struct call_send s = {
		.method = o->method,
		.method_name = o->method_name,
		.status = status,
		.source_msg = sip,
		.reason = sip ? sip->sip_status->st_phrase : NULL,
	};
	msg_t *msg = message_response(o->from, o->irq, &o->in, &s,
				      sip ? o->to : NULL);

	if (msg)
		nta_incoming_mreply(o->irq, msg);
	else
		nta_incoming_treply(o->irq, SIP_500_INTERNAL_SERVER_ERROR,
				    TAG_END());
}

static int on_response(struct txn *magic, nta_outgoing_t *orq, sip_t const *sip)
{
	struct outside *o = (struct outside *)magic;
	int status = nta_outgoing_status(orq);

	if (status < 200)
		return 0;
	/* What the stack says itself has no message. */
	answer(o, (uint16_t)status, sip && sip->sip_status ? sip : NULL);
	end(o);
	return 0;
}

/* The other side's dialog, which is none: made of what the request has. */
static int make_out(struct outside *o, const struct call_message *m,
		    const struct config_agent *peer, char *branch, size_t size)
{
	const struct token_key *key = b2bua_key(o->w->b2bua);
	const char *user = m->request_user ? m->request_user : "";
	const char *at = *user ? "@" : "";
	bool bare6 = strchr(peer->host, ':') && peer->host[0] != '[';
	struct rec_dialog *d = &o->out;
	char cseq[16], own[ADDR_TEXT_SIZE], tag[TOKEN_TEXT_SIZE];
	const char *parts[] = {m->call_id, m->from_tag, cseq, m->branch,
			       m->method_name};
	struct token_seed seed;

	if (message_local_host(o->to, peer->address.family, own, sizeof(own)))
		return -EADDRNOTAVAIL;
	snprintf(cseq, sizeof(cseq), "%u", m->cseq);
	token_seed(key, &seed, parts, sizeof(parts) / sizeof(parts[0]));
	token_text(key, &seed, "call-id", d->call_id);
	token_text(key, &seed, "from-tag", d->local_tag);
	token_text(key, &seed, "branch", tag);
	snprintf(branch, size, "z9hG4bK%s", tag);
	d->transport = peer->transport;
	d->peer = peer->address;
	snprintf(d->local_uri, sizeof(d->local_uri), "<sip:%s%s%s>",
		 m->from_user ? m->from_user : "",
		 m->from_user && *m->from_user ? "@" : "", own);
	snprintf(d->remote_uri, sizeof(d->remote_uri),
		 bare6 ? "<sip:%s%s[%s]>" : "<sip:%s%s%s>", user, at,
		 peer->host);
	snprintf(d->remote_target, sizeof(d->remote_target),
		 bare6 ? "sip:%s%s[%s]:%u%s%s" : "sip:%s%s%s:%u%s%s", user, at,
		 peer->host, peer->address.port ? peer->address.port : 5060,
		 peer->transport == TRANSPORT_UDP ? "" : ";transport=",
		 peer->transport == TRANSPORT_UDP
			 ? ""
			 : transport_name(peer->transport));
	/* Of ours: what the answer's To needs. */
	o->in.transport = m->transport;
	o->in.peer = m->source;
	token_text(key, &seed, "to-tag", o->in.local_tag);
	return 0;
}

static int send_on(struct outside *o, const struct call_message *m,
		   const struct config_agent *peer)
{
	struct next_hop hop = {.addr = peer->address,
			       .transport = peer->transport};
	struct call_send s = {
		.method = o->method,
		.method_name = o->method_name,
		.cseq = 1,
		.source_msg = m->source_msg,
	};
	char branch[REC_TOKEN_SIZE];
	int err = make_out(o, m, peer, branch, sizeof(branch));
	msg_t *msg;

	if (err)
		return err;
	msg = message_request(o->to, &o->out, &s, &hop, o->from);
	if (!msg)
		return -EINVAL;
	o->orq = message_send(o->to, msg, &hop, on_response, (struct txn *)o,
			      branch);
	if (o->orq)
		return 0;
	msg_destroy(msg);
	return -EIO;
}

/* Where it goes; NULL: nowhere. */
static const struct config_agent *next_hop(const struct sip_agent *a,
					   const struct call_message *m)
{
	const char *user = m->request_user ? m->request_user : "";
	uint8_t bit = config_outside_bit(m->method_name);
	const struct config_policy *p;

	/* OPTIONS for nobody are for us. */
	if (!bit || (bit == OUTSIDE_OPTIONS && !*user))
		return NULL;
	p = config_route(a->w->config, a->sif->realm,
			 m->from_user ? m->from_user : "", user);
	return p && (p->outside & bit) ? p->next_hop : NULL;
}

int outside_request(struct sip_agent *a, const struct call_message *m,
		    nta_incoming_t *irq)
{
	const struct config_agent *peer = next_hop(a, m);
	const struct config_sip_interface *sif =
		peer ? config_sip_interface_of_realm(a->w->config, peer->realm)
		     : NULL;
	struct outside *o;

	if (!sif)
		return -ENOENT;
	if (a->w->quiesce_wanted || a->w->outside_len >= OUTSIDE_MAX)
		return 503;
	o = calloc(1, sizeof(*o));
	if (!o)
		return 500;
	o->w = a->w;
	o->from = a;
	o->to = agent_find(a->w, sif->name);
	o->method = m->method;
	snprintf(o->method_name, sizeof(o->method_name), "%s", m->method_name);
	DL_APPEND(a->w->outside, o);
	a->w->outside_len++;
	if (!o->to || send_on(o, m, peer)) {
		end(o);
		return 500;
	}
	o->irq = irq;
	nta_incoming_tag(irq, o->in.local_tag);
	log_rated(LOG_INFO, "event=passed-on method=%s from=%s to=%s",
		  o->method_name, a->sif->name, peer->name);
	return 0;
}

void outside_destroy(struct sip_worker *w)
{
	while (w->outside)
		end(w->outside);
}
