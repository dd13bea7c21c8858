// Only addresses that cannot run anything become links; the text around them stays whole.
import assert from "node:assert/strict";
import { test } from "node:test";
import { split } from "../../../chatsvc/static/shared/links.js";

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

test("keeps a closing bracket whose partner is in the address", () => {
  // https://en.wikipedia.org/wiki/Rust_(fungus) led to a page that does not exist.
  for (const address of [
    "https://en.wikipedia.org/wiki/Rust_(fungus)",
    "https://example.com/a[1]{b}(c(d))/e",
    "http://[2001:db8::1]:8080/x",
  ]) {
    assert.deepEqual(links(`See ${address}.`), [address]);
    assert.deepEqual(links(`(see ${address})`), [address]);
    assert.deepEqual(links(`[${address}]: here`), [address]);
  }
  assert.deepEqual(links("[here](https://example.com/a) and https://example.com/b(?"), [
    "https://example.com/a",
    "https://example.com/b",
  ]);
});

test("an address ends before punctuation of any script and before zero-width characters", () => {
  for (const after of "。、，！？」』）：；…”’»›‐·؟،।\u200b\u200d\u2060\ufeff\u00ad\u3000\u0085") {
    assert.deepEqual(
      links(`见https://example.com/路径${after}x`),
      ["https://example.com/路径"],
      after,
    );
  }
});

test("a dash ends an address only before white space or the end", () => {
  // https://en.wikipedia.org/wiki/Michelson–Morley_experiment was cut off at the dash.
  for (const dash of "–—") {
    const address = `https://en.wikipedia.org/wiki/Michelson${dash}Morley_experiment`;
    assert.deepEqual(links(`See ${address}.`), [address]);
    for (const after of [dash, `${dash} `, `${dash}\n`, `${dash}”`]) {
      assert.deepEqual(links(`See ${address}${after}`), [address]);
    }
  }
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

test("shows the real address where the browser would go to another host", () => {
  // A link to evil.example was shown as https://paypal.com/…, with a slash that is none.
  for (const [written, shown] of [
    ["https://paypal.com\u2044login@evil.example/x", "https://evil.example/x"],
    ["https://user:secret@example.com/a", "https://example.com/a"],
    ["https://p\u0430ypal.com/login", "https://xn--pypal-4ve.com/login"],
    ["https://evil.example\\.paypal.com/", "https://evil.example/.paypal.com/"],
    ["https://\uff45vil.example/", "https://evil.example/"],
    ["http://0x7f.1/", "http://127.0.0.1/"],
  ]) {
    assert.deepEqual(split(`see ${written} now`), [
      { text: "see ", href: null },
      { text: shown, href: shown },
      { text: " now", href: null },
    ]);
  }
});

test("shows an ordinary address as it is written", () => {
  for (const address of [
    "https://EXAMPLE.com/Ä?q=ü#ö",
    "http://example.com:8080",
    "http://[::1]/x",
    "mailto:a@b.example",
  ]) {
    assert.deepEqual(split(address), [{ text: address, href: address }]);
  }
});
