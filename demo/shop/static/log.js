import { clock, el, plural } from './format.js';
import { shortId } from './position.js';

/** So many lines are kept. */
const most = 120;

/** EventLog shows the last events, the newest first, and notes between them. */
export class EventLog {
  constructor(list, count) {
    Object.assign(this, { list, count });
    this.total = 0;
  }

  /** Adds the line of a row event. */
  event(event, id, { before, after }) {
    const line = el('li', event.op);
    line.append(el('span', 'op', event.op), el('span', 'what', `${event.channel} #${event.key.id}`),
      el('span', 'id', shortId(id)), el('span', 'fields', fields(before, after)));
    line.title = id;
    this.total++;
    this.count.textContent = plural(this.total, 'event');
    this.#add(line);
  }

  /** Adds a note and returns it, so that its text can change. */
  note(text, kind) {
    const line = el('li', `note ${kind}`);
    const what = el('span', 'what', text);
    line.append(el('span', 'op', clock(new Date())), what);
    this.#add(line);
    return what;
  }

  /** Forgets everything. */
  clear() {
    this.total = 0;
    this.count.textContent = '';
    this.list.replaceChildren();
  }

  #add(line) {
    this.list.prepend(line);
    while (this.list.children.length > most) this.list.lastChild.remove();
  }
}

/** What an event changed: "status paid → packed". */
function fields(before, after) {
  if (!after) return '';
  const names = Object.keys(after).filter((name) => name !== 'id' && !name.endsWith('_at'));
  if (!before) return names.filter((name) => after[name] !== null).map((name) => `${name} ${text(after[name])}`).join(' · ');
  return names.filter((name) => text(before[name]) !== text(after[name]))
    .map((name) => `${name} ${text(before[name])} → ${text(after[name])}`).join(' · ');
}

const text = (value) => (value === null ? 'null' : Array.isArray(value) ? value.join(', ') : String(value));
