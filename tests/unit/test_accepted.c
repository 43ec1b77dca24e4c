// SPDX-License-Identifier: BSD-3-Clause
// That no message 1 is accepted twice: in memory, over restarts, and in the file between.
#include "common/limits.h"
#include "control/negotiate/freshness_file.h"
#include "control/onertt/accepted.h"

#include <criterion/criterion.h>

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#define S 1000000ull // microseconds
#define NOON (1800000000ull * S)
#define WINDOW_US (60 * S) // of one step of 30 s each way, and the step that a time is in

// ---- a gateway --------------------------------------------------------------------------------

struct disk {
	bool found;
	uint64_t bound_us;
	unsigned saves;
	int fails; // what save returns
};

static int save(void *context, uint64_t bound_us)
{
	struct disk *disk = context;

	if (disk->fails)
		return disk->fails;
	disk->found = true;
	disk->bound_us = bound_us;
	disk->saves++;
	return 0;
}

// Each run has a steady clock that starts anew.
#define STEADY 1000ull

static struct td_accepted *run(struct disk *disk, uint64_t wall_us, unsigned capacity)
{
	const struct td_accepted_setup setup = {
	    .window = {.step_s = 30, .steps = 1},
	    .capacity = capacity,
	    .found = disk->found,
	    .bound_us = disk->bound_us,
	    .wall_us = wall_us,
	    .steady_us = STEADY,
	    .save = save,
	    .context = disk,
	};
	struct td_accepted *accepted = td_accepted_create(&setup);

	cr_assert_not_null(accepted);
	return accepted;
}

static struct td_accepted_name name_of(unsigned number)
{
	uint8_t key[32] = {(uint8_t)number, (uint8_t)(number >> 8)};
	struct td_accepted_name name;

	cr_assert_eq(td_accepted_name_key(key, &name), 0);
	return name;
}

static int commit(struct td_accepted *accepted, unsigned number, uint64_t time_us, uint64_t wall_us)
{
	const struct td_accepted_name name = name_of(number);
	enum td_freshness_verdict verdict = td_accepted_check(accepted, &name, time_us);
	int result = td_accepted_commit(accepted, &name, time_us, wall_us, STEADY);

	cr_expect_eq(verdict == TD_FRESHNESS_REPLAYED, result == -EALREADY);
	return result;
}

static uint64_t tell(const struct td_accepted *accepted, unsigned number, uint64_t wall_us)
{
	const struct td_accepted_name name = name_of(number);

	return td_accepted_tell(accepted, &name, wall_us, STEADY);
}

static struct disk kept(uint64_t bound_us)
{
	return (struct disk){.found = true, .bound_us = bound_us};
}

Test(accepted, names)
{
	uint8_t key[32] = {0};
	struct td_accepted_name a, b, c;

	cr_assert_eq(td_accepted_name_key(key, &a), 0);
	cr_assert_eq(td_accepted_name_id(0, key, 31, &b), 0);
	cr_assert_eq(td_accepted_name_id(1, key, 31, &c), 0);
	cr_expect_neq(memcmp(&a, &b, sizeof(a)), 0);
	cr_expect_neq(memcmp(&b, &c, sizeof(b)), 0);
}

Test(accepted, each_initiator_by_itself)
{
	struct disk disk = kept(NOON - 1);
	struct td_accepted *accepted = run(&disk, NOON, 8);

	cr_expect_eq(commit(accepted, 1, NOON + 5, NOON), 0);
	cr_expect_eq(commit(accepted, 1, NOON + 5, NOON), -EALREADY);
	cr_expect_eq(commit(accepted, 1, NOON + 4, NOON), -EALREADY);
	cr_expect_eq(commit(accepted, 2, NOON + 4, NOON), 0);
	cr_expect_eq(commit(accepted, 1, NOON + 6, NOON), 0);
	cr_expect_eq(tell(accepted, 1, NOON), NOON + 7, "later than its last");
	cr_expect_eq(tell(accepted, 3, NOON), NOON);
	td_accepted_free(accepted);
}

