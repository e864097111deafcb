/*
 * sdp_edit - changes to a parsed description: what a relay must replace, and
 * what must not cross it.
 *
 * Lines written here are "ours" and exempt from sdp_hide(). Every edit gives
 * 0, -ENOMEM, -ENOSPC (bounds of sdp.h) or -ERANGE (no such section), and
 * leaves the description unchanged when it fails.
 *
 * Layer: sip. SIP worker, any thread, one owner. Needs no SIP stack.
 */
#ifndef SBCD_SIP_SDP_EDIT_H
#define SBCD_SIP_SDP_EDIT_H

#include "sbcd/sip/sdp.h"

/* "o=- <id> <version> IN IP4 <address>", replacing or inserting. */
int sdp_set_origin(struct sdp *sdp, uint64_t id, uint64_t version,
		   const struct addr *address)
	__attribute__((warn_unused_result));
/* s=, replacing or inserting. */
int sdp_set_session_name(struct sdp *sdp, const char *name)
	__attribute__((warn_unused_result));
/* Adds s= and t= where RFC 8866 asks for them and they are missing. */
int sdp_complete(struct sdp *sdp) __attribute__((warn_unused_result));
/* c= of a section, replacing all that are there, or inserting. */
int sdp_set_connection(struct sdp *sdp, unsigned section,
		       const struct addr *address)
	__attribute__((warn_unused_result));
/* A port count ("49170/2") goes. */
int sdp_media_set_port(struct sdp *sdp, unsigned m, uint16_t port)
	__attribute__((warn_unused_result));
/* "RTP/SAVP"; -EINVAL when it is not one token. */
int sdp_media_set_proto(struct sdp *sdp, unsigned m, const char *proto)
	__attribute__((warn_unused_result));
/* a=rtcp; `address` may be NULL. */
int sdp_media_set_rtcp(struct sdp *sdp, unsigned m, uint16_t port,
		       const struct addr *address)
	__attribute__((warn_unused_result));
int sdp_media_set_direction(struct sdp *sdp, unsigned m,
			    enum sdp_direction direction)
	__attribute__((warn_unused_result));
/* Port 0 and no other line: the slot stays, nothing else does. */
int sdp_media_reject(struct sdp *sdp, unsigned m)
	__attribute__((warn_unused_result));

/* The m-line and its lines once more, right behind it. */
int sdp_media_copy(struct sdp *sdp, unsigned m)
	__attribute__((warn_unused_result));
/* The m-line goes with its lines: not for what a peer gets to see (RFC 3264),
 * but for an m-line it does not know of. */
void sdp_media_remove(struct sdp *sdp, unsigned m);

/* Appends "a=name:value" (value NULL: "a=name"); -EINVAL on CR, LF or NUL. */
int sdp_attr_add(struct sdp *sdp, unsigned section, const char *name,
		 const char *value) __attribute__((warn_unused_result));
/* Removes all of that name from one section; returns how many. */
unsigned sdp_attr_remove(struct sdp *sdp, unsigned section, const char *name);

/* Removes every line but an m-line that holds a key, or could. */
void sdp_strip_keys(struct sdp *sdp);

/*
 * Topology hiding. Removes ICE, DTLS and bundling, keys, k= and z=, the
 * session's i=, u=, e= and p=, lines that are no SDP, a foreign o=, c= or
 * a=rtcp, and every line that shows something of `hide` or, unless it is known
 * to hold none, any IP address at all. -EPERM when an m-line shows something of
 * `hide`: it cannot be removed. Set origin, connections and ports first.
 */
int sdp_hide(struct sdp *sdp, const struct hide_set *hide)
	__attribute__((warn_unused_result));
/*
 * Adds the addresses and names that the description itself shows in o=, c=
 * and a=rtcp to `hide`; -ENOSPC when not all fit.
 */
int sdp_collect(const struct sdp *sdp, struct hide_set *hide)
	__attribute__((warn_unused_result));

/*
 * The version for our next o= line on a leg (RFC 3264 section 8): `version`
 * again when `next` says what `last` (text of size `last_size`, 0 = nothing
 * sent yet) said, else one more.
 */
uint64_t sdp_next_version(const struct sdp *next, const char *last,
			  size_t last_size, uint64_t version);

/*
 * For tests and checkers: does `text` show this address or host name? By
 * value, like hide_find(). A bad `address_text` counts as found.
 */
bool sdp_find_address(const char *text, size_t size, const char *address_text);

#endif
