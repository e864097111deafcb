/* tls_profile - see tls_profile.h */
#include "sbcd/sip/tls_profile.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include <openssl/core_names.h>
#include <openssl/err.h>
#include <openssl/evp.h>
#include <openssl/pem.h>
#include <openssl/rand.h>
#include <openssl/ssl.h>
#include <openssl/x509v3.h>

/* Last in every list: "!" takes away for good what stands before it. */
#define CIPHERS_NEVER ":!aNULL:!eNULL:!PSK:!SRP"

enum {
	CIPHER_LIST_MAX = 1024,
	LEVEL_OLD = 0, /* the only one that has SHA-1 signatures */
	LEVEL = 2,
};

struct tls_profile {
	SSL_CTX *server;
	SSL_CTX *client;
	uint64_t print;
	struct tls_ticket_keys keys;
	bool status_check, ignore_dead_responder;
	X509 *issuer; /* of our certificate, or NULL */
	uint8_t *staple;
	size_t staple_size;
};

/* What is being made, of which nothing is kept if a part of it fails. */
struct making {
	const struct tls_profile_params *params;
	struct tls_profile_error *err;
	X509_STORE *store;
	STACK_OF(X509_NAME) * authorities;
	EVP_MD_CTX *digest;
	EVP_MD_CTX *print; /* of everything */
	uint8_t sid_context[SSL_MAX_SID_CTX_LENGTH];
};

static const int versions[] = {
	[TLS_VERSION_1_0] = TLS1_VERSION,
	[TLS_VERSION_1_1] = TLS1_1_VERSION,
	[TLS_VERSION_1_2] = TLS1_2_VERSION,
	[TLS_VERSION_1_3] = TLS1_3_VERSION,
};

static int refuse(const struct making *m, const char *option, const char *value,
		  const char *why)
{
	m->err->option = option;
	snprintf(m->err->text, sizeof(m->err->text),
		 "tls-profile %s: %s %s: %s", m->params->name, option, value,
		 why);
	ERR_clear_error();
	return -EINVAL;
}

/* The oldest error in OpenSSL's queue is nearest to the cause. */
static int refuse_ssl(const struct making *m, const char *option,
		      const char *value)
{
	unsigned long e = ERR_peek_error();
	const char *why = NULL;

	if (e)
		why = ERR_SYSTEM_ERROR(e) ? strerror(ERR_GET_REASON(e))
					  : ERR_reason_error_string(e);
	return refuse(m, option, value, why ? why : "unusable");
}

/* At the end of a PEM file nothing begins; anything else is a broken file. */
static bool at_end(void)
{
	unsigned long e = ERR_peek_last_error();

	return ERR_GET_LIB(e) == ERR_LIB_PEM &&
	       ERR_GET_REASON(e) == PEM_R_NO_START_LINE;
}

/* Without it OpenSSL asks on the terminal. */
static int no_passphrase(char *buf, int size, int writing, void *arg)
{
	return -1;
}

static int digest_certificate(EVP_MD_CTX *digest, X509 *cert)
{
	uint8_t print[EVP_MAX_MD_SIZE];
	unsigned size;

	if (X509_digest(cert, EVP_sha256(), print, &size) != 1 ||
	    EVP_DigestUpdate(digest, print, size) != 1)
		return -ENOMEM;
	return 0;
}

static int digest_crl(EVP_MD_CTX *digest, X509_CRL *crl)
{
	uint8_t print[EVP_MAX_MD_SIZE];
	unsigned size;

	if (X509_CRL_digest(crl, EVP_sha256(), print, &size) != 1 ||
	    EVP_DigestUpdate(digest, print, size) != 1)
		return -ENOMEM;
	return 0;
}

static int trust_one(struct making *m, X509 *cert)
{
	X509_NAME *name = X509_NAME_dup(X509_get_subject_name(cert));

	if (!name)
		return -ENOMEM;
	if (!sk_X509_NAME_push(m->authorities, name)) {
		X509_NAME_free(name);
		return -ENOMEM;
	}
	if (X509_STORE_add_cert(m->store, cert) != 1)
		return -ENOMEM;
	return digest_certificate(m->digest, cert);
}

