#include "sbcd/media/stream.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "sbcd/media/mos.h"
#include "sbcd/media/srtp_flow.h"
#include "sbcd/record/media_keys.h"

/* ---- building
 * ---------------------------------------------------------------- */

static uint8_t flow_tos(const struct config *c, const struct rec_flow *rec)
{
	for (size_t i = 0; c && i < c->realms_len; i++) {
		const struct config_realm *r = &c->realms[i];

		if (r->nif && rec->local.port >= r->port_first &&
		    rec->local.port <= r->port_last &&
		    !strcmp(r->nif->name, rec->network_interface))
			return (uint8_t)(r->dscp_media << 2);
	}
	return 0;
}

static bool addr_usable(const struct addr *a)
{
	return a->family && a->port && !addr_is_unspecified(a);
}

static void flow_aim(struct media_flow *f)
{
	struct addr none = {0};

	if (f->latch.state != LATCH_NONE)
		f->to = f->latch.learned;
	else
		f->to = addr_usable(&f->remote) ? f->remote : none;
	if (f->rtcp_mux) {
		f->to_rtcp = f->to;
	} else if (f->latch_rtcp.state != LATCH_NONE) {
		f->to_rtcp = f->latch_rtcp.learned;
	} else if (addr_usable(&f->remote_rtcp) &&
		   addr_equal(&f->to, &f->remote)) {
		f->to_rtcp = f->remote_rtcp;
	} else {
		f->to_rtcp = f->to;
		if (f->to.port == UINT16_MAX)
			f->to_rtcp = none;
		else if (f->to.family)
			f->to_rtcp.port++;
	}
}

/* The pair must be ours as a whole: another thread owns the next shard. */
static int flow_place(struct media_flow *f, const struct rec_flow *rec,
		      const struct media_nifs *nifs)
{
	const struct media_endpoint *e;

	f->nif = media_nifs_find(nifs, rec->network_interface);
	if (!f->nif)
		return -EINVAL;
	f->endpoint = media_nif_endpoint(f->nif, &rec->local);
	e = f->endpoint;
	if (!e)
		return -EINVAL;
	if (rec->local.port < e->port_last &&
	    media_endpoint_shard(e, rec->local.port) !=
		    media_endpoint_shard(e, (uint16_t)(rec->local.port + 1)))
		return -EINVAL;
	return 0;
}

static int flow_build(struct media_flow *f, const struct rec_flow *rec,
		      const struct media_stream_params *p)
{
	int err;

	f->leg = rec->leg;
	f->expect_since_ns = p->now_ns;
	if (!rec->local.family)
		return 0;
	err = flow_place(f, rec, p->nifs);
	if (err)
		return err;
	if (rec->direction > FLOW_SENDRECV ||
	    (rec->remote.family && rec->remote.family != rec->local.family) ||
	    (rec->remote_rtcp.family &&
	     rec->remote_rtcp.family != rec->local.family))
		return -EINVAL;
	f->local = rec->local;
	f->remote = rec->remote;
	f->remote_rtcp = rec->remote_rtcp;
	f->direction = rec->direction;
	f->rtcp_mux = rec->rtcp_mux;
	f->latch_allowed = rec->latch;
	f->tos = flow_tos(p->config, rec);
	f->rx.media = (char)f->stream->media;
	flow_aim(f);
	return 0;
}

static int stream_shard(struct media_stream *s)
{
	int shard = -1;

	for (unsigned i = 0; i < s->flows_len; i++) {
		const struct media_flow *f = &s->flows[i];
		int mine;

		if (!f->endpoint)
			continue;
		mine = (int)media_endpoint_shard(f->endpoint, f->local.port);
		if (shard >= 0 && mine != shard)
			return -EINVAL;
		shard = mine;
	}
	s->shard = shard < 0 ? 0 : (uint16_t)shard;
	return 0;
}

static uint64_t put_packets(const struct rec_media *m)
{
	uint64_t n = MEDIA_PUT_PACKETS;

	for (unsigned i = 0; i < m->keys_len && i < REC_KEYS_MAX; i++)
		n = media_keys_told_after(&m->keys[i], n);
	return n;
}

