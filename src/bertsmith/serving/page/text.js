// Texts and numbers as people read them.

/** Words of a user or a model in a sentence of the page, which may be written the other way. */
function isolated(text) {
  return element("bdi", {}, shortened(text));
}

/** The lines of a text that say something. */
function linesOf(text) {
  return text
    .split("\n")
    .map((line) => line.trim())
    .filter((line) => line !== "");
}

/** The sentences of a field, if they are not too many for a table of each with each. */
function sentencesOf(text, most) {
  const sentences = linesOf(text);
  if (sentences.length > most) {
    throw new Refusal(
      `These are ${sentences.length} sentences, and ${most} are compared; remove some.`,
      422,
    );
  }
  return sentences;
}

/** The beginning of a text, where only a line has room. */
function shortened(text, most = 80) {
  const characters = Array.from(text);
  return characters.length > most ? `${characters.slice(0, most - 1).join("")}…` : text;
}

/** A share in per cent, with a decimal near its ends; only what is nothing or all is said to be. */
function percent(share) {
  const value = 100 * share;
  // A sign alone on the next line would be missed.
  const written = (number) => `${number}\u00a0%`;
  if (value > 0 && value < 0.1) {
    return written("<\u00a00.1");
  }
  if (value > 99.9 && value < 100) {
    return written(">\u00a099.9");
  }
  const isNearAnEnd = (value > 0 && value < 10) || (value > 99 && value < 100);
  return written(isNearAnEnd ? value.toFixed(1) : Math.round(value));
}

/** A number and what it counts. */
function counted(number, word) {
  return `${number.toLocaleString("en")} ${word}${number === 1 ? "" : "s"}`;
}

/**
 * A text with some of its parts marked.
 *
 * Spans are in order and do not overlap; `start` and `end` count characters as the server does. A
 * string of this language counts units of UTF-16, of which an emoji has two.
 */
function withMarks(text, spans, mark) {
  const characters = Array.from(text);
  const between = (start, end) => characters.slice(start, end).join("");
  const nodes = [];
  let at = 0;
  for (const span of spans) {
    nodes.push(between(at, span.start), mark(between(span.start, span.end), span));
    at = span.end;
  }
  return [...nodes, between(at)];
}
