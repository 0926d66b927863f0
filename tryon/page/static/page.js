// The page: takes two pictures, has the worker dress, shows the result.

const RELOADED = "reloaded to be isolated";
const LIVE_SIDE = 512; // pixels of a camera's picture: more would show no more of the networks, and slower
const find = (selector) => document.querySelector(selector);
const options = new URLSearchParams(location.search);
const chosen = { person: null, garment: null };
let garments = 0; // how many have been chosen: the number of the latest
let latest = 0; // number of the request whose answer is wanted
let calls = 0;
const waiting = new Map();
let worker = null;

// Threads need a page that is isolated from others, which only headers of the server or of a service worker can say;
// the latter also keeps all files for when there is no network.
async function isolate() {
  if (!("serviceWorker" in navigator)) return;
  try {
    await navigator.serviceWorker.register("service_worker.js", { updateViaCache: "none" });
  } catch (error) {
    console.warn(`one thread, and no visits without a network: ${error.message}`); // private windows may forbid it
    return;
  }
  await navigator.serviceWorker.ready;
  if (!self.crossOriginIsolated && sessionStorage.getItem(RELOADED) === null) {
    sessionStorage.setItem(RELOADED, "once");
    location.reload();
    await new Promise(() => {});
  }
}

function ask(task, given) {
  const id = ++calls;
  return new Promise((resolve, reject) => {
    waiting.set(id, { resolve, reject });
    worker.postMessage({ id, task, ...given }, given.person instanceof ImageBitmap ? [given.person] : []);
  });
}

function hear({ data: { id, progress, error, ...answer } }) {
  if (progress !== undefined) {
    find("#progress").value = progress;
    return;
  }
  const { resolve, reject } = waiting.get(id);
  waiting.delete(id);
  if (error === undefined) resolve(answer);
  else reject(Object.assign(new Error(error), answer));
}

async function start() {
  await isolate();
  const files = await (await fetch("files.json")).json();
  const megabytes = (files.model.bytes / 1e6).toFixed(0);
  find("#state").textContent = `Loading the networks, ${megabytes} MB, once …`;
  offerExamples("person", files.examples.people);
  offerExamples("garment", files.examples.garments);
  worker = new Worker("worker.js", { type: "module" });
  worker.onmessage = hear;
  worker.onerror = (event) => say(event.message ?? "the worker could not be started");
  const { backend, threads } = await ask("load", { files, backend: options.get("backend") });
  find("#loading").hidden = true;
  const how = backend === "webgpu" ? "the graphics card" : `${threads} thread${threads > 1 ? "s" : ""}`;
  find("#about").textContent = `${files.size[0]} × ${files.size[1]} networks on ${how} of this device.`;
  document.body.dataset.ready = backend;
  if (chosen.person && chosen.garment) dress();
  else await takeExamples(files);
  find("#live").disabled = false;
}

async function takeExamples({ examples }) {
  for (const [name, paths] of [["person", examples.people], ["garment", examples.garments]]) {
    if (chosen[name] === null && paths.length > 0) await take(name, await (await fetch(paths[0])).blob());
  }
}

function offerExamples(name, paths) {
  const row = find(`#${name} .examples`);
  for (const path of paths) {
    const button = document.createElement("button");
    const image = document.createElement("img");
    image.src = path;
    image.alt = `A drawn ${name}`;
    button.append(image);
    button.onclick = async () => take(name, await (await fetch(path)).blob());
    row.append(button);
  }
}

function take(name, file) {
  chosen[name] = file;
  if (name === "garment") garments++;
  else camera.stop();
  const [image, drop] = [find(`#${name} img`), find(`#${name} .drop`)];
  URL.revokeObjectURL(image.src);
  image.src = URL.createObjectURL(file);
  image.hidden = false;
  drop.classList.add("full");
  if (name === "garment") find("#garment canvas").hidden = true;
  return camera.stream ? null : dress(); // the camera's next picture has the garment
}

async function dress(person = chosen.person) {
  if (document.body.dataset.ready === undefined || !person || !chosen.garment) return;
  const number = ++latest;
  find(".stage").classList.toggle("busy", !camera.stream);
  try {
    const answer = await ask("dress", { person, garment: { number: garments, file: chosen.garment } });
    if (number === latest) say("");
    if (number === latest) show(answer);
  } catch (error) {
    if (number !== latest) return;
    clear();
    say(error.message);
    if (!error.refusal) console.error(error);
  } finally {
    if (number === latest) find(".stage").classList.remove("busy");
  }
}

