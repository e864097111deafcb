#include "srtpwatch.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

enum {
	KEYS_MAX = 65536,
	PENDING_MAX = 16384, /* packets that came before their key */
	ROCS_TRIED = 4, /* of a stream nothing is known of */
	STREAMS_PER_KEY = 16,
	SEEN_FIRST = 1 << 16,
};

struct stream {
	uint32_t ssrc;
	bool rtcp;
	uint64_t highest;
};

struct key {
	struct sw_crypt crypt;
	uint32_t ip;
	uint16_t port;
	int next; /* older key of the same hash of (ip, port); -1 */
	unsigned streams_len;
	struct stream streams[STREAMS_PER_KEY];
};

struct pending {
	struct sw_packet p; /* its data is ours; NULL: empty */
	bool keyed; /* somebody had told a key of that place */
};

/* An index that was used, and for what. */
struct seen {
	uint64_t index;
	uint32_t key, ssrc;
	uint64_t digest; /* of the packet; 0: empty */
	uint32_t rtcp, pad;
};

struct sw_judge {
	struct key **keys;
	int places[4096];
	struct pending pending[PENDING_MAX];
	size_t pending_at;
	struct seen *seen;
	size_t seen_len, seen_room;
	struct sw_report total;
	struct sw_reuse reuses[SW_REUSES_MAX];
	size_t reuses_len;
};

static uint64_t fnv(uint64_t h, const void *data, size_t size)
{
	const uint8_t *p = data;

	for (size_t i = 0; i < size; i++)
		h = (h ^ p[i]) * 0x100000001b3ull;
	return h;
}

/* ---- indexes --------------------------------------------------------------
 */

static struct seen *seen_slot(struct seen *table, size_t room,
			      const struct seen *s)
{
	const uint64_t words[] = {s->index, (uint64_t)s->key << 32 | s->ssrc,
				  s->rtcp};
	uint64_t h = fnv(0xcbf29ce484222325ull, words, sizeof(words));

	for (size_t i = h ^ h >> 29;; i++) {
		struct seen *at = &table[i & (room - 1)];

		if (!at->digest ||
		    (at->index == s->index && at->key == s->key &&
		     at->ssrc == s->ssrc && at->rtcp == s->rtcp))
			return at;
	}
}

static void seen_grow(struct sw_judge *j)
{
	size_t room = j->seen_room * 2;
	struct seen *table = calloc(room, sizeof(*table));

	if (!table)
		abort();
	for (size_t i = 0; i < j->seen_room; i++)
		if (j->seen[i].digest)
			*seen_slot(table, room, &j->seen[i]) = j->seen[i];
	free(j->seen);
	j->seen = table;
	j->seen_room = room;
}

static void note(struct sw_judge *j, const struct seen *s,
		 const struct sw_packet *p)
{
	struct seen *at = seen_slot(j->seen, j->seen_room, s);

	if (!at->digest) {
		*at = *s;
		if (++j->seen_len > j->seen_room / 2)
			seen_grow(j);
		return;
	}
	if (at->digest == s->digest) {
		j->total.repeats++;
		return;
	}
	j->total.reused++;
	if (j->reuses_len < SW_REUSES_MAX)
		j->reuses[j->reuses_len++] = (struct sw_reuse){
			.key = s->key,
			.ssrc = s->ssrc,
			.rtcp = s->rtcp,
			.index = s->index,
			.at_ns = p->at_ns,
			.where = p->where,
		};
}

/* ---- one packet -----------------------------------------------------------
 */

static bool is_rtcp(const struct sw_packet *p)
{
	return p->data[1] >= 192 && p->data[1] <= 223;
}

static uint32_t ssrc_of(const struct sw_packet *p)
{
	const uint8_t *at = p->data + (is_rtcp(p) ? 4 : 8);

	return (uint32_t)at[0] << 24 | (uint32_t)at[1] << 16 |
	       (uint32_t)at[2] << 8 | at[3];
}

