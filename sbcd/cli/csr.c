/* cert, requests for new ones - see cert.h */
#include "sbcd/cli/cert.h"

#include <errno.h>
#include <fcntl.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <openssl/ec.h>
#include <openssl/err.h>
#include <openssl/pem.h>
#include <openssl/rsa.h>
#include <openssl/x509v3.h>

enum {
	RSA_BITS = 2048,
	NAME_MAX_CHARS = 253,
	LABEL_MAX_CHARS = 63,
	CN_MAX_CHARS = 64, /* RFC 5280, ub-common-name */
};

__attribute__((format(printf, 3, 4))) static int
refuse(struct cert_error *err, int code, const char *fmt, ...)
{
	va_list ap;

	va_start(ap, fmt);
	vsnprintf(err->text, sizeof(err->text), fmt, ap);
	va_end(ap);
	ERR_clear_error();
	return code;
}

static int refuse_ssl(struct cert_error *err, int code, const char *what)
{
	unsigned long e = ERR_peek_error();
	const char *why = ERR_SYSTEM_ERROR(e) ? strerror(ERR_GET_REASON(e))
					      : ERR_reason_error_string(e);

	return refuse(err, code, "%s: %s", what, why ? why : "unusable");
}

/* ---- names ----------------------------------------------------------------
 */

static bool is_label(const char *s, size_t len)
{
	if (!len || len > LABEL_MAX_CHARS || s[0] == '-' || s[len - 1] == '-')
		return false;
	for (size_t i = 0; i < len; i++)
		if (!(s[i] >= '0' && s[i] <= '9') &&
		    !(s[i] >= 'a' && s[i] <= 'z') &&
		    !(s[i] >= 'A' && s[i] <= 'Z') && s[i] != '-')
			return false;
	return true;
}

/* A whole host name; its first label may be a wildcard. */
static bool is_name(const char *name)
{
	const char *s = strncmp(name, "*.", 2) ? name : name + 2;
	bool letter = false;
	unsigned labels = 0;

	if (strlen(name) > NAME_MAX_CHARS)
		return false;
	for (;;) {
		size_t len = strcspn(s, ".");

		if (!is_label(s, len))
			return false;
		letter = strspn(s, "0123456789") < len;
		labels++;
		if (!s[len])
			break;
		s += len + 1;
	}
	/* the last label of an address is a number */
	return labels >= 2 && letter;
}

static int check_names(const struct cert_request *r, struct cert_error *err)
{
	if (!r->names_len || r->names_len > CERT_NAMES_MAX)
		return refuse(err, -EINVAL, "1 to %d names", CERT_NAMES_MAX);
	for (unsigned i = 0; i < r->names_len; i++)
		if (!is_name(r->names[i]))
			return refuse(err, -EINVAL,
				      "'%.64s' is no host name; write a whole "
				      "one, as peers know this pair",
				      r->names[i]);
	return 0;
}

/* ---- the key --------------------------------------------------------------
 */

/* Without it OpenSSL asks on the terminal. */
static int no_passphrase(char *buf, int size, int writing, void *arg)
{
	return -1;
}

static int read_key(EVP_PKEY **out, const char *file, struct cert_error *err)
{
	BIO *bio;

	ERR_clear_error();
	bio = BIO_new_file(file, "r");
	if (!bio)
		return refuse_ssl(err, -ENOENT, file);
	*out = PEM_read_bio_PrivateKey(bio, NULL, no_passphrase, NULL);
	BIO_free(bio);
	return *out ? 0 : refuse_ssl(err, -EINVAL, file);
}

static int write_all(int fd, const char *data, size_t size)
{
	while (size) {
		ssize_t n = write(fd, data, size);

		if (n < 0 && errno == EINTR)
			continue;
		if (n < 0)
			return -errno;
		data += n;
		size -= (size_t)n;
	}
	return 0;
}

static int fill_key_file(int fd, const struct cert_request *r, const char *data,
			 size_t size)
{
	int err;

	/* whatever umask says; its owner's before there is anything in it */
	if (fchmod(fd, S_IRUSR | S_IWUSR) ||
	    (r->give && fchown(fd, r->uid, r->gid)))
		return -errno;
	err = write_all(fd, data, size);
	return !err && fsync(fd) ? -errno : err;
}

static int write_key(EVP_PKEY *key, const struct cert_request *r,
		     struct cert_error *err)
{
	BIO *bio = BIO_new(BIO_s_secmem()); /* wiped when it is freed */
	char *data;
	long size;
	int fd, code;

	if (!bio || PEM_write_bio_PrivateKey(bio, key, NULL, NULL, 0, NULL,
					     NULL) != 1) {
		BIO_free(bio);
		return refuse_ssl(err, -ENOMEM, r->key_file);
	}
	size = BIO_get_mem_data(bio, &data);
	fd = open(r->key_file, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC,
		  S_IRUSR | S_IWUSR);
	if (fd < 0) {
		code = -errno;
		BIO_free(bio);
		return code == -EEXIST
			       ? refuse(err, code,
					"%s is there already: --keep-key asks "
					"for the key in it, --key FILE makes "
					"one elsewhere",
					r->key_file)
			       : refuse(err, code, "%s: %s", r->key_file,
					strerror(-code));
	}
	code = fill_key_file(fd, r, data, (size_t)size);
	if (close(fd) && !code)
		code = -errno;
	BIO_free(bio);
	if (!code)
		return 0;
	unlink(r->key_file);
	return refuse(err, code, "%s: %s", r->key_file, strerror(-code));
}

