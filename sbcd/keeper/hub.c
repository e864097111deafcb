#include "sbcd/keeper/hub.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <uthash.h>
#include "hasync/engine.h"
#include "sbcd/record/kinds.h"

/* A key that changed and was not sent yet. */
struct dirty {
	struct ha_key key; /* zeroed padding: hashed as bytes */
	struct dirty *next;
	uint64_t ticket; /* position in the order of changes */
	UT_hash_handle hh;
};

struct worker {
	bool attached;
	bool replaying;
	bool replay_started;
	enum hub_replay what;
	size_t burials_sent; /* of this replay */
	uint64_t replay_seq; /* its last record */
	bool replay_turn; /* alternate between replay and changes */
	bool blocked; /* the link took nothing more in this turn */
	bool awaited; /* somebody wants to know when no change waits */
	struct ha_key cursor;
	struct dirty *by_key; /* hash */
	struct dirty *first, **last;
	size_t dirty_len;
	uint64_t tickets; /* handed out */
	uint64_t sent_ticket; /* everything up to here was sent ... */
	uint64_t seq; /* last sequence number sent */
	uint64_t applied; /* acknowledged by the worker */
	uint64_t sent;
};

struct commit {
	bool used; /* the worker still waits */
	bool engine_done; /* the peer has it, or will not get it */
	bool media_done; /* the media worker has all it needs */
	bool media_seq_known;
	bool timed_out;
	enum hub_worker who;
	uint64_t token; /* the worker's */
	uint64_t media_ticket, media_seq;
	uint64_t deadline_ms;
};

struct hub {
	const struct ha_store *store;
	const struct hub_ops *ops;
	void *ctx;
	struct worker workers[HUB_WORKERS];
	/* Ring of commits in order of putting; ids are positions. */
	struct commit *commits;
	uint64_t commit_first, commit_next;
	uint64_t commit_unsent; /* first whose media_seq may be unknown */
	/* Of the last media record the SIP worker wrote. */
	uint64_t media_ticket, media_seq;
	struct buried {
		struct ha_key culprit; /* left out; kind 0: transactions */
		bool twice; /* all of it is left out */
	} buried[HUB_BURIED_MAX];
	size_t buried_len;
	bool farewells; /* workers did not get all records of a call */
	struct hub_stats stats;
};

static const uint32_t subscribed[HUB_WORKERS] = {
	[HUB_SIP] = 1u << REC_CALL | 1u << REC_DIALOG | 1u << REC_TXN |
		    1u << REC_MEDIA | 1u << REC_MSTATE | 1u << REC_CONN |
		    1u << REC_QUARANTINE | 1u << REC_TICKET | 1u << REC_OCSP,
	[HUB_MEDIA] = 1u << REC_MEDIA | 1u << REC_MSTATE,
};

static const uint32_t may_write[HUB_WORKERS] = {
	[HUB_SIP] = 1u << REC_CALL | 1u << REC_DIALOG | 1u << REC_TXN |
		    1u << REC_MEDIA | 1u << REC_CONN | 1u << REC_TICKET |
		    1u << REC_OCSP,
	[HUB_MEDIA] = 1u << REC_MSTATE,
};

static bool kind_in(uint32_t set, uint8_t kind)
{
	return kind < REC_KIND_MAX && (set >> kind & 1);
}

int hub_create(struct hub **out, const struct ha_store *store,
	       const struct hub_ops *ops, void *ctx)
{
	struct hub *h = calloc(1, sizeof(*h));

	if (!h)
		return -ENOMEM;
	h->commits = calloc(HUB_COMMITS_MAX, sizeof(*h->commits));
	if (!h->commits) {
		free(h);
		return -ENOMEM;
	}
	h->store = store;
	h->ops = ops;
	h->ctx = ctx;
	for (int w = 0; w < HUB_WORKERS; w++)
		h->workers[w].last = &h->workers[w].first;
	*out = h;
	return 0;
}

