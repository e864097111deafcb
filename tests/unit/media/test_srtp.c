/* One context at a time: windows, bounds, re-keying, memory. */
#include <fcntl.h>

#include "srtp_test.h"

#include "sbcd/media/srtp_key.h"
#include "sbcd/media/srtp_memory.h"

enum { CM = SRTP_AES_CM_128_HMAC_SHA1_80, GCM = SRTP_AEAD_AES_128_GCM };

static struct msrtp_engine *engines[4];
static unsigned engines_len;
static uint8_t data[PACKET_ROOM];

#define FOR_EACH_ENGINE(e)                                                     \
	for (unsigned each = 0; each < engines_len; each++)                    \
		for (struct msrtp_engine *e = engines[each]; e; e = NULL)

/* Engines of ours: the reference has no restore and no change of suite. */
#define FOR_EACH_NATIVE(e) FOR_EACH_ENGINE(e) if (!is_reference(e))

static enum srtp_result send_rtp(struct msrtp_engine *e, struct msrtp *s,
				 uint32_t ssrc, uint16_t seq, uint8_t payload,
				 uint32_t *size)
{
	*size = (uint32_t)rtp_make(data, ssrc, seq, seq, 20);
	memset(data + 12, payload, 20);
	return protect(e, s, data, size, false);
}

static enum srtp_result send_only(struct msrtp_engine *e, struct msrtp *s,
				  uint32_t ssrc, uint16_t seq)
{
	uint32_t size;

	return send_rtp(e, s, ssrc, seq, (uint8_t)seq, &size);
}

/* Through a sender that forgets nothing and a receiver. */
static enum srtp_result pass(struct msrtp_engine *e, struct msrtp *tx,
			     struct msrtp *rx, uint16_t seq, uint64_t now_ns)
{
	uint32_t size;

	assert_int_equal(send_rtp(e, tx, 1, seq, (uint8_t)seq, &size), SRTP_OK);
	return unprotect_at(e, rx, data, &size, false, now_ns);
}

static struct msrtp_params params_of(unsigned suite, unsigned direction,
				     const struct key_bytes *key)
{
	return (struct msrtp_params){
		.suite = (uint8_t)suite,
		.direction = (uint8_t)direction,
		.key = key->bytes,
		.key_size = msrtp_suite_key_size(suite),
	};
}

static void test_parameters(void **state)
{
	struct key_bytes key = key_of(7);

	FOR_EACH_ENGINE(e)
	{
		for (unsigned suite = 0; suite <= SRTP_SUITES; suite++) {
			for (unsigned size = 0; size <= 48; size++) {
				struct msrtp_params p =
					params_of(suite, SRTP_SEND, &key);
				bool right = size && size == p.key_size;
				struct msrtp *s = NULL;

				p.key_size = size;
				assert_int_equal(msrtp_create(&s, e, &p),
						 right ? 0 : -EINVAL);
				msrtp_destroy(s);
			}
		}
		for (unsigned flags = 0; flags < 16; flags++) {
			struct msrtp_params p = params_of(GCM, 0, &key);
			struct msrtp *s = NULL;

			p.flags = (uint8_t)flags;
			assert_int_equal(msrtp_create(&s, e, &p),
					 flags & ~2u ? -EINVAL : 0);
			msrtp_destroy(s);
		}
		/* An MKI that does not fit into its bytes. */
		for (unsigned size = 0; size < 4; size++) {
			struct msrtp_params p = params_of(CM, 0, &key);
			struct msrtp *s = NULL;

			p.mki_size = (uint8_t)size;
			p.mki = 0x1234;
			assert_int_equal(msrtp_create(&s, e, &p),
					 size < 2 ? -EINVAL : 0);
			msrtp_destroy(s);
		}
	}
	assert_int_equal(msrtp_suite_key_size(SRTP_AES_CM_128_HMAC_SHA1_32),
			 30);
	assert_int_equal(msrtp_suite_key_size(SRTP_AES_256_CM_HMAC_SHA1_80),
			 46);
	assert_int_equal(msrtp_suite_key_size(SRTP_AEAD_AES_128_GCM), 28);
	assert_int_equal(msrtp_suite_key_size(SRTP_AEAD_AES_256_GCM), 44);
}

