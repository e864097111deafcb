/*
 * Every operation on session descriptions again, with the n-th allocation
 * failing: an error, nothing changed, nothing lost.
 */
#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <cmocka.h>

#include "sbcd/sip/sdp_edit.h"
#include "sbcd/sip/sdes_leg.h"
#include "sbcd/sip/sdp_relay.h"
#include "tests/unit/sip/harness_sdes.h"
#include "tests/unit/sip/sdp_samples.h"

static long fail_at; /* 0 = never */

#if defined(__has_feature)
#if __has_feature(address_sanitizer) || __has_feature(thread_sanitizer)
#define SANITIZED 1
#endif
#endif
#if defined(__SANITIZE_ADDRESS__) || defined(__SANITIZE_THREAD__)
#define SANITIZED 1
#endif

#ifndef SANITIZED
void *__libc_malloc(size_t size);
void *__libc_calloc(size_t n, size_t size);
void *__libc_realloc(void *p, size_t size);

static bool fails(void)
{
	return fail_at > 0 && --fail_at == 0;
}

void *malloc(size_t size)
{
	return fails() ? NULL : __libc_malloc(size);
}

void *calloc(size_t n, size_t size)
{
	return fails() ? NULL : __libc_calloc(n, size);
}

void *realloc(void *p, size_t size)
{
	return fails() ? NULL : __libc_realloc(p, size);
}
#endif

/*
 * At least `least` allocations, each failing in a run of its own. A sanitizer
 * owns malloc(): there it is one run, and a look at leaks.
 */
static void each_failing(int (*run)(void), unsigned least)
{
#ifdef SANITIZED
	assert_int_equal(run(), 0);
	return;
#endif
	for (long n = 1; n < 1000; n++) {
		int rc;
		bool met;

		fail_at = n;
		rc = run();
		met = fail_at == 0;
		fail_at = 0;
		if (!met) {
			assert_int_equal(rc, 0);
			assert_in_range(n - 1, least, 999);
			return;
		}
		assert_int_equal(rc, -ENOMEM);
	}
	fail();
}

static int run_relay(void)
{
	static char out[SDP_SIZE_MAX];
	struct sdp_local local = {.rtp = {.family = ADDR_V6, .port = 20000}};
	struct sdp_rules rules = {.protos = SDP_RTP_SAVP};
	struct sdp_refusal why;
	struct sdp_streams s;
	struct sdp_relay_params p = {
		.in = SDP_TEAMS,
		.in_size = strlen(SDP_TEAMS),
		.streams = &s,
		.local = &local,
		.origin = {.family = ADDR_V4},
	};
	uint64_t version;
	ssize_t n;
	int rc;

	rc = sdp_relay_read(SDP_TEAMS, strlen(SDP_TEAMS), &rules, &s, &why);
	if (rc)
		return rc;
	n = sdp_relay_write(&p, out, sizeof(out), &version, &why);
	return n < 0 ? (int)n : 0;
}

static int run_edits(void)
{
	static char value[3000];
	struct sdp *edited;
	int rc;

	memset(value, 'x', sizeof(value) - 1);
	rc = sdp_parse(&edited, SDP_CUCM, strlen(SDP_CUCM), NULL);
	if (rc)
		return rc;
	for (unsigned i = 0; i < 40 && !rc; i++) {
		static char before[2 * SDP_SIZE_MAX], after[2 * SDP_SIZE_MAX];
		ssize_t a, b;

		a = sdp_print(edited, before, sizeof(before));
		rc = sdp_attr_add(edited, 0, "x", i % 2 ? "y" : value);
		if (!rc)
			continue;
		b = sdp_print(edited, after, sizeof(after));
		assert_int_equal(a, b);
		assert_memory_equal(before, after, a);
	}
	sdp_destroy(edited);
	return rc;
}

/* An offer both ways goes out, the same comes back as an answer. */
static int run_leg(void)
{
	static char out[SDP_SIZE_MAX], back[SDP_SIZE_MAX];
	static const struct media_security security = {
		.inbound = SDP_SEC_ANY,
		.outbound = SDP_SEC_ANY,
		.both = true,
		.profile.sdes = {.suites = {SDES_AES_CM_128_HMAC_SHA1_80},
				 .suites_len = 1},
	};
	static const uint16_t twins[SDP_STREAMS_MAX] = {9};
	static struct rec_dialog dialog;
	static struct rec_media media;
	struct sdes_leg leg = {
		.security = &security, .dialog = &dialog, .stream = {&media}};
	struct sdes_send how = {.offer = true, .twin_ports = twins};
	struct sdes_text text = {SDP_CUCM, strlen(SDP_CUCM), out, sizeof(out)};
	struct sdp_refusal why;
	struct sdes_heard heard;
	uint64_t version;
	ssize_t n;

	memset(&dialog, 0, sizeof(dialog));
	memset(&media, 0, sizeof(media));
	media.flows_len = 1;
	n = sdes_leg_send(&leg, &how, &text, &version);
	if (n < 0)
		return (int)n;
	sdes_leg_end(&leg);
	dialog.local_sdp.size = (uint32_t)n;
	memcpy(dialog.local_sdp.data, out, (size_t)n);
	text = (struct sdes_text){out, (size_t)n, back, sizeof(back)};
	n = sdes_leg_receive(&leg, true, &text, &heard, &why);
	sdes_leg_refuse(&leg);
	return n < 0 ? (int)n : 0;
}

static void leg_survives(void **state)
{
	/* The library that decodes keys allocates once, for itself. */
	assert_int_equal(run_leg(), 0);
	each_failing(run_leg, 6);
}

static void relay_survives(void **state)
{
	each_failing(run_relay, 6);
}

static void edits_survive(void **state)
{
	each_failing(run_edits, 10);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(relay_survives),
		cmocka_unit_test(leg_survives),
		cmocka_unit_test(edits_survive),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
