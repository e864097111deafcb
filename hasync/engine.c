#include "hasync/engine_int.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

enum { BATCH_MIN_BYTES = 1024, BATCH_MAX_BYTES = 60 * 1024 };

/* ---- small things -------------------------------------------------------- */

bool engine_serves(enum ha_role role)
{
	return role == HA_ROLE_ACTIVE || role == HA_ROLE_BECOMING_ACTIVE;
}

/* RELINQUISHING: the workers' last words before GO are still records. */
bool engine_may_write(const struct ha_engine *e)
{
	if (!e->own_epoch || e->own_epoch < e->floor)
		return false;
	return engine_serves(e->role) ||
	       (e->role == HA_ROLE_RELINQUISHING && !e->go_sent);
}

uint64_t engine_now_us(const struct ha_engine *e)
{
	return e->ops.now_us ? e->ops.now_us(e->p.ctx) : e->now_ms * 1000;
}

void engine_heard_epoch(struct ha_engine *e, uint64_t epoch)
{
	if (epoch > e->heard)
		e->heard = epoch;
}

void engine_dropped(struct ha_engine *e, uint8_t from, const char *why)
{
	e->stats.frames_dropped++;
	if (e->ops.dropped)
		e->ops.dropped(e->p.ctx, from, why);
}

/*
 * Told at the end of the outermost call: a role machine that reacts with
 * ha_engine_set_role() then never meets the engine half-way through a frame.
 */
void engine_set_in_sync(struct ha_engine *e, bool in_sync, const char *why)
{
	if (e->in_sync == in_sync)
		return;
	e->in_sync = in_sync;
	e->in_sync_reason = why;
	e->status_due = true;
}

void engine_settled(struct ha_engine *e)
{
	if (e->in_sync == e->in_sync_told)
		return;
	e->in_sync_told = e->in_sync;
	if (e->ops.sync_changed)
		e->ops.sync_changed(e->p.ctx, e->in_sync, e->in_sync_reason);
}

/* ---- life ---------------------------------------------------------------- */

static void set_params(struct ha_engine *e, const struct ha_engine_params *p)
{
	e->p = *p;
	e->ops = *p->ops;
	e->p.ops = NULL;
	if (e->p.batch_bytes < BATCH_MIN_BYTES)
		e->p.batch_bytes = BATCH_MIN_BYTES;
	if (e->p.batch_bytes > BATCH_MAX_BYTES)
		e->p.batch_bytes = BATCH_MAX_BYTES;
	if (e->p.snapshot_bytes_per_s < SNAPSHOT_RATE_MIN)
		e->p.snapshot_bytes_per_s = SNAPSHOT_RATE_MIN;
	if (!e->p.queue_max_bytes)
		e->p.queue_max_bytes = QUEUE_DEFAULT_BYTES;
	if (!e->p.status_interval_ms)
		e->p.status_interval_ms = 500;
	if (!e->p.commit_timeout_ms)
		e->p.commit_timeout_ms = 1;
	if (!e->p.missed_acks_max)
		e->p.missed_acks_max = 1;
}

int ha_engine_create(struct ha_engine **out, const struct ha_engine_params *p)
{
	struct ha_engine *e;
	int rc;

	if (!p->node || p->node > HA_NODE_MAX || !p->ops || !p->ops->send ||
	    p->epoch >= HA_EPOCH_LIMIT)
		return -EINVAL;
	e = calloc(1, sizeof(*e));
	if (!e)
		return -ENOMEM;
	set_params(e, p);
	e->heard = p->epoch;
	e->own = (struct ha_status){.node = p->node, .boot_id = p->boot_id};
	rc = ha_store_create(&e->store);
	if (rc)
		goto err_engine;
	rc = out_init(e);
	if (rc)
		goto err_store;
	*out = e;
	return 0;

err_store:
	ha_store_destroy(e->store);
err_engine:
	free(e);
	return rc;
}

void ha_engine_destroy(struct ha_engine *e)
{
	if (!e)
		return;
	out_finish(e);
	joiner_end(e);
	ha_store_destroy(e->store);
	free(e);
}

struct ha_store *ha_engine_store(struct ha_engine *e)
{
	return e->store;
}

/* ---- writer -------------------------------------------------------------- */

static void report_commit(struct ha_engine *e, uint64_t token)
{
	e->stats.commits++;
	if (e->ops.committed)
		e->ops.committed(e->p.ctx, token, false);
}

