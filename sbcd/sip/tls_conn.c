/* tls_conn - see tls_conn.h */
#include "sbcd/sip/tls_conn.h"

#include <errno.h>
#include <limits.h>
#include <stdlib.h>
#include <string.h>

#include <openssl/err.h>
#include <openssl/ssl.h>
#include <openssl/x509v3.h>

#include "sbcd/sip/tls_name.h"
#include "sbcd/sip/tls_ocsp.h"
#include "sbcd/sip/tls_profile.h"

enum { V2_LOOK = 3, V2_CLIENT_HELLO = 1, DROP_BYTES = 4096 };

struct tls_conn {
	SSL *ssl;
	BIO *in, *out; /* the SSL's */
	enum tls_conn_state state;
	enum tls_reason reason;
	bool server, wildcard;
	const char *const *hosts;
	unsigned hosts_len;
	uint64_t deadline_ms;
	uint32_t verdict_ms;
	int64_t wall_s;
	uint8_t look[V2_LOOK]; /* the first bytes of a client */
	unsigned looked;
	struct tls_conn_info info;
	unsigned flights; /* of ours, in the handshake */
	bool answered; /* a byte came after the last of them */
	bool accepted; /* data of the peer did */
	bool check_status;
	X509 *issuer; /* of whose status is awaited */
};

static int fail(struct tls_conn *c, enum tls_reason why)
{
	c->state = TLS_CONN_FAILED;
	c->reason = why;
	ERR_clear_error();
	return -EPROTO;
}

/* ---- whom the certificate names -------------------------------------------
 */

struct names {
	struct tls_name name[TLS_CONN_CERT_NAMES_MAX];
	unsigned len;
	bool too_many;
};

static void add_name(struct names *n, enum tls_name_kind kind,
		     const ASN1_STRING *text)
{
	int size = ASN1_STRING_length(text);

	if (n->len == TLS_CONN_CERT_NAMES_MAX) {
		n->too_many = true;
		return;
	}
	n->name[n->len++] = (struct tls_name){
		.kind = kind,
		.text = (const char *)ASN1_STRING_get0_data(text),
		.size = size > 0 ? (size_t)size : 0,
	};
}

/* Names borrow from `cert` and `alt`. */
static void add_names(struct names *n, X509 *cert, GENERAL_NAMES *alt)
{
	const X509_NAME *subject = X509_get_subject_name(cert);
	int i = -1;

	for (int k = 0; k < sk_GENERAL_NAME_num(alt); k++) {
		const GENERAL_NAME *g = sk_GENERAL_NAME_value(alt, k);

		if (g->type == GEN_DNS)
			add_name(n, TLS_NAME_DNS, g->d.dNSName);
		else if (g->type == GEN_URI)
			add_name(n, TLS_NAME_URI,
				 g->d.uniformResourceIdentifier);
	}
	while ((i = X509_NAME_get_index_by_NID(subject, NID_commonName, i)) >=
	       0)
		add_name(n, TLS_NAME_CN,
			 X509_NAME_ENTRY_get_data(
				 X509_NAME_get_entry(subject, i)));
}

/* For people. Whatever is no letter of a name is shown as such. */
static void list_names(const struct names *n, char *out, size_t size)
{
	size_t len = 0;

	for (unsigned i = 0; i < n->len; i++) {
		if (len && len + 1 < size)
			out[len++] = ' ';
		for (size_t k = 0; k < n->name[i].size && len + 1 < size; k++) {
			char ch = n->name[i].text[k];

			out[len++] =
				ch > ' ' && ch < 127 && ch != '"' && ch != '\\'
					? ch
					: '?';
		}
	}
	out[len] = '\0';
}

static bool names_a_host(struct tls_conn *c, X509 *cert)
{
	struct names *n = calloc(1, sizeof(*n));
	GENERAL_NAMES *alt;
	unsigned host = 0;
	bool found;

	if (!n)
		return false;
	alt = X509_get_ext_d2i(cert, NID_subject_alt_name, NULL, NULL);
	add_names(n, cert, alt);
	found = !n->too_many &&
		tls_name_find(n->name, n->len, c->hosts, c->hosts_len,
			      c->wildcard, &host) >= 0;
	if (!found)
		list_names(n, c->info.names, sizeof(c->info.names));
	GENERAL_NAMES_free(alt);
	free(n);
	if (found)
		c->info.host = (int)host;
	return found;
}

