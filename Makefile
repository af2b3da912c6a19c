# What there is to do with this source: `make` lists it.

PYTHON ?= python3

# gcc, libmilter-dev and python3-dev build pymilter; the demo runs the rest of the first list, and
# the tests all. The last line is for those that boot.
DEMO = gcc libmilter-dev python3-dev python3-venv \
	postfix opendkim opendkim-tools opendmarc unbound publicsuffix iproute2
PACKAGES = $(DEMO) rspamd redis-server postgresql dovecot-imapd \
	bind9-dnsutils spfquery systemd mandoc groff chromium chromium-driver
BOOTING = debootstrap systemd-container

PIP = .venv/bin/pip install --quiet --disable-pip-version-check --no-build-isolation

# Those that take longest come first. What no other part names is in test-rest.
PARTS = test-life test-memory test-unit test-cli static test-cases test-relay test-wire test-rest \
	test-browser
# Two at once on two cores, or DNS is late, and what would pass is rewritten to be safe.
LAST = test-storms test-receivers test-dns

# Nearly all of their time they wait: for a bound, a pause, or a process that hangs.
LIFE = $(patsubst %,tests/wire/test_%.py,life monitor shortages limits log probe suspects)
MEMORY = $(patsubst %,tests/wire/test_%.py,ledger ledger_watch ledger_window archive return_map \
	telling) tests/relay/test_bench.py
# They share the processes of alignd that run with the configurations of all cases.
CASES = tests/wire/test_wire.py tests/wire/test_return.py tests/relay/test_postfix.py
STORMS = tests/relay/test_storm.py
RECEIVERS = $(patsubst %,tests/relay/test_%.py,verifiers differential records signatures readers)
DNS = $(patsubst %,tests/wire/test_%.py,bad_dns dns_failures lookahead nameservers)
ELSEWHERE = $(LIFE) $(MEMORY) $(CASES) $(STORMS) $(RECEIVERS) $(DNS)

.PHONY: help check test $(PARTS) $(LAST) demo storm bench man catalogues screenshots venv packages \
	lock deb repository test-packages test-package-bookworm test-package-trixie

help:  ## list the targets
	@sed -n 's/^\([a-z-]*\):.*## /make \1: /p' $(MAKEFILE_LIST)

check: static  ## check style, types and imports, and run the fast tests: about a minute
	.venv/bin/pytest tests/unit tests/cases tests/documents

test: venv  ## check style, types and imports, and run all tests, with a real Postfix: about twenty-five minutes
	@$(RUN) --jobs=3 $(PARTS); parts=$$?; $(RUN) --jobs=2 $(LAST) && exit $$parts

# Each part is told of when it has ended, and none is left out because another has failed.
RUN = $(MAKE) --no-print-directory --keep-going --output-sync=target

test-life:
	.venv/bin/pytest $(LIFE)

test-memory:
	.venv/bin/pytest $(MEMORY)

test-cases:
	.venv/bin/pytest $(CASES)

test-storms:
	.venv/bin/pytest $(STORMS)

test-receivers:
	.venv/bin/pytest $(RECEIVERS)

test-dns:
	.venv/bin/pytest $(DNS)

test-relay test-wire: test-%:
	.venv/bin/pytest tests/$* $(ELSEWHERE:%=--ignore=%)

test-unit test-cli test-browser: test-%:
	.venv/bin/pytest tests/$*

test-rest:
	.venv/bin/pytest $(patsubst %,--ignore=tests/%,relay wire unit cli browser packages)

# What is in dist, on a booted Debian 12 and then a booted Debian 13. Not at once: on two busy cores
# alignd may start more slowly than Postfix waits.
test-packages: venv deb  ## build the packages, and try their whole life on booted Debian 12 and 13, with mail
	@sh tests/install-packages.sh $(BOOTING)
	@$(MAKE) --no-print-directory --jobs=1 --keep-going test-package-bookworm test-package-trixie

test-package-bookworm test-package-trixie: test-package-%:
	.venv/bin/pytest --exitfirst tests/packages -k $*

static: venv
	.venv/bin/ruff check
	.venv/bin/ruff format --check
	.venv/bin/mypy
	PYTHONPATH=milter .venv/bin/lint-imports --no-cache --no-logo

demo:  ## play the story: a reply that is blocked without alignd and arrives with it
	@sh tests/install-packages.sh --ask $(DEMO)
	@$(MAKE) --no-print-directory PACKAGES= venv
	@.venv/bin/python -m demo

bench: venv  ## measure beside an empty milter and others; writes docs/bench.md
	-@sh tests/install-packages.sh pyspf-milter
	-@.venv/bin/pip install --quiet --disable-pip-version-check --editable '.[bench]'
	@.venv/bin/python -m bench

storm: venv  ## prove under failure, load and change that nothing is lost; see docs/storms.md
	@.venv/bin/python -m storm

catalogues: venv  ## write the catalogues of other languages anew, from the sentences in the code
	.venv/bin/python -m tools.catalogues

man: venv  ## write the manual pages anew, from the program, its options and its reasons
	.venv/bin/python -m tools.man

lock: venv  ## write the lock files of packaging anew, with the newest versions that setup.cfg allows
	-@.venv/bin/pip install --quiet --disable-pip-version-check uv==0.13.9
	sh packaging/lock.sh .venv/bin/uv

deb:  ## build the packages for Debian 12 and 13 in clean roots, as root; writes dist/
	sh packaging/deb.sh bookworm dist
	sh packaging/deb.sh trixie dist

repository:  ## lay out an apt repository and tars of wheels, signed: make repository KEY=..., after make deb
	@sh tests/install-packages.sh apt-utils gpg
	sh packaging/repository.sh "$(KEY)"

screenshots: venv  ## take the pictures of the page anew; writes docs/images
	-@sh tests/install-packages.sh pngquant
	@.venv/bin/python -m demo.screenshots

venv: .venv/.installed  ## install alignd and its tools for development, into .venv

packages:  ## install the Debian packages that are missing
	@sh tests/install-packages.sh $(PACKAGES)

.venv/.installed: setup.cfg packaging/build.lock packaging/development.lock | packages
	$(PYTHON) -m venv .venv
	$(PIP) --require-hashes --requirement packaging/build.lock
	$(PIP) --require-hashes --requirement packaging/development.lock
	$(PIP) --no-deps --editable .
	@touch $@
