// The control page: shows the newest frame, polls the state, and sends commands.
"use strict";

const POLL_MS = 250;        // interval of polling the state
const PLOT_POINTS = 240;    // states in the plot: one minute
const RETRY_MS = 2000;      // wait after an error
const TOUCH_MS = 1500;      // time for which a slider keeps the user's value
const COMMAND_MS = 100;     // shortest interval between commands of a slider
const TOKEN_KEY = "vidstyle-token";
const VIEWER = Math.random().toString(36).slice(2);

const byId = (id) => document.getElementById(id);
const sleep = (ms) => new Promise((resolve) => setTimeout(resolve, ms));
const touched = new Map();  // slider -> performance.now() until which it keeps the user's value
const notices = new Map();  // topic -> text over the frame
const plotted = [];         // {loss, fps} of the last states
let styleNames = "", lastMessage = null;

// The URL contains the token once. The browser's storage of this origin keeps it, and the address
// bar loses it.
function loadToken() {
  const given = new URLSearchParams(location.search).get("token");
  try {
    if (given !== null) {
      localStorage.setItem(TOKEN_KEY, given);
      history.replaceState(null, "", location.pathname);
    }
    return localStorage.getItem(TOKEN_KEY);
  } catch {
    return given;  // storage is disabled: the URL keeps the token
  }
}
const token = loadToken();

function request(path, options = {}) {
  const headers = token ? { "X-Vidstyle-Token": token } : {};
  return fetch(path, { cache: "no-store", headers, ...options });
}

// Set an element's text only if it differs: screen readers announce each change.
function setText(id, text) {
  if (byId(id).textContent !== text) byId(id).textContent = text;
}

function setNotice(topic, text) {
  if (text) notices.set(topic, text); else notices.delete(topic);
  setText("notice", [...notices.values()].join(" "));
  byId("notice").hidden = notices.size === 0;
}

async function post(path, body) {
  try {
    const answer = await request(path, { method: "POST", body });
    if (!answer.ok) showMessage(await answer.text());
    return answer.ok;
  } catch {
    showMessage("vidstyle does not answer");
    return false;
  }
}

const sendCommand = (command) => post("command", JSON.stringify(command));

function showImage(image, blob) {
  const previous = image.src;
  image.src = URL.createObjectURL(blob);
  if (previous.startsWith("blob:")) URL.revokeObjectURL(previous);
  return image.decode().catch(() => {});
}

async function loadImage(image, path) {
  const answer = await request(path);
  if (answer.ok) await showImage(image, await answer.blob());
}

// Frames are requested one by one, and only in a visible tab. A browser opens six connections to a
// host at most: six tabs with an MJPEG stream each would block all other requests.
async function pollFrames() {
  let number = "";
  for (;;) {
    if (byId("image").hidden) {  // the painting comes as video
      await sleep(POLL_MS);
      continue;
    }
    if (document.hidden) {
      await new Promise((resolve) => {
        document.addEventListener("visibilitychange", resolve, { once: true });
      });
    }
    try {
      const answer = await request(`frame.jpg?viewer=${VIEWER}&after=${number}`);
      if (answer.status === 200) {
        number = answer.headers.get("x-frame-number");
        await showImage(byId("image"), await answer.blob());
      }
      setNotice("viewers", answer.status === 503 ? await answer.text() : "");
      if (!answer.ok) await sleep(RETRY_MS);
    } catch {
      await sleep(RETRY_MS);
    }
  }
}

// A slider sends its last value at most once per COMMAND_MS.
const queued = new Map();
function sendLatest(name, command) {
  const first = !queued.has(name);
  queued.set(name, command);
  if (!first) return;
  setTimeout(() => {
    const latest = queued.get(name);
    queued.delete(name);
    sendCommand(latest);
  }, COMMAND_MS);
}

function touch(slider) { touched.set(slider, performance.now() + TOUCH_MS); }
const isTouched = (slider) => (touched.get(slider) || 0) > performance.now();

function makeStyleItem(style, number, count) {
  const item = document.createElement("li"), button = document.createElement("button");
  const image = document.createElement("img"), name = document.createElement("span");
  const slider = document.createElement("input");
  loadImage(image, `styles/${number}.jpg`).catch(() => {});
  image.alt = "";
  name.textContent = style.name;
  button.append(image, name);
  button.title = `select the style ${style.name}`;
  button.onclick = () => {
    sendCommand({ blend: Array.from({ length: count }, (_, other) => Number(other === number)) });
  };
  Object.assign(slider, { type: "range", min: 0, max: 1, step: 0.05 });
  slider.setAttribute("aria-label", `blend weight of ${style.name}`);
  slider.oninput = () => touch(slider);
  slider.onchange = () => {
    const sliders = [...byId("gallery").querySelectorAll("input")];
    const blend = sliders.map((each) => Number(each.value));
    if (blend.some((weight) => weight > 0)) sendCommand({ blend }); else touched.clear();
  };
  item.append(button, slider);
  return item;
}

