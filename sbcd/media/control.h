/*
 * control - the control thread's state, shared by its files: control.c (link
 * and loop), apply.c (records), fds.c (sockets), handover.c (activation and
 * switchover), query.c (answers).
 *
 * Layer: media, private to it. Control thread.
 */
#ifndef SBCD_MEDIA_CONTROL_H
#define SBCD_MEDIA_CONTROL_H

#include <stdbool.h>
#include <stdint.h>
#include "sbcd/base/buf.h"
#include "sbcd/base/counters.h"
#include "sbcd/config/config.h"
#include "sbcd/media/forward_send.h"
#include "sbcd/media/ports.h"
#include "sbcd/media/registry.h"
#include "sbcd/media/srtp.h"
#include "sbcd/media/thread.h"
#include "sbcd/record/link.h"

enum {
	MEDIA_THREADS_MAX = COUNTERS_THREADS_MAX,
	MEDIA_OUTS_MAX = 256,
	MEDIA_ANYPORTS_MAX = 512, /* sockets of all threads */
};

struct media_query;

struct media_control {
	struct worker_link *link;
	struct counters *counters;
	struct config *config;
	struct msrtp_engine *srtp; /* makes contexts; packets: the threads' */
	int epoll_fd, notify_fd;
	bool gone;
	bool failed; /* the keeper's words make no sense: exit code 1 */

	struct media_nifs nifs;
	struct media_out outs[MEDIA_OUTS_MAX];
	unsigned outs_len;
	uint64_t anyport_inodes[MEDIA_ANYPORTS_MAX];
	unsigned anyports_len;
	struct media_thread *threads[MEDIA_THREADS_MAX];
	unsigned threads_len;
	/* Came back while the link was full. */
	struct media_cmd *held[MEDIA_THREADS_MAX];

	struct media_registry *registry;
	struct rec_media media; /* scratch: large */
	struct rec_mstate mstate;
	struct buf value;

	bool active, replayed, forwarding;
	bool sweep_wanted; /* an mstate record could not be deleted */
	uint64_t epoch;
	/* Two highest epochs seen in records: the one before ours is the
	 * peer's that may forward to us. */
	uint64_t record_epochs[2];
	/* Commands under way, by type: the answer goes out at zero. */
	unsigned waiting[MEDIA_CMD_TYPES];
	struct media_query *queries;

	struct forward_links forward;
	uint8_t forward_key[FORWARD_KEY_BYTES];
	struct forward_rx *forward_rx;
	uint64_t boot;
	uint64_t forward_until_ms; /* monotonic: when to stop believing */
};

/* control.c: posts to all threads, counts them in waiting[]. */
int media_control_post_all(struct media_control *c, enum media_cmd_type type)
	__attribute__((warn_unused_result));

/* apply.c */
void media_apply_record(void *ctx, const struct ha_key *key,
			const struct ha_version *version, const void *value,
			size_t size);
void media_apply_replay_end(void *ctx);
/* Deletes mstate records without a media record. */
void media_apply_sweep(struct media_control *c);
/* A stream of a deleted media record is out: its last numbers are put, then
 * its mstate record is deleted. */
void media_apply_removed(struct media_control *c, const struct media_stream *s);
/* Puts what the relay threads report; false: the link is full, later. */
bool media_apply_events(struct media_control *c);

/* fds.c */
int media_fds_take(void *ctx, const char *what, const int *fds, size_t len);

/* handover.c */
void media_handover_activate(void *ctx, uint64_t epoch, uint64_t since_ns);
void media_handover_quiesce(void *ctx);
void media_handover_forward(void *ctx);
/* Opens the ears for what the peer forwards, once active. */
void media_handover_watch(struct media_control *c);
/* From whom: called when our epoch changes or the key comes. */
void media_handover_believe(struct media_control *c);
/* A command of these came back from the last thread. */
void media_handover_done(struct media_control *c, enum media_cmd_type type);
/* Reads what the peer forwards. */
void media_handover_read(struct media_control *c, int fd);

/* query.c */
void media_query_start(void *ctx, uint64_t token, const char *json);
/* A QUERY or STATS command came back. */
void media_query_part(struct media_control *c, struct media_cmd *cmd);

#endif
