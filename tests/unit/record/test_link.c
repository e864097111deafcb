/* The worker link over a real socket pair. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <unistd.h>

#include "sbcd/base/log.h"
#include "sbcd/record/kinds.h"
#include "sbcd/record/link.h"

/* One end is the keeper's, the other a worker's or a bare socket. */
static struct link *keeper;
static struct worker_link *worker;
static int bare = -1;
static struct link_message msg;

static struct {
	unsigned configs, fds, records, deleted, replay_ends, activates;
	unsigned committed, timed_out, quiesces, forwards, queries;
	unsigned burials, drains, gone;
	char config[64], node[64], what[64], query[64];
	int got_fds[LINK_FDS_MAX];
	size_t got_fds_len;
	uint64_t last_id, epoch, token;
	char value[64];
	size_t value_size;
	int config_result;
} seen;

static int on_config(void *ctx, const char *text, const char *node)
{
	seen.configs++;
	snprintf(seen.config, sizeof(seen.config), "%s", text);
	snprintf(seen.node, sizeof(seen.node), "%s", node);
	return seen.config_result;
}

static int on_fds(void *ctx, const char *what, const int *fds, size_t len)
{
	seen.fds++;
	snprintf(seen.what, sizeof(seen.what), "%s", what);
	memcpy(seen.got_fds, fds, len * sizeof(int));
	seen.got_fds_len = len;
	return 0;
}

static void on_record(void *ctx, const struct ha_key *key,
		      const struct ha_version *version, const void *value,
		      size_t size)
{
	seen.records++;
	seen.deleted += value == NULL;
	seen.last_id = key->id;
	seen.epoch = version->epoch;
	seen.value_size = size;
	if (value && size < sizeof(seen.value))
		memcpy(seen.value, value, size);
}

static void on_replay_end(void *ctx)
{
	seen.replay_ends++;
}

static void on_activate(void *ctx, uint64_t epoch, uint64_t since_ns)
{
	seen.activates++;
	seen.epoch = epoch;
}

static void on_committed(void *ctx, uint64_t token, bool timed_out)
{
	seen.committed++;
	seen.token = token;
	seen.timed_out += timed_out;
}

static void on_quiesce(void *ctx)
{
	seen.quiesces++;
}

static void on_forward(void *ctx)
{
	seen.forwards++;
}

static void on_query(void *ctx, uint64_t token, const char *json)
{
	seen.queries++;
	seen.token = token;
	snprintf(seen.query, sizeof(seen.query), "%s", json);
}

static void on_drain(void *ctx, bool on)
{
	seen.drains += on;
}

static void on_bury(void *ctx, uint64_t id)
{
	seen.burials++;
}

static void on_gone(void *ctx)
{
	seen.gone++;
}

static const struct worker_link_ops ops = {
	.config = on_config,
	.fds = on_fds,
	.record = on_record,
	.replay_end = on_replay_end,
	.activate = on_activate,
	.committed = on_committed,
	.quiesce = on_quiesce,
	.forward = on_forward,
	.query = on_query,
	.bury = on_bury,
	.drain = on_drain,
	.gone = on_gone,
};

static unsigned open_fds(void)
{
	DIR *d = opendir("/proc/self/fd");
	unsigned n = 0;

	while (readdir(d))
		n++;
	closedir(d);
	return n;
}

static unsigned fds_before;

static int setup_bare(void **state)
{
	int fds[2];

	fds_before = open_fds();
	memset(&seen, 0, sizeof(seen));
	if (link_socketpair(fds))
		return -1;
	bare = fds[1];
	return link_create(&keeper, fds[0]);
}

static int setup_worker(void **state)
{
	if (setup_bare(state) ||
	    worker_link_create(&worker, bare, "sip", &ops, NULL))
		return -1;
	bare = -1;
	if (link_receive(keeper, &msg) != 1 || msg.type != LINK_HELLO)
		return -1;
	return strcmp(msg.value, "sip " SBC_VERSION);
}

