// The search attributes of migrations: registered at start where the server allows it, so that a fresh server works at once.
import type { Connection } from '@temporalio/client';
import type { NativeConnection } from '@temporalio/worker';
import { searchAttributeNames } from '../workflows/messages';

type Operator = Pick<NativeConnection, 'operatorService'> | Pick<Connection, 'operatorService'>;

/** Value of INDEXED_VALUE_TYPE_KEYWORD in the server's API. */
const keyword = 2;

/**
 * Registers what is missing. Returns why it could not, for the log; a worker without the right to do it still serves,
 * and then a person registers them once.
 */
export async function registerSearchAttributes(connection: Operator, namespace: string): Promise<string | undefined> {
  try {
    const { customAttributes } = await connection.operatorService.listSearchAttributes({ namespace });
    const missing = searchAttributeNames.filter((name) => !(name in customAttributes));
    if (missing.length === 0) return undefined;
    await connection.operatorService.addSearchAttributes({
      namespace,
      searchAttributes: Object.fromEntries(missing.map((name) => [name, keyword])),
    });
    return undefined;
  } catch (error) {
    const commands = searchAttributeNames.map(
      (name) => `temporal operator search-attribute create --name ${name} --type Keyword`,
    );
    return `search attributes could not be registered (${error instanceof Error ? error.message : String(error)}); have them registered once: ${commands.join(' && ')}`;
  }
}
