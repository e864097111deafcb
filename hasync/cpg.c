#include "hasync/cpg.h"

#include <corosync/cpg.h>
#include <corosync/quorum.h>
#include <errno.h>
#include <poll.h>
#include <pthread.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <sys/uio.h>
#include <time.h>
#include <unistd.h>

#include "hasync/key.h"
#include "hasync/wire.h"

enum {
	BACKOFF_FIRST_MS = 20,
	BACKOFF_MAX_MS = 1000,
	DISPATCH_BUDGET = 256, /* messages before the other queues' turn */
	SEND_BUDGET = 64,
	RETRY_MS = 1, /* after CS_ERR_TRY_AGAIN */
	IDLE_MS = 1000,
	JOIN_TIMEOUT_S = 1,
	WHY_SIZE = 96,
};

enum note_type { NOTE_DELIVER, NOTE_MEMBERS, NOTE_QUORUM, NOTE_LINK };

/* What goes to the main thread; frames of our own use it as well. */
struct note {
	struct note *next;
	enum note_type type;
	uint8_t from;
	bool self, peer; /* NOTE_LINK, NOTE_QUORUM: `self` is the value */
	enum ha_peer_left left;
	uint64_t ring_seq;
	size_t size;
	uint8_t data[];
};

struct queue {
	struct note *head, **tail;
	size_t len;
};

struct ha_cpg {
	uint8_t node;
	size_t queue_frames;
	const struct ha_cpg_ops *ops;
	void *ctx;
	struct cpg_name group;
	pthread_t thread;
	int to_main, to_thread; /* eventfds */
	atomic_bool stop, up;
	pthread_mutex_t lock; /* guards both queues */
	struct queue in, out;

	/* ---- the thread's own from here on ---- */
	cpg_handle_t cpg;
	quorum_handle_t quorum;
	int cpg_fd, quorum_fd;
	bool connected;
	bool self, peer, peer_seen;
	enum ha_peer_left left;
	uint64_t ring_seq;
	uint32_t backoff_ms;
	char said[WHY_SIZE]; /* last complaint: repeats are not reported */
};

/* ---- queues ----------------------------------------------------------------
 */

static void queue_init(struct queue *q)
{
	q->head = NULL;
	q->tail = &q->head;
	q->len = 0;
}

static void queue_add(struct queue *q, struct note *n)
{
	n->next = NULL;
	*q->tail = n;
	q->tail = &n->next;
	q->len++;
}

static struct note *queue_take(struct queue *q)
{
	struct note *n = q->head;

	if (!n)
		return NULL;
	q->head = n->next;
	if (!q->head)
		q->tail = &q->head;
	q->len--;
	return n;
}

static void queue_empty(struct queue *q)
{
	struct note *n;

	while ((n = queue_take(q)))
		free(n);
}

static void signal_fd(int fd)
{
	/* EAGAIN means that it is readable already. */
	if (eventfd_write(fd, 1) < 0)
		return;
}

static struct note *note_create(enum note_type type, const void *data,
				size_t size)
{
	struct note *n = malloc(sizeof(*n) + size);

	if (!n)
		return NULL;
	memset(n, 0, sizeof(*n));
	n->type = type;
	n->size = size;
	if (size)
		memcpy(n->data, data, size);
	return n;
}

static void post(struct ha_cpg *c, struct note *n)
{
	bool first;

	if (!n)
		return;
	pthread_mutex_lock(&c->lock);
	first = !c->in.head;
	queue_add(&c->in, n);
	pthread_mutex_unlock(&c->lock);
	if (first)
		signal_fd(c->to_main);
}

static size_t in_queue_len(struct ha_cpg *c)
{
	size_t len;

	pthread_mutex_lock(&c->lock);
	len = c->in.len;
	pthread_mutex_unlock(&c->lock);
	return len;
}

static void post_members(struct ha_cpg *c)
{
	struct note *n = note_create(NOTE_MEMBERS, NULL, 0);

	if (!n)
		return;
	n->self = c->self;
	n->peer = c->peer;
	n->left = c->left;
	n->ring_seq = c->ring_seq;
	post(c, n);
}

