/* Calls, legs and transactions as objects: creation, look-up, death. */
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

#include "sbcd/base/pool.h"
#include "sbcd/call/b2bua_int.h"

static const char *const method_names[METHOD_MAX] = {
	[METHOD_OTHER] = "",	  [METHOD_INVITE] = "INVITE",
	[METHOD_ACK] = "ACK",	  [METHOD_CANCEL] = "CANCEL",
	[METHOD_BYE] = "BYE",	  [METHOD_OPTIONS] = "OPTIONS",
	[METHOD_PRACK] = "PRACK", [METHOD_UPDATE] = "UPDATE",
	[METHOD_INFO] = "INFO",
};

const char *call_method_name(enum call_method m)
{
	return (unsigned)m < METHOD_MAX ? method_names[m] : "";
}

enum call_method call_method_of(const char *name)
{
	for (int m = METHOD_INVITE; m < METHOD_MAX; m++)
		if (!strcmp(name, method_names[m]))
			return (enum call_method)m;
	return METHOD_OTHER;
}

/* ---- blobs ---------------------------------------------------------------
 */

int blob_set(struct blob *b, const void *data, size_t size)
{
	uint8_t *copy = pool_alloc(size);

	if (!copy)
		return -ENOMEM;
	if (size)
		memcpy(copy, data, size);
	blob_clear(b);
	b->data = copy;
	b->size = (uint32_t)size;
	return 0;
}

void blob_clear(struct blob *b)
{
	/* Descriptions and streams hold keys. */
	if (b->data)
		explicit_bzero(b->data, b->size);
	pool_free(b->data, b->size);
	b->data = NULL;
	b->size = 0;
}

/* ---- calls ---------------------------------------------------------------
 */

struct call *call_find(const struct b2bua *b, uint64_t id)
{
	struct call *c = NULL;

	HASH_FIND(hh, b->calls, &id, sizeof(id), c);
	return c;
}

int call_create(struct b2bua *b, uint64_t id, struct call **out)
{
	struct call *c = pool_alloc(sizeof(*c));

	if (!c)
		return -ENOMEM;
	c->id = id;
	c->owner = b;
	HASH_ADD(hh, b->calls, id, sizeof(c->id), c);
	if (!c->hh.tbl) {
		pool_free(c, sizeof(*c));
		return -ENOMEM;
	}
	*out = c;
	return 0;
}

static void settle_unqueue(struct call *c)
{
	struct call **at = &c->owner->settled;

	if (!c->settling)
		return;
	while (*at && *at != c)
		at = &(*at)->settle_next;
	if (*at)
		*at = c->settle_next;
	c->settling = false;
}

void call_free(struct call *c)
{
	struct b2bua *b = c->owner;

	c->deleting = true;
	while (c->txns)
		txn_free(c->txns);
	b->ops->forget(b->ctx, c);
	for (unsigned i = 0; i < c->legs_len; i++)
		leg_free(c->legs[i]);
	while (c->streams_len)
		stream_remove(c, c->streams_len - 1u);
	pool_free(c->streams, c->streams_cap * sizeof(*c->streams));
	blob_clear(&c->value);
	timers_remove(c);
	restore_unqueue(c);
	settle_unqueue(c);
	HASH_DEL(b->calls, c);
	pool_free(c, sizeof(*c));
}

size_t call_count(const struct b2bua *b)
{
	return HASH_COUNT(b->calls);
}

struct call *b2bua_next_call(const struct b2bua *b, struct call *after)
{
	return after ? after->hh.next : b->calls;
}

void call_settle(struct call *c)
{
	struct b2bua *b = c->owner;

	if (c->settling || c->deleting || c->state != CALL_ENDING || c->txns)
		return;
	c->settling = true;
	c->settle_next = b->settled;
	b->settled = c;
}

void calls_reap(struct b2bua *b)
{
	struct call *c;

	while ((c = b->settled)) {
		b->settled = c->settle_next;
		c->settling = false;
		if (c->txns || !b->ops->drained(b->ctx, c))
			continue;
		store_delete(c);
		call_free(c);
	}
}

/* ---- legs ----------------------------------------------------------------
 */

int leg_create(struct call *c, uint16_t sub, uint8_t role, struct leg **out)
{
	struct leg *l;

	if (c->legs_len >= CALL_LEGS_MAX)
		return -ENOSPC;
	l = pool_alloc(sizeof(*l));
	if (!l)
		return -ENOMEM;
	l->call = c;
	l->sub = sub;
	l->role = role;
	c->legs[c->legs_len++] = l;
	*out = l;
	return 0;
}

static void leg_unhash(struct leg *l)
{
	struct b2bua *b = l->call->owner;

	if (!l->hashed)
		return;
	HASH_DEL(b->legs, l);
	l->hashed = false;
}

void leg_free(struct leg *l)
{
	leg_unhash(l);
	blob_clear(&l->value);
	pool_free(l, sizeof(*l));
}

struct leg *leg_find_sub(const struct call *c, uint16_t sub)
{
	for (unsigned i = 0; i < c->legs_len; i++)
		if (c->legs[i]->sub == sub)
			return c->legs[i];
	return NULL;
}

struct leg *leg_peer(const struct leg *l)
{
	const struct call *c = l->call;

