// The export file, as `calicoctl datastore migrate` reads and writes it.
import type { CalicoData } from './calico-data';

/** The text is no export file. Says the part, the document and what was expected there. */
export class ExportFileError extends Error {
  override name = 'ExportFileError';
}

/** A file that `calicoctl datastore migrate import` reads. */
export function writeExportFile(_data: CalicoData): string {
  throw new Error('not yet');
}

/** Reads our own files and those of calicoctl 3.25 to 3.32. @throws ExportFileError */
export function readExportFile(_text: string): CalicoData {
  throw new Error('not yet');
}