// What is forgotten raises the floor for all, so that it is not accepted again.
Test(accepted, capacity)
{
	struct disk disk = kept(NOON - 1);
	struct td_accepted *accepted = run(&disk, NOON, 4);

	for (unsigned i = 0; i < 4; i++)
		cr_expect_eq(commit(accepted, i, NOON + 10 + i, NOON), 0);
	cr_expect_eq(commit(accepted, 0, NOON + 20, NOON), 0); // now 1 is the oldest
	cr_expect_eq(commit(accepted, 9, NOON + 9, NOON), 0);
	cr_expect_eq(commit(accepted, 1, NOON + 11, NOON), -EALREADY);
	cr_expect_eq(commit(accepted, 7, NOON + 11, NOON), -EALREADY);
	cr_expect_eq(tell(accepted, 7, NOON), NOON + 12);
	cr_expect_eq(commit(accepted, 7, NOON + 12, NOON), 0);
	for (unsigned i = 100; i < 1000; i++)
		cr_expect_eq(commit(accepted, i, NOON + i, NOON), 0);
	for (unsigned i = 0; i < 1000; i++)
		cr_expect_eq(commit(accepted, i, NOON + i, NOON), -EALREADY, "%u", i);
	td_accepted_free(accepted);
}

Test(accepted, restart)
{
	struct disk disk = kept(NOON - 1);
	struct td_accepted *accepted = run(&disk, NOON, 8);
	uint64_t told;

	cr_expect_eq(commit(accepted, 1, NOON + 5, NOON), 0);
	cr_expect_eq(commit(accepted, 2, NOON + 20 * S, NOON), 0); // its clock is fast
	td_accepted_free(accepted); // a crash

	accepted = run(&disk, NOON + S, 8);
	cr_expect_eq(commit(accepted, 1, NOON + 5, NOON + S), -EALREADY);
	cr_expect_eq(commit(accepted, 2, NOON + 20 * S, NOON + S), -EALREADY);
	cr_expect_eq(commit(accepted, 1, NOON + 2 * S, NOON + S), -EALREADY, "new, but who can tell");
	told = tell(accepted, 1, NOON + S);
	cr_expect_gt(told, disk.bound_us);
	cr_expect_eq(commit(accepted, 1, told, NOON + S), 0, "once told, at once");
	td_accepted_free(accepted);
}

// A run that ends in order leaves nothing to refuse but what was accepted.
Test(accepted, settled)
{
	struct disk disk = kept(NOON - 1);
	struct td_accepted *accepted = run(&disk, NOON, 8);

	cr_expect_eq(commit(accepted, 1, NOON + 5, NOON), 0);
	cr_expect_gt(disk.bound_us, NOON + S);
	cr_expect_eq(td_accepted_settle(accepted), 0);
	td_accepted_free(accepted);
	accepted = run(&disk, NOON + S, 8);
	cr_expect_eq(commit(accepted, 1, NOON + 5, NOON + S), -EALREADY);
	cr_expect_eq(commit(accepted, 1, NOON + S, NOON + S), 0);
	td_accepted_free(accepted);
}

Test(accepted, settled_without_handshakes)
{
	struct disk disk = kept(NOON);
	struct td_accepted *accepted = run(&disk, NOON + S, 8);

	cr_expect_eq(td_accepted_settle(accepted), 0);
	cr_expect_eq(disk.bound_us, NOON);
	cr_expect_eq(disk.saves, 0);
	td_accepted_free(accepted);
}

Test(accepted, lost_file)
{
	struct disk disk = kept(NOON - 1);
	struct td_accepted *accepted = run(&disk, NOON, 8);

	cr_expect_eq(
	    commit(accepted, 1, NOON + WINDOW_US - 1, NOON), 0); // the furthest that the window takes
	td_accepted_free(accepted);
	disk = (struct disk){0};
	accepted = run(&disk, NOON + S, 8);
	cr_expect_eq(commit(accepted, 1, NOON + WINDOW_US - 1, NOON + S), -EALREADY);
	cr_expect_eq(commit(accepted, 1, NOON + 2 * S, NOON + S), -EALREADY);
	cr_expect_eq(commit(accepted, 1, tell(accepted, 1, NOON + S), NOON + S), 0);
	cr_expect(disk.found);
	td_accepted_free(accepted);
}

// A tunnel with a wider window than the first one's: the last run may have taken times further ahead.
Test(accepted, lost_file_of_a_wider_window)
{
	const struct td_freshness_window wider = {.step_s = 300, .steps = 2},
	                                 narrower = {.step_s = 1, .steps = 1};
	struct disk lost = {0}, found = kept(NOON - 1);
	struct td_accepted *accepted = run(&lost, NOON, 8);

	td_accepted_widen(accepted, &wider, NOON, STEADY);
	td_accepted_widen(accepted, &narrower, NOON, STEADY);
	cr_expect_eq(commit(accepted, 1, NOON + 900 * S, NOON), -EALREADY);
	cr_expect_eq(td_accepted_now(accepted, NOON, STEADY), NOON + 900 * S + 1);
	cr_expect_eq(commit(accepted, 1, NOON + 900 * S + 1, NOON), 0);
	td_accepted_free(accepted);
	accepted = run(&found, NOON, 8);
	td_accepted_widen(accepted, &wider, NOON, STEADY);
	cr_expect_eq(commit(accepted, 1, NOON, NOON), 0, "the bound tells");
	td_accepted_free(accepted);
}

