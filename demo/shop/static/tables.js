import { rowSum } from './digest.js';

const names = ['customers', 'couriers', 'orders'];

/**
 * Tables holds the rows that the page shows. A change may be applied again without
 * harm: insert and update put the row, delete takes it away, both by its key.
 */
export class Tables {
  constructor() {
    this.watchers = new Set();
    this.clear();
  }

  clear() {
    for (const name of names) {
      this[name] = new Map();
      this[name].sum = 0;
    }
  }

  /** Replaces everything by what the server sent: {orders: [...], ...}. */
  load(data) {
    this.clear();
    for (const name of names) for (const row of data[name]) this.#put(this[name], name, row);
    this.#tell();
  }

  /** Applies an event. Returns {before, after}: the row as it was and is, or undefined. */
  apply({ channel, op, key, row, unchanged }) {
    const table = this[channel];
    const old = table.get(key.id);
    // Large values that an update did not touch are named, not sent.
    const kept = old && unchanged ? Object.fromEntries(unchanged.map((name) => [name, old[name]])) : {};
    this.#take(table, channel, key.id);
    if (op !== 'delete') this.#put(table, channel, { ...kept, ...row });
    this.#tell();
    return { before: old, after: table.get(key.id) };
  }

  #put(table, name, row) {
    table.set(row.id, row);
    table.sum = (table.sum + rowSum(name, row)) >>> 0;
  }

  #take(table, name, id) {
    const row = table.get(id);
    if (!row) return;
    table.delete(id);
    table.sum = (table.sum - rowSum(name, row)) >>> 0;
  }

  /** Counts and checksums as one text. */
  account() {
    return accountText(names.map((name) => ({ count: this[name].size, sum: this[name].sum })));
  }

  /** Calls watcher(account) now and after every change, until the function returned is called. */
  watch(watcher) {
    this.watchers.add(watcher);
    watcher(this.account());
    return () => this.watchers.delete(watcher);
  }

  #tell() {
    if (this.watchers.size === 0) return;
    const account = this.account();
    for (const watcher of this.watchers) watcher(account);
  }
}

const accountText = (accounts) => accounts.map((a) => `${a.count}:${a.sum}`).join(' ');

/** The account of the tables on the server, from /api/check. */
export const serverAccount = (answer) => accountText(names.map((name) => answer[name]));
