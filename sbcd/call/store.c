/* Records of a call: decoding, encoding, and putting them on the way. */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "sbcd/base/log.h"
#include "sbcd/base/pool.h"
#include "sbcd/call/b2bua_int.h"
#include "sbcd/record/record.h"

static int load(uint8_t kind, const struct blob *b, void *out)
{
	if (!b->data)
		return -ENOENT;
	return record_decode(kind, b->data, b->size, out);
}

static int store(struct b2bua *b, uint8_t kind, struct blob *at, const void *in)
{
	int err;

	buf_reset(&b->encode);
	err = record_encode(kind, in, &b->encode);
	if (!err && b->encode.failed)
		err = -ENOMEM;
	if (err)
		return err;
	if (at->data && at->size == b->encode.size &&
	    !memcmp(at->data, b->encode.data, at->size))
		return 0;
	err = blob_set(at, b->encode.data, b->encode.size);
	if (!err)
		at->dirty = true;
	return err;
}

int call_load(const struct call *c, struct rec_call *out)
{
	return load(REC_CALL, &c->value, out);
}

int call_store(struct call *c, const struct rec_call *in)
{
	int err = store(c->owner, REC_CALL, &c->value, in);

	if (err)
		return err;
	c->state = in->state;
	c->max_deadline_ms = in->max_duration_deadline_ms;
	return 0;
}

int leg_load(const struct leg *l, struct rec_dialog *out)
{
	return load(REC_DIALOG, &l->value, out);
}

int leg_store(struct leg *l, const struct rec_dialog *in)
{
	int err = leg_hash(l, in);

	if (!err)
		err = store(l->call->owner, REC_DIALOG, &l->value, in);
	if (!err)
		l->offer_due = in->offer_due;
	return err;
}

int stream_load(const struct call *c, unsigned sub, struct rec_media *out)
{
	if (sub >= c->streams_len)
		return -ENOENT;
	return load(REC_MEDIA, &c->streams[sub], out);
}

static int grow_streams(struct call *c, unsigned len)
{
	struct blob *grown;

	if (len > c->streams_cap) {
		grown = pool_alloc(len * sizeof(*grown));
		if (!grown)
			return -ENOMEM;
		if (c->streams_len)
			memcpy(grown, c->streams,
			       c->streams_len * sizeof(*grown));
		pool_free(c->streams, c->streams_cap * sizeof(*grown));
		c->streams = grown;
		c->streams_cap = (uint8_t)len;
	}
	for (; c->streams_len < len; c->streams_len++)
		c->streams[c->streams_len] = (struct blob){0};
	return 0;
}

static void note_old_keys(struct call *c, const struct rec_media *m)
{
	for (unsigned i = 0; i < m->keys_len && i < REC_KEYS_MAX; i++) {
		uint64_t until = m->keys[i].until_ms;

		if (m->keys[i].use == KEY_RX_OLD &&
		    (!c->keys_deadline_ms || until < c->keys_deadline_ms))
			c->keys_deadline_ms = until ? until : 1;
	}
}

int stream_store(struct call *c, unsigned sub, const struct rec_media *in)
{
	struct rec_media old;
	bool had;
	int err;

	if (sub >= CALL_STREAMS_MAX)
		return -ENOSPC;
	if (sub >= c->streams_len) {
		err = grow_streams(c, sub + 1);
		if (err)
			return err;
	}
	had = !stream_load(c, sub, &old);
	err = store(c->owner, REC_MEDIA, &c->streams[sub], in);
	if (err)
		return err;
	note_old_keys(c, in);
	/* New before old: a port in both never becomes free. */
	stream_ports(c, in, true);
	if (had)
		stream_ports(c, &old, false);
	return 0;
}

/* ---- putting -------------------------------------------------------------
 */

struct pending {
	struct ha_key key;
	struct blob *blob; /* NULL: the transaction's fields */
	struct txn *txn;
};

enum { PENDING_MAX = 48 };

static void collect(struct call *c, struct pending *list, size_t *len)
{
	size_t n = 0;

	for (unsigned i = 0; i < c->streams_len && n < PENDING_MAX; i++)
		if (c->streams[i].data && c->streams[i].dirty)
			list[n++] = (struct pending){
				.key = {c->id, (uint16_t)i, REC_MEDIA},
				.blob = &c->streams[i]};
	for (unsigned i = 0; i < c->legs_len && n < PENDING_MAX; i++)
		if (c->legs[i]->value.dirty)
			list[n++] = (struct pending){
				.key = {c->id, c->legs[i]->sub, REC_DIALOG},
				.blob = &c->legs[i]->value};
	for (struct txn *t = c->txns; t && n < PENDING_MAX - 1; t = t->next)
		if (t->recorded && t->value.dirty)
			list[n++] = (struct pending){
				.key = {c->id, t->sub, REC_TXN}, .txn = t};
	if (c->value.dirty && c->value.data)
		list[n++] = (struct pending){.key = {c->id, 0, REC_CALL},
					     .blob = &c->value};
	*len = n;
}

static void copy_raw(struct rec_bytes_raw *out, const struct blob *in)
{
	out->size = in->size <= REC_RAW_SIZE ? in->size : 0;
	if (out->size)
		memcpy(out->data, in->data, out->size);
}

