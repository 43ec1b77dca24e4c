#!/bin/bash
# SPDX-License-Identifier: BSD-3-Clause
# Installs what is missing, builds the fuzzers of tests/fuzz with clang, AddressSanitizer and UndefinedBehaviorSanitizer, and
# runs them.
#
#   scripts/fuzz.sh [--seconds N] [--keep] [PATTERN...]
#
# Each runs for N seconds (60), or until it finds something: the input lies in build-fuzz/findings then, and the exit
# status is 1. It starts from tests/fuzz/corpus and from what earlier runs have left in build-fuzz/corpus. --keep brings
# the smallest inputs that reach everything that was reached into tests/fuzz/corpus. With PATTERNs only fuzzers run whose
# name contains one of them. Once more with an input: build-fuzz/tests/fuzz/fuzz_NAME FILE.
set -uo pipefail
. "$(dirname "${BASH_SOURCE[0]}")/lib.sh"

FUZZ=$ROOT/build-fuzz
# Inputs are short; one that takes this long has found something.
INPUT_TIMEOUT_S=20
INPUT_MAX_BYTES=1024
# Memory that the sanitizer does not hand out again: less of it is faster.
export ASAN_OPTIONS="${ASAN_OPTIONS-}:quarantine_size_mb=32"

seconds=60
keep=
patterns=()

usage()
{
	sed -n '3,12s/^# \{0,1\}//p' "${BASH_SOURCE[0]}"
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

build_fuzzers()
{
	local source targets=()
	for source in "$ROOT"/tests/fuzz/fuzz_*.c; do
		targets+=("tests/fuzz/$(basename "$source" .c)")
	done
	[ -f "$FUZZ/build.ninja" ] || CC=clang meson setup "$FUZZ" "$ROOT" -Dfuzz=true || return
	ninja -C "$FUZZ" "${targets[@]}"
}

# fuzz NAME
fuzz()
{
	local program=$FUZZ/tests/fuzz/$1 kept=$ROOT/tests/fuzz/corpus/$1 found=$FUZZ/corpus/$1 log=$FUZZ/logs/$1.log
	mkdir -p "$found" "$FUZZ/findings" "$FUZZ/logs" "$kept"
	if ! "$program" -max_total_time="$seconds" -max_len="$INPUT_MAX_BYTES" -len_control=0 -timeout="$INPUT_TIMEOUT_S" \
		-artifact_prefix="$FUZZ/findings/$1-" -print_final_stats=1 "$found" "$kept" >"$log" 2>&1; then
		echo "$1: FOUND SOMETHING"
		tail -n 60 "$log"
		echo "(all of it: $log)"
		return 1
	fi
	echo "$1: $(sed -n 's/^stat::number_of_executed_units: *//p' "$log") inputs, nothing found"
	if [ -n "$keep" ]; then
		rm -rf "$FUZZ/kept" && mkdir "$FUZZ/kept" &&
			"$program" -set_cover_merge=1 -use_counters=0 -use_cmp=0 "$FUZZ/kept" "$kept" "$found" >"$log" 2>&1 &&
			rm -rf "$kept" && mv "$FUZZ/kept" "$kept" || return
		echo "$1: keeps $(find "$kept" -type f | wc -l) inputs"
	fi
}

while [ $# -gt 0 ]; do
	case $1 in
	--seconds)
		seconds=${2-}
		if ! [[ $seconds =~ ^[1-9][0-9]*$ ]]; then
			echo "fuzz.sh: --seconds needs a number" >&2
			exit 2
		fi
		shift
		;;
	--keep) keep=1 ;;
	-h | --help)
		usage
		exit 0
		;;
	-*)
		echo "fuzz.sh: unknown option $1" >&2
		usage >&2
		exit 2
		;;
	*) patterns+=("$1") ;;
	esac
	shift
done

install_missing "${BUILD_PACKAGES[@]}" "${FUZZ_PACKAGES[@]}" || exit
mkdir -p "$ROOT/build/logs"
quietly "$ROOT/build/logs/build-fuzz.log" build_fuzzers || exit
status=0
for source in "$ROOT"/tests/fuzz/fuzz_*.c; do
	name=$(basename "$source" .c)
	selected "$name" || continue
	fuzz "$name" || status=1
done
exit "$status"
