#!/usr/bin/env bash
# Installs docker-registry 0.9.1, the last of its line, from PyPI into a folder, and writes a command FOLDER/serve that starts it.
#
#     install_docker_registry.sh FOLDER
#
# It needs Python 2.7 with pip (PYTHON27 names one; else python2.7 is looked for on the PATH and among pyenv's versions), a C
# compiler, and liblzma's headers. Exit code 3: there is no such Python. The Python itself is left as it is.
#
# The package does not install by itself any more, so its dependencies are named here:
# * gevent and greenlet in versions that come compiled, for those it pins do not build with today's OpenSSL;
# * of Flask's dependencies, which it does not pin, the last ones for Python 2.7;
# * no M2Crypto, which it wants for a key that is not configured here; an empty module stands in its place;
# * no boto and no SQLAlchemy, which it wants for object stores and for search.
set -euo pipefail
folder=$(realpath -m "$1")

find_python() {
    local candidate
    for candidate in "${PYTHON27:-}" "$(command -v python2.7 || true)" "${PYENV_ROOT:-$HOME/.pyenv}"/versions/2.7.*/bin/python2.7; do
        # a shim of pyenv may be there although it starts nothing
        if [ -n "$candidate" ] && "$candidate" -m pip --version >/dev/null 2>&1; then
            echo "$candidate"
            return
        fi
    done
    echo "Python 2.7 with pip is needed: pyenv install 2.7.18, or set PYTHON27" >&2
    exit 3
}

python=$(find_python)
packages=$folder/packages
mkdir -p "$packages"
# pip says at every turn that Python 2.7 is old
"$python" -m pip install --quiet --disable-pip-version-check --no-deps --target "$packages" \
    docker-registry==0.9.1 docker-registry-core==2.0.3 \
    Flask==0.10.1 Werkzeug==1.0.1 Jinja2==2.11.3 MarkupSafe==1.1.1 itsdangerous==1.1.0 blinker==1.3 \
    gunicorn==19.1.1 gevent==1.4.0 greenlet==0.4.17 \
    PyYAML==3.11 redis==2.10.3 requests==2.3.0 backports.lzma==0.0.3

# its two distributions share a package; together in one folder they need no namespace
touch "$packages/docker_registry/__init__.py" "$packages/docker_registry/drivers/__init__.py" "$packages/backports/__init__.py"
echo 'BIO = RSA = None' >"$packages/M2Crypto.py"

cat >"$folder/serve" <<END
#!/bin/sh
# STORAGE_PATH is the folder of the data; with STANDALONE=false the index at INDEX_ENDPOINT checks the tokens
export PYTHONPATH='$packages' SETTINGS_FLAVOR=local DOCKER_REGISTRY_CONFIG=config_sample.yml
exec '$python' -m gunicorn.app.wsgiapp -k gevent -w 1 -b 127.0.0.1:0 docker_registry.wsgi:application
END
chmod +x "$folder/serve"
PYTHONPATH=$packages "$python" -c 'import gevent, gunicorn, docker_registry.core, backports.lzma'