static void test_engine_names(void **state)
{
	struct msrtp_engine *e = NULL;

	assert_int_equal(msrtp_engine_create(&e, "none"), -ENOENT);
	assert_int_equal(msrtp_engine_create(&e, NULL), 0);
	assert_string_not_equal(msrtp_engine_name(e), "libsrtp2");
	msrtp_engine_destroy(e);
	for (unsigned r = 0; r < SRTP_RESULTS; r++)
		assert_non_null(msrtp_result_name(r));
}

/* What the plain side may do must not encrypt an index twice. */
static void test_transmit_window(void **state)
{
	struct key_bytes key = key_of(1);

	FOR_EACH_ENGINE(e)
	{
		struct msrtp *s = context_of(e, CM, SRTP_SEND, key.bytes);
		uint64_t before = msrtp_engine_count(e, SRTP_REPEATED);

		assert_int_equal(send_only(e, s, 1, 1000), SRTP_OK);
		/* A duplicate, or another fork with this SSRC. */
		assert_int_equal(send_only(e, s, 1, 1000), SRTP_REPEATED);
		assert_int_equal(send_only(e, s, 1, 1002), SRTP_OK);
		/* Late, but not there yet: once. */
		assert_int_equal(send_only(e, s, 1, 1001), SRTP_OK);
		assert_int_equal(send_only(e, s, 1, 1001), SRTP_REPEATED);
		/* The source begins lower after it was on hold. */
		assert_int_equal(send_only(e, s, 1, 700), SRTP_TOO_OLD);
		assert_int_equal(send_only(e, s, 1, 1002 - 128), SRTP_TOO_OLD);
		assert_int_equal(send_only(e, s, 1, 1002 - 127), SRTP_OK);
		/* Another SSRC is another key stream. */
		assert_int_equal(send_only(e, s, 2, 700), SRTP_OK);
		assert_int_equal(msrtp_engine_count(e, SRTP_REPEATED),
				 before + 2);
		/* Forged far ahead, then the wrap, then as before. */
		assert_int_equal(send_only(e, s, 1, 33000), SRTP_OK);
		assert_int_equal(send_only(e, s, 1, 65535), SRTP_OK);
		assert_int_equal(send_only(e, s, 1, 5), SRTP_OK);
		assert_int_equal(send_only(e, s, 1, 65535), SRTP_REPEATED);
		msrtp_destroy(s);
	}
}

static void test_room_and_size(void **state)
{
	struct key_bytes key = key_of(2);

	FOR_EACH_ENGINE(e)
	{
		struct msrtp *s = context_of(e, CM, SRTP_SEND, key.bytes);
		struct msrtp_packet p = {.context = s, .data = data};

		rtp_make(data, 1, 1, 1, 20);
		p.size = 32;
		p.room = 41;
		msrtp_protect(e, &p, 1);
		assert_int_equal(p.result, SRTP_NO_ROOM);
		/* That took no index. */
		p.room = 42;
		msrtp_protect(e, &p, 1);
		assert_int_equal(p.result, SRTP_OK);
		assert_int_equal(p.size, 42);
		memset(data, 0, sizeof(data));
		rtp_make(data, 1, 2, 1, SRTP_PACKET_SIZE_MAX - 21);
		p.size = SRTP_PACKET_SIZE_MAX - 9;
		p.room = sizeof(data);
		msrtp_protect(e, &p, 1);
		assert_int_equal(p.result, SRTP_MALFORMED);
		p.size = SRTP_PACKET_SIZE_MAX - 10;
		msrtp_protect(e, &p, 1);
		assert_int_equal(p.result, SRTP_OK);
		msrtp_destroy(s);
	}
}

static void test_short_packets(void **state)
{
	struct key_bytes key = key_of(2);

	FOR_EACH_ENGINE(e)
	{
		for (unsigned suite = 1; suite < SRTP_SUITES; suite++) {
			struct msrtp *s =
				context_of(e, suite, SRTP_RECEIVE, key.bytes);

			for (uint32_t n = 0; n < 60; n++) {
				for (unsigned rtcp = 0; rtcp < 2; rtcp++) {
					uint8_t *copy = malloc(n + 1);
					uint32_t size = n;

					memset(copy, 0xff, n + 1);
					copy[0] = 0x80;
					assert_int_not_equal(
						unprotect(e, s, copy, &size,
							  rtcp),
						SRTP_OK);
					free(copy);
				}
			}
			msrtp_destroy(s);
		}
	}
}

