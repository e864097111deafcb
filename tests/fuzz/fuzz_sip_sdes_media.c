/*
 * Offers and answers of keys in any order, as they are sent, again, late,
 * from another peer or not at all: a key has one number and a number one key,
 * no key of ours comes back or is the peer's, none is sent with before it is
 * answered, and the record can always be read again.
 *
 * Input: a byte an event.
 */
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "sbcd/record/record.h"
#include "tests/unit/sip/harness_sdes.h"

enum { LEG = 1, EVENTS_MAX = 200, NUMBERS = 512, KEYS_OF_A_LEG = 12 };

static struct rec_media records[2];
static struct sdes_profile profiles[2];
static struct sdes_side sides[2];
static struct sdes_lines said[8]; /* on the way, some of them old */
static unsigned said_len;
static struct sdes_refusal why;
/* By number: the key, and what became of it. */
static struct {
	uint8_t key[SDES_KEY_SIZE_MAX];
	bool known, ours, gone;
} history[NUMBERS];

static void require(bool ok)
{
	if (!ok)
		abort();
}

static void up(void)
{
	static const struct sdes_profile start = {
		.sdes = {.suites = {SDES_AES_CM_128_HMAC_SHA1_80,
				    SDES_AEAD_AES_128_GCM},
			 .suites_len = 2,
			 .flags_ingress = SDES_UNENCRYPTED_SRTCP},
	};

	memset(records, 0, sizeof(records));
	memset(history, 0, sizeof(history));
	said_len = 0;
	for (unsigned i = 0; i < 2; i++) {
		records[i].flows_len = 1;
		records[i].flows[0].leg = LEG;
		profiles[i] = start;
		sides[i] = (struct sdes_side){.media = &records[i],
					      .leg = LEG,
					      .profile = &profiles[i],
					      .random = counted,
					      .now_ms = 1};
	}
}

static void check_key(const struct rec_key *k, bool *present)
{
	bool ours = k->use == KEY_TX || k->use == KEY_TX_BEFORE ||
		    k->use == KEY_OFFERED;

	if (k->use == KEY_PROPOSED)
		return;
	require(k->number && k->number < NUMBERS);
	require(k->number <= records[0].flows[0].last_key);
	present[k->number] = true;
	if (!history[k->number].known) {
		history[k->number].known = true;
		history[k->number].ours = ours;
		memcpy(history[k->number].key, k->key.data, k->key.size);
		for (unsigned n = 1; n < k->number; n++)
			require(!ours || !history[n].known ||
				memcmp(history[n].key, k->key.data,
				       k->key.size));
	}
	require(!history[k->number].gone && history[k->number].ours == ours);
	require(!memcmp(history[k->number].key, k->key.data, k->key.size));
}

/* Ours is records[0]; what is gone from it is gone for ever. */
static void check(void)
{
	static bool present[NUMBERS];
	static struct rec_media again;
	struct media_keys keys;
	struct buf value;

	memset(present, 0, sizeof(present));
	require(sdes_media_valid(&records[0]));
	require(records[0].keys_len <= KEYS_OF_A_LEG);
	for (unsigned i = 0; i < records[0].keys_len; i++) {
		const struct rec_key *k = &records[0].keys[i];

		check_key(k, present);
		/* Nothing is left over from an exchange. */
		require(records[0].flows[0].sdes_state != SDES_IDLE ||
			k->use == KEY_TX || k->use == KEY_RX ||
			k->use == KEY_RX_OLD);
	}
	for (unsigned n = 1; n < NUMBERS; n++)
		history[n].gone |= history[n].known && !present[n];
	media_keys_of(&records[0], LEG, &keys);
	require((keys.tx != NULL) ==
		(keys.rx_len && keys.rx[0]->use == KEY_RX));
	for (unsigned i = 0; keys.tx && i < keys.rx_len; i++)
		require(keys.tx->key.size != keys.rx[i]->key.size ||
			memcmp(keys.tx->key.data, keys.rx[i]->key.data,
			       keys.tx->key.size));
	buf_init(&value, 65536);
	require(!record_encode(REC_MEDIA, &records[0], &value));
	require(!record_decode(REC_MEDIA, value.data, value.size, &again));
	require(!memcmp(&again, &records[0], sizeof(again)));
	buf_finish(&value);
}

static uint32_t number_tx(void)
{
	struct media_keys keys;

	media_keys_of(&records[0], LEG, &keys);
	return keys.tx ? keys.tx->number : 0;
}

static void event(uint8_t byte)
{
	const struct sdes_side *s = &sides[byte & 1];
	struct sdes_lines out;
	const struct sdes_lines *in =
		said_len ? &said[(byte >> 5) % said_len] : NULL;
	unsigned what = byte >> 1 & 15;
	uint32_t tx = number_tx();
	int rc = -1;

	if (in && !in->len)
		in = NULL;
	switch (what) {
	case 0:
	case 1:
		rc = sdes_media_offer(s, true, byte & 2, &out);
		break;
	case 2:
		rc = sdes_media_offer(s, false, false, &out);
		break;
	case 3:
	case 4:
		(void)!sdes_media_offered(s, in, &why);
		break;
	case 5:
	case 6:
		rc = sdes_media_answer(s, byte >> 1 & 1, &out);
		break;
	case 7:
	case 8:
		(void)!sdes_media_answered(s, in, &why);
		break;
	case 9:
	case 10:
		sdes_media_confirm(s);
		break;
	case 11:
		sdes_media_refuse(s);
		break;
	case 12:
		sdes_media_end(s);
		break;
	case 13:
		sides[byte & 1].now_ms += SDES_OLD_KEY_MS / 2;
		sdes_media_expire(s);
		break;
	case 14:
		profiles[byte & 1].rekey ^= byte >> 5 & 1;
		profiles[byte & 1].roc_reset ^= byte >> 6 & 1;
		profiles[byte & 1].sdes.mki ^= byte >> 7 & 1;
		break;
	default:
		profiles[byte & 1].sdes.suites_len = 1 + (byte >> 5 & 1);
		break;
	}
	/* Offers and an ACK change nothing about what we send with. */
	if ((byte & 1) || what <= 4 || what == 9 || what == 10 || what >= 13)
		require(number_tx() == tx);
	if (rc == 0)
		said[said_len < 8 ? said_len++ : byte >> 5] = out;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	up();
	for (size_t i = 0; i < size && i < EVENTS_MAX; i++) {
		event(data[i]);
		check();
	}
	return 0;
}
