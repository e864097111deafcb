#include "rtptool.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/un.h>
#include <unistd.h>

struct client {
	int fd;
	char *line;
	size_t size;
	struct client *next;
};

struct rt_control {
	struct rt_engine *engine;
	int epoll, fd;
	char *path;
	struct client *clients;
};

static int unix_address(struct sockaddr_un *sun, const char *path)
{
	memset(sun, 0, sizeof(*sun));
	sun->sun_family = AF_UNIX;
	if (strlen(path) >= sizeof(sun->sun_path))
		return -ENAMETOOLONG;
	strcpy(sun->sun_path, path);
	return 0;
}

static int watch(int epoll, int fd, void *ptr)
{
	struct epoll_event ev = {.events = EPOLLIN, .data.ptr = ptr};

	return epoll_ctl(epoll, EPOLL_CTL_ADD, fd, &ev) ? -errno : 0;
}

int rt_control_create(struct rt_control **out, struct rt_engine *e, int epoll,
		      const char *path)
{
	struct rt_control *c = calloc(1, sizeof(*c));
	struct sockaddr_un sun;
	int rc;

	if (!c)
		return -ENOMEM;
	c->engine = e;
	c->epoll = epoll;
	c->path = strdup(path);
	rc = c->path ? unix_address(&sun, path) : -ENOMEM;
	if (rc)
		goto err_free;
	c->fd = socket(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
	if (c->fd < 0) {
		rc = -errno;
		goto err_free;
	}
	unlink(path);
	if (bind(c->fd, (struct sockaddr *)&sun, sizeof(sun)) ||
	    listen(c->fd, 16)) {
		rc = -errno;
		goto err_close;
	}
	rc = watch(epoll, c->fd, c);
	if (rc)
		goto err_close;
	*out = c;
	return 0;

err_close:
	close(c->fd);
err_free:
	free(c->path);
	free(c);
	return rc;
}

static void client_destroy(struct rt_control *c, struct client *cl)
{
	struct client **pp = &c->clients;

	while (*pp != cl)
		pp = &(*pp)->next;
	*pp = cl->next;
	close(cl->fd);
	free(cl->line);
	free(cl);
}

void rt_control_destroy(struct rt_control *c)
{
	if (!c)
		return;
	while (c->clients)
		client_destroy(c, c->clients);
	close(c->fd);
	unlink(c->path);
	free(c->path);
	free(c);
}

static int get_bool(json_t *o, const char *key, int def)
{
	json_t *v = json_object_get(o, key);

	return v ? json_is_true(v) : def;
}

static json_int_t get_int(json_t *o, const char *key, json_int_t def)
{
	json_t *v = json_object_get(o, key);

	return json_is_integer(v) ? json_integer_value(v) : def;
}

static int add_one(struct rt_engine *e, json_t *o)
{
	json_t *id = json_object_get(o, "id");
	struct rt_stream_params p = {
		.id = (uint32_t)json_integer_value(id),
		.expect = (uint32_t)get_int(o, "expect", UINT32_MAX),
		.addr = json_string_value(json_object_get(o, "addr")),
		.port = (unsigned int)get_int(o, "port", 0),
		.remote = json_string_value(json_object_get(o, "remote")),
		.remote_port = (unsigned int)get_int(o, "remote_port", 0),
		.srtp_tx = json_string_value(json_object_get(o, "srtp_tx")),
		.srtp_rx = json_string_value(json_object_get(o, "srtp_rx")),
		.payload_type = (int)get_int(o, "pt", 0),
		.symmetric = get_bool(o, "symmetric", 0),
		.sending = get_bool(o, "send", 1),
		.rtcp = get_bool(o, "rtcp", 1),
		.rtcp_mux = get_bool(o, "rtcp_mux", 0),
	};

	if (!json_is_integer(id) || !p.addr)
		return -EINVAL;
	return rt_stream_add(e, &p);
}

static int cmd_add(struct rt_engine *e, json_t *req, json_t *answer)
{
	json_t *list = json_object_get(req, "streams"), *o;
	size_t i;
	int rc;

	if (!list)
		return add_one(e, req);
	json_array_foreach(list, i, o)
	{
		rc = add_one(e, o);
		if (rc) {
			json_object_set_new(answer, "index",
					    json_integer((json_int_t)i));
			return rc;
		}
	}
	return 0;
}

static int set_keys(struct rt_stream *s, json_t *req)
{
	const char *tx = json_string_value(json_object_get(req, "srtp_tx"));
	const char *rx = json_string_value(json_object_get(req, "srtp_rx"));
	int rc = tx ? rt_srtp_set(&s->tx_xform, tx, true) : 0;

	return rc || !rx ? rc : rt_srtp_set(&s->rx_xform, rx, false);
}

/* Changes what is given: remote address, whether to send, what to expect. */
static int cmd_set(struct rt_engine *e, json_t *req)
{
	struct rt_stream *s =
		rt_engine_find(e, (uint32_t)get_int(req, "id", -1));
	const char *host = json_string_value(json_object_get(req, "remote"));
	union rt_addr remote;
	int rc;

	if (!s)
		return -ENOENT;
	rc = set_keys(s, req);
	if (rc)
		return rc;
	if (host) {
		rc = rt_addr_parse(
			&remote, host,
			(unsigned int)get_int(req, "remote_port", 0));
		if (rc)
			return rc;
		rt_stream_set_remote(s, &remote);
	}
	s->ssrc = (uint32_t)get_int(req, "ssrc", s->ssrc);
	if (json_object_get(req, "seq"))
		s->seq0 = (uint16_t)((uint64_t)get_int(req, "seq", 0) -
				     s->next_seq);
	s->sending = get_bool(req, "send", s->sending);
	s->symmetric = get_bool(req, "symmetric", s->symmetric);
	s->expect = (uint32_t)get_int(req, "expect", s->expect);
	if (get_bool(req, "relock", 0))
		s->rx.locked = false;
	return 0;
}

static int cmd_remove(struct rt_engine *e, json_t *req, json_t *answer)
{
	struct rt_stream *s;

	if (get_bool(req, "all", 0)) {
		while (e->len)
			rt_stream_remove(e, e->streams[e->len - 1]);
		return 0;
	}
	s = rt_engine_find(e, (uint32_t)get_int(req, "id", -1));
	if (!s)
		return -ENOENT;
	json_object_set_new(answer, "stream", rt_report_stream(e, s));
	rt_stream_remove(e, s);
	return 0;
}

static int handle(struct rt_engine *e, json_t *req, json_t *answer)
{
	const char *cmd = json_string_value(json_object_get(req, "cmd"));

	if (!cmd)
		return -EINVAL;
	rt_engine_drain(e);
	if (!strcmp(cmd, "ping"))
		return 0;
	if (!strcmp(cmd, "add"))
		return cmd_add(e, req, answer);
	if (!strcmp(cmd, "set"))
		return cmd_set(e, req);
	if (!strcmp(cmd, "remove"))
		return cmd_remove(e, req, answer);
	if (!strcmp(cmd, "report")) {
		json_object_set_new(answer, "report",
				    rt_report(e, get_bool(req, "streams", 1)));
		return 0;
	}
	if (!strcmp(cmd, "reset")) {
		rt_report_reset(e);
		return 0;
	}
	if (!strcmp(cmd, "stop")) {
		json_object_set_new(answer, "report", rt_report(e, true));
		e->stop = true;
		return 0;
	}
	return -ENOSYS;
}

static bool write_all(int fd, const char *data, size_t size)
{
	while (size) {
		/* A test that does not read its answer may wait; we may not
		 * for ever: MSG_NOSIGNAL and a send timeout set on accept. */
		ssize_t n = send(fd, data, size, MSG_NOSIGNAL);

		if (n < 0)
			return false;
		data += n;
		size -= (size_t)n;
	}
	return true;
}

static bool client_line(struct rt_control *c, struct client *cl,
			const char *line)
{
	json_error_t err;
	json_t *req = json_loads(line, 0, &err), *answer = json_object();
	int rc = req ? handle(c->engine, req, answer) : -EBADMSG;
	char *text;
	bool ok;

	json_object_set_new(answer, "ok", json_boolean(rc == 0));
	if (rc)
		json_object_set_new(answer, "error",
				    json_string(strerror(-rc)));
	text = json_dumps(answer, JSON_COMPACT | JSON_REAL_PRECISION(9));
	ok = text && write_all(cl->fd, text, strlen(text)) &&
	     write_all(cl->fd, "\n", 1);
	free(text);
	json_decref(answer);
	json_decref(req);
	return ok;
}

static void client_read(struct rt_control *c, struct client *cl)
{
	ssize_t n = recv(cl->fd, cl->line + cl->size,
			 RT_LINE_BYTES - 1 - cl->size, MSG_DONTWAIT);
	char *end;

	if (n < 0 && (errno == EAGAIN || errno == EINTR))
		return;
	if (n <= 0) {
		client_destroy(c, cl);
		return;
	}
	cl->size += (size_t)n;
	while ((end = memchr(cl->line, '\n', cl->size))) {
		*end = 0;
		if (!client_line(c, cl, cl->line)) {
			client_destroy(c, cl);
			return;
		}
		cl->size -= (size_t)(end + 1 - cl->line);
		memmove(cl->line, end + 1, cl->size);
	}
	if (cl->size == RT_LINE_BYTES - 1)
		client_destroy(c, cl);
}

static void accept_one(struct rt_control *c)
{
	struct timeval timeout = {.tv_usec = 200000};
	struct client *cl;
	int fd = accept4(c->fd, NULL, NULL, SOCK_CLOEXEC);

	if (fd < 0)
		return;
	setsockopt(fd, SOL_SOCKET, SO_SNDTIMEO, &timeout, sizeof(timeout));
	cl = calloc(1, sizeof(*cl));
	if (cl)
		cl->line = malloc(RT_LINE_BYTES);
	if (!cl || !cl->line || watch(c->epoll, fd, cl)) {
		if (cl)
			free(cl->line);
		free(cl);
		close(fd);
		return;
	}
	cl->fd = fd;
	cl->next = c->clients;
	c->clients = cl;
}

void rt_control_event(struct rt_control *c, void *ptr)
{
	if (ptr == c)
		accept_one(c);
	else
		client_read(c, ptr);
}

int rt_control_client(const char *path, const char *line)
{
	struct sockaddr_un sun;
	char buf[65536], last = 0;
	int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
	ssize_t n;
	bool ok = false, first = true;

	if (fd < 0 || unix_address(&sun, path) ||
	    connect(fd, (struct sockaddr *)&sun, sizeof(sun)) ||
	    !write_all(fd, line, strlen(line)) || !write_all(fd, "\n", 1)) {
		fprintf(stderr, "rtptool: %s: %s\n", path, strerror(errno));
		return 1;
	}
	while (last != '\n' && (n = read(fd, buf, sizeof(buf))) > 0) {
		if (first)
			ok = !memmem(buf, (size_t)n, "\"ok\":false", 10);
		first = false;
		fwrite(buf, 1, (size_t)n, stdout);
		last = buf[n - 1];
	}
	close(fd);
	return ok && last == '\n' ? 0 : 1;
}
