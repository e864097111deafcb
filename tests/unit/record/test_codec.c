/* The codec: round trips, defaults, strangers, limits, size, golden bytes. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "tests/unit/record/fill.h"

static union rec_any in, out;
static struct buf value;

static int setup(void **state)
{
	buf_init(&value, 512 * 1024);
	return 0;
}

static int teardown(void **state)
{
	buf_finish(&value);
	return 0;
}

static void encode(uint8_t kind)
{
	buf_reset(&value);
	assert_int_equal(record_encode(kind, &in, &value), 0);
}

static int decode(uint8_t kind)
{
	return record_decode(kind, value.data, value.size, &out);
}

static void fields_equal(const struct record_field *f, const char *a,
			 const char *b);

static void field_equal(const struct record_field *f, const char *a,
			const char *b)
{
	uint32_t size;
	uint16_t len;

	switch (f->type) {
	case RT_STR:
		assert_string_equal(a + f->offset, b + f->offset);
		return;
	case RT_BYTES:
		memcpy(&size, a + f->offset, sizeof(size));
		assert_memory_equal(a + f->offset, b + f->offset, 4 + size);
		return;
	case RT_ADDR:
		assert_true(addr_equal((const void *)(a + f->offset),
				       (const void *)(b + f->offset)));
		return;
	case RT_ARRAY:
		assert_memory_equal(a + f->len_offset, b + f->len_offset, 2);
		memcpy(&len, a + f->len_offset, sizeof(len));
		for (uint16_t i = 0; i < len; i++)
			fields_equal(f->fields, a + f->offset + i * f->size,
				     b + f->offset + i * f->size);
		return;
	default:
		assert_memory_equal(a + f->offset, b + f->offset, f->size);
		return;
	}
}

static void fields_equal(const struct record_field *f, const char *a,
			 const char *b)
{
	for (; f->tag; f++)
		field_equal(f, a, b);
}

static void every_kind_comes_back(void **state)
{
	for (uint8_t kind = 1; kind < REC_KIND_MAX; kind++) {
		assert_non_null(record_kind_info(kind));
		for (uint64_t seed = 1; seed < 120; seed++) {
			fill_record(seed, kind, &in);
			encode(kind);
			/* What was there before must not shine through. */
			memset(&out, 0x5a, sizeof(out));
			assert_int_equal(decode(kind), 0);
			fields_equal(record_kind_info(kind)->fields,
				     (char *)&in, (char *)&out);
		}
	}
}

static void absent_means_zero(void **state)
{
	for (uint8_t kind = 1; kind < REC_KIND_MAX; kind++) {
		memset(&in, 0, sizeof(in));
		encode(kind);
		assert_int_equal(value.size, 0);
		memset(&out, 0x5a, sizeof(out));
		assert_int_equal(decode(kind), 0);
		fields_equal(record_kind_info(kind)->fields, (char *)&in,
			     (char *)&out);
	}
}

/* What a newer release adds: an integer and a blob we do not know. */
static void unknown_tags_are_skipped(void **state)
{
	in.call = (struct rec_call){.state = CALL_RINGING, .legs_len = 1};
	strcpy(in.call.legs[0].agent, "cucm");
	buf_reset(&value);
	buf_put_varint(&value, 5000 << 1);
	buf_put_varint(&value, UINT64_MAX);
	assert_int_equal(record_encode(REC_CALL, &in, &value), 0);
	buf_put_varint(&value, 5001 << 1 | 1);
	buf_put_varint(&value, 3);
	buf_put(&value, "new", 3);
	assert_int_equal(decode(REC_CALL), 0);
	assert_int_equal(out.call.state, CALL_RINGING);
	assert_string_equal(out.call.legs[0].agent, "cucm");
}

static void put_int(uint64_t tag, uint64_t v)
{
	buf_put_varint(&value, tag << 1);
	buf_put_varint(&value, v);
}

