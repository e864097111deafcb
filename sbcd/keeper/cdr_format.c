#include "sbcd/keeper/cdr_format.h"

#include <ctype.h>
#include <inttypes.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>
#include <time.h>

enum { SCORE_SCALE = 100 };

static void add(struct buf *out, const char *fmt, ...)
	__attribute__((format(printf, 2, 3)));
static void add(struct buf *out, const char *fmt, ...)
{
	char text[160];
	va_list ap;
	int n;

	va_start(ap, fmt);
	n = vsnprintf(text, sizeof(text), fmt, ap);
	va_end(ap);
	buf_put(out, text, (size_t)n < sizeof(text) ? (size_t)n : 0);
}

/* ---- text --------------------------------------------------------------- */
/* Bytes of the UTF-8 sequence at `s`, 0 = none (RFC 3629). */
static size_t utf8_len(const unsigned char *s)
{
	size_t n = s[0] < 0x80			  ? 1
		   : s[0] >= 0xc2 && s[0] <= 0xdf ? 2
		   : s[0] >= 0xe0 && s[0] <= 0xef ? 3
		   : s[0] >= 0xf0 && s[0] <= 0xf4 ? 4
						  : 0;

	for (size_t i = 1; i < n; i++)
		if ((s[i] & 0xc0) != 0x80)
			return 0;
	if ((s[0] == 0xe0 && s[1] < 0xa0) || (s[0] == 0xed && s[1] > 0x9f) ||
	    (s[0] == 0xf0 && s[1] < 0x90) || (s[0] == 0xf4 && s[1] > 0x8f))
		return 0;
	return n;
}

static void json_text(struct buf *out, const char *text)
{
	const unsigned char *s = (const unsigned char *)text;

	buf_put_u8(out, '"');
	while (*s) {
		size_t n = utf8_len(s);

		if (!n)
			add(out, "\\ufffd");
		else if (*s == '"' || *s == '\\')
			add(out, "\\%c", *s);
		else if (*s < 0x20 || *s == 0x7f)
			add(out, "\\u%04x", *s);
		else
			buf_put(out, s, n);
		s += n ? n : 1;
	}
	buf_put_u8(out, '"');
}

static void csv_text(struct buf *out, const char *text)
{
	buf_put_u8(out, '"');
	if (*text && strchr("=+-@", *text))
		buf_put_u8(out, '\'');
	for (const char *s = text; *s; s++) {
		unsigned char c = (unsigned char)*s;

		if (c == '"')
			buf_put_u8(out, '"');
		buf_put_u8(out, c < 0x20 || c == 0x7f ? '?' : c);
	}
	buf_put_u8(out, '"');
}

/* UTC, "2026-01-31T23:59:59.123Z"; "" = it did not happen. */
static const char *time_text(uint64_t ms, char *buf, size_t size)
{
	time_t seconds = (time_t)(ms / 1000);
	char day[48];
	struct tm tm;

	buf[0] = '\0';
	if (ms && gmtime_r(&seconds, &tm) &&
	    strftime(day, sizeof(day), "%Y-%m-%dT%H:%M:%S", &tm))
		snprintf(buf, size, "%s.%03uZ", day, (unsigned)(ms % 1000));
	return buf;
}

/* ---- the values --------------------------------------------------------- */
static const char *party(const struct rec_cdr *r)
{
	for (unsigned i = 0; r->ended_by && i < r->legs_len; i++)
		if (r->legs[i].leg + 1 == r->ended_by)
			return r->legs[i].role == LEG_CALLER ? "caller"
							     : "callee";
	return r->ended_by ? "unknown" : "sbc";
}

static uint64_t duration_ms(const struct rec_cdr *r)
{
	return r->answer_ms && r->end_ms > r->answer_ms
		       ? r->end_ms - r->answer_ms
		       : 0;
}

static uint32_t longest_gap_ms(const struct rec_cdr *r)
{
	uint32_t gap = 0;

	for (unsigned i = 0; i < r->media_len; i++)
		if (r->media[i].gap_ms > gap)
			gap = r->media[i].gap_ms;
	return gap;
}

/* All streams of a leg; jitter and score of its first audio. */
static struct rec_cdr_media leg_total(const struct rec_cdr *r, uint16_t leg)
{
	struct rec_cdr_media sum = {.leg = leg};
	bool audio = false;

