/*
 * Calls of two peers through the two legs of a relay, as descriptions and
 * keys see them: every combination of RTP and SRTP, pairs of m-lines, changes
 * of mind, refusals. After every message the relay is killed and comes back
 * from its records.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <cmocka.h>

#include "sbcd/record/record.h"
#include "sbcd/sip/sdes_leg.h"
#include "sbcd/sip/sdp_edit.h"
#include "tests/unit/sip/harness_sdes.h"

enum { STREAMS = 5, TEXT = 8192 };

/* A peer, or a leg of the relay: those two share their streams' records. */
struct end {
	struct sdes_leg leg;
	struct media_security security;
	struct rec_dialog dialog;
};

static struct end caller, a, b, callee;
static struct rec_media of_caller[STREAMS], of_relay[STREAMS],
	of_callee[STREAMS];
static char wire[TEXT], plain[TEXT], relayed[TEXT];
static struct sdes_heard heard;
static struct sdp_refusal why;
static struct buf value;

/* ---- ends -------------------------------------------------------------- */

static void end_up(struct end *e, uint16_t leg, struct rec_media *m)
{
	memset(e, 0, sizeof(*e));
	e->security = (struct media_security){
		.inbound = SDP_SEC_ANY,
		.outbound = SDP_SEC_SRTP,
		.profile_name = "sdes1",
		.profile.sdes = {.suites = {SDES_AES_CM_128_HMAC_SHA1_80},
				 .suites_len = 1},
	};
	e->leg = (struct sdes_leg){
		.security = &e->security,
		.leg = leg,
		.dialog = &e->dialog,
		.random = counted,
		.now_ms = 1000,
	};
	for (unsigned i = 0; i < STREAMS; i++) {
		m[i].flows_len = 2;
		m[i].flows[1].leg = 1;
		e->leg.stream[i] = &m[i];
	}
}

static int up(void **state)
{
	memset(of_caller, 0, sizeof(of_caller));
	memset(of_relay, 0, sizeof(of_relay));
	memset(of_callee, 0, sizeof(of_callee));
	end_up(&caller, 0, of_caller);
	end_up(&a, 0, of_relay);
	end_up(&b, 1, of_relay);
	end_up(&callee, 1, of_callee);
	return 0;
}

static void through_a_record(uint8_t kind, void *record, size_t size)
{
	static union rec_any again;

	buf_reset(&value);
	assert_int_equal(record_encode(kind, record, &value), 0);
	memset(&again, 0, sizeof(again));
	assert_int_equal(record_decode(kind, value.data, value.size, &again),
			 0);
	memcpy(record, &again, size);
}

static void killed(void)
{
	for (unsigned i = 0; i < STREAMS; i++) {
		assert_true(sdes_media_valid(&of_relay[i]));
		through_a_record(REC_MEDIA, &of_relay[i], sizeof(of_relay[i]));
	}
	through_a_record(REC_DIALOG, &a.dialog, sizeof(a.dialog));
	through_a_record(REC_DIALOG, &b.dialog, sizeof(b.dialog));
}

static void keep(struct rec_bytes_sdp *at, const char *text)
{
	at->size = (uint32_t)strlen(text);
	memcpy(at->data, text, at->size);
}

static int hears(struct end *e, bool offer)
{
	struct sdes_text t = {wire, strlen(wire), plain, TEXT - 1};
	ssize_t n = sdes_leg_receive(&e->leg, offer, &t, &heard, &why);

	if (n < 0) {
		assert_true(why.warning >= 300 && why.text[0]);
		return (int)n;
	}
	plain[n] = '\0';
	assert_null(strstr(plain, "inline"));
	assert_null(strstr(plain, "SAVP"));
	if (offer)
		keep(&e->dialog.remote_sdp, wire);
	return 0;
}

