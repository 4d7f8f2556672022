// The element of one card.
import { move, remove, rename, shift } from "./actions.js";
import { columns, get, names } from "./cards.js";

const keys = {
  Enter: edit,
  Delete: (id) => remove(get(id)),
  ArrowLeft: (id) => move(get(id), -1),
  ArrowRight: (id) => move(get(id), 1),
  ArrowUp: (id) => shift(get(id), -1),
  ArrowDown: (id) => shift(get(id), 1),
};

export function build(id) {
  const item = document.createElement("li");
  item.className = "card";
  item.dataset.id = id;
  item.tabIndex = 0;
  const menu = document.createElement("menu");
  menu.append(
    button("←", "Move left", () => move(get(id), -1)),
    button("→", "Move right", () => move(get(id), 1)),
    button("Rename", "Rename", () => edit(id, item)),
    button("✕", "Delete", () => remove(get(id))),
  );
  item.append(document.createElement("p"), menu);
  item.ondblclick = () => edit(id, item);
  item.onanimationend = () => item.classList.remove("changed");
  item.onkeydown = (event) => {
    if (event.target !== item || !keys[event.key]) return;
    event.preventDefault();
    keys[event.key](id, item);
  };
  return item;
}

export function fill(item, { title, column }) {
  item.querySelector("p").textContent = title;
  item.setAttribute("aria-label", `${title}, ${names[column]}`);
  const [left, right] = item.querySelectorAll("menu button");
  left.disabled = column === columns[0];
  right.disabled = column === columns.at(-1);
}

function button(symbol, label, onclick) {
  const element = Object.assign(document.createElement("button"), { type: "button", textContent: symbol, onclick });
  element.setAttribute("aria-label", label);
  return element;
}

// edit replaces the title with an input.
function edit(id, item) {
  const { title } = get(id), text = item.querySelector("p");
  if (item.querySelector("input")) return;
  const input = Object.assign(document.createElement("input"), { value: title, maxLength: 120 });
  input.setAttribute("aria-label", "Title");
  text.hidden = true;
  text.after(input);
  input.focus();
  input.select();
  let done = false;
  const finish = (save) => {
    if (done) return;
    done = true;
    const focused = document.activeElement === input;
    input.remove();
    text.hidden = false;
    if (focused) item.focus();
    if (save && get(id) && input.value !== title) rename(get(id), input.value);
  };
  input.onblur = () => finish(true);
  input.onkeydown = (event) => {
    if (event.key === "Enter") finish(true);
    if (event.key === "Escape") finish(false);
  };
}
