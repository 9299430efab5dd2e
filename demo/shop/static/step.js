import { serverAccount } from './tables.js';

/** The time between two comparisons. */
const every = 3000;
/** How long one comparison waits for the stream. */
const patience = 4000;
/** So many failures in a row, and the page says that it differs. */
const failures = 2;

/**
 * Step compares the page's rows with the database, again and again: counts and
 * checksums of all rows must be equal. The database's answer is of one moment, and the
 * page gets there a little earlier or later; so what counts is whether the page has
 * held exactly these rows at any time since the question was asked. A change that
 * happens meanwhile gives no false alarm, and neither does a stream that is behind.
 */
export class Step {
  /**
   * passed(lsn): has the stream passed this position?
   * tell({state, answer}): state is equal, differs or unknown.
   */
  constructor(tables, passed, tell) {
    Object.assign(this, { tables, passed, tell });
    this.failed = 0;
    this.timer = 0;
    this.round = 0;
  }

  /** Compares now, and from then on regularly. */
  async now() {
    clearTimeout(this.timer);
    const round = ++this.round;
    const { result, answer } = await this.#compare();
    if (round !== this.round) return; // a later one is under way
    this.failed = result === 'differs' ? this.failed + 1 : 0;
    if (result === 'equal' || result === 'unknown' || this.failed >= failures) this.tell({ state: result, answer });
    this.timer = setTimeout(() => this.now(), result === 'equal' || result === 'unknown' ? every : 200);
  }

  /** No comparisons until the next now(). */
  pause() {
    clearTimeout(this.timer);
    this.round++;
    this.failed = 0;
    this.tell({ state: 'unknown' });
  }

  /** The result is equal, differs, behind, or unknown without an answer. */
  async #compare() {
    const seen = new Set();
    let arrived = () => {};
    const stop = this.tables.watch((account) => { seen.add(account); arrived(account); });
    try {
      const response = await fetch('/api/check', { cache: 'no-store' });
      if (!response.ok) return { result: 'unknown' };
      const answer = await response.json();
      const wanted = serverAccount(answer);
      if (seen.has(wanted)) return { result: 'equal', answer };
      let moved = false;
      const equal = await new Promise((resolve) => {
        const timer = setTimeout(() => resolve(false), patience);
        arrived = (account) => {
          moved = true;
          if (account !== wanted) return;
          clearTimeout(timer);
          resolve(true);
        };
      });
      if (equal) return { result: 'equal', answer };
      return { result: moved && !this.passed(answer.lsn) ? 'behind' : 'differs', answer };
    } catch {
      return { result: 'unknown' }; // no connection: the stream says so already
    } finally {
      stop();
    }
  }
}
