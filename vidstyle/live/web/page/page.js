// What the page does: shows the newest picture, asks for the state four times a second, and sends commands.
"use strict";

const EVERY_MS = 250, PLOTTED = 240, RETRY_MS = 2000, MESSAGE_MS = 10000;
const KEYS = { n: "next", p: "previous", "+": "stronger", "=": "stronger", "-": "weaker", "]": "larger", "[": "smaller",
  o: "original_colors", c: "beside", b: "bypass", m: "mirror", f: "freeze", s: "snapshot", r: "record" };
const VIEWER = Math.random().toString(36).slice(2);
const TOKEN_KEY = "vidstyle-token";
const at = (id) => document.getElementById(id);
const pause = (ms) => new Promise((done) => setTimeout(done, ms));
const touched = new Map();  // sliders somebody moves, and until when they are left alone
const plotted = [];
const notices = new Map();  // what is wrong with the camera, and with watching
let names = "", lastMessage = null;

// The token comes in the address once. It is kept where only this host and port can read it, and leaves the address bar.
function takeToken() {
  const given = new URLSearchParams(location.search).get("token");
  try {
    if (given !== null) {
      localStorage.setItem(TOKEN_KEY, given);
      history.replaceState(null, "", location.pathname);
    }
    return localStorage.getItem(TOKEN_KEY);
  } catch {
    return given;  // the browser stores nothing: the address keeps the token
  }
}
const token = takeToken();

function ask(path, options = {}) {
  return fetch(path, { cache: "no-store", headers: token ? { "X-Vidstyle-Token": token } : {}, ...options });
}

// Change an element's text only where it differs, so that screen readers read it out once.
function write(id, words) {
  if (at(id).textContent !== words) at(id).textContent = words;
}

function say(words, error = true) {
  at("message").classList.toggle("error", error);
  at("message").textContent = words;
  clearTimeout(say.timer);
  say.timer = setTimeout(() => { at("message").textContent = ""; }, MESSAGE_MS);
}

function notice(about, words) {
  if (words) notices.set(about, words); else notices.delete(about);
  write("notice", [...notices.values()].join(" "));
  at("notice").hidden = notices.size === 0;
}

async function send(path, body) {
  try {
    const answer = await ask(path, { method: "POST", body });
    if (!answer.ok) say(await answer.text());
    return answer.ok;
  } catch {
    say("vidstyle does not answer");
    return false;
  }
}

const order = (given) => send("order", JSON.stringify(given));

function showImage(image, blob) {
  const before = image.src;
  image.src = URL.createObjectURL(blob);
  if (before.startsWith("blob:")) URL.revokeObjectURL(before);
  return image.decode().catch(() => {});
}

async function loadImage(image, path) {
  const answer = await ask(path);
  if (answer.ok) await showImage(image, await answer.blob());
}

// Pictures are asked for one by one, and only while the tab can be seen: a browser opens six connections to a host at most,
// so that six tabs with an endless picture each would leave none for anything else.
async function watch() {
  let number = "";
  for (;;) {
    if (document.hidden) await new Promise((seen) => document.addEventListener("visibilitychange", seen, { once: true }));
    try {
      const answer = await ask(`picture.jpg?viewer=${VIEWER}&after=${number}`);
      if (answer.status === 200) {
        number = answer.headers.get("x-picture-number");
        await showImage(at("picture"), await answer.blob());
      }
      notice("watching", answer.ok ? "" : answer.status === 503 ? await answer.text() : "");
      if (!answer.ok) await pause(RETRY_MS);
    } catch {
      await pause(RETRY_MS);
    }
  }
}

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
    loadImage(picture, `styles/${number}.jpg`).catch(() => {});
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

function showCamera(state) {
  if (state.camera === "ok" || !state.camera) { notice("camera", ""); return; }
  const words = state.camera === "lost" ? "The camera is lost: waiting for it." : "The camera gives no pictures.";
  notice("camera", words);
  write("figures", `last picture ${Math.round(state.seconds_since_frame)} s ago ·`);
}

function showMessages(messages) {
  const newest = messages.length ? messages[messages.length - 1].number : 0;
  if (lastMessage !== null && newest >= lastMessage) {  // a smaller number: vidstyle was started again
    for (const { number, text, error } of messages) if (number > lastMessage) say(text, error);
  }
  lastMessage = newest;
}

function show(state) {
  showMessages(state.messages);
  if (!("frames" in state)) { write("news", "getting ready to paint"); showCamera(state); return; }
  write("figures", `${state.fps.toFixed(1)} fps · ${Math.round(state.latency_ms)} ms · ${state.steps} steps · ${state.paint_px} px ·`);
  const painted = state.styles.filter((style) => style.weight > 0).map((style) => style.name).join(" + ");
  write("news", [painted, state.recording && "recording", state.said].filter(Boolean).join(" · "));
  showCamera(state);
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

async function follow() {
  for (;;) {
    let wait = EVERY_MS;
    try {
      const answer = await ask("state");
      if (answer.ok) show(await answer.json()); else throw new Error(await answer.text());
    } catch (error) {
      write("figures", "");
      write("news", error instanceof TypeError ? "vidstyle does not answer: waiting for it" : error.message);
      wait = RETRY_MS;
    }
    await pause(wait);
  }
}

async function upload(files) {
  for (const file of files) {
    say(`looking at ${file.name}`, false);
    if (await send(`styles?name=${encodeURIComponent(file.name.replace(/\.[^.]*$/, ""))}`, file)) say(`${file.name} is a style now`, false);
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
watch();
follow();
