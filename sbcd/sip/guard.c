/*
 * What stands between the network and the stack: this executable defines
 * functions the stack calls in its own library, and so gets to see its
 * sockets first (the program is linked with -rdynamic).
 *
 * su_vrecv       drops input while deaf and input that crashed a worker
 *                before; notes what is about to be parsed
 * su_vsend       takes a datagram that the shut gate or a full queue dropped
 *                for one that the network lost; all of them once mute
 * su_getaddrinfo never asks a name server: a Via with a host name in maddr
 *                would stop everything for as long as that takes
 * su_socket, su_close, accept   bound the connections of each listener
 * bind           chooses the ports of connections
 * connect        sees where the stack's connections go
 */
#include <errno.h>
#include <fcntl.h>
#include <netdb.h>
#include <netinet/in.h>
#include <stdlib.h>
#include <string.h>
#include <sys/random.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "sbcd/base/clock.h"
#include "sbcd/base/log.h"
#include "sbcd/sip/quarantine.h"
#include "sbcd/sip/sip_int.h"

enum { FDS_MAX = 65536, VECTORS_MAX = 16 };
/* Of connections: the kernel's own range, in two halves. */
enum { PORT_FIRST = 32768, PORT_HALF = 14116, PORT_TRIES = 64 };

/* Who is connected to a listener, by address. */
struct source {
	UT_hash_handle hh;
	struct source_key {
		uint32_t listener;
		struct addr from; /* no port */
	} key;
	uint32_t conns;
};

static struct {
	struct counters *counters;
	bool listening, mute;
	uint64_t first_us, first_tls_us; /* first input since it listens */
	bool busy;
	struct busy_input reading;
	uint32_t cap_next, per_source_next;
	uint32_t cap[FDS_MAX], per_source[FDS_MAX]; /* of a listener */
	uint32_t conns[FDS_MAX]; /* of a listener */
	uint32_t listener[FDS_MAX]; /* of a connection, fd + 1 */
	struct source *sources, *source[FDS_MAX]; /* of a connection */
	bool stream[FDS_MAX], dgram[FDS_MAX]; /* of the stack */
	uint64_t opened[FDS_MAX]; /* id of a connection, 0 = none */
	uint16_t port_first; /* 0: the kernel chooses */
	const struct guard_conn_ops *watch;
	void *watch_ctx;
	struct input inputs[FDS_MAX]; /* of a stream */
	struct quarantine quarantine;
} guard;

void guard_init(struct counters *counters, const uint8_t key[16])
{
	guard.counters = counters;
	memcpy(guard.quarantine.key.bytes, key,
	       sizeof(guard.quarantine.key.bytes));
}

void guard_listen(bool on)
{
	if (on && !guard.listening)
		guard.first_us = guard.first_tls_us = 0;
	guard.listening = on;
}

void guard_mute(void)
{
	guard.mute = true;
}

uint64_t guard_first_us(bool tls)
{
	return tls ? guard.first_tls_us : guard.first_us;
}

void guard_cap(uint32_t max, uint32_t per_source)
{
	guard.cap_next = max;
	guard.per_source_next = per_source;
}

void guard_watch(const struct guard_conn_ops *ops, void *ctx)
{
	guard.watch = ops;
	guard.watch_ctx = ctx;
}

void guard_quarantine(unsigned slot, const struct rec_quarantine *r)
{
	quarantine_set(&guard.quarantine, slot, r, clock_pair_ms());
	if (r)
		log_notice("event=sip-quarantine hash=%016llx bytes=%u",
			   (unsigned long long)r->hash, r->size);
}

void guard_building(uint64_t id)
{
	struct ha_key key;

	memset(&key, 0, sizeof(key));
	key.id = id;
	if (id)
		counters_set_busy(guard.counters, BUSY_RECORD, &key,
				  sizeof(key));
	else if (guard.busy)
		counters_set_busy(guard.counters, BUSY_INPUT, &guard.reading,
				  sizeof(guard.reading));
	else
		counters_set_busy(guard.counters, BUSY_NOTHING, NULL, 0);
}

void guard_idle(void)
{
	if (!guard.busy)
		return;
	guard.busy = false;
	counters_set_busy(guard.counters, BUSY_NOTHING, NULL, 0);
}

static bool tracked(int fd)
{
	return fd >= 0 && fd < FDS_MAX;
}

