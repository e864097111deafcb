/* ocsp_desk - see ocsp_desk.h */
#include "sbcd/sip/ocsp_desk.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include <openssl/x509.h>
#define HASH_NONFATAL_OOM 1
#include <uthash.h>

#include "sbcd/sip/ocsp_fetch.h"

_Static_assert((int)REC_OCSP_ID_SIZE == TLS_OCSP_ID_BYTES, "one name");
_Static_assert((int)REC_OCSP_SIZE == TLS_OCSP_RESPONSE_MAX_BYTES, "one bound");

enum { RENEW_MIN_S = OCSP_DESK_AGAIN_MS / 1000 };

struct waiter {
	uint64_t token;
	bool ignore_dead;
};

/* What is known of one certificate. */
struct known {
	UT_hash_handle hh;
	uint8_t id[TLS_OCSP_ID_BYTES];
	/* A response; `checked`: by us, then `answer` is what it says. */
	uint8_t *der;
	size_t der_size;
	bool checked;
	struct tls_ocsp_answer answer;
	int64_t renew_s; /* a staple: asked for anew from then on */
	uint64_t again_ms; /* not asked before that */
	/* Being asked: */
	uint64_t fetch; /* token of the job; 0: not now */
	uint64_t give_up_ms;
	struct tls_ocsp_subject subject; /* references */
	struct waiter waiters[OCSP_DESK_WAITERS_MAX];
	unsigned waiters_len;
};

struct ocsp_desk {
	const struct ocsp_desk_ops *ops;
	void *ctx;
	struct ocsp_fetch *fetch;
	struct known *known; /* the longest unused first */
	uint64_t next_fetch;
	struct ocsp_fetch_result result; /* scratch */
	struct rec_ocsp record; /* likewise */
};

int ocsp_desk_create(struct ocsp_desk **out, const struct ocsp_desk_ops *ops,
		     void *ctx)
{
	struct ocsp_desk *d = calloc(1, sizeof(*d));
	int err;

	if (!d)
		return -ENOMEM;
	err = ocsp_fetch_create(&d->fetch);
	if (err) {
		free(d);
		return err;
	}
	d->ops = ops;
	d->ctx = ctx;
	*out = d;
	return 0;
}

/* ---- records ---------------------------------------------------------------
 */

/* Certificates share a record only if two digests begin alike; then one of
 * them is asked for again. */
static uint64_t record_id(const struct known *k)
{
	uint64_t id;

	memcpy(&id, k->id, sizeof(id));
	return id;
}

static void put(struct ocsp_desk *d, const struct known *k)
{
	struct rec_ocsp *r = &d->record;

	if (!d->ops->put)
		return;
	r->certificate.size = sizeof(k->id);
	memcpy(r->certificate.data, k->id, sizeof(k->id));
	r->until_s = (uint64_t)k->answer.until_s;
	r->response.size = (uint32_t)k->der_size;
	memcpy(r->response.data, k->der, k->der_size);
	d->ops->put(d->ctx, record_id(k), r);
}

static void drop_response(struct ocsp_desk *d, struct known *k)
{
	if (!k->der)
		return;
	if (d->ops->put)
		d->ops->put(d->ctx, record_id(k), NULL);
	free(k->der);
	k->der = NULL;
	k->checked = false;
}

/* ---- what is known ---------------------------------------------------------
 */

static void stop_asking(struct known *k)
{
	k->fetch = 0;
	k->waiters_len = 0;
	X509_free(k->subject.cert);
	X509_free(k->subject.issuer);
	k->subject = (struct tls_ocsp_subject){NULL, NULL};
}

/* Its record, if there is one, stays. */
static void forget(struct ocsp_desk *d, struct known *k)
{
	HASH_DEL(d->known, k);
	stop_asking(k);
	free(k->der);
	free(k);
}

void ocsp_desk_destroy(struct ocsp_desk *d)
{
	if (!d)
		return;
	while (d->known)
		forget(d, d->known);
	ocsp_fetch_destroy(d->fetch);
	free(d);
}

