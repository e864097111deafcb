/*
 * pool - memory for many small objects that live as long as a call.
 *
 * Among the short-lived allocations of a set-up (messages, transactions) such
 * objects would end up one a page, and hold every page of the burst. Here
 * objects of about one size share slabs of their own, and a slab goes back to
 * the system with its last object.
 *
 * Layer: base. One thread a process (in the SIP worker its su_root thread).
 */
#ifndef SBCD_BASE_POOL_H
#define SBCD_BASE_POOL_H

#include <stddef.h>

/* Zeroed; NULL when out of memory. */
void *pool_alloc(size_t size) __attribute__((warn_unused_result));
/* `size` as given to pool_alloc(); NULL is legal. */
void pool_free(void *p, size_t size);
/* Slabs held from the system. */
size_t pool_slabs(void);

#endif
