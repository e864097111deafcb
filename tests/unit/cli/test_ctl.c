/* sbcctl against a daemon that is a thread: requests, answers, exit codes. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include <errno.h>
#include <poll.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include "sbcd/cli/client.h"
#include "sbcd/cli/ctl.h"
#include "sbcd/config/config.h"
#include "tests/unit/cli/ctl_run.h"

static char path[64];
static int listener = -1;

/* What the daemon says to its next client, and what it was asked. */
static const char *answer;
static char asked[4096];
static pthread_t thread;

static void *serve(void *unused)
{
	struct pollfd p = {.events = POLLIN};
	size_t len = 0;
	ssize_t n;
	int fd = accept(listener, NULL, NULL);

	asked[0] = '\0';
	p.fd = fd;
	while (!memchr(asked, '\n', len) && poll(&p, 1, 2000) == 1) {
		n = recv(fd, asked + len, sizeof(asked) - 1 - len, 0);
		if (n <= 0)
			break;
		len += (size_t)n;
		asked[len] = '\0';
	}
	if (answer) {
		/* In two pieces: an answer may arrive in any. */
		size_t half = strlen(answer) / 2;

		n = send(fd, answer, half, MSG_NOSIGNAL);
		n += send(fd, answer + half, strlen(answer) - half,
			  MSG_NOSIGNAL);
		/* Until the client has gone. */
		poll(&p, 1, 2000);
	}
	close(fd);
	return NULL;
}

static int setup(void **state)
{
	struct sockaddr_un sun = {.sun_family = AF_UNIX};

	if (!mkdtemp(dir))
		return -1;
	snprintf(path, sizeof(path), "%s/sock", dir);
	memcpy(sun.sun_path, path, strlen(path));
	listener = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
	if (bind(listener, (struct sockaddr *)&sun, sizeof(sun)) < 0)
		return -1;
	return listen(listener, 1);
}

static int teardown(void **state)
{
	close(listener);
	unlink(path);
	return rmdir(dir);
}

/* The same with the daemon there. */
static int ask(const char *words, const char *with)
{
	char line[512];
	int code;

	answer = with;
	snprintf(line, sizeof(line), "-s %s %s", path, words);
	assert_int_equal(pthread_create(&thread, NULL, serve, NULL), 0);
	code = ctl(line);
	assert_int_equal(pthread_join(thread, NULL), 0);
	return code;
}

static void requests_are_what_was_agreed(void **state)
{
	static const struct {
		const char *words, *line;
	} cases[] = {
		{"show redundancy", "{\"cmd\":\"show redundancy\"}\n"},
		{"show calls", "{\"cmd\":\"show calls\"}\n"},
		{"show interfaces", "{\"cmd\":\"show interfaces\"}\n"},
		{"show counters", "{\"cmd\":\"show counters\"}\n"},
		{"show config", "{\"cmd\":\"show config\"}\n"},
		{"show health", "{\"cmd\":\"show health\"}\n"},
		{"show version", "{\"cmd\":\"version\"}\n"},
		{"version", "{\"cmd\":\"version\"}\n"},
		{"show call 00c0ffee",
		 "{\"cmd\":\"show call\",\"args\":{\"id\":\"00c0ffee\"}}\n"},
		{"drain", "{\"cmd\":\"drain\"}\n"},
		{"undrain", "{\"cmd\":\"undrain\"}\n"},
		{"maintenance on",
		 "{\"cmd\":\"maintenance\",\"args\":{\"on\":true}}\n"},
		{"maintenance off",
		 "{\"cmd\":\"maintenance\",\"args\":{\"on\":false}}\n"},
		{"switchover",
		 "{\"cmd\":\"switchover\",\"args\":{\"force\":false}}\n"},
		{"switchover --force",
		 "{\"cmd\":\"switchover\",\"args\":{\"force\":true}}\n"},
		{"--force switchover",
		 "{\"cmd\":\"switchover\",\"args\":{\"force\":true}}\n"},
	};

	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		assert_int_equal(
			ask(cases[i].words,
			    "{\"ok\":true,\"data\":{\"score\":100}}\n"),
			CTL_OK);
		assert_string_equal(asked, cases[i].line);
	}
}

static void answers_are_printed(void **state)
{
	static const char line[] =
		"{\"ok\":true,\"data\":{\"node\":\"sbc-a\",\"role\":\"ACTIVE\"}"
		"}\n";

	assert_int_equal(ask("show redundancy", line), CTL_OK);
	assert_string_equal(printed, "node  sbc-a\nrole  ACTIVE\n");
	assert_int_equal(ask("-o json show redundancy", line), CTL_OK);
	assert_string_equal(printed, "{\n  \"node\": \"sbc-a\",\n"
				     "  \"role\": \"ACTIVE\"\n}\n");
	assert_int_equal(ask("show config",
			     "{\"ok\":true,\"data\":{\"digest\":\"1\","
			     "\"text\":\"cluster {\\n\\t\\u001b}\\n\"}}\n"),
			 CTL_OK);
	assert_string_equal(printed, "cluster {\n\t?}\n");
}

static void refusals_have_codes(void **state)
{
	assert_int_equal(ask("switchover",
			     "{\"ok\":false,\"error\":\"peer not in sync\","
			     "\"code\":4}\n"),
			 CTL_FAILED);
	assert_string_equal(printed, "sbcctl: peer not in sync\n");
	assert_int_equal(ask("show call zz",
			     "{\"ok\":false,\"error\":\"bad id\",\"code\":2}"
			     "\n"),
			 CTL_USAGE);
	assert_int_equal(ask("show calls", "{\"ok\":false}\n"), CTL_FAILED);
}

