// Text for the inside of HTML elements and quoted attributes.

const entities: Record<string, string> = { '&': '&amp;', '<': '&lt;', '>': '&gt;', '"': '&quot;', "'": '&#39;' };

/** Makes any text harmless in HTML; signs that HTML does not allow are replaced. */
export function escapeHtml(text: string): string {
  return text
    .replaceAll(/[\u0000-\u0008\u000b\u000c\u000e-\u001f\u007f]/g, '�')
    .replaceAll(/[&<>"']/g, (sign) => entities[sign] ?? sign);
}
