#include "sbcd/media/srtp_flow.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include "sbcd/media/stream.h"

static_assert((int)SRTP_RTCP_MARGIN >= 2 * (int)MEDIA_HELD_PACKETS,
	      "a margin covers what is sent between two puts");
static_assert((int)SRTP_RTP_MARGIN >= (int)MEDIA_HELD_PACKETS,
	      "and what was sent of a source since the last put");
static_assert((int)REC_SRTP_SENT_MAX <= (int)SRTP_STREAMS_MAX,
	      "the record has all");

struct slot {
	struct msrtp *context; /* NULL: none */
	uint32_t number, after;
};

/* An SSRC that we send with. */
struct source {
	uint32_t ssrc;
	uint16_t offset; /* added to its numbers */
	uint16_t highest; /* sent, with the offset */
	uint16_t next_refused;
	uint8_t run; /* refused in a row */
	bool sent; /* `highest` counts */
	bool restored; /* and is not up to date */
	uint16_t ahead; /* of `highest` goes on what was shifted */
	uint64_t shifted_ns;
};

struct srtp_flow {
	struct slot tx, kept;
	struct slot rx[MEDIA_KEYS_RX_MAX];
	unsigned rx_len;
	bool unsafe; /* where it stood cannot be known: nothing is sent */
	unsigned sources_len;
	struct source sources[REC_SRTP_SENT_MAX];
};

/* ---- building ----------------------------------------------------------- */
static int slot_open(struct slot *s, struct msrtp_engine *e,
		     const struct rec_key *k, enum srtp_direction direction)
{
	const struct msrtp_params p = {
		.suite = k->suite,
		.flags = k->flags,
		.direction = (uint8_t)direction,
		.mki_size = k->mki_size,
		.mki = k->mki,
		.key = k->key.data,
		.key_size = k->key.size,
	};

	s->number = k->number;
	s->after = k->after;
	return msrtp_create(&s->context, e, &p);
}

int srtp_flow_build(struct srtp_flow **out, struct msrtp_engine *e,
		    const struct rec_media *m, uint16_t leg)
{
	struct srtp_flow *f;
	struct media_keys keys;
	int err;

	*out = NULL;
	media_keys_of(m, leg, &keys);
	if (!keys.tx)
		return 0;
	if (!e)
		return -ENOTSUP;
	f = calloc(1, sizeof(*f));
	if (!f)
		return -ENOMEM;
	err = slot_open(&f->tx, e, keys.tx, SRTP_SEND);
	if (!err && keys.tx_kept)
		err = slot_open(&f->kept, e, keys.tx_kept, SRTP_SEND);
	while (!err && f->rx_len < keys.rx_len) {
		err = slot_open(&f->rx[f->rx_len], e, keys.rx[f->rx_len],
				SRTP_RECEIVE);
		f->rx_len += !err;
	}
	if (err) {
		srtp_flow_free(f);
		return err;
	}
	*out = f;
	return 0;
}

void srtp_flow_free(struct srtp_flow *f)
{
	if (!f)
		return;
	msrtp_destroy(f->tx.context);
	msrtp_destroy(f->kept.context);
	for (unsigned i = 0; i < MEDIA_KEYS_RX_MAX; i++)
		msrtp_destroy(f->rx[i].context);
	free(f);
}

/* ---- the next record ---------------------------------------------------- */
static void swap(struct slot *a, struct slot *b)
{
	struct msrtp *context = a->context;

	a->context = b->context;
	b->context = context;
}

/* Indexes go on under a new key. */
static void carry(struct slot *to, const struct slot *from)
{
	struct msrtp_position at[SRTP_STREAMS_MAX];
	const struct msrtp_margin none = {0};
	size_t n = msrtp_export(from->context, at, SRTP_STREAMS_MAX);

	/* A new key: at worst it begins at ROC 0. */
	if (msrtp_import(to->context, at, n, &none))
		return;
}

/* True: the key is new. */
static bool slot_inherit(struct slot *s, struct slot **old, unsigned len)
{
	for (unsigned i = 0; i < len; i++) {
		if (!old[i]->context || old[i]->number != s->number)
			continue;
		swap(s, old[i]);
		return false;
	}
	for (unsigned i = 0; s->after && i < len; i++) {
		if (old[i]->context && old[i]->number == s->after) {
			carry(s, old[i]);
			break;
		}
	}
	return true;
}

