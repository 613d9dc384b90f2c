// Server groups and their backends: health with its reason, weights, drains, what is added and removed, and the health check.

import { call, list, may, pathOf } from "./api.js";
import { announce, button, dialog, field, h, hashOf, link, page, readOnlyNote, select, showProblem, table } from "./dom.js";
import { groupForm } from "./group_form.js";
import { healthForm } from "./health.js";
import { availabilityText, backendText, bytesText, classOf, durationText, follow, rateText } from "./live.js";
import { isUnderMaintenance, maintenanceButton } from "./maintenance.js";
import { isHttp, thingsOf } from "./protocols.js";
import { KINDS, deleteButton, editor } from "./settings.js";

let paths = null;

/** Whether this version of the API has a path. */
async function has(path) {
  if (paths === null) {
    const document = await call("GET", "openapi.json");
    paths = new Set(Object.keys(document.paths ?? {}));
  }
  return [...paths].some((known) => known.endsWith(path));
}

function create(again) {
  const form = groupForm();
  dialog("Create server group", form.element, "Create", async () => {
    const answer = await call("POST", "server-groups", form.settings());
    announce(answer.message || "The server group is created.");
    await again();
  });
}

function addBackend(group, again) {
  const address = h("input", { autocomplete: "off" });
  const weight = h("input", { type: "number", min: 0, max: 100, value: "100" });
  dialog("Add backend", [
    field("Address", address, "Such as 10.0.0.1:8080, [2001:db8::1]:8080, app.example:8080 or unix:/run/app.sock."), field("Weight", weight),
  ], "Add", async () => {
    const answer = await call("POST", `${pathOf("server-groups", group)}/backends`, { address: address.value.trim(), weight: Number(weight.value) });
    announce(answer.message || "The backend is added.");
    await again();
  });
}

async function setWeight(group, things, backend, again) {
  const weight = h("input", { type: "number", min: 0, max: 100, value: String(backend.settings.weight ?? 100) });
  const forAWhile = [["runtime", "For a while, without the configuration"], ["null", "As configured, instead of for a while"]];
  const how = select([["file", "In the configuration"], ...(await has("/server-groups/{group}/backends/{address}/weight") ? forAWhile : [])].slice(may("write") ? 0 : 1));
  const path = pathOf("server-groups", group, "backends", backend.name);
  dialog(`Weight of ${backend.name}`, [field("Weight", weight, `0 to 100. 0: no new ${things}.`), field("Where", how)], "Set", async () => {
    if (how.value === "file") {
      await call("PATCH", path, { weight: Number(weight.value) }, { "If-Match": backend.etag });
    } else {
      await call("POST", `${path}/weight`, { weight: how.value === "null" ? null : Number(weight.value) });
    }
    announce(`The weight of ${backend.name} is ${how.value === "null" ? "as configured" : weight.value}.`);
    await again();
  });
}

/** What is done for a while, without the file: where the API can. */
async function drainButton(group, things, { backend, state }, again, wrong) {
  if (!await has("/server-groups/{group}/backends/{address}/drain")) {
    return null;
  }
  const isDrained = state?.runtime?.drain === true;
  const text = isDrained ? "Undrain" : "Drain";
  return button(text, "operate", async () => {
    try {
      await call("POST", `${pathOf("server-groups", group, "backends", backend.name)}/drain`, { drain: !isDrained });
      announce(`${backend.name}: ${isDrained ? `gets ${things} again` : `gets no new ${things}`}.`);
      await again();
    } catch (error) {
      showProblem(wrong, error);
    }
  }, { "aria-label": `${text} ${backend.name}` });
}

async function enable(group, backend, again, wrong) {
  try {
    await call("PATCH", pathOf("server-groups", group, "backends", backend.name), { enabled: backend.settings.enabled === false ? null : false });
    await again();
  } catch (error) {
    showProblem(wrong, error);
  }
}

/** What becomes of what a backend has when it is taken out of service. */
function afterwards({ settings }, protocol) {
  if (isHttp(protocol)) {
    return "Requests that it has go on until they end.";
  }
  const things = thingsOf(protocol);
  return settings.on_drain === "reset" ? `The ${things} that it has end at once (on_drain).` : `The ${things} that it has go on for the drain_timeout of the group.`;
}

