// Elements are made by name and never from markup, so that what users and models say stays text.

/**
 * An element. Attributes that are functions listen to the event they are named after, those that
 * begin with -- are custom properties (a style attribute would break the page's security policy),
 * true is an attribute without a value, and null and false are none.
 */
function element(name, attributes = {}, ...children) {
  return furnished(document.createElement(name), attributes, children);
}

/** The same within a drawing. */
function shape(name, attributes = {}, ...children) {
  return furnished(
    document.createElementNS("http://www.w3.org/2000/svg", name),
    attributes,
    children,
  );
}

function furnished(node, attributes, children) {
  for (const [name, value] of Object.entries(attributes)) {
    if (typeof value === "function") {
      node.addEventListener(name, value);
    } else if (name.startsWith("--")) {
      node.style.setProperty(name, value);
    } else if (value !== null && value !== false) {
      node.setAttribute(name, value === true ? "" : value);
    }
  }
  node.append(...children.filter((child) => child !== null));
  return node;
}

/** The element of the page with this id. */
function part(id) {
  return document.getElementById(id);
}

/** Replace what is in an element; the focus stays on what has the same data-key as before. */
function refill(container, nodes) {
  const focused = container.contains(document.activeElement) ? document.activeElement : null;
  const key = focused?.dataset.key;
  container.replaceChildren(...nodes);
  if (key !== undefined) {
    container.querySelector(`[data-key="${CSS.escape(key)}"]`)?.focus();
  }
}
