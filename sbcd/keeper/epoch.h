/*
 * epoch - the number under which a node is active: greater than any epoch
 * ever stored or heard, different on the two nodes, never used twice.
 *
 * An epoch is a counter above a byte with the node id. Activation must not
 * wait for a disk, so a block of counters is reserved ahead: the file says
 * "everything up to `limit` may be in use", written and synced while the node
 * is still standby. After a restart counting goes on above the old limit.
 *
 * Guarantees: epoch_next() never returns a value that a node with this file
 * could have returned before, whenever it crashed.
 *
 * Layer: keeper. Main thread; the caller writes the file (keeper/disk.h).
 */
#ifndef SBCD_KEEPER_EPOCH_H
#define SBCD_KEEPER_EPOCH_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum {
	EPOCH_BLOCK = 64, /* counters reserved at a time */
	EPOCH_BLOCK_LOW = 16, /* reserve again when so few are left */
	EPOCH_TEXT_SIZE = 128,
};

struct epoch {
	uint8_t node;
	uint64_t heard; /* highest epoch seen in the cluster, ours too */
	uint64_t active; /* of our last activation, 0 = never */
	uint64_t floor; /* counter: everything up to here may be in use */
	uint64_t limit; /* counter: reserved on disk up to here */
	uint64_t asked; /* counter: reservation being written */
	bool dirty; /* heard or active changed since the last text */
};

static inline uint64_t epoch_counter(uint64_t epoch)
{
	return epoch >> 8;
}

static inline uint8_t epoch_node(uint64_t epoch)
{
	return (uint8_t)epoch;
}

/* A node that never ran. */
void epoch_init(struct epoch *e, uint8_t node);
/* Reads what epoch_format() wrote; -EBADMSG leaves *e as it was. */
int epoch_parse(struct epoch *e, const char *text)
	__attribute__((warn_unused_result));

/* An epoch came from the peer. Values out of range are ignored. */
void epoch_heard(struct epoch *e, uint64_t epoch);
/* True when the file should be written: epoch_format(), write, sync, then
 * epoch_written() with the value of `asked` at that time. */
bool epoch_wants_write(const struct epoch *e);
/* The text of a file that reserves a new block; notes it as asked for. */
void epoch_format(struct epoch *e, char *buf, size_t size);
void epoch_written(struct epoch *e, uint64_t asked);
/* -EAGAIN: nothing is reserved (write first). Notes it as active epoch. */
int epoch_next(struct epoch *e, uint64_t *out)
	__attribute__((warn_unused_result));
/* For a disk that does not answer: the same without a reservation. */
uint64_t epoch_next_unreserved(struct epoch *e);

#endif
