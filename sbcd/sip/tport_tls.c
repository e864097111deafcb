/* tport_tls - see tport_tls.h */
struct sip_agent;
#define SU_WAKEUP_ARG_T	  struct tport_s
#define NTA_AGENT_MAGIC_T struct sip_agent

#include <tport_internal.h>

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>

#include <sofia-sip/nta.h>
#include <sofia-sip/su_tagarg.h>
#include <sofia-sip/tport_tag.h>
#include <utlist.h>

#include "sbcd/base/clock.h"
#include "sbcd/base/log.h"
#include "sbcd/sip/guard.h"
#include "sbcd/sip/tls_conn.h"
#include "sbcd/sip/tls_links.h"
#include "sbcd/sip/tport_tls.h"

enum {
	READ_SIZE = 16 * 1024,
	READS_MAX = 8, /* in one go, then it is others' turn */
	PLAIN_SIZE = 16 * 1024, /* a record */
	GATHER_SIZE = 16 * 1024,
};

struct tls_primary {
	tport_primary_t pri[1];
	struct tls_listener *listener;
};

/* A connection. */
struct tls_tport {
	tport_t tp[1];
	struct tls_tport *prev, *next; /* of the queue, while `queued` */
	bool queued;
	struct tls_link *link; /* NULL: closed, or not made yet */
	bool wants_out; /* as the root knows it */
	bool waits; /* for its turn, for a verdict: nothing is read */
	bool ended; /* the peer sends no more */
	char *plain; /* understood, not yet shown; NULL: nothing */
	size_t plain_at, plain_len;
};

/*
 * Whose handshake has something to read, in order of arrival. A step of one
 * takes as long as hundreds of messages: it is done when nothing else is to be
 * done, one at a time, and till then the kernel keeps what came.
 */
static struct tls_tport *queue;

static struct tls_tport *of(const tport_t *tp)
{
	return (struct tls_tport *)tp;
}

static struct tls_conn *conn_of(const struct tls_tport *t)
{
	return t->link ? tls_link_conn(t->link) : NULL;
}

static bool is_open(const struct tls_tport *t)
{
	return t->link && tls_conn_state(conn_of(t)) == TLS_CONN_OPEN;
}

/* ---- events ---------------------------------------------------------------
 */

/*
 * What the stack has queued is no reason to wait for room in the socket while
 * the handshake goes on.
 */
static bool wants_out(struct tls_tport *t)
{
	const void *data;

	if (!t->link)
		return false;
	return tls_conn_output(conn_of(t), &data) ||
	       (is_open(t) && tport_has_queued(t->tp));
}

/* What comes meanwhile the kernel keeps, as far as it likes. */
static bool waits(const struct tls_tport *t)
{
	return t->queued ||
	       (t->link && tls_conn_state(conn_of(t)) == TLS_CONN_VERDICT);
}

static int set_events(tport_t const *self)
{
	struct tls_tport *t = of(self);
	int mask = self->tp_events;

	t->waits = waits(t);
	if (t->waits)
		mask &= ~SU_WAIT_IN;

	/* Till it is connected the stack waits for nothing else. */
	if (self->tp_is_connected) {
		t->wants_out = wants_out(t);
		mask &= ~SU_WAIT_OUT;
		mask |= t->wants_out ? SU_WAIT_OUT : 0;
	}
	return su_root_eventmask(self->tp_master->mr_root, self->tp_index,
				 self->tp_socket, mask);
}

static void update_events(struct tls_tport *t)
{
	if (!t->tp->tp_closed && t->tp->tp_is_connected &&
	    (wants_out(t) != t->wants_out || waits(t) != t->waits))
		set_events(t->tp);
}

/* ---- the socket -----------------------------------------------------------
 */

/* 0 or errno. */
static int flush(struct tls_tport *t)
{
	struct tls_conn *c = conn_of(t);
	const void *data;
	size_t size;

	while (c && (size = tls_conn_output(c, &data))) {
		su_iovec_t iov = {.siv_base = (void *)data, .siv_len = size};
		issize_t n = su_vsend(t->tp->tp_socket, &iov, 1, MSG_NOSIGNAL,
				      NULL, 0);

		if (n < 0)
			return su_is_blocking(errno) ? 0 : errno;
		tls_conn_sent(c, (size_t)n);
	}
	return 0;
}

