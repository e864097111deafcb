#include "sbcd/media/forward.h"

#include <errno.h>
#include <openssl/core_names.h>
#include <openssl/crypto.h>
#include <openssl/evp.h>
#include <stdlib.h>
#include <string.h>

enum {
	FORWARD_MAGIC = 0x53424657, /* "SBFW" */
	FORWARD_VERSION = 1,
};

/* ---- authentication
 * ----------------------------------------------------------- */

static int mac_create(EVP_MAC_CTX **out, const uint8_t key[FORWARD_KEY_BYTES])
{
	char digest[] = "SHA256";
	OSSL_PARAM params[] = {
		OSSL_PARAM_construct_utf8_string(OSSL_MAC_PARAM_DIGEST, digest,
						 0),
		OSSL_PARAM_construct_end(),
	};
	EVP_MAC *mac = EVP_MAC_fetch(NULL, "HMAC", NULL);
	EVP_MAC_CTX *ctx = mac ? EVP_MAC_CTX_new(mac) : NULL;

	EVP_MAC_free(mac); /* the context holds a reference */
	if (!ctx)
		return -ENOMEM;
	if (!EVP_MAC_init(ctx, key, FORWARD_KEY_BYTES, params)) {
		EVP_MAC_CTX_free(ctx);
		return -EIO;
	}
	*out = ctx;
	return 0;
}

static int mac_compute(EVP_MAC_CTX *ctx, const uint8_t *data, size_t size,
		       uint8_t out[FORWARD_MAC_BYTES])
{
	uint8_t full[EVP_MAX_MD_SIZE];
	size_t full_size;

	if (!EVP_MAC_init(ctx, NULL, 0, NULL) ||
	    !EVP_MAC_update(ctx, data, size) ||
	    !EVP_MAC_final(ctx, full, &full_size, sizeof(full)) ||
	    full_size < FORWARD_MAC_BYTES)
		return -EIO;
	memcpy(out, full, FORWARD_MAC_BYTES);
	return 0;
}

/* ---- codec
 * -------------------------------------------------------------------- */

static uint8_t *put(uint8_t *at, uint64_t v, unsigned bytes)
{
	for (unsigned i = 0; i < bytes; i++)
		at[i] = (uint8_t)(v >> 8 * (bytes - 1 - i));
	return at + bytes;
}

static uint64_t get(const uint8_t **at, unsigned bytes)
{
	uint64_t v = 0;

	for (unsigned i = 0; i < bytes; i++)
		v = v << 8 | *(*at)++;
	return v;
}

static uint8_t *put_addr(uint8_t *at, const struct addr *a)
{
	memcpy(at, a->ip, sizeof(a->ip));
	return put(at + sizeof(a->ip), a->port, 2);
}

static void get_addr(const uint8_t **at, uint8_t family, struct addr *a)
{
	memset(a, 0, sizeof(*a));
	a->family = family;
	memcpy(a->ip, *at, family == ADDR_V4 ? 4 : sizeof(a->ip));
	*at += sizeof(a->ip);
	a->port = (uint16_t)get(at, 2);
}

/* ---- sender
 * -------------------------------------------------------------------- */

struct forward_tx {
	EVP_MAC_CTX *mac;
	uint64_t boot, epoch, seq;
	uint8_t thread;
};

int forward_tx_create(struct forward_tx **out,
		      const uint8_t key[FORWARD_KEY_BYTES], uint64_t boot,
		      unsigned thread)
{
	struct forward_tx *t;
	int err;

	if (thread >= FORWARD_THREADS_MAX)
		return -EINVAL;
	t = calloc(1, sizeof(*t));
	if (!t)
		return -ENOMEM;
	err = mac_create(&t->mac, key);
	if (err) {
		free(t);
		return err;
	}
	t->boot = boot;
	t->thread = (uint8_t)thread;
	*out = t;
	return 0;
}

void forward_tx_destroy(struct forward_tx *t)
{
	if (!t)
		return;
	EVP_MAC_CTX_free(t->mac);
	free(t);
}

void forward_tx_set_epoch(struct forward_tx *t, uint64_t epoch)
{
	t->epoch = epoch;
}

ssize_t forward_seal(struct forward_tx *t, const struct media_packet *p,
		     uint8_t out[FORWARD_MAX_BYTES])
{
	uint8_t *at = out;

	if (p->size > MEDIA_PAYLOAD_MAX_BYTES || p->truncated)
		return -EMSGSIZE;
	at = put(at, FORWARD_MAGIC, 4);
	at = put(at, FORWARD_VERSION, 1);
	at = put(at, p->local.family, 1);
	at = put(at, t->thread, 1);
	at = put(at, 0, 1);
	at = put(at, t->boot, 8);
	at = put(at, t->epoch, 8);
	at = put(at, ++t->seq, 8);
	at = put(at, p->nif->name_hash, 8);
	at = put_addr(at, &p->source);
	at = put_addr(at, &p->local);
	memcpy(at, p->data, p->size);
	at += p->size;
	if (mac_compute(t->mac, out, (size_t)(at - out), at))
		return -EIO;
	return at - out + FORWARD_MAC_BYTES;
}

