/*
 * call - the calls of this node: a call has legs (dialogs), streams and, as
 * long as something is under way, transactions.
 *
 * What a call is stands in its records, kept encoded as they travel; the
 * structs here only add what is needed to find them and to drive timers. An
 * established call is the same on the active and on the standby, so taking
 * over means: restore the transactions, arm the timers.
 *
 * Loaders decode into scratch space of the caller's choice; storers encode,
 * mark dirty, and nothing travels before store_flush() or store_commit().
 *
 * Layer: call. SIP worker, su_root thread.
 */
#ifndef SBCD_CALL_CALL_H
#define SBCD_CALL_CALL_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* Out of memory is an error code, not exit(). */
#define HASH_NONFATAL_OOM 1
#include <uthash.h>

#include "hasync/key.h"
#include "sbcd/record/kinds.h"

struct b2bua;
struct call;

enum {
	CALL_LEGS_MAX = 2, /* this release; records hold more */
	CALL_STREAMS_MAX = REC_STREAMS_MAX,
};

/* An encoded record. This and what else lives as long as a call comes from
 * the pool: the stack's transactions come and go in the heap around it. */
struct blob {
	uint8_t *data;
	uint32_t size;
	bool dirty; /* differs from what was put */
};

struct leg {
	UT_hash_handle hh;
	uint64_t hash; /* interface, Call-ID, local tag */
	struct call *call;
	uint16_t sub;
	uint8_t role; /* enum rec_leg_role */
	bool hashed;
	bool restored; /* the last CSeq used may not have been replicated */
	bool offer_due; /* as its record says */
	struct blob value;
};

enum call_method {
	METHOD_OTHER = 0,
	METHOD_INVITE,
	METHOD_ACK,
	METHOD_CANCEL,
	METHOD_BYE,
	METHOD_OPTIONS,
	METHOD_PRACK,
	METHOD_UPDATE,
	METHOD_INFO,
	METHOD_MAX
};

const char *call_method_name(enum call_method m);
enum call_method call_method_of(const char *name);

struct txn {
	struct txn *next;
	struct call *call;
	struct leg *leg;
	struct txn *pair; /* forwarded as/from; NULL = our own */
	void *handle; /* the stack's transaction, of sip/ */
	void *cancel; /* and the one of its CANCEL */
	uint16_t sub;
	uint16_t pair_sub; /* of a restored one, until pairs are joined */
	bool pair_valid;
	uint8_t side; /* enum rec_txn_side */
	uint8_t state; /* enum rec_txn_state */
	uint8_t method; /* enum call_method */
	uint8_t transport;
	bool recorded; /* is worth a REC_TXN */
	bool stored; /* has one */
	bool delayed; /* an INVITE without an offer */
	bool agreed; /* as in rec_txn */
	bool provisional; /* client: a 1xx came */
	bool cancelled; /* client: a CANCEL went or waits for a 1xx */
	bool waiting; /* client: nothing heard yet */
	bool restored; /* it was begun by the node before us */
	bool done; /* final response on its way out; free when sent */
	bool wants_prack; /* server INVITE: the caller requires 100rel */
	bool unpracked; /* `response` is a 1xx of ours without its PRACK */
	uint16_t last_status;
	uint32_t cseq;
	uint32_t rseq; /* of the last 1xx we numbered, 0 = none */
	uint32_t retransmit_ms; /* interval, of a 2xx to INVITE or a 1xx */
	uint64_t next_ms, until_ms; /* 0 = no timer */
	char branch[REC_TOKEN_SIZE];
	struct addr peer;
	struct blob request, response; /* raw messages, not records */
	struct blob value; /* the record; standby only */
};

