/*
 * Hostile datagrams: RTP and RTCP through the whole relay, forwarded packets
 * with and without the right key, replicated state. What is sent is never
 * longer than what came, never to an unknown address, and the index of a
 * stream does not go back.
 */
#include <errno.h>
#include <openssl/evp.h>
#include <openssl/hmac.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "sbcd/media/forward.h"
#include "sbcd/media/relay.h"
#include "sbcd/record/record.h"

enum { PORT = 20000, STEP_MAX = 200 };

static const uint8_t key[FORWARD_KEY_BYTES] = "fuzz";
static struct media_nifs nifs;
static struct media_nif *nif;
static const struct media_out out = {.fd = -1};
static uint32_t longest;

static void require(bool ok)
{
	if (!ok)
		abort();
}

static struct addr address(const char *ip, uint16_t port)
{
	struct addr a;

	require(!addr_parse_ip(&a, ip, port));
	return a;
}

static void fake_send(struct media_io *io, const struct media_tx *tx)
{
	require(tx->size <= longest && tx->to->family == ADDR_V4);
	require(tx->from_port == PORT || tx->from_port == PORT + 1);
}

static void fake_flush(struct media_io *io)
{
}

static const struct media_io_ops fake_ops = {.send = fake_send,
					     .flush = fake_flush};

int LLVMFuzzerInitialize(int *argc, char ***argv);
int LLVMFuzzerInitialize(int *argc, char ***argv)
{
	struct addr ip = address("10.10.0.10", 0);

	require(!media_nifs_add(&nifs, "core", &nif));
	require(!media_nif_add(nif, &ip, PORT, PORT + 99, 1, &out));
	ip = address("10.10.0.11", 0);
	require(!media_nif_add(nif, &ip, PORT, PORT + 99, 1, &out));
	return 0;
}

static struct media_stream *stream_new(uint8_t flags)
{
	struct ha_key id = {.id = 1};
	struct media_stream_params p = {.nifs = &nifs, .now_ns = 1000000000000};
	struct rec_media r = {.media = flags & 1 ? 'a' : 'i', .flows_len = 2};
	struct media_stream *s;

	for (unsigned i = 0; i < 2; i++) {
		struct rec_flow *f = &r.flows[i];

		strcpy(f->network_interface, "core");
		f->local = address(i ? "10.10.0.11" : "10.10.0.10", PORT);
		f->remote = address("10.10.0.50", (uint16_t)(7000 + 100 * i));
		f->direction = FLOW_SENDRECV;
		f->latch = flags & 2;
		f->rtcp_mux = flags & 4;
	}
	require(!media_stream_build(&s, &id, &r, &p));
	media_stream_claim(s);
	return s;
}

/* Each step: flags, length, bytes. */
static void fuzz_relay(const uint8_t *data, size_t size)
{
	static struct media_relay relay;
	struct media_io io = {.ops = &fake_ops};
	struct media_stream *s = stream_new(size ? data[0] : 0);
	uint64_t now_ns = 1000000000000;

	memset(&relay, 0, sizeof(relay));
	relay.io = &io;
	for (unsigned i = 0; size >= 2 && i < STEP_MAX; i++) {
		uint8_t flags = data[0];
		uint8_t *copy;
		struct media_packet p = {
			.size = data[1] < size - 2 ? data[1]
						   : (uint32_t)size - 2,
			.local = address(
				flags & 8 ? "10.10.0.11" : "10.10.0.10",
				(uint16_t)(PORT + (flags & 16 ? 1 : 0))),
			.source = address("10.10.0.50",
					  (uint16_t)(flags & 32 ? 7000 : 7001)),
			.truncated = flags & 64,
		};
		const struct media_flow *f = &s->flows[flags & 8 ? 1 : 0];
		uint32_t ssrc = f->rx.ssrc;
		uint64_t index = f->rx.index;

		/* Its own memory, so that a read past the end is seen. */
		copy = malloc(p.size + 1);
		require(copy);
		memcpy(copy, data + 2, p.size);
		p.data = copy;
		longest = p.size;
		media_relay_batch(&relay, nif, &p, 1, now_ns, 0);
		require(f->rx.ssrc != ssrc || f->rx.index >= index);
		require(f->rx.index >> 48 == 0);
		free(copy);
		data += 2 + p.size;
		size -= 2 + p.size;
		now_ns += (uint64_t)flags << 22;
	}
	media_stream_guard(s, now_ns);
	media_stream_release(s);
	media_stream_free(s);
}

static void fuzz_forward(const uint8_t *data, size_t size, bool sealed)
{
	uint8_t full[EVP_MAX_MD_SIZE], *copy = malloc(size + 16 + 1);
	struct forward_datagram d;
	struct forward_rx *r = NULL;
	unsigned full_size;

	require(copy && !forward_rx_create(&r, &key, 1));
	forward_rx_set_epochs(r, 0, UINT64_MAX);
	memcpy(copy, data, size);
	if (sealed) {
		require(HMAC(EVP_sha256(), key, sizeof(key), data, size, full,
			     &full_size));
		memcpy(copy + size, full, FORWARD_MAC_BYTES);
		size += FORWARD_MAC_BYTES;
	}
	if (!forward_open(r, copy, size, &d)) {
		require(sealed);
		require(d.payload >= copy &&
			d.payload + d.size + FORWARD_MAC_BYTES == copy + size);
		require(forward_open(r, copy, size, &d) == -EALREADY);
	}
	forward_rx_destroy(r);
	free(copy);
}

static void fuzz_restore(const uint8_t *data, size_t size)
{
	struct media_stream *s = stream_new(size ? data[0] : 0);
	struct rec_mstate m;

	if (size && !record_decode(REC_MSTATE, data + 1, size - 1, &m)) {
		media_stream_restore(s, &m, 1000000000000);
		media_stream_activate(s, 1000000000000, 0);
		media_stream_export(s, &m, 1000000000001, 1);
		require(m.flows_len == 2);
	}
	media_stream_release(s);
	media_stream_free(s);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);
int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	if (!size)
		return 0;
	switch (*data & 3) {
	case 0:
		fuzz_relay(data + 1, size - 1);
		break;
	case 1:
		fuzz_forward(data + 1, size - 1, false);
		break;
	case 2:
		fuzz_forward(data + 1, size - 1, true);
		break;
	case 3:
		fuzz_restore(data + 1, size - 1);
		break;
	}
	return 0;
}
