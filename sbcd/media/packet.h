/*
 * packet - the IP and UDP headers of a datagram that is sent through a raw
 * socket, with right checksums (UDP's is mandatory over IPv6).
 *
 * Guarantees: pure; reads exactly the payload.
 *
 * Layer: media. Media worker, any thread.
 */
#ifndef SBCD_MEDIA_PACKET_H
#define SBCD_MEDIA_PACKET_H

#include <stddef.h>
#include <stdint.h>
#include "sbcd/base/addr.h"

enum {
	PACKET_HEADER_MAX_BYTES = 40 + 8,
	PACKET_PAYLOAD_MAX_BYTES = 65535 - PACKET_HEADER_MAX_BYTES,
	PACKET_TTL = 64,
};

struct packet_headers {
	const struct addr *from; /* ours; same family as `to` */
	uint16_t from_port; /* instead of from->port */
	const struct addr *to;
	uint8_t tos; /* DSCP << 2 */
	const uint8_t *payload;
	size_t payload_size;
};

/* Writes the headers in front of the payload (not the payload itself) to
 * `out`, PACKET_HEADER_MAX_BYTES long. Returns their size, or 0 when the
 * families do not fit or the payload is too long. */
size_t packet_build_headers(uint8_t *out, const struct packet_headers *h);

/* Internet checksum (RFC 1071) over data, `sum` = what was added before. */
uint32_t packet_sum(uint32_t sum, const uint8_t *data, size_t size);
uint16_t packet_sum_finish(uint32_t sum);

#endif
