"use strict";
// Everything can be read without this script. It adds values on demand, other classes, sentences,
// thresholds and palettes, search, filter and order. Text reaches the page as text alone.
(() => {
  const SHADES = 20, LISTED = 5, TABLE = 0.05, AT_ONCE = 50, LISTED_AT_ONCE = 200;
  const root = document.body;
  const all = (selector, from = root) => [...from.querySelectorAll(selector)];
  const one = (selector, from = root) => from.querySelector(selector);
  const make = (tag, text = "", attributes = {}) => {
    const made = document.createElement(tag);
    made.textContent = text;
    for (const [name, value] of Object.entries(attributes)) made.setAttribute(name, value);
    return made;
  };
  const largestOf = values => values.reduce((most, value) => Math.max(most, Math.abs(value)), 0);

  // Numbers as the page prints them: a sign, and the decimals that give four figures of the largest.
  const decimalsOf = largest => (largest ? 3 - Math.floor(Math.log10(largest)) : 3);
  const printed = (value, decimals) => {
    const fixed = decimals >= -3 && decimals <= 8;
    let text = fixed ? value.toFixed(Math.max(decimals, 0)) : value.toExponential(3);
    text = text.replace(/e([+-])(\d)$/, (_, sign, digit) => `e${sign}0${digit}`);
    if (!Number(text)) text = text.replace("-", "");
    return text.startsWith("-") ? text : `+${text}`;
  };

  // Texts: their marks, what the marks say, and the colours.

  let threshold = 1 / SHADES;
  const bySentence = () => root.classList.contains("by-sentence");
  const units = () => document.getElementById("unit")?.selectedOptions[0].text
    ?? (bySentence() ? "sentences" : "words");  // an index has no such control

  class Marks {
    constructor(elements) {
      this.elements = elements;
      this.set(elements.map(mark => Number(mark.dataset.v)));
    }
    set(values, decimals) {
      this.values = values;
      this.largest = largestOf(values);
      this.sum = values.reduce((sum, value) => sum + Math.abs(value), 0);
      if (decimals === undefined) return;
      values.forEach((value, i) => { this.elements[i].dataset.v = printed(value, decimals); });
    }
    paint(deepest, kind) {
      const largest = deepest || this.largest;
      this.values.forEach((value, i) => {
        const share = largest ? value / largest : 0;
        const level = Math.abs(share) < threshold ? 0 : Math.trunc(share * SHADES);
        const shade = level > 0 ? `f${level}` : level < 0 ? `a${-level}` : "";
        const name = kind && shade ? `${kind} ${shade}` : kind || shade;
        if (name) this.elements[i].className = name;
        else this.elements[i].removeAttribute("class");
      });
    }
  }

  // 16-bit integers of all classes, row by row: `count` values of class `c`.
  const unpacked = ({ k, q }, c, count) => {
    const bytes = Uint8Array.from(atob(q), character => character.charCodeAt(0));
    const view = new DataView(bytes.buffer);
    const value = i => view.getInt16(2 * (c * count + i), true);
    return Array.from({ length: count }, (_, i) =>
      k[c] < 0 ? value(i) * 10 ** -k[c] : value(i) / 10 ** k[c]);
  };

  class Pane {
    constructor(section) {
      this.section = section;
      this.text = one(".text", section);
      this.deepest = [Number(section.dataset.w || 0), Number(section.dataset.s || 0)];
      this.legend = one(".legend", section);
      const data = one('script[type="application/json"]', section);
      this.data = data && JSON.parse(data.textContent);
      this.target = this.data && this.data.predicted;
      this.text.tabIndex = 0;
      this.text.setAttribute("role", "group");
      this.text.setAttribute("aria-label", "Text; the arrow keys go from word to word");
      if (this.data && this.data.labels.length > 1) this.choose();
    }
    // Read when they are needed: a page may hold a hundred thousand words.
    get words() { return (this._words ??= new Marks(all("u", this.text))); }
    get sentences() { return (this._sentences ??= new Marks(all(".s", this.text))); }
    get marks() { return bySentence() ? this.sentences : this.words; }

    choose() {
      const { labels, predicted } = this.data;
      this.select = make("select", "", { "aria-label": "Explained class" });
      labels.forEach((label, c) => {
        const notes = [c === predicted && "predicted", c === this.data.true && "true"];
        const said = notes.filter(Boolean).join(", ");
        this.select.append(make("option", said ? `${label} (${said})` : label, { value: c }));
      });
      this.select.value = predicted;
      this.select.addEventListener("change", () => this.show(Number(this.select.value)));
      one(".asked", this.section).replaceChildren(this.select);
    }
    show(target) {
      if (this.target === target) return;
      this.target = target;
      this.select.value = target;
      for (const [marks, values] of [
        [this.words, this.data.words], [this.sentences, this.data.sentences],
      ]) marks.set(unpacked(values, target, marks.elements.length), values.k[target]);
      this.paint();
      this.strongest();
      this.account();
    }
    paint() {
      this.words.paint(this.deepest[0], "");
      this.sentences.paint(this.deepest[1], "s");
      this.scale();
    }
    scale() {
      const largest = this.deepest[Number(bySentence())] || this.marks.largest;
      if (!this.legend) return;
      const parts = this.legend.children, decimals = decimalsOf(largest);
      parts[1].textContent = printed(-largest, decimals);
      parts[5].textContent = printed(largest, decimals);
      this.legend.hidden = !largest;
      if (this.data) {
        const label = this.data.labels[this.target];
        one("bdi", parts[0]).textContent = one("bdi", parts[6]).textContent = label;
      }
    }
    strongest() {
      const { values, elements } = this.words;
      const order = sign => values
        .map((value, i) => [elements[i].textContent, value])
        .filter(([word, value]) => sign * value > 0 && word.trim())
        .sort((a, b) => sign * (b[1] - a[1]))
        .slice(0, LISTED);
      const bars = [...order(1), ...order(-1).reverse()];
      const largest = largestOf(bars.map(bar => bar[1]));
      const section = one(".top", this.section);
      const shown = bars.filter(bar => Math.abs(bar[1]) >= TABLE * largest);
      if (shown.length) section.replaceChildren(table("Strongest words", shown));
      else section.replaceChildren(
        make("p", "No word speaks for or against.", { class: "quiet" }));
    }
    account() {
      const section = one(".account", this.section);
      const total = [one("tfoot bdi", section).textContent, this.data.start[this.target]];
      const rows = this.data.account.map(([name, values]) => [name, values[this.target]]);
      const decimals = decimalsOf(largestOf([...rows, total].map(row => row[1])));
      const nothing = printed(0, decimals);
      const told = rows.filter(([, v], i) => i === 0 || printed(v, decimals) !== nothing);
      section.replaceChildren(table(one("caption", section).textContent, told, total));
    }
    said(mark) {
      const { elements, values, sum } = this.marks;
      const value = values[elements.indexOf(mark)];
      const share = sum ? (100 * Math.abs(value)) / sum : 0;
      return `${mark.dataset.v} · ${share.toFixed(1)} % of all ${units()}`;
    }
  }

  const table = (caption, bars, total) => {
    const largest = largestOf([...bars, ...(total ? [total] : [])].map(bar => bar[1]));
    const decimals = decimalsOf(largest);
    const row = ([name, value]) => {
      const made = make("tr"), heading = make("th", "", { scope: "row" });
      heading.append(make("bdi", name));
      const width = largest ? (50 * Math.abs(value)) / largest : 0;
      const svg = document.createElementNS("http://www.w3.org/2000/svg", "svg");
      const bar = document.createElementNS("http://www.w3.org/2000/svg", "rect");
      svg.setAttribute("aria-hidden", "true");
      bar.setAttribute("x", `${(value > 0 ? 50 : 50 - width).toFixed(1)}%`);
      bar.setAttribute("width", `${width.toFixed(1)}%`);
      bar.setAttribute("class", value > 0 ? "up" : "down");
      svg.append(bar);
      const cell = make("td");
      cell.append(svg);
      made.append(heading, make("td", printed(value, decimals)), cell);
      return made;
    };
    const made = make("table"), body = make("tbody");
    body.append(...bars.map(row));
    made.append(make("caption", caption), body);
    if (total) made.append(make("tfoot"));
    if (total) made.lastChild.append(row(total));
    return made;
  };

  const panes = new Map(all(".pane").map(section => [section, new Pane(section)]));
  const paneOf = mark => panes.get(mark.closest(".pane"));

  // Values: at the pointer, at the focus, and read out.

  const tip = make("div", "", { class: "tip", "aria-hidden": "true", hidden: "" });
  const spoken = make("p", "", { class: "spoken", role: "status" });
  root.append(tip, spoken);
  root.classList.add("lively");

  const markAt = node => node.closest?.(bySentence() ? ".text .s" : ".text u");
  const tell = (mark, y) => {
    tip.textContent = paneOf(mark).said(mark);
    tip.hidden = false;
    const boxes = [...mark.getClientRects()];
    const box = boxes.find(b => y >= b.top && y <= b.bottom) || boxes[0];
    const left = Math.min(box.left, document.documentElement.clientWidth - tip.offsetWidth - 8);
    const above = box.top - tip.offsetHeight - 4;
    tip.style.left = `${Math.max(left, 8) + scrollX}px`;
    tip.style.top = `${(above < 0 ? box.bottom + 4 : above) + scrollY}px`;
  };
  const hush = () => { tip.hidden = true; };
  const go = mark => {
    mark.tabIndex = -1;
    mark.focus();
    spoken.textContent = `${mark.textContent}: ${paneOf(mark).said(mark)}`;
  };
  root.addEventListener("pointerover", event => {
    const mark = markAt(event.target);
    if (mark) tell(mark, event.clientY);
    else if (event.pointerType === "mouse") hush();
  });
  root.addEventListener("focusin", event => {
    const mark = markAt(event.target);
    if (mark) tell(mark);
    else hush();
  });
  root.addEventListener("focusout", hush);
  root.addEventListener("click", event => {
    const mark = markAt(event.target);
    if (mark && String(getSelection()) === "") go(mark);
  });
  root.addEventListener("keydown", event => {
    if (event.key === "Escape") hush();
    const text = event.target.closest?.(".text");
    if (!text || event.altKey || event.ctrlKey || event.metaKey) return;
    const marks = paneOf(text).marks.elements, now = marks.indexOf(markAt(event.target));
    const forward = getComputedStyle(text).direction === "rtl" ? "ArrowLeft" : "ArrowRight";
    const to = { [forward]: now + 1, Home: 0, End: marks.length - 1 }[event.key]
      ?? (event.key.startsWith("Arrow") && /Left|Right/.test(event.key) ? now - 1 : undefined);
    if (to === undefined) return;
    event.preventDefault();
    if (marks[to]) go(marks[to]);
  });

  // How the texts are shown.

  all(".controls").forEach(bar => { bar.hidden = false; });
  const on = (id, kind, act) => {
    const control = document.getElementById(id);
    control?.addEventListener(kind, () => act(control));
    return control;
  };
  on("unit", "change", control => {
    root.classList.toggle("by-sentence", control.value === "sentence");
    panes.forEach(pane => pane.scale());
    hush();
  });
  const slider = on("threshold", "input", control => {
    threshold = Number(control.value) / 100;
    control.nextElementSibling.textContent = `${control.value} %`;
    panes.forEach(pane => pane.paint());
  });
  if (slider) threshold = Number(slider.value) / 100;
  on("palette", "change", control => {
    for (const { value } of control.options) root.classList.toggle(value, value === control.value);
  });
  const target = on("target", "change", control => {
    panes.forEach(({ data }, section) => {
      const asked = { predicted: data?.predicted, true: data?.true }[control.value];
      const wanted = control.value.startsWith("=")
        ? data?.labels.indexOf(control.value.slice(1)) : asked ?? data?.predicted;
      if (data?.labels[wanted] !== undefined) panes.get(section).show(wanted);
    });
  });
  if (target) {
    const labels = new Set([...panes.values()].flatMap(pane => pane.data?.labels ?? []));
    for (const label of labels) target.append(make("option", label, { value: `=${label}` }));
  }

  // Search, filter, order, a part at a time.

  const list = one("nav ol");
  if (!list) return;
  const byShare = document.getElementById("margin")?.max === "100";  // of 100 %, not a score
  const items = all("li", list).map((li, place) => {
    const href = one("a", li).getAttribute("href"), names = all("b", li).map(b => b.textContent);
    const article = href.startsWith("#") ? document.getElementById(href.slice(1)) : null;
    const outcome = li.lastElementChild.textContent.includes("✓ right") ? "1"
      : names.length > 1 ? "0" : "";
    const sure = byShare ? li.dataset.p : li.dataset.m;
    const margin = sure === undefined ? Infinity : Number(sure);
    return { li, place, article, outcome, margin, predicted: names[0], label: names[1] };
  });
  const inside = item => (item.searched ??= [
    one("a", item.li).textContent, item.li.dataset.i ?? "",
    ...(item.article ? all(".text", item.article).map(text => text.textContent) : []),
  ].join("\n").toLowerCase());
  const classes = document.getElementById("class");
  for (const name of [...new Set(items.flatMap(i => [i.predicted, i.label ?? i.predicted]))].sort())
    classes.append(make("option", name, { value: `=${name}` }));
  const value = id => document.getElementById(id)?.value ?? "";  // not all are on every page
  const orders = {
    least: (a, b) => a.margin - b.margin,
    most: (a, b) => b.margin - a.margin,
    wrong: (a, b) => (b.outcome === "0") - (a.outcome === "0"),
    class: (a, b) => (a.predicted < b.predicted ? -1 : a.predicted > b.predicted ? 1 : 0),
  };
  const atOnce = items[0].article ? AT_ONCE : LISTED_AT_ONCE;
  const turn = one(".finder .turn");
  let found = items, part = 0;

  const lay = () => {
    const parts = Math.max(1, Math.ceil(found.length / atOnce));
    part = Math.min(Math.max(part, 0), parts - 1);
    const shown = found.slice(part * atOnce, (part + 1) * atOnce), these = new Set(shown);
    for (const item of items) {
      item.li.hidden = !these.has(item);
      if (item.article) item.article.hidden = item.li.hidden;
    }
    list.append(...shown.map(item => item.li));
    if (items[0].article) items[0].article.parentNode.append(...shown.map(item => item.article));
    const range = parts > 1 ? `, ${part * atOnce + 1} to ${part * atOnce + shown.length} shown` : "";
    document.getElementById("count").textContent =
      `${found.length} of ${items.length} texts${range}`;
    turn.replaceChildren(...[["Previous", part - 1], ["Next", part + 1]].map(([name, to]) => {
      const button = make("button", name, { type: "button" });
      button.disabled = to < 0 || to >= parts;
      button.addEventListener("click", () => { part = to; lay(); });
      return button;
    }));
    turn.hidden = parts < 2;
  };
  const find = () => {
    const words = value("search").toLowerCase().split(/\s+/).filter(Boolean);
    const name = value("class").slice(1), most = value("margin"), outcome = value("outcome");
    found = items.filter(item =>
      words.every(word => inside(item).includes(word))
      && (!value("class") || item.predicted === name || item.label === name)
      && (!outcome || item.outcome === outcome)
      && (most === "" || item.margin <= Number(most)));
    const order = orders[value("order")];
    found.sort((a, b) => (order ? order(a, b) : 0) || a.place - b.place);
    part = 0;
    lay();
  };
  for (const id of ["search", "class", "outcome", "margin", "order"]) {
    document.getElementById(id)?.addEventListener("input", find);
  }
  const follow = () => {  // a link from the top, too
    const item = items.find(({ article }) => article && `#${article.id}` === location.hash);
    if (!item) return;
    if (!found.includes(item)) {
      for (const control of all(".finder input, .finder select"))
        if (control.id !== "order") control.value = "";
      find();
    }
    part = Math.floor(found.indexOf(item) / atOnce);
    lay();
    item.article.scrollIntoView();
  };
  addEventListener("hashchange", follow);
  addEventListener("beforeprint", () => {  // all that were found, in their order
    const articles = found.map(item => item.article).filter(Boolean);
    for (const article of articles) article.hidden = false;
    articles[0]?.parentNode.append(...articles);
  });
  addEventListener("afterprint", lay);
  find();
  follow();
})();
