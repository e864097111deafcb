#include "sbcd/keeper/control.h"

#include <errno.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>
#include "sbcd/base/log.h"

struct client {
	struct control *control;
	int fd; /* -1 = free */
	struct loop_fd *watch;
	struct loop_timer *idle;
	uint64_t pending; /* id of the unanswered request, 0 = none */
	char in[CONTROL_LINE_MAX];
	size_t in_len;
	char *out;
	size_t out_len, out_at;
	bool closing; /* when everything is written */
};

struct control {
	struct loop *loop;
	int fd;
	char path[108];
	struct loop_fd *watch;
	control_fn *fn;
	void *ctx;
	uint64_t next_id;
	struct client clients[CONTROL_CLIENTS_MAX];
	struct control_stats stats;
};

/* ---- requests ----------------------------------------------------------- */
int control_parse(struct control_request *out, const char *line, size_t len,
		  const char **why)
{
	json_t *root = json_loadb(line, len, JSON_REJECT_DUPLICATES, NULL);
	const char *cmd;
	json_t *args;
	int err = -EBADMSG;

	if (!root) {
		*why = "not JSON";
		return -EBADMSG;
	}
	cmd = json_string_value(json_object_get(root, "cmd"));
	args = json_object_get(root, "args");
	if (!json_is_object(root)) {
		*why = "not an object";
	} else if (!cmd || !cmd[0] || strlen(cmd) >= sizeof(out->cmd)) {
		*why = "no cmd";
	} else if (args && !json_is_object(args)) {
		*why = "args is not an object";
	} else {
		strcpy(out->cmd, cmd);
		out->args = args ? json_incref(args) : json_object();
		err = 0;
	}
	json_decref(root);
	return err;
}

void control_request_finish(struct control_request *r)
{
	json_decref(r->args);
	r->args = NULL;
}

/* ---- clients ------------------------------------------------------------ */
static void client_close(struct client *cl)
{
	loop_fd_remove(cl->watch);
	loop_timer_disarm(cl->idle);
	close(cl->fd);
	free(cl->out);
	cl->watch = NULL;
	cl->fd = -1;
	cl->out = NULL;
	cl->out_len = cl->out_at = cl->in_len = 0;
	cl->pending = 0;
	cl->closing = false;
	cl->control->stats.clients--;
}

static void client_want(struct client *cl)
{
	uint32_t events = cl->out_len ? EPOLLOUT : 0;

	/* One request at a time: what follows waits in the socket. */
	if (!cl->pending && !cl->out_len)
		events |= EPOLLIN;
	if (loop_fd_modify(cl->watch, events))
		client_close(cl);
}

/* False: closed. */
static bool client_write(struct client *cl)
{
	while (cl->out_at < cl->out_len) {
		ssize_t n = send(cl->fd, cl->out + cl->out_at,
				 cl->out_len - cl->out_at,
				 MSG_DONTWAIT | MSG_NOSIGNAL);

		if (n < 0 && errno == EINTR)
			continue;
		if (n < 0 && errno == EAGAIN)
			break;
		if (n < 0) {
			client_close(cl);
			return false;
		}
		cl->out_at += (size_t)n;
	}
	if (cl->out_at == cl->out_len) {
		free(cl->out);
		cl->out = NULL;
		cl->out_at = cl->out_len = 0;
		if (cl->closing) {
			client_close(cl);
			return false;
		}
	}
	loop_timer_arm(cl->idle, CONTROL_IDLE_MS);
	return true;
}

/* Takes the reference. */
static void client_answer(struct client *cl, json_t *root)
{
	char *text = root ? json_dumps(root, JSON_COMPACT) : NULL;
	size_t len;

	json_decref(root);
	cl->pending = 0;
	if (!text) {
		client_close(cl);
		return;
	}
	len = strlen(text);
	/* The NUL's place is the newline's. */
	text[len] = '\n';
	free(cl->out);
	cl->out = text;
	cl->out_len = len + 1;
	cl->out_at = 0;
	if (client_write(cl))
		client_want(cl);
}

static json_t *error_object(enum control_code code, const char *text)
{
	return json_pack("{s:b,s:s,s:i}", "ok", 0, "error", text, "code",
			 (int)code);
}

static void client_line(struct client *cl, size_t len)
{
	struct control *c = cl->control;
	struct control_request r;
	const char *why = "";
	int err = control_parse(&r, cl->in, len, &why);

	if (err) {
		c->stats.malformed++;
		log_rated(LOG_WARNING, "event=control-malformed why=\"%s\"",
			  why);
		client_answer(cl, error_object(CONTROL_BAD_REQUEST, why));
		return;
	}
	c->stats.requests++;
	cl->pending = ++c->next_id;
	c->fn(c->ctx, cl->pending, &r);
	control_request_finish(&r);
}

/* Serves the first line in the buffer, if it is whole and its turn. */
static void client_serve(struct client *cl)
{
	while (cl->fd >= 0 && !cl->pending && !cl->out_len) {
		char *end = memchr(cl->in, '\n', cl->in_len);
		size_t len;

		if (!end) {
			if (cl->in_len < sizeof(cl->in))
				return;
			cl->control->stats.malformed++;
			cl->closing = true;
			client_answer(cl, error_object(CONTROL_BAD_REQUEST,
						       "line too long"));
			return;
		}
		len = (size_t)(end - cl->in);
		client_line(cl, len);
		if (cl->fd < 0)
			return;
		cl->in_len -= len + 1;
		memmove(cl->in, cl->in + len + 1, cl->in_len);
	}
}

