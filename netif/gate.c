#include "netif/gate.h"

#include <errno.h>
#include <net/if.h>
#include <nftables/libnftables.h>
#include <pthread.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum {
	GATE_NICS_MAX = 32,
	GATE_GATEWAYS_MAX = 8,
	/* Skeleton of the table, the chain of a NIC, a question. */
	NIC_BYTES = 640,
	GATEWAY_BYTES = 192,
	RULESET_BYTES =
		1536 +
		GATE_NICS_MAX * (NIC_BYTES + GATE_GATEWAYS_MAX * GATEWAY_BYTES),
	WATCH_BYTES = 64 + GATE_NICS_MAX * 160,
	COMMAND_BYTES = 256 + GATE_NICS_MAX * 2 * 64,
};

struct netif_gate {
	struct nft_ctx *nft;
	/*
	 * Around every use of nft: the library is not made for two threads.
	 * Priority inheritance, because one of them is a real-time thread.
	 */
	pthread_mutex_t lock;
	size_t nics_len;
	char nics[GATE_NICS_MAX][IF_NAMESIZE];
	uint16_t token_at; /* of netif_gate_watch() */
	size_t links_len;
};

/* Text that does not fit is a bug: sizes follow from GATE_NICS_MAX. */
struct text {
	char *buf;
	size_t size;
	size_t len;
};

__attribute__((format(printf, 2, 3))) static void text_add(struct text *t,
							   const char *fmt, ...)
{
	va_list ap;
	int n;

	va_start(ap, fmt);
	n = vsnprintf(t->buf + t->len, t->size - t->len, fmt, ap);
	va_end(ap);
	if (n > 0)
		t->len += (size_t)n;
	if (t->len >= t->size)
		t->len = t->size - 1;
}

/* The library reports errors as text only. */
static int nft_error(struct nft_ctx *nft)
{
	static const int known[] = {ENOENT, EPERM,  EOPNOTSUPP, EBUSY,
				    ENOMEM, EEXIST, ENODEV};
	const char *text = nft_ctx_get_error_buffer(nft);

	for (size_t i = 0; i < sizeof(known) / sizeof(known[0]); i++) {
		if (text && strstr(text, strerrordesc_np(known[i])))
			return -known[i];
	}
	return -EIO;
}

static int nft_new(struct nft_ctx **out)
{
	struct nft_ctx *nft = nft_ctx_new(NFT_CTX_DEFAULT);

	if (!nft)
		return -ENOMEM;
	if (nft_ctx_buffer_output(nft) || nft_ctx_buffer_error(nft)) {
		nft_ctx_free(nft);
		return -ENOMEM;
	}
	*out = nft;
	return 0;
}

static int nft_run(struct nft_ctx *nft, const char *command)
{
	return nft_run_cmd_from_buffer(nft, command) ? nft_error(nft) : 0;
}

static int gate_run(struct netif_gate *g, const char *command)
{
	int err;

	pthread_mutex_lock(&g->lock);
	err = nft_run(g->nft, command);
	pthread_mutex_unlock(&g->lock);
	return err;
}

/* A question from nobody to this gateway, and nothing else. */
static void add_question(struct text *t, const struct netif_ip *gw)
{
	char ip[NETIF_IP_STRLEN];

	if (gw->family == AF_INET) {
		text_add(t,
			 "arp operation request arp saddr ip 0.0.0.0"
			 " arp daddr ip %s accept\n",
			 netif_ip_format_host(gw, ip, sizeof(ip)));
		return;
	}
	/* The target address, 64 bits into the message. */
	text_add(t, "ip6 saddr :: icmpv6 type nd-neighbor-solicit @th,64,128 "
		    "0x");
	for (int i = 0; i < 16; i++)
		text_add(t, "%02x", gw->bytes[i]);
	text_add(t, " accept\n");
}

