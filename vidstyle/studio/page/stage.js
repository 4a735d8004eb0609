// The stage: a frame, its painting over it, the before-and-after slider, and the time.

import { getImage, linkTo } from "./api.js";
import {
  announce, byId, clockText, latestOnly, make, numberIn, partText, setText, showImage,
} from "./tools.js";

const FRAME_PX = [480, 960, 1440];  // sizes of the frame; few of them, which the server can keep
const THUMBS = 8;                   // frames in the strip
const THUMB_PX = 160;
const NOTE_MS = 3000;               // for which the time of a painting is shown

const canvas = byId("canvas"), frame = byId("frame"), painting = byId("painting");
const split = byId("split"), time = byId("time"), note = byId("note");
let clip = null, onChange = () => {}, started = 0, noteTimer = 0;
const range = { start: null, end: null };

export const currentTime = () => (clip && clip.seconds ? Number(time.value) : 0);
export const currentRange = () => ({ ...range });
export const frameSeconds = () => 1 / ((clip && clip.rate) || 25);
export const lastTime = () => (clip && clip.seconds ? Number(time.max) : 0);

const loadFrame = latestOnly(async (wanted, at) => {
  const width = canvas.clientWidth * devicePixelRatio;
  const px = FRAME_PX.find((each) => each >= width) || FRAME_PX.at(-1);
  const blob = await getImage(`clips/${wanted.id}/frame.jpg?time=${at}&px=${px}`);
  if (wanted !== clip) return;
  await showImage(frame, blob);
  frame.alt = `${wanted.name} at ${clockText(at)}`;
});

// One after another: the server decodes them while it paints.
async function loadThumbs(wanted) {
  byId("thumbs").replaceChildren();
  for (let number = 0; number < THUMBS; number += 1) {
    const at = (wanted.seconds * (number + 0.5)) / THUMBS;
    const image = make("img", { alt: "" });
    byId("thumbs").append(image);
    image.src = linkTo(`clips/${wanted.id}/frame.jpg`, { time: at.toFixed(3), px: THUMB_PX });
    await image.decode().catch(() => {});
    if (wanted !== clip) return;
  }
}

function showTime() {
  const at = currentTime(), share = at / (Number(time.max) || 1);
  byId("strip").style.setProperty("--at", share);
  time.setAttribute("aria-valuetext", clockText(at));
  if (clip) setText(byId("clock"), `${clockText(at)} of ${clockText(clip.seconds || 0)}`);
}

function showRange() {
  const { start, end } = range, length = (clip && clip.seconds) || 1;
  const some = start !== null || end !== null;
  byId("strip").style.setProperty("--start", (start || 0) / length);
  byId("strip").style.setProperty("--end", (end === null ? length : end) / length);
  for (const [id, at] of [["range-from", start || 0], ["range-to", end === null ? length : end]]) {
    byId(id).max = length;
    byId(id).value = Number(at.toFixed(3));
  }
  byId("range-all").disabled = !some;
}

function setRange(start, end) {
  Object.assign(range, { start, end });
  showRange();
  const part = partText(start, end);
  announce(part ? `${part} is rendered` : "The whole clip is rendered");
  onChange("range");
}

// Each end moves the other one away where it would leave nothing between them.
function setStart(at) {
  setRange(at > 0 ? at : null, range.end !== null && range.end <= at ? null : range.end);
}

function setEnd(at) {
  const whole = at >= clip.seconds - 1e-3;
  setRange(range.start !== null && range.start >= at ? null : range.start, whole ? null : at);
}

function showSplit() {
  canvas.style.setProperty("--split", split.value);
  split.setAttribute("aria-valuetext", `${split.value} % frame, ${100 - split.value} % painting`);
}

// A note over the picture: of "busy" work, or "brief", or until the next one.
function setNote(text, kind = "") {
  clearTimeout(noteTimer);
  note.hidden = !text;
  setText(note, text);
  note.classList.toggle("busy", kind === "busy");
  if (kind === "brief") noteTimer = setTimeout(() => { note.hidden = true; }, NOTE_MS);
}

// Use a part of the clip: {start, end} in seconds, null or absent for the whole.
export function useRange({ start, end }) {
  Object.assign(range, { start: start ?? null, end: end ?? null });
  showRange();
}

// Show a clip, or with null the empty stage.
export function showClip(next) {
  clip = next;
  canvas.classList.toggle("empty", !clip);
  painting.hidden = split.hidden = true;
  byId("times").hidden = !clip || !clip.seconds;
  setNote("");
  byId("empty").hidden = Boolean(clip);
  frame.hidden = !clip;
  frame.removeAttribute("src");
  canvas.classList.remove("stale", "moved", "painted");
  if (!clip) return;
  byId("stage").style.setProperty("--ratio", clip.width / clip.height);
  if (clip.seconds) {
    const gap = frameSeconds();
    time.max = Math.max(clip.seconds - gap, 0);
    time.step = gap;
    time.value = 0;
    loadThumbs(clip);
  }
  showTime();
  loadFrame(clip, currentTime());
}

// The painting shown is of other settings, or of another frame: what is shown next is on its way.
export function expectPainting(moved) {
  canvas.classList.add("stale");
  canvas.classList.toggle("moved", moved || canvas.classList.contains("moved"));
  setNote("painting", "busy");
  started = performance.now();
  announce("Painting");
}

// An outdated one is shown too, unless it is of another frame: a newer one is on its way.
export function showPainting(event, style, outdated) {
  if (outdated && canvas.classList.contains("moved")) return;
  painting.src = event.image;
  painting.alt = `The frame painted with the style ${style}`;
  painting.hidden = split.hidden = false;
  canvas.classList.remove("stale", "moved");
  canvas.classList.add("painted");
  if (event.stage !== "fine" && !outdated) setNote("adding detail", "busy");
}

// Other paintings come first.
export function waitForPainting() {
  setNote("waiting: another painting is made", "busy");
}

// A painting is complete, or there is something to say of it.
export function endPainting(remark) {
  if (remark) {
    setNote(remark);
    announce(remark);
    return;
  }
  setNote(`painted in ${((performance.now() - started) / 1000).toFixed(1)} s`, "brief");
  announce("The painting is ready");
}

function moved() {
  showTime();
  loadFrame(clip, currentTime());
  onChange("time");
}

export function seek(at) {
  time.value = at + frameSeconds() / 1000;  // times of keyframes are rounded down
  moved();
}

export function setup(changed) {
  onChange = changed;
  showSplit();
  split.oninput = showSplit;
  time.oninput = moved;
  byId("range-start").onclick = () => setStart(currentTime());
  byId("range-end").onclick = () => setEnd(currentTime() + frameSeconds());
  byId("range-from").onchange = () => {
    setStart(numberIn(byId("range-from"), 0, lastTime()) || 0);
  };
  byId("range-to").onchange = () => {
    const at = numberIn(byId("range-to"), 0, clip.seconds);
    setEnd(at || clip.seconds);  // nothing ends at 0
  };
  byId("range-all").onclick = () => {
    setRange(null, null);
    byId("range-start").focus();
  };
}
