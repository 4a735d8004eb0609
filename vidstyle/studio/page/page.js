// The studio: what is chosen, the painting of it, and the connection to the queue.

import { SILENT, get, linkTo, post, stream } from "./api.js";
import * as choices from "./choices.js";
import * as keyframes from "./keyframes.js";
import * as masks from "./masks.js";
import * as player from "./player.js";
import * as queue from "./queue.js";
import * as settings from "./settings.js";
import * as sheet from "./sheet.js";
import * as stage from "./stage.js";
import { afterPause, attempt, byId, countText, partText, setText, toast } from "./tools.js";

const ESTIMATE_MS = 400;
const RETRY_MS = 3000;     // wait after a lost connection
const MEMORY_KEY = "vidstyle-studio-choice";

const WINDOW = Math.random().toString(36).slice(2);  // previews of other windows go on

const state = { clips: [], styles: [], masks: [], jobs: [] };
const chosen = { clip: "", style: "" };
let painter = null;  // aborts the painting in progress
let awaited = false, outdated = false;  // of it: nothing was shown yet, and there was a change since
let costs = null;
let lost = null;  // the message that the server does not answer
let events = null;  // from the server

const edits = new Map();  // id of a clip -> its part, keyframes, regions and mask

const find = (list, id) => list.find((each) => each.id === id);
const currentClip = () => find(state.clips, chosen.clip);
const currentStyle = () => find(state.styles, chosen.style);

const currentEdits = () => ({
  ...stage.currentRange(), keyframes: keyframes.currentKeyframes(), ...masks.currentMasks(),
});

function editsText({ keyframes: list, regions, mask }) {
  return [list.length ? countText(list.length, "keyframe") : "",
    regions.length ? countText(regions.length, "region") : "", mask ? "masked" : ""];
}

// Add an item where the server lists it: those of the user by name, then the bundled ones.
function insert(list, item) {
  const name = item.name.toLowerCase();
  const place = list.findIndex((each) => each.bundled || each.name.toLowerCase() > name);
  list.splice(place < 0 ? list.length : place, 0, item);
}

function showSummary() {
  const clip = currentClip(), style = currentStyle(), preset = settings.currentPreset();
  byId("render").disabled = !clip || !style;
  if (!clip) setText(byId("summary"), "Add a clip first.");
  else if (!style) setText(byId("summary"), "Choose a style.");
  else {
    const cost = costs && costs[preset] ? settings.costText(costs[preset]) : "";
    const { start, end } = stage.currentRange();
    const parts = [`${clip.name} in ${style.name}`, partText(start, end),
      ...editsText(currentEdits()), preset, cost];
    setText(byId("summary"), parts.filter(Boolean).join(" · "));
  }
}

function showSheetCost() {
  const cost = costs && costs[settings.currentPreset()];
  sheet.showCost(cost ? cost.sheet_seconds : null);
}

const loadCosts = afterPause(() => attempt(async () => {
  const clip = currentClip();
  if (!clip) return;
  const body = { clip: clip.id, settings: settings.changedSettings(), ...currentEdits() };
  costs = await post("estimates", body);
  settings.showCosts(costs);
  showSheetCost();
  showSummary();
}), ESTIMATE_MS);

function stopPainting() {
  if (painter) painter.abort();
  painter = null;
  awaited = outdated = false;
}

async function paint() {
  stopPainting();
  const clip = currentClip(), style = currentStyle();
  if (!clip || !style) return;
  const stop = painter = new AbortController();
  let failed = false, complete = false;
  awaited = true;
  try {
    await stream("previews", {
      clip: clip.id, time: stage.currentTime(), style: style.id,
      preset: settings.currentPreset(), settings: settings.changedSettings(),
      ...currentEdits(), window: WINDOW,
    }, (event) => {
      if (stop.signal.aborted) return;
      if (event.stage === "waiting") stage.waitForPainting();
      if (event.stage === "fine") complete = true;
      if (event.stage === "error") { failed = true; toast(event.message); }
      if (!event.image) return;
      stage.showPainting(event, style.name, outdated);
      awaited = false;
      if (outdated) paint();
    }, stop.signal);
  } catch (error) {
    if (stop.signal.aborted) return;  // another painting has begun
    failed = true;
    toast(error.message);
  }
  if (stop.signal.aborted) return;
  if (outdated) { paint(); return; }
  stopPainting();
  stage.endPainting(failed || !complete ? "not painted" : masks.emptyText(stage.currentTime()));
  loadCosts();
}

