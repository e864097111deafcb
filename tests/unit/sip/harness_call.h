/*
 * Calls between the peers of harness.h: `pbx` and `um`, dialogs `a` (caller)
 * and `b` (callee). tcp_peers makes both of them speak TCP.
 */
#ifndef TEST_SIP_HARNESS_CALL_H
#define TEST_SIP_HARNESS_CALL_H

#include "harness.h"

static struct ua pbx, um;
static struct dlg a, b;

static UNUSED const char *const core_ips[] = {"10.10.0.", "fd00:10:", NULL};
static UNUSED const char *const cloud_ips[] = {"10.20.0.", "fd00:20:", NULL};

static bool tcp_peers;

static UNUSED int up(void **state)
{
	if (stage_up(state))
		return -1;
	ua_open(&pbx, "10.10.0.50", "10.10.0.10", tcp_peers);
	ua_open(&um, tcp_peers ? "10.20.0.51" : "10.20.0.50", "10.20.0.10",
		tcp_peers);
	return 0;
}

static UNUSED int down(void **state)
{
	ua_close(&pbx);
	ua_close(&um);
	return stage_down(state);
}

static UNUSED char *keep(const char *text)
{
	static char kept[4][TEXT_SIZE];
	static unsigned turn;
	char *out = kept[turn++ % 4];

	snprintf(out, TEXT_SIZE, "%s", text);
	return out;
}

/* INVITE from pbx until it stands before um; both dialogs known. */
static UNUSED void invite(void)
{
	dlg_new(&a, &pbx, tcp_peers ? "7000" : "2000");
	request(&a, "INVITE", NULL, sdp_text("10.10.0.50", 30000, ""));
	expect_status(&pbx, 100, "INVITE");
	expect(&um, "INVITE");
	dlg_accept(&b, &um);
}

static UNUSED void establish(void)
{
	char *inv;

	invite();
	inv = keep(um.msg);
	answer_to(&um, inv, 180, "callee", NULL, NULL);
	expect_status(&pbx, 180, "INVITE");
	answer_to(&um, inv, 200, "callee", NULL,
		  sdp_text("10.20.0.50", 40000, ""));
	expect_status(&pbx, 200, "INVITE");
	learn(&a);
	ack(&a, NULL);
	expect(&um, "ACK");
	run_ms(20);
}

static UNUSED void bye(struct dlg *from, struct ua *to)
{
	request(from, "BYE", NULL, NULL);
	expect(to, "BYE");
	answer_to(to, to->msg, 200, NULL, NULL, NULL);
	expect_status(from->u, 200, "BYE");
	keeper_expect_records(0);
}

static UNUSED void reinvite(struct dlg *from, struct ua *to, const char *sdp,
			    const char *answer)
{
	char *inv;

	request(from, "INVITE", NULL, sdp);
	expect(to, "INVITE");
	inv = keep(to->msg);
	answer_to(to, inv, 200, NULL, NULL, answer);
	expect_status(from->u, 200, "INVITE");
	ack(from, NULL);
	expect(to, "ACK");
}

#endif
