#include "sbcd/media/relay.h"

#include <stdlib.h>
#include <string.h>

#include "sbcd/base/log.h"

struct relay_held {
	struct relay_held *next;
	struct media_flow *to;
	uint64_t since_ns;
	bool rtcp, forwarded;
	uint32_t size;
	uint8_t data[];
};

static void tally(struct media_relay *r, enum counter_id id)
{
	r->tally[id]++;
}

static const enum counter_id received_as[SRTP_RESULTS] = {
	[SRTP_OK] = COUNTER_media_srtp_rx,
	[SRTP_MALFORMED] = COUNTER_media_srtp_rx_malformed,
	[SRTP_NO_ROOM] = COUNTER_media_srtp_rx_malformed,
	[SRTP_BAD_MKI] = COUNTER_media_srtp_rx_bad_mki,
	[SRTP_BAD_TAG] = COUNTER_media_srtp_rx_bad_tag,
	[SRTP_REPEATED] = COUNTER_media_srtp_rx_replayed,
	[SRTP_TOO_OLD] = COUNTER_media_srtp_rx_replayed,
	[SRTP_MANY_STREAMS] = COUNTER_media_srtp_rx_malformed,
	[SRTP_EXHAUSTED] = COUNTER_media_srtp_rx_malformed,
	[SRTP_BAD_FLAG] = COUNTER_media_srtp_rx_malformed,
	[SRTP_ENGINE_FAILED] = COUNTER_media_srtp_rx_malformed,
};

static enum counter_id sent_as(enum srtp_result result)
{
	switch (result) {
	case SRTP_OK:
		return COUNTER_media_srtp_tx;
	case SRTP_REPEATED:
	case SRTP_TOO_OLD:
		return COUNTER_media_srtp_tx_repeated;
	default:
		return COUNTER_media_srtp_tx_refused;
	}
}

static void tell_srtp(struct media_relay *r)
{
	struct srtp_tally *t = &r->srtp_tally;
	bool bad = false;

	for (int i = 0; i < SRTP_RESULTS; i++) {
		r->tally[received_as[i]] += t->received[i];
		r->tally[sent_as((enum srtp_result)i)] += t->sent[i];
		bad |= i != SRTP_OK && (t->received[i] || t->sent[i]);
	}
	r->tally[COUNTER_media_srtp_tx_restarted] += t->restarts;
	memset(t, 0, sizeof(*t));
	if (bad)
		log_rated(LOG_WARNING, "event=srtp-refused see=\"show "
				       "counters, media_srtp_*\"");
}

void media_relay_tell(struct media_relay *r)
{
	r->tally[COUNTER_media_tx_packets] +=
		r->io->tx_packets - r->tx_packets_told;
	r->tally[COUNTER_media_tx_errors] +=
		r->io->tx_errors - r->tx_errors_told;
	r->tx_packets_told = r->io->tx_packets;
	r->tx_errors_told = r->io->tx_errors;
	tell_srtp(r);
	for (unsigned i = 0; i < COUNTER_COUNT; i++) {
		if (!r->tally[i])
			continue;
		counters_add(r->counters, (enum counter_id)i, r->tally[i]);
		r->tally[i] = 0;
	}
}

/* Images (T.38) and other media are not RTP: relayed as they are. */
static bool stream_is_opaque(const struct media_stream *s)
{
	return s->media != 'a' && s->media != 'v';
}

