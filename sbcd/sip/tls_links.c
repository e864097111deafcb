/* tls_links - see tls_links.h */
#include "sbcd/sip/tls_links.h"

#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <utlist.h>

#include "sbcd/base/clock.h"
#include "sbcd/base/log.h"
#include "sbcd/config/config.h"
#include "sbcd/config/tls.h"
#include "sbcd/sip/ocsp_desk.h"
#include "sbcd/sip/sip_int.h"
#include "sbcd/sip/tls_config.h"
#include "sbcd/sip/tls_conn.h"
#include "sbcd/sip/tls_profile.h"
#include "sbcd/sip/tls_reason.h"
#include "sbcd/sip/tls_state.h"

enum { FAILURES_MAX = 64, LINKS_SHOWN_MAX = 1000, REFUSAL_MS = 5000 };

struct profile {
	const struct config_tls_profile *cfg;
	struct tls_profile *tls;
	uint64_t handshakes, resumed, failed;
};

struct tls_link {
	struct tls_link *prev, *next;
	struct sip_worker *w;
	const struct sip_agent *a;
	struct profile *profile;
	struct tls_conn *conn;
	struct tls_listener *listener; /* NULL: we connected */
	const struct config_agent *agent; /* whose it is, once that is known */
	const char *names[CONFIG_TLS_NAMES_MAX]; /* of whom we connect to */
	struct addr peer;
	uint64_t since_ms, deadline_ms;
	bool said;
	bool refused; /* after it was open, and said, too */
	bool asked; /* for the verdict */
	uint64_t token; /* what it is asked with; 0: not now */
	void (*on_verdict)(void *ctx);
	void *on_verdict_ctx;
};

/* Who may connect to a port: names of certificates and whose they are. */
struct tls_listener {
	struct sip_agent *a;
	struct profile *profile;
	const char **names;
	const struct config_agent **owners;
	unsigned names_len;
};

struct failure {
	uint64_t wall_ms, count; /* last time, how often */
	struct addr peer; /* its port is the last one's */
	const struct profile *profile;
	const struct sip_agent *a;
	const struct config_agent *agent; /* whom we connected to */
	enum tls_reason reason;
	char names[TLS_CONN_NAMES_TEXT_SIZE]; /* the last one's certificate */
};

struct tls_links {
	struct profile profiles[CONFIG_TLS_PROFILES_MAX];
	size_t profiles_len;
	struct tls_link *links;
	size_t links_len;
	uint64_t last_token;
	struct failure failures[FAILURES_MAX];
	size_t failures_len;
	struct log_rate rates[TLS_REASON_LEN]; /* one must not hide another */
	struct tls_session *sessions[CONFIG_AGENTS_MAX]; /* of whom we call */
	char error[sizeof(((struct tls_profile_error *)NULL)->text) + 64];
};

/* ---- profiles -------------------------------------------------------------
 */

int tls_links_create(struct sip_worker *w)
{
	const struct config_tls *cfg = w->config->tls;
	struct tls_profile_error why;

	w->tls = calloc(1, sizeof(*w->tls));
	if (!w->tls)
		return -ENOMEM;
	for (size_t i = 0; i < cfg->profiles_len; i++) {
		struct profile *p = &w->tls->profiles[i];
		int err;

		p->cfg = &cfg->profiles[i];
		err = tls_config_create(&p->tls, p->cfg, &why);
		if (err) {
			log_err("event=tls-profile result=failed line=%d text=\"%s\"",
				config_tls_line(p->cfg, why.option), why.text);
			return err;
		}
		w->tls->profiles_len++;
	}
	return 0;
}

static void forget_sessions(struct sip_worker *w)
{
	for (size_t i = 0; i < CONFIG_AGENTS_MAX; i++) {
		tls_session_free(w->tls->sessions[i]);
		w->tls->sessions[i] = NULL;
	}
}

