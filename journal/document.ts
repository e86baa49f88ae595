// The report as a tree of blocks, before anybody has decided how it looks: sections build it once, Markdown and HTML draw the same thing.
// All text in it is raw; escaping belongs to the renderers alone.

/** How a cell or a word is to be read; renderers add a word or sign, never colour alone. */
export type Tone = 'good' | 'warn' | 'bad' | 'open' | 'quiet';

export type Inline = string | { code: string } | { strong: string } | { tone: Tone; text: string };

export type Text = Inline | Inline[];

export interface Column {
  title: string;
  /** Numbers and durations stand right and do not wrap. */
  align?: 'left' | 'right';
}

export type Block =
  | { kind: 'paragraph'; text: Text }
  | { kind: 'list'; items: Text[] }
  | { kind: 'table'; columns: Column[]; rows: Text[][]; caption?: string }
  | { kind: 'heading'; text: string }
  | { kind: 'figures'; items: { label: string; value: string; note?: string }[] }
  | { kind: 'banner'; tone: Tone; text: Text }
  | { kind: 'timeline' };

export interface Section {
  /** Anchor, stable: `validation`. */
  id: string;
  /** As the runbook numbers it; sections beyond the runbook have none. */
  number?: string;
  title: string;
  blocks: Block[];
}

export interface ReportDocument {
  title: string;
  subtitle: string;
  head: Block[];
  sections: Section[];
}

export const paragraph = (...text: Inline[]): Block => ({ kind: 'paragraph', text });
export const heading = (text: string): Block => ({ kind: 'heading', text });
export const list = (items: Text[]): Block => ({ kind: 'list', items });
export const code = (text: string): Inline => ({ code: text });
export const toned = (tone: Tone, text: string): Inline => ({ tone, text });

/** `titles`: a leading `>` makes the column stand right. */
export function table(titles: string[], rows: Text[][], caption?: string): Block {
  const columns = titles.map<Column>((title) =>
    title.startsWith('>') ? { title: title.slice(1), align: 'right' } : { title },
  );
  return { kind: 'table', columns, rows, caption };
}

/** Several texts as one, for instance a mark and its explanation. */
export function joined(...texts: Text[]): Inline[] {
  return texts.flat();
}
