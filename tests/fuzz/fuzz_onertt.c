// SPDX-License-Identifier: BSD-3-Clause
// libFuzzer target: a gateway with three peers of the one-round-trip exchange, one for each mode, and
// somebody who has the keys of all of them. The input is a list of steps: messages as they are; message 1 and
// message 2 whose payloads, bent canned ones or bytes alone, are sealed by a proper Noise handshake; messages
// of a session, with a stamp that is right; time that passes; wishes of operators.
//
// Found are: crashes, reports of sanitizers, a data plane used wrongly (gateway.c), SPIs, children and timers
// left behind, and a session with somebody who has sealed nothing.

#include "control/onertt/internal.h"
#include "tests/fuzz/gateway.h"

#include <string.h>

#define STEPS_MAX 24
#define NS_PER_MS 1000000ull
#define PEER_SPI 0x1122334455667700ull

int LLVMFuzzerInitialize(int *argc, char ***argv);
int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static const struct td_bytes nothing;
static struct fuzz_gateway gateway;
static struct td_onertt_static own, others[FUZZ_PEERS];
static struct td_onertt_remote own_public, publics[FUZZ_PEERS];
static struct td_onertt_config configs[FUZZ_PEERS];
static bool sealed; // a message was
static uint8_t plain[1u << 15], message[1u << 16];

enum step { STEP_RAW, STEP_ASK, STEP_ANSWER, STEP_SESSION, STEP_TIME, STEP_WISH, STEPS };

// ---- who there is ---------------------------------------------------------------------------------

static void key_make(uint8_t value, struct td_onertt_static *key, struct td_onertt_remote *public)
{
	struct td_secret bytes = {.length = TD_X25519_BYTES};

	memset(bytes.bytes, value, TD_X25519_BYTES);
	fuzz_require(td_x25519_make(&bytes, &key->pair) == 0);
	fuzz_require(td_onertt_key_id(key->pair.public_key, key->key_id) == 0);
	memcpy(public->public_key, key->pair.public_key, TD_X25519_BYTES);
	memcpy(public->key_id, key->key_id, TD_ONERTT_KEY_ID_BYTES);
}

// Between them: every mode, source and delivery.
static void configs_make(void)
{
	static const struct td_onertt_config like[FUZZ_PEERS] = {
	    {.authentication = TD_ONERTT_KEY, .delivery = TD_ONERTT_WRAPPED},
	    {.authentication = TD_ONERTT_ID, .source = TD_ONERTT_INITIATOR, .delivery = TD_ONERTT_WRAPPED},
	    {.authentication = TD_ONERTT_SECRET, .source = TD_ONERTT_INITIATOR, .early_data = true},
	};

	for (unsigned i = 0; i < FUZZ_PEERS; i++) {
		configs[i] = like[i];
		configs[i].enabled = true;
		configs[i].window = (struct td_freshness_window){.step_s = 30, .steps = 1};
		configs[i].session_ns = 200000 * NS_PER_MS;
		configs[i].own = &own;
		configs[i].remote = &publics[i];
		configs[i].secret.length = TD_NOISE_KEY_BYTES;
	}
}

static void gateway_start(void)
{
	static const char *const names[FUZZ_PEERS] = {"key", "id", "secret"};

	fuzz_gateway_create(&gateway);
	for (unsigned i = 0; i < FUZZ_PEERS; i++) {
		struct td_ike_peer_config config = {
		    .local_address = fuzz_local,
		    .remote_address = fuzz_remote,
		    .rekey_ns = 600000 * NS_PER_MS,
		    .retransmit_ns = 1000 * NS_PER_MS,
		    .retransmit_tries = 4,
		    .liveness_ns = 30000 * NS_PER_MS,
		    .fragment_bytes = 576,
		    .onertt = configs[i],
		};

		memcpy(config.name, names[i], strlen(names[i]));
		fuzz_require(td_ike_id_parse("gateway", &config.local_id) == 0);
		fuzz_require(td_ike_id_parse(names[i], &config.remote_id) == 0);
		gateway.peers[i] = td_ike_peer_add(gateway.ike, &config);
		fuzz_require(gateway.peers[i] != NULL);
		fuzz_gateway_tunnel_add(&gateway, i, gateway.peers[i]);
	}
}

