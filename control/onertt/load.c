// SPDX-License-Identifier: BSD-3-Clause
// How much is asked in a second, and by whom: cookies, and few public-key operations.

#include "control/onertt/asked.h"

#include <stdlib.h>
#include <string.h>

#define SOURCES 1024 // addresses that are counted apart, mostly

static const struct td_bytes nothing;

// First messages of this second.
struct td_onertt_load {
	uint64_t second, seed;
	unsigned asked, answers;
	uint16_t sources[SOURCES], refusals[SOURCES];
};

void td_onertt_load_free(struct td_ike *ike)
{
	free(ike->onertt_load);
	td_onertt_index_free(ike);
}

static struct td_onertt_load *load_of(struct td_ike *ike)
{
	uint64_t second = td_ike_now(ike) / 1000000000u;
	struct td_onertt_load *load = ike->onertt_load;

	if (!load) {
		load = ike->onertt_load = calloc(1, sizeof(*load));
		if (!load)
			return NULL;
		ike->env.random(ike->env.context, &load->seed, sizeof(load->seed));
	}
	if (load->second != second) {
		load->second = second;
		load->asked = load->answers = 0;
		memset(load->sources, 0, sizeof(load->sources));
		memset(load->refusals, 0, sizeof(load->refusals));
	}
	return load;
}

bool td_onertt_answer_allowed(struct td_ike *ike)
{
	struct td_onertt_load *load = load_of(ike);

	return load && load->answers++ < TD_ONERTT_ANSWERS_PER_S;
}

void td_onertt_cookie_send(const struct td_onertt_asked *asked)
{
	uint8_t cookie[TD_IKE_COOKIE_BYTES];
	struct td_ike_chain outer;

	td_ike_cookie_make(asked->ike, asked->path, asked->header->spi_i, asked->ephemeral, cookie);
	td_onertt_message_start(asked->ike, &outer);
	td_ike_notify_write(
	    &outer, TD_IKE_PROTO_NONE, nothing, TD_N_COOKIE, (struct td_bytes){cookie, sizeof(cookie)});
	td_onertt_answer_clear(asked, &outer);
	td_onertt_stats_of(asked->ike)->cookies_sent++;
}

static uint64_t source_of(const struct td_onertt_asked *asked, const struct td_onertt_load *load)
{
	return td_hash_mix(load->seed ^ td_ike_addresses_hash(&asked->path->local, &asked->path->remote)) %
	       SOURCES;
}

bool td_onertt_refusal_allowed(const struct td_onertt_asked *asked)
{
	struct td_onertt_load *load = load_of(asked->ike);

	return load && load->refusals[source_of(asked, load)]++ < TD_ONERTT_REFUSALS_PER_S;
}

// Under load nothing is computed for an initiator that has not shown that it receives at its address, and not
// much for one address.
bool td_onertt_load_passed(struct td_onertt_asked *asked, const struct td_ike_payloads *request)
{
	const struct td_ike_notify *cookie = td_ike_notify_find(request, TD_N_COOKIE);
	struct td_ike *ike = asked->ike;
	struct td_onertt_load *load = load_of(ike);

	if (!load)
		return false;
	asked->returned = cookie && td_ike_cookie_valid(ike, asked->path, asked->header->spi_i,
	                                asked->ephemeral, cookie->data);
	if (++load->asked <= TD_ONERTT_FREE_PER_S && ike->half_open + ike->unproven < TD_IKE_HALF_OPEN_COOKIE)
		return true;
	if (!asked->returned) {
		ike->stats.cookies_wrong += cookie != NULL;
		td_onertt_cookie_send(asked);
		return false;
	}
	if (load->sources[source_of(asked, load)]++ >= TD_ONERTT_SOURCE_PER_S) {
		td_onertt_stats_of(ike)->limited++;
		return false;
	}
	// With IK nothing stays half open. What IKE_SA_INITs have begun takes no place of those who are about
	// to prove something.
	if (asked->pattern == TD_NOISE_IK || ike->unproven < TD_IKE_HALF_OPEN_MAX)
		return true;
	ike->stats.half_open_refused++;
	return false;
}