/* 0 or errno. An end is no error. */
static int fill(struct tls_tport *t)
{
	struct tls_conn *c = conn_of(t);
	char buf[READ_SIZE];

	for (unsigned i = 0; i < READS_MAX && !t->ended; i++) {
		size_t room = tls_conn_room(c);
		ssize_t n;

		if (!room)
			return 0;
		n = recv(t->tp->tp_socket, buf,
			 room < sizeof(buf) ? room : sizeof(buf), MSG_DONTWAIT);
		if (n < 0 && su_is_blocking(errno))
			return 0;
		if (n < 0) {
			int err = errno;

			(void)!tls_conn_feed_end(c);
			return err;
		}
		t->ended = !n;
		if (n ? tls_conn_feed(c, buf, (size_t)n) : tls_conn_feed_end(c))
			return EPROTO;
		if ((size_t)n < sizeof(buf))
			return 0;
	}
	return 0;
}

/* ---- from the peer --------------------------------------------------------
 */

static void drop_plain(struct tls_tport *t)
{
	free(t->plain);
	t->plain = NULL;
	t->plain_at = t->plain_len = 0;
}

/* As tls_conn_read(). */
static ssize_t more_plain(struct tls_tport *t)
{
	ssize_t n;

	if (t->plain_at < t->plain_len)
		return (ssize_t)(t->plain_len - t->plain_at);
	if (!t->plain)
		t->plain = malloc(PLAIN_SIZE);
	if (!t->plain)
		return -ENOMEM;
	n = tls_conn_read(conn_of(t), t->plain, PLAIN_SIZE);
	t->plain_at = 0;
	t->plain_len = n > 0 ? (size_t)n : 0;
	if (n <= 0)
		drop_plain(t);
	return n;
}

/* Between messages: RFC 5626 section 3.5.1. How many bytes. */
static size_t skip_keepalives(struct tls_tport *t)
{
	size_t n = 0;

	while (!t->tp->tp_msg && t->plain_at < t->plain_len &&
	       strchr("\r\n", t->plain[t->plain_at])) {
		t->plain_at++;
		n++;
	}
	return n;
}

/* -1 with errno, or 0. */
static int show(struct tls_tport *t, size_t size)
{
	msg_iovec_t iov[msg_n_fragments] = {{0}};
	ssize_t len = tport_recv_iovec(t->tp, &t->tp->tp_msg, iov, size, 0);
	size_t done = 0;

	if (len < 0)
		return -1;
	msg_set_address(t->tp->tp_msg, t->tp->tp_addr,
			(socklen_t)t->tp->tp_addrlen);
	/* Fewer where the message is too large. */
	for (ssize_t i = 0; i < len && done < size; i++) {
		size_t n = iov[i].mv_len < size - done ? iov[i].mv_len
						       : size - done;

		memcpy(iov[i].mv_base, t->plain + t->plain_at + done, n);
		done += n;
	}
	t->plain_at += done;
	tport_recv_bytes(t->tp, (ssize_t)done, (ssize_t)done);
	msg_recv_commit(t->tp->tp_msg, done, 0);
	return 0;
}

static int end_of_stream(struct tls_tport *t)
{
	if (t->tp->tp_msg)
		msg_recv_commit(t->tp->tp_msg, 0, 1);
	return 0;
}

/* One message or a part of it. 0: the end, 1: that was all, 2: there is more,
 * -1: errno. */
static int receive(tport_t *self)
{
	struct tls_tport *t = of(self);
	ssize_t n;

	if (self->tp_closed || !t->link)
		return 0;
	n = more_plain(t);
	if (n == -EAGAIN)
		return 1;
	if (!n)
		return end_of_stream(t);
	if (n < 0) {
		errno = (int)-n;
		return -1;
	}
	/* It is not to be read any more, or this node is quiet now. */
	if (self->tp_recv_close)
		n = 0;
	else if (skip_keepalives(t))
		n = (ssize_t)(t->plain_len - t->plain_at);
	if (n)
		n = guard_input(self->tp_socket, t->plain + t->plain_at,
				(size_t)n);
	if (n < 0) {
		errno = (int)-n;
		return -1;
	}
	if (!n)
		drop_plain(t);
	else if (show(t, (size_t)n))
		return -1;
	return 2;
}

/* ---- to the peer ----------------------------------------------------------
 */