int media_stream_build(struct media_stream **out, const struct ha_key *key,
		       const struct rec_media *rec,
		       const struct media_stream_params *p)
{
	struct media_stream *s;
	int err;

	if (!rec->flows_len || rec->flows_len > REC_FLOWS_MAX)
		return -EINVAL;
	s = calloc(1, sizeof(*s) + rec->flows_len * sizeof(s->flows[0]));
	if (!s)
		return -ENOMEM;
	s->key = *key;
	s->media = rec->media;
	s->flows_len = (uint8_t)rec->flows_len;
	s->put_packets = put_packets(rec);
	s->guard_initial_ms = rec->guard_initial_ms;
	s->guard_subsequent_ms = rec->guard_subsequent_ms;
	/* Streams of one moment do not report in one moment. */
	s->last_put_ns = p->now_ns - (key->id ^ key->id >> 32) %
					     MEDIA_PUT_PERIOD_MS *
					     MEDIA_NS_PER_MS;
	for (unsigned i = 0; i < s->flows_len; i++) {
		s->flows[i].stream = s;
		err = flow_build(&s->flows[i], &rec->flows[i], p);
		if (!err)
			err = srtp_flow_build(&s->flows[i].srtp, p->srtp, rec,
					      rec->flows[i].leg);
		if (err)
			goto err_free;
	}
	err = stream_shard(s);
	if (err)
		goto err_free;
	*out = s;
	return 0;

err_free:
	media_stream_free(s);
	return err;
}

bool media_stream_is_srtp(const struct media_stream *s)
{
	for (unsigned i = 0; i < s->flows_len; i++)
		if (s->flows[i].srtp)
			return true;
	return false;
}

size_t media_stream_size(const struct media_stream *s)
{
	return sizeof(*s) + s->flows_len * sizeof(s->flows[0]);
}

void media_stream_free(struct media_stream *s)
{
	if (!s)
		return;
	for (unsigned i = 0; i < s->flows_len; i++)
		srtp_flow_free(s->flows[i].srtp);
	free(s);
}

/* ---- updates
 * ------------------------------------------------------------------- */

static void inherit_latch(struct latch *l, const struct latch *old,
			  const struct addr *remote,
			  const struct addr *old_remote)
{
	if (old->state == LATCH_NONE)
		return;
	*l = *old;
	if (addr_equal(remote, old_remote))
		return;
	if (addr_equal(&l->learned, remote))
		l->state = LATCH_HELD;
	else if (addr_usable(old_remote) && addr_usable(remote))
		latch_clear(l); /* it moved: what was learned is history */
	else
		l->state = LATCH_GUESSED;
}

static void flow_inherit(struct media_flow *f, const struct media_flow *old,
			 uint64_t now_ns)
{
	f->heard = old->heard;
	f->rx = old->rx;
	f->rx.media = (char)f->stream->media;
	f->last_rtp_ns = old->last_rtp_ns;
	f->last_rtcp_ns = old->last_rtcp_ns;
	f->rtcp_packets = old->rtcp_packets;
	f->put_index = old->put_index;
	f->tx_packets = old->tx_packets;
	f->tx_bytes = old->tx_bytes;
	f->refused = old->refused;
	f->srtp_refused = old->srtp_refused;
	f->gap_since_ns = old->gap_since_ns;
	f->gap_us = old->gap_us;
	f->gap_max_ms = old->gap_max_ms;
	f->jitter_before_us = old->jitter_before_us;
	f->expect_since_ns =
		media_flow_receives(old) ? old->expect_since_ns : now_ns;
	if (f->latch_allowed) {
		inherit_latch(&f->latch, &old->latch, &f->remote, &old->remote);
		inherit_latch(&f->latch_rtcp, &old->latch_rtcp, &f->remote_rtcp,
			      &old->remote_rtcp);
		if (f->latch.state == LATCH_NONE)
			latch_clear(&f->latch_rtcp);
	}
	if (f->latch.state != old->latch.state)
		f->stream->put_wanted = true;
	flow_aim(f);
}

/* By the leg, whatever else changed: a key that was used stays used. */
static void inherit_srtp(struct media_stream *s, struct media_stream *old)
{
	for (unsigned i = 0; i < s->flows_len; i++) {
		struct media_flow *f = &s->flows[i];

		for (unsigned j = 0; f->srtp && j < old->flows_len; j++) {
			if (old->flows[j].leg != f->leg || !old->flows[j].srtp)
				continue;
			s->put_wanted |=
				srtp_flow_inherit(f->srtp, old->flows[j].srtp);
			break;
		}
	}
	s->reserve = old->reserve;
}

