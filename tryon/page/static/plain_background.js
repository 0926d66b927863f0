// Separating a garment from the plain background of its product photo: step for step, with its names, numbers and
// refusals, what tryon/plain_background.py says and does.

import {
  SIDES, areaOf, borderOf, connectedToBorder, fixed, grown, highestAround, lineOf, piecesOf, quantile, shareOf, smooth,
} from "./areas.js";
import { HALF, Refusal, cut, picture, putBack, reduced, resized, rounded } from "./pictures.js";

const WORK_SIDE = 512;
export const PLAIN_BORDER = 0.6; // share of the border that must be background
const LOOSEST_PLAIN = 12; // grey levels by which that share may differ from the background
const STRONGEST_GRADIENT = 64; // grey levels between the background's lightest and darkest place
const TIGHTEST_TOLERANCE = 4; // grey levels
export const SMALLEST_GARMENT = 0.03; // share of the photo
export const LARGEST_GARMENT = 0.98;
const UNIT_SHARE = 1 / 192; // what is a pixel at the published size
const RIM = 4; // units around the outside in which an outline's blur is
const OUTLINE = 0.3; // share of the way from background to garment at which the outline is
const LOOSEST_OUTLINE = 48; // grey levels
const FRAME_SHARE = 1 / 8; // thickest frame, as a share of a side
const ANOTHER_COLOUR = 24; // grey levels
const DARKEST_SHADOW = 0.5; // of the background's brightness
const GREYEST_SHADOW = 0.04; // difference of that share between channels
const SOFTEST_EDGE = 8; // grey levels a unit
const PLAIN_CONTRAST = 64; // grey levels
const SECOND_PIECE = 1 / 3; // of the largest piece
const SMALLEST_PIECE = 1 / 100;
const CUT_ACROSS = 0.3; // share of both of two opposite sides
const ALL_ALONG = 0.97; // share of a line
const NEARLY_NONE = 0.2; // share of a garment
const FITS = 8;
const FLATNESS = 1e-3;
const FINEST = 1 / 1024; // grey levels

// From RGB of any size to a mask of that size, 255 on the garment.
export function garmentMask(photo, name = "garment") {
  const factor = Math.ceil(Math.max(photo.width, photo.height) / WORK_SIDE);
  const small = factor > 1 ? reduced(photo, factor) : photo;
  const [top, bottom, left, right] = unframed(small);
  const framed = Math.max(top, bottom, left, right) === 0 ? "" : " inside its frame";
  const colours = cut(small, [left, top, small.width - right, small.height - bottom]);
  const mask = picture(small.width, small.height, 1);
  putBack(areaOf(garment(colours, `${name}: found`, framed), (inside) => inside * 255), mask, [left, top]);
  if (factor === 1) return mask;
  const enlarged = resized(mask, [photo.height, photo.width]);
  for (let index = 0; index < enlarged.data.length; index++) enlarged.data[index] = enlarged.data[index] >= HALF ? 255 : 0;
  return enlarged;
}

function garment(colours, found, framed) {
  const unit = Math.max(1, rounded(Math.min(colours.width, colours.height) * UNIT_SHARE));
  const { background, deviation } = backgroundOf(colours);
  if (deviation > LOOSEST_PLAIN) {
    throw new Refusal(
      `${found} no plain background${framed} (the border's colours differ by ${fixed(deviation, 0)} grey levels,` +
        ` wanted at most ${LOOSEST_PLAIN}); give a garment mask`,
    );
  }
  const plain = differenceOf(colours, background);
  const tolerance = Math.max(TIGHTEST_TOLERANCE, 2 * deviation);
  const near = connectedToBorder(areaOf(plain, (level) => level <= tolerance));
  const { difference, outside } = withoutShadow(colours, background, plain, near, unit);
  const outline = Math.min(Math.max(tolerance, OUTLINE * contrastOf(difference, outside, unit)), LOOSEST_OUTLINE);
  const rim = grown(outside, areaOf(difference, (level) => level <= outline), RIM * unit);
  const all = connectedToBorder(areaOf(difference, (level, index) => rim.data[index] || level <= tolerance));
  return oneGarment(smooth(areaOf(all, (is) => 1 - is)), found, framed);
}

// By how much a pixel differs from the background, in the channel in which it does so most.
function differenceOf(colours, background) {
  const data = new Float64Array(colours.width * colours.height);
  for (let index = 0, from = 0; index < data.length; index++, from += 3) {
    data[index] = farthest(colours, index, background.data.subarray(from, from + 3));
  }
  return { ...colours, channels: 1, data };
}

function farthest(colours, place, [red, green, blue]) {
  const { data } = colours;
  const from = place * 3;
  return Math.max(Math.abs(data[from] - red), Math.abs(data[from + 1] - green), Math.abs(data[from + 2] - blue));
}