static void find_flow(struct media_relay *r, struct media_packet *p)
{
	const struct media_endpoint *e = NULL;

	p->drop = true;
	p->flow = NULL;
	if (p->truncated) {
		tally(r, COUNTER_media_rx_too_long);
		return;
	}
	if (p->local.family)
		e = media_nif_endpoint(p->nif, &p->local);
	if (e)
		p->flow = media_endpoint_flow(e, p->local.port);
	if (!p->flow) {
		tally(r, COUNTER_media_rx_no_flow);
		return;
	}
	p->rtcp_port = media_flow_is_rtcp_port(p->flow, p->local.port);
	p->rtcp = p->rtcp_port;
	if (!stream_is_opaque(p->flow->stream)) {
		enum rtp_class class =
			rtp_classify(p->data, p->size, p->rtcp_port);

		if (class == RTP_CLASS_BAD) {
			tally(r, COUNTER_media_rx_malformed);
			return;
		}
		p->rtcp = class == RTP_CLASS_RTCP;
	} else if (!p->size) {
		tally(r, COUNTER_media_rx_malformed);
		return;
	}
	p->drop = false;
}

/* Refuses before any cryptography; learns only what survived it. */
static void check_source(struct media_relay *r, struct media_packet *p,
			 uint64_t now_ns)
{
	if (media_flow_check_source(p->flow, &p->source, p->rtcp, now_ns) !=
	    LATCH_REFUSE)
		return;
	p->flow->refused++;
	p->drop = true;
	tally(r, COUNTER_media_rx_wrong_source);
}

static void mark_changed(struct media_relay *r, struct media_stream *s)
{
	for (unsigned i = 0; i < r->changed_len; i++)
		if (r->changed[i] == s)
			return;
	if (r->changed_len < MEDIA_BATCH)
		r->changed[r->changed_len++] = s;
}

static void count_rtp(struct media_packet *p, uint64_t now_ns)
{
	struct media_flow *f = p->flow;
	struct rtp_header h;
	unsigned saw;

	f->heard = true;
	if (f->gap_since_ns)
		media_flow_resumed(f, now_ns);
	f->last_rtp_ns = now_ns;
	f->latch.last_ns = now_ns;
	if (stream_is_opaque(f->stream) || rtp_parse(&h, p->data, p->size)) {
		f->rx.packets++;
		f->rx.bytes += p->size;
		return;
	}
	saw = rtp_stats_update(&f->rx, &h, p->size, now_ns);
	/* Who takes over must not be half a ROC behind: it is numbers that
	 * count, and a source may leave some out. */
	if ((saw & (RTP_SAW_NEW_SSRC | RTP_SAW_WRAP | RTP_SAW_RESTART)) ||
	    (f->rx.index > f->put_index &&
	     f->rx.index - f->put_index >= MEDIA_PUT_PACKETS))
		f->stream->put_wanted = true;
}

/* False: the packet is not from whom we believe (two took the latch at once
 * within one batch). */
static bool commit(struct media_relay *r, struct media_packet *p,
		   uint64_t now_ns)
{
	struct media_flow *f = p->flow;
	struct media_stream *s = f->stream;

	switch (media_flow_check_source(f, &p->source, p->rtcp, now_ns)) {
	case LATCH_REFUSE:
		f->refused++;
		tally(r, COUNTER_media_rx_wrong_source);
		return false;
	case LATCH_LEARN:
		media_flow_learn(f, &p->source, p->rtcp, now_ns);
		tally(r, COUNTER_media_latched);
		break;
	case LATCH_ACCEPT:
		break;
	}
	s->packets_since_put++;
	if (p->rtcp) {
		f->rtcp_packets++;
		f->last_rtcp_ns = now_ns;
		/* Multiplexed RTCP is no sign of the RTCP port's owner. */
		if (addr_equal(&p->source, &f->latch_rtcp.learned))
			f->latch_rtcp.last_ns = now_ns;
	} else {
		count_rtp(p, now_ns);
	}
	if (s->put_wanted || s->packets_since_put >= s->put_packets)
		mark_changed(r, s);
	return true;
}

static void queue(struct media_relay *r, struct media_flow *to, bool rtcp,
		  const uint8_t *data, uint32_t size)
{
	struct media_tx tx = {
		.out = to->endpoint->out,
		.from = &to->local,
		.from_port = rtcp ? media_flow_rtcp_port(to) : to->local.port,
		.tos = to->tos,
		.to = rtcp ? &to->to_rtcp : &to->to,
		.payload = data,
		.size = size,
	};

	to->tx_packets++;
	to->tx_bytes += size;
	r->io->ops->send(r->io, &tx);
}