static int txn_encode(struct txn *t)
{
	struct b2bua *b = t->call->owner;
	struct rec_txn *r = &b->txn_scratch;
	struct rec_dialog d;
	int err;

	memset(r, 0, offsetof(struct rec_txn, request));
	r->side = t->side;
	r->state = t->state;
	r->transport = t->transport;
	r->leg = t->leg->sub;
	if (t->pair && t->pair->recorded) {
		r->pair = t->pair->sub;
		r->pair_valid = true;
	}
	strcpy(r->method, call_method_name(t->method));
	r->cseq = t->cseq;
	memcpy(r->branch, t->branch, sizeof(r->branch));
	if (!leg_load(t->leg, &d))
		memcpy(r->sip_interface, d.sip_interface,
		       sizeof(r->sip_interface));
	r->peer = t->peer;
	r->last_status = t->last_status;
	r->retransmit_until_ms = t->state == TXN_ANSWERED ? t->until_ms : 0;
	r->delayed_offer = t->delayed;
	r->agreed = t->agreed;
	r->wants_prack = t->wants_prack;
	r->rseq = t->rseq;
	r->unpracked = t->unpracked;
	copy_raw(&r->request, &t->request);
	copy_raw(&r->response, &t->response);
	buf_reset(&b->encode);
	err = record_encode(REC_TXN, r, &b->encode);
	return err ? err : b->encode.failed ? -ENOMEM : 0;
}

static int put(struct b2bua *b, struct pending *p, bool sync, uint64_t token)
{
	const void *value;
	size_t size;
	int err;

	if (p->txn) {
		err = txn_encode(p->txn);
		if (err)
			return err;
		value = b->encode.data;
		size = b->encode.size;
	} else {
		value = p->blob->data;
		size = p->blob->size;
	}
	err = b->ops->put(b->ctx, &p->key, value, size, sync, token);
	if (err)
		return err;
	if (p->txn) {
		p->txn->value.dirty = false;
		p->txn->stored = true;
	} else {
		p->blob->dirty = false;
	}
	return 0;
}

uint64_t store_token(struct b2bua *b)
{
	return ++b->token;
}

void store_txn_dirty(struct txn *t)
{
	t->value.dirty = true;
}

void store_commit(struct call *c, uint64_t token)
{
	struct b2bua *b = c->owner;
	struct pending list[PENDING_MAX];
	bool waits = false;
	size_t len;

	collect(c, list, &len);
	for (size_t i = 0; i < len; i++) {
		bool last = i + 1 == len;
		int err = put(b, &list[i], last, last ? token : 0);

		if (err)
			log_rated(LOG_ERR,
				  "event=record-put result=failed error=%d",
				  -err);
		else if (last)
			waits = true;
	}
	/* Better unreplicated than never sent. */
	if (!waits)
		b->ops->committed(b->ctx, token);
}

void store_flush(struct call *c)
{
	struct b2bua *b = c->owner;
	struct pending list[PENDING_MAX];
	size_t len;

	collect(c, list, &len);
	for (size_t i = 0; i < len; i++)
		if (put(b, &list[i], false, 0))
			log_rated(LOG_ERR, "event=record-put result=failed");
}

static void del(struct b2bua *b, uint64_t id, uint16_t sub, uint8_t kind)
{
	struct ha_key key = {id, sub, kind};

	if (b->ops->del(b->ctx, &key))
		log_rated(LOG_ERR, "event=record-delete result=failed");
}

void store_txn_delete(struct txn *t)
{
	del(t->call->owner, t->call->id, t->sub, REC_TXN);
}

void store_delete(struct call *c)
{
	struct b2bua *b = c->owner;

	/* The call last: what is left of it names what is to be cleaned. */
	for (struct txn *t = c->txns; t; t = t->next)
		if (t->stored)
			store_txn_delete(t);
	for (unsigned i = 0; i < c->legs_len; i++)
		del(b, c->id, c->legs[i]->sub, REC_DIALOG);
	for (unsigned i = 0; i < c->streams_len; i++)
		if (c->streams[i].data)
			del(b, c->id, (uint16_t)i, REC_MEDIA);
	del(b, c->id, 0, REC_CALL);
}

void store_attempt(struct b2bua *b, uint64_t id, const struct rec_call *r,
		   const struct rec_dialog *d)
{
	const struct {
		uint8_t kind;
		const void *rec;
	} parts[] = {{REC_DIALOG, d}, {REC_CALL, r}};
	int err = 0;

	for (unsigned i = 0; i < 2 && !err; i++) {
		struct ha_key key = {id, 0, parts[i].kind};

		buf_reset(&b->encode);
		err = record_encode(key.kind, parts[i].rec, &b->encode);
		if (!err)
			err = b->ops->put(b->ctx, &key, b->encode.data,
					  b->encode.size, false, 0);
	}
	if (err)
		log_rated(LOG_WARNING,
			  "event=attempt-unrecorded call=%016llx error=%d",
			  (unsigned long long)id, -err);
	del(b, id, 0, REC_DIALOG);
	del(b, id, 0, REC_CALL);
}
