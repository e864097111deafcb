/*
 * worker - the media worker process: a control thread that talks to the
 * keeper (record/link.h) and one relay thread a shard of the media sockets.
 *
 * Guarantees: builds flows from records at any time and relays only after
 * ACTIVATE; never goes back (the keeper kills and restarts it); needs no
 * privilege and opens nothing.
 *
 * QUERY takes {"cmd":"call","id":"<16 hex digits>"} and {"cmd":"stats"}.
 *
 * Layer: media. Process: media worker.
 */
#ifndef SBCD_MEDIA_WORKER_H
#define SBCD_MEDIA_WORKER_H

/* Runs until the keeper is gone; returns the exit code. */
int media_worker_main(void);

#endif
