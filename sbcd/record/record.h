/*
 * record - encode, decode and print the kinds of kinds.h by their field
 * tables. Tag-length-value: unknown tags are skipped, absent tags keep the
 * default (zero), so nodes one release apart understand each other.
 *
 * Between two releases a record says what its last writer knew:
 *
 *  - A node that only holds a record keeps its bytes and passes them on as
 *    they are (store, stream, snapshot), with fields it does not know, and of
 *    kinds it does not know. No worker of it gets those.
 *  - A node that writes a record writes the fields it knows. One that only the
 *    newer release knows is absent then, and has its default when the newer
 *    node gets the record back: the value from before, beside what the older
 *    node has changed since, would be a state nobody was ever in.
 *  - A record of a kind it does not know an older node neither changes nor
 *    deletes.
 *
 * So a release that adds a field must do with its default, as for a record
 * that the older one made. One that adds a kind must delete what has lost its
 * owner when it becomes active. State a call cannot go on without needs a
 * higher HA_WIRE_VERSION, and calls that have it only where both speak that.
 *
 * Layer: record. Any process, any thread (no state).
 */
#ifndef SBCD_RECORD_RECORD_H
#define SBCD_RECORD_RECORD_H

#include <jansson.h>
#include <stddef.h>
#include "hasync/key.h"
#include "sbcd/base/buf.h"
#include "sbcd/record/kinds.h"

enum record_type {
	RT_U8,
	RT_U16,
	RT_U32,
	RT_U64,
	RT_BOOL,
	RT_STR, /* char[size] */
	RT_BYTES, /* struct { uint32_t size; uint8_t data[]; } */
	RT_ADDR, /* struct addr */
	RT_ARRAY, /* struct[max] with a uint16_t length elsewhere */
};

enum { RECORD_SECRET = 1 << 0 }; /* masked when printed */

struct record_field {
	uint16_t tag; /* append-only, > 0 */
	uint8_t type; /* enum record_type */
	uint8_t flags;
	const char *name;
	size_t offset;
	size_t size; /* of the member; RT_ARRAY: of one element */
	size_t max; /* RT_ARRAY: elements */
	size_t len_offset; /* RT_ARRAY: of its uint16_t length */
	const struct record_field *fields; /* RT_ARRAY: of the element */
};

struct record_kind_info {
	uint8_t kind;
	const char *name; /* "call", "dialog" … */
	size_t size; /* of the struct */
	const struct record_field *fields; /* ends with tag 0 */
};

/* NULL for an unknown kind. */
const struct record_kind_info *record_kind_info(uint8_t kind);

/* Appends the value of `record` (the struct of `kind`) to `out`. Zero fields
 * are left out. -EINVAL for an unknown kind or a length over its bound. */
int record_encode(uint8_t kind, const void *record, struct buf *out)
	__attribute__((warn_unused_result));
/* Zeroes *record first. -EBADMSG: hostile or broken; *record is undefined
 * then. Strings come out terminated, lengths within bounds. Cheap for large
 * structs: only the used part of bytes members is written. */
int record_decode(uint8_t kind, const void *value, size_t size, void *record)
	__attribute__((warn_unused_result));
/* New reference. Secret fields print as "***"; raw SIP and SDP print with
 * every a=crypto inline key masked. NULL when out of memory. */
json_t *record_to_json(uint8_t kind, const void *record);

/* "call/00c0ffee…/0" for logs. Returns `buf`. */
const char *record_key_format(const struct ha_key *key, char *buf, size_t size);

#endif
