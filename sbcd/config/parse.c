#include "sbcd/config/schema.h"

#include <ctype.h>
#include <assert.h>
#include <errno.h>
#include <pthread.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>

/*
 * libconfuse gives its callbacks no context, and its scanner is global: one
 * parse at a time, whose state the callbacks find here.
 */
static pthread_mutex_t parse_lock = PTHREAD_MUTEX_INITIALIZER;
static struct parsed *parsing; /* under parse_lock */

/*
 * Hidden option of every section. Its "default" is evaluated when the section
 * is opened, which is the only moment libconfuse shows the line of that.
 */
static char line_option[] = " line";
static char line_default[] = "0";

struct option_line {
	const cfg_opt_t *option;
	int line;
};

struct parsed {
	cfg_t *root;
	cfg_opt_t *opts; /* what cfg_init() was given */
	const struct section_spec *schema;
	const char *file;
	struct config_errors *errors;
	struct option_line *lines;
	size_t lines_len, lines_capacity;
};

void config_error(struct config_errors *e, const char *file, int line,
		  const char *fmt, ...)
{
	size_t left = sizeof(e->text) - e->len;
	char one[768];
	va_list ap;
	int n;

	e->count++;
	n = snprintf(one, sizeof(one), "%s:%d: ", file, line);
	if (n < 0 || (size_t)n >= sizeof(one))
		n = 0;
	va_start(ap, fmt);
	vsnprintf(one + n, sizeof(one) - (size_t)n, fmt, ap);
	va_end(ap);
	/* Whole lines only. */
	n = (int)strlen(one);
	if ((size_t)n + 2 > left)
		return;
	memcpy(e->text + e->len, one, (size_t)n);
	e->text[e->len + (size_t)n] = '\n';
	e->len += (size_t)n + 1;
	e->text[e->len] = '\0';
}

void parsed_error(const struct parsed *p, int line, const char *fmt, ...)
{
	char text[640];
	va_list ap;

	va_start(ap, fmt);
	vsnprintf(text, sizeof(text), fmt, ap);
	va_end(ap);
	config_error(p->errors, p->file, line, "%s", text);
}

/* ---- what libconfuse itself refuses ----------------------------------------
 */

static bool in_list(const char *const *list, const char *name, size_t size)
{
	for (; *list; list++)
		if (strlen(*list) == size && !memcmp(*list, name, size))
			return true;
	return false;
}

static void explain_unknown(cfg_t *cfg, const char *text)
{
	const char *name = strchr(text, '\'');
	const char *end = name ? strrchr(text, '\'') : NULL;
	char known[400] = "";
	size_t len = 0;

	if (!name || end <= name) {
		parsed_error(parsing, cfg->line, "%s", text);
		return;
	}
	name++;
	if (in_list(schema_later, name, (size_t)(end - name))) {
		parsed_error(parsing, cfg->line,
			     "'%.*s' is not supported by this version; leave "
			     "it out",
			     (int)(end - name), name);
		return;
	}
	for (unsigned i = 0; i < cfg_num(cfg); i++) {
		const char *one = cfg_opt_name(cfg_getnopt(cfg, i));
		int n;

		if (one == line_option || !strcmp(one, line_option))
			continue;
		n = snprintf(known + len, sizeof(known) - len, "%s%s",
			     len ? ", " : "", one);
		if (n < 0 || (size_t)n >= sizeof(known) - len)
			break;
		len += (size_t)n;
	}
	parsed_error(
		parsing, cfg->line, "unknown option '%.*s'; known here: %s",
		(int)(end - name) > 64 ? 64 : (int)(end - name), name, known);
}

static const struct {
	const char *begins, *hint;
} hints[] = {
	{"missing equal sign", "write NAME = VALUE"},
	{"missing opening brace", "write { behind it"},
	{"missing title", "write its name in quotes"},
	{"found duplicate title", "every name may be used once"},
	{"unexpected token", "a name or value was expected"},
};

