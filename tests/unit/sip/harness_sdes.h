/*
 * Keys for tests: without luck, and no two the same.
 */
#ifndef TEST_SIP_HARNESS_SDES_H
#define TEST_SIP_HARNESS_SDES_H

#include <errno.h>
#include <stdint.h>
#include <string.h>

#include "sbcd/sip/sdes_media.h"

/* As sdes_side.random; -EIO when there is a context. */
static inline int counted(void *ctx, uint8_t *out, size_t size)
{
	static uint64_t counter;

	if (ctx)
		return -EIO;
	for (size_t i = 0; i < size; i++)
		out[i] = (uint8_t)(i % SDES_KEY_SIZE_MAX);
	for (size_t at = 0; at + SDES_KEY_SIZE_MAX <= size;
	     at += SDES_KEY_SIZE_MAX) {
		counter++;
		memcpy(out + at, &counter, sizeof(counter));
	}
	return 0;
}

#endif
