// SPDX-License-Identifier: BSD-3-Clause
// Tunnels that negotiate by the one-round-trip exchange: what each mode of authentication needs.
#include "control/config/check.h"
#include "control/config/schema.h"

#define COUNT(array) (sizeof(array) / sizeof((array)[0]))

static const char *const own_keys[] = {"authentication", "key_source", "key_delivery", "early_data",
    "early_delay_ms", "code_step_s", "code_window", "session_ms"};

static bool is_given(config_setting_t *group, const char *key)
{
	return config_setting_get_member(group, key);
}

static void check_keys(const struct td_config_check *check, config_setting_t *group)
{
	static const char *const files[] = {"key_file", "remote_key_file"};

	if (is_given(group, "psk_file"))
		td_config_report_key(check->report, group, "psk_file",
		    "is given with negotiation = \"onertt\"; allowed is the secret of authentication = "
		    "\"secret\", or key_file and remote_key_file");
	for (size_t i = 0; i < COUNT(files); i++)
		if (!is_given(group, files[i]) && !is_given(group, "psk_file"))
			td_config_report_key(check->report, group, "negotiation",
			    "is \"onertt\" without %s; allowed is both gateways' keys, or authentication = "
			    "\"secret\"",
			    files[i]);
}

// Who has the responder's public key can begin, who has the private one can answer.
static void check_secret(
    const struct td_config_check *check, config_setting_t *group, const struct td_tunnel_ike_config *ike)
{
	if (!is_given(group, "psk_file"))
		td_config_report_key(check->report, group, "authentication",
		    "is \"secret\" without psk_file; allowed is one with the registration secret");
	if (!is_given(group, "key_file") && !is_given(group, "remote_key_file"))
		td_config_report_key(check->report, group, "authentication",
		    "is \"secret\" without a key; allowed is remote_key_file to begin, or key_file to "
		    "answer");
	else if (!is_given(group, "remote_key_file") && ike->start != TD_TUNNEL_RESPOND &&
	         td_config_key_sound(group, "start"))
		td_config_report_key(check->report, group,
		    is_given(group, "start") ? "start" : "authentication",
		    "needs remote_key_file to begin; allowed without it is start = \"respond\"");
}

static void check_early(
    const struct td_config_check *check, config_setting_t *group, const struct td_tunnel_ike_config *ike)
{
	if (ike->early_data && ike->key_source != TD_ONERTT_INITIATOR &&
	    td_config_key_sound(group, "key_source"))
		td_config_report_key(check->report, group, "early_data",
		    "is true, but the keys are known only with the answer; allowed is key_source = "
		    "\"initiator\"");
}

bool td_config_check_onertt(
    const struct td_config_check *check, config_setting_t *group, const struct td_tunnel_ike_config *ike)
{
	if (!td_config_key_sound(group, "negotiation"))
		return true;
	if (ike->negotiation != TD_NEGOTIATION_ONERTT) {
		for (size_t i = 0; i < COUNT(own_keys); i++)
			if (is_given(group, own_keys[i]))
				td_config_report_key(check->report, group, own_keys[i],
				    "is given with IKEv2; allowed is negotiation = \"onertt\" with it");
		return false;
	}
	if (is_given(group, "authority_file"))
		td_config_report_key(check->report, group, "authority_file",
		    "is given with negotiation = \"onertt\"; allowed is the very key of the peer, "
		    "remote_key_file");
	check_early(check, group, ike);
	if (!td_config_key_sound(group, "authentication"))
		return true;
	if (ike->authentication == TD_ONERTT_SECRET)
		check_secret(check, group, ike);
	else
		check_keys(check, group);
	// One of many peers somewhere is told by its identity.
	if (ike->authentication != TD_ONERTT_KEY && !is_given(group, "remote_id") &&
	    is_given(group, "key_file") && ike->start == TD_TUNNEL_RESPOND &&
	    td_config_key_sound(group, "start"))
		td_config_report_key(check->report, group, "authentication",
		    "is \"%s\" without remote_id; allowed is the identity that the peer was registered with",
		    ike->authentication == TD_ONERTT_ID ? "id" : "secret");
	return true;
}