static void add_nic_chain(struct text *t, const struct netif_gate_nic *nic,
			  size_t i)
{
	static const uint8_t none[NETIF_MAC_LEN];
	char mac[NETIF_MAC_STRLEN];

	text_add(t,
		 "chain out%zu {\n"
		 "type filter hook egress device \"%s\" priority -300;"
		 " policy drop;\n"
		 "meta oiftype != @fenced oifname @lease goto open\n",
		 i, nic->nic);
	if (memcmp(nic->vmac, none, sizeof(none)) != 0)
		text_add(t, "ether saddr %s counter name dropped drop\n",
			 netif_mac_format(nic->vmac, mac, sizeof(mac)));
	text_add(t, "ether type @exempt accept\n");
	for (size_t k = 0; k < nic->gateways_len; k++)
		add_question(t, &nic->gateways[k]);
	text_add(t, "counter name dropped drop\n"
		    "}\n");
}

static int gate_install(struct netif_gate *g, const struct netif_gate_nic *nics)
{
	struct text t = {.buf = malloc(RULESET_BYTES), .size = RULESET_BYTES};
	int err;

	if (!t.buf)
		return -ENOMEM;
	/* One transaction: an older table goes, there is no open moment. */
	text_add(&t, "add table netdev " NETIF_GATE_TABLE "\n"
		     "delete table netdev " NETIF_GATE_TABLE "\n"
		     "table netdev " NETIF_GATE_TABLE " {\n"
		     "counter passed { }\n"
		     "counter dropped { }\n"
		     "counter quieted { }\n"
		     "counter tokens { }\n"
		     "set lease { type ifname; flags timeout; }\n"
		     "set exempt { type ether_type; }\n"
		     "set ports { type inet_service; }\n"
		     /* One element, when fenced. It needs a key that is the
			same on all NICs, at ingress and at egress. */
		     "set fenced { type iface_type; flags dynamic; size 4; }\n"
		     "chain quiet { }\n"
		     "chain fence { }\n"
		     "chain open {\n"
		     "icmp type destination-unreachable"
		     " counter name quieted drop\n"
		     "icmpv6 type destination-unreachable"
		     " counter name quieted drop\n"
		     "jump quiet\n"
		     "counter name passed accept\n"
		     "}\n");
	for (size_t i = 0; i < g->nics_len; i++)
		add_nic_chain(&t, &nics[i], i);
	text_add(&t, "}\n");
	err = nft_run(g->nft, t.buf);
	free(t.buf);
	return err;
}

static bool nic_name_is_plain(const char *name)
{
	/* It goes into quotes in a command text. */
	return name[0] && strlen(name) < IF_NAMESIZE &&
	       !strpbrk(name, "\"\\*\n/ ");
}

static int gate_copy_nics(struct netif_gate *g,
			  const struct netif_gate_nic *nics, size_t nics_len)
{
	if (!nics_len || nics_len > GATE_NICS_MAX)
		return -EINVAL;
	for (size_t i = 0; i < nics_len; i++) {
		if (!nic_name_is_plain(nics[i].nic) ||
		    nics[i].gateways_len > GATE_GATEWAYS_MAX)
			return -EINVAL;
		if (!if_nametoindex(nics[i].nic))
			return -ENODEV;
		strcpy(g->nics[i], nics[i].nic);
	}
	g->nics_len = nics_len;
	return 0;
}

static int gate_lock_init(struct netif_gate *g)
{
	pthread_mutexattr_t attr;
	int err;

	err = pthread_mutexattr_init(&attr);
	if (err)
		return -err;
	err = pthread_mutexattr_setprotocol(&attr, PTHREAD_PRIO_INHERIT);
	if (!err)
		err = pthread_mutex_init(&g->lock, &attr);
	pthread_mutexattr_destroy(&attr);
	return -err;
}

