#!/bin/bash
# SPDX-License-Identifier: BSD-3-Clause
# Installs what is missing, builds, and shows 30 key rollovers under traffic without a lost packet: keys negotiated by
# IKEv2, with --negotiation onertt in one round trip, or with --injected given by a controller. Options are those of rollover.py, e.g. --rollovers 100.
set -uo pipefail
. "$(dirname "${BASH_SOURCE[0]}")/lib.sh"

child=

# The Python program takes the lab down; it is told, and waited for, however this script ends.
end()
{
	trap '' INT TERM HUP
	if [ -n "$child" ]; then
		kill -TERM "$child" 2>/dev/null
		wait "$child" 2>/dev/null
	fi
}
trap end EXIT
trap 'exit 130' INT
trap 'exit 143' TERM
trap 'exit 129' HUP

need_root || exit 1
install_missing "${BUILD_PACKAGES[@]}" "${LAB_PACKAGES[@]}" || exit 1
echo "Building."
quietly "$ROOT/build/logs/demo-build.log" build build || exit 1

# In the background, because bash runs a trap only after a foreground command ended.
/usr/bin/python3 -B "$ROOT/scripts/rollover.py" "$@" &
child=$!
wait "$child"
status=$?
child=
exit "$status"
