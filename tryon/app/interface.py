"""The page: what is where, and which button calls what. Imported only where gradio is installed."""

from __future__ import annotations

import html
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import gradio as gr
from PIL import Image

from tryon.app.dressing import MOST_GARMENTS, Look, dress_in_each, open_upload, show_mask
from tryon.app.pictures import ADDING, REMOVING, is_painted, veiled
from tryon.data.images import on_white
from tryon.errors import InputError
from tryon.inference import TryOn

WAITING = 16
"""Requests that may wait; one more is told that the queue is full."""

PHOTO_HEIGHT = 480
EDITED_SIDE = 640  # pixels of a garment's longer side while its mask is painted on
KEPT_SECONDS, SWEPT_EVERY = 3600, 600  # how long uploads and results stay, and how often old ones are looked for
SOURCES = ["upload", "webcam", "clipboard"]
CSS = Path(__file__).with_name("page.css").read_text(encoding="utf-8")
THEME = gr.themes.Soft(
    primary_hue="teal",
    neutral_hue="slate",
    radius_size="lg",
    font=["system-ui", "sans-serif"],
    font_mono=["ui-monospace", "monospace"],
)

_HEAD = """# Try it on
A photo of a person, a product photo of a garment. Both stay on the machine that shows this page."""
_HOW = """The **warp** is the garment bent to the body, before anything is painted around it. In the **flow**, the hue
says where a pixel came from (red: from the right, then clockwise) and the strength says how far."""
_MASK = """What is veiled is not taken for the garment. Paint **green** what is missing and **red** what is too much: a
hanger, the inside of a collar, all of a background that is not plain. The eraser takes strokes away."""


class UploadsOnly(gr.Blocks):
    """A page that opens no file but those that were uploaded to it or that it made itself.

    Files come into a request as paths and addresses. Each must be in the folder of uploads: nothing else on this
    machine is opened, and nothing is fetched.
    """

    async def preprocess_data(self, block_fn: Any, inputs: list[Any], *others: Any, **named: Any) -> list[Any]:
        """Gradio's step from a request to arguments, for requests that name uploads only."""
        for path in _named_paths(inputs):
            if not _is_upload(path):
                raise gr.Error("a file of this request was not uploaded here", print_exception=False)
        return await super().preprocess_data(block_fn, inputs, *others, **named)


def _named_paths(value: Any) -> Iterator[object]:
    if isinstance(value, dict):
        if value.get("path") is not None:
            yield value["path"]
        value = list(value.values())
    if isinstance(value, list):
        for one in value:
            yield from _named_paths(one)


def _is_upload(path: object) -> bool:
    folder = Path(gr.utils.get_upload_folder()).resolve()
    return isinstance(path, str) and folder in Path(path).resolve().parents


def build_page(model: TryOn, people: list[Path], garments: list[Path]) -> UploadsOnly:
    """The page of a student; its examples are picture files."""
    dress, start = _dresser(model), _start(model, people[0], garments[0])
    with UploadsOnly(title="tryon", analytics_enabled=False, delete_cache=(SWEPT_EVERY, KEPT_SECONDS)) as page:
        gr.Markdown(_HEAD, elem_id="head")
        with gr.Row(equal_height=False):
            with gr.Column(min_width=260):
                person = _photo("Person", "person", people[0])
                _examples(people, person, "people")
            with gr.Column(min_width=260):
                garment = _photo("Garment", "garment", garments[0])
                _examples(garments, garment, "garments")
            with gr.Column(min_width=260):
                result = gr.ImageSlider(
                    (start.before, start.after),
                    label="Before | after",
                    type="filepath",
                    height=PHOTO_HEIGHT,
                    interactive=False,
                    buttons=["fullscreen"],
                    elem_id="result",
                )
                message = gr.HTML(elem_id="message", visible=False)
                go = gr.Button("Dress", variant="primary", size="lg", elem_id="dress")
                download = gr.DownloadButton("Download", start.after, elem_id="download")
        looks = gr.Gallery(
            label="All results: choose one", visible=False, columns=8, height=220, allow_preview=False, elem_id="looks"
        )
        with gr.Accordion("See and correct the garment mask", open=False, elem_id="mask"):
            gr.Markdown(_MASK)
            editor, mask_of = _mask_editor(), gr.State()
        with gr.Accordion(f"More garments, up to {MOST_GARMENTS} in one go", open=False, elem_id="more"):
            more = gr.Gallery(
                label="Garments", file_types=["image"], interactive=True, columns=8, height=180, sources=["upload"]
            )
        with gr.Accordion("See how it was done", open=False, elem_id="how"):
            gr.Markdown(_HOW)
            with gr.Row():
                warp, flow = _picture("Warp", start.warp), _picture("Flow", start.flow)
        strokes, shown = gr.State(), gr.State([])

        outputs = [result, download, warp, flow, message, looks, shown]
        garment.change(_show_mask, [garment], [editor, mask_of, message], preprocess=False, **_QUIET)
        # What is painted comes through gradio, which puts it together; photos come as files, which it must not open.
        go.click(_painted, [editor], [strokes], **_QUIET).then(
            dress, [person, garment, more, strokes, mask_of], outputs, preprocess=False, **_EVENT
        )
        looks.select(_choose, [shown], outputs[:4], **_QUIET)
        page.load(_show_mask, [garment], [editor, mask_of, message], preprocess=False, **_QUIET)
    page.queue(max_size=WAITING, default_concurrency_limit=1, api_open=False)
    return page


