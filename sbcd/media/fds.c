#include <errno.h>
#include <jansson.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <unistd.h>

#include "sbcd/base/log.h"
#include "sbcd/media/control.h"

/* One LINK_FDS message while it is taken apart. */
struct fds_message {
	struct media_control *control;
	json_t *root, *list; /* list: one element an fd */
	const int *fds;
	size_t len;
	bool taken[LINK_FDS_MAX]; /* somebody else closes it */
};

static const char *text_of(const json_t *o, const char *name)
{
	const char *s = json_string_value(json_object_get(o, name));

	return s ? s : "";
}

static bool number_of(const json_t *o, const char *name, json_int_t low,
		      json_int_t high, unsigned *out)
{
	const json_t *j = json_object_get(o, name);
	json_int_t v = json_integer_value(j);

	if (!json_is_integer(j) || v < low || v > high)
		return false;
	*out = (unsigned)v;
	return true;
}

/* Old packets must be told from new ones when a worker takes over. */
static void stamp_arrivals(int fd)
{
	const int on = 1;

	if (setsockopt(fd, SOL_SOCKET, SO_TIMESTAMPNS, &on, sizeof(on)))
		log_warn("event=socket-without-time-stamps errno=%d", errno);
}

/* ---- media sockets
 * --------------------------------------------------------------- */

struct raws {
	unsigned len;
	struct addr ip[LINK_FDS_MAX];
	const struct media_out *out[LINK_FDS_MAX];
};

static int take_raw(struct fds_message *m, size_t i, struct raws *raws)
{
	struct media_control *c = m->control;
	json_t *o = json_array_get(m->list, i);
	struct media_out *out = &c->outs[c->outs_len];

	if (c->outs_len == MEDIA_OUTS_MAX)
		return -ENOSPC;
	if (addr_parse_ip(&raws->ip[raws->len], text_of(o, "address"), 0))
		return -EINVAL;
	out->fd = m->fds[i];
	out->index = c->outs_len++;
	raws->out[raws->len++] = out;
	m->taken[i] = true;
	return 0;
}

static int add_range(struct media_nif *nif, const json_t *o, unsigned shards,
		     const struct raws *raws)
{
	const struct media_out *out = NULL;
	unsigned first, last;
	struct addr ip;
	struct media_endpoint *e;

	if (addr_parse_ip(&ip, text_of(o, "address"), 0) ||
	    !number_of(o, "port-first", 1, UINT16_MAX, &first) ||
	    !number_of(o, "port-last", first, UINT16_MAX, &last))
		return -EINVAL;
	ip.port = (uint16_t)first;
	e = media_nif_endpoint(nif, &ip);
	if (e && e->port_first == first && e->port_last == last &&
	    e->shards == shards)
		return 0; /* said once a shard */
	for (unsigned i = 0; i < raws->len; i++)
		if (addr_equal_ip(&raws->ip[i], &ip))
			out = raws->out[i];
	if (!out)
		log_err("event=no-raw-socket interface=%s address=%s",
			nif->name, text_of(o, "address"));
	return media_nif_add(nif, &ip, (uint16_t)first, (uint16_t)last, shards,
			     out);
}

/* An element speaks of one range, or has several in "ranges". */
static int add_ranges(struct media_nif *nif, const json_t *o, unsigned shards,
		      const struct raws *raws)
{
	const json_t *ranges = json_object_get(o, "ranges");
	int err = 0;

	if (!json_is_array(ranges))
		return add_range(nif, o, shards, raws);
	for (size_t i = 0; !err && i < json_array_size(ranges); i++)
		err = add_range(nif, json_array_get(ranges, i), shards, raws);
	return err;
}

/* The same socket may come once an address: it is read once. */
static bool socket_is_new(struct media_control *c, int fd)
{
	struct stat st;

	if (fstat(fd, &st) || c->anyports_len == MEDIA_ANYPORTS_MAX)
		return false;
	for (unsigned i = 0; i < c->anyports_len; i++)
		if (c->anyport_inodes[i] == (uint64_t)st.st_ino)
			return false;
	c->anyport_inodes[c->anyports_len++] = (uint64_t)st.st_ino;
	return true;
}

static int take_anyport(struct fds_message *m, size_t i, struct media_nif *nif,
			unsigned shards, const struct raws *raws)
{
	struct media_control *c = m->control;
	json_t *o = json_array_get(m->list, i);
	struct media_cmd *cmd;
	unsigned shard;
	int err;

	if (!number_of(o, "shard", 0, shards - 1, &shard))
		return -EINVAL;
	err = add_ranges(nif, o, shards, raws);
	if (err)
		return err;
	if (!socket_is_new(c, m->fds[i]))
		return 0;
	cmd = media_cmd_new(MEDIA_CMD_SOCKET);
	if (!cmd)
		return -ENOMEM;
	stamp_arrivals(m->fds[i]);
	cmd->nif = nif;
	cmd->fd = m->fds[i];
	m->taken[i] = true;
	media_thread_post(c->threads[shard], cmd);
	return 0;
}

static int start_threads(struct media_control *c, unsigned wanted)
{
	while (c->threads_len < wanted) {
		struct media_thread_params p = {
			.index = c->threads_len,
			.io = &media_io_raw,
			.counters = c->counters,
			.srtp_engine =
				c->srtp ? msrtp_engine_name(c->srtp) : NULL,
			.notify_fd = c->notify_fd,
		};
		struct media_cmd *cmd = NULL;
		int err;

		if (c->active) {
			cmd = media_cmd_new(MEDIA_CMD_ACTIVATE);
			if (!cmd)
				return -ENOMEM;
		}
		err = media_thread_start(&c->threads[c->threads_len], &p);
		if (err) {
			free(cmd);
			return err;
		}
		c->threads_len++;
		if (cmd) {
			c->waiting[MEDIA_CMD_ACTIVATE]++;
			media_thread_post(c->threads[p.index], cmd);
		}
	}
	return 0;
}

