/*
 * v2hello - a TLS client that begins with an SSLv2-format ClientHello.
 *
 * One suite, RSA key exchange with AES128-SHA, in TLS 1.0 or 1.2: what no
 * library of today sends. Blocking; ends the program when anything is wrong.
 */
#ifndef TESTS_TOOLS_V2HELLO_H
#define TESTS_TOOLS_V2HELLO_H

#include <stddef.h>
#include <stdint.h>

#include <openssl/evp.h>

enum { V2_MAC = 20, V2_RECORD_MAX = 16384 + 2048, V2_TEXT_MAX = 16384 };

enum v2_type { V2_CCS = 20, V2_ALERT = 21, V2_HANDSHAKE = 22, V2_DATA = 23 };

/* One direction; `cipher` is NULL until it is encrypted. */
struct v2_way {
	EVP_CIPHER_CTX *cipher;
	uint8_t mac[V2_MAC];
	uint64_t seq;
};

struct v2_link {
	int fd;
	uint16_t version; /* 0x0301, 0x0303 */
	struct v2_way out, in;
};

_Noreturn void v2_fail(const char *format, ...)
	__attribute__((format(printf, 1, 2)));

/* ---- records (record.c) -------------------------------------------------- */

void v2_write_all(int fd, const void *data, size_t size);
void v2_record_send(struct v2_link *l, enum v2_type type, const void *data,
		    size_t size);
/* Into `data` of V2_RECORD_MAX bytes; the type, or -1: the peer has closed. */
int v2_record_receive(struct v2_link *l, uint8_t *data, size_t *size);
void v2_way_encrypt(struct v2_way *w, int encrypt, const uint8_t *mac,
		    const uint8_t *key, const uint8_t *iv);

/* ---- handshake (handshake.c) --------------------------------------------- */

/* Mutual, with the chain and key of these PEM files. */
void v2_handshake(struct v2_link *l, const char *chain, const char *key);

#endif
