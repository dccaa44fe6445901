# viptrace: `make demo` shows it, `make test` proves it, `make help` lists the rest.

SHELL := bash
.SHELLFLAGS := -euo pipefail -c
MAKEFLAGS += --no-print-directory
.DEFAULT_GOAL := help

PY := .venv/bin/python
STAMP := .venv/.installed
SHELL_SCRIPTS := scripts/bootstrap scripts/test-package .ci/run deploy/plugin/kubectl-viptrace \
	deploy/image/link-llvm
KUBE_PROXY ?= 1.34.2
IMAGE ?= viptrace:$(shell sed -n 's/^version = "\(.*\)"/\1/p' pyproject.toml)
ENGINE ?= $(firstword $(foreach engine,docker podman buildah,$(shell command -v $(engine))))
LOCK := .venv/bin/uv pip compile pyproject.toml --quiet --universal --python-version 3.11 \
	--generate-hashes --no-emit-index-url --no-emit-find-links --custom-compile-command "make lock"

DIFFERENTIAL = -m lab.differential --seed $(or $(SEED),1) --first $(or $(FIRST),0) --count $(or $(COUNT),250) \
	$(patsubst %,--engine %,$(filter iptables legacy mixed nft services-% ipvs,$(ENGINE))) \
	$(FAMILY:%=--family %)

.PHONY: help install demo test lint format wheel test-package test-image plugin site test-native test-remedies test-remedies-kernel \
	test-differential test-kernel test-probes test-newest test-cluster test-cluster-native test-cluster-watch \
	test-cluster-kernel test-cluster-watch-kernel kernel-matrix test-captures fuzz playground bench bench-smoke image \
	docs causes lock screenshots clean

help: ## this list
	@sed -n 's/^\([a-z-]*\):.*## \(.*\)/\1|\2/p' $(MAKEFILE_LIST) | \
		while IFS='|' read -r target text; do printf '  make %-21s %s\n' "$$target" "$$text"; done

install: $(STAMP) ## .venv with the command .venv/bin/viptrace, and the system packages it uses

$(STAMP): pyproject.toml requirements.lock requirements-dev.lock scripts/bootstrap
	@PYTHON='$(PYTHON)' scripts/bootstrap
	@touch $@

demo: install ## replay a recorded incident: a Service that swallows the nodes' own addresses
	@.venv/bin/viptrace replay pcaps/ipvs-external-ip-is-node-ip

test: install ## the fast suite: no root, no network, under three minutes
	@$(PY) -m pytest

lint: install ## style, types, shell scripts, Dockerfile
	@$(PY) -m ruff check .
	@$(PY) -m ruff format --check .
	@$(PY) -m mypy
	@.venv/bin/shellcheck $(SHELL_SCRIPTS)
	@if [ -x .venv/bin/hadolint ]; then .venv/bin/hadolint Dockerfile; \
		else echo "Dockerfile not checked: hadolint is not packaged for $$(uname -m)"; fi

format: install ## let ruff rewrite what it can
	@$(PY) -m ruff check --fix .
	@$(PY) -m ruff format .

test-native: install ## tests that need root: namespaces and netfilter of this kernel
	@$(PY) -m pytest -m root

test-remedies: install ## every incident's remedy followed as printed, in every mode (root; 15 min)
	@$(PY) -m pytest -m "root or remedies" tests/lab/test_remedies.py

test-remedies-kernel: install ## the same of what needs the VM, with probes (1 to 2 h): NAMES= OUT=build/remedies
	@$(PY) -m lab kernel-remedies $(NAMES) -o $(or $(OUT),build/remedies)

test-differential: install ## explain against the kernel (root): SEED= FIRST= COUNT= ENGINE= FAMILY=
	@$(if $(filter ipvs,$(ENGINE)),folder=$$(mktemp -d); \
		$(PY) -m lab vm --timeout 7200 --results $$folder -- python $(DIFFERENTIAL) --observe $$folder; \
		$(PY) $(DIFFERENTIAL) --compare $$folder,$(PY) $(DIFFERENTIAL))

test-kernel: install ## probes, IPVS and every proxy mode on a Debian kernel in a VM: KERNEL=6.1 TCP=997 UDP=499
	@$(PY) -m lab vm $(KERNEL:%=--kernel %) --timeout 1200 -- python -m pytest -p no:cacheprovider -m kernel tests/kernel
	@$(PY) -m lab vm $(KERNEL:%=--kernel %) --timeout 2600 -- python -m lab kernel-suite \
		--tcp $(or $(TCP),997) --udp $(or $(UDP),499) $(BACKEND:%=--backend %)

test-probes: install ## the probes alone, on another kernel: KERNEL=6.12
	@$(PY) -m lab vm --kernel $(or $(KERNEL),6.1) --timeout 700 -- \
		python -m pytest -p no:cacheprovider -m kernel tests/kernel/test_probes.py

test-newest: install ## the probes on the newest kernel that stays up in emulation
	@$(PY) -m lab matrix --first --part probes --kernel newest --kernel 6.12 -o build/newest

test-cluster: test-cluster-native test-cluster-watch test-cluster-kernel ## kube-proxy and kube-apiserver themselves, every mode

