#!/usr/bin/env bash
# All that is measured on one GPU, stage by stage; a stage that fails or takes too long does not keep the
# others from their turn.
#
#     benchmarks/on_a_gpu.sh TRAIN DEV TEXTS MODEL OUTPUT [STAGE ...]
#
# TRAIN and DEV are folders that `bertsmith prepare` has written, TEXTS a file of 40,000 texts, MODEL a folder with
# a vocabulary. Each stage leaves OUTPUT/STAGE.log, and what it measures besides, in OUTPUT.
#
#   graphs  the speed of BERT-mini and of small batches of BERT-base, with and without CUDA graphs
#   fp8     held-out losses of 1,500 steps of BERT-base with 8-bit products and without
#   embed   texts a second of a random BERT-base, beside transformers and sentence-transformers
#   loss    seconds to a loss, our recipe alone
#   parity  losses of the fast path beside those of the plain one
#   steps   tokens a second of pre-training, beside transformers
#   tests   those that need a GPU
set -u
train=$1 dev=$2 texts=$3 model=$4 output=$5
shift 5
[ $# -gt 0 ] || set -- graphs fp8 embed loss parity steps tests
cd "$(dirname "$0")/.."
mkdir -p "$output"
export PYTHONUNBUFFERED=1
# Python and the package may be an environment's or the system's.
export PYTHONPATH="$PWD/src${PYTHONPATH:+:$PYTHONPATH}"

profile() {
  python3 benchmarks/profile_step.py "$train" --kernels 12 train.compile=true optimizer.name=muon "$@"
}

held_out() {
  python3 benchmarks/time_to_loss.py "$train" "$dev" --systems own --output "$output/$1.json" \
    train.budget_minutes= train.steps=1500 train.eval_every_steps=300 "train.precision=$1"
}

embed() {
  python3 benchmarks/embed.py "$texts" --model "$model" --random-base --device cuda --repeats 4 "$@"
}

stage() {
  case $1 in
  graphs)
    for graphs in false true; do
      profile model.preset=mini data.max_seqlen=128 train.batch_tokens=65536 train.cuda_graphs=$graphs
      profile data.max_seqlen=128 train.batch_tokens=32768 train.precision=fp8 train.cuda_graphs=$graphs
    done
    ;;
  fp8) held_out fp8 && held_out bf16 ;;
  embed)
    embed --count 8000 --only bfloat16 bf16 && embed --length 128 --count 2500 --only "of 512" "ours bf16"
    ;;
  loss)
    python3 benchmarks/time_to_loss.py "$train" "$dev" --systems own --output "$output/times.json"
    ;;
  parity) python3 benchmarks/loss_parity.py "$train" --output "$output/losses.json" ;;
  steps)
    python3 benchmarks/pretrain_step.py "$train" --steps 60 --output "$output/steps.jsonl"
    ;;
  tests) python3 -m pytest -q -p no:cacheprovider -m cuda tests ;;
  *) echo "no stage is called $1" && return 2 ;;
  esac
}

for name in "$@"; do
  start=$SECONDS
  (stage "$name") > "$output/$name.log" 2>&1
  echo "$name: status $?, $((SECONDS - start)) s"
done
