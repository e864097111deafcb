/*
 * Engine "libsrtp2": every packet through libsrtp2, to compare with. Its
 * sessions keep windows and indexes of their own; ours beside them only say
 * where a stream is.
 */
#include "sbcd/media/srtp_key.h"

#include <errno.h>
#include <pthread.h>
#include <srtp2/srtp.h>
#include <string.h>
#include "sbcd/media/rtp.h"

static int init_error;

static void init(void)
{
	init_error = srtp_init() == srtp_err_status_ok ? 0 : -EIO;
}

static int reference_start(struct msrtp_engine *e)
{
	static pthread_once_t once = PTHREAD_ONCE_INIT;

	pthread_once(&once, init);
	return init_error;
}

static void reference_stop(struct msrtp_engine *e)
{
}

static void policy_fill(srtp_crypto_policy_t *p, const struct msrtp_session *s)
{
	bool wide = s->key_size == 32;
	unsigned services = 0;

	if (s->aead && wide)
		srtp_crypto_policy_set_aes_gcm_256_16_auth(p);
	else if (s->aead)
		srtp_crypto_policy_set_aes_gcm_128_16_auth(p);
	else if (wide && s->tag_size)
		srtp_crypto_policy_set_aes_cm_256_hmac_sha1_80(p);
	else if (wide)
		srtp_crypto_policy_set_aes_cm_256_null_auth(p);
	else if (s->tag_size)
		srtp_crypto_policy_set_aes_cm_128_hmac_sha1_80(p);
	else
		srtp_crypto_policy_set_aes_cm_128_null_auth(p);
	p->auth_tag_len = s->tag_size;
	if (s->encrypted)
		services |= sec_serv_conf;
	if (s->tag_size)
		services |= sec_serv_auth;
	p->sec_serv = services;
}

static int reference_key_start(struct msrtp_engine *e, struct msrtp_key *k,
			       const struct msrtp_params *p)
{
	uint8_t mki[SRTP_MKI_SIZE_MAX], bytes[SRTP_KEY_SIZE_MAX];
	srtp_master_key_t master = {
		.key = bytes, .mki_id = mki, .mki_size = k->mki_size};
	srtp_master_key_t *masters[] = {&master};
	srtp_policy_t policy = {.window_size = SRTP_WINDOW};
	srtp_t session;
	srtp_err_status_t status;

	/* It looks for the MKI of SRTCP where that of SRTP would be. */
	if (k->mki_size && k->rtp.tag_size != k->rtcp.tag_size)
		return -ENOTSUP;
	memset(mki, 0, sizeof(mki));
	for (unsigned i = 0; i < k->mki_size && i < sizeof(k->mki); i++)
		mki[k->mki_size - 1 - i] = (uint8_t)(k->mki >> 8 * i);
	memcpy(bytes, p->key, p->key_size);
	policy_fill(&policy.rtp, &k->rtp);
	policy_fill(&policy.rtcp, &k->rtcp);
	policy.ssrc.type = k->direction == SRTP_SEND ? ssrc_any_outbound
						     : ssrc_any_inbound;
	policy.key = bytes;
	if (k->mki_size) {
		policy.key = NULL;
		policy.keys = masters;
		policy.num_master_keys = 1;
	}
	status = srtp_create(&session, &policy);
	explicit_bzero(bytes, sizeof(bytes));
	if (status != srtp_err_status_ok)
		return -ENOTSUP;
	k->reference = session;
	return 0;
}

static void reference_key_stop(struct msrtp_key *k)
{
	(void)srtp_dealloc(k->reference);
}

static enum srtp_result result_of(srtp_err_status_t status)
{
	switch (status) {
	case srtp_err_status_ok:
		return SRTP_OK;
	case srtp_err_status_auth_fail:
		return SRTP_BAD_TAG;
	case srtp_err_status_replay_fail:
		return SRTP_REPEATED;
	case srtp_err_status_replay_old:
		return SRTP_TOO_OLD;
	case srtp_err_status_bad_mki:
		return SRTP_BAD_MKI;
	case srtp_err_status_key_expired:
	case srtp_err_status_pkt_idx_old:
	case srtp_err_status_pkt_idx_adv:
		return SRTP_EXHAUSTED;
	case srtp_err_status_cant_check:
		return SRTP_BAD_FLAG;
	case srtp_err_status_bad_param:
	case srtp_err_status_parse_err:
		return SRTP_MALFORMED;
	default:
		return SRTP_ENGINE_FAILED;
	}
}

/* What libsrtp2 reads of a header it does not always check. */
static enum srtp_result ssrc_of(const struct msrtp_packet *p, uint32_t *ssrc,
				uint16_t *seq)
{
	struct rtp_header h;

	*seq = 0;
	if (p->size > SRTP_PACKET_SIZE_MAX)
		return SRTP_MALFORMED;
	if (p->rtcp) {
		if (p->size < RTCP_HEADER_BYTES || p->data[0] >> 6 != 2)
			return SRTP_MALFORMED;
		*ssrc = (uint32_t)p->data[4] << 24 |
			(uint32_t)p->data[5] << 16 | (uint32_t)p->data[6] << 8 |
			p->data[7];
		return SRTP_OK;
	}
	if (rtp_parse(&h, p->data, p->size))
		return SRTP_MALFORMED;
	*ssrc = h.ssrc;
	*seq = h.seq;
	return SRTP_OK;
}

