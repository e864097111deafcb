/*
 * rtptool: RTP endpoints for tests.
 *
 * Sends and receives N bidirectional streams and measures, at the receiver,
 * what happened to each packet: loss, duplicates, order, longest gap with its
 * absolute time, latency. One thread, one loop; arrival times are the
 * kernel's, so a late wake-up of the tool is not taken for latency.
 * See README for the control protocol and the report.
 *
 * Packets carry, after the RTP header, in network byte order:
 *   u32 magic, u32 origin (random per process), u32 stream id,
 *   u32 period_us, u64 sequence, u64 CLOCK_MONOTONIC send time in ns
 */
#ifndef RTPTOOL_H
#define RTPTOOL_H

#include <netinet/in.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/socket.h>

#include <jansson.h>

enum {
	RT_MAGIC = 0x53425254,
	RT_HEADER_BYTES = 12,
	RT_PROBE_BYTES = 32,
	RT_PAYLOAD_BYTES = 160,
	RT_PACKET_BYTES = 1500,
	RT_WINDOW_PACKETS = 1024,
	RT_HIST_BUCKETS = 1024,
	RT_GAPS_MAX = 8,
	RT_LINE_BYTES = 256 * 1024,
	RT_STREAMS_MAX = 20000,
};

union rt_addr {
	struct sockaddr sa;
	struct sockaddr_in in;
	struct sockaddr_in6 in6;
};

/* Log-linear histogram of microseconds: exact to 32, then 32 steps a power. */
struct rt_hist {
	uint32_t bucket[RT_HIST_BUCKETS];
	uint64_t count;
	uint64_t max_us;
};

void rt_hist_add(struct rt_hist *h, uint64_t us);
void rt_hist_merge(struct rt_hist *to, const struct rt_hist *from);
double rt_hist_ms(const struct rt_hist *h, double quantile);

/* A hole between two packets in order of arrival. */
struct rt_gap {
	uint64_t gap_us; /* without what the sender itself paused */
	uint64_t from_ns; /* CLOCK_MONOTONIC of the last packet before */
	uint64_t to_ns; /* and of the first one after */
	uint64_t lost; /* sequence numbers missing in between */
};

/* What a probe packet says about itself. */
struct rt_probe {
	uint32_t origin;
	uint32_t id;
	uint32_t period_us;
	uint64_t seq;
	uint64_t sent_ns;
};

/* Receiver's statistics of one stream; pure, no I/O. */
struct rt_rx {
	bool locked; /* a source stream is known */
	uint32_t origin, source; /* the sender we count */
	uint64_t first_seq; /* of the very first packet */
	uint64_t base_seq; /* first sequence number that counts */
	uint64_t next_seq; /* highest seen + 1 */
	uint64_t packets, unique, dup, reordered, stale, foreign, malformed;
	uint64_t unprotect_failed;
	uint64_t first_ns, last_ns, last_sent_ns, last_seq;
	uint64_t sender_pause_us; /* longest */
	uint64_t gap_count; /* gaps over the threshold */
	struct rt_gap worst;
	struct rt_gap gaps[RT_GAPS_MAX];
	struct rt_hist latency;
	uint8_t seen[RT_WINDOW_PACKETS / 8];
};

void rt_rx_packet(struct rt_rx *rx, const struct rt_probe *p, uint64_t now_ns,
		  uint64_t gap_limit_us);
/* Forget all counts; what is in flight still counts from here on. */
void rt_rx_reset(struct rt_rx *rx);
uint64_t rt_rx_expected(const struct rt_rx *rx);
uint64_t rt_rx_lost(const struct rt_rx *rx);

/*
 * A packet transformation (SRTP). protect may grow the packet to room bytes;
 * both return 0 or -errno. NULL in a stream means plain RTP.
 */
struct rt_xform_ops {
	const char *name;
	int (*protect)(void *ctx, uint8_t *packet, size_t *size, size_t room,
		       bool rtcp);
	int (*unprotect)(void *ctx, uint8_t *packet, size_t *size, bool rtcp);
	void (*destroy)(void *ctx);
};

struct rt_xform {
	const struct rt_xform_ops *ops;
	void *ctx;
};

/* "SUITE BASE64" of a=crypto, "" = plain RTP; the same again changes nothing.
 * 0, -EINVAL, -EIO or -ENOMEM. */
int rt_srtp_set(struct rt_xform *at, const char *text, bool sending);

