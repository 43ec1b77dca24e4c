// SPDX-License-Identifier: BSD-3-Clause
#include "common/error.h"
#include "common/ip.h"
#include "common/secret.h"

#include <criterion/criterion.h>

#include <errno.h>
#include <pthread.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>

#define COUNT(array) (sizeof(array) / sizeof((array)[0]))
#define STACK_BYTES (1u << 20)

static const struct {
	const char *text;
	int result;
	uint8_t family;
	const char *canonical;
} ips[] = {
    {"192.0.2.1", 0, 4, "192.0.2.1"},
    {"0.0.0.0", 0, 4, "0.0.0.0"},
    {"255.255.255.255", 0, 4, "255.255.255.255"},
    {"2001:db8::1", 0, 6, "2001:db8::1"},
    {"2001:0DB8:0:0:0:0:0:1", 0, 6, "2001:db8::1"},
    {"::", 0, 6, "::"},
    {"::ffff:192.0.2.1", 0, 6, "::ffff:192.0.2.1"},
    {"", -EINVAL, 0, NULL},
    {"192.0.2", -EINVAL, 0, NULL},
    {"192.0.2.256", -EINVAL, 0, NULL},
    {"192.0.2.1 ", -EINVAL, 0, NULL},
    {" 192.0.2.1", -EINVAL, 0, NULL},
    {"192.0.2.1/24", -EINVAL, 0, NULL},
    {"2001:db8:::1", -EINVAL, 0, NULL},
    {"fe80::1%eth0", -EINVAL, 0, NULL},
    {"localhost", -EINVAL, 0, NULL},
};

Test(ip, parses_and_formats)
{
	for (size_t i = 0; i < COUNT(ips); i++) {
		struct td_ip ip = {.family = 99};
		char text[TD_IP_TEXT_MAX];

		cr_expect_eq(td_ip_parse(ips[i].text, &ip), ips[i].result, "\"%s\"", ips[i].text);
		if (ips[i].result) {
			cr_expect_eq(ip.family, 99, "\"%s\" must leave the result alone", ips[i].text);
			continue;
		}
		cr_expect_eq(ip.family, ips[i].family, "\"%s\"", ips[i].text);
		cr_expect_str_eq(td_ip_format(&ip, text), ips[i].canonical);
	}
}

Test(ip, formats_what_is_not_set)
{
	const struct td_ip unset = {0};
	char text[TD_IP_TEXT_MAX];

	cr_expect_str_eq(td_ip_format(&unset, text), "-");
}

static const struct {
	const char *text;
	int result;
	unsigned length;
	bool network;
	const char *canonical;
} prefixes[] = {
    {"192.0.2.0/24", 0, 24, true, "192.0.2.0/24"},
    {"192.0.2.1/24", 0, 24, false, "192.0.2.1/24"},
    {"192.0.2.1", 0, 32, true, "192.0.2.1/32"},
    {"192.0.2.1/32", 0, 32, true, "192.0.2.1/32"},
    {"0.0.0.0/0", 0, 0, true, "0.0.0.0/0"},
    {"128.0.0.0/0", 0, 0, false, "128.0.0.0/0"},
    {"192.0.2.128/25", 0, 25, true, "192.0.2.128/25"},
    {"192.0.2.64/25", 0, 25, false, "192.0.2.64/25"},
    {"2001:db8::/32", 0, 32, true, "2001:db8::/32"},
    {"2001:db8::1", 0, 128, true, "2001:db8::1/128"},
    {"2001:db8::1/127", 0, 127, false, "2001:db8::1/127"},
    {"", -EINVAL, 0, false, NULL},
    {"/24", -EINVAL, 0, false, NULL},
    {"192.0.2.0/", -EINVAL, 0, false, NULL},
    {"192.0.2.0/33", -EINVAL, 0, false, NULL},
    {"192.0.2.0/-1", -EINVAL, 0, false, NULL},
    {"192.0.2.0/+8", -EINVAL, 0, false, NULL},
    {"192.0.2.0/ 8", -EINVAL, 0, false, NULL},
    {"192.0.2.0/8x", -EINVAL, 0, false, NULL},
    {"192.0.2.0/8/8", -EINVAL, 0, false, NULL},
    {"192.0.2.0/18446744073709551624", -EINVAL, 0, false, NULL},
    {"2001:db8::/129", -EINVAL, 0, false, NULL},
    {"0000:0000:0000:0000:0000:0000:0000:0000:0000:0000:0000:0000/8", -EINVAL, 0, false, NULL},
};

