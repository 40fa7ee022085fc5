// Draws deletion curves: a line with its own dashes and markers for each method.
const deletionCurve = (curves, named, percent) => {
  const WIDTH = 600, HEIGHT = 230, LEFT = 46, RIGHT = 176, BOTTOM = 44, TOP = 10, GAP = 20;
  const svg = (tag, attributes, ...children) => {
    const made = document.createElementNS("http://www.w3.org/2000/svg", tag);
    for (const [key, value] of Object.entries(attributes)) made.setAttribute(key, value);
    made.append(...children);
    return made;
  };
  const steps = curves[0].values.length - 1;
  const x = n => LEFT + (WIDTH - LEFT - RIGHT) * (steps ? n / steps : 0);
  const y = p => TOP + (HEIGHT - TOP - BOTTOM) * (1 - p);
  // Curves that lie on each other stay apart: hollow markers of one inside those of the other.
  const SHAPES = [
    (a, b) => svg("circle", { cx: a, cy: b, r: 5 }),
    (a, b) => svg("path", { d: `M${a - 3},${b - 3}h6v6h-6z` }),
    (a, b) => svg("path", { d: `M${a - 5},${b - 4}h10l-5,9z` }),
    (a, b) => svg("path", { d: `M${a - 7},${b}l7,-7l7,7l-7,7z` }),
  ];
  const style = (curve, i) => (curve.name === "chance" ? "chance" : `c${i}`);
  const line = (curve, i, points, marked) => svg("g", { class: style(curve, i) },
    svg("polyline", { points: points.map(([a, b]) => `${a},${b}`).join(" ") }),
    ...(curve.name === "chance" ? [] : marked.map(([a, b]) => SHAPES[i % SHAPES.length](a, b))));
  const drawn = svg("svg", {
    viewBox: `0 0 ${WIDTH} ${HEIGHT}`, role: "img",
    "aria-label": curves.map(c => `${named(c.name)}: ${c.values.map(percent).join(", ")}`).join("; "),
  });
  for (const p of [0, 0.5, 1]) {
    drawn.append(svg("line", { class: "axis", x1: x(0), x2: x(steps), y1: y(p), y2: y(p) }),
      svg("text", { x: LEFT - 6, y: y(p) + 4, "text-anchor": "end" }, `${100 * p} %`));
  }
  for (const n of new Set([0, Math.round(steps / 2), steps])) {
    drawn.append(svg("text", { x: x(n), y: y(0) + 16, "text-anchor": "middle" }, String(n)));
  }
  drawn.append(svg("text", { x: (x(0) + x(steps)) / 2, y: HEIGHT - 10, "text-anchor": "middle" }, "words removed"));
  const every = Math.ceil(steps / 12) || 1;
  curves.forEach((curve, i) => {
    const points = curve.values.map((p, n) => [x(n), y(p)]);
    drawn.append(line(curve, i, points, points.filter((_, n) => n % every === 0)));
  });
  // The key, in the order in which the curves end, with a sample of each line.
  const ends = curves.map((_, i) => i).sort((a, b) => curves[b].values[steps] - curves[a].values[steps]);
  ends.forEach((i, k) => {
    const from = WIDTH - RIGHT + 16, at = TOP + 8 + GAP * k;
    drawn.append(line(curves[i], i, [[from, at], [from + 30, at]], [[from + 15, at]]),
      svg("text", { class: style(curves[i], i), x: from + 38, y: at + 4 }, named(curves[i].name)));
  });
  return drawn;
};
