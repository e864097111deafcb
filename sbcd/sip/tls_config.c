/* tls_config - see tls_config.h */
#include "sbcd/sip/tls_config.h"

#include <errno.h>
#include <fcntl.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include "sbcd/sip/tls_profile.h"

enum { WARN_S = 30 * 24 * 3600, DAY_S = 24 * 3600 };

/* Both enums have the same order. */
_Static_assert((int)CONFIG_TLS_1_3 == (int)TLS_VERSION_1_3 &&
		       (int)CONFIG_PEER_EKU_ANY == (int)TLS_PEER_EKU_ANY,
	       "tls-profile");

struct lists {
	const char *trusted[CONFIG_TLS_TRUSTED_MAX];
	const char *crls[CONFIG_TLS_TRUSTED_MAX];
};

static void set_params(const struct config_tls_profile *cfg, struct lists *l,
		       struct tls_profile_params *out)
{
	*out = (struct tls_profile_params){
		.name = cfg->name,
		.certificate = cfg->certificate,
		.key = cfg->key,
		.trusted = l->trusted,
		.trusted_len = (unsigned)cfg->trusted_len,
		.crls = l->crls,
		.crls_len = (unsigned)cfg->crls_len,
		.verify_depth = cfg->verify_depth,
		.cipher_list = cfg->ciphers,
		.version = (enum tls_version)cfg->version,
		.minimum = (enum tls_version)cfg->minimum,
		.maximum = (enum tls_version)cfg->maximum,
		.peer_eku = (enum tls_peer_eku)cfg->peer_eku,
		.mutual = cfg->mutual,
		.status_check = cfg->status_check,
		.ignore_dead_responder = cfg->ignore_dead_responder,
	};
	for (size_t i = 0; i < cfg->trusted_len; i++)
		l->trusted[i] = cfg->trusted[i];
	for (size_t i = 0; i < cfg->crls_len; i++)
		l->crls[i] = cfg->crls[i];
}

int tls_config_create(struct tls_profile **out,
		      const struct config_tls_profile *cfg,
		      struct tls_profile_error *err)
{
	struct tls_profile_params p;
	struct lists l;

	set_params(cfg, &l, &p);
	return tls_profile_create(out, &p, err);
}

int tls_config_reload(struct tls_profile *p,
		      const struct config_tls_profile *cfg,
		      struct tls_profile_error *err)
{
	struct tls_profile_params params;
	struct lists l;

	set_params(cfg, &l, &params);
	return tls_profile_reload(p, &params, err);
}

/* ---- before it is loaded --------------------------------------------------
 */

__attribute__((format(printf, 4, 5))) static void
say(struct config_errors *out, const char *file, int line, const char *fmt, ...)
{
	va_list ap;
	int n;

	if (out->len >= sizeof(out->text) - 1)
		return;
	n = snprintf(out->text + out->len, sizeof(out->text) - out->len,
		     "%s:%d: ", file, line);
	out->len += n > 0 ? (size_t)n : 0;
	if (out->len < sizeof(out->text)) {
		va_start(ap, fmt);
		n = vsnprintf(out->text + out->len,
			      sizeof(out->text) - out->len, fmt, ap);
		va_end(ap);
		out->len += n > 0 ? (size_t)n : 0;
	}
	if (out->len > sizeof(out->text) - 2)
		out->len = sizeof(out->text) - 2;
	out->text[out->len++] = '\n';
	out->text[out->len] = '\0';
	out->count++;
}

static bool check_key(const struct config_tls_profile *cfg, const char *file,
		      struct config_errors *out)
{
	struct stat st;

	if (stat(cfg->key, &st) || !(st.st_mode & S_IRWXO))
		return true;
	say(out, file, config_tls_line(cfg, "private-key"),
	    "private key '%s' of tls-profile '%s' is open to everybody; let "
	    "only the group of the workers' user read it: chmod 640",
	    cfg->key, cfg->name);
	return false;
}