static bool is_reserved(struct media_relay *r, struct media_stream *s)
{
	return !s->reserve || (r->reserve && r->reserve(r->reserve_ctx, s));
}

/* Would a node that takes over now know what was used? */
static bool is_held(struct media_relay *r, struct media_stream *s)
{
	if (s->packets_since_put >= MEDIA_HELD_PACKETS)
		s->reserve = true;
	/* Nothing overtakes what waits already. */
	return s->held || !is_reserved(r, s);
}

static void held_add(struct media_relay *r, struct relay_held *h)
{
	h->next = NULL;
	if (r->held)
		r->held_last->next = h;
	else
		r->held = h;
	r->held_last = h;
	r->held_len++;
	h->to->stream->held = true;
}

/* A planned switchover loses nothing: it is a matter of milliseconds. */
static void hold(struct media_relay *r, const struct media_packet *p,
		 struct media_flow *to, uint64_t now_ns)
{
	struct relay_held *h = NULL;

	if (r->held_len < RELAY_HELD_MAX)
		h = malloc(sizeof(*h) + p->size);
	if (!h) {
		tally(r, COUNTER_media_srtp_tx_held);
		return;
	}
	h->to = to;
	h->since_ns = now_ns;
	h->rtcp = p->rtcp;
	h->forwarded = p->forwarded;
	h->size = p->size;
	memcpy(h->data, p->data, p->size);
	held_add(r, h);
	tally(r, COUNTER_media_srtp_tx_delayed);
}

/* Packets that were copied for SRTP go out in one burst. */
static void send_copies(struct media_relay *r, uint64_t now_ns)
{
	struct media_packet *burst[MEDIA_BATCH];

	for (unsigned i = 0; i < r->copies_len; i++)
		burst[i] = &r->copies[i];
	srtp_flow_send(r->srtp, burst, r->copies_len, now_ns, &r->srtp_tally);
	for (unsigned i = 0; i < r->copies_len; i++) {
		struct media_packet *p = &r->copies[i];

		if (!p->drop)
			queue(r, p->flow, p->rtcp, p->data, p->size);
	}
	r->io->ops->flush(r->io);
	r->copies_len = 0;
}

static void send_one(struct media_relay *r, const struct media_packet *p,
		     struct media_flow *to, uint64_t now_ns)
{
	struct media_packet *copy;

	if (!to->endpoint || !(p->rtcp ? to->to_rtcp.family : to->to.family)) {
		tally(r, COUNTER_media_tx_no_destination);
		return;
	}
	if (!to->srtp) {
		queue(r, to, p->rtcp, p->data, p->size);
		return;
	}
	if (!r->srtp) {
		tally(r, COUNTER_media_srtp_tx_refused);
		return;
	}
	if (is_held(r, to->stream)) {
		hold(r, p, to, now_ns);
		return;
	}
	if (r->copies_len == MEDIA_BATCH)
		send_copies(r, now_ns);
	copy = &r->copies[r->copies_len];
	*copy = *p;
	copy->data = r->copy_data[r->copies_len++];
	memcpy(copy->data, p->data, p->size);
	copy->flow = to;
	copy->drop = false;
}

void media_relay_release(struct media_relay *r, uint64_t now_ns)
{
	struct relay_held *h, *next, *first = r->held;

	/* One answer for all packets of a stream: they stay in order. */
	for (h = first; h; h = h->next) {
		(void)is_reserved(r, h->to->stream);
		h->to->stream->held = false;
	}
	r->held = NULL;
	r->held_len = 0;
	for (h = first; h; h = next) {
		const struct media_packet p = {.data = h->data,
					       .size = h->size,
					       .rtcp = h->rtcp,
					       .forwarded = h->forwarded};

		next = h->next;
		if (now_ns - h->since_ns > RELAY_HELD_MS * MEDIA_NS_PER_MS) {
			tally(r, COUNTER_media_srtp_tx_held);
		} else if (h->to->stream->reserve) {
			held_add(r, h);
			continue;
		} else {
			send_one(r, &p, h->to, now_ns);
		}
		free(h);
	}
	if (r->copies_len)
		send_copies(r, now_ns);
	r->io->ops->flush(r->io);
	media_relay_tell(r);
}

