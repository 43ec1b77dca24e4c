#!/bin/bash
# SPDX-License-Identifier: BSD-3-Clause
# Installs what is missing, builds, and keeps gateways at something for long.
#
#   scripts/soak.sh rekey [--count N] [--life-ms MS] [--control-loss PERCENT]
#   scripts/soak.sh sim [--hours H] [--first SEED]
#   scripts/soak.sh flood [--count N] [--rate N] [--kind first|peer|session]
#
# rekey: N (1000) rollovers of keys that live for 100 ms, with 20 % of the IKE messages lost, and traffic both ways.
# Ends with the table of the demo and exit status 0 only if no packet was lost.
# sim: whole gateways under a seeded network and a virtual clock, seed by seed for H hours (8), from SEED (a random
# one) on. Ends at the first seed that fails, with the command that repeats it.
# flood: N (60) rollovers of keys that were negotiated in one round trip, while the responder gets N (100,000) first
# messages a second from forged addresses; or from its peer's, or of sessions that are not there. Ends as rekey does.
set -uo pipefail

usage()
{
	sed -n '5,15s/^# \{0,1\}//p' "${BASH_SOURCE[0]}" >&2
	exit 2
}

# sim HOURS SEED
simulate()
{
	local jobs end first=$2 done=0 chunk=2000
	jobs=$(nproc)
	install_missing "${BUILD_PACKAGES[@]}" || exit 2
	cd "$ROOT" || exit 2
	{ [ -d build ] || meson setup build; } && ninja -C build tests/sim/sim || exit 2
	end=$(($(date +%s) + $(awk -v hours="$1" 'BEGIN { printf "%d", hours * 3600 }')))
	while [ "$(date +%s)" -lt "$end" ]; do
		build/tests/sim/sim --seeds "$chunk" --first "$first" --jobs "$jobs" || exit 1
		first=$((first + chunk))
		done=$((done + chunk))
		echo "$done seeds are good, the last one $((first - 1))"
	done
}

if [ "${1:-}" = sim ]; then
	. "$(dirname "${BASH_SOURCE[0]}")/lib.sh"
	shift
	hours=8 first=$(od -An -N4 -tu4 /dev/urandom | tr -d ' ')
	while [ $# -gt 0 ]; do
		case $1 in
		--hours) hours=${2:?--hours needs a number} ;;
		--first) first=${2:?--first needs a number} ;;
		*) usage ;;
		esac
		shift 2
	done
	simulate "$hours" "$first"
	exit 0
fi
kind=${1:-}
case $kind in
rekey) options=(--rollovers 1000 --life-ms 100 --control-loss 20) ;;
flood) options=(--negotiation onertt --rollovers 60 --flood 100000) ;;
*) usage ;;
esac
shift
while [ $# -gt 0 ]; do
	case $kind$1 in
	rekey--count | flood--count) options+=(--rollovers "${2:?--count needs a number}") ;;
	rekey--life-ms | rekey--control-loss) options+=("$1" "${2:?$1 needs a number}") ;;
	flood--rate) options+=(--flood "${2:?--rate needs a number}") ;;
	flood--kind) options+=(--flood-kind "${2:?--kind needs a word}") ;;
	*) usage ;;
	esac
	shift 2
done
exec "$(dirname "${BASH_SOURCE[0]}")/demo.sh" "${options[@]}"