void tls_links_destroy(struct sip_worker *w)
{
	if (!w->tls)
		return;
	forget_sessions(w);
	for (size_t i = 0; i < w->tls->profiles_len; i++)
		tls_profile_destroy(w->tls->profiles[i].tls);
	free(w->tls);
	w->tls = NULL;
}

const char *tls_links_reload(struct sip_worker *w)
{
	struct tls_profile_error why;

	/* First all of them on the side: nothing is half done. */
	for (size_t i = 0; i < w->tls->profiles_len; i++) {
		struct tls_profile *probe;

		if (tls_config_create(&probe, w->tls->profiles[i].cfg, &why))
			goto failed;
		tls_profile_destroy(probe);
	}
	for (size_t i = 0; i < w->tls->profiles_len; i++)
		if (tls_config_reload(w->tls->profiles[i].tls,
				      w->tls->profiles[i].cfg, &why))
			goto failed;
	/* That was on a certificate that may be another one now. */
	for (size_t i = 0; i < w->tls->profiles_len; i++)
		(void)!tls_profile_set_staple(w->tls->profiles[i].tls, NULL, 0);
	/* They were granted on what may not hold any more. */
	forget_sessions(w);
	log_notice("event=tls-reload profiles=%zu", w->tls->profiles_len);
	return NULL;
failed:
	snprintf(w->tls->error, sizeof(w->tls->error), "%s", why.text);
	log_err("event=tls-reload result=failed text=\"%s\"", why.text);
	return w->tls->error;
}

struct tls_profile *tls_links_profile(const struct sip_worker *w, size_t i,
				      const char **name)
{
	if (i >= w->tls->profiles_len)
		return NULL;
	*name = w->tls->profiles[i].cfg->name;
	return w->tls->profiles[i].tls;
}

int64_t tls_links_end_s(const struct sip_worker *w)
{
	int64_t first_s = 0;
	struct tls_expiry e;

	for (size_t i = 0; i < w->tls->profiles_len; i++)
		if (!tls_profile_expiry(w->tls->profiles[i].tls, &e) &&
		    (!first_s || e.wall_s < first_s))
			first_s = e.wall_s;
	return first_s;
}

static struct profile *find_profile(struct sip_worker *w, const char *name)
{
	for (size_t i = 0; i < w->tls->profiles_len; i++)
		if (!strcmp(w->tls->profiles[i].cfg->name, name))
			return &w->tls->profiles[i];
	return NULL;
}

/* ---- who may connect ------------------------------------------------------
 */

static bool speaks_tls(const struct config_agent *g, const struct sip_agent *a)
{
	return g->realm == a->sif->realm && g->transport == TRANSPORT_TLS;
}

static int collect_names(struct tls_listener *l)
{
	const struct config *c = l->a->w->config;
	size_t max = 0;

	for (size_t i = 0; i < c->agents_len; i++)
		max += speaks_tls(&c->agents[i], l->a)
			       ? c->agents[i].tls_names_len
			       : 0;
	if (!max)
		return 0;
	l->names = calloc(max, sizeof(*l->names));
	l->owners = calloc(max, sizeof(*l->owners));
	if (!l->names || !l->owners)
		return -ENOMEM;
	for (size_t i = 0; i < c->agents_len; i++) {
		const struct config_agent *g = &c->agents[i];

		for (size_t k = 0; speaks_tls(g, l->a) && k < g->tls_names_len;
		     k++) {
			l->names[l->names_len] = g->tls_names[k];
			l->owners[l->names_len++] = g;
		}
	}
	return 0;
}

int tls_listener_create(struct tls_listener **out, struct sip_agent *a,
			const char *profile)
{
	struct profile *p = find_profile(a->w, profile);
	struct tls_listener *l;
	int err = 0;

	if (!p)
		return -ENOENT;
	l = calloc(1, sizeof(*l));
	if (!l)
		return -ENOMEM;
	l->a = a;
	l->profile = p;
	if (p->cfg->mutual)
		err = collect_names(l);
	if (err) {
		tls_listener_destroy(l);
		return err;
	}
	*out = l;
	return 0;
}

