#include "sbcd/base/mask.h"

#include <stdbool.h>
#include <string.h>
#include <strings.h>

/*
 * Where key material stands in a SIP message or SDP body: SDES (RFC 4568),
 * MIKEY (RFC 4567) and the old k= line. Everything up to the end of the token
 * is masked.
 */
static const struct {
	const char *before;
	bool line_start;
	const char *ends;
} secrets[] = {
	{"inline:", false, "|; \t\r\n"},
	{"a=key-mgmt:", true, "\r\n"},
	{"k=", true, "\r\n"},
};

size_t mask_keys(char *text, size_t size)
{
	size_t in = 0, out = 0;

	while (in < size) {
		bool line_start =
			in == 0 || text[in - 1] == '\n' || text[in - 1] == '\r';
		size_t hit = 0, end;
		const char *ends = NULL;

		for (size_t i = 0; i < sizeof(secrets) / sizeof(secrets[0]);
		     i++) {
			size_t n = strlen(secrets[i].before);

			if ((line_start || !secrets[i].line_start) &&
			    n <= size - in &&
			    !strncasecmp(text + in, secrets[i].before, n)) {
				hit = n;
				ends = secrets[i].ends;
				break;
			}
		}
		if (!hit) {
			text[out++] = text[in++];
			continue;
		}
		end = in + hit;
		while (end < size && (!text[end] || !strchr(ends, text[end])))
			end++;
		memmove(text + out, text + in, hit);
		out += hit;
		if (end - in - hit >= 3) {
			memcpy(text + out, "***", 3);
			out += 3;
		} else {
			memset(text + out, '*', end - in - hit);
			out += end - in - hit;
		}
		in = end;
	}
	return out;
}
