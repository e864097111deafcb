/*
 * Keys of a stream through offers and answers, between us and a peer that
 * does the same. After every step our side is killed and comes back from its
 * record: what a step leaves must be all there is.
 */
#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <cmocka.h>

#include "sbcd/record/record.h"
#include "tests/unit/sip/harness_sdes.h"

enum { LEG = 3, OTHER_LEG = 4, NOW_MS = 1000000 };

static struct rec_media our_record, peer_record;
static struct sdes_profile our_profile, peer_profile;
static struct sdes_side us, peer;
static struct sdes_lines line;
static struct sdes_refusal why;
static struct buf value;

static struct sdes_side side(struct rec_media *m, struct sdes_profile *p)
{
	memset(m, 0, sizeof(*m));
	m->flows_len = 2;
	m->flows[0].leg = OTHER_LEG;
	m->flows[1].leg = LEG;
	*p = (struct sdes_profile){
		.sdes = {.suites = {SDES_AES_CM_128_HMAC_SHA1_80,
				    SDES_AEAD_AES_256_GCM},
			 .suites_len = 2},
	};
	return (struct sdes_side){
		.media = m,
		.leg = LEG,
		.profile = p,
		.random = counted,
		.now_ms = NOW_MS,
	};
}

static int up(void **state)
{
	us = side(&our_record, &our_profile);
	peer = side(&peer_record, &peer_profile);
	memset(&line, 0, sizeof(line));
	memset(&why, 0, sizeof(why));
	return 0;
}

/* The node dies and another one reads the record. */
static void killed(void)
{
	static struct rec_media again;

	assert_true(sdes_media_valid(&our_record));
	buf_reset(&value);
	assert_int_equal(record_encode(REC_MEDIA, &our_record, &value), 0);
	assert_int_equal(
		record_decode(REC_MEDIA, value.data, value.size, &again), 0);
	assert_memory_equal(&again, &our_record, sizeof(again));
	our_record = again;
}

static struct media_keys keys(const struct rec_media *m)
{
	struct media_keys k;

	media_keys_of(m, LEG, &k);
	return k;
}

static void same(const struct rec_key *a, const struct rec_key *b)
{
	assert_non_null(a);
	assert_non_null(b);
	assert_int_equal(a->suite, b->suite);
	assert_int_equal(a->flags, b->flags);
	assert_int_equal(a->key.size, b->key.size);
	assert_memory_equal(a->key.data, b->key.data, a->key.size);
}

/* What one sends with the other receives with. */
static void in_step(void)
{
	struct media_keys o = keys(&our_record), p = keys(&peer_record);

	same(o.tx, p.rx[0]);
	same(p.tx, o.rx[0]);
	assert_memory_not_equal(o.tx->key.data, o.rx[0]->key.data,
				o.tx->key.size);
}

static void we_offer(bool rekey)
{
	assert_int_equal(sdes_media_offer(&us, true, rekey, &line), 0);
	killed();
	assert_int_equal(sdes_media_offered(&peer, &line, &why), 0);
}

static void peer_offers(bool rekey)
{
	assert_int_equal(sdes_media_offer(&peer, true, rekey, &line), 0);
	assert_int_equal(sdes_media_offered(&us, &line, &why), 0);
	killed();
}

static void peer_answers(void)
{
	assert_int_equal(sdes_media_answer(&peer, true, &line), 0);
	assert_int_equal(line.len, 1);
	assert_int_equal(sdes_media_answered(&us, &line, &why), 0);
	killed();
}

static void we_answer(void)
{
	assert_int_equal(sdes_media_answer(&us, true, &line), 0);
	assert_int_equal(line.len, 1);
	killed();
	assert_int_equal(sdes_media_answered(&peer, &line, &why), 0);
}

static void confirmed(void)
{
	sdes_media_confirm(&us);
	sdes_media_confirm(&peer);
	killed();
}

static void call_out(void)
{
	we_offer(false);
	peer_answers();
	confirmed();
}

