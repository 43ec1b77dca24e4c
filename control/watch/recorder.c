// SPDX-License-Identifier: BSD-3-Clause
#include "control/watch/recorder.h"

#include "common/log.h"
#include "control/watch/pcapng.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

// What one tick takes and writes at most: some hundred microseconds.
#define FRAMES_PER_TICK 128u
// All workers together may hand out this many more (a share of at least one each).
#define BUFFER_FRAMES (FRAMES_PER_TICK + TD_WORKERS_MAX)
#define FRAME_ROOM (TD_CAPTURE_SNAPLEN_MAX + TD_PCAPNG_PACKET_ROOM)
#define NS_PER_S 1000000000ull

struct td_recorder {
	const struct td_config *config;
	enum td_recorder_phase phase;
	int fd;
	uint64_t wanted, packets, lost;
	uint64_t bytes; // of whole blocks in the file
	int failure; // errno of the file, 0: none
	uint8_t *buffer;
	size_t used;
	uint64_t buffered_packets, now_ns; // of this tick
};

struct td_recorder *td_recorder_create(const struct td_config *config)
{
	struct td_recorder *recorder = calloc(1, sizeof(*recorder));

	if (!recorder)
		return NULL;
	recorder->config = config;
	recorder->fd = -1;
	return recorder;
}

// ---- the file ---------------------------------------------------------------------------------

// The file always ends with a whole block.
static void buffer_write(struct td_recorder *recorder)
{
	size_t done = 0;

	while (done < recorder->used && !recorder->failure) {
		ssize_t written = write(recorder->fd, recorder->buffer + done, recorder->used - done);

		if (written > 0)
			done += (size_t)written;
		else if (written < 0 && errno != EINTR)
			recorder->failure = errno;
	}
	if (recorder->failure) {
		if (ftruncate(recorder->fd, (off_t)recorder->bytes) < 0)
			td_log_warning("capture: the end of the file is not whole: %s", strerror(errno));
	} else {
		recorder->bytes += recorder->used;
		recorder->packets += recorder->buffered_packets;
	}
	recorder->used = 0;
	recorder->buffered_packets = 0;
}

static void headers_buffer(struct td_recorder *recorder, unsigned snaplen)
{
	recorder->used = td_pcapng_section(recorder->buffer, "tandemd " TD_VERSION,
	    "captured by an IPsec gateway; frames of inside ports are plaintext");
	for (unsigned i = 0; i < td_dp_port_count(); i++) {
		const struct td_port_config *port = &recorder->config->ports[i];
		struct td_dp_port_info info;

		td_dp_port_info(i, &info);
		recorder->used += td_pcapng_interface(recorder->buffer + recorder->used, port->name,
		    port->role == TD_ROLE_INSIDE ? "inside" : "outside", info.mac, snaplen);
	}
}

static uint64_t wall_ns(void)
{
	struct timespec now;

	clock_gettime(CLOCK_REALTIME, &now);
	return (uint64_t)now.tv_sec * NS_PER_S + (uint64_t)now.tv_nsec;
}

static void frame_buffer(void *context, const struct td_capture_frame *frame)
{
	static const char *const comments[] = {
	    [TD_CAPTURE_OPENED] = "out of a tunnel, for the gateway or the outside; Ethernet header made up",
	    [TD_CAPTURE_OWN] = "of the gateway itself, before it is sealed",
	};
	struct td_recorder *recorder = context;
	struct td_pcapng_packet packet = {
	    .interface = frame->port,
	    .time_ns = recorder->now_ns - frame->age_ns,
	    .bytes = frame->bytes,
	    .captured = frame->captured,
	    .length = frame->length,
	    .outbound = frame->outbound,
	    .comment = comments[frame->kind],
	};

	if (recorder->failure || recorder->packets + recorder->buffered_packets >= recorder->wanted)
		return;
	recorder->used += td_pcapng_packet(recorder->buffer + recorder->used, &packet);
	recorder->buffered_packets++;
}

// ---- start and stop ---------------------------------------------------------------------------

