// SPDX-License-Identifier: BSD-3-Clause
// Identities (RFC 7296 3.5): from and to text, and whether two are one.
#include "control/ike/identity.h"

#include "common/hash.h"
#include "control/ike/credential.h"
#include "control/ike/dn.h"

#include <ctype.h>
#include <errno.h>
#include <stdio.h>
#include <string.h>

#define KEY_PREFIX "keyid:"
#define KEY_PREFIX_BYTES (sizeof(KEY_PREFIX) - 1)

static int set(struct td_ike_id *id, uint8_t type, const void *data, size_t length)
{
	if (length == 0 || length > TD_ID_MAX_BYTES)
		return -EINVAL;
	*id = (struct td_ike_id){.type = type, .length = (uint16_t)length};
	memcpy(id->data, data, length);
	return 0;
}

// Letters, digits, and what else names have in use: an identity is compared, not looked up.
static bool is_fqdn(const char *text, size_t length)
{
	for (size_t i = 0; i < length; i++)
		if (!isalnum((unsigned char)text[i]) && !strchr(".-_", text[i]))
			return false;
	return length > 0;
}

// One "@", with a name behind it and printable text before.
static bool is_email(const char *text)
{
	const char *at = strchr(text, '@');

	if (!at)
		return false;
	for (const char *c = text; c < at; c++)
		if (!isgraph((unsigned char)*c))
			return false;
	return at > text && is_fqdn(at + 1, strlen(at + 1));
}

static int key_parse(const char *text, struct td_ike_id *id)
{
	TD_SECRET_AUTO bytes; // no secret, but what reads hexadecimal digits

	if (strncmp(text, "0x", 2) != 0)
		return set(id, TD_ID_KEY, text, strlen(text));
	if (td_secret_from_hex(text, &bytes) != 0)
		return -EINVAL;
	return set(id, TD_ID_KEY, bytes.bytes, bytes.length);
}

static int dn_parse(const char *text, struct td_ike_id *id)
{
	uint8_t der[TD_ID_MAX_BYTES];
	size_t length;

	return td_dn_parse(text, der, sizeof(der), &length) ? -EINVAL : set(id, TD_ID_DN, der, length);
}

int td_ike_id_parse(const char *text, struct td_ike_id *id)
{
	struct td_ip ip;

	if (strncmp(text, KEY_PREFIX, KEY_PREFIX_BYTES) == 0)
		return key_parse(text + KEY_PREFIX_BYTES, id);
	if (td_ip_parse(text, &ip) == 0)
		return set(id, ip.family == 4 ? TD_ID_IPV4 : TD_ID_IPV6, ip.bytes, td_ip_length(ip.family));
	if (strchr(text, '='))
		return dn_parse(text, id);
	if (is_email(text))
		return set(id, TD_ID_EMAIL, text, strlen(text));
	if (is_fqdn(text, strlen(text)))
		return set(id, TD_ID_FQDN, text, strlen(text));
	return -EINVAL;
}

// A peer's bytes come into logs: whatever is not plain text is written as hexadecimal.
static bool is_plain(const struct td_ike_id *id)
{
	for (unsigned i = 0; i < id->length; i++)
		if (!isgraph(id->data[i]) && id->data[i] != ' ')
			return false;
	return id->length > 0;
}

static void hex_format(const char *prefix, const struct td_ike_id *id, char *text)
{
	int used = snprintf(text, TD_ID_TEXT_MAX, "%s0x", prefix);

	for (unsigned i = 0; i < id->length && used + 2 < TD_ID_TEXT_MAX; i++)
		used += snprintf(text + used, TD_ID_TEXT_MAX - (size_t)used, "%02x", id->data[i]);
}

static void text_format(const char *prefix, const struct td_ike_id *id, char *text)
{
	if (is_plain(id))
		snprintf(text, TD_ID_TEXT_MAX, "%s%.*s", prefix, id->length, (const char *)id->data);
	else
		hex_format(prefix, id, text);
}

const char *td_ike_id_format(const struct td_ike_id *id, char *text)
{
	bool v4 = id->type == TD_ID_IPV4 && id->length == 4, v6 = id->type == TD_ID_IPV6 && id->length == 16;
	struct td_ip ip = {.family = v4 ? 4 : 6};
	char unknown[16];

	if (id->type == 0) {
		snprintf(text, TD_ID_TEXT_MAX, "-");
	} else if (v4 || v6) {
		memcpy(ip.bytes, id->data, id->length);
		td_ip_format(&ip, text);
	} else if (id->type == TD_ID_FQDN || id->type == TD_ID_EMAIL) {
		text_format("", id, text);
	} else if (id->type == TD_ID_KEY) {
		text_format(KEY_PREFIX, id, text);
	} else if (id->type != TD_ID_DN ||
	           td_dn_format((struct td_bytes){id->data, id->length}, text, TD_ID_TEXT_MAX) != 0) {
		snprintf(unknown, sizeof(unknown), "id%u:", id->type);
		hex_format(unknown, id, text);
	}
	return text;
}

bool td_ike_fqdn_equal(struct td_bytes a, struct td_bytes b)
{
	if (a.length != b.length)
		return false;
	for (size_t i = 0; i < a.length; i++)
		if (tolower(a.data[i]) != tolower(b.data[i]))
			return false;
	return true;
}

bool td_ike_email_equal(struct td_bytes a, struct td_bytes b)
{
	const uint8_t *at = a.length ? memrchr(a.data, '@', a.length) : NULL;
	size_t local = at ? (size_t)(at - a.data) : a.length;

	return a.length == b.length && memcmp(a.data, b.data, local) == 0 &&
	       td_ike_fqdn_equal((struct td_bytes){a.data + local, a.length - local},
	           (struct td_bytes){b.data + local, b.length - local});
}

bool td_ike_id_equal(const struct td_ike_id *id, uint8_t type, struct td_bytes data)
{
	const struct td_bytes own = {id->data, id->length};

	if (id->type != type || type == 0 || own.length == 0 || data.length == 0)
		return false;
	if (type == TD_ID_FQDN)
		return td_ike_fqdn_equal(own, data);
	if (type == TD_ID_EMAIL)
		return td_ike_email_equal(own, data);
	if (type == TD_ID_DN)
		return td_dn_equal(own, data);
	return own.length == data.length && memcmp(own.data, data.data, own.length) == 0;
}

uint64_t td_ike_id_hash(const struct td_ike_id *id)
{
	const struct td_bytes own = {id->data, id->length};
	uint64_t hash = td_hash_mix(id->type);

	if (id->type == TD_ID_DN)
		return td_hash_mix(hash + td_dn_hash(own));
	// Case aside, whether that matters to the type or not.
	for (size_t i = 0; i < own.length; i++)
		hash = td_hash_mix(hash + (uint8_t)tolower(own.data[i]));
	return hash;
}
