// SPDX-License-Identifier: BSD-3-Clause
// Which peers a message between two addresses may belong to.
#include "control/ike/credential.h"
#include "control/ike/internal.h"

#include <criterion/criterion.h>

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define COUNT(array) (sizeof(array) / sizeof((array)[0]))

static struct td_timers timers;

static void random_fill(void *context, void *bytes, size_t length)
{
	(void)context;
	memset(bytes, 1, length);
}

static struct td_ip ip(const char *text)
{
	struct td_ip ip = {0};

	cr_assert(!text || td_ip_parse(text, &ip) == 0);
	return ip;
}

static struct td_ike_peer *peer_add(
    struct td_ike *ike, const char *name, const char *local, const char *remote)
{
	struct td_ike_peer_config config = {.local_address = ip(local), .remote_address = ip(remote)};

	strcpy(config.name, name);
	return td_ike_peer_add(ike, &config);
}

// name, local and remote address; NULL: from anywhere.
static const char *const peers[][3] = {
    {"a", "192.0.2.1", "198.51.100.1"},
    {"b", "192.0.2.1", "198.51.100.2"},
    {"c", "192.0.2.1", "198.51.100.1"},
    {"d", "192.0.2.1", NULL},
    {"e", "192.0.2.2", NULL},
    {"f", "192.0.2.1", NULL},
    {"g", "2001:db8::1", "2001:db8::2"},
    {"h", "192.0.2.2", "198.51.100.1"},
};

// Who is found between two addresses, in this order: those with the address first, later ones of equals
// first.
static const struct {
	const char *local, *remote, *found;
} rows[] = {
    {"192.0.2.1", "198.51.100.1", "cafd"},
    {"192.0.2.1", "198.51.100.2", "bfd"},
    {"192.0.2.1", "198.51.100.3", "fd"},
    {"192.0.2.2", "198.51.100.1", "he"},
    {"192.0.2.2", "198.51.100.2", "e"},
    {"192.0.2.3", "198.51.100.1", ""},
    {"2001:db8::1", "2001:db8::2", "g"},
    {"2001:db8::1", "2001:db8::3", ""},
};

static void find(struct td_ike *ike, const char *local, const char *remote, char *found)
{
	struct td_path path = {.local = ip(local), .remote = ip(remote)};

	for (struct td_ike_peer *peer = NULL; (peer = td_ike_peer_next(ike, &path, peer));)
		*found++ = td_ike_peer_config(peer)->name[0];
	*found = '\0';
}

Test(ike_peers, are_found_by_their_addresses)
{
	struct td_ike_env env = {.timers = &timers, .random = random_fill};
	struct td_ike *ike = td_ike_create(&env);
	char found[COUNT(peers) + 1];

	for (size_t i = 0; i < COUNT(peers); i++)
		cr_assert_not_null(peer_add(ike, peers[i][0], peers[i][1], peers[i][2]));
	for (size_t i = 0; i < COUNT(rows); i++) {
		find(ike, rows[i].local, rows[i].remote, found);
		cr_expect_str_eq(found, rows[i].found, "%s to %s", rows[i].remote, rows[i].local);
	}
	td_ike_destroy(ike);
}

Test(ike_peers, are_found_no_more_when_removed)
{
	struct td_ike_env env = {.timers = &timers, .random = random_fill};
	struct td_ike *ike = td_ike_create(&env);
	struct td_ike_peer *first = peer_add(ike, "a", "192.0.2.1", "198.51.100.1");
	struct td_ike_peer *second = peer_add(ike, "b", "192.0.2.1", "198.51.100.1");
	char found[4];

	td_ike_peer_remove(second);
	find(ike, "192.0.2.1", "198.51.100.1", found);
	cr_expect_str_eq(found, "a");
	td_ike_peer_remove(first);
	find(ike, "192.0.2.1", "198.51.100.1", found);
	cr_expect_str_eq(found, "");
	td_ike_destroy(ike);
}

// ---- who they are -------------------------------------------------------------------------------

static unsigned compared; // identities
static bool contact; // INITIAL_CONTACT was written

bool __real_td_ike_id_equal(const struct td_ike_id *id, uint8_t type, struct td_bytes data);
bool __wrap_td_ike_id_equal(const struct td_ike_id *id, uint8_t type, struct td_bytes data);
void __real_td_ike_notify_write(
    struct td_ike_chain *chain, uint8_t protocol, struct td_bytes spi, uint16_t type, struct td_bytes data);
void __wrap_td_ike_notify_write(
    struct td_ike_chain *chain, uint8_t protocol, struct td_bytes spi, uint16_t type, struct td_bytes data);

bool __wrap_td_ike_id_equal(const struct td_ike_id *id, uint8_t type, struct td_bytes data)
{
	compared++;
	return __real_td_ike_id_equal(id, type, data);
}

void __wrap_td_ike_notify_write(
    struct td_ike_chain *chain, uint8_t protocol, struct td_bytes spi, uint16_t type, struct td_bytes data)
{
	contact |= type == TD_N_INITIAL_CONTACT;
	__real_td_ike_notify_write(chain, protocol, spi, type, data);
}

