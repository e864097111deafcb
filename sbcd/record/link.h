/*
 * link - the seqpacket socket between the keeper and a worker: its messages
 * (both sides) and the worker's side of the conversation.
 *
 *   keeper -> worker                     worker -> keeper
 *   CONFIG(text fd)                      HELLO(proc, version)
 *   FDS(purpose, …)                      PUT(key, value, sync?, token)
 *   RECORD(key, version, value, seq)     DELETE(key, sync?, token)
 *   REPLAY_END(seq)                      APPLIED(seq)          <- the credit
 *   ACTIVATE(epoch)                      ACTIVATED(epoch)
 *   COMMITTED(token, timed_out)          QUIESCED
 *   QUIESCE, FORWARD                     REPLY(token, json)
 *   QUERY(token, json)                   FORWARDING
 *   BURY(id), DRAIN(on)
 *
 * The keeper never has more than LINK_WINDOW records unacknowledged at a
 * worker (credit-paced replay); the worker acks every LINK_ACK_EVERY and at
 * the end of each dispatch. Nothing blocks: a full socket leaves the
 * message queued.
 *
 * Layer: record. Worker side: SIP worker's su_root thread, media worker's
 * control thread. Keeper side: main thread.
 */
#ifndef SBCD_RECORD_LINK_H
#define SBCD_RECORD_LINK_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include "hasync/key.h"

enum link_type {
	/* keeper -> worker */
	LINK_CONFIG = 1, /* fd: memfd with the text; value: node conf text */
	LINK_FDS = 2, /* fds + JSON text that says what they are */
	LINK_RECORD = 3, /* token = seq, LINK_F_DELETED */
	LINK_REPLAY_END = 4, /* token = seq */
	LINK_ACTIVATE = 5, /* token = epoch, value = since_ns or nothing */
	LINK_COMMITTED = 6, /* token, LINK_F_TIMED_OUT */
	LINK_QUIESCE = 7,
	LINK_FORWARD = 8, /* media: send what arrives to the peer; shut the
			   * gate after LINK_FORWARDING; ACTIVATE ends it */
	LINK_QUERY = 9, /* token, value = JSON request */
	LINK_BURY = 11, /* key.id: this call's records kill workers: end it */
	LINK_DRAIN = 12, /* token 1: take no new calls; 0: take them again */
	/* worker -> keeper */
	LINK_HELLO = 32, /* value = "proc version" */
	LINK_PUT = 33, /* token, LINK_F_SYNC */
	LINK_DELETE = 34, /* token, LINK_F_SYNC */
	LINK_APPLIED = 35, /* token = seq, cumulative */
	LINK_ACTIVATED = 36, /* token = epoch */
	LINK_QUIESCED = 37,
	LINK_REPLY = 38, /* token, value = JSON */
	LINK_FORWARDING = 39, /* nothing leaves the service NICs any more */
};

enum {
	LINK_F_SYNC = 1 << 0,
	LINK_F_DELETED = 1 << 1,
	LINK_F_TIMED_OUT = 1 << 2,
};

enum {
	LINK_WINDOW = 512,
	LINK_ACK_EVERY = 64,
	LINK_FDS_MAX = 64,
	LINK_MESSAGE_MAX_BYTES = 176 * 1024,
	LINK_SOCKET_BUFFER_BYTES = 4 * 1024 * 1024,
	LINK_QUEUE_MAX_BYTES = 64 * 1024 * 1024,
};

struct link_message {
	uint8_t type; /* enum link_type */
	uint8_t flags;
	uint64_t token;
	struct ha_key key;
	struct ha_version version;
	const void *value; /* received: a NUL follows the last byte */
	size_t size;
	int fds[LINK_FDS_MAX]; /* receiver owns them */
	size_t fds_len;
};

/* Closes what came with a message nobody wanted fds in. */
void link_message_close_fds(struct link_message *m);

/* ---- one end, either side -------------------------------------------------
 */
struct link;

/* Owns `fd` (non-blocking seqpacket). */
int link_create(struct link **out, int fd) __attribute__((warn_unused_result));
void link_destroy(struct link *l);
/* A connected pair with large buffers, close-on-exec on both. */
int link_socketpair(int fds[2]) __attribute__((warn_unused_result));
int link_fd(const struct link *l);
/* From now on a message that carries fds is malformed: the keeper takes none
 * from a worker. */
