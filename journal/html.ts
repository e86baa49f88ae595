// The report as one HTML file that needs nothing else: no script, no font, no address. Light and dark, on paper and on a phone.
import type { Block, Inline, Section, Text } from './document';
import { escapeHtml } from './escape-html';
import { formatTime } from './quantities';
import { downtimeWords, lastHeardOf } from './reading';
import { composeReport } from './report';
import { stylesheet } from './stylesheet';
import { renderTimeline } from './timeline';
import type { Journal } from './types';

/** The same content as `renderReport`, with the timeline as a picture. */
export function renderHtml(journal: Journal): string {
  const document = composeReport(journal);
  const draw = (block: Block): string => drawBlock(block, journal);
  const contents = document.sections
    .map((section) => `<li><a href="#${section.id}">${sectionTitle(section)}</a></li>`)
    .join('');
  return `<!doctype html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<meta name="generator" content="cutover">
<title>${escapeHtml(document.title)}</title>
<style>${stylesheet}</style>
</head>
<body>
<main>
<header>
<h1>${escapeHtml(document.title)}</h1>
<p class="subtitle">${escapeHtml(document.subtitle)}</p>
${document.head.map(draw).join('\n')}
</header>
<nav aria-label="Contents"><ol>${contents}</ol></nav>
${document.sections.map((section) => drawSection(section, draw)).join('\n')}
<footer><p>Rendered from the journal of <code>${escapeHtml(journal.migration)}</code> as of ${escapeHtml(formatTime(lastHeardOf(journal)))}. Times are UTC; sizes are in units of 1024 bytes.</p></footer>
</main>
</body>
</html>
`;
}

function drawSection(section: Section, draw: (block: Block) => string): string {
  return `<section id="${section.id}"><h2>${sectionTitle(section)}</h2>\n${section.blocks.map(draw).join('\n')}\n</section>`;
}

function sectionTitle({ number, title }: Section): string {
  return `${number ? `<span class="number">${escapeHtml(number)}</span> ` : ''}${escapeHtml(title)}`;
}

function drawBlock(block: Block, journal: Journal): string {
  switch (block.kind) {
    case 'heading':
      return `<h3>${escapeHtml(block.text)}</h3>`;
    case 'paragraph':
      return `<p>${drawText(block.text)}</p>`;
    case 'banner':
      return `<p class="banner ${block.tone}">${drawText(block.text)}</p>`;
    case 'list':
      return `<ul>${block.items.map((item) => `<li>${drawText(item)}</li>`).join('')}</ul>`;
    case 'figures':
      return `<dl class="figures">${block.items.map(drawFigure).join('')}</dl>`;
    case 'table':
      return drawTable(block.columns, block.rows);
    case 'timeline':
      return drawTimeline(journal);
  }
}

function drawFigure({ label, value, note }: { label: string; value: string; note?: string }): string {
  return `<div><dt>${escapeHtml(label)}</dt><dd>${escapeHtml(value)}${note ? `<small>${escapeHtml(note)}</small>` : ''}</dd></div>`;
}

function drawTable(columns: { title: string; align?: 'left' | 'right' }[], rows: Text[][]): string {
  const side = (index: number): string => (columns[index]?.align === 'right' ? ' class="number"' : '');
  const head = columns.map(({ title }, index) => `<th scope="col"${side(index)}>${escapeHtml(title)}</th>`).join('');
  const body = rows
    .map((row) => `<tr>${row.map((cell, index) => `<td${side(index)}>${drawText(cell)}</td>`).join('')}</tr>`)
    .join('\n');
  const size = columns.length > 6 ? ' class="widest"' : columns.length > 3 ? ' class="wide"' : '';
  return `<div class="scroll" tabindex="0"><table${size}><thead><tr>${head}</tr></thead>\n<tbody>${body}</tbody></table></div>`;
}

function drawTimeline(journal: Journal): string {
  const picture = renderTimeline(journal);
  if (picture === '') return '';
  const legend = [
    ['work', 'work'],
    ['undo', 'undo'],
    ['wait', 'watching or keeping'],
    ['gate', 'waiting for people'],
    ['failed', 'failed'],
    ['down', downtimeWords(journal)],
  ].map(([name, words]) => `<span><i class="key-${name}"></i>${words}</span>`);
  return `<figure><div class="scroll" tabindex="0">${picture}</div><figcaption>${legend.join(' ')}<span>Waits are cut out of the axis and labelled with their length; all else is in proportion.</span></figcaption></figure>`;
}

function drawText(text: Text): string {
  return Array.isArray(text) ? text.map(drawInline).join('') : drawInline(text);
}

function drawInline(inline: Inline): string {
  if (typeof inline === 'string') return timesKept(inline);
  if ('code' in inline) return `<code>${escapeHtml(inline.code)}</code>`;
  if ('strong' in inline) return `<strong>${escapeHtml(inline.strong)}</strong>`;
  return `<span class="tone ${inline.tone}">${escapeHtml(inline.text)}</span>`;
}

/** Times stay on one line. */
function timesKept(text: string): string {
  return escapeHtml(text).replaceAll(/\d{4}-\d\d-\d\d \d\d:\d\d:\d\d UTC/g, '<time>$&</time>');
}
