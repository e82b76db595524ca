#!/bin/bash
# Install the packages of a requirements file for the hosts' Python into a folder: the hosts have no index.
#
#   PYTHON=.venv/bin/python images/wheels.sh REQUIREMENTS.txt FOLDER
set -euo pipefail
"$PYTHON" -m pip install --quiet --disable-pip-version-check --only-binary=:all: --python-version 3.11 \
    --target "$2" --requirement "$1"
