#!/usr/bin/env bash
# Runs the tests of the client; installs their dependencies on Debian.
set -euo pipefail
cd "$(dirname "$0")/.."
if ! command -v npm >/dev/null; then
	apt-get update && apt-get install -y nodejs npm
fi
npm ci --no-audit --no-fund
npm test
