// SPDX-License-Identifier: BSD-3-Clause
// The suites against published vectors, with nonce and AAD made as ESP makes them.

#include "common/secret.h"
#include "dataplane/esp.h"
#include "dataplane/suite.h"

#include <criterion/criterion.h>
#include <string.h>

struct vector {
	const char *name, *suite;
	const char *key; // keying material: key and salt
	uint32_t spi;
	uint64_t sequence;
	bool esn, no_aad;
	const char *iv; // 8 bytes
	const char *plaintext; // with padding and trailer
	const char *sealed; // ciphertext and ICV
};

static const struct vector vectors[] = {
    {"draft-mcgrew-gcm-test-01 2.1: ESP, 64-bit sequence number", "aes128gcm16",
        "4c80cdefbb5d10da906ac73c3613a6342e443b68", 0x4321, 0x8765432100000000, true, false,
        "4956ed7e3b244cfe",
        "45000048699a000080114db7c0a80102c0a801010a9bf15638d3010000010000"
        "00000000045f736970045f756470037369700963796265726369747902646b0000210001"
        "01020201",
        "fecf537e729d5b07dc30df528dd22b768d1b98736696a6fd348509fa13ceac34"
        "cfa2436f14a3f3cf65925bf1f4a13c5d15b21e1884f5ff6247aeabb786b93bce61bc17d7"
        "68fd9732"
        "459018148f6cbe722fd04796562dfdb4"},
    {"draft-mcgrew-gcm-test-01: ESP, AES-256", "aes256gcm16",
        "abbccddef00112233445566778899aababbccddef00112233445566778899aab11223344", 0x4a2cbfe3, 2, false,
        false, "0102030405060708",
        "4500003069a6400080062690c0a801029389155e0a9e008b2dc57ee0000000007002400020bf0000"
        "020405b40101040201020201",
        "ff425c9b724599df7a3bcd510194e00d6a78107f1b0b1cbf06efae9d65a5d763748a637985771d347f05"
        "45659f14e99def842d8e"
        "b335f4eecfdbf831824b4c4915956c96"},
    {"GCM specification, test case 2", "aes128gcm16", "0000000000000000000000000000000000000000", 0, 0, false,
        true, "0000000000000000", "00000000000000000000000000000000",
        "0388dace60b6a392f328c2b971b2fe78ab6e47d42cec13bdf53a67b21257bddf"},
    {"GCM specification, test case 14", "aes256gcm16",
        "000000000000000000000000000000000000000000000000000000000000000000000000", 0, 0, false, true,
        "0000000000000000", "00000000000000000000000000000000",
        "cea7403d4d606b6e074ec5d3baf39d18d0d1c8a799996bf0265b98b5d48ab919"},
    {"GCM specification, test case 15", "aes256gcm16",
        "feffe9928665731c6d6a8f9467308308feffe9928665731c6d6a8f9467308308cafebabe", 0, 0, false, true,
        "facedbaddecaf888",
        "d9313225f88406e5a55909c5aff5269a86a7a9531534f7da2e4c303d8a318a721c3c0c95956809532fcf0e2449a6b525"
        "b16aedf5aa0de657ba637b391aafd255",
        "522dc1f099567d07f47f37a32a84427d643a8cdcbfe5c0c97598a2bd2555d1aa8cb08e48590dbb3da7b08b1056828838"
        "c5f61e6393ba7a0abcc9f662898015adb094dac5d93471bdec1a502270e3cc6c"},
};

static size_t unhex(const char *text, uint8_t *bytes)
{
	size_t length = strlen(text) / 2;

	for (size_t i = 0; i < length; i++) {
		unsigned value;

		cr_assert_eq(sscanf(text + 2 * i, "%2x", &value), 1);
		bytes[i] = (uint8_t)value;
	}
	return length;
}

struct fixture {
	IMB_MGR *mgr;
	const struct td_suite *suite;
	uint8_t schedule[2048] __attribute__((aligned(64)));
	uint8_t data[512], sealed[512];
	size_t length, sealed_length;
	struct td_crypt_op op;
};

