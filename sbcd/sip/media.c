/* Offers and answers through the B2BUA: streams, ports, and what each leg is
 * shown of them. */
#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "sbcd/base/log.h"
#include "sbcd/sip/sdp_relay.h"
#include "sbcd/sip/sip_int.h"

struct relay {
	struct sip_worker *w;
	struct call *c;
	struct sip_agent *from_a, *to_a;
	struct leg *from, *to;
	struct rec_dialog *from_d, *to_d;
	bool offer;
	struct sdp_streams said; /* what is relayed */
	struct sdp_streams offered; /* by whom an answer goes to */
	bool offered_known;
	unsigned len;
	struct rec_media media[SDP_STREAMS_MAX];
	bool touched[SDP_STREAMS_MAX];
	struct sdp_local local[SDP_STREAMS_MAX];
	struct {
		struct ports *pool;
		uint16_t port;
	} taken[2 * SDP_STREAMS_MAX];
	unsigned taken_len;
};

void media_hide(const struct sip_agent *from, struct hide_set *hide)
{
	const struct config *c = from->w->config;
	struct addr ip;

	hide_init(hide);
	for (size_t i = 0; i < c->agents_len; i++) {
		const struct config_agent *a = &c->agents[i];

		/* Addresses are found whatever they are. */
		if (a->realm != from->sif->realm ||
		    !addr_parse_ip(&ip, a->host, 0))
			continue;
		if (hide_add(hide, a->host, strlen(a->host)) == -ENOSPC)
			break;
	}
}

static void refuse(struct call_refusal *why, unsigned warning, const char *text)
{
	why->warning = warning;
	snprintf(why->text, sizeof(why->text), "%s", text);
}

/* ---- flows
 * -----------------------------------------------------------------------
 */

static struct rec_flow *flow_of(struct rec_media *m, const struct leg *l)
{
	for (unsigned i = 0; i < m->flows_len; i++)
		if (m->flows[i].leg == l->sub)
			return &m->flows[i];
	return NULL;
}

static struct rec_flow *flow_add(struct rec_media *m, const struct leg *l,
				 const struct sip_agent *a)
{
	struct rec_flow *f = flow_of(m, l);

	if (f)
		return f;
	f = &m->flows[m->flows_len++];
	memset(f, 0, sizeof(*f));
	f->leg = l->sub;
	snprintf(f->network_interface, sizeof(f->network_interface), "%s",
		 a->sif->realm->nif->name);
	f->latch = a->sif->realm->symmetric_latching;
	return f;
}

static int stream_open(struct relay *r, unsigned i)
{
	struct rec_media *m = &r->media[i];
	const struct config_realm *fr = r->from_a->sif->realm;
	const struct config_realm *tr = r->to_a->sif->realm;

	if (stream_load(r->c, i, m))
		memset(m, 0, sizeof(*m));
	if (r->said.stream[i].slot != SDP_SLOT_ON && !m->flows_len)
		return -ENOENT;
	m->media = (uint8_t)r->said.stream[i].media;
	if (!m->flows_len) {
		m->guard_initial_ms =
			fr->guard_initial_ms > tr->guard_initial_ms
				? fr->guard_initial_ms
				: tr->guard_initial_ms;
		m->guard_subsequent_ms =
			fr->guard_subsequent_ms > tr->guard_subsequent_ms
				? fr->guard_subsequent_ms
				: tr->guard_subsequent_ms;
		m->started_ms = b2bua_now(r->w->b2bua);
	}
	/* In the order of the legs, whoever offers. */
	if (r->from->sub < r->to->sub) {
		flow_add(m, r->from, r->from_a);
		flow_add(m, r->to, r->to_a);
	} else {
		flow_add(m, r->to, r->to_a);
		flow_add(m, r->from, r->from_a);
	}
	r->touched[i] = true;
	return 0;
}

