#include "hasync/wire.h"

#include <errno.h>
#include <string.h>

static const uint8_t magic[4] = {'S', 'B', 'H', 'A'};

enum {
	ENTRY_DELETED = 1 << 0,
	HEAD_LENGTH_AT = 24,
};

/* Tags of STATUS travel: append only. */
enum {
	TAG_ROLE = 1,
	TAG_IN_SYNC = 2,
	TAG_HEALTH = 3,
	TAG_CALLS = 4,
	TAG_EPOCH = 5,
	TAG_ACTIVE_EPOCH = 6,
	TAG_BOOT_ID = 7,
	TAG_CONFIG_DIGEST = 8,
	TAG_NAME = 9,
	TAG_VERSION = 10,
	TAG_FENCE_HIGH = 11, /* from here on only what is not 0 */
	TAG_FENCE_LOW = 12,
	TAG_WALL = 13,
	TAG_CLOCK = 14,
	TAG_PRINTS = 15,
};

/* ---- bounded writing and reading ----------------------------------------- */

static uint8_t *reserve(struct ha_writer *w, size_t size)
{
	uint8_t *p = w->data + w->size;

	if (w->failed || size > w->capacity - w->size) {
		w->failed = true;
		return NULL;
	}
	w->size += size;
	return p;
}

static void store_uint(uint8_t *p, uint64_t value, unsigned bytes)
{
	while (bytes--) {
		p[bytes] = (uint8_t)value;
		value >>= 8;
	}
}

void ha_write_uint(struct ha_writer *w, uint64_t value, unsigned bytes)
{
	uint8_t *p = reserve(w, bytes);

	if (p)
		store_uint(p, value, bytes);
}

void ha_write_bytes(struct ha_writer *w, const void *data, size_t size)
{
	uint8_t *p = reserve(w, size);

	if (p && size)
		memcpy(p, data, size);
}

const uint8_t *ha_read_bytes(struct ha_reader *r, size_t size)
{
	const uint8_t *p = r->data + r->at;

	if (r->failed || size > r->size - r->at) {
		r->failed = true;
		return NULL;
	}
	r->at += size;
	return p;
}

uint64_t ha_read_uint(struct ha_reader *r, unsigned bytes)
{
	const uint8_t *p = ha_read_bytes(r, bytes);
	uint64_t v = 0;

	while (p && bytes--)
		v = v << 8 | *p++;
	return v;
}

/* ---- header -------------------------------------------------------------- */

uint8_t ha_wire_speak(uint8_t own_max, uint8_t peer_max)
{
	if (!peer_max)
		return HA_WIRE_VERSION_FIRST;
	return peer_max < own_max ? peer_max : own_max;
}

void ha_head_write(struct ha_writer *w, const struct ha_head *head)
{
	ha_write_bytes(w, magic, sizeof(magic));
	ha_write_uint(w, head->version, 1);
	ha_write_uint(w, head->max_version, 1);
	ha_write_uint(w, head->type, 1);
	ha_write_uint(w, head->node, 1);
	ha_write_uint(w, head->epoch, 8);
	ha_write_uint(w, head->seq, 8);
	ha_write_uint(w, 0, 4);
}

void ha_head_finish(struct ha_writer *w)
{
	if (!w->failed)
		store_uint(w->data + HEAD_LENGTH_AT, w->size - HA_HEAD_BYTES,
			   4);
}

static int head_read(struct ha_reader *r, struct ha_head *h)
{
	const uint8_t *m = ha_read_bytes(r, sizeof(magic));

	if (!m || memcmp(m, magic, sizeof(magic)))
		return -EBADMSG;
	h->version = (uint8_t)ha_read_uint(r, 1);
	h->max_version = (uint8_t)ha_read_uint(r, 1);
	h->type = (uint8_t)ha_read_uint(r, 1);
	h->node = (uint8_t)ha_read_uint(r, 1);
	h->epoch = ha_read_uint(r, 8);
	h->seq = ha_read_uint(r, 8);
	h->length = (uint32_t)ha_read_uint(r, 4);
	if (r->failed || h->length != r->size - r->at)
		return -EBADMSG;
	if (!h->version || h->max_version < h->version ||
	    h->epoch >= HA_EPOCH_LIMIT || !h->node || h->node > HA_NODE_MAX)
		return -EBADMSG;
	return h->version > HA_WIRE_VERSION ? -EPROTONOSUPPORT : 0;
}

/* ---- records ------------------------------------------------------------- */

static void name_write(struct ha_writer *w, const struct ha_key *key,
		       const struct ha_version *version)
{
	ha_write_uint(w, key->id, 8);
	ha_write_uint(w, key->sub, 2);
	ha_write_uint(w, key->kind, 1);
	ha_write_uint(w, version->epoch, 8);
	ha_write_uint(w, version->generation, 8);
	ha_write_uint(w, version->writer, 1);
}

