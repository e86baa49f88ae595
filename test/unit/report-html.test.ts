import { renderHtml } from '../../journal/html';
import { bars, scaleFor } from '../../journal/timeline-scale';
import type { Journal } from '../../journal/types';
import { completedJournal, rejectedJournal, rolledBackJournal, runningJournal } from '../fixtures/journal';

const journals: [string, () => Journal][] = [
  ['completed', completedJournal],
  ['running', runningJournal],
  ['rolled back', rolledBackJournal],
  ['rejected', rejectedJournal],
];

const empty = new Set(['meta', 'br']);

/** Walks all tags; throws at the first that closes what is not open. */
function unclosed(html: string): string[] {
  const open: string[] = [];
  for (const [, closing, name = '', selfClosing] of html
    .replace(/<style>.*?<\/style>/s, '')
    .matchAll(/<(\/?)([a-zA-Z][a-zA-Z0-9]*)(?:\s+[a-zA-Z-]+="[^"<]*")*\s*(\/?)>/g)) {
    if (closing) {
      const last = open.pop();
      if (last !== name) throw new Error(`</${name}> closes <${last}>`);
    } else if (!selfClosing && !empty.has(name)) open.push(name);
  }
  return open;
}

describe.each(journals)('the HTML report of a %s migration', (_name, make) => {
  const html = renderHtml(make());

  it('is well-formed', () => {
    expect(html.startsWith('<!doctype html>')).toBe(true);
    expect(unclosed(html)).toEqual([]);
    // Every < belongs to a tag.
    expect(html.replaceAll(/<!doctype html>|<\/?[a-zA-Z][^<>]*>/g, '')).not.toContain('<');
  });

  it('needs nothing from anywhere else', () => {
    expect(html).not.toMatch(/<script|<link|<img|<iframe|@import|https?:\/\//i);
    expect(html.match(/url\([^)]*\)/g) ?? []).toEqual(['url(#hatch)']);
  });

  it('has a timeline picture', () => {
    expect(html).toContain('<svg class="timeline"');
    expect(html).not.toMatch(/NaN|Infinity|undefined/);
  });
});

describe('the HTML report', () => {
  it('escapes what people and databases wrote', () => {
    const html = renderHtml({
      ...completedJournal(),
      notes: [{ at: '2026-11-20T14:00:00.000Z', text: '<script>alert("1")</script>', by: "o'hara & co" }],
    });
    expect(html).toContain('&lt;script&gt;alert(&quot;1&quot;)&lt;/script&gt;');
    expect(html).toContain('o&#39;hara &amp; co');
    expect(html).not.toContain('<script');
  });

  it('is drawn before the first step', () => {
    const html = renderHtml({ ...runningJournal(), steps: [], gates: [], downtime: undefined, copy: undefined });
    expect(html).not.toContain('<svg');
    expect(unclosed(html)).toEqual([]);
  });
});

describe('the timeline', () => {
  it('keeps steps of a second visible beside a wait of 24 hours and a retention of 30 days', () => {
    const all = bars(completedJournal());
    const scale = scaleFor(all, 0, 760);
    const widthOf = (label: string): number => {
      const bar = all.find((candidate) => candidate.label === label);
      if (!bar) throw new Error(`no bar ${label}`);
      return scale.x(bar.endMs) - scale.x(bar.startMs);
    };
    expect(widthOf('Copy the rows')).toBeGreaterThan(50);
    expect(widthOf('Prove that nothing writes to the source')).toBeGreaterThan(3);
    expect(widthOf('Watch the target for 24h')).toBeLessThan(80);
    expect(widthOf('The source is kept')).toBeLessThan(80);
    expect(scale.segments.filter(({ broken }) => broken)).toHaveLength(4);
  });

  it('covers the whole width in the order of time', () => {
    const scale = scaleFor(bars(completedJournal()), 100, 760);
    const last = scale.segments.at(-1);
    expect((last?.x ?? 0) + (last?.width ?? 0)).toBeCloseTo(860);
    expect(scale.segments.map(({ x }) => x)).toEqual([...scale.segments.map(({ x }) => x)].sort((a, b) => a - b));
  });

  it('shows the downtime and the point of no return', () => {
    const html = renderHtml(completedJournal());
    expect(html).toContain('writes stopped 41 s');
    expect(html).toContain('point of no return');
    expect(renderHtml(runningJournal())).toContain('writes stopped 9.0 s so far');
  });

  it('draws a migration in which everything happened at once', () => {
    const at = '2026-11-20T14:00:00.000Z';
    const html = renderHtml({
      ...rejectedJournal(),
      steps: [
        {
          id: 'a',
          title: 'A',
          phase: 'p',
          state: 'done',
          startedAt: at,
          endedAt: at,
          durationMs: 0,
          retries: 0,
          skippable: false,
        },
      ],
      gates: [],
    });
    expect(html).not.toMatch(/NaN|Infinity/);
  });
});
