#!/bin/sh
# The whole benchmark on Debian, from nothing, in six minutes when nobody else
# uses the machine:
#
#   sudo ./bench/run.sh [--smoke] [bench.py's other options]
#
# Installs what is missing, without starting a service, and hands over to
# bench.py. Ends with 1 when a bar is missed; the last lines say which.
set -eu
cd "$(dirname "$0")/.."
. tests/packages.sh

# What is measured, what builds it, what measures and draws.
need apache2 apache2-dev autoconf automake gcc libc6-dev make \
    gnuplot-nox python3 valgrind wrk

# Not the first python3 in PATH: Debian's.
exec /usr/bin/python3 bench/bench.py "$@"
