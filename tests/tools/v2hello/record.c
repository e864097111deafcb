/* Records of TLS 1.0 and 1.2 with AES128-SHA; RFC 2246, RFC 5246 section 6. */
#include <errno.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include <openssl/crypto.h>
#include <openssl/hmac.h>
#include <openssl/rand.h>

#include "tests/tools/v2hello/v2hello.h"

enum { HEADER = 5, BLOCK = 16, MAC_HEADER = 13 };

void v2_write_all(int fd, const void *data, size_t size)
{
	const uint8_t *at = data;

	while (size) {
		ssize_t n = send(fd, at, size, MSG_NOSIGNAL);

		if (n < 0 && errno == EINTR)
			continue;
		if (n <= 0)
			v2_fail("write: %s", strerror(errno));
		at += n;
		size -= (size_t)n;
	}
}

/* 0: closed before the first byte. */
static size_t read_all(int fd, uint8_t *data, size_t size)
{
	size_t have = 0;

	while (have < size) {
		ssize_t n = read(fd, data + have, size - have);

		if (n < 0 && errno == EINTR)
			continue;
		if (n < 0)
			v2_fail("read: %s", strerror(errno));
		if (!n && have)
			v2_fail("closed in the middle of a record");
		if (!n)
			return 0;
		have += (size_t)n;
	}
	return have;
}

static void mac_of(const struct v2_link *l, struct v2_way *w, enum v2_type type,
		   const uint8_t *data, size_t size, uint8_t *mac)
{
	uint8_t text[MAC_HEADER + V2_RECORD_MAX];

	for (int i = 0; i < 8; i++)
		text[i] = (uint8_t)(w->seq >> (56 - 8 * i));
	text[8] = (uint8_t)type;
	text[9] = (uint8_t)(l->version >> 8);
	text[10] = (uint8_t)l->version;
	text[11] = (uint8_t)(size >> 8);
	text[12] = (uint8_t)size;
	memcpy(text + MAC_HEADER, data, size);
	w->seq++;
	HMAC(EVP_sha1(), w->mac, V2_MAC, text, MAC_HEADER + size, mac, NULL);
}

void v2_way_encrypt(struct v2_way *w, int encrypt, const uint8_t *mac,
		    const uint8_t *key, const uint8_t *iv)
{
	memcpy(w->mac, mac, V2_MAC);
	w->seq = 0;
	w->cipher = EVP_CIPHER_CTX_new();
	if (!w->cipher || !EVP_CipherInit_ex(w->cipher, EVP_aes_128_cbc(), NULL,
					     key, iv, encrypt))
		v2_fail("no AES");
	EVP_CIPHER_CTX_set_padding(w->cipher, 0);
}

/*
 * Blocks are chained from record to record, as TLS 1.0 has it. TLS 1.2 begins
 * each record with a block that is only there to be chained from: random when
 * we send, thrown away when we receive.
 */
static size_t own_iv(const struct v2_link *l)
{
	return l->version >= 0x0302 ? BLOCK : 0;
}

static size_t seal(struct v2_link *l, enum v2_type type, const void *data,
		   size_t size, uint8_t *to)
{
	uint8_t text[V2_RECORD_MAX];
	size_t iv = own_iv(l), len = iv + size + V2_MAC, pad;
	int done = 0;

	if (RAND_bytes(text, BLOCK) != 1)
		v2_fail("no random bytes");
	memcpy(text + iv, data, size);
	mac_of(l, &l->out, type, data, size, text + iv + size);
	pad = BLOCK - len % BLOCK;
	memset(text + len, (int)pad - 1, pad);
	len += pad;
	if (!EVP_CipherUpdate(l->out.cipher, to, &done, text, (int)len) ||
	    (size_t)done != len)
		v2_fail("AES");
	return len;
}

void v2_record_send(struct v2_link *l, enum v2_type type, const void *data,
		    size_t size)
{
	uint8_t out[HEADER + V2_RECORD_MAX];
	size_t len = size;

	if (size > V2_TEXT_MAX)
		v2_fail("%zu bytes do not fit into a record", size);
	if (l->out.cipher)
		len = seal(l, type, data, size, out + HEADER);
	else
		memcpy(out + HEADER, data, size);
	out[0] = (uint8_t)type;
	out[1] = (uint8_t)(l->version >> 8);
	out[2] = (uint8_t)l->version;
	out[3] = (uint8_t)(len >> 8);
	out[4] = (uint8_t)len;
	v2_write_all(l->fd, out, HEADER + len);
}

static size_t unseal(struct v2_link *l, enum v2_type type, const uint8_t *from,
		     size_t size, uint8_t *data)
{
	uint8_t text[V2_RECORD_MAX], mac[V2_MAC];
	size_t iv = own_iv(l), pad;
	int done = 0;

	if (size % BLOCK || size < iv + 2 * BLOCK)
		v2_fail("a record of %zu bytes", size);
	if (!EVP_CipherUpdate(l->in.cipher, text, &done, from, (int)size) ||
	    (size_t)done != size)
		v2_fail("AES");
	pad = text[size - 1] + 1u;
	if (size < iv + V2_MAC + pad)
		v2_fail("wrong padding");
	size -= iv + V2_MAC + pad;
	mac_of(l, &l->in, type, text + iv, size, mac);
	if (CRYPTO_memcmp(mac, text + iv + size, V2_MAC))
		v2_fail("wrong MAC");
	memcpy(data, text + iv, size);
	return size;
}

int v2_record_receive(struct v2_link *l, uint8_t *data, size_t *size)
{
	uint8_t header[HEADER], body[V2_RECORD_MAX];
	size_t len;

	if (!read_all(l->fd, header, HEADER))
		return -1;
	len = (size_t)header[3] << 8 | header[4];
	if (header[1] != 3 || len > sizeof(body) || !len)
		v2_fail("not a record of TLS");
	if (!read_all(l->fd, body, len))
		v2_fail("closed in the middle of a record");
	if (l->in.cipher) {
		*size = unseal(l, header[0], body, len, data);
	} else {
		memcpy(data, body, len);
		*size = len;
	}
	return header[0];
}
