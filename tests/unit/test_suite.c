// SPDX-License-Identifier: BSD-3-Clause
// The suites against published vectors and against packets that another implementation made
// (vectors/suites.py). Every packet lies in memory whose neighbouring pages cannot be touched.

#include "common/secret.h"
#include "dataplane/esp.h"
#include "dataplane/suite.h"

#include <criterion/criterion.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#define LENGTH_MAX 608
#define PACKET_MAX (8 + 16 + LENGTH_MAX + TD_ICV_MAX_BYTES)
#define SAS 4
#define HEX_MAX 2048

struct vector {
	const char *name, *suite;
	const char *key; // keying material
	const char *esp; // SPI, low half of the sequence number
	const char *high; // high half of an extended sequence number or "-"
	const char *iv; // or "-"
	const char *plain; // with padding and trailer
	const char *sealed; // data and ICV
};

static const struct vector published[] = {
    {"draft-mcgrew-gcm-test-01 2.1", "aes128gcm16", "4c80cdefbb5d10da906ac73c3613a6342e443b68",
        "0000432100000000", "87654321", "4956ed7e3b244cfe",
        "45000048699a000080114db7c0a80102c0a801010a9bf15638d3010000010000"
        "00000000045f736970045f756470037369700963796265726369747902646b0000210001"
        "01020201",
        "fecf537e729d5b07dc30df528dd22b768d1b98736696a6fd348509fa13ceac34"
        "cfa2436f14a3f3cf65925bf1f4a13c5d15b21e1884f5ff6247aeabb786b93bce61bc17d7"
        "68fd9732"
        "459018148f6cbe722fd04796562dfdb4"},
    {"draft-mcgrew-gcm-test-01, AES-256", "aes256gcm16",
        "abbccddef00112233445566778899aababbccddef00112233445566778899aab11223344", "4a2cbfe300000002", "-",
        "0102030405060708",
        "4500003069a6400080062690c0a801029389155e0a9e008b2dc57ee0000000007002400020bf0000"
        "020405b40101040201020201",
        "ff425c9b724599df7a3bcd510194e00d6a78107f1b0b1cbf06efae9d65a5d763748a637985771d347f05"
        "45659f14e99def842d8e"
        "b335f4eecfdbf831824b4c4915956c96"},
    {"draft-mcgrew-gcm-test-01, AES-GMAC", "aes128gmac", "4c80cdefbb5d10da906ac73c3613a63422433c64",
        "0000432100000007", "-", "0000000000000000",
        "45000030da3a00008001df3bc0a80005c0a800010800c6cd020007006162636465666768696a6b6c6d6e6f7071727374"
        "01020201",
        "45000030da3a00008001df3bc0a80005c0a800010800c6cd020007006162636465666768696a6b6c6d6e6f7071727374"
        "01020201"
        "f2a9a836e155106aa8dcd618e4099aaa"},
    {"RFC 7634 A", "chacha20poly1305",
        "808182838485868788898a8b8c8d8e8f909192939495969798999a9b9c9d9e9fa0a1a2a3", "0102030400000005", "-",
        "1011121314151617",
        "45000054a6f200004001e778c6336405c000020508005b7a3a080000553bec100007362708090a0b0c0d0e0f10111213"
        "1415161718191a1b1c1d1e1f202122232425262728292a2b2c2d2e2f303132333435363701020204",
        "24039428b97f417e3c13753a4f05087b67c352e6a7fab1b982d466ef407ae5c614ee8099d52844eb61aa95dfab4c02f7"
        "2aa71e7c4c4f64c9befe2facc638e8f3cbec163fac469b502773f6fb94e664da9165b82829f641e0"
        "76aaa8266b7fb0f7b11b369907e1ad43"},
    // The RFCs of CBC and CTR publish no ICV: the ones here are those of the integrity key 00 01 02 ...
    {"RFC 3602 case 5", "aes128-sha256",
        "90d382b410eeba7ad938c46cec1a82bf000102030405060708090a0b0c0d0e0f101112131415161718191a1b1c1d1e1f",
        "0000432100000001", "-", "e96e8c08ab465763fd098d45dd3ff893",
        "08000ebda70a00008e9c083db95b070008090a0b0c0d0e0f101112131415161718191a1b1c1d1e1f2021222324252627"
        "28292a2b2c2d2e2f30313233343536370102030405060708090a0b0c0d0e0e01",
        "f663c25d325c18c6a9453e194e120849a4870b66cc6b9965330013b4898dc856a4699e523a55db080b59ec3a8e4b7e52"
        "775b07d1db34ed9c538ab50c551b874aa269add047ad2d5913ac19b7cfbad4a6"
        "29dcb883222069e2a5465186d6e51f05"},
    {"RFC 3602 case 2", "aes128-sha256",
        "c286696d887c9aa0611bbb3e2025a45a000102030405060708090a0b0c0d0e0f101112131415161718191a1b1c1d1e1f",
        "0000432100000002", "-", "562e17996d093d28ddb3ba695a2e6f58",
        "000102030405060708090a0b0c0d0e0f101112131415161718191a1b1c1d1e1f",
        "d296cd94c2cccf8a3a863028b5e1dc0a7586602d253cfff91b8266bea6d61ab1"
        "50f839b420ce19435adf9df03dadc1db"},
    {"RFC 3686 vector 2", "aes128ctr-sha256",
        "7e24067817fae0d743d6ce1f32539163006cb6db"
        "000102030405060708090a0b0c0d0e0f101112131415161718191a1b1c1d1e1f",
        "0000432100000002", "-", "c0543b59da48d90b",
        "000102030405060708090a0b0c0d0e0f101112131415161718191a1b1c1d1e1f",
        "5104a106168a72d9790d41ee8edad388eb2e1efc46da57c8fce630df9141be28"
        "ba279012e3d3625dbb268306bf6a9363"},
    {"RFC 3686 vector 8", "aes256ctr-sha256",
        "f6d66d6bd52d59bb0796365879eff886c66dd51a5b6a99744b50590c87a2388400faac24"
        "000102030405060708090a0b0c0d0e0f101112131415161718191a1b1c1d1e1f",
        "0000432100000003", "-", "c1585ef15a43d875",
        "000102030405060708090a0b0c0d0e0f101112131415161718191a1b1c1d1e1f",
        "f05e231b3894612c49ee000b804eb2a9b8306b508f839d6a5530831d9344af1c"
        "67de7943bc8d6a67d9bae4a95ae932fb"},
    // "what do " in place of the ESP header, "ya want for nothing?" of the data.
    {"RFC 4868 2.7.2 AUTH256-2", "null-sha256",
        "4a6566654a6566654a6566654a6566654a6566654a6566654a6566654a656665", "7768617420646f20", "-", "-",
        "79612077616e7420666f72206e6f7468696e673f",
        "79612077616e7420666f72206e6f7468696e673f167f928588c5cc2eef8e3093caa0e87c"},
    {"RFC 4868 2.7.2 AUTH384-2", "null-sha384",
        "4a6566654a6566654a6566654a6566654a6566654a6566654a6566654a656665"
        "4a6566654a6566654a6566654a656665",
        "7768617420646f20", "-", "-", "79612077616e7420666f72206e6f7468696e673f",
        "79612077616e7420666f72206e6f7468696e673f2c7353974f1842fd66d53c452ca42122b28c0b594cfb184d"},
    {"RFC 4868 2.7.2 AUTH512-2", "null-sha512",
        "4a6566654a6566654a6566654a6566654a6566654a6566654a6566654a656665"
        "4a6566654a6566654a6566654a6566654a6566654a6566654a6566654a656665",
        "7768617420646f20", "-", "-", "79612077616e7420666f72206e6f7468696e673f",
        "79612077616e7420666f72206e6f7468696e673fcb370917ae8a7ce28cfd1d8f4705d6141c173b2a9362c15df235dfb2"
        "51b15454"},
};

