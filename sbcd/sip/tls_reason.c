/* tls_reason - see tls_reason.h */
#include "sbcd/sip/tls_reason.h"

#include <stddef.h>

#include <openssl/err.h>
#include <openssl/ssl.h>
#include <openssl/x509_vfy.h>

static const struct tls_reason_text texts[TLS_REASON_LEN] = {
	[TLS_REASON_OTHER] = {"other", "the handshake failed", NULL},
	[TLS_REASON_NO_CERTIFICATE] = {"no-certificate",
				       "the peer sent no certificate",
				       "mutual-authenticate"},
	[TLS_REASON_EXPIRED] = {"expired",
				"a certificate of the peer has expired", NULL},
	[TLS_REASON_NOT_YET_VALID] = {"not-yet-valid",
				      "a certificate of the peer is not valid "
				      "yet",
				      NULL},
	[TLS_REASON_UNKNOWN_CA] = {"unknown-ca",
				   "the peer's chain ends at no trusted "
				   "certificate",
				   "trusted-ca-certificates"},
	[TLS_REASON_CHAIN_TOO_LONG] = {"chain-too-long",
				       "the peer's chain is too long",
				       "verify-depth"},
	[TLS_REASON_PURPOSE] = {"purpose",
				"the peer's certificate is not for this use",
				"peer-eku"},
	[TLS_REASON_SIGNATURE] = {"signature",
				  "a signature of the peer's chain is wrong",
				  NULL},
	[TLS_REASON_WEAK] = {"weak", "a key or digest of the peer is too weak",
			     "tls-version"},
	[TLS_REASON_OVERSIZED] = {"oversized",
				  "the peer's certificates are too large",
				  NULL},
	[TLS_REASON_V2_HELLO] = {"v2-hello",
				 "the peer began with an SSLv2-format hello",
				 "tls-version"},
	[TLS_REASON_VERSION] = {"version", "no common version of TLS",
				"tls-version"},
	[TLS_REASON_CIPHER] = {"cipher", "no common cipher", "cipher-list"},
	[TLS_REASON_NOT_TLS] = {"not-tls", "what the peer sent is not TLS",
				NULL},
	[TLS_REASON_TRUNCATED] = {"truncated",
				  "the peer closed in the middle of the "
				  "handshake",
				  NULL},
	[TLS_REASON_PEER_REFUSED_CERTIFICATE] = {"peer-refused-certificate",
						 "the peer refused our "
						 "certificate or misses it",
						 "end-entity-certificate"},
	[TLS_REASON_PEER_REFUSED] = {"peer-refused",
				     "the peer refused the handshake", NULL},
	[TLS_REASON_NAME] = {"name", "the peer's certificate does not name it",
			     NULL},
	[TLS_REASON_TIMEOUT] = {"timeout", "the handshake was not over in time",
				NULL},
	[TLS_REASON_REVOKED] = {"revoked",
				"the peer's certificate has been revoked",
				NULL},
	[TLS_REASON_NO_CRL] = {"no-crl",
			       "of the peer's issuer there is no revocation "
			       "list, or one that is out of date",
			       "crl-files"},
	[TLS_REASON_STATUS_UNKNOWN] = {"status-unknown",
				       "the OCSP responder does not know the "
				       "peer's certificate",
				       "cert-status-check"},
	[TLS_REASON_NO_STATUS] = {"no-status",
				  "no OCSP responder tells the status of the "
				  "peer's certificate",
				  "ignore-dead-responder"},
	[TLS_REASON_CLOSED_AT_CERTIFICATE] = {"closed-at-certificate",
					      "the peer closed without a word "
					      "when it had seen our "
					      "certificate: it may not trust "
					      "it, or look for another name",
					      "end-entity-certificate"},
	[TLS_REASON_STRANGER] = {"stranger",
				 "below TLS 1.2 only addresses of session "
				 "agents may connect",
				 "tls-version"},
};

const struct tls_reason_text *tls_reason_text(enum tls_reason reason)
{
	if ((unsigned)reason >= TLS_REASON_LEN)
		reason = TLS_REASON_OTHER;
	return &texts[reason];
}

