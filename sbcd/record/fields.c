#include "sbcd/record/fields.h"

/*
 * Tags are append-only and never used for a second meaning; members stand in
 * the order of their struct (the decoder's zeroing relies on it for byte
 * members, a test checks it for all).
 */
#define MEMBER_SIZE(rec, member) sizeof(((struct rec *)0)->member)
#define FIELD(number, form, rec, member)                                       \
	{                                                                      \
		.tag = number, .type = form, .name = #member,                  \
		.offset = offsetof(struct rec, member),                        \
		.size = MEMBER_SIZE(rec, member)                               \
	}
/* Never printed. */
#define SECRET(number, form, rec, member)                                      \
	{                                                                      \
		.tag = number, .type = form, .flags = RECORD_SECRET,           \
		.name = #member, .offset = offsetof(struct rec, member),       \
		.size = MEMBER_SIZE(rec, member)                               \
	}
#define ARRAY(number, rec, member, table)                                      \
	{                                                                      \
		.tag = number, .type = RT_ARRAY, .name = #member,              \
		.offset = offsetof(struct rec, member),                        \
		.size = MEMBER_SIZE(rec, member[0]),                           \
		.max = MEMBER_SIZE(rec, member) / MEMBER_SIZE(rec, member[0]), \
		.len_offset = offsetof(struct rec, member##_len),              \
		.fields = table                                                \
	}
#define END                                                                    \
	{                                                                      \
		.tag = 0                                                       \
	}

static const struct record_field call_leg_fields[] = {
	FIELD(1, RT_U16, rec_call_leg, leg),
	FIELD(2, RT_U8, rec_call_leg, role),
	FIELD(3, RT_STR, rec_call_leg, sip_interface),
	FIELD(4, RT_STR, rec_call_leg, agent),
	FIELD(5, RT_U32, rec_call_leg, acked_cseq),
	END,
};

static const struct record_field call_fields[] = {
	FIELD(1, RT_U8, rec_call, state),
	FIELD(2, RT_U64, rec_call, created_ms),
	FIELD(3, RT_U64, rec_call, ringing_ms),
	FIELD(4, RT_U64, rec_call, answered_ms),
	FIELD(5, RT_U64, rec_call, ending_ms),
	FIELD(6, RT_U64, rec_call, max_duration_deadline_ms),
	FIELD(7, RT_U16, rec_call, next_txn),
	FIELD(8, RT_U16, rec_call, end_cause),
	FIELD(9, RT_U8, rec_call, ended_by_leg),
	FIELD(10, RT_STR, rec_call, from_uri),
	FIELD(11, RT_STR, rec_call, to_uri),
	FIELD(12, RT_STR, rec_call, end_text),
	ARRAY(13, rec_call, legs, call_leg_fields),
	FIELD(14, RT_U64, rec_call, epoch),
	END,
};

static const struct record_field dialog_fields[] = {
	FIELD(1, RT_U8, rec_dialog, state),
	FIELD(2, RT_U8, rec_dialog, transport),
	FIELD(3, RT_STR, rec_dialog, sip_interface),
	FIELD(4, RT_STR, rec_dialog, call_id),
	FIELD(5, RT_STR, rec_dialog, local_uri),
	FIELD(6, RT_STR, rec_dialog, remote_uri),
	FIELD(7, RT_STR, rec_dialog, local_tag),
	FIELD(8, RT_STR, rec_dialog, remote_tag),
	FIELD(9, RT_U32, rec_dialog, local_cseq),
	FIELD(10, RT_U32, rec_dialog, remote_cseq),
	FIELD(11, RT_U32, rec_dialog, invite_cseq),
	FIELD(12, RT_STR, rec_dialog, remote_target),
	FIELD(13, RT_STR, rec_dialog, route),
	FIELD(14, RT_ADDR, rec_dialog, peer),
	FIELD(15, RT_U64, rec_dialog, sdp_version),
	FIELD(16, RT_U64, rec_dialog, sdp_session),
	FIELD(17, RT_BYTES, rec_dialog, local_sdp),
	FIELD(18, RT_BYTES, rec_dialog, remote_sdp),
	FIELD(19, RT_U64, rec_dialog, session_expires_ms),
	FIELD(20, RT_U8, rec_dialog, session_refresher),
	FIELD(21, RT_BOOL, rec_dialog, ack_has_sdp),
	FIELD(22, RT_U32, rec_dialog, relayed_cseq),
	FIELD(23, RT_U32, rec_dialog, sdp_pairs),
	FIELD(24, RT_U32, rec_dialog, sdp_plain),
	FIELD(25, RT_BOOL, rec_dialog, offer_due),
	FIELD(26, RT_BYTES, rec_dialog, agreed_sdp),
	FIELD(27, RT_U32, rec_dialog, agreed_pairs),
	FIELD(28, RT_U32, rec_dialog, agreed_plain),
	END,
};

static const struct record_field txn_fields[] = {
	FIELD(1, RT_U8, rec_txn, side),
	FIELD(2, RT_U8, rec_txn, state),
	FIELD(3, RT_U8, rec_txn, transport),
	FIELD(4, RT_U16, rec_txn, leg),
	FIELD(5, RT_U16, rec_txn, pair),
	FIELD(6, RT_BOOL, rec_txn, pair_valid),
	FIELD(7, RT_STR, rec_txn, method),
	FIELD(8, RT_U32, rec_txn, cseq),
	FIELD(9, RT_STR, rec_txn, branch),
	FIELD(10, RT_STR, rec_txn, sip_interface),
	FIELD(11, RT_ADDR, rec_txn, peer),
	FIELD(12, RT_U16, rec_txn, last_status),
	FIELD(13, RT_U64, rec_txn, retransmit_until_ms),
	FIELD(14, RT_BYTES, rec_txn, request),
	FIELD(15, RT_BYTES, rec_txn, response),
	FIELD(16, RT_BOOL, rec_txn, delayed_offer),
	FIELD(17, RT_BOOL, rec_txn, wants_prack),
	FIELD(18, RT_U32, rec_txn, rseq),
	FIELD(19, RT_BOOL, rec_txn, unpracked),
	FIELD(20, RT_BOOL, rec_txn, agreed),
	END,
};

static const struct record_field flow_fields[] = {
	FIELD(1, RT_U16, rec_flow, leg),
	FIELD(2, RT_STR, rec_flow, network_interface),
	FIELD(3, RT_ADDR, rec_flow, local),
	FIELD(4, RT_ADDR, rec_flow, remote),
	FIELD(5, RT_ADDR, rec_flow, remote_rtcp),
	FIELD(6, RT_U8, rec_flow, direction),
	FIELD(7, RT_BOOL, rec_flow, rtcp_mux),
	FIELD(8, RT_BOOL, rec_flow, latch),
	FIELD(9, RT_U8, rec_flow, sdes_state),
	FIELD(10, RT_U32, rec_flow, last_key),
	FIELD(11, RT_BOOL, rec_flow, key_shared),
	END,
};

static const struct record_field key_fields[] = {
	FIELD(1, RT_U16, rec_key, leg),
	FIELD(2, RT_U8, rec_key, use),
	FIELD(3, RT_U8, rec_key, suite),
	FIELD(4, RT_U8, rec_key, flags),
	FIELD(5, RT_BOOL, rec_key, draft_name),
	FIELD(6, RT_U32, rec_key, tag),
	FIELD(7, RT_U32, rec_key, number),
	FIELD(8, RT_U32, rec_key, after),
	FIELD(9, RT_U64, rec_key, lifetime),
	FIELD(10, RT_BOOL, rec_key, lifetime_power),
	FIELD(11, RT_U8, rec_key, mki_size),
	FIELD(12, RT_U64, rec_key, mki),
	FIELD(13, RT_U64, rec_key, until_ms),
	FIELD(15, RT_U64, rec_key, begun),
	SECRET(14, RT_BYTES, rec_key, key),
	END,
};

static const struct record_field media_fields[] = {
	FIELD(1, RT_U8, rec_media, media),
	FIELD(2, RT_U32, rec_media, guard_initial_ms),
	FIELD(3, RT_U32, rec_media, guard_subsequent_ms),
	FIELD(4, RT_U64, rec_media, started_ms),
	ARRAY(5, rec_media, flows, flow_fields),
	ARRAY(6, rec_media, keys, key_fields),
	END,
};

static const struct record_field mflow_fields[] = {
	FIELD(1, RT_ADDR, rec_mflow, learned),
	FIELD(2, RT_ADDR, rec_mflow, learned_rtcp),
	FIELD(3, RT_U32, rec_mflow, ssrc),
	FIELD(4, RT_U64, rec_mflow, index),
	FIELD(5, RT_U32, rec_mflow, rtcp_index),
	FIELD(6, RT_U64, rec_mflow, rx_packets),
	FIELD(7, RT_U64, rec_mflow, rx_bytes),
	FIELD(8, RT_U64, rec_mflow, rx_lost),
	FIELD(9, RT_U64, rec_mflow, last_rx_ms),
	FIELD(10, RT_U64, rec_mflow, tx_packets),
	FIELD(11, RT_U64, rec_mflow, tx_bytes),
	FIELD(12, RT_U32, rec_mflow, jitter_us),
	FIELD(13, RT_U16, rec_mflow, mos_x100),
	FIELD(14, RT_U8, rec_mflow, payload_type),
	FIELD(15, RT_U32, rec_mflow, gap_ms),
	END,
};

static const struct record_field srtp_fields[] = {
	FIELD(1, RT_U16, rec_srtp, leg),
	FIELD(2, RT_U32, rec_srtp, number),
	FIELD(3, RT_BOOL, rec_srtp, sent),
	FIELD(4, RT_BOOL, rec_srtp, any),
	FIELD(5, RT_U32, rec_srtp, ssrc),
	FIELD(6, RT_BOOL, rec_srtp, rtp),
	FIELD(7, RT_U64, rec_srtp, index),
	FIELD(8, RT_U32, rec_srtp, rtcp_index),
	FIELD(9, RT_U16, rec_srtp, seq_offset),
	END,
};

static const struct record_field mstate_fields[] = {
	FIELD(1, RT_U8, rec_mstate, guard),
	ARRAY(2, rec_mstate, flows, mflow_fields),
	ARRAY(3, rec_mstate, srtp, srtp_fields),
	END,
};

static const struct record_field conn_fields[] = {
	FIELD(1, RT_U8, rec_conn, transport),
	FIELD(2, RT_STR, rec_conn, sip_interface),
	FIELD(3, RT_STR, rec_conn, agent),
	FIELD(4, RT_ADDR, rec_conn, local),
	FIELD(5, RT_ADDR, rec_conn, remote),
	FIELD(6, RT_BOOL, rec_conn, outbound),
	END,
};

static const struct record_field config_fields[] = {
	FIELD(1, RT_U64, rec_config, generation),
	FIELD(2, RT_BYTES, rec_config, text),
	END,
};

static const struct record_field cdr_leg_fields[] = {
	FIELD(1, RT_U16, rec_cdr_leg, leg),
	FIELD(2, RT_U8, rec_cdr_leg, role),
	FIELD(3, RT_U8, rec_cdr_leg, transport),
	FIELD(4, RT_STR, rec_cdr_leg, realm),
	FIELD(5, RT_STR, rec_cdr_leg, sip_interface),
	FIELD(6, RT_STR, rec_cdr_leg, agent),
	FIELD(7, RT_STR, rec_cdr_leg, call_id),
	FIELD(8, RT_ADDR, rec_cdr_leg, peer),
	END,
};

static const struct record_field cdr_media_fields[] = {
	FIELD(1, RT_U16, rec_cdr_media, stream),
	FIELD(2, RT_U16, rec_cdr_media, leg),
	FIELD(3, RT_U8, rec_cdr_media, flow),
	FIELD(4, RT_U8, rec_cdr_media, media),
	FIELD(5, RT_BOOL, rec_cdr_media, final),
	FIELD(6, RT_U8, rec_cdr_media, payload_type),
	FIELD(7, RT_U16, rec_cdr_media, mos_x100),
	FIELD(8, RT_U32, rec_cdr_media, jitter_us),
	FIELD(9, RT_U32, rec_cdr_media, gap_ms),
	FIELD(10, RT_U64, rec_cdr_media, rx_packets),
	FIELD(11, RT_U64, rec_cdr_media, rx_bytes),
	FIELD(12, RT_U64, rec_cdr_media, rx_lost),
	FIELD(13, RT_U64, rec_cdr_media, tx_packets),
	FIELD(14, RT_U64, rec_cdr_media, tx_bytes),
	END,
};

static const struct record_field cdr_fields[] = {
	FIELD(1, RT_U8, rec_cdr, state),
	FIELD(2, RT_U64, rec_cdr, seq),
	FIELD(3, RT_U64, rec_cdr, start_ms),
	FIELD(4, RT_U64, rec_cdr, ringing_ms),
	FIELD(5, RT_U64, rec_cdr, answer_ms),
	FIELD(6, RT_U64, rec_cdr, end_ms),
	FIELD(7, RT_U16, rec_cdr, status),
	FIELD(8, RT_U8, rec_cdr, ended_by),
	FIELD(9, RT_STR, rec_cdr, reason),
	FIELD(10, RT_STR, rec_cdr, calling),
	FIELD(11, RT_STR, rec_cdr, called),
	FIELD(12, RT_U64, rec_cdr, epoch),
	FIELD(13, RT_U32, rec_cdr, failovers),
	FIELD(14, RT_U64, rec_cdr, hold_until_ms),
	FIELD(15, RT_STR, rec_cdr, node),
	ARRAY(16, rec_cdr, legs, cdr_leg_fields),
	ARRAY(17, rec_cdr, media, cdr_media_fields),
	END,
};

static const struct record_field lost_fields[] = {
	FIELD(1, RT_U64, rec_lost, call),
	FIELD(2, RT_STR, rec_lost, reason),
	END,
};

static const struct record_field failover_fields[] = {
	FIELD(1, RT_U64, rec_failover, epoch),
	FIELD(2, RT_STR, rec_failover, node),
	FIELD(3, RT_BOOL, rec_failover, planned),
	FIELD(4, RT_BOOL, rec_failover, complete),
	FIELD(5, RT_STR, rec_failover, cause),
	FIELD(6, RT_STR, rec_failover, evidence),
	FIELD(7, RT_U64, rec_failover, heard_ms),
	FIELD(8, RT_U64, rec_failover, suspected_us),
	FIELD(9, RT_U64, rec_failover, decided_us),
	FIELD(10, RT_U64, rec_failover, taken_us),
	FIELD(11, RT_U64, rec_failover, sip_us),
	FIELD(12, RT_U64, rec_failover, media_us),
	FIELD(13, RT_U64, rec_failover, packet_us),
	FIELD(14, RT_U64, rec_failover, message_us),
	FIELD(15, RT_U32, rec_failover, calls_carried),
	FIELD(16, RT_U32, rec_failover, calls_lost),
	FIELD(17, RT_U32, rec_failover, flows),
	FIELD(18, RT_U32, rec_failover, flows_silent),
	FIELD(19, RT_U64, rec_failover, gap_p50_us),
	FIELD(20, RT_U64, rec_failover, gap_p99_us),
	FIELD(21, RT_U64, rec_failover, gap_max_us),
	ARRAY(22, rec_failover, lost, lost_fields),
	FIELD(23, RT_U64, rec_failover, tls_us),
	END,
};

static const struct record_field quarantine_fields[] = {
	FIELD(1, RT_U64, rec_quarantine, hash),
	FIELD(2, RT_U32, rec_quarantine, size),
	FIELD(3, RT_U64, rec_quarantine, until_ms),
	FIELD(4, RT_ADDR, rec_quarantine, source),
	FIELD(5, RT_STR, rec_quarantine, node),
	END,
};

static const struct record_field ticket_key_fields[] = {
	FIELD(1, RT_U64, rec_ticket_key, created_ms),
	SECRET(2, RT_BYTES, rec_ticket_key, secret),
	END,
};

static const struct record_field ticket_fields[] = {
	ARRAY(1, rec_ticket, keys, ticket_key_fields),
	END,
};

static const struct record_field ocsp_fields[] = {
	FIELD(1, RT_BYTES, rec_ocsp, certificate),
	FIELD(2, RT_U64, rec_ocsp, until_s),
	FIELD(3, RT_BYTES, rec_ocsp, response),
	END,
};

#define KIND(id, text, type, table)                                            \
	[id] = {.kind = id,                                                    \
		.name = text,                                                  \
		.size = sizeof(struct type),                                   \
		.fields = table}

const struct record_kind_info record_kinds[REC_KIND_MAX] = {
	KIND(REC_CALL, "call", rec_call, call_fields),
	KIND(REC_DIALOG, "dialog", rec_dialog, dialog_fields),
	KIND(REC_TXN, "txn", rec_txn, txn_fields),
	KIND(REC_MEDIA, "media", rec_media, media_fields),
	KIND(REC_MSTATE, "mstate", rec_mstate, mstate_fields),
	KIND(REC_CONN, "conn", rec_conn, conn_fields),
	KIND(REC_CONFIG, "config", rec_config, config_fields),
	KIND(REC_CDR, "cdr", rec_cdr, cdr_fields),
	KIND(REC_FAILOVER, "failover", rec_failover, failover_fields),
	KIND(REC_QUARANTINE, "quarantine", rec_quarantine, quarantine_fields),
	KIND(REC_TICKET, "ticket", rec_ticket, ticket_fields),
	KIND(REC_OCSP, "ocsp", rec_ocsp, ocsp_fields),
};

const struct record_kind_info *record_kind_info(uint8_t kind)
{
	return kind && kind < REC_KIND_MAX ? &record_kinds[kind] : NULL;
}
