#!/bin/sh
# Builds the package in the root that deb.sh has entered, from /build/alignd, and asks lintian.
set -eu

cd /build/alignd
umask 022
SOURCE_DATE_EPOCH=$(dpkg-parsechangelog --show-field Timestamp)
export SOURCE_DATE_EPOCH PYTHONHASHSEED=0
sh packaging/wheels.sh /build
# From here on without a network.
unshare --net dpkg-buildpackage --build=binary --no-sign
lintian --fail-on error --info --allow-root --tag-display-limit 0 ../*.changes || echo "$?" >../lintian.failed
