#!/usr/bin/env bash
# All that a GPU can say about fastnn, in one call of at most nine minutes: builds for this GPU, runs the tests on it,
# then compute-sanitizer over one case of each operation, trains on GPU and CPU side by side, and measures. A short
# table comes last; logs and JSON go to a folder.
#
#   bash bench/gpu_check.sh [--emulate] [folder, bench/results by default]
#
# Needs nvcc, CMake, Ninja and a Python with NumPy, pytest, hypothesis and pybind11; PyTorch is measured beside fastnn
# where it is installed. --emulate tries the script itself out on a machine without a GPU, where times mean nothing.
set -uo pipefail
cd "$(dirname "$0")/.."
emulate=false
[ "${1:-}" = --emulate ] && emulate=true && shift
mkdir -p "${1:-bench/results}"
out=$(cd "${1:-bench/results}" && pwd)
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
table=()
failed=0

# step <seconds at most> <name> <command ...>: its output goes to <folder>/gpu-<name>.log
step() {
  local limit=$1 name=$2 start=$SECONDS status=ok
  shift 2
  $emulate && limit=$((limit * 6))
  timeout --kill-after=5 "$limit" "$@" >"$out/gpu-$name.log" 2>&1
  local code=$?
  [ $code -eq 124 ] && status="stopped after $limit s"
  [ $code -ne 0 ] && [ $code -ne 124 ] && status="failed ($code)"
  [ $code -ne 0 ] && failed=1
  table+=("$(printf '%-12s %-20s %4d s  %s' "$name" "$status" $((SECONDS - start)) \
    "$(grep -E 'passed|failed|ERROR SUMMARY|agree|best rival|built' "$out/gpu-$name.log" | tail -1 | cut -c1-110)")")
}

build() {
  local kind=ON architectures
  if $emulate; then
    kind=EMULATE architectures=90a
  else
    architectures=$(nvidia-smi --query-gpu=compute_cap --format=csv,noheader | head -1 | tr -d .)
    [ "$architectures" = 90 ] && architectures=90a
  fi
  cmake -G Ninja -S . -B "$work/build" -DCMAKE_BUILD_TYPE=Release -DFASTNN_CUDA=$kind \
    -DCMAKE_CUDA_ARCHITECTURES="$architectures-real" -DCMAKE_PREFIX_PATH="$(python3 -m pybind11 --cmakedir)" \
    -DPython_EXECUTABLE="$(command -v python3)" || return
  ninja -C "$work/build" || return
  mkdir -p "$work/site" && cp -r python/fastnn "$work/site/" || return
  rm -f "$work"/site/fastnn/*.so
  cp "$work"/build/_C*.so "$work"/build/libfastnn_cuda.so "$work/site/fastnn/" && echo "built for $architectures"
}
export -f build
export emulate work

tests=(python3 -m pytest -q -p no:cacheprovider)
sanitizer() {
  compute-sanitizer --tool "$1" --error-exitcode 9 --print-limit 20 \
    "${tests[@]}" --device cuda --first-cases tests/test_ops.py -k "test_value or test_float32_gradient"
}

{ nvidia-smi -L; nvidia-smi; nvcc --version; } >"$out/gpu-machine.log" 2>&1
step 150 build bash -c build
export PYTHONPATH="$work/site:$PWD${PYTHONPATH:+:$PYTHONPATH}"
if [ -e "$work/site/fastnn/libfastnn_cuda.so" ]; then
  step 120 tests "${tests[@]}" --device cuda
  if ! $emulate && command -v compute-sanitizer >/dev/null; then
    export -f sanitizer
    for tool in memcheck racecheck; do
      step 50 $tool bash -c "$(declare -p tests); sanitizer $tool"
    done
  fi
  step 30 agreement python3 -m bench.agreement
  cases=("step " "epoch " "matmul: " "conv2d forward" "conv2d input" "conv2d weight" "64 MB")
  $emulate && cases=("step 784-30-10" "matmul: 32 x" "LeNet 1")
  step 140 benchmark python3 -m bench --device cuda --rounds 2 --seconds 0.05 --out "$out/gpu.json" \
    "${cases[@]/#/--filter=}"
fi

cat "$out/gpu-benchmark.log" 2>/dev/null | tail -80
printf '\n%s\n' "$(grep -m1 '^GPU 0:' "$out/gpu-machine.log" || echo 'no GPU')"
printf '%s\n' "${table[@]}"
exit $failed
