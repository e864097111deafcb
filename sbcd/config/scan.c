#include "sbcd/config/schema.h"

#include <ctype.h>
#include <stdlib.h>
#include <string.h>

/*
 * libconfuse counts lines wrongly behind comments, drops single characters it
 * does not know without a word, expands environment variables, lets a second
 * assignment win silently and keeps its scanner's state after an unfinished
 * string. So it is handed a text without any of that.
 */

enum { DEPTH_MAX = 8, TOKEN_NONE = 0, TOKEN_WORD = 'w' };

struct assigned {
	struct assigned *next;
	const char *name;
	size_t size;
	int line;
};

struct scan {
	char *text; /* the copy that is changed */
	char *at;
	int line;
	const char *file;
	struct config_errors *errors;
	bool failed;
	/* what stands before the current token */
	int last;
	const char *word;
	size_t word_size;
	/* open braces */
	struct {
		int line;
		bool list;
		struct assigned *names;
	} open[DEPTH_MAX + 1];
	unsigned depth;
};

#define SCAN_FAIL(s, at_line, ...)                                             \
	do {                                                                   \
		config_error((s)->errors, (s)->file, at_line, __VA_ARGS__);    \
		(s)->failed = true;                                            \
	} while (0)

static void skip_comment(struct scan *s)
{
	int start = s->line;

	if (s->at[0] == '#' || s->at[1] == '/') {
		while (*s->at && *s->at != '\n')
			*s->at++ = ' ';
		return;
	}
	s->at[0] = s->at[1] = ' ';
	for (s->at += 2; *s->at; s->at++) {
		if (s->at[0] == '*' && s->at[1] == '/') {
			s->at[0] = s->at[1] = ' ';
			s->at += 2;
			return;
		}
		if (*s->at == '\n')
			s->line++;
		else
			*s->at = ' ';
	}
	SCAN_FAIL(s, start, "comment is not closed, write */ at its end");
}

static void scan_string(struct scan *s)
{
	char quote = *s->at++;

	s->word = s->at;
	for (; *s->at != quote; s->at++) {
		unsigned char c = (unsigned char)*s->at;

		if (c == '\0' || c == '\n') {
			SCAN_FAIL(s, s->line,
				  "string is not closed, write %c at its end",
				  quote);
			return;
		}
		if (c < 0x20 || c >= 0x7f) {
			SCAN_FAIL(s, s->line,
				  "only printable ASCII may stand in a string");
			return;
		}
		if (c == '\\' || (c == '$' && s->at[1] == '{')) {
			SCAN_FAIL(s, s->line,
				  "'%s' has no special meaning here; leave it "
				  "out, both nodes read the same text",
				  c == '\\' ? "\\" : "${");
			return;
		}
	}
	s->word_size = (size_t)(s->at - s->word);
	s->at++;
	s->last = TOKEN_WORD;
}

static bool is_word(char c)
{
	return isalnum((unsigned char)c) || strchr("-_.:/%@<>|&~^!?", c);
}

static void scan_word(struct scan *s)
{
	s->word = s->at;
	while (*s->at && is_word(*s->at)) {
		if (s->at[0] == '/' && (s->at[1] == '/' || s->at[1] == '*'))
			break;
		s->at++;
	}
	s->word_size = (size_t)(s->at - s->word);
	s->last = TOKEN_WORD;
}

static void assign(struct scan *s)
{
	struct assigned *a;

	if (s->last != TOKEN_WORD)
		return; /* libconfuse says so */
	for (a = s->open[s->depth].names; a; a = a->next) {
		if (a->size != s->word_size ||
		    memcmp(a->name, s->word, a->size) != 0)
			continue;
		SCAN_FAIL(s, s->line,
			  "'%.*s' is given twice, first in line %d; keep one",
			  (int)a->size, a->name, a->line);
		return;
	}
	a = calloc(1, sizeof(*a));
	if (!a) {
		SCAN_FAIL(s, s->line, "out of memory");
		return;
	}
	a->name = s->word;
	a->size = s->word_size;
	a->line = s->line;
	a->next = s->open[s->depth].names;
	s->open[s->depth].names = a;
}

static void drop_names(struct scan *s)
{
	struct assigned *a = s->open[s->depth].names;

	while (a) {
		struct assigned *next = a->next;

		free(a);
		a = next;
	}
	s->open[s->depth].names = NULL;
}

static void scan_symbol(struct scan *s)
{
	char c = *s->at;

	switch (c) {
	case ';':
		*s->at = ' ';
		s->last = TOKEN_NONE;
		break;
	case '=':
		assign(s);
		s->last = '=';
		break;
	case '{':
		if (s->depth == DEPTH_MAX) {
			SCAN_FAIL(s, s->line, "sections are nested too deeply");
			return;
		}
		s->depth++;
		s->open[s->depth].line = s->line;
		s->open[s->depth].list = s->last == '=';
		s->last = TOKEN_NONE;
		break;
	case '}':
		if (!s->depth) {
			SCAN_FAIL(s, s->line,
				  "unexpected '}', nothing is open here");
			return;
		}
		drop_names(s);
		s->depth--;
		s->last = TOKEN_NONE;
		break;
	case ',':
		s->last = TOKEN_NONE;
		break;
	default:
		if (isprint((unsigned char)c))
			SCAN_FAIL(s, s->line,
				  "unexpected '%c'; a value with it needs "
				  "quotes",
				  c);
		else
			SCAN_FAIL(s, s->line,
				  "unexpected byte 0x%02x; only ASCII may "
				  "stand outside comments",
				  (unsigned char)c);
		return;
	}
	s->at++;
}

static void scan_all(struct scan *s)
{
	while (*s->at && !s->failed) {
		char c = *s->at;

		if (c == '\n') {
			s->line++;
			s->at++;
		} else if (c == ' ' || c == '\t' || c == '\r') {
			*s->at++ = ' ';
		} else if (c == '#' ||
			   (c == '/' && (s->at[1] == '/' || s->at[1] == '*'))) {
			skip_comment(s);
		} else if (c == '"' || c == '\'') {
			scan_string(s);
		} else if (is_word(c)) {
			scan_word(s);
		} else {
			scan_symbol(s);
		}
	}
	if (!s->failed && s->depth)
		SCAN_FAIL(s, s->open[s->depth].line,
			  "this '{' is never closed, write } behind the %s",
			  s->open[s->depth].list ? "list" : "section");
}

char *config_scan(const char *text, const char *file,
		  struct config_errors *errors)
{
	struct scan s = {.line = 1, .file = file, .errors = errors};

	if (strlen(text) > CONFIG_TEXT_MAX_BYTES) {
		config_error(errors, file, 1,
			     "the file is too long, at most %d bytes",
			     CONFIG_TEXT_MAX_BYTES);
		return NULL;
	}
	s.text = strdup(text);
	if (!s.text) {
		config_error(errors, file, 1, "out of memory");
		return NULL;
	}
	s.at = s.text;
	scan_all(&s);
	for (;; s.depth--) {
		drop_names(&s);
		if (!s.depth)
			break;
	}
	if (s.failed) {
		free(s.text);
		return NULL;
	}
	return s.text;
}
