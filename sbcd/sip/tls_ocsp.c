/* tls_ocsp - see tls_ocsp.h */
#include "sbcd/sip/tls_ocsp.h"

#include <errno.h>
#include <string.h>
#include <strings.h>
#include <time.h>

#include <openssl/err.h>
#include <openssl/ocsp.h>
#include <openssl/x509v3.h>

#include "sbcd/base/addr.h"

enum {
	SINGLES_MAX = 64, /* in a response; more: not looked at */
	HTTP_PORT = 80,
	AUTH_LEVEL = 1, /* of OpenSSL: keys of less than 80 bits are none */
};

/* ---- a response ------------------------------------------------------------
 */

/* A store in which nobody is trusted but the issuer, root or not. */
static X509_STORE *store_of(X509 *issuer, int64_t wall_s)
{
	X509_STORE *store = X509_STORE_new();
	X509_VERIFY_PARAM *param;

	if (!store)
		return NULL;
	param = X509_STORE_get0_param(store);
	X509_VERIFY_PARAM_set_time(param, (time_t)wall_s);
	X509_VERIFY_PARAM_set_auth_level(param, AUTH_LEVEL);
	if (X509_VERIFY_PARAM_set_flags(param, X509_V_FLAG_PARTIAL_CHAIN) !=
		    1 ||
	    X509_STORE_add_cert(store, issuer) != 1) {
		X509_STORE_free(store);
		return NULL;
	}
	return store;
}

static int check_signature(OCSP_BASICRESP *basic, X509 *issuer, int64_t wall_s)
{
	X509_STORE *store = store_of(issuer, wall_s);
	STACK_OF(X509) *certs = sk_X509_new_null();
	int err = -ENOMEM;

	if (store && certs && sk_X509_push(certs, issuer))
		err = OCSP_basic_verify(basic, certs, store, OCSP_NOEXPLICIT) ==
				      1
			      ? 0
			      : -EACCES;
	sk_X509_free(certs);
	X509_STORE_free(store);
	return err;
}

/* Responders are free in the digest that they name a certificate with. */
static bool is_about(const struct tls_ocsp_subject *s, OCSP_SINGLERESP *one)
{
	OCSP_CERTID *id = (OCSP_CERTID *)OCSP_SINGLERESP_get0_id(one);
	ASN1_OBJECT *digest = NULL;
	const EVP_MD *md;
	OCSP_CERTID *own;
	bool same;

	OCSP_id_get0_info(NULL, &digest, NULL, NULL, id);
	md = digest ? EVP_get_digestbyobj(digest) : NULL;
	own = md ? OCSP_cert_to_id(md, s->cert, s->issuer) : NULL;
	same = own && !OCSP_id_cmp(own, id);
	OCSP_CERTID_free(own);
	return same;
}

static bool get_time(const ASN1_GENERALIZEDTIME *t, int64_t *out)
{
	struct tm tm;

	if (!t || ASN1_TIME_to_tm(t, &tm) != 1)
		return false;
	*out = (int64_t)timegm(&tm);
	return true;
}

static int read_one(OCSP_SINGLERESP *one, int64_t wall_s,
		    struct tls_ocsp_answer *out)
{
	ASN1_GENERALIZEDTIME *this_update = NULL, *next_update = NULL;
	int64_t since_s, until_s;

	switch (OCSP_single_get0_status(one, NULL, NULL, &this_update,
					&next_update)) {
	case V_OCSP_CERTSTATUS_GOOD:
		out->status = TLS_OCSP_GOOD;
		break;
	case V_OCSP_CERTSTATUS_REVOKED:
		out->status = TLS_OCSP_REVOKED;
		break;
	case V_OCSP_CERTSTATUS_UNKNOWN:
		out->status = TLS_OCSP_UNKNOWN;
		break;
	default:
		return -EBADMSG;
	}
	if (!get_time(this_update, &since_s))
		return -EBADMSG;
	until_s = since_s + TLS_OCSP_NO_NEXT_S;
	if (next_update && !get_time(next_update, &until_s))
		return -EBADMSG;
	if (until_s < since_s)
		return -EBADMSG;
	if (since_s > wall_s + TLS_OCSP_SKEW_S ||
	    until_s < wall_s - TLS_OCSP_SKEW_S)
		return -ESTALE;
	out->since_s = since_s;
	out->until_s = until_s;
	return 0;
}

