#!/bin/sh
# Writes the lock files anew, with the newest versions that setup.cfg allows, for every Python that
# alignd runs on, and the hashes of their files: `lock.sh UV`.
set -eu

uv=$1
cd "$(dirname "$0")/.."
lock() {
    "$uv" pip compile --quiet --universal --python-version 3.11 --generate-hashes --upgrade \
        --no-header --output-file "$@"
}
lock packaging/build.lock packaging/build.in
lock packaging/requirements.lock --extra postgresql --extra reports setup.cfg
lock packaging/development.lock --constraint packaging/requirements.lock \
    --extra postgresql --extra reports --extra test setup.cfg
