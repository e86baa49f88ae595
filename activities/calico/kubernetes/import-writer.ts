// The writes of the import: stage after stage, several at a time inside a stage. What the server refuses is collected for the whole stage, so that
// people mend everything at once; no stage is begun on top of one that is not complete.
import { failure } from '../../errors';
import type { KindImport } from '../../../journal/types';
import { differences } from '../model/compare';
import { describeObject, type DesiredObject } from '../model/desired';
import { isConflict, isRefusedContent } from './answers';
import type { KubernetesApi } from './api';
import { Findings } from './findings';
import type { ImportLook, Replacement } from './import-look';
import { inLanes } from './lanes';
import { collectionPath, resourcePath } from './paths';
import { metadataOf } from './present';

type Write = { object: DesiredObject; replacement?: Replacement };

export class ImportWriter {
  written = 0;

  constructor(
    private readonly api: KubernetesApi,
    private readonly kinds: Map<string, KindImport>,
    private readonly lanes: number,
    private readonly progress: (written: number, kind: string) => void,
  ) {}

  /** @throws PreconditionFailed naming everything of a stage that was refused, TargetConflict, TargetUnavailable, AuthDenied */
  async write({ create, replace }: ImportLook, signal: AbortSignal): Promise<void> {
    const writes: Write[] = [
      ...create.map((object) => ({ object })),
      ...replace.map((replacement) => ({ object: replacement.object, replacement })),
    ];
    const stages = [...new Set(writes.map(({ object }) => object.stage))].sort((left, right) => left - right);
    for (const stage of stages) {
      const refused = new Findings();
      const ofStage = writes.filter(({ object }) => object.stage === stage);
      await inLanes(ofStage, this.lanes, async (write) => {
        signal.throwIfAborted();
        await this.writeOne(write, refused);
      });
      if (refused.total > 0) throw notAccepted(refused);
    }
  }

  private async writeOne({ object, replacement }: Write, refused: Findings): Promise<void> {
    const counts = this.kinds.get(object.plural);
    try {
      const done = replacement ? await this.replace(replacement) : await this.create(object);
      if (counts) counts[done] += 1;
    } catch (error) {
      if (!isRefusedContent(error)) throw error;
      refused.add(error instanceof Error ? error.message : describeObject(object));
      return;
    }
    this.written += 1;
    this.progress(this.written, object.kind);
  }

  private async create(object: DesiredObject): Promise<'created' | 'equal'> {
    const made = await this.api.create(collectionPath(object.plural, object.namespace), object.body);
    if (made === 'created') return 'created';
    await this.requireEqual(object);
    return 'equal';
  }

  private async replace({ object, kept }: Replacement): Promise<'replaced'> {
    const { body } = object;
    const metadata = { ...metadataOf(body), ...kept.metadata };
    try {
      await this.api.replace(resourcePath(object), { ...body, metadata, status: body.status ?? kept.status });
    } catch (error) {
      // Our own write, whose answer was lost and which was sent again, looks the same.
      if (!isConflict(error)) throw error;
      await this.requireEqual(object);
    }
    return 'replaced';
  }

  /** It was not there, or was another, when the import looked. @throws TargetConflict */
  private async requireEqual(object: DesiredObject): Promise<void> {
    const live = await this.api.get(resourcePath(object));
    const found = live ? differences(object.body, live) : ['it has been removed again'];
    if (found.length === 0) return;
    throw failure(
      'TargetConflict',
      `${describeObject(object)} was written by somebody else while the import ran: ${found.slice(0, 3).join('; ')}. Find out who writes to the cluster in spite of the lock, stop it, and retry.`,
    );
  }
}

function notAccepted(refused: Findings): Error {
  return failure(
    'PreconditionFailed',
    `The apiserver does not accept ${refused.total} objects. ${refused.linesAndRest.join(' | ')} Correct them in the source and start again, or have the CRDs of the Calico version that reads them.`,
    { refused: refused.lines, refusedTotal: refused.total },
  );
}
