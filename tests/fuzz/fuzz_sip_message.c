/*
 * What is read out of a parsed message keeps within what records can hold,
 * whatever the message.
 */
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "sbcd/sip/sip_int.h"

static void bounded(const char *text, size_t size)
{
	if (text && strlen(text) >= size)
		abort();
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);
int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	static const struct config_sip_interface sif = {.name = "core"};
	static struct sip_agent agent = {.sif = &sif};
	struct addr source = {0};
	struct facts f;
	msg_t *msg;

	if (size > SIP_MESSAGE_MAX_BYTES)
		return 0;
	msg = message_parse(data, size);
	if (!msg)
		return 0;
	facts_init(&f);
	if (!facts_read(&f, &agent, sip_object(msg), &source)) {
		bounded(f.m.call_id, REC_CALLID_SIZE);
		bounded(f.m.from_tag, REC_TOKEN_SIZE);
		bounded(f.m.to_tag, REC_TOKEN_SIZE);
		bounded(f.m.from, REC_URI_SIZE);
		bounded(f.m.to, REC_URI_SIZE);
		bounded(f.m.contact, REC_URI_SIZE);
		bounded(f.m.route, REC_ROUTE_SIZE);
		bounded(f.m.branch, REC_TOKEN_SIZE);
		if (f.m.sdp_size > REC_SDP_SIZE)
			abort();
	}
	facts_finish(&f);
	msg_destroy(msg);
	return 0;
}
