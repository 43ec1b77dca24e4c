// SPDX-License-Identifier: BSD-3-Clause
#include "control/config/schema.h"
#include "control/config/value.h"
#include "tests/unit/config_file.h"

#include <libconfig.h>

TestSuite(config, .init = make_directory, .fini = remove_directory, .timeout = 120);

Test(config, sets_defaults)
{
	char *errors;
	struct td_config *config = load(TUNNEL, strlen(TUNNEL), &errors);

	cr_assert_not_null(config, "%s", errors);
	cr_expect_eq(config->workers, 1);
	cr_expect_eq(config->worker_core_count, 0);
	cr_expect_eq(config->main_core, -1);
	cr_expect_eq(config->idle, TD_IDLE_ADAPTIVE);
	cr_expect_not(config->hugepages);
	cr_expect_eq(config->memory_mb, 768);
	cr_expect_eq(config->packet_buffers, 16384);
	cr_expect_str_eq(config->file_prefix, "tandem");
	cr_expect_str_eq(config->socket_path, "/run/tandem/tandem.sock");
	cr_expect_str_eq(config->socket_group, "tandem");
	cr_expect_eq(config->log_level, TD_LOG_INFO);
	cr_assert_eq(config->port_count, 2);
	cr_expect_eq(config->ports[0].role, TD_ROLE_OUTSIDE);
	cr_expect_str_eq(config->ports[0].tap, "outside");
	cr_expect_eq(config->ports[0].mtu, 1500);
	cr_expect_eq(config->ports[0].rx_descriptors, 1024);
	cr_expect_eq(config->ports[0].address_count, 2);
	cr_expect_eq(config->ports[0].addresses[1].ip.family, 6);
	cr_assert_eq(config->tunnel_count, 1);
	cr_expect_eq(config->tunnels[0].replay_window, TD_REPLAY_WINDOW_DEFAULT);
	cr_expect_eq(config->tunnels[0].drain_ms, TD_DRAIN_DEFAULT_MS);
	cr_expect_eq(config->tunnels[0].mode, TD_SA_TUNNEL);
	cr_expect_eq(config->tunnels[0].udp_local_port + config->tunnels[0].udp_remote_port, 0);
	cr_expect_eq(config->tunnels[0].df, TD_DF_COPY);
	cr_expect_eq(config->tunnels[0].dscp, TD_DSCP_COPY);
	cr_expect_eq(config->tunnels[0].local_count + config->tunnels[0].route_count, 0);
	cr_expect_eq(config->route_count + config->policy_count, 0);
	td_config_free(config);
	free(errors);
}

Test(config, tunnels_with_dummies_are_bounded)
{
	for (unsigned extra = 0; extra < 2; extra++) {
		unsigned count = TD_DUMMY_TUNNELS_MAX + extra;
		char *text, *errors;
		size_t length;
		FILE *out = open_memstream(&text, &length);

		fputs(BASE "tunnels = (", out);
		for (unsigned i = 0; i < count; i++)
			fprintf(out,
			    "%s{ name=\"t%u\"; local_address=\"192.0.2.1\"; remote_address=\"192.0.2.2\"; "
			    "dummy_rate=1; }",
			    i ? ", " : "", i);
		fputs(");", out);
		fclose(out);
		struct td_config *config = load(text, length, &errors);
		cr_expect_eq(config == NULL, extra == 1, "%u: %s", count, errors);
		cr_expect_eq(strstr(errors, "has 1025 tunnels with dummy_rate; allowed is 1024") != NULL,
		    extra == 1, "%s", errors);
		td_config_free(config);
		free(errors);
		free(text);
	}
}

