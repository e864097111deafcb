#include "sbcd/sip/sdes_media.h"

#include <errno.h>
#include <openssl/rand.h>
#include <string.h>

/* ---- the state machine ------------------------------------------------- */

#define SETTLE	SDES_ACT_SETTLE
#define PROPOSE SDES_ACT_PROPOSE
#define REPEAT	SDES_ACT_REPEAT
#define CHOOSE	SDES_ACT_CHOOSE
#define COMMIT	SDES_ACT_COMMIT
#define FORGET	SDES_ACT_FORGET
#define REVERT	SDES_ACT_REVERT
#define WIPE	SDES_ACT_WIPE
#define DENY	SDES_ACT_DENY

static const struct sdes_step table[SDES_STATES][SDES_EVENTS] = {
	[SDES_IDLE] =
		{
			[SDES_EV_OFFER] = {SDES_OFFERED, PROPOSE},
			[SDES_EV_OFFERED] = {SDES_RECEIVED, CHOOSE},
			[SDES_EV_ANSWER] = {SDES_IDLE, DENY},
			[SDES_EV_ANSWERED] = {SDES_IDLE, DENY},
			[SDES_EV_CONFIRM] = {SDES_IDLE, 0},
			[SDES_EV_REFUSE] = {SDES_IDLE, 0},
			[SDES_EV_END] = {SDES_IDLE, WIPE},
		},
	/* An ACK may be that of an INVITE while an UPDATE is under way. */
	[SDES_OFFERED] =
		{
			[SDES_EV_OFFER] = {SDES_OFFERED, REPEAT},
			[SDES_EV_OFFERED] = {SDES_OFFERED, DENY},
			[SDES_EV_ANSWER] = {SDES_OFFERED, DENY},
			[SDES_EV_ANSWERED] = {SDES_ANSWERED, COMMIT},
			[SDES_EV_CONFIRM] = {SDES_OFFERED, 0},
			[SDES_EV_REFUSE] = {SDES_IDLE, FORGET},
			[SDES_EV_END] = {SDES_IDLE, WIPE},
		},
	[SDES_RECEIVED] =
		{
			[SDES_EV_OFFER] = {SDES_RECEIVED, DENY},
			[SDES_EV_OFFERED] = {SDES_RECEIVED, CHOOSE},
			[SDES_EV_ANSWER] = {SDES_REPLIED, COMMIT},
			[SDES_EV_ANSWERED] = {SDES_RECEIVED, DENY},
			[SDES_EV_CONFIRM] = {SDES_RECEIVED, 0},
			[SDES_EV_REFUSE] = {SDES_IDLE, FORGET},
			[SDES_EV_END] = {SDES_IDLE, WIPE},
		},
	/* An offer in an UPDATE may follow before the INVITE is through. */
	[SDES_ANSWERED] =
		{
			[SDES_EV_OFFER] = {SDES_OFFERED, SETTLE | PROPOSE},
			[SDES_EV_OFFERED] = {SDES_RECEIVED, SETTLE | CHOOSE},
			[SDES_EV_ANSWER] = {SDES_ANSWERED, DENY},
			[SDES_EV_ANSWERED] = {SDES_ANSWERED, COMMIT},
			[SDES_EV_CONFIRM] = {SDES_IDLE, SETTLE},
			[SDES_EV_REFUSE] = {SDES_IDLE, REVERT},
			[SDES_EV_END] = {SDES_IDLE, WIPE},
		},
	[SDES_REPLIED] =
		{
			[SDES_EV_OFFER] = {SDES_OFFERED, SETTLE | PROPOSE},
			[SDES_EV_OFFERED] = {SDES_RECEIVED, SETTLE | CHOOSE},
			[SDES_EV_ANSWER] = {SDES_REPLIED, REPEAT},
			[SDES_EV_ANSWERED] = {SDES_REPLIED, DENY},
			[SDES_EV_CONFIRM] = {SDES_IDLE, SETTLE},
			[SDES_EV_REFUSE] = {SDES_IDLE, REVERT},
			[SDES_EV_END] = {SDES_IDLE, WIPE},
		},
};

