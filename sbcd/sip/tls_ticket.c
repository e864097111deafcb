/* tls_ticket - see tls_ticket.h */
#include "sbcd/sip/tls_ticket.h"

#include <errno.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>

#include <openssl/core_names.h>
#include <openssl/err.h>
#include <openssl/kdf.h>
#include <openssl/params.h>

_Static_assert((int)REC_TICKET_KEYS_MAX == TLS_TICKET_KEYS_MAX, "one bound");

enum {
	LIFE_MS = TLS_TICKET_LIFE_S * 1000,
	/* The clock of a pair is one, but for a moment at its start. */
	AHEAD_MS = 60 * 1000,
};

struct tls_ticket {
	const struct tls_ticket_ops *ops;
	void *ctx;
	struct rec_ticket keys;
};

int tls_ticket_create(struct tls_ticket **out, const struct tls_ticket_ops *ops,
		      void *ctx)
{
	struct tls_ticket *t = calloc(1, sizeof(*t));

	if (!t)
		return -ENOMEM;
	t->ops = ops;
	t->ctx = ctx;
	*out = t;
	return 0;
}

void tls_ticket_destroy(struct tls_ticket *t)
{
	if (!t)
		return;
	explicit_bzero(t, sizeof(*t));
	free(t);
}

static bool is_sound(const struct rec_ticket *r)
{
	if (r->keys_len > REC_TICKET_KEYS_MAX)
		return false;
	for (unsigned i = 0; i < r->keys_len; i++)
		if (r->keys[i].secret.size != REC_TICKET_SECRET_SIZE ||
		    (i && r->keys[i].created_ms > r->keys[i - 1].created_ms))
			return false;
	return true;
}

int tls_ticket_restore(struct tls_ticket *t, const struct rec_ticket *r)
{
	if (r && !is_sound(r))
		return -EBADMSG;
	explicit_bzero(&t->keys, sizeof(t->keys));
	if (r)
		t->keys = *r;
	return 0;
}

/* ---- the active ------------------------------------------------------------
 */

/* Made by a clock that we can believe, and still of use. */
static bool is_good(const struct rec_ticket_key *k, uint64_t wall_ms)
{
	return k->created_ms <= wall_ms + AHEAD_MS &&
	       wall_ms < k->created_ms + 2 * (uint64_t)LIFE_MS;
}

static bool is_worn(const struct rec_ticket *r, uint64_t wall_ms)
{
	return !r->keys_len || wall_ms >= r->keys[0].created_ms + LIFE_MS;
}

static int add_key(struct tls_ticket *t, struct rec_ticket *r, uint64_t wall_ms)
{
	struct rec_ticket_key k = {.created_ms = wall_ms};
	unsigned keep = r->keys_len < REC_TICKET_KEYS_MAX
				? r->keys_len
				: REC_TICKET_KEYS_MAX - 1;
	int err = t->ops->random(t->ctx, k.secret.data, sizeof(k.secret.data));

	if (err)
		return err;
	k.secret.size = sizeof(k.secret.data);
	memmove(r->keys + 1, r->keys, keep * sizeof(r->keys[0]));
	r->keys[0] = k;
	r->keys_len = (uint16_t)(keep + 1);
	explicit_bzero(&k, sizeof(k));
	return 0;
}

int tls_ticket_turn(struct tls_ticket *t, uint64_t wall_ms)
{
	struct rec_ticket r = {.keys_len = 0};
	bool changed;
	int err = 0;

	for (unsigned i = 0; i < t->keys.keys_len; i++)
		if (is_good(&t->keys.keys[i], wall_ms))
			r.keys[r.keys_len++] = t->keys.keys[i];
	changed = r.keys_len != t->keys.keys_len;
	if (is_worn(&r, wall_ms)) {
		err = add_key(t, &r, wall_ms);
		changed = true;
	}
	if (!err && changed)
		err = t->ops->put(t->ctx, &r);
	if (!err)
		t->keys = r;
	explicit_bzero(&r, sizeof(r));
	return err ? err : changed;
}

/* ---- a profile's own keys --------------------------------------------------
 */

static int derive(EVP_KDF_CTX *kdf, const struct rec_ticket_key *from,
		  const char *name, struct tls_ticket_key *out)
{
	char digest[] = "SHA256", use[] = "tls-profile tickets";
	OSSL_PARAM params[] = {
		OSSL_PARAM_construct_utf8_string(OSSL_KDF_PARAM_DIGEST, digest,
						 0),
		OSSL_PARAM_construct_octet_string(OSSL_KDF_PARAM_KEY,
						  (void *)from->secret.data,
						  from->secret.size),
		OSSL_PARAM_construct_octet_string(OSSL_KDF_PARAM_SALT, use,
						  sizeof(use)),
		OSSL_PARAM_construct_octet_string(OSSL_KDF_PARAM_INFO,
						  (void *)name, strlen(name)),
		OSSL_PARAM_construct_end(),
	};
	uint8_t bytes[sizeof(out->name) + sizeof(out->aes) + sizeof(out->hmac)];
	const uint8_t *at = bytes;

	if (EVP_KDF_derive(kdf, bytes, sizeof(bytes), params) != 1) {
		ERR_clear_error();
		return -EIO;
	}
	memcpy(out->name, at, sizeof(out->name));
	at += sizeof(out->name);
	memcpy(out->aes, at, sizeof(out->aes));
	at += sizeof(out->aes);
	memcpy(out->hmac, at, sizeof(out->hmac));
	explicit_bzero(bytes, sizeof(bytes));
	return 0;
}

int tls_ticket_apply(const struct tls_ticket *t, struct tls_profile *p,
		     const char *name, uint64_t wall_ms)
{
	EVP_KDF *hkdf = EVP_KDF_fetch(NULL, "HKDF", NULL);
	EVP_KDF_CTX *kdf = hkdf ? EVP_KDF_CTX_new(hkdf) : NULL;
	struct tls_ticket_keys keys = {.len = 0};
	int err = kdf ? 0 : -ENOMEM;

	for (unsigned i = 0; !err && i < t->keys.keys_len; i++)
		if (is_good(&t->keys.keys[i], wall_ms))
			err = derive(kdf, &t->keys.keys[i], name,
				     &keys.key[keys.len++]);
	if (!err)
		err = tls_profile_set_ticket_keys(p, &keys);
	explicit_bzero(&keys, sizeof(keys));
	EVP_KDF_CTX_free(kdf);
	EVP_KDF_free(hkdf);
	return err;
}
