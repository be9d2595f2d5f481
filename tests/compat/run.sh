#!/bin/sh
# Run tests/flower and tests/compat with several releases of flwr, each in a virtual environment of its own outside the tree.
#
#   tests/compat/run.sh [VERSION ...]        default: 1.31.0 1.38.0 1.41.0 and the newest that installs ("latest")
#
# The environments hold flwr and what it needs; torch, numpy, ray and the rest are read from the environment of $PYTHON
# (default: the python on PATH), so that nothing large is installed again. They are kept for the next time in
# $FEDLITE_COMPAT, default ~/.cache/fedlite-compat. Further pytest arguments go into $PYTEST_ARGS.
set -eu
root=$(cd "$(dirname "$0")/../.." && pwd)
python=${PYTHON:-python}
home=${FEDLITE_COMPAT:-${XDG_CACHE_HOME:-$HOME/.cache}/fedlite-compat}
versions=${*:-1.31.0 1.38.0 1.41.0 latest}
base=$("$python" -c 'import sysconfig; print(sysconfig.get_path("purelib"))')
failed=''
for version in $versions; do
    venv=$home/flwr-$version
    if [ ! -f "$venv/ready" ] || [ "$version" = latest ]; then
        [ -d "$venv" ] || "$python" -m venv "$venv"
        # The newest release takes what it needs from the base environment, whatever its lower bounds say.
        case $version in latest) set -- --no-deps flwr ;; *) set -- "flwr==$version" ;; esac
        "$venv/bin/python" -m pip install --quiet --disable-pip-version-check --upgrade "$@"
        touch "$venv/ready"
    fi
    # Packages of the venv come first, then those of the base environment, which may be another one than the last time.
    echo "$base" > "$("$venv/bin/python" -c 'import sysconfig; print(sysconfig.get_path("purelib"))')/base.pth"
    # The base environment's fedlite may be an editable install of another tree: this one comes first.
    PYTHONPATH=$root; export PYTHONPATH
    echo "== flwr $("$venv/bin/python" -c 'import importlib.metadata as m; print(m.version("flwr"))') =="
    # shellcheck disable=SC2086
    (cd "$root" && "$venv/bin/python" -m pytest tests/flower tests/compat -m 'not ray and not slow' -p no:cacheprovider ${PYTEST_ARGS:-}) ||
        failed="$failed $version"
done
[ -z "$failed" ] || { echo "failed with:$failed" >&2; exit 1; }
