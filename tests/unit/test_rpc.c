// SPDX-License-Identifier: BSD-3-Clause
// The control socket as a client sees it: the loop runs in a thread of its own, the test talks to it.
#include "control/rpc/internal.h"
#include "control/rpc/rpc.h"
#include "tests/unit/fake_dp.h"
#include "tests/unit/fake_negotiate.h"
#include "tests/unit/fake_reload.h"

#include <criterion/criterion.h>
#include <errno.h>
#include <jansson.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/time.h>
#include <sys/un.h>
#include <unistd.h>

#define KEY "000102030405060708090a0b0c0d0e0f10111213"

static struct td_tunnel_config tunnels[2];
static struct td_policy_config policies[1];
static struct td_config config;
static struct td_rpc_context context;
static struct td_rpc *rpc;
static struct td_error error;
static char directory[] = "/tmp/test_rpc.XXXXXX";
static pthread_t thread;
static atomic_bool stopping;
static atomic_uint unknown_spis; // events to raise
static atomic_uint lost_events; // to report
static atomic_uint negotiate_events; // to raise twice

static bool tick(void *unused)
{
	struct td_event event = {.kind = TD_EVENT_UNKNOWN_SPI, .spi = 0x4711};

	(void)unused;
	td_ip_parse("192.0.2.1", &event.source);
	td_ip_parse("192.0.2.2", &event.destination);
	while (unknown_spis > 0) {
		td_sad_event(context.sad, &event);
		unknown_spis--;
	}
	if (lost_events > 0)
		td_rpc_events_lost(rpc, atomic_exchange(&lost_events, 0));
	if (atomic_exchange(&negotiate_events, 0) > 0) {
		td_rpc_negotiate_event(rpc,
		    &(struct td_negotiate_event){
		        .kind = "child_active", .tunnel = "t1", .spi_in = 0x1001, .spi_out = 0xfffffffe});
		td_rpc_negotiate_event(
		    rpc, &(struct td_negotiate_event){.kind = "ike_failed", .reason = "no answer"});
	}
	fake_reload_tick();
	if (stopping)
		td_loop_stop(context.loop);
	return false;
}

static void *run(void *loop)
{
	td_loop_run(loop);
	return NULL;
}

static void start(void)
{
	fake_dp_reset();
	for (unsigned i = 0; i < 2; i++) {
		snprintf(tunnels[i].name, sizeof(tunnels[i].name), "t%u", i);
		tunnels[i].replay_window = 1024;
		tunnels[i].drain_ms = 5000;
		tunnels[i].local_count = tunnels[i].remote_count = 1;
		td_ip_parse("192.0.2.1", &tunnels[i].local_address);
		td_ip_parse("192.0.2.2", &tunnels[i].remote_address);
		td_prefix_parse("10.0.0.0/24", &tunnels[i].local[0]);
		td_prefix_parse("10.1.0.0/24", &tunnels[i].remote[0]);
	}
	policies[0] = (struct td_policy_config){.action = TD_POLICY_BYPASS, .direction = TD_POLICY_OUT};
	config.tunnels = tunnels;
	config.tunnel_count = 2;
	config.policies = policies;
	config.policy_count = 1;
	cr_assert_not_null(mkdtemp(directory));
	snprintf(config.socket_path, sizeof(config.socket_path), "%s/made/sock", directory);
	context.config = &config;
	context.loop = td_loop_create();
	rpc = td_rpc_create(&context, &error);
	cr_assert_not_null(rpc, "%s", error.reason);
	context.sad = td_sad_create(context.loop, &config, td_rpc_event, rpc, &error);
	context.policies = td_policies_create(context.loop, &config, context.sad, &error);
	cr_assert_not_null(context.policies, "%s", error.reason);
	td_loop_tick_set(context.loop, 1000000, tick, NULL);
	cr_assert_eq(pthread_create(&thread, NULL, run, context.loop), 0);
}

static void stop(void)
{
	stopping = true;
	pthread_join(thread, NULL);
	td_policies_destroy(context.policies);
	td_sad_destroy(context.sad);
	td_rpc_destroy(rpc);
	td_loop_destroy(context.loop);
	cr_expect_eq(access(config.socket_path, F_OK), -1, "the socket file is gone");
	char made[128];
	snprintf(made, sizeof(made), "%s/made", directory);
	rmdir(made);
	rmdir(directory);
	cr_expect_eq(fake_dp.in_live + fake_dp.out_live + fake_dp.tunnels + fake_dp.hits_live, 0);
}

static int dial(void)
{
	struct sockaddr_un address = {.sun_family = AF_UNIX};
	struct timeval patience = {.tv_sec = 10};
	int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);

	snprintf(address.sun_path, sizeof(address.sun_path), "%s", config.socket_path);
	setsockopt(fd, SOL_SOCKET, SO_RCVTIMEO, &patience, sizeof(patience));
	cr_assert_eq(connect(fd, (struct sockaddr *)&address, sizeof(address)), 0, "%s", strerror(errno));
	return fd;
}

static void put(int fd, const char *text, size_t length)
{
	while (length > 0) {
		ssize_t sent = send(fd, text, length, MSG_NOSIGNAL);

		if (sent <= 0)
			return;
		text += sent;
		length -= (size_t)sent;
	}
}

static void say(int fd, const char *text)
{
	put(fd, text, strlen(text));
	put(fd, "\n", 1);
}

// The next line as JSON, or NULL when the connection ended.
static json_t *hear(int fd)
{
	static char line[1 << 22];
	size_t length = 0;

	while (length < sizeof(line) && recv(fd, line + length, 1, 0) == 1)
		if (line[length++] == '\n')
			return json_loadb(line, length, 0, NULL);
	return NULL;
}

static json_t *ask(int fd, const char *request)
{
	say(fd, request);
	json_t *answer = hear(fd);
	cr_assert_not_null(answer, "no answer to %s", request);
	return answer;
}

static json_int_t error_code(const json_t *answer)
{
	return json_integer_value(json_object_get(json_object_get(answer, "error"), "code"));
}

static const char *error_text(const json_t *answer, const char *field)
{
	json_t *data = json_object_get(json_object_get(answer, "error"), "data");
	const char *text = json_string_value(json_object_get(data, field));

	return text ? text : "";
}

