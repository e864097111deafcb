/*
 * Values that were written once are understood for ever, field by field.
 *
 * Each tests/wire/golden/record-KIND.N.hex is a record in which every field
 * that the kind had when the file was made has a value that follows from its
 * name. Each release reads them all: a tag that has come to mean something
 * else, a type that has changed, a field that is gone, is seen. A field that
 * is in no file yet: GOLDEN_UPDATE=1 writes the next one.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "sbcd/record/fields.h"

enum { ELEMENTS = 2, FILES_MAX = 99 };

static union rec_any want, got;
static struct buf value;

/* 1..255, so that it fits every integer and is never the default. */
static uint8_t number_of(const char *name)
{
	uint32_t hash = 2166136261u;

	for (; *name; name++)
		hash = (hash ^ (uint8_t)*name) * 16777619u;
	return (uint8_t)(1 + hash % 255);
}

static void fill(const struct record_field *f, char *record);

static void fill_field(const struct record_field *f, char *record)
{
	char *p = record + f->offset;
	uint64_t number = number_of(f->name);
	uint32_t size = (uint32_t)strlen(f->name);
	struct addr *a = (struct addr *)(void *)p;
	uint16_t len = ELEMENTS;

	switch (f->type) {
	case RT_BOOL:
		*(bool *)p = true;
		return;
	case RT_STR:
		snprintf(p, f->size, "%s", f->name);
		return;
	case RT_BYTES:
		memcpy(p, &size, sizeof(size));
		memcpy(p + sizeof(size), f->name, size);
		return;
	case RT_ADDR:
		a->family = number % 2 ? ADDR_V4 : ADDR_V6;
		a->port = (uint16_t)(1000 + number);
		memset(a->ip, (int)number, number % 2 ? 4 : 16);
		return;
	case RT_ARRAY:
		memcpy(record + f->len_offset, &len, sizeof(len));
		for (size_t i = 0; i < ELEMENTS; i++)
			fill(f->fields, p + i * f->size);
		return;
	case RT_U8:
		*(uint8_t *)p = (uint8_t)number;
		return;
	case RT_U16:
		*(uint16_t *)(void *)p = (uint16_t)number;
		return;
	case RT_U32:
		*(uint32_t *)(void *)p = (uint32_t)number;
		return;
	default:
		*(uint64_t *)(void *)p = number;
		return;
	}
}

static void fill(const struct record_field *f, char *record)
{
	for (; f->tag; f++)
		fill_field(f, record);
}

/* Bit per place in the table: the fields that the record has. */
static uint64_t has(const struct record_field *fields, const char *record)
{
	static const char none[sizeof(struct addr)];
	uint64_t set = 0;

	for (const struct record_field *f = fields; f->tag; f++) {
		const char *p = record + f->offset;
		size_t size = f->type == RT_STR	    ? 1
			      : f->type == RT_BYTES ? 4
						    : f->size;

		if (f->type == RT_ARRAY) {
			p = record + f->len_offset;
			size = 2;
		} else if (f->type == RT_ADDR) {
			size = 1; /* the family */
		}
		if (memcmp(p, none, size) != 0)
			set |= 1ull << (f - fields);
	}
	return set;
}

static void compare(const char *file, const struct record_field *fields,
		    const char *a, const char *b, uint64_t *covered);

static void compare_field(const char *file, const struct record_field *f,
			  const char *a, const char *b, uint64_t *inner)
{
	size_t size = f->size;

	if (f->type == RT_ARRAY) {
		assert_memory_equal(a + f->len_offset, b + f->len_offset, 2);
		for (size_t i = 0; i < ELEMENTS; i++)
			compare(file, f->fields, a + f->offset + i * f->size,
				b + f->offset + i * f->size, inner);
		return;
	}
	if (f->type == RT_STR)
		size = strlen(f->name) + 1;
	else if (f->type == RT_BYTES)
		size = 4 + strlen(f->name);
	if (memcmp(a + f->offset, b + f->offset, size) != 0)
		fail_msg("%s: %s is not what it was", file, f->name);
}

/* What `b`, read from a file, has is what `a` has. */
static void compare(const char *file, const struct record_field *fields,
		    const char *a, const char *b, uint64_t *covered)
{
	uint64_t set = has(fields, b);

	for (const struct record_field *f = fields; f->tag; f++)
		if (set >> (f - fields) & 1)
			compare_field(file, f, a, b,
				      covered + 1 + (f - fields));
	*covered |= set;
}

static bool read_file(const char *path)
{
	FILE *f = fopen(path, "r");
	unsigned byte;

	buf_reset(&value);
	if (!f)
		return false;
	while (fscanf(f, "%2x", &byte) == 1)
		buf_put_u8(&value, (uint8_t)byte);
	fclose(f);
	return true;
}

static void write_file(const char *path, uint8_t kind)
{
	FILE *f = fopen(path, "w");

	assert_non_null(f);
	buf_reset(&value);
	assert_int_equal(record_encode(kind, &want, &value), 0);
	for (size_t i = 0; i < value.size; i++)
		fprintf(f, "%02x%s", value.data[i],
			i % 32 == 31 || i + 1 == value.size ? "\n" : "");
	fclose(f);
}

/* The name of a field that no file has, or NULL. */
static const char *missing(const struct record_field *fields,
			   const uint64_t *covered)
{
	for (const struct record_field *f = fields; f->tag; f++) {
		const char *inner = NULL;

		if (!(*covered >> (f - fields) & 1))
			return f->name;
		/* An element's set stands where its array's place is. */
		if (f->type == RT_ARRAY)
			inner = missing(f->fields, covered + 1 + (f - fields));
		if (inner)
			return inner;
	}
	return NULL;
}

static void one_kind(uint8_t kind)
{
	const struct record_kind_info *info = record_kind_info(kind);
	/* [0] of the kind, [1 + place] of the elements of an array there;
	 * elements have no arrays. */
	uint64_t covered[1 + RECORD_FIELDS_MAX] = {0};
	const char *field;
	char path[128];
	int n = 1;

	memset(&want, 0, sizeof(want));
	fill(info->fields, (char *)&want);
	for (; n <= FILES_MAX; n++) {
		snprintf(path, sizeof(path),
			 "tests/wire/golden/record-%s.%d.hex", info->name, n);
		if (!read_file(path))
			break;
		memset(&got, 0, sizeof(got));
		if (record_decode(kind, value.data, value.size, &got))
			fail_msg("%s is not understood", path);
		compare(path, info->fields, (const char *)&want,
			(const char *)&got, covered);
	}
	field = missing(info->fields, covered);
	if (field && getenv("GOLDEN_UPDATE"))
		write_file(path, kind);
	else if (field)
		fail_msg("%s of %s is in no golden file (GOLDEN_UPDATE=1)",
			 field, info->name);
}

static void every_field_ever_written_is_read(void **state)
{
	buf_init(&value, 65536);
	for (uint8_t kind = 1; kind < REC_KIND_MAX; kind++)
		one_kind(kind);
	buf_finish(&value);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(every_field_ever_written_is_read),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
