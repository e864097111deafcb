/*
 * media_keys - which keys of a media record are in use towards one leg. The
 * SIP worker decides it, both workers read it.
 *
 * Layer: record. Any thread; no state.
 */
#ifndef SBCD_RECORD_MEDIA_KEYS_H
#define SBCD_RECORD_MEDIA_KEYS_H

#include "sbcd/record/kinds.h"

enum { MEDIA_KEYS_RX_MAX = 3 };

/* Pointers into the record. Contexts that are not here end. */
struct media_keys {
	const struct rec_key *tx; /* NULL: plain RTP, both ways */
	const struct rec_key *rx[MEDIA_KEYS_RX_MAX]; /* newest first */
	unsigned rx_len;
	/* Not sent with, but may be again: its state is kept. */
	const struct rec_key *tx_kept;
};

void media_keys_of(const struct rec_media *m, uint16_t leg,
		   struct media_keys *out);
/* Of the leg, with this use; NULL. */
const struct rec_key *media_keys_find(const struct rec_media *m, uint16_t leg,
				      enum rec_key_use use);
/* What was sent under a key is told after so many packets, `most` unless it
 * lives shorter than that: a sixteenth of its life, but 64. */
uint64_t media_keys_told_after(const struct rec_key *k, uint64_t most);

#endif
