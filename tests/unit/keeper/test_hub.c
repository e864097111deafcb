/* Records between store and workers, and when a put is committed. */
#include "hub_fake.h"

/* ---- routing ------------------------------------------------------------ */
static void records_go_to_who_subscribes(void **state)
{
	struct fake *f = *state;

	attach_both(f);
	from(f, HUB_SIP, put(1, REC_CALL, 0), 0);
	from(f, HUB_SIP, put(1, REC_MEDIA, 0), 0);
	from(f, HUB_MEDIA, put(1, REC_MSTATE, 0), 0);
	hub_pump(f->hub, 0);
	/* Nobody gets its own back. */
	assert_int_equal(records(f, HUB_MEDIA), 1);
	assert_int_equal(f->sent[HUB_MEDIA][0].key.kind, REC_MEDIA);
	assert_int_equal(f->sent[HUB_MEDIA][0].size, 5);
	assert_int_equal(records(f, HUB_SIP), 1);
	assert_int_equal(f->sent[HUB_SIP][0].key.kind, REC_MSTATE);
	assert_int_equal(ha_store_count(f->store), 3);
}

static void from_the_peer_to_both(void **state)
{
	struct fake *f = *state;
	struct ha_version v = {.epoch = 1, .generation = 1};
	struct ha_key call = {.id = 1, .kind = REC_CALL};
	struct ha_key media = {.id = 1, .kind = REC_MEDIA};

	attach_both(f);
	assert_int_equal(ha_store_put(f->store, &call, &v, "x", 1), 1);
	assert_int_equal(ha_store_put(f->store, &media, &v, "x", 1), 1);
	hub_applied(f->hub, &call);
	hub_applied(f->hub, &media);
	hub_pump(f->hub, 0);
	assert_int_equal(records(f, HUB_SIP), 2);
	assert_int_equal(records(f, HUB_MEDIA), 1);
}

/* Keys of tickets are the SIP worker's, and nobody else's. */
static void ticket_keys_go_to_the_sip_worker(void **state)
{
	struct fake *f = *state;
	struct ha_version v = {.epoch = 1, .generation = 9};
	struct ha_key ticket = {.kind = REC_TICKET};

	attach_both(f);
	from(f, HUB_SIP, put(0, REC_TICKET, 0), 0);
	assert_int_equal(ha_store_count_kind(f->store, REC_TICKET), 1);
	from(f, HUB_MEDIA, put(0, REC_TICKET, 0), 0);
	assert_int_equal(f->refused, 1);
	assert_int_equal(ha_store_put(f->store, &ticket, &v, "x", 1), 1);
	hub_applied(f->hub, &ticket);
	hub_pump(f->hub, 0);
	assert_int_equal(records(f, HUB_SIP), 1);
	assert_int_equal(records(f, HUB_MEDIA), 0);
}

/* Kinds of a newer release: the store has them, no worker gets them. */
static void unknown_kinds_stay_here(void **state)
{
	static const uint8_t kinds[] = {REC_KIND_MAX,	31, 32, 32 + REC_CALL,
					64 + REC_MEDIA, 255};
	struct ha_version v = {.epoch = 1, .generation = 1};
	struct fake *f = *state;

	attach_both(f);
	for (size_t i = 0; i < sizeof(kinds); i++) {
		struct ha_key key = {.id = 1, .kind = kinds[i]};

		assert_int_equal(ha_store_put(f->store, &key, &v, "x", 1), 1);
		hub_applied(f->hub, &key);
	}
	hub_pump(f->hub, 0);
	hub_attach(f->hub, HUB_SIP, HUB_REPLAY_ALL);
	hub_attach(f->hub, HUB_MEDIA, HUB_REPLAY_ALL);
	hub_pump(f->hub, 0);
	assert_int_equal(records(f, HUB_SIP), 0);
	assert_int_equal(records(f, HUB_MEDIA), 0);
	assert_int_equal(ha_store_count(f->store), sizeof(kinds));
}

static void one_writer_a_kind(void **state)
{
	struct fake *f = *state;
	bool timed_out = false;

	attach_both(f);
	from(f, HUB_MEDIA, put(1, REC_CALL, 0), 0);
	from(f, HUB_SIP, put(1, REC_MSTATE, 0), 0);
	from(f, HUB_SIP, put(1, REC_CONFIG, 9), 0);
	from(f, HUB_SIP, put(1, 200, 0), 0);
	assert_int_equal(f->refused, 4);
	assert_int_equal(ha_store_count(f->store), 0);
	/* Whoever waits is told all the same. */
	assert_int_equal(committed(f, 9, &timed_out), 1);
	assert_true(timed_out);
}

