// SPDX-License-Identifier: BSD-3-Clause
// What somebody who has proved nothing may cost.
#include "control/ike/internal.h"

#include <criterion/criterion.h>

#include <errno.h>
#include <string.h>

static struct td_timers timers;
static uint64_t drawn;

static void random_fill(void *context, void *bytes, size_t length)
{
	(void)context;
	memset(bytes, 0, length);
	drawn++;
	memcpy(bytes, &drawn, length < sizeof(drawn) ? length : sizeof(drawn));
}

static uint8_t sent[2048];
static size_t sent_bytes; // of the last message, 0: none

static void keep(void *context, const struct td_path *path, const uint8_t *message, size_t length)
{
	(void)context, (void)path;
	cr_assert_leq(length, sizeof(sent));
	memcpy(sent, message, length);
	sent_bytes = length;
}

static struct td_ike *engine(void)
{
	const struct td_ike_env env = {.timers = &timers, .random = random_fill, .send = keep};
	struct td_ike *ike = td_ike_create(&env);

	cr_assert_not_null(ike);
	return ike;
}

Test(ike_limits, fragments_of_an_unproved_peer_are_few)
{
	static uint8_t piece[1200];
	struct td_ike *ike = engine();
	struct td_ike_fragments fragments = {0};
	struct td_bytes whole;
	uint16_t number = 1;
	int ret;

	do
		ret = td_ike_fragment_add(ike, &fragments, 1, 0, (struct td_bytes){piece, sizeof(piece)},
		    number++, TD_IKE_FRAGMENTS_MAX, TD_IKE_UNPROVED_MAX, &whole);
	while (ret == -EAGAIN);
	cr_expect_eq(ret, -EBADMSG);
	cr_expect_leq(fragments.bytes, TD_IKE_UNPROVED_MAX);
	td_ike_fragments_free(&fragments);
	td_ike_destroy(ike);
}

Test(ike_limits, half_open_sas_are_counted_by_source)
{
	struct td_path one = {.local_port = 500}, other = {.local_port = 500};
	struct td_ike *ike = engine();
	struct td_ike_sa *sas[4];

	cr_assert_eq(td_ip_parse("198.51.100.1", &one.remote), 0);
	cr_assert_eq(td_ip_parse("198.51.100.2", &other.remote), 0);
	for (unsigned i = 0; i < 4; i++) {
		sas[i] = td_ike_sa_create(ike, false, i < 3 ? &one : &other);
		cr_assert_not_null(sas[i]);
		td_ike_sa_init_link(sas[i], true);
	}
	cr_expect_eq(td_ike_source_count(ike, &one.remote), 3);
	cr_expect_eq(td_ike_source_count(ike, &other.remote), 1);
	td_ike_sa_close(sas[0], NULL, NULL);
	cr_expect_eq(td_ike_source_count(ike, &one.remote), 2);
	td_ike_destroy(ike);
}

// ---- whole requests -----------------------------------------------------------------------------

static const uint8_t nonce[32] = {1};
static struct td_ike_proposals proposals;
static struct td_ike_credential *psk;

static struct td_path path_from(const char *remote)
{
	struct td_path path = {.local_port = 500, .remote_port = 500};

	cr_assert(td_ip_parse("192.0.2.1", &path.local) == 0 && td_ip_parse(remote, &path.remote) == 0);
	return path;
}

static void proposals_set(struct td_ike_proposals *list, const char *text)
{
	struct td_error error;

	list->count = 0;
	cr_assert_eq(td_ike_proposal_parse(TD_IKE_PROTO_IKE, text, list, &error), 0);
}

// One more peer that may be anywhere.
static struct td_ike_peer *peer_add(struct td_ike *ike, const char *wants)
{
	struct td_ike_peer_config config = {
	    .local_address = path_from("0.0.0.0").local, .local = psk, .remote = psk};
	struct td_ike_peer *peer;

	proposals_set(&config.proposals, wants);
	peer = td_ike_peer_add(ike, &config);
	cr_assert_not_null(peer);
	return peer;
}

// An engine with such a peer.
static struct td_ike *responder(void)
{
	struct td_ike *ike = engine();

