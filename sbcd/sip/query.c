/* What the SIP worker tells about itself: {"cmd":"stats"} and
 * {"cmd":"call","id":"…"}; {"cmd":"takeover"}: how the last one went. */
#include <jansson.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "sbcd/base/log.h"
#include "sbcd/call/fsm.h"
#include "sbcd/record/record.h"
#include "sbcd/sip/sip_int.h"
#include "sbcd/sip/tls_links.h"

static void reply(struct sip_worker *w, uint64_t token, json_t *answer)
{
	char *text = answer ? json_dumps(answer, JSON_COMPACT) : NULL;

	if (worker_link_reply(w->link, token,
			      text ? text : "{\"error\":\"out of memory\"}"))
		log_rated(LOG_WARNING, "event=query-reply result=failed");
	free(text);
	json_decref(answer);
}

static json_t *stats(struct sip_worker *w)
{
	struct b2bua_stats s;

	b2bua_stats(w->b2bua, &s);
	return json_pack("{s:b,s:I,s:I,s:I,s:I,s:I,s:I,s:I,s:o}", "active",
			 b2bua_active(w->b2bua), "epoch", (json_int_t)w->epoch,
			 "calls", (json_int_t)s.calls, "legs",
			 (json_int_t)s.legs, "transactions", (json_int_t)s.txns,
			 "ports", (json_int_t)s.ports, "restoring",
			 (json_int_t)s.restoring, "held",
			 (json_int_t)w->held_len, "agents", pings_json(w));
}

static json_t *takeover(struct sip_worker *w)
{
	struct b2bua_takeover t;
	json_t *list = json_array();
	char id[17];

	b2bua_takeover(w->b2bua, &t);
	for (size_t i = 0; i < t.lost_count && i < B2BUA_LOST_MAX; i++) {
		snprintf(id, sizeof(id), "%016llx",
			 (unsigned long long)t.lost[i].call);
		json_array_append_new(list,
				      json_pack("{s:s,s:s}", "id", id, "reason",
						t.lost[i].reason));
	}
	return json_pack("{s:I,s:I,s:o,s:I,s:I}", "carried",
			 (json_int_t)t.carried, "lost-count",
			 (json_int_t)t.lost_count, "lost", list,
			 "first-message-us", (json_int_t)guard_first_us(false),
			 "first-tls-us", (json_int_t)guard_first_us(true));
}

static json_t *pong(const struct sip_worker *w)
{
	json_t *o = pings_summary(w);

	json_object_set_new(o, "certificates-end",
			    json_integer((json_int_t)tls_links_end_s(w)));
	json_object_set_new(o, "prints", tls_links_prints(w));
	return o;
}

static json_t *tls_reload(struct sip_worker *w)
{
	const char *why = tls_links_reload(w);

	return why ? json_pack("{s:s}", "error", why)
		   : json_pack("{s:b}", "reloaded", true);
}

static json_t *leg_json(const struct leg *l)
{
	struct rec_dialog d;
	json_t *j;

	if (leg_load(l, &d))
		return json_null();
	d.local_sdp.size = d.remote_sdp.size = d.agreed_sdp.size = 0;
	j = record_to_json(REC_DIALOG, &d);
	if (j) {
		json_object_set_new(j, "leg", json_integer(l->sub));
		json_object_set_new(j, "role",
				    json_string(l->role == LEG_CALLER
							? "caller"
							: "callee"));
	}
	return j;
}

static json_t *txn_json(const struct txn *t)
{
	return json_pack(
		"{s:i,s:s,s:s,s:i,s:i,s:i}", "leg", t->leg ? t->leg->sub : -1,
		"side", t->side == TXN_SERVER ? "server" : "client", "method",
		call_method_name((enum call_method)t->method), "cseq",
		(int)t->cseq, "state", t->state, "last-status", t->last_status);
}

static json_t *call_json(struct sip_worker *w, const char *id)
{
	struct call *c =
		id ? call_find(w->b2bua, strtoull(id, NULL, 16)) : NULL;
	json_t *j, *legs, *txns;

	if (!c)
		return json_pack("{s:s}", "error", "no such call");
	j = json_object();
	legs = json_array();
	txns = json_array();
	json_object_set_new(j, "id", json_string(id));
	json_object_set_new(j, "state", json_string(call_state_name(c->state)));
	for (unsigned i = 0; i < c->legs_len; i++)
		json_array_append_new(legs, leg_json(c->legs[i]));
	for (const struct txn *t = c->txns; t; t = t->next)
		json_array_append_new(txns, txn_json(t));
	json_object_set_new(j, "legs", legs);
	json_object_set_new(j, "transactions", txns);
	return j;
}

void query_answer(struct sip_worker *w, uint64_t token, const char *json)
{
	json_t *q = json ? json_loads(json, 0, NULL) : NULL;
	const char *cmd = json_string_value(json_object_get(q, "cmd"));

	if (cmd && !strcmp(cmd, "ping"))
		reply(w, token, pong(w));
	else if (cmd && !strcmp(cmd, "stats"))
		reply(w, token, stats(w));
	else if (cmd && !strcmp(cmd, "takeover"))
		reply(w, token, takeover(w));
	else if (cmd && !strcmp(cmd, "tls"))
		reply(w, token,
		      tls_links_json(w, json_object_get(q, "peer-prints")));
	else if (cmd && !strcmp(cmd, "tls-reload"))
		reply(w, token, tls_reload(w));
	else if (cmd && !strcmp(cmd, "call"))
		reply(w, token,
		      call_json(w,
				json_string_value(json_object_get(q, "id"))));
	else
		reply(w, token, json_pack("{s:s}", "error", "unknown query"));
	json_decref(q);
}
