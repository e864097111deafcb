/*
 * The keeper's call detail records: what cdr.h needs of the engine, the disk
 * and the peer.
 */
#include <errno.h>
#include <inttypes.h>
#include <limits.h>
#include <stdio.h>
#include <string.h>
#include <sys/epoll.h>
#include "sbcd/base/clock.h"
#include "sbcd/base/log.h"
#include "sbcd/keeper/cdr_disk.h"
#include "sbcd/keeper/keeper_int.h"

enum { STOP_WAIT_MS = 1000, TELL_TURNS = 10, STALL_MS = 5000 };

static int glue_put(void *ctx, const struct ha_key *key, const void *value,
		    size_t size, uint64_t token)
{
	struct keeper *k = ctx;

	return ha_engine_put(k->engine, key, value, size,
			     token ? HA_PUT_SYNC : 0, token);
}

static int glue_del(void *ctx, const struct ha_key *key)
{
	struct keeper *k = ctx;

	return ha_engine_delete(k->engine, key, 0, 0);
}

static int glue_write(void *ctx, struct cdr_batch *batch)
{
	struct keeper *k = ctx;

	return cdr_disk_write(k->cdr_disk, batch);
}

static unsigned glue_failovers(void *ctx, uint64_t epoch)
{
	struct keeper *k = ctx;

	return flight_count_after(k->flight, epoch);
}

static const struct cdr_ops glue_ops = {
	.put = glue_put,
	.del = glue_del,
	.write = glue_write,
	.failovers = glue_failovers,
};

static void on_written(void *ctx, struct cdr_batch *batch, int err)
{
	struct keeper *k = ctx;

	cdr_written(k->cdr, batch, err);
}

static void on_disk(void *ctx, uint32_t events)
{
	struct keeper *k = ctx;

	cdr_disk_dispatch(k->cdr_disk);
}

int cdr_glue_create(struct keeper *k)
{
	const struct config_cdr *config = &k->config->cdr;
	char directory[PATH_MAX];
	const struct cdr_params p = {
		.store = ha_engine_store(k->engine),
		.config = k->config,
		.node_name = k->node.name,
		.enabled = config->format != CDR_FORMAT_NONE,
		.ops = &glue_ops,
		.ctx = k,
	};
	const struct cdr_disk_params d = {
		.directory = directory,
		.config = config,
		.done = on_written,
		.ctx = k,
	};
	int err = cdr_create(&k->cdr, &p);

	if (config->directory[0])
		snprintf(directory, sizeof(directory), "%s", config->directory);
	else
		snprintf(directory, sizeof(directory), "%s/cdr",
			 k->node.state_dir);
	if (!err)
		err = cdr_disk_create(&k->cdr_disk, &d);
	if (err)
		return err;
	return loop_fd_add(k->loop, &k->cdr_watch, cdr_disk_fd(k->cdr_disk),
			   EPOLLIN, on_disk, k);
}

void cdr_glue_destroy(struct keeper *k)
{
	if (k->cdr && k->cdr_disk)
		cdr_flush(k->cdr);
	loop_fd_remove(k->cdr_watch);
	cdr_disk_destroy(k->cdr_disk, STOP_WAIT_MS);
	cdr_destroy(k->cdr);
}

void cdr_glue_turn(struct keeper *k, uint64_t now_ms)
{
	uint64_t seq;

	cdr_turn(k->cdr, now_ms, clock_pair_ms());
	if (k->house_turns % TELL_TURNS || k->roles.role != HA_ROLE_STANDBY ||
	    !k->roles.in_sync)
		return;
	/* Said again until the active has deleted them. */
	seq = cdr_own_written(k->cdr);
	if (seq && ha_engine_command(k->engine, HA_CMD_CDR_WRITTEN, seq))
		log_debug("event=cdr-word-unsent");
}

void cdr_glue_assess(struct keeper *k, struct health_facts *f, uint64_t now_ms)
{
	struct cdr_disk_stats disk;
	struct cdr_stats s;

	cdr_get_stats(k->cdr, &s);
	cdr_disk_get_stats(k->cdr_disk, &disk);
	f->cdr_error = s.last_error	 ? -s.last_error
		       : disk.open_error ? -disk.open_error
		       : cdr_disk_stalled_ms(k->cdr_disk, now_ms) > STALL_MS
			       ? ETIMEDOUT
			       : 0;
	f->cdr_waiting = s.waiting;
}

json_t *cdr_glue_counters(struct keeper *k)
{
	struct cdr_disk_stats disk;
	struct cdr_stats s;

	cdr_get_stats(k->cdr, &s);
	cdr_disk_get_stats(k->cdr_disk, &disk);
	return json_pack("{s:I,s:I,s:I,s:I,s:I,s:I,s:I,s:I,s:I}", "cdr_open",
			 (json_int_t)s.open, "cdr_waiting",
			 (json_int_t)s.waiting, "cdr_kept_for_peer",
			 (json_int_t)s.kept, "cdr_completed",
			 (json_int_t)s.completed, "cdr_written",
			 (json_int_t)s.written, "cdr_lost", (json_int_t)s.lost,
			 "cdr_write_errors", (json_int_t)s.write_errors,
			 "cdr_duplicates", (json_int_t)disk.duplicates,
			 "cdr_torn_bytes", (json_int_t)disk.torn_bytes);
}
