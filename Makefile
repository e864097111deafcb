# One non-recursive makefile. Objects go to build[-asan|-tsan]/, nothing is
# written beside the sources. Targets: see `make help`.

SHELL := /bin/bash
.DELETE_ON_ERROR:
.SUFFIXES:
MAKEFLAGS += --no-builtin-rules

CC ?= gcc
ifeq ($(origin CC),default)
CC := gcc
endif
CLANG ?= clang
PYTHON ?= /usr/bin/python3
SAN ?=
V ?= 0
WERROR ?= 0

B ?= build$(if $(SAN),-$(SAN))

ifeq ($(V),1)
Q :=
say = @:
else
Q := @
say = @printf '  %-7s %s\n'
endif

ifneq ($(filter asan,$(SAN)),)
SANFLAGS := -fsanitize=address,undefined -fno-sanitize-recover=undefined
endif
ifneq ($(filter tsan,$(SAN)),)
SANFLAGS := -fsanitize=thread
endif

VERSION := $(shell cat VERSION)
PKGS := sofia-sip-ua libnl-3.0 libnl-route-3.0 libnftables libbpf libcpg \
	libquorum libvotequorum libcmap libconfuse jansson smartcols libsystemd libcrypto libssl
# Third-party headers come in as system headers: their warnings are not ours.
PKG_CFLAGS := $(patsubst -I%,-isystem %,$(shell \
	pkg-config --cflags $(PKGS) 2>/dev/null))

# The SIP stack's own transport header, of exactly the installed version: the
# package does not install it, `make deps` takes it from the source package.
SOFIA_VERSION := $(shell dpkg-query -W -f '$${Version}' libsofia-sip-ua-dev 2>/dev/null)
SOFIA_INTERNAL := /usr/local/include/sofia-sip-internal/$(SOFIA_VERSION)
# As Debian builds it: the header's structures depend on these.
SOFIA_CONFIG := -DHAVE_SOFIA_STUN=1 -DHAVE_MSG_TRUNC=1

CPPFLAGS := -D_GNU_SOURCE -I. -I$(B)/gen $(PKG_CFLAGS) \
	-DSBC_VERSION='"$(VERSION)"'
WARN := -Wall -Wextra -Wshadow -Wstrict-prototypes -Wmissing-prototypes \
	-Wold-style-definition -Wpointer-arith -Wformat=2 -Wwrite-strings \
	-Wundef -Wvla -Wno-unused-parameter -Wno-missing-field-initializers
CFLAGS ?= -O2 -g
ALL_CFLAGS := -std=c11 $(CFLAGS) $(WARN) -fno-strict-aliasing -fPIE \
	-fno-omit-frame-pointer -fstack-protector-strong $(SANFLAGS) \
	$(if $(filter 1,$(WERROR)),-Werror) -pthread
ALL_LDFLAGS := $(LDFLAGS) $(SANFLAGS) -pie -pthread -rdynamic -Wl,-z,relro,-z,now

