#include "sbcd/sip/sdes.h"
#include "sbcd/sip/sdp_int.h"

#include <errno.h>
#include <inttypes.h>
#include <openssl/crypto.h>
#include <openssl/evp.h>
#include <stdio.h>
#include <string.h>
#include <strings.h>

enum {
	LIFETIME_POWER_MAX = 48, /* RFC 3711 section 9.2 */
	LIFETIME_DIGITS_MAX = 15,
	PARAMETER_SIZE_MAX = 64,
	WSH_MIN = 64, /* RFC 4568 section 6.3.7 */
};

static const struct suite {
	const char *name;
	const char *draft; /* of draft-ietf-mmusic-sdescriptions' time */
	uint8_t key_size;
	bool aead;
} suites[SDES_SUITES] = {
	[SDES_AES_CM_128_HMAC_SHA1_80] = {"AES_CM_128_HMAC_SHA1_80", NULL, 30,
					  false},
	[SDES_AES_CM_128_HMAC_SHA1_32] = {"AES_CM_128_HMAC_SHA1_32", NULL, 30,
					  false},
	[SDES_AES_256_CM_HMAC_SHA1_80] = {"AES_256_CM_HMAC_SHA1_80",
					  "AES_CM_256_HMAC_SHA1_80", 46, false},
	[SDES_AES_256_CM_HMAC_SHA1_32] = {"AES_256_CM_HMAC_SHA1_32",
					  "AES_CM_256_HMAC_SHA1_32", 46, false},
	[SDES_AEAD_AES_128_GCM] = {"AEAD_AES_128_GCM", NULL, 28, true},
	[SDES_AEAD_AES_256_GCM] = {"AEAD_AES_256_GCM", NULL, 44, true},
};

static const struct {
	const char *name;
	enum sdes_flag flag;
} flag_names[] = {
	{"UNENCRYPTED_SRTP", SDES_UNENCRYPTED_SRTP},
	{"UNENCRYPTED_SRTCP", SDES_UNENCRYPTED_SRTCP},
	{"UNAUTHENTICATED_SRTP", SDES_UNAUTHENTICATED_SRTP},
};

enum { FLAG_NAMES = sizeof(flag_names) / sizeof(flag_names[0]) };

static const struct suite *suite_of(enum sdes_suite suite)
{
	if (suite <= SDES_SUITE_NONE || suite >= SDES_SUITES)
		return NULL;
	return &suites[suite];
}

const char *sdes_suite_name(enum sdes_suite suite)
{
	const struct suite *s = suite_of(suite);

	return s ? s->name : NULL;
}

size_t sdes_suite_key_size(enum sdes_suite suite)
{
	const struct suite *s = suite_of(suite);

	return s ? s->key_size : 0;
}

bool sdes_suite_is_aead(enum sdes_suite suite)
{
	const struct suite *s = suite_of(suite);

	return s && s->aead;
}

static bool is_word(const char *text, size_t size, const char *word)
{
	return word && strlen(word) == size && !strncasecmp(text, word, size);
}

enum sdes_suite sdes_suite_find(const char *name, size_t size)
{
	for (unsigned i = SDES_SUITE_NONE + 1; i < SDES_SUITES; i++)
		if (is_word(name, size, suites[i].name) ||
		    is_word(name, size, suites[i].draft))
			return (enum sdes_suite)i;
	return SDES_SUITE_NONE;
}

const char *sdes_flag_name(enum sdes_flag flag)
{
	for (unsigned i = 0; i < FLAG_NAMES; i++)
		if (flag_names[i].flag == flag)
			return flag_names[i].name;
	return NULL;
}

