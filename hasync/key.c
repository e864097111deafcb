#include "hasync/key.h"

static int compare_u64(uint64_t a, uint64_t b)
{
	return (a > b) - (a < b);
}

int ha_version_compare(const struct ha_version *a, const struct ha_version *b)
{
	int rc = compare_u64(a->epoch, b->epoch);

	if (!rc)
		rc = compare_u64(a->generation, b->generation);
	if (!rc)
		rc = compare_u64(a->writer, b->writer);
	return rc;
}

bool ha_key_equal(const struct ha_key *a, const struct ha_key *b)
{
	return a->id == b->id && a->sub == b->sub && a->kind == b->kind;
}