static int teardown(void **state)
{
	link_destroy(keeper);
	keeper = NULL;
	worker_link_destroy(worker);
	worker = NULL;
	if (bare >= 0)
		close(bare);
	bare = -1;
	/* Whatever happened: no descriptor was lost. */
	return open_fds() == fds_before ? 0 : -1;
}

static void send_record(uint64_t id, uint64_t seq, const void *value,
			size_t size)
{
	const struct link_message m = {.type = LINK_RECORD,
				       .token = seq,
				       .key = {id, 7, REC_CALL},
				       .version = {11, 22, 2},
				       .value = value,
				       .size = size};

	assert_int_equal(link_send(keeper, &m), 0);
}

static void send_plain(uint8_t type, uint64_t token, const char *text)
{
	const struct link_message m = {.type = type,
				       .token = token,
				       .value = text,
				       .size = text ? strlen(text) : 0};

	assert_int_equal(link_send(keeper, &m), 0);
}

static void all_members_arrive(void **state)
{
	struct link *other;
	const struct link_message m = {.type = LINK_PUT,
				       .flags = LINK_F_SYNC,
				       .token = 0x1122334455667788,
				       .key = {0x99aabbccddeeff00, 0xfffe, 4},
				       .version = {UINT64_MAX, 1ull << 40, 2},
				       .value = "value",
				       .size = 5};

	assert_int_equal(link_create(&other, bare), 0);
	bare = -1;
	assert_int_equal(link_receive(keeper, &msg), 0);
	assert_int_equal(link_send(other, &m), 0);
	assert_int_equal(link_receive(keeper, &msg), 1);
	assert_int_equal(msg.type, LINK_PUT);
	assert_int_equal(msg.flags, LINK_F_SYNC);
	assert_true(msg.token == m.token);
	assert_true(msg.key.id == m.key.id && msg.key.sub == m.key.sub &&
		    msg.key.kind == m.key.kind);
	assert_true(msg.version.epoch == m.version.epoch &&
		    msg.version.generation == m.version.generation &&
		    msg.version.writer == m.version.writer);
	assert_int_equal(msg.size, 5);
	assert_string_equal(msg.value, "value");
	assert_int_equal(msg.fds_len, 0);
	link_destroy(other);
	assert_int_equal(link_receive(keeper, &msg), -EPIPE);
	assert_int_equal(link_send(keeper, &m), -EPIPE);
}

static void largest_message(void **state)
{
	size_t size = LINK_MESSAGE_MAX_BYTES - 45;
	char *value = malloc(size + 1);
	struct link_message m = {.type = LINK_PUT, .value = value};
	struct link *other;

	memset(value, 'x', size + 1);
	assert_int_equal(link_create(&other, bare), 0);
	bare = -1;
	m.size = size + 1;
	assert_int_equal(link_send(other, &m), -EMSGSIZE);
	m.size = size;
	assert_int_equal(link_send(other, &m), 0);
	assert_int_equal(link_receive(keeper, &msg), 1);
	assert_int_equal(msg.size, size);
	assert_memory_equal(msg.value, value, size);
	assert_int_equal(((const char *)msg.value)[size], 0);
	assert_true(size >= HA_VALUE_MAX_BYTES);
	link_destroy(other);
	free(value);
}

