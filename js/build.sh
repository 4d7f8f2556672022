#!/usr/bin/env bash
# Writes the modules that js.Handler serves, bundled and minified, to js/dist.
# "build.sh -check" writes nothing, and fails if js/dist has other contents.
set -euo pipefail
cd "$(dirname "$0")"
out=$(mktemp -d)
trap 'rm -r "$out"' EXIT

bundle() {
	go run github.com/evanw/esbuild/cmd/esbuild@v0.25.12 "$@" --log-level=warning \
		--bundle --minify --format=esm --target=es2022 --packages=external --outdir="$out"
}

# The core is one file; it imports blocked.js only when it needs it. The other modules share the core.
bundle rohrpost.js --external:./blocked.js
bundle blocked.js view.js fetch.js names.js react.js vue.js svelte.js testing.js --external:./rohrpost.js

if [ "${1-}" = -check ]; then
	diff -rq dist "$out" || { echo "js/dist is stale: run make dist" >&2; exit 1; }
else
	rm -rf dist && mkdir dist && cp "$out"/*.js dist/
fi
