/* A call detail record out of the records of its call. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include "sbcd/keeper/cdr.h"
#include "sbcd/record/record.h"

static void copy(char *out, size_t size, const char *in)
{
	snprintf(out, size, "%.*s", (int)size - 1, in);
}

static struct rec_cdr_leg *leg_of(struct rec_cdr *r, uint16_t leg)
{
	for (unsigned i = 0; i < r->legs_len; i++)
		if (r->legs[i].leg == leg)
			return &r->legs[i];
	return NULL;
}

static void add_call(struct rec_cdr *r, const struct rec_call *call,
		     const struct config *config)
{
	r->start_ms = call->created_ms;
	r->ringing_ms = call->ringing_ms;
	r->answer_ms = call->answered_ms;
	r->end_ms = call->ending_ms;
	r->status = call->answered_ms ? 200 : call->end_cause;
	r->ended_by = call->ended_by_leg;
	r->epoch = call->epoch;
	copy(r->reason, sizeof(r->reason), call->end_text);
	copy(r->calling, sizeof(r->calling), call->from_uri);
	copy(r->called, sizeof(r->called), call->to_uri);
	for (unsigned i = 0; i < call->legs_len && i < REC_LEGS_MAX; i++) {
		const struct rec_call_leg *from = &call->legs[i];
		struct rec_cdr_leg *l = &r->legs[r->legs_len++];
		const struct config_sip_interface *sif = NULL;

		l->leg = from->leg;
		l->role = from->role;
		copy(l->sip_interface, sizeof(l->sip_interface),
		     from->sip_interface);
		copy(l->agent, sizeof(l->agent), from->agent);
		if (config)
			sif = config_sip_interface_find(config,
							from->sip_interface);
		if (sif)
			copy(l->realm, sizeof(l->realm), sif->realm->name);
	}
}

static void add_dialog(struct rec_cdr *r, uint16_t sub,
		       const struct rec_dialog *d)
{
	struct rec_cdr_leg *l = leg_of(r, sub);

	if (!l)
		return;
	l->transport = d->transport;
	l->peer = d->peer;
	copy(l->call_id, sizeof(l->call_id), d->call_id);
}

static void add_streams(struct rec_cdr *r, uint16_t sub,
			const struct rec_media *m)
{
	for (unsigned i = 0; i < m->flows_len && i < REC_FLOWS_MAX; i++) {
		struct rec_cdr_media *to = &r->media[r->media_len];

		if (r->media_len == REC_CDR_MEDIA_MAX)
			return;
		/* Without a port nothing can have come. */
		if (!m->flows[i].local.family)
			continue;
		r->media_len++;
		to->stream = sub;
		to->flow = (uint8_t)i;
		to->leg = m->flows[i].leg;
		to->media = m->media;
	}
}

void cdr_add_media(struct rec_cdr *r, uint16_t sub, const struct rec_mstate *m,
		   bool final)
{
	for (unsigned i = 0; i < r->media_len; i++) {
		struct rec_cdr_media *to = &r->media[i];
		const struct rec_mflow *f;

		if (to->stream != sub)
			continue;
		to->final |= final;
		if (!m || to->flow >= m->flows_len)
			continue;
		f = &m->flows[to->flow];
		to->payload_type = f->payload_type;
		to->mos_x100 = f->mos_x100;
		to->jitter_us = f->jitter_us;
		to->gap_ms = f->gap_ms;
		to->rx_packets = f->rx_packets;
		to->rx_bytes = f->rx_bytes;
		to->rx_lost = f->rx_lost;
		to->tx_packets = f->tx_packets;
		to->tx_bytes = f->tx_bytes;
	}
}

bool cdr_media_final(const struct rec_cdr *r)
{
	for (unsigned i = 0; i < r->media_len; i++)
		if (!r->media[i].final)
			return false;
	return true;
}

static void add_item(struct rec_cdr *r, const struct ha_item *item,
		     union rec_any *any)
{
	uint8_t kind = item->key.kind;

	if (item->deleted ||
	    (kind != REC_DIALOG && kind != REC_MEDIA && kind != REC_MSTATE) ||
	    record_decode(kind, item->value, item->size, any))
		return;
	if (kind == REC_DIALOG)
		add_dialog(r, item->key.sub, &any->dialog);
	else if (kind == REC_MEDIA)
		add_streams(r, item->key.sub, &any->media);
	else
		cdr_add_media(r, item->key.sub, &any->mstate, false);
}

void cdr_compose(struct rec_cdr *out, const struct ha_store *store,
		 const struct config *config, uint64_t id,
		 const struct rec_call *call)
{
	union rec_any *any = malloc(sizeof(*any));
	struct ha_key after = {.id = id};
	struct ha_item item;
	bool more;

	memset(out, 0, sizeof(*out));
	out->state = CDR_OPEN;
	add_call(out, call, config);
	/* {id, 0, 0} is no record of ours: kinds start at 1. In order of key
	 * a stream's media record comes before its state. */
	more = any && ha_store_next(store, id ? &after : NULL, &item);
	while (more && item.key.id == id) {
		struct ha_key key = item.key;

		add_item(out, &item, any);
		more = ha_store_next(store, &key, &item);
	}
	free(any);
}