// ---- reading the input --------------------------------------------------------------------------

static uint8_t take_u8(struct td_cursor *input)
{
	uint8_t value = 0;

	(void)td_cursor_u8(input, &value);
	return value;
}

static uint16_t take_u16(struct td_cursor *input)
{
	uint16_t value = 0;

	(void)td_cursor_u16(input, &value);
	return value;
}

static struct td_bytes take_bytes(struct td_cursor *input)
{
	size_t length = take_u8(input);
	struct td_bytes bytes = {0};

	(void)td_cursor_take(input, length < input->left ? length : input->left, &bytes);
	return bytes;
}

static void deliver(struct td_bytes bytes)
{
	struct td_path path = {.local = fuzz_local,
	    .remote = fuzz_remote,
	    .local_port = TD_IKE_PORT,
	    .remote_port = TD_IKE_PORT};

	td_ike_receive(gateway.ike, &path, bytes);
}

// ---- payloads -------------------------------------------------------------------------------------

// What a canned chain is written with.
struct canned {
	unsigned peer;
	bool response;
	uint64_t spi; // message 2: SPIr
	uint32_t esp; // message 2, source initiator: the SPI that message 1 has named
	const struct td_noise *noise;
	uint64_t time_us;
};

static void about_write(struct td_ike_chain *chain, const struct canned *canned)
{
	const struct td_onertt_config *config = &configs[canned->peer];
	uint8_t bytes[12] = {(uint8_t)config->source, (uint8_t)config->delivery};
	struct td_writer writer = {.data = bytes, .capacity = sizeof(bytes), .length = 4};

	if (canned->response)
		td_writer_u64(&writer, canned->spi);
	else if (config->source == TD_ONERTT_INITIATOR)
		td_writer_u32(&writer, FUZZ_SPI_CLAIMED);
	td_ike_notify_write(
	    chain, TD_IKE_PROTO_NONE, nothing, TD_N_ONE_ROUND_TRIP, td_writer_bytes_of(&writer));
}

static void child_write(struct td_ike_chain *chain, const struct canned *canned)
{
	uint8_t spi[4] = {0xc0, 0, 0, 1};
	struct td_writer writer = {.data = spi, .capacity = sizeof(spi)};
	struct td_ike_proposals proposals = {0};
	struct td_ts_list sides[2];
	struct td_error error;

	if (canned->esp)
		td_writer_u32(&writer, canned->esp);
	fuzz_require(td_ike_proposal_parse(TD_IKE_PROTO_ESP, "aes128gcm16-noesn", &proposals, &error) == 0);
	td_ike_proposals_write(chain, &proposals, spi, sizeof(spi));
	for (unsigned side = 0; side < 2; side++) {
		struct td_prefix prefix = {
		    .ip = td_ip_from_v4(0x0a000000u + (canned->peer << 16) + (side << 8)), .length = 24};

		sides[side] = (struct td_ts_list){.count = 1, .list = {td_ts_from_prefix(&prefix)}};
	}
	td_ts_write(chain, TD_IKE_PAYLOAD_TSI, &sides[canned->response ? 0 : 1]);
	td_ts_write(chain, TD_IKE_PAYLOAD_TSR, &sides[canned->response ? 1 : 0]);
}

static void keys_write(struct td_ike_chain *chain, const struct canned *canned)
{
	const struct td_onertt_config *config = &configs[canned->peer];
	struct td_onertt_first *first = td_onertt_first_create(config->source, config->delivery);

	fuzz_require(first != NULL);
	first->key_i.length = first->key_r.length = 20;
	if (config->delivery == TD_ONERTT_WRAPPED &&
	    (config->source == TD_ONERTT_CONTRIBUTORY) == canned->response)
		fuzz_require(td_onertt_wrapped_write(first, canned->noise, chain) == 0);
	td_onertt_first_free(first);
}