static unsigned number_tx(void)
{
	return keys(&our_record).tx->number;
}

static unsigned number_rx(void)
{
	return keys(&our_record).rx[0]->number;
}

/* ---- the table --------------------------------------------------------- */

/* Next state and actions of every pair, in the order of the enums. */
static void every_pair(void **state)
{
	enum {
		S = SDES_ACT_SETTLE,
		P = SDES_ACT_PROPOSE,
		R = SDES_ACT_REPEAT,
		C = SDES_ACT_CHOOSE,
		K = SDES_ACT_COMMIT,
		F = SDES_ACT_FORGET,
		B = SDES_ACT_REVERT,
		W = SDES_ACT_WIPE,
		D = SDES_ACT_DENY
	};
	static const struct sdes_step want[SDES_STATES][SDES_EVENTS] = {
		{{1, P}, {2, C}, {0, D}, {0, D}, {0, 0}, {0, 0}, {0, W}},
		{{1, R}, {1, D}, {1, D}, {3, K}, {1, 0}, {0, F}, {0, W}},
		{{2, D}, {2, C}, {4, K}, {2, D}, {2, 0}, {0, F}, {0, W}},
		{{1, S | P},
		 {2, S | C},
		 {3, D},
		 {3, K},
		 {0, S},
		 {0, B},
		 {0, W}},
		{{1, S | P},
		 {2, S | C},
		 {4, R},
		 {4, D},
		 {0, S},
		 {0, B},
		 {0, W}},
	};

	for (uint8_t s = 0; s < SDES_STATES; s++)
		for (unsigned e = 0; e < SDES_EVENTS; e++) {
			struct sdes_step got =
				sdes_fsm_step(s, (enum sdes_event)e);

			assert_int_equal(got.next, want[s][e].next);
			assert_int_equal(got.actions, want[s][e].actions);
		}
	assert_int_equal(sdes_fsm_step(SDES_STATES, SDES_EV_END).actions, D);
	assert_int_equal(sdes_fsm_step(0, SDES_EVENTS).actions, D);
}

/* Nothing that is out of turn changes anything. */
static void out_of_turn(void **state)
{
	struct rec_media before;

	we_offer(false);
	before = our_record;
	assert_int_equal(sdes_media_offered(&us, &line, &why), -EPROTO);
	assert_int_equal(why.rule, SDES_RULE_TURN);
	assert_int_equal(sdes_media_answer(&us, true, &line), -EPROTO);
	assert_memory_equal(&before, &our_record, sizeof(before));
	peer_answers();
	confirmed();
	before = our_record;
	assert_int_equal(sdes_media_answered(&us, &line, &why), -EPROTO);
	assert_int_equal(sdes_media_answer(&us, true, &line), -EPROTO);
	sdes_media_confirm(&us);
	sdes_media_refuse(&us);
	assert_memory_equal(&before, &our_record, sizeof(before));
}

/* ---- first exchanges --------------------------------------------------- */

static void we_call(void **state)
{
	struct media_keys k;

	we_offer(false);
	/* Offered is not in use. */
	k = keys(&our_record);
	assert_null(k.tx);
	assert_int_equal(k.rx_len, 0);
	assert_int_equal(line.len, 2);
	peer_answers();
	in_step();
	confirmed();
	in_step();
	assert_int_equal(our_record.keys_len, 2);
	assert_int_equal(keys(&our_record).tx->after, 0);
	assert_int_equal(our_record.flows[1].sdes_state, SDES_IDLE);
}

static void peer_calls(void **state)
{
	peer_offers(false);
	assert_null(keys(&our_record).tx);
	we_answer();
	in_step();
	confirmed();
	in_step();
	assert_int_equal(our_record.keys_len, 2);
}

