#include "sbcd/keeper/disk.h"

#include <errno.h>
#include <fcntl.h>
#include <libgen.h>
#include <limits.h>
#include <pthread.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <time.h>
#include <unistd.h>
#include "sbcd/base/clock.h"

struct job {
	struct job *next;
	disk_work_fn *work; /* or a file: */
	void *arg;
	char *path;
	void *data;
	size_t size;
	disk_done_fn *done;
	void *ctx;
	uint64_t queued_ms;
	uint64_t took_us;
	int err;
};

struct job_list {
	struct job *first, **last;
};

struct disk {
	pthread_t thread;
	int event_fd;
	size_t queue_max;
	pthread_mutex_t lock; /* everything below */
	pthread_cond_t wake;
	struct job_list todo, done;
	struct job *current;
	size_t queued;
	bool stop;
	bool ended; /* the thread is about to return */
	bool abandoned; /* the thread frees the object */
};

static void list_init(struct job_list *l)
{
	l->first = NULL;
	l->last = &l->first;
}

static void list_push(struct job_list *l, struct job *j)
{
	j->next = NULL;
	*l->last = j;
	l->last = &j->next;
}

static struct job *list_pop(struct job_list *l)
{
	struct job *j = l->first;

	if (!j)
		return NULL;
	l->first = j->next;
	if (!l->first)
		l->last = &l->first;
	return j;
}

static void job_free(struct job *j)
{
	if (!j)
		return;
	free(j->path);
	free(j->data);
	free(j);
}

static int write_all(int fd, const void *data, size_t size)
{
	const char *at = data;

	while (size) {
		ssize_t n = write(fd, at, size);

		if (n < 0) {
			if (errno == EINTR)
				continue;
			return -errno;
		}
		at += n;
		size -= (size_t)n;
	}
	return fsync(fd) ? -errno : 0;
}

