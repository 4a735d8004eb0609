// Requests to the server.

const TOKEN_KEY = "vidstyle-studio-token";
export const SILENT = "vidstyle studio does not answer: is it still running?";

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

// The URL of something that an element loads, which cannot send a header.
export function linkTo(path, query = {}) {
  const all = new URLSearchParams(query);
  if (token) all.set("token", token);
  return all.size ? `api/${path}?${all}` : `api/${path}`;
}

async function request(path, options = {}) {
  const headers = { ...options.headers };
  if (token) headers["X-Vidstyle-Token"] = token;
  let answer;
  try {
    answer = await fetch(`api/${path}`, { cache: "no-store", ...options, headers });
  } catch (error) {
    throw error.name === "AbortError" ? error : new Error(SILENT);
  }
  if (!answer.ok) throw new Error(await answer.text() || `error ${answer.status}`);
  return answer;
}

export async function get(path, options) {
  return (await request(path, options)).json();
}

export async function getImage(path, options) {
  return (await request(path, options)).blob();
}

const asJson = (body, signal) => ({
  method: "POST", body: JSON.stringify(body), signal,
  headers: { "Content-Type": "application/json" },
});

export async function post(path, body = {}, signal = undefined) {
  const answer = await request(path, asJson(body, signal));
  return answer.status === 204 ? null : answer.json();
}

export const remove = (path) => request(path, { method: "DELETE" });

// Send a file; `fetch` does not tell how much of it was sent.
export function upload(path, file, onProgress, signal, query = {}) {
  return new Promise((resolve, reject) => {
    const sending = new XMLHttpRequest();
    sending.open("POST", `api/${path}?${new URLSearchParams({ name: file.name, ...query })}`);
    if (token) sending.setRequestHeader("X-Vidstyle-Token", token);
    sending.upload.onprogress = (event) => onProgress(event.loaded / (event.total || 1));
    sending.onload = () => {
      if (sending.status === 201) resolve(JSON.parse(sending.responseText));
      else reject(new Error(sending.responseText || `error ${sending.status}`));
    };
    sending.onerror = () => reject(new Error(`${file.name} could not be sent: ${SILENT}`));
    sending.onabort = () => reject(new DOMException("cancelled", "AbortError"));
    signal.addEventListener("abort", () => sending.abort());
    sending.send(file);
  });
}

// Post `body` and call `onEvent` with each event of the answer, a stream.
export async function stream(path, body, onEvent, signal) {
  const answer = await request(path, asJson(body, signal));
  const reader = answer.body.pipeThrough(new TextDecoderStream()).getReader();
  let text = "";
  for (;;) {
    const { value, done } = await reader.read();
    if (done) return;
    const parts = (text + value.replaceAll("\r", "")).split("\n\n");
    text = parts.pop();
    for (const part of parts) {
      const lines = part.split("\n").filter((line) => line.startsWith("data:"));
      if (lines.length) onEvent(JSON.parse(lines.map((line) => line.slice(5)).join("\n")));
    }
  }
}
