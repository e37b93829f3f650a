// Elements. Text goes in as text nodes only, so that no name out of a store is ever read as HTML.

const SVG = "http://www.w3.org/2000/svg";

function element(tag, attributes = {}, ...children) {
  return filled(document.createElement(tag), attributes, children);
}

function drawn(tag, attributes = {}, ...children) {
  return filled(document.createElementNS(SVG, tag), attributes, children);
}

function filled(made, attributes, children) {
  for (const [name, value] of Object.entries(attributes)) {
    if (value === true) made.setAttribute(name, "");
    else if (value !== false && value !== null && value !== undefined) made.setAttribute(name, value);
  }
  made.append(...children.filter((child) => child !== null && child !== undefined && child !== ""));
  return made;
}

// A name or value out of the store: set apart from the direction of the text around it, and cut where it is long.
const LONGEST = 60;

function name(text) {
  const long = text.length > LONGEST;
  return element("bdi", long ? { class: "cut", tabindex: "0", title: text } : {}, text);
}

function cut(text, most = LONGEST) {
  return text.length > most ? `${text.slice(0, most)}…` : text;
}

function byId(id) {
  return document.getElementById(id);
}
