// SPDX-License-Identifier: BSD-3-Clause
// Which peers a message between two addresses may belong to.
#include "control/ike/internal.h"

#include <criterion/criterion.h>

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
