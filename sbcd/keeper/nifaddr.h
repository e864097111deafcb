/*
 * nifaddr - addresses of the configuration as netif knows them.
 *
 * Layer: keeper. Thread: any (no state).
 */
#ifndef SBCD_KEEPER_NIFADDR_H
#define SBCD_KEEPER_NIFADDR_H

#include <stddef.h>
#include "netif/addr.h"
#include "sbcd/base/addr.h"

/* The port is left out, the prefix is 0. -EINVAL: no address. */
int nifaddr_of(struct netif_ip *out, const struct addr *a)
	__attribute__((warn_unused_result));
/* All of a list, or the first error. */
int nifaddr_list(struct netif_ip *out, const struct addr *list, size_t len)
	__attribute__((warn_unused_result));

#endif
