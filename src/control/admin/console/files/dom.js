// Elements made of text: nothing that the API tells is ever read as HTML.

import { Refusal, me, may } from "./api.js";

/** An element with attributes (`on…`: listeners; true and false: with and without) and children: nodes or text. */
export function h(tag, attributes = {}, ...children) {
  const element = document.createElement(tag);
  for (const [name, value] of Object.entries(attributes)) {
    if (name.startsWith("on")) {
      element.addEventListener(name.slice(2), value);
    } else if (name === "value") {
      element.value = value;
    } else if (value === true) {
      element.setAttribute(name, "");
    } else if (value !== false && value !== null && value !== undefined) {
      element.setAttribute(name, value);
    }
  }
  element.append(...children.flat(Infinity).filter((child) => child !== null && child !== undefined && child !== false));
  return element;
}

/** Tells the result of something, also to who does not see it. */
export function announce(text) {
  const line = h("p", {}, text);
  document.getElementById("messages").append(line);
  setTimeout(() => line.remove(), 8000);
}

/** The address of a view. */
export function link(text, ...segments) {
  return h("a", { href: hashOf(...segments) }, text);
}

export function hashOf(...segments) {
  return `#/${segments.map((segment) => encodeURIComponent(segment)).join("/")}`;
}

const ROWS_WORTH_A_FILTER = 12;

/** A table; `columns` are titles, `rows` lists of nodes or text. */
export function table(caption, columns, rows, empty = "There are none.") {
  if (rows.length === 0) {
    return h("p", { class: "quiet" }, empty);
  }
  const head = h("tr", {}, columns.map((title) => h("th", { scope: "col" }, title)));
  const body = rows.map((cells) => h("tr", {}, cells.map((cell) => h("td", {}, cell))));
  const scroll = h("div", { class: "scroll" }, h("table", {}, caption ? h("caption", {}, caption) : null, h("thead", {}, head), h("tbody", {}, body)));
  return rows.length < ROWS_WORTH_A_FILTER ? scroll : h("div", {}, filterBox(body), scroll);
}

/** A box that leaves the rows which have its text. */
function filterBox(rows) {
  const box = h("input", { type: "search", autocomplete: "off" });
  const found = h("p", { class: "hint", role: "status" });
  const texts = rows.map((row) => row.textContent.toLowerCase());
  box.addEventListener("input", () => {
    const wanted = box.value.trim().toLowerCase();
    rows.forEach((row, index) => {
      row.hidden = !texts[index].includes(wanted);
    });
    found.textContent = `${rows.filter((row) => !row.hidden).length} of ${rows.length}`;
  });
  return h("div", {}, field("Filter", box), found);
}

/** What was refused, whole: the sentence, the cure, and each fault with its place. */
export function problem(error) {
  const told = error instanceof Refusal ? error.problem : { title: "The console has a fault", detail: String(error) };
  const faults = (told.errors ?? []).map((fault) => h("li", {},
    h("strong", {}, [fault.object, fault.key].filter(Boolean).join(": ")),
    fault.object || fault.key ? " " : "",
    fault.message ?? "",
    fault.help ? h("p", { class: "quiet" }, `Cure: ${fault.help}`) : null,
    fault.place ? h("p", {}, h("code", {}, fault.place)) : null));
  const users = told.used_by ?? [];
  return h("div", { class: "problem", role: "alert" },
    h("h3", {}, [told.status || null, told.title].filter(Boolean).join(" ")),
    told.detail ? h("p", {}, told.detail) : null,
    told.help ? h("p", {}, `Cure: ${told.help}`) : null,
    users.length > 0 ? h("p", {}, "Used by ", users.join(", ")) : null,
    faults.length > 0 ? h("ul", {}, faults) : null,
    told.request_id ? h("p", { class: "quiet" }, `Request ${told.request_id}`) : null);
}

/** Shows what was refused in the place of what stands there. */
export function showProblem(place, error) {
  place.replaceChildren(problem(error));
}

/** What is to be filled in first: sentences with the control that each is about; the first of them gets the focus. */
export function showFaults(place, faults) {
  place.replaceChildren(h("div", { class: "problem", role: "alert" },
    h("h3", {}, "Not complete yet"), h("ul", {}, faults.map(({ text }) => h("li", {}, text)))));
  faults[0].control?.focus();
}

/** What is said while a change is on its way. */
export function waiting() {
  return h("p", { class: "hint", role: "status" }, "Ringway checks it, writes the files and takes them into service; that can take some seconds …");
}

