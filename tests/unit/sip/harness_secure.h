/*
 * SRTP at `um`, RTP at `pbx`: what harness_call.h has, with keys. The realm
 * of `um` has media-sec-policy "sec" with sdes-profile "sdes1".
 */
#ifndef TEST_SIP_HARNESS_SECURE_H
#define TEST_SIP_HARNESS_SECURE_H

#include "harness_call.h"
#include "sbcd/sip/sdes.h"

#define KEY_A "inline:QUFBQUFBQUFBQUFBQUFBQUFBQUFBQUFBQUFBQUFB"
#define KEY_B "inline:QkJCQkJCQkJCQkJCQkJCQkJCQkJCQkJCQkJCQkJC"
#define KEY_C "inline:Q0NDQ0NDQ0NDQ0NDQ0NDQ0NDQ0NDQ0NDQ0NDQ0ND"
#define SUITE "AES_CM_128_HMAC_SHA1_80 "

static UNUSED const char *policy_text(const char *mode, const char *profile)
{
	static char text[1024];

	snprintf(text, sizeof(text),
		 "sdes-profile \"sdes1\" { allow-insecure-keying = enabled\n"
		 "%s\n}\n"
		 "media-sec-policy \"sec\" {\n"
		 " inbound { mode = %s profile = sdes1 }\n"
		 " outbound { mode = %s profile = sdes1 } }\n",
		 profile, mode, mode);
	return text;
}

static UNUSED int up_with(const char *mode, const char *profile)
{
	conf_cloud = "media-sec-policy = sec";
	conf_extra = policy_text(mode, profile);
	return up(NULL);
}

static UNUSED int up_srtp(void **state)
{
	return up_with("srtp", "");
}

/* m=audio RTP/SAVP of `um`, with one crypto line; port 0 = off. */
static UNUSED const char *srtp_text(int port, const char *crypto,
				    const char *more)
{
	static char texts[4][2048];
	static unsigned turn;
	char *text = texts[turn++ % 4];

	snprintf(text, sizeof(texts[0]),
		 "v=0\r\no=- 1 1 IN IP4 10.20.0.50\r\ns=-\r\n"
		 "c=IN IP4 10.20.0.50\r\nt=0 0\r\nm=audio %d RTP/SAVP 8 101\r\n"
		 "a=rtpmap:101 telephone-event/8000\r\n%s%s%s%s",
		 port, crypto ? "a=crypto:" : "", crypto ? crypto : "",
		 crypto ? "\r\n" : "", more ? more : "");
	return text;
}

/* What follows the n-th a=crypto, up to the end of the line; NULL. */
static UNUSED const char *crypto_n(const char *msg, unsigned n)
{
	static char lines[8][256];
	static unsigned turn;
	char *out = lines[turn++ % 8];
	const char *at = body(msg);

	for (;; at++) {
		at = strstr(at, "a=crypto:");
		if (!at)
			return NULL;
		if (!n--)
			break;
	}
	at += 9;
	snprintf(out, 256, "%.*s", (int)strcspn(at, "\r\n"), at);
	return out;
}

static UNUSED const char *key_in(const char *msg)
{
	const char *line = crypto_n(msg, 0);

	return line ? strstr(line, "inline:") : NULL;
}

static UNUSED void is_plain(const char *msg)
{
	if (strstr(body(msg), "crypto") || strstr(body(msg), "SAVP") ||
	    !strstr(body(msg), "RTP/AVP"))
		fail_msg("not plain:\n%s", msg);
}

static UNUSED void is_srtp(const char *msg)
{
	if (!key_in(msg) || !strstr(body(msg), "RTP/SAVP"))
		fail_msg("not SRTP:\n%s", msg);
}

/* ---- the stream's record ------------------------------------------------- */

static struct rec_media media;

static UNUSED bool media_one(void *ctx, const struct ha_item *item)
{
	if (item->deleted || item->key.kind != REC_MEDIA || item->key.sub)
		return true;
	*(struct ha_key *)ctx = item->key;
	assert_int_equal(
		record_decode(REC_MEDIA, item->value, item->size, &media), 0);
	return true;
}

