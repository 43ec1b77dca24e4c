// SPDX-License-Identifier: BSD-3-Clause
#include "bench/handshake/statics.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

static int key_make(struct td_onertt_static *own, struct td_onertt_remote *remote)
{
	TD_SECRET_AUTO bytes = {.length = TD_X25519_BYTES};
	int ret = td_random(bytes.bytes, bytes.length);

	if (ret == 0)
		ret = td_x25519_make(&bytes, &own->pair);
	if (ret == 0)
		ret = td_onertt_key_id(own->pair.public_key, own->key_id);
	if (ret < 0)
		return ret;
	memcpy(remote->public_key, own->pair.public_key, TD_X25519_BYTES);
	memcpy(remote->key_id, own->key_id, TD_ONERTT_KEY_ID_BYTES);
	return 0;
}

int td_statics_make(struct td_statics *statics, enum td_onertt_authentication authentication, unsigned count)
{
	int ret = -ENOMEM;

	*statics = (struct td_statics){
	    .authentication = authentication,
	    .count = count,
	    .sites = calloc(count, sizeof(statics->sites[0])),
	    .site_remotes = calloc(count, sizeof(statics->site_remotes[0])),
	    .secret = {.length = 32},
	};
	if (statics->sites && statics->site_remotes)
		ret = key_make(&statics->hub, &statics->hub_remote);
	for (unsigned i = 0; ret == 0 && i < count; i++)
		ret = key_make(&statics->sites[i], &statics->site_remotes[i]);
	if (ret == 0)
		ret = td_random(statics->secret.bytes, statics->secret.length);
	if (ret < 0)
		td_statics_free(statics);
	return ret;
}

void td_statics_free(struct td_statics *statics)
{
	for (unsigned i = 0; statics->sites && i < statics->count; i++)
		td_x25519_free(&statics->sites[i].pair);
	td_x25519_free(&statics->hub.pair);
	free(statics->sites);
	free(statics->site_remotes);
	*statics = (struct td_statics){0};
}

void td_statics_config(
    const struct td_statics *statics, unsigned side, unsigned number, struct td_onertt_config *config)
{
	bool secret = statics->authentication == TD_ONERTT_SECRET;

	*config = (struct td_onertt_config){
	    .enabled = true,
	    .authentication = statics->authentication,
	    .window = {.step_s = 30, .steps = 1},
	};
	if (secret)
		config->secret = statics->secret;
	if (side == 1 || !secret)
		config->own = side == 1 ? &statics->hub : &statics->sites[number];
	if (side == 0 || !secret)
		config->remote = side == 0 ? &statics->hub_remote : &statics->site_remotes[number];
}
