// SPDX-License-Identifier: BSD-3-Clause
#pragma once

// All outbound SAs by SPI and peer, so that any worker tells cheaply whether an ICMP error quotes one of them
// (pmtu.c). Written by the control thread only, read without locks.
//
// Ordering: an SA is complete when its pointer is released into a slot; readers acquire the pointer and
// compare what it points to, so that a slot may change from one SA to another. A rebuild makes a new array
// and releases the pointer to it; array and SAs are freed by RCU.

#include "common/ip.h"

struct td_sa_out;

// Control thread. Makes room for one more SA, so that the next td_out_table_add cannot fail. Returns 0 or
// -ENOMEM.
int td_out_table_reserve(void);
void td_out_table_add(struct td_sa_out *sa);
// Before the SA, or where its peer is, changes.
void td_out_table_remove(const struct td_sa_out *sa);
// At stop, when no worker runs.
void td_out_table_fini(void);

// The SA of an SPI (host order) towards a peer, or NULL. Any worker, inside a read-side section.
struct td_sa_out *td_out_table_find(uint32_t spi, const struct td_ip *peer);