static void post_link(struct ha_cpg *c, bool up, const char *why)
{
	struct note *n;

	if (!strncmp(c->said, why, sizeof(c->said) - 1))
		return;
	strncpy(c->said, why, sizeof(c->said) - 1);
	n = note_create(NOTE_LINK, why, strlen(why) + 1);
	if (!n)
		return;
	n->self = up;
	post(c, n);
}

/* ---- corosync's callbacks (inside cpg_dispatch, our thread)
 * ------------------ */

static struct ha_cpg *of_cpg(cpg_handle_t handle)
{
	void *ctx = NULL;

	return cpg_context_get(handle, &ctx) == CS_OK ? ctx : NULL;
}

static void on_deliver(cpg_handle_t handle, const struct cpg_name *group,
		       uint32_t nodeid, uint32_t pid, void *msg, size_t size)
{
	struct ha_cpg *c = of_cpg(handle);
	struct note *n;

	if (!c || nodeid == 0 || nodeid > HA_NODE_MAX ||
	    size > HA_FRAME_MAX_BYTES)
		return;
	/* Left in the group by an earlier life of this node's keeper. */
	if (nodeid == c->node && pid != (uint32_t)getpid())
		return;
	n = note_create(NOTE_DELIVER, msg, size);
	if (!n)
		return;
	n->from = (uint8_t)nodeid;
	post(c, n);
}

static enum ha_peer_left left_reason(uint32_t reason)
{
	switch (reason) {
	case CPG_REASON_LEAVE:
	case CPG_REASON_PROCDOWN:
		return HA_LEFT_PROCDOWN;
	default:
		return HA_LEFT_NODEDOWN;
	}
}

static void on_confchg(cpg_handle_t handle, const struct cpg_name *group,
		       const struct cpg_address *members, size_t members_len,
		       const struct cpg_address *left, size_t left_len,
		       const struct cpg_address *joined, size_t joined_len)
{
	struct ha_cpg *c = of_cpg(handle);
	bool peer = false, self = false;

	if (!c)
		return;
	for (size_t i = 0; i < members_len; i++) {
		if (members[i].nodeid == c->node)
			self |= members[i].pid == (uint32_t)getpid();
		else if (members[i].nodeid && members[i].nodeid <= HA_NODE_MAX)
			peer = true;
	}
	for (size_t i = 0; i < left_len; i++)
		if (left[i].nodeid != c->node &&
		    left[i].nodeid <= HA_NODE_MAX && !peer)
			c->left = left_reason(left[i].reason);
	if (peer) {
		c->left = HA_LEFT_NOT;
		c->peer_seen = true;
	}
	c->self = self;
	c->peer = peer;
	post_members(c);
}

static void on_totem(cpg_handle_t handle, struct cpg_ring_id ring,
		     uint32_t members_len, const uint32_t *members)
{
	struct ha_cpg *c = of_cpg(handle);

	if (!c)
		return;
	c->ring_seq = ring.seq;
	if (c->self)
		post_members(c);
}

static void on_quorum(quorum_handle_t handle, uint32_t quorate,
		      uint64_t ring_seq, uint32_t members_len,
		      uint32_t *members)
{
	const void *ctx = NULL;
	struct note *n;

	if (quorum_context_get(handle, &ctx) != CS_OK || !ctx)
		return;
	n = note_create(NOTE_QUORUM, NULL, 0);
	if (!n)
		return;
	n->self = quorate != 0;
	n->ring_seq = ring_seq;
	post((struct ha_cpg *)(uintptr_t)ctx, n);
}

/* ---- connecting
 * ---------------------------------------------------------------- */

