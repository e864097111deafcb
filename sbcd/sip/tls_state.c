/* tls_state - see tls_state.h */
#include "sbcd/sip/tls_state.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include <openssl/rand.h>

#include "sbcd/base/clock.h"
#include "sbcd/base/log.h"
#include "sbcd/record/record.h"
#include "sbcd/sip/ocsp_desk.h"
#include "sbcd/sip/sip_int.h"
#include "sbcd/sip/tls_conn.h"
#include "sbcd/sip/tls_links.h"
#include "sbcd/sip/tls_profile.h"
#include "sbcd/sip/tls_ticket.h"

enum { STAPLES_MS = 1000 };

struct tls_state {
	struct tls_ticket *ticket;
	bool applied; /* since this node is active */
	struct ocsp_desk *desk;
	int desk_index; /* of the root's registration */
	uint64_t staples_ms; /* when they are looked at next */
	struct rec_ocsp record; /* scratch */
};

static struct ocsp_now now(void)
{
	return (struct ocsp_now){.mono_ms = clock_mono_ms(),
				 .wall_s = (int64_t)(clock_wall_ms() / 1000)};
}

/* ---- records ---------------------------------------------------------------
 */

static int put(struct sip_worker *w, const struct ha_key *key,
	       const void *record)
{
	struct buf out;
	int err;

	buf_init(&out, HA_VALUE_MAX_BYTES);
	err = record_encode(key->kind, record, &out);
	if (!err)
		err = worker_link_put(w->link, key, out.data, out.size, false,
				      0);
	if (out.data)
		explicit_bzero(out.data, out.size);
	buf_finish(&out);
	if (err)
		log_rated(LOG_ERR, "event=record-put result=failed kind=%u",
			  key->kind);
	return err;
}

static int put_ticket(void *ctx, const struct rec_ticket *r)
{
	struct ha_key key = {.kind = REC_TICKET};

	return put(ctx, &key, r);
}

static int get_random(void *ctx, void *out, size_t size)
{
	return RAND_priv_bytes(out, (int)size) == 1 ? 0 : -EIO;
}

static const struct tls_ticket_ops ticket_ops = {
	.random = get_random,
	.put = put_ticket,
};

static void put_ocsp(void *ctx, uint64_t id, const struct rec_ocsp *r)
{
	struct ha_key key = {.id = id, .kind = REC_OCSP};
	struct sip_worker *w = ctx;

	if (r)
		(void)!put(w, &key, r);
	else if (worker_link_delete(w->link, &key, false, 0))
		log_rated(LOG_ERR, "event=record-delete result=failed");
}

static void told(void *ctx, uint64_t token, const struct ocsp_word *word)
{
	tls_links_told(ctx, token, word);
}

static const struct ocsp_desk_ops desk_ops = {.told = told, .put = put_ocsp};

/* ---- keys of tickets -------------------------------------------------------
 */

static void apply(struct sip_worker *w)
{
	uint64_t wall_ms = clock_pair_ms();
	struct tls_profile *p;
	const char *name;

	for (size_t i = 0; (p = tls_links_profile(w, i, &name)); i++)
		if (tls_ticket_apply(w->tls_state->ticket, p, name, wall_ms))
			log_rated(
				LOG_ERR,
				"event=tls-ticket-keys result=failed profile=%s",
				name);
}

static int restore_ticket(struct sip_worker *w, const void *value, size_t size)
{
	struct rec_ticket r;
	int err = value ? record_decode(REC_TICKET, value, size, &r) : 0;

	if (!err)
		err = tls_ticket_restore(w->tls_state->ticket,
					 value ? &r : NULL);
	explicit_bzero(&r, sizeof(r));
	if (!err)
		apply(w);
	return err;
}

static void turn_ticket(struct sip_worker *w)
{
	struct tls_state *s = w->tls_state;
	int changed = tls_ticket_turn(s->ticket, clock_pair_ms());

	if (changed < 0) {
		log_rated(LOG_ERR,
			  "event=tls-ticket-keys result=failed error=\"%s\"",
			  strerror(-changed));
		return;
	}
	if (changed || !s->applied)
		apply(w);
	if (changed)
		log_info("event=tls-ticket-key result=new");
	s->applied = true;
}

/* ---- OCSP ------------------------------------------------------------------
 */