__attribute__((format(printf, 2, 0))) static void
on_error(cfg_t *cfg, const char *fmt, va_list ap)
{
	const char *hint = NULL;
	char text[512];

	if (!parsing)
		return;
	vsnprintf(text, sizeof(text), fmt, ap);
	for (char *c = text; *c; c++)
		if (!isprint((unsigned char)*c))
			*c = '?';
	if (!strncmp(text, "no such option", 14)) {
		explain_unknown(cfg, text);
		return;
	}
	for (size_t i = 0; i < sizeof(hints) / sizeof(hints[0]); i++)
		if (!strncmp(text, hints[i].begins, strlen(hints[i].begins)))
			hint = hints[i].hint;
	parsed_error(parsing, cfg->line, "%s%s%s", text, hint ? "; " : "",
		     hint ? hint : "");
}

/* ---- values ----------------------------------------------------------------
 */

static bool is_name(const char *text)
{
	if (!*text)
		return false;
	for (; *text; text++)
		if (!isalnum((unsigned char)*text) && !strchr("-_.", *text))
			return false;
	return true;
}

static bool parse_uint(const char *text, uint32_t *out)
{
	uint64_t v = 0;

	if (!*text || strlen(text) > 10)
		return false;
	for (; *text; text++) {
		if (*text < '0' || *text > '9')
			return false;
		v = v * 10 + (uint64_t)(*text - '0');
	}
	*out = (uint32_t)v;
	return v <= UINT32_MAX;
}

static int parse_bool(const char *text)
{
	static const char *const yes[] = {"enabled", "true", "yes", "on", NULL};
	static const char *const no[] = {"disabled", "false", "no", "off",
					 NULL};

	if (in_list(yes, text, strlen(text)))
		return 1;
	return in_list(no, text, strlen(text)) ? 0 : -1;
}

static const struct option_choice *find_choice(const struct option_spec *o,
					       const char *text)
{
	for (const struct option_choice *c = o->choices; c->name; c++)
		if (!strcmp(c->name, text))
			return c;
	return NULL;
}

static void check_enum(cfg_t *cfg, const struct option_spec *o,
		       const char *text)
{
	const struct option_choice *c = find_choice(o, text);
	char known[128] = "";
	size_t len = 0;

	if (c && !c->later)
		return;
	if (c) {
		cfg_error(cfg,
			  "%s = %s is not supported by this version; choose "
			  "another",
			  o->name, text);
		return;
	}
	for (c = o->choices; c->name; c++)
		if (!c->later && len < sizeof(known))
			len += (size_t)snprintf(known + len,
						sizeof(known) - len, "%s%s",
						len ? ", " : "", c->name);
	cfg_error(cfg, "'%.64s' is no %s; choose one of %s", text, o->name,
		  known);
}

static void check_value(cfg_t *cfg, const struct option_spec *o,
			const char *text)
{
	uint32_t v;

	switch (o->type) {
	case OPT_UINT:
		if (!parse_uint(text, &v) || v < o->min || v > o->max)
			cfg_error(cfg,
				  "'%.64s' is no %s; write a number from %u "
				  "to %u",
				  text, o->name, o->min, o->max);
		return;
	case OPT_BOOL:
		if (parse_bool(text) < 0)
			cfg_error(cfg,
				  "'%.64s' is no value for %s; write enabled "
				  "or disabled",
				  text, o->name);
		return;
	case OPT_ENUM:
		check_enum(cfg, o, text);
		return;
	case OPT_NAME:
		if (!is_name(text)) {
			cfg_error(cfg,
				  "'%.64s' is no name for %s; use letters, "
				  "digits, '-', '_' and '.'",
				  text, o->name);
			return;
		}
		/* fall through */
	default:
		if (o->size && o->offset != OPTION_NO_TARGET &&
		    strlen(text) >= o->size)
			cfg_error(cfg, "%s is too long, at most %zu characters",
				  o->name, o->size - 1);
		return;
	}
}

