"""A function in LLVM's language, written piece by piece: numbers, vectors of LANES numbers, loops."""

from __future__ import annotations

import ctypes
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager
from functools import cache
from typing import Any

LANES = 8  # numbers of a vector; a machine with shorter ones takes several


def machine() -> Any:
    """What the processor at hand can do, for LLVM. What is compiled for it takes it over."""
    import llvmlite.binding as llvm

    llvm.initialize_native_target()
    llvm.initialize_native_asmprinter()
    features = llvm.get_host_cpu_features()
    target = llvm.Target.from_default_triple()
    return target.create_target_machine(cpu=llvm.get_host_cpu_name(), features=features.flatten(), opt=3)


@cache
def registers() -> int:
    """How many vectors of LANES numbers the processor's registers hold."""
    import llvmlite.binding as llvm

    return 32 if llvm.get_host_cpu_features().get("avx512f") else 8


def lanes_held(single: bool) -> int:
    """Numbers of a vector that one register holds; LANES where it holds more."""
    return LANES if single or registers() > 8 else LANES // 2


class Code:
    """One function. An index may be a number of Python's or one that is computed.

    pointers: its first arguments by name, "real" (float64 or, if `single`, float32), "double" or "int" each; counts:
    names of whole numbers that follow. `b` is llvmlite's builder, for what needs no name here.
    """

    def __init__(self, name: str, pointers: Mapping[str, str], counts: tuple[str, ...], single: bool) -> None:
        from llvmlite import ir

        self.ir, self.name, self.int, self.double = ir, name, ir.IntType(64), ir.DoubleType()
        self.real = ir.FloatType() if single else self.double
        kinds = {"real": self.real, "double": self.double, "int": self.int}
        signature = [kinds[kind].as_pointer() for kind in pointers.values()] + [self.int] * len(counts)
        self.module = ir.Module(name)
        function = ir.Function(self.module, ir.FunctionType(ir.VoidType(), signature), name)
        self.args = dict(zip((*pointers, *counts), function.args, strict=True))
        for pointer in pointers:
            self.args[pointer].add_attribute("noalias")
        self.b = ir.IRBuilder(function.append_basic_block())

    def compiled(self) -> tuple[Callable[..., None], Any]:
        """The function, to be called with addresses and whole numbers while other threads go on, and its owner."""
        import llvmlite.binding as llvm

        self.b.ret_void()
        module = llvm.parse_assembly(str(self.module))
        module.verify()
        tuning = llvm.create_pipeline_tuning_options(speed_level=2)
        tuning.loop_unrolling = False  # loops have as much in them as pays; more takes twice the time to compile
        passes = llvm.create_pass_builder(machine(), tuning)
        passes.getModulePassManager().run(module, passes)
        engine = llvm.create_mcjit_compiler(module, machine())
        engine.finalize_object()
        kinds = [ctypes.c_void_p if arg.type.is_pointer else ctypes.c_int64 for arg in self.args.values()]
        return ctypes.CFUNCTYPE(None, *kinds)(engine.get_function_address(self.name)), engine

    # Indices and what lies there

    def whole(self, value: Any) -> Any:
        return self.ir.Constant(self.int, value) if isinstance(value, int) else value

    def add(self, first: Any, *others: Any) -> Any:
        first = self.whole(first)
        for other in others:
            first = self.b.add(first, self.whole(other))
        return first

    def times(self, index: Any, size: int) -> Any:
        return self.b.mul(self.whole(index), self.whole(size))

    def least(self, index: Any, other: Any) -> Any:
        return self.b.select(self.b.icmp_signed("<", index, other), index, other)

    def at(self, pointer: Any, index: Any) -> Any:
        return self.b.gep(pointer, [self.whole(index)])

    def number(self, pointer: Any, index: Any) -> Any:
        return self.b.load(self.at(pointer, index))

    def load(self, pointer: Any, index: Any, lanes: int = LANES) -> Any:
        """A vector."""
        found = self.b.load(self._vector_at(pointer, index, lanes))
        found.align = self._bytes(pointer)
        return found

    def store(self, value: Any, pointer: Any, index: Any) -> None:
        self.b.store(value, self._vector_at(pointer, index, value.type.count)).align = self._bytes(pointer)

    def _vector_at(self, pointer: Any, index: Any, lanes: int) -> Any:
        return self.b.bitcast(self.at(pointer, index), self.vector(pointer.type.pointee, lanes).as_pointer())

    def _bytes(self, pointer: Any) -> int:
        return 8 if pointer.type.pointee == self.double else 4

    def variable(self, value: Any) -> Any:
        """One that loops can change."""
        with self.b.goto_entry_block():
            variable = self.b.alloca(value.type)
        self.b.store(value, variable)
        return variable

    # Vectors, of LANES numbers where nothing else is said

    def vector(self, kind: Any, lanes: int = LANES) -> Any:
        return self.ir.VectorType(kind, lanes)

    def zeros(self, kind: Any, lanes: int = LANES) -> Any:
        return self.ir.Constant(self.vector(kind, lanes), [0.0] * lanes)

    def splat(self, value: Any, lanes: int = LANES) -> Any:
        """The vector of one number, so many times."""
        empty = self.ir.Constant(self.vector(value.type, lanes), self.ir.Undefined)
        return self.lane(self.b.insert_element(empty, value, self._lane(0)), 0)

    def lane(self, values: Any, number: int) -> Any:
        """The vector of one of a vector's numbers, as often as it has numbers."""
        return self._shuffled(values, values, [number] * values.type.count)

    def blend(self, first: Any, second: Any, lanes: range) -> Any:
        """A vector, with these lanes of a second."""
        return self._shuffled(first, second, [LANES * (lane in lanes) + lane for lane in range(LANES)])

    def _shuffled(self, first: Any, second: Any, lanes: list[int]) -> Any:
        """The vector of these of the numbers of two."""
        numbers = self.ir.Constant(self.vector(self.ir.IntType(32), len(lanes)), lanes)
        return self.b.shuffle_vector(first, second, numbers)

    def doubles(self, values: Any) -> Any:
        return values if self.real == self.double else self.b.fpext(values, self.vector(self.double))

    def reals(self, values: Any) -> Any:
        """A vector of doubles in the dtype of the function."""
        return values if self.real == self.double else self.b.fptrunc(values, self.vector(self.real))

    def vector_of(self, values: Iterable[Any]) -> Any:
        """The vector of LANES numbers."""
        found = None
        for lane, value in enumerate(values):
            found = self.ir.Constant(self.vector(value.type), self.ir.Undefined) if found is None else found
            found = self.b.insert_element(found, value, self._lane(lane))
        return found

    def _lane(self, lane: int) -> Any:
        return self.ir.Constant(self.ir.IntType(32), lane)

    def truths(self, value: bool) -> Any:
        """A vector of it."""
        return self.ir.Constant(self.vector(self.ir.IntType(1)), [value] * LANES)

    def any(self, truths: Any) -> Any:
        """Whether one of a vector is true."""
        bits = self.ir.IntType(LANES)
        return self.b.icmp_unsigned("!=", self.b.bitcast(truths, bits), self.ir.Constant(bits, 0))

    def fma(self, x: Any, y: Any, z: Any) -> Any:
        """xy + z, in one operation where the machine has it."""
        bits = 64 if x.type.element == self.double else 32
        return self.call(f"llvm.fmuladd.v{x.type.count}f{bits}", x, y, z)

    def in_pairs(self, parts: list[Any]) -> Any:
        """The sum of a power of two of vectors, by pairs."""
        while len(parts) > 1:
            parts = [self.b.fadd(x, y) for x, y in zip(parts[::2], parts[1::2], strict=True)]
        return parts[0]

    def total(self, values: Any) -> Any:
        """The sum of a vector of doubles."""
        return self.call(f"llvm.vector.reduce.fadd.v{LANES}f64", self.ir.Constant(self.double, 0.0), values)

    def totals(self, vectors: list[Any]) -> Any:
        """The vector of the sums of at most LANES vectors; beyond them it repeats some.

        By halves: of two vectors of m parts each, the first and the last half of every part are added.
        """
        part = LANES
        while part > 1:
            part //= 2
            first, last = ([i for i in range(2 * LANES) if i // part % 2 == half] for half in (0, 1))
            pairs = [(vectors[i], vectors[min(i + 1, len(vectors) - 1)]) for i in range(0, len(vectors), 2)]
            vectors = [self.b.fadd(self._shuffled(*pair, first), self._shuffled(*pair, last)) for pair in pairs]
        return vectors[0]

    def call(self, name: str, *values: Any) -> Any:
        """One of LLVM's own functions, of the kind of its first argument."""
        kind = self.ir.FunctionType(values[0].type, [value.type for value in values])
        function = self.module.globals.get(name) or self.ir.Function(self.module, kind, name)
        return self.b.call(function, values)

    # The way through

    @contextmanager
    def loop(self, begin: Any, end: Any, step: int = 1) -> Iterator[Any]:
        """Its body is what is written within; yields the index."""
        before, b = self.b.block, self.b
        head, body, after = (b.append_basic_block() for _ in range(3))
        b.branch(head)
        b.position_at_end(head)
        index = b.phi(self.int)
        index.add_incoming(self.whole(begin), before)
        b.cbranch(b.icmp_signed("<", index, self.whole(end)), body, after)
        b.position_at_end(body)
        yield index
        index.add_incoming(self.add(index, step), b.block)
        b.branch(head)
        b.position_at_end(after)

    @contextmanager
    def steps(self, look: Any) -> Iterator[Any]:
        """Its body is run looks[look] times, before the first look once more; what is within the block that is yielded
        is left out that once: all gradients are written in one place, and compiled once."""
        once, zero = self.b.icmp_signed("==", look, self.whole(0)), self.whole(0)
        with self.loop(self.b.select(once, self.whole(-1), zero), self.number(self.args["looks"], look)) as step:
            yield self.b.if_then(self.b.icmp_signed(">=", step, zero))

    @contextmanager
    def block(self) -> Iterator[Any]:
        """What is written within can be left by `go_on`, with what is yielded."""
        after = self.b.append_basic_block()
        yield after
        self.b.branch(after)
        self.b.position_at_end(after)

    def go_on(self, condition: Any, otherwise: Any) -> None:
        further = self.b.append_basic_block()
        self.b.cbranch(condition, further, otherwise)
        self.b.position_at_end(further)