static void says(struct end *e, bool offer, bool rekey, const char *text,
		 const struct sdes_heard *ingress)
{
	static const uint16_t twins[SDP_STREAMS_MAX] = {21000, 21002, 21004,
							21006};
	struct sdes_send how = {.offer = offer,
				.rekey = rekey,
				.ingress = ingress,
				.twin_ports = twins};
	struct sdes_text t = {text, strlen(text), wire, TEXT - 1};
	uint64_t version;
	ssize_t n = sdes_leg_send(&e->leg, &how, &t, &version);

	assert_true(n > 0);
	wire[n] = '\0';
	e->dialog.sdp_version = version;
	keep(&e->dialog.local_sdp, wire);
	if (!offer)
		e->dialog.remote_sdp.size = 0;
}

/* The relay between the legs: addresses and ports of its own. */
static void relay_plain(void)
{
	struct sdp_rules rules = {.video = true};
	struct sdp_local local[SDP_STREAMS_MAX] = {0};
	struct sdp_streams s;
	struct sdp_relay_params p = {
		.in = plain,
		.in_size = strlen(plain),
		.streams = &s,
		.local = local,
		.session_id = 1,
		.version = 1,
	};
	uint64_t version;
	ssize_t n;

	assert_int_equal(sdp_relay_read(plain, strlen(plain), &rules, &s, &why),
			 0);
	assert_int_equal(addr_parse_ip(&p.origin, "10.20.0.10", 0), 0);
	for (unsigned i = 0; i < s.len; i++)
		assert_int_equal(addr_parse_ip(&local[i].rtp, "10.20.0.10",
					       (uint16_t)(20000 + 2 * i)),
				 0);
	n = sdp_relay_write(&p, relayed, TEXT - 1, &version, &why);
	assert_true(n > 0);
	relayed[n] = '\0';
}

static int across(struct end *from, struct end *to, bool offer, bool rekey)
{
	struct sdes_heard ingress;
	int rc = hears(from, offer);

	killed();
	if (rc)
		return rc;
	ingress = heard;
	relay_plain();
	says(to, offer, rekey, relayed, &ingress);
	killed();
	return 0;
}

/* ---- what peers say ---------------------------------------------------- */

/* Plain descriptions of a peer: a port for each audio stream. */
static const char *ports(unsigned n, const unsigned *port)
{
	static char text[2048];
	int at = snprintf(text, sizeof(text),
			  "v=0\r\no=- 7 1 IN IP4 192.0.2.9\r\ns=-\r\n"
			  "c=IN IP4 192.0.2.9\r\nt=0 0\r\n");

	for (unsigned i = 0; i < n; i++)
		at += snprintf(text + at, sizeof(text) - (size_t)at,
			       "m=audio %u RTP/AVP 0 8\r\na=ptime:20\r\n",
			       port[i]);
	return text;
}

#define PORTS(...)                                                             \
	ports(sizeof((unsigned[]){__VA_ARGS__}) / sizeof(unsigned),            \
	      (unsigned[]){__VA_ARGS__})

static unsigned count(const char *text, const char *what)
{
	unsigned n = 0;

	while ((text = strstr(text, what))) {
		n++;
		text++;
	}
	return n;
}

/* One sends what the other receives; or both send plain RTP. */
static void in_step(const struct rec_media *m, const struct rec_media *n,
		    uint16_t leg, bool srtp)
{
	struct media_keys x, y;

	media_keys_of(m, leg, &x);
	media_keys_of(n, leg, &y);
	if (!srtp) {
		assert_null(x.tx);
		assert_null(y.tx);
		return;
	}
	assert_non_null(x.tx);
	assert_non_null(y.tx);
	assert_int_equal(x.tx->suite, y.rx[0]->suite);
	assert_memory_equal(x.tx->key.data, y.rx[0]->key.data, x.tx->key.size);
	assert_memory_equal(y.tx->key.data, x.rx[0]->key.data, y.tx->key.size);
}

static void speak(bool a_srtp, bool b_srtp)
{
	in_step(&of_caller[0], &of_relay[0], 0, a_srtp);
	in_step(&of_callee[0], &of_relay[0], 1, b_srtp);
}

static void all(void (*one)(const struct sdes_leg *l))
{
	one(&caller.leg);
	one(&a.leg);
	one(&b.leg);
	one(&callee.leg);
	killed();
}