void media_stream_inherit(struct media_stream *s, struct media_stream *old,
			  uint64_t now_ns)
{
	s->put_wanted = old->put_wanted;
	inherit_srtp(s, old);
	s->guard = old->guard;
	s->last_put_ns = old->last_put_ns;
	s->packets_since_put = old->packets_since_put;
	for (unsigned i = 0; i < s->flows_len && i < old->flows_len; i++) {
		struct media_flow *f = &s->flows[i];
		const struct media_flow *was = &old->flows[i];

		if (f->endpoint && f->endpoint == was->endpoint &&
		    f->local.port == was->local.port)
			flow_inherit(f, was, now_ns);
	}
}

unsigned media_stream_claim(struct media_stream *s)
{
	unsigned n = 0;

	for (unsigned i = 0; i < s->flows_len; i++) {
		struct media_flow *f = &s->flows[i];

		if (!f->endpoint)
			continue;
		n += media_endpoint_claim(f->endpoint, f->local.port, f);
		if (f->local.port < f->endpoint->port_last)
			n += media_endpoint_claim(
				f->endpoint, (uint16_t)(f->local.port + 1), f);
	}
	return n;
}

unsigned media_stream_release(struct media_stream *s)
{
	unsigned n = 0;

	for (unsigned i = 0; i < s->flows_len; i++) {
		struct media_flow *f = &s->flows[i];

		if (!f->endpoint)
			continue;
		n += media_endpoint_release(f->endpoint, f->local.port, f);
		if (f->local.port < f->endpoint->port_last)
			n += media_endpoint_release(
				f->endpoint, (uint16_t)(f->local.port + 1), f);
	}
	return n;
}

void media_stream_activate(struct media_stream *s, uint64_t now_ns,
			   uint64_t since_ns)
{
	s->last_put_ns = now_ns - (s->key.id ^ s->key.id >> 32) %
					  MEDIA_PUT_PERIOD_MS * MEDIA_NS_PER_MS;
	for (unsigned i = 0; i < s->flows_len; i++) {
		struct media_flow *f = &s->flows[i];

		f->expect_since_ns = now_ns;
		f->latch.last_ns = now_ns;
		f->latch_rtcp.last_ns = now_ns;
		/* Where nothing was heard before, nothing was missed. */
		f->gap_us = 0;
		f->gap_since_ns =
			f->endpoint && f->heard && media_flow_receives(f)
				? since_ns
				: 0;
	}
}

void media_stream_take_over(struct media_stream *s)
{
	for (unsigned i = 0; i < s->flows_len; i++) {
		if (!s->flows[i].srtp)
			continue;
		srtp_flow_take_over(s->flows[i].srtp);
		s->reserve = true;
	}
}

void media_flow_resumed(struct media_flow *f, uint64_t now_ns)
{
	uint64_t ms;

	f->gap_us = now_ns > f->gap_since_ns ? (now_ns - f->gap_since_ns) / 1000
					     : 0;
	ms = (f->gap_us + 999) / 1000;
	if (ms > f->gap_max_ms)
		f->gap_max_ms = ms < UINT32_MAX ? (uint32_t)ms : UINT32_MAX;
	f->gap_since_ns = 0;
}

void media_stream_gaps(const struct media_stream *s, struct gaps *out)
{
	for (unsigned i = 0; i < s->flows_len; i++) {
		const struct media_flow *f = &s->flows[i];

		if (f->gap_us)
			gaps_add(out, f->gap_us);
		else if (f->gap_since_ns)
			out->silent++;
	}
}

/* ---- record of what was learned ---------------------------------------------
 */

