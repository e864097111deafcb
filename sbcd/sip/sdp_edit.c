#include "sbcd/sip/sdp_edit.h"
#include "sbcd/sip/sdp_int.h"

#include <assert.h>
#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { SHORT_LINE = 256 };

/* ---- pool and line table ----------------------------------------------- */

static int pool_reserve(struct sdp *sdp, size_t more)
{
	size_t want = sdp->pool_size + more, capacity = sdp->pool_capacity;
	char *pool;

	if (want > SDP_POOL_MAX)
		return -ENOSPC;
	if (want <= capacity)
		return 0;
	while (capacity < want)
		capacity *= 2;
	/* Not realloc(): it would leave keys behind in freed memory. */
	pool = malloc(capacity);
	if (!pool)
		return -ENOMEM;
	memcpy(pool, sdp->pool, sdp->pool_size);
	explicit_bzero(sdp->pool, sdp->pool_capacity);
	free(sdp->pool);
	sdp->pool = pool;
	sdp->pool_capacity = capacity;
	return 0;
}

int sdp_line_splice(struct sdp *sdp, unsigned line, size_t at, size_t del,
		    const char *ins, size_t ins_size)
{
	struct sdp_line *l = &sdp->lines[line];
	size_t tail = l->size - at - del, size = at + ins_size + tail;
	char *from, *to;
	int rc;

	assert(at + del <= l->size);
	if (size > l->room) {
		rc = pool_reserve(sdp, size);
		if (rc)
			return rc;
		from = sdp->pool + l->at;
		to = sdp->pool + sdp->pool_size;
		memcpy(to, from, at);
		l->at = (uint32_t)sdp->pool_size;
		l->room = (uint32_t)size;
		sdp->pool_size += size;
	} else {
		from = to = sdp->pool + l->at;
	}
	memmove(to + at + ins_size, from + at + del, tail);
	memcpy(to + at, ins, ins_size);
	l->size = (uint32_t)size;
	return 0;
}

static int lines_reserve(struct sdp *sdp, unsigned more)
{
	unsigned capacity = sdp->lines_capacity + 64 + more;
	struct sdp_line *lines;

	if (sdp->lines_len + more > SDP_EDITED_LINES_MAX)
		return -ENOSPC;
	if (sdp->lines_len + more <= sdp->lines_capacity)
		return 0;
	lines = realloc(sdp->lines, capacity * sizeof(*lines));
	if (!lines)
		return -ENOMEM;
	sdp->lines = lines;
	sdp->lines_capacity = capacity;
	return 0;
}

int sdp_line_insert(struct sdp *sdp, unsigned section, unsigned line,
		    const char *text, size_t size)
{
	struct sdp_line *l;
	int rc = lines_reserve(sdp, 1);

	if (!rc)
		rc = pool_reserve(sdp, size);
	if (rc)
		return rc;
	l = &sdp->lines[line];
	memmove(l + 1, l, (sdp->lines_len - line) * sizeof(*l));
	*l = (struct sdp_line){
		.at = (uint32_t)sdp->pool_size,
		.size = (uint32_t)size,
		.room = (uint32_t)size,
		.type = text[0],
		.ours = true,
	};
	memcpy(sdp->pool + sdp->pool_size, text, size);
	sdp->pool_size += size;
	sdp->lines_len++;
	for (unsigned m = section + 1; m < sdp->media_len; m++)
		sdp->media_first[m]++;
	return 0;
}

void sdp_sweep(struct sdp *sdp)
{
	unsigned kept = 0, m = 0;

	for (unsigned i = 0; i < sdp->lines_len; i++) {
		struct sdp_line line = sdp->lines[i];

		if (m < sdp->media_len && sdp->media_first[m] == i)
			sdp->media_first[m++] = kept;
		else if (line.drop)
			continue;
		line.drop = false;
		sdp->lines[kept++] = line;
	}
	sdp->lines_len = kept;
}

/* ---- setting a line by type -------------------------------------------- */

/* RFC 8866 section 5. What it does not know stays where it is. */
static unsigned rank(char type)
{
	static const char order[] = "vosiuepcbtrzka";
	const char *p = type ? strchr(order, type) : NULL;

	return p ? (unsigned)(p - order) : 0;
}

static unsigned insert_position(const struct sdp *sdp,
				const struct sdp_range *range, char type)
{
	unsigned at = range->begin + 1; /* after v= or m= */

	if (type == 'a')
		return range->end;
	while (at < range->end && rank(sdp->lines[at].type) <= rank(type))
		at++;
	return at;
}

