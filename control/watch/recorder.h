// SPDX-License-Identifier: BSD-3-Clause
#pragma once

// The packet capture on the control thread: writes what the workers copied to a file. Control thread.

#include "common/error.h"
#include "control/config/config.h"
#include "dataplane/publish.h"

struct td_recorder;

// NULL without memory.
struct td_recorder *td_recorder_create(const struct td_config *config);
// Ends the capture and closes its file. The data plane still runs.
void td_recorder_destroy(struct td_recorder *recorder);
// Starts to write to a descriptor that the caller opened: a regular, empty file, so that no writing waits for
// a reader. Takes the descriptor when it returns 0. Else -EBUSY (a capture runs), -EINVAL, -ENOMEM or another
// error of the file, with *error.
int td_recorder_start(
    struct td_recorder *recorder, int fd, const struct td_dp_capture *capture, struct td_error *error);
// Ends the capture; the file is closed a moment later, when no worker copies any more.
void td_recorder_stop(struct td_recorder *recorder);
// Writes some of what there is. Returns true when there was something.
bool td_recorder_tick(struct td_recorder *recorder);

enum td_recorder_phase { TD_RECORDER_IDLE, TD_RECORDER_RUNNING, TD_RECORDER_STOPPING };

struct td_recorder_state {
	enum td_recorder_phase phase;
	uint64_t wanted, packets, bytes; // to be written, and written so far
	uint64_t lost; // found no buffer
	const char *failure; // why the file could not be written, NULL: it could
};
void td_recorder_state(const struct td_recorder *recorder, struct td_recorder_state *state);
