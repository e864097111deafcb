#include "sbcd/keeper/cdr_file.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>
#include "sbcd/base/buf.h"
#include "sbcd/keeper/cdr_format.h"

enum {
	SLOTS = 2 * CDR_LEDGER_IDS, /* power of two */
	BATCH_MAX_BYTES = CDR_BATCH_MAX * CDR_LINE_MAX_BYTES,
	/* What of old files is read for ids: enough lines for the ledger. */
	READ_BACK_BYTES = 64 * 1024 * 1024,
	CHUNK_BYTES = 1024 * 1024,
	NAME_TRIES = 1000,
	HOUR_S = 3600,
	DAY_S = 86400,
};

/* Ids by open addressing; 0 = free slot: that id is not remembered. */
struct id_set {
	uint64_t *slots;
	size_t len;
};

struct cdr_file {
	struct cdr_file_params p;
	char path[PATH_MAX];
	int fd; /* -1: to be opened */
	uint64_t size, head_size; /* of what is whole; of it, no lines */
	uint64_t period; /* of its first line; by rotation */
	uint64_t torn_bytes;
	/* The older generation goes when the newer is full. */
	struct id_set newer, older;
	struct buf batch;
};

/* ---- which ids are in the files ----------------------------------------- */
static size_t slot_of(uint64_t id)
{
	return (size_t)((id * UINT64_C(0x9e3779b97f4a7c15)) >> 40) &
	       (SLOTS - 1);
}

static bool set_has(const struct id_set *s, uint64_t id)
{
	for (size_t i = slot_of(id); s->slots[i]; i = (i + 1) & (SLOTS - 1))
		if (s->slots[i] == id)
			return true;
	return false;
}

static bool is_written(const struct cdr_file *f, uint64_t id)
{
	return set_has(&f->newer, id) || set_has(&f->older, id);
}

static void note_written(struct cdr_file *f, uint64_t id)
{
	struct id_set swap = f->older;
	size_t i = slot_of(id);

	if (!id || set_has(&f->newer, id))
		return;
	if (f->newer.len == CDR_LEDGER_IDS) {
		f->older = f->newer;
		f->newer = swap;
		memset(f->newer.slots, 0, SLOTS * sizeof(uint64_t));
		f->newer.len = 0;
	}
	while (f->newer.slots[i])
		i = (i + 1) & (SLOTS - 1);
	f->newer.slots[i] = id;
	f->newer.len++;
}

/* Lines that begin at `from` or later; returns the end of the last whole one,
 * -errno. */
static off_t read_back(struct cdr_file *f, int fd, off_t from)
{
	char *chunk = malloc(CHUNK_BYTES);
	off_t at = from, whole = from;
	size_t have = 0;
	ssize_t n;
	uint64_t id;

	if (!chunk)
		return -ENOMEM;
	while ((n = pread(fd, chunk + have, CHUNK_BYTES - have, at)) > 0) {
		char *line = chunk, *end;

		at += n;
		have += (size_t)n;
		while ((end = memchr(line, '\n',
				     have - (size_t)(line - chunk)))) {
			if (cdr_line_id(line, (size_t)(end - line), &id))
				note_written(f, id);
			line = end + 1;
		}
		have -= (size_t)(line - chunk);
		memmove(chunk, line, have);
		whole = at - (off_t)have;
		/* No line of ours is so long. */
		if (have == CHUNK_BYTES)
			have = 0;
	}
	if (n < 0)
		whole = -errno;
	free(chunk);
	return whole;
}

/* ---- names -------------------------------------------------------------- */
static const char *suffix(const struct cdr_file *f)
{
	return f->p.csv ? "csv" : "jsonl";
}

/* "cdr-….jsonl" but not "cdr.jsonl". */
static bool is_rotated(const struct cdr_file *f, const char *name)
{
	size_t len = strlen(name), end = strlen(suffix(f));

	return len > end + 5 && !strncmp(name, "cdr-", 4) &&
	       name[len - end - 1] == '.' &&
	       !strcmp(name + len - end, suffix(f));
}

static void join(const struct cdr_file *f, const char *name, char *out,
		 size_t size)
{
	snprintf(out, size, "%.3800s/%.255s", f->p.directory, name);
}

/* Rotated files, oldest first: their names say when. */
static int list_rotated(const struct cdr_file *f, struct dirent ***list)
{
	struct dirent **all;
	int n = scandir(f->p.directory, &all, NULL, alphasort), kept = 0;

	if (n < 0)
		return -errno;
	for (int i = 0; i < n; i++) {
		if (is_rotated(f, all[i]->d_name))
			all[kept++] = all[i];
		else
			free(all[i]);
	}
	*list = all;
	return kept;
}

static void free_list(struct dirent **list, int n)
{
	for (int i = 0; i < n; i++)
		free(list[i]);
	free(list);
}