static int trust_file(struct making *m, const char *file)
{
	BIO *bio = BIO_new_file(file, "r");
	unsigned count = 0;
	X509 *cert;
	int err = 0;

	if (!bio)
		return refuse_ssl(m, "trusted-ca-certificates", file);
	while (!err &&
	       (cert = PEM_read_bio_X509(bio, NULL, no_passphrase, NULL))) {
		err = trust_one(m, cert);
		X509_free(cert);
		count++;
	}
	if (!err && (!count || !at_end()))
		err = refuse_ssl(m, "trusted-ca-certificates", file);
	ERR_clear_error();
	BIO_free(bio);
	return err;
}

static int revoke_file(struct making *m, const char *file)
{
	BIO *bio = BIO_new_file(file, "r");
	unsigned count = 0;
	X509_CRL *crl;
	int err = 0;

	if (!bio)
		return refuse_ssl(m, "crl-files", file);
	while (!err &&
	       (crl = PEM_read_bio_X509_CRL(bio, NULL, no_passphrase, NULL))) {
		err = X509_STORE_add_crl(m->store, crl) == 1
			      ? digest_crl(m->print, crl)
			      : -ENOMEM;
		X509_CRL_free(crl);
		count++;
	}
	if (!err && (!count || !at_end()))
		err = refuse_ssl(m, "crl-files", file);
	ERR_clear_error();
	BIO_free(bio);
	return err;
}

/*
 * All that decides whom we believe: a session of other rules is not taken
 * up again. Of contents, not of paths, to be the same on both nodes.
 */
static int trust(struct making *m)
{
	const struct tls_profile_params *p = m->params;
	uint32_t rules[] = {p->verify_depth, p->peer_eku, p->mutual,
			    p->version};
	int err = 0;

	if (EVP_DigestInit_ex(m->print, EVP_sha256(), NULL) != 1 ||
	    EVP_DigestInit_ex(m->digest, EVP_sha256(), NULL) != 1 ||
	    EVP_DigestUpdate(m->digest, p->name, strlen(p->name) + 1) != 1 ||
	    EVP_DigestUpdate(m->digest, rules, sizeof(rules)) != 1)
		return -ENOMEM;
	for (unsigned i = 0; !err && i < p->trusted_len; i++)
		err = trust_file(m, p->trusted[i]);
	/* no part of that digest: a list is asked on resumption too */
	for (unsigned i = 0; !err && i < p->crls_len; i++)
		err = revoke_file(m, p->crls[i]);
	if (!err && EVP_DigestFinal_ex(m->digest, m->sid_context, NULL) != 1)
		err = -ENOMEM;
	return err;
}

static bool is_old(const struct tls_profile_params *p)
{
	return p->version == TLS_VERSION_COMPATIBILITY ||
	       p->version == TLS_VERSION_1_0 || p->version == TLS_VERSION_1_1;
}

static int set_versions(const struct making *m, SSL_CTX *ctx)
{
	enum tls_version low = m->params->version, high = low;

	if (low == TLS_VERSION_COMPATIBILITY) {
		low = m->params->minimum;
		high = m->params->maximum;
		low = low ? low : TLS_VERSION_1_0;
		high = high ? high : TLS_VERSION_1_3;
	}
	if ((unsigned)low > TLS_VERSION_1_3 ||
	    (unsigned)high > TLS_VERSION_1_3 || low > high)
		return refuse(m, "tls-version", "compatibility",
			      "minimum above maximum");
	if (SSL_CTX_set_min_proto_version(ctx, versions[low]) != 1 ||
	    SSL_CTX_set_max_proto_version(ctx, versions[high]) != 1)
		return refuse_ssl(m, "tls-version", "");
	return 0;
}

static int set_ciphers(const struct making *m, SSL_CTX *ctx)
{
	const char *list = m->params->cipher_list;
	char full[CIPHER_LIST_MAX];
	int n;

	/* tls-version decides the level, for this profile alone */
	if (strcasestr(list, "@SECLEVEL"))
		return refuse(m, "cipher-list", list,
			      "@SECLEVEL is tls-version's to set");
	n = snprintf(full, sizeof(full), "%s" CIPHERS_NEVER, list);
	if (n < 0 || (size_t)n >= sizeof(full))
		return refuse(m, "cipher-list", "", "too long");
	if (SSL_CTX_set_cipher_list(ctx, full) != 1)
		return refuse_ssl(m, "cipher-list", list);
	SSL_CTX_set_security_level(ctx, is_old(m->params) ? LEVEL_OLD : LEVEL);
	return 0;
}

