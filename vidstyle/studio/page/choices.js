// Clips and styles: lists of which one is chosen, uploads, and removal.

import { linkTo, remove, upload } from "./api.js";
import { announce, ask, attempt, byId, bytesText, clockText, countText, make, setText }
  from "./tools.js";

const STYLE_PX = 160, CLIP_PX = 160;
const ENDING = /\.(png|jpe?g|webp|bmp|tiff?|avif|heic)$/i;

function clipText(clip) {
  const size = `${clip.width} × ${clip.height}`;
  const length = clip.kind === "still" ? "picture" : clockText(clip.seconds || 0);
  return `${size} · ${length} · ${bytesText(clip.bytes)}`;
}

// Radio buttons with pictures: arrow keys move between them, Tab enters and leaves them.
function makeChoice(kind, item, picture, text, onPick) {
  const id = `${kind}-${item.id}`;
  const radio = make("input", { type: "radio", name: kind, value: item.id, id });
  radio.onchange = () => onPick(item.id);
  const label = make("label", { htmlFor: id },
    make("img", { alt: "", src: picture }), make("span", { textContent: item.name }));
  if (text) label.append(make("small", { textContent: text }));
  const made = make("div", { className: "choice", title: item.name }, radio, label);
  made.dataset.id = item.id;
  return made;
}

function makeRemove(item, path, onGone, what = () => item.name) {
  const button = make("button", { type: "button", className: "quiet gone", textContent: "×" });
  button.setAttribute("aria-label", `Remove ${item.name}`);
  button.onclick = async () => {
    if (!await ask(`Remove ${what()} from the studio? Your own file stays where it is.`)) return;
    if (await attempt(() => remove(path))) onGone(item.id);
  };
  return button;
}

// Keep the elements of what is still there, with the focus and the pictures loaded.
function showChoices(list, items, makeItem, chosen) {
  const old = new Map([...list.querySelectorAll(".choice")].map((each) => [each.dataset.id, each]));
  const known = new Set(items.map((item) => item.id));
  for (const [id, each] of old) if (!known.has(id)) each.remove();
  items.forEach((item, place) => {
    if (!old.has(item.id)) list.insertBefore(makeItem(item), list.children[place] || null);
  });
  for (const radio of list.querySelectorAll("input[type=radio]")) {
    radio.checked = radio.value === chosen;
  }
}

// `countMasks` tells how many masks a clip has: they are removed with it.
export function showClips(clips, chosen, onPick, onGone, countMasks) {
  showChoices(byId("clip-list"), clips, (clip) => {
    const picture = linkTo(`clips/${clip.id}/frame.jpg`, { time: 0, px: CLIP_PX });
    const made = makeChoice("clip", clip, picture, clipText(clip), onPick);
    made.append(makeRemove(clip, `clips/${clip.id}`, onGone, () => {
      const count = countMasks(clip.id);
      return count ? `${clip.name} and its ${countText(count, "mask")}` : clip.name;
    }));
    return made;
  }, chosen);
}

export function showStyles(styles, chosen, onPick, onGone) {
  showChoices(byId("style-list"), styles, (style) => {
    const picture = linkTo(`styles/${style.id}.jpg`, { px: STYLE_PX });
    const shown = { ...style, name: style.name.replace(ENDING, "") };  // the name has little room
    const made = makeChoice("style", shown, picture, "", onPick);
    made.title = style.name;
    if (!style.bundled) made.append(makeRemove(style, `styles/${style.id}`, onGone));
    return made;
  }, chosen);
}

// Send files one after another, each with a bar and a button that stops it.
export async function sendFiles(kind, files, list, onAdded) {
  const waiting = [...files].map((file) => {
    const stop = new AbortController(), bar = make("progress", { max: 1, value: 0 });
    bar.setAttribute("aria-label", `Sending ${file.name}`);
    const text = make("small", { textContent: "waiting" });
    const button = make("button", { type: "button", className: "quiet gone", textContent: "×" });
    button.setAttribute("aria-label", `Do not send ${file.name}`);
    const row = make("div", { className: "sending" },
      make("span", { textContent: file.name }), text, bar, button);
    button.onclick = () => { stop.abort(); row.remove(); };
    list.after(row);
    return { file, stop, bar, row, text };
  });
  for (const { file, stop, bar, row, text } of waiting) {
    if (stop.signal.aborted) continue;
    announce(`Sending ${file.name}`);
    const added = await attempt(() => upload(kind, file, (share) => {
      bar.value = share;
      setText(text, share < 1 ? `${Math.round(share * 100)} %` : "being checked");
    }, stop.signal));
    row.remove();
    if (added) {
      announce(`${added.name} was added`);
      onAdded(added);
    }
  }
}

export function acceptDrops(element, accept) {
  let inside = 0;  // dragenter of a child comes before dragleave of its parent
  const mark = (change) => {
    inside = Math.max(inside + change, 0);
    element.classList.toggle("over", inside > 0);
  };
  const hasFiles = (event) => event.dataTransfer && event.dataTransfer.types.includes("Files");
  element.addEventListener("dragenter", (event) => { if (hasFiles(event)) mark(1); });
  element.addEventListener("dragleave", (event) => { if (hasFiles(event)) mark(-1); });
  element.addEventListener("drop", (event) => {
    mark(-inside);
    if (!hasFiles(event) || event.defaultPrevented) return;
    event.preventDefault();
    accept([...event.dataTransfer.files]);
  });
}

export function setup(addedClip, addedStyle) {
  const addClips = (files) => sendFiles("clips", files, byId("clip-list"), addedClip);
  const addStyles = (files) => sendFiles("styles", files, byId("style-list"), addedStyle);
  const uploads = [[byId("clip-file"), addClips], [byId("style-file"), addStyles]];
  for (const [input, add] of uploads) {
    input.onchange = () => {
      add(input.files);
      input.value = "";  // the same file can be chosen again
    };
  }
  byId("choose").onclick = () => byId("clip-file").click();
  acceptDrops(byId("styles"), addStyles);
  acceptDrops(byId("clips"), addClips);
  acceptDrops(byId("canvas"), addClips);
  // Elsewhere on the page a video is a clip and a picture is a style.
  acceptDrops(document.documentElement, (files) => {
    const isPicture = (file) => file.type.startsWith("image/");
    addClips(files.filter((file) => !isPicture(file)));
    addStyles(files.filter(isPicture));
  });
  document.addEventListener("dragover", (event) => event.preventDefault());
}