static void name_read(struct ha_reader *r, struct ha_key *key,
		      struct ha_version *version)
{
	key->id = ha_read_uint(r, 8);
	key->sub = (uint16_t)ha_read_uint(r, 2);
	key->kind = (uint8_t)ha_read_uint(r, 1);
	version->epoch = ha_read_uint(r, 8);
	version->generation = ha_read_uint(r, 8);
	version->writer = (uint8_t)ha_read_uint(r, 1);
	if (version->epoch >= HA_EPOCH_LIMIT ||
	    version->generation >= HA_GENERATION_LIMIT || !version->writer ||
	    version->writer > HA_NODE_MAX)
		r->failed = true;
}

void ha_entry_write(struct ha_writer *w, const struct ha_item *item)
{
	size_t size = item->deleted ? 0 : item->size;

	if (HA_ENTRY_HEAD_BYTES + size > w->capacity - w->size) {
		w->failed = true;
		return;
	}
	ha_write_uint(w, item->deleted ? ENTRY_DELETED : 0, 1);
	name_write(w, &item->key, &item->version);
	ha_write_uint(w, size, 4);
	ha_write_bytes(w, item->value, size);
}

bool ha_entry_read(struct ha_reader *r, struct ha_item *item)
{
	uint64_t flags;

	if (r->failed || r->at == r->size)
		return false;
	memset(item, 0, sizeof(*item));
	flags = ha_read_uint(r, 1);
	name_read(r, &item->key, &item->version);
	item->size = ha_read_uint(r, 4);
	item->deleted = flags & ENTRY_DELETED;
	item->value = ha_read_bytes(r, item->size);
	if (item->deleted) {
		item->value = NULL;
		if (item->size)
			r->failed = true;
	}
	return !r->failed;
}

static void batch_write(struct ha_writer *w, const struct ha_batch *b)
{
	ha_write_uint(w, b->flags, 1);
	ha_write_uint(w, 0, 1);
	ha_write_uint(w, b->count, 2);
	ha_write_bytes(w, b->entries, b->size);
}

static void batch_read(struct ha_reader *r, struct ha_batch *b)
{
	struct ha_item item;
	struct ha_reader walk;
	uint16_t count = 0;

	b->flags = (uint8_t)ha_read_uint(r, 1);
	ha_read_uint(r, 1);
	b->count = (uint16_t)ha_read_uint(r, 2);
	b->size = r->size - r->at;
	b->entries = ha_read_bytes(r, b->size);
	if (r->failed)
		return;
	walk = (struct ha_reader){.data = b->entries, .size = b->size};
	while (ha_entry_read(&walk, &item))
		count++;
	if (walk.failed || count != b->count)
		r->failed = true;
}

static void fragment_write(struct ha_writer *w, const struct ha_fragment *f)
{
	ha_write_uint(w, f->flags, 1);
	ha_write_uint(w, 0, 1);
	name_write(w, &f->key, &f->version);
	ha_write_uint(w, f->total, 4);
	ha_write_uint(w, f->offset, 4);
	ha_write_bytes(w, f->data, f->size);
}

static void fragment_read(struct ha_reader *r, struct ha_fragment *f)
{
	memset(f, 0, sizeof(*f));
	f->flags = (uint8_t)ha_read_uint(r, 1);
	ha_read_uint(r, 1);
	name_read(r, &f->key, &f->version);
	f->total = (uint32_t)ha_read_uint(r, 4);
	f->offset = (uint32_t)ha_read_uint(r, 4);
	f->size = (uint32_t)(r->size - r->at);
	f->data = ha_read_bytes(r, f->size);
	if (!f->size || f->total > HA_VALUE_MAX_BYTES || f->offset > f->total ||
	    f->size > f->total - f->offset)
		r->failed = true;
}

/* ---- control ------------------------------------------------------------- */

static void ack_write(struct ha_writer *w, const struct ha_ack *a)
{
	ha_write_uint(w, a->nonce, 8);
	ha_write_uint(w, a->seq, 8);
	ha_write_uint(w, a->flags, 1);
}

static void ack_read(struct ha_reader *r, struct ha_ack *a)
{
	a->nonce = ha_read_uint(r, 8);
	a->seq = ha_read_uint(r, 8);
	a->flags = (uint8_t)ha_read_uint(r, 1);
}

static void sync_write(struct ha_writer *w, const struct ha_sync *s)
{
	ha_write_uint(w, s->nonce, 8);
	ha_write_uint(w, s->digest, 8);
	ha_write_uint(w, s->count, 8);
	ha_write_uint(w, s->flags, 1);
}

