// SPDX-License-Identifier: BSD-3-Clause
// Tunnels that negotiate their keys: what they say together, the files that they name, and whether those that
// share an IKE SA agree about it.
#include "control/config/check.h"
#include "control/config/schema.h"
#include "control/ike/credential.h"
#include "control/ike/proposal.h"
#include "dataplane/publish.h"

#include <ctype.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#define TIMER_MIN_MS 20 // of a timer that is not off
#define MODE_OTHERS 077

static const char *text_of(const struct td_config_key *key, const struct td_tunnel_ike_config *ike)
{
	const char *text;

	memcpy(&text, (const char *)ike + key->offset, sizeof(text));
	return text;
}

// ---- one tunnel -------------------------------------------------------------------------------

static bool is_given(config_setting_t *group, const char *key)
{
	return config_setting_get_member(group, key);
}

static void refuse_without_credentials(const struct td_config_check *check, config_setting_t *group)
{
	const struct td_config_section *section = td_config_section_find("tunnels");

	for (unsigned i = 0; i < section->key_count; i++)
		if (section->keys[i].flags & TD_CONFIG_PART &&
		    td_config_key_given(group, section->keys[i].name))
			td_config_report_key(check->report, group, section->keys[i].name,
			    "is given without psk_file or key_file; allowed is what a negotiation needs with "
			    "one "
			    "of them only");
}

static void check_credentials(
    const struct td_config_check *check, config_setting_t *group, const struct td_tunnel_ike_config *ike)
{
	static const char *const others[] = {
	    "key_file", "certificate_file", "authority_file", "remote_key_file"};

	if (td_config_check_onertt(check, group, ike))
		return;
	if (!is_given(group, "psk_file") && !is_given(group, "key_file")) {
		refuse_without_credentials(check, group);
	} else if (!is_given(group, "psk_file")) {
		if (!is_given(group, "authority_file") && !is_given(group, "remote_key_file"))
			td_config_report_key(check->report, group, "key_file",
			    "is given without anything to know the peer by; allowed is authority_file or "
			    "remote_key_file with it");
	} else {
		for (size_t i = 0; i < sizeof(others) / sizeof(others[0]); i++)
			if (is_given(group, others[i]))
				td_config_report_key(check->report, group, others[i],
				    "is given with psk_file; allowed is a pre-shared key or a private key, "
				    "not both");
	}
}

static void check_any(
    const struct td_config_check *check, config_setting_t *group, const struct td_tunnel_config *tunnel)
{
	if (!td_config_key_given(group, "remote_address") || tunnel->remote_address.family)
		return;
	if (!tunnel->ike)
		td_config_report_key(check->report, group, "remote_address",
		    "is \"any\" without psk_file or key_file; allowed for SAs that are injected is an "
		    "address");
	else if (tunnel->ike->start != TD_TUNNEL_RESPOND && td_config_key_sound(group, "start"))
		td_config_report_key(check->report, group, "start",
		    "is not \"respond\", but nobody knows where \"any\" remote_address is; allowed is "
		    "\"respond\"");
	else if (tunnel->mode == TD_SA_TRANSPORT)
		td_config_report_key(check->report, group, "mode",
		    "is \"transport\" with remote_address \"any\"; allowed is \"tunnel\"");
}

static void check_ports(const struct td_config_check *check, config_setting_t *group)
{
	static const char *const ports[] = {"udp_local_port", "udp_remote_port"};

	for (size_t i = 0; i < sizeof(ports) / sizeof(ports[0]); i++)
		if (td_config_key_given(group, ports[i]))
			td_config_report_key(check->report, group, ports[i],
			    "is given for a tunnel that negotiates its ports; allowed is encapsulate = true");
}

static void check_limit(const struct td_config_check *check, config_setting_t *group, const char *soft_key,
    uint64_t soft, const char *hard_key, uint64_t hard)
{
	if (!hard || !td_config_key_sound(group, soft_key) || !td_config_key_sound(group, hard_key))
		return;
	if (!soft)
		td_config_report_key(check->report, group, hard_key,
		    "is %llu without %s; allowed is an end that successors come before",
		    (unsigned long long)hard, soft_key);
	else if (hard <= soft)
		td_config_report_key(check->report, group, hard_key,
		    "is %llu, and %s is %llu; allowed is an end that successors come before",
		    (unsigned long long)hard, soft_key, (unsigned long long)soft);
}

static void check_timer(
    const struct td_config_check *check, config_setting_t *group, const char *key, uint64_t value)
{
	if (value > 0 && value < TIMER_MIN_MS && td_config_key_sound(group, key))
		td_config_report_key(check->report, group, key, "is %llu; allowed is 0 or at least %d",
		    (unsigned long long)value, TIMER_MIN_MS);
}