/** A button for those who may: for others it stands there and says what it needs. */
export function button(text, role, act, attributes = {}) {
  const allowed = role === null || may(role);
  const why = `Needs the role ${role}; you have ${me.role ?? "none"}`;
  return h("button", { type: "button", onclick: act, disabled: !allowed, title: allowed ? null : why, ...attributes }, text);
}

/** Says why nothing can be changed, where that is so. */
export function readOnlyNote() {
  if (may("write")) {
    return null;
  }
  return h("p", { class: "note", id: "read-only" },
    `Read-only: changes need the role write, and ${me.actor || "you"} ${me.role ? `may ${me.role}` : "may nothing"}. `,
    "Paste a token with that role above; ringway token --role write NAME makes one.");
}

/** The page of a view: its heading first, which gets the focus. */
export function page(title, ...children) {
  return h("div", {}, h("h1", { tabindex: "-1" }, title), children);
}

let fields = 0;

/** A label with a control, and what is to be said of it. */
export function field(label, control, hint) {
  fields += 1;
  control.id ||= `field-${fields}`;
  const note = hint ? h("p", { class: "hint", id: `${control.id}-hint` }, hint) : null;
  if (note) {
    control.setAttribute("aria-describedby", note.id);
  }
  return h("div", { class: "field" }, h("label", { for: control.id }, label), control, note);
}

export function choice(label, control) {
  return h("label", { class: "choice" }, control, " ", label);
}

function items(options, chosen) {
  return options.map((option) => {
    const [value, text] = Array.isArray(option) ? option : [option, option];
    return h("option", { value, selected: value === chosen }, text);
  });
}

export function select(options, chosen, attributes = {}) {
  return h("select", attributes, items(options, chosen));
}

/** Gives a list other options; what was chosen stays so if it is among them. */
export function offer(control, options) {
  control.replaceChildren(...items(options, control.value));
}

/** Says something else of a control than its field was made with. */
export function setHint(control, hint) {
  control.closest(".field").querySelector(".hint").textContent = hint;
}

/** A dialog that is closed by Escape, by Cancel, or once `act` has succeeded. `content` is put above its buttons; `act` is called
 * once `check` finds no faults. */
export function dialog(title, content, actText, act, check = () => []) {
  const wrong = h("div", {});
  const submit = h("button", { type: "submit", class: "main" }, actText);
  const cancel = h("button", { type: "button", onclick: () => box.close() }, "Cancel");
  const form = h("form", { method: "dialog", novalidate: true }, h("h2", { id: "dialog-title" }, title), content, wrong, h("div", { class: "actions" }, submit, cancel));
  const before = document.activeElement;
  const box = h("dialog", { "aria-labelledby": "dialog-title" }, form);
  form.addEventListener("submit", async (event) => {
    event.preventDefault();
    const faults = check();
    if (faults.length > 0) {
      showFaults(wrong, faults);
      return;
    }
    submit.disabled = true;
    wrong.replaceChildren(waiting());
    try {
      await act();
      box.close();
    } catch (error) {
      showProblem(wrong, error);
      wrong.scrollIntoView({ block: "nearest" });
    }
    submit.disabled = false;
  });
  box.addEventListener("close", () => {
    box.remove();
    // The button may be gone with the view that is shown anew.
    (before?.isConnected ? before : document.querySelector("main h1"))?.focus();
  });
  document.body.append(box);
  box.showModal();
  return box;
}

/** A difference of files, line by line. */
export function diff(text) {
  const lines = text.replace(/\n$/, "").split("\n").map((line) => {
    const kind = line.startsWith("+") ? "added" : line.startsWith("-") ? "removed" : "same";
    return h("span", { class: kind }, line || " ");
  });
  return h("pre", { tabindex: "0", "aria-label": "Difference of the files" }, lines);
}

/** What a change has, or would have, come to. */
export function changed(answer) {
  const warnings = (answer.warnings ?? []).map((warning) => h("li", {}, `${warning.message} `, warning.help ? h("span", { class: "quiet" }, `(${warning.help})`) : null));
  return h("div", {},
    h("p", { role: "status" }, answer.message || (answer.dry_run ? "check accepts it." : "Done.")),
    warnings.length > 0 ? h("ul", { class: "warn" }, warnings) : null,
    answer.diff ? diff(answer.diff) : h("p", { class: "quiet" }, "The files stay as they are."));
}