static int take_media(struct fds_message *m)
{
	const char *name = text_of(m->root, "network-interface");
	struct raws raws = {0};
	struct media_nif *nif;
	unsigned shards;
	int err;

	if (!number_of(m->root, "shards", 1, MEDIA_THREADS_MAX, &shards))
		return -EINVAL;
	err = media_nifs_add(&m->control->nifs, name, &nif);
	if (err)
		return err;
	err = start_threads(m->control, shards);
	if (err)
		return err;
	for (size_t i = 0; !err && i < m->len; i++)
		if (!strcmp(text_of(json_array_get(m->list, i), "kind"), "raw"))
			err = take_raw(m, i, &raws);
	for (size_t i = 0; !err && i < m->len; i++)
		if (!strcmp(text_of(json_array_get(m->list, i), "kind"),
			    "anyport"))
			err = take_anyport(m, i, nif, shards, &raws);
	if (!err)
		log_info(
			"event=media-sockets interface=%s shards=%u addresses=%u",
			name, shards, nif->endpoints_len);
	return err;
}

/* ---- forwarding
 * ------------------------------------------------------------------ */

static int parse_key(uint8_t key[FORWARD_KEY_BYTES], const char *hex)
{
	if (strspn(hex, "0123456789abcdefABCDEF") != 2 * FORWARD_KEY_BYTES)
		return -EINVAL;
	for (size_t i = 0; i < FORWARD_KEY_BYTES; i++) {
		const char two[3] = {hex[2 * i], hex[2 * i + 1], '\0'};

		key[i] = (uint8_t)strtoul(two, NULL, 16);
	}
	return 0;
}

/* One or two, with a blank between them; we seal with the first. */
static int take_keys(struct media_control *c, const char *hex)
{
	uint8_t keys[FORWARD_KEYS_MAX][FORWARD_KEY_BYTES];
	struct forward_rx *rx;
	size_t len = 0;
	int err;

	do {
		err = parse_key(keys[len++], hex);
		if (err)
			break;
		hex += 2 * FORWARD_KEY_BYTES;
		err = *hex && (*hex != ' ' || len == FORWARD_KEYS_MAX) ? -EINVAL
								       : 0;
	} while (!err && *hex++);
	if (!err)
		err = forward_rx_create(&rx, keys, len);
	if (!err) {
		memcpy(c->forward_key, keys[0], sizeof(keys[0]));
		forward_rx_destroy(c->forward_rx);
		c->forward_rx = rx;
		media_handover_believe(c);
	}
	explicit_bzero(keys, sizeof(keys));
	return err;
}

/* "10.99.1.2:5421", "[fd00::1]:5407" */
static int parse_peer(struct addr *out, const char *text)
{
	const char *colon = strrchr(text, ':');
	char ip[ADDR_TEXT_SIZE];
	char *end;
	unsigned long port;

	if (!colon || (size_t)(colon - text) >= sizeof(ip))
		return -EINVAL;
	memcpy(ip, text, (size_t)(colon - text));
	ip[colon - text] = '\0';
	port = strtoul(colon + 1, &end, 10);
	if (end == colon + 1 || *end || !port || port > UINT16_MAX)
		return -EINVAL;
	return addr_parse_ip(out, ip, (uint16_t)port);
}

static int take_forward(struct fds_message *m)
{
	struct media_control *c = m->control;
	int err;

	/* Threads that forward read the list: it is only told once. */
	if (c->forward.len)
		return -EEXIST;
	err = take_keys(c, text_of(m->root, "key"));
	for (size_t i = 0; !err && i < m->len; i++) {
		struct forward_links *f = &c->forward;
		json_t *o = json_array_get(m->list, i);

		if (strcmp(text_of(o, "kind"), "udp") ||
		    f->len == FORWARD_LINKS_MAX)
			continue;
		err = parse_peer(&f->peers[f->len], text_of(o, "peer"));
		if (err)
			break;
		stamp_arrivals(m->fds[i]);
		f->fds[f->len++] = m->fds[i];
		m->taken[i] = true;
	}
	media_handover_watch(c);
	return err;
}

/* ---- message
 * --------------------------------------------------------------------- */

static int take(struct fds_message *m)
{
	const char *purpose = text_of(m->root, "purpose");

	m->list = json_object_get(m->root, "fds");
	if (!json_is_array(m->list) || json_array_size(m->list) != m->len)
		return -EINVAL;
	if (!strcmp(purpose, "media"))
		return take_media(m);
	if (!strcmp(purpose, "forward"))
		return take_forward(m);
	return -EINVAL;
}

int media_fds_take(void *ctx, const char *what, const int *fds, size_t len)
{
	struct fds_message m = {
		.control = ctx,
		.root = json_loads(what, 0, NULL),
		.fds = fds,
		.len = len,
	};
	int err = m.root && len <= LINK_FDS_MAX ? take(&m) : -EINVAL;

	m.control->failed = err != 0;
	if (err)
		log_err("event=sockets-refused purpose=%s interface=%s error=%d",
			text_of(m.root, "purpose"),
			text_of(m.root, "network-interface"), -err);
	for (size_t i = 0; i < len; i++)
		if (i >= LINK_FDS_MAX || !m.taken[i])
			close(fds[i]);
	json_decref(m.root);
	return err;
}
