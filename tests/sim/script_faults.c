// SPDX-License-Identifier: BSD-3-Clause
// What goes wrong on purpose within a node of an arrow script: memory that is not there and requests that are
// refused (the linker wraps functions of the engine), and configurations that change under way.

#include "tests/sim/script.h"

#include "control/ike/internal.h"

#include <errno.h>
#include <stdlib.h>

// Of one engine: so many of its next messages and tasks find no memory.
static struct {
	const struct td_ike *ike;
	unsigned seals, tasks;
	const struct td_ike *minimal; // the engine that takes no children but that of IKE_AUTH
} faults;

void sim_faults_clear(void)
{
	faults.ike = faults.minimal = NULL;
	faults.seals = faults.tasks = 0;
}

void sim_fault_seals(const struct sim_node *node, unsigned count)
{
	faults.ike = node->ike;
	faults.seals = count;
}

void sim_fault_tasks(const struct sim_node *node, unsigned count)
{
	faults.ike = node->ike;
	faults.tasks = count;
}

void sim_fault_minimal(const struct sim_node *node)
{
	faults.minimal = node->ike;
}

int __real_td_ike_packets_seal(struct td_ike_sa *sa, uint8_t exchange, bool response, uint32_t id,
    const struct td_ike_chain *chain, struct td_ike_packets *packets);
int __wrap_td_ike_packets_seal(struct td_ike_sa *sa, uint8_t exchange, bool response, uint32_t id,
    const struct td_ike_chain *chain, struct td_ike_packets *packets);
struct td_ike_task *__real_td_ike_task_add(struct td_ike_sa *sa, enum td_ike_task_kind kind);
struct td_ike_task *__wrap_td_ike_task_add(struct td_ike_sa *sa, enum td_ike_task_kind kind);
void __real_td_ike_create_asked(struct td_ike_sa *sa, const struct td_ike_payloads *request);
void __wrap_td_ike_create_asked(struct td_ike_sa *sa, const struct td_ike_payloads *request);

int __wrap_td_ike_packets_seal(struct td_ike_sa *sa, uint8_t exchange, bool response, uint32_t id,
    const struct td_ike_chain *chain, struct td_ike_packets *packets)
{
	if (sa->ike == faults.ike && faults.seals > 0) {
		faults.seals--;
		return -ENOMEM;
	}
	return __real_td_ike_packets_seal(sa, exchange, response, id, chain, packets);
}

struct td_ike_task *__wrap_td_ike_task_add(struct td_ike_sa *sa, enum td_ike_task_kind kind)
{
	if (sa->ike == faults.ike && faults.tasks > 0 && kind != TD_TASK_LIVENESS) {
		faults.tasks--;
		return NULL;
	}
	return __real_td_ike_task_add(sa, kind);
}

void __wrap_td_ike_create_asked(struct td_ike_sa *sa, const struct td_ike_payloads *request)
{
	if (sa->ike == faults.minimal)
		td_ike_answer_notify(
		    sa, TD_IKE_CREATE_CHILD_SA, TD_N_NO_ADDITIONAL_SAS, (struct td_bytes){0});
	else
		__real_td_ike_create_asked(sa, request);
}

// The first two Diffie-Hellman groups change places.
static void groups_turn(struct td_ike_proposals *proposals)
{
	struct td_ike_proposal *proposal = &proposals->list[0];

	for (unsigned i = 0; i + 1 < proposal->transform_count; i++) {
		struct td_ike_transform *two = &proposal->transforms[i], first = two[0];

		if (two[0].type != TD_IKE_DH || two[1].type != TD_IKE_DH)
			continue;
		two[0] = two[1];
		two[1] = first;
		return;
	}
}

void sim_groups_turn(struct sim_end *end)
{
	struct sim_node *node = end->node;

	groups_turn(&node->peers[end->other->node->index]->config.proposals);
	groups_turn(&td_ike_tunnel_of(node->ike, end->tunnel)->config.proposals);
}

void sim_anybody_add(struct sim_end *end)
{
	struct sim_node *node = end->node, *other = end->other->node;
	struct td_ike_peer_config config = node->peer_config[other->index];

	config.remote_id = (struct td_ike_id){0};
	config.local = config.remote = other->credential;
	if (!td_ike_peer_add(node->ike, &config))
		abort();
}
