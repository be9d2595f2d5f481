#!/usr/bin/env bash
# Take the pictures of docs/gallery.md: the top of each page, light, small enough for a repository.
# docs/site/pictures.sh RUNS_GALLERY TARGET
set -euo pipefail
mkdir -p "$2"
shoot() {
  "${CHROMIUM:-chromium}" --headless --no-sandbox --disable-gpu --hide-scrollbars --window-size=1180,1300 \
    --virtual-time-budget=8000 --screenshot="$2" "file://$(realpath "$1")"
}
shoot "$1/run/report.html" "$2/run.png"
shoot "$1/study/study.html" "$2/study.png"
shoot "$1/compare.html" "$2/compare.png"
shoot "$1/rollout/report.html" "$2/rollout.png"
