"""A student as one ONNX graph, kept only where onnxruntime computes with it what PyTorch computes."""

from __future__ import annotations

import logging
import math
import warnings
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from copy import deepcopy
from dataclasses import dataclass
from importlib import import_module
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from tryon.data.images import Size
from tryon.data.sample import Garment, Person
from tryon.errors import InputError
from tryon.export.layout import INPUTS, ExportRecord
from tryon.files import whole_file
from tryon.models import TryOnModel
from tryon.networks.blocks import SIZE_MULTIPLE, padded_size
from tryon.networks.frozen import fold_batch_norms
from tryon.versions import installed_version
from tryon.weights import load_model
from tryon_kernels.onnx import EXTRA, translation_table

OPSETS = (18, 20)
LARGEST_SIDE = 4096  # of a file for all sizes; a size without a bound cannot be traced
MOST_AT_ONCE = 1024
GREY_LEVELS = 255
ROUNDING = 16  # times the error of float32 in PyTorch, which adds up in another order, that onnxruntime's may be


class WholeStudent(nn.Module):
    """A student from pictures to pictures: the inputs and outputs of `tryon.export.layout`."""

    def __init__(self, model: TryOnModel) -> None:
        super().__init__()
        self.model = model

    def forward(self, person: Tensor, garment: Tensor, garment_mask: Tensor) -> tuple[Tensor, ...]:
        """Pictures N x C x H x W."""
        mask = (garment_mask > 0.5).to(garment.dtype)
        result = self.model(Person(person, None, None, None), Garment(garment * mask, mask))
        outputs = (
            result.image,
            result.warped.garment,
            result.warped.mask,
            result.composition,
            result.rendered,
            result.warped.flow.sampling_map,
        )
        return outputs if result.copied is None else (*outputs, result.copied)


@dataclass(frozen=True)
class Difference:
    """How far one output of a file is from PyTorch's, as the largest of its numbers, and how far it may be."""

    output: str
    found: float
    bound: float


@dataclass(frozen=True)
class Exported:
    """A file that was written.

    `differences`: of its outputs from PyTorch's, with weights as the file has them. `rounding`: by how many of 255
    grey levels float16 weights change the image, on average; 0 where weights are kept as they are.
    """

    differences: list[Difference]
    rounding: float


def export_student(
    folder: Path, out: Path, size: Size | None, *, opset: int = OPSETS[0], half: bool = False
) -> Exported:
    """Write a model folder's student as one ONNX file.

    Args:
        folder: of a student with a generator.
        out: file to write; it appears whole, and right, or not at all.
        size: (height, width) of the pictures; None leaves it open: multiples of 32, at least 64.
        opset: version of ONNX's operators, one of `OPSETS`.
        half: keep the convolutions' weights as float16. They are computed with in float32.

    Raises:
        InputError: the folder holds no finished student, a package is missing, or the file would not be right.
    """
    for name in ("onnx", "onnxscript", "onnxruntime"):
        try:
            import_module(name)
        except ImportError:
            raise InputError(f"export: {name} is not installed; pip install {EXTRA}") from None
    model, record = load_model(folder, role="student")
    if not record.generator:
        raise InputError(f"{folder}: found stage {record.stage}, which has no generator; wanted student")
    student = WholeStudent(model).eval().requires_grad_(False)
    fold_batch_norms(student)
    smallest = size or padded_size(*record.size)
    rounding = _round_weights(student, smallest) if half else 0.0
    about = ExportRecord(record, size, half, installed_version("tryon-kernels") or "a checkout")
    larger = [] if size else [(smallest[0] + SIZE_MULTIPLE, smallest[1] + 2 * SIZE_MULTIPLE)]
    data = onnx_bytes(student, about, smallest, opset)
    differences = compared(data, student, [smallest, *larger])
    for one in differences:
        if not one.found <= one.bound:
            raise InputError(
                f"{out}: not written, for its {one.output} differs from PyTorch's by {one.found:.1e}, wanted at most"
                f" {one.bound:.1e}"
            )
    with whole_file(out) as file:
        file.write(data)
    return Exported(differences, rounding)


