/*
 * What the media tests share: records, packets and an injected clock.
 */
#ifndef MEDIA_TEST_H
#define MEDIA_TEST_H

#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

#include "sbcd/base/addr.h"
#include "sbcd/media/stream.h"

#define UNUSED __attribute__((unused))

enum { T0_S = 1000, MS = 1000000 };

static UNUSED uint64_t at_ms(uint64_t ms)
{
	return T0_S * 1000000000ull + ms * MS;
}

static UNUSED struct addr addr_of(const char *ip, uint16_t port)
{
	struct addr a;

	assert_int_equal(addr_parse_ip(&a, ip, port), 0);
	return a;
}

/* "core" 10.10.0.10 and fd00:10::10, "cloud" 10.20.0.10: 20000-20399. */
static UNUSED void nifs_fill(struct media_nifs *n, unsigned shards,
			     const struct media_out *out)
{
	static const char *const where[][2] = {{"core", "10.10.0.10"},
					       {"core", "fd00:10::10"},
					       {"cloud", "10.20.0.10"}};

	memset(n, 0, sizeof(*n));
	for (unsigned i = 0; i < 3; i++) {
		struct addr ip = addr_of(where[i][1], 0);
		struct media_nif *nif;

		assert_int_equal(media_nifs_add(n, where[i][0], &nif), 0);
		assert_int_equal(
			media_nif_add(nif, &ip, 20000, 20399, shards, out), 0);
	}
}

/* An audio stream core <-> cloud, both peers known, latching. */
static UNUSED struct rec_media record_of(uint16_t port)
{
	struct rec_media r = {
		.media = 'a',
		.guard_initial_ms = 30000,
		.guard_subsequent_ms = 10000,
		.flows_len = 2,
	};

	for (unsigned i = 0; i < 2; i++) {
		struct rec_flow *f = &r.flows[i];

		f->leg = (uint16_t)(i + 1);
		strcpy(f->network_interface, i ? "cloud" : "core");
		f->local = addr_of(i ? "10.20.0.10" : "10.10.0.10", port);
		f->remote = addr_of(i ? "10.20.0.50" : "10.10.0.50", 7000);
		f->direction = FLOW_SENDRECV;
		f->latch = true;
	}
	return r;
}

static UNUSED struct media_stream *stream_with(const struct media_nifs *n,
					       const struct rec_media *r,
					       struct msrtp_engine *e,
					       uint64_t now_ns)
{
	struct ha_key key = {.id = 0, .sub = 1, .kind = REC_MEDIA};
	struct media_stream_params p = {.nifs = n, .now_ns = now_ns, .srtp = e};
	struct media_stream *s = NULL;

	assert_int_equal(media_stream_build(&s, &key, r, &p), 0);
	return s;
}

static UNUSED struct media_stream *stream_of(const struct media_nifs *n,
					     const struct rec_media *r,
					     uint64_t now_ns)
{
	return stream_with(n, r, NULL, now_ns);
}

/* Version 2, no extension; returns the size (12 + payload). */
static UNUSED size_t rtp_make(uint8_t *out, uint32_t ssrc, uint16_t seq,
			      uint32_t timestamp, size_t payload)
{
	memset(out, 0, RTP_HEADER_BYTES + payload);
	out[0] = 0x80;
	out[2] = (uint8_t)(seq >> 8);
	out[3] = (uint8_t)seq;
	for (unsigned i = 0; i < 4; i++) {
		out[4 + i] = (uint8_t)(timestamp >> (24 - 8 * i));
		out[8 + i] = (uint8_t)(ssrc >> (24 - 8 * i));
	}
	return RTP_HEADER_BYTES + payload;
}

/* A receiver report without blocks. */
static UNUSED size_t rtcp_make(uint8_t *out)
{
	static const uint8_t rr[8] = {0x80, 201, 0, 1, 1, 2, 3, 4};

	memcpy(out, rr, sizeof(rr));
	return sizeof(rr);
}

#endif
