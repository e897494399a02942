#!/bin/sh
# Trains an image model in parts, a process each, under whatever starts processes here, and merges them.
#
#   sh tests/paper/parts.sh IMAGES PARTS MODEL.drfm [options of drfm image train]
#
# Uses GNU parallel if it is there, else xargs. Under Slurm the same is an array job:
#
#   sbatch --array=1-4 --wrap 'drfm image train IMAGES --count all --shard $SLURM_ARRAY_TASK_ID/4 \
#     --stats-out part$SLURM_ARRAY_TASK_ID.stats'
#   drfm merge part*.stats -o MODEL.drfm
set -eu
images=$1 parts=$2 model=$3
shift 3
drfm=${DRFM:-drfm}
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
if command -v parallel >/dev/null 2>&1; then
  seq "$parts" | parallel --halt now,fail=1 -j 2 \
    "$drfm" image train "$images" --count all --shard "{}/$parts" --stats-out "$folder/{}.stats" "$@"
else
  seq "$parts" | xargs -P 2 -I '{}' \
    "$drfm" image train "$images" --count all --shard "{}/$parts" --stats-out "$folder/{}.stats" "$@"
fi
"$drfm" merge "$folder"/*.stats -o "$model"
