// The picture alone, on the whole screen.
"use strict";

function toggleFullscreen() {
  const done = document.fullscreenElement
    ? document.exitFullscreen() : byId("frame").requestFullscreen();
  done.catch(() => showMessage("the browser does not allow fullscreen here"));
}

if (document.fullscreenEnabled) {
  byId("fullscreen").hidden = false;
  byId("fullscreen").onclick = toggleFullscreen;
  for (const id of ["image", "painting"]) byId(id).ondblclick = toggleFullscreen;
  addShortcut(["e"], "fullscreen, and back", toggleFullscreen);
}