#define CALL(method, params) "{\"jsonrpc\":\"2.0\",\"id\":1,\"method\":\"" method "\",\"params\":" params "}"
#define SA(more) "{\"direction\":\"in\",\"tunnel\":\"t0\",\"suite\":\"aes128gcm16\"" more "}"

Test(rpc, errors, .init = start, .fini = stop)
{
	static const struct {
		const char *request;
		int code;
		const char *field;
	} rows[] = {
	    {"{", -32700, ""},
	    {"[]", -32600, ""},
	    {"[[[[[", -32700, ""},
	    {"7", -32600, ""},
	    {"\"\xff\xfe\"", -32700, ""},
	    {"{\"jsonrpc\":\"2.0\",\"id\":1,\"id\":2,\"method\":\"version\"}", -32700, ""},
	    {"{\"jsonrpc\":\"1.0\",\"id\":1,\"method\":\"version\"}", -32600, ""},
	    {"{\"jsonrpc\":\"2.0\",\"id\":[],\"method\":\"version\"}", -32600, ""},
	    {"{\"jsonrpc\":\"2.0\",\"id\":1,\"method\":\"version\",\"parms\":{}}", -32600, ""},
	    {CALL("no.such", "{}"), -32601, ""},
	    {CALL(KEY, "{}"), -32601, ""},
	    {CALL("version", "{\"" KEY "\":1}"), -32602, ""},
	    {CALL("sa.list", "{\"tunnel\":\"" KEY "\"}"), 1, "tunnel"},
	    {CALL("sa.add", SA(",\"key\":7,\"" KEY "\":\"\",\"spi\":4096")), -32602, "key"},
	    {CALL("version", "[]"), -32602, ""},
	    {CALL("version", "{\"a\":1}"), -32602, "a"},
	    {CALL("sa.list", "{\"tunnel\":7}"), -32602, "tunnel"},
	    {CALL("sa.list", "{\"tunnel\":\"t9\"}"), 1, "tunnel"},
	    {CALL("sa.add", SA(",\"key\":\"" KEY "\"")), -32602, "spi"},
	    {CALL("sa.add", SA(",\"key\":\"" KEY "\",\"spi\":255")), -32602, "spi"},
	    {CALL("sa.add", SA(",\"key\":\"" KEY "\",\"spi\":4294967296")), -32602, "spi"},
	    {CALL("sa.add", SA(",\"key\":\"" KEY "\",\"spi\":1e3")), -32602, "spi"},
	    {CALL("sa.add", SA(",\"key\":\"" KEY "00\",\"spi\":4096")), -32602, "key"},
	    {CALL("sa.add", SA(",\"key\":\"zz\",\"spi\":4096")), -32602, "key"},
	    {CALL("sa.add", SA(",\"key\":\"" KEY "\",\"spi\":4096,\"worker\":2")), -32602, "worker"},
	    {CALL("sa.add", SA(",\"key\":\"" KEY "\",\"spi\":4096,\"esn\":1")), -32602, "esn"},
	    {CALL("sa.add", SA(",\"key\":\"" KEY "\",\"spi\":4096,\"activate\":true")), -32602, "activate"},
	    {CALL("sa.add", SA(",\"key\":\"" KEY "\",\"spi\":4096,\"replay_window\":9000")), -32602,
	        "replay_window"},
	    {CALL("sa.spi", "{\"worker\":2}"), -32602, "worker"},
	    {CALL("sa.spi", "{\"tunnel\":\"t9\"}"), 1, "tunnel"},
	    {CALL("sa.add", "{\"sas\":{}}"), -32602, "sas"},
	    {CALL("sa.add", "{\"sas\":[7]}"), -32602, ""},
	    {CALL("sa.switch", "{\"spi\":4096}"), -32602, "tunnel"},
	    {CALL("sa.switch", "{\"spi\":4096,\"tunnel\":\"t0\"}"), 1, "spi"},
	    {CALL("sa.delete", "{\"spi\":4096}"), -32602, "direction"},
	    {CALL("sa.delete", "{\"spi\":4096,\"direction\":\"up\"}"), -32602, "direction"},
	};
	int fd = dial();

	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
		json_t *answer = ask(fd, rows[i].request);
		char *text = json_dumps(answer, 0);

		cr_expect_eq(error_code(answer), rows[i].code, "%s -> %s", rows[i].request, text);
		cr_expect_str_eq(
		    error_text(answer, "field"), rows[i].field, "%s -> %s", rows[i].request, text);
		cr_expect_null(strstr(text, "0001020304"), "the key is not repeated: %s", text);
		free(text);
		json_decref(answer);
	}
	cr_expect_eq(fake_dp.in_live, 0);
	close(fd);
}

Test(rpc, lists, .init = start, .fini = stop)
{
	static const struct {
		const char *request, *list;
		size_t items;
	} rows[] = {
	    {CALL("sa.list", "{}"), "sas", 2},
	    {CALL("sa.list", "{\"tunnel\":\"t1\"}"), "sas", 0},
	    {CALL("tunnel.list", "{}"), "tunnels", 2},
	    {CALL("policy.list", "{}"), "policies", 4},
	    {CALL("worker.list", "{}"), "workers", 2},
	    {CALL("port.list", "{}"), "ports", 1},
	    {CALL("drop.list", "{}"), "drops", 1},
	    {CALL("drop.list", "{\"all\":true}"), "drops", 2},
	    {CALL("suite.list", "{}"), "suites", 3},
	};
	int fd = dial();
	json_t *answer = ask(fd,
	    CALL("sa.add", "{\"sas\":[" SA(
	                       ",\"key\":\"" KEY
	                       "\",\"spi\":4096") ",{\"direction\":\"out\",\"tunnel\":\"t0\","
	                                          "\"suite\":\"aes128gcm16\",\"key\":"
	                                          "\"ff0102030405060708090a0b0c0d0e0f10111213\",\"spi\":4096,"
	                                          "\"activate\":true}]}"));

	cr_assert_eq(error_code(answer), 0, "%s", error_text(answer, "reason"));
	json_decref(answer);
	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
		answer = ask(fd, rows[i].request);
		json_t *list = json_object_get(json_object_get(answer, "result"), rows[i].list);

		cr_expect(json_is_array(list), "%s", rows[i].request);
		cr_expect_eq(json_array_size(list), rows[i].items, "%s", rows[i].request);
		json_decref(answer);
	}
	answer = ask(fd, CALL("sa.delete", "{\"sas\":[{\"spi\":4096,\"direction\":\"in\"},"
	                                   "{\"spi\":4096,\"direction\":\"out\",\"tunnel\":\"t0\"}]}"));
	cr_expect_eq(error_code(answer), 3);
	json_t *data = json_object_get(json_object_get(answer, "error"), "data");
	cr_expect_eq(json_integer_value(json_object_get(data, "index")), 1);
	json_decref(answer);
	cr_expect_eq(fake_dp.in_live, 1, "nothing half done");
	answer = ask(
	    fd, CALL("sa.delete", "{\"spi\":4096,\"direction\":\"out\",\"tunnel\":\"t0\",\"force\":true}"));
	cr_expect_eq(error_code(answer), 0);
	json_decref(answer);
	close(fd);
}

