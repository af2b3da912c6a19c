#!/bin/sh
# Makes the minimal root of a Debian release that packages are built in, once, and prints where it
# is: `root.sh RELEASE`, as root. $ALIGND_CACHE has it, else $XDG_CACHE_HOME or /var/cache.
set -eu

release=$1
mirror=${MIRROR:-http://deb.debian.org/debian}
cache=${ALIGND_CACHE:-${XDG_CACHE_HOME:-/var/cache}/alignd-packages}
packages="build-essential debhelper libmilter-dev lintian python3-dev python3-venv"
root=$cache/$release

# One at a time makes it; the others wait, and have it then.
mkdir -p "$cache"
exec 9>"$root.lock"
flock 9

# Whatever is said here is said again when it changes; and a root is as new as its week.
stamp="$release $mirror $packages $(date +%G-%V)"
if [ "$(cat "$root.stamp" 2>/dev/null)" != "$stamp" ]; then
    rm -rf "$root" "$root.stamp"
    {
        debootstrap --variant=minbase "$release" "$root" "$mirror"
        cp -L /etc/resolv.conf "$root/etc/resolv.conf"
        printf '#!/bin/sh\nexit 101\n' >"$root/usr/sbin/policy-rc.d"
        chmod 755 "$root/usr/sbin/policy-rc.d"
        # shellcheck disable=SC2086  # a list of packages
        DEBIAN_FRONTEND=noninteractive chroot "$root" \
            apt-get --quiet install --yes --no-install-recommends $packages
        chroot "$root" apt-get clean
    } >"$root.log" 2>&1 || { tail -n 20 "$root.log" >&2; exit 1; }
    echo "$stamp" >"$root.stamp"
fi
echo "$root"
