/*
 * lint - what is right by the rules and will not work with a peer that is
 * known: found by its host name, before the first call.
 *
 * Layer: config. Any process, any thread.
 */
#ifndef SBCD_CONFIG_LINT_H
#define SBCD_CONFIG_LINT_H

#include "sbcd/config/config.h"

/* Warnings, "file:line: warning: …"; how many. `out` is started anew. */
unsigned config_lint(const struct config *c, const char *file,
		     struct config_errors *out);

#endif
