#include <arpa/inet.h>
#include <errno.h>
#include <netinet/in.h>
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

/*
 * The peer's ends of the paths are in the test's hand: the first one is
 * connected, on the second one datagrams are addressed.
 */
struct fixture {
	struct beat *beat;
	int peer;
	int side_peer, side;
	struct sockaddr_in side_addr; /* of `side` */
	uint8_t key[HA_BEAT_KEY_SIZE];
	_Atomic int renewals;
	_Atomic int renew_error;
	int fds[2];
	struct beat *slow; /* of one test */
	uint64_t said_before;
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

static int udp(struct sockaddr_in *bound)
{
	struct sockaddr_in any = {.sin_family = AF_INET};
	int fd = socket(AF_INET, SOCK_DGRAM | SOCK_NONBLOCK, 0);
	socklen_t len = sizeof(*bound);

	any.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
	assert_true(fd >= 0);
	assert_int_equal(bind(fd, (struct sockaddr *)&any, sizeof(any)), 0);
	assert_int_equal(getsockname(fd, (struct sockaddr *)bound, &len), 0);
	return fd;
}

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
		.paths_len = 2,
	};

	memset(f, 0, sizeof(*f));
	memset(p.key, 7, sizeof(p.key));
	memcpy(f->key, p.key, sizeof(f->key));
	assert_int_equal(
		socketpair(AF_UNIX, SOCK_DGRAM | SOCK_NONBLOCK, 0, f->fds), 0);
	p.paths[0].fd = f->fds[0];
	f->side = udp(&f->side_addr);
	f->side_peer = udp((struct sockaddr_in *)&p.paths[1].to);
	p.paths[1].to_len = sizeof(struct sockaddr_in);
	p.paths[1].fd = f->side;
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
	close(f->side);
	close(f->side_peer);
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

static void say_beside(struct fixture *f, const void *data, size_t size)
{
	assert_int_equal(sendto(f->side_peer, data, size, 0,
				(struct sockaddr *)&f->side_addr,
				sizeof(f->side_addr)),
			 size);
}

/* Every look at what it waits for; a test that hangs is a red one. */
static struct beat_view look(struct fixture *f)
{
	static int looks;

	assert_true(looks++ < 4000);
	return view_after(f, 5);
}

static void each_path_has_its_window_and_counters(void **state)
{
	struct fixture *f = *state;
	struct ha_beat beat = {
		.type = HA_BEAT_ALIVE,
		.node = 2,
		.boot_id = 5,
		.sequence = 1,
	};
	uint8_t out[HA_BEAT_SIZE];
	struct beat_view v;

	assert_int_equal(ha_beat_encode(&beat, f->key, out), 0);
	say(f, beat);
	say_beside(f, out, sizeof(out));
	do {
		v = look(f);
	} while (v.received < 2);
	assert_int_equal(v.path_received[0], 1);
	assert_int_equal(v.path_received[1], 1);
	assert_true(v.last_heard_ms[0] && v.last_heard_ms[1]);
	/* Recorded there, played here. */
	say_beside(f, out, sizeof(out));
	do {
		v = look(f);
	} while (!v.refused);
	assert_int_equal(v.path_refused[0], 0);
	assert_int_equal(v.path_refused[1], 1);
	assert_int_equal(v.path_received[1], 1);
}

/* What is hostile costs a bounded time a beat, and only its own path. */
static void a_flood_waits_for_the_beat(void **state)
{
	enum { FLOOD = 6 * BEAT_PATH_BUDGET };
	struct fixture *f = *state;
	struct ha_beat beat = {.type = HA_BEAT_ALIVE, .node = 2, .boot_id = 5};
	uint8_t in[256];
	struct beat_view v;
	int beats = 0;

	nap(20);
	while (recv(f->side_peer, in, sizeof(in), 0) > 0)
		continue;
	for (int i = 0; i < FLOOD; i++)
		say_beside(f, "garbage", 7);
	do {
		beat_tick(f->beat);
		beat.sequence++;
		say(f, beat);
		v = look(f);
		while (recv(f->side_peer, in, sizeof(in), 0) > 0)
			beats++;
		while (recv(f->peer, in, sizeof(in), 0) > 0)
			continue;
	} while (v.path_refused[1] < FLOOD);
	assert_true(beats >= FLOOD / BEAT_PATH_BUDGET - 1);
	do {
		v = look(f);
	} while (v.path_received[0] < beat.sequence);
	assert_int_equal(v.path_refused[0], 0);
}

static const uint8_t OURS[HA_BEAT_TOKEN_SIZE] = {1, 2, 3};
static const uint8_t THEIRS[HA_BEAT_TOKEN_SIZE] = {4, 5, 6};