#define POLICY(more) "{\"action\":\"bypass\"" more "}"

Test(rpc, policies_are_refused_by_field, .init = start, .fini = stop)
{
	static const struct {
		const char *request;
		int code, index; // index -1: none
		const char *field, *reason;
	} rows[] = {
	    {CALL("policy.add", "{}"), -32602, -1, "action", "is missing"},
	    {CALL("policy.add", "{\"action\":\"drop\"}"), -32602, -1, "action", "is \"drop\"; allowed is"},
	    {CALL("policy.add", "{\"action\":true}"), -32602, -1, "action", "is a boolean, must be"},
	    {CALL("policy.add", POLICY(",\"colour\":1")), -32602, -1, "colour", "is not known here"},
	    {CALL("policy.add", POLICY(",\"local\":\"" KEY "\"")), -32602, -1, "local", "is nothing that"},
	    {CALL("policy.add", POLICY(",\"" KEY "\":1")), -32602, -1, "", "has a member that is no name"},
	    {CALL("policy.add", POLICY(",\"local\":\"10.0.0.1/8\"")), -32602, -1, "local", "host bits"},
	    {CALL("policy.add", POLICY(",\"local\":\"10.0.0.0/8\",\"remote\":\"2001:db8::/32\"")), -32602, -1,
	        "", "mixes IPv4 and IPv6"},
	    {CALL("policy.add", POLICY(",\"local_port\":5")), -32602, -1, "local_port",
	        "allowed is a port with"},
	    {CALL("policy.add", POLICY(",\"protocol\":256")), -32602, -1, "protocol", "is 256"},
	    {CALL("policy.add", POLICY(",\"tunnel\":\"t0\"")), -32602, -1, "tunnel", "is given with action"},
	    {CALL("policy.add", "{\"action\":\"protect\"}"), -32602, -1, "", "protect has no tunnel"},
	    {CALL("policy.add", "{\"action\":\"protect\",\"tunnel\":\"t9\"}"), -32602, -1, "tunnel",
	        "is \"t9\", which is no tunnel's name"},
	    {CALL("policy.add", POLICY(",\"before\":77")), 1, -1, "before", "77 is no policy's"},
	    {CALL("policy.add", POLICY(",\"before\":0")), -32602, -1, "before", "must be 1 to"},
	    {CALL("policy.remove", "{\"id\":77}"), 1, -1, "id", "77 is no policy's"},
	    {CALL("policy.remove", "{}"), -32602, -1, "id", "is missing"},
	    {CALL("policy.set", "{}"), -32602, -1, "policies", "is missing"},
	    {CALL("policy.set", "{\"policies\":[7]}"), -32602, 0, "", "must be an object"},
	    {CALL("policy.set", "{\"policies\":[" POLICY("") "," POLICY(",\"local\":\"x\"") "]}"), -32602, 1,
	        "local", "is \"x\"; allowed is"},
	    {CALL("policy.set", "{\"policies\":[" POLICY("") "," POLICY("") "," POLICY(",\"id\":1") "]}"),
	        -32602, 2, "id", "is not known here"},
	};
	int fd = dial();

	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
		json_t *answer = ask(fd, rows[i].request);
		json_t *data = json_object_get(json_object_get(answer, "error"), "data");
		const json_t *index = json_object_get(data, "index");
		char *text = json_dumps(answer, 0);

		cr_expect_eq(error_code(answer), rows[i].code, "%s -> %s", rows[i].request, text);
		cr_expect_str_eq(
		    error_text(answer, "field"), rows[i].field, "%s -> %s", rows[i].request, text);
		cr_expect_not_null(
		    strstr(error_text(answer, "reason"), rows[i].reason), "%s -> %s", rows[i].request, text);
		cr_expect_eq(
		    index ? json_integer_value(index) : -1, rows[i].index, "%s -> %s", rows[i].request, text);
		cr_expect_null(strstr(text, "0001020304"), "the key is not repeated: %s", text);
		free(text);
		json_decref(answer);
	}
	cr_expect_eq(fake_dp.policies_set, 1, "nothing was published but the first list");
	cr_expect_eq(fake_dp.hits_live, 3);
	close(fd);
}

Test(rpc, a_change_that_the_end_overtakes_is_not_now, .init = start)
{
	int changing = dial(), other = dial();

	fake_dp.policy_ms = 300;
	say(changing, CALL("policy.add", POLICY("")));
	json_decref(ask(other, CALL("version", "{}"))); // so the change was heard, too
	stop();
	json_t *answer = hear(changing);
	cr_expect_eq(error_code(answer), 3);
	json_decref(answer);
	close(changing);
	close(other);
}

// The first so many ids of policy.list, as text.
static const char *policy_ids(int fd)
{
	static char text[128];
	json_t *answer = ask(fd, CALL("policy.list", "{}")), *row;
	size_t index, used = 0;

	text[0] = '\0';
	json_array_foreach (json_object_get(json_object_get(answer, "result"), "policies"), index, row)
		used += (size_t)snprintf(text + used, sizeof(text) - used, "%d:%d ",
		    (int)json_integer_value(json_object_get(row, "id")),
		    (int)json_integer_value(json_object_get(row, "packets")));
	json_decref(answer);
	return text;
}

