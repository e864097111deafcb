#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "sbcd/base/clock.h"
#include "sbcd/base/log.h"
#include "sbcd/media/control.h"
#include "sbcd/record/record.h"

enum { ENTRIES_MAX = 400000 };

static void refuse(struct media_control *c, const struct ha_key *key,
		   const char *why)
{
	char text[64];

	counters_add(c->counters, COUNTER_media_record_rejected, 1);
	log_rated(LOG_WARNING, "event=record-refused record=%s reason=%s",
		  record_key_format(key, text, sizeof(text)), why);
}

static struct ha_key mstate_key(const struct ha_key *key)
{
	struct ha_key k = *key;

	k.kind = REC_MSTATE;
	return k;
}

/* An mstate record outlives neither its stream nor a crash. */
static void delete_mstate(struct media_control *c, struct media_entry *e)
{
	struct ha_key key = mstate_key(&e->key);

	if (!e->mstate_known)
		return;
	if (worker_link_delete(c->link, &key, false, 0))
		c->sweep_wanted = true; /* when the link has room */
	else
		e->mstate_known = false;
}

static struct media_entry *entry_add(struct media_control *c,
				     const struct ha_key *key)
{
	struct media_entry *e = media_registry_find(c->registry, key);

	if (!e && media_registry_len(c->registry) < ENTRIES_MAX)
		e = media_registry_add(c->registry, key);
	return e;
}

/* ---- media
 * ---------------------------------------------------------------------- */

static void post_restore(struct media_entry *e, struct media_cmd *cmd,
			 const struct rec_mstate *m)
{
	cmd->stream = e->stream;
	cmd->mstate = *m;
	media_thread_post(e->thread, cmd);
}

static void apply_waiting(struct media_control *c, struct media_entry *e)
{
	struct media_cmd *cmd;

	if (!e->waiting)
		return;
	cmd = media_cmd_new(MEDIA_CMD_RESTORE);
	if (!cmd) {
		refuse(c, &e->key, "memory");
		return;
	}
	post_restore(e, cmd, e->waiting);
	free(e->waiting);
	e->waiting = NULL;
}

/* A stream that changed its thread (another port) begins anew there. */
static int remove_old(struct media_entry *e, bool last)
{
	struct media_cmd *cmd = media_cmd_new(MEDIA_CMD_REMOVE);

	if (!cmd)
		return -ENOMEM;
	cmd->stream = e->stream;
	cmd->last = last;
	media_thread_post(e->thread, cmd);
	e->stream = NULL;
	return 0;
}

static int install(struct media_control *c, struct media_entry *e,
		   struct media_stream *s)
{
	struct media_thread *t;
	struct media_cmd *cmd;
	int err;

	if (s->shard >= c->threads_len)
		return -EINVAL;
	t = c->threads[s->shard];
	if (e->stream && e->thread != t) {
		/* Keys that were used would begin anew there. */
		if (media_stream_is_srtp(s))
			return -EXDEV;
		err = remove_old(e, false);
		if (err)
			return err;
	}
	cmd = media_cmd_new(MEDIA_CMD_STREAM);
	if (!cmd)
		return -ENOMEM;
	cmd->stream = s;
	cmd->old = e->stream;
	e->stream = s;
	e->thread = t;
	media_thread_post(t, cmd);
	return 0;
}

static void put_media(struct media_control *c, const struct ha_key *key,
		      const void *value, size_t size)
{
	struct media_stream_params params = {
		.nifs = &c->nifs,
		.config = c->config,
		.now_ns = clock_mono_ns(),
		.srtp = c->srtp,
	};
	struct media_stream *s;
	struct media_entry *e;
	int err;

	if (record_decode(REC_MEDIA, value, size, &c->media)) {
		refuse(c, key, "malformed");
		return;
	}
	if (media_stream_build(&s, key, &c->media, &params)) {
		refuse(c, key, "no such interface, port or key");
		return;
	}
	e = entry_add(c, key);
	err = e ? install(c, e, s) : -ENOMEM;
	if (err) {
		refuse(c, key,
		       err == -EXDEV ? "SRTP on a port of another thread"
				     : "memory or thread");
		media_stream_free(s);
		if (e && !e->stream && !e->mstate_known)
			media_registry_remove(c->registry, e);
		return;
	}
	apply_waiting(c, e);
}

static void delete_media(struct media_control *c, const struct ha_key *key)
{
	struct media_entry *e = media_registry_find(c->registry, key);
	bool had;

	if (!e)
		return;
	had = e->stream != NULL;
	if (had && remove_old(e, true)) {
		refuse(c, key, "memory");
		return;
	}
	/* On the active, media_apply_removed() goes on when the relay thread
	 * has let go. On a standby the active deletes the mstate; if it dies
	 * before that, the orphan tells us to. */
	if (had && c->active)
		return;
	if (c->active)
		delete_mstate(c, e);
	if (!e->mstate_known)
		media_registry_remove(c->registry, e);
}

