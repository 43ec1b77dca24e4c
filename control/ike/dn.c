// SPDX-License-Identifier: BSD-3-Clause
#include "control/ike/dn.h"

#include <openssl/bio.h>
#include <openssl/err.h>
#include <openssl/x509.h>

#include <ctype.h>
#include <errno.h>
#include <limits.h>
#include <stdio.h>
#include <string.h>

#define ATTRIBUTE_NAME_MAX 64
#define ATTRIBUTE_VALUE_MAX 256

// libcrypto's way to write names, without what does not fit into a line of a log: every byte that is not
// ASCII is escaped.
#define NAME_FLAGS (XN_FLAG_SEP_CPLUS_SPC | XN_FLAG_FN_SN | ASN1_STRFLGS_RFC2253)

static int digit(char c)
{
	if (!isxdigit((unsigned char)c))
		return -1;
	return isdigit((unsigned char)c) ? c - '0' : tolower((unsigned char)c) - 'a' + 10;
}

// One escaped character at *text, behind the backslash; -1: none.
static int unescape(const char **text)
{
	int high = digit((*text)[0]);
	int low = high < 0 ? -1 : digit((*text)[1]);

	if (low >= 0) {
		*text += 2;
		return high << 4 | low;
	}
	return **text ? (unsigned char)*(*text)++ : -1;
}

// The value at *text, up to a separator or the end. Spaces around it do not belong to it, unless escaped.
static int value_parse(const char **text, char value[ATTRIBUTE_VALUE_MAX], size_t *length)
{
	size_t used = 0, kept = 0;

	*text += strspn(*text, " ");
	if (**text == '#')
		return -EINVAL; // the hexadecimal form of RFC 4514
	while (**text && **text != ',' && **text != '+') {
		bool escaped = **text == '\\';
		int c = (unsigned char)*(*text)++;

		if (escaped)
			c = unescape(text);
		if (c <= 0 || used == ATTRIBUTE_VALUE_MAX)
			return -EINVAL;
		value[used++] = (char)c;
		if (escaped || c != ' ')
			kept = used;
	}
	*length = kept;
	return kept > 0 ? 0 : -EINVAL;
}

// "CN=" at *text.
static int type_parse(const char **text, char type[ATTRIBUTE_NAME_MAX])
{
	size_t length;

	*text += strspn(*text, " ");
	length = strcspn(*text, "=,+\\ ");
	if (length == 0 || length >= ATTRIBUTE_NAME_MAX)
		return -EINVAL;
	memcpy(type, *text, length);
	type[length] = '\0';
	*text += length;
	*text += strspn(*text, " ");
	return *(*text)++ == '=' ? 0 : -EINVAL;
}

static int fill(X509_NAME *name, const char *text)
{
	char type[ATTRIBUTE_NAME_MAX], value[ATTRIBUTE_VALUE_MAX];
	bool joined = false;
	size_t length;

	for (;;) {
		if (type_parse(&text, type) != 0 || value_parse(&text, value, &length) != 0)
			return -EINVAL;
		if (X509_NAME_add_entry_by_txt(name, type, MBSTRING_UTF8, (const unsigned char *)value,
		        (int)length, -1, joined ? -1 : 0) != 1)
			return -EINVAL;
		if (!*text)
			return 0;
		joined = *text++ == '+';
	}
}

int td_dn_parse(const char *text, uint8_t *der, size_t capacity, size_t *length)
{
	X509_NAME *name = X509_NAME_new();
	int result = name ? fill(name, text) : -EINVAL;
	unsigned char *next = der;
	int needed;

	if (!result) {
		needed = i2d_X509_NAME(name, NULL);
		if (needed <= 0)
			result = -EINVAL;
		else if ((size_t)needed > capacity)
			result = -ENOSPC;
		else
			*length = (size_t)i2d_X509_NAME(name, &next);
	}
	X509_NAME_free(name);
	ERR_clear_error();
	return result;
}

// NULL when the bytes are not one name and nothing else.
static X509_NAME *name_of(struct td_bytes der)
{
	const unsigned char *next = der.data;
	X509_NAME *name = NULL;

	if (der.length > 0 && der.length <= LONG_MAX)
		name = d2i_X509_NAME(NULL, &next, (long)der.length);
	if (name && next == der.data + der.length)
		return name;
	X509_NAME_free(name);
	ERR_clear_error();
	return NULL;
}

// Returns how long the whole text is, or -EINVAL; writes what fits.
static int print(const X509_NAME *name, char *text, size_t capacity)
{
	BIO *memory = BIO_new(BIO_s_mem());
	char *data;
	int length = -EINVAL;

	if (memory && X509_NAME_print_ex(memory, name, 0, NAME_FLAGS) >= 0) {
		length = (int)BIO_get_mem_data(memory, &data);
		snprintf(text, capacity, "%.*s", length, data);
	}
	BIO_free(memory);
	return length;
}

int td_dn_format(struct td_bytes der, char *text, size_t capacity)
{
	X509_NAME *name = name_of(der);
	int length = name ? print(name, text, capacity) : -EINVAL;

	X509_NAME_free(name);
	if (length < 0)
		return -EINVAL;
	return (size_t)length < capacity ? 0 : -ENOSPC;
}

void td_dn_format_name(const X509_NAME *name, char *text, size_t capacity)
{
	if (print(name, text, capacity) < 0)
		snprintf(text, capacity, "?");
}

bool td_dn_equal_name(struct td_bytes der, const X509_NAME *name)
{
	X509_NAME *own = name_of(der);
	// An empty name is nobody's.
	bool equal = own && X509_NAME_entry_count(own) > 0 && X509_NAME_cmp(own, name) == 0;

	X509_NAME_free(own);
	return equal;
}

bool td_dn_equal(struct td_bytes a, struct td_bytes b)
{
	X509_NAME *name = name_of(b);
	bool equal = name && td_dn_equal_name(a, name);

	X509_NAME_free(name);
	return equal;
}

uint64_t td_dn_hash(struct td_bytes der)
{
	X509_NAME *name = name_of(der);
	// Of the form that names are compared in.
	uint64_t hash = name ? X509_NAME_hash_ex(name, NULL, NULL, NULL) : 0;

	X509_NAME_free(name);
	return hash;
}
