/*
 * The fence token: a number that shuts this node's gate in the kernel when it
 * arrives on any path, agreed beforehand over the encrypted group (STATUS) and
 * said aloud by a peer that took over, with every beat, until this node shows
 * that it has let go.
 *
 * The lease alone does not do it: a virtual machine that is paused stops
 * together with its clocks, and wakes up with the rest of its lease. The token
 * waits for it on the wire.
 *
 * A token is good for one role: a new one is made at each activation and after
 * each demotion. Only who became active after the peer did may say the peer's:
 * of two nodes one at most fences the other.
 */
#include <errno.h>
#include <string.h>
#include <sys/random.h>
#include "sbcd/base/log.h"
#include "sbcd/keeper/keeper_int.h"

static void token_to_numbers(const uint8_t token[HA_BEAT_TOKEN_SIZE],
			     uint64_t out[2])
{
	for (int i = 0; i < HA_BEAT_TOKEN_SIZE; i++)
		out[i / 8] = out[i / 8] << 8 | token[i];
}

static void token_of_numbers(const uint64_t in[2],
			     uint8_t token[HA_BEAT_TOKEN_SIZE])
{
	for (int i = 0; i < HA_BEAT_TOKEN_SIZE; i++)
		token[i] = (uint8_t)(in[i / 8] >> (56 - 8 * (i % 8)));
}

void fence_renew(struct keeper *k)
{
	struct fence *f = &k->fence;
	uint8_t token[HA_BEAT_TOKEN_SIZE];
	uint64_t numbers[2] = {0, 0};
	int err = 0;

	if (getrandom(token, sizeof(token), GRND_NONBLOCK) !=
	    (ssize_t)sizeof(token))
		err = -EAGAIN;
	if (!err)
		err = netglue_fence_arm(k->net, token);
	if (err) {
		/* The old one stays: known to the peer, and good. */
		log_err("event=fence-not-armed error=\"%s\"", strerror(-err));
		return;
	}
	beat_arm(k->beat, token);
	token_to_numbers(token, numbers);
	memcpy(f->own, numbers, sizeof(f->own));
	f->fallen = false;
	explicit_bzero(token, sizeof(token));
}

/* Has it, as far as we know, a gate that may be open? */
static bool peer_may_transmit(struct keeper *k)
{
	const struct ha_evidence *ev = &k->roles.ev;

	switch (ev->peer_role) {
	case HA_ROLE_ACTIVE:
	case HA_ROLE_BECOMING_ACTIVE:
	case HA_ROLE_RELINQUISHING:
		return !k->fence.peer_went && !ev->peer_released &&
		       ev->peer_left != HA_LEFT_CLEAN;
	default:
		k->fence.peer_went = false;
		return false;
	}
}

void fence_turn(struct keeper *k)
{
	const uint64_t *peer = k->roles.peer.fence;
	struct fence *f = &k->fence;
	uint8_t token[HA_BEAT_TOKEN_SIZE];
	bool say = role_serves(k) && (peer[0] || peer[1]) &&
		   k->roles.epoch > k->roles.ev.peer_active_epoch &&
		   peer_may_transmit(k);

	if (say) {
		token_of_numbers(peer, token);
		beat_fence(k->beat, k->roles.ev.peer_node, token);
		explicit_bzero(token, sizeof(token));
	} else if (f->saying) {
		beat_fence(k->beat, 0, NULL);
	}
	if (say == f->saying)
		return;
	f->saying = say;
	if (say) {
		log_notice("event=fencing peer-role=%s",
			   ha_role_name(k->roles.ev.peer_role));
		timeline_add(&k->timeline, "fencing the peer", "");
	} else {
		log_notice("event=fencing-over peer-role=%s",
			   ha_role_name(k->roles.ev.peer_role));
	}
}

void fence_fell(struct keeper *k)
{
	enum ha_role role = k->roles.role;

	if (k->fence.fallen)
		return;
	k->fence.fallen = true;
	k->fence.fell++;
	log_err("event=fenced role=%s: the peer took over and said so",
		ha_role_name(role));
	timeline_add(&k->timeline, "fenced", "the peer took over");
	if (role_serves(k))
		role_event(k, HA_EV_YIELD, "fenced by the peer");
	else if (role != HA_ROLE_RELINQUISHING && role != HA_ROLE_FAULT)
		/* Nothing was open; but it was said aloud. */
		fence_renew(k);
}

void fence_check(struct keeper *k)
{
	/* The beat that brought it may have been lost on the way up. */
	if (role_serves(k) && netglue_fenced(k->net) > 0)
		fence_fell(k);
}

json_t *fence_to_json(const struct keeper *k)
{
	const uint64_t *peer = k->roles.peer.fence;

	return json_pack("{s:b,s:b,s:i}", "armed", peer[0] || peer[1],
			 "fencing", k->fence.saying, "fell",
			 (int)k->fence.fell);
}
