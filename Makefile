# Tools are pinned here and run from their module, never required by go.mod.
GOFUMPT     := go run mvdan.cc/gofumpt@v0.9.2
STATICCHECK := go run honnef.co/go/tools/cmd/staticcheck@v0.7.0

# SMALL=1 gives the campaigns small counts, as .ci/run does.
COUNT     ?= $(if $(SMALL),2,50)
PROGRAMS  ?= $(if $(SMALL),1000,10000)
VIEWS     ?= $(if $(SMALL),300,3000)
BURSTS    ?= $(if $(SMALL),1000,20000)
RESUMES   ?= $(if $(SMALL),10000,100000)
SCHEDULES ?= $(if $(SMALL),2000,10000)
FUZZTIME  ?= $(if $(SMALL),5s,30s)
FAULTS    ?= $(if $(SMALL),-network-duration 10s -network-conns 200 -kills 10,-network-duration 60s -network-conns 1000 -kills 100)
ATTACK    ?= $(if $(SMALL),2s,10s)
ISOLATION ?= 1000000
NAMES     ?= $(if $(SMALL),100000,1000000)
PLATFORMS ?= windows/amd64 linux/386 js/wasm $(if $(SMALL),,darwin/arm64 freebsd/amd64 linux/arm64)
FILES     ?= all
EVERY     ?= $(if $(SMALL),8,1)
ENGINES   ?= chromium firefox $(if $(SMALL),,webkit)
KILLS     ?= $(if $(SMALL),2,100)

# long runs a test with flags that make it long: $(call long,FOLDER,TEST,FLAGS).
long = cd $(1) && go test -count=1 -timeout 60m -run '^$(2)$$' $(3)

ENGINE_FAULTS ?= $(if $(SMALL),1,20)
PARTITIONS    ?= $(if $(SMALL),2,300)
ROLLING       ?= $(if $(SMALL),,-pages 2000 -rounds 50)

# The modules besides the root, those of adapters apart.
ADAPTERS := redisbroker sqlbroker natsbroker
MODULES  := internal/integration internal/integration/drivers bench doc/broker-example doc/token-example outbox example/nodes $(ADAPTERS)

CAMPAIGNS := portable mutants programs schedules isolation burst race fuzz faults integration bursts js e2e life nodes abuse

.PHONY: help run quick test check campaign $(CAMPAIGNS) abuse-table drivers dist structure bench bench-defences bench-compare bench-updates bench-nodes screenshot fmt

help: ## show this list
	@grep -E '^[a-z0-9-]+:.*##' $(MAKEFILE_LIST) | sed -E 's/:.*## /\t/' | expand -t 14

run: ## start the example, a shared task board, and print its address; NODES=2 BROKER=sql (or redis, nats) starts instances behind a proxy
	@echo "Building the example. The first build also compiles SQLite, which takes one to two minutes."
	@$(if $(NODES),cd example/nodes && go build -o ../../bin/nodes . && exec ../../bin/nodes -nodes $(NODES) -broker $(or $(BROKER),sql),go run ./example)

quick: ## run the tests without the race detector, while you edit
	go test ./...

test: ## run the tests before a push: with the race detector, vet and formatting
	@test -z "$$($(GOFUMPT) -l .)" || { $(GOFUMPT) -d .; exit 1; }
	go vet ./...
	go test -race -shuffle=on -timeout 10m ./...

check: ## check formatting, vet, staticcheck and tidiness of all modules, and that js/dist is not stale
	@test -z "$$($(GOFUMPT) -l .)" || { $(GOFUMPT) -d .; exit 1; }
	go vet ./... && $(STATICCHECK) ./... && go mod tidy -diff
	@for m in $(MODULES); do echo "$$m"; (cd $$m && go vet ./... && $(STATICCHECK) ./... && go mod tidy -diff) || exit 1; done
	js/build.sh -check

campaign: ## run all long tests below one after another; SMALL=1 runs them with small counts
	@began=$$(date +%s); for step in $(CAMPAIGNS); do \
		printf '\n== make %s (%s)\n' $$step "$$(date +%T)"; start=$$(date +%s); \
		$(MAKE) --no-print-directory $$step || exit 1; \
		echo "== make $$step took $$(($$(date +%s) - start)) s"; done; \
	echo "== the campaign took $$(($$(date +%s) - began)) s"

