/*
 * io - how datagrams come in and go out. A back end receives batches from a
 * steered socket and sends batches through raw sockets; the relay does not
 * know which one is at work. (A back end that bypasses the egress gate is
 * only admitted together with a gate of its own.)
 *
 * Guarantees: received payloads stay valid until the next receive() on the
 * same object; payloads given to send() are read until flush() returns.
 * Nothing blocks.
 *
 * Layer: media. Media worker; one object per relay thread, used by it alone.
 */
#ifndef SBCD_MEDIA_IO_H
#define SBCD_MEDIA_IO_H

#include <stdbool.h>
#include <stdint.h>
#include "sbcd/base/addr.h"
#include "sbcd/media/ports.h"

struct media_flow;

enum {
	MEDIA_BATCH = 64,
	MEDIA_PAYLOAD_MAX_BYTES = 1984,
	/* Room behind a payload: SRTCP index, MKI, SRTP tag. */
	MEDIA_TAIL_BYTES = 4 + 128 + 16,
	/* What waited longer while nobody read is from another time: longer
	 * than a worker takes to restart on a busy machine, no more. */
	MEDIA_STALE_MS = 5000,
};

struct media_packet {
	/* filled by receive() */
	uint8_t *data; /* MEDIA_TAIL_BYTES writable behind the maximum size */
	uint32_t size;
	bool truncated;
	struct addr source, local; /* family 0: kernel did not say */
	uint64_t stamp_ms; /* wall clock of arrival, 0 = unknown */
	/* filled on the way through the relay */
	const struct media_nif *nif;
	struct media_flow *flow;
	bool rtcp, rtcp_port;
	bool forwarded; /* by the other node, which did not send it on */
	bool drop;
};

struct media_tx {
	const struct media_out *out;
	const struct addr *from; /* the address; the port is from_port */
	uint16_t from_port;
	uint8_t tos;
	const struct addr *to;
	const uint8_t *payload;
	uint32_t size;
};

struct media_io;

struct media_io_ops {
	const char *name;
	int (*create)(struct media_io **out);
	void (*destroy)(struct media_io *io);
	/* At most MEDIA_BATCH packets: how many; 0 nothing there; -errno. */
	int (*receive)(struct media_io *io, int fd,
		       struct media_packet **packets);
	/* Flushes on its own when full. */
	void (*send)(struct media_io *io, const struct media_tx *tx);
	void (*flush)(struct media_io *io);
};

/* Start of every back end's object. */
struct media_io {
	const struct media_io_ops *ops;
	uint64_t tx_packets; /* taken by the kernel */
	uint64_t tx_errors;
};

/* recvmmsg from UDP sockets, sendmmsg to raw sockets with our own headers. */
extern const struct media_io_ops media_io_raw;

#endif
