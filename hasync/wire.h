/*
 * wire - the frames between two engines: encode and decode.
 *
 * Every frame starts with the same header in every release (frozen):
 *
 *   0  magic        4   "SBHA"
 *   4  version      1   of the body
 *   5  max_version  1   the sender could speak
 *   6  type         1
 *   7  node         1   of the sender
 *   8  epoch        8   records: of the writer's activation; others: highest
 *                       the sender has heard
 *  16  seq          8   of the sender's record stream, 0 outside it
 *  24  length       4   of the body that follows
 *
 * All numbers are big-endian. Both nodes speak min(max_version); to a peer that
 * has not been heard yet a node speaks version 1, which every release
 * understands. A body with fixed members may grow at its end: what follows is
 * not looked at. STATUS is tag-length-value: unknown tags are skipped. A frame
 * of an unknown type is dropped, and so is a STATUS with an unknown role: both
 * need a new version.
 *
 * Guarantees: decoding never reads outside the frame, allocates nothing, and
 * what it accepts encodes to an equal frame.
 *
 * Layer: hasync. Any thread (no state).
 */
#ifndef HASYNC_WIRE_H
#define HASYNC_WIRE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include "hasync/engine.h"
#include "hasync/store.h"

enum {
	HA_WIRE_VERSION = 1, /* highest this code speaks */
	HA_WIRE_VERSION_FIRST = 1, /* every release speaks it */
	HA_HEAD_BYTES = 28,
	HA_FRAME_MAX_BYTES = 65536, /* header included */
	HA_BATCH_HEAD_BYTES = 4,
	HA_ENTRY_HEAD_BYTES = 33, /* what an entry costs besides its value */
	HA_FRAGMENT_HEAD_BYTES = 38,
	HA_BODY_MAX_BYTES = HA_FRAME_MAX_BYTES - HA_HEAD_BYTES,
	HA_FRAGMENT_MAX_BYTES = HA_BODY_MAX_BYTES - HA_FRAGMENT_HEAD_BYTES,
};

/* So that arithmetic on a hostile number cannot overflow. */
#define HA_EPOCH_LIMIT	    (UINT64_C(1) << 63)
#define HA_GENERATION_LIMIT (UINT64_C(1) << 63)

/* Values travel: append only. */
enum ha_frame_type {
	HA_FRAME_BATCH = 1,
	HA_FRAME_FRAGMENT = 2,
	HA_FRAME_ACK = 3,
	HA_FRAME_SYNC_REQUEST = 4,
	HA_FRAME_SYNC_BEGIN = 5,
	HA_FRAME_SYNC_CHUNK = 6,
	HA_FRAME_SYNC_END = 7,
	HA_FRAME_RESYNC_REQUEST = 8,
	HA_FRAME_STATUS = 9,
	HA_FRAME_COMMAND = 10,
	HA_FRAME_TYPE_END
};

/* ---- bounded big-endian writing and reading ------------------------------ */
struct ha_writer {
	uint8_t *data;
	size_t size, capacity;
	bool failed; /* something did not fit; nothing was written for it */
};

struct ha_reader {
	const uint8_t *data;
	size_t size, at;
	bool failed; /* something was missing; zero was returned for it */
};

void ha_write_uint(struct ha_writer *w, uint64_t value, unsigned bytes);
void ha_write_bytes(struct ha_writer *w, const void *data, size_t size);
uint64_t ha_read_uint(struct ha_reader *r, unsigned bytes);
/* NULL when fewer are left. */
const uint8_t *ha_read_bytes(struct ha_reader *r, size_t size);

/* ---- frames -------------------------------------------------------------- */
struct ha_head {
	uint8_t version, max_version, type, node;
	uint64_t epoch, seq;
	uint32_t length;
};

enum { HA_BATCH_URGENT = 1 << 0 }; /* ack at once */

/* BATCH and SYNC_CHUNK */
struct ha_batch {
	uint8_t flags;
	uint16_t count;
	const uint8_t *entries; /* encoded one after the other */
	size_t size;
};

struct ha_fragment {
	uint8_t flags; /* HA_BATCH_URGENT */
	struct ha_key key;
	struct ha_version version;
	uint32_t total, offset, size;
	const uint8_t *data;
};

enum { HA_ACK_IN_SYNC = 1 << 0 }; /* the joiner has proved SYNC_END */
struct ha_ack {
	uint64_t nonce; /* of the SYNC_REQUEST the stream answers */
	uint64_t seq; /* everything up to here is applied */
	uint8_t flags;
};

/* SYNC_REQUEST, SYNC_BEGIN, SYNC_END, RESYNC_REQUEST */
enum { HA_SYNC_KEEP = 1 << 0 }; /* BEGIN: the stores are equal already */
struct ha_sync {
	uint64_t nonce;
	uint64_t digest;
	uint64_t count;
	uint8_t flags;
};

struct ha_command_body {
	uint16_t command;
	uint64_t arg;
};

struct ha_frame {
	struct ha_head head;
	union {
		struct ha_batch batch;
		struct ha_fragment fragment;
		struct ha_ack ack;
		struct ha_sync sync;
		struct ha_status status;
		struct ha_command_body command;
	};
};

/*
 * -EPROTONOSUPPORT: a version we do not speak, only out->head is valid.
 * -EBADMSG: anything else; *out is undefined. Pointers in *out point into
 * `data`. Every entry of a batch has been checked.
 */
int ha_frame_decode(struct ha_frame *out, const void *data, size_t size)
	__attribute__((warn_unused_result));
/* head.length is computed. -EMSGSIZE, -EINVAL. */
int ha_frame_encode(const struct ha_frame *frame, uint8_t *out, size_t capacity,
		    size_t *size) __attribute__((warn_unused_result));

/* The version to speak to a peer that could speak up to `peer_max`; 0 = it has
 * not been heard. */
uint8_t ha_wire_speak(uint8_t own_max, uint8_t peer_max);

/* Header at the start of `w`; ha_head_finish() sets its length. */
void ha_head_write(struct ha_writer *w, const struct ha_head *head);
void ha_head_finish(struct ha_writer *w);

/* One entry of a batch. Reading returns false at the end or when broken
 * (then r->failed). */
void ha_entry_write(struct ha_writer *w, const struct ha_item *item);
bool ha_entry_read(struct ha_reader *r, struct ha_item *item);

#endif
