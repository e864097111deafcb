/*
 * ctl - sbcctl's command line: asks the daemon, or checks a configuration,
 * prints to standard output and error.
 *
 * Layer: cli. Process sbcctl.
 */
#ifndef SBCD_CLI_CTL_H
#define SBCD_CLI_CTL_H

/* Scripts depend on these: never renumber. */
enum ctl_exit {
	CTL_OK = 0,
	CTL_FAILED = 1, /* refused, or not possible */
	CTL_USAGE = 2,
	CTL_UNREACHABLE = 3, /* no daemon, or no answer in time */
	CTL_UNHEALTHY = 4, /* show health: score below the minimum */
};

/* Returns an enum ctl_exit. */
int ctl_main(int argc, char **argv);

#endif