static void malformed_messages_are_dropped(void **state)
{
	static uint8_t raw[LINK_MESSAGE_MAX_BYTES + 100];

	/* Every length up to a bit over a head, then one with a lying size,
	 * unknown types, and one that is too long. */
	for (size_t n = 1; n < 60; n++) {
		memset(raw, 0, sizeof(raw));
		raw[0] = LINK_PUT;
		assert_int_equal(send(bare, raw, n, 0), n);
		assert_int_equal(link_receive(keeper, &msg),
				 n >= 45 ? 1 : -EBADMSG);
		/* What follows a whole message is none. */
		assert_int_equal(link_buffered(keeper), n > 45);
		if (n > 45)
			assert_int_equal(link_receive(keeper, &msg), -EBADMSG);
		assert_false(link_buffered(keeper));
	}
	raw[43] = 9;
	assert_int_equal(send(bare, raw, 45 + 8, 0), 53);
	assert_int_equal(link_receive(keeper, &msg), -EBADMSG);
	raw[43] = 0;
	raw[0] = 0;
	assert_int_equal(send(bare, raw, 45, 0), 45);
	assert_int_equal(link_receive(keeper, &msg), -EBADMSG);
	raw[0] = 200;
	assert_int_equal(send(bare, raw, 45, 0), 45);
	assert_int_equal(link_receive(keeper, &msg), -EBADMSG);
	raw[0] = LINK_PUT;
	raw[40] = 0;
	raw[41] = (LINK_MESSAGE_MAX_BYTES + 56) >> 16 & 0xff;
	raw[42] = (LINK_MESSAGE_MAX_BYTES + 56) >> 8 & 0xff;
	raw[43] = (LINK_MESSAGE_MAX_BYTES + 56) & 0xff;
	assert_int_equal(send(bare, raw, sizeof(raw), 0), sizeof(raw));
	assert_int_equal(link_receive(keeper, &msg), -EBADMSG);
	/* And the link still works. */
	memset(raw + 40, 0, 4);
	assert_int_equal(send(bare, raw, 45, 0), 45);
	assert_int_equal(link_receive(keeper, &msg), 1);
}

static void send_with_fds(size_t n)
{
	_Alignas(struct cmsghdr) char control[CMSG_SPACE(253 * sizeof(int))] = {
		0};
	uint8_t raw[45] = {LINK_PUT};
	struct iovec iov = {raw, sizeof(raw)};
	struct msghdr mh = {.msg_iov = &iov,
			    .msg_iovlen = 1,
			    .msg_control = control,
			    .msg_controllen = CMSG_SPACE(n * sizeof(int))};
	struct cmsghdr *c = CMSG_FIRSTHDR(&mh);

	c->cmsg_level = SOL_SOCKET;
	c->cmsg_type = SCM_RIGHTS;
	c->cmsg_len = CMSG_LEN(n * sizeof(int));
	for (size_t i = 0; i < n; i++)
		memcpy(CMSG_DATA(c) + i * sizeof(int), &bare, sizeof(int));
	assert_int_equal(sendmsg(bare, &mh, 0), sizeof(raw));
}

/* The tear-down counts descriptors. */
static void uninvited_fds_are_closed(void **state)
{
	send_with_fds(LINK_FDS_MAX);
	assert_int_equal(link_receive(keeper, &msg), 1);
	assert_int_equal(msg.fds_len, LINK_FDS_MAX);
	link_message_close_fds(&msg);
	assert_int_equal(msg.fds_len, 0);
	send_with_fds(LINK_FDS_MAX + 1);
	assert_int_equal(link_receive(keeper, &msg), -EBADMSG);
	send_with_fds(253);
	assert_int_equal(link_receive(keeper, &msg), -EBADMSG);
	link_refuse_fds(keeper);
	send_with_fds(1);
	assert_int_equal(link_receive(keeper, &msg), -EBADMSG);
}

/* Fills the socket until messages stay in the queue. */
static unsigned fill_socket(void)
{
	static char value[8192];
	unsigned n = 0;

	while (!link_pending(keeper)) {
		send_plain(LINK_QUERY, n++, NULL);
		send_record(1000000 + n, n, value, sizeof(value));
		assert_true(n < 100000);
	}
	return n;
}

