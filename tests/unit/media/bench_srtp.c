/*
 * Nanoseconds per packet of every SRTP engine and suite, a batch of packets of
 * different calls at a time, and how many times faster than libsrtp2 that is
 * in the same run: CPU time of the thread, not of the clock on the wall. Prints
 * one JSON object. Environment: SUITE, SESSIONS, MS (per measurement). One
 * suite a process: libsrtp2 gets slower with every session there ever was.
 */
#include <jansson.h>
#include <time.h>

#include "srtp_test.h"

#include "sbcd/base/clock.h"

enum {
	BATCH = 64,
	RTP_BYTES = 172, /* 20 ms of G.711 */
	SESSIONS_MAX = 20000,
	ROUND_MIN = 5,
};

struct bench {
	struct msrtp_engine *e;
	struct msrtp **tx, **rx;
	uint16_t *seq;
	unsigned n;
	uint64_t order;
};

static uint8_t data[BATCH][512];
static struct msrtp_packet packets[BATCH];

static unsigned argument(const char *name, unsigned otherwise)
{
	const char *v = getenv(name);

	return v ? (unsigned)strtoul(v, NULL, 10) : otherwise;
}

static uint64_t cpu_ns(void)
{
	struct timespec t;

	clock_gettime(CLOCK_THREAD_CPUTIME_ID, &t);
	return (uint64_t)t.tv_sec * 1000000000ull + (uint64_t)t.tv_nsec;
}

/* A batch as it comes in: packets of calls in any order. */
static void batch_make(struct bench *b, unsigned *who)
{
	for (unsigned i = 0; i < BATCH; i++) {
		struct msrtp_packet *p = &packets[i];

		who[i] = random_below(&b->order, b->n);
		p->context = b->tx[who[i]];
		p->data = data[i];
		p->size = (uint32_t)rtp_make(data[i], who[i], ++b->seq[who[i]],
					     1, RTP_BYTES - 12);
		p->room = sizeof(data[i]);
		p->rtcp = false;
	}
}

static void run(struct bench *b, unsigned ms, double *out, double *in)
{
	uint64_t spent[2] = {0}, until = clock_mono_ns() + ms * 1000000ull;
	unsigned who[BATCH], rounds = 0;

	while (rounds < ROUND_MIN || clock_mono_ns() < until) {
		uint64_t t[3];

		batch_make(b, who);
		t[0] = cpu_ns();
		msrtp_protect(b->e, packets, BATCH);
		t[1] = cpu_ns();
		for (unsigned i = 0; i < BATCH; i++) {
			assert_int_equal(packets[i].result, SRTP_OK);
			packets[i].context = b->rx[who[i]];
		}
		spent[0] += t[1] - t[0];
		t[1] = cpu_ns();
		msrtp_unprotect(b->e, packets, BATCH, 0);
		t[2] = cpu_ns();
		spent[1] += t[2] - t[1];
		for (unsigned i = 0; i < BATCH; i++)
			assert_int_equal(packets[i].result, SRTP_OK);
		rounds++;
	}
	*out = (double)spent[0] / (rounds * BATCH);
	*in = (double)spent[1] / (rounds * BATCH);
}

static void measure(const char *engine, unsigned suite, unsigned n, unsigned ms,
		    double *out, double *in)
{
	struct bench b = {.e = engine_of(engine), .n = n, .order = 7};
	uint8_t key[SRTP_KEY_SIZE_MAX];

	b.tx = calloc(n, sizeof(*b.tx));
	b.rx = calloc(n, sizeof(*b.rx));
	b.seq = calloc(n, sizeof(*b.seq));
	assert_true(b.tx && b.rx && b.seq);
	for (unsigned i = 0; i < n; i++) {
		random_bytes(&b.order, key, sizeof(key));
		b.tx[i] = context_of(b.e, suite, SRTP_SEND, key);
		b.rx[i] = context_of(b.e, suite, SRTP_RECEIVE, key);
	}
	run(&b, ms / 5, out, in); /* warm */
	run(&b, ms, out, in);
	for (unsigned i = 0; i < n; i++) {
		msrtp_destroy(b.tx[i]);
		msrtp_destroy(b.rx[i]);
	}
	free(b.tx);
	free(b.rx);
	free(b.seq);
	msrtp_engine_destroy(b.e);
}

static const char *suite_name(unsigned suite)
{
	static const char *const names[SRTP_SUITES] = {
		"",
		"AES_CM_128_HMAC_SHA1_80",
		"AES_CM_128_HMAC_SHA1_32",
		"AES_256_CM_HMAC_SHA1_80",
		"AES_256_CM_HMAC_SHA1_32",
		"AEAD_AES_128_GCM",
		"AEAD_AES_256_GCM",
	};

	return names[suite];
}

/* Ratios to `base`, which is libsrtp2's; measured here when it is 0. */
static json_t *row(const char *engine, unsigned suite, unsigned n, unsigned ms,
		   double base[2])
{
	double ns[2];

	measure(engine, suite, n, ms, &ns[0], &ns[1]);
	if (!base[0]) {
		base[0] = ns[0];
		base[1] = ns[1];
	}
	return json_pack("{s:s,s:s,s:f,s:f,s:f,s:f,s:f}", "suite",
			 suite_name(suite), "engine", engine, "protect-ns",
			 ns[0], "unprotect-ns", ns[1], "packets-s",
			 2e9 / (ns[0] + ns[1]), "protect-ratio",
			 base[0] / ns[0], "unprotect-ratio", base[1] / ns[1]);
}

int main(void)
{
	unsigned n = argument("SESSIONS", 1000), ms = argument("MS", 300);
	unsigned suite = argument("SUITE", SRTP_AES_CM_128_HMAC_SHA1_80);
	json_t *root = json_object(), *rows = json_array();
	double base[2] = {0};

	if (!n || n > SESSIONS_MAX || !suite || suite >= SRTP_SUITES)
		return 2;
	json_object_set_new(root, "sessions", json_integer(n));
	json_object_set_new(root, "bytes", json_integer(RTP_BYTES));
	json_object_set_new(root, "batch", json_integer(BATCH));
	json_array_append_new(rows, row("libsrtp2", suite, n, ms, base));
	for (unsigned i = 0; msrtp_engine_list(i); i++) {
		const char *name = msrtp_engine_list(i);
		struct msrtp_engine *e = NULL;

		if (!strcmp(name, "libsrtp2") || msrtp_engine_create(&e, name))
			continue; /* or not on this CPU */
		msrtp_engine_destroy(e);
		json_array_append_new(rows, row(name, suite, n, ms, base));
	}
	json_object_set_new(root, "rows", rows);
	json_dumpf(root, stdout, JSON_INDENT(1));
	putchar('\n');
	json_decref(root);
	return 0;
}