function showStyles(styles) {
  const names = JSON.stringify(styles.map((style) => style.name));
  if (names !== styleNames) {
    styleNames = names;
    const items = styles.map((style, number) => makeStyleItem(style, number, styles.length));
    byId("gallery").replaceChildren(...items);
  }
  const largest = Math.max(...styles.map((style) => style.weight));
  [...byId("gallery").children].forEach((item, number) => {
    const slider = item.querySelector("input"), { weight } = styles[number];
    item.querySelector("button").setAttribute("aria-pressed", String(weight === largest));
    if (!isTouched(slider)) slider.value = weight;
  });
}

function showSettings(settings) {
  for (const slider of byId("settings").querySelectorAll("input")) {
    if (!isTouched(slider)) slider.value = settings[slider.name];
    const value = isTouched(slider) ? Number(slider.value) : settings[slider.name];
    slider.previousElementSibling.textContent = Number(value.toFixed(2));
  }
}

function showCamera(state) {
  // A browser's camera has its instruction in the image.
  if (state.camera === "ok" || !state.camera || state.browser_camera) {
    setNotice("camera", "");
    return;
  }
  const lost = state.camera === "lost";
  setNotice("camera", lost ? "The camera is lost: waiting for it." : "The camera gives no frames.");
  setText("figures", `last frame ${Math.round(state.seconds_since_frame)} s ago ·`);
}

function showMessages(messages) {
  const newest = messages.length ? messages[messages.length - 1].number : 0;
  if (lastMessage !== null && newest >= lastMessage) {  // smaller after a restart of vidstyle
    for (const { number, text, error } of messages) {
      if (number > lastMessage) showMessage(text, error);
    }
  }
  lastMessage = newest;
}

function showState(state) {
  showMessages(state.messages);
  document.dispatchEvent(new CustomEvent("state", { detail: state }));  // for the other scripts
  if (!("frames" in state)) { setText("news", "loading"); showCamera(state); return; }
  const figures = [`${state.fps.toFixed(1)} fps`, `${Math.round(state.latency_ms)} ms`,
    state.stylized_fps < 0.8 * state.fps && `${state.stylized_fps.toFixed(1)} stylised`,
    `${state.steps} steps`, `${state.working_px} px`].filter(Boolean);
  setText("figures", `${figures.join(" · ")} ·`);
  const styles = state.styles.filter((style) => style.weight > 0).map((style) => style.name);
  const news = [styles.join(" + "), state.recording && "recording", state.note];
  setText("news", news.filter(Boolean).join(" · "));
  showCamera(state);
  for (const button of byId("buttons").querySelectorAll("[aria-pressed]")) {
    const name = button.dataset.do === "record" ? "recording" : button.dataset.do;
    button.setAttribute("aria-pressed", String(Boolean(state[name])));
  }
  setText("area", `area: ${state.area}`);
  setText("faces", `faces: ${state.faces}`);
  showStyles(state.styles);
  showSettings(state.settings);
  plotted.push({ loss: state.loss, fps: state.fps });
  if (plotted.length > PLOT_POINTS) plotted.shift();
  byId("loss").textContent = state.loss === null ? "" : state.loss.toPrecision(3);
  byId("fps").textContent = state.fps.toFixed(1);
  drawPlot();
}

function drawPlot() {
  const canvas = byId("plot"), context = canvas.getContext("2d"), { width, height } = canvas;
  context.clearRect(0, 0, width, height);
  context.lineWidth = 2;
  for (const name of ["loss", "fps"]) {
    const largest = Math.max(...plotted.map((point) => point[name] || 0)) || 1;
    const color = getComputedStyle(document.documentElement).getPropertyValue(`--${name}`);
    context.strokeStyle = color;
    context.beginPath();
    plotted.forEach((point, number) => {
      const x = (number + PLOT_POINTS - plotted.length) / (PLOT_POINTS - 1) * width;
      context.lineTo(x, height - 6 - (point[name] || 0) / largest * (height - 12));
    });
    context.stroke();
  }
}

async function pollState() {
  for (;;) {
    let wait = POLL_MS;
    try {
      const answer = await request("state");
      if (!answer.ok) throw new Error(await answer.text());
      showState(await answer.json());
    } catch (error) {
      const unreachable = error instanceof TypeError;
      setText("figures", "");
      setText("news", unreachable ? "vidstyle does not answer: waiting for it" : error.message);
      wait = RETRY_MS;
    }
    await sleep(wait);
  }
}

async function upload(files) {
  for (const file of files) {
    const name = encodeURIComponent(file.name.replace(/\.[^.]*$/, ""));
    showMessage(`analysing ${file.name}`, false);
    await post(`styles?name=${name}`, file);  // the session's messages report the result
  }
}

for (const button of byId("buttons").querySelectorAll("button")) {
  button.onclick = () => sendCommand({ do: button.dataset.do });
}
for (const slider of byId("settings").querySelectorAll("input")) {
  slider.oninput = () => {
    touch(slider);
    sendLatest(slider.name, { set: { [slider.name]: Number(slider.value) } });
  };
}
const fileInput = byId("upload").querySelector("input");
fileInput.onchange = async () => { await upload(fileInput.files); fileInput.value = ""; };
for (const kind of ["dragover", "dragleave", "drop"]) {
  byId("upload").addEventListener(kind, (event) => {
    event.preventDefault();
    byId("upload").classList.toggle("over", kind === "dragover");
    if (kind === "drop") upload(event.dataTransfer.files);
  });
}
pollFrames();
pollState();
