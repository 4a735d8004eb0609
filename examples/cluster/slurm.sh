#!/bin/sh
# A render as a Slurm array: one task for each range of frames, then one job that joins them.
#
#     sh examples/cluster/slurm.sh clip.mp4 ink out.mp4 172800
#
# The arguments are a clip, a style, the output and the number of frames. All nodes need vidstyle
# and the same path to the clip. Add --gres=gpu:1 to the first sbatch for nodes with GPUs.
set -eu
clip=$1 style=$2 output=$3 frames=$4
range=240 # frames of a task

last=$(((frames - 1) / range))
array=$(sbatch --parsable --array="0-$last" --cpus-per-task=2 --requeue --wrap "
    number=\$(printf %06d \$SLURM_ARRAY_TASK_ID)
    start=\$((SLURM_ARRAY_TASK_ID * $range))
    exec vidstyle render '$clip' '$style' --frames \$start-\$((start + $range - 1)) \
        -y -o \"\$number.${output##*/}.segments\"")

sbatch --dependency="afterok:$array" --wrap "
    exec vidstyle join [0-9]*.'${output##*/}'.segments --source '$clip' -o '$output'"
