/* RTP and RTCP headers, the index of a packet, statistics. */
#include "media_test.h"

#include "sbcd/media/rtp.h"

static void test_classify(void **state)
{
	uint8_t p[64];
	size_t size = rtp_make(p, 1, 1, 1, 20);

	assert_int_equal(rtp_classify(p, size, false), RTP_CLASS_RTP);
	/* RTP on the RTCP port is nothing we know. */
	assert_int_equal(rtp_classify(p, size, true), RTP_CLASS_BAD);
	size = rtcp_make(p);
	assert_int_equal(rtp_classify(p, size, true), RTP_CLASS_RTCP);
	assert_int_equal(rtp_classify(p, size, false), RTP_CLASS_RTCP);
	/* Marker and payload type 0..63, 96..127 stay RTP. */
	for (unsigned type = 0; type < 256; type++) {
		bool rtcp = type >= 192 && type <= 223;

		size = rtp_make(p, 1, 1, 1, 20);
		p[1] = (uint8_t)type;
		p[3] = 1; /* as RTCP: two words */
		assert_int_equal(rtp_classify(p, size, false),
				 rtcp ? RTP_CLASS_RTCP : RTP_CLASS_RTP);
	}
}

static void test_refuse_broken(void **state)
{
	uint8_t p[64] = {0};
	struct rtp_header h;
	size_t size = rtp_make(p, 1, 1, 1, 20);

	for (size_t n = 0; n < RTP_HEADER_BYTES; n++)
		assert_int_equal(rtp_classify(p, n, false), RTP_CLASS_BAD);
	/* STUN begins with two zero bits. */
	p[0] = 0x00;
	assert_int_equal(rtp_classify(p, size, false), RTP_CLASS_BAD);
	p[0] = 0xc0;
	assert_int_equal(rtp_classify(p, size, false), RTP_CLASS_BAD);
	/* Fifteen CSRCs do not fit into 32 bytes. */
	p[0] = 0x8f;
	assert_int_equal(rtp_parse(&h, p, size), -EBADMSG);
	p[0] = 0x82;
	assert_int_equal(rtp_parse(&h, p, size), 0);
	assert_int_equal(h.bytes, 20);
	/* Extension of 4 words at 12: ends at 32. */
	p[0] = 0x90;
	p[15] = 4;
	assert_int_equal(rtp_parse(&h, p, size), 0);
	assert_int_equal(h.bytes, 32);
	p[15] = 5;
	assert_int_equal(rtp_parse(&h, p, size), -EBADMSG);
	p[14] = 0xff;
	p[15] = 0xff;
	assert_int_equal(rtp_parse(&h, p, size), -EBADMSG);
	/* Not even room for the extension's own header. */
	p[0] = 0x91;
	assert_int_equal(rtp_parse(&h, p, 18), -EBADMSG);

	size = rtcp_make(p);
	assert_true(rtcp_valid(p, size));
	assert_false(rtcp_valid(p, size - 1));
	p[3] = 2;
	assert_false(rtcp_valid(p, size));
	p[3] = 1;
	p[1] = 191;
	assert_false(rtcp_valid(p, size));
	p[1] = 224;
	assert_false(rtcp_valid(p, size));
}

static void test_header_fields(void **state)
{
	uint8_t p[32];
	struct rtp_header h;
	size_t size = rtp_make(p, 0xa1b2c3d4, 0xfffe, 0x01020304, 4);

	p[1] = 0x80 | 101;
	assert_int_equal(rtp_parse(&h, p, size), 0);
	assert_int_equal(h.payload_type, 101);
	assert_true(h.marker);
	assert_int_equal(h.seq, 0xfffe);
	assert_int_equal(h.timestamp, 0x01020304);
	assert_int_equal(h.ssrc, 0xa1b2c3d4);
	assert_int_equal(h.bytes, 12);
}

/* Whatever is near the highest index is found again, in any ROC. */
static void test_index_guess(void **state)
{
	static const uint64_t rocs[] = {0, 1, 2, 7, 0xfffffffe};

	for (unsigned r = 0; r < 5; r++) {
		for (uint32_t last = 0; last < 65536; last += 511) {
			uint64_t highest = rocs[r] << 16 | last;

			for (int d = -32000; d <= 32000; d += 997) {
				uint64_t index = highest + (uint64_t)(int64_t)d;

				if (d < 0 && highest < (uint64_t)-d)
					continue;
				assert_true(rtp_index_guess(highest,
							    (uint16_t)index) ==
					    index);
			}
		}
	}
	/* ROC 0 has nothing before it. */
	assert_true(rtp_index_guess(5, 65530) == 65530);
}

static unsigned feed(struct rtp_stats *s, uint32_t ssrc, uint16_t seq,
		     uint64_t ms)
{
	struct rtp_header h = {
		.ssrc = ssrc, .seq = seq, .timestamp = (uint32_t)(ms * 8)};

	return rtp_stats_update(s, &h, 172, at_ms(ms));
}