struct sdes_step sdes_fsm_step(uint8_t state, enum sdes_event event)
{
	if (state >= SDES_STATES || event >= SDES_EVENTS)
		return (struct sdes_step){state, DENY};
	return table[state][event];
}

/* ---- the keys of a leg ------------------------------------------------- */

static struct rec_flow *flow_find(const struct rec_media *m, uint16_t leg)
{
	for (unsigned i = 0; i < m->flows_len; i++)
		if (m->flows[i].leg == leg)
			return (struct rec_flow *)&m->flows[i];
	return NULL;
}

static struct rec_flow *flow_of(const struct sdes_side *s)
{
	return flow_find(s->media, s->leg);
}

static struct rec_key *key_find(const struct rec_media *m, uint16_t leg,
				enum rec_key_use use)
{
	return (struct rec_key *)media_keys_find(m, leg, use);
}

static void key_remove(struct rec_media *m, struct rec_key *k)
{
	struct rec_key *last = &m->keys[m->keys_len - 1];

	memmove(k, k + 1, (size_t)((char *)last - (char *)k));
	explicit_bzero(last, sizeof(*last));
	m->keys_len--;
}

static void keys_remove(const struct sdes_side *s, enum rec_key_use use)
{
	struct rec_key *k;

	while ((k = key_find(s->media, s->leg, use)))
		key_remove(s->media, k);
}

/* How many more a side can need at once, so that no put fails halfway. */
static bool keys_fit(const struct sdes_side *s, unsigned more)
{
	return s->media->keys_len + more <= REC_KEYS_MAX;
}

static void key_put(const struct sdes_side *s, const struct rec_key *k,
		    enum rec_key_use use)
{
	struct rec_key *at = &s->media->keys[s->media->keys_len++];

	*at = *k;
	at->leg = s->leg;
	at->use = (uint8_t)use;
}

static bool same_key(const struct rec_key *a, const struct rec_key *b)
{
	return a && b && a->suite == b->suite && a->key.size == b->key.size &&
	       memcmp(a->key.data, b->key.data, a->key.size) == 0;
}

static void key_of_line(const struct sdes_crypto *c, struct rec_key *out)
{
	memset(out, 0, sizeof(*out));
	out->suite = c->suite;
	out->flags = c->flags;
	out->draft_name = c->draft_name;
	out->tag = c->tag;
	out->lifetime = c->lifetime;
	out->lifetime_power = c->lifetime_power;
	out->mki_size = c->mki_size;
	out->mki = c->mki;
	out->key.size = c->key_size;
	memcpy(out->key.data, c->key, c->key_size);
}

static void line_of_key(const struct rec_key *k, struct sdes_crypto *out)
{
	memset(out, 0, sizeof(*out));
	out->suite = k->suite;
	out->flags = k->flags;
	out->draft_name = k->draft_name;
	out->tag = k->tag;
	out->lifetime = k->lifetime;
	out->lifetime_power = k->lifetime_power;
	out->mki_size = k->mki_size;
	out->mki = k->mki;
	out->key_size = (uint8_t)k->key.size;
	memcpy(out->key, k->key.data, out->key_size);
}

static void lines_of_use(const struct sdes_side *s, enum rec_key_use use,
			 struct sdes_lines *out)
{
	memset(out, 0, sizeof(*out));
	for (unsigned i = 0; i < s->media->keys_len; i++) {
		const struct rec_key *k = &s->media->keys[i];

		if (k->leg == s->leg && k->use == use &&
		    out->len < SDES_LINES_MAX)
			line_of_key(k, &out->line[out->len++]);
	}
	out->seen = out->len;
}

/* Of the offered ones the n-th, with its number. */
static const struct rec_key *offered_nth(const struct sdes_side *s, unsigned n)
{
	for (unsigned i = 0; i < s->media->keys_len; i++) {
		const struct rec_key *k = &s->media->keys[i];

		if (k->leg == s->leg && k->use == KEY_OFFERED && n-- == 0)
			return k;
	}
	return NULL;
}

static int random_bytes(const struct sdes_side *s, uint8_t *out, size_t size)
{
	if (s->random)
		return s->random(s->random_ctx, out, size);
	return RAND_priv_bytes(out, (int)size) == 1 ? 0 : -EIO;
}

