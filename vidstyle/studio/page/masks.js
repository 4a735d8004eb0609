// Masks of a clip: what each does in the render, and adding and removing them.

import { linkTo, post, remove } from "./api.js";
import * as brush from "./brush.js";
import { acceptDrops, sendFiles } from "./choices.js";
import { currentRange, currentTime, frameSeconds, lastTime } from "./stage.js";
import {
  afterPause, announce, ask, askOne, attempt, byId, clockText, fillStyles, make, nextStyle,
  numberIn, setText, toast,
} from "./tools.js";

const THUMB_PX = 160;
const OFF = "off", ONLY = "only", KEEP = "keep", SAME = "same";
const EFFECTS = [
  [OFF, "not used"], [ONLY, "paint only here"], [KEEP, "leave this as it is"],
  [SAME, "other strength here"],
];
const NEXT = "next";         // answer: in the style after the chosen one
const QUESTION = [...EFFECTS.slice(1), [NEXT, "another style here"], [OFF, "nothing for now"]];
const SAME_STRENGTH = 0.5;  // of the same style, before the user chooses one
const FOUND_MS = 500;       // pause after the last change of the time before people are looked for
const TICK_SECONDS = 1e-3;  // times are as exact as this

// Masks that a model finds in each frame.
const PEOPLE = ["person", "background"].map((id) => ({ id, name: id, kind: "found", covers: [] }));

let clip = null, styles = [], shown = [], onChange = () => {}, onGone = () => {};
let baseStyle = () => "";
let people = [];            // of `PEOPLE`, those that the server can find
let effects = new Map();    // id of a mask -> {what, strength}; `what` is a style or one of above

const effectOf = (id) => effects.get(id) || { what: OFF, strength: null };
const isStyle = (what) => !EFFECTS.some(([value]) => value === what);

const rows = () => [...byId("mask-list").children, ...byId("people-list").children];

export const isPeople = (id) => PEOPLE.some((each) => each.id === id);

// Whether regions or a mask need a model of people that is not there.
export const lacksPeople = ({ regions, mask }) => !people.length
  && [mask, ...regions.map((each) => each.mask)].some(isPeople);

// The regions, the mask and the faces, as the server takes them.
export function currentMasks() {
  const regions = [];
  let mask = null;
  for (const { id } of shown) {
    const { what, strength } = effectOf(id);
    if (what === ONLY) mask = id;
    else if (what === KEEP) regions.push({ mask: id, style: null, strength: 0 });
    else if (what === SAME) regions.push({ mask: id, style: null, strength });
    else if (what !== OFF) regions.push({ mask: id, style: what, strength });
  }
  return { regions, mask, faces: byId("faces").checked ? "keep" : "paint" };
}

// Id and name of each mask that is a region.
export const regionNames = () => currentMasks().regions.map(({ mask: id }) =>
  [id, shown.find((each) => each.id === id).name.replace(/\.\w+$/, "")]);

function effectsOf({ regions, mask }) {
  const found = new Map();
  for (const each of regions || []) {
    const same = each.strength === 0 ? KEEP : SAME;
    found.set(each.mask, { what: each.style || same, strength: each.strength });
  }
  if (mask) found.set(mask, { what: ONLY, strength: null });
  return found;
}

function giveEffect(id, what, strength) {
  // Outside of one mask the clip stays as it is: of two, nothing might be left.
  if (what === ONLY) {
    for (const [other, effect] of effects) if (effect.what === ONLY) effects.delete(other);
  }
  const kept = what === SAME && strength === null ? SAME_STRENGTH : strength;
  effects.set(id, { what, strength: isStyle(what) || what === SAME ? kept : null });
}

function setEffect(id, what, strength) {
  giveEffect(id, what, strength);
  showEffects();
  onChange();
}

// The masks in motion that are in use and do not cover the part from a time to a time.
const masksWithout = (from, to) => shown.filter(({ id, covers: [start, end] }) =>
  effectOf(id).what !== OFF && (start > from + TICK_SECONDS || end < to - TICK_SECONDS));

const coversText = ({ covers: [start, end] }) => `${clockText(start)} to ${clockText(end)}`;

// What a painting at a time shows of masks in motion: "" where none is empty.
export function emptyText(at) {
  const [empty] = masksWithout(at, at + frameSeconds() / 2);
  return empty ? `${empty.name} is empty here: it covers ${coversText(empty)}` : "";
}

