# Dependencies, lab, demo, whole-product tests, install.

DEB_PACKAGES := build-essential clang libclang-rt-14-dev clang-format \
	cppcheck shellcheck pkg-config git openssl \
	libsofia-sip-ua-dev libsrtp2-dev libipsec-mb-dev libssl-dev libbpf-dev bpftool \
	libcpg-dev libquorum-dev libvotequorum-dev libcmap-dev corosync \
	corosync-qdevice corosync-qnetd libnl-3-dev libnl-route-3-dev libnftables-dev nftables \
	libconfuse-dev libjansson-dev libsmartcols-dev uthash-dev \
	libsystemd-dev libcmocka-dev libpcap-dev linux-libc-dev \
	python3 python3-pytest sip-tester baresip-core iproute2 iputils-ping \
	systemd passwd dpkg-dev man-db groff bash-completion xorriso python3-yaml \
	tcpdump tshark ethtool procps util-linux e2fsprogs mount

.PHONY: deps
deps:
	@missing=; for p in $(DEB_PACKAGES); do \
	  dpkg-query -W -f '$${db:Status-Status}\n' $$p 2>/dev/null | \
	    grep -qx installed || missing="$$missing $$p"; done; \
	if [ -n "$$missing" ]; then \
	  echo "installing:$$missing"; \
	  apt-get update -q && DEBIAN_FRONTEND=noninteractive \
	    apt-get install -y -q --no-install-recommends $$missing; \
	fi
	@tests/tools/sofia-internal

.PHONY: model lab-up lab-down lab-test lab-sanitized versions demo demo-secure test lint \
	format bench bench-gap bench-ha bench-tls stress srtp-soak tls-soak mutants chaos install \
	install-files deb
lab-up: all
	tests/lab/lab up
lab-down:
	tests/lab/lab down

# `deps` first, in a make of its own: what it installs decides the flags.
demo:
	$(Q)$(MAKE) --no-print-directory deps
	$(Q)$(MAKE) --no-print-directory -j$(shell nproc) all
	$(PYTHON) tests/demo/demo.py --build $(B)

demo-secure:
	$(Q)$(MAKE) --no-print-directory deps
	$(Q)$(MAKE) --no-print-directory -j$(shell nproc) all
	$(PYTHON) tests/demo/secure.py --build $(B)

test:
	$(Q)$(MAKE) --no-print-directory deps
	$(Q)$(MAKE) --no-print-directory -j$(shell nproc) all unit-build
	$(Q)$(MAKE) --no-print-directory -j$(shell nproc) fuzz-build
	$(PYTHON) tests/run.py --build $(B) all

lint:
	$(PYTHON) tests/run.py --build $(B) lint

lab-test: all
	$(PYTHON) tests/run.py --build $(B) lab

# sbcd of the release before and of one to come, for the lab: build/previous,
# build/newer. The lab stage runs it.
versions:
	$(PYTHON) tests/lab/versions.py

# The same nodes built with a sanitizer: SAN=asan (part of `make test`) or tsan.
lab-sanitized:
	$(PYTHON) tests/run.py --build $(B) lab-$(or $(SAN),asan)

bench: all
	$(PYTHON) tests/bench/bench.py --build $(B)
	$(PYTHON) tests/bench/srtp.py --build $(B)

# fast, relaxed, tight: the lab's names for sbcd's timing.
TIMING ?= fast
bench-gap: all
	$(PYTHON) tests/bench/gap.py --build $(B) --timing $(TIMING)

# What a flood of handshakes does to SIP beside it.
bench-tls: all
	$(PYTHON) tests/bench/tls.py --build $(B)

# Ten thousand good connections by TLS and as many of junk.
CONNECTIONS ?= 10000
tls-soak: all
	SBC_TLS_SOAK=$(CONNECTIONS) SBC_BUILD=$(B) $(PYTHON) -m pytest -q -s \
		-p no:cacheprovider tests/lab/test_tls.py \
		-k leave_no_memory_behind

# Beside keepalived, which nothing else needs. BENCH_HA=--quick: a few of each.
BENCH_HA ?=
bench-ha: all
	@command -v keepalived >/dev/null || \
	  { apt-get update -q && DEBIAN_FRONTEND=noninteractive \
	    apt-get install -y -q --no-install-recommends keepalived; }
	$(PYTHON) tests/bench/ha.py --build $(B) $(BENCH_HA)

SECONDS ?= 120
SEED ?= 1
ONLY ?=
# Percent of SIPp's calls: see tests/chaos/README.
ALLOW_SIPP ?= 0
SCALE ?= 1
chaos: all
	$(PYTHON) tests/chaos/chaos.py --build $(B) --seconds $(SECONDS) \
		--seed $(SEED) --allow-sipp $(ALLOW_SIPP) --scale $(SCALE) \
		$(if $(ONLY),--only $(ONLY))

stress: all
	SBC_STRESS_SECONDS=$(SECONDS) SBC_TIMING=$(TIMING) SBC_BUILD=$(B) \
		$(PYTHON) -m pytest -q -s \
		-p no:cacheprovider tests/lab/test_stress.py

# Millions of random packets through every SRTP engine, another seed each time.
PACKETS ?= 5000000
srtp-soak: $(B)/unit/media/test_srtp_engines
	SBC_SRTP_PACKETS=$(PACKETS) SBC_SRTP_SEED=$$(date +%s) $<

mutants:
	$(PYTHON) tests/mutants/run.py

model:
	@command -v spin >/dev/null || \
	  { apt-get update -q && apt-get install -y -q spin; }
	$(PYTHON) tests/model/run.py

format:
	git ls-files '*.c' '*.h' | xargs clang-format-14 -i

DESTDIR ?=
PREFIX ?= /usr
install: all install-files
# What the Debian package holds; the programs are built.
install-files:
	install -D -m 0755 $(B)/bin/sbcd $(DESTDIR)$(PREFIX)/sbin/sbcd
	install -D -m 0755 $(B)/bin/sbcctl $(DESTDIR)$(PREFIX)/bin/sbcctl
	install -d $(DESTDIR)/etc/sbcd
	install -D -m 0644 -t $(DESTDIR)/lib/systemd/system \
		conf/systemd/sbcd.service conf/systemd/sbcd-firewall.service
	install -D -m 0644 conf/sysctl/60-sbcd.conf \
		$(DESTDIR)/usr/lib/sysctl.d/60-sbcd.conf
	install -D -m 0644 conf/sysusers/sbcd.conf \
		$(DESTDIR)/usr/lib/sysusers.d/sbcd.conf
	install -D -m 0644 conf/nftables/sbcd.nft \
		$(DESTDIR)$(PREFIX)/share/doc/sbcd/sbcd.nft
	install -D -m 0644 -t $(DESTDIR)$(PREFIX)/share/doc/sbcd README.md \
		vm-images/deb/copyright
	install -D -m 0644 -t $(DESTDIR)$(PREFIX)/share/doc/sbcd/examples \
		conf/*.example conf/*.in
	install -D -m 0644 conf/completion/sbcctl \
		$(DESTDIR)$(PREFIX)/share/bash-completion/completions/sbcctl
	for page in sbcd.8 sbcctl.8 sbcd.conf.5; do \
		d=$(DESTDIR)$(PREFIX)/share/man/man$${page##*.}; \
		mkdir -p $$d && conf/man/fill.sh conf/man/$$page $(B)/bin \
			$(VERSION) >$$d/$$page && chmod 0644 $$d/$$page || exit 1; \
	done

deb: all
	vm-images/deb/build.sh $(B) $(VERSION)
