/*
 * tlsflood - TLS handshakes at a steady rate, each on a connection of its own
 * that is closed when it is over. Says "steady" when those of the first second
 * have begun.
 *
 *   tlsflood RATE SECONDS HOST PORT CHAIN.pem|- KEY|junk|none SOURCE...
 *
 * With "- none" the client has no certificate, with "- junk" it sends bytes
 * that are no TLS. One line of JSON tells what became of them. Never resumes a
 * session, does not judge the server's certificate.
 */
#include <arpa/inet.h>
#include <errno.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

#include <openssl/err.h>
#include <openssl/ssl.h>

enum { LINKS_MAX = 4096, EVENTS = 64, DEADLINE_MS = 10000 };

struct link {
	int fd; /* -1: free */
	SSL *ssl; /* NULL: junk */
	uint64_t since_ms;
	bool sent;
};

static struct {
	SSL_CTX *ctx; /* NULL: junk */
	struct sockaddr_in to;
	char **sources;
	int sources_len, ep;
	struct link links[LINKS_MAX];
	unsigned used;
	unsigned long started, done, refused, failed, expired, skipped;
} flood;

static uint64_t now_ms(void)
{
	struct timespec ts;

	clock_gettime(CLOCK_MONOTONIC, &ts);
	return (uint64_t)ts.tv_sec * 1000 + (uint64_t)ts.tv_nsec / 1000000;
}

_Noreturn static void fail(const char *what)
{
	fprintf(stderr, "tlsflood: %s: %s\n", what, strerror(errno));
	exit(1);
}

static void end(struct link *l, unsigned long *count)
{
	(*count)++;
	if (l->ssl)
		SSL_free(l->ssl);
	ERR_clear_error();
	close(l->fd);
	l->fd = -1;
	flood.used--;
}

static struct link *free_link(void)
{
	static unsigned at;

	for (unsigned i = 0; i < LINKS_MAX; i++) {
		struct link *l = &flood.links[at++ % LINKS_MAX];

		if (l->fd < 0)
			return l;
	}
	return NULL;
}

static void start(void)
{
	struct sockaddr_in from = {.sin_family = AF_INET};
	struct link *l = free_link();
	struct epoll_event ev = {.events = EPOLLIN | EPOLLOUT, .data.ptr = l};
	const char *source =
		flood.sources[flood.started % (unsigned)flood.sources_len];

	flood.started++;
	if (!l) {
		flood.skipped++;
		return;
	}
	*l = (struct link){
		.fd = socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK, 0),
		.since_ms = now_ms(),
	};
	if (l->fd < 0 || inet_pton(AF_INET, source, &from.sin_addr) != 1)
		fail(source);
	flood.used++;
	if (bind(l->fd, (struct sockaddr *)&from, sizeof(from)) ||
	    (connect(l->fd, (struct sockaddr *)&flood.to, sizeof(flood.to)) &&
	     errno != EINPROGRESS)) {
		end(l, &flood.failed);
		return;
	}
	if (flood.ctx) {
		l->ssl = SSL_new(flood.ctx);
		if (!l->ssl || !SSL_set_fd(l->ssl, l->fd))
			fail("SSL_new");
		SSL_set_connect_state(l->ssl);
	}
	if (epoll_ctl(flood.ep, EPOLL_CTL_ADD, l->fd, &ev))
		fail("epoll_ctl");
}

static void wait_for(struct link *l, uint32_t events)
{
	struct epoll_event ev = {.events = events, .data.ptr = l};

	if (epoll_ctl(flood.ep, EPOLL_CTL_MOD, l->fd, &ev))
		fail("epoll_ctl");
}

static void send_junk(struct link *l)
{
	static const char junk[] = "0123456789 no TLS at all 0123456789";
	char buf[512];
	ssize_t n;

	if (!l->sent) {
		l->sent = true;
		if (send(l->fd, junk, sizeof(junk), MSG_NOSIGNAL) < 0)
			end(l, &flood.failed);
		else
			wait_for(l, EPOLLIN);
		return;
	}
	n = recv(l->fd, buf, sizeof(buf), 0);
	if (!n || (n < 0 && errno != EAGAIN))
		end(l, &flood.refused);
}

static void drive(struct link *l)
{
	int rc;

	if (!l->ssl) {
		send_junk(l);
		return;
	}
	rc = SSL_do_handshake(l->ssl);
	if (rc == 1) {
		SSL_shutdown(l->ssl);
		end(l, &flood.done);
		return;
	}
	switch (SSL_get_error(l->ssl, rc)) {
	case SSL_ERROR_WANT_READ:
		wait_for(l, EPOLLIN);
		break;
	case SSL_ERROR_WANT_WRITE:
		wait_for(l, EPOLLOUT);
		break;
	default:
		end(l, &flood.refused);
	}
}

static void expire(uint64_t now)
{
	for (unsigned i = 0; i < LINKS_MAX; i++)
		if (flood.links[i].fd >= 0 &&
		    now - flood.links[i].since_ms > DEADLINE_MS)
			end(&flood.links[i], &flood.expired);
}

static void run(unsigned long rate, uint64_t length_ms)
{
	uint64_t began = now_ms(), now = began;
	bool steady = false;
	struct epoll_event events[EVENTS];

	while (now - began < length_ms || flood.used) {
		unsigned long due = (now - began) * rate / 1000;
		int n;

		while (now - began < length_ms && flood.started < due)
			start();
		if (!steady && flood.started >= rate) {
			steady = true;
			puts("steady");
			fflush(stdout);
		}
		n = epoll_wait(flood.ep, events, EVENTS, 1);
		for (int i = 0; i < n; i++)
			drive(events[i].data.ptr);
		now = now_ms();
		expire(now);
	}
}

int main(int argc, char **argv)
{
	if (argc < 8) {
		fprintf(stderr, "usage: tlsflood RATE SECONDS HOST PORT "
				"CHAIN.pem|- KEY|junk|none SOURCE...\n");
		return 2;
	}
	flood.to.sin_family = AF_INET;
	flood.to.sin_port = htons((uint16_t)atoi(argv[4]));
	if (inet_pton(AF_INET, argv[3], &flood.to.sin_addr) != 1)
		fail(argv[3]);
	flood.sources = argv + 7;
	flood.sources_len = argc - 7;
	flood.ep = epoll_create1(0);
	for (unsigned i = 0; i < LINKS_MAX; i++)
		flood.links[i].fd = -1;
	if (strcmp(argv[6], "junk") != 0) {
		flood.ctx = SSL_CTX_new(TLS_client_method());
		if (!flood.ctx)
			fail("SSL_CTX_new");
		if (strcmp(argv[5], "-") != 0 &&
		    (SSL_CTX_use_certificate_chain_file(flood.ctx, argv[5]) !=
			     1 ||
		     SSL_CTX_use_PrivateKey_file(flood.ctx, argv[6],
						 SSL_FILETYPE_PEM) != 1))
			fail("certificate");
	}
	run(strtoul(argv[1], NULL, 10), strtoul(argv[2], NULL, 10) * 1000);
	printf("{\"started\": %lu, \"done\": %lu, \"refused\": %lu, "
	       "\"failed\": %lu, \"expired\": %lu, \"skipped\": %lu}\n",
	       flood.started, flood.done, flood.refused, flood.failed,
	       flood.expired, flood.skipped);
	return 0;
}
