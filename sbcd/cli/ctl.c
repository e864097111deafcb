#include "sbcd/cli/ctl.h"

#include <errno.h>
#include <getopt.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "sbcd/cli/cert.h"
#include "sbcd/cli/client.h"
#include "sbcd/cli/render.h"
#include "sbcd/config/config.h"
#include "sbcd/config/firewall.h"
#include "sbcd/config/lint.h"
#include "sbcd/config/tls.h"
#include "sbcd/sip/tls_config.h"

/* The daemon's code for a request it does not understand. */
enum { ANSWER_BAD_REQUEST = 2 };
enum { HEALTH_MIN = 50 };

static const char usage_text[] =
	"usage: sbcctl [-s SOCKET] [-o table|json] COMMAND\n"
	"\n"
	"  show redundancy      roles, peer, in sync, replication, timeline\n"
	"  show health          score and every deduction (--min N, default "
	"50)\n"
	"  show calls           one line a call\n"
	"  show call ID         both legs, media, counters\n"
	"  show interfaces      virtual MAC, addresses, gate, read-back\n"
	"  show counters        of workers, replication, keeper\n"
	"  show tls             profiles, connections, handshakes that failed "
	"and why\n"
	"  show failovers [N]   reports of the last take-overs (20)\n"
	"  show config          what runs\n"
	"  switchover [--force] the active node hands over to its peer, on "
	"whichever\n"
	"                       of the two this is said; refused when not in "
	"sync\n"
	"  drain                refuse new calls here; hand over as soon as "
	"possible\n"
	"  undrain              take new calls again\n"
	"  maintenance on|off   a standby that never takes over, unless "
	"forced to\n"
	"  cert reload          read the files of all TLS profiles again, on "
	"this node;\n"
	"                       connections stay\n"
	"  cert show            certificates of all TLS profiles: names, "
	"dates, keys\n"
	"  cert csr PROFILE NAME...\n"
	"                       a new key for the profile and a request for "
	"its\n"
	"                       certificate with these host names "
	"(--keep-key: for\n"
	"                       the key that is there; --key FILE; --ec: "
	"P-256, not RSA)\n"
	"  config check FILE [NODE-FILE]\n"
	"                       check files before they are used, without the "
	"daemon\n"
	"  config firewall FILE NODE-FILE\n"
	"                       the node's firewall, for nft -f\n"
	"  version              of sbcctl, the daemon and its peer\n"
	"\n"
	"  -s, --socket PATH    control socket (/run/sbcd/sbcd.sock)\n"
	"  -o, --output FORM    table (default) or json\n"
	"      --config FILE    of cert show and csr "
	"(/etc/sbcd/sbcd.conf)\n"
	"      --node FILE      of cert csr: whose the key is "
	"(/etc/sbcd/node.conf)\n"
	"      --version        of sbcctl alone\n"
	"\n"
	"exit codes: 0 done; 1 refused or failed; 2 wrong usage; 3 the daemon\n"
	"cannot be reached or does not answer within 10 s; 4 show health: score\n"
	"below --min\n";

struct options {
	const char *socket, *config, *node, *key;
	bool keep_key, ec;
	bool json, force;
	long health_min;
	int argc; /* words of the command */
	char **argv;
};

static int usage(void)
{
	fputs(usage_text, stderr);
	return CTL_USAGE;
}

static int print(const struct options *o, const json_t *data)
{
	int err = o->json ? render_json(stdout, data)
			  : render_table(stdout, data);

	if (err || fflush(stdout)) {
		fprintf(stderr, "sbcctl: cannot print: %s\n",
			strerror(err ? -err : errno));
		return CTL_FAILED;
	}
	return CTL_OK;
}

/* 0 with *data (a new reference), else what to exit with. */
static int ask(const struct options *o, const char *cmd, json_t *args,
	       json_t **data)
{
	json_t *answer;
	int err = client_ask(o->socket, cmd, args, CLIENT_TIMEOUT_MS, &answer);
	json_int_t code;

	if (err) {
		fprintf(stderr, "sbcctl: %s: %s\n", o->socket,
			err == -EPIPE	  ? "closed without an answer"
			: err == -EBADMSG ? "the answer makes no sense"
					  : strerror(-err));
		return CTL_UNREACHABLE;
	}
	if (json_is_true(json_object_get(answer, "ok"))) {
		*data = json_object_get(answer, "data");
		*data = *data ? json_incref(*data) : json_object();
		json_decref(answer);
		return CTL_OK;
	}
	code = json_integer_value(json_object_get(answer, "code"));
	fprintf(stderr, "sbcctl: %s\n",
		json_string_value(json_object_get(answer, "error"))
			? json_string_value(json_object_get(answer, "error"))
			: "refused");
	json_decref(answer);
	return code == ANSWER_BAD_REQUEST ? CTL_USAGE : CTL_FAILED;
}

