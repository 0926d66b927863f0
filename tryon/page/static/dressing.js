// From two pictures to a person dressed. The networks are the ONNX file's; what is around them is that of
// tryon/inference.py, with the same numbers.

import { cutOut } from "./garment_mask.js";
import { cut, frameOfGarment, frameOfPerson, garmentTensors, imageOf, onWhite, putBack, resized, tensorOf } from "./pictures.js";

// `run` takes {person, garment, garment_mask} tensors of the networks' size, and gives the file's outputs by name.
// Pictures are RGBA. Gives {image, photo, mask}: RGB of the person's size, and the garment's mask of its photo's size.
export async function dress(run, size, person, garment) {
  const photo = onWhite(person);
  const { photo: product, mask } = cutOut(garment);
  const frame = frameOfPerson(photo, size);
  const around = frameOfGarment(mask, size);
  const framed = cut(photo, frame);
  const image = await dressFramed(run, size, framed, cut(product, around), cut(mask, around, 0));
  const result = { ...photo, data: photo.data.slice() };
  putBack(image, result, frame);
  return { image: result, photo: product, mask };
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
  const fullSize = [photo.height, photo.width];
  const [height, width] = fullSize;
  const pixels = width * height;
  const [rows, columns] = [0, 1].map((axis) => enlarging(size[axis], fullSize[axis]));
  const part = size[0] * size[1];
  const image = { ...photo, data: new Uint8ClampedArray(photo.data.length) };
  const position = ([found, wanted], normalised) => ((((normalised + 1) / 2) * (found - 1) + 0.5) * wanted) / found - 0.5;
  for (let y = 0, index = 0; y < height; y++) {
    const { low: top, high: bottom, share: down } = rows[y];
    for (let x = 0; x < width; x++, index++) {
      const { low: left, high: right, share: across } = columns[x];
      const [a, b, c, d] = [top * size[1] + left, top * size[1] + right, bottom * size[1] + left, bottom * size[1] + right];
      const [wa, wb, wc, wd] = [(1 - down) * (1 - across), (1 - down) * across, down * (1 - across), down * across];
      const enlarged = (tensor, channel) => {
        const at = channel * part;
        return tensor[at + a] * wa + tensor[at + b] * wb + tensor[at + c] * wc + tensor[at + d] * wd;
      };
      const composition = enlarged(made.composition, 0);
      const copied = made.copied === undefined ? 0 : enlarged(made.copied, 0);
      // Where the map leads to, between pixels of the garment; beyond it, its border goes on.
      const toX = Math.min(Math.max(position([size[1], width], enlarged(made.sampling_map, 0)), 0), width - 1);
      const toY = Math.min(Math.max(position([size[0], height], enlarged(made.sampling_map, 1)), 0), height - 1);
      const [x0, y0] = [Math.floor(toX), Math.floor(toY)];
      const [x1, y1] = [Math.min(x0 + 1, width - 1), Math.min(y0 + 1, height - 1)];
      const [dx, dy] = [toX - x0, toY - y0];
      for (let channel = 0; channel < 3; channel++) {
        const at = channel * pixels;
        const above = garment[at + y0 * width + x0] * (1 - dx) + garment[at + y0 * width + x1] * dx;
        const below = garment[at + y1 * width + x0] * (1 - dx) + garment[at + y1 * width + x1] * dx;
        const warped = above * (1 - dy) + below * dy;
        const own = photo.data[index * 3 + channel] / 127.5 - 1;
        const painted = enlarged(made.rendered, channel) + copied * (own - enlarged(smallPhoto, channel));
        image.data[index * 3 + channel] = (warped * composition + painted * (1 - composition) + 1) * 127.5;
      }
    }
  }
  return image;
}

// For each of `wanted` pixels in a line: the two of `found` that it lies between, and the second one's share.
function enlarging(found, wanted) {
  return Array.from({ length: wanted }, (_, index) => {
    const place = Math.max(((index + 0.5) * found) / wanted - 0.5, 0);
    const low = Math.min(Math.floor(place), found - 1);
    return { low, high: Math.min(low + 1, found - 1), share: place - low };
  });
}
