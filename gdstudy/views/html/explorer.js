/** Charts with sliders: errors along N (or P) after t steps, through t at one N, and the share of each mode learnt. */
const BLUE = "#0072B2", ORANGE = "#D55E00", GREEN = "#009E73", PINK = "#CC79A7", BLACK = "#000000", GREY = "#737373";
// Steps of viridis, as in the figures.
const VIRIDIS = ["#440154", "#482878", "#3e4989", "#31688e", "#26828e", "#1f9e89", "#35b779", "#6ece58", "#b5de2b"];
const column = Object.fromEntries(data.table.columns.map((c) => [c.name, c]));
const cell = (name, k) => {
  const c = column[name];
  return c === undefined ? undefined : c.words ? c.words[c.values[k]] : c.values[k];
};
const steps = (t) => `${t.toLocaleString("en")} step${t === 1 ? "" : "s"}`;
let sweep, training, playing;

/** The rows of the table of medians that belong to a sweep, by estimator, ablation and level. */
function groupsOf(one) {
  const found = new Map();
  const held = Object.entries(one.rows).filter(([name]) => column[name]);
  for (let k = 0; k < data.table.rows; k++) {
    const free = (name) => cell("estimator", k) === "theory" && name === "n_hidden";
    if (!held.every(([name, value]) => free(name) || cell(name, k) === value)) continue;
    const level = cell("level", k) ?? null;
    const key = JSON.stringify([cell("estimator", k), cell("ablation", k) ?? "none", level]);
    if (!found.has(key)) found.set(key, { estimator: cell("estimator", k), ablation: cell("ablation", k) ?? "none", level, rows: [] });
    found.get(key).rows.push(k);
  }
  return [...found.values()];
}

function curveOf(group, number) {
  const scale = number.endsWith("_mse") ? sweep.scale : 1;
  const band = (name) => {
    const c = column[`${number}_${name}`];
    return c && group.rows.map((k) => (c.values[k] === null ? null : c.values[k] / scale));
  };
  return { x: group.rows.map((k) => cell(sweep.size, k)), median: band("median"), low: band("q25"), high: band("q75") };
}

const VALUES = {
  errors: { final: "test_mse", at: "test", label: () => sweep.error, text: "test and train error" },
  distance: { final: "distance", at: "distance", label: () => "‖W_t − limit‖ / ‖limit‖ (no unit)", text: "distance to the limit" },
  accuracy: { final: "test_accuracy", at: "accuracy", label: () => "test accuracy (no unit)", text: "accuracy" },
};
const value = () => VALUES[at("value").value];
const size = () => sweep.sizes[at("size").value];
const isReference = (group) => group.estimator === sweep.reference && group.ablation === "none" && group.level === null;

/** What a training has at place k of its slider, along the sizes. */
function after(k, key) {
  const curve = { x: training.sizes, median: training[key][k] };
  return key === "test" ? { ...curve, low: training.low[k], high: training.high[k] } : curve;
}

function named(group) {
  const symbol = sweep.levels[group.estimator];
  const name = sweep.names[group.estimator] ?? group.estimator;
  return symbol && group.level !== null ? `${name}, ${symbol} = ${shown(group.level)}` : name;
}

/** A closed form beside X⁺y: what a slider over t shows too is there to be switched on. */
function beside(group, k, n) {
  const { final } = value();
  const curve = curveOf(group, final);
  if (!curve.median) return [];
  if (group.estimator === "theory") return lines(curve.x, { median: curve.median }, named(group), { color: GREEN, dash: "dash" });
  if (!(group.estimator in sweep.levels)) return lines(curve.x, { median: curve.median }, named(group), { color: PINK, width: 2 });
  const color = VIRIDIS[Math.round((k / Math.max(1, n - 1)) * (VIRIDIS.length - 1))];
  const visible = training && sweep.descending.includes(group.estimator) ? "legendonly" : true;
  return lines(curve.x, { median: curve.median }, named(group), { color, width: 1.6 }, { visible });
}

