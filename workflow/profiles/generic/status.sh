#!/usr/bin/env bash
# The state of Slurm job $1 in the one word that Snakemake wants. A job that Slurm has forgotten has failed: what it made in
# time is found by the next start.
state=$(squeue --noheader --states=all --jobs="$1" --format=%T 2>/dev/null) || {
    scontrol ping >/dev/null 2>&1 || { echo running; exit; } # no answer is no verdict
}
case $state in
    COMPLETED) echo success ;;
    PENDING | RUNNING | CONFIGURING | COMPLETING | SUSPENDED | REQUEUED | REQUEUE_* | STOPPED | STAGE_OUT | RESIZING | SIGNALING | PREEMPTED) echo running ;;
    *) echo failed ;;
esac