/* ---- what is asked of a peer ----------------------------------------------
 */

/* A session outlives what it was granted on. */
static int check_dates(struct tls_conn *c, X509 *cert)
{
	time_t now = (time_t)c->wall_s;

	if (X509_cmp_time(X509_get0_notAfter(cert), &now) <= 0)
		return fail(c, TLS_REASON_EXPIRED);
	if (X509_cmp_time(X509_get0_notBefore(cert), &now) >= 0)
		return fail(c, TLS_REASON_NOT_YET_VALID);
	return 0;
}

/* Nor is it spared from a list that came later. Lists are ours: what is in
 * them was signed by whom we trust, or no first handshake succeeds. */
static int check_revoked(struct tls_conn *c, X509 *cert)
{
	X509_STORE *store = SSL_CTX_get_cert_store(SSL_get_SSL_CTX(c->ssl));
	X509_STORE_CTX *ctx = X509_STORE_CTX_new();
	STACK_OF(X509_CRL) *crls = NULL;
	bool revoked = false;

	if (!ctx || X509_STORE_CTX_init(ctx, store, cert, NULL) != 1) {
		X509_STORE_CTX_free(ctx);
		return fail(c, TLS_REASON_OTHER);
	}
	crls = X509_STORE_CTX_get1_crls(ctx, X509_get_issuer_name(cert));
	for (int i = 0; i < sk_X509_CRL_num(crls); i++) {
		X509_REVOKED *entry;

		if (X509_CRL_get0_by_cert(sk_X509_CRL_value(crls, i), &entry,
					  cert) == 1)
			revoked = true;
	}
	sk_X509_CRL_pop_free(crls, X509_CRL_free);
	X509_STORE_CTX_free(ctx);
	return revoked ? fail(c, TLS_REASON_REVOKED) : 0;
}

static int check_peer(struct tls_conn *c)
{
	bool needed =
		c->hosts_len || !c->server ||
		(SSL_get_verify_mode(c->ssl) & SSL_VERIFY_FAIL_IF_NO_PEER_CERT);
	X509 *cert = SSL_get0_peer_certificate(c->ssl);

	c->info.certificate = cert != NULL;
	if (!cert)
		return needed ? fail(c, TLS_REASON_NO_CERTIFICATE) : 0;
	if (SSL_get_verify_result(c->ssl) != X509_V_OK)
		return fail(c, TLS_REASON_UNKNOWN_CA);
	if (c->info.resumed && (check_dates(c, cert) || check_revoked(c, cert)))
		return -EPROTO;
	if (c->hosts_len && !names_a_host(c, cert))
		return fail(c, TLS_REASON_NAME);
	return 0;
}

/* Too late for an alert that says more. */
static int turn_away(struct tls_conn *c)
{
	SSL_shutdown(c->ssl);
	ERR_clear_error();
	return -EPROTO;
}

/* Of the chain that was verified; a resumed session has none. */
static X509 *find_issuer(const struct tls_conn *c, X509 *cert)
{
	STACK_OF(X509) *chain = SSL_get0_verified_chain(c->ssl);
	X509 *issuer;

	if (c->info.resumed || !chain)
		return tls_profile_issuer(SSL_get_SSL_CTX(c->ssl), cert);
	issuer = sk_X509_value(chain, sk_X509_num(chain) > 1 ? 1 : 0);
	if (issuer)
		X509_up_ref(issuer);
	return issuer;
}

static int await_verdict(struct tls_conn *c)
{
	X509 *cert = SSL_get0_peer_certificate(c->ssl);

	c->state = TLS_CONN_OPEN;
	if (!c->check_status || !cert)
		return 0;
	c->issuer = find_issuer(c, cert);
	if (!c->issuer)
		return fail(c, TLS_REASON_NO_STATUS);
	if (!X509_cmp(cert, c->issuer))
		return 0;
	c->state = TLS_CONN_VERDICT;
	c->deadline_ms += c->verdict_ms;
	return 0;
}

