/*
 * Media workers in a small network, and a keeper small enough for tests:
 *
 *   node A (netns) core, cloud --+           +-- core, cloud  node B (netns)
 *        |  |                    |           |                   |  |
 *        |  |             br-core, br-cloud in `far`             |  |
 *        |  |             10.10.0.50 fd00:10::50, 10.20.0.50     |  |
 *        +--|------------------------ ha1 -----------------------+  |
 *           +------------------------ ha2 --------------------------+
 *
 * The virtual addresses are 10.10.0.10, fd00:10::10 and 10.20.0.10; `far`
 * has permanent neighbour entries for them, node_take() moves them.
 */
#ifndef WORKER_HARNESS_H
#define WORKER_HARNESS_H

#include "media_test.h"

#include <fcntl.h>
#include <netinet/in.h>
#include <poll.h>
#include <sched.h>
#include <signal.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include <jansson.h>

#include "netif/anyport.h"
#include "netif/vip.h"
#include "sbcd/base/clock.h"
#include "sbcd/base/counters.h"
#include "sbcd/base/log.h"
#include "sbcd/media/worker.h"
#include "sbcd/record/link.h"
#include "sbcd/record/record.h"

enum {
	SHARDS = 2,
	PORT_FIRST = 20000,
	PORT_LAST = 20999,
	WAIT_MS = 10000, /* deadline of everything that is waited for */
	STORE_MAX = 2048,
	FORWARD_PORT = 5407,
	NOBODY = 65534,
};

static const char config_text[] =
	"cluster { name = \"edge\" peers = {\"sbc-a\", \"sbc-b\"} }\n"
	"network-interface \"core\" { nic = \"core\" "
	"address = {\"10.10.0.10/24\", \"fd00:10::10/64\"} "
	"gateway = {\"10.10.0.1\", \"fd00:10::1\"} }\n"
	"network-interface \"cloud\" { nic = \"cloud\" "
	"address = {\"10.20.0.10/24\"} gateway = {\"10.20.0.1\"} }\n"
	"realm \"core\" { network-interface = core "
	"steering-pool = \"20000-20999\" }\n"
	"realm \"cloud\" { network-interface = cloud "
	"steering-pool = \"20000-20999\" }\n"
	"sip-interface \"core\" { realm = core port udp { } }\n"
	"sip-interface \"cloud\" { realm = cloud port udp { } }\n"
	"session-agent \"pbx\" { realm = core host = \"10.10.0.50\" "
	"transport = udp }\n"
	"local-policy { from-realm = cloud to = \"*\" "
	"next-hop = \"pbx\" }\n";

static const char node_text[] =
	"node { name = \"sbc-a\" id = 1 ha-address = {\"10.99.1.1\"} "
	"ha-peer = {\"10.99.1.2\"} cluster-key-file = \"/nowhere\" "
	"log-level = warning }\n";

static const struct {
	const char *nif, *ip;
} vips[] = {{"core", "10.10.0.10"},
	    {"core", "fd00:10::10"},
	    {"cloud", "10.20.0.10"}};
enum { VIPS = 3 };

struct stored { /* a record of the keeper */
	bool used;
	struct ha_key key;
	size_t size;
	uint8_t value[2048];
};

struct node {
	int ns;
	unsigned id; /* 1, 2 */
	struct netif_anyport *anyports[2]; /* core, cloud */
	int raws[VIPS];
	int forward[2];
	struct counters *counters;
	int counters_fd;
	/* the worker */
	pid_t pid;
	struct link *link;
	uint64_t seq, acked;
	uint64_t epoch; /* of the records we send */
	struct stored store[STORE_MAX];
	unsigned puts, deletes; /* of mstate */
	struct rec_mstate last; /* of the first deleted one */
	struct node *peer; /* gets our mstate; NULL: alone */
	char reply[65536];
	unsigned seen[64]; /* messages by type */
};