static json_int_t result_of(int fd, const char *request, const char *member)
{
	json_t *answer = ask(fd, request);
	json_int_t value = json_integer_value(json_object_get(json_object_get(answer, "result"), member));

	cr_expect_eq(error_code(answer), 0, "%s: %s", request, error_text(answer, "reason"));
	json_decref(answer);
	return value;
}

// Counters of the fake begin at 100 and so on, plus the worker's number; the default row's is 5 for each
// worker.
Test(rpc, suites_say_whether_this_cpu_runs_them, .init = start, .fini = stop)
{
	int fd = dial();
	json_t *answer = ask(fd, CALL("suite.list", "{}"));
	json_t *suites = json_object_get(json_object_get(answer, "result"), "suites");

	cr_expect(json_is_true(json_object_get(json_array_get(suites, 0), "available")));
	cr_expect(json_is_false(json_object_get(json_array_get(suites, 1), "available")));
	json_decref(answer);
	close(fd);
}

Test(rpc, policies_change_in_their_order, .init = start, .fini = stop)
{
	int fd = dial();

	cr_expect_str_eq(policy_ids(fd), "1:205 0:201 0:203 0:10 ");
	cr_expect_eq(
	    result_of(fd, CALL("policy.add", POLICY(",\"protocol\":\"tcp\",\"local_port\":22")), "id"), 2);
	cr_expect_eq(fake_dp.policies[1].protocol, 6);
	cr_expect_eq(fake_dp.policies[1].local_port_high, 22);
	cr_expect_eq(fake_dp.policies[1].remote_port_high, 65535);
	cr_expect_eq(
	    result_of(fd, CALL("policy.add", POLICY(",\"before\":1,\"remote\":\"10.9.0.0/16\"")), "id"), 3);
	cr_expect_str_eq(
	    policy_ids(fd), "3:209 1:205 2:207 0:201 0:203 0:10 ", "counters stay with policies");
	cr_expect_eq(fake_dp.policy_count, 5);
	cr_expect_eq(result_of(fd, CALL("policy.remove", "{\"id\":1}"), "removed"), 1);
	cr_expect_str_eq(policy_ids(fd), "3:209 2:207 0:201 0:203 0:10 ");
	json_t *contradiction =
	    ask(fd, CALL("policy.add", "{\"action\":\"discard\",\"protocol\":6,\"local_port\":22}"));
	cr_expect_not_null(
	    strstr(error_text(contradiction, "reason"), "policy 2 has another action for the same"));
	json_decref(contradiction);
	fake_dp.policy_fails = 1;
	const char *const refused[] = {CALL("policy.add", POLICY("")), CALL("policy.remove", "{\"id\":2}"),
	    CALL("policy.set", "{\"policies\":[" POLICY("") "]}")};
	for (size_t i = 0; i < 3; i++) {
		json_t *answer = ask(fd, refused[i]);

		cr_expect_eq(error_code(answer), 4, "%s", refused[i]);
		json_decref(answer);
	}
	fake_dp.policy_fails = 0;
	cr_expect_str_eq(policy_ids(fd), "3:209 2:207 0:201 0:203 0:10 ", "nothing half done");
	cr_expect_eq(result_of(fd,
	                 CALL("policy.set", "{\"policies\":[{\"action\":\"protect\",\"tunnel\":\"t1\","
	                                    "\"direction\":\"out\"}," POLICY(",\"protocol\":17") "]}"),
	                 "policies"),
	    2);
	cr_expect_eq(fake_dp.policies[0].action, TD_POLICY_PROTECT);
	cr_expect_eq(fake_dp.policies[0].directions, TD_POLICY_OUT);
	cr_expect_not_null(fake_dp.policies[0].tunnel);
	cr_expect_eq(fake_dp.policies[1].protocol, 17);
	cr_expect_eq(result_of(fd, CALL("policy.set", "{\"policies\":[]}"), "policies"), 0);
	cr_expect_eq(fake_dp.policy_count, 2, "the tunnels' rules stay");
	cr_expect_eq(fake_dp.hits_live, 2);
	close(fd);
}

Test(rpc, an_spi_for_a_worker, .init = start, .fini = stop)
{
	int fd = dial();
	uint32_t spis[2];

	for (unsigned i = 0; i < 2; i++) {
		json_t *answer = ask(fd, CALL("sa.spi", "{\"tunnel\":\"t0\",\"worker\":1}"));
		json_t *result = json_object_get(answer, "result");

		spis[i] = (uint32_t)json_integer_value(json_object_get(result, "spi"));
		cr_expect_eq(td_dp_spi_owner(spis[i]), 1);
		cr_expect_eq(json_integer_value(json_object_get(result, "worker")), 1);
		json_decref(answer);
	}
	cr_expect_neq(spis[0], spis[1], "equal once in 67 million runs");
	close(fd);
}

Test(rpc, pipelined_requests_and_notifications, .init = start, .fini = stop)
{
	int fd = dial();

	say(fd, "{\"jsonrpc\":\"2.0\",\"id\":1,\"method\":\"version\"}\r\n\n"
	        "{\"jsonrpc\":\"2.0\",\"method\":\"version\"}\n"
	        "{\"jsonrpc\":\"2.0\",\"id\":\"two\",\"method\":\"version\"}\n"
	        "{\"jsonrpc\":\"2.0\",\"id\":3,\"method\":");
	json_t *first = hear(fd), *second = hear(fd), *third = hear(fd);
	cr_expect_eq(json_integer_value(json_object_get(first, "id")), 1);
	cr_expect_str_eq(json_string_value(json_object_get(second, "id")), "two");
	cr_expect_eq(error_code(third), -32700, "the line ended too early");
	json_decref(first);
	json_decref(second);
	json_decref(third);
	put(fd, "{\"jsonrpc\":\"2.0\",\0}\n", 20);
	third = hear(fd);
	cr_expect_eq(error_code(third), -32700, "NUL is no JSON");
	json_decref(third);
	say(fd, "{\"jsonrpc\":\"2.0\",\"id\":4,\"method\":\"version\"}");
	shutdown(fd, SHUT_WR);
	third = hear(fd);
	cr_expect_eq(
	    json_integer_value(json_object_get(third, "id")), 4, "a client that stopped writing is answered");
	json_decref(third);
	cr_expect_null(hear(fd));
	close(fd);
}

