/*
 * kinds - every kind of record, as plain pointer-free structs. One field
 * table a kind (record.c) drives encoder, decoder, JSON printer and tests.
 *
 * A record is the whole state of one thing; it replaces what was there. Each
 * kind has one writer. Tags in the tables are append-only, enums travel:
 * never renumber. Times are wall-clock milliseconds, 0 = not yet.
 *
 * These structs are scratch space (some are large); nobody keeps an array of
 * them. Strings are NUL terminated and bounded.
 *
 * Layer: record. Any process.
 */
#ifndef SBCD_RECORD_KINDS_H
#define SBCD_RECORD_KINDS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include "sbcd/base/addr.h"

enum record_kind {
	REC_CALL = 1, /* id = call, sub = 0;      writer SIP worker */
	REC_DIALOG = 2, /* id = call, sub = leg;    writer SIP worker */
	REC_TXN = 3, /* id = call, sub = number; writer SIP worker */
	REC_MEDIA = 4, /* id = call, sub = stream; writer SIP worker */
	REC_MSTATE = 5, /* id = call, sub = stream; writer media worker */
	REC_CONN = 6, /* id = hash of the 5-tuple; writer SIP worker */
	REC_CONFIG = 7, /* id = 0;                  writer keeper */
	REC_CDR = 8, /* id = call, sub = 0;      writer keeper */
	REC_FAILOVER = 9, /* id = epoch;              writer keeper */
	REC_QUARANTINE = 10, /* id = 0, sub = slot;    writer keeper */
	REC_TICKET = 11, /* id = 0;                  writer SIP worker */
	REC_OCSP = 12, /* id = of a certificate;   writer SIP worker */
	REC_KIND_MAX
};

enum {
	REC_NAME_SIZE = 64,
	REC_TOKEN_SIZE = 128, /* tags, branches */
	REC_CALLID_SIZE = 256,
	REC_URI_SIZE = 512,
	REC_ROUTE_SIZE = 4096, /* whole route set, comma separated */
	REC_SDP_SIZE = 16384,
	REC_RAW_SIZE = 65536, /* one SIP message */
	REC_CONFIG_SIZE = 131072,
	REC_LEGS_MAX = 8,
	REC_STREAMS_MAX = 8,
	REC_FLOWS_MAX = 4,
	REC_FORMATS_MAX = 32,
	REC_CDR_MEDIA_MAX = 16, /* flows of a call that are accounted for */
	REC_QUARANTINE_MAX = 64, /* slots */
	REC_KEYS_MAX = 48, /* of a stream, all flows */
	/* SSRCs that may be sent under one key, and all of a stream. */
	REC_SRTP_SENT_MAX = 24,
	REC_SRTP_MAX = 120,
	REC_KEY_SIZE = 48, /* master key and salt; the longest has 46 */
	REC_LOST_MAX = 16, /* lost calls a failover report names */
	REC_TICKET_KEYS_MAX = 3,
	REC_TICKET_SECRET_SIZE = 32,
	REC_OCSP_ID_SIZE = 32,
	REC_OCSP_SIZE = 16384,
};

/* Variable part with a fixed bound. */
struct rec_bytes_sdp {
	uint32_t size;
	uint8_t data[REC_SDP_SIZE];
};
struct rec_bytes_raw {
	uint32_t size;
	uint8_t data[REC_RAW_SIZE];
};
struct rec_bytes_key {
	uint32_t size;
	uint8_t data[REC_KEY_SIZE];
};
struct rec_bytes_ticket {
	uint32_t size;
	uint8_t data[REC_TICKET_SECRET_SIZE];
};
struct rec_bytes_ocsp_id {
	uint32_t size;
	uint8_t data[REC_OCSP_ID_SIZE];
};
struct rec_bytes_ocsp {
	uint32_t size;
	uint8_t data[REC_OCSP_SIZE];
};
struct rec_bytes_config {
	uint32_t size;
	uint8_t data[REC_CONFIG_SIZE];
};

