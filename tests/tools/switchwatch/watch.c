#include "watch.h"

#include <stdio.h>
#include <string.h>

enum { TYPE_IPV4 = 0x0800, TYPE_ARP = 0x0806, TYPE_IPV6 = 0x86dd };

static unsigned int frame_type(const uint8_t *f)
{
	return (unsigned int)f[12] << 8 | f[13];
}

static bool key_matches(const struct watch_key *k, const uint8_t *f,
			size_t size)
{
	unsigned int type = frame_type(f);

	if (!k->ipv4)
		return !memcmp(k->bytes, f + 6, 6);
	if (type == TYPE_IPV4)
		return size >= 30 && !memcmp(k->bytes, f + 26, 4);
	return type == TYPE_ARP && size >= 32 && !memcmp(k->bytes, f + 28, 4);
}

static void count_kind(struct watch_seen *s, const uint8_t *f, size_t size)
{
	unsigned int type = frame_type(f);

	if (type == TYPE_ARP) {
		s->arp++;
		/* Gratuitous: sender and target address are the same. */
		if (size >= 42 && !memcmp(f + 28, f + 38, 4))
			s->garp++;
	} else if (type == TYPE_IPV6) {
		s->ipv6++;
		/* Neighbour advertisement to all, not an answer to one. */
		if (size >= 55 && f[0] == 0x33 && f[20] == 58 && f[54] == 136)
			s->na++;
	} else if (type == TYPE_IPV4) {
		s->ipv4++;
	} else {
		s->other++;
	}
}

static void add_interval(struct watch_seen *s, uint64_t now_ns,
			 uint64_t join_ns)
{
	struct watch_interval *last = NULL;

	if (s->intervals_count && s->intervals_count <= WATCH_INTERVALS_MAX)
		last = &s->intervals[s->intervals_count - 1];
	if (last && now_ns - last->to_ns <= join_ns) {
		last->to_ns = now_ns;
		last->frames++;
		return;
	}
	if (s->intervals_count < WATCH_INTERVALS_MAX)
		s->intervals[s->intervals_count] = (struct watch_interval){
			.from_ns = now_ns, .to_ns = now_ns, .frames = 1};
	s->intervals_count++;
}

static void change_owner(struct watch *w, struct watch_key *m, int port,
			 uint64_t now_ns)
{
	struct watch_change c = {
		.from = m->owner, .to = port, .first_ns = now_ns};
	uint64_t before_ns = m->seen[port].last_ns;

	if (m->owner >= 0)
		c.last_ns = m->seen[m->owner].last_ns;
	/*
	 * The port that comes back had never stopped if it was heard a moment
	 * before the other one began.
	 */
	if (before_ns && now_ns - before_ns <= w->window_ns) {
		struct watch_double d = {.early = m->owner,
					 .late = port,
					 .from_ns = m->owner_since_ns,
					 .to_ns = now_ns};

		if (m->doubles_count < WATCH_DOUBLES_MAX)
			m->doubles[m->doubles_count] = d;
		m->doubles_count++;
		m->double_ns += d.to_ns - d.from_ns;
	}
	if (m->changes_count < WATCH_CHANGES_MAX)
		m->changes[m->changes_count] = c;
	m->changes_count++;
	m->owner = port;
	m->owner_since_ns = now_ns;
}

static void key_frame(struct watch *w, struct watch_key *m, int port,
		      const uint8_t *frame, size_t size, uint64_t now_ns)
{
	struct watch_seen *s = &m->seen[port];

	if (m->owner != port)
		change_owner(w, m, port, now_ns);
	if (m->changes_count <= WATCH_CHANGES_MAX)
		m->changes[m->changes_count - 1].frames++;
	if (!s->frames)
		s->first_ns = now_ns;
	s->frames++;
	s->last_ns = now_ns;
	count_kind(s, frame, size);
	add_interval(s, now_ns, w->join_ns);
}

void watch_frame(struct watch *w, int port, const uint8_t *frame, size_t size,
		 uint64_t now_ns)
{
	if (port < 0 || (size_t)port >= w->ports_len)
		return;
	for (size_t i = 0; i < w->keys_len; i++)
		if (key_matches(&w->keys[i], frame, size))
			key_frame(w, &w->keys[i], port, frame, size, now_ns);
}

