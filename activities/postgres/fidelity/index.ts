// The proof that the target has the source's schema.
import type { Transformation } from '../../../plan/transformations';
import type { ArtifactReference } from '../../artifacts/store';
import type { PostgresDependencies } from '../../dependencies';
import { withHeartbeat } from '../../heartbeat';
import type { PostgresScope } from '../scope';
import { parseCatalog, readCatalog } from './catalog';
import { compareSchemas } from './compare';

const listed = 100;

export interface FidelityResult {
  /** Properties compared. */
  compared: number;
  /** Differences that are known and harmless or accepted by the plan, the first hundred, each with its reason. */
  accepted: string[];
  /** `identity: property: source …, target …`, the first hundred. */
  differences: string[];
  /** How many differences there are in all. */
  total: number;
  /** Entries of `accept` that no difference answered to; absent from results of earlier versions. */
  unused?: string[];
  /** Everything, as JSON. */
  artifact: ArtifactReference;
}

export function createFidelityActivities({ connections, artifacts }: PostgresDependencies) {
  return {
    /**
     * Compares the schemas of both databases object by object.
     * @param accept differences that may be, by a line of an earlier report, by identity, or by identity and property
     * @param transformations of the plan, not renamed and not dropped yet: what follows from them is accepted
     * @param catalog the source as it was read earlier; without it the source is read now
     * @throws SourceUnavailable, TargetUnavailable (both retryable); differences are no error
     */
    async compareFidelity({
      scope,
      catalog,
      accept,
      transformations = [],
    }: {
      scope: PostgresScope;
      catalog?: ArtifactReference;
      accept: string[];
      transformations?: Transformation[];
    }): Promise<FidelityResult> {
      return withHeartbeat({}, async ({ signal }) => {
        const source = catalog
          ? parseCatalog(await artifacts.read(catalog))
          : await connections.withSession(
              scope.source,
              { side: 'source', purpose: 'read the catalog', signal },
              (session) => readCatalog(session, scope.tables),
            );
        return connections.withSession(
          scope.target,
          { side: 'target', purpose: 'compare the schema', signal },
          async (session) => {
            const target = await readCatalog(session, scope.tables);
            const fidelity = await compareSchemas(source, target, session, accept, transformations);
            const artifact = await artifacts.put(
              scope.migration,
              'fidelity.json',
              JSON.stringify(fidelity, undefined, 2),
            );
            return {
              compared: fidelity.compared,
              accepted: fidelity.accepted.slice(0, listed),
              differences: fidelity.differences.slice(0, listed),
              total: fidelity.differences.length,
              unused: fidelity.unused,
              artifact,
            };
          },
        );
      });
    },
  };
}