static UNUSED struct ha_key media_read(void)
{
	struct ha_key key = {0};

	run_ms(20);
	memset(&media, 0, sizeof(media));
	ha_store_foreach(keeper.store, media_one, &key);
	assert_int_equal(key.kind, REC_MEDIA);
	return key;
}

static UNUSED const struct rec_key *key_of(uint16_t leg, uint8_t use)
{
	for (unsigned i = 0; i < media.keys_len; i++)
		if (media.keys[i].leg == leg && media.keys[i].use == use)
			return &media.keys[i];
	return NULL;
}

/* The record's key is the one of an inline: text. */
static UNUSED bool same_as(const struct rec_key *k, const char *text)
{
	struct sdes_crypto c;
	char line[256];
	struct sdp_text t = {line, 0};

	if (!k || !text)
		return false;
	t.size = (size_t)snprintf(line, sizeof(line), "1 " SUITE "%s", text);
	assert_int_equal(sdes_crypto_parse(t, &c), SDES_OK);
	return k->key.size == c.key_size &&
	       !memcmp(k->key.data, c.key, c.key_size);
}

/* We send with `ours`, the peer with `theirs`. */
static UNUSED void in_early_use(uint16_t leg, const char *ours,
				const char *theirs)
{
	media_read();
	assert_true(same_as(key_of(leg, KEY_TX), ours));
	assert_true(same_as(key_of(leg, KEY_RX), theirs));
}

/* That (NULL: RTP), and nothing is under way. */
static UNUSED void in_use(uint16_t leg, const char *ours, const char *theirs)
{
	media_read();
	assert_int_equal(media.flows[leg].sdes_state, SDES_IDLE);
	assert_int_equal(media.flows[leg ^ 1].sdes_state, SDES_IDLE);
	if (!ours) {
		assert_int_equal(media.keys_len, 0);
		return;
	}
	in_early_use(leg, ours, theirs);
}

/* ---- calls -----------------------------------------------------------------
 */

static char our_key[256]; /* last one `um` was told */
static char invited[TEXT_SIZE]; /* the INVITE of establish_out() */

static UNUSED void note_key(const char *msg)
{
	is_srtp(msg);
	snprintf(our_key, sizeof(our_key), "%s", key_in(msg));
}

/* pbx calls um, which takes the first line with KEY_A. */
static UNUSED void establish_out(void)
{
	invite();
	note_key(um.msg);
	snprintf(invited, sizeof(invited), "%s", um.msg);
	answer_to(&um, invited, 200, "callee", NULL,
		  srtp_text(40000, "1 " SUITE KEY_A, NULL));
	expect_status(&pbx, 200, "INVITE");
	is_plain(pbx.msg);
	learn(&a);
	ack(&a, NULL);
	expect(&um, "ACK");
}

/* um calls pbx; `a` is um's dialog then, `b` that of pbx. */
static UNUSED void call_in(const char *sdp)
{
	dlg_new(&a, &um, "3000");
	request(&a, "INVITE", NULL, sdp);
}

static UNUSED void establish_in(void)
{
	char *inv;

	call_in(srtp_text(40000, "7 " SUITE KEY_A, NULL));
	expect(&pbx, "INVITE");
	is_plain(pbx.msg);
	inv = keep(pbx.msg);
	dlg_accept(&b, &pbx);
	answer_to(&pbx, inv, 200, "callee", NULL,
		  sdp_text("10.10.0.50", 30000, ""));
	expect_status(&um, 200, "INVITE");
	note_key(um.msg);
	assert_true(!strncmp(crypto_n(um.msg, 0), "7 " SUITE, 8));
	learn(&a);
	ack(&a, NULL);
	expect(&pbx, "ACK");
}

/* um is refused: 488, and a Warning that says `what`. */
static UNUSED void refused_in(const char *sdp, const char *what)
{
	call_in(sdp);
	expect_status(&um, 488, "INVITE");
	if (!header(um.msg, "Warning") ||
	    !strstr(header(um.msg, "Warning"), what))
		fail_msg("no '%s' in:\n%s", what, um.msg);
	ack(&a, NULL);
	keeper_expect_records(0);
}

static UNUSED void kill_and_replace(void)
{
	run_ms(30);
	keeper_kill();
	keeper_start(true);
	keeper_wait_active();
	run_ms(100);
}

#endif