static void full_socket_queues_and_coalesces(void **state)
{
	struct link *other;
	struct link_message put = {.type = LINK_PUT,
				   .key = {1, 0, REC_CALL},
				   .value = "aaaa",
				   .size = 4};
	unsigned puts = 0, others = 0;
	uint64_t last_seq = 0;
	size_t empty;

	fill_socket();
	empty = link_queued_bytes(keeper);
	/* The same key again and again: only the last one waits. */
	for (uint64_t i = 0; i < 1000; i++)
		send_record(42, 500000 + i, &i, sizeof(i));
	assert_int_equal(link_queued_bytes(keeper) - empty, 45 + 8);
	/* Puts somebody waits for are all kept, plain ones are replaced. */
	assert_int_equal(link_send(keeper, &put), 0);
	put.value = "bbbb";
	assert_int_equal(link_send(keeper, &put), 0);
	assert_int_equal(link_queued_bytes(keeper) - empty, 53 + 49);
	put.token = 5;
	put.flags = LINK_F_SYNC;
	put.value = "cccc";
	assert_int_equal(link_send(keeper, &put), 0);
	assert_int_equal(link_queued_bytes(keeper) - empty, 53 + 49);
	put.token = 6;
	put.value = "dddd";
	assert_int_equal(link_send(keeper, &put), 0);
	assert_int_equal(link_queued_bytes(keeper) - empty, 53 + 98);
	put.flags = 0;
	assert_int_equal(link_send(keeper, &put), 0);
	assert_int_equal(link_send(keeper, &put), 0);
	put.token = 0;
	put.flags = LINK_F_SYNC;
	assert_int_equal(link_send(keeper, &put), 0);
	assert_int_equal(link_send(keeper, &put), 0);
	assert_int_equal(link_queued_bytes(keeper) - empty, 53 + 6 * 49);

	assert_int_equal(link_create(&other, bare), 0);
	bare = -1;
	for (;;) {
		int n = link_receive(other, &msg);

		assert_in_range(n, 0, 1);
		if (!n && !link_pending(keeper))
			break;
		if (!n) {
			assert_int_equal(link_flush(keeper), 0);
			continue;
		}
		if (msg.type == LINK_RECORD && msg.key.id == 42) {
			last_seq = msg.token;
			others++;
		}
		if (msg.type == LINK_PUT) {
			puts++;
			assert_memory_equal(msg.value,
					    puts == 1 ? "cccc" : "dddd", 4);
		}
	}
	assert_int_equal(others, 1);
	assert_int_equal(last_seq, 500999);
	assert_int_equal(puts, 6);
	assert_int_equal(link_queued_bytes(keeper), 0);
	link_destroy(other);
}

static void the_queue_is_bounded(void **state)
{
	static char value[160 * 1024];
	struct link_message m = {
		.type = LINK_QUERY, .value = value, .size = sizeof(value)};
	int err = 0;

	for (unsigned i = 0; i < 2000 && !err; i++)
		err = link_send(keeper, &m);
	assert_int_equal(err, -ENOBUFS);
	assert_true(link_queued_bytes(keeper) <= LINK_QUEUE_MAX_BYTES);
}

/* A message with descriptors that had to wait still brings them. */
static void queued_fds_arrive(void **state)
{
	struct link_message m = {
		.type = LINK_FDS, .value = "{}", .size = 2, .fds_len = 2};
	struct link *other;
	int pipe_fds[2], n;
	char c;

	fill_socket();
	assert_int_equal(pipe(pipe_fds), 0);
	m.fds[0] = pipe_fds[0];
	m.fds[1] = pipe_fds[1];
	assert_int_equal(link_send(keeper, &m), 0);
	close(pipe_fds[0]);
	close(pipe_fds[1]);
	assert_int_equal(link_create(&other, bare), 0);
	bare = -1;
	do {
		n = link_receive(other, &msg);
		assert_in_range(n, 0, 1);
		if (!n)
			assert_int_equal(link_flush(keeper), 0);
	} while (!n || msg.type != LINK_FDS);
	assert_int_equal(msg.fds_len, 2);
	assert_int_equal(fcntl(msg.fds[0], F_GETFD) & FD_CLOEXEC, FD_CLOEXEC);
	assert_int_equal(write(msg.fds[1], "x", 1), 1);
	assert_int_equal(read(msg.fds[0], &c, 1), 1);
	link_message_close_fds(&msg);
	link_destroy(other);
}

static void undelivered_fds_are_closed(void **state)
{
	struct link_message m = {.type = LINK_FDS, .fds_len = 1};

	fill_socket();
	m.fds[0] = STDERR_FILENO;
	assert_int_equal(link_send(keeper, &m), 0);
}

/* ---- the worker's side -----------------------------------------------------
 */