/* Room for one more: that goes which was not used for the longest time. */
static bool make_room(struct ocsp_desk *d)
{
	struct known *k, *next;

	if (HASH_COUNT(d->known) < OCSP_DESK_CERTIFICATES_MAX)
		return true;
	HASH_ITER (hh, d->known, k, next) {
		if (k->fetch)
			continue;
		drop_response(d, k);
		forget(d, k);
		return true;
	}
	return false;
}

static struct known *find(struct ocsp_desk *d, const uint8_t *id)
{
	struct known *k = NULL;

	HASH_FIND(hh, d->known, id, TLS_OCSP_ID_BYTES, k);
	return k;
}

static struct known *add(struct ocsp_desk *d, const uint8_t *id)
{
	struct known *k;

	if (!make_room(d))
		return NULL;
	k = calloc(1, sizeof(*k));
	if (!k)
		return NULL;
	memcpy(k->id, id, sizeof(k->id));
	HASH_ADD(hh, d->known, id, sizeof(k->id), k);
	if (!k->hh.tbl) {
		free(k);
		return NULL;
	}
	return k;
}

static struct known *get(struct ocsp_desk *d, const uint8_t *id)
{
	struct known *k = find(d, id);

	if (!k)
		return add(d, id);
	/* the last of the list is what was used last */
	HASH_DEL(d->known, k);
	HASH_ADD(hh, d->known, id, sizeof(k->id), k);
	if (!k->hh.tbl) {
		stop_asking(k);
		free(k->der);
		free(k);
		return NULL;
	}
	return k;
}

static int64_t keep_until(const struct tls_ocsp_answer *a, int64_t wall_s)
{
	int64_t most = wall_s + OCSP_DESK_KEEP_S;

	/* one that is older than its date is still good for the skew */
	return a->until_s < most ? a->until_s + TLS_OCSP_SKEW_S : most;
}

/* Half of its time over, there is as much left to get a new one. */
static int64_t renew_at(int64_t until_s, int64_t wall_s)
{
	int64_t wait_s = (until_s - wall_s) / 2;

	return wall_s + (wait_s > RENEW_MIN_S ? wait_s : RENEW_MIN_S);
}

/* A response that was checked becomes what is known. */
static int learn(struct ocsp_desk *d, struct known *k, const void *der,
		 size_t size, const struct tls_ocsp_answer *a)
{
	uint8_t *copy = malloc(size);

	if (!copy)
		return -ENOMEM;
	memcpy(copy, der, size);
	free(k->der);
	k->der = copy;
	k->der_size = size;
	k->answer = *a;
	k->checked = true;
	put(d, k);
	return 0;
}

static int check_and_learn(struct ocsp_desk *d, struct known *k,
			   const struct tls_ocsp_subject *s, const void *der,
			   size_t size, int64_t wall_s)
{
	struct tls_ocsp_answer a;
	int err = tls_ocsp_check(s, der, size, wall_s, &a);

	if (err)
		return err;
	a.until_s = keep_until(&a, wall_s);
	err = learn(d, k, der, size, &a);
	if (!err)
		k->renew_s = renew_at(a.until_s, wall_s);
	return err;
}

/* Is what is known still so? What the other node left is looked at now. */
static bool is_known(struct ocsp_desk *d, struct known *k,
		     const struct tls_ocsp_subject *s, int64_t wall_s)
{
	if (!k->der)
		return false;
	if (!k->checked) {
		struct tls_ocsp_answer a;

		if (tls_ocsp_check(s, k->der, k->der_size, wall_s, &a)) {
			drop_response(d, k);
			return false;
		}
		k->answer.status = a.status;
		k->answer.since_s = a.since_s;
		/* no longer than it was kept there */
		if (k->answer.until_s > keep_until(&a, wall_s))
			k->answer.until_s = keep_until(&a, wall_s);
		k->renew_s = renew_at(k->answer.until_s, wall_s);
		k->checked = true;
	}
	if (wall_s > k->answer.until_s) {
		drop_response(d, k);
		return false;
	}
	return true;
}