static void source_of(int fd, const struct sockaddr *sa, struct addr *out)
{
	struct sockaddr_storage peer;
	socklen_t len = sizeof(peer);

	if (!sa) {
		sa = (const struct sockaddr *)&peer;
		if (getpeername(fd, (struct sockaddr *)&peer, &len)) {
			memset(out, 0, sizeof(*out));
			return;
		}
	}
	if (addr_from_sockaddr(out, sa))
		memset(out, 0, sizeof(*out));
}

static bool is_text(char first)
{
	return (first >= 'A' && first <= 'Z') ||
	       (first >= 'a' && first <= 'z') || first == '\r' || first == '\n';
}

/* Each vector's bytes go into the message; false: it is poison. */
static bool examine(struct input *in, const struct iovec *iov, size_t len,
		    size_t size)
{
	uint64_t now_ms = guard.quarantine.used ? clock_pair_ms() : 0;

	for (size_t i = 0; i < len && size; i++) {
		size_t n = iov[i].iov_len < size ? iov[i].iov_len : size;

		if (!quarantine_passes(&guard.quarantine, in, iov[i].iov_base,
				       n, now_ms)) {
			counters_add(guard.counters, COUNTER_sip_rx_quarantined,
				     1);
			log_rated(LOG_WARNING, "event=sip-input-quarantined");
			return false;
		}
		size -= n;
	}
	return true;
}

static void note_input(const struct input *in, int fd,
		       const struct sockaddr *sa)
{
	struct busy_input *what = &guard.reading;

	if (!guard.first_us)
		guard.first_us = clock_mono_ns() / 1000;

	memset(what, 0, sizeof(*what));
	what->hash = quarantine_hash(&guard.quarantine, in);
	what->size = in->size;
	source_of(fd, sa, &what->source);
	counters_set_busy(guard.counters, BUSY_INPUT, what, sizeof(*what));
	guard.busy = true;
}

/* How much of what was peeked at belongs to one message. */
static size_t one_message(struct input *in, const struct iovec *iov, size_t len,
			  size_t size, bool *ends)
{
	size_t all = 0;

	*ends = false;
	for (size_t i = 0; i < len && size && !*ends; i++) {
		size_t n = iov[i].iov_len < size ? iov[i].iov_len : size;

		all += input_measure(in, iov[i].iov_base, n, ends);
		size -= n;
	}
	return all;
}

/* The stack gets one message, or a part of it, at a time: when it dies, we
 * know of which. How much that is, or -ECONNRESET: poison. */
static ssize_t pass_one(int fd, const struct iovec *iov, size_t len,
			size_t size)
{
	struct input *in = &guard.inputs[fd];
	bool ends;

	size = one_message(in, iov, len, size, &ends);
	if (!examine(in, iov, len, size))
		return -ECONNRESET;
	note_input(in, fd, NULL);
	if (ends)
		memset(in, 0, sizeof(*in));
	return (ssize_t)size;
}

static ssize_t receive_stream(int fd, const struct iovec *from, size_t len,
			      int flags)
{
	struct iovec iov[VECTORS_MAX];
	struct msghdr hdr = {.msg_iov = iov};
	size_t left;
	ssize_t n;

	hdr.msg_iovlen = len < VECTORS_MAX ? len : VECTORS_MAX;
	memcpy(iov, from, hdr.msg_iovlen * sizeof(iov[0]));
	n = recvmsg(fd, &hdr, flags | MSG_PEEK);
	if (n <= 0)
		return n;
	n = pass_one(fd, iov, hdr.msg_iovlen, (size_t)n);
	if (n < 0) {
		errno = (int)-n;
		return -1;
	}
	left = (size_t)n;
	for (size_t i = 0; i < hdr.msg_iovlen; i++) {
		if (iov[i].iov_len > left)
			iov[i].iov_len = left;
		left -= iov[i].iov_len;
	}
	return recvmsg(fd, &hdr, flags);
}

ssize_t guard_input(int fd, const void *data, size_t size)
{
	struct iovec iov = {.iov_base = (void *)data, .iov_len = size};

	if (!guard.listening)
		return 0;
	if (!tracked(fd))
		return (ssize_t)size;
	if (!guard.first_tls_us)
		guard.first_tls_us = clock_mono_ns() / 1000;
	return pass_one(fd, &iov, 1, size);
}

static ssize_t receive_datagram(int fd, struct msghdr *hdr, int flags)
{
	ssize_t n = recvmsg(fd, hdr, flags);
	struct input in = {0};

	if (n <= 0)
		return n;
	if (!guard.listening)
		goto drop;
	/* The stack would try STUN and SigComp on what is no text. */
	if (!is_text(*(const char *)hdr->msg_iov[0].iov_base)) {
		counters_add(guard.counters, COUNTER_sip_rx_malformed, 1);
		goto drop;
	}
	if (!examine(&in, hdr->msg_iov, hdr->msg_iovlen, (size_t)n))
		goto drop;
	note_input(&in, fd, hdr->msg_name);
	return n;
drop:
	errno = EAGAIN;
	return -1;
}