static void dirty_clear(struct worker *wk)
{
	struct dirty *d;

	HASH_CLEAR(hh, wk->by_key);
	while ((d = wk->first)) {
		wk->first = d->next;
		free(d);
	}
	wk->last = &wk->first;
	wk->dirty_len = 0;
}

void hub_destroy(struct hub *h)
{
	if (!h)
		return;
	for (int w = 0; w < HUB_WORKERS; w++)
		dirty_clear(&h->workers[w]);
	free(h->commits);
	free(h);
}

/* ---- changes ------------------------------------------------------------ */
static void key_copy(struct ha_key *out, const struct ha_key *key)
{
	memset(out, 0, sizeof(*out));
	out->id = key->id;
	out->sub = key->sub;
	out->kind = key->kind;
}

static void note_change(struct worker *wk, const struct ha_key *key)
{
	struct ha_key k;
	struct dirty *d;

	key_copy(&k, key);
	HASH_FIND(hh, wk->by_key, &k, sizeof(k), d);
	if (d)
		return;
	d = calloc(1, sizeof(*d));
	if (!d) {
		/* Without memory the worker cannot be told; its next replay
		 * repairs it. The peer has the record all the same. */
		return;
	}
	d->key = k;
	d->ticket = ++wk->tickets;
	HASH_ADD(hh, wk->by_key, key, sizeof(d->key), d);
	*wk->last = d;
	wk->last = &d->next;
	wk->dirty_len++;
}

static void spread(struct hub *h, int from, const struct ha_key *key)
{
	for (int w = 0; w < HUB_WORKERS; w++) {
		struct worker *wk = &h->workers[w];

		if (w != from && wk->attached &&
		    kind_in(subscribed[w], key->kind))
			note_change(wk, key);
	}
}

void hub_applied(struct hub *h, const struct ha_key *key)
{
	spread(h, -1, key);
}

/* ---- commits ------------------------------------------------------------ */
static struct commit *commit_at(struct hub *h, uint64_t id)
{
	return &h->commits[id % HUB_COMMITS_MAX];
}

static void commit_report(struct hub *h, enum hub_worker w, uint64_t token,
			  bool timed_out)
{
	struct link_message m = {
		.type = LINK_COMMITTED,
		.flags = timed_out ? LINK_F_TIMED_OUT : 0,
		.token = token,
	};

	h->stats.commits++;
	if (timed_out)
		h->stats.commit_timeouts++;
	if (h->workers[w].attached && h->ops->send(h->ctx, w, &m))
		h->stats.refused++;
}

/* Reports what is complete and forgets what was reported. */
static void commit_settle(struct hub *h, struct commit *c)
{
	if (c->used && c->engine_done && c->media_done) {
		c->used = false;
		commit_report(h, c->who, c->token, c->timed_out);
	}
	while (h->commit_first != h->commit_next &&
	       !commit_at(h, h->commit_first)->used)
		h->commit_first++;
	if (h->commit_unsent < h->commit_first)
		h->commit_unsent = h->commit_first;
}

/* 0 when there is no room. Ids start at 1. */
static uint64_t commit_open(struct hub *h, enum hub_worker w, uint64_t token,
			    uint64_t now_ms)
{
	struct worker *media = &h->workers[HUB_MEDIA];
	struct commit *c;

	if (!h->commit_next)
		h->commit_first = h->commit_next = h->commit_unsent = 1;
	if (h->commit_next - h->commit_first >= HUB_COMMITS_MAX)
		return 0;
	c = commit_at(h, h->commit_next);
	memset(c, 0, sizeof(*c));
	c->used = true;
	c->who = w;
	c->token = token;
	c->deadline_ms = now_ms + HUB_COMMIT_MS;
	/* The media records of the same batch may come after this put: what
	 * must be applied is settled at the end of the turn. */
	c->media_done = w != HUB_SIP || !media->attached;
	return h->commit_next++;
}

