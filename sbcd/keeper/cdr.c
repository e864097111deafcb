#include "sbcd/keeper/cdr.h"

#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* Out of memory is an error code, not exit(). */
#define HASH_NONFATAL_OOM 1
#include <uthash.h>
#include <utlist.h>

#include "sbcd/base/log.h"
#include "sbcd/record/record.h"

enum { VALUE_MAX_BYTES = 65536, GIVEN_UP_STATUS = 500 };

/* Each entry stands in the list of its stage. */
enum stage {
	STAGE_OPEN, /* the call, or its media, is not over */
	STAGE_PUT, /* complete; the peer may not have it yet */
	STAGE_READY, /* to be written here */
	STAGE_WRITING,
	STAGE_WRITTEN, /* kept for the peer */
	STAGE_COUNT
};

struct entry {
	UT_hash_handle hh;
	struct entry *prev, *next;
	uint64_t id, seq, token;
	uint64_t gone_ms; /* since when the call is gone, 0 = it is not */
	uint64_t done_ms;
	uint8_t stage;
	bool stored; /* the record is in the store */
	uint8_t *value; /* complete and not written yet */
	size_t size;
};

struct cdr {
	const struct ha_store *store;
	const struct config *config;
	const struct cdr_ops *ops;
	void *ctx;
	char node_name[REC_NAME_SIZE];
	bool enabled;
	uint64_t epoch; /* we serve under it, 0 = we do not */
	uint64_t counter, tokens; /* for seq, for tokens */
	uint64_t peer_written;
	uint64_t now_ms, wall_ms, retry_ms;
	bool busy; /* a batch is being written */
	struct entry *by_id;
	struct entry *lists[STAGE_COUNT];
	size_t lens[STAGE_COUNT];
	struct cdr_stats stats;
	struct buf encode;
	struct rec_cdr cdr; /* scratch */
	struct rec_call call;
	struct rec_mstate mstate;
};

int cdr_create(struct cdr **out, const struct cdr_params *p)
{
	struct cdr *c = calloc(1, sizeof(*c));

	if (!c)
		return -ENOMEM;
	c->store = p->store;
	c->config = p->config;
	c->ops = p->ops;
	c->ctx = p->ctx;
	c->enabled = p->enabled;
	snprintf(c->node_name, sizeof(c->node_name), "%.*s",
		 (int)sizeof(c->node_name) - 1, p->node_name);
	buf_init(&c->encode, VALUE_MAX_BYTES);
	*out = c;
	return 0;
}

/* ---- entries ------------------------------------------------------------ */
static struct entry *find(struct cdr *c, uint64_t id)
{
	struct entry *e;

	HASH_FIND(hh, c->by_id, &id, sizeof(id), e);
	return e;
}

static struct entry *add(struct cdr *c, uint64_t id)
{
	struct entry *e = calloc(1, sizeof(*e));

	if (!e)
		return NULL;
	e->id = id;
	e->stage = STAGE_OPEN;
	HASH_ADD(hh, c->by_id, id, sizeof(e->id), e);
	if (!e->hh.tbl) {
		free(e);
		return NULL;
	}
	DL_APPEND(c->lists[STAGE_OPEN], e);
	c->lens[STAGE_OPEN]++;
	return e;
}

static void move(struct cdr *c, struct entry *e, enum stage to)
{
	DL_DELETE(c->lists[e->stage], e);
	c->lens[e->stage]--;
	e->stage = (uint8_t)to;
	DL_APPEND(c->lists[to], e);
	c->lens[to]++;
}

static void forget(struct cdr *c, struct entry *e)
{
	DL_DELETE(c->lists[e->stage], e);
	c->lens[e->stage]--;
	HASH_DEL(c->by_id, e);
	free(e->value);
	free(e);
}

void cdr_destroy(struct cdr *c)
{
	if (!c)
		return;
	while (c->by_id)
		forget(c, c->by_id);
	buf_finish(&c->encode);
	free(c);
}

static int keep_value(struct entry *e, const void *value, size_t size)
{
	uint8_t *copy = malloc(size ? size : 1);

	if (!copy)
		return -ENOMEM;
	if (size)
		memcpy(copy, value, size);
	free(e->value);
	e->value = copy;
	e->size = size;
	return 0;
}

static struct ha_key key_of(uint64_t id)
{
	return (struct ha_key){.id = id, .kind = REC_CDR};
}

static void drop(struct cdr *c, struct entry *e)
{
	struct ha_key key = key_of(e->id);

	if (e->stored && c->ops->del(c->ctx, &key))
		log_rated(LOG_WARNING, "event=cdr-not-deleted id=%016" PRIx64,
			  e->id);
	forget(c, e);
}

