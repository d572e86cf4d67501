# The two commands: `make run` (try it on this machine) and `make test` (check everything that needs no virtual machine).
# Each does its own set-up on a fresh Debian 12: packages by apt if missing (with sudo if not root), a virtual environment.

PYTHON ?= python3.11
BIN := .venv/bin
SUDO := $(shell [ "$$(id -u)" = 0 ] || echo sudo)
STAMP := .venv/.set-up

APT_RUN := mosquitto mosquitto-clients gcc libc6-dev linux-libc-dev
APT_TEST := cups-ipp-utils dbus edid-decode
APT_LAB := qemu-system-x86 qemu-utils mmdebstrap

.PHONY: run test check lab lab-shell faults proof bench format clean apt-run apt-test apt-lab

run: $(STAMP) apt-run
	@$(BIN)/python -m center.demo --folder .cache/run

test: check apt-test
	@echo "== 测试（约 6 分钟）/ tests (about 6 minutes)"
	$(BIN)/pytest -n 2 --dist worksteal

check: $(STAMP)
	@echo "== 检查格式、类型、结构 / checking format, types, structure"
	$(BIN)/ruff format --check --quiet .
	$(BIN)/ruff check --quiet .
	$(BIN)/pyright --warnings
	$(BIN)/lint-imports

# Two stations at once, one for each processor, and a third for tests that mostly wait (tests/lab/turns.py). What is measured at a
# pace of its own comes last, with nothing else running.
LAB := $(BIN)/python -m pytest -c tests/lab/pytest.ini tests/lab
lab: $(STAMP) apt-run apt-lab
	@echo "== 虚拟站点实验室（14 到 30 分钟）/ the lab of virtual stations (14 to 30 minutes)"
	$(BIN)/python tests/lab build
	@if $(BIN)/python tests/lab is-settled; then \
	echo "== 实验室和安装没有变过，不再试 / lab and installation are as they were when they were tried: not again"; \
	$(call once_more,-n 3 -v -m 'not alone and not settled'); \
	else $(call once_more,-n 3 -v -m 'not alone') && $(BIN)/python tests/lab settle; fi
	$(call once_more,-m alone)

lab-shell: $(STAMP) apt-lab
	$(BIN)/python tests/lab shell

# Breaks things on this machine and counts what is lost: for a terminal that is not in use.
faults: $(STAMP) apt-run
	$(BIN)/python tests/faults

proof: $(STAMP) apt-run apt-lab
	$(BIN)/python tests/benchmarks/fleet.py --stations 618 --minutes 10
	$(BIN)/python tests/benchmarks/drain.py
	YINONG_LONG_TESTS=1 $(BIN)/pytest tests/journeys/test_broker_away.py --timeout 400
	YINONG_LONG_TESTS=1 $(BIN)/pytest tests/journeys/test_long_life.py
	YINONG_LONG_TESTS=1 $(BIN)/pytest tests/agent/outbox/test_outbox_machine.py
	$(BIN)/python tests/lab/power_cuts.py --cycles 300
	$(BIN)/python tests/lab/power_cuts.py --cycles 20 --synchronous-normal

bench: $(STAMP) apt-run
	$(BIN)/python tests/benchmarks/footprint.py
	$(BIN)/python tests/benchmarks/check_time.py
	$(BIN)/python tests/benchmarks/scan_latency.py
	$(BIN)/python tests/benchmarks/scan_right_and_wrong.py

format: $(STAMP)
	$(BIN)/ruff format .
	$(BIN)/ruff check --fix .

clean:
	rm -rf .venv .cache .pytest_cache .ruff_cache .hypothesis

$(STAMP): pyproject.toml config/constraints.txt | apt-build
	@echo "== 建立虚拟环境 .venv / making the virtual environment .venv"
	@$(PYTHON) -m venv .venv
	@$(BIN)/pip install --quiet --disable-pip-version-check --constraint config/constraints.txt --editable '.[center,dev]'
	@touch $@

.PHONY: apt-build
apt-build:
	@$(call apt,gcc libc6-dev linux-libc-dev python3-venv)
apt-run:
	@$(call apt,$(APT_RUN))
apt-test:
	@$(call apt,$(APT_RUN) $(APT_TEST))
apt-lab:
	@$(call apt,$(APT_LAB))

# A virtual machine is slow and shares its processors: what failed is tried once more, with nothing else running, and reported.
define once_more
$(LAB) $(1) || { echo "== 失败的再试一次 / what failed is tried once more"; \
$(LAB) --last-failed --last-failed-no-failures none; }
endef

# Install what is missing, and report it; apt is not called if everything is there.
define apt
missing=$$(for p in $(1); do dpkg-query -W -f='$${db:Status-Abbrev}' $$p 2>/dev/null | grep -q '^ii' || echo $$p; done); \
if [ -n "$$missing" ]; then echo "== 用 apt 安装 / installing by apt:" $$missing; \
$(SUDO) apt-get update -qq && $(SUDO) env DEBIAN_FRONTEND=noninteractive apt-get install -y -qq --no-install-recommends $$missing >/dev/null; fi
endef