// Tell what the masks in use do not cover.
export function showHint() {
  const used = shown.filter(({ id }) => effectOf(id).what !== OFF);
  const { start, end } = currentRange();
  const parts = masksWithout(start || 0, Math.min(end || Infinity, lastTime())).map((mask) =>
    `${mask.name} covers ${coversText(mask)} only. A mask ends at a cut, and where it goes out of `
    + "view: draw another one for the rest.");
  if (clip && clip.kind === "clip" && used.some(({ kind }) => kind === "still")) {
    parts.push("A drawn mask stands still, until it follows the motion.");
  }
  setText(byId("mask-hint"), parts.join(" "));
}

function showEffects() {
  showHint();
  if (people.some(({ id }) => effectOf(id).what !== OFF)) byId("people").open = true;
  for (const row of rows()) {
    const { what, strength } = effectOf(row.dataset.id);
    const select = row.querySelector("select"), field = row.querySelector("input");
    fillStyles(select, styles, EFFECTS, "in ");
    select.value = what;
    field.closest("label").hidden = !isStyle(what) && what !== SAME;
    field.value = strength === null ? "" : strength;
  }
}

async function removeMask(mask) {
  if (!await ask(`Remove ${mask.name} from the studio?`)) return;
  if (!await attempt(() => remove(`masks/${mask.id}`))) return;
  byId("mask-draw").focus();
  onGone(mask.id);
}

async function carry(mask) {
  if (!await attempt(() => post(`masks/${mask.id}/carry`))) return;
  toast(`${mask.name} is carried along the clip`, false);
}

// A mask that was carried along the clip takes the place of the drawn one.
function replaceDrawn(mask) {
  if (!mask.carried || effects.has(mask.id) || !effects.has(mask.carried)) return false;
  effects.set(mask.id, effectOf(mask.carried));
  effects.delete(mask.carried);
  announce(`${mask.name} is used in place of the drawn mask`);
  return true;
}

function redraw(mask) {
  brush.open(clip, mask.name, linkTo(`masks/${mask.id}.png`), (added) => {
    effects.set(added.id, effectOf(mask.id));
    remove(`masks/${mask.id}`).catch(() => {});  // a render that waits still needs it
    effects.delete(mask.id);
  });
}

// Show beside each mask how far it is carried along the clip.
export function showCarries(jobs) {
  for (const row of byId("mask-list").children) {
    const follow = row.querySelector(".follow");
    if (!follow) continue;
    const job = jobs.find((each) => each.kind === "mask" && each.mask === row.dataset.id
      && ["queued", "running", "paused"].includes(each.state));
    if (job && follow === document.activeElement) row.querySelector("select").focus();
    follow.disabled = Boolean(job);
    const share = job && job.total ? Math.floor((100 * job.done) / job.total) : 0;
    const text = job && job.state === "running" ? `following: ${share} %` : "waits in the renders";
    setText(row.querySelector(".carried"), job ? text : "");
  }
}

function makeRow(mask) {
  const select = make("select", { id: `effect-${mask.id}` });
  const strength = make("input", { type: "number", min: 0, max: 1, step: 0.05,
    placeholder: "same" });
  const button = (className, text, label, onclick) => {
    const made = make("button", { type: "button", className, textContent: text, onclick });
    made.setAttribute("aria-label", `${label} ${mask.name}`);
    return made;
  };
  select.setAttribute("aria-label", `Use of ${mask.name}`);
  strength.setAttribute("aria-label", `Strength in ${mask.name}`);
  select.onchange = () => setEffect(mask.id, select.value, effectOf(mask.id).strength);
  strength.onchange = () => {
    setEffect(mask.id, effectOf(mask.id).what, numberIn(strength, 0, 1));
  };
  const image = make("img", { alt: "", loading: "lazy" });  // people are found if they are seen
  image.classList.toggle("inverted", mask === PEOPLE[1]);
  if (mask.kind !== "found") {
    image.src = linkTo(`masks/${mask.id}.png`, { px: THUMB_PX, time: mask.time });
  }
  const row = make("div", { className: "mask" }, image,
    make("span", { className: "name", textContent: mask.name, title: mask.name }), select,
    make("label", {}, "strength ", strength));
  if (mask.kind === "still") {
    row.append(button("quiet change", "Change", "Change", () => redraw(mask)));
  }
  if (mask.kind === "still" && clip.kind === "clip") {
    const follow = button("follow", "Follow the motion", "Follow the motion with",
      () => carry(mask));
    follow.title = "To all frames of the shot in which the mask was drawn";
    row.append(follow, make("span", { className: "carried" }));
  }
  if (mask.kind !== "found") {
    row.append(button("quiet gone", "×", "Remove", () => removeMask(mask)));
  }
  row.setAttribute("role", "group");
  row.setAttribute("aria-label", mask.name);
  row.dataset.id = mask.id;
  return row;
}

