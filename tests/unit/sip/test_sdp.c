/* Parsing, printing and reading of session descriptions. */
#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <cmocka.h>

#include "sbcd/sip/sdp.h"
#include "tests/unit/sip/sdp_samples.h"

static struct sdp *parsed(const char *text)
{
	struct sdp *sdp = NULL;

	assert_int_equal(sdp_parse(&sdp, text, strlen(text), NULL), 0);
	return sdp;
}

static void assert_prints(const struct sdp *sdp, const char *want)
{
	static char buf[4 * SDP_SIZE_MAX];
	ssize_t n = sdp_print(sdp, buf, sizeof(buf) - 1);

	assert_true(n >= 0);
	assert_int_equal((size_t)n, sdp_printed_size(sdp));
	buf[n] = '\0';
	assert_string_equal(buf, want);
}

static void assert_text(struct sdp_text text, const char *want)
{
	assert_int_equal(text.size, strlen(want));
	assert_memory_equal(text.at, want, text.size);
}

static void assert_refused(const char *buf, size_t size, int rc,
			   enum sdp_reason reason, unsigned line)
{
	struct sdp *sdp = (struct sdp *)(uintptr_t)1;
	struct sdp_error err = {SDP_OK, 99};

	assert_int_equal(sdp_parse(&sdp, buf, size, &err), rc);
	assert_ptr_equal(sdp, (struct sdp *)(uintptr_t)1);
	assert_int_equal(err.reason, reason);
	assert_int_equal(err.line, line);
	assert_true(strlen(sdp_reason_text(reason)) > 3);
}

static void prints_what_it_read(void **state)
{
	static const char *const samples[] = {
		SDP_CUCM,
		SDP_TEAMS,
		SDP_HOLD,
		SDP_V6,
		SDP_MULTI,
		SDP_ENDLESS,
		"v=0\r\n",
		/* Blank lines, lines that are none, unknown types. */
		"v=0\r\n\r\nhello\r\n=\r\nx\r\nM=audio\r\nq=?\r\n a=b\r\n\r\n",
	};

	for (size_t i = 0; i < sizeof(samples) / sizeof(samples[0]); i++) {
		struct sdp *sdp = parsed(samples[i]);

		assert_prints(sdp, samples[i]);
		sdp_destroy(sdp);
	}
	assert_true(strlen(SDP_TEAMS) > 1500);
}

static void normalises_line_ends(void **state)
{
	struct sdp *sdp = parsed("v=0\no=x\r\ns=-\nm=audio 1 RTP/AVP 0");

	assert_prints(sdp, "v=0\r\no=x\r\ns=-\r\nm=audio 1 RTP/AVP 0\r\n");
	assert_int_equal(sdp_media_count(sdp), 1);
	sdp_destroy(sdp);
}

static void print_checks_room(void **state)
{
	struct sdp *sdp = parsed("v=0\r\n");
	char buf[5];

	assert_int_equal(sdp_print(sdp, buf, 4), -ENOSPC);
	assert_int_equal(sdp_print(sdp, buf, 5), 5);
	sdp_destroy(sdp);
	sdp_destroy(NULL);
}

static void refuses_hostile_input(void **state)
{
	static char big[SDP_SIZE_MAX + 1];

	assert_refused("", 0, -EINVAL, SDP_EMPTY, 0);
	memset(big, 'a', sizeof(big));
	memcpy(big, "v=0\n", 4);
	assert_refused(big, sizeof(big), -E2BIG, SDP_TOO_BIG, 0);
	assert_refused("v=0\n\0", 5, -EINVAL, SDP_NUL, 0);
	assert_refused("v=0\ns=a\rb\n", 10, -EINVAL, SDP_BARE_CR, 2);
	assert_refused("v=0\ns=a\r\r\n", 10, -EINVAL, SDP_BARE_CR, 2);
	assert_refused("v=0\r", 4, -EINVAL, SDP_BARE_CR, 1);
	assert_refused("v=1\n", 4, -EINVAL, SDP_NO_VERSION, 1);
	assert_refused("v=0 0\n", 6, -EINVAL, SDP_NO_VERSION, 1);
	assert_refused("\nv=0\n", 5, -EINVAL, SDP_NO_VERSION, 1);
	assert_refused("m=audio 1 a b\nv=0\n", 18, -EINVAL, SDP_NO_VERSION, 1);
}

