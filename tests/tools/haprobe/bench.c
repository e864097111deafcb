/*
 * Two engines back to back: CPU seconds for 200,000 puts of 500 bytes over
 * 20,000 keys at one flush per 40 puts (20,000 records/s in turns of 2 ms),
 * then for a snapshot of 100,000 records.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>

#include "hasync/engine.h"
#include "hasync/wire.h"
#include "tests/tools/haprobe/haprobe.h"

enum { VALUE_SIZE = 500, PUTS = 200000, PER_TURN = 40, RECORDS = 100000 };

struct end {
	struct ha_engine *e;
	struct end *peer;
	struct frame *in, **in_last;
	bool in_sync;
};

struct frame {
	struct frame *next;
	size_t size;
	uint8_t data[];
};

static int on_send(void *ctx, const void *data, size_t size)
{
	struct end *peer = ((struct end *)ctx)->peer;
	struct frame *f = malloc(sizeof(*f) + size);

	if (!f)
		abort();
	f->next = NULL;
	f->size = size;
	memcpy(f->data, data, size);
	*peer->in_last = f;
	peer->in_last = &f->next;
	return 0;
}

static void on_sync(void *ctx, bool in_sync, const char *why)
{
	((struct end *)ctx)->in_sync = in_sync;
}

static const struct ha_engine_ops ops = {
	.send = on_send,
	.sync_changed = on_sync,
};

static void turn(struct end *ends, uint64_t now_ms)
{
	for (int i = 0; i < 2; i++) {
		struct end *s = &ends[i];

		while (s->in) {
			struct frame *f = s->in;

			s->in = f->next;
			if (!s->in)
				s->in_last = &s->in;
			ha_engine_receive(s->e, (uint8_t)(2 - i), f->data,
					  f->size);
			free(f);
		}
		ha_engine_flush(s->e, now_ms);
	}
}

static double cpu_s(void)
{
	struct rusage ru;

	getrusage(RUSAGE_SELF, &ru);
	return (double)(ru.ru_utime.tv_sec + ru.ru_stime.tv_sec) +
	       (double)(ru.ru_utime.tv_usec + ru.ru_stime.tv_usec) / 1e6;
}

static void put(struct ha_engine *e, uint64_t id, uint64_t n)
{
	struct ha_key key = {.id = id * 0x9e3779b97f4a7c15u, .kind = 1};
	uint8_t value[VALUE_SIZE];

	memset(value, (int)n, sizeof(value));
	if (ha_engine_put(e, &key, value, sizeof(value),
			  n % 8 ? 0 : HA_PUT_SYNC, n))
		abort();
}

static void create(struct end *ends)
{
	for (int i = 0; i < 2; i++) {
		struct ha_engine_params p = {
			.node = (uint8_t)(i + 1),
			.boot_id = (uint64_t)(i + 1),
			.commit_timeout_ms = 20,
			.batch_ms = 2,
			.batch_bytes = 32768,
			.status_interval_ms = 500,
			.snapshot_bytes_per_s = 1u << 30,
			.missed_acks_max = 3,
			.ops = &ops,
			.ctx = &ends[i],
		};

		ends[i] = (struct end){.peer = &ends[1 - i]};
		ends[i].in_last = &ends[i].in;
		if (ha_engine_create(&ends[i].e, &p))
			abort();
	}
}

int haprobe_bench(void)
{
	struct end ends[2];
	struct ha_engine *a, *b;
	uint64_t now = 1, turns = 0;
	double start, puts_s, snapshot_s;
	bool equal;

	create(ends);
	a = ends[0].e;
	b = ends[1].e;
	ha_engine_set_role(a, HA_ROLE_BECOMING_ACTIVE, 1);
	ha_engine_set_role(a, HA_ROLE_ACTIVE, 1);
	for (uint64_t i = 0; i < RECORDS; i++)
		put(a, i, i);
	start = cpu_s();
	for (int i = 0; i < 2; i++)
		ha_engine_membership(ends[i].e, true, true);
	ha_engine_set_role(b, HA_ROLE_SYNCING, 1);
	while (!ends[0].in_sync && turns++ < 10000)
		turn(ends, ++now);
	snapshot_s = cpu_s() - start;
	start = cpu_s();
	for (uint64_t i = 0; i < PUTS; i++) {
		put(a, i % 20000, i);
		if (i % PER_TURN == PER_TURN - 1)
			turn(ends, now += 2);
	}
	turn(ends, ++now);
	turn(ends, now += 20);
	puts_s = cpu_s() - start;
	equal = ends[0].in_sync && ha_store_digest(ha_engine_store(a)) ==
					   ha_store_digest(ha_engine_store(b));
	printf("{\"snapshot_records\":%d,\"snapshot_cpu_s\":%.3f,"
	       "\"snapshot_turns\":%llu,\"puts\":%d,\"puts_cpu_s\":%.3f,"
	       "\"us_per_put_both_ends\":%.2f,\"cpu_share_at_20k_per_s\":%.3f,"
	       "\"equal\":%s}\n",
	       RECORDS, snapshot_s, (unsigned long long)turns, PUTS, puts_s,
	       puts_s * 1e6 / PUTS, puts_s / PUTS * 20000,
	       equal ? "true" : "false");
	ha_engine_destroy(a);
	ha_engine_destroy(b);
	return equal ? 0 : 1;
}
