#include "sbcd/record/media_keys.h"

#include <string.h>

const struct rec_key *media_keys_find(const struct rec_media *m, uint16_t leg,
				      enum rec_key_use use)
{
	for (unsigned i = 0; i < m->keys_len && i < REC_KEYS_MAX; i++)
		if (m->keys[i].leg == leg && m->keys[i].use == use)
			return &m->keys[i];
	return NULL;
}

void media_keys_of(const struct rec_media *m, uint16_t leg,
		   struct media_keys *out)
{
	static const enum rec_key_use order[MEDIA_KEYS_RX_MAX] = {
		KEY_RX, KEY_RX_BEFORE, KEY_RX_OLD};
	const struct rec_key *before = media_keys_find(m, leg, KEY_TX_BEFORE);

	memset(out, 0, sizeof(*out));
	out->tx = media_keys_find(m, leg, KEY_TX);
	for (unsigned i = 0; i < MEDIA_KEYS_RX_MAX; i++) {
		const struct rec_key *k = media_keys_find(m, leg, order[i]);
		bool known = false;

		for (unsigned j = 0; j < out->rx_len; j++)
			known |= k && out->rx[j]->number == k->number;
		if (k && !known)
			out->rx[out->rx_len++] = k;
	}
	if (before && (!out->tx || before->number != out->tx->number))
		out->tx_kept = before;
}

enum { TOLD_AFTER_LEAST = 64 };

uint64_t media_keys_told_after(const struct rec_key *k, uint64_t most)
{
	uint64_t part = k->lifetime / 16;

	if (!k->lifetime || part >= most)
		return most;
	return part > TOLD_AFTER_LEAST ? part : TOLD_AFTER_LEAST;
}
