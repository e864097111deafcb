/* An offer or answer on its way through the B2BUA. */
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
#include "sbcd/sip/sdp_relay.h"
#include "tests/unit/sip/sdp_samples.h"

static char out[SDP_SIZE_MAX];

static struct addr ip(const char *text, uint16_t port)
{
	struct addr a;

	assert_int_equal(addr_parse_ip(&a, text, port), 0);
	return a;
}

static void assert_addr(const struct addr *a, const char *want)
{
	char text[ADDR_TEXT_SIZE];

	assert_string_equal(addr_format(a, text, sizeof(text)), want);
}

static int read_with(const char *text, const struct sdp_rules *rules,
		     struct sdp_streams *s, struct sdp_refusal *why)
{
	memset(why, 0, sizeof(*why));
	return sdp_relay_read(text, strlen(text), rules, s, why);
}

static struct sdp_streams streams_of(const char *text,
				     const struct sdp_rules *rules)
{
	struct sdp_streams s;
	struct sdp_refusal why;
	int rc = read_with(text, rules, &s, &why);

	if (rc)
		print_message("%s\n", why.text);
	assert_int_equal(rc, 0);
	return s;
}

static struct sdp_relay_params params(const char *text,
				      const struct sdp_streams *s,
				      const struct sdp_local *local)
{
	return (struct sdp_relay_params){
		.in = text,
		.in_size = strlen(text),
		.streams = s,
		.local = local,
		.origin = ip("10.20.0.10", 0),
		.session_id = 1234,
		.version = 1,
	};
}

static const char *written(const struct sdp_relay_params *p)
{
	struct sdp_refusal why;
	uint64_t version;
	ssize_t n = sdp_relay_write(p, out, sizeof(out) - 1, &version, &why);

	assert_true(n > 0);
	out[n] = '\0';
	return out;
}

static void relays_cucm(void **state)
{
	struct sdp_streams s = streams_of(SDP_CUCM, &(struct sdp_rules){0});
	struct sdp_local local = {.rtp = ip("10.20.0.10", 20000)};
	struct sdp_relay_params p = params(SDP_CUCM, &s, &local);

	assert_int_equal(s.len, 1);
	assert_int_equal(s.stream[0].slot, SDP_SLOT_ON);
	assert_int_equal(s.stream[0].media, 'a');
	assert_int_equal(s.stream[0].proto, SDP_RTP_AVP);
	assert_addr(&s.stream[0].rtp, "10.10.0.51:24596");
	assert_addr(&s.stream[0].rtcp, "10.10.0.51:24597");
	assert_int_equal(s.stream[0].direction, SDP_SENDRECV);
	assert_int_equal(s.stream[0].ptime_ms, 20);
	assert_false(s.stream[0].hold);
	assert_false(s.stream[0].rtcp_mux);
	assert_int_equal(s.stream[0].formats_len, 4);
	assert_int_equal(s.stream[0].formats[3].payload_type, 101);
	assert_string_equal(s.stream[0].formats[3].encoding, "telephone-event");

	assert_string_equal(written(&p), "v=0\r\n"
					 "o=- 1234 1 IN IP4 10.20.0.10\r\n"
					 "s=SIP Call\r\n"
					 "c=IN IP4 10.20.0.10\r\n"
					 "b=TIAS:64000\r\n"
					 "b=AS:64\r\n"
					 "t=0 0\r\n"
					 "m=audio 20000 RTP/AVP 0 8 18 101\r\n"
					 "b=TIAS:64000\r\n"
					 "a=ptime:20\r\n"
					 "a=rtpmap:0 PCMU/8000\r\n"
					 "a=rtpmap:8 PCMA/8000\r\n"
					 "a=rtpmap:18 G729/8000\r\n"
					 "a=fmtp:18 annexb=no\r\n"
					 "a=rtpmap:101 telephone-event/8000\r\n"
					 "a=fmtp:101 0-15\r\n");
}

