// SPDX-License-Identifier: BSD-3-Clause
#pragma once

// Distinguished names: "CN=gw-a, O=Example" and their DER, in the same order; and the comparison of the names
// that identities and certificates have.

#include "common/cursor.h"

#include <openssl/types.h>

// Attributes have libcrypto's names (CN, O, OU, C, L, ST, DC, emailAddress, ...); "+" joins those of one
// level, a backslash takes the next character or two hexadecimal digits as they are. Returns 0, -EINVAL or
// -ENOSPC.
int td_dn_parse(const char *text, uint8_t *der, size_t capacity, size_t *length);
// The text of a DER name, which td_dn_parse reads. Returns 0, -EINVAL (no name) or -ENOSPC.
int td_dn_format(struct td_bytes der, char *text, size_t capacity);
// The same for libcrypto's name; one that is too long is cut.
void td_dn_format_name(const X509_NAME *name, char *text, size_t capacity);
// By RFC 5280 7.1: the kind of string, case and runs of spaces do not matter; number, order and kind of the
// attributes do.
bool td_dn_equal(struct td_bytes a, struct td_bytes b);
uint64_t td_dn_hash(struct td_bytes der); // the same for equal ones
bool td_dn_equal_name(struct td_bytes der, const X509_NAME *name);