void link_refuse_fds(struct link *l);
/*
 * Queues and tries to send. fds are duplicated by the kernel, still the
 * caller's. The queue is bounded (bytes): -ENOBUFS when over, for RECORD and
 * PUT only the caller's pacing keeps it away from that. A queued PUT or
 * RECORD of the same key without tokens outstanding is replaced (coalesced).
 */
int link_send(struct link *l, const struct link_message *m)
	__attribute__((warn_unused_result));
/*
 * From now on messages without fds are gathered and leave together, in one
 * datagram, with link_flush(), which the caller owes at the end of its turn:
 * one wake-up of the other end instead of one a message.
 */
int link_gather(struct link *l) __attribute__((warn_unused_result));
/* True while something waits: after link_flush(), for EPOLLOUT; then call
 * link_flush() on it. */
bool link_pending(const struct link *l);
size_t link_queued_bytes(const struct link *l);
int link_flush(struct link *l) __attribute__((warn_unused_result));
/* 1 message (valid until the next call), 0 nothing now, -EPIPE the other end
 * is gone, -EBADMSG malformed (dropped, its fds closed: count and go on). */
int link_receive(struct link *l, struct link_message *m)
	__attribute__((warn_unused_result));
/* More messages of a datagram that was read already: link_receive() gives
 * them, the socket does not wake anybody for them. */
bool link_buffered(const struct link *l);

/* ---- the worker's side ------------------------------------------------------
 */
struct worker_link;

struct worker_link_ops {
	/* Called once before anything else; text is NUL terminated. Returning
	 * an error ends the worker. */
	int (*config)(void *ctx, const char *text, const char *node_text);
	/* fds now belong to the worker. `what` is JSON (see netglue.h). */
	int (*fds)(void *ctx, const char *what, const int *fds, size_t len);
	/* value NULL: deleted. A record that cannot be applied is counted by
	 * the callee and skipped. */
	void (*record)(void *ctx, const struct ha_key *key,
		       const struct ha_version *version, const void *value,
		       size_t size);
	void (*replay_end)(void *ctx);
	/* Idempotent: sent again after each replay. since_ns: monotonic, when
	 * the active before us was last heard; 0 = no take-over. */
	void (*activate)(void *ctx, uint64_t epoch, uint64_t since_ns);
	void (*committed)(void *ctx, uint64_t token, bool timed_out);
	/* Stop taking input, put everything, then worker_link_quiesced(). */
	void (*quiesce)(void *ctx);
	/* Then worker_link_forwarding(). */
	void (*forward)(void *ctx);
	/* Answer with worker_link_reply(token, json). */
	void (*query)(void *ctx, uint64_t token, const char *json);
	/* Its records are not whole, or not to be trusted. */
	void (*bury)(void *ctx, uint64_t id);
	void (*drain)(void *ctx, bool on);
	/* The keeper is gone: exit now. */
	void (*gone)(void *ctx);
};

/* `fd` is the inherited socket (always number LINK_WORKER_FD). Sends HELLO. */
enum { LINK_WORKER_FD = 3, LINK_COUNTERS_FD = 4 };
int worker_link_create(struct worker_link **out, int fd, const char *proc,
		       const struct worker_link_ops *ops, void *ctx)
	__attribute__((warn_unused_result));
void worker_link_destroy(struct worker_link *w);
int worker_link_fd(const struct worker_link *w);
/* At the end of a turn: sends what was put. Anything said below waits for it,
 * or for the next dispatch. */
void worker_link_flush(struct worker_link *w);
/* After worker_link_flush(). */
bool worker_link_wants_write(const struct worker_link *w);
/* Reads and dispatches at least what one datagram holds and about `budget`
 * messages; flushes; sends credits. */
void worker_link_dispatch(struct worker_link *w, unsigned budget);

/* token 0: nobody waits. sync with token != 0: committed() follows. */
int worker_link_put(struct worker_link *w, const struct ha_key *key,
		    const void *value, size_t size, bool sync, uint64_t token)
	__attribute__((warn_unused_result));
int worker_link_delete(struct worker_link *w, const struct ha_key *key,
		       bool sync, uint64_t token)
	__attribute__((warn_unused_result));
int worker_link_activated(struct worker_link *w, uint64_t epoch)
	__attribute__((warn_unused_result));
int worker_link_quiesced(struct worker_link *w)
	__attribute__((warn_unused_result));
int worker_link_forwarding(struct worker_link *w)
	__attribute__((warn_unused_result));
int worker_link_reply(struct worker_link *w, uint64_t token, const char *json)
	__attribute__((warn_unused_result));
#endif