static void health_has_a_code(void **state)
{
	static const char line[] =
		"{\"ok\":true,\"data\":{\"score\":60,\"deductions\":[]}}\n";

	assert_int_equal(ask("show health", line), CTL_OK);
	assert_int_equal(ask("show health --min 60", line), CTL_OK);
	assert_int_equal(ask("show health --min 61", line), CTL_UNHEALTHY);
	assert_non_null(strstr(printed, "score       60"));
	assert_int_equal(
		ask("show health", "{\"ok\":true,\"data\":{\"score\":49}}\n"),
		CTL_UNHEALTHY);
}

static void a_strange_daemon_is_survived(void **state)
{
	assert_int_equal(ask("show calls", NULL), CTL_UNREACHABLE);
	assert_int_equal(ask("show calls", "garbage\n"), CTL_UNREACHABLE);
	assert_int_equal(ask("show calls", "{\"ok\":1}\n"), CTL_UNREACHABLE);
	assert_int_equal(ask("show calls", "[]\n"), CTL_UNREACHABLE);
	assert_int_equal(ask("show calls", "\n"), CTL_UNREACHABLE);
	assert_int_equal(ask("show calls", "{\"ok\":true}\n"), CTL_OK);
	assert_int_equal(ask("show calls", "{\"ok\":true,\"data\":7}\n"),
			 CTL_OK);
}

static void nobody_there(void **state)
{
	assert_int_equal(ctl("-s /nonexistent/sock show calls"),
			 CTL_UNREACHABLE);
	assert_non_null(strstr(printed, "/nonexistent/sock: No such file"));
	/* Its own version is told all the same. */
	assert_int_equal(ctl("-s /nonexistent/sock version"), CTL_UNREACHABLE);
	assert_non_null(strstr(printed, "sbcctl  " SBC_VERSION));
}

static void silence_has_an_end(void **state)
{
	json_t *unused = NULL;

	/* In the listen queue, never served. */
	assert_int_equal(client_ask(path, "show calls", NULL, 150, &unused),
			 -ETIMEDOUT);
	assert_null(unused);
	close(accept(listener, NULL, NULL));
}

static void wrong_usage_is_told(void **state)
{
	static const char *const bad[] = {"",
					  "show",
					  "show nothing",
					  "show calls twice",
					  "show call",
					  "shwo calls",
					  "-o yaml show calls",
					  "--min x show health",
					  "--min 101 show health",
					  "--force show calls",
					  "config",
					  "config check",
					  "config check a b c",
					  "config firewall a",
					  "switchover now",
					  "drain now",
					  "maintenance",
					  "maintenance maybe",
					  "--unknown",
					  NULL};

	for (const char *const *b = bad; *b; b++) {
		assert_int_equal(ctl(*b), CTL_USAGE);
		assert_non_null(strstr(printed, "exit codes:"));
	}
	assert_int_equal(ctl("--help"), CTL_OK);
	assert_non_null(strstr(printed, "switchover [--force]"));
	assert_int_equal(ctl("--version"), CTL_OK);
}

static void config_is_checked_locally(void **state)
{
	assert_int_equal(ctl("config check conf/sbcd.conf.example"), CTL_OK);
	assert_string_equal(printed, "conf/sbcd.conf.example: ok\n");
	assert_int_equal(ctl("config check conf/sbcd.conf.example "
			     "conf/node.conf.example"),
			 CTL_OK);
	assert_int_equal(ctl("config check tests/lab/sbcd.conf "
			     "tests/unit/config/bad-node/id-range.conf"),
			 CTL_FAILED);
	assert_non_null(strstr(printed, "id-range.conf:7: '3' is no id"));
	assert_int_equal(
		ctl("config check tests/unit/config/bad/mac-form.conf"),
		CTL_FAILED);
	assert_non_null(strstr(printed, "mac-form.conf:10: "));
	assert_int_equal(ctl("-o json config check tests/lab/sbcd.conf"),
			 CTL_OK);
	assert_string_equal(printed, "{\"ok\": true}\n");
	assert_int_equal(ctl("config check /nonexistent"), CTL_FAILED);
	assert_int_equal(ctl("config check /tmp"), CTL_FAILED);
	free(printed);
	printed = NULL;
}

/* The file that is shipped is what the command makes of the examples. */
static void firewall_is_made_of_the_configuration(void **state)
{
	char *shipped = NULL;

	assert_int_equal(ctl("config firewall conf/sbcd.conf.example "
			     "conf/node.conf.example"),
			 CTL_OK);
	assert_int_equal(config_read_file("conf/nftables/sbcd.nft", &shipped),
			 0);
	assert_string_equal(printed, shipped);
	free(shipped);
	assert_int_equal(ctl("config firewall tests/lab/sbcd.conf "
			     "tests/unit/config/bad-node/id-range.conf"),
			 CTL_FAILED);
	assert_non_null(strstr(printed, "id-range.conf:7: '3' is no id"));
	assert_null(strstr(printed, "table"));
	assert_int_equal(ctl("config firewall tests/lab/sbcd.conf /none"),
			 CTL_FAILED);
	free(printed);
	printed = NULL;
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(requests_are_what_was_agreed),
		cmocka_unit_test(answers_are_printed),
		cmocka_unit_test(refusals_have_codes),
		cmocka_unit_test(health_has_a_code),
		cmocka_unit_test(a_strange_daemon_is_survived),
		cmocka_unit_test(nobody_there),
		cmocka_unit_test(silence_has_an_end),
		cmocka_unit_test(wrong_usage_is_told),
		cmocka_unit_test(config_is_checked_locally),
		cmocka_unit_test(firewall_is_made_of_the_configuration),
	};

	return cmocka_run_group_tests(tests, setup, teardown);
}
