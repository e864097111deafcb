/*
 * The joiner's end of a relation: ask, take the snapshot and the live stream
 * in order, prove, ack. Whatever goes wrong: keep what is here and ask again.
 */
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include "hasync/engine_int.h"

enum { ACK_DELAY_MAX_MS = 10 };

static void drop_part(struct joiner *j)
{
	free(j->part);
	j->part = NULL;
	j->part_size = 0;
	j->part_total = 0;
}

static void leave_stream(struct ha_engine *e, enum joiner_state next)
{
	struct joiner *j = &e->joiner;

	ha_store_unmark_all(e->store);
	drop_part(j);
	j->ack_due = false;
	j->retry_ms = 0;
	j->state = next;
}

void joiner_end(struct ha_engine *e)
{
	leave_stream(e, JOINER_NONE);
}

void joiner_donor_gone(struct ha_engine *e)
{
	/* in_sync stays as it is: this store equals the lost one's. */
	if (e->joiner.state != JOINER_NONE)
		leave_stream(e, JOINER_WANT);
}

void joiner_start(struct ha_engine *e, const char *why)
{
	unsigned delay = e->joiner.mismatches;

	if (e->joiner.state == JOINER_RECEIVING ||
	    e->joiner.state == JOINER_SYNCED)
		e->stats.resyncs++;
	leave_stream(e, JOINER_WANT);
	if (delay > RESTART_DELAY_MAX)
		delay = RESTART_DELAY_MAX;
	e->joiner.retry_ms = e->now_ms + delay * RESTART_DELAY_MS;
	engine_set_in_sync(e, false, why);
}

/* ---- applying
 * ----------------------------------------------------------------- */

static bool in_stream(const struct joiner *j)
{
	return j->state == JOINER_RECEIVING || j->state == JOINER_SYNCED;
}

static int apply(struct ha_engine *e, const struct ha_item *item)
{
	int rc;

	if (item->deleted)
		rc = ha_store_delete(e->store, &item->key, &item->version,
				     e->now_ms);
	else
		rc = ha_store_put(e->store, &item->key, &item->version,
				  item->value, item->size);
	if (rc < 0)
		return rc;
	if (item->version.generation > e->generation)
		e->generation = item->version.generation;
	if (!rc) {
		e->stats.records_stale++;
		return 0;
	}
	e->stats.records_applied++;
	if (e->ops.applied)
		e->ops.applied(e->p.ctx, item);
	return 0;
}

static int apply_batch(struct ha_engine *e, const struct ha_batch *b)
{
	struct ha_reader r = {.data = b->entries, .size = b->size};
	uint64_t nonce = e->joiner.nonce;
	struct ha_item item;

	while (ha_entry_read(&r, &item)) {
		int rc = apply(e, &item);

		if (rc)
			return rc;
		/* The callback may have changed our role. */
		if (!in_stream(&e->joiner) || e->joiner.nonce != nonce)
			return 0;
	}
	return r.failed ? -EBADMSG : 0;
}

static int apply_fragment(struct ha_engine *e, const struct ha_fragment *f)
{
	struct joiner *j = &e->joiner;
	struct ha_item item;
	int rc;

	if (!f->offset) {
		drop_part(j);
		j->part = malloc(f->total);
		if (!j->part)
			return -ENOMEM;
		j->part_total = f->total;
		j->part_key = f->key;
		j->part_version = f->version;
	}
	if (!j->part || f->offset != j->part_size ||
	    f->total != j->part_total || !ha_key_equal(&f->key, &j->part_key) ||
	    ha_version_compare(&f->version, &j->part_version))
		return -EBADMSG;
	memcpy(j->part + f->offset, f->data, f->size);
	j->part_size += f->size;
	if (j->part_size < j->part_total)
		return 0;
	item = (struct ha_item){
		.key = j->part_key,
		.version = j->part_version,
		.value = j->part,
		.size = j->part_total,
	};
	/* The callback may end the relation, which frees j->part. */
	uint8_t *part = j->part;
	j->part = NULL;
	j->part_size = 0;
	rc = apply(e, &item);
	free(part);
	return rc;
}