static void every_message_is_dispatched(void **state)
{
	struct link_message m = {.type = LINK_CONFIG,
				 .value = "node { }",
				 .size = 8,
				 .fds_len = 1};
	int fd = memfd_create("test", MFD_CLOEXEC);

	assert_int_equal(write(fd, "cluster { }", 11), 11);
	m.fds[0] = fd;
	assert_int_equal(link_send(keeper, &m), 0);
	m.type = LINK_FDS;
	m.value = "{\"purpose\":\"media\"}";
	m.size = strlen(m.value);
	assert_int_equal(link_send(keeper, &m), 0);
	close(fd);
	send_record(77, 1, "abc", 3);
	m = (struct link_message){.type = LINK_RECORD,
				  .flags = LINK_F_DELETED,
				  .token = 2,
				  .key = {78, 0, REC_CALL}};
	assert_int_equal(link_send(keeper, &m), 0);
	send_plain(LINK_REPLAY_END, 3, NULL);
	send_plain(LINK_ACTIVATE, 0xfeed, NULL);
	send_plain(LINK_COMMITTED, 5, NULL);
	send_plain(LINK_QUIESCE, 0, NULL);
	send_plain(LINK_FORWARD, 0, NULL);
	send_plain(LINK_QUERY, 6, "{\"cmd\":\"calls\"}");
	send_plain(LINK_BURY, 0, NULL);
	send_plain(LINK_DRAIN, 1, NULL);
	send_plain(LINK_APPLIED, 9, NULL); /* not for a worker: ignored */
	worker_link_dispatch(worker, 100);

	assert_int_equal(seen.configs, 1);
	assert_string_equal(seen.config, "cluster { }");
	assert_string_equal(seen.node, "node { }");
	assert_int_equal(seen.fds, 1);
	assert_string_equal(seen.what, "{\"purpose\":\"media\"}");
	assert_int_equal(seen.got_fds_len, 1);
	close(seen.got_fds[0]);
	assert_int_equal(seen.records, 2);
	assert_int_equal(seen.deleted, 1);
	assert_int_equal(seen.last_id, 78);
	assert_memory_equal(seen.value, "abc", 3);
	assert_int_equal(seen.replay_ends, 1);
	assert_int_equal(seen.activates, 1);
	assert_int_equal(seen.epoch, 0xfeed);
	assert_int_equal(seen.committed, 1);
	assert_int_equal(seen.timed_out, 0);
	assert_int_equal(seen.quiesces, 1);
	assert_int_equal(seen.forwards, 1);
	assert_int_equal(seen.queries, 1);
	assert_int_equal(seen.token, 6);
	assert_string_equal(seen.query, "{\"cmd\":\"calls\"}");
	assert_int_equal(seen.burials, 1);
	assert_int_equal(seen.drains, 1);
	assert_int_equal(seen.gone, 0);
	/* One credit for the whole batch, up to the end of the replay. */
	assert_int_equal(link_receive(keeper, &msg), 1);
	assert_int_equal(msg.type, LINK_APPLIED);
	assert_int_equal(msg.token, 3);
	assert_int_equal(link_receive(keeper, &msg), 0);

	m = (struct link_message){
		.type = LINK_COMMITTED, .flags = LINK_F_TIMED_OUT, .token = 8};
	assert_int_equal(link_send(keeper, &m), 0);
	worker_link_dispatch(worker, 1);
	assert_int_equal(seen.timed_out, 1);
}

