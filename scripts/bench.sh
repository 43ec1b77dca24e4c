#!/bin/bash
# SPDX-License-Identifier: BSD-3-Clause
# Installs what is missing, builds, and measures.
#
#   scripts/bench.sh micro [--quick] [PATTERN...]
#   scripts/bench.sh path [--quick] [WORD...]
#   scripts/bench.sh handshake [--quick] [PATTERN...]
#   scripts/bench.sh rollover [--quick]
#   scripts/bench.sh outside [--quick] [SIZE...]
#
# micro: tables, replay, policy, routes, memory of SAs, and SA changes beside traffic, in one process without
# NIC or hugepages. Prints a table and writes build/bench/micro.json. With PATTERNs only rows whose group or name contains
# one of them run.
# path: what a packet costs from port to port, beside the bare cipher, and plots of that. Writes build/bench/path.json and
# path-*.svg. With WORDs only rows run that have all of them: encrypt, aes128gcm16, 1400, imix, a number of tunnels; workers
# for the rows of two workers. As root it reserves 1.1 GB of hugepages as long as it runs.
# handshake: IKE SAs, rekeys, and thousands of tunnels at once, with two whole IKEv2 engines in one process. Writes
# build/bench/handshake.json. With PATTERNs only groups whose name contains one of them run.
# rollover: keys that change beside traffic, at several paces: packets lost and delayed; SAs installed a second, in process
# and over tandemd's control socket (as root). Writes build/bench/rollover.json.
# outside: tandemd itself on packets from a file, as root, and beside it DPDK's ipsec-secgw if SECGW= names it. Writes
# build/bench/outside.json; build/bench/outside has the packets and configurations.
#
# --quick shows in seconds that everything runs. Exit status 1: a packet was lost, memory is beyond its bound, a tunnel
# missed a deadline, or a row did not run. docs/benchmarking.md tells what the figures mean.
set -uo pipefail
. "$(dirname "${BASH_SOURCE[0]}")/lib.sh"

HUGEPAGES=560 # of 2 MB: what bench/path has DPDK take, and a little more

usage()
{
	sed -n '3,25s/^# \{0,1\}//p' "${BASH_SOURCE[0]}"
}

# run NAME ARGUMENT...
run()
{
	local name=$1
	shift
	install_missing "${BUILD_PACKAGES[@]}" && quietly "$ROOT/build/logs/build-gcc.log" build build || return
	# Not by chance the figures of an earlier run.
	rm -f "$ROOT/build/bench/$name.json"
	"$ROOT/build/bench/$name" --json "$ROOT/build/bench/$name.json" "$@"
}

# Reserves hugepages for the path bench, beside those that are there, and says whether they are free; hugepages_return
# gives them back.
hugepages_take()
{
	local free

	grep -q '^Hugepagesize: *2048 kB' /proc/meminfo || return 1
	free=$(awk '/^HugePages_Free:/ { print $2 }' /proc/meminfo)
	hugepages_before=$(cat /proc/sys/vm/nr_hugepages) || return 1
	trap hugepages_return EXIT
	trap 'exit 1' HUP INT TERM
	((free >= HUGEPAGES)) || echo $((hugepages_before + HUGEPAGES - free)) 2>/dev/null >/proc/sys/vm/nr_hugepages
	free=$(awk '/^HugePages_Free:/ { print $2 }' /proc/meminfo)
	((free >= HUGEPAGES))
}

hugepages_return()
{
	[[ -z ${hugepages_before-} ]] || echo "$hugepages_before" 2>/dev/null >/proc/sys/vm/nr_hugepages
}

case ${1-} in
micro | handshake)
	run "$@"
	;;
rollover)
	[ "$#" -le 2 ] && [ "${2---quick}" = --quick ] && need_root || exit 2
	run "$@"
	status=$?
	/usr/bin/python3 -B "$ROOT/bench/rollover/control_socket.py" --json "$ROOT/build/bench/rollover.json" "${@:2}" || exit 1
	exit "$status"
	;;
outside)
	need_root && install_missing "${BUILD_PACKAGES[@]}" iproute2 util-linux &&
		quietly "$ROOT/build/logs/build-gcc.log" build build || exit 1
	/usr/bin/python3 -B "$ROOT/bench/outside/outside.py" --json "$ROOT/build/bench/outside.json" "${@:2}"
	;;
path)
	shift
	options=()
	if hugepages_take; then
		options=(--hugepages)
	else
		echo "bench.sh: no $HUGEPAGES free hugepages: DPDK's tables lie in small pages" >&2
	fi
	run path "${options[@]}" "$@"
	status=$?
	hugepages_return
	install_missing gnuplot-nox &&
		/usr/bin/python3 -B "$ROOT/bench/path/plot.py" "$ROOT/build/bench/path.json" "$ROOT/build/bench" || exit 1
	exit "$status"
	;;
-h | --help)
	usage
	;;
*)
	usage >&2
	exit 2
	;;
esac
