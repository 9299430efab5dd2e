import { parsePosition } from './position.js';

const channels = ['orders', 'customers', 'couriers'];

/** How long a stream that the browser has given up waits for the next attempt. */
const againAfter = 3000;

/**
 * Stream is one EventSource for all tables. The browser comes back by itself when the
 * connection ends and sends the last id it has seen, so nothing is missed between.
 *
 * on.change(event, id)   an insert, update or delete
 * on.reset(event)        the rows of event.channel cannot be continued: fetch again
 * on.ready({resumed, id, lostFor})   connected; lostFor in ms, 0 the first time
 * on.lost()              the connection has ended
 */
export class Stream {
  constructor(on) {
    this.on = on;
    this.lastId = '';
    this.lostAt = 0;
    this.started = false;
  }

  /** Opens the stream at an id or an LSN. */
  open(lastId) {
    this.lastId = lastId;
    const query = new URLSearchParams(channels.map((name) => ['channel', name]));
    query.set('last_event_id', lastId);
    const source = new EventSource(`/events?${query}`);
    source.addEventListener('ready', (e) => this.#ready(e));
    for (const op of ['insert', 'update', 'delete']) source.addEventListener(op, (e) => this.#change(e));
    source.addEventListener('reset', (e) => { this.#seen(e); this.on.reset(JSON.parse(e.data)); });
    source.addEventListener('error', () => this.#error(source));
  }

  #ready(e) {
    this.#seen(e);
    const { resumed } = JSON.parse(e.data);
    const lostFor = this.lostAt ? performance.now() - this.lostAt : 0;
    const again = this.started;
    this.lostAt = 0;
    this.started = true;
    this.on.ready({ resumed, again, lostFor, id: e.lastEventId });
  }

  #change(e) {
    this.#seen(e);
    this.on.change(JSON.parse(e.data), e.lastEventId);
  }

  #seen(e) {
    if (parsePosition(e.lastEventId)) this.lastId = e.lastEventId;
  }

  #error(source) {
    if (!this.lostAt) {
      this.lostAt = performance.now();
      this.on.lost();
    }
    // After an answer that is not a stream the browser does not try again.
    if (source.readyState === EventSource.CLOSED) setTimeout(() => this.open(this.lastId), againAfter);
  }
}
