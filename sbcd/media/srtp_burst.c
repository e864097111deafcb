/*
 * Packets of SRTP and SRTCP taken apart and put together, in bursts, over an
 * engine's seal() and open(). The result is that of one packet after the
 * other.
 */
#include "sbcd/media/srtp_key.h"

#include <string.h>
#include "sbcd/media/rtp.h"

enum {
	ESRTCP_BYTES = 4, /* E flag and SRTCP index */
	E_FLAG = 0x80,
};

static void put_u32(uint8_t *at, uint32_t v)
{
	for (unsigned i = 0; i < 4; i++)
		at[i] = (uint8_t)(v >> (24 - 8 * i));
}

static uint32_t get_u32(const uint8_t *at)
{
	return (uint32_t)at[0] << 24 | (uint32_t)at[1] << 16 |
	       (uint32_t)at[2] << 8 | at[3];
}

/* ---- what stands behind a payload ----------------------------------------
 */

struct trailer {
	uint32_t tag, index, mki, size; /* offsets from the payload's end */
};

/* RFC 3711 figures 1 and 2; RFC 7714: the tag is part of the ciphertext. */
static void trailer_of(struct trailer *t, const struct msrtp_key *k, bool rtcp)
{
	const struct msrtp_session *s = rtcp ? &k->rtcp : &k->rtp;
	uint32_t at = 0;

	t->tag = 0;
	if (s->aead)
		at += s->tag_size;
	t->index = at;
	if (rtcp)
		at += ESRTCP_BYTES;
	t->mki = at;
	at += k->mki_size;
	if (!s->aead) {
		t->tag = at;
		at += s->tag_size;
	}
	t->size = at;
}

static uint8_t mki_byte(const struct msrtp_key *k, unsigned n)
{
	unsigned shift = 8 * (k->mki_size - 1u - n);

	return shift < 64 ? (uint8_t)(k->mki >> shift) : 0;
}

static void mki_put(const struct msrtp_key *k, uint8_t *at)
{
	for (unsigned i = 0; i < k->mki_size; i++)
		at[i] = mki_byte(k, i);
}

static bool mki_is(const struct msrtp_key *k, const uint8_t *at)
{
	for (unsigned i = 0; i < k->mki_size; i++)
		if (at[i] != mki_byte(k, i))
			return false;
	return true;
}

/* ---- jobs ----------------------------------------------------------------
 */

/* RFC 3711 section 4.1.1; RFC 7714 sections 8.1 and 9.1. */
static void job_iv(struct msrtp_job *j)
{
	unsigned at = j->session->aead ? 2 : 4;

	memcpy(j->iv, j->session->salt, sizeof(j->iv));
	for (unsigned i = 0; i < 4; i++)
		j->iv[at + i] ^= (uint8_t)(j->ssrc >> (24 - 8 * i));
	for (unsigned i = 0; i < 6; i++)
		j->iv[at + 4 + i] ^= (uint8_t)(j->index >> (40 - 8 * i));
}

/* SSRC and index are set. */
static void job_fill(struct msrtp_job *j, struct msrtp_packet *p,
		     uint32_t header, uint32_t end, const struct trailer *t)
{
	const struct msrtp_key *k = p->key;
	const struct msrtp_session *s = p->rtcp ? &k->rtcp : &k->rtp;

	j->session = s;
	j->packet = p;
	j->data = p->data;
	j->clear = s->encrypted ? header : end;
	j->end = end;
	j->tag_at = p->data + end + t->tag;
	j->extra_size = 0;
	if (p->rtcp) {
		put_u32(j->extra, (uint32_t)j->index);
		if (s->encrypted)
			j->extra[0] |= E_FLAG;
		j->extra_size = sizeof(j->extra);
	} else if (!s->aead) {
		put_u32(j->extra, (uint32_t)(j->index >> 16));
		j->extra_size = sizeof(j->extra);
	}
	job_iv(j);
}

