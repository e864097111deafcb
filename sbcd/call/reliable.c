/*
 * Provisional responses for a caller that demands reliable ones (RFC 3262) of
 * a callee that takes no notice: we number them, repeat them and take the
 * PRACK. What a callee numbers itself crosses us end to end.
 */
#include "sbcd/base/log.h"
#include "sbcd/call/b2bua_int.h"

bool reliable_number(struct txn *server, const struct call_message *m,
		     struct call_send *s)
{
	if (!server->wants_prack || m->has_rseq)
		return true;
	/* RFC 3262 section 3: not a second one before the PRACK of the first.
	 * A callee that only repeats itself says nothing new. */
	if (server->unpracked ||
	    (server->rseq && server->last_status == m->status && !s->sdp_size))
		return false;
	s->rseq = ++server->rseq;
	server->unpracked = true;
	store_txn_dirty(server);
	return true;
}

void reliable_sent(struct txn *server)
{
	uint64_t now = b2bua_now(server->call->owner);

	server->retransmit_ms = B2BUA_T1_MS;
	server->next_ms = now + B2BUA_T1_MS;
	server->until_ms = now + B2BUA_T1X64_MS;
}

void reliable_over(struct txn *server)
{
	if (!server->unpracked)
		return;
	server->unpracked = false;
	server->next_ms = server->until_ms = 0;
	blob_clear(&server->response);
	store_txn_dirty(server);
}

uint16_t reliable_prack(struct leg *l, const struct call_message *m)
{
	struct txn *t = txn_find(l, TXN_SERVER, METHOD_INVITE);
	struct call *c = l->call;
	struct rec_dialog d;

	if (c->state == CALL_ENDING || !t || !t->rseq ||
	    t->rseq != m->rack_rseq || leg_load(l, &d))
		return 0;
	if (m->cseq < d.remote_cseq)
		return 500;
	d.remote_cseq = m->cseq;
	if (leg_store(l, &d))
		log_rated(LOG_ERR, "event=dialog-store result=failed");
	reliable_over(t);
	store_flush(c);
	timers_rearm(c);
	/* There is nobody to answer an offer in it. */
	return m->sdp_size ? 488 : 200;
}