static void test_many_streams(void **state)
{
	struct key_bytes key = key_of(3);

	FOR_EACH_ENGINE(e)
	{
		struct msrtp *tx = context_of(e, GCM, SRTP_SEND, key.bytes);
		struct msrtp *rx = context_of(e, GCM, SRTP_RECEIVE, key.bytes);
		struct msrtp_position at[SRTP_STREAMS_MAX + 1];
		uint32_t size;

		for (uint32_t i = 0; i < SRTP_STREAMS_MAX; i++) {
			assert_int_equal(send_rtp(e, tx, i, 9, 9, &size),
					 SRTP_OK);
			assert_int_equal(unprotect(e, rx, data, &size, false),
					 SRTP_OK);
		}
		assert_int_equal(send_only(e, tx, 5000, 1), SRTP_MANY_STREAMS);
		/* Those that are known go on. */
		assert_int_equal(send_rtp(e, tx, 63, 10, 9, &size), SRTP_OK);
		assert_int_equal(unprotect(e, rx, data, &size, false), SRTP_OK);
		assert_int_equal(msrtp_export(rx, at, SRTP_STREAMS_MAX + 1),
				 SRTP_STREAMS_MAX);
		assert_int_equal(at[63].ssrc, 63);
		assert_int_equal(at[63].index, 10);
		assert_int_equal(msrtp_export(rx, at, 2), 2);
		msrtp_destroy(tx);
		msrtp_destroy(rx);
	}
}

/* A forged packet begins no stream and takes no place. */
static void test_forged_streams(void **state)
{
	struct key_bytes key = key_of(3);
	struct msrtp_position at[4];

	FOR_EACH_ENGINE(e)
	{
		struct msrtp *rx = context_of(e, CM, SRTP_RECEIVE, key.bytes);

		for (uint32_t i = 0; i < 200; i++) {
			uint32_t size = (uint32_t)rtp_make(data, i, 9, 9, 30);

			assert_int_equal(unprotect(e, rx, data, &size, false),
					 SRTP_BAD_TAG);
		}
		assert_int_equal(msrtp_export(rx, at, 4), 0);
		msrtp_destroy(rx);
	}
}

/* Protected one by one, received as one burst with forged ones between. */
static void test_burst_is_a_sequence(void **state)
{
	static const int seqs[] = {65534, 65535, -1, 0,	    1,	 1,
				   65535, 30000, -1, 60000, 200, 30000};
	enum { N = sizeof(seqs) / sizeof(seqs[0]) };
	static uint8_t bytes[N][PACKET_ROOM];
	struct key_bytes key = key_of(4);

	FOR_EACH_ENGINE(e)
	{
		struct msrtp *tx = context_of(e, GCM, SRTP_SEND, key.bytes);
		struct msrtp *rx = context_of(e, GCM, SRTP_RECEIVE, key.bytes);
		struct msrtp_packet p[N];
		bool first[N];

		for (unsigned i = 0; i < N; i++) {
			uint32_t size;

			first[i] = false;
			if (seqs[i] < 0) {
				/* Would lead the guess astray. */
				size = (uint32_t)rtp_make(bytes[i], 1, 32767, 0,
							  40);
			} else if (send_rtp(e, tx, 1, (uint16_t)seqs[i],
					    (uint8_t)i, &size) == SRTP_OK) {
				memcpy(bytes[i], data, size);
				first[i] = true;
			} else {
				/* Repeated: as it was protected before. */
				unsigned k = 0;

				while (seqs[k] != seqs[i])
					k++;
				memcpy(bytes[i], bytes[k], 48);
				size = 48;
			}
			p[i] = (struct msrtp_packet){.context = rx,
						     .data = bytes[i],
						     .size = size,
						     .room = PACKET_ROOM};
		}
		msrtp_unprotect(e, p, N, 0);
		for (unsigned i = 0; i < N; i++)
			assert_int_equal(p[i].result == SRTP_OK, first[i]);
		assert_true(first[N - 1]); /* two ROCs on */
		msrtp_destroy(tx);
		msrtp_destroy(rx);
	}
}

