/*
 * The way out: batches and fragments become frames of the stream, frames wait
 * in one queue until the group takes them, commits wait for the peer's ack.
 * Everything here is bounded; what goes over a bound ends the relation.
 */
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include "hasync/engine_int.h"

/* ---- life ---------------------------------------------------------------- */

static int batch_init(const struct ha_engine *e, struct open_batch *b)
{
	b->w.capacity = HA_HEAD_BYTES + HA_BATCH_HEAD_BYTES + e->p.batch_bytes;
	b->w.data = malloc(b->w.capacity);
	return b->w.data ? 0 : -ENOMEM;
}

static void batch_reset(struct open_batch *b)
{
	b->w.size = 0;
	b->w.failed = false;
	b->count = 0;
	b->urgent = false;
	b->since_us = 0;
	b->since_ms = 0;
}

int out_init(struct ha_engine *e)
{
	e->queue_tail = &e->queue;
	e->ring = calloc(UNACKED_RING, sizeof(*e->ring));
	if (!e->ring || batch_init(e, &e->live) || batch_init(e, &e->chunk)) {
		out_finish(e);
		return -ENOMEM;
	}
	return 0;
}

void out_finish(struct ha_engine *e)
{
	out_drop_all(e);
	free(e->ring);
	free(e->live.w.data);
	free(e->chunk.w.data);
	free(e->commits);
}

/* ---- the queue ----------------------------------------------------------- */

static void unqueue(struct ha_engine *e, struct queued **at)
{
	struct queued *q = *at;

	*at = q->next;
	if (!q->next)
		e->queue_tail = at;
	e->queue_bytes -= q->size;
	if (q->type == HA_FRAME_COMMAND)
		e->queue_commands--;
	free(q);
}

static void enqueue(struct ha_engine *e, struct queued *q)
{
	q->next = NULL;
	*e->queue_tail = q;
	e->queue_tail = &q->next;
	e->queue_bytes += q->size;
	if (q->type == HA_FRAME_COMMAND)
		e->queue_commands++;
}

static void drop_queued(struct ha_engine *e, bool stream_only)
{
	struct queued **at = &e->queue;

	while (*at) {
		if (!stream_only || (*at)->seq)
			unqueue(e, at);
		else
			at = &(*at)->next;
	}
}

void out_drop_stream(struct ha_engine *e)
{
	drop_queued(e, true);
	batch_reset(&e->live);
	batch_reset(&e->chunk);
}

void out_drop_all(struct ha_engine *e)
{
	drop_queued(e, false);
	batch_reset(&e->live);
	batch_reset(&e->chunk);
}

static void fill_head(const struct ha_engine *e, struct ha_head *h,
		      uint64_t epoch, uint64_t seq)
{
	h->version = ha_wire_speak(HA_WIRE_VERSION, e->peer_max_version);
	h->max_version = HA_WIRE_VERSION;
	h->node = e->p.node;
	h->epoch = epoch;
	h->seq = seq;
}

static struct queued *encode(const struct ha_frame *f)
{
	size_t capacity = HA_HEAD_BYTES + 512;
	struct queued *q;

	if (f->head.type == HA_FRAME_FRAGMENT)
		capacity += HA_FRAGMENT_HEAD_BYTES + f->fragment.size;
	q = malloc(sizeof(*q) + capacity);
	if (!q)
		return NULL;
	if (ha_frame_encode(f, q->data, capacity, &q->size)) {
		free(q);
		return NULL;
	}
	q->type = f->head.type;
	q->seq = f->head.seq;
	return q;
}

int out_control(struct ha_engine *e, struct ha_frame *f, bool replace)
{
	bool commands = f->head.type == HA_FRAME_COMMAND;
	struct queued **at = &e->queue;
	struct queued *q;

	if (commands && e->queue_commands >= QUEUE_COMMANDS_MAX)
		return -EAGAIN;
	fill_head(e, &f->head,
		  commands && e->own_epoch ? e->own_epoch : e->heard, 0);
	q = encode(f);
	if (!q)
		return -ENOMEM;
	while (replace && *at) {
		if ((*at)->type == q->type)
			unqueue(e, at);
		else
			at = &(*at)->next;
	}
	enqueue(e, q);
	return 0;
}

