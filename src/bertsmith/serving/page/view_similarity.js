// Sentences compared by their vectors.

// More make a table that nobody reads, and that browsers take long to lay out.
const MOST_SENTENCES = 50;

const similarity = {
  id: "similarity",
  title: "Similarity",
  about:
    "One vector is made of each sentence; the nearer two of them, the more alike the sentences.",
  verb: "Compare",
  can: (model) => model.endpoints.includes("/v1/embeddings"),
  fields: () => [
    areaField(
      "sentences",
      "Sentences, one a line",
      "The cat sleeps on the sofa.\nA kitten is napping on the couch.\n" +
        "The parliament passed a new law.\nMembers voted for the bill.\nIt will rain tomorrow.",
      { rows: 6 },
    ),
  ],

  async answer({ values, ask }) {
    const sentences = sentencesOf(values.sentences, MOST_SENTENCES);
    const { data } = await ask("v1/embeddings", { input: sentences });
    const vectors = data.map((each) => ofLengthOne(each.embedding));
    const rows = vectors.map((one) => vectors.map((other) => product(one, other)));
    const labels = sentences.map((text, place) => ({
      short: String(place + 1),
      long: [text],
      title: text,
    }));
    return {
      summary: mostAlike(rows),
      nodes: [heatMap("Cosine similarity of the sentences", labels, rows)],
    };
  },
};

function mostAlike(rows) {
  let best = null;
  rows.forEach((row, one) => {
    row.slice(0, one).forEach((cosine, other) => {
      if (best === null || cosine > best.cosine) {
        best = { one: other + 1, other: one + 1, cosine };
      }
    });
  });
  return best === null
    ? "One sentence alone; add another to compare it with."
    : `Most alike: ${best.one} and ${best.other} (${best.cosine.toFixed(2)}).`;
}

function ofLengthOne(vector) {
  const length = Math.sqrt(product(vector, vector)) || 1;
  return vector.map((value) => value / length);
}

function product(one, other) {
  return one.reduce((sum, value, place) => sum + value * other[place], 0);
}
