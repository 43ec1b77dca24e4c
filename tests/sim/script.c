// SPDX-License-Identifier: BSD-3-Clause
// Runs arrow scripts.

#include "tests/sim/script.h"

#include "control/ike/internal.h"

#include <stdlib.h>
#include <string.h>

#define REST_S 200
#define TRAFFIC_NS (5 * SIM_MS)

struct run {
	struct sim_world *world;
	const struct sim_script *script;
	const char *step;
	uint8_t nonces[2][8];
	struct sim_message *seen; // kept by who was not meant
};

static struct sim_end *end_of(const struct run *run, char letter)
{
	return &run->world->links[0].ends[letter == 'A' ? 0 : 1];
}

static struct sim_node *node_of(const struct run *run, char letter)
{
	return &run->world->nodes[letter == 'A' ? 0 : 1];
}

// ---- setting up ---------------------------------------------------------------------------------

static void proposals(const char *text, uint8_t protocol, struct td_ike_proposals *list)
{
	struct td_error error;

	if (td_ike_proposal_parse(protocol, text, list, &error) < 0)
		abort();
}

static struct td_ts_list selectors(uint32_t network, uint8_t length)
{
	struct td_prefix prefix = {.ip = td_ip_from_v4(network), .length = length};

	return (struct td_ts_list){.count = 1, .list = {td_ts_from_prefix(&prefix)}};
}

static void onertt_set_up(struct run *run, unsigned index)
{
	unsigned flags = run->script->flags;
	struct sim_node *node = &run->world->nodes[index], *peer = &run->world->nodes[1 - index];
	struct td_onertt_config *own = &node->peer_config[1 - index].onertt;
	struct td_onertt_config config = {
	    .authentication = flags & SCRIPT_SECRET ? TD_ONERTT_SECRET
	                      : flags & SCRIPT_ID   ? TD_ONERTT_ID
	                                            : TD_ONERTT_KEY,
	    .source = flags & (SCRIPT_EARLY | SCRIPT_INITIATOR) || (flags & SCRIPT_NO_PROPOSAL && index == 1)
	                  ? TD_ONERTT_INITIATOR
	                  : TD_ONERTT_CONTRIBUTORY,
	    .delivery = flags & SCRIPT_WRAPPED ? TD_ONERTT_WRAPPED : TD_ONERTT_DERIVED,
	    .early_data = (flags & SCRIPT_EARLY) != 0,
	    .early_delay_ns = 5 * SIM_MS,
	    .window = {30, 1},
	    .session_ns = flags & SCRIPT_SESSION || (flags & SCRIPT_SESSION_B && index == 1) ? 3 * SIM_S : 0,
	};

	sim_onertt_configure(node, peer, &config);
	if (flags & SCRIPT_SECRET && index == 0)
		own->own = NULL;
	if (flags & SCRIPT_SECRET && index == 1)
		own->remote = NULL;
	if (flags & SCRIPT_SKEW && index == 0)
		node->wall_off_us = -5ll * 86400 * 1000000;
}

