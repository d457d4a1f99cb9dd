// Writes formulas as HTML: one JSON request a line in, one JSON answer a line out.
const katex = require("./vendor/katex/katex.min.js");
const lines = require("readline").createInterface({ input: process.stdin });
lines.on("line", (line) => {
  const { tex, display } = JSON.parse(line);
  let answer;
  try {
    // throws where KaTeX cannot read the formula; its other habit is red ink on the page
    answer = { html: katex.renderToString(tex, { displayMode: display, strict: false }) };
  } catch (error) {
    answer = { error: String(error.message) };
  }
  process.stdout.write(JSON.stringify(answer) + "\n");
});
