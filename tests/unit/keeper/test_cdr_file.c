/* CDR lines and their files: hostile texts, torn ends, rotation, full disks. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <jansson.h>
#include <sched.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mount.h>
#include <sys/stat.h>
#include <unistd.h>

#include "sbcd/keeper/cdr_file.h"
#include "sbcd/keeper/cdr_format.h"

enum { NOON_MS = 43200 * 1000, DAY_MS = 86400 * 1000 };

static char dir[64];
static struct rec_cdr cdr;
static uint64_t dups;

static void sample(void)
{
	memset(&cdr, 0, sizeof(cdr));
	cdr.state = CDR_COMPLETE;
	cdr.start_ms = 1700000000123;
	cdr.answer_ms = 1700000001000;
	cdr.end_ms = 1700000061500;
	cdr.status = 200;
	cdr.ended_by = 2;
	cdr.failovers = 1;
	strcpy(cdr.calling, "\"Alice\" <sip:alice@10.10.0.50>");
	strcpy(cdr.called, "<sip:bob@10.10.0.10>");
	strcpy(cdr.reason, "Q.850;cause=16");
	strcpy(cdr.node, "sbc-a");
	cdr.legs_len = 2;
	for (unsigned i = 0; i < 2; i++) {
		struct rec_cdr_leg *l = &cdr.legs[i];

		l->leg = (uint16_t)i;
		l->role = i ? LEG_CALLEE : LEG_CALLER;
		l->transport = TRANSPORT_UDP;
		strcpy(l->realm, i ? "cloud" : "core");
		snprintf(l->call_id, sizeof(l->call_id), "call-id-%u", i);
	}
	cdr.media_len = 2;
	for (unsigned i = 0; i < 2; i++) {
		struct rec_cdr_media *m = &cdr.media[i];

		m->leg = (uint16_t)i;
		m->media = 'a';
		m->final = true;
		m->rx_packets = 3000 + i;
		m->rx_lost = 7;
		m->jitter_us = 1250;
		m->mos_x100 = 431;
		m->gap_ms = i ? 290 : 285;
	}
}

static int setup(void **state)
{
	char path[80];

	strcpy(dir, "/tmp/sbcd-cdr-XXXXXX");
	if (!mkdtemp(dir))
		return -1;
	/* The files stand in a directory that is made for them. */
	snprintf(path, sizeof(path), "%s/cdr", dir);
	strcpy(dir, path);
	sample();
	dups = 0;
	return 0;
}

static int teardown(void **state)
{
	char command[128];

	snprintf(command, sizeof(command), "rm -rf '%.*s'",
		 (int)(strlen(dir) - strlen("/cdr")), dir);
	return system(command);
}

static struct cdr_file *open_file(bool csv, uint64_t rotate_bytes,
				  enum cdr_rotation rotation, uint32_t keep)
{
	const struct cdr_file_params p = {
		.directory = dir,
		.csv = csv,
		.rotate_bytes = rotate_bytes,
		.rotation = rotation,
		.keep_files = keep,
		.sync = true,
	};
	struct cdr_file *f;

	assert_int_equal(cdr_file_open(&f, &p), 0);
	return f;
}

static int append(struct cdr_file *f, uint64_t id, uint64_t now_ms)
{
	struct cdr_item item = {.id = id, .cdr = &cdr};

	return cdr_file_append(f, &item, 1, now_ms, &dups);
}

static char *read_file(const char *name)
{
	static char text[512 * 1024];
	char path[512];
	size_t n;
	FILE *f;

	snprintf(path, sizeof(path), "%s/%s", dir, name);
	f = fopen(path, "r");
	assert_non_null(f);
	n = fread(text, 1, sizeof(text) - 1, f);
	text[n] = '\0';
	fclose(f);
	return text;
}

static unsigned count_lines(const char *text)
{
	unsigned n = 0;

	for (; *text; text++)
		n += *text == '\n';
	return n;
}

static unsigned count_rotated(char *first, size_t size)
{
	struct dirent **list;
	int n = scandir(dir, &list, NULL, alphasort);
	unsigned found = 0;

	for (int i = 0; i < n; i++) {
		if (!strncmp(list[i]->d_name, "cdr-", 4) && !found++)
			snprintf(first, size, "%s", list[i]->d_name);
		free(list[i]);
	}
	free(list);
	return found;
}

