#include "rtptool.h"

#include <arpa/inet.h>
#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

uint64_t rt_now_ns(void)
{
	struct timespec ts;

	clock_gettime(CLOCK_MONOTONIC, &ts);
	return (uint64_t)ts.tv_sec * 1000000000ull + (uint64_t)ts.tv_nsec;
}

int rt_addr_parse(union rt_addr *a, const char *text, unsigned int port)
{
	union rt_addr out;

	if (!text || port > 65535)
		return -EINVAL;
	memset(&out, 0, sizeof(out));
	if (inet_pton(AF_INET, text, &out.in.sin_addr) == 1)
		out.sa.sa_family = AF_INET;
	else if (inet_pton(AF_INET6, text, &out.in6.sin6_addr) == 1)
		out.sa.sa_family = AF_INET6;
	else
		return -EINVAL;
	*a = out;
	rt_addr_set_port(a, port);
	return 0;
}

const char *rt_addr_print(const union rt_addr *a, char *buf, size_t size)
{
	char host[INET6_ADDRSTRLEN] = "?";

	if (a->sa.sa_family == AF_INET) {
		inet_ntop(AF_INET, &a->in.sin_addr, host, sizeof(host));
		snprintf(buf, size, "%s:%u", host, rt_addr_port(a));
	} else if (a->sa.sa_family == AF_INET6) {
		inet_ntop(AF_INET6, &a->in6.sin6_addr, host, sizeof(host));
		snprintf(buf, size, "[%s]:%u", host, rt_addr_port(a));
	} else {
		snprintf(buf, size, "none");
	}
	return buf;
}

unsigned int rt_addr_port(const union rt_addr *a)
{
	return ntohs(a->sa.sa_family == AF_INET6 ? a->in6.sin6_port
						 : a->in.sin_port);
}

void rt_addr_set_port(union rt_addr *a, unsigned int port)
{
	if (a->sa.sa_family == AF_INET6)
		a->in6.sin6_port = htons((uint16_t)port);
	else
		a->in.sin_port = htons((uint16_t)port);
}

bool rt_addr_equal(const union rt_addr *a, const union rt_addr *b)
{
	if (a->sa.sa_family != b->sa.sa_family ||
	    rt_addr_port(a) != rt_addr_port(b))
		return false;
	if (a->sa.sa_family == AF_INET6)
		return !memcmp(&a->in6.sin6_addr, &b->in6.sin6_addr,
			       sizeof(a->in6.sin6_addr));
	return a->in.sin_addr.s_addr == b->in.sin_addr.s_addr;
}

socklen_t rt_addr_size(const union rt_addr *a)
{
	return a->sa.sa_family == AF_INET6 ? sizeof(a->in6) : sizeof(a->in);
}

int rt_socket(const union rt_addr *local)
{
	int one = 1, size = 512 * 1024, err;
	int fd = socket(local->sa.sa_family,
			SOCK_DGRAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);

	if (fd < 0)
		return -errno;
	if (setsockopt(fd, SOL_SOCKET, SO_TIMESTAMPNS, &one, sizeof(one)) ||
	    setsockopt(fd, SOL_SOCKET, SO_RXQ_OVFL, &one, sizeof(one)) ||
	    (local->sa.sa_family == AF_INET6 &&
	     setsockopt(fd, IPPROTO_IPV6, IPV6_V6ONLY, &one, sizeof(one))))
		goto err_close;
	/* Larger than the default where we may; the default will do. */
	setsockopt(fd, SOL_SOCKET, SO_RCVBUFFORCE, &size, sizeof(size));
	if (bind(fd, &local->sa, rt_addr_size(local)))
		goto err_close;
	return fd;

err_close:
	err = -errno;
	close(fd);
	return err;
}