static int opened(struct tls_conn *c)
{
	const char *sni =
		c->server
			? SSL_get_servername(c->ssl, TLSEXT_NAMETYPE_host_name)
			: NULL;

	c->info.version = SSL_get_version(c->ssl);
	c->info.cipher = SSL_get_cipher_name(c->ssl);
	c->info.resumed = SSL_session_reused(c->ssl);
	if (sni && strlen(sni) < sizeof(c->info.sni))
		strcpy(c->info.sni, sni);
	if (check_peer(c) || await_verdict(c))
		return turn_away(c);
	return 0;
}

bool tls_conn_is_opening(const struct tls_conn *c)
{
	return c->state == TLS_CONN_HANDSHAKE || c->state == TLS_CONN_VERDICT;
}

bool tls_conn_may_be_refused(const struct tls_conn *c)
{
	/* A ticket for the next session is a word, too. */
	return !c->server && !c->accepted && !c->info.resumed &&
	       SSL_version(c->ssl) == TLS1_3_VERSION &&
	       !SSL_SESSION_is_resumable(SSL_get0_session(c->ssl));
}

/* ---- its life -------------------------------------------------------------
 */

static bool is_end(unsigned long error)
{
	return ERR_GET_LIB(error) == ERR_LIB_SSL &&
	       ERR_GET_REASON(error) == SSL_R_UNEXPECTED_EOF_WHILE_READING;
}

static int failed(struct tls_conn *c)
{
	enum tls_reason why =
		tls_reason_of(ERR_peek_error(), SSL_get_verify_result(c->ssl));

	if ((!ERR_peek_error() || is_end(ERR_peek_error())) &&
	    c->state == TLS_CONN_OPEN && tls_conn_may_be_refused(c))
		why = TLS_REASON_CLOSED_AT_CERTIFICATE;
	if (why == TLS_REASON_V2_HELLO && !c->info.v2_hello)
		why = TLS_REASON_OTHER;
	return fail(c, why);
}

/* A peer can ask for answers (refused renegotiations) and take none. */
static int check_output(struct tls_conn *c)
{
	return BIO_ctrl_pending(c->out) > TLS_CONN_OUT_MAX
		       ? fail(c, TLS_REASON_OTHER)
		       : 0;
}

static int shake(struct tls_conn *c)
{
	size_t said = BIO_ctrl_pending(c->out);
	int n;

	if (c->state != TLS_CONN_HANDSHAKE)
		return 0;
	ERR_clear_error();
	n = SSL_do_handshake(c->ssl);
	if (BIO_ctrl_pending(c->out) > said) {
		c->flights++;
		c->answered = false;
	}
	if (n == 1)
		return opened(c);
	if (SSL_get_error(c->ssl, n) != SSL_ERROR_WANT_READ)
		return failed(c);
	return check_output(c);
}

/* A session holds the peer's certificate, and not who signed it. */
static bool may_resume(const struct tls_conn *c, const SSL_SESSION *s)
{
	X509 *cert = SSL_SESSION_get0_peer((SSL_SESSION *)s), *issuer;

	if (!SSL_SESSION_is_resumable(s))
		return false;
	if (!c->check_status)
		return true;
	issuer =
		cert ? tls_profile_issuer(SSL_get_SSL_CTX(c->ssl), cert) : NULL;
	X509_free(issuer);
	return issuer != NULL;
}

static int set_up(struct tls_conn *c, const struct tls_conn_params *p)
{
	c->in = BIO_new(BIO_s_mem());
	c->out = BIO_new(BIO_s_mem());
	if (!c->in || !c->out) {
		BIO_free(c->in);
		BIO_free(c->out);
		return -ENOMEM;
	}
	/* nothing there is not the end */
	BIO_set_mem_eof_return(c->in, -1);
	SSL_set_bio(c->ssl, c->in, c->out);
	if (c->server) {
		SSL_set_accept_state(c->ssl);
		return 0;
	}
	SSL_set_connect_state(c->ssl);
	/* One that is of no use any more is left aside. */
	if (p->session && may_resume(c, (const SSL_SESSION *)p->session))
		SSL_set_session(c->ssl, (SSL_SESSION *)p->session);
	if (p->sni && SSL_set_tlsext_host_name(c->ssl, p->sni) != 1)
		return -EINVAL;
	return shake(c) ? -EINVAL : 0;
}

