/* tls_name - see tls_name.h */
#include "sbcd/sip/tls_name.h"

#include <errno.h>
#include <string.h>
#include <strings.h>

static bool same(const char *text, size_t size, const char *host)
{
	/* a NUL in `text` differs from whatever `host` has there */
	return strlen(host) == size && !strncasecmp(text, host, size);
}

/* 10.0.0.1 has no labels that a wildcard could stand for. */
static bool is_address(const char *host)
{
	const char *last = strrchr(host, '.');

	if (strchr(host, ':'))
		return true;
	last = last ? last + 1 : host;
	return last[strspn(last, "0123456789")] == '\0';
}

/* "*.example.net": one label, the leftmost, and two more behind it. */
static bool wildcard_matches(const char *text, size_t size, const char *host)
{
	const char *rest = strchr(host, '.');

	if (size < 2 || text[0] != '*' || text[1] != '.')
		return false;
	if (!rest || rest == host || is_address(host))
		return false;
	if (!strchr(rest + 1, '.'))
		return false;
	return same(text + 1, size - 1, rest);
}

bool tls_name_matches(const struct tls_name *name, const char *host,
		      bool wildcard)
{
	static const char scheme[] = "sip:";
	size_t skip = sizeof(scheme) - 1;

	if (host[0] == '\0' || strchr(host, '*'))
		return false;
	/*
	 * A user, a port or a parameter makes the URI mean less than the whole
	 * host; none of them is in a host name, so such a URI equals none.
	 */
	if (name->kind == TLS_NAME_URI)
		return name->size > skip &&
		       !strncasecmp(name->text, scheme, skip) &&
		       same(name->text + skip, name->size - skip, host);
	if (same(name->text, name->size, host))
		return true;
	return wildcard && wildcard_matches(name->text, name->size, host);
}

int tls_name_find(const struct tls_name *names, unsigned names_len,
		  const char *const *hosts, unsigned hosts_len, bool wildcard,
		  unsigned *host)
{
	bool cn = true;

	for (unsigned i = 0; i < names_len; i++)
		if (names[i].kind != TLS_NAME_CN)
			cn = false;
	for (unsigned i = 0; i < names_len; i++) {
		if (names[i].kind == TLS_NAME_CN && !cn)
			continue;
		for (unsigned h = 0; h < hosts_len; h++) {
			if (!tls_name_matches(&names[i], hosts[h], wildcard))
				continue;
			if (host)
				*host = h;
			return (int)i;
		}
	}
	return -ENOENT;
}