static struct stream *stream_of(struct key *k, uint32_t ssrc, bool rtcp)
{
	for (unsigned i = 0; i < k->streams_len; i++)
		if (k->streams[i].ssrc == ssrc && k->streams[i].rtcp == rtcp)
			return &k->streams[i];
	return NULL;
}

/* Any ROC is tried that may be meant: which one it was, the tag tells. */
static bool rtp_index(struct key *k, const struct stream *s,
		      const struct sw_packet *p, uint64_t *index)
{
	uint32_t seq = (uint32_t)p->data[2] << 8 | p->data[3];
	uint32_t roc = s ? (uint32_t)(s->highest >> 16) : 0;
	int64_t first = s ? -1 : 0, last = s ? 2 : ROCS_TRIED;

	for (int64_t d = first; d < last; d++) {
		if ((int64_t)roc + d < 0 ||
		    !sw_rtp_is(&k->crypt, p->data, p->size,
			       (uint32_t)(roc + d)))
			continue;
		*index = (uint64_t)(roc + d) << 16 | seq;
		return true;
	}
	/* Somebody who restored a wrong ROC goes back far. */
	for (uint32_t r = 0; s && r < roc; r++) {
		if (!sw_rtp_is(&k->crypt, p->data, p->size, r))
			continue;
		*index = (uint64_t)r << 16 | seq;
		return true;
	}
	return false;
}

static bool open_with(struct sw_judge *j, uint32_t number,
		      const struct sw_packet *p)
{
	struct key *k = j->keys[number];
	bool rtcp = is_rtcp(p);
	struct stream *s = stream_of(k, ssrc_of(p), rtcp);
	struct seen seen = {.key = number, .ssrc = ssrc_of(p), .rtcp = rtcp};
	uint32_t index = 0;

	if (rtcp ? !sw_rtcp_is(&k->crypt, p->data, p->size, &index)
		 : !rtp_index(k, s, p, &seen.index))
		return false;
	if (rtcp)
		seen.index = index;
	if (!s && k->streams_len < STREAMS_PER_KEY) {
		s = &k->streams[k->streams_len++];
		*s = (struct stream){.ssrc = seen.ssrc, .rtcp = rtcp};
		j->total.streams++;
	}
	if (s && seen.index > s->highest)
		s->highest = seen.index;
	if (!rtcp && seen.index >> 16 > j->total.roc_max)
		j->total.roc_max = seen.index >> 16;
	seen.digest = fnv(0xcbf29ce484222325ull, p->data, p->size) | 1;
	j->total.rtp += !rtcp;
	j->total.rtcp += rtcp;
	note(j, &seen, p);
	return true;
}

static unsigned place_of(uint32_t ip, uint16_t port)
{
	return (ip >> 24 ^ ip >> 16 ^ port >> 1) & 4095;
}

/* True: its key is known. *keyed: some key of that place is. */
static bool take(struct sw_judge *j, const struct sw_packet *p, bool *keyed)
{
	uint16_t rtp_port = p->port & ~1u;
	int k = j->places[place_of(p->ip, rtp_port)];

	*keyed = false;
	for (; k >= 0; k = j->keys[k]->next) {
		if (j->keys[k]->ip != p->ip || j->keys[k]->port != rtp_port)
			continue;
		*keyed = true;
		if (open_with(j, (uint32_t)k, p))
			return true;
	}
	return false;
}

static void pending_end(struct sw_judge *j, struct pending *w)
{
	if (!w->p.data)
		return;
	j->total.unknown += w->keyed;
	j->total.plain += !w->keyed;
	free((void *)w->p.data);
	w->p.data = NULL;
}

