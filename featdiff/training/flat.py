"""All trained parameters of a module in one vector, and their gradients in another.

Half a million parameters in sixty tensors are little to compute with: clipping, the optimizer's update and the average
of the weights cost more for being called sixty times than for their arithmetic. The module keeps its parameters, which
become views into the vector, in the memory format they had; what is computed for each value alone stays the same, to
rounding.
"""

from itertools import accumulate

import torch
from torch import Tensor, nn


class Flat:
    """The vector ``values`` (N,) of a module's trained parameters, a parameter itself, with its gradient in place.

    Make it when the module is on its device and will be moved no more. Gradients add up in ``values.grad``: set it to
    zero after each step (:meth:`zero_grad`) and never to None.
    """

    def __init__(self, module: nn.Module):
        trained = {name: p for name, p in module.named_parameters() if p.requires_grad}
        self._shapes = {name: (p.shape, p.stride()) for name, p in trained.items()}
        ends = list(accumulate(p.numel() for p in trained.values()))
        self._starts = dict(zip(trained, [0, *ends], strict=False))
        first = next(iter(trained.values()))
        self.values = nn.Parameter(torch.empty(ends[-1], dtype=first.dtype, device=first.device))
        self.gradient = torch.zeros_like(self.values.data)
        self.values.grad = self.gradient
        gradients = self.named(self.gradient)
        for name, view in self.named(self.values.data).items():
            parameter = trained[name]
            parameter.data = view.copy_(parameter.data)
            parameter.grad = gradients[name]

    def named(self, vector: Tensor) -> dict[str, Tensor]:
        """Views into ``vector`` (N,), shaped and laid out in memory as the parameters, by their names."""
        return {n: vector.as_strided(*self._shapes[n], self._starts[n]) for n in self._shapes}

    def zero_grad(self) -> None:
        """Set all gradients to zero, in place."""
        self.gradient.zero_()
