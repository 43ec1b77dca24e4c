// SPDX-License-Identifier: BSD-3-Clause
// PRF, Diffie-Hellman and keys of IKEv2 against published vectors and against those of vectors/ike.py.
#include "control/ike/crypto.h"
#include "tests/unit/ike_vectors.h"

#include <criterion/criterion.h>

#include <openssl/bn.h>
#include <openssl/sha.h>

#include <errno.h>
#include <string.h>

#define COUNT(array) (sizeof(array) / sizeof((array)[0]))

static void random_fill(void *context, void *bytes, size_t length)
{
	(void)context;
	memset(bytes, 1, length);
}

static const struct td_ike_random any = {.fill = random_fill};

// ---- PRF --------------------------------------------------------------------------------------

static const char long_key[] =
    "aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa"
    "aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa"
    "aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa"; // 131 bytes

// RFC 4231 4.2 to 4.7 without 4.6, whose outputs are truncated.
static const struct {
	const char *key, *data;
	const char *sha256, *sha384, *sha512;
} hmacs[] = {
    {"0b0b0b0b0b0b0b0b0b0b0b0b0b0b0b0b0b0b0b0b", "4869205468657265",
        "b0344c61d8db38535ca8afceaf0bf12b881dc200c9833da726e9376c2e32cff7",
        "afd03944d84895626b0825f4ab46907f15f9dadbe4101ec682aa034c7cebc59cfaea9ea9076ede7f4af152e8b2fa9cb6",
        "87aa7cdea5ef619d4ff0b4241a1d6cb02379f4e2ce4ec2787ad0b30545e17cdedaa833b7d6b8a702038b274eaea3f4e4"
        "be9d914eeb61f1702e696c203a126854"},
    {"4a656665", "7768617420646f2079612077616e7420666f72206e6f7468696e673f",
        "5bdcc146bf60754e6a042426089575c75a003f089d2739839dec58b964ec3843",
        "af45d2e376484031617f78d2b58a6b1b9c7ef464f5a01b47e42ec3736322445e8e2240ca5e69e2c78b3239ecfab21649",
        "164b7a7bfcf819e2e395fbe73b56e0a387bd64222e831fd610270cd7ea2505549758bf75c05a994a6d034f65f8f0e6fd"
        "caeab1a34d4a6b4b636e070a38bce737"},
    {"aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa",
        "ddddddddddddddddddddddddddddddddddddddddddddddddddddddddddddddddddddddddddddddddddddddddddddddddddd"
        "d",
        "773ea91e36800e46854db8ebd09181a72959098b3ef8c122d9635514ced565fe",
        "88062608d3e6ad8a0aa2ace014c8a86f0aa635d947ac9febe83ef4e55966144b2a5ab39dc13814b94e3ab6e101a34f27",
        "fa73b0089d56a284efb0f0756c890be9b1b5dbdd8ee81a3655f83e33b2279d39bf3e848279a722c806b485a47e67c807"
        "b946a337bee8942674278859e13292fb"},
    {"0102030405060708090a0b0c0d0e0f10111213141516171819",
        "cdcdcdcdcdcdcdcdcdcdcdcdcdcdcdcdcdcdcdcdcdcdcdcdcdcdcdcdcdcdcdcdcdcdcdcdcdcdcdcdcdcdcdcdcdcdcdcdcdc"
        "d",
        "82558a389a443c0ea4cc819899f2083a85f0faa3e578f8077a2e3ff46729665b",
        "3e8a69b7783c25851933ab6290af6ca77a9981480850009cc5577c6e1f573b4e6801dd23c4a7d679ccf8a386c674cffb",
        "b0ba465637458c6990e5a8c5f61d4af7e576d97ff94b872de76f8050361ee3dba91ca5c11aa25eb4d679275cc5788063"
        "a5f19741120c4f2de2adebeb10a298dd"},
    {long_key,
        "54657374205573696e67204c6172676572205468616e20426c6f636b2d53697a65204b6579202d2048617368204b65792046"
        "69"
        "727374",
        "60e431591ee0b67f0d8a26aacbf5b77f8e0bc6213728c5140546040f0ee37f54",
        "4ece084485813e9088d2c63a041bc5b44f9ef1012a2b588f3cd11f05033ac4c60c2ef6ab4030fe8296248df163f44952",
        "80b24263c7c1a3ebb71493c1dd7be8b49b46d1f41b4aeec1121b013783f8f3526b56d037e05f2598bd0fd2215d6a1e52"
        "95e64f73f63f0aec8b915a985d786598"},
};

