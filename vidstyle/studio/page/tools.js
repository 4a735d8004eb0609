// Texts, messages, and helpers that several parts of the page use.

const NOTICE_MS = 6000;  // duration of a message that is no error
const MAX_TOASTS = 4;

export const byId = (id) => document.getElementById(id);

// An element with properties and children.
export function make(name, properties = {}, ...children) {
  const made = Object.assign(document.createElement(name), properties);
  made.append(...children);
  return made;
}

// The styles as options of a list, after some other [value, text].
export function fillStyles(select, styles, first, before = "") {
  const text = (style) => before + style.name.replace(/\.\w+$/, "");
  const options = [...first, ...styles.map((each) => [each.id, text(each)])];
  const same = select.options.length === options.length
    && options.every(([value, text], place) => select.options[place].value === value
      && select.options[place].textContent === text);
  if (same) return;  // it may be open
  select.replaceChildren(...options.map(([value, textContent]) =>
    make("option", { value, textContent })));
}

// The number in a field, within limits; null where it is empty.
export function numberIn(field, low, high) {
  const value = field.valueAsNumber;
  return Number.isFinite(value) ? Math.min(Math.max(value, low), high) : null;
}

// Set an element's text only if it differs: screen readers announce each change.
export function setText(element, text) {
  if (element.textContent !== text) element.textContent = text;
}

// Read a text to users of a screen reader, once nothing else is being read.
export const announce = (text) => setText(byId("announcer"), text);

// A message; `show` brings into view what it is about.
export function toast(text, error = true, show = null) {
  const shown = [...byId("toasts").children];
  const same = shown.find((each) => each.firstChild.textContent === text);
  if (same) return same;
  if (shown.length >= MAX_TOASTS) shown[0].remove();
  const close = make("button", { type: "button", className: "quiet", textContent: "Close" });
  const made = make("div", { className: error ? "toast error" : "toast" },
    make("span", { textContent: text }), close);
  close.setAttribute("aria-label", `Close the message: ${text}`);
  close.onclick = () => made.remove();
  if (show) {
    const button = make("button", { type: "button", className: "quiet", textContent: "Show" });
    button.setAttribute("aria-label", `Show: ${text}`);
    button.onclick = () => {
      made.remove();
      document.querySelector("dialog[open]")?.close();
      show();
    };
    close.before(button);
  }
  made.setAttribute("role", error ? "alert" : "status");
  byId("toasts").append(made);
  // A modal dialog covers all that is not in it.
  const dialog = document.querySelector("dialog[open]");
  const place = dialog || document.body;
  if (byId("toasts").parentNode !== place) place.append(byId("toasts"));
  if (dialog) {
    const back = () => document.body.append(byId("toasts"));
    dialog.addEventListener("close", back, { once: true });
  }
  if (!error) setTimeout(() => made.remove(), NOTICE_MS);
  return made;
}

// Do something that may fail; the user reads why it did.
export async function attempt(work) {
  try {
    return await work();
  } catch (error) {
    if (error.name !== "AbortError") toast(error.message);
    return undefined;
  }
}

// Ask before something is lost.
export function ask(text, action = "Remove") {
  const question = byId("question");
  setText(byId("question-text"), text);
  setText(byId("question-yes"), action);
  question.returnValue = "";
  question.showModal();
  return new Promise((resolve) => {
    question.addEventListener("close", () => resolve(question.returnValue === "yes"),
      { once: true });
  });
}

// Ask for one of some [value, text]; "" where none was chosen.
export function askOne(text, options) {
  const dialog = byId("use");
  setText(byId("use-title"), text);
  dialog.querySelector("form").replaceChildren(...options.map(([value, textContent]) =>
    make("button", { value, textContent })));
  dialog.returnValue = "";
  dialog.showModal();
  return new Promise((resolve) => {
    dialog.addEventListener("close", () => resolve(dialog.returnValue), { once: true });
  });
}

// The style after another one in the list, where a different one is needed.
export function nextStyle(styles, id) {
  return styles[(styles.findIndex((each) => each.id === id) + 1) % styles.length];
}

// A function whose calls run one after another; of those that wait, only the last is done.
export function latestOnly(work) {
  let busy = false, waiting = null;
  return async (...values) => {
    waiting = values;
    if (busy) return;
    busy = true;
    while (waiting) {
      const next = waiting;
      waiting = null;
      await attempt(() => work(...next));
    }
    busy = false;
  };
}

export function afterPause(work, ms) {
  let timer = 0;
  return (...values) => {
    clearTimeout(timer);
    timer = setTimeout(work, ms, ...values);
  };
}

export async function showImage(image, blob) {
  const previous = image.src;
  image.src = URL.createObjectURL(blob);
  if (previous.startsWith("blob:")) URL.revokeObjectURL(previous);
  await image.decode().catch(() => {});
}

export function clockText(seconds, digits = 1) {
  const tenths = 10 ** digits, whole = Math.floor(seconds * tenths + 1e-6) / tenths;
  const minutes = Math.floor(whole / 60), rest = (whole - minutes * 60).toFixed(digits);
  return `${minutes}:${rest.padStart(digits ? digits + 3 : 2, "0")}`;
}

// The time of day of seconds since 1970, with the day if it is not today.
export function dayText(seconds) {
  const at = new Date(seconds * 1000);
  const day = at.toDateString() === new Date().toDateString() ? {} : { day: "numeric", month: "short" };
  return at.toLocaleString([], { ...day, hour: "2-digit", minute: "2-digit" });
}

// A number of things: "1 region", "2 regions".
export const countText = (number, what) => `${number} ${what}${number === 1 ? "" : "s"}`;

// A part of a clip; null stands for its start or end.
export function partText(start, end) {
  if (typeof end !== "number") return start ? `from ${clockText(start)}` : "";
  return `${clockText(start || 0)} to ${clockText(end)}`;
}

export function durationText(seconds) {
  if (seconds < 1) return "1 s";
  if (seconds < 59.5) return `${Math.round(seconds)} s`;
  const minutes = Math.round(seconds / 60);
  if (minutes < 60) return `${minutes} min`;
  return minutes % 60 ? `${Math.floor(minutes / 60)} h ${minutes % 60} min` : `${minutes / 60} h`;
}

export function bytesText(bytes) {
  const units = ["B", "kB", "MB", "GB", "TB"];
  let value = bytes, unit = 0;
  while (value >= 999.5 && unit < units.length - 1) { value /= 1000; unit += 1; }
  return `${value < 9.95 && unit > 1 ? value.toFixed(1) : Math.round(value)} ${units[unit]}`;
}