static int ask_and_print(const struct options *o, const char *cmd, json_t *args)
{
	json_t *data;
	int code = ask(o, cmd, args, &data);

	if (code)
		return code;
	code = print(o, data);
	json_decref(data);
	return code;
}

static int show_health(const struct options *o)
{
	json_t *data;
	int code = ask(o, "show health", NULL, &data);

	if (code)
		return code;
	code = print(o, data);
	if (!code &&
	    json_integer_value(json_object_get(data, "score")) < o->health_min)
		code = CTL_UNHEALTHY;
	json_decref(data);
	return code;
}

static int show_call(const struct options *o, const char *id)
{
	json_t *args = json_pack("{s:s}", "id", id);
	int code = ask_and_print(o, "show call", args);

	json_decref(args);
	return code;
}

static int show_failovers(const struct options *o, const char *count)
{
	char *end;
	long n = strtol(count, &end, 10);
	json_t *args;
	int code;

	if (*end || n < 1 || n > 1000)
		return usage();
	args = json_pack("{s:i}", "count", (int)n);
	code = ask_and_print(o, "show failovers", args);
	json_decref(args);
	return code;
}

/* As text, for reading and for redirecting into a file. */
static int show_config(const struct options *o)
{
	const char *text;
	json_t *data;
	int code = ask(o, "show config", NULL, &data);

	if (code)
		return code;
	text = json_string_value(json_object_get(data, "text"));
	if (o->json || !text) {
		code = print(o, data);
	} else {
		for (; *text; text++)
			putchar((unsigned char)*text < 0x20 && *text != '\n' &&
						*text != '\t'
					? '?'
					: *text);
	}
	json_decref(data);
	return code;
}

static int show_version(const struct options *o)
{
	json_t *all = json_pack("{s:s}", "sbcctl", SBC_VERSION), *data;
	int code = ask(o, "version", NULL, &data);
	int printed;

	if (!code)
		json_object_set_new(all, "daemon", data);
	printed = print(o, all);
	json_decref(all);
	return code ? code : printed;
}

static int switchover(const struct options *o)
{
	json_t *args = json_pack("{s:b}", "force", (int)o->force);
	int code = ask_and_print(o, "switchover", args);

	json_decref(args);
	return code;
}

static int maintenance(const struct options *o)
{
	bool on = !strcmp(o->argv[1], "on");
	json_t *args;
	int code;

	if (!on && strcmp(o->argv[1], "off") != 0)
		return usage();
	args = json_pack("{s:b}", "on", (int)on);
	code = ask_and_print(o, "maintenance", args);
	json_decref(args);
	return code;
}

/* ---- config check ----------------------------------------------------------
 */

static struct config_errors errors;

/* What is wrong goes to standard error, one a line. */
static char *read_config(const char *path)
{
	char *text = NULL;
	int err = config_read_file(path, &text);

	if (!err)
		return text;
	fprintf(stderr, "%s: %s\n", path,
		err == -EFBIG	 ? "too long, at most 128 KB"
		: err == -EINVAL ? "not a text file"
				 : strerror(-err));
	return NULL;
}

static int check_config(const char *path, const char *node_path)
{
	char *text = read_config(path), *node_text = NULL;
	struct config *config = NULL;
	struct config_node node;
	int err = -EINVAL;

	if (!text)
		goto out;
	err = config_parse(&config, text, path, &errors);
	if (err) {
		fputs(errors.text, stderr);
		goto out;
	}
	if (config_lint(config, path, &errors))
		fputs(errors.text, stderr);
	err = tls_config_check(config, path, (int64_t)time(NULL), &errors);
	if (errors.count)
		fputs(errors.text, stderr);
	if (err || !node_path)
		goto out;
	err = -EINVAL;
	node_text = read_config(node_path);
	if (!node_text)
		goto out;
	err = config_node_parse(&node, node_text, node_path, &errors);
	if (!err)
		err = config_check(config, &node, &errors);
	if (!err)
		err = tls_config_check_access(config, path, &node, &errors);
	if (err)
		fputs(errors.text, stderr);
out:
	config_destroy(config);
	free(node_text);
	free(text);
	return err ? CTL_FAILED : CTL_OK;
}

static int config_check_command(const struct options *o)
{
	const char *node = o->argc > 3 ? o->argv[3] : NULL;
	int code = check_config(o->argv[2], node);

	if (o->json)
		printf("{\"ok\": %s}\n", code ? "false" : "true");
	else if (!code)
		printf("%s%s%s: ok\n", o->argv[2], node ? ", " : "",
		       node ? node : "");
	return code;
}

/* ---- config firewall -------------------------------------------------------
 */

static struct config *load_config(const char *path)
{
	char *text = read_config(path);
	struct config *config = NULL;

