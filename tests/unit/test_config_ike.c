// SPDX-License-Identifier: BSD-3-Clause
// Tunnels that negotiate their keys: how the file says it, and what is wrong with it.
#include "control/config/integer.h"
#include "tests/unit/config_file.h"

// Two files that nobody else may read, and two that everybody may.
static void make_files(void)
{
	static const struct {
		const char *name;
		mode_t mode;
	} files[] = {{"psk", 0600}, {"key", 0600}, {"open", 0644}, {"public", 0644}};
	char path[128];

	make_directory();
	for (size_t i = 0; i < COUNT(files); i++) {
		write_file(files[i].name, "x", 1);
		snprintf(path, sizeof(path), "%s/%s", directory, files[i].name);
		cr_assert_eq(chmod(path, files[i].mode), 0);
	}
}

TestSuite(config_ike, .init = make_files, .fini = remove_directory, .timeout = 120);

// Puts the directory in the place of every "$". To be freed.
static char *expand(const char *text)
{
	size_t length;
	char *expanded;
	FILE *stream = open_memstream(&expanded, &length);

	for (; *text; text++)
		fprintf(stream, *text == '$' ? "%s" : "%.1s", *text == '$' ? directory : text);
	fclose(stream);
	return expanded;
}

static struct td_config *load_expanded(const char *text, char **errors)
{
	char *expanded = expand(text);
	struct td_config *config = load(expanded, strlen(expanded), errors);

	free(expanded);
	return config;
}

#define PSK "psk_file=\"$/psk\";"
#define KEY "key_file=\"$/key\";"
#define TUNNEL_WITH(keys) BASE "tunnels = (\n{ " TUNNEL_ENDS "\n" keys " } );"
// The first stands in line 4, the second in line 5.
#define TWO_TUNNELS(first, second)                                                                           \
	BASE "tunnels = ( { " TUNNEL_ENDS first " },\n{ name=\"c\"; local_address=\"192.0.2.1\"; "           \
	     "remote_address=\"192.0.2.2\"; " second " } );"

static void expect_path(const char *path, const char *name)
{
	char expected[128];

	snprintf(expected, sizeof(expected), "%s/%s", directory, name);
	cr_assert_not_null(path);
	cr_expect_str_eq(path, expected);
}

Test(config_ike, sets_defaults)
{
	char *errors;
	struct td_config *config = load_expanded(TWO_TUNNELS(PSK, ""), &errors);

	cr_assert_not_null(config, "%s", errors);
	cr_expect_str_eq(config->state_directory, "/var/lib/tandem");
	const struct td_tunnel_ike_config *ike = config->tunnels[0].ike;
	cr_assert_not_null(ike);
	cr_expect_null(config->tunnels[1].ike);
	expect_path(ike->psk_file, "psk");
	cr_expect_eq(ike->start, TD_TUNNEL_BOOT);
	cr_expect(!ike->local_id && !ike->remote_id && !ike->key_file && !ike->certificate_file);
	cr_expect(!ike->authority_file && !ike->remote_key_file);
	cr_expect_eq(ike->ike_count + ike->esp_count, 0);
	cr_expect_eq(ike->rekey_ms, 3600000);
	cr_expect_eq(ike->life_ms, 3960000);
	cr_expect_eq(ike->limits.soft_bytes + ike->limits.hard_bytes, 0);
	cr_expect_eq(ike->limits.soft_packets + ike->limits.hard_packets, 0);
	cr_expect_eq(ike->ike_rekey_ms, 14400000);
	cr_expect(ike->retransmit_ms == 1000 && ike->retransmit_tries == 8);
	cr_expect_eq(ike->liveness_ms, 30000);
	cr_expect_eq(ike->fragment_bytes, 1280);
	cr_expect_not(ike->encapsulate || ike->per_worker);
	cr_expect_eq(ike->negotiation, TD_NEGOTIATION_IKEV2);
	td_config_free(config);
	free(errors);
}