static struct {
	int home, far;
	char macs[2][2][20]; /* node, nic */
} world UNUSED;

static struct node nodes[2] UNUSED;

__attribute__((format(printf, 1, 2))) static UNUSED void sh(const char *fmt,
							    ...)
{
	char cmd[1024];
	va_list ap;

	va_start(ap, fmt);
	vsnprintf(cmd, sizeof(cmd), fmt, ap);
	va_end(ap);
	if (system(cmd) != 0)
		fail_msg("failed: %s", cmd);
}

static UNUSED void enter(int ns)
{
	assert_return_code(setns(ns, CLONE_NEWNET), errno);
}

static UNUSED int ns_new(void)
{
	int fd;

	assert_return_code(unshare(CLONE_NEWNET), errno);
	sh("ip link set lo up; echo 0 >/proc/sys/net/ipv6/conf/default/"
	   "accept_dad; echo 0 >/proc/sys/net/ipv6/conf/all/accept_dad");
	fd = open("/proc/thread-self/ns/net", O_RDONLY | O_CLOEXEC);
	assert_true(fd >= 0);
	return fd;
}

static UNUSED struct netif_ip ip_of(const char *text)
{
	struct netif_ip ip;

	assert_int_equal(netif_ip_parse(&ip, text), 0);
	return ip;
}

/* ---- network
 * --------------------------------------------------------------------- */

static UNUSED void read_mac(char out[20], const char *nic)
{
	char path[64];
	FILE *f;

	snprintf(path, sizeof(path),
		 "ip -o link show %s | "
		 "sed 's/.*ether \\([0-9a-f:]*\\).*/\\1/'",
		 nic);
	f = popen(path, "r");
	assert_non_null(f);
	assert_int_equal(fscanf(f, "%19s", out), 1);
	pclose(f);
}

/* NICs of one node, with routes out of them for the virtual sources. */
static UNUSED void node_network(struct node *n)
{
	static const char *const nics[] = {"core", "cloud"};

	n->ns = ns_new();
	for (unsigned i = 0; i < 2; i++) {
		sh("ip link add %s type veth peer name %s%u netns "
		   "/proc/%d/fd/%d && ip link set %s up",
		   nics[i], nics[i], n->id, getpid(), world.far, nics[i]);
		read_mac(world.macs[n->id - 1][i], nics[i]);
		enter(world.far);
		sh("ip link set %s%u master br-%s up", nics[i], n->id, nics[i]);
		enter(n->ns);
	}
	sh("ip route add 10.10.0.0/24 dev core; "
	   "ip route add 10.20.0.0/24 dev cloud; "
	   "echo 1 >/proc/sys/net/ipv4/ip_nonlocal_bind; "
	   "echo 1 >/proc/sys/net/ipv6/ip_nonlocal_bind; "
	   "echo 0 >/proc/sys/net/ipv4/conf/all/rp_filter; "
	   "echo 0 >/proc/sys/net/ipv4/conf/core/rp_filter; "
	   "echo 0 >/proc/sys/net/ipv4/conf/cloud/rp_filter; "
	   "ip -6 route replace fd00:10::/64 dev core");
}

static UNUSED void far_network(void)
{
	world.far = ns_new();
	for (unsigned i = 0; i < 2; i++)
		sh("ip link add br-%s type bridge mcast_snooping 0 && "
		   "ip addr add 10.%u.0.50/24 dev br-%s && "
		   "ip addr add fd00:%u::50/64 dev br-%s nodad && "
		   "ip link set br-%s up",
		   i ? "cloud" : "core", i ? 20 : 10, i ? "cloud" : "core",
		   i ? 20 : 10, i ? "cloud" : "core", i ? "cloud" : "core");
}

