#!/bin/bash
# Build the host image: a Debian root file system, packed as a Vagrant box for the lxc provider.
#
#   SUITE=bookworm SSH_USER=vagrant KEY=FILE images/box/build.sh OUTPUT.box
#
# A disk image for libvirt or VirtualBox is made of the same rootfs.tar; lxc/ holds what is LXC's own.
set -euo pipefail
cd "$(dirname "$0")"
output=$(realpath -m "$1")
work=$(mktemp -d "$output.XXXX")
trap 'rm -rf "$work"' EXIT

# The login outlives the box, so that hosts which run still let us in when the box was built anew.
# RSA in PEM: the one kind of key that Debian's Vagrant reads (ECDSA fails in net-ssh 7.0 with OpenSSL 3,
# Ed25519 wants gems it does not bring).
[ -e "$KEY" ] || ssh-keygen -q -t rsa -b 3072 -m PEM -N '' -C consul-demo -f "$KEY"
cp "$KEY" "$work/vagrant_private_key"
SSH_PUBLIC_KEY=$(cat "$KEY.pub")
export SSH_USER SSH_PUBLIC_KEY

../mmdebstrap.sh minbase packages.txt "$work/rootfs.tar" --customize-hook="./customize.sh \"\$1\""
mv "$work/rootfs.tar" "$work/rootfs.tar.gz" # the name that vagrant-lxc wants; tar tells by the content
sha256sum "$work/rootfs.tar.gz" | cut -c 1-12 > "$work/rootfs.id"
cp lxc/* "$work/"
tar --create --file "$output" --directory "$work" .
