/* Lines of the control socket: refused or a bounded request. */
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include "sbcd/keeper/control.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct control_request r;
	const char *why = NULL;

	if (size > CONTROL_LINE_MAX)
		return 0;
	if (control_parse(&r, (const char *)data, size, &why)) {
		if (!why)
			abort();
		return 0;
	}
	if (!r.cmd[0] || strlen(r.cmd) >= sizeof(r.cmd) ||
	    !json_is_object(r.args))
		abort();
	control_request_finish(&r);
	return 0;
}
