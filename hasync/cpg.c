/*
 * Two lists under one mutex: frames out, events in. Whatever talks to
 * corosync is in `struct session` and belongs to the thread.
 *
 * Nothing of the group's order may be lost on the way in, so a full list of
 * events stops the thread from dispatching (corosync then keeps the messages)
 * until the main thread has caught up.
 */
#include "hasync/cpg.h"

#include <corosync/cpg.h>
#include <corosync/quorum.h>
#include <errno.h>
#include <poll.h>
#include <pthread.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <time.h>
#include <unistd.h>
#include "hasync/cpg_event.h"
#include "hasync/wire.h"
#include "hasync/witness.h"

enum {
	DISPATCH_BUDGET = 256,
	SEND_BUDGET = 64,
	BACKOFF_MIN_MS = 50,
	BACKOFF_MAX_MS = 1000,
	RETRY_MS = 1, /* corosync said TRY_AGAIN */
	JOIN_TRIES = 500,
	RING_WAIT_MS = 20, /* a membership waits for its ring's number */
	WITNESS_MS = 100, /* how often the witness is asked after */
	LAST_WORDS_MS = 500,
	DESTROY_WAIT_S = 2,
};

struct out_frame {
	struct out_frame *next;
	size_t size;
	uint8_t data[];
};

struct ha_cpg {
	struct cpg_name group;
	uint8_t node;
	bool witness;
	size_t queue_frames;
	struct ha_cpg_ops ops;
	void *ctx;
	pthread_t thread;
	int event_fd; /* thread -> main: events */
	int wake_fd; /* main -> thread: frames, room, stop */
	pthread_mutex_t lock;
	/* Under `lock`. */
	struct cpg_event_list events;
	struct out_frame *out, **out_last;
	size_t out_frames;
	bool up, stop, paused;
};

/* The thread's own. */
struct session {
	struct ha_cpg *c;
	cpg_handle_t cpg;
	quorum_handle_t quorum;
	int cpg_fd, quorum_fd;
	bool self, peer;
	uint32_t peer_pid;
	enum ha_peer_left peer_left;
	uint64_t ring_seq;
	/* Memberships of a ring whose number is still to come. */
	struct cpg_event_list held;
	uint64_t held_until_ms;
	struct ha_witness *witness;
	uint64_t witness_at_ms;
	int witness_votes; /* -1: not known */
	bool try_again; /* corosync does not take frames now */
	const char *why; /* last reason told for being down */
};

static uint64_t now_ms(void)
{
	struct timespec ts;

	clock_gettime(CLOCK_MONOTONIC, &ts);
	return (uint64_t)ts.tv_sec * 1000 + (uint64_t)ts.tv_nsec / 1000000;
}

static void ring_bell(int fd)
{
	uint64_t one = 1;

	/* Full means it is readable already. */
	if (write(fd, &one, sizeof(one)) < 0)
		return;
}

static void answer_bell(int fd)
{
	uint64_t n;

	if (read(fd, &n, sizeof(n)) < 0)
		return;
}

/* ---- events -------------------------------------------------------------- */

static void post(struct ha_cpg *c, struct cpg_event *ev)
{
	pthread_mutex_lock(&c->lock);
	cpg_event_list_add(&c->events, ev);
	pthread_mutex_unlock(&c->lock);
	ring_bell(c->event_fd);
}

static void release_held(struct session *s)
{
	while (s->held.first) {
		struct cpg_event *ev = s->held.first;

		s->held.first = ev->next;
		ev->ring_seq = s->ring_seq;
		post(s->c, ev);
	}
	cpg_event_list_init(&s->held);
	s->held_until_ms = 0;
}

static void post_members(struct session *s, bool peer, enum ha_peer_left left,
			 bool new_ring)
{
	struct cpg_event *ev = cpg_event_new(EV_MEMBERS, NULL, 0);

	ev->self = s->self;
	ev->peer = peer;
	ev->left = left;
	ev->ring_seq = s->ring_seq;
	if (!new_ring && !s->held.first) {
		post(s->c, ev);
		return;
	}
	if (!s->held.first)
		s->held_until_ms = now_ms() + RING_WAIT_MS;
	cpg_event_list_add(&s->held, ev);
}

/* ---- corosync's callbacks, in the thread --------------------------------- */

static struct session *session_of(cpg_handle_t h)
{
	void *context = NULL;

	cpg_context_get(h, &context);
	return context;
}

static bool is_node(uint32_t id)
{
	return id >= 1 && id <= HA_NODE_MAX;
}

