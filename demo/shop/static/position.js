// Event ids name a place in the order of commits: "0/16B3748.3.k7x2mq" is the LSN
// of a commit, the number of the change in it, and a tag that is of no use here.
// "0/16B3748" means everything before that LSN.

/** Reads an id; null if it is none. */
export function parsePosition(id) {
  const m = /^([0-9A-F]{1,8})\/([0-9A-F]{1,8})(?:\.(\d+))?/i.exec(id || '');
  if (!m) return null;
  const commit = (BigInt('0x' + m[1]) << 32n) | BigInt('0x' + m[2]);
  return { commit, index: m[3] === undefined ? -1n : BigInt(m[3]) };
}

/** Is position a before position b? */
export function before(a, b) {
  return a.commit < b.commit || (a.commit === b.commit && a.index < b.index);
}

/** An id as people want to see it: without the tag. */
export function shortId(id) {
  const m = /^([0-9A-F]+\/[0-9A-F]+)(?:\.(\d{1,9})(?=\.|$))?/i.exec(id || '');
  if (!m) return id || '';
  return m[2] === undefined ? m[1] : `${m[1]}.${m[2]}`;
}
