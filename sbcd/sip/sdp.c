#include "sbcd/sip/sdp.h"
#include "sbcd/sip/sdp_int.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

static bool is_token_char(char c)
{
	return c > ' ' && c < 0x7f;
}

bool sdp_text_is(struct sdp_text text, const char *word)
{
	return strlen(word) == text.size &&
	       memcmp(text.at, word, text.size) == 0;
}

bool sdp_word(struct sdp_text *rest, struct sdp_text *word)
{
	while (rest->size > 0 && *rest->at == ' ') {
		rest->at++;
		rest->size--;
	}
	word->at = rest->at;
	word->size = 0;
	while (rest->size > 0 && *rest->at != ' ') {
		rest->at++;
		rest->size--;
		word->size++;
	}
	return word->size > 0;
}

bool sdp_number(struct sdp_text text, uint64_t max, uint64_t *out)
{
	uint64_t v = 0;

	if (text.size == 0)
		return false;
	for (size_t i = 0; i < text.size; i++) {
		unsigned digit = (unsigned char)text.at[i] - '0';

		if (digit > 9 || digit > max || v > (max - digit) / 10)
			return false;
		v = v * 10 + digit;
	}
	*out = v;
	return true;
}

static enum sdp_proto proto_kind(struct sdp_text proto)
{
	static const struct {
		const char *name;
		enum sdp_proto kind;
	} known[] = {
		{"RTP/AVP", SDP_RTP_AVP},
		{"RTP/AVPF", SDP_RTP_AVPF},
		{"RTP/SAVP", SDP_RTP_SAVP},
		{"RTP/SAVPF", SDP_RTP_SAVPF},
		{"UDP/TLS/RTP/SAVP", SDP_RTP_DTLS},
		{"UDP/TLS/RTP/SAVPF", SDP_RTP_DTLS},
	};

	for (size_t i = 0; i < sizeof(known) / sizeof(known[0]); i++)
		if (sdp_text_is(proto, known[i].name))
			return known[i].kind;
	return SDP_PROTO_OTHER;
}

/* "49170" or "49170/2" */
static bool parse_port(struct sdp_text text, struct sdp_media *out)
{
	const char *slash = memchr(text.at, '/', text.size);
	struct sdp_text port = text;
	uint64_t v, count = 1;

	if (slash) {
		struct sdp_text rest = {slash + 1, 0};

		port.size = (size_t)(slash - text.at);
		rest.size = text.size - port.size - 1;
		if (!sdp_number(rest, UINT16_MAX, &count) || count == 0)
			return false;
	}
	if (!sdp_number(port, UINT16_MAX, &v))
		return false;
	out->port = (uint16_t)v;
	out->port_count = (uint16_t)count;
	return true;
}

bool sdp_mline_parse(struct sdp_text value, struct sdp_media *out)
{
	struct sdp_text port, word;

	memset(out, 0, sizeof(*out));
	if (!sdp_word(&value, &out->media) || !sdp_word(&value, &port) ||
	    !sdp_word(&value, &out->proto) || !parse_port(port, out))
		return false;
	for (size_t i = 0; i < out->media.size; i++)
		if (!is_token_char(out->media.at[i]))
			return false;
	for (size_t i = 0; i < out->proto.size; i++)
		if (!is_token_char(out->proto.at[i]))
			return false;
	out->kind = proto_kind(out->proto);
	while (value.size > 0 && *value.at == ' ') {
		value.at++;
		value.size--;
	}
	out->formats = value;
	while (sdp_word(&value, &word))
		out->formats_len++;
	return true;
}

/* ---- lines ------------------------------------------------------------- */

struct sdp_text sdp_line_text(const struct sdp *sdp, unsigned line)
{
	const struct sdp_line *l = &sdp->lines[line];

	return (struct sdp_text){sdp->pool + l->at, l->size};
}

struct sdp_text sdp_line_value(const struct sdp *sdp, unsigned line)
{
	struct sdp_text t = sdp_line_text(sdp, line);

	if (sdp->lines[line].type) {
		t.at += 2;
		t.size -= 2;
	}
	return t;
}

