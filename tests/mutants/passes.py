"""Mutants of a batch's way as a CUDA graph, and of what runs on a GPU only."""

from __future__ import annotations

from tests.mutants.mutant import Mutant

PASSES = "tryon/engine/passes.py"
FROZEN = "tryon/networks/frozen.py"
CONDITION = "tryon/data/condition.py"
OF_PASSES = "tests/tryon/test_passes.py"
FEW = f"{OF_PASSES} -k 'batch_has or added'"
NO_WAIT = f"{OF_PASSES} -k waits"
WITH_RELU = "tests/tryon/networks/test_frozen.py -k relu_is"

MUTANTS = (
    Mutant(PASSES, "                own.copy_(given)", "                pass", FEW),
    Mutant(PASSES, "(weight, gradient.clone()) for", "(weight, gradient) for", FEW),
    Mutant(PASSES, "            weight.grad.add_(gradient)", "            pass", FEW),
    Mutant(PASSES, "            weight.grad = gradient\n", "            pass\n", FEW),
    Mutant(
        CONDITION,
        "start=torch.zeros_like(densepose, dtype=torch.bool)",
        "start=torch.tensor([False], device=densepose.device)",
        NO_WAIT,
    ),
    Mutant(FROZEN, "(features, self.weight, self.bias, *self", "(features, self.weight, None, *self", WITH_RELU),
    Mutant(FROZEN, "_taken_activation(module, name, nn.ReLU) is not None", "True", WITH_RELU),
)