static void answers_arrive(void **state)
{
	const struct ha_key key = {5, 1, REC_MSTATE};

	assert_int_equal(worker_link_put(worker, &key, "v", 1, true, 99), 0);
	assert_int_equal(worker_link_delete(worker, &key, false, 0), 0);
	assert_int_equal(worker_link_activated(worker, 0xfeed), 0);
	assert_int_equal(worker_link_quiesced(worker), 0);
	assert_int_equal(worker_link_reply(worker, 6, "{}"), 0);
	/* They leave together at the end of the turn. */
	assert_int_equal(link_receive(keeper, &msg), 0);
	assert_true(worker_link_wants_write(worker));
	worker_link_flush(worker);
	assert_false(worker_link_wants_write(worker));
	assert_int_equal(link_receive(keeper, &msg), 1);
	assert_true(link_buffered(keeper));
	assert_int_equal(msg.type, LINK_PUT);
	assert_int_equal(msg.flags, LINK_F_SYNC);
	assert_int_equal(msg.token, 99);
	assert_int_equal(msg.key.kind, REC_MSTATE);
	assert_string_equal(msg.value, "v");
	assert_int_equal(link_receive(keeper, &msg), 1);
	assert_int_equal(msg.type, LINK_DELETE);
	assert_int_equal(link_receive(keeper, &msg), 1);
	assert_int_equal(msg.type, LINK_ACTIVATED);
	assert_int_equal(msg.token, 0xfeed);
	assert_int_equal(link_receive(keeper, &msg), 1);
	assert_int_equal(msg.type, LINK_QUIESCED);
	assert_int_equal(link_receive(keeper, &msg), 1);
	assert_int_equal(msg.type, LINK_REPLY);
	assert_int_equal(msg.token, 6);
	assert_string_equal(msg.value, "{}");
	assert_false(link_buffered(keeper));
	assert_int_equal(link_receive(keeper, &msg), 0);
}

/* One wake-up for many messages, and all of them read whatever the budget:
 * the socket tells nobody of the rest of a datagram. */
static void gathered_messages_arrive_whole(void **state)
{
	static char value[3000];
	unsigned datagrams = 0;
	uint64_t seq = 0;

	assert_int_equal(link_gather(keeper), 0);
	for (unsigned i = 0; i < 100; i++) {
		send_record(i, ++seq, value, i * 30);
		if (i == 50) {
			char big[40000] = "big";

			/* Too large to travel with others, in its place. */
			send_record(1000, ++seq, big, sizeof(big));
		}
	}
	assert_int_equal(link_flush(keeper), 0);
	assert_false(link_pending(keeper));
	while (seen.records < 101) {
		assert_true(++datagrams < 20);
		worker_link_dispatch(worker, 1);
		assert_int_equal(seen.gone, 0);
	}
	assert_int_equal(seen.last_id, 99);
	assert_in_range(datagrams, 5, 10);
}

/* A bundle that finds the socket full goes before everything after it. */
static void a_bundle_waits_for_room(void **state)
{
	static char value[8192];
	uint64_t sent = 0, got = 0;
	struct link *other;
	int n;

	assert_int_equal(link_gather(keeper), 0);
	do {
		send_plain(LINK_QUERY, ++sent, NULL);
		sent++;
		send_record(sent, sent, value, sizeof(value));
		assert_int_equal(link_flush(keeper), 0);
	} while (!link_pending(keeper));
	for (unsigned i = 0; i < 10; i++)
		send_plain(LINK_QUERY, ++sent, "{}");
	assert_int_equal(link_create(&other, bare), 0);
	bare = -1;
	while (got < sent) {
		n = link_receive(other, &msg);
		assert_in_range(n, 0, 1);
		if (n)
			assert_int_equal(msg.token, ++got);
		else
			assert_int_equal(link_flush(keeper), 0);
	}
	assert_false(link_pending(keeper));
	assert_int_equal(link_queued_bytes(keeper), 0);
	link_destroy(other);
}

/* A replay of many windows: the keeper sends only what it has credit for. */
static void credits_pace_a_replay(void **state)
{
	enum { TOTAL = 5 * LINK_WINDOW + 17 };
	uint64_t sent = 0, acked = 0;
	unsigned credits = 0, rounds = 0;
	char value[200] = "record";

	while (acked < TOTAL) {
		int n;

		while (sent < TOTAL && sent - acked < LINK_WINDOW) {
			sent++;
			send_record(sent, sent, value, sizeof(value));
		}
		worker_link_dispatch(worker, 100);
		while ((n = link_receive(keeper, &msg)) == 1) {
			assert_int_equal(msg.type, LINK_APPLIED);
			assert_true(msg.token > acked && msg.token <= sent);
			acked = msg.token;
			credits++;
		}
		assert_int_equal(n, 0);
		assert_true(++rounds < 1000);
	}
	assert_int_equal(seen.records, TOTAL);
	assert_int_equal(seen.last_id, TOTAL);
	/* In order, and not one by one. */
	assert_in_range(credits, TOTAL / LINK_ACK_EVERY, TOTAL / 20);
}

