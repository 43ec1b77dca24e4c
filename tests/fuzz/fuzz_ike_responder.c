// SPDX-License-Identifier: BSD-3-Clause
// libFuzzer target: a whole gateway and a peer that may say anything, also behind the ICV. The input is a
// list of steps: datagrams as they are; messages, bent canned ones or raw payloads, that are put under a
// right header and sealed with the session's own keys; time that passes; wishes of operators and events of
// the data plane.
//
// Found are: crashes, reports of sanitizers, a data plane used wrongly (gateway.c), SPIs, children and timers
// left behind, timers that keep each other busy, and a child for somebody who has proved nothing.

#include "tests/fuzz/canned.h"

#include <string.h>

#define STEPS_MAX 48
#define NS_PER_MS 1000000ull
#define PEER_SPI 0x1122334455667700ull

int LLVMFuzzerInitialize(int *argc, char ***argv);
int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static struct fuzz_gateway gateway;
static bool proved; // an AUTH payload that holds was made
static uint8_t chain_bytes[1u << 16], message_bytes[1u << 16];

enum step { STEP_RAW, STEP_CLEAR, STEP_SEALED, STEP_FRAGMENT, STEP_TIME, STEP_WISH, STEP_EVENT, STEPS };

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
	size_t length = take_u16(input);
	struct td_bytes bytes = {0};

	(void)td_cursor_take(input, length < input->left ? length : input->left, &bytes);
	return bytes;
}

// Usually the peer's address; sometimes somebody else's, or behind a NAT.
static struct td_path path_of(uint8_t choice)
{
	struct td_path path = {.local = fuzz_local,
	    .remote = fuzz_remote,
	    .local_port = TD_IKE_PORT,
	    .remote_port = TD_IKE_PORT};

	if (choice & 1)
		path.remote.bytes[3] = 77;
	if (choice & 2)
		path.local_port = path.remote_port = TD_IKE_NATT_PORT;
	return path;
}

static struct td_ike_sa *sa_pick(unsigned number)
{
	struct td_ike_sa *sa = LIST_FIRST(&gateway.ike->sas);

	for (; sa && number > 0; number--)
		sa = LIST_NEXT(sa, all);
	return sa;
}

// ---- messages -----------------------------------------------------------------------------------

// One message of the peer's: where it goes, and what makes it differ from a proper one.
struct shape {
	struct td_ike_sa *sa; // NULL: none
	bool response;
	uint8_t exchange, path;
	int id_off;
};

static struct shape shape_take(struct td_cursor *input)
{
	uint8_t choice = take_u8(input), oddity = take_u8(input);
	struct shape shape = {.sa = sa_pick(choice & 3), .response = choice & 4, .path = choice >> 3 & 3};

	// Proper ones must be frequent.
	shape.exchange = oddity & 0x80 ? TD_IKE_SA_INIT + (oddity >> 5 & 3) : 0;
	shape.id_off = oddity & 0x10 ? (oddity & 15) - 8 : 0;
	return shape;
}

static struct td_ike_header header_of(const struct shape *shape, bool clear)
{
	const struct td_ike_sa *sa = shape->sa;
	struct td_ike_header header = {
	    .version = TD_IKE_VERSION,
	    .exchange = clear ? TD_IKE_SA_INIT : TD_IKE_INFORMATIONAL,
	    .flags = shape->response ? TD_IKE_FLAG_RESPONSE : 0,
	};

	if (!sa || (clear && !shape->response)) {
		header.spi_i = PEER_SPI + (uint8_t)shape->id_off;
		header.flags |= TD_IKE_FLAG_INITIATOR;
	} else {
		header.spi_i = sa->spi_i;
		header.spi_r = sa->spi_r ? sa->spi_r : PEER_SPI;
		header.flags |= sa->initiator ? 0 : TD_IKE_FLAG_INITIATOR;
		header.message_id =
		    (shape->response ? sa->exchange.id : sa->expected_id) + (uint32_t)shape->id_off;
		if (shape->response)
			header.exchange = sa->exchange.type;
		else if (sa->state == TD_IKE_CONNECTING)
			header.exchange = TD_IKE_AUTH;
	}
	if (shape->exchange)
		header.exchange = shape->exchange;
	return header;
}

// The exchange that a canned request belongs to.
static uint8_t exchange_of(enum fuzz_canned kind)
{
	switch (kind) {
	case FUZZ_AUTH_PSK:
	case FUZZ_AUTH_KEY:
		return TD_IKE_AUTH;
	case FUZZ_CREATE:
	case FUZZ_REKEY_CHILD:
	case FUZZ_REKEY_IKE:
		return TD_IKE_CREATE_CHILD_SA;
	default:
		return 0;
	}
}

// A canned chain with some bytes changed, or bytes alone. Bytes behind a canned one are further payloads.
static void chain_take(struct td_cursor *input, struct shape *shape, struct td_ike_chain *chain)
{
	uint8_t kind = take_u8(input), number = take_u8(input), changes = take_u8(input) & 7;

	td_ike_chain_init(chain, chain_bytes, sizeof(chain_bytes) - UINT16_MAX / 2);
	if (kind & 0x80) {
		struct td_bytes bytes = take_bytes(input);

		chain->first = number;
		td_writer_bytes(&chain->writer, bytes.data, bytes.length);
		return;
	}
	kind %= FUZZ_CANNED;
	fuzz_canned_write(chain, kind, shape->sa, number);
	proved |= kind == FUZZ_AUTH_PSK || kind == FUZZ_AUTH_KEY;
	if (!shape->response && !shape->exchange)
		shape->exchange = exchange_of(kind);
	for (; changes > 0 && chain->writer.length > 0; changes--) {
		uint16_t at = take_u16(input);

		chain_bytes[at % chain->writer.length] ^= take_u8(input);
	}
	// To add one the fuzzer has to change the type that the last payload says comes next.
	if (number & 64) {
		struct td_bytes more = take_bytes(input);

		td_writer_bytes(&chain->writer, more.data, more.length);
	}
}

