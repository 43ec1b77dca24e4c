#!/bin/bash
# SPDX-License-Identifier: BSD-3-Clause
# Installs what is missing, builds, and keeps two gateways at something for long.
#
#   scripts/soak.sh rekey [--count N] [--life-ms MS] [--control-loss PERCENT]
#
# rekey: N (1000) rollovers of keys that live for 100 ms, with 20 % of the IKE messages lost, and traffic both ways.
# Ends with the table of the demo and exit status 0 only if no packet was lost.
set -uo pipefail

usage()
{
	sed -n '5,8s/^# \{0,1\}//p' "${BASH_SOURCE[0]}" >&2
	exit 2
}

[ "${1:-}" = rekey ] || usage
shift
options=(--rollovers 1000 --life-ms 100 --control-loss 20)
while [ $# -gt 0 ]; do
	case $1 in
	--count) options+=(--rollovers "${2:?--count needs a number}") ;;
	--life-ms | --control-loss) options+=("$1" "${2:?$1 needs a number}") ;;
	*) usage ;;
	esac
	shift 2
done
exec "$(dirname "${BASH_SOURCE[0]}")/demo.sh" "${options[@]}"