static enum srtp_result header_of(const struct msrtp_packet *p, uint32_t end,
				  uint32_t *header, uint32_t *ssrc,
				  uint16_t *seq)
{
	struct rtp_header h;

	if (p->rtcp) {
		if (end < RTCP_HEADER_BYTES || p->data[0] >> 6 != 2)
			return SRTP_MALFORMED;
		*header = RTCP_HEADER_BYTES;
		*ssrc = get_u32(p->data + 4);
		return SRTP_OK;
	}
	if (rtp_parse(&h, p->data, end))
		return SRTP_MALFORMED;
	*header = (uint32_t)h.bytes;
	*ssrc = h.ssrc;
	*seq = h.seq;
	return SRTP_OK;
}

/* Behind the last ROC comes none: rtp_index_guess() begins again. */
static bool is_exhausted(uint64_t highest, uint64_t index)
{
	return highest >> 16 == UINT32_MAX && index >> 16 == 0;
}

/* ---- sending -------------------------------------------------------------
 */

enum { HANDED_BITS = 64 };

/*
 * What another node may have sent since its last word lies before the first
 * packet that arrived here: nothing below is sent any more. But what it
 * forwarded it did not send, and that may come later than what arrived here.
 */
static enum srtp_result take_restored(struct msrtp_stream *s, bool forwarded,
				      uint64_t index)
{
	uint64_t ahead = index - s->imported - 1;
	bool near = index > s->imported && ahead < HANDED_BITS;
	enum srtp_result r = msrtp_window_check(&s->rtp_window, index);

	if (near && forwarded)
		r = s->handed >> ahead & 1 ? SRTP_REPEATED : SRTP_OK;
	if (r)
		return r;
	if (near)
		s->handed |= (uint64_t)1 << ahead;
	msrtp_window_add(&s->rtp_window, index);
	if (s->restored && !forwarded) {
		msrtp_window_close(&s->rtp_window, index);
		s->restored = false;
	}
	return SRTP_OK;
}

/* Takes the next index: what follows cannot fail, and if it does the index
 * is not given out again. */
static enum srtp_result take_index(struct msrtp_stream *s,
				   const struct msrtp_packet *p, uint16_t seq,
				   uint64_t *index)
{
	enum srtp_result r;

	if (p->rtcp) {
		if (s->rtcp_window.highest >= SRTCP_INDEX_MAX)
			return SRTP_EXHAUSTED;
		*index = s->rtcp_window.highest + 1;
		msrtp_window_add(&s->rtcp_window, *index);
		return SRTP_OK;
	}
	*index = rtp_index_guess(s->rtp_window.highest, seq);
	if (is_exhausted(s->rtp_window.highest, *index))
		return SRTP_EXHAUSTED;
	r = take_restored(s, p->forwarded, *index);
	s->rtp |= r == SRTP_OK;
	return r;
}

static enum srtp_result protect_one(struct msrtp_packet *p, struct msrtp_job *j)
{
	struct msrtp_key *k = p->key;
	struct msrtp_stream *s;
	enum srtp_result r;
	struct trailer t;
	uint32_t header;
	uint16_t seq = 0;

	trailer_of(&t, k, p->rtcp);
	r = header_of(p, p->size, &header, &j->ssrc, &seq);
	if (r)
		return r;
	if (p->size > SRTP_PACKET_SIZE_MAX - t.size)
		return SRTP_MALFORMED;
	if (p->room < p->size + t.size)
		return SRTP_NO_ROOM;
	s = msrtp_stream_find(k, j->ssrc);
	if (!s)
		s = msrtp_stream_add(k, j->ssrc);
	if (!s)
		return SRTP_MANY_STREAMS;
	r = take_index(s, p, seq, &j->index);
	if (r)
		return r;
	job_fill(j, p, header, p->size, &t);
	if (p->rtcp)
		memcpy(p->data + p->size + t.index, j->extra, sizeof(j->extra));
	mki_put(k, p->data + p->size + t.mki);
	p->size += t.size;
	return SRTP_OK;
}

