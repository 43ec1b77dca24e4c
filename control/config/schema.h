// SPDX-License-Identifier: BSD-3-Clause
#pragma once

// The one table of configuration keys. The parser, the defaults, the error messages and
// tandemd --help-config are all made from it.

#include <stdbool.h>
#include <stddef.h>

enum td_config_type {
	TD_CONFIG_INTEGER, // int, unsigned, uint16_t or uint64_t: a number, or one of the key's words
	TD_CONFIG_BOOLEAN,
	TD_CONFIG_NAME, // char[]: A-Z a-z 0-9 _ . -
	TD_CONFIG_PATH, // char[]: absolute
	TD_CONFIG_DEVICE, // char[]: PCI address or DPDK device string
	TD_CONFIG_WORD, // an enum, by the key's words
	TD_CONFIG_PROTOCOL, // uint8_t: one of the key's words, or a number
	TD_CONFIG_PORTS, // two uint16_t, low and high
	TD_CONFIG_ICMP, // the same twice: messages from the local and from the remote side
	TD_CONFIG_ADDRESS, // struct td_ip; the key's words leave it empty
	TD_CONFIG_PREFIX, // struct td_prefix
	TD_CONFIG_SELECTOR, // struct td_prefix and, for the end of a range, struct td_ip
	TD_CONFIG_INTEGERS, // int[]
	TD_CONFIG_PREFIXES, // struct td_prefix[]
	// char *, allocated; NULL when not given:
	TD_CONFIG_FILE, // an absolute path
	TD_CONFIG_IDENTITY, // of IKE
	TD_CONFIG_IKE_PROPOSALS, // char *[]
	TD_CONFIG_ESP_PROPOSALS, // char *[]
};

enum td_config_flag {
	TD_CONFIG_REQUIRED = 1,
	TD_CONFIG_POWER_OF_TWO = 2,
	TD_CONFIG_NETWORK = 4, // a prefix without host bits
	TD_CONFIG_INTERFACE = 8, // a prefix that is the address of an interface on its network
	TD_CONFIG_PART = 16, // in the optional part of the section's structure
	TD_CONFIG_SECRET = 32, // a file that nobody else may read
	TD_CONFIG_SHARED = 64, // of an IKE SA: tunnels that share it have the same
	TD_CONFIG_IN_PLACE = 128, // may change while SAs stand, which stay as they are
};

struct td_config_word {
	const char *word; // NULL ends the table
	int value;
};

struct td_config_key {
	const char *name;
	enum td_config_type type;
	unsigned flags; // of enum td_config_flag
	size_t offset, size; // bytes in the section's structure, or in its part
	size_t count_offset; // unsigned, for the types that are lists
	long low, high; // range of integers
	const char *default_text; // as in the file, without quotes; NULL: all zero bytes
	const char *default_meaning; // what NULL means
	const struct td_config_word *words;
	const char *help;
};

struct td_config_section {
	const char *name;
	const char *element; // "port" for the list "ports"; NULL for a group
	const char *help;
	// For a list: where its elements are in struct td_config. inline_max is the size of the array
	// there, or 0 when there is a pointer to an allocated one.
	size_t offset, count_offset, element_size;
	unsigned inline_max;
	unsigned max; // of elements elsewhere; 0: any number
	// Where an element points to its part, which is allocated when one of the part's keys is given. Size
	// 0: it has none.
	size_t part_offset, part_size;
	const struct td_config_key *keys;
	unsigned key_count;
};

extern const struct td_config_section td_config_sections[];
extern const unsigned td_config_section_count;

// Return NULL when there is none.
const struct td_config_section *td_config_section_find(const char *name);
const struct td_config_key *td_config_key_find(const struct td_config_section *section, const char *name);
bool td_config_type_is_list(enum td_config_type type);

#define TD_CONFIG_ALLOWED_MAX 256
// What a key (for a list: one of its elements) may be, for people. Returns text, which holds
// TD_CONFIG_ALLOWED_MAX bytes.
const char *td_config_key_allowed(const struct td_config_key *key, char *text);
