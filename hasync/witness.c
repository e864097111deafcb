#include "hasync/witness.h"

#include <corosync/votequorum.h>
#include <errno.h>
#include <stdlib.h>

struct ha_witness {
	votequorum_handle_t handle;
};

int ha_witness_create(struct ha_witness **out)
{
	votequorum_callbacks_t none = {0};
	struct ha_witness *w = calloc(1, sizeof(*w));

	if (!w)
		return -ENOMEM;
	if (votequorum_initialize(&w->handle, &none) != CS_OK) {
		free(w);
		return -EIO;
	}
	*out = w;
	return 0;
}

void ha_witness_destroy(struct ha_witness *w)
{
	if (!w)
		return;
	votequorum_finalize(w->handle);
	free(w);
}

int ha_witness_votes(struct ha_witness *w)
{
	const unsigned votes = VOTEQUORUM_INFO_QDEVICE_REGISTERED |
			       VOTEQUORUM_INFO_QDEVICE_ALIVE |
			       VOTEQUORUM_INFO_QDEVICE_CAST_VOTE;
	struct votequorum_info info;

	/* Node 0 is the one that asks. */
	if (votequorum_getinfo(w->handle, 0, &info) != CS_OK)
		return -EIO;
	return (info.flags & votes) == votes;
}
