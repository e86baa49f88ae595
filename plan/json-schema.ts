// Writes the JSON Schemas that editors use: `node dist/plan/json-schema.js`. A test keeps them in step with zod.
import { writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { z } from 'zod';
import { postgresPlanSchema } from './postgres';

/** The plan as operators write it (defaults not required), as JSON Schema draft 2020-12. */
export function postgresPlanJsonSchema(): string {
  return `${JSON.stringify(z.toJSONSchema(postgresPlanSchema, { io: 'input' }), undefined, 2)}\n`;
}

if (require.main === module) {
  const folder = join(__dirname, '..', __dirname.includes(`${'dist'}`) ? '..' : '.', 'plan');
  writeFileSync(join(folder, 'postgres-plan.schema.json'), postgresPlanJsonSchema());
}
