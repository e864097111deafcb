/* Frames: golden bytes, round trips, limits, hostile bytes. */
#include "hasync/wire.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include "cm.h"

static uint8_t entries[512];
static uint8_t fragment_data[40];

static void fill_batch(struct ha_batch *b)
{
	struct ha_writer w = {.data = entries, .capacity = sizeof(entries)};
	struct ha_item items[] = {
		{
			.key = {0x0102030405060708, 0x090a, 0x0b},
			.version = {0x1112131415161718, 0x2122232425262728, 1},
			.value = "value",
			.size = 5,
		},
		{
			.key = {1, 2, 3},
			.version = {4, 5, 2},
			.value = "",
			.size = 0,
		},
		{
			.key = {6, 7, 8},
			.version = {9, 10, 1},
			.deleted = true,
		},
	};

	for (int i = 0; i < 3; i++)
		ha_entry_write(&w, &items[i]);
	assert_false(w.failed);
	*b = (struct ha_batch){
		.flags = HA_BATCH_URGENT,
		.count = 3,
		.entries = entries,
		.size = w.size,
	};
}

static const char *const names[HA_FRAME_TYPE_END] = {
	[HA_FRAME_BATCH] = "batch",
	[HA_FRAME_FRAGMENT] = "fragment",
	[HA_FRAME_ACK] = "ack",
	[HA_FRAME_SYNC_REQUEST] = "sync-request",
	[HA_FRAME_SYNC_BEGIN] = "sync-begin",
	[HA_FRAME_SYNC_CHUNK] = "sync-chunk",
	[HA_FRAME_SYNC_END] = "sync-end",
	[HA_FRAME_RESYNC_REQUEST] = "resync-request",
	[HA_FRAME_STATUS] = "status",
	[HA_FRAME_COMMAND] = "command",
};

static struct ha_frame sample(uint8_t type)
{
	struct ha_frame f = {.head = {
				     .version = 1,
				     .max_version = 1,
				     .type = type,
				     .node = 2,
				     .epoch = 0x3132333435363738,
				     .seq = 0x4142434445464748,
			     }};

	switch (type) {
	case HA_FRAME_BATCH:
	case HA_FRAME_SYNC_CHUNK:
		fill_batch(&f.batch);
		break;
	case HA_FRAME_FRAGMENT:
		for (size_t i = 0; i < sizeof(fragment_data); i++)
			fragment_data[i] = (uint8_t)i;
		f.fragment = (struct ha_fragment){
			.flags = HA_BATCH_URGENT,
			.key = {1, 2, 3},
			.version = {4, 5, 1},
			.total = 100000,
			.offset = 60000,
			.size = sizeof(fragment_data),
			.data = fragment_data,
		};
		break;
	case HA_FRAME_ACK:
		f.ack = (struct ha_ack){0x5152535455565758, 0x6162636465666768,
					HA_ACK_IN_SYNC};
		break;
	case HA_FRAME_STATUS:
		f.status = (struct ha_status){
			.node = 2,
			.role = HA_ROLE_ACTIVE,
			.in_sync = true,
			.health = 99,
			.calls = 0x01020304,
			.epoch = 0x71,
			.active_epoch = 0x70,
			.boot_id = 0x8182838485868788,
			.config_digest = 0x9192939495969798,
			.name = "sbc-b",
			.version = "0.1.0",
		};
		break;
	case HA_FRAME_COMMAND:
		f.command = (struct ha_command_body){HA_CMD_GO, 77};
		break;
	default:
		f.sync =
			(struct ha_sync){0xa1a2a3a4a5a6a7a8, 0xb1b2b3b4b5b6b7b8,
					 123456, HA_SYNC_KEEP};
	}
	return f;
}

static size_t encode(const struct ha_frame *f, uint8_t *out)
{
	size_t size;

	assert_int_equal(ha_frame_encode(f, out, HA_FRAME_MAX_BYTES, &size), 0);
	return size;
}