/* Numbers the frame into the stream, or ends the relation. */
static int enqueue_stream(struct ha_engine *e, struct queued *q,
			  uint64_t put_us)
{
	struct donor *d = &e->donor;

	if (d->last - d->acked >= UNACKED_RING - 1 ||
	    d->unacked_bytes + q->size > UNACKED_MAX_BYTES ||
	    e->queue_bytes + q->size > e->p.queue_max_bytes) {
		free(q);
		donor_end(e, "the peer is too slow", true);
		return -ENOBUFS;
	}
	d->last = q->seq;
	d->unacked_bytes += q->size;
	e->ring[q->seq % UNACKED_RING] = (struct unacked){
		.bytes = (uint32_t)q->size,
		.put_us = put_us,
	};
	enqueue(e, q);
	return 0;
}

int out_stream(struct ha_engine *e, struct ha_frame *f)
{
	struct queued *q;

	fill_head(e, &f->head, e->own_epoch, e->donor.last + 1);
	q = encode(f);
	if (!q) {
		donor_end(e, "out of memory", true);
		return -ENOMEM;
	}
	return enqueue_stream(e, q, engine_now_us(e));
}

void out_stamp(struct ha_engine *e)
{
	struct donor *d = &e->donor;

	if (d->stamped < d->acked)
		d->stamped = d->acked;
	while (d->stamped < d->last)
		e->ring[++d->stamped % UNACKED_RING].sent_ms = e->now_ms;
}

void out_drain(struct ha_engine *e)
{
	struct queued *q;

	while ((q = e->queue)) {
		int rc = e->ops.send(e->p.ctx, q->data, q->size);
		bool stream = q->seq;

		if (rc == -EAGAIN) {
			e->send_retry_ms = e->now_ms + SEND_RETRY_MS;
			return;
		}
		if (!rc) {
			e->stats.frames_sent++;
			e->stats.bytes_sent += q->size;
		}
		unqueue(e, &e->queue);
		/* A hole in the stream. */
		if (rc && stream)
			donor_end(e, "the group does not take frames", true);
	}
}

void out_acked(struct ha_engine *e, uint64_t seq)
{
	struct donor *d = &e->donor;
	uint64_t now_us = engine_now_us(e);

	while (d->acked < seq) {
		const struct unacked *u = &e->ring[++d->acked % UNACKED_RING];

		d->unacked_bytes -= u->bytes;
		if (d->acked == seq)
			e->stats.lag_us =
				now_us > u->put_us
					? (uint32_t)(now_us - u->put_us)
					: 0;
	}
}

uint64_t out_oldest_unacked_ms(const struct ha_engine *e)
{
	const struct donor *d = &e->donor;

	if (d->acked == d->last || d->stamped <= d->acked)
		return 0;
	return e->ring[(d->acked + 1) % UNACKED_RING].sent_ms;
}

/* ---- batches ------------------------------------------------------------- */

static void batch_open(struct ha_engine *e, struct open_batch *b)
{
	/* Header and batch head are filled in when it is sealed. */
	b->w.size = HA_HEAD_BYTES + HA_BATCH_HEAD_BYTES;
	b->since_us = engine_now_us(e);
}

int out_seal(struct ha_engine *e, struct open_batch *b)
{
	struct ha_head head = {.type = b == &e->chunk ? HA_FRAME_SYNC_CHUNK
						      : HA_FRAME_BATCH};
	struct ha_writer w = {.data = b->w.data, .capacity = b->w.capacity};
	uint64_t since_us = b->since_us;
	struct queued *q;

	if (!b->count)
		return 0;
	fill_head(e, &head, e->own_epoch, e->donor.last + 1);
	ha_head_write(&w, &head);
	ha_write_uint(&w, b->urgent ? HA_BATCH_URGENT : 0, 1);
	ha_write_uint(&w, 0, 1);
	ha_write_uint(&w, b->count, 2);
	ha_head_finish(&b->w);
	q = malloc(sizeof(*q) + b->w.size);
	if (!q) {
		donor_end(e, "out of memory", true);
		return -ENOMEM;
	}
	q->seq = head.seq;
	q->type = head.type;
	q->size = b->w.size;
	memcpy(q->data, b->w.data, b->w.size);
	batch_reset(b);
	return enqueue_stream(e, q, since_us);
}

