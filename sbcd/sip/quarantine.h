/*
 * quarantine - inputs that killed a SIP worker, by keyed hash: they are not
 * shown to the stack again.
 *
 * An input is the beginning of one message: as much of it as had been read
 * when the worker died. Over a stream the next connection may bring the same
 * message in other pieces, so a message is watched while it grows, and is
 * refused at the byte at which it equals what is quarantined. What is too
 * short to say much (QUARANTINE_PREFIX_MIN) must be all there is.
 *
 * Layer: sip. SIP worker's thread. Pure.
 */
#ifndef SBCD_SIP_QUARANTINE_H
#define SBCD_SIP_QUARANTINE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include "sbcd/call/token.h"
#include "sbcd/record/kinds.h"

enum {
	QUARANTINE_PREFIX_MIN = 128,
	/* Whatever a record says: clocks may differ. */
	QUARANTINE_MAX_MS = 600000,
	INPUT_PART_SIZE = 64,
	INPUT_LINE_SIZE = 32,
};

/* The message that is being read. Zero = a new one. */
struct input {
	uint64_t hash; /* of whole parts */
	uint32_t size; /* bytes so far */
	uint8_t part[INPUT_PART_SIZE];
	/* Where it ends, on a stream. */
	char line[INPUT_LINE_SIZE];
	uint32_t line_len;
	uint32_t body_left, content_length;
	bool in_body, begun;
};

struct quarantine {
	struct token_key key;
	size_t used; /* slots up to here may be set */
	struct {
		uint64_t hash;
		uint64_t until_ms; /* wall clock, 0 = free */
		uint32_t size;
	} slots[REC_QUARANTINE_MAX];
};

/* r NULL: the slot is free again. */
void quarantine_set(struct quarantine *q, unsigned slot,
		    const struct rec_quarantine *r, uint64_t now_ms);
/* The next bytes of a message. False: it is to be refused. */
bool quarantine_passes(const struct quarantine *q, struct input *in,
		       const void *data, size_t size, uint64_t now_ms);
uint64_t quarantine_hash(const struct quarantine *q, const struct input *in);

/* How many of these bytes of a stream belong to the message under way (RFC
 * 3261 section 18.3); `ends` when it ends with them. */
size_t input_measure(struct input *in, const char *data, size_t size,
		     bool *ends);

#endif
