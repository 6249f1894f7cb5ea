/** The median test errors of both runs on one chart: A and B by colour, estimators by the kind of line. */
const COLOURS = { A: "#0072B2", B: "#D55E00" };
const DASHES = ["dash", "solid", "dashdot", "dot", "longdash"];

function draw() {
  const pair = data.pairs[at("sweep").value];
  const labels = [...new Set(pair.lines.map((line) => line.label))];
  const traces = pair.lines.flatMap((line) => {
    const dash = labels.length > 1 ? DASHES[labels.indexOf(line.label) % DASHES.length] : "solid";
    return lines(line.x, line, `${line.run}: ${line.label}`, { color: COLOURS[line.run], width: 2.2, dash });
  });
  const sizes = pair.lines[0].x;
  const shapes = pair.threshold === null ? [] : [vertical(pair.threshold, "dot", "#737373")];
  const x = { title: { text: pair.axis }, ...counts(sizes) };
  const y = { title: { text: plain(`median test ${pair.error}`) }, range: range(traces) };
  Plotly.react("both", traces, layout(x, y, { shapes }), CONFIG);
}

if (data.pairs.length) {
  choices(at("sweep"), data.pairs.map((pair) => pair.title), [...data.pairs.keys()]);
  at("sweep").addEventListener("change", draw);
  ready(draw);
}
