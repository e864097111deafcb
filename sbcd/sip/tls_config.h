/*
 * tls_config - from a tls-profile as it is configured to one with its files
 *
 * Layer: sip. Reads files: at load time, or before it, to tell whether they
 * would do. Any process; needs no SIP stack.
 */
#ifndef SBCD_SIP_TLS_CONFIG_H
#define SBCD_SIP_TLS_CONFIG_H

#include "sbcd/config/config.h"
#include "sbcd/config/tls.h"

struct tls_profile;
struct tls_profile_error;

/* As tls_profile_create() and tls_profile_reload(). */
int tls_config_create(struct tls_profile **out,
		      const struct config_tls_profile *cfg,
		      struct tls_profile_error *err)
	__attribute__((warn_unused_result));
int tls_config_reload(struct tls_profile *p,
		      const struct config_tls_profile *cfg,
		      struct tls_profile_error *err)
	__attribute__((warn_unused_result));

/*
 * The files of all profiles, as they are on this machine. What is wrong goes
 * to `out`, which is started anew, as "file:line: …"; certificates of ours
 * that run out within 30 days of `wall_s` as warnings. 0 or -EINVAL, without
 * what is only a warning.
 */
int tls_config_check(const struct config *c, const char *file, int64_t wall_s,
		     struct config_errors *out)
	__attribute__((warn_unused_result));

/*
 * The same files as the workers meet them: root, who starts and checks, reads
 * everything, their user does not. As above; nothing is known, and nothing
 * said, where it is not root who asks. Starts processes that end with it.
 */
int tls_config_check_access(const struct config *c, const char *file,
			    const struct config_node *node,
			    struct config_errors *out)
	__attribute__((warn_unused_result));

#endif