struct gather {
	struct tls_conn *conn;
	size_t len, written; /* held here, taken by the connection */
	char data[GATHER_SIZE];
};

/* A record of what has come together; false: no room, or failed (errno). */
static bool write_out(struct gather *g)
{
	ssize_t n = g->len ? tls_conn_write(g->conn, g->data, g->len) : 0;

	if (n < 0) {
		errno = (int)-n;
		return false;
	}
	g->written += (size_t)n;
	errno = EAGAIN;
	if ((size_t)n < g->len)
		return false;
	g->len = 0;
	return true;
}

/* Fragments of a message are headers: they go together into records. */
static bool gather(struct gather *g, const msg_iovec_t *iov)
{
	const char *at = iov->mv_base;
	size_t left = iov->mv_len;

	while (left) {
		size_t n = GATHER_SIZE - g->len;

		if (n > left)
			n = left;
		memcpy(g->data + g->len, at, n);
		g->len += n;
		at += n;
		left -= n;
		if (g->len == GATHER_SIZE && !write_out(g))
			return false;
	}
	return true;
}

/* How many bytes of the message the connection has taken; -1: errno. */
static ssize_t send_message(tport_t const *self, msg_t *msg, msg_iovec_t iov[],
			    size_t iovused)
{
	struct tls_tport *t = of(self);
	struct gather g;
	bool room = true;
	int err;

	if (!t->link) {
		errno = EPIPE;
		return -1;
	}
	g.conn = conn_of(t);
	g.len = g.written = 0;
	if (self->tp_is_connected && is_open(t)) {
		for (size_t i = 0; i < iovused && room; i++)
			room = gather(&g, &iov[i]);
		room = room && write_out(&g);
	} else {
		room = false;
		errno = tls_conn_is_opening(g.conn) ? EAGAIN : EPIPE;
	}
	err = room ? 0 : errno;
	if (self->tp_is_connected) {
		int bad = flush(t);

		if (bad)
			err = bad;
		update_events(t);
	}
	if (g.written)
		return (ssize_t)g.written;
	errno = err;
	return err ? -1 : 0;
}

/* ---- its life -------------------------------------------------------------
 */

static void on_verdict(void *ctx);

static int init_primary(tport_primary_t *pri, tp_name_t tpn[1],
			su_addrinfo_t *ai, tagi_t const *tags,
			char const **culprit)
{
	struct tls_primary *p = (struct tls_primary *)pri;
	struct sip_agent *a =
		nta_agent_magic((nta_agent_t *)pri->pri_master->mr_stack);
	char const *profile = NULL;
	int err;

	tl_gets(tags, TPTAG_CERTIFICATE_REF(profile), TAG_END());
	err = tls_listener_create(&p->listener, a, profile ? profile : "");
	if (err) {
		errno = -err;
		*culprit = "tls-profile";
		return -1;
	}
	/* pri_has_tls stays unset: with it the stack would compare names of its
	 * own with certificates. */
	return tport_tcp_init_primary(pri, tpn, ai, tags, culprit);
}

static void deinit_primary(tport_primary_t *pri)
{
	struct tls_primary *p = (struct tls_primary *)pri;

	tls_listener_destroy(p->listener);
	p->listener = NULL;
}

static int init_secondary(tport_t *self, int socket, int accepted,
			  char const **reason)
{
	struct tls_tport *t = of(self);
	struct tls_primary *p = (struct tls_primary *)self->tp_pri;
	struct sockaddr_storage ss;
	socklen_t len = sizeof(ss);
	struct addr from;
	int err = 0;

	if (tport_tcp_init_secondary(self, socket, accepted, reason) < 0)
		return -1;
	/* Whom we connect to is not known here yet. */
	if (!accepted)
		return 0;
	if (getpeername(socket, (struct sockaddr *)&ss, &len) ||
	    addr_from_sockaddr(&from, (struct sockaddr *)&ss))
		err = -ENOTCONN;
	if (!err)
		err = tls_link_accept(&t->link, p->listener, &from);
	if (err) {
		*reason = "tls";
		errno = -err;
		return -1;
	}
	tls_link_on_verdict(t->link, on_verdict, t);
	/* The stack sets it when something came, which may be never. */
	tport_set_secondary_timer(self);
	return 0;
}

static void unqueue(struct tls_tport *t)
{
	if (t->queued)
		DL_DELETE(queue, t);
	t->queued = false;
}

