/*
 * tls - tls-profile as it is configured: what is read, and what is refused
 * before a file is opened.
 *
 * Layer: config. Any process, any thread.
 */
#ifndef SBCD_CONFIG_TLS_H
#define SBCD_CONFIG_TLS_H

#include "sbcd/config/config.h"

enum {
	CONFIG_TLS_PROFILES_MAX = 32,
	CONFIG_TLS_TRUSTED_MAX = 16,
	CONFIG_PATH_SIZE = 256,
	CONFIG_CIPHERS_SIZE = 512,
	CONFIG_TLS_OPTIONS_MAX = 24,
};

/* Of these two the SIP worker's tls_profile.h has the same values. */
enum config_tls_version {
	CONFIG_TLS_COMPATIBILITY = 0, /* from minimum to maximum */
	CONFIG_TLS_1_0,
	CONFIG_TLS_1_1,
	CONFIG_TLS_1_2,
	CONFIG_TLS_1_3,
};

enum config_peer_eku {
	CONFIG_PEER_EKU_CLIENT = 0,
	CONFIG_PEER_EKU_SERVER,
	CONFIG_PEER_EKU_ANY,
};

struct config_tls_profile { /* tls-profile */
	char name[CONFIG_NAME_SIZE];
	int line;
	int lines[CONFIG_TLS_OPTIONS_MAX]; /* see config_tls_line() */
	char certificate[CONFIG_PATH_SIZE]; /* absolute, like all paths here */
	char key[CONFIG_PATH_SIZE]; /* the certificate's file where not said */
	char trusted[CONFIG_TLS_TRUSTED_MAX][CONFIG_PATH_SIZE];
	size_t trusted_len;
	char crls[CONFIG_TLS_TRUSTED_MAX][CONFIG_PATH_SIZE];
	size_t crls_len;
	char ciphers[CONFIG_CIPHERS_SIZE];
	uint8_t verify_depth;
	uint8_t version; /* enum config_tls_version */
	uint8_t minimum, maximum; /* likewise; of compatibility */
	uint8_t peer_eku; /* enum config_peer_eku */
	bool mutual, wildcard;
	bool status_check, ignore_dead_responder; /* OCSP */
};

struct config_tls {
	struct config_tls_profile profiles[CONFIG_TLS_PROFILES_MAX];
	size_t profiles_len;
};

const struct config_tls_profile *config_tls_find(const struct config_tls *t,
						 const char *name);
/* Where `option` is written, else the profile; `option` may be NULL. */
int config_tls_line(const struct config_tls_profile *p, const char *option);
/* Lets in what is below TLS 1.2, or an SSLv2-format hello: such a listener
 * is for known peers only. */
bool config_tls_is_old(const struct config_tls_profile *p);
/* How many ports there are with such a profile. */
unsigned config_old_tls_ports(const struct config *c);

#endif
