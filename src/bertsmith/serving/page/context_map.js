// A word's occurrences and their neighbours, where the principal components of their vectors say.

/** The map and what to know of it, of an answer of /v1/word-in-context. */
function contextMap({ occurrences, neighbours, shown_variance: shown }) {
  const drawing = shape("svg", {
    class: "map",
    role: "img",
    "aria-label": mapInWords(occurrences),
  });
  // Which labels have room depends on the width that the drawing gets.
  new ResizeObserver(() => drawMap(drawing, occurrences, neighbours)).observe(drawing);
  return [
    drawing,
    element(
      "p",
      { class: "note" },
      "Letters are the word in the sentences below, together where they would hide each other; " +
        "dots are near words. The two axes, principal " +
        `components of the vectors, show ${percent(shown)} of their variance.`,
    ),
  ];
}

function mapInWords(occurrences) {
  const places = occurrences.map(
    ({ point: [x, y] }, place) => `${letter(place)} at ${x.toFixed(2)}, ${y.toFixed(2)}`,
  );
  return `Map of the vectors: ${places.join("; ")}`;
}

function drawMap(drawing, occurrences, neighbours) {
  const { width, height } = drawing.getBoundingClientRect();
  if (width === 0) {
    return;
  }
  const at = placement(
    [...occurrences, ...neighbours].map((each) => each.point),
    width,
    height,
  );
  const spots = spotsOf(at.slice(0, occurrences.length));
  const dots = dotsOf(at.slice(occurrences.length), neighbours);
  const taken = [...spots, ...dots.map((dot) => ({ of: dot, ...around(dot, 12) }))];
  drawing.replaceChildren(
    ...dots.flatMap((dot) => namedDot([...dot.names].join(", "), dot, taken, width)),
    ...spots.map(lettered),
  );
}

/** One spot for all occurrences that would hide each other. */
function spotsOf(points) {
  let spots = [];
  points.forEach((point, place) => {
    let spot = spotAt(point, [place]);
    for (let other = null; (other = spots.find((each) => isOver(each, spot))); ) {
      spots = spots.filter((each) => each !== other);
      spot = spotAt(other, [...other.places, ...spot.places]);
    }
    spots.push(spot);
  });
  return spots;
}

/** A spot and its room, which is as wide as its name. */
function spotAt({ x, y }, places) {
  const letters = places.map(letter);
  const isShort = places.length <= 3;
  const name = isShort ? letters.join(" ") : `${letters[0]} + ${places.length - 1}`;
  const reach = Math.max(12, 5 + 4 * name.length);
  const box = { left: x - reach, right: x + reach, top: y - 12, bottom: y + 12 };
  return { x, y, places, letters, name, ...box };
}

function lettered({ x, y, left, right, top, letters, name }) {
  const at = { x: left, y: top, width: right - left, height: 24, rx: 12 };
  return shape(
    "g",
    {},
    shape("title", {}, letters.join(", ")),
    shape("rect", { class: "spot", ...at }),
    shape("text", { class: "spot-name", x, y, dy: "0.35em" }, name),
  );
}

/** One dot for near words that would hide each other. */
function dotsOf(points, neighbours) {
  const dots = [];
  points.forEach((point, place) => {
    const other = dots.find(({ x, y }) => Math.hypot(x - point.x, y - point.y) < 8);
    const dot = other ?? { ...point, names: new Set() };
    dot.names.add(neighbours[place].text);
    if (other === undefined) {
      dots.push(dot);
    }
  });
  return dots;
}

/** Points in the drawing, both axes in the same measure, so that distances can be compared. */
function placement(points, width, height) {
  const margin = 28;
  const axes = [0, 1].map((axis) => points.map((point) => point[axis]));
  const [x, y] = axes.map((values) => ({ least: Math.min(...values), most: Math.max(...values) }));
  const scale = Math.min(
    (width - 2 * margin) / (x.most - x.least || 1),
    (height - 2 * margin) / (y.most - y.least || 1),
  );
  return points.map(([right, up]) => ({
    x: width / 2 + scale * (right - (x.least + x.most) / 2),
    y: height / 2 - scale * (up - (y.least + y.most) / 2),
  }));
}

/** A dot with its word as its title, and beside it where there is room. */
function namedDot(text, spot, taken, width) {
  const { x, y } = spot;
  const dot = shape("circle", { class: "dot", cx: x, cy: y, r: 4 }, shape("title", {}, text));
  const shown = text.length > 24 ? `${text.slice(0, 23)}…` : text;
  const length = 8 * shown.length; // about that of the characters
  const sides = [
    { anchor: "start", x: x + 8, y, left: x + 8 },
    { anchor: "end", x: x - 8, y, left: x - 8 - length },
    { anchor: "middle", x, y: y - 14, left: x - length / 2 },
    { anchor: "middle", x, y: y + 14, left: x - length / 2 },
  ];
  for (const side of sides) {
    const box = { left: side.left, right: side.left + length, top: side.y - 8, bottom: side.y + 8 };
    const isInside = box.left >= 0 && box.right <= width;
    if (isInside && !taken.some((other) => other.of !== spot && isOver(box, other))) {
      taken.push(box);
      const at = { x: side.x, y: side.y, dy: "0.35em", "text-anchor": side.anchor };
      return [dot, shape("text", { class: "dot-name", ...at }, shown)];
    }
  }
  return [dot];
}

function around({ x, y }, reach) {
  return { left: x - reach, right: x + reach, top: y - reach, bottom: y + reach };
}

function isOver(one, other) {
  const isBeside = one.right <= other.left || other.right <= one.left;
  const isAbove = one.bottom <= other.top || other.bottom <= one.top;
  return !isBeside && !isAbove;
}