static void refuses_bad_media_lines(void **state)
{
	static const char *const bad[] = {
		"m=",
		"m=audio",
		"m=audio 1",
		"m=audio x RTP/AVP 0",
		"m=audio -1 RTP/AVP 0",
		"m=audio 65536 RTP/AVP 0",
		"m=audio 99999999999999999999 RTP/AVP 0",
		"m=audio 1/ RTP/AVP 0",
		"m=audio 1/0 RTP/AVP 0",
		"m=audio 1/x RTP/AVP 0",
		"m=audio /2 RTP/AVP 0",
		"m=au\tdio 1 RTP/AVP 0",
		"m=audio 1 RTP/\x01 0",
	};
	char text[128];

	for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
		snprintf(text, sizeof(text), "v=0\n%s\n", bad[i]);
		assert_refused(text, strlen(text), -EINVAL, SDP_BAD_MEDIA, 2);
	}
}

static char *repeat(const char *head, const char *line, unsigned n)
{
	char *text = malloc(strlen(head) + n * strlen(line) + 1);

	assert_non_null(text);
	strcpy(text, head);
	for (char *p = text + strlen(head); n > 0; n--, p += strlen(line))
		strcpy(p, line);
	return text;
}

static void bounds_lines_and_media(void **state)
{
	char *text = repeat("v=0\n", "a=x\n", 10000);
	struct sdp *sdp;

	assert_refused(text, strlen(text), -E2BIG, SDP_TOO_MANY_LINES,
		       SDP_LINES_MAX + 1);
	free(text);
	text = repeat("v=0\n", "a=x\n", SDP_LINES_MAX - 1);
	sdp = parsed(text);
	assert_int_equal(sdp_attr_count(sdp, SDP_SESSION, "x"),
			 SDP_LINES_MAX - 1);
	sdp_destroy(sdp);
	free(text);

	text = repeat("v=0\n", "m=audio 0 RTP/AVP 0\n", SDP_MEDIA_MAX + 1);
	assert_refused(text, strlen(text), -E2BIG, SDP_TOO_MANY_MEDIA,
		       SDP_MEDIA_MAX + 2);
	text[strlen(text) - strlen("m=audio 0 RTP/AVP 0\n")] = '\0';
	sdp = parsed(text);
	assert_int_equal(sdp_media_count(sdp), SDP_MEDIA_MAX);
	sdp_destroy(sdp);
	free(text);
}

static void accepts_one_huge_line(void **state)
{
	static char big[SDP_SIZE_MAX];
	struct sdp_media media;
	struct sdp_text text;
	struct sdp *sdp;

	for (size_t i = 0; i < sizeof(big); i++)
		big[i] = i % 2 ? '0' : ' ';
	memcpy(big, "v=0\nm=audio 5 RTP/AVP ", 22);
	assert_int_equal(sdp_parse(&sdp, big, sizeof(big), NULL), 0);
	assert_int_equal(sdp_media_get(sdp, 0, &media), 0);
	assert_int_equal(media.formats_len, (sizeof(big) - 22) / 2);
	assert_true(sdp_media_format(sdp, 0, media.formats_len - 1, &text));
	assert_false(sdp_media_format(sdp, 0, media.formats_len, &text));
	sdp_destroy(sdp);
}