/* From `from` to `to` and back. */
static void offered(struct end *from, struct end *x, struct end *y,
		    struct end *to, const char *text)
{
	says(from, true, false, text, NULL);
	assert_int_equal(across(x, y, true, false), 0);
	assert_int_equal(hears(to, true), 0);
}

static void answered(struct end *from, struct end *x, struct end *y,
		     struct end *to, const char *text)
{
	says(from, false, false, text, NULL);
	assert_int_equal(across(x, y, false, false), 0);
	assert_int_equal(hears(to, false), 0);
}

static void call(void)
{
	offered(&caller, &a, &b, &callee, PORTS(4000));
	answered(&callee, &b, &a, &caller, PORTS(6000));
	all(sdes_leg_confirm);
}

/* ---- RTP and SRTP ------------------------------------------------------ */

static void every_combination(void **state)
{
	for (unsigned n = 0; n < 4; n++) {
		up(NULL);
		caller.security.outbound = n & 1 ? SDP_SEC_SRTP : SDP_SEC_RTP;
		b.security.outbound = n & 2 ? SDP_SEC_SRTP : SDP_SEC_RTP;
		offered(&caller, &a, &b, &callee, PORTS(4000));
		assert_non_null(strstr(wire, n & 2 ? "m=audio 20000 RTP/SAVP "
						   : "m=audio 20000 RTP/AVP "));
		assert_int_equal(count(wire, "a=crypto:"), n & 2 ? 1 : 0);
		answered(&callee, &b, &a, &caller, PORTS(6000));
		assert_int_equal(count(wire, "a=crypto:"), n & 1 ? 1 : 0);
		speak(n & 1, n & 2);
		all(sdes_leg_confirm);
		speak(n & 1, n & 2);
	}
}

/* Different suites on both sides; no key of one side is seen on the other. */
static void keys_end_at_their_leg(void **state)
{
	char of_peer[SDES_LINE_SIZE], *at;

	callee.security.profile.sdes.suites[0] = SDES_AEAD_AES_256_GCM;
	b.security.profile.sdes.suites[0] = SDES_AEAD_AES_256_GCM;
	says(&caller, true, false, PORTS(4000), NULL);
	at = strstr(wire, "inline:");
	snprintf(of_peer, sizeof(of_peer), "%.40s", at + 7);
	assert_int_equal(across(&a, &b, true, false), 0);
	assert_null(strstr(wire, of_peer));
	assert_non_null(strstr(wire, "AEAD_AES_256_GCM"));
	assert_null(strstr(wire, "AES_CM_128"));
	assert_int_equal(hears(&callee, true), 0);
	answered(&callee, &b, &a, &caller, PORTS(6000));
	assert_null(strstr(wire, of_peer));
	speak(true, true);
}

static void same_as_ingress(void **state)
{
	b.security.outbound = SDP_SEC_ANY;
	call();
	speak(true, true);
	up(NULL);
	b.security.outbound = SDP_SEC_ANY;
	caller.security.outbound = SDP_SEC_RTP;
	call();
	speak(false, false);
}

/* RFC 4568 section 3: no a=crypto there, so none is taken. */
static void crypto_in_plain_is_ignored(void **state)
{
	b.security.outbound = SDP_SEC_RTP;
	says(&caller, true, false, PORTS(4000), NULL);
	memcpy(strstr(wire, "RTP/SAVP"), "RTP/AVP ", 8);
	assert_int_equal(across(&a, &b, true, false), 0);
	assert_null(strstr(wire, "crypto"));
	assert_int_equal(hears(&callee, true), 0);
	says(&callee, false, false, PORTS(6000), NULL);
	assert_int_equal(across(&b, &a, false, false), 0);
	assert_null(strstr(wire, "crypto"));
	assert_non_null(strstr(wire, "RTP/AVP "));
	assert_int_equal(of_relay[0].keys_len, 0);
}