Test(config, reads_policies)
{
	static const char text[] =
	    TUNNEL "policies = (\n"
	           "{ action=\"protect\"; tunnel=\"b\"; direction=\"in\"; local=\"10.1.0.0/24\"; "
	           "protocol=\"tcp\"; local_port=\"any\"; remote_port=\"5000-5010\"; },\n"
	           "{ action=\"discard\"; protocol=17; local_port=53; remote_port=\"67\"; },\n"
	           "{ action=\"bypass\"; protocol=\"132\"; remote=\"192.0.2.9\"; } );";
	char *errors;
	struct td_config *config = load(text, strlen(text), &errors);

	cr_assert_not_null(config, "%s", errors);
	cr_assert_eq(config->policy_count, 3);
	const struct td_policy_config *policy = config->policies;
	cr_expect_eq(policy[0].action, TD_POLICY_PROTECT);
	cr_expect_eq(policy[0].direction, TD_POLICY_IN);
	cr_expect_eq(policy[0].local.length, 24);
	cr_expect_eq(policy[0].remote.ip.family, 0);
	cr_expect_eq(policy[0].protocol, 6);
	cr_expect(policy[0].local_port_low == 0 && policy[0].local_port_high == 65535);
	cr_expect(policy[0].remote_port_low == 5000 && policy[0].remote_port_high == 5010);
	cr_expect_str_eq(policy[0].tunnel, "b");
	cr_expect_eq(policy[1].direction, TD_POLICY_BOTH);
	cr_expect_eq(policy[1].protocol, 17);
	cr_expect(policy[1].local_port_low == 53 && policy[1].local_port_high == 53);
	cr_expect(policy[1].remote_port_low == 67 && policy[1].remote_port_high == 67);
	cr_expect_eq(policy[2].protocol, 132);
	cr_expect_eq(policy[2].remote.length, 32);
	td_config_free(config);
	free(errors);
}

static void expect_prefix(const struct td_prefix *prefix, const char *expected)
{
	char text[TD_PREFIX_TEXT_MAX];

	cr_expect_str_eq(td_prefix_format(prefix, text), expected);
}

Test(config, reads_ipv6_tunnels)
{
	static const char text[] = BASE
	    "routes = ( { to=\"::/0\"; via=\"fe80::1\"; port=\"outside\"; },\n"
	    "{ to=\"2001:db8:9::/48\"; via=\"2001:db8::9\"; }, { to=\"2001:db8:8::/48\"; port=\"inside\"; } "
	    ");\n"
	    "tunnels = ( { name=\"b\"; local_address=\"2001:db8::1\"; remote_address=\"2001:db8:f::2\"; "
	    "local=[\"10.1.0.0/24\", \"2001:db8:1::/48\"]; remote=[\"2001:db8:2::/48\", \"10.2.0.0/24\"]; "
	    "udp_local_port=4500; udp_remote_port=61000; df=\"clear\"; dscp=46; "
	    "tfc=\"mtu\"; dummy_rate=1000; },\n"
	    "{ "
	    "name=\"r\"; local_address=\"192.0.2.1\"; remote_address=\"192.0.2.3\"; df=\"set\"; "
	    "routes=[\"10.2.0.0/24\", \"::/0\"]; },\n"
	    "{ name=\"t\"; mode=\"transport\"; local_address=\"2001:db8::1\"; "
	    "remote_address=\"2001:db8:f::3\"; },\n"
	    "{ name=\"u\"; mode=\"transport\"; local_address=\"192.0.2.1\"; remote_address=\"192.0.2.4\"; "
	    "local=[\"192.0.2.1/32\"]; remote=[\"192.0.2.4\"]; } );\n";
	char *errors;
	struct td_config *config = load(text, strlen(text), &errors);

	cr_assert_not_null(config, "%s", errors);
	const struct td_tunnel_config *tunnel = config->tunnels;
	cr_expect(tunnel[0].local_count == 2 && tunnel[0].remote_count == 2);
	cr_expect(tunnel[0].udp_local_port == 4500 && tunnel[0].udp_remote_port == 61000);
	cr_expect(tunnel[0].df == TD_DF_CLEAR && tunnel[0].dscp == 46);
	cr_expect(tunnel[0].tfc == TD_CONFIG_TFC_MTU && tunnel[0].dummy_rate == 1000);
	cr_expect(tunnel[1].tfc == 0 && tunnel[1].dummy_rate == 0);
	cr_expect(tunnel[1].df == TD_DF_SET && tunnel[1].local_count + tunnel[1].remote_count == 0);
	cr_assert_eq(tunnel[1].route_count, 2);
	expect_prefix(&tunnel[1].routes[0], "10.2.0.0/24");
	expect_prefix(&tunnel[1].routes[1], "::/0");
	cr_assert(
	    tunnel[2].mode == TD_SA_TRANSPORT && tunnel[2].local_count == 1 && tunnel[2].remote_count == 1);
	expect_prefix(&tunnel[2].local[0], "2001:db8::1/128");
	expect_prefix(&tunnel[2].remote[0], "2001:db8:f::3/128");
	cr_expect(tunnel[3].local_count == 1 && tunnel[3].remote_count == 1);
	td_config_free(config);
	free(errors);
}