enum rec_call_state {
	CALL_TRYING = 1, /* INVITE accepted, nothing from the far side */
	CALL_RINGING = 2, /* a 101-199 with a To tag went to the caller */
	CALL_ANSWERED = 3, /* 200 seen, ACK outstanding */
	CALL_ESTABLISHED = 4,
	CALL_ENDING = 5, /* BYE/CANCEL/reject under way */
};

enum rec_leg_role { LEG_CALLER = 1, LEG_CALLEE = 2 };

struct rec_call_leg {
	uint16_t leg; /* sub of its dialog record */
	uint8_t role; /* enum rec_leg_role */
	char sip_interface[REC_NAME_SIZE];
	char agent[REC_NAME_SIZE]; /* session agent, "" = none known */
	uint32_t acked_cseq; /* of the peer's last INVITE that ended in an ACK
			      * of our 2xx, 0 = none */
};

struct rec_call {
	uint8_t state; /* enum rec_call_state */
	uint64_t created_ms, ringing_ms, answered_ms, ending_ms;
	uint64_t max_duration_deadline_ms; /* 0 = none */
	uint16_t next_txn; /* next free sub for REC_TXN */
	uint16_t end_cause; /* SIP status or Q.850, 0 = none */
	uint8_t ended_by_leg;
	char from_uri[REC_URI_SIZE], to_uri[REC_URI_SIZE]; /* as received */
	char end_text[REC_TOKEN_SIZE];
	uint16_t legs_len;
	struct rec_call_leg legs[REC_LEGS_MAX];
	uint64_t epoch; /* it began under, 0 = not known */
};

enum rec_transport { TRANSPORT_UDP = 1, TRANSPORT_TCP = 2, TRANSPORT_TLS = 3 };
enum rec_dialog_state {
	DIALOG_TRYING = 1,
	DIALOG_EARLY = 2,
	DIALOG_CONFIRMED = 3,
	DIALOG_ENDED = 4,
};

/* One SIP dialog of ours (RFC 3261 section 12), from our point of view. */
struct rec_dialog {
	uint8_t state; /* enum rec_dialog_state */
	uint8_t transport; /* enum rec_transport */
	char sip_interface[REC_NAME_SIZE];
	char call_id[REC_CALLID_SIZE];
	char local_uri[REC_URI_SIZE], remote_uri[REC_URI_SIZE]; /* no tag */
	char local_tag[REC_TOKEN_SIZE], remote_tag[REC_TOKEN_SIZE];
	uint32_t local_cseq, remote_cseq; /* highest used; 0 = none */
	uint32_t invite_cseq; /* of the last INVITE we sent */
	char remote_target[REC_URI_SIZE]; /* URI of the peer's Contact */
	char route[REC_ROUTE_SIZE]; /* route set in sending order */
	struct addr peer; /* where the last message came from / went to */
	uint64_t sdp_version; /* of our o= line on this leg */
	uint64_t sdp_session;
	struct rec_bytes_sdp local_sdp; /* what we last sent */
	struct rec_bytes_sdp remote_sdp; /* what the peer last sent */
	uint64_t session_expires_ms; /* RFC 4028 deadline, 0 = none */
	uint8_t session_refresher; /* 0 none, 1 us, 2 the peer */
	bool ack_has_sdp; /* the ACK of our last INVITE carried local_sdp */
	uint32_t relayed_cseq; /* of the other leg's request that local_cseq
				* was taken for, 0 = for one of our own */
	uint32_t sdp_pairs; /* bit per stream: it has two m-lines on this leg,
			     * RTP/SAVP and RTP/AVP behind it */
	uint32_t sdp_plain; /* of these, RTP/AVP was taken */
	bool offer_due; /* we have to make an offer of our own */
	/* local_sdp, sdp_pairs and sdp_plain of before the exchange under way:
	 * to go back to when it is refused; size 0 = nothing. */
	struct rec_bytes_sdp agreed_sdp;
	uint32_t agreed_pairs, agreed_plain;
};

enum rec_txn_side { TXN_SERVER = 1, TXN_CLIENT = 2 };
enum rec_txn_state {
	TXN_PROCEEDING = 1, /* no final response yet */
	TXN_ANSWERED = 2, /* 2xx to an INVITE: waiting for the ACK */
	TXN_CANCELLED = 3, /* CANCEL seen/sent, final response outstanding */
};

