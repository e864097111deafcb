/*
 * Keys in what peers send appear in nothing that people read: the log of the
 * worker, its stack's own trace of every message, its answers to queries and
 * every record printed; nor at the other side of the call.
 */
#include "harness_secure.h"

#define SECRET "S3cr3tS3cr3tS3cr3tS3cr3tS3cr3tS3cr3tS3cr"

static const char *ours = SECRET; /* a key that was made here */
static char shown[1 << 20];
static int saved, log_fd;

/* What the worker says goes to a file, and everything its stack sees too. */
static int log_up(void **state)
{
	ours = SECRET;
	setenv("SIP_TEST_LOG", "7", 1);
	setenv("TPORT_LOG", "1", 1);
	fflush(stderr);
	log_fd = memfd_create("log", MFD_CLOEXEC);
	saved = dup(STDERR_FILENO);
	if (log_fd < 0 || saved < 0 || dup2(log_fd, STDERR_FILENO) < 0)
		return -1;
	return up(state);
}

static int log_down(void **state)
{
	dup2(saved, STDERR_FILENO);
	close(saved);
	close(log_fd);
	return down(state);
}

static void log_read(void)
{
	ssize_t n = pread(log_fd, shown, sizeof(shown) - 1, 0);

	assert_true(n >= 0);
	shown[n] = '\0';
}

static bool print_one(void *ctx, const struct ha_item *item)
{
	static union rec_any any;
	unsigned *masked = ctx;
	char *text;
	json_t *o;

	if (item->deleted ||
	    record_decode(item->key.kind, item->value, item->size, &any))
		return true;
	o = record_to_json(item->key.kind, &any);
	text = json_dumps(o, 0);
	assert_null(strstr(text, SECRET));
	assert_null(strstr(text, ours));
	*masked += strstr(text, "inline:***") != NULL;
	free(text);
	json_decref(o);
	return true;
}

static void keys_are_shown_to_nobody(void **state)
{
	static const char crypto[] =
		"a=crypto:1 AES_CM_128_HMAC_SHA1_80 inline:" SECRET "\r\n";
	unsigned masked = 0;
	char *inv;

	dlg_new(&a, &pbx, "2000");
	/* The trace is paced: what stands in its first lines counts. */
	snprintf(a.target, sizeof(a.target),
		 "sip:2000@10.10.0.10:5060;x=inline:%s", SECRET);
	request(&a, "INVITE", NULL, sdp_text("10.10.0.50", 30000, crypto));
	expect_status(&pbx, 100, "INVITE");
	expect(&um, "INVITE");
	assert_null(strstr(body(um.msg), "crypto"));
	inv = keep(um.msg);
	ha_store_foreach(keeper.store, print_one, &masked);
	assert_true(masked > 0);
	answer_to(&um, inv, 200, "callee", NULL,
		  sdp_text("10.20.0.50", 40000, crypto));
	expect_status(&pbx, 200, "INVITE");
	assert_null(strstr(body(pbx.msg), "crypto"));
	ha_store_foreach(keeper.store, print_one, &masked);
	assert_null(strstr(keeper_query("{\"cmd\":\"calls\"}"), SECRET));
	log_read();
	assert_non_null(strstr(shown, "event=stack"));
	assert_non_null(strstr(shown, "inline:***"));
	assert_null(strstr(shown, SECRET));
}

static int log_up_srtp(void **state)
{
	conf_cloud = "media-sec-policy = sec";
	conf_extra = policy_text("srtp", "");
	return log_up(state);
}

/* Keys that are used: the peer's and our own. */
static void nor_keys_in_use(void **state)
{
	static const char line[] = "1 " SUITE "inline:" SECRET;
	unsigned masked = 0;
	char query[64], *inv;
	uint64_t id;

	invite();
	note_key(um.msg);
	ours = our_key + strlen("inline:");
	inv = keep(um.msg);
	answer_to(&um, inv, 200, "callee", NULL, srtp_text(40000, line, NULL));
	expect_status(&pbx, 200, "INVITE");
	learn(&a);
	ack(&a, NULL);
	expect(&um, "ACK");
	id = media_read().id;
	ha_store_foreach(keeper.store, print_one, &masked);
	assert_true(masked > 0);
	/* What is refused is told: without what it was. */
	request(&b, "INVITE", NULL,
		srtp_text(40000, "1 " SUITE "inline:" SECRET "|1:1 FEC", NULL));
	expect_status(&um, 488, "INVITE");
	ack(&b, NULL);
	request(&a, "INVITE", NULL, sdp_text("10.10.0.50", 30000, ""));
	expect(&um, "INVITE");
	answer_to(&um, keep(um.msg), 488, NULL, NULL, NULL);
	expect_status(&pbx, 488, "INVITE");
	ack(&a, NULL);
	snprintf(query, sizeof(query), "{\"cmd\":\"call\",\"id\":\"%016llx\"}",
		 (unsigned long long)id);
	assert_non_null(strstr(keeper_query(query), "established"));
	assert_null(strstr(keeper.reply, SECRET));
	assert_null(strstr(keeper.reply, ours));
	bye(&a, &um);
	log_read();
	assert_non_null(strstr(shown, "event=media-refused"));
	assert_non_null(strstr(shown, "event=offer-refused"));
	assert_null(strstr(shown, SECRET));
	assert_null(strstr(shown, ours));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(keys_are_shown_to_nobody,
						log_up, log_down),
		cmocka_unit_test_setup_teardown(nor_keys_in_use, log_up_srtp,
						log_down),
	};

	if (stage_network(NULL))
		return 1;
	return cmocka_run_group_tests(tests, NULL, NULL);
}
