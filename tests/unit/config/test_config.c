/* Configuration: good files, every bad one, look-ups, the reference. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include <dirent.h>
#include <errno.h>
#include <pwd.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <syslog.h>
#include <unistd.h>

#include "sbcd/config/config.h"
#include "sbcd/config/lint.h"
#include "sbcd/config/tls.h"
#include "sbcd/record/kinds.h"

static struct config_errors errors;

__attribute__((noinline)) static char *read_text(const char *path)
{
	char *text = NULL;

	if (config_read_file(path, &text))
		fail_msg("cannot read %s", path);
	return text;
}

static struct config *parse_file(const char *path)
{
	char *text = read_text(path);
	struct config *c = NULL;

	if (config_parse(&c, text, path, &errors))
		fail_msg("%s", errors.text);
	free(text);
	return c;
}

static void example_is_parsed(void **state)
{
	struct config *c = parse_file("conf/sbcd.conf.example");
	const uint8_t mac[6] = {0x02, 0x5b, 0xc0, 0x00, 0x01, 0x01};
	const struct config_nif *core = config_nif_find(c, "core");
	const struct config_realm *cloud = config_realm_find(c, "cloud");
	const struct config_agent *um = config_agent_find(c, "um");
	const struct config_sip_interface *s;
	struct addr a;

	assert_string_equal(c->cluster.peers[1], "sbc-b");
	assert_int_equal(c->cluster.beat_ms, 10);
	assert_int_equal(c->cluster.silence_ms, 100);
	assert_int_equal(c->cluster.lease_ms, 200);
	assert_int_equal(c->cluster.cold_start_ms, 5000);
	assert_int_equal(c->cluster.beat_port, 5420);
	assert_int_equal(core->line, 19);
	assert_memory_equal(core->virtual_mac, mac, 6);
	assert_int_equal(core->addrs_len, 2);
	assert_int_equal(core->prefixes[1], 64);
	assert_int_equal(core->gateways_len, 2);
	assert_ptr_equal(config_nif_address(core, ADDR_V6), &core->addrs[1]);
	assert_int_equal(cloud->port_first, 20000);
	assert_int_equal(cloud->port_last, 39999);
	assert_false(cloud->symmetric_latching);
	assert_int_equal(cloud->guard_initial_ms, 60000);
	assert_int_equal(cloud->guard_subsequent_ms, 300000);
	assert_int_equal(cloud->dscp_media, 46);
	s = config_sip_interface_of_realm(c, cloud);
	assert_string_equal(s->name, "cloud");
	assert_int_equal(s->ports_len, 2);
	assert_int_equal(s->ports[1].transport, TRANSPORT_TCP);
	assert_int_equal(s->ports[1].port, 5060);
	assert_int_equal(s->tcp_connections_max, 2000);
	assert_int_equal(s->tcp_idle_ms, 600000);
	assert_string_equal(um->host, "um.example.net");
	assert_int_equal(um->transport, TRANSPORT_TCP);
	assert_int_equal(um->max_sessions, 500);
	assert_int_equal(addr_parse_ip(&a, "10.20.0.50", 5060), 0);
	assert_true(addr_equal(&um->address, &a));
	a.port = 40000;
	assert_ptr_equal(config_agent_by_address(c, cloud, &a), um);
	assert_null(
		config_agent_by_address(c, config_realm_find(c, "core"), &a));
	assert_int_equal(c->sip.max_calls, 10000);
	assert_int_equal(c->sip.ring_timeout_ms, 180000);
	assert_int_equal(c->sip.max_forwards_min, 1);
	assert_string_equal(c->cdr.directory, "/var/log/sbcd/cdr");
	assert_int_equal(c->cdr.format, CDR_FORMAT_BOTH);
	assert_int_equal(c->cdr.keep_files, 90);
	assert_int_not_equal(c->digest, 0);
	config_destroy(c);
}

static void lab_is_parsed(void **state)
{
	struct config *c = parse_file("tests/lab/sbcd.conf");

	assert_int_equal(c->nifs_len, 2);
	/* No sip-config, no media-manager: the table's defaults. */
	assert_int_equal(c->sip.max_calls, 10000);
	assert_int_equal(c->realms[0].guard_initial_ms, 300000);
	assert_string_equal(c->cdr.directory, "");
	assert_int_equal(c->cdr.rotate, CDR_ROTATE_DAILY);
	assert_int_equal(c->cdr.rotate_mb, 256);
	assert_true(c->cdr.sync);
	config_destroy(c);
}

