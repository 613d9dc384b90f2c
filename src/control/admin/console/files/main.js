// The frame: who asks, which view is shown, and how a view gives way to the next.

import { hasToken, learnWhoAsks, me, setToken } from "./api.js";
import { announce, h, hashOf, page, problem } from "./dom.js";
import { authorities, certificates } from "./certificates.js";
import { groups } from "./groups.js";
import { audit, events } from "./history.js";
import { listeners } from "./listeners.js";
import { overview } from "./overview.js";
import { createRule, rules } from "./rules.js";
import { createObject, kindView } from "./settings.js";
import { wizard } from "./wizard.js";

/** Views by the first segment of the address, in the order of the navigation. */
const VIEWS = new Map([
  ["overview", { title: "Overview", show: overview }],
  ["listeners", { title: "Listeners", show: listeners }],
  ["rules", { title: "Rules", show: rules }],
  ["server-groups", { title: "Server groups", show: groups }],
  ["certificates", { title: "Certificates", show: certificates }],
  ["tls-policies", { title: "TLS policies", show: kindView("tls-policies") }],
  ["ip-groups", { title: "IP groups", show: kindView("ip-groups") }],
  ["error-pages", { title: "Error pages", show: kindView("error-pages") }],
  ["audit", { title: "Audit", show: audit }],
  ["events", { title: "Events", show: events }],
  // Reached from others.
  ["cas", { within: "certificates", show: authorities }],
  ["create-listener", { within: "listeners", show: wizard }],
  ["create-rule", { within: "rules", show: createRule }],
  ["create", { show: createObject }],
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
  navigation(view?.within ?? name);
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
  const main = document.getElementById("main");
  // What had the focus is about to go.
  const hadFocus = main.contains(document.activeElement);
  main.replaceChildren(content);
  document.title = `${heading?.textContent ?? "Console"} – Ringway`;
  if (takesFocus || hadFocus) {
    heading?.focus();
  }
}

async function learn() {
  const who = document.getElementById("who");
  document.getElementById("forget").hidden = !hasToken();
  try {
    await learnWhoAsks();
    const readOnly = { write: "", operate: " (the configuration is read-only)" }[me.role] ?? " (read-only)";
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
  } else {
    document.documentElement.dataset.scheme = scheme.value;
  }
  try {
    localStorage.setItem("ringway-scheme", scheme.value);
  } catch {
    // The browser keeps nothing: it is for this page.
  }
});

globalThis.addEventListener("hashchange", () => show(true));
await learn();
await show(false);