static void feedback_profiles(void **state)
{
	char *at;

	/* SAVPF from the one, AVPF to the other, each gets its own back. */
	b.security.outbound = SDP_SEC_RTP;
	says(&caller, true, false, PORTS(4000), NULL);
	at = strstr(wire, "RTP/SAVP") + strlen("RTP/SAVP");
	memmove(at + 1, at, strlen(at) + 1);
	*at = 'F';
	assert_int_equal(across(&a, &b, true, false), 0);
	assert_non_null(strstr(wire, " RTP/AVPF "));
	assert_int_equal(hears(&callee, true), 0);
	says(&callee, false, false, PORTS(6000), NULL);
	assert_non_null(strstr(wire, " RTP/AVPF "));
	assert_int_equal(across(&b, &a, false, false), 0);
	assert_non_null(strstr(wire, " RTP/SAVPF "));
	assert_int_equal(count(wire, "a=crypto:"), 1);
}

/* ---- refusals ---------------------------------------------------------- */

static void policy_refuses(void **state)
{
	caller.security.outbound = SDP_SEC_RTP;
	a.security.inbound = SDP_SEC_SRTP;
	says(&caller, true, false, PORTS(4000), NULL);
	assert_int_equal(across(&a, &b, true, false), -EPROTO);
	assert_int_equal(why.warning, 302);
	assert_non_null(strstr(why.text, "media-sec-policy inbound is srtp"));
	up(NULL);
	a.security.inbound = SDP_SEC_RTP;
	says(&caller, true, false, PORTS(4000), NULL);
	assert_int_equal(across(&a, &b, true, false), -EPROTO);
	assert_int_equal(why.warning, 302);
	assert_non_null(strstr(why.text, "media-sec-policy inbound is rtp"));
	assert_int_equal(of_relay[0].keys_len, 0);
	assert_int_equal(of_relay[0].flows[0].sdes_state, SDES_IDLE);
}

/* The third lesson: what the strict side refuses is named. */
static void profile_refuses(void **state)
{
	b.security.profile.sdes.flags_offered = SDES_UNAUTHENTICATED_SRTP;
	says(&caller, true, false, PORTS(4000), NULL);
	assert_int_equal(across(&a, &b, true, false), 0);
	assert_non_null(strstr(wire, " UNAUTHENTICATED_SRTP\r\n"));
	assert_int_equal(hears(&callee, true), -EPROTO);
	assert_int_equal(why.warning, 399);
	assert_string_equal(why.text,
			    "sdes-profile sdes1: UNAUTHENTICATED_SRTP while "
			    "srtp-auth is enabled");
	all(sdes_leg_refuse);
	assert_int_equal(of_relay[0].keys_len, 0);
	/* Enabled the same call works, anew. */
	b.security.profile.sdes.flags_offered = 0;
	call();
	speak(true, true);
}

/* One stream of two is refused: it is off, the other one is not. */
static void one_stream_is_refused(void **state)
{
	char *line;

	b.security.outbound = SDP_SEC_RTP;
	says(&caller, true, false, PORTS(4000, 4002), NULL);
	line = strstr(wire, "a=crypto");
	memcpy(strstr(line, "AES_CM"), "UNKNOW", 6);
	assert_int_equal(across(&a, &b, true, false), 0);
	assert_non_null(strstr(wire, "m=audio 0 RTP/AVP"));
	assert_non_null(strstr(wire, "m=audio 20002 RTP/AVP"));
	assert_int_equal(hears(&callee, true), 0);
	says(&callee, false, false, PORTS(0, 6002), NULL);
	assert_int_equal(across(&b, &a, false, false), 0);
	assert_non_null(strstr(wire, "m=audio 0 RTP/SAVP"));
	assert_int_equal(count(wire, "a=crypto:"), 1);
	assert_int_equal(hears(&caller, false), 0);
	in_step(&of_caller[1], &of_relay[1], 0, true);
	in_step(&of_caller[0], &of_relay[0], 0, false);
}