static void on_deliver(cpg_handle_t h, const struct cpg_name *group,
		       uint32_t node, uint32_t pid, void *data, size_t size)
{
	struct session *s = session_of(h);
	struct cpg_event *ev;

	if (!is_node(node))
		return;
	release_held(s);
	/* Too large: handed on empty, for the engine to count. */
	ev = cpg_event_new(EV_DELIVER, data,
			   size <= HA_FRAME_MAX_BYTES ? size : 0);
	ev->from = (uint8_t)node;
	post(s->c, ev);
}

static enum ha_peer_left left_how(uint32_t reason)
{
	return reason == CPG_REASON_NODEDOWN ? HA_LEFT_NODEDOWN
					     : HA_LEFT_PROCDOWN;
}

static void on_confchg(cpg_handle_t h, const struct cpg_name *group,
		       const struct cpg_address *members, size_t members_len,
		       const struct cpg_address *left, size_t left_len,
		       const struct cpg_address *joined, size_t joined_len)
{
	struct session *s = session_of(h);
	bool had_peer = s->peer;
	bool replaced = false;
	bool new_ring = false;
	uint32_t pid = 0;

	s->self = false;
	s->peer = false;
	for (size_t i = 0; i < members_len; i++) {
		if (members[i].nodeid == s->c->node) {
			s->self |= members[i].pid == (uint32_t)getpid();
		} else if (is_node(members[i].nodeid)) {
			s->peer = true;
			pid = members[i].pid;
		}
	}
	for (size_t i = 0; i < joined_len; i++)
		if (joined[i].reason == CPG_REASON_NODEUP ||
		    joined[i].nodeid == s->c->node)
			new_ring = true;
	for (size_t i = 0; i < left_len; i++) {
		if (left[i].reason == CPG_REASON_NODEDOWN)
			new_ring = true;
		if (left[i].nodeid == s->c->node || !is_node(left[i].nodeid))
			continue;
		s->peer_left = left_how(left[i].reason);
		replaced = had_peer && s->peer && left[i].pid == s->peer_pid;
	}
	s->peer_pid = pid;
	/* Another process of the peer took the place of the one we knew. */
	if (replaced)
		post_members(s, false, s->peer_left, new_ring);
	post_members(s, s->peer, s->peer ? HA_LEFT_NOT : s->peer_left,
		     new_ring);
}

static void on_ring(cpg_handle_t h, struct cpg_ring_id ring,
		    uint32_t members_len, const uint32_t *members)
{
	struct session *s = session_of(h);

	s->ring_seq = ring.seq;
	release_held(s);
}

static void on_quorum(quorum_handle_t h, uint32_t quorate, uint64_t ring_seq,
		      uint32_t members_len, uint32_t *members)
{
	const void *context = NULL;
	struct session *s;
	struct cpg_event *ev;

	if (quorum_context_get(h, &context) != CS_OK || !context)
		return;
	s = (struct session *)context;
	if (ring_seq > s->ring_seq)
		s->ring_seq = ring_seq;
	release_held(s);
	ev = cpg_event_new(EV_QUORUM, NULL, 0);
	ev->self = quorate != 0;
	ev->ring_seq = ring_seq;
	post(s->c, ev);
}

/* ---- connecting --------------------------------------------------------- */

static void close_session(struct session *s)
{
	if (s->cpg)
		cpg_finalize(s->cpg);
	if (s->quorum)
		quorum_finalize(s->quorum);
	ha_witness_destroy(s->witness);
	s->witness = NULL;
	s->witness_at_ms = 0;
	s->witness_votes = -1;
	s->cpg = 0;
	s->quorum = 0;
	s->cpg_fd = s->quorum_fd = -1;
}

static bool stopping(struct ha_cpg *c)
{
	bool stop;

	pthread_mutex_lock(&c->lock);
	stop = c->stop;
	pthread_mutex_unlock(&c->lock);
	return stop;
}

static void drop_out(struct ha_cpg *c)
{
	while (c->out) {
		struct out_frame *f = c->out;

		c->out = f->next;
		free(f);
	}
	c->out_last = &c->out;
	c->out_frames = 0;
}

static void set_up(struct session *s, bool up, const char *why)
{
	struct ha_cpg *c = s->c;
	struct cpg_event *ev;
	bool was;

	pthread_mutex_lock(&c->lock);
	was = c->up;
	c->up = up;
	if (!up)
		drop_out(c);
	pthread_mutex_unlock(&c->lock);
	/* While it stays away: only what is news. */
	if (was == up && s->why == why)
		return;
	s->why = why;
	ev = cpg_event_new(EV_LINK, NULL, 0);
	ev->self = up;
	ev->why = why;
	post(c, ev);
}

