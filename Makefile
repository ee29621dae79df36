# tidemark: PGXS build. `make PG_CONFIG=…`, `make install`; scripts/test runs every test.
MODULE_big = tidemark
EXTENSION = tidemark
DATA = tidemark--1.0.sql
PGFILEDESC = "tidemark - streaming windows in PostgreSQL"

OBJS = $(patsubst %.c,%.o,$(sort $(wildcard src/*.c src/*/*.c)))

PG_CPPFLAGS = -I$(CURDIR)/src
SHLIB_LINK = -lrdkafka
ifdef WERROR
PG_CFLAGS = -Werror
endif

REGRESS = $(patsubst sql/%.sql,%,$(sort $(wildcard sql/*.sql)))
ISOLATION = $(patsubst specs/%.spec,%,$(sort $(wildcard specs/*.spec)))
TAP_TESTS = 1

PG_CONFIG ?= pg_config
# JIT bitcode of this library would not be used, and needs clang to build.
override with_llvm := no
PGXS := $(shell $(PG_CONFIG) --pgxs)
include $(PGXS)

# Objects depend on every header: the build is short, and never stale.
$(OBJS): $(wildcard src/*.h src/*/*.h)
