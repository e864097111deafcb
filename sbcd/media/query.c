#include <inttypes.h>
#include <jansson.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "sbcd/base/log.h"
#include "sbcd/media/control.h"

enum { QUERIES_MAX = 64 };

/* A question whose parts the relay threads answer one by one. */
struct media_query {
	struct media_query *next;
	uint64_t token;
	json_t *answer, *list; /* list: inside answer, what parts add to */
	unsigned waiting;
	struct gaps *gaps; /* sum of a question for them */
};

static unsigned queries_len(const struct media_control *c)
{
	unsigned n = 0;

	for (const struct media_query *q = c->queries; q; q = q->next)
		n++;
	return n;
}

static void reply(struct media_control *c, uint64_t token, json_t *answer)
{
	char *text = answer ? json_dumps(answer, JSON_COMPACT) : NULL;

	if (worker_link_reply(c->link, token,
			      text ? text : "{\"error\":\"out of memory\"}"))
		log_rated(LOG_WARNING,
			  "event=reply-unsent error=\"link is full\"");
	free(text);
	json_decref(answer);
}

static void reply_error(struct media_control *c, uint64_t token,
			const char *what)
{
	reply(c, token, json_pack("{s:s}", "error", what));
}

static json_t *number(uint64_t v)
{
	return json_integer((json_int_t)v);
}

/* Microseconds since the active before us was last heard. */
static void add_gaps(struct media_query *q)
{
	const struct gaps *g = q->gaps;

	json_object_set_new(q->answer, "flows", number(g->flows));
	json_object_set_new(q->answer, "silent", number(g->silent));
	json_object_set_new(q->answer, "first-us", number(g->min_us));
	json_object_set_new(q->answer, "p50-us",
			    number(gaps_percentile_us(g, 50)));
	json_object_set_new(q->answer, "p99-us",
			    number(gaps_percentile_us(g, 99)));
	json_object_set_new(q->answer, "max-us", number(g->max_us));
}

static void finish(struct media_control *c, struct media_query *q)
{
	struct media_query **at = &c->queries;

	while (*at != q)
		at = &(*at)->next;
	*at = q->next;
	if (q->gaps)
		add_gaps(q);
	reply(c, q->token, q->answer);
	free(q->gaps);
	free(q);
}

/* ---- parts
 * ----------------------------------------------------------------------- */

static json_t *address(const struct addr *a)
{
	char text[ADDR_TEXT_SIZE];

	return a->family ? json_string(addr_format(a, text, sizeof(text)))
			 : json_null();
}

static const char *direction(uint8_t d)
{
	static const char *const names[] = {"inactive", "sendonly", "recvonly",
					    "sendrecv"};

	return names[d & FLOW_SENDRECV];
}

static json_t *silence(const struct media_flow *f, uint64_t now_ns)
{
	if (!f->last_rtp_ns)
		return json_null();
	return number((now_ns - f->last_rtp_ns) / MEDIA_NS_PER_MS);
}

static json_t *flow_to_json(const struct media_flow *f, uint64_t now_ns)
{
	json_t *o = json_object();
	char ssrc[16];

	snprintf(ssrc, sizeof(ssrc), "0x%08" PRIx32, f->rx.ssrc);
	json_object_set_new(o, "leg", json_integer(f->leg));
	json_object_set_new(o, "network-interface",
			    f->nif ? json_string(f->nif->name) : json_null());
	json_object_set_new(o, "local", address(&f->local));
	json_object_set_new(o, "remote", address(&f->remote));
	json_object_set_new(o, "remote-rtcp", address(&f->remote_rtcp));
	json_object_set_new(o, "learned", address(&f->latch.learned));
	json_object_set_new(o, "learned-rtcp", address(&f->latch_rtcp.learned));
	json_object_set_new(o, "sends-to", address(&f->to));
	json_object_set_new(o, "direction",
			    json_string(direction(f->direction)));
	json_object_set_new(o, "rtcp-mux", json_boolean(f->rtcp_mux));
	json_object_set_new(o, "latching", json_boolean(f->latch_allowed));
	json_object_set_new(o, "ssrc", json_string(ssrc));
	json_object_set_new(o, "index", number(f->rx.index));
	json_object_set_new(o, "rx-packets", number(f->rx.packets));
	json_object_set_new(o, "rx-bytes", number(f->rx.bytes));
	json_object_set_new(o, "rx-lost", number(rtp_stats_lost(&f->rx)));
	json_object_set_new(o, "rx-jitter-us",
			    number(rtp_stats_jitter_us(&f->rx)));
	json_object_set_new(o, "rx-rtcp", number(f->rtcp_packets));
	json_object_set_new(o, "tx-packets", number(f->tx_packets));
	json_object_set_new(o, "tx-bytes", number(f->tx_bytes));
	json_object_set_new(o, "wrong-source", number(f->refused));
	json_object_set_new(o, "srtp-refused", number(f->srtp_refused));
	json_object_set_new(o, "silent-ms", silence(f, now_ns));
	return o;
}

static json_t *stream_to_json(const struct media_cmd *cmd)
{
	static const char *const guards[] = {"quiet", "initial", "subsequent"};
	const struct media_stream *s = cmd->copy.stream;
	char media[2] = {(char)s->media, '\0'};
	json_t *flows = json_array();
	json_t *o = json_object();

	for (unsigned i = 0; i < s->flows_len; i++)
		json_array_append_new(
			flows, flow_to_json(&s->flows[i], cmd->copy.now_ns));
	json_object_set_new(o, "stream", json_integer(s->key.sub));
	json_object_set_new(o, "media", json_string(media));
	json_object_set_new(
		o, "guard",
		json_string(s->guard < 3 ? guards[s->guard] : "unknown"));
	json_object_set_new(o, "flows", flows);
	return o;
}