int tls_conn_create(struct tls_conn **out, const struct tls_conn_params *params)
{
	struct tls_conn *c = calloc(1, sizeof(*c));
	int err = -ENOMEM;

	if (!c)
		return -ENOMEM;
	c->server = params->server;
	c->hosts = params->hosts;
	c->hosts_len = params->hosts_len;
	c->wildcard = params->wildcard;
	c->deadline_ms = params->deadline_ms;
	c->verdict_ms = params->verdict_ms;
	c->wall_s = params->wall_s;
	c->check_status = tls_profile_checks_status(params->profile);
	c->info.host = -1;
	c->ssl = SSL_new(c->server ? tls_profile_server(params->profile)
				   : tls_profile_client(params->profile));
	if (c->ssl)
		err = set_up(c, params);
	ERR_clear_error();
	if (err) {
		tls_conn_destroy(c);
		return err;
	}
	*out = c;
	return 0;
}

void tls_conn_destroy(struct tls_conn *c)
{
	if (!c)
		return;
	SSL_free(c->ssl);
	X509_free(c->issuer);
	free(c);
}

size_t tls_conn_room(const struct tls_conn *c)
{
	size_t held = BIO_ctrl_pending(c->in);

	return held < TLS_CONN_IN_MAX ? TLS_CONN_IN_MAX - held : 0;
}

/* RFC 5246, E.2: a length with the top bit set, then the message's type. */
static void look_for_v2(struct tls_conn *c, const uint8_t *data, size_t size)
{
	while (c->server && c->looked < V2_LOOK && size) {
		c->look[c->looked++] = *data++;
		size--;
	}
	c->info.v2_hello = c->looked == V2_LOOK && (c->look[0] & 0x80) &&
			   c->look[2] == V2_CLIENT_HELLO;
}

int tls_conn_feed(struct tls_conn *c, const void *data, size_t size)
{
	if (c->state == TLS_CONN_FAILED)
		return -EPROTO;
	if (size > tls_conn_room(c))
		return -ENOBUFS;
	look_for_v2(c, data, size);
	c->answered |= size > 0;
	if (size && BIO_write(c->in, data, (int)size) != (int)size)
		return fail(c, TLS_REASON_OTHER);
	return shake(c);
}

/* A server's certificate is in its first flight, a client's in the second. */
static bool knows_our_certificate(const struct tls_conn *c)
{
	return c->flights >= (c->server ? 1 : 2);
}

/* An open connection ends before a word of the server: alerts count. */
static int look_for_refusal(struct tls_conn *c)
{
	char byte;
	int n;

	if (c->state != TLS_CONN_OPEN || !tls_conn_may_be_refused(c))
		return 0;
	ERR_clear_error();
	n = SSL_peek(c->ssl, &byte, sizeof(byte));
	return n > 0 || !tls_conn_may_be_refused(c) ? 0 : failed(c);
}

int tls_conn_feed_end(struct tls_conn *c)
{
	bool silent = knows_our_certificate(c) && !c->answered;

	if (c->state == TLS_CONN_FAILED)
		return -EPROTO;
	BIO_set_mem_eof_return(c->in, 0);
	if (!shake(c))
		return look_for_refusal(c);
	/* an alert that came before the end says more than the end */
	if (c->reason == TLS_REASON_OTHER)
		c->reason = silent ? TLS_REASON_CLOSED_AT_CERTIFICATE
				   : TLS_REASON_TRUNCATED;
	return -EPROTO;
}

ssize_t tls_conn_read(struct tls_conn *c, void *out, size_t size)
{
	int n;

	if (c->state == TLS_CONN_FAILED)
		return -EPROTO;
	if (tls_conn_is_opening(c) || !size)
		return -EAGAIN;
	ERR_clear_error();
	n = SSL_read(c->ssl, out, size < INT_MAX ? (int)size : INT_MAX);
	c->accepted |= n > 0;
	if (n > 0)
		return check_output(c) ? -EPROTO : n;
	switch (SSL_get_error(c->ssl, n)) {
	case SSL_ERROR_WANT_READ:
		return check_output(c) ? -EPROTO : -EAGAIN;
	case SSL_ERROR_ZERO_RETURN:
		if (tls_conn_may_be_refused(c))
			c->reason = TLS_REASON_CLOSED_AT_CERTIFICATE;
		c->state = TLS_CONN_CLOSED;
		return 0;
	default:
		return failed(c);
	}
}

