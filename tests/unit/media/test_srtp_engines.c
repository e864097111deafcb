/*
 * Every engine side by side over random packets: each protects to the same
 * bytes, and each unprotects, or refuses, what the others protected. Several
 * sessions in one burst, with all suites, session parameters and MKIs; the
 * network loses, reorders, repeats and damages packets; sources jump, wrap,
 * repeat themselves and change their SSRC.
 *
 * SBC_SRTP_PACKETS and SBC_SRTP_SEED make it longer or other.
 */
#include "srtp_test.h"

enum {
	ENGINES_MAX = 4,
	SESSIONS = 6,
	SOURCES = 3, /* SSRCs of a session at a time */
	MEMORY = 200, /* protected packets a session may see again */
	BURST = 64,
	LIFE = 4000, /* packets, until a session gets other parameters */
	PAYLOAD_MAX = 300,
	CLEAR_MAX = 12 + 15 * 4 + 8 * 4 + PAYLOAD_MAX,
	SECRET_MAX = CLEAR_MAX + SRTP_TRAILER_MAX,
};

struct source {
	uint32_t ssrc;
	uint64_t index;
};

struct sent {
	uint32_t size, clear_size;
	bool rtcp;
	uint8_t data[SECRET_MAX], clear[CLEAR_MAX];
};

struct session {
	struct msrtp *tx[ENGINES_MAX], *rx[ENGINES_MAX];
	struct msrtp_params params;
	struct source sources[SOURCES];
	struct sent sent[MEMORY];
	unsigned sent_len; /* ever; the last MEMORY are there */
	unsigned left;
	unsigned ssrcs;
};

static struct msrtp_engine *engines[ENGINES_MAX];
static unsigned engines_len;
static struct session sessions[SESSIONS];
static uint8_t data[ENGINES_MAX][BURST][PACKET_ROOM];
static struct msrtp_packet packets[ENGINES_MAX][BURST];
static uint64_t seed = 1;
static struct {
	unsigned sent, received, results[SRTP_RESULTS], with_reference;
	unsigned suites[SRTP_SUITES];
} seen;

static unsigned below(unsigned n)
{
	return random_below(&seed, n);
}

static void session_end(struct session *s)
{
	for (unsigned i = 0; i < engines_len; i++) {
		msrtp_destroy(s->tx[i]);
		msrtp_destroy(s->rx[i]);
	}
	memset(s, 0, sizeof(*s));
}

static void source_new(struct session *s, struct source *src)
{
	/* Not more than the engines hold; soon over a wrap. */
	if (s->ssrcs == SRTP_STREAMS_MAX)
		return;
	s->ssrcs++;
	src->ssrc = (uint32_t)random_u64(&seed);
	src->index = below(2) ? below(65536) : 65400 + below(136);
}

static void session_start(struct session *s)
{
	uint8_t key[SRTP_KEY_SIZE_MAX];
	struct msrtp_params *p = &s->params;

	random_bytes(&seed, key, sizeof(key));
	p->suite = (uint8_t)(1 + below(SRTP_SUITES - 1));
	p->key = key;
	p->key_size = msrtp_suite_key_size(p->suite);
	if (!below(3))
		p->flags = (uint8_t)below(8);
	if (msrtp_suite_is_aead(p->suite))
		p->flags &= SRTP_UNENCRYPTED_SRTCP;
	if (!below(3)) {
		p->mki_size = (uint8_t)(1 + below(below(2) ? 4 : 128));
		p->mki = random_u64(&seed);
		if (p->mki_size < 8)
			p->mki &= ((uint64_t)1 << 8 * p->mki_size) - 1;
	}
	for (unsigned i = 0; i < engines_len; i++) {
		int err;

		p->direction = SRTP_SEND;
		err = msrtp_create(&s->tx[i], engines[i], p);
		if (err == -ENOTSUP && is_reference(engines[i]) && p->mki_size)
			continue;
		assert_int_equal(err, 0);
		p->direction = SRTP_RECEIVE;
		assert_int_equal(msrtp_create(&s->rx[i], engines[i], p), 0);
	}
	for (unsigned i = 0; i < SOURCES; i++)
		source_new(s, &s->sources[i]);
	s->left = LIFE / 2 + below(LIFE);
	seen.suites[p->suite]++;
}

