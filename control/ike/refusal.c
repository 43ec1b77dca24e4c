// SPDX-License-Identifier: BSD-3-Clause
// What an operator is told when a peer's wish is refused. The peer itself hears no more than a number.

#include "control/ike/internal.h"

#include <stdio.h>

#define NS_PER_MS 1000000ull

static void offer_format(struct td_bytes payload, char text[TD_IKE_PROPOSAL_TEXT_MAX])
{
	struct td_ike_proposals offered;

	snprintf(text, TD_IKE_PROPOSAL_TEXT_MAX, "nothing that is known");
	if (td_ike_proposals_read(payload, &offered) == 0 && offered.count > 0)
		td_ike_proposal_format(&offered.list[0], text);
}

bool td_ike_refusal_due(struct td_ike_peer *peer)
{
	uint64_t now = td_ike_now(peer->ike);

	if (peer->refused_ns && now - peer->refused_ns < TD_IKE_REFUSED_MS * NS_PER_MS)
		return false;
	peer->refused_ns = now;
	return true;
}

void td_ike_init_refused(
    struct td_ike *ike, const struct td_path *path, const struct td_ike_payloads *request)
{
	struct td_ike_peer *peer = td_ike_peer_next(ike, path, NULL);
	char offer[TD_IKE_PROPOSAL_TEXT_MAX];
	struct td_error error = {0};

	// Anybody can send this: one line says what a flood would.
	if (!peer || !td_ike_refusal_due(peer))
		return;
	offer_format(request->sa, offer);
	(void)td_error_set(
	    &error, 0, NULL, NULL, "no proposal for the IKE SA in common, the peer offers %s", offer);
	if (ike->env.event)
		ike->env.event(ike->env.context, "ike_failed", peer, NULL, error.reason);
}

static void selectors_format(struct td_bytes payload, char text[TD_TS_TEXT_MAX])
{
	struct td_ts_list list;

	snprintf(text, TD_TS_TEXT_MAX, "nothing that is known");
	if (td_ts_read(payload, &list) == 0 && list.count > 0)
		td_ts_format(&list.list[0], text);
}

void td_ike_child_refused(const struct td_ike_sa *sa, const struct td_ike_payloads *offer,
    const struct td_ike_tunnel *tunnel, uint16_t refusal, const char *reason)
{
	char ours[TD_TS_TEXT_MAX], theirs[TD_TS_TEXT_MAX], proposal[TD_IKE_PROPOSAL_TEXT_MAX];
	struct td_error error = {0};

	switch (refusal) {
	case TD_N_INVALID_KE_PAYLOAD: // the peer asks again with the right group
		return;
	case TD_N_TS_UNACCEPTABLE:
		selectors_format(offer->ts_r, ours);
		selectors_format(offer->ts_i, theirs);
		(void)td_error_set(&error, 0, NULL, NULL,
		    "no tunnel has traffic between %.90s (here) and %.90s, which the peer wants", ours,
		    theirs);
		break;
	case TD_N_NO_PROPOSAL_CHOSEN:
		offer_format(offer->sa, proposal);
		(void)td_error_set(&error, 0, NULL, NULL,
		    "no proposal for the SAs of tunnel %s in common, the peer offers %s",
		    td_life_tunnel_config(tunnel->life)->name, proposal);
		break;
	default:
		(void)td_error_set(
		    &error, 0, NULL, NULL, "%s", reason && reason[0] ? reason : td_ike_notify_name(refusal));
	}
	td_ike_event(sa, "child_refused", error.reason);
}
