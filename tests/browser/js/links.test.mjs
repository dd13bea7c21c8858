// Only addresses that cannot run anything become links; the text around them stays whole.
import assert from "node:assert/strict";
import { test } from "node:test";
import { split } from "../../../chatsvc/static/widget/links.js";

const links = (text) =>
  split(text)
    .filter(({ href }) => href)
    .map(({ href }) => href);

test("finds http, https and mailto, without the sentence's punctuation", () => {
  assert.deepEqual(
    links("See https://example.com/a?b=1&c, (http://example.org). Or mailto:help@example.com!"),
    ["https://example.com/a?b=1&c", "http://example.org", "mailto:help@example.com"],
  );
});

test("leaves everything else alone", () => {
  for (const text of [
    "javascript:alert(1)",
    "data:text/html,x",
    "vbscript:x",
    "//example.com",
    "JaVaScRiPt:https",
    "<https>",
    "http://",
  ]) {
    assert.deepEqual(links(text), [], text);
  }
});

test("no text is lost or changed", () => {
  const text =
    'a https://example.com/\u202egnp.exe"><img src=x onerror=alert(1)> b https://x.example, c';
  assert.equal(
    split(text)
      .map((piece) => piece.text)
      .join(""),
    text,
  );
});
