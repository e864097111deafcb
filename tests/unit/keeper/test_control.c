#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>
#include <cmocka.h>
#include "sbcd/base/loop.h"
#include "sbcd/keeper/control.h"

struct fixture {
	struct loop *loop;
	struct loop_timer *timer;
	struct control *control;
	char path[64];
	uint64_t deferred; /* "wait": answered by hand */
	int runs;
};

static void on_timer(void *ctx)
{
	loop_stop(((struct fixture *)ctx)->loop, 0);
}

static void turn(struct fixture *f, uint64_t ms)
{
	loop_timer_arm(f->timer, ms);
	loop_run(f->loop);
}

static void run(void *ctx, uint64_t id, const struct control_request *r)
{
	struct fixture *f = ctx;

	f->runs++;
	if (!strcmp(r->cmd, "echo"))
		control_reply(f->control, id, json_incref(r->args));
	else if (!strcmp(r->cmd, "wait"))
		f->deferred = id;
	else if (!strcmp(r->cmd, "big"))
		control_reply(f->control, id, json_sprintf("%1000000d", 1));
	else
		control_error(f->control, id, CONTROL_UNKNOWN, "no %s", r->cmd);
}

static int setup(void **state)
{
	struct fixture *f = calloc(1, sizeof(*f));

	assert_non_null(f);
	snprintf(f->path, sizeof(f->path), "/tmp/sbcd-control-%d",
		 (int)getpid());
	assert_int_equal(loop_create(&f->loop), 0);
	assert_int_equal(loop_timer_create(f->loop, &f->timer, on_timer, f), 0);
	assert_int_equal(control_create(&f->control, f->loop, f->path, run, f),
			 0);
	*state = f;
	return 0;
}

static int teardown(void **state)
{
	struct fixture *f = *state;

	control_destroy(f->control);
	assert_int_equal(access(f->path, F_OK), -1);
	loop_timer_destroy(f->timer);
	loop_destroy(f->loop);
	free(f);
	return 0;
}

static int client(const struct fixture *f)
{
	struct sockaddr_un sun = {.sun_family = AF_UNIX};
	int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK, 0);

	assert_true(fd >= 0);
	strcpy(sun.sun_path, f->path);
	assert_int_equal(connect(fd, (struct sockaddr *)&sun, sizeof(sun)), 0);
	return fd;
}

static const char *ask(struct fixture *f, int fd, const void *data, size_t len)
{
	static char answer[4096];
	ssize_t n;

	assert_int_equal(send(fd, data, len, MSG_NOSIGNAL), (ssize_t)len);
	turn(f, 20);
	n = recv(fd, answer, sizeof(answer) - 1, 0);
	answer[n > 0 ? n : 0] = '\0';
	return answer;
}

#define ASK(f, fd, text) ask(f, fd, text, strlen(text))

static void answers(void **state)
{
	struct fixture *f = *state;
	int fd = client(f);
	struct stat st;

	assert_string_equal(
		ASK(f, fd, "{\"cmd\":\"echo\",\"args\":{\"a\":1}}\n"),
		"{\"ok\":true,\"data\":{\"a\":1}}\n");
	/* The same connection again, and two at once. */
	assert_string_equal(ASK(f, fd, "{\"cmd\":\"x\"}\n"),
			    "{\"ok\":false,\"error\":\"no x\",\"code\":3}\n");
	assert_string_equal(
		ASK(f, fd, "{\"cmd\":\"echo\"}\n{\"cmd\":\"echo\"}\n"),
		"{\"ok\":true,\"data\":{}}\n{\"ok\":true,\"data\":{}}\n");
	close(fd);
	assert_int_equal(stat(f->path, &st), 0);
	assert_int_equal(st.st_mode & 0777, 0660);
}