static struct media_flow *flow_of_leg(struct media_stream *s, uint16_t leg)
{
	for (unsigned i = 0; s && i < s->flows_len; i++)
		if (s->flows[i].leg == leg && s->flows[i].srtp)
			return &s->flows[i];
	return NULL;
}

void media_relay_moved(struct media_relay *r, const struct media_stream *s,
		       struct media_stream *by)
{
	struct relay_held *h = r->held, *next;

	r->held = NULL;
	r->held_len = 0;
	for (; h; h = next) {
		next = h->next;
		if (h->to->stream == s)
			h->to = flow_of_leg(by, h->to->leg);
		if (h->to) {
			held_add(r, h);
			continue;
		}
		tally(r, COUNTER_media_srtp_tx_held);
		free(h);
	}
}

/*
 * RTCP goes on while a call is held (RFC 3264 5.1), but not before the answer:
 * until then nobody knows whether it has to be protected, nor with which key.
 */
static bool may_pass(const struct media_packet *p, const struct media_flow *to)
{
	const struct media_flow *from = p->flow;

	if (p->rtcp)
		return media_flow_is_described(from) &&
		       media_flow_is_described(to);
	return media_flow_receives(from) && media_flow_sends(to);
}

static void fan_out(struct media_relay *r, const struct media_packet *p,
		    uint64_t now_ns)
{
	struct media_stream *s = p->flow->stream;

	for (unsigned i = 0; i < s->flows_len; i++) {
		struct media_flow *to = &s->flows[i];

		if (to == p->flow)
			continue;
		if (may_pass(p, to))
			send_one(r, p, to, now_ns);
		else
			tally(r, COUNTER_media_rx_held);
	}
}

static void relay_packets(struct media_relay *r, struct media_packet *packets,
			  unsigned len, uint64_t now_ns)
{
	struct media_packet *burst[MEDIA_BATCH];
	unsigned n = 0;

	for (unsigned i = 0; i < len; i++) {
		struct media_packet *p = &packets[i];

		if (!p->drop)
			find_flow(r, p);
		if (!p->drop)
			check_source(r, p, now_ns);
		if (!p->drop)
			burst[n++] = p;
	}
	if (r->srtp)
		srtp_flow_receive(r->srtp, burst, n, now_ns, &r->srtp_tally);
	for (unsigned i = 0; i < n; i++)
		if (!burst[i]->drop && commit(r, burst[i], now_ns))
			fan_out(r, burst[i], now_ns);
	if (r->copies_len)
		send_copies(r, now_ns);
	r->io->ops->flush(r->io);
}

void media_relay_batch(struct media_relay *r, const struct media_nif *nif,
		       struct media_packet *packets, unsigned len,
		       uint64_t now_ns, uint64_t stale_before_ms)
{
	r->changed_len = 0;
	r->rx_packets += len;
	r->batches++;
	r->tally[COUNTER_media_rx_packets] += len;
	for (unsigned i = 0; i < len; i++) {
		struct media_packet *p = &packets[i];

		p->nif = nif;
		p->drop = false;
		if (p->stamp_ms && p->stamp_ms < stale_before_ms) {
			p->drop = true;
			tally(r, COUNTER_media_rx_stale);
		} else if (r->forward) {
			r->forward(r->forward_ctx, p);
			tally(r, COUNTER_media_forwarded_out);
			p->drop = true;
		}
	}
	if (!r->forward)
		relay_packets(r, packets, len, now_ns);
	media_relay_tell(r);
}