static void timing_profiles(void **state)
{
	char *base = read_text("tests/lab/sbcd.conf"), *at, text[8192];
	struct config *c;

	at = strstr(base, "fast");
	snprintf(text, sizeof(text), "%.*srelaxed%s", (int)(at - base), base,
		 at + 4);
	assert_int_equal(config_parse(&c, text, "x", &errors), 0);
	assert_int_equal(c->cluster.beat_ms, 100);
	assert_int_equal(c->cluster.silence_ms, 1000);
	assert_int_equal(c->cluster.lease_ms, 2000);
	assert_int_equal(c->cluster.cold_start_ms, 10000);
	config_destroy(c);
	snprintf(text, sizeof(text),
		 "%.*scustom; beat-ms = 20; silence-ms = 90; lease-ms = 60; "
		 "cold-start-ms = 180%s",
		 (int)(at - base), base, at + 4);
	assert_int_equal(config_parse(&c, text, "x", &errors), 0);
	assert_int_equal(c->cluster.beat_ms, 20);
	assert_int_equal(c->cluster.lease_ms, 60);
	config_destroy(c);
	free(base);
}

/* "# expect LINE: substring" in the first line of the file. */
static void check_bad(const char *path, bool node)
{
	char *text = read_text(path), want[600], substring[200];
	struct config *c = (struct config *)1;
	struct config_node n;
	int line, err;

	if (sscanf(text, "# expect %d: %199[^\n]", &line, substring) != 2)
		fail_msg("%s: no expectation", path);
	if (node)
		err = config_node_parse(&n, text, path, &errors);
	else
		err = config_parse(&c, text, path, &errors);
	assert_int_equal(err, -EINVAL);
	if (!node)
		assert_ptr_equal(c, (struct config *)1);
	assert_true(errors.count > 0);
	snprintf(want, sizeof(want), "%s:%d: ", path, line);
	*strchrnul(errors.text, '\n') = '\0';
	if (strncmp(errors.text, want, strlen(want)) != 0 ||
	    !strstr(errors.text, substring))
		fail_msg("%s: wanted '%s…%s', got '%s'", path, want, substring,
			 errors.text);
	free(text);
}

static unsigned check_dir(const char *dir, bool node)
{
	DIR *d = opendir(dir);
	struct dirent *e;
	unsigned n = 0;

	assert_non_null(d);
	while ((e = readdir(d))) {
		char path[512];

		if (!strstr(e->d_name, ".conf"))
			continue;
		snprintf(path, sizeof(path), "%s/%s", dir, e->d_name);
		check_bad(path, node);
		n++;
	}
	closedir(d);
	return n;
}

static void every_bad_file_is_named(void **state)
{
	assert_in_range(check_dir("tests/unit/config/bad", false), 20, 1000);
	assert_in_range(check_dir("tests/unit/config/bad-node", true), 5, 100);
}

/* A string that never ends must not spoil the scanner for the next file. */
static void a_bad_file_leaves_nothing_behind(void **state)
{
	static const char *const bad[] = {"cluster { name = \"x",
					  "cluster { name = 'x",
					  "/* cluster",
					  "realm {",
					  "}",
					  "=",
					  "cluster { peers = {a,",
					  "\"",
					  NULL};

	for (const char *const *b = bad; *b; b++) {
		struct config *c;

		assert_int_equal(config_parse(&c, *b, "x", &errors), -EINVAL);
		assert_true(errors.count > 0);
		config_destroy(parse_file("tests/lab/sbcd.conf"));
	}
}

/* What a later version has is not offered. */
static void choices_are_those_of_this_version(void **state)
{
	struct config *c;

	assert_int_equal(config_parse(&c,
				      "network-interface a {\n"
				      "vmac-mode = vrrp }",
				      "f", &errors),
			 -EINVAL);
	assert_string_equal(errors.text,
			    "f:2: 'vrrp' is no vmac-mode; choose one of auto, "
			    "set-mac, ip-only\n");
}

static void several_errors_at_once(void **state)
{
	struct config *c;

	assert_int_equal(config_parse(&c,
				      "cluster { name = \"a b\"\n"
				      "timing = slow\nid = 0 }",
				      "f", &errors),
			 -EINVAL);
	assert_int_equal(errors.count, 3);
	assert_non_null(strstr(errors.text, "f:1: 'a b' is no name"));
	assert_non_null(strstr(errors.text, "f:2: 'slow' is no timing"));
	assert_non_null(strstr(errors.text, "f:3: '0' is no id"));
}