// The file is written once for many handshakes, and before the one that needs it.
Test(accepted, saved_ahead)
{
	struct disk disk = kept(NOON - 1);
	struct td_accepted *accepted = run(&disk, NOON, 2000);

	for (unsigned i = 1; i <= 1000; i++) {
		uint64_t now = NOON + i * 1000;

		cr_expect_eq(commit(accepted, i, now, now), 0);
		cr_expect_geq(disk.bound_us, now);
	}
	cr_expect_eq(disk.saves, 1);
	td_accepted_free(accepted);
}

Test(accepted, tick)
{
	struct disk disk = kept(NOON - 1);
	struct td_accepted *accepted = run(&disk, NOON, 8);
	uint64_t now = NOON;

	cr_expect_eq(td_accepted_tick(accepted, NOON + 3600 * S, STEADY), 0);
	cr_expect_eq(disk.saves, 0, "nobody connects");
	cr_expect_eq(commit(accepted, 1, now, now), 0);
	cr_expect_eq(disk.saves, 1);
	for (unsigned i = 0; i < 40; i++) {
		now += TD_ONERTT_RESERVE_US / 4;
		cr_expect_eq(td_accepted_tick(accepted, now, STEADY), 0);
		unsigned before = disk.saves;
		cr_expect_eq(commit(accepted, 1, now, now), 0);
		cr_expect_eq(disk.saves, before, "the handshake did not wait");
	}
	cr_expect_leq(disk.saves, 25);
	td_accepted_free(accepted);
}

// The disk takes its time: nothing is accepted that it does not know of, and it is asked for one bound at a
// time.
Test(accepted, slow_disk)
{
	struct disk disk = kept(NOON - 1);
	struct td_accepted *accepted = run(&disk, NOON, 8);

	disk.fails = -EINPROGRESS;
	cr_expect_eq(commit(accepted, 1, NOON + 5, NOON), -EAGAIN);
	disk.fails = -EIO; // is not asked
	cr_expect_eq(commit(accepted, 2, NOON + 40 * S, NOON), -EAGAIN);
	cr_expect_eq(td_accepted_tick(accepted, NOON + 1, STEADY), 0);
	cr_expect_eq(td_accepted_put_off(accepted), 2);
	cr_expect_eq(td_accepted_now(accepted, NOON - S, STEADY), NOON, "nothing has changed");
	td_accepted_saved(accepted, 0);
	cr_expect_eq(commit(accepted, 1, NOON + 5, NOON), 0);
	cr_expect_eq(commit(accepted, 2, NOON + 40 * S, NOON), -EIO, "later than that bound");
	disk.fails = -EINPROGRESS;
	cr_expect_eq(commit(accepted, 2, NOON + 40 * S, NOON), -EAGAIN);
	cr_expect_eq(commit(accepted, 3, NOON + 6, NOON), 0, "not later than the old one");
	td_accepted_saved(accepted, -ENOSPC);
	cr_expect_eq(commit(accepted, 2, NOON + 40 * S, NOON), -EAGAIN, "begun once more");
	td_accepted_saved(accepted, 0);
	cr_expect_eq(commit(accepted, 2, NOON + 40 * S, NOON), 0);
	cr_expect_eq(td_accepted_put_off(accepted), 4);
	td_accepted_free(accepted);
}

// What cannot be kept is not accepted.
Test(accepted, disk_full)
{
	struct disk disk = kept(NOON - 1);
	struct td_accepted *accepted = run(&disk, NOON, 8);

	disk.fails = -ENOSPC;
	cr_expect_eq(commit(accepted, 1, NOON + 5, NOON), -ENOSPC);
	cr_expect_eq(td_accepted_settle(accepted), 0);
	disk.fails = 0;
	cr_expect_eq(commit(accepted, 1, NOON + 5, NOON), 0);
	td_accepted_free(accepted);
}