static bool put_mstate_record(struct media_control *c, struct media_entry *e,
			      const struct rec_mstate *m)
{
	struct ha_key key = mstate_key(&e->key);

	buf_reset(&c->value);
	if (record_encode(REC_MSTATE, m, &c->value)) {
		refuse(c, &key, "cannot encode");
		return true;
	}
	if (worker_link_put(c->link, &key, c->value.data, c->value.size, false,
			    0))
		return false;
	e->mstate_known = true;
	return true;
}

void media_apply_removed(struct media_control *c, const struct media_stream *s)
{
	struct media_entry *e = media_registry_find(c->registry, &s->key);

	/* Gone as a whole, or there again. */
	if (!e || e->stream || !c->active)
		return;
	media_stream_export(s, &c->mstate, clock_mono_ns(), clock_wall_ms());
	/* Without room in the link the numbers of the last report stand. */
	if (!put_mstate_record(c, e, &c->mstate))
		c->sweep_wanted = true;
	delete_mstate(c, e);
	if (!e->mstate_known)
		media_registry_remove(c->registry, e);
}

/* ---- mstate
 * --------------------------------------------------------------------- */

static void put_mstate(struct media_control *c, const struct ha_key *key,
		       const void *value, size_t size)
{
	struct media_entry *e = media_registry_find(c->registry, key);
	struct media_cmd *cmd;

	/* On the active node its own threads know better. */
	if (c->active && e && e->stream)
		return;
	if (record_decode(REC_MSTATE, value, size, &c->mstate)) {
		refuse(c, key, "malformed");
		return;
	}
	e = entry_add(c, key);
	if (!e) {
		refuse(c, key, "too many or memory");
		return;
	}
	e->mstate_known = true;
	if (e->stream) {
		cmd = media_cmd_new(MEDIA_CMD_RESTORE);
		if (cmd)
			post_restore(e, cmd, &c->mstate);
		else
			refuse(c, key, "memory");
		return;
	}
	if (c->active && c->replayed) {
		delete_mstate(c, e);
		media_registry_remove(c->registry, e);
		return;
	}
	if (!e->waiting)
		e->waiting = malloc(sizeof(*e->waiting));
	if (e->waiting)
		*e->waiting = c->mstate;
}

static void delete_mstate_record(struct media_control *c,
				 const struct ha_key *key)
{
	struct media_entry *e = media_registry_find(c->registry, key);

	if (!e)
		return;
	e->mstate_known = false;
	free(e->waiting);
	e->waiting = NULL;
	if (!e->stream)
		media_registry_remove(c->registry, e);
}

/* ---- link callbacks
 * -------------------------------------------------------------- */

static void note_epoch(struct media_control *c, uint64_t epoch)
{
	if (epoch > c->record_epochs[0]) {
		c->record_epochs[1] = c->record_epochs[0];
		c->record_epochs[0] = epoch;
	} else if (epoch > c->record_epochs[1] && epoch < c->record_epochs[0]) {
		c->record_epochs[1] = epoch;
	}
}

void media_apply_record(void *ctx, const struct ha_key *key,
			const struct ha_version *version, const void *value,
			size_t size)
{
	struct media_control *c = ctx;

	counters_set_busy(c->counters, BUSY_RECORD, key, sizeof(*key));
	note_epoch(c, version->epoch);
	if (key->kind == REC_MEDIA && value)
		put_media(c, key, value, size);
	else if (key->kind == REC_MEDIA)
		delete_media(c, key);
	else if (key->kind == REC_MSTATE && value)
		put_mstate(c, key, value, size);
	else if (key->kind == REC_MSTATE)
		delete_mstate_record(c, key);
	counters_set_busy(c->counters, BUSY_NOTHING, NULL, 0);
}

void media_apply_replay_end(void *ctx)
{
	struct media_control *c = ctx;

	c->replayed = true;
	if (c->active)
		media_apply_sweep(c);
	log_info("event=replay-done streams=%llu orphans=%llu",
		 (unsigned long long)media_registry_streams(c->registry),
		 (unsigned long long)media_registry_orphans(c->registry));
}

static void sweep_one(void *ctx, struct media_entry *e)
{
	struct media_control *c = ctx;

	if (e->stream)
		return;
	delete_mstate(c, e);
	if (!e->mstate_known)
		media_registry_remove(c->registry, e);
}

void media_apply_sweep(struct media_control *c)
{
	c->sweep_wanted = false;
	media_registry_each(c->registry, sweep_one, c);
}

/* ---- what relay threads report
 * --------------------------------------------------- */

/* False: try again when the link has room. */
static bool put_event(struct media_control *c, const struct media_event *ev)
{
	struct media_entry *e = media_registry_find(c->registry, &ev->key);

	/* Deleted meanwhile: its mstate may not come back to life. */
	if (!e || !e->stream)
		return true;
	return put_mstate_record(c, e, &ev->mstate);
}

bool media_apply_events(struct media_control *c)
{
	const struct media_event *ev;

	for (unsigned i = 0; i < c->threads_len; i++) {
		while ((ev = media_thread_event(c->threads[i]))) {
			if (!put_event(c, ev))
				return false;
			media_thread_event_pop(c->threads[i]);
		}
	}
	return true;
}