static enum tls_reason of_verdict(long verdict)
{
	switch (verdict) {
	case X509_V_ERR_CERT_HAS_EXPIRED:
		return TLS_REASON_EXPIRED;
	case X509_V_ERR_CERT_NOT_YET_VALID:
		return TLS_REASON_NOT_YET_VALID;
	case X509_V_ERR_UNABLE_TO_GET_ISSUER_CERT:
	case X509_V_ERR_UNABLE_TO_GET_ISSUER_CERT_LOCALLY:
	case X509_V_ERR_UNABLE_TO_VERIFY_LEAF_SIGNATURE:
	case X509_V_ERR_DEPTH_ZERO_SELF_SIGNED_CERT:
	case X509_V_ERR_SELF_SIGNED_CERT_IN_CHAIN:
	case X509_V_ERR_CERT_UNTRUSTED:
		return TLS_REASON_UNKNOWN_CA;
	case X509_V_ERR_CERT_CHAIN_TOO_LONG:
	case X509_V_ERR_PATH_LENGTH_EXCEEDED:
		return TLS_REASON_CHAIN_TOO_LONG;
	case X509_V_ERR_INVALID_PURPOSE:
		return TLS_REASON_PURPOSE;
	case X509_V_ERR_CERT_SIGNATURE_FAILURE:
		return TLS_REASON_SIGNATURE;
	case X509_V_ERR_CERT_REVOKED:
		return TLS_REASON_REVOKED;
	case X509_V_ERR_UNABLE_TO_GET_CRL:
	case X509_V_ERR_CRL_NOT_YET_VALID:
	case X509_V_ERR_CRL_HAS_EXPIRED:
	case X509_V_ERR_CRL_SIGNATURE_FAILURE:
		return TLS_REASON_NO_CRL;
	case X509_V_ERR_EE_KEY_TOO_SMALL:
	case X509_V_ERR_CA_KEY_TOO_SMALL:
	case X509_V_ERR_CA_MD_TOO_WEAK:
		return TLS_REASON_WEAK;
	default:
		return TLS_REASON_OTHER;
	}
}

static enum tls_reason of_alert(int alert)
{
	switch (alert) {
	case SSL_AD_PROTOCOL_VERSION:
		return TLS_REASON_VERSION;
	case SSL_AD_BAD_CERTIFICATE:
	case SSL_AD_UNSUPPORTED_CERTIFICATE:
	case SSL_AD_CERTIFICATE_REVOKED:
	case SSL_AD_CERTIFICATE_EXPIRED:
	case SSL_AD_CERTIFICATE_UNKNOWN:
	case SSL_AD_UNKNOWN_CA:
	case SSL_AD_CERTIFICATE_REQUIRED:
		return TLS_REASON_PEER_REFUSED_CERTIFICATE;
	default:
		return TLS_REASON_PEER_REFUSED;
	}
}

enum tls_reason tls_reason_of(unsigned long error, long verdict)
{
	int reason = ERR_GET_REASON(error);

	if (ERR_GET_LIB(error) != ERR_LIB_SSL)
		return TLS_REASON_OTHER;
	if (reason >= SSL_AD_REASON_OFFSET &&
	    reason <= SSL_AD_REASON_OFFSET + 255)
		return of_alert(reason - SSL_AD_REASON_OFFSET);
	switch (reason) {
	case SSL_R_CERTIFICATE_VERIFY_FAILED:
		return of_verdict(verdict);
	case SSL_R_PEER_DID_NOT_RETURN_A_CERTIFICATE:
		return TLS_REASON_NO_CERTIFICATE;
	case SSL_R_CALLBACK_FAILED: /* tls_profile's look at the hello */
		return TLS_REASON_V2_HELLO;
	case SSL_R_UNSUPPORTED_PROTOCOL:
	case SSL_R_WRONG_SSL_VERSION:
	case SSL_R_VERSION_TOO_LOW:
		return TLS_REASON_VERSION;
	case SSL_R_NO_SHARED_CIPHER:
	case SSL_R_NO_CIPHERS_AVAILABLE:
		return TLS_REASON_CIPHER;
	case SSL_R_EE_KEY_TOO_SMALL:
	case SSL_R_CA_KEY_TOO_SMALL:
	case SSL_R_CA_MD_TOO_WEAK:
	case SSL_R_DH_KEY_TOO_SMALL:
		return TLS_REASON_WEAK;
	case SSL_R_EXCESSIVE_MESSAGE_SIZE:
		return TLS_REASON_OVERSIZED;
	case SSL_R_WRONG_VERSION_NUMBER:
	case SSL_R_HTTP_REQUEST:
	case SSL_R_HTTPS_PROXY_REQUEST:
	case SSL_R_UNEXPECTED_MESSAGE:
	case SSL_R_BAD_RECORD_TYPE:
	case SSL_R_LENGTH_MISMATCH:
		return TLS_REASON_NOT_TLS;
	case SSL_R_UNEXPECTED_EOF_WHILE_READING:
		return TLS_REASON_TRUNCATED;
	default:
		return TLS_REASON_OTHER;
	}
}