static bool report_swept(void *ctx, const struct ha_item *item)
{
	struct ha_engine *e = ctx;
	struct ha_item gone = *item;

	gone.deleted = true;
	gone.value = NULL;
	gone.size = 0;
	if (e->ops.applied)
		e->ops.applied(e->p.ctx, &gone);
	return true;
}

static void begin(struct ha_engine *e, const struct ha_frame *f)
{
	struct joiner *j = &e->joiner;

	if (j->state != JOINER_ASKED || f->sync.nonce != j->nonce)
		return;
	j->state = JOINER_RECEIVING;
	j->last = f->head.seq;
	j->heard = true;
	j->ack_due = true;
	/*
	 * The donor's word is the truth from here on, also where this node
	 * has heard of a higher epoch whose claim came to nothing.
	 */
	j->epoch = f->head.epoch;
	e->floor = f->head.epoch;
	/* Equal live records; a tombstone of ours must not hide one to come. */
	if (f->sync.flags & HA_SYNC_KEEP)
		ha_store_reap(e->store, UINT64_MAX, 0);
	else
		ha_store_mark_all(e->store);
}

static int end(struct ha_engine *e, const struct ha_frame *f)
{
	struct joiner *j = &e->joiner;

	if (j->state != JOINER_RECEIVING || f->sync.nonce != j->nonce)
		return -EBADMSG;
	/* Before anything is swept: the old store stays until it is proved. */
	if (f->sync.digest != ha_store_digest_renewed(e->store) ||
	    f->sync.count != ha_store_count_renewed(e->store)) {
		j->mismatches++;
		return -EILSEQ;
	}
	ha_store_sweep(e->store, report_swept, e);
	if (j->state != JOINER_RECEIVING)
		return 0;
	j->state = JOINER_SYNCED;
	j->mismatches = 0;
	j->ack_urgent = true;
	e->stats.snapshots_received++;
	engine_set_in_sync(e, true, "holds what the active has");
	return 0;
}

/* ---- the stream
 * --------------------------------------------------------------- */

static int apply_frame(struct ha_engine *e, const struct ha_frame *f)
{
	struct joiner *j = &e->joiner;

	switch (f->head.type) {
	case HA_FRAME_BATCH:
	case HA_FRAME_SYNC_CHUNK:
		if (j->part)
			return -EBADMSG;
		if (f->batch.flags & HA_BATCH_URGENT)
			j->ack_urgent = true;
		return apply_batch(e, &f->batch);
	case HA_FRAME_FRAGMENT:
		if (f->fragment.flags & HA_BATCH_URGENT)
			j->ack_urgent = true;
		return apply_fragment(e, &f->fragment);
	case HA_FRAME_SYNC_END:
		return end(e, f);
	default:
		return -EBADMSG;
	}
}

static const char *failure(int rc)
{
	switch (rc) {
	case -ENOMEM:
		return "out of memory";
	case -EILSEQ:
		return "snapshot digest mismatch";
	default:
		return "broken record stream";
	}
}

void joiner_stream(struct ha_engine *e, uint8_t from, const struct ha_frame *f)
{
	struct joiner *j = &e->joiner;
	uint64_t nonce;
	int rc;

	/* A writer takes no records. That somebody newer writes ends it. */
	if (e->own_epoch) {
		if (f->head.epoch > e->floor)
			e->floor = f->head.epoch;
		engine_dropped(e, from, "records for an active");
		return;
	}
	if (f->head.type == HA_FRAME_SYNC_BEGIN) {
		begin(e, f);
		return;
	}
	if (f->head.epoch < e->floor) {
		engine_dropped(e, from, "older epoch");
		return;
	}
	if (!in_stream(j))
		return;
	if (f->head.seq <= j->last) {
		engine_dropped(e, from, "repeated frame");
		return;
	}
	if (f->head.seq != j->last + 1) {
		joiner_start(e, "a frame is missing");
		return;
	}
	nonce = j->nonce;
	j->last = f->head.seq;
	j->epoch = e->floor = f->head.epoch;
	j->heard = true;
	j->ack_due = true;
	rc = apply_frame(e, f);
	/* Only if it is still the same relation after the callbacks. */
	if (rc && in_stream(j) && j->nonce == nonce) {
		engine_dropped(e, from, failure(rc));
		joiner_start(e, failure(rc));
	}
}

