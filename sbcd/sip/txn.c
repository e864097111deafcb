/* The stack's transactions under those of call/: call_ops, and the callbacks
 * that lead back. */
#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "sbcd/base/clock.h"
#include "sbcd/base/log.h"
#include "sbcd/sip/secure.h"
#include "sbcd/sip/sip_int.h"

static struct sip_agent *dialog_agent(struct sip_worker *w,
				      const struct rec_dialog *d)
{
	return agent_find(w, d->sip_interface);
}

static struct sip_agent *leg_agent(struct sip_worker *w, const struct leg *l)
{
	struct rec_dialog d;

	if (!l || leg_load(l, &d))
		return NULL;
	return dialog_agent(w, &d);
}

/* The branch of a request within a dialog: the same on any node. */
/* It follows from what a request is told by, so that each node knows it. */
static void branch_of(struct sip_worker *w, const char *call_id,
		      const char *local_tag, const char *remote_tag,
		      uint32_t cseq_number, const char *method, char *out)
{
	const struct token_key *key = b2bua_key(w->b2bua);
	char cseq[16];
	const char *parts[] = {call_id, local_tag, remote_tag, cseq, method};
	struct token_seed seed;

	snprintf(cseq, sizeof(cseq), "%u", cseq_number);
	token_seed(key, &seed, parts, 5);
	strcpy(out, "z9hG4bK");
	token_text(key, &seed, "branch", out + 7);
}

static void make_branch(struct sip_worker *w, struct txn *t,
			const struct rec_dialog *d, const struct call_send *s)
{
	branch_of(w, d->call_id, d->local_tag, d->remote_tag, s->cseq,
		  s->method_name ? s->method_name : call_method_name(s->method),
		  t->branch);
}

bool txn_was_our_invite(struct sip_worker *w, const struct call_message *m)
{
	char first[REC_TOKEN_SIZE], later[REC_TOKEN_SIZE];

	if (!m->branch || m->method != METHOD_INVITE)
		return false;
	branch_of(w, m->call_id, m->from_tag, "", m->cseq, "INVITE", first);
	branch_of(w, m->call_id, m->from_tag, m->to_tag, m->cseq, "INVITE",
		  later);
	return !strcmp(m->branch, first) || !strcmp(m->branch, later);
}

/* The stack would send a 100 after 200 ms: ours leaves with the commit, and a
 * caller that has heard of ringing needs none. */
static void bind_server(nta_incoming_t *irq, struct txn *t)
{
	nta_incoming_bind(irq, txn_ack_cancel, t);
	if (t->method == METHOD_INVITE)
		nta_incoming_set_params(irq, NTATAG_EXTRA_100(0), TAG_END());
}

static void op_adopt(void *ctx, struct txn *t, const char *local_tag)
{
	nta_incoming_t *irq = t->handle;
	msg_t *msg;

	bind_server(irq, t);
	nta_incoming_tag(irq, local_tag);
	if (!t->recorded || t->request.data)
		return;
	msg = nta_incoming_getrequest(irq);
	if (message_to_blob(msg, &t->request))
		t->recorded = false;
	msg_destroy(msg);
}

/* It leaves when what is on record of it is committed; takes the message. */
static int hold_request(struct sip_worker *w, struct txn *t,
			struct sip_agent *a, msg_t *msg,
			const struct next_hop *hop, uint64_t token)
{
	t->transport = hop->transport;
	t->peer = hop->addr;
	if (t->recorded || t->method == METHOD_INVITE) {
		int err = message_to_blob(msg, &t->request);

		if (err) {
			msg_destroy(msg);
			return err;
		}
	}
	return outbox_add(w, t->call, t, HELD_REQUEST, a, msg, hop, token);
}

static int op_request(void *ctx, struct txn *t, const struct rec_dialog *d,
		      const struct call_send *s, uint64_t token)
{
	struct sip_worker *w = ctx;
	struct sip_agent *a = dialog_agent(w, d);
	struct next_hop hop;
	msg_t *msg;
	int err;

	if (!a)
		return -ENODEV;
	err = message_next_hop(a, d, &hop);
	if (err)
		return err;
	msg = message_request(a, d, s, &hop, leg_agent(w, leg_peer(t->leg)));
	if (!msg)
		return -ENOMEM;
	if (!t->branch[0])
		make_branch(w, t, d, s);
	return hold_request(w, t, a, msg, &hop, token);
}

/* Only to who is a session agent there: a redirection is a peer's word. */
static int op_redirect(void *ctx, struct txn *t, const struct txn *old,
		       const struct rec_dialog *d, uint64_t token)
{
	struct call_send s = {.method = METHOD_INVITE, .cseq = t->cseq};
	struct sip_worker *w = ctx;
	struct sip_agent *a = dialog_agent(w, d);
	struct next_hop hop;
	msg_t *msg;
	int err;

	if (!a)
		return -ENODEV;
	err = message_next_hop(a, d, &hop);
	if (err)
		return err;
	if (!agent_peer(a, &hop.addr))
		return -EACCES;
	msg = message_redirected(a, old, d, t->cseq, &hop);
	if (!msg)
		return -EINVAL;
	make_branch(w, t, d, &s);
	return hold_request(w, t, a, msg, &hop, token);
}

