#include "sbcd/sip/sdp_secure.h"
#include "sbcd/sip/sdp_edit.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>

enum {
	PLAIN = SDP_RTP_AVP | SDP_RTP_AVPF,
	SECURE = SDP_RTP_SAVP | SDP_RTP_SAVPF,
	FEEDBACK = SDP_RTP_AVPF | SDP_RTP_SAVPF,
};

static bool is_pair(uint32_t pairs, unsigned stream)
{
	return stream < 32 && (pairs >> stream & 1);
}

unsigned sdp_secure_slot(uint32_t pairs, unsigned stream)
{
	uint32_t before =
		stream < 32 ? pairs & ((UINT32_C(1) << stream) - 1) : pairs;

	return stream + (unsigned)__builtin_popcount(before);
}

unsigned sdp_secure_streams(uint32_t pairs, unsigned slots)
{
	unsigned n = 0;

	while (sdp_secure_slot(pairs, n) < slots)
		n++;
	return n;
}

void sdp_secure_wipe(struct sdp_secure *s)
{
	explicit_bzero(s, sizeof(*s));
}

/* ---- reading ----------------------------------------------------------- */

static int refuse(struct sdp_refusal *why, unsigned warning, const char *text)
{
	why->warning = warning;
	snprintf(why->text, sizeof(why->text), "%s: %s",
		 sdp_warning_text(warning), text);
	return -EPROTO;
}

static unsigned security_of(const struct sdp_media *m)
{
	if (m->kind & PLAIN)
		return SDP_SEC_RTP;
	return m->kind & SECURE ? SDP_SEC_SRTP : SDP_SEC_OFF;
}

/* An m-line that is there; port 0 when it is not. */
static struct sdp_media slot_get(const struct sdp *sdp, unsigned slot)
{
	struct sdp_media m;

	if (sdp_media_get(sdp, slot, &m))
		memset(&m, 0, sizeof(m));
	return m;
}

/*
 * Which m-line of a stream counts: of a pair the first one that is on and
 * allowed.
 */
static unsigned slot_taken(const struct sdp *sdp, uint32_t pairs, unsigned i,
			   unsigned allowed)
{
	unsigned slot = sdp_secure_slot(pairs, i);
	struct sdp_media first, second;

	if (!is_pair(pairs, i))
		return slot;
	first = slot_get(sdp, slot);
	second = slot_get(sdp, slot + 1);
	if (first.port && (security_of(&first) & allowed))
		return slot;
	return second.port ? slot + 1 : slot;
}

static void read_stream(const struct sdp *sdp, uint32_t pairs, unsigned i,
			unsigned allowed, struct sdp_secured *s)
{
	unsigned slot = slot_taken(sdp, pairs, i, allowed);
	struct sdp_media m = slot_get(sdp, slot);

	if (!m.port)
		return;
	s->security = (uint8_t)security_of(&m);
	if (is_pair(pairs, i) && slot == sdp_secure_slot(pairs, i))
		s->both = slot_get(sdp, slot + 1).port != 0;
	/* What is neither is for the relay to judge. */
	if (s->security && !(s->security & allowed))
		s->refused = true;
	if (s->security == SDP_SEC_SRTP && !s->refused)
		sdes_lines_read(sdp, slot, &s->lines);
}

static int check_offer(const struct sdp *sdp, uint32_t pairs, unsigned allowed,
		       const struct sdp_secure *s, struct sdp_refusal *why)
{
	unsigned slots = sdp_media_count(sdp), refused = 0, on = 0;

	if (pairs &&
	    sdp_secure_slot(pairs, 32 - (unsigned)__builtin_clz(pairs)) > slots)
		return refuse(why, 307, "offer lacks m= lines of before");
	for (unsigned i = 0; i < s->len; i++) {
		refused += s->stream[i].refused;
		on += s->stream[i].security && !s->stream[i].refused;
	}
	if (refused && !on)
		return refuse(why, 302,
			      allowed == SDP_SEC_RTP
				      ? "media-sec-policy inbound is rtp"
				      : "media-sec-policy inbound is srtp");
	return 0;
}