static void deliver(const struct shape *shape, struct td_bytes message)
{
	struct td_path path = path_of(shape->path);

	td_ike_receive(gateway.ike, &path, message);
}

static void clear_step(struct td_cursor *input)
{
	struct td_writer writer = {.data = message_bytes, .capacity = sizeof(message_bytes)};
	struct shape shape = shape_take(input);
	struct td_ike_chain chain;

	chain_take(input, &shape, &chain);
	struct td_ike_header header = header_of(&shape, true);
	header.next_payload = chain.first;
	header.length = (uint32_t)(TD_IKE_HEADER_BYTES + chain.writer.length);
	td_ike_header_write(&writer, &header);
	td_writer_bytes(&writer, chain.writer.data, chain.writer.length);
	if (!writer.overflow)
		deliver(&shape, td_writer_bytes_of(&writer));
}

static void sealed_step(struct td_cursor *input, bool fragment)
{
	struct td_writer writer = {.data = message_bytes, .capacity = sizeof(message_bytes)};
	uint8_t number = fragment ? take_u8(input) : 0;
	struct shape shape = shape_take(input);
	struct td_ike_chain chain;
	int ret;

	chain_take(input, &shape, &chain);
	if (!shape.sa || shape.sa->keys.prf == 0)
		return;
	struct td_ike_header header = header_of(&shape, false);
	struct td_ike_keys keys = shape.sa->keys; // whose IVs nobody counts
	if (fragment)
		ret = td_ike_seal_fragment(&keys, !shape.sa->initiator, &header, chain.first,
		    td_writer_bytes_of(&chain.writer), number & 15, number >> 4, &writer);
	else
		ret = td_ike_seal(&keys, !shape.sa->initiator, &header, chain.first,
		    td_writer_bytes_of(&chain.writer), &writer);
	if (ret == 0)
		deliver(&shape, td_writer_bytes_of(&writer));
}

static void raw_step(struct td_cursor *input)
{
	struct shape shape = {.path = take_u8(input)};

	deliver(&shape, take_bytes(input));
}

// ---- what else happens ----------------------------------------------------------------------------

static bool time_step(struct td_cursor *input)
{
	uint16_t value = take_u16(input);

	return fuzz_gateway_run(&gateway, (value & 0x8000 ? 100ull : 1ull) * (value & 0x7fff) * NS_PER_MS);
}

static void wish_step(struct td_cursor *input)
{
	uint8_t choice = take_u8(input);
	struct td_life_tunnel *tunnel = gateway.tunnels[(choice >> 4) % FUZZ_TUNNELS];

	switch (choice & 7) {
	case 0:
		td_life_tunnel_up(tunnel);
		return;
	case 1:
		td_life_tunnel_down(tunnel);
		return;
	case 2:
		(void)td_life_tunnel_rekey(tunnel);
		return;
	case 3:
		(void)td_ike_peer_rekey(gateway.peers[choice >> 4 & 1]);
		return;
	case 4:
		fuzz_gateway_reload(&gateway, (choice >> 4) % FUZZ_TUNNELS);
		return;
	default:
		td_life_acquire(tunnel);
		return;
	}
}

static struct td_life_child *child_pick(const struct td_life_tunnel *tunnel, uint8_t number)
{
	struct td_life_child *child = td_life_tunnel_children(tunnel, number % FUZZ_SLOTS);

	return child && number & 1 && child->next ? child->next : child;
}

static void event_step(struct td_cursor *input)
{
	uint8_t choice = take_u8(input), number = take_u8(input);
	struct td_life_tunnel *tunnel = gateway.tunnels[(choice >> 4) % FUZZ_TUNNELS];
	struct td_life_child *child = child_pick(tunnel, number);
	struct td_path path = path_of(number);

	switch (choice & 7) {
	case 0:
		if (child)
			td_life_soft_limit(child);
		return;
	case 1:
		if (child)
			td_life_hard_limit(child);
		return;
	case 2:
		td_ike_unknown_spi(gateway.ike, &path.local, &path.remote, number);
		return;
	case 3:
		td_ike_peer_moved(gateway.ike, tunnel, &path.remote, (uint16_t)(1024 + number));
		return;
	case 4:
		fuzz_gateway_flood(&gateway);
		return;
	default:
		if (child)
			td_life_first_use(child);
		return;
	}
}

static bool step(struct td_cursor *input)
{
	switch (take_u8(input) % STEPS) {
	case STEP_RAW:
		raw_step(input);
		break;
	case STEP_CLEAR:
		clear_step(input);
		break;
	case STEP_SEALED:
		sealed_step(input, false);
		break;
	case STEP_FRAGMENT:
		sealed_step(input, true);
		break;
	case STEP_TIME:
		return time_step(input);
	case STEP_WISH:
		wish_step(input);
		break;
	case STEP_EVENT:
		event_step(input);
		break;
	}
	// What is due now, tasks of SAs among it.
	return fuzz_gateway_run(&gateway, 0);
}

int LLVMFuzzerInitialize(int *argc, char ***argv)
{
	(void)argc;
	(void)argv;
	fuzz_gateway_prepare();
	return 0;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct td_cursor input = {data, size};

	proved = false;
	fuzz_gateway_start(&gateway);
	for (unsigned steps = 0; steps < STEPS_MAX && input.left > 0 && step(&input); steps++)
		fuzz_require(proved || gateway.installs == 0);
	fuzz_gateway_stop(&gateway);
	return 0;
}
