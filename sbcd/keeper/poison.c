/*
 * What killed a worker: inputs are quarantined on both nodes, calls whose
 * records cannot be built are buried.
 */
#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <string.h>
#include "sbcd/base/clock.h"
#include "sbcd/base/log.h"
#include "sbcd/keeper/keeper_int.h"
#include "sbcd/record/record.h"

enum { POISON_MS = 300000 };

static struct ha_key slot_key(unsigned slot)
{
	struct ha_key key = {.sub = (uint16_t)slot, .kind = REC_QUARANTINE};

	return key;
}

static bool slot_get(struct keeper *k, unsigned slot, struct rec_quarantine *r)
{
	struct ha_key key = slot_key(slot);
	struct ha_item item;

	return ha_store_get(ha_engine_store(k->engine), &key, &item) &&
	       !item.deleted &&
	       !record_decode(REC_QUARANTINE, item.value, item.size, r);
}

/* The same input again, a free slot, or the oldest. */
static unsigned slot_for(struct keeper *k, const struct busy_input *what)
{
	uint64_t oldest_ms = UINT64_MAX;
	unsigned best = 0;

	for (unsigned i = 0; i < REC_QUARANTINE_MAX; i++) {
		struct rec_quarantine r;
		bool used = slot_get(k, i, &r);

		if (used && r.hash == what->hash && r.size == what->size)
			return i;
		if (!used)
			r.until_ms = 0;
		if (r.until_ms < oldest_ms) {
			oldest_ms = r.until_ms;
			best = i;
		}
	}
	return best;
}

static int put(struct keeper *k, unsigned slot, const struct rec_quarantine *r)
{
	struct ha_key key = slot_key(slot);
	struct buf out;
	int err;

	buf_init(&out, HA_VALUE_MAX_BYTES);
	err = record_encode(REC_QUARANTINE, r, &out);
	if (!err)
		err = ha_engine_put(k->engine, &key, out.data, out.size, 0, 0);
	buf_finish(&out);
	if (!err)
		hub_applied(k->hub, &key);
	return err;
}

void poison_input(struct keeper *k, const void *what, size_t size)
{
	struct rec_quarantine r = {
		.until_ms = clock_pair_ms() + POISON_MS,
	};
	char text[ADDR_TEXT_SIZE];
	struct busy_input in;
	int err = -EPERM;

	if (size != sizeof(in))
		return;
	memcpy(&in, what, sizeof(in));
	r.hash = in.hash;
	r.size = in.size;
	r.source = in.source;
	snprintf(r.node, sizeof(r.node), "%.63s", k->node.name);
	if (role_serves(k))
		err = put(k, slot_for(k, &in), &r);
	log_err("worker=sip event=poisoned-by-input bytes=%u source=%s "
		"quarantine-ms=%d error=\"%s\"",
		in.size, addr_format(&in.source, text, sizeof(text)),
		(int)POISON_MS, err ? strerror(-err) : "none");
}

void poison_turn(struct keeper *k)
{
	uint64_t now_ms = clock_pair_ms();

	if (k->roles.role != HA_ROLE_ACTIVE)
		return;
	for (unsigned i = 0; i < REC_QUARANTINE_MAX; i++) {
		struct ha_key key = slot_key(i);
		struct rec_quarantine r;

		/* A wrong record must not keep it for ever. */
		if (!slot_get(k, i, &r) ||
		    (r.until_ms > now_ms && r.until_ms - now_ms <= POISON_MS))
			continue;
		if (!ha_engine_delete(k->engine, &key, 0, 0))
			hub_applied(k->hub, &key);
	}
}
