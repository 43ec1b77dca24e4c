// SPDX-License-Identifier: BSD-3-Clause
// Traces and captures on the control thread: filters as people write them, records put together, and the
// file.

#include "control/watch/filter.h"
#include "control/watch/pcapng.h"
#include "control/watch/recorder.h"
#include "control/watch/tracer.h"
#include "tests/unit/fake_dp.h"

#include <criterion/criterion.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define MS 1000000ull
#define COUNT(array) (sizeof(array) / sizeof((array)[0]))

static struct td_config config;
static struct td_error error;

static void start(void)
{
	fake_dp_reset();
	config.port_count = 1;
	snprintf(config.ports[0].name, sizeof(config.ports[0].name), "outside");
	config.ports[0].role = TD_ROLE_OUTSIDE;
}

TestSuite(watch, .init = start);

// ---- filters ----------------------------------------------------------------------------------

Test(watch, filter_texts)
{
	static const struct {
		const char *text;
		bool good;
	} rows[] = {
	    {"", true},
	    {"   ", true},
	    {"src=10.0.0.0/8 dst=192.0.2.1 proto=udp spi=0x1001 port=outside drop=esp_replay", true},
	    {"  proto=47   spi=4097 ", true},
	    {"src=2001:db8::/32", true},
	    {"src", false},
	    {"src=", false},
	    {"=", false},
	    {"=10.0.0.1", false},
	    {"src =10.0.0.1", false},
	    {"src=10.0.0.1,dst=10.0.0.2", false},
	    {"source=10.0.0.1", false},
	    {"proto=256", false},
	    {"proto=-1", false},
	    {"proto=UDP", false},
	    {"spi=0", false},
	    {"spi=010x", false},
	    {"spi=0x", false},
	    {"spi=4294967296", false},
	    {"port=inside", false},
	    {"drop=esp_replays", false},
	    {"proto=udp proto=tcp", false},
	    {"src=0000000000000000000000000000000000000000000000000000000000000000000000000000000000", false},
	};
	struct td_dp_filter filter;

	for (size_t i = 0; i < COUNT(rows); i++) {
		int rc = td_filter_parse(rows[i].text, &config, true, &filter, &error);

		cr_expect_eq(rc, rows[i].good ? 0 : -EINVAL, "\"%s\": %s", rows[i].text, error.reason);
	}
	cr_expect_eq(td_filter_parse("drop=esp_replay", &config, false, &filter, &error), -EINVAL);
	cr_assert_eq(td_filter_parse(rows[2].text, &config, true, &filter, &error), 0);
	cr_expect_eq(filter.source.length, 8);
	cr_expect_eq(filter.destination.length, 32);
	cr_expect_eq(filter.protocol, 17);
	cr_expect_eq(filter.spi, 0x1001);
	cr_expect_eq(filter.port, 0);
	cr_expect_eq(filter.drop, 0);
	cr_assert_eq(td_filter_parse("", &config, true, &filter, &error), 0);
	cr_expect(filter.protocol == -1 && filter.port == -1 && filter.drop == -1 && filter.spi == 0);
}

// ---- tracer -----------------------------------------------------------------------------------

static struct td_tracer *tracer_start(int drop, unsigned count)
{
	struct td_dp_filter filter = {.protocol = -1, .port = -1, .drop = drop};
	struct td_tracer *tracer = td_tracer_create();

	cr_assert_not_null(tracer);
	cr_assert_eq(td_tracer_start(tracer, &filter, count, -1, &error), 0);
	return tracer;
}

static void give(struct td_tracer *tracer, const struct td_trace_record *records, unsigned count)
{
	fake_dp.records = records;
	fake_dp.record_count = count;
	cr_expect(td_tracer_tick(tracer));
	cr_expect_not(td_tracer_tick(tracer));
}

static struct td_tracer_state state_of(const struct td_tracer *tracer)
{
	struct td_tracer_state state;

	td_tracer_state(tracer, &state);
	return state;
}

