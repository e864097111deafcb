#include "sbcd/keeper/pidfile.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdbool.h>
#include <stdio.h>
#include <string.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>
#include "sbcd/base/log.h"

enum { LOCK_POLL_MS = 5 };

static bool name_path(char *out, size_t size, const char *run_dir,
		      const char *name)
{
	return snprintf(out, size, "%s/%s.pid", run_dir, name) < (int)size;
}

void pidfile_write(const char *run_dir, const char *name, pid_t pid)
{
	char path[PATH_MAX], tmp[PATH_MAX + 8];
	FILE *f;
	int err;

	if (!name_path(path, sizeof(path), run_dir, name))
		return;
	snprintf(tmp, sizeof(tmp), "%s.new", path);
	f = fopen(tmp, "we");
	if (!f) {
		log_warn("pidfile=%s error=\"%s\"", path, strerror(errno));
		return;
	}
	fprintf(f, "%d\n", (int)pid);
	err = fclose(f);
	/* A reader sees the old number or the new one, never half of it. */
	if (err || rename(tmp, path))
		log_warn("pidfile=%s error=\"%s\"", path, strerror(errno));
}

void pidfile_remove(const char *run_dir, const char *name)
{
	char path[PATH_MAX];

	if (name_path(path, sizeof(path), run_dir, name))
		unlink(path);
}

int pidfile_lock(const char *run_dir, unsigned wait_ms)
{
	static const struct timespec pause = {
		.tv_nsec = LOCK_POLL_MS * 1000000L,
	};
	char path[PATH_MAX];
	int fd, err;

	if (mkdir(run_dir, 0755) && errno != EEXIST)
		return -errno;
	snprintf(path, sizeof(path), "%s/lock", run_dir);
	fd = open(path, O_RDWR | O_CREAT | O_CLOEXEC, 0600);
	if (fd < 0)
		return -errno;
	for (unsigned waited = 0;; waited += LOCK_POLL_MS) {
		if (!flock(fd, LOCK_EX | LOCK_NB))
			return fd;
		err = errno == EWOULDBLOCK ? -EBUSY : -errno;
		if (err != -EBUSY || waited >= wait_ms)
			break;
		nanosleep(&pause, NULL);
	}
	close(fd);
	return err;
}