void media_stream_restore(struct media_stream *s, const struct rec_mstate *m,
			  uint64_t now_ns)
{
	s->guard = m->guard <= GUARD_SUBSEQUENT ? m->guard : GUARD_QUIET;
	for (unsigned i = 0; i < s->flows_len && i < m->flows_len; i++) {
		struct media_flow *f = &s->flows[i];
		const struct rec_mflow *r = &m->flows[i];

		if (!f->endpoint)
			continue;
		f->heard = r->rx_packets > 0;
		f->rtcp_packets = r->rtcp_index;
		rtp_stats_restore(&f->rx, r->ssrc, r->index, r->rx_packets,
				  r->rx_bytes, r->rx_lost);
		f->rx.payload_type = r->payload_type;
		f->jitter_before_us = r->jitter_us;
		f->tx_packets = r->tx_packets;
		f->tx_bytes = r->tx_bytes;
		f->gap_max_ms = r->gap_ms;
		latch_clear(&f->latch);
		latch_clear(&f->latch_rtcp);
		if (f->latch_allowed && r->learned.family == f->local.family)
			latch_restore(&f->latch, &r->learned, now_ns);
		if (f->latch_allowed &&
		    r->learned_rtcp.family == f->local.family)
			latch_restore(&f->latch_rtcp, &r->learned_rtcp, now_ns);
		flow_aim(f);
	}
	for (unsigned i = 0; i < s->flows_len; i++)
		if (s->flows[i].srtp)
			s->reserve |= srtp_flow_restore(
				s->flows[i].srtp, s->flows[i].leg, m->srtp,
				m->srtp_len < REC_SRTP_MAX ? m->srtp_len
							   : REC_SRTP_MAX);
}

/* Until two packets came here, what the node before us saw. */
static uint32_t flow_jitter_us(const struct media_flow *f)
{
	return f->rx.clock_hz ? rtp_stats_jitter_us(&f->rx)
			      : f->jitter_before_us;
}

/* What was sent must not be missing; of the rest the newest. */
static void export_srtp(const struct media_stream *s, struct rec_mstate *m)
{
	for (int sent = 1; sent >= 0; sent--)
		for (unsigned i = 0; i < s->flows_len; i++)
			if (s->flows[i].srtp)
				m->srtp_len += (uint16_t)srtp_flow_export(
					s->flows[i].srtp, s->flows[i].leg, sent,
					m->srtp + m->srtp_len,
					REC_SRTP_MAX - m->srtp_len);
}

void media_stream_export(const struct media_stream *s, struct rec_mstate *m,
			 uint64_t now_ns, uint64_t wall_ms)
{
	memset(m, 0, sizeof(*m));
	m->guard = s->guard;
	m->flows_len = s->flows_len;
	for (unsigned i = 0; i < s->flows_len; i++) {
		const struct media_flow *f = &s->flows[i];
		struct rec_mflow *r = &m->flows[i];

		r->learned = f->latch.learned;
		r->learned_rtcp = f->latch_rtcp.learned;
		r->ssrc = f->rx.ssrc;
		r->index = f->rx.index;
		r->rtcp_index = (uint32_t)f->rtcp_packets;
		r->rx_packets = f->rx.packets;
		r->rx_bytes = f->rx.bytes;
		r->rx_lost = rtp_stats_lost(&f->rx);
		r->tx_packets = f->tx_packets;
		r->tx_bytes = f->tx_bytes;
		r->jitter_us = flow_jitter_us(f);
		r->payload_type = f->rx.payload_type;
		r->gap_ms = f->gap_max_ms;
		if (s->media == 'a')
			r->mos_x100 =
				mos_e_model(r->rx_packets, r->rx_lost,
					    r->jitter_us, r->payload_type);
		if (f->last_rtp_ns)
			r->last_rx_ms = wall_ms - (now_ns - f->last_rtp_ns) /
							  MEDIA_NS_PER_MS;
	}
	export_srtp(s, m);
}

bool media_stream_put_due(const struct media_stream *s, uint64_t now_ns)
{
	uint64_t age_ms = (now_ns - s->last_put_ns) / MEDIA_NS_PER_MS;

	if (s->put_wanted && age_ms >= MEDIA_PUT_MIN_MS)
		return true;
	return s->packets_since_put && (age_ms >= MEDIA_PUT_PERIOD_MS ||
					s->packets_since_put >= s->put_packets);
}

void media_stream_put_done(struct media_stream *s, uint64_t now_ns)
{
	s->put_wanted = false;
	s->packets_since_put = 0;
	s->last_put_ns = now_ns;
	for (unsigned i = 0; i < s->flows_len; i++)
		s->flows[i].put_index = s->flows[i].rx.index;
}

