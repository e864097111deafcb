/*
 * What sbcctl can ask for: one function a command, and the table.
 */
#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include "sbcd/base/clock.h"
#include "sbcd/base/log.h"
#include "sbcd/keeper/keeper_int.h"
#include "sbcd/record/record.h"

enum { QUERY_MS = 1000, CALLS_SHOWN_MAX = 20000 };

/* ---- redundancy --------------------------------------------------------- */
static json_t *paths_json(struct keeper *k)
{
	uint64_t now_ms = clock_mono_ms();
	json_t *list = json_array();
	struct beat_view view;
	const char *name;

	beat_get_view(k->beat, &view);
	for (size_t i = 0; (name = netglue_path_name(k->net, i)); i++) {
		uint64_t at = view.last_heard_ms[i];
		json_int_t ago = at ? (json_int_t)(now_ms - at) : -1;

		json_array_append_new(
			list,
			json_pack("{s:s,s:I,s:b,s:I,s:I}", "path", name,
				  "last-heard-ms", ago, "alive",
				  at && ago < k->config->cluster.silence_ms,
				  "received", (json_int_t)view.path_received[i],
				  "refused", (json_int_t)view.path_refused[i]));
	}
	return list;
}

/* What an administrator chooses the timing by. */
static json_t *worst_json(struct keeper *k)
{
	struct beat_view view;

	beat_get_view(k->beat, &view);
	return json_pack("{s:I,s:I,s:I,s:I,s:b}", "peer-silence-ms",
			 (json_int_t)view.silence_worst_ms, "beat-late-ms",
			 (json_int_t)view.late_worst_ms, "main-loop-ms",
			 (json_int_t)view.stall_worst_ms, "renewal-max-us",
			 (json_int_t)view.renew_max_us, "realtime",
			 (int)view.realtime);
}

static json_t *peer_json(struct keeper *k, const struct ha_engine_stats *stats)
{
	const struct roles *r = &k->roles;
	bool member = r->ev.peer_left == HA_LEFT_NOT;

	return json_pack(
		"{s:s,s:s,s:b,s:i,s:s,s:i,s:I,s:I}", "name",
		k->config->cluster.peers[r->ev.peer_node - 1], "role",
		r->ev.peer_known ? ha_role_name(r->ev.peer_role) : "unknown",
		"connected", member, "health", member ? (int)r->peer.health : 0,
		"version", r->peer.version, "wire-version",
		(int)stats->peer_wire_version, "calls",
		(json_int_t)(member ? r->ev.peer_calls : 0), "clock-skew-ms",
		(json_int_t)(member ? k->clock.skew_ms : 0));
}

static json_t *records_json(struct keeper *k)
{
	const struct ha_store *store = ha_engine_store(k->engine);
	size_t unknown = ha_store_count(store);
	json_t *root = json_object();

	for (uint8_t kind = 1; kind < REC_KIND_MAX; kind++) {
		const struct record_kind_info *info = record_kind_info(kind);
		size_t count = ha_store_count_kind(store, kind);

		if (!info)
			continue;
		json_object_set_new(root, info->name,
				    json_integer((json_int_t)count));
		unknown -= count;
	}
	/* Of a newer release: kept and passed on. */
	json_object_set_new(root, "unknown", json_integer((json_int_t)unknown));
	json_object_set_new(root, "total",
			    json_integer((json_int_t)ha_store_count(store)));
	json_object_set_new(
		root, "tombstones",
		json_integer((json_int_t)ha_store_tombstones(store)));
	return root;
}

static void show_redundancy(struct keeper *k, uint64_t id,
			    const struct control_request *req)
{
	const struct roles *r = &k->roles;
	struct ha_engine_stats stats;
	char epoch[17], reason[2 * REC_NAME_SIZE + 64];

	prints_reason(k, reason, sizeof(reason));
	ha_engine_get_stats(k->engine, &stats);
	snprintf(epoch, sizeof(epoch), "%016" PRIx64, r->epoch);
	control_reply(
		k->control, id,
		json_pack(
			"{s:s,s:i,s:s,s:i,s:i,s:s,s:s,s:I,s:s,s:o,s:b,s:s,s:f,"
			"s:o,s:o,s:o,s:o,s:o,s:o}",
			"node", k->node.name, "node-id", (int)k->node.id,
			"version", SBC_VERSION, "wire-version",
			(int)stats.own_wire_version, "wire-version-in-use",
			(int)stats.wire_version, "role", ha_role_name(r->role),
			"service", service_name(k->service.state), "since-ms",
			(json_int_t)r->since_wall_ms, "epoch", epoch, "peer",
			peer_json(k, &stats), "in-sync", prints_in_sync(k),
			"sync-reason", reason, "replication-lag-ms",
			(double)stats.lag_us / 1000, "records", records_json(k),
			"right", role_evidence_to_json(k), "fence",
			fence_to_json(k), "paths", paths_json(k),
			"worst-last-hour", worst_json(k), "timeline",
			timeline_to_json(&k->timeline)));
}

