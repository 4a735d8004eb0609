// The camera of this browser: its picture goes to vidstyle by WebRTC, and the painting comes back.
// It uses functions of page.js, which is loaded before.
"use strict";
(() => {
  const CONNECT_MS = 15000;  // time limit for a connection
  const GATHER_MS = 1000;    // time limit for finding this device's own addresses
  const DELAY_MS = 1000;     // interval of showing the delay
  const REFUSALS = {
    NotAllowedError: "The camera was not allowed: allow it in the settings of this page.",
    NotFoundError: "This device has no such camera.",
    NotReadableError: "Another program uses the camera: close it.",
  };

  let wanted = null;       // {width, height, fps} for the camera, from vidstyle
  let stream = null;       // camera and microphone; null: not in use
  let connection = null;
  let last = null;         // statistics at the last measurement of the delay
  let server = null;       // the last state
  let exchanged = Promise.resolve();  // after the last exchange of camera or microphone

  const hint = (text) => setText("camera_hint", text);
  const video = () => stream?.getVideoTracks()[0] ?? null;
  const microphone = () => stream?.getAudioTracks()[0] ?? null;

  // What prevents the use of a camera here; "" if nothing does.
  function missing() {
    if (!navigator.mediaDevices) {
      return "Browsers give a page a camera only by HTTPS: start vidstyle with --https, and open "
        + "the address that it prints.";
    }
    return window.RTCPeerConnection ? ""
      : "This browser has no WebRTC, which carries the picture: use another browser.";
  }

  function showPainting(on) {
    byId("painting").hidden = !on;
    byId("image").hidden = on;
    if (!on) byId("painting").srcObject = null;
  }

  function showButton() {
    byId("use_camera").textContent = stream ? "Stop the camera" : "Use this device's camera";
    byId("use_camera").classList.toggle("on", stream !== null);
    const self = byId("self");
    self.hidden = !(stream && byId("show_self").checked);
    self.srcObject = self.hidden ? null : stream;
    byId("painting").muted = !byId("sound").checked;
  }

  function openCamera() {
    const { width, height, fps } = wanted;
    return navigator.mediaDevices.getUserMedia({
      video: {
        facingMode: byId("facing").value,
        width: { ideal: width }, height: { ideal: height }, frameRate: { ideal: fps, max: 60 },
      },
      audio: byId("sound").checked,
    });
  }

  async function start() {
    byId("use_camera").disabled = true;
    hint("");
    try {
      stream = await openCamera();
      keepAwake();
      showButton();
      await connect();
    } catch (error) {
      hint(REFUSALS[error.name] || error.message);
      stop();
    } finally {
      byId("use_camera").disabled = false;
    }
  }

  function stop() {
    connection?.close();
    connection = null;
    stream?.getTracks().forEach((track) => track.stop());
    stream = null;
    setText("delay", "");
    showPainting(false);
    showButton();
  }

  function keepAwake() {  // a phone that switches its screen off stops the camera
    navigator.wakeLock?.request("screen").catch(() => {});
  }

  // Camera and microphone can be exchanged later: both lines are offered from the start.
  async function connect() {
    const made = connection = new RTCPeerConnection();
    const options = { direction: "sendrecv", streams: [stream] };
    made.addTransceiver(video(), options);
    made.addTransceiver(microphone() || "audio", options);
    for (const { receiver } of made.getTransceivers()) receiver.jitterBufferTarget = 0;
    made.ontrack = (event) => { byId("painting").srcObject = event.streams[0]; };
    made.onconnectionstatechange = () => { if (made === connection) follow(made); };
    await made.setLocalDescription();
    await gathered(made);
    const answer = await request(`camera?browser=${VIEWER}`,
      { method: "POST", body: made.localDescription.sdp });
    if (!answer.ok) throw new Error(await answer.text());
    await made.setRemoteDescription({ type: "answer", sdp: await answer.text() });
    setTimeout(() => {
      if (made === connection && made.connectionState !== "connected") {
        hint("No connection: this device must reach the other one by UDP, in the same network.");
      }
    }, CONNECT_MS);
  }

  function gathered(made) {
    const done = new Promise((resolve) => {
      made.onicegatheringstatechange = () => {
        if (made.iceGatheringState === "complete") resolve();
      };
    });
    return made.iceGatheringState === "complete" ? null : Promise.race([done, sleep(GATHER_MS)]);
  }

  function follow(made) {
    if (made.connectionState === "connected") { hint(""); showPainting(true); return; }
    if (!["disconnected", "failed", "closed"].includes(made.connectionState)) return;
    hint("The connection was lost: trying again.");
    showPainting(false);
    reconnect(made);
  }

  async function reconnect(lost) {
    lost.close();
    while (stream && (connection === lost || connection === null)) {
      await sleep(RETRY_MS);
      if (!stream) return;
      try {
        await connect();
      } catch (error) {
        hint(`${error.message}; trying again.`);
        connection?.close();
        connection = null;
      }
    }
  }

  // Another camera or the microphone within the same connection.
  async function exchange() {
    if (!stream) return;
    stream.getTracks().forEach((track) => track.stop());  // phones open one camera at a time
    try {
      stream = await openCamera();
      showButton();
      const [camera, sound] = connection.getTransceivers();
      await camera.sender.replaceTrack(video());
      await sound.sender.replaceTrack(microphone());
    } catch (error) {
      hint(REFUSALS[error.name] || error.message);
      stop();
    }
  }

  // Sums and counts of the connection's statistics, and its round trip, in milliseconds.
  async function statistics() {
    const found = { trip: 0, sums: {}, counts: {} };
    (await connection.getStats()).forEach((each) => {
      const add = (name, sum, count) => {
        if (sum === undefined || !count) return;
        found.sums[name] = 1000 * sum;
        found.counts[name] = count;
      };
      if (each.type === "candidate-pair" && each.nominated && each.currentRoundTripTime) {
        found.trip = 1000 * each.currentRoundTripTime;
      } else if (each.kind === "video" && each.type === "outbound-rtp") {
        add("encode", each.totalEncodeTime, each.framesEncoded);
        add("send", each.totalPacketSendDelay, each.packetsSent);
      } else if (each.kind === "video" && each.type === "inbound-rtp") {
        if (each.totalProcessingDelay !== undefined) {  // from the first packet to the image
          add("receive", each.totalProcessingDelay, each.framesDecoded);
        } else {
          add("wait", each.jitterBufferDelay, each.jitterBufferEmittedCount);
          add("decode", each.totalDecodeTime, each.framesDecoded);
        }
      }
    });
    return found;
  }

  // The delay from camera to screen is the sum of what the last second has measured: encoding and
  // sending here, the round trip of the network, painting there, receiving and decoding here.
  async function showDelay() {
    if (connection?.connectionState !== "connected" || !server?.browser_camera) return;
    const now = await statistics(), before = last;
    last = now;
    if (!before) return;
    let delay = now.trip + (server.latency_ms || 0) + server.browser_camera.send_ms;
    for (const [name, sum] of Object.entries(now.sums)) {
      const count = now.counts[name] - (before.counts[name] || 0);
      if (count > 0) delay += (sum - (before.sums[name] || 0)) / count;
    }
    setText("delay", `delay ${Math.round(delay)} ms`);
  }

  async function showInvitation(address) {
    if (byId("invite").hidden === !address) return;
    byId("invite").hidden = !address;
    setText("address", address);
    if (address) await loadImage(byId("qr"), "qr.svg");
  }

  document.addEventListener("state", ({ detail: state }) => {
    server = state;
    wanted = state.browser_camera;
    if (!wanted) return;
    if (byId("camera").hidden) {
      byId("camera").hidden = false;
      document.body.classList.add("camera");
      byId("use_camera").disabled = missing() !== "";
      hint(missing());
    }
    showInvitation(stream ? "" : wanted.address).catch(() => {});
    const shown = byId("camera_hint").textContent;
    // A refusal says more, and stays.
    if (wanted.connected && !stream && !shown) hint("Another device's camera is in use.");
    else if (!wanted.connected && /^another/i.test(shown)) hint("");
  });
  byId("facing").onkeydown = (event) => event.stopPropagation();  // letters choose an option
  byId("use_camera").onclick = () => { if (stream) stop(); else start(); };
  for (const id of ["facing", "sound"]) {
    byId(id).onchange = () => { exchanged = exchanged.then(exchange); };
  }
  document.addEventListener("visibilitychange", () => {
    if (!document.hidden && stream) keepAwake();
  });
  byId("show_self").onchange = showButton;
  setInterval(() => showDelay().catch(() => {}), DELAY_MS);
})();
