/*
 * Values from the peer: first byte = kind, the rest = value. What is accepted
 * prints, encodes again and comes back the same.
 */
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "sbcd/record/record.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static union rec_any one, two;

static void require(bool ok)
{
	if (!ok)
		abort();
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct buf first, second;
	uint8_t kind;
	json_t *json;

	if (!size)
		return 0;
	kind = data[0];
	if (record_decode(kind, data + 1, size - 1, &one))
		return 0;
	json = record_to_json(kind, &one);
	require(json != NULL);
	json_decref(json);

	buf_init(&first, 512 * 1024);
	buf_init(&second, 512 * 1024);
	require(record_encode(kind, &one, &first) == 0);
	require(record_decode(kind, first.data, first.size, &two) == 0);
	require(record_encode(kind, &two, &second) == 0);
	require(first.size == second.size &&
		(!first.size ||
		 memcmp(first.data, second.data, first.size) == 0));
	buf_finish(&first);
	buf_finish(&second);
	return 0;
}
