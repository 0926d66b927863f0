"""The layouts of published data sets. docs/data.md says what of them was checked against real files."""

from __future__ import annotations

from tryon.data.densepose import Form
from tryon.data.labels import ATR, ATR_DRESSES, ATR_LOWER, LIP, VITON
from tryon.data.layouts.layout import Files, Layout
from tryon.data.pairs import PairColumns

_JSON, _PNG = (".json",), (".png",)

PF_AFN = Layout(
    name="viton",
    licence="VITON's own photos are under copyright and for research only",
    photo=(Files("{split}_img"),),
    garment=(Files("{split}_color"), Files("{split}_clothes")),
    mask=(Files("{split}_edge"),),
    parsing=(Files("{split}_label", _PNG, scheme=VITON), Files("{split}_label_lip", _PNG, scheme=LIP)),
    pose=(Files("{split}_pose", _JSON),),
    densepose=(Files("{split}_densepose", (".npy",)),),
)

VITON_HD = Layout(
    name="viton-hd",
    licence="CC BY-NC 4.0, not for commercial use",
    photo=(Files("{split}/image"),),
    garment=(Files("{split}/cloth"),),
    mask=(Files("{split}/cloth-mask"),),
    parsing=(Files("{split}/image-parse-v3", _PNG, scheme=LIP), Files("{split}/image-parse", _PNG, scheme=LIP)),
    pose=(Files("{split}/openpose_json", _JSON), Files("{split}/openpose-json", _JSON)),
    densepose=(Files("{split}/image-densepose", form=Form.COLOURS), Files("{split}/densepose", form=Form.IUV)),
)

DRESS_CODE = Layout(
    name="dress-code",
    licence="its own licence terms: academic research that is not commercial, no altered copies",
    photo=(Files("images", tail="_0"),),
    garment=(Files("images", tail="_1"),),
    mask=(Files("masks", tail="_1"), Files("cloth_mask", tail="_1")),
    makes_masks=True,
    parsing=(Files("label_maps", _PNG, tail="_4"),),
    pose=(Files("keypoints", _JSON, tail="_2"),),
    densepose=(Files("dense", _PNG, tail="_5"),),
    listed=True,
    pose_size=(512, 384),
    categories={"upper_body": ATR, "lower_body": ATR_LOWER, "dresses": ATR_DRESSES},
)

STREET_TRYON = Layout(
    name="street-tryon",
    licence="as DeepFashion2 and VITON-HD, not for commercial use",
    photo=(Files("street_tryon/{split}/image"),),
    garment=(Files("zalando/test/cloth"),),
    mask=(Files("zalando/test/cloth-mask"),),
    densepose=(Files("street_tryon/{split}/densepose", form=Form.IUV),),
    splits={"test": "validation"},
    pairs="street_tryon/annotations/shop2street*.csv",
    csv=PairColumns(person=2, garment=1, header=True),
)

LAYOUTS = {layout.name: layout for layout in (PF_AFN, VITON_HD, DRESS_CODE, STREET_TRYON)}
