"""The model card: README.md of a model folder, as the Hugging Face Hub shows it.

It is made of what lies in the folder: ``model.json``, a run's ``run.json`` and ``log.csv``, and ``evaluation.json``
where `tryon evaluate` has written one there. Nothing of the machine's folders is in it, so it may be published.
"""

from __future__ import annotations

import hashlib
import json
import logging
from pathlib import Path
from typing import Any

from tryon.data.images import format_size
from tryon.errors import InputError
from tryon.files import whole_file
from tryon.versions import installed_version
from tryon.weights import RECORD_FILE, ModelRecord, read_record

CARD_FILE = "README.md"
EVALUATION_FILE = "evaluation.json"
LAST_STEPS = 100
"""Of so many steps are the losses that a card shows the means."""

_MARK = "<!-- written by tryon, which replaces this card as long as nobody edits it: {} -->\n"
_FACTS = {
    "samples": "training samples",
    "steps": "steps of this stage",
    "batch": "samples a step",
    "learning_rate": "learning rate",
    "precision": "precision",
    "guidance": "guidance of the student",
    "average": "moving average of the weights",
    "seed": "seed",
}
_MEASURES = {
    "ssim": "SSIM",
    "psnr": "PSNR, dB",
    "end_point_error": "flow end-point error, pixels",
    "mask_overlap": "overlap of garment masks",
}

_log = logging.getLogger(__name__)


def write_card(folder: Path) -> None:
    """Write a model folder's card, or write it anew. One that somebody has edited stays, and a line says so."""
    text = card_text(folder)
    _write(folder / CARD_FILE, (text + _MARK.format(_digest(text))).encode())


def copy_card(folder: Path, out: Path) -> None:
    """Give a copy of a model its card: the model's own, or where that has none, a new one."""
    if not (folder / CARD_FILE).is_file():
        write_card(out)
    elif folder.resolve() != out.resolve():
        _write(out / CARD_FILE, (folder / CARD_FILE).read_bytes())


def card_text(folder: Path) -> str:
    """The card of a model folder, in Markdown with the Hub's metadata before it.

    Raises:
        InputError: the folder holds no model, or a file that says how it was trained or scored is damaged.
    """
    record = read_record(folder)
    parts = [_metadata(record), _what(record), _use(record), _training(folder, record), _figures(folder), _terms()]
    return "\n".join(parts)


def _write(path: Path, content: bytes) -> None:
    if path.exists() and not _ours(path):
        _log.info("%s: somebody has written or edited this card, so it stays", path)
        return
    with whole_file(path) as file:
        file.write(content)


def _ours(path: Path) -> bool:
    """Whether a card is as it was written here."""
    found = path.read_bytes().decode(errors="replace")
    text = found.rpartition(_MARK.partition("{}")[0])[0]
    return found == text + _MARK.format(_digest(text))


def _digest(text: str) -> str:
    return hashlib.sha256(text.encode()).hexdigest()


def _metadata(record: ModelRecord) -> str:
    tags = ["virtual-try-on", "tryon", record.role]
    lines = ["library_name: tryon-kernels", "pipeline_tag: image-to-image", "tags:", *(f"- {tag}" for tag in tags)]
    return "\n".join(["---", *lines, "---", ""])


def _what(record: ModelRecord) -> str:
    kinds = {
        "student": "Dresses a person in a photo with the garment of a product photo; it needs no parsing and no pose "
        "of the person.",
        "tutor": "Dresses a person with the garment of a product photo, seeing the person's parsing and pose: it is "
        "what a parser-free student is trained from.",
    }
    parts = "a warping network and a generator" if record.generator else "a warping network, without a generator yet"
    return f"""# A try-on {record.role}

{kinds[record.role]}
The method is that of "Parser-Free Virtual Try-on via Distilling Appearance Flows" (CVPR 2021). Here are {parts}, for
{format_size(record.size)} (height x width), with {record.width:g} of the published channel counts.
"""


