/*
 * control - the unix socket sbcctl talks to: one JSON object a line,
 * {"cmd": "show redundancy", "args": {…}} answered by
 * {"ok": true, "data": …} or {"ok": false, "error": "…", "code": N}.
 *
 * Guarantees: never blocks; clients, line length and silence are bounded;
 * whatever is not a request is answered with an error and counted. A request
 * may be answered later; an answer to a client that left is dropped.
 *
 * Layer: keeper. Main thread.
 */
#ifndef SBCD_KEEPER_CONTROL_H
#define SBCD_KEEPER_CONTROL_H

#include <jansson.h>
#include <stddef.h>
#include <stdint.h>
#include "sbcd/base/loop.h"

struct control;

enum {
	CONTROL_CLIENTS_MAX = 32,
	CONTROL_LINE_MAX = 16384,
	CONTROL_IDLE_MS = 30000, /* without a request, or not reading */
	CONTROL_CMD_SIZE = 64,
};

/* Exit codes of sbcctl follow from these: never renumber. */
enum control_code {
	CONTROL_BAD_REQUEST = 2,
	CONTROL_UNKNOWN = 3, /* command, or what it names */
	CONTROL_REFUSED = 4, /* not possible in this state */
	CONTROL_TIMEOUT = 5, /* started, not finished in time */
	CONTROL_INTERNAL = 6,
};

struct control_request {
	char cmd[CONTROL_CMD_SIZE];
	json_t *args; /* an object, owned by the request */
};

/* Reads one line. -EBADMSG with *why set. */
int control_parse(struct control_request *out, const char *line, size_t len,
		  const char **why) __attribute__((warn_unused_result));
void control_request_finish(struct control_request *r);

/* Answer with control_reply() or control_error() and this id, once. */
typedef void control_fn(void *ctx, uint64_t id,
			const struct control_request *r);

/* Binds `path` (mode 0660), replacing a socket nobody listens on. */
int control_create(struct control **out, struct loop *loop, const char *path,
		   control_fn *fn, void *ctx)
	__attribute__((warn_unused_result));
void control_destroy(struct control *c);

/* Takes the reference of `data`. */
void control_reply(struct control *c, uint64_t id, json_t *data);
void control_error(struct control *c, uint64_t id, enum control_code code,
		   const char *fmt, ...) __attribute__((format(printf, 4, 5)));

struct control_stats {
	uint64_t requests, malformed, refused_clients, timeouts;
	size_t clients;
};
void control_get_stats(const struct control *c, struct control_stats *out);

#endif