/* End of a turn: fixes what the commits of this turn wait for. */
static void commit_fix_tickets(struct hub *h)
{
	struct worker *media = &h->workers[HUB_MEDIA];
	uint64_t id = h->commit_next;

	while (id > h->commit_first) {
		struct commit *c = commit_at(h, --id);

		if (c->media_ticket || c->media_seq_known)
			break;
		if (!c->used || c->media_done)
			continue;
		if (h->media_ticket <= media->sent_ticket) {
			c->media_seq = h->media_seq;
			c->media_seq_known = true;
			c->media_done = media->applied >= h->media_seq;
		} else {
			c->media_ticket = h->media_ticket;
		}
	}
	for (id = h->commit_first; id < h->commit_next; id++)
		commit_settle(h, commit_at(h, id));
}

/* A changed record with this ticket went to the media worker as `seq`. */
static void commit_sent(struct hub *h, uint64_t ticket, uint64_t seq)
{
	while (h->commit_unsent < h->commit_next) {
		struct commit *c = commit_at(h, h->commit_unsent);

		if (c->used && !c->media_done && !c->media_seq_known) {
			if (!c->media_ticket || c->media_ticket > ticket)
				return;
			c->media_seq = seq;
			c->media_seq_known = true;
		}
		h->commit_unsent++;
	}
}

static void commit_applied(struct hub *h, uint64_t seq)
{
	for (uint64_t id = h->commit_first; id < h->commit_next; id++) {
		struct commit *c = commit_at(h, id);

		if (!c->used || c->media_done)
			continue;
		if (!c->media_seq_known || c->media_seq > seq)
			break;
		c->media_done = true;
		commit_settle(h, c);
	}
}

void hub_committed(struct hub *h, uint64_t token, bool timed_out)
{
	struct commit *c;

	if (token < h->commit_first || token >= h->commit_next)
		return;
	c = commit_at(h, token);
	if (!c->used || c->engine_done)
		return;
	c->engine_done = true;
	c->timed_out |= timed_out;
	commit_settle(h, c);
}

static void commit_expire(struct hub *h, uint64_t now_ms)
{
	for (uint64_t id = h->commit_first; id < h->commit_next; id++) {
		struct commit *c = commit_at(h, id);

		if (!c->used)
			continue;
		if (c->deadline_ms > now_ms)
			return;
		c->timed_out = true;
		c->engine_done = true;
		c->media_done = true;
		commit_settle(h, c);
	}
}

/* ---- from a worker ------------------------------------------------------ */
static struct buried *find_buried(struct hub *h, uint64_t id)
{
	for (size_t i = 0; i < h->buried_len; i++) {
		if (h->buried[i].culprit.id == id)
			return &h->buried[i];
	}
	return NULL;
}

static bool of_a_call(uint8_t kind)
{
	return kind >= REC_CALL && kind <= REC_MSTATE;
}

/* Is this record kept away from this worker? */
static bool hidden(struct hub *h, enum hub_worker w, const struct ha_key *key)
{
	const struct buried *b =
		of_a_call(key->kind) ? find_buried(h, key->id) : NULL;

	if (!b)
		return false;
	if (w == HUB_MEDIA || b->twice)
		return true;
	if (!b->culprit.kind)
		return key->kind == REC_TXN;
	return key->kind == b->culprit.kind && key->sub == b->culprit.sub;
}

/* Deletes what is left of a call. Its account (CDR) is none of it. */
static size_t sweep(struct hub *h, uint64_t id)
{
	struct ha_key after = {.id = id};
	struct ha_item item;
	size_t n = 0;
	bool more = ha_store_next(h->store, id ? &after : NULL, &item);

	/* {id, 0, 0} is no record of ours: kinds start at 1. */
	while (more && item.key.id == id) {
		struct ha_key key = item.key;

		if (!item.deleted && of_a_call(key.kind) &&
		    !h->ops->del(h->ctx, &key, 0, 0)) {
			n++;
			spread(h, -1, &key);
		}
		more = ha_store_next(h->store, &key, &item);
	}
	return n;
}

