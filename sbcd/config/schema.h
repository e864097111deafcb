/*
 * schema - the table of every section and option: type, range, default, help.
 * It drives the parser, the range checks, the filling of structs and the
 * printed reference.
 *
 * Layer: config, private to it.
 */
#ifndef SBCD_CONFIG_SCHEMA_H
#define SBCD_CONFIG_SCHEMA_H

#include <confuse.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include "sbcd/config/config.h"

enum option_type {
	OPT_NAME, /* letters, digits, '-', '_', '.': what others refer to */
	OPT_TEXT,
	OPT_UINT, /* min..max, stored times `scale` */
	OPT_BOOL, /* enabled | disabled */
	OPT_ENUM,
	OPT_LIST, /* of texts */
};

struct option_choice {
	const char *name; /* NULL ends */
	int value;
	bool later; /* known, but not in this version */
};

/* The builder reads it itself, there is no member to fill. */
#define OPTION_NO_TARGET SIZE_MAX

struct option_spec {
	const char *name; /* NULL ends */
	enum option_type type;
	const char *def; /* NULL = required, "" = nothing */
	uint32_t min, max;
	uint32_t scale; /* 0 = 1 */
	const struct option_choice *choices;
	size_t offset, size; /* of the member in the section's struct */
	const char *help;
};

/* For tables of options and sections. */
#define TARGET(rec, member)                                                    \
	.offset = offsetof(struct rec, member),                                \
	.size = sizeof(((struct rec *)0)->member)
#define NO_TARGET .offset = OPTION_NO_TARGET
#define END                                                                    \
	{                                                                      \
		.name = NULL                                                   \
	}

struct section_spec {
	const char *name; /* NULL ends */
	bool titled;
	const struct option_spec *options;
	const struct section_spec *sections;
	const char *help;
};

extern const struct section_spec schema_sbcd[];
extern const struct section_spec schema_node[];
/* Sections and options of the vocabulary that later versions have. */
extern const char *const schema_later[];

/* ---- scan.c ---------------------------------------------------------------
 */
/* Blanks comments and ';', refuses what libconfuse would misread, finds what
 * it would not notice. Returns a copy to free, NULL with an error. */
char *config_scan(const char *text, const char *file,
		  struct config_errors *errors);

/* ---- parse.c --------------------------------------------------------------
 */
struct parsed;

int parsed_create(struct parsed **out, const struct section_spec *schema,
		  const char *text, const char *file,
		  struct config_errors *errors)
	__attribute__((warn_unused_result));
void parsed_destroy(struct parsed *p);
cfg_t *parsed_root(const struct parsed *p);

int parsed_section_line(cfg_t *section);
/* Where the option was given; the section's line when it was not. */
int parsed_option_line(const struct parsed *p, cfg_t *section,
		       const char *option);
bool parsed_given(const struct parsed *p, cfg_t *section, const char *option);
/* Fills every member that has an option in the table, defaults included;
 * section NULL: defaults only. */
void parsed_fill(const struct section_spec *spec, cfg_t *section, void *out);

/* "file:line: …" into the errors of this parse. */
void parsed_error(const struct parsed *p, int line, const char *fmt, ...)
	__attribute__((format(printf, 3, 4)));
void config_error(struct config_errors *e, const char *file, int line,
		  const char *fmt, ...) __attribute__((format(printf, 4, 5)));

/* Section of a schema; never NULL for a name that is in it. */
const struct section_spec *schema_find(const struct section_spec *list,
				       const char *name);

/* ---- address.c ------------------------------------------------------------
 */
/* "10.0.0.1/24"; NULL or what is wrong. */
const char *config_parse_prefix(const char *text, struct addr *addr,
				uint8_t *prefix);
bool config_in_subnet(const struct addr *a, const struct addr *net,
		      uint8_t prefix);
/* Usable as a host's own or a peer's address; NULL or what is wrong. */
const char *config_check_unicast(const struct addr *a);
/* "02:5b:c0:00:01:01", unicast and locally administered; NULL or what is
 * wrong. */
const char *config_parse_mac(const char *text, uint8_t mac[6]);
/* "20000-39999"; NULL or what is wrong. */
const char *config_parse_pool(const char *text, uint16_t *first,
			      uint16_t *last);

/* ---- networks.c, agents.c: cross checks, filling of struct config ---------
 */
struct config_build {
	const struct parsed *parsed;
	cfg_t *root;
	struct config *config;
};
/* Calls `one` for every section of that name: 1 to `max`. */
void config_build_each(struct config_build *b, const char *name, unsigned max,
		       void (*one)(struct config_build *b, cfg_t *section));
void config_build_networks(struct config_build *b);
void config_build_sip(struct config_build *b);

/* ---- security.c -----------------------------------------------------------
 */
extern const struct option_spec schema_sdes_options[];
extern const struct option_spec schema_media_sec_options[];
extern const struct section_spec schema_media_sec_sections[];

/* All sections of both kinds below `root`; what is wrong goes to the errors
 * of `p`. *out is zeroed first. */
void config_build_security(const struct parsed *p, cfg_t *root,
			   struct config_security *out);
/* What media-sec-policy of a section names; NULL when it names none, or, with
 * an error, none that there is. */
const struct config_media_sec *
config_build_media_sec(const struct config_build *b, cfg_t *sec);
/* Keys in SDP are worth what the signalling is: an error when `a`, whose
 * media goes by `policy`, is reached without TLS. */
void config_check_agent_security(const struct parsed *p,
				 const struct config_media_sec *policy,
				 const struct config_agent *a);

/* ---- tls.c ----------------------------------------------------------------
 */
struct config_tls;

extern const struct option_spec schema_tls_options[];

/* All tls-profile sections below `root`; what is wrong goes to the errors of
 * `p`. *out is zeroed first. No file is looked at. */
void config_build_tls(const struct parsed *p, cfg_t *root,
		      struct config_tls *out);

#endif