// The system's clock goes back by a day while the gateway runs, and over a restart: nothing is accepted
// twice, and initiators who are told the time get in at once.
Test(accepted, clock_set_back)
{
	const uint64_t day = 86400 * S;
	struct disk disk = kept(NOON - 1);
	struct td_accepted *accepted = run(&disk, NOON, 8);
	const struct td_accepted_name name = name_of(1);
	uint64_t told;

	cr_expect_eq(td_accepted_commit(accepted, &name, NOON + 5, NOON, STEADY), 0);
	cr_expect_eq(td_accepted_now(accepted, NOON - day, STEADY), NOON);
	told = td_accepted_tell(accepted, &name, NOON - day, STEADY + 8 * S);
	cr_expect_eq(told, NOON + 7 * S, "on, but slower");
	cr_expect_eq(td_accepted_commit(accepted, &name, NOON + 5, NOON - day, STEADY + 8 * S), -EALREADY);
	cr_expect_eq(td_accepted_commit(accepted, &name, told, NOON - day, STEADY + 8 * S), 0);
	td_accepted_free(accepted);

	accepted = run(&disk, NOON - day, 8);
	cr_expect_eq(commit(accepted, 1, told, NOON - day), -EALREADY);
	told = tell(accepted, 1, NOON - day);
	cr_expect_gt(told, NOON);
	cr_expect_eq(commit(accepted, 1, told, NOON - day), 0);
	td_accepted_free(accepted);
}

// After a restart it is the system's clock again that counts, as soon as that is ahead.
Test(accepted, clock_comes_back)
{
	struct disk disk = kept(NOON + 8 * S);
	struct td_accepted *accepted = run(&disk, NOON, 8);

	cr_expect_eq(td_accepted_now(accepted, NOON, STEADY), NOON + 8 * S + 1);
	cr_expect_eq(td_accepted_now(accepted, NOON + 32 * S, STEADY + 32 * S), NOON + 36 * S + 1);
	cr_expect_eq(td_accepted_now(accepted, NOON + 80 * S, STEADY + 80 * S), NOON + 80 * S);
	td_accepted_free(accepted);
}

// ---- the file ---------------------------------------------------------------------------------

static char directory[64], path[80];

static void directory_make(void)
{
	snprintf(directory, sizeof(directory), "/tmp/td-freshness-XXXXXX");
	cr_assert_not_null(mkdtemp(directory));
	snprintf(path, sizeof(path), "%s/freshness", directory);
}

static void directory_remove(void)
{
	(void)unlink(path);
	(void)rmdir(directory);
}

static struct td_freshness_file *file_open(bool expect_found, uint64_t expect_bound)
{
	uint64_t bound_us = 0;
	bool found;
	struct td_error error = {0};
	struct td_freshness_file *file = td_freshness_file_open(directory, &found, &bound_us, &error);

	cr_assert_not_null(file, "%s", error.reason);
	cr_expect_eq(found, expect_found);
	cr_expect_eq(bound_us, expect_bound);
	return file;
}

static void expect_refused(const char *why)
{
	uint64_t bound_us;
	bool found;
	struct td_error error = {0};

	cr_expect_null(td_freshness_file_open(directory, &found, &bound_us, &error));
	cr_expect_not_null(strstr(error.reason, why), "%s", error.reason);
}

TestSuite(freshness_file, .init = directory_make, .fini = directory_remove);

Test(freshness_file, keeps_the_last)
{
	struct td_freshness_file *file = file_open(false, 0);
	struct stat status;

	for (uint64_t bound = 100; bound < 110; bound++)
		cr_expect_eq(td_freshness_file_save(file, bound), 0);
	cr_expect_eq(td_freshness_file_save(file, 50), 0, "settled");
	td_freshness_file_close(file);
	cr_assert_eq(stat(path, &status), 0);
	cr_expect_eq(status.st_mode & 07777, 0600);
	td_freshness_file_close(file_open(true, 50));
}

Test(freshness_file, makes_its_directory)
{
	cr_assert_eq(rmdir(directory), 0);
	td_freshness_file_close(file_open(false, 0));
}

// Each byte of the newer record in turn: then the older one counts. A file cut short, or of zeros, holds
// nothing.
Test(freshness_file, damaged)
{
	struct td_freshness_file *file = file_open(false, 0);
	int fd = open(path, O_RDWR | O_CLOEXEC);

	cr_expect_eq(td_freshness_file_save(file, 100), 0);
	cr_expect_eq(td_freshness_file_save(file, 200), 0); // in the first place
	td_freshness_file_close(file);
	for (off_t at = 0; at < 32; at++) {
		uint8_t byte;

		cr_assert_eq(pread(fd, &byte, 1, at), 1);
		byte ^= 0x10;
		cr_assert_eq(pwrite(fd, &byte, 1, at), 1);
		td_freshness_file_close(file_open(true, 100));
		byte ^= 0x10;
		cr_assert_eq(pwrite(fd, &byte, 1, at), 1);
	}
	td_freshness_file_close(file_open(true, 200));
	cr_assert_eq(ftruncate(fd, 31), 0);
	td_freshness_file_close(file_open(false, 0));
	cr_assert_eq(ftruncate(fd, 0), 0);
	cr_assert_eq(ftruncate(fd, 8192), 0);
	td_freshness_file_close(file_open(false, 0));
	close(fd);
}

