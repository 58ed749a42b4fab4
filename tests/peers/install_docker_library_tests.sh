#!/usr/bin/env bash
# Installs the docker library 6.1.3 for Python from PyPI into a folder, with the tests of its source distribution.
# Later releases ship no tests.
#
#     install_docker_library_tests.sh PYTHON FOLDER
#
# FOLDER/bin/python has the library, and FOLDER/source its tests.
set -euo pipefail
python=$1
folder=$(realpath -m "$2")
export PIP_DISABLE_PIP_VERSION_CHECK=1

"$python" -m venv "$folder"
"$folder/bin/pip" install --quiet setuptools==65.5.1 wheel==0.43.0 setuptools_scm==7.1.0
"$folder/bin/pip" download --quiet --no-deps --no-build-isolation --no-binary docker --dest "$folder" docker==6.1.3
mkdir -p "$folder/source"
tar -xzf "$folder/docker-6.1.3.tar.gz" -C "$folder/source" --strip-components=1
# the tests import paramiko for registries behind ssh; requests above 2.31 do not work with this library
"$folder/bin/pip" install --quiet docker==6.1.3 requests==2.31.0 'urllib3<3' websocket-client==1.6.4 \
    paramiko==3.5.1 packaging pytest==8.3.5 pytest-timeout==2.3.1
