/*
 * pidfile - RUN_DIR/<name>.pid for scripts, and the lock that lets one keeper
 * (with its guard) at a time use a run directory.
 *
 * Layer: keeper. Any thread.
 */
#ifndef SBCD_KEEPER_PIDFILE_H
#define SBCD_KEEPER_PIDFILE_H

#include <sys/types.h>

/* Best effort: logged, not reported. */
void pidfile_write(const char *run_dir, const char *name, pid_t pid);
void pidfile_remove(const char *run_dir, const char *name);

/*
 * Makes run_dir (0755) and takes its lock, waiting up to wait_ms for a guard
 * that still cleans up. The descriptor, or -EBUSY, or -errno.
 */
int pidfile_lock(const char *run_dir, unsigned wait_ms)
	__attribute__((warn_unused_result));

#endif
