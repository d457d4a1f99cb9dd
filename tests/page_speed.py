"""How fast the book's GPT runs in a page: seconds to load, milliseconds a token.

python tests/page_speed.py
"""

import base64
import json
import os
import shutil

from payattention.explorables import bundle, writer

MEASURE = """
([parts, tokens]) => {
  const { decoder, pick, probabilities, Reading, unbase64, unpack, uniforms } =
    window.payattentionExplorables.writer;
  const start = performance.now();
  const pieces = parts.map(unbase64);
  const bytes = new Uint8Array(pieces.reduce((sum, piece) => sum + piece.length, 0));
  pieces.reduce((at, piece) => (bytes.set(piece, at), at + piece.length), 0);
  const reading = new Reading(decoder(unpack(bytes)));
  const seconds = (performance.now() - start) / 1000;
  const [random, ids, times] = [uniforms(1), [1, 2, 3, 4, 5, 6, 7], []];
  reading.follow(ids);
  for (let i = 0; i < tokens; i++) {
    const before = performance.now();
    ids.push(pick(probabilities(reading.logits, 0.8), random()));
    reading.follow(ids);
    times.push(performance.now() - before);
  }
  times.sort((a, b) => a - b);
  return { load_seconds: seconds, milliseconds_a_token: times[Math.floor(tokens / 2)] };
}
"""


def measured(page, content: bytes, *, tokens: int = 100) -> dict[str, float]:
    """Seconds from the parts in base 64 to a model, and the median of writing so many tokens.

    `page` is one of Playwright's, `content` what `weights.pack` gives.
    """
    page.add_script_tag(content=bundle.classic_script("writer"))
    parts = [base64.b64encode(part).decode() for part in bundle.parts(content)]
    return page.evaluate(MEASURE, [parts, tokens])


if __name__ == "__main__":
    from playwright.sync_api import sync_playwright

    chromium = os.environ.get("CHROMIUM") or shutil.which("chromium")
    with sync_playwright() as driver:
        browser = driver.chromium.launch(executable_path=chromium, args=["--no-sandbox"])
        for _ in range(5):
            print(json.dumps(measured(browser.new_page(), writer.shipped())))
        browser.close()