static void say(const struct known *k, bool known, bool ignore_dead,
		struct ocsp_word *out)
{
	out->ok = known ? k->answer.status == TLS_OCSP_GOOD : ignore_dead;
	out->why = !known ? TLS_REASON_NO_STATUS
		   : k->answer.status == TLS_OCSP_REVOKED
			   ? TLS_REASON_REVOKED
			   : TLS_REASON_STATUS_UNKNOWN;
}

/* ---- asking ----------------------------------------------------------------
 */

static int start(struct ocsp_desk *d, struct known *k,
		 const struct tls_ocsp_subject *s, const struct ocsp_now *now)
{
	uint8_t request[TLS_OCSP_REQUEST_MAX_BYTES];
	struct tls_ocsp_url url;
	size_t size;
	int err;

	if (k->fetch)
		return 0;
	if (now->mono_ms < k->again_ms)
		return -EHOSTUNREACH;
	err = tls_ocsp_url(s->cert, &url);
	if (!err)
		err = tls_ocsp_request(s, request, &size);
	if (!err)
		err = ocsp_fetch_ask(d->fetch, d->next_fetch + 1, &url, request,
				     size);
	if (err)
		return err;
	k->fetch = ++d->next_fetch;
	k->give_up_ms = now->mono_ms + OCSP_DESK_WAIT_MS;
	X509_up_ref(s->cert);
	X509_up_ref(s->issuer);
	k->subject = *s;
	return 0;
}

int ocsp_desk_ask(struct ocsp_desk *d, const struct ocsp_question *q,
		  const struct ocsp_now *now, struct ocsp_word *out)
{
	const struct tls_ocsp_subject *s = &q->subject;
	uint8_t id[TLS_OCSP_ID_BYTES];
	struct known *k;
	bool known;

	*out = (struct ocsp_word){q->ignore_dead, TLS_REASON_NO_STATUS};
	if (tls_ocsp_id(s, id))
		return 0;
	k = get(d, id);
	if (!k)
		return 0;
	known = is_known(d, k, s, now->wall_s);
	/* that it was revoked is not taken back by what the peer shows us */
	if (!known && q->staple_size)
		known = !check_and_learn(d, k, s, q->staple, q->staple_size,
					 now->wall_s);
	if (!known && k->waiters_len < OCSP_DESK_WAITERS_MAX &&
	    !start(d, k, s, now)) {
		k->waiters[k->waiters_len++] =
			(struct waiter){q->token, q->ignore_dead};
		return -EINPROGRESS;
	}
	say(k, known, q->ignore_dead, out);
	return 0;
}

void ocsp_desk_forget(struct ocsp_desk *d, uint64_t token)
{
	struct known *k, *next;

	HASH_ITER (hh, d->known, k, next)
		for (unsigned i = 0; i < k->waiters_len; i++)
			if (k->waiters[i].token == token)
				k->waiters[i].token = 0;
}

int ocsp_desk_staple(struct ocsp_desk *d, const struct tls_ocsp_subject *own,
		     const struct ocsp_now *now, const uint8_t **out,
		     size_t *size)
{
	uint8_t id[TLS_OCSP_ID_BYTES];
	struct known *k;
	bool known;

	if (tls_ocsp_id(own, id))
		return -EAGAIN;
	k = get(d, id);
	if (!k)
		return -EAGAIN;
	known = is_known(d, k, own, now->wall_s);
	if (!known || now->wall_s >= k->renew_s)
		(void)!start(d, k, own, now);
	/* what is bad of it is nothing that we would show */
	if (!known || k->answer.status != TLS_OCSP_GOOD)
		return -EAGAIN;
	*out = k->der;
	*size = k->der_size;
	return 0;
}

/* ---- answers ---------------------------------------------------------------
 */

