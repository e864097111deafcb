/*
 * sdes_media - the keys of one stream towards one leg: where offer and answer
 * stand, and which key is used for what.
 *
 * All state is in the stream's record (kinds.h: sdes_state and last_key of
 * the leg's flow, the leg's keys), so storing that before a message leaves is
 * all a take-over needs. What the media worker installs is read from the same
 * record: media_keys_of() (record/media_keys.h).
 *
 * Guarantees:
 *  - A key of ours is sent with only after the answer, is new unless it goes
 *    on without interruption, and never comes back. It has a number of its
 *    own; the same number is the same context, ROC and replay list.
 *  - The peer's same key and salt under the same suite is the same context.
 *  - An exchange that fails leaves the keys of before. The peer's key of
 *    before is good for 5 s after one that succeeds.
 *  - What fails changes nothing, but that an exchange before that was only
 *    to be confirmed is taken for confirmed.
 *
 * Layer: sip. SIP worker, any thread. Needs no SIP stack.
 */
#ifndef SBCD_SIP_SDES_MEDIA_H
#define SBCD_SIP_SDES_MEDIA_H

#include "sbcd/record/media_keys.h"
#include "sbcd/sip/sdes_negotiate.h"

enum { SDES_OLD_KEY_MS = 5000 };

/* ---- the state machine ------------------------------------------------- */

enum sdes_event {
	SDES_EV_OFFER, /* we offer */
	SDES_EV_OFFERED, /* the peer offers */
	SDES_EV_ANSWER, /* we answer */
	SDES_EV_ANSWERED, /* the peer answers */
	SDES_EV_CONFIRM, /* the ACK of a 2xx, either way */
	SDES_EV_REFUSE, /* offer refused, cancelled, timed out; either way */
	SDES_EV_END, /* leg, fork or stream is over */
	SDES_EVENTS
};

enum sdes_action {
	SDES_ACT_SETTLE = 1 << 0, /* what was before is given up */
	SDES_ACT_PROPOSE = 1 << 1, /* lines of ours are made */
	SDES_ACT_REPEAT = 1 << 2, /* the lines that are out are said again */
	SDES_ACT_CHOOSE = 1 << 3, /* a line of the peer's is kept */
	SDES_ACT_COMMIT = 1 << 4, /* the keys of the answer are in use */
	SDES_ACT_FORGET = 1 << 5, /* lines without answer go */
	SDES_ACT_REVERT = 1 << 6, /* the keys of before are in use */
	SDES_ACT_WIPE = 1 << 7, /* all keys go */
	SDES_ACT_DENY = 1 << 8, /* out of turn */
};

struct sdes_step {
	uint8_t next; /* enum rec_sdes_state */
	uint16_t actions; /* enum sdes_action */
};

/* Out of range: SDES_ACT_DENY. */
struct sdes_step sdes_fsm_step(uint8_t state, enum sdes_event event);

/* ---- one side of a stream ---------------------------------------------- */

struct sdes_profile {
	struct sdes_policy sdes;
	bool rekey; /* srtp-rekey-on-re-invite */
	bool roc_reset; /* a new key begins at ROC 0; RFC 3711 goes on */
};

struct sdes_side {
	struct rec_media *media; /* has a flow of `leg` */
	uint16_t leg;
	const struct sdes_profile *profile; /* may be NULL for plain RTP */
	/* 0 or -EIO; NULL = the system's. */
	int (*random)(void *ctx, uint8_t *out, size_t size);
	void *random_ctx;
	uint64_t now_ms;
};

/*
 * Each gives 0; -EPROTO out of turn, or refused, then `why` is filled; -EIO
 * without random bytes; -ENOENT when there is no such flow, -EINVAL without a
 * profile, -ENOSPC when the record is full. Plain RTP, or a stream that is
 * off, is `srtp` false and `offer` or `answer` NULL.
 */

/* Our offer: lines in the order of the crypto-list. Again in the same
 * exchange it is the same. `rekey`: new keys even if the profile keeps them. */
int sdes_media_offer(const struct sdes_side *s, bool srtp, bool rekey,
		     struct sdes_lines *out)
	__attribute__((warn_unused_result));
int sdes_media_offered(const struct sdes_side *s,
		       const struct sdes_lines *offer, struct sdes_refusal *why)
	__attribute__((warn_unused_result));
/* Our answer, one line or none. Again in the same exchange it is the same. */
int sdes_media_answer(const struct sdes_side *s, bool srtp,
		      struct sdes_lines *out)
	__attribute__((warn_unused_result));
/* Another answer in the same exchange (183, then 200) replaces the first. */
int sdes_media_answered(const struct sdes_side *s,
			const struct sdes_lines *answer,
			struct sdes_refusal *why)
	__attribute__((warn_unused_result));
void sdes_media_confirm(const struct sdes_side *s);
void sdes_media_refuse(const struct sdes_side *s);
void sdes_media_end(const struct sdes_side *s);
/* Drops what is over at now_ms. When to come again, 0 = never. */
uint64_t sdes_media_expire(const struct sdes_side *s);

/* ---- what its record says
 * ---------------------------------------------------- */

/* Is what the peer offered last, or we have answered to it, SRTP? */
bool sdes_media_is_srtp(const struct rec_media *m, uint16_t leg);
/* Does a branch of a fork know the key we send with that is not the one that
 * answered last? The next offer or answer has a new one. */
bool sdes_media_rekey_due(const struct rec_media *m, uint16_t leg);
/* From a record that somebody else wrote: can it be worked with? */
bool sdes_media_valid(const struct rec_media *m);
/* Is it time for a new key after so many packets (7/8 of its lifetime)? */
bool sdes_media_worn(const struct rec_key *k, uint64_t packets);

#endif