bool sdp_section(const struct sdp *sdp, unsigned section, struct sdp_range *out)
{
	unsigned next = section + 1; /* SDP_SESSION + 1 == 0 */

	if (section != SDP_SESSION && section >= sdp->media_len)
		return false;
	out->begin = section == SDP_SESSION ? 0 : sdp->media_first[section];
	out->end =
		next < sdp->media_len ? sdp->media_first[next] : sdp->lines_len;
	return true;
}

int sdp_line_find(const struct sdp *sdp, const struct sdp_range *range,
		  unsigned from, char type)
{
	for (unsigned i = from; i < range->end; i++)
		if (sdp->lines[i].type == type)
			return (int)i;
	return -1;
}

bool sdp_line_get(const struct sdp *sdp, unsigned section, char type,
		  struct sdp_text *out)
{
	struct sdp_range range;
	int line;

	if (!sdp_section(sdp, section, &range))
		return false;
	line = sdp_line_find(sdp, &range, range.begin, type);
	if (line < 0)
		return false;
	*out = sdp_line_value(sdp, (unsigned)line);
	return true;
}

static char line_type(struct sdp_text text)
{
	char c = text.size > 1 && text.at[1] == '=' ? text.at[0] : 0;

	return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') ? c : 0;
}

/* ---- parsing ----------------------------------------------------------- */

static int refuse(struct sdp_error *err, enum sdp_reason reason, unsigned line)
{
	if (err)
		*err = (struct sdp_error){reason, line};
	switch (reason) {
	case SDP_NO_MEMORY:
		return -ENOMEM;
	case SDP_TOO_BIG:
	case SDP_TOO_MANY_LINES:
	case SDP_TOO_MANY_MEDIA:
		return -E2BIG;
	default:
		return -EINVAL;
	}
}

static enum sdp_reason add_line(struct sdp *sdp, size_t at, size_t size)
{
	struct sdp_text text = {sdp->pool + at, size};
	struct sdp_media media;
	char type = line_type(text);

	if (memchr(text.at, '\r', size))
		return SDP_BARE_CR;
	if (sdp->lines_len == SDP_LINES_MAX)
		return SDP_TOO_MANY_LINES;
	sdp->lines[sdp->lines_len] = (struct sdp_line){
		.at = (uint32_t)at,
		.size = (uint32_t)size,
		.room = (uint32_t)size,
		.type = type,
	};
	if (type == 'm') {
		if (sdp->media_len == SDP_MEDIA_MAX)
			return SDP_TOO_MANY_MEDIA;
		if (!sdp_mline_parse(sdp_line_value(sdp, sdp->lines_len),
				     &media))
			return SDP_BAD_MEDIA;
		sdp->media_first[sdp->media_len++] = sdp->lines_len;
	}
	sdp->lines_len++;
	return SDP_OK;
}

static enum sdp_reason index_lines(struct sdp *sdp)
{
	size_t at = 0;

	while (at < sdp->pool_size) {
		const char *line = sdp->pool + at;
		const char *nl = memchr(line, '\n', sdp->pool_size - at);
		size_t size = nl ? (size_t)(nl - line) : sdp->pool_size - at;
		size_t next = at + size + 1;
		enum sdp_reason reason;

		if (nl && size > 0 && line[size - 1] == '\r')
			size--;
		reason = add_line(sdp, at, size);
		if (reason)
			return reason;
		at = next;
	}
	return SDP_OK;
}

static size_t count_lines(const char *buf, size_t size)
{
	size_t n = 1;

	for (const char *p = buf;
	     (p = memchr(p, '\n', size - (size_t)(p - buf))); p++)
		n++;
	return n < SDP_LINES_MAX ? n : SDP_LINES_MAX;
}

static struct sdp *sdp_alloc(const char *buf, size_t size)
{
	struct sdp *sdp = calloc(1, sizeof(*sdp));

	if (!sdp)
		return NULL;
	/* Room for the edits of an ordinary relay. */
	sdp->pool_capacity = size + 1024;
	sdp->lines_capacity = (unsigned)count_lines(buf, size) + 16;
	sdp->pool = malloc(sdp->pool_capacity);
	sdp->lines = calloc(sdp->lines_capacity, sizeof(*sdp->lines));
	if (!sdp->pool || !sdp->lines) {
		sdp_destroy(sdp);
		return NULL;
	}
	memcpy(sdp->pool, buf, size);
	sdp->pool_size = size;
	return sdp;
}

