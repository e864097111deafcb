/*
 * Engine "ipsec-mb": Intel's multi-buffer library, several packets at once in
 * the lanes of a vector unit, on CPUs with SHA extensions or AVX-512. What is
 * encrypted and authenticated RTP goes there, all that is rare (SRTCP, packets
 * without payload, session parameters) through OpenSSL.
 */
#include "sbcd/media/srtp_key.h"

#include <errno.h>
#include <intel-ipsec-mb.h>
#include <openssl/crypto.h>
#include <string.h>
#include <sys/mman.h>
#include "sbcd/media/srtp_memory.h"

enum {
	/* From here on sixteen lanes beat the SHA extensions. */
	WIDE_FROM = 16,
	SHA1_BYTES = 20,
	GCM_IV_BYTES = 12,
	EXPANDED_BYTES = 16 * 15, /* AES-256 */
};

/* In memory that is not dumped: a manager holds what is in its lanes. */
struct managers {
	IMB_MGR *few; /* SHA extensions; NULL without */
	IMB_MGR *many; /* AVX-512; NULL without */
	uint8_t digests[SRTP_BURST_MAX][SHA1_BYTES];
	uint8_t saved[SRTP_BURST_MAX][4];
	struct msrtp_job *jobs[SRTP_BURST_MAX];
	size_t jobs_len;
};

/* ---- engine and keys -----------------------------------------------------
 */

static size_t map_size(void)
{
	return sizeof(struct managers) + 2 * (imb_get_mb_mgr_size() + 64);
}

static IMB_MGR *manager_at(struct managers *m, unsigned n)
{
	uintptr_t at = (uintptr_t)(m + 1) + n * (imb_get_mb_mgr_size() + 64);

	at = (at + 63) & ~(uintptr_t)63;
	return imb_set_pointers_mb_mgr((void *)at, 0, 1);
}

static bool has(const IMB_MGR *m, uint64_t features)
{
	return m && (m->features & features) == features;
}

