#include "sbcd/base/counters.h"

#include <errno.h>
#include <fcntl.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

struct page {
	_Atomic uint64_t cells[COUNTER_COUNT];
	_Atomic uint64_t pulses[COUNTERS_THREADS_MAX];
	_Atomic int64_t clock_offset_ns; /* written by the keeper */
	_Atomic uint32_t busy;
	uint32_t busy_size; /* written before `busy` is set */
	uint8_t busy_what[COUNTERS_BUSY_SIZE];
};

struct counters {
	struct page *page;
};

#define NAME(name, help) #name,
static const char *const names[COUNTER_COUNT] = {COUNTERS_SIP(NAME)
							 COUNTERS_MEDIA(NAME)};
#define HELP(name, help) help,
static const char *const helps[COUNTER_COUNT] = {COUNTERS_SIP(HELP)
							 COUNTERS_MEDIA(HELP)};

int counters_map(struct counters **out, int fd)
{
	struct counters *c;
	struct stat st;
	int err;

	if (fstat(fd, &st) < 0)
		return -errno;
	if (st.st_size < (off_t)sizeof(struct page))
		return -EINVAL;
	c = calloc(1, sizeof(*c));
	if (!c)
		return -ENOMEM;
	c->page = mmap(NULL, sizeof(struct page), PROT_READ | PROT_WRITE,
		       MAP_SHARED, fd, 0);
	if (c->page == MAP_FAILED) {
		err = -errno;
		free(c);
		return err;
	}
	*out = c;
	return 0;
}

int counters_create(struct counters **out, int *fd_out)
{
	int fd, err;

	fd = memfd_create("sbcd-counters", MFD_CLOEXEC | MFD_ALLOW_SEALING);
	if (fd < 0)
		return -errno;
	/* A worker that shrank the file would kill the keeper by SIGBUS. */
	if (ftruncate(fd, sizeof(struct page)) < 0 ||
	    fcntl(fd, F_ADD_SEALS, F_SEAL_SHRINK | F_SEAL_GROW | F_SEAL_SEAL) <
		    0) {
		err = -errno;
		goto err_close;
	}
	err = counters_map(out, fd);
	if (err)
		goto err_close;
	*fd_out = fd;
	return 0;
err_close:
	close(fd);
	return err;
}

void counters_destroy(struct counters *c)
{
	if (!c)
		return;
	munmap(c->page, sizeof(*c->page));
	free(c);
}

void counters_add(struct counters *c, enum counter_id id, uint64_t n)
{
	if (c && (unsigned)id < COUNTER_COUNT)
		atomic_fetch_add_explicit(&c->page->cells[id], n,
					  memory_order_relaxed);
}

uint64_t counters_get(const struct counters *c, enum counter_id id)
{
	if (!c || (unsigned)id >= COUNTER_COUNT)
		return 0;
	return atomic_load_explicit(&c->page->cells[id], memory_order_relaxed);
}

void counters_pulse(struct counters *c, unsigned thread)
{
	if (c && thread < COUNTERS_THREADS_MAX)
		atomic_fetch_add_explicit(&c->page->pulses[thread], 1,
					  memory_order_relaxed);
}

uint64_t counters_pulses(const struct counters *c, unsigned thread)
{
	if (!c || thread >= COUNTERS_THREADS_MAX)
		return 0;
	return atomic_load_explicit(&c->page->pulses[thread],
				    memory_order_relaxed);
}

_Atomic int64_t *counters_clock(struct counters *c)
{
	return c ? &c->page->clock_offset_ns : NULL;
}

void counters_set_busy(struct counters *c, enum counters_busy kind,
		       const void *what, size_t size)
{
	if (!c)
		return;
	if (size > COUNTERS_BUSY_SIZE)
		size = COUNTERS_BUSY_SIZE;
	/* A crash between these lines reads as "nothing", never as a mix. */
	atomic_store_explicit(&c->page->busy, BUSY_NOTHING,
			      memory_order_release);
	if (kind == BUSY_NOTHING)
		return;
	atomic_signal_fence(memory_order_seq_cst);
	if (size)
		memcpy(c->page->busy_what, what, size);
	c->page->busy_size = (uint32_t)size;
	atomic_store_explicit(&c->page->busy, (uint32_t)kind,
			      memory_order_release);
}

enum counters_busy counters_get_busy(const struct counters *c, void *what,
				     size_t *size)
{
	uint32_t kind, n;

	*size = 0;
	if (!c)
		return BUSY_NOTHING;
	kind = atomic_load_explicit(&c->page->busy, memory_order_acquire);
	if (kind != BUSY_RECORD && kind != BUSY_INPUT)
		return BUSY_NOTHING;
	/* The other process is not trusted with our stack. */
	n = *(volatile const uint32_t *)&c->page->busy_size;
	if (n > COUNTERS_BUSY_SIZE)
		n = COUNTERS_BUSY_SIZE;
	memcpy(what, c->page->busy_what, n);
	*size = n;
	return (enum counters_busy)kind;
}

const char *counters_name(enum counter_id id)
{
	return (unsigned)id < COUNTER_COUNT ? names[id] : "unknown";
}

const char *counters_help(enum counter_id id)
{
	return (unsigned)id < COUNTER_COUNT ? helps[id] : "";
}