static void end_link(struct tls_tport *t)
{
	unqueue(t);
	drop_plain(t);
	if (t->link)
		tls_link_end(t->link);
	t->link = NULL;
}

static void deinit_secondary(tport_t *self)
{
	end_link(of(self));
}

static tport_t *connect_to(tport_primary_t *pri, su_addrinfo_t *ai,
			   tp_name_t const *tpn)
{
	struct sip_agent *a =
		nta_agent_magic((nta_agent_t *)pri->pri_master->mr_stack);
	struct addr to;
	tport_t *self;
	int err;

	if (addr_from_sockaddr(&to, ai->ai_addr) || !tls_link_whom(a, &to)) {
		errno = EACCES;
		return NULL;
	}
	self = tport_base_connect(pri, ai, ai, tpn);
	if (!self)
		return NULL;
	err = tls_link_connect(&of(self)->link, a, &to);
	if (err) {
		tport_zap_secondary(self);
		errno = -err;
		return NULL;
	}
	tls_link_on_verdict(of(self)->link, on_verdict, of(self));
	tport_set_secondary_timer(self);
	return self;
}

static void shut_down(tport_t *self, int how)
{
	struct tls_tport *t = of(self);

	if (how && t->link) {
		/* Cut off in the handshake: that is to be said, too. */
		if (self->tp_is_connected &&
		    tls_conn_state(conn_of(t)) == TLS_CONN_HANDSHAKE)
			(void)!tls_conn_feed_end(conn_of(t));
		tls_link_look(t->link);
		tls_conn_close(conn_of(t));
		if (self->tp_is_connected)
			(void)flush(t);
	}
	if (self->tp_socket != INVALID_SOCKET)
		shutdown(self->tp_socket, how);
	if (how == 2)
		end_link(t);
}

static void show_input(tport_t *self, bool just_opened)
{
	if (just_opened && tport_has_queued(self))
		tport_send_event(self);
	if (!self->tp_closed)
		tport_recv_event(self);
}

static void handle_input(tport_t *self, int *error)
{
	struct tls_tport *t = of(self);
	bool opening = tls_conn_is_opening(conn_of(t));
	int err = fill(t), out;

	tls_link_look(t->link);
	/* The handshake's next part, or an alert that says why not. */
	out = flush(t);
	if (!*error)
		*error = err ? err : out;
	if (!*error && !tls_conn_is_opening(conn_of(t)))
		show_input(self, opening);
}

/* Whoever was asked about the peer has answered, or was given up. */
static void on_verdict(void *ctx)
{
	struct tls_tport *t = ctx;
	tport_t *self = t->tp;
	int error;

	if (self->tp_closed || !t->link)
		return;
	error = flush(t);
	if (!error && !is_open(t))
		error = EPROTO;
	if (error)
		tport_error_report(self, error, NULL);
	else
		show_input(self, true);
	update_events(t);
}

/* What is left to be done at once. Those we connect to are few. */
static int defer(struct tls_tport *t, int events)
{
	if (!t->tp->tp_accepted || t->tp->tp_closed || !t->link ||
	    tls_conn_state(conn_of(t)) != TLS_CONN_HANDSHAKE ||
	    !(events & (SU_WAIT_IN | SU_WAIT_HUP)))
		return events;
	if (!t->queued)
		DL_APPEND(queue, t);
	t->queued = true;
	return events & ~(SU_WAIT_IN | SU_WAIT_HUP);
}

bool tport_tls_turn(void)
{
	struct tls_tport *t = queue;
	int error = 0;

	if (!t)
		return false;
	unqueue(t);
	handle_input(t->tp, &error);
	if (!t->tp->tp_closed && error)
		tport_error_report(t->tp, error, NULL);
	update_events(t);
	return queue;
}

static int wake_up(tport_t *self, int events)
{
	struct tls_tport *t = of(self);
	int error = 0;

	events = defer(t, events);
	if (events & SU_WAIT_ERR)
		error = tport_error_event(self);
	if (error < 0)
		error = 0;
	if (!self->tp_closed && t->link &&
	    (events & (SU_WAIT_IN | SU_WAIT_HUP)) &&
	    ((self->tp_events & SU_WAIT_IN) || !is_open(t)))
		handle_input(self, &error);
	if (!self->tp_closed && !error && (events & SU_WAIT_OUT)) {
		error = flush(t);
		if (!error && is_open(t) && tport_has_queued(self))
			tport_send_event(self);
	}
	if (!self->tp_closed && !error && (events & SU_WAIT_HUP))
		tport_hup_event(self);
	if (!self->tp_closed && error)
		tport_error_report(self, error, NULL);
	update_events(t);
	return 0;
}