static int sync_directory(const char *path)
{
	char copy[PATH_MAX];
	int fd, err = 0;

	snprintf(copy, sizeof(copy), "%s", path);
	fd = open(dirname(copy), O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	if (fd < 0)
		return -errno;
	if (fsync(fd))
		err = -errno;
	close(fd);
	return err;
}

int disk_write_file_now(const char *path, const void *data, size_t size)
{
	char tmp[PATH_MAX];
	int fd, err;

	if (snprintf(tmp, sizeof(tmp), "%s.new", path) >= (int)sizeof(tmp))
		return -ENAMETOOLONG;
	fd = open(tmp, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);
	if (fd < 0)
		return -errno;
	err = write_all(fd, data, size);
	close(fd);
	if (!err && rename(tmp, path))
		err = -errno;
	if (err) {
		unlink(tmp);
		return err;
	}
	return sync_directory(path);
}

static void disk_free(struct disk *d)
{
	struct job *j;

	while ((j = list_pop(&d->todo)))
		job_free(j);
	while ((j = list_pop(&d->done)))
		job_free(j);
	close(d->event_fd);
	pthread_cond_destroy(&d->wake);
	pthread_mutex_destroy(&d->lock);
	free(d);
}

static void signal_done(struct disk *d)
{
	uint64_t one = 1;

	/* Fails only when the counter is full: it is readable then. */
	if (write(d->event_fd, &one, sizeof(one)) < 0)
		return;
}

static void *disk_thread(void *arg)
{
	struct disk *d = arg;
	struct job *j;
	bool abandoned;

	pthread_mutex_lock(&d->lock);
	for (;;) {
		uint64_t start_ns;

		while (!d->todo.first && !d->stop)
			pthread_cond_wait(&d->wake, &d->lock);
		j = list_pop(&d->todo);
		if (!j || d->abandoned) {
			job_free(j);
			break;
		}
		d->current = j;
		pthread_mutex_unlock(&d->lock);
		start_ns = clock_mono_ns();
		j->err = j->work ? j->work(j->arg)
				 : disk_write_file_now(j->path, j->data,
						       j->size);
		j->took_us = (clock_mono_ns() - start_ns) / 1000;
		pthread_mutex_lock(&d->lock);
		d->current = NULL;
		d->queued--;
		list_push(&d->done, j);
		if (!d->abandoned)
			signal_done(d);
	}
	abandoned = d->abandoned;
	d->ended = true;
	pthread_cond_signal(&d->wake);
	pthread_mutex_unlock(&d->lock);
	if (abandoned)
		disk_free(d);
	return NULL;
}

static int start_thread(struct disk *d)
{
	sigset_t all, old;
	int err;

	/* Signals belong to the main thread's signalfd. */
	sigfillset(&all);
	pthread_sigmask(SIG_SETMASK, &all, &old);
	err = pthread_create(&d->thread, NULL, disk_thread, d);
	pthread_sigmask(SIG_SETMASK, &old, NULL);
	if (!err)
		pthread_setname_np(d->thread, "sbcd-disk");
	return -err;
}

int disk_create(struct disk **out, size_t queue_max)
{
	struct disk *d = calloc(1, sizeof(*d));
	pthread_condattr_t monotonic;
	int err;

	if (!d)
		return -ENOMEM;
	d->queue_max = queue_max;
	list_init(&d->todo);
	list_init(&d->done);
	pthread_mutex_init(&d->lock, NULL);
	pthread_condattr_init(&monotonic);
	pthread_condattr_setclock(&monotonic, CLOCK_MONOTONIC);
	pthread_cond_init(&d->wake, &monotonic);
	pthread_condattr_destroy(&monotonic);
	d->event_fd = eventfd(0, EFD_NONBLOCK | EFD_CLOEXEC);
	if (d->event_fd < 0) {
		err = -errno;
		goto err_object;
	}
	err = start_thread(d);
	if (err)
		goto err_event_fd;
	*out = d;
	return 0;

err_event_fd:
	close(d->event_fd);
err_object:
	pthread_cond_destroy(&d->wake);
	pthread_mutex_destroy(&d->lock);
	free(d);
	return err;
}

void disk_destroy(struct disk *d, unsigned wait_ms)
{
	struct timespec until;
	bool abandoned;
	int err = 0;

	if (!d)
		return;
	clock_gettime(CLOCK_MONOTONIC, &until);
	until.tv_sec += wait_ms / 1000;
	until.tv_nsec += (long)(wait_ms % 1000) * 1000000;
	if (until.tv_nsec >= 1000000000) {
		until.tv_sec++;
		until.tv_nsec -= 1000000000;
	}
	pthread_mutex_lock(&d->lock);
	d->stop = true;
	pthread_cond_signal(&d->wake);
	while (!d->ended && !err)
		err = pthread_cond_timedwait(&d->wake, &d->lock, &until);
	/* Under the lock the thread is either past its last look at
	 * `abandoned` (then it can be joined) or will see it. */
	abandoned = d->abandoned = d->current || d->todo.first;
	if (abandoned)
		pthread_detach(d->thread);
	pthread_mutex_unlock(&d->lock);
	if (abandoned)
		return;
	pthread_join(d->thread, NULL);
	disk_free(d);
}

static int enqueue(struct disk *d, struct job *j)
{
	int err = 0;

	j->queued_ms = clock_mono_ms();
	pthread_mutex_lock(&d->lock);
	if (d->queued >= d->queue_max) {
		err = -ENOBUFS;
	} else {
		d->queued++;
		list_push(&d->todo, j);
		pthread_cond_signal(&d->wake);
	}
	pthread_mutex_unlock(&d->lock);
	return err;
}

int disk_run(struct disk *d, disk_work_fn *work, void *arg, disk_done_fn *done,
	     void *ctx)
{
	struct job *j = calloc(1, sizeof(*j));
	int err;

	if (!j)
		return -ENOMEM;
	j->work = work;
	j->arg = arg;
	j->done = done;
	j->ctx = ctx;
	err = enqueue(d, j);
	if (err)
		job_free(j);
	return err;
}

int disk_write_file(struct disk *d, const char *path, const void *data,
		    size_t size, disk_done_fn *done, void *ctx)
{
	struct job *j = calloc(1, sizeof(*j));
	int err = -ENOMEM;

	if (!j)
		return -ENOMEM;
	j->path = strdup(path);
	j->data = malloc(size ? size : 1);
	if (!j->path || !j->data)
		goto err_job;
	memcpy(j->data, data, size);
	j->size = size;
	j->done = done;
	j->ctx = ctx;
	err = enqueue(d, j);
	if (!err)
		return 0;

err_job:
	job_free(j);
	return err;
}

int disk_fd(const struct disk *d)
{
	return d->event_fd;
}

void disk_dispatch(struct disk *d)
{
	struct job_list done;
	struct job *j;
	uint64_t n;

	if (read(d->event_fd, &n, sizeof(n)) < 0)
		return;
	pthread_mutex_lock(&d->lock);
	done = d->done;
	if (!done.first)
		done.last = &done.first;
	list_init(&d->done);
	pthread_mutex_unlock(&d->lock);
	while (done.first) {
		j = done.first;
		done.first = j->next;
		if (j->done)
			j->done(j->ctx, j->err, j->took_us);
		job_free(j);
	}
}

uint64_t disk_stalled_ms(struct disk *d, uint64_t now_ms)
{
	const struct job *j;
	uint64_t age = 0;

	pthread_mutex_lock(&d->lock);
	j = d->current ? d->current : d->todo.first;
	if (j && now_ms > j->queued_ms)
		age = now_ms - j->queued_ms;
	pthread_mutex_unlock(&d->lock);
	return age;
}
