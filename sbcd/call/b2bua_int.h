/*
 * b2bua_int - the inside of the B2BUA, shared by the files of call/ alone.
 *
 * Layer: call. SIP worker, su_root thread.
 */
#ifndef SBCD_CALL_B2BUA_INT_H
#define SBCD_CALL_B2BUA_INT_H

#include "sbcd/base/buf.h"
#include "sbcd/call/b2bua.h"
#include "sbcd/call/fsm.h"

struct b2bua {
	const struct config *config;
	struct token_key key;
	unsigned node;
	const struct call_ops *ops;
	void *ctx;
	struct counters *counters;
	bool active;
	uint64_t epoch; /* of the activation */
	struct call *calls;
	struct leg *legs;
	size_t txns_len;
	size_t waiting_len; /* client transactions nobody answered yet */
	uint64_t token;
	struct ports *ports[CONFIG_REALMS_MAX]; /* by index of the realm */
	/* timers.c: a binary heap, element 0 unused */
	struct call **heap;
	uint32_t heap_len, heap_capacity;
	/* calls whose transactions wait to be restored */
	struct call *restore_head, *restore_tail;
	uint64_t restore_next_ms;
	struct b2bua_takeover takeover;
	struct call *settled; /* by settle_next */
	struct buf encode;
	struct rec_txn txn_scratch; /* too big for anything else */
};

/* ---- timers.c ------------------------------------------------------------
 */
/* Recomputes when the call is due next; armed on the active only. */
void timers_rearm(struct call *c);
void timers_remove(struct call *c);
/* The call due at `now`, NULL when none. */
struct call *timers_due(struct b2bua *b, uint64_t now_ms);

/* ---- table.c -------------------------------------------------------------
 */
/* Makes the leg findable by its Call-ID and tag. */
int leg_hash(struct leg *l, const struct rec_dialog *d)
	__attribute__((warn_unused_result));
void leg_free(struct leg *l);
void stream_remove(struct call *c, unsigned sub);
/* Ports of a stream come into use or go back to the pool. */
void stream_ports(struct call *c, const struct rec_media *m, bool take);
struct ports *ports_of(const struct b2bua *b, const char *nif, uint16_t port);
/* An ending call that nothing holds any more is freed, with its records, at
 * the end of this turn: whoever is at work on it may go on. */
void call_settle(struct call *c);
void calls_reap(struct b2bua *b);

/* A client transaction is under way; something was heard of it. The stack
 * gets slow with thousands that retransmit. */
void txn_wait(struct txn *t);
void txn_heard(struct txn *t);

/* ---- store.c -------------------------------------------------------------
 */
void store_txn_dirty(struct txn *t);
/* Puts both and deletes them: what keeps the CDRs sees an attempt. */
void store_attempt(struct b2bua *b, uint64_t id, const struct rec_call *r,
		   const struct rec_dialog *d);

/* ---- relay.c -------------------------------------------------------------
 */
/* The number for our next request on the leg. */
uint32_t leg_next_cseq(struct leg *l, struct rec_dialog *d);
/* Takes target and route set of a message; `early` may still change them. */
void dialog_learn(struct rec_dialog *d, const struct call_message *m,
		  bool route);
/* Answers a server transaction and marks it done if the answer is final. */
void txn_answer(struct txn *t, const struct rec_dialog *d,
		const struct call_send *s, uint64_t token);
/* A server transaction's own answer without a body. */
void txn_reject(struct txn *t, uint16_t status, const char *reason,
		uint64_t token);
void relay_response(struct txn *t, const struct call_message *m);

/* ---- reliable.c ----------------------------------------------------------
 */
/* Numbers a provisional response that its receiver wants to acknowledge.
 * False: it must not be sent. */
bool reliable_number(struct txn *server, const struct call_message *m,
		     struct call_send *s);
/* It has left: it is repeated from now on. */
void reliable_sent(struct txn *server);
/* It is not repeated any more. */
void reliable_over(struct txn *server);
/* The status to answer a PRACK with; 0 = it is for the other side. */
uint16_t reliable_prack(struct leg *l, const struct call_message *m);

/* ---- setup.c -------------------------------------------------------------
 */
/* The call an INVITE with these identifiers made. */
struct call *setup_find(struct b2bua *b, const struct call_message *m);
void setup_response(struct txn *t, const struct call_message *m);
void setup_ack(struct leg *l, struct txn *server, const struct call_message *m);

/* ---- reoffer.c -----------------------------------------------------------
 */
/* A leg may have an offer due that nobody sees to yet. */
void reoffer_arm(struct call *c);
void reoffer_due(struct call *c);
/* Of an INVITE of ours that no other one waits for. */
void reoffer_response(struct txn *t, const struct call_message *m);

/* ---- end.c ---------------------------------------------------------------
 */
struct end_info {
	uint16_t cause; /* SIP status */
	const char *text;
	uint8_t by_leg; /* sub + 1, 0 = us */
	const struct call_message *m; /* what ended it; NULL */
	uint64_t token; /* for what leaves; 0 = one is made */
};
/* Runs an event through the table and its actions, but FORWARD. False when it
 * means nothing in this state; else everything is put. */
bool call_event(struct call *c, enum call_event ev,
		const struct end_info *info);
/* Sends BYE on a leg that is confirmed and not ended. */
void leg_bye(struct leg *l, const char *why, uint64_t token);
/* ACK of the 2xx to our last INVITE on that leg. */
void leg_ack(struct leg *l, const struct rec_dialog *d, uint64_t token);
void end_request(struct leg *l, const struct call_message *m, void *handle);
void end_response(struct txn *t, const struct call_message *m);
/* Ends what the record says is ending (after a take-over). */
void end_resume(struct call *c);

/* ---- restore.c -----------------------------------------------------------
 */
void restore_run(struct b2bua *b);
void restore_unqueue(struct call *c);
/* The INVITE that made this call came again before its transaction was
 * restored. -EEXIST when it was. */
int restore_invite(struct call *c, void *handle)
	__attribute__((warn_unused_result));

#endif