static void put_blob(uint64_t tag, const void *data, size_t size)
{
	buf_put_varint(&value, tag << 1 | 1);
	buf_put_varint(&value, size);
	buf_put(&value, data, size);
}

/* What is left of a newer release's record when this one has written it:
 * every field this one knows, nothing else (record.h says why). */
static void a_rewrite_says_what_its_writer_knows(void **state)
{
	static struct buf leg;

	buf_init(&leg, 256);
	buf_put_varint(&leg, 4 << 1 | 1); /* agent */
	buf_put_varint(&leg, 4);
	buf_put(&leg, "cucm", 4);
	buf_put_varint(&leg, 6000 << 1); /* not ours */
	buf_put_varint(&leg, 1);
	buf_put_varint(&leg, 5 << 1); /* acked_cseq */
	buf_put_varint(&leg, 77);
	buf_reset(&value);
	put_int(5000, UINT64_MAX);
	put_int(1, CALL_RINGING);
	put_blob(5001, "new", 3);
	buf_put_varint(&value, 13 << 1 | 1); /* legs, one */
	buf_put_varint(&value, leg.size + 1);
	buf_put_varint(&value, leg.size);
	buf_put(&value, leg.data, leg.size);
	buf_finish(&leg);
	assert_int_equal(decode(REC_CALL), 0);
	in.call = out.call;
	encode(REC_CALL);
	assert_null(memmem(value.data, value.size, "new", 3));
	memset(&out, 0x5a, sizeof(out));
	assert_int_equal(decode(REC_CALL), 0);
	assert_int_equal(out.call.state, CALL_RINGING);
	assert_int_equal(out.call.legs_len, 1);
	assert_string_equal(out.call.legs[0].agent, "cucm");
	assert_int_equal(out.call.legs[0].acked_cseq, 77);
	/* Tag and value of the state, of the legs their sizes too, no more. */
	assert_int_equal(value.size, 2 + 2 + 1 + 6 + 2);
}

static void expect_bad(uint8_t kind)
{
	assert_int_equal(decode(kind), -EBADMSG);
	buf_reset(&value);
}

static void hostile_values_are_refused(void **state)
{
	static const uint8_t many[REC_LEGS_MAX + 1];
	static char text[REC_SDP_SIZE + 1];
	static const uint8_t v5[19] = {5}, v4[7] = {4}, v6[19] = {6};

	memset(text, 'x', sizeof(text));
	put_int(1, 2); /* twice */
	put_int(1, 2);
	expect_bad(REC_CALL);
	put_blob(10, "a", 1);
	put_blob(10, "b", 1);
	expect_bad(REC_CALL);
	put_int(1, 256); /* over the member's range */
	expect_bad(REC_CALL);
	put_int(7, 65536);
	expect_bad(REC_CALL);
	put_int(9, UINT64_C(1) << 32);
	expect_bad(REC_DIALOG);
	put_int(6, 2); /* a bool */
	expect_bad(REC_TXN);
	put_blob(1, "a", 1); /* blob where an integer belongs */
	expect_bad(REC_CALL);
	put_int(10, 1); /* and the other way */
	expect_bad(REC_CALL);
	put_int(0, 1); /* no tag */
	expect_bad(REC_CALL);
	put_blob(10, text, REC_URI_SIZE); /* no room for the NUL */
	expect_bad(REC_CALL);
	put_blob(10, "a\0b", 3);
	expect_bad(REC_CALL);
	put_blob(17, text, REC_SDP_SIZE + 1);
	expect_bad(REC_DIALOG);
	put_blob(13, many, sizeof(many)); /* nine empty legs */
	expect_bad(REC_CALL);
	put_blob(14, v5, sizeof(v5));
	expect_bad(REC_DIALOG);
	put_blob(14, v6, 7);
	expect_bad(REC_DIALOG);
	put_blob(14, v4, 6);
	expect_bad(REC_DIALOG);
	put_blob(14, v4, 0);
	expect_bad(REC_DIALOG);
	buf_put(&value, "\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\x01", 11);
	expect_bad(REC_CALL);
	put_int(1, 1);
	assert_int_equal(record_decode(0, value.data, value.size, &out),
			 -EBADMSG);
	assert_int_equal(
		record_decode(REC_KIND_MAX, value.data, value.size, &out),
		-EBADMSG);
	/* The limits themselves are fine. */
	buf_reset(&value);
	put_blob(10, text, REC_URI_SIZE - 1);
	put_blob(13, many, REC_LEGS_MAX);
	assert_int_equal(decode(REC_CALL), 0);
	assert_int_equal(out.call.legs_len, REC_LEGS_MAX);
}

