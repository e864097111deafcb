#include "hasync/beat.h"

#include <errno.h>
#include <string.h>
#include "cm.h"

static const struct ha_beat sample = {
	.type = HA_BEAT_ALIVE,
	.node = 2,
	.role = 4,
	.health = 97,
	.boot_id = 0x1122334455667788,
	.epoch = 0x0102030405060708,
	.sequence = 0xfffefdfcfbfaf9f8,
};

static void derive(uint8_t key[HA_BEAT_KEY_SIZE], const char *label)
{
	static const uint8_t cluster[128] = {1, 2, 3};

	assert_int_equal(ha_key_derive(cluster, sizeof(cluster), label, key),
			 0);
}

static void round_trip(void **state)
{
	uint8_t key[HA_BEAT_KEY_SIZE], frame[HA_BEAT_SIZE];
	struct ha_beat got;

	derive(key, "beat");
	assert_int_equal(ha_beat_encode(&sample, key, frame), 0);
	assert_int_equal(ha_beat_decode(&got, key, frame, sizeof(frame)), 0);
	assert_int_equal(got.type, sample.type);
	assert_int_equal(got.node, sample.node);
	assert_int_equal(got.role, sample.role);
	assert_int_equal(got.health, sample.health);
	assert_true(got.boot_id == sample.boot_id);
	assert_true(got.epoch == sample.epoch);
	assert_true(got.sequence == sample.sequence);
}

/* These bytes are spoken by every release. */
static void golden(void **state)
{
	static const uint8_t want[40] = {
		'S',  'B',  'H',  'B',	1,    1,    2,	  4,	97,   0,
		0,    0,    0,	  0,	0,    0,    0x11, 0x22, 0x33, 0x44,
		0x55, 0x66, 0x77, 0x88, 1,    2,    3,	  4,	5,    6,
		7,    8,    0xff, 0xfe, 0xfd, 0xfc, 0xfb, 0xfa, 0xf9, 0xf8,
	};
	static const uint8_t tag[16] = {
		0xa3, 0x02, 0xf3, 0xdb, 0x28, 0xe8, 0x31, 0x0e,
		0xf0, 0x55, 0x55, 0xd7, 0x0d, 0x36, 0x10, 0x23,
	};
	uint8_t key[HA_BEAT_KEY_SIZE], frame[HA_BEAT_SIZE];

	derive(key, "beat");
	assert_int_equal(ha_beat_encode(&sample, key, frame), 0);
	assert_memory_equal(frame, want, sizeof(want));
	assert_memory_equal(frame + 64, tag, sizeof(tag));
}

static void a_token_has_its_place(void **state)
{
	uint8_t key[HA_BEAT_KEY_SIZE], frame[HA_BEAT_SIZE];
	struct ha_beat beat = sample, got;

	derive(key, "beat");
	for (int i = 0; i < HA_BEAT_TOKEN_SIZE; i++)
		beat.token[i] = (uint8_t)(0xa0 + i);
	/* For nobody it is not said. */
	assert_int_equal(ha_beat_encode(&beat, key, frame), 0);
	assert_int_equal(ha_beat_decode(&got, key, frame, sizeof(frame)), 0);
	assert_int_equal(got.target, 0);
	for (int i = 0; i < HA_BEAT_TOKEN_SIZE; i++)
		assert_int_equal(got.token[i], 0);
	beat.target = 2;
	assert_int_equal(ha_beat_encode(&beat, key, frame), 0);
	assert_memory_equal(frame + HA_BEAT_TOKEN_AT, beat.token,
			    HA_BEAT_TOKEN_SIZE);
	assert_int_equal(ha_beat_decode(&got, key, frame, sizeof(frame)), 0);
	assert_int_equal(got.target, 2);
	assert_memory_equal(got.token, beat.token, HA_BEAT_TOKEN_SIZE);
}

