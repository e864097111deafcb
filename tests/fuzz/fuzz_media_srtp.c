/*
 * Hostile SRTP and SRTCP: refused without a trace, or exactly what a sender
 * with the key protected. Nothing is read or written outside the packet, a
 * changed one never passes where there is authentication, none passes twice,
 * and two engines say the same.
 *
 * Input: suite, flags, MKI size; then steps: operation, size, bytes.
 */
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "sbcd/media/srtp.h"

enum {
	STEP_MAX = 100,
	ENGINES = 2,
	OP_RTCP = 1, /* else RTP */
	OP_PROTECT = 2, /* a sender protects it first */
	OP_CHANGE = 4, /* then a byte is another one */
	OP_TWICE = 8,
	OP_REKEY = 16,
	OP_RESTORE = 32,
};

static struct msrtp_engine *engines[ENGINES];
static const uint8_t keys[2][SRTP_KEY_SIZE_MAX] = {"one", "two"};

static void require(bool ok)
{
	if (!ok)
		abort();
}

int LLVMFuzzerInitialize(int *argc, char ***argv);
int LLVMFuzzerInitialize(int *argc, char ***argv)
{
	require(!msrtp_engine_create(&engines[0], NULL));
	require(!msrtp_engine_create(&engines[1], "openssl"));
	return 0;
}

struct side {
	struct msrtp *tx, *rx;
};

static struct msrtp_params params;
static struct side sides[ENGINES];

static struct msrtp *context(unsigned engine, uint8_t direction)
{
	struct msrtp *s = NULL;

	params.direction = direction;
	require(!msrtp_create(&s, engines[engine], &params));
	return s;
}

static void restore(unsigned engine)
{
	struct msrtp_position at[SRTP_STREAMS_MAX];
	struct msrtp_margin margin = {.rtp = 3, .rtcp = 5};
	struct side *s = &sides[engine];
	size_t n = msrtp_export(s->tx, at, SRTP_STREAMS_MAX);

	msrtp_destroy(s->tx);
	s->tx = context(engine, SRTP_SEND);
	require(!msrtp_import(s->tx, at, n, &margin));
	n = msrtp_export(s->rx, at, SRTP_STREAMS_MAX);
	msrtp_destroy(s->rx);
	s->rx = context(engine, SRTP_RECEIVE);
	margin = (struct msrtp_margin){0};
	require(!msrtp_import(s->rx, at, n, &margin));
}

static void rekey(unsigned engine, unsigned op, uint64_t now_ns)
{
	struct side *s = &sides[engine];

	params.direction = SRTP_SEND;
	require(msrtp_rekey(s->tx, engines[engine], &params, op & OP_TWICE,
			    now_ns) >= 0);
	params.direction = SRTP_RECEIVE;
	require(msrtp_rekey(s->rx, engines[engine], &params, op & OP_TWICE,
			    now_ns) >= 0);
}

/* In memory of its own, so that a step outside is seen. */
static uint8_t *receive(unsigned engine, const uint8_t *data, uint32_t size,
			bool rtcp, uint64_t now_ns, struct msrtp_packet *p)
{
	uint8_t *copy = malloc(size ? size : 1);

	require(copy);
	memcpy(copy, data, size);
	*p = (struct msrtp_packet){.context = sides[engine].rx,
				   .data = copy,
				   .size = size,
				   .room = size,
				   .rtcp = rtcp};
	msrtp_unprotect(engines[engine], p, 1, now_ns);
	return copy;
}

static bool authenticated(bool rtcp)
{
	return rtcp || !(params.flags & SRTP_UNAUTHENTICATED_SRTP);
}

