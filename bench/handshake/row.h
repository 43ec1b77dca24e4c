// SPDX-License-Identifier: BSD-3-Clause
#pragma once

// A group of figures that come from the same rounds. groups.c has the table.

#include "bench/handshake/pki.h"

#include <stdbool.h>
#include <stddef.h>

#define TD_FIGURES_MAX 12
#define TD_GROUP_NAME_MAX 96

// What a figure has to be compared with.
enum td_aim {
	TD_AIM_NONE,
	TD_AIM_LEAST, // it should be at least so much; depends on time, so that it is only reported
	TD_AIM_MOST, // the same, at most
	TD_AIM_BOUND, // more than that is a failure
};

struct td_figure {
	const char *name, *unit;
	enum td_aim aim;
	double value;
};

struct td_group {
	const char *name; // "%u" stands for the number of tunnels
	unsigned full, quick; // tunnels
	unsigned argument; // the group's own
	unsigned rounds; // at most
	int (*setup)(const struct td_group *group, const struct td_pki *pki, unsigned tunnels); // 0 or -errno
	// One value for each figure. Returns 0 or -errno.
	int (*round)(const struct td_group *group, double *values);
	void (*teardown)(void);
	struct td_figure figures[TD_FIGURES_MAX]; // ended by one without name
};

extern const struct td_group td_groups[];
extern const size_t td_group_count;

int td_connect_setup(const struct td_group *group, const struct td_pki *pki, unsigned tunnels);
int td_connect_round(const struct td_group *group, double *values);
void td_connect_teardown(void);
int td_rekey_setup(const struct td_group *group, const struct td_pki *pki, unsigned tunnels);
int td_rekey_round(const struct td_group *group, double *values);
void td_rekey_teardown(void);
int td_onertt_connect_setup(const struct td_group *group, const struct td_pki *pki, unsigned tunnels);
int td_onertt_connect_round(const struct td_group *group, double *values);
int td_transaction_setup(const struct td_group *group, const struct td_pki *pki, unsigned tunnels);
int td_transaction_round(const struct td_group *group, double *values);
int td_first_setup(const struct td_group *group, const struct td_pki *pki, unsigned tunnels);
int td_first_round(const struct td_group *group, double *values);
void td_onertt_teardown(void); // of all three
int td_heavy_setup(const struct td_group *group, const struct td_pki *pki, unsigned times);
int td_heavy_round(const struct td_group *group, double *values);
void td_heavy_teardown(void);
int td_crowd_setup(const struct td_group *group, const struct td_pki *pki, unsigned tunnels);
int td_crowd_round(const struct td_group *group, double *values);
void td_crowd_teardown(void);