static void every_changed_bit_is_refused(void **state)
{
	uint8_t key[HA_BEAT_KEY_SIZE], frame[HA_BEAT_SIZE];
	struct ha_beat got;

	derive(key, "beat");
	assert_int_equal(ha_beat_encode(&sample, key, frame), 0);
	for (unsigned bit = 0; bit < HA_BEAT_SIZE * 8; bit++) {
		frame[bit / 8] ^= (uint8_t)(1 << bit % 8);
		assert_int_equal(
			ha_beat_decode(&got, key, frame, sizeof(frame)),
			-EBADMSG);
		frame[bit / 8] ^= (uint8_t)(1 << bit % 8);
	}
	for (size_t size = 0; size < HA_BEAT_SIZE; size++)
		assert_int_equal(ha_beat_decode(&got, key, frame, size),
				 -EBADMSG);
	assert_int_equal(ha_beat_decode(&got, key, frame, HA_BEAT_SIZE + 1),
			 -EBADMSG);
}

static void keys_differ_by_label(void **state)
{
	static const uint8_t cluster[] = "secret";
	uint8_t a[HA_BEAT_KEY_SIZE], b[HA_BEAT_KEY_SIZE], frame[HA_BEAT_SIZE];
	struct ha_beat got;

	derive(a, "beat");
	derive(b, "forward");
	assert_memory_not_equal(a, b, sizeof(a));
	assert_int_equal(ha_beat_encode(&sample, a, frame), 0);
	assert_int_equal(ha_beat_decode(&got, b, frame, sizeof(frame)),
			 -EBADMSG);
	assert_int_equal(ha_key_derive(cluster, 0, "beat", a), -EINVAL);
	assert_int_equal(ha_key_derive(cluster, 6, "", a), -EINVAL);
	assert_int_equal(
		ha_key_derive(cluster, 6,
			      "a label that is far too long to be the name of "
			      "one use of the key of a cluster",
			      a),
		-EINVAL);
}

static void unknown_types_are_refused(void **state)
{
	uint8_t key[HA_BEAT_KEY_SIZE], frame[HA_BEAT_SIZE];
	struct ha_beat odd = sample, got;

	derive(key, "beat");
	odd.type = HA_BEAT_RELEASED;
	assert_int_equal(ha_beat_encode(&odd, key, frame), 0);
	assert_int_equal(ha_beat_decode(&got, key, frame, sizeof(frame)), 0);
	odd.type = (enum ha_beat_type)3;
	assert_int_equal(ha_beat_encode(&odd, key, frame), 0);
	assert_int_equal(ha_beat_decode(&got, key, frame, sizeof(frame)),
			 -EBADMSG);
}

static void nothing_recorded_is_fresh(void **state)
{
	struct ha_beat_window w = {0};
	struct ha_beat b = {.boot_id = 5, .sequence = 10};

	assert_true(ha_beat_fresh(&w, &b));
	assert_false(ha_beat_fresh(&w, &b));
	b.sequence = 9;
	assert_false(ha_beat_fresh(&w, &b));
	b.sequence = 12;
	assert_true(ha_beat_fresh(&w, &b));
	b.sequence = 11;
	assert_false(ha_beat_fresh(&w, &b));
	/* Started again: counts from one. */
	b = (struct ha_beat){.boot_id = 6, .sequence = 1};
	assert_true(ha_beat_fresh(&w, &b));
	/* The former life never again, however high its number. */
	b = (struct ha_beat){.boot_id = 5, .sequence = UINT64_MAX};
	assert_false(ha_beat_fresh(&w, &b));
	b = (struct ha_beat){.boot_id = 6, .sequence = 2};
	assert_true(ha_beat_fresh(&w, &b));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(round_trip),
		cmocka_unit_test(golden),
		cmocka_unit_test(a_token_has_its_place),
		cmocka_unit_test(every_changed_bit_is_refused),
		cmocka_unit_test(keys_differ_by_label),
		cmocka_unit_test(unknown_types_are_refused),
		cmocka_unit_test(nothing_recorded_is_fresh),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