ssize_t tls_conn_write(struct tls_conn *c, const void *data, size_t size)
{
	size_t done = 0;

	if (c->state == TLS_CONN_FAILED)
		return -EPROTO;
	if (c->state == TLS_CONN_CLOSED)
		return -EPIPE;
	if (tls_conn_is_opening(c))
		return -EAGAIN;
	ERR_clear_error();
	while (done < size) {
		size_t held = BIO_ctrl_pending(c->out);
		size_t part = size - done;
		int n;

		/* one record, and what is around it */
		if (held + 2 * SSL3_RT_MAX_PLAIN_LENGTH > TLS_CONN_OUT_MAX)
			break;
		if (part > SSL3_RT_MAX_PLAIN_LENGTH)
			part = SSL3_RT_MAX_PLAIN_LENGTH;
		n = SSL_write(c->ssl, (const char *)data + done, (int)part);
		if (n <= 0)
			return failed(c);
		done += (size_t)n;
	}
	return done || !size ? (ssize_t)done : -EAGAIN;
}

size_t tls_conn_output(const struct tls_conn *c, const void **data)
{
	char *at = NULL;
	long size = BIO_get_mem_data(c->out, &at);

	*data = at;
	return size > 0 ? (size_t)size : 0;
}

void tls_conn_sent(struct tls_conn *c, size_t size)
{
	char drop[DROP_BYTES];

	while (size) {
		size_t part = size < sizeof(drop) ? size : sizeof(drop);
		int n = BIO_read(c->out, drop, (int)part);

		if (n <= 0)
			return;
		size -= (size_t)n;
	}
}

void tls_conn_subject(const struct tls_conn *c, struct tls_ocsp_subject *out)
{
	out->cert = SSL_get0_peer_certificate(c->ssl);
	out->issuer = c->issuer;
}

size_t tls_conn_staple(const struct tls_conn *c, const void **out)
{
	const unsigned char *at = NULL;
	long size =
		c->server ? 0 : SSL_get_tlsext_status_ocsp_resp(c->ssl, &at);

	*out = at;
	return size > 0 ? (size_t)size : 0;
}

int tls_conn_verdict(struct tls_conn *c, bool ok, enum tls_reason why)
{
	if (c->state != TLS_CONN_VERDICT)
		return c->state == TLS_CONN_FAILED ? -EPROTO : 0;
	if (ok) {
		c->state = TLS_CONN_OPEN;
		return 0;
	}
	fail(c, why);
	return turn_away(c);
}

void tls_conn_close(struct tls_conn *c)
{
	if (c->state == TLS_CONN_OPEN || c->state == TLS_CONN_VERDICT) {
		SSL_shutdown(c->ssl);
		ERR_clear_error();
	}
	if (c->state != TLS_CONN_FAILED)
		c->state = TLS_CONN_CLOSED;
}

int tls_conn_expire(struct tls_conn *c, uint64_t now_ms)
{
	if (!tls_conn_is_opening(c) || now_ms < c->deadline_ms)
		return 0;
	fail(c, TLS_REASON_TIMEOUT);
	return -ETIMEDOUT;
}

struct tls_session *tls_conn_session(const struct tls_conn *c)
{
	SSL_SESSION *s = c->info.version && c->state != TLS_CONN_FAILED
				 ? SSL_get1_session(c->ssl)
				 : NULL;

	if (!s || SSL_SESSION_is_resumable(s))
		return (struct tls_session *)s;
	SSL_SESSION_free(s);
	return NULL;
}

void tls_session_free(struct tls_session *s)
{
	SSL_SESSION_free((SSL_SESSION *)s);
}

enum tls_conn_state tls_conn_state(const struct tls_conn *c)
{
	return c->state;
}

enum tls_reason tls_conn_reason(const struct tls_conn *c)
{
	return c->reason;
}

const struct tls_conn_info *tls_conn_info(const struct tls_conn *c)
{
	return &c->info;
}