/* Replaces the first line of text[0]'s type in a section, drops the others. */
static int set_line(struct sdp *sdp, unsigned section, const char *text)
{
	struct sdp_range range;
	size_t size = strlen(text);
	int line, rc;

	if (!sdp_section(sdp, section, &range))
		return -ERANGE;
	line = sdp_line_find(sdp, &range, range.begin, text[0]);
	if (line < 0)
		return sdp_line_insert(sdp, section,
				       insert_position(sdp, &range, text[0]),
				       text, size);
	rc = sdp_line_splice(sdp, (unsigned)line, 0, sdp->lines[line].size,
			     text, size);
	if (rc)
		return rc;
	sdp->lines[line].ours = true;
	while ((line = sdp_line_find(sdp, &range, (unsigned)line + 1,
				     text[0])) >= 0)
		sdp->lines[line].drop = true;
	sdp_sweep(sdp);
	return 0;
}

static const char *format_connection(const struct addr *a, char *buf,
				     size_t size)
{
	char ip[ADDR_TEXT_SIZE];

	snprintf(buf, size, "IN IP%c %s", a->family == ADDR_V6 ? '6' : '4',
		 addr_format_ip(a, ip, sizeof(ip)));
	return buf;
}

int sdp_set_origin(struct sdp *sdp, uint64_t id, uint64_t version,
		   const struct addr *address)
{
	char line[SHORT_LINE], c[SHORT_LINE / 2];

	snprintf(line, sizeof(line), "o=- %" PRIu64 " %" PRIu64 " %s", id,
		 version, format_connection(address, c, sizeof(c)));
	return set_line(sdp, SDP_SESSION, line);
}

static bool is_one_line(const char *text)
{
	return text[strcspn(text, "\r\n")] == '\0';
}

int sdp_set_session_name(struct sdp *sdp, const char *name)
{
	char line[SHORT_LINE];
	int n = snprintf(line, sizeof(line), "s=%s", name);

	if (n < 0 || n >= (int)sizeof(line) || !is_one_line(name))
		return -EINVAL;
	return set_line(sdp, SDP_SESSION, line);
}

int sdp_complete(struct sdp *sdp)
{
	struct sdp_text value;
	int rc = 0;

	if (!sdp_line_get(sdp, SDP_SESSION, 's', &value))
		rc = set_line(sdp, SDP_SESSION, "s=-");
	if (!rc && !sdp_line_get(sdp, SDP_SESSION, 't', &value))
		rc = set_line(sdp, SDP_SESSION, "t=0 0");
	return rc;
}

int sdp_set_connection(struct sdp *sdp, unsigned section,
		       const struct addr *address)
{
	char line[SHORT_LINE], c[SHORT_LINE / 2];

	snprintf(line, sizeof(line), "c=%s",
		 format_connection(address, c, sizeof(c)));
	return set_line(sdp, section, line);
}

/* ---- m= ---------------------------------------------------------------- */

static int set_mline_word(struct sdp *sdp, unsigned m, unsigned word_no,
			  const char *text)
{
	struct sdp_text rest, word, line;

	if (m >= sdp->media_len)
		return -ERANGE;
	line = sdp_line_text(sdp, sdp->media_first[m]);
	rest = sdp_line_value(sdp, sdp->media_first[m]);
	for (unsigned i = 0; i <= word_no; i++)
		if (!sdp_word(&rest, &word))
			return -ERANGE;
	return sdp_line_splice(sdp, sdp->media_first[m],
			       (size_t)(word.at - line.at), word.size, text,
			       strlen(text));
}

int sdp_media_set_port(struct sdp *sdp, unsigned m, uint16_t port)
{
	char text[8];

	snprintf(text, sizeof(text), "%u", port);
	return set_mline_word(sdp, m, 1, text);
}

int sdp_media_set_proto(struct sdp *sdp, unsigned m, const char *proto)
{
	if (!*proto || strpbrk(proto, " \t\r\n"))
		return -EINVAL;
	return set_mline_word(sdp, m, 2, proto);
}

int sdp_media_reject(struct sdp *sdp, unsigned m)
{
	struct sdp_range range;
	int rc = sdp_media_set_port(sdp, m, 0);

	if (rc || !sdp_section(sdp, m, &range))
		return rc;
	for (unsigned i = range.begin + 1; i < range.end; i++)
		sdp->lines[i].drop = true;
	sdp_sweep(sdp);
	return 0;
}

