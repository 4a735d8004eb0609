// Presets and settings. Only what the user changed is sent: the preset decides the rest.

import { byId, bytesText, durationText, make, setText } from "./tools.js";

const UNKNOWN = "time known after the first painting";
const AUTOMATIC = "automatic";

let all = [], preset = "", onChange = () => {};
const changed = new Map();  // name -> value

export const currentPreset = () => preset;
export const changedSettings = () => Object.fromEntries(changed);

function textOf(setting, value) {
  if (value === null || value === undefined) return AUTOMATIC;
  const digits = (String(setting.step || 1).split(".")[1] || "").length;
  return Number(value).toFixed(digits);
}

const standardOf = (setting) => setting.defaults[preset];

function showValue(setting) {
  const control = byId(`setting-${setting.name}`);
  const value = changed.has(setting.name) ? changed.get(setting.name) : standardOf(setting);
  if (setting.kind === "switch") { control.checked = Boolean(value); return; }
  control.value = value === null || value === undefined ? setting.low : value;
  setText(byId(`value-${setting.name}`), textOf(setting, value));
  control.setAttribute("aria-valuetext", textOf(setting, value));
  control.classList.toggle("changed", changed.has(setting.name));
}

function showAll() {
  all.forEach(showValue);
  byId("reset").hidden = changed.size === 0;
}

function change(setting, value) {
  if (value === standardOf(setting)) changed.delete(setting.name);
  else changed.set(setting.name, value);
  showValue(setting);
  byId("reset").hidden = changed.size === 0;
  onChange("settings");
}

function makeControl(setting) {
  const id = `setting-${setting.name}`, help = `help-${setting.name}`;
  const isSwitch = setting.kind === "switch";
  const control = make("input", { id, type: isSwitch ? "checkbox" : "range" });
  if (isSwitch) control.setAttribute("role", "switch");
  else Object.assign(control, { min: setting.low, max: setting.high, step: setting.step });
  control.setAttribute("aria-describedby", help);
  control.oninput = () => change(setting, isSwitch ? control.checked : Number(control.value));
  const label = make("label", { htmlFor: id, textContent: setting.label });
  const value = make("output", { id: `value-${setting.name}`, htmlFor: id });
  value.setAttribute("aria-hidden", "true");  // the slider itself is read with its value
  return make("div", { className: isSwitch ? "setting switch" : "setting", title: setting.help },
    label, value, control, make("span", { id: help, className: "unseen",
      textContent: setting.help }));
}

function makePreset(name) {
  const radio = make("input", { type: "radio", name: "preset", value: name, id: `preset-${name}` });
  radio.onchange = () => { pick(name, changedSettings()); onChange("preset"); };
  return make("div", { className: "choice preset" }, radio,
    make("label", { htmlFor: radio.id }, make("span", { textContent: name }),
      make("small", { id: `cost-${name}`, textContent: "" })));
}

// Use a preset with some settings changed.
export function pick(name, values = {}) {
  preset = name;
  changed.clear();
  for (const setting of all) {
    const value = values[setting.name];
    if (value !== undefined && value !== standardOf(setting)) changed.set(setting.name, value);
  }
  byId(`preset-${name}`).checked = true;
  showAll();
}

const isCost = (cost) => cost && typeof cost.seconds === "number";

export function costText(cost) {
  return isCost(cost) ? `about ${durationText(cost.seconds)}` : UNKNOWN;
}

export function showCosts(costs) {
  for (const name of Object.keys(costs || {})) {
    const cost = costs[name], place = byId(`cost-${name}`);
    if (!place) continue;
    const parts = [costText(cost)];
    if (cost && cost.file_bytes) parts.push(`${bytesText(cost.file_bytes)} file`);
    setText(place, parts.join(" · "));
    place.title = cost && cost.memory_bytes ? `takes ${bytesText(cost.memory_bytes)} of memory` : "";
  }
}

export function setup(settings, presets, changedCall) {
  all = settings;
  onChange = changedCall;
  byId("presets").replaceChildren(...presets.map(makePreset));
  byId("settings").replaceChildren(...all.filter((each) => !each.advanced).map(makeControl));
  byId("advanced").replaceChildren(...all.filter((each) => each.advanced).map(makeControl));
  byId("more").hidden = !all.some((each) => each.advanced);
  byId("reset").onclick = () => {
    pick(preset);
    byId("settings").querySelector("input").focus();
    onChange("settings");
  };
}
