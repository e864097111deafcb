/*
 * buf - a growing byte buffer with an upper bound, and a bounded reader.
 * Integers are big endian. A failed append or read marks the object; the
 * caller checks once at the end.
 *
 * Layer: base. Any thread, one owner.
 */
#ifndef SBCD_BASE_BUF_H
#define SBCD_BASE_BUF_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct buf {
	uint8_t *data;
	size_t size;
	size_t capacity;
	size_t limit;
	bool failed; /* out of memory or over the limit */
};

void buf_init(struct buf *b, size_t limit);
void buf_finish(struct buf *b);
/* Keeps the memory. */
void buf_reset(struct buf *b);
void buf_put(struct buf *b, const void *data, size_t size);
void buf_put_u8(struct buf *b, uint8_t v);
void buf_put_u16(struct buf *b, uint16_t v);
void buf_put_u32(struct buf *b, uint32_t v);
void buf_put_u64(struct buf *b, uint64_t v);
/* LEB128. */
void buf_put_varint(struct buf *b, uint64_t v);

struct reader {
	const uint8_t *at;
	const uint8_t *end;
	bool failed;
};

void reader_init(struct reader *r, const void *data, size_t size);
size_t reader_left(const struct reader *r);
/* All return 0 / NULL after a failure. */
uint8_t reader_u8(struct reader *r);
uint16_t reader_u16(struct reader *r);
uint32_t reader_u32(struct reader *r);
uint64_t reader_u64(struct reader *r);
uint64_t reader_varint(struct reader *r);
const void *reader_bytes(struct reader *r, size_t size);

#endif
