/*
 * SRTP on one side of calls through a real SIP worker: what descriptions say,
 * what is refused and why, and which keys the streams' records hold.
 */
#include "harness_secure.h"

/* ---- both ways ------------------------------------------------------------
 */

static void out_of_the_plain(void **state)
{
	char *inv;

	invite();
	note_key(um.msg);
	assert_null(crypto_n(um.msg, 1));
	assert_null(strchr(crypto_n(um.msg, 0), '|'));
	inv = keep(um.msg);
	media_read();
	assert_true(same_as(key_of(1, KEY_OFFERED), our_key));
	assert_null(key_of(1, KEY_TX));
	answer_to(&um, inv, 183, "callee", NULL,
		  srtp_text(40000, "1 " SUITE KEY_A, NULL));
	expect_status(&pbx, 183, "INVITE");
	is_plain(pbx.msg);
	media_read();
	assert_true(same_as(key_of(1, KEY_TX), our_key));
	assert_true(same_as(key_of(1, KEY_RX), KEY_A));
	answer_to(&um, inv, 200, "callee", NULL,
		  srtp_text(40000, "1 " SUITE KEY_A, NULL));
	expect_status(&pbx, 200, "INVITE");
	is_plain(pbx.msg);
	learn(&a);
	ack(&a, NULL);
	expect(&um, "ACK");
	in_use(1, our_key, KEY_A);
	bye(&a, &um);
}

static void into_the_plain(void **state)
{
	establish_in();
	in_use(0, our_key, KEY_A);
	bye(&b, &um);
}

/* CUCM's way: the callee offers, the caller answers in its ACK. */
static void delayed_offer(void **state)
{
	char *inv;

	dlg_new(&a, &pbx, "2000");
	request(&a, "INVITE", NULL, NULL);
	expect(&um, "INVITE");
	inv = keep(um.msg);
	assert_string_equal(body(inv), "");
	answer_to(&um, inv, 200, "callee", NULL,
		  srtp_text(40000, "3 " SUITE KEY_A "|2^31", NULL));
	expect_status(&pbx, 200, "INVITE");
	is_plain(pbx.msg);
	learn(&a);
	ack(&a, sdp_text("10.10.0.50", 30000, ""));
	expect(&um, "ACK");
	note_key(um.msg);
	assert_true(!strncmp(crypto_n(um.msg, 0), "3 " SUITE, 8));
	in_use(1, our_key, KEY_A);
	/* The callee missed the ACK: the same again. */
	answer_to(&um, inv, 200, "callee", NULL,
		  srtp_text(40000, "3 " SUITE KEY_A "|2^31", NULL));
	expect(&um, "ACK");
	assert_string_equal(key_in(um.msg), our_key);
	bye(&a, &um);
}

static void delayed_offer_of_the_cloud(void **state)
{
	char *inv;

	call_in(NULL);
	expect(&pbx, "INVITE");
	inv = keep(pbx.msg);
	dlg_accept(&b, &pbx);
	answer_to(&pbx, inv, 200, "callee", NULL,
		  sdp_text("10.10.0.50", 30000, ""));
	expect_status(&um, 200, "INVITE");
	note_key(um.msg);
	learn(&a);
	ack(&a, srtp_text(40000, "1 " SUITE KEY_A, NULL));
	expect(&pbx, "ACK");
	is_plain(pbx.msg);
	in_use(0, our_key, KEY_A);
	bye(&b, &um);
}