static void sync_read(struct ha_reader *r, struct ha_sync *s)
{
	s->nonce = ha_read_uint(r, 8);
	s->digest = ha_read_uint(r, 8);
	s->count = ha_read_uint(r, 8);
	s->flags = (uint8_t)ha_read_uint(r, 1);
}

/* One table drives both directions of STATUS. */
static const struct {
	uint16_t tag;
	uint8_t bytes; /* 0: a string */
	size_t offset;
	size_t size;
} status_fields[] = {
	{TAG_ROLE, 1, offsetof(struct ha_status, role), sizeof(enum ha_role)},
	{TAG_IN_SYNC, 1, offsetof(struct ha_status, in_sync), sizeof(bool)},
	{TAG_HEALTH, 1, offsetof(struct ha_status, health), 1},
	{TAG_CALLS, 4, offsetof(struct ha_status, calls), 4},
	{TAG_EPOCH, 8, offsetof(struct ha_status, epoch), 8},
	{TAG_ACTIVE_EPOCH, 8, offsetof(struct ha_status, active_epoch), 8},
	{TAG_BOOT_ID, 8, offsetof(struct ha_status, boot_id), 8},
	{TAG_CONFIG_DIGEST, 8, offsetof(struct ha_status, config_digest), 8},
	{TAG_NAME, 0, offsetof(struct ha_status, name), 32},
	{TAG_VERSION, 0, offsetof(struct ha_status, version), 32},
	{TAG_FENCE_HIGH, 8, offsetof(struct ha_status, fence[0]), 8},
	{TAG_FENCE_LOW, 8, offsetof(struct ha_status, fence[1]), 8},
	{TAG_WALL, 8, offsetof(struct ha_status, wall_ms), 8},
	{TAG_CLOCK, 8, offsetof(struct ha_status, clock_ms), 8},
};
enum { STATUS_FIELDS = sizeof(status_fields) / sizeof(status_fields[0]) };

static uint64_t status_get(const void *member, uint16_t tag)
{
	uint64_t u64;
	uint32_t u32;

	switch (tag) {
	case TAG_ROLE:
		return *(const enum ha_role *)member;
	case TAG_IN_SYNC:
		return *(const bool *)member;
	case TAG_HEALTH:
		return *(const uint8_t *)member;
	case TAG_CALLS:
		memcpy(&u32, member, sizeof(u32));
		return u32;
	default:
		memcpy(&u64, member, sizeof(u64));
		return u64;
	}
}

static void status_set(void *member, uint16_t tag, uint64_t value)
{
	uint32_t u32 = (uint32_t)value;

	switch (tag) {
	case TAG_ROLE:
		*(enum ha_role *)member = (enum ha_role)value;
		break;
	case TAG_IN_SYNC:
		*(bool *)member = value != 0;
		break;
	case TAG_HEALTH:
		*(uint8_t *)member = (uint8_t)value;
		break;
	case TAG_CALLS:
		memcpy(member, &u32, sizeof(u32));
		break;
	default:
		memcpy(member, &value, sizeof(value));
	}
}

static void prints_write(struct ha_writer *w, const struct ha_status *s)
{
	size_t len = HA_PRINTS_MAX;

	while (len && !s->prints[len - 1])
		len--;
	if (!len)
		return;
	ha_write_uint(w, TAG_PRINTS, 2);
	ha_write_uint(w, len * sizeof(s->prints[0]), 2);
	for (size_t i = 0; i < len; i++)
		ha_write_uint(w, s->prints[i], sizeof(s->prints[0]));
}

/* A newer release may have room for more. */
static void prints_read(struct ha_reader *r, struct ha_status *s,
			const uint8_t *data, size_t size)
{
	struct ha_reader value = {.data = data, .size = size};

	for (size_t i = 0; i < HA_PRINTS_MAX && value.at < size; i++)
		s->prints[i] = ha_read_uint(&value, sizeof(s->prints[0]));
	if (value.failed)
		r->failed = true;
}

static void status_write(struct ha_writer *w, const struct ha_status *s)
{
	for (int i = 0; i < STATUS_FIELDS; i++) {
		const char *member = (const char *)s + status_fields[i].offset;
		uint16_t tag = status_fields[i].tag;
		size_t size = status_fields[i].bytes;

		if (tag >= TAG_FENCE_HIGH && !status_get(member, tag))
			continue;
		if (!size)
			size = strnlen(member, status_fields[i].size - 1);
		ha_write_uint(w, tag, 2);
		ha_write_uint(w, size, 2);
		if (status_fields[i].bytes)
			ha_write_uint(w, status_get(member, tag),
				      status_fields[i].bytes);
		else
			ha_write_bytes(w, member, size);
	}
	prints_write(w, s);
}