void sw_judge_packet(struct sw_judge *j, const struct sw_packet *p)
{
	struct pending *w = &j->pending[j->pending_at % PENDING_MAX];
	uint8_t *copy;
	bool keyed;

	if (p->size < 12 || p->data[0] >> 6 != 2 || take(j, p, &keyed))
		return;
	pending_end(j, w);
	copy = malloc(p->size);
	if (!copy)
		abort();
	memcpy(copy, p->data, p->size);
	w->p = *p;
	w->p.data = copy;
	w->keyed = keyed;
	j->pending_at++;
}

/* Oldest first: the order of a stream's packets tells its ROC. */
static void pending_retry(struct sw_judge *j, uint32_t ip, uint16_t port)
{
	for (size_t i = 0; i < PENDING_MAX; i++) {
		struct pending *w =
			&j->pending[(j->pending_at + i) % PENDING_MAX];

		if (!w->p.data || w->p.ip != ip || (w->p.port & ~1u) != port ||
		    !take(j, &w->p, &w->keyed))
			continue;
		free((void *)w->p.data);
		w->p.data = NULL;
	}
}

/* ---- keys -----------------------------------------------------------------
 */

int sw_judge_key(struct sw_judge *j, const char *suite, const char *base64,
		 uint32_t ip, uint16_t port)
{
	int *place = &j->places[place_of(ip, port & ~1u)];
	struct key *k;
	int err;

	if (j->total.keys == KEYS_MAX)
		return -ENOSPC;
	k = calloc(1, sizeof(*k));
	if (!k)
		return -ENOMEM;
	err = sw_crypt_init(&k->crypt, suite, base64);
	for (int i = *place; !err && i >= 0; i = j->keys[i]->next)
		if (j->keys[i]->ip == ip && j->keys[i]->port == (port & ~1u) &&
		    j->keys[i]->crypt.suite == k->crypt.suite &&
		    !memcmp(j->keys[i]->crypt.master, k->crypt.master,
			    sizeof(k->crypt.master)))
			err = -EEXIST;
	if (err) {
		free(k);
		return err == -EEXIST ? 0 : err;
	}
	k->ip = ip;
	k->port = port & ~1u;
	k->next = *place;
	*place = (int)j->total.keys;
	j->keys[j->total.keys++] = k;
	pending_retry(j, ip, k->port);
	return 0;
}

/* ---- life -----------------------------------------------------------------
 */

int sw_judge_create(struct sw_judge **out)
{
	struct sw_judge *j = calloc(1, sizeof(*j));

	if (!j)
		return -ENOMEM;
	j->keys = calloc(KEYS_MAX, sizeof(struct key *));
	j->seen_room = SEEN_FIRST;
	j->seen = calloc(j->seen_room, sizeof(*j->seen));
	if (!j->keys || !j->seen) {
		sw_judge_destroy(j);
		return -ENOMEM;
	}
	memset(j->places, 0xff, sizeof(j->places));
	*out = j;
	return 0;
}

void sw_judge_destroy(struct sw_judge *j)
{
	for (size_t i = 0; i < PENDING_MAX; i++)
		free((void *)j->pending[i].p.data);
	for (size_t i = 0; i < j->total.keys; i++)
		free(j->keys[i]);
	free(j->keys);
	free(j->seen);
	free(j);
}

void sw_judge_report(struct sw_judge *j, struct sw_report *out)
{
	*out = j->total;
	for (size_t i = 0; i < PENDING_MAX; i++) {
		out->unknown += j->pending[i].p.data && j->pending[i].keyed;
		out->plain += j->pending[i].p.data && !j->pending[i].keyed;
	}
}

size_t sw_judge_unknowns(const struct sw_judge *j, const struct sw_packet **out,
			 size_t max)
{
	size_t n = 0;

	for (size_t i = 0; i < PENDING_MAX && n < max; i++)
		if (j->pending[i].p.data && j->pending[i].keyed)
			out[n++] = &j->pending[i].p;
	return n;
}

size_t sw_judge_reuses(const struct sw_judge *j, const struct sw_reuse **out)
{
	*out = j->reuses;
	return j->reuses_len;
}
