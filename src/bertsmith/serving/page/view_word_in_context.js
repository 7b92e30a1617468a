// The view that BERT is about: one word, and its vector in each of several sentences.

// As many as the server takes; each has a row, a column and a place on the map.
const MOST_IN_CONTEXT = 32;
// More rows are opened by those who want them.
const MOST_ROWS = 12;

const wordInContext = {
  id: "word-in-context",
  title: "Word in context",
  about:
    "A word has another vector in each sentence, made of all that stands around it: in one sense it is " +
    "nearer to itself than to the other sense, and has other neighbours.",
  verb: "Compare",
  can: (model) => model.endpoints.includes("/v1/word-in-context"),
  fields: (model) => [
    lineField("word", "Word", "right"),
    areaField(
      "sentences",
      "Sentences, one a line",
      "Turn right at the next corner.\nThe car on the right has stopped.\n" +
        "You gave the right answer.\nShe was right about the weather.\n" +
        "Turn left at the church.\nThe result is correct.\nHe was wrong about the price.",
      { rows: 8, hint: "Sentences without the word are there for its neighbours." },
    ),
    // As features, the vectors of the layer before the last did better (paper, section 5.3).
    numberField("layer", "Layer", model.layers, Math.max(0, model.layers - 2)),
  ],

  async answer({ values, ask }) {
    const sentences = sentencesOf(values.sentences, MOST_IN_CONTEXT);
    const layer = Number(values.layer);
    const body = { word: values.word, sentences, layer };
    const found = await ask("v1/word-in-context", body);
    const labels = found.occurrences.map((each, place) => ({
      short: letter(place),
      long: markedWord(sentences, each),
      title: sentences[each.sentence],
    }));
    return {
      summary: spread(found.occurrences),
      nodes: [
        heading("On a map"),
        ...contextMap(found),
        heading("Each with each"),
        heatMap(
          "Cosine similarity of the word's vectors",
          labels,
          found.occurrences.map((each) => each.similarities),
        ),
        heading("Nearest words of the other sentences"),
        ...nearestLists(found, sentences),
      ],
    };
  },
};

/** A, B, …, Z, A1, B1, …: which occurrence. */
function letter(place) {
  const round = Math.floor(place / 26);
  return String.fromCharCode(65 + (place % 26)) + (round || "");
}

function markedWord(sentences, word) {
  return withMarks(sentences[word.sentence], [word], (text) => element("mark", {}, text));
}

function spread(occurrences) {
  const cosines = occurrences.flatMap((each, place) => each.similarities.slice(0, place));
  const least = Math.min(...cosines).toFixed(2);
  const most = Math.max(...cosines).toFixed(2);
  return `${occurrences.length} occurrences; their cosines are from ${least} to ${most}.`;
}

function nearestLists({ occurrences, neighbours }, sentences) {
  const items = occurrences.map((each, place) =>
    element(
      "li",
      {},
      element("span", { class: "letter" }, letter(place)),
      element("span", { dir: "auto" }, ...markedWord(sentences, each)),
      element("span", { class: "near" }, ...nearWords(each, neighbours)),
    ),
  );
  const list = (rows) => element("ol", { class: "nearest" }, ...rows);
  const rest = items.slice(MOST_ROWS);
  return [
    list(items.slice(0, MOST_ROWS)),
    rest.length === 0
      ? ""
      : element("details", {}, element("summary", {}, `${rest.length} more`), list(rest)),
  ];
}

function nearWords({ nearest }, neighbours) {
  const words = nearest.flatMap((each, place) => [
    place > 0 ? " · " : "",
    isolated(neighbours[each.place].text),
    ` ${each.similarity.toFixed(2)}`,
  ]);
  return words.length ? words : ["no other sentence has a word"];
}