// The rings are emptied one after the other: that of the owner first, though the packet came to it by a
// handoff.
Test(watch, records_of_two_workers_are_sorted)
{
	static const struct td_trace_record owner[] = {
	    {.ns = 300, .packet = 0, .worker = 0, .step = TD_TRACE_ESP_IN},
	    {.ns = 400, .packet = 0, .worker = 0, .step = TD_TRACE_SENT},
	};
	static const struct td_trace_record receiver[] = {
	    {.ns = 100, .packet = 0, .worker = 1, .step = TD_TRACE_RECEIVED},
	    {.ns = 200, .packet = 0, .worker = 1, .step = TD_TRACE_HANDOFF},
	};
	struct td_tracer *tracer = tracer_start(-1, 1);

	give(tracer, owner, 2);
	give(tracer, receiver, 2);
	cr_assert_eq(state_of(tracer).packets, 1);
	const struct td_trace_packet *packet = td_tracer_packet(tracer, 0);
	cr_assert_eq(packet->step_count, 4);
	for (unsigned i = 0; i < 4; i++)
		cr_expect_eq(packet->steps[i].ns, 100 * (i + 1));
	cr_expect(packet->ended);
	td_tracer_destroy(tracer);
	cr_expect_not(fake_dp.tracing);
}

Test(watch, trace_ends_when_its_packets_have)
{
	static const struct td_trace_record records[] = {
	    {.ns = 1 * MS, .packet = 0, .step = TD_TRACE_RECEIVED},
	    {.ns = 2 * MS, .packet = 1, .step = TD_TRACE_RECEIVED},
	    {.ns = 3 * MS, .packet = 1, .step = TD_TRACE_DROPPED},
	    {.ns = 4 * MS, .packet = 0, .step = TD_TRACE_HELD},
	};
	struct td_tracer *tracer = tracer_start(-1, 2);

	give(tracer, records, COUNT(records));
	fake_dp.trace_age_ns = 1000 * MS;
	td_tracer_tick(tracer);
	cr_expect(td_tracer_is_complete(tracer, td_tracer_packet(tracer, 1)));
	cr_expect_not(td_tracer_is_complete(tracer, td_tracer_packet(tracer, 0)), "it still waits");
	cr_expect(state_of(tracer).running);
	fake_dp.trace_age_ns = 10000 * MS;
	td_tracer_tick(tracer);
	cr_expect_not(state_of(tracer).running, "nothing waits so long");
	cr_expect_eq(state_of(tracer).packets, 2, "and both can be shown");
	td_tracer_destroy(tracer);
}

Test(watch, candidates_of_a_trace_by_drop)
{
	struct td_tracer *tracer = tracer_start(1, 2);
	struct td_trace_record records[2] = {{.step = TD_TRACE_RECEIVED}, {.step = TD_TRACE_DROPPED}};

	// More candidates than there is room for; some never end.
	for (uint32_t i = 0; i < 10000; i++) {
		records[0].packet = records[1].packet = i;
		records[0].ns = i * 10;
		records[1].ns = i * 10 + 1;
		records[1].code = i % 5000 == 4999;
		give(tracer, records, i % 3 == 0 && !records[1].code ? 1 : 2);
	}
	cr_assert_eq(state_of(tracer).packets, 2);
	for (unsigned i = 0; i < 2; i++) {
		cr_expect_eq(td_tracer_packet(tracer, i)->id, 5000 * i + 4999);
		cr_expect_eq(td_tracer_packet(tracer, i)->step_count, 2);
		cr_expect_eq(td_tracer_packet(tracer, i)->number, i + 1);
	}
	td_tracer_destroy(tracer);
}

Test(watch, steps_of_a_packet_are_bounded)
{
	struct td_trace_record records[200];
	struct td_tracer *tracer = tracer_start(-1, 1);

	for (unsigned i = 0; i < 200; i++)
		records[i] = (struct td_trace_record){.ns = i, .step = TD_TRACE_HANDOFF};
	give(tracer, records, 200);
	cr_expect_gt(td_tracer_packet(tracer, 0)->step_count, 50);
	cr_expect_eq(td_tracer_packet(tracer, 0)->step_count + td_tracer_packet(tracer, 0)->steps_lost, 200);
	td_tracer_destroy(tracer);
}

// ---- file -------------------------------------------------------------------------------------

static uint32_t word_at(const uint8_t *at)
{
	uint32_t value;

	memcpy(&value, at, sizeof(value));
	return value;
}

// The length stands at both ends of a block, which are whole words.
static void block_check(const uint8_t *block, size_t length, uint32_t type)
{
	cr_expect_eq(word_at(block), type);
	cr_expect_eq(length % 4, 0);
	cr_expect_eq(word_at(block + 4), length);
	cr_expect_eq(word_at(block + length - 4), length);
}

