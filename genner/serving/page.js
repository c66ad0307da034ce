"use strict";
(() => {
  const TABLE_ROWS = 500, JSON_CHARS = 100000, BYTES_PER_CHAR = 4, DRAWING_DELAY = 60;
  const BEFORE = "Entities will appear here, each as a bar below its words, dotted across gaps.";
  const OLD = "The text has changed since its entities were found. Press Ctrl Enter to find those of the new text.";
  const NOTHING = "No text yet. Type or paste one, open a file, or choose an example.";
  const NO_SERVER = "The server does not answer. Try again in a moment.";
  const $ = (id) => document.getElementById(id);
  const text = $("text-box");
  const limit = Number($("counter").dataset.limit);
  const number = (value) => value.toLocaleString("en");

  // The only state. An answer is shown only while its text stands in the box; a newer question ends an older one.
  let answer = null; // { record, n_words, seconds, asked }: `asked` is the text as it was sent
  let asking = null; // { asked, control } while a text is being read
  let drawing = null; // the AbortController of the latest picture
  let picture = null; // the entities that are drawn, to see whether they have changed
  let own = null; // { common, by_type }: the least scores of the model, in force until the slider is moved
  let isOwn = false;

  function element(tag, className, ...content) {
    const made = document.createElement(tag);
    if (className) made.className = className;
    made.append(...content);
    return made;
  }

  function say(words, kind = "plain") {
    $("status").replaceChildren(words ? element("p", `page-message page-${kind}`, words) : "");
  }

  function hideAnswer(words = BEFORE) {
    drawing?.abort();
    drawing = picture = null;
    $("picture").replaceChildren(element("p", "page-message page-plain", words));
    $("table").replaceChildren();
    $("json").replaceChildren();
    $("jsonl").disabled = $("html").disabled = true;
  }

  async function post(path, body, signal) {
    let reply;
    try {
      reply = await fetch(path, {
        method: "POST", headers: { "Content-Type": "application/json" }, body: JSON.stringify(body), signal,
      });
    } catch (error) {
      throw error.name === "AbortError" ? error : new Error(NO_SERVER);
    }
    if (reply.ok) return reply;
    const told = await reply.json().catch(() => ({ detail: `${NO_SERVER} (${reply.status})` }));
    throw new Error(String(told.detail));
  }

  async function find() {
    const asked = text.value;
    asking?.control.abort();
    answer = asking = null;
    hideAnswer();
    if (!asked.trim()) return say(NOTHING, "note");
    if (characters(asked) > limit) return say(`More than ${number(limit)} characters. Split the text.`, "error");
    const control = new AbortController();
    asking = { asked, control };
    $("answer").setAttribute("aria-busy", "true");
    say("Reading …");
    let failure = null;
    try {
      const reply = await post("page/read", { text: asked }, control.signal);
      const found = await reply.json();
      if (asking?.control !== control) return;
      answer = { ...found, asked };
    } catch (error) {
      if (asking?.control !== control) return;
      failure = error.message;
    }
    asking = null;
    $("answer").removeAttribute("aria-busy");
    if (failure) say(failure, "error");
    else show();
  }

  // Show the answer if it is that of the text in the box.
  function show() {
    if (asking) return;
    if (!answer) return hideAnswer();
    if (text.value !== answer.asked) {
      hideAnswer(BEFORE);
      return say(OLD, "note");
    }
    if (answer.record.error !== undefined) return say(answer.record.error, "error");
    draw(filtered());
  }

  // All parts change together, once the picture is there.
  function put(entities, pictured) {
    const { record } = answer;
    $("picture").replaceChildren(pictured);
    say(summary(record.entities.length, entities));
    $("table").replaceChildren(table(entities));
    $("json").replaceChildren(...json({ ...record, entities }));
    $("jsonl").disabled = $("html").disabled = false;
  }

  function filtered() {
    const chosen = Number($("least-range").value);
    const least = (type) => (isOwn ? own.by_type[type] ?? own.common : chosen);
    const types = new Set([...document.querySelectorAll("#types input:checked")].map((box) => box.value));
    return answer.record.entities.filter((entity) => entity.score >= least(entity.type) && types.has(entity.type));
  }

  function drawn(entities, whole) {
    const { text, notes } = answer.record;
    const brief = ({ type, score, segments }) => ({ type, score, segments: segments.map(({ start, end }) => [start, end]) });
    return { text, entities: entities.map(brief), notes: notes ?? [], whole };
  }

  async function draw(entities) {
    const wanted = JSON.stringify(entities);
    if (picture === wanted) return;
    picture = wanted;
    drawing?.abort();
    const control = (drawing = new AbortController());
    try {
      if ($("picture").querySelector(".genner")) await new Promise((done) => setTimeout(done, DRAWING_DELAY)); // a slider moves on
      if (drawing !== control) return;
      const html = await (await post("page/draw", drawn(entities, false), control.signal)).text();
      if (drawing === control) put(entities, document.createRange().createContextualFragment(html)); // escaped by the server
    } catch (error) {
      if (drawing !== control) return;
      picture = null;
      put(entities, element("p", "page-message page-error", error.message));
    }
  }

  function summary(nAll, shown) {
    const counts = new Map();
    for (const { type } of shown) counts.set(type, (counts.get(type) ?? 0) + 1);
    const kinds = [...counts].sort((a, b) => b[1] - a[1] || (a[0] < b[0] ? -1 : 1)).map(([type, n]) => `${number(n)} ${type}`);
    const found = shown.length ? `${number(shown.length)} ${shown.length === 1 ? "entity" : "entities"}: ${kinds.join(", ")}` : "No entities";
    const hidden = nAll - shown.length;
    const words = `${number(answer.n_words)} ${answer.n_words === 1 ? "word" : "words"} read in ${answer.seconds.toFixed(2)} s.`;
    return `${found}${hidden ? `; ${number(hidden)} hidden by score or type` : ""}. ${words}`;
  }

  function scrolling(label, content) {
    const area = element("div", "page-scroll", content);
    Object.entries({ tabindex: "0", role: "region", "aria-label": label }).forEach(([key, value]) => area.setAttribute(key, value));
    return area;
  }

  function table(entities) {
    if (!entities.length) return element("p", "page-message page-plain", "No entities to list.");
    const head = element("tr", "");
    for (const name of ["Type", "Entity", "Score", "Characters"]) {
      const cell = element("th", "", name);
      cell.scope = "col";
      head.append(cell);
    }
    const body = element("tbody", "");
    for (const { type, segments, score } of entities.slice(0, TABLE_ROWS)) {
      const surface = element("td", "");
      segments.forEach((part, idx) => {
        if (idx) surface.append(" ", element("span", "page-gap", "…"), " ");
        surface.append(element("bdi", "", part.text));
      });
      const places = segments.map(({ start, end }) => `${start}–${end}`).join(", ");
      body.append(element("tr", "", element("td", "", type), surface, element("td", "", score.toFixed(2)), element("td", "", places)));
    }
    const rest = entities.length - TABLE_ROWS;
    const rows = scrolling("Entities as a table", element("table", "page-table", element("thead", "", head), body));
    return rest > 0 ? element("div", "", rows, element("p", "page-message", `… and ${number(rest)} more: download the result to see all.`)) : rows;
  }

  function json(record) {
    const content = JSON.stringify(record, null, 2);
    const rest = content.length - JSON_CHARS;
    const area = scrolling("Entities as JSON", element("pre", "page-json", content.slice(0, JSON_CHARS)));
    return rest > 0 ? [area, element("p", "page-message", `… and ${number(rest)} more characters: download the result to see all.`)] : [area];
  }

  function save(name, type, content) {
    const link = document.createElement("a");
    link.href = URL.createObjectURL(new Blob([content], { type: `${type};charset=utf-8` }));
    link.download = name;
    link.click();
    setTimeout(() => URL.revokeObjectURL(link.href), 10000);
  }

  // Code points, as the server counts them.
  function characters(value) {
    let n = 0;
    for (const _ of value) n += 1;
    return n;
  }

  function count() {
    const n = characters(text.value);
    $("counter").textContent = `${number(n)} of ${number(limit)} characters${n > limit ? ": too long" : ""}`;
    $("counter").classList.toggle("page-over", n > limit);
  }

  function edited() {
    count();
    if (answer) show();
    else if (!asking) say("");
  }

  // The file is read here; only its text is sent, as if it had been typed.
  async function open(file) {
    say("");
    const before = text.value;
    const size = file.size > limit * BYTES_PER_CHAR + 3;
    const bytes = size ? null : await file.arrayBuffer().catch(() => undefined);
    if (text.value !== before) return; // someone typed meanwhile
    let problem = null, content = "";
    if (size) problem = `The file is too large: more than ${number(limit)} characters. Split the file.`;
    else if (bytes === undefined) problem = "The file cannot be read. Open it again, or paste the text.";
    else {
      try {
        content = new TextDecoder("utf-8", { fatal: true }).decode(bytes);
        if (content.includes("\0")) problem = "The file contains NUL characters. Expected a text file, not UTF-16 or binary. Save it as UTF-8.";
      } catch {
        problem = "The file is not UTF-8. Expected a text file in UTF-8. Save it as UTF-8, or paste the text.";
      }
    }
    if (!problem) return take(content);
    asking?.control.abort();
    answer = asking = null;
    $("answer").removeAttribute("aria-busy");
    hideAnswer();
    say(problem, "error");
  }

  function take(content) {
    text.value = content;
    count();
    find();
  }

  function clear() {
    asking?.control.abort();
    answer = asking = null;
    $("answer").removeAttribute("aria-busy");
    text.value = "";
    count();
    hideAnswer();
    say("");
    text.focus();
  }

  function choose(tab) {
    for (const one of document.querySelectorAll('[role="tab"]')) {
      const chosen = one === tab;
      one.setAttribute("aria-selected", chosen);
      $(one.getAttribute("aria-controls")).hidden = !chosen;
    }
  }

  async function about() {
    for (;;) {
      const told = await fetch("page/about").then((reply) => reply.json()).catch(() => null);
      if (told?.labels) return told;
      await new Promise((done) => setTimeout(done, 1000));
    }
  }

  // The least scores that were best on dev, which may differ by type, or what the slider says.
  function showOwn(now) {
    isOwn = now && own !== null;
    $("least-own").hidden = own === null;
    const [words, button] = $("least-own").children;
    button.hidden = isOwn;
    words.hidden = !isOwn;
    if (!isOwn) return;
    const values = Object.entries(own.by_type).map(([type, value]) => `${type} ${value.toFixed(2)}`);
    words.textContent = `The model's own${values.length ? `: ${values.join(", ")}` : ""}`;
    $("least-range").value = $("least-number").value = own.common.toFixed(2);
  }

  async function begin() {
    const told = await about();
    $("about").textContent = told.about;
    own = told.least;
    showOwn(true);
    for (const label of told.labels) {
      const box = element("input", "");
      Object.assign(box, { type: "checkbox", value: label, checked: true, autocomplete: "off" });
      box.addEventListener("change", () => answer && show());
      $("types").append(element("label", "", box, element("span", "", label)));
    }
    for (const example of told.examples) {
      const button = element("button", "", example);
      button.type = "button";
      button.addEventListener("click", () => take(example));
      document.querySelector(".page-examples").append(button);
    }
    $("examples").hidden = !told.examples.length;
    if (answer) show();
  }

  text.addEventListener("input", edited);
  text.addEventListener("keydown", (event) => {
    if (event.key !== "Enter" || event.isComposing || !(event.ctrlKey || event.metaKey || event.shiftKey)) return;
    event.preventDefault();
    if (!event.repeat) find();
  });
  $("find").addEventListener("click", find);
  $("clear").addEventListener("click", clear);
  $("upload").addEventListener("click", () => $("file").click());
  $("file").addEventListener("change", () => {
    const [file] = $("file").files;
    $("file").value = ""; // so that the same file can be opened again
    if (file) open(file);
  });
  for (const [from, to] of [["least-range", "least-number"], ["least-number", "least-range"]]) {
    $(from).addEventListener("input", () => {
      if ($(from).value === "") return;
      $(to).value = $(from).value;
      showOwn(false);
      if (answer) show();
    });
  }
  $("least-own").querySelector("button").addEventListener("click", () => {
    showOwn(true);
    if (answer) show();
  });
  document.querySelectorAll('[role="tab"]').forEach((tab) => tab.addEventListener("click", () => choose(tab)));
  $("jsonl").addEventListener("click", () => {
    save("entities.jsonl", "application/jsonl", `${JSON.stringify({ ...answer.record, entities: filtered() })}\n`);
  });
  $("html").addEventListener("click", async () => {
    try {
      const reply = await post("page/draw", drawn(filtered(), true));
      save("entities.html", "text/html", await reply.text());
    } catch (error) {
      say(error.message, "error");
    }
  });
  window.addEventListener("pageshow", () => { count(); show(); }); // a browser may have put back an old text
  hideAnswer();
  begin();
})();
