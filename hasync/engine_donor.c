/*
 * The donor's end of a relation: snapshot, proof, live stream, its end.
 *
 * Why the digest in SYNC_END proves equality. Everything of the stream goes
 * through one queue and is delivered in that order. SYNC_END is queued after
 * the open batch was sealed and the walk has come to the end, with the digest
 * of the store at that very moment. Every record then in the store got there
 * before, so that its last version is in a frame ahead of SYNC_END: as a live
 * entry (put after SYNC_BEGIN) or as a snapshot entry (the walk passes every
 * key, and what is put at a key already passed is a live entry). Whatever is
 * put later is in a frame behind it. So at its delivery the joiner has
 * applied exactly the set the digest was made of, wherever the donor's store
 * has gone in the meantime, and what it has not renewed by then is no longer
 * there at the donor.
 */
#include <string.h>
#include "hasync/engine_int.h"

bool donor_streams(const struct ha_engine *e)
{
	return e->donor.state != DONOR_NONE;
}

bool donor_waits(const struct ha_engine *e)
{
	return e->donor.state == DONOR_SYNCED;
}

static void reset(struct donor *d)
{
	d->state = DONOR_NONE;
	d->started = false;
	d->keep = false;
	d->acked = d->stamped = d->last;
	d->unacked_bytes = 0;
}

void donor_end(struct ha_engine *e, const char *why, bool tell)
{
	struct donor *d = &e->donor;

	if (d->state != DONOR_NONE) {
		reset(d);
		out_drop_stream(e);
		engine_set_in_sync(e, false, why);
		if (tell) {
			e->stats.resyncs++;
			d->resync_due = true;
			d->resync_ms = e->now_ms;
		}
	}
	commit_all(e);
}

/* ---- the snapshot
 * ------------------------------------------------------------ */

void donor_request(struct ha_engine *e, const struct ha_frame *f)
{
	struct donor *d = &e->donor;
	struct ha_frame begin = {.head = {.type = HA_FRAME_SYNC_BEGIN}};

	if (!engine_serves(e->role) || !engine_may_write(e))
		return;
	/* Asked twice for the same. */
	if (d->state != DONOR_NONE && d->nonce == f->sync.nonce)
		return;
	donor_end(e, "the peer asked for a snapshot", false);
	d->resync_due = false;
	d->state = DONOR_SNAPSHOT;
	d->nonce = f->sync.nonce;
	d->credit_bytes = e->p.batch_bytes;
	d->credit_ms = e->now_ms;
	d->keep = f->sync.digest == ha_store_digest(e->store) &&
		  f->sync.count == ha_store_count(e->store);
	begin.sync = (struct ha_sync){
		.nonce = d->nonce,
		.digest = ha_store_digest(e->store),
		.count = ha_store_count(e->store),
		.flags = d->keep ? HA_SYNC_KEEP : 0,
	};
	out_stream(e, &begin);
}

static void refill(struct ha_engine *e)
{
	struct donor *d = &e->donor;
	int64_t rate = e->p.snapshot_bytes_per_s;
	int64_t most = rate / 50;
	uint64_t ms = e->now_ms - d->credit_ms;

	if (most < (int64_t)e->p.batch_bytes)
		most = e->p.batch_bytes;
	if (ms > 1000)
		ms = 1000;
	d->credit_ms = e->now_ms;
	d->credit_bytes += rate * (int64_t)ms / 1000;
	if (d->credit_bytes > most)
		d->credit_bytes = most;
}

static bool window_open(const struct ha_engine *e)
{
	return e->donor.unacked_bytes < SNAPSHOT_WINDOW_BYTES &&
	       e->queue_bytes < e->p.queue_max_bytes / 2;
}

/* See the head of this file. */
static void prove(struct ha_engine *e)
{
	struct donor *d = &e->donor;
	struct ha_frame end = {
		.head = {.type = HA_FRAME_SYNC_END},
		.sync = {.nonce = d->nonce,
			 .digest = ha_store_digest(e->store),
			 .count = ha_store_count(e->store)},
	};

	if (out_stream(e, &end))
		return;
	d->state = DONOR_PROVING;
	d->end_seq = d->last;
	e->stats.snapshots_sent++;
}

