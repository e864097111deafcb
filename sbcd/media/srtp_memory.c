#include "sbcd/media/srtp_memory.h"

#include <pthread.h>
#include <stdint.h>
#include <string.h>
#include <sys/mman.h>

enum {
	GRAIN_BYTES = 64,
	CLASSES = SRTP_MEMORY_MAX_BYTES / GRAIN_BYTES,
	CHUNK_BYTES = 64 * 1024,
};

struct object {
	struct object *next;
};

/* Chunks stay: their number follows the most calls there ever were. */
static struct {
	pthread_mutex_t lock;
	struct object *free[CLASSES];
	size_t used;
} memory = {.lock = PTHREAD_MUTEX_INITIALIZER};

static unsigned class_of(size_t size)
{
	return size ? (unsigned)((size - 1) / GRAIN_BYTES) : 0;
}

/* Cuts a chunk into objects of a class. */
static void refill(unsigned cls)
{
	size_t bytes = (size_t)(cls + 1) * GRAIN_BYTES;
	uint8_t *p = mmap(NULL, CHUNK_BYTES, PROT_READ | PROT_WRITE,
			  MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);

	if (p == MAP_FAILED)
		return;
	/* Keys do not go where a dump would show them. */
	if (madvise(p, CHUNK_BYTES, MADV_DONTDUMP)) {
		munmap(p, CHUNK_BYTES);
		return;
	}
	for (size_t at = 0; at + bytes <= CHUNK_BYTES; at += bytes) {
		struct object *o = (void *)(p + at);

		o->next = memory.free[cls];
		memory.free[cls] = o;
	}
}

void *msrtp_memory_alloc(size_t size)
{
	unsigned cls = class_of(size);
	struct object *o;

	if (size > SRTP_MEMORY_MAX_BYTES)
		return NULL;
	pthread_mutex_lock(&memory.lock);
	if (!memory.free[cls])
		refill(cls);
	o = memory.free[cls];
	if (o) {
		memory.free[cls] = o->next;
		o->next = NULL; /* the rest was wiped */
		memory.used++;
	}
	pthread_mutex_unlock(&memory.lock);
	return o;
}

void msrtp_memory_free(void *p, size_t size)
{
	unsigned cls = class_of(size);
	struct object *o = p;

	if (!p)
		return;
	explicit_bzero(p, (size_t)(cls + 1) * GRAIN_BYTES);
	pthread_mutex_lock(&memory.lock);
	o->next = memory.free[cls];
	memory.free[cls] = o;
	memory.used--;
	pthread_mutex_unlock(&memory.lock);
}

size_t msrtp_memory_used(void)
{
	size_t n;

	pthread_mutex_lock(&memory.lock);
	n = memory.used;
	pthread_mutex_unlock(&memory.lock);
	return n;
}
