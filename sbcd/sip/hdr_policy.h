/*
 * hdr_policy - which SIP headers cross the B2BUA, and in what shape.
 *
 * One table by header name. A header that is not in it passes, like those
 * marked HDR_PASS, unless its value shows an address of the other side: a
 * hidden host name or any IP literal. Works on strings, no SIP stack; values
 * are hostile: output is bounded, a value with CR or LF in it never passes.
 *
 * Layer: sip. SIP worker, any thread. No state.
 */
#ifndef SBCD_SIP_HDR_POLICY_H
#define SBCD_SIP_HDR_POLICY_H

#include <stdbool.h>
#include <stddef.h>
#include <sys/types.h>
#include "sbcd/sip/hide.h"

enum hdr_policy {
	HDR_PASS = 0, /* as it is, or not at all */
	HDR_DROP, /* belongs to one side */
	HDR_REWRITE_HOST, /* passes with our host in it */
	HDR_OWN, /* made by the B2BUA for each side, never copied */
};

struct hdr_hosts {
	const struct hide_set *hide; /* of the side it comes from; NULL */
	/* Our host on the side it goes to, as in a URI, with or without port:
	 * "10.20.0.10", "[fd00::10]", "sbc.example.com:5061". */
	const char *own;
};

/* By name without case, compact forms included. */
enum hdr_policy hdr_policy_classify(const char *name);
/* Does the value show an address of the side it comes from? */
bool hdr_policy_leaks(const char *value, const struct hdr_hosts *hosts);
/*
 * Puts our host in the place of every hidden host name and every IP address,
 * port included. Bytes written, the NUL not counted; -ENOSPC; -EINVAL when
 * the value holds CR or LF.
 */
ssize_t hdr_policy_rewrite(const char *value, const struct hdr_hosts *hosts,
			   char *out, size_t size)
	__attribute__((warn_unused_result));
/* The same for text of many lines: a body that names hosts. */
ssize_t hdr_policy_rewrite_text(const char *text, size_t text_size,
				const struct hdr_hosts *hosts, char *out,
				size_t size)
	__attribute__((warn_unused_result));
/*
 * The whole policy for one header on its way through: bytes of the value to
 * send, -ENOENT when it must not be sent, -ENOSPC.
 */
ssize_t hdr_policy_apply(const char *name, const char *value,
			 const struct hdr_hosts *hosts, char *out, size_t size)
	__attribute__((warn_unused_result));

#endif
