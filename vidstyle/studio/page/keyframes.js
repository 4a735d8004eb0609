// Keyframes: changes of the style over time, in a lane under the strip of frames.

import { linkTo } from "./api.js";
import * as stage from "./stage.js";
import { announce, byId, clockText, fillStyles, make, nextStyle, numberIn, setText }
  from "./tools.js";

const STYLE_PX = 160;
const DRAG_PX = 3;          // of a pointer before it drags a keyframe and does not only choose it
const FADE_SECONDS = 1;     // of a new keyframe, at most a quarter of the clip
const KEY_SECONDS = 1;      // of Page Up and Page Down

// Settings that a keyframe may change; those after the first are folded away.
const SETTINGS = ["strength", "style_scale", "content_weight", "temporal"];
export const FRAME = "frame";      // as the style of a region: that of the rest of the frame again
const EASINGS = ["linear", "smooth"];  // curves of a fade
const BLANK = { region: null, easing: EASINGS[0],
  ...Object.fromEntries(SETTINGS.map((name) => [name, null])) };

const lane = byId("lane"), editor = byId("key");
let list = [];              // of {time, region, style, fade, easing, strength ...}, in order
const labels = {};          // of each setting
let chosen = null, clip = null, styles = [], baseStyle = () => "", onChange = () => {};
let usedRegions = () => [];  // id and name of each mask that is a region

const markers = new Map();  // keyframe -> its element
const nameOf = (id) => (id === FRAME ? "style of the rest" : namedStyle(id));
const namedStyle = (id) => (styles.find((each) => each.id === id) || { name: "" }).name;

// The id of the new style; "": there is none.
export const imageId = ({ style }) => (style && style !== FRAME ? style : "");

const isUsed = ({ region }) => !region || usedRegions().some(([id]) => id === region);

export const allKeyframes = () => list.map((each) => ({ ...each }));

// Those of the frame and of regions in use: others have no effect, until their mask is used again.
export const currentKeyframes = () => allKeyframes().filter(isUsed);

const isSet = (key, name) => typeof key[name] === "number";
const changesNothing = (key) => !key.style && !SETTINGS.some((name) => isSet(key, name));
const isFolded = (key) => SETTINGS.slice(1).some((name) => isSet(key, name))
  || key.easing !== EASINGS[0];

// The settings that a keyframe changes, as words: "strength 0.5".
export const settingTexts = (key) => SETTINGS.filter((name) => isSet(key, name))
  .map((name) => `${labels[name]} ${key[name]}`);

const regionName = (id) => (usedRegions().find(([each]) => each === id) || ["", "unused mask"])[1];

function whatText(key) {
  const where = key.region ? [`in ${regionName(key.region)}`] : [];
  const parts = [...where, key.style ? nameOf(key.style) : "same style", ...settingTexts(key)];
  const smoothly = key.easing === EASINGS[0] ? "" : "smoothly ";
  parts.push(key.fade ? `fades ${smoothly}in ${key.fade} s` : "at once");
  return parts.join(", ");
}

// The time of the frame at a time, to a millisecond: rounded down, it is not that of the next one.
function snapped(at) {
  const gap = stage.frameSeconds(), last = Math.floor(stage.lastTime() / gap + 1e-6);
  const frame = Math.min(Math.max(Math.round(at / gap), 0), last);
  return Math.floor(frame * gap * 1000 + 1e-3) / 1000;
}

// A time near `at` that no other keyframe has.
function freeTime(at, key, way) {
  const gap = stage.frameSeconds();
  const taken = (time) => list.some((each) => each !== key && each.time === time);
  let time = snapped(at);
  for (let tries = 0; taken(time) && tries <= list.length; tries += 1) {
    const next = snapped(time + way * gap);
    if (next === time) return key.time;
    time = next;
  }
  return time;
}

function sort() {
  list.sort((a, b) => a.time - b.time);
}

function showMarker(key) {
  const marker = markers.get(key), length = stage.lastTime() || 1;
  marker.style.setProperty("--at", key.time / length);
  marker.setAttribute("aria-valuemin", 0);
  marker.setAttribute("aria-valuemax", length);
  marker.setAttribute("aria-valuenow", key.time);
  marker.setAttribute("aria-valuetext", `${clockText(key.time, 2)}, ${whatText(key)}`);
  marker.title = `${clockText(key.time, 2)}: ${whatText(key)}`;
  marker.classList.toggle("chosen", key === chosen);
  marker.classList.toggle("part", Boolean(key.region));
  const image = marker.querySelector("img");
  const picture = imageId(key) ? linkTo(`styles/${key.style}.jpg`, { px: STYLE_PX }) : "";
  image.hidden = !picture;
  if (picture && image.dataset.style !== key.style) image.src = picture;
  image.dataset.style = key.style || "";
}

