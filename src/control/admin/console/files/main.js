// The frame: who asks, which view is shown, and how a view gives way to the next.

import { hasToken, learnWhoAsks, me, setToken } from "./api.js";
import { announce, h, hashOf, page, problem } from "./dom.js";
import { overview } from "./overview.js";

/** Views by the first segment of the address, in the order of the navigation. */
const VIEWS = new Map([
  ["overview", { title: "Overview", show: overview }],
]);

let current = new AbortController();

function segments() {
  const parts = location.hash.replace(/^#\/?/, "").split("/").filter(Boolean);
  try {
    return parts.map(decodeURIComponent);
  } catch {
    return [];
  }
}

function navigation(chosen) {
  const items = [...VIEWS].filter(([, view]) => view.title).map(([name, { title }]) => h("li", {},
    h("a", { href: hashOf(name), "aria-current": name === chosen ? "page" : null }, title)));
  document.getElementById("views").replaceChildren(...items);
}

/** Shows the view of the address. What went before asks for nothing more. */
async function show(takesFocus) {
  current.abort();
  current = new AbortController();
  const { signal } = current;
  const [name = "overview", ...rest] = segments();
  const view = VIEWS.get(name);
  navigation(name);
  let content;
  try {
    content = view === undefined
      ? page("Nothing is here", h("p", {}, "The console has no such view."))
      : await view.show({ signal, rest, again: () => show(false) });
  } catch (error) {
    content = page(view.title ?? name, problem(error));
  }
  if (signal.aborted) {
    return;
  }
  const heading = content.querySelector("h1");
  document.getElementById("main").replaceChildren(content);
  document.title = `${heading?.textContent ?? "Console"} – Ringway`;
  if (takesFocus) {
    heading?.focus();
  }
}

async function learn() {
  const who = document.getElementById("who");
  document.getElementById("forget").hidden = !hasToken();
  try {
    await learnWhoAsks();
    const readOnly = me.role === "write" ? "" : " (read-only)";
    who.textContent = `${me.actor}: role ${me.role}${readOnly}`;
    who.className = "who";
  } catch (error) {
    who.textContent = error.status === 401 ? "This token is not known, or one is needed" : error.message;
    who.className = "who bad";
  }
}

document.getElementById("token-form").addEventListener("submit", async (event) => {
  event.preventDefault();
  const input = document.getElementById("token");
  setToken(input.value);
  input.value = "";
  await learn();
  announce(document.getElementById("who").textContent);
  await show(false);
});

document.getElementById("forget").addEventListener("click", async () => {
  setToken("");
  await learn();
  document.getElementById("token").focus();
  await show(false);
});

document.getElementById("skip").addEventListener("click", (event) => {
  event.preventDefault();
  document.getElementById("main").focus();
});

const scheme = document.getElementById("scheme");
scheme.value = document.documentElement.dataset.scheme ?? "auto";
scheme.addEventListener("change", () => {
  if (scheme.value === "auto") {
    delete document.documentElement.dataset.scheme;
    localStorage.removeItem("ringway-scheme");
  } else {
    document.documentElement.dataset.scheme = scheme.value;
    localStorage.setItem("ringway-scheme", scheme.value);
  }
});

globalThis.addEventListener("hashchange", () => show(true));
await learn();
await show(false);
