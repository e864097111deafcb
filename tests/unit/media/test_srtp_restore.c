/*
 * Continuity: a node dies, the other goes on from what was replicated. The
 * peer is libsrtp2, which never restarts. No key stream is used twice, no
 * packet from before is accepted again, and audio goes on at every ROC.
 */
#include "srtp_test.h"

enum {
	PAYLOAD = 32,
	/* Packets between two puts, and what a margin must cover. */
	PUT_EVERY = 40,
	RTCP_EVERY = 7,
};

static struct msrtp_engine *engines[4], *reference;
static unsigned engines_len;
static uint64_t seed;
static uint8_t data[PACKET_ROOM];

#define FOR_EACH_NATIVE(e)                                                     \
	for (unsigned each = 0; each < engines_len; each++)                    \
		for (struct msrtp_engine *e = engines[each];                   \
		     e && !is_reference(e); e = NULL)

/* ---- the checker: first block of key stream -> the packet it hid ----------
 */

struct use {
	uint64_t stream[2];
	uint64_t packet; /* hash of the protected packet; 0 = free */
};

static struct {
	struct use table[1 << 17];
	unsigned violations, packets;
} checker;

static uint64_t hash_of(const uint8_t *p, size_t size)
{
	uint64_t h = 0xcbf29ce484222325;

	for (size_t i = 0; i < size; i++)
		h = (h ^ p[i]) * 0x100000001b3;
	return h | 1;
}

/* Clear and protected bytes of what a node let out, header in front. */
static void check(const uint8_t *clear, const uint8_t *secret, uint32_t size,
		  unsigned header)
{
	uint64_t a[2], b[2], at;
	struct use *u;

	memcpy(a, clear + header, sizeof(a));
	memcpy(b, secret + header, sizeof(b));
	a[0] ^= b[0];
	a[1] ^= b[1];
	for (at = a[0] * 0x9e3779b97f4a7c15ull >> 47;; at++) {
		u = &checker.table[at % (1 << 17)];
		if (!u->packet)
			break;
		if (u->stream[0] != a[0] || u->stream[1] != a[1])
			continue;
		checker.violations += u->packet != hash_of(secret, size);
		return;
	}
	checker.packets++;
	*u = (struct use){.stream = {a[0], a[1]},
			  .packet = hash_of(secret, size)};
	assert_true(checker.packets < 100000);
}

static void checker_reset(void)
{
	memset(&checker, 0, sizeof(checker));
}

/* ---- a pair of nodes that send one stream ---------------------------------
 */

struct pair {
	struct msrtp_engine *e;
	struct msrtp *tx, *peer;
	unsigned suite;
	struct key_bytes key;
	struct msrtp_margin margin;
	struct msrtp_position stored; /* on both nodes */
	uint16_t offset; /* from the source's numbers to ours */
	unsigned refused; /* in a row */
	unsigned deaf; /* packets the peer could not authenticate */
	unsigned delivered;
};

static void pair_put(struct pair *p)
{
	if (msrtp_export(p->tx, &p->stored, 1) == 0)
		memset(&p->stored, 0, sizeof(p->stored));
}

static void pair_start(struct pair *p, struct msrtp_engine *e, unsigned suite)
{
	memset(p, 0, sizeof(*p));
	p->e = e;
	p->suite = suite;
	p->key = key_of((uint8_t)(suite + 11));
	p->margin = (struct msrtp_margin){.rtp = PUT_EVERY, .rtcp = PUT_EVERY};
	p->tx = context_of(e, suite, SRTP_SEND, p->key.bytes);
	p->peer = context_of(reference, suite, SRTP_RECEIVE, p->key.bytes);
}

static void pair_end(struct pair *p)
{
	msrtp_destroy(p->tx);
	msrtp_destroy(p->peer);
}

/* The active node is gone; the other has what was stored, and puts what it
 * reserves before it sends. */
static void pair_crash(struct pair *p)
{
	msrtp_destroy(p->tx);
	p->tx = context_of(p->e, p->suite, SRTP_SEND, p->key.bytes);
	if (p->stored.ssrc)
		assert_int_equal(msrtp_import(p->tx, &p->stored, 1, &p->margin),
				 0);
	pair_put(p);
	/* Our numbers go on behind the reserved ones. */
	p->refused = 100;
}

static void renumber(struct pair *p, uint16_t seq)
{
	struct msrtp_position at;

	if (msrtp_export(p->tx, &at, 1) && at.rtp)
		p->offset = (uint16_t)(at.index + 1 - seq);
	p->refused = 0;
}

