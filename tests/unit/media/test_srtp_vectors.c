/* The vectors of RFC 3711, 6188 and 7714, and of libsrtp's own test. */
#include "srtp_test.h"

#include "sbcd/media/srtp_key.h"

#define RTP_7714                                                               \
	"8040f17b8041f8d35501a0b247616c6c696120657374206f6d6e697320646976697"  \
	"36120696e207061727465732074726573"
#define RTCP_7714                                                              \
	"81c8000d4d6172734e5450314e545032525450200000042a0000e9304c756e61dead" \
	"beefdeadbeefdeadbeefdeadbeefdeadbeef"
#define KEY_128 "000102030405060708090a0b0c0d0e0f"
#define KEY_256 KEY_128 "101112131415161718191a1b1c1d1e1f"

static struct msrtp_engine *engines[4];
static unsigned engines_len;

static void assert_hex(const uint8_t *data, size_t size, const char *text)
{
	uint8_t want[SRTP_PACKET_SIZE_MAX];
	size_t n = unhex(text, want, sizeof(want));

	assert_int_equal(size, n);
	assert_memory_equal(data, want, n);
}

static void test_key_derivation(void **state)
{
	static const struct {
		const char *key, *salt, *encryption, *salting, *auth;
	} v[] = {
		/* RFC 3711 B.3 */
		{"E1F97A0D3E018BE0D64FA32C06DE4139",
		 "0EC675AD498AFEEBB6960B3AABE6",
		 "C61E7A93744F39EE10734AFE3FF7A087",
		 "30CBBC08863D8C85D49DB34A9AE1",
		 "CEBE321F6FF7716B6FD4AB49AF256A156D38BAA4"},
		/* RFC 6188 7.2 */
		{"f0f04914b513f2763a1b1fa130f10e2998f6f6e43e4309d1e622a0e332b9"
		 "f1b6",
		 "3b04803de51ee7c96423ab5b78d2",
		 "5ba1064e30ec51613cad926c5a28ef731ec7fb397f70a960653caf06554c"
		 "d8c4",
		 "fa31791685ca444a9e07c6c64e93",
		 "fd9c32d39ed5fbb5a9dc96b30818454d1313dc05"},
		/* RFC 7714 has none: the short salt as libsrtp takes it. */
		{KEY_128, "404142434445464748494a4b", NULL,
		 "1fcd5d561e66dc49ec1c3ccb", NULL},
	};

	for (unsigned i = 0; i < sizeof(v) / sizeof(v[0]); i++) {
		const char *want[3] = {v[i].encryption, v[i].auth,
				       v[i].salting};
		uint8_t key[32], salt[14], out[32];
		size_t key_size = unhex(v[i].key, key, sizeof(key));
		size_t salt_size = unhex(v[i].salt, salt, sizeof(salt));

		for (uint8_t label = 0; label < 3; label++) {
			size_t n = want[label] ? strlen(want[label]) / 2 : 0;

			if (!n)
				continue;
			assert_int_equal(msrtp_key_derive(key, key_size, salt,
							  salt_size, label, out,
							  n),
					 0);
			assert_hex(out, n, want[label]);
		}
	}
}

/* A key whose session keys are what a vector says. */
static struct msrtp *context_with(struct msrtp_engine *e, unsigned suite,
				  unsigned direction, unsigned flags,
				  const char *key, const char *salt,
				  struct msrtp_key **inside)
{
	struct key_bytes master = key_of(1);
	struct msrtp_params p = {.suite = (uint8_t)suite,
				 .direction = (uint8_t)direction,
				 .flags = (uint8_t)flags,
				 .key = master.bytes,
				 .key_size = msrtp_suite_key_size(suite)};
	struct msrtp *s = NULL;
	struct msrtp_session *sessions[2];

