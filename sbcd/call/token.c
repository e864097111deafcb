#include "sbcd/call/token.h"

#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <string.h>

static int hex_digit(char c)
{
	if (c >= '0' && c <= '9')
		return c - '0';
	if (c >= 'a' && c <= 'f')
		return c - 'a' + 10;
	if (c >= 'A' && c <= 'F')
		return c - 'A' + 10;
	return -1;
}

int token_key_parse(struct token_key *out, const char *hex)
{
	struct token_key key;

	for (size_t i = 0; i < TOKEN_KEY_SIZE; i++) {
		int hi = hex_digit(hex[2 * i]);
		int lo = hi < 0 ? -1 : hex_digit(hex[2 * i + 1]);

		if (lo < 0)
			return -EINVAL;
		key.bytes[i] = (uint8_t)(hi << 4 | lo);
	}
	*out = key;
	return 0;
}

static uint64_t load64(const uint8_t *p)
{
	uint64_t v = 0;

	for (int i = 7; i >= 0; i--)
		v = v << 8 | p[i];
	return v;
}

static uint64_t rotl(uint64_t v, int n)
{
	return v << n | v >> (64 - n);
}

static void sip_round(uint64_t v[4])
{
	v[0] += v[1];
	v[1] = rotl(v[1], 13) ^ v[0];
	v[0] = rotl(v[0], 32);
	v[2] += v[3];
	v[3] = rotl(v[3], 16) ^ v[2];
	v[0] += v[3];
	v[3] = rotl(v[3], 21) ^ v[0];
	v[2] += v[1];
	v[1] = rotl(v[1], 17) ^ v[2];
	v[2] = rotl(v[2], 32);
}

uint64_t token_hash(const struct token_key *key, const void *data, size_t size)
{
	const uint8_t *p = data;
	uint64_t k0 = load64(key->bytes), k1 = load64(key->bytes + 8);
	uint64_t v[4] = {k0 ^ 0x736f6d6570736575u, k1 ^ 0x646f72616e646f6du,
			 k0 ^ 0x6c7967656e657261u, k1 ^ 0x7465646279746573u};
	uint64_t last = (uint64_t)size << 56;
	size_t left;

	for (left = size; left >= 8; left -= 8, p += 8) {
		uint64_t m = load64(p);

		v[3] ^= m;
		sip_round(v);
		sip_round(v);
		v[0] ^= m;
	}
	for (size_t i = 0; i < left; i++)
		last |= (uint64_t)p[i] << (8 * i);
	v[3] ^= last;
	sip_round(v);
	sip_round(v);
	v[0] ^= last;
	v[2] ^= 0xff;
	for (int i = 0; i < 4; i++)
		sip_round(v);
	return v[0] ^ v[1] ^ v[2] ^ v[3];
}

/* Chains the hash over one more string and its end. */
static uint64_t mix(const struct token_key *key, uint64_t state,
		    const char *text, size_t size)
{
	uint64_t part[2] = {state, token_hash(key, text, size)};

	return token_hash(key, part, sizeof(part));
}

void token_seed(const struct token_key *key, struct token_seed *out,
		const char *const *parts, size_t len)
{
	out->hi = 1;
	out->lo = 2;
	for (size_t i = 0; i < len; i++) {
		const char *text = parts[i] ? parts[i] : "";
		size_t size = strlen(text);

		out->hi = mix(key, out->hi, text, size);
		out->lo = mix(key, out->lo, text, size);
	}
}

static uint64_t derive(const struct token_key *key, uint64_t half,
		       const char *label)
{
	return mix(key, half, label, strlen(label));
}

uint64_t token_number(const struct token_key *key,
		      const struct token_seed *seed, const char *label)
{
	uint64_t n = derive(key, seed->hi, label) ^
		     rotl(derive(key, seed->lo, label), 1);

	return n ? n : 1;
}

const char *token_text(const struct token_key *key,
		       const struct token_seed *seed, const char *label,
		       char out[TOKEN_TEXT_SIZE])
{
	snprintf(out, TOKEN_TEXT_SIZE, "%016" PRIx64 "%016" PRIx64,
		 derive(key, seed->hi, label), derive(key, seed->lo, label));
	return out;
}
