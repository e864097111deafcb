/* Edits of session descriptions, topology hiding, versions. */
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
#include "tests/unit/sip/sdp_samples.h"

static struct addr v4, v6;

static int setup(void **state)
{
	return addr_parse_ip(&v4, "10.20.0.10", 0) ||
	       addr_parse_ip(&v6, "fd00:20::10", 0);
}

static struct sdp *parsed(const char *text)
{
	struct sdp *sdp = NULL;

	assert_int_equal(sdp_parse(&sdp, text, strlen(text), NULL), 0);
	return sdp;
}

/* Checks the text, that it parses again to the same, and destroys. */
static void assert_becomes(struct sdp *sdp, const char *want)
{
	static char buf[4 * SDP_SIZE_MAX];
	ssize_t n = sdp_print(sdp, buf, sizeof(buf) - 1);
	struct sdp *again;

	assert_true(n >= 0);
	buf[n] = '\0';
	assert_string_equal(buf, want);
	again = parsed(buf);
	assert_true(sdp_same(sdp, again));
	assert_int_equal(sdp_media_count(sdp), sdp_media_count(again));
	for (unsigned m = 0; m < sdp_media_count(sdp); m++) {
		struct sdp_media a, b;

		assert_int_equal(sdp_media_get(sdp, m, &a), 0);
		assert_int_equal(sdp_media_get(again, m, &b), 0);
		assert_int_equal(a.port, b.port);
	}
	sdp_destroy(again);
	sdp_destroy(sdp);
}

static void sets_session_lines(void **state)
{
	struct sdp *sdp = parsed("v=0\no=a 1 2 IN IP4 10.0.0.1\ns=x\n"
				 "c=IN IP4 10.0.0.1\nt=0 0\n"
				 "c=IN IP4 10.0.0.2\n");

	assert_int_equal(sdp_set_origin(sdp, 77, UINT64_MAX, &v4), 0);
	assert_int_equal(sdp_set_session_name(sdp, "-"), 0);
	assert_int_equal(sdp_set_session_name(sdp, "a\r\nm=x"), -EINVAL);
	assert_int_equal(sdp_set_connection(sdp, SDP_SESSION, &v6), 0);
	assert_becomes(sdp,
		       "v=0\r\no=- 77 18446744073709551615 IN IP4 10.20.0.10"
		       "\r\ns=-\r\nc=IN IP6 fd00:20::10\r\nt=0 0\r\n");
}

static void inserts_in_order(void **state)
{
	struct sdp *sdp = parsed("v=0\nb=AS:1\na=x\nm=audio 1 RTP/AVP 0\n"
				 "i=label\na=y\nm=video 2 RTP/AVP 0\n");

	assert_int_equal(sdp_set_connection(sdp, 0, &v4), 0);
	assert_int_equal(sdp_set_connection(sdp, 1, &v6), 0);
	assert_int_equal(sdp_complete(sdp), 0);
	assert_int_equal(sdp_set_connection(sdp, SDP_SESSION, &v4), 0);
	assert_int_equal(sdp_set_origin(sdp, 1, 2, &v6), 0);
	assert_int_equal(sdp_media_set_port(sdp, 0, 20000), 0);
	assert_int_equal(sdp_media_set_port(sdp, 1, 20002), 0);
	assert_int_equal(sdp_attr_add(sdp, 0, "ptime", "20"), 0);
	assert_int_equal(sdp_attr_add(sdp, SDP_SESSION, "flag", NULL), 0);
	assert_becomes(sdp, "v=0\r\no=- 1 2 IN IP6 fd00:20::10\r\ns=-\r\n"
			    "c=IN IP4 10.20.0.10\r\nb=AS:1\r\nt=0 0\r\n"
			    "a=x\r\na=flag\r\n"
			    "m=audio 20000 RTP/AVP 0\r\ni=label\r\n"
			    "c=IN IP4 10.20.0.10\r\na=y\r\na=ptime:20\r\n"
			    "m=video 20002 RTP/AVP 0\r\n"
			    "c=IN IP6 fd00:20::10\r\n");
}

