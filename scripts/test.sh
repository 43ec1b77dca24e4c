#!/bin/bash
# SPDX-License-Identifier: BSD-3-Clause
# Installs what is missing, builds, runs every test, and ends with "N passed, N failed, N skipped".
#
#   scripts/test.sh [--fast] [PATTERN...]
#
# --fast leaves out the sanitizer rounds, which are also the build by clang. With PATTERNs only the unit and wire tests whose name contains
# one of them run: unit tests by program (test_replay), wire tests by module, class or method.
set -uo pipefail
. "$(dirname "${BASH_SOURCE[0]}")/lib.sh"

RESULTS=$ROOT/build/test-results
# Generous: only something that hangs reaches these.
UNIT_TIMEOUT_S=120
WIRE_TIMEOUT_S=1800
DEMO_TIMEOUT_S=180
RACE_TIMEOUT_S=180
FUZZ_TIMEOUT_S=600 # with its build
SIM_TIMEOUT_S=600
# abort_on_error stays off: the exit status is what the lab checks, and a core dump would hold keys.
export ASAN_OPTIONS="detect_leaks=1:exitcode=99:abort_on_error=0"
export UBSAN_OPTIONS="halt_on_error=1:exitcode=99:print_stacktrace=1"
export LSAN_OPTIONS="suppressions=$ROOT/tests/lsan.supp:print_suppressions=0"
SANITIZER_REPORT='ERROR: [A-Za-z]*Sanitizer|runtime error:'

fast=
patterns=()
child=
taps=()

usage()
{
	sed -n '3,9s/^# \{0,1\}//p' "${BASH_SOURCE[0]}"
}

end()
{
	trap '' INT TERM HUP
	if [ -n "$child" ]; then
		kill -TERM "$child" 2>/dev/null
		wait "$child" 2>/dev/null
	fi
}

# supervised SECONDS COMMAND...: like timeout, and ended together with this script.
supervised()
{
	local status
	timeout --kill-after=30 "$@" &
	child=$!
	wait "$child"
	status=$?
	child=
	return "$status"
}

# tap_one FILE NAME STATUS: a report about a single thing.
tap_one()
{
	local word=ok
	[ "$3" -eq 0 ] || word="not ok"
	printf '1..1\n%s 1 - %s\n' "$word" "$2" >"$1"
	taps+=("$1")
}

# check NAME COMMAND...: a step that counts as one test.
check()
{
	local name=$1 status
	shift
	quietly "$ROOT/build/logs/$name.log" "$@"
	status=$?
	tap_one "$RESULTS/$name.tap" "$name" "$status"
	say "$name: $([ "$status" -eq 0 ] && echo passed || echo FAILED)"
	return "$status"
}

say()
{
	printf '[%3d s] %s\n' "$SECONDS" "$1"
}

selected()
{
	local pattern
	[ "${#patterns[@]}" -eq 0 ] && return 0
	for pattern in "${patterns[@]}"; do
		[[ $1 == *"$pattern"* ]] && return 0
	done
	return 1
}

# unit_tests DIRECTORY: runs the Criterion programs of a build.
unit_tests()
{
	local program name tap log status found=0
	for program in "$ROOT/$1"/tests/unit/test_*; do
		[ -f "$program" ] && [ -x "$program" ] || continue
		name=$(basename "$program")
		selected "$name" || continue
		found=1
		tap=$RESULTS/$1-$name.tap log=$ROOT/build/logs/$1-$name.log
		supervised "$UNIT_TIMEOUT_S" "$program" --tap="$tap" >"$log" 2>&1
		status=$?
		taps+=("$tap")
		if grep -qE "$SANITIZER_REPORT" "$log"; then
			tap_one "$RESULTS/$1-$name-sanitizer.tap" "sanitizer report, see $log" 1
		elif [ "$status" -ne 0 ] && ! grep -q '^not ok' "$tap" 2>/dev/null; then
			tap_one "$RESULTS/$1-$name-status.tap" "exit status $status, see $log" 1
		fi
		[ "$status" -eq 0 ] || tail -n 30 "$log"
	done
	if [ "$found" -eq 0 ] && [ "${#patterns[@]}" -eq 0 ]; then
		tap_one "$RESULTS/$1-unit.tap" "no unit tests in $1" 1
	fi
	say "unit tests of $1 done"
}

wire_tests()
{
	local tap=$RESULTS/$1-wire.tap status
	say "wire tests of $1"
	supervised "$WIRE_TIMEOUT_S" /usr/bin/python3 -B "$ROOT/tests/wire/run.py" --build-dir "$ROOT/$1" --tap "$tap" \
		"${patterns[@]}"
	status=$?
	taps+=("$tap")
	if [ "$status" -ne 0 ] && ! grep -q '^not ok' "$tap" 2>/dev/null; then
		tap_one "$RESULTS/$1-wire-status.tap" "exit status $status" 1
	fi
}

