#include "sbcd/sip/sdp.h"
#include "sbcd/sip/sdp_int.h"

#include <errno.h>
#include <string.h>
#include <strings.h>

static bool text_is_nocase(struct sdp_text text, const char *word)
{
	return strlen(word) == text.size &&
	       strncasecmp(text.at, word, text.size) == 0;
}

static void trim(struct sdp_text *text)
{
	while (text->size > 0 && (text->at[0] == ' ' || text->at[0] == '\t'))
		text->at++, text->size--;
	while (text->size > 0 && (text->at[text->size - 1] == ' ' ||
				  text->at[text->size - 1] == '\t'))
		text->size--;
}

/* ---- m= ---------------------------------------------------------------- */

unsigned sdp_media_count(const struct sdp *sdp)
{
	return sdp->media_len;
}

int sdp_media_get(const struct sdp *sdp, unsigned m, struct sdp_media *out)
{
	if (m >= sdp->media_len ||
	    !sdp_mline_parse(sdp_line_value(sdp, sdp->media_first[m]), out))
		return -ERANGE;
	return 0;
}

bool sdp_media_format(const struct sdp *sdp, unsigned m, unsigned n,
		      struct sdp_text *out)
{
	struct sdp_media media;

	if (sdp_media_get(sdp, m, &media))
		return false;
	while (sdp_word(&media.formats, out))
		if (n-- == 0)
			return true;
	return false;
}

/* ---- c=, o= ------------------------------------------------------------ */

static bool is_multicast(const struct addr *a)
{
	static const uint8_t broadcast[4] = {255, 255, 255, 255};

	if (a->family == ADDR_V6)
		return a->ip[0] == 0xff;
	return (a->ip[0] & 0xf0) == 0xe0 || memcmp(a->ip, broadcast, 4) == 0;
}

/* RFC 6157 section 6: how IPv6 implementations say 0.0.0.0. */
static bool is_invalid_name(struct sdp_text name)
{
	static const char suffix[] = ".invalid";
	size_t n = sizeof(suffix) - 1;

	if (text_is_nocase(name, "invalid"))
		return true;
	return name.size > n &&
	       strncasecmp(name.at + name.size - n, suffix, n) == 0;
}

