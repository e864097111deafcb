/*
 * counters - what a worker counts, in memory shared with the keeper, which
 * shows them. One writer a cell (relaxed atomics), any reader. A worker that
 * dies leaves its numbers behind; its successor goes on counting.
 *
 * Layer: base. Written by one process, read by the keeper.
 */
#ifndef SBCD_BASE_COUNTERS_H
#define SBCD_BASE_COUNTERS_H

#include <stddef.h>
#include <stdint.h>
#include "sbcd/base/addr.h"

/* name, help */
#define COUNTERS_SIP(X)                                                        \
	X(sip_rx_requests, "SIP requests received")                            \
	X(sip_rx_responses, "SIP responses received")                          \
	X(sip_rx_malformed, "SIP messages dropped: not parseable")             \
	X(sip_rx_copies, "late copies of requests absorbed")                   \
	X(sip_rx_quarantined, "SIP messages refused: crashed a worker before") \
	X(sip_rx_unknown_source, "SIP requests from no known session agent")   \
	X(sip_rx_unknown_dialog, "in-dialog requests answered 481")            \
	X(sip_rejected, "requests rejected by policy")                         \
	X(sip_calls_attempted, "INVITEs accepted for routing")                 \
	X(sip_calls_answered, "calls answered")                                \
	X(sip_calls_failed, "calls that ended unanswered")                     \
	X(sip_commit_timeouts, "synchronous puts that hit their deadline")     \
	X(sip_record_rejected, "records that could not be applied")            \
	X(sip_keys_bad, "calls ended: keys restored were not usable")          \
	X(sip_offers_refused, "offers refused for their RTP, SRTP or keys")    \
	X(sip_answers_refused, "answers refused for that")                     \
	X(sip_offers_own, "re-INVITEs of our own")                             \
	X(sip_tx_dropped,                                                      \
	  "datagrams that the shut gate or a full queue dropped")              \
	X(sip_conns_refused, "stream connections over a cap or from nobody")   \
	X(sip_tls_handshakes, "TLS handshakes completed")                      \
	X(sip_tls_failed, "TLS handshakes that failed, see show tls")

#define COUNTERS_MEDIA(X)                                                      \
	X(media_rx_packets, "RTP and RTCP packets received")                   \
	X(media_tx_packets, "RTP and RTCP packets sent")                       \
	X(media_rx_no_flow, "packets to a port without a flow")                \
	X(media_rx_malformed, "packets too short or not RTP/RTCP")             \
	X(media_rx_wrong_source, "packets from a source that is not latched")  \
	X(media_rx_too_long, "packets longer than the MTU")                    \
	X(media_tx_errors, "packets the kernel did not take")                  \
	X(media_tx_no_destination, "packets dropped: remote not known yet")    \
	X(media_forwarded_out,                                                 \
	  "packets forwarded to the peer in a switchover")                     \
	X(media_forwarded_in, "forwarded packets taken from the peer")         \
	X(media_forward_bad, "forwarded packets refused: key or format")       \
	X(media_guard_expired, "streams reported silent")                      \
	X(media_record_rejected, "records that could not be applied")          \
	X(media_rx_held, "packets not relayed: the direction forbids it")      \
	X(media_rx_stale, "packets too old when a worker took over")           \
	X(media_latched, "sources learned")                                    \
	X(media_srtp_rx, "SRTP and SRTCP packets received")                    \
	X(media_srtp_rx_bad_tag, "SRTP packets that are not authentic")        \
	X(media_srtp_rx_bad_mki, "SRTP packets of a key that is not known")    \
	X(media_srtp_rx_replayed, "SRTP packets that came before, or too old") \
	X(media_srtp_rx_malformed, "SRTP packets refused otherwise")           \
	X(media_srtp_tx, "SRTP and SRTCP packets sent")                        \
	X(media_srtp_tx_repeated, "not sent: the number was used before")      \
	X(media_srtp_tx_refused, "not sent under SRTP for another reason")     \
	X(media_srtp_tx_held, "not sent: where the key stands was not told")   \
	X(media_srtp_tx_delayed, "sent after where the key stands was told")   \
	X(media_srtp_tx_restarted, "sources that began anew, renumbered")

#define COUNTERS_ENUM(name, help) COUNTER_##name,
enum counter_id {
	COUNTERS_SIP(COUNTERS_ENUM) COUNTERS_MEDIA(COUNTERS_ENUM) COUNTER_COUNT
};

struct counters;

/* Creates the shared page; the fd (memfd) is handed to the worker. */
int counters_create(struct counters **out, int *fd_out)
	__attribute__((warn_unused_result));
/* Maps a page made by counters_create(); the fd may be closed after it. */
int counters_map(struct counters **out, int fd)
	__attribute__((warn_unused_result));
void counters_destroy(struct counters *c);

/* Legal with c == NULL: unit tests run without a page. Thread safe. */
void counters_add(struct counters *c, enum counter_id id, uint64_t n);
uint64_t counters_get(const struct counters *c, enum counter_id id);
/* Thread `thread` of the worker goes round: at least every 100 ms. */
enum { COUNTERS_THREADS_MAX = 64 };
void counters_pulse(struct counters *c, unsigned thread);
uint64_t counters_pulses(const struct counters *c, unsigned thread);
/* For clock_pair_follow(): the other way, from the keeper. */
_Atomic int64_t *counters_clock(struct counters *c);
/*
 * What the worker is working on right now, written before it starts and
 * cleared after: when the worker dies the keeper knows the culprit. `what` is
 * at most COUNTERS_BUSY_SIZE bytes (a record key, or a hash and a source).
 */
enum { COUNTERS_BUSY_SIZE = 64 };
/* `what` of BUSY_INPUT: the first `size` bytes of a message, and from where. */
struct busy_input {
	uint64_t hash;
	uint32_t size;
	struct addr source;
};
enum counters_busy { BUSY_NOTHING = 0, BUSY_RECORD = 1, BUSY_INPUT = 2 };
void counters_set_busy(struct counters *c, enum counters_busy kind,
		       const void *what, size_t size);
enum counters_busy counters_get_busy(const struct counters *c, void *what,
				     size_t *size);

const char *counters_name(enum counter_id id);
const char *counters_help(enum counter_id id);

#endif