Test(config_ike, reads_every_key)
{
	static const char text[] =
	    BASE "control: { state_dir = \"/var/lib/other\"; };\n"
	         "tunnels = ( { name=\"b\"; local_address=\"192.0.2.1\"; remote_address=\"any\"; "
	         "start=\"respond\"; " KEY
	         "certificate_file=\"$/public\"; authority_file=\"$/open\"; remote_key_file=\"$/public\"; "
	         "local_id=\"gw-a.example\"; remote_id=\"CN=gw-b, O=Example\"; "
	         "ike=[\"aes256gcm16-prfsha384-ecp384\", \"aes128-sha256-modp3072\"]; "
	         "esp=[\"aes128gcm16-x25519-esn\"]; "
	         "rekey_ms=60000; rekey_bytes=100000000000L; life_bytes=200000000000L; rekey_packets=1000; "
	         "life_packets=2000; ike_rekey_ms=0; retransmit_ms=5; retransmit_tries=20; liveness_ms=20; "
	         "fragment_bytes=576; encapsulate=true; per_worker=true; } );";
	char *errors;
	struct td_config *config = load_expanded(text, &errors);

	cr_assert_not_null(config, "%s", errors);
	cr_expect_str_eq(config->state_directory, "/var/lib/other");
	cr_expect_eq(config->tunnels[0].remote_address.family, 0);
	const struct td_tunnel_ike_config *ike = config->tunnels[0].ike;
	cr_assert_not_null(ike);
	cr_expect_null(ike->psk_file);
	expect_path(ike->key_file, "key");
	expect_path(ike->certificate_file, "public");
	expect_path(ike->authority_file, "open");
	expect_path(ike->remote_key_file, "public");
	cr_expect_eq(ike->start, TD_TUNNEL_RESPOND);
	cr_expect_str_eq(ike->local_id, "gw-a.example");
	cr_expect_str_eq(ike->remote_id, "CN=gw-b, O=Example");
	cr_assert(ike->ike_count == 2 && ike->esp_count == 1);
	cr_expect_str_eq(ike->ike[0], "aes256gcm16-prfsha384-ecp384");
	cr_expect_str_eq(ike->ike[1], "aes128-sha256-modp3072");
	cr_expect_str_eq(ike->esp[0], "aes128gcm16-x25519-esn");
	cr_expect(ike->rekey_ms == 60000 && ike->life_ms == 66000);
	cr_expect(ike->limits.soft_bytes == 100000000000 && ike->limits.hard_bytes == 200000000000);
	cr_expect(ike->limits.soft_packets == 1000 && ike->limits.hard_packets == 2000);
	cr_expect(ike->ike_rekey_ms == 0 && ike->retransmit_ms == 5 && ike->retransmit_tries == 20);
	cr_expect(ike->liveness_ms == 20 && ike->fragment_bytes == 576);
	cr_expect(ike->encapsulate && ike->per_worker);
	td_config_free(config);
	free(errors);
}

#define ONERTT "negotiation=\"onertt\";"
#define BOTH_KEYS KEY "remote_key_file=\"$/public\";"

Test(config_ike, reads_the_one_round_trip_exchange)
{
	static const char plain[] = TUNNEL_WITH(ONERTT BOTH_KEYS);
	static const char all[] =
	    TUNNEL_WITH(ONERTT PSK "remote_key_file=\"$/public\"; local_id=\"a\"; authentication=\"secret\"; "
	                           "key_source=\"initiator\"; key_delivery=\"wrapped\"; early_data=true; "
	                           "early_delay_ms=0; code_step_s=10; code_window=3; session_ms=0;");
	char *errors;
	struct td_config *config = load_expanded(plain, &errors);

	cr_assert_not_null(config, "%s", errors);
	const struct td_tunnel_ike_config *ike = config->tunnels[0].ike;
	cr_expect_eq(ike->negotiation, TD_NEGOTIATION_ONERTT);
	cr_expect(ike->authentication == TD_ONERTT_KEY && ike->key_source == TD_ONERTT_CONTRIBUTORY);
	cr_expect(ike->key_delivery == TD_ONERTT_DERIVED && !ike->early_data && ike->early_delay_ms == 5);
	cr_expect(ike->code_step_s == 30 && ike->code_window == 1 && ike->session_ms == 86400000);
	td_config_free(config);
	free(errors);

	config = load_expanded(all, &errors);
	cr_assert_not_null(config, "%s", errors);
	ike = config->tunnels[0].ike;
	cr_expect(ike->authentication == TD_ONERTT_SECRET && ike->key_source == TD_ONERTT_INITIATOR);
	cr_expect(ike->key_delivery == TD_ONERTT_WRAPPED && ike->early_data && ike->early_delay_ms == 0);
	cr_expect(ike->code_step_s == 10 && ike->code_window == 3 && ike->session_ms == 0);
	td_config_free(config);
	free(errors);
}