const char *sdes_reason_text(enum sdes_reason reason)
{
	static const char *const texts[] = {
		[SDES_OK] = "understood",
		[SDES_MALFORMED] = "malformed a=crypto line",
		[SDES_BAD_TAG] = "a=crypto tag is no number of 1 to 9 digits",
		[SDES_UNKNOWN_SUITE] = "unknown crypto suite",
		[SDES_BAD_KEY_METHOD] = "key method is not inline",
		[SDES_MANY_KEYS] = "several master keys in one a=crypto line",
		[SDES_BAD_KEY] = "key is no base64 of the suite's length",
		[SDES_BAD_LIFETIME] = "key lifetime out of range",
		[SDES_BAD_MKI] = "MKI out of range",
		[SDES_BAD_KDR] = "key derivation rate is not supported",
		[SDES_BAD_WSH] = "window size hint out of range",
		[SDES_FEC] = "forward error correction is not supported",
		[SDES_UNKNOWN_PARAMETER] = "unknown session parameter",
		[SDES_TWICE] = "a session parameter is there twice",
		[SDES_AEAD_PARAMETER] = "AEAD without cipher or authentication",
		[SDES_TOO_LONG] = "a=crypto line is too long",
	};

	return (unsigned)reason < sizeof(texts) / sizeof(texts[0])
		       ? texts[reason]
		       : "refused";
}

void sdes_crypto_wipe(struct sdes_crypto *c)
{
	OPENSSL_cleanse(c, sizeof(*c));
}

bool sdes_same_key(const struct sdes_crypto *a, const struct sdes_crypto *b)
{
	return a->suite == b->suite && a->key_size == b->key_size &&
	       CRYPTO_memcmp(a->key, b->key, a->key_size) == 0;
}

/* ---- parsing ----------------------------------------------------------- */

/* What is before the first `mark`, taken off `rest` together with it. */
static struct sdp_text cut(struct sdp_text *rest, char mark, bool *found)
{
	const char *at = memchr(rest->at, mark, rest->size);
	struct sdp_text head = *rest;

	*found = at != NULL;
	if (!at) {
		rest->at += rest->size;
		rest->size = 0;
		return head;
	}
	head.size = (size_t)(at - rest->at);
	rest->at = at + 1;
	rest->size -= head.size + 1;
	return head;
}

static bool is_base64(char c)
{
	return (c >= 'A' && c <= 'Z') || (c >= 'a' && c <= 'z') ||
	       (c >= '0' && c <= '9') || c == '+' || c == '/';
}

/* With or without padding, but of the very length. */
static bool parse_key(struct sdp_text text, struct sdes_crypto *c)
{
	size_t want = sdes_suite_key_size((enum sdes_suite)c->suite);
	size_t chars = (want * 8 + 5) / 6, padded = (want + 2) / 3 * 4;
	unsigned char in[64], out[48];
	int n;

	if ((text.size != chars && text.size != padded) || padded > sizeof(in))
		return false;
	memset(in, '=', sizeof(in));
	memcpy(in, text.at, text.size);
	for (size_t i = 0; i < padded; i++)
		if (i < chars ? !is_base64((char)in[i]) : in[i] != '=')
			return false;
	n = EVP_DecodeBlock(out, in, (int)padded);
	/* The block's size counts what the padding stands for. */
	if (n == (int)(padded / 4 * 3)) {
		memcpy(c->key, out, want);
		c->key_size = (uint8_t)want;
	}
	OPENSSL_cleanse(in, sizeof(in));
	OPENSSL_cleanse(out, sizeof(out));
	return c->key_size != 0;
}

static bool parse_lifetime(struct sdp_text text, struct sdes_crypto *c)
{
	uint64_t n;

	if (text.size > LIFETIME_DIGITS_MAX)
		return false;
	if (text.size > 2 && !memcmp(text.at, "2^", 2)) {
		text.at += 2;
		text.size -= 2;
		if (!sdp_number(text, LIFETIME_POWER_MAX, &n))
			return false;
		c->lifetime = UINT64_C(1) << n;
		c->lifetime_power = true;
		return true;
	}
	if (!sdp_number(text, UINT64_C(1) << LIFETIME_POWER_MAX, &n) || n == 0)
		return false;
	c->lifetime = n;
	return true;
}