/* ---- the active's side -------------------------------------------------- */
static int put(struct cdr *c, struct entry *e, uint64_t token)
{
	struct ha_key key = key_of(e->id);
	int err;

	buf_reset(&c->encode);
	err = record_encode(REC_CDR, &c->cdr, &c->encode);
	if (!err && c->encode.failed)
		err = -ENOMEM;
	if (!err && token)
		err = keep_value(e, c->encode.data, c->encode.size);
	if (!err)
		err = c->ops->put(c->ctx, &key, c->encode.data, c->encode.size,
				  token);
	if (err)
		log_rated(LOG_ERR,
			  "event=cdr-not-put id=%016" PRIx64 " error=\"%s\"",
			  e->id, strerror(-err));
	else
		e->stored = true;
	return err;
}

/* c->cdr is what stands in the store, or will. */
static bool may_complete(const struct cdr *c, const struct entry *e)
{
	if (!c->epoch || e->stage != STAGE_OPEN || !e->gone_ms ||
	    c->cdr.hold_until_ms > c->wall_ms)
		return false;
	return cdr_media_final(&c->cdr) ||
	       c->now_ms - e->gone_ms >= CDR_MEDIA_WAIT_MS;
}

static void complete(struct cdr *c, struct entry *e)
{
	c->cdr.state = CDR_COMPLETE;
	/* The counter of the epoch above: greater than all before, on
	 * whichever node. */
	c->cdr.seq = (c->epoch >> 8) << 32 | ++c->counter;
	c->cdr.hold_until_ms = 0;
	snprintf(c->cdr.node, sizeof(c->cdr.node), "%s", c->node_name);
	e->seq = c->cdr.seq;
	e->token = CDR_TOKEN | ++c->tokens;
	/* The commit may be reported before put() returns. */
	move(c, e, STAGE_PUT);
	if (put(c, e, e->token)) {
		if (e->stage == STAGE_PUT)
			move(c, e, STAGE_OPEN);
		return;
	}
	c->stats.completed++;
}

static bool load(struct cdr *c, uint64_t id)
{
	struct ha_key key = key_of(id);
	struct ha_item item;

	return ha_store_get(c->store, &key, &item) && !item.deleted &&
	       !record_decode(REC_CDR, item.value, item.size, &c->cdr);
}

static struct entry *begin(struct cdr *c, uint64_t id, uint64_t hold_until_ms)
{
	struct entry *e = add(c, id);

	if (!e) {
		c->stats.lost++;
		return NULL;
	}
	cdr_compose(&c->cdr, c->store, c->config, id, &c->call);
	c->cdr.hold_until_ms = hold_until_ms;
	/* Those the call was up through. Whoever completes the record, and
	 * however late, must say the same as a node that died having it
	 * written. */
	if (c->cdr.epoch)
		c->cdr.failovers = c->ops->failovers(c->ctx, c->cdr.epoch);
	if (put(c, e, 0)) {
		forget(c, e);
		return NULL;
	}
	return e;
}

void cdr_call_put(struct cdr *c, const struct ha_key *key, const void *value,
		  size_t size)
{
	struct entry *e = find(c, key->id);

	if (record_decode(REC_CALL, value, size, &c->call))
		return;
	if (c->call.state == CALL_ENDING) {
		if (!e)
			begin(c, key->id, 0);
	} else if (e && e->stage == STAGE_OPEN) {
		/* It was given up, and its caller made it anew. */
		drop(c, e);
	}
}

/* Most likely without having ended: this node could not go on with it. */
static struct entry *begin_given_up(struct cdr *c, uint64_t id)
{
	struct ha_key key = {.id = id, .kind = REC_CALL};
	struct ha_item item;

	if (!ha_store_get(c->store, &key, &item) || item.deleted ||
	    record_decode(REC_CALL, item.value, item.size, &c->call))
		return NULL;
	if (c->call.state == CALL_ENDING)
		return begin(c, id, 0);
	c->call.ending_ms = c->wall_ms;
	if (!c->call.answered_ms)
		c->call.end_cause = GIVEN_UP_STATUS;
	snprintf(c->call.end_text, sizeof(c->call.end_text), "Given up");
	return begin(c, id, c->wall_ms + CDR_HOLD_MS);
}

void cdr_dialog_deleted(struct cdr *c, const struct ha_key *key)
{
	if (!find(c, key->id))
		begin_given_up(c, key->id);
}

