#!/usr/bin/env bash
# Installs the proxies and the pooler that the tests of several nodes start, where they are absent.
set -euo pipefail

for program in nginx caddy pgbouncer; do
	if ! command -v $program >/dev/null && ! [ -x /usr/sbin/$program ]; then
		apt-get update && apt-get install -y $program
	fi
done
