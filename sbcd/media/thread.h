/*
 * thread - one relay thread: it owns the streams of its shard, reads its
 * steered sockets, reports what it learned and watches for silence.
 *
 * The control thread talks to it by commands: objects that are posted,
 * carried out between two batches, and come back as done with their results.
 * On the packet path there is no lock: the mutex of the command queue is only
 * taken when its eventfd says so. Learned state goes back through a bounded
 * single-producer ring; when that is full a stream waits for its next turn.
 *
 * Layer: media. Media worker. All functions: control thread.
 */
#ifndef SBCD_MEDIA_THREAD_H
#define SBCD_MEDIA_THREAD_H

#include <stdbool.h>
#include <stdint.h>
#include "sbcd/base/counters.h"
#include "sbcd/media/forward_send.h"
#include "sbcd/media/gaps.h"
#include "sbcd/media/io.h"
#include "sbcd/media/srtp.h"
#include "sbcd/media/stream.h"

enum media_cmd_type {
	MEDIA_CMD_STREAM, /* stream in place of old (may be NULL) */
	MEDIA_CMD_REMOVE, /* stream */
	MEDIA_CMD_RESTORE, /* stream, mstate */
	MEDIA_CMD_SOCKET, /* nif, fd: read it when active */
	MEDIA_CMD_ACTIVATE, /* read sockets, relay; ends forwarding. since_ns:
			     * when the active before us was last heard */
	MEDIA_CMD_QUIESCE, /* done when all state is in the ring */
	MEDIA_CMD_FORWARD, /* sender: from now on packets go there */
	MEDIA_CMD_PACKET, /* nif, packet: as if it had arrived here */
	MEDIA_CMD_QUERY, /* stream; fills copy (flows follow) */
	MEDIA_CMD_STATS, /* fills stats */
	MEDIA_CMD_GAPS, /* fills gaps: since the last take-over */
	MEDIA_CMD_STOP,
	MEDIA_CMD_TYPES
};

struct media_thread_stats {
	uint64_t rx_packets, tx_packets, batches, streams, flows, ports;
	uint64_t cpu_ns;
};

struct media_cmd {
	struct media_cmd *next; /* of whoever holds it */
	uint8_t type; /* enum media_cmd_type */
	bool last; /* REMOVE: the stream's record is gone */
	struct media_stream *stream, *old;
	const struct media_nif *nif;
	int fd;
	struct forward_sender *sender;
	void *ctx; /* the poster's */
	union {
		uint64_t since_ns;
		struct gaps gaps;
		struct rec_mstate mstate;
		struct media_thread_stats stats;
		struct {
			struct addr source, local;
			uint32_t size;
			uint8_t data[MEDIA_PAYLOAD_MAX_BYTES +
				     MEDIA_TAIL_BYTES];
		} packet;
		struct {
			struct media_stream *stream; /* the poster's */
			uint64_t now_ns;
		} copy;
	};
};

/* What a stream learned: becomes its mstate record. */
struct media_event {
	struct ha_key key; /* of the media record */
	struct rec_mstate mstate;
};

struct media_thread;

struct media_thread_params {
	unsigned index;
	const struct media_io_ops *io;
	struct counters *counters;
	const char *srtp_engine; /* msrtp_engine_name(); NULL: no SRTP */
	int notify_fd; /* eventfd, written when something came back */
};

int media_thread_start(struct media_thread **out,
		       const struct media_thread_params *p)
	__attribute__((warn_unused_result));
/* Joins; frees what it still holds except streams in done commands. */
void media_thread_stop(struct media_thread *t);

/* NULL when out of memory. Freed with free() by whoever took it from done. */
struct media_cmd *media_cmd_new(enum media_cmd_type type);
/* Waits when thousands are queued; a thread that is stuck ends the process,
 * the supervisor starts it anew. */
void media_thread_post(struct media_thread *t, struct media_cmd *cmd);
/* All commands carried out since the last call, oldest first. */
struct media_cmd *media_thread_done(struct media_thread *t);
/* Oldest event, NULL none; stays until popped. Everything posted before a
 * done command is visible once that command was returned. */
const struct media_event *media_thread_event(struct media_thread *t);
void media_thread_event_pop(struct media_thread *t);
uint64_t media_thread_cpu_ns(const struct media_thread *t);

#endif