void cdr_call_deleted(struct cdr *c, const struct ha_key *key)
{
	struct entry *e = find(c, key->id);

	if (!e)
		e = begin_given_up(c, key->id);
	if (!e || e->stage != STAGE_OPEN)
		return;
	e->gone_ms = c->now_ms ? c->now_ms : 1;
	if (load(c, e->id) && may_complete(c, e))
		complete(c, e);
}

void cdr_mstate_deleted(struct cdr *c, const struct ha_key *key)
{
	struct entry *e = find(c, key->id);
	struct ha_item item;
	bool known;

	if (!e || e->stage != STAGE_OPEN || !load(c, e->id))
		return;
	known = ha_store_get(c->store, key, &item) && !item.deleted &&
		!record_decode(REC_MSTATE, item.value, item.size, &c->mstate);
	cdr_add_media(&c->cdr, key->sub, known ? &c->mstate : NULL, true);
	if (may_complete(c, e))
		complete(c, e);
	else
		put(c, e, 0);
}

static void ready(struct cdr *c, struct entry *e)
{
	e->done_ms = c->now_ms;
	move(c, e, STAGE_READY);
}

void cdr_committed(struct cdr *c, uint64_t token)
{
	struct entry *e;

	DL_FOREACH (c->lists[STAGE_PUT], e) {
		if (e->token != token)
			continue;
		ready(c, e);
		return;
	}
}

void cdr_activate(struct cdr *c, uint64_t epoch)
{
	if (epoch == c->epoch)
		return;
	c->epoch = epoch;
	c->counter = 0;
	c->peer_written = 0;
	/* Nobody says committed to a node that no longer serves. */
	while (!epoch && c->lists[STAGE_PUT])
		ready(c, c->lists[STAGE_PUT]);
}

/* Both have it. */
static void share(struct cdr *c)
{
	struct entry *e, *next;

	if (!c->epoch)
		return;
	DL_FOREACH_SAFE (c->lists[STAGE_WRITTEN], e, next) {
		if (e->seq <= c->peer_written ||
		    c->now_ms - e->done_ms > CDR_AGE_MAX_MS ||
		    c->lens[STAGE_WRITTEN] > CDR_WAITING_MAX)
			drop(c, e);
	}
}

void cdr_peer_written(struct cdr *c, uint64_t seq)
{
	if (seq > c->peer_written)
		c->peer_written = seq;
	share(c);
}

/* ---- the standby's side ------------------------------------------------- */
static void reopen(struct cdr *c, struct entry *e)
{
	free(e->value);
	e->value = NULL;
	e->gone_ms = 0;
	move(c, e, STAGE_OPEN);
}

static void applied_record(struct cdr *c, struct entry *e,
			   const struct ha_item *item)
{
	e->stored = true;
	if (c->cdr.state != CDR_COMPLETE) {
		/* Completed here by a node that was no longer heard: its end
		 * did not get over, and the peer goes on with the call. */
		if (e->stage != STAGE_OPEN)
			reopen(c, e);
		return;
	}
	e->seq = c->cdr.seq;
	if (e->stage > STAGE_PUT)
		return;
	if (keep_value(e, item->value, item->size)) {
		c->stats.lost++;
		return;
	}
	ready(c, e);
}

void cdr_applied(struct cdr *c, const struct ha_item *item)
{
	struct entry *e = find(c, item->key.id);

	if (item->deleted) {
		if (!e)
			return;
		e->stored = false;
		/* What is still to be written here stays till it is. */
		if (e->stage != STAGE_READY && e->stage != STAGE_WRITING)
			forget(c, e);
		return;
	}
	if (record_decode(REC_CDR, item->value, item->size, &c->cdr)) {
		log_rated(LOG_WARNING, "event=cdr-refused id=%016" PRIx64,
			  item->key.id);
		return;
	}
	if (!e)
		e = add(c, item->key.id);
	if (e)
		applied_record(c, e, item);
	else
		c->stats.lost++;
}

uint64_t cdr_own_written(const struct cdr *c)
{
	uint64_t floor = UINT64_MAX, highest = 0;
	const struct entry *e;

	for (int s = STAGE_READY; s <= STAGE_WRITING; s++)
		DL_FOREACH (c->lists[s], e) {
			if (e->seq < floor)
				floor = e->seq;
		}
	DL_FOREACH (c->lists[STAGE_WRITTEN], e) {
		if (e->stored && e->seq < floor && e->seq > highest)
			highest = e->seq;
	}
	return highest;
}

