/*
 * What goes wrong beneath the worker: somebody sets the clock (it jumps on
 * SIGUSR1 and SIGUSR2, here and in the stack's library), the network reports
 * that a peer cannot be reached.
 */
#include "harness_call.h"

#include <sys/syscall.h>
#include <time.h>

enum { STEP_S = 3600 };

static volatile sig_atomic_t step_s;

int clock_gettime(clockid_t id, struct timespec *ts)
{
	int rc = (int)syscall(SYS_clock_gettime, id, ts);

	if (!rc && id == CLOCK_REALTIME)
		ts->tv_sec += step_s;
	return rc;
}

static void on_signal(int sig)
{
	step_s = sig == SIGUSR1 ? STEP_S : -STEP_S;
}

static void goes_on(int sig)
{
	char *inv;

	invite();
	inv = keep(um.msg);
	kill(keeper.pid, sig);
	expect_nothing(&pbx, "no timer has run out");
	/* It asks on: no timer stands still either. */
	expect(&um, "INVITE");
	answer_to(&um, inv, 180, "callee", NULL, NULL);
	expect_status(&pbx, 180, "INVITE");
	kill(keeper.pid, sig == SIGUSR1 ? SIGUSR2 : SIGUSR1);
	expect_nothing(&pbx, "it may ring on");
	answer_to(&um, inv, 200, "callee", NULL,
		  sdp_text("10.20.0.50", 40000, ""));
	expect_status(&pbx, 200, "INVITE");
	/* Repeated until the ACK. */
	expect_status(&pbx, 200, "INVITE");
	learn(&a);
	ack(&a, NULL);
	expect(&um, "ACK");
	bye(&a, &um);
}

static void set_forward(void **state)
{
	goes_on(SIGUSR1);
}

static void set_back(void **state)
{
	goes_on(SIGUSR2);
}

/* An ARP request lost, a peer that restarts, a forged ICMP: no verdict. */
static void unreachable_for_a_while(void **state)
{
	char *inv;

	ua_close(&um);
	dlg_new(&a, &pbx, "2000");
	request(&a, "INVITE", NULL, sdp_text("10.10.0.50", 30000, ""));
	expect_status(&pbx, 100, "INVITE");
	expect_nothing(&pbx, "the callee is asked again first");
	ua_open(&um, "10.20.0.50", "10.20.0.10", false);
	expect(&um, "INVITE");
	dlg_accept(&b, &um);
	inv = keep(um.msg);
	answer_to(&um, inv, 200, "callee", NULL,
		  sdp_text("10.20.0.50", 40000, ""));
	expect_status(&pbx, 200, "INVITE");
	learn(&a);
	ack(&a, NULL);
	expect(&um, "ACK");
	ua_close(&um);
	request(&a, "BYE", NULL, NULL);
	expect_status(&pbx, 200, "BYE");
	run_ms(100);
	ua_open(&um, "10.20.0.50", "10.20.0.10", false);
	expect(&um, "BYE");
	answer_to(&um, keep(um.msg), 200, NULL, NULL, NULL);
	keeper_expect_records(0);
}

#define CASE(name) cmocka_unit_test_setup_teardown(name, up, down)

int main(void)
{
	const struct CMUnitTest tests[] = {
		CASE(set_forward),
		CASE(set_back),
		CASE(unreachable_for_a_while),
	};

	if (stage_network(NULL))
		return 1;
	signal(SIGUSR1, on_signal);
	signal(SIGUSR2, on_signal);
	return cmocka_run_group_tests(tests, NULL, NULL);
}
