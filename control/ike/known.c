// SPDX-License-Identifier: BSD-3-Clause
#include "control/ike/known.h"

#include "common/hash.h"
#include "common/limits.h"

#include <openssl/crypto.h>
#include <openssl/x509.h>

#include <stdlib.h>
#include <string.h>
#include <sys/queue.h>

struct entry {
	struct td_hash_node node;
	TAILQ_ENTRY(entry) order;
	X509 *certificate;
	struct td_bytes der; // owned
};

struct td_known {
	struct td_hash by_der;
	TAILQ_HEAD(, entry) entries; // newest last
};

// The last bytes are of the authority's signature: nobody else chooses them, so that a plain hash will do.
static uint64_t der_hash(struct td_bytes der)
{
	uint64_t tail = 0;
	size_t length = der.length < sizeof(tail) ? der.length : sizeof(tail);

	memcpy(&tail, der.data + der.length - length, length);
	return td_hash_mix(tail ^ der.length);
}

static struct entry *entry_find(struct td_known *known, struct td_bytes der)
{
	for (struct td_hash_node *node = td_hash_first(&known->by_der, der_hash(der)); node;
	     node = td_hash_next(node)) {
		struct entry *entry = (struct entry *)node;

		if (td_bytes_equal(entry->der, der))
			return entry;
	}
	return NULL;
}

static void entry_free(struct td_known *known, struct entry *entry)
{
	td_hash_unlink(&known->by_der, &entry->node);
	TAILQ_REMOVE(&known->entries, entry, order);
	X509_free(entry->certificate);
	OPENSSL_free((void *)entry->der.data);
	free(entry);
}

struct td_known *td_known_create(void)
{
	struct td_known *known = calloc(1, sizeof(*known));

	if (known)
		TAILQ_INIT(&known->entries);
	return known;
}

void td_known_free(struct td_known *known)
{
	if (!known)
		return;
	while (!TAILQ_EMPTY(&known->entries))
		entry_free(known, TAILQ_FIRST(&known->entries));
	td_hash_free(&known->by_der);
	free(known);
}

X509 *td_known_find(struct td_known *known, struct td_bytes der)
{
	struct entry *entry = entry_find(known, der);

	if (!entry || X509_up_ref(entry->certificate) != 1)
		return NULL;
	TAILQ_REMOVE(&known->entries, entry, order);
	TAILQ_INSERT_TAIL(&known->entries, entry, order);
	return entry->certificate;
}

void td_known_add(struct td_known *known, X509 *certificate)
{
	unsigned char *data = NULL;
	int length = i2d_X509(certificate, &data);
	struct td_bytes der = {data, length > 0 ? (size_t)length : 0};
	struct entry *entry = NULL;

	if (length > 0 && !entry_find(known, der) && td_hash_reserve(&known->by_der, 1) == 0)
		entry = calloc(1, sizeof(*entry));
	if (!entry || X509_up_ref(certificate) != 1) {
		free(entry);
		OPENSSL_free(data);
		return;
	}
	entry->certificate = certificate;
	entry->der = der;
	if (known->by_der.count == TD_IKE_KNOWN_MAX)
		entry_free(known, TAILQ_FIRST(&known->entries));
	td_hash_link(&known->by_der, &entry->node, der_hash(der));
	TAILQ_INSERT_TAIL(&known->entries, entry, order);
}
