// The garment mask of a product photo: its transparency, else from its plain background. The rules, numbers and
// refusals are those of tryon/garment_mask.py; a mask of one's own comes as transparency.

import { HALF, Refusal, channelOf, onWhite, picture, rounded } from "./pictures.js";

const PLAIN_BORDER = 0.6; // share of the border that must be background
const LOOSEST_PLAIN = 12; // grey levels by which that share may differ from the border's median
const TIGHTEST_TOLERANCE = 4;
const RIM = 2; // pixels around a garment in which its edge is blurred
const RIM_TOLERANCE = 32;
const SMALLEST_GARMENT = 0.03; // shares of the photo
const LARGEST_GARMENT = 0.98;
const BORDER_SHARE = 1 / 64; // thickness of the border, as a share of the shorter side

// From RGBA to {photo, mask}: RGB on white, and one channel that is 255 on the garment.
export function cutOut(image) {
  const photo = onWhite(image);
  const alpha = channelOf(image, 3);
  if (alpha.data.every((level) => level >= HALF)) return { photo, mask: garmentMask(photo) };
  const covered = share(alpha);
  if (covered < SMALLEST_GARMENT || covered > LARGEST_GARMENT) {
    throw new Refusal(`garment: ${percent(covered)} of it is not transparent, wanted a garment on nothing`);
  }
  return { photo, mask: alpha };
}

export function garmentMask(photo) {
  const pixels = borderOf(photo);
  const background = [0, 1, 2].map((channel) => quantile(pixels.map((at) => photo.data[at * 3 + channel]), 0.5));
  const differences = pixels.map((at) =>
    Math.max(...background.map((level, channel) => Math.abs(photo.data[at * 3 + channel] - level))),
  );
  const deviation = quantile(differences, PLAIN_BORDER);
  if (deviation > LOOSEST_PLAIN) {
    throw new Refusal(
      `garment: found no plain background (the border's colours differ by ${deviation.toFixed(0)} grey levels,` +
        ` wanted at most ${LOOSEST_PLAIN}); take a photo on a plain background, or cut it out`,
    );
  }
  const tolerance = Math.max(TIGHTEST_TOLERANCE, 2 * deviation);
  const outside = connectedToBorder(near(photo, background, tolerance), photo.width, photo.height);
  let mask = picture(photo.width, photo.height, 1);
  outside.forEach((is, index) => (mask.data[index] = is ? 0 : 255));
  mask = filtered(mask, (sum) => sum >= 5); // the median, which removes stray pixels
  const rim = near(photo, background, Math.max(tolerance, RIM_TOLERANCE));
  for (let pass = 0; pass < RIM; pass++) mask = filtered(mask, (sum) => sum === 9, rim);
  const covered = share(mask);
  if (covered < SMALLEST_GARMENT) {
    throw new Refusal(
      `garment: found no garment on the background (${percent(covered)} of the photo differs from it,` +
        ` wanted ${percent(SMALLEST_GARMENT)})`,
    );
  }
  return mask;
}

const percent = (part) => `${(100 * part).toFixed(1)}%`;

function share(mask) {
  return mask.data.reduce((count, level) => count + (level >= HALF ? 1 : 0), 0) / mask.data.length;
}

// Places of the pixels near the edge; those in the corners twice.
function borderOf({ width, height }) {
  const thickness = Math.max(1, rounded(Math.min(width, height) * BORDER_SHARE));
  const places = [];
  for (let y = 0; y < height; y++) {
    for (let x = 0; x < width; x++) {
      for (const is of [Math.min(y, height - 1 - y) < thickness, Math.min(x, width - 1 - x) < thickness]) {
        if (is) places.push(y * width + x);
      }
    }
  }
  return places;
}

function quantile(levels, part) {
  const sorted = Float64Array.from(levels).sort();
  const place = part * (sorted.length - 1);
  const below = Math.floor(place);
  const above = Math.min(below + 1, sorted.length - 1);
  return sorted[below] + (place - below) * (sorted[above] - sorted[below]);
}

function near(photo, background, tolerance) {
  const result = new Uint8Array(photo.width * photo.height);
  for (let index = 0, from = 0; index < result.length; index++, from += 3) {
    result[index] =
      Math.abs(photo.data[from] - background[0]) <= tolerance &&
      Math.abs(photo.data[from + 1] - background[1]) <= tolerance &&
      Math.abs(photo.data[from + 2] - background[2]) <= tolerance;
  }
  return result;
}

// The part of an area from which a path through it, by pixels' four neighbours, leads to the border.
function connectedToBorder(area, width, height) {
  const reached = new Uint8Array(area.length);
  const waiting = new Int32Array(area.length);
  let count = 0;
  const reach = (index) => {
    if (!area[index] || reached[index]) return;
    reached[index] = 1;
    waiting[count++] = index;
  };
  for (let x = 0; x < width; x++) [x, (height - 1) * width + x].forEach(reach);
  for (let y = 0; y < height; y++) [y * width, y * width + width - 1].forEach(reach);
  while (count > 0) {
    const index = waiting[--count];
    const x = index % width;
    if (x > 0) reach(index - 1);
    if (x < width - 1) reach(index + 1);
    if (index >= width) reach(index - width);
    if (index < area.length - width) reach(index + width);
  }
  return reached;
}

// A mask of 0 and 255 anew, where `only` says so: by how many of a pixel and its eight neighbours are in it.
function filtered(mask, holds, only = null) {
  const { width, height } = mask;
  const result = picture(width, height, 1);
  for (let y = 0, index = 0; y < height; y++) {
    for (let x = 0; x < width; x++, index++) {
      if (only !== null && !only[index]) {
        result.data[index] = mask.data[index];
        continue;
      }
      let sum = 0;
      for (let row = y - 1; row <= y + 1; row++) {
        const from = Math.min(Math.max(row, 0), height - 1) * width;
        for (let column = x - 1; column <= x + 1; column++) {
          sum += mask.data[from + Math.min(Math.max(column, 0), width - 1)] === 255 ? 1 : 0;
        }
      }
      result.data[index] = holds(sum) ? 255 : 0;
    }
  }
  return result;
}