/* Re-offers with the same key and salt: what was there stays refused. */
static void test_same_key_keeps_the_window(void **state)
{
	struct key_bytes key = key_of(5);

	FOR_EACH_ENGINE(e)
	{
		struct msrtp_params p = params_of(CM, SRTP_SEND, &key);
		struct msrtp *tx = context_of(e, CM, SRTP_SEND, key.bytes);
		uint32_t size;

		assert_int_equal(send_only(e, tx, 1, 10), SRTP_OK);
		assert_int_equal(msrtp_rekey(tx, e, &p, false, 0), 0);
		assert_int_equal(send_only(e, tx, 1, 10), SRTP_REPEATED);
		/* Another suite over the same key stream. */
		p.suite = SRTP_AES_CM_128_HMAC_SHA1_32;
		p.mki = 1;
		p.mki_size = 4;
		if (is_reference(e)) {
			assert_int_equal(msrtp_rekey(tx, e, &p, false, 0),
					 -ENOTSUP);
		} else {
			assert_int_equal(msrtp_rekey(tx, e, &p, false, 0), 0);
			assert_int_equal(send_only(e, tx, 1, 10),
					 SRTP_REPEATED);
			assert_int_equal(send_rtp(e, tx, 1, 11, 1, &size),
					 SRTP_OK);
			assert_int_equal(size, 32 + 4 + 4);
		}
		msrtp_destroy(tx);
	}
}

/* An offer that is refused takes the new key back. */
static void test_sender_goes_back(void **state)
{
	struct key_bytes a = key_of(6), b = key_of(99);

	FOR_EACH_ENGINE(e)
	{
		struct msrtp *tx = context_of(e, GCM, SRTP_SEND, a.bytes);
		struct msrtp_params p = params_of(GCM, SRTP_SEND, &b);

		assert_int_equal(send_only(e, tx, 1, 10), SRTP_OK);
		assert_int_equal(msrtp_rekey(tx, e, &p, false, 0), 1);
		assert_int_equal(send_only(e, tx, 1, 10), SRTP_OK);
		p.key = a.bytes;
		assert_int_equal(msrtp_rekey(tx, e, &p, false, 0), 1);
		assert_int_equal(send_only(e, tx, 1, 10), SRTP_REPEATED);
		p.key = b.bytes;
		assert_int_equal(msrtp_rekey(tx, e, &p, false, 0), 1);
		assert_int_equal(send_only(e, tx, 1, 10), SRTP_REPEATED);
		assert_int_equal(send_only(e, tx, 1, 11), SRTP_OK);
		msrtp_destroy(tx);
	}
}

static void test_old_key_lives_on(void **state)
{
	struct key_bytes a = key_of(6), b = key_of(99);
	const uint64_t limit = SRTP_OLD_KEY_MS * 1000000ull;

	FOR_EACH_ENGINE(e)
	{
		struct msrtp_params p = params_of(GCM, SRTP_RECEIVE, &b);
		struct msrtp *tx_a = context_of(e, GCM, SRTP_SEND, a.bytes);
		struct msrtp *tx_b = context_of(e, GCM, SRTP_SEND, b.bytes);
		struct msrtp *rx = context_of(e, GCM, SRTP_RECEIVE, a.bytes);

		assert_int_equal(pass(e, tx_a, rx, 1, 0), SRTP_OK);
		assert_int_equal(msrtp_rekey(rx, e, &p, false, 1000), 1);
		assert_int_equal(pass(e, tx_a, rx, 2, 1000), SRTP_OK);
		assert_int_equal(pass(e, tx_a, rx, 3, limit + 999), SRTP_OK);
		/* Its window is at work, too. */
		assert_int_equal(pass(e, tx_a, rx, 4, limit + 999), SRTP_OK);
		assert_int_equal(pass(e, tx_a, rx, 5, limit + 1000),
				 SRTP_BAD_TAG);
		assert_int_equal(pass(e, tx_b, rx, 6, limit + 1000), SRTP_OK);
		msrtp_destroy(rx);

		/* The first packet under the new key ends the old one. */
		rx = context_of(e, GCM, SRTP_RECEIVE, a.bytes);
		assert_int_equal(msrtp_rekey(rx, e, &p, false, 1000), 1);
		assert_int_equal(pass(e, tx_b, rx, 7, 1000), SRTP_OK);
		assert_int_equal(pass(e, tx_a, rx, 8, 1000), SRTP_BAD_TAG);
		msrtp_destroy(rx);

		/* Back to the key before: it knows its packets. */
		rx = context_of(e, GCM, SRTP_RECEIVE, a.bytes);
		assert_int_equal(pass(e, tx_a, rx, 20, 0), SRTP_OK);
		{
			uint8_t copy[PACKET_ROOM];
			struct msrtp_params back =
				params_of(GCM, SRTP_RECEIVE, &a);
			uint32_t size;

			send_rtp(e, tx_a, 1, 21, 1, &size);
			memcpy(copy, data, size);
			assert_int_equal(unprotect(e, rx, data, &size, false),
					 SRTP_OK);
			assert_int_equal(msrtp_rekey(rx, e, &p, false, 0), 1);
			assert_int_equal(msrtp_rekey(rx, e, &back, false, 0),
					 1);
			size = 48;
			assert_int_equal(unprotect(e, rx, copy, &size, false),
					 SRTP_REPEATED);
			assert_int_equal(pass(e, tx_b, rx, 22, 0), SRTP_OK);
		}
		msrtp_destroy(rx);
		msrtp_destroy(tx_a);
		msrtp_destroy(tx_b);
	}
}