/* ---- actions ----------------------------------------------------------- */

static void settle(const struct sdes_side *s)
{
	struct rec_key *rx, *old;

	keys_remove(s, KEY_OFFERED);
	keys_remove(s, KEY_PROPOSED);
	keys_remove(s, KEY_TX_BEFORE);
	rx = key_find(s->media, s->leg, KEY_RX);
	old = key_find(s->media, s->leg, KEY_RX_BEFORE);
	if (!rx || (old && old->number != rx->number))
		keys_remove(s, KEY_RX_OLD);
	rx = key_find(s->media, s->leg, KEY_RX);
	old = key_find(s->media, s->leg, KEY_RX_BEFORE);
	if (rx && old && old->number != rx->number) {
		old->use = KEY_RX_OLD;
		old->until_ms = s->now_ms + SDES_OLD_KEY_MS;
	}
	keys_remove(s, KEY_RX_BEFORE);
}

static void forget(const struct sdes_side *s)
{
	keys_remove(s, KEY_OFFERED);
	keys_remove(s, KEY_PROPOSED);
}

static void go_back(const struct sdes_side *s)
{
	struct rec_key *k;

	forget(s);
	keys_remove(s, KEY_TX);
	keys_remove(s, KEY_RX);
	k = key_find(s->media, s->leg, KEY_TX_BEFORE);
	if (k)
		k->use = KEY_TX;
	k = key_find(s->media, s->leg, KEY_RX_BEFORE);
	if (k)
		k->use = KEY_RX;
	else
		keys_remove(s, KEY_RX_OLD);
}

static void wipe(const struct sdes_side *s)
{
	for (int use = KEY_TX; use < KEY_USES; use++)
		keys_remove(s, (enum rec_key_use)use);
	flow_of(s)->key_shared = false;
}

/*
 * `k` goes on with the context of the same key, of one of `uses`; else it is
 * one of its own, its ROC that of what it takes the place of.
 */
static void take_number(const struct sdes_side *s, struct rec_key *k,
			unsigned uses, enum rec_key_use replaced)
{
	const struct rec_key *before = key_find(s->media, s->leg, replaced);

	for (unsigned i = 0; i < s->media->keys_len; i++) {
		const struct rec_key *same = &s->media->keys[i];

		if (same->leg != s->leg || !(uses >> same->use & 1) ||
		    !same_key(k, same))
			continue;
		k->number = same->number;
		k->after = same->after;
		k->begun = same->begun;
		return;
	}
	if (!k->number)
		k->number = ++flow_of(s)->last_key;
	k->after = before && !s->profile->roc_reset ? before->number : 0;
}

/*
 * A second answer to one offer with a key of its own is that of another
 * branch: both branches know our lines until we make new ones.
 */
static void note_branches(const struct sdes_side *s, const struct rec_key *tx,
			  const struct rec_key *rx, bool first)
{
	const struct rec_key *before =
		key_find(s->media, s->leg, KEY_TX_BEFORE);
	const struct rec_key *now = key_find(s->media, s->leg, KEY_RX);
	struct rec_flow *flow = flow_of(s);

	if (!tx)
		flow->key_shared = false;
	else if (first)
		flow->key_shared &= same_key(tx, before);
	else if (now && !same_key(rx, now))
		flow->key_shared = true;
}

/*
 * `tx` and `rx` (both or none) are in use from here on; what was stays to go
 * back to, from the first answer of an exchange on.
 */
static void commit(const struct sdes_side *s, struct rec_key *tx,
		   struct rec_key *rx, bool first)
{
	const unsigned tx_uses = 1u << KEY_TX | 1u << KEY_TX_BEFORE;
	const unsigned rx_uses =
		1u << KEY_RX | 1u << KEY_RX_BEFORE | 1u << KEY_RX_OLD;
	struct rec_key *k;