static void node_set_up(struct run *run, unsigned index)
{
	unsigned flags = run->script->flags;
	struct sim_node *node = &run->world->nodes[index];
	struct td_ike_peer_config *config = &node->peer_config[1 - index];
	const char *psk = index == 1 && (flags & SCRIPT_WRONG_PSK) ? "another secret between them"
	                                                           : "the same secret on both sides";

	node->credential = td_ike_credential_psk_bytes((struct td_bytes){(const uint8_t *)psk, strlen(psk)});
	*config = (struct td_ike_peer_config){
	    .local_address = node->ip,
	    .remote_address = run->world->nodes[1 - index].ip,
	    .local_id = {.type = TD_ID_FQDN, .length = flags & SCRIPT_LONG ? 250 : 1},
	    .local = node->credential,
	    .remote = node->credential,
	    .retransmit_ns = 500 * SIM_MS,
	    .retransmit_tries = 5,
	    .rekey_ns = index == 0 && (flags & SCRIPT_IKE_LIFETIME) ? 2 * SIM_S : 0,
	    .liveness_ns = flags & SCRIPT_LIVENESS ? SIM_S : 0,
	    .fragment_bytes = flags & SCRIPT_LONG ? 576 : 1280,
	};
	memset(config->local_id.data, 'a' + (int)index, config->local_id.length);
	config->remote_id = config->local_id;
	memset(config->remote_id.data, 'b' - (int)index, config->remote_id.length);
	if (index == 1 && (flags & SCRIPT_ANYBODY))
		config->remote_id = (struct td_ike_id){0};
	if (index == 1 && (flags & SCRIPT_NAT))
		config->remote_address = run->world->nat_ip;
	proposals(flags & SCRIPT_NO_PROPOSAL && index == 1 ? "chacha20poly1305-prfsha512-x25519"
	          : !(flags & SCRIPT_IKE_GROUPS)           ? "aes128gcm16-prfsha256-x25519"
	          : index == 0                             ? "aes128gcm16-prfsha256-x25519-ecp256"
	                                                   : "aes128gcm16-prfsha256-ecp256-x25519",
	    TD_IKE_PROTO_IKE, &config->proposals);
	// Without it, early data goes before there is a word about a NAT.
	config->encapsulate =
	    index == 0 && flags & SCRIPT_NAT && flags & SCRIPT_EARLY && !(flags & SCRIPT_LONG);
	if (flags & SCRIPT_ONERTT)
		onertt_set_up(run, index);
}

static void end_set_up(struct run *run, unsigned link, unsigned index)
{
	unsigned flags = run->script->flags;
	struct sim_end *end = &run->world->links[link].ends[index];

	end->life_config = (struct td_life_config){
	    .name = "tunnel",
	    .start = index == 0 || (flags & SCRIPT_BOTH_START) ? TD_START_BOOT : TD_START_RESPOND,
	    .slots = flags & SCRIPT_WORKERS ? 3 : 1,
	    .soft_ns = flags & SCRIPT_LIFETIME ? SIM_S
	               : flags & SCRIPT_HOUR   ? 3600 * SIM_S
	                                       : 0,
	    .hard_ns = flags & SCRIPT_LIFETIME ? SIM_S * 3 / 2
	               : flags & SCRIPT_HOUR   ? 3960 * SIM_S
	                                       : 0,
	    .drain_ns = SIM_S,
	    .quiet_ns = 8 * SIM_S,
	    .retry_ns = 200 * SIM_MS,
	};
	end->child_config.local = selectors(0x0a000000u + (index << 8), 24);
	end->child_config.remote = selectors(0x0a000000u + ((1 - index) << 8), 24);
	if (index == 1 && (flags & SCRIPT_OTHER_TS))
		end->child_config.local = selectors(0x0b000000u, 24);
	if (index == 1 && (flags & SCRIPT_NARROW_TS)) {
		end->child_config.local = selectors(0x0a000100u, 25);
		end->child_config.remote = selectors(0x0a000000u, 16);
	}
	if (flags & SCRIPT_TWO) {
		uint8_t length = flags & (link == 0 ? SCRIPT_PART_FIRST : SCRIPT_PART_LAST) ? 24 : 16;

		end->child_config.local = selectors(0x0a010500u + (index << 16), length);
		end->child_config.remote = selectors(0x0a010500u + ((1 - index) << 16), length);
	}
	proposals(flags & SCRIPT_NO_ESP && index == 1       ? "aes256-sha256"
	          : !(flags & (SCRIPT_PFS | SCRIPT_GROUPS)) ? "aes128gcm16"
	          : !(flags & SCRIPT_GROUPS)                ? "aes128gcm16-x25519"
	          : index == 0                              ? "aes128gcm16-x25519-ecp256"
	                                                    : "aes128gcm16-ecp256-x25519",
	    TD_IKE_PROTO_ESP, &end->child_config.proposals);
}

