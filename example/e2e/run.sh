#!/usr/bin/env bash
# Drives the example in headless Chromium; installs what it needs on Debian.
set -euo pipefail
cd "$(dirname "$0")"
if ! command -v chromium >/dev/null; then
	apt-get update && apt-get install -y chromium
fi
if ! command -v npm >/dev/null; then
	apt-get update && apt-get install -y nodejs npm
fi
npm ci --no-audit --no-fund
node --test board.e2e.mjs
