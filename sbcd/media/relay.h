/*
 * relay - what happens to a batch of received datagrams: find the flow,
 * classify and validate, check the source, count, fan out to the other flows
 * of the stream, send. In forward mode the batch goes to the peer node
 * instead, untouched.
 *
 * The steps run over the whole batch one after the other, so that the SRTP
 * engine gets bursts.
 *
 * Layer: media. Media worker; one object per relay thread, used by it alone.
 */
#ifndef SBCD_MEDIA_RELAY_H
#define SBCD_MEDIA_RELAY_H

#include <stdbool.h>
#include <stdint.h>
#include "sbcd/base/counters.h"
#include "sbcd/media/io.h"
#include "sbcd/media/srtp_flow.h"
#include "sbcd/media/stream.h"

/*
 * A stream may not send under SRTP before its state is on its way to the
 * keeper: sees to it that it is, and says whether it is now.
 */
typedef bool media_reserve_fn(void *ctx, struct media_stream *s);

/* Takes a packet instead of the relay (planned switchover). */
typedef void media_forward_fn(void *ctx, const struct media_packet *p);

enum {
	/* Packets of a thread that wait for a reserve. */
	RELAY_HELD_MAX = 8192,
	/* Later nobody plays it any more. */
	RELAY_HELD_MS = 200,
};

struct relay_held;

struct media_relay {
	struct media_io *io;
	struct counters *counters;
	media_forward_fn *forward; /* NULL: relay */
	void *forward_ctx;
	media_reserve_fn *reserve;
	void *reserve_ctx;
	struct msrtp_engine *srtp; /* of this thread; NULL: no SRTP here */
	struct srtp_tally srtp_tally;
	uint64_t rx_packets, batches;
	/* Of this batch: added to the shared counters once at its end. */
	uint64_t tally[COUNTER_COUNT];
	uint64_t tx_packets_told, tx_errors_told;
	/* Streams whose state changed in this batch. */
	struct media_stream *changed[MEDIA_BATCH];
	unsigned changed_len;
	/* Copies for SRTP, which works in place. */
	struct media_packet copies[MEDIA_BATCH];
	unsigned copies_len;
	uint8_t copy_data[MEDIA_BATCH]
			 [MEDIA_PAYLOAD_MAX_BYTES + MEDIA_TAIL_BYTES];
	/* Not protected yet: their streams reserve. Oldest first. */
	struct relay_held *held, *held_last;
	unsigned held_len;
};

/*
 * All packets came in on `nif`. stale_before_ms: drop what the kernel stamped
 * earlier (wall clock), 0 = nothing.
 */
void media_relay_batch(struct media_relay *r, const struct media_nif *nif,
		       struct media_packet *packets, unsigned len,
		       uint64_t now_ns, uint64_t stale_before_ms);
/* Sends what waited for a reserve and may go now; again and again, as long as
 * there is something held. */
void media_relay_release(struct media_relay *r, uint64_t now_ns);
/* `s` goes away: what waits for it goes to the same leg of `by`, or nowhere. */
void media_relay_moved(struct media_relay *r, const struct media_stream *s,
		       struct media_stream *by);
/* Adds what a batch counted to the shared page. */
void media_relay_tell(struct media_relay *r);

#endif
