/*
 * mask - key material out of text for people: SIP, SDP, lines of a log.
 *
 * Every place that prints a message, a description or what a stack says of
 * them sends it through here; there is no other such function.
 *
 * Layer: base. Any process, any thread. No state.
 */
#ifndef SBCD_BASE_MASK_H
#define SBCD_BASE_MASK_H

#include <stddef.h>

/*
 * Replaces the key of every inline: (RFC 4568), key-mgmt (RFC 4567) and k=
 * by "***", in place. The text only gets shorter, needs no NUL and gets none.
 * Returns the new size; what was behind it is still there.
 */
size_t mask_keys(char *text, size_t size);

#endif