// Widths of the bars and frames around a photo: [top, bottom, left, right].
function unframed(colours) {
  const { width, height } = colours;
  let bars = SIDES.map((side) => plainLines(colours, side));
  const thickest = Math.max(...bars.map((bar, index) => bar / [height, height, width, width][index]));
  if (Math.max(bars[0], bars[1]) > 0 && Math.max(bars[2], bars[3]) > 0 && thickest > FRAME_SHARE) bars = [0, 0, 0, 0];
  for (;;) {
    const [top, bottom, left, right] = bars;
    const [columns, rows] = [[left, width - right], [top, height - bottom]];
    const within = [columns, columns, rows, rows];
    const kept = bars.map((bar, index) => {
      const line = lineOf(colours, SIDES[index], bar, ...within[index]);
      return differs(colours, lineOf(colours, SIDES[index], 0), line) ? bar : 0;
    });
    if (kept.every((bar, index) => bar === bars[index])) return bars;
    bars = kept;
  }
}

// How many lines from a side's first on are of its colour, and two more, which may be blurred; 0 if all are.
function plainLines(colours, side) {
  const lines = side === "top" || side === "bottom" ? colours.height : colours.width;
  const colour = middleOf(colours, lineOf(colours, side, 0));
  for (let index = 0; index < lines; index++) {
    const plain = lineOf(colours, side, index).map((place) => (farthest(colours, place, colour) <= LOOSEST_PLAIN ? 1 : 0));
    if (shareOf(plain) < ALL_ALONG) return index === 0 || index + 2 >= Math.floor(lines / 2) ? 0 : index + 2;
  }
  return 0;
}

// Whether nearly all of a line is of another colour than a bar.
function differs(colours, bar, line) {
  const colour = middleOf(colours, bar);
  return shareOf(line.map((place) => (farthest(colours, place, colour) > ANOTHER_COLOUR ? 1 : 0))) > ALL_ALONG;
}

function middleOf(colours, places) {
  return [0, 1, 2].map((channel) => quantile(places.map((place) => colours.data[place * 3 + channel]), 0.5));
}

// The background behind everything, and by how much the border's plain share differs from it.
function backgroundOf(colours) {
  const { width, height } = colours;
  const [across, along] = [evenly(width), evenly(height)];
  const termsAt = (place) => termsOf(across[place % width], along[Math.floor(place / width)]);
  const border = borderOf(colours);
  const places = border.map(termsAt);
  const middle = middleOf(colours, border);
  let apart = border.map((place) => farthest(colours, place, middle));
  let surface = null;
  for (let fit = 0; fit < FITS; fit++) {
    const widest = quantile(apart, PLAIN_BORDER);
    const near = border.flatMap((place, index) => (apart[index] <= widest ? [index] : []));
    surface = surfaceOf(near.map((index) => places[index]), near.map((index) => border[index]), colours);
    const levels = places.map((terms) => surface.map((factors) => levelAt(terms, factors)));
    apart = border.map((place, index) => farthest(colours, place, levels[index]));
  }
  const background = { width, height, channels: 3, data: new Float64Array(width * height * 3) };
  for (let place = 0, to = 0; place < width * height; place++) {
    const terms = termsAt(place);
    for (const factors of surface) background.data[to++] = levelAt(terms, factors);
  }
  if (strongestGradient(background) > STRONGEST_GRADIENT) {
    background.data.forEach((_, index, data) => (data[index] = middle[index % 3]));
    apart = border.map((place) => farthest(colours, place, middle));
  }
  return { background, deviation: quantile(apart, PLAIN_BORDER) };
}

function evenly(count) {
  return Array.from({ length: count }, (_, index) => (count === 1 ? -1 : -1 + (index * 2) / (count - 1)));
}

const termsOf = (x, y) => [1, x, y, x * x, x * y, y * y];

function levelAt(terms, factors) {
  let level = 0;
  for (let term = 0; term < terms.length; term++) level += terms[term] * factors[term];
  return rounded(level / FINEST) * FINEST;
}

function strongestGradient({ data }) {
  const [lowest, highest] = [Array(3).fill(Infinity), Array(3).fill(-Infinity)];
  data.forEach((level, index) => {
    lowest[index % 3] = Math.min(lowest[index % 3], level);
    highest[index % 3] = Math.max(highest[index % 3], level);
  });
  return Math.max(...highest.map((level, channel) => level - lowest[channel]));
}

// For each channel the terms' factors of the surface nearest to the colours at places: least squares.
function surfaceOf(terms, places, colours) {
  const count = termsOf(0, 0).length;
  const rows = Array.from({ length: count }, () => new Float64Array(count + 3)); // of equations, and their right sides
  terms.forEach((values, index) => {
    const all = [...values, ...colours.data.subarray(places[index] * 3, places[index] * 3 + 3)];
    rows.forEach((row, term) => all.forEach((value, column) => (row[column] += values[term] * value)));
  });
  for (let term = 1; term < count; term++) rows[term][term] += FLATNESS;
  rows.forEach((row, term) => {
    const pivot = row[term]; // is positive, so rows need no change of order
    row.forEach((_, column) => (row[column] /= pivot));
    for (const other of rows) {
      const factor = other[term];
      if (other !== row) other.forEach((_, column) => (other[column] -= factor * row[column]));
    }
  });
  return [0, 1, 2].map((channel) => rows.map((row) => row[count + channel]));
}

