/*
 * The hub with a real store; links, engine and keeper are noted down.
 */
#ifndef TEST_HUB_FAKE_H
#define TEST_HUB_FAKE_H

#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <cmocka.h>
#include "hasync/engine.h"
#include "sbcd/keeper/hub.h"
#include "sbcd/record/kinds.h"

#define UNUSED __attribute__((unused))

enum { SENT_MAX = 8192 };

/* A keeper without processes: the store is real, the rest is noted down. */
struct fake {
	struct hub *hub;
	struct ha_store *store;
	struct link_message sent[HUB_WORKERS][SENT_MAX];
	size_t sent_len[HUB_WORKERS];
	int send_error[HUB_WORKERS];
	int put_error;
	bool commit_at_once;
	uint64_t last_token;
	uint64_t generation;
	int replayed[HUB_WORKERS];
	int refused;
};

static int fake_put(void *ctx, const struct ha_key *key, const void *value,
		    size_t size, unsigned flags, uint64_t token)
{
	struct fake *f = ctx;
	struct ha_version v = {.epoch = 1, .generation = ++f->generation};

	if (f->put_error)
		return f->put_error;
	assert_int_equal(ha_store_put(f->store, key, &v, value, size), 1);
	if (flags & HA_PUT_SYNC) {
		f->last_token = token;
		if (f->commit_at_once)
			hub_committed(f->hub, token, false);
	}
	return 0;
}

static int fake_del(void *ctx, const struct ha_key *key, unsigned flags,
		    uint64_t token)
{
	struct fake *f = ctx;
	struct ha_version v = {.epoch = 1, .generation = ++f->generation};

	if (f->put_error)
		return f->put_error;
	assert_int_equal(ha_store_delete(f->store, key, &v, 0), 1);
	if (flags & HA_PUT_SYNC)
		f->last_token = token;
	return 0;
}

static int fake_send(void *ctx, enum hub_worker w, const struct link_message *m)
{
	struct fake *f = ctx;

	if (f->send_error[w])
		return f->send_error[w];
	assert_true(f->sent_len[w] < SENT_MAX);
	f->sent[w][f->sent_len[w]++] = *m;
	return 0;
}

static void fake_replayed(void *ctx, enum hub_worker w)
{
	((struct fake *)ctx)->replayed[w]++;
}

static void fake_refused(void *ctx, enum hub_worker w, const struct ha_key *key,
			 const char *why)
{
	((struct fake *)ctx)->refused++;
}

static const struct hub_ops ops = {
	.put = fake_put,
	.del = fake_del,
	.send = fake_send,
	.replayed = fake_replayed,
	.refused = fake_refused,
};

static int setup(void **state)
{
	struct fake *f = calloc(1, sizeof(*f));

	assert_non_null(f);
	assert_int_equal(ha_store_create(&f->store), 0);
	assert_int_equal(hub_create(&f->hub, f->store, &ops, f), 0);
	*state = f;
	return 0;
}

static int teardown(void **state)
{
	struct fake *f = *state;

	hub_destroy(f->hub);
	ha_store_destroy(f->store);
	free(f);
	return 0;
}

static struct link_message put(uint64_t id, uint8_t kind, uint64_t token)
{
	struct link_message m = {
		.type = LINK_PUT,
		.flags = token ? LINK_F_SYNC : 0,
		.token = token,
		.key = {.id = id, .kind = kind},
		.value = "value",
		.size = 5,
	};

	return m;
}

static void from(struct fake *f, enum hub_worker w, struct link_message m,
		 uint64_t now_ms)
{
	hub_from_worker(f->hub, w, &m, now_ms);
}

static void ack(struct fake *f, enum hub_worker w, uint64_t seq)
{
	struct link_message m = {.type = LINK_APPLIED, .token = seq};

	hub_from_worker(f->hub, w, &m, 0);
}

/* Both workers attached, replays of an empty store over. */
static void attach_both(struct fake *f)
{
	hub_attach(f->hub, HUB_SIP, HUB_REPLAY_ALL);
	hub_attach(f->hub, HUB_MEDIA, HUB_REPLAY_ALL);
	hub_pump(f->hub, 0);
	assert_int_equal(f->replayed[HUB_SIP], 1);
	assert_int_equal(f->replayed[HUB_MEDIA], 1);
	f->sent_len[HUB_SIP] = f->sent_len[HUB_MEDIA] = 0;
}

static UNUSED size_t committed(const struct fake *f, uint64_t token,
			       bool *timed_out)
{
	size_t n = 0;

	for (size_t i = 0; i < f->sent_len[HUB_SIP]; i++) {
		const struct link_message *m = &f->sent[HUB_SIP][i];

		if (m->type != LINK_COMMITTED || m->token != token)
			continue;
		n++;
		*timed_out = m->flags & LINK_F_TIMED_OUT;
	}
	return n;
}

static UNUSED size_t records(const struct fake *f, enum hub_worker w)
{
	size_t n = 0;

	for (size_t i = 0; i < f->sent_len[w]; i++)
		n += f->sent[w][i].type == LINK_RECORD;
	return n;
}

#define T(f) cmocka_unit_test_setup_teardown(f, setup, teardown)

#endif
