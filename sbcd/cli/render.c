#include "sbcd/cli/render.h"

#include <errno.h>
#include <libsmartcols/libsmartcols.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

enum { DEPTH_MAX = 8, NAME_SIZE = 128 };

/* Wall-clock milliseconds, not a duration: later than 2001. */
static bool is_time(const char *name, json_int_t v)
{
	size_t len = strlen(name);

	return v > 1000000000000 && v < 100000000000000 && len > 3 &&
	       (!strcmp(name + len - 3, "-ms") ||
		!strcmp(name + len - 3, "_ms"));
}

static char *time_text(json_int_t ms)
{
	time_t seconds = (time_t)(ms / 1000);
	char day[64], *text;
	struct tm tm;

	if (!localtime_r(&seconds, &tm) ||
	    !strftime(day, sizeof(day), "%Y-%m-%d %H:%M:%S", &tm))
		day[0] = '\0';
	return asprintf(&text, "%s.%03d", day, (int)(ms % 1000)) < 0 ? NULL
								     : text;
}

static bool is_plain_list(const json_t *value)
{
	size_t i;
	json_t *v;

	if (!json_is_array(value))
		return false;
	json_array_foreach((json_t *)(uintptr_t)value, i,
			   v) if (json_is_object(v) ||
				  json_is_array(v)) return false;
	return true;
}

static char *list_text(const char *name, const json_t *list)
{
	char *text = NULL;
	size_t size = 0, i;
	FILE *f = open_memstream(&text, &size);
	json_t *v;

	if (!f)
		return NULL;
	json_array_foreach((json_t *)(uintptr_t)list, i, v)
	{
		char *one = render_value(name, v);

		fprintf(f, "%s%s", i ? ", " : "", one ? one : "?");
		free(one);
	}
	fclose(f);
	return text;
}

char *render_value(const char *name, const json_t *value)
{
	char *text = NULL;

	switch (json_typeof(value)) {
	case JSON_TRUE:
		return strdup("yes");
	case JSON_FALSE:
		return strdup("no");
	case JSON_NULL:
		return strdup("-");
	case JSON_STRING:
		return strdup(json_string_length(value)
				      ? json_string_value(value)
				      : "-");
	case JSON_INTEGER:
		if (is_time(name, json_integer_value(value)))
			return time_text(json_integer_value(value));
		if (asprintf(&text, "%" JSON_INTEGER_FORMAT,
			     json_integer_value(value)) < 0)
			return NULL;
		return text;
	case JSON_REAL:
		if (asprintf(&text, "%.3g", json_real_value(value)) < 0)
			return NULL;
		return text;
	case JSON_ARRAY:
		if (!json_array_size(value))
			return strdup("-");
		if (is_plain_list(value))
			return list_text(name, value);
		if (asprintf(&text, "%zu entries", json_array_size(value)) < 0)
			return NULL;
		return text;
	default:
		return json_dumps(value, JSON_COMPACT | JSON_ENCODE_ANY);
	}
}

static struct libscols_table *new_table(FILE *out)
{
	struct libscols_table *t = scols_new_table();

	if (!t)
		return NULL;
	scols_table_set_stream(t, out);
	scols_table_set_column_separator(t, "  ");
	/* Whole cells also when the output is no terminal. */
	scols_table_set_termforce(t, SCOLS_TERMFORCE_NEVER);
	return t;
}

static int set_cell(struct libscols_line *line, size_t column, char *text)
{
	/* Owned by the line from here on. */
	return text ? scols_line_refer_data(line, column, text) : -ENOMEM;
}

/* ---- lists of objects ------------------------------------------------------
 */

static bool is_table(const json_t *value)
{
	size_t i;
	json_t *v;

	if (!json_is_array(value) || !json_array_size(value))
		return false;
	json_array_foreach((json_t *)(uintptr_t)value, i,
			   v) if (!json_is_object(v)) return false;
	return true;
}

/* Columns: every member that any element has, in the order of appearance. */
static json_t *column_names(const json_t *list)
{
	json_t *names = json_object(), *row, *v;
	const char *name;
	size_t i;

	json_array_foreach((json_t *)(uintptr_t)list, i, row)
		json_object_foreach(row, name, v)
			json_object_set_new(names, name, json_null());
	return names;
}

/* Numbers stand right in their column. */
static bool all_numbers(const json_t *list, const char *name)
{
	size_t i;
	json_t *row;

	json_array_foreach((json_t *)(uintptr_t)list, i, row)
	{
		json_t *v = json_object_get(row, name);

		if (v && (!json_is_number(v) ||
			  is_time(name, json_integer_value(v))))
			return false;
	}
	return true;
}