static void an_answer_out_of_place(void **state)
{
	/* Plain, where SRTP was offered. */
	offered(&caller, &a, &b, &callee, PORTS(4000));
	snprintf(wire, sizeof(wire), "%s", PORTS(6000));
	assert_int_equal(hears(&b, false), -EPROTO);
	assert_int_equal(why.warning, 302);
	assert_non_null(strstr(why.text, "RTP/SAVP was offered"));
	/* One m-line too many, one too few. */
	snprintf(wire, sizeof(wire), "%s", PORTS(6000, 6002));
	assert_int_equal(hears(&b, false), -EPROTO);
	assert_non_null(strstr(why.text, "more m= lines"));
	snprintf(wire, sizeof(wire), "v=0\r\no=- 1 1 IN IP4 1.1.1.1\r\n");
	assert_int_equal(hears(&b, false), -EPROTO);
	assert_non_null(strstr(why.text, "lacks m= lines"));
	/* The right one is taken all the same. */
	answered(&callee, &b, &a, &caller, PORTS(6000));
	speak(true, true);
}

/* ---- pairs ------------------------------------------------------------- */

static void pair_offered(void)
{
	b.security.outbound = SDP_SEC_ANY;
	b.security.both = true;
	offered(&caller, &a, &b, &callee, PORTS(4000));
	assert_non_null(strstr(wire, "m=audio 20000 RTP/SAVP 0 8\r\n"));
	assert_non_null(strstr(wire, "m=audio 21000 RTP/AVP 0 8\r\n"));
	assert_true(strstr(wire, "RTP/SAVP") < strstr(wire, "RTP/AVP"));
	assert_int_equal(count(wire, "a=crypto:"), 1);
	assert_int_equal(count(wire, "a=ptime:20"), 2);
	assert_int_equal(b.dialog.sdp_pairs, 1);
}

/* Callee sees two streams; its first is the relay's SRTP of stream 0. */
static void pair_answered_with_srtp(void **state)
{
	pair_offered();
	answered(&callee, &b, &a, &caller, PORTS(6000, 0));
	assert_int_equal(count(wire, "m="), 1);
	all(sdes_leg_confirm);
	speak(true, true);
	/* Slots stay: offers from either side. */
	offered(&caller, &a, &b, &callee, PORTS(4000));
	assert_int_equal(count(wire, "m="), 2);
	assert_non_null(strstr(wire, "m=audio 20000 RTP/SAVP"));
	assert_non_null(strstr(wire, "m=audio 0 RTP/AVP"));
	answered(&callee, &b, &a, &caller, PORTS(6000, 0));
	all(sdes_leg_confirm);
	offered(&callee, &b, &a, &caller, PORTS(6000, 0));
	assert_int_equal(count(wire, "m="), 1);
	says(&caller, false, false, PORTS(4000), NULL);
	assert_int_equal(across(&a, &b, false, false), 0);
	assert_int_equal(count(wire, "m="), 2);
	assert_non_null(strstr(wire, "m=audio 0 RTP/AVP"));
	assert_int_equal(hears(&callee, false), 0);
	all(sdes_leg_confirm);
	speak(true, true);
}

static void pair_answered_with_rtp(void **state)
{
	pair_offered();
	answered(&callee, &b, &a, &caller, PORTS(0, 6002));
	assert_non_null(strstr(wire, "RTP/SAVP"));
	all(sdes_leg_confirm);
	speak(true, false);
	offered(&caller, &a, &b, &callee, PORTS(4000));
	assert_non_null(strstr(wire, "m=audio 0 RTP/SAVP"));
	assert_non_null(strstr(wire, "m=audio 20000 RTP/AVP"));
	assert_int_equal(count(wire, "a=crypto:"), 0);
	answered(&callee, &b, &a, &caller, PORTS(0, 6002));
	offered(&callee, &b, &a, &caller, PORTS(0, 6002));
	says(&caller, false, false, PORTS(4000), NULL);
	assert_int_equal(across(&a, &b, false, false), 0);
	assert_int_equal(count(wire, "m="), 2);
	assert_non_null(strstr(wire, "m=audio 20000 RTP/AVP"));
}

