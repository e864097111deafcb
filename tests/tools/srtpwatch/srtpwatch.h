/*
 * srtpwatch: does any (key, SSRC, index) ever encrypt two payloads?
 *
 * The captured packets are opened with the keys that the peers were told, by
 * code of its own: only an index under which the tag is right counts. main.c
 * captures and talks, crypt.c knows keys, judge.c remembers.
 */
#ifndef SRTPWATCH_H
#define SRTPWATCH_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum { SW_PACKET_BYTES = 2048, SW_KEY_BYTES_MAX = 46, SW_SALT_BYTES = 14 };

/* ---- crypt.c ------------------------------------------------------------- */

struct sw_session {
	uint8_t key[32], auth[20], salt[SW_SALT_BYTES];
};

struct sw_crypt {
	const struct sw_suite *suite;
	uint8_t master[SW_KEY_BYTES_MAX];
	struct sw_session rtp, rtcp;
};

/* A suite's name and base64 as a=crypto has them. -EINVAL, -EIO. */
int sw_crypt_init(struct sw_crypt *c, const char *suite, const char *base64);
/* Was this RTP packet encrypted under (roc, its own sequence number)? */
bool sw_rtp_is(const struct sw_crypt *c, const uint8_t *data, size_t size,
	       uint32_t roc);
/* Is this SRTCP packet authentic? Its index, without the E bit. */
bool sw_rtcp_is(const struct sw_crypt *c, const uint8_t *data, size_t size,
		uint32_t *index);

/* ---- judge.c ------------------------------------------------------------- */

struct sw_packet {
	uint32_t ip; /* where it went to; network order */
	uint16_t port;
	uint16_t where; /* the switch's port it came from */
	uint64_t at_ns;
	size_t size;
	const uint8_t *data;
};

struct sw_judge;

int sw_judge_create(struct sw_judge **out);
void sw_judge_destroy(struct sw_judge *j);
/* What goes to that RTP port, and the next one, may be under this key. */
int sw_judge_key(struct sw_judge *j, const char *suite, const char *base64,
		 uint32_t ip, uint16_t port);
void sw_judge_packet(struct sw_judge *j, const struct sw_packet *p);

struct sw_report {
	uint64_t keys, rtp, rtcp; /* authentic ones */
	uint64_t streams; /* (key, SSRC, RTP or RTCP) */
	uint64_t repeats; /* the same packet once more */
	uint64_t reused; /* an index with another packet: must be 0 */
	uint64_t unknown; /* to a place with keys, under none of them */
	uint64_t plain; /* to a place without keys */
	uint64_t roc_max;
};

/* What waits for a key is judged now. */
void sw_judge_report(struct sw_judge *j, struct sw_report *out);

struct sw_reuse {
	uint32_t key, ssrc;
	bool rtcp;
	uint64_t index;
	uint64_t at_ns;
	uint16_t where;
};

enum { SW_REUSES_MAX = 16 };

/* Some of the unknown ones, until the next packet; returns how many. */
size_t sw_judge_unknowns(const struct sw_judge *j, const struct sw_packet **out,
			 size_t max);
/* The first ones; returns how many. */
size_t sw_judge_reuses(const struct sw_judge *j, const struct sw_reuse **out);

#endif