static void go_down(struct session *s, const char *why)
{
	close_session(s);
	cpg_event_list_free(&s->held);
	s->held_until_ms = 0;
	s->try_again = false;
	set_up(s, false, why);
	/* Whether the peer lives is not known any more. */
	if (s->self || s->peer) {
		if (s->peer)
			s->peer_left = HA_LEFT_NODEDOWN;
		s->self = s->peer = false;
		post_members(s, false, s->peer_left, false);
	}
}

static const char *join_group(struct session *s)
{
	static const struct timespec pause = {.tv_nsec = 2000000};
	cs_error_t rc;

	for (int i = 0; i < JOIN_TRIES; i++) {
		rc = cpg_join(s->cpg, &s->c->group);
		if (rc == CS_OK)
			return NULL;
		if (rc != CS_ERR_TRY_AGAIN || stopping(s->c))
			break;
		nanosleep(&pause, NULL);
	}
	return "cannot join the group";
}

static const char *open_cpg(struct session *s)
{
	cpg_model_v1_data_t model = {
		.model = CPG_MODEL_V1,
		.cpg_deliver_fn = on_deliver,
		.cpg_confchg_fn = on_confchg,
		.cpg_totem_confchg_fn = on_ring,
		.flags = CPG_MODEL_V1_DELIVER_INITIAL_TOTEM_CONF,
	};
	uint32_t id = 0;

	if (cpg_model_initialize(&s->cpg, CPG_MODEL_V1,
				 (cpg_model_data_t *)(void *)&model,
				 s) != CS_OK) {
		s->cpg = 0;
		return "corosync does not answer";
	}
	if (cpg_local_get(s->cpg, &id) != CS_OK ||
	    cpg_fd_get(s->cpg, &s->cpg_fd) != CS_OK)
		return "corosync does not answer";
	if (id != s->c->node)
		return "corosync's nodeid is not this node's id";
	return NULL;
}

static const char *open_quorum(struct session *s)
{
	quorum_callbacks_t callbacks = {.quorum_notify_fn = on_quorum};
	uint32_t type;

	if (quorum_initialize(&s->quorum, &callbacks, &type) != CS_OK) {
		s->quorum = 0;
		return "corosync's quorum service does not answer";
	}
	if (quorum_context_set(s->quorum, s) != CS_OK ||
	    quorum_fd_get(s->quorum, &s->quorum_fd) != CS_OK ||
	    quorum_trackstart(s->quorum, CS_TRACK_CURRENT | CS_TRACK_CHANGES) !=
		    CS_OK)
		return "corosync's quorum service does not answer";
	return NULL;
}

static bool connect_session(struct session *s)
{
	const char *why = open_cpg(s);

	if (!why)
		why = open_quorum(s);
	if (!why)
		why = join_group(s);
	if (why) {
		go_down(s, why);
		return false;
	}
	set_up(s, true, "connected");
	return true;
}

/* ---- serving ------------------------------------------------------------ */

/* False when corosync is gone. */
static bool dispatch(struct session *s)
{
	for (int i = 0; i < DISPATCH_BUDGET; i++) {
		cs_error_t rc =
			cpg_dispatch(s->cpg, CS_DISPATCH_ONE_NONBLOCKING);

		if (rc == CS_ERR_TRY_AGAIN)
			break;
		if (rc != CS_OK)
			return false;
	}
	return true;
}

static bool dispatch_quorum(struct session *s)
{
	cs_error_t rc = quorum_dispatch(s->quorum, CS_DISPATCH_ALL);

	return rc == CS_OK || rc == CS_ERR_TRY_AGAIN;
}

/* After the group and the quorum: what they say of a ring stands first. */
static void ask_witness(struct session *s)
{
	uint64_t now = now_ms();
	struct cpg_event *ev;
	int votes;

	if (!s->c->witness || now < s->witness_at_ms)
		return;
	s->witness_at_ms = now + WITNESS_MS;
	if (!s->witness && ha_witness_create(&s->witness))
		return;
	votes = ha_witness_votes(s->witness);
	if (votes < 0 || votes == s->witness_votes)
		return;
	s->witness_votes = votes;
	ev = cpg_event_new(EV_WITNESS, NULL, 0);
	ev->self = votes;
	post(s->c, ev);
}

