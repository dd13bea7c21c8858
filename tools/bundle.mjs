// Bundles the JavaScript of chatsvc/static/ into the folder that is given. `make dist` runs it
// through tools/dist.py.
import { readdir, readFile, writeFile } from "node:fs/promises";
import { basename, join } from "node:path";
import * as esbuild from "esbuild";

const STATIC = new URL("../chatsvc/static/", import.meta.url).pathname;
const LANGUAGES = new URL("../chatsvc/languages/", import.meta.url).pathname;
// chatsvc/pages/assets.py puts the version in its place, which is as long: the source map stays
// right.
const LOADER_MAP = "//# sourceMappingURL=static/v/000000000000/dist/widget.js.map";

/**
 * The bundles by name: entry point, and the comment that leads to the source map if it is not
 * beside the bundle.
 */
const BUNDLES = {
  widget: { entry: "widget.js", map: LOADER_MAP },
  panel: { entry: "widget/element.js" },
  dashboard: { entry: "dashboard/dashboard.js" },
  "account-page": { entry: "dashboard/account-page.js" },
};

/**
 * `import texts from "texts:PART"` is that part of every file in chatsvc/languages/, by language.
 */
const TEXTS = {
  name: "texts",
  /** @param {import("esbuild").PluginBuild} build */
  setup(build) {
    build.onResolve({ filter: /^texts:/ }, ({ path }) => ({ path, namespace: "texts" }));
    build.onLoad({ filter: /.*/, namespace: "texts" }, async ({ path }) => ({
      contents: JSON.stringify(await part(path.slice("texts:".length))),
      loader: "json",
    }));
  },
};

/** @param {string} name */
async function part(name) {
  const files = (await readdir(LANGUAGES)).filter((file) => file.endsWith(".json")).sort();
  const languages = files.map(async (file) => {
    const parts = JSON.parse(await readFile(join(LANGUAGES, file), "utf8"));
    return [basename(file, ".json"), parts[name]];
  });
  return Object.fromEntries(await Promise.all(languages));
}

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
      charset: "utf8", // a module script is always read as UTF-8
      plugins: [TEXTS],
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