static void reliable_and_update(void **state)
{
	char *inv;

	dlg_new(&a, &pbx, "2000");
	request(&a, "INVITE", "Supported: 100rel\r\n", NULL);
	expect(&um, "INVITE");
	dlg_accept(&b, &um);
	inv = keep(um.msg);
	answer_to(&um, inv, 183, "callee", "Require: 100rel\r\nRSeq: 9\r\n",
		  srtp_text(40000, "1 " SUITE KEY_A, NULL));
	expect_status(&pbx, 183, "INVITE");
	is_plain(pbx.msg);
	learn(&a);
	request(&a, "PRACK", "RAck: 9 11 INVITE\r\n",
		sdp_text("10.10.0.50", 30000, ""));
	expect(&um, "PRACK");
	note_key(um.msg);
	answer_to(&um, keep(um.msg), 200, NULL, NULL, NULL);
	expect_status(&pbx, 200, "PRACK");
	media_read();
	assert_true(same_as(key_of(1, KEY_TX), our_key));
	/* The callee changes its key before it answers. */
	request(&b, "UPDATE", NULL, srtp_text(40000, "1 " SUITE KEY_B, NULL));
	expect(&pbx, "UPDATE");
	is_plain(pbx.msg);
	answer_to(&pbx, keep(pbx.msg), 200, NULL, NULL,
		  sdp_text("10.10.0.50", 30000, ""));
	expect_status(&um, 200, "UPDATE");
	assert_string_equal(key_in(um.msg), our_key);
	in_use(1, our_key, KEY_B);
	assert_true(same_as(key_of(1, KEY_RX_OLD), KEY_A));
	/* All is said; some say again what they said first. */
	answer_to(&um, inv, 200, "callee", NULL,
		  srtp_text(40000, "1 " SUITE KEY_A, NULL));
	expect_status(&pbx, 200, "INVITE");
	assert_string_equal(body(pbx.msg), "");
	a.cseq = 11;
	ack(&a, NULL);
	expect(&um, "ACK");
	in_use(1, our_key, KEY_B);
	a.cseq = 12;
	bye(&a, &um);
}

/* ---- what is refused -------------------------------------------------------
 */

static void offers_refused(void **state)
{
	refused_in(sdp_text("10.20.0.50", 40000, ""),
		   "302 sbc \"Incompatible transport protocol: "
		   "media-sec-policy inbound is srtp");
	refused_in(srtp_text(40000, NULL, NULL),
		   "399 sbc \"sdes-profile sdes1: ");
	refused_in(srtp_text(40000, "1 " SUITE KEY_A " UNAUTHENTICATED_SRTP",
			     NULL),
		   "srtp-auth");
	refused_in(srtp_text(40000, "1 " SUITE KEY_A " UNENCRYPTED_SRTP", NULL),
		   "srtp-encrypt");
	refused_in(srtp_text(40000, "1 AES_CM_128_HMAC_SHA1_32 " KEY_A, NULL),
		   "crypto-list");
	refused_in(srtp_text(40000, "1 " SUITE "inline:c2hvcnQ=", NULL),
		   "sdes-profile sdes1: ");
}

/* Nobody gets a call: ACK and BYE there, 488 here. */
static void answer_refused(const char *sdp)
{
	invite();
	answer_to(&um, keep(um.msg), 200, "callee", NULL, sdp);
	expect(&um, "ACK");
	expect(&um, "BYE");
	answer_to(&um, keep(um.msg), 200, NULL, NULL, NULL);
	expect_status(&pbx, 488, "INVITE");
	ack(&a, NULL);
	keeper_expect_records(0);
}

static void answers_refused(void **state)
{
	answer_refused(sdp_text("10.20.0.50", 40000, ""));
	answer_refused(srtp_text(40000, NULL, NULL));
	answer_refused(
		srtp_text(40000, "1 AES_CM_128_HMAC_SHA1_32 " KEY_A, NULL));
	answer_refused(srtp_text(
		40000, "1 " SUITE KEY_A " UNAUTHENTICATED_SRTP", NULL));
}

static void answer_in_ack_refused(void **state)
{
	call_in(NULL);
	expect(&pbx, "INVITE");
	answer_to(&pbx, keep(pbx.msg), 200, "callee", NULL,
		  sdp_text("10.10.0.50", 30000, ""));
	expect_status(&um, 200, "INVITE");
	learn(&a);
	ack(&a, srtp_text(40000, NULL, NULL));
	expect(&pbx, "ACK");
	expect(&pbx, "BYE");
	answer_to(&pbx, keep(pbx.msg), 200, NULL, NULL, NULL);
	expect(&um, "BYE");
	assert_non_null(strstr(header(um.msg, "Reason"), "sdes-profile sdes1"));
	answer_to(&um, keep(um.msg), 200, NULL, NULL, NULL);
	keeper_expect_records(0);
}

/* The plain side has no rules of its own: SRTP is not for it. */
static void srtp_from_the_plain_side(void **state)
{
	dlg_new(&a, &pbx, "2000");
	request(&a, "INVITE", NULL, srtp_text(30000, "1 " SUITE KEY_A, NULL));
	expect_status(&pbx, 488, "INVITE");
	assert_non_null(strstr(header(pbx.msg, "Warning"),
			       "media-sec-policy inbound is rtp"));
	ack(&a, NULL);
}

