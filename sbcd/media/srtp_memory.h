/*
 * srtp_memory - where keys live: pages that are in no core dump
 * (MADV_DONTDUMP), zeroed when they are handed out and wiped when they come
 * back.
 *
 * Layer: media. Any thread.
 */
#ifndef SBCD_MEDIA_SRTP_MEMORY_H
#define SBCD_MEDIA_SRTP_MEMORY_H

#include <stddef.h>

enum { SRTP_MEMORY_MAX_BYTES = 8192 };

/* Zeroed, aligned to 64 bytes; NULL when out of memory or too large. */
void *msrtp_memory_alloc(size_t size) __attribute__((warn_unused_result));
/* `size` as given to msrtp_memory_alloc(); NULL is legal. */
void msrtp_memory_free(void *p, size_t size);
/* Objects handed out and not given back. */
size_t msrtp_memory_used(void);

#endif
