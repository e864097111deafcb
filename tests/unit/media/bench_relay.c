/*
 * CPU of the media worker per relayed packet, over veth. Prints one JSON
 * object. Environment: RATE (packets a second), SECONDS; ENGINE: SRTP on one
 * side, by that engine.
 */
#include "srtp_test.h"
#include "worker_harness.h"

enum { CALLS = 240, BURST_MS = 1 };

enum { OURS = 1, THEIRS = 2 };

static const enum srtp_suite suite = SRTP_AES_CM_128_HMAC_SHA1_80;

static struct node *a = &nodes[0];
static struct msrtp_engine *engine; /* of the generator; NULL: plain RTP */
static struct msrtp *contexts[CALLS];

/* Keys of the side of the PBX: ours, the generator's. */
static void add_keys(struct rec_media *r, unsigned call)
{
	for (unsigned i = 0; i < 2; i++) {
		struct key_bytes key = key_of((uint8_t)(2 * call + i));
		struct rec_key *k = &r->keys[r->keys_len++];

		k->leg = 2;
		k->use = i ? KEY_RX : KEY_TX;
		k->suite = suite;
		k->number = i ? THEIRS : OURS;
		k->key.size = (uint32_t)msrtp_suite_key_size(suite);
		memcpy(k->key.data, key.bytes, k->key.size);
		if (i)
			contexts[call] =
				context_of(engine, suite, SRTP_SEND, key.bytes);
	}
}

static size_t protected(unsigned call, uint8_t *data, size_t size)
{
	uint32_t n = (uint32_t)size;

	if (!engine)
		return size;
	assert_int_equal(protect(engine, contexts[call], data, &n, false),
			 SRTP_OK);
	return n;
}

struct sample {
	json_int_t cpu_us, rx, tx, batches;
};

static struct sample sample_now(void)
{
	json_t *o = ask(a, "{\"cmd\":\"stats\"}");
	json_t *threads = json_object_get(o, "threads");
	struct sample s = {0};

	for (size_t i = 0; i < json_array_size(threads); i++) {
		json_t *t = json_array_get(threads, i);

		s.cpu_us += json_integer_value(json_object_get(t, "cpu-us"));
		s.rx += json_integer_value(json_object_get(t, "rx-packets"));
		s.tx += json_integer_value(json_object_get(t, "tx-packets"));
		s.batches += json_integer_value(json_object_get(t, "batches"));
	}
	json_decref(o);
	return s;
}

/* Bursts of a millisecond, as the packets of many phones come. */
static unsigned generate(unsigned rate, unsigned seconds, int phone, int pbx)
{
	static unsigned sent;
	uint64_t start_ms = clock_mono_ms(), now_ms;
	unsigned before = sent;
	uint8_t p[PACKET_ROOM];

	while ((now_ms = clock_mono_ms()) < start_ms + 1000 * seconds) {
		unsigned due =
			before + (unsigned)((now_ms - start_ms) * rate / 1000);

		for (; sent < due; sent++) {
			unsigned call = sent / 2 % CALLS;
			uint16_t seq = (uint16_t)(sent / 2 / CALLS);
			size_t n = rtp_make(p, call, seq, seq * 160u, 160);

			if (sent & 1)
				n = protected(call, p, n);
			far_send(sent & 1 ? pbx : phone,
				 sent & 1 ? "10.20.0.10" : "10.10.0.10",
				 (uint16_t)(PORT_FIRST + 4 * call), p, n);
		}
		usleep(1000 * BURST_MS);
	}
	return sent - before;
}

static void use_srtp(void)
{
	static char text[128];
	const char *name = getenv("ENGINE");

	if (!name || !*name)
		return;
	engine = engine_of(NULL);
	snprintf(text, sizeof(text), "media-manager { srtp-engine = %s }\n",
		 name);
	config_more = text;
}

static unsigned argument(const char *name, unsigned otherwise)
{
	const char *v = getenv(name);

	return v ? (unsigned)atoi(v) : otherwise;
}

static void bench(void **state)
{
	unsigned rate = argument("RATE", 20000);
	unsigned seconds = argument("SECONDS", 3), sent;
	struct sample before, after;
	int phone, pbx;
	json_int_t rx;

	use_srtp();
	node_take(a);
	worker_start(a);
	node_activate(a, 7);
	for (uint16_t i = 0; i < CALLS; i++) {
		struct rec_media r = record_of((uint16_t)(PORT_FIRST + 4 * i));

		if (engine)
			add_keys(&r, i);
		put_media(a, 1 + i, &r);
		if (i % 64 == 63)
			wait_applied(a);
	}
	wait_applied(a);
	phone = far_socket("10.10.0.50", 7000);
	pbx = far_socket("10.20.0.50", 7000);
	generate(rate, 1, phone, pbx);
	before = sample_now();
	sent = generate(rate, seconds, phone, pbx);
	listen_to(a, 100);
	after = sample_now();
	rx = after.rx - before.rx;
	assert_true(rx > 0);
	printf("BENCH {\"offered-pps\": %u, \"sent\": %u, \"relayed\": %lld, "
	       "\"lost\": %lld, \"ns-per-packet\": %lld, "
	       "\"packets-per-batch\": %.1f}\n",
	       rate, sent, (long long)(after.tx - before.tx),
	       (long long)sent - (long long)(after.tx - before.tx),
	       (long long)((after.cpu_us - before.cpu_us) * 1000 / rx),
	       (double)rx / (double)(after.batches - before.batches));
	close(phone);
	close(pbx);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(bench, world_setup,
						world_teardown),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