/* An offer and an answer that are sent again are the same, key for key. */
static void sent_again(void **state)
{
	struct sdes_lines first;

	we_offer(false);
	first = line;
	assert_int_equal(sdes_media_offer(&us, true, false, &line), 0);
	assert_memory_equal(&first, &line, sizeof(line));
	peer_answers();
	first = line;
	assert_int_equal(sdes_media_answer(&peer, true, &line), 0);
	assert_memory_equal(&first, &line, sizeof(line));
	assert_int_equal(sdes_media_answered(&us, &line, &why), 0);
	in_step();
	confirmed();
	assert_int_equal(number_rx(), 3);
	assert_false(sdes_media_rekey_due(&our_record, LEG));
}

static void the_crypto_list_is_the_order(void **state)
{
	our_profile.sdes.suites[0] = SDES_AEAD_AES_256_GCM;
	our_profile.sdes.suites[1] = SDES_AES_CM_128_HMAC_SHA1_80;
	call_out();
	assert_int_equal(keys(&our_record).tx->suite, SDES_AEAD_AES_256_GCM);
	in_step();
}

static void mki_and_lifetime(void **state)
{
	const struct rec_key *tx;

	our_profile.sdes.mki = true;
	our_profile.sdes.lifetime = 20;
	call_out();
	tx = keys(&our_record).tx;
	assert_int_equal(tx->mki, tx->number);
	assert_int_equal(tx->mki_size, 4);
	assert_int_equal(keys(&peer_record).rx[0]->mki, tx->mki);
	assert_false(sdes_media_worn(tx, (1 << 20) * 7 / 8 - 1));
	assert_true(sdes_media_worn(tx, (1 << 20) * 7 / 8));
	assert_false(
		sdes_media_worn(keys(&our_record).rx[0], UINT64_C(1) << 47));
	/* It names a key: as long as that stays, so does its name. */
	we_offer(false);
	peer_answers();
	confirmed();
	assert_int_equal(keys(&our_record).tx->mki, 1);
	we_offer(true);
	peer_answers();
	confirmed();
	tx = keys(&our_record).tx;
	assert_int_equal(tx->mki, tx->number);
	assert_int_not_equal(tx->mki, 1);
	in_step();
	/* And when we answer. */
	peer_offers(false);
	we_answer();
	confirmed();
	assert_int_equal(keys(&our_record).tx->mki, tx->number);
}

static void mirrored_parameters(void **state)
{
	peer_profile.sdes.flags_offered = SDES_UNENCRYPTED_SRTCP;
	assert_int_equal(sdes_media_offer(&peer, true, false, &line), 0);
	assert_int_equal(sdes_media_offered(&us, &line, &why), -EPROTO);
	assert_int_equal(why.rule, SDES_RULE_SRTCP_ENCRYPT);
	assert_int_equal(our_record.keys_len, 0);
	assert_int_equal(our_record.flows[1].sdes_state, SDES_IDLE);
	our_profile.sdes.flags_ingress = SDES_UNENCRYPTED_SRTCP;
	peer_offers(false);
	we_answer();
	assert_int_equal(keys(&our_record).tx->flags, SDES_UNENCRYPTED_SRTCP);
	in_step();
	confirmed();
	/* Towards us as well: the answer decides for both directions. */
	peer_profile.sdes.flags_ingress = SDES_UNENCRYPTED_SRTCP;
	our_profile.sdes.flags_offered = SDES_UNENCRYPTED_SRTCP;
	call_out();
	assert_int_equal(keys(&our_record).tx->flags, SDES_UNENCRYPTED_SRTCP);
}

/* ---- re-offers --------------------------------------------------------- */

static void a_re_offer_keeps_the_contexts(void **state)
{
	unsigned tx, rx;

	our_profile.roc_reset = true;
	call_out();
	tx = number_tx();
	rx = number_rx();
	for (unsigned i = 0; i < 5; i++) {
		we_offer(false);
		peer_answers();
		assert_int_equal(keys(&our_record).rx_len, 1);
		assert_null(keys(&our_record).tx_kept);
		confirmed();
		peer_offers(false);
		we_answer();
		confirmed();
		assert_int_equal(number_tx(), tx);
		assert_int_equal(number_rx(), rx);
		assert_int_equal(keys(&our_record).tx->after, 0);
		in_step();
		assert_int_equal(our_record.keys_len, 2);
	}
}

