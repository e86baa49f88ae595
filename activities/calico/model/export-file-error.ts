// What is wrong with an export file, and where in it.

/** The text is no export file. Says the part, the document and what was expected there. */
export class ExportFileError extends Error {
  override name = 'ExportFileError';

  /** @param where "part 1 (resources), document 3" */
  constructor(
    readonly where: string,
    readonly found: string,
    readonly expected: string,
  ) {
    super(
      `The export file cannot be read at ${where}: found ${found}; expected ${expected}. Export the data again; nothing was written.`,
    );
  }
}
