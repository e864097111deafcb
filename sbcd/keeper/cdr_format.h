/*
 * cdr_format - a call detail record as one line of JSON or of CSV.
 *
 * Guarantees: a line never holds a control character but its final newline,
 * whatever the strings are; JSON is valid UTF-8 (what is not becomes U+FFFD);
 * CSV is RFC 4180 with every text quoted, and no text begins with what a
 * spreadsheet takes for a formula. The id is the first thing in both.
 *
 * Layer: keeper. Any thread, no state.
 */
#ifndef SBCD_KEEPER_CDR_FORMAT_H
#define SBCD_KEEPER_CDR_FORMAT_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include "sbcd/base/buf.h"
#include "sbcd/record/kinds.h"

enum { CDR_LINE_MAX_BYTES = 65536 };

/* Appended to `out`; look at out->failed. */
void cdr_format_json(struct buf *out, uint64_t id, const struct rec_cdr *r);
void cdr_format_csv(struct buf *out, uint64_t id, const struct rec_cdr *r);
/* First line of a CSV file. */
void cdr_format_csv_head(struct buf *out);
/* The id a line of either format begins with. */
bool cdr_line_id(const char *line, size_t size, uint64_t *id);

#endif
