// SPDX-License-Identifier: BSD-3-Clause
#include "bench/load/child.h"

#include "bench/common/shuffle.h"

#include <errno.h>
#include <string.h>

void td_child_params(struct td_sa_params *params, struct td_dp_tunnel *tunnel, unsigned suite)
{
	static struct td_secret key;
	static uint32_t serial;
	uint32_t spi;

	do
		spi = td_shuffle_spread(++serial);
	while (spi < TD_SPI_MIN);
	// No secret: it seals packets that never leave this process. Each child has another one.
	key.length = td_dp_suite_info(suite)->key_bytes;
	memcpy(key.bytes, &spi, sizeof(spi));
	*params = (struct td_sa_params){
	    .mode = TD_SA_TUNNEL,
	    .spi = spi,
	    .tunnel = tunnel,
	    .suite = suite,
	    .key = &key,
	    .esn = true,
	    .replay_window = TD_REPLAY_WINDOW_DEFAULT,
	    .dscp = TD_DSCP_COPY,
	};
	(void)td_ip_parse(TD_CHILD_LOCAL, &params->local);
	(void)td_ip_parse(TD_CHILD_REMOTE, &params->remote);
}

int td_child_create(struct td_child *child, const struct td_sa_params *params)
{
	child->in = td_dp_sa_in_create(params, NULL);
	child->out = child->in ? td_dp_sa_out_create(params, NULL) : NULL;
	if (child->out)
		return 0;
	if (child->in)
		td_dp_sa_in_remove(child->in);
	*child = (struct td_child){0};
	return -ENOMEM;
}

int td_child_publish(struct td_child *child)
{
	int result = td_dp_sa_in_reserve(0, 1);

	if (result == 0)
		td_dp_sa_in_publish(child->in);
	return result;
}

void td_child_remove(struct td_child *child)
{
	if (child->out)
		td_dp_sa_out_remove(child->out);
	if (child->in)
		td_dp_sa_in_remove(child->in);
	*child = (struct td_child){0};
}

int td_child_install(struct td_child *child, struct td_dp_tunnel *tunnel)
{
	struct td_sa_params params;

	td_child_params(&params, tunnel, (unsigned)td_dp_suite_find(TD_SA_ESP, "aes128gcm16"));
	int result = td_child_create(child, &params);
	if (result)
		return result;
	result = td_child_publish(child);
	if (result) {
		td_child_remove(child);
		return result;
	}
	td_dp_tunnel_switch(tunnel, 0, child->out);
	return 0;
}
