/*
 * keeper - the parent process. It owns the virtual MAC and addresses, the
 * role, the record store and the workers; it parses nothing that comes from a
 * service network.
 *
 * Order of start (nothing is started when a file has an error):
 *   files, cluster key  ->  run directory's lock  ->  gate shut, leftovers of
 *   an earlier run released  ->  guard  ->  routes and media sockets  ->
 *   workers  ->  beat thread  ->  corosync  ->  control socket, "ready".
 * Order of a clean stop (SIGTERM, SIGINT):
 *   gate shut, MAC and addresses off  ->  the peer is told  ->  workers end
 *   ->  the group is left  ->  guard dismissed.
 * Death of any other kind is the guard's business.
 *
 * Layer: keeper. Process: keeper.
 */
#ifndef SBCD_KEEPER_KEEPER_H
#define SBCD_KEEPER_KEEPER_H

#include <stdbool.h>

struct keeper_params {
	const char *config_file; /* sbcd.conf */
	const char *node_file; /* node.conf */
	bool check_only; /* -t: parse both and say what is wrong */
};

/* The exit code of the process. */
int keeper_main(const struct keeper_params *p);

#endif