static void on_write(struct hub *h, enum hub_worker w,
		     const struct link_message *m, uint64_t now_ms)
{
	struct worker *media = &h->workers[HUB_MEDIA];
	bool sync = (m->flags & LINK_F_SYNC) && m->token;
	uint64_t id = 0;
	int err;

	if (!kind_in(may_write[w], m->key.kind)) {
		h->stats.refused++;
		h->ops->refused(h->ctx, w, &m->key, "kind");
		if (sync)
			commit_report(h, w, m->token, true);
		return;
	}
	if (sync)
		id = commit_open(h, w, m->token, now_ms);
	if (m->type == LINK_PUT) {
		h->stats.puts++;
		err = h->ops->put(h->ctx, &m->key, m->value, m->size,
				  id ? HA_PUT_SYNC : 0, id);
	} else {
		h->stats.deletes++;
		err = h->ops->del(h->ctx, &m->key, id ? HA_PUT_SYNC : 0, id);
	}
	if (err) {
		h->stats.refused++;
		h->ops->refused(h->ctx, w, &m->key, strerror(-err));
		if (id)
			hub_committed(h, id, true);
		return;
	}
	if (sync && !id)
		commit_report(h, w, m->token, true);
	spread(h, (int)w, &m->key);
	/* It has never heard of the rest. */
	if (h->farewells && m->type == LINK_DELETE && m->key.kind == REC_CALL)
		sweep(h, m->key.id);
	if (w == HUB_SIP && m->key.kind == REC_MEDIA)
		h->media_ticket = media->tickets;
}

void hub_from_worker(struct hub *h, enum hub_worker w,
		     const struct link_message *m, uint64_t now_ms)
{
	struct worker *wk = &h->workers[w];

	if (!wk->attached)
		return;
	switch (m->type) {
	case LINK_PUT:
	case LINK_DELETE:
		on_write(h, w, m, now_ms);
		break;
	case LINK_APPLIED:
		/* A worker cannot have applied what was not sent. */
		if (m->token > wk->seq || m->token < wk->applied)
			break;
		wk->applied = m->token;
		if (w == HUB_MEDIA)
			commit_applied(h, m->token);
		break;
	default:
		break;
	}
}

/* ---- to a worker -------------------------------------------------------- */
void hub_attach(struct hub *h, enum hub_worker w, enum hub_replay what)
{
	struct worker *wk = &h->workers[w];

	hub_detach(h, w);
	wk->attached = true;
	wk->replaying = true;
	wk->replay_started = false;
	wk->what = what;
	wk->burials_sent = 0;
	h->farewells |= what == HUB_REPLAY_FAREWELL;
}

void hub_serve(struct hub *h)
{
	struct worker *sip = &h->workers[HUB_SIP];

	for (size_t i = 0; i < h->buried_len; i++) {
		if (h->buried[i].twice)
			sweep(h, h->buried[i].culprit.id);
	}
	if (!sip->attached || sip->what != HUB_REPLAY_NONE)
		return;
	/* Walks again, and may delete this time. */
	sip->replaying = true;
	sip->replay_started = false;
}

void hub_detach(struct hub *h, enum hub_worker w)
{
	struct worker *wk = &h->workers[w];

	dirty_clear(wk);
	wk->attached = false;
	wk->replaying = false;
	wk->seq = 0;
	wk->applied = 0;
	wk->tickets = 0;
	wk->sent_ticket = 0;
	wk->blocked = false;
	wk->awaited = false;
	if (w == HUB_MEDIA) {
		h->media_ticket = 0;
		h->media_seq = 0;
	}
	for (uint64_t id = h->commit_first; id < h->commit_next; id++) {
		struct commit *c = commit_at(h, id);

		/* Nobody waits for the dead: neither for its word nor as it. */
		if (c->used && c->who == w)
			c->used = false;
		else if (c->used && w == HUB_MEDIA)
			c->media_done = true;
		commit_settle(h, c);
	}
}

bool hub_is_replayed(const struct hub *h, enum hub_worker w)
{
	return h->workers[w].attached && !h->workers[w].replaying;
}

bool hub_has_applied(const struct hub *h, enum hub_worker w)
{
	return hub_is_replayed(h, w) &&
	       h->workers[w].applied >= h->workers[w].replay_seq;
}