static void pair_answered_with_both(void **state)
{
	pair_offered();
	says(&callee, false, false, PORTS(6000, 6002), NULL);
	assert_int_equal(across(&b, &a, false, false), 0);
	assert_int_equal(count(wire, "m="), 1);
	in_step(&of_callee[0], &of_relay[0], 1, true);
	/* An offer that turns the other one off is due. */
	assert_true(heard.offer_due);
	assert_int_equal(hears(&caller, false), 0);
	all(sdes_leg_confirm);
	says(&b, true, false, relayed, NULL);
	assert_non_null(strstr(wire, "RTP/SAVP"));
	assert_non_null(strstr(wire, "m=audio 0 RTP/AVP"));
}

static void pair_answered_badly(void **state)
{
	pair_offered();
	says(&callee, false, false, PORTS(6000, 0), NULL);
	/* The second m-line is missing. */
	*strstr(wire, "m=audio 0") = '\0';
	assert_int_equal(hears(&b, false), -EPROTO);
	assert_non_null(strstr(why.text, "lacks m= lines"));
	sdes_leg_refuse(&b.leg);
	assert_int_equal(of_relay[0].keys_len, 1); /* of the caller's offer */
}

static void pair_answered_with_none(void **state)
{
	pair_offered();
	says(&callee, false, false, PORTS(0, 0), NULL);
	assert_int_equal(hears(&b, false), 0);
	assert_int_equal(count(plain, "m=audio 0 RTP/AVP"), 1);
	assert_int_equal(count(plain, "m="), 1);
}

/* A stream that comes later, from either side, goes behind the pair. */
static void streams_behind_a_pair(void **state)
{
	pair_offered();
	answered(&callee, &b, &a, &caller, PORTS(6000, 0));
	all(sdes_leg_confirm);
	offered(&callee, &b, &a, &caller, PORTS(6000, 0, 6004));
	assert_int_equal(count(wire, "m="), 2);
	answered(&caller, &a, &b, &callee, PORTS(4000, 4002));
	assert_int_equal(count(wire, "m="), 3);
	all(sdes_leg_confirm);
	in_step(&of_relay[1], &of_caller[1], 0, true);
	/* The callee's second stream is the pair's other half. */
	offered(&caller, &a, &b, &callee, PORTS(4000, 4002, 4004));
	assert_int_equal(count(wire, "m="), 5);
	assert_int_equal(b.dialog.sdp_pairs, 1 | 1 << 2);
	/* And one of these may not be missing. */
	sdes_leg_refuse(&b.leg);
	snprintf(wire, sizeof(wire), "%s", PORTS(6000, 0, 6004, 0));
	b.security.inbound = SDP_SEC_ANY;
	assert_int_equal(hears(&b, true), -EPROTO);
	assert_non_null(strstr(why.text, "offer lacks m= lines"));
}

/* ---- changes ----------------------------------------------------------- */

static void hold_keeps_the_keys(void **state)
{
	struct media_keys before, after;
	uint64_t version;

	call();
	media_keys_of(&of_relay[0], 1, &before);
	version = b.dialog.sdp_version;
	offered(&caller, &a, &b, &callee, PORTS(4000));
	assert_int_equal(b.dialog.sdp_version, version);
	answered(&callee, &b, &a, &caller, PORTS(6000));
	all(sdes_leg_confirm);
	media_keys_of(&of_relay[0], 1, &after);
	assert_int_equal(before.tx->number, after.tx->number);
	/* A key alone is a new version. */
	b.security.profile.rekey = true;
	offered(&caller, &a, &b, &callee, PORTS(4000));
	assert_int_equal(b.dialog.sdp_version, version + 1);
	answered(&callee, &b, &a, &caller, PORTS(6000));
	all(sdes_leg_confirm);
	speak(true, true);
}

static void refused_re_offer(void **state)
{
	call();
	offered(&caller, &a, &b, &callee, PORTS(4000));
	all(sdes_leg_refuse);
	speak(true, true);
	offered(&callee, &b, &a, &caller, PORTS(6000));
	all(sdes_leg_refuse);
	speak(true, true);
	all(sdes_leg_end);
	assert_int_equal(of_relay[0].keys_len, 0);
}