static void many_errors_stay_bounded(void **state)
{
	char *text = malloc(CONFIG_TEXT_MAX_BYTES + 1);
	struct config *c;
	size_t len = 0;

	while (len < CONFIG_TEXT_MAX_BYTES - 200)
		len += (size_t)sprintf(text + len,
				       "local-policy { from = \"%0100d*1\" }\n",
				       (int)len);
	assert_int_equal(config_parse(&c, text, "f", &errors), -EINVAL);
	memset(text, '#', CONFIG_TEXT_MAX_BYTES);
	text[CONFIG_TEXT_MAX_BYTES] = '\0';
	assert_int_equal(config_parse(&c, text, "f", &errors), -EINVAL);
	assert_non_null(strstr(errors.text, "there must be one cluster"));
	text = realloc(text, CONFIG_TEXT_MAX_BYTES + 2);
	strcat(text, "#");
	assert_int_equal(config_parse(&c, text, "f", &errors), -EINVAL);
	assert_non_null(strstr(errors.text, "the file is too long"));
	free(text);
}

static void most_specific_route_wins(void **state)
{
	static const char rules[] =
		"local-policy { from-realm = core; to = \"49*\"; next-hop = a }"
		"local-policy { from-realm = core; to = \"*\"; next-hop = b }"
		"local-policy { from-realm = core; to = \"4930*\";"
		" next-hop = c }"
		"local-policy { from-realm = core; to = \"4930\";"
		" next-hop = d }"
		"local-policy { from-realm = core; to = \"4930*\";"
		" from = \"7*\"; next-hop = e }"
		"local-policy { from-realm = cloud; to = \"112\";"
		" next-hop = a }";
	static const struct {
		const char *from, *to, *hop;
	} calls[] = {
		{"1", "4989", "a"},   {"1", "33", "b"},	  {"1", "", "b"},
		{"1", "493012", "c"}, {"1", "4930", "d"}, {"7", "49301", "e"},
		{"70", "49", "a"},
	};
	char *base = read_text("tests/lab/sbcd.conf"), text[8192];
	struct config *c;
	size_t len;

	*strstr(base, "session-agent") = '\0';
	len = (size_t)snprintf(text, sizeof(text), "%s", base);
	for (char h = 'a'; h <= 'e'; h++)
		len += (size_t)snprintf(text + len, sizeof(text) - len,
					"session-agent %c { realm = cloud; "
					"host = \"10.20.0.%d\" }\n",
					h, h);
	snprintf(text + len, sizeof(text) - len, "%s", rules);
	if (config_parse(&c, text, "routes", &errors))
		fail_msg("%s", errors.text);
	for (size_t i = 0; i < sizeof(calls) / sizeof(calls[0]); i++) {
		const struct config_policy *p =
			config_route(c, config_realm_find(c, "core"),
				     calls[i].from, calls[i].to);

		assert_non_null(p);
		assert_string_equal(p->next_hop->name, calls[i].hop);
	}
	assert_null(config_route(c, config_realm_find(c, "cloud"), "1", "113"));
	config_destroy(c);
	free(base);
}

static const char tls_text[] =
	"cluster { name = \"edge\" peers = {\"a\", \"b\"} }\n"
	"network-interface \"n\" { nic = eth1 address = {\"10.0.0.2/24\"} }\n"
	"realm \"r\" { network-interface = n steering-pool = \"6000-6999\" }\n"
	"tls-profile \"edge\" { end-entity-certificate = \"/a.pem\" }\n"
	"tls-profile \"ours\" { end-entity-certificate = \"/b.pem\" }\n"
	"sip-interface \"s\" {\n"
	"\trealm = r port udp { } port tls { tls-profile = edge }\n"
	"\ttls-handshake-timeout = 7 connections-per-source = 9\n"
	"}\n"
	"session-agent \"named\" {\n"
	"\trealm = r host = \"um.example.net\" address = \"10.0.0.3\"\n"
	"\ttransport = tls tls-profile = ours\n"
	"}\n"
	"session-agent \"other\" {\n"
	"\trealm = r host = \"10.0.0.4\" transport = tls port = 5062\n"
	"\ttls-profile = edge tls-names = {\"a.example\", \"b.example\"}\n"
	"}\n"
	"local-policy { from-realm = r to = \"*\" next-hop = named }\n";

