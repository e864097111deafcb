/* Tables from whatever JSON arrives. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include <stdlib.h>
#include <string.h>

#include "sbcd/cli/render.h"

static char *table(const char *json)
{
	json_t *data = json_loads(json, JSON_DECODE_ANY, NULL);
	char *text = NULL;
	size_t size;
	FILE *f = open_memstream(&text, &size);

	assert_non_null(data);
	assert_int_equal(render_table(f, data), 0);
	fclose(f);
	json_decref(data);
	return text;
}

static void expect(const char *json, const char *wanted)
{
	char *text = table(json);

	assert_string_equal(text, wanted);
	free(text);
}

static void scalars_stand_in_two_columns(void **state)
{
	expect("{\"node\":\"sbc-a\",\"node-id\":1,\"in-sync\":true,"
	       "\"replication-lag-ms\":0.4,\"witness\":null,\"note\":\"\"}",
	       "node                sbc-a\n"
	       "node-id             1\n"
	       "in-sync             yes\n"
	       "replication-lag-ms  0.4\n"
	       "witness             -\n"
	       "note                -\n");
}

static void objects_are_flattened(void **state)
{
	expect("{\"role\":\"ACTIVE\",\"peer\":{\"name\":\"sbc-b\","
	       "\"connected\":false,\"deep\":{\"er\":7}}}",
	       "role            ACTIVE\n"
	       "peer.name       sbc-b\n"
	       "peer.connected  no\n"
	       "peer.deep.er    7\n");
}

static void lists_of_objects_are_tables(void **state)
{
	expect("{\"count\":2,\"calls\":["
	       "{\"id\":\"00c0\",\"state\":\"ringing\",\"duration-s\":7},"
	       "{\"id\":\"00c1\",\"state\":\"established\","
	       "\"duration-s\":1234}]}",
	       "count  2\n\ncalls:\n"
	       "ID    STATE        DURATION-S\n"
	       "00c0  ringing               7\n"
	       "00c1  established        1234\n");
}

static void a_single_list_has_no_title(void **state)
{
	expect("{\"interfaces\":[{\"name\":\"core\",\"owned\":true,"
	       "\"addresses\":[\"10.10.0.10/24\",\"fd00:10::10/64\"]}]}",
	       "NAME  OWNED  ADDRESSES\n"
	       "core  yes    10.10.0.10/24, fd00:10::10/64\n");
}

static void what_follows_a_list_is_printed(void **state)
{
	expect("{\"list\":[{\"a\":1}],\"more\":2}", "more  2\n\nlist:\nA\n1\n");
}

/* What a newer daemon adds to one element only. */
static void unknown_members_do_no_harm(void **state)
{
	expect("{\"score\":90,\"deductions\":["
	       "{\"name\":\"a\",\"points\":10},"
	       "{\"name\":\"b\",\"new\":{\"x\":[1,{}]},\"many\":[[1],[2]]}]}",
	       "score  90\n\ndeductions:\n"
	       "NAME  POINTS  NEW           MANY\n"
	       "a         10  -             -\n"
	       "b          -  {\"x\":[1,{}]}  2 entries\n");
}

static void empty_things_are_printed(void **state)
{
	expect("{\"count\":0,\"calls\":[]}", "count  0\ncalls  -\n");
	expect("{}", "");
	expect("[]", "-\n");
	expect("\"text\"", "text\n");
	expect("null", "-\n");
	expect("[{\"a\":1}]", "A\n1\n");
}

static void lists_within_objects_have_a_path(void **state)
{
	expect("{\"id\":\"1\",\"records\":{\"dialog\":[{\"sub\":1}]}}",
	       "id  1\n\nrecords.dialog:\nSUB\n  1\n");
}

/* A peer's bytes must not reach the terminal as commands. */
static void control_characters_are_escaped(void **state)
{
	char *text = table("{\"from\":\"sip:\\u001b[31mx\\r\\ny\","
			   "\"list\":[{\"to\":\"\\u001b]0;t\\u0007\"}]}");

	for (const char *c = text; *c; c++)
		assert_true((unsigned char)*c >= 0x20 || *c == '\n');
	assert_non_null(strstr(text, "31mx"));
	free(text);
}

static void wall_clock_times_are_dates(void **state)
{
	setenv("TZ", "UTC", 1);
	expect("{\"since-ms\":1760000000123,\"lag-ms\":12,"
	       "\"list\":[{\"at_ms\":1760000000000}]}",
	       "since-ms  2025-10-09 08:53:20.123\n"
	       "lag-ms    12\n\nlist:\n"
	       "AT_MS\n2025-10-09 08:53:20.000\n");
}

static void deep_nesting_ends(void **state)
{
	char json[4096] = "", *text;

	for (int i = 0; i < 300; i++)
		strcat(json, "{\"a\":");
	strcat(json, "1");
	for (int i = 0; i < 300; i++)
		strcat(json, "}");
	text = table(json);
	assert_non_null(strstr(text, "a.a.a.a"));
	free(text);
}

static void json_comes_out_as_it_was(void **state)
{
	json_t *data = json_pack("{s:i,s:[s]}", "a", 1, "b", "x"), *again;
	char *text = NULL;
	size_t size;
	FILE *f = open_memstream(&text, &size);

	assert_int_equal(render_json(f, data), 0);
	fclose(f);
	again = json_loads(text, 0, NULL);
	assert_true(json_equal(data, again));
	json_decref(data);
	json_decref(again);
	free(text);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(scalars_stand_in_two_columns),
		cmocka_unit_test(objects_are_flattened),
		cmocka_unit_test(lists_of_objects_are_tables),
		cmocka_unit_test(a_single_list_has_no_title),
		cmocka_unit_test(what_follows_a_list_is_printed),
		cmocka_unit_test(unknown_members_do_no_harm),
		cmocka_unit_test(empty_things_are_printed),
		cmocka_unit_test(lists_within_objects_have_a_path),
		cmocka_unit_test(control_characters_are_escaped),
		cmocka_unit_test(wall_clock_times_are_dates),
		cmocka_unit_test(deep_nesting_ends),
		cmocka_unit_test(json_comes_out_as_it_was),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
