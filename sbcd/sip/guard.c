/*
 * What stands between the network and the stack: this executable defines
 * functions the stack calls in its own library, and so gets to see its
 * sockets first (the program is linked with -rdynamic).
 *
 * su_vrecv       drops input while deaf and input that crashed a worker
 *                before; notes what is about to be parsed
 * su_getaddrinfo never asks a name server: a Via with a host name in maddr
 *                would stop everything for as long as that takes
 * su_socket, su_close, accept   bound the connections of each listener
 */
#include <errno.h>
#include <fcntl.h>
#include <netdb.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "sbcd/base/clock.h"
#include "sbcd/base/log.h"
#include "sbcd/sip/sip_int.h"

enum {
	FDS_MAX = 65536,
	QUARANTINE_MAX = 64,
	QUARANTINE_MS = 60000,
};

struct input_id {
	uint64_t hash;
	struct addr source;
};

static struct {
	struct counters *counters;
	struct token_key key;
	bool listening;
	bool busy;
	uint32_t cap_next;
	uint32_t cap[FDS_MAX]; /* of a listener */
	uint32_t conns[FDS_MAX]; /* of a listener */
	uint32_t listener[FDS_MAX]; /* of a connection, fd + 1 */
	struct {
		uint64_t hash;
		uint64_t until_ms;
	} quarantine[QUARANTINE_MAX];
	unsigned quarantine_next;
} guard;

void guard_init(struct counters *counters, const uint8_t key[16])
{
	guard.counters = counters;
	memcpy(guard.key.bytes, key, sizeof(guard.key.bytes));
}

void guard_listen(bool on)
{
	guard.listening = on;
}

void guard_cap(uint32_t max)
{
	guard.cap_next = max;
}

void guard_quarantine(const void *hash, size_t size, uint64_t now_ms)
{
	unsigned i = guard.quarantine_next++ % QUARANTINE_MAX;

	if (size < sizeof(guard.quarantine[i].hash))
		return;
	memcpy(&guard.quarantine[i].hash, hash,
	       sizeof(guard.quarantine[i].hash));
	guard.quarantine[i].until_ms = now_ms + QUARANTINE_MS;
	log_notice("event=sip-quarantine hash=%016llx",
		   (unsigned long long)guard.quarantine[i].hash);
}

static bool quarantined(uint64_t hash)
{
	uint64_t now = 0;

	for (unsigned i = 0; i < QUARANTINE_MAX; i++) {
		if (!guard.quarantine[i].until_ms ||
		    guard.quarantine[i].hash != hash)
			continue;
		if (!now)
			now = clock_mono_ms();
		if (guard.quarantine[i].until_ms > now)
			return true;
	}
	return false;
}

void guard_idle(void)
{
	if (!guard.busy)
		return;
	guard.busy = false;
	counters_set_busy(guard.counters, BUSY_NOTHING, NULL, 0);
}

static uint64_t hash_input(const struct iovec *iov, size_t len, size_t size)
{
	uint64_t hash = size;

	for (size_t i = 0; i < len && size; i++) {
		size_t n = iov[i].iov_len < size ? iov[i].iov_len : size;
		uint64_t part[2] = {hash,
				    token_hash(&guard.key, iov[i].iov_base, n)};

		hash = token_hash(&guard.key, part, sizeof(part));
		size -= n;
	}
	return hash;
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

issize_t su_vrecv(su_socket_t s, su_iovec_t iov[], isize_t iovlen, int flags,
		  su_sockaddr_t *su, socklen_t *sulen)
{
	struct msghdr hdr = {
		.msg_name = su,
		.msg_namelen = su && sulen ? *sulen : 0,
		.msg_iov = (struct iovec *)iov,
		.msg_iovlen = iovlen,
	};
	struct input_id id;
	ssize_t n = recvmsg(s, &hdr, flags);

	if (su && sulen)
		*sulen = hdr.msg_namelen;
	if (n <= 0)
		return n;
	if (!guard.listening)
		goto drop;
	/* The stack would try STUN and SigComp on what is no text. */
	if (su && !is_text(*(const char *)hdr.msg_iov[0].iov_base)) {
		counters_add(guard.counters, COUNTER_sip_rx_malformed, 1);
		goto drop;
	}
	memset(&id, 0, sizeof(id));
	id.hash = hash_input(hdr.msg_iov, iovlen, (size_t)n);
	if (quarantined(id.hash)) {
		counters_add(guard.counters, COUNTER_sip_rx_quarantined, 1);
		log_rated(LOG_WARNING, "event=sip-input-quarantined");
		goto drop;
	}
	source_of(s, su ? &su->su_sa : NULL, &id.source);
	counters_set_busy(guard.counters, BUSY_INPUT, &id, sizeof(id));
	guard.busy = true;
	return n;
drop:
	errno = EAGAIN;
	return -1;
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

static bool tracked(int fd)
{
	return fd >= 0 && fd < FDS_MAX;
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
		guard.conns[fd] = 0;
		guard.listener[fd] = 0;
	}
	return fd;
}

int su_close(su_socket_t fd)
{
	if (tracked(fd) && guard.listener[fd]) {
		guard.conns[guard.listener[fd] - 1]--;
		guard.listener[fd] = 0;
	}
	return close(fd);
}

/* Only the stack calls this one; everything else here uses accept4(). */
int accept(int s, struct sockaddr *sa, socklen_t *len)
{
	int fd = accept4(s, sa, len, SOCK_CLOEXEC);

	if (fd < 0 || !tracked(s) || !guard.cap[s])
		return fd;
	if (!tracked(fd) || guard.conns[s] >= guard.cap[s] ||
	    !guard.listening) {
		counters_add(guard.counters, COUNTER_sip_conns_refused, 1);
		log_rated(LOG_WARNING, "event=sip-connection-refused");
		close(fd);
		errno = EAGAIN;
		return -1;
	}
	guard.conns[s]++;
	guard.listener[fd] = (uint32_t)s + 1;
	return fd;
}