static int set_own(const struct making *m, SSL_CTX *ctx)
{
	const struct tls_profile_params *p = m->params;

	SSL_CTX_set_default_passwd_cb(ctx, no_passphrase);
	if (SSL_CTX_use_certificate_chain_file(ctx, p->certificate) != 1)
		return refuse_ssl(m, "end-entity-certificate", p->certificate);
	if (SSL_CTX_use_PrivateKey_file(ctx, p->key, SSL_FILETYPE_PEM) != 1 ||
	    SSL_CTX_check_private_key(ctx) != 1)
		return refuse_ssl(m, "private-key", p->key);
	return 0;
}

/* The one failure of a callback that we make: see tls_reason.c. */
static int refuse_v2(SSL *ssl, int *alert, void *arg)
{
	if (!SSL_client_hello_isv2(ssl))
		return SSL_CLIENT_HELLO_SUCCESS;
	*alert = SSL_AD_PROTOCOL_VERSION;
	return SSL_CLIENT_HELLO_ERROR;
}

static int mac_init(EVP_MAC_CTX *mac, const struct tls_ticket_key *key)
{
	char digest[] = "SHA256";
	OSSL_PARAM params[] = {
		OSSL_PARAM_construct_octet_string(OSSL_MAC_PARAM_KEY,
						  (void *)key->hmac,
						  sizeof(key->hmac)),
		OSSL_PARAM_construct_utf8_string(OSSL_MAC_PARAM_DIGEST, digest,
						 0),
		OSSL_PARAM_construct_end(),
	};

	return EVP_MAC_CTX_set_params(mac, params);
}

/* 1: done; 2: done, give the peer a new ticket; 0: no such key; -1: failed */
static int ticket_key(SSL *ssl, unsigned char name[16], unsigned char *iv,
		      EVP_CIPHER_CTX *cipher, EVP_MAC_CTX *mac, int sealing)
{
	struct tls_profile *p = SSL_CTX_get_app_data(SSL_get_SSL_CTX(ssl));
	const struct tls_ticket_key *key = p->keys.key;
	unsigned i = 0;

	if (sealing && p->keys.len) {
		memcpy(name, key->name, sizeof(key->name));
		if (RAND_bytes(iv, EVP_MAX_IV_LENGTH) != 1)
			return -1;
	}
	while (i < p->keys.len && memcmp(name, key[i].name, sizeof(key->name)))
		i++;
	if (i == p->keys.len)
		return 0;
	if (EVP_CipherInit_ex(cipher, EVP_aes_256_cbc(), NULL, key[i].aes, iv,
			      sealing) != 1 ||
	    mac_init(mac, &key[i]) != 1)
		return -1;
	return i ? 2 : 1;
}

X509 *tls_profile_issuer(SSL_CTX *ctx, X509 *cert)
{
	X509_STORE_CTX *store = X509_STORE_CTX_new();
	X509 *issuer = NULL;

	if (!store ||
	    X509_STORE_CTX_init(store, SSL_CTX_get_cert_store(ctx), cert,
				NULL) != 1 ||
	    X509_STORE_CTX_get1_issuer(&issuer, store, cert) != 1)
		issuer = NULL;
	X509_STORE_CTX_free(store);
	ERR_clear_error();
	return issuer;
}

/* A session holds the peer's certificate, and not who signed it. */
static SSL_TICKET_RETURN take_up(SSL *ssl, SSL_SESSION *session,
				 const unsigned char *name, size_t name_size,
				 SSL_TICKET_STATUS status, void *arg)
{
	X509 *cert = session ? SSL_SESSION_get0_peer(session) : NULL;
	X509 *issuer;

	if (status != SSL_TICKET_SUCCESS && status != SSL_TICKET_SUCCESS_RENEW)
		return SSL_TICKET_RETURN_IGNORE_RENEW;
	if (cert) {
		issuer = tls_profile_issuer(SSL_get_SSL_CTX(ssl), cert);
		if (!issuer)
			return SSL_TICKET_RETURN_IGNORE_RENEW;
		X509_free(issuer);
	}
	return status == SSL_TICKET_SUCCESS ? SSL_TICKET_RETURN_USE
					    : SSL_TICKET_RETURN_USE_RENEW;
}

