/*
 * forward - datagrams that carry what still arrives at the old active node to
 * the new one during a planned switchover, over the HA links.
 *
 * Each datagram names the interface, source and destination of the packet in
 * it, and is authenticated with HMAC-SHA256 (first 16 bytes) under a key both
 * keepers know. It is sent over both links; the receiver takes the first copy
 * of each sequence number. Datagrams of an earlier switchover are refused by
 * their epoch.
 *
 * Layout, big endian: magic 4, version 1, family 1, thread 1, zero 1, boot 8,
 * epoch 8, sequence 8, interface hash 8, source address 16, port 2,
 * destination address 16, port 2, payload, MAC 16.
 *
 * Layer: media. Sender: one object per relay thread. Receiver: control
 * thread.
 */
#ifndef SBCD_MEDIA_FORWARD_H
#define SBCD_MEDIA_FORWARD_H

#include <stddef.h>
#include <stdint.h>
#include "sbcd/media/io.h"

enum {
	FORWARD_KEY_BYTES = 32,
	FORWARD_KEYS_MAX = 2,
	FORWARD_HEADER_BYTES = 76,
	FORWARD_MAC_BYTES = 16,
	FORWARD_MAX_BYTES = FORWARD_HEADER_BYTES + MEDIA_PAYLOAD_MAX_BYTES +
			    FORWARD_MAC_BYTES,
	FORWARD_THREADS_MAX = 64,
	/* Sequence numbers remembered per sending thread: a slower second
	 * link may be that far behind. */
	FORWARD_WINDOW = 16384,
};

struct forward_tx;

int forward_tx_create(struct forward_tx **out,
		      const uint8_t key[FORWARD_KEY_BYTES], uint64_t boot,
		      unsigned thread) __attribute__((warn_unused_result));
void forward_tx_destroy(struct forward_tx *t);
void forward_tx_set_epoch(struct forward_tx *t, uint64_t epoch);
/* Size written, or -EMSGSIZE, -EIO. Needs p->nif, source, local. */
ssize_t forward_seal(struct forward_tx *t, const struct media_packet *p,
		     uint8_t out[FORWARD_MAX_BYTES]);

struct forward_rx;

struct forward_datagram {
	uint64_t nif_hash;
	struct addr source, local;
	const uint8_t *payload; /* inside the datagram */
	uint32_t size;
};

/* What is sealed with any of `len` keys is believed. */
int forward_rx_create(struct forward_rx **out,
		      const uint8_t keys[][FORWARD_KEY_BYTES], size_t len)
	__attribute__((warn_unused_result));
void forward_rx_destroy(struct forward_rx *r);
/* Senders of epochs first..last (both included) are believed. */
void forward_rx_set_epochs(struct forward_rx *r, uint64_t first, uint64_t last);
/* 0; -EALREADY: this one was here before (other link, or replayed);
 * -EBADMSG: format; -EACCES: MAC; -ESTALE: epoch. */
int forward_open(struct forward_rx *r, const uint8_t *data, size_t size,
		 struct forward_datagram *out)
	__attribute__((warn_unused_result));

#endif