/* Offers that cross: ours is not forgotten, its answer is taken. */
static void glare(void **state)
{
	char ours[TEXT];

	call();
	b.security.profile.rekey = true;
	offered(&caller, &a, &b, &callee, PORTS(4000));
	memcpy(ours, wire, sizeof(ours));
	sdes_leg_refuse(&callee.leg);
	says(&callee, true, false, PORTS(6000), NULL);
	assert_int_equal(hears(&b, true), -EPROTO);
	assert_int_equal(why.warning, 399);
	sdes_leg_refuse(&callee.leg);
	killed();
	memcpy(wire, ours, sizeof(wire));
	assert_int_equal(hears(&callee, true), 0);
	answered(&callee, &b, &a, &caller, PORTS(6000));
	all(sdes_leg_confirm);
	speak(true, true);
}

/* The 200 says what the 183 said, when the offer is forgotten. */
static void answered_twice(void **state)
{
	offered(&caller, &a, &b, &callee, PORTS(4000));
	answered(&callee, &b, &a, &caller, PORTS(6000));
	answered(&callee, &b, &a, &caller, PORTS(6000));
	all(sdes_leg_confirm);
	speak(true, true);
}

/* ---- as configured ------------------------------------------------------ */

static void as_configured(void **state)
{
	struct config_sdes_profile profile = {
		.name = "p",
		.suites = {SDES_AEAD_AES_256_GCM, SDES_AES_CM_128_HMAC_SHA1_32},
		.suites_len = 2,
		.srtp_encrypt = true,
		.ingress_params = SDES_UNENCRYPTED_SRTP,
		.mki = true,
		.lifetime = 31,
		.offer_format = OFFER_BOTH,
		.rekey = true,
	};
	struct config_media_sec policy = {.inbound = CONFIG_MEDIA_SRTP,
					  .outbound = CONFIG_MEDIA_ANY};
	struct media_security m;

	media_security_of(&policy, &m);
	assert_null(m.profile_name);
	assert_int_equal(m.inbound, SDP_SEC_SRTP);
	assert_int_equal(m.outbound, SDP_SEC_ANY);
	policy.profile = &profile;
	media_security_of(&policy, &m);
	assert_string_equal(m.profile_name, "p");
	assert_true(m.both && m.profile.rekey && !m.profile.roc_reset);
	assert_int_equal(m.profile.sdes.suites_len, 2);
	assert_int_equal(m.profile.sdes.suites[0], SDES_AEAD_AES_256_GCM);
	assert_int_equal(m.profile.sdes.flags_offered,
			 SDES_UNAUTHENTICATED_SRTP | SDES_UNENCRYPTED_SRTCP);
	assert_int_equal(m.profile.sdes.flags_ingress, SDES_UNENCRYPTED_SRTP);
	assert_true(m.profile.sdes.mki);
	assert_int_equal(m.profile.sdes.lifetime, 31);
	/* One name for one suite, here and there. */
	for (int s = SDES_SUITE_NONE + 1; s < SDES_SUITES; s++)
		assert_int_equal(
			config_suite_find(sdes_suite_name((enum sdes_suite)s)),
			s);
}

#define CASE(name) cmocka_unit_test_setup(name, up)

int main(void)
{
	const struct CMUnitTest tests[] = {CASE(every_combination),
					   CASE(keys_end_at_their_leg),
					   CASE(same_as_ingress),
					   CASE(crypto_in_plain_is_ignored),
					   CASE(feedback_profiles),
					   CASE(policy_refuses),
					   CASE(profile_refuses),
					   CASE(one_stream_is_refused),
					   CASE(an_answer_out_of_place),
					   CASE(pair_answered_with_srtp),
					   CASE(pair_answered_with_rtp),
					   CASE(pair_answered_with_both),
					   CASE(pair_answered_badly),
					   CASE(pair_answered_with_none),
					   CASE(streams_behind_a_pair),
					   CASE(hold_keeps_the_keys),
					   CASE(refused_re_offer),
					   CASE(answered_twice),
					   CASE(glare),
					   CASE(as_configured)};

	buf_init(&value, 65536);
	return cmocka_run_group_tests(tests, NULL, NULL);
}
