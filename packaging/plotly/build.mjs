// Writes fedlite/report/assets/plotly.js and the licences of what is in it: `make plotly`, after a new version in
// package.json. The same lock file gives the same bytes.
import { mkdtempSync, readFileSync, readdirSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { build } from "esbuild";

const ASSETS = join(import.meta.dirname, "..", "..", "fedlite", "report", "assets");
const out = join(mkdtempSync(join(tmpdir(), "plotly-")), "plotly.js");

const made = await build({
  entryPoints: [join(import.meta.dirname, "entry.js")],
  absWorkingDir: import.meta.dirname,
  outfile: out,
  bundle: true,
  minify: true,
  format: "iife",
  globalName: "Plotly",
  target: "es2020",
  charset: "ascii",
  define: { global: "window", "define.amd": "false" },
  legalComments: "none",
  metafile: true,
});

// Only what really went in: a package that was read and left out by the bundler needs no notice.
const output = Object.entries(made.metafile.outputs).find(([name]) => name.endsWith(".js"))[1];
const folders = new Set();
for (const [path, { bytesInOutput }] of Object.entries(output.inputs)) {
  const found = /^(.*node_modules\/(?:@[^/]+\/)?[^/]+)\//.exec(path);
  if (found && bytesInOutput) folders.add(found[1]);
}

const packages = [...folders].map((folder) => {
  const about = JSON.parse(readFileSync(join(import.meta.dirname, folder, "package.json"), "utf8"));
  const name = readdirSync(join(import.meta.dirname, folder)).find((file) => /^licen[cs]e/i.test(file));
  const author = about.author?.name ?? about.author ?? "its authors";
  const text = name
    ? readFileSync(join(import.meta.dirname, folder, name), "utf8").trim()
    : `Copyright ${author}. The package names its licence and holds no text of it.`;
  return { title: `${about.name} ${about.version} (${about.license})`, text };
}).sort((a, b) => (a.title < b.title ? -1 : 1));

const { version } = packages.map(({ title }) => /^plotly\.js (?<version>\S+)/.exec(title)?.groups).find(Boolean);
const banner = `/* plotly.js ${version}, a part of it; copyright 2012-2026 Plotly, Inc., MIT licence; the licences of what it
   contains: fedlite/report/assets/plotly-licences.txt of the package fedlite */\n`;
writeFileSync(join(ASSETS, "plotly.js"), banner + readFileSync(out, "utf8"));
writeFileSync(
  join(ASSETS, "plotly-licences.txt"),
  packages.map(({ title, text }) => `${title}\n${"=".repeat(title.length)}\n\n${text.replace(/\r\n/g, "\n")}\n`).join("\n\n"),
);
console.log(`plotly.js ${version}: ${readFileSync(join(ASSETS, "plotly.js")).length} bytes, ${packages.length} packages`);