static int op_response(void *ctx, struct txn *t, const struct rec_dialog *d,
		       const struct call_send *s, uint64_t token)
{
	struct sip_worker *w = ctx;
	struct sip_agent *a = dialog_agent(w, d);
	msg_t *msg;

	if (!a || !t->handle)
		return -ENODEV;
	msg = message_response(a, t->handle, d, s,
			       leg_agent(w, leg_peer(t->leg)));
	if (!msg)
		return -ENOMEM;
	if (((t->method == METHOD_INVITE && t->state == TXN_ANSWERED) ||
	     s->rseq) &&
	    message_to_blob(msg, &t->response)) {
		msg_destroy(msg);
		return -ENOMEM;
	}
	return outbox_add(w, t->call, t, HELD_RESPONSE, a, msg, NULL, token);
}

static void op_ack(void *ctx, struct call *c, const struct rec_dialog *d,
		   const struct call_send *s, uint64_t token)
{
	struct sip_worker *w = ctx;
	struct sip_agent *a = dialog_agent(w, d);
	struct next_hop hop;
	msg_t *msg;

	if (!a || message_next_hop(a, d, &hop))
		return;
	msg = message_request(a, d, s, &hop, NULL);
	if (!msg)
		return;
	if (outbox_add(w, c, NULL, HELD_ACK, a, msg, &hop, token))
		log_rated(LOG_ERR, "event=ack-send result=failed");
}

static void op_cancel(void *ctx, struct txn *t, const char *why, uint64_t token)
{
	struct sip_worker *w = ctx;
	struct sip_agent *a = txn_agent(t);
	struct next_hop hop = {.addr = t->peer, .transport = t->transport};
	msg_t *msg = a ? message_cancel(a, t, why) : NULL;

	if (!msg)
		return;
	if (outbox_add(w, t->call, t, HELD_CANCEL, a, msg, &hop, token))
		log_rated(LOG_ERR, "event=cancel-send result=failed");
}

static void op_retransmit(void *ctx, struct txn *t)
{
	msg_t *msg;

	if (!t->handle || !t->response.data)
		return;
	msg = message_parse(t->response.data, t->response.size);
	if (msg)
		nta_incoming_mreply(t->handle, msg);
}

static void op_repeat(void *ctx, struct txn *t)
{
	struct next_hop hop = {.addr = t->peer, .transport = t->transport};
	struct sip_agent *a = txn_agent(t);
	msg_t *msg = NULL;

	if (t->handle)
		msg = message_parse(t->request.data, t->request.size);
	else if (a && t->cancel)
		msg = message_cancel(a, t, NULL);
	/* The stack's transaction takes the answer: same branch. */
	if (!a || !msg || !message_send(a, msg, &hop, NULL, NULL, t->branch))
		msg_destroy(msg);
}

static tport_t *primary_of(const struct sip_agent *a, const char *proto,
			   uint8_t family)
{
	tport_t *tp = tport_primaries(nta_agent_tports(a->nta));

	for (; tp; tp = tport_next(tp)) {
		const tp_name_t *n = tport_name(tp);
		bool v6 = strchr(n->tpn_host, ':') != NULL;

		if (su_casematch(n->tpn_proto, proto) &&
		    v6 == (family == ADDR_V6))
			return tp;
	}
	return NULL;
}

static int restore_server(struct sip_agent *a, struct txn *t,
			  const struct rec_dialog *d)
{
	msg_t *msg = message_parse(t->request.data, t->request.size);
	sip_t *sip = msg ? sip_object(msg) : NULL;
	const char *proto;
	nta_incoming_t *irq;
	tport_t *tp;

	if (!sip || !sip->sip_request || !sip->sip_via) {
		msg_destroy(msg);
		return -EBADMSG;
	}
	proto = sip_via_transport(sip->sip_via);
	tp = proto ? primary_of(a, proto, t->peer.family) : NULL;
	if (!tp) {
		msg_destroy(msg);
		return -ENODEV;
	}
	/* The connection it came by died with the other node, and the stack
	 * always notes its port: answer to where the peer listens (RFC 3261
	 * section 18.2.2). */
	if (!su_casematch(proto, "udp") && sip->sip_via->v_rport) {
		msg_header_remove_param(sip->sip_via->v_common, "rport");
		sip->sip_via->v_rport = NULL;
	}
	irq = nta_incoming_create(a->nta, NULL, msg, sip, NTATAG_TPORT(tp),
				  TAG_END());
	if (!irq)
		return -EIO;
	bind_server(irq, t);
	nta_incoming_tag(irq, d->local_tag);
	t->handle = irq;
	return 0;
}

static int restore_client(struct sip_agent *a, struct txn *t)
{
	struct next_hop hop = {.addr = t->peer, .transport = t->transport};
	msg_t *msg = message_parse(t->request.data, t->request.size);

	if (!msg)
		return -EBADMSG;
	/* Same branch: to the peer it is a retransmission. */
	t->handle = message_send(a, msg, &hop, txn_response, t, t->branch);
	if (!t->handle) {
		msg_destroy(msg);
		return -EIO;
	}
	return 0;
}