portable: ## vet the library and its tests for other platforms
	@for p in $(PLATFORMS); do echo "$$p"; CGO_ENABLED=0 GOOS=$${p%/*} GOARCH=$${p#*/} go vet ./... || exit 1; done

mutants: ## check that tests catch planted faults; FILES=writer.go tries those of one file, EVERY=4 a sample
	@$(call long,internal/mutants,TestMutantsAreCaught,-files $(FILES) -every $(EVERY))

programs: ## compare PROGRAMS random programs of writes with what they should send, and the pages of views after VIEWS commits with the database
	$(call long,internal/writetest,TestPrograms,-race -programs $(PROGRAMS))
	$(call long,.,TestPagesOfViews,-race -view-commits $(VIEWS))

schedules: ## play RESUMES random schedules of resuming, and SCHEDULES of the hub alone
	$(call long,.,(TestResume|TestSchedules),-resumes $(RESUMES) -schedules $(SCHEDULES))

burst: ## publish 60 MB at once to clients in another process, which all must stay connected
	$(call long,.,TestBurst,-burst 1000 -count $(COUNT))

isolation: ## deliver ISOLATION messages to pages of 20 tenants whose rights come and go, and look for leaks
	$(call long,.,TestIsolation,-v -isolation-deliveries $(ISOLATION))
	$(call long,.,TestRevokeSchedules,-revocations $(if $(SMALL),200,5000))

race: ## repeat the tests COUNT times, also with sockets that may wait
	go test -race -shuffle=on -short -count=$(COUNT) -timeout 60m ./...
	go test -race -shuffle=on -short -count=$(COUNT) -timeout 60m . -portable

fuzz: ## run each fuzz target for FUZZTIME
	@for target in wire.FuzzRequest wire.FuzzSplitObject wire.FuzzGroupName wire.FuzzPattern wire.FuzzFormat wire.FuzzFormatParts wire.FuzzEscape notify.FuzzTag; do \
		go test -run '^$$' -fuzz "^$${target#*.}\$$" -fuzztime $(FUZZTIME) ./internal/$${target%.*} || exit 1; done
	@go test -run '^$$' -fuzz '^FuzzCodec$$' -fuzztime $(FUZZTIME) ./internal/upstream
	@go test -run '^$$' -fuzz '^FuzzParseSubscribe$$' -fuzztime $(FUZZTIME) ./handlers
	@go test -run '^$$' -fuzz '^FuzzPosition$$' -fuzztime $(FUZZTIME) ./handlers
	@go test -run '^$$' -fuzz '^FuzzFrames$$' -fuzztime $(FUZZTIME) ./internal/frames
	@cd outbox && go test -run '^$$' -fuzz '^FuzzDecode$$' -fuzztime $(FUZZTIME) .

faults: ## break connections for a minute, and kill a server under load 100 times; print figures
	$(call long,internal/faults,(TestNetworkFaults|TestKilled).*,-v $(FAULTS))

integration: ## run the suites of writes on PostgreSQL, MariaDB and SQLite, and brokertest on Redis; skip services that are absent
	cd internal/integration && go test -race -shuffle=on -timeout 60m . -programs $(PROGRAMS)
	cd doc/broker-example && go test -race -shuffle=on ./...
	cd doc/token-example && go test -race -shuffle=on ./...

drivers: ## run the suites of writes on SQLite with drivers that need no C compiler; a minute, and two to compile them
	cd internal/integration/drivers && go test -timeout 60m . -programs $(PROGRAMS)

bursts: ## let eight writers write the same rows BURSTS times on each database, and compare the order
	$(call long,internal/integration,TestBursts,-timeout 24h -bursts $(BURSTS))

dist: ## bundle and minify the JavaScript client, which js.Handler serves
	js/build.sh

abuse: ## attack a hub from another process for ATTACK each, without and with each defence; print figures
	$(call long,internal/abuse,TestAttacks,-v -attack $(ATTACK))
	$(call long,internal/history,TestMemoryComesBack,-v -groups $(NAMES))