/* "value:size", the size in bytes. */
static bool parse_mki(struct sdp_text text, struct sdes_crypto *c)
{
	bool colon;
	struct sdp_text value = cut(&text, ':', &colon);
	uint64_t mki, size;

	if (!colon || !sdp_number(value, UINT64_MAX, &mki) ||
	    !sdp_number(text, SDES_MKI_SIZE_MAX, &size) || size == 0)
		return false;
	if (size < sizeof(mki) && mki >> (8 * size))
		return false;
	c->mki = mki;
	c->mki_size = (uint8_t)size;
	return true;
}

/* "inline:" key ["|" lifetime] ["|" mki] */
static enum sdes_reason parse_key_params(struct sdp_text text,
					 struct sdes_crypto *c)
{
	struct sdp_text field;
	bool more;

	if (memchr(text.at, ';', text.size))
		return SDES_MANY_KEYS;
	if (text.size < 7 || strncasecmp(text.at, "inline:", 7))
		return SDES_BAD_KEY_METHOD;
	text.at += 7;
	text.size -= 7;
	field = cut(&text, '|', &more);
	if (!parse_key(field, c))
		return SDES_BAD_KEY;
	if (!more)
		return SDES_OK;
	field = cut(&text, '|', &more);
	if (!memchr(field.at, ':', field.size)) {
		if (!parse_lifetime(field, c))
			return SDES_BAD_LIFETIME;
		if (!more)
			return SDES_OK;
		field = cut(&text, '|', &more);
	}
	return !more && parse_mki(field, c) ? SDES_OK : SDES_BAD_MKI;
}

static bool starts_with(struct sdp_text *text, const char *word)
{
	size_t n = strlen(word);

	if (text->size < n || strncasecmp(text->at, word, n))
		return false;
	text->at += n;
	text->size -= n;
	return true;
}

enum { SEEN_KDR = 1 << 8, SEEN_WSH = 1 << 9 };

static enum sdes_reason parse_parameter(struct sdp_text word, unsigned *seen)
{
	uint64_t n;
	unsigned bit = 0;

	for (unsigned i = 0; i < FLAG_NAMES; i++)
		if (is_word(word.at, word.size, flag_names[i].name))
			bit = flag_names[i].flag;
	if (!bit && starts_with(&word, "KDR=")) {
		/* The keys of a session are derived once. */
		if (!sdp_number(word, 24, &n) || n != 0)
			return SDES_BAD_KDR;
		bit = SEEN_KDR;
	} else if (!bit && starts_with(&word, "WSH=")) {
		if (!sdp_number(word, 999999, &n) || n < WSH_MIN)
			return SDES_BAD_WSH;
		bit = SEEN_WSH;
	} else if (!bit && (starts_with(&word, "FEC_ORDER=") ||
			    starts_with(&word, "FEC_KEY="))) {
		return SDES_FEC;
	}
	/* RFC 4568 section 6.3.8: "-" says that it may be ignored. */
	if (!bit)
		return word.at[0] == '-' ? SDES_OK : SDES_UNKNOWN_PARAMETER;
	if (*seen & bit)
		return SDES_TWICE;
	*seen |= bit;
	return SDES_OK;
}

static enum sdes_reason parse_parameters(struct sdp_text rest,
					 struct sdes_crypto *c)
{
	enum sdes_reason reason;
	struct sdp_text word;
	unsigned seen = 0;

	while (sdp_word(&rest, &word)) {
		if (word.size > PARAMETER_SIZE_MAX)
			return SDES_TOO_LONG;
		reason = parse_parameter(word, &seen);
		if (reason)
			return reason;
	}
	c->flags = seen & (SDES_UNENCRYPTED_SRTP | SDES_UNENCRYPTED_SRTCP |
			   SDES_UNAUTHENTICATED_SRTP);
	if (sdes_suite_is_aead((enum sdes_suite)c->suite) &&
	    (c->flags & (SDES_UNENCRYPTED_SRTP | SDES_UNAUTHENTICATED_SRTP)))
		return SDES_AEAD_PARAMETER;
	return SDES_OK;
}

