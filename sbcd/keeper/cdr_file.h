/*
 * cdr_file - one format's file of call detail records: appended in batches,
 * each id once, rotated by size and by time.
 *
 *   DIR/cdr.jsonl, DIR/cdr.csv            being written
 *   DIR/cdr-20260131T000000.jsonl         full ones, named when closed
 *
 * Guarantees: after a batch was taken its lines are on the disk (or in the
 * kernel, with sync off), whole; after one was refused, none of its lines is.
 * A last line that a crash has cut is removed when the file is opened. An id
 * among the last CDR_LEDGER_IDS that were written, also before a restart and
 * across rotations, is not written again. A file that somebody moved away is
 * begun anew.
 *
 * Layer: keeper. One thread at a time: the CDR disk thread.
 */
#ifndef SBCD_KEEPER_CDR_FILE_H
#define SBCD_KEEPER_CDR_FILE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include "sbcd/config/config.h"
#include "sbcd/record/kinds.h"

enum {
	CDR_LEDGER_IDS = 65536, /* at least so many are remembered */
	CDR_BATCH_MAX = 256,
};

struct cdr_file_params {
	const char *directory; /* made when it is not there */
	bool csv; /* else JSON lines */
	uint64_t rotate_bytes; /* 0 = by time alone */
	enum cdr_rotation rotation; /* periods of UTC */
	uint32_t keep_files; /* rotated ones; 0 = all */
	bool sync;
};

struct cdr_item {
	uint64_t id;
	const struct rec_cdr *cdr;
};

struct cdr_file;

/* Reads what is there, so it may take a while. */
int cdr_file_open(struct cdr_file **out, const struct cdr_file_params *p)
	__attribute__((warn_unused_result));
void cdr_file_close(struct cdr_file *f);
/* At most CDR_BATCH_MAX items with different ids. 0: all of them are in the
 * file now; *duplicates is raised by those that were before. -errno: none of
 * the new ones is. `now_ms`: wall clock. */
int cdr_file_append(struct cdr_file *f, const struct cdr_item *items,
		    size_t len, uint64_t now_ms, uint64_t *duplicates)
	__attribute__((warn_unused_result));
/* Bytes that were cut off as a torn line since it was created. */
uint64_t cdr_file_torn_bytes(const struct cdr_file *f);

#endif