Test(rpc, long_and_deep_lines, .init = start, .fini = stop)
{
	size_t length = 10u << 20;
	char *text = malloc(length);
	int fd = dial();

	memset(text, '[', length);
	put(fd, text, 100000);
	put(fd, "\n", 1);
	json_t *answer = hear(fd);
	cr_expect_eq(error_code(answer), -32700);
	json_decref(answer);
	put(fd, text, length);
	answer = hear(fd);
	cr_expect_eq(error_code(answer), -32600);
	json_decref(answer);
	cr_expect_null(hear(fd), "then the connection ends");
	close(fd);
	free(text);
}

Test(rpc, events, .init = start, .fini = stop)
{
	int fd = dial();

	json_decref(ask(fd, CALL("events.subscribe", "{}")));
	say(fd, CALL("sa.add", SA(",\"key\":\"" KEY "\",\"spi\":4096")));
	json_t *event = hear(fd), *answer = hear(fd);
	json_t *params = json_object_get(event, "params");
	cr_expect_str_eq(json_string_value(json_object_get(params, "event")), "sa_added");
	cr_expect_eq(json_integer_value(json_object_get(params, "spi")), 4096);
	cr_expect_not_null(json_object_get(answer, "result"));
	json_decref(event);
	json_decref(answer);
	close(fd);
}

static struct td_negotiate negotiate;

// t1 negotiates its keys.
static void start_negotiated(void)
{
	static char id[] = "gw-a.example";
	static struct td_tunnel_ike_config ike = {.start = TD_TUNNEL_TRAP, .local_id = id};

	negotiate.info = (struct td_negotiate_tunnel_info){.negotiated = true,
	    .state = "up",
	    .children = 2,
	    .rekeys = 7,
	    .failed = 1,
	    .last_error = "no answer",
	    .up_since_ns = 1};
	tunnels[1].ike = &ike;
	context.negotiate = &negotiate;
	start();
}

Test(rpc, tunnels_negotiate, .init = start_negotiated, .fini = stop)
{
	static const struct {
		const char *request;
		const unsigned *count; // that the request raises
		json_int_t code;
		const char *reason;
	} rows[] = {
	    {CALL("tunnel.up", "{\"tunnel\":\"t1\"}"), &negotiate.ups, 0, NULL},
	    {CALL("tunnel.down", "{\"tunnel\":\"t1\"}"), &negotiate.downs, 0, NULL},
	    {CALL("tunnel.rekey", "{\"tunnel\":\"t1\"}"), &negotiate.rekeys, 0, NULL},
	    {CALL("tunnel.rekey", "{\"tunnel\":\"t1\",\"ike\":true}"), &negotiate.ike_rekeys, 0, NULL},
	    {CALL("tunnel.up", "{\"tunnel\":\"t0\"}"), NULL, -32602,
	        "is not negotiated: its SAs are injected"},
	    {CALL("tunnel.rekey", "{\"tunnel\":\"t0\"}"), NULL, -32602,
	        "is not negotiated: its SAs are injected"},
	    {CALL("tunnel.down", "{\"tunnel\":\"t2\"}"), NULL, 1, "\"t2\" is not in the configuration"},
	    {CALL("tunnel.up", "{}"), NULL, -32602, "is missing"},
	    {CALL("tunnel.up", "{\"tunnel\":\"t1\",\"ike\":true}"), NULL, -32602, "is not known here"},
	    {CALL("tunnel.rekey", "{\"tunnel\":\"t1\",\"ike\":1}"), NULL, -32602, "must be true or false"},
	    {CALL("tunnel.list", "{\"tunnel\":\"t2\"}"), NULL, 1, "\"t2\" is not in the configuration"},
	};
	int fd = dial();

	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
		unsigned before = rows[i].count ? *rows[i].count : 0;
		json_t *answer = ask(fd, rows[i].request);

		cr_expect_eq(error_code(answer), rows[i].code, "%s", rows[i].request);
		if (rows[i].reason)
			cr_expect(strstr(error_text(answer, "reason"), rows[i].reason), "%s: %s",
			    rows[i].request, error_text(answer, "reason"));
		else
			cr_expect_eq(*rows[i].count, before + 1, "%s", rows[i].request);
		json_decref(answer);
	}
	cr_expect_eq(negotiate.ups + negotiate.downs + negotiate.rekeys + negotiate.ike_rekeys, 4);
	close(fd);
}

Test(rpc, tunnel_list_shows_the_negotiation, .init = start_negotiated, .fini = stop)
{
	int fd = dial();
	json_t *answer = ask(fd, CALL("tunnel.list", "{}"));
	json_t *list = json_object_get(json_object_get(answer, "result"), "tunnels");
	const json_t *injected = json_array_get(list, 0), *row = json_array_get(list, 1);

	cr_expect(json_is_false(json_object_get(injected, "negotiated")));
	cr_expect_null(json_object_get(injected, "state"));
	cr_expect(json_is_true(json_object_get(row, "negotiated")));
	cr_expect_str_eq(json_string_value(json_object_get(row, "state")), "up");
	cr_expect_str_eq(json_string_value(json_object_get(row, "start")), "trap");
	cr_expect_str_eq(json_string_value(json_object_get(row, "local_id")), "gw-a.example");
	cr_expect_str_eq(json_string_value(json_object_get(row, "remote_id")), "192.0.2.2");
	cr_expect_str_eq(json_string_value(json_object_get(row, "last_error")), "no answer");
	cr_expect_eq(json_integer_value(json_object_get(row, "children")), 2);
	cr_expect_eq(json_integer_value(json_object_get(row, "rekeys")), 7);
	cr_expect_eq(json_integer_value(json_object_get(row, "failed")), 1);
	cr_expect_gt(json_integer_value(json_object_get(row, "up_ms")), 0);
	json_decref(answer);
	answer = ask(fd, CALL("tunnel.list", "{\"tunnel\":\"t1\"}"));
	list = json_object_get(json_object_get(answer, "result"), "tunnels");
	cr_expect_eq(json_array_size(list), 1);
	cr_expect_str_eq(json_string_value(json_object_get(json_array_get(list, 0), "name")), "t1");
	json_decref(answer);
	close(fd);
}

