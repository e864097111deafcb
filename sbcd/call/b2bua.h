/*
 * b2bua - back-to-back user agent: what happens on one leg of a call makes
 * something happen on the other. No SIP stack here: sip/ reports messages and
 * is told through call_ops what to send.
 *
 * Whatever must not be lost is put as records before the message leaves: ops
 * that send take a token, and hold the message until sip/ hears that the
 * token is committed. Messages of one call leave in the order they were
 * given, held or not.
 *
 * Layer: call. SIP worker, su_root thread.
 */
#ifndef SBCD_CALL_B2BUA_H
#define SBCD_CALL_B2BUA_H

#include "sbcd/base/counters.h"
#include "sbcd/call/call.h"
#include "sbcd/call/ports.h"
#include "sbcd/call/token.h"
#include "sbcd/config/config.h"

enum {
	B2BUA_T1_MS = 500,
	B2BUA_T2_MS = 4000,
	B2BUA_T1X64_MS = 64 * B2BUA_T1_MS,
	B2BUA_CSEQ_JUMP = 10,
	B2BUA_RESTORE_BATCH = 50, /* calls a turn after a take-over */
	B2BUA_RESTORE_TICK_MS = 10,
	B2BUA_WAITING_MAX = 1500, /* no more is restored beyond it */
};

/* A message that came in, as far as call/ looks at it. Strings live as long
 * as the call to b2bua_*(); NULL or "" = not there. */
struct call_message {
	enum call_method method;
	const char *method_name;
	uint16_t status; /* responses */
	const char *reason;
	const char *sip_interface;
	uint8_t transport;
	struct addr source;
	const char *call_id, *from_tag, *to_tag, *branch;
	uint32_t cseq;
	const char *from, *to; /* name-addr without tag */
	const char *from_display, *from_user, *from_host;
	const char *request_user; /* of the Request-URI */
	const char *contact; /* URI */
	const char *route; /* Record-Route in the order we would send */
	const void *sdp;
	size_t sdp_size;
	bool has_rseq;
	bool wants_prack; /* INVITE: provisional responses must be reliable */
	uint32_t rack_rseq; /* PRACK */
	const char *why; /* Reason header */
	const void *source_msg; /* sip/'s; handed back for what passes */
};

/* What to send. */
struct call_send {
	enum call_method method;
	const char *method_name; /* METHOD_OTHER */
	uint32_t cseq;
	uint16_t status;
	const char *reason;
	const void *sdp;
	size_t sdp_size;
	const void *source_msg; /* headers pass from it; may be NULL */
	const char *why; /* Reason header of a BYE or CANCEL; may be NULL */
	uint32_t rack_rseq, rack_cseq;
	uint32_t rseq; /* makes a provisional response reliable; 0 = not */
	uint32_t retry_after_s;
	unsigned warning; /* 488 */
	const char *warning_text;
};

struct call_refusal {
	unsigned warning;
	char text[96];
};

/* One offer or answer on its way from a leg to the other. */
struct call_body {
	struct leg *from, *to;
	struct rec_dialog *from_d, *to_d;
	bool offer;
	bool reinvite; /* of an INVITE within the call */
	const void *in;
	size_t in_size;
	char *out;
	size_t size;
};

/* How an exchange of offer and answer has ended. */
enum call_exchange {
	EXCHANGE_DONE = 1, /* the ACK of its 2xx, or the 2xx of an UPDATE */
	EXCHANGE_REFUSED, /* things stay as they were before it */
	EXCHANGE_LATER, /* nothing ended, time has passed */
};