static int read_basic(const struct tls_ocsp_subject *s, OCSP_BASICRESP *basic,
		      int64_t wall_s, struct tls_ocsp_answer *out)
{
	int len = OCSP_resp_count(basic);
	int err = check_signature(basic, s->issuer, wall_s);

	if (err)
		return err;
	if (len > SINGLES_MAX)
		return -EBADMSG;
	err = -ENOENT;
	for (int i = 0; i < len; i++) {
		OCSP_SINGLERESP *one = OCSP_resp_get0(basic, i);
		struct tls_ocsp_answer answer;

		if (!is_about(s, one))
			continue;
		err = read_one(one, wall_s, &answer);
		if (!err) {
			*out = answer;
			return 0;
		}
	}
	return err;
}

int tls_ocsp_check(const struct tls_ocsp_subject *s, const void *response,
		   size_t size, int64_t wall_s, struct tls_ocsp_answer *out)
{
	const unsigned char *at = response;
	OCSP_BASICRESP *basic = NULL;
	OCSP_RESPONSE *r;
	int err = -EBADMSG;

	if (!size || size > TLS_OCSP_RESPONSE_MAX_BYTES)
		return -EBADMSG;
	ERR_clear_error();
	r = d2i_OCSP_RESPONSE(NULL, &at, (long)size);
	if (r && at == (const unsigned char *)response + size) {
		if (OCSP_response_status(r) != OCSP_RESPONSE_STATUS_SUCCESSFUL)
			err = -EAGAIN;
		else
			basic = OCSP_response_get1_basic(r);
	}
	if (basic)
		err = read_basic(s, basic, wall_s, out);
	OCSP_BASICRESP_free(basic);
	OCSP_RESPONSE_free(r);
	ERR_clear_error();
	return err;
}

/* ---- a request -------------------------------------------------------------
 */

int tls_ocsp_id(const struct tls_ocsp_subject *s,
		uint8_t out[TLS_OCSP_ID_BYTES])
{
	OCSP_CERTID *id = OCSP_cert_to_id(EVP_sha256(), s->cert, s->issuer);
	unsigned char *der = NULL;
	int size = id ? i2d_OCSP_CERTID(id, &der) : -1;
	int err = -ENOMEM;

	if (size > 0 &&
	    EVP_Digest(der, (size_t)size, out, NULL, EVP_sha256(), NULL) == 1)
		err = 0;
	OPENSSL_free(der);
	OCSP_CERTID_free(id);
	ERR_clear_error();
	return err;
}

/* Named by SHA-1, which is the one digest that every responder has; without a
 * nonce, which those that answer ahead of time do not repeat (RFC 5019). */
int tls_ocsp_request(const struct tls_ocsp_subject *s,
		     uint8_t out[TLS_OCSP_REQUEST_MAX_BYTES], size_t *size)
{
	OCSP_CERTID *id = OCSP_cert_to_id(EVP_sha1(), s->cert, s->issuer);
	OCSP_REQUEST *r = OCSP_REQUEST_new();
	unsigned char *at = out;
	int len, err = -ENOMEM;

	if (id && r && OCSP_request_add0_id(r, id)) {
		id = NULL; /* the request's */
		len = i2d_OCSP_REQUEST(r, NULL);
		err = len > TLS_OCSP_REQUEST_MAX_BYTES ? -EMSGSIZE : -ENOMEM;
		if (len > 0 && len <= TLS_OCSP_REQUEST_MAX_BYTES &&
		    i2d_OCSP_REQUEST(r, &at) == len) {
			*size = (size_t)len;
			err = 0;
		}
	}
	OCSP_CERTID_free(id);
	OCSP_REQUEST_free(r);
	ERR_clear_error();
	return err;
}