// ---- fixtures ---------------------------------------------------------------------------------

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

TestSuite(suite, .init = setup, .fini = teardown);

// A packet between two pages without access: at the end of its page, or at the start.
struct slot {
	uint8_t *page;
	struct td_crypt_op op;
};

static struct slot slot_create(void)
{
	size_t page = (size_t)sysconf(_SC_PAGESIZE);
	uint8_t *map = mmap(NULL, 3 * page, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);

	cr_assert_neq(map, MAP_FAILED);
	cr_assert_eq(mprotect(map + page, page, PROT_READ | PROT_WRITE), 0);
	return (struct slot){.page = map + page};
}

static size_t packet_bytes(const struct td_suite *suite, uint32_t length)
{
	return sizeof(struct rte_esp_hdr) + suite->info.iv_bytes + length + suite->info.icv_bytes;
}

// Lays out an empty packet of length bytes of data.
static void slot_place(struct slot *slot, const struct td_suite *suite, uint32_t length, bool at_end)
{
	size_t page = (size_t)sysconf(_SC_PAGESIZE);
	uint8_t *esp = slot->page + (at_end ? page - packet_bytes(suite, length) : 0);

	memset(slot->page, 0, page);
	slot->op = (struct td_crypt_op){
	    .esp = esp,
	    .data = esp + sizeof(struct rte_esp_hdr) + suite->info.iv_bytes,
	    .length = length,
	};
}

