#include "sbcd/media/registry.h"

#include <errno.h>
#include <stdlib.h>

/* Out of memory is reported, not fatal. */
#define HASH_NONFATAL_OOM 1
#include <uthash.h>

/* Compared as bytes: no padding that could differ. */
struct node_key {
	uint64_t id;
	uint64_t sub;
};

struct node {
	struct media_entry entry;
	struct node_key key;
	UT_hash_handle hh;
};

struct media_registry {
	struct node *nodes;
};

int media_registry_create(struct media_registry **out)
{
	struct media_registry *r = calloc(1, sizeof(*r));

	if (!r)
		return -ENOMEM;
	*out = r;
	return 0;
}

static struct node *node_of(struct media_entry *e)
{
	return (struct node *)e;
}

void media_registry_remove(struct media_registry *r, struct media_entry *e)
{
	struct node *n = node_of(e);

	HASH_DEL(r->nodes, n);
	free(e->waiting);
	free(n);
}

void media_registry_destroy(struct media_registry *r)
{
	struct node *n, *next;

	if (!r)
		return;
	HASH_ITER (hh, r->nodes, n, next) {
		media_registry_remove(r, &n->entry);
	}
	free(r);
}

struct media_entry *media_registry_find(struct media_registry *r,
					const struct ha_key *key)
{
	struct node_key k = {.id = key->id, .sub = key->sub};
	struct node *n;

	HASH_FIND(hh, r->nodes, &k, sizeof(k), n);
	return n ? &n->entry : NULL;
}

struct media_entry *media_registry_add(struct media_registry *r,
				       const struct ha_key *key)
{
	struct media_entry *e = media_registry_find(r, key);
	struct node *n;

	if (e)
		return e;
	n = calloc(1, sizeof(*n));
	if (!n)
		return NULL;
	n->key.id = key->id;
	n->key.sub = key->sub;
	n->entry.key = *key;
	n->entry.key.kind = REC_MEDIA;
	HASH_ADD(hh, r->nodes, key, sizeof(n->key), n);
	if (!n->hh.tbl) {
		free(n);
		return NULL;
	}
	return &n->entry;
}

void media_registry_each(struct media_registry *r, media_registry_fn *fn,
			 void *ctx)
{
	struct node *n, *next;

	HASH_ITER (hh, r->nodes, n, next) {
		fn(ctx, &n->entry);
	}
}

uint64_t media_registry_len(const struct media_registry *r)
{
	return HASH_COUNT(r->nodes);
}

uint64_t media_registry_streams(const struct media_registry *r)
{
	uint64_t len = 0;

	for (struct node *n = r->nodes; n; n = n->hh.next)
		len += n->entry.stream != NULL;
	return len;
}

uint64_t media_registry_orphans(const struct media_registry *r)
{
	uint64_t len = 0;

	for (struct node *n = r->nodes; n; n = n->hh.next)
		len += n->entry.stream == NULL;
	return len;
}