	for (unsigned i = 0; i < c->legs_len; i++)
		if (c->legs[i] != l)
			return c->legs[i];
	return NULL;
}

static uint64_t leg_key(const struct b2bua *b, const char *sip_interface,
			const char *call_id, const char *local_tag)
{
	const char *parts[] = {sip_interface, call_id, local_tag};
	struct token_seed seed;

	token_seed(&b->key, &seed, parts, 3);
	return seed.lo;
}

int leg_hash(struct leg *l, const struct rec_dialog *d)
{
	struct b2bua *b = l->call->owner;
	uint64_t hash = leg_key(b, d->sip_interface, d->call_id, d->local_tag);
	struct leg *other = NULL;

	if (l->hashed && l->hash == hash)
		return 0;
	HASH_FIND(hh, b->legs, &hash, sizeof(hash), other);
	if (other)
		return -EEXIST;
	leg_unhash(l);
	l->hash = hash;
	HASH_ADD(hh, b->legs, hash, sizeof(l->hash), l);
	if (!l->hh.tbl)
		return -ENOMEM;
	l->hashed = true;
	return 0;
}

struct leg *leg_lookup(struct b2bua *b, const char *sip_interface,
		       const char *call_id, const char *local_tag,
		       struct rec_dialog *d)
{
	uint64_t hash;
	struct leg *l = NULL;

	if (!call_id || !local_tag || !*local_tag)
		return NULL;
	hash = leg_key(b, sip_interface, call_id, local_tag);
	HASH_FIND(hh, b->legs, &hash, sizeof(hash), l);
	if (!l || leg_load(l, d))
		return NULL;
	if (strcmp(d->call_id, call_id) || strcmp(d->local_tag, local_tag) ||
	    strcmp(d->sip_interface, sip_interface))
		return NULL;
	return l;
}

/* ---- transactions --------------------------------------------------------
 */

/* What a second node must be able to go on with. An INFO or OPTIONS that is
 * lost is sent again by its sender. */
static bool method_recorded(enum call_method m)
{
	return m == METHOD_INVITE || m == METHOD_UPDATE || m == METHOD_PRACK;
}

int txn_create(struct leg *l, uint8_t side, enum call_method method,
	       struct txn **out)
{
	struct call *c = l->call;
	struct txn *t = pool_alloc(sizeof(*t));

	if (!t)
		return -ENOMEM;
	t->call = c;
	t->leg = l;
	t->side = side;
	t->method = (uint8_t)method;
	t->state = TXN_PROCEEDING;
	t->recorded = method_recorded(method);
	t->sub = c->next_txn;
	if (t->recorded)
		c->next_txn++;
	t->next = c->txns;
	c->txns = t;
	c->owner->txns_len++;
	*out = t;
	return 0;
}

void txn_wait(struct txn *t)
{
	t->call->owner->waiting_len += !t->waiting;
	t->waiting = true;
}

void txn_heard(struct txn *t)
{
	t->call->owner->waiting_len -= t->waiting;
	t->waiting = false;
}

void txn_free(struct txn *t)
{
	struct call *c = t->call;
	struct b2bua *b = c->owner;
	struct txn **at = &c->txns;

	while (*at && *at != t)
		at = &(*at)->next;
	if (*at)
		*at = t->next;
	if (t->pair && t->pair->pair == t)
		t->pair->pair = NULL;
	txn_heard(t);
	b->ops->release(b->ctx, t);
	if (t->stored && b->active && !c->deleting)
		store_txn_delete(t);
	blob_clear(&t->request);
	blob_clear(&t->response);
	blob_clear(&t->value);
	b->txns_len--;
	pool_free(t, sizeof(*t));
}

struct txn *txn_find(const struct leg *l, uint8_t side, enum call_method method)
{
	for (struct txn *t = l->call->txns; t; t = t->next)
		if (t->leg == l && t->side == side && t->method == method &&
		    !t->done)
			return t;
	return NULL;
}

/* ---- ports ---------------------------------------------------------------
 */

struct ports *ports_of(const struct b2bua *b, const char *nif, uint16_t port)
{
	for (size_t i = 0; i < b->config->realms_len; i++) {
		const struct config_realm *r = &b->config->realms[i];

		if (!strcmp(r->nif->name, nif) && port >= r->port_first &&
		    port <= r->port_last)
			return b->ports[i];
	}
	return NULL;
}

void stream_ports(struct call *c, const struct rec_media *m, bool take)
{
	struct b2bua *b = c->owner;

	for (unsigned i = 0; i < m->flows_len; i++) {
		const struct rec_flow *f = &m->flows[i];
		struct ports *p;

		if (f->local.family == ADDR_NONE)
			continue;
		p = ports_of(b, f->network_interface, f->local.port);
		if (!p)
			continue;
		if (take)
			ports_take(p, f->local.port);
		else
			ports_put(p, f->local.port, b2bua_now(b));
	}
}

void stream_remove(struct call *c, unsigned sub)
{
	struct rec_media m;

	if (sub >= c->streams_len)
		return;
	if (!stream_load(c, sub, &m))
		stream_ports(c, &m, false);
	blob_clear(&c->streams[sub]);
	while (c->streams_len && !c->streams[c->streams_len - 1].data)
		c->streams_len--;
}