Test(prefix, parses_and_formats)
{
	for (size_t i = 0; i < COUNT(prefixes); i++) {
		struct td_prefix prefix = {.length = 99};
		char text[TD_PREFIX_TEXT_MAX];

		cr_expect_eq(td_prefix_parse(prefixes[i].text, &prefix), prefixes[i].result, "\"%s\"",
		    prefixes[i].text);
		if (prefixes[i].result) {
			cr_expect_eq(
			    prefix.length, 99, "\"%s\" must leave the result alone", prefixes[i].text);
			continue;
		}
		cr_expect_eq(prefix.length, prefixes[i].length, "\"%s\"", prefixes[i].text);
		cr_expect_eq(td_prefix_is_network(&prefix), prefixes[i].network, "\"%s\"", prefixes[i].text);
		cr_expect_str_eq(td_prefix_format(&prefix, text), prefixes[i].canonical);
	}
}

Test(ip, compares_the_bytes_of_its_family_only)
{
	struct td_ip a = {.family = 4, .bytes = {192, 0, 2, 1}};
	struct td_ip b = a;

	b.bytes[15] = 1;
	cr_expect(td_ip_equal(&a, &b));
	b.bytes[3] = 2;
	cr_expect_not(td_ip_equal(&a, &b));
	b = a;
	b.family = 6;
	cr_expect_not(td_ip_equal(&a, &b));
}

Test(ip, is_a_number_in_host_order)
{
	struct td_ip ip = td_ip_from_v4(0xc0000201);
	char text[TD_IP_TEXT_MAX];

	cr_expect_str_eq(td_ip_format(&ip, text), "192.0.2.1");
	cr_expect_eq(td_ip_v4(&ip), 0xc0000201);
}

#define HEX_64 "00112233445566778899aabbccddeeff00112233445566778899aabbccddeeff"
#define HEX_256 HEX_64 HEX_64 HEX_64 HEX_64

static const struct {
	const char *text;
	int result;
	size_t length;
	uint8_t first, last;
} secrets[] = {
    {"00ff", 0, 2, 0x00, 0xff},
    {"0x00FF", 0, 2, 0x00, 0xff},
    {"0Xa5", 0, 1, 0xa5, 0xa5},
    {HEX_256, 0, 128, 0x00, 0xff},
    {"0x" HEX_256, 0, 128, 0x00, 0xff},
    {HEX_256 "00", -E2BIG, 0, 0, 0},
    {"", -EINVAL, 0, 0, 0},
    {"0x", -EINVAL, 0, 0, 0},
    {"f", -EINVAL, 0, 0, 0},
    {"00f", -EINVAL, 0, 0, 0},
    {"00fg", -EINVAL, 0, 0, 0},
    {"00 ff", -EINVAL, 0, 0, 0},
    {"0x0x", -EINVAL, 0, 0, 0},
    {"aabb:cc", -EINVAL, 0, 0, 0},
};

static bool is_zero(const void *memory, size_t length)
{
	const uint8_t *bytes = memory;

	for (size_t i = 0; i < length; i++)
		if (bytes[i])
			return false;
	return true;
}

Test(secret, reads_hexadecimal)
{
	for (size_t i = 0; i < COUNT(secrets); i++) {
		struct td_secret secret;

		memset(&secret, 0xee, sizeof(secret));
		cr_expect_eq(td_secret_from_hex(secrets[i].text, &secret), secrets[i].result, "row %zu", i);
		if (secrets[i].result) {
			cr_expect(is_zero(&secret, sizeof(secret)), "row %zu must leave nothing", i);
			continue;
		}
		cr_expect_eq(secret.length, secrets[i].length, "row %zu", i);
		cr_expect_eq(secret.bytes[0], secrets[i].first, "row %zu", i);
		cr_expect_eq(secret.bytes[secret.length - 1], secrets[i].last, "row %zu", i);
		cr_expect(is_zero(secret.bytes + secret.length, sizeof(secret.bytes) - secret.length));
	}
}

Test(secret, compares)
{
	struct td_secret a, b;

	td_secret_from_hex("00112233", &a);
	td_secret_from_hex("0x00112233", &b);
	cr_expect(td_secret_equal(&a, &b));
	b.bytes[3] ^= 1;
	cr_expect_not(td_secret_equal(&a, &b));
	td_secret_from_hex("001122", &b);
	cr_expect_not(td_secret_equal(&a, &b));
	td_secret_wipe(&a);
	td_secret_wipe(&b);
	cr_expect(td_secret_equal(&a, &b));
}

Test(secret, wipe_leaves_no_byte)
{
	struct td_secret secret;

	cr_assert_eq(td_secret_from_hex(HEX_256, &secret), 0);
	td_secret_wipe(&secret);
	cr_expect(is_zero(&secret, sizeof(secret)));
}

// Keys live on a stack of our own, which can be searched when the scope that held them is gone.
static const uint8_t pattern[16] = {
    0xd3, 0x5c, 0x91, 0xe7, 0x2a, 0xb8, 0x46, 0xf1, 0x9d, 0x63, 0xca, 0x17, 0x84, 0xfe, 0x3b, 0xa9};
