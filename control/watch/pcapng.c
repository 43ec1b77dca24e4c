// SPDX-License-Identifier: BSD-3-Clause
#include "control/watch/pcapng.h"

#include <string.h>

#define BLOCK_SECTION 0x0a0d0d0au
#define BLOCK_INTERFACE 1u
#define BLOCK_PACKET 6u
#define BYTE_ORDER 0x1a2b3c4du
#define LINK_ETHERNET 1
#define NANOSECONDS 9 // 10^-9

#define OPTION_COMMENT 1
#define OPTION_SECTION_APPLICATION 4
#define OPTION_INTERFACE_NAME 2
#define OPTION_INTERFACE_DESCRIPTION 3
#define OPTION_INTERFACE_MAC 6
#define OPTION_INTERFACE_RESOLUTION 9
#define OPTION_PACKET_FLAGS 2
#define FLAG_INBOUND 1u
#define FLAG_OUTBOUND 2u
#define TEXT_MAX 127

// Numbers are in the byte order of the writer; the section header says which that is.
static uint8_t *put16(uint8_t *at, uint16_t value)
{
	memcpy(at, &value, sizeof(value));
	return at + sizeof(value);
}

static uint8_t *put32(uint8_t *at, uint32_t value)
{
	memcpy(at, &value, sizeof(value));
	return at + sizeof(value);
}

// Padded to 32 bits.
static uint8_t *put_bytes(uint8_t *at, const void *bytes, size_t length)
{
	static const uint8_t zeros[4];
	size_t padding = -length % 4;

	memcpy(at, bytes, length);
	memcpy(at + length, zeros, padding);
	return at + length + padding;
}

static uint8_t *put_option(uint8_t *at, uint16_t code, const void *value, size_t length)
{
	at = put16(at, code);
	at = put16(at, (uint16_t)length);
	return put_bytes(at, value, length);
}

static uint8_t *put_text(uint8_t *at, uint16_t code, const char *text)
{
	return put_option(at, code, text, strnlen(text, TEXT_MAX));
}

static uint8_t *block_begin(uint8_t *out, uint32_t type)
{
	return put32(out, type) + sizeof(uint32_t);
}

// Ends the options and the block, whose length stands at both ends.
static size_t block_end(uint8_t *out, uint8_t *at)
{
	at = put32(at, 0);
	uint32_t length = (uint32_t)(at + sizeof(uint32_t) - out);
	put32(at, length);
	put32(out + sizeof(uint32_t), length);
	return length;
}

size_t td_pcapng_section(uint8_t *out, const char *application, const char *comment)
{
	const uint64_t unknown_length = UINT64_MAX;
	uint8_t *at = block_begin(out, BLOCK_SECTION);

	at = put32(at, BYTE_ORDER);
	at = put16(at, 1);
	at = put16(at, 0);
	at = put_bytes(at, &unknown_length, sizeof(unknown_length));
	at = put_text(at, OPTION_SECTION_APPLICATION, application);
	at = put_text(at, OPTION_COMMENT, comment);
	return block_end(out, at);
}

size_t td_pcapng_interface(
    uint8_t *out, const char *name, const char *description, const uint8_t mac[6], uint32_t snaplen)
{
	const uint8_t resolution = NANOSECONDS;
	uint8_t *at = block_begin(out, BLOCK_INTERFACE);

	at = put16(at, LINK_ETHERNET);
	at = put16(at, 0);
	at = put32(at, snaplen);
	at = put_text(at, OPTION_INTERFACE_NAME, name);
	at = put_text(at, OPTION_INTERFACE_DESCRIPTION, description);
	at = put_option(at, OPTION_INTERFACE_MAC, mac, 6);
	at = put_option(at, OPTION_INTERFACE_RESOLUTION, &resolution, sizeof(resolution));
	return block_end(out, at);
}

size_t td_pcapng_packet(uint8_t *out, const struct td_pcapng_packet *packet)
{
	const uint32_t flags = packet->outbound ? FLAG_OUTBOUND : FLAG_INBOUND;
	uint8_t *at = block_begin(out, BLOCK_PACKET);

	at = put32(at, packet->interface);
	at = put32(at, (uint32_t)(packet->time_ns >> 32));
	at = put32(at, (uint32_t)packet->time_ns);
	at = put32(at, packet->captured);
	at = put32(at, packet->length);
	at = put_bytes(at, packet->bytes, packet->captured);
	at = put_option(at, OPTION_PACKET_FLAGS, &flags, sizeof(flags));
	if (packet->comment)
		at = put_text(at, OPTION_COMMENT, packet->comment);
	return block_end(out, at);
}