int netif_gate_create(struct netif_gate **out,
		      const struct netif_gate_nic *nics, size_t nics_len)
{
	struct netif_gate *g = calloc(1, sizeof(*g));
	int err;

	if (!g)
		return -ENOMEM;
	err = gate_copy_nics(g, nics, nics_len);
	if (err)
		goto err_free;
	err = gate_lock_init(g);
	if (err)
		goto err_free;
	err = nft_new(&g->nft);
	if (err)
		goto err_lock;
	err = gate_install(g, nics);
	if (err)
		goto err_nft;
	*out = g;
	return 0;

err_nft:
	nft_ctx_free(g->nft);
err_lock:
	pthread_mutex_destroy(&g->lock);
err_free:
	free(g);
	return err;
}

int netif_gate_attach(struct netif_gate **out)
{
	struct netif_gate *g = calloc(1, sizeof(*g));
	int err;

	if (!g)
		return -ENOMEM;
	err = gate_lock_init(g);
	if (err)
		goto err_free;
	err = nft_new(&g->nft);
	if (err)
		goto err_lock;
	/* Walks the code a close walks. An element that is not there cannot
	 * be deleted, and with that nothing is changed. */
	err = nft_run(g->nft, "list set netdev " NETIF_GATE_TABLE " lease");
	if (err)
		goto err_nft;
	(void)nft_run(g->nft, "flush set netdev " NETIF_GATE_TABLE " exempt\n"
			      "delete element netdev " NETIF_GATE_TABLE
			      " lease { \"no such nic\" }");
	*out = g;
	return 0;

err_nft:
	nft_ctx_free(g->nft);
err_lock:
	pthread_mutex_destroy(&g->lock);
err_free:
	free(g);
	return err;
}

void netif_gate_detach(struct netif_gate *g)
{
	if (!g)
		return;
	nft_ctx_free(g->nft);
	pthread_mutex_destroy(&g->lock);
	free(g);
}

void netif_gate_destroy(struct netif_gate *g)
{
	if (!g)
		return;
	(void)nft_run(g->nft, "delete table netdev " NETIF_GATE_TABLE);
	netif_gate_detach(g);
}

static void add_lease_elements(struct text *t, const struct netif_gate *g,
			       const char *verb, const unsigned *lease_ms)
{
	text_add(t, "%s element netdev " NETIF_GATE_TABLE " lease {", verb);
	for (size_t i = 0; i < g->nics_len; i++) {
		text_add(t, "%s \"%s\"", i ? "," : "", g->nics[i]);
		if (lease_ms && *lease_ms)
			text_add(t, " timeout %ums", *lease_ms);
	}
	text_add(t, " }\n");
}

int netif_gate_open(struct netif_gate *g, unsigned lease_ms)
{
	char command[COMMAND_BYTES];
	struct text t = {.buf = command, .size = sizeof(command)};

	text_add(&t, "flush set netdev " NETIF_GATE_TABLE " lease\n");
	add_lease_elements(&t, g, "add", &lease_ms);
	return gate_run(g, command);
}

int netif_gate_renew(struct netif_gate *g, unsigned lease_ms)
{
	char command[COMMAND_BYTES];
	struct text t = {.buf = command, .size = sizeof(command)};

	/*
	 * Adding an element that exists leaves its timeout alone, hence the
	 * delete; it fails, and with it the whole transaction, when the lease
	 * ran out or was taken away.
	 */
	add_lease_elements(&t, g, "delete", NULL);
	add_lease_elements(&t, g, "add", &lease_ms);
	return gate_run(g, command);
}

int netif_gate_close(struct netif_gate *g)
{
	return gate_run(g, "flush set netdev " NETIF_GATE_TABLE " lease");
}

int netif_gate_is_open(struct netif_gate *g)
{
	char command[COMMAND_BYTES];
	struct text t = {.buf = command, .size = sizeof(command)};
	int err;

	add_lease_elements(&t, g, "get", NULL);
	err = gate_run(g, command);
	if (err == -ENOENT)
		return 0;
	if (err)
		return err;
	err = netif_gate_is_fenced(g);
	return err < 0 ? err : !err;
}

