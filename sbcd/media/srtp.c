#include "sbcd/media/srtp_key.h"

#include <assert.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include "sbcd/media/srtp_memory.h"

struct msrtp {
	struct msrtp_key *key;
	struct msrtp_key *old; /* before the last re-key, or NULL */
	uint64_t old_until_ns;
	uint8_t direction;
	bool used; /* packets went through */
};

/* ---- engines -------------------------------------------------------------
 */

/* The best first. */
static const struct msrtp_engine_ops *const engines[] = {
	&msrtp_engine_ipsec_mb,
	&msrtp_engine_openssl,
	&msrtp_engine_reference,
};

enum { ENGINES = sizeof(engines) / sizeof(engines[0]) };

static const char *const result_names[SRTP_RESULTS] = {
	[SRTP_OK] = "ok",
	[SRTP_MALFORMED] = "malformed",
	[SRTP_NO_ROOM] = "no-room",
	[SRTP_BAD_MKI] = "bad-mki",
	[SRTP_BAD_TAG] = "bad-tag",
	[SRTP_REPEATED] = "repeated",
	[SRTP_TOO_OLD] = "too-old",
	[SRTP_MANY_STREAMS] = "many-streams",
	[SRTP_EXHAUSTED] = "exhausted",
	[SRTP_BAD_FLAG] = "bad-flag",
	[SRTP_ENGINE_FAILED] = "engine-failed",
};

const char *msrtp_result_name(enum srtp_result r)
{
	return (unsigned)r < SRTP_RESULTS ? result_names[r] : "unknown";
}

const char *msrtp_engine_list(unsigned n)
{
	return n < ENGINES ? engines[n]->name : NULL;
}

static int engine_start(struct msrtp_engine *e,
			const struct msrtp_engine_ops *ops)
{
	e->ops = ops;
	return ops->start(e);
}

int msrtp_engine_create(struct msrtp_engine **out, const char *name)
{
	struct msrtp_engine *e = calloc(1, sizeof(*e));
	int err = -ENOENT;

	if (!e)
		return -ENOMEM;
	for (unsigned i = 0; i < ENGINES && err; i++)
		if (!name || !strcmp(name, engines[i]->name))
			err = engine_start(e, engines[i]);
	if (err) {
		free(e);
		return err;
	}
	*out = e;
	return 0;
}

void msrtp_engine_destroy(struct msrtp_engine *e)
{
	if (!e)
		return;
	e->ops->stop(e);
	explicit_bzero(e, sizeof(*e));
	free(e);
}

const char *msrtp_engine_name(const struct msrtp_engine *e)
{
	return e->ops->name;
}

uint64_t msrtp_engine_count(const struct msrtp_engine *e, enum srtp_result r)
{
	return (unsigned)r < SRTP_RESULTS ? e->counts[r] : 0;
}

/* ---- packets -------------------------------------------------------------
 */

static void tally(struct msrtp_engine *e, const struct msrtp_packet *p,
		  size_t n)
{
	for (size_t i = 0; i < n; i++)
		e->counts[p[i].result]++;
}

void msrtp_protect(struct msrtp_engine *e, struct msrtp_packet *packets,
		   size_t n)
{
	for (size_t i = 0; i < n; i += SRTP_BURST_MAX) {
		size_t len = n - i < SRTP_BURST_MAX ? n - i : SRTP_BURST_MAX;

		for (size_t j = i; j < i + len; j++) {
			struct msrtp *s = packets[j].context;

			assert(s->direction == SRTP_SEND &&
			       s->key->ops == e->ops);
			packets[j].key = s->key;
			s->used = true;
		}
		e->ops->protect(e, packets + i, len);
	}
	tally(e, packets, n);
}

static void old_drop(struct msrtp *s)
{
	msrtp_key_destroy(s->old);
	s->old = NULL;
}