// Paint what is chosen now: at once, or after the first picture of the painting in progress. So a
// slider that is dragged shows pictures all the time, and the server has one request at a time.
function requestPainting(moved = false) {
  if (!currentClip() || !currentStyle()) return;
  stage.expectPainting(moved);
  if (awaited) outdated = true;
  else paint();
}

// The choice survives a reload of the page.
function remember() {
  try {
    const memory = { ...chosen, preset: settings.currentPreset(),
      settings: settings.changedSettings(), edits: Object.fromEntries(edits) };
    localStorage.setItem(MEMORY_KEY, JSON.stringify(memory));
  } catch { /* storage is disabled */ }
}

function recall() {
  try {
    return JSON.parse(localStorage.getItem(MEMORY_KEY)) || {};
  } catch {
    return {};
  }
}

function changed(what) {
  if (chosen.clip) edits.set(chosen.clip, currentEdits());
  if (what !== "range") requestPainting(what === "time");
  if (what !== "time") loadCosts();
  if (what === "range") masks.showHint();
  if (what === "time") masks.showFoundSoon();
  showSummary();
  remember();
}

function showChoices() {
  choices.showClips(state.clips, chosen.clip, pickClip, (id) => {
    state.clips = state.clips.filter((each) => each.id !== id);
    if (chosen.clip === id) pickClip(state.clips.length ? state.clips[0].id : "");
    showChoices();
  }, (id) => state.masks.filter((mask) => mask.clip === id).length);
  choices.showStyles(state.styles, chosen.style, pickStyle, (id) => {
    state.styles = state.styles.filter((each) => each.id !== id);
    if (chosen.style === id) pickStyle(state.styles.length ? state.styles[0].id : "");
    showChoices();
  });
  showEdits();
  showSummary();
}

// Show the part, keyframes and masks of the clip: those given, else those in use.
function showEdits(given = null) {
  const clip = currentClip() || null;
  if (given) stage.useRange(given);
  const list = given ? given.keyframes || [] : keyframes.allKeyframes();
  masks.showMasks(clip, state.masks, state.styles, given);
  keyframes.showKeyframes(clip, state.styles, list);
  masks.showCarries(state.jobs);
}

function pickClip(id) {
  stopPainting();
  chosen.clip = id;
  costs = null;
  stage.showClip(currentClip() || null);
  showEdits(edits.get(id) || {});
  changed("clip");
}

function pickStyle(id) {
  chosen.style = id;
  changed("style");
}

async function render() {
  const body = {
    ...chosen, preset: settings.currentPreset(), settings: settings.changedSettings(),
    ...currentEdits(),
  };
  const job = await attempt(() => post("jobs", body));
  if (!job) return;
  listen();
  if (!find(state.jobs, job.id)) showJobs([...state.jobs, job]);
  toast(`${job.clip_name} was added to the renders`, false, () => queue.reveal(job.id));
}

function showJobs(jobs) {
  state.jobs = jobs;
  queue.showJobs(jobs);
  masks.showCarries(jobs);
}

// The clip of a render, or one of the same name: it may have been removed and added again.
const clipOf = (job) => find(state.clips, job.clip)
  || state.clips.find((each) => each.name === job.clip_name);

// What a render needs and the studio does not have any more.
function missingOf({ style, keyframes: list, regions, mask }, clip) {
  const lacks = (items, ids) => ids.some((id) => id && !find(items, id));
  const used = [style, ...list.map(keyframes.imageId), ...regions.map((each) => each.style)];
  return [
    clip ? "" : "clip",
    lacks(state.styles, used) ? "style" : "",
    lacks(state.masks, [mask, ...regions.map((each) => each.mask)]
      .filter((id) => !masks.isPeople(id))) ? "mask" : "",
    masks.lacksPeople({ regions, mask }) ? "model of people" : "",
  ].filter(Boolean);
}