/* ---- a URL -----------------------------------------------------------------
 */

static const char alnum[] = "abcdefghijklmnopqrstuvwxyz"
			    "ABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789";

/* Of `len` bytes, all of them letters, digits or in `more`. */
static bool all_of(const char *text, size_t len, const char *more)
{
	for (size_t i = 0; i < len; i++)
		if (!text[i] ||
		    (!strchr(alnum, text[i]) && !strchr(more, text[i])))
			return false;
	return len > 0;
}

static bool copy(char *out, size_t size, const char *text, size_t len)
{
	if (len >= size)
		return false;
	memcpy(out, text, len);
	out[len] = '\0';
	return true;
}

static bool parse_port(const char *text, size_t len, uint16_t *out)
{
	unsigned port = 0;

	if (!len || len > 5)
		return false;
	for (size_t i = 0; i < len; i++) {
		if (text[i] < '0' || text[i] > '9')
			return false;
		port = 10 * port + (unsigned)(text[i] - '0');
	}
	*out = (uint16_t)port;
	return port && port <= UINT16_MAX;
}

/* How long the host is, with brackets; 0: it is none. */
static size_t parse_host(const char *text, size_t len, char *out)
{
	const char *end;
	struct addr a;
	size_t n;

	if (len && text[0] == '[') {
		end = memchr(text, ']', len);
		if (!end || !copy(out, TLS_OCSP_HOST_SIZE, text + 1,
				  (size_t)(end - text - 1)))
			return 0;
		return addr_parse_ip(&a, out, HTTP_PORT) || a.family != ADDR_V6
			       ? 0
			       : (size_t)(end + 1 - text);
	}
	end = memchr(text, ':', len);
	n = end ? (size_t)(end - text) : len;
	if (!all_of(text, n, "-.") || !copy(out, TLS_OCSP_HOST_SIZE, text, n))
		return 0;
	return n;
}

int tls_ocsp_url_parse(const char *text, size_t size, struct tls_ocsp_url *out)
{
	static const char scheme[] = "http://";
	const size_t head = sizeof(scheme) - 1;
	const char *end = text + size, *slash;
	size_t len, host;

	if (size <= head || strncasecmp(text, scheme, head))
		return -EINVAL;
	text += head;
	slash = memchr(text, '/', (size_t)(end - text));
	len = (size_t)((slash ? slash : end) - text);
	host = parse_host(text, len, out->host);
	if (!host)
		return -EINVAL;
	out->port = HTTP_PORT;
	if (host < len &&
	    (text[host] != ':' ||
	     !parse_port(text + host + 1, len - host - 1, &out->port)))
		return -EINVAL;
	if (!slash)
		return copy(out->path, sizeof(out->path), "/", 1) ? 0 : -EINVAL;
	len = (size_t)(end - slash);
	/* RFC 3986 3.3 and 3.4; a fragment is nothing that is sent */
	if (!all_of(slash, len, "/-._~!$&'()*+,;=:@%?") ||
	    !copy(out->path, sizeof(out->path), slash, len))
		return -EINVAL;
	return 0;
}

int tls_ocsp_url(const struct x509_st *cert, struct tls_ocsp_url *out)
{
	STACK_OF(OPENSSL_STRING) *urls = X509_get1_ocsp((X509 *)cert);
	int err = -ENOENT;

	for (int i = 0; err && i < sk_OPENSSL_STRING_num(urls); i++) {
		const char *text = sk_OPENSSL_STRING_value(urls, i);

		if (!tls_ocsp_url_parse(text, strlen(text), out))
			err = 0;
	}
	X509_email_free(urls);
	ERR_clear_error();
	return err;
}
