// SPDX-License-Identifier: BSD-3-Clause
#pragma once

// Parameters of a method: a table says which there are; td_rpc_params_check holds an object against it, and
// afterwards the getters cannot fail.

#include "common/error.h"

#include <jansson.h>
#include <stdbool.h>
#include <stdint.h>

enum td_rpc_type {
	TD_RPC_STRING,
	TD_RPC_INTEGER,
	TD_RPC_BOOLEAN,
	TD_RPC_ARRAY,
	TD_RPC_VALUE, // a string or an integer of any range, checked further by whoever reads it
};

struct td_rpc_field {
	const char *name; // NULL ends a table
	enum td_rpc_type type;
	bool required;
	uint64_t low, high; // of an integer
};

// Every member of object must be in own or in more (either may be NULL) and have the right type and range,
// and every required field must be there. Returns 0, or -EINVAL with the field and the reason in *error.
// Values of strings are never repeated in it: one of them may be a key in the wrong place.
int td_rpc_params_check(const json_t *object, const struct td_rpc_field *own, const struct td_rpc_field *more,
    struct td_error *error);

// True for what may be the name of a method, a parameter or a tunnel. Other words of a client are never
// repeated to it: one of them may be a key in the wrong place, and the shortest key has more digits than a
// name may have.
bool td_rpc_is_name(const char *text);

// NULL when it is not there.
const char *td_rpc_params_string(const json_t *object, const char *name);
uint64_t td_rpc_params_integer(const json_t *object, const char *name, uint64_t otherwise);
bool td_rpc_params_boolean(const json_t *object, const char *name);
