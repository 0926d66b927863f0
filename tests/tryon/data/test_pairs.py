from __future__ import annotations

from pathlib import Path

import pytest

from tryon.data.folder import TryOnFolder, read_pairs
from tryon.errors import InputError


@pytest.fixture
def pair_file(tmp_path: Path) -> Path:
    return tmp_path / "pairs.txt"


def test_pairs_are_read_in_the_files_order(pair_file: Path) -> None:
    pair_file.write_text("000002_0.jpg 000003_1.jpg\n\n000001_0.jpg 000001_1.jpg\n")
    assert read_pairs(pair_file) == [("000002", "000003"), ("000001", "000001")]


@pytest.mark.parametrize(
    "content",
    [
        "a_0.jpg b_1.jpg\nc_0.jpg d_1.jpg",
        "a_0.jpg b_1.jpg\r\nc_0.jpg d_1.jpg\r\n",
        "\ufeffa_0.jpg b_1.jpg\nc_0.jpg d_1.jpg\n",
        "# person garment\na_0.jpg b_1.jpg\n  # more\nc_0.jpg d_1.jpg\n",
        "  a_0.jpg   b_1.jpg  \nc_0.jpg\td_1.jpg\n",
        "a_0.jpg,b_1.jpg\nc_0.jpg, d_1.jpg\n",
        "a_0.jpg b_1.jpg 0\nc_0.jpg d_1.jpg upper_body\n",
        '"a_0.jpg" "b_1.jpg"\n"c_0.jpg","d_1.jpg"\n',
    ],
    ids=["plain", "CRLF", "byte order mark", "comments", "tabs", "commas", "category", "quotes"],
)
def test_what_editors_and_spreadsheets_write_is_read(pair_file: Path, content: str) -> None:
    pair_file.write_bytes(content.encode())
    assert read_pairs(pair_file) == [("a", "b"), ("c", "d")]


@pytest.mark.parametrize(
    ("line", "wanted"),
    [
        ("my photo.jpg\tred shirt.jpg", ("my photo", "red shirt")),
        ("my photo.jpg, red shirt.jpg", ("my photo", "red shirt")),
        ('"my photo.jpg" "red shirt.jpg" upper', ("my photo", "red shirt")),
        ('"red, long.jpg" shirt.jpg', ("red, long", "shirt")),
        ("Anna's.jpg shirt#2.jpg", ("Anna's", "shirt#2")),
        ("zoe\u0308_0.jpg zo\u00eb_1.jpg", ("zo\u00eb", "zo\u00eb")),
    ],
)
def test_names_may_have_spaces_commas_and_accents(pair_file: Path, line: str, wanted: tuple[str, str]) -> None:
    pair_file.write_text(line, encoding="utf-8")
    assert read_pairs(pair_file) == [wanted]


def test_a_pair_that_is_there_twice_is_taken_once_and_a_line_says_so(
    pair_file: Path, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level("INFO")
    pair_file.write_text("a.jpg b.jpg\nc.jpg b.jpg\na.jpg b.jpg\n")
    assert read_pairs(pair_file) == [("a", "b"), ("c", "b")]
    assert caplog.messages == [f"{pair_file}: of 3 pairs 1 are there before; each is taken once"]


@pytest.mark.parametrize(
    ("line", "found"),
    [
        ("my photo.jpg red shirt.jpg", "found 4 names in 'my photo.jpg red shirt.jpg'"),
        ("alone.jpg", "found 1 name in 'alone.jpg'"),
        ('"a.jpg b.jpg', "not quoted right"),
    ],
)
def test_a_line_that_cannot_be_read_is_named(pair_file: Path, line: str, found: str) -> None:
    pair_file.write_text(f"# pairs\na.jpg b.jpg\n{line}\n")
    with pytest.raises(InputError) as caught:
        read_pairs(pair_file)
    assert str(caught.value).startswith(f"{pair_file}:3: found ")
    assert found in str(caught.value)
    assert "wanted 'person.jpg garment.jpg'" in str(caught.value)


def test_a_pair_of_which_a_folder_has_no_picture_is_named_with_its_line(pair_file: Path, drawn_data: Path) -> None:
    pair_file.write_text("000000_0.png 000001_1.png\n000000_0.png 999999_1.png\n")
    with pytest.raises(InputError, match=r"pairs\.txt:2: .*test_clothes: found no file of 999999"):
        read_pairs(pair_file, TryOnFolder(drawn_data, "test"))


def test_a_file_without_pairs_is_refused(pair_file: Path) -> None:
    with pytest.raises(InputError, match=r"pairs\.txt: no such pair file"):
        read_pairs(pair_file)
    pair_file.write_text("\n# nothing\n")
    with pytest.raises(InputError, match=r"found no pair, wanted 'person\.jpg garment\.jpg' a line"):
        read_pairs(pair_file)
    pair_file.write_bytes("a.jpg b.jpg".encode("utf-16"))
    with pytest.raises(InputError, match=r"pairs\.txt: cannot be read as a pair file .*wanted UTF-8 text"):
        read_pairs(pair_file)
    with pytest.raises(InputError, match="cannot be read as a pair file"):
        read_pairs(pair_file.parent)
