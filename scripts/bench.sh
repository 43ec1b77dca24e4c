#!/bin/bash
# SPDX-License-Identifier: BSD-3-Clause
# Installs what is missing, builds, and measures.
#
#   scripts/bench.sh micro [--quick] [PATTERN...]
#
# micro: tables, replay, policy, routes, memory of SAs, and SA changes beside traffic, in one process without
# NIC or hugepages. Prints a table and writes build/bench/micro.json. With PATTERNs only rows whose group or name contains
# one of them run. --quick shows in seconds that everything runs. Exit status 1: a packet was lost, memory is
# beyond its bound, or a row did not run. docs/benchmarking.md tells what the figures mean.
set -uo pipefail
. "$(dirname "${BASH_SOURCE[0]}")/lib.sh"

usage()
{
	sed -n '3,10s/^# \{0,1\}//p' "${BASH_SOURCE[0]}"
}

micro()
{
	install_missing "${BUILD_PACKAGES[@]}" && quietly "$ROOT/build/logs/build-gcc.log" build build || return
	# Not by chance the figures of an earlier run.
	rm -f "$ROOT/build/bench/micro.json"
	"$ROOT/build/bench/micro" --json "$ROOT/build/bench/micro.json" "$@"
}

case ${1-} in
micro)
	shift
	micro "$@"
	;;
-h | --help)
	usage
	;;
*)
	usage >&2
	exit 2
	;;
esac
