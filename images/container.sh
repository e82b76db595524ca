#!/bin/bash
# Build container images with buildah: no Docker engine is needed, and no registry.
#
#   images/container.sh base ROOTFS.tar OUTPUT.tar            the image every Dockerfile here begins FROM
#   images/container.sh NAME BASE.tar OUTPUT.tar [NAME=FILE...]   the image of images/NAME; FILEs join its context
#
# OUTPUT.tar is what `docker load` takes. TAG names the image. A requirements.txt beside the Dockerfile is
# installed into the context's site/ here, because the images' builder has no network and no pip.
set -euo pipefail
name=$1 from=$2 output=$(realpath -m "$3")
shift 3
here=$(dirname "$(realpath "$0")")
work=$(mktemp -d "$output.XXXX")
buildah() { command buildah --root "$work/store" --runroot "$work/run" --storage-driver overlay "$@"; }
clean() {
    umount "$work/store/overlay" 2>/dev/null || true
    rm -rf "$work"
}
trap clean EXIT

base=localhost/consul-demo/base
if [ "$name" = base ]; then
    container=$(buildah from scratch)
    buildah add --quiet "$container" "$from" /
    buildah commit --quiet --rm "$container" "$base"
    buildah push --quiet "$base" "docker-archive:$output:$base:latest"
    exit
fi

buildah pull --quiet "docker-archive:$from"
cp -r "$here/$name" "$work/context"
for file in "$@"; do cp "${file#*=}" "$work/context/${file%%=*}"; done
if [ -e "$work/context/requirements.txt" ]; then
    "$here/wheels.sh" "$work/context/requirements.txt" "$work/context/site"
fi
buildah bud --quiet --isolation chroot --pull-never --tag "$TAG" "$work/context"
buildah push --quiet "$TAG" "docker-archive:$output:$TAG:latest"
