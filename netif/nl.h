/*
 * A small rtnetlink client: requests built in a fixed buffer, several sent
 * with one system call, one errno each.
 *
 * libnl is not used here because the take-over path wants no allocation, the
 * kernel's own errno (EBUSY decides how a MAC is set) and batches.
 *
 * Internal to netif/. Thread: one at a time per handle.
 */
#ifndef NETIF_NL_H
#define NETIF_NL_H

#include <linux/netlink.h>
#include <linux/rtnetlink.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "netif/addr.h"
#include "netif/link.h"

enum {
	NETIF_NLREQ_BYTES = 16384,
	NETIF_NLREQ_MSGS_MAX = 128,
	/* Marks routes and rules as ours (rtm_protocol). */
	NETIF_RTPROT = 0x5b,
};

struct netif_nl {
	int fd;
	uint32_t seq;
};

struct netif_nlreq {
	struct nlmsghdr *msg; /* the last one, open for attributes */
	size_t used;
	unsigned count;
	bool overflow; /* a message or attribute did not fit */
	_Alignas(struct nlmsghdr) char buf[NETIF_NLREQ_BYTES];
};

/* nonblocking: for a socket that only listens. */
int netif_nl_open(struct netif_nl *nl, bool nonblocking);
void netif_nl_close(struct netif_nl *nl);
/* group: RTNLGRP_... */
int netif_nl_join(struct netif_nl *nl, unsigned group);

void netif_nlreq_init(struct netif_nlreq *req);

/* True while one more message of ordinary size fits. */
bool netif_nlreq_has_room(const struct netif_nlreq *req);

/*
 * Starts a message (NLM_F_REQUEST | NLM_F_ACK are added) and returns its
 * zeroed fixed part of len bytes; never NULL: on overflow a scratch area.
 */
void *netif_nlreq_begin(struct netif_nlreq *req, uint16_t type, uint16_t flags,
			size_t len);
void netif_nlreq_put(struct netif_nlreq *req, uint16_t attr, const void *data,
		     size_t len);
void netif_nlreq_put_u32(struct netif_nlreq *req, uint16_t attr,
			 uint32_t value);

/*
 * Sends all messages and waits for all acknowledgements. errs (may be NULL)
 * receives one 0 or -errno per message. Returns the first error, 0 if none.
 */
int netif_nl_run(struct netif_nl *nl, struct netif_nlreq *req, int *errs);

/* Called for every message of a dump; start when it (re)starts. */
struct netif_nl_dump {
	uint16_t type;
	const void *payload;
	size_t payload_len;
	void (*start)(void *arg);
	void (*each)(void *arg, const struct nlmsghdr *nlh);
	void *arg;
};
int netif_nl_dump(struct netif_nl *nl, const struct netif_nl_dump *dump);

/* By name when name is not NULL, else by index. -ENODEV. */
int netif_nl_link_get(struct netif_nl *nl, const char *name, int ifindex,
		      bool counters, struct netif_link *out);

/* RTM_NEWLINK payload to *out; false when it is malformed. */
bool netif_nl_link_parse(const struct nlmsghdr *nlh, struct netif_link *out);

/*
 * The message at *at of a datagram of len bytes; *at moves on. NULL at the
 * end and at a malformed message.
 */
const struct nlmsghdr *netif_nl_next(const char *buf, size_t len, size_t *at);

/* tb[0..max] point to the attributes found. */
void netif_nl_attrs(const struct rtattr **tb, unsigned max,
		    const struct rtattr *rta, size_t len);

/* Copies a network address attribute; false when its length is wrong. */
bool netif_nl_attr_ip(const struct rtattr *rta, uint8_t family,
		      struct netif_ip *out);

#endif
