// The contact sheet: the frame in every style, to choose one by eye.

import { stream } from "./api.js";
import { announce, attempt, byId, clockText, durationText, make, setText } from "./tools.js";

const dialog = byId("sheet"), bar = byId("sheet-progress"), cells = byId("sheet-cells");
let started = 0, took = null, expected = null;  // seconds: of the last sheet, of an estimate
let stop = null, makeRequest = () => null, onPick = () => {}, nameOf = () => "";

function addCell(event) {
  const name = nameOf(event.style);
  const cell = make("button", { type: "button", className: "cell" },
    make("img", { alt: "", src: event.image }), make("span", { textContent: name }));
  cell.onclick = () => {
    dialog.close();
    onPick(event.style);
    announce(`${name} was chosen`);
  };
  cells.append(cell);
  bar.max = event.total;
  bar.value = event.done;
  const passed = (performance.now() - started) / 1000;
  if (event.done === event.total) took = passed;
  const left = durationText((passed / event.done) * (event.total - event.done));
  setText(byId("sheet-state"), `${event.done} of ${event.total} styles, about ${left} left`);
}

const aboutText = () => {
  const seconds = took ?? expected;
  return typeof seconds === "number" ? `about ${durationText(seconds)}` : "";
};

// Show how long a sheet takes: as long as the last one, whose pixels are as many, else `seconds`.
export function showCost(seconds = null) {
  expected = seconds;
  setText(byId("compare"), ["Compare all", aboutText()].filter(Boolean).join(" · "));
}

function end(text) {
  bar.hidden = byId("sheet-stop").hidden = true;
  setText(byId("sheet-state"), text);
}

async function open() {
  const body = makeRequest();
  if (!body) return;
  const mine = stop = new AbortController();
  let failed = "";
  cells.replaceChildren();
  bar.removeAttribute("value");
  bar.hidden = byId("sheet-stop").hidden = false;
  setText(byId("sheet-title"), `The frame at ${clockText(body.time)} in all styles`);
  const about = aboutText();
  setText(byId("sheet-state"), `painting the first${about && `, ${about} in all`}`);
  started = performance.now();
  dialog.showModal();
  await attempt(() => stream("sheets", body, (event) => {
    if (mine.signal.aborted) return;
    if (event.stage === "cell") addCell(event);
    if (event.stage === "error") failed = event.message;
  }, mine.signal));
  if (stop !== mine) return;
  const hadFocus = document.activeElement === byId("sheet-stop");
  const count = cells.childElementCount, missing = bar.value < bar.max || !count;
  end(failed || (missing ? `stopped after ${count} styles` : `${count} styles: choose one`));
  showCost(expected);
  if (hadFocus) byId("sheet-close").focus();
}

export function setup(request, picked, styleName) {
  makeRequest = request;
  onPick = picked;
  nameOf = styleName;
  byId("compare").onclick = open;
  byId("sheet-close").onclick = () => dialog.close();
  byId("sheet-stop").onclick = () => stop.abort();
  dialog.addEventListener("close", () => {
    stop.abort();
    cells.replaceChildren();  // the pictures are large
  });
}