static void set_up(struct run *run)
{
	struct sim_world *world = run->world;

	world->weather = (struct sim_weather){.delay_min_ns = SIM_MS, .delay_max_ns = SIM_MS};
	world->data_delay_min_ns = world->data_delay_max_ns = 3 * SIM_MS;
	world->traffic_ns[0] = TRAFFIC_NS;
	if (run->script->flags & SCRIPT_NAT) {
		world->nat_ip = td_ip_from_v4(0xcb007101u);
		world->nat_shift = 20000;
	}
	sim_node_init(world, 0);
	sim_node_init(world, 1);
	(void)sim_link_add(world, 0, 1);
	if (run->script->flags & SCRIPT_TWO) {
		(void)sim_link_add(world, 0, 1);
		world->traffic_ns[1] = TRAFFIC_NS;
	}
	for (unsigned i = 0; i < 2; i++) {
		node_set_up(run, i);
		for (unsigned link = 0; link < world->link_count; link++)
			end_set_up(run, link, i);
	}
	world->by_hand = (run->script->flags & SCRIPT_FRESH) != 0;
	sim_node_start(&world->nodes[0]);
	sim_node_start(&world->nodes[1]);
	sim_traffic_start(world);
	if (!world->by_hand)
		sim_world_run(world, world->now_ns + SIM_S / 2);
	sim_world_run(world, world->now_ns);
	world->by_hand = true;
	sim_trace(world, "   the script begins");
}

// ---- messages -----------------------------------------------------------------------------------

static const struct {
	const char *name;
	uint8_t exchange;
} exchanges[] = {{"noise", TD_IKE_ONE_ROUND_TRIP}, {"init", TD_IKE_SA_INIT}, {"auth", TD_IKE_AUTH},
    {"create", TD_IKE_CREATE_CHILD_SA}, {"info", TD_IKE_INFORMATIONAL}, {"any", 0}};

// The oldest message from a node that a step describes: "create?", "info!".
static struct sim_message *message_find(const struct run *run, char from, const char *what, const char *word)
{
	size_t length = strcspn(what, "?!");
	bool answer = what[length] == '!';
	struct sim_message *message;
	uint8_t exchange = 255;
	char text[512];

	for (unsigned i = 0; i < sizeof(exchanges) / sizeof(exchanges[0]); i++)
		if (strlen(exchanges[i].name) == length && strncmp(what, exchanges[i].name, length) == 0)
			exchange = exchanges[i].exchange;
	TAILQ_FOREACH (message, &run->world->messages, all) {
		struct td_ike_header header;

		if (message->timer.armed || message->from != node_of(run, from) ||
		    td_ike_header_read((struct td_bytes){message->data, message->length}, &header) < 0)
			continue;
		if ((exchange != 0 && header.exchange != exchange) || td_ike_is_response(&header) != answer)
			continue;
		if (!word || strstr(sim_message_text(
		                        message->from, message->data, message->length, text, sizeof(text)),
		                 word))
			return message;
	}
	return NULL;
}

static void seen_keep(struct run *run, const struct sim_message *message)
{
	size_t size = sizeof(*message) + message->length;

	free(run->seen);
	run->seen = malloc(size);
	if (!run->seen)
		abort();
	memcpy(run->seen, message, size);
}

// From the address that it came from.
static void again(struct run *run)
{
	const struct sim_message *seen = run->seen;

	if (!seen)
		sim_fail(run->world, "%s: nothing was kept", run->step);
	else if (seen->to->ike)
		td_ike_receive(seen->to->ike, &seen->path, (struct td_bytes){seen->data, seen->length});
	sim_world_run(run->world, run->world->now_ns);
}

