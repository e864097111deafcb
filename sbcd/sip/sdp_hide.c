#include "sbcd/sip/sdp_edit.h"
#include "sbcd/sip/sdp_int.h"

#include <errno.h>
#include <string.h>
#include <strings.h>

/*
 * KEEP: known to hold no address of its own, so only what is hidden by name
 * removes it. STRIP: means nothing, or the wrong thing, on the other side of
 * a relay. An attribute that is not here goes when it shows any IP address.
 */
enum attr_policy { KEEP, STRIP };

static const struct {
	const char *name;
	enum attr_policy policy;
} attr_policies[] = {
	{"alt", STRIP},
	{"bundle-only", STRIP},
	{"candidate", STRIP},
	{"connection", STRIP},
	{"content", KEEP},
	{"dtls-id", STRIP},
	{"end-of-candidates", STRIP},
	{"fingerprint", STRIP},
	{"fmtp", KEEP},
	{"framerate", KEEP},
	{"ice-lite", STRIP},
	{"ice-mismatch", STRIP},
	{"ice-options", STRIP},
	{"ice-pacing", STRIP},
	{"ice-pwd", STRIP},
	{"ice-ufrag", STRIP},
	{"inactive", KEEP},
	{"label", KEEP},
	{"maxptime", KEEP},
	{"mid", KEEP},
	{"path", STRIP},
	{"ptime", KEEP},
	{"recvonly", KEEP},
	{"remote-candidates", STRIP},
	{"rtcp", STRIP}, /* ours is exempt */
	{"rtcp-fb", KEEP},
	{"rtcp-mux", KEEP},
	{"rtcp-rsize", KEEP},
	{"rtcp-xr", KEEP},
	{"rtpmap", KEEP},
	{"sendonly", KEEP},
	{"sendrecv", KEEP},
	{"setup", STRIP},
	{"silencesupp", KEEP},
	{"source-filter", STRIP},
	{"tls-id", STRIP},
	{"x-candidate", STRIP},
	{"x-candidate-info", STRIP},
	{"x-candidate-ipv6", STRIP},
	{"x-mediabw", KEEP},
};

static const enum attr_policy *attr_policy(struct sdp_text name)
{
	for (size_t i = 0; i < sizeof(attr_policies) / sizeof(attr_policies[0]);
	     i++)
		if (strlen(attr_policies[i].name) == name.size &&
		    strncasecmp(attr_policies[i].name, name.at, name.size) == 0)
			return &attr_policies[i].policy;
	return NULL;
}

/* A key, or what somebody may take for one. */
static bool shows_key(const struct sdp *sdp, unsigned line)
{
	static const char method[] = "inline:";
	struct sdp_text text = sdp_line_text(sdp, line), name, value;

	for (; text.size >= sizeof(method) - 1; text.at++, text.size--)
		if (strncasecmp(text.at, method, sizeof(method) - 1) == 0)
			return true;
	if (sdp->lines[line].type == 'k')
		return true;
	if (sdp->lines[line].type != 'a')
		return false;
	sdp_attr_split(sdp_line_value(sdp, line), &name, &value);
	return (name.size == 6 && strncasecmp(name.at, "crypto", 6) == 0) ||
	       (name.size == 8 && strncasecmp(name.at, "key-mgmt", 8) == 0);
}

void sdp_strip_keys(struct sdp *sdp)
{
	for (unsigned i = 0; i < sdp->lines_len; i++)
		if (sdp->lines[i].type != 'm' && shows_key(sdp, i))
			sdp->lines[i].drop = true;
	sdp_sweep(sdp);
}

static bool is_bundle(struct sdp_text name, struct sdp_text value)
{
	struct sdp_text word;

	return name.size == 5 && strncasecmp(name.at, "group", 5) == 0 &&
	       sdp_word(&value, &word) && word.size == 6 &&
	       strncasecmp(word.at, "BUNDLE", 6) == 0;
}

