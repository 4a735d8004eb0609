// Presets: buttons that apply them, a form that saves one, and their number keys.
"use strict";

const PRESET_KEYS = ["1", "2", "3", "4", "5", "6", "7", "8", "9"];
const ASK_MS = 4000;  // time for the second press that removes a preset
let presetNames = [];

// The first press asks, the second one removes.
function makeRemove(name) {
  const button = document.createElement("button");
  const ask = (asking) => {
    button.textContent = asking ? "remove?" : "×";
    button.setAttribute("aria-label", asking ? `really remove ${name}?` : `remove ${name}`);
  };
  ask(false);
  button.onclick = () => {
    if (button.textContent === "remove?") { sendCommand({ remove_preset: name }); return; }
    ask(true);
    setTimeout(() => ask(false), ASK_MS);
  };
  button.onblur = () => ask(false);
  return button;
}

function makePreset(name, number) {
  const item = document.createElement("li"), apply = document.createElement("button");
  const key = PRESET_KEYS[number];
  if (key) {
    const shown = document.createElement("kbd");
    shown.textContent = key;
    shown.setAttribute("aria-hidden", "true");
    apply.append(shown, " ");
    apply.setAttribute("aria-keyshortcuts", key);
  }
  apply.append(name);
  apply.title = `apply the preset ${name}`;
  apply.onclick = () => sendCommand({ preset: name });
  item.append(apply, makeRemove(name));
  return item;
}

document.addEventListener("state", ({ detail: { presets } }) => {
  const names = presets.map((preset) => preset.name);
  if (JSON.stringify(names) !== JSON.stringify(presetNames)) {
    presetNames = names;
    byId("preset-list").replaceChildren(...names.map(makePreset));
  }
  [...byId("preset-list").children].forEach((item, number) => {
    item.firstChild.setAttribute("aria-pressed", String(presets[number].active));
  });
});

byId("preset-form").onsubmit = async (event) => {
  event.preventDefault();
  const field = byId("preset-name");
  const saved = await sendCommand({ save_preset: field.value.trim() });
  if (saved) field.value = "";
};

addShortcut(PRESET_KEYS, "preset of this number", (key) => {
  const name = presetNames[PRESET_KEYS.indexOf(key)];
  if (name) sendCommand({ preset: name });
});