static void answers_later(void **state)
{
	struct fixture *f = *state;
	int fd = client(f), other = client(f);

	assert_string_equal(ASK(f, fd, "{\"cmd\":\"wait\"}\n"), "");
	/* Others are served meanwhile, its own next request is not. */
	assert_string_equal(ASK(f, other, "{\"cmd\":\"echo\"}\n"),
			    "{\"ok\":true,\"data\":{}}\n");
	assert_string_equal(ASK(f, fd, "{\"cmd\":\"echo\"}\n"), "");
	control_error(f->control, f->deferred, CONTROL_TIMEOUT, "late");
	turn(f, 20);
	assert_string_equal(ASK(f, fd, "\n"),
			    "{\"ok\":false,\"error\":\"late\",\"code\":5}\n"
			    "{\"ok\":true,\"data\":{}}\n"
			    "{\"ok\":false,\"error\":\"not JSON\","
			    "\"code\":2}\n");
	close(other);
	/* The client leaves: the answer is nobody's. */
	assert_string_equal(ASK(f, fd, "{\"cmd\":\"wait\"}\n"), "");
	close(fd);
	turn(f, 20);
	control_reply(f->control, f->deferred, json_object());
}

static void garbage_is_answered_and_counted(void **state)
{
	static const char too_long[] =
		"{\"cmd\":\"a command whose name is longer than any of ours "
		"could ever be, so that it has to be refused at once\"}\n";
	static const char *const bad[] = {
		"\n",
		"{\n",
		"[]\n",
		"{\"cmd\":1}\n",
		"{\"cmd\":\"\"}\n",
		"{\"cmd\":\"echo\",\"args\":[]}\n",
		"{\"cmd\":\"echo\",\"cmd\":\"echo\"}\n",
		"\xff\xfe\n",
		too_long,
	};
	struct fixture *f = *state;
	struct control_stats stats;

	for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
		int fd = client(f);

		assert_non_null(strstr(ASK(f, fd, bad[i]), "\"code\":2"));
		close(fd);
	}
	assert_int_equal(f->runs, 0);
	control_get_stats(f->control, &stats);
	assert_int_equal(stats.malformed, sizeof(bad) / sizeof(bad[0]));
}

static void a_line_is_bounded(void **state)
{
	struct fixture *f = *state;
	char *line = malloc(2 * CONTROL_LINE_MAX);
	int fd = client(f);
	char answer[128];
	ssize_t n;

	memset(line, ' ', 2 * CONTROL_LINE_MAX);
	send(fd, line, 2 * CONTROL_LINE_MAX, MSG_NOSIGNAL);
	turn(f, 20);
	n = recv(fd, answer, sizeof(answer) - 1, 0);
	assert_true(n > 0);
	answer[n] = '\0';
	assert_non_null(strstr(answer, "line too long"));
	/* And the connection is over. */
	n = recv(fd, answer, sizeof(answer), 0);
	assert_true(n == 0 || (n < 0 && errno == ECONNRESET));
	close(fd);
	free(line);
}

static void clients_are_bounded(void **state)
{
	struct fixture *f = *state;
	int fds[CONTROL_CLIENTS_MAX + 4];
	struct control_stats stats;

	for (size_t i = 0; i < CONTROL_CLIENTS_MAX + 4; i++) {
		fds[i] = client(f);
		turn(f, 1);
	}
	turn(f, 20);
	control_get_stats(f->control, &stats);
	assert_int_equal(stats.clients, CONTROL_CLIENTS_MAX);
	assert_int_equal(stats.refused_clients, 4);
	for (size_t i = 0; i < CONTROL_CLIENTS_MAX + 4; i++)
		close(fds[i]);
	turn(f, 20);
	control_get_stats(f->control, &stats);
	assert_int_equal(stats.clients, 0);
}

static void a_big_answer_arrives_whole(void **state)
{
	struct fixture *f = *state;
	int fd = client(f);
	char chunk[65536];
	size_t got = 0;
	ssize_t n;

	send(fd, "{\"cmd\":\"big\"}\n", 14, MSG_NOSIGNAL);
	for (int i = 0; i < 200; i++) {
		turn(f, 2);
		while ((n = recv(fd, chunk, sizeof(chunk), 0)) > 0)
			got += (size_t)n;
	}
	assert_int_equal(got,
			 1000000 + strlen("{\"ok\":true,\"data\":\"\"}\n"));
	close(fd);
}

#define T(f) cmocka_unit_test_setup_teardown(f, setup, teardown)

int main(void)
{
	const struct CMUnitTest tests[] = {
		T(answers),
		T(answers_later),
		T(garbage_is_answered_and_counted),
		T(a_line_is_bounded),
		T(clients_are_bounded),
		T(a_big_answer_arrives_whole),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