/* Bytes that say the same must say it the same way. */
static void assert_same(const struct ha_frame *a, const struct ha_frame *b)
{
	static uint8_t x[HA_FRAME_MAX_BYTES], y[HA_FRAME_MAX_BYTES];
	size_t size = encode(a, x);

	assert_int_equal(encode(b, y), size);
	assert_memory_equal(x, y, size);
}

static void every_type_comes_back(void **state)
{
	static uint8_t buf[HA_FRAME_MAX_BYTES];

	for (uint8_t type = 1; type < HA_FRAME_TYPE_END; type++) {
		struct ha_frame in = sample(type), out;
		size_t size = encode(&in, buf);

		assert_int_equal(ha_frame_decode(&out, buf, size), 0);
		assert_int_equal(out.head.length, size - HA_HEAD_BYTES);
		assert_int_equal(out.head.type, type);
		assert_int_equal(out.head.node, 2);
		assert_true(out.head.epoch == in.head.epoch);
		assert_true(out.head.seq == in.head.seq);
		assert_same(&in, &out);
	}
}

static void members_come_back(void **state)
{
	static uint8_t buf[HA_FRAME_MAX_BYTES];
	struct ha_frame in = sample(HA_FRAME_STATUS), out;
	struct ha_reader r;
	struct ha_item item;

	assert_int_equal(ha_frame_decode(&out, buf, encode(&in, buf)), 0);
	assert_int_equal(out.status.role, HA_ROLE_ACTIVE);
	assert_true(out.status.in_sync);
	assert_int_equal(out.status.node, 2);
	assert_int_equal(out.status.calls, 0x01020304);
	assert_true(out.status.boot_id == in.status.boot_id);
	assert_true(out.status.active_epoch == 0x70);
	assert_string_equal(out.status.name, "sbc-b");
	assert_true(!out.status.fence[0] && !out.status.fence[1]);
	in.status.fence[0] = 0xc1c2c3c4c5c6c7c8;
	in.status.fence[1] = 0xd1d2d3d4d5d6d7d8;
	assert_int_equal(ha_frame_decode(&out, buf, encode(&in, buf)), 0);
	assert_memory_equal(out.status.fence, in.status.fence,
			    sizeof(in.status.fence));
	assert_true(!out.status.wall_ms && !out.status.clock_ms);
	in.status.wall_ms = 0xe1e2e3e4e5e6e7e8;
	in.status.clock_ms = 0xf1f2f3f4f5f6f7f8;
	assert_int_equal(ha_frame_decode(&out, buf, encode(&in, buf)), 0);
	assert_true(out.status.wall_ms == in.status.wall_ms);
	assert_true(out.status.clock_ms == in.status.clock_ms);
	for (int i = 0; i < HA_PRINTS_MAX; i++)
		assert_true(!out.status.prints[i]);
	in.status.prints[0] = 0x0102030405060708;
	in.status.prints[2] = 0xa8a7a6a5a4a3a2a1;
	assert_int_equal(ha_frame_decode(&out, buf, encode(&in, buf)), 0);
	assert_memory_equal(out.status.prints, in.status.prints,
			    sizeof(in.status.prints));
	in.status.prints[HA_PRINTS_MAX - 1] = 1;
	assert_int_equal(ha_frame_decode(&out, buf, encode(&in, buf)), 0);
	assert_memory_equal(out.status.prints, in.status.prints,
			    sizeof(in.status.prints));

	in = sample(HA_FRAME_BATCH);
	assert_int_equal(ha_frame_decode(&out, buf, encode(&in, buf)), 0);
	r = (struct ha_reader){.data = out.batch.entries,
			       .size = out.batch.size};
	assert_true(ha_entry_read(&r, &item));
	assert_true(item.key.id == 0x0102030405060708);
	assert_int_equal(item.key.sub, 0x090a);
	assert_int_equal(item.key.kind, 0x0b);
	assert_true(item.version.epoch == 0x1112131415161718);
	assert_true(item.version.generation == 0x2122232425262728);
	assert_int_equal(item.version.writer, 1);
	assert_int_equal(item.size, 5);
	assert_memory_equal(item.value, "value", 5);
	assert_true(ha_entry_read(&r, &item));
	assert_int_equal(item.size, 0);
	assert_false(item.deleted);
	assert_true(ha_entry_read(&r, &item));
	assert_true(item.deleted);
	assert_null(item.value);
	assert_false(ha_entry_read(&r, &item));
	assert_false(r.failed);
}

