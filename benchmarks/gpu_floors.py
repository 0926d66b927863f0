"""Tables of bytes, operations and times that no GPU can beat: `python -m benchmarks.gpu_floors` prints them.

They are a part of docs/gpu.md; --write puts them there.
"""

from __future__ import annotations

import argparse
from collections.abc import Callable, Sequence
from pathlib import Path

from benchmarks.gpu_traffic import ours
from benchmarks.gpu_work import DEVICES, KERNELS, Maps, Work, least
from benchmarks.inputs import PYRAMID

DOCUMENT = Path(__file__).parents[1] / "docs" / "gpu.md"
BEGIN, END = "<!-- python -m benchmarks.gpu_floors --write -->", "<!-- end of what benchmarks.gpu_floors writes -->"
LARGEST = PYRAMID[-1]
CORRELATIONS = KERNELS[KERNELS.index("correlation") :]
DISTINCT = [kernel for kernel in KERNELS if kernel not in ("gradient of input, deterministic", "gradient of second")]


def document() -> str:
    """All tables, in Markdown."""
    sizes = [f"{height} x {width}" for height, width in PYRAMID]
    return "\n\n".join(
        [
            "What no implementation can do without, MB and MFLOP (the deterministic gradient of the input as the other,"
            " the gradient of second as that of first):",
            _table(DISTINCT, sizes, lambda kernel, dtype: [_amounts(least(kernel, Maps(s, dtype))) for s in PYRAMID]),
            f"The time that this takes at least, µs on {', '.join(DEVICES)}:",
            _table(DISTINCT, sizes, lambda kernel, dtype: [_floors(least(kernel, Maps(s, dtype))) for s in PYRAMID]),
            f"What our kernels do at {LARGEST[0]} x {LARGEST[1]}: MB of memory, MB asked of L2, GFLOP (on tensor"
            " cores three products of TensorFloat32 for one of float32, counted as six of bfloat16); and the µs of each"
            " on an A100, the longest of them bold:",
            _table(KERNELS, ["CUDA", "µs", "Triton", "µs"], _ours),
            *(
                text
                for name in ("A100", "H100")
                for text in (
                    f"The longest of these times at each size on an {name}, µs, CUDA's and Triton's kernels:",
                    _table(CORRELATIONS, sizes, lambda kernel, dtype, name=name: _both(kernel, dtype, name)),
                )
            ),
        ]
    )


def _ours(kernel: str, dtype: str) -> list[str]:
    works = [ours(backend, kernel, Maps(LARGEST, dtype)) for backend in ("cuda", "triton")]
    return [cell for work in works for cell in (_traffic(work), _limits(work))]


def _both(kernel: str, dtype: str, device: str) -> list[str]:
    return [
        ", ".join(
            _short(max(ours(backend, kernel, Maps(size, dtype)).seconds(DEVICES[device]).values()) * 1e6)
            for backend in ("cuda", "triton")
        )
        for size in PYRAMID
    ]


def _amounts(work: Work) -> str:
    return f"{_short(work.memory / 1e6)}, {_short((work.flops + work.tensor_flops) / 1e6)}"


def _floors(work: Work) -> str:
    return ", ".join(_short(max(work.seconds(device).values()) * 1e6) for device in DEVICES.values())


def _traffic(work: Work) -> str:
    return ", ".join(_short(x) for x in (work.memory / 1e6, work.cache / 1e6, (work.flops + work.tensor_flops) / 1e9))


def _limits(work: Work) -> str:
    seconds = work.seconds(DEVICES["A100"])
    slowest = max(seconds, key=lambda name: seconds[name])
    cells = {name: _short(seconds[name] * 1e6) for name in ("memory", "cache", "arithmetic")}
    return ", ".join(f"**{cell}**" if name == slowest else cell for name, cell in cells.items())


def _short(number: float) -> str:
    """Two digits, or the whole number."""
    return f"{number:.0f}" if number >= 10 else f"{number:.2g}"


def _table(kernels: Sequence[str], header: Sequence[str], cells: Callable[[str, str], list[str]]) -> str:
    lines = [["kernel", "dtype", *header], ["---"] * (len(header) + 2)]
    lines += [[kernel, dtype, *cells(kernel, dtype)] for kernel in kernels for dtype in ("fp32", "bf16")]
    return "\n".join(f"| {' | '.join(line)} |" for line in lines)


def main() -> None:
    """Print the tables, or write them to docs/gpu.md."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--write", action="store_true", help=f"put them into {DOCUMENT.name}")
    if parser.parse_args().write:
        before, rest = DOCUMENT.read_text().split(BEGIN)
        DOCUMENT.write_text(f"{before}{BEGIN}\n\n{document()}\n\n{END}{rest.split(END)[1]}")
    else:
        print(document())


if __name__ == "__main__":
    main()
