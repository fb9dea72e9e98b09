#!/usr/bin/env bash
# Installs the Debian packages of scripts/packages.txt that are missing. Asks
# apt only when one is, so that a second run takes no time. Uses sudo when not
# root.
set -euo pipefail
cd "$(dirname "$0")/.."

mapfile -t wanted < <(grep -v '^#' scripts/packages.txt)
missing=()
for package in "${wanted[@]}"; do
  status=$(dpkg-query -W -f='${Status}' "$package" 2>/dev/null || true)
  [[ $status == "install ok installed" ]] || missing+=("$package")
done
[[ ${#missing[@]} -eq 0 ]] && exit 0

sudo=()
[[ $(id -u) -eq 0 ]] || sudo=(sudo)
echo "setup: installing ${#missing[@]} Debian packages: ${missing[*]}"
"${sudo[@]}" apt-get -qq update
DEBIAN_FRONTEND=noninteractive "${sudo[@]}" apt-get -qq install -y \
  --no-install-recommends "${missing[@]}" >/dev/null
