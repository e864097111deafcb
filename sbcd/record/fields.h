/*
 * fields - the field tables of kinds.h, the one description of every record
 * that encoder, decoder, printer and tests share.
 *
 * Layer: record, private to it and to its tests.
 */
#ifndef SBCD_RECORD_FIELDS_H
#define SBCD_RECORD_FIELDS_H

#include "sbcd/record/record.h"

/* Indexed by kind; index 0 is unused. */
extern const struct record_kind_info record_kinds[REC_KIND_MAX];

enum { RECORD_FIELDS_MAX = 64 }; /* of one table */

#endif
