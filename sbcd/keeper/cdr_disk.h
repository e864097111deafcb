/*
 * cdr_disk - batches of call detail records on their way to this node's
 * files, in a thread of their own: a disk that is full or does not answer
 * holds up neither the main loop nor the epoch file.
 *
 * Layer: keeper. Main thread; the files belong to the CDR disk thread.
 */
#ifndef SBCD_KEEPER_CDR_DISK_H
#define SBCD_KEEPER_CDR_DISK_H

#include <stdint.h>
#include "sbcd/keeper/cdr.h"

struct cdr_disk;

/* In the main thread, out of cdr_disk_dispatch(). */
typedef void cdr_disk_done_fn(void *ctx, struct cdr_batch *batch, int err);

struct cdr_disk_params {
	const char *directory;
	const struct config_cdr *config; /* copied */
	cdr_disk_done_fn *done;
	void *ctx;
};

/* Starts to open the files at once. */
int cdr_disk_create(struct cdr_disk **out, const struct cdr_disk_params *p)
	__attribute__((warn_unused_result));
/* Waits at most wait_ms for the batch under way. */
void cdr_disk_destroy(struct cdr_disk *d, unsigned wait_ms);
int cdr_disk_fd(const struct cdr_disk *d);
void cdr_disk_dispatch(struct cdr_disk *d);
/* 0: taken over, done() follows. -EBUSY: one at a time. */
int cdr_disk_write(struct cdr_disk *d, struct cdr_batch *batch)
	__attribute__((warn_unused_result));
uint64_t cdr_disk_stalled_ms(struct cdr_disk *d, uint64_t now_ms);

struct cdr_disk_stats {
	uint64_t duplicates; /* that were in a file already */
	uint64_t torn_bytes; /* cut off lines that a crash had cut */
	int open_error; /* 0 = the files are open */
};
void cdr_disk_get_stats(struct cdr_disk *d, struct cdr_disk_stats *out);

#endif