/* ---- silence
 * -------------------------------------------------------------------- */

static uint64_t later(uint64_t a, uint64_t b)
{
	return a > b ? a : b;
}

static enum rec_guard flow_guard(const struct media_flow *f, uint64_t now_ns)
{
	const struct media_stream *s = f->stream;
	uint64_t heard = later(f->expect_since_ns, f->last_rtp_ns);
	uint32_t limit_ms =
		f->heard ? s->guard_subsequent_ms : s->guard_initial_ms;

	if (!f->endpoint || !media_flow_receives(f) || !limit_ms)
		return GUARD_QUIET;
	/* A peer that suppresses silence still reports it. */
	if (f->heard)
		heard = later(heard, f->last_rtcp_ns);
	if (now_ns - heard < limit_ms * MEDIA_NS_PER_MS || now_ns < heard)
		return GUARD_QUIET;
	return f->heard ? GUARD_SUBSEQUENT : GUARD_INITIAL;
}

bool media_stream_guard(struct media_stream *s, uint64_t now_ns)
{
	enum rec_guard guard = GUARD_QUIET;

	for (unsigned i = 0; i < s->flows_len && !guard; i++)
		guard = flow_guard(&s->flows[i], now_ns);
	if (guard == s->guard)
		return false;
	s->guard = (uint8_t)guard;
	s->put_wanted = true;
	return true;
}

/* ---- flows
 * ----------------------------------------------------------------------- */

bool media_flow_sends(const struct media_flow *f)
{
	return f->direction & FLOW_SENDONLY;
}

bool media_flow_receives(const struct media_flow *f)
{
	return f->direction & FLOW_RECVONLY;
}

bool media_flow_is_described(const struct media_flow *f)
{
	return f->remote.family;
}

bool media_flow_is_rtcp_port(const struct media_flow *f, uint16_t port)
{
	return port != f->local.port;
}

uint16_t media_flow_rtcp_port(const struct media_flow *f)
{
	return f->rtcp_mux ? f->local.port : (uint16_t)(f->local.port + 1);
}

static struct latch_rule flow_rule(const struct media_flow *f, bool rtcp)
{
	struct latch_rule rule = {
		.allowed = f->latch_allowed,
		.signalled = rtcp ? &f->remote_rtcp : &f->remote,
		.silence_ns = (rtcp ? MEDIA_RTCP_LATCH_SILENCE_MS
				    : MEDIA_LATCH_SILENCE_MS) *
			      MEDIA_NS_PER_MS,
	};

	return rule;
}

enum latch_verdict media_flow_check_source(const struct media_flow *f,
					   const struct addr *source, bool rtcp,
					   uint64_t now_ns)
{
	struct latch_rule rule = flow_rule(f, rtcp);

	if (!rtcp)
		return latch_check(&f->latch, &rule, source, now_ns);
	/* Multiplexed RTCP comes from where RTP comes from. */
	if (f->rtcp_mux && f->latch.state != LATCH_NONE &&
	    addr_equal(source, &f->latch.learned))
		return LATCH_ACCEPT;
	if (!f->latch_allowed)
		return addr_equal(source, &f->to_rtcp) ? LATCH_ACCEPT
						       : LATCH_REFUSE;
	/* From another host only what was signalled. */
	if (f->latch.state != LATCH_NONE &&
	    !addr_equal_ip(source, &f->latch.learned) &&
	    !addr_equal(source, &f->remote_rtcp))
		return LATCH_REFUSE;
	return latch_check(&f->latch_rtcp, &rule, source, now_ns);
}

void media_flow_learn(struct media_flow *f, const struct addr *source,
		      bool rtcp, uint64_t now_ns)
{
	struct latch_rule rule = flow_rule(f, rtcp);

	latch_learn(rtcp ? &f->latch_rtcp : &f->latch, &rule, source, now_ns);
	/* RTP from another host: its RTCP will come from there as well. */
	if (!rtcp && f->latch_rtcp.state != LATCH_NONE &&
	    !addr_equal_ip(&f->latch_rtcp.learned, source) &&
	    !addr_equal(&f->latch_rtcp.learned, &f->remote_rtcp))
		latch_clear(&f->latch_rtcp);
	f->stream->put_wanted = true;
	flow_aim(f);
}
