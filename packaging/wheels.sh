#!/bin/sh
# Downloads what alignd needs, by the hashes of the lock files, and builds wheels of what has none:
# `wheels.sh DIRECTORY` makes DIRECTORY/wheels, and DIRECTORY/tools that build alignd itself.
set -eu

here=$(dirname "$0")
directory=$1

# Nothing remembers the directory with a random name that pip builds in.
CFLAGS="$(dpkg-buildflags --get CFLAGS) $(dpkg-buildflags --get CPPFLAGS) -g0"
LDFLAGS="$(dpkg-buildflags --get LDFLAGS) -Wl,--build-id=none -Wl,--strip-all"
export CFLAGS LDFLAGS
python3 -m venv "$directory/tools"
"$directory/tools/bin/pip" install --quiet --require-hashes --no-deps \
    --requirement "$here/build.lock"
"$directory/tools/bin/pip" wheel --quiet --require-hashes --no-deps --no-build-isolation \
    --wheel-dir "$directory/wheels" --requirement "$here/requirements.lock"