static void our_token_ends_the_lease(void **state)
{
	struct fixture *f = *state;
	struct pollfd pfd = {.fd = beat_event_fd(f->beat), .events = POLLIN};
	struct ha_beat beat = {
		.type = HA_BEAT_ALIVE,
		.node = 2,
		.role = 4,
		.boot_id = 5,
		.target = 1,
	};
	struct beat_view v;
	int renewals;

	/* A beat without a token is not one with zeros. */
	beat.sequence = 1;
	beat.target = 0;
	say(f, beat);
	beat_hold(f->beat, true);
	beat_arm(f->beat, OURS);
	/* Another one's, and ours for somebody else. */
	beat.target = 1;
	memcpy(beat.token, THEIRS, sizeof(beat.token));
	beat.sequence = 2;
	say(f, beat);
	memcpy(beat.token, OURS, sizeof(beat.token));
	beat.target = 2;
	beat.sequence = 3;
	say(f, beat);
	do {
		v = look(f);
	} while (v.received < 3 || !f->renewals);
	assert_false(v.fenced);
	beat_event_clear(f->beat);
	beat.target = 1;
	beat.sequence = 4;
	say(f, beat);
	assert_int_equal(poll(&pfd, 1, 2000), 1);
	beat_get_view(f->beat, &v);
	assert_true(v.fenced);
	/* Not of itself, and not even told to. */
	for (int told = 0; told < 2; told++) {
		if (told)
			beat_hold(f->beat, true);
		beat_tick(f->beat);
		nap(10);
		renewals = f->renewals;
		beat_tick(f->beat);
		nap(40);
		assert_int_equal(f->renewals, renewals);
	}
	beat_arm(f->beat, THEIRS);
	beat_hold(f->beat, true);
	do {
		v = look(f);
		beat_tick(f->beat);
	} while (f->renewals == renewals);
	assert_false(v.fenced);
	/* Recorded beats with the old one. */
	beat.sequence = 5;
	say(f, beat);
	do {
		v = look(f);
	} while (v.received < 5);
	assert_false(v.fenced);
}

static void says_the_token_of_another(void **state)
{
	struct fixture *f = *state;
	struct ha_beat beat = {.target = 0};
	int heard_with = 0;

	beat_fence(f->beat, 2, THEIRS);
	while (beat.target != 2) {
		look(f);
		beat_tick(f->beat);
		heard(f, &beat);
	}
	assert_memory_equal(beat.token, THEIRS, sizeof(THEIRS));
	/* With every beat. */
	for (int i = 0; i < 5; i++) {
		look(f);
		beat_tick(f->beat);
		heard_with += heard(f, &beat) && beat.target == 2;
	}
	assert_true(heard_with > 0);
	assert_int_equal(beat.target, 2);
	beat_fence(f->beat, 0, NULL);
	while (beat.target) {
		look(f);
		beat_tick(f->beat);
		heard(f, &beat);
	}
	for (int i = 0; i < HA_BEAT_TOKEN_SIZE; i++)
		assert_int_equal(beat.token[i], 0);
}

static int renew_and_look(void *ctx, unsigned lease_ms)
{
	struct fixture *f = ctx;
	struct beat_view v;

	beat_get_view(f->slow, &v);
	if (!f->renewals)
		f->said_before = v.sent;
	f->renewals++;
	return 0;
}

/* Else a node that stops in between outlives what the peer has heard. */
static void renews_before_it_speaks(void **state)
{
	struct fixture *f = *state;
	struct beat_params p = {
		.node = 1,
		.peer_node = 2,
		.interval_ms = 300,
		.stall_ms = 600000,
		.lease_ms = 600,
		.renew = renew_and_look,
		.ctx = f,
		.paths_len = 1,
		.paths = {{.fd = f->fds[0]}},
	};
	struct beat_view v = {.sent = 1};

	/* Told before its first beat, however slow this machine is. */
	while (v.sent) {
		beat_destroy(f->slow);
		f->renewals = 0;
		assert_int_equal(beat_create(&f->slow, &p), 0);
		beat_hold(f->slow, true);
		beat_get_view(f->slow, &v);
	}
	while (!f->renewals)
		nap(5);
	assert_int_equal(f->said_before, 0);
	beat_destroy(f->slow);
}

/* A loop that ticks all the time has never stalled, whoever looks first. */
static void a_tick_after_the_look_is_no_stall(void **state)
{
	struct fixture *f = *state;
	struct beat_params p = {
		.node = 1,
		.peer_node = 2,
		.interval_ms = 1,
		.stall_ms = 600000,
		.lease_ms = 600,
		.renew = renew,
		.ctx = f,
		.paths_len = 1,
		.paths = {{.fd = f->fds[0]}},
	};
	struct beat_view v = {0};
	struct ha_beat beat;

	memcpy(p.key, f->key, sizeof(p.key));
	assert_int_equal(beat_create(&f->slow, &p), 0);
	while (v.sent < 1000 && !v.stalls) {
		for (int i = 0; i < 100; i++)
			beat_tick(f->slow);
		heard(f, &beat);
		beat_get_view(f->slow, &v);
	}
	beat_destroy(f->slow);
	assert_int_equal(v.stalls, 0);
	assert_true(v.stall_worst_ms < 600000);
}

static void received(struct fixture *f, uint64_t count)
{
	struct beat_view v = {0};

	while (v.received < count)
		v = view_after(f, 2);
}

/* A silence that a restart or a death made says nothing about the hosts. */
static void the_worst_silence_of_one_boot_is_kept(void **state)
{
	struct fixture *f = *state;
	struct ha_beat beat = {
		.type = HA_BEAT_ALIVE, .node = 2, .boot_id = 9, .sequence = 1};
	struct beat_view v;

	say(f, beat);
	received(f, 1);
	nap(40);
	beat.boot_id = 10;
	say(f, beat);
	received(f, 2);
	v = view_after(f, 0);
	assert_int_equal(v.silence_worst_ms, 0);
	nap(40);
	beat.sequence = 2;
	say(f, beat);
	received(f, 3);
	v = view_after(f, 0);
	assert_true(v.silence_worst_ms >= 40);
	/* Nobody ticks here. */
	assert_true(v.stall_worst_ms >= 40);
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
		T(each_path_has_its_window_and_counters),
		T(a_flood_waits_for_the_beat),
		T(our_token_ends_the_lease),
		T(says_the_token_of_another),
		T(renews_before_it_speaks),
		T(a_tick_after_the_look_is_no_stall),
		T(the_worst_silence_of_one_boot_is_kept),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
