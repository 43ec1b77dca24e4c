// SPDX-License-Identifier: BSD-3-Clause
#pragma once

// Numbers of IKEv2 as IANA has registered them (RFC 7296 and the RFCs named). Only those that tandem knows.

#include <stdint.h>

#define TD_IKE_VERSION 0x20
#define TD_IKE_PORT 500
#define TD_IKE_NATT_PORT 4500

enum td_ike_exchange_type {
	TD_IKE_SA_INIT = 34,
	TD_IKE_AUTH = 35,
	TD_IKE_CREATE_CHILD_SA = 36,
	TD_IKE_INFORMATIONAL = 37,
	TD_IKE_ONE_ROUND_TRIP = 240, // of the private range; docs/one-round-trip.md
};

enum td_ike_flag { TD_IKE_FLAG_INITIATOR = 0x08, TD_IKE_FLAG_VERSION = 0x10, TD_IKE_FLAG_RESPONSE = 0x20 };

enum td_ike_payload {
	TD_IKE_PAYLOAD_NONE = 0,
	TD_IKE_PAYLOAD_SA = 33,
	TD_IKE_PAYLOAD_KE = 34,
	TD_IKE_PAYLOAD_IDI = 35,
	TD_IKE_PAYLOAD_IDR = 36,
	TD_IKE_PAYLOAD_CERT = 37,
	TD_IKE_PAYLOAD_CERTREQ = 38,
	TD_IKE_PAYLOAD_AUTH = 39,
	TD_IKE_PAYLOAD_NONCE = 40,
	TD_IKE_PAYLOAD_NOTIFY = 41,
	TD_IKE_PAYLOAD_DELETE = 42,
	TD_IKE_PAYLOAD_VENDOR = 43,
	TD_IKE_PAYLOAD_TSI = 44,
	TD_IKE_PAYLOAD_TSR = 45,
	TD_IKE_PAYLOAD_SK = 46,
	TD_IKE_PAYLOAD_CP = 47,
	TD_IKE_PAYLOAD_EAP = 48,
	TD_IKE_PAYLOAD_SKF = 53, // RFC 7383
	TD_IKE_PAYLOAD_NOISE = 128, // private
};

enum td_ike_protocol {
	TD_IKE_PROTO_NONE = 0,
	TD_IKE_PROTO_IKE = 1,
	TD_IKE_PROTO_AH = 2,
	TD_IKE_PROTO_ESP = 3
};

enum td_ike_transform_type {
	TD_IKE_ENCR = 1,
	TD_IKE_PRF = 2,
	TD_IKE_INTEG = 3,
	TD_IKE_DH = 4,
	TD_IKE_ESN = 5,
};
#define TD_IKE_TRANSFORM_TYPES 5

enum td_ike_encr {
	TD_ENCR_NULL = 11,
	TD_ENCR_AES_CBC = 12,
	TD_ENCR_AES_CTR = 13,
	TD_ENCR_AES_CCM_16 = 16,
	TD_ENCR_AES_GCM_16 = 20,
	TD_ENCR_NULL_AUTH_AES_GMAC = 21,
	TD_ENCR_CHACHA20_POLY1305 = 28,
};
enum td_ike_prf { TD_PRF_SHA2_256 = 5, TD_PRF_SHA2_384 = 6, TD_PRF_SHA2_512 = 7 };
enum td_ike_integ {
	TD_INTEG_NONE = 0,
	TD_INTEG_AES_128_GMAC = 9, // of AH only (RFC 4543)
	TD_INTEG_AES_192_GMAC = 10,
	TD_INTEG_AES_256_GMAC = 11,
	TD_INTEG_SHA2_256_128 = 12,
	TD_INTEG_SHA2_384_192 = 13,
	TD_INTEG_SHA2_512_256 = 14,
};
enum td_ike_dh {
	TD_DH_NONE = 0,
	TD_DH_MODP_2048 = 14,
	TD_DH_MODP_3072 = 15,
	TD_DH_ECP_256 = 19,
	TD_DH_ECP_384 = 20,
	TD_DH_ECP_521 = 21,
	TD_DH_X25519 = 31,
};

enum td_ike_esn { TD_ESN_NO = 0, TD_ESN_YES = 1 };

