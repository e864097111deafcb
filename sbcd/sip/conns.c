/*
 * The connections we opened, on record. A peer does not notice that the node
 * it has one with has died and another one has its address: what it answers
 * there is lost, and on a stream nobody repeats it. So the new active knocks:
 * a connect from the same port to the same peer makes that one find out that
 * its connection is half-open (RFC 9293 section 3.5.1), and answer where the
 * request says instead. What it has answered before is asked for once more.
 */
#include <errno.h>
#include <poll.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "sbcd/base/buf.h"
#include "sbcd/base/log.h"
#include "sbcd/record/record.h"
#include "sbcd/sip/sip_int.h"
#include "sbcd/sip/tls_links.h"

enum {
	CONNS_MAX = 4096, /* beyond it the oldest records are not kept */
	KNOCK_FIRST_MS = 100, /* then twice as long each time */
	KNOCK_MS = 3000,
	KNOCKS_MAX = 64, /* at a time */
};

struct conn {
	UT_hash_handle hh;
	uint64_t id;
	struct addr local, remote;
	int fd; /* knocking; -1 = not now */
	bool over; /* the peer knows */
	bool asked; /* for what it has answered before */
	uint32_t wait_ms;
	uint64_t again_ms, until_ms; /* 0 = not knocked yet */
};

/* ---- the active: what it opens goes on record ------------------------------
 */

/* As its session agent has it; a peer that is none is reached by TCP. */
static uint8_t transport_to(const struct sip_worker *w, const struct addr *to)
{
	for (size_t i = 0; i < w->agents_len; i++)
		if (tls_link_whom(&w->agents[i], to))
			return TRANSPORT_TLS;
	return TRANSPORT_TCP;
}

static uint64_t opened(void *ctx, const struct addr *local,
		       const struct addr *remote)
{
	struct sip_worker *w = ctx;
	struct rec_conn r = {.transport = transport_to(w, remote),
			     .local = *local,
			     .remote = *remote,
			     .outbound = true};
	char text[2 * ADDR_TEXT_SIZE];
	struct ha_key key = {.kind = REC_CONN};
	struct buf out;

	if (!b2bua_active(w->b2bua))
		return 0;
	addr_format(local, text, ADDR_TEXT_SIZE);
	addr_format(remote, text + strlen(text), ADDR_TEXT_SIZE);
	key.id = token_hash(b2bua_key(w->b2bua), text, strlen(text));
	buf_init(&out, HA_VALUE_MAX_BYTES);
	if (record_encode(REC_CONN, &r, &out) || out.failed ||
	    worker_link_put(w->link, &key, out.data, out.size, false, 0))
		key.id = 0;
	buf_finish(&out);
	return key.id;
}

static void closed(void *ctx, uint64_t id)
{
	struct sip_worker *w = ctx;
	struct ha_key key = {.id = id, .kind = REC_CONN};

	if (!w->gone && worker_link_delete(w->link, &key, false, 0))
		log_rated(LOG_ERR, "event=record-delete result=failed");
}

static const struct guard_conn_ops ops = {.opened = opened, .closed = closed};

void conns_init(struct sip_worker *w)
{
	guard_watch(&ops, w);
}

/* ---- the standby: what the other one has opened ----------------------------
 */

static void forget(struct sip_worker *w, struct conn *c)
{
	HASH_DEL(w->conns, c);
	if (c->fd >= 0)
		close(c->fd);
	free(c);
}

int conns_record(struct sip_worker *w, const struct ha_key *key,
		 const void *value, size_t size)
{
	struct conn *c = NULL;
	struct rec_conn r;

	if (b2bua_active(w->b2bua))
		return 0;
	HASH_FIND(hh, w->conns, &key->id, sizeof(key->id), c);
	if (c)
		forget(w, c);
	if (!value)
		return 0;
	if (record_decode(REC_CONN, value, size, &r) ||
	    r.local.family != r.remote.family || !r.local.port ||
	    !r.remote.port)
		return -EBADMSG;
	if (!r.outbound)
		return 0;
	if (HASH_COUNT(w->conns) >= CONNS_MAX)
		forget(w, w->conns);
	c = calloc(1, sizeof(*c));
	if (!c)
		return -ENOMEM;
	c->id = key->id;
	c->local = r.local;
	c->remote = r.remote;
	c->fd = -1;
	HASH_ADD(hh, w->conns, id, sizeof(c->id), c);
	if (!c->hh.tbl) {
		free(c);
		return -ENOMEM;
	}
	return 0;
}

/* ---- after the take-over ---------------------------------------------------
 */

/* The address, or the way to the peer, may come up a moment after us. */
static void knock(struct conn *c)
{
	struct sockaddr_storage local, remote;
	socklen_t local_len = addr_to_sockaddr(&c->local, &local);
	socklen_t remote_len = addr_to_sockaddr(&c->remote, &remote);
	struct linger at_once = {.l_onoff = 1};
	int on = 1;
	int fd = socket(local.ss_family,
			SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);

	if (c->fd >= 0)
		close(c->fd);
	c->fd = -1;
	if (fd < 0)
		return;
	if (!setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &on, sizeof(on)) &&
	    !setsockopt(fd, SOL_SOCKET, SO_LINGER, &at_once, sizeof(at_once)) &&
	    !bind(fd, (struct sockaddr *)&local, local_len) &&
	    (!connect(fd, (struct sockaddr *)&remote, remote_len) ||
	     errno == EINPROGRESS))
		c->fd = fd;
	else
		close(fd);
}

/* A new connection, or none: in either case the old one is no more. */
static bool heard(const struct conn *c)
{
	struct pollfd p = {.fd = c->fd, .events = POLLOUT};
	socklen_t len = sizeof(int);
	int err = 0;

	if (c->fd < 0 || poll(&p, 1, 0) <= 0 ||
	    getsockopt(c->fd, SOL_SOCKET, SO_ERROR, &err, &len))
		return false;
	return !err || err == ECONNREFUSED || err == ECONNRESET;
}

void conns_turn(struct sip_worker *w, uint64_t now_ms)
{
	unsigned knocking = 0;
	struct conn *c, *next;

	if (!b2bua_active(w->b2bua))
		return;
	HASH_ITER (hh, w->conns, c, next) {
		if (knocking++ == KNOCKS_MAX)
			return;
		if (c->until_ms && now_ms >= c->until_ms) {
			/* And for whom that was too early. */
			b2bua_repeat(w->b2bua, &c->remote);
			closed(w, c->id);
			forget(w, c);
		} else if (c->over) {
			if (!c->asked)
				b2bua_repeat(w->b2bua, &c->remote);
			c->asked = true;
		} else if (heard(c)) {
			/* A turn later nothing is on its way here either. */
			close(c->fd);
			c->fd = -1;
			c->over = true;
		} else if (now_ms >= c->again_ms) {
			if (!c->until_ms)
				c->until_ms = now_ms + KNOCK_MS;
			c->wait_ms =
				c->wait_ms ? 2 * c->wait_ms : KNOCK_FIRST_MS;
			c->again_ms = now_ms + c->wait_ms;
			knock(c);
		}
	}
}

void conns_destroy(struct sip_worker *w)
{
	guard_watch(NULL, NULL);
	while (w->conns)
		forget(w, w->conns);
}