test-cluster-native: install ## the same on this kernel: all but ipvs mode (root, Go)
	@$(PY) -m lab with-api --skip -- sh -ec ' \
		$(PY) -m lab kernel-suite --proxy $(KUBE_PROXY) --mode iptables --mode nftables \
			--backend conntrack --tcp 97 --udp 47 --no-blackhole; \
		for mode in iptables nftables; do \
			$(PY) -m lab rollout --proxy $(KUBE_PROXY) --mode $$mode --backend conntrack; done'
	@$(PY) -m pytest -m cluster tests/cluster

test-cluster-watch: install ## every scenario under kube-proxy itself, live (root, Go; about 15 minutes)
	@$(PY) -m lab with-api --skip -- $(PY) -m lab watch --proxy $(KUBE_PROXY) --backend conntrack all

test-cluster-kernel: install ## the same in the VM: ipvs mode and probes (root, Go)
	@$(PY) -m lab with-api --skip --vm --timeout 10800 -- sh -ec ' \
		python -m lab kernel-suite --proxy $(KUBE_PROXY) --family 4 --backend bpf \
			--tcp 97 --udp 47; \
		python -m lab rollout --proxy $(KUBE_PROXY) --mode ipvs --backend bpf; \
		python -m lab watch --proxy $(KUBE_PROXY) --backend bpf --traced-only kube-ipvs0 \
			ipvs-round-robin svc-no-endpoints etp-local-ipvs-wrong-source six-services-ipvs'

test-cluster-watch-kernel: install ## every scenario that needs the VM, so, with probes (hours); NAMES= for some
	@$(PY) -m lab with-api --skip --vm --timeout 28800 -- python -m lab watch \
		--proxy $(KUBE_PROXY) --backend bpf --traced-only $(or $(NAMES),vm)

fuzz: install ## coverage-guided fuzzing of every reader: TARGET= one of them, SECONDS_EACH=600
	@$(PY) -m fuzz $(TARGET) --seconds $(or $(SECONDS_EACH),600)

kernel-matrix: install ## a bounded suite on each of KERNELS="5.10 6.1 6.12 newest", PART=; docs/kernels.md
	@$(PY) -m lab matrix $(foreach kernel,$(or $(KERNELS),5.10 6.1 6.12 newest),--kernel $(kernel)) \
		$(foreach part,$(PART),--part $(part))

test-captures: install ## captures of other programs' tests: as many packets as capinfos counts
	@$(PY) -m lab.public

playground: install ## a small cluster of namespaces on this kernel, traced live (root)
	@$(PY) -m lab playground

bench: install ## throughput and overhead on this machine
	@$(PY) -m bench

bench-smoke: install ## the same in seconds: does every bench still run?
	@$(PY) -m bench --smoke

image: ## the container image, with an engine of this machine
	@if [ -z "$(ENGINE)" ]; then \
		echo "no container engine found: install docker, podman or buildah" >&2; exit 3; fi
	@if ! $(ENGINE) info >/dev/null 2>&1; then \
		echo "$(ENGINE) is installed but does not answer: start its daemon, or name" \
			"another one: make image ENGINE=podman" >&2; exit 3; fi
	@$(ENGINE) build --tag $(IMAGE) .

wheel: install ## dist/viptrace-VERSION-py3-none-any.whl, for pipx and any other machine
	@$(PY) -m hatchling build -t wheel -d dist

test-package: install ## wheel and sdist, each in a fresh virtual environment
	@scripts/test-package

test-image: install ## the image as a node debug pod, in the VM: check, live, explain, state
	@$(PY) -m lab image
	@$(PY) -m lab vm --timeout 1500 --hide /usr/src -- python -m lab image-suite

plugin: ## dist/kubectl-viptrace.tar.gz for krew, and its checksum in the manifest
	@mkdir -p dist
	@tar -czf dist/kubectl-viptrace.tar.gz --sort=name --owner=0 --group=0 --mtime=@0 \
		-C deploy/plugin kubectl-viptrace -C ../.. LICENSE
	@sum=$$(sha256sum dist/kubectl-viptrace.tar.gz | cut -d' ' -f1); \
		sed -i "s/sha256: .*/sha256: \"$$sum\"/" deploy/plugin/viptrace.yaml; echo "sha256 $$sum"

causes: install ## which input shows which cause, confusion matrix, times: from the recordings
	@$(PY) -m lab causes -o docs/causes/seen.md

docs: install ## pages made from code and recordings: causes, incidents, errors, commands, man pages
	@$(PY) -m lab docs -o docs/causes
	@$(PY) -m lab pages -o docs
	@$(PY) -m scripts.manual

site: install ## the documentation as a site in build/site
	@NO_MKDOCS_2_WARNING=1 $(PY) -m mkdocs build --quiet

screenshots: install ## pictures of the screen in docs/pictures, from recorded incidents
	@$(PY) -m scripts.screenshots

lock: install ## pin every dependency with hashes into requirements*.lock
	@$(LOCK) --upgrade --output-file requirements.lock
	@$(LOCK) --upgrade --extra dev --constraint requirements.lock --output-file requirements-dev.lock

clean: ## remove everything that was made here
	@rm -rf .venv build dist .mypy_cache .ruff_cache .pytest_cache .hypothesis
	@find . -name __pycache__ -type d -prune -exec rm -rf {} +
