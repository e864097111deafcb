#include "sbcd/sip/sdp_relay.h"
#include "sbcd/sip/sdp_edit.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>

enum warning {
	WARN_ADDRESS = 301,
	WARN_TRANSPORT = 302,
	WARN_MEDIA = 304,
	WARN_FORMAT = 305,
	WARN_PARAMETER = 307,
	WARN_MULTICAST = 330,
	WARN_MISC = 399,
};

const char *sdp_warning_text(unsigned warning)
{
	switch (warning) {
	case WARN_ADDRESS:
		return "Incompatible network address formats";
	case WARN_TRANSPORT:
		return "Incompatible transport protocol";
	case WARN_MEDIA:
		return "Media type not available";
	case WARN_FORMAT:
		return "Incompatible media format";
	case WARN_PARAMETER:
		return "Session description parameter not understood";
	case WARN_MULTICAST:
		return "Multicast not available";
	default:
		return "Session description refused";
	}
}

enum sdp_direction sdp_direction_reverse(enum sdp_direction d)
{
	return (enum sdp_direction)(((d & 1) << 1) | ((d >> 1) & 1));
}

static int refuse(struct sdp_refusal *why, int rc, unsigned warning,
		  const char *detail)
{
	if (!why)
		return rc;
	why->warning = warning;
	snprintf(why->text, sizeof(why->text), "%s%s%s",
		 sdp_warning_text(warning), detail ? ": " : "",
		 detail ? detail : "");
	return rc;
}

static int parse(struct sdp **out, const char *buf, size_t size,
		 struct sdp_refusal *why)
{
	struct sdp_error err = {SDP_OK, 0};
	int rc = sdp_parse(out, buf, size, &err);

	if (rc && why)
		why->sdp = err;
	return rc ? refuse(why, rc, WARN_MISC, sdp_reason_text(err.reason)) : 0;
}

/* ---- reading ----------------------------------------------------------- */

static char media_letter(struct sdp_text media)
{
	static const struct {
		const char *name;
		char letter;
	} known[] = {{"audio", 'a'}, {"video", 'v'}, {"image", 'i'}};

	for (unsigned i = 0; i < 3; i++)
		if (strlen(known[i].name) == media.size &&
		    memcmp(known[i].name, media.at, media.size) == 0)
			return known[i].letter;
	return 'o';
}

static bool payload_type(struct sdp_text text, unsigned *out)
{
	unsigned v = 0;

	if (text.size == 0 || text.size > 3)
		return false;
	for (size_t i = 0; i < text.size; i++) {
		if (text.at[i] < '0' || text.at[i] > '9')
			return false;
		v = v * 10 + (unsigned)(text.at[i] - '0');
	}
	*out = v;
	return v <= 127;
}

static void read_formats(const struct sdp *sdp, unsigned m,
			 struct sdp_stream *s)
{
	struct sdp_text text;
	unsigned pt;

	for (unsigned n = 0;
	     s->formats_len < SDP_FORMATS_MAX && n < 2 * SDP_FORMATS_MAX &&
	     sdp_media_format(sdp, m, n, &text);
	     n++) {
		struct sdp_format *f = &s->formats[s->formats_len];

		if (!payload_type(text, &pt))
			continue;
		/* An unknown payload type is relayed like any other. */
		if (sdp_media_rtpmap(sdp, m, pt, f))
			*f = (struct sdp_format){.payload_type = (uint8_t)pt};
		s->formats_len++;
	}
}

/* 0 or the warn-code. */
static unsigned read_addresses(const struct sdp *sdp, unsigned m, uint16_t port,
			       struct sdp_stream *s)
{
	struct sdp_connection c;
	struct sdp_rtcp rtcp;
	int rc;

	sdp_connection(sdp, m, &c);
	switch (c.kind) {
	case SDP_CONN_IP:
		s->rtp = c.ip;
		s->rtp.port = port;
		break;
	case SDP_CONN_HOLD:
		s->hold = true;
		s->direction &= SDP_SENDONLY;
		return 0;
	case SDP_CONN_MULTICAST:
		return WARN_MULTICAST;
	default:
		return WARN_ADDRESS;
	}
	rc = sdp_media_rtcp(sdp, m, &rtcp);
	s->rtcp = s->rtp;
	s->rtcp.port = (uint16_t)(port + 1);
	if (rc == 0 && rtcp.port != 0) {
		if (rtcp.has_address && rtcp.connection.kind == SDP_CONN_IP)
			s->rtcp = rtcp.connection.ip;
		s->rtcp.port = rtcp.port;
	}
	if (s->rtcp.port == 0)
		memset(&s->rtcp, 0, sizeof(s->rtcp));
	return 0;
}