def _use(record: ModelRecord) -> str:
    if record.role == "tutor" or not record.generator:
        return """## Use

```
tryon train all --init FOLDER_ABOVE_THIS --data DIR --out RUN
```
"""
    return """## Use

```python
from PIL import Image
from tryon import TryOn  # pip install tryon-kernels

student = TryOn.from_pretrained("THIS_FOLDER")  # or owner/name on the Hub, with tryon-kernels[hub]
result = student(Image.open("person.jpg"), Image.open("garment.jpg"))
result.save("result.png")
```
"""


def _training(folder: Path, record: ModelRecord) -> str:
    run = _read(folder / "run.json")
    if run is None:
        how = "published weights, converted" if record.step == 0 else f"trained for {record.step} steps"
        return f"## Training\n\nStage `{record.stage}`: {how}. Nothing more is recorded.\n"
    try:
        settings, machine = run["settings"], run["machine"]
        rows: list[tuple[str, Any]] = [("stage", f"`{record.stage}`"), ("steps done", record.step)]
        rows += [(title, settings[name]) for name, title in _FACTS.items() if settings.get(name) is not None]
        rows += [
            ("parsing of the data", record.label_scheme),
            ("DensePose in the data", "yes" if settings["densepose"] else "no"),
            ("data", f"`{Path(run['config']['data']).name}`, names and sizes hash to `{settings['data'][:16]}`"),
            ("perceptual loss's features", record.perceptual),
            ("versions", ", ".join(f"{name} {run[name]}" for name in ("tryon_kernels", "torch", "numpy", "python"))),
            ("processor", machine["gpu"] or machine["cpu"]),
        ]
    except KeyError as error:
        raise InputError(f"{folder / 'run.json'}: found no {error}, wanted the record of a run") from None
    return "## Training\n\n" + _table(("", ""), rows)


def _figures(folder: Path) -> str:
    """The last losses, and scores where there are any."""
    parts = []
    if losses := _last_losses(folder):
        steps, means = losses
        parts.append(f"Means of the losses over the last {steps} steps:\n\n" + _table(("loss", "mean"), means))
    if scores := _scores(folder):
        rows = [(title, f"{scores[name]:.4g}") for name, title in _MEASURES.items() if scores.get(name) is not None]
        pairs = len(scores.get("pairs", []))
        parts.append(f"Scores over {pairs} test pairs (`tryon evaluate`):\n\n" + _table(("measure", "mean"), rows))
    return "## Figures\n\n" + ("\n".join(parts) or "None are recorded.\n")


def _scores(folder: Path) -> dict[str, Any] | None:
    """The scores of these weights; older ones are of weights before them."""
    path = folder / EVALUATION_FILE
    if not path.exists() or path.stat().st_mtime < (folder / RECORD_FILE).stat().st_mtime:
        return None
    return _read(path)


def _terms() -> str:
    return f"""## Terms and limits

The code is Apache-2.0. These weights come under the terms of the data that they were trained on, which this card does
not know: whoever publishes them adds a `license` to the lines above. Pictures of people are personal: ask them.
What a model has not seen in training, as other poses, garments and backgrounds, it dresses worse.

Card of tryon-kernels {installed_version("tryon-kernels") or "from a checkout"}.
"""


def _last_losses(folder: Path) -> tuple[int, list[tuple[str, str]]] | None:
    from tryon.engine.log import LOG_FILE, read_log  # the engine writes cards

    if not (folder / LOG_FILE).exists():
        return None
    columns = read_log(folder / LOG_FILE)
    steps = min(LAST_STEPS, len(columns.pop("step")))
    if steps == 0:
        return None
    return steps, [(name, f"{sum(values[-steps:]) / steps:.4g}") for name, values in columns.items()]


def _table(head: tuple[str, str], rows: list[tuple[str, Any]]) -> str:
    return "\n".join(f"| {name} | {value} |" for name, value in [head, ("---", "---"), *rows]) + "\n"


def _read(path: Path) -> dict[str, Any] | None:
    if not path.exists():
        return None
    try:
        return dict(json.loads(path.read_text(encoding="utf-8")))
    except (OSError, ValueError, TypeError) as error:
        raise InputError(f"{path}: cannot be read ({error})") from None