static void our_new_key_waits_for_the_answer(void **state)
{
	struct media_keys k;
	unsigned tx, rx;

	our_profile.rekey = true;
	call_out();
	tx = number_tx();
	rx = number_rx();
	we_offer(false);
	assert_int_equal(number_tx(), tx);
	assert_memory_not_equal(line.line[0].key,
				keys(&our_record).tx->key.data, 30);
	peer_answers();
	in_step();
	assert_int_not_equal(number_tx(), tx);
	assert_int_equal(keys(&our_record).tx->after, tx);
	assert_int_equal(number_rx(), rx);
	/* What may have to go on is kept until it is certain. */
	k = keys(&our_record);
	assert_int_equal(k.tx_kept->number, tx);
	confirmed();
	assert_null(keys(&our_record).tx_kept);
	assert_int_equal(our_record.keys_len, 2);
}

static void roc_by_policy(void **state)
{
	unsigned tx, rx;

	for (int reset = 0; reset < 2; reset++) {
		up(NULL);
		our_profile.roc_reset = reset;
		call_out();
		tx = number_tx();
		rx = number_rx();
		peer_profile.rekey = our_profile.rekey = true;
		peer_offers(false);
		we_answer();
		confirmed();
		assert_int_equal(keys(&our_record).tx->after, reset ? 0 : tx);
		assert_int_equal(keys(&our_record).rx[0]->after,
				 reset ? 0 : rx);
		in_step();
	}
}

static void the_old_key_is_heard_for_a_while(void **state)
{
	struct media_keys k;
	unsigned rx;

	call_out();
	rx = number_rx();
	peer_offers(true);
	/* Before we answer the peer goes on as it was. */
	assert_int_equal(number_rx(), rx);
	we_answer();
	k = keys(&our_record);
	assert_int_equal(k.rx_len, 2);
	assert_int_not_equal(k.rx[0]->number, rx);
	assert_int_equal(k.rx[1]->number, rx);
	in_step();
	confirmed();
	k = keys(&our_record);
	assert_int_equal(k.rx_len, 2);
	assert_int_equal(k.rx[1]->number, rx);
	assert_int_equal(k.rx[1]->until_ms, NOW_MS + SDES_OLD_KEY_MS);
	us.now_ms = NOW_MS + SDES_OLD_KEY_MS - 1;
	assert_int_equal(sdes_media_expire(&us), NOW_MS + SDES_OLD_KEY_MS);
	us.now_ms++;
	assert_int_equal(sdes_media_expire(&us), 0);
	killed();
	assert_int_equal(keys(&our_record).rx_len, 1);
	assert_int_equal(our_record.keys_len, 2);
}

/* Two rekeys within the while: one old key, the later one. */
static void one_old_key_only(void **state)
{
	unsigned rx;

	call_out();
	peer_offers(true);
	we_answer();
	confirmed();
	rx = number_rx();
	peer_offers(true);
	we_answer();
	assert_int_equal(keys(&our_record).rx_len, 3);
	confirmed();
	assert_int_equal(keys(&our_record).rx_len, 2);
	assert_int_equal(keys(&our_record).rx[1]->number, rx);
}

