from __future__ import annotations

import shutil
from pathlib import Path

import pytest

VITON_NAMES = (
    *("background", "hair", "background", "background", "upper-clothes", "left-shoe", "right-shoe", "upper-clothes"),
    *("trousers", "left-leg", "right-leg", "left-arm", "face", "right-arm"),
)


@pytest.fixture
def own_photos(drawn_data: Path, tmp_path: Path) -> Path:
    """Three drawn people of 64 x 64 as a user would have them, with poses and VITON's labels."""
    folder = tmp_path / "photos"
    kinds = {"people": "img", "garments": "color", "labels": "label", "poses": "pose"}
    for name, kind in kinds.items():
        (folder / name).mkdir(parents=True)
        for path in sorted((drawn_data / f"train_{kind}").iterdir())[:3]:
            shutil.copy(path, folder / name)
    return folder


@pytest.fixture
def viton_names(tmp_path: Path) -> Path:
    """A file that names VITON's labels."""
    path = tmp_path / "viton.txt"
    path.write_text("\n".join(VITON_NAMES) + "\n")
    return path
