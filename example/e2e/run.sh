#!/usr/bin/env bash
# Tests the example in headless Chromium; installs the dependencies on Debian.
# run.sh FILE [ARGUMENT...] runs this file instead of all tests.
set -euo pipefail
cd "$(dirname "$0")"
if ! command -v chromium >/dev/null; then
	apt-get update && apt-get install -y chromium
fi
if ! command -v npm >/dev/null; then
	apt-get update && apt-get install -y nodejs npm
fi
npm ci --no-audit --no-fund
programs=$(mktemp -d)
trap 'rm -rf "$programs"' EXIT
go build -o "$programs/" .. ./tokens
export BOARD=$programs/example TOKENS=$programs/tokens
if [ $# -gt 0 ]; then
	node "$@"
else
	node --test --test-concurrency=1 ./*.e2e.mjs # parallel tests would slow each other down
fi
