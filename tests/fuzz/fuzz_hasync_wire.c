/*
 * Frames of the other node. First byte odd: one frame, that must decode to
 * something that encodes and decodes to the same again. Even: a row of frames
 * (two bytes of length before each) for an engine that is joining, in sync,
 * or active; with lengths of our own making so that bodies are reached.
 */
#include <errno.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include "hasync/engine_int.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void require(bool ok)
{
	if (!ok)
		abort();
}

static void round_trip(const uint8_t *data, size_t size)
{
	static uint8_t one[HA_FRAME_MAX_BYTES], two[HA_FRAME_MAX_BYTES];
	struct ha_frame a, b;
	size_t n, m;

	if (ha_frame_decode(&a, data, size))
		return;
	require(ha_frame_encode(&a, one, sizeof(one), &n) == 0);
	require(ha_frame_decode(&b, one, n) == 0);
	require(ha_frame_encode(&b, two, sizeof(two), &m) == 0);
	require(n == m && !memcmp(one, two, n));
	require(a.head.type == b.head.type && a.head.epoch == b.head.epoch &&
		a.head.seq == b.head.seq && a.head.node == b.head.node);
}

static int swallow(void *ctx, const void *frame, size_t size)
{
	struct ha_frame f;

	/* What we say is always well-formed. */
	require(ha_frame_decode(&f, frame, size) == 0);
	return 0;
}

static struct ha_engine *prepare(uint8_t how)
{
	static const struct ha_engine_ops ops = {.send = swallow};
	struct ha_engine_params p = {
		.node = 2,
		.boot_id = 1,
		.commit_timeout_ms = 20,
		.batch_ms = 2,
		.batch_bytes = 4096,
		.status_interval_ms = 500,
		.snapshot_bytes_per_s = 1 << 20,
		.missed_acks_max = 3,
		.ops = &ops,
	};
	struct ha_key key = {.id = 1, .kind = 1};
	struct ha_engine *e;

	require(ha_engine_create(&e, &p) == 0);
	ha_engine_membership(e, true, true);
	if (how & 2) {
		ha_engine_set_role(e, HA_ROLE_BECOMING_ACTIVE, 5);
		ha_engine_set_role(e, HA_ROLE_ACTIVE, 5);
		require(ha_engine_put(e, &key, "x", 1, HA_PUT_SYNC, 1) == 0);
	} else {
		ha_engine_set_role(e, HA_ROLE_SYNCING, 1);
		e->peer_known = true;
		e->peer.role = HA_ROLE_ACTIVE;
		ha_engine_flush(e, 1);
		require(e->joiner.state == JOINER_ASKED);
		/* So that an input can name it. */
		e->joiner.nonce = 7;
		if (how & 4) {
			e->joiner.state = JOINER_RECEIVING;
			ha_store_mark_all(e->store);
		}
	}
	return e;
}

static void feed(const uint8_t *data, size_t size)
{
	static uint8_t frame[HA_FRAME_MAX_BYTES];
	struct ha_engine *e = prepare(data[0]);
	uint64_t now = 2;

	data++;
	size--;
	while (size > 2) {
		size_t n = (size_t)data[0] << 8 | data[1];

		data += 2;
		size -= 2;
		n = n > size ? size : n;
		memcpy(frame, data, n);
		if (n >= HA_HEAD_BYTES) {
			frame[24] = frame[25] = 0;
			frame[26] = (uint8_t)((n - HA_HEAD_BYTES) >> 8);
			frame[27] = (uint8_t)(n - HA_HEAD_BYTES);
		}
		ha_engine_receive(e, 1, frame, n);
		ha_engine_flush(e, now += 3);
		data += n;
		size -= n;
	}
	require(ha_store_bytes(e->store) < 4u << 20);
	ha_engine_membership(e, true, false);
	ha_engine_flush(e, now + 100);
	ha_engine_destroy(e);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	if (!size)
		return 0;
	if (data[0] & 1)
		round_trip(data + 1, size - 1);
	else
		feed(data, size);
	return 0;
}
