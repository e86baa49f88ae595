import { formatBytes, formatCount, formatRate, formatTime } from '../../journal/quantities';

it.each([
  ['0', '0'],
  ['999', '999'],
  ['1000', '1 000'],
  ['1204113', '1 204 113'],
  ['123456789012345678901', '123 456 789 012 345 678 901'],
  ['-1000', '-1 000'],
  ['many', 'many'],
])('counts are grouped by thousands: %s', (count, text) => {
  expect(formatCount(count)).toBe(text);
});

it.each([
  [0, '0 bytes'],
  [1_023, '1023 bytes'],
  [1_536, '1.50 kB'],
  [536_870_912, '512 MB'],
  [10_995_116_277_760, '10.0 TB'],
])('sizes have the units of pg_size_pretty: %d', (bytes, text) => {
  expect(formatBytes(bytes)).toBe(text);
});

it('a rate without time is a dash', () => {
  expect(formatRate(100, 0)).toBe('–');
  expect(formatRate(104_857_600, 1_000)).toBe('100 MB/s');
});

it('times are UTC to the second', () => {
  expect(formatTime('2026-11-21T08:04:05.123Z')).toBe('2026-11-21 08:04:05 UTC');
  expect(formatTime(undefined)).toBe('–');
});
