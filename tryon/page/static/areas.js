// Places, areas and levels of pictures, and numbers of them as numpy has them. Areas and levels are pictures of one
// channel: an area's data are 1 inside and 0 elsewhere, levels' are Float64Arrays. A place is y * width + x.

import { picture, rounded } from "./pictures.js";

const BORDER_SHARE = 1 / 64; // thickness of the border, as a share of the shorter side
export const SIDES = ["top", "bottom", "left", "right"];

// Places of all pixels near the edge; those in the corners twice.
export function borderOf({ width, height }) {
  const thickness = Math.max(1, rounded(Math.min(width, height) * BORDER_SHARE));
  const places = [];
  for (let y = 0; y < height; y++) {
    for (let x = 0; x < width; x++) {
      if (y < thickness) places.push(y * width + x);
      if (y >= height - thickness) places.push(y * width + x);
      if (x < thickness) places.push(y * width + x);
      if (x >= width - thickness) places.push(y * width + x);
    }
  }
  return places;
}

// Places of the `index`-th line from a side, or of what of it is from `start` to `end`.
export function lineOf({ width, height }, side, index, start = 0, end = null) {
  const row = { top: index, bottom: height - 1 - index }[side];
  const column = { left: index, right: width - 1 - index }[side];
  const places = [];
  for (let at = start; at < (end ?? (row === undefined ? height : width)); at++) {
    places.push(row === undefined ? at * width + column : row * width + at);
  }
  return places;
}

// The picture of what a function gives of each place's value.
export function areaOf({ width, height, data }, is) {
  const result = picture(width, height, 1);
  for (let index = 0; index < data.length; index++) result.data[index] = is(data[index], index);
  return result;
}

// The highest value of a square around each place: first along columns, then along rows.
export function highestAround(values, distance) {
  const { width, height } = values;
  let data = values.data;
  for (const [step, block] of [[width, width * height], [1, width]]) {
    for (let pass = 0; pass < distance; pass++) {
      const from = data;
      data = from.slice();
      for (let start = 0; start < data.length; start += block) {
        for (let index = start + step; index < start + block; index++) {
          if (from[index - step] > data[index]) data[index] = from[index - step];
          if (from[index] > data[index - step]) data[index - step] = from[index];
        }
      }
    }
  }
  return { ...values, data };
}

// An area and what is allowed of what is around it, up to so many steps away.
export function grown(area, allowed, steps) {
  for (let step = 0; step < steps; step++) {
    const around = highestAround(area, 1);
    area = areaOf(area, (is, index) => is || (around.data[index] && allowed.data[index]));
  }
  return area;
}

// An area without single stray pixels: the median of nine, the border's going on beyond it.
export function smooth(area) {
  const { width, height, data } = area;
  return areaOf(area, (_, index) => {
    const [x, y] = [index % width, Math.floor(index / width)];
    let sum = 0;
    for (const row of [Math.max(y - 1, 0), y, Math.min(y + 1, height - 1)]) {
      for (const column of [Math.max(x - 1, 0), x, Math.min(x + 1, width - 1)]) sum += data[row * width + column];
    }
    return sum >= 5 ? 1 : 0;
  });
}

// The part of an area from which a path through it leads to the border, by pixels' four neighbours.
export function connectedToBorder(area) {
  const reached = new Int32Array(area.data.length);
  for (const side of SIDES) for (const place of lineOf(area, side, 0)) reach(area, place, reached, 1);
  return areaOf(area, (_, index) => reached[index]);
}

// Numbers the pieces of an area, connected by pixels' four neighbours, from 1; 0 is none.
export function piecesOf(area) {
  const pieces = new Int32Array(area.data.length);
  const sizes = [];
  area.data.forEach((is, place) => {
    if (is && pieces[place] === 0) sizes.push(reach(area, place, pieces, sizes.length + 1));
  });
  return { pieces, sizes };
}

// Writes a number where a path through an area leads from a place, and gives how many pixels that are.
function reach({ width, height, data }, place, numbers, number) {
  const waiting = [];
  let count = 0;
  const meet = (index) => {
    if (!data[index] || numbers[index] !== 0) return;
    numbers[index] = number;
    waiting.push(index);
    count++;
  };
  meet(place);
  while (waiting.length > 0) {
    const index = waiting.pop();
    const x = index % width;
    if (x > 0) meet(index - 1);
    if (x < width - 1) meet(index + 1);
    if (index >= width) meet(index - width);
    if (index < width * (height - 1)) meet(index + width);
  }
  return count;
}

// The share of zeros and ones that are ones.
export function shareOf(inside) {
  return inside.reduce((count, is) => count + is, 0) / inside.length;
}

// As numpy has it: between the two nearest levels, counted from the nearer of them.
export function quantile(levels, part) {
  const sorted = Float64Array.from(levels).sort();
  const place = part * (sorted.length - 1);
  const below = Math.floor(place);
  const [low, high] = [sorted[below], sorted[Math.min(below + 1, sorted.length - 1)]];
  const share = place - below;
  return share < 0.5 ? low + (high - low) * share : high - (high - low) * (1 - share);
}

// As Python writes a number: halves, which no other numbers are than quarters, go to the even digit.
export function fixed(number, digits) {
  if (!Number.isInteger(number * 4)) return number.toFixed(digits);
  return (rounded(number * 10 ** digits) / 10 ** digits).toFixed(digits);
}
