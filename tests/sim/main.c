// SPDX-License-Identifier: BSD-3-Clause
// sim: runs seeds. Each either keeps all invariants, or is printed with a diagram of what happened.

#include "tests/sim/sim.h"

#include <errno.h>
#include <getopt.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#define JOBS_MAX 64
#define SEED_SECONDS 120 // a seed that takes longer hangs
#define SHOWN_MAX 10
#define DIAGRAM_LINES 120

struct job {
	uint64_t seed; // being run
	uint64_t done, failed;
	struct sim_result sum;
};

struct arguments {
	uint64_t first, count;
	unsigned jobs, broken;
	bool one, verbose;
};

static int usage(void)
{
	(void)fputs(
	    "usage: sim --seed N [--verbose]\n"
	    "       sim --seeds COUNT [--first N] [--jobs J]\n"
	    "--break RULE (1 to 5; 6: hard limits of rule 4): a node breaks a rule of lossless rollover; "
	    "the run must fail\n",
	    stderr);
	return 2;
}

static void sum_add(struct sim_result *sum, const struct sim_result *result)
{
	sum->exchanges += result->exchanges;
	sum->packets += result->packets;
	sum->rekeys += result->rekeys;
	sum->simulated_ns += result->simulated_ns / 1000;
	for (unsigned i = 0; i < SIM_EXCUSES; i++)
		sum->excused[i] += result->excused[i];
}

// The last part of what happened.
static void diagram(uint64_t seed)
{
	struct sim_options options = {0};
	struct sim_result result;
	char *text = NULL, *from;
	unsigned lines = DIAGRAM_LINES;
	size_t size = 0;

	options.trace = open_memstream(&text, &size);
	if (!options.trace)
		return;
	sim_scenario_run(seed, &options, &result);
	(void)fclose(options.trace);
	from = text + size;
	while (from > text && (*--from != '\n' || lines-- > 0))
		;
	(void)fputs(from, stdout);
	free(text);
}

static void job_run(const struct arguments *arguments, unsigned number, struct job *job)
{
	struct sim_options options = {.broken = arguments->broken};

	for (uint64_t i = number; i < arguments->count; i += arguments->jobs) {
		struct sim_result result;

		job->seed = arguments->first + i;
		(void)alarm(SEED_SECONDS);
		sim_scenario_run(job->seed, &options, &result);
		job->done++;
		sum_add(&job->sum, &result);
		if (!result.failed)
			continue;
		job->failed++;
		if (!arguments->broken && job->failed <= SHOWN_MAX) {
			if (job->failed == 1)
				diagram(job->seed);
			(void)printf("seed %llu: %s\n", (unsigned long long)job->seed, result.failure);
			(void)printf("replay: tests/sim/sim --seed %llu\n", (unsigned long long)job->seed);
			(void)fflush(stdout);
		}
	}
}

static int one_run(const struct arguments *arguments)
{
	struct sim_options options = {.broken = arguments->broken};
	struct sim_result result;
	char *text = NULL;
	size_t size = 0;

	(void)alarm(SEED_SECONDS);
	options.trace = arguments->verbose ? stdout : open_memstream(&text, &size);
	sim_scenario_run(arguments->first, &options, &result);
	if (!arguments->verbose) {
		(void)fclose(options.trace);
		if (result.failed)
			(void)fputs(text, stdout);
		free(text);
	}
	if (result.failed)
		(void)printf("seed %llu: %s\nreplay: tests/sim/sim --seed %llu\n",
		    (unsigned long long)arguments->first, result.failure,
		    (unsigned long long)arguments->first);
	else
		(void)printf("seed %llu: all invariants hold\n", (unsigned long long)arguments->first);
	return result.failed;
}

static double seconds(void)
{
	struct timespec now;

	clock_gettime(CLOCK_MONOTONIC, &now);
	return (double)now.tv_sec + (double)now.tv_nsec / 1e9;
}

