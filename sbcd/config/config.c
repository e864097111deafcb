#include "sbcd/config/config.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "sbcd/config/schema.h"
#include "sbcd/config/security.h"
#include "sbcd/config/tls.h"

/* FNV-1a: tells two texts apart, protects nothing. */
static uint64_t digest(const char *text)
{
	uint64_t h = 0xcbf29ce484222325u;

	for (; *text; text++)
		h = (h ^ (uint8_t)*text) * 0x100000001b3u;
	return h;
}

int config_parse(struct config **out, const char *text, const char *file,
		 struct config_errors *errors)
{
	struct config_build b = {0};
	struct parsed *p = NULL;
	int err;

	memset(errors, 0, sizeof(*errors));
	err = parsed_create(&p, schema_sbcd, text, file, errors);
	if (err)
		return -EINVAL;
	b.parsed = p;
	b.root = parsed_root(p);
	b.config = calloc(1, sizeof(*b.config));
	if (!b.config) {
		config_error(errors, file, 1, "out of memory");
		goto err_parsed;
	}
	b.config->security = calloc(1, sizeof(*b.config->security));
	if (!b.config->security) {
		config_error(errors, file, 1, "out of memory");
		goto err_config;
	}
	b.config->tls = calloc(1, sizeof(*b.config->tls));
	if (!b.config->tls) {
		config_error(errors, file, 1, "out of memory");
		goto err_config;
	}
	/* Nonsense behind a broken value would only hide it. */
	if (!errors->count)
		config_build_security(p, b.root, b.config->security);
	if (!errors->count)
		config_build_tls(p, b.root, b.config->tls);
	if (!errors->count)
		config_build_networks(&b);
	if (!errors->count)
		config_build_sip(&b);
	if (errors->count)
		goto err_config;
	b.config->digest = digest(text);
	parsed_destroy(p);
	*out = b.config;
	return 0;
err_config:
	config_destroy(b.config);
err_parsed:
	parsed_destroy(p);
	return -EINVAL;
}

void config_destroy(struct config *c)
{
	if (!c)
		return;
	free(c->agents);
	free(c->policies);
	free(c->security);
	free(c->tls);
	free(c);
}

int config_read_file(const char *path, char **text_out)
{
	size_t done = 0, size;
	struct stat st;
	char *text;
	int fd, err = 0;

	fd = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK);
	if (fd < 0)
		return -errno;
	if (fstat(fd, &st) < 0)
		err = -errno;
	else if (!S_ISREG(st.st_mode))
		err = -EINVAL;
	else if (st.st_size > CONFIG_TEXT_MAX_BYTES)
		err = -EFBIG;
	if (err)
		goto err_close;
	size = (size_t)st.st_size;
	text = malloc(size + 1);
	if (!text) {
		err = -ENOMEM;
		goto err_close;
	}
	while (done < size) {
		ssize_t n = read(fd, text + done, size - done);

		if (n < 0 && errno == EINTR)
			continue;
		if (n < 0) {
			err = -errno;
			goto err_free;
		}
		if (n == 0)
			break;
		done += (size_t)n;
	}
	text[done] = '\0';
	if (strlen(text) != done) {
		err = -EINVAL;
		goto err_free;
	}
	close(fd);
	*text_out = text;
	return 0;
err_free:
	free(text);
err_close:
	close(fd);
	return err;
}

/* ---- look-ups --------------------------------------------------------------
 */

#define FIND(list, len, wanted)                                                \
	do {                                                                   \
		for (size_t i = 0; i < (len); i++)                             \
			if (!strcmp((list)[i].name, wanted))                   \
				return &(list)[i];                             \
		return NULL;                                                   \
	} while (0)

const struct config_nif *config_nif_find(const struct config *c,
					 const char *name)
{
	FIND(c->nifs, c->nifs_len, name);
}

const struct config_realm *config_realm_find(const struct config *c,
					     const char *name)
{
	FIND(c->realms, c->realms_len, name);
}

const struct config_sip_interface *
config_sip_interface_find(const struct config *c, const char *name)
{
	FIND(c->sip_interfaces, c->sip_interfaces_len, name);
}

const struct config_agent *config_agent_find(const struct config *c,
					     const char *name)
{
	FIND(c->agents, c->agents_len, name);
}

const struct config_sip_interface *
config_sip_interface_of_realm(const struct config *c,
			      const struct config_realm *r)
{
	for (size_t i = 0; i < c->sip_interfaces_len; i++)
		if (c->sip_interfaces[i].realm == r)
			return &c->sip_interfaces[i];
	return NULL;
}

const struct config_agent *config_agent_by_address(const struct config *c,
						   const struct config_realm *r,
						   const struct addr *a)
{
	for (size_t i = 0; i < c->agents_len; i++)
		if (c->agents[i].realm == r &&
		    addr_equal_ip(&c->agents[i].address, a))
			return &c->agents[i];
	return NULL;
}

/* How specific the pattern is that matches, 0 = it does not. */
static size_t match(const char *pattern, const char *user)
{
	size_t len = strlen(pattern);

	if (len && pattern[len - 1] == '*')
		return strncmp(pattern, user, len - 1) ? 0 : len;
	/* Exact beats every beginning, also one as long as the user. */
	return strcmp(pattern, user) ? 0 : len + 2;
}

const struct config_policy *config_route(const struct config *c,
					 const struct config_realm *from,
					 const char *from_user,
					 const char *to_user)
{
	const struct config_policy *best = NULL;
	size_t best_to = 0, best_from = 0;

	for (size_t i = 0; i < c->policies_len; i++) {
		const struct config_policy *p = &c->policies[i];
		size_t f, t;

		if (p->from_realm != from)
			continue;
		f = match(p->from, from_user);
		t = match(p->to, to_user);
		if (!f || !t || t < best_to || (t == best_to && f <= best_from))
			continue;
		best = p;
		best_to = t;
		best_from = f;
	}
	return best;
}

uint8_t config_outside_bit(const char *method)
{
	return !strcmp(method, "NOTIFY")    ? OUTSIDE_NOTIFY
	       : !strcmp(method, "OPTIONS") ? OUTSIDE_OPTIONS
	       : !strcmp(method, "MESSAGE") ? OUTSIDE_MESSAGE
					    : 0;
}

const struct addr *config_nif_address(const struct config_nif *n,
				      uint8_t family)
{
	for (size_t i = 0; i < n->addrs_len; i++)
		if (n->addrs[i].family == family)
			return &n->addrs[i];
	return NULL;
}

const char *config_node_nic(const struct config_node *n,
			    const struct config_nif *nif)
{
	for (size_t i = 0; i < n->nics_len; i++)
		if (!strcmp(n->nics[i].nif, nif->name))
			return n->nics[i].nic;
	return nif->nic;
}