// Each keyframe has a ramp as long as its fade, then a bar up to the next one.
function showFades() {
  const length = stage.lastTime() || 1;
  lane.querySelectorAll(".ramp").forEach((each) => each.remove());
  list.forEach((key, place) => {
    const next = place + 1 < list.length ? list[place + 1].time : length;
    const ramp = make("span", { className: "ramp" });
    ramp.style.setProperty("--at", key.time / length);
    ramp.style.setProperty("--length", Math.max(next - key.time, 0) / length);
    ramp.style.setProperty("--fade", Math.min(key.fade / Math.max(next - key.time, 1e-6), 1));
    lane.append(ramp);
  });
}

function showEditor() {
  editor.hidden = !chosen;
  if (!chosen) return;
  const follow = chosen.region ? [[FRAME, "style of the rest"]] : [];
  fillStyles(byId("key-style"), styles, [["", "same style"], ...follow]);
  byId("key-time").value = chosen.time;
  byId("key-time").max = stage.lastTime();
  byId("key-time").step = "any";
  byId("key-style").value = chosen.style || "";
  const regions = usedRegions(), part = chosen.region;
  const gone = part && !isUsed(chosen) ? [[part, regionName(part)]] : [];
  fillStyles(byId("key-region"), [], [["", "the whole frame"], ...regions, ...gone]);
  byId("key-region").value = part || "";
  byId("key-region").parentNode.hidden = !regions.length && !part;
  byId("key-temporal").disabled = Boolean(part);
  for (const name of SETTINGS) {
    byId(`key-${name}`).value = isSet(chosen, name) ? chosen[name] : "";
  }
  byId("key-fade").value = chosen.fade;
  byId("key-easing").value = chosen.easing;
  if (isFolded(chosen)) byId("key-more").open = true;
}

// Keep the elements, and with them the focus and a drag.
function show() {
  const focused = document.activeElement;
  for (const [key, marker] of markers) {
    if (!list.includes(key)) { marker.remove(); markers.delete(key); }
  }
  list.forEach((key, place) => {
    if (!markers.has(key)) markers.set(key, makeMarker(key));
    const marker = markers.get(key), children = lane.querySelectorAll(".marker");
    if (children[place] !== marker) lane.insertBefore(marker, children[place] || null);
    showMarker(key);
  });
  showFades();
  showEditor();
  if (lane.contains(focused) && document.activeElement !== focused) focused.focus();
  const hint = "A keyframe changes the style from its time on.";
  setText(byId("key-hint"), list.length ? "" : hint);
}

function choose(key) {
  if (chosen === key) return;
  chosen = key;
  show();
}

function move(key, at, way) {
  const time = freeTime(at, key, way);
  if (time === key.time) return false;
  key.time = time;
  sort();
  show();
  return true;
}

function removeKey(key) {
  const place = list.indexOf(key);
  list = list.filter((each) => each !== key);
  chosen = list[Math.min(place, list.length - 1)] || null;
  show();
  (chosen ? markers.get(chosen) : byId("key-add")).focus();
  onChange();
  announce(`The keyframe at ${clockText(key.time, 2)} was removed`);
}

function pressed(event, key) {
  const gap = stage.frameSeconds();
  const steps = { ArrowLeft: -gap, ArrowDown: -gap, ArrowRight: gap, ArrowUp: gap,
    PageDown: -KEY_SECONDS, PageUp: KEY_SECONDS, Home: -Infinity, End: Infinity };
  if (event.key in steps) {
    const step = steps[event.key];
    const at = Math.min(Math.max(key.time + step, 0), stage.lastTime());
    if (move(key, at, Math.sign(step))) onChange();
  } else if (event.key === "Delete" || event.key === "Backspace") removeKey(key);
  else return;
  event.preventDefault();
}

function drag(marker, key) {
  let from = null, moved = false;
  marker.onpointerdown = (event) => {
    if (event.button) return;
    from = event.clientX;
    moved = false;
    marker.setPointerCapture(event.pointerId);
  };
  marker.onpointermove = (event) => {
    if (from === null || (!moved && Math.abs(event.clientX - from) < DRAG_PX)) return;
    const box = lane.getBoundingClientRect();
    moved = true;
    choose(key);
    move(key, ((event.clientX - box.left) / box.width) * stage.lastTime(),
      Math.sign(event.clientX - from) || 1);
  };
  marker.onpointerup = marker.onpointercancel = () => {
    if (moved) onChange();
    from = null;
  };
}

