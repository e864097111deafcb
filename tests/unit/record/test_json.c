/* Printing: every field once, and no key ever. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include <stdlib.h>
#include <string.h>

#include "tests/unit/record/fill.h"

static union rec_any rec;

static void every_field_is_printed(void **state)
{
	for (uint8_t kind = 1; kind < REC_KIND_MAX; kind++) {
		const struct record_field *f = record_kind_info(kind)->fields;

		for (uint64_t seed = 1; seed < 10; seed++) {
			size_t n = 0;
			json_t *o;

			fill_record(seed, kind, &rec);
			o = record_to_json(kind, &rec);
			assert_non_null(o);
			for (f = record_kind_info(kind)->fields; f->tag; f++)
				n += json_object_get(o, f->name) != NULL;
			assert_int_equal(n, json_object_size(o));
			json_decref(o);
		}
	}
	assert_null(record_to_json(0, &rec));
}

static void values_are_right(void **state)
{
	json_t *o, *leg;

	memset(&rec, 0, sizeof(rec));
	rec.call.state = CALL_RINGING;
	rec.call.created_ms = 1760000000000;
	strcpy(rec.call.from_uri, "sip:alice@example.net");
	rec.call.legs_len = 2;
	strcpy(rec.call.legs[1].agent, "o365");
	o = record_to_json(REC_CALL, &rec);
	assert_int_equal(json_integer_value(json_object_get(o, "state")), 2);
	assert_true(json_integer_value(json_object_get(o, "created_ms")) ==
		    1760000000000);
	assert_string_equal(json_string_value(json_object_get(o, "from_uri")),
			    "sip:alice@example.net");
	assert_int_equal(json_array_size(json_object_get(o, "legs")), 2);
	leg = json_array_get(json_object_get(o, "legs"), 1);
	assert_string_equal(json_string_value(json_object_get(leg, "agent")),
			    "o365");
	json_decref(o);

	memset(&rec, 0, sizeof(rec));
	assert_int_equal(addr_parse_ip(&rec.conn.remote, "fd00::1", 5060), 0);
	rec.conn.outbound = true;
	o = record_to_json(REC_CONN, &rec);
	assert_string_equal(json_string_value(json_object_get(o, "remote")),
			    "[fd00::1]:5060");
	assert_string_equal(json_string_value(json_object_get(o, "local")),
			    "none");
	assert_true(json_is_true(json_object_get(o, "outbound")));
	json_decref(o);
}

static char *sdp_printed(const char *sdp)
{
	char *text;
	json_t *o;

	memset(&rec, 0, sizeof(rec));
	rec.dialog.local_sdp.size = (uint32_t)strlen(sdp);
	memcpy(rec.dialog.local_sdp.data, sdp, strlen(sdp));
	o = record_to_json(REC_DIALOG, &rec);
	assert_non_null(o);
	text = strdup(json_string_value(json_object_get(o, "local_sdp")));
	json_decref(o);
	return text;
}

static void keys_are_masked(void **state)
{
	static const struct {
		const char *in, *out;
	} cases[] = {
		{"a=crypto:1 AES_CM_128_HMAC_SHA1_80 "
		 "inline:d0RmdmcmVCspeEc3QGZiNWpVLFJhQX1cfHAwJSoj|2^31|1:4\r\n",
		 "a=crypto:1 AES_CM_128_HMAC_SHA1_80 inline:***|2^31|1:4\r\n"},
		{"a=crypto:1 X INLINE:AAAA;inline:BBBB UNENCRYPTED_SRTP\r\n",
		 "a=crypto:1 X INLINE:***;inline:*** UNENCRYPTED_SRTP\r\n"},
		{"inline:AAAAAAAAAA", "inline:***"},
		{"inline:A", "inline:*"},
		{"inline:", "inline:"},
		{"v=0\r\nk=base64:c2VjcmV0\r\nm=audio",
		 "v=0\r\nk=***\r\nm=audio"},
		{"v=0\na=key-mgmt:mikey AQAFgM0XflABAAAA\n",
		 "v=0\na=key-mgmt:***\n"},
		{"m=audio 9 RTP/AVP 0\r\na=sendrecv\r\n",
		 "m=audio 9 RTP/AVP 0\r\na=sendrecv\r\n"},
		{"tok=en", "tok=en"},
		{"s=\xff\xfe\r\ninline:AAAAAA", "s=??\r\ninline:***"},
	};

	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		char *text = sdp_printed(cases[i].in);

		assert_string_equal(text, cases[i].out);
		free(text);
	}
}

static void ticket_keys_are_masked(void **state)
{
	static const char secret[] = "S3cr3tS3cr3tS3cr3tS3cr3tS3cr3tS3";
	char *text;
	json_t *o;

	memset(&rec, 0, sizeof(rec));
	rec.ticket.keys_len = 1;
	rec.ticket.keys[0].created_ms = 4711;
	rec.ticket.keys[0].secret.size = REC_TICKET_SECRET_SIZE;
	memcpy(rec.ticket.keys[0].secret.data, secret, REC_TICKET_SECRET_SIZE);
	o = record_to_json(REC_TICKET, &rec);
	text = json_dumps(o, 0);
	assert_non_null(strstr(text, "4711"));
	assert_non_null(strstr(text, "***"));
	assert_null(strstr(text, "S3cr3t"));
	free(text);
	json_decref(o);
}

static void keys_in_raw_messages_are_masked(void **state)
{
	static const char raw[] =
		"INVITE sip:a@b SIP/2.0\r\n\r\nv=0\r\n"
		"a=crypto:1 AES_CM_128_HMAC_SHA1_80 inline:S3cr3tS3cr3t\r\n";
	char *text;
	json_t *o;

	memset(&rec, 0, sizeof(rec));
	rec.txn.request.size = sizeof(raw) - 1;
	memcpy(rec.txn.request.data, raw, sizeof(raw) - 1);
	rec.txn.response = rec.txn.request;
	o = record_to_json(REC_TXN, &rec);
	text = json_dumps(o, 0);
	assert_null(strstr(text, "S3cr3t"));
	assert_non_null(strstr(text, "INVITE sip:a@b"));
	free(text);
	json_decref(o);
}

/* Whatever stands in a member that is a key, nothing of it is printed. */
static void master_keys_are_not_printed(void **state)
{
	char *text;
	json_t *o;

	memset(&rec, 0, sizeof(rec));
	rec.media.keys_len = REC_KEYS_MAX;
	for (unsigned i = 0; i < REC_KEYS_MAX; i++) {
		rec.media.keys[i].number = 1 + i;
		rec.media.keys[i].key.size = 30;
		memcpy(rec.media.keys[i].key.data,
		       "S3cr3tS3cr3tS3cr3tS3cr3tS3cr3t", 30);
	}
	o = record_to_json(REC_MEDIA, &rec);
	text = json_dumps(o, 0);
	assert_null(strstr(text, "S3cr3t"));
	assert_non_null(strstr(text, "\"number\": 48"));
	assert_non_null(strstr(text, "\"key\": \"***\""));
	free(text);
	json_decref(o);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(every_field_is_printed),
		cmocka_unit_test(values_are_right),
		cmocka_unit_test(keys_are_masked),
		cmocka_unit_test(ticket_keys_are_masked),
		cmocka_unit_test(keys_in_raw_messages_are_masked),
		cmocka_unit_test(master_keys_are_not_printed),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