function drawBySize() {
  const { final, label } = value();
  const away = at("ablation").value;
  const traces = [];
  if (away !== "none") {
    const levels = sweep.groups.filter((g) => g.ablation === away && g.estimator === sweep.reference);
    levels.forEach((group, k) => {
      const color = VIRIDIS[Math.round((k / Math.max(1, levels.length - 1)) * (VIRIDIS.length - 1))];
      const text = group.level === null ? "taken away" : `level ${shown(group.level)}`;
      traces.push(...lines(group.rows.map((r) => cell(sweep.size, r)), { median: curveOf(group, final).median }, text, { color, width: 1.8 }));
    });
  } else {
    const others = sweep.groups.filter((g) => g.ablation === "none" && !(g.estimator in sweep.trained) && !isReference(g) && !g.estimator.endsWith("_closed_form"));
    for (const group of others) {
      const family = others.filter((other) => other.estimator === group.estimator);
      traces.push(...beside(group, family.indexOf(group), family.length));
    }
  }
  if (training && away === "none") {
    const k = Number(at("time").value);
    if (training[value().at]) traces.push(...lines(training.sizes, after(k, value().at), `test, ${training.label} at t`, { color: BLUE, width: 2.6 }));
    if (final === "test_mse") traces.push(...lines(training.sizes, after(k, "train"), `train, ${training.label} at t`, { color: ORANGE, width: 1.8 }));
  }
  const reference = sweep.groups.find(isReference);
  const name = sweep.names[sweep.reference];
  const limit = reference && curveOf(reference, final);
  if (reference && limit.median && final !== "distance" && sweep.reference !== training?.name) {
    const alone = !training && away === "none";
    traces.push(...lines(limit.x, alone ? limit : { median: limit.median }, `test, ${name}`, alone ? { color: BLUE, width: 2.6 } : { color: BLACK, width: 1.6, dash: "dash" }));
    if (alone && final === "test_mse") traces.push(...lines(limit.x, curveOf(reference, "train_mse"), `train, ${name}`, { color: ORANGE, width: 1.8 }));
  }
  const shapes = [vertical(size(), "solid", "#b0b8c0", 1)];
  if (sweep.threshold !== null) shapes.push(vertical(sweep.threshold, "dot", GREY, 1.6));
  const annotations = sweep.threshold === null ? [] : [{ x: Math.log10(sweep.threshold), y: 1, yref: "paper", yanchor: "top", xanchor: "left", text: " threshold N = P", showarrow: false, font: { color: "#57606a" } }];
  const x = { title: { text: sweep.axis }, ...counts(sweep.sizes) };
  const y = { title: { text: plain(label()) }, range: sweep.range[at("value").value] ?? range(traces) };
  if (away !== "none") y.range = range(traces, floorOf());
  if (final === "test_accuracy") Object.assign(y, { type: "linear", range: [0, 1.02] });
  Plotly.react("by-size", traces, layout(x, y, { shapes, annotations }), CONFIG);
  at("along").textContent = away === "none" ? `${value().text[0].toUpperCase()}${value().text.slice(1)} against ${sweep.symbol}` : data.ablations[away].question + ` Lines: ${data.ablations[away].level || "taken away or not"}.`;
  if (away === "none") at("along").textContent += saidOfLeaving(traces, y);
}

/** That lines leave the chart at its lower edge, where they do. */
function saidOfLeaving(traces, { type, range }) {
  const least = type === "linear" || !range ? 0 : 10 ** range[0];
  const leave = traces.some((trace) => trace.name?.startsWith("train") && (trace.y ?? []).some((error) => error !== null && error < least));
  return leave ? `. Train errors that leave the chart are below ${shown(least)}` : "";
}

/** What lies below counts as zero: a millionth of the smallest error of the closed form. */
function floorOf() {
  const reference = sweep.groups.find(isReference);
  const errors = reference ? curveOf(reference, "test_mse").median.filter((error) => error > 0) : [];
  return errors.length ? 1e-6 * Math.min(...errors) : 0;
}

/** Axes stay where they are while t moves: around test errors, with a decade below for train errors. */
function rangesOf() {
  const found = {};
  const final = sweep.groups.filter((g) => g.ablation === "none" && !(g.estimator in sweep.levels));
  for (const [key, { final: number, at: kept }] of Object.entries(VALUES)) {
    const values = [];
    const drawn = key === "errors" ? ["test", "high"] : [kept];
    for (const name of key === "distance" ? [] : ["median", "high"]) final.forEach((group) => values.push(...(curveOf(group, number)[name] ?? [])));
    for (const one of sweep.trainings) drawn.forEach((name) => (one[name] ?? []).forEach((row) => values.push(...row)));
    const around = range([{ y: values.filter(Number.isFinite) }], key === "errors" ? floorOf() : 1e-16);
    found[key] = key === "errors" && around ? [around[0] - 1, around[1]] : around;
  }
  return found;
}