issize_t su_vrecv(su_socket_t s, su_iovec_t iov[], isize_t iovlen, int flags,
		  su_sockaddr_t *su, socklen_t *sulen)
{
	struct msghdr hdr = {
		.msg_name = su,
		.msg_namelen = su && sulen ? *sulen : 0,
		.msg_iov = (struct iovec *)iov,
		.msg_iovlen = iovlen,
	};
	ssize_t n;

	if (su || !guard.listening || !tracked(s))
		n = receive_datagram(s, &hdr, flags);
	else
		n = receive_stream(s, (struct iovec *)iov, iovlen, flags);
	if (su && sulen)
		*sulen = hdr.msg_namelen;
	return n;
}

/*
 * The gate may be shut for a moment while this node is still active: a paused
 * machine, a keeper that hung. The stack would end the transaction with a 503
 * of its own, and the call with it; as a loss it is sent again.
 */
issize_t su_vsend(su_socket_t s, su_iovec_t const iov[], isize_t iovlen,
		  int flags, su_sockaddr_t const *su, socklen_t sulen)
{
	struct msghdr hdr = {
		.msg_name = (void *)su,
		.msg_namelen = su ? sulen : 0,
		.msg_iov = (struct iovec *)iov,
		.msg_iovlen = iovlen,
	};
	ssize_t n = guard.mute ? -1 : sendmsg(s, &hdr, flags);

	if (!guard.mute) {
		if (n >= 0 || !su || (errno != ENOBUFS && errno != EPERM))
			return n;
		counters_add(guard.counters, COUNTER_sip_tx_dropped, 1);
		log_rated(LOG_WARNING, "event=sip-send-dropped error=\"%s\"",
			  strerror(errno));
	}
	for (isize_t i = 0; i < iovlen; i++)
		n += (ssize_t)hdr.msg_iov[i].iov_len;
	return n + 1;
}

int su_getaddrinfo(const char *node, const char *service,
		   const su_addrinfo_t *hints, su_addrinfo_t **res)
{
	struct addrinfo h = {0};

	if (hints) {
		h.ai_flags = hints->ai_flags;
		h.ai_family = hints->ai_family;
		h.ai_socktype = hints->ai_socktype;
		h.ai_protocol = hints->ai_protocol;
	}
	if (node)
		h.ai_flags |= AI_NUMERICHOST;
	if (service)
		h.ai_flags |= AI_NUMERICSERV;
	return getaddrinfo(node, service, &h, res);
}

su_socket_t su_socket(int af, int socktype, int proto)
{
	int fd = socket(af, socktype | SOCK_CLOEXEC | SOCK_NONBLOCK, proto);
	int on = 1;

	if (fd < 0)
		return fd;
	/* IPv4 has sockets of its own. */
	if (af == AF_INET6 &&
	    setsockopt(fd, IPPROTO_IPV6, IPV6_V6ONLY, &on, sizeof(on)))
		log_rated(LOG_WARNING, "event=v6only error=\"%s\"",
			  strerror(errno));
	if (tracked(fd)) {
		guard.cap[fd] = socktype == SOCK_STREAM ? guard.cap_next : 0;
		guard.per_source[fd] = guard.per_source_next;
		guard.conns[fd] = 0;
		guard.listener[fd] = 0;
		guard.stream[fd] = socktype == SOCK_STREAM;
		guard.dgram[fd] = socktype == SOCK_DGRAM;
		guard.opened[fd] = 0;
		memset(&guard.inputs[fd], 0, sizeof(guard.inputs[fd]));
	}
	return fd;
}

void guard_no_errors(void)
{
	int off = 0;

	for (int fd = 0; fd < FDS_MAX; fd++) {
		if (!guard.dgram[fd])
			continue;
		(void)!setsockopt(fd, IPPROTO_IP, IP_RECVERR, &off,
				  sizeof(off));
		(void)!setsockopt(fd, IPPROTO_IPV6, IPV6_RECVERR, &off,
				  sizeof(off));
	}
}

void guard_ports(unsigned node)
{
	guard.port_first = (uint16_t)(PORT_FIRST + (node == 2 ? PORT_HALF : 0));
}

