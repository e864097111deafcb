/*
 * A relay without sockets: packets go in by the batch, what is sent is noted.
 */
#ifndef RELAY_TEST_H
#define RELAY_TEST_H

#include "media_test.h"

#include "sbcd/media/relay.h"

enum { SENT_MAX = 256 };

static struct {
	struct addr from, to;
	uint16_t from_port;
	uint8_t tos, data[256];
	const uint8_t *payload;
	uint32_t size;
} sent[SENT_MAX];
static unsigned sent_len, read_len, flushes;

static void fake_send(struct media_io *io, const struct media_tx *tx)
{
	assert_true(sent_len < SENT_MAX);
	assert_non_null(tx->out);
	sent[sent_len].from = *tx->from;
	sent[sent_len].from_port = tx->from_port;
	sent[sent_len].to = *tx->to;
	sent[sent_len].tos = tx->tos;
	sent[sent_len].size = tx->size;
	sent[sent_len].payload = tx->payload;
	sent_len++;
	io->tx_packets++;
}

/* Like a real back end: payloads are read now, not when they were given. */
static void fake_flush(struct media_io *io)
{
	flushes++;
	for (; read_len < sent_len; read_len++)
		memcpy(sent[read_len].data, sent[read_len].payload,
		       sent[read_len].size < 256 ? sent[read_len].size : 256);
}

static const struct media_io_ops fake_ops = {.name = "fake",
					     .send = fake_send,
					     .flush = fake_flush};
static struct media_io fake = {.ops = &fake_ops};
static const struct media_out wire = {.fd = -1, .index = 0};

static struct media_nifs nifs;
static struct media_nif *core, *cloud;
static struct media_relay relay;
static struct counters *counters;
static struct rec_media record;
static struct media_stream *stream;
static UNUSED struct addr phone, pbx, rogue;
static uint8_t buffers[MEDIA_BATCH][2048];
static struct media_packet packets[MEDIA_BATCH];
static unsigned packets_len;

static UNUSED void install(const struct rec_media *r)
{
	if (stream)
		media_stream_release(stream);
	media_stream_free(stream);
	stream = stream_with(&nifs, r, relay.srtp, at_ms(0));
	media_stream_claim(stream);
}

static UNUSED int setup(void **state)
{
	int fd;

	nifs_fill(&nifs, 1, &wire);
	assert_int_equal(media_nifs_add(&nifs, "core", &core), 0);
	assert_int_equal(media_nifs_add(&nifs, "cloud", &cloud), 0);
	assert_int_equal(counters_create(&counters, &fd), 0);
	close(fd);
	memset(&relay, 0, sizeof(relay));
	fake.tx_packets = fake.tx_errors = 0;
	relay.io = &fake;
	relay.counters = counters;
	phone = addr_of("10.10.0.50", 7000);
	pbx = addr_of("10.20.0.50", 7000);
	rogue = addr_of("10.10.0.66", 6666);
	record = record_of(20000);
	install(&record);
	sent_len = read_len = packets_len = flushes = 0;
	return 0;
}

static UNUSED int teardown(void **state)
{
	media_stream_release(stream);
	media_stream_free(stream);
	stream = NULL;
	media_nifs_finish(&nifs);
	counters_destroy(counters);
	return 0;
}

/* One more packet for the next batch. */
static UNUSED struct media_packet *arrives(const struct addr *from,
					   const char *ip, uint16_t port)
{
	struct media_packet *p = &packets[packets_len];

	memset(p, 0, sizeof(*p));
	p->data = buffers[packets_len++];
	p->source = *from;
	p->local = addr_of(ip, port);
	return p;
}

static UNUSED void rtp(const struct addr *from, const char *ip, uint16_t port,
		       uint16_t seq)
{
	struct media_packet *p = arrives(from, ip, port);

	p->size = (uint32_t)rtp_make(p->data, 0x1234, seq, seq * 160u, 20);
}

static UNUSED void run_on(struct media_nif *nif, uint64_t ms)
{
	sent_len = read_len = 0;
	media_relay_batch(&relay, nif, packets, packets_len, at_ms(ms), 0);
	packets_len = 0;
}

static UNUSED uint64_t counted(enum counter_id id)
{
	return counters_get(counters, id);
}

#define T(f) cmocka_unit_test_setup_teardown(f, setup, teardown)

#endif
