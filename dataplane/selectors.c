// SPDX-License-Identifier: BSD-3-Clause
#include "dataplane/selectors.h"

#include "dataplane/policy_key.h"
#include "dataplane/slab.h"

#include <netinet/in.h>
#include <string.h>

struct td_selectors {
	unsigned local_count, count;
	struct td_dp_selector list[]; // local ones, then remote ones
};

static size_t bytes_of(unsigned count)
{
	return sizeof(struct td_selectors) + count * sizeof(struct td_dp_selector);
}

struct td_selectors *td_selectors_create(const struct td_sa_params *params)
{
	unsigned count = params->local_selector_count + params->remote_selector_count;
	struct td_selectors *selectors = td_slab_alloc(bytes_of(count));

	if (!selectors)
		return NULL;
	selectors->local_count = params->local_selector_count;
	selectors->count = count;
	memcpy(selectors->list, params->local_selectors,
	    params->local_selector_count * sizeof(struct td_dp_selector));
	memcpy(selectors->list + params->local_selector_count, params->remote_selectors,
	    params->remote_selector_count * sizeof(struct td_dp_selector));
	return selectors;
}

void td_selectors_free(struct td_selectors *selectors)
{
	if (selectors)
		td_slab_free(selectors, bytes_of(selectors->count));
}

// What one end of a packet shows.
struct end {
	const uint8_t *address;
	uint16_t value; // port, or ICMP type << 8 | code
	bool shown; // it has one
	bool speaks; // of ICMP: the message comes from this end; the other end's selector says nothing of it
};

static bool matches(
    const struct td_dp_selector *selector, const struct td_policy_key *key, const struct end *end)
{
	unsigned bytes = key->family == 4 ? 4 : 16;

	if (selector->low.family != key->family || memcmp(end->address, selector->low.bytes, bytes) < 0 ||
	    memcmp(end->address, selector->high.bytes, bytes) > 0)
		return false;
	if (selector->protocol && selector->protocol != key->protocol)
		return false;
	if (selector->port_low == 0 && selector->port_high == UINT16_MAX)
		return true;
	if (!end->shown)
		return false;
	return !end->speaks || (end->value >= selector->port_low && end->value <= selector->port_high);
}

static bool any_matches(
    const struct td_dp_selector *list, unsigned count, const struct td_policy_key *key, const struct end *end)
{
	for (unsigned i = 0; i < count; i++)
		if (matches(&list[i], key, end))
			return true;
	return false;
}

bool td_selectors_match(const struct td_selectors *selectors, const struct rte_mbuf *mbuf, bool outbound)
{
	struct td_policy_key key;

	td_policy_key_fill(&key, mbuf, outbound);
	bool icmp = key.protocol == (key.family == 4 ? IPPROTO_ICMP : IPPROTO_ICMPV6);
	bool ports = td_policy_has_ports(key.protocol) && (key.ports[0] || key.ports[1]);
	bool shown = icmp ? key.ports[1] == rte_cpu_to_be_16(TD_POLICY_ICMP_SHOWN) : ports;
	struct end local = {
	    (const uint8_t *)key.local, rte_be_to_cpu_16(key.ports[0]), shown, !icmp || outbound};
	struct end remote = {(const uint8_t *)key.remote, rte_be_to_cpu_16(key.ports[icmp ? 0 : 1]), shown,
	    !icmp || !outbound};

	return any_matches(selectors->list, selectors->local_count, &key, &local) &&
	       any_matches(selectors->list + selectors->local_count,
	           selectors->count - selectors->local_count, &key, &remote);
}