static bool cpg_open(struct ha_cpg *c, const char **why)
{
	cpg_model_v1_data_t model = {
		.model = CPG_MODEL_V1,
		.cpg_deliver_fn = on_deliver,
		.cpg_confchg_fn = on_confchg,
		.cpg_totem_confchg_fn = on_totem,
		.flags = CPG_MODEL_V1_DELIVER_INITIAL_TOTEM_CONF,
	};
	unsigned nodeid = 0;
	cs_error_t err;

	*why = "corosync does not answer";
	if (cpg_model_initialize(&c->cpg, CPG_MODEL_V1,
				 (cpg_model_data_t *)&model, c) != CS_OK)
		return false;
	*why = "cpg has no file descriptor";
	if (cpg_fd_get(c->cpg, &c->cpg_fd) != CS_OK ||
	    cpg_local_get(c->cpg, &nodeid) != CS_OK)
		goto err_finalize;
	*why = "corosync's nodeid is not the id in node.conf";
	if (nodeid != c->node)
		goto err_finalize;
	*why = "the group cannot be joined";
	do {
		err = cpg_join(c->cpg, &c->group);
		if (err == CS_ERR_TRY_AGAIN)
			poll(NULL, 0, RETRY_MS);
	} while (err == CS_ERR_TRY_AGAIN && !atomic_load(&c->stop));
	if (err != CS_OK)
		goto err_finalize;
	return true;

err_finalize:
	cpg_finalize(c->cpg);
	return false;
}

static bool quorum_open(struct ha_cpg *c)
{
	quorum_callbacks_t callbacks = {.quorum_notify_fn = on_quorum};
	uint32_t type = 0;

	if (quorum_initialize(&c->quorum, &callbacks, &type) != CS_OK)
		return false;
	if (quorum_context_set(c->quorum, c) != CS_OK ||
	    quorum_fd_get(c->quorum, &c->quorum_fd) != CS_OK ||
	    quorum_trackstart(c->quorum, CS_TRACK_CHANGES | CS_TRACK_CURRENT) !=
		    CS_OK) {
		quorum_finalize(c->quorum);
		return false;
	}
	return true;
}

static bool connect_corosync(struct ha_cpg *c)
{
	const char *why;

	if (!cpg_open(c, &why)) {
		post_link(c, false, why);
		return false;
	}
	if (!quorum_open(c)) {
		cpg_finalize(c->cpg);
		post_link(c, false,
			  "corosync's quorum service does not answer");
		return false;
	}
	c->connected = true;
	c->backoff_ms = BACKOFF_FIRST_MS;
	/* How the peer left while we were away is not known: beats decide. */
	c->left = c->peer_seen ? HA_LEFT_NODEDOWN : HA_LEFT_NEVER;
	post_link(c, true, "connected");
	atomic_store(&c->up, true);
	return true;
}

static void disconnect_corosync(struct ha_cpg *c, const char *why)
{
	if (!c->connected)
		return;
	c->connected = false;
	atomic_store(&c->up, false);
	cpg_finalize(c->cpg);
	quorum_finalize(c->quorum);
	/* What was queued belongs to a group that is gone. */
	pthread_mutex_lock(&c->lock);
	queue_empty(&c->out);
	pthread_mutex_unlock(&c->lock);
	post_link(c, false, why);
	c->self = false;
	c->peer = false;
	if (c->peer_seen)
		c->left = HA_LEFT_NODEDOWN;
	post_members(c);
}

/* ---- the thread
 * ------------------------------------------------------------------ */

/* False when corosync is gone. */
static bool dispatch_cpg(struct ha_cpg *c)
{
	for (int i = 0; i < DISPATCH_BUDGET; i++) {
		cs_error_t err;

		if (in_queue_len(c) >= c->queue_frames)
			return true;
		err = cpg_dispatch(c->cpg, CS_DISPATCH_ONE_NONBLOCKING);
		if (err == CS_ERR_TRY_AGAIN)
			return true;
		if (err != CS_OK)
			return false;
	}
	return true;
}

