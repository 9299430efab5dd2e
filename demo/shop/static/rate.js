/** So many seconds are drawn. */
const span = 60;

/** Rate shows how many events have arrived, in all and in each second. */
export class Rate {
  constructor(total, rate, spark) {
    Object.assign(this, { total, rate, spark });
    this.events = 0;
    this.seconds = [0];
  }

  count() {
    this.events++;
    this.seconds[this.seconds.length - 1]++;
    this.total.textContent = this.events.toLocaleString('en');
  }

  /** Ends a second. */
  tick() {
    const lately = this.seconds.slice(-10);
    this.rate.textContent = `${(lately.reduce((a, b) => a + b) / lately.length).toFixed(1)} / s`;
    this.#draw();
    if (this.seconds.push(0) > span) this.seconds.shift();
  }

  #draw() {
    const top = Math.max(4, ...this.seconds);
    const x = (i) => (120 - ((this.seconds.length - 1 - i) / (span - 1)) * 120).toFixed(1);
    const points = this.seconds.map((n, i) => `${x(i)} ${(31 - (n / top) * 28).toFixed(1)}`);
    const [area, stroke] = this.spark.children;
    stroke.setAttribute('d', `M${points.join('L')}`);
    area.setAttribute('d', `M${x(0)} 32L${points.join('L')}L120 32Z`);
  }
}
