/*
 * cdr - one call detail record for each call, on both nodes.
 *
 * The active node's keeper composes it from the call's records when the call
 * begins to end (it is put right before the record that says so, so whoever
 * has one has the other), adds each stream's last numbers when the media
 * worker deletes its state, and completes it when nothing of the call is left.
 * A node that takes over goes on with what it finds. Complete records are
 * written to disk by both nodes; the standby says how far it has got, and what
 * both have written is deleted. A node that was away finds the rest when it
 * joins again.
 *
 *   OPEN ──call and media gone──> PUT ──committed──> READY ──> WRITTEN
 *                        (on the standby: applied ──^)
 *
 * Guarantees: never blocks; a file holds an id once (cdr_file.h); while the
 * disk refuses, records wait in order, up to CDR_WAITING_MAX, and the oldest
 * beyond that are lost and counted; calls never wait for any of this.
 *
 * Pure but for `write`: no descriptor, no thread, injected clocks.
 * Layer: keeper. Main thread.
 */
#ifndef SBCD_KEEPER_CDR_H
#define SBCD_KEEPER_CDR_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include "hasync/store.h"
#include "sbcd/config/config.h"
#include "sbcd/keeper/cdr_file.h"

enum {
	CDR_WAITING_MAX = 20000, /* not written here, or not by the peer */
	CDR_MEDIA_WAIT_MS = 5000, /* for the media worker's last word */
	CDR_RETRY_MS = 1000, /* after a write that failed */
	/* A call that was not carried over may be made anew by its caller's
	 * next retransmission: so long its record waits (RFC 3261 timer B). */
	CDR_HOLD_MS = 40000,
	CDR_AGE_MAX_MS = 24 * 3600 * 1000, /* for a peer that is away */
};

struct cdr;

/* What is to be written: freed by whoever writes, after cdr_written(). */
struct cdr_batch {
	size_t len;
	struct {
		uint64_t id;
		void *value;
		size_t size;
	} items[CDR_BATCH_MAX];
};

struct cdr_ops {
	/* As ha_engine_put() with HA_PUT_SYNC when token is not 0. */
	int (*put)(void *ctx, const struct ha_key *key, const void *value,
		   size_t size, uint64_t token);
	int (*del)(void *ctx, const struct ha_key *key);
	/* Takes the batch over; cdr_written() follows. -errno: not taken. */
	int (*write)(void *ctx, struct cdr_batch *batch);
	/* Take-overs after `epoch`. */
	unsigned (*failovers)(void *ctx, uint64_t epoch);
};

struct cdr_params {
	const struct ha_store *store;
	const struct config *config; /* realms; may be NULL */
	const char *node_name;
	bool enabled; /* false: records pass, nothing is written */
	const struct cdr_ops *ops;
	void *ctx;
};

int cdr_create(struct cdr **out, const struct cdr_params *p)
	__attribute__((warn_unused_result));
void cdr_destroy(struct cdr *c);

/* ---- what happens (before the store and the peer see it) ----------------- */
void cdr_call_put(struct cdr *c, const struct ha_key *key, const void *value,
		  size_t size);
void cdr_dialog_deleted(struct cdr *c, const struct ha_key *key);
void cdr_call_deleted(struct cdr *c, const struct ha_key *key);
void cdr_mstate_deleted(struct cdr *c, const struct ha_key *key);
/* ---- after it ------------------------------------------------------------ */
/* A REC_CDR of the peer, or its deletion. */
void cdr_applied(struct cdr *c, const struct ha_item *item);
/* Tokens of ours have this bit. */
#define CDR_TOKEN (UINT64_C(1) << 62)
void cdr_committed(struct cdr *c, uint64_t token);
/* This node became active under `epoch`, 0 = it no longer is. */
void cdr_activate(struct cdr *c, uint64_t epoch);
/* The batch is done with: 0 or -errno for all of it. */
void cdr_written(struct cdr *c, struct cdr_batch *batch, int err);
/* The standby has written all up to this. */
void cdr_peer_written(struct cdr *c, uint64_t seq);
/* On the standby: what to tell the active, 0 = nothing. */
uint64_t cdr_own_written(const struct cdr *c);

/* Every 100 ms. */
void cdr_turn(struct cdr *c, uint64_t now_mono_ms, uint64_t now_wall_ms);
/* Clean stop: everything that is ready goes to write() now. */
void cdr_flush(struct cdr *c);

struct cdr_stats {
	size_t open, waiting, kept; /* unfinished, unwritten, for the peer */
	uint64_t completed, written, lost, write_errors;
	int last_error; /* of the last write, 0 = it worked */
};
void cdr_get_stats(const struct cdr *c, struct cdr_stats *out);

/* ---- cdr_compose.c ------------------------------------------------------- */
/* From the call's records in the store, and the given REC_CALL. */
void cdr_compose(struct rec_cdr *out, const struct ha_store *store,
		 const struct config *config, uint64_t id,
		 const struct rec_call *call);
/* The numbers of stream `sub`; final: they will not change. */
void cdr_add_media(struct rec_cdr *r, uint16_t sub, const struct rec_mstate *m,
		   bool final);
/* Have all its streams said their last? */
bool cdr_media_final(const struct rec_cdr *r);

#endif