static void refused_is_as_before(void **state)
{
	struct rec_media before;

	call_out();
	before = our_record;
	/* Ours, without an answer. */
	we_offer(true);
	sdes_media_refuse(&us);
	sdes_media_refuse(&peer);
	killed();
	before.flows[1].last_key = our_record.flows[1].last_key;
	assert_memory_equal(&before, &our_record, sizeof(before));
	in_step();
	/* Ours, with an answer that is taken back. */
	peer_profile.rekey = true;
	we_offer(true);
	peer_answers();
	in_step();
	sdes_media_refuse(&us);
	sdes_media_refuse(&peer);
	killed();
	assert_int_equal(keys(&our_record).tx->number, 1);
	in_step();
	assert_int_equal(our_record.keys_len, 2);
	/* The peer's, before and after we have answered. */
	peer_offers(true);
	sdes_media_refuse(&us);
	sdes_media_refuse(&peer);
	in_step();
	peer_offers(true);
	we_answer();
	in_step();
	sdes_media_refuse(&us);
	sdes_media_refuse(&peer);
	killed();
	assert_int_equal(keys(&our_record).tx->number, 1);
	assert_int_equal(our_record.keys_len, 2);
	in_step();
}

/* Whatever happens, a key that was offered once is new the next time. */
static void own_keys_never_come_back(void **state)
{
	static uint8_t seen[64][SDES_KEY_SIZE_MAX];
	unsigned len = 0;

	for (unsigned round = 0; round < 20; round++) {
		/* Refused, ended, off, or in use for a while. */
		we_offer(true);
		for (unsigned i = 0; i < line.len; i++) {
			for (unsigned k = 0; k < len; k++)
				assert_memory_not_equal(seen[k],
							line.line[i].key, 28);
			memcpy(seen[len++], line.line[i].key,
			       SDES_KEY_SIZE_MAX);
		}
		if (round % 4 == 0) {
			sdes_media_refuse(&us);
			sdes_media_refuse(&peer);
			continue;
		}
		peer_answers();
		confirmed();
		if (round % 4 == 1) {
			sdes_media_end(&us);
			sdes_media_end(&peer);
		} else if (round % 4 == 2) {
			assert_int_equal(
				sdes_media_offer(&us, false, false, &line), 0);
			assert_int_equal(sdes_media_answered(&us, NULL, &why),
					 0);
			sdes_media_confirm(&us);
			assert_int_equal(our_record.keys_len, 0);
		}
		killed();
	}
}

/* ---- answers that change ----------------------------------------------- */

/* A 183 of one branch, the 200 of another: the first one's keys end. */
static void another_branch_answers(void **state)
{
	static struct rec_media fork_record;
	static struct sdes_profile fork_profile;
	struct sdes_side fork = side(&fork_record, &fork_profile);
	struct sdes_lines offer;
	struct media_keys k;
	unsigned first;

	fork_profile.sdes.suites[0] = SDES_AEAD_AES_256_GCM;
	fork_profile.sdes.suites_len = 1;
	we_offer(false);
	offer = line;
	peer_answers();
	first = number_rx();
	assert_int_equal(sdes_media_offered(&fork, &offer, &why), 0);
	assert_int_equal(sdes_media_answer(&fork, true, &line), 0);
	assert_int_equal(sdes_media_answered(&us, &line, &why), 0);
	killed();
	k = keys(&our_record);
	assert_int_equal(k.rx_len, 1);
	assert_int_not_equal(k.rx[0]->number, first);
	assert_int_equal(k.tx->suite, SDES_AEAD_AES_256_GCM);
	same(k.tx, keys(&fork_record).rx[0]);
	same(k.rx[0], keys(&fork_record).tx);
	sdes_media_confirm(&us);
	assert_int_equal(our_record.keys_len, 2);
	/* It knows the line that is in use now: the next offer has another. */
	assert_true(sdes_media_rekey_due(&our_record, LEG));
	first = k.tx->number;
	killed();
	assert_int_equal(sdes_media_offer(&us, true, false, &line), 0);
	sdes_media_confirm(&fork);
	assert_int_equal(sdes_media_offered(&fork, &line, &why), 0);
	assert_int_equal(sdes_media_answer(&fork, true, &line), 0);
	assert_int_equal(sdes_media_answered(&us, &line, &why), 0);
	assert_false(sdes_media_rekey_due(&our_record, LEG));
	assert_int_not_equal(number_tx(), first);
}

