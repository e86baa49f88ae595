// What a server says of a statement that takes rows may quote any of them: text that is no tsvector is in the message of a syntax error, a name
// that is no table in another. Such errors are told by their SQLSTATE and its meaning, and by nothing else.
import { DatabaseError } from 'pg';
import { withoutRows } from '../errors';

/**
 * What a value can be the cause of; the same as in `ofRows`. Texts cast to tsvector, hstore, regclass or regrole raise errors of syntax and of
 * names; that the statement itself has none of these was tried on no rows before.
 */
export function isOfRows(error: unknown): boolean {
  return error instanceof DatabaseError && /^(22|23|P0001|P0002|42601|42P01|42704|3F000)/.test(error.code ?? '');
}

/** Conditions of PL/pgSQL. */
export const ofRows =
  'data_exception or integrity_constraint_violation or raise_exception or no_data_found or syntax_error or undefined_table or undefined_object or invalid_schema_name';

const meanings: Record<string, string> = {
  '23502': 'a null where none is allowed',
  '23503': 'a foreign key refuses it',
  '23505': 'a row with its key is there already',
  '23514': 'a check refuses it',
  '23P01': 'an exclusion constraint refuses it',
  '3F000': 'the name of a schema that is not there',
  '42601': 'text that is not valid for its type',
  '42704': 'a name that is not there',
  '42883': 'the name of a function that is not there',
  '42P01': 'the name of a table that is not there',
  P0001: 'a function of the expression refused it',
  P0002: 'a function of the expression found no row',
};

/** @param constraint where the server names one */
export function meaningOf(code: string, constraint = ''): string {
  const meaning = meanings[code] ?? (code.startsWith('22') ? withoutRows(bare(code)) : undefined);
  return `${meaning ?? (code.startsWith('23') ? 'a constraint refuses it' : 'a row could not be taken')}${constraint ? ` (${constraint})` : ''}`;
}

/** The error of a statement that takes rows, fit to be shown. What is the matter with the server itself stays as it is. */
export function withoutValues(error: unknown): unknown {
  if (!(error instanceof DatabaseError) || !error.code || /^(08|40|53|55|57|58)/.test(error.code)) return error;
  return Object.assign(new DatabaseError(meaningOf(error.code), 0, 'error'), { code: error.code });
}

function bare(code: string): Error & { code: string } {
  return Object.assign(new Error(), { code });
}
