#!/bin/sh
# Installs those of the named Debian packages that are missing. Of their services none is started,
# now or at the next boot. With --ask before the names, a person at a terminal is asked first, and
# it is said at once if what they are for needs root, too.
set -eu

is_asked=
if [ "${1:-}" = --ask ]; then
    is_asked=yes
    shift
    if [ "$(id -u)" -ne 0 ] && ! command -v sudo >/dev/null; then
        echo "root is needed, to make a network of its own and to run mail servers in it" >&2
        exit 1
    fi
fi

missing=
for package in "$@"; do
    status=$(dpkg-query --show --showformat='${db:Status-Status}' "$package" 2>/dev/null) || status=
    [ "$status" = installed ] || missing="$missing $package"
done
[ -n "$missing" ] || exit 0

if ! command -v apt-get >/dev/null; then
    echo "no apt-get here; these are to be installed by other means:$missing" >&2
    exit 1
fi
if [ "$is_asked" ] && [ -t 0 ]; then
    echo "These Debian packages are missing, and are installed now; none of their services is"
    printf 'started or enabled:%s\nGo on? [y/N] ' "$missing"
    read -r answer
    case $answer in
    [yY]*) ;;
    *) exit 1 ;;
    esac
fi
if [ "$(id -u)" -ne 0 ]; then
    if ! command -v sudo >/dev/null; then
        echo "root is needed to install these Debian packages:$missing" >&2
        exit 1
    fi
    exec sudo sh "$0" "$@"
fi

echo "installing the Debian packages:$missing"
export DEBIAN_FRONTEND=noninteractive

# Package scripts ask this program before they start a service; one that is there has its reasons.
policy=/usr/sbin/policy-rc.d
if [ ! -e "$policy" ]; then
    trap 'rm -f "$policy"' EXIT
    trap 'exit 1' HUP INT TERM
    printf '#!/bin/sh\nexit 101\n' >"$policy"
    chmod 755 "$policy"
fi

# Without a main.cf, which "No configuration" leaves out, Postfix does not start at boot either.
case "$missing " in
*" postfix "*)
    echo 'postfix postfix/main_mailer_type select No configuration' | debconf-set-selections
    ;;
esac
# It would bring a database client, and ask it for a database that is not there.
case "$missing " in
*" opendmarc "*)
    dpkg-query --show dbconfig-mysql >/dev/null 2>&1 || missing="$missing dbconfig-no-thanks"
    ;;
esac

enabled() {
    find /etc/systemd/system -path '*.wants/*' -printf '%f\n' 2>/dev/null | sort -u
}
before=$(enabled)

install_missing() {
    # shellcheck disable=SC2086  # a list of package names
    apt-get --quiet -o DPkg::Lock::Timeout=300 install --yes --no-install-recommends $missing
}

# The package lists may be absent or older than the archive; fetch them only then.
install_missing || {
    apt-get --quiet -o DPkg::Lock::Timeout=300 update
    install_missing
}

# What was enabled before was so by somebody who wants it.
command -v systemctl >/dev/null || exit 0
enabled | while read -r unit; do
    echo "$before" | grep --quiet --line-regexp --fixed-strings -e "$unit" ||
        systemctl --quiet disable "$unit"
done