static void another_suite(void **state)
{
	unsigned tx;

	call_out();
	tx = number_tx();
	peer_profile.sdes.suites[0] = SDES_AEAD_AES_256_GCM;
	peer_profile.sdes.suites_len = 1;
	peer_offers(false);
	we_answer();
	in_step();
	assert_int_not_equal(number_tx(), tx);
	assert_int_equal(keys(&our_record).tx->suite, SDES_AEAD_AES_256_GCM);
	confirmed();
	in_step();
}

/* An UPDATE with an offer before the INVITE is through. */
static void an_update_within(void **state)
{
	we_offer(false);
	peer_answers();
	peer_offers(true);
	sdes_media_confirm(&us);
	killed();
	assert_int_equal(our_record.flows[1].sdes_state, SDES_RECEIVED);
	we_answer();
	in_step();
	confirmed();
	in_step();
}

static void from_srtp_to_rtp_and_back(void **state)
{
	unsigned tx;

	call_out();
	tx = number_tx();
	assert_int_equal(sdes_media_offered(&us, NULL, &why), 0);
	killed();
	assert_int_equal(number_tx(), tx);
	assert_int_equal(sdes_media_answer(&us, false, &line), 0);
	assert_int_equal(line.len, 0);
	killed();
	assert_null(keys(&our_record).tx);
	/* It may still be taken back. */
	assert_int_equal(keys(&our_record).tx_kept->number, tx);
	sdes_media_confirm(&us);
	killed();
	assert_int_equal(our_record.keys_len, 0);
	sdes_media_end(&peer);
	call_out();
	in_step();
	assert_int_not_equal(number_tx(), tx);
	assert_int_equal(keys(&our_record).tx->after, 0);
}

/* ---- refusals ---------------------------------------------------------- */

static void our_own_key_is_refused(void **state)
{
	struct sdes_lines offer;

	we_offer(false);
	offer = line;
	offer.len = 1;
	assert_int_equal(sdes_media_answered(&us, &offer, &why), -EPROTO);
	assert_int_equal(why.rule, SDES_RULE_OUR_KEY);
	peer_answers();
	confirmed();
	assert_int_equal(sdes_media_offered(&us, &offer, &why), -EPROTO);
	assert_int_equal(why.rule, SDES_RULE_OUR_KEY);
	in_step();
}

static void a_refused_answer_changes_nothing(void **state)
{
	struct rec_media before;

	our_profile.sdes.suites_len = 1;
	we_offer(false);
	before = our_record;
	assert_int_equal(sdes_media_answer(&peer, true, &line), 0);
	line.line[0].suite = SDES_AEAD_AES_256_GCM;
	line.line[0].key_size = 44;
	assert_int_equal(sdes_media_answered(&us, &line, &why), -EPROTO);
	assert_int_equal(why.rule, SDES_RULE_NOT_OFFERED);
	line.len = line.seen = 0;
	assert_int_equal(sdes_media_answered(&us, &line, &why), -EPROTO);
	assert_int_equal(why.rule, SDES_RULE_NO_LINE);
	assert_memory_equal(&before, &our_record, sizeof(before));
}

static void without_random_bytes(void **state)
{
	struct rec_media before = our_record;

	us.random_ctx = &us;
	assert_int_equal(sdes_media_offer(&us, true, false, &line), -EIO);
	assert_memory_equal(&before, &our_record, sizeof(before));
	peer_offers(false);
	before = our_record;
	assert_int_equal(sdes_media_answer(&us, true, &line), -EIO);
	assert_memory_equal(&before, &our_record, sizeof(before));
	/* The system has some. */
	us.random = NULL;
	we_answer();
	in_step();
}