static void arrow(struct run *run, const char *step)
{
	char how = strchr("-+~^%@_*", step[0]) ? *step++ : 0, wanted[64];
	const char *word = strchr(step, '(');
	struct sim_message *message;

	if (word)
		(void)snprintf(wanted, sizeof(wanted), "%.*s", (int)strcspn(word + 1, ")"), word + 1);
	message = message_find(run, step[0], step + 2, word ? wanted : NULL);
	if (!message) {
		sim_fail(run->world, "%s: there is no such message", run->step);
		return;
	}
	if (how == '-') {
		sim_message_drop(message, "LOST");
		return;
	}
	if (how == '+')
		(void)sim_message_copy(message);
	if (how == '*')
		seen_keep(run, message);
	sim_message_alter(message, how);
	sim_message_deliver(message);
}

// ---- steps --------------------------------------------------------------------------------------

static unsigned children(const struct sim_end *end)
{
	unsigned count = 0;

	for (unsigned slot = 0; end->tunnel && slot < end->life_config.slots; slot++)
		for (const struct td_life_child *child = td_life_tunnel_children(end->tunnel, slot); child;
		     child = child->next)
			count += child->state != TD_CHILD_DRAINING;
	return count;
}

static unsigned ikes(const struct sim_node *node, unsigned peer)
{
	const struct td_ike_sa *sa;
	unsigned count = 0;

	if (node->peers[peer])
		TAILQ_FOREACH (sa, &node->peers[peer]->sas, of_peer)
			count++;
	return count;
}

static void number_check(struct run *run, uint64_t found, const char *wanted)
{
	if (found != strtoull(wanted, NULL, 10))
		sim_fail(run->world, "%s: it is %llu", run->step, (unsigned long long)found);
}

static void nonces_set(struct run *run, struct sim_node *node, const char *list)
{
	char *rest = NULL;

	node->nonce_bytes = run->nonces[node->index];
	node->nonce_count = 0;
	for (const char *byte = list; byte && node->nonce_count < sizeof(run->nonces[0]);
	     byte = *rest == ',' ? rest + 1 : NULL)
		run->nonces[node->index][node->nonce_count++] = (uint8_t)strtoul(byte, &rest, 16);
}

static bool of_onertt_check(
    struct run *run, const struct sim_node *node, const char *what, size_t length, const char *value)
{
	const struct td_onertt_stats *stats = &td_ike_stats(node->ike)->onertt;
	const struct {
		const char *name;
		uint64_t found;
	} rows[] = {{"stale", stats->stale}, {"replayed", stats->replayed}, {"accepted", stats->accepted},
	    {"answered", stats->answered}, {"renewed", stats->renewed}};

	for (unsigned i = 0; i < sizeof(rows) / sizeof(rows[0]); i++)
		if (strlen(rows[i].name) == length && strncmp(what, rows[i].name, length) == 0) {
			number_check(run, rows[i].found, value);
			return true;
		}
	return false;
}