static void canned_write(struct td_ike_chain *chain, const struct canned *canned)
{
	static const uint8_t nonce[32] = {1};
	static const char *const names[FUZZ_PEERS] = {"", "id", "secret"};
	const char *name = names[canned->peer];
	struct td_freshness_stamp stamp;
	struct td_secret code_key;

	fuzz_require(td_onertt_export_key(canned->noise, "code", &code_key) == 0);
	fuzz_require(
	    td_freshness_stamp_make(&configs[canned->peer].window, &code_key, canned->time_us, &stamp) == 0);
	about_write(chain, canned);
	td_onertt_stamp_write(chain, &stamp);
	if (canned->peer > 0 && !canned->response)
		td_ike_id_write(chain, TD_IKE_PAYLOAD_IDI, TD_ID_FQDN,
		    (struct td_bytes){(const uint8_t *)name, strlen(name)});
	td_ike_nonce_write(chain, (struct td_bytes){nonce, sizeof(nonce)});
	keys_write(chain, canned);
	child_write(chain, canned);
}

// A canned chain with some bytes changed, and bytes behind it; or bytes alone. With the type of the first
// payload in front.
static struct td_bytes plain_take(struct td_cursor *input, const struct canned *canned)
{
	uint8_t choice = take_u8(input), changes = choice & 7;
	struct td_ike_chain chain;

	td_ike_chain_init(&chain, plain + 1, sizeof(plain) - 1);
	if (choice & 0x80)
		chain.first = take_u8(input);
	else
		canned_write(&chain, canned);
	for (; changes > 0 && chain.writer.length > 0; changes--) {
		uint16_t at = take_u16(input);

		plain[1 + at % chain.writer.length] ^= take_u8(input);
	}
	if (choice & 0xc0) {
		struct td_bytes more = take_bytes(input);

		td_writer_bytes(&chain.writer, more.data, more.length);
	}
	plain[0] = chain.first;
	return (struct td_bytes){plain, 1 + chain.writer.length};
}

// ---- the two messages -----------------------------------------------------------------------------

// Header and NOISE payload around what is written between begin and this; mostly as they should be.
static void noise_deliver(
    struct td_ike_chain *outer, size_t begin, struct td_ike_header header, uint8_t oddity)
{
	struct td_writer writer = {.data = message, .capacity = TD_IKE_HEADER_BYTES};

	td_ike_payload_end(outer, begin);
	header.version = TD_IKE_VERSION;
	header.exchange = TD_IKE_ONE_ROUND_TRIP;
	header.next_payload = outer->first;
	header.length = (uint32_t)(TD_IKE_HEADER_BYTES + outer->writer.length);
	td_ike_header_write(&writer, &header);
	if (oddity & 0x80)
		message[oddity % header.length] ^= 1;
	sealed = true;
	deliver((struct td_bytes){message, header.length});
}

static size_t outer_start(struct td_ike_chain *outer, enum td_noise_pattern pattern)
{
	size_t begin;

	td_ike_chain_init(outer, message + TD_IKE_HEADER_BYTES, sizeof(message) - TD_IKE_HEADER_BYTES);
	begin = td_ike_payload_begin(outer, TD_IKE_PAYLOAD_NOISE);
	td_writer_u32(&outer->writer, (uint32_t)pattern << 24);
	return begin;
}

static void ask_step(struct td_cursor *input)
{
	uint8_t choice = take_u8(input), oddity = take_u8(input), prologue[TD_ONERTT_PROLOGUE_BYTES];
	struct canned canned = {.peer = choice % FUZZ_PEERS};
	enum td_noise_pattern pattern = td_onertt_pattern(configs[canned.peer].authentication);
	struct td_ike_header header = {.spi_i = PEER_SPI + (choice >> 4), .flags = TD_IKE_FLAG_INITIATOR};
	struct td_noise_setup setup = {
	    .pattern = pattern,
	    .initiator = true,
	    .prologue = td_onertt_prologue(header.spi_i, pattern, own.key_id, prologue),
	    .own = pattern == TD_NOISE_IK ? &others[canned.peer].pair : NULL,
	    .remote = own_public.public_key,
	};
	struct td_noise noise;
	struct td_ike_chain outer;
	size_t begin = outer_start(&outer, pattern);

	// By seconds around now, mostly not.
	canned.time_us = fuzz_gateway_wall_us(&gateway) + (oddity & 0x40 ? (oddity & 63u) * 2000000ull : 0);
	td_writer_bytes(&outer.writer, own.key_id, sizeof(own.key_id));
	fuzz_require(td_noise_start(&noise, &setup) == 0);
	if (pattern == TD_NOISE_NKPSK2)
		fuzz_require(td_noise_psk_set(&noise, &configs[canned.peer].secret) == 0);
	fuzz_require(td_noise_write_tokens(&noise, td_onertt_random, gateway.ike, &outer.writer) == 0);
	canned.noise = &noise;
	struct td_bytes inside = plain_take(input, &canned);
	fuzz_require(td_noise_write_payload(&noise, inside, &outer.writer) == 0);
	noise_deliver(&outer, begin, header, oddity);
}