static void test_loss(void **state)
{
	struct rtp_stats s = {.media = 'a'};

	assert_int_equal(feed(&s, 1, 65530, 0), RTP_SAW_NEW_SSRC);
	for (unsigned i = 1; i < 20; i++) {
		unsigned saw;

		if (i == 4 || i == 9)
			continue; /* lost */
		saw = feed(&s, 1, (uint16_t)(65530 + i), 20 * i);
		assert_int_equal(saw, i == 6 ? RTP_SAW_WRAP : 0);
	}
	assert_true(s.index == (1 << 16 | 13));
	assert_int_equal(rtp_stats_lost(&s), 2);
	assert_int_equal(s.packets, 18);
	assert_int_equal(s.bytes, 18 * 172);
	/* A late one, from before the wrap, is no longer lost. */
	assert_int_equal(feed(&s, 1, (uint16_t)(65530 + 4), 400), RTP_SAW_LATE);
	assert_int_equal(rtp_stats_lost(&s), 1);
	assert_true(s.index == (1 << 16 | 13));
	/* A duplicate does not make losses negative. */
	for (unsigned i = 0; i < 5; i++)
		feed(&s, 1, 13, 420);
	assert_int_equal(rtp_stats_lost(&s), 0);
}

static void test_new_ssrc_keeps_totals(void **state)
{
	struct rtp_stats s = {.media = 'a'};

	feed(&s, 1, 100, 0);
	feed(&s, 1, 110, 20);
	assert_int_equal(rtp_stats_lost(&s), 9);
	assert_int_equal(feed(&s, 2, 50000, 40), RTP_SAW_NEW_SSRC);
	assert_int_equal(rtp_stats_lost(&s), 9);
	assert_true(s.index == 50000);
	feed(&s, 2, 50002, 60);
	assert_int_equal(rtp_stats_lost(&s), 10);
	assert_int_equal(s.packets, 4);
}

static void test_restart_of_the_sender(void **state)
{
	struct rtp_stats s = {.media = 'a'};
	uint64_t before;

	feed(&s, 1, 40000, 0);
	feed(&s, 1, 40001, 20);
	before = s.index;
	/* One stray packet changes nothing. */
	assert_int_equal(feed(&s, 1, 12000, 40), RTP_SAW_LATE);
	assert_true(s.index == before);
	assert_int_equal(feed(&s, 1, 40002, 60), 0);
	/* Two in a row are a new beginning, and no index comes twice. */
	assert_int_equal(feed(&s, 1, 30000, 80), RTP_SAW_LATE);
	assert_true(feed(&s, 1, 30001, 100) & RTP_SAW_RESTART);
	assert_true(s.index > before);
	assert_int_equal(s.index & 0xffff, 30001);
	assert_int_equal(rtp_stats_lost(&s), 0);
	/* A long jump forward is a restart, not 5000 losses. */
	assert_true(feed(&s, 1, 35001, 120) & RTP_SAW_RESTART);
	assert_int_equal(rtp_stats_lost(&s), 0);
	assert_int_equal(s.index & 0xffff, 35001);
}

static void test_restore(void **state)
{
	struct rtp_stats s = {.media = 'a'};

	rtp_stats_restore(&s, 9, 3ull << 16 | 65500, 1000, 172000, 7);
	assert_int_equal(rtp_stats_lost(&s), 7);
	/* 100 packets later, over a wrap nobody told us of. */
	assert_int_equal(feed(&s, 9, 64, 0), RTP_SAW_WRAP);
	assert_true(s.index == (4ull << 16 | 64));
	assert_int_equal(s.packets, 1001);
	assert_int_equal(rtp_stats_lost(&s), 7);
	feed(&s, 9, 66, 20);
	assert_int_equal(rtp_stats_lost(&s), 8);
	/* Nothing was received there: begin at nothing. */
	rtp_stats_restore(&s, 0, 0, 0, 0, 0);
	assert_int_equal(feed(&s, 5, 9, 0), RTP_SAW_NEW_SSRC);
}

static void test_jitter(void **state)
{
	struct rtp_stats s = {.media = 'a'};
	uint32_t us;

	for (unsigned i = 0; i < 200; i++)
		feed(&s, 1, (uint16_t)i, 20 * i);
	assert_int_equal(rtp_stats_jitter_us(&s), 0);
	/* Every second packet 10 ms late: D alternates, J tends to 10 ms. */
	for (unsigned i = 200; i < 600; i++) {
		struct rtp_header h = {
			.ssrc = 1, .seq = (uint16_t)i, .timestamp = 160 * i};

		rtp_stats_update(&s, &h, 172, at_ms(20 * i + 10 * (i % 2)));
	}
	us = rtp_stats_jitter_us(&s);
	assert_in_range(us, 9000, 11000);
	/* An event repeats its timestamp for 200 ms: not jitter. */
	for (unsigned i = 600; i < 620; i++) {
		struct rtp_header h = {.ssrc = 1,
				       .seq = (uint16_t)i,
				       .timestamp = 160 * 600,
				       .payload_type = 101};

		rtp_stats_update(&s, &h, 16, at_ms(20 * i));
	}
	assert_in_range(rtp_stats_jitter_us(&s), 8000, 11000);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_classify),
		cmocka_unit_test(test_refuse_broken),
		cmocka_unit_test(test_header_fields),
		cmocka_unit_test(test_index_guess),
		cmocka_unit_test(test_loss),
		cmocka_unit_test(test_new_ssrc_keeps_totals),
		cmocka_unit_test(test_restart_of_the_sender),
		cmocka_unit_test(test_restore),
		cmocka_unit_test(test_jitter),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