/* At a field's border a prefix is a valid shorter record; elsewhere it is
 * refused; nowhere is a byte read that is not there (run under asan). */
static void truncation_at_every_byte(void **state)
{
	for (uint8_t kind = 1; kind < REC_KIND_MAX; kind++) {
		size_t refused = 0, tried = 0;

		for (uint64_t seed = 1; seed < 5; seed++) {
			size_t whole;

			fill_record(seed, kind, &in);
			encode(kind);
			whole = value.size > 3000 ? 3000 : value.size;
			for (size_t n = 0; n < whole; n++, tried++) {
				uint8_t *copy = malloc(n ? n : 1);

				memcpy(copy, value.data, n);
				if (record_decode(kind, copy, n, &out))
					refused++;
				free(copy);
			}
		}
		assert_true(refused > 0 && refused < tried);
	}
}

static void broken_structs_are_not_encoded(void **state)
{
	memset(&in, 0, sizeof(in));
	memset(in.call.from_uri, 'x', sizeof(in.call.from_uri));
	assert_int_equal(record_encode(REC_CALL, &in, &value), -EINVAL);
	memset(&in, 0, sizeof(in));
	in.call.legs_len = REC_LEGS_MAX + 1;
	assert_int_equal(record_encode(REC_CALL, &in, &value), -EINVAL);
	memset(&in, 0, sizeof(in));
	in.dialog.local_sdp.size = REC_SDP_SIZE + 1;
	assert_int_equal(record_encode(REC_DIALOG, &in, &value), -EINVAL);
	memset(&in, 0, sizeof(in));
	in.dialog.peer.family = 9;
	assert_int_equal(record_encode(REC_DIALOG, &in, &value), -EINVAL);
	assert_int_equal(record_encode(0, &in, &value), -EINVAL);
	assert_int_equal(record_encode(REC_KIND_MAX, &in, &value), -EINVAL);
	/* No memory is an error, not a shorter record. */
	buf_finish(&value);
	buf_init(&value, 8);
	memset(&in, 0, sizeof(in));
	strcpy(in.call.from_uri, "sip:alice@example.net");
	assert_int_equal(record_encode(REC_CALL, &in, &value), -ENOMEM);
	buf_finish(&value);
	buf_init(&value, 512 * 1024);
}

/* Contents of byte members behind their size stay as they are: clearing
 * 128 KB for every transaction would cost more than decoding it. */
static void large_members_are_not_touched(void **state)
{
	memset(&in, 0, sizeof(in));
	in.txn.side = TXN_CLIENT;
	in.txn.request.size = 3;
	memcpy(in.txn.request.data, "ACK", 3);
	encode(REC_TXN);
	memset(&out, 0x5a, sizeof(out));
	assert_int_equal(decode(REC_TXN), 0);
	assert_int_equal(out.txn.request.size, 3);
	assert_int_equal(out.txn.request.data[3], 0x5a);
	assert_int_equal(out.txn.response.size, 0);
	assert_int_equal(out.txn.response.data[0], 0x5a);
	assert_int_equal(out.txn.last_status, 0);
}

static size_t encoded_size(uint8_t kind)
{
	encode(kind);
	return value.size;
}