static unsigned read_stream(const struct sdp *sdp, unsigned m,
			    const struct sdp_rules *rules, struct sdp_stream *s)
{
	unsigned protos =
		rules->protos ? rules->protos : SDP_RTP_AVP | SDP_RTP_AVPF;
	struct sdp_media media;

	memset(s, 0, sizeof(*s));
	if (sdp_media_get(sdp, m, &media))
		return WARN_PARAMETER;
	s->media = media_letter(media.media);
	s->proto = media.kind;
	if (media.port == 0)
		return 0;
	s->direction = sdp_direction(sdp, m);
	s->rtcp_mux = sdp_attr_count(sdp, m, "rtcp-mux") > 0;
	s->ptime_ms = (uint16_t)sdp_media_ptime(sdp, m);
	s->slot = SDP_SLOT_ON;
	if (s->media != 'a' && !(s->media == 'v' && rules->video))
		return WARN_MEDIA;
	if (!(s->proto & protos))
		return WARN_TRANSPORT;
	read_formats(sdp, m, s);
	if (s->formats_len == 0)
		return WARN_FORMAT;
	return read_addresses(sdp, m, media.port, s);
}

static int check_answer(const struct sdp_streams *offer,
			const struct sdp_streams *answer,
			struct sdp_refusal *why)
{
	if (answer->media_count != offer->media_count)
		return refuse(why, -EPROTO, WARN_PARAMETER,
			      "answer and offer differ in m= lines");
	for (unsigned i = 0; i < answer->len; i++) {
		const struct sdp_stream *a = &answer->stream[i];
		const struct sdp_stream *o = &offer->stream[i];

		if (a->slot == SDP_SLOT_OFF)
			continue;
		if (o->slot != SDP_SLOT_ON)
			return refuse(why, -EPROTO, WARN_PARAMETER,
				      "answer accepts what was not offered");
		if (a->media != o->media)
			return refuse(why, -EPROTO, WARN_MEDIA,
				      "answer and offer differ in media");
		if (a->slot == SDP_SLOT_REFUSED)
			return refuse(why, -EPROTO, a->warning, NULL);
	}
	return 0;
}

static int read_streams(const struct sdp *sdp, const struct sdp_rules *rules,
			struct sdp_streams *out, struct sdp_refusal *why)
{
	unsigned on = 0, first_warning = 0;

	out->media_count = sdp_media_count(sdp);
	out->len = out->media_count < SDP_STREAMS_MAX ? out->media_count
						      : SDP_STREAMS_MAX;
	for (unsigned m = 0; m < out->len; m++) {
		struct sdp_stream *s = &out->stream[m];
		unsigned warning = read_stream(sdp, m, rules, s);

		if (warning) {
			s->slot = SDP_SLOT_REFUSED;
			s->warning = warning;
			if (!first_warning)
				first_warning = warning;
		}
		on += s->slot == SDP_SLOT_ON;
	}
	if (rules->offer)
		return check_answer(rules->offer, out, why);
	if (on == 0 && first_warning)
		return refuse(why, -EPROTO, first_warning, NULL);
	return 0;
}

int sdp_relay_read(const char *buf, size_t size, const struct sdp_rules *rules,
		   struct sdp_streams *out, struct sdp_refusal *why)
{
	struct sdp *sdp;
	int rc;

	memset(out, 0, sizeof(*out));
	rc = parse(&sdp, buf, size, why);
	if (rc)
		return rc;
	rc = read_streams(sdp, rules, out, why);
	sdp_destroy(sdp);
	return rc;
}

/* ---- writing ----------------------------------------------------------- */

static bool is_on(const struct sdp_relay_params *p, unsigned m)
{
	return m < p->streams->len &&
	       p->streams->stream[m].slot == SDP_SLOT_ON &&
	       p->local[m].rtp.port != 0;
}