void tls_listener_destroy(struct tls_listener *l)
{
	if (!l)
		return;
	free(l->names);
	free(l->owners);
	free(l);
}

/* ---- handshakes that failed -------------------------------------------------
 */

static const char *direction(const struct tls_link *k)
{
	return k->listener ? "inbound" : "outbound";
}

static const char *option_of(enum tls_reason r)
{
	const char *option = tls_reason_text(r)->option;

	return r == TLS_REASON_NAME ? "tls-names" : option ? option : "";
}

/* Of the option that would change it, or of the section it belongs to. */
static int line_of(const struct profile *p, const struct config_agent *g,
		   enum tls_reason r)
{
	return g && r == TLS_REASON_NAME
		       ? g->line
		       : config_tls_line(p->cfg, option_of(r));
}

/* One more of the same kind, or the oldest makes room. */
static struct failure *failure_for(struct tls_links *t,
				   const struct tls_link *k, enum tls_reason r)
{
	struct failure *oldest = &t->failures[0];

	for (size_t i = 0; i < t->failures_len; i++) {
		struct failure *f = &t->failures[i];

		if (f->reason == r && f->profile == k->profile &&
		    f->agent == k->agent && addr_equal_ip(&f->peer, &k->peer))
			return f;
		if (f->wall_ms < oldest->wall_ms)
			oldest = f;
	}
	if (t->failures_len < FAILURES_MAX)
		oldest = &t->failures[t->failures_len++];
	memset(oldest, 0, sizeof(*oldest));
	return oldest;
}

static void note(const struct tls_link *k, enum tls_reason r, const char *names)
{
	struct failure *f = failure_for(k->w->tls, k, r);
	char peer[ADDR_TEXT_SIZE];

	k->profile->failed++;
	counters_add(k->w->counters, COUNTER_sip_tls_failed, 1);
	f->wall_ms = clock_wall_ms();
	f->count++;
	f->peer = k->peer;
	f->profile = k->profile;
	f->a = k->a;
	f->agent = k->agent;
	f->reason = r;
	snprintf(f->names, sizeof(f->names), "%s", names);
	if (!log_rate_pass(&k->w->tls->rates[r]))
		return;
	log_msg(LOG_WARNING,
		"event=tls-failed peer=%s direction=%s interface=%s agent=%s profile=%s reason=%s rule=\"%s\" option=%s line=%d names=\"%s\"",
		addr_format(&k->peer, peer, sizeof(peer)), direction(k),
		k->a->sif->name, k->agent ? k->agent->name : "-",
		k->profile->cfg->name, tls_reason_text(r)->name,
		tls_reason_text(r)->rule, option_of(r),
		line_of(k->profile, k->agent, r), names);
}

static void note_failure(const struct tls_link *k)
{
	note(k, tls_conn_reason(k->conn), tls_conn_info(k->conn)->names);
}

/* Of what only lets known peers in. */
static bool welcome(struct tls_listener *l, const struct addr *from)
{
	struct tls_link k = {.w = l->a->w,
			     .a = l->a,
			     .profile = l->profile,
			     .listener = l,
			     .peer = *from};

	if (!config_tls_is_old(l->profile->cfg) || agent_peer(l->a, from))
		return true;
	counters_add(l->a->w->counters, COUNTER_sip_conns_refused, 1);
	note(&k, TLS_REASON_STRANGER, "");
	return false;
}

/* ---- connections ----------------------------------------------------------
 */