static void append_raw(const char *name, const void *data, size_t size)
{
	char path[128];
	FILE *f;

	snprintf(path, sizeof(path), "%s/%s", dir, name);
	f = fopen(path, "a");
	assert_non_null(f);
	assert_int_equal(fwrite(data, 1, size, f), size);
	fclose(f);
}

/* ---- lines -------------------------------------------------------------- */
static json_t *json_of(uint64_t id)
{
	struct buf b;
	json_t *o;

	buf_init(&b, CDR_LINE_MAX_BYTES);
	cdr_format_json(&b, id, &cdr);
	assert_false(b.failed);
	assert_int_equal(b.data[b.size - 1], '\n');
	assert_null(memchr(b.data, '\n', b.size - 1));
	o = json_loadb((char *)b.data, b.size, JSON_REJECT_DUPLICATES, NULL);
	assert_non_null(o);
	buf_finish(&b);
	return o;
}

static const char *text_of(const json_t *o, const char *name)
{
	return json_string_value(json_object_get(o, name));
}

static void test_json_line(void **state)
{
	json_t *o = json_of(0xc0ffee), *leg, *media;

	assert_string_equal(text_of(o, "id"), "0000000000c0ffee");
	assert_string_equal(text_of(o, "start"), "2023-11-14T22:13:20.123Z");
	assert_true(json_is_null(json_object_get(o, "ringing")));
	assert_int_equal(json_integer_value(json_object_get(o, "duration_ms")),
			 60500);
	assert_string_equal(text_of(o, "calling"), cdr.calling);
	assert_string_equal(text_of(o, "ended_by"), "callee");
	assert_int_equal(json_integer_value(json_object_get(o, "media_gap_ms")),
			 290);
	leg = json_array_get(json_object_get(o, "legs"), 1);
	assert_string_equal(text_of(leg, "realm"), "cloud");
	assert_string_equal(text_of(leg, "call_id"), "call-id-1");
	media = json_array_get(json_object_get(leg, "media"), 0);
	assert_int_equal(
		json_integer_value(json_object_get(media, "rx_packets")), 3001);
	assert_true(json_real_value(json_object_get(media, "mos")) > 4.3);
	json_decref(o);
	cdr.ended_by = 0;
	cdr.answer_ms = 0;
	o = json_of(1);
	assert_string_equal(text_of(o, "ended_by"), "sbc");
	assert_int_equal(json_integer_value(json_object_get(o, "duration_ms")),
			 0);
	json_decref(o);
}

/* What a caller may put into its display name. */
static const char *const nasty[] = {
	"a\"b\\c",
	"line\r\nid,2026,forged\nline",
	"=HYPERLINK(\"http://x\")",
	"+1-2",
	"@sum",
	"-3",
	"comma,semi;tab\tquote\"\"",
	"\x01\x1f\x7f",
	"latin\xe9 cut\xc3",
	"\xc0\x80 overlong \xed\xa0\x80 surrogate \xf4\x90\x80\x80",
	"gr\xc3\xbc\xc3\x9f dich \xe2\x82\xac \xf0\x9f\x93\x9e",
	"",
};

static void test_hostile_json(void **state)
{
	for (size_t i = 0; i < sizeof(nasty) / sizeof(nasty[0]); i++) {
		json_t *o;

		snprintf(cdr.calling, sizeof(cdr.calling), "%s", nasty[i]);
		snprintf(cdr.reason, sizeof(cdr.reason), "%s", nasty[i]);
		cdr.media[0].media = (uint8_t)(i * 37);
		o = json_of(i);
		/* Valid UTF-8 comes back as it was. */
		if (i < 8 || i > 9)
			assert_string_equal(text_of(o, "calling"), nasty[i]);
		json_decref(o);
	}
}

/* RFC 4180: splits one line, in place. */
static unsigned split(char *line, char **cells, unsigned max)
{
	unsigned n = 0;
	char *in = line, *out = line;

	while (n < max) {
		bool quoted = *in == '"';

		cells[n++] = out;
		in += quoted;
		for (; *in && *in != '\n'; in++) {
			if (quoted && *in == '"' && *++in != '"') {
				quoted = false;
				break;
			}
			if (!quoted && *in == ',')
				break;
			*out++ = *in;
		}
		assert_false(quoted);
		if (*in != ',')
			break;
		in++;
		*out++ = '\0';
	}
	*out = '\0';
	return n;
}

