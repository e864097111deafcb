#include "sbcd/record/record.h"

#include <stdlib.h>
#include <string.h>

#include "sbcd/base/addr.h"
#include "sbcd/base/mask.h"

/* Not everything that arrives is UTF-8, and JSON must be. */
static json_t *text_json(const char *data, size_t size)
{
	char *copy = malloc(size + 1);
	json_t *v;

	if (!copy)
		return NULL;
	copy[0] = '\0';
	if (size)
		memcpy(copy, data, size);
	size = mask_keys(copy, size);
	v = json_stringn(copy, size);
	if (!v) {
		for (size_t i = 0; i < size; i++)
			if (copy[i] & 0x80)
				copy[i] = '?';
		v = json_stringn(copy, size);
	}
	explicit_bzero(copy, size);
	free(copy);
	return v;
}

static json_t *fields_json(const struct record_field *fields,
			   const void *record);

static json_t *array_json(const struct record_field *f, const void *record)
{
	const char *element = (const char *)record + f->offset;
	json_t *list = json_array();
	uint16_t len;

	if (!list)
		return NULL;
	memcpy(&len, (const char *)record + f->len_offset, sizeof(len));
	for (uint16_t i = 0; i < len && i < f->max; i++) {
		json_t *v = fields_json(f->fields, element + i * f->size);

		if (!v || json_array_append_new(list, v)) {
			json_decref(list);
			return NULL;
		}
	}
	return list;
}

static json_t *bytes_json(const struct record_field *f, const char *p)
{
	uint32_t size;

	memcpy(&size, p, sizeof(size));
	if (size > f->size - sizeof(size))
		size = (uint32_t)(f->size - sizeof(size));
	return text_json(p + sizeof(size), size);
}

static json_t *field_json(const struct record_field *f, const void *record)
{
	const char *p = (const char *)record + f->offset;
	char text[ADDR_TEXT_SIZE];

	if (f->flags & RECORD_SECRET)
		return json_string("***");
	switch (f->type) {
	case RT_U8:
		return json_integer(*(const uint8_t *)p);
	case RT_U16:
		return json_integer(*(const uint16_t *)(const void *)p);
	case RT_U32:
		return json_integer(*(const uint32_t *)(const void *)p);
	case RT_U64:
		return json_integer((json_int_t) *
				    (const uint64_t *)(const void *)p);
	case RT_BOOL:
		return json_boolean(*(const bool *)p);
	case RT_STR:
		return text_json(p, strnlen(p, f->size));
	case RT_BYTES:
		return bytes_json(f, p);
	case RT_ADDR:
		addr_format((const struct addr *)(const void *)p, text,
			    sizeof(text));
		return json_string(text);
	default:
		return array_json(f, record);
	}
}

static json_t *fields_json(const struct record_field *fields,
			   const void *record)
{
	json_t *o = json_object();

	if (!o)
		return NULL;
	for (const struct record_field *f = fields; f->tag; f++) {
		json_t *v = field_json(f, record);

		if (!v || json_object_set_new(o, f->name, v)) {
			json_decref(o);
			return NULL;
		}
	}
	return o;
}

json_t *record_to_json(uint8_t kind, const void *record)
{
	const struct record_kind_info *info = record_kind_info(kind);

	return info ? fields_json(info->fields, record) : NULL;
}
