/*
 * cert - the certificates of the TLS profiles: what there is, and requests
 * for new ones.
 *
 * A private key is written to its file, for its owner alone, and nowhere else:
 * neither output nor a message has anything of it.
 *
 * Layer: cli. Process sbcctl; reads and writes files.
 */
#ifndef SBCD_CLI_CERT_H
#define SBCD_CLI_CERT_H

#include <jansson.h>
#include <stdbool.h>
#include <stdint.h>
#include <sys/types.h>

struct config;

enum { CERT_NAMES_MAX = 32 };

struct cert_error {
	char text[512];
};

struct cert_request {
	const char *key_file;
	const char *const *names; /* of this host; the first one is its CN */
	unsigned names_len;
	bool keep_key; /* ask for the key that is there; else make one */
	bool ec; /* make one of P-256, else RSA with 2048 bits */
	bool give; /* a key that is made to this user: */
	uid_t uid;
	gid_t gid;
};

/*
 * A certificate signing request, as PEM; the caller frees it. A key that is
 * made is in its file, mode 0600, before this returns; a file that is there
 * already is never written to. -EINVAL (a name, a key), -EEXIST, -ENOMEM or
 * what the file system says, with `err`; then there is no new file.
 */
int cert_request_create(char **pem, const struct cert_request *r,
			struct cert_error *err)
	__attribute__((warn_unused_result));

/*
 * Every certificate and revocation list in the files of all profiles, as an
 * array of objects; `problems` of them cannot be used as they are. -ENOMEM.
 */
int cert_list(json_t **out, const struct config *c, int64_t wall_s,
	      unsigned *problems) __attribute__((warn_unused_result));

#endif