static void edits_media_lines(void **state)
{
	struct sdp *sdp = parsed("v=0\nm=audio  5/2   X/Y  =6  7\n"
				 "a=rtcp:1\na=rtcp:2\na=sendonly\na=z\n"
				 "a=inactive\nm=video 1 RTP/AVP 0\na=v\n");

	assert_int_equal(sdp_media_set_port(sdp, 0, 65535), 0);
	assert_int_equal(sdp_media_set_proto(sdp, 0, "RTP/SAVP"), 0);
	assert_int_equal(sdp_media_set_proto(sdp, 0, "a b"), -EINVAL);
	assert_int_equal(sdp_media_set_rtcp(sdp, 0, 9, &v6), 0);
	assert_int_equal(sdp_media_set_rtcp(sdp, 1, 11, NULL), 0);
	assert_int_equal(sdp_media_set_direction(sdp, 0, SDP_RECVONLY), 0);
	assert_int_equal(sdp_media_set_direction(sdp, 1, SDP_INACTIVE), 0);
	assert_becomes(sdp,
		       "v=0\r\nm=audio  65535   RTP/SAVP  =6  7\r\n"
		       "a=rtcp:9 IN IP6 fd00:20::10\r\na=recvonly\r\na=z\r\n"
		       "m=video 1 RTP/AVP 0\r\na=v\r\na=rtcp:11\r\n"
		       "a=inactive\r\n");
}

static void rejects_but_keeps_slots(void **state)
{
	struct sdp *sdp = parsed("v=0\nm=audio 5 X/Y =6\nc=IN IP4 1.1.1.1\n"
				 "a=x\nm=video 1/3 RTP/AVP 0\na=v\n");

	assert_int_equal(sdp_media_reject(sdp, 0), 0);
	assert_becomes(sdp, "v=0\r\nm=audio 0 X/Y =6\r\n"
			    "m=video 1/3 RTP/AVP 0\r\na=v\r\n");
}

static void removes_and_adds_attributes(void **state)
{
	struct sdp *sdp = parsed("v=0\na=x:0\nm=a 1 b c\na=X:1\na=y\na=x\n"
				 "m=a 1 b c\na=x:2\n");

	assert_int_equal(sdp_attr_remove(sdp, 0, "x"), 2);
	assert_int_equal(sdp_attr_remove(sdp, 0, "x"), 0);
	assert_int_equal(sdp_attr_remove(sdp, 9, "x"), 0);
	assert_int_equal(sdp_attr_add(sdp, 1, "x", "a\nb"), -EINVAL);
	assert_int_equal(sdp_attr_add(sdp, 1, "x\r", NULL), -EINVAL);
	assert_becomes(sdp, "v=0\r\na=x:0\r\nm=a 1 b c\r\na=y\r\n"
			    "m=a 1 b c\r\na=x:2\r\n");
}

static void copies_and_removes_media(void **state)
{
	struct sdp *sdp = parsed("v=0\na=x\nm=audio 10 RTP/AVP 0\na=1\n"
				 "m=video 20 RTP/AVP 9\na=2\na=3\n");

	assert_int_equal(sdp_media_copy(sdp, 0), 0);
	assert_int_equal(sdp_media_count(sdp), 3);
	/* Each has a text of its own, also for what fits into it. */
	assert_int_equal(sdp_media_set_port(sdp, 0, 11), 0);
	assert_int_equal(sdp_media_set_port(sdp, 1, 0), 0);
	assert_int_equal(sdp_media_copy(sdp, 2), 0);
	assert_int_equal(sdp_attr_add(sdp, 2, "4", NULL), 0);
	assert_int_equal(sdp_attr_remove(sdp, 3, "2"), 1);
	assert_int_equal(sdp_media_copy(sdp, 0), 0);
	sdp_media_remove(sdp, 0);
	sdp_media_remove(sdp, 9);
	sdp_media_remove(sdp, SDP_SESSION);
	assert_int_equal(sdp_media_copy(sdp, 4), -ERANGE);
	assert_int_equal(sdp_media_copy(sdp, SDP_SESSION), -ERANGE);
	assert_becomes(sdp, "v=0\r\na=x\r\nm=audio 11 RTP/AVP 0\r\na=1\r\n"
			    "m=audio 0 RTP/AVP 0\r\na=1\r\n"
			    "m=video 20 RTP/AVP 9\r\na=2\r\na=3\r\na=4\r\n"
			    "m=video 20 RTP/AVP 9\r\na=3\r\n");
	sdp = parsed("v=0\nm=audio 1 RTP/AVP 0\na=1\n");
	for (unsigned i = 1; i < SDP_MEDIA_MAX; i++)
		assert_int_equal(sdp_media_copy(sdp, i - 1), 0);
	assert_int_equal(sdp_media_copy(sdp, 0), -ENOSPC);
	for (unsigned i = SDP_MEDIA_MAX; i-- > 1;)
		sdp_media_remove(sdp, i / 2);
	assert_becomes(sdp, "v=0\r\nm=audio 1 RTP/AVP 0\r\na=1\r\n");
}