Test(config, reads_ranges)
{
	static const char text[] = TUNNEL
	    "policies = ( { action=\"bypass\"; local=\"10.1.0.5-10.1.0.9\"; remote=\"10.2.0.0/24\"; },\n"
	    "{ action=\"bypass\"; remote=\"2001:db8::5-2001:db8::1:0\"; },\n"
	    "{ action=\"bypass\"; local=\"10.1.0.5-10.1.0.5\"; } );";
	char *errors, last[TD_IP_TEXT_MAX];
	struct td_config *config = load(text, strlen(text), &errors);

	cr_assert_not_null(config, "%s", errors);
	const struct td_policy_config *policy = config->policies;
	expect_prefix(&policy[0].local, "10.1.0.5/32");
	cr_expect_str_eq(td_ip_format(&policy[0].local_high, last), "10.1.0.9");
	expect_prefix(&policy[0].remote, "10.2.0.0/24");
	cr_expect_eq(policy[0].remote_high.family, 0);
	cr_expect(policy[1].local.ip.family == 0 && policy[1].local_high.family == 0);
	expect_prefix(&policy[1].remote, "2001:db8::5/128");
	cr_expect_str_eq(td_ip_format(&policy[1].remote_high, last), "2001:db8::1:0");
	cr_expect(td_ip_equal(&policy[2].local.ip, &policy[2].local_high));
	td_config_free(config);
	free(errors);
}

Test(config, reads_icmp_types)
{
	static const struct {
		const char *type;
		unsigned low, high;
	} types[] = {
	    {"\"any\"", 0, 0xffff},
	    {"8", 0x800, 0x8ff},
	    {"0", 0, 0xff},
	    {"\"255\"", 0xff00, 0xffff},
	    {"\"3/4\"", 0x304, 0x304},
	    {"\"0/0\"", 0, 0},
	    {"\"133-137\"", 0x8500, 0x89ff},
	};

	for (size_t i = 0; i < COUNT(types); i++) {
		char text[1024], *errors;

		snprintf(text, sizeof(text),
		    TUNNEL "policies = ( { action=\"bypass\"; protocol=\"%s\"; icmp_type=%s; } );",
		    i % 2 ? "icmpv6" : "ipv6-icmp", types[i].type);
		struct td_config *config = load(text, strlen(text), &errors);
		cr_assert_not_null(config, "%s", errors);
		const struct td_policy_config *policy = config->policies;
		cr_expect_eq(policy->protocol, 58);
		cr_expect(policy->local_port_low == types[i].low && policy->local_port_high == types[i].high,
		    "%s", types[i].type);
		cr_expect(
		    policy->remote_port_low == types[i].low && policy->remote_port_high == types[i].high,
		    "%s", types[i].type);
		td_config_free(config);
		free(errors);
	}
}

Test(config, says_why_a_file_cannot_be_read)
{
	char path[128], expected[256];
	char *errors;

	snprintf(path, sizeof(path), "%s/none.conf", directory);
	cr_expect_null(load_path(path, &errors));
	snprintf(expected, sizeof(expected), "%s:1: cannot read the file: No such file or directory\n", path);
	cr_expect_str_eq(errors, expected);
	free(errors);
	cr_expect_null(load_path(directory, &errors));
	snprintf(expected, sizeof(expected), "%s:1: cannot read the file: Is a directory\n", directory);
	cr_expect_str_eq(errors, expected);
	free(errors);
}

Test(config, names_the_included_file)
{
	static const char main_text[] = BASE "@include \"part.conf\"\n";
	static const char good[] = "log: { level = \"debug\"; };\n", bad[] = "log: {\nlevel = 5; };\n";
	static const char broken[] = "log: {\nlevel = };\n";
	char *errors;

	write_file("part.conf", good, strlen(good));
	struct td_config *config = load(main_text, strlen(main_text), &errors);
	cr_assert_not_null(config, "%s", errors);
	cr_expect_eq(config->log_level, TD_LOG_DEBUG);
	td_config_free(config);
	free(errors);

	write_file("part.conf", bad, strlen(bad));
	cr_expect_null(load(main_text, strlen(main_text), &errors));
	cr_expect(strstr(errors, "part.conf:2: log: level is 5;"), "%s", errors);
	free(errors);

	write_file("part.conf", broken, strlen(broken));
	cr_expect_null(load(main_text, strlen(main_text), &errors));
	cr_expect(strstr(errors, "part.conf:2: syntax error"), "%s", errors);
	free(errors);
}

