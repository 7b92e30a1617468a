// The fragment of the page's address: a view, a model and a question. Browsers send it nowhere.

// Browsers and those who pass a link on cut longer ones.
const LONGEST_ADDRESS = 8000;

/** The address of a view, with the question where that is not too long. */
function fragment({ view, model, ...values }) {
  const long = `#${new URLSearchParams({ view, model, ...values })}`;
  return long.length <= LONGEST_ADDRESS ? long : `#${new URLSearchParams({ view, model })}`;
}

/** What an address says, by name. */
function saidBy(address) {
  return Object.fromEntries(new URLSearchParams(address.slice(1)));
}

/** Whether an address says all that the form asks for. */
function isQuestion(said, fields) {
  return fields.every(({ name }) => name in said);
}

/** What of an address is not shown, in a sentence: it would look as if it were. */
function whatIsAmiss(said, { view, model, models }, fields) {
  const quoted = (name) => `"${shortened(name)}"`;
  if (said.view !== undefined && said.view !== view.id) {
    return `No model that is served here has the view ${quoted(said.view)}.`;
  }
  if (said.model !== undefined && said.model !== model.id) {
    return models.some(({ id }) => id === said.model)
      ? `The model ${quoted(said.model)} does not have this view.`
      : `The model ${quoted(said.model)} is not served here.`;
  }
  const field = fields.find((each) => each.name in said && !canBe(each, said[each.name]));
  return field === undefined
    ? null
    : `${field.label} ${quoted(said[field.name])} is none of 0 to ${field.count - 1}.`;
}
