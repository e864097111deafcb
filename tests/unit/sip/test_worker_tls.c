/* A worker with a tls-profile: keys of tickets outlive it. */
#include "tests/unit/sip/harness.h"

#include "tests/unit/sip/tls_certs.h"

static char extra[1024];
static const struct ha_key ticket_key = {.kind = REC_TICKET};

static int setup(void **state)
{
	EVP_PKEY *ca = EVP_EC_gen("P-256"), *key = EVP_EC_gen("P-256");

	assert_non_null(mkdtemp(dir));
	make("root", NULL, NULL, 100, ca);
	make("edge", "root", "serverAuth,clientAuth", 100, key);
	EVP_PKEY_free(ca);
	EVP_PKEY_free(key);
	snprintf(extra, sizeof(extra),
		 "tls-profile \"edge\" { end-entity-certificate = \"%s\"\n"
		 " private-key = \"%s\" trusted-ca-certificates = {\"%s\"}\n"
		 " mutual-authenticate = enabled }\n",
		 path("edge", "crt"), path("edge", "key"), path("root", "crt"));
	conf_extra = extra;
	return stage_network(state);
}

static int teardown(void **state)
{
	static const char *const made[] = {"root", "edge"};

	remove_all(made, 2);
	return 0;
}

/* The record when it is there and younger than that. */
static struct rec_ticket wait_ticket(uint64_t than)
{
	uint64_t deadline = clock_mono_ms() + 10 * WAIT_MS;
	struct rec_ticket r;
	struct ha_item item;

	while (clock_mono_ms() < deadline) {
		if (ha_store_get(keeper.store, &ticket_key, &item) &&
		    !item.deleted &&
		    !record_decode(REC_TICKET, item.value, item.size, &r) &&
		    item.version.generation > than)
			return r;
		run_ms(10);
	}
	fail_msg("no keys of tickets");
	return r;
}

static uint64_t generation(void)
{
	struct ha_item item;

	assert_true(ha_store_get(keeper.store, &ticket_key, &item));
	return item.version.generation;
}

static void answers(void)
{
	assert_non_null(strstr(keeper_query("{\"cmd\":\"tls\"}"), "edge"));
}

static void one_key_for_both_nodes(void **state)
{
	struct rec_ticket r = wait_ticket(0);
	uint64_t made = generation();

	assert_int_equal(r.keys_len, 1);
	assert_int_equal(r.keys[0].secret.size, REC_TICKET_SECRET_SIZE);
	/* the next worker, or the other node's: it has what there is */
	for (unsigned i = 0; i < 2; i++) {
		keeper_kill();
		keeper_start(i);
		if (!i)
			keeper_activate();
		keeper_wait_active();
		answers();
		run_ms(QUIET_MS);
		assert_true(generation() == made);
	}
	/* and its keys are nothing that is shown */
	assert_null(strstr(keeper.reply, "secret"));
}

static void standby_makes_none(void **state)
{
	struct ha_version v;

	wait_ticket(0);
	keeper_kill();
	v = (struct ha_version){keeper.epoch, ++keeper.generation, 1};
	assert_true(ha_store_delete(keeper.store, &ticket_key, &v, 1) >= 0);
	keeper_start(false);
	answers();
	run_ms(QUIET_MS);
	assert_int_equal(ha_store_count_kind(keeper.store, REC_TICKET), 0);
	keeper_activate();
	wait_ticket(0);
}

static void bad_record(void **state)
{
	struct rec_ticket r = wait_ticket(0);
	struct ha_version v = {keeper.epoch, ++keeper.generation, 1};
	struct buf value;

	keeper_kill();
	r.keys[0].secret.size = 7;
	buf_init(&value, 4096);
	assert_int_equal(record_encode(REC_TICKET, &r, &value), 0);
	assert_true(ha_store_put(keeper.store, &ticket_key, &v, value.data,
				 value.size) >= 0);
	buf_finish(&value);
	keeper_start(true);
	keeper_wait_active();
	/* refused, and there are good ones in its place */
	r = wait_ticket(v.generation);
	assert_int_equal(r.keys[0].secret.size, REC_TICKET_SECRET_SIZE);
	answers();
}

#define T(f) cmocka_unit_test_setup_teardown(f, stage_up, stage_down)

int main(void)
{
	const struct CMUnitTest tests[] = {
		T(one_key_for_both_nodes),
		T(standby_makes_none),
		T(bad_record),
	};

	return cmocka_run_group_tests(tests, setup, teardown);
}
