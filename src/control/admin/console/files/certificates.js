// Certificates of sites and CAs of clients: what there is and when it ends, upload, replacement, removal.

import { call, list, pathOf } from "./api.js";
import { announce, button, dialog, field, h, link, page, readOnlyNote, table } from "./dom.js";
import { daysLeft, endText } from "./overview.js";
import { deleteButton, objectPage } from "./settings.js";

/** A box for PEM, and a file that fills it: the content stays in this page until it is sent. */
function pemBox(label, hint) {
  const text = h("textarea", { rows: 6, spellcheck: "false", autocomplete: "off", placeholder: "-----BEGIN …" });
  const file = h("input", { type: "file", accept: ".pem,.crt,.cer,.key,.txt" });
  file.addEventListener("change", async () => {
    if (file.files.length > 0) {
      text.value = await file.files[0].text();
    }
  });
  return { element: [field(label, text, hint), field(`${label}: from a file`, file)], value: () => text.value.trim() };
}

/** PEM ends with a line, whether or not the end of the last one was copied, too. */
function pem(box) {
  const text = box.value();
  return text === "" ? undefined : `${text}\n`;
}

function words(text) {
  const all = text.split(/[\s,]+/).filter(Boolean);
  return all.length > 0 ? all : undefined;
}

export function addCertificate(again) {
  const name = h("input", { required: true, autocomplete: "off" });
  const chain = pemBox("Certificate content", "PEM: the certificate of the site first, then those that issued it.");
  const key = pemBox("Private key", "PEM, not encrypted. It is written to a file that its owner alone can read, and never given out again.");
  const names = h("input", { autocomplete: "off" });
  const description = h("input", { autocomplete: "off" });
  dialog("Add server certificate", [
    field("Name", name), chain.element, key.element,
    field("SNI names (optional)", names, "Of its names, those by which clients get it. Empty: all of them."),
    field("Description (optional)", description),
  ], "Add", async () => {
    const settings = { name: name.value.trim(), chain_pem: pem(chain), key_pem: pem(key), names: words(names.value), description: description.value.trim() || undefined };
    const answer = await call("POST", "certificates", settings);
    announce(answer.message || `The certificate ${settings.name} is added.`);
    await again();
  });
}

export function addCa(again) {
  const name = h("input", { required: true, autocomplete: "off" });
  const bundle = pemBox("Certificate content", "PEM: one or more CA certificates.");
  const description = h("input", { autocomplete: "off" });
  dialog("Add CA certificate", [
    field("Name", name), bundle.element, field("Description (optional)", description), sha1Note(),
  ], "Add", async () => {
    const settings = { name: name.value.trim(), bundle_pem: pem(bundle), description: description.value.trim() || undefined };
    const answer = await call("POST", "cas", settings);
    announce(answer.message || `The CA ${settings.name} is added.`);
    await again();
  });
}

/** Older guides sign with -sha1. */
export function sha1Note() {
  return h("div", { class: "note" },
    h("p", {}, "Certificates of clients that are signed with SHA-1 are refused."),
    h("p", {}, "Two documents with the same SHA-1 can be made by whoever pays for some computing time, so such a signature does not prove that the CA "
      + "has signed this certificate and no other. Where a guide says openssl x509 … -sha1, write -sha256, and issue the certificates anew."));
}

function replace(kind, object, again) {
  const isCa = kind === "cas";
  const content = pemBox("Certificate content", isCa ? "PEM: one or more CA certificates." : "PEM: the certificate of the site first, then those that issued it.");
  const key = isCa ? null : pemBox("Private key", "PEM, not encrypted; without one, the new certificate must fit the key that is there.");
  dialog(`Replace ${object.name}`, [content.element, key?.element ?? null], "Replace", async () => {
    const settings = isCa ? { bundle_pem: pem(content) } : { chain_pem: pem(content), key_pem: pem(key) };
    const answer = await call("PATCH", pathOf(kind, object.name), settings, { "If-Match": object.etag });
    announce(answer.message || `${object.name} is replaced.`);
    await again();
  });
}

function replaceButton(kind, object, again) {
  return button("Replace", "write", () => replace(kind, object, again), { "aria-label": `Replace ${object.name}` });
}

function endOf(known) {
  if (!known) {
    return h("span", { class: "quiet" }, "not in service");
  }
  const days = daysLeft(known.not_after);
  const fault = known.broken ? h("div", { class: "bad" }, known.broken.errors.join("; ")) : null;
  return h("div", {}, h("span", { class: days < 7 ? "bad" : days < 30 ? "warn" : "" }, endText(known.not_after)), fault);
}

/** The page of one certificate or CA: what is in service of it, and what replaces it. */
async function ownPage(kind, name, again) {
  const [object, status] = await Promise.all([call("GET", pathOf(kind, name)), call("GET", "status")]);
  const known = status[kind].find((served) => served.name === name);
  const facts = kind === "cas"
    ? [["State", stateOfCa(known)], ["Revocation list ends", known?.next_update ?? "none"]]
    : [["Names for SNI", namesOf(known, object)], ["Ends", endOf(known)], ["Listeners", (known?.listeners ?? []).join(", ") || "none"]];
  return objectPage(kind, name, again, [
    h("dl", {}, facts.flatMap(([title, text]) => [h("dt", {}, title), h("dd", {}, text)])),
    h("div", { class: "actions" }, replaceButton(kind, object, again)),
  ]);
}

function namesOf(known, object) {
  return (known?.names ?? object.settings.names ?? []).join(", ");
}

function stateOfCa(known) {
  return known?.broken ? h("span", { class: "bad" }, known.broken.errors.join("; ")) : known ? "in service" : "not in service";
}

export async function certificates({ rest, again }) {
  if (rest.length > 0) {
    return ownPage("certificates", rest[0], again);
  }
  const [owned, authorities, status] = await Promise.all([list("certificates"), list("cas"), call("GET", "status")]);
  const served = new Map(status.certificates.map((certificate) => [certificate.name, certificate]));
  const certificateRows = owned.map((object) => {
    const known = served.get(object.name);
    return [
      link(object.name, "certificates", object.name), namesOf(known, object), endOf(known),
      (known?.listeners ?? []).join(", "),
      h("div", { class: "actions" }, replaceButton("certificates", object, again), deleteButton("certificates", object.name, again)),
    ];
  });
  const servedCas = new Map(status.cas.map((ca) => [ca.name, ca]));
  const caRows = authorities.map((object) => {
    const known = servedCas.get(object.name);
    return [
      link(object.name, "cas", object.name), object.settings.description ?? "",
      stateOfCa(known),
      known?.next_update ?? "none",
      h("div", { class: "actions" }, replaceButton("cas", object, again), deleteButton("cas", object.name, again)),
    ];
  });
  return page("Certificates", readOnlyNote(),
    h("div", { class: "actions" },
      button("Add server certificate", "write", () => addCertificate(again), { class: "main" }),
      button("Add CA certificate", "write", () => addCa(again))),
    h("h2", {}, "Server certificates"),
    table("", ["Name", "Names for SNI", "Ends", "Listeners", "Actions"], certificateRows),
    h("h2", {}, "CA certificates"),
    table("", ["Name", "Description", "State", "Revocation list ends", "Actions"], caRows),
    sha1Note());
}

export async function authorities({ rest, again }) {
  return rest.length > 0 ? ownPage("cas", rest[0], again) : certificates({ rest, again });
}
