#include "rtptool.h"

static json_t *gap_json(const struct rt_gap *g)
{
	return json_pack("{s:f, s:I, s:I, s:I}", "ms",
			 (double)g->gap_us / 1000.0, "from_ns",
			 (json_int_t)g->from_ns, "to_ns", (json_int_t)g->to_ns,
			 "lost", (json_int_t)g->lost);
}

static json_t *latency_json(const struct rt_hist *h)
{
	return json_pack("{s:f, s:f, s:f, s:f, s:f}", "p50", rt_hist_ms(h, 0.5),
			 "p90", rt_hist_ms(h, 0.9), "p99", rt_hist_ms(h, 0.99),
			 "p99.9", rt_hist_ms(h, 0.999), "max",
			 (double)h->max_us / 1000.0);
}

static void set_int(json_t *o, const char *key, uint64_t v)
{
	json_object_set_new(o, key, json_integer((json_int_t)v));
}

static double silence_ms(const struct rt_stream *s, uint64_t now_ns)
{
	if (!s->rx.last_ns || now_ns < s->rx.last_ns)
		return s->rx.last_ns ? 0 : -1;
	return (double)(now_ns - s->rx.last_ns) / 1e6;
}

static json_t *rx_json(const struct rt_stream *s, uint64_t now_ns)
{
	const struct rt_rx *rx = &s->rx;
	json_t *o = json_object(), *gaps = json_array();
	size_t n = rx->gap_count < RT_GAPS_MAX ? rx->gap_count : RT_GAPS_MAX;

	set_int(o, "packets", rx->packets);
	set_int(o, "expected", rt_rx_expected(rx));
	set_int(o, "lost", rt_rx_lost(rx));
	set_int(o, "duplicates", rx->dup);
	set_int(o, "reordered", rx->reordered);
	set_int(o, "stale", rx->stale);
	set_int(o, "foreign", rx->foreign);
	set_int(o, "malformed", rx->malformed);
	set_int(o, "unprotect_failed", rx->unprotect_failed);
	set_int(o, "local_drops", s->local_drops);
	set_int(o, "source_changes", s->source_changes);
	if (rx->locked) {
		set_int(o, "source", rx->source);
		set_int(o, "first_seq", rx->first_seq);
		set_int(o, "next_seq", rx->next_seq);
		set_int(o, "first_ns", rx->first_ns);
	}
	json_object_set_new(o, "silence_ms", json_real(silence_ms(s, now_ns)));
	json_object_set_new(o, "sender_pause_ms",
			    json_real((double)rx->sender_pause_us / 1000.0));
	json_object_set_new(o, "longest_gap", gap_json(&rx->worst));
	set_int(o, "gap_count", rx->gap_count);
	for (size_t i = 0; i < n; i++)
		json_array_append_new(gaps, gap_json(&rx->gaps[i]));
	json_object_set_new(o, "gaps", gaps);
	json_object_set_new(o, "latency_ms", latency_json(&rx->latency));
	return o;
}

static json_t *rtcp_json(const struct rt_stream *s)
{
	const struct rt_rtcp *r = &s->rtcp;
	char buf[64];

	return json_pack(
		"{s:I, s:I, s:I, s:I, s:I, s:I, s:I, s:f, s:i, s:s}", "sent",
		(json_int_t)r->sent, "received", (json_int_t)r->received, "sr",
		(json_int_t)r->sr, "rr", (json_int_t)r->rr, "bye",
		(json_int_t)r->bye, "malformed", (json_int_t)r->malformed,
		"unprotect_failed", (json_int_t)r->unprotect_failed, "rtt_ms",
		r->rtt_ms, "peer_fraction_lost", (int)r->peer_fraction_lost,
		"from", rt_addr_print(&r->from, buf, sizeof(buf)));
}

json_t *rt_report_stream(const struct rt_engine *e, const struct rt_stream *s)
{
	uint64_t now_ns = rt_now_ns();
	char local[64], remote[64], from[64];
	json_t *o = json_pack(
		"{s:I, s:s, s:s, s:s, s:b}", "id", (json_int_t)s->id, "local",
		rt_addr_print(&s->local, local, sizeof(local)), "remote",
		s->have_remote
			? rt_addr_print(&s->remote, remote, sizeof(remote))
			: "none",
		"from", rt_addr_print(&s->from, from, sizeof(from)), "sending",
		s->sending && s->have_remote);

	json_object_set_new(
		o, "tx",
		json_pack("{s:I, s:I, s:I, s:I, s:I}", "packets",
			  (json_int_t)(s->sent - s->sent_at_reset), "next_seq",
			  (json_int_t)s->next_seq, "rtp_seq",
			  (json_int_t)(uint16_t)(s->seq0 + s->next_seq),
			  "errors", (json_int_t)s->send_errors, "ssrc",
			  (json_int_t)s->ssrc));
	json_object_set_new(o, "rx", rx_json(s, now_ns));
	json_object_set_new(o, "rtcp", rtcp_json(s));
	return o;
}

