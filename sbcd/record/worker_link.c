#include "sbcd/record/link.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "sbcd/base/log.h"
#include "sbcd/record/kinds.h"

struct worker_link {
	struct link *link;
	struct worker_link_ops ops;
	void *ctx;
	bool gone; /* said once */
	uint64_t applied_seq; /* last record or replay end handled */
	uint64_t acked_seq;
	unsigned unacked;
};

static int say(struct worker_link *w, uint8_t type, uint64_t token,
	       const char *text)
{
	struct link_message m = {.type = type,
				 .token = token,
				 .value = text,
				 .size = text ? strlen(text) : 0};

	return w->gone ? -EPIPE : link_send(w->link, &m);
}

int worker_link_create(struct worker_link **out, int fd, const char *proc,
		       const struct worker_link_ops *ops, void *ctx)
{
	struct worker_link *w = calloc(1, sizeof(*w));
	char hello[64];
	int err;

	if (!w)
		return -ENOMEM;
	w->ops = *ops;
	w->ctx = ctx;
	err = link_create(&w->link, fd);
	if (err)
		goto err_free;
	snprintf(hello, sizeof(hello), "%s %s", proc, SBC_VERSION);
	err = say(w, LINK_HELLO, 0, hello);
	if (!err)
		err = link_gather(w->link);
	if (err)
		goto err_link;
	*out = w;
	return 0;
err_link:
	link_destroy(w->link);
err_free:
	free(w);
	return err;
}

void worker_link_destroy(struct worker_link *w)
{
	if (!w)
		return;
	link_destroy(w->link);
	free(w);
}

int worker_link_fd(const struct worker_link *w)
{
	return link_fd(w->link);
}

bool worker_link_wants_write(const struct worker_link *w)
{
	return link_pending(w->link);
}

static void keeper_gone(struct worker_link *w)
{
	if (w->gone)
		return;
	w->gone = true;
	if (w->ops.gone)
		w->ops.gone(w->ctx);
}

static char *read_fd(int fd)
{
	struct stat st;
	size_t size, done = 0;
	char *text;

	if (fstat(fd, &st) < 0 || st.st_size < 0 ||
	    st.st_size > REC_CONFIG_SIZE)
		return NULL;
	size = (size_t)st.st_size;
	text = malloc(size + 1);
	if (!text)
		return NULL;
	while (done < size) {
		ssize_t n = pread(fd, text + done, size - done, (off_t)done);

		if (n < 0 && errno == EINTR)
			continue;
		if (n <= 0)
			break;
		done += (size_t)n;
	}
	text[done] = '\0';
	return text;
}

static void take_config(struct worker_link *w, struct link_message *m)
{
	char *text = m->fds_len == 1 ? read_fd(m->fds[0]) : NULL;
	int err;

	link_message_close_fds(m);
	if (!text) {
		log_err("event=link-config result=unreadable");
		keeper_gone(w);
		return;
	}
	err = w->ops.config ? w->ops.config(w->ctx, text, m->value) : 0;
	free(text);
	if (err) {
		log_err("event=link-config result=refused error=%d", -err);
		keeper_gone(w);
	}
}

static void take_fds(struct worker_link *w, struct link_message *m)
{
	int err;

	if (!w->ops.fds) {
		link_message_close_fds(m);
		return;
	}
	err = w->ops.fds(w->ctx, m->value, m->fds, m->fds_len);
	m->fds_len = 0; /* theirs, also when they failed */
	if (err) {
		log_err("event=link-fds result=refused error=%d", -err);
		keeper_gone(w);
	}
}

static void send_credit(struct worker_link *w)
{
	if (w->applied_seq == w->acked_seq)
		return;
	if (say(w, LINK_APPLIED, w->applied_seq, NULL))
		return; /* tried again with the next one */
	w->acked_seq = w->applied_seq;
	w->unacked = 0;
}

static void applied(struct worker_link *w, uint64_t seq)
{
	w->applied_seq = seq;
	if (++w->unacked >= LINK_ACK_EVERY)
		send_credit(w);
}

