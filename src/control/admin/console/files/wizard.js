// Create listener in four steps: the listener, its certificate, the server group, and a review of what will be written.

import { call } from "./api.js";
import { announce, button, changed, choice, field, h, hashOf, page, problem, readOnlyNote, select, showFaults, waiting } from "./dom.js";
import { groupForm } from "./groups.js";
import { HOST_HINT, POLICIES, addressOf, choices, dnsNote, dnsSentence, placeFaults } from "./offers.js";
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

function listenerStep(offered) {
  const protocol = select([["https", "HTTPS"], ["http", "HTTP"]], "https");
  const port = h("input", { type: "number", min: 1, max: 65535, value: "443" });
  const host = h("input", { value: "0.0.0.0", autocomplete: "off" });
  const name = h("input", { autocomplete: "off" });
  const description = h("input", { autocomplete: "off" });
  const tags = h("textarea", { rows: 2, placeholder: "team = edge" });
  const http2 = select([["", "As usual for the protocol"], ["true", "On"], ["false", "Off"]], "");
  const idle = h("input", { placeholder: "15s", autocomplete: "off" });
  const compression = tick();
  const trusted = h("textarea", { rows: 2, placeholder: "10.0.0.0/8" });
  const forwardedFor = select([["append", "Add"], ["remove", "Remove"], ["preserve", "Leave as it is"]], "append");
  const headers = HEADERS.map(([key, title, isUsual]) => ({ key, title, isUsual, box: tick(isUsual) }));
  const own = CERTIFICATE_HEADERS.map(([key, title]) => ({ key, title, box: tick(), name: h("input", { "aria-label": `Name of ${title}`, placeholder: title, autocomplete: "off" }) }));
  protocol.addEventListener("change", () => {
    port.value = protocol.value === "http" ? "80" : "443";
  });
  const element = h("div", {},
    field("Listener protocol", protocol), field("Listener port", port, "1 to 65535. Usual are 80 for HTTP and 443 for HTTPS."),
    field("Listener address", host, HOST_HINT), field("Listener name", name), field("Description (optional)", description),
    field("Tags (optional)", tags, "One a line: key = value."),
    h("details", {}, h("summary", {}, "Advanced settings"),
      field("HTTP/2", http2), field("Idle timeout", idle, "How long a connection may wait for the next request."),
      h("p", { class: "hint" }, "How long a backend may take to answer (then 504) is the response_timeout of the server group."),
      choice("Compression", compression),
      field("Trusted proxies", trusted, "Retrieve client IP: networks whose X-Forwarded-For is believed, such as 10.0.0.0/8. 0.0.0.0/0 believes everybody."),
      h("fieldset", {}, h("legend", {}, "Headers for backends"), field("X-Forwarded-For", forwardedFor), headers.map(({ title, box }) => choice(title, box))),
      h("fieldset", {}, h("legend", {}, "Client certificate information"),
        h("p", { class: "hint" }, "Ticked headers are sent to backends, by the name beside it if there is one: small letters, digits, _ and -."),
        own.map(({ title, box, name: box2 }) => h("div", { class: "columns-2" }, choice(title, box), box2)))));
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
  const settings = () => ({
    name: name.value.trim(), address: addressOf(host.value, port.value), protocol: protocol.value,
    description: description.value.trim() || undefined, tags: tagsOf(tags.value),
    http2: http2.value === "" ? undefined : http2.value === "true", idle_timeout: idle.value.trim() || undefined,
    compression: compression.checked || undefined,
    trusted_proxies: words(trusted.value).length > 0 ? words(trusted.value) : undefined, forwarded: forwarded(),
  });
  const faults = () => {
    const wrongTag = tags.value.split("\n").find((line) => line.trim() && !/^\s*[^\s=]+\s*=/.test(line));
    return [
      ...placeFaults(host, port), nameFault("Listener name", name, offered.listeners),
      wrongTag === undefined ? null : { control: tags, text: `Tags: ${wrongTag.trim()} is not key = value; write it as team = edge.` },
    ].filter(Boolean);
  };
  return { element, settings, faults, isHttps: () => protocol.value === "https" };
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
  const nothing = h("p", {}, "A listener for HTTP needs no certificate.");
  const settings = () => {
    const further = more.filter(({ name, box }) => box.checked && name !== main.value).map(({ name }) => name);
    const wanted = { certificates: [main.value, ...further].filter(Boolean), tls_policy: policy.value };
    if (mutual.checked) {
      wanted.client_auth = { mode: mode.value, ca: cas.filter(({ box }) => box.checked).map(({ name }) => name) };
    }
    return wanted;
  };
  const faults = () => [
    main.value ? null : { control: tls.querySelector("button"), text: "Server certificate: HTTPS needs one." },
    mutual.checked && !cas.some(({ box }) => box.checked)
      ? { control: cas[0]?.box ?? authentication.querySelector("button"), text: "CA certificates: mutual authentication needs one or more." } : null,
  ].filter(Boolean);
  return { element: (isHttps) => (isHttps ? tls : nothing), settings, faults };
}

