// What a row of measurements comes to. The median is one for an even number of them too: the mean of the two in the middle.
export interface Spread {
  median: number;
  least: number;
  most: number;
}

/** NaN throughout where nothing was measured. */
export function spread(values: number[]): Spread {
  const sorted = [...values].sort((left, right) => left - right);
  const middle = [sorted[Math.ceil(sorted.length / 2) - 1], sorted[Math.floor(sorted.length / 2)]];
  return {
    median: ((middle[0] ?? NaN) + (middle[1] ?? NaN)) / 2,
    least: sorted[0] ?? NaN,
    most: sorted.at(-1) ?? NaN,
  };
}