static const struct section_spec *spec_of(const struct section_spec *list,
					  const char *name)
{
	for (; list && list->name; list++) {
		const struct section_spec *sub;

		if (!strcmp(list->name, name))
			return list;
		sub = spec_of(list->sections, name);
		if (sub)
			return sub;
	}
	return NULL;
}

static void remember_line(cfg_opt_t *option, int line)
{
	struct parsed *p = parsing;

	if (p->lines_len && p->lines[p->lines_len - 1].option == option)
		return; /* next element of a list */
	if (p->lines_len == p->lines_capacity) {
		size_t capacity =
			p->lines_capacity ? p->lines_capacity * 2 : 256;
		struct option_line *lines =
			realloc(p->lines, capacity * sizeof(*lines));

		if (!lines)
			return; /* the section's line will have to do */
		p->lines = lines;
		p->lines_capacity = capacity;
	}
	p->lines[p->lines_len].option = option;
	p->lines[p->lines_len++].line = line;
}

/* Always 0: what is wrong with a value does not keep us from the next. */
static int on_value(cfg_t *cfg, cfg_opt_t *option)
{
	const struct section_spec *s = spec_of(parsing->schema, cfg->name);

	remember_line(option, cfg->line);
	for (const struct option_spec *o = s ? s->options : NULL; o && o->name;
	     o++) {
		const char *text;

		if (strcmp(o->name, option->name) != 0 || o->type == OPT_LIST)
			continue;
		text = cfg_opt_getstr(option);
		if (text)
			check_value(cfg, o, text);
	}
	return 0;
}

static int on_section_open(cfg_t *cfg, cfg_opt_t *option, const char *value,
			   void *result)
{
	*(long *)result = cfg->line;
	if (!cfg->title)
		return 0;
	if (!is_name(cfg->title))
		cfg_error(cfg,
			  "'%.64s' is no name for a %s; use letters, digits, "
			  "'-', '_' and '.'",
			  cfg->title, cfg->name);
	else if (strlen(cfg->title) >= CONFIG_NAME_SIZE)
		cfg_error(cfg, "'%.64s' is too long, at most %d characters",
			  cfg->title, CONFIG_NAME_SIZE - 1);
	return 0;
}

/* ---- the schema in libconfuse's terms --------------------------------------
 */

static void free_opts(cfg_opt_t *opts)
{
	for (cfg_opt_t *o = opts; o && o->name; o++)
		free_opts(o->subopts);
	free(opts);
}

static cfg_opt_t *make_opts(const struct option_spec *options,
			    const struct section_spec *sections)
{
	size_t n = 2; /* the hidden one and the end */
	cfg_opt_t *opts, *o;

	for (const struct option_spec *s = options; s && s->name; s++)
		n++;
	for (const struct section_spec *s = sections; s && s->name; s++)
		n++;
	opts = calloc(n, sizeof(*opts));
	if (!opts)
		return NULL;
	o = opts;
	for (; options && options->name; options++, o++) {
		o->name = options->name;
		o->type = CFGT_STR;
		if (options->type == OPT_LIST)
			o->flags = CFGF_LIST;
		else
			o->def.string = options->def;
		o->validcb = on_value;
	}
	for (; sections && sections->name; sections++, o++) {
		o->name = sections->name;
		o->type = CFGT_SEC;
		o->flags = CFGF_MULTI;
		if (sections->titled)
			o->flags |= CFGF_TITLE | CFGF_NO_TITLE_DUPES;
		o->subopts = make_opts(sections->options, sections->sections);
		if (!o->subopts) {
			free_opts(opts);
			return NULL;
		}
	}
	if (o != opts && options) { /* a section, not the root */
		o->name = line_option;
		o->type = CFGT_INT;
		o->def.parsed = line_default;
		o->parsecb = on_section_open;
	}
	return opts;
}

