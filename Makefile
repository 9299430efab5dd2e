# GNU make. `make` alone prints what there is; the work is done by scripts/ and go.

VERSION    := $(shell git describe --tags --always --dirty 2>/dev/null || echo dev)
# The distribution's own Postgres is what `make test` uses; these are the others.
POSTGRES   := 14 16 17 18
# The packages whose tests talk to Postgres.
ON_POSTGRES := ./integration/... ./pgtemp/... ./replication/...
# What the matrix runs on every push: the types, one walk through everything, and what
# only newer versions can do.
QUICK      := TestTypes|TestSmoke|TestFailover|TestSlotIdleTimeout|TestFilterDifferential
FUZZTIME   := 10s
# How long `make torture` goes on.
TORTURE    := 10m
# Flags of `make bench`: go run ./bench -h lists them.
BENCH      :=

# -count=1: go keeps the results of tests, but does not see that the program under
# test in integration/, which is built and started by them, has changed.
# -parallel: tests wait for Postgres more than for a processor, of which CI has two.
GOTEST := go test -race -count=1 -timeout 20m -parallel 3

.DEFAULT_GOAL := help
.PHONY: help
help: ## print this list
	@awk -F ':.*## ' '/^[a-z-]+:.*## / { printf "  make %-18s %s\n", $$1, $$2 }' $(MAKEFILE_LIST)

.PHONY: deps
deps: ## install what the tests need and is missing: Postgres, Chromium, a C compiler, Express, Django, nginx
	@scripts/deps postgres chromium cc express django nginx

.PHONY: build
build: ## build bin/walrelay: static, with the version from git
	CGO_ENABLED=0 go build -trimpath -ldflags '-s -w -X main.version=$(VERSION)' -o bin/walrelay .

.PHONY: test
test: deps ## run all tests: unit, conformance, integration with Postgres and a browser
	go vet ./...
	$(GOTEST) ./...

# Not with -race: the harness leaves the machine to walrelay, which is built with the
# race detector here too. No timeout: every wait within has its own.
.PHONY: torture
torture: deps ## kill walrelay and Postgres for TORTURE (10m), compare what subscribers got
	WALRELAY_TORTURE=$(TORTURE) go test -count=1 -timeout 0 -v -run '^TestTorture$$' ./integration

.PHONY: test-matrix
test-matrix: deps ## run the tests that talk to Postgres on 14, 16, 17 and 18
	@scripts/deps npm
	scripts/test-matrix '$(POSTGRES)' $(GOTEST) $(ON_POSTGRES)

.PHONY: test-matrix-quick
test-matrix-quick: deps ## run the types, a smoke test and failovers on 14, 16, 17 and 18
	@scripts/deps npm
	scripts/test-matrix '$(POSTGRES)' $(GOTEST) -run '$(QUICK)' ./integration/...

.PHONY: lint
lint: ## run gofmt, go vet, staticcheck and errcheck
	@scripts/lint

.PHONY: bench
bench: ## measure beside Postgres' own consumer, a bare epoll server and nchan: ratios (BENCH='-only fanout')
	@scripts/deps postgres
	@scripts/deps nchan || echo 'bench: without nchan'
	go run ./bench $(BENCH)

.PHONY: demo
demo: ## start a throw-away Postgres, a demo application and walrelay
	@scripts/deps postgres
	@$(MAKE) --no-print-directory --silent build
	@exec bin/walrelay demo

.PHONY: fuzz
fuzz: ## run every fuzz test for FUZZTIME (10s)
	scripts/fuzz $(FUZZTIME)

.PHONY: clean
clean: ## remove what was built and downloaded here
	rm -rf bin .cache
