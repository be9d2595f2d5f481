#!/usr/bin/env bash
# Build a source distribution and, from that, a wheel; check both, install each into an environment of its own in an empty
# folder, and run it there.
#
#   PYTHON=.venv/bin/python tests/release/run.sh DIST
#
# PYTHON has the extra `release`. Dependencies come from the package index; with BORROW=1 they are those of PYTHON instead,
# so that nothing large is fetched. What DIST had before of fedlite is removed.
set -euo pipefail
here="$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)"
root="$(cd "$here/../.." && pwd)"
python="${PYTHON:?name a python that has the extra release}"
mkdir -p "${1:?name a folder for what is built}"
dist="$(cd "$1" && pwd)"
constraints="$root/constraints.txt"

work="$(mktemp -d)"
trap 'rm -rf "$work"' EXIT
unset PYTHONPATH

rm -f "$dist"/fedlite-*
"$python" -m build --outdir "$dist" "$root" >"$work/build.log" 2>&1 || { cat "$work/build.log"; exit 1; }
"$python" -m twine check --strict "$dist"/fedlite-*

libraries=""
[ -z "${BORROW:-}" ] || libraries="$("$python" -c 'import sysconfig; print(sysconfig.get_path("purelib"))')"
for built in "$dist"/fedlite-*.whl "$dist"/fedlite-*.tar.gz; do
  kind="${built##*.}"
  "$python" -m venv "$work/$kind"
  pip=("$work/$kind/bin/python" -m pip --disable-pip-version-check install --quiet)
  own="$("$work/$kind/bin/python" -c 'import sysconfig; print(sysconfig.get_path("purelib"))')"
  if [ -z "$libraries" ]; then
    # torch goes first and alone, as in the Makefile; what the second environment needs is then here already.
    "${pip[@]}" "$(sed -n 's/^\(torch==[^ ]*\).*/\1/p' "$constraints")"
    "${pip[@]}" -c "$constraints" "$built"
    libraries="$own"
  else
    "${pip[@]}" --no-deps "$built"
    # A .pth file in a folder that a .pth file adds is not read: an editable install there stays out of sight, and a copy
    # of fedlite comes behind the one that is tried.
    echo "$libraries" >"$own/borrowed.pth"
  fi
  mkdir "$work/in-$kind"
  (cd "$work/in-$kind" && "$work/$kind/bin/python" "$here/smoke.py" "$own")
done
ls -l "$dist"/fedlite-*
