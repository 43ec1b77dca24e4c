// SPDX-License-Identifier: BSD-3-Clause
#include "tests/fuzz/gateway.h"

#include <openssl/pem.h>
#include <openssl/x509v3.h>

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#define SPI_FIRST 0x1000u
#define NS_PER_S 1000000000ull
#define UNIX_TIME 1800000000 // in January 2027
#define DAY_S 86400
#define TIMERS_PER_INPUT 4000
#define TIMERS_AT_ONCE 500 // more without time passing: parts of the gateway keep each other busy

const struct td_ip fuzz_local = {.family = 4, .bytes = {192, 0, 2, 1}};
const struct td_ip fuzz_remote = {.family = 4, .bytes = {192, 0, 2, 2}};
struct td_ike_credential *fuzz_psk, *fuzz_peer_key;
struct td_ike_id fuzz_psk_id, fuzz_key_id;
static struct td_ike_credential *own_key, *trust;
static struct td_ike_id own_id;

void fuzz_require(bool condition)
{
	if (!condition)
		abort();
}

// ---- credentials ------------------------------------------------------------------------------

// A file without a name, for those who read credentials by path.
static void file_path(BIO *memory, char *path, size_t size)
{
	char *data;
	long length = BIO_get_mem_data(memory, &data);
	int descriptor = memfd_create("fuzz", 0);

	fuzz_require(descriptor >= 0 && fchmod(descriptor, 0600) == 0);
	fuzz_require(write(descriptor, data, (size_t)length) == length);
	BIO_free(memory);
	snprintf(path, size, "/proc/self/fd/%d", descriptor);
}

static void extend(X509 *certificate, int nid, const char *value)
{
	X509_EXTENSION *extension = X509V3_EXT_conf_nid(NULL, NULL, nid, value);

	fuzz_require(extension && X509_add_ext(certificate, extension, -1) == 1);
	X509_EXTENSION_free(extension);
}

// One key and certificate serve both sides and are their own authority. Ed25519 signs without random numbers.
static void key_make(void)
{
	EVP_PKEY *key = EVP_PKEY_Q_keygen(NULL, NULL, "ED25519");
	X509 *certificate = X509_new();
	BIO *key_memory = BIO_new(BIO_s_mem()), *certificate_memory = BIO_new(BIO_s_mem());
	char key_path[32], certificate_path[32];
	struct td_error error;

	fuzz_require(key && certificate && key_memory && certificate_memory);
	X509_set_version(certificate, X509_VERSION_3);
	X509_NAME_add_entry_by_txt(
	    X509_get_subject_name(certificate), "CN", MBSTRING_ASC, (const unsigned char *)"both", -1, -1, 0);
	X509_set_issuer_name(certificate, X509_get_subject_name(certificate));
	ASN1_TIME_set(X509_getm_notBefore(certificate), UNIX_TIME - DAY_S);
	ASN1_TIME_set(X509_getm_notAfter(certificate), UNIX_TIME + DAY_S);
	X509_set_pubkey(certificate, key);
	extend(certificate, NID_basic_constraints, "critical,CA:TRUE");
	extend(certificate, NID_subject_alt_name, "DNS:gateway,DNS:roamer");
	fuzz_require(X509_sign(certificate, key, NULL) > 0);
	fuzz_require(PEM_write_bio_PKCS8PrivateKey(key_memory, key, NULL, NULL, 0, NULL, NULL) == 1);
	fuzz_require(PEM_write_bio_X509(certificate_memory, certificate) == 1);
	file_path(key_memory, key_path, sizeof(key_path));
	file_path(certificate_memory, certificate_path, sizeof(certificate_path));
	own_key = td_ike_credential_key(key_path, certificate_path, &error);
	fuzz_peer_key = own_key;
	trust = td_ike_credential_trust(certificate_path, NULL, &error);
	fuzz_require(own_key && trust);
	X509_free(certificate);
	EVP_PKEY_free(key);
}

void fuzz_gateway_prepare(void)
{
	static const uint8_t psk[] = "the same on both sides";

	fuzz_psk = td_ike_credential_psk_bytes((struct td_bytes){psk, sizeof(psk) - 1});
	fuzz_require(fuzz_psk != NULL);
	fuzz_require(td_ike_id_parse("gateway", &own_id) == 0 && td_ike_id_parse("peer", &fuzz_psk_id) == 0 &&
	             td_ike_id_parse("roamer", &fuzz_key_id) == 0);
	key_make();
}