static void test_rekey_keeps_the_roc(void **state)
{
	struct key_bytes a = key_of(6), b = key_of(99), c = key_of(150);

	FOR_EACH_NATIVE(e)
	{
		struct msrtp_params p = params_of(CM, SRTP_RECEIVE, &b);
		struct msrtp *tx = context_of(e, CM, SRTP_SEND, a.bytes);
		struct msrtp *rx = context_of(e, CM, SRTP_RECEIVE, a.bytes);
		struct msrtp_position at;

		for (unsigned seq = 0; seq < 200000; seq += 20000)
			assert_int_equal(pass(e, tx, rx, (uint16_t)seq, 0),
					 SRTP_OK);
		assert_int_equal(msrtp_rekey(rx, e, &p, true, 0), 1);
		p.direction = SRTP_SEND;
		assert_int_equal(msrtp_rekey(tx, e, &p, true, 0), 1);
		assert_int_equal(pass(e, tx, rx, (uint16_t)180001, 0), SRTP_OK);
		assert_int_equal(msrtp_export(tx, &at, 1), 1);
		assert_true(at.index == 180001);
		/* Both begin again, as agents do that count per key. */
		p.key = c.bytes;
		assert_int_equal(msrtp_rekey(tx, e, &p, false, 0), 1);
		p.direction = SRTP_RECEIVE;
		assert_int_equal(msrtp_rekey(rx, e, &p, false, 0), 1);
		assert_int_equal(pass(e, tx, rx, 7, 0), SRTP_OK);
		assert_int_equal(msrtp_export(rx, &at, 1), 1);
		assert_true(at.index == 7);
		msrtp_destroy(tx);
		msrtp_destroy(rx);
	}
}

/* Without authentication one packet must not move the ROC. */
static void test_unauthenticated_roc(void **state)
{
	struct key_bytes key = key_of(8);

	FOR_EACH_NATIVE(e)
	{
		struct msrtp_params p = params_of(CM, SRTP_SEND, &key);
		struct msrtp *tx = NULL, *rx = NULL;
		struct msrtp_position at;
		uint32_t size;

		p.flags = SRTP_UNAUTHENTICATED_SRTP;
		assert_int_equal(msrtp_create(&tx, e, &p), 0);
		p.direction = SRTP_RECEIVE;
		assert_int_equal(msrtp_create(&rx, e, &p), 0);
		assert_int_equal(pass(e, tx, rx, 40000, 0), SRTP_OK);
		/* Forged: looks like the next ROC. */
		size = (uint32_t)rtp_make(data, 1, 100, 1, 20);
		assert_int_equal(unprotect(e, rx, data, &size, false), SRTP_OK);
		assert_int_equal(send_rtp(e, tx, 1, 40001, 0x55, &size),
				 SRTP_OK);
		assert_int_equal(unprotect(e, rx, data, &size, false), SRTP_OK);
		assert_int_equal(data[12], 0x55);
		/* Two in a row do move it, and none of them is lost. */
		for (unsigned seq = 65530; seq < 65550; seq++) {
			assert_int_equal(
				send_rtp(e, tx, 1, (uint16_t)seq, 0x66, &size),
				SRTP_OK);
			assert_int_equal(unprotect(e, rx, data, &size, false),
					 SRTP_OK);
			assert_int_equal(data[31], 0x66);
		}
		assert_int_equal(msrtp_export(rx, &at, 1), 1);
		assert_true(at.index == 65549);
		msrtp_destroy(tx);
		msrtp_destroy(rx);
	}
}