Test(prf, agrees_with_rfc_4231)
{
	static const uint16_t ids[] = {TD_PRF_SHA2_256, TD_PRF_SHA2_384, TD_PRF_SHA2_512};

	for (size_t i = 0; i < COUNT(hmacs); i++) {
		const char *const expected[] = {hmacs[i].sha256, hmacs[i].sha384, hmacs[i].sha512};
		uint8_t memory[3][256], out[TD_PRF_MAX_BYTES];
		struct td_bytes key = unhex(hmacs[i].key, memory[0], 256);
		struct td_bytes data = unhex(hmacs[i].data, memory[1], 256);

		for (unsigned j = 0; j < COUNT(ids); j++) {
			struct td_bytes right = unhex(expected[j], memory[2], 256);

			cr_assert_eq(right.length, td_prf_bytes(ids[j]));
			// In two parts, wherever they are cut.
			for (size_t cut = 0; cut <= data.length; cut++) {
				const struct td_bytes parts[] = {
				    {data.data, cut}, {NULL, 0}, {data.data + cut, data.length - cut}};

				cr_assert_eq(td_prf(ids[j], key, parts, 3, out), 0);
				cr_assert_arr_eq(out, right.data, right.length, "row %zu, PRF %u, cut %zu", i,
				    ids[j], cut);
			}
		}
	}
}

Test(prf, takes_an_empty_key)
{
	static const char expected[] = "b613679a0814d9ec772f95d778c35fc5ff1697c493715653c6c712144292c5ad";
	uint8_t right[32], out[TD_PRF_MAX_BYTES];

	// HMAC-SHA-256 of nothing under nothing; twice, for a key must not stay from the time before.
	for (int i = 0; i < 2; i++) {
		cr_assert_eq(td_prf(TD_PRF_SHA2_256, (struct td_bytes){NULL, 0}, NULL, 0, out), 0);
		unhex(expected, right, sizeof(right));
		cr_expect_arr_eq(out, right, sizeof(right));
		td_prf(TD_PRF_SHA2_256, (struct td_bytes){right, 32}, NULL, 0, out);
	}
}

Test(prf, refuses_what_is_not_known)
{
	const struct td_bytes key = {(const uint8_t *)"key", 3};
	static uint8_t out[255 * 32 + 1];

	cr_expect_eq(td_prf_bytes(2), 0); // HMAC-SHA1
	cr_expect_eq(td_prf(2, key, &key, 1, out), -EIO);
	cr_expect_eq(td_prf_plus(2, key, &key, 1, out, 10), -EIO);
	cr_expect_eq(td_prf_plus(TD_PRF_SHA2_256, key, &key, 1, out, sizeof(out)), -EIO, "256 outputs");
	cr_expect_eq(td_prf_plus(TD_PRF_SHA2_256, key, &key, 1, out, sizeof(out) - 1), 0, "255 outputs");
}

// prf, key, seed, length, output or its SHA-256.
static void prf_plus_check(const struct vector *vector)
{
	static uint8_t out[255 * TD_PRF_MAX_BYTES];
	uint8_t digest[SHA256_DIGEST_LENGTH];
	uint16_t prf = (uint16_t)vector->fields[0].number;
	struct td_bytes seed = vector->fields[2].bytes, right = vector->fields[4].bytes;
	size_t length = (size_t)vector->fields[3].number;
	const struct td_bytes parts[] = {{seed.data, 7}, {seed.data + 7, seed.length - 7}};

	cr_assert_eq(td_prf_plus(prf, vector->fields[1].bytes, parts, 2, out, length), 0);
	cr_expect_arr_eq(right.length == length ? out : SHA256(out, length, digest), right.data, right.length,
	    "PRF %u, %zu bytes", prf, length);
}

