/*
 * worker - the SIP worker process (base/worker.h says how it is started).
 *
 * It follows the active's records as a standby, with its sockets bound but
 * deaf; ACTIVATE makes it serve. It never goes back: the keeper ends it.
 *
 * Layer: sip. SIP worker, main thread = su_root thread.
 */
#ifndef SBCD_SIP_WORKER_H
#define SBCD_SIP_WORKER_H

/* Exit status. log_init() was called. */
int sip_worker_main(void);

#endif