def onnx_bytes(student: WholeStudent, about: ExportRecord, trial: Size, opset: int) -> bytes:
    """The ONNX file of a student, traced at a size."""
    axes: dict[int, Any] = {0: torch.export.Dim("batch", max=MOST_AT_ONCE)}
    if about.size is None:
        for axis, name in ((2, "height"), (3, "width")):
            parts = torch.export.Dim(f"{name}_parts", min=2, max=LARGEST_SIDE // SIZE_MULTIPLE)
            axes[axis] = SIZE_MULTIPLE * parts
    with _quiet():
        program = torch.onnx.export(
            student,
            seeded_inputs(trial, count=2),
            dynamo=True,
            verbose=False,
            opset_version=opset,
            input_names=list(INPUTS),
            output_names=about.outputs,
            dynamic_shapes=(axes,) * len(INPUTS),
            custom_translation_table=translation_table(),
        )
    assert program is not None  # it is where no file is named
    model = program.model_proto
    if about.half:
        _store_half(model)
    for key, text in about.metadata().items():
        model.metadata_props.add(key=key, value=text)
    return bytes(model.SerializeToString())


def seeded_inputs(size: Size, count: int = 1) -> tuple[Tensor, Tensor, Tensor]:
    """Pictures of smooth colours with noise, and a mask of the garment's middle."""
    generator = torch.Generator().manual_seed(0)
    photos = []
    for _ in range(2):
        coarse = torch.rand(count, 3, 8, 6, generator=generator) * 2 - 1
        smooth = nn.functional.interpolate(coarse, size=size, mode="bilinear", align_corners=False)
        photos.append((smooth + 0.1 * torch.randn(smooth.shape, generator=generator)).clamp(-1, 1))
    mask = torch.zeros(count, 1, *size)
    mask[:, :, size[0] // 8 : -(size[0] // 8), size[1] // 8 : -(size[1] // 8)] = 1
    return photos[0], photos[1], mask


def compared(data: bytes, student: WholeStudent, sizes: Sequence[Size]) -> list[Difference]:
    """Compare a file in onnxruntime with PyTorch on seeded pictures of some sizes; the largest differences.

    What float32 can be asked for is measured: how far PyTorch's own float32 is from its float64. Another order of sums
    rounds otherwise, and a few times as much; `ROUNDING` times as much is allowed. An operator that is not the same (a
    border, an alignment) changes pictures by far more.
    """
    import onnxruntime

    session = onnxruntime.InferenceSession(data, providers=["CPUExecutionProvider"])
    exact_student = deepcopy(student).double()
    names = [output.name for output in session.get_outputs()]
    differences, bounds = dict.fromkeys(names, 0.0), dict.fromkeys(names, 0.0)
    for size in sizes:
        inputs = seeded_inputs(size)
        found = session.run(None, {name: tensor.numpy() for name, tensor in zip(INPUTS, inputs, strict=True)})
        with torch.inference_mode():
            expected = student(*inputs)
            exact = exact_student(*(tensor.double() for tensor in inputs))
        for name, theirs, ours, wide in zip(names, found, expected, exact, strict=True):
            difference = (torch.from_numpy(theirs) - ours).abs().max().item()
            differences[name] = max(differences[name], difference if math.isfinite(difference) else math.inf)
            bounds[name] = max(bounds[name], ROUNDING * (ours - wide).abs().max().item())
    return [Difference(name, differences[name], bounds[name]) for name in names]


def _round_weights(student: WholeStudent, size: Size) -> float:
    """Round the convolutions' weights to float16's numbers; by how many grey levels that changes an image."""
    inputs = seeded_inputs(size)
    before = student(*inputs)[0]
    for module in student.modules():
        if isinstance(module, nn.Conv2d):
            module.weight.copy_(module.weight.half())
    return GREY_LEVELS / 2 * (student(*inputs)[0] - before).abs().mean().item()


def _store_half(model: Any) -> None:
    """Keep what float16 holds exactly of a graph's convolution weights as float16, and cast it where it is used."""
    from onnx import TensorProto, helper, numpy_helper

    weights = {node.input[1] for node in model.graph.node if node.op_type == "Conv"}
    casts = []
    for tensor in model.graph.initializer:
        values = numpy_helper.to_array(tensor)
        if tensor.name not in weights or not np.array_equal(values.astype(np.float16), values):
            continue
        name = tensor.name
        tensor.CopyFrom(numpy_helper.from_array(values.astype(np.float16), f"{name}_half"))
        casts.append(helper.make_node("Cast", [tensor.name], [name], to=TensorProto.FLOAT))
    nodes = [*casts, *model.graph.node]
    del model.graph.node[:]
    model.graph.node.extend(nodes)


@contextmanager
def _quiet() -> Iterator[None]:
    """Without what the exporter says of itself and of packages that it looks for."""
    loggers = [logging.getLogger(name) for name in ("torch.onnx", "onnxscript", "onnx_ir")]
    levels = [logger.level for logger in loggers]
    for logger in loggers:
        logger.setLevel(logging.ERROR)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            yield
    finally:
        for logger, level in zip(loggers, levels, strict=True):
            logger.setLevel(level)