static int send_record(struct hub *h, enum hub_worker w,
		       const struct ha_key *key)
{
	struct worker *wk = &h->workers[w];
	struct link_message m = {
		.type = LINK_RECORD,
		.token = wk->seq + 1,
	};
	struct ha_item item;
	int err;

	m.key = *key;
	/* A record whose tombstone is reaped already is deleted too. */
	if (!ha_store_get(h->store, key, &item) || item.deleted ||
	    hidden(h, w, key)) {
		m.flags = LINK_F_DELETED;
	} else {
		m.version = item.version;
		m.value = item.value;
		m.size = item.size;
	}
	err = h->ops->send(h->ctx, w, &m);
	if (err)
		return err;
	wk->seq++;
	wk->sent++;
	return 0;
}

static int send_change(struct hub *h, enum hub_worker w)
{
	struct worker *wk = &h->workers[w];
	struct dirty *d = wk->first;
	int err = send_record(h, w, &d->key);

	if (err)
		return err;
	wk->first = d->next;
	if (!wk->first)
		wk->last = &wk->first;
	HASH_DEL(wk->by_key, d);
	wk->dirty_len--;
	wk->sent_ticket = d->ticket;
	if (w == HUB_MEDIA) {
		if (d->ticket <= h->media_ticket)
			h->media_seq = wk->seq;
		commit_sent(h, d->ticket, wk->seq);
	}
	free(d);
	return 0;
}

static int replay_one(struct hub *h, enum hub_worker w,
		      const struct ha_key *key)
{
	const struct worker *wk = &h->workers[w];

	switch (wk->what) {
	case HUB_REPLAY_NONE:
		if (w == HUB_SIP && of_a_call(key->kind) &&
		    !h->ops->del(h->ctx, key, 0, 0))
			spread(h, HUB_SIP, key);
		if (of_a_call(key->kind))
			return 0;
		break;
	case HUB_REPLAY_FAREWELL:
		if (of_a_call(key->kind) && key->kind > REC_DIALOG)
			return 0;
		break;
	case HUB_REPLAY_ALL:
		break;
	}
	return hidden(h, w, key) ? 0 : send_record(h, w, key);
}

static int send_bury(struct hub *h, uint64_t id)
{
	struct link_message m = {.type = LINK_BURY, .key = {.id = id}};

	return h->ops->send(h->ctx, HUB_SIP, &m);
}

/* 0 = all of them. */
static int send_burials(struct hub *h)
{
	struct worker *sip = &h->workers[HUB_SIP];
	int err = 0;

	if (sip->what == HUB_REPLAY_FAREWELL)
		return send_bury(h, 0);
	while (!err && sip->burials_sent < h->buried_len) {
		err = send_bury(h, h->buried[sip->burials_sent].culprit.id);
		sip->burials_sent += !err;
	}
	return err;
}

/* 1 sent or skipped, 0 the replay is over, <0 cannot send now. */
static int send_replay(struct hub *h, enum hub_worker w)
{
	struct worker *wk = &h->workers[w];
	struct link_message end = {
		.type = LINK_REPLAY_END,
		.token = wk->seq,
	};
	struct ha_item item;
	int err = 0;

	if (ha_store_next(h->store, wk->replay_started ? &wk->cursor : NULL,
			  &item)) {
		struct ha_key key = item.key;

		if (!item.deleted && kind_in(subscribed[w], key.kind))
			err = replay_one(h, w, &key);
		if (err)
			return err;
		wk->replay_started = true;
		wk->cursor = key;
		return 1;
	}
	if (w == HUB_SIP)
		err = send_burials(h);
	if (!err)
		err = h->ops->send(h->ctx, w, &end);
	if (err)
		return err;
	wk->replaying = false;
	wk->replay_seq = wk->seq;
	h->ops->replayed(h->ctx, w);
	return 0;
}

static bool has_credit(const struct worker *wk)
{
	return wk->seq - wk->applied < LINK_WINDOW;
}