// ---- what is passed in ------------------------------------------------------------------------

static void random_fill(void *context, void *bytes, size_t length)
{
	struct fuzz_gateway *gateway = context;
	uint8_t *out = bytes;

	for (size_t i = 0; i < length; i++)
		out[i] = (uint8_t)td_hash_mix(++gateway->random);
}

static void message_send(void *context, const struct td_path *path, const uint8_t *message, size_t length)
{
	struct fuzz_gateway *gateway = context;
	struct td_ike_header header;

	fuzz_require(td_ip_equal(&path->local, &fuzz_local) && path->remote.family != 0);
	// Answers to other versions, and to messages about no IKE SA, give back what SPIs they came with.
	fuzz_require(
	    td_ike_header_read((struct td_bytes){message, length}, &header) == 0 || header.spi_i == 0);
	fuzz_require(header.length == length && length <= TD_IKE_MESSAGE_MAX);
	memcpy(gateway->sent, message, length);
	gateway->sent_bytes = length;
}

static int64_t unix_time(void *context)
{
	(void)context;
	return UNIX_TIME;
}

uint64_t fuzz_gateway_wall_us(void *context)
{
	const struct fuzz_gateway *gateway = context;

	return UNIX_TIME * 1000000ull + gateway->timers.now_ns / 1000;
}

static int bound_save(void *context, uint64_t bound_us)
{
	(void)context;
	(void)bound_us;
	return 0;
}

// ---- the data plane -----------------------------------------------------------------------------

static enum fuzz_spi_state *state_of(struct fuzz_gateway *gateway, uint32_t spi)
{
	fuzz_require(spi >= SPI_FIRST && spi - SPI_FIRST < FUZZ_SPIS_MAX);
	return &gateway->spis[spi - SPI_FIRST];
}

static uint32_t spi_reserve(void *context, const struct td_life_tunnel *tunnel, unsigned slot)
{
	struct fuzz_gateway *gateway = context;

	fuzz_require(slot < td_life_tunnel_config(tunnel)->slots);
	if (gateway->spi_next == FUZZ_SPIS_MAX || gateway->spis[gateway->spi_next] != FUZZ_SPI_NEW)
		return 0;
	gateway->spis[gateway->spi_next] = FUZZ_SPI_RESERVED;
	gateway->reserved++;
	return SPI_FIRST + gateway->spi_next++;
}

static bool spi_claim(void *context, const struct td_life_tunnel *tunnel, unsigned slot, uint32_t spi)
{
	struct fuzz_gateway *gateway = context;

	fuzz_require(slot < td_life_tunnel_config(tunnel)->slots);
	if (spi < SPI_FIRST || spi - SPI_FIRST >= FUZZ_SPIS_MAX || *state_of(gateway, spi) != FUZZ_SPI_NEW)
		return false;
	*state_of(gateway, spi) = FUZZ_SPI_RESERVED;
	gateway->reserved++;
	return true;
}

static void spi_release(void *context, uint32_t spi)
{
	struct fuzz_gateway *gateway = context;
	enum fuzz_spi_state *state = state_of(gateway, spi);

	fuzz_require(*state == FUZZ_SPI_RESERVED);
	*state = FUZZ_SPI_GONE;
	gateway->reserved--;
}

static int install(
    void *context, struct td_life_child *child, const struct td_life_offer *offer, struct td_error *error)
{
	struct fuzz_gateway *gateway = context;
	enum fuzz_spi_state *state = state_of(gateway, offer->spi_in);

	(void)error;
	fuzz_require(*state == FUZZ_SPI_RESERVED && child->spi_in == offer->spi_in);
	fuzz_require(
	    offer->spi_out >= TD_SPI_MIN && offer->ts_local->count > 0 && offer->ts_remote->count > 0);
	fuzz_require(offer->key_in->length > 0 && offer->key_in->length == offer->key_out->length);
	*state = FUZZ_SPI_INSTALLED;
	gateway->reserved--;
	gateway->installed++;
	gateway->installs++;
	return 0;
}