static void refuses_unknown_sections(void **state)
{
	struct sdp *sdp = parsed("v=0\nm=a 1 b c\n");

	assert_int_equal(sdp_set_connection(sdp, 1, &v4), -ERANGE);
	assert_int_equal(sdp_media_set_port(sdp, 1, 1), -ERANGE);
	assert_int_equal(sdp_media_set_port(sdp, SDP_SESSION, 1), -ERANGE);
	assert_int_equal(sdp_media_set_rtcp(sdp, SDP_SESSION, 1, NULL),
			 -ERANGE);
	assert_int_equal(sdp_media_set_direction(sdp, 1, SDP_SENDRECV),
			 -ERANGE);
	assert_int_equal(sdp_media_reject(sdp, 1), -ERANGE);
	assert_int_equal(sdp_attr_add(sdp, 1, "x", NULL), -ERANGE);
	assert_becomes(sdp, "v=0\r\nm=a 1 b c\r\n");
}

static void growth_is_bounded(void **state)
{
	struct sdp *sdp = parsed("v=0\nm=a 1 b c\n");
	static char value[1024];
	unsigned n = 0;

	memset(value, 'x', sizeof(value) - 1);
	while (n < 100000 && sdp_attr_add(sdp, 0, "y", value) == 0)
		n++;
	assert_in_range(n, 100, 4 * SDP_SIZE_MAX / sizeof(value));
	assert_int_equal(sdp_attr_add(sdp, 0, "y", value), -ENOSPC);
	assert_int_equal(sdp_attr_count(sdp, 0, "y"), n);
	sdp_destroy(sdp);

	sdp = parsed("v=0\nm=a 1 b c\n");
	for (n = 0; n < 100000 && sdp_attr_add(sdp, 0, "y", "z") == 0;)
		n++;
	assert_in_range(n, 512, SDP_LINES_MAX + 512);
	assert_int_equal(sdp_attr_add(sdp, 0, "y", "z"), -ENOSPC);
	sdp_destroy(sdp);
	/* Writing the same line again and again takes nothing. */
	sdp = parsed("v=0\nm=a 1 b c\n");
	for (n = 0; n < 100000; n++)
		assert_int_equal(sdp_set_origin(sdp, 1000, 1000 + n % 9, &v4),
				 0);
	sdp_destroy(sdp);
}

static void hide_keeps_and_drops(void **state)
{
	struct sdp *sdp = parsed(SDP_MULTI "junk line\r\na=fmtp:8 x=10.9.9.9"
					   "\r\na=fmtp:9 x=10.10.0.56\r\n");
	struct hide_set set;

	hide_init(&set);
	assert_int_equal(hide_add(&set, "pbx.example.net", 15), 0);
	assert_int_equal(sdp_collect(sdp, &set), 0);
	assert_int_equal(set.addrs_len, 3);
	assert_int_equal(sdp_set_origin(sdp, 1, 1, &v4), 0);
	assert_int_equal(sdp_media_set_rtcp(sdp, 0, 5, &v4), 0);
	assert_int_equal(sdp_hide(sdp, &set), 0);
	assert_becomes(sdp, "v=0\r\no=- 1 1 IN IP4 10.20.0.10\r\n"
			    "s=conference\r\nt=0 0\r\n"
			    "a=X-fine:yes\r\ny=0100000001\r\n"
			    "m=audio 40000/2 RTP/AVP 0 101\r\n"
			    "i=the agent's microphone\r\n"
			    "b=TIAS:64000\r\nb=RR:0\r\n"
			    "a=rtcp:5 IN IP4 10.20.0.10\r\n"
			    "a=rtpmap:101 telephone-event/8000\r\n"
			    "a=rtcp-xr:voip-metrics\r\n"
			    "m=video 0 RTP/AVP 96\r\n"
			    "a=rtpmap:96 H264/90000\r\n"
			    "m=image 40010 udptl t38\r\na=T38FaxVersion:0\r\n"
			    "m=audio 40020 RTP/AVPF 8\r\na=recvonly\r\n"
			    "a=fmtp:8 x=10.9.9.9\r\n");
}

