/*
 * forward_send - sends sealed packets over all HA links, in batches.
 *
 * Layer: media. Media worker; one object per relay thread, used by it alone
 * after creation.
 */
#ifndef SBCD_MEDIA_FORWARD_SEND_H
#define SBCD_MEDIA_FORWARD_SEND_H

#include <stdint.h>
#include "sbcd/base/addr.h"
#include "sbcd/media/forward.h"

enum { FORWARD_LINKS_MAX = 4 };

/* Lives as long as the worker. */
struct forward_links {
	unsigned len;
	int fds[FORWARD_LINKS_MAX];
	struct addr peers[FORWARD_LINKS_MAX];
};

struct forward_sender;

/* Owns `tx` from here on, on success. */
int forward_sender_create(struct forward_sender **out, struct forward_tx *tx,
			  const struct forward_links *links)
	__attribute__((warn_unused_result));
void forward_sender_destroy(struct forward_sender *s);
/* Copies the packet; flushes on its own when full. */
void forward_sender_put(struct forward_sender *s, const struct media_packet *p);
/* Returns packets that no link took since the last call. */
uint64_t forward_sender_flush(struct forward_sender *s);

#endif