static int ipsec_mb_start(struct msrtp_engine *e)
{
	struct managers *m;
	int err;

	m = mmap(NULL, map_size(), PROT_READ | PROT_WRITE,
		 MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	if (m == MAP_FAILED)
		return -ENOMEM;
	err = -ENOMEM;
	if (madvise(m, map_size(), MADV_DONTDUMP))
		goto err_unmap;
	m->few = manager_at(m, 0);
	if (has(m->few, IMB_CPUFLAGS_SSE_T2))
		init_mb_mgr_sse(m->few);
	else
		m->few = NULL;
	m->many = manager_at(m, 1);
	if (has(m->many, IMB_CPUFLAGS_AVX512))
		init_mb_mgr_avx512(m->many);
	else
		m->many = NULL;
	err = -ENOTSUP;
	if ((!m->few && !m->many) || (m->few && imb_get_errno(m->few)) ||
	    (m->many && imb_get_errno(m->many)))
		goto err_unmap;
	err = msrtp_openssl_start(e);
	if (err)
		goto err_unmap;
	e->managers = m;
	return 0;

err_unmap:
	munmap(m, map_size());
	return err;
}

static void ipsec_mb_stop(struct msrtp_engine *e)
{
	msrtp_openssl_stop(e);
	explicit_bzero(e->managers, map_size());
	munmap(e->managers, map_size());
	e->managers = NULL;
}

static size_t expanded_size(const struct msrtp_session *s)
{
	return s->aead ? sizeof(struct gcm_key_data) : EXPANDED_BYTES;
}

/* The best for what goes one packet after the other. */
static IMB_MGR *serial(const struct msrtp_engine *e)
{
	const struct managers *m = e->managers;

	return m->many ? m->many : m->few;
}

static int ipsec_mb_key_expand(struct msrtp_engine *e, struct msrtp_key *k)
{
	struct msrtp_session *s = &k->rtp;
	IMB_MGR *m = serial(e);
	/* For decrypting blocks, which counter modes never do. */
	uint8_t unused[EXPANDED_BYTES] __attribute__((aligned(16)));

	if (!s->expanded)
		s->expanded = msrtp_memory_alloc(expanded_size(s));
	if (!s->expanded)
		return -ENOMEM;
	if (s->aead && s->key_size == 32)
		IMB_AES256_GCM_PRE(m, s->key, s->expanded);
	else if (s->aead)
		IMB_AES128_GCM_PRE(m, s->key, s->expanded);
	else if (s->key_size == 32)
		IMB_AES_KEYEXP_256(m, s->key, s->expanded, unused);
	else
		IMB_AES_KEYEXP_128(m, s->key, s->expanded, unused);
	explicit_bzero(unused, sizeof(unused));
	return 0;
}

static void ipsec_mb_key_stop(struct msrtp_key *k)
{
	msrtp_memory_free(k->rtp.expanded, expanded_size(&k->rtp));
}

/* ---- AES-GCM: one packet at a time is fastest ----------------------------
 */

static void gcm_one(IMB_MGR *m, struct msrtp_job *j, bool seal)
{
	struct gcm_context_data context;
	uint8_t tag[SRTP_TAG_MAX];
	uint8_t *at = j->data + j->clear;
	uint64_t size = j->end - j->clear;
	const void *key = j->session->expanded;
	bool wide = j->session->key_size == 32;

	if (seal && wide)
		IMB_AES256_GCM_ENC(m, key, &context, at, at, size, j->iv,
				   j->data, j->clear, tag, sizeof(tag));
	else if (seal)
		IMB_AES128_GCM_ENC(m, key, &context, at, at, size, j->iv,
				   j->data, j->clear, tag, sizeof(tag));
	else if (wide)
		IMB_AES256_GCM_DEC(m, key, &context, at, at, size, j->iv,
				   j->data, j->clear, tag, sizeof(tag));
	else
		IMB_AES128_GCM_DEC(m, key, &context, at, at, size, j->iv,
				   j->data, j->clear, tag, sizeof(tag));
	j->ok = seal || !CRYPTO_memcmp(tag, j->tag, sizeof(tag));
	if (seal)
		memcpy(j->tag, tag, sizeof(tag));
}

/* ---- AES-CM and HMAC-SHA1: bursts ----------------------------------------
 */

static void job_fill(IMB_JOB *to, const struct msrtp_job *j, uint8_t *digest,
		     bool seal)
{
	const struct msrtp_session *s = j->session;

	to->cipher_mode = IMB_CIPHER_CNTR;
	to->hash_alg = IMB_AUTH_HMAC_SHA_1;
	to->cipher_direction = seal ? IMB_DIR_ENCRYPT : IMB_DIR_DECRYPT;
	to->chain_order = seal ? IMB_ORDER_CIPHER_HASH : IMB_ORDER_HASH_CIPHER;
	to->enc_keys = s->expanded;
	to->dec_keys = s->expanded;
	to->key_len_in_bytes = s->key_size;
	to->src = j->data;
	to->dst = j->data + j->clear;
	to->cipher_start_src_offset_in_bytes = j->clear;
	to->msg_len_to_cipher_in_bytes = j->end - j->clear;
	to->hash_start_src_offset_in_bytes = 0;
	to->msg_len_to_hash_in_bytes = j->end + sizeof(j->extra);
	to->iv = j->iv;
	to->iv_len_in_bytes = sizeof(j->iv);
	to->auth_tag_output = digest;
	to->auth_tag_output_len_in_bytes = SHA1_BYTES;
	to->u.HMAC._hashed_auth_key_xor_ipad = (const uint8_t *)s->ipad;
	to->u.HMAC._hashed_auth_key_xor_opad = (const uint8_t *)s->opad;
	to->user_data = (void *)j;
}

/* Marks those that are done. */
static void jobs_done(IMB_JOB *const *done, uint32_t n)
{
	for (uint32_t i = 0; i < n; i++) {
		struct msrtp_job *j = done[i]->user_data;

		j->ok = done[i]->status == IMB_STATUS_COMPLETED;
	}
}

static void run_burst(IMB_MGR *mgr, struct managers *m, bool seal)
{
	uint32_t n = (uint32_t)m->jobs_len, done;
	IMB_JOB *jobs[SRTP_BURST_MAX];

	/* The manager is empty between bursts: there is room for all. */
	if (IMB_GET_NEXT_BURST(mgr, n, jobs) != n)
		return;
	for (uint32_t i = 0; i < n; i++)
		job_fill(jobs[i], m->jobs[i], m->digests[i], seal);
	done = IMB_SUBMIT_BURST_NOCHECK(mgr, n, jobs);
	jobs_done(jobs, done);
	while (done < n) {
		uint32_t more = IMB_FLUSH_BURST(mgr, n - done, jobs);

		if (!more)
			break;
		jobs_done(jobs, more);
		done += more;
	}
}

static void cm_burst(struct msrtp_engine *e, bool seal)
{
	struct managers *m = e->managers;
	bool many = !m->few || m->jobs_len >= WIDE_FROM;

	if (!m->jobs_len)
		return;
	for (size_t i = 0; i < m->jobs_len; i++) {
		struct msrtp_job *j = m->jobs[i];

		/* The ROC is hashed behind the payload: MKI or tag wait. */
		memcpy(m->saved[i], j->data + j->end, sizeof(m->saved[i]));
		memcpy(j->data + j->end, j->extra, sizeof(j->extra));
		j->ok = false;
	}
	run_burst(many && m->many ? m->many : m->few, m, seal);
	for (size_t i = 0; i < m->jobs_len; i++) {
		struct msrtp_job *j = m->jobs[i];
		uint8_t size = j->session->tag_size;

		memcpy(j->data + j->end, m->saved[i], sizeof(m->saved[i]));
		if (seal)
			memcpy(j->tag, m->digests[i], size);
		else
			j->ok = j->ok &&
				!CRYPTO_memcmp(j->tag, m->digests[i], size);
	}
	m->jobs_len = 0;
}

static bool is_common(const struct msrtp_job *j)
{
	const struct msrtp_session *s = j->session;

	/* Only RTP's keys are expanded. */
	return s->expanded && s->tag_size && j->end > j->clear;
}

static void run(struct msrtp_engine *e, struct msrtp_job *jobs, size_t n,
		bool seal)
{
	struct managers *m = e->managers;

	for (size_t i = 0; i < n; i++) {
		if (!is_common(&jobs[i])) {
			if (seal)
				msrtp_openssl_seal(e, &jobs[i], 1);
			else
				msrtp_openssl_open(e, &jobs[i], 1);
		} else if (jobs[i].session->aead) {
			gcm_one(serial(e), &jobs[i], seal);
		} else {
			m->jobs[m->jobs_len++] = &jobs[i];
		}
	}
	cm_burst(e, seal);
}

static void ipsec_mb_seal(struct msrtp_engine *e, struct msrtp_job *jobs,
			  size_t n)
{
	run(e, jobs, n, true);
}

static void ipsec_mb_open(struct msrtp_engine *e, struct msrtp_job *jobs,
			  size_t n)
{
	run(e, jobs, n, false);
}

const struct msrtp_engine_ops msrtp_engine_ipsec_mb = {
	.name = "ipsec-mb",
	.start = ipsec_mb_start,
	.stop = ipsec_mb_stop,
	.key_expand = ipsec_mb_key_expand,
	.key_stop = ipsec_mb_key_stop,
	.protect = msrtp_burst_protect,
	.unprotect = msrtp_burst_unprotect,
	.seal = ipsec_mb_seal,
	.open = ipsec_mb_open,
};