/* ---- receiver
 * ------------------------------------------------------------------ */

struct window {
	uint64_t highest;
	uint64_t bits[FORWARD_WINDOW / 64]; /* bit seq % FORWARD_WINDOW */
};

struct forward_rx {
	EVP_MAC_CTX *macs[FORWARD_KEYS_MAX];
	size_t macs_len;
	uint64_t first, last; /* epochs believed */
	uint64_t boot;
	struct window *windows[FORWARD_THREADS_MAX];
};

int forward_rx_create(struct forward_rx **out,
		      const uint8_t keys[][FORWARD_KEY_BYTES], size_t len)
{
	struct forward_rx *r =
		len && len <= FORWARD_KEYS_MAX ? calloc(1, sizeof(*r)) : NULL;

	if (!r)
		return -ENOMEM;
	for (; r->macs_len < len; r->macs_len++) {
		int err = mac_create(&r->macs[r->macs_len], keys[r->macs_len]);

		if (err) {
			forward_rx_destroy(r);
			return err;
		}
	}
	*out = r;
	return 0;
}

static void windows_reset(struct forward_rx *r)
{
	for (unsigned i = 0; i < FORWARD_THREADS_MAX; i++) {
		free(r->windows[i]);
		r->windows[i] = NULL;
	}
}

void forward_rx_destroy(struct forward_rx *r)
{
	if (!r)
		return;
	windows_reset(r);
	for (size_t i = 0; i < r->macs_len; i++)
		EVP_MAC_CTX_free(r->macs[i]);
	free(r);
}

void forward_rx_set_epochs(struct forward_rx *r, uint64_t first, uint64_t last)
{
	r->first = first;
	r->last = last;
}

static bool window_take(struct window *w, uint64_t seq)
{
	uint64_t bit = (uint64_t)1 << seq % 64;
	uint64_t *word = &w->bits[seq % FORWARD_WINDOW / 64];

	if (seq > w->highest) {
		if (seq - w->highest >= FORWARD_WINDOW) {
			memset(w->bits, 0, sizeof(w->bits));
		} else {
			for (uint64_t s = w->highest + 1; s <= seq; s++)
				w->bits[s % FORWARD_WINDOW / 64] &=
					~((uint64_t)1 << s % 64);
		}
		w->highest = seq;
	} else if (w->highest - seq >= FORWARD_WINDOW || *word & bit) {
		return false;
	}
	*word |= bit;
	return true;
}

static int sequence_take(struct forward_rx *r, uint64_t boot, uint8_t thread,
			 uint64_t seq)
{
	if (r->boot != boot) {
		windows_reset(r);
		r->boot = boot;
	}
	if (!r->windows[thread])
		r->windows[thread] = calloc(1, sizeof(struct window));
	if (!r->windows[thread])
		return -ENOMEM;
	return window_take(r->windows[thread], seq) ? 0 : -EALREADY;
}

static bool is_authentic(const struct forward_rx *r, const uint8_t *data,
			 size_t size)
{
	uint8_t mac[FORWARD_MAC_BYTES];

	size -= sizeof(mac);
	for (size_t i = 0; i < r->macs_len; i++)
		if (!mac_compute(r->macs[i], data, size, mac) &&
		    !CRYPTO_memcmp(mac, data + size, sizeof(mac)))
			return true;
	return false;
}

int forward_open(struct forward_rx *r, const uint8_t *data, size_t size,
		 struct forward_datagram *out)
{
	const uint8_t *at = data;
	uint8_t family, thread;
	uint64_t boot, epoch, seq;

	if (size < FORWARD_HEADER_BYTES + FORWARD_MAC_BYTES ||
	    size > FORWARD_MAX_BYTES)
		return -EBADMSG;
	if (get(&at, 4) != FORWARD_MAGIC || get(&at, 1) != FORWARD_VERSION)
		return -EBADMSG;
	family = (uint8_t)get(&at, 1);
	thread = (uint8_t)get(&at, 1);
	at++;
	if ((family != ADDR_V4 && family != ADDR_V6) ||
	    thread >= FORWARD_THREADS_MAX)
		return -EBADMSG;
	if (!is_authentic(r, data, size))
		return -EACCES;
	boot = get(&at, 8);
	epoch = get(&at, 8);
	seq = get(&at, 8);
	if (epoch < r->first || epoch > r->last)
		return -ESTALE;
	out->nif_hash = get(&at, 8);
	get_addr(&at, family, &out->source);
	get_addr(&at, family, &out->local);
	out->payload = at;
	out->size = (uint32_t)(size - FORWARD_HEADER_BYTES - FORWARD_MAC_BYTES);
	return sequence_take(r, boot, thread, seq);
}
