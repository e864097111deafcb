/*
 * files - what the keeper reads and remembers on disk at start: both
 * configuration files, the cluster key and what is derived from it, the boot
 * id, the epoch.
 *
 * Layer: keeper. Main thread, before anything runs.
 */
#ifndef SBCD_KEEPER_FILES_H
#define SBCD_KEEPER_FILES_H

#include "sbcd/keeper/keeper.h"
#include "sbcd/keeper/keeper_int.h"

/* Errors go to standard error as "file:line: …" lines. */
int files_read_config(struct keeper *k, const struct keeper_params *p)
	__attribute__((warn_unused_result));
/* The key file must belong to root and be closed to everybody else. Its first
 * line is our key; a second one is believed, too. */
int files_read_key(struct keeper *k) __attribute__((warn_unused_result));
/* A boot id greater than every one before, whatever the clock says; the
 * epoch. Creates the state directory. */
int files_read_state(struct keeper *k) __attribute__((warn_unused_result));
void files_epoch_path(const struct keeper *k, char *buf, size_t size);
void files_service_path(const struct keeper *k, char *buf, size_t size);
/* "" when there is none. */
void files_read_service(const struct keeper *k, char *buf, size_t size);

#endif