Test(prf, plus_agrees_with_another_implementation)
{
	vectors_each("prfplus", 18, prf_plus_check);
}

Test(prf, sha1_agrees_with_fips_180)
{
	const struct td_bytes parts[] = {{(const uint8_t *)"a", 1}, {NULL, 0}, {(const uint8_t *)"bc", 2}};
	uint8_t right[20], out[20];

	unhex("a9993e364706816aba3e25717850c26c9cd0d89d", right, sizeof(right));
	cr_assert_eq(td_sha1(parts, 3, out), 0);
	cr_expect_arr_eq(out, right, 20);
}

// ---- Diffie-Hellman ---------------------------------------------------------------------------

static const uint16_t groups[] = {
    TD_DH_MODP_2048, TD_DH_MODP_3072, TD_DH_ECP_256, TD_DH_ECP_384, TD_DH_ECP_521, TD_DH_X25519};

// RFC 7748 6.1 and RFC 5903 8.1 to 8.3.
static const struct {
	uint16_t group;
	const char *private_i, *public_i, *private_r, *public_r, *shared;
} agreements[] = {
    {TD_DH_X25519, "77076d0a7318a57d3c16c17251b26645df4c2f87ebc0992ab177fba51db92c2a",
        "8520f0098930a754748b7ddcb43ef75a0dbf3a0d26381af4eba4a98eaa9b4e6a",
        "5dab087e624a8a4b79e17f8b83800ee66f3bb1292618b6fd1c2f8b27ff88e0eb",
        "de9edb7d7b7dc1b4d35b61c2ece435373f8343c85b78674dadfc7e146f882b4f",
        "4a5d9d5ba4ce2de1728e3bf480350f25e07e21c947d19e3376f09b3c1e161742"},
    {TD_DH_ECP_256, "c88f01f510d9ac3f70a292daa2316de544e9aab8afe84049c62a9c57862d1433",
        "dad0b65394221cf9b051e1feca5787d098dfe637fc90b9ef945d0c3772581180"
        "5271a0461cdb8252d61f1c456fa3e59ab1f45b33accf5f58389e0577b8990bb3",
        "c6ef9c5d78ae012a011164acb397ce2088685d8f06bf9be0b283ab46476bee53",
        "d12dfb5289c8d4f81208b70270398c342296970a0bccb74c736fc7554494bf63"
        "56fbf3ca366cc23e8157854c13c58d6aac23f046ada30f8353e74f33039872ab",
        "d6840f6b42f6edafd13116e0e12565202fef8e9ece7dce03812464d04b9442de"},
    {TD_DH_ECP_384,
        "099f3c7034d4a2c699884d73a375a67f7624ef7c6b3c0f160647b67414dce655e35b538041e649ee3faef896783ab194",
        "667842d7d180ac2cde6f74f37551f55755c7645c20ef73e31634fe72b4c55ee6de3ac808acb4bdb4c88732aee95f41aa"
        "9482ed1fc0eeb9cafc4984625ccfc23f65032149e0e144ada024181535a0f38eeb9fcff3c2c947dae69b4c634573a81c",
        "41cb0779b4bdb85d47846725fbec3c9430fab46cc8dc5060855cc9bda0aa2942e0308312916b8ed2960e4bd55a7448fc",
        "e558dbef53eecde3d3fccfc1aea08a89a987475d12fd950d83cfa41732bc509d0d1ac43a0336def96fda41d0774a3571"
        "dcfbec7aacf3196472169e838430367f66eebe3c6e70c416dd5f0c68759dd1fff83fa40142209dff5eaad96db9e6386c",
        "11187331c279962d93d604243fd592cb9d0a926f422e47187521287e7156c5c4d603135569b9e9d09cf5d4a270f59746"},
    {TD_DH_ECP_521,
        "0037ade9319a89f4dabdb3ef411aaccca5123c61acab57b5393dce47608172a095aa85a30fe1c2952c6771d937ba9777f595"
        "7b2639bab072462f68c27a57382d4a52",
        "0015417e84dbf28c0ad3c278713349dc7df153c897a1891bd98bab4357c9ecbee1e3bf42e00b8e380aeae57c2d1075649418"
        "85942af5a7f4601723c4195d176ced3e"
        "017cae20b6641d2eeb695786d8c946146239d099e18e1d5a514c739d7cb4a10ad8a788015ac405d7799dc75e7b7d5b6cf226"
        "1a6a7f1507438bf01beb6ca3926f9582",
        "0145ba99a847af43793fdd0e872e7cdfa16be30fdc780f97bccc3f078380201e9c677d600b343757a3bdbf2a3163e4c2f869"
        "cca7458aa4a4effc311f5cb151685eb9",
        "00d0b3975ac4b799f5bea16d5e13e9af971d5e9b984c9f39728b5e5739735a219b97c356436adc6e95bb0352f6be64a6c291"
        "2d4ef2d0433ced2b6171640012d9460f"
        "015c68226383956e3bd066e797b623c27ce0eac2f551a10c2c724d9852077b87220b6536c5c408a1d2aebb8e86d678ae49cb"
        "57091f4732296579ab44fcd17f0fc56a",
        "01144c7d79ae6956bc8edb8e7c787c4521cb086fa64407f97894e5e6b2d79b04d1427e73ca4baa240a34786859810c06b3c7"
        "15a3a8cc3151f2bee417996d19f3ddea"},
};