static int start(struct tls_link *k, const struct tls_conn_params *params)
{
	struct tls_conn_params p = *params;
	int err;

	k->w = k->a->w;
	k->since_ms = clock_mono_ms();
	k->deadline_ms = k->since_ms + k->a->sif->tls_handshake_ms;
	p.profile = k->profile->tls;
	p.wildcard = k->profile->cfg->wildcard;
	p.deadline_ms = k->deadline_ms;
	p.verdict_ms = OCSP_DESK_WAIT_MS;
	p.wall_s = (int64_t)(clock_wall_ms() / 1000);
	err = tls_conn_create(&k->conn, &p);
	if (err) {
		log_rated(
			LOG_ERR,
			"event=tls-connection result=failed profile=%s error=\"%s\"",
			k->profile->cfg->name, strerror(-err));
		free(k);
		return err;
	}
	DL_APPEND(k->w->tls->links, k);
	k->w->tls->links_len++;
	return 0;
}

int tls_link_accept(struct tls_link **out, struct tls_listener *l,
		    const struct addr *from)
{
	struct tls_conn_params p = {
		.server = true,
		.hosts = l->names,
		.hosts_len = l->names_len,
	};
	struct tls_link *k;
	int err;

	if (!welcome(l, from))
		return -EACCES;
	k = calloc(1, sizeof(*k));
	if (!k)
		return -ENOMEM;
	k->a = l->a;
	k->profile = l->profile;
	k->listener = l;
	k->peer = *from;
	err = start(k, &p);
	if (!err)
		*out = k;
	return err;
}

/* Several may share an address; then the port says which. */
const struct config_agent *tls_link_whom(const struct sip_agent *a,
					 const struct addr *to)
{
	const struct config *c = a->w->config;
	const struct config_agent *found = NULL;

	for (size_t i = 0; i < c->agents_len; i++) {
		const struct config_agent *g = &c->agents[i];

		if (!speaks_tls(g, a) || !addr_equal_ip(&g->address, to))
			continue;
		if (g->address.port == to->port)
			return g;
		if (!found)
			found = g;
	}
	return found;
}

/* Where the session with a peer we connect to is kept. */
static struct tls_session **session_of(const struct sip_worker *w,
				       const struct config_agent *g)
{
	return &w->tls->sessions[g - w->config->agents];
}

/* A name to ask for is one that is no address. */
static const char *server_name(const struct config_agent *g)
{
	struct addr ip;

	if (addr_parse_ip(&ip, g->host, 0))
		return g->host;
	return g->tls_names_len ? g->tls_names[0] : NULL;
}

int tls_link_connect(struct tls_link **out, struct sip_agent *a,
		     const struct addr *to)
{
	const struct config_agent *g = tls_link_whom(a, to);
	struct tls_conn_params p = {.server = false};
	struct tls_link *k;
	int err;

	if (!g || !g->tls)
		return -EACCES;
	k = calloc(1, sizeof(*k));
	if (!k)
		return -ENOMEM;
	for (size_t i = 0; i < g->tls_names_len; i++)
		k->names[i] = g->tls_names[i];
	k->a = a;
	k->agent = g;
	k->peer = *to;
	k->profile = find_profile(a->w, g->tls->name);
	p.hosts = k->names;
	p.hosts_len = (unsigned)g->tls_names_len;
	p.sni = server_name(g);
	p.session = *session_of(a->w, g);
	err = start(k, &p);
	if (!err)
		*out = k;
	return err;
}

static void keep_session(const struct tls_link *k)
{
	struct tls_session **kept = session_of(k->w, k->agent);
	struct tls_session *s = tls_conn_session(k->conn);

	/* What failed on an old one is to begin anew. */
	if (!s && tls_conn_state(k->conn) != TLS_CONN_FAILED)
		return;
	tls_session_free(*kept);
	*kept = s;
}

void tls_link_end(struct tls_link *k)
{
	if (!k->listener && k->agent)
		keep_session(k);
	if (k->token)
		tls_state_forget(k->w, k->token);
	DL_DELETE(k->w->tls->links, k);
	k->w->tls->links_len--;
	tls_conn_destroy(k->conn);
	free(k);
}

