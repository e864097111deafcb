#include "sbcd/keeper/beat.h"

#include <errno.h>
#include <openssl/crypto.h>
#include <poll.h>
#include <pthread.h>
#include <sched.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <sys/socket.h>
#include <sys/timerfd.h>
#include <unistd.h>
#include "sbcd/base/clock.h"
#include "sbcd/base/worst.h"

enum {
	REALTIME_PRIORITY = 10,
	FIRST_PATH = 2, /* in the list to poll: after timer and wake-up */
	/* A path that was silent so many beats is worth an event again. */
	SILENCE_BEATS = 5,
};

struct beat {
	struct beat_params p;
	pthread_t thread;
	int event_fd, timer_fd, wake_fd;
	_Atomic uint64_t tick_ms; /* main loop, last seen alive */
	_Atomic uint64_t gap_ms; /* its longest gap not noted yet */
	_Atomic bool stop;

	pthread_mutex_t lock; /* the members down to `view` */
	uint8_t role, health;
	uint64_t epoch;
	bool hold;
	uint8_t own_token[HA_BEAT_TOKEN_SIZE];
	bool armed;
	uint8_t target; /* of `token`; 0 = nobody is to be fenced */
	uint8_t token[HA_BEAT_TOKEN_SIZE];
	struct beat_view view;
	uint64_t heard_ms; /* last beat on any path */
	struct worst silence, late, stall;

	/* The thread's own. */
	uint64_t sequence;
	uint64_t next_renew_ms, expected_ms;
	struct ha_beat_window windows[BEAT_PATHS_MAX];
	unsigned budget[BEAT_PATHS_MAX];
	struct pollfd pfds[FIRST_PATH + BEAT_PATHS_MAX];
};

static void raise_event(struct beat *b)
{
	uint64_t one = 1;

	/* Fails only when the counter is full: it is readable then. */
	if (write(b->event_fd, &one, sizeof(one)) < 0)
		return;
}

static void wake_thread(struct beat *b)
{
	uint64_t one = 1;

	if (write(b->wake_fd, &one, sizeof(one)) < 0)
		return;
}

/* ---- the thread --------------------------------------------------------- */
static uint64_t since_tick(struct beat *b, uint64_t now_ms)
{
	uint64_t tick_ms = atomic_load(&b->tick_ms);

	/* It may tick after this thread has looked at the clock. */
	return now_ms > tick_ms ? now_ms - tick_ms : 0;
}

static bool main_loop_lives(struct beat *b, uint64_t now_ms)
{
	return since_tick(b, now_ms) < b->p.stall_ms;
}

static void send_beats(struct beat *b)
{
	struct ha_beat beat = {
		.type = HA_BEAT_ALIVE,
		.node = b->p.node,
		.boot_id = b->p.boot_id,
		.sequence = ++b->sequence,
	};
	uint8_t out[HA_BEAT_SIZE];
	unsigned sent = 0;

	pthread_mutex_lock(&b->lock);
	beat.role = b->role;
	beat.health = b->health;
	beat.epoch = b->epoch;
	beat.target = b->target;
	memcpy(beat.token, b->token, sizeof(beat.token));
	pthread_mutex_unlock(&b->lock);
	if (ha_beat_encode(&beat, b->p.key, out))
		return;
	for (size_t i = 0; i < b->p.paths_len; i++) {
		const struct beat_path *p = &b->p.paths[i];
		const void *to = p->to_len ? &p->to : NULL;

		if (sendto(p->fd, out, sizeof(out), MSG_DONTWAIT | MSG_NOSIGNAL,
			   to, p->to_len) == (ssize_t)sizeof(out))
			sent++;
	}
	pthread_mutex_lock(&b->lock);
	b->view.sent += sent;
	pthread_mutex_unlock(&b->lock);
}

