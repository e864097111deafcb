/*
 * The way in: every frame of the peer, in total order. Its bytes are hostile
 * until decoded; after that its claims are.
 */
#include <errno.h>
#include "hasync/engine_int.h"

/* The peer is not the same process, or gave up its role: whatever we had
 * with it is over. */
static void status_ends_relations(struct ha_engine *e,
				  const struct ha_status *s)
{
	bool restarted = e->peer_known && e->peer.boot_id != s->boot_id;
	bool donor = engine_serves(s->role) || s->role == HA_ROLE_RELINQUISHING;

	if (restarted)
		donor_end(e, "the peer restarted", false);
	if (e->joiner.state != JOINER_NONE && e->joiner.state != JOINER_WANT &&
	    (restarted || !donor))
		joiner_donor_gone(e);
}

static void take_status(struct ha_engine *e, const struct ha_frame *f)
{
	const struct ha_status *s = &f->status;

	engine_heard_epoch(e, s->epoch);
	engine_heard_epoch(e, s->active_epoch);
	status_ends_relations(e, s);
	e->peer = *s;
	e->peer_known = true;
	/* A newer active: from now on our own records are the older ones. */
	if (e->own_epoch && s->role == HA_ROLE_ACTIVE &&
	    s->active_epoch > e->floor)
		e->floor = s->active_epoch;
	/* It believes in a relation that does not exist here. */
	if (s->in_sync && !engine_serves(s->role) && engine_serves(e->role) &&
	    engine_may_write(e) && e->donor.state == DONOR_NONE &&
	    !e->donor.resync_due) {
		e->donor.nonce = 0;
		e->donor.resync_due = true;
		e->donor.resync_ms = e->now_ms;
	}
	if (e->ops.peer_status)
		e->ops.peer_status(e->p.ctx, s);
}

static void take_command(struct ha_engine *e, uint8_t from,
			 const struct ha_frame *f)
{
	uint16_t cmd = f->command.command;

	if (cmd < HA_CMD_SWITCHOVER_ASK || cmd > HA_CMD_CDR_WRITTEN) {
		engine_dropped(e, from, "unknown command");
		return;
	}
	/* What a node that is no longer the active said before its pause. */
	if (cmd == HA_CMD_GO && f->head.epoch < e->floor) {
		engine_dropped(e, from, "GO of an older epoch");
		return;
	}
	if (e->ops.command)
		e->ops.command(e->p.ctx, from, (enum ha_command)cmd,
			       f->command.arg);
}

static void take(struct ha_engine *e, uint8_t from, const struct ha_frame *f)
{
	switch (f->head.type) {
	case HA_FRAME_BATCH:
	case HA_FRAME_FRAGMENT:
	case HA_FRAME_SYNC_BEGIN:
	case HA_FRAME_SYNC_CHUNK:
	case HA_FRAME_SYNC_END:
		joiner_stream(e, from, f);
		break;
	case HA_FRAME_ACK:
		donor_ack(e, f);
		break;
	case HA_FRAME_SYNC_REQUEST:
		donor_request(e, f);
		break;
	case HA_FRAME_RESYNC_REQUEST:
		joiner_resync(e, f);
		break;
	case HA_FRAME_STATUS:
		take_status(e, f);
		break;
	case HA_FRAME_COMMAND:
		take_command(e, from, f);
		break;
	}
}

void ha_engine_receive(struct ha_engine *e, uint8_t from, const void *frame,
		       size_t size)
{
	struct ha_frame f;
	int rc;

	/* Our own come back only to show their place in the order. */
	if (from == e->p.node)
		return;
	e->stats.frames_received++;
	if (!e->peer_present) {
		engine_dropped(e, from, "not a member");
		return;
	}
	rc = ha_frame_decode(&f, frame, size);
	if (rc) {
		engine_dropped(e, from,
			       rc == -EPROTONOSUPPORT ? "unknown wire version"
						      : "malformed frame");
		return;
	}
	if (f.head.node != from) {
		engine_dropped(e, from, "frame names another node");
		return;
	}
	e->peer_max_version = f.head.max_version;
	engine_heard_epoch(e, f.head.epoch);
	take(e, from, &f);
	engine_settled(e);
}

int ha_engine_command(struct ha_engine *e, enum ha_command cmd, uint64_t arg)
{
	struct ha_frame f = {
		.head = {.type = HA_FRAME_COMMAND},
		.command = {.command = (uint16_t)cmd, .arg = arg},
	};
	int rc;

	if (!e->peer_present)
		return -ENOTCONN;
	/* Behind everything put before it. */
	if (e->live.count)
		out_seal(e, &e->live);
	rc = out_control(e, &f, false);
	if (!rc && cmd == HA_CMD_GO)
		e->go_sent = true;
	return rc;
}