/* While two keys are alive: the new one first, then the old one. */
static void unprotect_either(struct msrtp_engine *e, struct msrtp_packet *p)
{
	struct msrtp *s = p->context;
	uint32_t size = p->size;
	uint8_t first;

	if (size > SRTP_PACKET_SIZE_MAX) {
		p->result = SRTP_MALFORMED;
		return;
	}
	memcpy(e->copy, p->data, size);
	p->key = s->key;
	e->ops->unprotect(e, p, 1);
	if (p->result == SRTP_OK) {
		old_drop(s);
		return;
	}
	first = p->result;
	memcpy(p->data, e->copy, size);
	p->key = s->old;
	e->ops->unprotect(e, p, 1);
	p->key = s->key;
	/* What the new key says of a packet of the old one tells nothing. */
	if (p->result == SRTP_BAD_TAG || p->result == SRTP_BAD_MKI)
		p->result = first;
}

void msrtp_unprotect(struct msrtp_engine *e, struct msrtp_packet *packets,
		     size_t n, uint64_t now_ns)
{
	size_t from = 0;

	for (size_t i = 0; i < n; i++) {
		struct msrtp *s = packets[i].context;

		assert(s->direction == SRTP_RECEIVE && s->key->ops == e->ops);
		packets[i].key = s->key;
		s->used = true;
		if (s->old && now_ns >= s->old_until_ns)
			old_drop(s);
		if (s->old || i - from == SRTP_BURST_MAX) {
			e->ops->unprotect(e, packets + from, i - from);
			from = i;
		}
		if (s->old) {
			unprotect_either(e, &packets[i]);
			from = i + 1;
		}
	}
	e->ops->unprotect(e, packets + from, n - from);
	tally(e, packets, n);
}

/* ---- contexts ------------------------------------------------------------
 */

int msrtp_create(struct msrtp **out, struct msrtp_engine *e,
		 const struct msrtp_params *p)
{
	struct msrtp *s = msrtp_memory_alloc(sizeof(*s));
	int err;

	if (!s)
		return -ENOMEM;
	err = msrtp_key_create(&s->key, e, p);
	if (err) {
		msrtp_memory_free(s, sizeof(*s));
		return err;
	}
	s->direction = p->direction;
	*out = s;
	return 0;
}

void msrtp_destroy(struct msrtp *s)
{
	if (!s)
		return;
	msrtp_key_destroy(s->old);
	msrtp_key_destroy(s->key);
	msrtp_memory_free(s, sizeof(*s));
}

struct msrtp_key *msrtp_key_of(const struct msrtp *s)
{
	return s->key;
}

size_t msrtp_overhead(const struct msrtp *s, bool rtcp)
{
	const struct msrtp_key *k = s->key;

	if (rtcp)
		return 4u + k->mki_size + k->rtcp.tag_size;
	return (size_t)k->mki_size + k->rtp.tag_size;
}

/* Indexes go on under another key: no window, nothing was there yet. */
static int streams_carry(struct msrtp_key *to, const struct msrtp_key *from)
{
	if (!to->ops->seal)
		return -ENOTSUP;
	for (unsigned i = 0; i < from->streams_len; i++) {
		const struct msrtp_stream *f = msrtp_stream_at(from, i);
		struct msrtp_stream *t = msrtp_stream_add(to, f->ssrc);

		if (!t)
			return -ENOMEM;
		t->rtp = f->rtp;
		t->rtp_window.highest = f->rtp_window.highest;
		t->rtcp_window.highest = f->rtcp_window.highest;
	}
	return 0;
}

/* The same bytes in `have`: its streams and windows stay. */
static int key_keep(struct msrtp_key *have, struct msrtp_key *wanted)
{
	int err = 0;

	if (!msrtp_key_equal(have, wanted)) {
		if (have->ops->seal)
			msrtp_key_adopt(have, wanted);
		else
			err = -ENOTSUP;
	}
	msrtp_key_destroy(wanted);
	return err;
}