bool srtp_flow_inherit(struct srtp_flow *f, struct srtp_flow *old)
{
	struct slot *tx[] = {&old->tx, &old->kept};
	struct slot *rx[MEDIA_KEYS_RX_MAX];
	bool fresh = false;

	for (unsigned i = 0; i < MEDIA_KEYS_RX_MAX; i++)
		rx[i] = &old->rx[i];
	/* A key of which nothing is known stays shut; a new one is open. */
	f->unsafe = old->unsafe && f->tx.number == old->tx.number;
	if (f->kept.context)
		fresh |= slot_inherit(&f->kept, tx, 2);
	fresh |= slot_inherit(&f->tx, tx, 2);
	for (unsigned i = 0; i < f->rx_len; i++)
		fresh |= slot_inherit(&f->rx[i], rx, MEDIA_KEYS_RX_MAX);
	/* Numbers may be shifted for good: a receiver has seen them. */
	memcpy(f->sources, old->sources, sizeof(f->sources));
	f->sources_len = old->sources_len;
	return fresh;
}

/* ---- continuity --------------------------------------------------------- */
static struct source *source_find(struct srtp_flow *f, uint32_t ssrc)
{
	for (unsigned i = 0; i < f->sources_len; i++)
		if (f->sources[i].ssrc == ssrc)
			return &f->sources[i];
	return NULL;
}

static size_t slot_export(const struct srtp_flow *f, const struct slot *s,
			  const struct rec_srtp *like, struct rec_srtp *out,
			  size_t max)
{
	struct msrtp_position at[SRTP_STREAMS_MAX];
	size_t len, n = 0;

	if (!s->context || !max)
		return 0;
	len = msrtp_export(s->context, at, SRTP_STREAMS_MAX);
	if (like->sent && msrtp_rtcp_base(s->context)) {
		out[n] = *like;
		out[n].number = s->number;
		out[n].any = true;
		out[n++].rtcp_index = msrtp_rtcp_base(s->context);
	}
	/* The newest stand at the end. */
	while (len-- && n < max) {
		const struct source *from =
			source_find((struct srtp_flow *)f, at[len].ssrc);
		struct rec_srtp *r = &out[n++];

		*r = *like;
		r->number = s->number;
		r->ssrc = at[len].ssrc;
		r->rtp = at[len].rtp;
		r->index = at[len].index;
		/* The next node begins where this one does. */
		if (like->sent && from)
			r->index += from->ahead;
		r->rtcp_index = at[len].rtcp_index;
		r->seq_offset = like->sent && from ? from->offset : 0;
	}
	return n;
}

size_t srtp_flow_export(const struct srtp_flow *f, uint16_t leg, bool sent,
			struct rec_srtp *out, size_t max)
{
	const struct rec_srtp like = {.leg = leg, .sent = sent};
	size_t n = 0;

	if (sent) {
		n = slot_export(f, &f->tx, &like, out, max);
		return n + slot_export(f, &f->kept, &like, out + n, max - n);
	}
	for (unsigned i = 0; i < f->rx_len; i++)
		n += slot_export(f, &f->rx[i], &like, out + n, max - n);
	return n;
}

static void source_restore(struct srtp_flow *f, const struct rec_srtp *r)
{
	struct source *s = source_find(f, r->ssrc);

	if (!s && f->sources_len == REC_SRTP_SENT_MAX)
		return;
	if (!s)
		s = &f->sources[f->sources_len++];
	*s = (struct source){.ssrc = r->ssrc,
			     .offset = r->seq_offset,
			     .highest = (uint16_t)r->index,
			     .sent = r->rtp,
			     .restored = r->rtp};
}

static uint32_t margin_on(uint32_t index)
{
	return index < INT32_MAX - SRTP_RTCP_MARGIN ? index + SRTP_RTCP_MARGIN
						    : INT32_MAX;
}

static bool tells_of(const struct rec_srtp *r, uint16_t leg, bool sent,
		     uint32_t number)
{
	return number && r->leg == leg && r->sent == sent &&
	       r->number == number;
}

static bool is_listed(const struct msrtp_position *at, size_t n, uint32_t ssrc)
{
	for (size_t i = 0; i < n; i++)
		if (at[i].ssrc == ssrc)
			return true;
	return false;
}

/* Positions under `number` of SSRCs that are not listed yet; their new count.
 */
static size_t positions_add(struct srtp_flow *f, const struct rec_srtp *at,
			    size_t n, uint16_t leg, bool sent, uint32_t number,
			    struct msrtp_position *out, size_t len)
{
	for (size_t i = 0; i < n && len < SRTP_STREAMS_MAX; i++) {
		const struct rec_srtp *r = &at[i];

		if (!tells_of(r, leg, sent, number) || r->any ||
		    is_listed(out, len, r->ssrc))
			continue;
		out[len++] =
			(struct msrtp_position){.ssrc = r->ssrc,
						.rtp = r->rtp,
						.index = r->index,
						.rtcp_index = r->rtcp_index};
		if (sent)
			source_restore(f, r);
	}
	return len;
}

/*
 * A key that goes on from another's ROC may have come after the last put: then
 * the positions are the other one's.
 * False: the record is of no use, or the engine cannot.
 */
