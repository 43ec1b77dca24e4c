// SPDX-License-Identifier: BSD-3-Clause
// What AH makes of the headers in front of it, and its suites against another implementation
// (tests/wire/ah.py). Every packet ends where memory does.

#include "dataplane/ah.h"

#include "common/limits.h"
#include "common/secret.h"

#include <criterion/criterion.h>
#include <netinet/in.h>
#include <rte_ip.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

static uint32_t unhex(const char *text, uint8_t *bytes)
{
	uint32_t length = (uint32_t)strlen(text) / 2;

	for (uint32_t i = 0; i < length; i++) {
		unsigned value;

		cr_assert_eq(sscanf(text + 2 * i, "%2x", &value), 1);
		bytes[i] = (uint8_t)value;
	}
	return length;
}

// ---- headers ----------------------------------------------------------------------------------

struct row {
	const char *name;
	uint8_t first; // 4: IPv4; else what the IPv6 header names
	const char *behind; // options or extension headers, hexadecimal
	const char *muted; // what the ICV is to cover of them; NULL: they are not valid
};

static const struct row rows[] = {
    {"IPv4", 4, "", ""},
    {"no operation, end of list, anything", 4, "0101010001020304", "0101010001020304"},
    {"router alert", 4, "94040000", "94040000"},
    {"security options", 4,
        "8203558503558603559503"
        "5501010101",
        "82035585035586035595035501010101"},
    {"record route", 4, "0707040102030401", "0000000000000001"},
    {"timestamp, stream identifier", 4, "4404050188041234", "0000000000000000"},
    {"unknown option between known ones", 4, "01015e0499019403", NULL},
    {"unknown option before a known one", 4,
        "015e040101940400"
        "00000000",
        "0100000000940400"
        "00000000"},
    {"source route at its end", 4, "830708aabbccdd00", "0000000000000000"},
    {"source route that leads on", 4, "830704aabbccdd00", NULL},
    {"strict source route that leads on", 4, "890707aabbccdd00", NULL},
    {"source route that points into itself", 4, "830703aabbccdd00", NULL},
    {"source route without a pointer", 4, "83020101", NULL},
    {"option without length", 4, "01010107", NULL},
    {"option of no bytes", 4, "07000000", NULL},
    {"option of one byte", 4, "07010000", NULL},
    {"option longer than the header", 4, "07050000", NULL},
    {"IPv6", IPPROTO_AH, "", ""},
    {"option that may change", IPPROTO_HOPOPTS, "33003e0401020304", "33003e0400000000"},
    {"option that may not", IPPROTO_DSTOPTS, "33001e0401020304", "33001e0401020304"},
    {"padding", IPPROTO_HOPOPTS, "3300000102aabb00", "3300000102aabb00"},
    {"two headers", IPPROTO_HOPOPTS,
        "3c003e0401020304"
        "33012301ff0100001e04aabbccdd0100",
        "3c003e0400000000"
        "330123010001"
        "00001e04aabbccdd0100"},
    {"routing header", IPPROTO_ROUTING, "3300000000000000", NULL},
    {"routing header behind options", IPPROTO_HOPOPTS,
        "2b00010400000000"
        "3300000000000000",
        NULL},
    {"fragment header", IPPROTO_FRAGMENT, "3300000000000001", NULL},
    {"option that runs out", IPPROTO_HOPOPTS, "3300010500000000", NULL},
    {"option without length, IPv6", IPPROTO_HOPOPTS, "3300010300000005", NULL},
    {"header that runs out", IPPROTO_HOPOPTS, "3301010400000000", NULL},
};

