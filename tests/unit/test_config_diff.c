// SPDX-License-Identifier: BSD-3-Clause
#include "control/config/diff.h"

#include "tests/unit/config_file.h"

#define KEYED(keys) BASE "tunnels = ( { " TUNNEL_ENDS " psk_file=\"@/psk\"; " keys " } );\n"
#define POLICY(remote) "policies = ( { action = \"discard\"; remote = \"" remote "\"; } );\n"
#define ROUTE(via) "routes = ( { to = \"198.51.100.0/24\"; via = \"" via "\"; } );\n"
#define TWO(first, second)                                                                                   \
	BASE "tunnels = ( { name=\"" first                                                                   \
	     "\"; local_address=\"192.0.2.1\"; remote_address=\"192.0.2.2\"; }, "                            \
	     "{ name=\"" second "\"; local_address=\"192.0.2.1\"; remote_address=\"192.0.2.3\"; } );\n"

static void begin(void)
{
	static const char psk[] = "a pre-shared key of tests only";
	char path[128];

	make_directory();
	write_file("psk", psk, sizeof(psk) - 1);
	snprintf(path, sizeof(path), "%s/psk", directory);
	cr_assert_eq(chmod(path, 0600), 0);
}

TestSuite(config_diff, .init = begin, .fini = remove_directory);

// "@" is the test's directory.
static struct td_config *load_good(const char *text)
{
	const char *at = strchr(text, '@');
	char *whole, *errors;

	cr_assert_gt(asprintf(&whole, "%.*s%s%s", at ? (int)(at - text) : (int)strlen(text), text,
	                 at ? directory : "", at ? at + 1 : ""),
	    0);
	struct td_config *config = load(whole, strlen(whole), &errors);
	cr_assert_not_null(config, "%s", errors);
	free(errors);
	free(whole);
	return config;
}

// What differs, in words: the restarts, "+name", "-name", "~name:keys" (anew), "=name:keys" (in place).
static void describe(const struct td_config_diff *diff, char *text, size_t size)
{
	size_t used = 0;

#define SAY(...) (used += (size_t)snprintf(text + used, size - used, __VA_ARGS__))
	text[0] = '\0';
	for (unsigned i = 0; i < diff->restart_count; i++)
		SAY("!%s ", diff->restart[i]);
	for (unsigned i = 0; i < diff->tunnel_count; i++) {
		const struct td_config_tunnel_diff *tunnel = &diff->tunnels[i];

		if (tunnel->in_place && !tunnel->keys)
			continue;
		SAY("%s%s",
		    tunnel->before == TD_CONFIG_NO_TUNNEL  ? "+"
		    : tunnel->after == TD_CONFIG_NO_TUNNEL ? "-"
		    : tunnel->in_place                     ? "="
		                                           : "~",
		    tunnel->name);
		for (unsigned k = 0; td_config_tunnel_key(k); k++)
			if (tunnel->keys & 1ull << k)
				SAY(":%s", td_config_tunnel_key(k));
		SAY(" ");
	}
	SAY("%s%s%s%s", diff->policies ? "policies " : "", diff->routes ? "routes " : "",
	    diff->log_level ? "log " : "", diff->order ? "order " : "");
}

Test(config_diff, says_what_differs)
{
	static const struct {
		const char *before, *after, *expected;
	} cases[] = {
	    {TUNNEL, TUNNEL, ""},
	    {KEYED(""), KEYED(""), ""},
	    {KEYED("rekey_ms = 3600000;"), KEYED(""), ""},
	    {BASE, TUNNEL, "+b "},
	    {TUNNEL, BASE, "-b "},
	    {KEYED(""), KEYED("rekey_ms = 1000;"), "=b:rekey_ms:life_ms "},
	    {KEYED(""), KEYED("start = \"trap\"; liveness_ms = 0; drain_ms = 7;"),
	        "=b:drain_ms:start:liveness_ms "},
	    {KEYED(""), KEYED("routes = [ \"10.9.0.0/16\" ];"), "=b:routes "},
	    {KEYED("local = [\"10.1.0.0/24\"]; remote = [\"10.2.0.0/24\"];"),
	        KEYED("local = [\"10.1.0.0/24\"]; remote = [\"10.3.0.0/24\"];"), "~b:remote "},
	    {KEYED(""), KEYED("esp = [ \"aes256-sha256\" ]; rekey_ms = 1000;"), "~b:esp:rekey_ms:life_ms "},
	    {KEYED("esp = [ \"aes256-sha256\" ];"), KEYED("esp = [ \"aes128gcm16\" ];"), "~b:esp "},
	    {KEYED(""), KEYED("remote_id = \"there.example\";"), "~b:remote_id "},
	    {KEYED(""), KEYED("encapsulate = true;"), "~b:encapsulate "},
	    {KEYED(""), KEYED("per_worker = true;"), "~b:per_worker "},
	    {KEYED(""), KEYED("df = \"set\";"), "~b:df "},
	    {TWO("b", "c"), TWO("b", "d"), "+d -c "},
	    {BASE, BASE POLICY("10.9.0.0/16"), "policies "},
	    {BASE POLICY("10.9.0.0/16"), BASE POLICY("10.9.0.0/16"), ""},
	    {BASE POLICY("10.9.0.0/16"), BASE POLICY("10.9.0.0/17"), "policies "},
	    {BASE ROUTE("192.0.2.7"), BASE ROUTE("192.0.2.8"), "routes "},
	    {BASE, BASE "log: { level = \"debug\"; };", "log "},
	    {BASE, BASE "worker: { count = 2; };", "!worker.count "},
	    {BASE, BASE "control: { socket = \"/tmp/other\"; }; icmp: { prohibited = true; };",
	        "!control.socket !icmp.prohibited "},
	    {BASE, "ports = ( { " OUTSIDE " },\n{ " INSIDE " mtu = 1400; } );\n", "!ports.mtu "},
	    {BASE,
	        "ports = ( { " OUTSIDE " },\n{ " INSIDE
	        " },\n{ name = \"third\"; device = \"net_null0\"; role = "
	        "\"inside\"; } );\n",
	        "!ports "},
	};

	for (size_t i = 0; i < COUNT(cases); i++) {
		struct td_config *before = load_good(cases[i].before), *after = load_good(cases[i].after);
		struct td_config_diff diff;
		char text[512];

		cr_assert_eq(td_config_diff(before, after, &diff), 0);
		describe(&diff, text, sizeof(text));
		cr_expect_str_eq(text, cases[i].expected, "case %zu", i);
		cr_expect_eq(td_config_diff_is_empty(&diff), cases[i].expected[0] == '\0', "case %zu", i);
		td_config_diff_free(&diff);
		td_config_free(before);
		td_config_free(after);
	}
}

Test(config_diff, order_of_tunnels)
{
	struct td_config *before = load_good(TWO("b", "c"));
	struct td_config *after = load_good(
	    BASE "tunnels = ( { name=\"c\"; local_address=\"192.0.2.1\"; remote_address=\"192.0.2.3\"; }, "
	         "{ name=\"b\"; local_address=\"192.0.2.1\"; remote_address=\"192.0.2.2\"; } );\n");
	struct td_config_diff diff;
	char text[512];

	cr_assert_eq(td_config_diff(before, after, &diff), 0);
	describe(&diff, text, sizeof(text));
	cr_expect_str_eq(text, "order ");
	cr_expect_eq(diff.tunnels[0].before, 1);
	cr_expect_eq(diff.tunnels[1].before, 0);
	td_config_diff_free(&diff);
	td_config_free(before);
	td_config_free(after);
}