function drawByTime() {
  const { final, at: key, label } = value();
  const j = training.sizes.indexOf(size());
  const through = (name) => training[name].map((row) => row[j]);
  const traces = [];
  if (j >= 0 && training[key]) {
    const curve = key === "test" ? { median: through("test"), low: through("low"), high: through("high") } : { median: through(key) };
    traces.push(...lines(training.steps, curve, `test, ${training.label}`, { color: BLUE, width: 2.6 }));
    if (key === "test") traces.push(...lines(training.steps, { median: through("train") }, `train, ${training.label}`, { color: ORANGE, width: 1.8 }));
  }
  const limit = limitAt(final);
  if (limit > 0 && final !== "distance" && sweep.reference !== training.name) {
    const ends = [training.steps[0], training.steps.at(-1)];
    traces.push(...lines(ends, { median: [limit, limit] }, `test, ${sweep.names[sweep.reference]}`, { color: BLACK, width: 1.6, dash: "dash" }));
  }
  const x = { title: { text: "training time t (GD steps)".replace("GD ", training.filter ? "GD " : "") }, dtick: 1 };
  const y = { title: { text: plain(label()) }, range: sweep.range[at("value").value] ?? range(traces) };
  if (final === "test_accuracy") Object.assign(y, { type: "linear", range: [0, 1.02] });
  Plotly.react("by-time", traces, layout(x, y, { shapes: [vertical(training.steps[at("time").value], "solid", "#b0b8c0")] }), CONFIG);
  at("through").textContent = `The same through training, at ${sweep.places[at("size").value]}${saidOfLeaving(traces, y)}`;
}

function limitAt(number) {
  const reference = sweep.groups.find(isReference);
  const curve = reference && curveOf(reference, number);
  return curve?.median?.[curve.x.indexOf(size())];
}

/** 1 − (1 − x)ᵗ of x = ησ²: beyond 1 it alternates around 1, and beyond 2 it leaves every bound. */
const learnt = (eta, sigma, t) => {
  const x = eta * sigma * sigma;
  return x < 1 ? -Math.expm1(t * Math.log1p(-x)) : 1 - (1 - x) ** t;
};

function drawFilter() {
  const { eta, smallest, largest } = training.filter;
  const j = training.sizes.indexOf(size()), t = training.steps[at("time").value];
  // At η = 1/σ₁² of each cell, what is beyond 1 is the median of one over a quartile of the other.
  const most = eta[j] * largest[1][j] ** 2 > 1.2 ? 2 : 1;
  const low = Math.min(...smallest[0].filter((s) => s > 0)), high = Math.max(...largest[2].filter(Number.isFinite));
  const sigmas = Array.from({ length: 200 }, (_, k) => low * (high / low) ** (k / 199)).filter((s) => eta[j] * s * s <= 1.0001 * most);
  const curve = { x: sigmas, y: sigmas.map((s) => learnt(eta[j], s, t)), mode: "lines", line: { color: BLUE, width: 2.6 }, name: `after ${steps(t)}`, hovertemplate: "σ = %{x:.3~g}: %{y:.3~g}<extra></extra>" };
  const mark = (band, name, color, symbol) => ({
    x: [band[1][j]], y: [learnt(eta[j], band[1][j], t)], mode: "markers", name,
    marker: { color, size: 12, symbol }, error_x: { type: "data", symmetric: false, array: [band[2][j] - band[1][j]], arrayminus: [band[1][j] - band[0][j]], color, thickness: 2 },
    hovertemplate: "σ = %{x:.3~g}: %{y:.3~g} learnt<extra>" + name + "</extra>",
  });
  const cut = 1 / Math.sqrt(eta[j] * t);
  const traces = [curve, mark(smallest, "weakest mode, σ_R", ORANGE, "diamond"), mark(largest, `strongest mode, σ₁${eta[j] * largest[1][j] ** 2 > 2 ? " (diverges)" : ""}`, GREEN, "circle")];
  const x = { title: { text: "singular value σ (units of X)" }, range: [Math.log10(low) - 0.1, Math.log10(high) + 0.1] };
  const y = { type: "linear", range: [-0.04, most + 0.06], title: { text: "share learnt (no unit)" } };
  Plotly.react("filter", traces, layout(x, y, { shapes: cut > low / 2 ? [vertical(cut, "dash", BLACK, 1)] : [] }), CONFIG);
  at("learnt").textContent = "Filter factor 1 − (1 − ησ²)ᵗ of gradient descent on singular values of the training features; dashed: the cutoff 1/√(ηt) that it acts like. Marks: median and quartiles over splits";
}