/* The peers' answers never wait for ARP; who they are is known. */
static UNUSED void node_neighbours(struct node *n)
{
	char core[20], cloud[20];

	enter(world.far);
	read_mac(core, "br-core");
	read_mac(cloud, "br-cloud");
	enter(n->ns);
	sh("ip neigh replace 10.10.0.50 lladdr %s dev core && "
	   "ip neigh replace fd00:10::50 lladdr %s dev core && "
	   "ip neigh replace 10.20.0.50 lladdr %s dev cloud",
	   core, core, cloud);
}

/* The node owns the virtual addresses and the far side knows it. */
static UNUSED void node_take(struct node *n)
{
	enter(n->ns);
	sh("ip addr add 10.10.0.10/24 dev core noprefixroute && "
	   "ip addr add fd00:10::10/64 dev core nodad noprefixroute && "
	   "ip -6 route replace local fd00:10::10 dev core table local && "
	   "ip addr add 10.20.0.10/24 dev cloud noprefixroute");
	enter(world.far);
	sh("ip neigh replace 10.10.0.10 lladdr %s dev br-core && "
	   "ip neigh replace fd00:10::10 lladdr %s dev br-core && "
	   "ip neigh replace 10.20.0.10 lladdr %s dev br-cloud",
	   world.macs[n->id - 1][0], world.macs[n->id - 1][0],
	   world.macs[n->id - 1][1]);
	enter(world.home);
}

static UNUSED void ha_network(void)
{
	enter(nodes[0].ns);
	for (unsigned l = 1; l <= 2; l++)
		sh("ip link add ha%u type veth peer name ha%u netns "
		   "/proc/%d/fd/%d && ip addr add 10.99.%u.1/24 dev ha%u && "
		   "ip link set ha%u up",
		   l, l, getpid(), nodes[1].ns, l, l, l);
	enter(nodes[1].ns);
	for (unsigned l = 1; l <= 2; l++)
		sh("ip addr add 10.99.%u.2/24 dev ha%u && ip link set ha%u up",
		   l, l, l);
	enter(world.home);
}

/* ---- keeper's sockets
 * ------------------------------------------------------------ */

static UNUSED void open_anyport(struct node *n, unsigned which)
{
	struct netif_anyport_range ranges[VIPS];
	struct netif_anyport_params p = {.nic = which ? "cloud" : "core",
					 .ranges = ranges,
					 .shards = SHARDS,
					 .rcvbuf_bytes = 4 << 20};

	for (unsigned i = 0; i < VIPS; i++) {
		if (strcmp(vips[i].nif, p.nic))
			continue;
		ranges[p.ranges_len].addr = ip_of(vips[i].ip);
		ranges[p.ranges_len].lo = PORT_FIRST;
		ranges[p.ranges_len++].hi = PORT_LAST;
	}
	assert_int_equal(netif_anyport_create(&n->anyports[which], &p), 0);
}