	for (unsigned i = 0; i < r->media_len; i++) {
		const struct rec_cdr_media *m = &r->media[i];

		if (m->leg != leg)
			continue;
		sum.rx_packets += m->rx_packets;
		sum.rx_bytes += m->rx_bytes;
		sum.rx_lost += m->rx_lost;
		sum.tx_packets += m->tx_packets;
		sum.tx_bytes += m->tx_bytes;
		if (m->media != 'a' || audio)
			continue;
		audio = true;
		sum.jitter_us = m->jitter_us;
		sum.mos_x100 = m->mos_x100;
	}
	return sum;
}

/* ---- JSON --------------------------------------------------------------- */
static void json_time(struct buf *out, const char *name, uint64_t ms)
{
	char text[64];

	if (ms)
		add(out, ",\"%s\":\"%s\"", name,
		    time_text(ms, text, sizeof(text)));
	else
		add(out, ",\"%s\":null", name);
}

static void json_string(struct buf *out, const char *name, const char *text)
{
	add(out, ",\"%s\":", name);
	json_text(out, text);
}

static const char *transport_name(uint8_t t)
{
	return t == TRANSPORT_UDP   ? "udp"
	       : t == TRANSPORT_TCP ? "tcp"
	       : t == TRANSPORT_TLS ? "tls"
				    : "";
}

static void json_media(struct buf *out, const struct rec_cdr_media *m)
{
	char kind[2] = {(char)m->media, '\0'};

	add(out, "{\"stream\":%u", m->stream);
	json_string(out, "media", kind);
	add(out, ",\"payload_type\":%u,\"complete\":%s", m->payload_type,
	    m->final ? "true" : "false");
	add(out, ",\"rx_packets\":%" PRIu64 ",\"rx_bytes\":%" PRIu64,
	    m->rx_packets, m->rx_bytes);
	add(out, ",\"rx_lost\":%" PRIu64 ",\"jitter_ms\":%.3f", m->rx_lost,
	    (double)m->jitter_us / 1000);
	if (m->mos_x100)
		add(out, ",\"mos\":%.2f", (double)m->mos_x100 / SCORE_SCALE);
	else
		add(out, ",\"mos\":null");
	add(out, ",\"tx_packets\":%" PRIu64 ",\"tx_bytes\":%" PRIu64,
	    m->tx_packets, m->tx_bytes);
	add(out, ",\"gap_ms\":%u}", m->gap_ms);
}

static void json_leg(struct buf *out, const struct rec_cdr *r,
		     const struct rec_cdr_leg *l)
{
	char peer[ADDR_TEXT_SIZE] = "";
	bool first = true;

	if (l->peer.family)
		addr_format(&l->peer, peer, sizeof(peer));
	add(out, "{\"role\":\"%s\"",
	    l->role == LEG_CALLER ? "caller" : "callee");
	json_string(out, "realm", l->realm);
	json_string(out, "sip_interface", l->sip_interface);
	json_string(out, "agent", l->agent);
	json_string(out, "transport", transport_name(l->transport));
	json_string(out, "peer", peer);
	json_string(out, "call_id", l->call_id);
	add(out, ",\"media\":[");
	for (unsigned i = 0; i < r->media_len; i++) {
		if (r->media[i].leg != l->leg)
			continue;
		if (!first)
			buf_put_u8(out, ',');
		first = false;
		json_media(out, &r->media[i]);
	}
	add(out, "]}");
}

void cdr_format_json(struct buf *out, uint64_t id, const struct rec_cdr *r)
{
	add(out, "{\"id\":\"%016" PRIx64 "\"", id);
	json_time(out, "start", r->start_ms);
	json_time(out, "ringing", r->ringing_ms);
	json_time(out, "answer", r->answer_ms);
	json_time(out, "end", r->end_ms);
	add(out, ",\"duration_ms\":%" PRIu64, duration_ms(r));
	json_string(out, "calling", r->calling);
	json_string(out, "called", r->called);
	add(out, ",\"status\":%u,\"ended_by\":\"%s\"", r->status, party(r));
	json_string(out, "reason", r->reason);
	add(out, ",\"failovers\":%u,\"media_gap_ms\":%u", r->failovers,
	    longest_gap_ms(r));
	json_string(out, "node", r->node);
	add(out, ",\"legs\":[");
	for (unsigned i = 0; i < r->legs_len; i++) {
		if (i)
			buf_put_u8(out, ',');
		json_leg(out, r, &r->legs[i]);
	}
	add(out, "]}\n");
}