static void fill_call(void)
{
	memset(&in, 0, sizeof(in));
	in.call.state = CALL_ESTABLISHED;
	in.call.created_ms = in.call.ringing_ms = in.call.answered_ms =
		1760000000000;
	in.call.next_txn = 3;
	strcpy(in.call.from_uri, "sip:+493012345@10.10.0.50:5060;user=phone");
	strcpy(in.call.to_uri, "sip:+498912345@10.10.0.10:5060;user=phone");
	in.call.legs_len = 2;
	for (uint16_t i = 0; i < 2; i++) {
		in.call.legs[i].leg = i;
		in.call.legs[i].role = (uint8_t)(i + 1);
		strcpy(in.call.legs[i].sip_interface, "core");
		strcpy(in.call.legs[i].agent, "cucm-subscriber-1");
	}
}

static void fill_dialog(void)
{
	struct rec_dialog *d = &in.dialog;

	memset(&in, 0, sizeof(in));
	d->state = DIALOG_CONFIRMED;
	d->transport = TRANSPORT_TCP;
	strcpy(d->sip_interface, "core");
	strcpy(d->call_id, "3c26700c1adf4b3a9d5e8a4b6f2c71d0@10.10.0.50");
	strcpy(d->local_uri, "<sip:+498912345@10.10.0.10:5060;user=phone>");
	strcpy(d->remote_uri, "\"Alice\" <sip:+493012345@10.10.0.50>");
	strcpy(d->local_tag, "0123456789abcdef0123456789abcdef");
	strcpy(d->remote_tag, "as5f9a2c1e");
	d->local_cseq = 101;
	d->remote_cseq = 102;
	strcpy(d->remote_target,
	       "sip:+493012345@10.10.0.50:5060;transport=tcp");
	strcpy(d->route, "<sip:10.10.0.51;lr>,<sip:10.10.0.52;lr>");
	assert_int_equal(addr_parse_ip(&d->peer, "10.10.0.50", 5060), 0);
	d->sdp_version = 3;
	d->sdp_session = 1760000000000;
}

static void fill_media(void)
{
	struct rec_media *m = &in.media;

	memset(&in, 0, sizeof(in));
	m->media = 'a';
	m->guard_initial_ms = m->guard_subsequent_ms = 300000;
	m->started_ms = 1760000000000;
	m->flows_len = 2;
	for (uint16_t i = 0; i < 2; i++) {
		struct rec_flow *f = &m->flows[i];

		f->leg = i;
		strcpy(f->network_interface, "core");
		assert_int_equal(addr_parse_ip(&f->local, "fd00:10::10", 20000),
				 0);
		f->remote = f->remote_rtcp = f->local;
		f->direction = FLOW_SENDRECV;
		f->latch = true;
	}
}

static void fill_mstate(void)
{
	memset(&in, 0, sizeof(in));
	in.mstate.flows_len = 2;
	for (uint16_t i = 0; i < 2; i++) {
		struct rec_mflow *f = &in.mstate.flows[i];

		assert_int_equal(
			addr_parse_ip(&f->learned, "fd00:10::50", 16384), 0);
		f->learned_rtcp = f->learned;
		f->ssrc = 0xdeadbeef;
		f->index = 0x1234567890;
		f->rx_packets = 300000;
		f->rx_bytes = 51600000;
		f->last_rx_ms = 1760000000000;
	}
}

static void fill_ticket(void)
{
	memset(&in, 0, sizeof(in));
	in.ticket.keys_len = 2;
	for (uint16_t i = 0; i < 2; i++) {
		struct rec_ticket_key *k = &in.ticket.keys[i];

		k->created_ms = 1760003600000 - 3600000 * i;
		k->secret.size = REC_TICKET_SECRET_SIZE;
		memset(k->secret.data, 0x40 + i, REC_TICKET_SECRET_SIZE);
	}
}