static int check_answer(const struct sdp *sdp, const struct sdp *ours,
			struct sdp_refusal *why)
{
	unsigned slots = sdp_media_count(sdp);

	if (slots != sdp_media_count(ours))
		return refuse(why, 307,
			      slots < sdp_media_count(ours)
				      ? "answer lacks m= lines of the offer"
				      : "answer has more m= lines than the "
					"offer");
	for (unsigned i = 0; i < slots; i++) {
		struct sdp_media a = slot_get(sdp, i), o = slot_get(ours, i);

		if (a.port && !o.port)
			return refuse(why, 307,
				      "answer accepts what was not offered");
		if (a.port && security_of(&a) != security_of(&o))
			return refuse(why, 302,
				      security_of(&o) == SDP_SEC_SRTP
					      ? "RTP/SAVP was offered"
					      : "RTP/AVP was offered");
	}
	return 0;
}

int sdp_secure_read(const struct sdp *sdp, uint32_t pairs, unsigned allowed,
		    const struct sdp *ours, struct sdp_secure *out,
		    struct sdp_refusal *why)
{
	unsigned n = sdp_secure_streams(pairs, sdp_media_count(sdp));
	int rc;

	memset(out, 0, sizeof(*out));
	out->len = n < SDP_STREAMS_MAX ? n : SDP_STREAMS_MAX;
	if (ours) {
		rc = check_answer(sdp, ours, why);
		if (rc)
			return rc;
		allowed = SDP_SEC_ANY;
	}
	for (unsigned i = 0; i < out->len; i++)
		read_stream(sdp, pairs, i, allowed, &out->stream[i]);
	return ours ? 0 : check_offer(sdp, pairs, allowed, out, why);
}

/* ---- to the plain description ------------------------------------------ */

static int set_plain(struct sdp *sdp, unsigned slot)
{
	struct sdp_media m = slot_get(sdp, slot);

	if (!(m.kind & SECURE))
		return 0;
	return sdp_media_set_proto(sdp, slot,
				   m.kind & FEEDBACK ? "RTP/AVPF" : "RTP/AVP");
}

static int fold_stream(struct sdp *sdp, uint32_t pairs, unsigned i,
		       const struct sdp_secured *s)
{
	unsigned slot = sdp_secure_slot(pairs, i);
	int rc = 0;

	if (s && s->refused && slot < sdp_media_count(sdp))
		rc = sdp_media_reject(sdp, slot);
	if (is_pair(pairs, i) && slot + 1 < sdp_media_count(sdp)) {
		bool second = s && !s->refused && s->security == SDP_SEC_RTP;

		sdp_media_remove(sdp, second ? slot : slot + 1);
	}
	return rc ? rc : set_plain(sdp, slot);
}

int sdp_secure_fold(struct sdp *sdp, uint32_t pairs, const struct sdp_secure *s)
{
	unsigned n = sdp_secure_streams(pairs, sdp_media_count(sdp));
	int rc = 0;

	/* From the last one: the numbers before it stay. */
	for (unsigned i = n; i-- > 0 && !rc;)
		rc = fold_stream(sdp, pairs, i,
				 i < s->len ? &s->stream[i] : NULL);
	if (!rc)
		sdp_strip_keys(sdp);
	return rc;
}

/* ---- from the plain description ---------------------------------------- */

static int add_lines(struct sdp *sdp, unsigned slot,
		     const struct sdes_lines *lines)
{
	char text[SDES_LINE_SIZE];
	int rc = 0;

	for (unsigned i = 0; lines && i < lines->len && !rc; i++) {
		ssize_t n =
			sdes_crypto_print(&lines->line[i], text, sizeof(text));

		rc = n < 0 ? (int)n : sdp_attr_add(sdp, slot, "crypto", text);
	}
	explicit_bzero(text, sizeof(text));
	return rc;
}

