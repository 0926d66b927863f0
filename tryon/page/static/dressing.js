// From two pictures to a person dressed. The networks are the ONNX file's; what is around them is that of
// tryon/inference.py, with the same numbers.

import { cut, frameOfGarment, frameOfPerson, garmentTensors, imageOf, onWhite, putBack, resized, tensorOf } from "./pictures.js";

// `run` takes {person, garment, garment_mask} tensors of the networks' size, and gives the file's outputs by name.
// The person is RGBA, the garment as `cutOut` gives it. Gives RGB of the person's size.
export async function dress(run, size, person, { photo: product, mask }) {
  const photo = onWhite(person);
  const frame = frameOfPerson(photo, size);
  const around = frameOfGarment(mask, size);
  const framed = cut(photo, frame);
  const image = await dressFramed(run, size, framed, cut(product, around), cut(mask, around, 0));
  const result = { ...photo, data: photo.data.slice() };
  putBack(image, result, frame);
  return result;
}

async function dressFramed(run, size, photo, garment, mask) {
  const fullSize = [photo.height, photo.width];
  const small = { photo: tensorOf(resized(photo, size)), ...garmentTensors(garment, mask, size) };
  const made = await run({ person: small.photo, garment: small.image, garment_mask: small.mask });
  if (fullSize[0] === size[0] && fullSize[1] === size[1]) return imageOf(made.image, size);
  const full = garmentTensors(garment, mask, fullSize).image;
  return composed(made, size, small.photo, full, photo);
}

// The garment warped at the photo's own size and laid over what is painted, enlarged; what is copied from the photo is
// copied at its own size.
function composed(made, size, smallPhoto, garment, photo) {
  const { width, height } = photo;
  const pixels = width * height;
  const [rows, columns] = [enlarging(size[0], height), enlarging(size[1], width)];
  const image = { ...photo, data: new Uint8ClampedArray(photo.data.length) };
  const planes = [made.sampling_map, made.composition, made.rendered, smallPhoto];
  if (made.copied !== undefined) planes.push(made.copied);
  const row = new Float64Array(planes.reduce((sum, plane) => sum + plane.length, 0) / size[0]);
  for (let y = 0, index = 0; y < height; y++) {
    enlargedRow(planes, size, rows, y, row);
    for (let x = 0; x < width; x++, index++) {
      const [left, right, share] = [columns.low[x], columns.high[x], columns.share[x]];
      const at = (plane) => row[plane * size[1] + left] * (1 - share) + row[plane * size[1] + right] * share;
      const [toX, toY] = [placeOf(at(0), size[1], width), placeOf(at(1), size[0], height)];
      const composition = at(2);
      const copied = made.copied === undefined ? 0 : at(9);
      for (let channel = 0; channel < 3; channel++) {
        const warped = sampled(garment, channel * pixels, width, height, toX, toY);
        const own = photo.data[index * 3 + channel] / 127.5 - 1;
        const painted = at(3 + channel) + copied * (own - at(6 + channel));
        image.data[index * 3 + channel] = (warped * composition + painted * (1 - composition) + 1) * 127.5;
      }
    }
  }
  return image;
}

// Where a normalised position in `found` pixels lies in `wanted`; what is beyond them is at their border.
function placeOf(normalised, found, wanted) {
  const place = ((((normalised + 1) / 2) * (found - 1) + 0.5) * wanted) / found - 0.5;
  return Math.min(Math.max(place, 0), wanted - 1);
}

function sampled(tensor, from, width, height, x, y) {
  const [left, top] = [Math.floor(x), Math.floor(y)];
  const [right, bottom] = [Math.min(left + 1, width - 1), Math.min(top + 1, height - 1)];
  const [upper, lower] = [from + top * width, from + bottom * width];
  const above = tensor[upper + left] * (left + 1 - x) + tensor[upper + right] * (x - left);
  const below = tensor[lower + left] * (left + 1 - x) + tensor[lower + right] * (x - left);
  return above * (top + 1 - y) + below * (y - top);
}

// Row `y` of the enlarged height, in the small width: all channels of all planes, one after the other.
function enlargedRow(planes, [height, width], { low, high, share }, y, row) {
  let to = 0;
  for (const plane of planes) {
    for (let from = 0; from < plane.length; from += height * width) {
      const [above, below] = [from + low[y] * width, from + high[y] * width];
      for (let x = 0; x < width; x++, to++) row[to] = plane[above + x] * (1 - share[y]) + plane[below + x] * share[y];
    }
  }
}

// For each of `wanted` pixels in a line: the two of `found` that it lies between, and the second one's share.
function enlarging(found, wanted) {
  const result = { low: new Int32Array(wanted), high: new Int32Array(wanted), share: new Float64Array(wanted) };
  for (let index = 0; index < wanted; index++) {
    const place = Math.max(((index + 0.5) * found) / wanted - 0.5, 0);
    result.low[index] = Math.min(Math.floor(place), found - 1);
    result.high[index] = Math.min(result.low[index] + 1, found - 1);
    result.share[index] = place - result.low[index];
  }
  return result;
}