static void check_times(
    const struct td_config_check *check, config_setting_t *group, const struct td_tunnel_ike_config *ike)
{
	const struct td_sa_limits *limits = &ike->limits;

	check_limit(check, group, "rekey_ms", ike->rekey_ms, "life_ms", ike->life_ms);
	check_limit(check, group, "rekey_bytes", limits->soft_bytes, "life_bytes", limits->hard_bytes);
	check_limit(
	    check, group, "rekey_packets", limits->soft_packets, "life_packets", limits->hard_packets);
	check_timer(check, group, "ike_rekey_ms", ike->ike_rekey_ms);
	check_timer(check, group, "liveness_ms", ike->liveness_ms);
	check_timer(check, group, "session_ms", ike->session_ms);
}

// What is in a file shows when the daemon reads it. A file that this process may not look at may still be
// good.
static void check_file(const struct td_config_check *check, config_setting_t *group,
    const struct td_config_key *key, const char *path)
{
	struct stat status;

	if (stat(path, &status) < 0) {
		if (errno == ENOENT || errno == ENOTDIR)
			td_config_report_key(check->report, group, key->name,
			    "is \"%s\", which does not exist; allowed is a file", path);
	} else if (!S_ISREG(status.st_mode)) {
		td_config_report_key(check->report, group, key->name,
		    "is \"%s\", which is not a regular file; allowed is a file", path);
	} else if (key->flags & TD_CONFIG_SECRET && status.st_mode & MODE_OTHERS) {
		td_config_report_key(check->report, group, key->name,
		    "is \"%s\", which is open to others (mode %04o); allowed is a file closed with: chmod "
		    "600 %s",
		    path, (unsigned)status.st_mode & 07777, path);
	}
}

static void check_files(
    const struct td_config_check *check, config_setting_t *group, const struct td_tunnel_ike_config *ike)
{
	const struct td_config_section *section = td_config_section_find("tunnels");

	for (unsigned i = 0; i < section->key_count; i++) {
		const struct td_config_key *key = &section->keys[i];

		if (key->type == TD_CONFIG_FILE && td_config_key_given(group, key->name) && text_of(key, ike))
			check_file(check, group, key, text_of(key, ike));
	}
}

// ---- tunnels that share an IKE SA ---------------------------------------------------------------

struct end {
	const struct td_tunnel_config *tunnel;
	unsigned position;
};

static int compare_ip(const struct td_ip *a, const struct td_ip *b)
{
	if (a->family != b->family)
		return a->family < b->family ? -1 : 1;
	return memcmp(a->bytes, b->bytes, td_ip_length(a->family));
}

static int compare_text(const char *a, const char *b)
{
	return strcmp(a ? a : "", b ? b : "");
}

// An identity as it is compared: parsed, a default put in, without differences that do not count.
static void id_canonical(const char *text, const struct td_ip *address, struct td_ike_id *id)
{
	char buffer[TD_IP_TEXT_MAX];

	*id = (struct td_ike_id){0};
	if (!text && address->family == 0)
		return;
	(void)td_ike_id_parse(text ? text : td_ip_format(address, buffer), id);
	for (uint16_t i = 0; (id->type == TD_ID_FQDN || id->type == TD_ID_EMAIL) && i < id->length; i++)
		id->data[i] = (uint8_t)tolower(id->data[i]);
}

static int compare_id(const struct td_tunnel_config *a, const struct td_tunnel_config *b, bool remote)
{
	struct td_ike_id x, y;

	id_canonical(remote ? a->ike->remote_id : a->ike->local_id,
	    remote ? &a->remote_address : &a->local_address, &x);
	id_canonical(remote ? b->ike->remote_id : b->ike->local_id,
	    remote ? &b->remote_address : &b->local_address, &y);
	if (x.type != y.type)
		return x.type < y.type ? -1 : 1;
	if (x.length != y.length)
		return x.length < y.length ? -1 : 1;
	return memcmp(x.data, y.data, x.length);
}

// By what makes tunnels share: the same as in control/negotiate/peers.c.
static int compare_ends(const struct td_tunnel_config *a, const struct td_tunnel_config *b)
{
	int order = compare_ip(&a->local_address, &b->local_address);

	if (!order)
		order = compare_ip(&a->remote_address, &b->remote_address);
	if (!order)
		order = compare_id(a, b, false);
	return order ? order : compare_id(a, b, true);
}

static int compare_end(const void *left, const void *right)
{
	const struct end *a = left, *b = right;
	int order = compare_ends(a->tunnel, b->tunnel);

	return order ? order : (a->position > b->position) - (a->position < b->position);
}

static bool is_same(const struct td_config_key *key, const struct td_tunnel_ike_config *a,
    const struct td_tunnel_ike_config *b)
{
	if (key->type == TD_CONFIG_FILE)
		return compare_text(text_of(key, a), text_of(key, b)) == 0;
	if (key->type != TD_CONFIG_IKE_PROPOSALS)
		return memcmp((const char *)a + key->offset, (const char *)b + key->offset, key->size) == 0;
	for (unsigned i = 0; i < TD_CONFIG_PROPOSALS_MAX; i++)
		if (compare_text(a->ike[i], b->ike[i]) != 0)
			return false;
	return true;
}