static bool is_host_name(struct sdp_text name)
{
	bool letter = false;

	for (size_t i = 0; i < name.size; i++) {
		unsigned char c = (unsigned char)name.at[i];
		bool alpha = (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z');

		letter = letter || alpha;
		if (!alpha && (c < '0' || c > '9') && c != '-' && c != '.' &&
		    c != '_')
			return false;
	}
	return letter;
}

void sdp_connection_parse(struct sdp_text value, struct sdp_connection *out)
{
	struct sdp_text net, family, host;
	char copy[ADDR_TEXT_SIZE];
	bool v6;

	memset(out, 0, sizeof(*out));
	out->kind = SDP_CONN_BAD;
	if (!sdp_word(&value, &net) || !sdp_word(&value, &family) ||
	    !sdp_word(&value, &host) || !text_is_nocase(net, "IN"))
		return;
	v6 = text_is_nocase(family, "IP6");
	if (!v6 && !text_is_nocase(family, "IP4"))
		return;
	/* The TTL or count of a multicast address. */
	if (memchr(host.at, '/', host.size))
		host.size =
			(size_t)((const char *)memchr(host.at, '/', host.size) -
				 host.at);
	out->text = host;
	if (host.size < sizeof(copy)) {
		memcpy(copy, host.at, host.size);
		copy[host.size] = '\0';
		if (addr_parse_ip(&out->ip, copy, 0) == 0) {
			/* "IN IP4 fd00::1" says two things at once. */
			if ((host.at[0] == '[') ||
			    (memchr(host.at, ':', host.size) != NULL) != v6)
				return;
			out->kind =
				addr_is_unspecified(&out->ip) ? SDP_CONN_HOLD
				: is_multicast(&out->ip) ? SDP_CONN_MULTICAST
				: out->ip.family == ADDR_V4 &&
						out->ip.ip[0] == 0
					? SDP_CONN_BAD
					: SDP_CONN_IP;
			return;
		}
	}
	if (is_invalid_name(host))
		out->kind = SDP_CONN_HOLD;
	else if (is_host_name(host))
		out->kind = SDP_CONN_NAME;
}

void sdp_connection(const struct sdp *sdp, unsigned section,
		    struct sdp_connection *out)
{
	struct sdp_text value;

	memset(out, 0, sizeof(*out));
	if (section != SDP_SESSION && section >= sdp->media_len)
		return;
	if (sdp_line_get(sdp, section, 'c', &value) ||
	    sdp_line_get(sdp, SDP_SESSION, 'c', &value))
		sdp_connection_parse(value, out);
}

bool sdp_origin_address(const struct sdp *sdp, struct sdp_text *out)
{
	struct sdp_text rest;

	if (!sdp_line_get(sdp, SDP_SESSION, 'o', &rest))
		return false;
	for (unsigned i = 0; i < 6; i++)
		if (!sdp_word(&rest, out))
			return false;
	return true;
}

/* ---- attributes -------------------------------------------------------- */

void sdp_attr_split(struct sdp_text attr, struct sdp_text *name,
		    struct sdp_text *value)
{
	const char *colon = memchr(attr.at, ':', attr.size);

	*name = attr;
	*value = (struct sdp_text){attr.at + attr.size, 0};
	if (colon) {
		name->size = (size_t)(colon - attr.at);
		value->at = colon + 1;
		value->size = attr.size - name->size - 1;
	}
	trim(name);
	trim(value);
}

bool sdp_attr_next(const struct sdp *sdp, unsigned section, const char *name,
		   unsigned *iter, struct sdp_text *value)
{
	struct sdp_range range;
	struct sdp_text key;

	if (!sdp_section(sdp, section, &range))
		return false;
	for (unsigned i = range.begin + *iter; i < range.end; i++) {
		if (sdp->lines[i].type != 'a')
			continue;
		sdp_attr_split(sdp_line_value(sdp, i), &key, value);
		if (!text_is_nocase(key, name))
			continue;
		*iter = i - range.begin + 1;
		return true;
	}
	*iter = range.end - range.begin;
	return false;
}

unsigned sdp_attr_count(const struct sdp *sdp, unsigned section,
			const char *name)
{
	struct sdp_text value;
	unsigned iter = 0, n = 0;

	while (sdp_attr_next(sdp, section, name, &iter, &value))
		n++;
	return n;
}

static bool direction_of(struct sdp_text attr, enum sdp_direction *out)
{
	static const char *const names[] = {
		[SDP_INACTIVE] = "inactive",
		[SDP_SENDONLY] = "sendonly",
		[SDP_RECVONLY] = "recvonly",
		[SDP_SENDRECV] = "sendrecv",
	};
	struct sdp_text name, value;

	sdp_attr_split(attr, &name, &value);
	for (unsigned i = 0; i < 4; i++)
		if (text_is_nocase(name, names[i])) {
			*out = (enum sdp_direction)i;
			return true;
		}
	return false;
}

enum sdp_direction sdp_direction(const struct sdp *sdp, unsigned section)
{
	enum sdp_direction d = SDP_SENDRECV;
	struct sdp_range range;

	if (!sdp_section(sdp, section, &range))
		return SDP_SENDRECV;
	for (unsigned i = range.begin; i < range.end; i++)
		if (sdp->lines[i].type == 'a' &&
		    direction_of(sdp_line_value(sdp, i), &d))
			return d;
	return section == SDP_SESSION ? SDP_SENDRECV
				      : sdp_direction(sdp, SDP_SESSION);
}

int sdp_media_rtcp(const struct sdp *sdp, unsigned m, struct sdp_rtcp *out)
{
	struct sdp_text value, word;
	unsigned iter = 0;
	uint64_t port;

	memset(out, 0, sizeof(*out));
	if (m == SDP_SESSION || !sdp_attr_next(sdp, m, "rtcp", &iter, &value))
		return -ENOENT;
	if (!sdp_word(&value, &word) || !sdp_number(word, UINT16_MAX, &port))
		return -EINVAL;
	out->port = (uint16_t)port;
	trim(&value);
	if (value.size > 0) {
		out->has_address = true;
		sdp_connection_parse(value, &out->connection);
	}
	return 0;
}

unsigned sdp_media_ptime(const struct sdp *sdp, unsigned m)
{
	struct sdp_text value;
	unsigned iter = 0;
	uint64_t ms;

	if (m == SDP_SESSION ||
	    !sdp_attr_next(sdp, m, "ptime", &iter, &value) ||
	    !sdp_number(value, 10000, &ms))
		return 0;
	return (unsigned)ms;
}

/* ---- payload types ----------------------------------------------------- */

/* RFC 3551 tables 4 and 5, without what nobody sends. */
static const struct sdp_format static_formats[] = {
	{0, 1, 8000, "PCMU"},	{3, 1, 8000, "GSM"},	{4, 1, 8000, "G723"},
	{5, 1, 8000, "DVI4"},	{6, 1, 16000, "DVI4"},	{7, 1, 8000, "LPC"},
	{8, 1, 8000, "PCMA"},	{9, 1, 8000, "G722"},	{10, 2, 44100, "L16"},
	{11, 1, 44100, "L16"},	{12, 1, 8000, "QCELP"}, {13, 1, 8000, "CN"},
	{15, 1, 8000, "G728"},	{18, 1, 8000, "G729"},	{26, 1, 90000, "JPEG"},
	{31, 1, 90000, "H261"}, {32, 1, 90000, "MPV"},	{33, 1, 90000, "MP2T"},
	{34, 1, 90000, "H263"},
};

/* "PCMU/8000/1" */
static bool parse_encoding(struct sdp_text text, struct sdp_format *out)
{
	struct sdp_text part[3] = {{text.at, 0}};
	unsigned n = 0;
	uint64_t clock, channels = 1;

	for (size_t i = 0; i < text.size; i++) {
		if (text.at[i] != '/')
			part[n].size++;
		else if (++n == 3)
			return false;
		else
			part[n].at = text.at + i + 1;
	}
	if (n == 0 || part[0].size == 0 ||
	    part[0].size >= sizeof(out->encoding) ||
	    !sdp_number(part[1], UINT32_MAX, &clock) ||
	    (n == 2 && !sdp_number(part[2], UINT8_MAX, &channels)))
		return false;
	memcpy(out->encoding, part[0].at, part[0].size);
	out->encoding[part[0].size] = '\0';
	out->clock_hz = (uint32_t)clock;
	out->channels = (uint8_t)channels;
	return true;
}

int sdp_media_rtpmap(const struct sdp *sdp, unsigned m, unsigned payload_type,
		     struct sdp_format *out)
{
	struct sdp_text value, word;
	unsigned iter = 0;
	uint64_t pt;

	memset(out, 0, sizeof(*out));
	if (payload_type > 127)
		return -ENOENT;
	out->payload_type = (uint8_t)payload_type;
	while (sdp_attr_next(sdp, m, "rtpmap", &iter, &value)) {
		if (!sdp_word(&value, &word) || !sdp_number(word, 127, &pt) ||
		    pt != payload_type)
			continue;
		if (sdp_word(&value, &word) && parse_encoding(word, out))
			return 0;
	}
	for (size_t i = 0;
	     i < sizeof(static_formats) / sizeof(static_formats[0]); i++)
		if (static_formats[i].payload_type == payload_type) {
			*out = static_formats[i];
			return 0;
		}
	return -ENOENT;
}