static void sequence_set(struct td_crypt_op *op, uint64_t sequence)
{
	rte_be32_t header[2] = {rte_cpu_to_be_32(0xc0de1234), rte_cpu_to_be_32((uint32_t)sequence)};

	memcpy(op->esp, header, sizeof(header));
	op->sequence = sequence;
}

struct sa {
	uint8_t schedule[TD_SCHEDULE_MAX_BYTES] __attribute__((aligned(64)));
};

static void sa_expand(struct sa *sa, const struct td_suite *suite, unsigned seed)
{
	uint8_t key[TD_SECRET_MAX_BYTES];

	for (unsigned i = 0; i < sizeof(key); i++)
		key[i] = (uint8_t)(i * 29 + seed * 101 + 7);
	cr_assert_eq(suite->expand(mgr, key, sa->schedule), 0);
}

static void data_fill(struct td_crypt_op *op, unsigned seed)
{
	for (uint32_t i = 0; i < op->length; i++)
		op->data[i] = (uint8_t)(i * 7 + seed);
}

static bool data_is(const struct td_crypt_op *op, unsigned seed)
{
	for (uint32_t i = 0; i < op->length; i++)
		if (op->data[i] != (uint8_t)(i * 7 + seed))
			return false;
	return true;
}

static bool makes_unpredictable_ivs(const struct td_suite *suite)
{
	return suite->info.iv_bytes == 16;
}

// ESP's suites stand first in the table. AH's, which lay packets out in another way, are in test_ah.c.
static unsigned esp_count(void)
{
	unsigned count = 0;

	while (count < td_dp_suite_count() && td_dp_suite_info(count)->protocol == TD_SA_ESP)
		count++;
	return count;
}

// ---- vectors ----------------------------------------------------------------------------------

static size_t unhex(const char *text, uint8_t *bytes)
{
	if (strcmp(text, "-") == 0)
		return 0;
	size_t length = strlen(text) / 2;
	for (size_t i = 0; i < length; i++) {
		unsigned value;

		cr_assert_eq(sscanf(text + 2 * i, "%2x", &value), 1);
		bytes[i] = (uint8_t)value;
	}
	return length;
}

static const struct td_suite *suite_named(const char *name)
{
	int suite = td_dp_suite_find(TD_SA_ESP, name);

	cr_assert_geq(suite, 0, "%s", name);
	return td_suite_at((unsigned)suite);
}

// Lays out the packet of a vector, with the data given.
static void vector_place(
    struct slot *slot, struct sa *sa, const struct vector *vector, const char *data, bool at_end)
{
	const struct td_suite *suite = suite_named(vector->suite);
	uint8_t bytes[PACKET_MAX], sequence[8] = {0};
	uint64_t counter = 0;

	cr_assert_eq(unhex(vector->key, bytes), suite->info.key_bytes, "%s", vector->name);
	cr_assert_eq(suite->expand(mgr, bytes, sa->schedule), 0);
	slot_place(slot, suite, (uint32_t)strlen(vector->plain) / 2, at_end);
	slot->op.schedule = sa->schedule;
	slot->op.esn = strcmp(vector->high, "-") != 0;
	unhex(vector->esp, slot->op.esp);
	unhex(vector->high, sequence);
	memcpy(sequence + 4, slot->op.esp + 4, 4);
	memcpy(&slot->op.sequence, sequence, sizeof(sequence));
	slot->op.sequence = rte_be_to_cpu_64(slot->op.sequence);
	cr_assert_eq(unhex(vector->iv, slot->op.esp + 8), suite->info.iv_bytes, "%s", vector->name);
	memcpy(&counter, slot->op.esp + 8, suite->info.iv_bytes ? sizeof(counter) : 0);
	slot->op.counter = rte_be_to_cpu_64(counter);
	unhex(data, slot->op.data);
}

static void vector_open(struct slot *slot, struct sa *sa, const struct vector *vector, bool at_end)
{
	uint8_t plain[PACKET_MAX];

	vector_place(slot, sa, vector, vector->sealed, at_end);
	suite_named(vector->suite)->open(mgr, &slot->op, 1);
	cr_expect(slot->op.authentic, "%s does not open", vector->name);
	unhex(vector->plain, plain);
	cr_expect_arr_eq(slot->op.data, plain, slot->op.length, "%s opens wrongly", vector->name);
}