static void agreement_check(uint16_t group, struct td_bytes private_value, struct td_bytes public_value,
    struct td_bytes peer, struct td_bytes right)
{
	struct td_dh *dh = td_dh_import(group, private_value, public_value);
	uint8_t shared[TD_DH_SHARED_MAX_BYTES];
	size_t length = 0;

	cr_assert_not_null(dh, "group %u", group);
	cr_expect_eq(td_dh_group(dh), group);
	cr_assert_eq(td_dh_public(dh).length, public_value.length);
	cr_expect_arr_eq(td_dh_public(dh).data, public_value.data, public_value.length, "group %u", group);
	cr_assert_eq(td_dh_agree(dh, peer, shared, &length), 0, "group %u", group);
	cr_assert_eq(length, right.length, "group %u", group);
	cr_expect_arr_eq(shared, right.data, length, "group %u", group);
	td_dh_free(dh);
}

Test(dh, agrees_with_published_vectors)
{
	for (size_t i = 0; i < COUNT(agreements); i++) {
		uint8_t memory[5][256];
		struct td_bytes private_i = unhex(agreements[i].private_i, memory[0], 256);
		struct td_bytes public_i = unhex(agreements[i].public_i, memory[1], 256);
		struct td_bytes private_r = unhex(agreements[i].private_r, memory[2], 256);
		struct td_bytes public_r = unhex(agreements[i].public_r, memory[3], 256);
		struct td_bytes shared = unhex(agreements[i].shared, memory[4], 256);

		agreement_check(agreements[i].group, private_i, public_i, public_r, shared);
		agreement_check(agreements[i].group, private_r, public_r, public_i, shared);
	}
}

static unsigned modp_zeros; // vectors with a leading zero byte

static void modp_check(const struct vector *vector)
{
	struct td_bytes public_value = vector->fields[2].bytes, shared = vector->fields[4].bytes;

	modp_zeros += public_value.data[0] == 0 || shared.data[0] == 0;
	agreement_check((uint16_t)vector->fields[0].number, vector->fields[1].bytes, public_value,
	    vector->fields[3].bytes, shared);
}

Test(dh, modp_keeps_leading_zeros)
{
	vectors_each("modp", 4, modp_check);
	cr_expect_eq(modp_zeros, 4);
}

Test(dh, two_sides_agree)
{
	for (size_t i = 0; i < COUNT(groups); i++) {
		struct td_dh *a = td_dh_create(groups[i]), *b = td_dh_create(groups[i]);
		uint8_t shared_a[TD_DH_SHARED_MAX_BYTES], shared_b[TD_DH_SHARED_MAX_BYTES];
		size_t length_a, length_b;

		cr_assert(td_dh_known(groups[i]));
		cr_assert(a && b, "group %u", groups[i]);
		cr_expect(!td_bytes_equal(td_dh_public(a), td_dh_public(b)), "group %u", groups[i]);
		cr_assert_eq(td_dh_agree(a, td_dh_public(b), shared_a, &length_a), 0);
		cr_assert_eq(td_dh_agree(b, td_dh_public(a), shared_b, &length_b), 0);
		cr_assert_eq(length_a, length_b);
		cr_expect_arr_eq(shared_a, shared_b, length_a, "group %u", groups[i]);
		td_dh_free(a);
		td_dh_free(b);
	}
}