	assert_int_equal(msrtp_create(&s, e, &p), 0);
	*inside = msrtp_key_of(s);
	sessions[0] = &(*inside)->rtp;
	sessions[1] = &(*inside)->rtcp;
	for (unsigned i = 0; i < 2; i++) {
		memset(sessions[i]->salt, 0, sizeof(sessions[i]->salt));
		unhex(key, sessions[i]->key, sizeof(sessions[i]->key));
		unhex(salt, sessions[i]->salt, sizeof(sessions[i]->salt));
	}
	assert_int_equal(msrtp_key_expand(e, *inside), 0);
	return s;
}

/* RFC 3711 B.2 and RFC 6188 7.1: zeros become the key stream. */
static void test_key_stream(void **state)
{
	static const struct {
		unsigned suite;
		const char *key, *stream;
	} v[] = {
		{SRTP_AES_CM_128_HMAC_SHA1_80,
		 "2B7E151628AED2A6ABF7158809CF4F3C",
		 "E03EAD0935C95E80E166B16DD92B4EB4D23513162B02D0F72A43A2FE4A5F"
		 "97AB41E95B3BB0A2E8DD477901E4FCA894C0"},
		{SRTP_AES_256_CM_HMAC_SHA1_80,
		 "57f82fe3613fd170a85ec93c40b1f0922ec4cb0dc025b58272147cc43894"
		 "4a98",
		 "92bdd28a93c3f52511c677d08b5515a49da71b2378a854f67050756ded16"
		 "5bac63c4868b7096d88421b563b8c94c9a31"},
	};

	for (unsigned n = 0; n < engines_len; n++) {
		for (unsigned i = 0; i < sizeof(v) / sizeof(v[0]); i++) {
			uint8_t data[PACKET_ROOM] = {0x80};
			struct msrtp_key *k;
			uint32_t size = 12 + 48;
			struct msrtp *s;

			if (is_reference(engines[n]))
				continue; /* takes master keys only */
			s = context_with(engines[n], v[i].suite, SRTP_SEND, 0,
					 v[i].key,
					 "F0F1F2F3F4F5F6F7F8F9FAFBFCFD", &k);
			assert_int_equal(
				protect(engines[n], s, data, &size, false),
				SRTP_OK);
			assert_hex(data + 12, 48, v[i].stream);
			msrtp_destroy(s);
		}
	}
}

static void gcm_vector(struct msrtp_engine *e, bool rtcp, unsigned suite,
		       unsigned flags, const char *key, const char *clear,
		       const char *secret)
{
	static const char salt[] = "517569642070726f2071756f";
	uint8_t data[PACKET_ROOM];
	struct msrtp_position at = {.ssrc = 0x4d617273, .rtcp_index = 0x5d3};
	struct msrtp_margin none = {0};
	struct msrtp_key *k;
	uint32_t size;
	struct msrtp *s;

	s = context_with(e, suite, SRTP_SEND, flags, key, salt, &k);
	if (rtcp)
		assert_int_equal(msrtp_import(s, &at, 1, &none), 0);
	size = (uint32_t)unhex(clear, data, sizeof(data));
	assert_int_equal(protect(e, s, data, &size, rtcp), SRTP_OK);
	assert_hex(data, size, secret);
	msrtp_destroy(s);

	s = context_with(e, suite, SRTP_RECEIVE, flags, key, salt, &k);
	data[size - 1] ^= 1;
	assert_int_equal(unprotect(e, s, data, &size, rtcp), SRTP_BAD_TAG);
	size = (uint32_t)unhex(secret, data, sizeof(data));
	assert_int_equal(unprotect(e, s, data, &size, rtcp), SRTP_OK);
	assert_hex(data, size, clear);
	msrtp_destroy(s);
}