/* ---- time -----------------------------------------------------------------
 */

static int next_timer(tport_t *self, su_time_t *target, char const **why)
{
	struct tls_tport *t = of(self);
	uint64_t now_ms = clock_mono_ms(), due_ms;
	su_time_t at;

	/* This is all the stack asks when it has connected with nothing to
	 * send; the handshake is to begin nevertheless. */
	update_events(t);
	if (t->link && tls_conn_is_opening(conn_of(t))) {
		due_ms = tls_link_deadline_ms(t->link);
		at = su_time_add(
			su_now(),
			due_ms > now_ms ? (su_duration_t)(due_ms - now_ms) : 0);
		if (su_time_cmp(at, *target) < 0) {
			*target = at;
			*why = "handshake";
		}
	}
	return tport_next_recv_timeout(self, target, why);
}

static void on_timer(tport_t *self, su_time_t now)
{
	struct tls_tport *t = of(self);

	if (t->link && tls_conn_expire(conn_of(t), clock_mono_ms())) {
		tls_link_look(t->link);
		tport_error_report(self, ETIMEDOUT, NULL);
		if (!self->tp_closed)
			tport_close(self);
		return;
	}
	tport_recv_timeout_timer(self, now);
	tport_base_timer(self, now);
}

/* ---- the stack's ----------------------------------------------------------
 */

static const tport_vtable_t vtable = {
	.vtp_name = "tls",
	.vtp_public = tport_type_local,
	.vtp_pri_size = sizeof(struct tls_primary),
	.vtp_init_primary = init_primary,
	.vtp_deinit_primary = deinit_primary,
	.vtp_wakeup_pri = tport_accept,
	.vtp_connect = connect_to,
	.vtp_secondary_size = sizeof(struct tls_tport),
	.vtp_init_secondary = init_secondary,
	.vtp_deinit_secondary = deinit_secondary,
	.vtp_shutdown = shut_down,
	.vtp_set_events = set_events,
	.vtp_wakeup = wake_up,
	.vtp_recv = receive,
	.vtp_send = send_message,
	.vtp_next_secondary_timer = next_timer,
	.vtp_secondary_timer = on_timer,
};

int tport_tls_register(void)
{
	const tport_vtable_t *tcp = &tport_tcp_vtable;
	static bool registered;

	/* What the library says of its structures is what the header says. */
	if (tcp->vtp_pri_size != sizeof(tport_primary_t) ||
	    tcp->vtp_secondary_size != sizeof(tport_t) ||
	    tcp->vtp_recv != tport_recv_stream ||
	    tcp->vtp_init_primary != tport_tcp_init_primary)
		return -EPROTO;
	if (!registered && tport_register_type(&vtable) < 0)
		return -ENOMEM;
	registered = true;
	return 0;
}

struct tls_link *tport_tls_link(const struct tport_s *tp)
{
	if (!tp || !tport_is_secondary(tp) || tp->tp_pri->pri_vtable != &vtable)
		return NULL;
	return of(tp)->link;
}

int tport_open(struct tport_s *primary, const struct addr *to)
{
	tport_primary_t *pri = primary->tp_pri;
	char host[ADDR_TEXT_SIZE];
	tp_name_t name[1] = {*primary->tp_name};
	struct sockaddr_storage ss;
	su_addrinfo_t ai = {
		.ai_family = to->family == ADDR_V6 ? AF_INET6 : AF_INET,
		.ai_socktype = SOCK_STREAM,
		.ai_protocol = IPPROTO_TCP,
		.ai_addrlen = addr_to_sockaddr(to, &ss),
		.ai_addr = (struct sockaddr *)&ss,
	};
	const tport_t *tp;

	name->tpn_canon = addr_format_ip(to, host, sizeof(host));
	errno = ECONNREFUSED;
	tp = pri->pri_vtable == &vtable
		     ? connect_to(pri, &ai, name)
		     : tport_base_connect(pri, &ai, &ai, name);
	return tp ? 0 : -errno;
}