function reuse(job) {
  const { start = null, end = null, keyframes: list, regions, mask, faces } = job;
  const clip = clipOf(job), missing = missingOf(job, clip);
  settings.pick(job.preset, job.settings);
  if (find(state.styles, job.style)) chosen.style = job.style;
  if (clip) {
    edits.set(clip.id, { start, end, keyframes: list, regions, mask, faces });
    if (clip.id !== chosen.clip) pickClip(clip.id);
    else showEdits(job);
  }
  changed("settings");
  showChoices();
  byId("canvas").scrollIntoView({ block: "nearest" });
  const what = ["settings", partText(start, end), ...editsText(job)].filter(Boolean).join(", ");
  const gone = `${missing.join(" and ")} ${missing.length > 1 ? "were" : "was"} removed`;
  toast(missing.length ? `Not all of that render is back: its ${gone}`
    : `Back as for that render: ${what}`, Boolean(missing.length));
}

// What was added or removed here or in another window.
function showLibrary(library) {
  Object.assign(state, library);
  if (!currentStyle() && state.styles.length) pickStyle(state.styles[0].id);
  if (!currentClip()) pickClip(state.clips.length ? state.clips[0].id : "");
  showChoices();
}

// The server sends the jobs when they change; browsers reconnect by themselves unless refused.
// After the answer to a change made here a new stream is opened: an event that is still on its way
// in the old one may be from before the change, and would take back what was added.
function listen() {
  if (events) events.close();
  events = new EventSource(linkTo("events"));
  events.onopen = () => {
    if (!lost) return;
    lost.remove();
    lost = null;
    toast("vidstyle studio answers again", false);
    requestPainting();
  };
  events.onmessage = (event) => {
    const { jobs, ...library } = JSON.parse(event.data);
    if (library.clips) showLibrary(library);
    if (jobs) showJobs(jobs);
  };
  events.onerror = () => {
    lost = lost || toast(SILENT);
    if (events.readyState === EventSource.CLOSED) setTimeout(listen, RETRY_MS);
  };
}

function setup() {
  stage.setup(changed);
  choices.setup((clip) => {
    listen();
    if (!find(state.clips, clip.id)) insert(state.clips, clip);
    pickClip(clip.id);
    showChoices();
  }, (style) => {
    listen();
    if (!find(state.styles, style.id)) insert(state.styles, style);
    pickStyle(style.id);
    showChoices();
  });
  keyframes.setup(() => changed("edits"), () => chosen.style, masks.regionNames);
  masks.setup(() => { keyframes.showRegions(); changed("edits"); }, (mask) => {
    listen();
    if (!find(state.masks, mask.id)) state.masks.push(mask);
    showEdits();
    changed("edits");
  }, (id) => {
    state.masks = state.masks.filter((each) => each.id !== id);
    showEdits();
    changed("edits");
  }, () => chosen.style);
  sheet.setup(() => currentClip() && {
    clip: chosen.clip, time: stage.currentTime(), preset: settings.currentPreset(),
    settings: settings.changedSettings(), ...currentEdits(), window: WINDOW,
  }, (id) => {
    if (!keyframes.useStyle(id)) pickStyle(id);
    showChoices();
  }, (id) => (find(state.styles, id) || {}).name || id);
  queue.setup((job) => player.openPlayer(job, job.start || 0), reuse,
    (id) => (find(state.styles, id) || { name: "" }).name);
  player.setup(toast);
  byId("render").onclick = (event) => event.detail < 2;  // a double click adds one render
  byId("panel").onsubmit = (event) => {
    event.preventDefault();
    render();
  };
}

async function start() {
  let loaded;
  try {
    loaded = await get("state");
  } catch (error) {
    toast(error.message);
    return;
  }
  Object.assign(state, { clips: loaded.clips, styles: loaded.styles, masks: loaded.masks });
  setText(byId("version"), loaded.version);
  settings.setup(loaded.settings, loaded.presets, changed);
  keyframes.setupSettings(loaded.settings);
  masks.setupPeople(loaded.people);
  queue.setupDevices(loaded.devices);
  const before = recall();
  const preset = loaded.presets.includes(before.preset) ? before.preset : loaded.presets[0];
  settings.pick(preset, before.settings || {});
  for (const [id, each] of Object.entries(before.edits || {})) {
    if (find(state.clips, id)) edits.set(id, each);
  }
  const style = find(state.styles, before.style) || state.styles[0];
  const clip = find(state.clips, before.clip) || state.clips.at(-1);
  chosen.style = style ? style.id : "";
  if (clip) pickClip(clip.id);
  showChoices();
  showJobs(loaded.jobs);
  listen();
}

setup();
start();