static int many_run(const struct arguments *arguments)
{
	struct job *jobs =
	    mmap(NULL, sizeof(*jobs) * JOBS_MAX, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
	double start = seconds(), took;
	pid_t pids[JOBS_MAX];
	struct job all = {0};

	if (jobs == MAP_FAILED)
		return 2;
	for (unsigned i = 0; i < arguments->jobs; i++) {
		pids[i] = fork();
		if (pids[i] == 0) {
			job_run(arguments, i, &jobs[i]);
			exit(0);
		}
	}
	for (unsigned i = 0; i < arguments->jobs; i++) {
		int status = 0;

		(void)waitpid(pids[i], &status, 0);
		if (status != 0) {
			(void)printf("seed %llu: %s\nreplay: tests/sim/sim --seed %llu\n",
			    (unsigned long long)jobs[i].seed,
			    WIFSIGNALED(status) && WTERMSIG(status) == SIGALRM ? "hangs" : "crashes",
			    (unsigned long long)jobs[i].seed);
			jobs[i].failed++;
			jobs[i].done++;
		}
		all.done += jobs[i].done;
		all.failed += jobs[i].failed;
		sum_add(&all.sum, &jobs[i].sum);
		all.sum.simulated_ns += jobs[i].sum.simulated_ns - jobs[i].sum.simulated_ns / 1000;
	}
	took = seconds() - start;
	(void)printf(
	    "%llu seeds, %llu failed\n", (unsigned long long)all.done, (unsigned long long)all.failed);
	(void)printf("%.1f s, %.0f seeds/s, %llu messages, %llu packets, %llu rekeys, %.1f h simulated\n",
	    took, (double)all.done / took, (unsigned long long)all.sum.exchanges,
	    (unsigned long long)all.sum.packets, (unsigned long long)all.sum.rekeys,
	    (double)all.sum.simulated_ns / 3.6e9);
	(void)printf(
	    "packets lost with an excuse: %llu receiver restarted, %llu peer given up, %llu taken down, "
	    "%llu sent before proof on a first child, %llu on one whose predecessor had to end, %llu not "
	    "installed\n",
	    (unsigned long long)all.sum.excused[SIM_EXCUSE_RESTART],
	    (unsigned long long)all.sum.excused[SIM_EXCUSE_DEAD],
	    (unsigned long long)all.sum.excused[SIM_EXCUSE_OPERATOR],
	    (unsigned long long)all.sum.excused[SIM_EXCUSE_EARLY],
	    (unsigned long long)all.sum.excused[SIM_EXCUSE_HARD],
	    (unsigned long long)all.sum.excused[SIM_EXCUSE_REFUSED]);
	return all.failed != 0;
}

int main(int argc, char **argv)
{
	static const struct option options[] = {
	    {"seed", required_argument, NULL, 's'},
	    {"seeds", required_argument, NULL, 'n'},
	    {"first", required_argument, NULL, 'f'},
	    {"jobs", required_argument, NULL, 'j'},
	    {"break", required_argument, NULL, 'b'},
	    {"verbose", no_argument, NULL, 'v'},
	    {0},
	};
	struct arguments arguments = {.first = 1, .jobs = (unsigned)sysconf(_SC_NPROCESSORS_ONLN)};
	int option;

	while ((option = getopt_long(argc, argv, "", options, NULL)) != -1) {
		switch (option) {
		case 's':
			arguments.one = true;
			arguments.first = strtoull(optarg, NULL, 0);
			break;
		case 'n':
			arguments.count = strtoull(optarg, NULL, 0);
			break;
		case 'f':
			arguments.first = strtoull(optarg, NULL, 0);
			break;
		case 'j':
			arguments.jobs = (unsigned)strtoul(optarg, NULL, 0);
			break;
		case 'b':
			arguments.broken = (unsigned)strtoul(optarg, NULL, 0);
			break;
		case 'v':
			arguments.verbose = true;
			break;
		default:
			return usage();
		}
	}
	if (arguments.one)
		return one_run(&arguments);
	if (arguments.count == 0 || arguments.broken > SIM_BREAKS)
		return usage();
	if (arguments.jobs == 0 || arguments.jobs > JOBS_MAX)
		arguments.jobs = 1;
	return many_run(&arguments);
}