/* ---- another try --------------------------------------------------------- */

/* Who is asked for a password calls again: another call, with other keys. */
static void a_challenge_makes_new_keys(void **state)
{
	char first[256], *inv;

	invite();
	note_key(um.msg);
	snprintf(first, sizeof(first), "%s", our_key);
	answer_to(&um, keep(um.msg), 407, "callee",
		  "Proxy-Authenticate: Digest realm=\"x\", nonce=\"y\"\r\n",
		  NULL);
	expect_status(&pbx, 407, "INVITE");
	ack(&a, NULL);
	expect(&um, "ACK");
	keeper_expect_records(0);
	request(&a, "INVITE", "Proxy-Authorization: Digest username=\"u\"\r\n",
		sdp_text("10.10.0.50", 30000, ""));
	expect(&um, "INVITE");
	dlg_accept(&b, &um);
	note_key(um.msg);
	assert_string_not_equal(our_key, first);
	inv = keep(um.msg);
	/* And who gives up leaves none behind. */
	answer_to(&um, inv, 183, "callee", NULL,
		  srtp_text(40000, "1 " SUITE KEY_A, NULL));
	expect_status(&pbx, 183, "INVITE");
	in_early_use(1, our_key, KEY_A);
	ua_send(&pbx, make_request(&a, "CANCEL", a.cseq, NULL, NULL));
	expect_status(&pbx, 487, "INVITE");
	ack(&a, NULL);
	expect(&um, "CANCEL");
	answer_to(&um, keep(um.msg), 200, "callee", NULL, NULL);
	answer_to(&um, inv, 487, "callee", NULL, NULL);
	expect(&um, "ACK");
	keeper_expect_records(0);
}

/* ---- within the call -------------------------------------------------------
 */

/* um's answer to a re-INVITE of pbx that it got. */
static void um_answers(const char *key)
{
	char line[128];

	note_key(um.msg);
	snprintf(line, sizeof(line), "1 " SUITE "%s", key);
	answer_to(&um, keep(um.msg), 200, NULL, NULL,
		  srtp_text(40000, line, NULL));
	expect_status(&pbx, 200, "INVITE");
	is_plain(pbx.msg);
	ack(&a, NULL);
	expect(&um, "ACK");
}

static void keys_go_on(void **state)
{
	char first[256];

	establish_out();
	snprintf(first, sizeof(first), "%s", our_key);
	in_use(1, first, KEY_A);
	request(&a, "INVITE", NULL,
		sdp_text("10.10.0.50", 30000, "a=sendonly\r\n"));
	expect(&um, "INVITE");
	assert_string_equal(key_in(um.msg), first);
	um_answers(KEY_A);
	in_use(1, first, KEY_A);
	assert_null(key_of(1, KEY_RX_OLD));
	/* um offers, with a new key of its own. */
	reinvite(&b, &pbx, srtp_text(40000, "1 " SUITE KEY_B, NULL),
		 sdp_text("10.10.0.50", 30000, ""));
	in_use(1, first, KEY_B);
	assert_true(same_as(key_of(1, KEY_RX_OLD), KEY_A));
	bye(&b, &pbx);
}

static void refused_reinvites_change_nothing(void **state)
{
	establish_out();
	/* By the other side. */
	request(&b, "INVITE", NULL, srtp_text(40000, "1 " SUITE KEY_B, NULL));
	expect(&pbx, "INVITE");
	answer_to(&pbx, keep(pbx.msg), 488, NULL, NULL, NULL);
	expect_status(&um, 488, "INVITE");
	ack(&b, NULL);
	in_use(1, our_key, KEY_A);
	/* By our rules. */
	request(&b, "INVITE", NULL, sdp_text("10.20.0.50", 40000, ""));
	expect_status(&um, 488, "INVITE");
	assert_non_null(header(um.msg, "Warning"));
	ack(&b, NULL);
	in_use(1, our_key, KEY_A);
	/* By um. */
	request(&a, "INVITE", NULL, sdp_text("10.10.0.50", 30002, ""));
	expect(&um, "INVITE");
	answer_to(&um, keep(um.msg), 488, NULL, NULL, NULL);
	expect_status(&pbx, 488, "INVITE");
	ack(&a, NULL);
	in_use(1, our_key, KEY_A);
	/* And it still works. */
	request(&a, "INVITE", NULL, sdp_text("10.10.0.50", 30002, ""));
	expect(&um, "INVITE");
	um_answers(KEY_A);
	in_use(1, our_key, KEY_A);
	bye(&a, &um);
}