static bool slot_restore(struct srtp_flow *f, struct slot *s, uint16_t leg,
			 bool sent, const struct rec_srtp *at, size_t n)
{
	const struct msrtp_margin margin = {.rtcp = sent ? SRTP_RTCP_MARGIN
							 : 0};
	struct msrtp_position positions[SRTP_STREAMS_MAX];
	uint32_t base = 0;
	size_t len;

	for (size_t i = 0; i < n; i++)
		if (at[i].any && tells_of(&at[i], leg, sent, s->number))
			base = at[i].rtcp_index;
	len = positions_add(f, at, n, leg, sent, s->number, positions, 0);
	len = positions_add(f, at, n, leg, sent, s->after, positions, len);
	if (msrtp_import(s->context, positions, len, &margin))
		return false;
	return !sent || !msrtp_set_rtcp_base(s->context, margin_on(base));
}

bool srtp_flow_restore(struct srtp_flow *f, uint16_t leg,
		       const struct rec_srtp *at, size_t n)
{
	if (f->kept.context && !slot_restore(f, &f->kept, leg, true, at, n)) {
		msrtp_destroy(f->kept.context);
		f->kept.context = NULL;
	}
	f->unsafe = !slot_restore(f, &f->tx, leg, true, at, n);
	for (unsigned i = 0; i < f->rx_len; i++)
		/* A receiver that begins anew is deaf at worst. */
		(void)slot_restore(f, &f->rx[i], leg, false, at, n);
	return true;
}

static bool slot_take_over(struct slot *s)
{
	return msrtp_rtcp_base(s->context) ||
	       !msrtp_set_rtcp_base(s->context, margin_on(0));
}

void srtp_flow_take_over(struct srtp_flow *f)
{
	if (f->kept.context && !slot_take_over(&f->kept)) {
		msrtp_destroy(f->kept.context);
		f->kept.context = NULL;
	}
	f->unsafe |= !slot_take_over(&f->tx);
}

/* ---- receiving ---------------------------------------------------------- */
static void verdict(struct media_packet *p, const struct msrtp_packet *m,
		    uint64_t *tally)
{
	tally[m->result]++;
	p->size = m->size;
	p->drop = m->result != SRTP_OK;
	if (p->drop)
		p->flow->srtp_refused++;
}

static struct msrtp_packet packet_of(const struct media_packet *p,
				     struct msrtp *context)
{
	return (struct msrtp_packet){.context = context,
				     .data = p->data,
				     .size = p->size,
				     .room = p->size,
				     .rtcp = p->rtcp,
				     .forwarded = p->forwarded};
}

/* The peer may use one of several keys. */
static void receive_any(struct msrtp_engine *e, struct media_packet *p,
			uint64_t now_ns, struct srtp_tally *tally)
{
	struct srtp_flow *f = p->flow->srtp;
	uint8_t copy[SRTP_PACKET_SIZE_MAX];
	struct msrtp_packet m = {.result = SRTP_MALFORMED, .size = p->size};
	uint8_t first = SRTP_OK;

	for (unsigned i = 0; i < f->rx_len && p->size <= sizeof(copy); i++) {
		memcpy(copy, p->data, p->size);
		m = packet_of(p, f->rx[i].context);
		msrtp_unprotect(e, &m, 1, now_ns);
		if (m.result == SRTP_OK)
			break;
		memcpy(p->data, copy, p->size);
		m.size = p->size;
		if (first == SRTP_OK || first == SRTP_BAD_TAG ||
		    first == SRTP_BAD_MKI)
			first = m.result;
	}
	if (m.result != SRTP_OK && first != SRTP_OK)
		m.result = first;
	verdict(p, &m, tally->received);
}

void srtp_flow_receive(struct msrtp_engine *e, struct media_packet **packets,
		       unsigned len, uint64_t now_ns, struct srtp_tally *tally)
{
	struct msrtp_packet burst[MEDIA_BATCH];
	struct media_packet *of[MEDIA_BATCH];
	unsigned n = 0;

	for (unsigned i = 0; i < len; i++) {
		struct srtp_flow *f = packets[i]->flow->srtp;

		if (!f)
			continue;
		if (f->rx_len != 1) {
			receive_any(e, packets[i], now_ns, tally);
			continue;
		}
		burst[n] = packet_of(packets[i], f->rx[0].context);
		of[n++] = packets[i];
	}
	if (n)
		msrtp_unprotect(e, burst, n, now_ns);
	for (unsigned i = 0; i < n; i++)
		verdict(of[i], &burst[i], tally->received);
}

/* ---- sending ------------------------------------------------------------ */
static uint16_t seq_get(const uint8_t *data)
{
	return (uint16_t)(data[2] << 8 | data[3]);
}

static uint32_t ssrc_get(const struct media_packet *p)
{
	const uint8_t *at = p->data + (p->rtcp ? 4 : 8);

	return (uint32_t)at[0] << 24 | (uint32_t)at[1] << 16 |
	       (uint32_t)at[2] << 8 | at[3];
}