async function backendRow({ object, protocol }, { backend, state }, again, wrong) {
  const [group, things] = [object.name, thingsOf(protocol)];
  const isEnabled = backend.settings.enabled !== false;
  const remove = button("Remove", "write", () => dialog(`Remove ${backend.name}?`, h("p", {}, afterwards(object, protocol)), "Remove", async () => {
    await call("DELETE", pathOf("server-groups", group, "backends", backend.name));
    announce(`${backend.name} is removed.`);
    await again();
  }), { "aria-label": `Remove ${backend.name}` });
  const live = { state: h("td", {}), weight: h("td", { class: "number" }), inFlight: h("td", { class: "number" }), rate: h("td", { class: "number" }) };
  const actions = h("div", { class: "actions" },
    button("Weight", "operate", () => setWeight(group, things, backend, again).catch((error) => showProblem(wrong, error)), { "aria-label": `Weight of ${backend.name}` }),
    await drainButton(group, things, { backend, state }, again, wrong),
    button(isEnabled ? "Disable" : "Enable", "write", () => enable(group, backend, again, wrong), { "aria-label": `${isEnabled ? "Disable" : "Enable"} ${backend.name}` }),
    remove);
  const row = h("tr", {}, h("td", {}, backend.name), live.state, live.weight,
    live.inFlight, live.rate, h("td", {}, actions));
  return { row, live };
}

/** The weight that holds, or will when a drain ends: while it lasts, the state says so and this is not 0. */
function weightText(state, settings) {
  const forAWhile = state?.runtime?.weight ?? null;
  if (forAWhile !== null) {
    return `${forAWhile} for a while`;
  }
  return String(state?.runtime?.configured_weight ?? state?.weight ?? settings.weight ?? 100);
}

function setText(cell, text) {
  if (cell.textContent !== text) {
    cell.textContent = text;
  }
}

/** An address in its shortest form: of IPv6 there are many. */
function shortest(address) {
  if (address.startsWith("unix:")) {
    return address;
  }
  try {
    return new URL(`backend://${address}`).host;
  } catch {
    // As with the number of an interface.
    return address;
  }
}

/** What the status tells of a backend, which the configuration may spell otherwise: several where its name has several addresses. */
function statesOf(group, written) {
  const wanted = shortest(written);
  // Relative to the folder of a file that the console does not know.
  const path = /^unix:(?:\.\/)?([^/].*)$/.exec(written)?.[1];
  return (group?.backends ?? []).filter(({ address, name }) => [address, name].some((told) => told && shortest(told) === wanted)
    || (path !== undefined && address.startsWith("unix:/") && address.endsWith(`/${path}`)));
}

/** The state of a backend, or those of its addresses. */
function statesText(states, protocol) {
  const texts = states.map((state) => backendText(state, protocol));
  const several = [...new Set(texts)].map((text) => [text, texts.filter((other) => other === text).length]);
  return texts.length < 2 ? backendText(states[0], protocol) : several.map(([text, count]) => `${text} (${count})`).join(", ");
}

