// Keyboard shortcuts, and the dialog that lists them.
"use strict";

const shortcuts = [];  // {keys, text, run, repeats}
const TEXT_INPUTS = "input:not([type=range]):not([type=file]), textarea, select";

// Other scripts add their keys too. `run` gets the key; only a key that repeats acts while held.
function addShortcut(keys, text, run, repeats = false) {
  shortcuts.push({ keys, text, run, repeats });
}

function addAction(keys, action, text, repeats = false) {
  addShortcut(keys, text, () => sendCommand({ do: action }), repeats);
}

addAction(["n"], "next", "next style");
addAction(["p"], "previous", "previous style");
addAction(["+", "="], "stronger", "more strength", true);
addAction(["-"], "weaker", "less strength", true);
addAction(["]"], "larger", "larger style scale", true);
addAction(["["], "smaller", "smaller style scale", true);
addAction(["o"], "original_colors", "keep the source's colours");
addAction(["c"], "side_by_side", "source beside the result");
addAction(["b"], "bypass", "bypass: show the source");
addAction(["f"], "freeze", "freeze");
addAction(["m"], "mirror", "mirror");
addAction(["a"], "area", "all, people only, background only");
addAction(["k"], "faces", "keep faces, or paint them like all else");
addAction(["s"], "snapshot", "snapshot");
addAction(["r"], "record", "start and stop a recording");

function showKeys() {
  const rows = shortcuts.map(({ keys, text }) => {
    const row = document.createElement("div"), names = document.createElement("dt");
    const meaning = document.createElement("dd");
    const shown = keys.length > 2 ? [keys[0], "–", keys[keys.length - 1]] : keys;
    for (const key of shown) {
      const name = document.createElement(key === "–" ? "span" : "kbd");
      name.textContent = key;
      names.append(name, " ");
    }
    meaning.textContent = text;
    row.append(names, meaning);
    return row;
  });
  byId("key-list").replaceChildren(...rows);
  byId("keys").showModal();
}

function toggleKeys() {
  if (byId("keys").open) byId("keys").close(); else showKeys();
}
addShortcut(["?"], "this list", toggleKeys);
byId("show-keys").onclick = showKeys;

document.addEventListener("keydown", (event) => {
  if (event.ctrlKey || event.altKey || event.metaKey) return;
  if (event.target.matches(TEXT_INPUTS)) return;
  const found = shortcuts.find(({ keys }) => keys.includes(event.key));
  if (!found) return;
  event.preventDefault();
  if (!event.repeat || found.repeats) found.run(event.key);
});
