/*
 * spawn - runs this same binary again as another kind of process: with given
 * file descriptors from number 3 on and nothing else, and, for a worker, with
 * no rights at all before its first instruction.
 *
 * Layer: keeper. Main thread (PR_SET_PDEATHSIG watches the thread that
 * forked).
 */
#ifndef SBCD_KEEPER_SPAWN_H
#define SBCD_KEEPER_SPAWN_H

#include <stdbool.h>
#include <stddef.h>
#include <sys/types.h>

enum { SPAWN_FDS_MAX = 8 };

struct spawn_params {
	const char *const *argv; /* argv[0] is the name shown by ps */
	int fds[SPAWN_FDS_MAX]; /* become 3, 4, ... */
	size_t fds_len;
	/*
	 * A worker: ids, groups, capabilities and the bounding set dropped,
	 * no_new_privs, no core files, and it dies with the caller's thread.
	 * Otherwise: a session of its own that outlives the caller.
	 */
	bool worker;
	uid_t uid;
	gid_t gid;
	int oom_score_adj;
	int nice; /* the keeper's own priority is not inherited */
};

/* The process id, or -errno. What fails after the fork ends the child with
 * status 126. */
pid_t spawn(const struct spawn_params *p) __attribute__((warn_unused_result));

#endif