/* ---- golden ------------------------------------------------------ */

static FILE *golden_open(const char *name, const char *mode)
{
	const char *dir = getenv("WIRE_GOLDEN");
	char path[256];

	snprintf(path, sizeof(path), "%s/frame-%s.hex",
		 dir ? dir : "tests/wire/golden", name);
	return fopen(path, mode);
}

/*
 * Frames of a released version never change. GOLDEN_UPDATE=1 writes the file
 * of a type that has none yet.
 */
static void golden_frame(const char *name, const struct ha_frame *f)
{
	static uint8_t want[HA_FRAME_MAX_BYTES], got[HA_FRAME_MAX_BYTES];
	size_t size = encode(f, got), n = 0;
	FILE *file = golden_open(name, "r");
	struct ha_frame out;
	unsigned byte;

	if (!file && getenv("GOLDEN_UPDATE")) {
		file = golden_open(name, "w");
		assert_non_null(file);
		for (size_t i = 0; i < size; i++)
			fprintf(file, "%02x%s", got[i],
				i % 32 == 31 || i + 1 == size ? "\n" : "");
		fclose(file);
		return;
	}
	if (!file)
		fail_msg("frame-%s.hex is missing", name);
	while (fscanf(file, "%2x", &byte) == 1)
		want[n++] = (uint8_t)byte;
	fclose(file);
	assert_int_equal(n, size);
	assert_memory_equal(want, got, size);
	/* And they are still understood. */
	assert_int_equal(ha_frame_decode(&out, want, n), 0);
	assert_same(f, &out);
}

static void golden_bytes(void **state)
{
	struct ha_frame f;

	for (uint8_t type = 1; type < HA_FRAME_TYPE_END; type++) {
		f = sample(type);
		golden_frame(names[type], &f);
	}
	f = sample(HA_FRAME_STATUS);
	f.status.fence[0] = 0xc1c2c3c4c5c6c7c8;
	f.status.fence[1] = 0xd1d2d3d4d5d6d7d8;
	golden_frame("status-fence", &f);
	f = sample(HA_FRAME_STATUS);
	f.status.prints[0] = 0x0102030405060708;
	f.status.prints[2] = 0xa8a7a6a5a4a3a2a1;
	golden_frame("status-prints", &f);
}

/* ---- strangers --------------------------------------------------- */

static void set_length(uint8_t *frame, size_t size)
{
	size_t body = size - HA_HEAD_BYTES;

	frame[24] = (uint8_t)(body >> 24);
	frame[25] = (uint8_t)(body >> 16);
	frame[26] = (uint8_t)(body >> 8);
	frame[27] = (uint8_t)body;
}

static void unknown_tags_are_skipped(void **state)
{
	static uint8_t buf[HA_FRAME_MAX_BYTES];
	struct ha_frame in = sample(HA_FRAME_STATUS), out;
	size_t size = encode(&in, buf);

	memcpy(buf + size, "\x12\x34\x00\x03xyz", 7);
	set_length(buf, size + 7);
	assert_int_equal(ha_frame_decode(&out, buf, size + 7), 0);
	assert_same(&in, &out);
	/* Cut in the middle of it. */
	set_length(buf, size + 6);
	assert_int_equal(ha_frame_decode(&out, buf, size + 6), -EBADMSG);
	/* None at all: everything has its default. */
	set_length(buf, HA_HEAD_BYTES);
	assert_int_equal(ha_frame_decode(&out, buf, HA_HEAD_BYTES), 0);
	assert_int_equal(out.status.role, HA_ROLE_INIT);
	assert_int_equal(out.status.calls, 0);
	assert_string_equal(out.status.name, "");
}