static int file_check(int fd, struct td_error *error)
{
	struct stat status;
	int flags = fcntl(fd, F_GETFL);

	if (flags < 0 || fstat(fd, &status) < 0)
		return td_error_set(error, -errno, NULL, NULL, "%s", strerror(errno));
	if (!S_ISREG(status.st_mode))
		return td_error_set(error, -EINVAL, NULL, NULL, "is not a regular file");
	if ((flags & O_ACCMODE) == O_RDONLY)
		return td_error_set(error, -EINVAL, NULL, NULL, "is not open for writing");
	if (status.st_size != 0)
		return td_error_set(error, -EEXIST, NULL, NULL, "is not empty");
	return 0;
}

static void file_close(struct td_recorder *recorder)
{
	// close reports what a network file system could not write.
	if (close(recorder->fd) < 0 && !recorder->failure)
		recorder->failure = errno;
	recorder->fd = -1;
	free(recorder->buffer);
	recorder->buffer = NULL;
	recorder->phase = TD_RECORDER_IDLE;
	if (recorder->failure)
		td_log_warning("capture: the file could not be written: %s", strerror(recorder->failure));
}

int td_recorder_start(
    struct td_recorder *recorder, int fd, const struct td_dp_capture *capture, struct td_error *error)
{
	td_error_set(error, 0, "capture", "file", " ");
	if (recorder->phase != TD_RECORDER_IDLE)
		return td_error_set(error, -EBUSY, NULL, NULL, "a capture is running (capture.stop ends it)");
	int rc = file_check(fd, error);
	if (rc)
		return rc;
	uint8_t *buffer = malloc((size_t)BUFFER_FRAMES * FRAME_ROOM);
	rc = buffer ? td_dp_capture_start(capture) : -ENOMEM;
	if (rc) {
		free(buffer);
		return td_error_set(error, rc == -EBUSY ? -EBUSY : -ENOMEM, NULL, "",
		    rc == -EBUSY ? "the last capture has not ended yet"
		                 : "there is not enough memory; a smaller snaplen needs less");
	}
	*recorder = (struct td_recorder){
	    .config = recorder->config,
	    .phase = TD_RECORDER_RUNNING,
	    .fd = fd,
	    .wanted = capture->count,
	    .buffer = buffer,
	};
	headers_buffer(recorder, capture->snaplen);
	buffer_write(recorder);
	return 0;
}

void td_recorder_stop(struct td_recorder *recorder)
{
	if (recorder->phase != TD_RECORDER_RUNNING)
		return;
	recorder->phase = TD_RECORDER_STOPPING;
	td_dp_capture_stop();
}

bool td_recorder_tick(struct td_recorder *recorder)
{
	if (recorder->phase == TD_RECORDER_IDLE)
		return false;
	recorder->now_ns = wall_ns();
	unsigned count = td_dp_capture_receive(FRAMES_PER_TICK, frame_buffer, recorder);
	if (recorder->used)
		buffer_write(recorder);
	recorder->lost = td_dp_capture_lost();
	if (recorder->failure || recorder->packets >= recorder->wanted)
		td_recorder_stop(recorder);
	if (recorder->phase == TD_RECORDER_STOPPING && td_dp_capture_free())
		file_close(recorder);
	return count > 0;
}

void td_recorder_destroy(struct td_recorder *recorder)
{
	if (!recorder)
		return;
	td_recorder_stop(recorder);
	// What lies in the rings, but not what workers may still put there.
	for (unsigned i = 0; i < TD_CAPTURE_BUFFERS / FRAMES_PER_TICK && td_recorder_tick(recorder); i++)
		;
	if (recorder->phase != TD_RECORDER_IDLE)
		file_close(recorder);
	free(recorder);
}

void td_recorder_state(const struct td_recorder *recorder, struct td_recorder_state *state)
{
	*state = (struct td_recorder_state){
	    .phase = recorder->phase,
	    .wanted = recorder->wanted,
	    .packets = recorder->packets,
	    .bytes = recorder->bytes,
	    .lost = recorder->lost,
	    .failure = recorder->failure ? strerror(recorder->failure) : NULL,
	};
}