static bool drop_attr(const struct hide_set *hide, struct sdp_text text,
		      struct sdp_text attr)
{
	const enum attr_policy *policy;
	struct sdp_text name, value;

	sdp_attr_split(attr, &name, &value);
	policy = attr_policy(name);
	if ((policy && *policy == STRIP) || is_bundle(name, value))
		return true;
	return hide_find(hide, !policy, text.at, text.size, NULL);
}

static bool drop_line(const struct sdp *sdp, const struct hide_set *hide,
		      unsigned line, bool session)
{
	struct sdp_text text = sdp_line_text(sdp, line);

	if (shows_key(sdp, line))
		return true;
	switch (sdp->lines[line].type) {
	case 0:
	case 'c':
	case 'e':
	case 'o':
	case 'p':
	case 'u':
	case 'z':
		return true;
	case 'v':
		return line != 0;
	case 's':
	case 't':
	case 'r':
		return !session ||
		       hide_find(hide, true, text.at, text.size, NULL);
	case 'i':
		return session ||
		       hide_find(hide, true, text.at, text.size, NULL);
	case 'a':
		return drop_attr(hide, text, sdp_line_value(sdp, line));
	default:
		return hide_find(hide, true, text.at, text.size, NULL);
	}
}

int sdp_hide(struct sdp *sdp, const struct hide_set *hide)
{
	struct sdp_text text;

	for (unsigned m = 0; m < sdp->media_len; m++) {
		text = sdp_line_text(sdp, sdp->media_first[m]);
		if (hide_find(hide, false, text.at, text.size, NULL))
			return -EPERM;
	}
	for (unsigned i = 0, m = 0; i < sdp->lines_len; i++) {
		if (m < sdp->media_len && sdp->media_first[m] == i) {
			m++;
			continue;
		}
		sdp->lines[i].drop =
			!sdp->lines[i].ours && drop_line(sdp, hide, i, m == 0);
	}
	sdp_sweep(sdp);
	return 0;
}

/*
 * What the peer calls itself in SDP is hidden too, unless it is a name
 * without a dot ("-", "localhost", "sendrecv"): that is no address, and could
 * be anything that stands in an innocent line.
 */
static int collect_text(struct hide_set *hide, struct sdp_text text)
{
	int rc;

	if (text.size == 0 || (!memchr(text.at, '.', text.size) &&
			       !memchr(text.at, ':', text.size)))
		return 0;
	rc = hide_add(hide, text.at, text.size);
	return rc == -EINVAL ? 0 : rc;
}

int sdp_collect(const struct sdp *sdp, struct hide_set *hide)
{
	struct sdp_connection c;
	struct sdp_text text, name, value, word;
	int rc = 0;

	if (sdp_origin_address(sdp, &text))
		rc = collect_text(hide, text);
	for (unsigned i = 0; i < sdp->lines_len && !rc; i++) {
		value = sdp_line_value(sdp, i);
		if (sdp->lines[i].type == 'a') {
			sdp_attr_split(value, &name, &value);
			if (name.size != 4 ||
			    strncasecmp(name.at, "rtcp", 4) != 0 ||
			    !sdp_word(&value, &word))
				continue;
		} else if (sdp->lines[i].type != 'c') {
			continue;
		}
		sdp_connection_parse(value, &c);
		rc = collect_text(hide, c.text);
	}
	return rc;
}

uint64_t sdp_next_version(const struct sdp *next, const char *last,
			  size_t last_size, uint64_t version)
{
	struct sdp *old;
	bool same;

	if (last_size == 0)
		return version;
	if (sdp_parse(&old, last, last_size, NULL))
		return version + 1;
	same = sdp_same(old, next);
	sdp_destroy(old);
	return same ? version : version + 1;
}

bool sdp_find_address(const char *text, size_t size, const char *address_text)
{
	struct hide_set set;

	hide_init(&set);
	if (hide_add(&set, address_text, strlen(address_text)))
		return true;
	return hide_find(&set, false, text, size, NULL);
}
