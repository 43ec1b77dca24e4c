// SPDX-License-Identifier: BSD-3-Clause
#include "tests/unit/fake_negotiate.h"

#include <errno.h>

void td_negotiate_tunnel_info(const struct td_negotiate *negotiate, const struct td_tunnel *tunnel,
    struct td_negotiate_tunnel_info *info)
{
	*info = (struct td_negotiate_tunnel_info){.state = "down", .last_error = ""};
	if (tunnel->config.ike)
		*info = negotiate->info;
}

static int noted(const struct td_tunnel *tunnel, unsigned *count, struct td_error *error)
{
	if (!tunnel->config.ike)
		return td_error_set(
		    error, -EINVAL, tunnel->config.name, NULL, "is not negotiated: its SAs are injected");
	(*count)++;
	return 0;
}

int td_negotiate_up(struct td_negotiate *negotiate, const struct td_tunnel *tunnel, struct td_error *error)
{
	return noted(tunnel, &negotiate->ups, error);
}

int td_negotiate_down(struct td_negotiate *negotiate, const struct td_tunnel *tunnel, struct td_error *error)
{
	return noted(tunnel, &negotiate->downs, error);
}

int td_negotiate_rekey(
    struct td_negotiate *negotiate, const struct td_tunnel *tunnel, bool ike, struct td_error *error)
{
	return noted(tunnel, ike ? &negotiate->ike_rekeys : &negotiate->rekeys, error);
}

// The engine is the negotiation itself.
struct td_ike *td_negotiate_ike(const struct td_negotiate *negotiate)
{
	return (struct td_ike *)(uintptr_t)negotiate;
}

const struct td_ike_peer_config *td_ike_peer_config(const struct td_ike_peer *peer)
{
	return (const struct td_ike_peer_config *)peer;
}

void td_ike_foreach(const struct td_ike *ike,
    void (*fn)(void *context, const struct td_ike_peer *peer, const struct td_ike_sa_info *info),
    void *context)
{
	static struct td_ike_peer_config config = {.name = "t1"};
	const struct td_negotiate *negotiate = (const struct td_negotiate *)ike;

	td_ike_id_parse("gw-a.example", &config.local_id);
	for (unsigned i = 0; i < negotiate->sa_count; i++)
		// One whose peer is not known yet.
		fn(context, i ? NULL : (const struct td_ike_peer *)&config, &negotiate->sas[i]);
}

const struct td_ike_stats *td_ike_stats(const struct td_ike *ike)
{
	return &((const struct td_negotiate *)ike)->stats;
}
