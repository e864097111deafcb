/*
 * render - any JSON the daemon answers as tables for people. Members it does
 * not know are printed like all others: a newer daemon shows more, an older
 * sbcctl still shows it.
 *
 *   scalars and short lists    NAME  value
 *   objects                    as above, named outer.inner
 *   lists of objects           a table of their own below, one line each
 *
 * Layer: cli. Process sbcctl.
 */
#ifndef SBCD_CLI_RENDER_H
#define SBCD_CLI_RENDER_H

#include <jansson.h>
#include <stdio.h>

/* -ENOMEM or what libsmartcols said. Control characters are escaped. */
int render_table(FILE *out, const json_t *data)
	__attribute__((warn_unused_result));
int render_json(FILE *out, const json_t *data)
	__attribute__((warn_unused_result));

/* One value as a cell: "yes", "12", "a, b". Caller frees; NULL: no memory. */
char *render_value(const char *name, const json_t *value);

#endif