static void longer_bodies_are_understood(void **state)
{
	static const uint8_t types[] = {
		HA_FRAME_ACK,	     HA_FRAME_SYNC_REQUEST,
		HA_FRAME_SYNC_BEGIN, HA_FRAME_SYNC_END,
		HA_FRAME_COMMAND,    HA_FRAME_RESYNC_REQUEST,
	};
	static uint8_t buf[HA_FRAME_MAX_BYTES];

	for (unsigned i = 0; i < sizeof(types); i++) {
		struct ha_frame in = sample(types[i]), out;
		size_t size = encode(&in, buf);

		memset(buf + size, 0xee, 9);
		set_length(buf, size + 9);
		assert_int_equal(ha_frame_decode(&out, buf, size + 9), 0);
		assert_same(&in, &out);
	}
}

static void every_truncation_is_refused(void **state)
{
	static uint8_t buf[HA_FRAME_MAX_BYTES];
	struct ha_frame out;

	for (uint8_t type = 1; type < HA_FRAME_TYPE_END; type++) {
		struct ha_frame in = sample(type);
		size_t size = encode(&in, buf);

		for (size_t cut = 0; cut < size; cut++) {
			/* From an exact allocation: the sanitizer looks on. */
			uint8_t *exact = malloc(cut ? cut : 1);
			int rc;

			memcpy(exact, buf, cut);
			assert_int_equal(ha_frame_decode(&out, exact, cut),
					 -EBADMSG);
			if (cut >= HA_HEAD_BYTES) {
				set_length(exact, cut);
				rc = ha_frame_decode(&out, exact, cut);
				/* Shorter by whole tags, or by data. */
				if (type == HA_FRAME_STATUS ||
				    (type == HA_FRAME_FRAGMENT &&
				     cut > HA_HEAD_BYTES +
						     HA_FRAGMENT_HEAD_BYTES))
					assert_true(!rc || rc == -EBADMSG);
				else
					assert_int_equal(rc, -EBADMSG);
			}
			free(exact);
		}
	}
}

struct change {
	uint8_t type;
	size_t at;
	uint8_t value;
	int rc;
};

static void bad_values_are_refused(void **state)
{
	enum { B = HA_HEAD_BYTES };
	static const struct change changes[] = {
		{HA_FRAME_ACK, 0, 'X', -EBADMSG}, /* magic */
		{HA_FRAME_ACK, 4, 0, -EBADMSG}, /* version 0 */
		{HA_FRAME_ACK, 4, 2, -EBADMSG}, /* above its max */
		{HA_FRAME_ACK, 5, 9, 0}, /* it could more */
		{HA_FRAME_ACK, 6, 0, -EBADMSG}, /* type */
		{HA_FRAME_ACK, 6, HA_FRAME_TYPE_END, -EBADMSG},
		{HA_FRAME_ACK, 7, 0, -EBADMSG}, /* node */
		{HA_FRAME_ACK, 7, 3, -EBADMSG},
		{HA_FRAME_ACK, 8, 0x80, -EBADMSG}, /* epoch */
		{HA_FRAME_ACK, 24, 1, -EBADMSG}, /* length */
		{HA_FRAME_BATCH, B + 3, 2, -EBADMSG}, /* count */
		{HA_FRAME_BATCH, B + 3, 4, -EBADMSG},
		{HA_FRAME_BATCH, B + 4, 1, -EBADMSG}, /* deleted + value */
		{HA_FRAME_BATCH, B + 4 + 12, 0x80, -EBADMSG}, /* epoch */
		{HA_FRAME_BATCH, B + 4 + 20, 0x80, -EBADMSG}, /* generation */
		{HA_FRAME_BATCH, B + 4 + 28, 0, -EBADMSG}, /* writer */
		{HA_FRAME_BATCH, B + 4 + 28, 3, -EBADMSG},
		{HA_FRAME_BATCH, B + 4 + 29, 0xff, -EBADMSG}, /* size */
		{HA_FRAME_FRAGMENT, B + 30, 1, -EBADMSG}, /* total */
		{HA_FRAME_FRAGMENT, B + 34, 1, -EBADMSG}, /* offset */
		{HA_FRAME_STATUS, B + 4, 7, -EBADMSG}, /* role */
		{HA_FRAME_STATUS, B + 3, 2, -EBADMSG}, /* its size */
		{HA_FRAME_STATUS, B + 14, 101, -EBADMSG}, /* health */
	};
	static uint8_t buf[HA_FRAME_MAX_BYTES];
	struct ha_frame out;

	for (unsigned i = 0; i < sizeof(changes) / sizeof(changes[0]); i++) {
		const struct change *c = &changes[i];
		struct ha_frame in = sample(c->type);
		size_t size = encode(&in, buf);

		buf[c->at] = c->value;
		if (ha_frame_decode(&out, buf, size) != c->rc)
			fail_msg("change %u", i);
	}
}

