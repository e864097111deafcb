/*
 * guard - a tiny process that outlives the keeper by a few milliseconds: when
 * the keeper is gone, by whatever cause, it shuts the egress gate, takes the
 * virtual MAC and addresses off and tells the peer so.
 *
 * The kernel of a node whose keeper died would otherwise go on answering ARP,
 * and with RST and ICMP, for addresses the peer takes over.
 *
 * It is started before anything can be owned, has everything ready, waits on a
 * socket and does nothing else. It holds the run directory's lock together
 * with the keeper, so that a new keeper begins after it has finished.
 *
 * RELEASED words carry the keeper's boot id and sequence numbers with the
 * highest bit set: newer than any beat the keeper can have sent, so the
 * receiver's replay window takes them and then nothing older.
 *
 * Layer: keeper. A process of its own; guard_start() in the keeper.
 */
#ifndef SBCD_KEEPER_GUARD_H
#define SBCD_KEEPER_GUARD_H

#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>
#include "hasync/beat.h"
#include "sbcd/keeper/beat.h"

enum {
	/* The HA links and the first service networks. */
	GUARD_PATHS_MAX = 5,
	GUARD_REPEATS = 5, /* RELEASED words a path */
	GUARD_REPEAT_MS = 3,
};

#define GUARD_SEQUENCE_BASE (UINT64_C(1) << 63)

struct guard_params {
	uint8_t node;
	uint64_t boot_id;
	uint8_t key[HA_BEAT_KEY_SIZE];
	char name[64]; /* of the node, for the log */
	int log_level;
	char run_dir[128];
	pid_t keeper;
	struct beat_path paths[GUARD_PATHS_MAX];
	size_t paths_len;
	int lock_fd; /* kept open; < 0 = none */
};

/*
 * Keeper side: starts it. Returns its process id; *fd_out is the keeper's end:
 * readable when guard_is_armed() may be asked, and at EOF. Does not wait: a
 * guard that is replaced must not stop the main loop.
 */
pid_t guard_launch(const struct guard_params *p, int *fd_out)
	__attribute__((warn_unused_result));
/* 1 armed, 0 not yet, <0 it is gone: start another one. Does not wait. */
int guard_is_armed(int fd) __attribute__((warn_unused_result));
/* The same, and waits (at most two seconds) until it is armed. */
pid_t guard_start(const struct guard_params *p, int *fd_out)
	__attribute__((warn_unused_result));
/* The keeper stops in good order and has released everything itself. */
void guard_dismiss(int fd);

/* The process: descriptors as guard_start() places them. Exit code. */
int guard_main(void);

#endif
