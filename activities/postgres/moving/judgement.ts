// What a series of looks at one row proves. The looks alternate: writing side, marker, following side, a pause, writing side, marker,
// following side … A row version that is the same in two looks of a side has stood there all the time in between, so the other side,
// seen in between, must have it. Nothing else accuses a row: two equal contents do not show that it was not changed and changed back.
// Pure.

/** One row as a side had it; without a key, all rows of one content together. */
export interface Seen {
  rows: number;
  /** Digest of the columns that are compared; empty for no row. */
  content: string;
  /** Another one after every write; empty for no row. */
  version: string;
}

export type Judgement = 'open' | 'fine' | 'missing' | 'extra' | 'different';

export const absent: Seen = { rows: 0, content: '', version: '' };

/** After a look at the following side; `before` are the looks one round earlier, where there were any. */
export function afterFollowing(
  keyed: boolean,
  before: { writing: Seen; following: Seen } | undefined,
  writing: Seen,
  following: Seen,
): Judgement {
  const stoodThere = before !== undefined && before.following.version === following.version;
  if (keyed) {
    if (isSame(writing, following)) return 'fine';
    if (stoodThere && following.rows > 0) return writing.rows === 0 ? 'extra' : 'different';
    return 'open';
  }
  if (!stoodThere) return 'open';
  // The rows that stood on the follower were all on the writing side, which may have had more for a moment.
  if (following.rows > writing.rows) return 'extra';
  return before.writing.version === writing.version && isSame(writing, following) ? 'fine' : 'open';
}

/** After the next look at the writing side; `writing` and `following` are the two looks before it. */
export function afterWriting(keyed: boolean, writing: Seen, following: Seen, now: Seen): Judgement {
  const stoodHere = writing.version === now.version && now.rows > 0;
  if (keyed) {
    if (isSame(now, following)) return 'fine';
    if (stoodHere) return following.rows === 0 ? 'missing' : 'different';
    return 'open';
  }
  return stoodHere && following.rows < now.rows ? 'missing' : 'open';
}

function isSame(one: Seen, other: Seen): boolean {
  return one.rows === other.rows && one.content === other.content;
}