static void deliver(struct pair *p, const uint8_t *secret, uint32_t size,
		    bool rtcp)
{
	uint8_t copy[PACKET_ROOM];
	enum srtp_result r;

	memcpy(copy, secret, size);
	r = unprotect(reference, p->peer, copy, &size, rtcp);
	p->deaf += r == SRTP_BAD_TAG;
	p->delivered += r == SRTP_OK;
}

static void send_rtp(struct pair *p, uint16_t seq)
{
	uint8_t clear[64];
	uint32_t size;

	if (p->refused >= 3)
		renumber(p, seq);
	size = (uint32_t)rtp_make(clear, 77, (uint16_t)(seq + p->offset), 1,
				  PAYLOAD);
	random_bytes(&seed, clear + 12, PAYLOAD);
	memcpy(data, clear, size);
	if (protect(p->e, p->tx, data, &size, false) != SRTP_OK) {
		p->refused++;
		return;
	}
	p->refused = 0;
	/* A jump further than the margin: put before it leaves. */
	if (p->margin.rtp) {
		struct msrtp_position at;

		assert_int_equal(msrtp_export(p->tx, &at, 1), 1);
		if (at.index > p->stored.index + p->margin.rtp)
			p->stored = at;
	}
	check(clear, data, size, 12);
	deliver(p, data, size, false);
}

static void send_rtcp(struct pair *p)
{
	uint8_t clear[64];
	uint32_t size = sender_report(clear, 77, 0);

	random_bytes(&seed, clear + 8, 20);
	memcpy(data, clear, size);
	assert_int_equal(protect(p->e, p->tx, data, &size, true), SRTP_OK);
	check(clear, data, size, 8);
	deliver(p, data, size, true);
}

/* ---- sending --------------------------------------------------------------
 */

/* A node dies in the middle, again and again, each time soon after the other
 * one took over; the source meanwhile does what plain sources do. */
static void crashes(struct pair *p)
{
	uint16_t seq = 65400;
	unsigned since = 0, next = 100;

	for (unsigned i = 1, crashed = 0; crashed < 10; i++) {
		seq++;
		send_rtp(p, seq);
		switch (random_below(&seed, 60)) {
		case 0: /* twice, with other contents: two forks */
			send_rtp(p, seq);
			break;
		case 1: /* late */
			send_rtp(p, (uint16_t)(seq - 30));
			break;
		case 2: /* begins again lower */
			seq = (uint16_t)(seq - random_below(&seed, 500));
			break;
		case 3:
			seq = (uint16_t)(seq + random_below(&seed, 900));
			break;
		}
		if (i % RTCP_EVERY == 0)
			send_rtcp(p);
		if (i % (PUT_EVERY / 2) == 0)
			pair_put(p);
		if (++since == next) {
			pair_crash(p);
			crashed++;
			since = 0;
			/* Some before a single put. */
			next = 1 + random_below(&seed, 90);
		}
	}
	for (unsigned i = 0; i < 200; i++)
		send_rtp(p, ++seq);
}

static void test_ten_crashes(void **state)
{
	FOR_EACH_NATIVE(e)
	{
		for (unsigned suite = 1; suite < SRTP_SUITES; suite++) {
			struct pair p;

			checker_reset();
			seed = 41 + suite;
			pair_start(&p, e, suite);
			crashes(&p);
			assert_int_equal(checker.violations, 0);
			assert_int_equal(p.deaf, 0);
			assert_true(p.delivered > 400);
			pair_end(&p);
		}
	}
}

/* A source that just goes on, no margin for RTP, state up to 32,767 packets
 * old, at ROC 0, 1 and 2, over wraps inside the gap. */
static void test_sender_goes_on(void **state)
{
	static const unsigned gaps[] = {1, 30, 200, 5000, 32767};

	FOR_EACH_NATIVE(e)
	{
		for (unsigned roc = 0; roc < 3; roc++) {
			for (unsigned g = 0; g < 5; g++) {
				uint64_t index = 65000, to;
				struct pair p;

				checker_reset();
				pair_start(&p, e, SRTP_AEAD_AES_256_GCM);
				p.margin.rtp = 0;
				to = 65500 + 65536ull * roc;
				for (; index < to; index += 9000)
					send_rtp(&p, (uint16_t)index);
				index = to;
				send_rtp(&p, (uint16_t)index);
				pair_put(&p);
				for (unsigned i = 1; i < gaps[g]; i++)
					send_rtp(&p, (uint16_t)++index);
				pair_crash(&p);
				p.refused = 0;
				p.delivered = 0;
				for (unsigned i = 0; i < 300; i++)
					send_rtp(&p, (uint16_t)++index);
				assert_int_equal(p.delivered, 300);
				assert_int_equal(p.deaf, 0);
				assert_int_equal(checker.violations, 0);
				pair_end(&p);
			}
		}
	}
}

