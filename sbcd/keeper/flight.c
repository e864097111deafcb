#include "sbcd/keeper/flight.h"

#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include "sbcd/record/record.h"

static const char magic[8] = "SBCFLT1\n";

struct flight {
	struct rec_failover *reports; /* by epoch */
	size_t len;
};

int flight_create(struct flight **out)
{
	struct flight *f = calloc(1, sizeof(*f));

	if (!f)
		return -ENOMEM;
	f->reports = calloc(FLIGHT_REPORTS_MAX, sizeof(*f->reports));
	if (!f->reports) {
		free(f);
		return -ENOMEM;
	}
	*out = f;
	return 0;
}

void flight_destroy(struct flight *f)
{
	if (!f)
		return;
	free(f->reports);
	free(f);
}

/* First report of this epoch or a later one. */
static size_t place_of(const struct flight *f, uint64_t epoch)
{
	size_t at = f->len;

	while (at && f->reports[at - 1].epoch >= epoch)
		at--;
	return at;
}

bool flight_add(struct flight *f, const struct rec_failover *r,
		uint64_t *dropped)
{
	size_t at = place_of(f, r->epoch);

	*dropped = 0;
	if (at < f->len && f->reports[at].epoch == r->epoch) {
		if ((f->reports[at].complete && !r->complete) ||
		    !memcmp(&f->reports[at], r, sizeof(*r)))
			return false;
		f->reports[at] = *r;
		return true;
	}
	if (f->len == FLIGHT_REPORTS_MAX) {
		*dropped = at ? f->reports[0].epoch : r->epoch;
		if (!at)
			return false;
		memmove(f->reports, f->reports + 1,
			--f->len * sizeof(f->reports[0]));
		at--;
	}
	memmove(f->reports + at + 1, f->reports + at,
		(f->len - at) * sizeof(f->reports[0]));
	f->reports[at] = *r;
	f->len++;
	return true;
}

size_t flight_len(const struct flight *f)
{
	return f->len;
}

const struct rec_failover *flight_get(const struct flight *f, size_t i)
{
	return i < f->len ? &f->reports[i] : NULL;
}

unsigned flight_count_after(const struct flight *f, uint64_t epoch)
{
	return (unsigned)(f->len - place_of(f, epoch + 1));
}

/* ---- the file ----------------------------------------------------------- */
int flight_encode(const struct flight *f, struct buf *out)
{
	struct buf one;
	int err = 0;

	buf_init(&one, FLIGHT_FILE_MAX_BYTES);
	buf_put(out, magic, sizeof(magic));
	for (size_t i = 0; i < f->len && !err; i++) {
		buf_reset(&one);
		err = record_encode(REC_FAILOVER, &f->reports[i], &one);
		if (!err && one.failed)
			err = -ENOMEM;
		buf_put_u32(out, (uint32_t)one.size);
		buf_put(out, one.data, one.size);
	}
	buf_finish(&one);
	return err ? err : out->failed ? -ENOMEM : 0;
}

int flight_decode(struct flight *f, const void *data, size_t size)
{
	struct rec_failover r;
	struct reader in;
	const void *head;
	uint64_t dropped;

	reader_init(&in, data, size);
	head = reader_bytes(&in, sizeof(magic));
	if (!head || memcmp(head, magic, sizeof(magic)) != 0)
		return -EBADMSG;
	while (reader_left(&in)) {
		uint32_t n = reader_u32(&in);
		const void *value = reader_bytes(&in, n);

		if (in.failed || record_decode(REC_FAILOVER, value, n, &r) ||
		    !r.epoch)
			return -EBADMSG;
		flight_add(f, &r, &dropped);
	}
	return 0;
}

/* ---- for people --------------------------------------------------------- */
static json_t *ms_of(uint64_t us)
{
	/* Tenths of a millisecond: more is not known. */
	return us ? json_real((double)(us / 100) / 10) : json_null();
}

static json_t *lost_json(const struct rec_failover *r)
{
	json_t *list = json_array();
	char id[17];

	for (unsigned i = 0; i < r->lost_len; i++) {
		snprintf(id, sizeof(id), "%016" PRIx64, r->lost[i].call);
		json_array_append_new(list,
				      json_pack("{s:s,s:s}", "id", id, "reason",
						r->lost[i].reason));
	}
	return list;
}

static json_t *report_json(const struct rec_failover *r)
{
	const struct {
		const char *name;
		uint64_t us;
	} times[] = {
		{"suspected-after", r->suspected_us},
		{"decided-after", r->decided_us},
		{"taken-after", r->taken_us},
		{"sip-after", r->sip_us},
		{"media-after", r->media_us},
		{"first-packet-after", r->packet_us},
		{"first-message-after", r->message_us},
		{"first-tls-after", r->tls_us},
		{"gap-p50", r->gap_p50_us},
		{"gap-p99", r->gap_p99_us},
		{"gap-max", r->gap_max_us},
	};
	json_t *o = json_object();
	char epoch[17];

	snprintf(epoch, sizeof(epoch), "%016" PRIx64, r->epoch);
	json_object_set_new(o, "last-heard-ms",
			    json_integer((json_int_t)r->heard_ms));
	json_object_set_new(o, "to", json_string(r->node));
	json_object_set_new(o, "kind",
			    json_string(r->planned ? "planned" : "failover"));
	json_object_set_new(o, "cause", json_string(r->cause));
	for (size_t i = 0; i < sizeof(times) / sizeof(times[0]); i++)
		json_object_set_new(o, times[i].name, ms_of(times[i].us));
	json_object_set_new(o, "flows", json_integer(r->flows));
	json_object_set_new(o, "silent", json_integer(r->flows_silent));
	json_object_set_new(o, "calls", json_integer(r->calls_carried));
	json_object_set_new(o, "lost", json_integer(r->calls_lost));
	json_object_set_new(o, "lost-calls", lost_json(r));
	json_object_set_new(o, "evidence", json_string(r->evidence));
	json_object_set_new(o, "complete", json_boolean(r->complete));
	json_object_set_new(o, "epoch", json_string(epoch));
	return o;
}

json_t *flight_to_json(const struct flight *f, size_t max)
{
	json_t *list = json_array();

	for (size_t i = f->len; i && max; i--, max--)
		json_array_append_new(list, report_json(&f->reports[i - 1]));
	return list;
}
