/* cert, what there is - see cert.h */
#include "sbcd/cli/cert.h"

#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <time.h>

#include <openssl/err.h>
#include <openssl/pem.h>
#include <openssl/x509v3.h>

#include "sbcd/config/config.h"
#include "sbcd/config/tls.h"

enum {
	TEXT_SIZE = 256,
	NAMES_SHOWN_MAX = 64,
	PRINT_SIZE = 8, /* bytes shown of a fingerprint */
	SOON_S = 30 * 24 * 3600,
	DAY_S = 24 * 3600,
};

struct list {
	json_t *rows;
	int64_t wall_s;
	unsigned problems;
};

/* One file of a profile. */
struct source {
	const char *profile, *kind, *file;
	const char *key_file; /* NULL: it has none */
};

/* Without it OpenSSL asks on the terminal. */
static int no_passphrase(char *buf, int size, int writing, void *arg)
{
	return -1;
}

/* What a certificate says may be anything. */
static json_t *printable(const unsigned char *data, int size)
{
	char text[TEXT_SIZE];
	int n = 0;

	for (; n < size && n < TEXT_SIZE - 1; n++)
		text[n] =
			data[n] > 0x20 && data[n] < 0x7f ? (char)data[n] : '?';
	text[n] = '\0';
	return json_string(text);
}

static json_t *name_json(const X509_NAME *name)
{
	BIO *bio = BIO_new(BIO_s_mem());
	char *data = NULL, text[TEXT_SIZE];
	long size;

	if (!bio)
		return NULL;
	/* RFC 2253 leaves ASCII alone */
	if (X509_NAME_print_ex(bio, name, 0, XN_FLAG_RFC2253) < 0) {
		BIO_free(bio);
		return json_string("?");
	}
	size = BIO_get_mem_data(bio, &data);
	if (size > TEXT_SIZE - 1)
		size = TEXT_SIZE - 1;
	memcpy(text, size ? data : "", (size_t)size);
	text[size] = '\0';
	BIO_free(bio);
	return json_string(text);
}

/* DNS names and URIs: by these a host is known. */
static json_t *names_json(const X509 *x)
{
	json_t *out = json_array();
	GENERAL_NAMES *names =
		X509_get_ext_d2i(x, NID_subject_alt_name, NULL, NULL);

	for (int i = 0; i < sk_GENERAL_NAME_num(names); i++) {
		const GENERAL_NAME *g = sk_GENERAL_NAME_value(names, i);

		if ((g->type != GEN_DNS && g->type != GEN_URI) ||
		    json_array_size(out) == NAMES_SHOWN_MAX)
			continue;
		json_array_append_new(out,
				      printable(ASN1_STRING_get0_data(g->d.ia5),
						ASN1_STRING_length(g->d.ia5)));
	}
	GENERAL_NAMES_free(names);
	ERR_clear_error();
	return out;
}

static json_t *fingerprint_json(const X509 *x)
{
	unsigned char print[EVP_MAX_MD_SIZE];
	char text[2 * PRINT_SIZE + 1] = "";
	unsigned size;

	if (X509_digest(x, EVP_sha256(), print, &size) != 1)
		return NULL;
	for (unsigned i = 0; i < PRINT_SIZE; i++)
		snprintf(text + 2 * i, 3, "%02x", print[i]);
	return json_string(text);
}

static const char *ssl_reason(void)
{
	unsigned long e = ERR_peek_error();
	const char *why = ERR_SYSTEM_ERROR(e) ? strerror(ERR_GET_REASON(e))
					      : ERR_reason_error_string(e);

	return why ? why : "unusable";
}

/* ---- what may be wrong ----------------------------------------------------
 */

__attribute__((format(printf, 3, 4))) static void
add_problem(char *text, bool *broken, const char *fmt, ...)
{
	size_t len = strlen(text);
	va_list ap;

	if (len && len < TEXT_SIZE - 2) {
		strcpy(text + len, "; ");
		len += 2;
	}
	va_start(ap, fmt);
	vsnprintf(text + len, TEXT_SIZE - len, fmt, ap);
	va_end(ap);
	*broken = true;
}

static bool wall_of(const ASN1_TIME *t, int64_t *wall_s)
{
	struct tm tm;

	if (ASN1_TIME_to_tm(t, &tm) != 1)
		return false;
	*wall_s = (int64_t)timegm(&tm);
	return true;
}

static void check_dates(const struct list *l, const X509 *x, json_t *row,
			char *text, bool *broken)
{
	bool warned = false;
	int64_t from, to;

	if (!wall_of(X509_get0_notBefore(x), &from) ||
	    !wall_of(X509_get0_notAfter(x), &to)) {
		add_problem(text, broken, "a date that is none");
		json_object_set_new(row, "expires-ms", json_null());
		return;
	}
	json_object_set_new(row, "expires-ms", json_integer(to * 1000));
	if (to <= l->wall_s)
		add_problem(text, broken, "expired");
	else if (from > l->wall_s)
		add_problem(text, broken, "not yet valid");
	else if (to - l->wall_s < SOON_S)
		add_problem(text, &warned, "expires in %d days",
			    (int)((to - l->wall_s) / DAY_S));
}

/* "-" where there is none to look at. */
static const char *check_key(const X509 *x, const char *file, char *text,
			     bool *broken)
{
	const char *verdict = "unreadable";
	EVP_PKEY *key = NULL;
	struct stat st;
	BIO *bio;

	if (!file)
		return "-";
	ERR_clear_error();
	bio = BIO_new_file(file, "r");
	if (bio)
		key = PEM_read_bio_PrivateKey(bio, NULL, no_passphrase, NULL);
	if (!key) {
		add_problem(text, broken, "private key %s: %s", file,
			    ssl_reason());
	} else if (x && X509_check_private_key(x, key) != 1) {
		verdict = "differs";
		add_problem(text, broken, "private key %s is another one's",
			    file);
	} else {
		verdict = x ? "matches" : "there";
	}
	if (key && !stat(file, &st) && st.st_mode & S_IRWXO)
		add_problem(text, broken, "private key %s is open to everybody",
			    file);
	EVP_PKEY_free(key);
	BIO_free(bio);
	ERR_clear_error();
	return verdict;
}