static void test_hostile_csv(void **state)
{
	char *cells[64], line[4096], *head[64], names[2048];
	unsigned columns;
	struct buf b;

	buf_init(&b, CDR_LINE_MAX_BYTES);
	cdr_format_csv_head(&b);
	snprintf(names, sizeof(names), "%.*s", (int)b.size, (char *)b.data);
	columns = split(names, head, 64);
	for (size_t i = 0; i < sizeof(nasty) / sizeof(nasty[0]); i++) {
		snprintf(cdr.calling, sizeof(cdr.calling), "%s", nasty[i]);
		strcpy(cdr.legs[1].call_id, nasty[i]);
		cdr.legs_len = 2 - (i & 1);
		buf_reset(&b);
		cdr_format_csv(&b, 0xabcdef0123456789, &cdr);
		assert_int_equal(b.data[b.size - 1], '\n');
		for (size_t j = 0; j + 1 < b.size; j++)
			assert_true(b.data[j] >= 0x20 && b.data[j] != 0x7f);
		snprintf(line, sizeof(line), "%.*s", (int)b.size,
			 (char *)b.data);
		assert_int_equal(split(line, cells, 64), columns);
		assert_string_equal(cells[0], "abcdef0123456789");
		assert_string_equal(head[6], "calling");
		assert_null(*cells[6] ? strchr("=+-@", *cells[6]) : NULL);
		if (i == 0 || i == 10)
			assert_string_equal(cells[6], nasty[i]);
	}
	buf_finish(&b);
}

static void test_id_of_a_line(void **state)
{
	uint64_t id;
	struct buf b;

	buf_init(&b, CDR_LINE_MAX_BYTES);
	cdr_format_json(&b, 0xfedcba9876543210, &cdr);
	assert_true(cdr_line_id((char *)b.data, b.size, &id));
	assert_true(id == 0xfedcba9876543210);
	buf_reset(&b);
	cdr_format_csv(&b, 0x1234, &cdr);
	assert_true(cdr_line_id((char *)b.data, b.size, &id));
	assert_true(id == 0x1234);
	assert_false(cdr_line_id("id,start", 8, &id));
	assert_false(cdr_line_id("{\"id\":\"123\"}", 12, &id));
	assert_false(cdr_line_id("", 0, &id));
	buf_finish(&b);
}

/* ---- files -------------------------------------------------------------- */
static void test_each_id_once(void **state)
{
	for (int csv = 0; csv < 2; csv++) {
		const char *name = csv ? "cdr.csv" : "cdr.jsonl";
		struct cdr_file *f = open_file(csv, 0, CDR_ROTATE_NEVER, 0);

		dups = 0;
		assert_int_equal(append(f, 1, NOON_MS), 0);
		assert_int_equal(append(f, 2, NOON_MS), 0);
		assert_int_equal(append(f, 1, NOON_MS), 0);
		assert_int_equal(dups, 1);
		cdr_file_close(f);
		/* The file itself remembers. */
		f = open_file(csv, 0, CDR_ROTATE_NEVER, 0);
		assert_int_equal(append(f, 2, NOON_MS), 0);
		assert_int_equal(append(f, 3, NOON_MS), 0);
		assert_int_equal(dups, 2);
		assert_int_equal(count_lines(read_file(name)), 3 + csv);
		cdr_file_close(f);
	}
}

static void test_torn_line(void **state)
{
	static const char torn[] =
		"{\"id\":\"0000000000000003\",\"start\":\"20";

	for (int csv = 0; csv < 2; csv++) {
		const char *name = csv ? "cdr.csv" : "cdr.jsonl";
		struct cdr_file *f = open_file(csv, 0, CDR_ROTATE_NEVER, 0);
		char path[128], before[8192];

		assert_int_equal(append(f, 1, NOON_MS), 0);
		cdr_file_close(f);
		strcpy(before, read_file(name));
		append_raw(name, torn, sizeof(torn)); /* and a NUL */
		f = open_file(csv, 0, CDR_ROTATE_NEVER, 0);
		assert_int_equal(cdr_file_torn_bytes(f), sizeof(torn));
		assert_string_equal(read_file(name), before);
		/* It was never said to be written. */
		assert_int_equal(append(f, 3, NOON_MS), 0);
		assert_int_equal(dups, 0);
		assert_int_equal(count_lines(read_file(name)), 2 + csv);
		cdr_file_close(f);
		/* Nothing whole at all: it begins anew, with its head. */
		snprintf(path, sizeof(path), "%s/%s", dir, name);
		assert_int_equal(truncate(path, 10), 0);
		f = open_file(csv, 0, CDR_ROTATE_NEVER, 0);
		assert_int_equal(append(f, 1, NOON_MS), 0);
		assert_int_equal(count_lines(read_file(name)), 1 + csv);
		cdr_file_close(f);
	}
}

