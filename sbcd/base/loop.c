#include "sbcd/base/loop.h"

#include <errno.h>
#include <stdlib.h>
#include <sys/epoll.h>
#include <sys/eventfd.h>
#include <unistd.h>

#include "sbcd/base/clock.h"

enum { EVENTS_PER_TURN = 64 };

struct loop_fd {
	struct loop *loop;
	int fd;
	loop_fd_fn *fn; /* NULL once removed */
	void *ctx;
	struct loop_fd *next_dead;
};

struct loop_timer {
	struct loop *loop;
	uint64_t deadline_ns;
	size_t heap_at; /* 1-based; 0 = disarmed */
	loop_timer_fn *fn;
	void *ctx;
};

struct loop {
	int epoll_fd;
	int wake_fd;
	struct loop_fd *dead; /* freed at the end of the turn */
	/* Min-heap from index 1; room for every timer that exists, so that
	 * arming cannot fail. */
	struct loop_timer **heap;
	size_t heap_len;
	size_t heap_capacity;
	size_t timers;
	loop_timer_fn *turn_end;
	void *turn_end_ctx;
	uint64_t now_ns;
	bool stopped;
	int code;
};

int loop_create(struct loop **out)
{
	struct epoll_event ev = {.events = EPOLLIN};
	struct loop *l = calloc(1, sizeof(*l));
	int err;

	if (!l)
		return -ENOMEM;
	l->epoll_fd = epoll_create1(EPOLL_CLOEXEC);
	if (l->epoll_fd < 0) {
		err = -errno;
		goto err_free;
	}
	l->wake_fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
	if (l->wake_fd < 0) {
		err = -errno;
		goto err_epoll;
	}
	if (epoll_ctl(l->epoll_fd, EPOLL_CTL_ADD, l->wake_fd, &ev) < 0) {
		err = -errno;
		goto err_wake;
	}
	l->now_ns = clock_mono_ns();
	*out = l;
	return 0;
err_wake:
	close(l->wake_fd);
err_epoll:
	close(l->epoll_fd);
err_free:
	free(l);
	return err;
}

static void bury(struct loop *l)
{
	while (l->dead) {
		struct loop_fd *w = l->dead;

		l->dead = w->next_dead;
		free(w);
	}
}

void loop_destroy(struct loop *l)
{
	if (!l)
		return;
	bury(l);
	close(l->wake_fd);
	close(l->epoll_fd);
	free(l->heap);
	free(l);
}

int loop_fd_add(struct loop *l, struct loop_fd **out, int fd, uint32_t events,
		loop_fd_fn *fn, void *ctx)
{
	struct loop_fd *w = calloc(1, sizeof(*w));
	struct epoll_event ev = {.events = events, .data.ptr = w};
	int err;

	if (!w)
		return -ENOMEM;
	w->loop = l;
	w->fd = fd;
	w->fn = fn;
	w->ctx = ctx;
	if (epoll_ctl(l->epoll_fd, EPOLL_CTL_ADD, fd, &ev) < 0) {
		err = -errno;
		free(w);
		return err;
	}
	*out = w;
	return 0;
}

int loop_fd_modify(struct loop_fd *w, uint32_t events)
{
	struct epoll_event ev = {.events = events, .data.ptr = w};

	if (epoll_ctl(w->loop->epoll_fd, EPOLL_CTL_MOD, w->fd, &ev) < 0)
		return -errno;
	return 0;
}

void loop_fd_remove(struct loop_fd *w)
{
	if (!w || !w->fn)
		return;
	/* Fails when the fd was closed before; the kernel forgot it then. */
	epoll_ctl(w->loop->epoll_fd, EPOLL_CTL_DEL, w->fd, NULL);
	w->fn = NULL;
	w->next_dead = w->loop->dead;
	w->loop->dead = w;
}

/* ---- timers ----------------------------------------------------------------
 */

static void heap_set(struct loop *l, size_t at, struct loop_timer *t)
{
	l->heap[at] = t;
	t->heap_at = at;
}

static void heap_up(struct loop *l, size_t at, struct loop_timer *t)
{
	while (at > 1 && l->heap[at / 2]->deadline_ns > t->deadline_ns) {
		heap_set(l, at, l->heap[at / 2]);
		at /= 2;
	}
	heap_set(l, at, t);
}