Test(freshness_file, refused)
{
	char elsewhere[96];

	td_freshness_file_close(file_open(false, 0));
	cr_assert_eq(chmod(path, 0640), 0);
	expect_refused("is open to others");
	cr_assert_eq(chmod(path, 0600), 0);
	if (geteuid() == 0) {
		cr_assert_eq(chown(path, 65534, 65534), 0);
		expect_refused("belongs to another user");
	}
	snprintf(elsewhere, sizeof(elsewhere), "%s/elsewhere", directory);
	cr_assert_eq(rename(path, elsewhere), 0);
	cr_assert_eq(symlink(elsewhere, path), 0);
	expect_refused("is a symbolic link");
	cr_assert_eq(unlink(path), 0);
	cr_assert_eq(unlink(elsewhere), 0);
	cr_assert_eq(mkfifo(path, 0600), 0);
	expect_refused("is not a regular file");
}

// Two gateways that share it would each take back what the other has said.
Test(freshness_file, one_gateway_only)
{
	struct td_freshness_file *file = file_open(false, 0);

	expect_refused("in use by another gateway");
	td_freshness_file_close(file);
	td_freshness_file_close(file_open(false, 0));
}

// What reaches the disk, and when (the linker wraps it).
static struct {
	bool on, fails;
	unsigned count;
	uint64_t bound_us; // in the file at the time
} syncs;

int __real_fdatasync(int descriptor);
int __wrap_fdatasync(int descriptor);

static uint64_t newest_bound(int descriptor)
{
	uint64_t newest = 0;

	for (off_t place = 0; place < 2; place++) {
		uint8_t bytes[8];
		uint64_t bound_us = 0;

		if (pread(descriptor, bytes, sizeof(bytes), place * 4096 + 16) != sizeof(bytes))
			continue;
		for (unsigned i = 0; i < sizeof(bytes); i++)
			bound_us = bound_us << 8 | bytes[i];
		newest = bound_us > newest ? bound_us : newest;
	}
	return newest;
}

int __wrap_fdatasync(int descriptor)
{
	if (!syncs.on)
		return __real_fdatasync(descriptor);
	syncs.count++;
	syncs.bound_us = newest_bound(descriptor);
	if (syncs.fails) {
		errno = EIO;
		return -1;
	}
	return __real_fdatasync(descriptor);
}

static int file_save(void *context, uint64_t bound_us)
{
	return td_freshness_file_save(context, bound_us);
}

// Without that a power cut would let the same message 1 in again.
Test(freshness_file, synced_before_a_later_time_is_accepted)
{
	struct td_freshness_file *file = file_open(false, 0);
	struct td_accepted_setup setup = {
	    .window = {.step_s = 30, .steps = 1},
	    .capacity = 8,
	    .found = true,
	    .bound_us = NOON,
	    .wall_us = NOON,
	    .steady_us = STEADY,
	    .save = file_save,
	    .context = file,
	};
	struct td_accepted *accepted = td_accepted_create(&setup);
	struct td_accepted_name who = {{1}};
	uint64_t time_us = NOON + S;

	cr_assert_not_null(accepted);
	syncs.on = syncs.fails = true;
	cr_expect_eq(td_accepted_commit(accepted, &who, time_us, time_us, STEADY + S), -EIO);
	cr_expect_eq(syncs.count, 1);
	cr_expect_eq(td_accepted_check(accepted, &who, time_us), TD_FRESHNESS_FRESH, "nothing has changed");
	syncs.fails = false;
	cr_expect_eq(td_accepted_commit(accepted, &who, time_us, time_us, STEADY + S), 0);
	cr_expect_eq(syncs.count, 2);
	cr_expect_geq(syncs.bound_us, time_us);
	time_us = syncs.bound_us;
	cr_expect_eq(td_accepted_commit(accepted, &who, time_us, time_us, STEADY + 2 * S), 0);
	cr_expect_eq(syncs.count, 2, "what is on disk is far enough ahead");
	time_us++;
	cr_expect_eq(td_accepted_commit(accepted, &who, time_us, time_us, STEADY + 2 * S), 0);
	cr_expect_eq(syncs.count, 3);
	cr_expect_geq(syncs.bound_us, time_us);
	td_accepted_free(accepted);
	td_freshness_file_close(file);
}