struct call_ops {
	/* Server transaction: from now on events carry `t`. */
	void (*adopt)(void *ctx, struct txn *t, const char *local_tag);
	/* Builds the request, copies it to t->request, sends it when `token`
	 * is committed. 0 or -errno, then nothing was sent. */
	int (*request)(void *ctx, struct txn *t, const struct rec_dialog *d,
		       const struct call_send *s, uint64_t token);
	/*
	 * The request of `old` once more, as `t` with its number, to where `d`
	 * says now. As request; -EACCES: not to there.
	 */
	int (*redirect)(void *ctx, struct txn *t, const struct txn *old,
			const struct rec_dialog *d, uint64_t token);
	/* A 2xx to an INVITE, or what has an rseq, is copied to t->response.
	 * b2bua_sent() follows when it has left. */
	int (*response)(void *ctx, struct txn *t, const struct rec_dialog *d,
			const struct call_send *s, uint64_t token);
	/* The ACK of a 2xx: stateless, in order, never held by itself. */
	void (*ack)(void *ctx, struct call *c, const struct rec_dialog *d,
		    const struct call_send *s, uint64_t token);
	/* b2bua_cancelled() follows. */
	void (*cancel)(void *ctx, struct txn *t, const char *why,
		       uint64_t token);
	/* A response once more. */
	void (*retransmit)(void *ctx, struct txn *t);
	/* A request once more, as it was. */
	void (*repeat)(void *ctx, struct txn *t);
	/* From t->request, t->response, t->branch. */
	int (*restore)(void *ctx, struct txn *t, const struct rec_dialog *d);
	/* Ends the stack's transaction. */
	void (*release)(void *ctx, struct txn *t);
	/* The call dies: what still waits is dropped. */
	void (*forget)(void *ctx, struct call *c);
	/* Nothing of this call waits for a commit? */
	bool (*drained)(void *ctx, const struct call *c);
	/* An address of ours to show in URIs on that side, "10.0.0.1". */
	int (*local_host)(void *ctx, const char *sip_interface,
			  const struct addr *peer, char *out, size_t size);
	/*
	 * Updates both dialogs (SDP and version), the streams and their ports.
	 * Returns bytes in `out`, or -errno and a refusal; then nothing has
	 * changed.
	 */
	ssize_t (*sdp)(void *ctx, const struct call_body *body,
		       struct call_refusal *why);
	/* An offer of our own, of what the leg has, with new keys: bytes in
	 * `out`; 0 when it has no keys, or -errno, then nothing has changed. */
	ssize_t (*reoffer)(void *ctx, struct leg *l, struct rec_dialog *d,
			   char *out, size_t size);
	/* The answer to that; without keys it is not looked at. */
	int (*reanswer)(void *ctx, struct leg *l, struct rec_dialog *d,
			const void *in, size_t size, struct call_refusal *why);
	/* The exchange that was under way, if there was one; on all legs. */
	void (*exchanged)(void *ctx, struct call *c, enum call_exchange how);
	/* Packets were counted: a leg whose key is used up soon has an offer
	 * due. -ENOKEY: one is used up. */
	int (*counted)(void *ctx, struct call *c, unsigned sub,
		       const struct rec_mstate *m);
	/* A peer refused what we offered it: for the log; before exchanged(),
	 * which takes it off the record. */
	void (*offer_refused)(void *ctx, const struct leg *l, uint16_t status);
	/* From a record of somebody else: can it be worked with? */
	bool (*stream_valid)(const struct rec_media *m);
	int (*put)(void *ctx, const struct ha_key *key, const void *value,
		   size_t size, bool sync, uint64_t token);
	int (*del)(void *ctx, const struct ha_key *key);
	/* The token counts as committed (nothing was put). */
	void (*committed)(void *ctx, uint64_t token);
	uint64_t (*now_ms)(void *ctx); /* wall clock */
	/* Building from records begins, or ends (NULL): should it crash, this
	 * is the call it died of. */
	void (*building)(void *ctx, const struct call *c);
};

struct b2bua_params {
	const struct config *config;
	struct token_key key;
	unsigned node;
	unsigned shards;
	const struct call_ops *ops;
	void *ctx;
	struct counters *counters; /* may be NULL */
};

int b2bua_create(struct b2bua **out, const struct b2bua_params *p)
	__attribute__((warn_unused_result));
void b2bua_destroy(struct b2bua *b);

/* ---- what came from the network (active only) -------------------------------
 *
 * Requests: 0 when the transaction was taken, else the status to answer with;
 * `answer` says more about it.
 */
struct call_answer {
	uint32_t retry_after_s;
	unsigned warning;
	char text[96]; /* reason phrase or warning text; "" = default */
};
/* An INVITE outside of any dialog; `agent` is the session agent it came
 * from. */
int b2bua_invite(struct b2bua *b, const struct call_message *m,
		 const struct config_agent *agent, void *handle,
		 struct call_answer *answer);
