# Each target is one word; what it does is in tools/ and lab/. The README explains gate and test.
.DEFAULT_GOAL := images
.PHONY: gate repeat heal test check unit up down clean images doctor monitor bench setup dev

python := .venv/bin/python

# make gate QUICK=1 | FULL=1 | SOAK=1, and TOPOLOGY=FILE for facts that differ
export CONSUL_DEMO_TOPOLOGY := $(if $(TOPOLOGY),$(abspath $(TOPOLOGY)),$(CONSUL_DEMO_TOPOLOGY))
depth := $(if $(QUICK),quick,$(if $(FULL),full,$(if $(SOAK),soak,standard)))

gate: up ## the verdict: the suites on the running lab
	tools/lab gate --depth=$(depth)

repeat: up ## the gate N times (3) on an unchanged lab: are all verdicts equal?
	tools/lab repeat $(or $(N),3) --depth=$(depth)

heal: setup ## the running lab back into its good state, whatever was done to it
	tools/lab heal

test: check unit gate ## everything that must hold before a change lands

check: dev ## format, lint, types, layers
	$(python) -m ruff format --check .
	$(python) -m ruff check .
	$(python) -m mypy lab suites tests conftest.py tools images/build.py
	.venv/bin/lint-imports
	.venv/bin/shellcheck tools/setup tools/fence tools/lab images/*.sh images/*/*.sh images/box/lxc/lxc-template provision/*.sh provision/scripts/*.sh

unit: dev images ## the tests that need no hosts
	CONSUL_BINARY=$$($(python) -m images.build --path bin/consul) $(python) -m pytest tests/

images: setup ## build what the lab is made of; step 0 of the walk-through
	$(python) -m images.build

up: images ## six hosts, each in its role
	tools/lab up

down: setup ## remove the hosts and the fence
	tools/lab down

clean: setup ## down, and remove the box and what was unpacked of it
	tools/lab clean

doctor: setup ## is this machine fit for the lab?
	tools/lab doctor

monitor: setup ## the monitor's page at 127.0.0.1 of this machine
	tools/lab forward

bench: images ## how long up, provision and destroy take
	tools/lab bench

setup:
	@tools/setup

dev:
	@tools/setup --dev
