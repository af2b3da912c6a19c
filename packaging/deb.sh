#!/bin/sh
# Builds the package for a Debian release from the files of this source, in a copy of a clean root:
# `deb.sh RELEASE DIRECTORY`, as root. With $VERSION it has that version, else that of setup.cfg.
set -eu

release=$1
output=$2
source=$(cd "$(dirname "$0")/.." && pwd)
case $release in
bookworm) suffix=~deb12 ;;
trixie) suffix=~deb13 ;;
*) echo "no package is made for $release" >&2; exit 2 ;;
esac
version=${VERSION:-$(sed -n 's/^version = //p' "$source/setup.cfg")}$suffix

if [ "$(id -u)" -ne 0 ]; then
    echo "root is needed to build in a root of its own" >&2
    exit 1
fi
sh "$source/tests/install-packages.sh" debootstrap

root=$(sh "$source/packaging/root.sh" "$release")
work=$(mktemp -d "${root%/*}/build.XXXXXX")
trap 'rm -rf "$work"' EXIT
trap 'exit 1' HUP INT TERM
upper=$work/upper
mkdir -p "$upper/build/alignd" "$upper/etc" "$work/work" "$work/root" "$output"

cd "$source"
git ls-files -z --cached --others --exclude-standard |
    tar --create --null --files-from=- --ignore-failed-read 2>/dev/null |
    tar --extract --directory="$upper/build/alignd"
sed -i "1s/([^)]*) [a-z]*;/($version) $release;/" "$upper/build/alignd/debian/changelog"
# How this machine reaches its nameserver and package index. Nothing else of it gets in.
cp -L /etc/resolv.conf "$upper/etc/resolv.conf"
certificates=
if [ -n "${PIP_CERT:-}" ]; then
    cp -L "$PIP_CERT" "$upper/build/certificates.pem"
    certificates=/build/certificates.pem
fi

# In a mount namespace of its own, so that nothing stays mounted whatever happens.
unshare --mount --propagation=private sh -eu -c '
    work=$2
    mount -t overlay -o "lowerdir=$1,upperdir=$2/upper,workdir=$2/work" overlay "$2/root"
    mount --rbind /proc "$2/root/proc"
    mount --rbind /dev "$2/root/dev"
    shift 2
    exec chroot "$work/root" env -i LC_ALL=C.UTF-8 TZ=UTC HOME=/build \
        PATH=/usr/sbin:/usr/bin:/sbin:/bin "$@" sh /build/alignd/packaging/in-root.sh
' sh "$root" "$work" ${certificates:+PIP_CERT="$certificates"} \
    ${PIP_INDEX_URL:+PIP_INDEX_URL="$PIP_INDEX_URL"} ${https_proxy:+https_proxy="$https_proxy"}

cp "$upper"/build/*.deb "$output"
rm -rf "${output:?}/wheels-$release"
cp -r "$upper/build/wheels" "$output/wheels-$release"
cp "$upper"/build/alignd/dist/*.whl "$output/wheels-$release"
ls "$output"/*"$version"*.deb
[ ! -e "$upper/build/lintian.failed" ]