void joiner_resync(struct ha_engine *e, const struct ha_frame *f)
{
	struct joiner *j = &e->joiner;

	/* Nonce 0: the donor knows of no relation at all. */
	if (in_stream(j) && (!f->sync.nonce || f->sync.nonce == j->nonce))
		joiner_start(e, "the active asks for a resync");
}

/* ---- pacing
 * -------------------------------------------------------------------- */

static bool donor_there(const struct ha_engine *e)
{
	return e->peer_present && e->peer_known && engine_serves(e->peer.role);
}

static void ask(struct ha_engine *e)
{
	struct joiner *j = &e->joiner;
	struct ha_frame f = {.head = {.type = HA_FRAME_SYNC_REQUEST}};

	if (!donor_there(e) || e->now_ms < j->retry_ms)
		return;
	if (j->state == JOINER_WANT) {
		/* Different for each request and each start of this node. */
		j->requests++;
		j->nonce = e->p.boot_id * UINT64_C(0x9e3779b97f4a7c15) +
			   j->requests;
		j->nonce |= UINT64_C(1) << 63; /* never 0 */
		j->state = JOINER_ASKED;
	}
	f.sync = (struct ha_sync){
		.nonce = j->nonce,
		.digest = ha_store_digest(e->store),
		.count = ha_store_count(e->store),
	};
	j->retry_ms = e->now_ms + REQUEST_RETRY_MS;
	engine_set_in_sync(e, false, "asked for a snapshot");
	out_control(e, &f, true);
}

static uint64_t ack_at_ms(const struct ha_engine *e)
{
	uint64_t delay = e->p.commit_timeout_ms / 2;

	if (e->joiner.ack_urgent)
		return e->now_ms;
	if (delay > ACK_DELAY_MAX_MS)
		delay = ACK_DELAY_MAX_MS;
	return e->joiner.ack_ms ? e->joiner.ack_ms : e->now_ms + delay;
}

static void send_ack(struct ha_engine *e)
{
	struct joiner *j = &e->joiner;
	struct ha_frame f = {.head = {.type = HA_FRAME_ACK}};

	if (!j->ack_due)
		return;
	j->ack_ms = ack_at_ms(e);
	if (e->now_ms < j->ack_ms)
		return;
	f.ack = (struct ha_ack){
		.nonce = j->nonce,
		.seq = j->last,
		.flags = j->state == JOINER_SYNCED ? HA_ACK_IN_SYNC : 0,
	};
	j->ack_due = false;
	j->ack_urgent = false;
	j->ack_ms = 0;
	out_control(e, &f, true);
}

void joiner_flush(struct ha_engine *e)
{
	struct joiner *j = &e->joiner;

	switch (j->state) {
	case JOINER_NONE:
		return;
	case JOINER_WANT:
	case JOINER_ASKED:
		ask(e);
		return;
	case JOINER_RECEIVING:
		if (j->heard) {
			j->heard = false;
			j->heard_ms = e->now_ms;
		} else if (e->now_ms >= j->heard_ms + RECEIVE_TIMEOUT_MS) {
			joiner_start(e, "the snapshot stands still");
			return;
		}
		break;
	case JOINER_SYNCED:
		break;
	}
	send_ack(e);
}

uint64_t joiner_deadline_ms(const struct ha_engine *e)
{
	const struct joiner *j = &e->joiner;
	uint64_t at = UINT64_MAX;

	switch (j->state) {
	case JOINER_NONE:
		return UINT64_MAX;
	case JOINER_WANT:
	case JOINER_ASKED:
		return donor_there(e) ? j->retry_ms : UINT64_MAX;
	case JOINER_RECEIVING:
		at = j->heard ? e->now_ms : j->heard_ms + RECEIVE_TIMEOUT_MS;
		break;
	case JOINER_SYNCED:
		break;
	}
	if (j->ack_due && ack_at_ms(e) < at)
		at = ack_at_ms(e);
	return at;
}