static void keys_of_before_run_out(void **state)
{
	uint64_t deadline;

	establish_out();
	reinvite(&b, &pbx, srtp_text(40000, "1 " SUITE KEY_B, NULL),
		 sdp_text("10.10.0.50", 30000, ""));
	in_use(1, our_key, KEY_B);
	assert_non_null(key_of(1, KEY_RX_OLD));
	/* The node after us sees to it as well. */
	kill_and_replace();
	deadline = clock_mono_ms() + 30000;
	do {
		run_ms(200);
		media_read();
	} while (key_of(1, KEY_RX_OLD) && clock_mono_ms() < deadline);
	assert_null(key_of(1, KEY_RX_OLD));
	in_use(1, our_key, KEY_B);
	bye(&b, &pbx);
}

static int up_rekey(void **state)
{
	return up_with("srtp", "srtp-rekey-on-re-invite = enabled");
}

static void rekey_on_reinvite(void **state)
{
	char first[256];

	establish_out();
	snprintf(first, sizeof(first), "%s", our_key);
	request(&a, "INVITE", NULL, sdp_text("10.10.0.50", 30000, ""));
	expect(&um, "INVITE");
	um_answers(KEY_B);
	assert_string_not_equal(our_key, first);
	in_use(1, our_key, KEY_B);
	/* An UPDATE is none. */
	request(&a, "UPDATE", NULL, sdp_text("10.10.0.50", 30000, ""));
	expect(&um, "UPDATE");
	assert_string_equal(key_in(um.msg), our_key);
	answer_to(&um, keep(um.msg), 200, NULL, NULL,
		  srtp_text(40000, "1 " SUITE KEY_B, NULL));
	expect_status(&pbx, 200, "UPDATE");
	in_use(1, our_key, KEY_B);
	bye(&a, &um);
}

/* ---- options in what we say
 * -------------------------------------------------- */

static int up_weak(void **state)
{
	return up_with("srtp", "srtp-auth = disabled\n mki = enabled\n "
			       "lifetime = 31");
}

static void options_are_said(void **state)
{
	const char *line;

	invite();
	line = crypto_n(um.msg, 0);
	assert_non_null(strstr(line, " UNAUTHENTICATED_SRTP"));
	assert_non_null(strstr(line, "|2^31|1:"));
	answer_to(&um, keep(um.msg), 488, "callee", NULL, NULL);
	expect(&um, "ACK");
	expect_status(&pbx, 488, "INVITE");
	ack(&a, NULL);
	keeper_expect_records(0);
}

/* ---- keys that are used up ----------------------------------------------- */

static int up_short(void **state)
{
	return up_with("srtp", "lifetime = 17");
}

/* The media worker's word, through the keeper: packets sent to each side. */
static void sent(uint64_t packets)
{
	static uint64_t token = 100000;
	struct rec_mstate m = {.flows_len = 2};
	struct link_message rec = {.type = LINK_RECORD, .token = ++token};
	struct buf value;

	rec.key = media_read();
	rec.key.kind = REC_MSTATE;
	m.flows[0].tx_packets = m.flows[1].tx_packets = packets;
	buf_init(&value, 65536);
	assert_int_equal(record_encode(REC_MSTATE, &m, &value), 0);
	rec.value = value.data;
	rec.size = value.size;
	keeper_send(&rec);
	buf_finish(&value);
}

