// Files that a migration makes (dumps, archives, table lists, reports), behind one small interface.
// Content-addressed: a reference names the sha256 of the content, and reading checks it.
import type { Readable } from 'node:stream';

/** Where a file is and what it must contain. Small, and safe to keep in Temporal's history. */
export interface ArtifactReference {
  /** `file:///var/lib/cutover/orders-to-18/3f/3fa9….dump`, `s3://backups/cutover/orders-to-18/3f/3fa9….dump` */
  url: string;
  /** Lower-case hex. */
  sha256: string;
  bytes: number;
  /** What a person would call it: `schema.dump`, `report.html`. */
  name: string;
}

/** What to store. A function is given a path on the store's own disk and writes the file there itself: for tools that seek in their output. */
export type ArtifactContent = Readable | Buffer | string | ((path: string) => Promise<void>);

export interface ArtifactStore {
  /**
   * Stores the content atomically: after a crash the artifact is there whole or not at all. Storing equal content again gives the same reference.
   * @throws ArtifactStoreUnavailable (retryable); PreconditionFailed when the store is full or not writable.
   */
  put(migration: string, name: string, content: ArtifactContent): Promise<ArtifactReference>;
  /** A local path with the content, for tools that need a file. Checked against the digest. @throws VerificationMismatch, ArtifactStoreUnavailable */
  fetch(reference: ArtifactReference): Promise<string>;
  /** What `fetch` gave is needed no more: a store that made a copy of it removes that. For large files; small ones go by themselves. */
  release?(reference: ArtifactReference): Promise<void>;
  /** The content as text. @throws as `fetch` */
  read(reference: ArtifactReference): Promise<string>;
  /** Removes one artifact; nothing happens when it is gone already. */
  remove(reference: ArtifactReference): Promise<void>;
  /** Bytes that can still be stored; undefined, or no such member, where that cannot be known. @throws as `put` */
  freeBytes?(): Promise<number | undefined>;
}