	if (text && config_parse(&config, text, path, &errors))
		fputs(errors.text, stderr);
	free(text);
	return config;
}

/* Nothing is printed of what would not run. */
static int config_firewall(const char *path, const char *node_path)
{
	struct config *config = load_config(path);
	char *node_text = config ? read_config(node_path) : NULL;
	struct config_node node;
	int err = -EINVAL;

	if (!node_text)
		goto out;
	err = config_node_parse(&node, node_text, node_path, &errors);
	if (!err)
		err = config_check(config, &node, &errors);
	if (err) {
		fputs(errors.text, stderr);
		goto out;
	}
	config_firewall_print(stdout, config, &node);
	err = fflush(stdout) || ferror(stdout) ? -EIO : 0;
out:
	config_destroy(config);
	free(node_text);
	return err ? CTL_FAILED : CTL_OK;
}

/* ---- certificates ----------------------------------------------------------
 */

/* Exit code 1 where one of them will not do: for who watches them. */
static int cert_show(const struct options *o)
{
	struct config *config = load_config(o->config);
	unsigned problems = 0;
	json_t *rows = NULL, *data;
	int code;

	if (!config)
		return CTL_FAILED;
	if (cert_list(&rows, config, (int64_t)time(NULL), &problems))
		fprintf(stderr, "sbcctl: %s\n", strerror(ENOMEM));
	config_destroy(config);
	if (!rows)
		return CTL_FAILED;
	data = json_pack("{s:o}", "certificates", rows);
	code = print(o, data);
	json_decref(data);
	return code ? code : problems ? CTL_FAILED : CTL_OK;
}

/* Root makes the key for the user that reads it later. */
static int set_owner(struct cert_request *r, const char *node_file)
{
	char *text;
	struct config_node node;
	int err;

	if (geteuid())
		return 0;
	text = read_config(node_file);
	if (!text)
		return -ENOENT;
	err = config_node_parse(&node, text, node_file, &errors);
	free(text);
	if (err) {
		fputs(errors.text, stderr);
		return err;
	}
	if (config_node_user(&node, &r->uid, &r->gid)) {
		fprintf(stderr, "%s: there is no user '%s'\n", node_file,
			node.user);
		return -ENOENT;
	}
	r->give = true;
	return 0;
}

/* NULL: there is none, and why was said. */
static const char *key_file(const struct options *o, const struct config *c)
{
	const struct config_tls_profile *p =
		config_tls_find(c->tls, o->argv[2]);

	if (!p)
		fprintf(stderr, "%s: there is no tls-profile '%s'\n", o->config,
			o->argv[2]);
	else if (o->key)
		return o->key;
	else if (!strcmp(p->key, p->certificate))
		fprintf(stderr,
			"%s:%d: tls-profile '%s' has its key in the "
			"certificate's file; give it a private-key = FILE of "
			"its own, or say --key FILE\n",
			o->config, p->line, p->name);
	else
		return p->key;
	return NULL;
}

static int print_request(const struct options *o, const struct cert_request *r,
			 const char *pem)
{
	json_t *data;
	int code;

	if (!o->json) {
		fprintf(stderr, "key in %s, request:\n", r->key_file);
		fputs(pem, stdout);
		return fflush(stdout) ? CTL_FAILED : CTL_OK;
	}
	data = json_pack("{s:s,s:s}", "key-file", r->key_file, "request", pem);
	code = print(o, data);
	json_decref(data);
	return code;
}

static int cert_csr(const struct options *o)
{
	struct config *config = load_config(o->config);
	struct cert_request r = {
		.names = (const char *const *)&o->argv[3],
		.names_len = (unsigned)o->argc - 3,
		.keep_key = o->keep_key,
		.ec = o->ec,
	};
	struct cert_error why;
	char *pem = NULL;
	int code = CTL_FAILED;

	r.key_file = config ? key_file(o, config) : NULL;
	if (!r.key_file || (!r.keep_key && set_owner(&r, o->node)))
		goto out;
	if (cert_request_create(&pem, &r, &why))
		fprintf(stderr, "sbcctl: %s\n", why.text);
	else
		code = print_request(o, &r, pem);
out:
	free(pem);
	config_destroy(config);
	return code;
}

static int cert(const struct options *o)
{
	const char *what = o->argc > 1 ? o->argv[1] : "";

	if (!strcmp(what, "csr"))
		return o->argc > 3 ? cert_csr(o) : usage();
	if (o->argc != 2)
		return usage();
	if (!strcmp(what, "reload"))
		return ask_and_print(o, "cert reload", NULL);
	if (!strcmp(what, "show"))
		return cert_show(o);
	return usage();
}

/* ---- the command line ------------------------------------------------------
 */

static const char *const plain_shows[] = {"redundancy", "calls", "interfaces",
					  "counters",	"tls",	 "failovers",
					  NULL};

