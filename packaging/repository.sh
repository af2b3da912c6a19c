#!/bin/sh
# Lays out an apt repository of the packages in dist/, and tars of their wheels for machines without
# apt: `repository.sh KEY`. KEY, as gpg names it, signs both; it is the operator's.
set -eu

key=$1
cd "$(dirname "$0")/../dist"
version=$(sed -n 's/^version = //p' ../setup.cfg)
rm -rf repository
mkdir repository
gpg --batch --armor --export "$key" >repository/alignd.asc
[ -s repository/alignd.asc ]

sign() {
    gpg --batch --yes --local-user "$key" "$@"
}

add_release() {
    release=$1 suffix=$2
    pool=pool/$release
    lists=dists/$release/main/binary-amd64
    mkdir -p "$pool" "$lists"
    cp ../alignd_*"~$suffix"_*.deb "$pool"
    apt-ftparchive packages "$pool" >"$lists/Packages"
    gzip --best --no-name --keep "$lists/Packages"
    apt-ftparchive \
        -o APT::FTPArchive::Release::Origin=alignd -o APT::FTPArchive::Release::Label=alignd \
        -o APT::FTPArchive::Release::Suite="$release" \
        -o APT::FTPArchive::Release::Codename="$release" \
        -o APT::FTPArchive::Release::Components=main \
        -o APT::FTPArchive::Release::Architectures=amd64 \
        release "dists/$release" >"dists/$release.new"
    mv "dists/$release.new" "dists/$release/Release"
    sign --clearsign --output "dists/$release/InRelease" "dists/$release/Release"
    sign --armor --detach-sign --output "dists/$release/Release.gpg" "dists/$release/Release"
}

# The wheels, a file that lets pip install these and no others, and what pip does not install.
add_wheels() {
    release=$1 name=alignd-$version-$2
    mkdir -p "wheels/$name"
    cp ../"wheels-$release"/*.whl "wheels/$name"
    cp -rL ../../conf ../../systemd "wheels/$name"
    (
        cd "wheels/$name"
        for wheel in *.whl; do
            rest=${wheel#*-}
            echo "${wheel%%-*}==${rest%%-*} --hash=sha256:$(sha256sum "$wheel" | cut -d' ' -f1)"
        done >requirements.txt
    )
    tar --create --gzip --sort=name --owner=0 --group=0 --numeric-owner --mtime=@0 \
        --directory=wheels --file="wheels/$name.tar.gz" "$name"
    rm -rf "wheels/${name:?}"
}

cd repository
add_release bookworm deb12
add_release trixie deb13
add_wheels bookworm python3.11
add_wheels trixie python3.13
(cd wheels && sha256sum -- *.tar.gz >SHA256SUMS && sign --clearsign --output SHA256SUMS.asc SHA256SUMS)