static void renew_lease(struct beat *b, uint64_t now_ms)
{
	uint64_t start_ns, us;
	bool hold;
	int err;

	if (now_ms < b->next_renew_ms)
		return;
	/* Less half a beat: a timer that is early must not skip a turn. */
	b->next_renew_ms = now_ms + b->p.lease_ms / 5 - b->p.interval_ms / 2;
	pthread_mutex_lock(&b->lock);
	hold = b->hold;
	pthread_mutex_unlock(&b->lock);
	if (!hold)
		return;
	start_ns = clock_mono_ns();
	err = b->p.renew(b->p.ctx, b->p.lease_ms);
	us = (clock_mono_ns() - start_ns) / 1000;
	pthread_mutex_lock(&b->lock);
	b->view.renewals++;
	if (us > b->view.renew_max_us)
		b->view.renew_max_us = (uint32_t)us;
	if (err)
		b->view.renew_errors++;
	/* It may have been told to let go while it renewed. */
	if (err == -ENOENT && b->hold && !b->view.lapsed) {
		b->view.lapsed = true;
		b->hold = false;
		raise_event(b);
	}
	pthread_mutex_unlock(&b->lock);
}

/* With the lock held. The gate was shut below us already. */
static bool fenced_by(struct beat *b, const struct ha_beat *beat)
{
	if (beat->target != b->p.node || !b->armed || b->view.fenced ||
	    CRYPTO_memcmp(beat->token, b->own_token, sizeof(b->own_token)) != 0)
		return false;
	b->view.fenced = true;
	b->hold = false;
	return true;
}

static void take_beat(struct beat *b, size_t path, const struct ha_beat *beat,
		      uint64_t now_ms)
{
	struct beat_view *v = &b->view;
	bool news = false;

	pthread_mutex_lock(&b->lock);
	v->received++;
	v->path_received[path]++;
	if (beat->type == HA_BEAT_RELEASED) {
		news = v->released_boot_id != beat->boot_id;
		v->released_boot_id = beat->boot_id;
	} else {
		news = !v->peer_heard || v->peer_role != beat->role ||
		       v->peer_boot_id != beat->boot_id ||
		       now_ms - v->last_heard_ms[path] >
			       (uint64_t)SILENCE_BEATS * b->p.interval_ms;
		if (b->heard_ms && v->peer_boot_id == beat->boot_id)
			worst_note(&b->silence, now_ms, now_ms - b->heard_ms);
		b->heard_ms = now_ms;
		v->peer_heard = true;
		v->peer_role = beat->role;
		v->peer_health = beat->health;
		v->peer_epoch = beat->epoch;
		v->peer_boot_id = beat->boot_id;
		v->last_heard_ms[path] = now_ms;
	}
	news |= fenced_by(b, beat);
	pthread_mutex_unlock(&b->lock);
	if (news)
		raise_event(b);
}

static int decode(const struct beat *b, struct ha_beat *out, const void *data,
		  size_t size)
{
	int err = ha_beat_decode(out, b->p.key, data, size);

	return err && b->p.has_other_key
		       ? ha_beat_decode(out, b->p.other_key, data, size)
		       : err;
}

static void receive_beats(struct beat *b, size_t path, uint64_t now_ms)
{
	uint8_t in[HA_BEAT_SIZE + 1];
	struct ha_beat beat;
	unsigned refused = 0;

	for (; b->budget[path]; b->budget[path]--) {
		ssize_t n =
			recv(b->p.paths[path].fd, in, sizeof(in), MSG_DONTWAIT);

		/* ECONNREFUSED and its like: the peer is not there. */
		if (n < 0)
			break;
		if (decode(b, &beat, in, (size_t)n) ||
		    beat.node != b->p.peer_node ||
		    !ha_beat_fresh(&b->windows[path], &beat)) {
			refused++;
			continue;
		}
		take_beat(b, path, &beat, now_ms);
	}
	/* Spent: the kernel's buffer keeps or drops the rest until the next
	 * beat is due. */
	if (!b->budget[path])
		b->pfds[FIRST_PATH + path].fd = -1;
	if (!refused)
		return;
	pthread_mutex_lock(&b->lock);
	b->view.refused += refused;
	b->view.path_refused[path] += refused;
	pthread_mutex_unlock(&b->lock);
}

