// SPDX-License-Identifier: BSD-3-Clause
// When dummy packets are sent: one worker with a clock of the test's own. There is no route, so that each is
// sealed, counted by its SA, and ends as "no_route".

#include "dataplane/sa.h"
#include "dataplane/worker.h"
#include "tests/unit/eal.h"

#include <errno.h>
#include <rte_malloc.h>

#define TSC_HZ 1000000u

static struct td_worker *worker;
static uint64_t clock_tsc;

static void start(void)
{
	test_eal_start();
	cr_assert_eq(td_fib_init(), 0);
	td_dp.worker_count = 2;
	td_dp.tsc_hz = TSC_HZ;
	td_dp.control_mgr = td_suite_manager_create();
	td_dp.pool = rte_pktmbuf_pool_create("packets", 511, 0, RTE_ALIGN_CEIL(sizeof(struct td_packet), 8),
	    2048 + RTE_PKTMBUF_HEADROOM, SOCKET_ID_ANY);
	worker = rte_zmalloc("worker", sizeof(*worker), RTE_CACHE_LINE_SIZE);
	cr_assert(td_dp.control_mgr && td_dp.pool && worker);
	worker->mgr = td_suite_manager_create();
	worker->events = rte_ring_create_elem(
	    "events", sizeof(struct td_event), 64, SOCKET_ID_ANY, RING_F_SP_ENQ | RING_F_SC_DEQ);
	cr_assert(worker->mgr && worker->events);
	td_dp.workers[0] = worker;
}

TestSuite(dummy, .init = start);

static struct td_sa_out *sa_new(struct td_dp_tunnel *tunnel, unsigned owner, uint64_t hard_packets)
{
	static struct td_secret key = {.length = 20};
	struct td_sa_params params = {
	    .mode = TD_SA_TUNNEL,
	    .spi = 0x1000,
	    .tunnel = tunnel,
	    .owner = owner,
	    .suite = (unsigned)td_dp_suite_find(TD_SA_ESP, "aes128gcm16"),
	    .key = &key,
	    .limits = {.hard_packets = hard_packets},
	};
	struct td_error error = {0};

	td_ip_parse("192.0.2.1", &params.local);
	td_ip_parse("192.0.2.2", &params.remote);
	key.bytes[0]++;
	struct td_sa_out *sa = td_dp_sa_out_create(&params, &error);
	cr_assert_not_null(sa, "%s", error.reason);
	td_dp_tunnel_switch(tunnel, 0, sa);
	return sa;
}

static struct td_dp_tunnel *tunnel_new(uint32_t id, uint16_t rate)
{
	struct td_dp_tunnel *tunnel = td_dp_tunnel_create(id);

	cr_assert_not_null(tunnel);
	cr_assert_eq(td_dp_tunnel_tfc(tunnel, 0, rate), 0);
	return tunnel;
}

static void poll_after(uint64_t tsc)
{
	worker->now_tsc = clock_tsc += tsc;
	td_dummy_poll(worker);
}

Test(dummy, only_while_idle)
{
	struct td_sa_out *sa = sa_new(tunnel_new(0, 10), 0, 0);
	// What happens between two looks, and how many dummy packets there have been behind it.
	static const struct {
		const char *name;
		unsigned wait_tsc, sent, dummies;
	} rows[] = {
	    {"never used", 1, 0, 1},
	    {"too early", TSC_HZ / 10 - 1, 0, 1},
	    {"due", 1, 0, 2},
	    {"late", TSC_HZ, 0, 3},
	    {"no arrears", 1, 0, 3},
	    {"used meanwhile", TSC_HZ / 10, 1, 3},
	    {"a whole interval of silence", TSC_HZ / 10, 0, 4},
	    {"used, early look", 1, 1, 4},
	    {"used, look when due", TSC_HZ / 10, 0, 4},
	    {"silence again", TSC_HZ / 10, 0, 5},
	};

	for (size_t i = 0; i < RTE_DIM(rows); i++) {
		sa->sequence += rows[i].sent;
		poll_after(rows[i].wait_tsc);
		cr_expect_eq(sa->dummies, rows[i].dummies, "%s: %u", rows[i].name, (unsigned)sa->dummies);
	}
	cr_expect_eq(sa->sequence, 5 + 2, "each takes a sequence number");
	cr_expect_eq(sa->bytes, 5 * TD_DUMMY_BYTES, "and counts against the lifetime");
	cr_expect_eq(worker->counters.dummies_out, 5);
	cr_expect_eq(worker->counters.drops[TD_DROP_NO_ROUTE], 5);
	cr_expect_eq(rte_mempool_avail_count(td_dp.pool), 511, "no buffer is lost");
}