static int show(const struct options *o)
{
	const char *what = o->argc > 1 ? o->argv[1] : "";
	char cmd[64];

	if (!strcmp(what, "call"))
		return o->argc == 3 ? show_call(o, o->argv[2]) : usage();
	if (!strcmp(what, "failovers") && o->argc == 3)
		return show_failovers(o, o->argv[2]);
	if (o->argc != 2)
		return usage();
	if (!strcmp(what, "health"))
		return show_health(o);
	if (!strcmp(what, "config"))
		return show_config(o);
	if (!strcmp(what, "version"))
		return show_version(o);
	for (const char *const *p = plain_shows; *p; p++) {
		if (strcmp(*p, what) != 0)
			continue;
		snprintf(cmd, sizeof(cmd), "show %s", *p);
		return ask_and_print(o, cmd, NULL);
	}
	return usage();
}

static int run(const struct options *o)
{
	if (o->argc < 1)
		return usage();
	if (o->force && strcmp(o->argv[0], "switchover") != 0)
		return usage();
	if ((o->keep_key || o->key || o->ec) && strcmp(o->argv[0], "cert") != 0)
		return usage();
	if (!strcmp(o->argv[0], "show"))
		return show(o);
	if (!strcmp(o->argv[0], "switchover") && o->argc == 1)
		return switchover(o);
	if ((!strcmp(o->argv[0], "drain") || !strcmp(o->argv[0], "undrain")) &&
	    o->argc == 1)
		return ask_and_print(o, o->argv[0], NULL);
	if (!strcmp(o->argv[0], "maintenance") && o->argc == 2)
		return maintenance(o);
	if (!strcmp(o->argv[0], "cert"))
		return cert(o);
	if (!strcmp(o->argv[0], "version") && o->argc == 1)
		return show_version(o);
	if (!strcmp(o->argv[0], "config") && (o->argc == 3 || o->argc == 4) &&
	    !strcmp(o->argv[1], "check"))
		return config_check_command(o);
	if (!strcmp(o->argv[0], "config") && o->argc == 4 &&
	    !strcmp(o->argv[1], "firewall"))
		return config_firewall(o->argv[2], o->argv[3]);
	return usage();
}

enum {
	OPT_FORCE = 256,
	OPT_MIN,
	OPT_VERSION,
	OPT_CONFIG,
	OPT_NODE,
	OPT_KEY,
	OPT_KEEP_KEY,
	OPT_EC,
};

static const struct option longs[] = {
	{"socket", required_argument, NULL, 's'},
	{"output", required_argument, NULL, 'o'},
	{"help", no_argument, NULL, 'h'},
	{"force", no_argument, NULL, OPT_FORCE},
	{"min", required_argument, NULL, OPT_MIN},
	{"version", no_argument, NULL, OPT_VERSION},
	{"config", required_argument, NULL, OPT_CONFIG},
	{"node", required_argument, NULL, OPT_NODE},
	{"key", required_argument, NULL, OPT_KEY},
	{"keep-key", no_argument, NULL, OPT_KEEP_KEY},
	{"ec", no_argument, NULL, OPT_EC},
	{NULL, 0, NULL, 0},
};

int ctl_main(int argc, char **argv)
{
	struct options o = {.socket = "/run/sbcd/sbcd.sock",
			    .config = "/etc/sbcd/sbcd.conf",
			    .node = "/etc/sbcd/node.conf",
			    .health_min = HEALTH_MIN};
	char *end;
	int opt;

	optind = 0; /* may run more than once */
	while ((opt = getopt_long(argc, argv, "s:o:h", longs, NULL)) != -1) {
		switch (opt) {
		case 's':
			o.socket = optarg;
			break;
		case 'o':
			if (strcmp(optarg, "json") && strcmp(optarg, "table"))
				return usage();
			o.json = !strcmp(optarg, "json");
			break;
		case 'h':
			fputs(usage_text, stdout);
			return CTL_OK;
		case OPT_FORCE:
			o.force = true;
			break;
		case OPT_MIN:
			o.health_min = strtol(optarg, &end, 10);
			if (!*optarg || *end || o.health_min < 0 ||
			    o.health_min > 100)
				return usage();
			break;
		case OPT_CONFIG:
			o.config = optarg;
			break;
		case OPT_NODE:
			o.node = optarg;
			break;
		case OPT_KEY:
			o.key = optarg;
			break;
		case OPT_KEEP_KEY:
			o.keep_key = true;
			break;
		case OPT_EC:
			o.ec = true;
			break;
		case OPT_VERSION:
			printf("sbcctl %s\n", SBC_VERSION);
			return CTL_OK;
		default:
			return usage();
		}
	}
	o.argc = argc - optind;
	o.argv = argv + optind;
	return run(&o);
}
