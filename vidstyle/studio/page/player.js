// A finished render beside its clip, both at the same time.

import { getImage, linkTo } from "./api.js";
import { byId, clockText, latestOnly, setText, showImage } from "./tools.js";

const JUMP_SECONDS = 0.25;   // difference of the two clips at which the source jumps
const STILL_SECONDS = 0.01;  // the same while they are paused
const FRAME_PX = 960;
const IMAGE = /\.(png|jpe?g|webp|gif|avif|tiff?)$/i;

const dialog = byId("player"), source = byId("source"), result = byId("result");
const play = byId("player-play"), bar = byId("player-time");
let job = null, start = 0, playable = false;

const sourceTime = () => Math.min(result.currentTime + start, source.duration || Infinity);

// Where the browser cannot play the clip, the server decodes single frames of it.
const loadFrame = latestOnly(async (wanted, at) => {
  const path = `clips/${wanted.clip}/frame.jpg?time=${at.toFixed(3)}&px=${FRAME_PX}`;
  const blob = await getImage(path);
  if (wanted === job) await showImage(byId("source-frame"), blob);
});

function setShape(width, height) {
  byId("screens").style.setProperty("--ratio", width / height || 16 / 9);
}

function showFramesOfSource() {
  if (!job || !playable) return;
  playable = false;
  source.hidden = true;
  byId("source-frame").hidden = false;
  setText(byId("source-note"), "· this browser cannot play its format: single frames are shown");
  loadFrame(job, sourceTime());
}

// Jumps are visible: a small difference is made up by playing the source slower or faster.
function keepInStep() {
  const ahead = source.currentTime - sourceTime();
  if (Math.abs(ahead) > (result.paused ? STILL_SECONDS : JUMP_SECONDS)) {
    source.currentTime = sourceTime();
  }
  source.playbackRate = Math.min(Math.max(1 - ahead, 0.8), 1.25);
}

function follow() {
  if (!dialog.open) return;
  bar.value = result.currentTime;
  bar.setAttribute("aria-valuetext", clockText(result.currentTime));
  const length = clockText(result.duration || 0);
  setText(byId("player-clock"), `${clockText(result.currentTime)} of ${length}`);
  if (playable && source.readyState > 0 && !source.seeking) keepInStep();
  requestAnimationFrame(follow);
}

function showPlaying() {
  setText(play, result.paused ? "Play" : "Pause");
  if (!playable) return;
  if (result.paused) source.pause();
  else source.play().catch(() => {});
}

function toggle() {
  if (result.paused) result.play().catch(() => {}); else result.pause();
}

function openPictures(output) {
  for (const element of [source, result, byId("transport")]) element.hidden = true;
  for (const id of ["source-frame", "result-frame"]) byId(id).hidden = false;
  byId("result-frame").src = output;
  loadFrame(job, 0);
}

function openVideos(output) {
  for (const element of [source, result, byId("transport")]) element.hidden = false;
  for (const id of ["source-frame", "result-frame"]) byId(id).hidden = true;
  playable = true;
  source.src = linkTo(`clips/${job.clip}/file`);
  result.src = output;
  result.play().catch(() => {});
}

// `from` is the time in the clip at which the render begins, in seconds.
export function openPlayer(finished, from) {
  job = finished;
  start = from;
  setText(byId("player-title"), `${job.clip_name} in ${job.style_name}, ${job.preset}`);
  setText(byId("source-note"), "");
  dialog.showModal();
  const output = linkTo(`jobs/${job.id}/output`);
  if (IMAGE.test(job.output)) openPictures(output); else openVideos(output);
  play.focus();
  follow();
}

function close() {
  job = null;
  for (const video of [source, result]) {
    video.pause();
    video.removeAttribute("src");
    video.load();  // ends the download
  }
  byId("source-frame").removeAttribute("src");
  byId("result-frame").removeAttribute("src");
}

export function setup(fail) {
  byId("player-close").onclick = () => dialog.close();
  dialog.addEventListener("close", close);
  play.onclick = toggle;
  result.onclick = toggle;
  result.onplay = result.onpause = showPlaying;
  result.onloadedmetadata = () => {
    bar.max = result.duration;
    setShape(result.videoWidth, result.videoHeight);
  };
  const picture = byId("result-frame");
  picture.onload = () => setShape(picture.naturalWidth, picture.naturalHeight);
  result.onerror = () => {
    if (job) fail("This browser cannot play the render: download it and use a video player");
  };
  result.ontimeupdate = () => {
    if (job && !playable && !result.hidden) loadFrame(job, sourceTime());
  };
  source.onerror = showFramesOfSource;
  source.onloadedmetadata = () => { if (!source.videoWidth) showFramesOfSource(); };
  bar.oninput = () => { result.currentTime = Number(bar.value); };
}
