#include "sbcd/record/record.h"

#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#include "sbcd/record/fields.h"

/*
 * value   = *field
 * field   = varint(tag << 1 | form) payload
 * payload = varint               (form 0: integers)
 *         | varint(size) bytes   (form 1: the rest)
 * array   = *(varint(size) value)  inside one form-1 payload
 * address = family, port (2), 4 or 16 bytes
 * The form is on the wire so that a reader can skip what it does not know.
 */
enum { FORM_INT = 0, FORM_BLOB = 1 };

static bool is_int(uint8_t type)
{
	return type <= RT_BOOL;
}

/* Every RT_BYTES member begins with its size. */
static size_t bytes_bound(const struct record_field *f)
{
	return f->size - sizeof(uint32_t);
}

static uint16_t array_len(const struct record_field *f, const void *record)
{
	uint16_t len;

	memcpy(&len, (const char *)record + f->len_offset, sizeof(len));
	return len;
}

/* ---- encode ----------------------------------------------------------------
 */

static uint64_t load_int(uint8_t type, const void *p)
{
	switch (type) {
	case RT_U8:
		return *(const uint8_t *)p;
	case RT_U16:
		return *(const uint16_t *)p;
	case RT_U32:
		return *(const uint32_t *)p;
	case RT_U64:
		return *(const uint64_t *)p;
	default:
		return *(const bool *)p;
	}
}

static void put_tag(struct buf *out, const struct record_field *f)
{
	buf_put_varint(out, (uint64_t)f->tag << 1 |
				    (is_int(f->type) ? FORM_INT : FORM_BLOB));
}

static void put_blob(struct buf *out, const struct record_field *f,
		     const void *data, size_t size)
{
	if (!size)
		return;
	put_tag(out, f);
	buf_put_varint(out, size);
	buf_put(out, data, size);
}

static int put_addr(struct buf *out, const struct record_field *f,
		    const struct addr *a)
{
	size_t ip = a->family == ADDR_V4 ? 4 : 16;

	if (a->family == ADDR_NONE)
		return 0;
	if (a->family != ADDR_V4 && a->family != ADDR_V6)
		return -EINVAL;
	put_tag(out, f);
	buf_put_varint(out, 3 + ip);
	buf_put_u8(out, a->family);
	buf_put_u16(out, a->port);
	buf_put(out, a->ip, ip);
	return 0;
}

static int put_fields(struct buf *out, const struct record_field *fields,
		      const void *record);

/* Opens a gap for varint(size) in front of what was appended since `at`. */
static void insert_size(struct buf *out, size_t at)
{
	size_t size, head;

	if (out->failed)
		return;
	size = out->size - at;
	buf_put_varint(out, size);
	if (out->failed)
		return;
	head = out->size - at - size;
	uint8_t raw[10];

	memcpy(raw, out->data + at + size, head);
	memmove(out->data + at + head, out->data + at, size);
	memcpy(out->data + at, raw, head);
}

static int put_array(struct buf *out, const struct record_field *f,
		     const void *record)
{
	uint16_t len = array_len(f, record);
	const char *element = (const char *)record + f->offset;
	size_t start, at;

	if (len > f->max)
		return -EINVAL;
	if (!len)
		return 0;
	put_tag(out, f);
	start = out->size;
	for (uint16_t i = 0; i < len; i++, element += f->size) {
		int err;

		at = out->size;
		err = put_fields(out, f->fields, element);
		if (err)
			return err;
		insert_size(out, at);
	}
	insert_size(out, start);
	return 0;
}

static int put_field(struct buf *out, const struct record_field *f,
		     const void *record)
{
	const void *p = (const char *)record + f->offset;
	uint64_t v;
	uint32_t size;

	switch (f->type) {
	case RT_STR: {
		size_t len = strnlen(p, f->size);

		if (len == f->size)
			return -EINVAL;
		put_blob(out, f, p, len);
		return 0;
	}
	case RT_BYTES:
		memcpy(&size, p, sizeof(size));
		if (size > bytes_bound(f))
			return -EINVAL;
		put_blob(out, f, (const char *)p + sizeof(size), size);
		return 0;
	case RT_ADDR:
		return put_addr(out, f, p);
	case RT_ARRAY:
		return put_array(out, f, record);
	default:
		v = load_int(f->type, p);
		if (v) {
			put_tag(out, f);
			buf_put_varint(out, v);
		}
		return 0;
	}
}

static int put_fields(struct buf *out, const struct record_field *fields,
		      const void *record)
{
	for (const struct record_field *f = fields; f->tag; f++) {
		int err = put_field(out, f, record);

		if (err)
			return err;
	}
	return 0;
}

int record_encode(uint8_t kind, const void *record, struct buf *out)
{
	const struct record_kind_info *info = record_kind_info(kind);
	int err;

	if (!info)
		return -EINVAL;
	err = put_fields(out, info->fields, record);
	if (err)
		return err;
	return out->failed ? -ENOMEM : 0;
}

/* ---- decode ----------------------------------------------------------------
 */