static void deliver(const uint8_t *data, uint32_t size, unsigned op,
		    bool genuine, uint64_t now_ns)
{
	bool rtcp = op & OP_RTCP;
	struct msrtp_packet p[ENGINES];
	uint8_t *copy[ENGINES];

	for (unsigned i = 0; i < ENGINES; i++)
		copy[i] = receive(i, data, size, rtcp, now_ns, &p[i]);
	require(p[0].result == p[1].result);
	if (p[0].result == SRTP_OK) {
		require(genuine || !authenticated(rtcp));
		require(p[0].size + msrtp_overhead(sides[0].rx, rtcp) == size);
		require(p[0].size == p[1].size);
		require(!memcmp(copy[0], copy[1], p[0].size));
		require(!memcmp(copy[0], data, rtcp ? 8 : 12));
	}
	for (unsigned i = 0; i < ENGINES; i++)
		free(copy[i]);
}

/* The same bytes from both, or none. */
static uint8_t *protect(const uint8_t *data, uint32_t *size, bool rtcp)
{
	struct msrtp_packet p[ENGINES];
	uint8_t *copy[ENGINES];

	for (unsigned i = 0; i < ENGINES; i++) {
		uint32_t room =
			*size + (uint32_t)msrtp_overhead(sides[i].tx, rtcp);

		copy[i] = malloc(room);
		require(copy[i]);
		memcpy(copy[i], data, *size);
		p[i] = (struct msrtp_packet){.context = sides[i].tx,
					     .data = copy[i],
					     .size = *size,
					     .room = room,
					     .rtcp = rtcp};
		msrtp_protect(engines[i], &p[i], 1);
	}
	require(p[0].result == p[1].result && p[0].size == p[1].size);
	require(p[0].result != SRTP_OK || !memcmp(copy[0], copy[1], p[0].size));
	*size = p[0].size;
	free(copy[1]);
	if (p[0].result == SRTP_OK)
		return copy[0];
	free(copy[0]);
	return NULL;
}

static void step(unsigned op, const uint8_t *data, uint32_t size,
		 uint64_t now_ns)
{
	bool change = op & OP_CHANGE;
	uint8_t *made;

	if (!(op & OP_PROTECT)) {
		deliver(data, size, op, false, now_ns);
		return;
	}
	made = protect(data, &size, op & OP_RTCP);
	if (!made)
		return;
	if (change)
		made[data[0] * 7u % size] ^= (uint8_t)(1 + op % 255);
	deliver(made, size, op, !change, now_ns);
	if (op & OP_TWICE)
		deliver(made, size, op, !change, now_ns);
	free(made);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);
int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	uint64_t now_ns = 1;
	unsigned current = 0;

	if (size < 3)
		return 0;
	params = (struct msrtp_params){
		.suite = (uint8_t)(1 + data[0] % (SRTP_SUITES - 1)),
		.flags = data[1] & 7,
		.mki_size = data[2] % 20,
		.key = keys[0],
	};
	params.mki = params.mki_size ? data[2] : 0;
	params.key_size = msrtp_suite_key_size(params.suite);
	if (msrtp_suite_is_aead(params.suite))
		params.flags &= SRTP_UNENCRYPTED_SRTCP;
	for (unsigned i = 0; i < ENGINES; i++)
		sides[i] = (struct side){context(i, SRTP_SEND),
					 context(i, SRTP_RECEIVE)};
	data += 3;
	size -= 3;
	for (unsigned n = 0; size >= 2 && n < STEP_MAX; n++) {
		unsigned op = data[0];
		uint32_t len =
			data[1] < size - 2 ? data[1] : (uint32_t)size - 2;

		now_ns += (uint64_t)op << 24;
		/* Back and forth between two keys. */
		if (op & OP_REKEY)
			params.key = keys[current ^= 1];
		for (unsigned i = 0; i < ENGINES && op & OP_REKEY; i++)
			rekey(i, op, now_ns);
		for (unsigned i = 0; i < ENGINES && op & OP_RESTORE; i++)
			restore(i);
		if (len)
			step(op, data + 2, len, now_ns);
		data += 2 + len;
		size -= 2 + len;
	}
	for (unsigned i = 0; i < ENGINES; i++) {
		msrtp_destroy(sides[i].tx);
		msrtp_destroy(sides[i].rx);
	}
	return 0;
}
