/*
 * SRTP through the relay: plain on the side of the PBX, SRTP on the other.
 * The other side is libsrtp2.
 */
#ifndef SRTP_RELAY_TEST_H
#define SRTP_RELAY_TEST_H

#include "relay_test.h"
#include "srtp_test.h"

#include "sbcd/media/srtp_flow.h"

enum { SSRC = 0x1234, OURS = 1, THEIRS = 2, NEXT = 3 };

static struct msrtp_engine *peer; /* libsrtp2 */
static struct msrtp *peer_rx, *peer_tx;
static unsigned reserves;
static bool reserve_ready;

static UNUSED bool fake_reserve(void *ctx, struct media_stream *s)
{
	reserves++;
	if (reserve_ready)
		s->reserve = false;
	return reserve_ready;
}

/* A key of leg 2, as both sides negotiated it. */
static UNUSED void add_key(uint8_t use, uint32_t number, uint8_t suite)
{
	struct key_bytes key = key_of((uint8_t)number);
	struct rec_key *k = &record.keys[record.keys_len++];

	memset(k, 0, sizeof(*k));
	k->leg = 2;
	k->use = use;
	k->suite = suite;
	k->number = number;
	k->key.size = (uint32_t)msrtp_suite_key_size(suite);
	memcpy(k->key.data, key.bytes, k->key.size);
}

static UNUSED struct msrtp *peer_context(uint32_t number, uint8_t suite,
					 enum srtp_direction direction)
{
	struct key_bytes key = key_of((uint8_t)number);

	return context_of(peer, suite, direction, key.bytes);
}

static UNUSED void with_suite(uint8_t suite)
{
	add_key(KEY_TX, OURS, suite);
	add_key(KEY_RX, THEIRS, suite);
	install(&record);
	peer_rx = peer_context(OURS, suite, SRTP_RECEIVE);
	peer_tx = peer_context(THEIRS, suite, SRTP_SEND);
}

static UNUSED int setup_srtp(void **state)
{
	if (setup(state))
		return -1;
	peer = engine_of("libsrtp2");
	relay.srtp = engine_of(NULL);
	relay.reserve = fake_reserve;
	reserves = 0;
	reserve_ready = true;
	with_suite(SRTP_AES_CM_128_HMAC_SHA1_80);
	return 0;
}

static UNUSED int teardown_srtp(void **state)
{
	int err;

	media_relay_moved(&relay, stream, NULL);
	err = teardown(state);
	msrtp_destroy(peer_rx);
	msrtp_destroy(peer_tx);
	msrtp_engine_destroy(peer);
	msrtp_engine_destroy(relay.srtp);
	relay.srtp = NULL;
	return err;
}

static UNUSED void plain(uint16_t seq)
{
	rtp(&phone, "10.10.0.10", 20000, seq);
}

static UNUSED struct media_packet *secure(uint16_t seq)
{
	struct media_packet *p = arrives(&pbx, "10.20.0.10", 20000);

	p->size = (uint32_t)rtp_make(p->data, 0x777, seq, seq * 160u, 20);
	assert_int_equal(protect(peer, peer_tx, p->data, &p->size, false),
			 SRTP_OK);
	return p;
}

/* What the peer makes of packet `i` that was sent; its number. */
static UNUSED int heard(unsigned i, bool rtcp)
{
	uint32_t size = sent[i].size;
	uint8_t data[PACKET_ROOM];

	assert_true(i < sent_len);
	memcpy(data, sent[i].data, size);
	if (unprotect_at(peer, peer_rx, data, &size, rtcp, 0) != SRTP_OK)
		return -1;
	return rtcp ? (int)size : data[2] << 8 | data[3];
}

static UNUSED uint32_t rtcp_index(unsigned i)
{
	const uint8_t *at = sent[i].data + sent[i].size - 14;

	return ((uint32_t)at[0] << 24 | (uint32_t)at[1] << 16 |
		(uint32_t)at[2] << 8 | at[3]) &
	       0x7fffffff;
}

static UNUSED void report(void)
{
	struct media_packet *p = arrives(&phone, "10.10.0.10", 20001);

	p->size = (uint32_t)rtcp_make(p->data);
	p->source.port++;
}

/* Another node, or a new worker, goes on from the record. */
static UNUSED void take_over(void)
{
	static struct rec_mstate m;

	media_stream_export(stream, &m, at_ms(0), 1);
	install(&record);
	media_stream_restore(stream, &m, at_ms(0));
	/* A standby hears of it again and again. */
	media_stream_restore(stream, &m, at_ms(0));
	media_stream_activate(stream, at_ms(0), 0);
}

static UNUSED void update(void)
{
	struct media_stream *old = stream;

	media_stream_release(old);
	stream = stream_with(&nifs, &record, relay.srtp, at_ms(0));
	media_stream_inherit(stream, old, at_ms(0));
	media_stream_free(old);
	media_stream_claim(stream);
}

#define S(f) cmocka_unit_test_setup_teardown(f, setup_srtp, teardown_srtp)

#endif
