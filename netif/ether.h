/*
 * Datagrams directly in Ethernet frames, to a group address of our own: how
 * two nodes hear each other on a service network where a standby has no IP
 * address.
 *
 * The kernel puts the MAC the NIC has at that moment into each frame, so a
 * virtual switch that forbids forged sources lets them through, and a node
 * that gave the virtual MAC back never speaks with it. The destination is a
 * group address: it is flooded like a broadcast by switches that know no
 * member, needs no learned entry (there is none for a NIC whose MAC just
 * moved to the other node), and other hosts' NICs filter it.
 *
 * Layer: netif (library). Process: keeper. Thread: any; the descriptor is the
 * caller's.
 */
#ifndef NETIF_ETHER_H
#define NETIF_ETHER_H

#include <stdint.h>
#include <sys/socket.h>

#include "netif/addr.h"

/* The group of a cluster: pairs with another id do not get its frames. */
void netif_ether_group(uint8_t cluster, uint8_t out[NETIF_MAC_LEN]);

/*
 * A non-blocking AF_PACKET socket on nic that receives the payload of frames
 * of this ethertype sent to the group, and nothing else. *to is where to
 * send. The descriptor, or -ENODEV, -errno.
 */
int netif_ether_open(const char *nic, uint16_t type,
		     const uint8_t group[NETIF_MAC_LEN],
		     struct sockaddr_storage *to, socklen_t *to_len)
	__attribute__((warn_unused_result));

#endif