/* ---- calls -------------------------------------------------------------- */
static const char *call_state_name(uint8_t state)
{
	switch ((enum rec_call_state)state) {
	case CALL_TRYING:
		return "trying";
	case CALL_RINGING:
		return "ringing";
	case CALL_ANSWERED:
		return "answered";
	case CALL_ESTABLISHED:
		return "established";
	case CALL_ENDING:
		return "ending";
	}
	return "unknown";
}

struct calls_walk {
	json_t *list;
	uint64_t now_ms;
	struct rec_call call;
};

static bool add_call(void *ctx, const struct ha_item *item)
{
	struct calls_walk *w = ctx;
	const struct rec_call *c = &w->call;
	uint64_t from_ms;
	char id[17];

	if (item->deleted || item->key.kind != REC_CALL ||
	    record_decode(REC_CALL, item->value, item->size, &w->call))
		return true;
	from_ms = c->answered_ms ? c->answered_ms : c->created_ms;
	snprintf(id, sizeof(id), "%016" PRIx64, item->key.id);
	json_array_append_new(
		w->list,
		json_pack("{s:s,s:s,s:s,s:s,s:I}", "id", id, "state",
			  call_state_name(c->state), "from", c->from_uri, "to",
			  c->to_uri, "duration-s",
			  (json_int_t)(w->now_ms > from_ms && from_ms
					       ? (w->now_ms - from_ms) / 1000
					       : 0)));
	return json_array_size(w->list) < CALLS_SHOWN_MAX;
}

static void show_calls(struct keeper *k, uint64_t id,
		       const struct control_request *req)
{
	const struct ha_store *store = ha_engine_store(k->engine);
	struct calls_walk *w = calloc(1, sizeof(*w));

	if (!w) {
		control_error(k->control, id, CONTROL_INTERNAL,
			      "out of memory");
		return;
	}
	w->list = json_array();
	w->now_ms = clock_pair_ms();
	ha_store_foreach(store, add_call, w);
	control_reply(
		k->control, id,
		json_pack("{s:I,s:o}", "count",
			  (json_int_t)ha_store_count_kind(store, REC_CALL),
			  "calls", w->list));
	free(w);
}

/* Every record of a call, by kind. */
static json_t *call_records(struct keeper *k, uint64_t call)
{
	const struct ha_store *store = ha_engine_store(k->engine);
	union rec_any *any = calloc(1, sizeof(*any));
	struct ha_key after = {.id = call};
	json_t *root = json_object();
	struct ha_item item;
	bool found = false;
	bool more = any && ha_store_next(store, call ? &after : NULL, &item);

	for (; more && item.key.id == call;
	     more = ha_store_next(store, &after, &item)) {
		const struct record_kind_info *info =
			record_kind_info(item.key.kind);
		json_t *list, *one;

		after = item.key;
		if (item.deleted || !info ||
		    record_decode(item.key.kind, item.value, item.size, any))
			continue;
		found |= item.key.kind == REC_CALL;
		list = json_object_get(root, info->name);
		if (!list) {
			list = json_array();
			json_object_set_new(root, info->name, list);
		}
		one = record_to_json(item.key.kind, any);
		json_object_set_new(one, "sub", json_integer(item.key.sub));
		json_array_append_new(list, one);
	}
	free(any);
	if (found)
		return root;
	json_decref(root);
	return NULL;
}