// Not for CBC, whose IV is not ours to choose: what it seals is opened by what the vectors have tried.
static void vector_seal(struct slot *slot, struct sa *sa, const struct vector *vector, bool at_end)
{
	const struct td_suite *suite = suite_named(vector->suite);
	uint8_t iv[16], sealed[PACKET_MAX];

	if (makes_unpredictable_ivs(suite))
		return;
	vector_place(slot, sa, vector, vector->plain, at_end);
	unhex(vector->iv, iv);
	memset(slot->op.esp + 8, 0xee, suite->info.iv_bytes);
	suite->seal(mgr, &slot->op, 1);
	cr_expect_arr_eq(slot->op.esp + 8, iv, suite->info.iv_bytes, "%s: IV", vector->name);
	size_t length = unhex(vector->sealed, sealed);
	cr_assert_eq(length, slot->op.length + suite->info.icv_bytes);
	cr_expect_arr_eq(slot->op.data, sealed, length, "%s seals wrongly", vector->name);
}

static void vector_try(const struct vector *vector)
{
	struct slot slot = slot_create();
	struct sa sa;

	for (int at_end = 0; at_end < 2; at_end++) {
		vector_seal(&slot, &sa, vector, at_end);
		vector_open(&slot, &sa, vector, at_end);
	}
}

Test(suite, agrees_with_published_vectors)
{
	for (size_t i = 0; i < sizeof(published) / sizeof(published[0]); i++)
		vector_try(&published[i]);
}

Test(suite, agrees_with_another_implementation)
{
	bool seen[64] = {false};
	char suite[64], key[HEX_MAX], esp[HEX_MAX], high[HEX_MAX], iv[HEX_MAX], plain[HEX_MAX],
	    sealed[HEX_MAX];
	char line[8 * HEX_MAX];
	FILE *file = fopen(TD_SOURCE_DIR "/tests/unit/vectors/suites.txt", "r");

	cr_assert_not_null(file);
	while (fgets(line, sizeof(line), file)) {
		struct vector vector = {line, suite, key, esp, high, iv, plain, sealed};

		if (line[0] == '#')
			continue;
		cr_assert_eq(sscanf(line, "%63s %2047s %2047s %2047s %2047s %2047s %2047s", suite, key, esp,
		                 high, iv, plain, sealed),
		    7, "%s", line);
		vector_try(&vector);
		seen[td_dp_suite_find(TD_SA_ESP, suite)] = true;
	}
	fclose(file);
	for (unsigned i = 0; i < esp_count(); i++)
		cr_expect(seen[i], "%s has no vector", td_dp_suite_info(i)->name);
}

// ---- bursts -----------------------------------------------------------------------------------

// Seals and opens one burst of mixed SAs, with and without ESN; lengths go on from *length.
static void burst_try(const struct td_suite *suite, struct slot *slots, const struct sa *sas, unsigned count,
    uint32_t *length, uint64_t *sequence)
{
	struct td_crypt_op ops[TD_BURST];
	uint8_t icvs[TD_BURST][TD_ICV_MAX_BYTES];

	for (unsigned i = 0; i < count; i++) {
		slot_place(&slots[i], suite, *length, (i + count) % 2);
		slots[i].op.schedule = sas[(i * 3 + count) % SAS].schedule;
		slots[i].op.esn = (i + count / 2) % 2;
		slots[i].op.counter = ++*sequence;
		sequence_set(&slots[i].op, *sequence);
		data_fill(&slots[i].op, i);
		ops[i] = slots[i].op;
		*length = *length + suite->align > LENGTH_MAX ? suite->align : *length + suite->align;
	}
	suite->seal(mgr, ops, count);
	cr_assert_eq(IMB_QUEUE_SIZE(mgr), 0);
	for (unsigned i = 0; i < count; i++)
		memcpy(icvs[i], ops[i].data + ops[i].length, suite->info.icv_bytes);
	// One wrong packet must not touch its neighbours.
	unsigned wrong = count / 2;
	ops[wrong].data[ops[wrong].length - 1] ^= 1;
	suite->open(mgr, ops, count);
	cr_assert_eq(IMB_QUEUE_SIZE(mgr), 0);
	for (unsigned i = 0; i < count; i++) {
		const char *name = suite->info.name;

		cr_assert_eq(
		    ops[i].authentic, i != wrong, "%s %u/%u, %u bytes", name, i, count, ops[i].length);
		cr_assert(
		    i == wrong || data_is(&ops[i], i), "%s %u/%u, %u bytes", name, i, count, ops[i].length);
		cr_assert_arr_eq(icvs[i], ops[i].data + ops[i].length, suite->info.icv_bytes, "%s", name);
	}
}