// Only their negotiation changes SAs of tunnels that have one.
Test(rpc, negotiated_sas_are_not_for_operators, .init = start_negotiated, .fini = stop)
{
	static const char *const requests[] = {
	    CALL("sa.add", "{\"spi\":4096,\"direction\":\"in\",\"tunnel\":\"t1\",\"suite\":\"aes128gcm16\","
	                   "\"key\":\"" KEY "\"}"),
	    CALL("sa.switch", "{\"spi\":4097,\"tunnel\":\"t1\"}"),
	    CALL("sa.drain", "{\"spi\":4098}"),
	    CALL("sa.delete", "{\"spi\":4098,\"direction\":\"in\",\"force\":true}"),
	    CALL("sa.delete", "{\"spi\":4097,\"direction\":\"out\",\"tunnel\":\"t1\"}"),
	};
	struct td_secret key;
	int suite = td_dp_suite_find(TD_SA_ESP, "aes128gcm16"), fd;
	struct td_sa_request request = {.spi = 4098,
	    .tunnel = td_sad_tunnel_find(context.sad, "t1"),
	    .suite = (unsigned)suite,
	    .key = &key};
	unsigned failed;

	cr_assert_eq(td_secret_from_hex(KEY, &key), 0);
	// The first request after it makes the loop's thread see it.
	cr_assert_eq(td_sad_add(context.sad, &request, 1, &failed, &error), 0, "%s", error.reason);
	fd = dial();
	for (size_t i = 0; i < sizeof(requests) / sizeof(requests[0]); i++) {
		json_t *answer = ask(fd, requests[i]);

		cr_expect_eq(error_code(answer), 3, "%s", requests[i]);
		cr_expect(strstr(error_text(answer, "reason"), "is negotiated"), "%s", requests[i]);
		json_decref(answer);
	}
	cr_expect_eq(fake_dp.in_live, 1);
	close(fd);
}

Test(rpc, ike_sas_and_counters, .init = start_negotiated, .fini = stop)
{
	struct td_ike_sa_info *sa = &negotiate.sas[0];
	int fd = dial();
	json_t *answer = ask(fd, CALL("ike.list", "{}"));

	cr_expect_eq(json_array_size(json_object_get(json_object_get(answer, "result"), "ike_sas")), 0);
	json_decref(answer);
	*sa = (struct td_ike_sa_info){.spi_i = 0xfedcba9876543210,
	    .spi_r = 1,
	    .initiator = true,
	    .state = "established",
	    .suite = {.encr = TD_ENCR_AES_GCM_16,
	        .key_bits = 128,
	        .prf = TD_PRF_SHA2_256,
	        .dh = TD_DH_X25519},
	    .children = 3,
	    .established_ns = 1};
	td_ip_parse("192.0.2.1", &sa->path.local);
	td_ip_parse("192.0.2.2", &sa->path.remote);
	sa->path.local_port = sa->path.remote_port = 4500;
	td_ike_id_parse("CN=gw-b", &sa->remote_id);
	negotiate.sas[1] = (struct td_ike_sa_info){.state = "connecting"};
	negotiate.stats = (struct td_ike_stats){.received = 5, .collisions = 6};
	negotiate.sa_count = 2;
	answer = ask(fd, CALL("ike.list", "{}"));
	const json_t *list = json_object_get(json_object_get(answer, "result"), "ike_sas");
	const json_t *row = json_array_get(list, 0), *unknown = json_array_get(list, 1);
	cr_expect_eq(json_array_size(list), 2);
	cr_expect_str_eq(json_string_value(json_object_get(row, "spi_i")), "0xfedcba9876543210");
	cr_expect_str_eq(json_string_value(json_object_get(row, "spi_r")), "0x0000000000000001");
	cr_expect_str_eq(json_string_value(json_object_get(row, "tunnel")), "t1");
	cr_expect_str_eq(json_string_value(json_object_get(row, "role")), "initiator");
	cr_expect_str_eq(json_string_value(json_object_get(row, "suite")), "aes128gcm16-prfsha256-x25519");
	cr_expect_str_eq(json_string_value(json_object_get(row, "local_id")), "gw-a.example");
	cr_expect_str_eq(json_string_value(json_object_get(row, "remote_id")), "CN=gw-b");
	cr_expect_str_eq(json_string_value(json_object_get(row, "remote_address")), "192.0.2.2");
	cr_expect_eq(json_integer_value(json_object_get(row, "remote_port")), 4500);
	cr_expect_eq(json_integer_value(json_object_get(row, "children")), 3);
	cr_expect_str_eq(json_string_value(json_object_get(unknown, "tunnel")), "");
	cr_expect_str_eq(json_string_value(json_object_get(unknown, "role")), "responder");
	json_decref(answer);
	answer = ask(fd, CALL("ike.stats", "{}"));
	cr_expect_eq(json_integer_value(json_object_get(json_object_get(answer, "result"), "received")), 5);
	cr_expect_eq(json_integer_value(json_object_get(json_object_get(answer, "result"), "collisions")), 6);
	json_decref(answer);
	close(fd);
}

Test(rpc, turns_of_the_loop, .init = start, .fini = stop)
{
	int fd = dial();
	json_int_t first, second;

	json_t *answer = ask(fd, CALL("loop.stats", "{}"));
	first = json_integer_value(json_object_get(json_object_get(answer, "result"), "turns"));
	json_decref(answer);
	answer = ask(fd, CALL("loop.stats", "{}"));
	second = json_integer_value(json_object_get(json_object_get(answer, "result"), "turns"));
	cr_expect_gt(second, first);
	cr_expect_gt(json_integer_value(json_object_get(json_object_get(answer, "result"), "longest_us")), 0);
	cr_expect(json_is_integer(json_object_get(json_object_get(answer, "result"), "late_turns")));
	json_decref(answer);
	close(fd);
}