void msrtp_burst_protect(struct msrtp_engine *e, struct msrtp_packet *p,
			 size_t n)
{
	size_t len = 0;

	for (size_t i = 0; i < n; i++) {
		p[i].result = protect_one(&p[i], &e->jobs[len]);
		if (p[i].result == SRTP_OK)
			len++;
	}
	e->ops->seal(e, e->jobs, len);
	for (size_t i = 0; i < len; i++) {
		struct msrtp_job *j = &e->jobs[i];

		if (!j->ok)
			j->packet->result = SRTP_ENGINE_FAILED;
		/* The MKI of AES-CM is behind the payload already. */
		memcpy(j->tag_at, j->tag, j->session->tag_size);
	}
}

/* ---- receiving -----------------------------------------------------------
 */

/* Without authentication anybody could move the ROC with a packet: it takes
 * two in a row. */
static void add_unauthenticated(struct msrtp_stream *s, uint64_t index)
{
	bool again = s->candidate && index == s->candidate + 1;

	if (index <= s->rtp_window.highest ||
	    index >> 16 == s->rtp_window.highest >> 16) {
		msrtp_window_add(&s->rtp_window, index);
		return;
	}
	if (again) {
		msrtp_window_add(&s->rtp_window, s->candidate);
		msrtp_window_add(&s->rtp_window, index);
		s->candidate = 0;
		return;
	}
	s->candidate = index;
}

static enum srtp_result finish_one(struct msrtp_job *j)
{
	struct msrtp_packet *p = j->packet;
	struct msrtp_window *w;
	enum srtp_result r;

	if (!j->ok)
		return SRTP_BAD_TAG;
	if (!j->stream)
		j->stream = msrtp_stream_find(p->key, j->ssrc);
	if (!j->stream)
		j->stream = msrtp_stream_add(p->key, j->ssrc);
	if (!j->stream)
		return SRTP_MANY_STREAMS;
	w = p->rtcp ? &j->stream->rtcp_window : &j->stream->rtp_window;
	/* Its twin may be in the same burst. */
	r = msrtp_window_check(w, j->index);
	if (r)
		return r;
	if (p->rtcp) {
		msrtp_window_add(w, j->index);
	} else {
		if (j->session->tag_size)
			msrtp_window_add(w, j->index);
		else
			add_unauthenticated(j->stream, j->index);
		j->stream->rtp = true;
		j->stream->restored = false;
	}
	p->size = j->end;
	return SRTP_OK;
}

static void open_burst(struct msrtp_engine *e, size_t *len)
{
	e->ops->open(e, e->jobs, *len);
	for (size_t i = 0; i < *len; i++) {
		struct msrtp_job *j = &e->jobs[i];

		j->packet->result = finish_one(j);
		j->packet->key->unknown = 0;
		if (j->stream)
			j->stream->pending = 0;
	}
	*len = 0;
}

struct parsed {
	struct trailer trailer;
	struct msrtp_stream *stream;
	uint32_t header, end, ssrc;
	uint16_t seq;
};

static enum srtp_result parse_one(const struct msrtp_packet *p,
				  struct parsed *out)
{
	enum srtp_result r;

	trailer_of(&out->trailer, p->key, p->rtcp);
	if (p->size > SRTP_PACKET_SIZE_MAX || p->size < out->trailer.size)
		return SRTP_MALFORMED;
	out->end = p->size - out->trailer.size;
	out->seq = 0;
	r = header_of(p, out->end, &out->header, &out->ssrc, &out->seq);
	if (r)
		return r;
	if (!mki_is(p->key, p->data + out->end + out->trailer.mki))
		return SRTP_BAD_MKI;
	out->stream = msrtp_stream_find(p->key, out->ssrc);
	return SRTP_OK;
}

