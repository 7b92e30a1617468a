// The fields of a view's form.

function lineField(name, label, example, more = {}) {
  return { kind: "line", name, label, example, ...more };
}

function areaField(name, label, example, more = {}) {
  return { kind: "area", name, label, example, ...more };
}

/** A choice of numbers from 0; changing it asks again. */
function numberField(name, label, count, example) {
  return { kind: "number", name, label, count, example: String(example) };
}

/** Whether a field can have this value. */
function canBe(field, value) {
  return field.kind !== "number" || numbersOf(field).includes(value);
}

/** The values of fields that have them; the others get their examples. */
function heldBy(fields, values) {
  return Object.fromEntries(
    fields.map((field) => {
      const value = values[field.name];
      return [field.name, value !== undefined && canBe(field, value) ? value : field.example];
    }),
  );
}

function numbersOf({ count }) {
  return Array.from({ length: count }, (_, number) => String(number));
}

/** A label and its control, with `value` in it if it can be. */
function fieldElement(field, value) {
  const id = `field-${field.name}`;
  const label = element("label", { for: id }, field.label);
  const kind = field.kind === "number" ? "short" : "long";
  const hint = field.hint ? element("p", { class: "note", id: `${id}-hint` }, field.hint) : null;
  const control = controlElement(field, value, {
    id,
    name: field.name,
    "aria-describedby": field.hint ? `${id}-hint` : null,
  });
  return element("div", { class: `field ${kind}` }, label, control, hint);
}

function controlElement(field, value, attributes) {
  if (field.kind === "number") {
    return numberSelect(field, value, attributes);
  }
  const typed = {
    ...attributes,
    required: !field.optional,
    spellcheck: "false",
    dir: "auto",
    input: (event) => checkBlank(event.target),
  };
  const control =
    field.kind === "line"
      ? element("input", { ...typed, type: "text", autocomplete: "off" })
      : element("textarea", { ...typed, rows: field.rows ?? 3, keydown: submitOnEnter });
  control.value = value;
  checkBlank(control);
  return control;
}

/** Browsers take blanks for a text; nobody asks what they mean. */
function checkBlank(control) {
  const isBlank = control.required && control.value !== "" && control.value.trim() === "";
  control.setCustomValidity(isBlank ? "Write something besides blanks." : "");
}

function numberSelect(field, value, attributes) {
  const numbers = numbersOf(field);
  const chosen = numbers.includes(value) ? value : field.example;
  const names = { [numbers.length - 1]: " (last)", 0: " (first)" };
  const options = numbers.map((number) =>
    element(
      "option",
      { value: number, selected: number === chosen },
      number + (names[number] ?? ""),
    ),
  );
  const change = (event) => event.target.form.requestSubmit();
  return element("select", { ...attributes, change }, ...options);
}

/** Enter begins a new line in a text of several, so that it is Ctrl or Cmd with Enter that asks. */
function submitOnEnter(event) {
  if (event.key === "Enter" && (event.ctrlKey || event.metaKey)) {
    event.preventDefault();
    event.target.form.requestSubmit();
  }
}