enum td_ike_auth_method {
	TD_AUTH_RSA = 1,
	TD_AUTH_PSK = 2,
	TD_AUTH_ECDSA_256 = 9, // RFC 4754
	TD_AUTH_ECDSA_384 = 10,
	TD_AUTH_ECDSA_521 = 11,
	TD_AUTH_SIGNATURE = 14, // RFC 7427
};
enum td_ike_hash { TD_HASH_SHA2_256 = 2, TD_HASH_SHA2_384 = 3, TD_HASH_SHA2_512 = 4, TD_HASH_IDENTITY = 5 };
enum td_ike_cert_encoding { TD_CERT_X509 = 4 };

enum td_ike_id_type {
	TD_ID_IPV4 = 1,
	TD_ID_FQDN = 2,
	TD_ID_EMAIL = 3,
	TD_ID_IPV6 = 5,
	TD_ID_DN = 9,
	TD_ID_KEY = 11,
};

// X(enum suffix, number, IANA's name). Below 16384: errors.
#define TD_IKE_NOTIFIES(X)                                                                                   \
	X(UNSUPPORTED_CRITICAL_PAYLOAD, 1)                                                                   \
	X(INVALID_IKE_SPI, 4)                                                                                \
	X(INVALID_MAJOR_VERSION, 5)                                                                          \
	X(INVALID_SYNTAX, 7)                                                                                 \
	X(INVALID_MESSAGE_ID, 9)                                                                             \
	X(INVALID_SPI, 11)                                                                                   \
	X(NO_PROPOSAL_CHOSEN, 14)                                                                            \
	X(INVALID_KE_PAYLOAD, 17)                                                                            \
	X(AUTHENTICATION_FAILED, 24)                                                                         \
	X(SINGLE_PAIR_REQUIRED, 34)                                                                          \
	X(NO_ADDITIONAL_SAS, 35)                                                                             \
	X(INTERNAL_ADDRESS_FAILURE, 36)                                                                      \
	X(FAILED_CP_REQUIRED, 37)                                                                            \
	X(TS_UNACCEPTABLE, 38)                                                                               \
	X(INVALID_SELECTORS, 39)                                                                             \
	X(TEMPORARY_FAILURE, 43)                                                                             \
	X(CHILD_SA_NOT_FOUND, 44)                                                                            \
	X(TS_MAX_QUEUE, 48) /* RFC 9611 */                                                                   \
	X(STALE, 8192) /* private, docs/one-round-trip.md */                                                 \
	X(INITIAL_CONTACT, 16384)                                                                            \
	X(SET_WINDOW_SIZE, 16385)                                                                            \
	X(ADDITIONAL_TS_POSSIBLE, 16386)                                                                     \
	X(NAT_DETECTION_SOURCE_IP, 16388)                                                                    \
	X(NAT_DETECTION_DESTINATION_IP, 16389)                                                               \
	X(COOKIE, 16390)                                                                                     \
	X(USE_TRANSPORT_MODE, 16391)                                                                         \
	X(REKEY_SA, 16393)                                                                                   \
	X(ESP_TFC_PADDING_NOT_SUPPORTED, 16394)                                                              \
	X(NON_FIRST_FRAGMENTS_ALSO, 16395)                                                                   \
	X(QUICK_CRASH_DETECTION, 16419) /* RFC 6290 */                                                       \
	X(FRAGMENTATION_SUPPORTED, 16430) /* RFC 7383 */                                                     \
	X(SIGNATURE_HASH_ALGORITHMS, 16431) /* RFC 7427 */                                                   \
	X(SA_RESOURCE_INFO, 16444) /* RFC 9611 */                                                            \
	X(ONE_ROUND_TRIP, 40960) /* private, docs/one-round-trip.md */                                       \
	X(FRESHNESS, 40961)                                                                                  \
	X(WRAPPED_KEY, 40962)                                                                                \
	X(KEY_EXPIRED, 40963)                                                                                \
	X(CONTINUES, 40964)                                                                                  \
	X(INCARNATION, 40965)

enum td_ike_notify_type {
#define TD_IKE_NOTIFY_ENUM(name, number) TD_N_##name = number,
	TD_IKE_NOTIFIES(TD_IKE_NOTIFY_ENUM)
#undef TD_IKE_NOTIFY_ENUM
};
#define TD_N_STATUS_MIN 16384

// IANA's name, or "notify" for one that tandem does not know.
const char *td_ike_notify_name(uint16_t type);
const char *td_ike_exchange_name(uint8_t exchange);