static void refill_budgets(struct beat *b)
{
	for (size_t i = 0; i < b->p.paths_len; i++) {
		b->budget[i] = BEAT_PATH_BUDGET;
		b->pfds[FIRST_PATH + i].fd = b->p.paths[i].fd;
		b->pfds[FIRST_PATH + i].events = POLLIN;
	}
}

/* The timer fired: `lives` says whether we may speak. */
static void on_timer(struct beat *b, uint64_t now_ms)
{
	bool lives = main_loop_lives(b, now_ms);
	uint64_t late_ms = 0, gap_ms = atomic_exchange(&b->gap_ms, 0);

	if (b->expected_ms && now_ms > b->expected_ms)
		late_ms = now_ms - b->expected_ms;
	b->expected_ms = now_ms + b->p.interval_ms;
	refill_budgets(b);
	pthread_mutex_lock(&b->lock);
	if (!lives && !b->view.stalled)
		b->view.stalls++;
	b->view.stalled = !lives;
	worst_note(&b->late, now_ms, late_ms);
	if (gap_ms < since_tick(b, now_ms))
		gap_ms = since_tick(b, now_ms);
	worst_note(&b->stall, now_ms, gap_ms);
	pthread_mutex_unlock(&b->lock);
	if (!lives)
		return;
	/* Whoever heard no later beat knows of a later renewal by one beat. */
	renew_lease(b, now_ms);
	send_beats(b);
}

static void *beat_thread(void *arg)
{
	struct beat *b = arg;
	struct pollfd *pfds = b->pfds;
	uint64_t n;

	pfds[0] = (struct pollfd){.fd = b->timer_fd, .events = POLLIN};
	pfds[1] = (struct pollfd){.fd = b->wake_fd, .events = POLLIN};
	refill_budgets(b);
	while (!atomic_load(&b->stop)) {
		uint64_t now_ms;

		if (poll(pfds, FIRST_PATH + (nfds_t)b->p.paths_len, -1) < 0)
			continue;
		now_ms = clock_mono_ms();
		/* Beats first, then what others say. */
		if (pfds[0].revents && read(b->timer_fd, &n, sizeof(n)) > 0)
			on_timer(b, now_ms);
		if (pfds[1].revents && read(b->wake_fd, &n, sizeof(n)) > 0 &&
		    main_loop_lives(b, now_ms))
			send_beats(b);
		for (size_t i = 0; i < b->p.paths_len; i++) {
			if (pfds[FIRST_PATH + i].revents)
				receive_beats(b, i, now_ms);
		}
	}
	return NULL;
}

/* ---- start and stop ----------------------------------------------------- */
static int start_timer(struct beat *b)
{
	long ns = (long)b->p.interval_ms * 1000000L;
	struct itimerspec every = {
		.it_interval = {ns / 1000000000L, ns % 1000000000L},
		.it_value = {ns / 1000000000L, ns % 1000000000L},
	};

	return timerfd_settime(b->timer_fd, 0, &every, NULL) ? -errno : 0;
}

static int start_thread(struct beat *b)
{
	struct sched_param rr = {.sched_priority = REALTIME_PRIORITY};
	sigset_t all, old;
	int err;

	sigfillset(&all);
	pthread_sigmask(SIG_SETMASK, &all, &old);
	err = pthread_create(&b->thread, NULL, beat_thread, b);
	pthread_sigmask(SIG_SETMASK, &old, NULL);
	if (err)
		return -err;
	pthread_setname_np(b->thread, "sbcd-beat");
	/* Best effort: without the right it is an ordinary thread. */
	b->view.realtime = !pthread_setschedparam(b->thread, SCHED_RR, &rr);
	return 0;
}

static void beat_free(struct beat *b)
{
	if (b->event_fd >= 0)
		close(b->event_fd);
	if (b->timer_fd >= 0)
		close(b->timer_fd);
	if (b->wake_fd >= 0)
		close(b->wake_fd);
	pthread_mutex_destroy(&b->lock);
	explicit_bzero(b, sizeof(*b));
	free(b);
}