struct totals {
	uint64_t sent, packets, expected, lost, dup, reordered, stale, foreign;
	uint64_t malformed, drops, errors, gaps, silent, never, source_changes;
	uint64_t unprotect_failed, sender_pause_us, worst_id, rtcp_received;
	uint64_t rtcp_unprotect_failed;
	uint64_t max_lost;
	struct rt_gap worst;
	struct rt_hist latency;
};

static void totals_add(struct totals *t, const struct rt_stream *s,
		       uint64_t now_ns)
{
	const struct rt_rx *rx = &s->rx;

	t->sent += s->sent - s->sent_at_reset;
	t->errors += s->send_errors;
	t->packets += rx->packets;
	t->expected += rt_rx_expected(rx);
	t->lost += rt_rx_lost(rx);
	if (rt_rx_lost(rx) > t->max_lost)
		t->max_lost = rt_rx_lost(rx);
	t->dup += rx->dup;
	t->reordered += rx->reordered;
	t->stale += rx->stale;
	t->foreign += rx->foreign;
	t->malformed += rx->malformed;
	t->unprotect_failed += rx->unprotect_failed;
	t->drops += s->local_drops;
	t->gaps += rx->gap_count;
	t->source_changes += s->source_changes;
	t->rtcp_received += s->rtcp.received;
	t->rtcp_unprotect_failed += s->rtcp.unprotect_failed;
	if (rx->sender_pause_us > t->sender_pause_us)
		t->sender_pause_us = rx->sender_pause_us;
	if (!rx->locked)
		t->never++;
	else if (silence_ms(s, now_ns) > 200)
		t->silent++;
	if (rx->worst.gap_us > t->worst.gap_us) {
		t->worst = rx->worst;
		t->worst_id = s->id;
	}
	rt_hist_merge(&t->latency, &rx->latency);
}

static json_t *totals_json(const struct totals *t)
{
	json_t *o = json_object(), *worst = gap_json(&t->worst);

	set_int(o, "sent", t->sent);
	set_int(o, "send_errors", t->errors);
	set_int(o, "packets", t->packets);
	set_int(o, "expected", t->expected);
	set_int(o, "lost", t->lost);
	set_int(o, "lost_max_stream", t->max_lost);
	set_int(o, "duplicates", t->dup);
	set_int(o, "reordered", t->reordered);
	set_int(o, "stale", t->stale);
	set_int(o, "foreign", t->foreign);
	set_int(o, "malformed", t->malformed);
	set_int(o, "unprotect_failed", t->unprotect_failed);
	set_int(o, "rtcp_unprotect_failed", t->rtcp_unprotect_failed);
	set_int(o, "local_drops", t->drops);
	set_int(o, "source_changes", t->source_changes);
	set_int(o, "streams_never_heard", t->never);
	set_int(o, "streams_silent", t->silent);
	set_int(o, "gap_count", t->gaps);
	set_int(o, "rtcp_received", t->rtcp_received);
	set_int(worst, "stream", t->worst_id);
	json_object_set_new(o, "longest_gap", worst);
	json_object_set_new(o, "sender_pause_ms",
			    json_real((double)t->sender_pause_us / 1000.0));
	json_object_set_new(o, "latency_ms", latency_json(&t->latency));
	return o;
}

json_t *rt_report(const struct rt_engine *e, bool streams)
{
	static struct totals t;
	uint64_t now_ns = rt_now_ns();
	json_t *o = json_object(), *list = streams ? json_array() : NULL;

	t = (struct totals){0};
	for (size_t i = 0; i < e->len; i++) {
		totals_add(&t, e->streams[i], now_ns);
		if (list)
			json_array_append_new(
				list, rt_report_stream(e, e->streams[i]));
	}
	set_int(o, "now_ns", now_ns);
	set_int(o, "streams_len", e->len);
	json_object_set_new(o, "total", totals_json(&t));
	if (list)
		json_object_set_new(o, "streams", list);
	return o;
}

void rt_report_reset(struct rt_engine *e)
{
	for (size_t i = 0; i < e->len; i++) {
		struct rt_stream *s = e->streams[i];

		rt_rx_reset(&s->rx);
		s->sent_at_reset = s->sent;
		s->send_errors = 0;
		s->source_changes = 0;
		s->rtcp.unprotect_failed = 0;
	}
}
