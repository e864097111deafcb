/*
 * engine_int - what the parts of the engine share: engine.c (life, writer,
 * pacing), engine_out.c (batches, queue, acknowledgements), engine_in.c
 * (frames from the peer), engine_donor.c and engine_joiner.c (snapshot and
 * resync, the two ends).
 *
 * The record stream. A donor (the active) and a joiner are in a *relation*,
 * named by the nonce of the joiner's SYNC_REQUEST. From SYNC_BEGIN on every
 * frame that carries records has the next sequence number; the joiner applies
 * them in that order, without a gap, and acks cumulatively. Records are sent
 * inside a relation only. Anything that breaks it (a gap, a full queue, a
 * member gone) ends it, and the joiner asks again.
 *
 * Layer: hasync, private. Keeper main thread.
 */
#ifndef HASYNC_ENGINE_INT_H
#define HASYNC_ENGINE_INT_H

#include "hasync/engine.h"
#include "hasync/wire.h"

enum {
	UNACKED_RING = 16384, /* frames of records not yet acked */
	UNACKED_MAX_BYTES = 1 << 24, /* corosync keeps them for a stuck peer */
	SNAPSHOT_WINDOW_BYTES = 1 << 20,
	QUEUE_DEFAULT_BYTES = 8 << 20,
	QUEUE_COMMANDS_MAX = 64,
	COMMITS_MAX = 65536,
	SNAPSHOT_RATE_MIN = 65536, /* bytes per second */
	REQUEST_RETRY_MS = 500,
	RECEIVE_TIMEOUT_MS = 5000,
	RESTART_DELAY_MS = 200, /* times the mismatches in a row */
	RESTART_DELAY_MAX = 25,
	SEND_RETRY_MS = 1,
	REAP_INTERVAL_MS = 5000,
	TOMBSTONE_MS = 60000,
};

/* A frame waiting for the group. */
struct queued {
	struct queued *next;
	uint64_t seq; /* 0: no record stream */
	uint8_t type;
	size_t size;
	uint8_t data[];
};

/* A batch being filled: live puts, or a snapshot chunk. */
struct open_batch {
	struct ha_writer w; /* from the header on */
	uint16_t count;
	bool urgent;
	uint64_t since_us; /* first put */
	uint64_t since_ms; /* first flush that saw it, 0 = none yet */
};

struct unacked {
	uint32_t bytes;
	uint64_t put_us; /* first put in it */
	uint64_t sent_ms; /* flush that first tried to send it, 0 = none yet */
};

struct commit {
	uint64_t token, seq;
	uint64_t deadline_ms; /* 0: armed by the next flush */
};

enum donor_state {
	DONOR_NONE = 0,
	DONOR_SNAPSHOT, /* BEGIN queued, walking the store */
	DONOR_PROVING, /* END queued, waiting for the joiner's word */
	DONOR_SYNCED,
	DONOR_LAGGING, /* acks missed: streaming on, nobody waits */
};

struct donor {
	enum donor_state state;
	uint64_t nonce;
	struct ha_key cursor;
	bool started; /* cursor is valid */
	bool keep; /* the joiner's store was equal */
	uint64_t end_seq;
	int64_t credit_bytes; /* what the pace still allows */
	uint64_t credit_ms;
	/* The stream: acked < seq <= last is under way. */
	uint64_t last, acked;
	uint64_t stamped; /* sent_ms is known up to here */
	uint64_t unacked_bytes;
	bool resync_due; /* tell the peer to ask again */
	uint64_t resync_ms;
};

enum joiner_state {
	JOINER_NONE = 0,
	JOINER_WANT, /* ask as soon as somebody is active */
	JOINER_ASKED,
	JOINER_RECEIVING,
	JOINER_SYNCED,
};

struct joiner {
	enum joiner_state state;
	uint64_t nonce, requests;
	uint64_t last; /* sequence applied */
	uint64_t epoch; /* of the donor */
	uint64_t retry_ms; /* 0: at the next flush */
	uint64_t heard_ms; /* last frame of the stream */
	bool heard; /* since the last flush */
	unsigned mismatches;
	bool keep;
	bool ack_due, ack_urgent;
	uint64_t ack_ms; /* latest time for a lazy ack, 0 = none yet */
	/* A record arriving in fragments. */
	uint8_t *part;
	uint32_t part_total, part_size;
	struct ha_key part_key;
	struct ha_version part_version;
};

