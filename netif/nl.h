/*
 * rtnetlink by libnl: several requests sent with one system call, one answer
 * each, and the kernel's own errno.
 *
 * libnl's codes are fewer than the kernel's (ESRCH and ENOENT are one): what
 * the kernel answers is taken from its answer. Codes of libnl itself become
 * -errno in netif_nl_errno() and nowhere else.
 *
 * Layer: netif (library), internal. Process: keeper, guard. Thread: one at a
 * time per handle.
 */
#ifndef NETIF_NL_H
#define NETIF_NL_H

#include <netlink/attr.h>
#include <netlink/msg.h>
#include <netlink/netlink.h>
#include <netlink/socket.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "netif/addr.h"
#include "netif/link.h"

enum {
	NETIF_NLREQ_MSGS_MAX = 128,
	/* Answers of a request that are no error. */
	NETIF_NLREQ_FINE_MAX = 2,
	/* Marks routes and rules as ours (rtm_protocol). */
	NETIF_RTPROT = 0x5b,
};

struct netif_nl {
	struct nl_sock *sock;
};

/* Requests to be sent together. */
struct netif_nlreq {
	struct nl_msg *msgs[NETIF_NLREQ_MSGS_MAX];
	unsigned count;
	int err; /* why it could not be built */
	int fine[NETIF_NLREQ_FINE_MAX]; /* -errno; 0 = none */
};

/* nonblocking: for a socket that only listens. */
int netif_nl_open(struct netif_nl *nl, bool nonblocking);
void netif_nl_close(struct netif_nl *nl);

/* What a function of libnl returned (NLE_...) as 0 or -errno. */
int netif_nl_errno(int nlerr);

/* Every request that was initialised ends in run(), get() or dump(). */
void netif_nlreq_init(struct netif_nlreq *req);

bool netif_nlreq_is_full(const struct netif_nlreq *req);

/*
 * Starts a message with its fixed part. An error, here and when attributes
 * are put, is kept for run(): then nothing is sent.
 */
void netif_nlreq_begin(struct netif_nlreq *req, int type, int flags,
		       const void *fixed, size_t len);
void netif_nlreq_put(struct netif_nlreq *req, int attr, const void *data,
		     size_t len);
void netif_nlreq_put_u32(struct netif_nlreq *req, int attr, uint32_t value);

/*
 * Sends all messages and waits for all answers. Returns the first one that is
 * an error and not fine, 0 if none. The request is empty afterwards.
 */
int netif_nl_run(struct netif_nl *nl, struct netif_nlreq *req);

/* The same for one message that asks; each is called for what comes back. */
int netif_nl_get(struct netif_nl *nl, struct netif_nlreq *req,
		 void (*each)(void *arg, struct nlmsghdr *nlh), void *arg);

/* Called for every message of a dump; start when it (re)starts. */
struct netif_nl_dump {
	void (*start)(void *arg);
	void (*each)(void *arg, struct nlmsghdr *nlh);
	void *arg;
};
/* req: one message, NLM_F_DUMP. */
int netif_nl_dump(struct netif_nl *nl, struct netif_nlreq *req,
		  const struct netif_nl_dump *dump);

/* Copies a network address attribute; false when its length is wrong. */
bool netif_nl_attr_ip(const struct nlattr *nla, uint8_t family,
		      struct netif_ip *out);

/* The same for a MAC. */
bool netif_nl_attr_mac(const struct nlattr *nla, uint8_t mac[NETIF_MAC_LEN]);

/* link.c */
/* By name when name is not NULL, else by index. -ENODEV. */
int netif_nl_link_get(struct netif_nl *nl, const char *name, int ifindex,
		      bool counters, struct netif_link *out);

/* RTM_NEWLINK payload to *out; false when it is malformed. */
bool netif_nl_link_parse(struct nlmsghdr *nlh, struct netif_link *out);

#endif
