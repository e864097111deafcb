/*
 * v2hello - mutual TLS that begins with an SSLv2-format ClientHello.
 *
 *   v2hello FD tlsv1|tlsv12 CHAIN.pem KEY
 *
 * FD is a connected TCP socket. After the handshake, which it reports with
 * "open" on stderr, the bytes of stdin, a socket, are sent, and what comes is
 * written to it. Does not judge the server's certificate, whose key must be
 * RSA.
 */
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "tests/tools/v2hello/v2hello.h"

enum { DEADLINE_S = 15 };

_Noreturn void v2_fail(const char *format, ...)
{
	va_list ap;

	va_start(ap, format);
	fprintf(stderr, "v2hello: ");
	vfprintf(stderr, format, ap);
	fprintf(stderr, "\n");
	va_end(ap);
	exit(1);
}

/* False: the peer has closed. */
static int from_peer(struct v2_link *l)
{
	uint8_t data[V2_RECORD_MAX];
	size_t size;
	int type = v2_record_receive(l, data, &size);

	if (type == V2_DATA && size)
		v2_write_all(STDIN_FILENO, data, size);
	return type == V2_DATA;
}

static int from_us(struct v2_link *l)
{
	uint8_t data[V2_TEXT_MAX];
	ssize_t n = read(STDIN_FILENO, data, sizeof(data));

	if (n > 0)
		v2_record_send(l, V2_DATA, data, (size_t)n);
	return n > 0 || (n < 0 && errno == EINTR);
}

static void talk(struct v2_link *l)
{
	struct pollfd fds[] = {{.fd = l->fd, .events = POLLIN},
			       {.fd = STDIN_FILENO, .events = POLLIN}};

	for (;;) {
		if (poll(fds, 2, -1) < 0) {
			if (errno == EINTR)
				continue;
			v2_fail("poll: %s", strerror(errno));
		}
		if (fds[0].revents && !from_peer(l))
			return;
		if (fds[1].revents && !from_us(l))
			break;
	}
	v2_record_send(l, V2_ALERT, "\1\0", 2); /* close_notify */
}

static void make_blocking(int fd)
{
	int flags = fcntl(fd, F_GETFL);

	if (flags < 0 || fcntl(fd, F_SETFL, flags & ~O_NONBLOCK))
		v2_fail("fd %d: %s", fd, strerror(errno));
}

int main(int argc, char **argv)
{
	struct v2_link l = {0};

	if (argc != 5)
		v2_fail("FD tlsv1|tlsv12 CHAIN KEY");
	l.fd = atoi(argv[1]);
	l.version = strcmp(argv[2], "tlsv1") ? 0x0303 : 0x0301;
	make_blocking(l.fd);
	make_blocking(STDIN_FILENO);
	alarm(DEADLINE_S);
	v2_handshake(&l, argv[3], argv[4]);
	alarm(0);
	fprintf(stderr, "open\n");
	talk(&l);
	return 0;
}
