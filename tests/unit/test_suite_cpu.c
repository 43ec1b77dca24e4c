// SPDX-License-Identifier: BSD-3-Clause
// A CPU that lacks instructions: its suites are not available, and no SA is made with them.

#include "dataplane/suite.h"
#include "dataplane/worker.h"
#include "tests/unit/eal.h"

static uint64_t lacking; // IMB_FEATURE_*

// The linker puts these in the place of the library's.
void __real_init_mb_mgr_auto(IMB_MGR *mgr, IMB_ARCH *arch);
void __wrap_init_mb_mgr_auto(IMB_MGR *mgr, IMB_ARCH *arch);

void __wrap_init_mb_mgr_auto(IMB_MGR *mgr, IMB_ARCH *arch)
{
	__real_init_mb_mgr_auto(mgr, arch);
	mgr->features &= ~lacking;
}

static bool available(const char *name)
{
	return td_dp_suite_available((unsigned)td_dp_suite_find(TD_SA_ESP, name));
}

// Each test is a process of its own, and the first question is what counts.
Test(suite_cpu, has_all_it_needs)
{
	cr_expect(available("aes128gcm16") && available("aes128-sha256") && available("aes256gmac"));
}

Test(suite_cpu, without_aes_instructions)
{
	lacking = IMB_FEATURE_AESNI;
	cr_expect_not(
	    available("aes128gcm16") || available("aes128-sha256") || available("aes256ctr-sha512"));
}

Test(suite_cpu, no_sa_is_made_with_what_is_lacking)
{
	struct td_secret key = {.length = 20};
	struct td_sa_params params = {
	    .suite = (unsigned)td_dp_suite_find(TD_SA_ESP, "aes128gcm16"), .key = &key, .replay_window = 64};
	struct td_error error = {0};

	lacking = IMB_FEATURE_PCLMULQDQ;
	test_eal_start();
	cr_assert_eq(td_ip_parse("192.0.2.1", &params.local), 0);
	cr_assert_eq(td_ip_parse("192.0.2.2", &params.remote), 0);
	params.tunnel = td_dp_tunnel_create(0);
	cr_expect_null(td_dp_sa_in_create(&params, &error));
	cr_expect_str_eq(error.field, "suite");
	cr_expect_str_eq(error.reason, "aes128gcm16: this CPU lacks the instructions for it");
	error = (struct td_error){0};
	cr_expect_null(td_dp_sa_out_create(&params, &error));
	cr_expect_str_eq(error.field, "suite");
}
