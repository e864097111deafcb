/*
 * The field tables against kinds.h itself: every member of every struct has
 * an entry, so that nothing is forgotten on the wire.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include <ctype.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "sbcd/record/fields.h"

static char header[65536];

static int read_header(void **state)
{
	FILE *f = fopen("sbcd/record/kinds.h", "r");
	size_t n, out = 0;

	if (!f)
		return -1;
	n = fread(header, 1, sizeof(header) - 1, f);
	fclose(f);
	header[n] = '\0';
	/* Comments out. */
	for (size_t i = 0; i < n; i++) {
		if (header[i] == '/' && header[i + 1] == '*') {
			char *end = strstr(header + i, "*/");

			i = (size_t)(end - header) + 1;
			continue;
		}
		header[out++] = header[i];
	}
	header[out] = '\0';
	return 0;
}

static bool has_field(const struct record_field *f, const char *name)
{
	for (; f->tag; f++) {
		char len[80];

		if (!strcmp(f->name, name))
			return true;
		snprintf(len, sizeof(len), "%s_len", f->name);
		if (f->type == RT_ARRAY && !strcmp(len, name))
			return true;
	}
	return false;
}

/* "struct addr a, b[4]" -> every declared name; returns how many members. */
static unsigned check_declaration(char *text, const char *type,
				  const struct record_field *fields)
{
	unsigned n = 0;
	char *comma;

	do {
		char *end, *begin;

		comma = strrchr(text, ',');
		begin = comma ? comma + 1 : text;
		end = strchr(begin, '[');
		if (!end)
			end = begin + strlen(begin);
		while (end > begin && isspace((unsigned char)end[-1]))
			end--;
		*end = '\0';
		while (end > begin &&
		       (isalnum((unsigned char)end[-1]) || end[-1] == '_'))
			end--;
		if (*end && !has_field(fields, end))
			fail_msg("struct %s: member %s has no field", type,
				 end);
		n += *end && !(strlen(end) > 4 &&
			       !strcmp(end + strlen(end) - 4, "_len"));
		if (comma)
			*comma = '\0';
	} while (comma);
	return n;
}

static void check_struct(const char *type, const struct record_field *fields)
{
	char head[80], *at, *end, *body, *part, *save = NULL;
	unsigned members = 0, entries = 0;

	snprintf(head, sizeof(head), "struct %s {", type);
	at = strstr(header, head);
	if (!at)
		fail_msg("no struct %s in kinds.h", type);
	at += strlen(head);
	end = strstr(at, "\n};");
	assert_non_null(end);
	body = strndup(at, (size_t)(end - at));
	for (part = strtok_r(body, ";", &save); part;
	     part = strtok_r(NULL, ";", &save))
		if (strpbrk(part, "abcdefghijklmnopqrstuvwxyz"))
			members += check_declaration(part, type, fields);
	free(body);
	for (; fields->tag; fields++)
		entries++;
	assert_int_equal(members, entries);
}

static void every_member_has_a_field(void **state)
{
	const struct record_field *call = record_kind_info(REC_CALL)->fields;
	const struct record_field *media = record_kind_info(REC_MEDIA)->fields;
	const struct record_field *mstate =
		record_kind_info(REC_MSTATE)->fields;
	const struct record_field *cdr = record_kind_info(REC_CDR)->fields;
	const struct record_field *lost =
		record_kind_info(REC_FAILOVER)->fields;
	const struct record_field *ticket =
		record_kind_info(REC_TICKET)->fields;

	for (uint8_t kind = 1; kind < REC_KIND_MAX; kind++) {
		char type[64];

		snprintf(type, sizeof(type), "rec_%s",
			 record_kind_info(kind)->name);
		check_struct(type, record_kind_info(kind)->fields);
	}
	while (call->type != RT_ARRAY)
		call++;
	check_struct("rec_call_leg", call->fields);
	while (media->type != RT_ARRAY)
		media++;
	check_struct("rec_flow", media[0].fields);
	check_struct("rec_key", media[1].fields);
	while (mstate->type != RT_ARRAY)
		mstate++;
	check_struct("rec_mflow", mstate->fields);
	while (cdr->type != RT_ARRAY)
		cdr++;
	check_struct("rec_cdr_leg", cdr[0].fields);
	check_struct("rec_cdr_media", cdr[1].fields);
	while (lost->type != RT_ARRAY)
		lost++;
	check_struct("rec_lost", lost->fields);
	check_struct("rec_ticket_key", ticket->fields);
}

/* Size by type, order by offset, tags once: what the codec builds on. */
static void check_table(const struct record_field *fields, size_t size)
{
	uint64_t tags = 0;
	size_t end = 0;

	for (const struct record_field *f = fields; f->tag; f++) {
		static const size_t sizes[] = {1, 2, 4, 8, sizeof(bool)};

		assert_true(f->tag < 64 && !(tags >> f->tag & 1));
		tags |= 1ull << f->tag;
		assert_in_range(f - fields, 0, RECORD_FIELDS_MAX - 1);
		assert_true(f->offset >= end);
		end = f->offset + f->size * (f->type == RT_ARRAY ? f->max : 1);
		assert_true(end <= size);
		if (f->type <= RT_BOOL)
			assert_int_equal(f->size, sizes[f->type]);
		if (f->type == RT_ADDR)
			assert_int_equal(f->size, sizeof(struct addr));
		if (f->type == RT_BYTES)
			assert_int_equal(f->offset % 4, 0);
		if (f->type == RT_ARRAY) {
			assert_true(f->max > 0 && f->len_offset + 2 <= size);
			check_table(f->fields, f->size);
		}
	}
}

static void tables_are_sound(void **state)
{
	assert_null(record_kind_info(0));
	assert_null(record_kind_info(REC_KIND_MAX));
	for (uint8_t kind = 1; kind < REC_KIND_MAX; kind++) {
		const struct record_kind_info *info = record_kind_info(kind);

		assert_int_equal(info->kind, kind);
		check_table(info->fields, info->size);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(every_member_has_a_field),
		cmocka_unit_test(tables_are_sound),
	};

	return cmocka_run_group_tests(tests, read_header, NULL);
}
