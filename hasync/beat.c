#include "hasync/beat.h"

#include <errno.h>
#include <openssl/crypto.h>
#include <openssl/evp.h>
#include <openssl/hmac.h>
#include <string.h>

/*
 * Layout, big-endian: magic 4, version, type, node, role, health, 7 reserved,
 * boot id 8, epoch 8, sequence 8, fence token 16, its target, 7 reserved, tag
 * 16. Reserved bytes are sent as zero and not looked at, but covered by the
 * tag. Token and target were reserved bytes once: zero is "nobody".
 */
enum {
	BEAT_VERSION = 1,
	BEAT_TAG_SIZE = 16,
	BEAT_BODY_SIZE = HA_BEAT_SIZE - BEAT_TAG_SIZE,
	BEAT_AT_VERSION = 4,
	BEAT_AT_TYPE = 5,
	BEAT_AT_NODE = 6,
	BEAT_AT_ROLE = 7,
	BEAT_AT_HEALTH = 8,
	BEAT_AT_BOOT = 16,
	BEAT_AT_EPOCH = 24,
	BEAT_AT_SEQUENCE = 32,
	BEAT_AT_TARGET = HA_BEAT_TOKEN_AT + HA_BEAT_TOKEN_SIZE,
};

static const uint8_t beat_magic[4] = {'S', 'B', 'H', 'B'};

static void store_u64(uint8_t *p, uint64_t v)
{
	for (int i = 7; i >= 0; i--) {
		p[i] = (uint8_t)v;
		v >>= 8;
	}
}

static uint64_t load_u64(const uint8_t *p)
{
	uint64_t v = 0;

	for (int i = 0; i < 8; i++)
		v = v << 8 | p[i];
	return v;
}

static int hmac_sha256(const uint8_t *key, size_t key_size, const void *data,
		       size_t size, uint8_t out[HA_BEAT_KEY_SIZE])
{
	unsigned int len = HA_BEAT_KEY_SIZE;

	if (!HMAC(EVP_sha256(), key, (int)key_size, data, size, out, &len))
		return -EIO;
	return len == HA_BEAT_KEY_SIZE ? 0 : -EIO;
}

int ha_key_derive(const uint8_t *cluster_key, size_t size, const char *label,
		  uint8_t out[HA_BEAT_KEY_SIZE])
{
	/* HKDF-Expand with one block: info is our name and the label. */
	uint8_t info[64] = "sbcd ";
	uint8_t full[HA_BEAT_KEY_SIZE];
	size_t at = strlen("sbcd ");
	size_t len = strlen(label);
	int rc;

	if (!size || size > INT32_MAX || !len || at + len + 1 > sizeof(info))
		return -EINVAL;
	memcpy(info + at, label, len);
	info[at + len] = 1;
	rc = hmac_sha256(cluster_key, size, info, at + len + 1, full);
	if (!rc)
		memcpy(out, full, sizeof(full));
	OPENSSL_cleanse(full, sizeof(full));
	return rc;
}

int ha_beat_encode(const struct ha_beat *beat,
		   const uint8_t key[HA_BEAT_KEY_SIZE],
		   uint8_t out[HA_BEAT_SIZE])
{
	uint8_t frame[HA_BEAT_SIZE] = {0};
	uint8_t tag[HA_BEAT_KEY_SIZE];
	int rc;

	memcpy(frame, beat_magic, sizeof(beat_magic));
	frame[BEAT_AT_VERSION] = BEAT_VERSION;
	frame[BEAT_AT_TYPE] = (uint8_t)beat->type;
	frame[BEAT_AT_NODE] = beat->node;
	frame[BEAT_AT_ROLE] = beat->role;
	frame[BEAT_AT_HEALTH] = beat->health;
	store_u64(frame + BEAT_AT_BOOT, beat->boot_id);
	store_u64(frame + BEAT_AT_EPOCH, beat->epoch);
	store_u64(frame + BEAT_AT_SEQUENCE, beat->sequence);
	if (beat->target)
		memcpy(frame + HA_BEAT_TOKEN_AT, beat->token,
		       HA_BEAT_TOKEN_SIZE);
	frame[BEAT_AT_TARGET] = beat->target;
	rc = hmac_sha256(key, HA_BEAT_KEY_SIZE, frame, BEAT_BODY_SIZE, tag);
	if (rc)
		return rc;
	memcpy(frame + BEAT_BODY_SIZE, tag, BEAT_TAG_SIZE);
	memcpy(out, frame, sizeof(frame));
	return 0;
}

int ha_beat_decode(struct ha_beat *out, const uint8_t key[HA_BEAT_KEY_SIZE],
		   const void *data, size_t size)
{
	const uint8_t *p = data;
	uint8_t tag[HA_BEAT_KEY_SIZE];

	if (size != HA_BEAT_SIZE || memcmp(p, beat_magic, sizeof(beat_magic)) ||
	    p[BEAT_AT_VERSION] != BEAT_VERSION)
		return -EBADMSG;
	if (hmac_sha256(key, HA_BEAT_KEY_SIZE, p, BEAT_BODY_SIZE, tag))
		return -EBADMSG;
	if (CRYPTO_memcmp(tag, p + BEAT_BODY_SIZE, BEAT_TAG_SIZE))
		return -EBADMSG;
	if (p[BEAT_AT_TYPE] != HA_BEAT_ALIVE &&
	    p[BEAT_AT_TYPE] != HA_BEAT_RELEASED)
		return -EBADMSG;
	*out = (struct ha_beat){
		.type = (enum ha_beat_type)p[BEAT_AT_TYPE],
		.node = p[BEAT_AT_NODE],
		.role = p[BEAT_AT_ROLE],
		.health = p[BEAT_AT_HEALTH],
		.boot_id = load_u64(p + BEAT_AT_BOOT),
		.epoch = load_u64(p + BEAT_AT_EPOCH),
		.sequence = load_u64(p + BEAT_AT_SEQUENCE),
		.target = p[BEAT_AT_TARGET],
	};
	memcpy(out->token, p + HA_BEAT_TOKEN_AT, HA_BEAT_TOKEN_SIZE);
	return 0;
}

bool ha_beat_fresh(struct ha_beat_window *w, const struct ha_beat *beat)
{
	if (w->started &&
	    (beat->boot_id < w->boot_id ||
	     (beat->boot_id == w->boot_id && beat->sequence <= w->sequence)))
		return false;
	w->started = true;
	w->boot_id = beat->boot_id;
	w->sequence = beat->sequence;
	return true;
}
