/*
 * ocsp_desk - what is known of certificates by OCSP: who asks is told at once
 * from the cache or the peer's staple, or later, when a responder has answered
 * or was given up.
 *
 * Guarantees: whoever was not told at once is told once, within
 * OCSP_DESK_WAIT_MS of turns; one fetch a certificate at a time; an answer is
 * used no longer than it says, nor than OCSP_DESK_KEEP_S; that there was none
 * is remembered for OCSP_DESK_AGAIN_MS, so that a dead responder costs each
 * peer little. Bounded: certificates, who waits for one.
 *
 * A certificate whose status nobody tells is refused, unless a dead responder
 * is to be ignored: it names none, or none answers, or not credibly (who can
 * forge an answer can as well drop it).
 *
 * State: REC_OCSP, the response as it was signed; the standby keeps it and the
 * new active checks it again. What is being asked ends with the node: so does
 * the connection that waits.
 *
 * Layer: sip. The SIP thread.
 */
#ifndef SBCD_SIP_OCSP_DESK_H
#define SBCD_SIP_OCSP_DESK_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "sbcd/record/kinds.h"
#include "sbcd/sip/tls_ocsp.h"
#include "sbcd/sip/tls_reason.h"

enum {
	OCSP_DESK_CERTIFICATES_MAX = 256,
	OCSP_DESK_WAITERS_MAX = 64, /* for one certificate */
	OCSP_DESK_WAIT_MS = 4000, /* a fetch, and the resolver's time */
	OCSP_DESK_KEEP_S = 24 * 3600,
	OCSP_DESK_AGAIN_MS = 30 * 1000,
};

struct ocsp_word {
	bool ok;
	enum tls_reason why; /* not ok */
};

struct ocsp_desk_ops {
	void (*told)(void *ctx, uint64_t token, const struct ocsp_word *word);
	/* Puts a record under `id`; NULL: deletes it. It may fail: then the
	 * other node will ask for itself. May be NULL. */
	void (*put)(void *ctx, uint64_t id, const struct rec_ocsp *r);
};

struct ocsp_question {
	uint64_t token; /* of the caller; not 0 */
	struct tls_ocsp_subject subject; /* of a verified chain */
	const void *staple; /* what the peer has sent with it */
	size_t staple_size; /* 0: nothing */
	bool ignore_dead;
};

/* What time it is: monotonic, and the wall's. */
struct ocsp_now {
	uint64_t mono_ms;
	int64_t wall_s;
};

struct ocsp_desk;

int ocsp_desk_create(struct ocsp_desk **out, const struct ocsp_desk_ops *ops,
		     void *ctx) __attribute__((warn_unused_result));
/* Nobody is told any more. */
void ocsp_desk_destroy(struct ocsp_desk *d);
/* Readable: a turn is due. */
int ocsp_desk_fd(const struct ocsp_desk *d);
/* Takes answers, gives up what is late, forgets what is old. Now and then, and
 * when the fd says so. */
void ocsp_desk_turn(struct ocsp_desk *d, const struct ocsp_now *now);

/* 0: `out` says; -EINPROGRESS: told() will. */
int ocsp_desk_ask(struct ocsp_desk *d, const struct ocsp_question *q,
		  const struct ocsp_now *now, struct ocsp_word *out)
	__attribute__((warn_unused_result));
/* Whoever had this token need not be told any more. */
void ocsp_desk_forget(struct ocsp_desk *d, uint64_t token);
/*
 * The response on a certificate of our own, to be stapled; asked for ahead of
 * the time when it is needed: call it now and then. 0: `out` is valid until
 * the next turn; -EAGAIN: there is none now.
 */
int ocsp_desk_staple(struct ocsp_desk *d, const struct tls_ocsp_subject *own,
		     const struct ocsp_now *now, const uint8_t **out,
		     size_t *size) __attribute__((warn_unused_result));

/* Of the node before us. NULL: deleted. 0 or -EBADMSG. */
int ocsp_desk_restore(struct ocsp_desk *d, uint64_t id,
		      const struct rec_ocsp *r)
	__attribute__((warn_unused_result));

#endif
