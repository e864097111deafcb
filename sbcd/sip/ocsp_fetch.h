/*
 * ocsp_fetch - asks OCSP responders over HTTP, in threads of its own: names
 * are resolved and servers waited for where no SIP message waits.
 *
 * Bounded: jobs in all, the bytes of an answer and of what stands before it,
 * the time of a job (but for the resolver, whose threads others do not wait
 * for: there are several). No redirection is followed. What comes back has
 * not been looked at.
 *
 * No state that is replicated: who asked asks again on the other node.
 *
 * Layer: sip. All calls from the SIP thread; the fd tells it of answers.
 */
#ifndef SBCD_SIP_OCSP_FETCH_H
#define SBCD_SIP_OCSP_FETCH_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "sbcd/sip/tls_ocsp.h"

enum {
	OCSP_FETCH_THREADS = 4,
	OCSP_FETCH_JOBS_MAX = 64, /* waiting, running and answered */
	/* Of an answer with its HTTP headers. */
	OCSP_FETCH_BYTES_MAX = TLS_OCSP_RESPONSE_MAX_BYTES + 8 * 1024,
	OCSP_FETCH_MS = 3000,
};

struct ocsp_fetch_result {
	uint64_t token;
	/* 0; -EHOSTUNREACH: no such host, or nobody there; -ETIMEDOUT;
	 * -EMSGSIZE; -EPROTO: no answer of HTTP that could be one; … */
	int err;
	size_t size;
	uint8_t data[TLS_OCSP_RESPONSE_MAX_BYTES];
};

struct ocsp_fetch;

int ocsp_fetch_create(struct ocsp_fetch **out)
	__attribute__((warn_unused_result));
/* Does not wait for a thread that the resolver holds: that ends by itself. */
void ocsp_fetch_destroy(struct ocsp_fetch *f);
/* Readable while there is something to take. */
int ocsp_fetch_fd(const struct ocsp_fetch *f);
/* 0; -EBUSY: as many jobs as there may be; -ENOMEM; -EMSGSIZE. */
int ocsp_fetch_ask(struct ocsp_fetch *f, uint64_t token,
		   const struct tls_ocsp_url *url, const void *request,
		   size_t size) __attribute__((warn_unused_result));
/* False: nothing now. */
bool ocsp_fetch_take(struct ocsp_fetch *f, struct ocsp_fetch_result *out)
	__attribute__((warn_unused_result));

#endif
