// SPDX-License-Identifier: BSD-3-Clause
#include "dataplane/rcu.h"

#include <errno.h>
#include <stdlib.h>

// Objects that one call releases, so that the control thread is not held up by a bulk removal.
#define RECLAIM_MAX 2000

struct rte_rcu_qsbr *td_rcu_qsbr;

// In order of their tokens. Control thread only.
static STAILQ_HEAD(, td_retired) retired_list = STAILQ_HEAD_INITIALIZER(retired_list);

int td_rcu_init(unsigned workers)
{
	size_t size = rte_rcu_qsbr_get_memsize(workers);

	td_rcu_qsbr = aligned_alloc(RTE_CACHE_LINE_SIZE, RTE_ALIGN_CEIL(size, RTE_CACHE_LINE_SIZE));
	if (!td_rcu_qsbr)
		return -ENOMEM;
	if (rte_rcu_qsbr_init(td_rcu_qsbr, workers)) {
		free(td_rcu_qsbr);
		td_rcu_qsbr = NULL;
		return -ENOMEM;
	}
	return 0;
}

static void release_first(void)
{
	struct td_retired *retired = STAILQ_FIRST(&retired_list);

	STAILQ_REMOVE_HEAD(&retired_list, next);
	retired->release(retired);
}

void td_rcu_drain(void)
{
	while (!STAILQ_EMPTY(&retired_list))
		release_first();
}

void td_rcu_fini(void)
{
	free(td_rcu_qsbr);
	td_rcu_qsbr = NULL;
}

void td_rcu_retire(struct td_retired *retired, void (*release)(struct td_retired *retired))
{
	// rte_rcu_qsbr_start has release semantics: the stores that unpublished the object come first.
	retired->token = rte_rcu_qsbr_start(td_rcu_qsbr);
	retired->release = release;
	STAILQ_INSERT_TAIL(&retired_list, retired, next);
}

unsigned td_rcu_reclaim(void)
{
	unsigned released = 0;

	while (released < RECLAIM_MAX && !STAILQ_EMPTY(&retired_list) &&
	       rte_rcu_qsbr_check(td_rcu_qsbr, STAILQ_FIRST(&retired_list)->token, false) == 1) {
		release_first();
		released++;
	}
	return released;
}
