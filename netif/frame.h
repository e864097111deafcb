/*
 * Building ARP and neighbour discovery frames.
 *
 * Layer: netif (library), internal. Process: keeper. Thread: any (no state).
 */
#ifndef NETIF_FRAME_H
#define NETIF_FRAME_H

#include <stddef.h>
#include <stdint.h>

enum {
	NETIF_FRAME_MAX_BYTES = 14 + 40 + 32,
	NETIF_ARP_REQUEST = 1,
	NETIF_ARP_REPLY = 2,
	NETIF_ND_SOLICIT = 135,
	NETIF_ND_ADVERT = 136,
};

/* Broadcast, RFC 826; sender all zero = a probe (RFC 5227). The length. */
size_t netif_frame_arp(uint8_t out[NETIF_FRAME_MAX_BYTES], const uint8_t mac[6],
		       uint8_t op, const uint8_t sender[4],
		       const uint8_t target[4]);

/*
 * To the multicast address dst, RFC 4861, 4.3 and 4.4, with the one option
 * (our link-layer address), which a solicitation from :: must not have.
 */
size_t netif_frame_nd(uint8_t out[NETIF_FRAME_MAX_BYTES], const uint8_t mac[6],
		      uint8_t type, const uint8_t src[16],
		      const uint8_t dst[16], const uint8_t target[16]);

/* A solicitation for target, to its solicited-node address. */
size_t netif_frame_solicit(uint8_t out[NETIF_FRAME_MAX_BYTES],
			   const uint8_t mac[6], const uint8_t src[16],
			   const uint8_t target[16]);

#endif