static bool send_some(struct session *s)
{
	struct ha_cpg *c = s->c;

	s->try_again = false;
	for (int i = 0; i < SEND_BUDGET; i++) {
		struct out_frame *f;
		struct iovec iov;
		cs_error_t rc;

		/* Only this thread takes frames away. */
		pthread_mutex_lock(&c->lock);
		f = c->out;
		pthread_mutex_unlock(&c->lock);
		if (!f)
			return true;
		iov = (struct iovec){.iov_base = f->data, .iov_len = f->size};
		rc = cpg_mcast_joined(s->cpg, CPG_TYPE_AGREED, &iov, 1);
		if (rc == CS_ERR_TRY_AGAIN) {
			s->try_again = true;
			return true;
		}
		if (rc != CS_OK)
			return false;
		pthread_mutex_lock(&c->lock);
		c->out = f->next;
		if (!c->out)
			c->out_last = &c->out;
		c->out_frames--;
		pthread_mutex_unlock(&c->lock);
		free(f);
	}
	return true;
}

/* Room for events? Remembers that the thread waits for some. */
static bool may_dispatch(struct ha_cpg *c)
{
	bool room;

	pthread_mutex_lock(&c->lock);
	room = c->events.frames < c->queue_frames;
	c->paused = !room;
	pthread_mutex_unlock(&c->lock);
	return room;
}

static bool has_out(struct ha_cpg *c)
{
	return ha_cpg_queued(c) > 0;
}

static int wait_ms(const struct session *s)
{
	int ms = s->c->witness ? WITNESS_MS : -1;

	if (has_out(s->c))
		ms = s->try_again ? RETRY_MS : 0;
	if (s->held_until_ms) {
		uint64_t now = now_ms();
		int left = s->held_until_ms > now
				   ? (int)(s->held_until_ms - now)
				   : 0;

		if (ms < 0 || left < ms)
			ms = left;
	}
	return ms;
}

static bool serve(struct session *s)
{
	bool room = may_dispatch(s->c);
	struct pollfd p[3] = {
		{.fd = s->c->wake_fd, .events = POLLIN},
		{.fd = s->quorum_fd, .events = POLLIN},
		{.fd = room ? s->cpg_fd : -1, .events = POLLIN},
	};

	if (poll(p, 3, wait_ms(s)) < 0)
		return errno == EINTR;
	if (p[0].revents)
		answer_bell(s->c->wake_fd);
	if (p[2].revents && !dispatch(s))
		return false;
	if (p[1].revents && !dispatch_quorum(s))
		return false;
	/* It did not come: newer than any that is known. */
	if (s->held_until_ms && now_ms() >= s->held_until_ms) {
		s->ring_seq++;
		release_held(s);
	}
	ask_witness(s);
	return send_some(s);
}

/* What was posted before the stop still goes out, if corosync takes it. */
static void say_last_words(struct session *s)
{
	static const struct timespec pause = {.tv_nsec = 1000000};
	uint64_t until = now_ms() + LAST_WORDS_MS;

	while (has_out(s->c) && now_ms() < until) {
		if (!send_some(s))
			return;
		if (s->try_again)
			nanosleep(&pause, NULL);
	}
	cpg_leave(s->cpg, &s->c->group);
}

static void *run(void *arg)
{
	struct ha_cpg *c = arg;
	struct session s = {
		.c = c,
		.cpg_fd = -1,
		.quorum_fd = -1,
		.peer_left = HA_LEFT_NEVER,
		.witness_votes = -1,
	};
	int backoff_ms = BACKOFF_MIN_MS;

	cpg_event_list_init(&s.held);
	while (!stopping(c)) {
		struct pollfd p = {.fd = c->wake_fd, .events = POLLIN};

		if (s.cpg) {
			if (!serve(&s))
				go_down(&s, "corosync is gone");
			continue;
		}
		if (connect_session(&s)) {
			backoff_ms = BACKOFF_MIN_MS;
			continue;
		}
		if (poll(&p, 1, backoff_ms) > 0)
			answer_bell(c->wake_fd);
		backoff_ms *= 2;
		if (backoff_ms > BACKOFF_MAX_MS)
			backoff_ms = BACKOFF_MAX_MS;
	}
	if (s.cpg)
		say_last_words(&s);
	close_session(&s);
	cpg_event_list_free(&s.held);
	return NULL;
}

/* ---- the main thread's side ---------------------------------------------- */

static int start_thread(struct ha_cpg *c)
{
	sigset_t all, old;
	int rc;

	/* Signals are the main thread's. */
	sigfillset(&all);
	pthread_sigmask(SIG_SETMASK, &all, &old);
	rc = pthread_create(&c->thread, NULL, run, c);
	pthread_sigmask(SIG_SETMASK, &old, NULL);
	if (rc)
		return -rc;
	pthread_setname_np(c->thread, "ha-cpg");
	return 0;
}