static int set_secure(struct sdp *sdp, unsigned slot,
		      const struct sdes_lines *lines)
{
	struct sdp_media m = slot_get(sdp, slot);
	int rc;

	if (!(m.kind & PLAIN))
		return 0;
	rc = sdp_media_set_proto(sdp, slot,
				 m.kind & FEEDBACK ? "RTP/SAVPF" : "RTP/SAVP");
	return rc || !m.port ? rc : add_lines(sdp, slot, lines);
}

/* The one m-line becomes two; which of them is on says the security. */
static int unfold_pair(struct sdp *sdp, unsigned slot,
		       const struct sdp_unfold *u)
{
	struct sdp_media m = slot_get(sdp, slot);
	bool secure = m.port && (u->security & SDP_SEC_SRTP);
	bool plain = m.port && (u->security & SDP_SEC_RTP);
	int rc = sdp_media_copy(sdp, slot);

	if (rc)
		return rc;
	if (secure && plain) {
		/* One name for one m-line. */
		sdp_attr_remove(sdp, slot + 1, "mid");
		rc = sdp_media_set_port(sdp, slot + 1, u->twin_port);
	} else if (!plain) {
		rc = sdp_media_reject(sdp, slot + 1);
	}
	if (!rc && !secure)
		rc = sdp_media_reject(sdp, slot);
	return rc ? rc : set_secure(sdp, slot, u->lines);
}

static int unfold_offer(struct sdp *sdp, uint32_t *pairs,
			const struct sdp_unfold *stream, unsigned len,
			unsigned known)
{
	unsigned n = sdp_media_count(sdp);
	uint32_t all = *pairs;
	int rc = 0;

	for (unsigned i = 0; i < len && i < n; i++) {
		struct sdp_media m = slot_get(sdp, i);

		if (i >= known && stream[i].security == SDP_SEC_ANY && m.port &&
		    (m.kind & PLAIN))
			all |= UINT32_C(1) << i;
	}
	/* From the last one: the numbers before it stay. */
	for (unsigned i = n; i-- > 0 && !rc;) {
		static const struct sdp_unfold off;
		const struct sdp_unfold *u = i < len ? &stream[i] : &off;

		if (is_pair(all, i))
			rc = unfold_pair(sdp, i, u);
		else if (u->security & SDP_SEC_SRTP)
			rc = set_secure(sdp, i, u->lines);
	}
	if (!rc)
		*pairs = all;
	return rc;
}

/* RFC 3264 section 6: the protocol is that of the offer, word for word. */
static int copy_proto(struct sdp *sdp, unsigned slot, const struct sdp *theirs)
{
	struct sdp_media t = slot_get(theirs, slot);
	char proto[64];

	if (!t.proto.size || t.proto.size >= sizeof(proto))
		return -EPROTO;
	memcpy(proto, t.proto.at, t.proto.size);
	proto[t.proto.size] = '\0';
	return sdp_media_set_proto(sdp, slot, proto);
}

static int unfold_answer(struct sdp *sdp, uint32_t pairs,
			 const struct sdp_unfold *stream, unsigned len,
			 const struct sdp *theirs)
{
	unsigned n = sdp_media_count(sdp);
	int rc = 0;

	if (sdp_secure_slot(pairs, n) != sdp_media_count(theirs))
		return -EPROTO;
	for (unsigned i = n; i-- > 0 && !rc;) {
		static const struct sdp_unfold off;
		const struct sdp_unfold *u = i < len ? &stream[i] : &off;

		if (is_pair(pairs, i))
			rc = unfold_pair(sdp, i, u);
		else if (u->security == SDP_SEC_SRTP)
			rc = set_secure(sdp, i, u->lines);
	}
	for (unsigned i = sdp_media_count(sdp); i-- > 0 && !rc;)
		rc = copy_proto(sdp, i, theirs);
	return rc;
}

int sdp_secure_unfold(struct sdp *sdp, uint32_t *pairs,
		      const struct sdp_unfold *stream, unsigned len,
		      unsigned known, const struct sdp *theirs)
{
	if (len > SDP_STREAMS_MAX)
		return -ENOSPC;
	if (theirs)
		return unfold_answer(sdp, *pairs, stream, len, theirs);
	return unfold_offer(sdp, pairs, stream, len, known);
}