static int op_restore(void *ctx, struct txn *t, const struct rec_dialog *d)
{
	struct sip_agent *a = dialog_agent(ctx, d);

	if (!a)
		return -ENODEV;
	if (t->handle)
		return 0;
	return t->side == TXN_SERVER ? restore_server(a, t, d)
				     : restore_client(a, t);
}

static void op_release(void *ctx, struct txn *t)
{
	outbox_forget(ctx, t);
	if (t->cancel)
		nta_outgoing_destroy(t->cancel);
	t->cancel = NULL;
	if (!t->handle)
		return;
	if (t->side == TXN_SERVER)
		nta_incoming_destroy(t->handle);
	else
		nta_outgoing_destroy(t->handle);
	t->handle = NULL;
}

static void op_forget(void *ctx, struct call *c)
{
	outbox_drop(ctx, c);
}

static bool op_drained(void *ctx, const struct call *c)
{
	return outbox_empty(c);
}

static int op_local_host(void *ctx, const char *sip_interface,
			 const struct addr *peer, char *out, size_t size)
{
	const struct sip_agent *a = agent_find(ctx, sip_interface);

	if (!a)
		return -ENODEV;
	return message_local_host(a, peer->family, out, size);
}

static int op_put(void *ctx, const struct ha_key *key, const void *value,
		  size_t size, bool sync, uint64_t token)
{
	struct sip_worker *w = ctx;

	return worker_link_put(w->link, key, value, size, sync, token);
}

static int op_del(void *ctx, const struct ha_key *key)
{
	struct sip_worker *w = ctx;

	return worker_link_delete(w->link, key, false, 0);
}

static void op_committed(void *ctx, uint64_t token)
{
	outbox_committed(ctx, token);
}

static uint64_t op_now_ms(void *ctx)
{
	(void)ctx;
	return clock_pair_ms();
}

static void op_building(void *ctx, const struct call *c)
{
	guard_building(c ? c->id : 0);
}

const struct call_ops sip_call_ops = {
	.adopt = op_adopt,
	.request = op_request,
	.redirect = op_redirect,
	.response = op_response,
	.ack = op_ack,
	.cancel = op_cancel,
	.retransmit = op_retransmit,
	.repeat = op_repeat,
	.restore = op_restore,
	.release = op_release,
	.forget = op_forget,
	.drained = op_drained,
	.local_host = op_local_host,
	.sdp = media_relay,
	.reoffer = media_reoffer,
	.reanswer = media_reanswer,
	.exchanged = secure_exchanged,
	.counted = secure_counted,
	.offer_refused = secure_offer_refused,
	.stream_valid = sdes_media_valid,
	.put = op_put,
	.del = op_del,
	.committed = op_committed,
	.now_ms = op_now_ms,
	.building = op_building,
};

/* ---- back to call/
 * -----------------------------------------------------------------
 */

struct sip_worker *txn_worker(const struct txn *t)
{
	return b2bua_ctx(t->call->owner);
}

struct sip_agent *txn_agent(const struct txn *t)
{
	return leg_agent(txn_worker(t), t->leg);
}

int txn_ack_cancel(struct txn *t, nta_incoming_t *irq, sip_t const *sip)
{
	struct b2bua *b;

	if (!t || !sip || !sip->sip_request)
		return 0;
	b = t->call->owner;
	if (sip->sip_request->rq_method == sip_method_cancel)
		b2bua_cancel(b, t);
	return 0;
}

int txn_cancelled(struct txn *t, nta_outgoing_t *orq, sip_t const *sip)
{
	int status = nta_outgoing_status(orq);

	if (!t || status < 200)
		return 0;
	nta_outgoing_destroy(orq);
	t->cancel = NULL;
	b2bua_cancelled(t->call->owner, t, (uint16_t)status);
	return 0;
}

int txn_response(struct txn *t, nta_outgoing_t *orq, sip_t const *sip)
{
	struct b2bua *b;
	struct sip_agent *a;
	struct facts f;
	struct addr source;
	msg_t *msg;

	if (!t)
		return 0;
	b = t->call->owner;
	counters_add(txn_worker(t)->counters, COUNTER_sip_rx_responses, 1);
	facts_init(&f);
	a = txn_agent(t);
	msg = sip ? nta_outgoing_getresponse(orq) : NULL;
	if (msg)
		facts_source(&source, msg);
	else
		memset(&source, 0, sizeof(source));
	if (!sip || !a || facts_read(&f, a, sip, &source)) {
		/* A broken final response is as good as none. */
		memset(&f.m, 0, sizeof(f.m));
		f.m.status = (uint16_t)nta_outgoing_status(orq);
		if (sip && f.m.status >= 200)
			f.m.status = 500;
	} else if (nta_sip_is_internal(sip)) {
		f.m.source_msg = NULL;
		f.m.contact = NULL;
		f.m.to_tag = NULL;
	}
	b2bua_response(b, t, &f.m);
	msg_destroy(msg);
	facts_finish(&f);
	return 0;
}
