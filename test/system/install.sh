#!/bin/sh
# Installs the Debian packages that the system tests drive: a browser, fonts for it, brokers, and Prometheus' tool.
# Promise: does nothing when all are there; never asks; starts none of their services; one clear line when it cannot
# install them.
set -eu

missing=""
need() { # command, packages
  command -v "$1" >/dev/null 2>&1 || missing="$missing $2"
}
need chromium "chromium fonts-liberation fonts-dejavu-core"
need mosquitto "mosquitto"
need rabbitmq-server "rabbitmq-server"
need promtool "prometheus"
need pg_lsclusters "postgresql"
need socat "socat"
need gcc "gcc libc6-dev"
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
# The tests start brokers and databases themselves, as processes of their own: no package starts a service here.
policy=/usr/sbin/policy-rc.d
if [ ! -e "$policy" ]; then
  trap 'rm -f "$policy"' EXIT
  printf '#!/bin/sh\nexit 101\n' >"$policy"
  chmod 755 "$policy"
fi
apt-get update -q
# shellcheck disable=SC2086
apt-get install -q -y --no-install-recommends $missing
