// SPDX-License-Identifier: BSD-3-Clause
#pragma once

// Outer IP fragments are put together before decryption (RFC 4303 3.4.1). A reassembly belongs to one worker,
// which alone calls the functions on it.

#include <rte_mbuf.h>
#include <stdint.h>

// Datagrams in reassembly, per worker. At most eight fragments of each are kept (librte_ip_frag).
#define TD_REASSEMBLY_ENTRIES 256
// Much less than the 15 s of RFC 791 and 60 s of RFC 8200 4.5: a lost fragment must not block a buffer for
// long, and identifications of IPv4 come round in seconds at full speed (RFC 4963).
#define TD_REASSEMBLY_TIMEOUT_MS 2000

// Parts of datagrams that were dropped.
struct td_reassembly_drops {
	uint32_t invalid; // malformed, overlapping, too many, or too long for a buffer
	uint32_t evicted; // the table was full and these were the oldest, or had no place
	uint32_t timed_out; // other parts did not come in time
};

struct td_reassembly;

// entries is the most datagrams in reassembly. Returns NULL without memory.
struct td_reassembly *td_reassembly_create(unsigned entries, int socket);
// Frees the parts that are held, too. May be NULL.
void td_reassembly_destroy(struct td_reassembly *reassembly);

// Takes an IPv4 or IPv6 packet that starts at its header, one segment, header checked. Returns a packet that
// is no fragment as it is; the whole packet in one segment, its header mended, when the last part of it has
// come (that need not be this one); and NULL otherwise. The whole packet is in the buffer of its first
// fragment and has that one's td_packet. Overlapping fragments make the datagram be dropped (RFC 8200
// 4.5, RFC 5722; the same for IPv4). An IPv6 fragment with other extension headers in front of the fragment
// header is dropped. ECN marks of the parts are joined (RFC 3168 5.3).
struct rte_mbuf *td_reassembly_take(
    struct td_reassembly *reassembly, struct rte_mbuf *mbuf, uint64_t now_tsc);
// Drops what timed out. Call it in each loop. Returns what was dropped since the last call.
struct td_reassembly_drops td_reassembly_poll(struct td_reassembly *reassembly, uint64_t now_tsc);