/* ---- CSV ---------------------------------------------------------------- */
static const char *const csv_leg_columns[] = {
	"realm",   "agent",	"peer", "call_id",    "rx_packets", "rx_bytes",
	"rx_lost", "jitter_ms", "mos",	"tx_packets", "tx_bytes",
};

void cdr_format_csv_head(struct buf *out)
{
	static const char *const sides[] = {"caller", "callee"};

	add(out, "id,start,ringing,answer,end,duration_ms,calling,called,"
		 "status,ended_by,reason,failovers,media_gap_ms,node");
	for (unsigned s = 0; s < 2; s++)
		for (unsigned i = 0;
		     i < sizeof(csv_leg_columns) / sizeof(csv_leg_columns[0]);
		     i++)
			add(out, ",%s_%s", sides[s], csv_leg_columns[i]);
	buf_put_u8(out, '\n');
}

static void csv_string(struct buf *out, const char *text)
{
	buf_put_u8(out, ',');
	csv_text(out, text);
}

static void csv_leg(struct buf *out, const struct rec_cdr *r, uint8_t role)
{
	const struct rec_cdr_leg *l = NULL;
	struct rec_cdr_media sum;
	char peer[ADDR_TEXT_SIZE] = "";

	for (unsigned i = 0; i < r->legs_len && !l; i++)
		if (r->legs[i].role == role)
			l = &r->legs[i];
	if (!l) {
		/* No such leg: as many empty cells. */
		add(out, ",,,,,,,,,,,");
		return;
	}
	sum = leg_total(r, l->leg);
	if (l->peer.family)
		addr_format(&l->peer, peer, sizeof(peer));
	csv_string(out, l->realm);
	csv_string(out, l->agent);
	csv_string(out, peer);
	csv_string(out, l->call_id);
	add(out, ",%" PRIu64 ",%" PRIu64 ",%" PRIu64, sum.rx_packets,
	    sum.rx_bytes, sum.rx_lost);
	add(out, ",%.3f,", (double)sum.jitter_us / 1000);
	if (sum.mos_x100)
		add(out, "%.2f", (double)sum.mos_x100 / SCORE_SCALE);
	add(out, ",%" PRIu64 ",%" PRIu64, sum.tx_packets, sum.tx_bytes);
}

void cdr_format_csv(struct buf *out, uint64_t id, const struct rec_cdr *r)
{
	const uint64_t times[] = {r->start_ms, r->ringing_ms, r->answer_ms,
				  r->end_ms};
	char text[64];

	add(out, "%016" PRIx64, id);
	for (unsigned i = 0; i < 4; i++)
		add(out, ",%s", time_text(times[i], text, sizeof(text)));
	add(out, ",%" PRIu64, duration_ms(r));
	csv_string(out, r->calling);
	csv_string(out, r->called);
	add(out, ",%u,%s", r->status, party(r));
	csv_string(out, r->reason);
	add(out, ",%u,%u", r->failovers, longest_gap_ms(r));
	csv_string(out, r->node);
	csv_leg(out, r, LEG_CALLER);
	csv_leg(out, r, LEG_CALLEE);
	buf_put_u8(out, '\n');
}

/* ---- reading back ------------------------------------------------------- */
bool cdr_line_id(const char *line, size_t size, uint64_t *id)
{
	static const char json[] = "{\"id\":\"";
	uint64_t v = 0;

	if (size >= sizeof(json) - 1 && !memcmp(line, json, sizeof(json) - 1)) {
		line += sizeof(json) - 1;
		size -= sizeof(json) - 1;
	}
	if (size < 17 || (line[16] != '"' && line[16] != ','))
		return false;
	for (unsigned i = 0; i < 16; i++) {
		if (!isxdigit((unsigned char)line[i]))
			return false;
		v = v << 4 |
		    (uint64_t)(line[i] <= '9' ? line[i] - '0'
					      : (line[i] | 32) - 'a' + 10);
	}
	*id = v;
	return true;
}
