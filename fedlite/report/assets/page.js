// Draws the figures of this page with plotly, in the colours of the reader's theme. Reads only the page itself.
(function () {
  "use strict";
  const read = (id) => JSON.parse(document.getElementById(id).textContent);
  const figures = unpacked(read("figures"));
  const themes = read("themes");
  const darkness = window.matchMedia("(prefers-color-scheme: dark)");
  const plots = Array.from(document.querySelectorAll(".plot"));
  const drawn = new Set();
  const NARROW = 520;
  const NAMED = 670;

  if (!window.Plotly) {
    document.getElementById("missing").hidden = false;
    plots.forEach((plot) => { plot.hidden = true; });
    document.querySelectorAll("fieldset.views").forEach((views) => { views.hidden = true; });
    document.querySelectorAll("figure details").forEach((numbers) => { numbers.open = true; });
    return;
  }

  // What figures have in common is written once; {"=": i} stands for the i-th of it.
  function unpacked(packed) {
    const known = [];
    function whole(value) {
      if (Array.isArray(value)) return value.map(whole);
      if (!value || typeof value !== "object") return value;
      if (Object.hasOwn(value, "=")) return known[value["="]];
      return Object.fromEntries(Object.entries(value).map(([key, item]) => [key, whole(item)]));
    }
    packed.shared.forEach((part) => known.push(whole(part)));
    return whole(packed.value);
  }

  const theme = () => (darkness.matches ? themes.dark : themes.light);

  function resolve(value, colours) {
    if (typeof value === "string") return Object.hasOwn(colours, value) ? colours[value] : value;
    if (Array.isArray(value)) return value.map((item) => resolve(item, colours));
    if (value && typeof value === "object") {
      return Object.fromEntries(Object.entries(value).map(([key, item]) => [key, resolve(item, colours)]));
    }
    return value;
  }

  // A title too long for a phone goes into two lines, broken near its middle.
  function folded(title) {
    const text = title && title.text;
    if (!text || text.length <= 36) return title;
    const spaces = Array.from(text.matchAll(/ /g), (found) => found.index);
    const middle = spaces.sort((a, b) => Math.abs(a - text.length / 2) - Math.abs(b - text.length / 2))[0];
    if (middle === undefined) return title;
    return Object.assign({}, title, { text: text.slice(0, middle) + "<br>" + text.slice(middle + 1) });
  }

  function axis(own, colours, narrow, lying) {
    const title = narrow ? folded(own.title) : own.title;
    return Object.assign(
      {
        gridcolor: colours["$grid"], zerolinecolor: colours["$faint"], linecolor: colours["$faint"], automargin: true,
        fixedrange: true, ticks: "",
      },
      own.type === "category" && !(narrow && lying) ? { dtick: 1 } : { nticks: narrow ? (own.type === "category" ? 9 : 5) : 8 },
      own,
      narrow && own.type === "category" && own.autorange ? { tickfont: { size: 10.5 } } : {},
      { title: Object.assign({ standoff: 10, font: { size: narrow ? 12 : 13, color: colours["$soft"] } }, title) },
    );
  }

  function layout(view, height, width, colours) {
    const narrow = width < NARROW;
    const own = Object.assign({}, view.layout, narrow ? view.narrow : {});
    const base = {
      height: height, autosize: true, paper_bgcolor: "rgba(0,0,0,0)", plot_bgcolor: "rgba(0,0,0,0)",
      font: { family: getComputedStyle(document.body).fontFamily, size: narrow ? 12 : 13, color: colours["$text"] },
      margin: { l: narrow ? 44 : 58, r: 12, t: 34, b: 48 },
      legend: { orientation: "h", x: 0, xanchor: "left", y: 1, yanchor: "bottom", traceorder: "normal", font: { color: colours["$soft"] } },
      hoverlabel: { bgcolor: colours["$paper"], bordercolor: colours["$faint"], font: { color: colours["$text"] } },
      dragmode: false, barcornerradius: 3,
    };
    const made = Object.assign(base, resolve(own, colours));
    if (width < NAMED && made.annotations) made.annotations = made.annotations.filter((note) => !note.showarrow);
    for (const key of Object.keys(made)) {
      if (/^[xy]axis\d*$/.test(key)) made[key] = axis(made[key], colours, narrow, key[0] === "x");
    }
    return made;
  }

  // Names of points have their places for a wide figure; on a narrow one they are told beside the pointer alone.
  function named(traces, width) {
    const bare = (trace) => (trace.mode === "markers+text" ? Object.assign({}, trace, { mode: "markers" }) : trace);
    return width < NAMED ? traces.map(bare) : traces;
  }

  function draw(plot) {
    const spec = figures[plot.dataset.figure];
    const chosen = document.querySelector(`input[name="view-${plot.dataset.figure}"]:checked`);
    const view = spec.views[chosen ? Number(chosen.value) : 0];
    const colours = theme();
    const config = { displayModeBar: false, responsive: true, scrollZoom: false, doubleClick: false, showTips: false };
    drawn.add(plot);
    return Plotly.react(
      plot, named(resolve(view.traces, colours), plot.clientWidth), layout(view, spec.height, plot.clientWidth, colours), config,
    );
  }

  function drawAll() {
    plots.filter((plot) => !drawn.has(plot)).forEach(draw);
  }

  // Figures in sight come first; the others follow one by one, so that the page is readable at once.
  const watcher = new IntersectionObserver((entries) => {
    entries.filter((entry) => entry.isIntersecting && !drawn.has(entry.target)).forEach((entry) => draw(entry.target));
  }, { rootMargin: "300px" });
  plots.forEach((plot) => {
    plot.style.minHeight = figures[plot.dataset.figure].height + "px";
    watcher.observe(plot);
  });
  const later = window.requestIdleCallback || ((work) => window.setTimeout(work, 50));
  (function next() {
    const plot = plots.find((item) => !drawn.has(item));
    if (plot) later(() => { if (!drawn.has(plot)) draw(plot); next(); });
    else document.documentElement.dataset.drawn = String(plots.length);
  })();

  document.querySelectorAll("fieldset.views input").forEach((input) => {
    input.addEventListener("change", () => draw(document.getElementById("plot-" + input.name.slice(5))));
  });
  darkness.addEventListener("change", () => plots.filter((plot) => drawn.has(plot)).forEach(draw));
  window.addEventListener("beforeprint", drawAll);
})();
