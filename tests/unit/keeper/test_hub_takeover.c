/* What a worker is told, and what is kept from it, when it is to serve. */
#include "hub_fake.h"

static const struct ha_key *key_of(uint64_t id, uint8_t kind, uint16_t sub)
{
	static struct ha_key key;

	memset(&key, 0, sizeof(key));
	key.id = id;
	key.sub = sub;
	key.kind = kind;
	return &key;
}

/* How often this was sent to the worker; `value` counts what has one. */
static size_t sent(struct fake *f, enum hub_worker w, uint8_t type, uint64_t id,
		   uint8_t kind)
{
	size_t n = 0;

	for (size_t i = 0; i < f->sent_len[w]; i++)
		n += f->sent[w][i].type == type && f->sent[w][i].key.id == id &&
		     f->sent[w][i].key.kind == kind &&
		     !(f->sent[w][i].flags & LINK_F_DELETED);
	return n;
}

static struct link_message with_sub(struct link_message m, uint16_t sub)
{
	m.key.sub = sub;
	return m;
}

static struct link_message deleted(uint64_t id, uint8_t kind)
{
	struct link_message m = put(id, kind, 0);

	m.type = LINK_DELETE;
	return m;
}

static void one_call(struct fake *f, uint64_t id)
{
	from(f, HUB_SIP, put(id, REC_CALL, 0), 0);
	from(f, HUB_SIP, put(id, REC_DIALOG, 0), 0);
	from(f, HUB_SIP, with_sub(put(id, REC_DIALOG, 0), 1), 0);
	from(f, HUB_SIP, put(id, REC_TXN, 0), 0);
	from(f, HUB_SIP, put(id, REC_MEDIA, 0), 0);
	hub_pump(f->hub, 0);
}

static void replay(struct fake *f, enum hub_worker w, enum hub_replay what)
{
	hub_detach(f->hub, w);
	f->sent_len[w] = 0;
	hub_attach(f->hub, w, what);
	for (int i = 0; i < 10; i++)
		hub_pump(f->hub, 0);
	assert_true(hub_is_replayed(f->hub, w));
}

/* What killed the worker stays away; the rest comes with the word to end. */
static void a_buried_call_comes_without_the_culprit(void **state)
{
	struct fake *f = *state;

	attach_both(f);
	one_call(f, 4);
	one_call(f, 5);
	assert_int_equal(hub_bury(f->hub, HUB_SIP, key_of(4, REC_DIALOG, 1)),
			 0);
	replay(f, HUB_SIP, HUB_REPLAY_ALL);
	assert_int_equal(sent(f, HUB_SIP, LINK_RECORD, 4, REC_CALL), 1);
	assert_int_equal(sent(f, HUB_SIP, LINK_RECORD, 4, REC_DIALOG), 1);
	assert_int_equal(sent(f, HUB_SIP, LINK_RECORD, 4, REC_TXN), 1);
	assert_int_equal(sent(f, HUB_SIP, LINK_RECORD, 5, REC_DIALOG), 2);
	assert_int_equal(sent(f, HUB_SIP, LINK_BURY, 4, 0), 1);
	assert_int_equal(sent(f, HUB_SIP, LINK_BURY, 5, 0), 0);
	replay(f, HUB_MEDIA, HUB_REPLAY_ALL);
	assert_int_equal(sent(f, HUB_MEDIA, LINK_RECORD, 4, REC_MEDIA), 0);
	assert_int_equal(sent(f, HUB_MEDIA, LINK_RECORD, 5, REC_MEDIA), 1);
	/* When the worker has ended it nothing of it remains. */
	from(f, HUB_SIP, deleted(4, REC_CALL), 0);
	assert_int_equal(ha_store_count(f->store), 5);
}

/* Who is to serve gets what is known before, and not more than it can take. */
static void what_waits_comes_first(void **state)
{
	struct fake *f = *state;

	attach_both(f);
	one_call(f, 1);
	assert_true(hub_catch_up(f->hub, HUB_SIP));
	/* At the end of a turn it would be sent; this is before. */
	hub_applied(f->hub, key_of(1, REC_CALL, 0));
	assert_true(hub_catch_up(f->hub, HUB_SIP));
	assert_int_equal(sent(f, HUB_SIP, LINK_RECORD, 1, REC_CALL), 1);
	hub_applied(f->hub, key_of(1, REC_CALL, 0));
	f->send_error[HUB_SIP] = -EAGAIN;
	assert_false(hub_catch_up(f->hub, HUB_SIP));
	hub_pump(f->hub, 0);
	assert_int_equal(f->replayed[HUB_SIP], 1);
	f->send_error[HUB_SIP] = 0;
	hub_pump(f->hub, 0);
	assert_int_equal(sent(f, HUB_SIP, LINK_RECORD, 1, REC_CALL), 2);
	assert_int_equal(f->replayed[HUB_SIP], 2);
	assert_true(hub_catch_up(f->hub, HUB_SIP));
	/* Told once, and nothing to a worker that is gone. */
	hub_pump(f->hub, 0);
	assert_int_equal(f->replayed[HUB_SIP], 2);
	hub_detach(f->hub, HUB_SIP);
	assert_false(hub_catch_up(f->hub, HUB_SIP));
	hub_pump(f->hub, 0);
	assert_int_equal(f->replayed[HUB_SIP], 2);
}