/* RFC 7714 16.1.1, 16.2.1, 17.1, 17.2, 17.3 */
static void test_gcm(void **state)
{
	static const struct {
		bool rtcp;
		unsigned suite, flags;
		const char *key, *clear, *secret;
	} v[] = {
		{false, SRTP_AEAD_AES_128_GCM, 0, KEY_128, RTP_7714,
		 "8040f17b8041f8d35501a0b2f24de3a3fb34de6cacba861c9d7e4bcabe63"
		 "3bd50d294e6f42a5f47a51c7d19b36de3adf8833899d7f27beb16a9152cf"
		 "765ee4390cce"},
		{false, SRTP_AEAD_AES_256_GCM, 0, KEY_256, RTP_7714,
		 "8040f17b8041f8d35501a0b232b1de78a822fe12ef9f78fa332e33aab180"
		 "12389a58e2f3b50b2a0276ffae0f1ba63799b87b7aa3db36dfffd6b0f9bb"
		 "7878d7a76c13"},
		{true, SRTP_AEAD_AES_128_GCM, 0, KEY_128, RTCP_7714,
		 "81c8000d4d61727363e94885dcdab67ca727d7662f6b7e997ff5c0f76c06"
		 "f32dc676a5f1730d6fda4ce09b4686303ded0bb9275bc84aa45896cf4d2f"
		 "c5abf87245d9eade800005d4"},
		{true, SRTP_AEAD_AES_256_GCM, 0, KEY_256, RTCP_7714,
		 "81c8000d4d617273d50ae4d1f5ce5d304ba297e47d470c282c3ece5dbffe"
		 "0a50a2eaa5c1110555be8415f658c61de0476f1b6fad1d1eb30c4446839f"
		 "57ff6f6cb26ac3be800005d4"},
		{true, SRTP_AEAD_AES_128_GCM, SRTP_UNENCRYPTED_SRTCP, KEY_128,
		 RTCP_7714,
		 RTCP_7714 "841dd9683dd78ec92ae58790125f62b3000005d4"},
	};

	for (unsigned n = 0; n < engines_len; n++)
		for (unsigned i = 0; i < sizeof(v) / sizeof(v[0]); i++)
			if (!is_reference(engines[n]))
				gcm_vector(engines[n], v[i].rtcp, v[i].suite,
					   v[i].flags, v[i].key, v[i].clear,
					   v[i].secret);
}

/* With a master key, so on the reference as well. */
static void test_packets_of_libsrtp(void **state)
{
	static const struct {
		bool rtcp;
		const char *clear, *secret;
	} v[] = {
		{false,
		 "800f1234decafbadcafebabeabababababababababababababab"
		 "abab",
		 "800f1234decafbadcafebabe4e55dc4ce79978d88ca4d215949d2402b78d"
		 "6acc99ea179b8dbb"},
		{true, "81c8000bcafebabeabababababababababababababababab",
		 "81c8000bcafebabe7128035be487b9bdbef89041f977a5a880000001993e"
		 "08cd54d6c1230798"},
	};
	uint8_t key[SRTP_KEY_SIZE_MAX], data[PACKET_ROOM];

	unhex("e1f97a0d3e018be0d64fa32c06de41390ec675ad498afeebb6960b3aabe6",
	      key, sizeof(key));
	for (unsigned n = 0; n < engines_len; n++) {
		struct msrtp_engine *e = engines[n];
		struct msrtp *tx, *rx;

		tx = context_of(e, SRTP_AES_CM_128_HMAC_SHA1_80, SRTP_SEND,
				key);
		rx = context_of(e, SRTP_AES_CM_128_HMAC_SHA1_80, SRTP_RECEIVE,
				key);
		for (unsigned i = 0; i < 2; i++) {
			uint32_t size =
				(uint32_t)unhex(v[i].clear, data, sizeof(data));

			assert_int_equal(protect(e, tx, data, &size, v[i].rtcp),
					 SRTP_OK);
			assert_hex(data, size, v[i].secret);
			assert_int_equal(
				unprotect(e, rx, data, &size, v[i].rtcp),
				SRTP_OK);
			assert_hex(data, size, v[i].clear);
		}
		msrtp_destroy(tx);
		msrtp_destroy(rx);
	}
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
		cmocka_unit_test(test_key_derivation),
		cmocka_unit_test(test_key_stream),
		cmocka_unit_test(test_gcm),
		cmocka_unit_test(test_packets_of_libsrtp),
	};

	return cmocka_run_group_tests(tests, setup, teardown);
}