static bool store_int(uint8_t type, void *p, uint64_t v)
{
	switch (type) {
	case RT_U8:
		*(uint8_t *)p = (uint8_t)v;
		return v <= UINT8_MAX;
	case RT_U16:
		*(uint16_t *)p = (uint16_t)v;
		return v <= UINT16_MAX;
	case RT_U32:
		*(uint32_t *)p = (uint32_t)v;
		return v <= UINT32_MAX;
	case RT_U64:
		*(uint64_t *)p = v;
		return true;
	default:
		*(bool *)p = v != 0;
		return v <= 1;
	}
}

static bool get_addr(struct addr *a, const uint8_t *data, size_t size)
{
	struct reader r;
	uint8_t family;
	const void *ip;

	reader_init(&r, data, size);
	family = reader_u8(&r);
	if (size != (family == ADDR_V4 ? 7u : 19u) ||
	    (family != ADDR_V4 && family != ADDR_V6))
		return false;
	a->family = family;
	a->port = reader_u16(&r);
	ip = reader_bytes(&r, size - 3);
	if (!ip)
		return false;
	memcpy(a->ip, ip, size - 3);
	return true;
}

static int get_fields(struct reader *r, const struct record_field *fields,
		      void *record);

static int get_array(const struct record_field *f, void *record,
		     const uint8_t *data, size_t size)
{
	char *element = (char *)record + f->offset;
	struct reader r, one;
	uint16_t len = 0;

	reader_init(&r, data, size);
	while (reader_left(&r)) {
		size_t n = reader_varint(&r);
		const void *p = reader_bytes(&r, n);

		if (!p || len == f->max)
			return -EBADMSG;
		reader_init(&one, p, n);
		if (get_fields(&one, f->fields, element))
			return -EBADMSG;
		element += f->size;
		len++;
	}
	if (r.failed)
		return -EBADMSG;
	memcpy((char *)record + f->len_offset, &len, sizeof(len));
	return 0;
}

static int get_blob(const struct record_field *f, void *record,
		    const uint8_t *data, size_t size)
{
	char *p = (char *)record + f->offset;
	uint32_t n = (uint32_t)size;

	switch (f->type) {
	case RT_STR:
		if (size >= f->size || memchr(data, 0, size))
			return -EBADMSG;
		memcpy(p, data, size);
		p[size] = '\0';
		return 0;
	case RT_BYTES:
		if (size > bytes_bound(f))
			return -EBADMSG;
		memcpy(p, &n, sizeof(n));
		memcpy(p + sizeof(n), data, size);
		return 0;
	case RT_ADDR:
		return get_addr((struct addr *)p, data, size) ? 0 : -EBADMSG;
	default:
		return get_array(f, record, data, size);
	}
}

/* Tags come in table order nearly always: start where the last one was. */
static const struct record_field *find(const struct record_field *fields,
				       const struct record_field *hint,
				       uint64_t tag)
{
	for (const struct record_field *f = hint; f->tag; f++)
		if (f->tag == tag)
			return f;
	for (const struct record_field *f = fields; f != hint; f++)
		if (f->tag == tag)
			return f;
	return NULL;
}

static int get_fields(struct reader *r, const struct record_field *fields,
		      void *record)
{
	const struct record_field *hint = fields;
	uint64_t seen = 0;

	while (reader_left(r)) {
		uint64_t head = reader_varint(r);
		uint64_t v = reader_varint(r);
		const struct record_field *f = find(fields, hint, head >> 1);
		const void *data = NULL;

		if ((head & 1) == FORM_BLOB)
			data = reader_bytes(r, v);
		if (r->failed || !(head >> 1))
			return -EBADMSG;
		if (!f)
			continue;
		hint = f;
		/* A field that comes twice has no meaning we could agree on. */
		if (is_int(f->type) != !data || seen >> (f - fields) & 1)
			return -EBADMSG;
		seen |= 1ull << (f - fields);
		if (data) {
			if (get_blob(f, record, data, v))
				return -EBADMSG;
		} else if (!store_int(f->type, (char *)record + f->offset, v)) {
			return -EBADMSG;
		}
	}
	return r->failed ? -EBADMSG : 0;
}

/* All but the contents of byte members, which are what makes structs large. */
static void clear(const struct record_kind_info *info, char *record)
{
	size_t from = 0;

	for (const struct record_field *f = info->fields; f->tag; f++) {
		if (f->type != RT_BYTES)
			continue;
		memset(record + from, 0, f->offset + sizeof(uint32_t) - from);
		from = f->offset + f->size;
	}
	memset(record + from, 0, info->size - from);
}

int record_decode(uint8_t kind, const void *value, size_t size, void *record)
{
	const struct record_kind_info *info = record_kind_info(kind);
	struct reader r;

	if (!info)
		return -EBADMSG;
	clear(info, record);
	reader_init(&r, value, size);
	return get_fields(&r, info->fields, record);
}

const char *record_key_format(const struct ha_key *key, char *buf, size_t size)
{
	const struct record_kind_info *info = record_kind_info(key->kind);

	if (info)
		snprintf(buf, size, "%s/%016" PRIx64 "/%u", info->name, key->id,
			 key->sub);
	else
		snprintf(buf, size, "kind%u/%016" PRIx64 "/%u", key->kind,
			 key->id, key->sub);
	return buf;
}
