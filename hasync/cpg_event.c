#include "hasync/cpg_event.h"

#include <stdlib.h>
#include <string.h>

void cpg_event_list_init(struct cpg_event_list *l)
{
	l->first = NULL;
	l->last = &l->first;
	l->frames = 0;
}

void cpg_event_list_add(struct cpg_event_list *l, struct cpg_event *ev)
{
	ev->next = NULL;
	*l->last = ev;
	l->last = &ev->next;
	if (ev->type == EV_DELIVER)
		l->frames++;
}

void cpg_event_list_free(struct cpg_event_list *l)
{
	while (l->first) {
		struct cpg_event *ev = l->first;

		l->first = ev->next;
		free(ev);
	}
	cpg_event_list_init(l);
}

struct cpg_event *cpg_event_new(enum cpg_event_type type, const void *data,
				size_t size)
{
	struct cpg_event *ev = malloc(sizeof(*ev) + size);

	/* A hole in the group's order cannot be mended here. */
	if (!ev)
		abort();
	memset(ev, 0, sizeof(*ev));
	ev->type = type;
	ev->size = size;
	if (size)
		memcpy(ev->data, data, size);
	return ev;
}
