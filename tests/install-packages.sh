#!/bin/sh
# Installs those of the named Debian packages that are missing, and starts none of their services.
set -eu

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

install_missing() {
    # shellcheck disable=SC2086  # a list of package names
    apt-get --quiet -o DPkg::Lock::Timeout=300 install --yes --no-install-recommends $missing
}

# The package lists may be absent or older than the archive; fetch them only then.
install_missing || {
    apt-get --quiet -o DPkg::Lock::Timeout=300 update
    install_missing
}