static void tls_of_ports_and_agents(void **state)
{
	const struct config_sip_interface *s;
	struct config *c;

	if (config_parse(&c, tls_text, "tls", &errors))
		fail_msg("%s", errors.text);
	s = &c->sip_interfaces[0];
	assert_int_equal(s->ports_len, 2);
	assert_null(s->ports[0].tls);
	assert_int_equal(s->ports[1].transport, TRANSPORT_TLS);
	assert_int_equal(s->ports[1].port, 5061);
	assert_string_equal(s->ports[1].tls->name, "edge");
	assert_int_equal(s->tls_handshake_ms, 7000);
	assert_int_equal(s->per_source_max, 9);
	/* Nothing said: the standard port, and host is who it is. */
	assert_int_equal(c->agents[0].address.port, 5061);
	assert_string_equal(c->agents[0].tls->name, "ours");
	assert_int_equal(c->agents[0].tls_names_len, 1);
	assert_string_equal(c->agents[0].tls_names[0], "um.example.net");
	assert_int_equal(c->agents[1].address.port, 5062);
	assert_int_equal(c->agents[1].tls_names_len, 2);
	assert_string_equal(c->agents[1].tls_names[1], "b.example");
	config_destroy(c);
}

static void node_example_is_parsed(void **state)
{
	char *text = read_text("conf/node.conf.example");
	struct config *c = parse_file("conf/sbcd.conf.example");
	struct config_node n;

	assert_int_equal(config_node_parse(&n, text, "node.conf", &errors), 0);
	assert_string_equal(n.name, "sbc-a");
	assert_int_equal(n.id, 1);
	assert_string_equal(n.run_dir, "/run/sbcd");
	assert_string_equal(n.state_dir, "/var/lib/sbcd");
	assert_string_equal(n.user, "sbcd");
	assert_string_equal(n.cluster_key_file, "/etc/sbcd/cluster.key");
	assert_int_equal(n.log_level, LOG_INFO);
	assert_int_equal(n.ha_len, 2);
	assert_int_equal(n.ha_addrs[1].ip[3], 1);
	assert_int_equal(n.ha_peers[1].ip[3], 2);
	assert_string_equal(config_node_nic(&n, config_nif_find(c, "core")),
			    "ens192");
	assert_int_equal(config_check(c, &n, &errors), 0);

	n.id = 2;
	assert_int_equal(config_check(c, &n, &errors), -EINVAL);
	assert_non_null(strstr(errors.text, "is not peer 2"));
	n.id = 1;
	strcpy(n.nics[0].nif, "dmz");
	assert_int_equal(config_check(c, &n, &errors), -EINVAL);
	assert_non_null(strstr(errors.text, "no such network-interface"));
	strcpy(n.nics[0].nif, "core");
	strcpy(n.nics[0].nic, "ens224");
	assert_int_equal(config_check(c, &n, &errors), -EINVAL);
	assert_non_null(strstr(errors.text, "both use nic 'ens224'"));
	n.nics_len = 0;
	assert_string_equal(config_node_nic(&n, config_nif_find(c, "core")),
			    "core");
	assert_int_equal(addr_parse_ip(&n.ha_addrs[0], "10.10.0.77", 0), 0);
	assert_int_equal(config_check(c, &n, &errors), -EINVAL);
	assert_non_null(strstr(errors.text, "HA link 1"));
	config_destroy(c);
	free(text);
}

