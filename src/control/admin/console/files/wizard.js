// Create listener in steps: the listener, its certificate where it needs one, the server group, and a review of what will be written.

import { call } from "./api.js";
import { announce, button, changed, choice, field, h, hashOf, offer, page, problem, readOnlyNote, select, setHint, showFaults, waiting } from "./dom.js";
import { groupForm } from "./group_form.js";
import { HOST_HINT, POLICIES, addressOf, choices, dnsNote, dnsSentence, placeFaults } from "./offers.js";
import {
  LISTENER_KINDS, UPGRADE_HINT, endsTls, fittingGroups, isHttp, protocolSettings, titleOf, upgradeChoices, upgradeSettings, usualPort,
} from "./protocols.js";
import { addCa, addCertificate, sha1Note } from "./certificates.js";
import { nameFault, summary } from "./settings.js";

const STEPS = ["Configure listener", "Configure certificate", "Select server group", "Review"];

/** Headers that carry what is known of the client's certificate; each can have another name. */
const CERTIFICATE_HEADERS = [
  ["clientcert_subjectdn", "X-Forwarded-Clientcert-subjectdn"], ["clientcert_issuerdn", "X-Forwarded-Clientcert-issuerdn"],
  ["clientcert_fingerprint", "X-Forwarded-Clientcert-fingerprint"], ["clientcert_clientverify", "X-Forwarded-Clientcert-clientverify"],
  ["clientcert_serialnumber", "X-Forwarded-Clientcert-serialnumber"], ["clientcert", "X-Forwarded-Clientcert"],
];

const HEADERS = [
  ["slb_id", "SLB-ID", false], ["x_forwarded_proto", "X-Forwarded-Proto", true], ["x_forwarded_port", "X-Forwarded-Port", false],
  ["x_forwarded_host", "X-Forwarded-Host", false], ["x_forwarded_client_srcport", "X-Forwarded-Client-srcport", false], ["x_real_ip", "X-Real-IP", false],
];

function tick(isChecked = false) {
  const box = h("input", { type: "checkbox" });
  box.checked = isChecked;
  return box;
}

/** Lines such as `team = edge`. */
function tagsOf(text) {
  const pairs = text.split("\n").map((line) => line.split("=").map((part) => part.trim())).filter(([key]) => key);
  return pairs.length > 0 ? Object.fromEntries(pairs.map(([key, value]) => [key, value ?? ""])) : undefined;
}

function words(text) {
  return text.split(/[\s,;]+/).filter(Boolean);
}

/** The step in which what was refused is to be put right; null where the refusal does not tell. */
function stepOf(error) {
  const fault = error.problem?.errors?.[0];
  if (fault === undefined) {
    return null;
  }
  if ((fault.object ?? "").startsWith("server-groups/") || fault.key === "default_group") {
    return 2;
  }
  return /^(certificates|tls_policy|client_auth)/.test(fault.key ?? "") ? 1 : 0;
}

/** Advanced settings of listeners for HTTP. */
function httpForm() {
  const http2 = select([["", "As usual for the protocol"], ["true", "On"], ["false", "Off"]], "");
  const compression = tick();
  const trusted = h("textarea", { rows: 2, placeholder: "10.0.0.0/8" });
  const forwardedFor = select([["append", "Add"], ["remove", "Remove"], ["preserve", "Leave as it is"]], "append");
  const headers = HEADERS.map(([key, title, isUsual]) => ({ key, title, isUsual, box: tick(isUsual) }));
  const http2Field = field("HTTP/2", http2);
  const own = CERTIFICATE_HEADERS.map(([key, title]) => ({ key, title, box: tick(), name: h("input", { "aria-label": `Name of ${title}`, placeholder: title, autocomplete: "off" }) }));
  const element = h("div", {},
    h("p", { class: "hint" }, "How long a backend may take to answer (then 504) is the response_timeout of the server group."),
    http2Field, choice("Compression", compression),
    field("Trusted proxies", trusted, "Retrieve client IP: networks whose X-Forwarded-For is believed, such as 10.0.0.0/8. 0.0.0.0/0 believes everybody."),
    h("fieldset", {}, h("legend", {}, "Headers for backends"), field("X-Forwarded-For", forwardedFor), headers.map(({ title, box }) => choice(title, box))),
    h("fieldset", {}, h("legend", {}, "Client certificate information"),
      h("p", { class: "hint" }, "Ticked headers are sent to backends, by the name beside it if there is one: small letters, digits, _ and -."),
      own.map(({ title, box, name: box2 }) => h("div", { class: "columns-2" }, choice(title, box), box2))));
  const forwarded = () => {
    const wanted = {};
    if (forwardedFor.value !== "append") {
      wanted.x_forwarded_for = forwardedFor.value;
    }
    for (const { key, isUsual, box } of headers.filter((header) => header.box.checked !== header.isUsual)) {
      wanted[key] = isUsual ? false : box.checked;
    }
    for (const { key, name: box2 } of own.filter((header) => header.box.checked)) {
      wanted[key] = box2.value.trim() || true;
    }
    return Object.keys(wanted).length > 0 ? wanted : undefined;
  };
  const adapt = (kind) => {
    http2Field.hidden = kind === "quic";
  };
  const settings = (kind) => ({
    http2: http2.value === "" || kind === "quic" ? undefined : http2.value === "true",
    compression: compression.checked || undefined,
    trusted_proxies: words(trusted.value).length > 0 ? words(trusted.value) : undefined, forwarded: forwarded(),
  });
  return { element, adapt, settings };
}