/* Of those who wait, in whatever they do when they are told. */
static void tell(struct ocsp_desk *d, struct known *k, bool known)
{
	struct waiter told[OCSP_DESK_WAITERS_MAX];
	struct ocsp_word words[2];
	unsigned len = k->waiters_len;

	memcpy(told, k->waiters, len * sizeof(told[0]));
	say(k, known, false, &words[false]);
	say(k, known, true, &words[true]);
	stop_asking(k);
	for (unsigned i = 0; i < len; i++)
		if (told[i].token)
			d->ops->told(d->ctx, told[i].token,
				     &words[told[i].ignore_dead]);
}

static struct known *find_fetch(struct ocsp_desk *d, uint64_t fetch)
{
	struct known *k, *next;

	HASH_ITER (hh, d->known, k, next)
		if (k->fetch == fetch)
			return k;
	return NULL;
}

static void answered(struct ocsp_desk *d, const struct ocsp_now *now)
{
	const struct ocsp_fetch_result *r = &d->result;
	struct known *k = find_fetch(d, r->token);
	int err = r->err;

	if (!k) /* given up */
		return;
	if (!err)
		err = check_and_learn(d, k, &k->subject, r->data, r->size,
				      now->wall_s);
	if (err)
		k->again_ms = now->mono_ms + OCSP_DESK_AGAIN_MS;
	/* or was it here already, with somebody's staple? */
	tell(d, k, !err || is_known(d, k, &k->subject, now->wall_s));
}

/* One that has just been given up, or that nothing is known of any more. */
static struct known *find_late(struct ocsp_desk *d, const struct ocsp_now *now)
{
	struct known *k, *next;

	HASH_ITER (hh, d->known, k, next)
		if (k->fetch ? now->mono_ms >= k->give_up_ms
			     : (k->der ? now->wall_s > k->answer.until_s
				       : now->mono_ms >= k->again_ms))
			return k;
	return NULL;
}

void ocsp_desk_turn(struct ocsp_desk *d, const struct ocsp_now *now)
{
	struct known *k;

	while (ocsp_fetch_take(d->fetch, &d->result))
		answered(d, now);
	/* from the start each time: whoever is told may ask */
	while ((k = find_late(d, now))) {
		if (k->fetch) {
			k->again_ms = now->mono_ms + OCSP_DESK_AGAIN_MS;
			tell(d, k, false);
		} else {
			drop_response(d, k);
			forget(d, k);
		}
	}
}

int ocsp_desk_fd(const struct ocsp_desk *d)
{
	return ocsp_fetch_fd(d->fetch);
}

/* ---- from the other node ---------------------------------------------------
 */

static struct known *find_record(struct ocsp_desk *d, uint64_t id)
{
	struct known *k, *next;

	HASH_ITER (hh, d->known, k, next)
		if (record_id(k) == id)
			return k;
	return NULL;
}

int ocsp_desk_restore(struct ocsp_desk *d, uint64_t id,
		      const struct rec_ocsp *r)
{
	struct known *k = find_record(d, id);
	uint8_t *copy;

	if (k)
		forget(d, k);
	if (!r)
		return 0;
	if (r->certificate.size != TLS_OCSP_ID_BYTES ||
	    memcmp(r->certificate.data, &id, sizeof(id)) != 0 ||
	    !r->response.size || r->until_s > INT64_MAX)
		return -EBADMSG;
	/* what is too much is the active's to delete */
	if (HASH_COUNT(d->known) >= OCSP_DESK_CERTIFICATES_MAX)
		forget(d, d->known);
	copy = malloc(r->response.size);
	k = copy ? add(d, r->certificate.data) : NULL;
	if (!k) {
		free(copy);
		return -ENOMEM;
	}
	memcpy(copy, r->response.data, r->response.size);
	k->der = copy;
	k->der_size = r->response.size;
	k->answer.until_s = (int64_t)r->until_s;
	return 0;
}
