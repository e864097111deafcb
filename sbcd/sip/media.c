/* Offers and answers through the B2BUA: streams, ports, and what each leg is
 * shown of them. */
#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "sbcd/base/log.h"
#include "sbcd/sip/sdp_relay.h"
#include "sbcd/sip/secure.h"
#include "sbcd/sip/sip_int.h"

struct relay {
	struct sip_worker *w;
	struct call *c;
	struct sip_agent *from_a, *to_a;
	struct leg *from, *to;
	struct rec_dialog *from_d, *to_d;
	bool offer;
	bool secured; /* there are rules for SRTP: by from_s and to_s */
	bool repeated; /* `to` was told of this exchange before */
	struct secure_leg legs[2]; /* from, to */
	struct sdes_heard heard;
	struct sdp_streams said; /* what is relayed */
	struct sdp_streams offered; /* by whom an answer goes to */
	bool offered_known;
	unsigned len;
	struct rec_media media[SDP_STREAMS_MAX];
	bool opened[SDP_STREAMS_MAX]; /* media[] is there */
	bool fresh[SDP_STREAMS_MAX]; /* and was not before */
	bool touched[SDP_STREAMS_MAX]; /* and is to be stored */
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

/* False: it is not there, nor is it to be made. */
static bool stream_load_old(struct relay *r, unsigned i)
{
	struct rec_media *m = &r->media[i];

	if (r->opened[i])
		return true;
	r->opened[i] = !stream_load(r->c, i, m) && m->flows_len;
	return r->opened[i];
}

static void stream_open(struct relay *r, unsigned i)
{
	struct rec_media *m = &r->media[i];
	const struct config_realm *fr = r->from_a->sif->realm;
	const struct config_realm *tr = r->to_a->sif->realm;

	if (!stream_load_old(r, i)) {
		memset(m, 0, sizeof(*m));
		m->guard_initial_ms =
			fr->guard_initial_ms > tr->guard_initial_ms
				? fr->guard_initial_ms
				: tr->guard_initial_ms;
		m->guard_subsequent_ms =
			fr->guard_subsequent_ms > tr->guard_subsequent_ms
				? fr->guard_subsequent_ms
				: tr->guard_subsequent_ms;
		m->started_ms = b2bua_now(r->w->b2bua);
		r->opened[i] = r->fresh[i] = true;
	}
	/* In the order of the legs, whoever offers. */
	if (r->from->sub < r->to->sub) {
		flow_add(m, r->from, r->from_a);
		flow_add(m, r->to, r->to_a);
	} else {
		flow_add(m, r->to, r->to_a);
		flow_add(m, r->from, r->from_a);
	}
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
	struct ports *fp = b2bua_ports(r->w->b2bua, r->from_a->sif->realm);
	struct ports *tp = b2bua_ports(r->w->b2bua, r->to_a->sif->realm);
	int shard, err;

	if (tf->local.port)
		shard = ports_shard(tp, tf->local.port);
	else if (ff->local.port)
		shard = ports_shard(fp, ff->local.port);
	else
		shard = ports_best_shard(fp, tp, b2bua_now(r->w->b2bua));
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

		if (s->slot != SDP_SLOT_ON &&
		    (!stream_load_old(r, i) || r->fresh[i]))
			continue; /* nothing there, nothing wanted */
		stream_open(r, i);
		r->touched[i] = true;
		r->media[i].media = (uint8_t)s->media;
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

/* A description kept of a leg, as a plain one. */
static int read_kept(const struct rec_dialog *d, const struct rec_bytes_sdp *b,
		     unsigned allowed, bool secured, struct sdp_streams *out)
{
	static char text[REC_SDP_SIZE];
	struct sdp_rules rules = {.video = true};
	struct sdp_refusal refusal = {0};
	struct sdes_text t = {(const char *)b->data, b->size, text,
			      sizeof(text)};
	ssize_t n;

	if (!b->size)
		return -ENOENT;
	if (!secured)
		return sdp_relay_read((const char *)b->data, b->size, &rules,
				      out, &refusal);
	n = sdes_leg_plain(d->sdp_pairs, allowed, &t);
	if (n < 0)
		return (int)n;
	return sdp_relay_read(text, (size_t)n, &rules, out, &refusal);
}

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
		if (read_kept(r->from_d, &r->from_d->local_sdp, SDP_SEC_ANY,
			      r->secured, &ours)) {
			refuse(why, 399, "Answer without an offer");
			return -EPROTO;
		}
		r->offered_known = !read_kept(r->to_d, &r->to_d->remote_sdp,
					      r->legs[1].security.inbound,
					      r->secured, &r->offered);
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

/* ---- between SRTP and the plain description
 * --------------------------------
 */

static void streams_to_legs(struct relay *r, unsigned legs)
{
	for (unsigned l = 0; l < legs; l++)
		for (unsigned i = 0; i < SDP_STREAMS_MAX; i++)
			r->legs[l].sdes.stream[i] =
				r->opened[i] ? &r->media[i] : NULL;
}

static ssize_t secure_in(struct relay *r, const struct call_body *b, char *out,
			 struct call_refusal *why)
{
	struct sdes_text t = {b->in, b->in_size, out, REC_SDP_SIZE};
	struct sdp_refusal refusal = {0};
	uint32_t on = 0;
	ssize_t n;

	if (r->offer)
		on = secure_streams_on(b->in, b->in_size, r->from_d->sdp_pairs);
	/* Keys need a place before the relay has looked at the streams. */
	for (unsigned i = 0; i < SDP_STREAMS_MAX; i++)
		if (!stream_load_old(r, i) && (on >> i & 1))
			stream_open(r, i);
	streams_to_legs(r, 2);
	n = sdes_leg_receive(&r->legs[0].sdes, r->offer, &t, &r->heard,
			     &refusal);
	if (n >= 0)
		return n;
	if (!refusal.warning)
		refuse(why, 399, "Media keys cannot be kept");
	else
		refuse(why, refusal.warning, refusal.text);
	secure_log_refused(r->w, &r->legs[0], r->c, r->offer, &refusal);
	return n;
}

/* Of the leg that is spoken to: has it our offer, or our answer, already? */
static bool is_repeated(const struct relay *r, const struct leg *l)
{
	bool any = false;

	for (unsigned i = 0; i < SDP_STREAMS_MAX; i++) {
		const struct rec_media *m = &r->media[i];

		for (unsigned k = 0; r->opened[i] && k < m->flows_len; k++)
			any |= m->flows[k].leg == l->sub &&
			       m->flows[k].sdes_state ==
				       (r->offer ? SDES_OFFERED : SDES_REPLIED);
	}
	return any;
}

static ssize_t secure_out(struct relay *r, const char *in, size_t in_size,
			  char *out, size_t size, uint64_t *version,
			  struct call_refusal *why)
{
	uint16_t twins[SDP_STREAMS_MAX] = {0};
	struct sdes_send how = {
		.offer = r->offer, .ingress = &r->heard, .twin_ports = twins};
	struct sdes_text t = {in, in_size, out, size};
	ssize_t n;

	/* Of a pair one is taken: it can only be that port. */
	for (unsigned i = 0; i < r->len; i++)
		twins[i] = r->local[i].rtp.port;
	streams_to_legs(r, 2);
	r->repeated = is_repeated(r, r->to);
	n = sdes_leg_send(&r->legs[1].sdes, &how, &t, version);
	if (n < 0)
		refuse(why, 399, "Media keys cannot be made");
	return n;
}

/* Nothing has been sent yet. */
static bool is_first(const struct call *c)
{
	return c->state == CALL_TRYING && !c->txns;
}

/* The description for the other leg. */
static ssize_t relay_text(struct relay *r, const struct call_body *b,
			  uint64_t *version, struct call_refusal *why)
{
	static char plain[REC_SDP_SIZE], relayed[REC_SDP_SIZE];
	size_t size = b->size < REC_SDP_SIZE ? b->size : REC_SDP_SIZE;
	const void *in = b->in;
	ssize_t n = (ssize_t)b->in_size;
	int err;

	if (r->secured) {
		n = secure_in(r, b, plain, why);
		in = plain;
	}
	if (n < 0)
		return n;
	err = read_said(r, in, (size_t)n, why);
	if (err)
		return err;
	if (r->offer && !r->said.media_count && is_first(r->c)) {
		refuse(why, 304, "No media offered");
		return -EPROTO;
	}
	err = plan_streams(r);
	if (err) {
		refuse(why, 399, "No media port");
		return err == -EAGAIN ? err : -EPROTO;
	}
	if (!r->secured)
		return write_out(r, in, (size_t)n, b->out, size, version, why);
	n = write_out(r, in, (size_t)n, relayed, sizeof(relayed), version, why);
	return n < 0 ? n
		     : secure_out(r, relayed, (size_t)n, b->out, size, version,
				  why);
}

/* What an exchange that fails leaves as it was. */
struct pairs {
	uint32_t pairs, plain;
};

static struct pairs pairs_of(const struct rec_dialog *d)
{
	return (struct pairs){d->sdp_pairs, d->sdp_plain};
}

static void pairs_back(struct rec_dialog *d, const struct pairs *p)
{
	d->sdp_pairs = p->pairs;
	d->sdp_plain = p->plain;
}

/* The first description of a call follows on nothing. */
static void note_agreed(struct rec_dialog *d, const struct pairs *before)
{
	keep(&d->agreed_sdp, d->local_sdp.data, d->local_sdp.size);
	d->agreed_pairs = before->pairs;
	d->agreed_plain = before->plain;
}

static ssize_t relay_run(struct relay *r, const struct call_body *b,
			 struct call_refusal *why)
{
	struct pairs from = pairs_of(b->from_d), to = pairs_of(b->to_d);
	uint64_t version = 0;
	ssize_t n;
	int err = 0;

	n = relay_text(r, b, &version, why);
	if (n >= 0)
		err = store_streams(r);
	if (n < 0 || err) {
		release_ports(r);
		pairs_back(b->from_d, &from);
		pairs_back(b->to_d, &to);
		return n < 0 ? n : err;
	}
	b->to_d->sdp_version = version;
	if (r->secured && !r->repeated)
		note_agreed(b->to_d, &to);
	/* A new offer: the exchange before it is over. */
	if (b->offer)
		b->from_d->agreed_sdp.size = 0;
	keep(&b->to_d->local_sdp, b->out, (size_t)n);
	b->from_d->offer_due |= r->heard.offer_due;
	/* Kept until the answer; then the streams say it all. */
	if (b->offer) {
		keep(&b->from_d->remote_sdp, b->in, b->in_size);
	} else {
		b->from_d->remote_sdp.size = 0;
		b->to_d->remote_sdp.size = 0;
	}
	return n;
}

ssize_t media_relay(void *ctx, const struct call_body *b,
		    struct call_refusal *why)
{
	struct relay r = {
		.w = ctx,
		.c = b->from->call,
		.from_a = agent_find(ctx, b->from_d->sip_interface),
		.to_a = agent_find(ctx, b->to_d->sip_interface),
		.from = b->from,
		.to = b->to,
		.from_d = b->from_d,
		.to_d = b->to_d,
		.offer = b->offer,
	};
	struct leg *const legs[] = {b->from, b->to};
	struct rec_dialog *const dialogs[] = {b->from_d, b->to_d};
	ssize_t n;

	if (!r.from_a || !r.to_a || b->in_size > REC_SDP_SIZE)
		return -EINVAL;
	r.secured = secure_open(r.w, legs, dialogs, 2, b->reinvite, r.legs);
	n = relay_run(&r, b, why);
	if (r.secured)
		explicit_bzero(r.media, sizeof(r.media));
	return n;
}

/* ---- offers of our own
 * -----------------------------------------------------
 */

static bool leg_has_keys(const struct relay *r, const struct leg *l)
{
	bool any = false;

	for (unsigned i = 0; i < SDP_STREAMS_MAX; i++)
		for (unsigned k = 0; r->opened[i] && k < r->media[i].keys_len;
		     k++)
			any |= r->media[i].keys[k].leg == l->sub;
	return any;
}

static bool own_open(struct relay *r, struct sip_worker *w, struct leg *l,
		     struct rec_dialog *d)
{
	r->w = w;
	r->c = l->call;
	r->from = l;
	r->from_d = d;
	r->secured = secure_open(w, &l, &d, 1, true, r->legs);
	if (!r->secured)
		return false;
	for (unsigned i = 0; i < SDP_STREAMS_MAX; i++) {
		stream_load_old(r, i);
		r->touched[i] = r->opened[i];
	}
	r->len = SDP_STREAMS_MAX;
	streams_to_legs(r, 1);
	return true;
}

static ssize_t own_offer(struct relay *r, char *out, size_t size,
			 uint64_t *version)
{
	static char plain[REC_SDP_SIZE];
	struct rec_dialog *d = r->from_d;
	struct sdes_send how = {.offer = true, .rekey = true};
	struct sdes_text kept = {(const char *)d->local_sdp.data,
				 d->local_sdp.size, plain, sizeof(plain)};
	struct sdes_text text = {plain, 0, out, size};
	ssize_t n = sdes_leg_plain(d->sdp_pairs, SDP_SEC_ANY, &kept);

	if (n < 0)
		return n;
	text.in_size = (size_t)n;
	return sdes_leg_send(&r->legs[0].sdes, &how, &text, version);
}

ssize_t media_reoffer(void *ctx, struct leg *l, struct rec_dialog *d, char *out,
		      size_t size)
{
	struct pairs before = pairs_of(d);
	struct relay r = {0};
	uint64_t version = 0;
	ssize_t n;
	int err = 0;

	if (!own_open(&r, ctx, l, d) || !leg_has_keys(&r, l))
		return 0;
	r.offer = true;
	r.repeated = is_repeated(&r, l);
	n = own_offer(&r, out, size < REC_SDP_SIZE ? size : REC_SDP_SIZE,
		      &version);
	if (n >= 0)
		err = store_streams(&r);
	explicit_bzero(r.media, sizeof(r.media));
	if (n < 0 || err) {
		pairs_back(d, &before);
		return n < 0 ? n : err;
	}
	counters_add(r.w->counters, COUNTER_sip_offers_own, 1);
	d->sdp_version = version;
	if (!r.repeated)
		note_agreed(d, &before);
	keep(&d->local_sdp, out, (size_t)n);
	return n;
}

static int own_answer(struct relay *r, const void *in, size_t size,
		      struct sdp_refusal *why)
{
	static char plain[REC_SDP_SIZE];
	struct sdp_rules rules = {.video = true};
	struct sdes_text t = {in, size, plain, sizeof(plain)};
	struct sdp_streams ours;
	ssize_t n;
	int err;

	err = read_kept(r->from_d, &r->from_d->local_sdp, SDP_SEC_ANY, true,
			&ours);
	if (err)
		return err;
	n = sdes_leg_receive(&r->legs[0].sdes, false, &t, &r->heard, why);
	if (n < 0)
		return (int)n;
	rules.offer = &ours;
	err = sdp_relay_read(plain, (size_t)n, &rules, &r->said, why);
	for (unsigned i = 0; i < r->said.len && !err; i++) {
		const struct sdp_stream *s = &r->said.stream[i];
		struct rec_flow *f =
			r->opened[i] ? flow_of(&r->media[i], r->from) : NULL;

		if (f && s->slot == SDP_SLOT_ON)
			flow_point(f, s);
		else if (f)
			flow_stop(f);
	}
	return err;
}

int media_reanswer(void *ctx, struct leg *l, struct rec_dialog *d,
		   const void *in, size_t size, struct call_refusal *why)
{
	struct sdp_refusal refusal = {0};
	struct pairs before = pairs_of(d);
	struct relay r = {0};
	int err;

	/* The other half of a re-INVITE that a dead node has lost. */
	if (!own_open(&r, ctx, l, d))
		return 0;
	err = -EPROTO;
	if (!size || size > REC_SDP_SIZE)
		snprintf(refusal.text, sizeof(refusal.text),
			 "No answer to our offer");
	else
		err = own_answer(&r, in, size, &refusal);
	if (err) {
		pairs_back(d, &before);
		refuse(why, refusal.warning, refusal.text);
		secure_log_refused(r.w, &r.legs[0], r.c, false, &refusal);
	} else {
		err = store_streams(&r);
		d->offer_due |= r.heard.offer_due;
	}
	explicit_bzero(r.media, sizeof(r.media));
	return err;
}