	timers.now_ns = 1;
	proposals_set(&proposals, "aes128gcm16-prfsha256-x25519");
	psk = td_ike_credential_psk_bytes((struct td_bytes){(const uint8_t *)"0123456789abcdef", 16});
	(void)peer_add(ike, "aes128gcm16-prfsha256-x25519");
	return ike;
}

// Sends an IKE_SA_INIT and returns what is answered: a notify, A_KEY, or NOTHING.
enum { NOTHING = 0xffff, A_KEY = 0xfffe };

static unsigned init_ask(
    struct td_ike *ike, const char *from, uint64_t spi, struct td_bytes public_value, struct td_bytes cookie)
{
	uint8_t bytes[1024], inside[1024];
	struct td_path path = path_from(from);
	struct td_ike_header header = {.spi_i = spi,
	    .version = TD_IKE_VERSION,
	    .exchange = TD_IKE_SA_INIT,
	    .flags = TD_IKE_FLAG_INITIATOR};
	struct td_writer writer = {.data = bytes, .capacity = sizeof(bytes)};
	struct td_ike_payloads answer;
	struct td_ike_chain chain;

	td_ike_chain_init(&chain, inside, sizeof(inside));
	if (cookie.length)
		td_ike_notify_write(&chain, TD_IKE_PROTO_NONE, (struct td_bytes){0}, TD_N_COOKIE, cookie);
	td_ike_proposals_write(&chain, &proposals, NULL, 0);
	td_ike_ke_write(&chain, TD_DH_X25519, public_value);
	td_ike_nonce_write(&chain, (struct td_bytes){nonce, sizeof(nonce)});
	header.next_payload = chain.first;
	header.length = (uint32_t)(TD_IKE_HEADER_BYTES + chain.writer.length);
	td_ike_header_write(&writer, &header);
	td_writer_bytes(&writer, inside, chain.writer.length);
	sent_bytes = 0;
	td_ike_receive(ike, &path, td_writer_bytes_of(&writer));
	if (sent_bytes == 0)
		return NOTHING;
	cr_assert_eq(td_ike_header_read((struct td_bytes){sent, sent_bytes}, &header), 0);
	cr_assert_eq(td_ike_payloads_read(
	                 (struct td_bytes){sent + TD_IKE_HEADER_BYTES, sent_bytes - TD_IKE_HEADER_BYTES},
	                 header.next_payload, &answer),
	    0);
	return answer.ke.data ? A_KEY : answer.notifies[0].type;
}

// The cookie of the last answer.
static struct td_bytes cookie_of(uint8_t copy[TD_IKE_COOKIE_BYTES])
{
	cr_assert_geq(sent_bytes, TD_IKE_COOKIE_BYTES);
	memcpy(copy, sent + sent_bytes - TD_IKE_COOKIE_BYTES, TD_IKE_COOKIE_BYTES);
	return (struct td_bytes){copy, TD_IKE_COOKIE_BYTES};
}

// A value that libcrypto refuses only when a key has been made for it.
Test(ike_limits, bad_public_values_make_cookies_due)
{
	static const uint8_t zero[32], base[32] = {9};
	const struct td_bytes bad = {zero, sizeof(zero)}, good = {base, sizeof(base)}, none = {0};
	struct td_ike *ike = responder();

	for (unsigned i = 0; i < TD_IKE_HALF_OPEN_COOKIE; i++)
		cr_assert_eq(init_ask(ike, "198.51.100.1", 1 + i, bad, none), NOTHING, "request %u", i);
	cr_expect_eq(init_ask(ike, "198.51.100.1", 1000, bad, none), TD_N_COOKIE);
	cr_expect_eq(init_ask(ike, "198.51.100.2", 1001, good, none), TD_N_COOKIE);
	timers.now_ns += TD_IKE_HALF_OPEN_MS * 1000000ull;
	cr_expect_eq(init_ask(ike, "198.51.100.2", 1001, good, none), A_KEY);
	td_ike_destroy(ike);
	td_ike_credential_free(psk);
}

