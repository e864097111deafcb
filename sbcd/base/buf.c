#include "sbcd/base/buf.h"

#include <stdlib.h>
#include <string.h>

void buf_init(struct buf *b, size_t limit)
{
	memset(b, 0, sizeof(*b));
	b->limit = limit;
}

void buf_finish(struct buf *b)
{
	free(b->data);
	b->data = NULL;
	b->size = 0;
	b->capacity = 0;
}

void buf_reset(struct buf *b)
{
	b->size = 0;
	b->failed = false;
}

static bool reserve(struct buf *b, size_t more)
{
	size_t need, capacity;
	uint8_t *data;

	if (b->failed || more > b->limit || b->size > b->limit - more)
		return false;
	need = b->size + more;
	if (need <= b->capacity)
		return true;
	capacity = b->capacity ? b->capacity : 64;
	while (capacity < need)
		capacity *= 2;
	if (capacity > b->limit)
		capacity = b->limit;
	data = realloc(b->data, capacity);
	if (!data)
		return false;
	b->data = data;
	b->capacity = capacity;
	return true;
}

void buf_put(struct buf *b, const void *data, size_t size)
{
	if (!size)
		return;
	if (!reserve(b, size)) {
		b->failed = true;
		return;
	}
	memcpy(b->data + b->size, data, size);
	b->size += size;
}

static void put_be(struct buf *b, uint64_t v, unsigned bytes)
{
	uint8_t raw[8];

	for (unsigned i = 0; i < bytes; i++)
		raw[i] = (uint8_t)(v >> (8 * (bytes - 1 - i)));
	buf_put(b, raw, bytes);
}

void buf_put_u8(struct buf *b, uint8_t v)
{
	buf_put(b, &v, 1);
}

void buf_put_u16(struct buf *b, uint16_t v)
{
	put_be(b, v, 2);
}

void buf_put_u32(struct buf *b, uint32_t v)
{
	put_be(b, v, 4);
}

void buf_put_u64(struct buf *b, uint64_t v)
{
	put_be(b, v, 8);
}

void buf_put_varint(struct buf *b, uint64_t v)
{
	uint8_t raw[10];
	unsigned n = 0;

	do {
		raw[n] = (uint8_t)(v & 0x7f);
		v >>= 7;
		if (v)
			raw[n] |= 0x80;
		n++;
	} while (v);
	buf_put(b, raw, n);
}

void reader_init(struct reader *r, const void *data, size_t size)
{
	static const uint8_t nothing[1];

	r->at = size ? data : nothing;
	r->end = r->at + size;
	r->failed = false;
}

size_t reader_left(const struct reader *r)
{
	return r->failed ? 0 : (size_t)(r->end - r->at);
}

const void *reader_bytes(struct reader *r, size_t size)
{
	const uint8_t *p = r->at;

	if (r->failed || size > (size_t)(r->end - r->at)) {
		r->failed = true;
		return NULL;
	}
	r->at += size;
	return p;
}

static uint64_t get_be(struct reader *r, unsigned bytes)
{
	const uint8_t *p = reader_bytes(r, bytes);
	uint64_t v = 0;

	if (!p)
		return 0;
	for (unsigned i = 0; i < bytes; i++)
		v = v << 8 | p[i];
	return v;
}

uint8_t reader_u8(struct reader *r)
{
	return (uint8_t)get_be(r, 1);
}

uint16_t reader_u16(struct reader *r)
{
	return (uint16_t)get_be(r, 2);
}

uint32_t reader_u32(struct reader *r)
{
	return (uint32_t)get_be(r, 4);
}

uint64_t reader_u64(struct reader *r)
{
	return get_be(r, 8);
}

uint64_t reader_varint(struct reader *r)
{
	uint64_t v = 0;

	for (unsigned shift = 0; shift < 64; shift += 7) {
		uint8_t byte = reader_u8(r);

		if (r->failed)
			return 0;
		/* The tenth byte has room for one bit. */
		if (shift == 63 && byte > 1)
			break;
		v |= (uint64_t)(byte & 0x7f) << shift;
		if (!(byte & 0x80))
			return v;
	}
	r->failed = true;
	return 0;
}
