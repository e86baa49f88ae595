// What an export file wants the cluster to hold, ready to be looked up by place.
import { failure } from '../../errors';
import type { ArtifactReference, ArtifactStore } from '../../artifacts/store';
import type { JsonObject } from '../json';
import type { CalicoData } from '../model/calico-data';
import { desiredState, type DesiredNode, type DesiredObject, type DesiredProblem } from '../model/desired';
import { ExportFileError, readClusterInformation, readExportFile } from '../model/export-file';
import type { Encoding } from '../scope';
import { keyOf } from './present';

export interface Wanted {
  data: CalicoData;
  /** By `keyOf`. */
  objects: Map<string, DesiredObject>;
  /** By name. */
  nodes: Map<string, DesiredNode>;
  /** What no object of Kubernetes can hold; preflight has decided about it. */
  problems: DesiredProblem[];
}

/** @throws PreconditionFailed when the file is none; ArtifactStoreUnavailable, VerificationMismatch as the store does */
export async function readWanted(
  artifacts: ArtifactStore,
  file: ArtifactReference,
  encoding: Encoding,
): Promise<Wanted> {
  const data = await readFile(artifacts, file);
  const { objects, nodes, problems } = desiredState(data, encoding);
  return {
    data,
    objects: new Map(objects.map((object) => [keyOf(object), object])),
    nodes: new Map(nodes.map((node) => [node.name, node])),
    problems,
  };
}

/** @throws as `readWanted` */
export function readFile(artifacts: ArtifactStore, file: ArtifactReference): Promise<CalicoData> {
  return readAs(artifacts, file, readExportFile);
}

/** @throws as `readWanted` */
export function readClusterInformationOf(artifacts: ArtifactStore, file: ArtifactReference): Promise<JsonObject> {
  return readAs(artifacts, file, readClusterInformation);
}

async function readAs<Read>(
  artifacts: ArtifactStore,
  file: ArtifactReference,
  read: (text: string) => Read,
): Promise<Read> {
  const text = await artifacts.read(file);
  try {
    return read(text);
  } catch (error) {
    if (!(error instanceof ExportFileError)) throw error;
    throw failure(
      'PreconditionFailed',
      `The export file ${file.name} cannot be read at ${error.where}: found ${error.found}; expected ${error.expected}. Nothing was written. Export again, or give the file that the export step stored, unchanged.`,
    );
  }
}
