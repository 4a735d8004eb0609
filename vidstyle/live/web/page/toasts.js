// Messages over the picture, where no controls are: notes for a while, errors until closed.
"use strict";

const NOTE_MS = 8000;  // duration of a note
const MAX_TOASTS = 3;

function showMessage(text, error = true) {
  const list = document.getElementById("toasts");
  const same = [...list.children].find((each) => each.firstChild.textContent === text);
  if (same) same.remove();
  if (list.children.length >= MAX_TOASTS) {
    (list.querySelector(".toast:not(.error)") || list.firstChild).remove();
  }
  const toast = document.createElement("div"), words = document.createElement("span");
  const close = document.createElement("button");
  toast.className = error ? "toast error" : "toast";
  words.textContent = text;
  close.textContent = "×";
  close.title = "close this message";
  close.setAttribute("aria-label", "close this message");
  close.onclick = () => toast.remove();
  toast.append(words, close);
  list.append(toast);
  if (!error) setTimeout(() => toast.remove(), NOTE_MS);
}