static void relays_teams_without_ice(void **state)
{
	static const char *const peers[] = {
		"52.114.188.11", "52.114.188.12", "52.114.188.13",
		"127.0.0.1",	 "10.0.136.5",	  "2603:1037:0:e::8"};
	struct sdp_rules rules = {.protos = SDP_RTP_SAVP};
	struct sdp_streams s = streams_of(SDP_TEAMS, &rules);
	struct sdp_local local = {.rtp = ip("fd00:10::10", 30000),
				  .rtcp_port = 30000};
	struct sdp_relay_params p = params(SDP_TEAMS, &s, &local);

	assert_true(s.stream[0].rtcp_mux);
	assert_addr(&s.stream[0].rtcp, "52.114.188.11:50013");
	p.origin = ip("fd00:10::10", 0);
	written(&p);
	for (size_t i = 0; i < sizeof(peers) / sizeof(peers[0]); i++)
		assert_false(sdp_find_address(out, strlen(out), peers[i]));
	assert_null(strstr(out, "ice"));
	assert_null(strstr(out, "candidate"));
	assert_non_null(strstr(out, "c=IN IP6 fd00:10::10\r\n"));
	assert_non_null(strstr(out, "\r\na=rtcp:30000\r\n"));
	assert_non_null(strstr(out, "b=CT:10000000\r\n"));
	assert_non_null(strstr(out, "a=rtcp-mux\r\n"));
	assert_non_null(strstr(out, "a=mid:1\r\n"));
	assert_null(strstr(out, TEAMS_KEY));
	p.strip_rtcp_mux = true;
	assert_null(strstr(written(&p), "mux"));
}

#define KEY "zzZZzzZZzzZZzzZZzzZZzzZZzzZZzzZZzzZZzzZZ"

static void keys_do_not_cross_in_plain(void **state)
{
	static const char plain[] = "v=0\r\nc=IN IP4 10.1.1.1\r\n"
				    "m=audio 8 RTP/AVP 0\r\n"
				    "a=crypto:1 A inline:" TEAMS_KEY "\r\n"
				    "a=x-old:2 B INLINE:" KEY "\r\n"
				    "a=Key-Mgmt:mikey " TEAMS_KEY "\r\n"
				    "k=base64:" TEAMS_KEY "\r\n";
	struct sdp_streams s = streams_of(plain, &(struct sdp_rules){0});
	struct sdp_local local = {.rtp = ip("10.20.0.10", 20000)};
	struct sdp_relay_params p = params(plain, &s, &local);

	assert_null(strstr(written(&p), "crypto"));
	assert_null(strstr(out, TEAMS_KEY));
	assert_null(strstr(out, KEY));
}

static void hold_becomes_a_direction(void **state)
{
	struct sdp_streams s = streams_of(SDP_HOLD, &(struct sdp_rules){0});
	struct sdp_local local = {.rtp = ip("10.20.0.10", 20000)};
	struct sdp_relay_params p = params(SDP_HOLD, &s, &local);

	assert_int_equal(s.stream[0].slot, SDP_SLOT_ON);
	assert_true(s.stream[0].hold);
	assert_int_equal(s.stream[0].direction, SDP_SENDONLY);
	assert_int_equal(s.stream[0].rtp.family, ADDR_NONE);
	assert_int_equal(s.stream[0].rtcp.family, ADDR_NONE);
	written(&p);
	assert_non_null(strstr(out, "c=IN IP4 10.20.0.10\r\n"));
	assert_non_null(strstr(out, "\r\na=sendonly\r\n"));
	assert_null(strstr(out, "0.0.0.0"));
	assert_null(strstr(out, "10.10.0.52"));
}

static void hold_and_recvonly_is_inactive(void **state)
{
	struct sdp_streams s =
		streams_of(SDP_HOLD "a=recvonly\r\n", &(struct sdp_rules){0});

	assert_int_equal(s.stream[0].direction, SDP_INACTIVE);
	s = streams_of(SDP_HOLD "a=sendonly\r\n", &(struct sdp_rules){0});
	assert_int_equal(s.stream[0].direction, SDP_SENDONLY);
}

static void relays_v6_to_v4(void **state)
{
	struct sdp_streams s = streams_of(SDP_V6, &(struct sdp_rules){0});
	struct sdp_local local = {.rtp = ip("10.20.0.11", 20000)};
	struct sdp_relay_params p = params(SDP_V6, &s, &local);

	assert_addr(&s.stream[0].rtp, "[fd00:10::51]:6000");
	assert_addr(&s.stream[0].rtcp, "[fd00:10::52]:6005");
	assert_string_equal(written(&p), "v=0\r\n"
					 "o=- 1234 1 IN IP4 10.20.0.10\r\n"
					 "s=-\r\n"
					 "t=0 0\r\n"
					 "m=audio 20000 RTP/AVP 0\r\n"
					 "c=IN IP4 10.20.0.11\r\n"
					 "a=rtcp:20001 IN IP4 10.20.0.11\r\n");
}