static void of_node_check(struct run *run, char letter, const char *what, size_t length, const char *value)
{
	struct sim_end *end = end_of(run, letter);
	const struct td_life_stats *stats = td_life_tunnel_stats(end->tunnel);

	if (strncmp(what, "children", length) == 0)
		number_check(run, children(end), value);
	else if (strncmp(what, "ikes", length) == 0)
		number_check(run, ikes(end->node, end->other->node->index), value);
	else if (strncmp(what, "traffic", length) == 0)
		number_check(run, stats->activated_by_traffic, value);
	else if (strncmp(what, "timer", length) == 0)
		number_check(run, stats->activated_by_timer, value);
	else if (strncmp(what, "delete", length) == 0)
		number_check(run, stats->activated_by_delete, value);
	else if (strncmp(what, "answer", length) == 0)
		number_check(run, stats->activated_by_answer, value);
	else if (strncmp(what, "expired", length) == 0)
		number_check(run, stats->expired, value);
	else if (strncmp(what, "failed", length) == 0)
		number_check(run, end->node->ike_failed, value);
	else if (strncmp(what, "dead", length) == 0)
		number_check(run, end->node->ike_dead, value);
	else if (strncmp(what, "message", length) == 0)
		number_check(run, stats->activated_by_message, value);
	else if (strncmp(what, "early", length) == 0)
		number_check(run, stats->activated_early, value);
	else if (strncmp(what, "moved", length) == 0)
		number_check(run, end->node->moved, value);
	else if (strncmp(what, "repeated", length) == 0)
		number_check(run, td_ike_stats(end->node->ike)->retransmitted, value);
	else if (strncmp(what, "rekeyed", length) == 0)
		number_check(run, end->node->ike_rekeyed, value);
	else if (strncmp(what, "nonce", length) == 0)
		nonces_set(run, end->node, value);
	else if (strncmp(what, "later", length) == 0)
		end->node->wall_off_us += (int64_t)strtoull(value, NULL, 10) * 1000000;
	else if (strncmp(what, "unsealed", length) == 0)
		sim_fault_seals(end->node, (unsigned)strtoul(value, NULL, 10));
	else if (strncmp(what, "crowd", length) == 0)
		end->node->ike->half_open += (unsigned)strtoul(value, NULL, 10);
	else if (strncmp(what, "uninstalled", length) == 0)
		end->node->refusals = (unsigned)strtoul(value, NULL, 10);
	else if (strncmp(what, "told", length) == 0)
		sim_stranger_answers(end->node, end->other->node->index, (uint16_t)strtoul(value, NULL, 10));
	else if (strncmp(what, "untasked", length) == 0)
		sim_fault_tasks(end->node, (unsigned)strtoul(value, NULL, 10));
	else if (!of_onertt_check(run, end->node, what, length, value))
		sim_fail(run->world, "%s: no such step", run->step);
}

static struct td_life_child *child_oldest(const struct sim_end *end)
{
	struct td_life_child *child = td_life_tunnel_children(end->tunnel, 0), *oldest = NULL;

	for (; child; child = child->next)
		if (child->state != TD_CHILD_DRAINING)
			oldest = child;
	return oldest;
}

// Another peer between the same addresses, found first, which has a proposal in common with anybody here.
static void decoy_add(struct sim_node *node, unsigned peer)
{
	struct td_ike_peer_config config = node->peer_config[peer];

	config.remote_id.data[0] = 'z';
	config.onertt.enabled = false;
	config.local = config.remote = node->credential;
	config.proposals.count = 0;
	proposals("aes128gcm16-prfsha256-x25519", TD_IKE_PROTO_IKE, &config.proposals);
	if (!td_ike_peer_add(node->ike, &config))
		abort();
}

static void all_ends(struct run *run, char letter, void (*fn)(struct sim_end *end))
{
	for (unsigned i = 0; i < run->world->link_count; i++)
		fn(&run->world->links[i].ends[letter == 'A' ? 0 : 1]);
}

