// The queue: every render with its progress, and what can be done with it.

import { linkTo, post, remove } from "./api.js";
import { FRAME, settingTexts } from "./keyframes.js";
import {
  announce, ask, attempt, byId, bytesText, clockText, countText, dayText, durationText, partText,
  setText, toast,
} from "./tools.js";

const THUMB_PX = 160;
const ENDED = ["done", "failed", "cancelled"];
const STEP = 0.25;  // share of a render after which its progress is read to the user

const shown = new Map();  // id -> {item, job, told}
let several = false;      // whether the server renders on several devices
let onPlay = () => {}, onReuse = () => {}, styleName = () => "";

const share = (job) => (job.total ? job.done / job.total : 0);
const isRender = (job) => job.kind === "render";
const nameOf = (job) => (isRender(job) ? `${job.clip_name} in ${job.style_name}`
  : `A mask that follows ${job.clip_name}`);
const percent = (job) => `${Math.floor(share(job) * 100)} %`;
const isWaiting = (job) => job.state === "queued" || job.state === "paused";

// What tells a render from others of the same clip and style.
function whatText(job) {
  const parts = [job.added ? dayText(job.added) : ""];
  if (!isRender(job)) return parts[0];
  if (job.mask) parts.push("mask");
  if (job.regions.length) parts.push(countText(job.regions.length, "region"));
  for (const [name, value] of Object.entries(job.settings)) {
    const text = typeof value === "boolean" ? "" : ` ${value}`;
    parts.push((value === false ? "no " : "") + name.replaceAll("_", " ") + text);
  }
  for (const key of job.keyframes) {
    const style = key.style === FRAME ? "style of the rest"
      : key.style && (styleName(key.style).replace(/\.\w+$/, "") || "another style");
    const look = [style, ...settingTexts(key)].filter(Boolean).join(", ");
    parts.push(`then ${look}${key.region ? " in a part" : ""} at ${clockText(key.time)}`);
  }
  return parts.filter(Boolean).join(" · ");
}

function runningText(job) {
  const left = typeof job.remaining_seconds === "number"
    ? `, ${durationText(job.remaining_seconds)} left` : "";
  return `${job.total ? percent(job) : "starting"}${left}`;
}

// Where a render runs, or where it waits to go on; "" where there is one device alone.
function deviceText(job) {
  if (!several || !job.device || !isRender(job)) return "";
  if (job.state === "running") return `on ${job.device}`;
  return job.state === "queued" && job.done ? `waits for ${job.device}` : "";
}

function stateText(job) {
  const parts = [job.state, deviceText(job)].filter(Boolean);
  if (job.state === "running" && !job.done && job.message) {
    return [...parts, "the first frame"].join(" · ");
  }
  if (job.state === "running" || job.state === "paused") {
    parts.push(job.total ? `${percent(job)}, ${job.done} of ${job.total}` : "starting");
    if (job.state === "running" && typeof job.remaining_seconds === "number") {
      parts.push(`${durationText(job.remaining_seconds)} left`);
    }
  }
  if (job.state === "done") {
    if (job.seconds) parts.push(`took ${durationText(job.seconds)}`);
    if (job.bytes) parts.push(bytesText(job.bytes));
  }
  if (job.message && job.state !== "done") parts.push(job.message);
  return parts.join(" · ");
}

const can = {
  play: (job) => Boolean(job.output),
  download: (job) => Boolean(job.output),
  pause: (job) => job.state === "running" && isRender(job),  // a mask begins anew
  resume: (job) => job.state === "paused",
  again: (job) => job.state === "failed" || job.state === "cancelled",
  up: (job, waiting) => isWaiting(job) && waiting.indexOf(job.id) > 0,
  down: (job, waiting) => isWaiting(job) && waiting.indexOf(job.id) < waiting.length - 1,
  cancel: (job) => !ENDED.includes(job.state),
  reuse: (job) => ENDED.includes(job.state) && isRender(job),
  remove: (job) => ENDED.includes(job.state),
};

async function copy(item, text) {
  try {
    await navigator.clipboard.writeText(text);
    toast("The command was copied", false);
  } catch {  // the page is not at localhost or https: browsers deny the clipboard
    getSelection().selectAllChildren(item.querySelector("code"));
    toast("The command is selected: press Ctrl+C or Cmd+C", false);
  }
}

// Move a job before another one; the last place is before none.
function move(job, change) {
  const waiting = [...shown.values()].map((each) => each.job).filter(isWaiting)
    .map((each) => each.id);
  const place = waiting.indexOf(job.id) + (change < 0 ? -1 : 2);
  return post(`jobs/${job.id}/move`, { before: waiting[place] || null });
}

const actions = {
  play: (job) => onPlay(job),
  pause: (job) => post(`jobs/${job.id}/pause`),
  resume: (job) => post(`jobs/${job.id}/resume`),
  again: (job) => post(`jobs/${job.id}/resume`),
  up: (job) => move(job, -1),
  down: (job) => move(job, 1),
  reuse: (job) => onReuse(job),
  copy: (job, item) => copy(item, job.command),
  async cancel(job) {
    const frames = job.done === 1 ? "finished frame" : `${job.done} finished frames`;
    const question = `Stop this and remove its ${frames}?`;
    if (job.done > 0 && !await ask(question, "Stop it")) return;
    await post(`jobs/${job.id}/cancel`);
  },
  async remove(job) {
    const made = job.added ? `, made at ${dayText(job.added)},` : "";
    const question = `Remove ${job.output}${made} from the studio? The file is deleted.`;
    if (job.output && !await ask(question)) return;
    await remove(`jobs/${job.id}`);
    forget(job.id);
    showEmpty();
  },
};