static UNUSED int open_forward(const struct node *n, unsigned l)
{
	char text[32];
	struct sockaddr_storage ss;
	struct addr a;
	int fd = socket(AF_INET, SOCK_DGRAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
	int size = 4 << 20;
	socklen_t len;

	assert_true(fd >= 0);
	setsockopt(fd, SOL_SOCKET, SO_RCVBUFFORCE, &size, sizeof(size));
	snprintf(text, sizeof(text), "10.99.%u.%u", l + 1, n->id);
	a = addr_of(text, FORWARD_PORT);
	len = addr_to_sockaddr(&a, &ss);
	assert_return_code(bind(fd, (struct sockaddr *)&ss, len), errno);
	return fd;
}

static UNUSED void node_sockets(struct node *n)
{
	enter(n->ns);
	for (unsigned i = 0; i < 2; i++)
		open_anyport(n, i);
	for (unsigned i = 0; i < VIPS; i++) {
		struct netif_ip ip = ip_of(vips[i].ip);

		n->raws[i] = netif_raw_open(vips[i].nif, &ip, 4 << 20);
		assert_true(n->raws[i] >= 0);
	}
	for (unsigned l = 0; l < 2; l++)
		n->forward[l] = open_forward(n, l);
	assert_int_equal(counters_create(&n->counters, &n->counters_fd), 0);
	enter(world.home);
}

/* ---- keeper's side of the link
 * --------------------------------------------------- */

static UNUSED void say(struct node *n, const struct link_message *m)
{
	assert_int_equal(link_send(n->link, m), 0);
}

static UNUSED void tell(struct node *n, uint8_t type, uint64_t token)
{
	struct link_message m = {.type = type, .token = token};

	say(n, &m);
}

static UNUSED struct stored *store_find(struct node *n,
					const struct ha_key *key, bool add)
{
	struct stored *empty = NULL;

	for (unsigned i = 0; i < STORE_MAX; i++) {
		if (n->store[i].used && ha_key_equal(&n->store[i].key, key))
			return &n->store[i];
		if (!n->store[i].used && !empty)
			empty = &n->store[i];
	}
	if (!add)
		return NULL;
	assert_non_null(empty);
	empty->used = true;
	empty->key = *key;
	return empty;
}

static UNUSED void store_put(struct node *n, const struct ha_key *key,
			     const void *value, size_t size)
{
	struct stored *s = store_find(n, key, true);

	assert_true(size <= sizeof(s->value));
	memcpy(s->value, value, size);
	s->size = size;
}

static UNUSED void store_delete(struct node *n, const struct ha_key *key)
{
	struct stored *s = store_find(n, key, false);

	if (s)
		s->used = false;
}

static UNUSED void keep_last(struct node *n, const struct ha_key *key)
{
	struct stored *s = store_find(n, key, false);

	assert_non_null(s);
	assert_int_equal(record_decode(REC_MSTATE, s->value, s->size, &n->last),
			 0);
}

static UNUSED void send_record(struct node *n, const struct ha_key *key,
			       const void *value, size_t size)
{
	struct link_message m = {.type = LINK_RECORD,
				 .flags = value ? 0 : LINK_F_DELETED,
				 .token = ++n->seq,
				 .key = *key,
				 .version = {.epoch = n->epoch,
					     .generation = n->seq,
					     .writer = 1},
				 .value = value,
				 .size = size};

	say(n, &m);
}

static UNUSED void replicate(struct node *to, const struct link_message *m)
{
	store_put(to, &m->key, m->value, m->size);
	if (to->link)
		send_record(to, &m->key, m->value, m->size);
}

static UNUSED void handle(struct node *n, const struct link_message *m)
{
	assert_true(m->type < 64);
	n->seen[m->type]++;
	switch (m->type) {
	case LINK_PUT:
		assert_int_equal(m->key.kind, REC_MSTATE);
		n->puts++;
		store_put(n, &m->key, m->value, m->size);
		if (n->peer)
			replicate(n->peer, m);
		break;
	case LINK_DELETE:
		assert_int_equal(m->key.kind, REC_MSTATE);
		if (!n->deletes++)
			keep_last(n, &m->key);
		store_delete(n, &m->key);
		break;
	case LINK_APPLIED:
		n->acked = m->token;
		break;
	case LINK_REPLY:
		snprintf(n->reply, sizeof(n->reply), "%s",
			 (const char *)m->value);
		break;
	default:
		break;
	}
}

/* Reads what is there, waits at most ms for the first message. */
static UNUSED void listen_to(struct node *n, int ms)
{
	struct pollfd p = {.fd = link_fd(n->link), .events = POLLIN};
	struct link_message m;

	assert_int_equal(link_flush(n->link), 0);
	poll(&p, 1, ms);
	for (;;) {
		int got = link_receive(n->link, &m);

		assert_in_range(got, 0, 1); /* the worker lives */
		if (!got)
			return;
		handle(n, &m);
	}
}

#define WAIT_FOR(n, condition)                                                 \
	do {                                                                   \
		uint64_t end = clock_mono_ms() + WAIT_MS;                      \
		while (!(condition)) {                                         \
			if (clock_mono_ms() > end)                             \
				fail_msg("never: %s", #condition);             \
			listen_to(n, 20);                                      \
		}                                                              \
	} while (0)

/* Says it and waits for the answer. */
static UNUSED void tell_wait(struct node *n, uint8_t type, uint64_t token,
			     uint8_t answer)
{
	unsigned before = n->seen[answer];

	tell(n, type, token);
	WAIT_FOR(n, n->seen[answer] > before);
}

static UNUSED void activate_since(struct node *n, uint64_t epoch,
				  uint64_t since_ns)
{
	struct link_message m = {.type = LINK_ACTIVATE,
				 .token = epoch,
				 .value = &since_ns,
				 .size = sizeof(since_ns)};
	unsigned before = n->seen[LINK_ACTIVATED];

	say(n, &m);
	WAIT_FOR(n, n->seen[LINK_ACTIVATED] > before);
}

static UNUSED json_t *ask(struct node *n, const char *json)
{
	struct link_message m = {.type = LINK_QUERY,
				 .token = 7,
				 .value = json,
				 .size = strlen(json)};
	unsigned before = n->seen[LINK_REPLY];
	json_t *answer;

	say(n, &m);
	WAIT_FOR(n, n->seen[LINK_REPLY] > before);
	answer = json_loads(n->reply, 0, NULL);
	assert_non_null(answer);
	return answer;
}

static UNUSED json_int_t number_of(struct node *n, const char *question,
				   const char *name)
{
	json_t *answer = ask(n, question);
	json_int_t v = json_integer_value(json_object_get(answer, name));

	json_decref(answer);
	return v;
}

#define gaps_of(n, name) number_of(n, "{\"cmd\":\"gaps\"}", name)
#define stat_of(n, name) number_of(n, "{\"cmd\":\"stats\"}", name)

static UNUSED uint64_t counter_of(const struct node *n, enum counter_id id)
{
	return counters_get(n->counters, id);
}

static UNUSED void put_media(struct node *n, uint64_t call,
			     const struct rec_media *r)
{
	struct ha_key key = {.id = call, .sub = 0, .kind = REC_MEDIA};
	struct buf b;

	buf_init(&b, 8192);
	assert_int_equal(record_encode(REC_MEDIA, r, &b), 0);
	store_put(n, &key, b.data, b.size);
	send_record(n, &key, b.data, b.size);
	buf_finish(&b);
}

static UNUSED void delete_media(struct node *n, uint64_t call)
{
	struct ha_key key = {.id = call, .sub = 0, .kind = REC_MEDIA};

	store_delete(n, &key);
	send_record(n, &key, NULL, 0);
}

static UNUSED void wait_applied(struct node *n)
{
	WAIT_FOR(n, n->acked == n->seq);
}

static UNUSED bool mstate_of(struct node *n, uint64_t call,
			     struct rec_mstate *out)
{
	struct ha_key key = {.id = call, .sub = 0, .kind = REC_MSTATE};
	struct stored *s = store_find(n, &key, false);

	return s && !record_decode(REC_MSTATE, s->value, s->size, out);
}

/* ---- worker
 * ---------------------------------------------------------------------- */

static UNUSED void worker_exec(struct node *n, int link_end)
{
	int l = fcntl(link_end, F_DUPFD, 100);
	int c = fcntl(n->counters_fd, F_DUPFD, 100);

	if (dup2(l, LINK_WORKER_FD) < 0 || dup2(c, LINK_COUNTERS_FD) < 0)
		_exit(120);
	close_range(LINK_COUNTERS_FD + 1, ~0u, 0);
	if (setgid(NOBODY) || setuid(NOBODY) ||
	    prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) ||
	    prctl(PR_SET_PDEATHSIG, SIGKILL))
		_exit(121);
	_exit(media_worker_main());
}

static UNUSED const char *config_more = "";

static UNUSED void send_config(struct node *n)
{
	struct link_message m = {.type = LINK_CONFIG,
				 .value = node_text,
				 .size = strlen(node_text),
				 .fds_len = 1};

	m.fds[0] = memfd_create("config", MFD_CLOEXEC);
	assert_true(m.fds[0] >= 0);
	assert_int_equal(dprintf(m.fds[0], "%s%s", config_text, config_more),
			 strlen(config_text) + strlen(config_more));
	say(n, &m);
	close(m.fds[0]);
}

static UNUSED void send_media_fds(struct node *n, unsigned which)
{
	const char *nif = which ? "cloud" : "core";
	struct link_message m = {.type = LINK_FDS};
	json_t *list = json_array(), *root;
	char *text;

	for (unsigned i = 0; i < VIPS; i++) {
		struct netif_ip ip = ip_of(vips[i].ip);

		if (strcmp(vips[i].nif, nif))
			continue;
		for (unsigned s = 0; s < SHARDS; s++) {
			m.fds[m.fds_len++] = netif_anyport_fd(
				n->anyports[which], s, ip.family);
			/* Both ways to say which ports: all that is configured
			 * (cloud), or this one range. */
			json_array_append_new(
				list,
				which ? json_pack("{s:s,s:i,s:[{s:s,s:i,s:i}]}",
						  "kind", "anyport", "shard",
						  (int)s, "ranges", "address",
						  vips[i].ip, "port-first",
						  PORT_FIRST, "port-last",
						  PORT_LAST)
				      : json_pack("{s:s,s:i,s:s,s:i,s:i}",
						  "kind", "anyport", "shard",
						  (int)s, "address", vips[i].ip,
						  "port-first", PORT_FIRST,
						  "port-last", PORT_LAST));
		}
		m.fds[m.fds_len++] = n->raws[i];
		json_array_append_new(list,
				      json_pack("{s:s,s:s}", "kind", "raw",
						"address", vips[i].ip));
	}
	root = json_pack("{s:s,s:s,s:i,s:o}", "purpose", "media",
			 "network-interface", nif, "shards", SHARDS, "fds",
			 list);
	text = json_dumps(root, 0);
	m.value = text;
	m.size = strlen(text);
	say(n, &m);
	free(text);
	json_decref(root);
}

static UNUSED void send_forward_fds(struct node *n)
{
	char text[512];
	struct link_message m = {.type = LINK_FDS, .value = text, .fds_len = 2};

	m.fds[0] = n->forward[0];
	m.fds[1] = n->forward[1];
	m.size = (size_t)snprintf(
		text, sizeof(text),
		"{\"purpose\":\"forward\",\"key\":\"%064d\",\"fds\":["
		"{\"kind\":\"udp\",\"peer\":\"10.99.1.%u:5407\"},"
		"{\"kind\":\"udp\",\"peer\":\"10.99.2.%u:5407\"}]}",
		42, 3 - n->id, 3 - n->id);
	say(n, &m);
}

/* Records of the store, mstate before media now and then. */
static UNUSED void replay(struct node *n)
{
	struct link_message m = {.type = LINK_REPLAY_END};

	for (unsigned i = STORE_MAX; i-- > 0;)
		if (n->store[i].used)
			send_record(n, &n->store[i].key, n->store[i].value,
				    n->store[i].size);
	m.token = ++n->seq;
	say(n, &m);
	wait_applied(n);
}

static UNUSED void worker_start(struct node *n)
{
	unsigned hello = n->seen[LINK_HELLO];
	int ends[2];

	assert_int_equal(link_socketpair(ends), 0);
	n->seq = n->acked = 0;
	n->pid = fork();
	assert_true(n->pid >= 0);
	if (!n->pid)
		worker_exec(n, ends[1]);
	close(ends[1]);
	assert_int_equal(link_create(&n->link, ends[0]), 0);
	WAIT_FOR(n, n->seen[LINK_HELLO] > hello);
	send_config(n);
	send_media_fds(n, 0);
	send_media_fds(n, 1);
	send_forward_fds(n);
	replay(n);
}

static UNUSED void worker_kill(struct node *n)
{
	if (n->pid > 0) {
		kill(n->pid, SIGKILL);
		waitpid(n->pid, NULL, 0);
	}
	n->pid = 0;
	link_destroy(n->link);
	n->link = NULL;
}

static UNUSED void node_activate(struct node *n, uint64_t epoch)
{
	tell_wait(n, LINK_ACTIVATE, epoch, LINK_ACTIVATED);
}

/* ---- whole world
 * ----------------------------------------------------------------- */

static UNUSED void node_setup(struct node *n, unsigned id)
{
	memset(n, 0, sizeof(*n));
	n->id = id;
	n->epoch = 5;
	node_network(n);
	node_neighbours(n);
	node_sockets(n);
}

static UNUSED void node_finish(struct node *n)
{
	if (!n->id)
		return;
	worker_kill(n);
	netif_anyport_destroy(n->anyports[0]);
	netif_anyport_destroy(n->anyports[1]);
	for (unsigned i = 0; i < VIPS; i++)
		close(n->raws[i]);
	close(n->forward[0]);
	close(n->forward[1]);
	counters_destroy(n->counters);
	close(n->counters_fd);
	close(n->ns);
	memset(n, 0, sizeof(*n));
}

/* Both nodes exist; their workers do not run yet. */
static UNUSED int world_setup(void **state)
{
	log_init("test", "keeper", LOG_WARNING);
	world.home = open("/proc/thread-self/ns/net", O_RDONLY | O_CLOEXEC);
	assert_true(world.home >= 0);
	far_network();
	node_setup(&nodes[0], 1);
	enter(world.far);
	node_setup(&nodes[1], 2);
	ha_network();
	return 0;
}

static UNUSED int world_teardown(void **state)
{
	enter(world.home);
	node_finish(&nodes[0]);
	node_finish(&nodes[1]);
	close(world.far);
	close(world.home);
	return 0;
}

/* ---- far side
 * -------------------------------------------------------------------- */

static UNUSED int far_socket(const char *ip, uint16_t port)
{
	struct addr a = addr_of(ip, port);
	struct sockaddr_storage ss;
	socklen_t len = addr_to_sockaddr(&a, &ss);
	int one = 1, fd;

	enter(world.far);
	fd = socket(ss.ss_family, SOCK_DGRAM | SOCK_CLOEXEC, 0);
	assert_true(fd >= 0);
	assert_return_code(bind(fd, (struct sockaddr *)&ss, len), errno);
	setsockopt(fd, IPPROTO_IP, IP_RECVTOS, &one, sizeof(one));
	enter(world.home);
	return fd;
}

static UNUSED void far_send(int fd, const char *ip, uint16_t port,
			    const void *data, size_t size)
{
	struct addr a = addr_of(ip, port);
	struct sockaddr_storage ss;
	socklen_t len = addr_to_sockaddr(&a, &ss);

	assert_int_equal(sendto(fd, data, size, 0, (struct sockaddr *)&ss, len),
			 size);
}

/* Size, or 0 when nothing came within ms. Who sent it in *from. */
static UNUSED size_t far_receive(int fd, uint8_t *data, size_t size, int ms,
				 struct addr *from)
{
	struct pollfd p = {.fd = fd, .events = POLLIN};
	struct sockaddr_storage ss;
	socklen_t len = sizeof(ss);
	ssize_t n;

	if (poll(&p, 1, ms) != 1)
		return 0;
	n = recvfrom(fd, data, size, 0, (struct sockaddr *)&ss, &len);
	assert_true(n > 0);
	if (from)
		assert_int_equal(
			addr_from_sockaddr(from, (struct sockaddr *)&ss), 0);
	return (size_t)n;
}

#endif