static void hide_strips_ice(void **state)
{
	struct sdp *sdp = parsed(
		"v=0\ns=to 10.1.1.1\na=ice-lite\na=msid-semantic: WMS\n"
		"a=fingerprint:sha-1 4A:AD\na=Candidate:1 1 UDP 1 h 1 typ x\n"
		"m=audio 1 RTP/AVP 0\na=ice-ufrag:a\na=ice-pwd:b\n"
		"a=ice-options:trickle\na=remote-candidates:1 h 1\n"
		"a=ice-mismatch\na=end-of-candidates\na=setup:actpass\n"
		"a=rtcp:9\na=alt:1 1 x\nu=http://h/\nv=0\nt=0 0\nc=x\n"
		"a= candidate:1 1 UDP 1 h 1\na=ssrc:1 cname:a@10.1.1.1\n"
		"a=rtcp-xr:x\na=group:LS 1\n");
	struct hide_set set;

	hide_init(&set);
	assert_int_equal(sdp_hide(sdp, &set), 0);
	assert_int_equal(sdp_complete(sdp), 0);
	assert_becomes(sdp, "v=0\r\ns=-\r\nt=0 0\r\na=msid-semantic: WMS\r\n"
			    "m=audio 1 RTP/AVP 0\r\na=rtcp-xr:x\r\n"
			    "a=group:LS 1\r\n");
}

static void hide_refuses_media_lines(void **state)
{
	struct sdp *sdp = parsed("v=0\na=gone:10.1.1.1\n"
				 "m=audio 1 X/Y 10.1.1.1\n");
	struct hide_set set;

	hide_init(&set);
	assert_int_equal(hide_add(&set, "10.1.1.1", 8), 0);
	assert_int_equal(sdp_hide(sdp, &set), -EPERM);
	assert_int_equal(sdp_attr_count(sdp, SDP_SESSION, "gone"), 1);
	sdp_destroy(sdp);
}

static void collects_no_plain_words(void **state)
{
	struct sdp *sdp = parsed("v=0\no=- 1 1 IN IP4 rtpmap\n"
				 "c=IN IP4 h.example.com\nm=audio 1 RTP/AVP 0\n"
				 "c=IN IP6 fd00::1\na=rtcp:1 IN IP4 10.1.1.1\n"
				 "a=rtcp:1\n");
	struct hide_set set;

	hide_init(&set);
	assert_int_equal(sdp_collect(sdp, &set), 0);
	assert_int_equal(set.names_len, 1);
	assert_int_equal(set.addrs_len, 2);
	sdp_destroy(sdp);
}

static void versions_only_grow(void **state)
{
	static const char one[] = "v=0\r\no=- 9 4 IN IP4 1.1.1.1\r\ns=-\r\n";
	struct sdp *same = parsed("v=0\no=- 9 3 IN IP4 1.1.1.1\ns=-\n");
	struct sdp *other = parsed("v=0\no=- 9 4 IN IP4 1.1.1.1\ns=x\n");

	assert_int_equal(sdp_next_version(same, NULL, 0, 4), 4);
	assert_int_equal(sdp_next_version(same, one, strlen(one), 4), 4);
	assert_int_equal(sdp_next_version(other, one, strlen(one), 4), 5);
	assert_int_equal(sdp_next_version(same, "junk", 4, 4), 5);
	sdp_destroy(same);
	sdp_destroy(other);
}

static void finds_addresses(void **state)
{
	assert_true(sdp_find_address("x fd00::1 y", 11, "FD00:0::1"));
	assert_true(sdp_find_address("x fd00::1 y", 11, "not an address"));
	assert_false(sdp_find_address("x fd00::1 y", 11, "fd00::2"));
	assert_true(sdp_find_address(SDP_CUCM, strlen(SDP_CUCM), "10.10.0.51"));
	assert_false(sdp_find_address(SDP_CUCM, strlen(SDP_CUCM), "10.10.0.5"));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(sets_session_lines),
		cmocka_unit_test(inserts_in_order),
		cmocka_unit_test(edits_media_lines),
		cmocka_unit_test(rejects_but_keeps_slots),
		cmocka_unit_test(removes_and_adds_attributes),
		cmocka_unit_test(copies_and_removes_media),
		cmocka_unit_test(refuses_unknown_sections),
		cmocka_unit_test(growth_is_bounded),
		cmocka_unit_test(hide_keeps_and_drops),
		cmocka_unit_test(hide_strips_ice),
		cmocka_unit_test(hide_refuses_media_lines),
		cmocka_unit_test(collects_no_plain_words),
		cmocka_unit_test(versions_only_grow),
		cmocka_unit_test(finds_addresses),
	};

	return cmocka_run_group_tests(tests, setup, NULL);
}
