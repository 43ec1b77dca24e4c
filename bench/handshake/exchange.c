// SPDX-License-Identifier: BSD-3-Clause
// Exchanges one kind at a time: how much work they are for each side, beside the public-key operations in
// them, which are measured in the same round.

#include "bench/handshake/pair.h"
#include "bench/handshake/raw.h"
#include "bench/handshake/row.h"
#include "common/clock.h"

#include <errno.h>

#define DRAINED_NS (6 * TD_NS_PER_S)

static const struct td_pki *pki;
static struct td_raw *raw;
static unsigned count;
static struct td_pair pair;
static bool pfs;

// Exchanges, signatures and verifications of both sides together; a chain of one certificate below an
// authority is one verification.
static int raw_measure(unsigned exchanges, unsigned signs, unsigned verifies, uint64_t *cpu_ns)
{
	uint64_t start_ns = td_cpu_now_ns();
	int ret = td_raw_exchange(raw, exchanges * count);

	if (ret == 0)
		ret = td_raw_sign(raw, signs * count);
	if (ret == 0)
		ret = td_raw_verify(raw, verifies * count);
	*cpu_ns = td_cpu_now_ns() - start_ns;
	return ret;
}

static void values_set(uint64_t raw_ns, double *values)
{
	double both_ns = (double)(pair.cpu_ns[0] + pair.cpu_ns[1]);

	values[0] = count * 1e9 / both_ns;
	values[1] = (double)pair.cpu_ns[0] / count / 1e3;
	values[2] = (double)pair.cpu_ns[1] / count / 1e3;
	if (raw_ns == 0)
		return;
	values[3] = (double)raw_ns / count / 1e3;
	values[4] = 100 * (double)raw_ns / both_ns;
}

// ---- IKE_SA_INIT and IKE_AUTH -------------------------------------------------------------------

int td_connect_setup(const struct td_group *group, const struct td_pki *made, unsigned tunnels)
{
	(void)group;
	pki = made;
	count = tunnels; // fewer than make the responder ask for cookies
	raw = td_raw_create(pki->key);
	return raw ? 0 : -EIO;
}

int td_connect_round(const struct td_group *group, double *values)
{
	bool certificates = group->argument > 0;
	struct td_pair_config config = {
	    .peers = count,
	    .tunnels = 1,
	    .certificates = certificates,
	    .newcomers = group->argument == 2,
	    .esp = "aes128gcm16",
	    .start = TD_START_BOOT,
	};
	uint64_t raw_ns = 0;
	int ret = td_pair_start(&pair, &config, pki);

	if (ret == 0) {
		td_pair_connect(&pair);
		td_pair_run(&pair);
		ret = td_pair_is_up(&pair)
		          ? raw_measure(2, certificates ? 2 : 0, certificates ? 4 : 0, &raw_ns)
		          : -EPROTO;
	}
	if (ret == 0)
		values_set(raw_ns, values);
	td_pair_stop(&pair);
	return ret;
}

void td_connect_teardown(void)
{
	td_raw_free(raw);
	raw = NULL;
}

// ---- CREATE_CHILD_SA ----------------------------------------------------------------------------

int td_rekey_setup(const struct td_group *group, const struct td_pki *made, unsigned tunnels)
{
	struct td_pair_config config = {
	    .peers = tunnels / 4,
	    .tunnels = 4,
	    .esp = group->argument ? "aes128gcm16-x25519" : "aes128gcm16",
	    .start = TD_START_BOOT,
	};
	int ret;

	pki = made;
	count = tunnels;
	pfs = group->argument;
	raw = td_raw_create(pki->key);
	ret = raw ? td_pair_start(&pair, &config, pki) : -EIO;
	if (ret < 0)
		return ret;
	td_pair_connect(&pair);
	td_pair_run(&pair);
	return td_pair_is_up(&pair) ? 0 : -EPROTO;
}

int td_rekey_round(const struct td_group *group, double *values)
{
	uint64_t before[2] = {pair.sides[0].stats.rekeyed, pair.sides[1].stats.rekeyed}, raw_ns = 0;
	int ret = 0;

	(void)group;
	pair.cpu_ns[0] = pair.cpu_ns[1] = 0;
	uint64_t start_ns = td_cpu_now_ns();
	for (unsigned i = 0; i < count; i++)
		(void)td_life_tunnel_rekey(pair.tunnels[0][i]);
	pair.cpu_ns[0] += td_cpu_now_ns() - start_ns;
	td_pair_run(&pair);
	td_pair_wait(&pair, DRAINED_NS); // the old ones go
	for (unsigned side = 0; side < 2; side++)
		if (pair.sides[side].stats.rekeyed - before[side] != count)
			return -EPROTO;
	if (pfs)
		ret = raw_measure(2, 0, 0, &raw_ns);
	if (ret == 0)
		values_set(raw_ns, values);
	return ret;
}

void td_rekey_teardown(void)
{
	td_pair_stop(&pair);
	td_raw_free(raw);
	raw = NULL;
}