struct tls_conn *tls_link_conn(const struct tls_link *k)
{
	return k->conn;
}

void tls_link_on_verdict(struct tls_link *k, void (*call)(void *ctx), void *ctx)
{
	k->on_verdict = call;
	k->on_verdict_ctx = ctx;
}

uint64_t tls_link_deadline_ms(const struct tls_link *k)
{
	return k->deadline_ms + (tls_conn_state(k->conn) == TLS_CONN_VERDICT
					 ? OCSP_DESK_WAIT_MS
					 : 0);
}

const struct config_agent *tls_link_agent(const struct tls_link *k)
{
	return k->agent;
}

/* ---- what became of it ----------------------------------------------------
 */

static void note_open(struct tls_link *k)
{
	const struct tls_conn_info *info = tls_conn_info(k->conn);
	char peer[ADDR_TEXT_SIZE];

	if (k->listener && info->host >= 0)
		k->agent = k->listener->owners[info->host];
	k->profile->handshakes++;
	k->profile->resumed += info->resumed;
	counters_add(k->w->counters, COUNTER_sip_tls_handshakes, 1);
	log_rated(
		LOG_INFO,
		"event=tls-open peer=%s direction=%s interface=%s agent=%s profile=%s version=%s cipher=%s resumed=%s v2-hello=%s",
		addr_format(&k->peer, peer, sizeof(peer)), direction(k),
		k->a->sif->name, k->agent ? k->agent->name : "-",
		k->profile->cfg->name, info->version, info->cipher,
		info->resumed ? "yes" : "no", info->v2_hello ? "yes" : "no");
}

static void ask_status(struct tls_link *k)
{
	struct ocsp_word word;

	k->asked = true;
	k->token = ++k->w->tls->last_token;
	if (tls_state_ask(k->w, k->token, k->conn, k->profile->tls, &word) ==
	    -EINPROGRESS)
		return;
	k->token = 0;
	(void)!tls_conn_verdict(k->conn, word.ok, word.why);
}

void tls_links_told(struct sip_worker *w, uint64_t token,
		    const struct ocsp_word *word)
{
	struct tls_link *k;

	DL_SEARCH_SCALAR(w->tls->links, k, token, token);
	if (!k)
		return;
	k->token = 0;
	(void)!tls_conn_verdict(k->conn, word->ok, word->why);
	tls_link_look(k);
	if (k->on_verdict)
		k->on_verdict(k->on_verdict_ctx);
}

/* Later than that a server ends the connection for another reason. */
static void look_for_refusal(struct tls_link *k)
{
	if (k->refused || tls_conn_reason(k->conn) == TLS_REASON_OTHER ||
	    !tls_conn_may_be_refused(k->conn) ||
	    clock_mono_ms() > k->since_ms + REFUSAL_MS)
		return;
	k->refused = true;
	note_failure(k);
}

void tls_link_look(struct tls_link *k)
{
	enum tls_conn_state state;

	if (tls_conn_state(k->conn) == TLS_CONN_VERDICT && !k->asked)
		ask_status(k);
	state = tls_conn_state(k->conn);
	if (k->said)
		look_for_refusal(k);
	if (k->said || tls_conn_is_opening(k->conn))
		return;
	k->said = true;
	if (state == TLS_CONN_FAILED)
		note_failure(k);
	else
		note_open(k);
}

/* ---- show tls -------------------------------------------------------------
 */

static json_t *print_json(const struct profile *p)
{
	char hex[17];

	snprintf(hex, sizeof(hex), "%016" PRIx64, tls_profile_print(p->tls));
	return json_string(hex);
}

json_t *tls_links_prints(const struct sip_worker *w)
{
	json_t *list = json_array();

	for (size_t i = 0; i < w->tls->profiles_len; i++)
		json_array_append_new(list, print_json(&w->tls->profiles[i]));
	return list;
}