struct ha_engine {
	struct ha_engine_params p;
	struct ha_engine_ops ops;
	struct ha_store *store;
	uint64_t now_ms;
	enum ha_role role;
	bool in_group, peer_present;
	bool go_sent;

	uint64_t heard; /* highest epoch stored or heard */
	uint64_t own_epoch; /* of our activation, 0 = not the writer */
	/* Epoch of the newest activation known: older records are refused. */
	uint64_t floor;
	uint64_t generation;

	struct ha_status own;
	bool status_due;
	uint64_t status_ms;
	bool peer_known;
	struct ha_status peer;
	uint8_t peer_max_version; /* 0: not heard since it is there */

	/* Out. */
	struct queued *queue, **queue_tail;
	size_t queue_bytes, queue_commands;
	uint64_t send_retry_ms;
	struct open_batch live, chunk;
	uint64_t urgent_ms; /* not before: the next urgent batch */
	struct unacked *ring;
	struct commit *commits; /* a ring too */
	size_t commits_head, commits_len, commits_cap;

	struct donor donor;
	struct joiner joiner;
	uint64_t reap_ms;

	bool in_sync, in_sync_told;
	const char *in_sync_reason;

	struct ha_engine_stats stats;
};

/* ---- engine.c ------------------------------------------------------------ */
void engine_set_in_sync(struct ha_engine *e, bool in_sync, const char *why);
void engine_dropped(struct ha_engine *e, uint8_t from, const char *why);
uint64_t engine_now_us(const struct ha_engine *e);
void engine_heard_epoch(struct ha_engine *e, uint64_t epoch);
/* End of a public call: tell what has changed. */
void engine_settled(struct ha_engine *e);
bool engine_serves(enum ha_role role);
bool engine_may_write(const struct ha_engine *e);

/* ---- engine_out.c -------------------------------------------------------- */
int out_init(struct ha_engine *e);
void out_finish(struct ha_engine *e);
/* A frame outside the record stream. Replaces a waiting one of its type
 * when `replace`. */
int out_control(struct ha_engine *e, struct ha_frame *f, bool replace);
/* A frame of the stream besides batches. The relation may end here. */
int out_stream(struct ha_engine *e, struct ha_frame *f);
/* Into `b` (live or chunk), or as fragments. */
int out_record(struct ha_engine *e, struct open_batch *b,
	       const struct ha_item *item, bool urgent);
int out_seal(struct ha_engine *e, struct open_batch *b);
void out_drop_stream(struct ha_engine *e);
void out_drop_all(struct ha_engine *e);
void out_drain(struct ha_engine *e);
/* Stamps what is tried for the first time now. */
void out_stamp(struct ha_engine *e);
void out_acked(struct ha_engine *e, uint64_t seq);
/* 0 when nothing is under way. */
uint64_t out_oldest_unacked_ms(const struct ha_engine *e);

/* False: no memory or too many; the put is not waited for. */
bool commit_add(struct ha_engine *e, uint64_t token, uint64_t seq);
void commit_acked(struct ha_engine *e, uint64_t seq);
void commit_expire(struct ha_engine *e);
void commit_all(struct ha_engine *e);
uint64_t commit_deadline_ms(const struct ha_engine *e);

/* ---- engine_donor.c ------------------------------------------------------ */
bool donor_streams(const struct ha_engine *e);
bool donor_waits(const struct ha_engine *e);
/* Ends the relation; with `tell` the peer is told to ask again. */
void donor_end(struct ha_engine *e, const char *why, bool tell);
void donor_request(struct ha_engine *e, const struct ha_frame *f);
void donor_ack(struct ha_engine *e, const struct ha_frame *f);
void donor_flush(struct ha_engine *e);
uint64_t donor_deadline_ms(const struct ha_engine *e);

/* ---- engine_joiner.c ----------------------------------------------------- */
void joiner_end(struct ha_engine *e);
/* The donor is no member or not active any more; what is here stays. */
void joiner_donor_gone(struct ha_engine *e);
/* Ask (again). */
void joiner_start(struct ha_engine *e, const char *why);
void joiner_stream(struct ha_engine *e, uint8_t from, const struct ha_frame *f);
void joiner_resync(struct ha_engine *e, const struct ha_frame *f);
void joiner_flush(struct ha_engine *e);
uint64_t joiner_deadline_ms(const struct ha_engine *e);

#endif
