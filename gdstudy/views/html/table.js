/** The table of results: a click on a heading sorts, words and choices filter. */
function makeTable(table) {
  const columns = table.columns;
  const text = (column, k) => (column.words ? (column.values[k] < 0 ? "–" : column.words[column.values[k]]) : shown(column.values[k]));
  const words = Array.from({ length: table.rows }, (_, k) => columns.filter((c) => c.words).map((c) => text(c, k)).join(" ").toLowerCase());
  const sizes = { n: "n_train", p: "n_parameters", k: "n_hidden" };
  const chosen = {};
  let [order, by, descending, limit] = [[], null, false, 25];

  function matches(k, tokens) {
    for (const [name, value] of Object.entries(chosen)) {
      const column = columns.find((c) => c.name === name);
      if (value !== "" && column.values[k] !== Number(value)) return false;
    }
    return tokens.every((token) => {
      const [, symbol, number] = /^([npk])=(\d+)$/.exec(token) || [];
      const column = symbol && columns.find((c) => c.name === sizes[symbol]);
      return column ? column.values[k] === Number(number) : words[k].includes(token);
    });
  }

  function compare(a, b) {
    const [x, y] = [by.values[a], by.values[b]];
    if (x === null || y === null) return (x === null) - (y === null); // what is empty comes last
    if (x === y) return a - b;
    return (x < y ? -1 : 1) * (descending ? -1 : 1);
  }

  function sort(column, head) {
    descending = by === column && !descending;
    by = column;
    for (const other of at("results").querySelectorAll("th")) other.removeAttribute("aria-sort");
    head.setAttribute("aria-sort", descending ? "descending" : "ascending");
    fill();
  }

  function fill() {
    const tokens = at("words").value.toLowerCase().split(/\s+/).filter(Boolean);
    order = Array.from({ length: table.rows }, (_, k) => k).filter((k) => matches(k, tokens));
    if (by) order.sort(compare);
    const rows = order.slice(0, limit).map((k) => {
      const row = document.createElement("tr");
      row.append(...columns.map((c) => element("td", text(c, k), c.words ? { class: "text" } : {})));
      return row;
    });
    at("results").tBodies[0].replaceChildren(...rows);
    at("found").textContent = `${rows.length.toLocaleString("en")} of ${order.length.toLocaleString("en")} rows`;
    at("more").hidden = order.length <= limit;
  }

  const head = document.createElement("tr");
  head.append(...columns.map((column) => {
    const cell = element("th", "", { scope: "col", title: column.meaning });
    const button = element("button", column.label, { type: "button" });
    button.addEventListener("click", () => sort(column, cell));
    cell.append(button);
    return cell;
  }));
  at("results").createTHead().append(head);
  at("results").createTBody();
  for (const column of columns.filter((c) => c.words && c.words.length > 1)) {
    const label = element("label", column.label + " ");
    const select = element("select", "");
    choices(select, ["all", ...column.words], ["", ...column.words.keys()]);
    if (column.name === "ablation") select.value = chosen.ablation = String(column.words.indexOf("none"));
    select.addEventListener("change", () => { chosen[column.name] = select.value; limit = 25; fill(); });
    label.append(select);
    at("choices").append(label, " ");
  }
  at("words").addEventListener("input", () => { limit = 25; fill(); });
  at("more").addEventListener("click", () => { limit += 200; fill(); });
  at("filters").hidden = false;
  fill();
}
makeTable(data.table);