Test(dh, refuses_groups_that_are_not_known)
{
	cr_expect(!td_dh_known(TD_DH_NONE));
	cr_expect(!td_dh_known(2));
	cr_expect_null(td_dh_create(2));
	cr_expect_null(td_dh_create(TD_DH_NONE));
	td_dh_free(NULL);
}

static void refused(struct td_dh *dh, const uint8_t *value, size_t bytes, const char *what)
{
	uint8_t shared[TD_DH_SHARED_MAX_BYTES];
	size_t length = 4711;

	cr_expect_eq(td_dh_agree(dh, (struct td_bytes){value, bytes}, shared, &length), -EBADMSG,
	    "group %u, %s", td_dh_group(dh), what);
	cr_expect_eq(length, 4711);
}

Test(dh, refuses_values_of_a_wrong_length)
{
	for (size_t i = 0; i < COUNT(groups); i++) {
		struct td_dh *dh = td_dh_create(groups[i]), *other = td_dh_create(groups[i]);
		uint8_t value[TD_DH_PUBLIC_MAX_BYTES + 1] = {0};
		size_t length = td_dh_public(other).length;

		refused(dh, value, 0, "nothing");
		memcpy(value, td_dh_public(other).data, length);
		refused(dh, value, length - 1, "a byte less");
		refused(dh, value, length + 1, "a byte more");
		// libcrypto's own form of a point.
		memmove(value + 1, value, length);
		value[0] = 4;
		refused(dh, value, length + 1, "an encoded point");
		refused(dh, value, 1, "infinity");
		td_dh_free(dh);
		td_dh_free(other);
	}
}

// p and what stands beside it. The last 64 bits of p in RFC 3526 are all ones.
Test(dh, modp_refuses_values_out_of_range)
{
	static const struct {
		const char *name;
		int first; // of the first byte: 0, or 0xff to start from p - 1
		int delta; // added to the last byte
		bool bad;
	} values[] = {
	    {"0", 0, 0, true},
	    {"1", 0, 1, true},
	    {"2", 0, 2, false},
	    {"p - 2", 0xff, -1, false},
	    {"p - 1", 0xff, 0, true},
	    {"p", 0xff, 1, true},
	};

	for (unsigned i = 0; i < 2; i++) {
		struct td_dh *dh = td_dh_create(groups[i]);
		size_t length = td_dh_public(dh).length;
		BIGNUM *prime = groups[i] == TD_DH_MODP_2048 ? BN_get_rfc3526_prime_2048(NULL)
		                                             : BN_get_rfc3526_prime_3072(NULL);

		for (size_t j = 0; j < COUNT(values); j++) {
			uint8_t value[TD_DH_PUBLIC_MAX_BYTES] = {0}, shared[TD_DH_SHARED_MAX_BYTES];
			size_t got;

			if (values[j].first)
				cr_assert_eq(BN_bn2binpad(prime, value, (int)length), (int)length);
			// p is odd and ends in 0xff: p - 1 is one less.
			value[length - 1] =
			    (uint8_t)(value[length - 1] - (values[j].first ? 1 : 0) + values[j].delta);
			if (values[j].bad)
				refused(dh, value, length, values[j].name);
			else
				cr_expect_eq(td_dh_agree(dh, (struct td_bytes){value, length}, shared, &got),
				    0, "%s", values[j].name);
		}
		// Larger than p.
		uint8_t all_ones[TD_DH_PUBLIC_MAX_BYTES];
		memset(all_ones, 0xff, sizeof(all_ones));
		refused(dh, all_ones, length, "more than p");
		BN_free(prime);
		td_dh_free(dh);
	}
}