static void test_rotation_by_size(void **state)
{
	struct cdr_file *f = open_file(true, 2000, CDR_ROTATE_NEVER, 2);
	char first[256] = "", oldest[256];
	unsigned n;

	for (uint64_t id = 1; id <= 40; id++) {
		assert_int_equal(append(f, id, NOON_MS + id * 1000), 0);
		n = count_rotated(oldest, sizeof(oldest));
		if (n == 1 && !*first)
			strcpy(first, oldest);
		assert_true(n <= 2);
	}
	assert_int_equal(count_rotated(oldest, sizeof(oldest)), 2);
	/* The oldest went; what stays has its head and whole lines. */
	assert_true(strcmp(first, oldest) < 0);
	assert_int_equal(strncmp(read_file(oldest), "id,", 3), 0);
	/* Ids are known across files, also by a new process. */
	assert_int_equal(append(f, 39, NOON_MS), 0);
	assert_int_equal(dups, 1);
	cdr_file_close(f);
	f = open_file(true, 2000, CDR_ROTATE_NEVER, 2);
	for (uint64_t id = 38; id <= 40; id++)
		assert_int_equal(append(f, id, NOON_MS), 0);
	assert_int_equal(dups, 4);
	cdr_file_close(f);
}

/* Many small files, and names that say another order: clocks are set. */
static void test_ids_of_many_files(void **state)
{
	struct cdr_file *f = open_file(false, 0, CDR_ROTATE_HOURLY, 0);
	char name[256];

	for (uint64_t id = 1; id <= 12; id++)
		assert_int_equal(append(f, id, NOON_MS + id * 3600000), 0);
	assert_int_equal(count_rotated(name, sizeof(name)), 11);
	cdr_file_close(f);
	dups = 0;
	f = open_file(false, 0, CDR_ROTATE_HOURLY, 0);
	for (uint64_t id = 1; id <= 12; id++)
		assert_int_equal(append(f, id, NOON_MS + 13 * 3600000), 0);
	assert_int_equal(dups, 12);
	cdr_file_close(f);
}

static void test_rotation_by_day(void **state)
{
	struct cdr_file *f = open_file(false, 0, CDR_ROTATE_DAILY, 0);
	uint64_t today = 1700000000000 / DAY_MS * DAY_MS;
	char name[256];

	assert_int_equal(append(f, 1, today + NOON_MS), 0);
	assert_int_equal(append(f, 2, today + DAY_MS - 1), 0);
	assert_int_equal(count_rotated(name, sizeof(name)), 0);
	assert_int_equal(append(f, 3, today + DAY_MS), 0);
	assert_int_equal(count_rotated(name, sizeof(name)), 1);
	assert_string_equal(name, "cdr-20231115T000000.000.jsonl");
	assert_int_equal(count_lines(read_file(name)), 2);
	assert_int_equal(count_lines(read_file("cdr.jsonl")), 1);
	/* A clock that was set back rotates nothing. */
	assert_int_equal(append(f, 4, today), 0);
	assert_int_equal(count_rotated(name, sizeof(name)), 1);
	cdr_file_close(f);
}

static void test_moved_away(void **state)
{
	struct cdr_file *f = open_file(false, 0, CDR_ROTATE_NEVER, 0);
	char path[128], to[128];

	assert_int_equal(append(f, 1, NOON_MS), 0);
	snprintf(path, sizeof(path), "%s/cdr.jsonl", dir);
	snprintf(to, sizeof(to), "%s/taken.txt", dir);
	assert_int_equal(rename(path, to), 0);
	assert_int_equal(append(f, 2, NOON_MS), 0);
	assert_int_equal(count_lines(read_file("cdr.jsonl")), 1);
	assert_int_equal(append(f, 1, NOON_MS), 0);
	assert_int_equal(dups, 1);
	cdr_file_close(f);
}

