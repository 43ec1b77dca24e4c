// SPDX-License-Identifier: BSD-3-Clause
#include "control/config/config.h"
#include "control/config/schema.h"

#include <stdio.h>
#include <string.h>

static const char *words_text(const struct td_config_word *words, const char *tail, char *text)
{
	size_t used = 0;

	text[0] = '\0';
	for (unsigned i = 0; words[i].word && used < TD_CONFIG_ALLOWED_MAX; i++) {
		const char *joint = i == 0 ? "" : words[i + 1].word || *tail ? ", " : " or ";

		used += (size_t)snprintf(
		    text + used, TD_CONFIG_ALLOWED_MAX - used, "%s\"%s\"", joint, words[i].word);
	}
	if (used < TD_CONFIG_ALLOWED_MAX)
		snprintf(text + used, TD_CONFIG_ALLOWED_MAX - used, "%s", tail);
	return text;
}

static const char *prefix_text(const struct td_config_key *key)
{
	if (key->flags & TD_CONFIG_INTERFACE)
		return "an interface address with its prefix length such as \"192.0.2.1/24\" or "
		       "\"2001:db8::1/64\"";
	return "a prefix without host bits such as \"10.1.0.0/24\" or \"2001:db8:1::/48\"";
}

static const char *integer_text(const struct td_config_key *key, char *text)
{
	char range[64];

	snprintf(range, sizeof(range), "%s from %ld to %ld",
	    key->flags & TD_CONFIG_POWER_OF_TWO ? "a power of two" : "an integer", key->low, key->high);
	if (!key->words) {
		snprintf(text, TD_CONFIG_ALLOWED_MAX, "%s", range);
		return text;
	}
	char tail[sizeof(range) + 4];
	snprintf(tail, sizeof(tail), " or %s", range);
	return words_text(key->words, tail, text);
}

const char *td_config_key_allowed(const struct td_config_key *key, char *text)
{
	const char *fixed = "";

	switch (key->type) {
	case TD_CONFIG_INTEGER:
	case TD_CONFIG_INTEGERS:
		return integer_text(key, text);
	case TD_CONFIG_NAME:
		snprintf(text, TD_CONFIG_ALLOWED_MAX, "a string of 1 to %zu characters of A-Z a-z 0-9 _ . -",
		    key->size - 1);
		return text;
	case TD_CONFIG_PATH:
		snprintf(text, TD_CONFIG_ALLOWED_MAX, "an absolute path of at most %zu bytes", key->size - 1);
		return text;
	case TD_CONFIG_WORD:
		return words_text(key->words, "", text);
	case TD_CONFIG_PROTOCOL:
		return words_text(key->words, " or a number from 1 to 255", text);
	case TD_CONFIG_BOOLEAN:
		fixed = "true or false";
		break;
	case TD_CONFIG_DEVICE:
		fixed = "a PCI address such as \"0000:01:00.0\" or a DPDK device string such as "
		        "\"net_af_packet0,iface=eth1\"";
		break;
	case TD_CONFIG_PORTS:
		fixed = "\"any\", a port from 1 to 65535 or a range such as \"5000-5010\"";
		break;
	case TD_CONFIG_ICMP:
		fixed = "\"any\", a type from 0 to 255, types such as \"133-137\" or a type and code such as "
		        "\"3/4\"";
		break;
	case TD_CONFIG_SELECTOR:
		fixed = "\"any\", a prefix without host bits such as \"10.1.0.0/24\" or \"2001:db8:1::/48\", "
		        "or a range such as \"10.1.0.5-10.1.0.9\"";
		break;
	case TD_CONFIG_ADDRESS:
		if (key->words)
			return words_text(key->words,
			    " or a unicast address such as \"192.0.2.1\" or \"2001:db8::1\"", text);
		fixed = "a unicast address such as \"192.0.2.1\" or \"2001:db8::1\"";
		break;
	case TD_CONFIG_PREFIX:
	case TD_CONFIG_PREFIXES:
		fixed = prefix_text(key);
		break;
	case TD_CONFIG_FILE:
		fixed = "the absolute path of a file";
		break;
	case TD_CONFIG_IDENTITY:
		fixed = "a name such as \"gw.example.org\", \"admin@example.org\", an address, "
		        "\"CN=gw, O=Example\" or \"keyid:text\"";
		break;
	case TD_CONFIG_IKE_PROPOSALS:
		fixed = "names of algorithms such as \"aes128gcm16-prfsha256-x25519\"";
		break;
	case TD_CONFIG_ESP_PROPOSALS:
		fixed = "names of algorithms such as \"aes128gcm16\" or \"aes256-sha256-x25519\"";
		break;
	}
	snprintf(text, TD_CONFIG_ALLOWED_MAX, "%s", fixed);
	return text;
}

static void describe_key(const struct td_config_key *key, FILE *out)
{
	char allowed[TD_CONFIG_ALLOWED_MAX];
	// An integer that can be a word may have a number as its default.
	bool number =
	    key->default_text && strspn(key->default_text, "0123456789") == strlen(key->default_text);
	bool quoted = key->type == TD_CONFIG_INTEGER ? key->words && !number
	                                             : key->words || key->type != TD_CONFIG_BOOLEAN;

	fprintf(out, "    %s\n        %s%s", key->name,
	    td_config_type_is_list(key->type) ? "array; each is " : "", td_config_key_allowed(key, allowed));
	if (key->flags & TD_CONFIG_REQUIRED)
		fprintf(out, "; required\n");
	else if (!key->default_text)
		fprintf(out, "; default: %s\n", key->default_meaning);
	else
		fprintf(out, quoted ? "; default: \"%s\"\n" : "; default: %s\n", key->default_text);
	fprintf(out, "        %s\n", key->help);
}

void td_config_describe(FILE *out)
{
	for (unsigned i = 0; i < td_config_section_count; i++) {
		const struct td_config_section *section = &td_config_sections[i];

		fprintf(out, "%s%s = %s\n    %s\n", i ? "\n" : "", section->name,
		    section->element ? "( { ... }, ... )" : "{ ... }", section->help);
		for (unsigned k = 0; k < section->key_count; k++)
			describe_key(&section->keys[k], out);
	}
}
