// Checksums of rows: the same as the server computes from its tables (check.go),
// so that the page can tell whether it shows exactly what the database holds.

const utf8 = new TextEncoder();

/** FNV-1a, 32 bits. */
export function hash(text) {
  let h = 0x811c9dc5;
  for (const byte of utf8.encode(text)) h = Math.imul(h ^ byte, 0x01000193);
  return h >>> 0;
}

const ms = (time) => Date.parse(time);
const cents = (amount) => Math.round(Number(amount) * 100);

const columns = {
  customers: (r) => [r.id, r.name, r.street, r.x, r.y, r.points],
  couriers: (r) => [r.id, r.name, r.x, r.y],
  orders: (r) => [r.id, r.customer_id, r.courier_id ?? 0, r.status, r.items.join(','), cents(r.total),
    ms(r.placed_at), ms(r.changed_at)],
};

/** The checksum of one row of a table. */
export function rowSum(table, row) {
  return hash(columns[table](row).join('|'));
}