Test(dummy, who_gets_none)
{
	struct td_dp_tunnel *tunnels[] = {
	    tunnel_new(0, 10), tunnel_new(1, 10), tunnel_new(2, 0), tunnel_new(3, 10), tunnel_new(4, 10)};
	struct td_sa_out *foreign = sa_new(tunnels[1], 1, 0), *quiet = sa_new(tunnels[2], 0, 0),
	                 *stopped = sa_new(tunnels[3], 0, 0), *last = sa_new(tunnels[4], 0, 1);

	td_dp_sa_out_stop(stopped);
	for (unsigned i = 0; i < 5; i++)
		poll_after(TSC_HZ);
	cr_expect_eq(foreign->dummies, 0, "its owner sends");
	cr_expect_eq(quiet->dummies, 0);
	cr_expect_eq(stopped->dummies, 0);
	cr_expect_eq(last->dummies, 1, "then it reached its hard limit");
	cr_expect_eq(worker->counters.drops[TD_DROP_ESP_OUT_EXPIRED], 0, "no packet was lost");
	td_dp_tunnel_switch(tunnels[1], 0, NULL);
	td_dp_tunnel_remove(tunnels[1]);
	poll_after(TSC_HZ);
	cr_assert_eq(td_dp_tunnel_tfc(tunnels[2], 0, 10), 0);
	poll_after(TSC_HZ);
	cr_expect_eq(quiet->dummies, 1, "the place of the removed tunnel");
	cr_expect_eq(td_dp.dummy_used, 4);
}

Test(dummy, many_tunnels_take_turns)
{
	enum { COUNT = 3 * TD_BURST + 1 };
	static struct td_sa_out *sas[COUNT];
	unsigned sent = 0;

	for (uint32_t i = 0; i < COUNT; i++)
		sas[i] = sa_new(tunnel_new(i, 1), 0, 0);
	poll_after(1);
	for (unsigned i = 0; i < COUNT; i++)
		sent += sas[i]->dummies;
	cr_expect_eq(sent, TD_BURST, "so many at a time");
	for (unsigned i = 0; i < 3; i++)
		poll_after(1);
	for (unsigned i = 0; i < COUNT; i++)
		cr_expect_eq(sas[i]->dummies, 1, "SA %u", i);
}

// A worker read the number of a tunnel that was removed, and finds one that has it anew and wants no dummies.
Test(dummy, number_that_is_used_again_meanwhile)
{
	struct td_dp_tunnel *tunnel = tunnel_new(0, 10);

	td_dp_tunnel_remove(tunnel);
	struct td_sa_out *sa = sa_new(tunnel_new(0, 0), 0, 0);
	td_dp.dummy_tunnels[0] = 0 + 1;
	poll_after(TSC_HZ);
	cr_expect_eq(sa->dummies, 0);
}

Test(dummy, places_run_out)
{
	for (uint32_t i = 0; i < TD_DUMMY_TUNNELS_MAX; i++)
		(void)tunnel_new(i, 1);
	struct td_dp_tunnel *one_more = td_dp_tunnel_create(TD_DUMMY_TUNNELS_MAX);
	cr_expect_eq(td_dp_tunnel_tfc(one_more, 0, 1), -ENOSPC);
	cr_expect_eq(td_dp_tunnel_tfc(one_more, 500, 0), 0, "padding needs no place");
	td_dp_tunnel_remove(td_tunnel_at(7));
	cr_expect_eq(td_dp_tunnel_tfc(one_more, 0, 1), 0);
}
