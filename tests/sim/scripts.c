// SPDX-License-Identifier: BSD-3-Clause
// Runs all arrow scripts, and shows that the simulation notices each broken rule. Speaks TAP.

#include "tests/sim/script.h"

#include <stdlib.h>
#include <string.h>

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

// What is seen of a node that breaks a rule.
static const struct {
	unsigned broken;
	const char *name, *seen;
} breaks[] = {
    {1, "breaks rule 1", "does not decrypt yet on SPI"},
    {2, "breaks rule 2", "has not installed SPI"},
    {3, "breaks rule 3", "stopped too early to decrypt on SPI"},
    {4, "does not start in time (rule 4)", "has nothing to send on"},
    {SIM_BREAK_HARD, "goes on behind hard limits (rule 4)", "sends behind a hard limit"},
    {5, "breaks rule 5", "has nothing to send on"},
};

// It must be found out, by what belongs to that rule, in some seed.
static void rules_break(void)
{
	for (size_t i = 0; i < sizeof(breaks) / sizeof(breaks[0]); i++) {
		struct sim_options options = {.broken = breaks[i].broken};
		struct sim_result result = {0};
		uint64_t seed = 0;
		bool seen = false;
		char name[100];

		while (!seen && seed < BREAK_SEEDS) {
			sim_scenario_run(++seed, &options, &result);
			seen = result.failed && strstr(result.failure, breaks[i].seen);
		}
		(void)snprintf(name, sizeof(name), "a node that %s is noticed", breaks[i].name);
		report(seen, name, "no seed fails for that");
		if (seen)
			(void)printf("# seed %llu: %s\n", (unsigned long long)seed, result.failure);
	}
}

int main(int argc, char **argv)
{
	const char *only = argc > 1 ? argv[1] : NULL;

	scripts_run(sim_scripts_child, only);
	scripts_run(sim_scripts_ike, only);
	scripts_run(sim_scripts_onertt, only);
	scripts_run(sim_scripts_combinations(), only);
	if (!only)
		rules_break();
	(void)printf("1..%u\n", tests);
	return 0;
}