/* A small file system of our own, in our own mount namespace. */
static void test_full_disk(void **state)
{
	static struct cdr_item items[CDR_BATCH_MAX];
	struct cdr_file *f;
	char path[128];
	uint64_t id = 1;
	struct stat before, after;
	unsigned lines;
	int err;

	if (geteuid() || unshare(CLONE_NEWNS) ||
	    mount(NULL, "/", NULL, MS_REC | MS_PRIVATE, NULL))
		skip();
	assert_int_equal(mkdir(dir, 0700), 0);
	assert_int_equal(mount("none", dir, "tmpfs", 0, "size=128k"), 0);
	f = open_file(false, 0, CDR_ROTATE_NEVER, 0);
	snprintf(path, sizeof(path), "%s/cdr.jsonl", dir);
	while (!(err = append(f, id, NOON_MS)))
		id++;
	assert_int_equal(err, -ENOSPC);
	assert_int_equal(stat(path, &before), 0);
	for (unsigned i = 0; i < CDR_BATCH_MAX; i++)
		items[i] = (struct cdr_item){.id = 5000 + i, .cdr = &cdr};
	assert_int_equal(
		cdr_file_append(f, items, CDR_BATCH_MAX, NOON_MS, &dups),
		-ENOSPC);
	/* Nothing of what was refused is left. */
	assert_int_equal(stat(path, &after), 0);
	assert_int_equal(before.st_size, after.st_size);
	assert_int_equal(count_lines(read_file("cdr.jsonl")), id - 1);
	/* Room again: the same batch is taken, each once. */
	assert_int_equal(mount("none", dir, "tmpfs", MS_REMOUNT, "size=8m"), 0);
	assert_int_equal(append(f, id, NOON_MS), 0);
	assert_int_equal(
		cdr_file_append(f, items, CDR_BATCH_MAX, NOON_MS, &dups), 0);
	assert_int_equal(dups, 0);
	lines = (unsigned)id + CDR_BATCH_MAX;
	cdr_file_close(f);
	f = open_file(false, 0, CDR_ROTATE_NEVER, 0);
	assert_int_equal(cdr_file_torn_bytes(f), 0);
	assert_int_equal(
		cdr_file_append(f, items, CDR_BATCH_MAX, NOON_MS, &dups), 0);
	assert_int_equal(dups, CDR_BATCH_MAX);
	assert_true(count_lines(read_file("cdr.jsonl")) <= lines);
	cdr_file_close(f);
	assert_int_equal(umount(dir), 0);
}

static void test_long_memory(void **state)
{
	static struct cdr_item items[CDR_BATCH_MAX];
	struct cdr_file *f = open_file(true, 0, CDR_ROTATE_NEVER, 0);

	memset(&cdr, 0, sizeof(cdr));
	for (uint64_t at = 1; at < 2 * CDR_LEDGER_IDS; at += CDR_BATCH_MAX) {
		for (unsigned i = 0; i < CDR_BATCH_MAX; i++)
			items[i] = (struct cdr_item){
				.id = (at + i) * UINT64_C(0x9e3779b97f4a7c15),
				.cdr = &cdr};
		assert_int_equal(cdr_file_append(f, items, CDR_BATCH_MAX,
						 NOON_MS, &dups),
				 0);
	}
	assert_int_equal(dups, 0);
	for (uint64_t at = 2 * CDR_LEDGER_IDS; at > CDR_LEDGER_IDS; at -= 97)
		assert_int_equal(
			append(f, at * UINT64_C(0x9e3779b97f4a7c15), NOON_MS),
			0);
	assert_int_equal(dups, (CDR_LEDGER_IDS + 96) / 97);
	cdr_file_close(f);
}

#define T(f) cmocka_unit_test_setup_teardown(f, setup, teardown)

int main(void)
{
	const struct CMUnitTest tests[] = {
		T(test_json_line),	  T(test_hostile_json),
		T(test_hostile_csv),	  T(test_id_of_a_line),
		T(test_each_id_once),	  T(test_torn_line),
		T(test_rotation_by_size), T(test_ids_of_many_files),
		T(test_rotation_by_day),  T(test_moved_away),
		T(test_long_memory),	  T(test_full_disk),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
