// Listeners: what there is, quick creation, and what is done with one of them.

import { call, list, pathOf } from "./api.js";
import { announce, button, choice, dialog, field, h, hashOf, link, offer, page, readOnlyNote, select, showProblem, table } from "./dom.js";
import { classOf } from "./live.js";
import { HOST_HINT, POLICIES, addressOf, choices, dnsNote, dnsSentence, placeFaults } from "./offers.js";
import {
  LISTENER_KINDS, UPGRADE_HINT, endsTls, fittingGroups, kindOf, protocolSettings, spokenText, thingsOf, titleOf, upgradeChoices, upgradeOf, upgradeSettings, usualPort,
  withProtocols,
} from "./protocols.js";
import { deleteButton, nameFault, objectPage } from "./settings.js";

/** What is said where a list is empty, with the way to the view that fills it; `leave` closes the dialog. */
function missing(what, view, leave) {
  const place = view === "certificates" ? "Certificates" : "Server groups";
  return h("p", { class: "note" }, `There is no ${what} yet. `, h("a", { href: hashOf(view), onclick: leave }, `Add one in ${place}`), " first.");
}

async function quickCreate(again) {
  const offered = await choices();
  const kind = select(LISTENER_KINDS, "https");
  const port = h("input", { type: "number", min: 1, max: 65535, value: "443" });
  const host = h("input", { value: "0.0.0.0", autocomplete: "off" });
  const name = h("input", { autocomplete: "off", value: "https-443" });
  const certificate = select(offered.certificates, offered.certificates[0]);
  const policy = select(offered.policies, POLICIES[0]);
  const group = select([], "");
  const noGroup = h("div", {});
  const leave = () => box.close();
  const tls = h("div", {}, field("Server certificate", certificate),
    offered.certificates.length > 0 ? null : missing("server certificate", "certificates", leave), field("TLS policy", policy));
  let isNamed = false;
  name.addEventListener("input", () => {
    isNamed = true;
  });
  const rename = () => {
    if (!isNamed) {
      name.value = [protocolSettings(kind.value).protocol, port.value].filter(Boolean).join("-");
    }
  };
  const adapt = () => {
    tls.hidden = !endsTls(kind.value);
    const fitting = fittingGroups(offered.groups, kind.value);
    offer(group, fitting);
    noGroup.replaceChildren(fitting.length > 0 ? "" : missing(`server group for ${titleOf(kind.value)}`, "server-groups", leave));
  };
  adapt();
  kind.addEventListener("change", () => {
    adapt();
    port.value = usualPort(kind.value);
    rename();
  });
  port.addEventListener("input", rename);
  const box = dialog("Quick create listener", [
    field("Listener protocol", kind), field("Listener port", port), field("Listener address", host, HOST_HINT),
    field("Listener name", name), tls, field("Server group", group), noGroup,
  ], "Create", async () => {
    const settings = { name: name.value.trim(), address: addressOf(host.value, port.value), ...protocolSettings(kind.value), default_group: group.value };
    if (endsTls(kind.value)) {
      settings.certificates = [certificate.value].filter(Boolean);
      settings.tls_policy = policy.value;
    }
    const answer = await call("POST", "listeners", settings);
    announce(`${answer.message || "Created."} ${dnsSentence(settings.address)}`);
    await again();
  }, () => [
    ...placeFaults(host, port), nameFault("Listener name", name, offered.listeners),
    endsTls(kind.value) && !certificate.value ? { control: certificate, text: `Server certificate: ${titleOf(kind.value)} needs one.` } : null,
    group.value ? null : { control: group, text: `Server group: ${thingsOf(kind.value)} have to go to one.` },
  ].filter(Boolean));
}

function copy(object, again) {
  const name = h("input", { autocomplete: "off", value: `${object.name}-copy` });
  const address = h("input", { autocomplete: "off", value: "" });
  dialog(`Copy ${object.name}`, [field("Name of the copy", name), field("Address of the copy", address, "Address and port, such as 0.0.0.0:8443.")], "Copy", async () => {
    const answer = await call("POST", `${pathOf("listeners", object.name)}/copy`, { name: name.value.trim(), address: address.value.trim() });
    announce(answer.message || "Copied.");
    await again();
  });
}

function enableButton(object, again, wrong) {
  const isEnabled = object.settings.enabled !== false;
  const text = isEnabled ? "Disable" : "Enable";
  return button(text, "write", async () => {
    try {
      const answer = await call("PATCH", pathOf("listeners", object.name), { enabled: isEnabled ? false : null }, { "If-Match": object.etag });
      announce(answer.message || `${object.name}: ${isEnabled ? "disabled" : "enabled"}.`);
      await again();
    } catch (error) {
      showProblem(wrong, error);
    }
  }, { "aria-label": `${text} ${object.name}` });
}