// Exactly as many bytes as there are, so that the sanitizer sees a step too far. behind is of bytes bytes.
static uint8_t *headers_create(uint8_t first, const uint8_t *behind, uint32_t bytes, uint32_t *total)
{
	static const struct rte_ipv4_hdr ipv4 = {.type_of_service = 0xfd,
	    .packet_id = 0xbeef,
	    .total_length = 0x1234,
	    .fragment_offset = 0x40,
	    .time_to_live = 63,
	    .next_proto_id = IPPROTO_AH,
	    .hdr_checksum = 0xabcd,
	    .src_addr = 0xc0000201,
	    .dst_addr = 0xc0000202};
	uint32_t fixed = first == 4 ? sizeof(struct rte_ipv4_hdr) : sizeof(struct rte_ipv6_hdr);
	uint8_t *headers = calloc(1, fixed + bytes);

	*total = fixed + bytes;
	if (first == 4) {
		memcpy(headers, &ipv4, sizeof(ipv4));
		headers[0] = (uint8_t)(0x40 | (fixed + bytes) / 4);
	} else {
		memset(headers, 0xa5, fixed);
		memcpy(headers, "\x6f\xd1\x23\x45", 4);
		headers[6] = first;
	}
	memcpy(headers + fixed, behind, bytes);
	return headers;
}

// Zeroes what RFC 4302 3.3.3.1 says of the fixed header.
static void fixed_mute(uint8_t *headers)
{
	static const uint8_t ipv4[] = {1, 6, 7, 8, 10, 11}, ipv6[] = {1, 2, 3, 7};
	bool is_ipv4 = headers[0] >> 4 == 4;

	for (unsigned i = 0; i < (is_ipv4 ? sizeof(ipv4) : sizeof(ipv6)); i++)
		headers[is_ipv4 ? ipv4[i] : ipv6[i]] = 0;
	if (!is_ipv4)
		headers[0] = 0x60;
}

Test(ah, what_the_icv_covers_of_headers)
{
	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
		const struct row *row = &rows[i];
		uint8_t behind[64], muted[64];
		uint32_t bytes = unhex(row->behind, behind), total;
		uint8_t *headers = headers_create(row->first, behind, bytes, &total);
		uint8_t *before = headers_create(row->first, behind, bytes, &total);

		cr_expect_eq(td_ah_headers_valid(headers, total), row->muted != NULL, "%s", row->name);
		cr_expect_arr_eq(headers, before, total, "%s: a check changes nothing", row->name);
		if (row->muted) {
			cr_assert_eq(unhex(row->muted, muted), bytes, "%s", row->name);
			fixed_mute(before);
			memcpy(before + total - bytes, muted, bytes);
			td_ah_mute(headers, total);
			cr_expect_arr_eq(headers, before, total, "%s", row->name);
		}
		free(headers);
		free(before);
	}
}

Test(ah, headers_have_a_bound)
{
	uint8_t option[TD_AH_HEADERS_MAX + 8] = {IPPROTO_AH, 0, 1, 0};
	uint32_t total;

	for (uint32_t bytes = TD_AH_HEADERS_MAX - 40 - 16; bytes <= TD_AH_HEADERS_MAX - 40 + 16; bytes += 8) {
		option[1] = (uint8_t)(bytes / 8 - 1);
		option[3] = (uint8_t)(bytes - 4);
		uint8_t *headers = headers_create(IPPROTO_DSTOPTS, option, bytes, &total);
		cr_expect_eq(td_ah_headers_valid(headers, total), total <= TD_AH_HEADERS_MAX, "%u", total);
		free(headers);
	}
}

// Random chains: no step leaves the headers, and what was muted once stays as it is.
Test(ah, random_headers_stay_inside)
{
	static const uint8_t firsts[] = {4, IPPROTO_HOPOPTS, IPPROTO_DSTOPTS};
	unsigned valid = 0;

	srand(1);
	for (unsigned round = 0; round < 200000; round++) {
		uint8_t first = firsts[round % 3], behind[64], once[128];
		uint32_t bytes = first == 4 ? 4u * (uint32_t)(rand() % 11) : 8u * (uint32_t)(rand() % 9),
		         total;

		// Small numbers make more chains that hold.
		for (uint32_t i = 0; i < bytes; i++)
			behind[i] = (uint8_t)(rand() % 4 ? rand() % 8 : rand());
		uint8_t *headers = headers_create(first, behind, bytes, &total);
		if (td_ah_headers_valid(headers, total)) {
			valid++;
			td_ah_mute(headers, total);
			memcpy(once, headers, total);
			td_ah_mute(headers, total);
			cr_assert_arr_eq(headers, once, total);
		}
		free(headers);
	}
	cr_expect_gt(valid, 1000);
}

