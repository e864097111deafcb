#include "sbcd/sip/hdr_policy.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

struct entry {
	const char *name;
	enum hdr_policy policy;
};

/*
 * Sorted by name without case. Left out: what passes like any unknown header
 * (Accept*, Alert-Info without a host, Content-*, Date, Event, Priority,
 * Privacy, Reason, Retry-After, Subject, Timestamp, User-to-User, X-*, ...).
 */
static const struct entry table[] = {
	/* Compact forms (RFC 3261, 3515, 3892, 4028, 6665, 8224). */
	{"a", HDR_PASS}, /* Accept-Contact */
	{"Alert-Info", HDR_REWRITE_HOST},
	{"Allow", HDR_OWN},
	/* Credentials and challenges belong to one leg: the URI they are
	 * computed over does not survive. */
	{"Authentication-Info", HDR_DROP},
	{"Authorization", HDR_DROP},
	{"b", HDR_REWRITE_HOST}, /* Referred-By */
	{"c", HDR_PASS}, /* Content-Type */
	{"Call-ID", HDR_OWN},
	{"Call-Info", HDR_REWRITE_HOST},
	{"Contact", HDR_OWN},
	{"Content-Length", HDR_OWN},
	{"CSeq", HDR_OWN},
	{"d", HDR_PASS}, /* Request-Disposition */
	{"Diversion", HDR_REWRITE_HOST},
	{"e", HDR_PASS}, /* Content-Encoding */
	{"Error-Info", HDR_REWRITE_HOST},
	{"f", HDR_OWN}, /* From */
	{"Flow-Timer", HDR_DROP},
	{"From", HDR_OWN},
	{"History-Info", HDR_REWRITE_HOST},
	{"i", HDR_OWN}, /* Call-ID */
	{"In-Reply-To", HDR_DROP},
	{"j", HDR_PASS}, /* Reject-Contact */
	{"Join", HDR_OWN},
	{"k", HDR_OWN}, /* Supported */
	{"l", HDR_OWN}, /* Content-Length */
	{"m", HDR_OWN}, /* Contact */
	{"Max-Breadth", HDR_OWN},
	{"Max-Forwards", HDR_OWN},
	{"Min-SE", HDR_OWN},
	{"n", HDR_DROP}, /* Identity-Info */
	{"o", HDR_PASS}, /* Event */
	{"P-Access-Network-Info", HDR_DROP},
	{"P-Asserted-Identity", HDR_REWRITE_HOST},
	{"P-Associated-URI", HDR_REWRITE_HOST},
	{"P-Called-Party-ID", HDR_REWRITE_HOST},
	{"P-Charging-Function-Addresses", HDR_DROP},
	{"P-Charging-Vector", HDR_DROP},
	{"P-Preferred-Identity", HDR_REWRITE_HOST},
	{"P-Served-User", HDR_REWRITE_HOST},
	{"P-Visited-Network-ID", HDR_DROP},
	{"Path", HDR_DROP},
	{"Proxy-Authenticate", HDR_DROP},
	{"Proxy-Authentication-Info", HDR_DROP},
	{"Proxy-Authorization", HDR_DROP},
	{"Proxy-Require", HDR_OWN},
	{"r", HDR_OWN}, /* Refer-To */
	{"RAck", HDR_OWN},
	{"Record-Route", HDR_OWN},
	{"Refer-To", HDR_OWN},
	{"Referred-By", HDR_REWRITE_HOST},
	{"Remote-Party-ID", HDR_REWRITE_HOST},
	{"Replaces", HDR_OWN},
	{"Reply-To", HDR_REWRITE_HOST},
	{"Require", HDR_OWN},
	{"Route", HDR_OWN},
	{"RSeq", HDR_OWN},
	{"s", HDR_PASS}, /* Subject */
	{"Security-Client", HDR_DROP},
	{"Security-Server", HDR_DROP},
	{"Security-Verify", HDR_DROP},
	{"Server", HDR_OWN},
	{"Service-Route", HDR_DROP},
	{"Session-Expires", HDR_OWN},
	{"Supported", HDR_OWN},
	{"t", HDR_OWN}, /* To */
	{"Target-Dialog", HDR_OWN},
	{"To", HDR_OWN},
	{"u", HDR_PASS}, /* Allow-Events */
	{"Unsupported", HDR_OWN},
	{"User-Agent", HDR_OWN},
	{"v", HDR_OWN}, /* Via */
	{"Via", HDR_OWN},
	{"Warning", HDR_REWRITE_HOST},
	{"WWW-Authenticate", HDR_DROP},
	{"x", HDR_OWN}, /* Session-Expires */
	{"y", HDR_PASS}, /* Identity */
};