// The differences with a soft shadow's taken off, and the outside with the shadow.
function withoutShadow(colours, background, difference, outside, unit) {
  const brightness = brightnessOf(colours);
  const isShadow = (index) => isDarker(colours, background, index) && slopeAt(brightness, index) <= SOFTEST_EDGE / unit;
  const shaded = connectedToBorder(areaOf(outside, (is, index) => is || isShadow(index)));
  const left = difference.data.filter((_, index) => !shaded.data[index]);
  if (left.length === 0 || quantile(left, 0.5) < PLAIN_CONTRAST) return { difference, outside };
  const shadow = difference.data.map((level, index) => (shaded.data[index] && !outside.data[index] ? level : 0));
  const around = highestAround({ ...difference, data: shadow }, RIM * unit);
  const data = difference.data.map((level, index) => Math.max(level - around.data[index], 0));
  return { difference: { ...difference, data }, outside: shaded };
}

function brightnessOf({ width, height, data: levels }) {
  const data = new Float64Array(width * height);
  for (let index = 0, from = 0; index < data.length; index++, from += 3) {
    data[index] = (levels[from] + levels[from + 1] + levels[from + 2]) / 3;
  }
  return { width, height, channels: 1, data };
}

// Whether a pixel has the background's colour, no lighter and not much darker.
function isDarker(colours, background, index) {
  let [lowest, highest] = [Infinity, -Infinity];
  for (let at = index * 3; at < index * 3 + 3; at++) {
    const share = colours.data[at] / Math.max(background.data[at], 1);
    lowest = Math.min(lowest, share);
    highest = Math.max(highest, share);
  }
  return highest - lowest <= GREYEST_SHADOW && lowest >= DARKEST_SHADOW && highest <= 1;
}

// By how much levels change a pixel, across or along, whichever is more.
function slopeAt({ width, height, data }, index) {
  const [x, y] = [index % width, Math.floor(index / width)];
  const across = data[x < width - 1 ? index + 1 : index] - data[x > 0 ? index - 1 : index];
  const along = data[y < height - 1 ? index + width : index] - data[y > 0 ? index - width : index];
  return Math.max(Math.abs(across / 2), Math.abs(along / 2));
}

// How far from the background nearly all of the garment is that is not its rim.
function contrastOf(difference, outside, unit) {
  const around = highestAround(outside, RIM * unit);
  const inner = difference.data.filter((_, index) => !around.data[index]);
  return inner.length > 0 ? quantile(inner, NEARLY_NONE) : 0;
}

// An area without its specks. Refuses what cannot be one garment's.
function oneGarment(area, found, framed) {
  const covered = shareOf(area.data);
  const border = shareOf(borderOf(area).map((place) => area.data[place]));
  const across = reachingAcross(area);
  let what;
  if (covered < SMALLEST_GARMENT) {
    const wanted = `wanted ${fixed(100 * SMALLEST_GARMENT, 0)}%`;
    what = `no garment on the background (${fixed(100 * covered, 1)}% of the photo differs from it, ${wanted})`;
  } else if (covered > LARGEST_GARMENT) {
    what = `no background around the garment (${fixed(100 * covered, 1)}% of the photo differs from the border)`;
  } else if (border > covered) {
    const differing = `${fixed(100 * border, 0)}% of the border differs from its main colour`;
    what = `a garment that is cut off all around, or none (${differing})`;
  } else if (across > CUT_ACROSS) {
    const both = `${fixed(100 * across, 0)}% of both is garment`;
    what = `a garment that is cut off on opposite sides, or a part of one (${both})`;
  } else {
    const { pieces, sizes } = piecesOf(area);
    const largest = Math.max(...sizes);
    const large = sizes.filter((size) => size > SECOND_PIECE * largest).length;
    if (large === 1) return areaOf(area, (is, index) => (is && sizes[pieces[index] - 1] > SMALLEST_PIECE * largest ? 1 : 0));
    what = `${large} pieces of similar size, wanted one garment`;
  }
  throw new Refusal(`${found} ${what}${framed}; give a garment mask`);
}

// The share of two opposite sides of a photo that is in an area: of that pair which has more of it.
function reachingAcross(area) {
  const [top, bottom, left, right] = SIDES.map((side) => shareOf(lineOf(area, side, 0).map((place) => area.data[place])));
  return Math.max(Math.min(top, bottom), Math.min(left, right));
}
