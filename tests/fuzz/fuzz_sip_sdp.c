/*
 * Session descriptions from hostile peers: what is printed parses again to
 * the same; after a relay nothing of the other side is left, no slot is lost
 * and the result parses; made plain nothing of a key is left, and secured
 * again in any way it becomes the same plain description.
 */
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "sbcd/sip/sdp_edit.h"
#include "sbcd/sip/sdp_relay.h"
#include "sbcd/sip/sdp_secure.h"

static const char *const hidden[] = {"10.10.0.50", "fd00:10::50",
				     "pbx.example.net"};
enum { HIDDEN = 3 };

static char out[SDP_SIZE_MAX * 4], again[SDP_SIZE_MAX * 4];

static void require(bool ok)
{
	if (!ok)
		abort();
}

static void round_trip(const uint8_t *data, size_t size)
{
	struct sdp_error err;
	struct sdp *a, *b;
	ssize_t n;

	if (sdp_parse(&a, (const char *)data, size, &err)) {
		require(err.reason != SDP_OK);
		return;
	}
	require(err.reason == SDP_OK);
	n = sdp_print(a, out, sizeof(out));
	require(n > 0 && (size_t)n == sdp_printed_size(a));
	if (n <= SDP_SIZE_MAX) {
		require(sdp_parse(&b, out, (size_t)n, NULL) == 0);
		require(sdp_same(a, b));
		require(sdp_print(b, again, sizeof(again)) == n);
		require(memcmp(out, again, (size_t)n) == 0);
		sdp_destroy(b);
	}
	sdp_destroy(a);
}

static void relay(const uint8_t *data, size_t size, unsigned flavour)
{
	struct sdp_rules rules = {
		.protos = flavour & 1 ? 0 : SDP_RTP_SAVP | SDP_RTP_AVP,
		.video = flavour & 2,
	};
	struct sdp_local local[SDP_STREAMS_MAX] = {0};
	struct sdp_streams s, t;
	struct sdp_refusal why;
	struct hide_set hide;
	struct sdp_relay_params p = {
		.in = (const char *)data,
		.in_size = size,
		.streams = &s,
		.local = local,
		.version = 7,
		.hide = &hide,
		.strip_rtcp_mux = flavour & 4,
	};
	uint64_t version;
	ssize_t n;

	if (sdp_relay_read(p.in, size, &rules, &s, &why)) {
		require(why.warning >= 300 && why.text[0]);
		return;
	}
	hide_init(&hide);
	for (unsigned i = 0; i < HIDDEN; i++)
		require(hide_add(&hide, hidden[i], strlen(hidden[i])) == 0);
	require(addr_parse_ip(&p.origin, "10.20.0.10", 0) == 0);
	for (unsigned i = 0; i < s.len; i++)
		require(addr_parse_ip(&local[i].rtp,
				      i % 2 ? "fd00:20::10" : "10.20.0.10",
				      (uint16_t)(20000 + 2 * i)) == 0);
	n = sdp_relay_write(&p, out, sizeof(out), &version, &why);
	if (n < 0)
		return;
	require(version == 7);
	for (unsigned i = 0; i < HIDDEN; i++)
		require(!sdp_find_address(out, (size_t)n, hidden[i]));
	if (n > SDP_SIZE_MAX)
		return;
	require(sdp_relay_read(out, (size_t)n, &rules, &t, &why) == 0);
	require(s.media_count == t.media_count);
	for (unsigned i = 0; i < s.len; i++) {
		require((s.stream[i].slot == SDP_SLOT_ON) ==
			(t.stream[i].slot == SDP_SLOT_ON));
		if (s.stream[i].slot != SDP_SLOT_ON)
			continue;
		require(addr_equal(&t.stream[i].rtp, &local[i].rtp));
		require(t.stream[i].direction == s.stream[i].direction);
		require(t.stream[i].formats_len == s.stream[i].formats_len);
	}
	/* Sent again it is the same, to the byte. */
	p.last = memcpy(again, out, (size_t)n);
	p.last_size = (size_t)n;
	require(sdp_relay_write(&p, out, sizeof(out), &version, &why) == n);
	require(version == 7 && memcmp(out, again, (size_t)n) == 0);
}