static void reads_cucm(void **state)
{
	struct sdp *sdp = parsed(SDP_CUCM);
	struct sdp_connection c;
	struct sdp_format f;
	struct sdp_media m;
	struct sdp_text t;
	struct sdp_rtcp rtcp;

	assert_int_equal(sdp_media_count(sdp), 1);
	assert_int_equal(sdp_media_get(sdp, 0, &m), 0);
	assert_text(m.media, "audio");
	assert_text(m.proto, "RTP/AVP");
	assert_text(m.formats, "0 8 18 101");
	assert_int_equal(m.kind, SDP_RTP_AVP);
	assert_int_equal(m.port, 24596);
	assert_int_equal(m.port_count, 1);
	assert_int_equal(m.formats_len, 4);
	assert_true(sdp_media_format(sdp, 0, 3, &t));
	assert_text(t, "101");
	assert_false(sdp_media_format(sdp, 0, 4, &t));
	assert_false(sdp_media_format(sdp, 1, 0, &t));
	assert_int_equal(sdp_media_get(sdp, 1, &m), -ERANGE);

	sdp_connection(sdp, 0, &c);
	assert_int_equal(c.kind, SDP_CONN_IP);
	assert_int_equal(c.ip.family, ADDR_V4);
	assert_text(c.text, "10.10.0.51");
	assert_true(sdp_origin_address(sdp, &t));
	assert_text(t, "10.10.0.50");
	assert_int_equal(sdp_direction(sdp, 0), SDP_SENDRECV);
	assert_int_equal(sdp_media_ptime(sdp, 0), 20);
	assert_int_equal(sdp_media_rtcp(sdp, 0, &rtcp), -ENOENT);
	assert_int_equal(sdp_media_rtpmap(sdp, 0, 101, &f), 0);
	assert_string_equal(f.encoding, "telephone-event");
	assert_int_equal(f.clock_hz, 8000);
	assert_int_equal(f.channels, 1);
	assert_int_equal(sdp_media_rtpmap(sdp, 0, 9, &f), 0);
	assert_string_equal(f.encoding, "G722");
	assert_int_equal(sdp_media_rtpmap(sdp, 0, 96, &f), -ENOENT);
	assert_int_equal(sdp_media_rtpmap(sdp, 0, 128, &f), -ENOENT);
	assert_true(sdp_line_get(sdp, SDP_SESSION, 's', &t));
	assert_text(t, "SIP Call");
	assert_false(sdp_line_get(sdp, 0, 's', &t));
	sdp_destroy(sdp);
}

static void reads_teams(void **state)
{
	struct sdp *sdp = parsed(SDP_TEAMS);
	struct sdp_rtcp rtcp;
	struct sdp_media m;
	struct sdp_text t;
	unsigned iter = 0;

	assert_int_equal(sdp_media_get(sdp, 0, &m), 0);
	assert_int_equal(m.kind, SDP_RTP_SAVP);
	assert_int_equal(m.formats_len, 11);
	assert_int_equal(sdp_media_rtcp(sdp, 0, &rtcp), 0);
	assert_int_equal(rtcp.port, 50013);
	assert_false(rtcp.has_address);
	assert_int_equal(sdp_attr_count(sdp, 0, "rtcp-mux"), 1);
	assert_int_equal(sdp_attr_count(sdp, 0, "CRYPTO"), 2);
	assert_int_equal(sdp_attr_count(sdp, 0, "candidate"), 8);
	assert_int_equal(sdp_attr_count(sdp, SDP_SESSION, "candidate"), 0);
	assert_int_equal(sdp_attr_count(sdp, 7, "candidate"), 0);
	assert_true(sdp_attr_next(sdp, 0, "crypto", &iter, &t));
	assert_text(t, "1 AES_CM_128_HMAC_SHA1_80 inline:" TEAMS_KEY "|2^31");
	assert_true(sdp_attr_next(sdp, 0, "crypto", &iter, &t));
	assert_text(t,
		    "2 AES_CM_128_HMAC_SHA1_80 inline:" TEAMS_KEY2 "|2^31|1:1");
	assert_false(sdp_attr_next(sdp, 0, "crypto", &iter, &t));
	assert_false(sdp_attr_next(sdp, 0, "crypto", &iter, &t));
	sdp_destroy(sdp);
}