const IDLE = {
  http: ["15s", "How long a connection may wait for the next request. Default: 15s"],
  stream: ["900s", "How long neither side may say anything; then both are closed. 10s to 4000s. Default: 900s"],
  udp: ["60s", "How long both sides may be silent; then the session is over. 1s to 4000s. Default: 60s"],
};

/** Advanced settings of all listeners, some of them of one protocol alone. */
function connectionForm() {
  const idle = h("input", { autocomplete: "off" });
  const header = select([["", "None is expected"], ["accept", "One has to come first"]], "");
  const alpn = h("input", { autocomplete: "off", placeholder: "imap" });
  const requests = h("input", { type: "number", min: 0, max: 1000000 });
  const responses = h("input", { type: "number", min: 0, max: 1000000 });
  const idleField = field("Idle timeout", idle, IDLE.http[1]);
  const headerField = field("PROXY protocol header of clients", header,
    "Whoever can connect then decides which address it has: let only the proxies in front reach the port.");
  const alpnField = field("Protocols by ALPN", alpn, "Those that clients can agree on, the most wanted first. Empty: none is spoken of.");
  const ofUdp = h("div", {},
    field("Datagrams of a client in a session", requests, "The next one begins another session. Empty or 0: all that come."),
    field("Answers to each of them", responses,
      "When all have come, the session is over; 0: nothing is ever answered, as with syslog. Empty: it is over after the idle timeout. A question with its answer, such as DNS, has 1 and 1."));
  const element = h("div", {}, idleField, headerField, alpnField, ofUdp);
  const number = (box) => (box.value === "" ? undefined : Number(box.value));
  /** Leaves what is of use to such a listener. */
  const adapt = (kind) => {
    const [usual, hint] = IDLE[isHttp(kind) ? "http" : kind] ?? IDLE.stream;
    idle.placeholder = usual;
    setHint(idle, hint);
    headerField.hidden = kind === "udp" || kind === "quic";
    alpnField.hidden = kind !== "tls";
    ofUdp.hidden = kind !== "udp";
  };
  const settings = (kind) => ({
    idle_timeout: idle.value.trim() || undefined,
    proxy_protocol: kind === "udp" || kind === "quic" ? undefined : header.value || undefined,
    alpn: kind === "tls" && words(alpn.value).length > 0 ? words(alpn.value) : undefined,
    ...(kind === "udp" ? { requests: number(requests), responses: number(responses) } : {}),
  });
  return { element, adapt, settings };
}

/** `changedKind` is called when another protocol is chosen. */
function listenerStep(offered, changedKind) {
  const kind = select(LISTENER_KINDS, "https");
  const port = h("input", { type: "number", min: 1, max: 65535, value: "443" });
  const host = h("input", { value: "0.0.0.0", autocomplete: "off" });
  const name = h("input", { autocomplete: "off" });
  const description = h("input", { autocomplete: "off" });
  const tags = h("textarea", { rows: 2, placeholder: "team = edge" });
  const [connection, http] = [connectionForm(), httpForm()];
  const upgrade = select(upgradeChoices(offered.quicListeners), "off");
  const upgradeField = field("QUIC upgrade", upgrade, UPGRADE_HINT);
  const adapt = () => {
    upgradeField.hidden = kind.value !== "https";
    http.element.hidden = !isHttp(kind.value);
    http.adapt(kind.value);
    connection.adapt(kind.value);
  };
  adapt();
  kind.addEventListener("change", () => {
    adapt();
    port.value = usualPort(kind.value);
    changedKind();
  });
  const element = h("div", {},
    field("Listener protocol", kind), field("Listener port", port, "1 to 65535. Usual are 80 for HTTP and 443 for HTTPS, QUIC and TLS."),
    field("Listener address", host, HOST_HINT), upgradeField, field("Listener name", name), field("Description (optional)", description),
    field("Tags (optional)", tags, "One a line: key = value."),
    h("details", {}, h("summary", {}, "Advanced settings"), connection.element, http.element));
  const settings = () => ({
    name: name.value.trim(), address: addressOf(host.value, port.value), ...protocolSettings(kind.value),
    description: description.value.trim() || undefined, tags: tagsOf(tags.value),
    ...connection.settings(kind.value), ...(isHttp(kind.value) ? http.settings(kind.value) : {}),
    ...(kind.value === "https" ? upgradeSettings(upgrade.value) : {}),
  });
  const faults = () => {
    const wrongTag = tags.value.split("\n").find((line) => line.trim() && !/^\s*[^\s=]+\s*=/.test(line));
    return [
      ...placeFaults(host, port), nameFault("Listener name", name, offered.listeners),
      wrongTag === undefined ? null : { control: tags, text: `Tags: ${wrongTag.trim()} is not key = value; write it as team = edge.` },
    ].filter(Boolean);
  };
  return { element, settings, faults, kind: () => kind.value };
}