struct rt_rtcp {
	bool enabled, mux;
	uint64_t sent, received, sr, rr, bye, malformed, unprotect_failed;
	uint32_t last_sr_mid; /* middle 32 bits of the peer's NTP time */
	uint64_t last_sr_ns;
	double rtt_ms; /* < 0: unknown */
	unsigned int peer_fraction_lost;
	union rt_addr remote, from;
};

struct rt_stream {
	uint32_t id;
	uint32_t expect; /* stream id to accept; UINT32_MAX: the first */
	int fd, rtcp_fd;
	union rt_addr local, remote, from;
	bool have_remote, symmetric, sending;
	uint8_t payload_type;
	uint32_t ssrc, ts0;
	uint16_t seq0;
	unsigned int slot; /* tick within the period */
	unsigned int next_rtcp_tick;
	uint64_t next_seq;
	uint64_t sent, octets, send_errors, local_drops, source_changes;
	uint64_t sent_at_reset;
	struct rt_rtcp rtcp;
	struct rt_xform tx_xform, rx_xform;
	struct rt_rx rx;
	struct rt_stream *next; /* in the same slot */
};

struct rt_options {
	unsigned int pps;
	unsigned int tick_us;
	unsigned int drain_ms;
	unsigned int gap_limit_ms;
	const char *control_path;
	const char *addr, *remote;
	unsigned int base_port, remote_base, count;
	unsigned int duration_s;
	unsigned int lo, hi; /* echo */
	bool quiet;
};

/* The set of streams and the loop around them. */
struct rt_engine {
	struct rt_options opt;
	uint32_t origin;
	unsigned int nslots;
	uint64_t tick; /* how many have passed */
	struct rt_stream **slots;
	struct rt_stream **streams;
	size_t len, room;
	int data_epoll;
	int64_t mono_minus_real_ns;
	bool stop;
};

uint64_t rt_now_ns(void);
int rt_addr_parse(union rt_addr *a, const char *text, unsigned int port);
/* Prints "addr:port" or "[addr]:port" into buf; returns buf. */
const char *rt_addr_print(const union rt_addr *a, char *buf, size_t size);
unsigned int rt_addr_port(const union rt_addr *a);
void rt_addr_set_port(union rt_addr *a, unsigned int port);
bool rt_addr_equal(const union rt_addr *a, const union rt_addr *b);
socklen_t rt_addr_size(const union rt_addr *a);
/* Non-blocking bound UDP socket with kernel timestamps, or -errno. */
int rt_socket(const union rt_addr *local);

int rt_engine_init(struct rt_engine *e, const struct rt_options *opt);
void rt_engine_finish(struct rt_engine *e);
struct rt_stream *rt_engine_find(struct rt_engine *e, uint32_t id);

struct rt_stream_params {
	uint32_t id, expect;
	const char *addr, *remote;
	const char *srtp_tx, *srtp_rx; /* NULL: plain RTP */
	unsigned int port, remote_port;
	int payload_type;
	bool symmetric, sending, rtcp, rtcp_mux;
};

int rt_stream_add(struct rt_engine *e, const struct rt_stream_params *p);
void rt_stream_remove(struct rt_engine *e, struct rt_stream *s);
void rt_stream_set_remote(struct rt_stream *s, const union rt_addr *remote);
/* One tick: sends what is due. */
void rt_engine_tick(struct rt_engine *e);
/* Reads every socket that has something. */
void rt_engine_drain(struct rt_engine *e);

void rt_rtcp_send(struct rt_engine *e, struct rt_stream *s);
void rt_rtcp_receive(struct rt_stream *s, uint8_t *data, size_t size,
		     const union rt_addr *from, uint64_t now_ns);

json_t *rt_report_stream(const struct rt_engine *e, const struct rt_stream *s);
/* The whole report; per-stream objects only when asked for. */
json_t *rt_report(const struct rt_engine *e, bool streams);
void rt_report_reset(struct rt_engine *e);

struct rt_control;
int rt_control_create(struct rt_control **out, struct rt_engine *e, int epoll,
		      const char *path);
void rt_control_destroy(struct rt_control *c);
/* Handles an epoll event whose data.ptr is not NULL. */
void rt_control_event(struct rt_control *c, void *ptr);
/* `rtptool ctl`: one request line, prints the answer; exit status. */
int rt_control_client(const char *path, const char *line);

int rt_echo_run(const struct rt_options *opt);

#endif