Test(dh, ecp_refuses_what_is_not_on_the_curve)
{
	for (size_t i = 0; i < COUNT(groups); i++) {
		if (groups[i] < TD_DH_ECP_256 || groups[i] > TD_DH_ECP_521)
			continue;
		struct td_dh *dh = td_dh_create(groups[i]), *other = td_dh_create(groups[i]);
		size_t length = td_dh_public(other).length;
		uint8_t value[TD_DH_PUBLIC_MAX_BYTES] = {0};

		refused(dh, value, length, "(0, 0)");
		memset(value, 0xff, length);
		refused(dh, value, length, "coordinates beyond the field");
		memcpy(value, td_dh_public(other).data, length);
		value[length - 1] ^= 1;
		refused(dh, value, length, "y off by one bit");
		value[length - 1] ^= 1;
		value[length / 2 - 1] ^= 1;
		refused(dh, value, length, "x off by one bit");
		td_dh_free(dh);
		td_dh_free(other);
	}
}

// A coordinate plus p is the same point, and must be refused all the same (RFC 6989 2.3).
Test(dh, ecp_refuses_a_coordinate_that_is_not_reduced)
{
	// On P-256, x = 5 has a point; x = p + 5 fits into 32 bytes.
	static const char point[] = "ffffffff00000001000000000000000000000001000000000000000000000004"
	                            "459243b9aa581806fe913bce99817ade11ca503c64d9a3c533415c083248fbcc";
	static const char reduced[] = "0000000000000000000000000000000000000000000000000000000000000005"
	                              "459243b9aa581806fe913bce99817ade11ca503c64d9a3c533415c083248fbcc";
	struct td_dh *dh = td_dh_create(TD_DH_ECP_256);
	uint8_t value[64], shared[TD_DH_SHARED_MAX_BYTES];
	size_t length;

	cr_assert_eq(td_dh_agree(dh, unhex(reduced, value, sizeof(value)), shared, &length), 0);
	unhex(point, value, sizeof(value));
	refused(dh, value, sizeof(value), "x + p");
	td_dh_free(dh);
}

// RFC 7748 6.1: whoever sends one of these makes the result zero whatever our key is. The list is of the
// points of low order and their other writings (https://cr.yp.to/ecdh.html).
static const char *const low_order[] = {
    "0000000000000000000000000000000000000000000000000000000000000000",
    "0100000000000000000000000000000000000000000000000000000000000000",
    "e0eb7a7c3b41b8ae1656e3faf19fc46ada098deb9c32b1fd866205165f49b800",
    "5f9c95bca3508c24b1d0b1559c83ef5b04445cc4581c8e86d8224eddd09f1157",
    "ecffffffffffffffffffffffffffffffffffffffffffffffffffffffffffff7f",
    "edffffffffffffffffffffffffffffffffffffffffffffffffffffffffffff7f",
    "eeffffffffffffffffffffffffffffffffffffffffffffffffffffffffffff7f",
    "0000000000000000000000000000000000000000000000000000000000000080",
    "0100000000000000000000000000000000000000000000000000000000000080",
};

Test(dh, x25519_refuses_points_of_low_order)
{
	struct td_dh *dh = td_dh_create(TD_DH_X25519);

	for (size_t i = 0; i < COUNT(low_order); i++) {
		uint8_t value[32];

		unhex(low_order[i], value, sizeof(value));
		refused(dh, value, sizeof(value), low_order[i]);
	}
	td_dh_free(dh);
}

// ---- keys -------------------------------------------------------------------------------------

static void key_check(const uint8_t **stream, const struct td_secret *key, size_t length, const char *name)
{
	cr_assert_eq(key->length, length, "%s: %zu", name, key->length);
	cr_expect_arr_eq(key->bytes, *stream, length, "%s", name);
	*stream += length;
}