abuse-table: ## make each attack RUNS times for ATTACK on a processor of its own, and write the medians into doc/SECURITY.md; ATTACK=4s RUNS=3 take about 17 minutes
	$(call long,internal/abuse,TestAttacks,-v -attack $(ATTACK) -timeout 3h -runs $(or $(RUNS),5) -pin -write)

js: ## run the tests of the JavaScript client (installs Node.js)
	js/test/run.sh

e2e: ## test the example in headless Chromium (installs Chromium and playwright-core)
	example/e2e/run.sh

life: ## play the life of a page in ENGINES (installs Chromium, Firefox and WebKitGTK)
	example/e2e/life/run.sh $(ENGINES)

nodes: ## test the adapters and the outbox (installs nginx, Caddy and PgBouncer): each engine fails ENGINE_FAULTS times in each way, its lines PARTITIONS times, KILLS processes are killed on each database
	internal/integration/nodes/install.sh
	@for m in $(ADAPTERS); do echo "$$m"; (cd $$m && go test -race -shuffle=on -parallel 3 -timeout 120m ./... -faults $(ENGINE_FAULTS) -partitions $(PARTITIONS)) || exit 1; done
	cd outbox && go test -race -shuffle=on -timeout 60m ./... -kills $(KILLS)
	cd internal/integration && go test -race -shuffle=on -timeout 60m ./nodes -kills $(KILLS)
	cd example/nodes && go test -race -timeout 60m ./... $(ROLLING)

structure: ## print the packages of the module: files, lines, cycles of files, imports
	@go test -count=1 -run '^TestStructure' -v .

bench: ## measure what doc/BENCHMARKS.md shows
	go test -run '^$$' -bench '^BenchmarkPlugin$$' -benchtime 400x .
	go test -run '^$$' -bench '^BenchmarkFanout$$' -benchtime 200x -count 3 .
	go test -run '^$$' -bench '^BenchmarkWrite$$' -benchtime 300x -count 5 ./internal/fanout
	go test -run '^$$' -bench '^BenchmarkDeliver$$' -count 3 ./internal/fanout
	go test -run '^$$' -bench '^BenchmarkPublishToOne$$' -count 3 .
	go test -run '^$$' -bench '^BenchmarkSubscribe$$' .
	go test -run '^$$' -bench '^BenchmarkIdle$$' -benchtime 1x -count 3 .
	go test -run '^$$' -bench '^BenchmarkRequests$$' -cpu 1 -count 5 .
	cd internal/integration && go test -run '^$$' -bench '^BenchmarkCosts$$' -benchtime 60x -timeout 10m .
	cd internal/integration && go test -run '^$$' -bench '^BenchmarkUpdates$$' -benchtime 50x -timeout 30m .
	cd internal/integration && go test -run '^$$' -bench '^BenchmarkEndToEnd$$' -benchtime 1000x -timeout 30m .
	cd internal/integration && go test -run '^$$' -bench '^BenchmarkLocks$$' -benchtime 2x -timeout 60m .
	cd outbox && go test -run '^$$' -bench . -benchtime 200x -timeout 60m .

bench-defences: ## measure what all defences together cost: each benchmark with the default Limits and without limits, by turns
	go test -run '^TestCostOfDefences$$' -count 1 -timeout 60m -v . -defences $(or $(ROUNDS),9)

bench-compare: ## compare rohrpost with other WebSocket servers and write the results to doc/BENCHMARKS.md; QUICK=1 only prints a short run
	@! command -v npm >/dev/null || npm ci --silent --prefix bench/node
	cd bench && go run . $(if $(QUICK),-quick,-write)

bench-updates: ## race servers from the request that updates a row to the last page, and write the results to doc/BENCHMARKS.md; QUICK=1 only prints a short run
	cd bench && go run . updates $(if $(QUICK),-quick,-write)

bench-nodes: ## compare hubs that share Redis, NATS or PostgreSQL with one hub and with centrifuge on Redis, and write the results to doc/BENCHMARKS.md; QUICK=1 only prints a short run
	cd bench && go run . nodes $(if $(QUICK),-quick,-write)

screenshot: ## take the screenshot of the example for the README
	example/e2e/run.sh screenshot.mjs ../../doc/board.png

fmt: ## format all Go files
	$(GOFUMPT) -w .
