#include "sbcd/keeper/timeline.h"

#include <stdio.h>
#include "sbcd/base/clock.h"

void timeline_add(struct timeline *t, const char *what, const char *reason)
{
	struct timeline_entry *e = &t->entries[t->next];

	e->wall_ms = clock_wall_ms();
	e->mono_us = clock_mono_ns() / 1000;
	snprintf(e->what, sizeof(e->what), "%s", what);
	snprintf(e->reason, sizeof(e->reason), "%s", reason);
	t->next = (t->next + 1) % TIMELINE_LEN;
	if (t->len < TIMELINE_LEN)
		t->len++;
}

json_t *timeline_to_json(const struct timeline *t)
{
	json_t *list = json_array();
	uint64_t before_us = 0;

	for (size_t i = 0; i < t->len; i++) {
		size_t at =
			(t->next + TIMELINE_LEN - t->len + i) % TIMELINE_LEN;
		const struct timeline_entry *e = &t->entries[at];
		double after_ms =
			before_us ? (double)(e->mono_us - before_us) / 1000 : 0;

		before_us = e->mono_us;
		json_array_append_new(list,
				      json_pack("{s:I,s:f,s:s,s:s}", "at-ms",
						(json_int_t)e->wall_ms,
						"after-ms", after_ms, "what",
						e->what, "reason", e->reason));
	}
	return list;
}