#define PATTERN_HEX "d35c91e72ab846f19d63ca1784fe3ba9"

#define USE_SECRET(secret) __asm__ volatile("" : : "r"(&(secret)) : "memory")

// A sanitizer's frames are not on the thread's stack, so that these functions do without.
#define ON_THE_STACK __attribute__((noinline, no_sanitize("address")))

static ON_THE_STACK void hold_plain(void)
{
	struct td_secret secret;

	td_secret_from_hex(PATTERN_HEX, &secret);
	USE_SECRET(secret);
}

static ON_THE_STACK void hold_auto(void)
{
	TD_SECRET_AUTO secret;

	td_secret_from_hex(PATTERN_HEX, &secret);
	USE_SECRET(secret);
}

static ON_THE_STACK void leave_early(void)
{
	for (int i = 0; i < 2; i++) {
		TD_SECRET_AUTO secret;

		td_secret_from_hex(PATTERN_HEX, &secret);
		USE_SECRET(secret);
		if (i == 1)
			return;
	}
}

struct holder {
	void (*fn)(void);
};

// Calls fn far down the stack, where the end of the thread writes nothing over what fn left.
static ON_THE_STACK void *run_deep(void *argument)
{
	const struct holder *holder = argument;
	uint8_t room[STACK_BYTES / 2];

	memset(room, 0, sizeof(room));
	USE_SECRET(room);
	holder->fn();
	USE_SECRET(room);
	return NULL;
}

// Returns how often the pattern is on the stack of a thread that ran fn and has ended.
static unsigned traces_of(void (*fn)(void))
{
	uint8_t *stack =
	    mmap(NULL, STACK_BYTES, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_STACK, -1, 0);
	struct holder holder = {fn};
	pthread_attr_t attributes;
	pthread_t thread;
	unsigned found = 0;

	cr_assert_neq(stack, MAP_FAILED);
	cr_assert_eq(pthread_attr_init(&attributes), 0);
	cr_assert_eq(pthread_attr_setstack(&attributes, stack, STACK_BYTES), 0);
	cr_assert_eq(pthread_create(&thread, &attributes, run_deep, &holder), 0);
	cr_assert_eq(pthread_join(thread, NULL), 0);
	for (size_t i = 0; i + sizeof(pattern) <= STACK_BYTES; i++)
		found += memcmp(stack + i, pattern, sizeof(pattern)) == 0;
	pthread_attr_destroy(&attributes);
	munmap(stack, STACK_BYTES);
	return found;
}

Test(secret, auto_leaves_no_byte_behind_its_scope)
{
	// The first shows that the search finds what is left.
	cr_expect_gt(traces_of(hold_plain), 0);
	cr_expect_eq(traces_of(hold_auto), 0);
	cr_expect_eq(traces_of(leave_early), 0);
}

Test(random, fills_all_and_differs)
{
	uint8_t a[64] = {0}, b[64] = {0};

	cr_assert_eq(td_random(a, sizeof(a)), 0);
	cr_assert_eq(td_random(b, sizeof(b)), 0);
	cr_expect_not(is_zero(a + 32, 32));
	cr_expect_neq(memcmp(a, b, sizeof(a)), 0);
	cr_expect_eq(td_random(a, 0), 0);
}

Test(error, keeps_object_and_field_that_are_not_given)
{
	struct td_error error = {0};

	cr_expect_eq(td_error_set(&error, -EINVAL, "port outside", "mtu", "is %d", 9), -EINVAL);
	cr_expect_str_eq(error.object, "port outside");
	cr_expect_str_eq(error.field, "mtu");
	cr_expect_str_eq(error.reason, "is 9");
	cr_expect_eq(td_error_set(&error, -ENOMEM, NULL, NULL, "no memory"), -ENOMEM);
	cr_expect_str_eq(error.object, "port outside");
	cr_expect_str_eq(error.field, "mtu");
	cr_expect_str_eq(error.reason, "no memory");
}

Test(error, may_be_null_and_cuts_what_is_long)
{
	char text[400];
	struct td_error error = {0};

	memset(text, 'x', sizeof(text) - 1);
	text[sizeof(text) - 1] = '\0';
	cr_expect_eq(td_error_set(NULL, -EIO, text, text, "%s", text), -EIO);
	cr_expect_eq(td_error_set(&error, -EIO, text, text, "%s", text), -EIO);
	cr_expect_eq(strlen(error.object), sizeof(error.object) - 1);
	cr_expect_eq(strlen(error.field), sizeof(error.field) - 1);
	cr_expect_eq(strlen(error.reason), sizeof(error.reason) - 1);
}