/* ---- replay and credit -------------------------------------------------- */
static void fill(struct fake *f, size_t n)
{
	struct ha_version v = {.epoch = 1, .generation = 1};

	for (size_t i = 0; i < n; i++) {
		struct ha_key key = {.id = i + 1, .kind = REC_CALL};

		assert_int_equal(ha_store_put(f->store, &key, &v, "x", 1), 1);
	}
}

static void replay_is_paced_by_credit(void **state)
{
	struct fake *f = *state;

	fill(f, 3 * LINK_WINDOW);
	hub_attach(f->hub, HUB_SIP, HUB_REPLAY_ALL);
	for (int i = 0; i < 20; i++)
		hub_pump(f->hub, 0);
	assert_int_equal(records(f, HUB_SIP), LINK_WINDOW);
	/* No busy loop while it has no credit. */
	assert_true(hub_deadline_ms(f->hub) == UINT64_MAX);
	ack(f, HUB_SIP, 100);
	for (int i = 0; i < 20; i++)
		hub_pump(f->hub, 0);
	assert_int_equal(records(f, HUB_SIP), LINK_WINDOW + 100);
	assert_int_equal(f->replayed[HUB_SIP], 0);
	for (size_t acked = 0; !f->replayed[HUB_SIP] && acked < 100; acked++) {
		ack(f, HUB_SIP,
		    f->sent[HUB_SIP][f->sent_len[HUB_SIP] - 1].token);
		hub_pump(f->hub, 0);
	}
	assert_int_equal(records(f, HUB_SIP), 3 * LINK_WINDOW);
	assert_int_equal(f->sent[HUB_SIP][f->sent_len[HUB_SIP] - 1].type,
			 LINK_REPLAY_END);
	assert_true(hub_is_replayed(f->hub, HUB_SIP));
}

static void acks_of_the_future_are_ignored(void **state)
{
	struct fake *f = *state;

	fill(f, 2 * LINK_WINDOW);
	hub_attach(f->hub, HUB_SIP, HUB_REPLAY_ALL);
	ack(f, HUB_SIP, UINT64_MAX);
	for (int i = 0; i < 20; i++)
		hub_pump(f->hub, 0);
	assert_int_equal(records(f, HUB_SIP), LINK_WINDOW);
}

static void live_changes_pass_a_replay(void **state)
{
	struct fake *f = *state;
	size_t at;

	fill(f, LINK_WINDOW * 4);
	hub_attach(f->hub, HUB_MEDIA, HUB_REPLAY_ALL);
	hub_attach(f->hub, HUB_SIP, HUB_REPLAY_ALL);
	hub_pump(f->hub, 0);
	from(f, HUB_MEDIA, put(99999, REC_MSTATE, 0), 0);
	hub_pump(f->hub, 0);
	for (at = 0; at < f->sent_len[HUB_SIP]; at++) {
		if (f->sent[HUB_SIP][at].key.id == 99999)
			break;
	}
	assert_true(at < f->sent_len[HUB_SIP]);
	assert_true(at < LINK_WINDOW);
	assert_int_equal(f->replayed[HUB_SIP], 0);
}

static void changes_without_credit_are_coalesced(void **state)
{
	struct fake *f = *state;
	struct hub_stats stats;
	struct link_message m;

	attach_both(f);
	for (uint64_t i = 0; i < 3 * LINK_WINDOW; i++)
		from(f, HUB_SIP, put(i % LINK_WINDOW, REC_MEDIA, 0), 0);
	hub_pump(f->hub, 0);
	assert_int_equal(records(f, HUB_MEDIA), LINK_WINDOW);
	/* No credit left: a thousand changes of one record wait as one, and
	 * it is the last that is sent. */
	for (int i = 0; i < 1000; i++)
		from(f, HUB_SIP, put(7, REC_MEDIA, 0), 0);
	m = put(7, REC_MEDIA, 0);
	m.value = "newest";
	m.size = 6;
	from(f, HUB_SIP, m, 0);
	hub_pump(f->hub, 0);
	hub_get_stats(f->hub, &stats);
	assert_int_equal(stats.waiting[HUB_MEDIA], 1);
	ack(f, HUB_MEDIA, LINK_WINDOW);
	hub_pump(f->hub, 0);
	assert_int_equal(records(f, HUB_MEDIA), LINK_WINDOW + 1);
	assert_int_equal(f->sent[HUB_MEDIA][LINK_WINDOW].size, 6);
}