/* A transaction that must survive: INVITE both sides, BYE, re-INVITE … */
struct rec_txn {
	uint8_t side; /* enum rec_txn_side */
	uint8_t state; /* enum rec_txn_state */
	uint8_t transport; /* enum rec_transport */
	uint16_t leg; /* dialog it runs on */
	uint16_t pair; /* sub of the transaction it is forwarded as/from */
	bool pair_valid;
	char method[16];
	uint32_t cseq;
	char branch[REC_TOKEN_SIZE];
	char sip_interface[REC_NAME_SIZE];
	struct addr peer;
	uint16_t last_status; /* last response sent or received */
	uint64_t retransmit_until_ms; /* of a stored 2xx, 0 = none */
	struct rec_bytes_raw request; /* as sent, or as received */
	struct rec_bytes_raw response; /* ours, awaiting ACK or PRACK */
	bool delayed_offer; /* an INVITE that came without an offer */
	bool wants_prack; /* the caller requires 100rel */
	uint32_t rseq; /* of the last 1xx we made reliable, 0 = none */
	bool unpracked; /* `response` is that 1xx, without its PRACK */
	bool agreed; /* an INVITE whose offer was answered before its 2xx, for
		      * certain: what that one says of it is not looked at */
};

enum rec_flow_direction {
	FLOW_INACTIVE = 0,
	FLOW_SENDONLY = 1, /* we only send to that side */
	FLOW_RECVONLY = 2,
	FLOW_SENDRECV = 3,
};

enum sdes_suite {
	SDES_SUITE_NONE = 0,
	SDES_AES_CM_128_HMAC_SHA1_80 = 1,
	SDES_AES_CM_128_HMAC_SHA1_32 = 2,
	SDES_AES_256_CM_HMAC_SHA1_80 = 3,
	SDES_AES_256_CM_HMAC_SHA1_32 = 4,
	SDES_AEAD_AES_128_GCM = 5,
	SDES_AEAD_AES_256_GCM = 6,
	SDES_SUITES
};

/* Session parameters that change what is done to packets (RFC 4568 6.3). */
enum sdes_flag {
	SDES_UNENCRYPTED_SRTP = 1 << 0,
	SDES_UNENCRYPTED_SRTCP = 1 << 1,
	SDES_UNAUTHENTICATED_SRTP = 1 << 2,
};

/* Where an offer and answer of keys stands between us and one leg. */
enum rec_sdes_state {
	SDES_IDLE = 0,
	SDES_OFFERED = 1, /* ours is out */
	SDES_RECEIVED = 2, /* the peer's is here */
	SDES_ANSWERED = 3, /* the peer has answered ours; may be taken back */
	SDES_REPLIED = 4, /* we have answered; may be taken back */
	SDES_STATES
};

enum rec_key_use {
	KEY_TX = 1, /* we send with it */
	KEY_RX = 2, /* the peer sends with it */
	KEY_TX_BEFORE = 3, /* to go back to, if what is under way fails */
	KEY_RX_BEFORE = 4, /* that too; the peer may still send with it */
	KEY_RX_OLD = 5, /* the peer may still send with it till `until_ms` */
	KEY_OFFERED = 6, /* ours, not answered yet: never sent with */
	KEY_PROPOSED = 7, /* the peer's, not answered yet */
	KEY_USES
};

/* A line of a=crypto (RFC 4568) and what it is used for on one leg. */
struct rec_key {
	uint16_t leg;
	uint8_t use; /* enum rec_key_use */
	uint8_t suite; /* enum sdes_suite */
	uint8_t flags; /* enum sdes_flag */
	bool draft_name; /* "AES_CM_256_…": echoed as it came */
	uint32_t tag;
	uint32_t number; /* of the context: one key, one number, for ever */
	uint32_t after; /* its ROC goes on from there, 0 = begins at 0 */
	uint64_t lifetime; /* packets, 0 = not said */
	bool lifetime_power; /* written as 2^n */
	uint8_t mki_size;
	uint64_t mki;
	uint64_t until_ms; /* of KEY_RX_OLD */
	uint64_t begun; /* of KEY_TX: 1 + packets sent to this side before it
			 * was seen in use, 0 = not seen yet */
	struct rec_bytes_key key; /* master key, then salt */
};