/* ---- writing ------------------------------------------------------------ */
static void lose_oldest(struct cdr *c)
{
	while (c->lens[STAGE_READY] > CDR_WAITING_MAX) {
		struct entry *e = c->lists[STAGE_READY];

		c->stats.lost++;
		log_rated(LOG_ERR, "event=cdr-lost id=%016" PRIx64, e->id);
		if (c->epoch)
			drop(c, e);
		else
			forget(c, e);
	}
}

static void written(struct cdr *c, struct entry *e)
{
	free(e->value);
	e->value = NULL;
	move(c, e, STAGE_WRITTEN);
	c->stats.written++;
	if (!e->stored)
		forget(c, e);
}

static struct cdr_batch *make_batch(struct cdr *c)
{
	struct cdr_batch *b = calloc(1, sizeof(*b));
	struct entry *e;

	while (b && b->len < CDR_BATCH_MAX && (e = c->lists[STAGE_READY])) {
		void *copy = malloc(e->size ? e->size : 1);

		if (!copy)
			break;
		memcpy(copy, e->value, e->size);
		b->items[b->len].id = e->id;
		b->items[b->len].value = copy;
		b->items[b->len++].size = e->size;
		move(c, e, STAGE_WRITING);
	}
	return b;
}

static void write_some(struct cdr *c)
{
	struct cdr_batch *b;
	int err;

	if (c->busy || !c->lists[STAGE_READY])
		return;
	if (!c->enabled) {
		while (c->lists[STAGE_READY])
			written(c, c->lists[STAGE_READY]);
		return;
	}
	b = make_batch(c);
	if (!b)
		return;
	c->busy = true;
	err = c->ops->write(c->ctx, b);
	if (err)
		cdr_written(c, b, err);
}

void cdr_written(struct cdr *c, struct cdr_batch *batch, int err)
{
	struct entry *e;

	c->busy = false;
	if (err) {
		c->stats.write_errors++;
		c->retry_ms = c->now_ms + CDR_RETRY_MS;
		log_rated(LOG_ERR,
			  "event=cdr-not-written records=%zu "
			  "error=\"%s\"",
			  batch->len, strerror(-err));
		DL_FOREACH (c->lists[STAGE_WRITING], e)
			e->stage = STAGE_READY;
		/* Before what came meanwhile. */
		DL_CONCAT(c->lists[STAGE_WRITING], c->lists[STAGE_READY]);
		c->lists[STAGE_READY] = c->lists[STAGE_WRITING];
		c->lens[STAGE_READY] += c->lens[STAGE_WRITING];
		c->lists[STAGE_WRITING] = NULL;
		c->lens[STAGE_WRITING] = 0;
	}
	c->stats.last_error = err;
	while (c->lists[STAGE_WRITING])
		written(c, c->lists[STAGE_WRITING]);
	for (size_t i = 0; i < batch->len; i++)
		free(batch->items[i].value);
	free(batch);
	share(c);
}

void cdr_flush(struct cdr *c)
{
	/* Nobody will commit them any more. */
	while (c->lists[STAGE_PUT])
		ready(c, c->lists[STAGE_PUT]);
	write_some(c);
}

void cdr_turn(struct cdr *c, uint64_t now_mono_ms, uint64_t now_wall_ms)
{
	struct entry *e, *next;
	struct ha_item item;

	c->now_ms = now_mono_ms;
	c->wall_ms = now_wall_ms;
	DL_FOREACH_SAFE (c->lists[STAGE_OPEN], e, next) {
		struct ha_key call = {.id = e->id, .kind = REC_CALL};

		if (!c->epoch)
			break;
		/* Whoever deleted the call may be dead. */
		if (!e->gone_ms &&
		    (!ha_store_get(c->store, &call, &item) || item.deleted))
			e->gone_ms = now_mono_ms;
		if (e->gone_ms && load(c, e->id) && may_complete(c, e))
			complete(c, e);
	}
	lose_oldest(c);
	if (now_mono_ms >= c->retry_ms)
		write_some(c);
	if (c->lens[STAGE_WRITTEN] > CDR_WAITING_MAX ||
	    (c->lists[STAGE_WRITTEN] &&
	     now_mono_ms - c->lists[STAGE_WRITTEN]->done_ms > CDR_AGE_MAX_MS))
		share(c);
}

void cdr_get_stats(const struct cdr *c, struct cdr_stats *out)
{
	*out = c->stats;
	out->open = c->lens[STAGE_OPEN];
	out->waiting = c->lens[STAGE_PUT] + c->lens[STAGE_READY] +
		       c->lens[STAGE_WRITING];
	out->kept = c->lens[STAGE_WRITTEN];
}
