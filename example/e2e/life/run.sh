#!/usr/bin/env bash
# Plays the life of a page: run.sh [ENGINE...], of chromium, firefox and webkit. Installs the
# dependencies on Debian. ALL=1 runs each test in each engine; AWAY is the time in seconds for
# which the hub is away, 20 by default.
set -euo pipefail
cd "$(dirname "$0")"

need() { # COMMAND PACKAGE...
	command -v "$1" >/dev/null || { apt-get update && apt-get install -y "${@:2}"; }
}

engines=${*:-chromium firefox}
need npm nodejs npm
need nginx nginx-light
for engine in $engines; do
	case $engine in
	chromium) need chromium chromium ;;
	firefox) need firefox-esr firefox-esr ;;
	webkit) need WebKitWebDriver webkit2gtk-driver && need Xvfb xvfb ;;
	*) echo "unknown engine $engine" >&2 && exit 2 ;;
	esac
done
npm ci --no-audit --no-fund --prefix ..
programs=$(mktemp -d)
trap 'rm -rf "$programs"' EXIT
export LIFE=$programs/server
go build -o "$LIFE" ./server

failed=0
play() { # ENGINE FILE...
	printf '\n== %s: %s\n' "$1" "${*:2}"
	ENGINE=$1 node --test --test-reporter=spec --test-concurrency=2 "${@:2}" || failed=1
}
play node clients.test.mjs
for engine in $engines; do
	case ${ALL:+all}$engine in
	all* | webkit) play "$engine" page.test.mjs line.test.mjs return.test.mjs nginx.test.mjs ;;
	chromium) play "$engine" page.test.mjs line.test.mjs nginx.test.mjs ;;
	firefox) play "$engine" page.test.mjs return.test.mjs nginx.test.mjs ;;
	esac
done
exit $failed
