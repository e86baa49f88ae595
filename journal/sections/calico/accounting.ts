// Where every key of the etcd datastore ended, and what the import found and did: the sums that say that nothing is missing.
import { code, heading, list, paragraph, table, type Block, type Section, type Text } from '../../document';
import { formatCount, plural } from '../../quantities';
import { done, failed, quiet } from '../../reading';
import type { CalicoAccounting, Journal, KindAccount, KindImport } from '../../types';

export function accounting(journal: Journal): Section {
  return {
    id: 'accounting',
    number: '3',
    title: 'Where every key ended',
    blocks: [...keys(journal.accounting), heading('The import'), ...imports(journal.imports)],
  };
}

function keys(found: CalicoAccounting | undefined): Block[] {
  if (!found) return [paragraph(quiet('The source has not been read yet.'))];
  const total = found.kinds.reduce(add, { kind: 'All keys', source: 0, migrated: 0, derived: 0, refused: 0 });
  const balanced = [...found.kinds, total].every(isBalanced);
  return [
    paragraph(
      balanced
        ? done(`${plural(total.source, 'key')} at etcd revision ${found.revision}, and each is accounted for`)
        : failed('The sums do not add up: do not go on'),
      balanced
        ? `: ${formatCount(total.migrated)} migrated, ${formatCount(total.derived)} that Kubernetes or Calico makes anew by itself, ${formatCount(total.refused)} that the Kubernetes datastore cannot hold.`
        : '.',
    ),
    table(['Kind', '>In etcd', '>Migrated', '>Made anew', '>Refused'], [...found.kinds, total].map(accountRow)),
    ...refusals(found),
    ...(found.remarks.length > 0 ? [paragraph('Migrated, and worth a look:'), list(found.remarks)] : []),
  ];
}

function add(sum: KindAccount, { source, migrated, derived, refused }: KindAccount): KindAccount {
  return {
    ...sum,
    source: sum.source + source,
    migrated: sum.migrated + migrated,
    derived: sum.derived + derived,
    refused: sum.refused + refused,
  };
}

function isBalanced({ source, migrated, derived, refused }: KindAccount): boolean {
  return source === migrated + derived + refused;
}

function accountRow({ kind, source, migrated, derived, refused }: KindAccount): Text[] {
  return [kind, ...[source, migrated, derived, refused].map(formatCount)];
}

function refusals({ refused, refusedNotListed }: CalicoAccounting): Block[] {
  if (refused.length === 0) return [];
  const more = refusedNotListed > 0 ? `; ${formatCount(refusedNotListed)} more in the artifact with every key` : '';
  return [
    paragraph(`Refused, each with its reason${more}:`),
    table(
      ['Key', 'Why'],
      refused.map(({ key, reason }) => [code(key), reason]),
    ),
  ];
}

function imports(kinds: KindImport[] | undefined): Block[] {
  if (!kinds) return [paragraph(quiet('Nothing has been imported yet.'))];
  return [
    table(
      ['Kind', '>Wanted', '>Created', '>Equal already', '>Replaced', '>Conflicting'],
      kinds.map(({ kind, ...counts }) => [
        kind,
        ...[counts.wanted, counts.created, counts.equal, counts.replaced, counts.conflicting].map(formatCount),
      ]),
    ),
  ];
}