static void seq_set(uint8_t *data, uint16_t seq)
{
	data[2] = (uint8_t)(seq >> 8);
	data[3] = (uint8_t)seq;
}

/* NULL: too many. */
static struct source *source_of(struct srtp_flow *f, uint32_t ssrc)
{
	struct source *s = source_find(f, ssrc);

	if (s || f->sources_len == REC_SRTP_SENT_MAX)
		return s;
	s = &f->sources[f->sources_len++];
	*s = (struct source){.ssrc = ssrc};
	return s;
}

static void source_sent(struct source *s, uint16_t seq)
{
	if (!s->sent || (int16_t)(seq - s->highest) > 0)
		s->highest = seq;
	s->sent = true;
	s->restored = false;
	s->ahead = 0;
	s->run = 0;
}

/* True: it has begun anew, and its numbers are shifted from now on. */
static bool source_refused(struct source *s, uint16_t seq, uint64_t now_ns)
{
	uint16_t own = (uint16_t)(seq - s->offset);

	s->run = s->run && own == s->next_refused ? s->run + 1 : 1;
	s->next_refused = (uint16_t)(own + 1);
	if (s->run < SRTP_RESTART_RUN || !s->sent ||
	    (s->shifted_ns &&
	     now_ns - s->shifted_ns < SRTP_RESTART_MIN_MS * MEDIA_NS_PER_MS))
		return false;
	s->ahead = s->restored ? SRTP_RTP_MARGIN : 0;
	s->offset = (uint16_t)(s->highest - own + s->ahead);
	s->shifted_ns = now_ns;
	s->run = 0;
	return true;
}

static void refused(struct media_packet *p, struct source *s, uint64_t now_ns,
		    struct srtp_tally *tally)
{
	if (!source_refused(s, seq_get(p->data), now_ns))
		return;
	tally->restarts++;
	p->flow->stream->put_wanted = true;
	p->flow->stream->reserve = true;
}

/* Is it no number of this source's row? */
static bool is_far(const struct source *s, uint16_t seq)
{
	int ahead = (int16_t)(seq - s->highest);

	return s->sent &&
	       (ahead <= -SRTP_WINDOW ||
		ahead > RTP_MAX_DROPOUT + (s->restored ? SRTP_RTP_MARGIN : 0));
}

static void sent(struct media_packet *p, const struct msrtp_packet *m,
		 uint64_t now_ns, struct srtp_tally *tally)
{
	struct source *s = source_find(p->flow->srtp, ssrc_get(p));

	tally->sent[m->result]++;
	p->size = m->size;
	p->drop = m->result != SRTP_OK;
	if (p->rtcp || !s)
		return;
	if (m->result == SRTP_OK)
		source_sent(s, seq_get(p->data));
	else if (m->result == SRTP_REPEATED || m->result == SRTP_TOO_OLD)
		refused(p, s, now_ns, tally);
}

/* Before it is protected; false: it is not. */
static bool prepare(struct media_packet *p, uint64_t now_ns,
		    struct srtp_tally *tally)
{
	struct srtp_flow *f = p->flow->srtp;
	struct source *s;

	if (p->size < (p->rtcp ? 8u : 12u) || f->unsafe) {
		tally->sent[SRTP_MALFORMED]++;
		p->drop = true;
		return false;
	}
	s = source_of(f, ssrc_get(p));
	if (!s) {
		tally->sent[SRTP_MANY_STREAMS]++;
		p->drop = true;
		return false;
	}
	if (!p->rtcp && s->offset)
		seq_set(p->data, (uint16_t)(seq_get(p->data) + s->offset));
	if (!p->rtcp && is_far(s, seq_get(p->data))) {
		tally->sent[SRTP_TOO_OLD]++;
		p->drop = true;
		refused(p, s, now_ns, tally);
		return false;
	}
	return true;
}

void srtp_flow_send(struct msrtp_engine *e, struct media_packet **packets,
		    unsigned len, uint64_t now_ns, struct srtp_tally *tally)
{
	struct msrtp_packet burst[MEDIA_BATCH];
	struct media_packet *of[MEDIA_BATCH];
	unsigned n = 0;

	for (unsigned i = 0; i < len; i++) {
		struct media_packet *p = packets[i];

		if (!p->flow->srtp || !prepare(p, now_ns, tally))
			continue;
		burst[n] = packet_of(
			p, ((struct srtp_flow *)p->flow->srtp)->tx.context);
		burst[n].room = p->size + MEDIA_TAIL_BYTES;
		of[n++] = p;
	}
	if (n)
		msrtp_protect(e, burst, n);
	for (unsigned i = 0; i < n; i++)
		sent(of[i], &burst[i], now_ns, tally);
}