static void on_client(void *ctx, uint32_t events)
{
	struct client *cl = ctx;
	ssize_t n;

	if (events & EPOLLOUT && !client_write(cl))
		return;
	if (events & (EPOLLHUP | EPOLLERR)) {
		client_close(cl);
		return;
	}
	if (events & EPOLLIN) {
		n = recv(cl->fd, cl->in + cl->in_len,
			 sizeof(cl->in) - cl->in_len, MSG_DONTWAIT);
		if (n == 0 || (n < 0 && errno != EAGAIN && errno != EINTR)) {
			client_close(cl);
			return;
		}
		if (n > 0) {
			cl->in_len += (size_t)n;
			loop_timer_arm(cl->idle, CONTROL_IDLE_MS);
		}
	}
	client_serve(cl);
	if (cl->fd >= 0)
		client_want(cl);
}

static void on_idle(void *ctx)
{
	struct client *cl = ctx;

	cl->control->stats.timeouts++;
	client_close(cl);
}

static void on_accept(void *ctx, uint32_t events)
{
	struct control *c = ctx;
	struct client *cl = NULL;
	int fd = accept4(c->fd, NULL, NULL, SOCK_CLOEXEC | SOCK_NONBLOCK);

	if (fd < 0)
		return;
	for (size_t i = 0; i < CONTROL_CLIENTS_MAX && !cl; i++) {
		if (c->clients[i].fd < 0)
			cl = &c->clients[i];
	}
	if (!cl ||
	    loop_fd_add(c->loop, &cl->watch, fd, EPOLLIN, on_client, cl)) {
		c->stats.refused_clients++;
		close(fd);
		return;
	}
	cl->fd = fd;
	c->stats.clients++;
	loop_timer_arm(cl->idle, CONTROL_IDLE_MS);
}

/* ---- answers ------------------------------------------------------------ */
static struct client *client_of(struct control *c, uint64_t id)
{
	for (size_t i = 0; i < CONTROL_CLIENTS_MAX; i++) {
		if (c->clients[i].fd >= 0 && c->clients[i].pending == id)
			return &c->clients[i];
	}
	return NULL;
}

void control_reply(struct control *c, uint64_t id, json_t *data)
{
	struct client *cl = client_of(c, id);

	if (!cl) {
		json_decref(data);
		return;
	}
	client_answer(cl, json_pack("{s:b,s:o}", "ok", 1, "data",
				    data ? data : json_object()));
}

void control_error(struct control *c, uint64_t id, enum control_code code,
		   const char *fmt, ...)
{
	struct client *cl = client_of(c, id);
	char text[256];
	va_list ap;

	if (!cl)
		return;
	va_start(ap, fmt);
	vsnprintf(text, sizeof(text), fmt, ap);
	va_end(ap);
	client_answer(cl, error_object(code, text));
}

/* ---- start and stop ----------------------------------------------------- */
static int listen_on(const char *path)
{
	struct sockaddr_un sun = {.sun_family = AF_UNIX};
	mode_t old;
	int fd, err;

	if (strlen(path) >= sizeof(sun.sun_path))
		return -ENAMETOOLONG;
	strcpy(sun.sun_path, path);
	fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
	if (fd < 0)
		return -errno;
	/* The run directory's lock says that nobody else lives here. */
	unlink(path);
	old = umask(0117);
	err = bind(fd, (struct sockaddr *)&sun, sizeof(sun));
	umask(old);
	if (err || listen(fd, CONTROL_CLIENTS_MAX)) {
		err = -errno;
		close(fd);
		return err;
	}
	return fd;
}

int control_create(struct control **out, struct loop *loop, const char *path,
		   control_fn *fn, void *ctx)
{
	struct control *c = calloc(1, sizeof(*c));
	int err = 0;

	if (!c)
		return -ENOMEM;
	c->loop = loop;
	c->fn = fn;
	c->ctx = ctx;
	c->fd = -1;
	for (size_t i = 0; i < CONTROL_CLIENTS_MAX; i++) {
		c->clients[i].control = c;
		c->clients[i].fd = -1;
	}
	for (size_t i = 0; i < CONTROL_CLIENTS_MAX && !err; i++)
		err = loop_timer_create(loop, &c->clients[i].idle, on_idle,
					&c->clients[i]);
	if (!err) {
		c->fd = listen_on(path);
		err = c->fd < 0 ? c->fd : 0;
	}
	if (!err) {
		snprintf(c->path, sizeof(c->path), "%s", path);
		err = loop_fd_add(loop, &c->watch, c->fd, EPOLLIN, on_accept,
				  c);
	}
	if (err) {
		control_destroy(c);
		return err;
	}
	*out = c;
	return 0;
}

void control_destroy(struct control *c)
{
	if (!c)
		return;
	for (size_t i = 0; i < CONTROL_CLIENTS_MAX; i++) {
		if (c->clients[i].fd >= 0)
			client_close(&c->clients[i]);
		loop_timer_destroy(c->clients[i].idle);
	}
	loop_fd_remove(c->watch);
	if (c->fd >= 0)
		close(c->fd);
	if (c->path[0])
		unlink(c->path);
	free(c);
}

void control_get_stats(const struct control *c, struct control_stats *out)
{
	*out = c->stats;
}
