// SPDX-License-Identifier: BSD-3-Clause
#include "common/error.h"

#include <stdarg.h>
#include <stdio.h>

int td_error_set(
    struct td_error *error, int code, const char *object, const char *field, const char *format, ...)
{
	va_list args;

	if (!error)
		return code;
	if (object)
		snprintf(error->object, sizeof(error->object), "%s", object);
	if (field)
		snprintf(error->field, sizeof(error->field), "%s", field);
	va_start(args, format);
	vsnprintf(error->reason, sizeof(error->reason), format, args);
	va_end(args);
	return code;
}