/* ---- rows -----------------------------------------------------------------
 */

/* `x` may be NULL: `why` there is none. */
static int add_row(struct list *l, const struct source *s, const X509 *x,
		   const char *why)
{
	json_t *row =
		json_pack("{s:s,s:s}", "profile", s->profile, "kind", s->kind);
	char text[TEXT_SIZE] = "";
	bool broken = false;

	if (!row)
		return -ENOMEM;
	if (x) {
		json_object_set_new(row, "subject",
				    name_json(X509_get_subject_name(x)));
		json_object_set_new(row, "names", names_json(x));
		json_object_set_new(row, "issuer",
				    name_json(X509_get_issuer_name(x)));
		check_dates(l, x, row, text, &broken);
	} else {
		add_problem(text, &broken, "%s", why);
	}
	json_object_set_new(
		row, "key",
		json_string(check_key(x, s->key_file, text, &broken)));
	if (x)
		json_object_set_new(row, "fingerprint", fingerprint_json(x));
	json_object_set_new(row, "file", json_string(s->file));
	json_object_set_new(row, "problem", json_string(text));
	l->problems += broken;
	return json_array_append_new(l->rows, row) ? -ENOMEM : 0;
}

/* At the end of a PEM file nothing begins; anything else is a broken file. */
static bool at_end(void)
{
	unsigned long e = ERR_peek_last_error();

	return ERR_GET_LIB(e) == ERR_LIB_PEM &&
	       ERR_GET_REASON(e) == PEM_R_NO_START_LINE;
}

static int list_file(struct list *l, struct source s)
{
	unsigned count = 0;
	int err = 0;
	BIO *bio;
	X509 *x;

	ERR_clear_error();
	bio = BIO_new_file(s.file, "r");
	if (!bio) {
		err = add_row(l, &s, NULL, ssl_reason());
		ERR_clear_error();
		return err;
	}
	while (!err &&
	       (x = PEM_read_bio_X509(bio, NULL, no_passphrase, NULL))) {
		err = add_row(l, &s, x, NULL);
		X509_free(x);
		count++;
		/* behind ours stands what leads to the root */
		if (s.key_file)
			s.kind = "chain";
		s.key_file = NULL;
	}
	if (!err && (!count || !at_end()))
		err = add_row(l, &s, NULL,
			      at_end() ? "no certificate in it" : ssl_reason());
	ERR_clear_error();
	BIO_free(bio);
	return err;
}

/* One that is out of date revokes them all. */
static int add_crl(struct list *l, const struct source *s, const X509_CRL *crl)
{
	const ASN1_TIME *next = X509_CRL_get0_nextUpdate(crl);
	const char *problem = "";
	json_t *row, *expires = json_null();
	int64_t at;

	if (next && !wall_of(next, &at)) {
		problem = "a date that is none";
	} else if (next) {
		expires = json_integer(at * 1000);
		if (at <= l->wall_s)
			problem = "expired";
	}
	row = json_pack("{s:s,s:s,s:o,s:o,s:s,s:s}", "profile", s->profile,
			"kind", s->kind, "issuer",
			name_json(X509_CRL_get_issuer(crl)), "expires-ms",
			expires, "file", s->file, "problem", problem);
	l->problems += problem[0] != '\0';
	return row && !json_array_append_new(l->rows, row) ? 0 : -ENOMEM;
}

static int list_crls(struct list *l, const struct source *s)
{
	unsigned count = 0;
	X509_CRL *crl;
	int err = 0;
	BIO *bio;

	ERR_clear_error();
	bio = BIO_new_file(s->file, "r");
	while (!err && bio &&
	       (crl = PEM_read_bio_X509_CRL(bio, NULL, no_passphrase, NULL))) {
		err = add_crl(l, s, crl);
		X509_CRL_free(crl);
		count++;
	}
	if (!err && (!bio || !count || !at_end()))
		err = add_row(l, s, NULL,
			      bio && at_end() ? "no revocation list in it"
					      : ssl_reason());
	ERR_clear_error();
	BIO_free(bio);
	return err;
}

static int list_profile(struct list *l, const struct config_tls_profile *p)
{
	struct source s = {
		.profile = p->name,
		.kind = "own",
		.file = p->certificate,
		.key_file = p->key,
	};
	int err = list_file(l, s);

	s.kind = "trusted";
	s.key_file = NULL;
	for (size_t i = 0; !err && i < p->trusted_len; i++) {
		s.file = p->trusted[i];
		err = list_file(l, s);
	}
	s.kind = "crl";
	for (size_t i = 0; !err && i < p->crls_len; i++) {
		s.file = p->crls[i];
		err = list_crls(l, &s);
	}
	return err;
}

int cert_list(json_t **out, const struct config *c, int64_t wall_s,
	      unsigned *problems)
{
	struct list l = {.rows = json_array(), .wall_s = wall_s};
	int err = l.rows ? 0 : -ENOMEM;

	for (size_t i = 0; !err && i < c->tls->profiles_len; i++)
		err = list_profile(&l, &c->tls->profiles[i]);
	if (err) {
		json_decref(l.rows);
		return err;
	}
	*out = l.rows;
	*problems = l.problems;
	return 0;
}