static void relays_several_streams(void **state)
{
	struct sdp_streams s = streams_of(SDP_MULTI, &(struct sdp_rules){0});
	struct sdp_local local[4] = {
		{.rtp = ip("10.20.0.10", 20000), .rtcp_port = 20009},
		{.rtp = {0}},
		{.rtp = {0}},
		{.rtp = ip("fd00:20::10", 20002)},
	};
	struct sdp_relay_params p = params(SDP_MULTI, &s, local);
	struct hide_set hide;

	assert_int_equal(s.len, 4);
	assert_int_equal(s.stream[1].slot, SDP_SLOT_OFF);
	assert_int_equal(s.stream[2].slot, SDP_SLOT_REFUSED);
	assert_int_equal(s.stream[2].warning, 304);
	assert_int_equal(s.stream[3].slot, SDP_SLOT_ON);
	hide_init(&hide);
	assert_int_equal(hide_add(&hide, "pbx.example.net", 15), 0);
	p.hide = &hide;
	assert_string_equal(written(&p), "v=0\r\n"
					 "o=- 1234 1 IN IP4 10.20.0.10\r\n"
					 "s=conference\r\n"
					 "c=IN IP4 10.20.0.10\r\n"
					 "t=0 0\r\n"
					 "a=X-fine:yes\r\n"
					 "y=0100000001\r\n"
					 "m=audio 20000 RTP/AVP 0 101\r\n"
					 "i=the agent's microphone\r\n"
					 "b=TIAS:64000\r\n"
					 "b=RR:0\r\n"
					 "a=rtcp:20009 IN IP4 10.20.0.10\r\n"
					 "a=rtpmap:101 telephone-event/8000\r\n"
					 "a=rtcp-xr:voip-metrics\r\n"
					 "m=video 0 RTP/AVP 96\r\n"
					 "a=rtpmap:96 H264/90000\r\n"
					 "m=image 0 udptl t38\r\n"
					 "m=audio 20002 RTP/AVPF 8\r\n"
					 "c=IN IP6 fd00:20::10\r\n"
					 "a=recvonly\r\n");
	/* A stream the caller has no port for is rejected like the others. */
	local[3].rtp.port = 0;
	assert_non_null(strstr(written(&p), "m=audio 0 RTP/AVPF 8\r\n"));
}

static void only_c_of_rejected_media_is_replaced(void **state)
{
	static const char text[] = "v=0\r\nm=image 5 udptl t38\r\n"
				   "c=IN IP4 10.1.1.1\r\n"
				   "m=audio 8 RTP/AVP 0\r\n"
				   "c=IN IP4 10.1.1.1\r\n";
	struct sdp_streams s = streams_of(text, &(struct sdp_rules){0});
	struct sdp_local local[2] = {{.rtp = {0}},
				     {.rtp = ip("10.20.0.10", 20000)}};
	struct sdp_relay_params p = params(text, &s, local);

	assert_string_equal(written(&p),
			    "v=0\r\no=- 1234 1 IN IP4 10.20.0.10\r\ns=-\r\n"
			    "c=IN IP4 10.20.0.10\r\nt=0 0\r\n"
			    "m=image 0 udptl t38\r\n"
			    "m=audio 20000 RTP/AVP 0\r\n"
			    "c=IN IP4 10.20.0.10\r\n");
}

#define HEAD "v=0\r\no=- 1 1 IN IP4 10.1.1.1\r\ns=-\r\n"

