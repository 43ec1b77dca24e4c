#!/bin/bash
# SPDX-License-Identifier: BSD-3-Clause
# Searches for the highest rate in the manner of RFC 2544, latency, and rekey storms.
#
#   scripts/bench-pktgen.sh [--quick] [--builtin]
#   scripts/bench-pktgen.sh [--quick] -- PKTGEN-OPTION...
#
# With Pktgen-DPDK 23.03 or newer, on PATH or named by PKTGEN=, and options for it (EAL's, --, and its own -P -m "..."), it
# runs bench/pktgen/tandem.lua there: for real NICs, or memif to a tandemd on the same machine. Otherwise, or with --builtin,
# it starts a tandemd and a source of its own, joined by memif, as root. Writes build/bench/pktgen.json and pktgen-*.svg.
# What is asked for comes from the environment: TANDEM_BENCH_TESTS ("throughput imix latency storm"), _SIZES, _PDR (a share),
# _SEND and _RECEIVE (ports), _SRC, _DST (addresses), _MAC (of the gateway's inside port). docs/benchmarking.md tells more.
set -uo pipefail
. "$(dirname "${BASH_SOURCE[0]}")/lib.sh"

usage()
{
	sed -n '3,13s/^# \{0,1\}//p' "${BASH_SOURCE[0]}"
}

explain()
{
	cat <<-'END'
	Pktgen-DPDK was not found: the built-in source takes its place. To get Pktgen (23.03 or newer, with Lua):

	    apt-get install libdpdk-dev liblua5.3-dev libnuma-dev libpcap-dev libbsd-dev meson ninja-build git
	    git clone --branch pktgen-23.03.0 https://github.com/pktgen/Pktgen-DPDK
	    cd Pktgen-DPDK && meson setup build -Denable_lua=true && ninja -C build

	and name it: PKTGEN=.../build/app/pktgen. Debian has no package of it.

	END
}

quick=() builtin=
while [ $# -gt 0 ]; do
	case $1 in
	--quick) quick=(--quick) ;;
	--builtin) builtin=1 ;;
	--)
		shift
		break
		;;
	-h | --help)
		usage
		exit 0
		;;
	*)
		usage >&2
		exit 2
		;;
	esac
	shift
done

need_root || exit 1
json=$ROOT/build/bench/pktgen.json
mkdir -p "$ROOT/build/bench"
rm -f "$json"
pktgen=${PKTGEN-$(command -v pktgen)}
if [ -z "$builtin" ] && [ -n "$pktgen" ]; then
	if [ $# -eq 0 ]; then
		echo "bench-pktgen.sh: which ports? For instance: -- -l 1-3 -a 0000:01:00.0 -a 0000:01:00.1 -- -P -m '2.0, 3.1'" >&2
		exit 2
	fi
	export TANDEM_BENCH_JSON=$json TANDEM_BENCH_QUICK=${#quick[@]}
	# It finds its own Lua files beside the program.
	"$pktgen" "$@" -f "$ROOT/bench/pktgen/tandem.lua"
	status=$?
else
	[ -n "$builtin" ] || explain
	install_missing "${BUILD_PACKAGES[@]}" lua5.3 iproute2 util-linux &&
		quietly "$ROOT/build/logs/build-gcc.log" build build || exit 1
	/usr/bin/python3 -B "$ROOT/bench/pktgen/builtin.py" --json "$json" "${quick[@]}"
	status=$?
fi
[ -f "$json" ] || exit 1
install_missing gnuplot-nox && /usr/bin/python3 -B "$ROOT/bench/pktgen/plot.py" "$json" "$ROOT/build/bench" || exit 1
exit "$status"