/* One side of a stream: our port pair and the peer's signalled addresses. */
struct rec_flow {
	uint16_t leg;
	char network_interface[REC_NAME_SIZE];
	struct addr local; /* RTP; RTCP is port + 1 unless mux */
	struct addr remote; /* signalled RTP address; family 0 = unknown */
	struct addr remote_rtcp; /* signalled or remote port + 1 */
	uint8_t direction; /* enum rec_flow_direction */
	bool rtcp_mux;
	bool latch; /* symmetric latching allowed on this side */
	uint8_t sdes_state; /* enum rec_sdes_state */
	uint32_t last_key; /* highest number given to a key of this side */
	bool key_shared; /* another branch knows the key we send with */
};

/* A relayed stream between flows; what flow i receives goes to the others. */
struct rec_media {
	uint8_t media; /* 'a' audio, 'v' video, 'i' image, 'o' other */
	uint32_t guard_initial_ms; /* silence before the first packet */
	uint32_t guard_subsequent_ms; /* silence later; 0 = never reported */
	uint64_t started_ms;
	uint16_t flows_len;
	struct rec_flow flows[REC_FLOWS_MAX];
	uint16_t keys_len;
	struct rec_key keys[REC_KEYS_MAX]; /* none: plain RTP */
};

/* What the media worker learned about one flow. */
struct rec_mflow {
	struct addr learned, learned_rtcp; /* latched source, family 0 = none */
	uint32_t ssrc;
	uint64_t index; /* 48-bit ROC||SEQ of the highest received packet */
	uint32_t rtcp_index;
	uint64_t rx_packets, rx_bytes, rx_lost;
	uint64_t last_rx_ms; /* wall clock of the last packet, 0 = never */
	uint64_t tx_packets, tx_bytes; /* to this side */
	uint32_t jitter_us; /* RFC 3550, of the last packet */
	uint16_t mos_x100; /* E-model of what we received, 0 = not known */
	uint8_t payload_type; /* of the last packet */
	uint32_t gap_ms; /* longest silence that a failover made */
};

/* How far a key went with one SSRC: what was sent must not come again. */
struct rec_srtp {
	uint16_t leg;
	uint32_t number; /* of the key (rec_key) */
	bool sent; /* with our key; else received under the peer's */
	bool any; /* of SSRCs that are not listed: their SRTCP begins behind */
	uint32_t ssrc;
	bool rtp; /* `index` counts */
	uint64_t index; /* 48 bits, the highest used */
	uint32_t rtcp_index; /* 31 bits, the highest used or reserved */
	uint16_t seq_offset; /* sent: what is added to the source's */
};

enum rec_guard { GUARD_QUIET = 0, GUARD_INITIAL = 1, GUARD_SUBSEQUENT = 2 };

struct rec_mstate {
	uint8_t guard; /* enum rec_guard: why the stream is reported dead */
	uint16_t flows_len;
	struct rec_mflow flows[REC_FLOWS_MAX]; /* same order as rec_media */
	uint16_t srtp_len;
	struct rec_srtp srtp[REC_SRTP_MAX];
};

/* A connection-oriented transport to a session agent worth re-opening. */
struct rec_conn {
	uint8_t transport;
	char sip_interface[REC_NAME_SIZE];
	char agent[REC_NAME_SIZE];
	struct addr local, remote;
	bool outbound;
};

struct rec_config {
	uint64_t generation;
	struct rec_bytes_config text;
};

enum rec_cdr_state {
	CDR_OPEN = 1, /* the call is ending, numbers may still change */
	CDR_COMPLETE = 2, /* as it is written to disk */
};

struct rec_cdr_leg {
	uint16_t leg;
	uint8_t role; /* enum rec_leg_role */
	uint8_t transport; /* enum rec_transport */
	char realm[REC_NAME_SIZE];
	char sip_interface[REC_NAME_SIZE];
	char agent[REC_NAME_SIZE];
	char call_id[REC_CALLID_SIZE];
	struct addr peer; /* of its SIP */
};