Test(watch, blocks)
{
	static const char *const texts[] = {"", "a", "abcd",
	    "a text of many words, and more words, and more words, "
	    "and more words, and more words, and more words, and more "
	    "words, and more words, and more words, and so on"};
	static const uint8_t mac[6] = {2, 0, 0, 0, 0, 1}, bytes[9] = {1, 2, 3, 4, 5, 6, 7, 8, 9};
	uint8_t block[TD_PCAPNG_BLOCK_ROOM + sizeof(bytes)];

	for (size_t i = 0; i < COUNT(texts); i++) {
		size_t length = td_pcapng_section(block, texts[i], texts[i]);
		cr_expect_leq(length, TD_PCAPNG_BLOCK_ROOM);
		block_check(block, length, 0x0a0d0d0a);
		length = td_pcapng_interface(block, texts[i], texts[i], mac, 64);
		cr_expect_leq(length, TD_PCAPNG_BLOCK_ROOM);
		block_check(block, length, 1);
		for (uint32_t captured = 0; captured <= sizeof(bytes); captured++) {
			struct td_pcapng_packet packet = {.interface = 3,
			    .time_ns = 0x1122334455667788,
			    .bytes = bytes,
			    .captured = captured,
			    .length = 1500,
			    .comment = texts[i]};

			length = td_pcapng_packet(block, &packet);
			cr_expect_leq(length, TD_PCAPNG_PACKET_ROOM + captured);
			block_check(block, length, 6);
			cr_expect_eq(word_at(block + 8), 3);
			cr_expect_eq(word_at(block + 12), 0x11223344);
			cr_expect_eq(word_at(block + 16), 0x55667788);
			cr_expect_eq(word_at(block + 20), captured);
			cr_expect_eq(word_at(block + 24), 1500);
			cr_expect_eq(memcmp(block + 28, bytes, captured), 0);
		}
	}
}

static int file_make(void)
{
	char path[] = "/tmp/test_watch.XXXXXX";
	int fd = mkstemp(path);

	cr_assert_geq(fd, 0);
	unlink(path);
	return fd;
}

Test(watch, recorder_writes_what_is_wanted_and_no_more)
{
	static const uint8_t bytes[60] = {1};
	struct td_capture_frame frames[10];
	struct td_dp_capture capture = {.count = 7, .snaplen = 64, .side = TD_CAPTURE_BOTH};
	struct td_recorder *recorder = td_recorder_create(&config);
	struct td_recorder_state state;
	int fd = file_make(), mine = dup(fd);

	for (unsigned i = 0; i < COUNT(frames); i++)
		frames[i] = (struct td_capture_frame){.bytes = bytes, .captured = 60, .length = 60};
	cr_assert_eq(td_recorder_start(recorder, fd, &capture, &error), 0);
	cr_expect_eq(td_recorder_start(recorder, mine, &capture, &error), -EBUSY);
	fake_dp.frames = frames;
	fake_dp.frame_count = COUNT(frames);
	cr_expect(td_recorder_tick(recorder));
	td_recorder_tick(recorder);
	td_recorder_state(recorder, &state);
	cr_expect_eq(state.phase, TD_RECORDER_IDLE);
	cr_expect_eq(state.packets, 7);
	cr_expect_eq((off_t)state.bytes, lseek(mine, 0, SEEK_END));
	cr_expect_not(fake_dp.capturing);
	cr_expect_eq(fcntl(fd, F_GETFD), -1, "it is closed");
	td_recorder_destroy(recorder);
	close(mine);
}

Test(watch, recorder_refuses_what_is_no_fresh_file)
{
	struct td_dp_capture capture = {.count = 7, .snaplen = 64, .side = TD_CAPTURE_BOTH};
	struct td_recorder *recorder = td_recorder_create(&config);
	int null = open("/dev/null", O_WRONLY), full = file_make(), ends[2];

	cr_assert_eq(pipe(ends), 0);
	cr_assert_eq(write(full, "x", 1), 1);
	cr_expect_eq(td_recorder_start(recorder, null, &capture, &error), -EINVAL);
	cr_expect_eq(td_recorder_start(recorder, ends[1], &capture, &error), -EINVAL);
	cr_expect_eq(td_recorder_start(recorder, full, &capture, &error), -EEXIST);
	cr_expect_not(fake_dp.capturing);
	cr_expect_geq(fcntl(full, F_GETFD), 0, "what is refused stays the caller's");
	td_recorder_destroy(recorder);
	close(null);
	close(full);
	close(ends[0]);
	close(ends[1]);
}
