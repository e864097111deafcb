/*
 * Crashes on demand, for tests only: linked into the SIP worker's unit tests
 * and into hooks/bin/sbcd, never into bin/sbcd (a lab test looks). The objects
 * of the product are the same in both; what is here comes between them: like
 * sbcd/sip/guard.c it defines functions the stack calls in its own library.
 *
 *   X-SBC-Test: crash-parse    abort() while the stack parses that header
 *   X-SBC-Test: hang-parse     stops there for ever
 *   crash-call, crash-dialog, crash-txn, crash-media, crash-record
 *                              abort() while the B2BUA takes a record of that
 *                              kind (or of any) with this text in it
 */
#include <dlfcn.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <sofia-sip/sip_header.h>
#include <sofia-sip/sip_parser.h>

#include "sbcd/call/b2bua.h"
#include "sbcd/record/kinds.h"

/* The parser of every header the stack does not know. */
issize_t sip_unknown_d(su_home_t *home, msg_header_t *h, char *s, isize_t len)
{
	static const char crash[] = "X-SBC-Test: crash-parse";
	static const char hang[] = "X-SBC-Test: hang-parse";
	issize_t (*next)(su_home_t *, msg_header_t *, char *, isize_t);

	*(void **)&next = dlsym(RTLD_NEXT, "sip_unknown_d");
	if (!next || !strncmp(s, crash, sizeof(crash) - 1))
		abort();
	while (!strncmp(s, hang, sizeof(hang) - 1))
		pause();
	return next(home, h, s, len);
}

int __real_b2bua_record(struct b2bua *b, const struct ha_key *key,
			const void *value, size_t size);
int __wrap_b2bua_record(struct b2bua *b, const struct ha_key *key,
			const void *value, size_t size);

static bool holds(const void *value, size_t size, const char *text)
{
	return value && memmem(value, size, text, strlen(text));
}

int __wrap_b2bua_record(struct b2bua *b, const struct ha_key *key,
			const void *value, size_t size)
{
	static const char *const crash[REC_KIND_MAX] = {
		[REC_CALL] = "crash-call",
		[REC_DIALOG] = "crash-dialog",
		[REC_TXN] = "crash-txn",
		[REC_MEDIA] = "crash-media",
	};

	if (holds(value, size, "crash-record") ||
	    (crash[key->kind] && holds(value, size, crash[key->kind])))
		abort();
	return __real_b2bua_record(b, key, value, size);
}