/* The session's c=, then an own one for every stream that differs. */
static int write_connections(const struct sdp_relay_params *p, struct sdp *sdp)
{
	struct addr session = p->origin;
	struct sdp_text c;
	bool need = sdp_line_get(sdp, SDP_SESSION, 'c', &c);
	int rc = 0;

	for (unsigned m = sdp_media_count(sdp); m-- > 0;) {
		if (is_on(p, m))
			session = p->local[m].rtp;
		/* What is not relayed loses the c= it has. */
		if (!is_on(p, m) || !sdp_line_get(sdp, m, 'c', &c))
			need = true;
	}
	if (need)
		rc = sdp_set_connection(sdp, SDP_SESSION, &session);
	for (unsigned m = 0; m < sdp_media_count(sdp) && !rc; m++) {
		if (!is_on(p, m))
			continue;
		if (sdp_line_get(sdp, m, 'c', &c) ||
		    !addr_equal_ip(&session, &p->local[m].rtp))
			rc = sdp_set_connection(sdp, m, &p->local[m].rtp);
	}
	return rc;
}

static int write_stream(const struct sdp_relay_params *p, struct sdp *sdp,
			unsigned m)
{
	const struct sdp_stream *s = &p->streams->stream[m];
	const struct sdp_local *l = &p->local[m];
	uint16_t rtcp_port =
		l->rtcp_port ? l->rtcp_port : (uint16_t)(l->rtp.port + 1);
	struct sdp_rtcp rtcp;
	int rc, had = sdp_media_rtcp(sdp, m, &rtcp);

	rc = sdp_media_set_port(sdp, m, l->rtp.port);
	if (!rc && (had != -ENOENT || rtcp_port != l->rtp.port + 1))
		rc = sdp_media_set_rtcp(sdp, m, rtcp_port,
					had == 0 && rtcp.has_address ? &l->rtp
								     : NULL);
	/* What c=0.0.0.0 said is now said by the direction. */
	if (!rc && s->hold)
		rc = sdp_media_set_direction(sdp, m, s->direction);
	if (rc)
		return rc;
	if (p->strip_rtcp_mux) {
		sdp_attr_remove(sdp, m, "rtcp-mux");
		sdp_attr_remove(sdp, m, "rtcp-mux-only");
	}
	return 0;
}

static int write_slot(const struct sdp_relay_params *p, struct sdp *sdp,
		      unsigned m)
{
	struct sdp_media media;
	int rc;

	if (is_on(p, m))
		return write_stream(p, sdp, m);
	rc = sdp_media_get(sdp, m, &media);
	if (rc)
		return rc;
	return media.port ? sdp_media_reject(sdp, m)
			  : sdp_media_set_port(sdp, m, 0);
}

static int write_edits(const struct sdp_relay_params *p, struct sdp *sdp,
		       uint64_t *version)
{
	struct hide_set hide;
	int rc;

	if (p->hide)
		hide = *p->hide;
	else
		hide_init(&hide);
	/* A set that is full only means that fewer lines are removed for the
	 * sake of what the peer says twice; what the caller hides is in it. */
	if (sdp_collect(sdp, &hide) == -ENOMEM)
		return -ENOMEM;
	rc = sdp_set_origin(sdp, p->session_id, p->version, &p->origin);
	if (!rc)
		rc = write_connections(p, sdp);
	for (unsigned m = 0; m < sdp_media_count(sdp) && !rc; m++)
		rc = write_slot(p, sdp, m);
	if (!rc)
		rc = sdp_hide(sdp, &hide);
	if (!rc)
		rc = sdp_complete(sdp);
	if (rc)
		return rc;
	*version = sdp_next_version(sdp, p->last, p->last_size, p->version);
	return sdp_set_origin(sdp, p->session_id, *version, &p->origin);
}

ssize_t sdp_relay_write(const struct sdp_relay_params *p, char *out,
			size_t size, uint64_t *version, struct sdp_refusal *why)
{
	uint64_t new_version = p->version;
	struct sdp *sdp;
	ssize_t n;

	n = parse(&sdp, p->in, p->in_size, why);
	if (n)
		return n;
	n = write_edits(p, sdp, &new_version);
	if (!n)
		n = sdp_print(sdp, out, size);
	sdp_destroy(sdp);
	if (n == -EPERM)
		return refuse(why, (int)n, WARN_FORMAT, "address in m= line");
	if (n < 0)
		return refuse(why, (int)n, WARN_MISC, "too large");
	*version = new_version;
	return n;
}