static json_t *profile_json(const struct profile *p, const char *peer_print)
{
	struct tls_expiry e;
	bool known = !tls_profile_expiry(p->tls, &e);

	return json_pack(
		"{s:s,s:i,s:b,s:b,s:o,s:s,s:I,s:I,s:I,s:o,s:s}", "name",
		p->cfg->name, "line", p->cfg->line, "mutual", p->cfg->mutual,
		"old", config_tls_is_old(p->cfg), "expires",
		known ? json_integer((json_int_t)e.wall_s) : json_null(),
		"expires-first", known ? e.subject : "", "handshakes",
		(json_int_t)p->handshakes, "resumed", (json_int_t)p->resumed,
		"failed", (json_int_t)p->failed, "fingerprint", print_json(p),
		"peer-fingerprint", peer_print ? peer_print : "");
}

static const char *state_name(enum tls_conn_state s)
{
	static const char *const names[] = {
		[TLS_CONN_HANDSHAKE] = "handshake",
		[TLS_CONN_OPEN] = "open",
		[TLS_CONN_CLOSED] = "closed",
		[TLS_CONN_FAILED] = "failed",
		[TLS_CONN_VERDICT] = "status",
	};

	return names[s];
}

static json_t *link_json(const struct tls_link *k)
{
	const struct tls_conn_info *info = tls_conn_info(k->conn);
	char peer[ADDR_TEXT_SIZE];

	return json_pack("{s:s,s:s,s:s,s:s,s:s,s:s,s:s,s:s,s:b,s:b,s:I}",
			 "peer", addr_format(&k->peer, peer, sizeof(peer)),
			 "direction", direction(k), "interface",
			 k->a->sif->name, "agent",
			 k->agent ? k->agent->name : "", "profile",
			 k->profile->cfg->name, "state",
			 state_name(tls_conn_state(k->conn)), "version",
			 info->version ? info->version : "", "cipher",
			 info->cipher ? info->cipher : "", "resumed",
			 info->resumed, "v2-hello", info->v2_hello, "age-ms",
			 (json_int_t)(clock_mono_ms() - k->since_ms));
}

static json_t *failure_json(const struct failure *f)
{
	const struct tls_reason_text *text = tls_reason_text(f->reason);
	char peer[ADDR_TEXT_SIZE];

	return json_pack(
		"{s:I,s:I,s:s,s:s,s:s,s:s,s:s,s:s,s:s,s:s,s:i,s:s}", "last-ms",
		(json_int_t)f->wall_ms, "count", (json_int_t)f->count, "peer",
		addr_format(&f->peer, peer, sizeof(peer)), "direction",
		f->agent ? "outbound" : "inbound", "interface", f->a->sif->name,
		"agent", f->agent ? f->agent->name : "", "profile",
		f->profile->cfg->name, "reason", text->name, "rule", text->rule,
		"option", option_of(f->reason), "line",
		line_of(f->profile, f->agent, f->reason), "names", f->names);
}

json_t *tls_links_json(const struct sip_worker *w, const json_t *peer_prints)
{
	json_t *profiles = json_array(), *links = json_array();
	json_t *failures = json_array();
	const struct tls_link *k;
	size_t n = 0;

	for (size_t i = 0; i < w->tls->profiles_len; i++)
		json_array_append_new(
			profiles, profile_json(&w->tls->profiles[i],
					       json_string_value(json_array_get(
						       peer_prints, i))));
	DL_FOREACH (w->tls->links, k) {
		if (n++ == LINKS_SHOWN_MAX)
			break;
		json_array_append_new(links, link_json(k));
	}
	for (size_t i = 0; i < w->tls->failures_len; i++)
		json_array_append_new(failures,
				      failure_json(&w->tls->failures[i]));
	return json_pack("{s:o,s:o,s:I,s:o}", "profiles", profiles,
			 "connections", links, "connections-count",
			 (json_int_t)w->tls->links_len, "failures", failures);
}