/** `again` makes the step anew once something was added; `isMutual`: with mutual authentication chosen. */
function certificateStep(offered, again, isMutual = false) {
  const main = select(offered.certificates, offered.certificates[0]);
  const more = offered.certificates.map((name) => ({ name, box: tick() }));
  const one = h("input", { type: "radio", name: "authentication" });
  const mutual = h("input", { type: "radio", name: "authentication" });
  (isMutual ? mutual : one).checked = true;
  const cas = offered.cas.map((name) => ({ name, box: tick() }));
  const mode = select([["require", "Required"], ["optional", "Asked for, not required"]], "require");
  const policy = select(offered.policies, POLICIES[0]);
  const authentication = h("div", { hidden: true },
    h("fieldset", {}, h("legend", {}, "CA certificates"),
      cas.length > 0 ? cas.map(({ name, box }) => choice(name, box)) : h("p", {}, "There is none yet. ", button("Add CA certificate", "write", () => addCa(() => again(true))))),
    field("Certificate of the client", mode), sha1Note());
  const show = () => {
    authentication.hidden = !mutual.checked;
  };
  show();
  one.addEventListener("change", show);
  mutual.addEventListener("change", show);
  const tls = h("div", {},
    offered.certificates.length > 0
      ? field("Server certificate", main, "For clients that ask for no name, or for one that no certificate has.")
      : h("p", { class: "note" }, "There is no server certificate yet. ", button("Add server certificate", "write", () => addCertificate(() => again(mutual.checked)))),
    more.length > 1 ? h("fieldset", {}, h("legend", {}, "Further certificates, chosen by SNI"), more.map(({ name, box }) => choice(name, box))) : null,
    h("fieldset", {}, h("legend", {}, "SSL authentication"), choice("One-way authentication", one), choice("Mutual authentication", mutual), authentication),
    field("TLS policy", policy));
  const settings = () => {
    const further = more.filter(({ name, box }) => box.checked && name !== main.value).map(({ name }) => name);
    const wanted = { certificates: [main.value, ...further].filter(Boolean), tls_policy: policy.value };
    if (mutual.checked) {
      wanted.client_auth = { mode: mode.value, ca: cas.filter(({ box }) => box.checked).map(({ name }) => name) };
    }
    return wanted;
  };
  const faults = (kind) => [
    main.value ? null : { control: tls.querySelector("button"), text: `Server certificate: ${titleOf(kind)} needs one.` },
    mutual.checked && !cas.some(({ box }) => box.checked)
      ? { control: cas[0]?.box ?? authentication.querySelector("button"), text: "CA certificates: mutual authentication needs one or more." } : null,
  ].filter(Boolean);
  return { element: tls, settings, faults };
}