int msrtp_rekey(struct msrtp *s, struct msrtp_engine *e,
		const struct msrtp_params *p, bool keep_roc, uint64_t now_ns)
{
	struct msrtp_key *key = NULL, *before = s->key;
	int err;

	if (p->direction != s->direction)
		return -EINVAL;
	err = msrtp_key_create(&key, e, p);
	if (err)
		return err;
	if (msrtp_key_same(before, key))
		return key_keep(before, key);
	if (s->old && msrtp_key_same(s->old, key)) {
		/* Back to the one before, which remembers its packets. */
		err = key_keep(s->old, key);
		key = s->old;
		if (err)
			return err;
	} else {
		err = keep_roc ? streams_carry(key, before) : 0;
		if (err) {
			msrtp_key_destroy(key);
			return err;
		}
		msrtp_key_destroy(s->old);
	}
	s->key = key;
	/* A sender keeps it for its windows, should an offer be taken back. */
	s->old = before;
	s->old_until_ns = now_ns + SRTP_OLD_KEY_MS * 1000000ull;
	return 1;
}

/* ---- continuity ----------------------------------------------------------
 */

int msrtp_set_rtcp_base(struct msrtp *s, uint32_t base)
{
	if (!s->key->ops->seal)
		return -ENOTSUP;
	if (base > SRTCP_INDEX_MAX || s->direction != SRTP_SEND)
		return -EINVAL;
	s->key->rtcp_base = base;
	return 0;
}

uint32_t msrtp_rtcp_base(const struct msrtp *s)
{
	return s->key->rtcp_base;
}

size_t msrtp_export(const struct msrtp *s, struct msrtp_position *out,
		    size_t max)
{
	size_t n = 0;

	for (unsigned i = 0; i < s->key->streams_len && n < max; i++) {
		const struct msrtp_stream *t = msrtp_stream_at(s->key, i);

		out[n++] = (struct msrtp_position){
			.ssrc = t->ssrc,
			.rtp = t->rtp,
			.index = t->rtp ? t->rtp_window.highest : 0,
			.rtcp_index = (uint32_t)t->rtcp_window.highest,
		};
	}
	return n;
}

static uint64_t add_clamped(uint64_t index, uint32_t margin, uint64_t max)
{
	return index + margin < max ? index + margin : max;
}

static void stream_restore(struct msrtp_stream *t,
			   const struct msrtp_position *p,
			   const struct msrtp_margin *m)
{
	if (p->rtp) {
		t->rtp = true;
		msrtp_window_close(&t->rtp_window, add_clamped(p->index, m->rtp,
							       SRTP_INDEX_MAX));
		t->restored = true;
		t->imported = t->rtp_window.highest;
		t->handed = 0;
	}
	if (p->rtcp_index || m->rtcp)
		msrtp_window_close(
			&t->rtcp_window,
			add_clamped(p->rtcp_index, m->rtcp, SRTCP_INDEX_MAX));
}

static bool positions_valid(const struct msrtp_position *p, size_t n)
{
	if (n > SRTP_STREAMS_MAX)
		return false;
	for (size_t i = 0; i < n; i++) {
		if (p[i].index > SRTP_INDEX_MAX ||
		    p[i].rtcp_index > SRTCP_INDEX_MAX)
			return false;
		for (size_t j = 0; j < i; j++)
			if (p[j].ssrc == p[i].ssrc)
				return false;
	}
	return true;
}

int msrtp_import(struct msrtp *s, const struct msrtp_position *positions,
		 size_t n, const struct msrtp_margin *margin)
{
	if (!s->key->ops->seal)
		return -ENOTSUP;
	if (s->used)
		return -EBUSY;
	if (margin->rtp >= 0x8000 || margin->rtcp > SRTCP_INDEX_MAX ||
	    !positions_valid(positions, n))
		return -EINVAL;
	msrtp_streams_forget(s->key);
	for (size_t i = 0; i < n; i++) {
		struct msrtp_stream *t =
			msrtp_stream_add(s->key, positions[i].ssrc);

		if (!t)
			return -ENOMEM;
		stream_restore(t, &positions[i], margin);
	}
	return 0;
}
