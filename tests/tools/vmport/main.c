/*
 * vmport: the virtual switch's end of a virtual machine that can be paused.
 *
 * usage: vmport --port NET:VM [--port NET:VM ...]
 *        vmport --flood NIC --rate N --frame HEX
 *
 * Forwards frames between two interfaces of its namespace, NET towards the
 * network and VM towards the machine, for each port. Commands on stdin, one a
 * line:
 *   pause            the machine stands: nothing is read for it; each port
 *                    keeps the first KEEP frames and drops the newest. What
 *                    its kernel, which a namespace cannot stop, would send
 *                    meanwhile is dropped and counted.
 *   resume NET ...   it goes on: the ports hand over what they kept, one after
 *                    the other in this order, then everything flows again
 *   report           one line of JSON: per port kept, dropped, to_vm, from_vm;
 *                    resumed_ns (CLOCK_MONOTONIC)
 * EOF ends it. --flood sends one frame at a steady rate until it is ended.
 */
#include <errno.h>
#include <getopt.h>
#include <jansson.h>
#include <linux/if_ether.h>
#include <linux/if_packet.h>
#include <net/if.h>
#include <arpa/inet.h>
#include <poll.h>
#include <sched.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

enum { PORTS_MAX = 8, KEEP = 256, FRAME_MAX = 70000, TURN = 64 };

struct kept {
	size_t size;
	uint8_t *data;
};

struct port {
	const char *name; /* of its NET side */
	int net, vm;
	struct kept kept[KEEP];
	size_t kept_len;
	uint64_t kept_all, dropped, to_vm, from_vm, dropped_from_vm;
};

static struct port ports[PORTS_MAX];
static size_t ports_len;
static bool paused;
static uint64_t resumed_ns;

static uint64_t now_ns(void)
{
	struct timespec ts;

	clock_gettime(CLOCK_MONOTONIC, &ts);
	return (uint64_t)ts.tv_sec * 1000000000u + (uint64_t)ts.tv_nsec;
}

static int die(const char *what, const char *name)
{
	fprintf(stderr, "vmport: %s: %s: %s\n", name, what, strerror(errno));
	return 1;
}

/*
 * With the kernel's offload header in front: what one veth left for another
 * to compute is passed on as it is.
 */
static int packet_open(const char *nic, bool receives)
{
	int one = 1, size = 16 << 20;
	struct sockaddr_ll ll = {
		.sll_family = AF_PACKET,
		.sll_protocol = htons(receives ? ETH_P_ALL : 0),
		.sll_ifindex = (int)if_nametoindex(nic),
	};
	int fd = socket(AF_PACKET, SOCK_RAW | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);

	if (!ll.sll_ifindex || fd < 0 ||
	    (receives && (setsockopt(fd, SOL_PACKET, PACKET_IGNORE_OUTGOING,
				     &one, sizeof(one)) ||
			  setsockopt(fd, SOL_PACKET, PACKET_VNET_HDR, &one,
				     sizeof(one)))) ||
	    setsockopt(fd, SOL_SOCKET, SO_RCVBUFFORCE, &size, sizeof(size)) ||
	    setsockopt(fd, SOL_SOCKET, SO_SNDBUFFORCE, &size, sizeof(size)) ||
	    bind(fd, (const struct sockaddr *)&ll, sizeof(ll)))
		exit(die("cannot be used", nic));
	return fd;
}

static void put(int fd, const uint8_t *data, size_t size, uint64_t *counter)
{
	if (send(fd, data, size, 0) == (ssize_t)size)
		(*counter)++;
}

static void keep(struct port *p, const uint8_t *data, size_t size)
{
	struct kept *k = &p->kept[p->kept_len];

	if (p->kept_len == KEEP) {
		p->dropped++;
		return;
	}
	k->data = malloc(size);
	if (!k->data)
		exit(die("no memory", p->name));
	memcpy(k->data, data, size);
	k->size = size;
	p->kept_len++;
	p->kept_all++;
}

static void hand_over(struct port *p)
{
	for (size_t i = 0; i < p->kept_len; i++) {
		put(p->vm, p->kept[i].data, p->kept[i].size, &p->to_vm);
		free(p->kept[i].data);
	}
	p->kept_len = 0;
}

static void move(struct port *p, bool to_vm)
{
	static uint8_t data[FRAME_MAX];

	for (int i = 0; i < TURN; i++) {
		ssize_t n = recv(to_vm ? p->net : p->vm, data, sizeof(data), 0);

		if (n <= 0)
			return;
		if (!paused)
			put(to_vm ? p->vm : p->net, data, (size_t)n,
			    to_vm ? &p->to_vm : &p->from_vm);
		else if (to_vm)
			keep(p, data, (size_t)n);
		else
			p->dropped_from_vm++;
	}
}