// Show where the model finds people in the frame.
function showFound() {
  const link = clip && linkTo(`clips/${clip.id}/person.png`,
    { px: THUMB_PX, time: currentTime().toFixed(3) });
  for (const image of byId("people-list").querySelectorAll("img")) {
    if (link && image.getAttribute("src") !== link) image.src = link;
  }
}
export const showFoundSoon = afterPause(showFound, FOUND_MS);

// Show the masks of a clip. `chosen` has the regions and the mask in use; without it they stay.
export function showMasks(nextClip, masks, nextStyles, chosen = null) {
  const other = !clip || !nextClip || nextClip.id !== clip.id;
  if (other) brush.close();
  clip = nextClip;
  styles = nextStyles;
  shown = clip ? [...masks.filter((mask) => mask.clip === clip.id), ...people] : [];
  if (chosen) {
    effects = effectsOf(chosen);
    byId("faces").checked = chosen.faces !== "paint";
  }
  const known = new Set(shown.map((mask) => mask.id));
  const gone = (what) => isStyle(what) && !styles.some((style) => style.id === what);
  for (const [id, { what }] of effects) if (!known.has(id) || gone(what)) effects.delete(id);
  const old = new Map(rows().map((row) => [row.dataset.id, row]));
  for (const [id, row] of old) if (!known.has(id)) row.remove();
  let replaced = false;
  shown.forEach((mask, place) => {
    if (!old.has(mask.id)) {
      replaced = (!other && replaceDrawn(mask)) || replaced;
      const list = byId(mask.kind === "found" ? "people-list" : "mask-list");
      list.insertBefore(makeRow(mask), list.children[place] || null);
    }
  });
  byId("masks").hidden = !clip;
  showEffects();
  if (other) showFound();
  if (replaced) onChange();
}

// A mask was added: it is used at once, where no other is used that way.
function useNew(mask, onAdded) {
  const free = ![...effects.values()].some((effect) => effect.what === ONLY);
  if (!effects.has(mask.id)) effects.set(mask.id, { what: free ? ONLY : OFF, strength: null });
  onAdded(mask);
  byId(`effect-${mask.id}`).focus();
  announce(`${mask.name} was added: choose its use`);
}

// A mask was drawn: its use is asked for, unless it has that of the mask that it replaces.
async function askUse(mask, onAdded) {
  if (!effects.has(mask.id)) {
    const answer = await askOne(`What is ${mask.name.replace(/\.\w+$/, "")} for?`, QUESTION);
    giveEffect(mask.id, answer === NEXT ? nextStyle(styles, baseStyle()).id : answer || OFF, null);
  }
  useNew(mask, onAdded);
}

// What the server says of the model of people: whether it is there, and what to do if not.
export function setupPeople({ available, remedy }) {
  people = available ? PEOPLE : [];
  setText(byId("people-hint"), available ? "A model finds people in each frame."
    : `${remedy}. Then reload this page.`);
}

export function setup(changed, added, gone, currentStyle) {
  onChange = changed;
  onGone = gone;
  baseStyle = currentStyle;
  const add = (files) => sendFiles(`clips/${clip.id}/masks`, files, byId("mask-list"),
    (mask) => useNew(mask, added));
  brush.setup((mask) => askUse(mask, added));
  acceptDrops(byId("masks"), add);
  byId("faces").onchange = onChange;
  byId("mask-file").onchange = () => {
    add(byId("mask-file").files);
    byId("mask-file").value = "";
  };
  byId("mask-draw").onclick = () => {
    brush.open(clip, `mask ${byId("mask-list").childElementCount + 1}.png`);
  };
}