static void a_full_link_loses_nothing(void **state)
{
	struct fake *f = *state;

	attach_both(f);
	f->send_error[HUB_MEDIA] = -ENOBUFS;
	from(f, HUB_SIP, put(1, REC_MEDIA, 0), 0);
	hub_pump(f->hub, 0);
	assert_int_equal(records(f, HUB_MEDIA), 0);
	f->send_error[HUB_MEDIA] = 0;
	hub_pump(f->hub, 0);
	assert_int_equal(records(f, HUB_MEDIA), 1);
}

static void deletions_are_sent_as_such(void **state)
{
	struct fake *f = *state;
	struct link_message del = {
		.type = LINK_DELETE,
		.key = {.id = 1, .kind = REC_MEDIA},
	};

	attach_both(f);
	from(f, HUB_SIP, put(1, REC_MEDIA, 0), 0);
	hub_pump(f->hub, 0);
	from(f, HUB_SIP, del, 0);
	/* Reaped before it was sent: deleted all the same. */
	ha_store_reap(f->store, 1000000, 0);
	hub_pump(f->hub, 0);
	assert_int_equal(f->sent_len[HUB_MEDIA], 2);
	assert_int_equal(f->sent[HUB_MEDIA][1].flags, LINK_F_DELETED);
	assert_int_equal(f->sent[HUB_MEDIA][1].size, 0);
}

static void without_records_the_replay_is_empty(void **state)
{
	struct fake *f = *state;

	fill(f, 10);
	f->put_error = -EPERM;
	hub_attach(f->hub, HUB_SIP, HUB_REPLAY_NONE);
	hub_pump(f->hub, 0);
	assert_int_equal(records(f, HUB_SIP), 0);
	assert_int_equal(f->replayed[HUB_SIP], 1);
}

/* ---- commits ------------------------------------------------------------ */
static void commit_waits_for_the_engine(void **state)
{
	struct fake *f = *state;
	bool timed_out = true;

	attach_both(f);
	from(f, HUB_SIP, put(1, REC_CALL, 5), 100);
	hub_pump(f->hub, 100);
	assert_int_equal(committed(f, 5, &timed_out), 0);
	hub_committed(f->hub, f->last_token, false);
	assert_int_equal(committed(f, 5, &timed_out), 1);
	assert_false(timed_out);
	/* Twice is once. */
	hub_committed(f->hub, f->last_token, false);
	assert_int_equal(committed(f, 5, &timed_out), 1);
}

static void alone_is_at_once(void **state)
{
	struct fake *f = *state;
	bool timed_out = true;

	f->commit_at_once = true;
	attach_both(f);
	from(f, HUB_SIP, put(1, REC_CALL, 5), 100);
	hub_pump(f->hub, 100);
	assert_int_equal(committed(f, 5, &timed_out), 1);
	assert_false(timed_out);
}

static void commit_waits_for_media(void **state)
{
	struct fake *f = *state;
	bool timed_out = true;

	f->commit_at_once = true;
	attach_both(f);
	/* The media record comes after the sync put of the same batch. */
	from(f, HUB_SIP, put(1, REC_CALL, 5), 100);
	from(f, HUB_SIP, put(1, REC_MEDIA, 0), 100);
	hub_pump(f->hub, 100);
	assert_int_equal(committed(f, 5, &timed_out), 0);
	ack(f, HUB_MEDIA, f->sent[HUB_MEDIA][0].token);
	assert_int_equal(committed(f, 5, &timed_out), 1);
	assert_false(timed_out);
}

static void media_of_others_is_not_waited_for(void **state)
{
	struct fake *f = *state;
	bool timed_out = true;

	f->commit_at_once = true;
	attach_both(f);
	from(f, HUB_SIP, put(1, REC_MEDIA, 0), 90);
	hub_pump(f->hub, 90);
	ack(f, HUB_MEDIA, f->sent[HUB_MEDIA][0].token);
	from(f, HUB_SIP, put(1, REC_CALL, 5), 100);
	hub_pump(f->hub, 100);
	assert_int_equal(committed(f, 5, &timed_out), 1);
	/* The other way round: what comes in a later turn is of a later
	 * commit. */
	f->commit_at_once = false;
	from(f, HUB_SIP, put(1, REC_CALL, 6), 100);
	hub_pump(f->hub, 100);
	from(f, HUB_SIP, put(2, REC_MEDIA, 0), 101);
	hub_pump(f->hub, 101);
	hub_committed(f->hub, f->last_token, false);
	assert_int_equal(committed(f, 6, &timed_out), 1);
}