// Tunnels share an IKE SA, or have ones of their own because of an identity.
Test(config_ike, takes_tunnels_between_the_same_ends)
{
	static const char *const texts[] = {
	    TWO_TUNNELS(PSK, PSK "start=\"trap\"; esp=[\"aes128gcm16\"]; rekey_ms=1000;"),
	    TWO_TUNNELS(PSK, "remote_id=\"c\"; " KEY "remote_key_file=\"$/public\"; liveness_ms=0;"),
	    TWO_TUNNELS(PSK, "local_id=\"a\"; " PSK "ike=[\"aes128-sha256-x25519\"];"),
	};

	for (size_t i = 0; i < COUNT(texts); i++) {
		char *errors;
		struct td_config *config = load_expanded(texts[i], &errors);

		cr_expect_not_null(config, "%s", errors);
		td_config_free(config);
		free(errors);
	}
}

static const struct {
	const char *name;
	const char *text;
	const char *expected; // what is behind "FILE:"
	const char *also; // the second error, or NULL
} faults[] = {
    // Values.
    {"word of a proposal",
        TUNNEL_WITH(PSK "ike=[\"aes128gcm16-prfsha256-x25519\", \"aes127-sha256-x25519\"];"),
        "6: tunnel b: ike[1] is \"aes127-sha256-x25519\", which has \"aes127\"; allowed are aes128 aes192",
        NULL},
    {"IKE without group", TUNNEL_WITH(PSK "ike=[\"aes128-sha256\"];"),
        "6: tunnel b: ike[0] is \"aes128-sha256\", which has no Diffie-Hellman group, such as x25519; "
        "allowed is "
        "names of algorithms",
        NULL},
    {"PRF for ESP", TUNNEL_WITH(PSK "esp=[\"aes128gcm16-prfsha256\"];"),
        "6: tunnel b: esp[0] is \"aes128gcm16-prfsha256\", which has \"prfsha256\"; allowed are", NULL},
    // The fake data plane runs aes128gcm16 and nothing else.
    {"suite that the CPU lacks", TUNNEL_WITH(PSK "esp=[\"aes128gcm16\",\"aes256gcm16\"];"),
        "6: tunnel b: esp[1] asks for aes256gcm16, which this CPU has no instructions for; allowed is what "
        "\"tandemctl suite list\" shows as available",
        NULL},
    {"one proposal", TUNNEL_WITH(PSK "esp=\"aes128gcm16\";"),
        "6: tunnel b: esp is \"aes128gcm16\"; allowed is an array in [ ]", NULL},
    {"many proposals",
        TUNNEL_WITH(PSK
            "esp=[\"null-sha256\",\"aes128-sha256\",\"aes192-sha256\",\"aes256-sha256\",\"aes128-sha384\","
            "\"aes192-sha384\",\"aes256-sha384\",\"aes128gcm16\",\"aes256gcm16\"];"),
        "6: tunnel b: esp has 9 elements; allowed is 8 at most", NULL},
    {"identity", TUNNEL_WITH(PSK "local_id=\"gw a\";"),
        "6: tunnel b: local_id is \"gw a\"; allowed is a name such as", NULL},
    {"empty identity", TUNNEL_WITH(PSK "remote_id=\"\";"), "6: tunnel b: remote_id is \"\"; allowed", NULL},
    {"relative file", TUNNEL_WITH("psk_file=\"psk\";"),
        "6: tunnel b: psk_file is \"psk\"; allowed is the absolute path of a file", NULL},
    {"start", TUNNEL_WITH(PSK "start=\"auto\";"),
        "6: tunnel b: start is \"auto\"; allowed is \"boot\", \"trap\" or \"respond\"", NULL},
    {"short time", TUNNEL_WITH(PSK "rekey_ms=19;"),
        "6: tunnel b: rekey_ms is 19; allowed is an integer from 20 to", NULL},
    {"short liveness", TUNNEL_WITH(PSK "liveness_ms=19;"),
        "6: tunnel b: liveness_ms is 19; allowed is 0 or at least 20", NULL},
    {"short life of IKE SAs", TUNNEL_WITH(PSK "ike_rekey_ms=1;"),
        "6: tunnel b: ike_rekey_ms is 1; allowed is 0 or at least 20", NULL},
    {"no L", TUNNEL_WITH(PSK "rekey_bytes=100000000000; # 100 GB"),
        "6: 100000000000 does not fit into 32 bits; allowed is 100000000000L", NULL},
    // Credentials.
    {"none", TUNNEL_WITH("start=\"trap\";"),
        "6: tunnel b: start is given without psk_file or key_file; allowed is what a negotiation", NULL},
    {"none, but whom to trust", TUNNEL_WITH("authority_file=\"$/public\";\nper_worker=true;"),
        "6: tunnel b: authority_file is given without psk_file or key_file;",
        "7: tunnel b: per_worker is given without psk_file or key_file;"},
    {"certificate without key", TUNNEL_WITH("certificate_file=\"$/public\";"),
        "6: tunnel b: certificate_file is given without psk_file or key_file;", NULL},
    {"both", TUNNEL_WITH(PSK "\n" KEY),
        "7: tunnel b: key_file is given with psk_file; allowed is a pre-shared key or a private key, not "
        "both",
        NULL},
    {"pre-shared key and authority", TUNNEL_WITH(PSK "authority_file=\"$/public\";"),
        "6: tunnel b: authority_file is given with psk_file;", NULL},
    {"nothing to know the peer by", TUNNEL_WITH(KEY "certificate_file=\"$/public\";"),
        "6: tunnel b: key_file is given without anything to know the peer by; allowed is authority_file or "
        "remote_key_file",
        NULL},
    {"open pre-shared key", TUNNEL_WITH("psk_file=\"$/open\";"), "6: tunnel b: psk_file is \"", NULL},
    {"missing key", TUNNEL_WITH("remote_key_file=\"$/public\"; key_file=\"/nowhere/key\";"),
        "6: tunnel b: key_file is \"/nowhere/key\", which does not exist; allowed is a file", NULL},
    {"directory", TUNNEL_WITH(KEY "authority_file=\"/tmp\";"),
        "6: tunnel b: authority_file is \"/tmp\", which is not a regular file; allowed is a file", NULL},
    // What does not go together.
    {"ports", TUNNEL_WITH(PSK "udp_local_port=4500;\nudp_remote_port=4500;"),
        "6: tunnel b: udp_local_port is given for a tunnel that negotiates its ports; allowed is encapsulate",
        "7: tunnel b: udp_remote_port is given"},
    {"life", TUNNEL_WITH(PSK "life_ms=3600000;"),
        "6: tunnel b: life_ms is 3600000, and rekey_ms is 3600000; allowed is an end that successors come "
        "before",
        NULL},
    {"bytes", TUNNEL_WITH(PSK "rekey_bytes=1000; life_bytes=999;"),
        "6: tunnel b: life_bytes is 999, and rekey_bytes is 1000;", NULL},
    {"packets without rekey", TUNNEL_WITH(PSK "life_packets=999;"),
        "6: tunnel b: life_packets is 999 without rekey_packets;", NULL},
    {"injected for anybody",
        BASE "tunnels = ( { name=\"b\"; local_address=\"192.0.2.1\"; remote_address=\"any\"; } );",
        "4: tunnel b: remote_address is \"any\" without psk_file or key_file;", NULL},
    {"connecting to anybody",
        BASE "tunnels = ( { name=\"b\"; local_address=\"192.0.2.1\"; remote_address=\"any\"; " PSK " } );",
        "4: tunnel b: start is not \"respond\", but nobody knows where", NULL},
    {"transport with anybody",
        BASE
        "tunnels = ( { name=\"b\"; local_address=\"192.0.2.1\"; remote_address=\"any\"; mode=\"transport\"; "
        "start=\"respond\"; " PSK " } );",
        "4: tunnel b: mode is \"transport\" with remote_address \"any\"; allowed is \"tunnel\"", NULL},
    {"no address",
        BASE "tunnels = ( { name=\"b\"; local_address=\"192.0.2.1\"; remote_address=\"all\"; " PSK " } );",
        "4: tunnel b: remote_address is \"all\"; allowed is \"any\" or a unicast address", NULL},
    // The one-round-trip exchange.
    {"negotiation", TUNNEL_WITH("negotiation=\"noise\";" PSK),
        "6: tunnel b: negotiation is \"noise\"; allowed is \"ikev2\" or \"onertt\"", NULL},
    {"code with IKEv2", TUNNEL_WITH(PSK "code_step_s=10;\nkey_source=\"initiator\";"),
        "6: tunnel b: code_step_s is given with IKEv2; allowed is negotiation",
        "7: tunnel b: key_source is given with IKEv2"},
    {"authority", TUNNEL_WITH(ONERTT BOTH_KEYS "authority_file=\"$/public\";"),
        "6: tunnel b: authority_file is given with negotiation = \"onertt\"; allowed is the very key", NULL},
    {"only our key", TUNNEL_WITH(ONERTT KEY),
        "6: tunnel b: negotiation is \"onertt\" without remote_key_file;", NULL},
    {"only a secret", TUNNEL_WITH(ONERTT PSK), "6: tunnel b: psk_file is given with negotiation", NULL},
    {"secret without keys", TUNNEL_WITH(ONERTT PSK "authentication=\"secret\";"),
        "6: tunnel b: authentication is \"secret\" without a key; allowed is remote_key_file", NULL},
    {"secret without secret", TUNNEL_WITH(ONERTT BOTH_KEYS "authentication=\"secret\";"),
        "6: tunnel b: authentication is \"secret\" without psk_file;", NULL},
    {"secret that begins with no key to begin with",
        TUNNEL_WITH(ONERTT PSK KEY "remote_id=\"a\"; authentication=\"secret\";"),
        "6: tunnel b: authentication needs remote_key_file to begin; allowed without it is start", NULL},
    {"a secret of nobody", TUNNEL_WITH(ONERTT PSK KEY "start=\"respond\"; authentication=\"secret\";"),
        "6: tunnel b: authentication is \"secret\" without remote_id;", NULL},
    {"early data of both", TUNNEL_WITH(ONERTT BOTH_KEYS "early_data=true;"),
        "6: tunnel b: early_data is true, but the keys are known only with the answer;", NULL},
    {"short session", TUNNEL_WITH(ONERTT BOTH_KEYS "session_ms=1;"),
        "6: tunnel b: session_ms is 1; allowed is 0 or at least 20", NULL},
    {"shared negotiation", TWO_TUNNELS(ONERTT BOTH_KEYS, BOTH_KEYS), "5: tunnel c: negotiation differs from",
        NULL},
    // One IKE SA of two tunnels.
    {"shared credentials, an identity written out",
        TWO_TUNNELS(PSK, "psk_file=\"$/key\"; local_id=\"192.0.2.1\";"),
        "5: tunnel c: psk_file differs from the tunnel in line 4, which shares its IKE SA", NULL},
    {"shared credentials, names in capitals",
        TWO_TUNNELS(PSK " local_id=\"GW.example\";", "psk_file=\"$/key\"; local_id=\"gw.EXAMPLE\";"),
        "5: tunnel c: psk_file differs from the tunnel in line 4, which shares its IKE SA", NULL},
    {"shared credentials", TWO_TUNNELS(PSK, "psk_file=\"$/key\";"),
        "5: tunnel c: psk_file differs from the tunnel in line 4, which shares its IKE SA; allowed is the "
        "same",
        NULL},
    {"shared, a credential of each kind", TWO_TUNNELS(PSK, KEY "remote_key_file=\"$/public\";"),
        "5: tunnel c: psk_file differs from the tunnel in line 4", NULL},
    {"shared timers", TWO_TUNNELS(PSK, PSK "liveness_ms=1000;"), "5: tunnel c: liveness_ms differs from",
        NULL},
    {"shared proposals",
        TWO_TUNNELS(PSK "ike=[\"aes128-sha256-x25519\"];",
            PSK "ike=[\"aes128-sha256-x25519\",\"aes256-sha256-x25519\"];"),
        "5: tunnel c: ike differs from", NULL},
    {"shared encapsulation", TWO_TUNNELS(PSK "local_id=\"a\";", "local_id=\"a\"; encapsulate=true; " PSK),
        "5: tunnel c: encapsulate differs from", NULL},
};

