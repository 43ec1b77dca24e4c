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
UNITS_TIMEOUT_S=900
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
taps=()
declare -A lanes # processes by name

usage()
{
	sed -n '3,9s/^# \{0,1\}//p' "${BASH_SOURCE[0]}"
}

# timeout ends what it runs when it is ended itself; a lane has a session of its own.
end()
{
	local process
	trap '' INT TERM HUP
	for process in $(jobs -p) "${lanes[@]/#/-}"; do
		kill -TERM -- "$process" 2>/dev/null
	done
	wait
}

# supervised SECONDS COMMAND...: like timeout, and ended together with this script.
supervised()
{
	timeout --kill-after=30 "$@" &
	wait $!
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
	printf '[%3d s] %s\n' "$(($(date +%s) - STARTED))" "$1"
}

# behind LANE STEP...: runs steps one after another beside what follows, which mostly waits; they get what it leaves of
# the processors. joined LANE STEP... waits for them.
behind()
{
	local lane=$1
	shift
	setsid "${BASH_SOURCE[0]}" --lane "$@" &
	lanes[$lane]=$!
}

joined()
{
	local lane=$1 step
	shift
	wait "${lanes[$lane]}"
	unset "lanes[$lane]"
	for step in "$@"; do
		if [ -f "$RESULTS/$step.tap" ]; then
			taps+=("$RESULTS/$step.tap")
		else
			tap_one "$RESULTS/$step.tap" "$step" 1
		fi
	done
}

# The steps that run in lanes.
step()
{
	case $1 in
	lint) check lint "$ROOT/scripts/lint" ;;
	build-asan) CC=clang check build-asan build build-asan -Dsanitize=true ;;
	build-race) check build-race build_race ;;
	fuzz) check fuzz supervised "$FUZZ_TIMEOUT_S" "$ROOT/scripts/fuzz.sh" --seconds 20 ;;
	build-sim) check build-sim supervised "$SIM_TIMEOUT_S" "$ROOT/build/tests/sim/sim" --seeds 20000 --jobs "$(nproc)" ;;
	esac
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

# unit_test DIRECTORY PROGRAM: runs a Criterion program of a build, and leaves reports in files.
unit_test()
{
	local name tap log status
	name=$1-$(basename "$2")
	tap=$RESULTS/$1.units/$name.tap log=$ROOT/build/logs/$name.log
	supervised "$UNIT_TIMEOUT_S" "$2" --tap="$tap" >"$log" 2>&1
	status=$?
	[ -f "$tap" ] || tap_one "$tap" "$name did not report" 1
	if grep -qE "$SANITIZER_REPORT" "$log"; then
		tap_one "$RESULTS/$1.units/$name-sanitizer.tap" "sanitizer report, see $log" 1
	elif [ "$status" -ne 0 ] && ! grep -q '^not ok' "$tap"; then
		tap_one "$RESULTS/$1.units/$name-status.tap" "exit status $status, see $log" 1
	fi
	[ "$status" -eq 0 ] || tail -n 30 "$log"
}

# unit_tests DIRECTORY: as many at a time as there are processors.
unit_tests()
{
	local program programs=()
	for program in "$ROOT/$1"/tests/unit/test_*; do
		[ -f "$program" ] && [ -x "$program" ] && selected "$(basename "$program")" && programs+=("$program")
	done
	if [ "${#programs[@]}" -gt 0 ]; then
		mkdir -p "$RESULTS/$1.units"
		printf '%s\0' "${programs[@]}" >"$RESULTS/$1.units/list"
		supervised "$UNITS_TIMEOUT_S" xargs -0 -n 1 -P "$(nproc)" -a "$RESULTS/$1.units/list" \
			"${BASH_SOURCE[0]}" --unit "$1"
		taps+=("$RESULTS/$1.units"/*.tap)
	elif [ "${#patterns[@]}" -eq 0 ]; then
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

# simulation_scripts DIRECTORY: whole IKE engines against each other, step by step.
simulation_scripts()
{
	local tap=$RESULTS/$1-sim-scripts.tap
	supervised "$UNIT_TIMEOUT_S" "$ROOT/$1/tests/sim/sim-scripts" >"$tap" 2>"$ROOT/build/logs/$1-sim-scripts.log"
	[ $? -eq 0 ] || grep -q '^not ok' "$tap" || tap=
	if [ -n "$tap" ]; then
		taps+=("$tap")
	else
		tap_one "$RESULTS/$1-sim-scripts-status.tap" "exit status of sim-scripts of $1" 1
	fi
	say "arrow scripts of $1 done"
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
	check race supervised "$RACE_TIMEOUT_S" "${command[@]}"
	for fault in foreign-state early-free; do
		check "race-$fault" fails_with 66 supervised "$RACE_TIMEOUT_S" "${command[@]}" --provoke "$fault"
	done
}

# The steps that need the processors for themselves, or would be slowed down.
alone()
{
	demo "10 rollovers by IKEv2" --rollovers 10
	demo "10 rollovers in one round trip" --rollovers 10 --negotiation onertt
	demo "10 rollovers of injected keys" --rollovers 10 --injected
	demo "keys that live for 100 ms, messages lost" --rollovers 100 --life-ms 100 --control-loss 20
	check bench-micro-quick "$ROOT/build/bench/micro" --quick
	check bench-path-quick "$ROOT/build/bench/path" --quick
	check instructions "$ROOT/scripts/instructions"
	check bench-rollover-quick "$ROOT/scripts/bench.sh" rollover --quick
	check bench-pktgen-search lua5.3 "$ROOT/bench/pktgen/test_search.lua"
	check bench-handshake-quick "$ROOT/build/bench/handshake" --quick
}

# Some tests only: no more than they need is built.
run_selected()
{
	unit_tests build
	wire_tests build
	[ -z "$fast" ] || return
	step build-asan || return
	unit_tests build-asan
	TANDEM_SLOW=1 wire_tests build-asan
}

run_all()
{
	local early=(lint build-asan build-race) late=(fuzz build-sim)
	if ! install_missing "${BUILD_PACKAGES[@]}" "${LAB_PACKAGES[@]}" "${TEST_PACKAGES[@]}"; then
		tap_one "$RESULTS/packages.tap" "installation of missing packages" 1
		return
	fi
	check build-gcc build build || return
	if [ "${#patterns[@]}" -gt 0 ]; then
		run_selected
		return
	fi
	[ -z "$fast" ] || early=(lint)
	behind early "${early[@]}"
	unit_tests build
	wire_tests build
	joined early "${early[@]}"
	alone
	if [ -n "$fast" ]; then
		step build-sim
		simulation_scripts build
		return
	fi
	races
	unit_tests build-asan
	behind late "${late[@]}"
	TANDEM_SLOW=1 wire_tests build-asan
	joined late "${late[@]}"
	check build-asan-sim supervised "$SIM_TIMEOUT_S" "$ROOT/build-asan/tests/sim/sim" --seeds 500 --jobs "$(nproc)"
	simulation_scripts build
	simulation_scripts build-asan
}

export STARTED=${STARTED:-$(date +%s)}
case ${1-} in
--lane)
	# Where sessions are weighed against each other (sched(7), autogroup), and where they are not.
	echo 19 2>/dev/null >/proc/self/autogroup
	renice -n 19 -p $$ >/dev/null
	shift
	trap end EXIT
	trap 'exit 143' TERM
	for each; do step "$each"; done
	exit
	;;
--unit)
	unit_test "$2" "$3"
	exit
	;;
esac
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
run_all
say "all done"
/usr/bin/python3 -B "$ROOT/scripts/tap-summary.py" "${taps[@]}"