static void heap_down(struct loop *l, size_t at, struct loop_timer *t)
{
	for (;;) {
		size_t child = at * 2;

		if (child > l->heap_len)
			break;
		if (child < l->heap_len && l->heap[child + 1]->deadline_ns <
						   l->heap[child]->deadline_ns)
			child++;
		if (l->heap[child]->deadline_ns >= t->deadline_ns)
			break;
		heap_set(l, at, l->heap[child]);
		at = child;
	}
	heap_set(l, at, t);
}

int loop_timer_create(struct loop *l, struct loop_timer **out,
		      loop_timer_fn *fn, void *ctx)
{
	struct loop_timer *t;

	if (l->timers + 2 > l->heap_capacity) {
		size_t capacity = l->heap_capacity ? l->heap_capacity * 2 : 16;
		struct loop_timer **heap;

		heap = realloc(l->heap, capacity * sizeof(struct loop_timer *));
		if (!heap)
			return -ENOMEM;
		l->heap = heap;
		l->heap_capacity = capacity;
	}
	t = calloc(1, sizeof(*t));
	if (!t)
		return -ENOMEM;
	t->loop = l;
	t->fn = fn;
	t->ctx = ctx;
	l->timers++;
	*out = t;
	return 0;
}

void loop_timer_arm(struct loop_timer *t, uint64_t delay_ms)
{
	struct loop *l = t->loop;

	loop_timer_disarm(t);
	t->deadline_ns = clock_mono_ns() + delay_ms * 1000000u;
	l->heap_len++;
	heap_up(l, l->heap_len, t);
}

void loop_timer_disarm(struct loop_timer *t)
{
	struct loop *l = t->loop;
	struct loop_timer *last;
	size_t at = t->heap_at;

	if (!at)
		return;
	t->heap_at = 0;
	last = l->heap[l->heap_len--];
	if (last == t)
		return;
	if (at > 1 && l->heap[at / 2]->deadline_ns > last->deadline_ns)
		heap_up(l, at, last);
	else
		heap_down(l, at, last);
}

bool loop_timer_armed(const struct loop_timer *t)
{
	return t->heap_at != 0;
}

void loop_timer_destroy(struct loop_timer *t)
{
	if (!t)
		return;
	loop_timer_disarm(t);
	t->loop->timers--;
	free(t);
}

static void run_timers(struct loop *l)
{
	/* A timer armed by a callback is due in a later turn at the earliest,
	 * however short its delay: file descriptors get their share. */
	uint64_t due_ns = clock_mono_ns();

	while (l->heap_len && l->heap[1]->deadline_ns <= due_ns &&
	       !l->stopped) {
		struct loop_timer *t = l->heap[1];

		loop_timer_disarm(t);
		t->fn(t->ctx);
	}
}

/* ---- running ---------------------------------------------------------------
 */

static int wait_ms(const struct loop *l)
{
	uint64_t now, left_ms;

	if (!l->heap_len)
		return -1;
	now = clock_mono_ns();
	if (l->heap[1]->deadline_ns <= now)
		return 0;
	left_ms = (l->heap[1]->deadline_ns - now + 999999u) / 1000000u;
	return left_ms > 60000 ? 60000 : (int)left_ms;
}

static void drain_wake(struct loop *l)
{
	uint64_t n;

	if (read(l->wake_fd, &n, sizeof(n)) < 0)
		return;
}

void loop_set_turn_end(struct loop *l, loop_timer_fn *fn, void *ctx)
{
	l->turn_end = fn;
	l->turn_end_ctx = ctx;
}

int loop_run(struct loop *l)
{
	struct epoll_event ev[EVENTS_PER_TURN];

	while (!l->stopped) {
		int n = epoll_wait(l->epoll_fd, ev, EVENTS_PER_TURN,
				   wait_ms(l));

		if (n < 0 && errno != EINTR)
			return -errno;
		l->now_ns = clock_mono_ns();
		for (int i = 0; i < n && !l->stopped; i++) {
			struct loop_fd *w = ev[i].data.ptr;

			if (!w)
				drain_wake(l);
			else if (w->fn)
				w->fn(w->ctx, ev[i].events);
		}
		run_timers(l);
		if (l->turn_end)
			l->turn_end(l->turn_end_ctx);
		bury(l);
	}
	l->stopped = false; /* may run again */
	return l->code;
}

void loop_stop(struct loop *l, int code)
{
	l->stopped = true;
	l->code = code;
}

void loop_wake(struct loop *l)
{
	uint64_t one = 1;

	/* EAGAIN: 2^64 wake-ups are pending, one is enough. */
	if (write(l->wake_fd, &one, sizeof(one)) < 0)
		return;
}

uint64_t loop_now_ms(const struct loop *l)
{
	return l->now_ns / 1000000u;
}
