# SPDX-License-Identifier: BSD-3-Clause
# Shared by the scripts, which source it: what they need from Debian, and how they build.

ROOT=$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd)

BUILD_PACKAGES=(
	build-essential meson ninja-build pkg-config
	libdpdk-dev libipsec-mb-dev libconfig-dev libjansson-dev libmnl-dev libssl-dev libcriterion-dev
)
# The lab: namespaces, links, traffic.
LAB_PACKAGES=(python3 iproute2 iputils-ping ethtool nftables procps util-linux python3-cryptography)
# libclang-rt has libFuzzer.
FUZZ_PACKAGES=(clang libclang-rt-dev)
TEST_PACKAGES=(
	"${FUZZ_PACKAGES[@]}" clang-format gnuplot-nox lua5.3 valgrind python3-scapy tshark
	charon-systemd libcharon-extra-plugins libstrongswan-standard-plugins libstrongswan-extra-plugins
)

need_root()
{
	if [ "$(id -u)" -ne 0 ]; then
		echo "$(basename "$0"): needs network namespaces and apt: run it as root." >&2
		return 1
	fi
}

# install_missing PACKAGE...: asks apt only for what is not there, so that it works offline once all is.
install_missing()
{
	local package missing=()
	for package in "$@"; do
		if [ "$(dpkg-query -W -f '${db:Status-Status}' "$package" 2>/dev/null)" != installed ]; then
			missing+=("$package")
		fi
	done
	[ "${#missing[@]}" -eq 0 ] && return 0
	echo "Installing ${missing[*]}"
	export DEBIAN_FRONTEND=noninteractive
	apt-get -q -o DPkg::Lock::Timeout=120 update >/dev/null &&
		apt-get -q -y -o DPkg::Lock::Timeout=120 install --no-install-recommends "${missing[@]}" >/dev/null
}

# build DIRECTORY [MESON_OPTION...]: configures the directory under the repository if need be, and builds.
build()
{
	local directory=$ROOT/$1
	shift
	if [ ! -f "$directory/build.ninja" ]; then
		# What an interrupted configuration left would be taken for a configured directory.
		rm -rf "$directory/meson-private" "$directory/meson-info"
		meson setup "$directory" "$ROOT" "$@" || return
	fi
	ninja -C "$directory"
}

# quietly LOG COMMAND...: runs the command; shows its output only when it fails.
quietly()
{
	local log=$1 status
	shift
	mkdir -p "$(dirname "$log")"
	"$@" >"$log" 2>&1
	status=$?
	if [ "$status" -ne 0 ]; then
		tail -n 60 "$log" >&2
		echo "(all of it: $log)" >&2
	fi
	return "$status"
}