/* Follows libsrtp2, for msrtp_export(). */
static void note(struct msrtp_key *k, bool rtcp, uint32_t ssrc, uint16_t seq,
		 uint32_t rtcp_index)
{
	struct msrtp_stream *s = msrtp_stream_find(k, ssrc);

	if (!s)
		s = msrtp_stream_add(k, ssrc);
	if (!s)
		return;
	if (rtcp) {
		msrtp_window_add(&s->rtcp_window, rtcp_index);
		return;
	}
	s->rtp = true;
	msrtp_window_add(&s->rtp_window,
			 rtp_index_guess(s->rtp_window.highest, seq));
}

static bool has_room_for(struct msrtp_key *k, uint32_t ssrc)
{
	return k->streams_len < SRTP_STREAMS_MAX || msrtp_stream_find(k, ssrc);
}

/* SRTCP index of a protected packet; its size was checked. */
static uint32_t index_of(const struct msrtp_packet *p)
{
	const struct msrtp_key *k = p->key;
	uint32_t behind = 4u + k->mki_size;
	const uint8_t *at;

	if (!k->rtcp.aead)
		behind += k->rtcp.tag_size;
	at = p->data + p->size - behind;
	return ((uint32_t)at[0] << 24 | (uint32_t)at[1] << 16 |
		(uint32_t)at[2] << 8 | at[3]) &
	       SRTCP_INDEX_MAX;
}

static uint32_t trailer_size(const struct msrtp_packet *p)
{
	const struct msrtp_key *k = p->key;

	return p->rtcp ? 4u + k->mki_size + k->rtcp.tag_size
		       : (uint32_t)k->mki_size + k->rtp.tag_size;
}

static enum srtp_result protect_one(struct msrtp_packet *p)
{
	struct msrtp_key *k = p->key;
	unsigned mki = k->mki_size != 0;
	int size = (int)p->size;
	enum srtp_result r;
	uint32_t ssrc;
	uint16_t seq;

	r = ssrc_of(p, &ssrc, &seq);
	if (r)
		return r;
	if (p->size > SRTP_PACKET_SIZE_MAX - trailer_size(p))
		return SRTP_MALFORMED;
	if (p->room < p->size + trailer_size(p))
		return SRTP_NO_ROOM;
	if (!has_room_for(k, ssrc))
		return SRTP_MANY_STREAMS;
	if (p->rtcp)
		r = result_of(srtp_protect_rtcp_mki(k->reference, p->data,
						    &size, mki, 0));
	else
		r = result_of(
			srtp_protect_mki(k->reference, p->data, &size, mki, 0));
	if (r)
		return r;
	p->size = (uint32_t)size;
	note(k, p->rtcp, ssrc, seq, p->rtcp ? index_of(p) : 0);
	return SRTP_OK;
}

static enum srtp_result unprotect_one(struct msrtp_packet *p)
{
	struct msrtp_key *k = p->key;
	unsigned mki = k->mki_size != 0;
	int size = (int)p->size;
	uint32_t ssrc, rtcp_index = 0;
	enum srtp_result r;
	uint16_t seq;

	if (p->size <
	    trailer_size(p) + (p->rtcp ? RTCP_HEADER_BYTES : RTP_HEADER_BYTES))
		return SRTP_MALFORMED;
	r = ssrc_of(p, &ssrc, &seq);
	if (r)
		return r;
	if (!has_room_for(k, ssrc))
		return SRTP_MANY_STREAMS;
	if (p->rtcp) {
		rtcp_index = index_of(p);
		r = result_of(srtp_unprotect_rtcp_mki(k->reference, p->data,
						      &size, mki));
	} else {
		r = result_of(
			srtp_unprotect_mki(k->reference, p->data, &size, mki));
	}
	if (r)
		return r;
	p->size = (uint32_t)size;
	note(k, p->rtcp, ssrc, seq, rtcp_index);
	return SRTP_OK;
}

static void reference_protect(struct msrtp_engine *e, struct msrtp_packet *p,
			      size_t n)
{
	for (size_t i = 0; i < n; i++)
		p[i].result = protect_one(&p[i]);
}

static void reference_unprotect(struct msrtp_engine *e, struct msrtp_packet *p,
				size_t n)
{
	for (size_t i = 0; i < n; i++)
		p[i].result = unprotect_one(&p[i]);
}

const struct msrtp_engine_ops msrtp_engine_reference = {
	.name = "libsrtp2",
	.start = reference_start,
	.stop = reference_stop,
	.key_start = reference_key_start,
	.key_stop = reference_key_stop,
	.protect = reference_protect,
	.unprotect = reference_unprotect,
};