# ---- modules, lowest first (an include points only down) -----------------
SBCD_MODS := base record config call sip media keeper
LIB_MODS := hasync netif
dir_of = $(if $(filter $(1),$(LIB_MODS)),$(1),sbcd/$(1))
srcs_of = $(filter-out %.bpf.c,$(wildcard $(call dir_of,$(1))/*.c))
lib_of = $(B)/lib/lib$(1).a
objs = $(patsubst %.c,$(B)/obj/%.o,$(1))

# What a module may link with: itself and what lies below it.
USES_base := base
USES_hasync := hasync
USES_netif := netif
USES_record := record hasync base
USES_config := config base
USES_call := call config record hasync base
USES_sip := sip call config record hasync base
USES_media := media config record hasync base
USES_cli := cli sip call config record hasync base
USES_keeper := keeper media sip call config record hasync netif base
LDLIBS := -lsofia-sip-ua -lnl-route-3 -lnl-3 -lnftables -lbpf -lcpg -lquorum \
	-lvotequorum -lcmap -lconfuse -ljansson -lsmartcols -lsystemd \
	-lssl -lcrypto -lsrtp2 -lIPSec_MB -lm

.PHONY: all help
all: $(B)/bin/sbcd $(B)/bin/sbcctl tools

help:
	@echo 'make deps|all|demo|demo-secure|test|unit|lab-test|lint|fuzz|bench|mutants|chaos'
	@echo '     bench-gap|bench-ha|bench-tls|stress|srtp-soak|tls-soak'
	@echo '     lab-up|lab-down|format|install|deb|clean'
	@echo 'variables: SAN=asan|tsan WERROR=1 V=1'

# ---- BPF ------------------------------------------------------------------
BPF_SRCS := $(wildcard netif/*.bpf.c sbcd/*/*.bpf.c)
BPF_SKELS := $(patsubst %.bpf.c,$(B)/gen/%.skel.h,$(BPF_SRCS))
ARCH_INC := -isystem /usr/include/$(shell gcc -print-multiarch)
$(B)/gen/%.skel.h: %.bpf.c
	@mkdir -p $(@D)
	$(say) BPF $<
	$(Q)$(CLANG) -target bpf -O2 -g -Wall -Wno-unused-value $(ARCH_INC) \
		-c $< -o $(@:.skel.h=.bpf.o)
	$(Q)/usr/sbin/bpftool gen skeleton $(@:.skel.h=.bpf.o) > $@

# ---- objects, archives ----------------------------------------------------
$(B)/obj/%.o: %.c | $(BPF_SKELS)
	@mkdir -p $(@D)
	$(say) CC $<
	$(Q)$(CC) $(CPPFLAGS) $(ALL_CFLAGS) -MMD -MP -c $< -o $@

$(B)/obj/sbcd/sip/tport_tls.o: $(SOFIA_INTERNAL)/tport_internal.h
$(B)/obj/sbcd/sip/tport_tls.o: CPPFLAGS += -isystem $(SOFIA_INTERNAL) $(SOFIA_CONFIG)
$(SOFIA_INTERNAL)/tport_internal.h:
	@echo "the SIP stack's header $@ is missing: run make deps" >&2; exit 1

define module_rules
$(call lib_of,$(1)): $(call objs,$(call srcs_of,$(1)))
	@mkdir -p $$(@D)
	$$(say) AR $$@
	$$(Q)rm -f $$@ && ar rcsD $$@ $$(filter %.o,$$^)
.PHONY: lib-$(1)
lib-$(1): $(call lib_of,$(1))
endef
$(foreach m,$(SBCD_MODS) $(LIB_MODS) cli,$(eval $(call module_rules,$(m))))

link_libs = -Wl,--start-group $(foreach m,$(1),$(call lib_of,$(m))) \
	-Wl,--end-group -Wl,--as-needed $(LDLIBS)

$(B)/bin/sbcd: $(call objs,sbcd/main.c) $(foreach m,$(USES_keeper),$(call lib_of,$(m)))
	@mkdir -p $(@D)
	$(say) LD $@
	$(Q)$(CC) $(ALL_LDFLAGS) $(filter %.o,$^) $(call link_libs,$(USES_keeper)) -o $@

$(B)/bin/sbcctl: $(foreach m,$(USES_cli),$(call lib_of,$(m)))
	@mkdir -p $(@D)
	$(say) LD $@
	$(Q)$(CC) $(ALL_LDFLAGS) -Wl,--undefined=main $(call link_libs,$(USES_cli)) -o $@

# ---- tools: one directory under tests/tools is one program ----------------
TOOLS := $(notdir $(patsubst %/,%,$(dir $(wildcard tests/tools/*/main.c))))
TOOL_LIBS := -lsrtp2 -lcrypto -lssl -ljansson -lpcap -lm
# Archives of ours that a tool exercises.
TOOL_USES_haprobe := hasync
define tool_rules
$(B)/bin/$(1): $(call objs,$(wildcard tests/tools/$(1)/*.c)) $(foreach m,$(TOOL_USES_$(1)),$(call lib_of,$(m)))
	@mkdir -p $$(@D)
	$$(say) LD $$@
	$$(Q)$$(CC) $$(ALL_LDFLAGS) $$(filter %.o,$$^) $(if $(TOOL_USES_$(1)),$$(call link_libs,$$(TOOL_USES_$(1)))) -Wl,--as-needed $$(TOOL_LIBS) -o $$@
endef
$(foreach t,$(TOOLS),$(eval $(call tool_rules,$(t))))

# ---- libraries that a test preloads into a program, one file each ----------
PRELOADS := $(patsubst tests/tools/preload/%.c,$(B)/lib/%.so,$(wildcard tests/tools/preload/*.c))
$(B)/lib/%.so: tests/tools/preload/%.c
	@mkdir -p $(@D)
	$(say) LD $@
	$(Q)$(CC) $(CPPFLAGS) -O2 -g -Wall -Wextra $(if $(WERROR),-Werror) -fPIC -shared $< -ldl -o $@

# ---- crashes on demand: the product's objects and one more, for the lab -----
HOOK_OBJS := $(call objs,$(wildcard tests/hooks/*.c))
HOOK_LDFLAGS := -Wl,--wrap=b2bua_record
$(B)/hooks/bin/sbcd: $(call objs,sbcd/main.c) $(HOOK_OBJS) $(foreach m,$(USES_keeper),$(call lib_of,$(m)))
	@mkdir -p $(@D)
	$(say) LD $@
	$(Q)$(CC) $(ALL_LDFLAGS) $(HOOK_LDFLAGS) $(filter %.o,$^) $(call link_libs,$(USES_keeper)) -o $@

.PHONY: tools
tools: $(B)/hooks/bin/sbcd $(PRELOADS) $(foreach t,$(TOOLS),$(B)/bin/$(t))

# ---- unit tests: tests/unit/<module>/test_*.c, each a program --------------
# What tests of a module need beyond it: real steered sockets for the worker.
UNIT_USES_media := netif
UNIT_OBJS_sip := $(HOOK_OBJS)
UNIT_LDFLAGS_sip := $(HOOK_LDFLAGS)
UNIT_SRCS := $(wildcard tests/unit/*/test_*.c)
UNIT_BINS := $(patsubst tests/%.c,$(B)/%,$(UNIT_SRCS))
define unit_rules
$(B)/unit/$(1)/%: $(B)/obj/tests/unit/$(1)/%.o $(UNIT_OBJS_$(1)) $(foreach m,$(USES_$(1)) $(UNIT_USES_$(1)),$(call lib_of,$(m)))
	@mkdir -p $$(@D)
	$$(say) LD $$@
	$$(Q)$$(CC) $$(ALL_LDFLAGS) $$(UNIT_LDFLAGS_$(1)) $$(filter %.o,$$^) $$(call link_libs,$$(USES_$(1)) $$(UNIT_USES_$(1))) -lcmocka -o $$@
.PHONY: unit-$(1)
unit-$(1): $(filter $(B)/unit/$(1)/%,$(UNIT_BINS))
	@set -e; for t in $$^; do echo "== $$$$t"; $$$$t; done
endef
$(foreach m,$(SBCD_MODS) $(LIB_MODS) cli,$(eval $(call unit_rules,$(m))))
.PRECIOUS: $(B)/obj/%.o $(B)/gen/%.skel.h
.SECONDARY: $(BPF_SKELS)

.PHONY: unit unit-build
unit-build: $(UNIT_BINS)
unit: unit-build
	$(PYTHON) tests/run.py --build $(B) unit

# ---- fuzz targets: tests/fuzz/fuzz_<module>_<what>.c -----------------------
FUZZ_SRCS := $(wildcard tests/fuzz/fuzz_*.c)
FB := build-fuzz
FUZZ_BINS := $(patsubst tests/fuzz/%.c,$(FB)/fuzz/%,$(FUZZ_SRCS))
fuzz_mod = $(word 2,$(subst _, ,$(1)))
.PHONY: fuzz fuzz-build fuzz-bins
FUZZ_SECONDS ?= 60
ifeq ($(FUZZING),1)
define fuzz_rules
$(FB)/fuzz/$(1): $(FB)/obj/tests/fuzz/$(1).o $(foreach m,$(USES_$(call fuzz_mod,$(1))),$(call lib_of,$(m)))
	@mkdir -p $$(@D)
	$$(say) LD $$@
	$$(Q)$$(CC) $$(ALL_LDFLAGS) -fsanitize=fuzzer $$< $$(call link_libs,$$(USES_$(call fuzz_mod,$(1)))) -o $$@
endef
$(foreach f,$(basename $(notdir $(FUZZ_SRCS))),$(eval $(call fuzz_rules,$(f))))
fuzz-bins: $(FUZZ_BINS)
endif
fuzz-build:
	$(Q)$(MAKE) --no-print-directory FUZZING=1 B=$(FB) CC=$(CLANG) \
	  CFLAGS='-O1 -g -fsanitize=fuzzer-no-link,address,undefined' \
	  LDFLAGS='-fsanitize=address,undefined' fuzz-bins
fuzz: fuzz-build
	$(PYTHON) tests/run.py --build $(B) fuzz --seconds $(FUZZ_SECONDS)

include tests/targets.mk

-include $(shell test -d $(B)/obj && find $(B)/obj -name '*.d')

.PHONY: clean
clean:
	rm -rf build build-*
