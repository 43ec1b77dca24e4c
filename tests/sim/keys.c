// SPDX-License-Identifier: BSD-3-Clause
// Keys of IKE SAs: none outlives its SA, and none is left in memory that is given back. The linker wraps what
// makes them, what wipes them, and free.

#include "tests/sim/sim.h"

#include <malloc.h>

#define KEYS_MAX 1024 // at once, of all nodes

static struct {
	const struct td_ike_keys *live[KEYS_MAX];
	unsigned count;
	bool given_back; // with something in them
} keys;

int __real_td_ike_keys_derive(const struct td_ike_suite *suite, struct td_bytes shared,
    struct td_bytes nonce_i, struct td_bytes nonce_r, uint64_t spi_i, uint64_t spi_r,
    const struct td_secret *old_d, uint16_t old_prf, const struct td_ike_random *random,
    struct td_ike_keys *derived);
int __wrap_td_ike_keys_derive(const struct td_ike_suite *suite, struct td_bytes shared,
    struct td_bytes nonce_i, struct td_bytes nonce_r, uint64_t spi_i, uint64_t spi_r,
    const struct td_secret *old_d, uint16_t old_prf, const struct td_ike_random *random,
    struct td_ike_keys *derived);
void __real_free(void *memory);
void __wrap_free(void *memory);

static bool is_zero(const struct td_ike_keys *one)
{
	const uint8_t *bytes = (const uint8_t *)one;

	for (size_t i = 0; i < sizeof(*one); i++)
		if (bytes[i])
			return false;
	return true;
}

int __wrap_td_ike_keys_derive(const struct td_ike_suite *suite, struct td_bytes shared,
    struct td_bytes nonce_i, struct td_bytes nonce_r, uint64_t spi_i, uint64_t spi_r,
    const struct td_secret *old_d, uint16_t old_prf, const struct td_ike_random *random,
    struct td_ike_keys *derived)
{
	int ret = __real_td_ike_keys_derive(
	    suite, shared, nonce_i, nonce_r, spi_i, spi_r, old_d, old_prf, random, derived);

	for (unsigned i = 0; i < keys.count; i++)
		if (keys.live[i] == derived)
			return ret;
	if (ret == 0 && keys.count < KEYS_MAX)
		keys.live[keys.count++] = derived;
	return ret;
}

void __wrap_free(void *memory)
{
	uintptr_t begin = (uintptr_t)memory, end = begin + (keys.count ? malloc_usable_size(memory) : 0);

	for (unsigned i = 0; i < keys.count;) {
		uintptr_t at = (uintptr_t)keys.live[i];

		if (at < begin || at >= end) {
			i++;
			continue;
		}
		keys.given_back |= !is_zero(keys.live[i]);
		keys.live[i] = keys.live[--keys.count];
	}
	__real_free(memory);
}

void sim_keys_check(struct sim_world *world)
{
	if (keys.given_back)
		sim_fail(world, "the keys of an IKE SA were left in memory that was given back");
	keys.given_back = false;
}

unsigned sim_keys_live(const struct sim_node *node)
{
	unsigned live = 0;

	for (unsigned i = 0; i < keys.count; i++)
		live += keys.live[i]->random.context == node;
	return live;
}
