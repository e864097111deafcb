/*
 * stream - a relayed stream and its flows: what the media record wants, what
 * was learned from packets, where packets go, and when silence is too long.
 *
 * The control thread builds a stream from a record and hands it to the relay
 * thread of its ports; an update is a new object that inherits what the old
 * one learned. After the hand-over only the relay thread touches it.
 *
 * Layer: media. Media worker; no locks, no input/output, the clock is given.
 */
#ifndef SBCD_MEDIA_STREAM_H
#define SBCD_MEDIA_STREAM_H

#include <assert.h>
#include <stdbool.h>
#include <stdint.h>
#include "hasync/key.h"
#include "sbcd/base/addr.h"
#include "sbcd/config/config.h"
#include "sbcd/media/gaps.h"
#include "sbcd/media/latch.h"
#include "sbcd/media/ports.h"
#include "sbcd/media/rtp.h"
#include "sbcd/record/kinds.h"

struct media_stream;
struct msrtp_engine;
struct srtp_flow;

#define MEDIA_NS_PER_MS ((uint64_t)1000000)

enum {
	MEDIA_LATCH_SILENCE_MS = 1000,
	MEDIA_RTCP_LATCH_SILENCE_MS = 15000, /* RTCP comes every 5 s */
	MEDIA_PUT_PERIOD_MS = 10000,
	MEDIA_PUT_PACKETS = 8192,
	/* So many since the last put are too many to send more under SRTP. */
	MEDIA_HELD_PACKETS = 2 * MEDIA_PUT_PACKETS,
	/* Whoever alternates SSRC or source does not flood the records. */
	MEDIA_PUT_MIN_MS = 250,
	MEDIA_FLOW_MAX_BYTES = 512,
};

/* One side of a stream. */
struct media_flow {
	struct media_stream *stream;
	struct media_endpoint *endpoint; /* NULL: no address yet, inert */
	const struct media_nif *nif;
	struct srtp_flow *srtp; /* NULL: plain */

	/* from the record */
	struct addr local, remote, remote_rtcp;
	uint16_t leg;
	uint8_t direction; /* enum rec_flow_direction */
	uint8_t tos;
	bool rtcp_mux;
	bool latch_allowed;

	/* learned */
	bool heard; /* RTP came in this call, here or on the other node */
	struct latch latch, latch_rtcp;
	struct addr to, to_rtcp; /* family 0: unknown */
	struct rtp_stats rx;
	uint64_t last_rtp_ns, last_rtcp_ns; /* monotonic, 0 = not here */
	uint64_t expect_since_ns; /* since when silence counts */
	uint64_t rtcp_packets;
	uint64_t put_index; /* RTP's, at the last put */
	uint64_t tx_packets, tx_bytes; /* to this side, RTP and RTCP */
	uint64_t refused; /* from a wrong source */
	uint64_t srtp_refused; /* not authentic, repeated */

	/* over a take-over */
	uint64_t gap_since_ns; /* waits for its first packet since; 0 = no */
	uint64_t gap_us; /* of the last take-over, 0 = not measured */
	uint32_t gap_max_ms; /* of all in this call */
	uint32_t jitter_before_us; /* of the node before us */
};

static_assert(sizeof(struct media_flow) <= MEDIA_FLOW_MAX_BYTES,
	      "a flow must stay small");

struct media_stream {
	struct ha_key key; /* of the media record */
	struct media_stream *prev, *next; /* relay thread's list */
	uint8_t media;
	uint8_t guard; /* enum rec_guard */
	uint8_t flows_len;
	bool put_wanted; /* something changed that the peer must know */
	/* Nothing is sent under SRTP before the state is on its way. */
	bool reserve, reserve_put;
	bool held; /* packets wait for that in the relay */
	unsigned reserve_at; /* where in the ring */
	uint16_t shard;
	uint32_t guard_initial_ms, guard_subsequent_ms;
	uint64_t last_put_ns;
	uint64_t packets_since_put;
	uint64_t put_packets; /* MEDIA_PUT_PACKETS, or as its keys live */
	struct media_flow flows[];
};

struct media_stream_params {
	const struct media_nifs *nifs;
	const struct config *config; /* DSCP of the realms; may be NULL */
	struct msrtp_engine *srtp; /* makes contexts; NULL: plain RTP only */
	uint64_t now_ns;
};

/*
 * -EINVAL: the record makes no sense (no flows, unknown interface or port,
 * flows on different shards, keys nobody offers); -ENOTSUP: SRTP without an
 * engine, or one that cannot; -ENOMEM. free() with media_stream_free().
 */
int media_stream_build(struct media_stream **out, const struct ha_key *key,
		       const struct rec_media *rec,
		       const struct media_stream_params *p)
	__attribute__((warn_unused_result));
void media_stream_free(struct media_stream *s);
bool media_stream_is_srtp(const struct media_stream *s);
/* Bytes of the object; never changes. */
size_t media_stream_size(const struct media_stream *s);

/* ---- relay thread
 * ------------------------------------------------------------ */

/* Takes over what `old` learned; a changed remote address is learned anew. */
void media_stream_inherit(struct media_stream *s, struct media_stream *old,
			  uint64_t now_ns);
/* Ports of the flows point here, or no more. Return ports claimed/released. */
unsigned media_stream_claim(struct media_stream *s);
unsigned media_stream_release(struct media_stream *s);
/* This node begins to relay: silence counts from now. since_ns: the active
 * before us was last heard then, flows measure until their first packet; 0:
 * nothing is measured. */
void media_stream_activate(struct media_stream *s, uint64_t now_ns,
			   uint64_t since_ns);
/* Another process has relayed before us. */
void media_stream_take_over(struct media_stream *s);
/* Adds what its flows measured over the last take-over. */
void media_stream_gaps(const struct media_stream *s, struct gaps *out);
/* First packet since a take-over. */
void media_flow_resumed(struct media_flow *f, uint64_t now_ns);

void media_stream_restore(struct media_stream *s, const struct rec_mstate *m,
			  uint64_t now_ns);
void media_stream_export(const struct media_stream *s, struct rec_mstate *m,
			 uint64_t now_ns, uint64_t wall_ms);
/* Should the state be put now? */
bool media_stream_put_due(const struct media_stream *s, uint64_t now_ns);
void media_stream_put_done(struct media_stream *s, uint64_t now_ns);

/* Checks silence; true when s->guard changed. */
bool media_stream_guard(struct media_stream *s, uint64_t now_ns);

/* We may send to, receive from that side (RTP; RTCP does not care). */
bool media_flow_sends(const struct media_flow *f);
bool media_flow_receives(const struct media_flow *f);
/* An offer or answer has told where that side is: RTCP may go. */
bool media_flow_is_described(const struct media_flow *f);
bool media_flow_is_rtcp_port(const struct media_flow *f, uint16_t port);
/* Port of ours that RTCP leaves from. */
uint16_t media_flow_rtcp_port(const struct media_flow *f);
/* LATCH_REFUSE …; media_flow_learn() when LATCH_LEARN. */
enum latch_verdict media_flow_check_source(const struct media_flow *f,
					   const struct addr *source, bool rtcp,
					   uint64_t now_ns);
void media_flow_learn(struct media_flow *f, const struct addr *source,
		      bool rtcp, uint64_t now_ns);

#endif