static void test_exhausted(void **state)
{
	struct key_bytes key = key_of(8);
	struct msrtp_position at = {.ssrc = 1,
				    .rtp = true,
				    .index = 0xfffffffffff0,
				    .rtcp_index = 0x7ffffffd};
	struct msrtp_margin none = {0};

	FOR_EACH_NATIVE(e)
	{
		struct msrtp *s = context_of(e, CM, SRTP_SEND, key.bytes);
		uint32_t size;

		assert_int_equal(msrtp_import(s, &at, 1, &none), 0);
		assert_int_equal(send_only(e, s, 1, 65535), SRTP_OK);
		assert_int_equal(msrtp_import(s, &at, 1, &none), -EBUSY);
		assert_int_equal(send_only(e, s, 1, 0), SRTP_EXHAUSTED);
		for (unsigned i = 0; i < 2; i++) {
			size = sender_report(data, 1, 0);
			assert_int_equal(protect(e, s, data, &size, true),
					 SRTP_OK);
		}
		size = sender_report(data, 1, 0);
		assert_int_equal(protect(e, s, data, &size, true),
				 SRTP_EXHAUSTED);
		msrtp_destroy(s);
	}
}

/* "dd" among the flags of the mapping an address is in. */
static bool is_dumped(const void *p)
{
	FILE *f = fopen("/proc/self/smaps", "r");
	bool inside = false, dumped = true;
	char line[512];

	assert_non_null(f);
	while (fgets(line, sizeof(line), f)) {
		unsigned long from, to;

		if (sscanf(line, "%lx-%lx ", &from, &to) == 2)
			inside = (uintptr_t)p >= from && (uintptr_t)p < to;
		if (inside && !strncmp(line, "VmFlags:", 8))
			dumped = !strstr(line, " dd");
	}
	fclose(f);
	return dumped;
}

static void test_memory(void **state)
{
	struct key_bytes key = key_of(9);
	size_t before = msrtp_memory_used();

	FOR_EACH_ENGINE(e)
	{
		struct msrtp *s = context_of(e, GCM, SRTP_SEND, key.bytes);
		struct msrtp_key *k = msrtp_key_of(s);
		uint8_t zero[sizeof(k->rtp.key)] = {0};
		void *expanded = k->rtp.expanded;

		assert_false(is_dumped(s));
		assert_false(is_dumped(k));
		assert_false(is_dumped(k->rtp.key));
		if (expanded)
			assert_false(is_dumped(expanded));
		assert_memory_not_equal(k->rtp.key, zero, sizeof(zero));
		for (uint32_t ssrc = 0; ssrc < 10; ssrc++)
			assert_int_equal(send_only(e, s, ssrc, 1), SRTP_OK);
		msrtp_destroy(s);
		/* The pool keeps its pages: they can be looked at, behind the
		 * pointer that it keeps in what is free. */
		assert_memory_equal(k->rtp.key, zero, sizeof(zero));
		if (expanded)
			assert_memory_equal((uint8_t *)expanded + 8, zero,
					    sizeof(zero));
		assert_int_equal(msrtp_memory_used(), before);
	}
	assert_null(msrtp_memory_alloc(SRTP_MEMORY_MAX_BYTES + 1));
}

/* How often in memory that a core dump would hold. `hidden` is the key with
 * each bit the other way, so that it does not find itself. */
