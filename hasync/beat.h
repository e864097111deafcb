/*
 * beat - the keyed heartbeat datagram: encode, check, replay window. Sockets
 * and threads are the caller's.
 *
 * HMAC-SHA-256 (truncated to 16 bytes) under a key derived from the cluster
 * key; (boot_id, sequence) must grow, so a recorded beat is worth nothing.
 *
 * Layer: hasync. The keeper's beat thread, the guard (RELEASED word).
 */
#ifndef HASYNC_BEAT_H
#define HASYNC_BEAT_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum {
	HA_BEAT_SIZE = 80,
	HA_BEAT_KEY_SIZE = 32,
	HA_BEAT_TOKEN_SIZE = 16,
	/* Offset in the datagram: the kernel looks for it there. */
	HA_BEAT_TOKEN_AT = 40,
};

enum ha_beat_type {
	HA_BEAT_ALIVE = 1,
	HA_BEAT_RELEASED = 2, /* by the guard: keeper gone, MAC/IP off */
};

struct ha_beat {
	enum ha_beat_type type;
	uint8_t node;
	uint8_t role;
	uint8_t health;
	uint64_t boot_id; /* greater at each start of the sender */
	uint64_t epoch;
	uint64_t sequence;
	/* Fence: the node that must stop and its token; 0 = nobody. */
	uint8_t target;
	uint8_t token[HA_BEAT_TOKEN_SIZE];
};

/* label separates uses of one cluster key: "beat", "forward". */
int ha_key_derive(const uint8_t *cluster_key, size_t size, const char *label,
		  uint8_t out[HA_BEAT_KEY_SIZE])
	__attribute__((warn_unused_result));
int ha_beat_encode(const struct ha_beat *beat,
		   const uint8_t key[HA_BEAT_KEY_SIZE],
		   uint8_t out[HA_BEAT_SIZE])
	__attribute__((warn_unused_result));
/* -EBADMSG: wrong size, magic, version or key. */
int ha_beat_decode(struct ha_beat *out, const uint8_t key[HA_BEAT_KEY_SIZE],
		   const void *data, size_t size)
	__attribute__((warn_unused_result));

/* One window for each sender and path. */
struct ha_beat_window {
	uint64_t boot_id, sequence;
	bool started;
};
/* True when newer than everything accepted before; then remembers it. A new
 * boot id is accepted once and the old one never again. */
bool ha_beat_fresh(struct ha_beat_window *w, const struct ha_beat *beat);

#endif