/* Milliseconds to the next try, -1 when corosync is gone. */
static int send_queued(struct ha_cpg *c)
{
	for (int i = 0; i < SEND_BUDGET; i++) {
		struct iovec iov;
		struct note *n;
		cs_error_t err;

		pthread_mutex_lock(&c->lock);
		n = c->out.head;
		pthread_mutex_unlock(&c->lock);
		if (!n)
			return IDLE_MS;
		/* Only this thread takes from the queue: n stays. */
		iov.iov_base = n->data;
		iov.iov_len = n->size;
		err = cpg_mcast_joined(c->cpg, CPG_TYPE_AGREED, &iov, 1);
		if (err == CS_ERR_TRY_AGAIN)
			return RETRY_MS;
		if (err != CS_OK)
			return -1;
		pthread_mutex_lock(&c->lock);
		n = queue_take(&c->out);
		pthread_mutex_unlock(&c->lock);
		free(n);
	}
	return 0;
}

static void wait_to_reconnect(struct ha_cpg *c)
{
	struct pollfd p = {.fd = c->to_thread, .events = POLLIN};
	eventfd_t value;

	if (poll(&p, 1, (int)c->backoff_ms) > 0 &&
	    eventfd_read(c->to_thread, &value) < 0)
		return;
	c->backoff_ms *= 2;
	if (c->backoff_ms > BACKOFF_MAX_MS)
		c->backoff_ms = BACKOFF_MAX_MS;
}

static void serve(struct ha_cpg *c)
{
	struct pollfd p[3] = {
		{.fd = c->to_thread, .events = POLLIN},
		{.fd = c->cpg_fd, .events = POLLIN},
		{.fd = c->quorum_fd, .events = POLLIN},
	};
	int timeout_ms = send_queued(c);
	eventfd_t value;

	if (timeout_ms < 0) {
		disconnect_corosync(c, "corosync refuses to send");
		return;
	}
	if (in_queue_len(c) >= c->queue_frames) {
		p[1].fd = -1; /* the main thread must catch up first */
		timeout_ms = RETRY_MS;
	}
	if (poll(p, 3, timeout_ms) < 0)
		return;
	if (p[0].revents && eventfd_read(c->to_thread, &value) < 0)
		p[0].revents = 0;
	if (p[1].revents && !dispatch_cpg(c)) {
		disconnect_corosync(c, "corosync is gone");
		return;
	}
	if (p[2].revents) {
		cs_error_t err = quorum_dispatch(c->quorum, CS_DISPATCH_ALL);

		if (err != CS_OK && err != CS_ERR_TRY_AGAIN)
			disconnect_corosync(c, "corosync's quorum is gone");
	}
}

static void *run(void *arg)
{
	struct ha_cpg *c = arg;

	while (!atomic_load(&c->stop)) {
		if (c->connected)
			serve(c);
		else if (!connect_corosync(c))
			wait_to_reconnect(c);
	}
	if (c->connected) {
		cpg_leave(c->cpg, &c->group);
		cpg_finalize(c->cpg);
		quorum_finalize(c->quorum);
	}
	return NULL;
}

/* ---- main thread
 * ------------------------------------------------------------------- */

static int start_thread(struct ha_cpg *c)
{
	sigset_t all, old;
	int err;

	/* Signals are the main thread's. */
	sigfillset(&all);
	pthread_sigmask(SIG_SETMASK, &all, &old);
	err = pthread_create(&c->thread, NULL, run, c);
	pthread_sigmask(SIG_SETMASK, &old, NULL);
	return -err;
}

