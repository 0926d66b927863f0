"""Own photos to a data folder: framing, garment masks, pose, parsing, body parts."""