static void check_expiry(const struct config_tls_profile *cfg,
			 const struct tls_profile *p, const char *file,
			 int64_t wall_s, struct config_errors *out)
{
	int line = config_tls_line(cfg, "end-entity-certificate");
	struct tls_expiry e;

	if (tls_profile_expiry(p, &e) || e.wall_s > wall_s + WARN_S)
		return;
	if (e.wall_s <= wall_s)
		say(out, file, line,
		    "warning: certificate '%s' of tls-profile '%s' has "
		    "expired; no peer will take it",
		    e.subject, cfg->name);
	else
		say(out, file, line,
		    "warning: certificate '%s' of tls-profile '%s' expires in "
		    "%d days; renew it and run sbcctl cert reload",
		    e.subject, cfg->name, (int)((e.wall_s - wall_s) / DAY_S));
}

int tls_config_check(const struct config *c, const char *file, int64_t wall_s,
		     struct config_errors *out)
{
	struct tls_profile_error why;
	struct tls_profile *p;
	int err = 0;

	memset(out, 0, sizeof(*out));
	for (size_t i = 0; i < c->tls->profiles_len; i++) {
		const struct config_tls_profile *cfg = &c->tls->profiles[i];

		if (tls_config_create(&p, cfg, &why)) {
			say(out, file, config_tls_line(cfg, why.option), "%s",
			    why.text);
			err = -EINVAL;
			continue;
		}
		if (!check_key(cfg, file, out))
			err = -EINVAL;
		check_expiry(cfg, p, file, wall_s, out);
		tls_profile_destroy(p);
	}
	return err;
}

/* ---- as whom it is read ---------------------------------------------------
 */

struct reader {
	uid_t uid;
	gid_t gid;
};

struct check {
	const struct config_tls_profile *cfg;
	const char *file;
	struct config_errors *out;
	struct reader reader;
};

/* Which directories and groups let one through only the kernel knows. The
 * ids of a process cannot be borrowed together with its groups, so a child
 * takes them. After a fork: raw calls, as glibc's talk to all threads. */
static int open_as(const struct reader *r, const char *path)
{
	pid_t pid = fork();
	int status;

	if (pid < 0)
		return 0;
	if (!pid) {
		if (syscall(SYS_setgroups, 0, NULL) ||
		    syscall(SYS_setresgid, r->gid, r->gid, r->gid) ||
		    syscall(SYS_setresuid, r->uid, r->uid, r->uid))
			_exit(0);
		_exit(open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK) < 0 ? errno
									: 0);
	}
	while (waitpid(pid, &status, 0) < 0)
		if (errno != EINTR)
			return 0;
	return WIFEXITED(status) ? -WEXITSTATUS(status) : 0;
}

static int check_reader(const struct check *k, const char *option,
			const char *path)
{
	int err = open_as(&k->reader, path);

	if (err)
		say(k->out, k->file, config_tls_line(k->cfg, option),
		    "'%s' of tls-profile '%s' cannot be read by the workers' "
		    "user (uid %u): %s; let its group read it: chgrp, chmod "
		    "640, and chmod 750 for the directory",
		    path, k->cfg->name, (unsigned)k->reader.uid,
		    strerror(-err));
	return err ? -EINVAL : 0;
}

static int check_profile(const struct check *k)
{
	const struct config_tls_profile *t = k->cfg;
	int err = check_reader(k, "end-entity-certificate", t->certificate);

	if (strcmp(t->key, t->certificate) != 0)
		err |= check_reader(k, "private-key", t->key);
	for (size_t i = 0; i < t->trusted_len; i++)
		err |= check_reader(k, "trusted-ca-certificates",
				    t->trusted[i]);
	for (size_t i = 0; i < t->crls_len; i++)
		err |= check_reader(k, "crl-files", t->crls[i]);
	return err;
}

int tls_config_check_access(const struct config *c, const char *file,
			    const struct config_node *node,
			    struct config_errors *out)
{
	struct check k = {.file = file, .out = out};
	int err = 0;

	memset(out, 0, sizeof(*out));
	if (geteuid() || config_node_user(node, &k.reader.uid, &k.reader.gid))
		return 0;
	for (size_t i = 0; i < c->tls->profiles_len; i++) {
		k.cfg = &c->tls->profiles[i];
		err |= check_profile(&k);
	}
	return err ? -EINVAL : 0;
}