// ---- suites -----------------------------------------------------------------------------------

#define HEADERS_BYTES 28 // IPv4 with router alert, and record route without room
#define PAYLOAD_BYTES 37
#define SEQUENCE 0x500000007
#define COUNTER 0x0102030405060708

static IMB_MGR *mgr;

static void setup(void)
{
	mgr = td_suite_manager_create();
	cr_assert_not_null(mgr);
}

static void teardown(void)
{
	td_suite_manager_destroy(mgr);
}

TestSuite(ah_suite, .init = setup, .fini = teardown);

struct vector {
	const char *suite;
	bool esn;
	const char *icv;
};

static const struct vector vectors[] = {
    {"sha256", false, "923af5c4489a6ecdfe8a381ffbb69792"},
    {"sha256", true, "9778003f139f133d0b07385a700c8f4c"},
    {"sha384", false, "aa66c81f1b19195002691fdea45166cbb4e64eaa5bca8fb6"},
    {"sha384", true, "5543969f5d2a4143b90453333129186b7dae15b808d1c3cc"},
    {"sha512", false, "16e508ee50dfec95f699cd93436ede44a4a01754ff27f673a0e3f8b4020300de"},
    {"sha512", true, "8ddf900b9973f4a581f5635e193c0df946b3ce0fb46e695d93a0b552105bce09"},
    {"aes128gmac", false, "a07e5c213c9400866257cba40a7f391d"},
    {"aes128gmac", true, "93d18e5427b7d072f6ed5c8d99cd6ff9"},
    {"aes192gmac", false, "58eefaf4921e1010652e9dd9f593e5e6"},
    {"aes192gmac", true, "0318827fbfa2db3a839802ec5cb13386"},
    {"aes256gmac", false, "838a876a475ad5632aba0c5008a2e9d7"},
    {"aes256gmac", true, "95458097377bc7d0d7567a38f8989288"},
};

struct packet {
	const struct td_suite *suite;
	uint8_t *page;
	uint32_t bytes;
	struct td_crypt_op op;
	uint8_t schedule[TD_SCHEDULE_MAX_BYTES] __attribute__((aligned(64)));
};

static uint32_t icv_at(const struct packet *packet)
{
	return HEADERS_BYTES + (uint32_t)sizeof(struct td_ah) + packet->suite->info.iv_bytes;
}

// A packet of so much payload at the end of its page, but for the four bytes that ESN needs.
static struct packet *packet_create(const struct td_suite *suite, uint32_t payload, bool esn)
{
	static const uint8_t headers[HEADERS_BYTES] = {0x47, 4, 0, 0, 0x12, 0x34, 0x40, 0, 0x40, IPPROTO_AH,
	    0x12, 0x34, 10, 0, 0, 1, 10, 0, 0, 2, 148, 4, 0, 0, 7, 3, 4, 0};
	size_t page = (size_t)sysconf(_SC_PAGESIZE);
	struct packet *packet = aligned_alloc(64, RTE_ALIGN_CEIL(sizeof(*packet), 64u));
	uint8_t key[TD_SECRET_MAX_BYTES];
	uint32_t ah_bytes = td_ah_bytes(suite, 4);

