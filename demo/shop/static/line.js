import { plural } from './format.js';
import { shortId } from './position.js';

const seconds = (ms) => `${(ms / 1000).toFixed(1)} s`;

/** How long the line tells of a connection that came back. */
const tellFor = 20000;

/**
 * Line says in words what the connection does. What happened stays readable in the
 * log, too.
 */
export class Line {
  constructor(element, text, log) {
    Object.assign(this, { element, text, log });
    this.timer = 0;
  }

  connecting() { this.#set('connecting', 'connecting…'); }

  /** No rows yet, because the application does not answer. */
  unreachable() { this.#set('lost', 'the shop does not answer, trying again…'); }

  live() { this.#set('live', 'live'); }

  lost() {
    const since = performance.now();
    this.log.note('connection lost', 'lost');
    const tell = () => { this.text.textContent = `connection lost, waiting… ${seconds(performance.now() - since)}`; };
    this.#set('lost', '');
    tell();
    this.ticker = setInterval(tell, 100);
  }

  /** The stream goes on where it was. Returns an object that the events are counted with. */
  resumed(id, lostFor) {
    const resume = { caught: 0, equal: false };
    const note = this.log.note('', 'resumed');
    this.#set('resumed', '');
    resume.tell = () => {
      const caught = resume.caught ? `${plural(resume.caught, 'event')} caught up` : 'no event missed';
      const text = `resumed at ${shortId(id)} after ${seconds(lostFor)}: ${caught}${resume.equal ? ', nothing lost' : ''}`;
      note.textContent = text;
      if (this.resume === resume) this.text.textContent = text;
    };
    this.resume = resume;
    resume.tell();
    this.timer = setTimeout(() => this.live(), tellFor);
    return resume;
  }

  reset(reason) {
    const note = this.log.note(`reset (${reason}): fetching again…`, 'reset');
    this.#set('connecting', `reset (${reason}): fetching again…`);
    return () => {
      note.textContent = `reset (${reason}): fetched again`;
      this.#set('resumed', note.textContent);
      this.timer = setTimeout(() => this.live(), tellFor);
    };
  }

  #set(state, text) {
    clearInterval(this.ticker);
    clearTimeout(this.timer);
    this.resume = null;
    this.element.dataset.state = state;
    this.text.textContent = text;
  }
}