// A session that waits for message 2.
static struct td_ike_sa *waiting(unsigned number)
{
	struct td_ike_sa *sa, *found = NULL;

	LIST_FOREACH (sa, &gateway.ike->sas, all)
		if (sa->onertt && sa->onertt->attempt && sa->exchange.answered) {
			found = sa;
			if (number-- == 0)
				break;
		}
	return found;
}

static unsigned peer_number(const struct td_ike_sa *sa)
{
	unsigned number = 0;

	while (number < FUZZ_PEERS - 1 && gateway.peers[number] != sa->peer)
		number++;
	return number;
}

// Reads the message 1 that the gateway waits for an answer to, as the peer.
static bool message_1_read(const struct td_ike_sa *sa, unsigned peer, struct td_noise *noise)
{
	struct td_cursor body = td_cursor_of(sa->onertt->attempt->body);
	uint8_t prologue[TD_ONERTT_PROLOGUE_BYTES], inside[2048];
	enum td_noise_pattern pattern = td_onertt_pattern(configs[peer].authentication);
	struct td_noise_setup setup = {
	    .pattern = pattern,
	    .prologue = td_onertt_prologue(sa->spi_i, pattern, others[peer].key_id, prologue),
	    .own = &others[peer].pair,
	};
	size_t length;

	fuzz_require(td_cursor_skip(&body, 4 + TD_ONERTT_KEY_ID_BYTES));
	if (body.left > sizeof(inside))
		return false;
	fuzz_require(td_noise_start(noise, &setup) == 0);
	if (pattern == TD_NOISE_NKPSK2)
		fuzz_require(td_noise_psk_set(noise, &configs[peer].secret) == 0);
	fuzz_require(td_noise_read_tokens(noise, &body) == 0);
	fuzz_require(td_noise_read_payload(noise, &body, inside, &length) == 0);
	return true;
}

static void answer_step(struct td_cursor *input)
{
	uint8_t choice = take_u8(input), oddity = take_u8(input);
	struct td_ike_sa *sa = waiting(choice & 3);
	struct td_noise noise;
	struct td_ike_chain outer;

	if (!sa)
		return;
	struct canned canned = {.peer = peer_number(sa),
	    .response = true,
	    .spi = PEER_SPI + 0x80 + (choice >> 4),
	    .esp = td_onertt_first_spi(sa->handshake->first),
	    .noise = &noise,
	    .time_us = fuzz_gateway_wall_us(&gateway)};
	struct td_ike_header header = {.spi_i = sa->spi_i, .flags = TD_IKE_FLAG_RESPONSE};
	// Who refuses has no SPI.
	header.spi_r = choice & 8 ? 0 : canned.spi;
	if (!message_1_read(sa, canned.peer, &noise))
		return;
	size_t begin = outer_start(&outer, noise.pattern);
	fuzz_require(td_noise_write_tokens(&noise, td_onertt_random, gateway.ike, &outer.writer) == 0);
	struct td_bytes inside = plain_take(input, &canned);
	fuzz_require(td_noise_write_payload(&noise, inside, &outer.writer) == 0);
	noise_deliver(&outer, begin, header, oddity);
}

// ---- everything else --------------------------------------------------------------------------------

static void raw_step(struct td_cursor *input)
{
	deliver(take_bytes(input));
}