// encr, bits, integ, prf, old prf, old SK_d, shared, nonces, SPIs, all keys in one.
static void derive_check(const struct vector *vector)
{
	const struct td_ike_suite suite = {.protocol = TD_IKE_PROTO_IKE,
	    .encr = (uint16_t)vector->fields[0].number,
	    .key_bits = (uint16_t)vector->fields[1].number,
	    .integ = (uint16_t)vector->fields[2].number,
	    .prf = (uint16_t)vector->fields[3].number,
	    .dh = TD_DH_X25519};
	uint16_t old_prf = (uint16_t)vector->fields[4].number;
	struct td_secret old_d = {.length = vector->fields[5].bytes.length};
	struct td_cursor spis = td_cursor_of(vector->fields[9].bytes);
	const uint8_t *next = vector->fields[10].bytes.data;
	size_t prf = td_prf_bytes(suite.prf);
	size_t a = suite.integ ? 32 + 16 * (suite.integ - TD_INTEG_SHA2_256_128) : 0;
	size_t e = (suite.key_bits ? suite.key_bits / 8 : 32) + (suite.integ ? 0 : 4);
	struct td_ike_keys keys;
	uint64_t spi_i, spi_r;

	memcpy(old_d.bytes, vector->fields[5].bytes.data, old_d.length);
	td_cursor_u64(&spis, &spi_i);
	td_cursor_u64(&spis, &spi_r);
	cr_expect(td_ike_suite_usable(&suite));
	cr_assert_eq(
	    td_ike_keys_derive(&suite, vector->fields[6].bytes, vector->fields[7].bytes,
	        vector->fields[8].bytes, spi_i, spi_r, old_prf ? &old_d : NULL, old_prf, &any, &keys),
	    0);
	key_check(&next, &keys.d, prf, "SK_d");
	key_check(&next, &keys.a_i, a, "SK_ai");
	key_check(&next, &keys.a_r, a, "SK_ar");
	key_check(&next, &keys.e_i, e, "SK_ei");
	key_check(&next, &keys.e_r, e, "SK_er");
	key_check(&next, &keys.p_i, prf, "SK_pi");
	key_check(&next, &keys.p_r, prf, "SK_pr");
	cr_expect_eq(next, vector->fields[10].bytes.data + vector->fields[10].bytes.length);
	td_ike_keys_wipe(&keys);
	for (size_t i = 0; i < sizeof(keys); i++)
		cr_assert_eq(((const uint8_t *)&keys)[i], 0, "byte %zu is left", i);
}

Test(keys, of_an_ike_sa_agree_with_another_implementation)
{
	vectors_each("derive", 13, derive_check);
}

// prf, SK_d, shared, nonces, both keys in one.
static void child_check(const struct vector *vector)
{
	struct td_ike_keys keys = {
	    .prf = (uint16_t)vector->fields[0].number, .d.length = vector->fields[1].bytes.length};
	size_t key_bytes = vector->fields[5].bytes.length / 2;
	const uint8_t *next = vector->fields[5].bytes.data;
	struct td_secret initiator, responder;

	memcpy(keys.d.bytes, vector->fields[1].bytes.data, keys.d.length);
	cr_assert_eq(td_ike_child_keys(&keys, vector->fields[2].bytes, vector->fields[3].bytes,
	                 vector->fields[4].bytes, key_bytes, &initiator, &responder),
	    0);
	key_check(&next, &initiator, key_bytes, "the initiator's");
	key_check(&next, &responder, key_bytes, "the responder's");
}

Test(keys, of_a_child_agree_with_another_implementation)
{
	vectors_each("child", 12, child_check);
}

Test(keys, of_a_child_have_a_limit)
{
	struct td_ike_keys keys = {.prf = TD_PRF_SHA2_256, .d.length = 32};
	const struct td_bytes nonce = {(const uint8_t *)"0123456789abcdef", 16}, none = {0};
	struct td_secret a, b;

	cr_expect_eq(td_ike_child_keys(&keys, none, nonce, nonce, TD_SECRET_MAX_BYTES, &a, &b), 0);
	cr_expect_eq(td_ike_child_keys(&keys, none, nonce, nonce, TD_SECRET_MAX_BYTES + 1, &a, &b), -EIO);
	cr_expect_eq(a.length, 0);
	cr_expect_eq(b.length, 0);
}