static void prepare(struct fixture *f, const struct vector *vector)
{
	uint8_t key[64];
	size_t key_length = unhex(vector->key, key);

	f->mgr = td_suite_manager_create();
	cr_assert_not_null(f->mgr);
	int suite = td_dp_suite_find(vector->suite);
	cr_assert_geq(suite, 0);
	f->suite = td_suite_at((unsigned)suite);
	cr_assert_eq(key_length, f->suite->info.key_bytes);
	cr_assert_leq(f->suite->schedule_bytes, sizeof(f->schedule));
	f->suite->expand(f->mgr, key, f->schedule);
	f->length = unhex(vector->plaintext, f->data);
	f->sealed_length = unhex(vector->sealed, f->sealed);
	cr_assert_eq(f->sealed_length, f->length + f->suite->info.icv_bytes, "%s", vector->name);
	f->op = (struct td_crypt_op){.schedule = f->schedule, .data = f->data, .length = (uint32_t)f->length};
	memcpy(f->op.nonce, key + key_length - 4, 4);
	unhex(vector->iv, f->op.nonce + 4);
	if (!vector->no_aad)
		f->op.aad_length =
		    td_esp_aad(f->op.aad, rte_cpu_to_be_32(vector->spi), vector->sequence, vector->esn);
}

Test(suite, seals_as_published)
{
	for (size_t i = 0; i < sizeof(vectors) / sizeof(vectors[0]); i++) {
		struct fixture f;

		prepare(&f, &vectors[i]);
		f.op.icv = f.data + f.length;
		f.suite->seal(f.mgr, &f.op, 1);
		cr_expect_arr_eq(f.data, f.sealed, f.sealed_length, "%s", vectors[i].name);
		td_suite_manager_destroy(f.mgr);
	}
}

Test(suite, opens_as_published)
{
	for (size_t i = 0; i < sizeof(vectors) / sizeof(vectors[0]); i++) {
		struct fixture f;
		uint8_t plain[512];

		prepare(&f, &vectors[i]);
		memcpy(plain, f.data, f.length);
		memcpy(f.data, f.sealed, f.length);
		f.op.icv = f.sealed + f.length;
		f.suite->open(f.mgr, &f.op, 1);
		cr_expect(f.op.authentic, "%s", vectors[i].name);
		cr_expect_arr_eq(f.data, plain, f.length, "%s", vectors[i].name);
		td_suite_manager_destroy(f.mgr);
	}
}

// Every single bit of ICV, ciphertext, nonce and AAD counts.
Test(suite, refuses_every_flipped_bit)
{
	struct fixture f;

	prepare(&f, &vectors[0]);
	struct {
		uint8_t *bytes;
		size_t length;
	} parts[] = {
	    {f.sealed, f.sealed_length},
	    {f.op.nonce, sizeof(f.op.nonce)},
	    {f.op.aad, f.op.aad_length},
	};
	for (size_t p = 0; p < 3; p++)
		for (size_t bit = 0; bit < parts[p].length * 8; bit++) {
			parts[p].bytes[bit / 8] ^= (uint8_t)(1 << bit % 8);
			memcpy(f.data, f.sealed, f.length);
			f.op.icv = f.sealed + f.length;
			f.op.authentic = true;
			f.suite->open(f.mgr, &f.op, 1);
			cr_assert_not(f.op.authentic, "part %zu, bit %zu", p, bit);
			parts[p].bytes[bit / 8] ^= (uint8_t)(1 << bit % 8);
		}
	td_suite_manager_destroy(f.mgr);
}

Test(suite, table_is_consistent)
{
	for (unsigned i = 0; i < td_dp_suite_count(); i++) {
		const struct td_suite *suite = td_suite_at(i);

		cr_expect_eq(td_dp_suite_find(suite->info.name), (int)i);
		cr_expect_leq(suite->info.icv_bytes, TD_ICV_MAX_BYTES);
		cr_expect_leq(suite->info.key_bytes, TD_SECRET_MAX_BYTES);
		cr_expect_geq(suite->align, 4);
	}
	cr_expect_lt(td_dp_suite_find("aes128"), 0);
}

Test(esp, padding_counts_up)
{
	for (unsigned i = 0; i < TD_ESP_PAD_MAX; i++)
		cr_expect_eq(td_esp_padding[i], i + 1);
}

// RFC 6040 figure 4: rows are the inner field, columns the outer one; -1 is drop.
Test(esp, ecn_decapsulation)
{
	enum { NOT = 0, ECT1 = 1, ECT0 = 2, CE = 3 };
	static const int table[4][4] = {
	    // outer:   not  ect1  ect0  ce
	    [NOT] = {NOT, NOT, NOT, -1},
	    [ECT1] = {ECT1, ECT1, ECT1, CE},
	    [ECT0] = {ECT0, ECT1, ECT0, CE},
	    [CE] = {CE, CE, CE, CE},
	};

	for (uint8_t inner = 0; inner < 4; inner++)
		for (uint8_t outer = 0; outer < 4; outer++)
			cr_expect_eq(td_ecn_decapsulate(outer, inner), table[inner][outer],
			    "inner %u outer %u", inner, outer);
}