async function groupPage(name, { signal, again }) {
  const path = pathOf("server-groups", name);
  const [object, backends, status] = await Promise.all([call("GET", path), list(`${path}/backends`), call("GET", "status")]);
  const check = await call("GET", `${path}/health-check`).catch(() => null);
  const now = (document) => document.groups.find((group) => group.name === name);
  const wrong = h("div", {});
  const protocol = now(status)?.protocol ?? "http";
  const things = thingsOf(protocol);
  const perSecond = `${things[0].toUpperCase()}${things.slice(1)}`;
  const rowOf = (backend) => backendRow({ object, protocol }, { backend, state: statesOf(now(status), backend.name)[0] }, again, wrong);
  const rows = await Promise.all(backends.map(async (backend) => [backend, await rowOf(backend)]));
  const facts = h("dl", {});
  const show = (document, window) => {
    const group = now(document);
    facts.replaceChildren(...[
      ["State", `${availabilityText(group?.availability, protocol)}${isUnderMaintenance(document, "server_group", name) ? ", and maintenance is on" : ""}`], ["Protocol", protocol], ["Algorithm", group?.algorithm ?? ""], ["In flight", String(group?.in_flight ?? 0)],
      [perSecond, rateText(window.rate(`group ${name}`))],
      ["In, out", `${bytesText(window.rate(`group ${name}`, "received"))}, ${bytesText(window.rate(`group ${name}`, "sent"))}`],
      ["p50, p99", `${durationText(window.quantile(`group ${name}`, 0.5))}, ${durationText(window.quantile(`group ${name}`, 0.99))}`],
    ].flatMap(([title, text]) => [h("dt", {}, title), h("dd", {}, text)]));
    for (const [backend, { live }] of rows) {
      const states = statesOf(group, backend.name);
      const rates = states.map(({ address }) => window.rate(`backend ${name} ${address}`)).filter((rate) => rate !== null);
      setText(live.state, statesText(states, protocol));
      setText(live.weight, weightText(states[0], backend.settings));
      live.state.className = classOf((states.find((state) => !state.available) ?? states[0])?.state);
      setText(live.inFlight, String(states.reduce((sum, state) => sum + state.in_flight, 0)));
      setText(live.rate, rateText(rates.length === 0 ? null : rates.reduce((sum, rate) => sum + rate, 0)));
    }
  };
  follow(signal, show, (error) => showProblem(wrong, error));
  const save = (settings, isDryRun) => call("PUT", `${path}${isDryRun ? "?dry_run=true" : ""}`, settings, { "If-Match": object.etag });
  const head = ["Backend", "State", "Weight", "In flight", perSecond, "Actions"].map((title) => h("th", { scope: "col" }, title));
  const probed = check === null ? `None: backends count as healthy until ${things} fail.` : Object.keys(check.settings).length === 0 ? "As usual: each key has its default." : JSON.stringify(check.settings);
  return page(`${KINDS["server-groups"].one} ${name}`, readOnlyNote(), wrong,
    object.settings.description ? h("p", {}, object.settings.description) : null, facts,
    isHttp(protocol) ? h("div", { class: "actions" }, maintenanceButton(status, "server_group", name, again, wrong)) : null,
    h("h2", {}, "Backends"),
    h("div", { class: "actions" }, button("Add backend", "write", () => addBackend(name, again), { class: "main" })),
    h("div", { class: "scroll" }, h("table", {}, h("thead", {}, h("tr", {}, head)), h("tbody", {}, rows.map(([, { row }]) => row)))),
    h("h2", {}, "Health check"), h("p", {}, probed),
    h("div", { class: "actions" }, button("Edit health check", "write", () => healthForm(name, protocol, check, again)),
      check !== null && may("write") ? button("Remove health check", "write", async () => {
        try {
          await call("DELETE", `${path}/health-check`);
          await again();
        } catch (error) {
          showProblem(wrong, error);
        }
      }) : null),
    h("h2", {}, "Settings"), h("p", {}, "Place: ", h("code", {}, object.place)),
    editor(object.settings, "Save", save, async (answer) => {
      announce(answer.message || "Saved.");
      await again();
    }),
    h("div", { class: "actions" }, deleteButton("server-groups", name, async () => {
      location.hash = hashOf("server-groups");
    })));
}

export async function groups(view) {
  if (view.rest.length > 0) {
    return groupPage(view.rest[0], view);
  }
  const [objects, status] = await Promise.all([list("server-groups"), call("GET", "status")]);
  const rows = objects.map((object) => {
    const state = status.groups.find((group) => group.name === object.name);
    const available = state?.backends.filter((backend) => backend.available).length ?? 0;
    return [
      link(object.name, "server-groups", object.name), state?.protocol ?? object.settings.protocol ?? "http",
      h("span", { class: classOf(state?.availability) }, availabilityText(state?.availability, state?.protocol)), `${available} of ${state?.backends.length ?? 0}`,
      object.settings.description ?? "", deleteButton("server-groups", object.name, view.again),
    ];
  });
  return page("Server groups", readOnlyNote(),
    h("div", { class: "actions" }, button("Create server group", "write", () => create(view.again), { class: "main" })),
    table("", ["Name", "Protocol", "State", "Available backends", "Description", "Actions"], rows));
}
