"""Mutants of how pictures, masks, pairs and poses are read, wherever data sets keep them."""

from __future__ import annotations

from tests.mutants.mutant import Mutant

COLOURS = "tryon/data/images/colours.py"
OPENING = "tryon/data/images/opening.py"
MASKS = "tryon/data/images/masks.py"
FRAMES = "tryon/data/images/frames.py"
CUT_OUT = "tryon/garment_mask.py"
PLAIN = "tryon/plain_background.py"
PAIRS = "tryon/data/pairs.py"
POSE = "tryon/data/pose.py"
FOLDER = "tryon/data/folder.py"
SPLIT = "tryon/data/layouts/split.py"
LAYOUT = "tryon/data/layouts/layout.py"
KNOWN = "tryon/data/layouts/known.py"
DENSEPOSE = "tryon/data/densepose.py"
DUPLICATES = "tryon/data/duplicates.py"
CHECK = "tryon/data/check.py"
OF_COLOURS = "tests/tryon/data/images/test_colours.py"
OF_OPENING = "tests/tryon/data/images/test_opening.py"
OF_MASKS = "tests/tryon/data/images/test_masks.py"
OF_FRAMES = "tests/tryon/data/images/test_frames.py"
OF_CUT_OUT = "tests/tryon/test_garment_mask.py"
OF_PAIRS = "tests/tryon/data/test_pairs.py"
OF_POSE = "tests/tryon/data/test_pose.py"
OF_FOLDER = "tests/tryon/data/test_folder.py"
OF_LAYOUTS = "tests/tryon/data/layouts/test_layouts.py"
OF_DENSEPOSE = "tests/tryon/data/test_densepose.py"
OF_CHECK = "tests/tryon/data/test_check.py"

MUTANTS = (
    Mutant(COLOURS, "6: Image.Transpose.ROTATE_270", "6: Image.Transpose.ROTATE_90", OF_OPENING),
    Mutant(COLOURS, "5: Image.Transpose.TRANSPOSE,", "5: Image.Transpose.TRANSVERSE,", OF_OPENING),
    Mutant(COLOURS, "(levels + 128) // 257", "levels // 257", OF_COLOURS),
    Mutant(COLOURS, 'or (image.mode == "I" and image.format in _DEEP_FORMATS)', "", OF_COLOURS),
    Mutant(COLOURS, "        seen.putalpha(alpha)", "        pass", OF_COLOURS),
    Mutant(COLOURS, "    seen.info = {}  #", "    #", OF_COLOURS),
    Mutant(COLOURS, 'if image.mode == "LAB" or "sRGB" in', 'if image.mode == "LAB" or "sRBG" in', OF_COLOURS),
    Mutant(COLOURS, '"white")\n    return', '"black")\n    return', OF_COLOURS),
    Mutant(COLOURS, "@cache  # once for a file, however often it is read\n", "", OF_COLOURS),
    Mutant(OPENING, "                _check_pixels(path, image)\n", "", OF_OPENING),
    Mutant(OPENING, "        except Exception as error:", "        except OSError as error:", OF_OPENING),
    Mutant(OPENING, "range(16, end, 4)", "range(16, 16, 4)", OF_OPENING),
    Mutant(MASKS, "(255 / highest if highest > 0 else 0)", "1", OF_MASKS),
    Mutant(MASKS, 'seen.getchannel("A") if', 'seen.convert("L") if', OF_MASKS),
    Mutant(MASKS, "grey = upright(image, name)", "grey = image", OF_MASKS),
    Mutant(FRAMES, "left = (photo.width - width) // 2", "left = 0", OF_FRAMES),
    Mutant(FRAMES, "/ GARMENT_FILL\n", "\n", OF_FRAMES),
    Mutant(FRAMES, "clip(0, image.width - 1)", "clip(0, image.width - 2)", OF_FRAMES),
    Mutant(PLAIN, " and thickest > _FRAME_SHARE:", ":", OF_CUT_OUT),
    Mutant(PLAIN, "    elif border > covered:", "    elif border > 1:", OF_CUT_OUT),
    Mutant(PLAIN, "max(tolerance, _OUTLINE * contrast), _LOOSEST_OUTLINE)", "tolerance, _LOOSEST_OUTLINE)", OF_CUT_OUT),
    Mutant(PLAIN, "        if large == 1:", "        if large:", OF_CUT_OUT),
    Mutant(PLAIN, "np.median(left) < _PLAIN_CONTRAST:", "np.median(left) < 0:", OF_CUT_OUT),
    Mutant(PLAIN, 'side="right")  #', 'side="left")  #', OF_CUT_OUT),
    Mutant(CUT_OUT, "elif border > max(PLAIN_BORDER, covered):", "elif border > PLAIN_BORDER:", OF_CUT_OUT),
    Mutant(CUT_OUT, ".min() < _HALF:", ".min() < 255:", OF_CUT_OUT),
    Mutant(PAIRS, 'encoding="utf-8-sig"', 'encoding="utf-8"', OF_PAIRS),
    Mutant(PAIRS, 'outside = _QUOTED.sub("", line)', "outside = line", OF_PAIRS),
    Mutant(POSE, "key=_certainty", "key=len", OF_POSE),
    Mutant(POSE, "torch.tensor(size[::-1])", "torch.tensor(size)", OF_POSE),
    Mutant(POSE, "*range(9, 19)", "*range(8, 18)", OF_POSE),
    Mutant(SPLIT, 'or path.name.startswith(".")', "", OF_FOLDER),
    Mutant(SPLIT, 'unicodedata.normalize("NFC", Path(name).stem)', "Path(name).stem", OF_FOLDER),
    Mutant(SPLIT, "or not name.endswith(kind.tail)", "", OF_LAYOUTS),
    Mutant(SPLIT, "                del there.files[key]", "                pass", OF_LAYOUTS),
    Mutant(SPLIT, "return of_category or", "return", OF_LAYOUTS),
    Mutant(LAYOUT, "or sorted(root.glob(pattern))", "", OF_LAYOUTS),
    Mutant(LAYOUT, "        if own is not None:", "        if False:", OF_LAYOUTS),
    Mutant(KNOWN, "person=2, garment=1", "person=1, garment=2", OF_LAYOUTS),
    Mutant(KNOWN, "pose_size=(512, 384)", "pose_size=None", OF_LAYOUTS),
    Mutant(FOLDER, "self.size[0] / measured[0]", "self.size[0] / original[0]", OF_LAYOUTS),
    Mutant(
        DENSEPOSE, "    return _grown(parts)", "    return np.where(parts == _UNSURE, np.uint8(0), parts)", OF_DENSEPOSE
    ),
    Mutant(DENSEPOSE, "for channel in (2, 0):", "for channel in (2,):", OF_DENSEPOSE),
    Mutant(DUPLICATES, " > BRIGHTER", " > 0", OF_CHECK),
    Mutant(DUPLICATES, "NEAR = 0.05", "NEAR = 0.005", OF_CHECK),
    Mutant(CHECK, "    check_mask(mask, name)\n", "", OF_CHECK),
    Mutant(CHECK, '.replace(f"{self.root}/", "")', "", OF_CHECK),
)
