/*
 * sip_int - the inside of the SIP worker, shared by the files of sip/.
 *
 * Layer: sip. SIP worker, su_root thread.
 */
#ifndef SBCD_SIP_SIP_INT_H
#define SBCD_SIP_SIP_INT_H

#include "sbcd/sip/stack.h"

#include <jansson.h>

#include "sbcd/base/steady.h"
#include "sbcd/call/b2bua.h"
#include "sbcd/record/link.h"
#include "sbcd/sip/guard.h"
#include "sbcd/sip/hide.h"

enum {
	SIP_UDP_MTU = 65535,
	SIP_MESSAGE_MAX_BYTES = 65536,
	SIP_PARTIAL_TIMEOUT_MS = 30000,
	SIP_QUEUE_LEN = 1000,
	SIP_UDP_RMEM_BYTES = 4 * 1024 * 1024,
	SIP_TIMER_C_MS = 24 * 3600 * 1000, /* ours is the call's ring timer */
	SIP_LINK_BUDGET = 256,
	SIP_SLOW_MS = 100,
	SIP_STEPS_MAX = 16, /* inputs in one turn */
	SIP_TRIM_MS = 5000, /* interval while there is something to trim, */
	SIP_TRIM_AFTER_MS = 40000, /* so: until the last transaction is gone */
	SIP_URI_SIZE = 128,
	SIP_COMMIT_MAX_MS = 500, /* the keeper gives up much earlier */
};

/* One SIP interface: its sockets and transactions. */
struct sip_agent {
	struct sip_worker *w;
	const struct config_sip_interface *sif;
	nta_agent_t *nta;
	nta_outgoing_t *stray;
	usize_t bad_messages; /* already counted */
};

struct barrier;
struct conn;
struct held;
struct outside;
struct ping;
struct reconnect;
struct tls_links;
struct tls_state;

struct sip_worker {
	su_root_t *root;
	struct worker_link *link;
	int link_index; /* of the root's registration */
	bool link_wants_out;
	struct config *config;
	struct config_node node;
	struct b2bua *b2bua;
	struct counters *counters;
	struct sip_agent agents[CONFIG_SIP_INTERFACES_MAX];
	size_t agents_len;
	struct barrier *barriers;
	size_t held_len;
	struct held *failed; /* requests the stack did not take */
	struct ping *pings; /* one a session agent */
	struct conn *conns; /* connections of the node before us */
	struct reconnect *reconnects; /* one a session agent */
	struct tls_links *tls;
	struct tls_state *tls_state; /* NULL: no tls-profile */
	struct outside *outside; /* requests passed on outside calls */
	size_t outside_len;
	struct steady steady; /* of all timers, the stack's too */
	uint64_t epoch;
	bool draining; /* new calls are for another node */
	bool quiesce_wanted, quiesced;
	uint64_t quiesce_until_ms;
	uint64_t trim_ms, trim_until_ms; /* next and last to give memory back */
	size_t trim_calls;
	uint64_t slow_ms; /* when the slow part of a turn is due */
	bool gone;
	int exit_code;
};

/* ---- agent.c -------------------------------------------------------------
 */
int agents_create(struct sip_worker *w) __attribute__((warn_unused_result));
void agents_destroy(struct sip_worker *w);
void agents_count(struct sip_worker *w);
struct sip_agent *agent_find(struct sip_worker *w, const char *sip_interface);
/* Our address of that family on the interface; NULL when there is none. */
const struct addr *agent_address(const struct sip_agent *a, uint8_t family);
/* Our port for a transport, 5060 when it has none. */
uint16_t agent_port(const struct sip_agent *a, uint8_t transport);
/* Names the sockets of a family for TPTAG_IDENT; lives for ever. */
const char *agent_ident(uint8_t family);
bool agent_is_own(const struct sip_agent *a, const char *host);
/* The realm's session agent this address belongs to. */
const struct config_agent *agent_peer(const struct sip_agent *a,
				      const struct addr *source);
const char *transport_name(uint8_t transport);
uint8_t transport_of(const char *name);

/* ---- facts.c: the stack's messages as call/ sees them
 * ------------------------
 */
struct facts {
	struct call_message m;
	su_home_t home[1]; /* strings of `m` */
};
void facts_init(struct facts *f);
void facts_finish(struct facts *f);
/* -EINVAL when an identifier does not fit a record. */
int facts_read(struct facts *f, const struct sip_agent *a, const sip_t *sip,
	       const struct addr *source) __attribute__((warn_unused_result));
void facts_source(struct addr *out, msg_t *msg);

/* ---- ingress.c -------------------------------------------------------------
 */
/* Every request the stack has no transaction for. */
int ingress_message(struct sip_agent *a, nta_agent_t *nta, msg_t *msg,
		    sip_t *sip);
int ingress_stray(struct sip_agent *a, nta_outgoing_t *orq, sip_t const *sip);
/* Answers on our own. */
void ingress_refuse(nta_incoming_t *irq, const sip_t *sip, int status,
		    const struct call_answer *answer);
extern const char sip_allow[], sip_supported[], sip_accept[];

/* ---- message.c: building
 * ------------------------------------------------------
 */
/* Where a message of this dialog goes next. */
struct next_hop {
	struct addr addr;
	uint8_t transport;
};
int message_next_hop(const struct sip_agent *a, const struct rec_dialog *d,
		     struct next_hop *out) __attribute__((warn_unused_result));
/* The stack's transaction to there; NULL, then `msg` is still the caller's.
 * Without a callback it has none and is no pointer. */
nta_outgoing_t *message_send(struct sip_agent *a, msg_t *msg,
			     const struct next_hop *hop, nta_response_f *cb,
			     struct txn *t, const char *branch);
