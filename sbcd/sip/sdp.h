/*
 * sdp - a line-preserving editor for session descriptions (RFC 8866).
 *
 * Keeps every line, known or not, word for word and in its order; reads what
 * a relay must know, replaces what it must replace. Printing an unedited
 * description gives the bytes that came in, with CRLF line ends. Input is
 * hostile: sizes, lines and m-lines are bounded, what cannot be kept safely
 * is refused with a reason and a line number. Memory is taken in sdp_parse()
 * and, within fixed bounds, by edits; an edit that fails changes nothing.
 *
 * A section is SDP_SESSION or the number of an m-line, from 0. Numbers out
 * of range read as "absent" and edit as -ERANGE.
 *
 * Layer: sip. SIP worker, any thread, one owner. Needs no SIP stack.
 */
#ifndef SBCD_SIP_SDP_H
#define SBCD_SIP_SDP_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>
#include "sbcd/sip/hide.h"

enum {
	SDP_SIZE_MAX = 65536,
	SDP_LINES_MAX = 2048,
	SDP_MEDIA_MAX = 32,
};
#define SDP_SESSION (~0u)

enum sdp_reason {
	SDP_OK = 0,
	SDP_EMPTY,
	SDP_TOO_BIG,
	SDP_NUL,
	SDP_BARE_CR,
	SDP_TOO_MANY_LINES,
	SDP_TOO_MANY_MEDIA,
	SDP_NO_VERSION, /* the first line is not v=0 */
	SDP_BAD_MEDIA, /* an m-line that cannot be read */
	SDP_NO_MEMORY,
};

struct sdp_error {
	enum sdp_reason reason;
	unsigned line; /* from 1, 0 = the whole */
};

/* Part of a description, not NUL terminated, valid until the next edit. */
struct sdp_text {
	const char *at;
	size_t size;
};

struct sdp;

/* 0, -EINVAL, -E2BIG or -ENOMEM; `err` (may be NULL) says why. */
int sdp_parse(struct sdp **out, const char *buf, size_t size,
	      struct sdp_error *err) __attribute__((warn_unused_result));
void sdp_destroy(struct sdp *sdp);
const char *sdp_reason_text(enum sdp_reason reason);
/* Bytes written, without a NUL, or -ENOSPC. */
ssize_t sdp_print(const struct sdp *sdp, char *buf, size_t size)
	__attribute__((warn_unused_result));
size_t sdp_printed_size(const struct sdp *sdp);
/* Equal but for the version in the o= line and what follows it there? */
bool sdp_same(const struct sdp *a, const struct sdp *b);

/* ---- reading ----------------------------------------------------------- */

enum sdp_proto {
	SDP_RTP_AVP = 1 << 0,
	SDP_RTP_AVPF = 1 << 1,
	SDP_RTP_SAVP = 1 << 2,
	SDP_RTP_SAVPF = 1 << 3,
	SDP_RTP_DTLS = 1 << 4, /* UDP/TLS/RTP/SAVP and SAVPF */
	SDP_PROTO_OTHER = 1 << 5,
};

/* Bits: 1 = the describing side sends, 2 = it receives. */
enum sdp_direction {
	SDP_INACTIVE = 0,
	SDP_SENDONLY = 1,
	SDP_RECVONLY = 2,
	SDP_SENDRECV = 3,
};

struct sdp_media {
	struct sdp_text media; /* "audio" */
	struct sdp_text proto; /* "RTP/AVP" */
	struct sdp_text formats; /* "0 8 101", may be empty */
	enum sdp_proto kind;
	uint16_t port;
	uint16_t port_count; /* "49170/2": 2; else 1 */
	unsigned formats_len;
};

enum sdp_connection_kind {
	SDP_CONN_NONE = 0,
	SDP_CONN_IP,
	SDP_CONN_HOLD, /* 0.0.0.0, :: or a name in .invalid */
	SDP_CONN_MULTICAST, /* or broadcast */
	SDP_CONN_NAME, /* host name: never resolved */
	SDP_CONN_BAD,
};

struct sdp_connection {
	enum sdp_connection_kind kind;
	struct addr ip; /* of SDP_CONN_IP and _MULTICAST; port 0 */
	struct sdp_text text; /* the address as written */
};

struct sdp_rtcp {
	uint16_t port;
	bool has_address;
	struct sdp_connection connection; /* when has_address */
};

struct sdp_format {
	uint8_t payload_type;
	uint8_t channels;
	uint32_t clock_hz;
	char encoding[24]; /* "" = unknown */
};

unsigned sdp_media_count(const struct sdp *sdp);
/* 0 or -ERANGE. */
int sdp_media_get(const struct sdp *sdp, unsigned m, struct sdp_media *out)
	__attribute__((warn_unused_result));
/* The n-th format of an m-line as a token; false when there is none. */
bool sdp_media_format(const struct sdp *sdp, unsigned m, unsigned n,
		      struct sdp_text *out);
/* c= of the m-line, else of the session. For SDP_SESSION the session's. */
void sdp_connection(const struct sdp *sdp, unsigned section,
		    struct sdp_connection *out);
/* The session's fallback is sendrecv. */
enum sdp_direction sdp_direction(const struct sdp *sdp, unsigned section);
/* RFC 3605. 0, -ENOENT when absent, -EINVAL when malformed. */
int sdp_media_rtcp(const struct sdp *sdp, unsigned m, struct sdp_rtcp *out)
	__attribute__((warn_unused_result));
/* a=ptime in ms, 0 = absent. */
unsigned sdp_media_ptime(const struct sdp *sdp, unsigned m);
/* a=rtpmap, else the static table of RFC 3551; -ENOENT when unknown. */
int sdp_media_rtpmap(const struct sdp *sdp, unsigned m, unsigned payload_type,
		     struct sdp_format *out)
	__attribute__((warn_unused_result));
/*
 * Attributes by name, without case, of one section only. `*iter` starts at 0.
 * The value is what follows the colon, empty for a flag.
 */
bool sdp_attr_next(const struct sdp *sdp, unsigned section, const char *name,
		   unsigned *iter, struct sdp_text *value);
unsigned sdp_attr_count(const struct sdp *sdp, unsigned section,
			const char *name);
/* The address in o=; false when there is none. */
bool sdp_origin_address(const struct sdp *sdp, struct sdp_text *out);
/* The first line of `type` in a section, without "x=". */
bool sdp_line_get(const struct sdp *sdp, unsigned section, char type,
		  struct sdp_text *out);

#endif
