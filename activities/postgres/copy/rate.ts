// Bytes per second over the last ten seconds: what a person who looks wants to know, neither the average since yesterday nor the last packet.

const windowMs = 10_000;
const slotMs = 1_000;

export class Rate {
  private slots: { at: number; bytes: number }[] = [{ at: performance.now(), bytes: 0 }];

  count(bytes: number): void {
    const now = performance.now();
    const last = this.slots.at(-1);
    if (last && now - last.at < slotMs) last.bytes += bytes;
    else this.slots.push({ at: now, bytes });
    while (this.slots.length > 1 && now - (this.slots[0]?.at ?? now) > windowMs) this.slots.shift();
  }

  perSecond(): number {
    const now = performance.now();
    const recent = this.slots.filter(({ at }) => now - at <= windowMs);
    const since = recent[0]?.at;
    if (since === undefined) return 0;
    const sum = recent.reduce((total, { bytes }) => total + bytes, 0);
    return Math.round((sum * 1_000) / Math.max(now - since, slotMs));
  }
}