static void of_node(struct run *run, char letter, const char *what)
{
	struct sim_end *end = end_of(run, letter);
	struct sim_node *node = end->node, *peer = end->other->node;
	struct td_life_child *child = end->tunnel ? td_life_tunnel_current(end->tunnel, 0) : NULL;
	const char *value = strchr(what, '=');

	if (value)
		of_node_check(run, letter, what, (size_t)(value - what), value + 1);
	else if (strcmp(what, "rekey") == 0)
		(void)td_life_tunnel_rekey(end->tunnel);
	else if (strcmp(what, "rekey-ike") == 0)
		(void)td_ike_peer_rekey(node->peers[peer->index]);
	else if (strcmp(what, "down") == 0)
		sim_end_down(end);
	else if (strcmp(what, "up") == 0)
		sim_end_up(end);
	else if (strcmp(what, "all-down") == 0)
		all_ends(run, letter, sim_end_down);
	else if (strcmp(what, "all-up") == 0)
		all_ends(run, letter, sim_end_up);
	else if (strcmp(what, "crash") == 0)
		sim_node_stop(node, true);
	else if (strcmp(what, "start") == 0)
		sim_node_start(node);
	else if (strcmp(what, "stranger") == 0)
		sim_stranger_asks(node, peer->index);
	else if (strcmp(what, "squat") == 0)
		sim_stranger_squats(node, peer->index);
	else if (strcmp(what, "decoy") == 0)
		decoy_add(node, peer->index);
	else if (strcmp(what, "minimal") == 0)
		sim_fault_minimal(node);
	else if (strcmp(what, "turn") == 0)
		sim_groups_turn(end);
	else if (strcmp(what, "anybody") == 0)
		sim_anybody_add(end);
	else if (strcmp(what, "rename") == 0)
		node->peer_config[peer->index].local_id.data[0] = 'n';
	else if (strcmp(what, "soft") == 0 && child)
		td_life_soft_limit(child);
	else if (strcmp(what, "hard") == 0 && child)
		td_life_hard_limit(child);
	else if (strcmp(what, "hard-old") == 0 && child_oldest(end))
		td_life_hard_limit(child_oldest(end));
	else if (strcmp(what, "mute") == 0)
		run->world->cut_until_ns[node->index][peer->index] = UINT64_MAX;
	else if (strcmp(what, "heard") == 0)
		run->world->cut_until_ns[node->index][peer->index] = 0;
	else if (strcmp(what, "none") == 0) {
		if (message_find(run, letter, "any?", NULL) || message_find(run, letter, "any!", NULL))
			sim_fail(run->world, "%s: there is a message", run->step);
	} else {
		sim_fail(run->world, "%s: no such step", run->step);
	}
	// What the product does not do from within a call it does now.
	sim_world_run(run->world, run->world->now_ns);
}

static void held_release(struct sim_world *world)
{
	struct sim_message *message;
	uint64_t delay = 0;

	world->by_hand = false;
	TAILQ_FOREACH (message, &world->messages, all)
		if (!message->timer.armed)
			td_timers_set(&world->timers, &message->timer, world->now_ns + SIM_MS + ++delay);
}

static void rest(struct run *run, uint64_t most_ns)
{
	uint64_t until = run->world->now_ns + most_ns;
	char why[200] = "";

	held_release(run->world);
	while (!run->world->failed && !sim_at_rest(run->world, why, sizeof(why))) {
		if (run->world->now_ns >= until) {
			sim_trace_state(run->world);
			sim_fail(run->world, "not at rest after %llu ms: %s",
			    (unsigned long long)(most_ns / SIM_MS), why);
		}
		sim_world_run(run->world, run->world->now_ns + 10 * SIM_MS);
	}
	run->world->by_hand = true;
}

// Initiators that never return a cookie, made from A's first message.
static void flood(struct run *run, unsigned count)
{
	struct sim_message *message = message_find(run, 'A', "init?", NULL);

	for (unsigned i = 0; message && i < count; i++) {
		struct sim_message *copy = sim_message_copy(message);

		memcpy(copy->data, &i, sizeof(i));
		copy->data[7] ^= 0x55;
		sim_message_deliver(copy);
		while ((copy = message_find(run, 'B', "any!", NULL)))
			sim_message_drop(copy, "to nobody");
	}
}

// Somebody uses up the answers that anybody can ask B for: messages of A's about IKE SAs that are not there.
static void gossip(struct run *run, unsigned count)
{
	struct sim_message *message = message_find(run, 'A', "any?", NULL);

	for (unsigned i = 0; message && i < count; i++) {
		struct sim_message *copy = sim_message_copy(message);

		copy->data[8] ^= 0x55; // in the responder's SPI
		copy->data[18] = TD_IKE_INFORMATIONAL;
		sim_message_deliver(copy);
		while ((copy = message_find(run, 'B', "any!", NULL)))
			sim_message_drop(copy, "to nobody");
	}
}