static struct td_ike_peer *named_add(
    struct td_ike *ike, struct td_ike_credential *psk, const char *remote, const char *name)
{
	struct td_ike_peer_config config = {
	    .local_address = ip("192.0.2.1"), .remote_address = ip(remote), .local = psk, .remote = psk};

	cr_assert_eq(td_ike_id_parse("gw.example", &config.local_id), 0);
	cr_assert_eq(td_ike_id_parse(name, &config.remote_id), 0);
	return td_ike_peer_add(ike, &config);
}

// Begins IKE_AUTH with keys from nowhere, and comes to nothing for want of a tunnel.
static bool auth_begin(struct td_ike_peer *peer)
{
	static const struct td_ike_suite suite = {.protocol = TD_IKE_PROTO_IKE,
	    .encr = TD_ENCR_AES_GCM_16,
	    .key_bits = 128,
	    .prf = TD_PRF_SHA2_256,
	    .dh = TD_DH_X25519};
	static const uint8_t bytes[32] = {1};
	const struct td_bytes some = {bytes, sizeof(bytes)};
	const struct td_ike_random random = td_ike_random_of(peer->ike);
	struct td_path path = {.local = peer->config.local_address, .remote = peer->config.remote_address};
	struct td_ike_sa *sa = td_ike_sa_create(peer->ike, true, &path);

	cr_assert_not_null(sa);
	td_ike_sa_peer_set(sa, peer);
	sa->handshake = calloc(1, sizeof(*sa->handshake));
	cr_assert_not_null(td_ike_task_add(sa, TD_TASK_CREATE));
	cr_assert_eq(td_ike_keys_derive(&suite, some, some, some, 1, 2, NULL, 0, &random, &sa->keys), 0);
	compared = 0;
	contact = false;
	td_ike_auth_start(sa);
	td_ike_bury(peer->ike);
	return contact;
}

static void nothing_send(void *context, const struct td_path *path, const uint8_t *message, size_t length)
{
	(void)context, (void)path, (void)message, (void)length;
}

static void random_count(void *context, void *bytes, size_t length)
{
	static uint64_t drawn;

	(void)context;
	memset(bytes, 0, length);
	drawn++;
	memcpy(bytes, &drawn, length < sizeof(drawn) ? length : sizeof(drawn));
}

// RFC 7296 2.4: the notify speaks for a pair of identities. Many peers that all begin at once do not look at
// each other.
Test(ike_peers, that_share_identities_make_no_initial_contact)
{
	struct td_ike_env env = {.timers = &timers, .random = random_count, .send = nothing_send};
	struct td_ike *ike = td_ike_create(&env);
	struct td_ike_credential *psk =
	    td_ike_credential_psk_bytes((struct td_bytes){(const uint8_t *)"0123456789abcdef", 16});
	struct td_ike_peer *one, *two, *same;
	char name[32];

	for (unsigned i = 0; i < 500; i++) {
		(void)snprintf(name, sizeof(name), "peer%u.example", i);
		cr_assert_not_null(named_add(ike, psk, "198.51.100.1", name));
	}
	one = named_add(ike, psk, "198.51.100.2", "one.example");
	two = named_add(ike, psk, "198.51.100.3", "CN=two");
	cr_expect(auth_begin(one));
	cr_expect_leq(compared, 2);
	cr_expect(auth_begin(two));
	cr_expect_leq(compared, 2);
	same = named_add(ike, psk, "198.51.100.4", "ONE.example");
	cr_expect(!auth_begin(one));
	cr_expect(!auth_begin(same));
	td_ike_peer_remove(one);
	cr_expect(auth_begin(same));
	same = named_add(ike, psk, "198.51.100.5", "CN=TWO");
	cr_expect(!auth_begin(two));
	td_ike_destroy(ike);
	td_ike_credential_free(psk);
}

// ---- what they leave ----------------------------------------------------------------------------

static const uint8_t *watched;
static size_t watched_bytes;
static bool freed, wiped;

void __real_free(void *memory);
void __wrap_free(void *memory);

void __wrap_free(void *memory)
{
	if (memory && memory == watched) {
		freed = wiped = true;
		for (size_t i = 0; i < watched_bytes; i++)
			wiped &= watched[i] == 0;
		watched = NULL;
	}
	__real_free(memory);
}

Test(ike_peers, are_wiped_with_the_secret_of_a_registration)
{
	struct td_ike_env env = {.timers = &timers, .random = random_fill};
	struct td_ike *ike = td_ike_create(&env);
	struct td_ike_peer_config config = {
	    .local_address = ip("192.0.2.1"), .remote_address = ip("198.51.100.1")};
	struct td_ike_peer *peer;

	config.onertt.enabled = true;
	config.onertt.secret.length = 32;
	memset(config.onertt.secret.bytes, 0x5e, 32);
	peer = td_ike_peer_add(ike, &config);
	cr_assert_not_null(peer);
	watched = (const uint8_t *)peer;
	watched_bytes = sizeof(*peer);
	td_ike_peer_remove(peer);
	cr_expect(freed);
	cr_expect(wiped);
	td_ike_destroy(ike);
}
