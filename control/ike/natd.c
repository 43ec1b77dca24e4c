// SPDX-License-Identifier: BSD-3-Clause
// NAT detection (RFC 7296 2.23): each side tells a hash of the addresses it sees; the other finds out whether
// they were changed on the way.

#include "control/ike/internal.h"

#include <string.h>

#define HASH_BYTES 20

static void natd_hash(
    uint64_t spi_i, uint64_t spi_r, const struct td_ip *ip, uint16_t port, uint8_t hash[HASH_BYTES])
{
	uint8_t bytes[8 + 8 + 16 + 2];
	struct td_writer writer = {.data = bytes, .capacity = sizeof(bytes)};
	struct td_bytes part;

	td_writer_u64(&writer, spi_i);
	td_writer_u64(&writer, spi_r);
	td_writer_bytes(&writer, ip->bytes, td_ip_length(ip->family));
	td_writer_u16(&writer, port);
	part = td_writer_bytes_of(&writer);
	// Without a hash a NAT is found, which is the safe side: ESP then goes in UDP.
	if (td_sha1(&part, 1, hash) < 0)
		memset(hash, 0, HASH_BYTES);
}

void td_ike_natd_write(struct td_ike_chain *chain, const struct td_ike_sa *sa, uint64_t spi_i, uint64_t spi_r)
{
	uint8_t hash[HASH_BYTES];
	struct td_bytes data = {hash, sizeof(hash)};

	natd_hash(spi_i, spi_r, &sa->path.local, sa->path.local_port, hash);
	// Who wants UDP in any case says that it is behind a NAT.
	if (sa->peer && sa->peer->config.encapsulate)
		memset(hash, 0, sizeof(hash));
	td_ike_notify_write(
	    chain, TD_IKE_PROTO_NONE, (struct td_bytes){0}, TD_N_NAT_DETECTION_SOURCE_IP, data);
	natd_hash(spi_i, spi_r, &sa->path.remote, sa->path.remote_port, hash);
	td_ike_notify_write(
	    chain, TD_IKE_PROTO_NONE, (struct td_bytes){0}, TD_N_NAT_DETECTION_DESTINATION_IP, data);
}

void td_ike_natd_check(
    struct td_ike_sa *sa, const struct td_ike_payloads *payloads, uint64_t spi_i, uint64_t spi_r)
{
	bool source = false, source_same = false, destination = false, destination_same = false;
	uint8_t local[HASH_BYTES], remote[HASH_BYTES];

	natd_hash(spi_i, spi_r, &sa->path.local, sa->path.local_port, local);
	natd_hash(spi_i, spi_r, &sa->path.remote, sa->path.remote_port, remote);
	for (unsigned i = 0; i < payloads->notify_count; i++) {
		const struct td_ike_notify *notify = &payloads->notifies[i];

		// A peer with several addresses sends several sources.
		if (notify->type == TD_N_NAT_DETECTION_SOURCE_IP) {
			source = true;
			source_same |=
			    td_bytes_equal(notify->data, (struct td_bytes){remote, sizeof(remote)});
		} else if (notify->type == TD_N_NAT_DETECTION_DESTINATION_IP) {
			destination = true;
			destination_same |=
			    td_bytes_equal(notify->data, (struct td_bytes){local, sizeof(local)});
		}
	}
	sa->nat_remote = source && !source_same;
	sa->nat_local = destination && !destination_same;
	if (sa->peer && sa->peer->config.encapsulate && source && destination)
		sa->nat_local = true;
}
