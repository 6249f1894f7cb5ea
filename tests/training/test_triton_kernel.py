"""The kernel of a GPU, compiled to its machine code, for which no GPU is needed: in bounds of registers and memory."""

import re
import subprocess
from pathlib import Path

import pytest
import torch

from gdstudy.training.fused import _FEATURES, Shape

triton = pytest.importorskip("triton", minversion="3.3", reason="a Triton that says what it compiled")
_REAL = dict.fromkeys("ABZVX")
_KINDS = {
    **dict.fromkeys(("first", "largest", "norm", "scale", "bounds"), "*fp64"),
    **dict.fromkeys(("looks", "taken"), "*i64"),
    **{"running": "*i32"},
    **dict.fromkeys(("n_looks", "looking", "k", "width", "P"), "i32"),
}
# Of a multiprocessor of both: what its programs share.
REGISTERS, SHARED = 1 << 16, 48 << 10
TOOLS = Path(triton.__file__).parent / "backends" / "nvidia" / "bin"


def compiled(shape, dtype, features, momentum, architecture):
    """The kernel for a GPU of this compute capability."""
    from triton.backends.compiler import GPUTarget
    from triton.compiler import ASTSource

    from gdstudy.training.triton_kernel import descent

    names = descent.arg_names
    kinds = {**dict.fromkeys(_REAL, "*fp64" if dtype is torch.float64 else "*fp32"), **_KINDS}
    constants = {"SIZE": shape.size, "ROWS": shape.rows, "FEATURES": features, "MOMENTUM": momentum}
    aligned = {
        (place,): [["tt.divisibility", 16]] for place, name in enumerate(names) if name in _REAL or name == "width"
    }
    source = ASTSource(descent, {name: kinds.get(name, "constexpr") for name in names}, constants, aligned)
    options = {"num_warps": shape.warps, "num_stages": 1, "enable_fp_fusion": True}
    return triton.compile(source, target=GPUTarget("cuda", architecture, 32), options=options)


def said_by(tool, *arguments):
    return subprocess.run([TOOLS / tool, *arguments], capture_output=True, text=True, check=True).stdout


def loops_of(assembly):
    """The loops of a program, innermost first, each as its lines; and how many are innermost."""
    # After the end comes what is jumped to from there, and back.
    lines = re.split(r"\*/ +EXIT ;", assembly)[0].splitlines()
    places = {found[1]: at for at, line in enumerate(lines) if (found := re.match(r"(\.L_x_\d+):", line))}
    jumps = ((at, re.search(r"BRA.*`\((\.L_x_\d+)\)", line)) for at, line in enumerate(lines))
    spans = [(places[found[1]], at) for at, found in jumps if found and places.get(found[1], at) < at]
    inner = [a for a in spans if not any(a != b and a[0] <= b[0] and b[1] <= a[1] for b in spans)]
    return [lines[begin : end + 1] for begin, end in sorted(spans, key=lambda span: (span not in inner, span))], len(
        inner
    )


@pytest.fixture(autouse=True)
def _kept_apart(monkeypatch, tmp_path):
    monkeypatch.setenv("TRITON_CACHE_DIR", str(tmp_path))


# Of the older kind the largest that is held and the largest that is read, which need the most.
VARIANTS = [(90, torch.float64, width) for width in (16, 128, 512)]
VARIANTS += [(90, torch.float32, 512), (80, torch.float64, 512)]


@pytest.mark.parametrize(("architecture", "dtype", "width"), VARIANTS)
@pytest.mark.parametrize(("features", "momentum"), [(0, False), (_FEATURES, True)])
def test_no_step_leaves_registers_or_precision(width, dtype, features, momentum, architecture, tmp_path):
    shape = Shape.of(width, dtype.itemsize)
    kernel = compiled(shape, dtype, features, momentum, architecture)
    (tmp_path / "kernel.cubin").write_bytes(kernel.asm["cubin"])
    used = re.search(r"REG:(\d+) STACK:(\d+)", said_by("cuobjdump", "-res-usage", tmp_path / "kernel.cubin"))
    registers, stack = map(int, used.groups())
    assert registers * 32 * shape.warps <= REGISTERS
    assert kernel.metadata.shared <= SHARED
    assert stack <= 128  # bytes a thread, of what is needed once a look
    loops, n_inner = loops_of(said_by("nvdisasm", "-c", tmp_path / "kernel.cubin"))
    if shape.rows < shape.size:  # their steps are loops around those over rows, and store Z
        loops.insert(n_inner, min((loop for loop in loops if any("STG" in line for line in loop)), key=len))
        n_inner += 1
    assert any("FMA" in line for line in loops[0])
    for loop in loops[:n_inner]:
        assert not re.search(r"\b(LDL|STL)\b", "\n".join(loop)), "spilled"
    text = kernel.asm["ptx"]
    assert not re.search(r"\.nc\b|tf32|mma|approx", text)
    # All arithmetic is in the dtype, and norms in float64.
    assert bool(re.search(r"\bfma\S*\.f64", text))
    assert bool(re.search(r"\bf32|\.f32", text)) == (dtype is torch.float32)


def test_what_would_be_seen_if_registers_did_not_suffice(tmp_path):
    """Negative control: a matrix of 128 × 128 numbers of float64 on a quarter of the warps."""
    kernel = compiled(Shape(128, 128, 4), torch.float64, 0, False, 90)
    (tmp_path / "kernel.cubin").write_bytes(kernel.asm["cubin"])
    loops, n_inner = loops_of(said_by("nvdisasm", "-c", tmp_path / "kernel.cubin"))
    assert any(re.search(r"\b(LDL|STL)\b", "\n".join(loop)) for loop in loops[:n_inner])