Test(ike_limits, one_address_cannot_take_all_half_open_sas)
{
	static const uint8_t base[32] = {9};
	const struct td_bytes good = {base, sizeof(base)}, none = {0};
	const struct td_path path = path_from("198.51.100.1");
	uint8_t cookie[TD_IKE_COOKIE_BYTES];
	struct td_ike *ike = responder();
	struct td_ike_sa *sa;

	for (unsigned i = 0; i < TD_IKE_HALF_OPEN_SOURCE_MAX; i++) {
		sa = td_ike_sa_create(ike, false, &path);
		cr_assert_not_null(sa);
		td_ike_sa_init_link(sa, true);
	}
	cr_assert_eq(init_ask(ike, "198.51.100.1", 1, good, none), TD_N_COOKIE);
	cr_expect_eq(init_ask(ike, "198.51.100.1", 1, good, cookie_of(cookie)), NOTHING);
	cr_expect_eq(td_ike_stats(ike)->half_open_refused, 1);
	cr_assert_eq(init_ask(ike, "198.51.100.2", 1, good, none), TD_N_COOKIE);
	cr_expect_eq(init_ask(ike, "198.51.100.2", 1, good, cookie_of(cookie)), A_KEY);
	td_ike_sa_close(sa, NULL, NULL);
	cr_assert_eq(init_ask(ike, "198.51.100.1", 2, good, none), TD_N_COOKIE);
	cr_expect_eq(init_ask(ike, "198.51.100.1", 2, good, cookie_of(cookie)), A_KEY);
	td_ike_destroy(ike);
	td_ike_credential_free(psk);
}

// Who has done IKE_SA_INIT has keys, and can ask for anything in the place of IKE_AUTH.
static void stranger_asks(struct td_ike *ike, uint64_t spi, uint8_t exchange, uint16_t notify)
{
	const struct td_path path = path_from("198.51.100.1");
	struct td_ike_sa *sa = td_ike_sa_find_init(ike, spi, &path, false), stranger;
	struct td_ike_packets packets = {0};
	struct td_ike_chain chain;
	uint8_t inside[64];

	cr_assert_not_null(sa);
	stranger = *sa;
	stranger.initiator = true;
	td_ike_chain_init(&chain, inside, sizeof(inside));
	if (notify)
		td_ike_notify_write(
		    &chain, TD_IKE_PROTO_NONE, (struct td_bytes){0}, notify, (struct td_bytes){0});
	cr_assert_eq(td_ike_packets_seal(&stranger, exchange, false, 1, &chain, &packets), 0);
	sent_bytes = 0;
	td_ike_receive(ike, &path, (struct td_bytes){packets.data, packets.lengths[0]});
	cr_expect_gt(sent_bytes, 0);
	td_ike_packets_free(&packets);
}

static unsigned sas_count(const struct td_ike *ike)
{
	const struct td_ike_sa *sa;
	unsigned count = 0;

	LIST_FOREACH (sa, &ike->sas, all)
		count++;
	return count;
}

Test(ike_limits, who_asks_before_a_proof_keeps_no_sa_that_is_not_counted)
{
	static const uint8_t base[32] = {9};
	static const struct {
		uint8_t exchange;
		uint16_t notify;
	} rows[] = {{TD_IKE_INFORMATIONAL, 0}, {TD_IKE_INFORMATIONAL, TD_N_INITIAL_CONTACT},
	    {TD_IKE_CREATE_CHILD_SA, TD_N_REKEY_SA}, {TD_IKE_AUTH, 0}, {TD_IKE_AUTH, TD_N_INITIAL_CONTACT},
	    {99, 0}};
	struct td_ike *ike = responder();

	for (unsigned i = 0; i < 2 * TD_IKE_HALF_OPEN_COOKIE; i++) {
		const unsigned row = i % (sizeof(rows) / sizeof(rows[0]));

		cr_assert_eq(init_ask(ike, "198.51.100.1", 1 + i, (struct td_bytes){base, sizeof(base)},
		                 (struct td_bytes){0}),
		    A_KEY);
		stranger_asks(ike, 1 + i, rows[row].exchange, rows[row].notify);
		cr_expect_eq(sas_count(ike), ike->half_open, "row %u: %u are there, %u count", row,
		    sas_count(ike), ike->half_open);
	}
	td_ike_destroy(ike);
	td_ike_credential_free(psk);
}

// ---- among many peers ---------------------------------------------------------------------------

#define PEERS 1000

static unsigned compared, looked_at; // proposals, peers

