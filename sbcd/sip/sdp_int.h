/*
 * sdp_int - the inside of struct sdp, shared by the sdp*.c files alone.
 *
 * All text lives in one pool and a line is an offset into it: an edit in
 * place when the new text fits, else a copy at the pool's end.
 *
 * Layer: sip. SIP worker.
 */
#ifndef SBCD_SIP_SDP_INT_H
#define SBCD_SIP_SDP_INT_H

#include "sbcd/sip/sdp.h"

enum {
	SDP_POOL_MAX = 4 * SDP_SIZE_MAX,
	SDP_EDITED_LINES_MAX = SDP_LINES_MAX + 512,
};

struct sdp_line {
	uint32_t at; /* offset in the pool */
	uint32_t size; /* without line end */
	uint32_t room; /* bytes of the pool that belong to it */
	char type; /* 'v', 'm', …; 0 = not of the form "x=" */
	bool ours; /* written by an edit */
	bool drop; /* goes at the next sdp_sweep() */
};

struct sdp {
	char *pool;
	size_t pool_size;
	size_t pool_capacity;
	struct sdp_line *lines;
	unsigned lines_len;
	unsigned lines_capacity;
	unsigned media_len;
	unsigned media_first[SDP_MEDIA_MAX]; /* line number of each m= */
};

struct sdp_range {
	unsigned begin, end; /* line numbers, end excluded */
};

bool sdp_section(const struct sdp *sdp, unsigned section,
		 struct sdp_range *out);
/* The whole line, "x=" included. */
struct sdp_text sdp_line_text(const struct sdp *sdp, unsigned line);
/* What follows "x=". */
struct sdp_text sdp_line_value(const struct sdp *sdp, unsigned line);
/* Line number of the first of `type` from `from` in a range; -1 = none. */
int sdp_line_find(const struct sdp *sdp, const struct sdp_range *range,
		  unsigned from, char type);
/* Splits "a=name:value"; `value` is empty for a flag. */
void sdp_attr_split(struct sdp_text attr, struct sdp_text *name,
		    struct sdp_text *value);
bool sdp_text_is(struct sdp_text text, const char *word);
/* Takes the next word off `rest`; false at its end. */
bool sdp_word(struct sdp_text *rest, struct sdp_text *word);
/* Decimal number, nothing else, up to `max`. */
bool sdp_number(struct sdp_text text, uint64_t max, uint64_t *out);
bool sdp_mline_parse(struct sdp_text value, struct sdp_media *out);
/* "IN IP4 10.0.0.1" */
void sdp_connection_parse(struct sdp_text value, struct sdp_connection *out);

int sdp_line_splice(struct sdp *sdp, unsigned line, size_t at, size_t del,
		    const char *ins, size_t ins_size)
	__attribute__((warn_unused_result));
int sdp_line_insert(struct sdp *sdp, unsigned section, unsigned line,
		    const char *text, size_t size)
	__attribute__((warn_unused_result));
/* Removes the lines marked `drop`; m-lines stay whatever their mark says. */
void sdp_sweep(struct sdp *sdp);

#endif