static json_t *seen_json(const struct watch_seen *s)
{
	json_t *list = json_array();
	size_t n = s->intervals_count < WATCH_INTERVALS_MAX
			   ? s->intervals_count
			   : WATCH_INTERVALS_MAX;

	for (size_t i = 0; i < n; i++)
		json_array_append_new(
			list,
			json_pack("{s:I, s:I, s:I}", "from_ns",
				  (json_int_t)s->intervals[i].from_ns, "to_ns",
				  (json_int_t)s->intervals[i].to_ns, "frames",
				  (json_int_t)s->intervals[i].frames));
	return json_pack("{s:I, s:I, s:I, s:I, s:I, s:I, s:I, s:I, s:I, s:o}",
			 "frames", (json_int_t)s->frames, "arp",
			 (json_int_t)s->arp, "garp", (json_int_t)s->garp, "na",
			 (json_int_t)s->na, "ipv4", (json_int_t)s->ipv4, "ipv6",
			 (json_int_t)s->ipv6, "other", (json_int_t)s->other,
			 "first_ns", (json_int_t)s->first_ns, "last_ns",
			 (json_int_t)s->last_ns, "intervals", list);
}

static json_t *changes_json(const struct watch *w, const struct watch_key *m)
{
	json_t *list = json_array();

	for (size_t i = 0; i < m->changes_count && i < WATCH_CHANGES_MAX; i++) {
		const struct watch_change *c = &m->changes[i];
		double gap_ms = 0;

		if (c->from >= 0)
			gap_ms = (double)(c->first_ns - c->last_ns) / 1e6;
		json_array_append_new(
			list,
			json_pack("{s:s?, s:s, s:I, s:I, s:f, s:I}", "from",
				  c->from < 0 ? NULL : w->ports[c->from], "to",
				  w->ports[c->to], "last_ns",
				  (json_int_t)c->last_ns, "first_ns",
				  (json_int_t)c->first_ns, "gap_ms", gap_ms,
				  "frames", (json_int_t)c->frames));
	}
	return list;
}

static json_t *doubles_json(const struct watch *w, const struct watch_key *m)
{
	json_t *list = json_array();

	for (size_t i = 0; i < m->doubles_count && i < WATCH_DOUBLES_MAX; i++) {
		const struct watch_double *d = &m->doubles[i];

		json_array_append_new(list,
				      json_pack("{s:s, s:s, s:I, s:I}", "early",
						w->ports[d->early], "late",
						w->ports[d->late], "from_ns",
						(json_int_t)d->from_ns, "to_ns",
						(json_int_t)d->to_ns));
	}
	return list;
}

static json_t *key_json(const struct watch *w, const struct watch_key *m)
{
	json_t *ports = json_object();

	for (size_t p = 0; p < w->ports_len; p++)
		if (m->seen[p].frames)
			json_object_set_new(ports, w->ports[p],
					    seen_json(&m->seen[p]));
	return json_pack("{s:s?, s:o, s:I, s:o, s:f, s:I, s:o}", "owner",
			 m->owner < 0 ? NULL : w->ports[m->owner], "ports",
			 ports, "changes_count", (json_int_t)m->changes_count,
			 "changes", changes_json(w, m), "double_active_ms",
			 (double)m->double_ns / 1e6, "double_active_count",
			 (json_int_t)m->doubles_count, "double_active",
			 doubles_json(w, m));
}

json_t *watch_report(const struct watch *w, uint64_t now_ns)
{
	json_t *macs = json_object(), *addresses = json_object();

	for (size_t i = 0; i < w->keys_len; i++) {
		const struct watch_key *m = &w->keys[i];
		const uint8_t *b = m->bytes;
		char text[18];

		if (m->ipv4)
			snprintf(text, sizeof(text), "%u.%u.%u.%u", b[0], b[1],
				 b[2], b[3]);
		else
			snprintf(text, sizeof(text),
				 "%02x:%02x:%02x:%02x:%02x:%02x", b[0], b[1],
				 b[2], b[3], b[4], b[5]);
		json_object_set_new(m->ipv4 ? addresses : macs, text,
				    key_json(w, m));
	}
	return json_pack("{s:I, s:o, s:o}", "now_ns", (json_int_t)now_ns,
			 "macs", macs, "addresses", addresses);
}