// Dresses what a camera sees, one picture after the other, as quickly as they are done.
const camera = {
  stream: null,
  seen: false, // whether what it sees is what is shown

  async start() {
    const [video, button] = [find("#person video"), find("#live")];
    button.disabled = true; // a second wish would open a second stream
    try {
      const wanted = { video: { facingMode: "user", width: { ideal: LIVE_SIDE }, height: { ideal: LIVE_SIDE } } };
      this.stream = await navigator.mediaDevices.getUserMedia(wanted);
      video.srcObject = this.stream;
      await video.play();
    } catch (error) {
      this.stop();
      say(`camera: cannot be opened (${error.message})`);
      return;
    } finally {
      button.disabled = false;
    }
    this.seen = false;
    this.show(true);
    const own = this.stream;
    for (let before = performance.now(); this.stream === own && own.active; ) {
      await dress(await this.picture(video));
      this.seen = !find("#before").hidden;
      await new Promise(requestAnimationFrame); // shown, before the next
      const now = performance.now();
      if (this.stream === own) find("#rate").textContent = `${(1000 / (now - before)).toFixed(1)} pictures a second`;
      before = now;
    }
    if (this.stream === own) this.stop(); // the camera was unplugged
  },

  picture(video) {
    const scale = Math.min(1, LIVE_SIDE / Math.max(video.videoWidth, video.videoHeight));
    const [resizeWidth, resizeHeight] = [video.videoWidth, video.videoHeight].map((side) => Math.round(side * scale));
    return createImageBitmap(video, { resizeWidth, resizeHeight, resizeQuality: "high" });
  },

  // The last picture stays, as a photo that other garments can be tried on.
  async keep() {
    const own = this.stream;
    const picture = this.seen ? await blobOf("#before") : null;
    if (this.stream !== own) return; // stopped by another choice meanwhile
    if (picture) take("person", picture);
    else this.stop();
  },

  stop() {
    this.stream?.getTracks().forEach((track) => track.stop());
    this.stream = null;
    this.show(false);
  },

  show(on) {
    find("#person video").hidden = !on;
    find("#person .drop").classList.toggle("live", on);
    find("#live").textContent = on ? "Stop the camera" : "Live camera";
    find("#live").setAttribute("aria-pressed", on);
    find("#rate").hidden = !on;
    find("#rate").textContent = "";
  },
};

function show({ image, before, garment, networks, all }) {
  paint(find("#after"), image);
  paint(find("#before"), before);
  paint(find("#garment canvas"), garment);
  find("#slider").hidden = false;
  slide();
  find("#save").disabled = find("#share").disabled = false;
  Object.assign(document.body.dataset, { shown: latest, networks, all });
}

function clear() {
  for (const selector of ["#before", "#after", "#slider"]) find(selector).hidden = true;
  find("#save").disabled = find("#share").disabled = true;
}

function paint(canvas, { width, height, data }) {
  Object.assign(canvas, { width, height, hidden: false });
  canvas.getContext("2d").putImageData(new ImageData(data, width, height), 0, 0);
}

function say(line) {
  find("#refusal").textContent = line;
  find("#refusal").hidden = line === "";
}

// The stage is wider or higher than the picture in it: what is left of the line is measured on the stage.
function slide() {
  const place = find("#slider").value;
  find("#before").style.clipPath = `inset(0 ${100 - place}% 0 0)`;
  find("#after").style.clipPath = `inset(0 0 0 ${place}%)`;
}

const blobOf = (canvas) => new Promise((resolve) => find(canvas).toBlob(resolve, "image/png"));

async function save() {
  const link = document.createElement("a");
  link.href = URL.createObjectURL(await blobOf("#after"));
  link.download = "tryon.png";
  link.click();
  URL.revokeObjectURL(link.href);
}

async function share() {
  const files = [new File([await blobOf("#after")], "tryon.png", { type: "image/png" })];
  await navigator.share({ files }).catch(() => {}); // who changes their mind is no error
}

function listen() {
  let last = "person";
  for (const name of Object.keys(chosen)) {
    const [input, drop] = [find(`#${name} input`), find(`#${name} .drop`)];
    input.onchange = () => {
      if (input.files.length > 0) take(name, input.files[0]);
      input.value = "";
    };
    find(`#${name}`).addEventListener("pointerenter", () => (last = name));
    drop.ondragover = (event) => {
      event.preventDefault();
      drop.classList.add("over");
    };
    drop.ondragleave = () => drop.classList.remove("over");
    drop.ondrop = (event) => {
      event.preventDefault();
      drop.classList.remove("over");
      if (event.dataTransfer.files.length > 0) take(name, event.dataTransfer.files[0]);
    };
  }
  document.onpaste = (event) => {
    if (event.clipboardData.files.length > 0) take(last, event.clipboardData.files[0]); // where the pointer is
  };
  find("#live").hidden = !navigator.mediaDevices?.getUserMedia;
  find("#live").onclick = () => (camera.stream ? camera.keep() : camera.start());
  document.addEventListener("visibilitychange", () => document.hidden && camera.stop());
  find("#slider").oninput = slide;
  find("#save").onclick = save;
  find("#share").onclick = share;
  find("#share").hidden = !navigator.canShare?.({ files: [new File([], "tryon.png", { type: "image/png" })] });
}

listen();
start().catch((error) => {
  find("#loading").hidden = true;
  say(`This page cannot work here: ${error.message}`);
  console.error(error);
});
