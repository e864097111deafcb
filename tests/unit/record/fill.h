/*
 * fill - a struct of any kind filled from its field table by a small seeded
 * generator. Layer: tests.
 */
#ifndef TESTS_UNIT_RECORD_FILL_H
#define TESTS_UNIT_RECORD_FILL_H

#include <stdlib.h>
#include <string.h>
#include "sbcd/record/fields.h"

static inline uint64_t fill_next(uint64_t *seed)
{
	*seed ^= *seed << 13;
	*seed ^= *seed >> 7;
	*seed ^= *seed << 17;
	return *seed;
}

/* 0, a small or a large number up to `max`. */
static inline uint64_t fill_range(uint64_t *seed, uint64_t max)
{
	uint64_t v = fill_next(seed);

	switch (v & 3) {
	case 0:
		return 0;
	case 1:
		return max;
	case 2:
		return (v >> 8) % 40 > max ? max : (v >> 8) % 40;
	default:
		return max == UINT64_MAX ? v : v % (max + 1);
	}
}

static inline void fill_text(uint64_t *seed, void *out, size_t size)
{
	char *p = out;

	for (size_t i = 0; i < size; i++)
		p[i] = (char)(33 + fill_next(seed) % 94);
}

static inline void fill_addr(uint64_t *seed, struct addr *a)
{
	a->family = (uint8_t[]){0, 4, 6}[fill_next(seed) % 3];
	if (!a->family)
		return;
	a->port = (uint16_t)fill_next(seed);
	fill_text(seed, a->ip, a->family == 4 ? 4 : 16);
}

static inline void fill_fields(uint64_t *seed, const struct record_field *f,
			       char *out)
{
	for (; f->tag; f++) {
		char *p = out + f->offset;
		uint32_t size;
		uint16_t len;

		switch (f->type) {
		case RT_U8:
			*(uint8_t *)p = (uint8_t)fill_range(seed, UINT8_MAX);
			break;
		case RT_U16:
			*(uint16_t *)(void *)p =
				(uint16_t)fill_range(seed, UINT16_MAX);
			break;
		case RT_U32:
			*(uint32_t *)(void *)p =
				(uint32_t)fill_range(seed, UINT32_MAX);
			break;
		case RT_U64:
			*(uint64_t *)(void *)p = fill_range(seed, UINT64_MAX);
			break;
		case RT_BOOL:
			*(bool *)p = fill_next(seed) & 1;
			break;
		case RT_STR:
			fill_text(seed, p, fill_range(seed, f->size - 1));
			break;
		case RT_BYTES:
			size = (uint32_t)fill_range(seed, f->size - 4);
			memcpy(p, &size, sizeof(size));
			fill_text(seed, p + 4, size);
			break;
		case RT_ADDR:
			fill_addr(seed, (struct addr *)(void *)p);
			break;
		default:
			len = (uint16_t)fill_range(seed, f->max);
			memcpy(out + f->len_offset, &len, sizeof(len));
			for (uint16_t i = 0; i < len; i++)
				fill_fields(seed, f->fields, p + i * f->size);
			break;
		}
	}
}

static inline void fill_record(uint64_t seed, uint8_t kind, void *out)
{
	const struct record_kind_info *info = record_kind_info(kind);

	seed = seed * 0x9e3779b97f4a7c15u + kind + 1;
	memset(out, 0, info->size);
	fill_fields(&seed, info->fields, out);
}

#endif
