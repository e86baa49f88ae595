// Things that are two on the source and would be one on the target. Which of them is right only people can tell, so none is taken.
import type { Ledger } from './disposition';

export interface Claim {
  /** Of the entry in the ledger. */
  index: number;
  /** Of the object on the target: "networkpolicies prod/allow-db". */
  identity: string;
}

/** Refuses every claim whose identity another one has as well, and returns the rest. */
export function withoutCollisions<Claimed extends Claim>(
  claims: readonly Claimed[],
  ledger: Ledger,
  keyOf: (index: number) => string,
): Claimed[] {
  const byIdentity = new Map<string, Claimed[]>();
  for (const claim of claims) {
    const others = byIdentity.get(claim.identity);
    if (others) others.push(claim);
    else byIdentity.set(claim.identity, [claim]);
  }
  return claims.filter((claim) => {
    const rivals = (byIdentity.get(claim.identity) ?? []).filter((other) => other !== claim);
    const [rival] = rivals;
    if (!rival) return true;
    const more = rivals.length > 1 ? ` and ${rivals.length - 1} more` : '';
    ledger.refuse(claim.index, {
      category: 'collision',
      reason: `it would become ${claim.identity}, and so would ${keyOf(rival.index)}${more}`,
    });
    return false;
  });
}