/* Between the replicated index and the first packet anything may have been
 * sent: it is closed with that packet. */
static void test_first_packet_closes_the_gap(void **state)
{
	FOR_EACH_NATIVE(e)
	{
		struct pair p;
		uint32_t size;

		pair_start(&p, e, SRTP_AES_CM_128_HMAC_SHA1_80);
		p.margin.rtp = 0;
		send_rtp(&p, 100);
		pair_put(&p);
		for (uint16_t seq = 101; seq < 200; seq++)
			send_rtp(&p, seq);
		pair_crash(&p);
		p.refused = 0;
		send_rtp(&p, 200);
		size = (uint32_t)rtp_make(data, 77, 150, 1, 20);
		assert_int_equal(protect(e, p.tx, data, &size, false),
				 SRTP_REPEATED);
		pair_end(&p);
	}
}

/* ---- receiving ------------------------------------------------------------
 */

struct capture {
	uint32_t size;
	uint8_t data[64];
};

static void peer_sends(struct msrtp *tx, uint64_t index, struct capture *c)
{
	c->size = (uint32_t)rtp_make(data, 5, (uint16_t)index, 1, 20);
	assert_int_equal(protect(reference, tx, data, &c->size, false),
			 SRTP_OK);
	memcpy(c->data, data, c->size);
}

static enum srtp_result hears(struct msrtp_engine *e, struct msrtp *rx,
			      const struct capture *c)
{
	uint32_t size = c->size;

	memcpy(data, c->data, size);
	return unprotect(e, rx, data, &size, false);
}

/* At the index, after `gap` packets that nobody here saw. */
static void receiver_restored(struct msrtp_engine *e, unsigned suite,
			      uint64_t at, uint64_t gap)
{
	static struct capture before[400], forged, c;
	struct key_bytes key = key_of(50);
	struct msrtp *tx = context_of(reference, suite, SRTP_SEND, key.bytes);
	struct msrtp *rx = context_of(e, suite, SRTP_RECEIVE, key.bytes);
	struct msrtp_position pos;
	struct msrtp_margin none = {0};

	for (uint64_t i = 40000; i + 400 < at; i += 30000)
		peer_sends(tx, i, &c), assert_int_equal(hears(e, rx, &c), 0);
	for (unsigned i = 0; i < 400; i++) {
		peer_sends(tx, at - 399 + i, &before[i]);
		assert_int_equal(hears(e, rx, &before[i]), SRTP_OK);
	}
	assert_int_equal(msrtp_export(rx, &pos, 1), 1);
	assert_true(pos.index == at);
	msrtp_destroy(rx);
	rx = context_of(e, suite, SRTP_RECEIVE, key.bytes);
	assert_int_equal(msrtp_import(rx, &pos, 1, &none), 0);
	/* Captured before: never again. */
	for (unsigned i = 0; i < 400; i++)
		assert_int_not_equal(hears(e, rx, &before[i]), SRTP_OK);
	/* A forger does not use up the tries. */
	forged = before[399];
	forged.data[2] += 3;
	for (unsigned i = 0; i < 10; i++)
		assert_int_not_equal(hears(e, rx, &forged), SRTP_OK);
	for (uint64_t i = at + 30000; i < at + gap; i += 30000)
		peer_sends(tx, i, &c);
	peer_sends(tx, at + gap, &c);
	assert_int_equal(hears(e, rx, &c), SRTP_OK);
	assert_int_equal(hears(e, rx, &c), SRTP_REPEATED);
	peer_sends(tx, at + gap + 1, &c);
	assert_int_equal(hears(e, rx, &c), SRTP_OK);
	for (unsigned i = 0; i < 400; i++)
		assert_int_not_equal(hears(e, rx, &before[i]), SRTP_OK);
	msrtp_destroy(tx);
	msrtp_destroy(rx);
}

static void test_receiver_goes_on(void **state)
{
	/* From 32768 on the next ROC has to be tried. */
	static const uint64_t gaps[] = {1,     36,    200,   32767,
					32768, 32769, 40000, 70000};

	FOR_EACH_NATIVE(e)
	for (unsigned suite = 1; suite < SRTP_SUITES; suite += 2)
		for (unsigned roc = 0; roc < 3; roc++)
			for (unsigned g = 0; g < sizeof(gaps) / sizeof(gaps[0]);
			     g++)
				receiver_restored(e, suite,
						  65500 + 65536ull * roc,
						  gaps[g]);
}