static void walk(struct ha_engine *e)
{
	struct donor *d = &e->donor;
	bool more = true;

	refill(e);
	/* The relation may end at each step. */
	if (out_seal(e, &e->live))
		return;
	while (d->credit_bytes > 0 && window_open(e)) {
		struct ha_item item;

		more = !d->keep &&
		       ha_store_next(e->store, d->started ? &d->cursor : NULL,
				     &item);
		if (!more)
			break;
		d->cursor = item.key;
		d->started = true;
		d->credit_bytes -= (int64_t)(HA_ENTRY_HEAD_BYTES + item.size);
		if (out_record(e, &e->chunk, &item, false))
			return;
	}
	if (out_seal(e, &e->chunk))
		return;
	if (!more)
		prove(e);
}

/* ---- acks
 * -------------------------------------------------------------------- */

void donor_ack(struct ha_engine *e, const struct ha_frame *f)
{
	struct donor *d = &e->donor;
	const struct ha_ack *a = &f->ack;
	uint64_t oldest;

	if (d->state == DONOR_NONE || a->nonce != d->nonce)
		return;
	if (a->seq < d->acked || a->seq > d->last) {
		engine_dropped(e, f->head.node, "ack out of range");
		return;
	}
	out_acked(e, a->seq);
	if (d->state == DONOR_PROVING && (a->flags & HA_ACK_IN_SYNC) &&
	    a->seq >= d->end_seq) {
		d->state = DONOR_SYNCED;
		engine_set_in_sync(e, true, "the peer holds everything");
	}
	oldest = out_oldest_unacked_ms(e);
	if (d->state == DONOR_LAGGING &&
	    (!oldest || e->now_ms < oldest + e->p.commit_timeout_ms)) {
		d->state = DONOR_SYNCED;
		engine_set_in_sync(e, true, "acks have caught up");
	}
	commit_acked(e, a->seq);
}

static uint64_t lag_deadline_ms(const struct ha_engine *e)
{
	uint64_t oldest = out_oldest_unacked_ms(e);

	if (e->donor.state != DONOR_SYNCED || !oldest)
		return UINT64_MAX;
	return oldest + (uint64_t)e->p.missed_acks_max * e->p.commit_timeout_ms;
}

/* ---- pacing
 * ------------------------------------------------------------------ */

/* Nothing is lost yet: frames go on, within their bounds, and the acks may
 * catch up. Only nobody waits for them any more. */
static void check_lag(struct ha_engine *e)
{
	if (e->now_ms < lag_deadline_ms(e))
		return;
	e->donor.state = DONOR_LAGGING;
	engine_set_in_sync(e, false, "acks missed");
	commit_all(e);
}

static void ask_to_resync(struct ha_engine *e)
{
	struct donor *d = &e->donor;
	struct ha_frame f = {.head = {.type = HA_FRAME_RESYNC_REQUEST},
			     .sync = {.nonce = d->nonce}};

	if (!d->resync_due || !e->peer_present || e->now_ms < d->resync_ms)
		return;
	d->resync_ms = e->now_ms + e->p.status_interval_ms;
	out_control(e, &f, true);
}

void donor_flush(struct ha_engine *e)
{
	check_lag(e);
	ask_to_resync(e);
	if (e->donor.state == DONOR_SNAPSHOT)
		walk(e);
}

uint64_t donor_deadline_ms(const struct ha_engine *e)
{
	const struct donor *d = &e->donor;
	uint64_t at = lag_deadline_ms(e);

	if (d->resync_due && e->peer_present && d->resync_ms < at)
		at = d->resync_ms;
	/* A full window is opened by an ack, which is an event. */
	if (d->state == DONOR_SNAPSHOT && window_open(e)) {
		uint64_t next = e->now_ms;

		if (d->credit_bytes <= 0)
			next += 1 + (uint64_t)-d->credit_bytes * 1000 /
					    e->p.snapshot_bytes_per_s;
		if (next < at)
			at = next;
	}
	return at;
}