/* ---- the request ----------------------------------------------------------
 */

static int add_extension(STACK_OF(X509_EXTENSION) * all, int nid,
			 const char *value)
{
	X509_EXTENSION *e = X509V3_EXT_conf_nid(NULL, NULL, nid, value);

	if (!e)
		return -ENOMEM;
	if (!sk_X509_EXTENSION_push(all, e)) {
		X509_EXTENSION_free(e);
		return -ENOMEM;
	}
	return 0;
}

static int add_extensions(X509_REQ *req, const struct cert_request *r, bool rsa)
{
	STACK_OF(X509_EXTENSION) *all = sk_X509_EXTENSION_new_null();
	char names[CERT_NAMES_MAX * (NAME_MAX_CHARS + sizeof(",DNS:"))];
	size_t len = 0;
	int err = all ? 0 : -ENOMEM;

	for (unsigned i = 0; i < r->names_len; i++)
		len += (size_t)snprintf(names + len, sizeof(names) - len,
					"%sDNS:%s", i ? "," : "", r->names[i]);
	if (!err)
		err = add_extension(all, NID_subject_alt_name, names);
	if (!err)
		err = add_extension(all, NID_key_usage,
				    rsa ? "critical,digitalSignature,"
					  "keyEncipherment"
					: "critical,digitalSignature");
	/* with mutual TLS the pair is both */
	if (!err)
		err = add_extension(all, NID_ext_key_usage,
				    "serverAuth,clientAuth");
	if (!err && X509_REQ_add_extensions(req, all) != 1)
		err = -ENOMEM;
	sk_X509_EXTENSION_pop_free(all, X509_EXTENSION_free);
	return err;
}

static int fill(X509_REQ *req, EVP_PKEY *key, const struct cert_request *r)
{
	const unsigned char *cn = (const unsigned char *)r->names[0];
	int err;

	if (X509_REQ_set_version(req, X509_REQ_VERSION_1) != 1 ||
	    X509_REQ_set_pubkey(req, key) != 1)
		return -ENOMEM;
	if (strlen(r->names[0]) <= CN_MAX_CHARS &&
	    X509_NAME_add_entry_by_txt(X509_REQ_get_subject_name(req), "CN",
				       MBSTRING_ASC, cn, -1, -1, 0) != 1)
		return -ENOMEM;
	err = add_extensions(req, r, EVP_PKEY_is_a(key, "RSA"));
	if (err)
		return err;
	return X509_REQ_sign(req, key, EVP_sha256()) > 0 ? 0 : -EINVAL;
}

static int make_request(char **pem, EVP_PKEY *key, const struct cert_request *r,
			struct cert_error *err)
{
	X509_REQ *req = X509_REQ_new();
	BIO *bio = BIO_new(BIO_s_mem());
	int code = req && bio ? fill(req, key, r) : -ENOMEM;
	char *data, *text;
	long size;

	if (!code && PEM_write_bio_X509_REQ(bio, req) != 1)
		code = -ENOMEM;
	if (code)
		code = refuse_ssl(err, code, "request");
	if (!code) {
		size = BIO_get_mem_data(bio, &data);
		text = strndup(data, (size_t)size);
		if (text)
			*pem = text;
		else
			code = refuse(err, -ENOMEM, "out of memory");
	}
	BIO_free(bio);
	X509_REQ_free(req);
	return code;
}

static int with_key(char **pem, const struct cert_request *r,
		    struct cert_error *err)
{
	EVP_PKEY *key = NULL;
	char *text = NULL;
	int code = 0;

	if (r->keep_key)
		code = read_key(&key, r->key_file, err);
	else
		key = r->ec ? EVP_EC_gen("P-256") : EVP_RSA_gen(RSA_BITS);
	if (!code && !key)
		code = refuse_ssl(err, -ENOMEM, "key");
	if (!code)
		code = make_request(&text, key, r, err);
	if (!code && !r->keep_key)
		code = write_key(key, r, err);
	EVP_PKEY_free(key);
	if (code)
		free(text);
	else
		*pem = text;
	return code;
}

int cert_request_create(char **pem, const struct cert_request *r,
			struct cert_error *err)
{
	int code = check_names(r, err);

	if (code)
		return code;
	/* no core while there is a key in memory */
	if (prctl(PR_SET_DUMPABLE, 0, 0, 0, 0))
		return refuse(err, -errno, "prctl: %s", strerror(errno));
	code = with_key(pem, r, err);
	/* cannot fail: see prctl(2) */
	(void)prctl(PR_SET_DUMPABLE, 1, 0, 0, 0);
	return code;
}
