# What there is to do with this source: `make` lists it.

PYTHON ?= python3

# gcc, libmilter-dev and python3-dev build pymilter; the demo runs the rest of the first list, and
# the tests all. The last line is for those that boot.
DEMO = gcc libmilter-dev python3-dev python3-venv \
	postfix opendkim opendkim-tools opendmarc unbound publicsuffix iproute2
PACKAGES = $(DEMO) rspamd postgresql dovecot-imapd \
	bind9-dnsutils spfquery systemd mandoc groff chromium chromium-driver
BOOTING = debootstrap systemd-container

# Of the tests; those that take longest come first.
PARTS = test-relay test-wire test-unit test-receivers test-cli test-browser test-rest

.PHONY: help check test $(PARTS) static demo storm bench man catalogues screenshots venv packages \
	test-packages test-package-bookworm test-package-trixie

help:  ## list the targets
	@sed -n 's/^\([a-z-]*\):.*## /make \1: /p' $(MAKEFILE_LIST)

check: static  ## check style, types and imports, and run the fast tests: about a minute
	.venv/bin/pytest tests/unit tests/cases tests/documents

test: static  ## check style, types and imports, and run all tests, with a real Postfix: about twenty minutes
	@$(MAKE) --no-print-directory --jobs=2 --keep-going --output-sync=target $(PARTS)

# Half of the time they wait for Postfix, a timeout, or a process that hangs. With three at once on
# two cores DNS is late in the storms, and what would pass is rewritten to be safe. Each is told of
# when it has ended. What no other part names is in the last one.
RECEIVERS = $(patsubst %,tests/relay/test_%.py,verifiers differential records signatures readers)

test-relay:
	.venv/bin/pytest tests/relay $(RECEIVERS:%=--ignore=%)

test-receivers:
	.venv/bin/pytest $(RECEIVERS)

test-wire test-unit test-cli test-browser: test-%:
	.venv/bin/pytest tests/$*

test-rest:
	.venv/bin/pytest $(patsubst %,--ignore=tests/%,relay wire unit cli browser packages)

# What is in dist, on a booted Debian 12 and then a booted Debian 13. Not at once: on two busy cores
# alignd may start more slowly than Postfix waits.
test-packages: venv  ## install the packages in dist on booted Debians, with mail, and remove them
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

screenshots: venv  ## take the pictures of the page anew; writes docs/images
	-@sh tests/install-packages.sh pngquant
	@.venv/bin/python -m demo.screenshots

venv: .venv/.installed  ## install alignd and its tools for development, into .venv

packages:  ## install the Debian packages that are missing
	@sh tests/install-packages.sh $(PACKAGES)

.venv/.installed: setup.cfg | packages
	$(PYTHON) -m venv .venv
	.venv/bin/pip install --quiet --disable-pip-version-check --editable '.[test]'
	@touch $@