/* RTP with CSRCs and an extension now and then. */
static uint32_t clear_rtp(uint8_t *out, struct source *src)
{
	unsigned csrcs = below(8) ? 0 : below(16);
	unsigned words = below(8) ? 0 : below(8);
	size_t at = RTP_HEADER_BYTES;
	uint64_t index;

	switch (below(20)) {
	case 0:
		src->index += below(2000);
		break;
	case 1:
		src->index += below(32000); /* wraps often */
		break;
	default:
		src->index++;
	}
	/* Late, or once more: what a sender must refuse or fill. */
	index = src->index;
	if (!below(10) && index > 150)
		index -= below(150);
	rtp_make(out, src->ssrc, (uint16_t)index, (uint32_t)index * 160, 0);
	out[0] |= (uint8_t)csrcs;
	random_bytes(&seed, out + at, 4 * csrcs);
	at += 4 * csrcs;
	if (words) {
		out[0] |= 0x10;
		random_bytes(&seed, out + at, 4 + 4 * words);
		out[at + 2] = 0;
		out[at + 3] = (uint8_t)words;
		at += 4 + 4 * words;
	}
	words = below(50) ? 1 + below(PAYLOAD_MAX) : 0;
	random_bytes(&seed, out + at, words);
	return (uint32_t)(at + words);
}

static uint32_t clear_rtcp(uint8_t *out, const struct source *src)
{
	uint32_t size = 8 + 4 * below(30);

	sender_report(out, src->ssrc, 0);
	random_bytes(&seed, out + 8, size - 8);
	return size;
}

/* Does the engine answer as the first one must? */
static bool takes_part(const struct session *s, unsigned engine, bool receiving)
{
	if (!s->tx[engine])
		return false;
	/* The reference moves the ROC on one unauthenticated packet. */
	return !receiving || !is_reference(engines[engine]) ||
	       !(s->params.flags & SRTP_UNAUTHENTICATED_SRTP);
}

static void same(const struct session *s, unsigned engine,
		 const struct msrtp_packet *a, const struct msrtp_packet *b,
		 bool named)
{
	/* What is refused is the same. The name of the reason may differ in a
	 * burst, where a tag may be looked at before the window moved, and
	 * where damage makes a second reason. */
	bool equal = named ? a->result == b->result : !a->result == !b->result;

	if (!equal)
		print_error("suite %u flags %u mki %u rtcp %u seq %02x%02x: "
			    "%s says %s, %s says %s\n",
			    s->params.suite, s->params.flags,
			    s->params.mki_size, a->rtcp, a->data[2], a->data[3],
			    msrtp_engine_name(engines[0]),
			    msrtp_result_name(a->result),
			    msrtp_engine_name(engines[engine]),
			    msrtp_result_name(b->result));
	assert_true(equal);
	if (a->result != SRTP_OK)
		return;
	assert_int_equal(a->size, b->size);
	assert_memory_equal(a->data, b->data, a->size);
}

static void compare(struct session *const owner[], const bool damaged[],
		    unsigned n, bool receiving)
{
	for (unsigned i = 0; i < n; i++) {
		seen.results[packets[0][i].result]++;
		for (unsigned k = 1; k < engines_len; k++) {
			if (!takes_part(owner[i], k, receiving))
				continue;
			same(owner[i], k, &packets[0][i], &packets[k][i],
			     !receiving || (n == 1 && !damaged[i]));
			seen.with_reference += is_reference(engines[k]);
		}
	}
}

/* An engine that cannot do a session's parameters has no context there. */
static void run(unsigned n, bool receiving)
{
	for (unsigned k = 0; k < engines_len; k++) {
		for (unsigned i = 0, from = 0; i <= n; i++) {
			if (i < n && packets[k][i].context)
				continue;
			if (receiving)
				msrtp_unprotect(engines[k], &packets[k][from],
						i - from, 0);
			else
				msrtp_protect(engines[k], &packets[k][from],
					      i - from);
			from = i + 1;
		}
	}
}

static void packet_set(unsigned engine, unsigned n, struct msrtp *context,
		       const uint8_t *bytes, uint32_t size, bool rtcp)
{
	memcpy(data[engine][n], bytes, size);
	packets[engine][n] = (struct msrtp_packet){
		.context = context,
		.data = data[engine][n],
		.size = size,
		/* No byte more than is said to be enough. */
		.room = size +
			(context ? (uint32_t)msrtp_overhead(context, rtcp) : 0),
		.rtcp = rtcp,
		.result = SRTP_RESULTS,
	};
}