static void test_rtcp_goes_on(void **state)
{
	struct msrtp_position at;
	struct msrtp_margin none = {0}, margin = {.rtcp = 1000};

	FOR_EACH_NATIVE(e)
	{
		struct key_bytes key = key_of(60);
		unsigned suite = SRTP_AEAD_AES_128_GCM;
		struct msrtp *tx = context_of(e, suite, SRTP_SEND, key.bytes);
		struct msrtp *rx =
			context_of(e, suite, SRTP_RECEIVE, key.bytes);
		struct msrtp *peer =
			context_of(reference, suite, SRTP_RECEIVE, key.bytes);
		struct capture c;
		uint32_t size;

		for (unsigned i = 0; i < 500; i++) {
			size = sender_report(data, 9, (uint8_t)i);
			assert_int_equal(protect(e, tx, data, &size, true), 0);
			memcpy(c.data, data, c.size = size);
			assert_int_equal(unprotect(e, rx, data, &size, true),
					 SRTP_OK);
			size = c.size;
			memcpy(data, c.data, size);
			assert_int_equal(
				unprotect(reference, peer, data, &size, true),
				SRTP_OK);
		}
		assert_int_equal(msrtp_export(tx, &at, 1), 1);
		assert_int_equal(at.rtcp_index, 500);
		assert_false(at.rtp);
		msrtp_destroy(tx);
		msrtp_destroy(rx);
		rx = context_of(e, suite, SRTP_RECEIVE, key.bytes);
		tx = context_of(e, suite, SRTP_SEND, key.bytes);
		assert_int_equal(msrtp_import(rx, &at, 1, &none), 0);
		assert_int_equal(msrtp_import(tx, &at, 1, &margin), 0);
		assert_int_equal(msrtp_export(tx, &at, 1), 1);
		assert_int_equal(at.rtcp_index, 1500);
		/* The last one again, then a new one. */
		size = c.size;
		memcpy(data, c.data, size);
		assert_int_equal(unprotect(e, rx, data, &size, true),
				 SRTP_REPEATED);
		size = sender_report(data, 9, 1);
		assert_int_equal(protect(e, tx, data, &size, true), SRTP_OK);
		memcpy(c.data, data, c.size = size);
		assert_int_equal(unprotect(e, rx, data, &size, true), SRTP_OK);
		size = c.size;
		memcpy(data, c.data, size);
		assert_int_equal(unprotect(reference, peer, data, &size, true),
				 SRTP_OK);
		msrtp_destroy(tx);
		msrtp_destroy(rx);
		msrtp_destroy(peer);
	}
}

static void test_bad_positions(void **state)
{
	struct msrtp_position at[2] = {{.ssrc = 1, .rtp = true}, {.ssrc = 2}};
	struct msrtp_margin margin = {0};
	struct key_bytes key = key_of(70);

	for (unsigned each = 0; each < engines_len; each++) {
		struct msrtp_engine *e = engines[each];
		struct msrtp *s = context_of(e, SRTP_AEAD_AES_128_GCM,
					     SRTP_SEND, key.bytes);

		if (is_reference(e)) {
			assert_int_equal(msrtp_import(s, at, 2, &margin),
					 -ENOTSUP);
			msrtp_destroy(s);
			continue;
		}
		at[1].ssrc = 1;
		assert_int_equal(msrtp_import(s, at, 2, &margin), -EINVAL);
		at[1].ssrc = 2;
		at[1].index = 1ull << 48;
		assert_int_equal(msrtp_import(s, at, 2, &margin), -EINVAL);
		at[1].index = 0;
		at[1].rtcp_index = 1u << 31;
		assert_int_equal(msrtp_import(s, at, 2, &margin), -EINVAL);
		at[1].rtcp_index = 0;
		margin.rtp = 32768;
		assert_int_equal(msrtp_import(s, at, 2, &margin), -EINVAL);
		margin.rtp = 0;
		assert_int_equal(msrtp_import(s, at, 2, &margin), 0);
		msrtp_destroy(s);
	}
}

static int setup(void **state)
{
	engines_len = engines_all(engines, 4);
	reference = engine_of("libsrtp2");
	return 0;
}

static int teardown(void **state)
{
	for (unsigned i = 0; i < engines_len; i++)
		msrtp_engine_destroy(engines[i]);
	msrtp_engine_destroy(reference);
	return 0;
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_ten_crashes),
		cmocka_unit_test(test_sender_goes_on),
		cmocka_unit_test(test_first_packet_closes_the_gap),
		cmocka_unit_test(test_receiver_goes_on),
		cmocka_unit_test(test_rtcp_goes_on),
		cmocka_unit_test(test_bad_positions),
	};

	return cmocka_run_group_tests(tests, setup, teardown);
}