// libconfig ends the process when a read fails; this file opens, and then nothing can be read.
Test(config, survives_files_that_end_in_an_error)
{
	static const char bad[] = "/proc/self/mem", main_text[] = BASE "@include \"part.conf\"\n";
	char path[128], *errors;

	cr_expect_null(load_path(bad, &errors));
	cr_expect_str_eq(errors, "/proc/self/mem:1: cannot read the file: Input/output error\n");
	free(errors);
	snprintf(path, sizeof(path), "%s/part.conf", directory);
	cr_assert_eq(symlink(bad, path), 0);
	cr_expect_null(load(main_text, strlen(main_text), &errors));
	cr_expect(strstr(errors, "part.conf:1: cannot read the file: Input/output error"), "%s", errors);
	free(errors);
}

// libconfig ends the process when it is made to read a directory.
Test(config, survives_includes_that_cannot_be_read)
{
	static const char *const texts[] = {BASE "@include \"sub\"\n", BASE "@include \"none.conf\"\n",
	    BASE "@include \"t.conf\"\n@include \"t.conf\"\n"};
	char path[128];

	snprintf(path, sizeof(path), "%s/sub", directory);
	cr_assert_eq(mkdir(path, 0700), 0);
	for (size_t i = 0; i < COUNT(texts); i++) {
		char *errors;

		cr_expect_null(load(texts[i], strlen(texts[i]), &errors));
		cr_expect_eq(count_lines(errors), 1, "%s", errors);
		cr_expect(strstr(errors, "t.conf:4: "), "%s", errors);
		free(errors);
	}
}

// Keys and certificates are not shipped: each of a text's is made a file of the test that nobody else may
// read. To be freed.
static char *with_files(const char *text)
{
	static const char place[] = "/etc/tandem/";
	char path[128], *changed;
	size_t length;
	FILE *stream = open_memstream(&changed, &length);

	write_file("key", "x", 1);
	snprintf(path, sizeof(path), "%s/key", directory);
	cr_assert_eq(chmod(path, 0600), 0);
	while (*text) {
		const char *found = strstr(text, place);
		size_t before = found ? (size_t)(found - text) : strlen(text);

		fprintf(stream, "%.*s%s", (int)before, text, found ? path : "");
		text += before;
		if (found)
			text += strcspn(text, "\"\n) ");
	}
	fclose(stream);
	return changed;
}

Test(config, accepts_what_we_ship)
{
	static const char *const files[] = {TD_SOURCE_DIR "/conf/tandem.conf",
	    TD_SOURCE_DIR "/conf/examples/ipv6-transport.conf",
	    TD_SOURCE_DIR "/conf/examples/site-to-site.conf",
	    TD_SOURCE_DIR "/conf/examples/site-to-site-certificates.conf",
	    TD_SOURCE_DIR "/conf/examples/site-to-site-psk.conf",
	    TD_SOURCE_DIR "/conf/examples/one-round-trip.conf",
	    TD_SOURCE_DIR "/conf/examples/lab-af_packet.conf"};

	for (size_t i = 0; i < COUNT(files); i++) {
		size_t length;
		char *errors, *shipped = read_whole(files[i], &length), *text = with_files(shipped);
		struct td_config *config = load(text, strlen(text), &errors);

		cr_expect_not_null(config, "%s: %s", files[i], errors);
		td_config_free(config);
		free(errors);
		free(text);
		free(shipped);
	}
}

static bool shows_key(const config_t *file, const struct td_config_section *section, const char *key)
{
	config_setting_t *setting = config_lookup(file, section->name);

	if (!setting)
		return false;
	if (!section->element)
		return config_setting_get_member(setting, key);
	for (int i = 0; i < config_setting_length(setting); i++)
		if (config_setting_get_member(config_setting_get_elem(setting, (unsigned)i), key))
			return true;
	return false;
}

Test(config, documents_every_key)
{
	config_t file;
	char *help;
	size_t size;
	FILE *stream = open_memstream(&help, &size);

	td_config_describe(stream);
	fclose(stream);
	config_init(&file);
	cr_assert(config_read_file(&file, TD_SOURCE_DIR "/conf/tandem.conf"));
	for (unsigned s = 0; s < td_config_section_count; s++) {
		const struct td_config_section *section = &td_config_sections[s];

		for (unsigned k = 0; k < section->key_count; k++) {
			const struct td_config_key *key = &section->keys[k];
			char line[64];

			cr_expect(shows_key(&file, section, key->name), "tandem.conf lacks %s.%s",
			    section->name, key->name);
			snprintf(line, sizeof(line), "\n    %s\n", key->name);
			cr_expect(strstr(help, line), "--help-config lacks %s.%s", section->name, key->name);
		}
	}
	config_destroy(&file);
	free(help);
}