static void reads_several_media(void **state)
{
	static const struct {
		const char *media, *proto, *formats, *address;
		enum sdp_proto kind;
		uint16_t port, count;
		enum sdp_direction direction;
	} want[] = {
		{"audio", "RTP/AVP", "0 101", "10.10.0.53", SDP_RTP_AVP, 40000,
		 2, SDP_SENDRECV},
		{"video", "RTP/AVP", "96", "10.10.0.53", SDP_RTP_AVP, 0, 1,
		 SDP_SENDRECV},
		{"image", "udptl", "t38", "10.10.0.53", SDP_PROTO_OTHER, 40010,
		 1, SDP_SENDRECV},
		{"audio", "RTP/AVPF", "8", "10.10.0.56", SDP_RTP_AVPF, 40020, 1,
		 SDP_RECVONLY},
	};
	struct sdp *sdp = parsed(SDP_MULTI);
	struct sdp_rtcp rtcp;

	assert_int_equal(sdp_media_count(sdp), 4);
	for (unsigned i = 0; i < 4; i++) {
		struct sdp_connection c;
		struct sdp_media m;

		assert_int_equal(sdp_media_get(sdp, i, &m), 0);
		assert_text(m.media, want[i].media);
		assert_text(m.proto, want[i].proto);
		assert_text(m.formats, want[i].formats);
		assert_int_equal(m.kind, want[i].kind);
		assert_int_equal(m.port, want[i].port);
		assert_int_equal(m.port_count, want[i].count);
		sdp_connection(sdp, i, &c);
		assert_text(c.text, want[i].address);
		assert_int_equal(sdp_direction(sdp, i), want[i].direction);
	}
	assert_int_equal(sdp_media_rtcp(sdp, 0, &rtcp), 0);
	assert_int_equal(rtcp.port, 40001);
	assert_true(rtcp.has_address);
	assert_text(rtcp.connection.text, "10.10.0.54");
	sdp_destroy(sdp);
}

static void reads_connections(void **state)
{
	static const struct {
		const char *value;
		enum sdp_connection_kind kind;
	} cases[] = {
		{"IN IP4 192.0.2.1", SDP_CONN_IP},
		{"in ip4 192.0.2.1 ", SDP_CONN_IP},
		{"IN IP6 2001:db8::1", SDP_CONN_IP},
		{"IN IP4 0.0.0.0", SDP_CONN_HOLD},
		{"IN IP6 ::", SDP_CONN_HOLD},
		{"IN IP6 hold.invalid", SDP_CONN_HOLD},
		{"IN IP4 224.2.1.1/127/3", SDP_CONN_MULTICAST},
		{"IN IP4 255.255.255.255", SDP_CONN_MULTICAST},
		{"IN IP6 ff02::1", SDP_CONN_MULTICAST},
		{"IN IP4 host.example.com", SDP_CONN_NAME},
		{"IN IP4 fd00::1", SDP_CONN_BAD},
		{"IN IP6 10.0.0.1", SDP_CONN_BAD},
		{"IN IP6 [fd00::1]", SDP_CONN_BAD},
		{"IN IP4 10.0.0.999", SDP_CONN_BAD},
		{"IN IP4 0.1.2.3", SDP_CONN_BAD},
		{"IN IP4", SDP_CONN_BAD},
		{"ATM NSAP 47.0091", SDP_CONN_BAD},
		{"TN RFC2543 +15550100", SDP_CONN_BAD},
		{"", SDP_CONN_BAD},
	};
	char text[128];

	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		struct sdp_connection c;
		struct sdp *sdp;

		snprintf(text, sizeof(text), "v=0\nc=%s\nm=a 1 b c\n",
			 cases[i].value);
		sdp = parsed(text);
		sdp_connection(sdp, 0, &c);
		if (c.kind != cases[i].kind)
			print_message("%s\n", cases[i].value);
		assert_int_equal(c.kind, cases[i].kind);
		sdp_connection(sdp, SDP_SESSION, &c);
		assert_int_equal(c.kind, cases[i].kind);
		sdp_connection(sdp, 1, &c);
		assert_int_equal(c.kind, SDP_CONN_NONE);
		sdp_destroy(sdp);
	}
}