static void burst_out(void)
{
	static uint8_t clear[BURST][CLEAR_MAX];
	struct session *owner[BURST];
	uint32_t sizes[BURST];
	unsigned n = below(4) ? 1 + below(BURST) : 1;

	for (unsigned i = 0; i < n; i++) {
		struct session *s = &sessions[below(SESSIONS)];
		struct source *src = &s->sources[below(SOURCES)];
		bool rtcp = !below(10);

		if (!below(300))
			source_new(s, src);
		sizes[i] = rtcp ? clear_rtcp(clear[i], src)
				: clear_rtp(clear[i], src);
		owner[i] = s;
		for (unsigned k = 0; k < engines_len; k++)
			packet_set(k, i, s->tx[k], clear[i], sizes[i], rtcp);
	}
	run(n, false);
	compare(owner, NULL, n, false);
	for (unsigned i = 0; i < n; i++) {
		const struct msrtp_packet *p = &packets[0][i];
		struct session *s = owner[i];
		struct sent *t = &s->sent[s->sent_len % MEMORY];

		if (p->result != SRTP_OK)
			continue;
		assert_true(p->size <= sizeof(t->data));
		t->size = p->size;
		t->clear_size = sizes[i];
		t->rtcp = p->rtcp;
		memcpy(t->data, p->data, p->size);
		memcpy(t->clear, clear[i], sizes[i]);
		s->sent_len++;
		seen.sent++;
	}
}

/* Mostly the last ones, somewhat mixed; now and then one from long ago. */
static const struct sent *pick(const struct session *s)
{
	unsigned have = s->sent_len < MEMORY ? s->sent_len : MEMORY;
	unsigned back = below(6) ? below(20) : below(MEMORY);

	if (back >= have)
		back = have - 1;
	return &s->sent[(s->sent_len - 1 - back) % MEMORY];
}

static void burst_in(void)
{
	static const struct sent *from[BURST];
	static bool damaged[BURST];
	struct session *owner[BURST];
	unsigned n = 0, want = below(4) ? 1 + below(BURST) : 1;

	for (unsigned i = 0; i < want; i++) {
		struct session *s = &sessions[below(SESSIONS)];
		uint8_t bytes[SECRET_MAX];

		if (!s->sent_len)
			continue;
		from[n] = pick(s);
		owner[n] = s;
		memcpy(bytes, from[n]->data, from[n]->size);
		damaged[n] = !below(15);
		if (damaged[n])
			bytes[below(from[n]->size)] ^= (uint8_t)(1 << below(8));
		for (unsigned k = 0; k < engines_len; k++)
			packet_set(k, n, s->rx[k], bytes, from[n]->size,
				   from[n]->rtcp);
		n++;
	}
	run(n, true);
	compare(owner, damaged, n, true);
	for (unsigned i = 0; i < n; i++) {
		const struct msrtp_packet *p = &packets[0][i];

		if (p->result != SRTP_OK)
			continue;
		seen.received++;
		/* A damaged one passes only where nothing authenticates. */
		if (damaged[i]) {
			assert_true(owner[i]->params.flags &
				    SRTP_UNAUTHENTICATED_SRTP);
			continue;
		}
		if (owner[i]->params.flags & SRTP_UNAUTHENTICATED_SRTP)
			continue; /* a damaged one may have moved the ROC */
		assert_int_equal(p->size, from[i]->clear_size);
		assert_memory_equal(p->data, from[i]->clear, p->size);
	}
}

static void test_side_by_side(void **state)
{
	const char *n = getenv("SBC_SRTP_PACKETS");
	const char *from = getenv("SBC_SRTP_SEED");
	unsigned want = n ? (unsigned)strtoul(n, NULL, 10) : 100000;

	seed = from ? strtoull(from, NULL, 10) : 20261123;
	print_message("seed %llu, %u packets, %u engines\n",
		      (unsigned long long)seed, want, engines_len);
	while (seen.sent < want) {
		for (unsigned i = 0; i < SESSIONS; i++) {
			struct session *s = &sessions[i];

			if (s->left && s->left > BURST) {
				s->left -= BURST / SESSIONS;
				continue;
			}
			session_end(s);
			session_start(s);
		}
		burst_out();
		burst_in();
	}
	for (unsigned r = 0; r < SRTP_RESULTS; r++)
		print_message("  %-14s %u\n", msrtp_result_name(r),
			      seen.results[r]);
	/* It was a test of everything it is said to be one of. */
	assert_true(seen.received > want / 4);
	assert_true(seen.with_reference > want);
	for (unsigned i = 1; i < SRTP_SUITES; i++)
		assert_true(seen.suites[i] > 0);
	assert_true(seen.results[SRTP_BAD_TAG] > want / 100);
	assert_true(seen.results[SRTP_BAD_MKI] > want / 10000);
	assert_true(seen.results[SRTP_REPEATED] > want / 100);
	assert_true(seen.results[SRTP_TOO_OLD] > want / 1000);
}

static int setup(void **state)
{
	engines_len = engines_all(engines, ENGINES_MAX);
	return 0;
}

static int teardown(void **state)
{
	for (unsigned i = 0; i < SESSIONS; i++)
		session_end(&sessions[i]);
	for (unsigned i = 0; i < engines_len; i++)
		msrtp_engine_destroy(engines[i]);
	return 0;
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_side_by_side),
	};

	return cmocka_run_group_tests(tests, setup, teardown);
}