static void worn_keys_are_changed(void **state)
{
	enum { LIFE = 1 << 17, WORN = LIFE - LIFE / 8 - 8192 };
	char first[256], *inv;

	establish_out();
	snprintf(first, sizeof(first), "%s", our_key);
	assert_non_null(strstr(first, "|2^17"));
	sent(1000);
	sent(1000 + WORN - 1);
	expect_nothing(&um, "good for some more");
	assert_int_equal(key_of(1, KEY_TX)->begun, 1001);
	/* The next node goes on counting. */
	kill_and_replace();
	sent(1000 + WORN);
	expect(&um, "INVITE");
	note_key(um.msg);
	inv = keep(um.msg);
	assert_string_not_equal(our_key, first);
	answer_to(&um, inv, 200, NULL, NULL,
		  srtp_text(40000, "1 " SUITE KEY_A, NULL));
	expect(&um, "ACK");
	media_read();
	assert_true(same_as(key_of(1, KEY_TX), our_key));
	assert_int_equal(key_of(1, KEY_TX)->begun, 0);
	sent(200000);
	expect_nothing(&um, "a new key, a new count");
	/* Whoever takes no new one has no call when it is used up. */
	sent(200000 + WORN);
	expect(&um, "INVITE");
	answer_to(&um, keep(um.msg), 488, NULL, NULL, NULL);
	expect(&um, "ACK");
	run_ms(50);
	sent(200000 + LIFE);
	expect(&um, "BYE");
	assert_non_null(strstr(header(um.msg, "Reason"), "SRTP key used up"));
	answer_to(&um, keep(um.msg), 200, NULL, NULL, NULL);
	expect(&pbx, "BYE");
	answer_to(&pbx, keep(pbx.msg), 200, NULL, NULL, NULL);
	keeper_expect_records(0);
}

static int up_shorter(void **state)
{
	return up_with("srtp", "lifetime = 12");
}

/* A short life is no reason to change a key at once. */
static void short_lives_are_counted(void **state)
{
	enum { LIFE = 1 << 12, WORN = LIFE - LIFE / 8 - LIFE / 16 };
	char *inv;

	establish_out();
	assert_non_null(strstr(our_key, "|2^12"));
	sent(10);
	sent(10 + WORN - 1);
	expect_nothing(&um, "good for some more");
	sent(10 + WORN);
	expect(&um, "INVITE");
	inv = keep(um.msg);
	answer_to(&um, inv, 200, NULL, NULL,
		  srtp_text(40000, "1 " SUITE KEY_A, NULL));
	expect(&um, "ACK");
	run_ms(50);
	sent(10 + LIFE);
	expect_nothing(&um, "a new key, a new count");
}

/* ---- pairs of m-lines
 * -------------------------------------------------------- */

static int up_pair(void **state)
{
	return up_with("any", "egress-offer-format = simultaneous-best-effort");
}

static const char *pair_text(int srtp_port, int rtp_port)
{
	static char second[64];

	snprintf(second, sizeof(second), "m=audio %d RTP/AVP 8\r\n", rtp_port);
	return srtp_text(srtp_port, srtp_port ? "1 " SUITE KEY_A : NULL,
			 second);
}

static void pair_answered(int srtp_port, int rtp_port)
{
	const char *avp;

	invite();
	note_key(um.msg);
	avp = strstr(body(um.msg), "RTP/AVP");
	assert_non_null(avp);
	assert_true(avp > strstr(body(um.msg), "RTP/SAVP"));
	answer_to(&um, keep(um.msg), 200, "callee", NULL,
		  pair_text(srtp_port, rtp_port));
	expect_status(&pbx, 200, "INVITE");
	is_plain(pbx.msg);
	learn(&a);
	ack(&a, NULL);
	expect(&um, "ACK");
}

static void one_of_a_pair(void **state)
{
	pair_answered(40000, 0);
	in_use(1, our_key, KEY_A);
	expect_nothing(&um, "nothing is left to say");
	bye(&a, &um);
	pair_answered(0, 40000);
	in_use(1, NULL, NULL);
	/* What is said later has both m-lines, the first one off. */
	request(&a, "INVITE", NULL, sdp_text("10.10.0.50", 30000, ""));
	expect(&um, "INVITE");
	assert_non_null(strstr(body(um.msg), "m=audio 0 RTP/SAVP"));
	assert_null(crypto_n(um.msg, 0));
	answer_to(&um, keep(um.msg), 200, NULL, NULL, pair_text(0, 40000));
	expect_status(&pbx, 200, "INVITE");
	is_plain(pbx.msg);
	ack(&a, NULL);
	expect(&um, "ACK");
	bye(&a, &um);
}

/* Our re-INVITE that turns the second m-line off. */
static char *own_offer(void)
{
	expect(&um, "INVITE");
	note_key(um.msg);
	return keep(um.msg);
}