function groupStep(offered) {
  const existing = select([], "");
  const use = h("input", { type: "radio", name: "group" });
  const make = h("input", { type: "radio", name: "group" });
  const form = groupForm();
  const about = h("p", { class: "hint" });
  const chosen = h("div", {}, field("Server group", existing), about);
  const fresh = h("div", {}, form.element);
  const show = () => {
    chosen.hidden = !use.checked;
    fresh.hidden = !make.checked;
    const group = offered.groups.find(({ name }) => name === existing.value);
    const backends = (group?.settings.backend ?? []).map(({ address, weight }) => `${address} (weight ${weight ?? 100})`);
    about.textContent = group === undefined ? "There is no server group yet that fits." : `${group.protocol}: ${backends.join(", ")}`;
  };
  for (const control of [use, make, existing]) {
    control.addEventListener("change", show);
  }
  const element = h("div", {}, h("fieldset", {}, h("legend", {}, "Backend server group"), choice("Use existing", use), choice("Create new", make)), chosen, fresh);
  let adapted = null;
  /** Leaves the groups, and the protocols of a new one, that fit behind such a listener. */
  const adapt = (kind) => {
    if (kind === adapted) {
      return;
    }
    adapted = kind;
    const fitting = fittingGroups(offered.groups, kind);
    offer(existing, fitting);
    form.adapt(kind);
    (fitting.length > 0 ? use : make).checked = true;
    show();
  };
  const taken = () => offered.groups.map(({ name }) => name);
  const faults = () => {
    if (make.checked) {
      return form.faults(taken());
    }
    return existing.value ? [] : [{ control: make, text: "Server group: there is none yet that fits; create a new one." }];
  };
  return { element, adapt, faults, created: () => (make.checked ? form.settings() : null), name: () => (make.checked ? form.settings().name : existing.value) };
}

/** One change set: the listener, and the group before it if it is new. */
function changesOf(listener, group) {
  const created = { do: "create", kind: "listeners", settings: listener };
  return { changes: group === null ? [created] : [{ do: "create", kind: "server-groups", settings: group }, created] };
}

export async function wizard() {
  const offered = await choices();
  const [first, third] = [listenerStep(offered, () => listSteps()), groupStep(offered)];
  const renew = async (isMutual) => {
    Object.assign(offered, await choices());
    second = certificateStep(offered, renew, isMutual);
    await show(1, true);
  };
  let second = certificateStep(offered, renew);
  const wrong = h("div", {});
  const review = h("div", { "aria-live": "polite" });
  const steps = h("ol", { class: "steps" });
  const title = h("h2", { tabindex: "-1" });
  const content = h("div", {});
  const buttons = h("div", { class: "actions" });
  let step = 0;
  let isUnderWay = false;

  const wanted = () => {
    const tls = endsTls(first.kind()) ? second.settings() : {};
    return { ...first.settings(), ...tls, default_group: third.name() || undefined };
  };
  const refused = (error) => {
    const back = stepOf(error);
    review.replaceChildren(problem(error), back === null ? "" : button(`Back to: ${STEPS[back]}`, null, () => show(back, true)));
  };
  const tryIt = async () => {
    const listener = wanted();
    review.replaceChildren(h("p", {}, "check looks at it …"));
    try {
      const answer = await call("POST", "changes?dry_run=true", changesOf(listener, third.created()));
      review.replaceChildren(h("p", {}, `${listener.name}: ${summary(listener)}`), h("h3", {}, "What check says, and what the files get"), changed(answer), dnsNote(listener.address));
    } catch (error) {
      refused(error);
    }
  };
  const submit = async () => {
    if (isUnderWay) {
      return;
    }
    isUnderWay = true;
    wrong.replaceChildren(waiting());
    try {
      const listener = wanted();
      const answer = await call("POST", "changes", changesOf(listener, third.created()));
      announce(`${answer.message || "The listener is created."} ${dnsSentence(listener.address)}`);
      location.hash = hashOf("listeners", listener.name);
    } catch (error) {
      wrong.replaceChildren();
      refused(error);
    }
    isUnderWay = false;
  };
  /** The steps that such a listener takes. */
  const taken = () => [0, 1, 2, 3].filter((index) => index !== 1 || endsTls(first.kind()));
  const listSteps = () => {
    steps.replaceChildren(...taken().map((index) => h("li", { "aria-current": index === step ? "step" : null }, STEPS[index])));
    const after = taken()[taken().indexOf(step) + 1];
    const before = taken()[taken().indexOf(step) - 1];
    buttons.replaceChildren(...[
      after === undefined ? button("Create", "write", submit, { class: "main" }) : button(`Next: ${STEPS[after]}`, null, () => next(after), { class: "main" }),
      before === undefined ? null : button("Back", null, () => show(before, true)),
    ].filter(Boolean));
  };
  const next = async (after) => {
    const faults = [first, second, third][step].faults(first.kind());
    if (faults.length > 0) {
      showFaults(wrong, faults);
    } else {
      await show(after, true);
    }
  };
  const show = async (wantedStep, takesFocus) => {
    step = wantedStep;
    wrong.replaceChildren();
    third.adapt(first.kind());
    listSteps();
    title.textContent = STEPS[step];
    content.replaceChildren([first.element, second.element, third.element, review][step]);
    if (takesFocus) {
      title.focus();
    }
    if (step === STEPS.length - 1) {
      await tryIt();
    }
  };
  await show(0, false);
  return page("Create listener", readOnlyNote(), steps, title, content, wrong, buttons);
}
