/** Parts of chatsvc/languages/ by language, which tools/bundle.mjs puts into the bundles. */

declare module "texts:launcher" {
  const texts: Record<string, typeof import("../languages/en.json")["launcher"]>;
  export default texts;
}

declare module "texts:widget" {
  const texts: Record<string, typeof import("../languages/en.json")["widget"]>;
  export default texts;
}