static uint16_t some_port(void)
{
	uint16_t r = 0;

	(void)!getrandom(&r, sizeof(r), 0);
	return (uint16_t)(guard.port_first + r % PORT_HALF);
}

int bind(int fd, const struct sockaddr *sa, socklen_t len)
{
	struct sockaddr_storage ss;
	struct addr at;
	int rc = -1;

	if (!tracked(fd) || !guard.stream[fd] || !guard.port_first ||
	    addr_from_sockaddr(&at, sa) || at.port)
		return (int)syscall(SYS_bind, fd, sa, len);
	for (unsigned i = 0; rc && i < PORT_TRIES; i++) {
		at.port = some_port();
		rc = (int)syscall(SYS_bind, fd, &ss,
				  addr_to_sockaddr(&at, &ss));
		if (rc && errno != EADDRINUSE)
			break;
	}
	return rc;
}

static void note_opened(int fd, const struct sockaddr *to)
{
	struct sockaddr_storage ss;
	socklen_t len = sizeof(ss);
	struct addr local, remote;

	if (!guard.watch || guard.opened[fd] ||
	    getsockname(fd, (struct sockaddr *)&ss, &len) ||
	    addr_from_sockaddr(&local, (struct sockaddr *)&ss) ||
	    addr_from_sockaddr(&remote, to))
		return;
	guard.opened[fd] =
		guard.watch->opened(guard.watch_ctx, &local, &remote);
}

int connect(int fd, const struct sockaddr *to, socklen_t len)
{
	int rc = (int)syscall(SYS_connect, fd, to, len);
	int err = errno;

	if (tracked(fd) && guard.stream[fd] && (!rc || err == EINPROGRESS))
		note_opened(fd, to);
	errno = err;
	return rc;
}

/* One more from there; NULL: there are enough, or there is no memory. */
static struct source *source_take(int listener, const struct sockaddr *sa)
{
	struct source_key key;
	struct addr from;
	struct source *s;

	if (addr_from_sockaddr(&from, sa))
		return NULL;
	memset(&key, 0, sizeof(key));
	key.listener = (uint32_t)listener;
	key.from.family = from.family;
	memcpy(key.from.ip, from.ip, sizeof(key.from.ip));
	HASH_FIND(hh, guard.sources, &key, sizeof(key), s);
	if (s && guard.per_source[listener] &&
	    s->conns >= guard.per_source[listener])
		return NULL;
	if (!s) {
		s = calloc(1, sizeof(*s));
		if (!s)
			return NULL;
		s->key = key;
		HASH_ADD(hh, guard.sources, key, sizeof(key), s);
		if (!s->hh.tbl) {
			free(s);
			return NULL;
		}
	}
	s->conns++;
	return s;
}

static void source_give(struct source *s)
{
	if (--s->conns)
		return;
	HASH_DEL(guard.sources, s);
	free(s);
}

int su_close(su_socket_t fd)
{
	if (tracked(fd)) {
		guard.stream[fd] = guard.dgram[fd] = false;
		if (guard.opened[fd] && guard.watch)
			guard.watch->closed(guard.watch_ctx, guard.opened[fd]);
		guard.opened[fd] = 0;
	}
	if (tracked(fd) && guard.listener[fd]) {
		guard.conns[guard.listener[fd] - 1]--;
		guard.listener[fd] = 0;
		source_give(guard.source[fd]);
		guard.source[fd] = NULL;
	}
	return close(fd);
}

/* Takes its place among those of its listener and its source. */
static bool admit(int s, int fd, const struct sockaddr *sa)
{
	struct source *from;

	if (!tracked(fd) || guard.conns[s] >= guard.cap[s] || !guard.listening)
		return false;
	from = source_take(s, sa);
	if (!from)
		return false;
	guard.source[fd] = from;
	guard.conns[s]++;
	guard.listener[fd] = (uint32_t)s + 1;
	return true;
}

/* Only the stack calls this one; everything else here uses accept4(). */
int accept(int s, struct sockaddr *sa, socklen_t *len)
{
	int fd = accept4(s, sa, len, SOCK_CLOEXEC);

	if (fd >= 0 && tracked(fd))
		memset(&guard.inputs[fd], 0, sizeof(guard.inputs[fd]));
	if (fd < 0 || !tracked(s) || !guard.cap[s] || admit(s, fd, sa))
		return fd;
	counters_add(guard.counters, COUNTER_sip_conns_refused, 1);
	log_rated(LOG_WARNING, "event=sip-connection-refused");
	close(fd);
	errno = EAGAIN;
	return -1;
}