static void installed_check(void *context, struct td_life_child *child)
{
	fuzz_require(*state_of(context, child->spi_in) == FUZZ_SPI_INSTALLED);
}

static void switch_out(void *context, struct td_life_child *child)
{
	installed_check(context, child);
	fuzz_require(child->state == TD_CHILD_ACTIVE); // rule 2
}

static void remove_child(void *context, struct td_life_child *child)
{
	struct fuzz_gateway *gateway = context;

	installed_check(context, child);
	*state_of(gateway, child->spi_in) = FUZZ_SPI_GONE;
	gateway->installed--;
}

// ---- configuration ------------------------------------------------------------------------------

static void proposals_add(uint8_t protocol, const char *text, struct td_ike_proposals *proposals)
{
	struct td_error error;

	fuzz_require(td_ike_proposal_parse(protocol, text, proposals, &error) == 0);
}

static void peers_add(struct fuzz_gateway *gateway)
{
	struct td_ike_peer_config config = {
	    .name = "psk",
	    .local_address = fuzz_local,
	    .remote_address = fuzz_remote,
	    .local_id = own_id,
	    .remote_id = fuzz_psk_id,
	    .local = fuzz_psk,
	    .remote = fuzz_psk,
	    .rekey_ns = 600 * NS_PER_S,
	    .retransmit_ns = NS_PER_S,
	    .retransmit_tries = 4,
	    .liveness_ns = 30 * NS_PER_S,
	    .fragment_bytes = 576,
	};

	proposals_add(TD_IKE_PROTO_IKE, "aes128gcm16-prfsha256-x25519", &config.proposals);
	proposals_add(TD_IKE_PROTO_IKE, "aes128-sha256-x25519-ecp256", &config.proposals);
	gateway->peers[0] = td_ike_peer_add(gateway->ike, &config);
	config.remote_address = (struct td_ip){0};
	config.remote_id = (struct td_ike_id){0};
	config.local = own_key;
	config.remote = trust;
	gateway->peers[1] = td_ike_peer_add(gateway->ike, &config);
	fuzz_require(gateway->peers[0] && gateway->peers[1]);
}

static struct td_ts_list selectors(unsigned tunnel, unsigned side)
{
	struct td_prefix prefix = {
	    .ip = td_ip_from_v4(0x0a000000u + (tunnel << 16) + (side << 8)), .length = 24};

	return (struct td_ts_list){.count = 1, .list = {td_ts_from_prefix(&prefix)}};
}

void fuzz_gateway_tunnel_add(struct fuzz_gateway *gateway, unsigned number, struct td_ike_peer *peer)
{
	struct td_life_config life = {
	    .start = number == 0 ? TD_START_TRAP : TD_START_RESPOND,
	    .slots = number == 1 ? FUZZ_SLOTS : 1,
	    .soft_ns = 60 * NS_PER_S,
	    .hard_ns = 90 * NS_PER_S,
	    .drain_ns = 5 * NS_PER_S,
	    .quiet_ns = 10 * NS_PER_S,
	    .retry_ns = 2 * NS_PER_S,
	};
	struct td_ike_child_config child = {.local = selectors(number, 0), .remote = selectors(number, 1)};

	proposals_add(TD_IKE_PROTO_ESP, number == 0 ? "aes128gcm16-x25519" : "aes128gcm16", &child.proposals);
	proposals_add(TD_IKE_PROTO_ESP, "aes128-sha256", &child.proposals);
	gateway->tunnels[number] =
	    td_life_tunnel_add(gateway->life, &life, td_ike_negotiator(gateway->ike), gateway);
	fuzz_require(gateway->tunnels[number] != NULL);
	fuzz_require(td_ike_tunnel_add(peer, gateway->tunnels[number], &child) == 0);
	td_life_tunnel_start(gateway->tunnels[number]);
}

static void tunnel_add(struct fuzz_gateway *gateway, unsigned number)
{
	fuzz_gateway_tunnel_add(gateway, number, gateway->peers[number == FUZZ_TUNNELS - 1]);
}

