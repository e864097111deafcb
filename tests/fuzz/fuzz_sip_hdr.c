/*
 * Header values on their way through: bounded, one line, and nothing of the
 * other side left. The input is "Name: value".
 */
#include <errno.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "sbcd/sip/hdr_policy.h"

static const char *const hidden[] = {"10.10.0.50", "fd00:10::50",
				     "pbx.example.net"};
enum { HIDDEN = 3, TEXT_MAX = 4096 };

static void require(bool ok)
{
	if (!ok)
		abort();
}

static void one(const char *name, const char *value, const char *own)
{
	static char out[4 * TEXT_MAX + 1];
	struct hide_set hide;
	struct hdr_hosts hosts = {.hide = &hide, .own = own};
	size_t size;
	ssize_t n;

	hide_init(&hide);
	for (unsigned i = 0; i < HIDDEN; i++)
		require(hide_add(&hide, hidden[i], strlen(hidden[i])) == 0);
	/* An address of three bytes becomes one of eleven at most. */
	size = 4 * TEXT_MAX;
	out[size] = 'x';
	n = hdr_policy_apply(name, value, &hosts, out, size);
	require(out[size] == 'x');
	require(n != -ENOSPC || strlen(value) > TEXT_MAX / 2);
	if (n < 0)
		return;
	require(strlen(out) == (size_t)n);
	require(!strpbrk(out, "\r\n"));
	for (unsigned i = 0; i < HIDDEN; i++) {
		struct hide_set set;

		hide_init(&set);
		require(hide_add(&set, hidden[i], strlen(hidden[i])) == 0);
		require(!hide_find(&set, false, out, (size_t)n, NULL));
	}
	/* Room for less than it takes: refused, not cut. */
	if (n > 0)
		require(hdr_policy_apply(name, value, &hosts, out, (size_t)n) ==
			-ENOSPC);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);
int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	static char text[TEXT_MAX];
	char *colon;

	if (size >= sizeof(text))
		return 0;
	memcpy(text, data, size);
	text[size] = '\0';
	colon = strchr(text, ':');
	if (!colon)
		return 0;
	*colon = '\0';
	one(text, colon + 1, "10.20.0.10");
	one(text, colon + 1, "[fd00:20::10]:5061");
	one("Warning", colon + 1, "sbc.example.com");
	return 0;
}