/* The caller's leg of the call that an INVITE outside of any dialog has made
 * already; NULL when there is none, or its transactions are still to be
 * restored. */
struct leg *b2bua_find_caller(struct b2bua *b, const struct call_message *m);
/*
 * A copy of a request that is being dealt with, or of an INVITE whose answer
 * the peer has acknowledged: only those that came late over the change of the
 * active node, the stack absorbs all others (RFC 3261 section 17.2.1). Nothing
 * is to be answered: no transaction of the peer waits for it.
 */
bool b2bua_is_copy(const struct leg *l, const struct call_message *m);
/* Anything but ACK and CANCEL within a dialog. */
int b2bua_request(struct b2bua *b, struct leg *l, const struct call_message *m,
		  void *handle, struct call_answer *answer);
void b2bua_ack(struct b2bua *b, struct leg *l, const struct call_message *m);
void b2bua_cancel(struct b2bua *b, struct txn *t);
/* m->status, also those the stack makes up (408, 503: source_msg NULL). */
void b2bua_response(struct b2bua *b, struct txn *t,
		    const struct call_message *m);
/* The final answer to the CANCEL of `t`. */
void b2bua_cancelled(struct b2bua *b, struct txn *t, uint16_t status);
/* A 2xx to an INVITE that has no transaction (any more). */
void b2bua_stray_2xx(struct b2bua *b, struct leg *l,
		     const struct call_message *m);
/* A response of `t` has left (or never will). */
void b2bua_sent(struct b2bua *b, struct txn *t, uint16_t status);
/* The last held message of the call has left. */
void b2bua_drained(struct b2bua *b, struct call *c);

/* ---- records from the keeper ------------------------------------------------
 */
/* value NULL = deleted. -EBADMSG: not applicable. */
int b2bua_record(struct b2bua *b, const struct ha_key *key, const void *value,
		 size_t size) __attribute__((warn_unused_result));
void b2bua_activate(struct b2bua *b, uint64_t epoch);
/* Restores the transactions of a call now: something came in for it. */
void b2bua_restore_call(struct b2bua *b, struct call *c);
/* What was answered to `peer` until now is lost: asks again for the answers to
 * transactions of before the take-over. */
void b2bua_repeat(struct b2bua *b, const struct addr *peer);
/* The server INVITE a CANCEL without transaction belongs to, restored. */
struct txn *b2bua_find_invite(struct b2bua *b, const struct call_message *m);
/* A worker died of this call's records (0: of all calls'): it is ended as far
 * as it can be built, at once or when this worker becomes active. */
void b2bua_bury(struct b2bua *b, uint64_t id);
bool b2bua_active(const struct b2bua *b);

/* ---- time -------------------------------------------------------------------
 */
/* Call it once a turn: runs what is due, frees what has ended. Returns ms
 * until the next deadline, -1 = none. */
int64_t b2bua_turn(struct b2bua *b);

/* Ends a call from our side: cause is a SIP status, text goes into Reason. */
void b2bua_end(struct b2bua *b, struct call *c, uint16_t cause,
	       const char *text);

struct ports *b2bua_ports(const struct b2bua *b,
			  const struct config_realm *realm);
void *b2bua_ctx(const struct b2bua *b);
const struct config *b2bua_config(const struct b2bua *b);
const struct token_key *b2bua_key(const struct b2bua *b);
uint64_t b2bua_now(const struct b2bua *b);
/* All calls, in no order: NULL starts, NULL ends. */
struct call *b2bua_next_call(const struct b2bua *b, struct call *after);

/* What the last take-over could not go on with. */
enum { B2BUA_LOST_MAX = 16 };
struct b2bua_lost {
	uint64_t call;
	const char *reason; /* static */
};
struct b2bua_takeover {
	size_t carried;
	size_t lost_count; /* of which the first are in lost[] */
	struct b2bua_lost lost[B2BUA_LOST_MAX];
};
void b2bua_takeover(const struct b2bua *b, struct b2bua_takeover *out);

struct b2bua_stats {
	size_t calls, legs, txns, ports, restoring;
};
void b2bua_stats(const struct b2bua *b, struct b2bua_stats *out);

#endif
