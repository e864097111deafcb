/*
 * One binary, four kinds of process:
 *
 *   sbcd                    the keeper (keeper/keeper.h: order of start, stop)
 *   sbcd --worker guard     ends what the keeper owned, when it is gone
 *   sbcd --worker sip       SIP, without rights
 *   sbcd --worker media     RTP, without rights
 *
 * The last three are started by the keeper only; they find their descriptors
 * from number 3 on (keeper/spawn.h).
 */
#include <errno.h>
#include <getopt.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <syslog.h>
#include <unistd.h>
#include "sbcd/base/log.h"
#include "sbcd/config/config.h"
#include "sbcd/keeper/guard.h"
#include "sbcd/keeper/keeper.h"
#include "sbcd/media/worker.h"
#include "sbcd/sip/worker.h"

enum { EXIT_USAGE = 2 };

static const char usage_text[] =
	"usage: sbcd [--config FILE] [--node FILE] [-t]\n"
	"       sbcd --print-defaults | --version | --help\n"
	"  --config FILE     configuration of the pair "
	"(/etc/sbcd/sbcd.conf)\n"
	"  --node FILE       facts of this node (/etc/sbcd/node.conf)\n"
	"  -t                check both files and exit\n"
	"  --print-defaults  every option with its default and meaning\n";

static int worker_main(const char *kind)
{
	const char *node = getenv("SBCD_NODE");
	const char *level = getenv("SBCD_LOG_LEVEL");
	char name[16];

	/* Executed by way of /proc: ps and pkill would see "exe". */
	snprintf(name, sizeof(name), "sbcd-%s", kind);
	if (prctl(PR_SET_NAME, name, 0, 0, 0))
		log_info("event=unnamed error=\"%s\"", strerror(errno));

	if (!strcmp(kind, "guard"))
		return guard_main();
	log_init(node ? node : "?", kind, level ? atoi(level) : LOG_INFO);
	/* A process that talks to strangers: no core, no debugger of its own
	 * user. */
	if (prctl(PR_SET_DUMPABLE, 0, 0, 0, 0))
		log_warn("event=dumpable error=\"%s\"", strerror(errno));
	if (!strcmp(kind, "sip"))
		return sip_worker_main();
	if (!strcmp(kind, "media"))
		return media_worker_main();
	fprintf(stderr, "sbcd: no such worker: %s\n", kind);
	return EXIT_USAGE;
}

int main(int argc, char **argv)
{
	enum {
		OPT_CONFIG = 256,
		OPT_NODE,
		OPT_DEFAULTS,
		OPT_VERSION,
		OPT_WORKER
	};
	static const struct option options[] = {
		{"config", required_argument, NULL, OPT_CONFIG},
		{"node", required_argument, NULL, OPT_NODE},
		{"print-defaults", no_argument, NULL, OPT_DEFAULTS},
		{"version", no_argument, NULL, OPT_VERSION},
		{"worker", required_argument, NULL, OPT_WORKER},
		{"help", no_argument, NULL, 'h'},
		{NULL, 0, NULL, 0},
	};
	struct keeper_params p = {
		.config_file = "/etc/sbcd/sbcd.conf",
		.node_file = "/etc/sbcd/node.conf",
	};
	int opt;

	while ((opt = getopt_long(argc, argv, "th", options, NULL)) != -1) {
		switch (opt) {
		case OPT_CONFIG:
			p.config_file = optarg;
			break;
		case OPT_NODE:
			p.node_file = optarg;
			break;
		case 't':
			p.check_only = true;
			break;
		case OPT_DEFAULTS:
			config_print_defaults(stdout);
			return 0;
		case OPT_VERSION:
			printf("sbcd %s\n", SBC_VERSION);
			return 0;
		case OPT_WORKER:
			return worker_main(optarg);
		case 'h':
			fputs(usage_text, stdout);
			return 0;
		default:
			fputs(usage_text, stderr);
			return EXIT_USAGE;
		}
	}
	if (optind < argc) {
		fputs(usage_text, stderr);
		return EXIT_USAGE;
	}
	return keeper_main(&p);
}