/* Names are shown to people: printable ASCII only, cut to what fits. */
static void status_set_text(char *member, size_t capacity, const uint8_t *data,
			    size_t size)
{
	if (size > capacity - 1)
		size = capacity - 1;
	memset(member, 0, capacity);
	for (size_t i = 0; i < size; i++)
		member[i] =
			data[i] >= 0x20 && data[i] < 0x7f ? (char)data[i] : '?';
}

static void status_read_field(struct ha_reader *r, struct ha_status *s,
			      uint16_t tag, const uint8_t *data, size_t size)
{
	struct ha_reader value = {.data = data, .size = size};

	for (int i = 0; i < STATUS_FIELDS; i++) {
		char *member = (char *)s + status_fields[i].offset;

		if (status_fields[i].tag != tag)
			continue;
		if (!status_fields[i].bytes)
			status_set_text(member, status_fields[i].size, data,
					size);
		else if (size != status_fields[i].bytes)
			r->failed = true;
		else
			status_set(
				member, tag,
				ha_read_uint(&value, status_fields[i].bytes));
	}
}

static void status_read(struct ha_reader *r, struct ha_status *s, uint8_t node)
{
	memset(s, 0, sizeof(*s));
	s->node = node;
	while (!r->failed && r->at < r->size) {
		uint16_t tag = (uint16_t)ha_read_uint(r, 2);
		size_t size = ha_read_uint(r, 2);
		const uint8_t *data = ha_read_bytes(r, size);

		if (data && tag == TAG_PRINTS)
			prints_read(r, s, data, size);
		else if (data)
			status_read_field(r, s, tag, data, size);
	}
	if ((unsigned)s->role >= HA_ROLE_COUNT || s->health > 100 ||
	    s->epoch >= HA_EPOCH_LIMIT || s->active_epoch >= HA_EPOCH_LIMIT)
		r->failed = true;
}

static void command_write(struct ha_writer *w, const struct ha_command_body *c)
{
	ha_write_uint(w, c->command, 2);
	ha_write_uint(w, c->arg, 8);
}

static void command_read(struct ha_reader *r, struct ha_command_body *c)
{
	c->command = (uint16_t)ha_read_uint(r, 2);
	c->arg = ha_read_uint(r, 8);
}

/* ---- whole frames -------------------------------------------------------- */

int ha_frame_decode(struct ha_frame *out, const void *data, size_t size)
{
	struct ha_reader r = {.data = data, .size = size};
	int rc;

	if (size > HA_FRAME_MAX_BYTES)
		return -EBADMSG;
	rc = head_read(&r, &out->head);
	if (rc)
		return rc;
	switch (out->head.type) {
	case HA_FRAME_BATCH:
	case HA_FRAME_SYNC_CHUNK:
		batch_read(&r, &out->batch);
		break;
	case HA_FRAME_FRAGMENT:
		fragment_read(&r, &out->fragment);
		break;
	case HA_FRAME_ACK:
		ack_read(&r, &out->ack);
		break;
	case HA_FRAME_SYNC_REQUEST:
	case HA_FRAME_SYNC_BEGIN:
	case HA_FRAME_SYNC_END:
	case HA_FRAME_RESYNC_REQUEST:
		sync_read(&r, &out->sync);
		break;
	case HA_FRAME_STATUS:
		status_read(&r, &out->status, out->head.node);
		break;
	case HA_FRAME_COMMAND:
		command_read(&r, &out->command);
		break;
	default:
		return -EBADMSG;
	}
	return r.failed ? -EBADMSG : 0;
}

int ha_frame_encode(const struct ha_frame *frame, uint8_t *out, size_t capacity,
		    size_t *size)
{
	struct ha_writer w = {.data = out, .capacity = capacity};

	if (w.capacity > HA_FRAME_MAX_BYTES)
		w.capacity = HA_FRAME_MAX_BYTES;
	ha_head_write(&w, &frame->head);
	switch (frame->head.type) {
	case HA_FRAME_BATCH:
	case HA_FRAME_SYNC_CHUNK:
		batch_write(&w, &frame->batch);
		break;
	case HA_FRAME_FRAGMENT:
		fragment_write(&w, &frame->fragment);
		break;
	case HA_FRAME_ACK:
		ack_write(&w, &frame->ack);
		break;
	case HA_FRAME_SYNC_REQUEST:
	case HA_FRAME_SYNC_BEGIN:
	case HA_FRAME_SYNC_END:
	case HA_FRAME_RESYNC_REQUEST:
		sync_write(&w, &frame->sync);
		break;
	case HA_FRAME_STATUS:
		status_write(&w, &frame->status);
		break;
	case HA_FRAME_COMMAND:
		command_write(&w, &frame->command);
		break;
	default:
		return -EINVAL;
	}
	ha_head_finish(&w);
	if (w.failed)
		return -EMSGSIZE;
	*size = w.size;
	return 0;
}
