// SPDX-License-Identifier: BSD-3-Clause
// The file with the secret of crash detection: kept from run to run, unless others may know or have made it.
#include "control/negotiate/internal.h"

#include <criterion/criterion.h>

#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

static char directory[] = "/tmp/td_token_XXXXXX", path[64], other[64];
static uint8_t first[TD_IKE_TOKEN_SECRET_BYTES], second[TD_IKE_TOKEN_SECRET_BYTES];

static void start(void)
{
	cr_assert_not_null(mkdtemp(directory));
	snprintf(path, sizeof(path), "%s/ike-token.secret", directory);
	snprintf(other, sizeof(other), "%s/other", directory);
	cr_assert(td_negotiate_token_load(directory, first));
}

static void stop(void)
{
	(void)unlink(path);
	(void)unlink(other);
	(void)rmdir(directory);
}

TestSuite(token, .init = start, .fini = stop, .timeout = 60);

// Whatever was there, a file of our own is now.
static void is_kept_safe(void)
{
	struct stat status;

	cr_assert_eq(lstat(path, &status), 0);
	cr_expect(S_ISREG(status.st_mode));
	cr_expect_eq(status.st_mode & 0777, 0600);
	cr_expect_eq(status.st_uid, geteuid());
	cr_expect_eq(status.st_size, TD_IKE_TOKEN_SECRET_BYTES);
}

static bool is_kept(void)
{
	cr_assert(td_negotiate_token_load(directory, second));
	is_kept_safe();
	return memcmp(first, second, sizeof(first)) == 0;
}

Test(token, is_the_same_in_the_next_run)
{
	is_kept_safe();
	cr_expect(is_kept());
}

Test(token, that_others_may_have_read_or_written_is_made_anew)
{
	static const mode_t modes[] = {0640, 0604, 0620, 0602, 0610, 0601};

	for (size_t i = 0; i < sizeof(modes) / sizeof(modes[0]); i++) {
		cr_assert_eq(chmod(path, modes[i]), 0);
		cr_expect_not(is_kept(), "mode %o", modes[i]);
		memcpy(first, second, sizeof(first));
	}
}

Test(token, of_another_owner_is_made_anew)
{
	if (geteuid() != 0)
		cr_skip("only root gives files away");
	cr_assert_eq(chown(path, 65534, (gid_t)-1), 0);
	cr_expect_not(is_kept());
}

Test(token, that_is_cut_short_is_made_anew)
{
	cr_assert_eq(truncate(path, TD_IKE_TOKEN_SECRET_BYTES - 1), 0);
	cr_expect_not(is_kept());
}

Test(token, is_not_read_through_a_link)
{
	cr_assert_eq(rename(path, other), 0);
	cr_assert_eq(symlink(other, path), 0);
	cr_expect_not(is_kept());
}

Test(token, does_not_wait_for_a_pipe)
{
	cr_assert_eq(unlink(path), 0);
	cr_assert_eq(mkfifo(path, 0600), 0);
	cr_expect_not(is_kept());
}
