/*
 * client - one question to the daemon's control socket: a JSON line out, a
 * JSON line back, all of it before a deadline.
 *
 * Layer: cli. Process sbcctl.
 */
#ifndef SBCD_CLI_CLIENT_H
#define SBCD_CLI_CLIENT_H

#include <jansson.h>

enum {
	CLIENT_TIMEOUT_MS = 10000,
	CLIENT_ANSWER_MAX_BYTES = 64 * 1024 * 1024,
};

/*
 * `args` may be NULL. *answer is the whole object, with a boolean "ok".
 * -ETIMEDOUT, -EPIPE (closed without an answer), -EBADMSG (not an answer),
 * -EMSGSIZE, or what connect() said.
 */
int client_ask(const char *path, const char *cmd, json_t *args, int timeout_ms,
	       json_t **answer) __attribute__((warn_unused_result));

#endif
