#!/bin/sh
# Installs the Debian packages that the system tests drive: a browser, fonts for it, a broker, and Prometheus' tool.
# Promise: does nothing when all are there; never asks; one clear line when it cannot install them.
set -eu

missing=""
need() { # command, packages
  command -v "$1" >/dev/null 2>&1 || missing="$missing $2"
}
need chromium "chromium fonts-liberation fonts-dejavu-core"
need mosquitto "mosquitto"
need promtool "prometheus"
need pg_lsclusters "postgresql"
need socat "socat"
/usr/bin/python3 -c "import pymodbus.server" 2>/dev/null || missing="$missing python3-pymodbus python3-serial-asyncio"
need debootstrap "debootstrap"
need systemd-nspawn "systemd-container"
[ -n "$missing" ] || exit 0

if ! command -v apt-get >/dev/null 2>&1; then
  echo "system tests: expected the commands chromium, mosquitto and pg_lsclusters on PATH; install:$missing" >&2
  exit 1
fi
if [ "$(id -u)" -ne 0 ]; then
  echo "system tests: missing packages; run as root: apt-get install -y --no-install-recommends$missing" >&2
  exit 1
fi
export DEBIAN_FRONTEND=noninteractive
apt-get update -q
# shellcheck disable=SC2086
apt-get install -q -y --no-install-recommends $missing