static int sync_directory(const struct cdr_file *f)
{
	int fd = open(f->p.directory, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	int err = 0;

	if (fd < 0)
		return -errno;
	if (f->p.sync && fsync(fd))
		err = -errno;
	close(fd);
	return err;
}

/* ---- opening ------------------------------------------------------------ */
static uint64_t period_of(const struct cdr_file *f, uint64_t seconds)
{
	switch (f->p.rotation) {
	case CDR_ROTATE_HOURLY:
		return seconds / HOUR_S;
	case CDR_ROTATE_DAILY:
		return seconds / DAY_S;
	case CDR_ROTATE_NEVER:
		break;
	}
	return 0;
}

static int write_all(int fd, const uint8_t *data, size_t size, off_t at)
{
	while (size) {
		ssize_t n = pwrite(fd, data, size, at);

		if (n < 0 && errno != EINTR)
			return -errno;
		if (n > 0) {
			data += n;
			size -= (size_t)n;
			at += n;
		}
	}
	return 0;
}

/* A new CSV file begins with the names of its columns. */
static int write_head(struct cdr_file *f, int fd)
{
	struct buf head;
	int err;

	buf_init(&head, CDR_LINE_MAX_BYTES);
	cdr_format_csv_head(&head);
	err = head.failed ? -ENOMEM : 0;
	f->head_size = head.size;
	if (!err && !f->size) {
		err = write_all(fd, head.data, head.size, 0);
		if (!err)
			f->size = head.size;
		else if (ftruncate(fd, 0))
			err = -errno;
	}
	buf_finish(&head);
	return err;
}

/* What a crash has cut off is no line: it goes, and is written again. */
static int repair(struct cdr_file *f, int fd, off_t size)
{
	off_t from = size > READ_BACK_BYTES ? size - READ_BACK_BYTES : 0;
	off_t whole = read_back(f, fd, from);

	if (whole < 0)
		return (int)whole;
	if (whole < size) {
		if (ftruncate(fd, whole))
			return -errno;
		f->torn_bytes += (uint64_t)(size - whole);
	}
	f->size = (uint64_t)whole;
	return 0;
}

static int open_current(struct cdr_file *f)
{
	struct stat st;
	int fd, err = 0;

	if (mkdir(f->p.directory, 0750) && errno != EEXIST)
		return -errno;
	fd = open(f->path, O_RDWR | O_CREAT | O_CLOEXEC | O_NOFOLLOW, 0640);
	if (fd < 0)
		return -errno;
	f->size = 0;
	if (fstat(fd, &st))
		err = -errno;
	else if (!S_ISREG(st.st_mode))
		err = -EINVAL;
	else if (st.st_size)
		err = repair(f, fd, st.st_size);
	if (!err && f->p.csv)
		err = write_head(f, fd);
	if (!err)
		err = sync_directory(f);
	if (err) {
		close(fd);
		return err;
	}
	f->period = period_of(f, (uint64_t)st.st_mtime);
	f->fd = fd;
	return 0;
}

/* The last bytes of a closed file, `left` at most; or only how many. */
static off_t read_closed(struct cdr_file *f, const char *name, off_t left,
			 bool dry)
{
	char path[PATH_MAX];
	struct stat st;
	off_t size = 0;
	int fd;

	join(f, name, path, sizeof(path));
	fd = open(path, O_RDONLY | O_CLOEXEC | O_NOFOLLOW);
	if (fd < 0)
		return 0;
	if (!fstat(fd, &st) && S_ISREG(st.st_mode))
		size = st.st_size < left ? st.st_size : left;
	if (size && !dry && read_back(f, fd, st.st_size - size) < 0)
		size = -EIO;
	close(fd);
	return size;
}

/*
 * The ledger reaches back into closed files, as many as it takes: a clock that
 * was set makes small ones, and their names say another order.
 */
static int read_rotated(struct cdr_file *f)
{
	off_t left = READ_BACK_BYTES, size;
	struct dirent **list;
	int n = list_rotated(f, &list), first = n, err = 0;

	if (n < 0)
		return n == -ENOENT ? 0 : n;
	while (first && left > 0)
		left -= read_closed(f, list[--first]->d_name, left, true);
	/* The newest last: they are to be remembered for longest. */
	for (; first < n; first++) {
		size = read_closed(f, list[first]->d_name, READ_BACK_BYTES,
				   false);
		err = size < 0 ? (int)size : err;
	}
	free_list(list, n);
	return err;
}

int cdr_file_open(struct cdr_file **out, const struct cdr_file_params *p)
{
	struct cdr_file *f = calloc(1, sizeof(*f));
	int err = -ENOMEM;

	if (!f)
		return -ENOMEM;
	f->p = *p;
	f->fd = -1;
	buf_init(&f->batch, BATCH_MAX_BYTES);
	f->newer.slots = calloc(SLOTS, sizeof(uint64_t));
	f->older.slots = calloc(SLOTS, sizeof(uint64_t));
	f->p.directory = strdup(p->directory);
	if (!f->newer.slots || !f->older.slots || !f->p.directory)
		goto err_file;
	join(f, p->csv ? "cdr.csv" : "cdr.jsonl", f->path, sizeof(f->path));
	err = read_rotated(f);
	if (!err)
		err = open_current(f);
	if (err)
		goto err_file;
	*out = f;
	return 0;

err_file:
	cdr_file_close(f);
	return err;
}

void cdr_file_close(struct cdr_file *f)
{
	if (!f)
		return;
	if (f->fd >= 0)
		close(f->fd);
	buf_finish(&f->batch);
	free(f->newer.slots);
	free(f->older.slots);
	free((char *)(uintptr_t)f->p.directory);
	free(f);
}

/* ---- rotation ----------------------------------------------------------- */
static void drop_oldest(struct cdr_file *f)
{
	struct dirent **list;
	char path[PATH_MAX];
	int n = list_rotated(f, &list);

	if (n < 0)
		return;
	for (int i = 0; f->p.keep_files && i < n - (int)f->p.keep_files; i++) {
		join(f, list[i]->d_name, path, sizeof(path));
		if (unlink(path))
			break;
	}
	free_list(list, n);
}

static int rotate(struct cdr_file *f, uint64_t now_ms)
{
	time_t seconds = (time_t)(now_ms / 1000);
	char stamp[32], name[80], path[PATH_MAX];
	struct tm tm;

	if (!gmtime_r(&seconds, &tm) ||
	    !strftime(stamp, sizeof(stamp), "%Y%m%dT%H%M%S", &tm))
		return -EINVAL;
	for (unsigned i = 0; i < NAME_TRIES; i++) {
		snprintf(name, sizeof(name), "cdr-%s.%03u.%s", stamp, i,
			 suffix(f));
		join(f, name, path, sizeof(path));
		if (renameat2(AT_FDCWD, f->path, AT_FDCWD, path,
			      RENAME_NOREPLACE)) {
			if (errno == EEXIST)
				continue;
			return -errno;
		}
		close(f->fd);
		f->fd = -1;
		drop_oldest(f);
		return open_current(f);
	}
	return -EEXIST;
}

static bool rotation_due(const struct cdr_file *f, uint64_t now_ms)
{
	if (f->size <= f->head_size)
		return false;
	if (f->p.rotate_bytes && f->size >= f->p.rotate_bytes)
		return true;
	return f->p.rotation != CDR_ROTATE_NEVER &&
	       period_of(f, now_ms / 1000) > f->period;
}

/* Moved or removed by somebody else: what we hold has no name any more. */
static bool is_ours(const struct cdr_file *f)
{
	struct stat named, held;

	return f->fd >= 0 && !stat(f->path, &named) && !fstat(f->fd, &held) &&
	       named.st_ino == held.st_ino && named.st_dev == held.st_dev;
}

/* ---- appending ---------------------------------------------------------- */
static int prepare(struct cdr_file *f, uint64_t now_ms)
{
	int err = 0;

	if (!is_ours(f)) {
		if (f->fd >= 0)
			close(f->fd);
		f->fd = -1;
		err = open_current(f);
	}
	if (!err && rotation_due(f, now_ms))
		err = rotate(f, now_ms);
	return err;
}

static int write_batch(struct cdr_file *f)
{
	int err =
		write_all(f->fd, f->batch.data, f->batch.size, (off_t)f->size);

	if (!err && f->p.sync && fdatasync(f->fd))
		err = -errno;
	if (!err) {
		f->size += f->batch.size;
		return 0;
	}
	/* Half a batch would be lines that count as unwritten. A file that
	 * cannot be cut is looked at anew. */
	if (ftruncate(f->fd, (off_t)f->size)) {
		close(f->fd);
		f->fd = -1;
	}
	return err;
}

int cdr_file_append(struct cdr_file *f, const struct cdr_item *items,
		    size_t len, uint64_t now_ms, uint64_t *duplicates)
{
	uint64_t known = 0;
	int err;

	if (len > CDR_BATCH_MAX)
		return -E2BIG;
	err = prepare(f, now_ms);
	if (err)
		return err;
	buf_reset(&f->batch);
	for (size_t i = 0; i < len; i++) {
		if (is_written(f, items[i].id))
			known++;
		else if (f->p.csv)
			cdr_format_csv(&f->batch, items[i].id, items[i].cdr);
		else
			cdr_format_json(&f->batch, items[i].id, items[i].cdr);
	}
	if (f->batch.failed)
		return -ENOMEM;
	if (f->batch.size) {
		err = write_batch(f);
		if (err)
			return err;
		f->period = period_of(f, now_ms / 1000);
	}
	for (size_t i = 0; i < len; i++)
		note_written(f, items[i].id);
	*duplicates += known;
	return 0;
}

uint64_t cdr_file_torn_bytes(const struct cdr_file *f)
{
	return f->torn_bytes;
}
