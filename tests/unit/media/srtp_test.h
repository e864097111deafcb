/*
 * What the SRTP tests share: seeded random numbers, keys, packets, engines.
 */
#ifndef SRTP_TEST_H
#define SRTP_TEST_H

#include "media_test.h"

#include "sbcd/media/srtp.h"

enum { PACKET_ROOM = SRTP_PACKET_SIZE_MAX + SRTP_TRAILER_MAX };

/* xorshift64*: the same on every machine. */
static UNUSED uint64_t random_u64(uint64_t *state)
{
	*state ^= *state >> 12;
	*state ^= *state << 25;
	*state ^= *state >> 27;
	return *state * 0x2545f4914f6cdd1dull;
}

static UNUSED unsigned random_below(uint64_t *state, unsigned n)
{
	return (unsigned)((random_u64(state) >> 32) % n);
}

static UNUSED void random_bytes(uint64_t *state, uint8_t *out, size_t size)
{
	for (size_t i = 0; i < size; i++)
		out[i] = (uint8_t)(random_u64(state) >> 56);
}

static UNUSED size_t unhex(const char *text, uint8_t *out, size_t max)
{
	size_t n = 0;

	for (; text[0] && text[1]; text += 2, n++) {
		unsigned v;

		assert_true(n < max);
		assert_int_equal(sscanf(text, "%2x", &v), 1);
		out[n] = (uint8_t)v;
	}
	return n;
}

static UNUSED struct msrtp_engine *engine_of(const char *name)
{
	struct msrtp_engine *e = NULL;

	assert_int_equal(msrtp_engine_create(&e, name), 0);
	return e;
}

/* Those of the list that run on this machine. */
static UNUSED unsigned engines_all(struct msrtp_engine **out, unsigned max)
{
	unsigned n = 0;

	for (unsigned i = 0; msrtp_engine_list(i); i++) {
		int err;

		assert_true(n < max);
		err = msrtp_engine_create(&out[n], msrtp_engine_list(i));
		assert_true(!err || err == -ENOTSUP);
		n += !err;
	}
	assert_true(n >= 2);
	return n;
}

static UNUSED bool is_reference(const struct msrtp_engine *e)
{
	return !strcmp(msrtp_engine_name(e), "libsrtp2");
}

/* Counts up from `from`. */
static UNUSED struct key_bytes {
	uint8_t bytes[SRTP_KEY_SIZE_MAX];
} key_of(uint8_t from)
{
	struct key_bytes k;

	for (unsigned i = 0; i < sizeof(k.bytes); i++)
		k.bytes[i] = (uint8_t)(from + 3 * i);
	return k;
}

static UNUSED struct msrtp *context_of(struct msrtp_engine *e, unsigned suite,
				       unsigned direction, const uint8_t *key)
{
	struct msrtp_params p = {.suite = (uint8_t)suite,
				 .direction = (uint8_t)direction,
				 .key = key,
				 .key_size = msrtp_suite_key_size(suite)};
	struct msrtp *s = NULL;

	assert_int_equal(msrtp_create(&s, e, &p), 0);
	return s;
}

static UNUSED enum srtp_result protect(struct msrtp_engine *e, struct msrtp *s,
				       uint8_t *data, uint32_t *size, bool rtcp)
{
	struct msrtp_packet p = {.context = s,
				 .data = data,
				 .size = *size,
				 .room = PACKET_ROOM,
				 .rtcp = rtcp};

	msrtp_protect(e, &p, 1);
	*size = p.size;
	return p.result;
}

static UNUSED enum srtp_result unprotect_at(struct msrtp_engine *e,
					    struct msrtp *s, uint8_t *data,
					    uint32_t *size, bool rtcp,
					    uint64_t now_ns)
{
	struct msrtp_packet p = {.context = s,
				 .data = data,
				 .size = *size,
				 .room = PACKET_ROOM,
				 .rtcp = rtcp};

	msrtp_unprotect(e, &p, 1, now_ns);
	*size = p.size;
	return p.result;
}

static UNUSED enum srtp_result unprotect(struct msrtp_engine *e,
					 struct msrtp *s, uint8_t *data,
					 uint32_t *size, bool rtcp)
{
	return unprotect_at(e, s, data, size, rtcp, 0);
}

/* A sender report with one block's room of random payload. */
static UNUSED uint32_t sender_report(uint8_t *out, uint32_t ssrc,
				     uint8_t payload)
{
	memset(out, payload, 28);
	out[0] = 0x80;
	out[1] = 200;
	out[2] = 0;
	out[3] = 6;
	for (unsigned i = 0; i < 4; i++)
		out[4 + i] = (uint8_t)(ssrc >> (24 - 8 * i));
	return 28;
}

#endif
