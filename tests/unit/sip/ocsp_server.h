/*
 * ocsp_server - a responder on loopback that answers as it is told, well or
 * not. Layer: tests.
 */
#ifndef TESTS_UNIT_SIP_OCSP_SERVER_H
#define TESTS_UNIT_SIP_OCSP_SERVER_H

#include <netinet/in.h>
#include <signal.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

enum serve {
	SERVE_ANSWER = 0,
	SERVE_NO_LENGTH, /* ends with the connection */
	SERVE_SILENCE,
	SERVE_DRIP,
	SERVE_HUGE,
	SERVE_LIE, /* says it is huge, and is not */
	SERVE_HEADERS, /* without end */
	SERVE_LINE, /* likewise */
	SERVE_GARBAGE,
	SERVE_HTML,
	SERVE_REDIRECT,
	SERVE_ERROR,
	SERVE_CLOSE,
	SERVE_SHORT, /* less than it says, then it ends */
};

struct server {
	pid_t pid;
	uint16_t port;
	/* shared: what it does, and how often it was asked */
	struct served {
		enum serve how;
		unsigned asked;
		size_t size;
		uint8_t body[32768];
		char request[1024]; /* the last one, its head */
	} * s;
};

static void server_say(int fd, const char *text)
{
	(void)!send(fd, text, strlen(text), MSG_NOSIGNAL);
}

static void server_body(int fd, struct served *s, size_t length, size_t size)
{
	char head[256];

	snprintf(head, sizeof(head),
		 "HTTP/1.0 200 OK\r\n"
		 "Content-Type: application/ocsp-response\r\n"
		 "Content-Length: %zu\r\n\r\n",
		 length);
	server_say(fd, head);
	(void)!send(fd, s->body, size, MSG_NOSIGNAL);
}

/* Till nobody listens any more. */
static void server_for_ever(int fd, const char *text, unsigned wait_ms)
{
	while (send(fd, text, strlen(text), MSG_NOSIGNAL) > 0)
		if (wait_ms)
			usleep(wait_ms * 1000);
}

static void server_read(int fd, struct served *s)
{
	size_t have = 0;
	const char *end = NULL, *length;
	ssize_t n;

	while (have < sizeof(s->request) - 1) {
		n = recv(fd, s->request + have, sizeof(s->request) - 1 - have,
			 0);
		if (n <= 0)
			return;
		have += (size_t)n;
		s->request[have] = '\0';
		end = memmem(s->request, have, "\r\n\r\n", 4);
		length = strstr(s->request, "Content-Length: ");
		if (end && length &&
		    have >= (size_t)(end + 4 - s->request) +
				    strtoul(length + 16, NULL, 10))
			return;
	}
}

static void server_one(int fd, struct served *s)
{
	char byte;

	server_read(fd, s);
	__atomic_add_fetch(&s->asked, 1, __ATOMIC_SEQ_CST);
	switch (s->how) {
	case SERVE_ANSWER:
		server_body(fd, s, s->size, s->size);
		break;
	case SERVE_NO_LENGTH:
		server_say(fd, "HTTP/1.0 200 OK\r\nContent-Type: "
			       "application/ocsp-response\r\n\r\n");
		(void)!send(fd, s->body, s->size, MSG_NOSIGNAL);
		break;
	case SERVE_SILENCE:
		(void)!recv(fd, &byte, 1, 0);
		break;
	case SERVE_DRIP:
		server_say(fd, "HTTP/1.0 200 OK\r\n");
		server_for_ever(fd, "X", 50);
		break;
	case SERVE_HUGE:
		server_body(fd, s, 1 << 30, s->size);
		server_for_ever(fd, "0123456789abcdef", 0);
		break;
	case SERVE_LIE:
		server_body(fd, s, SIZE_MAX, s->size);
		break;
	case SERVE_HEADERS:
		server_say(fd, "HTTP/1.0 200 OK\r\n");
		server_for_ever(fd, "X-Y: 0123456789abcdef\r\n", 0);
		break;
	case SERVE_LINE:
		server_say(fd, "HTTP/1.0 200 OK\r\nX-Y: ");
		server_for_ever(fd, "0123456789abcdef", 0);
		break;
	case SERVE_GARBAGE:
		server_say(fd, "\x16\x03\x01 \xff\xfe no HTTP\r\n\r\nat all");
		break;
	case SERVE_HTML:
		server_say(fd, "HTTP/1.0 200 OK\r\nContent-Type: text/html\r\n"
			       "Content-Length: 4\r\n\r\n<hr>");
		break;
	case SERVE_REDIRECT:
		server_say(fd, "HTTP/1.0 302 Found\r\nLocation: "
			       "http://127.0.0.1:1/\r\n\r\n");
		break;
	case SERVE_ERROR:
		server_say(fd, "HTTP/1.0 503 No\r\n\r\n");
		break;
	case SERVE_SHORT:
		server_body(fd, s, s->size, s->size - 1);
		break;
	case SERVE_CLOSE:
		break;
	}
}

/* Several at a time: some of them never end. */
static void server_run(int listener, struct served *s)
{
	signal(SIGCHLD, SIG_IGN);
	for (;;) {
		int fd = accept(listener, NULL, NULL);

		if (fd < 0)
			_exit(0);
		if (!fork()) {
			prctl(PR_SET_PDEATHSIG, SIGKILL);
			server_one(fd, s);
			_exit(0);
		}
		close(fd);
	}
}

static struct server server_start(void)
{
	struct sockaddr_in a = {.sin_family = AF_INET,
				.sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
	int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
	socklen_t len = sizeof(a);
	struct server v;

	v.s = mmap(NULL, sizeof(*v.s), PROT_READ | PROT_WRITE,
		   MAP_SHARED | MAP_ANONYMOUS, -1, 0);
	assert_ptr_not_equal(v.s, MAP_FAILED);
	assert_int_equal(bind(fd, (struct sockaddr *)&a, sizeof(a)), 0);
	assert_int_equal(listen(fd, 64), 0);
	assert_int_equal(getsockname(fd, (struct sockaddr *)&a, &len), 0);
	v.port = ntohs(a.sin_port);
	v.pid = fork();
	assert_true(v.pid >= 0);
	if (!v.pid) {
		prctl(PR_SET_PDEATHSIG, SIGKILL);
		server_run(fd, v.s);
	}
	close(fd);
	return v;
}

static unsigned server_asked(const struct server *v)
{
	return __atomic_load_n(&v->s->asked, __ATOMIC_SEQ_CST);
}

static void server_stop(struct server *v)
{
	kill(v->pid, SIGKILL);
	waitpid(v->pid, NULL, 0);
	munmap(v->s, sizeof(*v->s));
}

#endif
