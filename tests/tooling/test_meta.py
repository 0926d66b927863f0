"""Meta tensors, of which only shapes are found out."""

from __future__ import annotations

import pytest
import torch
from kernel_inputs import OPS, Case, sample_inputs

CASES = [sample_inputs(op)[0] for op in OPS]


@pytest.mark.parametrize("case", CASES, ids=str)
def test_shapes_of_outputs_and_gradients_are_found_without_numbers(case: Case) -> None:
    leaves = [tensor.to("meta").requires_grad_() for tensor in case.tensors]
    output = case.public(*leaves)
    gradients = torch.autograd.grad(output.sum(), leaves)
    assert output.is_meta
    assert output.shape == case.public(*case.tensors).shape
    assert [gradient.shape for gradient in gradients] == [leaf.shape for leaf in leaves]
