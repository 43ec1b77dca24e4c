// SPDX-License-Identifier: BSD-3-Clause
#pragma once

// How fast the core runs just now. The core clock wanders against the TSC, which counts at a fixed rate, and
// a hyperthread sibling takes units away; a figure in TSC cycles means little without both.

struct td_probe {
	double core; // core clocks per TSC cycle: one add of a dependent chain takes one core clock
	double adds; // independent adds per core clock: falls when the sibling is busy
};

// Takes about 0.2 ms.
struct td_probe td_probe_take(void);