/* Both ways, one, the other, by two bits a stream. */
static void unfold_of(struct sdp_unfold *u, unsigned flavour)
{
	static struct sdes_lines ours = {
		.len = 1,
		.line = {{.tag = 1,
			  .suite = SDES_AES_CM_128_HMAC_SHA1_80,
			  .key_size = 30}},
	};

	for (unsigned i = 0; i < SDP_STREAMS_MAX; i++)
		u[i] = (struct sdp_unfold){
			.security =
				(uint8_t)((flavour >> i) & SDP_SEC_ANY
						  ? (flavour >> i) & SDP_SEC_ANY
						  : SDP_SEC_RTP),
			.twin_port = 9,
			.lines = &ours,
		};
}

static void require_plain(const struct sdp *sdp)
{
	for (unsigned m = 0; m < sdp_media_count(sdp); m++) {
		struct sdp_media media;

		require(sdp_media_get(sdp, m, &media) == 0);
		require(!(media.kind & (SDP_RTP_SAVP | SDP_RTP_SAVPF)));
		require(sdp_attr_count(sdp, m, "crypto") == 0);
	}
	require(sdp_attr_count(sdp, SDP_SESSION, "crypto") == 0);
}

static struct sdp *copy_of(const struct sdp *sdp)
{
	ssize_t n = sdp_print(sdp, out, sizeof(out));
	struct sdp *copy;

	require(n > 0);
	return n <= SDP_SIZE_MAX && !sdp_parse(&copy, out, (size_t)n, NULL)
		       ? copy
		       : NULL;
}

/* `plain` as an offer, then read and made plain as a peer would. */
static void secured_again(const struct sdp *plain, unsigned flavour)
{
	struct sdp_unfold u[SDP_STREAMS_MAX];
	static struct sdp_secure said;
	struct sdp *a = copy_of(plain), *b = NULL;
	struct sdp_refusal why;
	uint32_t pairs = 0;

	if (!a)
		return;
	unfold_of(u, flavour);
	if (sdp_secure_unfold(a, &pairs, u, SDP_STREAMS_MAX, 0, NULL) == 0)
		b = copy_of(a);
	if (b) {
		require(sdp_secure_streams(pairs, sdp_media_count(b)) ==
			sdp_media_count(plain));
		require(sdp_secure_read(b, pairs, SDP_SEC_ANY, NULL, &said,
					&why) == 0);
		require(sdp_secure_fold(b, pairs, &said) == 0);
		require(sdp_same(plain, b));
	}
	sdp_destroy(a);
	sdp_destroy(b);
}

static void secure(const uint8_t *data, size_t size, unsigned flavour)
{
	static struct sdp_secure said, answer;
	struct sdp *a, *ours;
	struct sdp_refusal why = {0};
	uint32_t pairs = flavour & 8 ? flavour >> 4 & 3 : 0;
	unsigned streams;

	if (sdp_parse(&a, (const char *)data, size, NULL))
		return;
	ours = copy_of(a);
	streams = sdp_secure_streams(pairs, sdp_media_count(a));
	if (sdp_secure_read(a, pairs, 1 + flavour % 3, NULL, &said, &why)) {
		require(why.warning >= 300 && why.text[0]);
	} else {
		/* As an answer to itself it is in order, too. */
		require(!ours ||
			sdp_secure_read(a, pairs, 0, ours, &answer, &why) == 0);
		require(sdp_secure_fold(a, pairs, &said) == 0);
		require(sdp_media_count(a) == streams);
		require_plain(a);
		secured_again(a, flavour);
	}
	sdp_destroy(ours);
	sdp_destroy(a);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);
int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	round_trip(data, size);
	relay(data, size, size ? data[size - 1] & 7 : 0);
	secure(data, size, size ? data[size - 1] : 0);
	return 0;
}