int sdp_media_copy(struct sdp *sdp, unsigned m)
{
	struct sdp_range range;
	struct sdp_line *to;
	size_t size = 0;
	unsigned n;
	int rc;

	if (m == SDP_SESSION || !sdp_section(sdp, m, &range))
		return -ERANGE;
	if (sdp->media_len == SDP_MEDIA_MAX)
		return -ENOSPC;
	n = range.end - range.begin;
	for (unsigned i = range.begin; i < range.end; i++)
		size += sdp->lines[i].size;
	rc = lines_reserve(sdp, n);
	if (!rc)
		rc = pool_reserve(sdp, size);
	if (rc)
		return rc;
	to = &sdp->lines[range.end];
	memmove(to + n, to, (sdp->lines_len - range.end) * sizeof(*to));
	sdp->lines_len += n;
	/* Text of its own: an edit in place changes one of them. */
	for (unsigned i = 0; i < n; i++) {
		to[i] = sdp->lines[range.begin + i];
		memcpy(sdp->pool + sdp->pool_size, sdp->pool + to[i].at,
		       to[i].size);
		to[i].at = (uint32_t)sdp->pool_size;
		to[i].room = to[i].size;
		sdp->pool_size += to[i].size;
	}
	for (unsigned i = sdp->media_len; i > m + 1; i--)
		sdp->media_first[i] = sdp->media_first[i - 1] + n;
	sdp->media_first[m + 1] = range.end;
	sdp->media_len++;
	return 0;
}

void sdp_media_remove(struct sdp *sdp, unsigned m)
{
	struct sdp_range range;
	unsigned n;

	if (m == SDP_SESSION || !sdp_section(sdp, m, &range))
		return;
	n = range.end - range.begin;
	memmove(&sdp->lines[range.begin], &sdp->lines[range.end],
		(sdp->lines_len - range.end) * sizeof(*sdp->lines));
	sdp->lines_len -= n;
	sdp->media_len--;
	for (unsigned i = m; i < sdp->media_len; i++)
		sdp->media_first[i] = sdp->media_first[i + 1] - n;
}

/* ---- a= ---------------------------------------------------------------- */

int sdp_attr_add(struct sdp *sdp, unsigned section, const char *name,
		 const char *value)
{
	size_t size = strlen("a=:") + strlen(name) + strlen(value ? value : "");
	struct sdp_range range;
	char *line;
	int rc;

	if (!sdp_section(sdp, section, &range))
		return -ERANGE;
	if (!is_one_line(name) || (value && !is_one_line(value)))
		return -EINVAL;
	if (size > SDP_SIZE_MAX)
		return -ENOSPC;
	line = malloc(size + 1);
	if (!line)
		return -ENOMEM;
	snprintf(line, size + 1, "a=%s%s%s", name, value ? ":" : "",
		 value ? value : "");
	rc = sdp_line_insert(sdp, section, range.end, line, strlen(line));
	explicit_bzero(line, size);
	free(line);
	return rc;
}

unsigned sdp_attr_remove(struct sdp *sdp, unsigned section, const char *name)
{
	struct sdp_range range;
	struct sdp_text value;
	unsigned iter = 0, n = 0;

	if (!sdp_section(sdp, section, &range))
		return 0;
	for (; sdp_attr_next(sdp, section, name, &iter, &value); n++)
		sdp->lines[range.begin + iter - 1].drop = true;
	if (n)
		sdp_sweep(sdp);
	return n;
}

/* The first of `names` becomes `text`, the others go; else it is added. */
static int set_attr(struct sdp *sdp, unsigned m, const char *const *names,
		    const char *text)
{
	struct sdp_range range;
	struct sdp_text value;
	unsigned first = UINT32_MAX;
	int rc;

	if (m == SDP_SESSION || !sdp_section(sdp, m, &range))
		return -ERANGE;
	for (unsigned i = 0; names[i]; i++) {
		unsigned iter = 0;

		while (sdp_attr_next(sdp, m, names[i], &iter, &value)) {
			sdp->lines[range.begin + iter - 1].drop = true;
			if (range.begin + iter - 1 < first)
				first = range.begin + iter - 1;
		}
	}
	if (first == UINT32_MAX)
		return sdp_line_insert(sdp, m, range.end, text, strlen(text));
	rc = sdp_line_splice(sdp, first, 0, sdp->lines[first].size, text,
			     strlen(text));
	if (rc) {
		for (unsigned i = range.begin; i < range.end; i++)
			sdp->lines[i].drop = false;
		return rc;
	}
	sdp->lines[first].ours = true;
	sdp->lines[first].drop = false;
	sdp_sweep(sdp);
	return 0;
}

int sdp_media_set_rtcp(struct sdp *sdp, unsigned m, uint16_t port,
		       const struct addr *address)
{
	static const char *const names[] = {"rtcp", NULL};
	char line[SHORT_LINE], c[SHORT_LINE / 2] = "";

	if (address)
		format_connection(address, c, sizeof(c));
	snprintf(line, sizeof(line), "a=rtcp:%u%s%s", port, *c ? " " : "", c);
	return set_attr(sdp, m, names, line);
}

int sdp_media_set_direction(struct sdp *sdp, unsigned m,
			    enum sdp_direction direction)
{
	static const char *const names[] = {"inactive", "sendonly", "recvonly",
					    "sendrecv", NULL};
	char line[32];

	snprintf(line, sizeof(line), "a=%s", names[direction & 3]);
	return set_attr(sdp, m, names, line);
}
