"use strict";
// Asks the server while one types, and shows the answers. Text reaches the page as text alone.
(() => {
  const SHADES = 20, SETTLED = 1200, KEPT = 50, NAMED = 6, EXCERPT = 300;
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
        class: "text", role: "group", tabindex: "0",
        "aria-label": "Words; the arrow keys go from word to word, Delete strikes one",
      });
      this.rows = make("tbody");
      const head = make("thead", { class: "spoken" }, make("tr", {},
        ...["Class", "", "Probability", "Change in points"].map(t => make("th", { scope: "col" }, t))));
      this.table = make("table", { class: "classes" }, head, this.rows);
      this.section = make("section", { class: "pane", "aria-label": model.name });
      if (models.length > 1) this.section.append(make("h2", {}, name(model.name)));
      this.legend = make("p", { class: "legend" });
      this.section.append(this.answer, make("div", { class: "read" }, this.text, this.legend), this.table);
      this.text.addEventListener("click", event => {
        const word = event.target.closest("u");
        if (word && event.detail < 2) strike(Number(word.dataset.start));
      });
      this.text.addEventListener("dblclick", event => {
        const word = event.target.closest("u");
        if (word) replace(this, word);
      });
      this.text.addEventListener("keydown", event => this.key(event));
    }
    clear() {
      this.found = null;
      for (const part of [this.answer, this.text, this.legend, this.rows]) part.replaceChildren();
      this.section.classList.remove("stale");
    }
    get words() { return [...this.text.querySelectorAll("u")]; }
    removed() {
      const struck = new Set(state.struck);
      return this.found.words.filter(w => struck.has(w.start)).flatMap(w => w.tokens);
    }
    show(found) {
      this.found = found;
      const focused = this.words.indexOf(document.activeElement);
      const characters = Array.from(found.text); // places are counted in code points
      const slice = (start, end) => characters.slice(start, end).join("");
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
          const { start, end, relevance } = found.words[word];
          const mark = make("u", {
            role: "button", tabindex: "-1", "aria-pressed": "false", "data-start": start,
            title: `relevance ${relevance.toPrecision(3)}`,
          }, slice(start, end));
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
    probabilities(now) {
      const before = this.found.probabilities, changed = now.probabilities !== before;
      this.now = now;
      const label = make("b", {}, name(now.predicted));
      const index = this.model.labels.indexOf(now.predicted);
      this.answer.replaceChildren(label, ` ${percent(now.probabilities[index])}`);
      if (changed && now.predicted !== this.found.predicted) {
        this.answer.append(make("span", {}, ", was ", name(this.found.predicted)));
      }
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
    } finally {
      if (running === mine) {
        running = null;
        if (again) explain();
      }
    }
  });
  const explained = async signal => {
    const empty = !state.text.trim();
    document.body.classList.toggle("empty", empty);
    if (empty) {
      panes.forEach(pane => pane.clear());
      status("");
      buttons();
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
    panes.forEach(pane => pane.section.classList.add("stale"));
    if (running) again = true;
    else explain();
  };
  const predict = () => attempt(async () => {
    panes.forEach(pane => pane.press());
    buttons();
    const found = await Promise.all(panes.map(pane => ask("/predict", {
      model: pane.number, texts: [state.text], removed: [pane.removed()], removal: state.removal,
    })));
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
    at("undo").disabled = at("restore").disabled = !state.struck.length;
  };

  // Acts.

  const strike = start => {
    const place = state.struck.indexOf(start);
    if (place >= 0) state.struck.splice(place, 1);
    else state.struck.push(start);
    predict().then(remember);
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
      const characters = Array.from(pane.found.text);
      characters.splice(word.start, word.end - word.start, field.value);
      set({ text: characters.join(""), struck: [] });
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
    const words = found.words.length === 1 ? "word" : "words";
    const { before, after } = found, of = models.length > 1 ? ` of ${models[0].name}` : "";
    status(found.changed
      ? `Without ${found.words.length} ${words} the answer${of} is ${after.predicted}, no longer ${before.predicted}. A smaller set may exist.`
      : `The answer${of} stays ${before.predicted} without ${found.words.length} ${words}.`);
  });
  const draw = () => attempt(async () => {
    const methods = [...new Set([state.method, "lrp", "gradient_x_input", "occlusion"])].slice(0, 4);
    const found = await ask("/curves", {
      text: state.text, target: state.target, against: state.against || null, methods, removal: state.removal,
    });
    at("curves").replaceChildren(
      make("figcaption", {}, "Probability of ", name(found.label), ...(models.length > 1 ? [" by ", name(models[0].name)] : []), " while the most relevant words are removed; a good explanation falls fast."),
      picture(found.curves));
    at("curves").hidden = false;
  });
  const svg = (tag, attributes, ...children) => {
    const made = document.createElementNS("http://www.w3.org/2000/svg", tag);
    for (const [key, value] of Object.entries(attributes)) made.setAttribute(key, value);
    made.append(...children);
    return made;
  };
  const curveName = name => (name === "chance" ? "random order" : titles[name]);
  const picture = curves => {
    const WIDTH = 560, HEIGHT = 220, LEFT = 46, RIGHT = 130, BOTTOM = 44, TOP = 10;
    const steps = curves[0].values.length - 1;
    const x = n => LEFT + (WIDTH - LEFT - RIGHT) * (steps ? n / steps : 0);
    const y = p => TOP + (HEIGHT - TOP - BOTTOM) * (1 - p);
    const drawn = svg("svg", { viewBox: `0 0 ${WIDTH} ${HEIGHT}`, role: "img", "aria-label": curves.map(c => `${c.name}: ${c.values.map(percent).join(", ")}`).join("; ") });
    for (const p of [0, 0.5, 1]) {
      drawn.append(svg("line", { class: "axis", x1: x(0), x2: x(steps), y1: y(p), y2: y(p) }),
        svg("text", { x: LEFT - 6, y: y(p) + 4, "text-anchor": "end" }, `${100 * p} %`));
    }
    for (const n of new Set([0, Math.round(steps / 2), steps])) drawn.append(svg("text", { x: x(n), y: y(0) + 16, "text-anchor": "middle" }, String(n)));
    drawn.append(svg("text", { x: (x(0) + x(steps)) / 2, y: HEIGHT - 10, "text-anchor": "middle" }, "words removed"));
    const ends = curves.map((c, i) => ({ i, at: y(c.values[steps]) })).sort((a, b) => a.at - b.at);
    const GAP = 16, LOWEST = y(0) - 4;
    ends.forEach((end, k) => { if (k) end.at = Math.max(end.at, ends[k - 1].at + GAP); });
    for (let k = ends.length - 1, low = LOWEST; k >= 0; k--, low -= GAP) ends[k].at = Math.min(ends[k].at, low);
    curves.forEach((curve, i) => {
      const style = curve.name === "chance" ? "chance" : `c${i}`;
      drawn.append(svg("polyline", { class: style, points: curve.values.map((p, n) => `${x(n)},${y(p)}`).join(" ") }),
        svg("text", { class: style, x: x(steps) + 6, y: ends.find(end => end.i === i).at + 4 }, curveName(curve.name)));
    });
    return drawn;
  };

  // What was tried, and how it is kept.

  const entries = [];
  const remember = () => {
    clearTimeout(settled);
    const pane = panes[0];
    if (!pane.found || pane.found.text !== state.text) return;
    const { text, struck, ...rest } = state;
    const entry = { ...rest, text, struck: [...struck] };
    if (entries.length && JSON.stringify(entries[0].entry) === JSON.stringify(entry)) return;
    const c = pane.model.labels.indexOf(pane.now.predicted);
    const gone = pane.words.filter(mark => mark.ariaPressed === "true").map(mark => mark.textContent);
    entries.unshift({ entry, gone, said: `${pane.now.predicted} ${percent(pane.now.probabilities[c])}` });
    entries.length = Math.min(entries.length, KEPT);
    at("tried").hidden = false;
    at("history").replaceChildren(...entries.map(each => {
      const button = make("button", { type: "button" },
        make("span", {}, ...each.gone.map(word => make("s", {}, word)), each.entry.text), name(each.said));
      button.addEventListener("click", () => set({ ...each.entry, struck: [...each.entry.struck] }));
      return make("li", {}, button);
    }));
  };
  const set = changes => {
    Object.assign(state, changes);
    at("text").value = state.text;
    for (const setting of SETTINGS) at(setting).value = state[setting];
    document.body.classList.toggle("by-sentence", state.unit === "sentences");
    return explain();
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
      return safe;
    } catch { return {}; }
  };
  const save = (blob, file) => {
    const address = URL.createObjectURL(blob);
    const anchor = make("a", { href: address, download: file });
    anchor.click();
    setTimeout(() => URL.revokeObjectURL(address), 10000);
  };
  const saved = (path, file) => attempt(async () => {
    save(await (await fetched(path, question(panes[0]))).blob(), file);
  });

  // Before there is a text: what the models choose between, and a few texts to begin with.

  const listed = labels => {
    const shown = labels.length > NAMED ? labels.slice(0, NAMED) : labels;
    const parts = shown.flatMap((label, i) => [i ? (i < labels.length - 1 ? ", " : " and ") : "", make("b", {}, name(label))]);
    return labels.length > NAMED ? [...parts, ` and ${labels.length - NAMED} more`] : parts;
  };
  const welcome = async () => {
    const alike = models.every(model => String(model.labels) === String(models[0].labels));
    at("chooses").replaceChildren(...(alike ? models.slice(0, 1) : models).flatMap((model, i) => [
      i ? make("br") : "", alike ? (models.length > 1 ? "Both models choose" : "The model chooses") : name(model.name),
      alike ? " between " : ": ", ...listed(model.labels), "."]));
    const numbers = [...new Set([0, 1, 2].map(k => Math.floor(k * examples / 3)))].filter(k => k < examples);
    const texts = await Promise.all(numbers.map(async k => (await ask(`/example/${k}`)).text));
    at("offer").hidden = !texts.length;
    at("examples").replaceChildren(...texts.map(text => {
      const button = make("button", { type: "button", dir: "auto" }, text.slice(0, EXCERPT));
      button.addEventListener("click", () => set({ text, struck: [] }));
      return make("li", {}, button);
    }));
  };
  const fill = (id, options) => at(id).replaceChildren(
    ...options.map(([value, text]) => make("option", { value }, text)));
  const REMOVALS = { zero: "zeroed", delete: "deleted", unk: "unknown", mask: "masked" };
  let examples = 0, titles = {};

  attempt(async () => {
    const offered = await ask("/model");
    ({ models, examples } = offered);
    const shared = models.length > 1
      ? models[0].labels.filter(label => models[1].labels.includes(label)) : models[0].labels;
    const labels = shared.map(label => [label, label]);
    fill("target", [["predicted", "the predicted class"], ...labels]);
    fill("against", [["", "nothing else"], ...labels]);
    titles = Object.fromEntries(offered.methods.map((method, i) => [method, offered.titles[i]]));
    fill("method", Object.entries(titles));
    fill("removal", models[0].removals.map(removal => [removal, REMOVALS[removal]]));
    at("about").textContent = models.map(model => model.name).join(" and ");
    at("made").textContent = [`seqlrp ${offered.version}`,
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
    soon();
  });
  for (const setting of SETTINGS) {
    at(setting).addEventListener("change", () => set({ [setting]: at(setting).value }));
  }
  at("example").addEventListener("click", () => attempt(async () => {
    const { text } = await ask(`/example/${Math.floor(Math.random() * examples)}`);
    await set({ text, struck: [] });
  }));
  at("strongest").addEventListener("click", strongest);
  at("undo").addEventListener("click", () => { state.struck.pop(); predict().then(remember); });
  at("restore").addEventListener("click", () => { state.struck = []; predict().then(remember); });
  at("change").addEventListener("click", change);
  at("draw").addEventListener("click", draw);
  at("link").addEventListener("click", link);
  at("save-page").addEventListener("click", () => saved("/page", "explanation.html"));
  at("save-picture").addEventListener("click", () => saved("/picture", "explanation.png"));
  at("save-json").addEventListener("click", () => attempt(async () => {
    const found = await ask("/explain", question(panes[0]));
    save(new Blob([JSON.stringify(found, null, 2)], { type: "application/json" }), "explanation.json");
  }));
  document.forms[0].addEventListener("submit", event => event.preventDefault());
})();