	if (first) {
		k = key_find(s->media, s->leg, KEY_TX);
		if (k)
			k->use = KEY_TX_BEFORE;
		k = key_find(s->media, s->leg, KEY_RX);
		if (k)
			k->use = KEY_RX_BEFORE;
	}
	if (tx) {
		take_number(s, tx, tx_uses, KEY_TX_BEFORE);
		take_number(s, rx, rx_uses, KEY_RX_BEFORE);
	}
	note_branches(s, tx, rx, first);
	keys_remove(s, KEY_TX);
	keys_remove(s, KEY_RX);
	keys_remove(s, KEY_PROPOSED);
	if (!tx)
		return;
	key_put(s, tx, KEY_TX);
	key_put(s, rx, KEY_RX);
}

/* ---- offering ---------------------------------------------------------- */

/* New lines, the one in use repeated unless its key is to change. */
static int propose(const struct sdes_side *s, bool rekey,
		   struct sdes_lines *out)
{
	const struct sdes_policy *policy = &s->profile->sdes;
	const struct rec_key *tx = key_find(s->media, s->leg, KEY_TX);
	uint8_t keys[SDES_SUITES][SDES_KEY_SIZE_MAX];
	struct rec_flow *flow = flow_of(s);
	int err = random_bytes(s, &keys[0][0], sizeof(keys));

	if (!err && !keys_fit(s, policy->suites_len))
		err = -ENOSPC;
	if (err)
		goto out;
	sdes_offer(policy, (const uint8_t(*)[SDES_KEY_SIZE_MAX])keys, 0, out);
	for (unsigned i = 0; i < out->len; i++) {
		struct sdes_crypto *c = &out->line[i];
		struct rec_key k;

		if (!rekey && tx && tx->suite == c->suite) {
			memcpy(c->key, tx->key.data, c->key_size);
			c->mki = tx->mki;
			c->mki_size = tx->mki_size;
			key_of_line(c, &k);
			k.number = tx->number;
			tx = NULL; /* once */
		} else {
			if (c->mki_size)
				c->mki = flow->last_key + 1;
			key_of_line(c, &k);
			k.number = ++flow->last_key;
		}
		key_put(s, &k, KEY_OFFERED);
		explicit_bzero(&k, sizeof(k));
	}
out:
	explicit_bzero(keys, sizeof(keys));
	return err;
}

int sdes_media_offer(const struct sdes_side *s, bool srtp, bool rekey,
		     struct sdes_lines *out)
{
	struct rec_flow *flow = flow_of(s);
	struct sdes_step step;
	int err;

	memset(out, 0, sizeof(*out));
	if (!flow)
		return -ENOENT;
	if (srtp && !s->profile)
		return -EINVAL;
	step = sdes_fsm_step(flow->sdes_state, SDES_EV_OFFER);
	if (step.actions & SDES_ACT_DENY)
		return -EPROTO;
	if (step.actions & SDES_ACT_REPEAT) {
		lines_of_use(s, KEY_OFFERED, out);
		return 0;
	}
	if (step.actions & SDES_ACT_SETTLE)
		settle(s);
	if (srtp) {
		err = propose(s, rekey || s->profile->rekey || flow->key_shared,
			      out);
		if (err) {
			/* What went before is settled all the same. */
			flow->sdes_state = SDES_IDLE;
			return err;
		}
	}
	flow->sdes_state = step.next;
	return 0;
}

/* A key that is ours does not become the peer's: it would be a two-time pad. */
static bool is_ours(const struct sdes_side *s, const struct sdes_crypto *c)
{
	for (unsigned i = 0; i < s->media->keys_len; i++) {
		const struct rec_key *k = &s->media->keys[i];

		if (k->leg == s->leg && k->key.size == c->key_size &&
		    (k->use == KEY_TX || k->use == KEY_TX_BEFORE ||
		     k->use == KEY_OFFERED) &&
		    memcmp(k->key.data, c->key, c->key_size) == 0)
			return true;
	}
	return false;
}

static int deny(struct sdes_refusal *why, enum sdes_rule rule, uint8_t suite)
{
	*why = (struct sdes_refusal){rule, SDES_OK, (enum sdes_suite)suite};
	return -EPROTO;
}

int sdes_media_answered(const struct sdes_side *s,
			const struct sdes_lines *answer,
			struct sdes_refusal *why)
{
	struct rec_flow *flow = flow_of(s);
	struct sdes_lines offer;
	struct sdes_crypto peer = {0};
	struct sdes_step step;
	struct rec_key tx, rx;
	int n;