/* What is printed must be what the parser reads. */
static void printed_defaults_are_parsed(void **state)
{
	static const struct {
		const char *what, *value;
	} given[] = {
		{"# peers = (required)", "peers = {\"a\", \"b\"}"},
		{"# network-interface = (required)", "network-interface=NAME"},
		{"# nic = (required)", "nic = eth1"},
		{"# address = (required)", "address = {\"10.0.0.2/24\"}"},
		{"# steering-pool = (required)", "steering-pool=\"6000-6999\""},
		{"# realm = (required)", "realm = NAME"},
		{"# from-realm = (required)", "from-realm = NAME"},
		{"# host = (required)", "host = \"10.0.0.3\""},
		{"# next-hop = (required)", "next-hop = NAME"},
		{"# name = (required)", "name = x"},
		{"port \"NAME\"", "port udp"},
		{"# end-entity-certificate = (required)",
		 "end-entity-certificate = \"/a.pem\""},
		{"tls-version = ", "tls-version = compatibility"},
		{"timing = \"fast\"", "timing = custom"},
		{"timing = fast", "timing = custom"},
	};
	char *printed = NULL, *end, line[1024];
	size_t size, len = 0;
	FILE *f = open_memstream(&printed, &size), *in;
	char text[16384] = "";
	struct config *c;

	config_print_defaults(f);
	fclose(f);
	end = strstr(printed, "# ---- node.conf");
	assert_non_null(end);
	in = fmemopen(printed, (size_t)(end - printed), "r");
	while (fgets(line, sizeof(line), in)) {
		char *bare = line + strspn(line, "\t");
		const char *put = bare;

		for (size_t i = 0; i < sizeof(given) / sizeof(given[0]); i++)
			if (!strncmp(bare, given[i].what,
				     strlen(given[i].what))) {
				put = given[i].value;
				if (strchr(bare, '{'))
					strcpy(bare, "port udp {\n");
			}
		len += (size_t)snprintf(text + len, sizeof(text) - len, "%s%s",
					strchr(bare, '{') ? bare : put, "\n");
	}
	fclose(in);
	if (config_parse(&c, text, "defaults", &errors))
		fail_msg("%s\n%s", errors.text, text);
	assert_int_equal(c->realms[0].guard_initial_ms, 300000);
	config_destroy(c);
	assert_non_null(strstr(end, "cluster-key-file"));
	free(printed);
}

static void files_are_bounded(void **state)
{
	char path[] = "/tmp/config-test-XXXXXX", *text = NULL;
	int fd = mkstemp(path);

	assert_true(fd >= 0);
	assert_int_equal(config_read_file(path, &text), 0);
	assert_string_equal(text, "");
	free(text);
	assert_int_equal(write(fd, "a\0b", 3), 3);
	assert_int_equal(config_read_file(path, &text), -EINVAL);
	assert_int_equal(ftruncate(fd, CONFIG_TEXT_MAX_BYTES + 1), 0);
	assert_int_equal(config_read_file(path, &text), -EFBIG);
	close(fd);
	unlink(path);
	assert_int_equal(config_read_file(path, &text), -ENOENT);
	assert_int_equal(config_read_file("/tmp", &text), -EINVAL);
}

static void workers_are_never_root(void **state)
{
	const struct passwd *nobody = getpwnam("nobody");
	const struct config_node no_such = {.user = "no-such-user-here"};
	const struct config_node none = {.user = ""};
	const struct config_node daemon = {.user = "daemon"};
	const struct config_node root = {.user = "root"};
	uid_t nobodys = nobody->pw_uid, uid = 0;
	gid_t gid = 0;

	assert_int_equal(config_node_user(&root, &uid, &gid), -ENOENT);
	assert_int_equal(config_node_user(&no_such, &uid, &gid), 0);
	assert_int_equal(uid, nobodys);
	assert_int_not_equal(gid, 0);
	assert_int_equal(config_node_user(&daemon, &uid, &gid), 0);
	assert_int_not_equal(uid, nobodys);
	assert_int_equal(config_node_user(&none, &uid, &gid), 0);
	assert_int_equal(uid, nobodys);
}

static void cloud_example_suits_its_peer(void **state)
{
	static const char file[] = "conf/sbcd-cloud.conf.example";
	struct config *c = parse_file(file);
	const struct config_agent *a = config_agent_find(c, "teams");

	assert_non_null(a);
	assert_non_null(a->tls);
	assert_int_equal(a->address.port, 5061);
	assert_string_equal(a->tls_names[0], "sip.pstnhub.microsoft.com");
	if (config_lint(c, file, &errors))
		fail_msg("%s", errors.text);
	config_destroy(c);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(example_is_parsed),
		cmocka_unit_test(lab_is_parsed),
		cmocka_unit_test(timing_profiles),
		cmocka_unit_test(every_bad_file_is_named),
		cmocka_unit_test(a_bad_file_leaves_nothing_behind),
		cmocka_unit_test(choices_are_those_of_this_version),
		cmocka_unit_test(several_errors_at_once),
		cmocka_unit_test(many_errors_stay_bounded),
		cmocka_unit_test(most_specific_route_wins),
		cmocka_unit_test(tls_of_ports_and_agents),
		cmocka_unit_test(node_example_is_parsed),
		cmocka_unit_test(printed_defaults_are_parsed),
		cmocka_unit_test(files_are_bounded),
		cmocka_unit_test(workers_are_never_root),
		cmocka_unit_test(cloud_example_suits_its_peer),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