static int write_item(struct ha_engine *e, struct ha_item *item, unsigned flags,
		      uint64_t token)
{
	bool sync = flags & HA_PUT_SYNC;
	uint64_t seq;
	int rc;

	if (!engine_may_write(e))
		return -EPERM;
	item->version = (struct ha_version){
		.epoch = e->own_epoch,
		.generation = e->generation + 1,
		.writer = e->p.node,
	};
	if (item->deleted)
		rc = ha_store_delete(e->store, &item->key, &item->version,
				     e->now_ms);
	else
		rc = ha_store_put(e->store, &item->key, &item->version,
				  item->value, item->size);
	if (rc < 0)
		return rc;
	/* Something newer than this activation is stored: not the writer. */
	if (!rc)
		return -EPERM;
	e->generation++;
	if (donor_streams(e)) {
		rc = out_record(e, &e->live, item, sync);
		if (!rc)
			e->stats.records_sent++;
	}
	if (!sync)
		return 0;
	/* Still open, the batch will have the next number. */
	seq = e->donor.last + (e->live.count ? 1 : 0);
	if (!donor_waits(e) || !commit_add(e, token, seq))
		report_commit(e, token);
	return 0;
}

int ha_engine_put(struct ha_engine *e, const struct ha_key *key,
		  const void *value, size_t size, unsigned flags,
		  uint64_t token)
{
	struct ha_item item = {.key = *key, .value = value, .size = size};

	return write_item(e, &item, flags, token);
}

int ha_engine_delete(struct ha_engine *e, const struct ha_key *key,
		     unsigned flags, uint64_t token)
{
	struct ha_item item = {.key = *key, .deleted = true};

	return write_item(e, &item, flags, token);
}

/* ---- role, membership, status -------------------------------------------- */

static void start_serving(struct ha_engine *e, enum ha_role old, uint64_t epoch)
{
	if (!engine_serves(old)) {
		joiner_end(e);
		e->own_epoch = 0;
		e->go_sent = false;
		engine_set_in_sync(e, false, "active, no peer in sync");
	}
	/* Not the epoch of somebody else's activation. */
	if (epoch > e->floor) {
		e->own_epoch = epoch;
		e->floor = epoch;
	}
}

static void stop_serving(struct ha_engine *e, enum ha_role old)
{
	if (e->own_epoch) {
		donor_end(e, "not active any more", false);
		e->own_epoch = 0;
	}
	e->donor.resync_due = false;
	if (e->role == HA_ROLE_INIT) {
		joiner_end(e);
		return;
	}
	if (e->joiner.state == JOINER_NONE ||
	    (e->role == HA_ROLE_SYNCING && old == HA_ROLE_STANDBY &&
	     e->joiner.state == JOINER_SYNCED))
		joiner_start(e, "joining");
}

void ha_engine_set_role(struct ha_engine *e, enum ha_role role, uint64_t epoch)
{
	enum ha_role old = e->role;

	e->role = role;
	if (epoch < HA_EPOCH_LIMIT)
		engine_heard_epoch(e, epoch);
	if (engine_serves(role))
		start_serving(e, old, epoch);
	else if (role != HA_ROLE_RELINQUISHING)
		stop_serving(e, old);
	if (role != old)
		e->status_due = true;
}

uint64_t ha_engine_epoch(const struct ha_engine *e)
{
	return e->heard;
}

void ha_engine_set_status(struct ha_engine *e, const struct ha_status *own)
{
	struct ha_status s = *own;

	s.node = e->p.node;
	s.boot_id = e->p.boot_id;
	if (!memcmp(&s, &e->own, sizeof(s)))
		return;
	/* Numbers that always move wait for their turn. */
	if (s.health != e->own.health ||
	    s.active_epoch != e->own.active_epoch ||
	    s.config_digest != e->own.config_digest ||
	    memcmp(s.fence, e->own.fence, sizeof(s.fence)) != 0 ||
	    memcmp(s.prints, e->own.prints, sizeof(s.prints)) != 0)
		e->status_due = true;
	e->own = s;
}

static void peer_gone(struct ha_engine *e)
{
	bool known = e->peer_present;

	e->peer_present = false;
	e->peer_known = false;
	/* It may come back as an older release. */
	e->peer_max_version = 0;
	donor_end(e, "the peer left", false);
	e->donor.resync_due = false;
	joiner_donor_gone(e);
	out_drop_all(e);
	if (known && e->ops.peer_status)
		e->ops.peer_status(e->p.ctx, NULL);
}

