#include "sbcd/keeper/epoch.h"

#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <string.h>

/* Nobody gets here by counting; a value beyond it is an error or an attack
 * that would use up the number space. */
static const uint64_t counter_max = UINT64_C(1) << 48;

static uint64_t max_u64(uint64_t a, uint64_t b)
{
	return a > b ? a : b;
}

void epoch_init(struct epoch *e, uint8_t node)
{
	memset(e, 0, sizeof(*e));
	e->node = node;
}

int epoch_parse(struct epoch *e, const char *text)
{
	uint64_t heard, limit, active;
	int end = 0;

	if (sscanf(text,
		   "heard=%16" SCNx64 " limit=%16" SCNx64 " active=%16" SCNx64
		   "%n",
		   &heard, &limit, &active, &end) != 3)
		return -EBADMSG;
	if (strcmp(text + end, "\n"))
		return -EBADMSG;
	if (limit > counter_max || epoch_counter(heard) > counter_max ||
	    epoch_counter(active) > counter_max)
		return -EBADMSG;
	e->heard = heard;
	e->active = active;
	e->floor = limit;
	e->limit = limit;
	e->asked = limit;
	e->dirty = false;
	return 0;
}

void epoch_heard(struct epoch *e, uint64_t epoch)
{
	if (epoch <= e->heard || epoch_counter(epoch) > counter_max)
		return;
	e->heard = epoch;
	e->dirty = true;
}

/* The next epoch's counter is one more than this. */
static uint64_t base(const struct epoch *e)
{
	return max_u64(e->floor, epoch_counter(e->heard));
}

bool epoch_wants_write(const struct epoch *e)
{
	if (e->dirty)
		return true;
	return e->asked < base(e) + EPOCH_BLOCK_LOW;
}

void epoch_format(struct epoch *e, char *buf, size_t size)
{
	if (e->asked < base(e) + EPOCH_BLOCK_LOW)
		e->asked = base(e) + EPOCH_BLOCK;
	e->dirty = false;
	snprintf(buf, size,
		 "heard=%016" PRIx64 " limit=%016" PRIx64 " active=%016" PRIx64
		 "\n",
		 e->heard, e->asked, e->active);
}

void epoch_written(struct epoch *e, uint64_t asked)
{
	e->limit = max_u64(e->limit, asked);
}

uint64_t epoch_next_unreserved(struct epoch *e)
{
	uint64_t counter = base(e) + 1;

	e->floor = counter;
	e->heard = counter << 8 | e->node;
	e->active = e->heard;
	e->dirty = true;
	return e->heard;
}

int epoch_next(struct epoch *e, uint64_t *out)
{
	if (base(e) + 1 > e->limit)
		return -EAGAIN;
	*out = epoch_next_unreserved(e);
	return 0;
}
