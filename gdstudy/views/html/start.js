"use strict";
const data = JSON.parse(document.getElementById("data").textContent);
const at = (id) => document.getElementById(id);
const narrow = () => window.innerWidth < 720;
// Plotly takes tags and entities in texts for its own: names are shown as they are written.
const plain = (text) => text.replace(/&/g, "&amp;").replace(/</g, "&lt;").replace(/>/g, "&gt;");

function element(kind, text, attributes = {}) {
  const made = document.createElement(kind);
  made.textContent = text;
  for (const [name, value] of Object.entries(attributes)) made.setAttribute(name, value);
  return made;
}

function choices(select, texts, values = texts) {
  select.replaceChildren(...texts.map((text, k) => element("option", text, { value: values[k] })));
}

/** A number in four digits, as the tables of the page write it. */
function shown(value) {
  if (value === null || value === undefined) return "–";
  if (!Number.isFinite(value)) return "∞";
  if (value === 0) return "0";
  const exponent = Math.floor(Math.log10(Math.abs(value)));
  const rounded = Number(value.toPrecision(4));
  return exponent < -4 || exponent > 5 ? rounded.toExponential() : String(rounded);
}

/** Plotly, which lies deflated in the page, as a script that the page's policy knows. */
async function plotly() {
  const bytes = Uint8Array.from(atob(at("plotly").textContent), (letter) => letter.charCodeAt(0));
  const inflated = new Blob([bytes]).stream().pipeThrough(new DecompressionStream("deflate"));
  document.head.append(element("script", await new Response(inflated).text()));
}

const INK = "#1b1f24";
const CONFIG = { displayModeBar: false, responsive: true };

/** Axes are logarithmic unless they say otherwise. */
function layout(x, y, more = {}) {
  const axis = { type: "log", gridcolor: "#e5e8eb", linecolor: "#8c959f", ticks: "outside", zeroline: false, exponentformat: "power" };
  for (const log of [x, y]) if (log.type !== "linear" && log.range) log.dtick ??= log.range[1] - log.range[0] > 1.7 ? 1 : "D2";
  return {
    font: { family: "system-ui, 'Segoe UI', Roboto, 'DejaVu Sans', sans-serif", size: narrow() ? 11 : 13, color: INK },
    margin: { l: narrow() ? 56 : 70, r: 12, t: 8, b: 50 },
    hovermode: "closest",
    dragmode: narrow() ? false : "zoom", // a finger is to scroll the page
    legend: { orientation: "h", y: 1.02, yanchor: "bottom", x: 0 },
    xaxis: { ...axis, ...x },
    yaxis: { ...axis, ...y },
    ...more,
  };
}

/** 1, 2, 5, 10, … along a counted quantity. */
function counts(sizes) {
  if (sizes.length <= 8) return { tickvals: sizes };
  const ticks = [];
  for (let decade = 1; decade <= sizes.at(-1); decade *= 10) ticks.push(decade, 2 * decade, 5 * decade);
  return { tickvals: ticks.filter((tick) => tick >= sizes[0] && tick <= sizes.at(-1)) };
}

function vertical(x, dash, color, width = 1.3) {
  return { type: "line", x0: x, x1: x, y0: 0, y1: 1, yref: "paper", line: { color, width, dash } };
}

/** The median as a line, with its quartiles as a band. Infinite values are gaps. */
function lines(x, curve, name, line, more = {}) {
  const finite = (values) => values.map((value) => (Number.isFinite(value) && value > 0 ? value : null));
  const y = finite(curve.median);
  const mode = y.filter((value) => value !== null).length === 1 ? "lines+markers" : "lines"; // one point is no line
  const median = { x, y, name: plain(name), line, mode, legendgroup: name, ...more };
  median.hovertemplate = "%{x:.4~g}: %{y:.4~g}<extra>" + plain(name) + "</extra>";
  if (!curve.low) return [median];
  const edge = { x, mode: "lines", line: { width: 0 }, showlegend: false, hoverinfo: "skip", legendgroup: name, visible: more.visible };
  const both = curve.low.map((low, k) => low > 0 && Number.isFinite(curve.high[k]));
  const band = (values) => values.map((value, k) => (both[k] ? value : null));
  const color = line.color + "2e";
  return [{ ...edge, y: band(curve.low) }, { ...edge, y: band(curve.high), fill: "tonexty", fillcolor: color }, median];
}

/** Where on a log axis these values lie, but those that are zero up to rounding: below the floor. */
function range(traces, floor = 0) {
  const values = traces.flatMap((trace) => trace.y).filter((value) => value > floor);
  if (!values.length) return undefined;
  let [low, high] = [Infinity, 0];
  for (const value of values) [low, high] = [Math.min(low, value), Math.max(high, value)];
  const margin = 0.05 * Math.log10(high / low) + 0.04;
  return [Math.log10(low) - margin, Math.log10(high) + margin];
}

function ready(draw) {
  plotly().then(() => {
    at("explorer").hidden = false;
    if (at("still")) at("still").hidden = true;
    draw();
    document.body.dataset.ready = "charts";
  }, (reason) => console.warn("charts stay as they are: " + reason));
  const fit = () => document.querySelectorAll(".js-plotly-plot").forEach((plot) => Plotly.Plots.resize(plot));
  window.addEventListener("beforeprint", () => { document.querySelectorAll("details").forEach((d) => { d.open = true; }); fit(); });
  window.addEventListener("afterprint", fit);
}