static int give_staple(SSL *ssl, void *arg)
{
	struct tls_profile *p = SSL_CTX_get_app_data(SSL_get_SSL_CTX(ssl));
	uint8_t *copy;

	if (!p->staple_size)
		return SSL_TLSEXT_ERR_NOACK;
	copy = OPENSSL_memdup(p->staple, p->staple_size);
	if (!copy)
		return SSL_TLSEXT_ERR_NOACK;
	SSL_set_tlsext_status_ocsp_resp(ssl, copy, (long)p->staple_size);
	return SSL_TLSEXT_ERR_OK;
}

/* With no key OpenSSL would seal with one that the other node has not. */
static void tickets_on(SSL_CTX *server, bool on)
{
	if (on)
		SSL_CTX_clear_options(server, SSL_OP_NO_TICKET);
	else
		SSL_CTX_set_options(server, SSL_OP_NO_TICKET);
	SSL_CTX_set_num_tickets(server, on ? 1 : 0);
}

static int set_server(const struct making *m, SSL_CTX *ctx)
{
	static const int purposes[] = {
		[TLS_PEER_EKU_CLIENT] = X509_PURPOSE_SSL_CLIENT,
		[TLS_PEER_EKU_SERVER] = X509_PURPOSE_SSL_SERVER,
		[TLS_PEER_EKU_ANY] = X509_PURPOSE_ANY,
	};
	STACK_OF(X509_NAME) * names;

	if (m->params->version != TLS_VERSION_COMPATIBILITY)
		SSL_CTX_set_client_hello_cb(ctx, refuse_v2, NULL);
	SSL_CTX_set_session_cache_mode(ctx, SSL_SESS_CACHE_OFF);
	if (SSL_CTX_set_tlsext_ticket_key_evp_cb(ctx, ticket_key) != 1)
		return -ENOMEM;
	SSL_CTX_set_tlsext_status_cb(ctx, give_staple);
	if (m->params->status_check &&
	    SSL_CTX_set_session_ticket_cb(ctx, NULL, take_up, NULL) != 1)
		return -ENOMEM;
	if (!m->params->mutual)
		return 0;
	SSL_CTX_set_verify(
		ctx, SSL_VERIFY_PEER | SSL_VERIFY_FAIL_IF_NO_PEER_CERT, NULL);
	if (SSL_CTX_set_purpose(ctx, purposes[m->params->peer_eku]) != 1)
		return refuse_ssl(m, "peer-eku", "");
	names = SSL_dup_CA_list(m->authorities);
	if (!names)
		return -ENOMEM;
	SSL_CTX_set_client_CA_list(ctx, names);
	return 0;
}

static int set_common(const struct making *m, SSL_CTX *ctx)
{
	int err;

	SSL_CTX_set_options(ctx, SSL_OP_NO_RENEGOTIATION |
					 SSL_OP_NO_COMPRESSION |
					 SSL_OP_IGNORE_UNEXPECTED_EOF |
					 SSL_OP_CIPHER_SERVER_PREFERENCE);
	/* the file has the whole chain: nothing is added from the trust list */
	SSL_CTX_set_mode(ctx, SSL_MODE_NO_AUTO_CHAIN |
				      SSL_MODE_RELEASE_BUFFERS |
				      SSL_MODE_ENABLE_PARTIAL_WRITE |
				      SSL_MODE_ACCEPT_MOVING_WRITE_BUFFER);
	SSL_CTX_set_max_cert_list(ctx, TLS_CERTIFICATES_MAX_BYTES);
	SSL_CTX_set_timeout(ctx, TLS_TICKET_LIFE_S);
	SSL_CTX_set1_cert_store(ctx, m->store);
	SSL_CTX_set_verify_depth(ctx, (int)m->params->verify_depth);
	if (m->params->crls_len &&
	    X509_VERIFY_PARAM_set_flags(SSL_CTX_get0_param(ctx),
					X509_V_FLAG_CRL_CHECK) != 1)
		return -ENOMEM;
	if (SSL_CTX_set_session_id_context(ctx, m->sid_context,
					   sizeof(m->sid_context)) != 1)
		return -ENOMEM;
	err = set_versions(m, ctx);
	if (!err)
		err = set_ciphers(m, ctx);
	if (!err)
		err = set_own(m, ctx);
	return err;
}

