/*
 * CPU of the media worker per relayed packet, over veth. Prints one JSON
 * object. Environment: RATE (packets a second), SECONDS.
 */
#include "worker_harness.h"

enum { CALLS = 240, BURST_MS = 1 };

static struct node *a = &nodes[0];

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
	uint64_t start_ms = clock_mono_ms(), now_ms;
	unsigned sent = 0;
	uint8_t p[172];

	while ((now_ms = clock_mono_ms()) < start_ms + 1000 * seconds) {
		unsigned due = (unsigned)((now_ms - start_ms) * rate / 1000);

		for (; sent < due; sent++) {
			unsigned call = sent / 2 % CALLS;
			uint16_t seq = (uint16_t)(sent / 2 / CALLS);
			size_t n = rtp_make(p, call, seq, seq * 160u, 160);

			far_send(sent & 1 ? pbx : phone,
				 sent & 1 ? "10.20.0.10" : "10.10.0.10",
				 (uint16_t)(PORT_FIRST + 4 * call), p, n);
		}
		usleep(1000 * BURST_MS);
	}
	return sent;
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

	node_take(a);
	worker_start(a);
	node_activate(a, 7);
	for (uint16_t i = 0; i < CALLS; i++) {
		struct rec_media r = record_of((uint16_t)(PORT_FIRST + 4 * i));

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
