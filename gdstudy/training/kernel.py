"""Gradient descent on one cell as machine code: all its steps at once, in registers and a core's own cache.

Products of small matrices cost PyTorch ten times what their arithmetic does: each step goes through all cells, and so
through memory, and through a call. Here a cell stays until it has taken its steps. Written in LLVM's language for the
sizes at hand, by llvmlite (the extra `fast`); compiled in some .1 s a size.
"""

from __future__ import annotations

import ctypes
import os
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from functools import cache
from importlib.util import find_spec
from typing import Any

LANES = 8  # numbers of a vector; a machine with shorter ones takes several
# What a GIL-free call is given: pointers, and after them the number of looks and the first and last cell.
_POINTERS = ("A", "B", "Z", "V", "X", "G", "first", "largest", "norm", "scale", "bounds", "looks", "taken")


def available() -> bool:
    """Whether llvmlite is installed, and GDSTUDY_FAST is not 0."""
    return os.environ.get("GDSTUDY_FAST") != "0" and find_spec("llvmlite") is not None


@dataclass(frozen=True)
class Tiling:
    """How a product of k vectors with a matrix M (depth, rows) is divided, so that its sums stay in registers.

    A tile is `vectors` of LANES rows for `outputs` of the k vectors at once. chains: sums that one number is added up
    in, side by side, where there would be too few to keep the processor busy; they depend on k alone, and so do digits.
    """

    depth: int
    tiles: int
    vectors: int
    passes: int
    outputs: int
    chains: int

    @classmethod
    def of(cls, depth: int, rows: int, k: int, sums: int) -> Tiling:
        """sums: how many vectors the registers hold beside what is being multiplied."""
        chains = 4 if k == 1 else 2 if k < 4 else 1
        passes = -(-k // 5)
        outputs = -(-k // passes)
        vectors = -(-rows // LANES)
        tiles = -(-vectors // max(1, sums // (chains * outputs)))
        return cls(-(-depth // chains) * chains, tiles, -(-vectors // tiles), passes, outputs, chains)

    @property
    def tile(self) -> int:
        """Rows of a tile."""
        return self.vectors * LANES

    @property
    def width(self) -> int:
        """Rows with their padding."""
        return self.tiles * self.tile

    @property
    def k(self) -> int:
        """Vectors with their padding."""
        return self.passes * self.outputs


@dataclass(frozen=True)
class Kernel:
    """Descent for one size of Gram matrix.

    gram: how A is held, (C, tiles, depth, tile); with it B, Z and V as (C, k, width), all padded with zeros. features:
    so X, where the gradient norm needs it. run(pointers of _POINTERS, looks, first cell, last cell) lets other Python
    threads go on.
    """

    gram: Tiling
    features: Tiling | None
    run: Callable[..., None]
    code: Any  # the machine code lives as long as this


@cache
def kernel(n: int, k: int, P: int, single: bool, momentum: bool, sums: int | None = None) -> Kernel:
    """W ← W − η∇L for cells of Gram matrices (n, n) and k outputs, with looks at ‖∇L‖ between.

    Of each cell A = ηXXᵀ or ηXᵀX, B and Z as in `gram.py`. A step is Z ← Z − (ZA − B), with momentum V ← βV + (ZA − B),
    Z ← Z − V. After looks[0], looks[1], … steps ‖∇L‖ = ‖ZA − B‖ or, with P > 0, ‖(ZA − B)X‖, X (n, P), each times and
    over the cell's scale (2,), a power of two and what makes the norm whole; it ends where that norm is at most
    tolerance times the `largest` it had or, over the `first`, not at most divergence. norm: at its end; taken: looks.
    bounds: tolerance, divergence, momentum. single: float32; norms are float64. sums: as in `Tiling.of`.
    """
    import llvmlite.binding as llvm

    llvm.initialize_native_target()
    llvm.initialize_native_asmprinter()
    features = llvm.get_host_cpu_features()
    sums = sums or (24 if features.get("avx512f") else 6)
    gram = Tiling.of(n, n, k, sums)
    of_features = Tiling.of(n, P, k, sums) if P else None
    module = llvm.parse_assembly(str(_Descent(gram, of_features, single, momentum).module))
    module.verify()
    machine = llvm.Target.from_default_triple().create_target_machine(
        cpu=llvm.get_host_cpu_name(), features=features.flatten(), opt=3
    )
    passes = llvm.create_pass_builder(machine, llvm.create_pipeline_tuning_options(speed_level=2))
    passes.getModulePassManager().run(module, passes)
    engine = llvm.create_mcjit_compiler(module, machine)
    engine.finalize_object()
    kind = ctypes.CFUNCTYPE(None, *[ctypes.c_void_p] * len(_POINTERS), *[ctypes.c_int64] * 3)
    return Kernel(gram, of_features, kind(engine.get_function_address("descent")), engine)


class _Descent:
    """Writes `module`, with one function `descent`."""

    def __init__(self, gram: Tiling, features: Tiling | None, single: bool, momentum: bool) -> None:
        from llvmlite import ir

        self.ir, self.gram, self.features, self.momentum = ir, gram, features, momentum
        self.int, self.double = ir.IntType(64), ir.DoubleType()
        self.real = ir.FloatType() if single else self.double
        self.vector, self.doubles = ir.VectorType(self.real, LANES), ir.VectorType(self.double, LANES)
        self.bytes = 4 if single else 8
        self.module = ir.Module("gdstudy")
        kinds = [self.real] * 6 + [self.double] * 5 + [self.int] * 2
        signature = [kind.as_pointer() for kind in kinds] + [self.int] * 3
        function = ir.Function(self.module, ir.FunctionType(ir.VoidType(), signature), "descent")
        pointers, (n_looks, begin, end) = function.args[: len(kinds)], function.args[len(kinds) :]
        for pointer in pointers:
            pointer.add_attribute("noalias")
        self.args = dict(zip(_POINTERS, pointers, strict=True))
        self.b = ir.IRBuilder(function.append_basic_block())
        with self.loop(begin, end) as cell:
            self.descend(cell, n_looks)
        self.b.ret_void()

    # The language

    def count(self, value: int) -> Any:
        return self.ir.Constant(self.int, value)

    def zeros(self, kind: Any) -> Any:
        return self.ir.Constant(kind, [0.0] * LANES)

    def sum(self, first: Any, *others: Any) -> Any:
        for other in others:
            first = self.b.add(first, other)
        return first

    def times(self, index: Any, size: int) -> Any:
        return self.b.mul(index, self.count(size))

    def at(self, pointer: Any, index: Any) -> Any:
        return self.b.gep(pointer, [index])

    def number(self, pointer: Any, index: Any) -> Any:
        return self.b.load(self.at(pointer, index))

    def load(self, pointer: Any, index: Any) -> Any:
        loaded = self.b.load(self.b.bitcast(self.at(pointer, index), self.vector.as_pointer()))
        loaded.align = self.bytes
        return loaded

    def store(self, value: Any, pointer: Any, index: Any) -> None:
        stored = self.b.store(value, self.b.bitcast(self.at(pointer, index), self.vector.as_pointer()))
        stored.align = self.bytes

    def variable(self, value: Any) -> Any:
        with self.b.goto_entry_block():
            variable = self.b.alloca(value.type)
        self.b.store(value, variable)
        return variable

    def splat(self, value: Any) -> Any:
        kind = self.ir.VectorType(value.type, LANES)
        empty = self.ir.Constant(kind, self.ir.Undefined)
        alone = self.b.insert_element(empty, value, self.ir.Constant(self.ir.IntType(32), 0))
        return self.b.shuffle_vector(
            alone, empty, self.ir.Constant(self.ir.VectorType(self.ir.IntType(32), LANES), None)
        )

    def call(self, name: str, *values: Any, returns: Any = None) -> Any:
        """One of LLVM's own functions."""
        kind = self.ir.FunctionType(returns or values[0].type, [value.type for value in values])
        function = self.module.globals.get(name) or self.ir.Function(self.module, kind, name)
        return self.b.call(function, values)

    def fma(self, x: Any, y: Any, z: Any) -> Any:
        """xy + z, in one operation where the machine has it."""
        return self.call(f"llvm.fmuladd.v{LANES}f{32 if x.type.element == self.ir.FloatType() else 64}", x, y, z)

    @contextmanager
    def loop(self, begin: Any, end: Any, step: int = 1) -> Iterator[Any]:
        before, b = self.b.block, self.b
        head, body, after = (b.append_basic_block() for _ in range(3))
        b.branch(head)
        b.position_at_end(head)
        index = b.phi(self.int)
        index.add_incoming(begin, before)
        b.cbranch(b.icmp_signed("<", index, end), body, after)
        b.position_at_end(body)
        yield index
        index.add_incoming(b.add(index, self.count(step)), b.block)
        b.branch(head)
        b.position_at_end(after)

    # The mathematics

    def product(self, tiling: Tiling, M: Any, v: Any, finish: Callable[..., None], start: Any = None) -> None:
        """finish(index of a vector in the result (k, width), the vector) for all of Mv + start."""
        t, b = tiling, self.b
        with self.loop(self.count(0), self.count(t.tiles)) as tile, self.loop(self.count(0), self.count(t.passes)) as p:
            M = self.at(M, self.times(tile, t.depth * t.tile))
            output = [b.add(self.times(p, t.outputs), self.count(o)) for o in range(t.outputs)]
            row = [b.add(self.times(tile, t.tile), self.count(i * LANES)) for i in range(t.vectors)]
            place = {
                (i, o): b.add(row[i], self.times(output[o], t.width))
                for i in range(t.vectors)
                for o in range(t.outputs)
            }
            sums = {
                (s, i, o): self.variable(start(at) if start and s == 0 else self.zeros(self.vector))
                for s in range(t.chains)
                for (i, o), at in place.items()
            }
            with self.loop(self.count(0), self.count(t.depth), t.chains) as first:
                for s in range(t.chains):
                    j = b.add(first, self.count(s))
                    column = [
                        self.load(M, self.sum(self.times(j, t.tile), self.count(i * LANES))) for i in range(t.vectors)
                    ]
                    for o in range(t.outputs):
                        x = self.splat(self.number(v, b.add(self.times(output[o], self.gram.width), j)))
                        for i in range(t.vectors):
                            total = sums[s, i, o]
                            b.store(self.fma(column[i], x, b.load(total)), total)
            for (i, o), at in place.items():
                parts = [b.load(sums[s, i, o]) for s in range(t.chains)]
                while len(parts) > 1:
                    parts = [b.fadd(x, y) for x, y in zip(parts[::2], parts[1::2], strict=True)]
                finish(at, parts[0])

    def gradient(self, A: Any, B: Any, Z: Any) -> None:
        """G ← ZA − B."""
        self.product(
            self.gram, A, Z, lambda at, g: self.store(g, self.args["G"], at), lambda at: self.b.fneg(self.load(B, at))
        )

    def step(self, Z: Any, V: Any) -> None:
        """Z ← Z − G or, with momentum, V ← βV + G, Z ← Z − V."""
        beta = self.number(self.args["bounds"], self.count(2))
        beta = self.splat(beta if self.real is self.double else self.b.fptrunc(beta, self.real))
        with self.loop(self.count(0), self.count(self.gram.k * self.gram.width), LANES) as at:
            change = self.load(self.args["G"], at)
            if self.momentum:
                change = self.fma(beta, self.load(V, at), change)
                self.store(change, V, at)
            self.store(self.b.fsub(self.load(Z, at), change), Z, at)

    def norm(self, X: Any, cell: Any) -> Any:
        """‖G‖ or ‖GX‖, without units while it is squared."""
        b, G = self.b, self.args["G"]
        scale = [self.number(self.args["scale"], b.add(self.times(cell, 2), self.count(i))) for i in range(2)]
        unit, squares = self.splat(scale[0]), self.variable(self.zeros(self.doubles))

        def add(at: Any, values: Any) -> None:
            values = b.fmul(unit, values if self.real is self.double else b.fpext(values, self.doubles))
            b.store(self.fma(values, values, b.load(squares)), squares)

        if self.features:
            self.product(self.features, X, G, add)
        else:
            with self.loop(self.count(0), self.count(self.gram.k * self.gram.width), LANES) as at:
                add(at, self.load(G, at))
        zero = self.ir.Constant(self.double, 0.0)
        total = self.call(f"llvm.vector.reduce.fadd.v{LANES}f64", zero, b.load(squares))
        return b.fmul(self.call("llvm.sqrt.f64", total), scale[1])

    def descend(self, cell: Any, n_looks: Any) -> None:
        """All steps of one cell, to its last look or its end."""
        b, gram = self.b, self.gram
        A = self.at(self.args["A"], self.times(cell, gram.tiles * gram.depth * gram.tile))
        B, Z, V = (self.at(self.args[name], self.times(cell, gram.k * gram.width)) for name in "BZV")
        X = self.args["X"]
        if self.features:
            X = self.at(X, self.times(cell, self.features.tiles * self.features.depth * self.features.tile))
        tolerance, divergence = (self.number(self.args["bounds"], self.count(i)) for i in range(2))
        first = self.number(self.args["first"], cell)
        largest, norm, taken = (self.at(self.args[name], cell) for name in ("largest", "norm", "taken"))
        after = b.append_basic_block()
        self.gradient(A, B, Z)
        with self.loop(self.count(0), n_looks) as look:
            with self.loop(self.count(0), self.number(self.args["looks"], look)):
                self.step(Z, V)
                self.gradient(A, B, Z)
            size, top = self.norm(X, cell), b.load(largest)
            top = b.select(b.fcmp_ordered(">", size, top), size, top)
            for value, pointer in ((size, norm), (top, largest), (b.add(look, self.count(1)), taken)):
                b.store(value, pointer)
            within = b.fcmp_ordered("<=", b.fdiv(size, first), divergence)
            goes_on = b.and_(within, b.fcmp_ordered(">", size, b.fmul(tolerance, top)))
            further = b.append_basic_block()
            b.cbranch(goes_on, further, after)
            b.position_at_end(further)
        b.branch(after)
        b.position_at_end(after)