static void refuses_with_a_reason(void **state)
{
	static const struct {
		const char *text;
		int rc;
		unsigned warning;
		const char *reason;
	} cases[] = {
		{SDP_ENDLESS, -EPROTO, 302, "Incompatible transport"},
		{SDP_TEAMS, -EPROTO, 302, "Incompatible transport"},
		{HEAD "c=IN IP4 10.1.1.1\nm=image 5 udptl t38\n", -EPROTO, 304,
		 "Media type not available"},
		{HEAD "c=IN IP4 10.1.1.1\nm=video 5 RTP/AVP 34\n", -EPROTO, 304,
		 "Media type not available"},
		{HEAD "c=IN IP4 10.1.1.1\nm=audio 5 RTP/AVP\n", -EPROTO, 305,
		 "Incompatible media format"},
		{HEAD "c=IN IP4 10.1.1.1\nm=audio 5 RTP/AVP x 128\n", -EPROTO,
		 305, "Incompatible media format"},
		{HEAD "m=audio 5 RTP/AVP 0\n", -EPROTO, 301,
		 "Incompatible network address"},
		{HEAD "c=IN IP4 h.example.com\nm=audio 5 RTP/AVP 0\n", -EPROTO,
		 301, "Incompatible network address"},
		{HEAD "c=IN IP4 224.1.1.1/1\nm=audio 5 RTP/AVP 0\n", -EPROTO,
		 330, "Multicast not available"},
		{"hello", -EINVAL, 399, "does not begin with v=0"},
		{"v=0\nm=audio\n", -EINVAL, 399, "malformed m= line"},
	};

	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		struct sdp_refusal why;
		struct sdp_streams s;

		assert_int_equal(read_with(cases[i].text,
					   &(struct sdp_rules){0}, &s, &why),
				 cases[i].rc);
		assert_int_equal(why.warning, cases[i].warning);
		assert_non_null(strstr(why.text, cases[i].reason));
	}
}

static void accepts_what_wants_nothing(void **state)
{
	struct sdp_streams s = streams_of(HEAD, &(struct sdp_rules){0});

	assert_int_equal(s.len, 0);
	s = streams_of(HEAD "m=image 0 udptl t38\n", &(struct sdp_rules){0});
	assert_int_equal(s.len, 1);
	assert_int_equal(s.stream[0].slot, SDP_SLOT_OFF);
}

static void video_by_rule(void **state)
{
	struct sdp_streams s = streams_of(
		HEAD "c=IN IP4 10.1.1.1\nm=video 65535 RTP/AVP 34 96\n",
		&(struct sdp_rules){.video = true});

	assert_int_equal(s.stream[0].slot, SDP_SLOT_ON);
	assert_int_equal(s.stream[0].media, 'v');
	assert_int_equal(s.stream[0].rtcp.family, ADDR_NONE);
	assert_string_equal(s.stream[0].formats[0].encoding, "H263");
	assert_int_equal(s.stream[0].formats[1].payload_type, 96);
	assert_string_equal(s.stream[0].formats[1].encoding, "");
}

static void checks_answers(void **state)
{
	static const char offer_text[] =
		HEAD "c=IN IP4 10.1.1.1\nm=audio 5 RTP/AVP 0\n"
		     "m=image 5 udptl t38\n";
	static const struct {
		const char *media;
		unsigned warning; /* 0 = good */
	} cases[] = {
		{"m=audio 5 RTP/AVP 0\nm=image 0 udptl t38\n", 0},
		{"m=audio 0 RTP/AVP 0\nm=image 0 udptl t38\n", 0},
		{"m=audio 5 RTP/AVP 0\n", 307},
		{"m=audio 5 RTP/AVP 0\nm=image 0 udptl t38\n"
		 "m=audio 5 RTP/AVP 0\n",
		 307},
		{"m=audio 5 RTP/AVP 0\nm=image 5 udptl t38\n", 307},
		{"m=video 5 RTP/AVP 0\nm=image 0 udptl t38\n", 304},
		{"m=audio 5 RTP/SAVP 0\nm=image 0 udptl t38\n", 302},
	};
	struct sdp_streams offer =
		streams_of(offer_text, &(struct sdp_rules){0});
	struct sdp_rules rules = {.offer = &offer};
	char text[512];

	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		struct sdp_refusal why;
		struct sdp_streams s;

		snprintf(text, sizeof(text), HEAD "c=IN IP4 10.1.1.1\n%s",
			 cases[i].media);
		assert_int_equal(read_with(text, &rules, &s, &why),
				 cases[i].warning ? -EPROTO : 0);
		assert_int_equal(why.warning, cases[i].warning);
	}
}