Test(rpc, events_of_a_negotiation, .init = start_negotiated, .fini = stop)
{
	int fd = dial();

	json_decref(ask(fd, CALL("events.subscribe", "{}")));
	negotiate_events = 1;
	json_t *child = hear(fd), *ike = hear(fd);
	const json_t *params = json_object_get(child, "params");
	cr_expect_str_eq(json_string_value(json_object_get(params, "event")), "child_active");
	cr_expect_str_eq(json_string_value(json_object_get(params, "tunnel")), "t1");
	cr_expect_eq(json_integer_value(json_object_get(params, "spi_in")), 0x1001);
	cr_expect_eq(json_integer_value(json_object_get(params, "spi_out")), 0xfffffffe);
	cr_expect_null(json_object_get(params, "reason"));
	params = json_object_get(ike, "params");
	cr_expect_str_eq(json_string_value(json_object_get(params, "event")), "ike_failed");
	cr_expect_str_eq(json_string_value(json_object_get(params, "reason")), "no answer");
	cr_expect(!json_object_get(params, "tunnel") && !json_object_get(params, "spi_in"));
	json_decref(child);
	json_decref(ike);
	close(fd);
}

Test(rpc, a_slow_subscriber_loses_events_and_is_told, .init = start, .fini = stop, .timeout = 60)
{
	int fd = dial();
	unsigned events = 0, lost = 0;

	json_decref(ask(fd, CALL("events.subscribe", "{}")));
	unknown_spis = 30000;
	while (unknown_spis > 0)
		usleep(1000);
	while (events + lost < 30000) {
		json_t *event = hear(fd);
		cr_assert_not_null(event, "%u events, %u lost", events, lost);
		json_t *count = json_object_get(json_object_get(event, "params"), "count");

		if (count)
			lost += (unsigned)json_integer_value(count);
		else
			events++;
		json_decref(event);
	}
	cr_expect_eq(events + lost, 30000, "every event is delivered or counted");
	cr_expect_gt(lost, 0);
	close(fd);
}

Test(rpc, a_client_that_never_reads_is_not_read_from, .init = start, .fini = stop, .timeout = 60)
{
	static const char request[] = CALL("suite.list", "{}") "\n";
	struct timeval patience = {.tv_usec = 500000};
	int fd = dial(), other;
	unsigned sent = 0;

	setsockopt(fd, SOL_SOCKET, SO_SNDTIMEO, &patience, sizeof(patience));
	// 200 bytes of response each.
	while (sent < 2000000 && send(fd, request, sizeof(request) - 1, MSG_NOSIGNAL) > 0)
		sent++;
	cr_expect_lt(sent, 2000000);
	cr_expect_eq(errno, EAGAIN, "it waits and is not cut off: %s", strerror(errno));
	other = dial();
	json_decref(ask(other, CALL("version", "{}")));
	close(other);
	close(fd);
}

#define PIPELINED 60000u

static void *pipeline(void *socket)
{
	char line[96];

	for (unsigned i = 0; i < PIPELINED; i++) {
		int length = snprintf(
		    line, sizeof(line), "{\"jsonrpc\":\"2.0\",\"id\":%u,\"method\":\"policy.list\"}\n", i);

		put(*(int *)socket, line, (size_t)length);
	}
	shutdown(*(int *)socket, SHUT_WR);
	return NULL;
}

// Some 40 MB of responses to a client that writes faster than it reads: all of them come, in order.
Test(rpc, a_client_that_reads_late_gets_every_answer, .init = start, .fini = stop, .timeout = 100)
{
	int fd = dial();
	FILE *in = fdopen(dup(fd), "r");
	pthread_t writer;
	char *line = NULL;
	size_t size = 0;
	unsigned got = 0, id;

	cr_assert_eq(pthread_create(&writer, NULL, pipeline, &fd), 0);
	usleep(300000);
	while (getline(&line, &size, in) > 0) {
		cr_assert_eq(sscanf(line, "{\"jsonrpc\":\"2.0\",\"id\":%u,", &id), 1, "%s", line);
		cr_assert_eq(id, got);
		cr_assert_not_null(strstr(line, "\"result\""));
		got++;
	}
	cr_expect_eq(got, PIPELINED);
	pthread_join(writer, NULL);
	free(line);
	fclose(in);
	close(fd);
}

Test(rpc, subscribers_are_told_of_events_that_workers_lost, .init = start, .fini = stop)
{
	int fd = dial();

	json_decref(ask(fd, CALL("events.subscribe", "{}")));
	lost_events = 7;
	json_t *event = hear(fd);
	json_t *params = json_object_get(event, "params");
	cr_expect_str_eq(json_string_value(json_object_get(params, "event")), "lost");
	cr_expect_eq(json_integer_value(json_object_get(params, "count")), 7);
	json_decref(event);
	close(fd);
}

Test(rpc, text_that_is_not_utf8_is_mended)
{
	static const struct {
		const char *text, *mended;
	} rows[] = {
	    {"", ""},
	    {"plain", "plain"},
	    {"\xc3\xa4 \xe2\x82\xac \xf0\x9f\x94\x91", "\xc3\xa4 \xe2\x82\xac \xf0\x9f\x94\x91"},
	    {"cut \xc3", "cut ?"},
	    {"cut \xe2\x82", "cut ??"},
	    {"cut \xf0\x9f\x94\" behind", "cut ???\" behind"},
	    {"\x80 alone", "? alone"},
	    {"overlong \xc0\xaf \xe0\x80\xaf", "overlong ?? ???"},
	    {"surrogate \xed\xa0\x80", "surrogate ???"},
	    {"too high \xf4\x90\x80\x80", "too high ????"},
	};

	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
		json_t *text = td_rpc_json_text(rows[i].text);

		cr_assert_not_null(text, "row %zu", i);
		cr_expect_str_eq(json_string_value(text), rows[i].mended, "row %zu", i);
		json_decref(text);
	}
}

Test(rpc, the_umask_does_not_close_the_directory)
{
	char made[128];
	struct stat status;

	umask(0077);
	start();
	snprintf(made, sizeof(made), "%s/made", directory);
	cr_expect_eq(stat(made, &status), 0);
	cr_expect_eq(status.st_mode & 0777, 0755);
	stop();
}