static enum sdes_reason parse(struct sdp_text rest, struct sdes_crypto *c)
{
	struct sdp_text tag, suite, key;
	enum sdes_reason reason;
	uint64_t n;

	if (rest.size > 4 * SDES_LINE_SIZE)
		return SDES_TOO_LONG;
	if (!sdp_word(&rest, &tag) || !sdp_word(&rest, &suite) ||
	    !sdp_word(&rest, &key))
		return SDES_MALFORMED;
	if (tag.size > 9 || !sdp_number(tag, SDES_TAG_MAX, &n))
		return SDES_BAD_TAG;
	c->tag = (uint32_t)n;
	c->suite = (uint8_t)sdes_suite_find(suite.at, suite.size);
	if (c->suite == SDES_SUITE_NONE)
		return SDES_UNKNOWN_SUITE;
	c->draft_name = is_word(suite.at, suite.size, suites[c->suite].draft);
	reason = parse_key_params(key, c);
	return reason ? reason : parse_parameters(rest, c);
}

enum sdes_reason sdes_crypto_parse(struct sdp_text value,
				   struct sdes_crypto *out)
{
	struct sdes_crypto c = {0};
	enum sdes_reason reason = parse(value, &c);

	if (reason == SDES_OK)
		*out = c;
	sdes_crypto_wipe(&c);
	return reason;
}

/* ---- writing ----------------------------------------------------------- */

static bool append(char *buf, size_t size, size_t *used, const char *text)
{
	size_t n = strlen(text);

	if (n >= size - *used)
		return false;
	memcpy(buf + *used, text, n + 1);
	*used += n;
	return true;
}

static bool print_lifetime(const struct sdes_crypto *c, char *buf, size_t size,
			   size_t *used)
{
	char text[32];

	if (!c->lifetime)
		return true;
	if (c->lifetime_power)
		snprintf(text, sizeof(text), "|2^%d",
			 63 - __builtin_clzll(c->lifetime));
	else
		snprintf(text, sizeof(text), "|%" PRIu64, c->lifetime);
	return append(buf, size, used, text);
}

static bool print_mki(const struct sdes_crypto *c, char *buf, size_t size,
		      size_t *used)
{
	char text[48];

	if (!c->mki_size)
		return true;
	snprintf(text, sizeof(text), "|%" PRIu64 ":%u", c->mki, c->mki_size);
	return append(buf, size, used, text);
}

ssize_t sdes_crypto_print(const struct sdes_crypto *c, char *buf, size_t size)
{
	const struct suite *s = suite_of((enum sdes_suite)c->suite);
	unsigned char key[72];
	char head[80];
	size_t used = 0;
	bool fits;

	if (!s || c->key_size != s->key_size || c->tag > SDES_TAG_MAX)
		return -EINVAL;
	if (!size)
		return -ENOSPC;
	snprintf(head, sizeof(head), "%" PRIu32 " %s inline:", c->tag,
		 c->draft_name && s->draft ? s->draft : s->name);
	EVP_EncodeBlock(key, c->key, c->key_size);
	fits = append(buf, size, &used, head) &&
	       append(buf, size, &used, (const char *)key) &&
	       print_lifetime(c, buf, size, &used) &&
	       print_mki(c, buf, size, &used);
	OPENSSL_cleanse(key, sizeof(key));
	for (unsigned i = 0; i < FLAG_NAMES && fits; i++)
		if (c->flags & flag_names[i].flag)
			fits = append(buf, size, &used, " ") &&
			       append(buf, size, &used, flag_names[i].name);
	return fits ? (ssize_t)used : -ENOSPC;
}