/* ---- fence --------------------------------------------------------------- */
static void add_ingress_chain(struct text *t, const char *nic, size_t i)
{
	text_add(t,
		 "chain in%zu {\n"
		 "type filter hook ingress device \"%s\" priority -300;"
		 " policy accept;\n"
		 "jump fence\n"
		 "}\n",
		 i, nic);
}

int netif_gate_watch(struct netif_gate *g, uint16_t token_at)
{
	char command[WATCH_BYTES];
	struct text t = {.buf = command, .size = sizeof(command)};

	text_add(&t, "table netdev " NETIF_GATE_TABLE " {\n");
	for (size_t i = 0; i < g->nics_len; i++)
		add_ingress_chain(&t, g->nics[i], i);
	text_add(&t, "}\n");
	g->token_at = token_at;
	return gate_run(g, command);
}

int netif_gate_watch_link(struct netif_gate *g, const char *nic, uint16_t port)
{
	char command[512];
	struct text t = {.buf = command, .size = sizeof(command)};
	int err;

	if (!nic_name_is_plain(nic) || g->links_len == NETIF_GATE_LINKS_MAX)
		return -EINVAL;
	if (!if_nametoindex(nic))
		return -ENODEV;
	text_add(&t, "table netdev " NETIF_GATE_TABLE " {\n");
	add_ingress_chain(&t, nic, g->nics_len + g->links_len);
	text_add(&t,
		 "}\n"
		 "add element netdev " NETIF_GATE_TABLE " ports { %u }\n",
		 port);
	err = gate_run(g, command);
	if (!err)
		g->links_len++;
	return err;
}

static void add_token_rule(struct text *t, const char *what, unsigned bits,
			   const uint8_t token[NETIF_GATE_TOKEN_LEN])
{
	text_add(t, "add rule netdev " NETIF_GATE_TABLE " fence %s,%u,128 0x",
		 what, bits);
	for (int i = 0; i < NETIF_GATE_TOKEN_LEN; i++)
		text_add(t, "%02x", token[i]);
	text_add(t, " add @fenced { meta iiftype } counter name tokens\n");
}

int netif_gate_arm(struct netif_gate *g,
		   const uint8_t token[NETIF_GATE_TOKEN_LEN])
{
	static const uint8_t none[NETIF_GATE_TOKEN_LEN];
	char command[768], what[64];
	struct text t = {.buf = command, .size = sizeof(command)};
	int err;

	/* Beats without a token have zeros there. */
	if (!g->token_at || !memcmp(token, none, sizeof(none)))
		return -EINVAL;
	text_add(&t, "flush chain netdev " NETIF_GATE_TABLE " fence\n"
		     "flush set netdev " NETIF_GATE_TABLE " fenced\n");
	snprintf(what, sizeof(what), "ether type 0x%04x @ll",
		 (unsigned)NETIF_GATE_EXEMPT_BEAT);
	add_token_rule(&t, what, (14u + g->token_at) * 8, token);
	add_token_rule(&t, "udp dport @ports @th", (8u + g->token_at) * 8,
		       token);
	err = gate_run(g, command);
	explicit_bzero(command, sizeof(command));
	return err;
}

int netif_gate_is_fenced(struct netif_gate *g)
{
	int err = gate_run(g, "get element netdev " NETIF_GATE_TABLE
			      " fenced { ether }");

	if (err == -ENOENT)
		return 0;
	return err ? err : 1;
}

int netif_gate_quiet(struct netif_gate *g, bool on)
{
	static const char rules[] =
		"flush chain netdev " NETIF_GATE_TABLE " quiet\n"
		"add rule netdev " NETIF_GATE_TABLE " quiet "
		"tcp flags & rst == rst counter name quieted drop\n";

	if (on)
		return gate_run(g, rules);
	return gate_run(g, "flush chain netdev " NETIF_GATE_TABLE " quiet");
}