function makeItem(job) {
  const item = byId("job").content.firstElementChild.cloneNode(true);
  const name = nameOf(job);
  item.dataset.id = job.id;
  const pictures = [
    [".thumb", linkTo(`clips/${job.clip}/frame.jpg`, { time: job.start || 0, px: THUMB_PX })],
    [".mini", isRender(job) ? linkTo(`styles/${job.style}.jpg`, { px: THUMB_PX })
      : linkTo(`masks/${job.mask}.png`, { px: THUMB_PX })],
  ];
  for (const [kind, link] of pictures) {
    const image = item.querySelector(kind);
    image.onerror = () => image.removeAttribute("src");  // the clip or the style was removed
    image.src = link;
  }
  item.querySelector("h3").id = `job-${job.id}`;
  item.setAttribute("aria-labelledby", `job-${job.id}`);  // it gets the focus, and is read then
  setText(item.querySelector("h3"),
    [name, job.preset, partText(job.start, job.end)].filter(Boolean).join(", "));
  setText(item.querySelector(".what"), whatText(job));
  setText(item.querySelector("code"), job.command);
  item.querySelector("progress").setAttribute("aria-label", `Progress of ${name}`);
  const link = item.querySelector("a");
  link.href = linkTo(`jobs/${job.id}/output`, { download: 1 });
  link.setAttribute("aria-label", `Download ${name}`);
  for (const button of item.querySelectorAll("button[data-do]")) {
    button.setAttribute("aria-label", `${button.textContent}: ${name}`);
    button.onclick = () => {
      attempt(() => actions[button.dataset.do](shown.get(job.id).job, item));
    };
  }
  return item;
}

// Tell users of a screen reader what changed, and everybody how a render ended.
function tell(entry, before, job) {
  const name = nameOf(job);
  if (before && before.state !== job.state) {
    entry.told = share(job);
    if (job.state === "failed") toast(`${name} failed: ${job.message || "see its message"}`);
    else if (job.state === "done") toast(`${name} is done`, false, () => reveal(job.id));
    else announce(`${name}: ${job.state}`);
  } else if (job.state === "running" && share(job) >= entry.told + STEP) {
    entry.told = share(job);
    announce(`${name}: ${percent(job)}`);
  }
}

function showJob(entry, job, waiting) {
  const { item } = entry, bar = item.querySelector("progress");
  const focused = item.contains(document.activeElement) ? document.activeElement : null;
  entry.job = job;
  item.dataset.state = job.state;
  setText(item.querySelector(".state"), stateText(job));
  bar.hidden = ENDED.includes(job.state) || job.state === "queued";
  bar.value = share(job);
  if (job.output && !item.dataset.painted) {
    item.dataset.painted = "yes";
    item.querySelector(".thumb").src = linkTo(`jobs/${job.id}/frame.jpg`);
  }
  for (const button of item.querySelectorAll(".actions [data-do]")) {
    button.hidden = !can[button.dataset.do](job, waiting);
  }
  if (focused && focused.hidden) item.focus();  // else the focus goes to the start of the page
}

function forget(id) {
  const { item } = shown.get(id);
  if (item.contains(document.activeElement)) byId("queue-title").focus();
  item.remove();
  shown.delete(id);
}

function showEmpty() {
  byId("no-jobs").hidden = shown.size > 0;
}

// Those that are not finished come first, in their order; then the newest of the others.
function inOrder(jobs) {
  const open = jobs.filter((job) => !ENDED.includes(job.state));
  return [...open, ...jobs.filter((job) => ENDED.includes(job.state)).reverse()];
}

function showRunning(jobs) {
  const all = jobs.filter((job) => job.state === "running"), running = all[0];
  const link = byId("running"), more = all.length > 1 ? `, and ${all.length - 1} more` : "";
  link.hidden = !running;
  if (running) {
    const what = isRender(running) ? `rendering ${running.clip_name}` : nameOf(running);
    setText(link, `${what}: ${runningText(running)}${more}`);
    link.onclick = (event) => { event.preventDefault(); reveal(running.id); };
  }
  document.title = running ? `${percent(running)} · vidstyle studio` : "vidstyle studio";
}

export function showJobs(jobs) {
  const waiting = jobs.filter(isWaiting).map((job) => job.id), focused = document.activeElement;
  const left = new Set(shown.keys()), list = byId("jobs");
  let moved = false;
  inOrder(jobs).forEach((job, place) => {
    left.delete(job.id);
    if (!shown.has(job.id)) shown.set(job.id, { item: makeItem(job), told: share(job) });
    const entry = shown.get(job.id), before = entry.job;
    if (list.children[place] !== entry.item) {
      list.insertBefore(entry.item, list.children[place] || null);
      moved = true;
    }
    showJob(entry, job, waiting);
    tell(entry, before, job);
  });
  left.forEach(forget);
  // A map keeps the order of insertion: `move` reads the queue's order from it.
  for (const job of jobs) {
    const entry = shown.get(job.id);
    shown.delete(job.id);
    shown.set(job.id, entry);
  }
  if (moved && list.contains(focused) && document.activeElement !== focused) {
    (focused.hidden ? focused.closest("li") : focused).focus();  // moving an element blurs it
  }
  showEmpty();
  showRunning(jobs);
}

// Bring a job into view.
export function reveal(id) {
  const item = shown.has(id) ? shown.get(id).item : byId("queue-title");
  item.scrollIntoView({ block: "center" });
  item.focus({ preventScroll: true });
}

// The devices on which the server renders.
export function setupDevices(names) {
  several = names.length > 1;
}

export function setup(play, reuse, nameOfStyle) {
  onPlay = play;
  onReuse = reuse;
  styleName = nameOfStyle;
  byId("queue-title").tabIndex = -1;
}