static int flow_port(struct relay *r, struct rec_flow *f,
		     const struct sip_agent *a, uint8_t family, int *shard)
{
	struct ports *pool = b2bua_ports(r->w->b2bua, a->sif->realm);
	const struct addr *at;
	int port;

	if (f->local.family == family && f->local.port) {
		*shard = ports_shard(pool, f->local.port);
		return 0;
	}
	at = agent_address(a, family);
	if (!at)
		return -EADDRNOTAVAIL;
	if (*shard < 0)
		*shard = ports_best_shard(pool);
	port = ports_get(pool, *shard, b2bua_now(r->w->b2bua));
	if (port < 0)
		return port;
	r->taken[r->taken_len].pool = pool;
	r->taken[r->taken_len++].port = (uint16_t)port;
	f->local = *at;
	f->local.port = (uint16_t)port;
	return 0;
}

static void release_ports(struct relay *r)
{
	while (r->taken_len) {
		r->taken_len--;
		ports_put(r->taken[r->taken_len].pool,
			  r->taken[r->taken_len].port, 0);
	}
}

static uint8_t stream_family(const struct sdp_stream *s,
			     const struct rec_dialog *d)
{
	return s && s->rtp.family ? s->rtp.family : d->peer.family;
}

/* A pair of ports on each side, both of the same media thread. */
static int stream_ports_get(struct relay *r, unsigned i)
{
	struct rec_media *m = &r->media[i];
	struct rec_flow *ff = flow_of(m, r->from), *tf = flow_of(m, r->to);
	int shard = -1, err;

	if (tf->local.port)
		shard = ports_shard(
			b2bua_ports(r->w->b2bua, r->to_a->sif->realm),
			tf->local.port);
	err = flow_port(r, ff, r->from_a,
			stream_family(&r->said.stream[i], r->from_d), &shard);
	if (err)
		return err;
	/* Where the offer went out with an address, the answer comes in. */
	return flow_port(r, tf, r->to_a,
			 tf->local.port ? tf->local.family
					: r->to_d->peer.family,
			 &shard);
}

static void flow_point(struct rec_flow *f, const struct sdp_stream *s)
{
	f->remote = s->rtp;
	f->remote_rtcp = s->rtcp;
	f->rtcp_mux = false;
	f->direction = (uint8_t)sdp_direction_reverse(s->direction);
}

static void flow_stop(struct rec_flow *f)
{
	memset(&f->remote, 0, sizeof(f->remote));
	memset(&f->remote_rtcp, 0, sizeof(f->remote_rtcp));
	f->direction = FLOW_INACTIVE;
}

/* What the flows of one stream become by this offer or answer. */
static void stream_point(struct relay *r, unsigned i)
{
	struct rec_media *m = &r->media[i];
	const struct sdp_stream *s = &r->said.stream[i];
	struct rec_flow *ff = flow_of(m, r->from), *tf = flow_of(m, r->to);
	const struct sdp_stream *o = r->offered_known && i < r->offered.len
					     ? &r->offered.stream[i]
					     : NULL;

	if (r->offer) {
		/* A session that runs goes on as it is until the answer. */
		if (s->slot == SDP_SLOT_ON && !ff->remote.family)
			flow_point(ff, s);
		return;
	}
	if (s->slot != SDP_SLOT_ON) {
		flow_stop(ff);
		flow_stop(tf);
		return;
	}
	flow_point(ff, s);
	if (o && o->slot == SDP_SLOT_ON)
		flow_point(tf, o);
}

static int plan_streams(struct relay *r)
{
	int err;

	r->len = r->said.len;
	for (unsigned i = 0; i < r->len; i++) {
		const struct sdp_stream *s = &r->said.stream[i];

		err = stream_open(r, i);
		if (err)
			continue; /* nothing there, nothing wanted */
		if (s->slot == SDP_SLOT_ON) {
			err = stream_ports_get(r, i);
			if (err)
				return err;
			r->local[i].rtp = flow_of(&r->media[i], r->to)->local;
		}
		stream_point(r, i);
	}
	return 0;
}

/* ---- reading
 * ---------------------------------------------------------------------
 */

static int read_said(struct relay *r, const void *in, size_t size,
		     struct call_refusal *why)
{
	struct sdp_streams ours;
	struct sdp_rules rules = {.video = true};
	struct sdp_refusal refusal = {0};
	int err;

