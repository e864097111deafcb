#include "sbcd/keeper/pulse.h"

#include <string.h>

static void begin(struct pulse *p, const struct counters *c, pid_t pid)
{
	memset(p, 0, sizeof(*p));
	p->pid = pid;
	for (unsigned i = 0; i < COUNTERS_THREADS_MAX; i++)
		p->threads[i].beats = counters_pulses(c, i);
}

static bool hangs(struct pulse_thread *t, uint64_t beats, bool on_time)
{
	if (beats != t->beats) {
		t->beats = beats;
		t->heard = true;
		t->silent = 0;
		return false;
	}
	if (!on_time)
		t->silent = 0;
	else if (t->heard)
		t->silent++;
	return t->silent >= PULSE_SILENT_TURNS;
}

int pulse_turn(struct pulse *p, const struct counters *c, pid_t pid,
	       uint64_t now_ms)
{
	bool on_time = p->turn_ms && now_ms - p->turn_ms <= PULSE_TURN_MAX_MS;
	int found = -1;

	if (pid != p->pid)
		begin(p, c, pid);
	p->turn_ms = now_ms;
	if (!pid)
		return -1;
	for (unsigned i = 0; i < COUNTERS_THREADS_MAX; i++)
		if (hangs(&p->threads[i], counters_pulses(c, i), on_time))
			found = (int)i;
	return found;
}
