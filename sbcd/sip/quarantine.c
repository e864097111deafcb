#include "sbcd/sip/quarantine.h"

#include <stdlib.h>
#include <string.h>
#include <strings.h>

void quarantine_set(struct quarantine *q, unsigned slot,
		    const struct rec_quarantine *r, uint64_t now_ms)
{
	uint64_t max_ms = now_ms + QUARANTINE_MAX_MS;

	if (slot >= REC_QUARANTINE_MAX)
		return;
	memset(&q->slots[slot], 0, sizeof(q->slots[slot]));
	if (!r || !r->size)
		return;
	q->slots[slot].hash = r->hash;
	q->slots[slot].size = r->size;
	q->slots[slot].until_ms = r->until_ms < max_ms ? r->until_ms : max_ms;
	if (slot >= q->used)
		q->used = slot + 1;
}

static void absorb(const struct quarantine *q, struct input *in,
		   const uint8_t *data, size_t size)
{
	while (size) {
		size_t at = in->size % INPUT_PART_SIZE;
		size_t n = INPUT_PART_SIZE - at < size ? INPUT_PART_SIZE - at
						       : size;
		struct {
			uint64_t hash;
			uint8_t part[INPUT_PART_SIZE];
		} whole;

		memcpy(in->part + at, data, n);
		in->size += (uint32_t)n;
		data += n;
		size -= n;
		if (in->size % INPUT_PART_SIZE)
			return;
		whole.hash = in->hash;
		memcpy(whole.part, in->part, sizeof(whole.part));
		in->hash = token_hash(&q->key, &whole, sizeof(whole));
	}
}

uint64_t quarantine_hash(const struct quarantine *q, const struct input *in)
{
	struct {
		uint64_t hash, size;
		uint8_t part[INPUT_PART_SIZE];
	} all = {.hash = in->hash, .size = in->size};

	memcpy(all.part, in->part, in->size % INPUT_PART_SIZE);
	return token_hash(&q->key, &all, sizeof(all));
}

static bool matches(const struct quarantine *q, const struct input *in,
		    uint64_t now_ms)
{
	uint64_t hash = 0;
	bool hashed = false;

	for (size_t i = 0; i < q->used; i++) {
		if (q->slots[i].size != in->size ||
		    q->slots[i].until_ms <= now_ms)
			continue;
		if (!hashed)
			hash = quarantine_hash(q, in);
		hashed = true;
		if (q->slots[i].hash == hash)
			return true;
	}
	return false;
}

/* Bytes until the next length at which there is something to compare. */
static size_t until_next(const struct quarantine *q, const struct input *in,
			 size_t size)
{
	for (size_t i = 0; i < q->used; i++) {
		size_t at = q->slots[i].size;

		if (at > in->size && at - in->size < size)
			size = at - in->size;
	}
	return size;
}

bool quarantine_passes(const struct quarantine *q, struct input *in,
		       const void *data, size_t size, uint64_t now_ms)
{
	const uint8_t *at = data;

	while (size) {
		size_t n = until_next(q, in, size);

		absorb(q, in, at, n);
		at += n;
		size -= n;
		if (size && in->size < QUARANTINE_PREFIX_MIN)
			continue;
		if (matches(q, in, now_ms))
			return false;
	}
	return true;
}

/* ---- where a message ends ----------------------------------------------- */
static void line_ends(struct input *in, bool *headers_end)
{
	const char *at = in->line;
	size_t n;

	if (in->line_len && in->line[in->line_len - 1] == '\r')
		in->line_len--;
	in->line[in->line_len] = '\0';
	*headers_end = !in->line_len && in->begun;
	in->begun |= in->line_len > 0;
	in->line_len = 0;
	n = strcspn(at, ": \t");
	if (!(n == 14 && !strncasecmp(at, "Content-Length", n)) &&
	    !(n == 1 && (*at == 'l' || *at == 'L')))
		return;
	at += n + strspn(at + n, " \t");
	if (*at == ':')
		in->content_length = (uint32_t)strtoul(at + 1, NULL, 10);
}

size_t input_measure(struct input *in, const char *data, size_t size,
		     bool *ends)
{
	*ends = false;
	for (size_t i = 0; i < size && !in->in_body; i++) {
		if (data[i] != '\n') {
			/* What is longer is no Content-Length. */
			if (in->line_len < INPUT_LINE_SIZE - 1)
				in->line[in->line_len++] = data[i];
			continue;
		}
		line_ends(in, &in->in_body);
		if (!in->in_body)
			continue;
		in->body_left = in->content_length;
		*ends = !in->body_left;
		if (*ends || i + 1 == size)
			return i + 1;
		if (in->body_left <= size - i - 1) {
			*ends = true;
			return i + 1 + in->body_left;
		}
		in->body_left -= (uint32_t)(size - i - 1);
		return size;
	}
	if (!in->in_body)
		return size;
	if (in->body_left <= size) {
		*ends = true;
		return in->body_left;
	}
	in->body_left -= (uint32_t)size;
	return size;
}
