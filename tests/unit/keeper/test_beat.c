#include <errno.h>
#include <poll.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdatomic.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>
#include <cmocka.h>
#include "sbcd/keeper/beat.h"
#include "sbcd/keeper/guard.h"

/* The peer's end of the only path is in the test's hand. */
struct fixture {
	struct beat *beat;
	int peer;
	uint8_t key[HA_BEAT_KEY_SIZE];
	_Atomic int renewals;
	_Atomic int renew_error;
	int fds[2];
};

static int renew(void *ctx, unsigned lease_ms)
{
	struct fixture *f = ctx;

	f->renewals++;
	return f->renew_error;
}

static void nap(long ms)
{
	struct timespec t = {.tv_nsec = ms * 1000000};

	nanosleep(&t, NULL);
}

static struct fixture fixture;

static int setup(void **state)
{
	struct fixture *f = &fixture;
	struct beat_params p = {
		.node = 1,
		.peer_node = 2,
		.boot_id = 77,
		.interval_ms = 5,
		.stall_ms = 60,
		.lease_ms = 25,
		.renew = renew,
		.ctx = f,
		.fds_len = 1,
	};

	memset(f, 0, sizeof(*f));
	memset(p.key, 7, sizeof(p.key));
	memcpy(f->key, p.key, sizeof(f->key));
	assert_int_equal(
		socketpair(AF_UNIX, SOCK_DGRAM | SOCK_NONBLOCK, 0, f->fds), 0);
	p.fds[0] = f->fds[0];
	f->peer = f->fds[1];
	assert_int_equal(beat_create(&f->beat, &p), 0);
	*state = f;
	return 0;
}

static int teardown(void **state)
{
	struct fixture *f = *state;

	beat_destroy(f->beat);
	close(f->fds[0]);
	close(f->fds[1]);
	return 0;
}

static int heard(struct fixture *f, struct ha_beat *last)
{
	uint8_t in[256];
	ssize_t n;
	int count = 0;

	while ((n = recv(f->peer, in, sizeof(in), 0)) > 0) {
		assert_int_equal(ha_beat_decode(last, f->key, in, (size_t)n),
				 0);
		count++;
	}
	return count;
}

static void say(struct fixture *f, struct ha_beat beat)
{
	uint8_t out[HA_BEAT_SIZE];

	assert_int_equal(ha_beat_encode(&beat, f->key, out), 0);
	assert_int_equal(send(f->peer, out, sizeof(out), 0), sizeof(out));
}

static struct beat_view view_after(struct fixture *f, long ms)
{
	struct beat_view v;

	nap(ms);
	beat_get_view(f->beat, &v);
	return v;
}

static void beats_while_the_loop_ticks(void **state)
{
	struct fixture *f = *state;
	struct ha_beat beat;
	struct beat_view v;

	beat_announce(f->beat, 4, 90, 0x301);
	for (int i = 0; i < 10; i++) {
		beat_tick(f->beat);
		nap(10);
	}
	assert_true(heard(f, &beat) >= 10);
	assert_int_equal(beat.node, 1);
	assert_int_equal(beat.role, 4);
	assert_int_equal(beat.health, 90);
	assert_int_equal(beat.epoch, 0x301);
	assert_int_equal(beat.boot_id, 77);
	/* The main loop hangs: silence, and no renewal. */
	beat_hold(f->beat, true);
	nap(120);
	heard(f, &beat);
	f->renewals = 0;
	v = view_after(f, 60);
	assert_int_equal(heard(f, &beat), 0);
	assert_int_equal(f->renewals, 0);
	assert_true(v.stalled);
	assert_int_equal(v.stalls, 1);
	beat_tick(f->beat);
	nap(20);
	assert_true(heard(f, &beat) > 0);
}

static void renews_only_while_told(void **state)
{
	struct fixture *f = *state;

	nap(20);
	assert_int_equal(f->renewals, 0);
	beat_hold(f->beat, true);
	nap(40);
	assert_true(f->renewals >= 3);
	beat_hold(f->beat, false);
	nap(10);
	f->renewals = 0;
	nap(20);
	assert_int_equal(f->renewals, 0);
}

static void a_lapsed_lease_is_reported_once(void **state)
{
	struct fixture *f = *state;
	struct pollfd pfd = {.fd = beat_event_fd(f->beat), .events = POLLIN};
	struct beat_view v;

	f->renew_error = -ENOENT;
	beat_hold(f->beat, true);
	assert_int_equal(poll(&pfd, 1, 500), 1);
	beat_event_clear(f->beat);
	v = view_after(f, 20);
	assert_true(v.lapsed);
	/* It does not hold any more until it is told again. */
	assert_int_equal(v.renewals, 1);
	f->renew_error = 0;
	beat_hold(f->beat, true);
	v = view_after(f, 20);
	assert_false(v.lapsed);
	assert_true(v.renewals >= 2);
}

static void hears_the_peer_once(void **state)
{
	struct fixture *f = *state;
	struct ha_beat beat = {
		.type = HA_BEAT_ALIVE,
		.node = 2,
		.role = 2,
		.boot_id = 5,
		.epoch = 9,
		.sequence = 1,
	};
	struct beat_view v;

	say(f, beat);
	v = view_after(f, 10);
	assert_int_equal(v.received, 1);
	assert_int_equal(v.peer_role, 2);
	assert_int_equal(v.peer_boot_id, 5);
	assert_true(v.last_heard_ms[0] > 0);
	/* Replayed, of another node, of us, of another key. */
	say(f, beat);
	beat.sequence = 2;
	beat.node = 1;
	say(f, beat);
	beat.node = 2;
	f->key[0] ^= 1;
	say(f, beat);
	f->key[0] ^= 1;
	send(f->peer, "garbage", 7, 0);
	v = view_after(f, 10);
	assert_int_equal(v.received, 1);
	assert_int_equal(v.refused, 4);
}

static void released_ends_a_boot(void **state)
{
	struct fixture *f = *state;
	struct ha_beat beat = {
		.type = HA_BEAT_ALIVE,
		.node = 2,
		.role = 4,
		.boot_id = 5,
		.sequence = 1000,
	};
	struct ha_beat word = {
		.type = HA_BEAT_RELEASED,
		.node = 2,
		.boot_id = 5,
		.sequence = GUARD_SEQUENCE_BASE,
	};
	struct beat_view v;

	say(f, beat);
	v = view_after(f, 10);
	beat_event_clear(f->beat);
	say(f, word);
	v = view_after(f, 10);
	assert_int_equal(v.released_boot_id, 5);
	/* A beat of the dead that was under way brings nobody back. */
	beat.sequence = 1001;
	say(f, beat);
	v = view_after(f, 10);
	assert_int_equal(v.refused, 1);
	/* The next boot is heard. */
	beat.boot_id = 6;
	beat.sequence = 1;
	say(f, beat);
	v = view_after(f, 10);
	assert_int_equal(v.peer_boot_id, 6);
	assert_true(v.released_boot_id != v.peer_boot_id);
}

#define T(f) cmocka_unit_test_setup_teardown(f, setup, teardown)

int main(void)
{
	const struct CMUnitTest tests[] = {
		T(beats_while_the_loop_ticks),
		T(renews_only_while_told),
		T(a_lapsed_lease_is_reported_once),
		T(hears_the_peer_once),
		T(released_ends_a_boot),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