	packet->suite = suite;
	packet->page = mmap(NULL, 2 * page, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	cr_assert_neq(packet->page, MAP_FAILED);
	cr_assert_eq(mprotect(packet->page + page, page, PROT_NONE), 0);
	for (unsigned i = 0; i < sizeof(key); i++)
		key[i] = (uint8_t)(i * 29 + 7);
	cr_assert_eq(suite->expand(mgr, key, packet->schedule), 0);
	packet->bytes = HEADERS_BYTES + ah_bytes + payload;
	uint8_t *start = packet->page + page - packet->bytes - (esn ? sizeof(rte_be32_t) : 0);
	memcpy(start, headers, sizeof(headers));
	start[2] = (uint8_t)(packet->bytes >> 8);
	start[3] = (uint8_t)packet->bytes;
	const struct td_ah ah = {6, (uint8_t)(ah_bytes / 4 - 2), 0, rte_cpu_to_be_32(0xc0de1234),
	    rte_cpu_to_be_32((uint32_t)SEQUENCE)};
	memcpy(start + HEADERS_BYTES, &ah, sizeof(ah));
	for (uint32_t i = 0; i < payload; i++)
		start[HEADERS_BYTES + ah_bytes + i] = (uint8_t)(i * 7 + 1);
	packet->op = (struct td_crypt_op){
	    .schedule = packet->schedule,
	    .esp = start,
	    .data = start + HEADERS_BYTES + sizeof(ah),
	    .length = ah_bytes - (uint32_t)sizeof(ah) + payload,
	    .sequence = SEQUENCE,
	    .counter = COUNTER,
	    .esn = esn,
	};
	return packet;
}

static void packet_destroy(struct packet *packet)
{
	munmap(packet->page, 2 * (size_t)sysconf(_SC_PAGESIZE));
	free(packet);
}

static bool opens(struct packet *packet)
{
	packet->op.authentic = false;
	packet->suite->open(mgr, &packet->op, 1);
	return packet->op.authentic;
}

static const struct td_suite *suite_named(const char *name)
{
	int suite = td_dp_suite_find(TD_SA_AH, name);

	cr_assert_geq(suite, 0, "%s", name);
	return td_suite_at((unsigned)suite);
}

Test(ah_suite, agrees_with_another_implementation)
{
	bool seen[64] = {false};

	for (size_t i = 0; i < sizeof(vectors) / sizeof(vectors[0]); i++) {
		const struct vector *vector = &vectors[i];
		struct packet *packet = packet_create(suite_named(vector->suite), PAYLOAD_BYTES, vector->esn);
		uint8_t icv[TD_ICV_MAX_BYTES], before[256];

		memcpy(before, packet->op.esp, packet->bytes);
		cr_assert_eq(unhex(vector->icv, icv), packet->suite->info.icv_bytes);
		packet->suite->seal(mgr, &packet->op, 1);
		cr_expect_arr_eq(packet->op.esp + icv_at(packet), icv, packet->suite->info.icv_bytes,
		    "%s, %d", vector->suite, vector->esn);
		// Nothing but IV and ICV has changed.
		memcpy(before + HEADERS_BYTES + sizeof(struct td_ah), packet->op.data,
		    packet->suite->info.iv_bytes + packet->suite->info.icv_bytes);
		cr_expect_arr_eq(packet->op.esp, before, packet->bytes, "%s", vector->suite);
		cr_expect(opens(packet), "%s", vector->suite);
		seen[td_dp_suite_find(TD_SA_AH, vector->suite)] = true;
		packet_destroy(packet);
	}
	for (unsigned i = 0; i < td_dp_suite_count(); i++)
		cr_expect_eq(seen[i], td_dp_suite_info(i)->protocol == TD_SA_AH, "%u", i);
}

// Whether a bit may change on the way: DSCP and ECN, flags and offset, TTL, checksum.
static bool is_mutable(uint32_t byte)
{
	return byte == 1 || byte == 6 || byte == 7 || byte == 8 || byte == 10 || byte == 11;
}

// Bits that say how long the headers are, where options end, and what they are, change what is read as what:
// headers_valid speaks of those.
static bool is_structure(uint32_t byte)
{
	return byte == 0 || (byte >= 20 && byte < 27);
}

Test(ah_suite, refuses_every_flipped_bit_that_may_not_change)
{
	for (size_t i = 0; i < sizeof(vectors) / sizeof(vectors[0]); i++) {
		struct packet *packet =
		    packet_create(suite_named(vectors[i].suite), PAYLOAD_BYTES, vectors[i].esn);
		uint8_t sealed[256];

		packet->suite->seal(mgr, &packet->op, 1);
		memcpy(sealed, packet->op.esp, packet->bytes);
		for (uint32_t bit = 0; bit < packet->bytes * 8; bit++) {
			if (is_structure(bit / 8))
				continue;
			memcpy(packet->op.esp, sealed, packet->bytes);
			packet->op.esp[bit / 8] ^= (uint8_t)(1 << bit % 8);
			cr_assert_eq(opens(packet), is_mutable(bit / 8), "%s, bit %u", vectors[i].suite, bit);
		}
		packet_destroy(packet);
	}
}

Test(ah_suite, authenticates_the_high_half_of_an_extended_sequence_number)
{
	for (size_t i = 0; i < sizeof(vectors) / sizeof(vectors[0]); i++) {
		struct packet *packet = packet_create(suite_named(vectors[i].suite), PAYLOAD_BYTES, true);
		uint8_t sealed[256];

		packet->op.esn = vectors[i].esn;
		packet->suite->seal(mgr, &packet->op, 1);
		memcpy(sealed, packet->op.esp, packet->bytes);
		packet->op.sequence ^= UINT64_C(1) << 40;
		cr_expect_eq(opens(packet), !vectors[i].esn, "%s", vectors[i].suite);
		memcpy(packet->op.esp, sealed, packet->bytes);
		packet->op.sequence = SEQUENCE;
		packet->op.esn = !vectors[i].esn;
		cr_expect_not(opens(packet), "%s", vectors[i].suite);
		packet_destroy(packet);
	}
}

// Bursts of all sizes and payloads of all lengths, with and without ESN; one wrong packet does not touch its
// neighbours.
Test(ah_suite, opens_what_it_seals_at_every_length_and_burst)
{
	uint32_t payload = 0;

	for (unsigned s = 0; s < td_dp_suite_count(); s++) {
		const struct td_suite *suite = td_suite_at(s);

		for (unsigned count = 1; suite->info.protocol == TD_SA_AH && count <= TD_BURST; count++) {
			struct packet *packets[TD_BURST];
			struct td_crypt_op ops[TD_BURST];

			for (unsigned i = 0; i < count; i++) {
				packets[i] = packet_create(suite, payload++ % 300, i % 2);
				ops[i] = packets[i]->op;
			}
			suite->seal(mgr, ops, count);
			ops[count / 2].esp[12] ^= 1;
			suite->open(mgr, ops, count);
			cr_assert_eq(IMB_QUEUE_SIZE(mgr), 0);
			for (unsigned i = 0; i < count; i++) {
				cr_assert_eq(
				    ops[i].authentic, i != count / 2, "%s %u/%u", suite->info.name, i, count);
				packet_destroy(packets[i]);
			}
		}
	}
}

Test(ah_suite, header_lengths)
{
	static const struct {
		const char *suite;
		uint32_t ipv4, ipv6; // RFC 4302 2.2, 3.3.3.2.1
	} lengths[] = {{"sha256", 28, 32}, {"sha384", 36, 40}, {"sha512", 44, 48}, {"aes128gmac", 36, 40}};

	for (size_t i = 0; i < sizeof(lengths) / sizeof(lengths[0]); i++) {
		const struct td_suite *suite = suite_named(lengths[i].suite);

		cr_expect_eq(td_ah_bytes(suite, 4), lengths[i].ipv4, "%s", lengths[i].suite);
		cr_expect_eq(td_ah_bytes(suite, 6), lengths[i].ipv6, "%s", lengths[i].suite);
	}
}
