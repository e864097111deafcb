#include "sbcd/base/pool.h"

#include <stdbool.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>

enum {
	SLAB_BYTES = 64 * 1024, /* and their alignment */
	GRAIN_BYTES = 64,
	CLASSES = 32, /* larger objects come from the heap */
};

/* Poisoned memory is worth more than dense memory. */
#if defined(__has_feature) /* clang */
#if __has_feature(address_sanitizer) || __has_feature(thread_sanitizer)
#define SANITIZED
#endif
#endif
#if defined(SANITIZED) || defined(__SANITIZE_ADDRESS__) ||                     \
	defined(__SANITIZE_THREAD__)
enum { POOLED_MAX_BYTES = 0 };
#else
enum { POOLED_MAX_BYTES = GRAIN_BYTES * CLASSES };
#endif

struct object {
	struct object *next;
};

/* At the start of its slab. On its class' list while an object is free. */
struct slab {
	struct slab *prev, *next;
	struct object *free;
	uint32_t fresh; /* offset of the first byte never handed out */
	uint32_t used; /* objects handed out */
	uint32_t object_bytes;
	unsigned cls;
};

static struct {
	struct slab *first[CLASSES], *last[CLASSES];
	size_t slabs;
} pool;

static void list_append(struct slab *s)
{
	s->next = NULL;
	s->prev = pool.last[s->cls];
	if (s->prev)
		s->prev->next = s;
	else
		pool.first[s->cls] = s;
	pool.last[s->cls] = s;
}

static void list_remove(struct slab *s)
{
	if (s->prev)
		s->prev->next = s->next;
	else
		pool.first[s->cls] = s->next;
	if (s->next)
		s->next->prev = s->prev;
	else
		pool.last[s->cls] = s->prev;
}

static bool is_full(const struct slab *s)
{
	return !s->free && s->fresh + s->object_bytes > SLAB_BYTES;
}

static struct slab *slab_create(unsigned cls)
{
	uint8_t *p = mmap(NULL, 2 * SLAB_BYTES, PROT_READ | PROT_WRITE,
			  MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	struct slab *s;
	size_t before;

	if (p == MAP_FAILED)
		return NULL;
	before = (SLAB_BYTES - (uintptr_t)p % SLAB_BYTES) % SLAB_BYTES;
	if (before)
		munmap(p, before);
	munmap(p + before + SLAB_BYTES, SLAB_BYTES - before);
	s = (void *)(p + before);
	s->cls = cls;
	s->object_bytes = (cls + 1) * GRAIN_BYTES;
	s->fresh = (sizeof(*s) + GRAIN_BYTES - 1) / GRAIN_BYTES * GRAIN_BYTES;
	list_append(s);
	pool.slabs++;
	return s;
}

static void slab_destroy(struct slab *s)
{
	list_remove(s);
	munmap(s, SLAB_BYTES);
	pool.slabs--;
}

void *pool_alloc(size_t size)
{
	unsigned cls = size ? (unsigned)((size - 1) / GRAIN_BYTES) : 0;
	struct slab *s;
	void *p;

	if (size > POOLED_MAX_BYTES || !POOLED_MAX_BYTES)
		return calloc(1, size ? size : 1);
	/* The oldest first: the newest may empty. */
	s = pool.first[cls] ? pool.first[cls] : slab_create(cls);
	if (!s)
		return NULL;
	p = s->free;
	if (p) {
		s->free = s->free->next;
		memset(p, 0, s->object_bytes);
	} else {
		p = (uint8_t *)s + s->fresh;
		s->fresh += s->object_bytes;
	}
	s->used++;
	if (is_full(s))
		list_remove(s);
	return p;
}

void pool_free(void *p, size_t size)
{
	struct object *o = p;
	struct slab *s;

	if (!p)
		return;
	if (size > POOLED_MAX_BYTES || !POOLED_MAX_BYTES) {
		free(p);
		return;
	}
	s = (void *)((uintptr_t)p & ~(uintptr_t)(SLAB_BYTES - 1));
	if (is_full(s))
		list_append(s);
	o->next = s->free;
	s->free = o;
	/* One of a class is kept: the next call comes. */
	if (!--s->used && pool.first[s->cls] != pool.last[s->cls])
		slab_destroy(s);
}

size_t pool_slabs(void)
{
	return pool.slabs;
}
