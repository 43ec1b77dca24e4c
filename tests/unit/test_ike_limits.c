// SPDX-License-Identifier: BSD-3-Clause
// What somebody who has proved nothing may cost.
#include "control/ike/internal.h"

#include <criterion/criterion.h>

#include <errno.h>
#include <string.h>

static struct td_timers timers;
static uint64_t drawn;

static void random_fill(void *context, void *bytes, size_t length)
{
	(void)context;
	memset(bytes, 0, length);
	drawn++;
	memcpy(bytes, &drawn, length < sizeof(drawn) ? length : sizeof(drawn));
}

static struct td_ike *engine(void)
{
	const struct td_ike_env env = {.timers = &timers, .random = random_fill};
	struct td_ike *ike = td_ike_create(&env);

	cr_assert_not_null(ike);
	return ike;
}

Test(ike_limits, fragments_of_an_unproved_peer_are_few)
{
	static uint8_t piece[1200];
	struct td_ike *ike = engine();
	struct td_ike_fragments fragments = {0};
	struct td_bytes whole;
	uint16_t number = 1;
	int ret;

	do
		ret = td_ike_fragment_add(ike, &fragments, 1, 0, (struct td_bytes){piece, sizeof(piece)},
		    number++, TD_IKE_FRAGMENTS_MAX, TD_IKE_UNPROVED_MAX, &whole);
	while (ret == -EAGAIN);
	cr_expect_eq(ret, -EBADMSG);
	cr_expect_leq(fragments.bytes, TD_IKE_UNPROVED_MAX);
	td_ike_fragments_free(&fragments);
	td_ike_destroy(ike);
}

Test(ike_limits, half_open_sas_are_counted_by_source)
{
	struct td_path one = {.local_port = 500}, other = {.local_port = 500};
	struct td_ike *ike = engine();
	struct td_ike_sa *sas[4];

	cr_assert_eq(td_ip_parse("198.51.100.1", &one.remote), 0);
	cr_assert_eq(td_ip_parse("198.51.100.2", &other.remote), 0);
	for (unsigned i = 0; i < 4; i++) {
		sas[i] = td_ike_sa_create(ike, false, i < 3 ? &one : &other);
		cr_assert_not_null(sas[i]);
		td_ike_sa_init_link(sas[i], true);
	}
	cr_expect_eq(td_ike_source_count(ike, &one.remote), 3);
	cr_expect_eq(td_ike_source_count(ike, &other.remote), 1);
	td_ike_sa_close(sas[0], NULL, NULL);
	cr_expect_eq(td_ike_source_count(ike, &one.remote), 2);
	td_ike_destroy(ike);
}