def _photo(label: str, name: str, example: Path) -> gr.Image:
    return gr.Image(
        str(example), label=label, sources=SOURCES, type="filepath", height=PHOTO_HEIGHT, elem_id=name, buttons=[]
    )


def _picture(name: str, start: str) -> gr.Image:
    return gr.Image(start, label=name, interactive=False, height=384, elem_id=name.lower(), buttons=["download"])


def _examples(paths: list[Path], photo: gr.Image, name: str) -> None:
    """Small pictures, of which a click takes one."""
    row = gr.Gallery(
        [str(path) for path in paths],
        show_label=False,
        columns=len(paths),
        height="auto",
        allow_preview=False,
        interactive=False,
        elem_id=name,
        elem_classes="examples",
        buttons=[],
    )

    def take(event: gr.SelectData) -> str:
        return str(paths[event.index])

    row.select(take, None, photo, **_QUIET)


def _mask_editor() -> gr.ImageEditor:
    return gr.ImageEditor(
        type="pil",
        format="png",
        sources=(),
        transforms=(),
        layers=False,
        brush=gr.Brush(default_size=16, colors=[ADDING, REMOVING], default_color=ADDING, color_mode="fixed"),
        eraser=gr.Eraser(default_size=16),
        height=560,
        show_label=False,
        elem_id="editor",
    )


def _show_mask(garment: dict[str, Any] | None) -> tuple[Any, str | None, Any]:
    """The garment with its mask, to be painted on; whose garment that is; and why there is none if there is none."""
    path = _path(garment)
    if path is None:
        return None, None, _said([])
    try:
        product, mask, refusal = show_mask(path, EDITED_SIDE)
    except InputError as error:
        return None, None, _said([str(error)])
    return veiled(product, mask), str(path), _said([] if refusal is None else [str(refusal)])


def _painted(edited: dict[str, Any] | None) -> Image.Image | None:
    """What was painted on the garment, if anything."""
    layers = [] if edited is None else edited["layers"]
    return next((layer for layer in layers if is_painted(layer)), None)


def _dresser(model: TryOn) -> Callable[..., tuple[Any, ...]]:
    def dress(
        person: dict[str, Any] | None,
        garment: dict[str, Any] | None,
        more: list[dict[str, Any]] | None,
        strokes: Image.Image | None,
        mask_of: str | None,
    ) -> tuple[Any, ...]:
        """What the page shows of a request, in the order of `outputs`."""
        first, others = _path(garment), [_path(one["image"]) for one in more or []]
        chosen = [("garment", first)] if first is not None or not others else []
        chosen += [(f"garment {number}", path) for number, path in enumerate(others, 1 + len(chosen))]
        try:
            photo = open_upload(_path(person), "person")
        except InputError as error:
            return *_NO_LOOK, _said([str(error)]), gr.update(visible=False), []
        found = list(dress_in_each(model, photo, chosen, strokes if str(first) == mask_of else None))
        before = _kept(on_white(photo), "person")
        looks = [_Files.of(before, one) for one in found if isinstance(one, Look)]
        gallery = gr.update(value=[look.after for look in looks], visible=len(looks) > 1)
        refusals = [str(one) for one in found if isinstance(one, InputError)]
        return *(looks[0].shown() if looks else _NO_LOOK), _said(refusals), gallery, looks

    return dress


def _start(model: TryOn, person: Path, garment: Path) -> _Files:
    """What the page shows before anyone has pressed its button."""
    photo = open_upload(person, "person")
    (look,) = dress_in_each(model, photo, [("garment", garment)], None)
    if not isinstance(look, Look):
        raise look
    return _Files.of(_kept(on_white(photo), "person"), look)


@dataclass(frozen=True)
class _Files:
    """A `Look` as files, which are swept like all others; a visitor's pictures are not kept in memory."""

    before: str
    after: str
    warp: str
    flow: str

    @classmethod
    def of(cls, before: str, look: Look) -> _Files:
        return cls(before, *(_kept(image, look.name) for image in (look.image, look.warp, look.flow)))

    def shown(self) -> tuple[Any, ...]:
        return (self.before, self.after), gr.update(value=self.after, interactive=True), self.warp, self.flow


def _choose(shown: list[_Files], event: gr.SelectData) -> tuple[Any, ...]:
    return shown[event.index].shown()


def _kept(image: Image.Image, name: str) -> str:
    """A PNG file of a picture in the folder that is swept."""
    path: str = gr.processing_utils.save_pil_to_cache(
        image, cache_dir=gr.utils.get_upload_folder(), name=name, format="png"
    )
    return path


def _path(file: dict[str, Any] | None) -> Path | None:
    return None if file is None or not file.get("path") else Path(file["path"])


def _said(lines: list[str]) -> Any:
    text = "".join(f"<p>{html.escape(line)}</p>" for line in lines)
    return gr.update(value=text, visible=bool(lines))


_EVENT: dict[str, Any] = {"api_name": False, "api_visibility": "private"}
_QUIET: dict[str, Any] = {**_EVENT, "show_progress": "hidden"}
_NO_LOOK = (None, gr.update(value=None, interactive=False), None, None)