function groupStep(offered) {
  const existing = select(offered.groups, offered.groups[0]);
  const use = h("input", { type: "radio", name: "group" });
  const make = h("input", { type: "radio", name: "group" });
  (offered.groups.length > 0 ? use : make).checked = true;
  const form = groupForm();
  const about = h("p", { class: "hint" });
  const chosen = h("div", {}, field("Server group", existing), about);
  const fresh = h("div", {}, form.element);
  const show = () => {
    chosen.hidden = !use.checked;
    fresh.hidden = !make.checked;
    const group = offered.groupObjects.find(({ name }) => name === existing.value);
    const backends = (group?.settings.backend ?? []).map(({ address, weight }) => `${address} (weight ${weight ?? 100})`);
    about.textContent = `${group?.settings.protocol ?? "http"}: ${backends.join(", ")}`;
  };
  for (const control of [use, make, existing]) {
    control.addEventListener("change", show);
  }
  show();
  const element = h("div", {}, h("fieldset", {}, h("legend", {}, "Backend server group"), choice("Use existing", use), choice("Create new", make)), chosen, fresh);
  const faults = () => {
    if (make.checked) {
      return form.faults(offered.groups);
    }
    return existing.value ? [] : [{ control: make, text: "Server group: there is none yet; create a new one." }];
  };
  return { element, faults, created: () => (make.checked ? form.settings() : null), name: () => (make.checked ? form.settings().name : existing.value) };
}

/** One change set: the listener, and the group before it if it is new. */
function changesOf(listener, group) {
  const created = { do: "create", kind: "listeners", settings: listener };
  return { changes: group === null ? [created] : [{ do: "create", kind: "server-groups", settings: group }, created] };
}

export async function wizard() {
  const offered = await choices();
  const [first, third] = [listenerStep(offered), groupStep(offered)];
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
    const tls = first.isHttps() ? second.settings() : {};
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
  const next = async () => {
    const faults = step === 1 && !first.isHttps() ? [] : [first, second, third][step].faults();
    if (faults.length > 0) {
      showFaults(wrong, faults);
    } else {
      await show(step + 1, true);
    }
  };
  const show = async (wantedStep, takesFocus) => {
    step = wantedStep;
    wrong.replaceChildren();
    steps.replaceChildren(...STEPS.map((text, index) => h("li", { "aria-current": index === step ? "step" : null }, text)));
    title.textContent = STEPS[step];
    content.replaceChildren([first.element, second.element(first.isHttps()), third.element, review][step]);
    const isLast = step === STEPS.length - 1;
    buttons.replaceChildren(...[
      isLast ? button("Create", "write", submit, { class: "main" }) : button(`Next: ${STEPS[step + 1]}`, null, next, { class: "main" }),
      step > 0 ? button("Back", null, () => show(step - 1, true)) : null,
    ].filter(Boolean));
    if (takesFocus) {
      title.focus();
    }
    if (isLast) {
      await tryIt();
    }
  };
  await show(0, false);
  return page("Create listener", readOnlyNote(), steps, title, content, wrong, buttons);
}
