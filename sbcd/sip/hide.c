#include "sbcd/sip/hide.h"

#include <arpa/inet.h>
#include <errno.h>
#include <string.h>
#include <strings.h>

enum { V6_TEXT_MAX = 45 };

static bool is_digit(char c)
{
	return c >= '0' && c <= '9';
}

static bool is_hex(char c)
{
	return is_digit(c) || (c >= 'a' && c <= 'f') || (c >= 'A' && c <= 'F');
}

static bool is_alnum(char c)
{
	return is_digit(c) || (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z');
}

static bool is_v4_char(char c)
{
	return is_digit(c) || c == '.';
}

static bool is_v6_char(char c)
{
	return is_hex(c) || c == ':' || c == '.';
}

static bool is_name_char(char c)
{
	return is_alnum(c) || c == '-' || c == '_' || c == '.';
}

/* Like inet_pton(), but leading zeros ("010.000.000.005") count as well. */
static bool parse_v4(const char *text, size_t size, struct addr *out)
{
	unsigned part = 0, digits = 0, value = 0;

	memset(out, 0, sizeof(*out));
	for (size_t i = 0; i <= size; i++) {
		if (i == size || text[i] == '.') {
			if (digits == 0 || part > 3)
				return false;
			out->ip[part++] = (uint8_t)value;
			digits = value = 0;
			continue;
		}
		if (!is_digit(text[i]) || ++digits > 3)
			return false;
		value = value * 10 + (unsigned)(text[i] - '0');
		if (value > 255)
			return false;
	}
	out->family = ADDR_V4;
	return part == 4;
}

static bool parse_v6(const char *text, size_t size, struct addr *out)
{
	static const uint8_t mapped[12] = {0, 0, 0, 0, 0,    0,
					   0, 0, 0, 0, 0xff, 0xff};
	char copy[V6_TEXT_MAX + 1];

	if (size < 2 || size > V6_TEXT_MAX)
		return false;
	memcpy(copy, text, size);
	copy[size] = '\0';
	memset(out, 0, sizeof(*out));
	if (inet_pton(AF_INET6, copy, out->ip) != 1)
		return false;
	out->family = ADDR_V6;
	if (memcmp(out->ip, mapped, sizeof(mapped)) == 0) {
		memmove(out->ip, out->ip + 12, 4);
		memset(out->ip + 4, 0, 12);
		out->family = ADDR_V4;
	}
	return true;
}

static bool is_zero(const struct addr *a)
{
	static const uint8_t zero[16];

	return memcmp(a->ip, zero, sizeof(zero)) == 0;
}

static bool set_has(const struct hide_set *set, const struct addr *a)
{
	if (!set)
		return false;
	for (unsigned i = 0; i < set->addrs_len; i++)
		if (set->addrs[i].family == a->family &&
		    memcmp(set->addrs[i].ip, a->ip, sizeof(a->ip)) == 0)
			return true;
	return false;
}

void hide_init(struct hide_set *set)
{
	memset(set, 0, sizeof(*set));
}

static int add_addr(struct hide_set *set, const struct addr *a)
{
	if (is_zero(a) || set_has(set, a))
		return 0;
	if (set->addrs_len == HIDE_ADDRS_MAX)
		return -ENOSPC;
	set->addrs[set->addrs_len++] = *a;
	return 0;
}

static int add_name(struct hide_set *set, const char *text, size_t size)
{
	bool letter = false;

	while (size > 0 && text[size - 1] == '.')
		size--;
	if (size < 3 || size >= HIDE_NAME_SIZE)
		return -EINVAL;
	for (size_t i = 0; i < size; i++) {
		if (!is_name_char(text[i]))
			return -EINVAL;
		letter = letter || !is_v4_char(text[i]);
	}
	if (!letter)
		return -EINVAL;
	for (unsigned i = 0; i < set->names_len; i++)
		if (strlen(set->names[i]) == size &&
		    strncasecmp(set->names[i], text, size) == 0)
			return 0;
	if (set->names_len == HIDE_NAMES_MAX)
		return -ENOSPC;
	memcpy(set->names[set->names_len], text, size);
	set->names[set->names_len++][size] = '\0';
	return 0;
}

int hide_add(struct hide_set *set, const char *text, size_t size)
{
	struct addr a;

	if (size >= 2 && text[0] == '[' && text[size - 1] == ']') {
		if (!parse_v6(text + 1, size - 2, &a))
			return -EINVAL;
		return add_addr(set, &a);
	}
	if (parse_v4(text, size, &a) || parse_v6(text, size, &a))
		return add_addr(set, &a);
	return add_name(set, text, size);
}

static bool wanted(const struct hide_set *set, bool any, const struct addr *a)
{
	return (any && !is_zero(a)) || set_has(set, a);
}

/* `text` begins a run of digits and dots. */
static bool find_v4(const struct hide_set *set, bool any, const char *text,
		    size_t size, size_t at, struct hide_hit *hit)
{
	size_t end = at;
	struct addr a;

	while (end < size && is_v4_char(text[end]))
		end++;
	while (at < end && text[at] == '.')
		at++;
	while (end > at && text[end - 1] == '.')
		end--;
	if (!parse_v4(text + at, end - at, &a) || !wanted(set, any, &a))
		return false;
	hit->start = at;
	hit->size = end - at;
	return true;
}

/* Hidden addresses that start at `at` and end at a colon or the run's end. */
static bool find_v6_from(const struct hide_set *set, const char *text,
			 size_t at, size_t end, struct hide_hit *hit)
{
	size_t last = end - at > V6_TEXT_MAX ? at + V6_TEXT_MAX : end;
	struct addr a;

	for (size_t e = last; e > at + 1; e--) {
		if (e != end && text[e] != ':' && text[e] != '.')
			continue;
		if (parse_v6(text + at, e - at, &a) && set_has(set, &a)) {
			hit->start = at;
			hit->size = e - at;
			return true;
		}
	}
	return false;
}

/*
 * `at` begins a run of hexadecimal digits, colons and dots. What stands in
 * front of an address may look like a part of it ("X-face:fd00::1"), so an
 * address of the set is looked for after every colon; a literal that is in
 * no set only as the whole run or the run after its first colon.
 */
static bool find_v6(const struct hide_set *set, bool any, bool word,
		    const char *text, size_t at, size_t end,
		    struct hide_hit *hit)
{
	const char *colon = memchr(text + at, ':', end - at);
	size_t first = colon ? (size_t)(colon - text) + 1 : end;
	size_t stop = end;
	struct addr a;

	if (!colon || !memchr(text + first, ':', end - first))
		return false;
	if (set && set->addrs_len > 0)
		for (size_t s = at; s < end; s++)
			if (((s == at && !word) ||
			     (s > at && text[s - 1] == ':')) &&
			    find_v6_from(set, text, s, end, hit))
				return true;
	if (!any)
		return false;
	while (stop > at && text[stop - 1] == '.')
		stop--;
	for (unsigned i = word; i < 2; i++) {
		size_t s = i ? first : at;

		if (s < stop && parse_v6(text + s, stop - s, &a) &&
		    !is_zero(&a)) {
			hit->start = s;
			hit->size = stop - s;
			return true;
		}
	}
	return false;
}

static bool find_name(const struct hide_set *set, const char *text, size_t size,
		      size_t at, struct hide_hit *hit)
{
	for (unsigned i = 0; i < set->names_len; i++) {
		size_t len = strlen(set->names[i]);
		const char *after = text + at + len;
		size_t left;

		if (len > size - at ||
		    strncasecmp(text + at, set->names[i], len) != 0)
			continue;
		left = size - at - len;
		if (left > 0 && (is_alnum(after[0]) || after[0] == '-'))
			continue;
		/* pbx.example.net.au is another name. */
		if (left > 1 && after[0] == '.' && is_alnum(after[1]))
			continue;
		hit->start = at;
		hit->size = len;
		return true;
	}
	return false;
}

static bool is_escape(const char *text, size_t size, size_t at)
{
	return text[at] == '%' && size - at > 2 && is_hex(text[at + 1]) &&
	       is_hex(text[at + 2]);
}

/* One scan: what stands between hits must not be skipped over. */
struct scan {
	const struct hide_set *set;
	bool any;
	const char *text;
	size_t size;
	size_t v6_end; /* of the run the scan is in */
	struct hide_hit v6; /* found in that run, further on; size 0 = none */
};

static bool scan_at(struct scan *s, size_t i, char prev, struct hide_hit *hit)
{
	char c = s->text[i];

	if (is_v6_char(c) && i >= s->v6_end) {
		s->v6_end = i;
		while (s->v6_end < s->size && is_v6_char(s->text[s->v6_end]))
			s->v6_end++;
		if (!find_v6(s->set, s->any, is_alnum(prev), s->text, i,
			     s->v6_end, &s->v6))
			s->v6.size = 0;
	}
	if (s->v6.size > 0 && s->v6.start == i) {
		*hit = s->v6;
		return true;
	}
	if (is_v4_char(c) && !is_v4_char(prev) &&
	    find_v4(s->set, s->any, s->text, s->size, i, hit))
		return true;
	return s->set && !is_alnum(prev) && prev != '-' &&
	       find_name(s->set, s->text, s->size, i, hit);
}

bool hide_find(const struct hide_set *set, bool any_literal, const char *text,
	       size_t size, struct hide_hit *hit)
{
	struct scan s = {
		.set = set, .any = any_literal, .text = text, .size = size};
	struct hide_hit scratch;
	char prev = ' ';

	for (size_t i = 0; i < size; prev = text[i++]) {
		/* An escape's last digit must not look like the start of
		 * what follows it. */
		while (i < size && is_escape(text, size, i)) {
			i += 3;
			prev = ' ';
		}
		if (i == size)
			break;
		if (scan_at(&s, i, prev, hit ? hit : &scratch))
			return true;
	}
	return false;
}