/* Of a question to the SIP worker alone its answer is all there is to say. */
static void reply_alone(struct keeper *k, struct query *q)
{
	json_t *part = json_object_get(q->answer, workers_name(HUB_SIP));
	const char *error = json_string_value(json_object_get(part, "error"));

	if (part && !error)
		control_reply(k->control, q->control_id, json_incref(part));
	else
		control_error(k->control, q->control_id, CONTROL_REFUSED, "%s",
			      error ? error : "the SIP worker does not answer");
	json_decref(q->answer);
}

static void query_finish(struct keeper *k, struct query *q)
{
	loop_timer_disarm(q->timer);
	if (q->alone)
		reply_alone(k, q);
	else
		control_reply(k->control, q->control_id, q->answer);
	q->answer = NULL;
	q->token = 0;
}

void commands_on_reply(struct keeper *k, enum hub_worker w, uint64_t token,
		       const void *text, size_t size)
{
	json_t *part;

	if (!token)
		return;
	for (size_t i = 0; i < KEEPER_QUERIES_MAX; i++) {
		struct query *q = &k->queries[i];

		if (q->token != token)
			continue;
		part = json_loadb(text, size, 0, NULL);
		json_object_set_new(q->answer, workers_name(w),
				    part ? part : json_null());
		if (q->missing && !--q->missing)
			query_finish(k, q);
		return;
	}
}

static void on_query_timer(void *ctx)
{
	struct keeper *k = ctx;
	uint64_t now_ms = loop_now_ms(k->loop);

	/* One callback for all: whoever is not armed any more is due. */
	for (size_t i = 0; i < KEEPER_QUERIES_MAX; i++) {
		struct query *q = &k->queries[i];

		if (q->token && !loop_timer_armed(q->timer) && now_ms)
			query_finish(k, q);
	}
}

/* NULL, and said so: there are too many. */
static struct query *query_new(struct keeper *k, uint64_t control_id)
{
	for (size_t i = 0; i < KEEPER_QUERIES_MAX; i++) {
		struct query *q = &k->queries[i];

		if (q->token)
			continue;
		if (!q->timer &&
		    loop_timer_create(k->loop, &q->timer, on_query_timer, k))
			break;
		q->token = ++k->next_token;
		q->control_id = control_id;
		q->missing = 0;
		q->alone = false;
		q->answer = NULL;
		return q;
	}
	control_error(k->control, control_id, CONTROL_REFUSED,
		      "too many questions at once");
	return NULL;
}

static void query_send(struct keeper *k, struct query *q, enum hub_worker w,
		       const char *json)
{
	struct link_message m = {
		.type = LINK_QUERY,
		.token = q->token,
		.value = json,
		.size = strlen(json),
	};

	if (!workers_send(k->workers, w, &m))
		q->missing++;
}

static void query_wait(struct keeper *k, struct query *q)
{
	if (q->missing)
		loop_timer_arm(q->timer, QUERY_MS);
	else
		query_finish(k, q);
}

static bool parse_call_id(const char *text, uint64_t *out)
{
	char *end;

	if (!text || !text[0] || strlen(text) > 16 ||
	    strspn(text, "0123456789abcdefABCDEF") != strlen(text))
		return false;
	*out = strtoull(text, &end, 16);
	return !*end;
}

static void show_call(struct keeper *k, uint64_t id,
		      const struct control_request *req)
{
	const char *text = json_string_value(json_object_get(req->args, "id"));
	char question[96];
	struct query *q;
	json_t *records;
	uint64_t call;

	if (!parse_call_id(text, &call)) {
		control_error(k->control, id, CONTROL_BAD_REQUEST,
			      "args.id must be a call id (hexadecimal)");
		return;
	}
	records = call_records(k, call);
	if (!records) {
		control_error(k->control, id, CONTROL_UNKNOWN,
			      "no call %016" PRIx64, call);
		return;
	}
	q = query_new(k, id);
	if (!q) {
		json_decref(records);
		return;
	}
	snprintf(question, sizeof(question), "%016" PRIx64, call);
	q->answer = json_pack("{s:s,s:o}", "id", question, "records", records);
	snprintf(question, sizeof(question),
		 "{\"cmd\":\"call\",\"id\":\"%016" PRIx64 "\"}", call);
	query_send(k, q, HUB_SIP, question);
	query_send(k, q, HUB_MEDIA, question);
	query_wait(k, q);
}

static void ask_sip(struct keeper *k, uint64_t id, const char *question)
{
	struct query *q = query_new(k, id);

	if (!q)
		return;
	q->alone = true;
	q->answer = json_object();
	query_send(k, q, HUB_SIP, question);
	query_wait(k, q);
}

