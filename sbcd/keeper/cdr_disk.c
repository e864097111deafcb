#include "sbcd/keeper/cdr_disk.h"

#include <errno.h>
#include <poll.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>
#include "sbcd/base/clock.h"
#include "sbcd/keeper/disk.h"
#include "sbcd/record/record.h"

enum { QUEUE = 4, MB = 1024 * 1024, FORMATS = 2 };

struct cdr_disk {
	struct disk *disk;
	cdr_disk_done_fn *done;
	void *ctx;
	struct config_cdr config;
	char *directory;
	struct cdr_batch *batch; /* under way */
	bool opening;
	_Atomic uint64_t duplicates, torn_bytes;
	_Atomic int open_error;
	/* The thread's: */
	struct cdr_file *files[FORMATS]; /* JSON, CSV */
	struct rec_cdr records[CDR_BATCH_MAX];
};

/* ---- in the thread ------------------------------------------------------ */
static int open_format(struct cdr_disk *d, int csv)
{
	const struct cdr_file_params p = {
		.directory = d->directory,
		.csv = csv,
		.rotate_bytes = (uint64_t)d->config.rotate_mb * MB,
		.rotation = (enum cdr_rotation)d->config.rotate,
		.keep_files = d->config.keep_files,
		.sync = d->config.sync,
	};
	int err;

	if (d->files[csv] ||
	    !(d->config.format & (csv ? CDR_FORMAT_CSV : CDR_FORMAT_JSON)))
		return 0;
	err = cdr_file_open(&d->files[csv], &p);
	if (!err)
		d->torn_bytes += cdr_file_torn_bytes(d->files[csv]);
	return err;
}

static int open_files(void *arg)
{
	struct cdr_disk *d = arg;
	int err = 0;

	for (int csv = 0; csv < FORMATS && !err; csv++)
		err = open_format(d, csv);
	d->open_error = err;
	return err;
}

static int write_files(void *arg)
{
	struct cdr_disk *d = arg;
	const struct cdr_batch *b = d->batch;
	struct cdr_item items[CDR_BATCH_MAX];
	uint64_t duplicates = 0;
	size_t n = 0;
	int err = open_files(d);

	for (size_t i = 0; i < b->len && !err; i++) {
		/* What makes no sense would stay in the way for ever. */
		if (record_decode(REC_CDR, b->items[i].value, b->items[i].size,
				  &d->records[n]))
			continue;
		items[n].id = b->items[i].id;
		items[n].cdr = &d->records[n];
		n++;
	}
	/* A format that is through knows so when the other one fails. */
	for (int csv = 0; csv < FORMATS && !err; csv++)
		if (d->files[csv])
			err = cdr_file_append(d->files[csv], items, n,
					      clock_wall_ms(), &duplicates);
	d->duplicates += duplicates;
	return err;
}

/* ---- in the main thread ------------------------------------------------- */
static void on_opened(void *ctx, int err, uint64_t took_us)
{
	struct cdr_disk *d = ctx;

	d->opening = false;
}

static void on_written(void *ctx, int err, uint64_t took_us)
{
	struct cdr_disk *d = ctx;
	struct cdr_batch *b = d->batch;

	d->batch = NULL;
	d->done(d->ctx, b, err);
}

int cdr_disk_create(struct cdr_disk **out, const struct cdr_disk_params *p)
{
	struct cdr_disk *d = calloc(1, sizeof(*d));
	int err = -ENOMEM;

	if (!d)
		return -ENOMEM;
	d->config = *p->config;
	d->done = p->done;
	d->ctx = p->ctx;
	d->directory = strdup(p->directory);
	if (d->directory)
		err = disk_create(&d->disk, QUEUE);
	if (err)
		goto err_object;
	d->opening = true;
	err = disk_run(d->disk, open_files, d, on_opened, d);
	if (err)
		goto err_disk;
	*out = d;
	return 0;

err_disk:
	disk_destroy(d->disk, 0);
err_object:
	free(d->directory);
	free(d);
	return err;
}

void cdr_disk_destroy(struct cdr_disk *d, unsigned wait_ms)
{
	uint64_t until_ms;

	if (!d)
		return;
	until_ms = clock_mono_ms() + wait_ms;
	while (d->batch || d->opening) {
		uint64_t now_ms = clock_mono_ms();
		struct pollfd pfd = {.fd = disk_fd(d->disk), .events = POLLIN};

		if (now_ms >= until_ms)
			break;
		if (poll(&pfd, 1, (int)(until_ms - now_ms)) > 0)
			disk_dispatch(d->disk);
	}
	disk_destroy(d->disk, 0);
	/* A thread that hangs goes on using all this; the process ends. */
	if (d->batch || d->opening)
		return;
	for (int i = 0; i < FORMATS; i++)
		cdr_file_close(d->files[i]);
	free(d->directory);
	free(d);
}

int cdr_disk_fd(const struct cdr_disk *d)
{
	return disk_fd(d->disk);
}

void cdr_disk_dispatch(struct cdr_disk *d)
{
	disk_dispatch(d->disk);
}

int cdr_disk_write(struct cdr_disk *d, struct cdr_batch *batch)
{
	int err;

	if (d->batch)
		return -EBUSY;
	d->batch = batch;
	err = disk_run(d->disk, write_files, d, on_written, d);
	if (err)
		d->batch = NULL;
	return err;
}

uint64_t cdr_disk_stalled_ms(struct cdr_disk *d, uint64_t now_ms)
{
	return disk_stalled_ms(d->disk, now_ms);
}

void cdr_disk_get_stats(struct cdr_disk *d, struct cdr_disk_stats *out)
{
	*out = (struct cdr_disk_stats){
		.duplicates = d->duplicates,
		.torn_bytes = d->torn_bytes,
		.open_error = d->open_error,
	};
}