static void handle(struct worker_link *w, struct link_message *m)
{
	const struct worker_link_ops *ops = &w->ops;
	uint64_t since_ns = 0;

	switch (m->type) {
	case LINK_CONFIG:
		take_config(w, m);
		break;
	case LINK_FDS:
		take_fds(w, m);
		break;
	case LINK_RECORD:
		if (ops->record)
			ops->record(w->ctx, &m->key, &m->version,
				    m->flags & LINK_F_DELETED ? NULL : m->value,
				    m->flags & LINK_F_DELETED ? 0 : m->size);
		applied(w, m->token);
		break;
	case LINK_REPLAY_END:
		if (ops->replay_end)
			ops->replay_end(w->ctx);
		applied(w, m->token);
		break;
	case LINK_ACTIVATE:
		if (m->size == sizeof(since_ns))
			memcpy(&since_ns, m->value, sizeof(since_ns));
		if (ops->activate)
			ops->activate(w->ctx, m->token, since_ns);
		break;
	case LINK_COMMITTED:
		if (ops->committed)
			ops->committed(w->ctx, m->token,
				       m->flags & LINK_F_TIMED_OUT);
		break;
	case LINK_QUIESCE:
		if (ops->quiesce)
			ops->quiesce(w->ctx);
		break;
	case LINK_FORWARD:
		if (ops->forward)
			ops->forward(w->ctx);
		break;
	case LINK_QUERY:
		if (ops->query)
			ops->query(w->ctx, m->token, m->value);
		break;
	case LINK_DRAIN:
		if (ops->drain)
			ops->drain(w->ctx, m->token != 0);
		break;
	case LINK_BURY:
		if (ops->bury)
			ops->bury(w->ctx, m->key.id);
		break;
	default:
		log_rated(LOG_WARNING, "event=link-unexpected type=%u",
			  m->type);
		break;
	}
	link_message_close_fds(m);
}

void worker_link_dispatch(struct worker_link *w, unsigned budget)
{
	struct link_message m;
	int n;

	while ((budget || link_buffered(w->link)) && !w->gone) {
		budget -= budget > 0;
		n = link_receive(w->link, &m);
		if (n == 0)
			break;
		if (n == -EBADMSG) {
			log_rated(LOG_WARNING, "event=link-malformed");
			continue;
		}
		if (n < 0) {
			keeper_gone(w);
			return;
		}
		handle(w, &m);
	}
	if (w->gone)
		return;
	send_credit(w);
	worker_link_flush(w);
}

void worker_link_flush(struct worker_link *w)
{
	if (!w->gone && link_flush(w->link) < 0)
		keeper_gone(w);
}

int worker_link_put(struct worker_link *w, const struct ha_key *key,
		    const void *value, size_t size, bool sync, uint64_t token)
{
	struct link_message m = {.type = LINK_PUT,
				 .flags = sync ? LINK_F_SYNC : 0,
				 .token = token,
				 .key = *key,
				 .value = value,
				 .size = size};

	return w->gone ? -EPIPE : link_send(w->link, &m);
}

int worker_link_delete(struct worker_link *w, const struct ha_key *key,
		       bool sync, uint64_t token)
{
	struct link_message m = {.type = LINK_DELETE,
				 .flags = sync ? LINK_F_SYNC : 0,
				 .token = token,
				 .key = *key};

	return w->gone ? -EPIPE : link_send(w->link, &m);
}

int worker_link_activated(struct worker_link *w, uint64_t epoch)
{
	return say(w, LINK_ACTIVATED, epoch, NULL);
}

int worker_link_quiesced(struct worker_link *w)
{
	return say(w, LINK_QUIESCED, 0, NULL);
}

int worker_link_forwarding(struct worker_link *w)
{
	return say(w, LINK_FORWARDING, 0, NULL);
}

int worker_link_reply(struct worker_link *w, uint64_t token, const char *json)
{
	return say(w, LINK_REPLY, token, json);
}