Test(config, has_a_sound_schema)
{
	for (unsigned s = 0; s < td_config_section_count; s++) {
		for (unsigned k = 0; k < td_config_sections[s].key_count; k++) {
			const struct td_config_key *key = &td_config_sections[s].keys[k];
			void *base = calloc(1, sizeof(struct td_config));

			cr_expect_eq(td_config_value_default(key, base), 0, "%s", key->name);
			cr_expect(key->help && *key->help, "%s", key->name);
			cr_expect_eq(!key->default_text && !key->default_meaning,
			    !!(key->flags & TD_CONFIG_REQUIRED), "%s: required, or a default", key->name);
			cr_expect_eq(
			    td_config_type_is_list(key->type), key->count_offset != 0, "%s", key->name);
			free(base);
		}
	}
}

// Wherever an editor or a full disk cuts the file, there is a message or a valid configuration.
Test(config, survives_every_truncation)
{
	size_t length;
	char *text = read_whole(TD_SOURCE_DIR "/conf/tandem.conf", &length);

	cr_assert_gt(length, 1000);
	for (size_t i = 0; i <= length; i++) {
		char *errors;

		td_config_free(load(text, i, &errors));
		free(errors);
	}
	free(text);
}

// The same for a byte that is wrong: each position gets one of the characters that mean something.
Test(config, survives_a_wrong_byte)
{
	static const char bytes[] = "{}()[]\"=:;,\\@#/-0x \n\xff";
	size_t length;
	char *text = read_whole(TD_SOURCE_DIR "/conf/examples/lab-af_packet.conf", &length);

	for (size_t i = 0; i < 3 * length; i++) {
		char *errors;
		char saved = text[i % length];

		text[i % length] = bytes[i * 7 % (sizeof(bytes) - 1)];
		td_config_free(load(text, length, &errors));
		free(errors);
		text[i % length] = saved;
	}
	free(text);
}

// 20,000 tunnels: duplicate names and unknown tunnels are found without comparing all with all.
Test(config, takes_many_tunnels, .timeout = 60)
{
	char *text, *errors;
	size_t size;
	FILE *stream = open_memstream(&text, &size);

	fputs(BASE "tunnels = (", stream);
	for (unsigned i = 0; i < 20000; i++)
		fprintf(stream,
		    "%s{ name=\"t%u\"; local_address=\"192.0.2.1\"; remote_address=\"198.51.100.1\"; }",
		    i ? "," : "", i);
	fputs(");\npolicies = (", stream);
	for (unsigned i = 0; i < 20000; i++)
		fprintf(stream, "%s{ action=\"protect\"; tunnel=\"t%u\"; }", i ? "," : "", i);
	fputs(");\n", stream);
	fclose(stream);
	struct td_config *config = load(text, size, &errors);
	cr_assert_not_null(config, "%s", errors);
	cr_expect_eq(config->tunnel_count, 20000);
	td_config_free(config);
	free(errors);
	free(text);
}

// As many tunnel routes as the data plane takes, and one too many.
Test(config, limits_tunnel_routes, .timeout = 60)
{
	for (unsigned extra = 0; extra < 2; extra++) {
		char *text, *errors;
		size_t size;
		FILE *stream = open_memstream(&text, &size);

		fputs(BASE "tunnels = (", stream);
		for (unsigned i = 0; i < TD_TUNNEL_ROUTES_MAX + extra; i++) {
			if (i % TD_CONFIG_SELECTORS_MAX == 0)
				fprintf(stream,
				    "%s{ name=\"t%u\"; local_address=\"192.0.2.1\"; "
				    "remote_address=\"198.51.100.1\"; routes=(",
				    i ? " ) }," : "", i);
			fprintf(stream, "%s\"10.%u.%u.%u\"", i % TD_CONFIG_SELECTORS_MAX ? "," : "", i >> 16,
			    i >> 8 & 255, i & 255);
		}
		fputs(" ) } );\n", stream);
		fclose(stream);
		struct td_config *config = load(text, size, &errors);
		cr_expect_eq(!config, extra, "%s", errors);
		if (extra)
			expect_line("routes", errors, "4: tunnels: has 131073 IPv4 routes in all tunnels");
		td_config_free(config);
		free(errors);
		free(text);
	}
}
