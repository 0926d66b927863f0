// The garment mask of a product photo: its transparency, else from its plain background. That of
// tryon/garment_mask.py; a mask of one's own comes as transparency.

import { borderOf, fixed, shareOf } from "./areas.js";
import { HALF, Refusal, channelOf, onWhite } from "./pictures.js";
import { LARGEST_GARMENT, PLAIN_BORDER, SMALLEST_GARMENT, garmentMask } from "./plain_background.js";

// From RGBA to {photo, mask}: RGB on white, and one channel that is bright on the garment.
export function cutOut(image, name = "garment") {
  const photo = onWhite(image);
  const alpha = channelOf(image, 3);
  if (alpha.data.every((level) => level >= HALF)) return { photo, mask: garmentMask(photo, name) };
  checkMask(alpha, `${name}: its transparency`);
  return { photo, mask: alpha };
}

// Refuses a mask of nothing, of the whole photo, or of what is around the garment.
export function checkMask(mask, name) {
  const inside = mask.data.map((level) => (level >= HALF ? 1 : 0));
  const covered = shareOf(inside);
  const border = shareOf(borderOf(mask).map((place) => inside[place]));
  let found;
  if (covered < SMALLEST_GARMENT) {
    found = `no garment (${fixed(100 * covered, 1)}% of the photo is bright)`;
  } else if (covered > LARGEST_GARMENT) {
    found = `the whole photo (${fixed(100 * covered, 1)}% of it is bright)`;
  } else if (border > Math.max(PLAIN_BORDER, covered)) {
    const shares = `${fixed(100 * border, 0)}% of the border is bright, ${fixed(100 * covered, 0)}% of the photo`;
    found = `a mask that is inverted (${shares})`;
  } else {
    return;
  }
  throw new Refusal(`${name}: found ${found}, wanted it bright on the garment and dark around it`);
}