Test(suite, opens_what_it_seals_at_every_length_and_burst)
{
	struct slot slots[TD_BURST];
	struct sa sas[SAS];
	uint64_t sequence = 0x1fffffff0; // crosses into the next high half

	for (unsigned i = 0; i < TD_BURST; i++)
		slots[i] = slot_create();
	for (unsigned s = 0; s < esp_count(); s++) {
		const struct td_suite *suite = td_suite_at(s);
		uint32_t length = suite->align;

		for (unsigned i = 0; i < SAS; i++)
			sa_expand(&sas[i], suite, i);
		// 1 + 2 + ... + 32 packets are more than there are lengths.
		for (unsigned round = 0; round < 3; round++)
			for (unsigned count = 1; count <= TD_BURST; count++)
				burst_try(suite, slots, sas, count, &length, &sequence);
	}
}

// ---- refusals ---------------------------------------------------------------------------------

// A sealed packet and a copy of it to spoil.
struct specimen {
	const struct td_suite *suite;
	struct sa sa;
	struct slot slot;
	uint8_t sealed[PACKET_MAX];
};

static void specimen_create(struct specimen *s, unsigned suite, bool esn)
{
	s->suite = td_suite_at(suite);
	sa_expand(&s->sa, s->suite, suite);
	s->slot = slot_create();
	slot_place(&s->slot, s->suite, 48, true);
	s->slot.op.schedule = s->sa.schedule;
	s->slot.op.esn = esn;
	s->slot.op.counter = 99;
	sequence_set(&s->slot.op, 0x500000007);
	data_fill(&s->slot.op, 1);
	s->suite->seal(mgr, &s->slot.op, 1);
	memcpy(s->sealed, s->slot.op.esp, packet_bytes(s->suite, 48));
}

// Whether the packet opens with one bit flipped, as a receiver sees it: the low half of the sequence
// number comes from the packet.
static bool opens_flipped(struct specimen *s, size_t bit)
{
	struct td_crypt_op op = s->slot.op;
	rte_be32_t low;

	memcpy(op.esp, s->sealed, packet_bytes(s->suite, op.length));
	op.esp[bit / 8] ^= (uint8_t)(1 << bit % 8);
	memcpy(&low, op.esp + 4, sizeof(low));
	op.sequence = (op.sequence & ~(uint64_t)UINT32_MAX) | rte_be_to_cpu_32(low);
	op.authentic = true;
	s->suite->open(mgr, &op, 1);
	return op.authentic;
}

Test(suite, refuses_every_flipped_bit)
{
	for (unsigned i = 0; i < esp_count(); i++)
		for (int esn = 0; esn < 2; esn++) {
			struct specimen s;

			specimen_create(&s, i, esn);
			for (size_t bit = 0; bit < packet_bytes(s.suite, 48) * 8; bit++)
				cr_assert_not(opens_flipped(&s, bit), "%s, bit %zu", s.suite->info.name, bit);
		}
}

static bool opens_as(struct specimen *s, uint64_t sequence, bool esn)
{
	struct td_crypt_op op = s->slot.op;

	memcpy(op.esp, s->sealed, packet_bytes(s->suite, op.length));
	op.sequence = sequence;
	op.esn = esn;
	s->suite->open(mgr, &op, 1);
	return op.authentic;
}

Test(suite, authenticates_the_high_half_of_an_extended_sequence_number)
{
	for (unsigned i = 0; i < esp_count(); i++) {
		struct specimen with, without;
		const char *name = td_dp_suite_info(i)->name;

		specimen_create(&with, i, true);
		specimen_create(&without, i, false);
		cr_expect(opens_as(&with, 0x500000007, true), "%s", name);
		cr_expect_not(opens_as(&with, 0x500000007, false), "%s", name);
		cr_expect_not(opens_as(&without, 0x500000007, true), "%s", name);
		cr_expect(opens_as(&without, 0x600000007, false), "%s", name);
		for (unsigned bit = 32; bit < 64; bit++)
			cr_expect_not(opens_as(&with, 0x500000007 ^ UINT64_C(1) << bit, true), "%s", name);
	}
}