static void no_flow_no_profile_no_room(void **state)
{
	us.leg = 99;
	assert_int_equal(sdes_media_offer(&us, true, false, &line), -ENOENT);
	us.leg = LEG;
	us.profile = NULL;
	assert_int_equal(sdes_media_offer(&us, true, false, &line), -EINVAL);
	assert_int_equal(sdes_media_offer(&us, false, false, &line), 0);
	sdes_media_refuse(&us);
	us.profile = &our_profile;
	our_record.keys_len = REC_KEYS_MAX;
	for (unsigned i = 0; i < REC_KEYS_MAX; i++)
		our_record.keys[i].leg = OTHER_LEG;
	assert_int_equal(sdes_media_offer(&us, true, false, &line), -ENOSPC);
	assert_int_equal(sdes_media_offer(&peer, true, false, &line), 0);
	assert_int_equal(sdes_media_offered(&us, &line, &why), -ENOSPC);
	assert_int_equal(our_record.keys_len, REC_KEYS_MAX);
}

/* ---- legs of one record, and records of strangers ---------------------- */

static void legs_do_not_mix(void **state)
{
	struct sdes_side other = us;
	struct sdes_lines offer;
	struct rec_key ours;

	other.leg = OTHER_LEG;
	call_out();
	ours = *keys(&our_record).tx;
	assert_int_equal(sdes_media_offer(&other, true, false, &offer), 0);
	assert_memory_not_equal(offer.line[0].key, ours.key.data, 30);
	we_offer(true);
	sdes_media_end(&other);
	killed();
	same(&ours, keys(&our_record).tx);
	assert_int_equal(our_record.flows[1].sdes_state, SDES_OFFERED);
	sdes_media_end(&us);
	assert_int_equal(our_record.keys_len, 0);
	/* Nothing of a key is left in the memory either. */
	for (unsigned i = 0; i < REC_KEYS_MAX; i++)
		assert_int_equal(our_record.keys[i].key.data[29], 0);
}

static void records_of_strangers(void **state)
{
	struct rec_media good;

	we_offer(false);
	good = our_record;
	assert_true(sdes_media_valid(&good));
#define SPOILT(change)                                                         \
	do {                                                                   \
		our_record = good;                                             \
		our_record.change;                                             \
		assert_false(sdes_media_valid(&our_record));                   \
	} while (0)
	SPOILT(keys[0].key.size = 31);
	SPOILT(keys[0].key.size = 0);
	SPOILT(keys[1].suite = SDES_SUITES);
	SPOILT(keys[1].suite = 0);
	SPOILT(keys[1].use = KEY_USES);
	SPOILT(keys[1].use = 0);
	SPOILT(keys[0].tag = SDES_TAG_MAX + 1);
	SPOILT(keys[0].mki_size = SDES_MKI_SIZE_MAX + 1);
	SPOILT(keys_len = REC_KEYS_MAX + 1);
	SPOILT(flows[1].sdes_state = SDES_STATES);
	our_record = good;
	our_record.keys[0].use = our_record.keys[1].use = KEY_TX;
	assert_false(sdes_media_valid(&our_record));
}

#define CASE(name) cmocka_unit_test_setup(name, up)

int main(void)
{
	const struct CMUnitTest tests[] = {
		CASE(every_pair),
		CASE(out_of_turn),
		CASE(we_call),
		CASE(peer_calls),
		CASE(sent_again),
		CASE(the_crypto_list_is_the_order),
		CASE(mki_and_lifetime),
		CASE(mirrored_parameters),
		CASE(a_re_offer_keeps_the_contexts),
		CASE(our_new_key_waits_for_the_answer),
		CASE(roc_by_policy),
		CASE(the_old_key_is_heard_for_a_while),
		CASE(one_old_key_only),
		CASE(refused_is_as_before),
		CASE(own_keys_never_come_back),
		CASE(another_branch_answers),
		CASE(another_suite),
		CASE(an_update_within),
		CASE(from_srtp_to_rtp_and_back),
		CASE(our_own_key_is_refused),
		CASE(a_refused_answer_changes_nothing),
		CASE(without_random_bytes),
		CASE(no_flow_no_profile_no_room),
		CASE(legs_do_not_mix),
		CASE(records_of_strangers)};

	buf_init(&value, 65536);
	return cmocka_run_group_tests(tests, NULL, NULL);
}