/** Protection is set and taken away here; what it protects from is the API's. */
function protection(object, again) {
  const deletion = h("input", { type: "checkbox" });
  deletion.checked = object.settings.deletion_protection === true;
  const reason = h("input", { autocomplete: "off", value: object.settings.modification_protection ?? "" });
  return button("Protection", "write", () => dialog(`Protection of ${object.name}`, [
    choice("It cannot be deleted", deletion), field("It cannot be changed, because", reason, "Empty: it can."),
  ], "Save", async () => {
    const settings = { deletion_protection: deletion.checked || null, modification_protection: reason.value.trim() || null };
    await call("PATCH", `${pathOf("listeners", object.name)}?force=true`, settings, { "If-Match": object.etag });
    announce("The protection is saved.");
    await again();
  }));
}

/** Lets clients of a listener for HTTPS come by HTTP/3, or no more. */
async function quicUpgrade(object, again) {
  const { quicListeners } = await choices();
  const upgrade = select(upgradeChoices(quicListeners), upgradeOf(object.settings));
  dialog(`QUIC upgrade of ${object.name}`, [field("QUIC upgrade", upgrade, UPGRADE_HINT)], "Save", async () => {
    const answer = await call("PATCH", pathOf("listeners", object.name), upgradeSettings(upgrade.value, null), { "If-Match": object.etag });
    announce(answer.message || "The QUIC upgrade is saved.");
    await again();
  });
}

/** What is told of HTTP/3 on the page of a listener. */
function http3Note(state) {
  if (state?.quic_listener) {
    return h("p", {}, "HTTP/3: clients are told of the listener ", link(state.quic_listener, "listeners", state.quic_listener), ".");
  }
  if (state?.protocol === "quic") {
    return h("p", {}, "HTTP/3 alone, over UDP.");
  }
  return state?.http3 ? h("p", {}, "HTTP/3 at the same addresses, over UDP.") : null;
}

async function listenerPage(name, again) {
  const [known, status] = await Promise.all([call("GET", pathOf("listeners", name)), call("GET", "status")]);
  const [object] = withProtocols([known], status.listeners);
  const kind = kindOf(object.settings, object.protocol);
  const state = status.listeners.find((listener) => listener.name === name && !listener.leaving);
  const wrong = h("div", {});
  const upgrade = button("QUIC upgrade", "write", () => quicUpgrade(object, again).catch((error) => showProblem(wrong, error)));
  return objectPage("listeners", name, again, [
    wrong,
    h("div", { class: "actions" }, enableButton(object, again, wrong), button("Copy", "write", () => copy(object, again), { "aria-label": `Copy ${name}` }), protection(object, again),
      kind === "https" ? upgrade : null),
    http3Note(state),
    h("p", {}, kind === "udp" ? "A listener of UDP has no rules: its datagrams go to the default group." : link("Rules of this listener", "rules")),
    dnsNote(object.settings.address),
  ]);
}

export async function listeners({ rest, again }) {
  if (rest.length > 0) {
    return listenerPage(rest[0], again);
  }
  const [objects, status] = await Promise.all([list("listeners"), call("GET", "status")]);
  const wrong = h("div", {});
  const rows = withProtocols(objects, status.listeners).map((object) => {
    const state = status.listeners.find((listener) => listener.name === object.name && !listener.leaving);
    const word = state === undefined || state.disabled ? "disabled" : "serving";
    const tags = Object.entries(object.settings.tags ?? {}).map(([key, value]) => `${key}=${value}`);
    return [
      link(object.name, "listeners", object.name), kindOf(object.settings, object.protocol) === "passthrough" ? "tls, passed through" : spokenText(state ?? object), [state?.addresses ?? object.settings.address].flat().join(", "),
      h("span", { class: classOf(word) }, word), object.settings.default_group ?? "", [object.settings.description, ...tags].filter(Boolean).join("; "),
      h("div", { class: "actions" }, enableButton(object, again, wrong),
        button("Copy", "write", () => copy(object, again), { "aria-label": `Copy ${object.name}` }), deleteButton("listeners", object.name, again)),
    ];
  });
  return page("Listeners", readOnlyNote(), wrong,
    h("div", { class: "actions" },
      button("Create listener", "write", () => {
        location.hash = hashOf("create-listener");
      }, { class: "main" }),
      button("Quick create", "write", () => quickCreate(again).catch((error) => showProblem(wrong, error)))),
    table("", ["Name", "Protocol", "Addresses", "State", "Server group", "Description and tags", "Actions"], rows));
}
