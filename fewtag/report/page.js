// Draws the map, and colours it by what is chosen. The rows come escaped: plotly takes labels for markup.
"use strict";
(() => {
  const LABEL = 0, PARENT = 1, OWN = 2, COVERAGE = 3, CONFIDENCE = 4, RUNG = 5, PRECISION = 6, JUDGED = 7, PRODUCTS = 8;
  const COLUMNS = {coverage: COVERAGE, confidence: CONFIDENCE, precision: PRECISION};
  const STOPS = ["--low", "--lower", "--middle", "--higher", "--high"];
  const WRAP = 14; // letters to a line
  const PAPER = 680; // pixels that fit an upright page
  const {rows, modes, words} = JSON.parse(document.getElementById("map-data").textContent);
  const holder = document.getElementById("treemap"), chooser = document.querySelector(".switch");
  const shares = document.querySelector(".shares"), rungs = document.querySelector(".rungs");

  const style = (name) => getComputedStyle(document.documentElement).getPropertyValue(name).trim();
  const INK = "#17222b", PALE = "#fff";

  const percent = (share) => share === null ? words.nothing_known : `${Math.round(100 * share)}%`;

  const parts = (colour) => [1, 3, 5].map((at) => parseInt(colour.slice(at, at + 2), 16));

  function mixed(share, stops) {
    const place = Math.min(share * (stops.length - 1), stops.length - 1.0001), first = Math.floor(place);
    const [from, to] = [stops[first], stops[first + 1]].map(parts);
    return "#" + from.map((each, at) => Math.round(each + (to[at] - each) * (place - first)).toString(16).padStart(2, "0")).join("");
  }

  function inkOn(colour) { // what reads better, by WCAG's relative luminance
    const [red, green, blue] = parts(colour).map((each) => (each / 255) ** 2.2);
    return 0.2126 * red + 0.7152 * green + 0.0722 * blue > 0.19 ? INK : PALE;
  }

  function painted(mode) {
    const stops = STOPS.map(style), unknown = style("--unknown");
    const colour = (row) => mode === "rung" ? style(`--${row[RUNG]}`) : row[COLUMNS[mode]] === null ? unknown : mixed(row[COLUMNS[mode]], stops);
    const told = (row) => mode === "rung" ? words[row[RUNG]] : percent(row[COLUMNS[mode]]);
    const colours = rows.map(colour);
    return {colours, inks: colours.map(inkOn), texts: rows.map(told)};
  }

  function hover(row) {
    const lines = [`<b>${row[LABEL]}</b>`, `${row[PRODUCTS].toLocaleString("en")} ${words.products}`];
    lines.push(`${words.coverage}: ${percent(row[COVERAGE])}`, `${words.confidence}: ${percent(row[CONFIDENCE])}`);
    lines.push(`${words.rung}: ${words[row[RUNG]]}`);
    if (modes.includes("precision")) lines.push(`${words.precision}: ${percent(row[PRECISION])} (${row[JUDGED]} ${words.judged_tags})`);
    return lines.join("<br>");
  }

  const isInner = new Set(rows.map((row) => row[PARENT]));

  function wrapped(row, place) { // a heading has one line; what lies deepest may have several
    if (isInner.has(place)) return row[LABEL];
    return row[LABEL].split(" ").reduce((lines, word) => {
      const last = lines[lines.length - 1];
      return last && last.length + word.length < WRAP ? [...lines.slice(0, -1), `${last} ${word}`] : [...lines, word];
    }, []).join("<br>");
  }

  const chosen = () => chooser.querySelector("input:checked").value;

  function show() {
    const mode = chosen(), {colours, inks, texts} = painted(mode);
    shares.hidden = mode === "rung";
    rungs.hidden = mode !== "rung";
    Plotly.restyle(holder, {"marker.colors": [colours], "marker.line.color": style("--card"), "textfont.color": [inks], text: [texts]});
  }

  function draw() {
    const {colours, inks, texts} = painted(chosen());
    const trace = {
      type: "treemap",
      ids: rows.map((_, place) => String(place)),
      labels: rows.map(wrapped),
      parents: rows.map((row) => row[PARENT] < 0 ? "" : String(row[PARENT])),
      values: rows.map((row) => row[OWN]),
      text: texts,
      hovertext: rows.map(hover),
      branchvalues: "remainder",
      maxdepth: holder.clientWidth < 600 ? 2 : 3,
      marker: {colors: colours, line: {width: 1, color: style("--card")}, pad: {t: 22, l: 3, r: 3, b: 3}},
      textfont: {color: inks},
      texttemplate: "%{label}<br>%{text}",
      hovertemplate: "%{hovertext}<extra></extra>",
      pathbar: {thickness: 24},
    };
    const layout = {margin: {t: 26, r: 0, b: 0, l: 0}, paper_bgcolor: "rgba(0,0,0,0)", font: {family: getComputedStyle(document.body).fontFamily, size: 12.5}, uniformtext: {minsize: 9.5, mode: "hide"}};
    holder.replaceChildren();
    holder.classList.add("drawn");
    chooser.hidden = shares.hidden = false;
    return Plotly.newPlot(holder, [trace], layout, {displayModeBar: false, responsive: true});
  }

  draw();
  chooser.addEventListener("change", show);
  matchMedia("(prefers-color-scheme: dark)").addEventListener("change", show);

  function toPaper(isPaper) { // while it is still on screen, as the script asks the style which colours there are
    document.documentElement.classList.toggle("paper", isPaper);
    show();
    Plotly.relayout(holder, isPaper ? {width: Math.min(PAPER, holder.clientWidth)} : {width: null, autosize: true});
  }

  addEventListener("beforeprint", () => toPaper(true));
  addEventListener("afterprint", () => toPaper(false));
})();
