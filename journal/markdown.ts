// The report as CommonMark with GFM tables. Pure: it runs inside the workflow's sandbox and answers the `report` query.
// Whatever people or databases wrote is escaped: it can neither break a table nor become markup.
import type { Block, Inline, ReportDocument, Section, Text } from './document';
import { composeReport } from './report';
import { ganttLines } from './timeline-text';
import type { Journal } from './types';

/** The whole report, also of a migration that still runs. */
export function renderReport(journal: Journal): string {
  const document = composeReport(journal);
  const draw = (block: Block): string => drawBlock(block, journal);
  const parts = [
    `# ${escapeText(document.title)}`,
    escapeStart(escapeText(document.subtitle)),
    ...document.head.map(draw),
    ...document.sections.flatMap((section) => [`## ${sectionTitle(section)}`, ...section.blocks.map(draw)]),
    footer(document),
  ];
  return `${parts.filter(Boolean).join('\n\n')}\n`;
}

function sectionTitle({ number, title }: Section): string {
  return `${number ? `${number}. ` : ''}${escapeText(title)}`;
}

function footer({ title }: ReportDocument): string {
  return `---\n\n*${escapeText(title)}. Times are UTC; sizes are in units of 1024 bytes.*`;
}

function drawBlock(block: Block, journal: Journal): string {
  switch (block.kind) {
    case 'heading':
      return `### ${escapeText(block.text)}`;
    case 'paragraph':
      return drawText(block.text);
    case 'banner':
      return `> ${drawText(block.text)}`;
    case 'list':
      return block.items.map((item) => `- ${drawText(item)}`).join('\n');
    case 'figures':
      return drawTable(
        block.items.map(({ label }) => ({ title: label })),
        [block.items.map(({ value, note }) => [{ strong: value }, note ? ` (${note})` : ''])],
      );
    case 'table':
      return drawTable(block.columns, block.rows);
    case 'timeline':
      return fence(ganttLines(journal).join('\n'));
  }
}

function drawTable(columns: { title: string; align?: 'left' | 'right' }[], rows: Text[][]): string {
  const line = (cells: string[]): string => `| ${cells.join(' | ')} |`;
  return [
    line(columns.map(({ title }) => escapeText(title))),
    line(columns.map(({ align }) => (align === 'right' ? '---:' : '---'))),
    ...rows.map((row) => line(row.map((cell) => drawText(cell, true)))),
  ].join('\n');
}

function drawText(text: Text, inTable = false): string {
  const inlines = Array.isArray(text) ? text : [text];
  const line = inlines.map((inline) => drawInline(inline, inTable)).join('');
  return inTable ? line : escapeStart(line);
}

function drawInline(inline: Inline, inTable: boolean): string {
  if (typeof inline === 'string') return escapeText(inline);
  if ('code' in inline) return codeSpan(inline.code, inTable);
  if ('strong' in inline) return `**${escapeText(inline.strong)}**`;
  return escapeText(inline.text);
}

/** Every sign that Markdown or HTML could take for its own, made harmless; line ends become a slash. */
export function escapeText(text: string): string {
  return flat(text)
    .replaceAll(/[\\`*[\]<|~]/g, '\\$&')
    .replaceAll(/_(?![A-Za-z0-9])|(?<![A-Za-z0-9])_/g, '\\_')
    .replaceAll(/&(?=#?\w+;)/g, '\\&');
}

/** What would make a heading, a quotation or a list of a line that begins with it. */
function escapeStart(line: string): string {
  return line.replace(/^(\s*)([-+=>#])/, '$1\\$2').replace(/^(\s*\d+)([.)])(?=\s|$)/, '$1\\$2');
}

function codeSpan(text: string, inTable: boolean): string {
  const content = flat(text);
  if (content.trim() === '') return '';
  const longest = Math.max(0, ...(content.match(/`+/g) ?? []).map((run) => run.length));
  const ticks = '`'.repeat(longest + 1);
  const pad = content.startsWith('`') || content.endsWith('`') ? ' ' : '';
  // GFM splits a row at pipes before it looks for code, so a pipe is escaped there too.
  return `${ticks}${pad}${inTable ? content.replaceAll('|', '\\|') : content}${pad}${ticks}`;
}

function fence(text: string): string {
  return text === '' ? '' : `\`\`\`text\n${text}\n\`\`\``;
}

function flat(text: string): string {
  return text.replaceAll(/\s*[\r\n\u2028\u2029]+\s*/g, ' / ').replaceAll(/[\u0000-\u0008\u000b-\u001f\u007f]/g, '�');
}