Test(config_ike, reports_each_fault_once_with_its_line)
{
	for (size_t i = 0; i < COUNT(faults); i++) {
		char *errors;
		struct td_config *config = load_expanded(faults[i].text, &errors);

		cr_expect_null(config, "%s", faults[i].name);
		cr_expect_eq(count_lines(errors), faults[i].also ? 2 : 1, "%s: %s", faults[i].name, errors);
		expect_line(faults[i].name, errors, faults[i].expected);
		if (faults[i].also)
			expect_line(faults[i].name, errors, faults[i].also);
		td_config_free(config);
		free(errors);
	}
}

Test(config_ike, finds_integers_that_would_be_cut)
{
	static const struct {
		const char *line;
		bool comment; // before the line
		const char *expected; // the digits, or NULL
		bool after;
	} rows[] = {
	    {"a = 2147483647;", false, NULL, false},
	    {"a = 2147483648;", false, "2147483648", false},
	    {"a=99999999999999999999999", false, "99999999999999999999999", false},
	    {"a = [1,3000000000L,3000000001]", false, "3000000001", false},
	    {"a = 3000000000LL; b = 0xffffffff1; c = 3000000000.5; d = 3000000000e1;", false, NULL, false},
	    {"name3000000000 = 1; n-3000000000 = 2;", false, NULL, false},
	    {"a = 1; # 3000000000", false, NULL, false},
	    {"a = 1; // 3000000000", false, NULL, false},
	    {"a = \"3000000000 \\\" # 3000000000\"; b = 3000000002;", false, "3000000002", false},
	    {"a = 1; /* 3000000000", false, NULL, true},
	    {"3000000000", true, NULL, true},
	    {"3000000000 */ a = 3000000003;", true, "3000000003", false},
	    {"a = \"open 3000000000", false, NULL, false},
	    {"a = \"open \\", false, NULL, false},
	    {"", false, NULL, false},
	};

	for (size_t i = 0; i < COUNT(rows); i++) {
		bool comment = rows[i].comment;
		size_t length = 0;
		const char *found = td_config_cut_integer(rows[i].line, &comment, &length);

		cr_expect_eq(found == NULL, rows[i].expected == NULL, "%s", rows[i].line);
		cr_expect_eq(comment, rows[i].after, "%s", rows[i].line);
		if (found && rows[i].expected)
			cr_expect(length == strlen(rows[i].expected) &&
			              memcmp(found, rows[i].expected, length) == 0,
			    "%s", rows[i].line);
	}
}