void ha_engine_membership(struct ha_engine *e, bool self, bool peer)
{
	bool present = self && peer;

	e->in_group = self;
	if (present && !e->peer_present) {
		e->peer_present = true;
		e->status_due = true;
	} else if (!present && e->peer_present) {
		peer_gone(e);
	}
	engine_settled(e);
}

static void send_status(struct ha_engine *e)
{
	struct ha_frame f = {
		.head = {.type = HA_FRAME_STATUS},
		.status = e->own,
	};

	if (!e->peer_present || (!e->status_due && e->now_ms < e->status_ms))
		return;
	e->status_due = false;
	e->status_ms = e->now_ms + e->p.status_interval_ms;
	f.status.role = e->role;
	f.status.in_sync = e->in_sync;
	if (e->own_epoch)
		f.status.active_epoch = e->own_epoch;
	if (e->ops.stamp)
		e->ops.stamp(e->p.ctx, &f.status);
	out_control(e, &f, true);
}

/* ---- pacing -------------------------------------------------------------- */

static uint64_t seal_at_ms(const struct ha_engine *e)
{
	const struct open_batch *b = &e->live;

	if (b->urgent)
		return e->urgent_ms > e->now_ms ? e->urgent_ms : e->now_ms;
	return b->since_ms ? b->since_ms + e->p.batch_ms : e->now_ms;
}

static void seal_when_due(struct ha_engine *e)
{
	struct open_batch *b = &e->live;

	if (!b->count)
		return;
	if (!b->since_ms)
		b->since_ms = e->now_ms ? e->now_ms : 1;
	if (e->now_ms < seal_at_ms(e))
		return;
	if (b->urgent)
		e->urgent_ms = e->now_ms + e->p.gap_ms;
	out_seal(e, b);
}

/*
 * A tombstone must outlive every frame that could bring its record back. The
 * joiner applies one ordered stream, so that is: all acked. While the peer
 * lags it stays.
 */
static void reap(struct ha_engine *e)
{
	if (e->now_ms < e->reap_ms)
		return;
	e->reap_ms = e->now_ms + REAP_INTERVAL_MS;
	if (e->donor.state == DONOR_NONE || e->donor.state == DONOR_SYNCED)
		ha_store_reap(e->store, e->now_ms, TOMBSTONE_MS);
}

void ha_engine_flush(struct ha_engine *e, uint64_t now_ms)
{
	if (now_ms > e->now_ms)
		e->now_ms = now_ms;
	commit_expire(e);
	donor_flush(e);
	seal_when_due(e);
	joiner_flush(e);
	send_status(e);
	out_stamp(e);
	out_drain(e);
	reap(e);
	engine_settled(e);
}

static uint64_t earlier(uint64_t a, uint64_t b)
{
	return a < b ? a : b;
}

uint64_t ha_engine_deadline_ms(const struct ha_engine *e)
{
	uint64_t at = UINT64_MAX;

	if (e->in_sync != e->in_sync_told)
		return e->now_ms;
	if (e->live.count)
		at = seal_at_ms(e);
	if (e->queue)
		at = earlier(at, e->send_retry_ms);
	if (e->peer_present)
		at = earlier(at, e->status_due ? e->now_ms : e->status_ms);
	if (ha_store_tombstones(e->store))
		at = earlier(at, e->reap_ms);
	at = earlier(at, commit_deadline_ms(e));
	at = earlier(at, donor_deadline_ms(e));
	return earlier(at, joiner_deadline_ms(e));
}

bool ha_engine_flushed(const struct ha_engine *e)
{
	if (e->live.count || e->donor.acked != e->donor.last)
		return false;
	/* Nobody is there to ack, or nothing was ours to put. */
	if (!e->peer_present || !e->own_epoch)
		return !e->queue;
	return e->donor.state == DONOR_SYNCED ||
	       e->donor.state == DONOR_LAGGING;
}

void ha_engine_get_stats(const struct ha_engine *e, struct ha_engine_stats *out)
{
	*out = e->stats;
	out->unacked_frames = (uint32_t)(e->donor.last - e->donor.acked);
	out->in_sync = e->in_sync;
	out->peer_present = e->peer_present;
	out->own_wire_version = HA_WIRE_VERSION;
	out->peer_wire_version = e->peer_max_version;
	out->wire_version = ha_wire_speak(HA_WIRE_VERSION, e->peer_max_version);
}
