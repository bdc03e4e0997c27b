#!/usr/bin/env bash
# Runs the tests against the extension in a sanitizer build (CMake folder as the argument), with the package's Python
# beside it. Python itself leaks at exit, so leaks are not looked for.
set -euo pipefail
build=$(cd "$1" && pwd)
cd "$(dirname "$0")/.."
stage=$(mktemp -d)
trap 'rm -rf "$stage"' EXIT
cp -r python/fastnn "$stage/fastnn"
rm -f "$stage"/fastnn/*.so
cp "$build"/_C*.so "$stage/fastnn/"
if [ -e "$build/libfastnn_cuda.so" ]; then cp "$build/libfastnn_cuda.so" "$stage/fastnn/"; fi
site=$(python -c 'import sysconfig; print(sysconfig.get_path("purelib"))')
# The stage comes first on the path, before any installed fastnn.
export PYTHONPATH="$stage:$site" ASAN_OPTIONS=detect_leaks=0:halt_on_error=1 UBSAN_OPTIONS=print_stacktrace=1
LD_PRELOAD="$(g++ -print-file-name=libasan.so) $(g++ -print-file-name=libubsan.so)" \
  python -m pytest -q -x -p no:cacheprovider --capture=sys tests/test_ops.py tests/test_tensor_*.py tests/test_autograd.py \
  tests/test_random.py tests/test_threads.py tests/test_errors_*.py tests/test_beside_numpy.py \
  tests/test_compile*.py tests/test_fusion.py tests/test_run_epoch*.py tests/test_augment*.py tests/test_simd_math.py \
  tests/test_matmul_*.py tests/test_conv2d_*.py \
  -k "not fork" "${@:2}"
