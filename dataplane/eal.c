// SPDX-License-Identifier: BSD-3-Clause
#include "dataplane/eal.h"

#include <errno.h>
#include <rte_eal.h>
#include <rte_errno.h>
#include <sched.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define ARGUMENTS_MAX (24 + 2 * TD_PORTS_MAX)

struct arguments {
	int count;
	char *values[ARGUMENTS_MAX + 1];
};

__attribute__((format(printf, 2, 3))) static void argument_add(
    struct arguments *arguments, const char *format, ...)
{
	va_list list;

	if (arguments->count == ARGUMENTS_MAX)
		return;
	va_start(list, format);
	if (vasprintf(&arguments->values[arguments->count], format, list) >= 0)
		arguments->count++;
	va_end(list);
}

// The CPUs that this process may use, as EAL reads them: "0-3,8".
static void cpus_print(FILE *out)
{
	cpu_set_t allowed;
	const char *separator = "";

	CPU_ZERO(&allowed);
	(void)sched_getaffinity(0, sizeof(allowed), &allowed);
	for (int first = 0, last; first < CPU_SETSIZE; first = last + 1) {
		last = first;
		if (!CPU_ISSET(first, &allowed))
			continue;
		while (last + 1 < CPU_SETSIZE && CPU_ISSET(last + 1, &allowed))
			last++;
		fprintf(out, "%s%d-%d", separator, first, last);
		separator = ",";
	}
}

// "0@(0-3),1@2": lcore number and the CPUs it may run on, for the control thread and each worker. NULL
// without memory.
static char *lcores_format(const struct td_dp_config *config)
{
	char *text = NULL;
	size_t length;
	FILE *out = open_memstream(&text, &length);

	if (!out)
		return NULL;
	for (unsigned i = 0; i <= config->workers; i++) {
		int core = i == 0 ? config->main_core : config->worker_cores[i - 1];

		fprintf(out, "%s%u@", i ? "," : "", i);
		if (core >= 0) {
			fprintf(out, "%d", core);
			continue;
		}
		fputc('(', out);
		cpus_print(out);
		fputc(')', out);
	}
	fclose(out);
	return text;
}

// A device with a bus address and not a driver's name.
static bool is_pci(const char *device)
{
	unsigned domain, bus, slot, function;

	return sscanf(device, "%x:%x:%x.%x", &domain, &bus, &slot, &function) == 4 ||
	       sscanf(device, "%x:%x.%x", &bus, &slot, &function) == 3;
}

static void arguments_fill(struct arguments *arguments, const struct td_dp_config *config)
{
	char *lcores = lcores_format(config);
	bool pci = false;

	argument_add(arguments, "%s", config->program);
	argument_add(arguments, "--file-prefix=%s", config->file_prefix);
	argument_add(arguments, "--lcores=%s", lcores ? lcores : "");
	free(lcores);
	argument_add(arguments, "--no-telemetry");
	argument_add(arguments, "--log-level=*:warning");
	argument_add(arguments, "-m");
	argument_add(arguments, "%u", config->memory_mb);
	if (config->hugepages) {
		argument_add(arguments, "--in-memory");
	} else {
		argument_add(arguments, "--no-huge");
		argument_add(arguments, "--no-shconf");
	}
	for (unsigned i = 0; i < config->port_count; i++)
		if (is_pci(config->ports[i].device)) {
			argument_add(arguments, "-a");
			argument_add(arguments, "%s", config->ports[i].device);
			pci = true;
		}
	if (!pci)
		argument_add(arguments, "--no-pci");
}

int td_eal_start(const struct td_dp_config *config, struct td_error *error)
{
	struct arguments arguments = {0};
	// EAL moves the pointers about, so what is freed is a second copy.
	char *given[ARGUMENTS_MAX + 1];

	arguments_fill(&arguments, config);
	memcpy(given, arguments.values, sizeof(given));
	int result = rte_eal_init(arguments.count, given);
	for (int i = 0; i < arguments.count; i++)
		free(arguments.values[i]);
	if (result >= 0)
		return 0;
	return td_error_set(error, -rte_errno, "memory", "", "DPDK did not start (%s); %s",
	    rte_strerror(rte_errno),
	    config->hugepages
	        ? "are enough hugepages reserved (memory.size_mb; /proc/sys/vm/nr_hugepages) and are "
	          "you root?"
	        : "is there enough memory for memory.size_mb, and do worker.cores exist?");
}

void td_eal_stop(void)
{
	(void)rte_eal_cleanup();
}
