/*
 * witness - asks corosync whether the witness (qdevice) casts its vote now.
 *
 * Quorum alone does not tell: two nodes that see each other are quorate with
 * a dead witness too, and are not any more when one of them dies.
 *
 * Layer: hasync. The CPG thread: a hung corosync can block every call.
 */
#ifndef HASYNC_WITNESS_H
#define HASYNC_WITNESS_H

struct ha_witness;

/* -EIO: corosync's vote service does not answer. */
int ha_witness_create(struct ha_witness **out)
	__attribute__((warn_unused_result));
void ha_witness_destroy(struct ha_witness *w);
/* 1 it votes for this node, 0 it does not, -EIO not known. */
int ha_witness_votes(struct ha_witness *w) __attribute__((warn_unused_result));

#endif