int ha_cpg_create(struct ha_cpg **out, const struct ha_cpg_params *p)
{
	struct ha_cpg *c;
	size_t len = strlen(p->group);
	int err;

	if (len == 0 || len >= CPG_MAX_NAME_LENGTH || p->node == 0 ||
	    p->node > HA_NODE_MAX || p->queue_frames == 0)
		return -EINVAL;
	c = calloc(1, sizeof(*c));
	if (!c)
		return -ENOMEM;
	c->node = p->node;
	c->queue_frames = p->queue_frames;
	c->ops = p->ops;
	c->ctx = p->ctx;
	c->left = HA_LEFT_NEVER;
	c->backoff_ms = BACKOFF_FIRST_MS;
	c->group.length = (uint32_t)len;
	memcpy(c->group.value, p->group, len);
	queue_init(&c->in);
	queue_init(&c->out);
	pthread_mutex_init(&c->lock, NULL);
	c->to_main = eventfd(0, EFD_NONBLOCK | EFD_CLOEXEC);
	err = -errno;
	if (c->to_main < 0)
		goto err_free;
	c->to_thread = eventfd(0, EFD_NONBLOCK | EFD_CLOEXEC);
	err = -errno;
	if (c->to_thread < 0)
		goto err_to_main;
	err = start_thread(c);
	if (err)
		goto err_to_thread;
	*out = c;
	return 0;

err_to_thread:
	close(c->to_thread);
err_to_main:
	close(c->to_main);
err_free:
	pthread_mutex_destroy(&c->lock);
	free(c);
	return err;
}

void ha_cpg_destroy(struct ha_cpg *c)
{
	struct timespec deadline;

	if (!c)
		return;
	atomic_store(&c->stop, true);
	signal_fd(c->to_thread);
	clock_gettime(CLOCK_REALTIME, &deadline);
	deadline.tv_sec += JOIN_TIMEOUT_S;
	if (pthread_timedjoin_np(c->thread, NULL, &deadline)) {
		/* Stuck inside corosync: it still uses *c, so *c stays. */
		pthread_detach(c->thread);
		return;
	}
	queue_empty(&c->in);
	queue_empty(&c->out);
	pthread_mutex_destroy(&c->lock);
	close(c->to_thread);
	close(c->to_main);
	free(c);
}

int ha_cpg_fd(const struct ha_cpg *c)
{
	return c->to_main;
}

static void dispatch_note(struct ha_cpg *c, const struct note *n)
{
	switch (n->type) {
	case NOTE_DELIVER:
		c->ops->deliver(c->ctx, n->from, n->data, n->size);
		break;
	case NOTE_MEMBERS:
		c->ops->members(c->ctx, n->self, n->peer, n->left, n->ring_seq);
		break;
	case NOTE_QUORUM:
		c->ops->quorum(c->ctx, n->self, n->ring_seq);
		break;
	case NOTE_LINK:
		c->ops->link(c->ctx, n->self, (const char *)n->data);
		break;
	}
}

void ha_cpg_dispatch(struct ha_cpg *c)
{
	eventfd_t value;

	if (eventfd_read(c->to_main, &value) < 0 && errno != EAGAIN)
		return;
	for (int i = 0; i < DISPATCH_BUDGET; i++) {
		struct note *n;

		pthread_mutex_lock(&c->lock);
		n = queue_take(&c->in);
		pthread_mutex_unlock(&c->lock);
		if (!n)
			return;
		dispatch_note(c, n);
		free(n);
	}
	signal_fd(c->to_main); /* the rest in the loop's next turn */
}

int ha_cpg_send(struct ha_cpg *c, const void *frame, size_t size)
{
	struct note *n;
	bool full;

	if (size > HA_FRAME_MAX_BYTES)
		return -EMSGSIZE;
	if (!atomic_load(&c->up))
		return -ENOTCONN;
	n = note_create(NOTE_DELIVER, frame, size);
	if (!n)
		return -ENOMEM;
	pthread_mutex_lock(&c->lock);
	full = c->out.len >= c->queue_frames;
	if (!full)
		queue_add(&c->out, n);
	pthread_mutex_unlock(&c->lock);
	if (full) {
		free(n);
		return -EAGAIN;
	}
	signal_fd(c->to_thread);
	return 0;
}

size_t ha_cpg_queued(const struct ha_cpg *c)
{
	struct ha_cpg *m = (struct ha_cpg *)(uintptr_t)c;
	size_t len;

	pthread_mutex_lock(&m->lock);
	len = m->out.len;
	pthread_mutex_unlock(&m->lock);
	return len;
}