function makeMarker(key) {
  const marker = make("button", { type: "button", className: "marker" },
    make("img", { alt: "", draggable: false }));
  marker.setAttribute("role", "slider");
  marker.setAttribute("aria-label", "Keyframe");
  marker.onfocus = marker.onclick = () => choose(key);
  marker.onkeydown = (event) => pressed(event, key);
  drag(marker, key);
  return marker;
}

// The keyframe that gives the frame its style at a time, if one does.
const styledAt = (time) => list.findLast(
  (each) => each.time <= time && each.style && !each.region);

// Use a style at the present time: in the keyframe that gives it its style. False if none does.
export function useStyle(style) {
  const key = styledAt(stage.currentTime());
  if (!key) return false;
  key.style = style;
  show();
  onChange();
  return true;
}

function add() {
  const at = snapped(stage.currentTime());
  const same = list.find((each) => each.time === at);
  if (same) { choose(same); markers.get(same).focus(); return; }
  // The fade ends before the render does, and before the next keyframe.
  const later = list.filter((each) => each.time > at).map((each) => each.time);
  const end = Math.min(stage.currentRange().end ?? clip.seconds, ...later);
  const fade = Math.min(FADE_SECONDS, Math.round(clip.seconds * 2.5) / 10,
    Math.max(Math.floor((end - at) * 10 + 1e-6) / 10, 0));
  const { id: style } = nextStyle(styles, styledAt(at)?.style ?? baseStyle());
  chosen = { ...BLANK, time: at, style, fade };
  list.push(chosen);
  sort();
  show();
  byId("key-style").focus();
  onChange();
  announce(`A keyframe was added at ${clockText(at, 2)}`);
}

function edited(event) {
  const field = event.target, name = field.id.replace("key-", ""), key = chosen;
  if (name === "time") {
    const at = numberIn(field, 0, stage.lastTime());
    if (at !== null) move(key, at, Math.sign(at - key.time) || 1);
  } else if (name === "style") key.style = field.value || null;
  else if (name === "easing") key.easing = field.value;
  else if (name === "region") {
    key.region = field.value || null;
    if (key.region) key.temporal = null;
    else if (key.style === FRAME) key.style = null;
  } else if (name === "fade") key.fade = numberIn(field, 0, clip.seconds) || 0;
  else key[name] = numberIn(field, Number(field.min), Number(field.max));
  if (changesNothing(key)) key.strength = 1;
  show();
  onChange();
}

// Show the keyframes of a clip; those of styles that are gone lose them.
export function showKeyframes(nextClip, nextStyles, keyframes) {
  clip = nextClip;
  styles = nextStyles;
  const known = new Set([FRAME, ...styles.map((each) => each.id)]);
  const kept = keyframes.map((each) => (
    { ...BLANK, ...each, style: known.has(each.style) ? each.style : null }
  )).filter((each) => !changesNothing(each));
  // The same keyframes stay, with the focus and what is chosen.
  const old = (each) => list.find((other) => other.time === each.time);
  list = kept.map((each) => Object.assign(old(each) || {}, each));
  sort();
  if (!list.includes(chosen)) chosen = null;
  byId("keys").hidden = !clip || !clip.seconds;
  if (clip) show();
}

// The fields of the settings, which have the names and ranges of the page's settings.
export function setupSettings(settings) {
  for (const name of SETTINGS) {
    const setting = settings.find((each) => each.name === name);
    const { label, low: min, high: max, step, help: title } = setting;
    labels[name] = label;
    const field = byId(`key-${name}`) || make("input", { type: "number", id: `key-${name}` });
    Object.assign(field, { min, max, step, title, placeholder: "same", onchange: edited });
    if (field.isConnected) continue;
    byId("key-easing").parentNode.before(make("label", {}, `${label} `, field));
  }
}

// A mask is used in another way.
export function showRegions() {
  if (clip) show();
}

export function setup(changed, currentStyle, regions) {
  onChange = changed;
  usedRegions = regions;
  baseStyle = currentStyle;
  byId("key-add").onclick = add;
  byId("key-remove").onclick = () => removeKey(chosen);
  byId("key-go").onclick = () => stage.seek(chosen.time);
  byId("key-easing").append(...EASINGS.map((each) => make("option", { textContent: each })));
  for (const name of ["time", "style", "fade", "easing", "region"]) {
    byId(`key-${name}`).onchange = edited;
  }
}
