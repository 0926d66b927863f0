"""Mutants of a batch's way as a CUDA graph, and of what runs on a GPU only."""

from __future__ import annotations

from tests.mutants.mutant import Mutant

PASSES = "tryon/engine/passes.py"
REPLAY = "tryon/replay.py"
FROZEN = "tryon/networks/frozen.py"
CONDITION = "tryon/data/condition.py"
OF_PASSES = "tests/tryon/test_passes.py"
OF_REPLAY = "tests/tryon/test_replay.py"
FEW = f"{OF_PASSES} -k 'batch_has or added'"
NO_WAIT = f"{OF_PASSES} -k waits"
WITH_RELU = "tests/tryon/networks/test_frozen.py -k relu_is"

MUTANTS = (
    Mutant(REPLAY, "                recorded.copy_(tensor)", "                pass", FEW),
    Mutant(REPLAY, "*convert(inputs, torch.clone)", "*inputs", f"{OF_REPLAY} -k given"),
    Mutant(
        REPLAY,
        "convert(launch(self._call, *inputs), torch.clone)",
        "launch(self._call, *inputs)",
        f"{OF_REPLAY} -k own",
    ),
    Mutant(
        REPLAY, "self._recording, self._shapes, self._calls = None,", "_, self._shapes, self._calls = None,", OF_REPLAY
    ),
    Mutant(REPLAY, "        with _turn:\n", "        if True:\n", f"{OF_REPLAY} -k threads"),
    Mutant(REPLAY, "(self._graph, stream=side, ", "(self._graph, ", f"{OF_REPLAY} -k streams"),
    Mutant(REPLAY, "        with torch.cuda.device(device), ", "        with ", f"{OF_REPLAY} -k streams"),
    Mutant(REPLAY, "            self._records = False\n", "", f"{OF_REPLAY} -k warning"),
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
