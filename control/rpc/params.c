// SPDX-License-Identifier: BSD-3-Clause
#include "control/rpc/params.h"

#include "common/limits.h"

#include <errno.h>
#include <string.h>

_Static_assert(TD_NAME_MAX <= 32, "a 128-bit key has 32 hexadecimal digits and is no name");

bool td_rpc_is_name(const char *text)
{
	size_t length = strspn(text, "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789_.-");

	return length > 0 && length < TD_NAME_MAX && text[length] == '\0';
}

static const struct td_rpc_field *field_find(const struct td_rpc_field *table, const char *name)
{
	for (; table && table->name; table++)
		if (strcmp(table->name, name) == 0)
			return table;
	return NULL;
}

static const char *type_name(const json_t *value)
{
	switch (json_typeof(value)) {
	case JSON_OBJECT:
		return "an object";
	case JSON_ARRAY:
		return "an array";
	case JSON_STRING:
		return "a string";
	case JSON_INTEGER:
		return "an integer";
	case JSON_REAL:
		return "a number with a fraction";
	case JSON_TRUE:
	case JSON_FALSE:
		return "a boolean";
	case JSON_NULL:
		break;
	}
	return "null";
}

static bool type_fits(const json_t *value, enum td_rpc_type type)
{
	switch (type) {
	case TD_RPC_STRING:
		return json_is_string(value);
	case TD_RPC_INTEGER:
		return json_is_integer(value);
	case TD_RPC_BOOLEAN:
		return json_is_boolean(value);
	case TD_RPC_ARRAY:
		return json_is_array(value);
	case TD_RPC_VALUE:
		return json_is_string(value) || json_is_integer(value);
	}
	return false;
}

static int value_check(const json_t *value, const struct td_rpc_field *field, struct td_error *error)
{
	static const char *const wanted[] = {
	    [TD_RPC_STRING] = "a string",
	    [TD_RPC_INTEGER] = "an integer",
	    [TD_RPC_BOOLEAN] = "true or false",
	    [TD_RPC_ARRAY] = "an array",
	    [TD_RPC_VALUE] = "a string or an integer",
	};

	if (!type_fits(value, field->type))
		return td_error_set(error, -EINVAL, NULL, field->name, "is %s, must be %s", type_name(value),
		    wanted[field->type]);
	if (field->type != TD_RPC_INTEGER)
		return 0;
	json_int_t number = json_integer_value(value);
	if (number < 0 || (uint64_t)number < field->low || (uint64_t)number > field->high)
		return td_error_set(error, -EINVAL, NULL, field->name,
		    "is %" JSON_INTEGER_FORMAT ", must be %llu to %llu", number,
		    (unsigned long long)field->low, (unsigned long long)field->high);
	return 0;
}

static int required_check(const json_t *object, const struct td_rpc_field *table, struct td_error *error)
{
	for (; table && table->name; table++)
		if (table->required && !json_object_get(object, table->name))
			return td_error_set(error, -EINVAL, NULL, table->name, "is missing");
	return 0;
}

int td_rpc_params_check(const json_t *object, const struct td_rpc_field *own, const struct td_rpc_field *more,
    struct td_error *error)
{
	const char *name;
	json_t *value;

	if (!json_is_object(object))
		return td_error_set(error, -EINVAL, NULL, "", "must be an object");
	json_object_foreach ((json_t *)(uintptr_t)object, name, value) {
		const struct td_rpc_field *field = field_find(own, name);

		if (!field)
			field = field_find(more, name);
		if (!field)
			return td_rpc_is_name(name)
			           ? td_error_set(error, -EINVAL, NULL, name, "is not known here")
			           : td_error_set(error, -EINVAL, NULL, "", "has a member that is no name");
		if (value_check(value, field, error))
			return -EINVAL;
	}
	if (required_check(object, own, error))
		return -EINVAL;
	return required_check(object, more, error);
}

const char *td_rpc_params_string(const json_t *object, const char *name)
{
	return json_string_value(json_object_get(object, name));
}

uint64_t td_rpc_params_integer(const json_t *object, const char *name, uint64_t otherwise)
{
	const json_t *value = json_object_get(object, name);

	return value ? (uint64_t)json_integer_value(value) : otherwise;
}

bool td_rpc_params_boolean(const json_t *object, const char *name)
{
	return json_is_true(json_object_get(object, name));
}
