// SPDX-License-Identifier: BSD-3-Clause
#pragma once

// What is wrong with an input: which object, which field of it, and why. Config errors and
// JSON-RPC errors are both made from it, so that a user reads the same words everywhere.
struct td_error {
	char object[96]; // e.g. "sa 0x00001001 (in)", "port outside"
	char field[48]; // e.g. "key", empty when the whole object is meant
	char reason[256]; // e.g. "is 19 bytes, aes128gcm16 needs 20 (key and salt)"
};

// Fills in *error (which may be NULL) and returns code, so that "return td_error_set(...)" reads well.
// object and field may be NULL: they are then left as they are.
int td_error_set(struct td_error *error, int code, const char *object, const char *field, const char *format,
    ...) __attribute__((format(printf, 5, 6)));
