/*
 * cpg_event - what the CPG thread hands to the main thread, in order.
 *
 * Layer: hasync, private to cpg.c. No locks: a list belongs to whoever holds
 * it.
 */
#ifndef HASYNC_CPG_EVENT_H
#define HASYNC_CPG_EVENT_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include "hasync/role.h"

enum cpg_event_type { EV_DELIVER, EV_MEMBERS, EV_QUORUM, EV_WITNESS, EV_LINK };

struct cpg_event {
	struct cpg_event *next;
	enum cpg_event_type type;
	/* MEMBERS; self is quorate, votes, up in the others. */
	bool self, peer;
	uint8_t from;
	enum ha_peer_left left;
	uint64_t ring_seq;
	const char *why;
	size_t size;
	uint8_t data[];
};

struct cpg_event_list {
	struct cpg_event *first, **last;
	size_t frames;
};

void cpg_event_list_init(struct cpg_event_list *l);
void cpg_event_list_add(struct cpg_event_list *l, struct cpg_event *ev);
void cpg_event_list_free(struct cpg_event_list *l);
/* Never fails: aborts without memory. */
struct cpg_event *cpg_event_new(enum cpg_event_type type, const void *data,
				size_t size);

#endif
