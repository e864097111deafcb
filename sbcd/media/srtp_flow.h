/*
 * srtp_flow - the SRTP contexts of one side of a stream: which of them a
 * packet goes through, and how they go on when a record changes, a worker
 * dies or a node takes over.
 *
 * A context is found by the number of its key: the same number is the same
 * context, ROC and windows, for as long as any record lists it.
 *
 * Continuity. What is replicated of a context (rec_srtp) is behind by as much
 * as was sent since the last put. RTP: a source's sequence numbers go on over
 * a take-over, so what it sends next was not sent before; the window is shut
 * up to the last put. SRTCP: its index is ours, so the next node leaves
 * SRTP_RTCP_MARGIN numbers out, for SSRCs that it knows and for those that it
 * does not, and says so (a put) before it sends anything: media_stream's
 * `reserve`. More packets than that between two puts are not sent.
 *
 * A source that begins anew with the SSRC it had (RFC 3550 has no word for
 * it) would repeat indexes, and one packet far ahead of the others, which
 * anybody may have made, would leave the next node behind by half a ROC: after
 * SRTP_RESTART_RUN packets in a row its numbers are shifted behind the highest
 * that was sent, or that a dead node may have sent, and go out once the shift
 * was put.
 *
 * Layer: media. build and free: any thread; else the relay thread.
 */
#ifndef SBCD_MEDIA_SRTP_FLOW_H
#define SBCD_MEDIA_SRTP_FLOW_H

#include "sbcd/media/io.h"
#include "sbcd/media/srtp.h"
#include "sbcd/record/media_keys.h"

enum {
	SRTP_RTCP_MARGIN = 32768, /* twice MEDIA_HELD_PACKETS */
	SRTP_RTP_MARGIN = 16384, /* for numbers that are shifted */
	SRTP_RESTART_RUN = 3,
	SRTP_RESTART_MIN_MS = 1000, /* between two of one SSRC */
};

struct srtp_flow;

/* What packets came to, for the counters. */
struct srtp_tally {
	uint64_t received[SRTP_RESULTS], sent[SRTP_RESULTS];
	uint64_t restarts;
};

/*
 * *out = NULL: this leg is plain. -EINVAL: a key nobody offers; -ENOTSUP: not
 * with this engine; -ENOMEM.
 */
int srtp_flow_build(struct srtp_flow **out, struct msrtp_engine *e,
		    const struct rec_media *m, uint16_t leg)
	__attribute__((warn_unused_result));
void srtp_flow_free(struct srtp_flow *f);
/* Contexts of `old` with a number of ours come over; `f` is new. True: a key
 * is new, and where it stands is to be put. */
bool srtp_flow_inherit(struct srtp_flow *f, struct srtp_flow *old);

/* At most `max` entries; those of what was sent come first. */
size_t srtp_flow_export(const struct srtp_flow *f, uint16_t leg, bool sent,
			struct rec_srtp *out, size_t max);
/* Before the first packet, and again. True: something is to be put before
 * the next packet is sent. */
bool srtp_flow_restore(struct srtp_flow *f, uint16_t leg,
		       const struct rec_srtp *at, size_t n);

/* Another process has sent before us: it may have used each key, also one
 * that no record tells of. After the last restore, before the first packet. */
void srtp_flow_take_over(struct srtp_flow *f);

/*
 * In place; a packet that is refused gets `drop`. Packets of plain flows stay
 * as they are. send: data[size + MEDIA_TAIL_BYTES] is writable.
 */
void srtp_flow_receive(struct msrtp_engine *e, struct media_packet **packets,
		       unsigned len, uint64_t now_ns, struct srtp_tally *tally);
void srtp_flow_send(struct msrtp_engine *e, struct media_packet **packets,
		    unsigned len, uint64_t now_ns, struct srtp_tally *tally);

#endif