	if (!flow)
		return -ENOENT;
	if (answer && !s->profile)
		return -EINVAL;
	step = sdes_fsm_step(flow->sdes_state, SDES_EV_ANSWERED);
	if (step.actions & SDES_ACT_DENY)
		return deny(why, SDES_RULE_TURN, SDES_SUITE_NONE);
	if (!answer) {
		commit(s, NULL, NULL, flow->sdes_state == SDES_OFFERED);
		flow->sdes_state = step.next;
		return 0;
	}
	if (!keys_fit(s, 2))
		return -ENOSPC;
	lines_of_use(s, KEY_OFFERED, &offer);
	n = sdes_match_answer(&s->profile->sdes, &offer, answer, &peer, why);
	sdes_lines_wipe(&offer);
	if (n >= 0 && is_ours(s, &peer))
		n = deny(why, SDES_RULE_OUR_KEY, peer.suite);
	if (n >= 0) {
		tx = *offered_nth(s, (unsigned)n);
		tx.flags = peer.flags;
		key_of_line(&peer, &rx);
		commit(s, &tx, &rx, flow->sdes_state == SDES_OFFERED);
		flow->sdes_state = step.next;
		explicit_bzero(&tx, sizeof(tx));
		explicit_bzero(&rx, sizeof(rx));
	}
	sdes_crypto_wipe(&peer);
	return n < 0 ? n : 0;
}

/* ---- answering --------------------------------------------------------- */

int sdes_media_offered(const struct sdes_side *s,
		       const struct sdes_lines *offer, struct sdes_refusal *why)
{
	struct rec_flow *flow = flow_of(s);
	struct sdes_step step;
	struct rec_key k;
	int n = -1;

	if (!flow)
		return -ENOENT;
	if (offer && !s->profile)
		return -EINVAL;
	step = sdes_fsm_step(flow->sdes_state, SDES_EV_OFFERED);
	if (step.actions & SDES_ACT_DENY)
		return deny(why, SDES_RULE_TURN, SDES_SUITE_NONE);
	if (offer) {
		n = sdes_choose(&s->profile->sdes, offer, why);
		if (n < 0)
			return n;
		if (is_ours(s, &offer->line[n]))
			return deny(why, SDES_RULE_OUR_KEY,
				    offer->line[n].suite);
		if (!keys_fit(s, 1))
			return -ENOSPC;
	}
	if (step.actions & SDES_ACT_SETTLE)
		settle(s);
	keys_remove(s, KEY_PROPOSED);
	if (offer) {
		key_of_line(&offer->line[n], &k);
		key_put(s, &k, KEY_PROPOSED);
		explicit_bzero(&k, sizeof(k));
	}
	flow->sdes_state = step.next;
	return 0;
}

/* Our line to the peer's, with the key in use where that may go on. */
static int reply(const struct sdes_side *s, const struct rec_key *proposed,
		 struct rec_key *tx)
{
	const struct rec_key *current = key_find(s->media, s->leg, KEY_TX);
	struct rec_flow *flow = flow_of(s);
	struct sdes_crypto offered, ours;
	uint8_t key[SDES_KEY_SIZE_MAX];
	bool keep = current && !s->profile->rekey && !flow->key_shared &&
		    current->suite == proposed->suite;
	int err = keep ? 0 : random_bytes(s, key, sizeof(key));

	if (err)
		return err;
	if (keep)
		memcpy(key, current->key.data, current->key.size);
	line_of_key(proposed, &offered);
	sdes_answer(&s->profile->sdes, &offered, key, flow->last_key + 1,
		    &ours);
	if (keep) {
		ours.mki = current->mki;
		ours.mki_size = current->mki_size;
	}
	key_of_line(&ours, tx);
	if (!keep)
		tx->number = ++flow->last_key;
	explicit_bzero(key, sizeof(key));
	sdes_crypto_wipe(&offered);
	sdes_crypto_wipe(&ours);
	return 0;
}

int sdes_media_answer(const struct sdes_side *s, bool srtp,
		      struct sdes_lines *out)
{
	const struct rec_key *proposed;
	struct rec_flow *flow = flow_of(s);
	struct sdes_step step;
	struct rec_key tx, rx;
	int err;