static int add_columns(struct libscols_table *t, const json_t *list,
		       json_t *names)
{
	const char *name;
	json_t *unused;

	json_object_foreach(names, name, unused)
	{
		char *upper = strdup(name);
		bool ok;

		if (!upper)
			return -ENOMEM;
		for (char *c = upper; *c; c++)
			if (*c >= 'a' && *c <= 'z')
				*c = (char)(*c - 'a' + 'A');
		ok = scols_table_new_column(t, upper, 0,
					    all_numbers(list, name)
						    ? SCOLS_FL_RIGHT
						    : 0) != NULL;
		free(upper);
		if (!ok)
			return -ENOMEM;
	}
	return 0;
}

static int add_row(struct libscols_table *t, const json_t *row, json_t *names)
{
	struct libscols_line *line = scols_table_new_line(t, NULL);
	const char *name;
	size_t column = 0;
	json_t *unused;

	if (!line)
		return -ENOMEM;
	json_object_foreach(names, name, unused)
	{
		const json_t *v = json_object_get(row, name);
		int err = set_cell(line, column++,
				   v ? render_value(name, v) : strdup("-"));

		if (err)
			return err;
	}
	return 0;
}

static int print_list(FILE *out, const json_t *list)
{
	struct libscols_table *t = new_table(out);
	json_t *names = column_names(list), *row;
	int err = t && names ? add_columns(t, list, names) : -ENOMEM;
	size_t i;

	if (!err)
		json_array_foreach((json_t *)(uintptr_t)list, i, row)
		{
			err = add_row(t, row, names);
			if (err)
				break;
		}
	if (!err)
		err = scols_print_table(t);
	scols_unref_table(t);
	json_decref(names);
	return err;
}

/* ---- objects ---------------------------------------------------------------
 */

static void join_name(char *out, const char *prefix, const char *name)
{
	snprintf(out, NAME_SIZE, "%s%s%s", prefix, *prefix ? "." : "", name);
}

static int add_members(struct libscols_table *t, const json_t *object,
		       const char *prefix, unsigned depth)
{
	const char *name;
	json_t *v;

	json_object_foreach((json_t *)(uintptr_t)object, name, v)
	{
		struct libscols_line *line;
		char full[NAME_SIZE];
		int err;

		if (is_table(v))
			continue; /* below */
		join_name(full, prefix, name);
		if (json_is_object(v) && depth < DEPTH_MAX) {
			err = add_members(t, v, full, depth + 1);
			if (err)
				return err;
			continue;
		}
		line = scols_table_new_line(t, NULL);
		err = line ? set_cell(line, 0, strdup(full)) : -ENOMEM;
		if (!err)
			err = set_cell(line, 1, render_value(name, v));
		if (err)
			return err;
	}
	return 0;
}

static int print_members(FILE *out, const json_t *object)
{
	struct libscols_table *t = new_table(out);
	int err = -ENOMEM;

	if (!t || !scols_table_new_column(t, "", 0, 0) ||
	    !scols_table_new_column(t, "", 0, 0))
		goto out;
	scols_table_enable_noheadings(t, 1);
	err = add_members(t, object, "", 0);
	if (!err && scols_table_get_nlines(t))
		err = scols_print_table(t);
out:
	scols_unref_table(t);
	return err;
}

static int print_lists(FILE *out, const json_t *object, const char *prefix,
		       bool titled, unsigned depth)
{
	const char *name;
	json_t *v;

	json_object_foreach((json_t *)(uintptr_t)object, name, v)
	{
		char full[NAME_SIZE];
		int err = 0;

		join_name(full, prefix, name);
		if (is_table(v)) {
			if (titled)
				fprintf(out, "\n%s:\n", full);
			err = print_list(out, v);
		} else if (json_is_object(v) && depth < DEPTH_MAX) {
			err = print_lists(out, v, full, titled, depth + 1);
		}
		if (err)
			return err;
	}
	return 0;
}

int render_table(FILE *out, const json_t *data)
{
	int err;

	if (is_table(data))
		return print_list(out, data);
	if (!json_is_object(data)) {
		char *text = render_value("", data);

		if (!text)
			return -ENOMEM;
		fprintf(out, "%s\n", text);
		free(text);
		return 0;
	}
	/* A single list needs no title. */
	if (json_object_size(data) == 1 &&
	    is_table(json_object_iter_value(
		    json_object_iter((json_t *)(uintptr_t)data))))
		return print_lists(out, data, "", false, 0);
	err = print_members(out, data);
	return err ? err : print_lists(out, data, "", true, 0);
}

int render_json(FILE *out, const json_t *data)
{
	if (json_dumpf(data, out, JSON_INDENT(2) | JSON_ENCODE_ANY))
		return -ENOMEM;
	fputc('\n', out);
	return 0;
}
