// What fedlite's pages use of plotly.js, and no more: four kinds of traces, the components their layouts name, `react`.
"use strict";
const Registry = require("plotly.js/src/registry");
require("plotly.js/build/plotcss");

const methods = require("plotly.js/src/plot_api");
for (const [name, fn] of Object.entries(methods)) Registry.register({ moduleType: "apiMethod", name, fn });
Registry.register([
  require("plotly.js/lib/scatter"),
  require("plotly.js/lib/bar"),
  require("plotly.js/lib/box"),
  require("plotly.js/lib/sankey"),
  require("plotly.js/src/components/annotations"),
  require("plotly.js/src/components/selections"),
  require("plotly.js/src/components/shapes"),
  require("plotly.js/src/components/errorbars"),
  require("plotly.js/src/components/colorscale"),
  require("plotly.js/src/components/colorbar"),
  require("plotly.js/src/components/legend"),
  require("plotly.js/src/components/fx"),
  require("plotly.js/src/components/modebar"),
  require("plotly.js/src/locale-en"),
  require("plotly.js/src/locale-en-us"),
]);
module.exports = { react: methods.react };