int netif_gate_exempt(struct netif_gate *g, enum netif_gate_exemption what,
		      bool on)
{
	char command[256];
	struct text t = {.buf = command, .size = sizeof(command)};

	if (what != NETIF_GATE_EXEMPT_PREFLIGHT &&
	    what != NETIF_GATE_EXEMPT_BEAT)
		return -EINVAL;
	/* Add first: it may be there already, and then delete finds it. */
	text_add(&t,
		 "add element netdev " NETIF_GATE_TABLE " exempt { 0x%04x }\n",
		 (unsigned)what);
	if (!on)
		text_add(&t,
			 "delete element netdev " NETIF_GATE_TABLE
			 " exempt { 0x%04x }\n",
			 (unsigned)what);
	return gate_run(g, command);
}

static int counter_parse(const char *text, const char *name, uint64_t *packets,
			 uint64_t *bytes)
{
	unsigned long long p, b;
	char head[64];
	const char *at;

	snprintf(head, sizeof(head), "counter %s {", name);
	at = strstr(text, head);
	if (!at ||
	    sscanf(at + strlen(head), " packets %llu bytes %llu", &p, &b) != 2)
		return -EBADMSG;
	*packets = p;
	*bytes = b;
	return 0;
}

int netif_gate_stats_get(struct netif_gate *g, struct netif_gate_stats *out)
{
	struct netif_gate_stats s = {0};
	uint64_t unused;
	const char *text;
	int err;

	pthread_mutex_lock(&g->lock);
	err = nft_run(g->nft, "list counters table netdev " NETIF_GATE_TABLE);
	text = err ? NULL : nft_ctx_get_output_buffer(g->nft);
	if (!err && !text)
		err = -ENOMEM;
	if (!err)
		err = counter_parse(text, "passed", &s.passed_packets,
				    &s.passed_bytes);
	if (!err)
		err = counter_parse(text, "dropped", &s.dropped_packets,
				    &s.dropped_bytes);
	if (!err)
		err = counter_parse(text, "quieted", &s.quieted_packets,
				    &unused);
	if (!err)
		err = counter_parse(text, "tokens", &s.tokens, &unused);
	pthread_mutex_unlock(&g->lock);
	if (!err)
		*out = s;
	return err;
}

static int run_alone(const char *command)
{
	struct nft_ctx *nft;
	int err = nft_new(&nft);

	if (err)
		return err;
	err = nft_run(nft, command);
	nft_ctx_free(nft);
	return err == -ENOENT ? 0 : err;
}

static const char SHUT[] = "flush set netdev " NETIF_GATE_TABLE " lease";

int netif_gate_shut_all(void)
{
	return run_alone(SHUT);
}

struct netif_gate_shutter {
	struct nft_ctx *nft;
};

int netif_gate_shutter_create(struct netif_gate_shutter **out)
{
	struct netif_gate_shutter *s = calloc(1, sizeof(*s));
	int err;

	if (!s)
		return -ENOMEM;
	err = nft_new(&s->nft);
	if (err)
		goto err_free;
	/* The first command sets up much: not when it is urgent. */
	err = nft_run(s->nft, "list tables");
	if (err)
		goto err_nft;
	*out = s;
	return 0;

err_nft:
	nft_ctx_free(s->nft);
err_free:
	free(s);
	return err;
}

int netif_gate_shutter_shut(struct netif_gate_shutter *s)
{
	int err = nft_run(s->nft, SHUT);

	return err == -ENOENT ? 0 : err;
}

void netif_gate_shutter_destroy(struct netif_gate_shutter *s)
{
	if (!s)
		return;
	nft_ctx_free(s->nft);
	free(s);
}

int netif_gate_remove_all(void)
{
	return run_alone("delete table netdev " NETIF_GATE_TABLE);
}