static void step(struct run *run, const char *text)
{
	struct sim_world *world = run->world;

	run->step = text;
	sim_trace(world, "   > %s", text);
	if ((text[0] == 'A' || text[0] == 'B') && text[1] == ':') {
		of_node(run, text[0], text + 2);
	} else if (strncmp(text, "wait=", 5) == 0) {
		sim_world_run(world, world->now_ns + strtoull(text + 5, NULL, 10) * SIM_MS);
	} else if (strncmp(text, "flow=", 5) == 0) {
		held_release(world);
		sim_world_run(world, world->now_ns + strtoull(text + 5, NULL, 10) * SIM_MS);
		world->by_hand = true;
	} else if (strncmp(text, "flood=", 6) == 0) {
		flood(run, (unsigned)strtoul(text + 6, NULL, 10));
	} else if (strncmp(text, "gossip=", 7) == 0) {
		gossip(run, (unsigned)strtoul(text + 7, NULL, 10));
	} else if (strcmp(text, "rest") == 0) {
		rest(run, REST_S * SIM_S);
	} else if (strncmp(text, "rest=", 5) == 0) {
		rest(run, strtoull(text + 5, NULL, 10) * SIM_MS);
	} else if (strcmp(text, "again") == 0) {
		again(run);
	} else if (strcmp(text, "trouble") == 0) {
		world->faulty = true;
	} else if (strcmp(text, "calm") == 0) {
		world->faulty = false;
	} else if (strcmp(text, "rebind") == 0) {
		world->nat_shift += 100;
	} else {
		arrow(run, text);
		sim_world_run(world, world->now_ns);
	}
	sim_check(world);
}

static void kept_check(const struct run *run)
{
	for (char letter = 'A'; letter <= 'B'; letter++) {
		const struct td_life_child *child = td_life_tunnel_current(end_of(run, letter)->tunnel, 0);

		if (!child || child->initiator != (letter == run->script->kept))
			sim_fail(run->world, "the wrong child remains");
	}
}

static void finish(struct run *run)
{
	struct sim_world *world = run->world;
	uint64_t before[2];

	if (run->script->flags & SCRIPT_DOWN_AT_END) {
		for (unsigned i = 0; i < 2; i++)
			if (world->links[0].ends[i].stats.received)
				sim_fail(world, "a packet arrived though nothing can be set up");
	} else if (!world->failed) {
		rest(run, REST_S * SIM_S);
		if (run->script->kept)
			kept_check(run);
		for (unsigned i = 0; i < 2; i++)
			before[i] = world->links[0].ends[i].stats.received;
		held_release(world);
		world->faulty = false;
		sim_world_run(world, world->now_ns + 3 * SIM_S);
		for (unsigned i = 0; i < 2; i++)
			if (!world->failed && world->links[0].ends[i].stats.received <= before[i])
				sim_fail(world, "nothing of %c arrives at the end", 'A' + (int)i);
	}
	if (!world->failed)
		for (unsigned i = 0; i < 2; i++)
			sim_node_stop(&world->nodes[i], false);
}

bool sim_script_run(const struct sim_script *script, FILE *trace, char *why, size_t size)
{
	static struct sim_world world;
	struct run run = {.world = &world, .script = script};
	char *steps = strdup(script->steps), *rest_of = NULL;
	bool passed;

	if (!steps)
		abort();
	sim_faults_clear();
	sim_world_init(&world, 7);
	world.trace = trace;
	set_up(&run);
	for (char *word = strtok_r(steps, " ", &rest_of); word && !world.failed;
	     word = strtok_r(NULL, " ", &rest_of))
		step(&run, word);
	if (!world.failed)
		finish(&run);
	passed = !world.failed;
	(void)snprintf(why, size, "%s", world.failure);
	world.failed = true;
	sim_world_free(&world);
	free(run.seen);
	free(steps);
	return passed;
}