static int compare(const void *name, const void *entry)
{
	return strcasecmp(name, ((const struct entry *)entry)->name);
}

/* RFC 3261 section 25.1: token. */
static bool is_token(const char *name)
{
	static const char token[] = "abcdefghijklmnopqrstuvwxyz"
				    "ABCDEFGHIJKLMNOPQRSTUVWXYZ"
				    "0123456789-.!%*_+`'~";

	return *name != '\0' && name[strspn(name, token)] == '\0';
}

enum hdr_policy hdr_policy_classify(const char *name)
{
	const struct entry *e;

	if (!is_token(name))
		return HDR_DROP;
	e = bsearch(name, table, sizeof(table) / sizeof(table[0]),
		    sizeof(table[0]), compare);
	return e ? e->policy : HDR_PASS;
}

bool hdr_policy_leaks(const char *value, const struct hdr_hosts *hosts)
{
	return hide_find(hosts->hide, true, value, strlen(value), NULL);
}

static bool is_name_char(char c)
{
	return (c >= '0' && c <= '9') || (c >= 'a' && c <= 'z') ||
	       (c >= 'A' && c <= 'Z') || c == '-' || c == '_' || c == '.';
}

static bool is_hex(char c)
{
	return (c >= '0' && c <= '9') || (c >= 'a' && c <= 'f') ||
	       (c >= 'A' && c <= 'F');
}

/* The whole of the host that was hit: "x.pbx.example.net:5060". */
static void widen(const char *text, size_t size, struct hide_hit *hit)
{
	size_t start = hit->start, end = hit->start + hit->size;
	bool bracket = start > 0 && text[start - 1] == '[' && end < size &&
		       text[end] == ']';

	if (bracket) {
		start--;
		end++;
	} else if (!memchr(text + start, ':', end - start)) {
		while (start > 0 && is_name_char(text[start - 1]) &&
		       !(start > 2 && text[start - 3] == '%' &&
			 is_hex(text[start - 2]) && is_hex(text[start - 1])))
			start--;
		while (end < size && is_name_char(text[end]))
			end++;
	}
	if (end + 1 < size && text[end] == ':' && text[end + 1] >= '0' &&
	    text[end + 1] <= '9')
		for (end++; end < size && text[end] >= '0' && text[end] <= '9';)
			end++;
	hit->start = start;
	hit->size = end - start;
}

static bool append(char *out, size_t size, size_t *used, const char *text,
		   size_t n)
{
	if (n >= size - *used)
		return false;
	memcpy(out + *used, text, n);
	*used += n;
	return true;
}

ssize_t hdr_policy_rewrite_text(const char *text, size_t left,
				const struct hdr_hosts *hosts, char *out,
				size_t size)
{
	size_t used = 0;
	struct hide_hit hit;

	if (size == 0)
		return -ENOSPC;
	while (hide_find(hosts->hide, true, text, left, &hit)) {
		widen(text, left, &hit);
		if (!append(out, size, &used, text, hit.start) ||
		    !append(out, size, &used, hosts->own, strlen(hosts->own)))
			return -ENOSPC;
		text += hit.start + hit.size;
		left -= hit.start + hit.size;
	}
	if (!append(out, size, &used, text, left))
		return -ENOSPC;
	out[used] = '\0';
	return (ssize_t)used;
}

ssize_t hdr_policy_rewrite(const char *value, const struct hdr_hosts *hosts,
			   char *out, size_t size)
{
	if (strpbrk(value, "\r\n"))
		return -EINVAL;
	return hdr_policy_rewrite_text(value, strlen(value), hosts, out, size);
}

ssize_t hdr_policy_apply(const char *name, const char *value,
			 const struct hdr_hosts *hosts, char *out, size_t size)
{
	size_t len = strlen(value);
	ssize_t n;

	switch (hdr_policy_classify(name)) {
	case HDR_REWRITE_HOST:
		n = hdr_policy_rewrite(value, hosts, out, size);
		return n == -EINVAL ? -ENOENT : n;
	case HDR_PASS:
		if (strpbrk(value, "\r\n") || hdr_policy_leaks(value, hosts))
			return -ENOENT;
		if (len >= size)
			return -ENOSPC;
		memcpy(out, value, len + 1);
		return (ssize_t)len;
	case HDR_DROP:
	case HDR_OWN:
		break;
	}
	return -ENOENT;
}
