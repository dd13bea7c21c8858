// Bundles the JavaScript of chatsvc/static/ into the folder that is given. `make dist` runs it through tools/dist.py.
import { writeFile } from "node:fs/promises";
import { join } from "node:path";
import * as esbuild from "esbuild";

const STATIC = new URL("../chatsvc/static/", import.meta.url).pathname;
// chatsvc/pages/assets.py puts the version in its place, which is as long: the source map stays right.
const LOADER_MAP = "//# sourceMappingURL=static/v/000000000000/dist/widget.js.map";

/** The bundles by name: entry point, and the comment that leads to the source map if it is not beside the bundle. */
const BUNDLES = {
  widget: { entry: "widget.js", map: LOADER_MAP },
  panel: { entry: "widget/element.js" },
  dashboard: { entry: "dashboard/dashboard.js" },
  "account-page": { entry: "dashboard/account-page.js" },
};

/** @param {string} folder */
async function build(folder) {
  for (const [name, { entry, map }] of Object.entries(BUNDLES)) {
    const { outputFiles } = await esbuild.build({
      entryPoints: [join(STATIC, entry)],
      outfile: join(STATIC, "dist", `${name}.js`), // source maps name their sources relative to it
      bundle: true,
      minify: true,
      format: "esm",
      target: "es2022",
      legalComments: "none",
      sourcemap: map ? "external" : "linked",
      footer: map ? { js: map } : {},
      write: false,
    });
    for (const { path, contents } of outputFiles) {
      await writeFile(join(folder, path.slice(path.lastIndexOf("/") + 1)), contents);
    }
  }
}

await build(process.argv[2]);