static bool version_is_0(const struct sdp *sdp)
{
	struct sdp_text rest = sdp_line_value(sdp, 0), word, more;

	return sdp->lines[0].type == 'v' && sdp_word(&rest, &word) &&
	       sdp_text_is(word, "0") && !sdp_word(&rest, &more);
}

int sdp_parse(struct sdp **out, const char *buf, size_t size,
	      struct sdp_error *err)
{
	enum sdp_reason reason;
	unsigned line = 0;
	struct sdp *sdp;

	if (size == 0)
		return refuse(err, SDP_EMPTY, 0);
	if (size > SDP_SIZE_MAX)
		return refuse(err, SDP_TOO_BIG, 0);
	if (memchr(buf, '\0', size))
		return refuse(err, SDP_NUL, 0);
	sdp = sdp_alloc(buf, size);
	if (!sdp)
		return refuse(err, SDP_NO_MEMORY, 0);
	reason = index_lines(sdp);
	if (reason)
		line = sdp->lines_len + 1;
	else if (!version_is_0(sdp))
		reason = SDP_NO_VERSION, line = 1;
	if (reason) {
		sdp_destroy(sdp);
		return refuse(err, reason, line);
	}
	if (err)
		*err = (struct sdp_error){SDP_OK, 0};
	*out = sdp;
	return 0;
}

void sdp_destroy(struct sdp *sdp)
{
	if (!sdp)
		return;
	/* It may hold SRTP master keys (a=crypto). */
	if (sdp->pool)
		explicit_bzero(sdp->pool, sdp->pool_capacity);
	free(sdp->pool);
	free(sdp->lines);
	free(sdp);
}

const char *sdp_reason_text(enum sdp_reason reason)
{
	switch (reason) {
	case SDP_OK:
		return "ok";
	case SDP_EMPTY:
		return "empty description";
	case SDP_TOO_BIG:
		return "description over 65536 bytes";
	case SDP_NUL:
		return "NUL byte in description";
	case SDP_BARE_CR:
		return "carriage return inside a line";
	case SDP_TOO_MANY_LINES:
		return "too many lines";
	case SDP_TOO_MANY_MEDIA:
		return "too many media descriptions";
	case SDP_NO_VERSION:
		return "does not begin with v=0";
	case SDP_BAD_MEDIA:
		return "malformed m= line";
	case SDP_NO_MEMORY:
		return "out of memory";
	}
	return "unknown reason";
}

/* ---- printing, comparing ----------------------------------------------- */

size_t sdp_printed_size(const struct sdp *sdp)
{
	size_t size = 0;

	for (unsigned i = 0; i < sdp->lines_len; i++)
		size += sdp->lines[i].size + 2;
	return size;
}

ssize_t sdp_print(const struct sdp *sdp, char *buf, size_t size)
{
	char *p = buf;

	if (sdp_printed_size(sdp) > size)
		return -ENOSPC;
	for (unsigned i = 0; i < sdp->lines_len; i++) {
		struct sdp_text line = sdp_line_text(sdp, i);

		memcpy(p, line.at, line.size);
		p += line.size;
		*p++ = '\r';
		*p++ = '\n';
	}
	return p - buf;
}

static bool text_same(struct sdp_text a, struct sdp_text b)
{
	return a.size == b.size && memcmp(a.at, b.at, a.size) == 0;
}

/* "o=user id version …": all but the third word. */
static bool origin_same(struct sdp_text a, struct sdp_text b)
{
	struct sdp_text wa, wb;

	for (unsigned i = 0; i < 2; i++)
		if (!sdp_word(&a, &wa) || !sdp_word(&b, &wb) ||
		    !text_same(wa, wb))
			return false;
	return sdp_word(&a, &wa) && sdp_word(&b, &wb) && text_same(a, b);
}

bool sdp_same(const struct sdp *a, const struct sdp *b)
{
	if (a->lines_len != b->lines_len)
		return false;
	for (unsigned i = 0; i < a->lines_len; i++) {
		struct sdp_text la = sdp_line_text(a, i);
		struct sdp_text lb = sdp_line_text(b, i);

		if (text_same(la, lb))
			continue;
		if (a->lines[i].type != 'o' || b->lines[i].type != 'o' ||
		    !origin_same(la, lb))
			return false;
	}
	return true;
}
