// SPDX-License-Identifier: BSD-3-Clause
// Certificates that stay parsed.
#include "common/limits.h"
#include "control/ike/known.h"
#include "tests/unit/ike_pki.h"

#include <criterion/criterion.h>

#include <stdlib.h>

TestSuite(known, .fini = pki_end);

static X509 *issue(void)
{
	static const struct pki_spec spec = {.subject = "CN=gw-a.example"};

	return pki_issue("P-256", &spec, NULL).certificate;
}

// The same certificate but for its serial number.
static X509 *another(X509 *certificate, long serial)
{
	X509 *copy = X509_dup(certificate);

	cr_assert_eq(ASN1_INTEGER_set(X509_get_serialNumber(copy), serial), 1);
	cr_assert_geq(i2d_re_X509_tbs(copy, NULL), 0);
	return copy;
}

static bool is_known(struct td_known *known, X509 *certificate)
{
	unsigned char *data = NULL;
	int length = i2d_X509(certificate, &data);
	X509 *found = td_known_find(known, (struct td_bytes){data, (size_t)length});
	bool same = found && X509_cmp(found, certificate) == 0;

	X509_free(found);
	OPENSSL_free(data);
	return same;
}

Test(known, is_what_was_added)
{
	struct td_known *known = td_known_create();
	X509 *first = issue(), *second = issue();

	cr_expect_not(is_known(known, first));
	td_known_add(known, first);
	td_known_add(known, first);
	cr_expect(is_known(known, first));
	cr_expect_not(is_known(known, second));
	td_known_add(known, second);
	cr_expect(is_known(known, first));
	cr_expect(is_known(known, second));
	td_known_free(known);
}

Test(known, goes_by_every_byte)
{
	struct td_known *known = td_known_create();
	X509 *certificate = issue();
	unsigned char *data = NULL;
	int length = i2d_X509(certificate, &data);

	td_known_add(known, certificate);
	for (int i = 0; i < length; i++) {
		data[i] ^= 1;
		cr_expect_null(td_known_find(known, (struct td_bytes){data, (size_t)length}), "byte %d", i);
		data[i] ^= 1;
		cr_expect_null(td_known_find(known, (struct td_bytes){data, (size_t)i}), "%d bytes", i);
	}
	OPENSSL_free(data);
	td_known_free(known);
}

Test(known, are_so_many_and_the_longest_unused_go)
{
	struct td_known *known = td_known_create();
	X509 *certificate = issue(), *first = another(certificate, 5001),
	     *second = another(certificate, 5002);

	td_known_add(known, first);
	td_known_add(known, second);
	for (long i = 3; i <= TD_IKE_KNOWN_MAX; i++) {
		X509 *copy = another(certificate, 5000 + i);

		td_known_add(known, copy);
		X509_free(copy);
	}
	cr_expect(is_known(known, first));
	td_known_add(known, certificate);
	cr_expect(is_known(known, certificate));
	cr_expect(is_known(known, first));
	cr_expect_not(is_known(known, second));
	X509_free(first);
	X509_free(second);
	td_known_free(known);
}
