/*
 * Crashes on demand, for tests only: linked into the SIP worker's unit tests
 * and into hooks/bin/sbcd, never into bin/sbcd (a lab test looks). The objects
 * of the product are the same in both; what is here comes between them: like
 * sbcd/sip/guard.c it defines functions the stack calls in its own library.
 *
 *   X-SBC-Test: crash-parse    abort() while the stack parses that header
 */
#include <dlfcn.h>
#include <stdlib.h>
#include <string.h>

#include <sofia-sip/sip_header.h>
#include <sofia-sip/sip_parser.h>

/* The parser of every header the stack does not know. */
issize_t sip_unknown_d(su_home_t *home, msg_header_t *h, char *s, isize_t len)
{
	static const char crash[] = "X-SBC-Test: crash-parse";
	issize_t (*next)(su_home_t *, msg_header_t *, char *, isize_t);

	*(void **)&next = dlsym(RTLD_NEXT, "sip_unknown_d");
	if (!next || !strncmp(s, crash, sizeof(crash) - 1))
		abort();
	return next(home, h, s, len);
}