static void both_of_a_pair(void **state)
{
	char *inv;

	pair_answered(40000, 40002);
	inv = own_offer();
	assert_non_null(strstr(body(inv), "m=audio 0 RTP/AVP"));
	/* Nobody else hears of it. */
	expect_nothing(&pbx, "not of its business");
	answer_to(&um, inv, 200, NULL, NULL, pair_text(40000, 0));
	expect(&um, "ACK");
	in_use(1, our_key, KEY_A);
	expect_nothing(&um, "once is enough");
	bye(&a, &um);
}

/* The pair's answer has one m-line too few. */
static void half_a_pair(void **state)
{
	invite();
	answer_to(&um, keep(um.msg), 200, "callee", NULL,
		  srtp_text(40000, "1 " SUITE KEY_A, NULL));
	expect(&um, "ACK");
	expect(&um, "BYE");
	assert_non_null(strstr(header(um.msg, "Reason"), "lacks m= lines"));
	answer_to(&um, keep(um.msg), 200, NULL, NULL, NULL);
	expect_status(&pbx, 488, "INVITE");
	ack(&a, NULL);
	keeper_expect_records(0);
}

/* ---- forks ------------------------------------------------------------------
 */

/* Two phones know our key: one of them is answered, and gets a new one. */
static void forked(void)
{
	char *inv;

	invite();
	note_key(um.msg);
	inv = keep(um.msg);
	answer_to(&um, inv, 183, "other", NULL,
		  srtp_text(40002, "1 " SUITE KEY_B, NULL));
	expect_status(&pbx, 183, "INVITE");
	answer_to(&um, inv, 200, "callee", NULL,
		  srtp_text(40000, "1 " SUITE KEY_A, NULL));
	expect_status(&pbx, 200, "INVITE");
	learn(&a);
	ack(&a, NULL);
	expect(&um, "ACK");
}

static void a_fork_s_key_ends_with_it(void **state)
{
	char first[256], *inv;

	forked();
	snprintf(first, sizeof(first), "%s", our_key);
	inv = own_offer();
	assert_string_not_equal(our_key, first);
	answer_to(&um, inv, 200, NULL, NULL,
		  srtp_text(40000, "1 " SUITE KEY_A, NULL));
	expect(&um, "ACK");
	in_use(1, our_key, KEY_A);
	expect_nothing(&um, "once is enough");
	bye(&a, &um);
}

/* That branch has said nothing before; it is answered too. */
static void a_second_answer_makes_new_keys(void **state)
{
	char first[256], *inv;

	establish_out();
	snprintf(first, sizeof(first), "%s", our_key);
	answer_to(&um, invited, 200, "second", NULL,
		  srtp_text(40002, "1 " SUITE KEY_B, NULL));
	expect(&um, "ACK");
	expect(&um, "BYE");
	answer_to(&um, keep(um.msg), 200, NULL, NULL, NULL);
	inv = own_offer();
	assert_non_null(strstr(header(inv, "To"), ";tag=callee"));
	assert_string_not_equal(our_key, first);
	answer_to(&um, inv, 200, NULL, NULL,
		  srtp_text(40000, "1 " SUITE KEY_A, NULL));
	expect(&um, "ACK");
	in_use(1, our_key, KEY_A);
	bye(&a, &um);
}

static void own_offer_meets_another(void **state)
{
	char *inv;

	forked();
	inv = own_offer();
	/* Glare, at our end and at theirs. */
	request(&a, "INVITE", NULL, sdp_text("10.10.0.50", 30000, ""));
	expect_status(&pbx, 491, "INVITE");
	ack(&a, NULL);
	answer_to(&um, inv, 491, NULL, NULL, NULL);
	expect(&um, "ACK");
	/* 2.1 to 4 s later. */
	run_ms(2000);
	inv = own_offer();
	answer_to(&um, inv, 200, NULL, NULL,
		  srtp_text(40000, "1 " SUITE KEY_A, NULL));
	expect(&um, "ACK");
	in_use(1, our_key, KEY_A);
	bye(&a, &um);
}

static void own_offer_is_refused(void **state)
{
	char first[256];

	forked();
	snprintf(first, sizeof(first), "%s", our_key);
	answer_to(&um, own_offer(), 488, NULL, NULL, NULL);
	expect(&um, "ACK");
	in_use(1, first, KEY_A);
	expect_nothing(&um, "no means no");
	bye(&a, &um);
}