static const struct {
	const char *name;
	struct td_ike_suite suite;
	bool usable;
} suites[] = {
    {"GCM", {TD_IKE_PROTO_IKE, TD_ENCR_AES_GCM_16, 128, 5, TD_INTEG_NONE, TD_DH_X25519, false}, true},
    {"CBC", {TD_IKE_PROTO_IKE, TD_ENCR_AES_CBC, 256, 7, TD_INTEG_SHA2_512_256, TD_DH_ECP_521, false}, true},
    {"ChaCha", {TD_IKE_PROTO_IKE, TD_ENCR_CHACHA20_POLY1305, 0, 5, TD_INTEG_NONE, TD_DH_ECP_256, false},
        true},
    {"of ESP", {TD_IKE_PROTO_ESP, TD_ENCR_AES_GCM_16, 128, 5, TD_INTEG_NONE, TD_DH_X25519, false}, false},
    {"no DH", {TD_IKE_PROTO_IKE, TD_ENCR_AES_GCM_16, 128, 5, TD_INTEG_NONE, TD_DH_NONE, false}, false},
    {"no PRF", {TD_IKE_PROTO_IKE, TD_ENCR_AES_GCM_16, 128, 0, TD_INTEG_NONE, TD_DH_X25519, false}, false},
    {"PRF of SHA-1", {TD_IKE_PROTO_IKE, TD_ENCR_AES_GCM_16, 128, 2, TD_INTEG_NONE, TD_DH_X25519, false},
        false},
    {"AEAD and integrity", {TD_IKE_PROTO_IKE, TD_ENCR_AES_GCM_16, 128, 5, 12, TD_DH_X25519, false}, false},
    {"CBC alone", {TD_IKE_PROTO_IKE, TD_ENCR_AES_CBC, 128, 5, TD_INTEG_NONE, TD_DH_X25519, false}, false},
    {"CBC of no length", {TD_IKE_PROTO_IKE, TD_ENCR_AES_CBC, 0, 5, 12, TD_DH_X25519, false}, false},
    {"GCM of 64 bits", {TD_IKE_PROTO_IKE, TD_ENCR_AES_GCM_16, 64, 5, TD_INTEG_NONE, TD_DH_X25519, false},
        false},
    {"CTR", {TD_IKE_PROTO_IKE, TD_ENCR_AES_CTR, 128, 5, 12, TD_DH_X25519, false}, false},
    {"NULL", {TD_IKE_PROTO_IKE, TD_ENCR_NULL, 0, 5, 12, TD_DH_X25519, false}, false},
    {"HMAC-SHA1-96", {TD_IKE_PROTO_IKE, TD_ENCR_AES_CBC, 128, 5, 2, TD_DH_X25519, false}, false},
};

Test(keys, only_of_usable_suites)
{
	static const uint8_t some[300] = {1};
	const struct td_bytes nonce = {some, 32};

	for (size_t i = 0; i < COUNT(suites); i++) {
		const struct td_ike_suite *suite = &suites[i].suite;
		bool derivable =
		    suite->protocol == TD_IKE_PROTO_ESP || suite->dh == TD_DH_NONE || suites[i].usable;
		struct td_ike_keys keys;

		cr_expect_eq(td_ike_suite_usable(suite), suites[i].usable, "%s", suites[i].name);
		cr_expect_eq(td_ike_keys_derive(suite, nonce, nonce, nonce, 1, 2, NULL, 0, &any, &keys),
		    derivable ? 0 : -EIO, "%s", suites[i].name);
	}
}

Test(keys, refuse_a_nonce_that_is_too_long)
{
	static const uint8_t some[300] = {1};
	const struct td_bytes good = {some, 256}, bad = {some, 257};
	struct td_ike_keys keys;

	cr_expect_eq(td_ike_keys_derive(&suites[0].suite, good, good, good, 1, 2, NULL, 0, &any, &keys), 0);
	cr_expect_eq(td_ike_keys_derive(&suites[0].suite, good, bad, good, 1, 2, NULL, 0, &any, &keys), -EIO);
	cr_expect_eq(td_ike_keys_derive(&suites[0].suite, good, good, bad, 1, 2, NULL, 0, &any, &keys), -EIO);
	cr_expect_eq(keys.d.length, 0);
}
