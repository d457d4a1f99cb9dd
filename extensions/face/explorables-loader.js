// Wakes each explorable when it comes near the view. If anything fails, its picture,
// its findings and its data are still there: they are the page's own HTML.
(() => {
  const folder = document.currentScript.src.replace(/[^/]*$/, "");
  const versions = /* VERSIONS */ {}; // a build writes them here, so that no browser keeps an old one
  const scripts = new Map();

  const load = (name) => {
    if (!scripts.has(name)) {
      scripts.set(name, new Promise((resolve, reject) => {
        const script = document.createElement("script");
        script.src = `${folder}${name}.js?v=${versions[name]}`;
        script.onload = () => resolve(window.payattentionExplorables[name]);
        script.onerror = () => reject(new Error(`${script.src} did not load`));
        document.head.append(script);
      }));
    }
    return scripts.get(name);
  };

  const wake = async (figure) => {
    const live = document.createElement("div");
    live.className = "explorable-live";
    try {
      const { render } = await load(figure.dataset.explorable);
      const state = JSON.parse(figure.querySelector('script[type="application/json"]').textContent);
      // in the page before it draws, so that it can ask for its own width
      figure.append(live);
      await render({ model: new StaticModel(state), el: live });
      figure.dataset.state = "live";
    } catch (error) {
      live.remove();
      figure.dataset.state = "still";
      console.error(error);
    }
  };

  const near = new IntersectionObserver((entries) => {
    for (const { isIntersecting, target } of entries) {
      if (!isIntersecting) continue;
      near.unobserve(target);
      wake(target);
    }
  }, { rootMargin: "400px" });

  for (const figure of document.querySelectorAll("figure[data-explorable]")) near.observe(figure);

  // an address such as #bill?tokens=4096 asks for a figure, which may stand far below
  const asked = /^#(\w+)\?/.exec(location.hash)?.[1];
  if (asked) document.querySelector(`figure[data-explorable="${asked}"]`)?.scrollIntoView();
})();