static void commit_waits_for_media_without_credit(void **state)
{
	struct fake *f = *state;
	bool timed_out = true;

	f->commit_at_once = true;
	attach_both(f);
	for (uint64_t i = 0; i < LINK_WINDOW; i++)
		from(f, HUB_SIP, put(i + 10, REC_MEDIA, 0), 100);
	hub_pump(f->hub, 100);
	from(f, HUB_SIP, put(1, REC_MEDIA, 0), 101);
	from(f, HUB_SIP, put(1, REC_CALL, 5), 101);
	hub_pump(f->hub, 101);
	ack(f, HUB_MEDIA, LINK_WINDOW);
	hub_pump(f->hub, 102);
	assert_int_equal(committed(f, 5, &timed_out), 0);
	ack(f, HUB_MEDIA, LINK_WINDOW + 1);
	assert_int_equal(committed(f, 5, &timed_out), 1);
	assert_false(timed_out);
}

static void commit_has_a_deadline(void **state)
{
	struct fake *f = *state;
	bool timed_out = false;

	attach_both(f);
	from(f, HUB_SIP, put(1, REC_CALL, 5), 100);
	hub_pump(f->hub, 100);
	assert_int_equal(hub_deadline_ms(f->hub), 100 + HUB_COMMIT_MS);
	hub_pump(f->hub, 100 + HUB_COMMIT_MS - 1);
	assert_int_equal(committed(f, 5, &timed_out), 0);
	hub_pump(f->hub, 100 + HUB_COMMIT_MS);
	assert_int_equal(committed(f, 5, &timed_out), 1);
	assert_true(timed_out);
	assert_true(hub_deadline_ms(f->hub) == UINT64_MAX);
	/* The engine's late word is nobody's. */
	hub_committed(f->hub, f->last_token, false);
	assert_int_equal(committed(f, 5, &timed_out), 1);
}

static void a_dead_media_worker_is_not_waited_for(void **state)
{
	struct fake *f = *state;
	bool timed_out = true;

	f->commit_at_once = true;
	attach_both(f);
	from(f, HUB_SIP, put(1, REC_MEDIA, 0), 100);
	from(f, HUB_SIP, put(1, REC_CALL, 5), 100);
	hub_pump(f->hub, 100);
	assert_int_equal(committed(f, 5, &timed_out), 0);
	hub_detach(f->hub, HUB_MEDIA);
	assert_int_equal(committed(f, 5, &timed_out), 1);
	assert_false(timed_out);
}

static void a_refused_put_is_answered(void **state)
{
	struct fake *f = *state;
	bool timed_out = false;

	attach_both(f);
	f->put_error = -EPERM;
	from(f, HUB_SIP, put(1, REC_CALL, 5), 100);
	hub_pump(f->hub, 100);
	assert_int_equal(f->refused, 1);
	assert_int_equal(committed(f, 5, &timed_out), 1);
	assert_true(timed_out);
}

static void many_commits_in_any_order(void **state)
{
	struct fake *f = *state;
	uint64_t tokens[3000];
	bool timed_out = false;
	struct hub_stats stats;

	attach_both(f);
	for (uint64_t i = 0; i < 3000; i++) {
		from(f, HUB_SIP, put(i, REC_CALL, i + 1), 100);
		tokens[i] = f->last_token;
	}
	hub_pump(f->hub, 100);
	for (uint64_t i = 3000; i-- > 0;)
		hub_committed(f->hub, tokens[i], false);
	for (uint64_t i = 0; i < 3000; i++)
		assert_int_equal(committed(f, i + 1, &timed_out), 1);
	hub_get_stats(f->hub, &stats);
	assert_int_equal(stats.commits_pending, 0);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		T(records_go_to_who_subscribes),
		T(from_the_peer_to_both),
		T(ticket_keys_go_to_the_sip_worker),
		T(unknown_kinds_stay_here),
		T(one_writer_a_kind),
		T(replay_is_paced_by_credit),
		T(acks_of_the_future_are_ignored),
		T(live_changes_pass_a_replay),
		T(changes_without_credit_are_coalesced),
		T(a_full_link_loses_nothing),
		T(deletions_are_sent_as_such),
		T(without_records_the_replay_is_empty),
		T(commit_waits_for_the_engine),
		T(alone_is_at_once),
		T(commit_waits_for_media),
		T(media_of_others_is_not_waited_for),
		T(commit_waits_for_media_without_credit),
		T(commit_has_a_deadline),
		T(a_dead_media_worker_is_not_waited_for),
		T(a_refused_put_is_answered),
		T(many_commits_in_any_order),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