static unsigned found_in_core(const uint8_t *hidden, size_t size)
{
	FILE *f = fopen("/proc/self/smaps", "r");
	int mem = open("/proc/self/mem", O_RDONLY);
	unsigned long from = 0, to = 0;
	unsigned found = 0;
	bool writable = false;
	char line[512];

	assert_non_null(f);
	assert_true(mem >= 0);
	while (fgets(line, sizeof(line), f)) {
		unsigned long first, last;
		char mode[8];
		uint8_t *copy;
		ssize_t n;

		if (sscanf(line, "%lx-%lx %7s", &first, &last, mode) == 3) {
			from = first;
			to = last;
			writable = mode[1] == 'w';
		}
		if (strncmp(line, "VmFlags:", 8) || !writable ||
		    strstr(line, " dd"))
			continue;
		copy = malloc(to - from);
		assert_non_null(copy);
		n = pread(mem, copy, to - from, (off_t)from);
		for (ssize_t at = 0; at + (ssize_t)size <= n; at++) {
			size_t i = 0;

			while (i < size &&
			       (copy[at + (ssize_t)i] ^ hidden[i]) == 0xff)
				i++;
			found += i == size;
		}
		explicit_bzero(copy, to - from);
		free(copy);
	}
	close(mem);
	fclose(f);
	return found;
}

/* Between two bursts no session key is anywhere else. */
static void test_no_key_in_a_core(void **state)
{
#if defined(__SANITIZE_ADDRESS__) || defined(__SANITIZE_THREAD__)
	skip(); /* their memory is as large as the machine's */
#endif
	static volatile uint8_t probe[32];
	uint8_t hidden[32];

	FOR_EACH_NATIVE(e)
	{
		for (unsigned suite = 1; suite < SRTP_SUITES; suite++) {
			struct key_bytes key = key_of((uint8_t)(90 + suite));
			struct msrtp *tx =
				context_of(e, suite, SRTP_SEND, key.bytes);
			struct msrtp *rx =
				context_of(e, suite, SRTP_RECEIVE, key.bytes);
			struct msrtp_key *k = msrtp_key_of(tx);
			uint32_t size;

			explicit_bzero(&key, sizeof(key));
			for (uint16_t seq = 1; seq < 4; seq++)
				assert_int_equal(pass(e, tx, rx, seq, 0),
						 SRTP_OK);
			size = sender_report(data, 1, 0);
			assert_int_equal(protect(e, tx, data, &size, true), 0);
			for (unsigned rtcp = 0; rtcp < 2; rtcp++) {
				const struct msrtp_session *s =
					rtcp ? &k->rtcp : &k->rtp;

				for (unsigned i = 0; i < s->key_size; i++)
					hidden[i] = (uint8_t)~s->key[i];
				assert_int_equal(
					found_in_core(hidden, s->key_size), 0);
			}
			msrtp_destroy(tx);
			msrtp_destroy(rx);
		}
	}
	/* It would be found: this one is. */
	for (unsigned i = 0; i < sizeof(hidden); i++) {
		probe[i] = (uint8_t)(i * 7 + 3);
		hidden[i] = (uint8_t) ~(i * 7 + 3);
	}
	assert_true(found_in_core(hidden, sizeof(hidden)) > 0);
	assert_int_equal(probe[0], 3);
}

static int setup(void **state)
{
	engines_len = engines_all(engines, 4);
	return 0;
}

static int teardown(void **state)
{
	for (unsigned i = 0; i < engines_len; i++)
		msrtp_engine_destroy(engines[i]);
	return 0;
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_parameters),
		cmocka_unit_test(test_engine_names),
		cmocka_unit_test(test_transmit_window),
		cmocka_unit_test(test_room_and_size),
		cmocka_unit_test(test_short_packets),
		cmocka_unit_test(test_many_streams),
		cmocka_unit_test(test_forged_streams),
		cmocka_unit_test(test_burst_is_a_sequence),
		cmocka_unit_test(test_same_key_keeps_the_window),
		cmocka_unit_test(test_sender_goes_back),
		cmocka_unit_test(test_old_key_lives_on),
		cmocka_unit_test(test_rekey_keeps_the_roc),
		cmocka_unit_test(test_unauthenticated_roc),
		cmocka_unit_test(test_exhausted),
		cmocka_unit_test(test_memory),
		cmocka_unit_test(test_no_key_in_a_core),
	};

	return cmocka_run_group_tests(tests, setup, teardown);
}