/* A whole request but for Via; NULL when out of memory or not possible. */
msg_t *message_request(struct sip_agent *a, const struct rec_dialog *d,
		       const struct call_send *s, const struct next_hop *hop,
		       struct sip_agent *source);
msg_t *message_response(struct sip_agent *a, nta_incoming_t *irq,
			const struct rec_dialog *d, const struct call_send *s,
			struct sip_agent *source);
msg_t *message_cancel(struct sip_agent *a, const struct txn *t,
		      const char *why);
/* The INVITE of `old` with another number, to where `d` leads now. */
msg_t *message_redirected(struct sip_agent *a, const struct txn *old,
			  const struct rec_dialog *d, uint32_t cseq,
			  const struct next_hop *hop);
/* The ACK of a refused INVITE (RFC 3261 section 17.1.1.3), by its response
 * alone; the stack adds the Via. */
msg_t *message_ack_refused(struct sip_agent *a, const sip_t *response);
int message_to_blob(msg_t *msg, struct blob *out)
	__attribute__((warn_unused_result));
/* A message parsed again; NULL when it is none. */
msg_t *message_parse(const void *data, size_t size);
int message_local_host(const struct sip_agent *a, uint8_t family, char *out,
		       size_t size) __attribute__((warn_unused_result));

/* ---- outbox.c: what waits for a commit
 * -----------------------------------------
 */
enum held_kind {
	HELD_REQUEST = 1,
	HELD_RESPONSE,
	HELD_ACK,
	HELD_CANCEL,
};

/* Takes `msg`. Sent now when the token is 0 or committed and nothing of the
 * call waits before it. */
int outbox_add(struct sip_worker *w, struct call *c, struct txn *t,
	       enum held_kind kind, struct sip_agent *a, msg_t *msg,
	       const struct next_hop *hop, uint64_t token)
	__attribute__((warn_unused_result));
void outbox_committed(struct sip_worker *w, uint64_t token);
/* The transaction dies: what it would have sent is not sent. */
/* Gives up commits nobody answered; ms until the next, -1 = none. */
int64_t outbox_turn(struct sip_worker *w, uint64_t now_ms);
void outbox_forget(struct sip_worker *w, struct txn *t);
void outbox_drop(struct sip_worker *w, struct call *c);
bool outbox_empty(const struct call *c);
/* Tells the B2BUA of requests that could not be sent. */
void outbox_failures(struct sip_worker *w);
void outbox_destroy(struct sip_worker *w);

/* ---- txn.c: call_ops
 * -------------------------------------------------------------
 */
extern const struct call_ops sip_call_ops;
int txn_response(struct txn *t, nta_outgoing_t *orq, sip_t const *sip);
int txn_cancelled(struct txn *t, nta_outgoing_t *orq, sip_t const *sip);
int txn_ack_cancel(struct txn *t, nta_incoming_t *irq, sip_t const *sip);
/* Does this response answer an INVITE that we, or the node before us, sent?
 * By its branch alone, which nobody else can make. */
bool txn_was_our_invite(struct sip_worker *w, const struct call_message *m);
struct sip_worker *txn_worker(const struct txn *t);
struct sip_agent *txn_agent(const struct txn *t);

/* ---- media.c
 * ----------------------------------------------------------------------
 */
/* call_ops */
ssize_t media_relay(void *ctx, const struct call_body *body,
		    struct call_refusal *why);
ssize_t media_reoffer(void *ctx, struct leg *l, struct rec_dialog *d, char *out,
		      size_t size);
int media_reanswer(void *ctx, struct leg *l, struct rec_dialog *d,
		   const void *in, size_t size, struct call_refusal *why);
/* What a peer must not be shown of the other side. */
void media_hide(const struct sip_agent *from, struct hide_set *hide);

/* ---- ping.c -----------------------------------------------------------------
 */
int pings_create(struct sip_worker *w) __attribute__((warn_unused_result));
void pings_start(struct sip_worker *w);
/* Sends what is due. */
void pings_turn(struct sip_worker *w, uint64_t now_ms);
/* {"agents", "down", "groups-down"}, of those that are pinged. */
json_t *pings_summary(const struct sip_worker *w);
json_t *pings_json(const struct sip_worker *w);
void pings_destroy(struct sip_worker *w);

/* ---- conns.c ----------------------------------------------------------------
 */
void conns_init(struct sip_worker *w);
/* A REC_CONN from the keeper; -EBADMSG: not applicable. */
int conns_record(struct sip_worker *w, const struct ha_key *key,
		 const void *value, size_t size)
	__attribute__((warn_unused_result));
/* Ends what the peers still take for connections. */
void conns_turn(struct sip_worker *w, uint64_t now_ms);
void conns_destroy(struct sip_worker *w);

/* ---- reconnect.c
 * -------------------------------------------------------------
 */
int reconnect_create(struct sip_worker *w) __attribute__((warn_unused_result));
/* Active now: every session agent by TCP or TLS is to have a connection. */
void reconnect_start(struct sip_worker *w, uint64_t now_ms);
void reconnect_turn(struct sip_worker *w, uint64_t now_ms);
void reconnect_destroy(struct sip_worker *w);

/* ---- outside.c: requests outside calls
 * -----------------------------------------
 */
/* Passed on by a local-policy: 0, takes `irq`. -ENOENT: none passes it. Else
 * the status to refuse with. */
int outside_request(struct sip_agent *a, const struct call_message *m,
		    nta_incoming_t *irq) __attribute__((warn_unused_result));
void outside_destroy(struct sip_worker *w);

/* ---- query.c
 * ------------------------------------------------------------------------
 */
void query_answer(struct sip_worker *w, uint64_t token, const char *json);

#endif