static void reads_directions_and_numbers(void **state)
{
	struct sdp *sdp = parsed("v=0\na=sendonly\n"
				 "m=audio 1 RTP/AVP 96 97\n"
				 "a=ptime:x\na=rtcp:99999\n"
				 "a=rtpmap:96\na=rtpmap:96 L16/44100/2\n"
				 "a=rtpmap:97 a-name-that-is-much-too-long/1\n"
				 "m=audio 1 RTP/AVP 0\na=INACTIVE\n");
	struct sdp_rtcp rtcp;
	struct sdp_format f;

	assert_int_equal(sdp_direction(sdp, SDP_SESSION), SDP_SENDONLY);
	assert_int_equal(sdp_direction(sdp, 0), SDP_SENDONLY);
	assert_int_equal(sdp_direction(sdp, 1), SDP_INACTIVE);
	assert_int_equal(sdp_media_ptime(sdp, 0), 0);
	assert_int_equal(sdp_media_rtcp(sdp, 0, &rtcp), -EINVAL);
	assert_int_equal(sdp_media_rtpmap(sdp, 0, 96, &f), 0);
	assert_string_equal(f.encoding, "L16");
	assert_int_equal(f.clock_hz, 44100);
	assert_int_equal(f.channels, 2);
	assert_int_equal(sdp_media_rtpmap(sdp, 0, 97, &f), -ENOENT);
	sdp_destroy(sdp);
}

static bool same(const char *a, const char *b)
{
	struct sdp *sa = parsed(a), *sb = parsed(b);
	bool rc = sdp_same(sa, sb);

	sdp_destroy(sa);
	sdp_destroy(sb);
	return rc;
}

static void compares_all_but_the_version(void **state)
{
	assert_true(same("v=0\no=- 1 1 IN IP4 1.1.1.1\ns=-\n",
			 "v=0\r\no=- 1 22 IN IP4 1.1.1.1\r\ns=-\r\n"));
	assert_false(same("v=0\no=- 1 1 IN IP4 1.1.1.1\ns=-\n",
			  "v=0\no=- 2 1 IN IP4 1.1.1.1\ns=-\n"));
	assert_false(same("v=0\no=- 1 1 IN IP4 1.1.1.1\ns=-\n",
			  "v=0\no=- 1 1 IN IP4 1.1.1.2\ns=-\n"));
	assert_false(same("v=0\no=- 1 1 IN IP4 1.1.1.1\ns=-\n",
			  "v=0\no=- 1 1 IN IP4 1.1.1.1\ns=x\n"));
	assert_false(same("v=0\no=- 1\n", "v=0\no=- 2\n"));
	assert_false(same("v=0\n", "v=0\ns=-\n"));
	assert_true(same("v=0\no=- 1\n", "v=0\no=- 1\n"));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(prints_what_it_read),
		cmocka_unit_test(normalises_line_ends),
		cmocka_unit_test(print_checks_room),
		cmocka_unit_test(refuses_hostile_input),
		cmocka_unit_test(refuses_bad_media_lines),
		cmocka_unit_test(bounds_lines_and_media),
		cmocka_unit_test(accepts_one_huge_line),
		cmocka_unit_test(reads_cucm),
		cmocka_unit_test(reads_teams),
		cmocka_unit_test(reads_several_media),
		cmocka_unit_test(reads_connections),
		cmocka_unit_test(reads_directions_and_numbers),
		cmocka_unit_test(compares_all_but_the_version),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