static void established_call_is_small(void **state)
{
	size_t total = 0;

	fill_call();
	total += encoded_size(REC_CALL);
	fill_dialog();
	total += 2 * encoded_size(REC_DIALOG);
	fill_media();
	total += encoded_size(REC_MEDIA);
	fill_mstate();
	total += encoded_size(REC_MSTATE);
	assert_in_range(total, 500, 3000);
}

/*
 * Bytes of a released format never change. GOLDEN_UPDATE=1 writes the file of
 * a kind that has none yet.
 */
static void golden_bytes(void **state)
{
	for (uint8_t kind = 1; kind < REC_KIND_MAX; kind++) {
		const struct record_kind_info *info = record_kind_info(kind);
		char path[128];
		unsigned byte;
		FILE *f;

		memset(&in, 0, sizeof(in));
		if (kind == REC_CALL)
			fill_call();
		else if (kind == REC_DIALOG)
			fill_dialog();
		else if (kind == REC_MEDIA)
			fill_media();
		else if (kind == REC_MSTATE)
			fill_mstate();
		else if (kind == REC_TICKET)
			fill_ticket();
		else
			fill_record(9, kind, &in);
		if (kind == REC_TXN) {
			in.txn.request.size = in.txn.response.size = 40;
			/* Younger than the file: not said, nothing changes. */
			in.txn.wants_prack = in.txn.unpracked = false;
			in.txn.rseq = 0;
		}
		if (kind == REC_FAILOVER)
			in.failover.tls_us = 0;
		if (kind == REC_CONFIG)
			in.config.text.size = 40;
		if (kind == REC_OCSP)
			in.ocsp.certificate.size = in.ocsp.response.size = 30;
		encode(kind);
		snprintf(path, sizeof(path), "tests/wire/golden/record-%s.hex",
			 info->name);
		f = fopen(path, "r");
		if (!f && getenv("GOLDEN_UPDATE")) {
			f = fopen(path, "w");
			for (size_t i = 0; i < value.size; i++)
				fprintf(f, "%02x%s", value.data[i],
					i % 32 == 31 ? "\n" : "");
			fprintf(f, "\n");
			fclose(f);
			continue;
		}
		if (!f)
			fail_msg("%s is missing", path);
		for (size_t i = 0; i < value.size; i++) {
			if (fscanf(f, "%2x", &byte) != 1 ||
			    byte != value.data[i])
				fail_msg("%s differs at byte %zu", path, i);
		}
		assert_int_equal(fscanf(f, "%2x", &byte), EOF);
		fclose(f);
		/* And it is still understood. */
		assert_int_equal(decode(kind), 0);
		fields_equal(info->fields, (char *)&in, (char *)&out);
	}
}

static void keys_read_well(void **state)
{
	const struct ha_key key = {.id = 0xc0ffee, .sub = 2, .kind = REC_MEDIA};
	const struct ha_key odd = {.id = 1, .sub = 0, .kind = 77};
	char text[64];

	assert_string_equal(record_key_format(&key, text, sizeof(text)),
			    "media/0000000000c0ffee/2");
	assert_string_equal(record_key_format(&odd, text, sizeof(text)),
			    "kind77/0000000000000001/0");
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(every_kind_comes_back),
		cmocka_unit_test(absent_means_zero),
		cmocka_unit_test(unknown_tags_are_skipped),
		cmocka_unit_test(a_rewrite_says_what_its_writer_knows),
		cmocka_unit_test(hostile_values_are_refused),
		cmocka_unit_test(truncation_at_every_byte),
		cmocka_unit_test(broken_structs_are_not_encoded),
		cmocka_unit_test(large_members_are_not_touched),
		cmocka_unit_test(established_call_is_small),
		cmocka_unit_test(golden_bytes),
		cmocka_unit_test(keys_read_well),
	};

	return cmocka_run_group_tests(tests, setup, teardown);
}
