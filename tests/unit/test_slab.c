// SPDX-License-Identifier: BSD-3-Clause
// Memory of SAs: aligned, zeroed, wiped when freed, out of core dumps; and RCU's order of release.

#include "dataplane/rcu.h"
#include "dataplane/slab.h"

#include <criterion/criterion.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

Test(slab, zeroed_aligned_and_apart)
{
	static const size_t sizes[] = {1, 63, 64, 65, 300, 1600, 4096, 8192};
	uint8_t *objects[8][100];

	for (unsigned i = 0; i < 8; i++)
		for (unsigned j = 0; j < 100; j++) {
			objects[i][j] = td_slab_alloc(sizes[i]);
			cr_assert_not_null(objects[i][j]);
			cr_assert_eq((uintptr_t)objects[i][j] % 64, 0);
			for (size_t k = 0; k < sizes[i]; k++)
				cr_assert_eq(objects[i][j][k], 0);
			memset(objects[i][j], (int)(i * 100 + j), sizes[i]);
		}
	for (unsigned i = 0; i < 8; i++)
		for (unsigned j = 0; j < 100; j++)
			for (size_t k = 0; k < sizes[i]; k++)
				cr_assert_eq(objects[i][j][k], (uint8_t)(i * 100 + j));
	td_slab_fini();
}

Test(slab, refuses_odd_sizes)
{
	cr_assert_null(td_slab_alloc(0));
	cr_assert_null(td_slab_alloc(8193));
	td_slab_free(NULL, 64);
}

// A key schedule does not survive its SA: the memory is looked at behind the allocator's back.
Test(slab, freed_memory_is_wiped)
{
	uint8_t *object = td_slab_alloc(1000);

	memset(object, 0xa5, 1000);
	td_slab_free(object, 1000);
	for (size_t i = sizeof(void *); i < 1000; i++) // a list pointer lies in front
		cr_assert_eq(object[i], 0, "byte %zu", i);
	cr_assert_eq(td_slab_alloc(1000), object, "and used again, zeroed");
	for (size_t i = 0; i < 1000; i++)
		cr_assert_eq(object[i], 0);
	td_slab_fini();
}

Test(slab, kept_out_of_core_dumps)
{
	void *object = td_slab_alloc(64);
	FILE *smaps = fopen("/proc/self/smaps", "r");
	char line[512];
	bool inside = false, found = false;

	cr_assert_not_null(smaps);
	while (fgets(line, sizeof(line), smaps)) {
		unsigned long start, end;

		if (sscanf(line, "%lx-%lx ", &start, &end) == 2)
			inside = (uintptr_t)object >= start && (uintptr_t)object < end;
		if (inside && strncmp(line, "VmFlags:", 8) == 0)
			found = strstr(line, " dd") != NULL;
	}
	fclose(smaps);
	cr_assert(found, "MADV_DONTDUMP shows as dd in VmFlags");
	td_slab_fini();
}

struct thing {
	struct td_retired retired;
	int number;
};
static int released[3];
static unsigned released_count;

static void release(struct td_retired *retired)
{
	released[released_count++] = ((struct thing *)retired)->number;
}

// Nothing is released while a worker that was online has not passed a quiescent state.
Test(rcu, releases_after_the_grace_period_in_order)
{
	struct thing things[3] = {{.number = 0}, {.number = 1}, {.number = 2}};

	cr_assert_eq(td_rcu_init(2), 0);
	for (unsigned worker = 0; worker < 2; worker++) {
		rte_rcu_qsbr_thread_register(td_rcu_qsbr, worker);
		rte_rcu_qsbr_thread_online(td_rcu_qsbr, worker);
	}
	td_rcu_retire(&things[0].retired, release);
	td_rcu_retire(&things[1].retired, release);
	cr_assert_eq(td_rcu_reclaim(), 0);
	rte_rcu_qsbr_quiescent(td_rcu_qsbr, 0);
	cr_assert_eq(td_rcu_reclaim(), 0, "worker 1 has not passed");
	td_rcu_retire(&things[2].retired, release);
	rte_rcu_qsbr_thread_offline(td_rcu_qsbr, 1); // asleep counts as passed
	cr_assert_eq(td_rcu_reclaim(), 2, "the third came after worker 0 passed");
	rte_rcu_qsbr_quiescent(td_rcu_qsbr, 0);
	cr_assert_eq(td_rcu_reclaim(), 1);
	for (int i = 0; i < 3; i++)
		cr_assert_eq(released[i], i);
	td_rcu_drain();
	td_rcu_fini();
}
