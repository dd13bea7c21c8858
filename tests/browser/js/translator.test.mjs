import assert from "node:assert/strict";
import test from "node:test";

import { primary, translator } from "../../../chatsvc/static/shared/translator.js";

const FILES = { one: "{n} plik", few: "{n} pliki", many: "{n} plików", other: "{n} pliku" };

test("a number chooses the plural form of the language", () => {
  // Widget and dashboard chose by `n === 1`: Polish has three forms for whole numbers.
  const text = translator("pl", { files: FILES });
  const shown = [1, 2, 4, 5, 12, 22, 25].map((n) => text("files", { n }));
  assert.deepEqual(shown, [
    "1 plik",
    "2 pliki",
    "4 pliki",
    "5 plików",
    "12 plików",
    "22 pliki",
    "25 plików",
  ]);
});

test("a language without a form of its own uses the general one", () => {
  const text = translator("ja", { files: { other: "{n}件" } });
  assert.equal(text("files", { n: 1 }), "1件");
});

test("values fill the placeholders and are not read again", () => {
  const text = translator("en", { long: "{n} of {max}, {n}" });
  assert.equal(text("long", { n: "{max}", max: 3 }), "{max} of 3, {max}");
});

test("a region does not matter", () => {
  assert.deepEqual(["de-AT", "DE", "en"].map(primary), ["de", "de", "en"]);
});