int parsed_create(struct parsed **out, const struct section_spec *schema,
		  const char *text, const char *file,
		  struct config_errors *errors)
{
	struct parsed *p = calloc(1, sizeof(*p));
	char *clean = NULL;
	int err = -ENOMEM;

	if (!p)
		goto err_memory;
	p->schema = schema;
	p->file = file;
	p->errors = errors;
	clean = config_scan(text, file, errors);
	if (!clean) {
		err = -EINVAL;
		goto err_free;
	}
	p->opts = make_opts(NULL, schema);
	if (!p->opts)
		goto err_memory;

	pthread_mutex_lock(&parse_lock);
	parsing = p;
	p->root = cfg_init(p->opts, CFGF_NONE);
	if (p->root) {
		cfg_set_error_function(p->root, on_error);
		err = cfg_parse_buf(p->root, clean) == CFG_SUCCESS ? 0
								   : -EINVAL;
	}
	parsing = NULL;
	pthread_mutex_unlock(&parse_lock);
	if (err == -ENOMEM)
		goto err_memory;
	if (err && !errors->count)
		config_error(errors, file, 1, "not a configuration");
	if (err)
		goto err_free;
	free(clean);
	*out = p;
	return 0;
err_memory:
	config_error(errors, file, 1, "out of memory");
err_free:
	free(clean);
	parsed_destroy(p);
	return err;
}

void parsed_destroy(struct parsed *p)
{
	if (!p)
		return;
	if (p->root)
		cfg_free(p->root);
	free_opts(p->opts);
	free(p->lines);
	free(p);
}

cfg_t *parsed_root(const struct parsed *p)
{
	return p->root;
}

/* ---- reading ---------------------------------------------------------------
 */

int parsed_section_line(cfg_t *section)
{
	return (int)cfg_getint(section, line_option);
}

static int find_line(const struct parsed *p, cfg_t *section, const char *name)
{
	const cfg_opt_t *option = cfg_getopt(section, name);

	for (size_t i = 0; i < p->lines_len; i++)
		if (p->lines[i].option == option)
			return p->lines[i].line;
	return 0;
}

bool parsed_given(const struct parsed *p, cfg_t *section, const char *name)
{
	return find_line(p, section, name) != 0;
}

int parsed_option_line(const struct parsed *p, cfg_t *section, const char *name)
{
	int line = find_line(p, section, name);

	return line ? line : parsed_section_line(section);
}

static void store_number(void *member, size_t size, uint32_t v)
{
	uint8_t v8 = (uint8_t)v;
	uint16_t v16 = (uint16_t)v;

	assert(size <= sizeof(v));
	if (size == sizeof(v8))
		memcpy(member, &v8, sizeof(v8));
	else if (size == sizeof(v16))
		memcpy(member, &v16, sizeof(v16));
	else
		memcpy(member, &v, sizeof(v));
}

static void store(const struct option_spec *o, const char *text, void *member)
{
	const struct option_choice *c;
	uint32_t v;

	switch (o->type) {
	case OPT_UINT:
		if (parse_uint(text, &v))
			store_number(member, o->size,
				     v * (o->scale ? o->scale : 1));
		break;
	case OPT_BOOL:
		*(bool *)member = parse_bool(text) == 1;
		break;
	case OPT_ENUM:
		c = find_choice(o, text);
		if (c)
			store_number(member, o->size, (uint32_t)c->value);
		break;
	default:
		snprintf(member, o->size, "%s", text);
		break;
	}
}

void parsed_fill(const struct section_spec *spec, cfg_t *section, void *out)
{
	for (const struct option_spec *o = spec->options; o->name; o++) {
		const char *text;

		if (o->offset == OPTION_NO_TARGET || o->type == OPT_LIST)
			continue;
		text = section ? cfg_getstr(section, o->name) : o->def;
		if (text)
			store(o, text, (char *)out + o->offset);
	}
}
