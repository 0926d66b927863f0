"""torch.export and AOTInductor: one exported program for all sizes, with the ops in it."""

from __future__ import annotations

import io
import shutil
from pathlib import Path

import pytest
import torch
from torch import Tensor
from torch.export import Dim, ExportedProgram

from tests.tooling.matcher import OPS, matcher, needs_kernels, pictures

OTHER_SIZES = ((3, 9, 10), (5, 16, 10))
MOST = 1024  # torch 2.10 fails at sizes without a bound, for its own indices have one


def exported(inputs: tuple[Tensor, ...]) -> ExportedProgram:
    # torch.export makes a size of 1 a case of its own; a volume of stride 2 has one for heights up to 2.
    axes = {0: Dim("batch", max=MOST), 2: Dim("height", min=3, max=MOST)}
    return torch.export.export(matcher().eval(), inputs, dynamic_shapes=(axes, axes))


@needs_kernels
def test_an_exported_program_holds_the_ops() -> None:
    called = {str(node.target) for node in exported(pictures(2, 8, 10)).graph.nodes}
    assert {f"tryon_kernels.{op}.default" for op in OPS} <= called


def test_an_exported_program_serves_other_batches_and_heights_after_saving() -> None:
    file = io.BytesIO()
    torch.export.save(exported(pictures(2, 8, 10)), file)
    file.seek(0)
    program = torch.export.load(file).module()
    for size in OTHER_SIZES:
        inputs = pictures(*size)
        torch.testing.assert_close(program(*inputs), matcher()(*inputs))


@needs_kernels
def test_an_exported_program_is_one_for_training_where_it_is_asked_for() -> None:
    inputs = pictures(2, 8, 10)
    program, network = torch.export.export(matcher(), inputs).module(), matcher()
    for made in (program, network):
        torch.stack([result.square().mean() for result in made(*inputs)]).sum().backward()
    for weight, expected in zip(program.parameters(), network.parameters(), strict=True):
        torch.testing.assert_close(weight.grad, expected.grad)


@pytest.mark.more
@pytest.mark.skipif(shutil.which("c++") is None, reason="AOTInductor needs a C++ compiler, and there is none")
def test_an_aotinductor_package_has_the_values_of_eager_mode(tmp_path: Path) -> None:
    package = torch._inductor.aoti_compile_and_package(
        exported(pictures(2, 8, 10)),
        package_path=str(tmp_path / "matcher.pt2"),
        inductor_configs={"aot_inductor.compile_wrapper_opt_level": "O0", "cpp.vec_isa_ok": False},  # compiled sooner
    )
    compiled = torch._inductor.aoti_load_package(package)
    with torch.no_grad():
        for size in OTHER_SIZES:
            inputs = pictures(*size)
            torch.testing.assert_close(tuple(compiled(*inputs)), matcher()(*inputs))