	if (!r->offer) {
		/* The offer as it reached this peer, and as it left the other.
		 */
		if (!r->from_d->local_sdp.size ||
		    sdp_relay_read((char *)r->from_d->local_sdp.data,
				   r->from_d->local_sdp.size, &rules, &ours,
				   &refusal)) {
			refuse(why, 399, "Answer without an offer");
			return -EPROTO;
		}
		if (r->to_d->remote_sdp.size)
			r->offered_known = !sdp_relay_read(
				(char *)r->to_d->remote_sdp.data,
				r->to_d->remote_sdp.size, &rules, &r->offered,
				&refusal);
		rules.offer = &ours;
	}
	err = sdp_relay_read(in, size, &rules, &r->said, &refusal);
	if (err)
		refuse(why, refusal.warning, refusal.text);
	return err;
}

static ssize_t write_out(struct relay *r, const void *in, size_t in_size,
			 char *out, size_t size, uint64_t *version,
			 struct call_refusal *why)
{
	const struct addr *origin = NULL;
	struct sdp_refusal refusal = {0};
	struct hide_set hide;
	struct sdp_relay_params p = {
		.in = in,
		.in_size = in_size,
		.streams = &r->said,
		.local = r->local,
		.session_id = r->to_d->sdp_session,
		.version = r->to_d->sdp_version ? r->to_d->sdp_version : 1,
		.last = (char *)r->to_d->local_sdp.data,
		.last_size = r->to_d->local_sdp.size,
		.hide = &hide,
		.strip_rtcp_mux = true,
	};
	ssize_t n;

	for (unsigned i = 0; i < r->len && !origin; i++)
		if (r->local[i].rtp.port)
			origin = &r->local[i].rtp;
	if (!origin)
		origin = agent_address(r->to_a, r->to_d->peer.family);
	if (!origin)
		return -EADDRNOTAVAIL;
	p.origin = *origin;
	p.origin.port = 0;
	media_hide(r->from_a, &hide);
	n = sdp_relay_write(&p, out, size, version, &refusal);
	if (n < 0)
		refuse(why, refusal.warning, refusal.text);
	return n;
}

static int store_streams(struct relay *r)
{
	for (unsigned i = 0; i < r->len; i++) {
		int err =
			r->touched[i] ? stream_store(r->c, i, &r->media[i]) : 0;

		if (err)
			return err;
	}
	r->taken_len = 0;
	return 0;
}

static void keep(struct rec_bytes_sdp *at, const void *data, size_t size)
{
	at->size = (uint32_t)size;
	memcpy(at->data, data, size);
}

ssize_t media_relay(void *ctx, struct leg *from, struct rec_dialog *from_d,
		    struct leg *to, struct rec_dialog *to_d, bool offer,
		    const void *in, size_t in_size, char *out, size_t size,
		    struct call_refusal *why)
{
	struct relay r = {
		.w = ctx,
		.c = from->call,
		.from_a = agent_find(ctx, from_d->sip_interface),
		.to_a = agent_find(ctx, to_d->sip_interface),
		.from = from,
		.to = to,
		.from_d = from_d,
		.to_d = to_d,
		.offer = offer,
	};
	uint64_t version = 0;
	ssize_t n;
	int err;

	if (!r.from_a || !r.to_a || in_size > REC_SDP_SIZE)
		return -EINVAL;
	err = read_said(&r, in, in_size, why);
	if (err)
		return err;
	if (offer && !r.said.media_count && !r.c->state) {
		refuse(why, 304, "No media offered");
		return -EPROTO;
	}
	err = plan_streams(&r);
	if (err) {
		release_ports(&r);
		refuse(why, 399, "No media port");
		return err == -EAGAIN ? err : -EPROTO;
	}
	n = write_out(&r, in, in_size, out,
		      size < REC_SDP_SIZE ? size : REC_SDP_SIZE, &version, why);
	if (n >= 0)
		err = store_streams(&r);
	if (n < 0 || err) {
		release_ports(&r);
		return n < 0 ? n : err;
	}
	to_d->sdp_version = version;
	keep(&to_d->local_sdp, out, (size_t)n);
	/* Kept until the answer; then the streams say it all. */
	if (offer) {
		keep(&from_d->remote_sdp, in, in_size);
	} else {
		from_d->remote_sdp.size = 0;
		to_d->remote_sdp.size = 0;
	}
	return n;
}