static void check_shared(const struct td_config_check *check, const struct end *first, const struct end *end)
{
	const struct td_config_section *section = td_config_section_find("tunnels");
	config_setting_t *group = td_config_check_group(check, "tunnels", end->position);
	config_setting_t *other = td_config_check_group(check, "tunnels", first->position);

	for (unsigned i = 0; i < section->key_count; i++) {
		const struct td_config_key *key = &section->keys[i];

		if (!(key->flags & TD_CONFIG_SHARED) || is_same(key, first->tunnel->ike, end->tunnel->ike) ||
		    !td_config_key_sound(group, key->name) || !td_config_key_sound(other, key->name))
			continue;
		td_config_report_key(check->report, group, key->name,
		    "differs from the tunnel in line %u, which shares its IKE SA; allowed is the same, or "
		    "another "
		    "local_id or remote_id",
		    config_setting_source_line(other));
		return;
	}
}

static bool has_ends(config_setting_t *group)
{
	return td_config_key_given(group, "local_address") && td_config_key_given(group, "remote_address") &&
	       td_config_key_sound(group, "local_id") && td_config_key_sound(group, "remote_id");
}

static int check_all_shared(const struct td_config_check *check)
{
	const struct td_config *config = check->config;
	struct end *ends = calloc(config->tunnel_count + 1, sizeof(*ends));
	unsigned count = 0, first = 0;

	if (!ends)
		return -ENOMEM;
	for (unsigned i = 0; i < config->tunnel_count; i++) {
		config_setting_t *group = td_config_check_group(check, "tunnels", i);

		if (group && config->tunnels[i].ike && has_ends(group))
			ends[count++] = (struct end){&config->tunnels[i], i};
	}
	qsort(ends, count, sizeof(*ends), compare_end);
	for (unsigned i = 1; i < count; i++) {
		if (compare_ends(ends[i].tunnel, ends[first].tunnel) != 0)
			first = i;
		else
			check_shared(check, &ends[first], &ends[i]);
	}
	free(ends);
	return 0;
}

// Reports a suite of a proposal that this CPU does not run. integ 0: the cipher authenticates, too.
static void check_suite(
    const struct td_config_check *check, config_setting_t *setting, struct td_ike_suite suite)
{
	const char *name = td_ike_esp_suite_name(&suite);
	int found = name ? td_dp_suite_find(TD_SA_ESP, name) : -ENOENT;

	if (found >= 0 && !td_dp_suite_available((unsigned)found))
		td_config_report_setting(check->report, setting,
		    "asks for %s, which this CPU has no instructions for; allowed is what \"tandemctl suite "
		    "list\" "
		    "shows as available",
		    name);
}

// An SA of such a suite would be refused when the peer has agreed to it.
static void check_suites(
    const struct td_config_check *check, config_setting_t *group, const struct td_tunnel_ike_config *ike)
{
	config_setting_t *list = config_setting_get_member(group, "esp");

	for (unsigned i = 0; list && i < ike->esp_count; i++) {
		config_setting_t *setting = config_setting_get_elem(list, i);
		struct td_ike_proposals proposals = {0};

		// What cannot be read was reported where it was read.
		if (!ike->esp[i] ||
		    td_ike_proposal_parse(TD_IKE_PROTO_ESP, ike->esp[i], &proposals, NULL) < 0)
			continue;
		const struct td_ike_proposal *proposal = &proposals.list[0];
		for (unsigned e = 0; e < proposal->transform_count; e++) {
			const struct td_ike_transform *encr = &proposal->transforms[e];
			struct td_ike_suite suite = {
			    TD_IKE_PROTO_ESP, encr->id, encr->key_bits, 0, 0, 0, false};

			if (encr->type != TD_IKE_ENCR)
				continue;
			if (td_ike_encr_is_aead(encr->id))
				check_suite(check, setting, suite);
			for (unsigned n = 0; n < proposal->transform_count; n++) {
				suite.integ = proposal->transforms[n].id;
				if (proposal->transforms[n].type == TD_IKE_INTEG && suite.integ)
					check_suite(check, setting, suite);
			}
		}
	}
}

int td_config_check_ike(const struct td_config_check *check)
{
	for (unsigned i = 0; i < check->config->tunnel_count; i++) {
		const struct td_tunnel_config *tunnel = &check->config->tunnels[i];
		config_setting_t *group = td_config_check_group(check, "tunnels", i);

		if (!group)
			continue;
		check_any(check, group, tunnel);
		if (!tunnel->ike)
			continue;
		check_credentials(check, group, tunnel->ike);
		check_ports(check, group);
		check_times(check, group, tunnel->ike);
		check_files(check, group, tunnel->ike);
		check_suites(check, group, tunnel->ike);
	}
	return check_all_shared(check);
}