static void pump_worker(struct hub *h, enum hub_worker w)
{
	struct worker *wk = &h->workers[w];
	unsigned budget = HUB_REPLAY_BUDGET;

	wk->blocked = false;
	while (wk->attached && has_credit(wk) && !wk->blocked) {
		bool replay = wk->replaying && budget;

		if (replay && (!wk->first || wk->replay_turn)) {
			wk->replay_turn = false;
			budget--;
			wk->blocked = send_replay(h, w) < 0;
		} else if (wk->first) {
			wk->replay_turn = true;
			wk->blocked = send_change(h, w) < 0;
		} else {
			break;
		}
	}
	if (!wk->awaited || wk->replaying || wk->first)
		return;
	wk->awaited = false;
	h->ops->replayed(h->ctx, w);
}

bool hub_catch_up(struct hub *h, enum hub_worker w)
{
	struct worker *wk = &h->workers[w];

	pump_worker(h, w);
	wk->awaited = wk->attached && wk->first;
	return hub_is_replayed(h, w) && !wk->first;
}

void hub_pump(struct hub *h, uint64_t now_ms)
{
	commit_fix_tickets(h);
	for (int w = 0; w < HUB_WORKERS; w++)
		pump_worker(h, (enum hub_worker)w);
	commit_expire(h, now_ms);
}

uint64_t hub_deadline_ms(const struct hub *h)
{
	for (int w = 0; w < HUB_WORKERS; w++) {
		const struct worker *wk = &h->workers[w];

		/* The budget of this turn ran out, not the credit. */
		if (wk->attached && wk->replaying && has_credit(wk) &&
		    !wk->blocked)
			return 0;
	}
	if (h->commit_first == h->commit_next)
		return UINT64_MAX;
	return h->commits[h->commit_first % HUB_COMMITS_MAX].deadline_ms;
}

/* ---- the rest ----------------------------------------------------------- */
static struct buried *add_buried(struct hub *h, const struct ha_key *culprit)
{
	struct buried *b;

	/* A full list forgets the oldest. */
	if (h->buried_len == HUB_BURIED_MAX)
		memmove(h->buried, h->buried + 1,
			--h->buried_len * sizeof(h->buried[0]));
	b = &h->buried[h->buried_len++];
	memset(b, 0, sizeof(*b));
	b->culprit = *culprit;
	return b;
}

ssize_t hub_bury(struct hub *h, enum hub_worker w, const struct ha_key *culprit)
{
	struct worker *sip = &h->workers[HUB_SIP];
	struct buried *b = find_buried(h, culprit->id);

	if (!culprit->id || (culprit->kind && !of_a_call(culprit->kind)))
		return -EINVAL;
	h->farewells = true;
	if (b) {
		b->twice = true;
		return (ssize_t)sweep(h, culprit->id);
	}
	add_buried(h, culprit);
	/* Its SIP worker lives, knows the call, and can end it well. */
	if (w == HUB_MEDIA && sip->attached && !sip->replaying &&
	    send_bury(h, culprit->id))
		h->stats.refused++;
	return 0;
}

size_t hub_doomed(const struct hub *h, uint64_t *ids, size_t max)
{
	struct ha_item item;
	size_t n = 0;

	for (size_t i = 0; i < h->buried_len; i++) {
		struct ha_key key = {.id = h->buried[i].culprit.id,
				     .kind = REC_CALL};

		if (!h->buried[i].twice ||
		    !ha_store_get(h->store, &key, &item) || item.deleted)
			continue;
		if (n < max)
			ids[n] = key.id;
		n++;
	}
	return n;
}

void hub_get_stats(const struct hub *h, struct hub_stats *out)
{
	*out = h->stats;
	for (int w = 0; w < HUB_WORKERS; w++) {
		out->sent[w] = h->workers[w].sent;
		out->waiting[w] = h->workers[w].dirty_len;
		out->unacked[w] =
			(size_t)(h->workers[w].seq - h->workers[w].applied);
	}
	out->commits_pending = (size_t)(h->commit_next - h->commit_first);
}