/* Ours, for those who ask: fetched before anybody does. */
static void turn_staples(struct sip_worker *w, const struct ocsp_now *at)
{
	struct ocsp_desk *desk = w->tls_state->desk;
	struct tls_profile *p;
	const char *name;

	if (at->mono_ms < w->tls_state->staples_ms)
		return;
	w->tls_state->staples_ms = at->mono_ms + STAPLES_MS;
	for (size_t i = 0; (p = tls_links_profile(w, i, &name)); i++) {
		struct tls_ocsp_subject own;
		const uint8_t *data = NULL;
		size_t size = 0;

		if (!tls_profile_checks_status(p) || tls_profile_own(p, &own))
			continue;
		if (ocsp_desk_staple(desk, &own, at, &data, &size))
			size = 0;
		if (tls_profile_set_staple(p, data, size))
			log_rated(LOG_ERR,
				  "event=tls-staple result=failed profile=%s",
				  name);
	}
}

static int on_desk(struct sip_worker *ctx, su_wait_t *wait,
		   struct sip_worker *w)
{
	struct ocsp_now at = now();

	ocsp_desk_turn(w->tls_state->desk, &at);
	return 0;
}

static int open_desk(struct sip_worker *w)
{
	su_wait_t wait[1] = {SU_WAIT_INIT};
	struct tls_state *s = w->tls_state;
	int err = ocsp_desk_create(&s->desk, &desk_ops, w);

	if (err)
		return err;
	if (su_wait_create(wait, ocsp_desk_fd(s->desk), SU_WAIT_IN) < 0)
		return -ENOMEM;
	s->desk_index = su_root_register(w->root, wait, on_desk, w, 0);
	return s->desk_index < 0 ? -ENOMEM : 0;
}

static int restore_ocsp(struct sip_worker *w, const struct ha_key *key,
			const void *value, size_t size)
{
	struct tls_state *s = w->tls_state;
	int err = value ? record_decode(REC_OCSP, value, size, &s->record) : 0;

	return err ? err
		   : ocsp_desk_restore(s->desk, key->id,
				       value ? &s->record : NULL);
}

int tls_state_ask(struct sip_worker *w, uint64_t token,
		  const struct tls_conn *c, const struct tls_profile *p,
		  struct ocsp_word *out)
{
	struct ocsp_question q = {
		.token = token,
		.ignore_dead = tls_profile_ignores_dead_responder(p),
	};
	struct ocsp_now at = now();

	tls_conn_subject(c, &q.subject);
	q.staple_size = tls_conn_staple(c, &q.staple);
	return ocsp_desk_ask(w->tls_state->desk, &q, &at, out);
}

void tls_state_forget(struct sip_worker *w, uint64_t token)
{
	if (w->tls_state)
		ocsp_desk_forget(w->tls_state->desk, token);
}

/* ---- the worker's ----------------------------------------------------------
 */

int tls_state_create(struct sip_worker *w)
{
	const char *name;
	int err;

	if (!tls_links_profile(w, 0, &name))
		return 0;
	w->tls_state = calloc(1, sizeof(*w->tls_state));
	if (!w->tls_state)
		return -ENOMEM;
	w->tls_state->desk_index = -1;
	err = tls_ticket_create(&w->tls_state->ticket, &ticket_ops, w);
	if (!err)
		err = open_desk(w);
	if (err)
		log_err("event=tls-state result=failed error=\"%s\"",
			strerror(-err));
	return err;
}

void tls_state_destroy(struct sip_worker *w)
{
	struct tls_state *s = w->tls_state;

	if (!s)
		return;
	if (s->desk_index >= 0)
		su_root_deregister(w->root, s->desk_index);
	ocsp_desk_destroy(s->desk);
	tls_ticket_destroy(s->ticket);
	free(s);
	w->tls_state = NULL;
}

int tls_state_record(struct sip_worker *w, const struct ha_key *key,
		     const void *value, size_t size)
{
	/* those of this node it has already, and what it had is gone */
	if (!w->tls_state || b2bua_active(w->b2bua))
		return 0;
	return key->kind == REC_TICKET ? restore_ticket(w, value, size)
				       : restore_ocsp(w, key, value, size);
}

void tls_state_turn(struct sip_worker *w)
{
	struct ocsp_now at;

	if (!w->tls_state)
		return;
	turn_ticket(w);
	at = now();
	ocsp_desk_turn(w->tls_state->desk, &at);
	turn_staples(w, &at);
}
