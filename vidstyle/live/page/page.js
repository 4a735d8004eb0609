// What the page does: asks for the state four times a second, shows it, and sends orders.
"use strict";

const EVERY_MS = 250, PLOTTED = 240;
const KEYS = { n: "next", p: "previous", "+": "stronger", "=": "stronger", "-": "weaker", "]": "larger", "[": "smaller",
  o: "original_colors", c: "beside", b: "bypass", m: "mirror", f: "freeze", s: "snapshot", r: "record" };
const at = (id) => document.getElementById(id);
const touched = new Map();  // sliders somebody moves, and until when they are left alone
const plotted = [];
let names = "", connected = true;

function say(words) {
  at("message").textContent = words;
  clearTimeout(say.timer);
  say.timer = setTimeout(() => { at("message").textContent = ""; }, 6000);
}

async function send(path, body) {
  try {
    const answer = await fetch(path, { method: "POST", body });
    if (!answer.ok) say(await answer.text());
    return answer.ok;
  } catch {
    say("no answer from vidstyle");
    return false;
  }
}

const order = (given) => send("order", JSON.stringify(given));

// The last of many values is what counts, and there is no need to send more than ten in a second.
const waiting = new Map();
function soon(name, given) {
  const first = !waiting.has(name);
  waiting.set(name, given);
  if (first) setTimeout(() => { const last = waiting.get(name); waiting.delete(name); order(last); }, 100);
}

function hold(slider) { touched.set(slider, performance.now() + 1500); }
const held = (slider) => (touched.get(slider) || 0) > performance.now();

function fillGallery(styles) {
  at("gallery").replaceChildren(...styles.map((style, number) => {
    const item = document.createElement("li"), button = document.createElement("button"), picture = document.createElement("img");
    const name = document.createElement("span"), slider = document.createElement("input");
    picture.src = `styles/${number}.jpg`;
    picture.alt = "";
    name.textContent = style.name;
    button.append(picture, name);
    button.title = `paint like ${style.name}`;
    button.onclick = () => order({ mix: styles.map((_, other) => Number(other === number)) });
    Object.assign(slider, { type: "range", min: 0, max: 1, step: 0.05 });
    slider.setAttribute("aria-label", `share of ${style.name}`);
    slider.oninput = () => hold(slider);
    slider.onchange = () => {
      const mix = [...at("gallery").querySelectorAll("input")].map((each) => Number(each.value));
      if (mix.some((share) => share > 0)) order({ mix }); else touched.clear();
    };
    item.append(button, slider);
    return item;
  }));
}

function showStyles(styles) {
  const now = JSON.stringify(styles.map((style) => style.name));
  if (now !== names) { names = now; fillGallery(styles); }
  const most = Math.max(...styles.map((style) => style.weight));
  [...at("gallery").children].forEach((item, number) => {
    const slider = item.querySelector("input");
    item.querySelector("button").setAttribute("aria-pressed", String(styles[number].weight === most));
    if (!held(slider)) slider.value = styles[number].weight;
  });
}

function showSettings(settings) {
  for (const slider of at("settings").querySelectorAll("input")) {
    if (!held(slider)) slider.value = settings[slider.name];
    const shown = held(slider) ? Number(slider.value) : settings[slider.name];
    slider.previousElementSibling.textContent = Number(shown.toFixed(2));
  }
}

function show(state) {
  if (!("frames" in state)) { at("status").textContent = "getting ready to paint"; return; }
  const painted = state.styles.filter((style) => style.weight > 0).map((style) => style.name).join(" + ");
  const words = [`${state.fps.toFixed(1)} fps`, `${Math.round(state.latency_ms)} ms`, `${state.steps} steps`, `${state.paint_px} px`, painted];
  at("status").textContent = [...words, state.said].filter(Boolean).join(" · ");
  for (const button of at("buttons").querySelectorAll("[aria-pressed]")) {
    const name = button.dataset.do === "record" ? "recording" : button.dataset.do;
    button.setAttribute("aria-pressed", String(Boolean(state[name])));
  }
  showStyles(state.styles);
  showSettings(state.settings);
  plotted.push({ loss: state.loss, fps: state.fps });
  if (plotted.length > PLOTTED) plotted.shift();
  at("loss").textContent = state.loss === null ? "" : state.loss.toPrecision(3);
  at("fps").textContent = state.fps.toFixed(1);
  plot();
}

function plot() {
  const canvas = at("plot"), pen = canvas.getContext("2d"), { width, height } = canvas;
  pen.clearRect(0, 0, width, height);
  for (const name of ["loss", "fps"]) {
    const most = Math.max(...plotted.map((each) => each[name] || 0)) || 1;
    pen.strokeStyle = getComputedStyle(document.documentElement).getPropertyValue(`--${name}`);
    pen.lineWidth = 2;
    pen.beginPath();
    plotted.forEach((each, number) => {
      pen.lineTo((number + PLOTTED - plotted.length) / (PLOTTED - 1) * width, height - 6 - (each[name] || 0) / most * (height - 12));
    });
    pen.stroke();
  }
}

async function ask() {
  try {
    const answer = await fetch("state");
    if (!answer.ok) throw new Error(await answer.text());
    show(await answer.json());
    if (!connected) at("picture").src = `picture.mjpg?${Date.now()}`;  // vidstyle was started again
    connected = true;
  } catch (error) {
    connected = false;
    at("status").textContent = error instanceof TypeError ? "vidstyle does not answer: waiting for it" : error.message;
  }
  setTimeout(ask, EVERY_MS);
}

async function upload(files) {
  for (const file of files) {
    say(`looking at ${file.name}`);
    if (await send(`styles?name=${encodeURIComponent(file.name.replace(/\.[^.]*$/, ""))}`, file)) say("");
  }
}

for (const button of at("buttons").querySelectorAll("button")) button.onclick = () => order({ do: button.dataset.do });
for (const slider of at("settings").querySelectorAll("input")) {
  slider.oninput = () => { hold(slider); soon(slider.name, { turn: { [slider.name]: Number(slider.value) } }); };
}
const chooser = at("upload").querySelector("input");
chooser.onchange = async () => { await upload(chooser.files); chooser.value = ""; };
for (const kind of ["dragover", "dragleave", "drop"]) {
  at("upload").addEventListener(kind, (event) => {
    event.preventDefault();
    at("upload").classList.toggle("over", kind === "dragover");
    if (kind === "drop") upload(event.dataTransfer.files);
  });
}
document.addEventListener("keydown", (event) => {
  if (event.ctrlKey || event.altKey || event.metaKey || event.target.type === "range" && event.key.length > 1) return;
  if (KEYS[event.key]) { event.preventDefault(); order({ do: KEYS[event.key] }); }
});
ask();