static void buried_twice_is_gone_everywhere(void **state)
{
	struct fake *f = *state;

	attach_both(f);
	one_call(f, 4);
	from(f, HUB_SIP, put(5, REC_MEDIA, 0), 0);
	hub_pump(f->hub, 0);
	assert_int_equal(hub_bury(f->hub, HUB_SIP, key_of(4, REC_CALL, 0)), 0);
	replay(f, HUB_SIP, HUB_REPLAY_ALL);
	assert_int_equal(hub_bury(f->hub, HUB_SIP, key_of(4, 0, 0)), 5);
	hub_pump(f->hub, 0);
	assert_int_equal(ha_store_count(f->store), 1);
	assert_int_equal(f->sent[HUB_MEDIA][f->sent_len[HUB_MEDIA] - 1].flags,
			 LINK_F_DELETED);
	assert_int_equal(f->sent[HUB_MEDIA][f->sent_len[HUB_MEDIA] - 1].key.id,
			 4);
	assert_int_equal(hub_bury(f->hub, HUB_SIP, key_of(0, REC_CONFIG, 0)),
			 -EINVAL);
}

static void buried_on_a_standby_until_it_serves(void **state)
{
	struct fake *f = *state;
	uint64_t ids[2];

	attach_both(f);
	one_call(f, 2);
	one_call(f, 3);
	f->put_error = -EPERM;
	assert_int_equal(hub_bury(f->hub, HUB_SIP, key_of(2, 0, 0)), 0);
	assert_int_equal(hub_doomed(f->hub, ids, 2), 0);
	assert_int_equal(hub_bury(f->hub, HUB_SIP, key_of(2, 0, 0)), 0);
	assert_int_equal(hub_doomed(f->hub, ids, 0), 1);
	assert_int_equal(hub_doomed(f->hub, ids, 2), 1);
	assert_int_equal(ids[0], 2);
	replay(f, HUB_SIP, HUB_REPLAY_ALL);
	assert_int_equal(sent(f, HUB_SIP, LINK_RECORD, 2, REC_CALL), 0);
	/* What the active still says about it arrives as its end. */
	hub_applied(f->hub, key_of(2, REC_CALL, 0));
	hub_pump(f->hub, 0);
	assert_int_equal(sent(f, HUB_SIP, LINK_RECORD, 2, REC_CALL), 0);
	assert_int_equal(ha_store_count(f->store), 10);
	f->put_error = 0;
	hub_serve(f->hub);
	assert_int_equal(ha_store_count(f->store), 5);
	assert_int_equal(hub_doomed(f->hub, ids, 2), 0);
	assert_true(hub_is_replayed(f->hub, HUB_SIP));
}

/* A live SIP worker ends what the media worker died of. */
static void the_media_workers_culprit_is_ended(void **state)
{
	struct fake *f = *state;

	attach_both(f);
	one_call(f, 4);
	assert_int_equal(hub_bury(f->hub, HUB_MEDIA, key_of(4, REC_MEDIA, 0)),
			 0);
	assert_int_equal(sent(f, HUB_SIP, LINK_BURY, 4, 0), 1);
	replay(f, HUB_MEDIA, HUB_REPLAY_ALL);
	assert_int_equal(sent(f, HUB_MEDIA, LINK_RECORD, 4, REC_MEDIA), 0);
}

static void farewell_is_dialogs_only(void **state)
{
	struct fake *f = *state;

	attach_both(f);
	one_call(f, 4);
	replay(f, HUB_SIP, HUB_REPLAY_FAREWELL);
	assert_int_equal(sent(f, HUB_SIP, LINK_RECORD, 4, REC_CALL), 1);
	assert_int_equal(sent(f, HUB_SIP, LINK_RECORD, 4, REC_DIALOG), 2);
	assert_int_equal(sent(f, HUB_SIP, LINK_RECORD, 4, REC_TXN), 0);
	assert_int_equal(sent(f, HUB_SIP, LINK_BURY, 0, 0), 1);
	/* Sent, but it may yet die of it. */
	assert_false(hub_has_applied(f->hub, HUB_SIP));
	ack(f, HUB_SIP, 2);
	assert_false(hub_has_applied(f->hub, HUB_SIP));
	ack(f, HUB_SIP, 3);
	assert_true(hub_has_applied(f->hub, HUB_SIP));
	from(f, HUB_SIP, deleted(4, REC_CALL), 0);
	assert_int_equal(ha_store_count(f->store), 0);
}

static void without_records_calls_are_deleted(void **state)
{
	struct fake *f = *state;

	attach_both(f);
	one_call(f, 4);
	f->put_error = -EPERM;
	replay(f, HUB_SIP, HUB_REPLAY_NONE);
	assert_int_equal(ha_store_count(f->store), 5);
	f->put_error = 0;
	hub_serve(f->hub);
	assert_false(hub_is_replayed(f->hub, HUB_SIP));
	for (int i = 0; i < 3; i++)
		hub_pump(f->hub, 0);
	assert_true(hub_is_replayed(f->hub, HUB_SIP));
	assert_int_equal(ha_store_count(f->store), 0);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		T(what_waits_comes_first),
		T(a_buried_call_comes_without_the_culprit),
		T(buried_twice_is_gone_everywhere),
		T(buried_on_a_standby_until_it_serves),
		T(the_media_workers_culprit_is_ended),
		T(farewell_is_dialogs_only),
		T(without_records_calls_are_deleted),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
