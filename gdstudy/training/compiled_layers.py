"""The objectives of layers by machine code: `bottleneck_kernel.py` and `relu_kernel.py` on PyTorch's tensors."""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn.functional import pad

from gdstudy.linalg.threads import all_threads, share
from gdstudy.training.bottleneck_kernel import bottleneck_kernel, compiles_bottleneck
from gdstudy.training.compiled import pack
from gdstudy.training.gram import AT_ONCE
from gdstudy.training.modules import Bottleneck, ReLUAutoencoder
from gdstudy.training.objectives import BottleneckByHand, ReLUByHand
from gdstudy.training.relu_kernel import compiles_relu, relu_kernel


def bottleneck_by_hand(
    module: Bottleneck, X: Tensor, Y: Tensor, weight: Tensor, threads: int | None = None
) -> BottleneckByHand:
    """By machine code where it is there and faster."""
    if compiles_bottleneck(X.device.type, module.encoder.shape[2]):
        return CompiledBottleneck(module, X, Y, weight, threads)
    return BottleneckByHand(module, X, Y, weight)


def relu_by_hand(module: ReLUAutoencoder, X: Tensor, weight: Tensor, n_rows: Tensor) -> ReLUByHand:
    """By machine code where it is there and faster."""
    kind = CompiledReLU if compiles_relu(X.device.type, module.weight.shape[1]) else ReLUByHand
    return kind(module, X, weight, n_rows)


class CompiledBottleneck(BottleneckByHand):
    """The same objective by machine code, with its plain descent. held: S, G and Gᵀ as a `BottleneckKernel` has them.

    Layers are PyTorch's tensors, for whatever else is asked of them. threads: at most so many; default all. sums: as in
    `Tiling.of`.
    """

    def __init__(
        self,
        module: Bottleneck,
        X: Tensor,
        Y: Tensor,
        weight: Tensor,
        threads: int | None = None,
        sums: int | None = None,
    ) -> None:
        super().__init__(module, X, Y, weight.contiguous())
        _, k, outputs = module.decoder.shape
        self.threads = threads or all_threads()
        self.kernel = bottleneck_kernel(self.S.shape[1], outputs, k, weight.dtype == torch.float32, sums)
        self.untied = not torch.equal(self.S, self.G)
        matrices = ((self.kernel.gram, self.S), (self.kernel.across, self.G), (self.kernel.back, self.G.mT))
        self.held = [pack(*matrix) for matrix in matrices]

    def descend(self, n_steps: int) -> None:
        """So many steps of plain gradient descent, each cell's by its weight; no more at once than Python may wait."""
        at_once = max(1, AT_ONCE // self._work)
        for taken in range(0, n_steps, at_once):
            layers, _, _ = self._run(min(at_once, n_steps - taken), look=False)
            for p, after in zip(self.parameters, layers, strict=True):
                p.detach().copy_(after)

    @property
    def _work(self) -> int:
        """Products of two numbers in a step of all cells."""
        return sum(held.numel() for held in self.held) * self.parameters[0].shape[2]

    def backward(self) -> None:
        _, gradients, _ = self._run(0, look=True)
        for p, gradient in zip(self.parameters, gradients, strict=True):
            p.grad = gradient.contiguous()

    def losses(self) -> Tensor:
        _, _, loss = self._run(0, look=True)
        return 0.5 * self.squares + loss.to(self.squares.dtype)

    @torch.no_grad()
    def _run(self, n_steps: int, look: bool) -> tuple[list[Tensor], list[Tensor], Tensor]:
        """(A, B) after so many steps, and if asked for their gradients and ½‖XAB − Y‖² − ½‖Y‖² of each cell."""
        kernel, (A, B) = self.kernel, self.parameters
        (C, D, k), outputs = A.shape, B.shape[2]
        sizes = ((kernel.gram, D), (kernel.across, outputs))
        rows = [pad(p, (0, t.width - n, 0, t.k - k)).contiguous() for p, (t, n) in zip((A.mT, B), sizes, strict=True)]
        gradients = [torch.empty_like(row) if look else row[:0] for row in rows]
        loss = A.new_empty(C, dtype=torch.float64)

        def take(begin: int, end: int) -> None:
            U, V, T = (A.new_empty(t.k, t.width) for t in (kernel.gram, kernel.gram, kernel.across))
            Q, M = A.new_empty(2, k, kernel.hidden)
            arrays = (*rows, *self.held, self.weight, *gradients, U, V, T, Q, M, loss)
            kernel.run(*(array.data_ptr() for array in arrays), self.untied, n_steps, look, begin, end)

        share(take, C, self.threads, (n_steps + look) * self._work)
        layers, gradients = ([a[:, :k, :D].mT, b[:, :k, :outputs]] for a, b in (rows, gradients))
        return layers, gradients, loss

    def keep(self, mask: Tensor) -> None:
        super().keep(mask)
        self.held = [held[mask] for held in self.held]


class CompiledReLU(ReLUByHand):
    """The same objective with its gradient by machine code. X is a view of `held`, rows padded as a `ReLUKernel` has
    them."""

    def __init__(self, module: ReLUAutoencoder, X: Tensor, weight: Tensor, n_rows: Tensor) -> None:
        m, n = module.weight.shape[1:]
        self.kernel = relu_kernel(n, m, X.dtype == torch.float32)
        self.held, self.n_rows = self._padded(X), n_rows.to(torch.int64).contiguous()
        super().__init__(module, self.held[..., :n], weight.contiguous(), n_rows)

    def _padded(self, values: Tensor) -> Tensor:
        beyond = self.kernel.width - values.shape[-1]
        return (pad(values, (0, beyond)) if beyond else values).contiguous()

    @torch.no_grad()
    def backward(self) -> None:
        W, b = (self._padded(p) for p in self.parameters)
        gradients = [torch.empty_like(W), torch.empty_like(b)]
        N = self.held.shape[1]

        def take(begin: int, end: int) -> None:
            # Held by this function, and so for as long as it may run, also where the call was cut off.
            arrays = (self.held, W, b, self.weight, *gradients, b.new_empty(self.kernel.width), self.n_rows)
            self.kernel.run(*(array.data_ptr() for array in arrays), N, begin, end)

        share(take, len(W), torch.get_num_threads(), 4 * self.held.numel() * W.shape[1])
        for p, gradient in zip(self.parameters, gradients, strict=True):
            p.grad = gradient[..., : p.shape[-1]].contiguous()  # as fused optimizers go through it

    def keep(self, mask: Tensor) -> None:
        n = self.X.shape[-1]
        self.held, self.n_rows, self.X = self.held[mask], self.n_rows[mask], self.X[:, :0]  # which is not copied too
        super().keep(mask)
        self.X = self.held[..., :n]
