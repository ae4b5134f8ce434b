/** Draws the charts of a report, of what stands in it. `uPlot` is the library that stands before this. */
(() => {
  const { slots, strategies } = JSON.parse(document.getElementById("drawn").textContent);
  const HEIGHT = 260;
  const LANE = 9;
  /** Colours that people tell apart who see few, and that stand out on light and on dark. */
  const COLORS = ["#2f7ed8", "#e07b00", "#1f9e6d", "#d0447c", "#8a63d2", "#b08d00", "#3aa6b9", "#c0392b"];
  const dark = matchMedia("(prefers-color-scheme: dark)");
  const plots = new Map();

  const color = (place) => COLORS[place % COLORS.length];
  const short = new Intl.NumberFormat("en", { maximumSignificantDigits: 4, useGrouping: false });
  const marked = (_plot, values) => values.map((value) => (value === null ? "" : short.format(value)));
  const written = (value) => (value === null || value === undefined ? "–" : short.format(value));

  function theme() {
    const style = getComputedStyle(document.querySelector("section"));
    const line = getComputedStyle(document.querySelector("section")).borderTopColor;
    return { text: getComputedStyle(document.querySelector(".note")).color, line, back: style.backgroundColor };
  }

  function axis(more) {
    const { text, line } = theme();
    const grid = { stroke: line, width: 1 };
    return { stroke: text, font: "11px system-ui, sans-serif", grid, ticks: { show: false }, ...more };
  }

  /** Seconds are written without hours: traces begin at 0. */
  const seconds = () => axis({ space: 60, size: 28, values: marked });

  function draw(id, options, data) {
    const box = document.getElementById(id);
    plots.get(id)?.destroy();
    box.replaceChildren();
    const size = { width: box.clientWidth, height: options.height ?? HEIGHT };
    plots.set(
      id,
      new uPlot({ legend: { live: true }, cursor: { drag: { x: true, y: false } }, ...options, ...size }, data, box),
    );
  }

  function roundOf(_plot, splits) {
    return splits.map((value) => (/^[125]/.test(value.toExponential()) ? short.format(value) : ""));
  }

  /** Of a logarithm: 1, 2 and 5 of each power of ten. */
  function decades() {
    return axis({ space: 20, size: 28, filter: (_plot, splits) => splits, values: roundOf });
  }

  function lines(id, scaleX, tables, more = {}) {
    const data = uPlot.join(tables);
    const series = strategies.map(({ name }, place) => ({
      label: name,
      stroke: color(place),
      width: 1.5,
      dash: place >= COLORS.length ? [6, 3] : undefined,
      spanGaps: true,
      points: { show: false },
      value: (_plot, value) => written(value),
    }));
    const x = { label: "s", value: (_plot, value) => written(value) };
    const axes = [scaleX.distr === 3 ? decades() : seconds(), axis({ size: 54, values: marked })];
    draw(id, { scales: { x: scaleX, ...more }, axes, series: [x, ...series] }, data);
  }

  function fromZero(_plot, _least, most) {
    return [0, most > 0 ? most * 1.05 : 1];
  }

  function overTime(id, key) {
    lines(
      id,
      { time: false },
      strategies.map((one) => [one[key].map((_value, point) => point * one.width), one[key]]),
      { y: { range: fromZero } },
    );
  }

  function shares() {
    const measure = document.getElementById("measure").value;
    // A logarithm has no 0: what took nothing stands at the left end.
    const least = 0.01;
    const tables = strategies.map(({ shares: spread }) => {
      const bySeconds = new Map(spread[measure].map(([value, share]) => [Math.max(least, value), share]));
      return [[...bySeconds.keys()], [...bySeconds.values()]];
    });
    lines("shares", { time: false, distr: 3 }, tables, { y: { range: () => [0, 1] } });
  }

  /** Each run in the first slot of its GPU that is free. */
  function placed(runs) {
    const first = slots.map((_count, gpu) => slots.slice(0, gpu).reduce((sum, count) => sum + count, 0));
    const until = slots.map((count) => Array.from({ length: count }, () => -Infinity));
    return runs.map(([gpu, start, end, waited, caller]) => {
      const free = until[gpu].findIndex((time) => time <= start + 0.0015);
      const slot = Math.max(0, free);
      until[gpu][slot] = end;
      return { lane: first[gpu] + slot, gpu, start, end, waited, caller };
    });
  }

  function lanes() {
    const one = strategies[document.getElementById("strategy").selectedIndex];
    const runs = placed(one.runs);
    const count = slots.reduce((sum, some) => sum + some, 0);
    const end = runs.reduce((most, run) => Math.max(most, run.end), 1);
    const draws = ({ ctx, bbox, ...plot }) => drawRuns(ctx, bbox, plot, runs, count);
    draw(
      "lanes",
      {
        height: 40 + count * LANE,
        legend: { show: false },
        scales: { x: { time: false }, y: { dir: -1, range: () => [0, count] } },
        axes: [
          seconds(),
          axis({
            size: 54,
            splits: () => gpuPlaces(),
            values: () => slots.map((_some, gpu) => `GPU ${gpu}`),
            grid: { show: false },
          }),
        ],
        series: [{}, { show: true, paths: () => null, points: { show: false } }],
        hooks: { draw: [draws] },
      },
      [
        [0, end],
        [0, count],
      ],
    );
    colours(one.callers);
  }

  /** The middle of each GPU's lanes. */
  function gpuPlaces() {
    let before = 0;
    return slots.map((some) => {
      before += some;
      return before - some / 2;
    });
  }

  function drawRuns(context, box, plot, runs, count) {
    context.save();
    context.beginPath();
    context.rect(box.left, box.top, box.width, box.height);
    context.clip();
    const height = box.height / count;
    for (const { lane, start, end, caller } of runs) {
      const left = plot.valToPos(start, "x", true);
      const width = Math.max(1, plot.valToPos(end, "x", true) - left - 1);
      context.fillStyle = color(caller);
      context.fillRect(left, box.top + lane * height + 1, width, Math.max(1, height - 2));
    }
    context.strokeStyle = theme().line;
    let before = 0;
    for (const some of slots) {
      before += some;
      context.beginPath();
      context.moveTo(box.left, box.top + before * height);
      context.lineTo(box.left + box.width, box.top + before * height);
      context.stroke();
    }
    context.restore();
  }

  /** Which caller has which colour; of many, the first ones. */
  function colours(callers) {
    const place = document.getElementById("colours");
    place.replaceChildren();
    if (callers.length < 2) return;
    for (const [index, name] of callers.slice(0, COLORS.length).entries()) {
      const item = document.createElement("span");
      const box = document.createElement("i");
      box.style.background = color(index);
      item.append(box, name);
      place.append(item);
    }
  }

  function all() {
    overTime("waiting", "waiting");
    overTime("in-use", "inUse");
    shares();
    lanes();
    document.body.dataset.drawn = dark.matches ? "dark" : "light";
  }

  const choice = document.getElementById("strategy");
  for (const { name } of strategies) choice.append(new Option(name));
  choice.addEventListener("change", lanes);
  document.getElementById("measure").addEventListener("change", shares);
  dark.addEventListener("change", all);
  new ResizeObserver(() => {
    for (const [id, plot] of plots) {
      const { clientWidth } = document.getElementById(id);
      if (clientWidth !== plot.width) plot.setSize({ width: clientWidth, height: plot.height });
    }
  }).observe(document.querySelector("main"));
  all();
})();