static void show_tls(struct keeper *k, uint64_t id,
		     const struct control_request *req)
{
	char *question = prints_question(k);

	if (question)
		ask_sip(k, id, question);
	else
		control_error(k->control, id, CONTROL_INTERNAL,
			      "out of memory");
	free(question);
}

static void cert_reload(struct keeper *k, uint64_t id,
			const struct control_request *req)
{
	ask_sip(k, id, "{\"cmd\":\"tls-reload\"}");
}

/* ---- the small ones ----------------------------------------------------- */
static void show_health(struct keeper *k, uint64_t id,
			const struct control_request *req)
{
	control_reply(k->control, id, health_to_json(&k->health));
}

static void show_interfaces(struct keeper *k, uint64_t id,
			    const struct control_request *req)
{
	control_reply(
		k->control, id,
		json_pack("{s:o}", "interfaces", netglue_to_json(k->net)));
}

static json_t *replication_counters(struct keeper *k)
{
	struct ha_engine_stats s;
	struct hub_stats h;

	ha_engine_get_stats(k->engine, &s);
	hub_get_stats(k->hub, &h);
	return json_pack(
		"{s:I,s:I,s:I,s:I,s:I,s:I,s:I,s:I,s:I,s:I,s:I,s:I,s:I,s:I}",
		"frames_sent", (json_int_t)s.frames_sent, "frames_received",
		(json_int_t)s.frames_received, "frames_dropped",
		(json_int_t)s.frames_dropped, "records_sent",
		(json_int_t)s.records_sent, "records_applied",
		(json_int_t)s.records_applied, "records_stale",
		(json_int_t)s.records_stale, "snapshots_sent",
		(json_int_t)s.snapshots_sent, "snapshots_received",
		(json_int_t)s.snapshots_received, "resyncs",
		(json_int_t)s.resyncs, "commits", (json_int_t)h.commits,
		"commit_timeouts", (json_int_t)h.commit_timeouts,
		"puts_refused", (json_int_t)h.refused, "bytes_sent",
		(json_int_t)s.bytes_sent, "store_bytes",
		(json_int_t)ha_store_bytes(ha_engine_store(k->engine)));
}

static json_t *keeper_counters(struct keeper *k)
{
	struct control_stats c;
	struct beat_view v;

	control_get_stats(k->control, &c);
	beat_get_view(k->beat, &v);
	return json_pack(
		"{s:I,s:I,s:I,s:I,s:I,s:I,s:I,s:I,s:I,s:I,s:I,s:I,s:I}",
		"control_requests", (json_int_t)c.requests, "control_malformed",
		(json_int_t)c.malformed, "control_refused",
		(json_int_t)c.refused_clients, "beats_sent", (json_int_t)v.sent,
		"beats_received", (json_int_t)v.received, "beats_refused",
		(json_int_t)v.refused, "beat_late_worst_ms",
		(json_int_t)v.late_worst_ms, "lease_renewals",
		(json_int_t)v.renewals, "lease_renew_max_us",
		(json_int_t)v.renew_max_us, "main_loop_stalls",
		(json_int_t)v.stalls, "log_lines_dropped",
		(json_int_t)log_dropped(), "sip_crashes",
		(json_int_t)workers_crashes(k->workers, HUB_SIP),
		"media_crashes",
		(json_int_t)workers_crashes(k->workers, HUB_MEDIA));
}

static void show_counters(struct keeper *k, uint64_t id,
			  const struct control_request *req)
{
	const struct counters *sip = workers_counters(k->workers, HUB_SIP);
	const struct counters *media = workers_counters(k->workers, HUB_MEDIA);
	json_t *root = json_object();

	for (int c = 0; c < COUNTER_COUNT; c++) {
		const char *name = counters_name((enum counter_id)c);
		const struct counters *from =
			strncmp(name, "media_", 6) ? sip : media;

		json_object_set_new(root, name,
				    json_integer((json_int_t)counters_get(
					    from, (enum counter_id)c)));
	}
	control_reply(k->control, id,
		      json_pack("{s:o,s:o,s:o,s:o}", "workers", root,
				"replication", replication_counters(k),
				"keeper", keeper_counters(k), "cdr",
				cdr_glue_counters(k)));
}