static void death_of_the_keeper(void **state)
{
	const struct ha_key key = {1, 0, REC_CALL};

	send_record(1, 1, "x", 1);
	link_destroy(keeper);
	keeper = NULL;
	/* What it had sent is still applied. */
	worker_link_dispatch(worker, 100);
	assert_int_equal(seen.records, 1);
	assert_int_equal(seen.gone, 1);
	worker_link_dispatch(worker, 100);
	assert_int_equal(seen.gone, 1);
	assert_int_equal(worker_link_put(worker, &key, "x", 1, false, 0),
			 -EPIPE);
}

static void death_of_the_worker(void **state)
{
	worker_link_destroy(worker);
	worker = NULL;
	assert_int_equal(link_receive(keeper, &msg), -EPIPE);
}

static void refused_config_ends_the_worker(void **state)
{
	struct link_message m = {.type = LINK_CONFIG, .fds_len = 1};

	seen.config_result = -EINVAL;
	m.fds[0] = memfd_create("test", MFD_CLOEXEC);
	assert_int_equal(link_send(keeper, &m), 0);
	close(m.fds[0]);
	worker_link_dispatch(worker, 10);
	assert_int_equal(seen.gone, 1);
}

static void config_without_text_ends_the_worker(void **state)
{
	send_plain(LINK_CONFIG, 0, "node { }");
	worker_link_dispatch(worker, 10);
	assert_int_equal(seen.configs, 0);
	assert_int_equal(seen.gone, 1);
}

static void garbage_is_survived(void **state)
{
	uint8_t raw[100];

	memset(raw, 0xff, sizeof(raw));
	for (int i = 0; i < 50; i++)
		assert_int_equal(send(link_fd(keeper), raw, sizeof(raw), 0),
				 sizeof(raw));
	send_record(3, 1, "x", 1);
	worker_link_dispatch(worker, 100);
	assert_int_equal(seen.records, 1);
	assert_int_equal(seen.gone, 0);
}

/* The worker's own queue: pending, then written when there is room. */
static void worker_waits_for_room(void **state)
{
	static char value[65536];
	unsigned n = 0, got = 0;

	while (!worker_link_wants_write(worker)) {
		const struct ha_key key = {++n, 0, REC_TXN};

		assert_int_equal(worker_link_put(worker, &key, value,
						 sizeof(value), true, n),
				 0);
		worker_link_flush(worker);
	}
	while (got < n) {
		int r = link_receive(keeper, &msg);

		assert_in_range(r, 0, 1);
		if (r) {
			got++;
			assert_int_equal(msg.token, got);
		} else {
			worker_link_dispatch(worker, 1);
		}
	}
	assert_false(worker_link_wants_write(worker));
}

#define BARE(test) cmocka_unit_test_setup_teardown(test, setup_bare, teardown)
#define WORKER(test)                                                           \
	cmocka_unit_test_setup_teardown(test, setup_worker, teardown)

int main(void)
{
	const struct CMUnitTest tests[] = {
		BARE(all_members_arrive),
		BARE(largest_message),
		BARE(malformed_messages_are_dropped),
		BARE(uninvited_fds_are_closed),
		BARE(full_socket_queues_and_coalesces),
		BARE(the_queue_is_bounded),
		BARE(queued_fds_arrive),
		BARE(undelivered_fds_are_closed),
		BARE(a_bundle_waits_for_room),
		WORKER(every_message_is_dispatched),
		WORKER(answers_arrive),
		WORKER(gathered_messages_arrive_whole),
		WORKER(credits_pace_a_replay),
		WORKER(death_of_the_keeper),
		WORKER(death_of_the_worker),
		WORKER(refused_config_ends_the_worker),
		WORKER(config_without_text_ends_the_worker),
		WORKER(garbage_is_survived),
		WORKER(worker_waits_for_room),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
