#include "sbcd/cli/client.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include "sbcd/base/buf.h"
#include "sbcd/base/clock.h"

/* Waits for `events` until the deadline. */
static int wait_for(int fd, short events, uint64_t deadline_ms)
{
	struct pollfd p = {.fd = fd, .events = events};

	for (;;) {
		uint64_t now = clock_mono_ms();
		int n;

		if (now >= deadline_ms)
			return -ETIMEDOUT;
		n = poll(&p, 1, (int)(deadline_ms - now));
		if (n > 0)
			return 0;
		if (n < 0 && errno != EINTR)
			return -errno;
	}
}

static int open_socket(const char *path, uint64_t deadline_ms)
{
	struct sockaddr_un sun = {.sun_family = AF_UNIX};
	int fd, err;

	if (strlen(path) >= sizeof(sun.sun_path))
		return -ENAMETOOLONG;
	memcpy(sun.sun_path, path, strlen(path));
	fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
	if (fd < 0)
		return -errno;
	/* EAGAIN: the daemon's queue of new clients is full; poll() cannot
	 * wait for that. */
	while (connect(fd, (struct sockaddr *)&sun, sizeof(sun)) < 0) {
		err = -errno;
		if (err == -EINTR)
			continue;
		if (err != -EAGAIN || clock_mono_ms() >= deadline_ms) {
			close(fd);
			return err;
		}
		poll(NULL, 0, 20);
	}
	return fd;
}

static int send_all(int fd, const char *data, size_t size, uint64_t deadline_ms)
{
	while (size) {
		ssize_t n = send(fd, data, size, MSG_NOSIGNAL);
		int err;

		if (n >= 0) {
			data += n;
			size -= (size_t)n;
			continue;
		}
		if (errno == EINTR)
			continue;
		if (errno != EAGAIN)
			return -errno;
		err = wait_for(fd, POLLOUT, deadline_ms);
		if (err)
			return err;
	}
	return 0;
}

static int receive_line(int fd, struct buf *line, uint64_t deadline_ms)
{
	char chunk[16384];

	for (;;) {
		ssize_t n;
		char *end;
		int err = wait_for(fd, POLLIN, deadline_ms);

		if (err)
			return err;
		n = recv(fd, chunk, sizeof(chunk), 0);
		if (n < 0 && (errno == EINTR || errno == EAGAIN))
			continue;
		if (n < 0)
			return -errno;
		if (n == 0)
			return -EPIPE;
		end = memchr(chunk, '\n', (size_t)n);
		buf_put(line, chunk, end ? (size_t)(end - chunk) : (size_t)n);
		if (line->failed)
			return -EMSGSIZE;
		if (end)
			return 0;
	}
}

static char *request_line(const char *cmd, json_t *args, size_t *size)
{
	json_t *root = json_pack("{s:s}", "cmd", cmd);
	char *text;

	if (!root)
		return NULL;
	if (args && json_object_set(root, "args", args)) {
		json_decref(root);
		return NULL;
	}
	text = json_dumps(root, JSON_COMPACT);
	json_decref(root);
	if (text) {
		*size = strlen(text) + 1;
		text[*size - 1] = '\n';
	}
	return text;
}

int client_ask(const char *path, const char *cmd, json_t *args, int timeout_ms,
	       json_t **answer)
{
	uint64_t deadline_ms = clock_mono_ms() + (uint64_t)timeout_ms;
	struct buf line;
	size_t size = 0;
	char *text;
	json_t *root;
	int fd, err;

	fd = open_socket(path, deadline_ms);
	if (fd < 0)
		return fd;
	buf_init(&line, CLIENT_ANSWER_MAX_BYTES);
	text = request_line(cmd, args, &size);
	if (!text) {
		err = -ENOMEM;
		goto out;
	}
	err = send_all(fd, text, size, deadline_ms);
	if (!err)
		err = receive_line(fd, &line, deadline_ms);
	if (err)
		goto out;
	root = json_loadb((const char *)line.data, line.size, 0, NULL);
	if (!json_is_boolean(json_object_get(root, "ok"))) {
		json_decref(root);
		err = -EBADMSG;
		goto out;
	}
	*answer = root;
out:
	free(text);
	buf_finish(&line);
	close(fd);
	return err;
}
