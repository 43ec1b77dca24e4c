// SPDX-License-Identifier: BSD-3-Clause
#pragma once

// X.509 certificates: what they are for, and who vouches for them (RFC 5280, RFC 4945).

#include "control/ike/credential.h"
#include "control/ike/known.h"

#include <openssl/types.h>

// Whether the certificate is for the identity: a name, an address or a mail address exactly as one of its
// subject alternative names, or a DN that is its subject. A common name is not looked at.
bool td_certificate_is_for(const X509 *certificate, const struct td_ike_id *id);
// Whether its key may sign AUTH (RFC 4945 5.1.3.2) and is of a usable kind, and whether it is valid at
// unix_time. Return 0, or -EACCES and *error.
int td_certificate_check_key(X509 *certificate, struct td_error *error);
int td_certificate_check_time(const X509 *certificate, int64_t unix_time, struct td_error *error);
// The peer's certificate out of its CERT payloads, of which it is the first (RFC 7296 3.6), after every
// check: it comes from an authority at unix_time and is for id. What comes from an authority is known from
// then on. To be freed. Returns NULL and *error.
X509 *td_certificate_accept(X509_STORE *authorities, struct td_known *known,
    const struct td_ike_payloads *payloads, const struct td_ike_id *id, int64_t unix_time,
    struct td_error *error);
// -EACCES and *error: what it is for, instead of id.
int td_certificate_refuse_id(const X509 *certificate, const struct td_ike_id *id, struct td_error *error);