/* What was received from, and sent to, one side of one stream. */
struct rec_cdr_media {
	uint16_t stream, leg;
	uint8_t flow; /* its place in the stream's records */
	uint8_t media; /* as in rec_media */
	bool final; /* the media worker has told its last */
	uint8_t payload_type;
	uint16_t mos_x100;
	uint32_t jitter_us, gap_ms;
	uint64_t rx_packets, rx_bytes, rx_lost;
	uint64_t tx_packets, tx_bytes;
};

/* The account of one call. Lives until both nodes have it on disk. */
struct rec_cdr {
	uint8_t state; /* enum rec_cdr_state */
	uint64_t seq; /* order of completion, 0 while open */
	uint64_t start_ms, ringing_ms, answer_ms, end_ms;
	uint16_t status; /* final response to the INVITE */
	uint8_t ended_by; /* leg + 1, 0 = the SBC */
	char reason[REC_TOKEN_SIZE];
	char calling[REC_URI_SIZE], called[REC_URI_SIZE];
	uint64_t epoch; /* the call began under */
	uint32_t failovers; /* it crossed, planned ones too */
	uint64_t hold_until_ms; /* the call may come back till then */
	char node[REC_NAME_SIZE]; /* that completed it */
	uint16_t legs_len;
	struct rec_cdr_leg legs[REC_LEGS_MAX];
	uint16_t media_len;
	struct rec_cdr_media media[REC_CDR_MEDIA_MAX];
};

struct rec_lost {
	uint64_t call;
	char reason[REC_NAME_SIZE];
};

/*
 * The report of one change of the active node, by the one that took over. All
 * _us are since `heard_ms`, 0 = did not happen.
 */
struct rec_failover {
	uint64_t epoch; /* the new one */
	char node[REC_NAME_SIZE]; /* that took over */
	bool planned;
	bool complete; /* media has been measured */
	char cause[REC_TOKEN_SIZE];
	char evidence[REC_CALLID_SIZE];
	uint64_t heard_ms; /* wall clock: last word of the old active */
	uint64_t suspected_us, decided_us, taken_us, sip_us, media_us;
	uint64_t packet_us; /* first packet relayed */
	uint64_t message_us; /* first SIP message received */
	uint32_t calls_carried, calls_lost;
	uint32_t flows; /* that carried media again */
	uint32_t flows_silent; /* in which nothing came */
	uint64_t gap_p50_us, gap_p99_us, gap_max_us;
	uint16_t lost_len;
	struct rec_lost lost[REC_LOST_MAX];
	uint64_t tls_us; /* first SIP message received over TLS */
};

/* An input that killed a SIP worker: refused on both nodes for a while. */
struct rec_quarantine {
	uint64_t hash; /* keyed, of the first `size` bytes of a message */
	uint32_t size;
	uint64_t until_ms;
	struct addr source; /* for people; whoever sends it is refused */
	char node[REC_NAME_SIZE]; /* whose worker died */
};

struct rec_ticket_key {
	uint64_t created_ms;
	struct rec_bytes_ticket secret; /* what each profile's is made of */
};

/* What tickets of TLS sessions are sealed with, the newest first: a peer may
 * take up its session with either node. */
struct rec_ticket {
	uint16_t keys_len;
	struct rec_ticket_key keys[REC_TICKET_KEYS_MAX];
};

/* What a responder has said of a certificate, signed by it. */
struct rec_ocsp {
	struct rec_bytes_ocsp_id certificate; /* whose; id is its beginning */
	uint64_t until_s; /* kept till then, wall clock */
	struct rec_bytes_ocsp response; /* DER, RFC 6960 */
};

/* Big enough for any of them. */
union rec_any {
	struct rec_call call;
	struct rec_dialog dialog;
	struct rec_txn txn;
	struct rec_media media;
	struct rec_mstate mstate;
	struct rec_conn conn;
	struct rec_config config;
	struct rec_cdr cdr;
	struct rec_failover failover;
	struct rec_quarantine quarantine;
	struct rec_ticket ticket;
	struct rec_ocsp ocsp;
};

#endif