static json_t *thread_to_json(const struct media_thread_stats *s)
{
	json_t *o = json_object();

	json_object_set_new(o, "rx-packets", number(s->rx_packets));
	json_object_set_new(o, "tx-packets", number(s->tx_packets));
	json_object_set_new(o, "batches", number(s->batches));
	json_object_set_new(o, "streams", number(s->streams));
	json_object_set_new(o, "flows", number(s->flows));
	json_object_set_new(o, "ports", number(s->ports));
	json_object_set_new(o, "cpu-us", number(s->cpu_ns / 1000));
	return o;
}

static void add_total(json_t *answer, const char *name, uint64_t v)
{
	json_int_t sum = json_integer_value(json_object_get(answer, name));

	json_object_set_new(answer, name, number((uint64_t)sum + v));
}

static void add_stats(struct media_query *q, const struct media_cmd *cmd)
{
	const struct media_thread_stats *s = &cmd->stats;

	json_array_append_new(q->list, thread_to_json(s));
	add_total(q->answer, "rx-packets", s->rx_packets);
	add_total(q->answer, "tx-packets", s->tx_packets);
	add_total(q->answer, "streams", s->streams);
	add_total(q->answer, "flows", s->flows);
	add_total(q->answer, "ports", s->ports);
}

void media_query_part(struct media_control *c, struct media_cmd *cmd)
{
	struct media_query *q = cmd->ctx;

	if (cmd->type == MEDIA_CMD_QUERY) {
		json_array_append_new(q->list, stream_to_json(cmd));
		free(cmd->copy.stream);
	} else if (cmd->type == MEDIA_CMD_GAPS) {
		gaps_merge(q->gaps, &cmd->gaps);
	} else {
		add_stats(q, cmd);
	}
	if (!--q->waiting)
		finish(c, q);
}

/* ---- questions
 * ------------------------------------------------------------------- */

static struct media_query *query_new(struct media_control *c, uint64_t token,
				     json_t *answer, const char *list)
{
	struct media_query *q = calloc(1, sizeof(*q));

	if (!q || !answer) {
		free(q);
		json_decref(answer);
		reply_error(c, token, "out of memory");
		return NULL;
	}
	q->token = token;
	q->answer = answer;
	json_object_set_new(answer, list, json_array());
	q->list = json_object_get(answer, list);
	q->next = c->queries;
	c->queries = q;
	return q;
}

static void ask(struct media_query *q, struct media_thread *t,
		enum media_cmd_type type, struct media_stream *s)
{
	struct media_cmd *cmd = media_cmd_new(type);

	if (!cmd)
		return;
	if (s) {
		cmd->copy.stream = malloc(media_stream_size(s));
		if (!cmd->copy.stream) {
			free(cmd);
			return;
		}
	}
	cmd->stream = s;
	cmd->ctx = q;
	q->waiting++;
	media_thread_post(t, cmd);
}

static void query_call(struct media_control *c, uint64_t token,
		       const json_t *request)
{
	const char *text = json_string_value(json_object_get(request, "id"));
	struct ha_key key = {.kind = REC_MEDIA};
	struct media_query *q;

	if (!text || !*text || strlen(text) > 16 ||
	    strspn(text, "0123456789abcdefABCDEF") != strlen(text)) {
		reply_error(c, token, "id: 16 hexadecimal digits");
		return;
	}
	key.id = strtoull(text, NULL, 16);
	q = query_new(c, token, json_pack("{s:s}", "id", text), "streams");
	if (!q)
		return;
	for (key.sub = 0; key.sub < 4 * REC_STREAMS_MAX; key.sub++) {
		struct media_entry *e = media_registry_find(c->registry, &key);

		if (e && e->stream)
			ask(q, e->thread, MEDIA_CMD_QUERY, e->stream);
	}
	if (!q->waiting)
		finish(c, q);
}

static void query_stats(struct media_control *c, uint64_t token)
{
	json_t *o = json_pack(
		"{s:b,s:b,s:I,s:I,s:I}", "active", c->active, "forwarding",
		c->forwarding, "epoch", (json_int_t)c->epoch, "records",
		(json_int_t)media_registry_len(c->registry), "orphans",
		(json_int_t)media_registry_orphans(c->registry));
	struct media_query *q = query_new(c, token, o, "threads");

	if (!q)
		return;
	for (unsigned i = 0; i < c->threads_len; i++)
		ask(q, c->threads[i], MEDIA_CMD_STATS, NULL);
	if (!q->waiting)
		finish(c, q);
}

static void query_gaps(struct media_control *c, uint64_t token)
{
	struct media_query *q = query_new(
		c, token, json_pack("{s:I}", "epoch", (json_int_t)c->epoch),
		"threads");

	if (!q)
		return;
	q->gaps = calloc(1, sizeof(*q->gaps));
	for (unsigned i = 0; q->gaps && i < c->threads_len; i++)
		ask(q, c->threads[i], MEDIA_CMD_GAPS, NULL);
	if (!q->waiting)
		finish(c, q);
}

void media_query_start(void *ctx, uint64_t token, const char *json)
{
	struct media_control *c = ctx;
	json_t *request = json_loads(json, 0, NULL);
	const char *cmd = json_string_value(json_object_get(request, "cmd"));

	if (queries_len(c) >= QUERIES_MAX)
		reply_error(c, token, "too many queries");
	else if (cmd && !strcmp(cmd, "call"))
		query_call(c, token, request);
	else if (cmd && !strcmp(cmd, "stats"))
		query_stats(c, token);
	else if (cmd && !strcmp(cmd, "gaps"))
		query_gaps(c, token);
	else
		reply_error(c, token, "unknown query");
	json_decref(request);
}