enum { FAILOVERS_SHOWN = 20 };

static void show_failovers(struct keeper *k, uint64_t id,
			   const struct control_request *req)
{
	json_t *n = json_object_get(req->args, "count");

	if (n && (!json_is_integer(n) || json_integer_value(n) < 1)) {
		control_error(k->control, id, CONTROL_BAD_REQUEST,
			      "args.count must be a number above 0");
		return;
	}
	control_reply(k->control, id,
		      json_pack("{s:o}", "failovers",
				flight_to_json(k->flight,
					       n ? (size_t)json_integer_value(n)
						 : FAILOVERS_SHOWN)));
}

static void show_config(struct keeper *k, uint64_t id,
			const struct control_request *req)
{
	char digest[17];

	snprintf(digest, sizeof(digest), "%016" PRIx64, k->config->digest);
	control_reply(k->control, id,
		      json_pack("{s:s,s:s}", "digest", digest, "text",
				k->config_text));
}

static void show_version(struct keeper *k, uint64_t id,
			 const struct control_request *req)
{
	control_reply(k->control, id,
		      json_pack("{s:s,s:s,s:s}", "version", SBC_VERSION, "node",
				k->node.name, "peer-version",
				k->roles.peer.version));
}

static void switchover(struct keeper *k, uint64_t id,
		       const struct control_request *req)
{
	handover_request(k, id,
			 json_is_true(json_object_get(req->args, "force")));
}

static void reply_service(struct keeper *k, uint64_t id, const char *why)
{
	if (why)
		control_error(k->control, id, CONTROL_REFUSED, "%s", why);
	else
		control_reply(k->control, id,
			      json_pack("{s:s,s:s}", "node", k->node.name,
					"service",
					service_name(k->service.state)));
}

static void drain(struct keeper *k, uint64_t id,
		  const struct control_request *req)
{
	if (k->service.state == SERVICE_MAINTENANCE)
		reply_service(k, id, "this node is in maintenance");
	else
		reply_service(k, id, service_set(k, SERVICE_DRAIN));
}

static void undrain(struct keeper *k, uint64_t id,
		    const struct control_request *req)
{
	if (k->service.state == SERVICE_MAINTENANCE)
		reply_service(k, id, "this node is in maintenance");
	else
		reply_service(k, id, service_set(k, SERVICE_ON));
}

static void maintenance(struct keeper *k, uint64_t id,
			const struct control_request *req)
{
	const json_t *on = json_object_get(req->args, "on");

	if (!json_is_boolean(on))
		control_error(k->control, id, CONTROL_BAD_REQUEST,
			      "args.on must be true or false");
	else if (json_is_true(on))
		reply_service(k, id, service_set(k, SERVICE_MAINTENANCE));
	else if (k->service.state == SERVICE_MAINTENANCE)
		reply_service(k, id, service_set(k, SERVICE_ON));
	else
		reply_service(k, id, NULL);
}

/* ---- the table ---------------------------------------------------------- */
static const struct {
	const char *cmd;
	void (*run)(struct keeper *k, uint64_t id,
		    const struct control_request *req);
} commands[] = {
	{"show redundancy", show_redundancy},
	{"show health", show_health},
	{"show calls", show_calls},
	{"show call", show_call},
	{"show interfaces", show_interfaces},
	{"show counters", show_counters},
	{"show tls", show_tls},
	{"show failovers", show_failovers},
	{"show config", show_config},
	{"show version", show_version},
	{"version", show_version},
	{"cert reload", cert_reload},
	{"switchover", switchover},
	{"drain", drain},
	{"undrain", undrain},
	{"maintenance", maintenance},
};

void commands_run(void *ctx, uint64_t id, const struct control_request *req)
{
	struct keeper *k = ctx;

	for (size_t i = 0; i < sizeof(commands) / sizeof(commands[0]); i++) {
		if (!strcmp(commands[i].cmd, req->cmd)) {
			commands[i].run(k, id, req);
			return;
		}
	}
	control_error(k->control, id, CONTROL_UNKNOWN, "unknown command");
}

void commands_destroy(struct keeper *k)
{
	for (size_t i = 0; i < KEEPER_QUERIES_MAX; i++) {
		json_decref(k->queries[i].answer);
		loop_timer_destroy(k->queries[i].timer);
	}
}