static void slots_over_the_limit_stay(void **state)
{
	char text[2048] = HEAD "c=IN IP4 10.1.1.1\n";
	struct sdp_local local[SDP_STREAMS_MAX];
	struct sdp_relay_params p;
	struct sdp_streams s;
	unsigned on = 0, all = 0;

	for (unsigned i = 0; i < SDP_STREAMS_MAX + 2; i++)
		strcat(text, "m=audio 5 RTP/AVP 0\na=x\n");
	for (unsigned i = 0; i < SDP_STREAMS_MAX; i++)
		local[i] = (struct sdp_local){.rtp = ip("10.20.0.10", 7)};
	s = streams_of(text, &(struct sdp_rules){0});
	assert_int_equal(s.media_count, SDP_STREAMS_MAX + 2);
	assert_int_equal(s.len, SDP_STREAMS_MAX);
	p = params(text, &s, local);
	for (const char *m = written(&p); (m = strstr(m, "m=audio ")); m++) {
		on += strncmp(m, "m=audio 7 ", 10) == 0;
		all++;
	}
	assert_int_equal(all, SDP_STREAMS_MAX + 2);
	assert_int_equal(on, SDP_STREAMS_MAX);
}

static void version_follows_content(void **state)
{
	struct sdp_streams s = streams_of(SDP_CUCM, &(struct sdp_rules){0});
	struct sdp_local local = {.rtp = ip("10.20.0.10", 20000)};
	struct sdp_relay_params p = params(SDP_CUCM, &s, &local);
	static char last[SDP_SIZE_MAX];
	uint64_t version = 0;
	ssize_t n;

	p.version = 41;
	n = sdp_relay_write(&p, last, sizeof(last), &version, NULL);
	assert_true(n > 0);
	assert_int_equal(version, 41);
	p.last = last;
	p.last_size = (size_t)n;
	assert_int_equal(sdp_relay_write(&p, out, sizeof(out), &version, NULL),
			 n);
	assert_int_equal(version, 41);
	assert_memory_equal(out, last, n);
	local.rtp.port = 20002;
	assert_true(sdp_relay_write(&p, out, sizeof(out), &version, NULL) > 0);
	assert_int_equal(version, 42);
	assert_non_null(strstr(out, "o=- 1234 42 IN IP4 10.20.0.10\r\n"));
}

static void write_can_fail(void **state)
{
	struct sdp_streams s = streams_of(SDP_CUCM, &(struct sdp_rules){0});
	struct sdp_local local = {.rtp = ip("10.20.0.10", 20000)};
	struct sdp_relay_params p = params(SDP_CUCM, &s, &local);
	static const char bad[] = HEAD "m=audio 5 X/Y 10.1.1.1\n";
	struct sdp_refusal why;
	uint64_t version = 5;

	assert_int_equal(sdp_relay_write(&p, out, 64, &version, &why), -ENOSPC);
	assert_int_equal(why.warning, 399);
	p.in = bad;
	p.in_size = strlen(bad);
	s.stream[0].slot = SDP_SLOT_REFUSED;
	assert_int_equal(sdp_relay_write(&p, out, sizeof(out), &version, &why),
			 -EPERM);
	assert_int_equal(why.warning, 305);
	p.in_size = 0;
	assert_int_equal(sdp_relay_write(&p, out, sizeof(out), &version, &why),
			 -EINVAL);
	assert_int_equal(version, 5);
}

static void directions_reverse(void **state)
{
	assert_int_equal(sdp_direction_reverse(SDP_SENDONLY), SDP_RECVONLY);
	assert_int_equal(sdp_direction_reverse(SDP_RECVONLY), SDP_SENDONLY);
	assert_int_equal(sdp_direction_reverse(SDP_SENDRECV), SDP_SENDRECV);
	assert_int_equal(sdp_direction_reverse(SDP_INACTIVE), SDP_INACTIVE);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(relays_cucm),
		cmocka_unit_test(relays_teams_without_ice),
		cmocka_unit_test(keys_do_not_cross_in_plain),
		cmocka_unit_test(hold_becomes_a_direction),
		cmocka_unit_test(hold_and_recvonly_is_inactive),
		cmocka_unit_test(relays_v6_to_v4),
		cmocka_unit_test(relays_several_streams),
		cmocka_unit_test(only_c_of_rejected_media_is_replaced),
		cmocka_unit_test(refuses_with_a_reason),
		cmocka_unit_test(accepts_what_wants_nothing),
		cmocka_unit_test(video_by_rule),
		cmocka_unit_test(checks_answers),
		cmocka_unit_test(slots_over_the_limit_stay),
		cmocka_unit_test(version_follows_content),
		cmocka_unit_test(write_can_fail),
		cmocka_unit_test(directions_reverse),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