int __real_td_ike_proposal_choose(const struct td_ike_proposals *ours, const struct td_ike_proposals *offered,
    bool without_dh, struct td_ike_proposal *chosen);
int __wrap_td_ike_proposal_choose(const struct td_ike_proposals *ours, const struct td_ike_proposals *offered,
    bool without_dh, struct td_ike_proposal *chosen);
struct td_ike_peer *__real_td_ike_peer_next(
    struct td_ike *ike, const struct td_path *path, const struct td_ike_peer *after);
struct td_ike_peer *__wrap_td_ike_peer_next(
    struct td_ike *ike, const struct td_path *path, const struct td_ike_peer *after);

int __wrap_td_ike_proposal_choose(const struct td_ike_proposals *ours, const struct td_ike_proposals *offered,
    bool without_dh, struct td_ike_proposal *chosen)
{
	compared++;
	return __real_td_ike_proposal_choose(ours, offered, without_dh, chosen);
}

struct td_ike_peer *__wrap_td_ike_peer_next(
    struct td_ike *ike, const struct td_path *path, const struct td_ike_peer *after)
{
	looked_at++;
	return __real_td_ike_peer_next(ike, path, after);
}

static unsigned counted_ask(struct td_ike *ike, uint64_t spi, const char *offer)
{
	static const uint8_t base[32] = {9};

	compared = looked_at = 0;
	proposals_set(&proposals, offer);
	return init_ask(
	    ike, "198.51.100.1", spi, (struct td_bytes){base, sizeof(base)}, (struct td_bytes){0});
}

Test(ike_limits, many_peers_cost_as_much_as_their_kinds)
{
	static const char *const kinds[] = {"aes128gcm16-prfsha256-x25519", "aes256gcm16-prfsha384-x25519",
	    "aes128-sha256-x25519", "aes256gcm16-prfsha384-ecp256"};
	static const char *const foreign = "chacha20poly1305-prfsha512-ecp521";
	struct td_ike *ike = responder();
	struct td_ike_peer *oldest = NULL; // found last

	for (unsigned i = 0; i < PEERS; i++)
		if (i == 0)
			oldest = peer_add(ike, kinds[0]);
		else
			(void)peer_add(ike, kinds[i % 4]);
	for (unsigned i = 0; i < 4; i++) {
		cr_expect_eq(counted_ask(ike, 1 + i, kinds[i]),
		    strstr(kinds[i], "ecp") ? TD_N_INVALID_KE_PAYLOAD : A_KEY, "%s", kinds[i]);
		cr_expect_leq(compared, 4);
		cr_expect_leq(looked_at, 1);
	}
	cr_expect_eq(counted_ask(ike, 10, foreign), TD_N_NO_PROPOSAL_CHOSEN);
	cr_expect_eq(compared, 4);
	cr_expect_leq(looked_at, 1);
	// What changes is known at once.
	struct td_ike_peer_config config = *td_ike_peer_config(oldest);
	proposals_set(&config.proposals, foreign);
	td_ike_peer_update(oldest, &config);
	cr_expect_eq(counted_ask(ike, 11, foreign), TD_N_INVALID_KE_PAYLOAD);
	cr_expect_leq(compared, 5);
	td_ike_peer_remove(oldest);
	cr_expect_eq(counted_ask(ike, 12, foreign), TD_N_NO_PROPOSAL_CHOSEN);
	cr_expect_leq(compared, 4);
	(void)peer_add(ike, foreign);
	cr_expect_eq(counted_ask(ike, 13, foreign), TD_N_INVALID_KE_PAYLOAD);
	td_ike_destroy(ike);
	td_ike_credential_free(psk);
}

Test(ike_limits, refused_proposals_make_cookies_due)
{
	struct td_ike *ike = responder();

	for (unsigned i = 0; i < TD_IKE_HALF_OPEN_COOKIE; i++)
		cr_assert_eq(counted_ask(ike, 1 + i, "chacha20poly1305-prfsha512-ecp521"),
		    TD_N_NO_PROPOSAL_CHOSEN, "request %u", i);
	cr_expect_eq(counted_ask(ike, 1000, "chacha20poly1305-prfsha512-ecp521"), TD_N_COOKIE);
	cr_expect_eq(compared, 0);
	td_ike_destroy(ike);
	td_ike_credential_free(psk);
}
