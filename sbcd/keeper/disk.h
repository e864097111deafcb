/*
 * disk - a thread that writes files durably, because fsync() can take seconds
 * and the main loop may not. There is one for small files of state and one for
 * CDRs, so that neither waits for the other.
 *
 * Jobs are done in order. The queue is bounded. A file is written beside its
 * name, synced, renamed, and its directory synced: it is whole or absent.
 *
 * Layer: keeper. Called by the main thread; the work runs in its own thread.
 */
#ifndef SBCD_KEEPER_DISK_H
#define SBCD_KEEPER_DISK_H

#include <stddef.h>
#include <stdint.h>

struct disk;

/* In the main thread, out of disk_dispatch(). err: 0 or -errno. */
typedef void disk_done_fn(void *ctx, int err, uint64_t took_us);

int disk_create(struct disk **out, size_t queue_max)
	__attribute__((warn_unused_result));
/* Lets the thread finish for at most `wait_ms`, then abandons it. */
void disk_destroy(struct disk *d, unsigned wait_ms);

/* Copies everything. done may be NULL. -ENOBUFS: queue full. */
int disk_write_file(struct disk *d, const char *path, const void *data,
		    size_t size, disk_done_fn *done, void *ctx)
	__attribute__((warn_unused_result));

/* In the disk thread; returns what `done` is told. */
typedef int disk_work_fn(void *arg);
/* `arg` is the thread's until done is called. When the thread is abandoned it
 * never is. */
int disk_run(struct disk *d, disk_work_fn *work, void *arg, disk_done_fn *done,
	     void *ctx) __attribute__((warn_unused_result));

/* Readable when disk_dispatch() has something to do. */
int disk_fd(const struct disk *d);
void disk_dispatch(struct disk *d);

/* How long the oldest unfinished job has been waiting, 0 = none. */
uint64_t disk_stalled_ms(struct disk *d, uint64_t now_ms);

/* The same work at once, in the caller's thread (start-up). 0 or -errno. */
int disk_write_file_now(const char *path, const void *data, size_t size)
	__attribute__((warn_unused_result));

#endif
