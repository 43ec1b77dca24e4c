// SPDX-License-Identifier: BSD-3-Clause
// "tandemctl key": keys, certificates and registration secrets. No daemon is asked.
#include "common/secret.h"
#include "control/cli/command.h"
#include "control/cli/key_file.h"

#include <openssl/bio.h>
#include <openssl/evp.h>
#include <openssl/pem.h>

#include <errno.h>
#include <stdio.h>
#include <string.h>

#define REGISTRATION_BYTES 32
#define DAYS_DEFAULT 3650
#define DAYS_MAX 36500

static const char *text_of(const struct td_call *call, const char *name)
{
	return json_string_value(json_object_get(call->params, name));
}

static enum td_exit failed(const struct td_error *error)
{
	fprintf(stderr, "tandemctl: %s\n", error->reason);
	return TD_EXIT_REFUSED;
}

// Says what was made. Takes the reference.
static enum td_exit done(const struct td_call *call, json_t *result)
{
	json_t *response = json_pack("{s:o}", "result", result);

	if (response != NULL)
		return td_response_print(call, response);
	fputs("tandemctl: out of memory\n", stderr);
	return TD_EXIT_REFUSED;
}

void td_print_key(const json_t *result)
{
	const char *text = json_string_value(json_object_get(result, "public_key"));

	if (text != NULL)
		fputs(text, stdout);
	else
		printf("%s made\n", json_string_value(json_object_get(result, "file")));
}

enum td_exit td_run_key_gen(struct td_call *call)
{
	const char *type = text_of(call, "type") != NULL ? text_of(call, "type") : "x25519";
	struct td_error error = {0};

	if (td_key_file_generate(call->operands[0], type, &error) != 0)
		return failed(&error);
	return done(call, json_pack("{s:s, s:s}", "file", call->operands[0], "type", type));
}

static int public_write(EVP_PKEY *key, const char *path, json_t **result, struct td_error *error)
{
	BIO *memory = BIO_new(BIO_s_mem());
	char *text = NULL;
	long length = 0;
	int code = 0;

	if (memory != NULL && PEM_write_bio_PUBKEY(memory, key) == 1)
		length = BIO_get_mem_data(memory, &text);
	if (length <= 0)
		code = td_error_set(error, -EIO, NULL, NULL, "libcrypto cannot write the public key");
	else if (path != NULL)
		code = td_key_file_write(path, false, text, (size_t)length, error);
	if (code == 0)
		*result = path != NULL ? json_pack("{s:s}", "file", path)
		                       : json_pack("{s:s%}", "public_key", text, (size_t)length);
	BIO_free(memory);
	return code;
}

enum td_exit td_run_key_pub(struct td_call *call)
{
	struct td_error error = {0};
	EVP_PKEY *key = td_key_file_public(call->operands[0], &error);
	json_t *result = NULL;
	int code;

	if (key == NULL)
		return failed(&error);
	code = public_write(key, text_of(call, "out"), &result, &error);
	EVP_PKEY_free(key);
	return code != 0 ? failed(&error) : done(call, result);
}

static int identity_parse(const char *text, bool certificate, struct td_ike_id *id, struct td_error *error)
{
	if (td_ike_id_parse(text, id) != 0)
		return td_error_set(error, -EINVAL, NULL, NULL,
		    "this is no identity: a host name, mail address, address, DN (CN=...) or keyid:TEXT");
	if (certificate && id->type == TD_ID_KEY)
		return td_error_set(
		    error, -EINVAL, NULL, NULL, "a certificate cannot be for an identity of the kind keyid");
	return 0;
}

static int certificate_write(
    const struct td_certificate_order *order, const char *path, struct td_error *error)
{
	BIO *text = td_certificate_issue(order, error);
	char *bytes;
	long length;
	int result;

	if (text == NULL)
		return -EINVAL;
	length = BIO_get_mem_data(text, &bytes);
	result = td_key_file_write(path, false, bytes, (size_t)length, error);
	BIO_free(text);
	return result;
}

enum td_exit td_run_key_cert(struct td_call *call)
{
	struct td_ike_id id;
	const struct td_certificate_order order = {
	    .key_path = call->operands[0],
	    .id = &id,
	    .id_text = text_of(call, "id"),
	    .days = call->local > 0 ? (unsigned)call->local : DAYS_DEFAULT,
	    .authority_key_path = text_of(call, "ca_key"),
	    .authority_path = text_of(call, "ca_cert"),
	};
	const char *path = text_of(call, "out");
	struct td_error error = {0};

	if (order.days > DAYS_MAX || call->local == 0 ||
	    (order.authority_path == NULL) != (order.authority_key_path == NULL)) {
		fprintf(stderr, "tandemctl: --ca-key and --ca-cert go together, and --days is from 1 to %d\n",
		    DAYS_MAX);
		return TD_EXIT_USAGE;
	}
	if (identity_parse(order.id_text, true, &id, &error) != 0 ||
	    certificate_write(&order, path, &error) != 0)
		return failed(&error);
	return done(call, json_pack("{s:s, s:s}", "file", path, "id", order.id_text));
}

enum td_exit td_run_key_register(struct td_call *call)
{
	static const char digits[] = "0123456789abcdef";
	uint8_t secret[REGISTRATION_BYTES];
	char text[2 + 2 * REGISTRATION_BYTES + 1] = "0x";
	const char *name = call->operands[0], *path = text_of(call, "out");
	struct td_error error = {0};
	struct td_ike_id id;
	int result = identity_parse(name, false, &id, &error);

	if (result == 0 && td_random(secret, sizeof(secret)) != 0)
		result = td_error_set(&error, -EIO, NULL, NULL, "the kernel gives no random bytes");
	if (result == 0) {
		for (size_t i = 0; i < sizeof(secret); i++) {
			text[2 + 2 * i] = digits[secret[i] >> 4];
			text[3 + 2 * i] = digits[secret[i] & 15];
		}
		text[sizeof(text) - 1] = '\n';
		result = td_key_file_write(path, true, text, sizeof(text), &error);
	}
	td_wipe(secret, sizeof(secret));
	td_wipe(text, sizeof(text));
	return result != 0 ? failed(&error) : done(call, json_pack("{s:s, s:s}", "file", path, "id", name));
}