struct call {
	UT_hash_handle hh;
	uint64_t id;
	struct b2bua *owner;
	uint8_t state; /* enum rec_call_state; 0 = record not seen yet */
	bool deleting; /* frees itself when nothing holds it any more */
	uint8_t streams_len, streams_cap;
	uint8_t legs_len;
	struct blob value;
	struct leg *legs[CALL_LEGS_MAX];
	struct blob *streams; /* REC_MEDIA, streams_len of streams_cap */
	struct txn *txns;
	void *outbox; /* messages waiting for a commit, of sip/ */
	uint32_t heap_index; /* timers.c; 0 = not armed */
	uint64_t deadline_ms;
	uint64_t ring_deadline_ms, max_deadline_ms, end_deadline_ms;
	uint64_t keys_deadline_ms; /* a key of before goes */
	uint64_t reoffer_ms; /* when a leg's offer_due is to be seen to */
	/* Bits of streams as the node before us left them: not to be worked
	 * with; in the middle of an exchange. */
	uint8_t streams_bad, streams_open;
	uint16_t next_txn;
	bool buried; /* to be ended: its records are not to be trusted */
	bool restore_pending; /* transactions are still plain records */
	struct call *restore_next;
	bool settling;
	struct call *settle_next;
};

/* ---- calls ---------------------------------------------------------------
 */
struct call *call_find(const struct b2bua *b, uint64_t id);
int call_create(struct b2bua *b, uint64_t id, struct call **out)
	__attribute__((warn_unused_result));
/* Frees memory, ports and handles; no record is touched. */
void call_free(struct call *c);
size_t call_count(const struct b2bua *b);

/* ---- legs ----------------------------------------------------------------
 */
int leg_create(struct call *c, uint16_t sub, uint8_t role, struct leg **out)
	__attribute__((warn_unused_result));
struct leg *leg_find_sub(const struct call *c, uint16_t sub);
/* The other leg of a two-party call; NULL when there is none. */
struct leg *leg_peer(const struct leg *l);
/* By what stands in a request for us: our tag is in To. NULL when unknown.
 * `d` gets the dialog of the leg found. */
struct leg *leg_lookup(struct b2bua *b, const char *sip_interface,
		       const char *call_id, const char *local_tag,
		       struct rec_dialog *d);

/* ---- transactions --------------------------------------------------------
 */
int txn_create(struct leg *l, uint8_t side, enum call_method method,
	       struct txn **out) __attribute__((warn_unused_result));
/* Releases the stack's transaction, unlinks the pair, drops the record. */
void txn_free(struct txn *t);
/* First of `side` and `method` on a leg that is not done. */
struct txn *txn_find(const struct leg *l, uint8_t side,
		     enum call_method method);
/* Copies a raw message. */
int blob_set(struct blob *b, const void *data, size_t size)
	__attribute__((warn_unused_result));
void blob_clear(struct blob *b);

/* ---- records -------------------------------------------------------------
 */
/* 0, -ENOENT when there is none, -EBADMSG. */
int call_load(const struct call *c, struct rec_call *out)
	__attribute__((warn_unused_result));
int call_store(struct call *c, const struct rec_call *in)
	__attribute__((warn_unused_result));
int leg_load(const struct leg *l, struct rec_dialog *out)
	__attribute__((warn_unused_result));
int leg_store(struct leg *l, const struct rec_dialog *in)
	__attribute__((warn_unused_result));
int stream_load(const struct call *c, unsigned sub, struct rec_media *out)
	__attribute__((warn_unused_result));
/* `sub` is at most streams_len: appends. */
int stream_store(struct call *c, unsigned sub, const struct rec_media *in)
	__attribute__((warn_unused_result));

/* A token for store_commit(); messages are given it before. */
uint64_t store_token(struct b2bua *b);
/* Puts what is dirty; the last one is synchronous and carries the token. When
 * there is nothing to put, or nothing can be, the token is committed now. */
void store_commit(struct call *c, uint64_t token);
/* Puts what is dirty; nobody waits. */
void store_flush(struct call *c);
/* Deletes every record of the call. */
void store_delete(struct call *c);
void store_txn_delete(struct txn *t);

#endif
