// SPDX-License-Identifier: BSD-3-Clause
#include "control/policies/tunnel_hits.h"

#include <errno.h>
#include <stdlib.h>

int td_tunnel_hits_make(const struct td_tunnel_config *tunnel, struct td_dp_hits **hits)
{
	for (unsigned i = 0; i < tunnel->local_count * tunnel->remote_count; i++) {
		if (tunnel->local[i / tunnel->remote_count].ip.family !=
		    tunnel->remote[i % tunnel->remote_count].ip.family)
			continue;
		hits[i] = td_dp_hits_create();
		if (hits[i] == NULL)
			return -ENOMEM;
	}
	return 0;
}

int td_tunnel_hits_places(const struct td_config *config, struct td_tunnel_hits *tunnels)
{
	size_t *first = calloc(config->tunnel_count + 1ul, sizeof(*first));

	*tunnels = (struct td_tunnel_hits){.first = first};
	if (first == NULL)
		return -ENOMEM;
	for (unsigned i = 0; i < config->tunnel_count; i++)
		first[i + 1] =
		    first[i] + (size_t)config->tunnels[i].local_count * config->tunnels[i].remote_count;
	tunnels->hits = calloc(first[config->tunnel_count] + 1, sizeof(struct td_dp_hits *));
	return tunnels->hits != NULL ? 0 : -ENOMEM;
}

void td_tunnel_hits_free(struct td_tunnel_hits *tunnels)
{
	free(tunnels->hits);
	free(tunnels->first);
}