static void report(void)
{
	json_t *list = json_object();

	for (size_t i = 0; i < ports_len; i++) {
		const struct port *p = &ports[i];

		json_object_set_new(list, p->name,
				    json_pack("{s:I,s:I,s:I,s:I,s:I}", "kept",
					      (json_int_t)p->kept_all,
					      "dropped", (json_int_t)p->dropped,
					      "to_vm", (json_int_t)p->to_vm,
					      "from_vm", (json_int_t)p->from_vm,
					      "dropped_from_vm",
					      (json_int_t)p->dropped_from_vm));
	}
	list = json_pack("{s:o,s:I}", "ports", list, "resumed_ns",
			 (json_int_t)resumed_ns);
	json_dumpf(list, stdout, JSON_COMPACT);
	printf("\n");
	fflush(stdout);
	json_decref(list);
}

static void command(char *line)
{
	char *word = strtok(line, " \n");

	if (!word)
		return;
	if (!strcmp(word, "pause")) {
		paused = true;
	} else if (!strcmp(word, "resume")) {
		/* What came before the machine went on stays dropped. */
		for (size_t i = 0; i < ports_len; i++) {
			move(&ports[i], true);
			move(&ports[i], false);
		}
		resumed_ns = now_ns();
		while ((word = strtok(NULL, " \n"))) {
			for (size_t i = 0; i < ports_len; i++) {
				if (!strcmp(ports[i].name, word))
					hand_over(&ports[i]);
			}
		}
		paused = false;
	} else if (!strcmp(word, "report")) {
		report();
		return;
	}
	printf("done\n");
	fflush(stdout);
}

static int forward(void)
{
	struct pollfd pfds[1 + 2 * PORTS_MAX] = {{.fd = 0, .events = POLLIN}};
	struct sched_param rr = {.sched_priority = 1};
	char line[256];

	for (size_t i = 0; i < ports_len; i++) {
		pfds[1 + 2 * i] = (struct pollfd){ports[i].net, POLLIN, 0};
		pfds[2 + 2 * i] = (struct pollfd){ports[i].vm, POLLIN, 0};
	}
	/* A switch does not wait for the machines it connects. */
	if (sched_setscheduler(0, SCHED_RR, &rr))
		fprintf(stderr, "vmport: no real-time priority\n");
	setvbuf(stdin, NULL, _IONBF, 0);
	printf("ready\n");
	fflush(stdout);
	for (;;) {
		if (poll(pfds, 1 + 2 * ports_len, -1) < 0)
			continue;
		for (size_t i = 0; i < ports_len; i++) {
			if (pfds[1 + 2 * i].revents)
				move(&ports[i], true);
			if (pfds[2 + 2 * i].revents)
				move(&ports[i], false);
		}
		if (!pfds[0].revents)
			continue;
		if (!fgets(line, sizeof(line), stdin))
			return 0;
		command(line);
	}
}

static int flood(const char *nic, const char *hex, unsigned rate)
{
	uint64_t next = now_ns();
	size_t size = strlen(hex) / 2;
	uint8_t frame[1514];
	int fd = packet_open(nic, false);

	if (size < ETH_HLEN || size > sizeof(frame) || !rate)
		return 2;
	for (size_t i = 0; i < size; i++) {
		unsigned byte;

		if (sscanf(hex + 2 * i, "%2x", &byte) != 1)
			return 2;
		frame[i] = (uint8_t)byte;
	}
	printf("ready\n");
	fflush(stdout);
	/* In milliseconds' portions at least: nobody can sleep for 50 us. */
	for (;;) {
		long pause_ns = rate < 1000 ? 1000000000L / rate : 1000000;
		struct timespec pause = {.tv_sec = pause_ns / 1000000000,
					 .tv_nsec = pause_ns % 1000000000};
		unsigned n = rate / 1000 ? rate / 1000 : 1;

		for (unsigned i = 0; i < n; i++)
			/* A full queue is what a flood makes. */
			if (send(fd, frame, size, 0) < 0)
				break;
		next += (uint64_t)pause_ns;
		if (next > now_ns())
			nanosleep(&pause, NULL);
	}
}

static void add_port(char *text)
{
	struct port *p = &ports[ports_len];
	char *colon = strchr(text, ':');

	if (!colon || ports_len == PORTS_MAX) {
		fprintf(stderr, "vmport: bad port: %s\n", text);
		exit(2);
	}
	*colon = '\0';
	p->name = text;
	p->net = packet_open(text, true);
	p->vm = packet_open(colon + 1, true);
	ports_len++;
}

int main(int argc, char **argv)
{
	static const struct option options[] = {
		{"port", 1, NULL, 'p'}, {"flood", 1, NULL, 'f'},
		{"rate", 1, NULL, 'r'}, {"frame", 1, NULL, 'x'},
		{NULL, 0, NULL, 0},
	};
	const char *nic = NULL, *frame = NULL;
	unsigned rate = 0;
	int c;

	while ((c = getopt_long(argc, argv, "", options, NULL)) >= 0)
		switch (c) {
		case 'p':
			add_port(optarg);
			break;
		case 'f':
			nic = optarg;
			break;
		case 'r':
			rate = (unsigned)atoi(optarg);
			break;
		case 'x':
			frame = optarg;
			break;
		default:
			return 2;
		}
	if (nic && frame)
		return flood(nic, frame, rate);
	if (!ports_len) {
		fprintf(stderr, "usage: vmport --port NET:VM ... | --flood NIC "
				"--rate N --frame HEX\n");
		return 2;
	}
	return forward();
}