// ---- initialisation vectors -------------------------------------------------------------------

static void iv_make(const struct td_suite *suite, const struct sa *sa, uint64_t counter, uint8_t *iv)
{
	uint8_t packet[PACKET_MAX] = {0};
	struct td_crypt_op op = {
	    .schedule = sa->schedule,
	    .esp = packet,
	    .data = packet + 8 + suite->info.iv_bytes,
	    .length = suite->align,
	    .counter = counter,
	};

	suite->seal(mgr, &op, 1);
	memcpy(iv, packet + 8, suite->info.iv_bytes);
}

static unsigned bits_differing(const uint8_t *a, const uint8_t *b, unsigned length)
{
	unsigned count = 0;

	for (unsigned i = 0; i < length; i++)
		count += (unsigned)__builtin_popcount(a[i] ^ b[i]);
	return count;
}

// CVE-2022-46397: who sees one IV, or has the traffic key of another SA, must not guess the next.
Test(suite, cbc_ivs_are_unpredictable)
{
	for (unsigned i = 0; i < esp_count(); i++) {
		const struct td_suite *suite = td_suite_at(i);
		struct sa sas[2];
		uint8_t last[16], iv[16], other[16];

		if (!makes_unpredictable_ivs(suite))
			continue;
		sa_expand(&sas[0], suite, 5);
		sa_expand(&sas[1], suite, 5);
		iv_make(suite, &sas[0], 0, last);
		for (uint64_t counter = 1; counter < 200; counter++) {
			iv_make(suite, &sas[0], counter, iv);
			iv_make(suite, &sas[1], counter, other);
			// 64 of 128 are expected; fewer than 24 happen once in 10^13.
			cr_assert_geq(bits_differing(iv, last, 16), 24);
			cr_assert_geq(bits_differing(iv, other, 16), 24);
			memcpy(last, iv, sizeof(last));
		}
	}
}

Test(suite, counter_ivs_are_the_counter)
{
	for (unsigned i = 0; i < esp_count(); i++) {
		const struct td_suite *suite = td_suite_at(i);
		struct sa sa;
		uint8_t iv[16];
		static const uint8_t expected[8] = {1, 2, 3, 4, 5, 6, 7, 8};

		if (suite->info.iv_bytes != sizeof(expected))
			continue;
		sa_expand(&sa, suite, 1);
		iv_make(suite, &sa, 0x0102030405060708, iv);
		cr_expect_arr_eq(iv, expected, sizeof(expected), "%s", suite->info.name);
	}
}

// ---- table ------------------------------------------------------------------------------------

Test(suite, table_is_consistent)
{
	for (unsigned i = 0; i < td_dp_suite_count(); i++) {
		const struct td_suite *suite = td_suite_at(i);

		cr_expect_eq(td_dp_suite_find(suite->info.protocol, suite->info.name), (int)i);
		cr_expect_leq(suite->info.icv_bytes, TD_ICV_MAX_BYTES);
		cr_expect_eq(suite->info.icv_bytes % 8, 0);
		cr_expect_leq(suite->info.key_bytes, TD_SECRET_MAX_BYTES);
		cr_expect_leq(suite->schedule_bytes, TD_SCHEDULE_MAX_BYTES);
		cr_expect_eq(suite->info.iv_bytes % 4, 0);
		cr_expect_eq(suite->info.protocol, i < esp_count() ? TD_SA_ESP : TD_SA_AH);
		cr_expect(suite->info.protocol == TD_SA_AH || suite->align >= 4);
	}
	cr_expect_eq(td_dp_suite_count() - esp_count(), 6);
	cr_expect_neq(td_dp_suite_find(TD_SA_ESP, "aes128gmac"), td_dp_suite_find(TD_SA_AH, "aes128gmac"));
	cr_expect_lt(td_dp_suite_find(TD_SA_ESP, "sha256"), 0);
	cr_expect_lt(td_dp_suite_find(TD_SA_AH, "aes128gcm16"), 0);
	cr_expect_lt(td_dp_suite_find(TD_SA_ESP, "aes128"), 0);
}

Test(suite, needs_what_the_processor_has)
{
	for (unsigned i = 0; i < td_dp_suite_count(); i++)
		cr_expect_eq(td_dp_suite_available(i), (td_suite_at(i)->features & ~mgr->features) == 0, "%s",
		    td_dp_suite_info(i)->name);
}

// ---- ESP --------------------------------------------------------------------------------------

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
