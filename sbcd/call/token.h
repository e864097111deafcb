/*
 * token - names that a second node derives alike: a keyed hash (SipHash-2-4)
 * of what identifies the caller's transaction gives the call's id, our tags,
 * the far leg's Call-ID and branch. A retransmitted INVITE that reaches the
 * new active therefore makes the same INVITE again, it does not ring twice.
 *
 * The key comes from the cluster's secret: nobody outside can guess a tag.
 *
 * Layer: call. Any thread, no state.
 */
#ifndef SBCD_CALL_TOKEN_H
#define SBCD_CALL_TOKEN_H

#include <stddef.h>
#include <stdint.h>

enum { TOKEN_KEY_SIZE = 16, TOKEN_TEXT_SIZE = 33 };

struct token_key {
	uint8_t bytes[TOKEN_KEY_SIZE];
};

/* From "<64 hex>"; what is no hex digit ends it. -EINVAL when shorter than
 * the key. */
int token_key_parse(struct token_key *out, const char *hex)
	__attribute__((warn_unused_result));

uint64_t token_hash(const struct token_key *key, const void *data, size_t size);

/* A transaction as it arrived, reduced to 128 bits. */
struct token_seed {
	uint64_t hi, lo;
};

/* Strings are separated, so "ab","c" differs from "a","bc". NULL counts as
 * empty. */
void token_seed(const struct token_key *key, struct token_seed *out,
		const char *const *parts, size_t len);
/* Hash of the seed under a label; never 0. */
uint64_t token_number(const struct token_key *key,
		      const struct token_seed *seed, const char *label);
/* 32 hex digits. Returns `out`. */
const char *token_text(const struct token_key *key,
		       const struct token_seed *seed, const char *label,
		       char out[TOKEN_TEXT_SIZE]);

#endif