# demo NAME OPTION...: a short run of the demo or the soak.
demo()
{
	local name=$1
	shift
	supervised "$DEMO_TIMEOUT_S" /usr/bin/python3 -B "$ROOT/scripts/rollover.py" --build-dir "$ROOT/build" "$@"
	tap_one "$RESULTS/demo-$name.tap" "demo: $name" $?
}

# simulation DIRECTORY SEEDS: whole IKE engines against each other, at random and step by step.
simulation()
{
	local tap=$RESULTS/$1-sim-scripts.tap
	check "$1-sim" supervised "$SIM_TIMEOUT_S" "$ROOT/$1/tests/sim/sim" --seeds "$2" --jobs "$(nproc)"
	supervised "$UNIT_TIMEOUT_S" "$ROOT/$1/tests/sim/sim-scripts" >"$tap" 2>"$ROOT/build/logs/$1-sim-scripts.log"
	[ $? -eq 0 ] || grep -q '^not ok' "$tap" || tap=
	if [ -n "$tap" ]; then
		taps+=("$tap")
	else
		tap_one "$RESULTS/$1-sim-scripts-status.tap" "exit status of sim-scripts of $1" 1
	fi
	say "simulation of $1 done"
}

# fails_with STATUS COMMAND...
fails_with()
{
	local expected=$1
	shift
	"$@"
	[ $? -eq "$expected" ]
}

build_race()
{
	local directory=$ROOT/build-race
	[ -f "$directory/build.ninja" ] || meson setup "$directory" "$ROOT" -Dsanitize_threads=true -Doptimization=1 || return
	ninja -C "$directory" tests/race/race
}

# Two workers under ThreadSanitizer, without suppressions; and mistakes on purpose, which it must find.
races()
{
	local fault command=("$ROOT/build-race/tests/race/race")
	# Libraries at more random addresses than ThreadSanitizer has shadows for.
	[ "$(cat /proc/sys/vm/mmap_rnd_bits)" -le 28 ] || command=(setarch -R "${command[@]}")
	check build-race build_race || return
	check race supervised "$RACE_TIMEOUT_S" "${command[@]}"
	for fault in foreign-state early-free; do
		check "race-$fault" fails_with 66 supervised "$RACE_TIMEOUT_S" "${command[@]}" --provoke "$fault"
	done
}

run_all()
{
	if ! install_missing "${BUILD_PACKAGES[@]}" "${LAB_PACKAGES[@]}" "${TEST_PACKAGES[@]}"; then
		tap_one "$RESULTS/packages.tap" "installation of missing packages" 1
		return
	fi
	check build-gcc build build || return
	if [ "${#patterns[@]}" -eq 0 ]; then
		check lint "$ROOT/scripts/lint"
	fi
	unit_tests build
	wire_tests build
	if [ "${#patterns[@]}" -eq 0 ]; then
		simulation build 20000
		demo "10 rollovers by IKEv2" --rollovers 10
		demo "10 rollovers of injected keys" --rollovers 10 --injected
		demo "keys that live for 100 ms, messages lost" --rollovers 100 --life-ms 100 --control-loss 20
		check bench-micro-quick "$ROOT/build/bench/micro" --quick
		check bench-path-quick "$ROOT/build/bench/path" --quick
		check instructions "$ROOT/scripts/instructions"
		check bench-rollover-quick "$ROOT/scripts/bench.sh" rollover --quick
		check bench-pktgen-search lua5.3 "$ROOT/bench/pktgen/test_search.lua"
		check bench-handshake-quick "$ROOT/build/bench/handshake" --quick
	fi
	[ -n "$fast" ] && return
	if [ "${#patterns[@]}" -eq 0 ]; then
		races
		check fuzz supervised "$FUZZ_TIMEOUT_S" "$ROOT/scripts/fuzz.sh" --seconds 20
	fi
	CC=clang check build-asan build build-asan -Dsanitize=true || return
	unit_tests build-asan
	[ "${#patterns[@]}" -eq 0 ] && simulation build-asan 500
	TANDEM_SLOW=1 wire_tests build-asan
}

while [ $# -gt 0 ]; do
	case $1 in
	--fast) fast=1 ;;
	-h | --help)
		usage
		exit 0
		;;
	-*)
		echo "test.sh: unknown option $1" >&2
		usage >&2
		exit 2
		;;
	*) patterns+=("$1") ;;
	esac
	shift
done

need_root || exit 1
trap end EXIT
trap 'exit 130' INT
trap 'exit 143' TERM
trap 'exit 129' HUP
rm -rf "$RESULTS"
mkdir -p "$RESULTS" "$ROOT/build/logs"
SECONDS=0
run_all
say "all done"
/usr/bin/python3 -B "$ROOT/scripts/tap-summary.py" "${taps[@]}"
