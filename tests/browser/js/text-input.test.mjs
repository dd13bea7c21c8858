import assert from "node:assert/strict";
import { test } from "node:test";
import { trimmed } from "../../../chatsvc/static/shared/text-input.js";

test("the first line keeps its indentation", () => {
  // Pasted code lost the indentation of its first line.
  assert.equal(trimmed("    if x:\n        y()\n"), "    if x:\n        y()");
  assert.equal(trimmed(" \n\n\tfirst\n  second  \n "), "\tfirst\n  second");
  assert.equal(trimmed(" \n \t"), "");
});
