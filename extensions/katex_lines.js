// Writes formulas as HTML: one JSON request a line in, one JSON answer a line out.
const katex = require("./vendor/katex/katex.min.js");
const lines = require("readline").createInterface({ input: process.stdin });
lines.on("line", (line) => {
  const { tex, display } = JSON.parse(line);
  let answer;
  try {
    // strict: what LaTeX would not accept is an error here too, and not red ink on the page
    answer = { html: katex.renderToString(tex, { displayMode: display, strict: "error" }) };
  } catch (error) {
    answer = { error: String(error.message) };
  }
  process.stdout.write(JSON.stringify(answer) + "\n");
});
