# Everything that is done to this tree is a target here; `make` alone lists them.
# Needed: Go. For `make test` also Node.js 20 and a C compiler; the recipes say so.

SHELL         := bash
.SHELLFLAGS   := -eu -o pipefail -c
MAKEFLAGS     += --no-builtin-rules
.DEFAULT_GOAL := help
.DELETE_ON_ERROR:
.NOTPARALLEL: # each recipe uses all cores by itself

# Tools that are fetched, pinned here and nowhere else. Go and the modules are
# pinned in go.mod, Azurite in package.json. golangci-lint brings the formatters
# and analysers (gofumpt, goimports, staticcheck) with it.
GOLANGCI_LINT_VERSION := v2.15.0
GOVULNCHECK_VERSION   := v1.8.0
NODE_MAJOR            := 20

GOLANGCI_LINT := bin/tools/golangci-lint-$(GOLANGCI_LINT_VERSION)
GOVULNCHECK   := bin/tools/govulncheck-$(GOVULNCHECK_VERSION)
AZURITE       := node_modules/.package-lock.json

# What a person may set: make lab LAB='--scenario first-crashes', make fuzz FUZZTIME=1m.
LAB         ?=
FUZZ        ?= .
FUZZTIME    ?= 10s
MUTATE      ?=
BENCH       ?= .
TESTTIMEOUT ?= 40m
VERSION     ?= $(shell git describe --tags --always --dirty --abbrev=12 2>/dev/null || echo development)

# What the function app runs on; `make start` builds for this machine instead.
APP_OS   := linux
APP_ARCH := amd64

# Packages whose tests write documents and golden files with -update. The stored
# forms of a release that is out are not among them: those never change.
GENERATED := ./internal/announce ./internal/config ./internal/documents ./internal/manifest ./internal/pair

# Without cgo no C compiler is needed; without paths and state of the working
# tree one commit gives the same bytes everywhere. The version is stamped by name.
GO_BUILD := CGO_ENABLED=0 go build -trimpath -buildvcs=false

sources       = $(wildcard cmd handlers internal tools)
packages_with = $(sort $(patsubst %/,./%,$(dir $(shell grep -rlE --include='*_test.go' '$(1)' $(sources)))))

##@ Try it

.PHONY: lab
lab: build ## play a failover in the simulated world: make lab LAB='--scenario NAME'
	bin/tandem lab $(LAB)

.PHONY: build
build: ## build bin/tandem for this machine
	$(GO_BUILD) -ldflags '-X main.version=$(VERSION)' -o bin/tandem ./cmd/tandem

##@ Check it

.PHONY: test
# Some tests build the program as it is deployed; compiled before, that does not
# count against their timeout. They run make as a person does, not as a part of
# this one.
# The race detector makes everything several times slower. It watches the half of
# the shorter stories that has the program in it, a tenth of the random faults, and few of
# the deaths, open questions and fields that drift; without it these are in full.
test: need-cc $(AZURITE) build ## run all tests, with the race detector and in random order
	env -u MAKELEVEL -u MAKEFLAGS CGO_ENABLED=1 go test -race -shuffle=on -timeout $(TESTTIMEOUT) ./...
	go test -run 'TestRandomFaults|TestKillPoints|TestStories|TestEvery|TestAJob' -timeout $(TESTTIMEOUT) ./internal/faults ./internal/story
	go test -run 'CarriedOn' ./internal/control

.PHONY: lint
lint: $(GOLANGCI_LINT) ## run the linters and check the formatting
	$(GOLANGCI_LINT) run ./...

.PHONY: fuzz
# Go 1.26 sometimes calls the end of the time a failure (golang/go#75804). That
# one is told by its words, and by no input that was kept.
fuzz: ## fuzz every target for FUZZTIME (10s) up to the first finding: make fuzz FUZZ=Decode
	@mkdir -p build; echo 'looking for targets'; filter='$(FUZZ)'; targets=(); \
	for package in $(call packages_with,^func Fuzz); do \
		names=$$(go test -list '^Fuzz' "$$package"); \
		for name in $$names; do \
			if [[ $$name == Fuzz* && $$name =~ $$filter ]]; then targets+=("$$package $$name"); fi; \
		done; \
	done; \
	[[ $${#targets[@]} -gt 0 ]] || { echo "no target matches FUZZ=$$filter" >&2; exit 1; }; \
	for at in "$${!targets[@]}"; do \
		read -r package name <<< "$${targets[at]}"; \
		echo "$$((at + 1)) of $${#targets[@]}: $$package $$name for $(FUZZTIME)"; \
		if go test -run '^$$' -fuzz "^$$name\$$" -fuzztime $(FUZZTIME) "$$package" 2>&1 | tee build/fuzz.log; then continue; fi; \
		kept=$$(sed -n 's/^ *Failing input written to //p' build/fuzz.log); \
		if [[ -n $$kept ]]; then \
			echo "$$name failed; the input is kept in $$package/$$kept and is a test from now on" >&2; exit 1; \
		elif ! grep -q '^ *context deadline exceeded$$' build/fuzz.log; then \
			echo "$$name failed without a new input, so the fault was there before" >&2; exit 1; \
		fi; \
		echo "$$name: its time was over, nothing was found"; \
	done; \
	echo "$${#targets[@]} targets, nothing found"

.PHONY: mutate mutate-decide mutate-act
mutate: mutate-decide mutate-act ## count the mistakes in what decides and acts that no test notices: make mutate MUTATE='-n 60'
mutate-decide:
	go run ./tools/mutate -also internal/control $(MUTATE) internal/pair
# What stands between a decision and the outside; the rest of the package looks,
# stores and tells.
mutate-act:
	go run ./tools/mutate $(foreach file,act guard levers lost drift,-only $(file).go) $(MUTATE) internal/control

.PHONY: soak
# The test binary itself gets Ctrl-C, tells what it found, and ends.
soak: ## play random faults until stopped; what is found is kept in internal/faults/found
	go test -c -o build/soak.test ./internal/faults
	cd internal/faults && exec ../../build/soak.test -test.run '^TestSoak$$' -test.timeout 0 -soak

.PHONY: kill-points
kill-points: ## stop each story's pass after every single effect: make kill-points STORY=switchover
	go test -v -run 'TestKillPointsOfStories/$(STORY)' -timeout 0 ./internal/faults -kills

.PHONY: bench
bench: ## run the benchmarks: make bench BENCH=Decide
	@echo "machine: $$(uname -sm), $$(getconf _NPROCESSORS_ONLN) cores," \
		"$$(sed -n '/^model name/ { s/^[^:]*: //p; q; }' /proc/cpuinfo 2>/dev/null || sysctl -n machdep.cpu.brand_string), $$(go env GOVERSION)"
	go test -run '^$$' -bench '$(BENCH)' -benchmem -timeout 30m $(call packages_with,^func Benchmark)

.PHONY: vuln
vuln: $(GOVULNCHECK) ## look for known vulnerabilities in what the program calls
	@status=0; $(GOVULNCHECK) ./... || status=$$?; \
	case $$status in \
		0) ;; \
		3) exit 1 ;; \
		*) echo 'govulncheck could not run, so nothing was checked; is its database reachable?' >&2 ;; \
	esac

