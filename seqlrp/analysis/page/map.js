
"use strict";
// The map: a point opens its text, highlighted. Text reaches the page as text alone.
(() => {
  const map = document.querySelector("svg.map");
  if (!map) return;
  const block = document.querySelector('.points > script[type="application/json"]');
  const texts = JSON.parse(block.textContent);
  const opened = document.querySelector(".opened"), choice = document.getElementById("map-class");
  const points = [...map.querySelectorAll("path")];
  let chosen = -1;
  const show = number => {
    points[chosen]?.classList.remove("chosen");
    chosen = number;
    const point = points[number], [about, pieces, levels, more] = texts[Number(point.dataset.n)];
    point.classList.add("chosen");
    const heading = document.createElement("p"), text = document.createElement("div");
    heading.className = "quiet";
    heading.textContent = about;
    text.dir = "auto";
    pieces.split("\t").forEach((piece, i) => {
      if (i % 2 === 0) { text.append(piece); return; }
      const level = levels.charCodeAt((i - 1) / 2) - 65;
      const mark = document.createElement(level ? "mark" : "span");
      if (level) mark.className = level <= 20 ? `f${level}` : `a${level - 20}`;
      mark.textContent = piece;
      text.append(mark);
    });
    if (more) text.append(" …");
    opened.replaceChildren(heading, text);
  };
  map.addEventListener("click", event => {
    const at = points.indexOf(event.target.closest("path"));
    if (at >= 0) show(at);
  });
  map.setAttribute("tabindex", "0");
  map.addEventListener("keydown", event => {
    const step = { ArrowRight: 1, ArrowDown: 1, ArrowLeft: -1, ArrowUp: -1 }[event.key];
    if (!step) return;
    event.preventDefault();
    let at = chosen;
    do at += step; while (points[at]?.classList.contains("faint"));
    if (points[at]) show(at);
  });
  document.querySelectorAll(".part .by-script").forEach(e => { e.hidden = false; });
  choice.addEventListener("change", () => points.forEach(point => {
    point.classList.toggle("faint", choice.value !== "" && point.dataset.c !== choice.value);
  }));
})();
