/*
 * loop - an epoll loop with timers for the keeper's main thread and for tests.
 *
 * Callbacks run in the thread that calls loop_run(); nothing here is thread
 * safe but loop_wake().
 *
 * Layer: base. Keeper main thread.
 */
#ifndef SBCD_BASE_LOOP_H
#define SBCD_BASE_LOOP_H

#include <stdbool.h>
#include <stdint.h>

struct loop;
struct loop_fd;
struct loop_timer;

typedef void loop_fd_fn(void *ctx, uint32_t epoll_events);
typedef void loop_timer_fn(void *ctx);

int loop_create(struct loop **out) __attribute__((warn_unused_result));
void loop_destroy(struct loop *loop);

/* Watches `fd` (level triggered); the fd stays the caller's. */
int loop_fd_add(struct loop *loop, struct loop_fd **out, int fd,
		uint32_t epoll_events, loop_fd_fn *fn, void *ctx)
	__attribute__((warn_unused_result));
int loop_fd_modify(struct loop_fd *w, uint32_t epoll_events)
	__attribute__((warn_unused_result));
/* Legal inside any callback, of this watch too. NULL is legal. */
void loop_fd_remove(struct loop_fd *w);

/* A timer is created disarmed. */
int loop_timer_create(struct loop *loop, struct loop_timer **out,
		      loop_timer_fn *fn, void *ctx)
	__attribute__((warn_unused_result));
/* One shot, `delay_ms` from now; arming again moves it. */
void loop_timer_arm(struct loop_timer *t, uint64_t delay_ms);
void loop_timer_disarm(struct loop_timer *t);
bool loop_timer_armed(const struct loop_timer *t);
void loop_timer_destroy(struct loop_timer *t);

/* Called once at the end of every turn (batching hooks). NULL turns it off. */
void loop_set_turn_end(struct loop *loop, loop_timer_fn *fn, void *ctx);

/* Runs until loop_stop(); returns its argument. */
int loop_run(struct loop *loop);
void loop_stop(struct loop *loop, int code);
/* From any thread: makes the loop turn once. */
void loop_wake(struct loop *loop);
/* Monotonic ms taken at the start of this turn. */
uint64_t loop_now_ms(const struct loop *loop);

#endif
