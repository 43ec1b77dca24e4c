// SPDX-License-Identifier: BSD-3-Clause
// Runs all arrow scripts, and shows that the simulation notices each broken rule. Speaks TAP.

#include "tests/sim/script.h"

#include <stdlib.h>
#include <string.h>

#define RULES 5
#define BREAK_SEEDS 300

static unsigned tests;

static void report(bool passed, const char *name, const char *why)
{
	(void)printf("%sok %u - %s\n", passed ? "" : "not ", ++tests, name);
	if (!passed)
		(void)printf("# %s\n", why);
	(void)fflush(stdout);
}

static void diagram(const struct sim_script *script)
{
	char *text = NULL, why[400], *line, *rest = NULL;
	size_t size = 0;
	FILE *trace = open_memstream(&text, &size);

	(void)sim_script_run(script, trace, why, sizeof(why));
	(void)fclose(trace);
	for (line = strtok_r(text, "\n", &rest); line; line = strtok_r(NULL, "\n", &rest))
		(void)printf("# %s\n", line);
	free(text);
}

static void scripts_run(const struct sim_script *scripts, const char *only)
{
	for (; scripts->name; scripts++) {
		char why[400];
		bool passed;

		if (only && !strstr(scripts->name, only))
			continue;
		passed = sim_script_run(scripts, NULL, why, sizeof(why));
		report(passed, scripts->name, why);
		if (!passed)
			diagram(scripts);
	}
}

// A node that breaks a rule must be found out.
static void rules_break(void)
{
	for (unsigned rule = 1; rule <= RULES; rule++) {
		struct sim_options options = {.broken = rule};
		struct sim_result result = {0};
		uint64_t seed = 0;
		char name[100];

		while (!result.failed && seed < BREAK_SEEDS)
			sim_scenario_run(++seed, &options, &result);
		(void)snprintf(name, sizeof(name), "a node that breaks rule %u is noticed", rule);
		report(result.failed, name, "no seed fails");
		if (result.failed)
			(void)printf("# seed %llu: %s\n", (unsigned long long)seed, result.failure);
	}
}

int main(int argc, char **argv)
{
	const char *only = argc > 1 ? argv[1] : NULL;

	scripts_run(sim_scripts_child, only);
	scripts_run(sim_scripts_ike, only);
	scripts_run(sim_scripts_onertt, only);
	if (!only)
		rules_break();
	(void)printf("1..%u\n", tests);
	return 0;
}
