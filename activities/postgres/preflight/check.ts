// The checks of a PostgreSQL preflight: the battery of every preflight, with the context in which these look.
import type { ContextCheck } from '../../preflight/check';
import type { CheckContext } from './context';

export { counted, listed, pass, runChecks, statements, type Finding } from '../../preflight/check';

export type PreflightCheck = ContextCheck<CheckContext>;
