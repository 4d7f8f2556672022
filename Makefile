# Tools are pinned here and run from their module, never required by go.mod.
GOFUMPT     := go run mvdan.cc/gofumpt@v0.9.2
STATICCHECK := go run honnef.co/go/tools/cmd/staticcheck@v0.7.0
COUNT       ?= 50
FUZZTIME    ?= 30s
RESUMES     ?= 100000

.PHONY: help run test check js integration race schedules faults fuzz bench bench-peers e2e life screenshot fmt

help: ## show this list
	@grep -E '^[a-z0-9]+:.*##' $(MAKEFILE_LIST) | sed -E 's/:.*## /\t/' | expand -t 8

run: ## start the example, a shared task board, and print its address
	@echo "Building the example. The first build also compiles SQLite, which takes one to two minutes."
	@go run ./example

test: ## run all tests of the library and the example (Go and a C compiler)
	go test -race -shuffle=on -timeout 20m ./...

check: ## formatting, vet, staticcheck and tidiness of all modules
	@test -z "$$($(GOFUMPT) -l .)" || { $(GOFUMPT) -d .; exit 1; }
	go vet ./... && $(STATICCHECK) ./... && go mod tidy -diff
	cd internal/integration && go vet ./... && $(STATICCHECK) ./... && go mod tidy -diff
	cd bench && go vet ./... && $(STATICCHECK) ./... && go mod tidy -diff

js: ## run the tests of the JavaScript client (installs Node.js)
	js/test/run.sh

integration: ## the suites of all writes on PostgreSQL, MariaDB and SQLite; a service that is absent is skipped
	cd internal/integration && go test -race -shuffle=on -timeout 20m ./...

race: ## repeat the tests COUNT times, also by the way that sockets take which may wait
	go test -race -shuffle=on -short -count=$(COUNT) -timeout 60m ./...
	go test -race -shuffle=on -short -count=$(COUNT) -timeout 60m . -portable

schedules: ## play RESUMES random schedules of resuming, and ten times fewer of the hub alone
	go test -run '^(TestResume|TestSchedules)$$' -resumes $(RESUMES) -schedules $$(($(RESUMES) / 10)) -timeout 60m .

faults: ## 1,000 connections that break for a minute, 100 kills of a server under load; prints figures
	go test -count=1 -v -timeout 15m -run 'TestJitter|TestKilled' ./internal/faults \
		-jitter-duration 60s -jitter-conns 1000 -jitter-rate 200 -kills 100

fuzz: ## run each fuzz target for FUZZTIME
	@for target in FuzzRequest FuzzGroupName FuzzPattern FuzzWant; do \
		go test -run '^$$' -fuzz "^$$target\$$" -fuzztime $(FUZZTIME) . || exit 1; done

bench: ## measure what doc/BENCHMARKS.md shows
	go test -run '^$$' -bench '^BenchmarkPlugin$$' -benchtime 400x .
	go test -run '^$$' -bench '^BenchmarkFanout$$' -benchtime 200x -count 3 .
	go test -run '^$$' -bench '^BenchmarkWrite$$' -benchtime 300x -count 5 .
	go test -run '^$$' -bench '^BenchmarkIdle$$' -benchtime 1x -count 3 .
	go test -run '^$$' -bench '^BenchmarkRequests$$' -cpu 1 -count 5 .
	cd internal/integration && go test -run '^$$' -bench '^BenchmarkUpdates$$' -benchtime 50x -timeout 30m .
	cd internal/integration && go test -run '^$$' -bench '^BenchmarkEndToEnd$$' -benchtime 1000x -timeout 30m .
	cd internal/integration && go test -run '^$$' -bench '^BenchmarkLocks$$' -benchtime 2x -timeout 60m .

bench-peers: ## this hub beside its peers, into doc/BENCHMARKS.md; QUICK=1 for less of it, and only to look at
	@! command -v npm >/dev/null || npm ci --silent --prefix bench/node
	cd bench && go run . $(if $(QUICK),-quick,-write)

e2e: ## test the example in headless Chromium (installs Chromium and playwright-core)
	example/e2e/run.sh

life: ## play the life of a page in ENGINES, Chromium and Firefox by default, or webkit (installs them)
	example/e2e/life/run.sh $(ENGINES)

screenshot: ## take the screenshot of the example for the README
	example/e2e/run.sh screenshot.mjs ../../doc/board.png

fmt: ## format all Go files
	$(GOFUMPT) -w .
