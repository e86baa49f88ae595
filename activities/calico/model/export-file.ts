// The export file, as `calicoctl datastore migrate` reads and writes it: resources, the cluster information, IPAM; a line "===" in between.
export { ExportFileError } from './export-file-error';
export { readClusterInformation, readExportFile } from './export-file-reader';
export { writeExportFile } from './export-file-writer';