int ha_cpg_create(struct ha_cpg **out, const struct ha_cpg_params *p)
{
	size_t len = strlen(p->group);
	struct ha_cpg *c;
	int rc;

	if (!len || len >= CPG_MAX_NAME_LENGTH || !is_node(p->node) ||
	    !p->queue_frames)
		return -EINVAL;
	c = calloc(1, sizeof(*c));
	if (!c)
		return -ENOMEM;
	c->group.length = (uint32_t)len;
	memcpy(c->group.value, p->group, len);
	c->node = p->node;
	c->queue_frames = p->queue_frames;
	c->witness = p->witness;
	c->ops = *p->ops;
	c->ctx = p->ctx;
	c->out_last = &c->out;
	cpg_event_list_init(&c->events);
	pthread_mutex_init(&c->lock, NULL);
	c->event_fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
	c->wake_fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
	rc = c->event_fd < 0 || c->wake_fd < 0 ? -errno : 0;
	if (!rc)
		rc = start_thread(c);
	if (rc) {
		if (c->event_fd >= 0)
			close(c->event_fd);
		if (c->wake_fd >= 0)
			close(c->wake_fd);
		pthread_mutex_destroy(&c->lock);
		free(c);
		return rc;
	}
	*out = c;
	return 0;
}

void ha_cpg_destroy(struct ha_cpg *c)
{
	struct timespec until;

	if (!c)
		return;
	pthread_mutex_lock(&c->lock);
	c->stop = true;
	pthread_mutex_unlock(&c->lock);
	ring_bell(c->wake_fd);
	clock_gettime(CLOCK_MONOTONIC, &until);
	until.tv_sec += DESTROY_WAIT_S;
	/* Stuck in a hung corosync: it keeps what it may still touch. */
	if (pthread_clockjoin_np(c->thread, NULL, CLOCK_MONOTONIC, &until)) {
		pthread_detach(c->thread);
		return;
	}
	cpg_event_list_free(&c->events);
	drop_out(c);
	close(c->event_fd);
	close(c->wake_fd);
	pthread_mutex_destroy(&c->lock);
	free(c);
}

int ha_cpg_fd(const struct ha_cpg *c)
{
	return c->event_fd;
}

static void tell(struct ha_cpg *c, const struct cpg_event *ev)
{
	switch (ev->type) {
	case EV_DELIVER:
		c->ops.deliver(c->ctx, ev->from, ev->data, ev->size);
		break;
	case EV_MEMBERS:
		c->ops.members(c->ctx, ev->self, ev->peer, ev->left,
			       ev->ring_seq);
		break;
	case EV_QUORUM:
		c->ops.quorum(c->ctx, ev->self, ev->ring_seq);
		break;
	case EV_WITNESS:
		c->ops.witness(c->ctx, ev->self);
		break;
	case EV_LINK:
		c->ops.link(c->ctx, ev->self, ev->why);
		break;
	}
}

void ha_cpg_dispatch(struct ha_cpg *c)
{
	struct cpg_event *ev;
	bool wake;

	answer_bell(c->event_fd);
	pthread_mutex_lock(&c->lock);
	ev = c->events.first;
	cpg_event_list_init(&c->events);
	wake = c->paused;
	pthread_mutex_unlock(&c->lock);
	if (wake)
		ring_bell(c->wake_fd);
	while (ev) {
		struct cpg_event *next = ev->next;

		tell(c, ev);
		free(ev);
		ev = next;
	}
}

int ha_cpg_send(struct ha_cpg *c, const void *frame, size_t size)
{
	struct out_frame *f;
	bool wake;
	int rc = 0;

	if (size > HA_FRAME_MAX_BYTES)
		return -EMSGSIZE;
	f = malloc(sizeof(*f) + size);
	if (!f)
		return -ENOMEM;
	f->next = NULL;
	f->size = size;
	memcpy(f->data, frame, size);
	pthread_mutex_lock(&c->lock);
	wake = !c->out;
	if (!c->up) {
		rc = -ENOTCONN;
	} else if (c->out_frames >= c->queue_frames) {
		rc = -EAGAIN;
	} else {
		*c->out_last = f;
		c->out_last = &f->next;
		c->out_frames++;
	}
	pthread_mutex_unlock(&c->lock);
	if (rc)
		free(f);
	else if (wake)
		ring_bell(c->wake_fd);
	return rc;
}

size_t ha_cpg_queued(const struct ha_cpg *c)
{
	struct ha_cpg *m = (struct ha_cpg *)(uintptr_t)c;
	size_t n;

	pthread_mutex_lock(&m->lock);
	n = c->out_frames;
	pthread_mutex_unlock(&m->lock);
	return n;
}