static void lock_init(pthread_mutex_t *lock)
{
	pthread_mutexattr_t attr;

	/* The main thread must not hold up the real-time one. */
	pthread_mutexattr_init(&attr);
	pthread_mutexattr_setprotocol(&attr, PTHREAD_PRIO_INHERIT);
	pthread_mutex_init(lock, &attr);
	pthread_mutexattr_destroy(&attr);
}

int beat_create(struct beat **out, const struct beat_params *p)
{
	struct beat *b;
	int err;

	if (p->paths_len > BEAT_PATHS_MAX || !p->interval_ms)
		return -EINVAL;
	b = calloc(1, sizeof(*b));
	if (!b)
		return -ENOMEM;
	b->p = *p;
	lock_init(&b->lock);
	atomic_store(&b->tick_ms, clock_mono_ms());
	b->event_fd = eventfd(0, EFD_NONBLOCK | EFD_CLOEXEC);
	b->wake_fd = eventfd(0, EFD_NONBLOCK | EFD_CLOEXEC);
	b->timer_fd =
		timerfd_create(CLOCK_MONOTONIC, TFD_NONBLOCK | TFD_CLOEXEC);
	if (b->event_fd < 0 || b->wake_fd < 0 || b->timer_fd < 0) {
		err = -errno;
		goto err_object;
	}
	err = start_timer(b);
	if (err)
		goto err_object;
	err = start_thread(b);
	if (err)
		goto err_object;
	*out = b;
	return 0;

err_object:
	beat_free(b);
	return err;
}

void beat_destroy(struct beat *b)
{
	if (!b)
		return;
	atomic_store(&b->stop, true);
	wake_thread(b);
	pthread_join(b->thread, NULL);
	beat_free(b);
}

/* ---- the main thread ---------------------------------------------------- */
void beat_tick(struct beat *b)
{
	uint64_t now_ms = clock_mono_ms();
	uint64_t gap_ms = now_ms - atomic_exchange(&b->tick_ms, now_ms);

	/* The thread may have stood still as well and look only now. */
	if (gap_ms > atomic_load(&b->gap_ms))
		atomic_store(&b->gap_ms, gap_ms);
}

void beat_announce(struct beat *b, uint8_t role, uint8_t health, uint64_t epoch)
{
	bool now;

	pthread_mutex_lock(&b->lock);
	now = b->role != role || b->epoch != epoch;
	b->role = role;
	b->health = health;
	b->epoch = epoch;
	pthread_mutex_unlock(&b->lock);
	if (now)
		wake_thread(b);
}

void beat_hold(struct beat *b, bool hold)
{
	pthread_mutex_lock(&b->lock);
	b->hold = hold && !b->view.fenced;
	b->view.lapsed = false;
	pthread_mutex_unlock(&b->lock);
}

void beat_arm(struct beat *b, const uint8_t token[HA_BEAT_TOKEN_SIZE])
{
	pthread_mutex_lock(&b->lock);
	memcpy(b->own_token, token, sizeof(b->own_token));
	b->armed = true;
	b->view.fenced = false;
	pthread_mutex_unlock(&b->lock);
}

void beat_fence(struct beat *b, uint8_t target,
		const uint8_t token[HA_BEAT_TOKEN_SIZE])
{
	pthread_mutex_lock(&b->lock);
	b->target = token ? target : 0;
	if (token)
		memcpy(b->token, token, sizeof(b->token));
	pthread_mutex_unlock(&b->lock);
}

void beat_get_view(struct beat *b, struct beat_view *out)
{
	uint64_t now_ms;

	pthread_mutex_lock(&b->lock);
	*out = b->view;
	now_ms = clock_mono_ms();
	out->silence_worst_ms = worst_get(&b->silence, now_ms);
	out->late_worst_ms = worst_get(&b->late, now_ms);
	out->stall_worst_ms = worst_get(&b->stall, now_ms);
	pthread_mutex_unlock(&b->lock);
}

int beat_event_fd(const struct beat *b)
{
	return b->event_fd;
}

void beat_event_clear(struct beat *b)
{
	uint64_t n;

	if (read(b->event_fd, &n, sizeof(n)) < 0)
		return;
}
