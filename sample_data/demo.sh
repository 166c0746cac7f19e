#!/bin/sh
# The main job on the sample catalog: how well is a product found by a photo of it, before and after training?
set -eu
here=$(cd "$(dirname "$0")" && pwd)
work=$(mktemp -d)
sheet=$(pwd)/demo.png
cd "$work"
trap 'rm -rf "$work"' EXIT

scores() { # Recall@1 and MAP@R of the photos in sample_data/queries, of what `dmlcli eval` is given
    dmlcli eval "$@" --format json --quiet 2>/dev/null | python -c 'import json, sys
found = json.load(sys.stdin)["metrics"]
print("{:5.1f} %    {:5.1f} %".format(100 * found["recall@1"], 100 * found["map@r"]))'
}
say() { printf '\n\033[1m%s\033[0m\n' "$*"; }

say "1. Color histograms, for comparison"
python "$here/histogram.py" "$here/catalog" catalog.npz
python "$here/histogram.py" "$here/queries" queries.npz
histogram=$(scores catalog.npz --queries queries.npz)

say "2. Search without training: dmlcli train ./catalog --tune none"
dmlcli train "$here/catalog" --tune none
before=$(scores "$here/catalog" --queries "$here/queries")

say "3. Training: dmlcli train ./catalog --loss proxy-anchor"
dmlcli train "$here/catalog" --loss proxy-anchor
after=$(scores "$here/catalog" --queries "$here/queries")

say "4. Search: dmlcli query img.jpg"
photo="$here/queries/chair-club-navy/2.jpg"
dmlcli query "$photo" -k 5 --format table --sheet "$sheet"

say "The right product came first for, of 108 photos (Recall@1), and how all its photos rank (MAP@R):"
printf '  %-18s %s\n' "" " Recall@1     MAP@R" "color histogram" "$histogram" "before training" "$before" "after training" "$after"
say "The answer as a picture: $sheet"