static int make_one(const struct making *m, bool server, SSL_CTX **out)
{
	SSL_CTX *ctx =
		SSL_CTX_new(server ? TLS_server_method() : TLS_client_method());
	int err;

	if (!ctx)
		return -ENOMEM;
	err = set_common(m, ctx);
	if (!err && server)
		err = set_server(m, ctx);
	if (err) {
		SSL_CTX_free(ctx);
		return err;
	}
	if (!server) {
		SSL_CTX_set_verify(ctx, SSL_VERIFY_PEER, NULL);
		if (m->params->status_check)
			SSL_CTX_set_tlsext_status_type(ctx,
						       TLSEXT_STATUSTYPE_ocsp);
	}
	*out = ctx;
	return 0;
}

static int check(const struct making *m)
{
	const struct tls_profile_params *p = m->params;

	if ((unsigned)p->version > TLS_VERSION_1_3)
		return refuse(m, "tls-version", "", "no such version");
	if ((unsigned)p->peer_eku > TLS_PEER_EKU_ANY)
		return refuse(m, "peer-eku", "", "no such use");
	if (p->verify_depth > TLS_DEPTH_MAX)
		return refuse(m, "verify-depth", "", "above 10");
	if (p->mutual && !p->trusted_len)
		return refuse(m, "mutual-authenticate", "enabled",
			      "needs trusted-ca-certificates");
	return 0;
}

static int set_print(const struct making *m, SSL_CTX *ctx, uint64_t *out)
{
	uint8_t print[EVP_MAX_MD_SIZE];
	STACK_OF(X509) *chain = NULL;
	int err = digest_certificate(m->print, SSL_CTX_get0_certificate(ctx));

	if (SSL_CTX_get0_chain_certs(ctx, &chain) != 1)
		chain = NULL;
	for (int i = 0; !err && i < sk_X509_num(chain); i++)
		err = digest_certificate(m->print, sk_X509_value(chain, i));
	if (err ||
	    EVP_DigestUpdate(m->print, m->sid_context,
			     sizeof(m->sid_context)) != 1 ||
	    EVP_DigestFinal_ex(m->print, print, NULL) != 1)
		return -ENOMEM;
	memcpy(out, print, sizeof(*out));
	*out += !*out;
	return 0;
}

/* All or nothing. */
static int make_both(struct making *m, SSL_CTX **server, SSL_CTX **client,
		     uint64_t *print)
{
	int err = make_one(m, true, server);

	if (err)
		return err;
	err = set_print(m, *server, print);
	if (!err)
		err = make_one(m, false, client);
	if (err)
		SSL_CTX_free(*server);
	return err;
}

static int make(const struct tls_profile_params *params,
		struct tls_profile_error *e, SSL_CTX **server, SSL_CTX **client,
		uint64_t *print)
{
	struct making m = {
		.params = params,
		.err = e,
		.store = X509_STORE_new(),
		.authorities = sk_X509_NAME_new_null(),
		.digest = EVP_MD_CTX_new(),
		.print = EVP_MD_CTX_new(),
	};
	int err = m.store && m.authorities && m.digest && m.print ? 0 : -ENOMEM;

	e->option = NULL;
	snprintf(e->text, sizeof(e->text), "tls-profile %s: out of memory",
		 params->name);
	ERR_clear_error();
	if (!err)
		err = check(&m);
	if (!err)
		err = trust(&m);
	if (!err)
		err = make_both(&m, server, client, print);
	if (!err)
		e->text[0] = '\0';
	EVP_MD_CTX_free(m.digest);
	EVP_MD_CTX_free(m.print);
	sk_X509_NAME_pop_free(m.authorities, X509_NAME_free);
	X509_STORE_free(m.store);
	ERR_clear_error();
	return err;
}

/* What follows it in its file, or is trusted. */
static X509 *own_issuer(SSL_CTX *ctx)
{
	X509 *cert = SSL_CTX_get0_certificate(ctx), *issuer = NULL;
	STACK_OF(X509) *chain = NULL;

	if (SSL_CTX_get0_chain_certs(ctx, &chain) == 1)
		issuer = sk_X509_value(chain, 0);
	if (!issuer || X509_check_issued(issuer, cert) != X509_V_OK)
		return tls_profile_issuer(ctx, cert);
	X509_up_ref(issuer);
	return issuer;
}