static void own_offer_gets(const char *sdp)
{
	forked();
	answer_to(&um, own_offer(), 200, NULL, NULL, sdp);
	expect(&um, "ACK");
	expect(&um, "BYE");
	answer_to(&um, keep(um.msg), 200, NULL, NULL, NULL);
	expect(&pbx, "BYE");
	answer_to(&pbx, keep(pbx.msg), 200, NULL, NULL, NULL);
	keeper_expect_records(0);
}

static void own_offer_gets_nonsense(void **state)
{
	own_offer_gets(srtp_text(40000, NULL, NULL));
	own_offer_gets(NULL);
}

/* ---- both sides
 * -------------------------------------------------------------- */

static int up_both(void **state)
{
	static char text[2048];

	snprintf(text, sizeof(text),
		 "%ssession-agent \"pbxs\" { realm = core host = "
		 "\"10.10.0.99\" media-sec-policy = sec }\n",
		 policy_text("srtp", "crypto-list = {AES_CM_128_HMAC_SHA1_80, "
				     "AES_CM_128_HMAC_SHA1_32}"));
	conf_cloud = "media-sec-policy = sec";
	conf_extra = text;
	if (up(state))
		return -1;
	ua_close(&pbx);
	ua_open(&pbx, "10.10.0.99", "10.10.0.10", false);
	return 0;
}

/* Keys and suites of each side are its own. */
static void srtp_on_both_sides(void **state)
{
	char key[256];

	dlg_new(&a, &pbx, "2000");
	request(&a, "INVITE", NULL,
		srtp_text(30000, "1 AES_CM_128_HMAC_SHA1_32 " KEY_C, NULL));
	expect(&um, "INVITE");
	dlg_accept(&b, &um);
	note_key(um.msg);
	assert_null(strstr(um.msg, KEY_C));
	assert_non_null(crypto_n(um.msg, 1));
	answer_to(&um, keep(um.msg), 200, "callee", NULL,
		  srtp_text(40000, "1 " SUITE KEY_A, NULL));
	expect_status(&pbx, 200, "INVITE");
	assert_non_null(strstr(body(pbx.msg), "SHA1_32"));
	assert_null(strstr(pbx.msg, KEY_A));
	snprintf(key, sizeof(key), "%s", key_in(pbx.msg));
	assert_string_not_equal(key, our_key);
	learn(&a);
	ack(&a, NULL);
	expect(&um, "ACK");
	in_use(1, our_key, KEY_A);
	in_use(0, key, KEY_C);
	bye(&a, &um);
}

#define CASE(up, name) cmocka_unit_test_setup_teardown(name, up, down)

int main(void)
{
	const struct CMUnitTest tests[] = {
		CASE(up_srtp, out_of_the_plain),
		CASE(up_srtp, into_the_plain),
		CASE(up_srtp, delayed_offer),
		CASE(up_srtp, delayed_offer_of_the_cloud),
		CASE(up_srtp, reliable_and_update),
		CASE(up_srtp, offers_refused),
		CASE(up_srtp, answers_refused),
		CASE(up_srtp, answer_in_ack_refused),
		CASE(up_srtp, srtp_from_the_plain_side),
		CASE(up_srtp, a_challenge_makes_new_keys),
		CASE(up_srtp, keys_go_on),
		CASE(up_srtp, refused_reinvites_change_nothing),
		CASE(up_srtp, keys_of_before_run_out),
		CASE(up_rekey, rekey_on_reinvite),
		CASE(up_weak, options_are_said),
		CASE(up_short, worn_keys_are_changed),
		CASE(up_shorter, short_lives_are_counted),
		CASE(up_pair, one_of_a_pair),
		CASE(up_pair, both_of_a_pair),
		CASE(up_pair, half_a_pair),
		CASE(up_srtp, a_fork_s_key_ends_with_it),
		CASE(up_srtp, a_second_answer_makes_new_keys),
		CASE(up_srtp, own_offer_meets_another),
		CASE(up_srtp, own_offer_is_refused),
		CASE(up_srtp, own_offer_gets_nonsense),
		CASE(up_both, srtp_on_both_sides),
	};

	if (stage_network(NULL))
		return 1;
	return cmocka_run_group_tests(tests, NULL, NULL);
}