Test(rpc, many_idle_connections, .init = start, .fini = stop, .timeout = 60)
{
	static int fds[1200];
	struct rlimit limit;

	getrlimit(RLIMIT_NOFILE, &limit);
	limit.rlim_cur = limit.rlim_max;
	setrlimit(RLIMIT_NOFILE, &limit);
	if (limit.rlim_max < 3000)
		cr_skip_test("needs 3000 descriptors");
	for (unsigned i = 0; i < 1200; i++)
		fds[i] = dial();
	json_decref(ask(fds[1199], CALL("version", "{}")));
	say(fds[0], "{\"half\":");
	for (unsigned i = 0; i < 1200; i++)
		close(fds[i]);
}

Test(rpc, out_of_descriptors, .init = start, .fini = stop, .timeout = 60)
{
	struct rlimit before, few;
	int fd = dial(), probe = dup(fd);

	json_decref(ask(fd, CALL("version", "{}")));
	getrlimit(RLIMIT_NOFILE, &before);
	few = before;
	// The client's own descriptor is the last one that fits.
	few.rlim_cur = (rlim_t)probe + 3;
	close(probe);
	setrlimit(RLIMIT_NOFILE, &few);
	int waiting[3];
	unsigned dialled = 0;
	for (; dialled < 3; dialled++) {
		int next = socket(AF_UNIX, SOCK_STREAM, 0);
		if (next < 0)
			break;
		close(next);
		waiting[dialled] = dial();
	}
	usleep(50000);
	setrlimit(RLIMIT_NOFILE, &before);
	for (unsigned i = 0; i < dialled; i++) {
		json_decref(ask(waiting[i], CALL("version", "{}")));
		close(waiting[i]);
	}
	cr_expect_gt(dialled, 0);
	close(fd);
}

Test(rpc, one_daemon_per_socket, .init = start, .fini = stop)
{
	cr_expect_null(td_rpc_create(&context, &error));
	cr_expect_not_null(strstr(error.reason, "another tandemd is running on"), "%s", error.reason);
	int fd = dial();
	json_decref(ask(fd, CALL("version", "{}")));
	close(fd);
	struct stat status;
	cr_expect_eq(stat(config.socket_path, &status), 0);
	cr_expect_eq(status.st_mode & 0777, 0660);
}

Test(rpc, a_stale_socket_is_replaced)
{
	struct sockaddr_un address = {.sun_family = AF_UNIX};
	int fd = socket(AF_UNIX, SOCK_STREAM, 0);

	snprintf(address.sun_path, sizeof(address.sun_path), "/tmp/test_rpc.stale.%d", (int)getpid());
	cr_assert_eq(bind(fd, (struct sockaddr *)&address, sizeof(address)), 0);
	close(fd);
	memcpy(config.socket_path, address.sun_path, sizeof(address.sun_path));
	context.config = &config;
	context.loop = td_loop_create();
	rpc = td_rpc_create(&context, &error);
	cr_expect_not_null(rpc, "%s", error.reason);
	td_rpc_destroy(rpc);
	FILE *file = fopen(config.socket_path, "w");
	fclose(file);
	cr_expect_null(td_rpc_create(&context, &error), "a file is not removed");
	cr_expect_eq(unlink(config.socket_path), 0);
	td_loop_destroy(context.loop);
}

Test(rpc, a_bad_file_is_told_line_by_line, .init = start, .fini = stop)
{
	int fd = dial();
	json_t *answer = ask(fd, CALL("config.reload", "{}"));
	json_t *object = json_object_get(answer, "error");
	json_t *errors = json_object_get(json_object_get(object, "data"), "errors");

	cr_expect_eq(json_integer_value(json_object_get(object, "code")), 5);
	cr_expect_str_eq(
	    json_string_value(json_object_get(object, "message")), "configuration t.conf:1: first");
	cr_expect_eq(json_array_size(errors), 2);
	cr_expect_str_eq(json_string_value(json_array_get(errors, 1)), "t.conf:2: second");
	json_decref(answer);
	close(fd);
}

// The answer comes when the reload is over, behind it those to what the client has asked since; others need
// not wait.
Test(rpc, a_reload_is_answered_when_it_is_over, .init = start, .fini = stop)
{
	int fd = dial(), other = dial();
	json_t *answer;

	fake_reload.waits = fake_reload.good = true;
	say(fd, CALL("config.reload", "{}") "\n" CALL("version", "{}"));
	while (!fake_reload.running)
		usleep(1000);
	answer = ask(other, CALL("config.diff", "{}"));
	cr_expect_eq(json_integer_value(json_object_get(json_object_get(answer, "error"), "code")), 3);
	json_decref(answer);
	fake_reload.waits = false;
	answer = hear(fd);
	cr_expect(fake_reload.apply);
	cr_expect(json_is_true(json_object_get(json_object_get(answer, "result"), "log_level")));
	json_decref(answer);
	answer = hear(fd);
	cr_expect_str_eq(
	    json_string_value(json_object_get(json_object_get(answer, "result"), "program")), "tandemd");
	json_decref(answer);
	close(fd);
	close(other);
}

Test(rpc, a_client_that_does_not_wait_for_its_reload, .init = start, .fini = stop)
{
	int fd = dial(), other = dial();

	fake_reload.waits = true;
	say(fd, CALL("config.reload", "{}") "\n" CALL("version", "{}"));
	while (!fake_reload.running)
		usleep(1000);
	close(fd);
	json_decref(ask(other, CALL("version", "{}")));
	fake_reload.waits = false;
	while (fake_reload.running)
		usleep(1000);
	json_decref(ask(other, CALL("version", "{}")));
	close(other);
}

// Only its writing end is closed: it still hears.
Test(rpc, a_client_that_says_no_more_hears_of_its_reload, .init = start, .fini = stop)
{
	int fd = dial();
	json_t *answer;

	fake_reload.waits = fake_reload.good = true;
	say(fd, CALL("config.reload", "{}"));
	cr_assert_eq(shutdown(fd, SHUT_WR), 0);
	while (!fake_reload.running)
		usleep(1000);
	fake_reload.waits = false;
	answer = hear(fd);
	cr_expect_not_null(json_object_get(answer, "result"));
	json_decref(answer);
	close(fd);
}