int tls_profile_reload(struct tls_profile *p,
		       const struct tls_profile_params *params,
		       struct tls_profile_error *err)
{
	SSL_CTX *server = NULL, *client = NULL;
	uint64_t print;
	int result = make(params, err, &server, &client, &print);

	if (result)
		return result;
	SSL_CTX_set_app_data(server, p);
	tickets_on(server, p->keys.len > 0);
	SSL_CTX_free(p->server);
	SSL_CTX_free(p->client);
	X509_free(p->issuer);
	p->server = server;
	p->client = client;
	p->print = print;
	p->issuer = own_issuer(server);
	p->status_check = params->status_check;
	p->ignore_dead_responder = params->ignore_dead_responder;
	return 0;
}

int tls_profile_create(struct tls_profile **out,
		       const struct tls_profile_params *params,
		       struct tls_profile_error *err)
{
	struct tls_profile *p = calloc(1, sizeof(*p));
	int result;

	err->text[0] = '\0';
	err->option = NULL;
	if (!p)
		return -ENOMEM;
	result = tls_profile_reload(p, params, err);
	if (result) {
		free(p);
		return result;
	}
	*out = p;
	return 0;
}

void tls_profile_destroy(struct tls_profile *p)
{
	if (!p)
		return;
	SSL_CTX_free(p->server);
	SSL_CTX_free(p->client);
	X509_free(p->issuer);
	free(p->staple);
	explicit_bzero(&p->keys, sizeof(p->keys));
	free(p);
}

uint64_t tls_profile_print(const struct tls_profile *p)
{
	return p->print;
}

int tls_profile_set_ticket_keys(struct tls_profile *p,
				const struct tls_ticket_keys *keys)
{
	if (keys->len > TLS_TICKET_KEYS_MAX)
		return -EINVAL;
	explicit_bzero(&p->keys, sizeof(p->keys));
	p->keys.len = keys->len;
	memcpy(p->keys.key, keys->key, keys->len * sizeof(keys->key[0]));
	tickets_on(p->server, keys->len > 0);
	return 0;
}

int tls_profile_set_staple(struct tls_profile *p, const void *response,
			   size_t size)
{
	uint8_t *copy = NULL;

	if (size > TLS_OCSP_RESPONSE_MAX_BYTES)
		return -EMSGSIZE;
	if (size) {
		copy = malloc(size);
		if (!copy)
			return -ENOMEM;
		memcpy(copy, response, size);
	}
	free(p->staple);
	p->staple = copy;
	p->staple_size = size;
	return 0;
}

int tls_profile_own(const struct tls_profile *p, struct tls_ocsp_subject *out)
{
	if (!p->issuer)
		return -ENOENT;
	out->cert = SSL_CTX_get0_certificate(p->server);
	out->issuer = p->issuer;
	return 0;
}

bool tls_profile_checks_status(const struct tls_profile *p)
{
	return p->status_check;
}

bool tls_profile_ignores_dead_responder(const struct tls_profile *p)
{
	return p->ignore_dead_responder;
}

static int runs_out(X509 *cert, struct tls_expiry *first)
{
	struct tm tm;
	int64_t at;

	if (ASN1_TIME_to_tm(X509_get0_notAfter(cert), &tm) != 1)
		return -EINVAL;
	at = (int64_t)timegm(&tm);
	if (at >= first->wall_s)
		return 0;
	first->wall_s = at;
	X509_NAME_oneline(X509_get_subject_name(cert), first->subject,
			  sizeof(first->subject));
	return 0;
}

int tls_profile_expiry(const struct tls_profile *p, struct tls_expiry *out)
{
	struct tls_expiry first = {.wall_s = INT64_MAX};
	STACK_OF(X509) *chain = NULL;
	int err = runs_out(SSL_CTX_get0_certificate(p->server), &first);

	if (SSL_CTX_get0_chain_certs(p->server, &chain) != 1)
		chain = NULL;
	for (int i = 0; !err && i < sk_X509_num(chain); i++)
		err = runs_out(sk_X509_value(chain, i), &first);
	if (!err)
		*out = first;
	return err;
}

SSL_CTX *tls_profile_server(const struct tls_profile *p)
{
	return p->server;
}

SSL_CTX *tls_profile_client(const struct tls_profile *p)
{
	return p->client;
}