static int out_fragments(struct ha_engine *e, const struct ha_item *item,
			 bool urgent)
{
	size_t at = 0;
	int rc = 0;

	while (!rc && at < item->size) {
		size_t left = item->size - at;
		struct ha_frame f = {
			.head = {.type = HA_FRAME_FRAGMENT},
			.fragment = {
				.flags = urgent ? HA_BATCH_URGENT : 0,
				.key = item->key,
				.version = item->version,
				.total = (uint32_t)item->size,
				.offset = (uint32_t)at,
				.data = (const uint8_t *)item->value + at,
			}};

		if (left > e->p.batch_bytes)
			left = e->p.batch_bytes;
		f.fragment.size = (uint32_t)left;
		at += left;
		rc = out_stream(e, &f);
	}
	return rc;
}

int out_record(struct ha_engine *e, struct open_batch *b,
	       const struct ha_item *item, bool urgent)
{
	size_t bytes = HA_ENTRY_HEAD_BYTES + (item->deleted ? 0 : item->size);
	int rc;

	if (bytes > e->p.batch_bytes) {
		rc = out_seal(e, b);
		return rc ? rc : out_fragments(e, item, urgent);
	}
	if (b->count && b->w.size + bytes > b->w.capacity) {
		rc = out_seal(e, b);
		if (rc)
			return rc;
	}
	if (!b->count)
		batch_open(e, b);
	ha_entry_write(&b->w, item);
	b->count++;
	b->urgent |= urgent;
	return 0;
}

/* ---- commits ------------------------------------------------------------- */

static int commits_grow(struct ha_engine *e)
{
	size_t cap = e->commits_cap ? e->commits_cap * 2 : 64;
	struct commit *c;

	if (e->commits_len >= COMMITS_MAX)
		return -ENOBUFS;
	c = malloc(cap * sizeof(*c));
	if (!c)
		return -ENOMEM;
	for (size_t i = 0; i < e->commits_len; i++)
		c[i] = e->commits[(e->commits_head + i) % e->commits_cap];
	free(e->commits);
	e->commits = c;
	e->commits_cap = cap;
	e->commits_head = 0;
	return 0;
}

bool commit_add(struct ha_engine *e, uint64_t token, uint64_t seq)
{
	if (e->commits_len == e->commits_cap && commits_grow(e))
		return false;
	e->commits[(e->commits_head + e->commits_len) % e->commits_cap] =
		(struct commit){.token = token, .seq = seq};
	e->commits_len++;
	return true;
}

/* The callback may put, or end the relation: off the list first. */
static void commit_pop(struct ha_engine *e, bool timed_out)
{
	uint64_t token = e->commits[e->commits_head].token;

	e->commits_head = (e->commits_head + 1) % e->commits_cap;
	e->commits_len--;
	e->stats.commits++;
	if (timed_out)
		e->stats.commit_timeouts++;
	if (e->ops.committed)
		e->ops.committed(e->p.ctx, token, timed_out);
}

void commit_acked(struct ha_engine *e, uint64_t seq)
{
	while (e->commits_len && e->commits[e->commits_head].seq <= seq)
		commit_pop(e, false);
}

void commit_all(struct ha_engine *e)
{
	size_t len = e->commits_len;

	while (len-- && e->commits_len)
		commit_pop(e, false);
}

void commit_expire(struct ha_engine *e)
{
	for (size_t i = e->commits_len; i-- > 0;) {
		struct commit *c =
			&e->commits[(e->commits_head + i) % e->commits_cap];

		if (c->deadline_ms)
			break;
		c->deadline_ms = e->now_ms + e->p.commit_timeout_ms;
	}
	while (e->commits_len) {
		uint64_t at = e->commits[e->commits_head].deadline_ms;

		/* 0: put by a callback just now, armed the next time. */
		if (!at || at > e->now_ms)
			break;
		commit_pop(e, true);
	}
}

uint64_t commit_deadline_ms(const struct ha_engine *e)
{
	size_t last;

	if (!e->commits_len)
		return UINT64_MAX;
	last = (e->commits_head + e->commits_len - 1) % e->commits_cap;
	if (!e->commits[last].deadline_ms)
		return e->now_ms;
	return e->commits[e->commits_head].deadline_ms;
}
