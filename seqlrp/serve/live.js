"use strict";
// Asks the server while one types, and shows the answers. Text reaches the page as text alone.
(() => {
  const SHADES = 20, SETTLED = 1200, KEPT = 50, NAMED = 6, EXCERPT = 300;
  const TWICE = 250; // milliseconds in which a second click makes two of them
  const MARKS_ALONE = /^[!-\/:-@[-`{-~]+$/; // punctuation, which is no word
  const at = id => document.getElementById(id);
  const make = (tag, attributes = {}, ...children) => {
    const made = document.createElement(tag);
    for (const [name, value] of Object.entries(attributes)) made.setAttribute(name, value);
    made.append(...children);
    return made;
  };
  const name = text => make("bdi", {}, text);
  const percent = share => `${(100 * share).toFixed(1)} %`;
  const points = change => `${change < 0 ? "−" : "+"}${Math.abs(100 * change).toFixed(1)}`;
  const state = {
    text: "", target: "predicted", against: "", method: "lrp", unit: "words", removal: "zero",
    struck: [], // the first character of each word that is struck, in the order of striking
    replaced: [], // [start, end, what stood there] of each part that was put in for another
  };
  const SETTINGS = ["target", "against", "method", "unit", "removal"];

  // The token of a server that is not only this machine's comes in the address, and leaves it.

  const given = new URLSearchParams(location.hash.slice(1));
  if (given.has("token")) {
    sessionStorage.setItem("token", given.get("token"));
    history.replaceState(null, "", location.pathname);
  }
  const token = sessionStorage.getItem("token");

  const status = (text, wrong = false) => {
    at("status").textContent = text;
    at("status").className = wrong ? "wrong" : "";
  };
  const fetched = async (path, body, signal) => {
    const headers = body ? { "Content-Type": "application/json" } : {};
    if (token) headers.Authorization = `Bearer ${token}`;
    const options = body ? { method: "POST", body: JSON.stringify(body) } : {};
    const answer = await fetch(path, { ...options, headers, signal });
    if (answer.ok) return answer;
    const refused = await answer.json().catch(() => ({ error: `Status ${answer.status}.` }));
    throw new Error(refused.error);
  };
  const ask = async (path, body, signal) => (await fetched(path, body, signal)).json();
  const attempt = async work => {
    try { await work(); } catch (error) {
      if (error.name === "AbortError") return;
      document.body.classList.remove("waiting");
      status(error instanceof TypeError ? "The server does not answer." : error.message, true);
    }
  };

  // One pane for each model: the answer, the words, and the probabilities.

  class Pane {
    constructor(number, model) {
      this.number = number;
      this.model = model;
      this.answer = make("p", { class: "answer" });
      this.text = make("div", {
        class: "text", role: "group", tabindex: "0", dir: "auto",
        "aria-label": "Words; the arrow keys go from word to word, Delete strikes one",
      });
      this.rows = make("tbody");
      const head = make("thead", { class: "spoken" }, make("tr", {},
        ...["Class", "", "Probability", "Change in points"].map(t => make("th", { scope: "col" }, t))));
      this.table = make("table", { class: "classes" }, head, this.rows);
      this.section = make("section", { class: "pane", "aria-label": model.name });
      if (models.length > 1) this.section.append(make("h2", {}, name(model.name)));
      this.legend = make("p", { class: "legend" });
      this.notes = make("div", { class: "notes" });
      this.section.append(this.answer, make("div", { class: "read" }, this.text, this.legend, this.notes), this.table);
      this.text.addEventListener("click", event => {
        const word = event.target.closest("u");
        if (word) clicked(this, word);
      });
      this.text.addEventListener("keydown", event => this.key(event));
    }
    clear() {
      this.found = null;
      for (const part of [this.answer, this.text, this.legend, this.notes, this.rows]) part.replaceChildren();
      this.section.classList.remove("stale");
    }
    get words() { return [...this.text.querySelectorAll("u")]; }
    get struck() {
      const struck = new Set(state.struck);
      return this.found.words.filter(w => struck.has(w.start));
    }
    removed() { return this.struck.flatMap(w => w.tokens); }
    written({ start, end }) { return this.characters.slice(start, end).join(""); }
    show(found) {
      this.found = found;
      const focused = this.words.indexOf(document.activeElement);
      const characters = this.characters = Array.from(found.text); // places count code points
      const slice = (start, end) => this.written({ start, end });
      const lacking = new Set(found.unknown), strange = w => w.tokens.some(t => lacking.has(t));
      const real = found.words.filter(w => !MARKS_ALONE.test(this.written(w)));
      this.unknown = real.filter(strange).length;
      this.known = real.length - this.unknown;
      // Colours of words that the model cannot tell from others would say nothing.
      this.text.classList.toggle("strange", this.unknown > 0 && !this.known);
      const shade = largest => value => {
        const level = largest ? Math.trunc(SHADES * value / largest) : 0;
        return level > 0 ? `f${level}` : level < 0 ? `a${-level}` : "";
      };
      const most = units => units.reduce((m, u) => Math.max(m, Math.abs(u.relevance)), 0);
      const ofWord = shade(most(found.words)), ofSentence = shade(most(found.sentences));
      const parts = [];
      let place = 0, word = 0;
      for (const sentence of found.sentences) {
        parts.push(slice(place, sentence.start));
        place = sentence.start;
        const inside = make("span", { class: `s ${ofSentence(sentence.relevance)}`.trim() });
        for (; word < found.words.length && found.words[word].start < sentence.end; word++) {
          const { start, end, relevance } = found.words[word], unknown = strange(found.words[word]);
          const instead = state.replaced.find(([from, to]) => start < to && from < end);
          const mark = make("u", {
            role: "button", tabindex: "-1", "aria-pressed": "false", "data-start": start,
            title: `relevance ${relevance.toPrecision(3)}${unknown ? "; unknown to the model" : ""}${instead ? `; instead of ${instead[2]}` : ""}`,
          }, slice(start, end));
          if (unknown) mark.dataset.unknown = "";
          if (instead) mark.dataset.was = instead[2];
          if (ofWord(relevance)) mark.className = ofWord(relevance);
          inside.append(slice(place, start), mark);
          place = end;
        }
        inside.append(slice(place, sentence.end));
        place = Math.max(place, sentence.end);
        parts.push(inside);
      }
      this.text.replaceChildren(...parts, slice(place, characters.length));
      const strip = make("span", { class: "strip", "aria-hidden": "true" });
      for (const level of [-20, -16, -12, -8, -4, 4, 8, 12, 16, 20]) {
        strip.append(make("i", { class: shade(SHADES)(level) }));
      }
      const side = found.against === null ? ["against ", name(found.target)] : ["for ", name(found.against)];
      this.legend.replaceChildren(
        make("span", {}, ...side), strip, make("span", {}, "for ", name(found.target)));
      this.press();
      if (focused >= 0) this.focus(Math.min(focused, this.words.length - 1));
    }
    press() {
      const struck = new Set(state.struck);
      for (const mark of this.words) {
        mark.setAttribute("aria-pressed", String(struck.has(Number(mark.dataset.start))));
      }
    }
    note() {
      const { found, unknown, known } = this, lines = [];
      const answer = ({ predicted, probabilities }) => [name(predicted), ` ${percent(probabilities[this.model.labels.indexOf(predicted)])}`];
      if (unknown && !known) {
        const words = unknown === 1 ? "this word" : `any of these ${unknown} words`;
        lines.push(make("p", { class: "warning" }, `The model does not know ${words}: this is what it answers to a text of unknown words, whatever they are. So nothing is coloured.`));
      } else if (unknown) {
        const words = unknown === 1 ? "1 word is" : `${unknown} of ${unknown + known} words are`;
        lines.push(make("p", unknown > known ? { class: "warning" } : {}, `${words} unknown to the model, marked by “?”.`));
      }
      if (state.replaced.length) {
        const parts = state.replaced.map(([start, end, was]) => `“${this.written({ start, end })}” for “${was}”`);
        lines.push(make("p", {}, `Replaced: ${parts.join(", ")}.`, ...(this.before ? [" Before that the answer was ", ...answer(this.before), "."] : [])));
      }
      if (state.struck.length) {
        lines.push(make("p", {}, "The colours are of the text as typed, ", ...(found.target === found.predicted && found.against === null
          ? ["and of its answer, ", ...answer(found)] : ["for ", name(found.target)]), ". For colours without the struck words, press “Explain the rest”."));
      }
      this.notes.replaceChildren(...lines);
    }
    probabilities(now) {
      const before = this.found.probabilities, changed = now.probabilities !== before;
      this.now = now;
      const label = make("b", {}, name(now.predicted));
      const index = this.model.labels.indexOf(now.predicted);
      this.answer.replaceChildren(label, ` ${percent(now.probabilities[index])}`);
      if (changed && now.predicted !== this.found.predicted) {
        const was = before[this.model.labels.indexOf(this.found.predicted)];
        this.answer.append(make("span", {}, ", was ", name(this.found.predicted), ` ${percent(was)}`));
      }
      this.note();
      const order = this.model.labels.map((_, c) => c);
      if (order.length > 8) order.sort((a, b) => now.probabilities[b] - now.probabilities[a]);
      this.rows.replaceChildren(...order.slice(0, 8).map(c => {
        const bar = make("i"), share = now.probabilities[c];
        bar.style.setProperty("width", `${100 * share}%`);
        const row = make("tr", {},
          make("th", { scope: "row" }, name(this.model.labels[c])),
          make("td", {}, make("span", { class: "bar", "aria-hidden": "true" }, bar)),
          make("td", {}, percent(share)),
          make("td", { class: "quiet" }, changed ? points(share - before[c]) : ""));
        if (c === index) row.className = "chosen";
        return row;
      }));
    }
    focus(number) {
      const mark = this.words[number];
      if (mark) mark.focus();
    }
    key(event) {
      if (event.target.tagName === "INPUT" || event.ctrlKey || event.metaKey || event.altKey) return;
      const words = this.words, here = words.indexOf(document.activeElement);
      const rightwards = getComputedStyle(this.text).direction === "rtl" ? -1 : 1;
      const moves = { ArrowRight: rightwards, ArrowLeft: -rightwards };
      if (event.key in moves) this.focus(Math.max(0, Math.min(words.length - 1, here + moves[event.key])));
      else if (event.key === "Home") this.focus(0);
      else if (event.key === "End") this.focus(words.length - 1);
      else if (here < 0) return;
      else if (["Delete", "Backspace", "Enter", " "].includes(event.key)) {
        strike(Number(words[here].dataset.start));
      } else if (event.key.toLowerCase() === "r") replace(this, words[here]);
      else return;
      event.preventDefault();
    }
  }

  // Asking: the newest request wins.

  let models = [], panes = [], running = null, again = false, settled = 0;
  const question = pane => ({
    model: pane.number, method: state.method, target: state.target,
    against: state.against || null, texts: [state.text],
  });
  const explain = () => attempt(async () => {
    if (running) running.abort();
    const mine = running = new AbortController();
    again = false;
    try {
      await explained(mine.signal);
    } catch (error) {
      if (error.name !== "AbortError") forget();
      throw error;
    } finally {
      if (running === mine) {
        running = null;
        if (again) explain();
      }
    }
  });
  const forget = () => {
    panes.forEach(pane => pane.clear());
    at("curves").hidden = true;
    buttons();
  };
  const explained = async signal => {
    if (curvesOf !== state.text) at("curves").hidden = true;
    guesses++;
    answered = [];
    const empty = !state.text.trim();
    document.body.classList.toggle("empty", empty);
    if (empty) {
      forget();
      status("");
      return;
    }
    document.body.classList.add("waiting");
    const found = await Promise.all(panes.map(p => ask("/explain", question(p), signal)));
    panes.forEach((pane, i) => {
      const explanation = found[i].explanations[0];
      pane.show(explanation);
      pane.probabilities(explanation);
      pane.section.classList.toggle("stale", again);
    });
    document.body.classList.remove("waiting");
    const { unread } = panes[0].found;
    status(unread ? `The model does not read ${unread} tokens of this text.` : "");
    buttons();
    if (state.struck.length) await predict();
    clearTimeout(settled);
    settled = setTimeout(remember, SETTLED);
  };
  // While a question is open, the next one waits for its answer: as fast as the model, no faster.
  const soon = () => {
    cancelClick();
    panes.forEach(pane => pane.section.classList.add("stale"));
    if (running) again = true;
    else explain();
  };
  let guesses = 0, answered = []; // what was struck in the answer that is seen
  const predict = () => attempt(async () => {
    const mine = ++guesses;
    const pressed = () => { panes.forEach(pane => pane.press()); buttons(); };
    pressed();
    let found;
    try {
      found = await Promise.all(panes.map(pane => ask("/predict", {
        model: pane.number, texts: [state.text], removed: [pane.removed()], removal: state.removal,
      })));
    } catch (error) {
      if (mine === guesses) {
        state.struck = [...answered];
        pressed();
      }
      throw error;
    }
    if (mine !== guesses) return;
    answered = [...state.struck];
    panes.forEach((pane, i) => {
      pane.probabilities(state.struck.length ? found[i].predictions[0] : pane.found);
    });
    const told = panes.map(pane => {
      const c = pane.model.labels.indexOf(pane.found.target);
      const change = pane.now.probabilities[c] - pane.found.probabilities[c];
      const name = panes.length > 1 ? `${pane.model.name}: ` : "";
      return `${name}${pane.found.target} ${percent(pane.now.probabilities[c])}, ${points(change)} points`;
    });
    status(state.struck.length ? `${state.struck.length} struck: ${told.join("; ")}.` : "");
  });
  const buttons = () => {
    const some = Boolean(panes.length && panes[0].found);
    for (const id of ["strongest", "change", "draw", "link", "save-page", "save-picture", "save-json"]) at(id).disabled = !some;
    for (const id of ["undo", "restore", "rest"]) at(id).disabled = !some || !state.struck.length;
  };

  // Acts.

  const strike = start => {
    const place = state.struck.indexOf(start);
    if (place >= 0) state.struck.splice(place, 1);
    else state.struck.push(start);
    predict().then(remember);
  };
  // A click waits for a second one, so that no answer to a strike comes before a replacement.
  let click = null;
  const cancelClick = () => {
    if (click) clearTimeout(click.timer);
    click = null;
  };
  const clicked = (pane, mark) => {
    const start = Number(mark.dataset.start);
    if (click && click.start === start) {
      cancelClick();
      pane.press();
      replace(pane, mark);
      return;
    }
    if (click) click.now();
    const now = () => { cancelClick(); strike(start); };
    mark.setAttribute("aria-pressed", String(mark.getAttribute("aria-pressed") !== "true"));
    click = { start, now, timer: setTimeout(now, TWICE) };
  };
  const put = (pane, { start, end }, written) => {
    const longer = Array.from(written).length - (end - start);
    const moved = place => (place >= end ? place + longer : place);
    const within = state.replaced.some(([from, to]) => from <= start && end <= to);
    const replaced = state.replaced.filter(([from, to]) => !(start <= from && to <= end) || (from === start && to === end))
      .map(([from, to, was]) => [moved(from), moved(to), was]);
    if (!within) replaced.push([start, end + longer, pane.written({ start, end })]);
    if (!state.replaced.length) panes.forEach(each => { each.before = each.found; });
    const characters = [...pane.characters];
    characters.splice(start, end - start, written);
    return set({
      text: characters.join(""), struck: state.struck.filter(place => place !== start).map(moved),
      replaced: replaced.filter(([from, to, was]) => [...characters.join("")].slice(from, to).join("") !== was),
    });
  };
  const replace = (pane, mark) => {
    const start = Number(mark.dataset.start);
    const word = pane.found.words.find(w => w.start === start);
    const field = make("input", { "aria-label": `Instead of ${mark.textContent}`, value: mark.textContent });
    mark.replaceWith(field);
    field.focus();
    field.select();
    let done = false;
    const finish = accepted => {
      if (done) return;
      done = true;
      if (!accepted || field.value === mark.textContent) { field.replaceWith(mark); mark.focus(); return; }
      put(pane, word, field.value);
    };
    field.addEventListener("keydown", event => {
      if (event.key === "Enter") finish(true);
      if (event.key === "Escape") finish(false);
    });
    field.addEventListener("blur", () => finish(true));
  };
  const strongest = () => {
    const struck = new Set(state.struck);
    const left = panes[0].found.words.filter(w => !struck.has(w.start) && w.relevance > 0);
    if (!left.length) return status("No word is left that speaks for the class.");
    strike(left.reduce((a, b) => (b.relevance > a.relevance ? b : a)).start);
  };
  const change = () => attempt(async () => {
    status("Looking for words…");
    const found = await ask("/change", { text: state.text, removal: state.removal });
    state.struck = found.words.map(word => word.start);
    await predict();
    remember();
    const { before, after } = found, of = models.length > 1 ? ` of ${models[0].name}` : "";
    const words = found.words.map(word => `“${panes[0].written(word)}”`).join(", ");
    const smaller = found.words.length > 1 ? " A smaller set may exist." : "";
    status(!words ? `A text of one word: nothing is left without it, so nothing was tried.`
      : found.changed ? `Without ${words} the answer${of} is ${after.predicted}, no longer ${before.predicted}.${smaller}`
        : `The answer${of} stays ${before.predicted} without ${words}; no words were found that change it.`);
  });
  const rest = async () => {
    const struck = panes[0].struck, characters = [...panes[0].characters];
    for (const { start, end } of [...struck].reverse()) {
      const blank = /\s/.test(characters[end] || "") && (start === 0 || /\s/.test(characters[start - 1]));
      characters.splice(start, end - start + blank);
    }
    await set({ text: characters.join(""), struck: [], replaced: [] });
    remember();
  };
  let curvesOf = null; // the text that the curves are of
  const draw = () => attempt(async () => {
    const methods = [...new Set([state.method, "lrp", "gradient_x_input", "occlusion"])].slice(0, 4);
    at("curves").hidden = true;
    const { text, removal } = state;
    const found = await ask("/curves", {
      text, target: state.target, against: state.against || null, methods, removal,
    });
    const of = models.length > 1 ? [" by ", name(models[0].name)] : [], { empty } = found;
    const all = found.curves[0].values.length > panes[0].found.words.length;
    const share = empty && percent(empty.probabilities[models[0].labels.indexOf(empty.predicted)]);
    at("curves").replaceChildren(
      make("figcaption", {}, "Probability of ", name(found.label), ...of,
        ` while the words that each method finds most relevant are ${REMOVALS[removal][0]} one after the other. A good explanation falls fast. `,
        ...(empty ? ["To a text without any word the model answers ", name(empty.predicted), ` ${share}${all ? "; there every curve ends" : ""}.`] : ["The last word stays."])),
      deletionCurve(found.curves, key => (key === "chance" ? "random order" : titles[key]), percent));
    at("curves").hidden = text !== state.text;
    curvesOf = text;
  });

  // What was tried, and how it is kept.

  // A row for each text with what is struck in it; what else was chosen is told in the row.
  const entries = [];
  const remember = () => {
    clearTimeout(settled);
    if (panes.some(pane => !pane.found || pane.found.text !== state.text)) return;
    const entry = { ...state, struck: [...state.struck], replaced: [...state.replaced] };
    const key = JSON.stringify([entry.text, [...entry.struck].sort((a, b) => a - b), entry.struck.length && entry.removal]);
    const said = panes.map(({ now, model }) => `${now.predicted} ${percent(now.probabilities[model.labels.indexOf(now.predicted)])}`);
    const row = { key, entry, struck: panes[0].struck, said: said.join(" · ") };
    const known = entries.findIndex(each => each.key === key);
    if (known >= 0) entries[known] = row;
    else entries.unshift(row);
    entries.length = Math.min(entries.length, KEPT);
    at("tried").hidden = false;
    at("history").replaceChildren(...entries.map(each => {
      const settings = chosen(each.entry);
      const button = make("button", { type: "button" },
        make("span", { dir: "auto" }, ...strokes(each)),
        name(`${settings ? `${settings} · ` : ""}${each.said}`));
      if (each === row) button.setAttribute("aria-current", "true");
      button.addEventListener("click", () => set({ ...each.entry, struck: [...each.entry.struck] }));
      return make("li", {}, button);
    }));
  };
  const strokes = ({ entry, struck }) => {
    const characters = Array.from(entry.text), first = struck.length ? struck[0].start : 0;
    let place = first > 60 ? first - 30 : 0;
    const parts = place ? ["… "] : [];
    for (const { start, end } of struck) {
      parts.push(characters.slice(place, start).join(""), make("s", {}, characters.slice(start, end).join("")));
      place = end;
    }
    return [...parts, characters.slice(place, place + EXCERPT).join("")];
  };
  const chosen = entry => [
    entry.target === "predicted" ? "" : `why ${entry.target}`, entry.against && `rather than ${entry.against}`,
    entry.method === "lrp" ? "" : titles[entry.method], entry.struck.length ? REMOVALS[entry.removal][0] : "",
  ].filter(Boolean).join(", ");
  const set = async changes => {
    const moved = ["target", "against", "method", "removal"].some(key => key in changes && changes[key] !== state[key]);
    cancelClick();
    Object.assign(state, changes);
    at("text").value = state.text;
    for (const setting of SETTINGS) at(setting).value = state[setting];
    document.body.classList.toggle("by-sentence", state.unit === "sentences");
    at("taken").textContent = REMOVALS[state.removal][1];
    const drawn = !at("curves").hidden;
    await explain();
    if (moved && drawn && curvesOf === state.text) await draw();
  };
  const link = async () => {
    const packed = new URLSearchParams({ try: JSON.stringify(state) });
    const address = `${location.origin}${location.pathname}#${packed}`;
    history.replaceState(null, "", address);
    try { await navigator.clipboard.writeText(address); status("Copied. The link holds text and settings; it is not sent anywhere."); }
    catch { status("The link is in the address line; it holds text and settings."); }
  };
  const unpacked = () => {
    try {
      const found = JSON.parse(new URLSearchParams(location.hash.slice(1)).get("try"));
      const kept = Object.entries(found || {}).filter(([key, value]) => key in state && typeof value === typeof state[key]);
      const safe = Object.fromEntries(kept);
      if (safe.struck) safe.struck = Array.isArray(safe.struck) ? safe.struck.filter(Number.isInteger) : [];
      const places = each => Array.isArray(each) && each.slice(0, 2).every(Number.isInteger) && typeof each[2] === "string";
      if (safe.replaced) safe.replaced = Array.isArray(safe.replaced) ? safe.replaced.filter(places) : [];
      return safe;
    } catch { return {}; }
  };
  const save = (blob, file) => {
    const address = URL.createObjectURL(blob);
    const anchor = make("a", { href: address, download: file });
    anchor.click();
    setTimeout(() => URL.revokeObjectURL(address), 10000);
  };
  const kept = pane => ({
    ...question(pane), removal: state.removal,
    edited: [{
      struck: pane.struck.map(({ start, end }) => ({ start, end })),
      replaced: state.replaced.map(([start, end, was]) => ({ start, end, was })),
    }],
  });
  const saved = (path, file) => attempt(async () => {
    const by = state.unit === "sentences" ? "sentence" : "word";
    const asked = { ...kept(panes[0]), by, both: panes.length > 1 };
    save(await (await fetched(path, asked)).blob(), file);
  });
  const savedNumbers = () => attempt(async () => {
    const answers = await Promise.all(panes.map(pane => ask("/explain", kept(pane))));
    const named = answers.map((answer, i) => ({ model: models[i].name, fingerprint: models[i].fingerprint, ...answer }));
    const { target, against, method, unit, removal } = state;
    const whole = { seqlrp: version, saved: new Date().toISOString(), settings: { target, against, method, unit, removal }, answers: named };
    save(new Blob([JSON.stringify(whole, null, 2)], { type: "application/json" }), "explanation.json");
  });

  // Before there is a text: what the models choose between, and a few texts to begin with.

  const listed = labels => {
    const shown = labels.length > NAMED ? labels.slice(0, NAMED) : labels;
    const parts = shown.flatMap((label, i) => [i ? (i < labels.length - 1 ? ", " : " and ") : "", make("b", {}, name(label))]);
    return labels.length > NAMED ? [...parts, ` and ${labels.length - NAMED} more`] : parts;
  };
  const welcome = async () => {
    at("chooses").replaceChildren(...(alike ? models.slice(0, 1) : models).flatMap((model, i) => [
      i ? make("br") : "", alike ? (models.length > 1 ? "Both models choose" : "The model chooses") : name(model.name),
      alike ? " between " : ": ", ...listed(model.labels), "."]));
    const texts = await Promise.all(offered.map(async k => (await ask(`/example/${k}`)).text));
    at("offer").hidden = !texts.length;
    at("examples").replaceChildren(...texts.map(text => {
      const button = make("button", { type: "button", dir: "auto" }, text.slice(0, EXCERPT));
      button.addEventListener("click", () => set({ text, struck: [], replaced: [] }));
      return make("li", {}, button);
    }));
  };
  const differ = () => {
    alike = models.every(model => String(model.labels) === String(models[0].labels));
    at("differ").hidden = alike;
    at("differ").textContent = "The two models have different labels: their answers and probabilities cannot be compared, and a class can be asked for only where both have it.";
    if (models.length < 2) return;
    at("strongest").textContent = `Strike the strongest word of ${models[0].name}`;
    at("change").textContent = `What would change the answer of ${models[0].name}?`;
    at("draw").textContent = `Draw the deletion curve of ${models[0].name}`;
  };
  const fill = (id, options) => at(id).replaceChildren(
    ...options.map(([value, text]) => make("option", { value }, text)));
  const REMOVALS = {
    zero: ["zeroed", "Zeroed: its place stays, with nothing in it; the usual choice."],
    delete: ["deleted", "Deleted: the words behind it move up; take this for how the shorter text would read."],
    unk: ["unknown", "Unknown: a word that the model does not know stands there; take this where it met such words in training."],
    mask: ["masked", "Masked: the mask of the vocabulary stands there or, where there is none, the mean of all words."],
  };
  const fillMethods = comparison => {
    const option = ([value, text]) => make("option", { value }, text);
    const parts = [false, true].map(last => Object.entries(titles).filter(([method]) => comparison.includes(method) === last).map(option));
    at("method").replaceChildren(...parts[0], ...(parts[1].length ? [make("optgroup", { label: "for comparison" }, ...parts[1])] : []));
  };
  const described = ({ name: called, about, kind, labels }) =>
    `${about || called} · ${kind} · ${labels.length > NAMED ? `${labels.length} classes` : labels.join(", ")}`;
  let examples = 0, titles = {}, offered = [], alike = true, version = "";

  attempt(async () => {
    const found = await ask("/model");
    ({ models, examples, offered, version } = found);
    const shared = models.length > 1
      ? models[0].labels.filter(label => models[1].labels.includes(label)) : models[0].labels;
    const labels = shared.map(label => [label, label]);
    fill("target", [["predicted", "the predicted class"], ...labels]);
    fill("against", [["", "nothing else"], ...labels]);
    titles = Object.fromEntries(found.methods.map((method, i) => [method, found.titles[i]]));
    fillMethods(found.comparison);
    fill("removal", models[0].removals.map(removal => [removal, REMOVALS[removal][0]]));
    at("about").replaceChildren(...models.map(model => make("span", {}, described(model))));
    differ();
    at("made").textContent = [`seqlrp ${version}`,
      ...models.map(model => `${model.name}: weights and vocabulary ${model.fingerprint}`)].join(" · ");
    document.title = `${models.map(model => model.name).join(" and ")}: try a text`;
    panes = models.map((model, i) => new Pane(i, model));
    at("panes").replaceChildren(...panes.map(pane => pane.section));
    at("panes").classList.toggle("two", panes.length > 1);
    at("example").hidden = !examples;
    attempt(welcome);
    buttons();
    await set(unpacked());
    at("text").focus();
  });

  at("text").addEventListener("input", () => {
    state.text = at("text").value;
    state.struck = [];
    state.replaced = [];
    soon();
  });
  for (const setting of SETTINGS) {
    at(setting).addEventListener("change", () => set({ [setting]: at(setting).value }));
  }
  at("example").addEventListener("click", () => attempt(async () => {
    const { text } = await ask(`/example/${Math.floor(Math.random() * examples)}`);
    await set({ text, struck: [], replaced: [] });
  }));
  at("strongest").addEventListener("click", strongest);
  at("undo").addEventListener("click", () => { state.struck.pop(); predict().then(remember); });
  at("restore").addEventListener("click", () => { state.struck = []; predict().then(remember); });
  at("rest").addEventListener("click", () => attempt(rest));
  at("change").addEventListener("click", change);
  at("draw").addEventListener("click", draw);
  at("link").addEventListener("click", link);
  at("save-page").addEventListener("click", () => saved("/page", "explanation.html"));
  at("save-picture").addEventListener("click", () => saved("/picture", "explanation.png"));
  at("save-json").addEventListener("click", savedNumbers);
  document.forms[0].addEventListener("submit", event => event.preventDefault());
})();
