/*
 * Records from a hostile peer node: whatever they say, the B2BUA takes them,
 * takes over, goes through its timers and lets go of everything.
 *
 * Input: *(kind, sub, size (2, big endian), value)
 */
#include <errno.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "sbcd/base/log.h"
#include "sbcd/call/b2bua.h"

static uint64_t now_ms;
static unsigned handles;

static void op_adopt(void *ctx, struct txn *t, const char *tag)
{
}

static int op_request(void *ctx, struct txn *t, const struct rec_dialog *d,
		      const struct call_send *s, uint64_t token)
{
	t->handle = &now_ms;
	handles++;
	return 0;
}

static int op_response(void *ctx, struct txn *t, const struct rec_dialog *d,
		       const struct call_send *s, uint64_t token)
{
	return -EIO;
}

static void op_ack(void *ctx, struct call *c, const struct rec_dialog *d,
		   const struct call_send *s, uint64_t token)
{
	if (s->sdp_size > REC_SDP_SIZE)
		abort();
}

static void op_cancel(void *ctx, struct txn *t, const char *why, uint64_t token)
{
}

static void op_retransmit(void *ctx, struct txn *t)
{
}

static int op_restore(void *ctx, struct txn *t, const struct rec_dialog *d)
{
	if (t->cseq & 1)
		return -EBADMSG;
	t->handle = &now_ms;
	handles++;
	return 0;
}

static void op_release(void *ctx, struct txn *t)
{
	handles -= t->handle != NULL;
	t->handle = NULL;
}

static void op_forget(void *ctx, struct call *c)
{
}

static bool op_drained(void *ctx, const struct call *c)
{
	return true;
}

static int op_local_host(void *ctx, const char *sip_interface,
			 const struct addr *peer, char *out, size_t size)
{
	return -ENODEV;
}

static ssize_t op_sdp(void *ctx, const struct call_body *body,
		      struct call_refusal *why)
{
	return -EPROTO;
}

static ssize_t op_reoffer(void *ctx, struct leg *l, struct rec_dialog *d,
			  char *out, size_t size)
{
	return snprintf(out, size, "v=0");
}

static int op_reanswer(void *ctx, struct leg *l, struct rec_dialog *d,
		       const void *in, size_t size, struct call_refusal *why)
{
	return -EPROTO;
}

static void op_exchanged(void *ctx, struct call *c, enum call_exchange how)
{
}

static int op_counted(void *ctx, struct call *c, unsigned sub,
		      const struct rec_mstate *m)
{
	return m->flows_len > 1 ? -ENOKEY : 0;
}

static void op_offer_refused(void *ctx, const struct leg *l, uint16_t status)
{
}

static bool op_stream_valid(const struct rec_media *m)
{
	return m->keys_len % 2 == 0;
}

static int op_put(void *ctx, const struct ha_key *key, const void *value,
		  size_t size, bool sync, uint64_t token)
{
	return 0;
}

static int op_del(void *ctx, const struct ha_key *key)
{
	return 0;
}

static void op_committed(void *ctx, uint64_t token)
{
}

static uint64_t op_now(void *ctx)
{
	return now_ms;
}

static void op_building(void *ctx, const struct call *c)
{
}

static const struct call_ops ops = {
	.adopt = op_adopt,
	.request = op_request,
	.response = op_response,
	.ack = op_ack,
	.cancel = op_cancel,
	.retransmit = op_retransmit,
	.repeat = op_retransmit,
	.restore = op_restore,
	.release = op_release,
	.forget = op_forget,
	.drained = op_drained,
	.local_host = op_local_host,
	.sdp = op_sdp,
	.reoffer = op_reoffer,
	.reanswer = op_reanswer,
	.exchanged = op_exchanged,
	.counted = op_counted,
	.offer_refused = op_offer_refused,
	.stream_valid = op_stream_valid,
	.put = op_put,
	.del = op_del,
	.committed = op_committed,
	.now_ms = op_now,
	.building = op_building,
};

static struct config *make_config(void)
{
	static const char text[] =
		"cluster { name = \"t\" peers = {\"a\", \"b\"} }\n"
		"network-interface \"core\" { nic = \"core\"\n"
		" address = {\"10.10.0.10/24\"} gateway = {\"10.10.0.1\"} }\n"
		"realm \"core\" { network-interface = core\n"
		" steering-pool = \"20000-20099\" }\n"
		"sip-interface \"core\" { realm = core port udp { } }\n"
		"session-agent \"pbx\" { realm = core host = \"10.10.0.50\" }\n"
		"local-policy { from-realm = core to = \"*\" next-hop = pbx }\n";
	struct config_errors errors = {.len = 0};
	struct config *c;

	if (config_parse(&c, text, "t", &errors)) {
		fputs(errors.text, stderr);
		abort();
	}
	return c;
}

static void feed(struct b2bua *b, const uint8_t *data, size_t size)
{
	while (size >= 4) {
		struct ha_key key = {1 + data[1] / 64, data[1] % 64, data[0]};
		size_t n = (size_t)data[2] << 8 | data[3];

		data += 4;
		size -= 4;
		if (n > size)
			n = size;
		(void)!b2bua_record(b, &key, n ? data : NULL, n);
		data += n;
		size -= n;
	}
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);
int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	static struct config *config;
	struct b2bua_params p = {.node = 1, .shards = 1, .ops = &ops};
	struct b2bua_stats stats;
	struct b2bua *b;

	if (!config) {
		log_init("f", "fuzz", LOG_EMERG);
		config = make_config();
	}
	p.config = config;
	now_ms = 1000000;
	if (b2bua_create(&b, &p))
		return 0;
	feed(b, data, size);
	b2bua_activate(b, 1);
	/* An established call may stay; all else ends by its timers. */
	for (int i = 0; i < 60; i++) {
		now_ms += 5000;
		b2bua_turn(b);
	}
	for (struct call *c = b2bua_next_call(b, NULL); c;
	     c = b2bua_next_call(b, c))
		b2bua_end(b, c, 480, "over");
	for (int i = 0; i < 20; i++) {
		now_ms += 5000;
		b2bua_turn(b);
	}
	b2bua_stats(b, &stats);
	if (stats.calls || stats.txns || stats.legs || stats.ports || handles)
		abort();
	b2bua_destroy(b);
	return 0;
}
