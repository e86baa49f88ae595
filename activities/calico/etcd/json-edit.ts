// One member of a JSON text set or removed, every other byte left alone: digits, escapes, order and blanks.
// For texts that a parser has accepted; what follows relies on it.

/**
 * Sets the member at `path` to a JSON text, or removes it (`undefined`). Objects on the way are made when they are missing.
 * @param text JSON whose top and every value on the path is an object
 */
export function editMember(text: string, path: [string, ...string[]], value: string | undefined): string {
  const [first, ...rest] = path;
  return edit(text, text.indexOf('{'), [first, ...rest], value);
}

interface Member {
  name: string;
  start: number;
  valueStart: number;
  end: number;
}

function edit(text: string, brace: number, [name, ...rest]: string[], value: string | undefined): string {
  const members = membersOf(text, brace);
  // Of several with one name the last counts, as in Go.
  const index = members.findLastIndex((member) => member.name === name);
  const member = members[index];
  const [next, ...others] = rest;
  if (member && next !== undefined) return edit(text, member.valueStart, [next, ...others], value);
  if (!member) {
    if (value === undefined) return text;
    const made = `${JSON.stringify(name)}:${nested(rest, value)}`;
    const [head] = members;
    return head ? splice(text, head.start, head.start, `${made},`) : splice(text, brace + 1, brace + 1, made);
  }
  if (value !== undefined) return splice(text, member.valueStart, member.end, value);
  const following = members[index + 1];
  const preceding = members[index - 1];
  if (following) return splice(text, member.start, following.start, '');
  return splice(text, preceding ? preceding.end : member.start, member.end, '');
}

function nested(path: string[], value: string): string {
  return path.reduceRight((inner, name) => `{${JSON.stringify(name)}:${inner}}`, value);
}

function splice(text: string, start: number, end: number, put: string): string {
  return text.slice(0, start) + put + text.slice(end);
}

function membersOf(text: string, brace: number): Member[] {
  const members: Member[] = [];
  let at = skipBlanks(text, brace + 1);
  while (text[at] === '"') {
    const start = at;
    const nameEnd = endOfString(text, start);
    const valueStart = skipBlanks(text, skipBlanks(text, nameEnd) + 1);
    const end = endOfValue(text, valueStart);
    members.push({ name: String(JSON.parse(text.slice(start, nameEnd))), start, valueStart, end });
    at = skipBlanks(text, end);
    if (text[at] === ',') at = skipBlanks(text, at + 1);
  }
  return members;
}

function skipBlanks(text: string, from: number): number {
  let at = from;
  while (/\s/.test(text.charAt(at))) at += 1;
  return at;
}

function endOfString(text: string, quote: number): number {
  let at = quote + 1;
  while (text[at] !== '"' && at < text.length) at += text[at] === '\\' ? 2 : 1;
  return at + 1;
}

function endOfValue(text: string, start: number): number {
  if (text[start] === '"') return endOfString(text, start);
  let depth = 0;
  let at = start;
  while (at < text.length) {
    const character = text.charAt(at);
    if (character === '"') {
      at = endOfString(text, at);
      continue;
    }
    if ('{['.includes(character)) depth += 1;
    if ('}]'.includes(character)) depth -= 1;
    if (depth < 0 || (depth === 0 && /[,\s]/.test(character))) return at;
    at += 1;
    if (depth === 0 && '}]'.includes(character)) return at;
  }
  return at;
}