.PHONY: smoke
smoke: build ## play the lab's first story at full speed and look only at how it ends
	@mkdir -p build
	bin/tandem lab --list
	bin/tandem lab -o json > build/smoke.json
	@echo 'the story ended as expected: build/smoke.json'

.PHONY: verify
verify: lint test package smoke ## all of what CI runs, and nothing else

##@ Change it

.PHONY: fmt
fmt: $(GOLANGCI_LINT) ## format the Go files
	$(GOLANGCI_LINT) fmt

.PHONY: generate
generate: ## write the generated documents and golden files anew; read the diff
	go test $(GENERATED) -update

##@ Deploy it

.PHONY: app
app: ## stage the function app in build/app, the same bytes every time
	GOOS=$(APP_OS) GOARCH=$(APP_ARCH) $(GO_BUILD) \
		-ldflags '-s -w -buildid= -X main.version=$(VERSION)' -o build/tandem-$(APP_OS)-$(APP_ARCH) ./cmd/tandem
	go run ./tools/package stage build/tandem-$(APP_OS)-$(APP_ARCH) build/app

.PHONY: package
package: app ## zip build/app to build/tandem.zip, the same bytes every time
	go run ./tools/package zip build/app build/tandem.zip

.PHONY: start
start: APP_OS   = $(shell go env GOHOSTOS)
start: APP_ARCH = $(shell go env GOHOSTARCH)
start: need-func $(AZURITE) app ## run the function app on this machine, under Core Tools and Azurite
	cp local.settings.json build/app/
	scripts/start build/app

.PHONY: clean
clean: ## remove what was built; tools and node_modules stay
	rm -rf build bin/tandem

# What the recipes need, and where it comes from.

.PHONY: need-node
need-node:
	@version=$$(node --version 2>/dev/null || true); major=$${version#v}; major=$${major%%.*}; \
	if [[ $${major:-0} -lt $(NODE_MAJOR) ]] || ! command -v npm >/dev/null; then \
		echo "Node.js $(NODE_MAJOR) or later with npm is needed for Azurite, the storage emulator; found: $${version:-no node}." >&2; \
		echo 'Install it from https://nodejs.org or by your package manager, and run this again.' >&2; \
		exit 1; \
	fi

.PHONY: need-cc
need-cc:
	@read -r cc _ <<< "$$(go env CC)"; \
	if [[ $$(go env GOOS) != darwin ]] && ! command -v "$$cc" >/dev/null; then \
		echo "A C compiler is needed for the race detector; found no $$cc." >&2; \
		echo 'Install gcc and the C library headers (Debian: apt-get install gcc libc6-dev), and run this again.' >&2; \
		exit 1; \
	fi

.PHONY: need-func
need-func:
	@command -v func >/dev/null || { \
		echo 'Azure Functions Core Tools (func) are needed: https://learn.microsoft.com/azure/azure-functions/functions-run-local' >&2; exit 1; }

# npm writes this file last, so it is older than the lock file only where an
# installation is missing, was interrupted or is of another version.
$(AZURITE): package-lock.json package.json | need-node
	npm ci
	@touch $@

# A tool is built by the Go of go.mod, because an older Go's linter refuses newer
# code, and has its version in its name, so that a new pin is a new file.
bin/tools/golangci-lint-%:
	$(call install,github.com/golangci/golangci-lint/v2/cmd/golangci-lint,$*)

bin/tools/govulncheck-%:
	$(call install,golang.org/x/vuln/cmd/govulncheck,$*)

define install
GOTOOLCHAIN=$$(go env GOVERSION) GOBIN=$(CURDIR)/bin/tools go install $(1)@$(2)
mv bin/tools/$(notdir $(1)) $@
endef

.PHONY: help
help:
	@awk '/^##@ / { printf "\n%s\n", substr($$0, 5) } \
		match($$0, /^[a-z]+:.*## /) { split($$0, part, ":"); printf "  %-9s %s\n", part[1], substr($$0, RLENGTH + 1) }' $(MAKEFILE_LIST)
