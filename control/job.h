// SPDX-License-Identifier: BSD-3-Clause
#pragma once

// Work that takes long, or that waits for a disk, in a thread of its own, so that the control thread need not
// wait.

#include "control/loop.h"

struct td_job;

// Calls work(context) in a new thread, and done(context) from the loop once it has returned. Until then what
// work touches is work's alone. Returns NULL with errno set: neither is called.
struct td_job *td_job_start(
    struct td_loop *loop, void (*work)(void *context), void (*done)(void *context), void *context);
// Waits until work has returned; done is not called. Before done only. NULL is nothing.
void td_job_wait(struct td_job *job);