function read() {
  const place = sweep.places[at("size").value], name = sweep.names[sweep.reference], said = [];
  const limit = limitAt("test_mse");
  if (training) {
    const j = training.sizes.indexOf(size()), k = at("time").value;
    if (j >= 0) said.push(`after ${steps(training.steps[k])} the median test error of ${training.label} is ${shown(training.test[k][j])} (quartiles ${shown(training.low[k][j])} – ${shown(training.high[k][j])})`);
    if (j >= 0 && training.distance) said.push(`its distance to the limit is ${shown(training.distance_low[k][j])} – ${shown(training.distance_high[k][j])} (quartiles)`);
    if (j >= 0 && training.filter) said.push(`the weakest mode, σ_R = ${shown(training.filter.smallest[1][j])}, is learnt to ${(100 * learnt(training.filter.eta[j], training.filter.smallest[1][j], training.steps[k])).toPrecision(3)} %`);
  }
  if (limit !== undefined && limit !== null && sweep.reference !== training?.name) said.push(`the median test error of ${name} is ${shown(limit)}`);
  at("reading").textContent = `${sweep.title}, ${place}: ${said.join("; ")}. Medians over ${sweep.seeds} splits.`;
  const others = data.sweeps.filter((one) => one.trainings.length).map((one) => one.title);
  if (!training && others.length) at("reading").textContent += ` Nothing was trained on these; training time is for: ${others.join("; ")}.`;
}

function draw() {
  at("n").textContent = sweep.places[at("size").value];
  at("size").setAttribute("aria-valuetext", sweep.places[at("size").value]);
  if (training) {
    at("t").textContent = steps(training.steps[at("time").value]);
    at("time").setAttribute("aria-valuetext", steps(training.steps[at("time").value]));
  }
  drawBySize();
  if (training?.steps.length > 1) drawByTime();
  if (training?.filter) drawFilter();
  read();
}

function chooseTraining() {
  training = sweep.trainings[at("training").value] ?? null;
  at("time").max = training ? training.steps.length - 1 : 0;
  at("time").value = at("time").max;
  for (const id of ["of-time", "play"]) at(id).hidden = !(training?.steps.length > 1);
  for (const [id, has] of [["by-time", training?.steps.length > 1], ["filter", training?.filter]]) at(id).parentElement.hidden = !has;
  const kept = Object.keys(VALUES).filter((key) => key === "errors" || (key === "distance" ? training?.distance : sweep.classes));
  choices(at("value"), kept.map((key) => VALUES[key].text), kept);
}

function chooseSweep() {
  sweep = data.sweeps[at("sweep").value];
  sweep.groups ??= groupsOf(sweep);
  sweep.trained ??= Object.fromEntries(sweep.trainings.map((one) => [one.name, one]));
  sweep.range ??= rangesOf();
  at("which").textContent = sweep.axis;
  at("size").max = sweep.sizes.length - 1;
  at("size").value = sweep.start;
  choices(at("training"), sweep.trainings.map((one) => one.label), [...sweep.trainings.keys()]);
  at("of-training").hidden = sweep.trainings.length < 2;
  const away = [...new Set(sweep.groups.filter((g) => g.estimator === sweep.reference).map((g) => g.ablation))].filter((name) => name !== "none");
  choices(at("ablation"), ["nothing", ...away.map((name) => name.replaceAll("_", " "))], ["none", ...away]);
  at("of-ablation").hidden = !away.length;
  chooseTraining();
}

function play() {
  if (playing) {
    clearInterval(playing);
    playing = undefined;
  } else {
    if (at("time").value === at("time").max) at("time").value = 0;
    playing = setInterval(() => {
      at("time").value = Number(at("time").value) + 1;
      draw();
      if (at("time").value === at("time").max) play();
    }, 250);
  }
  at("play").textContent = playing ? "❚❚ stop" : "▶ play";
}

choices(at("sweep"), data.sweeps.map((one) => one.title), [...data.sweeps.keys()]);
at("sweep").addEventListener("change", () => { chooseSweep(); draw(); });
at("training").addEventListener("change", () => { chooseTraining(); draw(); });
for (const id of ["value", "ablation"]) at(id).addEventListener("change", draw);
for (const id of ["time", "size"]) at(id).addEventListener("input", draw);
at("play").addEventListener("click", play);
chooseSweep();
ready(draw);