static void a_newer_version_is_told_apart(void **state)
{
	static uint8_t buf[HA_FRAME_MAX_BYTES];
	struct ha_frame in = sample(HA_FRAME_ACK), out;
	size_t size = encode(&in, buf);

	buf[4] = 2;
	buf[5] = 3;
	assert_int_equal(ha_frame_decode(&out, buf, size), -EPROTONOSUPPORT);
	assert_int_equal(out.head.max_version, 3);
}

static void both_speak_the_lower_version(void **state)
{
	assert_int_equal(ha_wire_speak(3, 2), 2);
	assert_int_equal(ha_wire_speak(2, 3), 2);
	assert_int_equal(ha_wire_speak(2, 2), 2);
	/* Who has not been heard may be of any release. */
	assert_int_equal(ha_wire_speak(3, 0), HA_WIRE_VERSION_FIRST);
	assert_true(HA_WIRE_VERSION_FIRST <= HA_WIRE_VERSION);
}

static void names_are_made_printable(void **state)
{
	static uint8_t buf[HA_FRAME_MAX_BYTES];
	struct ha_frame in = sample(HA_FRAME_STATUS), out;
	size_t size;

	memcpy(in.status.name, "a\033[2J\xff b", 9);
	size = encode(&in, buf);
	assert_int_equal(ha_frame_decode(&out, buf, size), 0);
	assert_string_equal(out.status.name, "a?[2J? b");
	/* Longer than we can hold: cut. */
	size = HA_HEAD_BYTES;
	memcpy(buf + size, "\0\x09\0\x28", 4);
	memset(buf + size + 4, 'n', 40);
	size += 44;
	set_length(buf, size);
	assert_int_equal(ha_frame_decode(&out, buf, size), 0);
	assert_int_equal(strlen(out.status.name), 31);
}

static void capacity_is_respected(void **state)
{
	static uint8_t buf[HA_FRAME_MAX_BYTES + 100];

	for (uint8_t type = 1; type < HA_FRAME_TYPE_END; type++) {
		struct ha_frame in = sample(type);
		size_t size = encode(&in, buf), got = 12345;

		for (size_t cap = 0; cap < size; cap++) {
			uint8_t *exact = malloc(cap ? cap : 1);

			assert_int_equal(ha_frame_encode(&in, exact, cap, &got),
					 -EMSGSIZE);
			free(exact);
		}
		assert_int_equal(got, 12345);
	}
	struct ha_frame odd = sample(HA_FRAME_ACK);
	size_t size;

	odd.head.type = 99;
	assert_int_equal(ha_frame_encode(&odd, buf, sizeof(buf), &size),
			 -EINVAL);
	memset(buf, 0, sizeof(buf));
	assert_int_equal(ha_frame_decode(&odd, buf, HA_FRAME_MAX_BYTES + 1),
			 -EBADMSG);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(every_type_comes_back),
		cmocka_unit_test(members_come_back),
		cmocka_unit_test(golden_bytes),
		cmocka_unit_test(unknown_tags_are_skipped),
		cmocka_unit_test(longer_bodies_are_understood),
		cmocka_unit_test(every_truncation_is_refused),
		cmocka_unit_test(bad_values_are_refused),
		cmocka_unit_test(a_newer_version_is_told_apart),
		cmocka_unit_test(both_speak_the_lower_version),
		cmocka_unit_test(names_are_made_printable),
		cmocka_unit_test(capacity_is_respected),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