	memset(out, 0, sizeof(*out));
	if (!flow)
		return -ENOENT;
	if (srtp && !s->profile)
		return -EINVAL;
	step = sdes_fsm_step(flow->sdes_state, SDES_EV_ANSWER);
	if (step.actions & SDES_ACT_DENY)
		return -EPROTO;
	proposed = key_find(s->media, s->leg, KEY_PROPOSED);
	if (step.actions & SDES_ACT_COMMIT) {
		if (srtp && !proposed)
			return -EPROTO;
		if (!keys_fit(s, 2))
			return -ENOSPC;
		if (srtp) {
			err = reply(s, proposed, &tx);
			if (err)
				return err;
			rx = *proposed;
		}
		commit(s, srtp ? &tx : NULL, srtp ? &rx : NULL, true);
		explicit_bzero(&tx, sizeof(tx));
		explicit_bzero(&rx, sizeof(rx));
	}
	flow->sdes_state = step.next;
	lines_of_use(s, KEY_TX, out);
	return 0;
}

/* ---- the end of an exchange -------------------------------------------- */

static void finish(const struct sdes_side *s, enum sdes_event event)
{
	struct rec_flow *flow = flow_of(s);
	struct sdes_step step;

	if (!flow)
		return;
	step = sdes_fsm_step(flow->sdes_state, event);
	if (step.actions & SDES_ACT_DENY)
		return;
	if (step.actions & SDES_ACT_SETTLE)
		settle(s);
	if (step.actions & SDES_ACT_FORGET)
		forget(s);
	if (step.actions & SDES_ACT_REVERT)
		go_back(s);
	if (step.actions & SDES_ACT_WIPE)
		wipe(s);
	flow->sdes_state = step.next;
}

void sdes_media_confirm(const struct sdes_side *s)
{
	finish(s, SDES_EV_CONFIRM);
}

void sdes_media_refuse(const struct sdes_side *s)
{
	finish(s, SDES_EV_REFUSE);
}

void sdes_media_end(const struct sdes_side *s)
{
	finish(s, SDES_EV_END);
}

uint64_t sdes_media_expire(const struct sdes_side *s)
{
	struct rec_key *k = key_find(s->media, s->leg, KEY_RX_OLD);

	if (!k)
		return 0;
	if (k->until_ms > s->now_ms)
		return k->until_ms;
	keys_remove(s, KEY_RX_OLD);
	return 0;
}

/* ---- what the media worker does with it -------------------------------- */

bool sdes_media_is_srtp(const struct rec_media *m, uint16_t leg)
{
	const struct rec_flow *flow = flow_find(m, leg);

	if (!flow)
		return false;
	return key_find(m, leg,
			flow->sdes_state == SDES_RECEIVED ? KEY_PROPOSED
							  : KEY_TX) != NULL;
}

bool sdes_media_rekey_due(const struct rec_media *m, uint16_t leg)
{
	const struct rec_flow *flow = flow_find(m, leg);

	return flow && flow->key_shared;
}

bool sdes_media_valid(const struct rec_media *m)
{
	if (m->keys_len > REC_KEYS_MAX || m->flows_len > REC_FLOWS_MAX)
		return false;
	for (unsigned i = 0; i < m->flows_len; i++)
		if (m->flows[i].sdes_state >= SDES_STATES)
			return false;
	for (unsigned i = 0; i < m->keys_len; i++) {
		const struct rec_key *k = &m->keys[i];
		size_t size = sdes_suite_key_size((enum sdes_suite)k->suite);

		if (!size || k->key.size != size || !k->use ||
		    k->use >= KEY_USES || k->tag > SDES_TAG_MAX ||
		    k->mki_size > SDES_MKI_SIZE_MAX)
			return false;
		/* Each use but that of an offer is there once. */
		if (k->use != KEY_OFFERED &&
		    key_find(m, k->leg, (enum rec_key_use)k->use) != k)
			return false;
	}
	return true;
}

bool sdes_media_worn(const struct rec_key *k, uint64_t packets)
{
	uint64_t life = k->lifetime ? k->lifetime : UINT64_C(1) << 48;

	return packets >= life - life / 8;
}