static void engines_start(struct fuzz_gateway *gateway)
{
	static const uint8_t token_secret[TD_IKE_TOKEN_SECRET_BYTES];
	struct td_ike_env ike = {
	    .timers = &gateway->timers,
	    .context = gateway,
	    .random = random_fill,
	    .send = message_send,
	    .unix_time = unix_time,
	    .token_secret = token_secret,
	    .wall_us = fuzz_gateway_wall_us,
	};
	struct td_life_env life = {
	    .timers = &gateway->timers,
	    .random_context = gateway,
	    .random = random_fill,
	    .dataplane =
	        {
	            .context = gateway,
	            .spi_reserve = spi_reserve,
	            .spi_claim = spi_claim,
	            .spi_release = spi_release,
	            .install = install,
	            .switch_out = switch_out,
	            .stop_out = installed_check,
	            .prove = installed_check,
	            .drain = installed_check,
	            .remove = remove_child,
	        },
	};

	*gateway = (struct fuzz_gateway){.timers = {.now_ns = NS_PER_S}};
	gateway->ike = td_ike_create(&ike);
	gateway->life = td_lifecycle_create(&life);
	fuzz_require(gateway->ike && gateway->life);
}

void fuzz_gateway_create(struct fuzz_gateway *gateway)
{
	struct td_accepted_setup setup = {
	    .window = {.step_s = 30, .steps = 1},
	    .capacity = 4,
	    .found = true,
	    .save = bound_save,
	};

	engines_start(gateway);
	setup.wall_us = fuzz_gateway_wall_us(gateway);
	setup.steady_us = gateway->timers.now_ns / 1000;
	gateway->accepted = td_accepted_create(&setup);
	fuzz_require(gateway->accepted != NULL);
	td_ike_accepted_set(gateway->ike, gateway->accepted);
}

void fuzz_gateway_start(struct fuzz_gateway *gateway)
{
	engines_start(gateway);
	peers_add(gateway);
	for (unsigned i = 0; i < FUZZ_TUNNELS; i++)
		tunnel_add(gateway, i);
}

static void tunnel_remove(struct fuzz_gateway *gateway, unsigned number)
{
	td_ike_tunnel_remove(gateway->ike, gateway->tunnels[number]);
	td_life_tunnel_remove(gateway->tunnels[number]);
	gateway->tunnels[number] = NULL;
}

void fuzz_gateway_reload(struct fuzz_gateway *gateway, unsigned tunnel)
{
	tunnel_remove(gateway, tunnel);
	tunnel_add(gateway, tunnel);
}

void fuzz_gateway_flood(struct fuzz_gateway *gateway)
{
	gateway->flood += TD_IKE_HALF_OPEN_COOKIE;
	gateway->ike->half_open += TD_IKE_HALF_OPEN_COOKIE;
}

// As the daemon does, which says goodbye, or as one that is killed.
void fuzz_gateway_stop(struct fuzz_gateway *gateway)
{
	gateway->ike->half_open -= gateway->flood;
	if (gateway->spi_next & 1) {
		for (unsigned i = 0; i < FUZZ_TUNNELS; i++)
			tunnel_remove(gateway, i);
		for (unsigned i = 0; i < FUZZ_PEERS && gateway->peers[i]; i++)
			td_ike_peer_remove(gateway->peers[i]);
		fuzz_require(gateway->ike->half_open == 0 && gateway->ike->unproven == 0);
	}
	td_ike_destroy(gateway->ike);
	td_lifecycle_destroy(gateway->life);
	td_accepted_free(gateway->accepted);
	fuzz_require(gateway->reserved == 0 && gateway->installed == 0);
	fuzz_require(td_timers_next_ns(&gateway->timers) == UINT64_MAX);
}

bool fuzz_gateway_run(struct fuzz_gateway *gateway, uint64_t duration_ns)
{
	struct td_timers *timers = &gateway->timers;
	uint64_t until_ns = timers->now_ns + duration_ns;
	unsigned at_once = 0;

	while (td_timers_next_ns(timers) <= until_ns) {
		uint64_t before_ns = timers->now_ns, next_ns = td_timers_next_ns(timers);

		if (++gateway->timer_runs > TIMERS_PER_INPUT)
			return false;
		(void)td_timers_run_one(timers, next_ns > before_ns ? next_ns : before_ns);
		at_once = timers->now_ns == before_ns ? at_once + 1 : 0;
		fuzz_require(at_once < TIMERS_AT_ONCE);
	}
	td_timers_clock(timers, until_ns);
	return true;
}
