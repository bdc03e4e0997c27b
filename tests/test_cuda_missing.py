"""Machines and builds without CUDA: nothing fails before a GPU is asked for, and then says why."""

from __future__ import annotations

import os
import re
from pathlib import Path

import pytest
from cuda_run import NEEDS_EMULATION, error_of, run

import fastnn as fn

PACKAGE = Path(fn.__file__).parent
LIBRARY = "libfastnn_cuda.so"


@pytest.fixture
def package(tmp_path: Path) -> Path:
    """The package without its CUDA library, as a build without CUDA is."""
    for folder, _, names in os.walk(PACKAGE):
        here = tmp_path / "fastnn" / Path(folder).relative_to(PACKAGE)
        here.mkdir(parents=True, exist_ok=True)
        for name in names:
            if name != LIBRARY and not name.endswith(".pyc"):
                (here / name).symlink_to(Path(folder) / name)
    return tmp_path


WAYS = [
    "fn.zeros(2, device='cuda')",
    "fn.tensor([1.0], device='cuda:0')",
    "fn.ones(2).to('cuda')",
    "fn.ones(2).cuda()",
    "fn.set_default_device('cuda')",
    "fn.nn.Linear(2, 3).to('cuda')",
    "fn.nn.Linear(2, 3, device='cuda')",
    "fn.cuda.synchronize()",
    "fn.cuda.get_device_name()",
    "fn.cuda.Stream()",
]


@pytest.mark.parametrize("way", WAYS)
def test_a_build_without_cuda_says_so(package: Path, way: str) -> None:
    message = error_of(way, package)
    assert message.startswith("RuntimeError [cuda] this build of fastnn has no CUDA library")


def test_without_cuda_questions_are_answered(package: Path) -> None:
    program = """
        print(fn.cuda.is_available(), fn.cuda.device_count(), fn.device("cuda").index)
        print(fn.get_default_device(), fn.ones(2).device, fn.ones(2).is_cuda)
    """
    assert run(program, package) == "False 0 0\ncpu cpu False"


def test_a_file_that_is_no_library(package: Path) -> None:
    (package / "fastnn" / LIBRARY).write_text("nothing")
    message = error_of("fn.zeros(2, device='cuda')", package)
    assert message.startswith("RuntimeError [cuda]")
    assert LIBRARY in message


def test_importing_opens_neither_the_library_nor_the_driver() -> None:
    program = """
        import fastnn.nn, fastnn.optim, fastnn.train
        fn.nn.Linear(2, 3)(fn.ones(4, 2)).sum().backward()
        maps = open("/proc/self/maps").read()
        print("libfastnn_cuda" in maps, "libcuda" in maps, fn.device("cuda"))
    """
    assert run(program) == "False False cuda:0"


@pytest.mark.parametrize(
    "name", ["gpu", "cuda:", "cuda:-1", "cuda:x", "cuda:1x", "CPU", "", "cpu:1"]
)
def test_unknown_devices(name: str) -> None:
    for use in (fn.device, fn.set_default_device, lambda d: fn.zeros(2, device=d)):
        with pytest.raises(ValueError, match=r"expected 'cpu', 'cuda' or 'cuda:<number>'"):
            use(name)


def test_a_device_has_one_name() -> None:
    assert fn.device("cuda") == fn.device("cuda:0") == "cuda" == fn.device("cuda", 0)
    assert hash(fn.device("cuda")) == hash(fn.device("cuda:0"))
    assert fn.device("cuda:1") != fn.device("cuda")
    assert fn.device("cpu") != "cuda"
    assert fn.device("cpu") != "no device"
    assert fn.device("cpu") != 3
    assert repr(fn.device("cuda:1")) == "device(type='cuda', index=1)"
    assert repr(fn.device("cpu")) == "device(type='cpu')"
    assert (fn.device("cuda:1").type, fn.device("cpu").index) == ("cuda", None)


@pytest.mark.skipif(
    not (PACKAGE / LIBRARY).exists() or fn.cuda.is_available(), reason="needs CUDA without a GPU"
)
def test_a_build_with_cuda_on_a_machine_without() -> None:
    assert re.match(
        r"RuntimeError \[cuda\] (there is no NVIDIA driver: libcuda.so.1 was not found"
        r"|the NVIDIA driver is too old: it knows CUDA \d+\.\d, and this build .* needs \d+\.\d"
        r"|there is no GPU, or CUDA_VISIBLE_DEVICES hides it"
        r"|this GPU is an sm_\d+, and fastnn was built for sm_\d+)",
        error_of("fn.zeros(2, device='cuda')"),
    )


@NEEDS_EMULATION
def test_no_gpu() -> None:
    message = error_of("fn.zeros(2, device='cuda')", FASTNN_CUDA_DEVICES=0)
    assert message.startswith("RuntimeError [cuda] there is no GPU")
    assert run("print(fn.cuda.is_available())", FASTNN_CUDA_DEVICES=0) == "False"


@NEEDS_EMULATION
def test_a_gpu_that_is_not_there() -> None:
    message = error_of("fn.zeros(2, device='cuda:1')")
    assert message == "RuntimeError [cuda] there is no GPU 1: the machine has 1"


def test_every_operation_has_kernels_for_gpus() -> None:
    # Of a folder with a cuda.cu the linker asks for every row.
    ops = Path(__file__).resolve().parents[1] / "csrc" / "ops"
    without = [
        p.parent.name for p in ops.glob("*/kernels.inc") if not (p.parent / "cuda.cu").exists()
    ]
    assert list(ops.glob("*/kernels.inc"))
    assert not without
