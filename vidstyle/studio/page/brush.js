// Drawing a mask over the frame: with a brush, or with rectangles from numbers.

import { upload } from "./api.js";
import { currentTime } from "./stage.js";
import { announce, attempt, byId, make, numberIn, setText } from "./tools.js";

const LONG_SIDE = 960;      // of a drawn mask in px: its edges are soft anyway
const COLOR = "#21d4c0";    // over the frame; the mask that is kept is white on black
const MAX_UNDO = 12;

const board = byId("brush"), ring = byId("ring"), panel = byId("drawing");
const pen = board.getContext("2d", { willReadFrequently: true });
let clip = null, name = "", onKept = () => {}, onSaved = () => {}, undo = [], last = null;

const erases = () => byId("brush-remove").checked;
// Diameter in px of the mask: the slider gives hundredths of its width.
const diameter = () => Math.max((Number(byId("brush-size").value) / 100) * board.width, 1);

function keepForUndo() {
  undo.push(pen.getImageData(0, 0, board.width, board.height));
  undo = undo.slice(-MAX_UNDO);
  byId("brush-undo").disabled = false;
}

// Tell how much is inside, to all users: those of a screen reader do not see the brush.
function tell() {
  const { data } = pen.getImageData(0, 0, board.width, board.height);
  let inside = 0;
  for (let place = 3; place < data.length; place += 4) if (data[place] > 127) inside += 1;
  const percent = (100 * inside) / (data.length / 4);
  const text = `${percent > 0 && percent < 1 ? "less than 1" : Math.round(percent)} % of the frame`;
  setText(byId("covered"), text);
  board.setAttribute("aria-label", `The mask: ${text}`);
  byId("brush-keep").disabled = inside === 0 || inside === data.length / 4;
}

function draw(change) {
  pen.globalCompositeOperation = erases() ? "destination-out" : "source-over";
  pen.fillStyle = pen.strokeStyle = COLOR;
  change();
}

function place(event) {
  const box = board.getBoundingClientRect();
  return { x: ((event.clientX - box.left) / box.width) * board.width,
    y: ((event.clientY - box.top) / box.height) * board.height };
}

function stroke(from, to) {
  draw(() => {
    pen.lineWidth = diameter();
    pen.lineCap = pen.lineJoin = "round";
    pen.beginPath();
    pen.moveTo(from.x, from.y);
    pen.lineTo(to.x, to.y + 0.01);  // a line without length is not drawn
    pen.stroke();
  });
}

function showRing(event) {
  const box = board.getBoundingClientRect(), size = (diameter() / board.width) * box.width;
  ring.hidden = event.pointerType === "touch";
  ring.style.width = ring.style.height = `${size}px`;
  ring.style.left = `${event.clientX - box.left}px`;
  ring.style.top = `${event.clientY - box.top}px`;
}

function clear() {
  keepForUndo();
  pen.clearRect(0, 0, board.width, board.height);
  tell();
}

function addRectangle() {
  const [left, top, width, height] = ["left", "top", "width", "height"]
    .map((side) => (numberIn(byId(`rect-${side}`), 0, 100) || 0) / 100);
  keepForUndo();
  draw(() => pen.fillRect(left * board.width, top * board.height,
    width * board.width, height * board.height));
  tell();
  announce(`${erases() ? "Removed" : "Added"} a rectangle: ${byId("covered").textContent}`);
}

function toBlob() {
  const whole = make("canvas", { width: board.width, height: board.height });
  const out = whole.getContext("2d");
  out.drawImage(board, 0, 0);
  out.globalCompositeOperation = "source-in";
  out.fillStyle = "#fff";
  out.fillRect(0, 0, whole.width, whole.height);
  out.globalCompositeOperation = "destination-over";
  out.fillStyle = "#000";
  out.fillRect(0, 0, whole.width, whole.height);
  return new Promise((resolve) => { whole.toBlob(resolve, "image/png"); });
}

async function keep() {
  byId("brush-keep").disabled = true;
  const file = new File([await toBlob()], name, { type: "image/png" });
  const stop = new AbortController(), saved = onSaved;
  const mask = await attempt(() => upload(`clips/${clip.id}/masks`, file, () => {}, stop.signal,
    { time: Math.floor(currentTime() * 1000 + 1e-3) / 1000 }));  // rounded up, it is the next frame's
  byId("brush-keep").disabled = false;
  if (!mask) return;
  close();
  saved(mask);
  onKept(mask);
}

// Begin to draw a mask of a clip, or to change one at a URL. `saved` gets what is kept.
export async function open(nextClip, nextName, url = "", saved = () => {}) {
  clip = nextClip;
  name = nextName.replace(/\.\w+$/, ".png");
  onSaved = saved;
  const scale = Math.min(LONG_SIDE / Math.max(clip.width, clip.height), 1);
  board.width = Math.max(Math.round(clip.width * scale), 2);
  board.height = Math.max(Math.round(clip.height * scale), 2);
  undo = [];
  byId("brush-undo").disabled = true;
  panel.hidden = board.hidden = false;
  byId("canvas").classList.add("drawing");
  setText(byId("drawing-title"), url ? `Change ${nextName}` : "Draw a mask");
  panel.scrollIntoView({ block: "nearest" });
  byId("brush-add").focus();
  if (url) await attempt(() => load(url));
  tell();
}

// The white of a mask becomes what is drawn.
async function load(url) {
  const image = make("img", { src: url });
  await image.decode();
  pen.globalCompositeOperation = "source-over";
  pen.drawImage(image, 0, 0, board.width, board.height);
  const levels = pen.getImageData(0, 0, board.width, board.height), { data } = levels;
  const [red, green, blue] = [1, 3, 5].map((at) => parseInt(COLOR.slice(at, at + 2), 16));
  for (let at = 0; at < data.length; at += 4) {
    data[at + 3] = data[at];
    [data[at], data[at + 1], data[at + 2]] = [red, green, blue];
  }
  pen.putImageData(levels, 0, 0);
}

export function close() {
  if (panel.hidden) return;
  panel.hidden = board.hidden = ring.hidden = true;
  undo = [];
  byId("canvas").classList.remove("drawing");
  if (panel.contains(document.activeElement) || document.activeElement === document.body) {
    byId("mask-draw").focus();
  }
}

export function setup(kept) {
  onKept = kept;
  board.onpointerdown = (event) => {
    if (event.button) return;
    board.setPointerCapture(event.pointerId);
    keepForUndo();
    last = place(event);
    stroke(last, last);
  };
  board.onpointermove = (event) => {
    showRing(event);
    if (!last) return;
    for (const each of event.getCoalescedEvents?.() || [event]) {
      const next = place(each);
      stroke(last, next);
      last = next;
    }
  };
  board.onpointerup = board.onpointercancel = () => {
    if (last) tell();
    last = null;
  };
  board.onpointerleave = () => { ring.hidden = true; };
  byId("brush-clear").onclick = clear;
  byId("brush-undo").onclick = () => {
    pen.putImageData(undo.pop(), 0, 0);
    byId("brush-undo").disabled = undo.length === 0;
    if (undo.length === 0) byId("brush-clear").focus();
    tell();
  };
  byId("rect-add").onclick = addRectangle;
  byId("brush-keep").onclick = keep;
  byId("brush-cancel").onclick = () => { close(); byId("mask-draw").focus(); };
}