/* Would the index be another if some of the burst were refused? */
static bool depends_on_burst(const struct msrtp_packet *p,
			     const struct parsed *q)
{
	const struct msrtp_stream *s = q->stream;

	if (!s)
		return p->key->unknown;
	if (p->rtcp || s->pending <= s->rtp_window.highest)
		return false;
	return rtp_index_guess(s->rtp_window.highest, q->seq) !=
	       rtp_index_guess(s->pending, q->seq);
}

/* The job of a packet; `rocs` is added to the guess. */
static enum srtp_result prepare_one(struct msrtp_packet *p,
				    const struct parsed *q, struct msrtp_job *j,
				    unsigned rocs)
{
	static const struct msrtp_window fresh;
	const struct msrtp_session *s = p->rtcp ? &p->key->rtcp : &p->key->rtp;
	const uint8_t *esrtcp = p->data + q->end + q->trailer.index;
	const struct msrtp_window *w = &fresh;
	enum srtp_result r;

	if (q->stream)
		w = p->rtcp ? &q->stream->rtcp_window : &q->stream->rtp_window;
	j->ssrc = q->ssrc;
	j->stream = q->stream;
	if (p->rtcp) {
		if (!(esrtcp[0] & E_FLAG) == s->encrypted)
			return SRTP_BAD_FLAG;
		j->index = get_u32(esrtcp) & SRTCP_INDEX_MAX;
	} else {
		j->index = rtp_index_guess(w->highest, q->seq);
		if (is_exhausted(w->highest, j->index))
			return SRTP_EXHAUSTED;
		j->index += (uint64_t)rocs << 16;
		if (j->index > SRTP_INDEX_MAX)
			return SRTP_EXHAUSTED;
	}
	r = msrtp_window_check(w, j->index);
	if (r)
		return r;
	job_fill(j, p, q->header, q->end, &q->trailer);
	/* The engine may write over it. */
	memcpy(j->tag, j->tag_at, s->tag_size);
	return SRTP_OK;
}

/*
 * After a restore the index may be further behind than half a ROC: tries the
 * next one too. The one before is never right: it is refused as too old.
 */
static void unprotect_restored(struct msrtp_engine *e, struct msrtp_packet *p,
			       const struct parsed *q)
{
	enum srtp_result first = SRTP_OK, r;

	memcpy(e->copy_burst, p->data, p->size);
	for (unsigned rocs = 0; rocs < 2; rocs++) {
		size_t len = 1;

		r = prepare_one(p, q, &e->jobs[0], rocs);
		if (r == SRTP_OK) {
			open_burst(e, &len);
			r = p->result;
		}
		if (r == SRTP_OK)
			return;
		memcpy(p->data, e->copy_burst, p->size);
		if (!first || r == SRTP_BAD_TAG)
			first = r;
	}
	p->result = first;
}

void msrtp_burst_unprotect(struct msrtp_engine *e, struct msrtp_packet *p,
			   size_t n)
{
	size_t len = 0;

	for (size_t i = 0; i < n; i++) {
		struct parsed q;
		struct msrtp_job *j;

		p[i].result = parse_one(&p[i], &q);
		if (p[i].result != SRTP_OK)
			continue;
		if (depends_on_burst(&p[i], &q) ||
		    (q.stream && q.stream->restored)) {
			open_burst(e, &len);
			q.stream = msrtp_stream_find(p[i].key, q.ssrc);
		}
		if (q.stream && q.stream->restored && !p[i].rtcp) {
			unprotect_restored(e, &p[i], &q);
			continue;
		}
		j = &e->jobs[len];
		p[i].result = prepare_one(&p[i], &q, j, 0);
		if (p[i].result != SRTP_OK)
			continue;
		len++;
		if (!q.stream)
			p[i].key->unknown++;
		else if (!p[i].rtcp && j->index > q.stream->pending)
			q.stream->pending = j->index;
	}
	open_burst(e, &len);
}
