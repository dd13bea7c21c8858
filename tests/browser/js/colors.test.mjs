// Any brand colour must leave readable text on it.
import assert from "node:assert/strict";
import { test } from "node:test";
import { contrast, textOn } from "../../../chatsvc/static/widget/colors.js";

test("text on any colour has a contrast of at least 4.5:1", () => {
  for (let r = 0; r < 256; r += 15)
    for (let g = 0; g < 256; g += 15)
      for (let b = 0; b < 256; b += 15) {
        const color = `#${[r, g, b].map((part) => part.toString(16).padStart(2, "0")).join("")}`;
        assert.ok(contrast(color, textOn(color)) >= 4.5, color);
      }
});