// A message of a session: the stamp is the next one of the peer's.
static void session_step(struct td_cursor *input)
{
	uint8_t choice = take_u8(input), exchange = take_u8(input);
	struct td_writer writer = {.data = message, .capacity = sizeof(message)};
	struct td_ike_sa *sa = LIST_FIRST(&gateway.ike->sas);
	struct td_ike_chain chain;
	struct td_freshness_stamp stamp;

	for (unsigned number = choice & 3; sa && number > 0; number--)
		sa = LIST_NEXT(sa, all);
	if (!sa || !sa->onertt || sa->onertt->attempt || sa->keys.prf == 0)
		return;
	struct td_freshness freshness = sa->onertt->freshness;
	struct td_ike_keys keys = sa->keys; // whose IVs nobody counts
	bool response = choice & 4;
	struct td_ike_header header = {.version = TD_IKE_VERSION, .spi_i = sa->spi_i, .spi_r = sa->spi_r};
	struct td_bytes inside = nothing;

	header.exchange = response ? sa->exchange.type : TD_IKE_CREATE_CHILD_SA + (exchange & 1);
	header.flags = (response ? TD_IKE_FLAG_RESPONSE : 0) | (sa->initiator ? 0 : TD_IKE_FLAG_INITIATOR);
	header.message_id = response ? sa->exchange.id : sa->expected_id;
	freshness.sent_us = freshness.seen_us[response ? TD_FRESHNESS_ANSWER : TD_FRESHNESS_REQUEST];
	fuzz_require(td_freshness_next(&freshness, td_onertt_steady_us(gateway.ike), &stamp) == 0);
	td_ike_chain_init(&chain, plain, sizeof(plain));
	td_onertt_stamp_write(&chain, &stamp);
	if (choice & 8)
		td_ike_notify_write(&chain, TD_IKE_PROTO_NONE, nothing, TD_N_KEY_EXPIRED, nothing);
	inside = take_bytes(input);
	td_writer_bytes(&chain.writer, inside.data, inside.length);
	if (td_ike_seal(
	        &keys, !sa->initiator, &header, chain.first, td_writer_bytes_of(&chain.writer), &writer) == 0)
		deliver(td_writer_bytes_of(&writer));
}

static bool time_step(struct td_cursor *input)
{
	uint16_t value = take_u16(input);

	return fuzz_gateway_run(&gateway, (value & 0x8000 ? 20ull : 1ull) * (value & 0x7fff) * NS_PER_MS);
}

static void wish_step(struct td_cursor *input)
{
	uint8_t choice = take_u8(input);
	struct td_life_tunnel *tunnel = gateway.tunnels[(choice >> 4) % FUZZ_TUNNELS];

	switch (choice & 3) {
	case 0:
		td_life_tunnel_down(tunnel);
		return;
	case 1:
		(void)td_life_tunnel_rekey(tunnel);
		return;
	case 2:
		if (choice & 4)
			fuzz_gateway_flood(&gateway);
		else
			(void)td_ike_peer_rekey(gateway.peers[(choice >> 4) % FUZZ_PEERS]);
		return;
	default:
		td_life_tunnel_up(tunnel);
		return;
	}
}

static bool is_established(void)
{
	const struct td_ike_sa *sa;

	LIST_FOREACH (sa, &gateway.ike->sas, all)
		if (sa->state != TD_IKE_CONNECTING)
			return true;
	return false;
}

static bool step(struct td_cursor *input)
{
	switch (take_u8(input) % STEPS) {
	case STEP_RAW:
		raw_step(input);
		break;
	case STEP_ASK:
		ask_step(input);
		break;
	case STEP_ANSWER:
		answer_step(input);
		break;
	case STEP_SESSION:
		session_step(input);
		break;
	case STEP_TIME:
		return time_step(input);
	case STEP_WISH:
		wish_step(input);
		break;
	}
	return fuzz_gateway_run(&gateway, 0);
}

int LLVMFuzzerInitialize(int *argc, char ***argv)
{
	(void)argc;
	(void)argv;
	key_make(0x41, &own, &own_public);
	for (unsigned i = 0; i < FUZZ_PEERS; i++)
		key_make((uint8_t)(0x51 + i), &others[i], &publics[i]);
	configs_make();
	return 0;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct td_cursor input = {data, size};

	sealed = false;
	gateway_start();
	for (unsigned steps = 0; steps < STEPS_MAX && input.left > 0 && step(&input); steps++)
		fuzz_require(sealed || !is_established());
	fuzz_gateway_stop(&gateway);
	return 0;
}
